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
    Curves,
    Thresholds,
    Width,
    common_nodes,
    find_lower,
    find_upper,
    halve,
    likelihood_integral,
)
from .limits import LimitStatus
from .statistics import MIN_POWER, expected_root, log_cls, power_root, survival_t_mu_tilde
from .unified_intervals import TIE, toys_critical, toys_p_value

__all__ = ["cls", "cls_toys", "clsb", "credible", "expected", "feldman_cousins",
           "posterior", "power_constrained", "profile"]  # fmt: skip


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
    return find_upper(curves, excess, -2 * log_alpha)


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
    the limit is then NaN with the status GRID_EDGE.

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

    # the power rises with the strength: what is left to find lies between the limit and the end
    low = np.where(code == FOUND, np.log10(value), curves.nodes[0])
    weak = np.flatnonzero(code != BEYOND)
    weak = weak[~(excess(weak, low[weak]) <= 0)]
    end = np.full(len(weak), curves.nodes[-1])
    reached = excess(weak, end) <= 0
    code[weak] = np.where(reached, FOUND, BEYOND)
    weak, end = weak[reached], end[reached]
    value[weak] = halve(weak, low[weak], end, excess)
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
        ``lower`` is 0 where no signal is inside. GRID_EDGE where ``upper`` lies beyond the last
        simulated strength.

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
    t_zero = curves.zero - curves.minimum
    guessed = False
    if toys is not None:
        simulated = _toy_strengths(curves, strengths, toy_strengths)
        critical = np.broadcast_to(toys_critical(toys, cl), simulated.shape)
        critical = critical + TIE * (1 + critical)
        thresholds = Thresholds(simulated, critical)
        largest = critical.max(axis=1)
        zero_inside = t_zero <= critical[:, 0]

        def excess(rows, log_mu):
            return thresholds(rows, log_mu) - (curves.at(rows, log_mu) - curves.minimum[rows])

    else:
        width = Width(curves, asimov, negative)
        guessed, largest = width.guessed, chi2.ppf(cl, 1)  # the p-value is at most that of chi2
        zero_inside = t_zero <= ndtri(cl) ** 2  # at no signal the test is one-sided

        def excess(rows, log_mu):
            stat_mu = curves.at(rows, log_mu)
            t = np.maximum(stat_mu - curves.minimum[rows], 0.0)
            ratio = np.sqrt(width.q_asimov(rows, log_mu, stat_mu))
            return survival_t_mu_tilde(t, ratio) - (1 - cl)

    upper, code = find_upper(curves, excess, largest)
    lower = find_lower(curves, excess, largest, zero_inside) * curves.scale
    upper, status = curves.finish(upper, code, guessed)
    return np.where(curves.unknown, np.nan, lower), upper, status


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
        want of toys without signal that lie as low as the data).

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
    rise = curves.table(mu) - curves.minimum[:, None]
    q = np.where(mu < curves.best[:, None], 0.0, np.maximum(rise, 0.0))
    p = np.maximum(toys_p_value(q, toys_signal), 0.5 / np.shape(toys_signal)[-1])
    if use_clb:
        p = p / np.maximum(toys_p_value(q, toys_null), 0.5 / np.shape(toys_null)[-1])
    excess = np.where(np.isnan(rise), 1.0, np.log(p) - log_alpha)  # unknown: not excluded
    accepted = excess > 0
    last = accepted.shape[1] - 1 - np.argmax(accepted[:, ::-1], axis=1)
    code = np.where(accepted.any(axis=1), FOUND, BELOW)
    code[accepted[:, -1]] = BEYOND
    j = np.minimum(last, mu.shape[1] - 2)
    rows = np.arange(len(curves))
    low, high = excess[rows, j], excess[rows, j + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = mu[rows, j] + (mu[rows, j + 1] - mu[rows, j]) * low / (low - high)
    return curves.finish(value, code)


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
        value, status = curves.finish(value, _code(status))
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
    fall = 0.5 * (curves.rows[:, -1] - curves.rows[:, -2]) / step
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = np.exp(-0.5 * (curves.rows[:, -1] - curves.minimum)) / fall
    cut = ~(fall > 0) | ~(tail < 1e-3 * (1 - cl) * total[:, -1])
    log_mu = reach(cl * total[:, -1])
    code = np.where(cut, BEYOND, np.where(np.isinf(log_mu), BELOW, FOUND))
    return curves.finish(10.0**log_mu, code)


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
