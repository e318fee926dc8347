"""Interface of all photon yields: channels, masses, thresholds and shapes of the results."""

from abc import ABC, abstractmethod

import astropy.units as u
import numpy as np

from .channels import channel_label, parse_channel

__all__ = ["NORM_TYPES", "PROCESSES", "Spectra"]

PROCESSES = ("annihilation", "decay")
NORM_TYPES = ("flux", "eflux", "dnde")

# the light quarks of PPPC4DMID are one channel
_LIGHT_QUARKS = ("u", "d", "s")
# what conversions between units may cost
_ROUNDING = 1e-9


class Spectra(ABC):
    """Photon yields per annihilation or decay; made by `read_spectra`.

    Objects are immutable and cheap to copy. The yield of the decay of a particle of mass m is that
    of the annihilation of two particles of mass m/2, so it ends at E = m/2.

    Attributes
    ----------
    name : str
        Short name for tables and plots.
    channels : tuple of str
        Canonical names of the channels with a spectrum.
    masses : `~astropy.units.Quantity`
        Masses [GeV] at which annihilation is tabulated; empty if there is a formula for any mass.
    reference : str
        The paper to cite.
    """

    reference = ""

    def __init__(self, name, channels, masses, source=None):
        self.name = str(name)
        self.channels = tuple(channels)
        masses = np.array(masses, dtype=float)
        masses.flags.writeable = False
        self._masses = masses
        self._source = source

    @property
    def masses(self):
        """Masses of the table [GeV], shape (n_mass,)."""
        return u.Quantity(self._masses, "GeV", copy=False)

    @property
    def source(self):
        """What `read_spectra` needs to make an equal object: str, or dict of plain values.

        Raises
        ------
        ValueError
            If the spectra were made from a table in memory.
        """
        if self._source is None:
            raise ValueError(
                f"The spectra {self.name!r} come from a table in memory, which cannot be named in "
                "a file: write the table to an ECSV file and read_spectra(path) from there."
            )
        return self._source

    def mass_range(self, process="annihilation"):
        """Smallest and largest mass that the table covers.

        Parameters
        ----------
        process : {"annihilation", "decay"}
            Masses of decaying particles are twice those of annihilating ones.

        Returns
        -------
        mass_range : `~astropy.units.Quantity`, shape (2,)
            Range [GeV] of the whole table; a channel may begin higher, see `is_valid`.
        """
        return u.Quantity(self._mass_bounds(), "GeV") * _mass_factor(process)

    def _mass_bounds(self):
        return self._masses[0], self._masses[-1]

    def is_valid(self, mass, channel, process="annihilation"):
        """Whether there is a spectrum: False below a channel's threshold.

        Parameters
        ----------
        mass : `~astropy.units.Quantity`
            Dark matter mass, scalar or array.
        channel : str, dict or list of these
            Channel, mixture or several of them.
        process : {"annihilation", "decay"}
            Process. Default is "annihilation".

        Returns
        -------
        valid : ndarray of bool, shape (channel, mass)
            The axis of a scalar argument is dropped. A mixture is valid if all its channels are.

        Raises
        ------
        ValueError
            If a mass lies outside of the table or a channel is not in it.
        """
        select = _Selection(self, channel)
        masses = self._table_masses(mass, process)
        valid = select.all_valid(self._valid(masses.ravel(), select.indices))
        return select.drop(valid.reshape(valid.shape[:1] + masses.shape))

    def dnde(self, energy, mass, channel, process="annihilation"):
        """Differential yield dN/dE.

        Parameters
        ----------
        energy : `~astropy.units.Quantity`
            Photon energy at the source, any shape.
        mass, channel, process
            As in `is_valid`.

        Returns
        -------
        dnde : `~astropy.units.Quantity`, shape (channel, mass, ...)
            Photons per annihilation or decay and energy [GeV-1], followed by the axes of
            ``energy``. The axis of a scalar mass or channel is dropped. Zero where `is_valid`
            is False, above the endpoint and below the energies of the table.

        Raises
        ------
        ValueError
            If a mass lies outside of the table, a channel is not in it, or an energy is not
            positive.
        """
        energy = _energies(energy, "energy")
        select = _Selection(self, channel)
        masses = self._table_masses(mass, process)
        flat = masses.ravel()
        values = self._dnde(energy.ravel(), flat, select.indices)
        return self._finish(values, select, masses, flat, energy.shape) * u.Unit("GeV-1")

    def integrate(
        self,
        energy_edges,
        mass,
        channel,
        process="annihilation",
        norm_type="flux",
        energy_ref=None,
    ):
        """Yield in energy bins, integrated in closed form up to the endpoint.

        Parameters
        ----------
        energy_edges : `~astropy.units.Quantity`, shape (n_bin + 1,)
            Ascending edges of contiguous bins.
        mass, channel, process
            As in `is_valid`.
        norm_type : {"flux", "eflux", "dnde"}
            Number of photons, their energy, or dN/dE at ``energy_ref``.
        energy_ref : `~astropy.units.Quantity`, shape (n_bin,), optional
            Energies for "dnde". Default is the geometric mean of each bin.

        Returns
        -------
        values : `~astropy.units.Quantity`, shape (channel, mass, n_bin)
            Per annihilation or decay; dimensionless, GeV or GeV-1. The axis of a scalar mass or
            channel is dropped. Zero where `is_valid` is False.

        Warns
        -----
        UserWarning
            If bins reach below the energies of a table, so that photons are missing.

        Raises
        ------
        ValueError
            If the edges are not positive and ascending, a mass lies outside of the table or a
            channel is not in it.
        """
        _check_norm_type(norm_type)
        edges = _energies(energy_edges, "energy_edges")
        if edges.ndim != 1 or len(edges) < 2 or not np.all(np.diff(edges) > 0):
            raise ValueError(
                f"energy_edges must be at least two ascending energies, got {energy_edges}."
            )
        if norm_type == "dnde":
            if energy_ref is None:
                energy_ref = np.sqrt(edges[:-1] * edges[1:]) * u.GeV
            elif np.shape(energy_ref) != (len(edges) - 1,):
                raise ValueError(
                    f"energy_ref must have one value for each of the {len(edges) - 1} bins, got "
                    f"shape {np.shape(energy_ref)}."
                )
            lowest = _energies(energy_ref, "energy_ref").min()
            masses = self._table_masses(mass, process).ravel()
            self._warn_if_cut(lowest, masses, _Selection(self, channel).indices)
            return self.dnde(energy_ref, mass, channel, process)
        select = _Selection(self, channel)
        masses = self._table_masses(mass, process)
        flat = masses.ravel()
        self._warn_if_cut(edges[0], flat, select.indices)
        weighted = norm_type == "eflux"
        cumulative = self._cumulative(edges, flat, select.indices, weighted)
        values = cumulative[..., :-1] - cumulative[..., 1:]
        values = self._finish(values, select, masses, flat, (len(edges) - 1,))
        return u.Quantity(np.asarray(values), "GeV" if weighted else "", copy=False)

    def integrate_intervals(
        self,
        energy_min,
        energy_max,
        mass,
        channel,
        process="annihilation",
        norm_type="flux",
    ):
        """Yield between pairs of energies, which need not be contiguous.

        Parameters
        ----------
        energy_min, energy_max : `~astropy.units.Quantity`
            Lower and upper energies, of shapes that broadcast.
        mass, channel, process
            As in `is_valid`.
        norm_type : {"flux", "eflux"}
            Number of photons or their energy.

        Returns
        -------
        values : `~astropy.units.Quantity`, shape (channel, mass, ...)
            As `integrate`, with the axes of the energies last.

        Raises
        ------
        ValueError
            As `integrate`, and if an upper energy is below its lower one.
        """
        if norm_type not in ("flux", "eflux"):
            raise ValueError(f"norm_type is 'flux' or 'eflux' for intervals, got {norm_type!r}.")
        low, high = np.broadcast_arrays(
            _energies(energy_min, "energy_min"), _energies(energy_max, "energy_max")
        )
        if np.any(high < low):
            raise ValueError("energy_max must not be below energy_min.")
        select = _Selection(self, channel)
        masses = self._table_masses(mass, process)
        flat = masses.ravel()
        if low.size:
            self._warn_if_cut(low.min(), flat, select.indices)
        weighted = norm_type == "eflux"
        edges = np.concatenate([low.ravel(), high.ravel()])
        cumulative = self._cumulative(edges, flat, select.indices, weighted)
        values = cumulative[..., : low.size] - cumulative[..., low.size :]
        values = self._finish(values, select, masses, flat, low.shape)
        return u.Quantity(np.asarray(values), "GeV" if weighted else "", copy=False)

    # what a kind of spectra has to say; masses are those of annihilation, in GeV and flat

    @abstractmethod
    def _valid(self, mass, indices):
        """Give bool of shape (len(indices), n_mass)."""

    @abstractmethod
    def _dnde(self, energy, mass, indices):
        """Give GeV-1 of shape (len(indices), n_mass, n_energy); what is not valid may be junk."""

    @abstractmethod
    def _cumulative(self, energy, mass, indices, weighted):
        """Give the photons (weighted: their energy in GeV) above each energy, shaped as _dnde."""

    def _warn_if_cut(self, energy, mass, indices):  # noqa: B027
        """Warn if a spectrum begins above an energy [GeV] for want of values."""

    def _table_masses(self, mass, process):
        """Masses of annihilation in GeV, inside of the table."""
        factor = _mass_factor(process)
        try:
            values = u.Quantity(mass).to_value("GeV") / factor
        except (u.UnitConversionError, TypeError) as error:
            raise ValueError(f"mass must have a unit of energy, got {mass!r}.") from error
        values = np.asarray(values, dtype=float)
        low, high = self._mass_bounds()
        inside = (values >= low * (1 - _ROUNDING)) & (values <= high * (1 + _ROUNDING))
        inside &= (values > 0) & np.isfinite(values)
        if not np.all(inside):
            bad = ", ".join(f"{value:.6g}" for value in values[~inside] * factor)
            raise ValueError(
                f"Mass {bad} GeV is outside of the table {self.name!r}, which covers "
                f"{low * factor:g} to {high * factor:g} GeV for {process}."
            )
        return np.clip(values, low, high)

    def _finish(self, values, select, masses, flat, tail):
        """Clear what is not valid, mix channels, restore the shapes."""
        valid = select.all_valid(self._valid(flat, select.indices))
        values = np.where(valid[..., np.newaxis], select.mix(values), 0.0)
        return select.drop(values.reshape(values.shape[:1] + masses.shape + tail))

    def _index(self, name):
        """Position of a canonical channel."""
        if name in self.channels:
            return self.channels.index(name)
        if name in _LIGHT_QUARKS and "q" in self.channels:
            return self.channels.index("q")
        raise ValueError(
            f"Channel {name!r} is not in the spectra {self.name!r}; there are "
            f"{', '.join(self.channels)}."
        )

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def _content(self):
        """What makes two objects of one class equal."""
        return (self.name, self.channels, self._masses)

    def __eq__(self, other):
        if self is other:
            return True
        if type(self) is not type(other):
            return NotImplemented
        return all(
            np.array_equal(mine, theirs)
            for mine, theirs in zip(self._content(), other._content(), strict=True)
        )

    def __hash__(self):
        return hash((type(self), self.name, self.channels))

    def __repr__(self):
        low, high = self._mass_bounds()
        return (
            f"{type(self).__name__}({self.name!r}, {len(self.channels)} channels, "
            f"{len(self._masses)} masses {low:g} to {high:g} GeV)"
        )


def restore(source):
    """Spectra by source, for pickles that hold just the name."""
    from .readers import read_spectra  # which imports this module

    return read_spectra(source)


class _Selection:
    """The channels of one call: which of the table are needed and how they add up."""

    def __init__(self, spectra, channel):
        self.scalar = isinstance(channel, str) or hasattr(channel, "items")
        wanted = [channel] if self.scalar else list(channel)
        if not wanted:
            raise ValueError("channel is an empty list, expected at least one channel.")
        mixtures = []
        for item in wanted:
            item = parse_channel(item)
            fractions = {item: 1.0} if isinstance(item, str) else item
            try:
                mixtures.append([(spectra._index(name), f) for name, f in fractions.items()])
            except ValueError as error:
                if isinstance(item, str):
                    raise
                raise ValueError(f"Mixture {channel_label(item)}: {error}") from None
        indices = sorted({index for mixture in mixtures for index, _ in mixture})
        self.fractions = np.zeros((len(mixtures), len(indices)))
        for row, mixture in zip(self.fractions, mixtures, strict=True):
            for index, fraction in mixture:
                row[indices.index(index)] += fraction
        self.indices = np.array(indices)

    def mix(self, values):
        """Add channels (first axis) by their fractions."""
        if np.all((self.fractions == 0) | (self.fractions == 1)):
            return values[np.argmax(self.fractions, axis=1)]
        return np.tensordot(self.fractions, values, axes=1)

    def all_valid(self, valid):
        """Whether all channels (first axis) of each mixture are valid."""
        missing = (self.fractions > 0).astype(int) @ ~valid
        return missing == 0

    def drop(self, values):
        return values[0] if self.scalar else values


def _mass_factor(process):
    if process not in PROCESSES:
        raise ValueError(f"process must be one of {PROCESSES}, got {process!r}.")
    return 2.0 if process == "decay" else 1.0


def _check_norm_type(norm_type):
    if norm_type not in NORM_TYPES:
        raise ValueError(f"norm_type must be one of {NORM_TYPES}, got {norm_type!r}.")


def _energies(energy, name):
    try:
        values = np.asarray(u.Quantity(energy).to_value("GeV"), dtype=float)
    except (u.UnitConversionError, TypeError) as error:
        raise ValueError(f"{name} must have a unit of energy, got {energy!r}.") from error
    if not np.all((values > 0) & np.isfinite(values)):
        raise ValueError(f"{name} must be positive and finite, got {energy}.")
    return values
