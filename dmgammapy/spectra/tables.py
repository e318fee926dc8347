"""Yields tabulated on masses and x = E/m, interpolated in mass at fixed x."""

import warnings
from functools import cached_property

import numpy as np

from . import _kernels as kernels
from .channels import CHANNELS
from .core import _ROUNDING, Spectra, restore

__all__ = ["TableSpectra"]

# DMFit's nodes at the masses of the bosons are a little below today's values
_THRESHOLD_TOLERANCE = 0.002
# yield, in units of the highest, that counts as none
_NEGLIGIBLE = 1e-6
# rounding of log10(x)
_SAME_X = 1e-9


class TableSpectra(Spectra):
    r"""Yields dN/dlog10(x) of channels on a grid of masses and x = E/m.

    In log10(x) the yield is linear between the nodes, zero below the first and zero above x = 1.
    In mass it is linear, at fixed x, in log(m) or m. Bin integrals are then sums of closed forms:
    with L = ln 10, y = a + s log10(x) on a segment,

    .. math::
        N = \int y \, d\log_{10} x, \qquad
        E = m \int x \, y \, d\log_{10} x
          = m \left[ x \left(\frac{y}{L} - \frac{s}{L^2}\right) \right].

    If the last node lies less than a step below x = 1 (tables at bin centres), the last segment is
    extended to x = 1 in a line that stops at zero; else the yield is zero above the last node.

    Where the masses of a table begin at different x (the same energies for all masses), the yield
    of mass m begins at the energy in between, with ``log10x_min`` linear in log(m); what
    ``dndlog10x`` holds below serves just the interpolation in mass. Integrals that reach below the
    first value, where photons are missing, give a warning.

    A mass of the table is usable for a channel if it isn't below the channel's threshold (within
    0.2 %) and its spectrum isn't empty; nothing is interpolated with a mass that isn't usable.

    Parameters
    ----------
    name : str
        Name.
    channels : list of str
        Canonical names, length n_channel.
    masses : array_like, shape (n_mass,)
        Ascending masses [GeV].
    log10x : array_like, shape (n_x,)
        Ascending log10(E/m).
    dndlog10x : array_like, shape (n_channel, n_mass, n_x)
        Photons per annihilation and log10(x).
    mass_interpolation : {"log", "linear"}
        Whether values are linear in log(m) or in m. Default is "log".
    line : array_like, shape (n_channel, n_mass), optional
        Photons per annihilation at exactly E = m, on top of the continuum. They count in
        `integrate` and not in `dnde`.
    off_shell : tuple of str
        Channels whose spectra hold below the threshold as well. Default is none.
    log10x_min : array_like, shape (n_mass,), optional
        Where the values of each mass begin. Default is the first node.
    source, reference : str, optional
        What `read_spectra` takes to make these spectra, and the paper to cite.

    Raises
    ------
    ValueError
        If shapes disagree, nodes don't ascend or values are negative or not finite.

    Examples
    --------
    A spectrum of one photon per decade of energy has log10(2) photons between m/2 and m:

    >>> import astropy.units as u
    >>> from dmgammapy.spectra import TableSpectra
    >>> flat = TableSpectra("flat", ["b"], [10, 1000], [-6, 0], [[[1, 1], [1, 1]]])
    >>> print(flat.integrate([50, 100] * u.GeV, 100 * u.GeV, "b").round(5))
    [0.30103]
    """

    def __init__(
        self,
        name,
        channels,
        masses,
        log10x,
        dndlog10x,
        mass_interpolation="log",
        line=None,
        off_shell=(),
        log10x_min=None,
        source=None,
        reference="",
    ):
        super().__init__(name, channels, masses, source)
        self.reference = reference
        self.mass_interpolation = mass_interpolation
        log10x = np.array(log10x, dtype=float)
        values = np.array(dndlog10x, dtype=float)
        shape = (len(self.channels), len(self._masses))
        line = np.zeros(shape) if line is None else np.array(line, dtype=float)
        self._check(log10x, values, line, shape)
        begin = np.full(shape[1], log10x[0]) if log10x_min is None else np.array(log10x_min, float)
        if begin.shape != shape[1:] or not np.all((begin >= log10x[0]) & (begin < log10x[-1])):
            raise ValueError(
                f"{self.name}: log10x_min must be one value within log10x for each mass, got "
                f"{begin.tolist()}."
            )
        self._begin = begin
        self._log10x, self._values = _close_at_endpoint(log10x, values)
        self._line = line
        self._usable = self._find_usable(off_shell)
        self._cut = self._find_cut()
        arrays = (self._log10x, self._values, self._line, self._usable, self._begin, self._cut)
        for array in arrays:
            array.flags.writeable = False

    def _check(self, log10x, values, line, shape):
        if self.mass_interpolation not in ("log", "linear"):
            raise ValueError(
                f"{self.name}: mass_interpolation must be 'log' or 'linear', got "
                f"{self.mass_interpolation!r}."
            )
        for channel in self.channels:
            if channel not in CHANNELS or self.channels.count(channel) > 1:
                raise ValueError(
                    f"{self.name}: channel {channel!r} comes twice or isn't a canonical name; "
                    f"known are {', '.join(CHANNELS)}."
                )
        if not self.channels:
            raise ValueError(f"{self.name}: there is no channel, expected at least one.")
        for what, nodes, least in (("masses", self._masses, 1), ("log10x", log10x, 2)):
            if nodes.ndim != 1 or len(nodes) < least or not np.all(np.isfinite(nodes)):
                raise ValueError(
                    f"{self.name}: {what} must be a list of at least {least} finite values."
                )
            if not np.all(np.diff(nodes) > 0):
                place = int(np.argmax(np.diff(nodes) <= 0))
                raise ValueError(
                    f"{self.name}: {what} must ascend, got {nodes[place]:g} before "
                    f"{nodes[place + 1]:g}."
                )
        if self._masses[0] <= 0:
            raise ValueError(f"{self.name}: masses must be positive, got {self._masses[0]:g} GeV.")
        if log10x[-1] > 0:
            raise ValueError(f"{self.name}: log10x must not exceed 0 (E = m), got {log10x[-1]:g}.")
        if values.shape != (*shape, len(log10x)) or line.shape != shape:
            raise ValueError(
                f"{self.name}: expected values of shape (channel, mass, x) = "
                f"{(*shape, len(log10x))} and lines of shape {shape}, got {values.shape} and "
                f"{line.shape}."
            )
        for what, array in (("yield", values), ("line", line)):
            bad = ~(np.isfinite(array) & (array >= 0))
            if np.any(bad):
                place = tuple(np.argwhere(bad)[0])
                raise ValueError(
                    f"{self.name}: the {what} of channel {self.channels[place[0]]!r} at mass "
                    f"{self._masses[place[1]]:g} GeV is {array[place]}, expected finite and not "
                    "negative."
                )

    def _find_usable(self, off_shell):
        thresholds = np.array(
            [0.0 if name in off_shell else CHANNELS[name].threshold for name in self.channels]
        )
        above = self._masses >= thresholds[:, np.newaxis] * (1 - _THRESHOLD_TOLERANCE)
        return above & (np.any(self._values > 0, axis=-1) | (self._line > 0))

    def _find_cut(self):
        """Whether each spectrum is not zero where it begins, shape (n_channel, n_mass)."""
        first = [np.interp(x, self._log10x, np.arange(len(self._log10x))) for x in self._begin]
        index = np.ceil(np.array(first) - _ROUNDING).astype(int)
        values = np.take_along_axis(self._values, index[np.newaxis, :, np.newaxis], axis=-1)
        return values[..., 0] > _NEGLIGIBLE * self._values.max(axis=-1)

    @property
    def log10x(self):
        """Nodes in log10(E/m), up to 0, shape (n_x,)."""
        return self._log10x

    @property
    def dndlog10x(self):
        """Yield dN/dlog10(x) at the nodes, shape (n_channel, n_mass, n_x)."""
        return self._values

    def _neighbours(self, mass):
        """Index of the node at or below each mass, and the weight of the one above."""
        nodes = self._masses
        if len(nodes) == 1:
            return np.zeros(len(mass), int), np.zeros(len(mass), int), np.zeros(len(mass))
        lower, mass = kernels.locate(nodes, mass)
        low, high = nodes[lower], nodes[lower + 1]
        if self.mass_interpolation == "log":
            weight = np.log(mass / low) / np.log(high / low)
        else:
            weight = (mass - low) / (high - low)
        weight = np.where(mass - low <= _ROUNDING * low, 0.0, weight)
        weight = np.where(high - mass <= _ROUNDING * high, 1.0, weight)
        return lower, lower + 1, weight

    def _interpolate(self, table, indices, neighbours, column=None):
        """Table of (channel, mass[, x]) at the masses and, if given, x nodes (n_mass, n)."""
        lower, upper, weight = neighbours
        if column is None:
            channel = indices[:, np.newaxis]
        else:
            channel = indices[:, np.newaxis, np.newaxis]
            lower, upper = lower[:, np.newaxis], upper[:, np.newaxis]
            weight = weight[:, np.newaxis]
        at = () if column is None else (column,)
        below, above = table[(channel, lower, *at)], table[(channel, upper, *at)]
        return below + weight * (above - below)

    def _valid(self, mass, indices):
        lower, upper, weight = self._neighbours(mass)
        usable = self._usable[indices]
        return (usable[:, lower] | (weight == 1)) & (usable[:, upper] | (weight == 0))

    def _first(self, mass):
        """log10(x) where the spectrum of each mass begins, shape (n_mass,)."""
        if np.all(self._begin == self._begin[0]):
            return np.full(len(mass), self._begin[0])
        return np.interp(np.log(mass), np.log(self._masses), self._begin)

    def _warn_if_cut(self, energy, mass, indices):
        first = self._first(mass)
        missing = np.log10(energy / mass) < first - _SAME_X
        if not missing.any():
            return
        lower, upper, weight = self._neighbours(mass)
        cut = self._cut[indices]
        cut = (cut[:, lower] & (weight < 1)) | (cut[:, upper] & (weight > 0))
        missing &= (cut & self._valid(mass, indices)).any(axis=0)
        if np.any(missing):
            worst = int(np.argmax(np.where(missing, first + np.log10(mass), -np.inf)))
            warnings.warn(
                f"The spectra {self.name!r} begin at {mass[worst] * 10 ** first[worst]:.4g} GeV "
                f"for the mass {mass[worst]:.6g} GeV (decay: twice that mass), but yields are "
                f"wanted from {energy:.4g} GeV: the photons below are missing, and limits come out "
                "wrong. Extend the table to lower energies (by zeros if there are no photons), or "
                "leave out these masses or energies.",
                stacklevel=4,
            )

    def _dnde(self, energy, mass, indices):
        log10x = np.log10(energy / mass[:, np.newaxis])
        first = self._first(mass)[:, np.newaxis]
        inside = (
            (log10x >= first - _SAME_X) & (log10x >= self._log10x[0]) & (log10x <= self._log10x[-1])
        )
        index, point = kernels.locate(self._log10x, log10x)
        neighbours = self._neighbours(mass)
        left = self._interpolate(self._values, indices, neighbours, index)
        right = self._interpolate(self._values, indices, neighbours, index + 1)
        low, high = self._log10x[index], self._log10x[index + 1]
        values = left + (right - left) * (point - low) / (high - low)
        return np.where(inside, values, 0.0) / (energy * kernels.LN10)

    @cached_property
    def _cumulatives(self):
        """Integrals of y and x y from each node to x = 1, shape (n_channel, n_mass, n_x) each."""
        segments = kernels.segment_integrals(self._log10x, self._values)
        return tuple(kernels.cumulative_from_top(segment) for segment in segments)

    def _cumulative(self, energy, mass, indices, weighted):
        nodes = self._log10x
        log10x = np.log10(energy / mass[:, np.newaxis])
        first = self._first(mass)[:, np.newaxis]
        index, point = kernels.locate(nodes, np.maximum(log10x, first))
        neighbours = self._neighbours(mass)
        left = self._interpolate(self._values, indices, neighbours, index)
        right = self._interpolate(self._values, indices, neighbours, index + 1)
        total = kernels.rest_of_segment(nodes, index, point, left, right, weighted)
        total += self._interpolate(self._cumulatives[int(weighted)], indices, neighbours, index + 1)
        if np.any(self._line):
            line = self._interpolate(self._line, indices, neighbours)
            total += line[..., np.newaxis] * (log10x < 0)
        return total * mass[:, np.newaxis] if weighted else total

    def _content(self):
        content = (self.mass_interpolation, self._log10x, self._values, self._line, self._usable)
        return super()._content() + content + (self._begin,)

    def __reduce__(self):
        # bundled tables travel by name
        if self._source is not None and self._source == self.name:
            return restore, (self._source,)
        return super().__reduce__()

    def __getstate__(self):
        state = self.__dict__.copy()
        state.pop("_cumulatives", None)
        return state


def _close_at_endpoint(log10x, values):
    """Add a node at x = 1 when the last one is the centre of the last bin."""
    gap = -log10x[-1]
    step = log10x[-1] - log10x[-2]
    if gap == 0 or gap > step:
        return log10x, values
    slope = (values[..., -1] - values[..., -2]) / step
    end = np.maximum(values[..., -1] + slope * gap, 0.0)
    return np.append(log10x, 0.0), np.concatenate([values, end[..., np.newaxis]], axis=-1)
