"""Discovery reach and required exposure: searches over Asimov data."""

import astropy.units as u
import numpy as np
from gammapy.maps import MapAxis, RegionGeom, RegionNDMap

from ._ensembles import DatasetEngine, FastEngine, with_signal
from .castro_maps import STRENGTH_UNITS, CastroMaps
from .stacking import StackedDMLikelihood

__all__ = ["discovery_reach", "required_exposure"]

N_STEPS, TOLERANCE = 100, 1e-6
MORE_DECADES = 6.0  # scans are continued by so many towards zero
AGREEMENT = 1e-3
LARGEST = 1e11


def _check_ts(ts):
    ts = float(ts)
    if not 0 < ts < np.inf:
        raise ValueError(f"ts must be positive and finite, got {ts}.")
    return ts


def discovery_reach(estimator, datasets, ts):
    """See `ExpectedLimitsEstimator.discovery_reach`."""
    ts = _check_ts(ts)
    stack = estimator._asimov_stack(datasets)
    castro = stack.run()
    start = castro.strength_ul.data[..., 0, 0] * np.sqrt(ts / 2.7)
    if estimator._is_fast(datasets):
        engine = _null_engine(estimator, datasets, stack)
        ones = np.ones(start.shape)

        def median(strength, todo):
            return engine.asimov_results(np.where(todo, strength, 0.0), ones)["ts"]

    else:

        def median(strength, todo):
            return _datasets_ts(estimator, datasets, strength, todo)

    root = _search(median, start, ts)
    geom = RegionGeom(None, axes=castro.geom.axes)
    return RegionNDMap(geom, root[..., None, None], unit=castro["reference"].unit)


def _null_engine(estimator, datasets, stack):
    simulation = with_signal(estimator.maker).prepare(datasets)
    return FastEngine(estimator.castro, simulation, datasets, stack)


def _search(function, start, goal, growing=True):
    """Where positive functions, one for each cell, have a value: by the secant in logarithms.

    Parameters
    ----------
    function : callable
        Of the arguments and which of them are still wanted, arrays of the shape of ``start``.
    start : array
        NaN where nothing is sought.
    goal : float or array
    growing : bool
        Whether the functions grow.

    Returns
    -------
    root : array of that shape
        NaN where none was found.
    """
    value = np.array(start, dtype=float)
    found = np.full(value.shape, np.nan)
    todo = np.isfinite(value) & (value > 0)
    low, high = np.zeros(value.shape), np.full(value.shape, np.inf)
    power = np.full(value.shape, 2.0 if growing else -0.5)
    last = None
    for _ in range(N_STEPS):
        now = function(value, todo)
        with np.errstate(divide="ignore", invalid="ignore"):
            done = todo & (np.abs(now / goal - 1) < TOLERANCE)
            found[done] = value[done]
            todo = todo & ~done
            if not todo.any():
                break
            below = (now < goal) if growing else ~(now <= goal)
            low, high = np.where(below, value, low), np.where(below, high, value)
            if last is not None:
                slope = np.log(now / last[1]) / np.log(value / last[0])
                good = np.isfinite(slope) & (np.abs(slope) > 0.2) & ((slope > 0) == growing)
                power = np.where(good, np.clip(slope, -3, 3), power)
            step = np.clip((goal / now) ** (1 / power), 1e-2, 1e2)
            new = value * np.where(np.isfinite(step), step, 4.0 if growing else 0.25)
            middle = np.sqrt(np.maximum(low, high / 1e4) * high)
            middle = np.where(np.isinf(high), 4 * value, np.where(low == 0, high / 4, middle))
            new = np.where((new > low) & (new < high), new, middle)
        last = value, now
        value = np.where(todo, new, value)
        todo = todo & (value < LARGEST * start) & (value > start / LARGEST)
        tight = todo & (high / np.maximum(low, 1e-300) < 1 + 1e-9)
        todo = todo & ~tight
    return found


def _datasets_ts(estimator, datasets, strength, todo):
    """TS of Asimov data of each mass and channel, shape (channel, mass)."""
    out = np.full(strength.shape, np.nan)
    unit = STRENGTH_UNITS[estimator.castro.process]
    for c, m in zip(*np.nonzero(todo), strict=True):
        castro = estimator.castro.restricted(c, m)
        maker = with_signal(
            estimator.maker, castro.process, castro.masses[0], castro.channels[0],
            strength[c, m] * unit,
        )  # fmt: skip
        engine = DatasetEngine(
            castro, maker.prepare(datasets), [], estimator.stack, joint=estimator.joint
        )
        out[c, m] = engine.stack(None).run()["ts"].data.item()
    return out


def required_exposure(estimator, datasets, strength, ts):
    """See `ExpectedLimitsEstimator.required_exposure`."""
    stack = estimator._asimov_stack(datasets)
    castro = stack.run()
    shape = castro["reference"].data.shape[:2]
    wanted = u.Quantity(strength).to_value(castro["reference"].unit)
    wanted = np.broadcast_to(wanted, shape)
    if not (np.isfinite(wanted) & (wanted > 0)).all():
        raise ValueError(f"the strength must be positive and finite, got {strength}.")
    known = ~castro.is_empty
    fast = estimator._is_fast(datasets)
    engine = _null_engine(estimator, datasets, stack) if fast else None
    if ts is None:
        return _exposure_of_limit(estimator, stack, engine, wanted, known)
    return _exposure_of_ts(estimator, datasets, stack, engine, wanted, known, _check_ts(ts))


def _exposure_of_ts(estimator, datasets, stack, engine, wanted, known, goal):
    ones = np.ones(wanted.shape)
    if stack.method != "marginal":
        # proportional to the exposure: Asimov data with a signal fit best without a shift of J
        if engine is not None:
            ts = engine.asimov_results(np.where(known, wanted, 0.0), ones)["ts"]
        else:
            ts = _datasets_ts(estimator, datasets, wanted, known)
        return np.where(known, goal / ts, np.nan)
    if engine is None:
        raise ValueError(
            "required_exposure with ts and method='marginal' needs SED likelihoods of Poisson "
            "counts only; take method='profile'."
        )

    def median(factor, todo):
        factor = np.where(todo, factor, 1.0)
        return engine.asimov_results(np.where(todo, wanted, 0.0), factor)["ts"]

    start = goal / np.where(known, median(ones, known), np.nan)
    return _search(median, start, goal)


def _exposure_of_limit(estimator, stack, engine, wanted, known):
    if engine is not None:
        zero = np.zeros(wanted.shape)

        def limits(factor, todo):
            return engine.asimov_results(zero, np.where(todo, factor, 1.0))["strength_ul"]

    else:
        castros = [_continued(castro) for castro in stack.castros]

        def limits(factor, todo):
            return _scaled_limits(castros, np.where(todo, factor, 1.0), stack, estimator.stack)

    now = limits(np.ones(wanted.shape), known)
    with np.errstate(invalid="ignore"):
        start = np.where(known, np.clip((now / wanted) ** 2, 1e-6, 1e6), np.nan)
    factor = _search(limits, start, wanted, growing=False)
    reached = limits(np.where(np.isfinite(factor), factor, 1.0), known)
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(reached / wanted - 1) < AGREEMENT, factor, np.nan)


def _continued(castro):
    """Asimov result whose scan begins lower: without signal it is a parabola near zero."""
    nodes = castro.norm_axis.center.value
    step = castro._native_step
    more = nodes[1] * 10.0 ** (step * np.arange(-int(MORE_DECADES / step), 0))
    scan = castro.delta_stat
    zero, first = scan[..., :1], scan[..., 1:2]
    below = zero + (first - zero) * (more / nodes[1]) ** 2
    norm_axis = MapAxis.from_nodes(np.concatenate([[0], more, nodes[1:]]), name="norm")
    geom = RegionGeom(None, axes=[norm_axis, *castro.geom.axes])
    values = np.concatenate([zero, below, scan[..., 1:]], axis=-1)
    data = {name: castro[name] for name in ("reference", "status")}
    return CastroMaps(data | {"stat_scan": RegionNDMap(geom, values[..., None, None])}, castro.meta)


def _scaled_limits(castros, factor, stack, options):
    """Limits of a stack whose likelihoods are multiplied by factors (channel, mass)."""
    scaled = []
    for castro in castros:
        one = castro.copy()
        one["stat_scan"].data *= factor[..., None, None, None]
        scaled.append(one)
    more = StackedDMLikelihood(scaled, cl=stack.cl, show_progress=False, **options)
    return more.run().strength_ul.data[..., 0, 0]
