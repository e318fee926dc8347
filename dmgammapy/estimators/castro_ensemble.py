"""Ensembles of results and their bands: what `~dmgammapy.estimators.CastroMaps` do with them."""

import numpy as np
from gammapy.maps import MapAxis, RegionGeom, RegionNDMap
from scipy.special import ndtri

from . import limits, statistics
from .limits import LimitStatus

__all__ = ["BAND_QUANTILES", "CastroEnsemble", "are_few", "band_pairs", "content_of_few"]

BAND_QUANTILES = (0.025, 0.16, 0.5, 0.84, 0.975)
FEW, FEW_OUTSIDE = 100, 5  # realisations of which a band of 95 % holds 94 % of further ones
ASIMOV_TS = 1e-3
ENSEMBLE_QUANTITIES = ("norm", "norm_ul", "ts")
TAIL_RTOL = 0.05  # by which the two tails of a band may differ: rounded quantiles


def band_pairs(q):
    """Which quantiles are the two ends of a central band, and what it holds.

    Parameters
    ----------
    q : array
        Quantiles in ascending order.

    Returns
    -------
    pairs : dict of tuple
        Places of the lower and the upper end by the fraction that lies between them, the widest
        band first. A quantile without a counterpart on the other side of 0.5 is in none.

    Examples
    --------
    >>> from dmgammapy.estimators.castro_ensemble import band_pairs
    >>> band_pairs([0.0228, 0.1587, 0.5, 0.8413, 0.9772])
    {0.9544: (0, 4), 0.6826: (1, 3)}
    """
    q = np.asarray(q, dtype=float)
    pairs = {}
    for low in np.flatnonzero((q > 0) & (q < 0.5)):
        off = np.abs(1 - q - q[low])
        off[: low + 1] = np.inf
        high = int(np.argmin(off))
        if off[high] <= TAIL_RTOL * q[low]:
            pairs[round(float(q[high] - q[low]), 6)] = (int(low), high)
    return pairs


def are_few(n, contents):
    """Whether realisations are so few that their bands hold clearly less than they say.

    Parameters
    ----------
    n : int or None
        Number of realisations; None if there are none.
    contents : iterable of float
        Of the bands.

    Returns
    -------
    few : bool
        If there are fewer than 100, or fewer than 5 outside of the widest band.

    Examples
    --------
    >>> from dmgammapy.estimators.castro_ensemble import are_few
    >>> are_few(99, [0.68]), are_few(100, [0.68, 0.95]), are_few(200, [0.9973])
    (True, False, True)
    """
    if n is None or not len(list(contents)):
        return False
    return n < FEW or n * (1 - max(contents)) < FEW_OUTSIDE * (1 - 1e-9)


def content_of_few(low, high, n):
    """What a band between quantiles of a few realisations holds of further ones, on average.

    The k-th of n values has on average the fraction k / (n + 1) of all below it, whatever their
    distribution (David & Nagaraja 2003, Order Statistics, section 2.5), and the quantile q is the
    value of the rank q n + 1/2, which can't lie beyond the first and the last.

    Parameters
    ----------
    low, high : float
        Quantiles at its ends.
    n : int
        Number of realisations.

    Returns
    -------
    content : float

    Examples
    --------
    >>> from dmgammapy.estimators.castro_ensemble import content_of_few
    >>> round(content_of_few(0.025, 0.975, 20), 3)
    0.905
    """
    first, last = (min(max(q * n + 0.5, 1), n) for q in (low, high))
    return (last - first) / (n + 1)


def _places(q, n):
    """Ranks on both sides of quantiles of n values, and how far they are between them.

    The middle of the k-th of n values is the quantile (k - 1/2) / n (Hazen).
    """
    place = np.clip(q * n - 0.5, 0, n - 1)
    low = np.floor(place).astype(int)
    return low, np.ceil(place).astype(int), place - low


def _hazen(values, q):
    """Quantiles along the first axis; infinite wherever a neighbour is, NaN where any value is."""
    ranked = np.sort(values, axis=0)
    low, high, part = _places(q, len(values))
    part = part.reshape(-1, *[1] * (values.ndim - 1))
    low, high = ranked[low], ranked[high]
    with np.errstate(invalid="ignore"):
        result = np.where(part > 0, low * (1 - part) + high * part, low)
    result = np.where((part > 0) & np.isposinf(high), np.inf, result)
    result = np.where((part > 0) & np.isneginf(low), -np.inf, result)
    return np.where(np.isnan(values).any(axis=0), np.nan, result)


class CastroEnsemble:
    """Mixin with what is done along the axis ``realisation``."""

    def _require_axis(self, name, what):
        if name not in self.geom.axes.names:
            raise ValueError(
                f"{what} needs the axis {name!r}, this result has {self.geom.axes.names}."
            )
        return self.geom.axes.names.index(name)

    def _reduced(self, data, axis_name, axis=None):
        """Maps without an axis, or with another in its place."""
        axes = [a for a in self.geom.axes if a.name != axis_name]
        if axis is not None:
            axes.insert(self.geom.axes.names.index(axis_name), axis)
        geom = RegionGeom(None, axes=axes)
        return {
            name: RegionNDMap(geom, array, unit=self._data[name].unit if name in self._data else "")
            for name, array in data.items()
        }

    def quantiles(self, q=BAND_QUANTILES, axis="realisation"):
        """Quantiles of best fit, limit and TS over realisations.

        A realisation whose limit lies beyond the grid counts as infinitely weak, one that excludes
        all strengths as infinitely strong; a quantile that falls there is NaN with the status
        ``GRID_EDGE`` or ``ALL_EXCLUDED``. Where limits at a quantile are
        extrapolated, the quantile is.

        Parameters
        ----------
        q : list of float
            Ascending, between 0 and 1. Default is the median and the ends of the central 68 and
            95 %.
        axis : str
            Axis to reduce. Default is "realisation".

        Returns
        -------
        bands : `CastroMaps`
            With the axes (mass, channel, quantile) and the quantities ``norm, norm_ul, ts,
            status``, as far as the ensemble has them.

        Raises
        ------
        ValueError
            If the axis is not there or quantiles are out of range.
        """
        position = self._require_axis(axis, "quantiles")
        q = np.atleast_1d(np.asarray(q, dtype=float))
        if q.ndim != 1 or not ((q >= 0) & (q <= 1)).all() or not (np.diff(q) > 0).all():
            raise ValueError(f"quantiles must ascend between 0 and 1, got {q}.")
        along = self["reference"].data.ndim - 3 - position
        empty = self["status"].data == LimitStatus.NO_INFORMATION
        reference = np.moveaxis(self["reference"].data, along, 0)
        common = reference[0]
        out = {"reference": np.broadcast_to(common, (len(q), *common.shape))}
        for name in ENSEMBLE_QUANTITIES:
            if name not in self._data:
                continue
            values = np.array(self._data[name].data, dtype=float)
            if name == "norm_ul":
                strongest = self["status"].data == LimitStatus.ALL_EXCLUDED
                values = np.where(np.isnan(values) & ~empty, np.inf, values)
                values = np.where(strongest, -np.inf, values)
            values = np.moveaxis(values, along, 0)
            if name != "ts":
                values = values * reference / common
            result = _hazen(values, q)
            if name == "norm_ul":
                out["status"] = self._quantile_status(values, result, q, along)
                result = np.where(np.isfinite(result), result, np.nan)
            out[name] = result
        axis_q = MapAxis.from_nodes(q, name="quantile", interp="lin")
        data = {name: np.moveaxis(array, 0, along) for name, array in out.items()}
        meta = self.meta.model_copy(deep=True)
        n = self.geom.axes[axis].nbin
        meta.notes = [*meta.notes, f"quantiles of {n} realisations."]
        return self.__class__(self._reduced(data, axis, axis_q), meta)

    def _quantile_status(self, values, result, q, along):
        """Worst status of the two realisations on both sides of each quantile."""
        status = np.moveaxis(self["status"].data, along, 0)
        order = np.argsort(values, axis=0)
        ranked = np.take_along_axis(status, order, axis=0)
        low, high, _ = _places(q, len(values))
        worst = np.maximum(ranked[low], ranked[high])
        empty = (status == LimitStatus.NO_INFORMATION).any(axis=0)
        worst = np.where(np.isposinf(result), int(LimitStatus.GRID_EDGE), worst)
        worst = np.where(np.isneginf(result), int(LimitStatus.ALL_EXCLUDED), worst)
        return np.where(empty, int(LimitStatus.NO_INFORMATION), worst)

    def expected_limits(self, quantiles=BAND_QUANTILES, method="profile", cl=None, **settings):
        r"""Bands of data like this, if this is the Asimov data without signal.

        A fluctuation by N standard deviations gives a limit where the profile has risen by the
        square of `statistics.expected_root` (Cowan et al. 2011, EPJ C 71, 1554, section 4).

        Parameters
        ----------
        quantiles : list of float
            Default is the median and the ends of the central 68 and 95 %.
        method : str
            Of the limits, see `upper_limit_and_status`. Default is "profile".
        cl : float, optional
            Confidence level. Default is ``meta.cl``.
        **settings
            ``min_power`` of ``power_constrained``.

        Returns
        -------
        bands : `CastroMaps`
            With the axes (mass, channel, quantile) and the quantities ``norm, norm_ul, ts,
            status``.

        Raises
        ------
        ValueError
            If the best fit is not at zero: this is not Asimov data without signal.
        """
        if (self["ts"].data > ASIMOV_TS).any():
            raise ValueError(
                f"expected_limits: TS is {np.nanmax(self['ts'].data):.3g}, so this is not the "
                "Asimov data without signal."
            )
        q = np.atleast_1d(np.asarray(quantiles, dtype=float))
        cl = self.meta.cl if cl is None else cl
        n_sigma = ndtri(q)
        roots = statistics.expected_root(cl, n_sigma, method, **settings)
        shape = self["reference"].data.shape
        out = {name: [] for name in ("norm", "norm_ul", "ts", "status")}
        for n, root in zip(n_sigma, roots, strict=True):
            limit, status = self._rise(max(root, 0.0) ** 2)
            best, _ = self._rise(max(n, 0.0) ** 2)
            if root <= 0:  # CLs+b excludes all strengths
                known = status != LimitStatus.NO_INFORMATION
                limit = np.full_like(limit, np.nan)
                status = np.where(known, int(LimitStatus.ALL_EXCLUDED), status)
            out["norm_ul"].append(limit.reshape(shape))
            out["status"].append(status.reshape(shape))
            out["norm"].append(best.reshape(shape) if n > 0 else np.zeros(shape))
            out["ts"].append(np.where(self["ts"].data >= 0, max(n, 0.0) ** 2, np.nan))
        axis = MapAxis.from_nodes(q, name="quantile", interp="lin")
        geom = RegionGeom(None, axes=[*self.geom.axes, axis])
        data = {name: RegionNDMap(geom, np.array(values)) for name, values in out.items()}
        reference = self["reference"]
        data["reference"] = RegionNDMap(
            geom, np.broadcast_to(reference.data, (len(q), *shape)).copy(), unit=reference.unit
        )
        meta = self.meta.model_copy(deep=True)
        meta.cl = cl
        meta.notes = [*meta.notes, f"asymptotic bands of {method} limits from Asimov data."]
        return self.__class__(data, meta)

    def _rise(self, delta_stat):
        """Norm at which the profile has risen by so much above its value at zero, and status."""
        nodes, stat, zero = self._rows()
        norm, status = limits.upper_limit(
            nodes, stat, zero, np.zeros(len(zero)), zero, delta_stat, self._log10_extrapolated,
            self._log10_gap,
        )  # fmt: skip
        empty = self.is_empty.ravel()
        norm[empty] = np.nan
        status[empty] = LimitStatus.NO_INFORMATION
        return norm, status

    def mean(self, axis="realisation"):
        """Mean of best fit and TS over realisations, and of the limits where all were found.

        Returns
        -------
        castro : `CastroMaps`
            Without the axis; ``norm_ul`` is NaN where a limit lies beyond the grid.
        """
        position = self._require_axis(axis, "mean")
        along = self["reference"].data.ndim - 3 - position
        reference = np.moveaxis(self["reference"].data, along, 0)
        common = reference[0]
        out = {"reference": common}
        for name in ENSEMBLE_QUANTITIES:
            if name in self._data:
                values = np.moveaxis(self._data[name].data, along, 0)
                scale = 1.0 if name == "ts" else reference / common
                out[name] = (values * scale).mean(axis=0)
        out["status"] = np.moveaxis(self["status"].data, along, 0).max(axis=0)
        meta = self.meta.model_copy(deep=True)
        meta.notes = [*meta.notes, f"means of {self.geom.axes[axis].nbin} realisations."]
        return self.__class__(self._reduced(out, axis), meta)

    def max_ts(self, axes=("mass", "channel")):
        """Largest TS over some axes.

        Parameters
        ----------
        axes : list of str
            Default is masses and channels.

        Returns
        -------
        ts : array
            With the axes that are left, in the order of ``geom.axes.names`` reversed, e.g.
            (realisation,). Points without information are left out.
        """
        axes = [axes] if isinstance(axes, str) else list(axes)
        names = self.geom.axes.names
        for name in axes:
            self._require_axis(name, "max_ts")
        ts = self["ts"].data[..., 0, 0]
        places = tuple(ts.ndim - 1 - names.index(name) for name in axes)
        known = np.where(np.isnan(ts), -np.inf, ts).max(axis=places)
        return np.where(np.isinf(known), np.nan, known)
