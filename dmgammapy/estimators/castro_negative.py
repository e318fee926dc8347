"""Negative signals in `~dmgammapy.estimators.CastroMaps`."""

import numpy as np
from gammapy.maps import MapAxis, RegionGeom, RegionNDMap

from . import _kernels as kernels
from .lattice import LatticeProfiles

__all__ = [
    "CastroNegative", "check_negative", "negative_arrays", "negative_maps", "negative_on_one_axis",
    "split_scan",
]  # fmt: skip

LEAST_POINTS = 4


class CastroNegative:
    """Mixin with the likelihood of signals below zero, where the data had it.

    ``stat_scan_negative``, on (norm_negative, mass, channel), is -2 ln L at the strengths
    ``reference_negative * norm_negative``, relative to the same minimum as ``stat_scan``, the best
    fit with a signal of zero or more. It is below 0 where a negative signal fits better, and NaN
    in rows without.
    """

    @property
    def has_negative(self):
        """True where the likelihood of negative signals is known, shape (..., channel, mass).

        Examples
        --------
        >>> import numpy as np
        >>> import astropy.units as u
        >>> from dmgammapy.estimators import CastroMaps
        >>> side = np.geomspace(1e-28, 1e-24, 161)
        >>> sigmav = np.concatenate([-side[::-1], [0], side]) * u.Unit("cm3 s-1")
        >>> stat = ((sigmav.value / 1e-26 + 1) ** 2).reshape(1, 1, -1)  # best fit at -1e-26
        >>> castro = CastroMaps.from_scan(sigmav, stat, [100] * u.GeV, ["b"])
        >>> bool(castro.has_negative), round(float(castro.stat_scan_negative.data.min()), 3)
        (True, -1.0)
        """
        if "stat_scan_negative" not in self._data:
            return np.zeros(self["reference"].data.shape[:-2], dtype=bool)
        return np.isfinite(self["stat_scan_negative"].data[..., 0, 0]).all(axis=-1)

    @property
    def norm_negative_axis(self):
        """Axis of the scan of negative signals: ascending towards 0, which is not on it."""
        return self["stat_scan_negative"].geom.axes["norm_negative"]

    def _negative_to_lattice(self, zero, step):
        """Mirrored `LatticeProfiles`, or None; ``zero`` is ``stat`` without signal."""
        found = self.has_negative
        if not found.any():
            return None
        nodes = np.log10(-self.norm_negative_axis.center.value[::-1])
        scan = self["stat_scan_negative"].data[..., 0, 0]
        stat = scan.reshape(-1, scan.shape[-1])[:, ::-1]
        empty = ~found.ravel() | self.is_empty.ravel()
        reference = np.log10(self["reference_negative"].data.ravel())
        # rows without must not keep others from being aligned
        reference = np.where(empty, reference[np.argmin(empty)], reference)
        return LatticeProfiles.from_nodes(
            nodes, reference, np.where(empty[:, None], 0.0, stat), np.where(empty, 0.0, zero),
            empty, np.full(len(stat), np.inf), step,
        )  # fmt: skip


def check_negative(data):
    """Raise a ValueError if only one of the two quantities is there, or norms are not negative."""
    both = [name in data for name in ("reference_negative", "stat_scan_negative")]
    if not any(both):
        return
    if not all(both) or "stat_scan" not in data:
        raise ValueError(
            "CastroMaps: reference_negative and stat_scan_negative need each other and stat_scan, "
            f"got {sorted(data)}."
        )
    nodes = data["stat_scan_negative"].geom.axes["norm_negative"].center.value
    if not (nodes < 0).all():
        raise ValueError(f"the axis norm_negative must be below 0, got up to {nodes.max():g}.")


def split_scan(nodes, stat):
    """Take a scan apart at zero signal.

    Parameters
    ----------
    nodes : array, shape (n_norm,)
        Ascending.
    stat : array, shape (n_channel, n_mass, n_norm)

    Returns
    -------
    nodes, stat : arrays
        Zero, if there is something below, and above.
    below : tuple of arrays or None
        Nodes and ``stat`` below zero.

    Raises
    ------
    ValueError
        If there are too few on either side, or they do not ascend.
    """
    n_below = int(np.sum(nodes < 0))
    if (
        len(nodes) - n_below < LEAST_POINTS
        or 0 < n_below < LEAST_POINTS
        or not (np.diff(nodes) > 0).all()
    ):
        raise ValueError(
            f"sigmav must hold at least {LEAST_POINTS} ascending values that are not negative, and "
            f"none or at least {LEAST_POINTS} that are, got {nodes[:3]} ... ({len(nodes)} values, "
            f"{n_below} negative)."
        )
    if n_below == 0:
        return nodes, stat, None
    below = nodes[:n_below], stat[..., :n_below]
    above, stat_above = nodes[n_below:], stat[..., n_below:]
    if above[0] > 0:
        near = slice(n_below - 2, n_below + 2)
        stat_zero = (stat[..., near] * _weights_at_zero(nodes[near])).sum(axis=-1)
        above = np.append(0.0, above)
        stat_above = np.concatenate([stat_zero[..., None], stat_above], axis=-1)
    return above, stat_above, below


def _weights_at_zero(x):
    """Weights of the values at ``x`` in the polynomial through them, at 0."""
    return np.array([np.prod([b / (b - a) for b in x if b != a]) for a in x])


def negative_arrays(profiles, shape):
    """Nodes, references and ``stat`` of the mirrored ``profiles`` as a scan, or None."""
    if profiles is None or profiles.empty.all():
        return None
    nodes, reference, stat = profiles.scan()
    stat = np.where(profiles.empty[:, None], np.nan, stat)[:, :0:-1]  # without zero
    return -nodes[:0:-1], reference.reshape(shape), stat.reshape(*shape, -1)


def negative_maps(nodes, reference, stat, geom, unit):
    """The two quantities as maps; ``stat`` of shape (channel, mass, norm_negative)."""
    axis = MapAxis.from_nodes(nodes, name="norm_negative", interp="lin")
    return {
        "reference_negative": RegionNDMap(geom, reference[..., None, None], unit=unit),
        "stat_scan_negative": RegionNDMap(
            RegionGeom(None, axes=[axis, *geom.axes]), stat[..., None, None]
        ),
    }


def negative_on_one_axis(maps):
    """Bring the scans of negative signals to one axis, as far as the shortest of them reaches.

    Parameters
    ----------
    maps : list of `CastroMaps`

    Returns
    -------
    maps : list of `CastroMaps`
        All with the same axis ``norm_negative``, NaN where a result has no negative signals; or
        the input, if none has any or they agree.
    """
    having = [m for m in maps if m.has_negative.any()]
    if not having:
        return [_without_negative(m) for m in maps]
    axes = [m.norm_negative_axis.center.value for m in having]
    same = all(len(a) == len(axes[0]) and np.allclose(a, axes[0], rtol=1e-9) for a in axes)
    nodes = axes[0]
    if not same:
        logs = [np.log10(-a[::-1]) for a in axes]
        step = min((n[-1] - n[0]) / (len(n) - 1) for n in logs)
        low = int(np.floor(min(n[0] for n in logs) / step + 1e-6))
        high = int(np.floor(min(n[-1] for n in logs) / step + 1e-6))
        nodes = -(10.0 ** (step * np.arange(low, high + 1)))[::-1]
    return [_on_nodes(m, nodes, same) for m in maps]


def _without_negative(castro):
    names = ("reference_negative", "stat_scan_negative")
    if not any(name in castro._data for name in names):
        return castro
    data = {name: m for name, m in castro._data.items() if name not in names}
    return type(castro)(data, castro.meta)


def _on_nodes(castro, nodes, same):
    """Copy with negative signals at other nodes."""
    shape = castro["reference"].data.shape[:-2]
    found = castro.has_negative
    if same and found.any():
        return castro
    stat = np.full((*shape, len(nodes)), np.nan)
    reference = castro["reference"].data[..., 0, 0]
    if found.any():
        reference = castro["reference_negative"].data[..., 0, 0]
        own = np.log10(-castro.norm_negative_axis.center.value[::-1])
        scan = castro["stat_scan_negative"].data[..., 0, 0]
        rows = np.ascontiguousarray(scan[found][:, ::-1])
        zero = np.ascontiguousarray(castro.delta_stat[..., 0][found])
        new = np.empty((len(rows), len(nodes)))
        targets = np.minimum(np.log10(-nodes[::-1]), own[-1])
        kernels.resample(own, rows, zero, np.broadcast_to(targets, new.shape).copy(), new)
        stat[found] = new[:, ::-1]
    data = dict(castro._data) | negative_maps(
        nodes, reference, stat, castro.geom, castro["reference"].unit
    )
    return type(castro)(data, castro.meta)
