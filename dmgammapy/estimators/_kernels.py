"""Numba kernels of the estimators; they take plain arrays only.

Profiles are rows of ``stat`` on a *lattice* of the signal strength: uniform in log10 with a step
of ``step`` dex, shape ``(n_row, n_norm)``, one row per (channel, mass). The value at zero signal
is kept beside the lattice, shape ``(n_row,)``.
"""

import numpy as np
from numba import njit

N_TAPS = 6
LARGEST_STAT = 1400.0  # exp(-700) is still a number
ON_NODE = 1e-9  # steps


@njit(cache=True, nogil=True)
def lagrange6(fraction, taps):
    """Weights of the six neighbours -2 ... 3 for a point ``fraction`` after neighbour 0."""
    t = fraction
    a = t + 2.0
    b = t + 1.0
    c = t - 1.0
    d = t - 2.0
    e = t - 3.0
    taps[0] = -b * t * c * d * e / 120.0
    taps[1] = a * t * c * d * e / 24.0
    taps[2] = -a * b * c * d * e / 12.0
    taps[3] = a * b * t * d * e / 12.0
    taps[4] = -a * b * t * c * e / 24.0
    taps[5] = a * b * t * c * d / 120.0


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def apply_spectra(table, first, position, start, out):
    """Add up the bins' tabulated likelihoods at the flux each signal strength predicts.

    This is the linear operator of the conversion: for row ``r`` and bin ``b`` the lattice of the
    signal strength is that of the bin's norm, shifted by ``position[r, b]`` steps.

    Parameters
    ----------
    table : array, shape (n_bin, n_table)
        ``stat`` of each bin on its norm lattice, relative to zero norm.
    first : int array, shape (n_bin,)
        Lattice index of ``table[b, 0]``: its norm is ``10^(step * first[b])``.
    position : array, shape (n_row, n_bin)
        log10 of norm per unit signal strength, in steps; NaN where a bin gets no flux.
    start : int array, shape (n_row,)
        Lattice index of ``out[r, 0]``.
    out : array, shape (n_row, n_norm)
        Receives ``stat`` relative to zero signal.
    """
    n_row, n_norm = out.shape
    n_bin, n_table = table.shape
    taps = np.empty(N_TAPS)
    for r in range(n_row):
        for j in range(n_norm):
            out[r, j] = 0.0
        for b in range(n_bin):
            p = position[r, b]
            if np.isnan(p):
                continue
            p += start[r] - first[b]
            whole = int(np.floor(p))
            lagrange6(p - whole, taps)
            # table index of tap 0 at j: whole + j - 2
            j_low = min(max(0, 2 - whole), n_norm)
            j_high = max(min(n_norm, n_table - 3 - whole), j_low)
            t0, t1, t2, t3, t4, t5 = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5]
            row = out[r, j_low:j_high]
            n = j_high - j_low
            src = table[b, whole + j_low - 2 : whole + j_low + n + 3]
            for j in range(n):
                row[j] += (
                    t0 * src[j]
                    + t1 * src[j + 1]
                    + t2 * src[j + 2]
                    + t3 * src[j + 3]
                    + t4 * src[j + 4]
                    + t5 * src[j + 5]
                )
            # below the table stat is that of zero norm; above it stays at the (huge) last value
            for j in range(j_high, n_norm):
                row_value = table[b, n_table - 1]
                out[r, j] += row_value


@njit(cache=True, nogil=True)
def _lagrange4(u, v, j, x):
    """Cubic through the four nodes around interval ``j`` (clipped at the ends)."""
    n = len(u)
    if n < 4:
        t = (x - u[j]) / (u[j + 1] - u[j])
        return v[j] + t * (v[j + 1] - v[j])
    i = min(max(j - 1, 0), n - 4)
    u0, u1, u2, u3 = u[i], u[i + 1], u[i + 2], u[i + 3]
    d0, d1, d2, d3 = x - u0, x - u1, x - u2, x - u3
    return (
        v[i] * d1 * d2 * d3 / ((u0 - u1) * (u0 - u2) * (u0 - u3))
        + v[i + 1] * d0 * d2 * d3 / ((u1 - u0) * (u1 - u2) * (u1 - u3))
        + v[i + 2] * d0 * d1 * d3 / ((u2 - u0) * (u2 - u1) * (u2 - u3))
        + v[i + 3] * d0 * d1 * d2 / ((u3 - u0) * (u3 - u1) * (u3 - u2))
    )


@njit(cache=True, nogil=True)
def resample(u, v, zero, targets, out):
    """Read profiles off at other signal strengths.

    Parameters
    ----------
    u : array, shape (n_norm,)
        log10 of the nodes, ascending.
    v : array, shape (n_row, n_norm)
    zero : array, shape (n_row,)
        Value at zero signal: below the first node the profile is linear in the signal.
    targets : array, shape (n_row, n_out)
        log10 of the wanted points, ascending per row; those above the last node give NaN.
    out : array, shape (n_row, n_out)
    """
    n = len(u)
    for r in range(v.shape[0]):
        j = 0
        for i in range(targets.shape[1]):
            x = targets[r, i]
            if x < u[0]:
                out[r, i] = zero[r] + (v[r, 0] - zero[r]) * 10.0 ** (x - u[0])
            elif x > u[n - 1] + 1e-9:
                out[r, i] = np.nan
            else:
                while j < n - 2 and x >= u[j + 1]:
                    j += 1
                out[r, i] = _lagrange4(u, v[r], j, x)


@njit(cache=True, nogil=True)
def _lagrange5(u, v, i, x):
    """Quartic through the five nodes ``i - 2 ... i + 2``."""
    total = 0.0
    for a in range(i - 2, i + 3):
        weight = 1.0
        for b in range(i - 2, i + 3):
            if b != a:
                weight *= (x - u[b]) / (u[a] - u[b])
        total += weight * v[a]
    return total


@njit(cache=True, nogil=True)
def _minimum_near(u, v, j):
    """Minimum of the quartic around the lowest node ``j``: position and value."""
    n = len(u)
    if j < 2 or j > n - 3:
        return u[j], v[j]
    lo, hi = u[j - 1], u[j + 1]
    ratio = 0.6180339887498949
    a = hi - ratio * (hi - lo)
    b = lo + ratio * (hi - lo)
    fa = _lagrange5(u, v, j, a)
    fb = _lagrange5(u, v, j, b)
    for _ in range(32):
        if fa < fb:
            hi, b, fb = b, a, fa
            a = hi - ratio * (hi - lo)
            fa = _lagrange5(u, v, j, a)
        else:
            lo, a, fa = a, b, fb
            b = lo + ratio * (hi - lo)
            fb = _lagrange5(u, v, j, b)
    x = 0.5 * (lo + hi)
    value = _lagrange5(u, v, j, x)
    if value <= v[j]:
        return x, value
    return u[j], v[j]


@njit(cache=True, nogil=True)
def find_best(u, v, zero, best, minimum):
    """Best signal strength (>= 0) of each profile.

    ``best`` receives the strength in units of the nodes (``10^u``; 0 when zero signal fits best),
    ``minimum`` the value there; shapes ``(n_row,)``.
    """
    for r in range(v.shape[0]):
        j = 0
        for i in range(v.shape[1]):
            if v[r, i] < v[r, j]:
                j = i
        x, value = _minimum_near(u, v[r], j)
        if value < zero[r]:
            best[r] = 10.0**x
            minimum[r] = value
        else:
            best[r] = 0.0
            minimum[r] = zero[r]


@njit(cache=True, nogil=True)
def _bisect(u, v, inside, outside, level):
    """log10 strength of the crossing between a point below ``level`` and one above it."""
    lo, hi = inside, outside
    for _ in range(60):
        mid = 0.5 * (lo + hi)
        j = min(max(np.searchsorted(u, mid) - 1, 0), len(u) - 2)
        if _lagrange4(u, v, j, mid) > level:
            hi = mid
        else:
            lo = mid
    return 0.5 * (lo + hi)


@njit(cache=True, nogil=True)
def find_upper(u, v, zero, best, level, upper, code):
    """Strength above which the profile stays above ``level``, shape ``(n_row,)``.

    Where a profile crosses the level more than once this is the outermost crossing. ``code``
    receives 0 where it is found, 1 where the profile is still below the level at the last node,
    2 where the crossing lies below the first node (no resolution there).
    """
    n = len(u)
    for r in range(v.shape[0]):
        code[r] = 0
        if not v[r, n - 1] > level[r]:
            upper[r] = np.nan
            code[r] = 1
            continue
        j = n - 2
        while j >= 0 and v[r, j] > level[r]:
            j -= 1
        inside = u[j] if j >= 0 else -np.inf
        if best[r] > 0:  # a narrow minimum can lie between nodes that are all above the level
            inside = max(inside, np.log10(best[r]))
        if np.isinf(inside):
            upper[r] = np.nan
            code[r] = 2
            continue
        k = np.searchsorted(u, inside, side="right")
        upper[r] = 10.0 ** _bisect(u, v[r], inside, u[k], level[r])


@njit(cache=True, nogil=True)
def find_lower(u, v, zero, best, level, lower):
    """Strength below which the profile stays above ``level``; 0 where zero is not excluded."""
    n = len(u)
    for r in range(v.shape[0]):
        lower[r] = 0.0
        if zero[r] <= level[r] or best[r] == 0.0:
            continue
        if v[r, 0] <= level[r]:  # linear in the signal below the first node
            lower[r] = (zero[r] - level[r]) / (zero[r] - v[r, 0]) * 10.0 ** u[0]
            continue
        inside = np.log10(best[r])
        j = 0
        while j < n and v[r, j] > level[r]:
            j += 1
        if j < n:
            inside = min(inside, u[j])
        k = np.searchsorted(u, inside) - 1
        lower[r] = 10.0 ** _bisect(u, v[r], inside, u[k], level[r])


@njit(cache=True, nogil=True)
def add_aligned(v, zero, offset, step, out, out_zero):
    """Add profiles onto another stretch of the same lattice.

    Parameters
    ----------
    v : array, shape (n_row, n_norm)
    zero : array, shape (n_row,)
    offset : int array, shape (n_row,)
        Index in ``v`` of the first node of ``out``. Where it is negative ``out`` begins lower;
        there the profile is linear in the signal.
    step : float
        Lattice step in dex.
    out : array, shape (n_row, n_out)
        Added to. Nodes above the last one of ``v`` become NaN.
    out_zero : array, shape (n_row,)
        Added to.
    """
    n = v.shape[1]
    for r in range(out.shape[0]):
        out_zero[r] += zero[r]
        for j in range(out.shape[1]):
            i = j + offset[r]
            if i < 0:
                out[r, j] += zero[r] + (v[r, 0] - zero[r]) * 10.0 ** (step * i)
            elif i < n:
                out[r, j] += v[r, i]
            else:
                out[r, j] = np.nan


@njit(cache=True, nogil=True)
def _refine(v, q, penalty, k1, k2, best):
    """Continuous minimum of profile plus penalty within a step of node ``q``."""
    n = len(v)
    if q < 2 or q > n - 3:
        return best
    d1 = (v[q - 2] - 8 * v[q - 1] + 8 * v[q + 1] - v[q + 2]) / 12.0
    d2 = (-v[q - 2] + 16 * v[q - 1] - 30 * v[q] + 16 * v[q + 1] - v[q + 2]) / 12.0
    d3 = (-v[q - 2] + 2 * v[q - 1] - 2 * v[q + 1] + v[q + 2]) / 2.0
    d4 = v[q - 2] - 4 * v[q - 1] + 6 * v[q] - 4 * v[q + 1] + v[q + 2]
    t = 0.0
    for _ in range(4):
        slope = d1 + t * (d2 + t * (d3 / 2.0 + t * d4 / 6.0)) + k1 + 2.0 * k2 * t
        bend = d2 + t * (d3 + t * d4 / 2.0) + 2.0 * k2
        if bend <= 0:
            return best
        move = slope / bend
        t = min(max(t - move, -1.0), 1.0)
        if abs(move) < 1e-4:  # the next one would be of the order of its square
            break
    value = (
        v[q]
        + t * (d1 + t * (d2 / 2.0 + t * (d3 / 6.0 + t * d4 / 24.0)))
        + penalty
        + t * (k1 + k2 * t)
    )
    return min(best, value)


@njit(cache=True, nogil=True)
def _origin_parabola(v, curvature, origin, located, border):
    """Best node for every shift under ``curvature d^2``: lower envelope of parabolas, O(n).

    Felzenszwalb & Huttenlocher 2012, Theory of Computing 8, 415. ``located`` (n,) and ``border``
    (n + 1,) are scratch.
    """
    n = len(v)
    k = 0
    located[0] = 0
    border[0] = -np.inf
    border[1] = np.inf
    for q in range(1, n):
        while True:
            p = located[k]
            s = (v[q] - v[p]) / (2.0 * curvature * (q - p)) + 0.5 * (q + p)
            if s > border[k]:
                break
            k -= 1
        k += 1
        located[k] = q
        border[k] = s
        border[k + 1] = np.inf
    k = 0
    for i in range(n):
        while border[k + 1] < i:
            k += 1
        origin[i] = located[k]


@njit(cache=True, nogil=True)
def _origin_convex(v, penalty, origin, stack):
    """Best node for every shift under a convex penalty, by divide and conquer, O(n log n).

    The best node moves up monotonically with the shift. ``stack`` (64, 4) is scratch.
    """
    n = len(v)
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = 0, n - 1, 0, n - 1
    depth = 1
    while depth > 0:
        depth -= 1
        i_low, i_high = stack[depth, 0], stack[depth, 1]
        q_low, q_high = stack[depth, 2], stack[depth, 3]
        i = (i_low + i_high) // 2
        at = _origin_among(v, penalty, i, q_low, q_high)
        origin[i] = at
        if i_low < i:
            stack[depth, 0], stack[depth, 1] = i_low, i - 1
            stack[depth, 2], stack[depth, 3] = q_low, at
            depth += 1
        if i < i_high:
            stack[depth, 0], stack[depth, 1] = i + 1, i_high
            stack[depth, 2], stack[depth, 3] = at, q_high
            depth += 1


@njit(cache=True, nogil=True)
def _origin_among(v, penalty, i, q_low, q_high):
    """Best node between ``q_low`` and ``q_high`` for the shift from ``i``."""
    centre = len(v) - 1 - i
    best = np.inf
    at = q_low
    for q in range(q_low, q_high + 1):
        value = v[q] + penalty[q + centre]
        if value < best:
            best = value
            at = q
    return at


@njit(cache=True, nogil=True)
def profile_shift(v, penalty, curvature_low, curvature_high, convex, out, origin):
    """Profile a common shift of all signal strengths: ``out_i = min_q v_q + penalty(q - i)``.

    This is the J-factor nuisance: a target whose J is ``10^y`` times the observed one responds to
    ``sigmav`` as to ``sigmav 10^y``. The best node is found by a lower envelope (normal penalty),
    by divide and conquer (convex penalty) or by trying all; around it the minimum is sought
    between the nodes.

    Parameters
    ----------
    v : array, shape (n_row, n_norm)
    penalty : array, shape (2 n_norm - 1,)
        -2 ln L of a shift by ``d`` steps at ``[d + n_norm - 1]``.
    curvature_low, curvature_high : float
        ``(step / s)^2`` of a (split) normal penalty below and above zero; NaN for a tabulated one.
    convex : bool
    out : array, shape (n_row, n_norm)
    origin : int array, shape (n_row, n_norm)
        Receives the best node ``q``.
    """
    n_row, n = v.shape
    stack = np.empty((64, 4), dtype=np.int64)
    located = np.empty(n, dtype=np.int64)
    border = np.empty(n + 1)
    tabulated = np.isnan(curvature_low)
    for r in range(n_row):
        row = v[r]
        if not tabulated and curvature_low == curvature_high:
            _origin_parabola(row, curvature_low, origin[r], located, border)
        elif convex:
            _origin_convex(row, penalty, origin[r], stack)
        else:
            for i in range(n):
                origin[r, i] = _origin_among(row, penalty, i, 0, n - 1)
        for i in range(n):
            q = origin[r, i]
            d = q - i
            m = d + n - 1
            out[r, i] = row[q] + penalty[m]
            if tabulated:
                if m < 1 or m > 2 * n - 3:
                    continue
                k1 = 0.5 * (penalty[m + 1] - penalty[m - 1])
                k2 = 0.5 * (penalty[m + 1] - 2 * penalty[m] + penalty[m - 1])
            else:
                below = d < 0 or (d == 0 and 0 < q < n - 1 and row[q + 1] > row[q - 1])
                k2 = curvature_low if below else curvature_high
                k1 = 2.0 * k2 * d
            out[r, i] = _refine(row, q, penalty[m], k1, k2, out[r, i])


@njit(cache=True, nogil=True)
def window_floor(row, zero, first, last, floor):
    """Lowest value each node sees within shifts from ``first`` to ``last``, into ``floor``."""
    n = len(row)
    for i in range(len(floor)):
        low = zero if i + first < 0 else row[min(i + first, n - 1)]
        for p in range(max(i + first, 0), min(i + last, n - 1) + 1):
            low = min(low, row[p])
        floor[i] = low


@njit(cache=True, nogil=True)
def marginalize_shift(v, zero, shifts, weights, step, wall, out, beyond):
    """``out_i = -2 ln sum_k w_k exp(-v(i + shift_k) / 2)``: average over a common shift.

    Parameters
    ----------
    v : array, shape (n_row, n_norm)
    zero : array, shape (n_row,)
    shifts : array, shape (n_shift,)
        Shifts in steps, fractional.
    weights : array, shape (n_shift,)
        Quadrature weights times the normalised density.
    step : float
        Lattice step in dex.
    wall : bool
        Beyond the last node the likelihood is zero; otherwise ``v`` is taken as constant.
    out : array, shape (n_row, n_out)
        Can hold more nodes than ``v``.
    beyond : array, shape (n_row, n_out)
        Part of the average that lies beyond the last node.
    """
    n_row, n = v.shape
    n_out = out.shape[1]
    taps = np.empty(N_TAPS)
    value = np.empty(n_out)
    total = np.empty(n_out)
    past = np.empty(n_out)
    floor = np.empty(n_out)
    for r in range(n_row):
        row = v[r]
        window_floor(row, zero[r], int(np.floor(shifts[0])), int(np.ceil(shifts[-1])), floor)
        total[:] = 0.0
        past[:] = 0.0
        for k in range(len(shifts)):
            whole = int(np.floor(shifts[k]))
            t = shifts[k] - whole
            lagrange6(t, taps)
            for i in range(n_out):
                p = i + whole
                if p < 0:
                    value[i] = zero[r] + (row[0] - zero[r]) * 10.0 ** (step * (p + t))
                elif p >= n - 1:
                    past_wall = wall and p + t > n - 1 + ON_NODE
                    value[i] = np.inf if past_wall else row[n - 1]
                elif p < 2 or p > n - 4:
                    value[i] = row[p] + t * (row[p + 1] - row[p])
                else:
                    value[i] = 0.0
                    for m in range(N_TAPS):
                        value[i] += taps[m] * row[p + m - 2]
            for i in range(n_out):
                part = weights[k] * np.exp(-0.5 * min(value[i] - floor[i], LARGEST_STAT))
                total[i] += part
                if i + shifts[k] > n - 1:
                    past[i] += part
        for i in range(n_out):
            out[r, i] = floor[i] - 2.0 * np.log(total[i])
            beyond[r, i] = past[i] / total[i]


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def marginalize_on_nodes(v, zero, first, weights, step, out, beyond):
    """As `marginalize_shift` for whole shifts ``first + k``: one exponential per node.

    Parameters
    ----------
    v, zero, step, out, beyond
        As there.
    first : int
        Lowest shift in steps.
    weights : array, shape (n_shift,)
    """
    n_row, n = v.shape
    n_shift = len(weights)
    stat = np.empty(n + n_shift)
    likelihood = np.empty(n + n_shift)
    floor = np.empty(n)
    for r in range(n_row):
        row = v[r]
        lowest, highest = zero[r], zero[r]
        for m in range(n + n_shift):
            p = m + first
            if p < 0:
                stat[m] = zero[r] + (row[0] - zero[r]) * 10.0 ** (step * p)
            else:
                stat[m] = row[min(p, n - 1)]
            lowest, highest = min(lowest, stat[m]), max(highest, stat[m])
        wide = highest - lowest > LARGEST_STAT
        if wide:
            # exponentials of one scale don't reach from one end to the other
            window_floor(row, zero[r], first, first + n_shift - 1, floor)
        else:
            floor[:] = lowest
            for m in range(n + n_shift):
                likelihood[m] = np.exp(-0.5 * (stat[m] - lowest))
        for i in range(n):
            total = 0.0
            past = 0.0
            for k in range(n_shift):
                if wide:
                    one = np.exp(-0.5 * min(stat[i + k] - floor[i], LARGEST_STAT))
                else:
                    one = likelihood[i + k]
                total += weights[k] * one
                if i + k + first >= n:
                    past += weights[k] * one
            out[r, i] = floor[i] - 2.0 * np.log(total)
            beyond[r, i] = past / total
