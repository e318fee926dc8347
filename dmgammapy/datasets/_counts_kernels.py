"""Poisson likelihoods that are linear in norms: numba kernels on plain arrays.

A *problem* is a tuple of arrays, made by `_counts_problem.Problem.arrays`, for ``K`` norms:

- ``total`` (K,): expected counts of unit norm, summed over all voxels (weights included),
- ``rows`` (N, K): expected counts of unit norm in the voxels with counts,
- ``fixed`` (N,): what is expected there besides,
- ``counts`` (N,): observed counts there (times the likelihood weight),
- ``on_rows`` (M, K), ``on_fixed``, ``on``, ``off``, ``alpha`` (M,): the same for ON/OFF data with
  counts ON, where the expected background is profiled (W statistic),
- ``constant``: what all of this leaves out of -2 ln L,
- ``prior_mean``, ``prior_weight`` (K,): Gaussian priors, weight is one over the variance.

Voxels without counts contribute a term linear in the norms only, so that ``total`` holds them.

References
----------
Cash 1979, ApJ 228, 939; the W statistic as in the XSPEC manual, appendix B.
"""

import numba as nb
import numpy as np

__all__ = ["evaluate", "minimise", "on_off_slopes", "profile", "solve_level", "stat_only"]

TRUNCATION = 1e-25  # Gammapy's lower end of expected counts
LOG_TRUNCATION = np.log(TRUNCATION)
ROUNDING = 1e-14  # of the terms of -2 ln L
GOOD_ENOUGH = 1e-6  # expected decrease that rounding may hide
FARTHEST = 4.0  # a step in lengths of the one before, beyond which its way says little
FAR = 1e15  # a norm that runs beyond has nothing to hold it
jit = nb.njit(cache=True, nogil=True, fastmath=False)


@jit
def _background(signal, on, off, alpha):
    """Background expected in OFF that maximises the likelihood of one voxel."""
    c = alpha * (on + off) - (1 + alpha) * signal
    d = np.sqrt(c * c + 4 * alpha * (alpha + 1) * off * signal)
    if c >= 0:
        return (c + d) / (2 * alpha * (alpha + 1))
    # the same without cancellation
    return 2 * off * signal / (d - c) if d > c else 0.0


@jit
def _on_off(signal, on, off, alpha):
    """-2 ln L of one voxel with counts ON, its derivative and second derivative by signal."""
    background = _background(signal, on, off, alpha)
    mu = signal + alpha * background
    if mu <= TRUNCATION:
        mu = TRUNCATION
    stat = signal + (1 + alpha) * background - on * np.log(mu)
    if off > 0:
        stat -= off * np.log(max(background, TRUNCATION))
    slope = 1 - on / mu
    a = on / mu**2
    if background <= 0:
        curvature = a
    else:
        b = off / (alpha * background) ** 2
        curvature = a * b / (a + b)
    return 2 * stat, 2 * slope, 2 * curvature


@jit
def on_off_slopes(signal, on, off, alpha):
    """Derivative of -2 ln L by the predicted signal of every voxel; arrays of one 2D shape."""
    out = np.empty(signal.shape)
    for i in range(signal.shape[0]):
        for j in range(signal.shape[1]):
            if on[i, j] > 0:
                out[i, j] = _on_off(signal[i, j], on[i, j], off[i, j], alpha[i, j])[1]
            else:
                out[i, j] = 2.0
    return out


@jit
def stat_only(theta, problem):
    """-2 ln L at the norms ``theta`` (K,)."""
    (total, rows, fixed, counts, on_rows, on_fixed, on, off, alpha, constant, mean, weight) = (
        problem
    )
    k_max = theta.size
    stat = constant
    for k in range(k_max):
        stat += 2 * total[k] * theta[k] + weight[k] * (theta[k] - mean[k]) ** 2
    log_sum = 0.0
    for v in range(counts.size):
        mu = fixed[v]
        for k in range(k_max):
            mu += rows[v, k] * theta[k]
        log_sum += counts[v] * (np.log(mu) if mu > TRUNCATION else LOG_TRUNCATION)
    stat -= 2 * log_sum
    for v in range(on.size):
        signal = on_fixed[v]
        for k in range(k_max):
            signal += on_rows[v, k] * theta[k]
        stat += _on_off(signal, on[v], off[v], alpha[v])[0]
    return stat


@jit
def evaluate(theta, problem, gradient, hessian):
    """-2 ln L at the norms ``theta`` (K,); fills ``gradient`` (K,) and ``hessian`` (K, K).

    Returns it and the sum of the magnitudes of its terms, which rounding errors scale with.
    """
    (total, rows, fixed, counts, on_rows, on_fixed, on, off, alpha, constant, mean, weight) = (
        problem
    )
    k_max = theta.size
    stat = constant
    size = abs(constant)
    hessian[:] = 0.0
    for k in range(k_max):
        size += 2 * abs(total[k] * theta[k])
        shift = theta[k] - mean[k]
        stat += 2 * total[k] * theta[k] + weight[k] * shift**2
        gradient[k] = 2 * total[k] + 2 * weight[k] * shift
        hessian[k, k] = 2 * weight[k]
    log_sum = 0.0
    for v in range(counts.size):
        mu = fixed[v]
        for k in range(k_max):
            mu += rows[v, k] * theta[k]
        inside = mu > TRUNCATION
        if not inside:
            mu = TRUNCATION
        term = counts[v] * np.log(mu)
        log_sum += term
        size += 2 * abs(term)
        ratio = 2 * counts[v] / mu
        curvature = ratio / mu
        for k in range(k_max):
            # what can't lift a voxel out of its truncation doesn't move -2 ln L
            if not inside and rows[v, k] <= 0:
                continue
            gradient[k] -= ratio * rows[v, k]
            x = curvature * rows[v, k]
            for j in range(k + 1):
                if inside or rows[v, j] > 0:
                    hessian[k, j] += x * rows[v, j]
    stat -= 2 * log_sum
    for v in range(on.size):
        signal = on_fixed[v]
        for k in range(k_max):
            signal += on_rows[v, k] * theta[k]
        value, slope, curvature = _on_off(signal, on[v], off[v], alpha[v])
        stat += value
        size += abs(value)
        # total holds the linear part of voxels without counts ON only
        for k in range(k_max):
            gradient[k] += slope * on_rows[v, k]
            x = curvature * on_rows[v, k]
            for j in range(k + 1):
                hessian[k, j] += x * on_rows[v, j]
    for k in range(k_max):
        for j in range(k):
            hessian[j, k] = hessian[k, j]
    return stat, size


@jit
def _solve(gradient, hessian, free, step):
    """Newton step of the ``free`` norms by Cholesky; the others get 0."""
    n = 0
    index = np.empty(free.size, np.int64)
    for k in range(free.size):
        step[k] = 0.0
        if free[k]:
            index[n] = k
            n += 1
    # the matrix scaled to unit diagonal
    scale = np.empty(n)
    lower = np.zeros((n, n))
    for i in range(n):
        scale[i] = 1 / np.sqrt(hessian[index[i], index[i]])
    x = np.empty(n)
    for i in range(n):
        for j in range(i + 1):
            value = hessian[index[i], index[j]] * scale[i] * scale[j]
            if i == j:
                value += 1e-13
            for m in range(j):
                value -= lower[i, m] * lower[j, m]
            if i == j:
                lower[i, i] = np.sqrt(max(value, 1e-15))
            else:
                lower[i, j] = value / lower[j, j]
    for i in range(n):
        value = -gradient[index[i]] * scale[i]
        for m in range(i):
            value -= lower[i, m] * x[m]
        x[i] = value / lower[i, i]
    for i in range(n - 1, -1, -1):
        value = x[i]
        for m in range(i + 1, n):
            value -= lower[m, i] * x[m]
        x[i] = value / lower[i, i]
    for i in range(n):
        step[index[i]] = x[i] * scale[i]


@jit
def _bounded_step(theta, gradient, hessian, active, lower, upper, move):
    """Minimise the quadratic model within the bounds by an active-set method; fills ``move``."""
    k_max = theta.size
    loose = np.empty(k_max, np.bool_)
    slope = np.empty(k_max)
    step = np.empty(k_max)
    for k in range(k_max):
        move[k] = 0.0
        at_lower = theta[k] <= lower[k] and gradient[k] >= 0
        at_upper = theta[k] >= upper[k] and gradient[k] <= 0
        loose[k] = active[k] and not at_lower and not at_upper
    for _ in range(8 * k_max + 20):
        for k in range(k_max):
            slope[k] = gradient[k]
            for j in range(k_max):
                slope[k] += hessian[k, j] * move[j]
        _solve(slope, hessian, loose, step)
        length, block = 1.0, -1
        for k in range(k_max):
            if loose[k] and step[k] < 0 and theta[k] + move[k] + step[k] < lower[k]:
                reach = (lower[k] - theta[k] - move[k]) / step[k]
                if reach < length:
                    length, block = max(reach, 0.0), k
            elif loose[k] and step[k] > 0 and theta[k] + move[k] + step[k] > upper[k]:
                reach = (upper[k] - theta[k] - move[k]) / step[k]
                if reach < length:
                    length, block = max(reach, 0.0), k
        for k in range(k_max):
            if loose[k]:
                move[k] += length * step[k]
        if block >= 0:
            edge = lower[block] if step[block] < 0 else upper[block]
            move[block] = edge - theta[block]
            loose[block] = False
            continue
        # at the minimum of this face: does a bound hold what wants to leave it?
        worst, release = 0.0, -1
        for k in range(k_max):
            if active[k] and not loose[k]:
                value = gradient[k]
                for j in range(k_max):
                    value += hessian[k, j] * move[j]
                at_upper = theta[k] + move[k] >= upper[k]
                pull = value if at_upper else -value
                if upper[k] <= lower[k]:
                    pull = 0.0
                pull /= np.sqrt(hessian[k, k])
                if pull > worst + 1e-10:
                    worst, release = pull, k
        if release < 0:
            break
        loose[release] = True


@jit
def _make_possible(theta, free, upper, problem):
    """Raise the free background norms until no voxel with counts expects less than nothing."""
    rows, fixed = problem[1], problem[2]
    k_max = theta.size
    for _ in range(60):
        impossible = False
        for v in range(fixed.size):
            mu = fixed[v]
            for k in range(k_max):
                mu += rows[v, k] * theta[k]
            if mu <= TRUNCATION:
                for k in range(1, k_max):
                    if free[k] and rows[v, k] > 0 and theta[k] < upper[k]:
                        impossible = True
            if impossible:
                break
        if not impossible:
            return
        for k in range(1, k_max):
            if free[k]:
                theta[k] = min(1.5 * theta[k] if theta[k] > 0 else 1e-3, upper[k])


@jit
def minimise(theta, free, lower, upper, problem, tolerance, max_iter):
    """Minimise -2 ln L within bounds by Newton's method; ``theta`` (K,) is changed.

    Parameters
    ----------
    theta : array, shape (K,)
        Start, then the minimum.
    free : bool array, shape (K,)
        Norms to vary.
    lower, upper : arrays, shape (K,)
        Bounds, may be infinite.
    tolerance : float
        Expected decrease of -2 ln L below which the last step is done.

    Returns
    -------
    stat : float
    n_iter : int
        -1 if it did not converge.
    """
    k_max = theta.size
    gradient = np.empty(k_max)
    hessian = np.empty((k_max, k_max))
    step = np.empty(k_max)
    trial = np.empty(k_max)
    active = np.empty(k_max, np.bool_)
    for k in range(k_max):
        if free[k]:
            theta[k] = min(max(theta[k], lower[k]), upper[k])
    _make_possible(theta, free, upper, problem)
    decrement = np.inf
    stat = np.inf
    for iteration in range(max_iter):
        stat, size = evaluate(theta, problem, gradient, hessian)
        flat = False
        for k in range(k_max):
            active[k] = free[k]
            if active[k] and hessian[k, k] <= 0:
                # straight here: go to the bound, or far enough to see a bend
                active[k] = False
                move = max(abs(theta[k]), 1 / max(abs(gradient[k]), 1e-300))
                if abs(theta[k]) > FAR:
                    return stat, -1
                if gradient[k] > 0 and theta[k] > lower[k]:
                    theta[k] = lower[k] if lower[k] > -np.inf else theta[k] - move
                    flat = True
                elif gradient[k] < 0 and theta[k] < upper[k]:
                    theta[k], flat = min(theta[k] + move, upper[k]), True
        if flat:
            continue
        _bounded_step(theta, gradient, hessian, active, lower, upper, step)
        decrement = 0.0
        for k in range(k_max):
            decrement -= gradient[k] * step[k]
        if decrement <= 0:
            return stat, iteration
        if decrement < tolerance:
            # the last step, too small to be checked against rounding
            for k in range(k_max):
                if active[k]:
                    theta[k] = min(max(theta[k] + step[k], lower[k]), upper[k])
            return stat - 0.5 * decrement, iteration
        length = 1.0
        accepted = False
        for _ in range(60):
            slope = 0.0
            for k in range(k_max):
                trial[k] = (
                    min(max(theta[k] + length * step[k], lower[k]), upper[k])
                    if active[k]
                    else theta[k]
                )
                slope += gradient[k] * (trial[k] - theta[k])
            new = stat_only(trial, problem)
            if new <= stat + 1e-4 * slope + ROUNDING * size:
                accepted = True
                break
            length *= 0.5
        if not accepted:
            # rounding leaves nothing to gain
            return stat, iteration if decrement < GOOD_ENOUGH else -1
        theta[:] = trial
    return stat, max_iter if decrement < GOOD_ENOUGH else -1


@jit
def profile(values, order, theta_start, free, lower, upper, problem, tolerance, max_iter, theta):
    """Profile the norm of index 0 over ``values`` (P,), all other free norms solved for.

    Parameters
    ----------
    order : int array, shape (P,)
        In which order to go; a warm start is taken from the value before.
    theta_start : array, shape (K,)
        Norms to begin with, restored where ``order`` has -1 entries (skipped otherwise).
    theta : array, shape (P, K)
        Filled with the norms.

    Returns
    -------
    stat : array, shape (P,)
    ok : bool
    """
    stat = np.empty(values.size)
    current = theta_start.copy()
    before = theta_start.copy()
    other = free.copy()
    other[0] = False
    ok = True
    any_free = False
    for k in range(other.size):
        any_free = any_free or other[k]
    for i in order:
        if i < 0:
            current[:] = theta_start
            before[:] = theta_start
            continue
        _go_on(current, before, values[i], other)
        if any_free:
            stat[i], n_iter = minimise(current, other, lower, upper, problem, tolerance, max_iter)
            ok = ok and n_iter >= 0
        else:
            stat[i] = stat_only(current, problem)
        theta[i] = current
    return stat, ok


@jit
def _go_on(current, before, value, other):
    """Move norm 0 to a value, and the ``other`` norms on along their way from ``before``.

    ``before`` (K,) becomes what ``current`` (K,) was. The profiled norms are smooth in norm 0, so
    that they begin near their new minimum; bounds are left to the minimiser.
    """
    way = current[0] - before[0]
    part = (value - current[0]) / way if way != 0 else 0.0
    if abs(part) > FARTHEST:
        part = 0.0
    for k in range(1, current.size):
        here = current[k]
        if other[k]:
            current[k] = here + part * (here - before[k])
        before[k] = here
    before[0] = current[0]
    current[0] = value


@jit
def solve_level(
    level,
    theta_best,
    stat_best,
    start,
    free,
    lower,
    upper,
    problem,
    tolerance,
    max_iter,
    sign,
    limit,
    accuracy,
):
    """Value of norm 0 at which the profiled -2 ln L lies ``level`` above its minimum.

    ``sign`` says on which side (+1, -1); ``start`` is a first guess of the distance; ``accuracy``
    is relative, of the root of the rise. Returns the value; ``limit`` (with its sign) if the level
    is not reached before it.
    """  # fmt: skip
    other = free.copy()
    other[0] = False
    any_free = False
    for k in range(other.size):
        any_free = any_free or other[k]
    best = theta_best[0]
    current, before = theta_best.copy(), theta_best.copy()
    goal = np.sqrt(level)
    low, low_root = 0.0, 0.0
    high, high_root = -1.0, 0.0
    last, last_root = 0.0, 0.0
    distance = start
    widest = abs(limit - best)
    for _ in range(100):
        if distance >= widest:
            distance = widest
        _go_on(current, before, best + sign * distance, other)
        if any_free:
            stat, n_iter = minimise(current, other, lower, upper, problem, tolerance, max_iter)
            if n_iter < 0:
                return np.nan
        else:
            stat = stat_only(current, problem)
        root = np.sqrt(max(stat - stat_best, 0.0))
        if abs(root - goal) <= accuracy * goal:
            return best + sign * distance
        if root < goal:
            if distance >= widest:
                return limit
            low, low_root = distance, root
        else:
            high, high_root = distance, root
        if high < 0:
            # the root of the rise is nearly linear; never more than fourfold
            factor = goal / root if root > 0.25 * goal else 4.0
            previous = distance
            distance = distance * min(max(1.05 * factor, 1.2), 4.0)
        else:
            if high - low <= 1e-12 * high:
                break
            # along the last two points, or else the ends of the bracket, held inside it
            new = np.nan
            if root != last_root:
                new = distance + (goal - root) * (distance - last) / (root - last_root)
            last, last_root = distance, root
            if low < new < high:
                distance = new
                continue
            part = (goal - low_root) / (high_root - low_root)
            part = min(max(part, 0.02), 0.98)
            distance = low + part * (high - low)
            continue
        last, last_root = previous, root
    return best + sign * distance
