"""Numba kernels of J-factors that vary together; plain arrays, lengths in lattice steps.

Everywhere ``v[t]`` is the profile of target ``t`` on its own stretch of the lattice, ``slope[t]``
its derivative per step, and the shifts are ``y = loading u`` with ``u`` of unit variance, so that
the penalty is ``u . u`` and a singular covariance is nothing special.
"""

import numpy as np
from numba import njit

MAX_NEWTON = 60
TOLERANCE = 2e-8  # predicted decrease of stat at which Newton ends
NEGLIGIBLE = 1e-6  # gain in stat not worth a search
FULL_SEARCH = 8  # every so many nodes more starting points are tried:
N_STARTS = 6
MAX_DIRECTIONS = 4  # leading directions that are scanned
MAX_REACH = 15.0  # standard deviations
LARGEST_EXPONENT = 69.0  # 1e30


@njit(cache=True, nogil=True)
def node_slopes(v, zero, step, out):
    """Derivative of profiles at their nodes, per step, to fourth order inside.

    Parameters
    ----------
    v : array, shape (n_row, n)
    zero : array, shape (n_row,)
        Value at zero signal: below the first node the profile is linear in the signal.
    step : float
        Lattice step in dex.
    out : array, shape (n_row, n)
    """
    n = v.shape[1]
    for r in range(v.shape[0]):
        row = v[r]
        below1 = zero[r] + (row[0] - zero[r]) * 10.0**-step
        below2 = zero[r] + (row[0] - zero[r]) * 10.0 ** (-2 * step)
        for i in range(n):
            a = row[i - 2] if i > 1 else (below1 if i == 1 else below2)
            b = row[i - 1] if i > 0 else below1
            if i < n - 2:
                out[r, i] = (a - 8.0 * b + 8.0 * row[i + 1] - row[i + 2]) / 12.0
            elif i < n - 1:
                out[r, i] = 0.5 * (row[i + 1] - b)
            else:
                out[r, i] = 1.5 * row[i] - 2.0 * b + 0.5 * a


@njit(cache=True, nogil=True)
def _at(v, slope, zero, n, x, rate):
    """Value, first and second derivative at position ``x`` (in steps from the first node).

    Linear in the signal below the first node and beyond the last, a cubic through values and
    slopes between.
    """
    if x < 0.0:
        e = (v[0] - zero) * np.exp(rate * x)
        return zero + e, rate * e, rate * rate * e
    if x >= n - 1:
        e = max(slope[n - 1], 0.0) * np.exp(min(rate * (x - (n - 1)), LARGEST_EXPONENT))
        return v[n - 1] + (e - max(slope[n - 1], 0.0)) / rate, e, rate * e
    j = int(x)
    s = x - j
    d = v[j + 1] - v[j]
    p, q = slope[j], slope[j + 1]
    c2 = 3.0 * d - 2.0 * p - q
    c3 = p + q - 2.0 * d
    return (
        v[j] + s * (p + s * (c2 + s * c3)),
        p + s * (2.0 * c2 + 3.0 * s * c3),
        2.0 * c2 + 6.0 * s * c3,
    )


@njit(cache=True, nogil=True)
def _total(u, loading, x, v, slope, zero, length, rate):
    """``stat`` of all targets at the shifts ``loading u``, with the penalty."""
    total = 0.0
    for k in range(len(u)):
        total += u[k] * u[k]
    for t in range(len(x)):
        if length[t] == 0:
            continue
        y = 0.0
        for k in range(len(u)):
            y += loading[t, k] * u[k]
        total += _at(v[t], slope[t], zero[t], length[t], x[t] + y, rate)[0]
    return total


@njit(cache=True, nogil=True)
def _total_below(shift, penalty, limit, x, v, slope, zero, length, lowest, rate):
    """As `_total` for known shifts; infinite as soon as it must exceed ``limit``."""
    total = penalty
    for t in range(len(x)):
        if length[t] > 0:
            total += lowest[t]
    for t in range(len(x)):
        if length[t] == 0:
            continue
        if total > limit:
            return np.inf
        total += _at(v[t], slope[t], zero[t], length[t], x[t] + shift[t], rate)[0] - lowest[t]
    return total


@njit(cache=True, nogil=True)
def _cholesky_solve(matrix, factor, rhs, out):
    """Solve ``matrix out = -rhs`` (lower triangle given); False if not positive definite."""
    n = len(rhs)
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            if i == j:
                if total <= 1e-9:
                    return False
                factor[i, i] = np.sqrt(total)
            else:
                factor[i, j] = total / factor[j, j]
    for i in range(n):
        total = -rhs[i]
        for k in range(i):
            total -= factor[i, k] * out[k]
        out[i] = total / factor[i, i]
    for i in range(n - 1, -1, -1):
        total = out[i]
        for k in range(i + 1, n):
            total -= factor[k, i] * out[k]
        out[i] = total / factor[i, i]
    return True


@njit(cache=True, nogil=True)
def _hessian(loading, bend, positive, out):
    """``2 + loading^T bend loading``, lower triangle; ``positive`` leaves negative bends out."""
    n = loading.shape[1]
    for k in range(n):
        for m in range(k + 1):
            out[k, m] = 2.0 if k == m else 0.0
    for t in range(len(bend)):
        if bend[t] == 0.0 or (positive and bend[t] < 0.0):
            continue
        for k in range(n):
            a = bend[t] * loading[t, k]
            for m in range(k + 1):
                out[k, m] += a * loading[t, m]


@njit(cache=True, nogil=True)
def _newton(u, loading, x, v, slope, zero, length, rate, vectors, matrices, scratch):
    """Go from ``u`` (changed in place) down to a minimum; returns its value.

    Newton with the full second derivatives where they are positive definite, without the negative
    ones elsewhere, and a line search.
    """
    n_target, n = loading.shape
    gradient, move, trial = vectors[0], vectors[1], vectors[2]
    bend = scratch[0]
    value = np.inf
    for _ in range(MAX_NEWTON):
        value = 0.0
        for k in range(n):
            gradient[k] = 2.0 * u[k]
            value += u[k] * u[k]
        for t in range(n_target):
            bend[t] = 0.0
            if length[t] == 0:
                continue
            y = 0.0
            for k in range(n):
                y += loading[t, k] * u[k]
            f, f1, f2 = _at(v[t], slope[t], zero[t], length[t], x[t] + y, rate)
            value += f
            bend[t] = f2
            for k in range(n):
                gradient[k] += loading[t, k] * f1
        _hessian(loading, bend, False, matrices[0])
        if not _cholesky_solve(matrices[0], matrices[1], gradient, move):
            _hessian(loading, bend, True, matrices[0])
            _cholesky_solve(matrices[0], matrices[1], gradient, move)
        descent = 0.0
        for k in range(n):
            descent += gradient[k] * move[k]
        if not -descent > TOLERANCE * max(1.0, 1e-6 * abs(value)):
            break
        longest = 0.0
        for t in range(n_target):
            if length[t] > 0:
                y = 0.0
                for k in range(n):
                    y += loading[t, k] * move[k]
                longest = max(longest, abs(y))
        scale = min(1.0, 2.302585 / rate / max(longest, 1e-300))  # a dex at a time
        found = False
        for _ in range(40):
            for k in range(n):
                trial[k] = u[k] + scale * move[k]
            new = _total(trial, loading, x, v, slope, zero, length, rate)
            if new <= value + 1e-4 * scale * descent:
                found = True
                break
            scale *= 0.5
        if not found:
            break
        for k in range(n):
            u[k] = trial[k]
        value = new
    return value


@njit(cache=True, nogil=True)
def _scan_direction(
    u, best, k, floor, lowest, loading, x, v, slope, zero, length, rate, vectors, matrices, scratch
):
    """Search the whole line through ``u`` along direction ``k``; ``u`` becomes the best found.

    ``floor`` is what all profiles together can't go below: it limits how far ``u[k]`` can be.
    """
    n = len(u)
    base, shift = scratch[1], scratch[2]
    rest = 0.0
    for j in range(n):
        if j != k:
            rest += u[j] * u[j]
    reach = min(np.sqrt(max(best - floor - rest, 0.0)), MAX_REACH)
    longest = 0.0
    for t in range(len(x)):
        if length[t] > 0:
            longest = max(longest, abs(loading[t, k]))
            base[t] = -loading[t, k] * u[k]
            for j in range(n):
                base[t] += loading[t, j] * u[j]
    width = min(0.5, 1.0 / max(longest, 1e-300))
    n_side = int(np.ceil(reach / width)) + 1
    line, attempt = vectors[3], vectors[4]
    for j in range(n):
        line[j] = u[j]
    before, here = np.inf, np.inf
    for i in range(-n_side, n_side + 2):
        after = np.inf
        if i <= n_side:
            z = i * width
            for t in range(len(x)):
                shift[t] = base[t] + loading[t, k] * z
            after = _total_below(
                shift, rest + z * z, best + 1.0, x, v, slope, zero, length, lowest, rate
            )
        if here <= before and here < after:
            for j in range(n):
                attempt[j] = line[j]
            attempt[k] = (i - 1) * width
            value = _newton(
                attempt, loading, x, v, slope, zero, length, rate, vectors, matrices, scratch
            )
            if value < best:
                best = value
                for j in range(n):
                    u[j] = attempt[j]
        before, here = here, after
    return best


@njit(cache=True, nogil=True)
def _try(
    start, u, best, loading, x, v, slope, zero, length, rate, vectors, matrices, scratch
):  # fmt: skip
    """Newton from ``start``; ``u`` becomes the result if it is lower than ``best``."""
    attempt = vectors[4]
    for k in range(len(u)):
        attempt[k] = start[k]
    value = _newton(attempt, loading, x, v, slope, zero, length, rate, vectors, matrices, scratch)
    if value < best:
        best = value
        for k in range(len(u)):
            u[k] = attempt[k]
    return best


@njit(cache=True, nogil=True)
def profile_shifts(
    v, slope, zero, lead, length, lowest, guess, loading, back, rate, beyond, out, terms, first
):
    """``out = min_u [u . u + sum_t v_t(node + loading_t u)]`` at all nodes of all rows.

    With one direction the minimum is global: the line is scanned as far as it can matter, or to
    15 standard deviations. With more, every node starts from its neighbours' results, on the way
    up and down, and from the lowest of: no shift, all targets at their uncorrelated optimum, each
    target at its own with the others following; every few nodes from the six lowest of these and
    from scans along the leading directions.

    Parameters
    ----------
    v, slope : array, shape (n_row, n_target, n_longest)
        Profiles and their derivatives per step.
    zero : array, shape (n_row, n_target)
    lead : int array, shape (n_row, n_target)
        Index in ``v`` of the first node of ``out``.
    length : int array, shape (n_row, n_target)
        Number of nodes of each profile; 0 where there is no information.
    lowest : array, shape (n_row, n_target)
        Minimum of each profile.
    guess : array, shape (n_row, n_target, n_node)
        Shift of each target, in steps, that were best if it were alone.
    loading : array, shape (n_target, n_direction)
        In steps.
    back : array, shape (n_direction, n_target)
        Leads from shifts to a ``u`` that makes them.
    rate : float
        ``step ln 10``.
    beyond : array, shape (n_row, n_target)
        Position in ``v`` from which a profile is extrapolated.
    out : array, shape (n_row, n_node)
    terms : array, shape (n_row, n_target, n_node)
        Receives each target's part of ``out``: ``v_t - y_t v_t' / 2``.
    first : int array, shape (n_row,)
        Receives the first node that rests on extrapolated profiles.
    """
    n_row, n_node = out.shape
    n_target, n = loading.shape
    vectors = np.zeros((6, n))
    matrices = np.zeros((2, n, n))
    scratch = np.zeros((3, n_target))
    x = np.zeros(n_target)
    u = np.zeros((n_node, n))
    start = np.zeros((n_target + 2, n))
    height = np.zeros(n_target + 2)
    for r in range(n_row):
        lines = (v[r], slope[r], zero[r], length[r], rate, vectors, matrices, scratch)
        floor = 0.0
        for t in range(n_target):
            if length[r, t] > 0:
                floor += lowest[r, t]
        for i in range(n_node):
            for t in range(n_target):
                x[t] = lead[r, t] + i
            for k in range(n):
                u[i, k] = 0.0
            best = _total(u[i], loading, x, v[r], slope[r], zero[r], length[r], rate)
            if best - floor < NEGLIGIBLE:
                out[r, i] = best
                continue
            if i > 0:
                best = _try(u[i - 1], u[i], best, loading, x, *lines)
            if n == 1:
                out[r, i] = _scan_direction(u[i], best, 0, floor, lowest[r], loading, x, *lines)
                continue
            full = i % FULL_SEARCH == 0 or i == n_node - 1
            start[:] = 0.0
            for t in range(n_target):
                square = 0.0
                for k in range(n):
                    square += loading[t, k] ** 2
                if length[r, t] == 0 or square == 0.0:
                    continue
                for k in range(n):
                    start[1 + t, k] = loading[t, k] / square * guess[r, t, i]
                    start[n_target + 1, k] += back[k, t] * guess[r, t, i]
            for m in range(n_target + 2):
                height[m] = _total(start[m], loading, x, v[r], slope[r], zero[r], length[r], rate)
            for _ in range(N_STARTS if full else 1):
                chosen = np.argmin(height)
                height[chosen] = np.inf
                best = _try(start[chosen], u[i], best, loading, x, *lines)
            if full:
                for k in range(min(n, MAX_DIRECTIONS)):
                    best = _scan_direction(u[i], best, k, floor, lowest[r], loading, x, *lines)
            out[r, i] = best
        if n > 1:
            for sweep in range(2):
                for m in range(1, n_node):
                    i = m if sweep else n_node - 1 - m
                    for t in range(n_target):
                        x[t] = lead[r, t] + i
                    if out[r, i] - floor < NEGLIGIBLE:
                        continue
                    neighbour = i - 1 if sweep else i + 1
                    out[r, i] = _try(u[neighbour], u[i], out[r, i], loading, x, *lines)
        first[r] = n_node
        for i in range(n_node):
            for t in range(n_target):
                terms[r, t, i] = 0.0
                if length[r, t] == 0:
                    continue
                y = 0.0
                for k in range(n):
                    y += loading[t, k] * u[i, k]
                at = lead[r, t] + i + y
                f, f1, _ = _at(v[r, t], slope[r, t], zero[r, t], length[r, t], at, rate)
                terms[r, t, i] = f - 0.5 * y * f1
                if at > beyond[r, t] and i < first[r]:
                    first[r] = i


@njit(cache=True, nogil=True)
def marginalize_shifts(v, slope, zero, lead, length, nodes, weights, loading, rate, out):
    """``out = -2 ln sum_k weight_k exp(-sum_t v_t(node + loading_t node_k) / 2)``.

    Parameters
    ----------
    v, slope, zero, lead, length, rate, out
        As for `profile_shifts`.
    nodes, weights : array, shape (n_quadrature,)
        Quadrature of the one common shift, of unit variance.
    loading : array, shape (n_target,)
        In steps.
    """
    n_row, n_node = out.shape
    value = np.empty(len(nodes))
    for r in range(n_row):
        for i in range(n_node):
            least = np.inf
            for k in range(len(nodes)):
                value[k] = 0.0
                for t in range(len(loading)):
                    n = length[r, t]
                    if n > 0:
                        x = lead[r, t] + i + loading[t] * nodes[k]
                        value[k] += _at(v[r, t], slope[r, t], zero[r, t], n, x, rate)[0]
                least = min(least, value[k])
            total = 0.0
            for k in range(len(nodes)):
                total += weights[k] * np.exp(-0.5 * (value[k] - least))
            out[r, i] = least - 2.0 * np.log(total)
