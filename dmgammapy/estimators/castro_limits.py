"""Limits and intervals of `~dmgammapy.estimators.CastroMaps`."""

import astropy.units as u
import numpy as np
from gammapy.maps import RegionNDMap

from . import _kernels as kernels
from . import intervals, limits
from ._profile_curves import Curves, unbounded_minimum
from .limits import LimitStatus
from .statistics import MIN_POWER

__all__ = ["CastroLimits", "estimate_quantities"]

METHODS = ("profile", "cls", "clsb", "power_constrained", "feldman_cousins", "toys", "toys_clsb")
INTERVALS = ("profile", "feldman_cousins")
INTERVAL_CL = 0.6827
NO_SIGNAL_TS = 1e-3  # of Asimov data without signal, but for rounding
TAIL_MATTERS = 0.4  # of 1 - cl


class CastroLimits:
    """Mixin that reads limits off the profiles."""

    def _rows(self):
        """log10 nodes, profiles (n_row, n_norm), value at zero."""
        scan = self._scan()
        nodes = np.log10(self.norm_axis.center.value[1:])
        return nodes, np.ascontiguousarray(scan[:, 1:]), np.ascontiguousarray(scan[:, 0])

    def _scan(self):
        """``stat`` with zero signal first, (n_row, n_norm)."""
        if "stat_scan" not in self._data:
            raise ValueError(
                "this CastroMaps has no 'stat_scan' to read limits off, only "
                f"{self.available_quantities}; use the result that it was made from."
            )
        scan = self.delta_stat
        return np.ascontiguousarray(scan.reshape(-1, scan.shape[-1]))

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

    def _as_status_map(self, status):
        return RegionNDMap(self.geom, status.reshape(self["reference"].data.shape))

    def _negative(self):
        """Negative norms (n_row, n_negative) and ``stat`` there, None without."""
        if "stat_scan_negative" not in self._data or "reference_negative" not in self._data:
            return None
        scan = self._data["stat_scan_negative"]
        nodes = scan.geom.axes["norm_negative"].center.value
        ratio = (
            self._data["reference_negative"].quantity.ravel() / self["reference"].quantity.ravel()
        ).to_value("")
        stat = np.array(scan.data[..., 0, 0], dtype=float).reshape(-1, len(nodes))
        missing = ~(np.isfinite(ratio) & (ratio > 0))  # rows without a negative part
        stat[missing] = np.nan
        return np.where(missing, 1.0, ratio)[:, None] * nodes, stat

    def _asimov(self, asimov):
        """``stat`` of the Asimov data at this result's strengths, and where it is extrapolated."""
        self.check_compatible(asimov)
        shapes = [m["reference"].data.shape for m in (self, asimov)]
        if shapes[0][-len(shapes[1]) :] != shapes[1]:  # further axes, e.g. realisations, may lack
            raise ValueError(
                f"asimov must have the axes of this result, got the shapes {shapes[1]} and "
                f"{shapes[0]}."
            )
        targets = [m.meta.target for m in (self, asimov)]
        if None not in targets and targets[0] != targets[1]:  # J itself may be measured anew
            raise ValueError(f"asimov is of {targets[1]!r}, the data are of {targets[0]!r}.")
        methods = [m.meta.jfactor_method for m in (self, asimov)]
        if methods[0] != methods[1]:
            raise ValueError(
                "asimov must be treated as the data are: its J treatment is "
                f"{methods[1] or 'none'}, that of the data {methods[0] or 'none'}."
            )
        _check_no_signal(asimov)
        nodes, rows, zero = asimov._rows()
        ratio = np.log10(
            (self["reference"].quantity / asimov["reference"].quantity).to_value("").ravel()
        )
        index = np.resize(np.arange(len(rows)), len(ratio))
        rows, zero = rows[index], zero[index]
        own = np.log10(self.norm_axis.center.value[1:])
        stat = np.empty((len(rows), len(own) + 1))
        stat[:, 0] = zero
        moved = np.empty((len(rows), len(own)))
        wanted = own + ratio[:, None]
        kernels.resample(nodes, rows, zero, wanted, moved)
        # below its nodes a minimum at zero is quadratic
        low = 100.0 ** np.minimum(wanted - nodes[0], 0.0)
        continued = zero[:, None] + (rows[:, :1] - zero[:, None]) * low
        moved = np.where(wanted < nodes[0], continued, moved)
        stat[:, 1:] = moved
        stat[asimov.is_empty.ravel()[index]] = np.nan  # these rows go without
        beyond, gap = asimov._log10_extrapolated[index], asimov._log10_gap[index]
        return stat, beyond - ratio, gap - ratio[:, None]

    def _toys(self, toys, *names):
        """Simulated norms (n_row, n_mu) and test statistics (n_row, n_mu, n_toy)."""
        channels = getattr(toys, "channels", None)
        if channels is not None and list(channels) != list(self.channels):
            raise ValueError(
                f"toys must be of the channels of this result, {list(self.channels)}, got "
                f"{list(channels)}."
            )
        masses = getattr(toys, "masses", None)
        if masses is not None and not (
            len(masses) == len(self.masses) and np.allclose((masses / self.masses).to_value(""), 1)
        ):
            raise ValueError(
                f"toys must be of the masses of this result, {self.masses}, got {masses}."
            )
        unit = self["reference"].unit
        strengths = u.Quantity(toys.strengths, unit).to_value(unit)
        shape = self["reference"].data.shape[:-2]
        if strengths.shape[:-1] != shape:
            raise ValueError(
                f"toys.strengths must have the shape (channel, mass, n_mu), {shape} first, got "
                f"{strengths.shape}."
            )
        strengths = strengths.reshape(-1, strengths.shape[-1])
        out = [strengths / self["reference"].data.reshape(-1, 1)]
        for name in names:
            values = np.asarray(getattr(toys, name))
            if values.shape[: len(shape) + 1] != (*shape, strengths.shape[-1]):
                raise ValueError(
                    f"toys.{name} must have the shape (channel, mass, n_mu, n_toy), "
                    f"{(*shape, strengths.shape[-1])} first, got {values.shape}."
                )
            out.append(values.reshape(-1, *values.shape[-2:]))
        return out

    def _limit_settings(self, method, asimov):
        """Keywords of the functions of `intervals`, and where the result is extrapolated."""
        beyond, gap = self._log10_extrapolated, self._log10_gap
        settings = {}
        if method in ("cls", "clsb", "power_constrained", "feldman_cousins"):
            settings["negative"] = self._negative()
            if asimov is not None:
                settings["asimov"], more, more_gap = self._asimov(asimov)
                beyond = np.minimum(beyond, more)
                gap = np.stack(
                    [np.minimum(gap[:, 0], more_gap[:, 0]), np.maximum(gap[:, 1], more_gap[:, 1])],
                    axis=1,
                )
        elif asimov is not None:
            raise ValueError(f"method {method!r} does not use asimov.")
        return settings, beyond, gap

    def _finish(self, norm, status, beyond, gap):
        """Mark what is extrapolated and what is empty."""
        nodes, stat, zero = self._rows()
        best, _ = limits.best_fit(nodes, stat, zero)
        status = limits.mark_extrapolated(norm, status, best, beyond, gap)
        empty = self.is_empty.ravel()
        return np.where(empty, np.nan, norm), np.where(
            empty, int(LimitStatus.NO_INFORMATION), status
        )

    def upper_limit_and_status(
        self, cl=None, method="profile", delta_stat=None, *, asimov=None, toys=None,
        min_power=MIN_POWER,
    ):  # fmt: skip
        r"""One-sided upper limit on the signal strength, and what it is worth.

        Parameters
        ----------
        cl : float, optional
            Confidence level. Default is ``meta.cl``.
        method : str
            ``profile`` (default)
                ``stat`` rises by ``chi2.ppf(2 cl - 1, 1)`` above its minimum at strength >= 0
                (2.7055 at 95 %).
            ``cls``
                CLs with asymptotic distributions, `~dmgammapy.estimators.intervals.cls`. Uses
                ``asimov``, else the negative strengths of the scan; without both the width of the
                estimator is guessed and the status is APPROXIMATE.
            ``clsb``
                CLs+b, likewise; NaN with the status ALL_EXCLUDED where the data exclude all
                strengths.
            ``power_constrained``
                CLs+b, but not below where the power falls to ``min_power``.
            ``feldman_cousins``
                Upper end of that interval, asymptotic or from ``toys``.
            ``toys``, ``toys_clsb``
                CLs and CLs+b from ``toys``.
        delta_stat : float, optional
            The rise itself, instead of ``cl`` (``profile`` only).
        asimov : `CastroMaps`, optional
            The same analysis of the Asimov data without signal: same masses and channels, same
            treatment of J.
        toys : `LimitToys`, optional
            Simulated test statistics.
        min_power : float
            Default is :math:`\Phi(-1)`, 16 %.

        Returns
        -------
        limit : `~gammapy.maps.Map`
            [cm3 s-1] or [s-1]; NaN where none was found.
        status : `~gammapy.maps.Map`
            `LimitStatus`.

        Raises
        ------
        ValueError
            If the method is unknown, the level out of range, arguments are missing or not used by
            the method, toys are of other masses or channels or fewer than 20, or ``asimov`` does
            not fit: another target or J treatment, other masses or channels, or a best fit that is
            not at zero.

        Notes
        -----
        Asymptotic methods take the estimator for Gaussian and are too strong for few counts: CLs
        by 5 to 10 % with ten background counts, up to a third with less than one
        (`dmgammapy.estimators.intervals` has a table). Use toys there.

        Examples
        --------
        >>> import numpy as np
        >>> import astropy.units as u
        >>> from dmgammapy.estimators import CastroMaps
        >>> sigmav = np.append(0, np.geomspace(1e-28, 1e-22, 241)) * u.Unit("cm3 s-1")
        >>> x = sigmav.value / 1e-26  # data one sigma below zero, and the Asimov data
        >>> data, asimov = (
        ...     CastroMaps.from_scan(sigmav, s.reshape(1, 1, -1), [100] * u.GeV, ["b"])
        ...     for s in ((x + 1) ** 2, x**2)
        ... )
        >>> limit, status = data.upper_limit_and_status(method="cls", asimov=asimov)
        >>> print(f"{limit.quantity.squeeze():.4g} {status.data.item()}")
        1.412e-26 cm3 / s 0
        """
        if method not in METHODS:
            raise ValueError(f"method must be one of {list(METHODS)}, got {method!r}.")
        if delta_stat is not None and (cl is not None or method != "profile"):
            raise ValueError("give either cl or delta_stat, not both, and it with 'profile' only.")
        cl = self.meta.cl if cl is None else cl
        scan = self._scan()
        nodes = self.norm_axis.center.value
        if min_power != MIN_POWER and method != "power_constrained":
            raise ValueError(f"method {method!r} does not use min_power.")
        settings, beyond, gap = self._limit_settings(method, asimov)
        if toys is not None and method not in ("toys", "toys_clsb", "feldman_cousins"):
            raise ValueError(f"method {method!r} does not use toys.")
        if method == "profile":
            if delta_stat is None:
                delta_stat = limits.delta_stat_upper(cl)
            log_nodes, stat, zero = self._rows()
            best, minimum = limits.best_fit(log_nodes, stat, zero)
            norm, status = limits.upper_limit(
                log_nodes, stat, zero, best, minimum, delta_stat, beyond, gap
            )
        elif method in ("toys", "toys_clsb"):
            if toys is None:
                raise ValueError(f"method {method!r} needs toys.")
            strengths, signal, null = self._toys(toys, "q_signal", "q_null")
            norm, status = intervals.cls_toys(
                nodes, scan, signal, null, cl, toy_strengths=strengths, use_clb=method == "toys"
            )
        elif method == "feldman_cousins":
            norm, status = self._feldman_cousins(cl, toys, settings)[1:]
        else:
            if method == "power_constrained":
                settings["min_power"] = min_power
            norm, status = getattr(intervals, method)(nodes, scan, cl, **settings)
        norm, status = self._finish(norm, status, beyond, gap)
        return self._as_strength_map(norm), self._as_status_map(status)

    def _feldman_cousins(self, cl, toys, settings):
        nodes, scan = self.norm_axis.center.value, self._scan()
        if toys is not None:
            if "asimov" in settings:
                raise ValueError("give either asimov or toys to 'feldman_cousins', not both.")
            strengths, t = self._toys(toys, "t_signal")
            settings = {"toys": t, "toy_strengths": strengths}
        return intervals.feldman_cousins(nodes, scan, cl, **settings)

    def upper_limit(self, cl=None, method="profile", delta_stat=None, **settings):
        """One-sided upper limit, see `upper_limit_and_status`.

        Returns
        -------
        limit : `~gammapy.maps.Map`
        """
        return self.upper_limit_and_status(cl, method, delta_stat, **settings)[0]

    def interval_and_status(
        self, cl=INTERVAL_CL, delta_stat=None, method="profile", *, asimov=None, toys=None
    ):
        """Two-sided interval of the signal strength, and what it is worth.

        Parameters
        ----------
        cl : float
            Confidence level. Default is 0.6827.
        delta_stat : float, optional
            The rise of ``stat`` itself, instead of ``cl`` (``profile`` only).
        method : {"profile", "feldman_cousins"}
            ``profile`` (default): where ``stat`` lies less than ``chi2.ppf(cl, 1)`` above its
            minimum at strength >= 0. ``feldman_cousins``: see
            `~dmgammapy.estimators.intervals.feldman_cousins`.
        asimov, toys
            See `upper_limit_and_status`; ``feldman_cousins`` only.

        Returns
        -------
        lower, upper : `~gammapy.maps.Map`
            ``lower`` is 0 where zero is inside; NaN where the grid ends first or the data hold
            no information.
        status : `~gammapy.maps.Map`
            `LimitStatus` of ``upper``; EXTRAPOLATED also where ``lower`` is.

        Raises
        ------
        ValueError
            As `upper_limit_and_status`.
        """
        if method not in INTERVALS:
            raise ValueError(f"method must be one of {list(INTERVALS)}, got {method!r}.")
        settings, beyond, gap = self._limit_settings(method, asimov)
        if method == "feldman_cousins":
            if delta_stat is not None:
                raise ValueError("delta_stat goes with 'profile' only.")
            lower, upper, status = self._feldman_cousins(cl, toys, settings)
        else:
            if toys is not None:
                raise ValueError(f"method {method!r} does not use toys.")
            if delta_stat is None:
                delta_stat = limits.delta_stat_interval(cl)
            elif cl != INTERVAL_CL:
                raise ValueError("give either cl or delta_stat, not both.")
            nodes, stat, zero = self._rows()
            best, minimum = limits.best_fit(nodes, stat, zero)
            lower, upper = limits.interval(nodes, stat, zero, best, minimum, delta_stat)
            status = np.where(
                np.isfinite(upper), int(LimitStatus.FOUND), int(LimitStatus.GRID_EDGE)
            )
        upper, status = self._finish(upper, status, beyond, gap)
        status = self._mark_lower(lower, status, gap)
        lower = np.where(self.is_empty.ravel(), np.nan, lower)
        return (
            self._as_strength_map(lower),
            self._as_strength_map(upper),
            self._as_status_map(status),
        )

    def _mark_lower(self, lower, status, gap):
        """EXTRAPOLATED where scans were extrapolated between the lower end and the best fit."""
        nodes, stat, zero = self._rows()
        with np.errstate(divide="ignore", invalid="ignore"):
            best = np.log10(limits.best_fit(nodes, stat, zero)[0])
            crossed = (np.log10(lower) < gap[:, 1]) & (best > gap[:, 0])
        given = (status == LimitStatus.FOUND) | (status == LimitStatus.APPROXIMATE)
        return np.where(crossed & given, int(LimitStatus.EXTRAPOLATED), status)

    def interval(self, cl=INTERVAL_CL, delta_stat=None, method="profile", **settings):
        """Two-sided interval, see `interval_and_status`.

        Returns
        -------
        lower, upper : `~gammapy.maps.Map`
        """
        return self.interval_and_status(cl, delta_stat, method, **settings)[:2]

    def credible_upper_limit_and_status(self, cl=None):
        """Bayesian upper limit, flat prior in the signal strength (>= 0), and what it is worth.

        With J marginalised it is the Bayesian one throughout; for Poisson counts on a known
        background it equals CLs exactly (`~dmgammapy.estimators.intervals.credible`).

        Parameters
        ----------
        cl : float, optional
            Credibility. Default is ``meta.cl``.

        Returns
        -------
        limit, status : `~gammapy.maps.Map`
            GRID_EDGE where the likelihood reaches beyond the grid. EXTRAPOLATED also where more
            than 0.4 (1 - cl) of the posterior, 2 % at 95 %, rests on extrapolated scans beyond the
            limit.
        """
        cl = self.meta.cl if cl is None else cl
        scan = self._scan()
        norm, status = intervals.credible(self.norm_axis.center.value, scan, cl)
        beyond = self._log10_extrapolated
        norm, status = self._finish(norm, status, beyond, self._log10_gap)
        tail = intervals.mass_beyond(self.norm_axis.center.value, scan, 10.0**beyond)
        heavy = (tail > TAIL_MATTERS * (1 - cl)) & (status == LimitStatus.FOUND)
        status = np.where(heavy, int(LimitStatus.EXTRAPOLATED), status)
        return self._as_strength_map(norm), self._as_status_map(status)

    def credible_upper_limit(self, cl=None):
        """Bayesian upper limit, see `credible_upper_limit_and_status`."""
        return self.credible_upper_limit_and_status(cl)[0]

    def posterior(self):
        """Bayesian density of the signal strength, flat prior at strength >= 0.

        Returns
        -------
        density : `~gammapy.maps.Map`
            Axes of the scan; per strength [s cm-3] or [s], normalised over the scanned strengths
            (`strength_scan`); NaN without information.
        """
        scan = self._scan()
        density = intervals.posterior(self.norm_axis.center.value, scan)
        reference = self["reference"]
        density = density / reference.data.reshape(-1, 1)
        density[self.is_empty.ravel()] = np.nan
        geom = self["stat_scan"].geom
        return RegionNDMap(
            geom, density.reshape(self["stat_scan"].data.shape), unit=1 / reference.unit
        )

    def unbounded_fit(self):
        """Best signal strength of either sign.

        Returns
        -------
        strength : `~gammapy.maps.Map`
            NaN where no signal fits best and the scan has no negative strengths, or ends before
            its minimum (in counts, where a bin would predict less than nothing).
        stat : `~gammapy.maps.Map`
            -2 ln L there, on the offset of ``stat`` if this result has it, else relative to the
            minimum at strength >= 0.
        """
        curves = Curves(self.norm_axis.center.value, self._scan())
        negative = self._negative()
        best, minimum, known = curves.best, curves.minimum, curves.best > 0
        if negative is not None:
            best, minimum, known = unbounded_minimum(curves, *negative)
        known = known & ~self.is_empty.ravel()
        stat = minimum - curves.minimum
        if "stat" in self._data:
            stat = stat + self["stat"].data.ravel()
        shape = self["reference"].data.shape
        return (
            self._as_strength_map(np.where(known, best, np.nan)),
            RegionNDMap(self.geom, np.where(known, stat, np.nan).reshape(shape)),
        )


def _check_no_signal(asimov):
    """An error unless the best fit of either sign is at zero."""
    _, rows, zero = asimov._rows()
    empty = asimov.is_empty.ravel()
    lowest = rows.min(axis=1)
    negative = asimov._negative()
    if negative is not None:
        lowest = np.fmin(lowest, np.fmin.reduce(negative[1], axis=1))
    ts = np.where(empty, 0.0, zero - lowest)
    if (ts > NO_SIGNAL_TS).any():
        raise ValueError(
            "asimov must be the Asimov data without signal, with the best fit at zero: its -2 ln L "
            f"is up to {np.nanmax(ts):.3g} lower at some other strength."
        )


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
