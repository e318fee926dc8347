"""Limits and intervals of `~dmgammapy.estimators.CastroMaps`."""

import numpy as np
from gammapy.maps import RegionNDMap

from . import limits
from .limits import LimitStatus

__all__ = ["CastroLimits", "estimate_quantities"]


class CastroLimits:
    """Mixin that reads limits off the profiles."""

    def _rows(self):
        """log10 nodes, profiles (n_row, n_norm), value at zero."""
        scan = self.delta_stat
        flat = np.ascontiguousarray(scan.reshape(-1, scan.shape[-1]))
        nodes = np.log10(self.norm_axis.center.value[1:])
        return nodes, np.ascontiguousarray(flat[:, 1:]), np.ascontiguousarray(flat[:, 0])

    @property
    def _log10_gap(self):
        """log10 of the norms between which scans were extrapolated to zero, shape (n_row, 2)."""
        n_row = self["reference"].data.size
        if "norm_gap_min" not in self._data or "norm_gap_max" not in self._data:
            return np.tile([np.inf, -np.inf], (n_row, 1))
        names = ("norm_gap_min", "norm_gap_max")
        with np.errstate(divide="ignore"):
            return np.log10(np.stack([self[name].data.ravel() for name in names], axis=1))

    def _as_strength_map(self, norm):
        shape = self["reference"].data.shape
        reference = self["reference"]
        return RegionNDMap(self.geom, norm.reshape(shape) * reference.data, unit=reference.unit)

    def upper_limit_and_status(self, cl=None, method="profile", delta_stat=None):
        """One-sided upper limit on the signal strength, and what it is worth.

        Parameters
        ----------
        cl : float, optional
            Confidence level. Default is ``meta.cl``.
        method : {"profile"}
            ``profile``: ``stat`` rises by ``chi2.ppf(2 cl - 1, 1)`` above its minimum at
            strength >= 0 (2.7055 at 95 %).
        delta_stat : float, optional
            The rise itself, instead of ``cl``.

        Returns
        -------
        limit : `~gammapy.maps.Map`
            [cm3 s-1] or [s-1]; NaN where none was found.
        status : `~gammapy.maps.Map`
            `LimitStatus`.

        Raises
        ------
        ValueError
            If the method is unknown or the level out of range.
        """
        if method != "profile":
            raise ValueError(f"method must be 'profile', got {method!r}.")
        if delta_stat is None:
            delta_stat = limits.delta_stat_upper(self.meta.cl if cl is None else cl)
        elif cl is not None:
            raise ValueError("give either cl or delta_stat, not both.")
        nodes, stat, zero = self._rows()
        best, minimum = limits.best_fit(nodes, stat, zero)
        beyond = self._log10_extrapolated
        norm, status = limits.upper_limit(
            nodes, stat, zero, best, minimum, delta_stat, beyond, self._log10_gap
        )
        empty = self.is_empty.ravel()
        norm[empty] = np.nan
        status[empty] = LimitStatus.NO_INFORMATION
        shape = self["reference"].data.shape
        return self._as_strength_map(norm), RegionNDMap(self.geom, status.reshape(shape))

    def upper_limit(self, cl=None, method="profile", delta_stat=None):
        """One-sided upper limit, see `upper_limit_and_status`.

        Returns
        -------
        limit : `~gammapy.maps.Map`
        """
        return self.upper_limit_and_status(cl, method, delta_stat)[0]

    def interval(self, cl=0.6827, delta_stat=None):
        """Two-sided likelihood interval of the signal strength.

        Parameters
        ----------
        cl : float
            Confidence level; the interval is where ``stat`` lies less than ``chi2.ppf(cl, 1)``
            above its minimum. Default is 0.6827.
        delta_stat : float, optional
            The rise itself.

        Returns
        -------
        lower, upper : `~gammapy.maps.Map`
            ``lower`` is 0 where zero is inside; NaN where the grid ends first or the data hold
            no information.
        """
        if delta_stat is None:
            delta_stat = limits.delta_stat_interval(cl)
        nodes, stat, zero = self._rows()
        best, minimum = limits.best_fit(nodes, stat, zero)
        lower, upper = limits.interval(nodes, stat, zero, best, minimum, delta_stat)
        empty = self.is_empty.ravel()
        lower[empty] = upper[empty] = np.nan
        return self._as_strength_map(lower), self._as_strength_map(upper)


def estimate_quantities(nodes, stat, empty, extrapolated, cl, gap=None):
    """Best fit, errors, limit and status from ``stat`` of shape (channel, mass, norm).

    ``gap``, of shape (channel, mass, 2), are norms as `LatticeProfiles` has strengths.
    """
    shape = empty.shape
    log_nodes = np.log10(nodes[1:])
    flat = stat.reshape(-1, len(nodes))
    rows = np.ascontiguousarray(flat[:, 1:])
    zero = np.ascontiguousarray(flat[:, 0])
    best, minimum = limits.best_fit(log_nodes, rows, zero)
    if gap is None:
        gap = np.broadcast_to([np.inf, 0.0], (*shape, 2))
    with np.errstate(divide="ignore"):
        beyond, log_gap = np.log10(extrapolated.ravel()), np.log10(gap.reshape(-1, 2))
    upper, status = limits.upper_limit(
        log_nodes, rows, zero, best, minimum, limits.delta_stat_upper(cl), beyond, log_gap
    )
    low, high = limits.interval(log_nodes, rows, zero, best, minimum, 1.0)
    off = empty.ravel()
    status[off] = LimitStatus.NO_INFORMATION
    errn = np.where(low > 0, best - low, np.nan)
    errp = high - best
    err = np.where(np.isfinite(errn), 0.5 * (errn + errp), errp)
    values = {
        "norm": best,
        "norm_err": err,
        "norm_errn": errn,
        "norm_errp": errp,
        "norm_ul": upper,
        "ts": np.clip(zero - minimum, 0, None),
        "stat": minimum,
        "stat_null": zero,
    }
    arrays = {}
    for name, value in values.items():
        arrays[name] = np.where(off, np.nan, value).reshape(shape)
    arrays["status"] = status.reshape(shape)
    arrays["norm_extrapolated"] = extrapolated
    arrays["norm_gap_min"], arrays["norm_gap_max"] = gap[..., 0], gap[..., 1]
    arrays["_minimum"] = minimum.reshape(shape)
    return arrays
