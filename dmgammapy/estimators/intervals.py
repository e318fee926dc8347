r"""Limits and intervals by every method, from arrays of likelihood profiles: pure functions.

===================  ======================================================================
`profile`            fixed rise of ``stat`` above its minimum at strengths >= 0 (default)
`cls`, `cls_toys`    CLs, asymptotic and from simulations; never excludes without sensitivity
`clsb`               CLs+b, the plain one-sided test; may exclude all strengths
`power_constrained`  CLs+b, but not below where the test has little power
`feldman_cousins`    two-sided intervals that turn into limits by themselves
`credible`           Bayesian, flat prior in the strength
`expected`           what all of these give for data without signal
===================  ======================================================================

All take ``strengths``, ascending from 0 (nodes log-spaced, the first of them small), of shape
(n_norm,), or (n_row, n_norm) with rows proportional to each other, and ``stat`` (n_row, n_norm),
-2 ln L, and return values (n_row,) with their `LimitStatus`. Between nodes profiles are cubic in
the logarithm of the strength; below the first they are linear in the strength.

The asymptotic methods need the width of the estimator, as the test statistic of the Asimov data
without signal at each strength. It is taken, row by row, from the first of these that is there:

1. ``asimov``, profiles of the Asimov data (with the same nuisances), shape ([n_row,] n_norm);
2. the profile itself and its minimum, :math:`q_{\mu,A} = \mu^2 t_\mu / (\mu - \hat\mu)^2` (Wald),
   where the minimum is at a positive strength or inside ``negative``, a tuple of negative
   strengths (n_negative,) or (n_row, n_negative), ascending, and their ``stat``
   (n_row, n_negative), NaN where there are none. A profile that still falls at the last of them
   (in counts, where a bin would predict less than nothing) has no minimum to use;
3. else a parabola through the profile at 0, mu / 2 and mu. The status is then APPROXIMATE.

**Few counts.** Asymptotic distributions take the estimator for Gaussian, and are too strong for
small counts. Measured against the exact CLs of one Poisson bin with known background b, for counts
within two standard deviations of it, at 95 %:

=========  =================  =================  ================
b          with ``asimov``    with ``negative``  parabola
=========  =================  =================  ================
100        -1.6 to -2.5 %     -1.5 to -3 %       -0.4 to -1.6 %
10         -5 to -8 %         -4 to -10 %        -0.7 to -5 %
3          -8 to -14 %        0 to -17 %         0 to -8 %
1          -11 to -22 %       0 to -17 %         0 to -12 %
0.1        -19 to -32 %       0 to -16 %         0 to -16 %
=========  =================  =================  ================

Without any counts the limit is never below the exact -ln(1 - CL) by more than 36 % (``asimov``
with b near 0), and equals it with the others. Use `cls_toys` or, for a known background,
`credible` where this matters.
"""

import numpy as np
from scipy.special import ndtri
from scipy.stats import chi2

from . import limits
from ._profile_curves import (
    BELOW,
    BEYOND,
    FOUND,
    NONE,
    Curves,
    Width,
    common_nodes,
    find_lower,
    find_upper,
    halve,
    likelihood_integral,
)
from .limits import LimitStatus
from .statistics import MIN_POWER, expected_root, log_cls, power_root, survival_t_mu_tilde
from .unified_intervals import toys_p_value

__all__ = ["cls", "cls_toys", "clsb", "credible", "expected", "feldman_cousins",
           "posterior", "power_constrained", "profile"]  # fmt: skip


FEWEST_TOYS = 20
LARGEST_BLOCK = 2e7  # comparisons of toys at a time
FURTHER_DOWN = 3.0  # dex below the first node in which limits by CLs+b are sought


def _check_cl(cl):
    if not 0.5 < cl < 1:
        raise ValueError(f"cl must lie between 0.5 and 1, got {cl}.")
    return float(cl)


def _one_sided(curves, width, cl, conservative):
    """Limit where CLs (``conservative``) or CLs+b falls to ``1 - cl``."""
    log_alpha = np.log1p(-_check_cl(cl))

    def excess(rows, log_mu):
        stat_mu = curves.at(rows, log_mu)
        q = np.maximum(stat_mu - curves.minimum[rows], 0.0)
        log_p, log_clb = log_cls(q, width.q_asimov(rows, log_mu, stat_mu))
        if conservative:
            log_p = log_p - log_clb
        return np.where(log_mu <= curves.log_best[rows], 1.0, log_p - log_alpha)

    # CLs is never more than exp(-q / 2), as Mills' ratio falls
    value, code = find_upper(curves, excess, -2 * log_alpha)
    low = np.flatnonzero((code == BELOW) & ~curves.unknown) if not conservative else []
    if len(low):  # CLs+b may exclude everything
        first = np.full(len(low), curves.nodes[0])
        some = excess(low, first - FURTHER_DOWN) > 0
        code[low] = np.where(some, FOUND, NONE)
        low, first = low[some], first[some]
        value[low] = halve(low, first - FURTHER_DOWN, first, excess)
    return value, code


def _code(status):
    return np.where(status == LimitStatus.FOUND, FOUND, BEYOND)


def profile(strengths, stat, cl=0.95):
    r"""Upper limit where the profile has risen by a fixed amount (`limits.upper_limit`).

    .. math:: -2 \ln \frac{L(\mu_{up})}{L(\hat\mu)} = F^{-1}_{\chi^2_1}(2\,CL - 1), \quad
              \hat\mu \ge 0

    Returns
    -------
    limit, status : arrays, shape (n_row,)

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.estimators.intervals import profile
    >>> mu = np.append(0, np.geomspace(1e-3, 100, 201))
    >>> print(profile(mu, [(mu - 1) ** 2])[0].round(3))
    [2.645]
    """
    curves = Curves(strengths, stat)
    value, status = limits.upper_limit(
        curves.nodes, curves.rows, curves.zero, curves.best, curves.minimum,
        limits.delta_stat_upper(cl), np.full(len(curves), np.inf),
    )  # fmt: skip
    return curves.finish(value, _code(status))


def cls(strengths, stat, cl=0.95, *, asimov=None, negative=None):
    r"""Upper limit by asymptotic CLs with `q_mu_tilde` (Read 2002; Cowan et al. section 3.7).

    .. math:: \frac{P(\tilde q_\mu \ge q|\mu)}{P(\tilde q_\mu \ge q|0)} = 1 - CL

    Parameters
    ----------
    strengths, stat, asimov, negative
        See the module's docstring.
    cl : float
        Default is 0.95.

    Returns
    -------
    limit, status : arrays, shape (n_row,)

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.estimators.intervals import cls
    >>> mu = np.append(0, np.geomspace(1e-3, 100, 201))
    >>> print(cls(mu, [mu**2, (mu - 1) ** 2], asimov=mu**2)[0].round(3))
    [1.96  2.727]
    """
    curves = Curves(strengths, stat)
    width = Width(curves, asimov, negative)
    value, code = _one_sided(curves, width, cl, conservative=True)
    return curves.finish(value, code, width.guessed)


def clsb(strengths, stat, cl=0.95, *, asimov=None, negative=None):
    r"""Upper limit by CLs+b, :math:`P(\tilde q_\mu \ge q|\mu) = 1 - CL`.

    (Cowan et al. 2011, arXiv:1007.1727, sections 3.6 and 3.7.) Parameters and returns are those of
    `cls`. Data far below the expectation exclude all strengths;
    the limit is then NaN with the status ALL_EXCLUDED.

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.estimators.intervals import clsb
    >>> mu = np.append(0, np.geomspace(1e-3, 100, 201))
    >>> print(clsb(mu, [mu**2, (mu + 1) ** 2], asimov=mu**2)[0].round(3))
    [1.645 0.645]
    """
    curves = Curves(strengths, stat)
    width = Width(curves, asimov, negative)
    value, code = _one_sided(curves, width, cl, conservative=False)
    return curves.finish(value, code, width.guessed)


def power_constrained(strengths, stat, cl=0.95, *, min_power=MIN_POWER, asimov=None, negative=None):
    r"""Upper limit by CLs+b, not below where its power falls to ``min_power``.

    .. math:: \mu_{up} = \max(\mu_{s+b}, \mu_{min}), \quad
              \Phi\left(\sqrt{q_{\mu_{min},A}} - \Phi^{-1}(CL)\right) = M_{min}

    (Cowan, Cranmer, Gross & Vitells, arXiv:1105.3166.) Parameters and returns are those of `cls`.

    Parameters
    ----------
    min_power : float
        Default is :math:`\Phi(-1)`: limits end at the lower edge of the expected 68 % band. With
        0.5 they end at the median.

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.estimators.intervals import power_constrained
    >>> mu = np.append(0, np.geomspace(1e-3, 100, 201))
    >>> print(power_constrained(mu, [mu**2, (mu + 3) ** 2], asimov=mu**2)[0].round(3))
    [1.645 0.645]
    """
    root = power_root(_check_cl(cl), min_power)
    curves = Curves(strengths, stat)
    width = Width(curves, asimov, negative)
    value, code = _one_sided(curves, width, cl, conservative=False)

    def excess(rows, log_mu):
        return root**2 - width.q_asimov(rows, log_mu, curves.at(rows, log_mu))

    # the power rises with the strength: what is left to find lies above the limit
    nodes = curves.nodes
    low = np.where(code == FOUND, np.log10(value), nodes[0])
    weak = np.flatnonzero(code != BEYOND)
    enough = excess(weak, low[weak]) <= 0
    code[weak[enough & (code[weak] != FOUND)]] = BELOW
    weak = weak[~enough]
    code[weak] = BEYOND
    for node in nodes:
        here = weak[low[weak] < node]
        high = excess(here, np.full(len(here), node)) <= 0
        found, left = here[high], here[~high]
        value[found] = halve(found, low[found], np.full(len(found), node), excess)
        code[found] = FOUND
        low[left] = node
        weak = np.setdiff1d(weak, found, assume_unique=True)
        if len(weak) == 0:
            break
    return curves.finish(value, code, width.guessed)


def feldman_cousins(strengths, stat, cl=0.95, *, toys=None, toy_strengths=None, asimov=None,
                    negative=None):  # fmt: skip
    r"""Interval of strengths whose :math:`\tilde t_\mu` is not too large (Feldman & Cousins 1998).

    The p-value of each strength is that of simulations, or asymptotic (Cowan et al. 2011, section
    3.4), which is exact for a bounded Gaussian mean (Table X of the paper).

    Parameters
    ----------
    strengths, stat, asimov, negative
        See the module's docstring; the last two are not needed with ``toys``.
    cl : float
        Default is 0.95.
    toys : array, shape ([n_row,] n_mu, n_toy), optional
        ``t_mu_tilde`` of data simulated with each strength.
    toy_strengths : array, shape ([n_row,] n_mu), optional
        Those strengths, ascending. Default is ``strengths``.

    Returns
    -------
    lower, upper, status : arrays, shape (n_row,)
        ``lower`` is 0 where no signal is inside, NaN where it is unknown. GRID_EDGE where
        ``upper`` lies beyond the last simulated strength (also where the best fit does), or beyond
        the end of ``asimov``. Toys that are NaN are left out; NO_INFORMATION in rows that have no
        others. Between simulated strengths the two-sided Gaussian significance of the p-value is
        linear in the strength: with counts, whose p-values jump, an end is uncertain by up to a
        step.

    Raises
    ------
    ValueError
        If shapes do not match, there are fewer than 20 toys, or arguments exclude each other.

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.estimators.intervals import feldman_cousins
    >>> mu = np.append(0, np.geomspace(1e-3, 100, 201))
    >>> lower, upper, status = feldman_cousins(mu, [mu**2, (mu - 3) ** 2], 0.9, asimov=mu**2)
    >>> print(lower.round(2), upper.round(2))
    [0.   1.37] [1.64 4.64]
    """
    cl = _check_cl(cl)
    curves = Curves(strengths, stat)
    if toys is not None:
        if asimov is not None:
            raise ValueError("feldman_cousins: asimov is not used where there are toys.")
        simulated = _toy_strengths(curves, strengths, toy_strengths)
        return _simulated_interval(curves, simulated, _check_toys("toys", toys), cl)
    if toy_strengths is not None:
        raise ValueError("feldman_cousins: toy_strengths go with toys.")
    width = Width(curves, asimov, negative)
    guessed, largest = width.guessed, chi2.ppf(cl, 1)  # the p-value is at most that of chi2
    zero_inside = (
        curves.zero - curves.minimum <= ndtri(cl) ** 2
    )  # at no signal the test is one-sided

    def excess(rows, log_mu):
        stat_mu = curves.at(rows, log_mu)
        t = np.maximum(stat_mu - curves.minimum[rows], 0.0)
        ratio = np.sqrt(width.q_asimov(rows, log_mu, stat_mu))
        return survival_t_mu_tilde(t, ratio) - (1 - cl)

    upper, code = find_upper(curves, excess, largest)
    lower = find_lower(curves, excess, largest, zero_inside) * curves.scale
    upper, status = curves.finish(upper, code, guessed)
    return np.where(curves.unknown, np.nan, lower), upper, status


def _check_toys(name, toys):
    toys = np.asarray(toys, dtype=float)
    if toys.shape[-1] < FEWEST_TOYS:
        raise ValueError(
            f"{name}: at least {FEWEST_TOYS} toys with each strength are needed, got "
            f"{toys.shape[-1]}."
        )
    return toys


def _toys_p_value(value, toys):
    """Fractions, and half a toy where that is more; blocks of rows limit the memory."""
    if toys.ndim == 2:
        toys = toys[None]
    block = max(int(LARGEST_BLOCK // toys[0].size), 1)
    out = np.empty(value.shape)
    for i in range(0, len(value), block):
        part = toys if len(toys) == 1 else toys[i : i + block]
        n_toy = np.maximum(np.isfinite(part).sum(axis=-1), 1)
        out[i : i + block] = np.maximum(toys_p_value(value[i : i + block], part), 0.5 / n_toy)
    return out


def _simulated_interval(curves, mu, toys, cl):
    """Ends where the p-value of toys falls to ``1 - cl``.

    Between strengths its two-sided Gaussian significance is linear in the strength; it is 0 at the
    best fit. At no signal, if that was not simulated, toys of the first strength are taken.
    """
    t = np.maximum(curves.table(mu) - curves.minimum[:, None], 0.0)
    p = np.where(np.isnan(t), np.nan, _toys_p_value(t, toys))
    bare = np.isnan(p).all(axis=1)  # rows without toys
    t_zero = np.where(mu[:, :1] == 0, t[:, :1], (curves.zero - curves.minimum)[:, None])
    first = toys[..., :1, :] if toys.ndim == 3 else toys[:1]
    p_zero = _toys_p_value(np.maximum(t_zero, 0.0), first)
    reached = curves.best <= mu[:, -1]
    p_best = np.where(reached, 1.0, np.nan)[:, None]
    place = np.where(reached, curves.best, mu[:, -1] * 1.001)[:, None]
    mu = np.concatenate([np.zeros((len(mu), 1)), mu, place], axis=1)
    p = np.concatenate([p_zero, p, p_best], axis=1)
    order = np.argsort(mu, axis=1, kind="stable")
    mu, p = np.take_along_axis(mu, order, axis=1), np.take_along_axis(p, order, axis=1)
    z, level = -ndtri(0.5 * p), -ndtri(0.5 * (1 - cl))
    rows, n = np.arange(len(mu)), mu.shape[1]

    def crossing(inside, outside):
        with np.errstate(divide="ignore", invalid="ignore"):
            part = (level - z[rows, inside]) / (z[rows, outside] - z[rows, inside])
            return mu[rows, inside] + part * (mu[rows, outside] - mu[rows, inside])

    accepted = z < level
    none = ~accepted.any(axis=1)  # the best fit lies beyond
    last = n - 1 - np.argmax(accepted[:, ::-1], axis=1)
    upper = np.where(last < n - 1, crossing(last, np.minimum(last + 1, n - 1)), np.nan)
    # a best fit beyond the toys: nothing is known of the other side
    upper[none | ~reached] = np.nan
    begin = np.argmax(accepted, axis=1)
    lower = np.where(mu[rows, begin] > 0, crossing(begin, np.maximum(begin - 1, 0)), 0.0)
    lower[none] = np.nan
    upper, status = curves.finish(upper, np.where(np.isnan(upper), BEYOND, FOUND))
    empty = bare | curves.unknown
    status = np.where(empty, int(LimitStatus.NO_INFORMATION), status)
    lower, upper = (np.where(empty, np.nan, end) for end in (lower * curves.scale, upper))
    return lower, upper, status


def _toy_strengths(curves, strengths, toy_strengths):
    """Simulated strengths in units of the curves' scale, (n_row, n_mu)."""
    n_row = len(curves)
    if toy_strengths is None:
        nodes, _ = common_nodes(strengths, n_row)
        return np.broadcast_to(nodes, (n_row, len(nodes)))
    toy_strengths = np.atleast_1d(np.asarray(toy_strengths, dtype=float))
    if toy_strengths.ndim == 1:
        toy_strengths = np.broadcast_to(toy_strengths, (n_row, len(toy_strengths)))
    if toy_strengths.shape[0] != n_row or toy_strengths.shape[1] < 3:
        raise ValueError(
            f"toy_strengths must have the shape (n_mu,) or ({n_row}, n_mu) with 3 or more "
            f"strengths, got {toy_strengths.shape}."
        )
    if (toy_strengths < 0).any() or not (np.diff(toy_strengths, axis=1) > 0).all():
        raise ValueError("toy_strengths must ascend and not be negative.")
    return toy_strengths / curves.scale[:, None]


def cls_toys(strengths, stat, toys_signal, toys_null, cl=0.95, *, toy_strengths=None, use_clb=True):
    r"""Upper limit by CLs (or CLs+b) with simulated distributions of `q_mu_tilde`.

    Data and toys that differ by less than 1e-5 of 1 + q count as equal, as counts often are.

    Parameters
    ----------
    strengths, stat
        See the module's docstring.
    toys_signal, toys_null : arrays, shape ([n_row,] n_mu, n_toy)
        ``q_mu_tilde`` at each strength of data simulated with that strength, and without signal.
    cl : float
        Default is 0.95.
    toy_strengths : array, shape ([n_row,] n_mu), optional
        Those strengths, ascending. Default is ``strengths``.
    use_clb : bool
        Whether to divide by CLb. Default is True; False gives CLs+b.

    Returns
    -------
    limit, status : arrays, shape (n_row,)
        Between simulated strengths the logarithm of CLs is linear in the strength; a fraction of
        none is taken as half a toy. GRID_EDGE where the last strength is not excluded (also for
        want of toys without signal that lie as low as the data). ALL_EXCLUDED where CLs+b excludes
        all simulated strengths; no signal, at which it excludes nothing, does not count.
        Toys that are NaN are left out; NO_INFORMATION in rows that have no others.

    Raises
    ------
    ValueError
        If shapes do not match or there are fewer than 20 toys.

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.estimators.intervals import cls_toys
    >>> mu = np.linspace(0, 5, 101)
    >>> x = np.random.default_rng(0).normal(size=20000)  # best fits without signal
    >>> def q(x):
    ...     m = mu[:, None]
    ...     return np.where(x > m, 0, np.where(x < 0, m**2 - 2 * m * x, (m - x) ** 2))
    >>> limit, status = cls_toys(mu, [mu**2], q(x + mu[:, None]), q(x))
    >>> print(abs(limit - 1.960) < 0.05)
    [ True]
    """
    log_alpha = np.log1p(-_check_cl(cl))
    curves = Curves(strengths, stat)
    mu = _toy_strengths(curves, strengths, toy_strengths)
    toys_signal = _check_toys("toys_signal", toys_signal)
    toys_null = _check_toys("toys_null", toys_null)
    rise = curves.table(mu) - curves.minimum[:, None]
    q = np.where(mu < curves.best[:, None], 0.0, np.maximum(rise, 0.0))
    p = _toys_p_value(q, toys_signal)
    if use_clb:
        p = p / _toys_p_value(q, toys_null)
    bare = np.isnan(p).all(axis=1)  # rows without toys
    unknown = np.isnan(rise) | np.isnan(p)
    excess = np.where(unknown, 1.0, np.log(p) - log_alpha)  # unknown: not excluded
    accepted = excess > 0
    if not use_clb:
        accepted &= mu > 0  # no signal agrees with itself whatever the data
    last = accepted.shape[1] - 1 - np.argmax(accepted[:, ::-1], axis=1)
    code = np.where(accepted.any(axis=1), FOUND, BELOW if use_clb else NONE)
    code[accepted[:, -1]] = BEYOND
    j = np.minimum(last, mu.shape[1] - 2)
    rows = np.arange(len(curves))
    low, high = excess[rows, j], excess[rows, j + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = mu[rows, j] + (mu[rows, j + 1] - mu[rows, j]) * low / (low - high)
    code = np.where((code == FOUND) & unknown[rows, last], BEYOND, code)
    value, status = curves.finish(value, code)
    return np.where(bare, np.nan, value), np.where(bare, int(LimitStatus.NO_INFORMATION), status)


def expected(strengths, asimov, n_sigma=(-2, -1, 0, 1, 2), cl=0.95, method="cls", **settings):
    """Limits of data without signal that fluctuate by so many standard deviations.

    Parameters
    ----------
    strengths : array, shape ([n_row,] n_norm)
    asimov : array, shape (n_row, n_norm)
        Profiles of the Asimov data without signal, nuisances profiled.
    n_sigma : array, shape (n_quantile,)
        Default is the median and the edges of the 68 and 95 % bands.
    cl : float
        Default is 0.95.
    method : str
        See `statistics.expected_root`. Default is "cls".
    **settings
        ``min_power``.

    Returns
    -------
    limit, status : arrays, shape (n_quantile, n_row)

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.estimators.intervals import expected
    >>> mu = np.append(0, np.geomspace(1e-3, 100, 201))
    >>> print(expected(mu, [mu**2])[0].round(3).T)
    [[1.052 1.412 1.96  2.727 3.656]]
    """
    curves = Curves(strengths, asimov)
    nothing = np.zeros(len(curves))
    values, states = [], []
    for root in np.atleast_1d(expected_root(cl, n_sigma, method, **settings)):
        value, status = limits.upper_limit(
            curves.nodes, curves.rows, curves.zero, nothing, curves.zero, max(root, 0.0) ** 2,
            np.full(len(curves), np.inf),
        )  # fmt: skip
        code = _code(status)
        if root <= 0:  # CLs+b excludes all strengths
            code = np.full(len(curves), NONE)
        value, status = curves.finish(value, code)
        values.append(value)
        states.append(status)
    return np.array(values), np.array(states)


def credible(strengths, stat, cl=0.95):
    r"""Bayesian upper limit with a flat prior in the strength, >= 0.

    .. math:: \int_0^{\mu_{up}} e^{-\mathrm{stat}/2} d\mu
              = CL \int_0^\infty e^{-\mathrm{stat}/2} d\mu

    For Poisson counts on a known background this equals CLs exactly.

    Returns
    -------
    limit, status : arrays, shape (n_row,)
        GRID_EDGE where more than a thousandth of ``1 - cl`` lies beyond the last node, judged by
        its slope there.

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.estimators.intervals import credible
    >>> mu = np.append(0, np.geomspace(1e-3, 100, 201))
    >>> print(credible(mu, [2 * mu])[0].round(3))  # no counts
    [2.996]
    """
    cl = _check_cl(cl)
    curves = Curves(strengths, stat)
    total, reach = likelihood_integral(curves)
    step = curves.strengths[-1] - curves.strengths[-2]
    with np.errstate(divide="ignore", invalid="ignore"):
        fall = 0.5 * (curves.rows[:, -1] - curves.rows[:, -2]) / step
        tail = np.exp(-0.5 * (curves.rows[:, -1] - curves.minimum)) / fall
    cut = ~(fall > 0) | ~(tail < 1e-3 * (1 - cl) * total[:, -1])
    log_mu = reach(cl * total[:, -1])
    code = np.where(cut, BEYOND, np.where(np.isinf(log_mu), BELOW, FOUND))
    return curves.finish(10.0**log_mu, code)


def mass_beyond(strengths, stat, where):
    """Part of the posterior at strengths above ``where`` (n_row,), as far as nodes go."""
    curves = Curves(strengths, stat)
    total, _ = likelihood_integral(curves)
    nodes = curves.strengths[1:]
    where = np.asarray(where) / curves.scale
    below = [
        np.interp(x, nodes, row, left=0.0) / row[-1] for x, row in zip(where, total, strict=True)
    ]
    return 1 - np.array(below)


def posterior(strengths, stat):
    r"""Bayesian density of the strength, flat prior at >= 0, normalised over the strengths given.

    .. math:: p(\mu) = e^{-\mathrm{stat}/2} \Big/ \int e^{-\mathrm{stat}/2} d\mu

    Returns
    -------
    density : array, shape (n_row, n_norm)
        Per unit strength, at each strength; NaN where nothing is known.

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.estimators.intervals import posterior
    >>> mu = np.append(0, np.geomspace(1e-3, 100, 201))
    >>> print(posterior(mu, [2 * mu])[0, 0].round(4))  # no counts: exp(-mu)
    1.0
    """
    curves = Curves(strengths, stat)
    total, _ = likelihood_integral(curves)
    whole = total[:, -1] * curves.scale
    density = np.exp(-0.5 * (curves.stat - curves.minimum[:, None])) / whole[:, None]
    return np.where(curves.unknown[:, None], np.nan, density)
