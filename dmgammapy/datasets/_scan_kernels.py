"""Numba kernels that interpolate likelihood scans; they take plain arrays only.

A scan is a row of ``norm`` values with ``stat`` = -2 ln L at each. Three shapes describe it:

- ``shape``: ``stat(x) = c + p x + q g_a(x) + r(x)`` with
  ``g_a(x) = 2 a^2 [x / a - ln(1 + x / a)]``. The first part is the -2 ln L of a Poisson count with
  signal ``x`` over a background (``a`` is the background in units of the signal, ``q a^2`` the
  count), and of a Gaussian for ``a -> inf`` where ``g_a -> x^2``. It is fitted to the scan; ``r``
  is the not-a-knot cubic spline through what the fit leaves, so the curve passes through every
  point. Outside the scan ``r`` goes on along its tangent, so that the tail keeps the Poisson shape.
- ``cubic``: the same with ``p = q = 0``: a plain cubic spline with tangent tails.
- ``linear``: straight lines between the points.

Parameter rows are ``(c, p, q, a, slope_low, slope_high)``, shape ``(n_bins, 6)``; the slopes are
those of ``r`` outside the scan.
"""

import numpy as np
from numba import njit

SERIES_LIMIT = 1e-3
INFINITE_A = 1e7  # in units of the scanned range: Gaussian to rounding
LEAST_DISTANCE = 1e-11  # of the pole of the shape from the lowest norm, in units of that


@njit(cache=True, nogil=True)
def poisson_shape(x, a):
    """``2 a^2 [x / a - ln(1 + x / a)]``, accurate for small ``x / a``."""
    if np.isinf(a):
        return x * x
    z = x / a
    if abs(z) < SERIES_LIMIT:
        return x * x * (1.0 - z * (2.0 / 3.0 - z * (0.5 - z * (0.4 - z / 3.0))))
    return 2.0 * a * a * (z - np.log1p(z))


@njit(cache=True, nogil=True)
def poisson_shape_slope(x, a):
    """Derivative of `poisson_shape` with respect to ``x``."""
    if np.isinf(a):
        return 2.0 * x
    return 2.0 * x / (1.0 + x / a)


@njit(cache=True, nogil=True)
def _weighted_fit(x, y, w, n, a, work, coef):
    """Least squares of ``y`` on ``1, x, g_a(x)`` by Gram-Schmidt; return the weighted chi2.

    ``work`` is scratch of shape (4, n); ``coef`` receives ``c, p, q``.
    """
    for k in range(n):
        work[0, k] = w[k]
        work[1, k] = w[k] * x[k]
        work[2, k] = w[k] * poisson_shape(x[k], a)
        work[3, k] = w[k] * y[k]
    r01 = r02 = r12 = 0.0
    n0 = 0.0
    for k in range(n):
        n0 += work[0, k] * work[0, k]
        r01 += work[0, k] * work[1, k]
        r02 += work[0, k] * work[2, k]
    r01 /= n0
    r02 /= n0
    n1 = 0.0
    for k in range(n):
        work[1, k] -= r01 * work[0, k]
        work[2, k] -= r02 * work[0, k]
        n1 += work[1, k] * work[1, k]
        r12 += work[1, k] * work[2, k]
    r12 /= n1
    n2 = 0.0
    norm2 = 0.0
    for k in range(n):
        norm2 += work[2, k] * work[2, k]
        work[2, k] -= r12 * work[1, k]
        n2 += work[2, k] * work[2, k]
    b0 = b1 = b2 = 0.0
    for k in range(n):
        b0 += work[0, k] * work[3, k]
    b0 /= n0
    for k in range(n):
        work[3, k] -= b0 * work[0, k]
        b1 += work[1, k] * work[3, k]
    b1 /= n1
    for k in range(n):
        work[3, k] -= b1 * work[1, k]
        b2 += work[2, k] * work[3, k]
    b2 = b2 / n2 if n2 > 1e-22 * norm2 else 0.0
    chi2 = 0.0
    for k in range(n):
        d = work[3, k] - b2 * work[2, k]
        chi2 += d * d
    coef[2] = b2
    coef[1] = b1 - r12 * b2
    coef[0] = b0 - r01 * coef[1] - r02 * b2
    return chi2


@njit(cache=True, nogil=True)
def _fit_shape(x, y, n, row):
    """Fit ``c, p, q, a`` of one scan into ``row``; zeros when the scan is not convex."""
    scale = max(abs(x[0]), abs(x[n - 1]))
    low = y[0]
    for k in range(n):
        low = min(low, y[k])
    xs = np.empty(n)
    w = np.empty(n)
    for k in range(n):
        xs[k] = x[k] / scale
        w[k] = 1.0 / (1.0 + (y[k] - low))
    work = np.empty((4, n))
    coef = np.empty(3)
    # 1 + x / a must stay positive over the scan: a = edge + e^t. A scan may end within a hair of
    # where the prediction is zero, so that it is the distance from there that matters.
    edge = max(0.0, -xs[0])
    smallest = np.log(LEAST_DISTANCE * edge if edge > 0 else 1e-9)
    largest = np.log(1e4)
    n_grid = 64 if edge > 0 else 32
    step = (largest - smallest) / (n_grid - 1)
    best = np.inf
    at = largest
    for i in range(n_grid):
        t = smallest + i * step
        chi2 = _weighted_fit(xs, y, w, n, edge + np.exp(t), work, coef)
        if coef[2] >= 0 and chi2 < best:
            best = chi2
            at = t
    if np.isinf(best):
        row[:4] = 0.0
        row[3] = np.inf
        return
    # golden section around the best node
    lo = max(smallest, at - step)
    hi = min(largest, at + step)
    ratio = 0.6180339887498949
    t1 = hi - ratio * (hi - lo)
    t2 = lo + ratio * (hi - lo)
    f1 = _weighted_fit(xs, y, w, n, edge + np.exp(t1), work, coef)
    f2 = _weighted_fit(xs, y, w, n, edge + np.exp(t2), work, coef)
    for _ in range(26):
        if f1 < f2:
            hi = t2
            t2 = t1
            f2 = f1
            t1 = hi - ratio * (hi - lo)
            f1 = _weighted_fit(xs, y, w, n, edge + np.exp(t1), work, coef)
        else:
            lo = t1
            t1 = t2
            f1 = f2
            t2 = lo + ratio * (hi - lo)
            f2 = _weighted_fit(xs, y, w, n, edge + np.exp(t2), work, coef)
    a = edge + np.exp(0.5 * (lo + hi))
    chi2 = _weighted_fit(xs, y, w, n, a, work, coef)
    gauss = _weighted_fit(xs, y, w, n, np.inf, work, coef)
    if not (gauss <= chi2 and coef[2] >= 0):
        _weighted_fit(xs, y, w, n, a, work, coef)
    else:
        a = np.inf
    if coef[2] < 0:
        row[:4] = 0.0
        row[3] = np.inf
        return
    row[0] = coef[0]
    row[1] = coef[1] / scale
    row[2] = coef[2] / scale**2
    row[3] = a * scale


@njit(cache=True, nogil=True)
def _spline_slopes(x, r, n, s):
    """Slopes at the nodes of the not-a-knot cubic spline through ``(x, r)``, into ``s``."""
    if n == 2:
        s[0] = s[1] = (r[1] - r[0]) / (x[1] - x[0])
        return
    d0 = x[1] - x[0]
    d1 = x[2] - x[1]
    m0 = (r[1] - r[0]) / d0
    m1 = (r[2] - r[1]) / d1
    if n == 3:  # the parabola
        c = (m1 - m0) / (d0 + d1)
        s[0] = m0 - c * d0
        s[1] = m0 + c * d0
        s[2] = m1 + c * d1
        return
    diag = np.empty(n)
    upper = np.empty(n)
    rhs = np.empty(n)
    span = d0 + d1
    diag[0] = d1
    upper[0] = span
    rhs[0] = ((d0 + 2 * span) * d1 * m0 + d0 * d0 * m1) / span
    for i in range(1, n - 1):
        dl = x[i] - x[i - 1]
        dr = x[i + 1] - x[i]
        ml = (r[i] - r[i - 1]) / dl
        mr = (r[i + 1] - r[i]) / dr
        factor = dr / diag[i - 1]
        diag[i] = 2 * (dl + dr) - factor * upper[i - 1]
        upper[i] = dl
        rhs[i] = 3 * (dr * ml + dl * mr) - factor * rhs[i - 1]
    dl = x[n - 2] - x[n - 3]
    dr = x[n - 1] - x[n - 2]
    ml = (r[n - 2] - r[n - 3]) / dl
    mr = (r[n - 1] - r[n - 2]) / dr
    span = dl + dr
    factor = span / diag[n - 2]
    diag[n - 1] = dl - factor * upper[n - 2]
    rhs[n - 1] = (dr * dr * ml + (2 * span + dr) * dl * mr) / span - factor * rhs[n - 2]
    s[n - 1] = rhs[n - 1] / diag[n - 1]
    for i in range(n - 2, -1, -1):
        s[i] = (rhs[i] - upper[i] * s[i + 1]) / diag[i]


@njit(cache=True, nogil=True)
def prepare_scans(norm, stat, n_points, mode, params, residual, slopes):
    """Fit shapes and splines of all bins.

    Parameters
    ----------
    norm, stat : array, shape (n_bins, n_points_max)
    n_points : int array, shape (n_bins,)
        Points in use per bin.
    mode : int
        0 linear, 1 cubic, 2 shape.
    params : array, shape (n_bins, 6)
    residual, slopes : array, shape (n_bins, n_points_max)
        Outputs; ``slopes`` stays zero for ``linear``.
    """
    for b in range(norm.shape[0]):
        n = n_points[b]
        x = norm[b, :n]
        row = params[b]
        row[:] = 0.0
        row[3] = np.inf
        if mode == 2 and n >= 5:
            _fit_shape(x, stat[b], n, row)
        for k in range(n):
            residual[b, k] = stat[b, k] - (
                row[0] + row[1] * x[k] + row[2] * poisson_shape(x[k], row[3])
            )
        if mode == 0:
            row[4] = (residual[b, 1] - residual[b, 0]) / (x[1] - x[0])
            row[5] = (residual[b, n - 1] - residual[b, n - 2]) / (x[n - 1] - x[n - 2])
        else:
            _spline_slopes(x, residual[b], n, slopes[b])
            row[4] = slopes[b, 0]
            row[5] = slopes[b, n - 1]
        # the upper tail must not turn down for ever
        if row[2] > 0:
            final = row[1] + (np.inf if np.isinf(row[3]) else 2 * row[2] * row[3]) + row[5]
        else:
            final = row[1] + row[5]
        if final < 0:
            row[5] -= final


@njit(cache=True, nogil=True)
def _evaluate(x, n, xs, rs, ss, row, mode, k):
    """Curve of one bin at ``x``; ``k`` is the interval, -1 below and n - 1 above the scan."""
    if k < 0 and row[3] > 0.0:
        # the Poisson shape ends at x = -a: go on along its slope before
        turn = row[3] * (0.5 * min(1.0, 1.0 + xs[0] / row[3]) - 1.0)
        if x < turn:
            shape = poisson_shape(turn, row[3])
            shape += poisson_shape_slope(turn, row[3]) * (x - turn)
            return row[0] + row[1] * x + row[2] * shape + rs[0] + row[4] * (x - xs[0])
    base = row[0] + row[1] * x + row[2] * poisson_shape(x, row[3])
    if k < 0:
        return base + rs[0] + row[4] * (x - xs[0])
    if k >= n - 1:
        return base + rs[n - 1] + row[5] * (x - xs[n - 1])
    h = xs[k + 1] - xs[k]
    t = (x - xs[k]) / h
    if mode == 0:
        return base + rs[k] + t * (rs[k + 1] - rs[k])
    u = 1.0 - t
    return (
        base
        + u * u * ((1.0 + 2.0 * t) * rs[k] + t * h * ss[k])
        + t * t * ((3.0 - 2.0 * t) * rs[k + 1] - u * h * ss[k + 1])
    )


@njit(cache=True, nogil=True)
def evaluate_scans(values, norm, n_points, mode, params, residual, slopes, out):
    """Evaluate every bin at its own points.

    Parameters
    ----------
    values : array, shape (n_bins, n_values)
        Norms, in any order.
    norm, n_points, mode, params, residual, slopes
        As prepared by `prepare_scans`.
    out : array, shape (n_bins, n_values)
        Receives ``stat``.
    """
    for b in range(values.shape[0]):
        n = n_points[b]
        xs = norm[b]
        k = -1
        for j in range(values.shape[1]):
            x = values[b, j]
            while k >= 0 and x < xs[k]:
                k -= 1
            while k < n - 1 and x >= xs[k + 1]:
                k += 1
            kk = n - 2 if (k == n - 1 and x == xs[n - 1]) else k
            out[b, j] = _evaluate(x, n, xs, residual[b], slopes[b], params[b], mode, kk)
