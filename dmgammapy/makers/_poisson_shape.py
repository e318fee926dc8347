"""Poisson likelihoods of energy bins: scans of counts, and counts of scans. Plain arrays only."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import poisson

__all__ = ["fit_poisson_shape", "local_power_law", "scan_poisson"]

N_NEWTON = 60
LEAST_SHARE = 1e-9
# of the pole of the shape from the lowest norm, in units of that
LEAST_DISTANCE = 1e-11
# of the scanned range: b / s above this is a parabola to rounding
LARGEST_RATIO = 1e4
# fewer counts than this are none
LEAST_COUNTS = 0.5
# so few counts for what is expected: not a count but a nearly straight line
LEAST_PROBABILITY = 1e-5
# scans count up to this rise, and as many points at least
LARGEST_RISE, LEAST_POINTS = 40.0, 6
# kernel of the local power law in ln E, with a floor that lets all bins say something
KERNEL_WIDTH, KERNEL_FLOOR = 1.5, 0.02
N_REGRESSION = 200


def scan_poisson(background, npred, counts, n_points, delta_stat, negative_norm):
    """Scans of ``2 (b + s x) - 2 n ln(b + s x)`` up to a rise above the minimum.

    Parameters
    ----------
    background, npred, counts : array, shape (n_bins,)
    n_points : int
    delta_stat : float
    negative_norm : bool

    Returns
    -------
    norm, stat : array, shape (n_bins, n_points)
        ``stat`` is relative to the minimum over the allowed norms.
    lowest : array, shape (n_bins,)
        Expected counts at the minimum.
    """
    half = 0.5 * delta_stat
    bounded = np.maximum(counts, background)
    lowest = counts if negative_norm else bounded
    # x - n ln(1 + x / m) >= x^2 / (2 (n + x)) for m >= n bounds the end from above, so that
    # Newton's method on the convex rise walks down to it without passing it
    start = bounded + half + np.sqrt(half**2 + 2 * counts * half)
    high = _solve(counts, bounded, half, start)
    low = background
    if negative_norm:
        # no nearer to zero than what background + npred * norm can tell from it
        floor = np.where(counts > 0, LEAST_SHARE * background, 0.0)
        low = np.clip(_solve_below(counts, half), floor, background)
    last = (high - background) / npred
    first = (low - background) / npred
    norm = first[:, np.newaxis] + (last - first)[:, np.newaxis] * np.linspace(0, 1, n_points)
    norm[:, -1] = last
    if negative_norm:  # the point next to zero becomes zero
        nearest = np.argmin(np.abs(norm), axis=1)
        nearest = np.where(first == 0, 0, np.clip(nearest, 1, n_points - 2))
        norm[np.arange(len(norm)), nearest] = 0.0
    mean = np.maximum(background[:, np.newaxis] + npred[:, np.newaxis] * norm, 0.0)
    stat = 2 * _rise(mean, counts[:, np.newaxis], lowest[:, np.newaxis])
    return norm, stat - stat.min(axis=1, keepdims=True).clip(max=0.0), lowest


def _rise(mean, counts, lowest):
    """-ln L above that at ``lowest``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithm = np.where(counts > 0, counts * np.log(mean / lowest), 0.0)
    return mean - lowest - logarithm


def _solve_below(counts, half):
    """Expected counts below the real ones at which -ln L has risen by ``half``."""
    # t - 1 - ln t = half / n with t = mean / n; in u = ln t Newton's method comes from the left
    rise = half / np.where(counts > 0, counts, 1.0)
    u = -1 - rise
    for _ in range(N_NEWTON):
        u = np.minimum(u - (np.expm1(u) - u - rise) / np.minimum(np.expm1(u), -1e-300), 0.0)
    return np.where(counts > 0, counts * np.exp(u), 0.0)


def _solve(counts, lowest, half, mean):
    """Newton's method for the expected counts at which -ln L has risen by ``half``."""
    for _ in range(N_NEWTON):
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = 1 - np.where(counts > 0, counts / mean, 0.0)
        step = np.where(
            slope != 0, (_rise(mean, counts, lowest) - half) / np.where(slope == 0, 1, slope), 0.0
        )
        step = np.where((counts == 0) & (mean == 0), 0.0, step)
        mean = mean - step
        if (np.abs(step) <= 1e-14 * mean).all():
            break
    return mean


def fit_poisson_shape(norm, stat):
    """Expectation behind one scan.

    Only the scan's part around its minimum counts. Far above it the scans of real regions are
    those of brighter and brighter point sources, for which other pixels matter.

    Parameters
    ----------
    norm, stat : array, shape (n_points,)
        May end in NaN.

    Returns
    -------
    background : float
        NaN if the scan does not know it.
    npred : float
    counts : float
        Zero if the scan does not know the background.
    misfit : float
        Largest difference between scan and fit, weighted by ``1 / (1 + stat)``.
    """
    good = np.isfinite(norm) & np.isfinite(stat)
    x, y = norm[good], stat[good] - stat[good].min()
    rise = max(LARGEST_RISE, np.sort(y)[min(LEAST_POINTS, len(y)) - 1])
    x, y = x[y <= rise], y[y <= rise]
    scale = np.abs(x).max()
    x = x / scale
    weight = 1 / (1 + y)

    # where the prediction is zero: a scan may begin within a hair of it
    edge = max(0.0, -x[0])

    def solve(log_ratio):
        """Linear fit of s, n and a constant at given a = b / s, by its logarithm above the edge."""
        a = edge + np.exp(log_ratio)
        # s x - n ln(1 + x / a) = t x + n [x / a - ln(1 + x / a)], t = s - n / a
        z = x / a
        series = z * z * (0.5 - z * (1 / 3 - z * (0.25 - z / 5)))
        with np.errstate(divide="ignore", invalid="ignore"):
            curve = np.where(np.abs(z) < 1e-3, series, z - np.log1p(z))
        # a^2 keeps the column of order one
        matrix = np.stack([np.ones_like(x), 2 * x, 2 * a * a * curve], axis=1) * weight[:, None]
        solution, *_ = np.linalg.lstsq(matrix, weight * y, rcond=None)
        return solution, matrix @ solution - weight * y

    def cost(log_ratio):
        solution, residual = solve(log_ratio)
        return float(residual @ residual) * (1.0 if solution[2] >= 0 else 1e6) + 1e-300

    smallest = np.log(LEAST_DISTANCE * edge if edge > 0 else 1e-8)
    grid = np.linspace(smallest, np.log(LARGEST_RATIO), 80 if edge > 0 else 40)
    values = [cost(t) for t in grid]
    i = int(np.argmin(values))
    bracket = grid[max(i - 1, 0)], grid[min(i + 1, len(grid) - 1)]
    best = minimize_scalar(
        lambda t: np.log(cost(t)), bounds=bracket, method="bounded", options={"xatol": 1e-10}
    )
    log_ratio = best.x if cost(best.x) < values[i] else grid[i]
    (_, slope, curved), residual = solve(log_ratio)
    a = edge + np.exp(log_ratio)
    counts = curved * a * a
    npred = slope + counts / a
    line = np.linalg.lstsq(
        np.stack([np.ones_like(x), 2 * x], axis=1) * weight[:, None], weight * y, rcond=None
    )[0]
    misfit = float(np.abs(residual).max())
    straight = (line[0] + 2 * line[1] * x) * weight - weight * y
    deficit = counts < a * npred and poisson.cdf(counts, a * npred) < LEAST_PROBABILITY
    if np.abs(straight).max() < 1e-5 or counts < LEAST_COUNTS or deficit:
        return np.nan, line[1] / scale, 0.0, float(np.abs(straight).max())
    if not npred > 0:
        return np.nan, np.nan, 0.0, np.inf
    return a * npred, npred / scale, counts, misfit


def local_power_law(energy, ratio, npred, counts):
    """Background per norm that the counts of all bins expect, smooth in energy.

    Poisson regression of the counts on ``npred`` times a power law, around each bin. A second one
    scales down the counts of bins whose own ratio is larger than the first one's: photons far from
    the source, which do not count fully.

    Parameters
    ----------
    energy : array, shape (n_bins,)
    ratio : array, shape (n_bins,)
        b / s of the bins, NaN where unknown.
    npred, counts : array, shape (n_bins,)
        s, and what was counted.

    Returns
    -------
    ratio : array, shape (n_bins,)
    """
    smooth = _poisson_regression(np.log(energy), npred, counts)
    share = np.minimum(smooth / np.where(np.isfinite(ratio), ratio, smooth), 1.0)
    return _poisson_regression(np.log(energy), npred, counts * share**2)


def _poisson_regression(log_energy, npred, counts):
    out = np.empty(len(log_energy))
    for i, center in enumerate(log_energy):
        x = log_energy - center
        kernel = np.exp(-0.5 * (x / KERNEL_WIDTH) ** 2) + KERNEL_FLOOR
        line = np.array([np.log(counts.sum() / npred.sum()), 0.0])
        for _ in range(N_REGRESSION):
            mean = np.exp(line[0] + line[1] * x) * npred * kernel
            residual = counts * kernel - mean
            slope = np.array([residual.sum(), residual @ x])
            curvature = np.array([[mean.sum(), mean @ x], [mean @ x, mean @ x**2]])
            step = np.linalg.solve(curvature, slope)
            step /= max(1.0, np.abs(step[0] + step[1] * x).max())  # a factor e at most
            line = line + step
            if np.abs(step).max() < 1e-10:
                break
        out[i] = np.exp(line[0])
    return out
