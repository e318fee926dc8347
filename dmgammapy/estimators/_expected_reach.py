"""Discovery reach and required exposure: searches over Asimov data."""

import astropy.units as u
import numpy as np
from gammapy.maps import RegionGeom, RegionNDMap

from ._ensembles import DatasetEngine, FastEngine, why_not_fast, with_signal
from .castro_maps import STRENGTH_UNITS, CastroMaps
from .stacking import StackedDMLikelihood

__all__ = ["discovery_reach", "required_exposure"]

N_STEPS, TOLERANCE = 60, 1e-6
LARGEST_FACTOR = 1e12


def discovery_reach(estimator, datasets, ts):
    """See `ExpectedLimitsEstimator.discovery_reach`."""
    if not ts > 0:
        raise ValueError(f"ts must be positive, got {ts}.")
    stack = estimator._asimov_stack(datasets)
    castro = stack.run()
    start = castro.strength_ul.data[..., 0, 0] * np.sqrt(ts / 2.7)
    median = _FastMedian if why_not_fast(estimator.castro, datasets) is None else _DatasetMedian
    root = _search(median(estimator, datasets, stack), start, ts)
    axes = castro.geom.axes
    return RegionNDMap(
        RegionGeom(None, axes=axes), root[..., None, None], unit=castro["reference"].unit
    )


def _search(median_ts, start, ts):
    """Strengths with a median TS of ``ts``, by the secant in logarithms; shape of ``start``."""
    value = np.array(start)
    found = np.full(value.shape, np.nan)
    todo = np.isfinite(value) & (value > 0)
    low, high = np.zeros(value.shape), np.full(value.shape, np.inf)
    power = np.full(value.shape, 2.0)  # TS grows as strength^2 over much background, ^1 over none
    last = None
    for _ in range(N_STEPS):
        now = median_ts(value, todo)
        done = todo & (np.abs(now / ts - 1) < TOLERANCE)
        found[done] = value[done]
        todo = todo & ~done
        if not todo.any():
            return found
        with np.errstate(divide="ignore", invalid="ignore"):
            if last is not None:
                slope = np.log(now / last[1]) / np.log(value / last[0])
                power = np.where(np.isfinite(slope) & (slope > 0.5), np.minimum(slope, 3), power)
            low, high = np.where(now < ts, value, low), np.where(now >= ts, value, high)
            new = value * (ts / np.maximum(now, 1e-6 * ts)) ** (1 / power)
            middle = np.where(np.isfinite(high), np.sqrt(np.maximum(low, high / 100) * high), new)
            new = np.where((new > low) & (new < high), new, middle)
        last = value, now
        value = np.where(todo, new, value)
    raise ValueError(f"no strength with a median TS of {ts:g} was found; this is a bug, report it.")


class _FastMedian:
    """Median TS of Poisson counts, every row with its own signal."""

    def __init__(self, estimator, datasets, stack):
        maker = with_signal(estimator.maker)
        self.engine = FastEngine(estimator.castro, maker.prepare(datasets), datasets, stack)

    def __call__(self, strength, todo):
        return self.engine.asimov_ts(np.where(todo, strength, 0.0))


class _DatasetMedian:
    """Median TS from Asimov data of each mass and channel."""

    def __init__(self, estimator, datasets, stack):
        self.estimator, self.datasets = estimator, datasets

    def __call__(self, strength, todo):
        estimator = self.estimator
        out = np.full(strength.shape, np.nan)
        unit = STRENGTH_UNITS[estimator.castro.process]
        for c, m in zip(*np.nonzero(todo), strict=True):
            castro = estimator.castro.restricted(c, m)
            maker = with_signal(
                estimator.maker, castro.process, castro.masses[0], castro.channels[0],
                strength[c, m] * unit,
            )  # fmt: skip
            engine = DatasetEngine(castro, maker.prepare(self.datasets), [], estimator.stack)
            out[c, m] = engine.stack(None).run()["ts"].data.item()
        return out


def required_exposure(estimator, datasets, strength, ts):
    """See `ExpectedLimitsEstimator.required_exposure`."""
    stack = estimator._asimov_stack(datasets)
    castro = stack.run()
    shape = castro["reference"].data.shape[:2]
    unit = castro["reference"].unit
    wanted = np.broadcast_to(u.Quantity(strength).to_value(unit), shape)
    if not (np.isfinite(wanted) & (wanted > 0)).all():
        raise ValueError(f"the strength must be positive and finite, got {strength}.")
    if ts is not None:
        if why_not_fast(estimator.castro, datasets) is None:
            median = _FastMedian(estimator, datasets, stack)
        else:
            median = _DatasetMedian(estimator, datasets, stack)
        known = ~castro.is_empty
        # the TS of Asimov data with a signal is proportional to the exposure: J costs nothing there
        return np.where(known, ts / median(wanted, known), np.nan)
    factor = np.ones(shape)
    low, high = np.zeros(shape), np.full(shape, np.inf)
    for _ in range(N_STEPS):
        limit = _limits(stack, factor, estimator.stack)
        weak = ~(limit <= wanted)  # NaN: the grid ends before the limit
        low, high = np.where(weak, factor, low), np.where(weak, high, factor)
        with np.errstate(invalid="ignore", divide="ignore"):
            new = np.where(
                np.isinf(high), low * 4, np.where(low == 0, high / 4, np.sqrt(low * high))
            )
        if np.nanmax(np.abs(new / factor - 1)) < TOLERANCE:
            break
        factor = np.clip(new, 1 / LARGEST_FACTOR, LARGEST_FACTOR)
    out = np.where(factor >= LARGEST_FACTOR, np.inf, factor)
    return np.where(castro.is_empty, np.nan, out)


def _limits(stack, factor, options):
    """Limits of a stack whose likelihoods are multiplied by factors (channel, mass)."""
    castros = []
    for castro in stack.castros:
        data = {name: castro[name] for name in ("reference", "stat_scan", "status")}
        data["stat_scan"] = data["stat_scan"].copy()
        data["stat_scan"].data *= factor[..., None, None, None]
        castros.append(CastroMaps(data, castro.meta))
    more = StackedDMLikelihood(castros, cl=stack.cl, show_progress=False, **options)
    return more.run().strength_ul.data[..., 0, 0]
