"""Best fit, TS, errors and limits of every energy bin, read off its interpolated scan."""

import numpy as np
from scipy.stats import chi2

__all__ = ["best_norm", "common_norms", "delta_stat_of_upper_limit", "rise"]

ZOOM_POINTS = 17
ZOOMS = 8
BISECTIONS = 60


def delta_stat_of_upper_limit(cl):
    """Rise of -2 ln L above its minimum at a one-sided upper limit: 2.7055 for 0.95."""
    if not 0.5 < cl < 1:
        raise ValueError(f"cl must lie between 0.5 and 1, got {cl}.")
    return float(chi2.ppf(2 * cl - 1, 1))


def best_norm(scans, norm_scan, lower):
    """Norm of the lowest -2 ln L between ``lower`` and the end of each scan.

    Parameters
    ----------
    scans : `LikelihoodScans`
    norm_scan : array, shape (n_bins, n_points)
        Scanned norms; the search starts at them.
    lower : array, shape (n_bins,)
        Lowest norm to consider.

    Returns
    -------
    norm : array, shape (n_bins,)
    """
    upper = np.maximum(scans.norm_max, lower)
    nodes = np.column_stack([lower, np.nan_to_num(norm_scan, nan=-np.inf), upper])
    nodes = np.sort(np.clip(nodes, lower[:, np.newaxis], upper[:, np.newaxis]), axis=1)
    rows = np.arange(len(nodes))
    k = np.argmin(scans.stat(nodes), axis=1)
    best = nodes[rows, k]
    # neighbours that differ from the node itself: clipping repeats the limits
    low = np.max(np.where(nodes < best[:, np.newaxis], nodes, lower[:, np.newaxis]), axis=1)
    high = np.min(np.where(nodes > best[:, np.newaxis], nodes, upper[:, np.newaxis]), axis=1)
    steps = np.linspace(0, 1, ZOOM_POINTS)
    for _ in range(ZOOMS):
        grid = low[:, np.newaxis] + (high - low)[:, np.newaxis] * steps
        k = np.argmin(scans.stat(grid), axis=1)
        best = grid[rows, k]
        low = grid[rows, np.maximum(k - 1, 0)]
        high = grid[rows, np.minimum(k + 1, ZOOM_POINTS - 1)]
    return best


def rise(scans, start, stop, delta_stat):
    """Norm between ``start`` and ``stop`` where -2 ln L has risen by ``delta_stat``.

    Parameters
    ----------
    scans : `LikelihoodScans`
    start, stop : array, shape (n_bins,)
        Best fit and end of the search, on either side.
    delta_stat : float

    Returns
    -------
    norm : array, shape (n_bins,)
        NaN where the rise isn't reached before ``stop``.
    """
    target = scans.stat(start) + delta_stat
    inside, outside = start.copy(), stop.astype(float)
    reached = scans.stat(stop) >= target
    for _ in range(BISECTIONS):
        middle = 0.5 * (inside + outside)
        above = scans.stat(middle) >= target
        outside = np.where(above, middle, outside)
        inside = np.where(above, inside, middle)
    return np.where(reached, 0.5 * (inside + outside), np.nan)


def common_norms(scans, best, n_points, scale=1.0):
    """Norms common to all bins: 0 and logarithmic steps from each bin's own scale to the scan ends.

    Parameters
    ----------
    scans : `LikelihoodScans`
    best : array, shape (n_bins,)
        Best fits.
    n_points : int
        At least 10.
    scale : array, shape (n_bins,)
        Common norms per norm of each bin. Default is 1.

    Returns
    -------
    norms : array, shape (n_points,)
    """
    if n_points < 10:
        raise ValueError(f"n_points must be at least 10, got {n_points}.")
    width = rise(scans, best, scans.norm_max, 1.0) - best
    width = np.where(np.isfinite(width) & (width > 0), width, np.abs(scans.norm_max))
    small = 0.03 * (scale * width).min()
    high, low = (scale * scans.norm_max).max(), (scale * scans.norm_min).min()
    if low >= 0:
        return np.append(0.0, np.geomspace(min(small, 0.1 * high), high, n_points - 1))
    decades_high = np.log(max(high, 2 * small) / small)
    decades_low = np.log(max(-low, 2 * small) / small)
    n_high = round((n_points - 1) * decades_high / (decades_high + decades_low))
    n_high = min(max(n_high, 3), n_points - 4)
    positive = np.geomspace(small, max(high, 2 * small), n_high)
    negative = -np.geomspace(max(-low, 2 * small), small, n_points - 1 - n_high)
    return np.concatenate([negative, [0.0], positive])
