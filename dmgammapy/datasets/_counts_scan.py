"""Best fit, errors, limits and scans of the signal norm of counts likelihoods."""

from dataclasses import dataclass, replace

import numpy as np

from . import _counts_kernels as kernels

__all__ = ["NormScan", "minimise_problem", "scan_problem"]

TOLERANCE = 1e-9  # expected further decrease of -2 ln L
# of scan points: the last step and the decrease that it brings are taken into account, so that
# what is left is the third order of it
SCAN_TOLERANCE = 1e-5
MAX_ITER = 300
EXACTLY, ROUGHLY = 1e-9, 1e-3  # accuracy of limits and of the end of a scan, in sqrt(-2 delta ln L)
MIN_BELOW = 4  # scan points between zero and the best fit
NEAR_ZERO = 1e-3  # of the limit: a best fit nearer to zero than that is no scan point
WIDE_ENOUGH = 0.02  # of the limit
MIN_ABOVE = 4  # scan points above the best fit
SPACING = 1.5  # points above the best fit stand at this power of equal steps
INSIDE = 0.999  # of the way to where a voxel's prediction would be negative
MAX_FLOOR = 6
# a voxel with counts is taken to expect at least this part of the best signal there
VOID = 1e-6
POINTS_PER_FOLD = 3.0  # scan points for every e-fold of the distance from a pole


@dataclass
class NormScan:
    """Profile likelihood of a signal norm.

    Attributes
    ----------
    norm_scan, stat_scan : arrays, shape (n_points,)
        Norms and -2 ln L, absolute.
    norm, stat : float
        Best fit and its -2 ln L.
    norm_err : float
        One standard deviation from the curvature at the best fit; NaN at the bound.
    norm_ul : float
        Upper limit.
    ts : float
        -2 ln L at norm 0 less that of the best fit.
    npred : float
        Predicted counts of norm 1.
    norms : array, shape (n_norm,)
        Nuisance norms at the best fit, in the order of the problem's index.
    has_signal : bool
        False if norm 1 predicts nothing; the scan is flat then.
    """

    norm_scan: np.ndarray
    stat_scan: np.ndarray
    norm: float
    stat: float
    norm_err: float
    norm_ul: float
    ts: float
    npred: float
    norms: np.ndarray
    has_signal: bool = True

    def shifted(self, constant):
        """Scan with a constant added to -2 ln L."""
        return replace(self, stat=self.stat + constant, stat_scan=self.stat_scan + constant)


def _require(n_iter, what):
    if n_iter < 0:
        raise RuntimeError(
            f"{what}: the norms did not converge; a norm without counts needs a bound or a prior."
        )


def minimise_problem(problem, theta, free, lower, upper, what="fit"):
    """Minimise; returns norms (K,) and -2 ln L."""
    theta = np.array(theta, dtype=float)
    stat, n_iter = kernels.minimise(theta, free, lower, upper, problem.arrays, TOLERANCE, MAX_ITER)
    _require(n_iter, what)
    return theta, kernels.stat_only(theta, problem.arrays)


def _error(theta, free, lower, upper, problem):
    """Standard deviation of the signal from the curvature, other norms profiled."""
    n = len(theta)
    gradient, hessian = np.empty(n), np.empty((n, n))
    kernels.evaluate(theta, problem.arrays, gradient, hessian)
    if n == 1:
        return float(np.sqrt(2 / hessian[0, 0])) if hessian[0, 0] > 0 else np.nan
    inside = free & (theta > lower) & (theta < upper) & (np.diag(hessian) > 0)
    inside[0] = True
    part = np.ix_(inside, inside)
    curvature = hessian[part]
    if curvature[0, 0] <= 0:
        return np.nan
    scale = 1 / np.sqrt(np.diag(curvature))
    inverse = np.linalg.pinv(curvature * np.outer(scale, scale), rcond=1e-12, hermitian=True)
    return float(np.sqrt(2 * max(inverse[0, 0], 0.0)) * scale[0])


def scan_problem(
    problem,
    start,
    lower,
    upper,
    n_points=30,
    delta_stat_max=50.0,
    delta_stat_ul=2.705543454095404,
    negative=False,
    norm_scan=None,
    what="scan",
):
    """Profile the signal of a problem where it matters.

    Parameters
    ----------
    problem : `_counts_problem.Problem`
    start, lower, upper : arrays, shape (K - 1,)
        Nuisance norms to begin with and their bounds.
    n_points : int
        Number of scan points.
    delta_stat_max : float
        Rise of -2 ln L at the end of the scan.
    delta_stat_ul : float
        Rise at the upper limit.
    negative : bool
        Let the norm be negative down to where the prediction would be.
    norm_scan : array, optional
        Scan these norms instead.

    Returns
    -------
    scan : NormScan
    """
    theta = np.concatenate([[0.0], start])
    low = np.concatenate([[0.0], lower])
    high = np.concatenate([[np.inf], upper])
    free = np.ones(theta.size, dtype=bool)
    if not problem.npred_signal > 0:
        return _flat(problem, theta, low, high, n_points, norm_scan, what)
    at_zero, stat_zero = _conditional(problem, theta, 0.0, free, low, high, what)
    theta, stat = _best(problem, at_zero, free, low, high, negative, what)
    void = _void(problem, at_zero, theta[0])
    if void.any():
        # counts where nothing but the signal is expected: their -2 ln L has no value at zero
        problem = problem.with_floor(void, VOID * theta[0])
        at_zero, stat_zero = _conditional(problem, at_zero, 0.0, free, low, high, what)
        theta, stat = _best(problem, at_zero, free, low, high, negative, what)
    if stat > stat_zero:
        theta, stat = at_zero, stat_zero
    error = _error(theta, free, low, high, problem)
    guess = 1.6 * error if np.isfinite(error) else 0.0
    guess = max(guess, 1.0 / problem.npred_signal) if not guess > 0 else guess
    args = (theta, stat), (free, low, high, problem.arrays, SCAN_TOLERANCE, MAX_ITER)
    ul = _level(delta_stat_ul, *args, guess, +1.0, np.inf, what)
    top = _level(delta_stat_max, *args, (ul - theta[0]) * 4, +1.0, np.inf, what, ROUGHLY)
    if norm_scan is None:
        bottom = 0.0
        if negative:
            bottom = low[0]
            if theta[0] > low[0]:
                bottom = _level(delta_stat_max, *args, top - theta[0], -1.0, low[0], what, ROUGHLY)
            bottom = min(bottom, 0.0)
        ts = max(stat_zero - stat, 0.0)
        pole = low[0] / INSIDE if negative else -np.inf
        bend = _bend(problem, at_zero, theta[0], ts)
        norm_scan = _grid(bottom, theta[0], ul, top, n_points, ts, delta_stat_max, bend, pole)
    norm_scan = np.asarray(norm_scan, dtype=float)
    stat_scan = _profile(problem, norm_scan, theta, free, low, high, what)
    return NormScan(
        norm_scan=norm_scan,
        stat_scan=stat_scan,
        norm=float(theta[0]),
        stat=float(min(stat, stat_scan.min())),
        norm_err=error if theta[0] > low[0] else np.nan,
        norm_ul=ul,
        ts=float(max(stat_zero - stat, 0.0)),
        npred=problem.npred_signal,
        norms=theta[1:],
    )


def _flat(problem, theta, low, high, n_points, norm_scan, what):
    free = np.ones(theta.size, dtype=bool)
    theta, stat = _conditional(problem, theta, 0.0, free, low, high, what)
    if norm_scan is None:
        norm_scan = np.linspace(0, 1, n_points)
    return NormScan(
        np.asarray(norm_scan, dtype=float), np.full(len(norm_scan), stat), 0.0, stat,
        np.nan, np.nan, 0.0, 0.0, theta[1:], has_signal=False,
    )  # fmt: skip


def _conditional(problem, theta, value, free, low, high, what):
    theta = theta.copy()
    theta[0] = value
    free = free.copy()
    free[0] = False
    if not free.any():
        return theta, kernels.stat_only(theta, problem.arrays)
    return minimise_problem(problem, theta, free, low, high, what)


def _expected(theta, problem):
    """Predicted counts of everything at norms ``theta``: Cash voxels' linear term."""
    total, _, fixed = problem.arrays[:3]
    constant = problem.arrays[9]
    return float(total @ theta + constant / 2)


def _best(problem, at_zero, free, low, high, negative, what):
    """Best fit of signal and norms; ``low[0]`` becomes the end of the signal's domain."""
    low[0] = 0.0
    theta = at_zero.copy()
    excess = (problem.n_counts - _expected(at_zero, problem)) / problem.npred_signal
    theta[0] = max(0.5 * excess, 0.0)
    norms = at_zero[1:]
    for _ in range(MAX_FLOOR if negative else 1):
        if negative:
            floor = problem.floor(norms)
            if not np.isfinite(floor):
                raise ValueError(f"{what}: no lower end of the norm to scan down to.")
            low[0] = INSIDE * floor
        theta, stat = minimise_problem(problem, theta, free, low, high, what)
        # the background that goes with a negative signal allows for more of it
        if theta[0] > low[0] or not low[0] > INSIDE * problem.floor(theta[1:]) * (1 + 1e-6):
            break
        norms = theta[1:].copy()
    return theta, stat


def _void(problem, at_zero, norm):
    """Voxels with counts in which nothing but the signal is expected, bool array (N,)."""
    rows, fixed = problem.arrays[1], problem.arrays[2]
    rest = fixed + rows[:, 1:] @ at_zero[1:]
    return (rows[:, 0] > 0) & (rest < VOID * rows[:, 0] * norm)


def _level(level, best, setting, start, sign, limit, what, accuracy=EXACTLY):
    theta, stat = best
    limit = sign * abs(limit)
    value = kernels.solve_level(level, theta, stat, start, *setting, sign, limit, accuracy)
    _require(-1 if np.isnan(value) else 0, what)
    return float(value)


def _bend(problem, at_zero, best, ts):
    """Norm at which the signal equals the background under it, from slope and TS at zero.

    For counts n = b (1 + r) over b, slope * best / TS = r^2 / ((1 + r) ln(1 + r) - r), and the
    bend is best / r. Infinite where there is no excess to speak of.
    """
    if best <= 0 or ts < 1e-2:
        return np.inf
    n = len(at_zero)
    gradient, hessian = np.empty(n), np.empty((n, n))
    kernels.evaluate(at_zero, problem.arrays, gradient, hessian)
    ratio = -gradient[0] * best / ts
    if not ratio > 2.0:
        return np.inf
    r = np.geomspace(1e-2, 1e9, 400)
    return float(best / np.interp(ratio, r**2 / ((1 + r) * np.log1p(r) - r), r))


def _grid(bottom, best, ul, top, n_points, ts, delta_stat_max, bend=np.inf, pole=-np.inf):
    """Norms from ``bottom`` to ``top`` that hold zero, the best fit and the limit.

    Between zero and the best fit they follow the logarithm of the norm plus ``bend``, below zero
    that of the distance from ``pole``, where -2 ln L is infinite.
    """
    if abs(best) < NEAR_ZERO * ul:
        best = 0.0  # points at distances of rounding would make any curve through them swing
    # points where -2 ln L changes: its root is between linear in the norm and in its root
    below = np.unique([bottom, 0.0, best])
    below = below[below <= best]
    root_top = np.sqrt(delta_stat_max)
    parts, spare = [], n_points - MIN_ABOVE
    for low, high in zip(below[:-1], below[1:], strict=True):
        center = pole if low < 0 else -bend
        steep = np.log((high - center) / (low - center)) if np.isfinite(center) else 0.0
        root = root_top if low < 0 else np.sqrt(max(ts, 1e-3))
        number = n_points * root / (root + root_top) / (len(below) - 1)
        least = MIN_BELOW if high - low > WIDE_ENOUGH * ul else 1
        number = int(np.clip(max(number, least, POINTS_PER_FOLD * steep), 1, max(spare // 2, 1)))
        spare -= number
        if steep > 0.5:
            parts.append(center + np.geomspace(low - center, high - center, number + 1)[:-1])
        else:
            parts.append(np.linspace(low, high, number + 1)[:-1])
    lower = np.concatenate([*parts, [best]])
    x = np.linspace(0, 1, n_points - lower.size + 1)[1:]
    upper = best + (top - best) * x**SPACING
    return _holding(np.concatenate([lower, upper]), {bottom, 0.0, best, ul, top})


def _holding(values, wanted):
    """Values with the nearest ones replaced by those wanted; as many, ascending, all different."""
    values = np.array(values)
    spare = np.ones(values.size, dtype=bool)
    for one in sorted(wanted):
        nearest = np.where(spare, np.abs(values - one), np.inf).argmin()
        values[nearest], spare[nearest] = one, False
    out = np.unique(values)
    while out.size < values.size:
        i = np.diff(out).argmax()
        out = np.insert(out, i + 1, 0.5 * (out[i] + out[i + 1]))
    return out


def _profile(problem, values, theta_best, free, low, high, what):
    above = np.flatnonzero(values >= theta_best[0])
    below = np.flatnonzero(values < theta_best[0])
    order = np.concatenate(
        [above[np.argsort(values[above])], [-1], below[np.argsort(-values[below])]]
    )
    norms = np.empty((values.size, theta_best.size))
    stat, ok = kernels.profile(
        values, order.astype(np.int64), theta_best, free, low, high, problem.arrays,
        SCAN_TOLERANCE, MAX_ITER, norms,
    )  # fmt: skip
    _require(0 if ok else -1, what)
    return stat
