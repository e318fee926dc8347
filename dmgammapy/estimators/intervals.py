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

All take ``strengths`` (n_norm,), ascending from 0 (nodes log-spaced, the first of them small), and
``stat`` (n_row, n_norm), -2 ln L, and return values (n_row,) with their `LimitStatus`. Between
nodes profiles are cubic in the logarithm of the strength; below the first they are linear in the
strength.

The asymptotic methods need the width of the estimator, as the test statistic of the Asimov data
without signal at each strength. It is taken from, in this order,

1. ``asimov``, profiles of the Asimov data (with the same nuisances), shape (n_row, n_norm);
2. the profile itself and its minimum, :math:`q_{\mu,A} = \mu^2 t_\mu / (\mu - \hat\mu)^2` (Wald),
   where the minimum is at a positive strength or inside ``negative``, a tuple of negative strengths
   (n_negative,), ascending, and their ``stat`` (n_row, n_negative);
3. else a parabola through the profile at 0, mu / 2 and mu. The status is then EXTRAPOLATED: the
   input does not reach its minimum.
"""

import numpy as np
from scipy.special import ndtri

from . import limits
from ._profile_curves import (
    TIE,
    Curves,
    Thresholds,
    Width,
    find_lower,
    find_upper,
    halve,
    limit_status,
)
from .statistics import (
    MIN_POWER,
    expected_root,
    log_cls,
    power_root,
    survival_t_mu_tilde,
)
from .unified_intervals import toys_critical, toys_p_value

__all__ = ["cls", "cls_toys", "clsb", "credible", "expected", "feldman_cousins",
           "power_constrained", "profile"]  # fmt: skip


def _check_cl(cl):
    if not 0.5 < cl < 1:
        raise ValueError(f"cl must lie between 0.5 and 1, got {cl}.")
    return float(cl)


def _one_sided(curves, width, cl, conservative):
    """Limit where CLs (``conservative``) or CLs+b falls to ``1 - cl``."""
    log_alpha = np.log1p(-_check_cl(cl))

    def excess(log_mu):
        columns = (slice(None),) + (None,) * (log_mu.ndim - 1)
        stat_mu = curves.at(log_mu)
        q = stat_mu - curves.minimum[columns]
        log_p, log_clb = log_cls(np.maximum(q, 0.0), width.q_asimov(log_mu, stat_mu))
        if conservative:
            log_p = log_p - log_clb
        return np.where(log_mu <= curves.log_best[columns], 1.0, log_p - log_alpha)

    return find_upper(curves, excess)


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
    none = np.full(len(curves), np.inf)
    value, status = limits.upper_limit(
        curves.nodes, curves.rows, curves.zero, curves.best, curves.minimum,
        limits.delta_stat_upper(cl), none,
    )  # fmt: skip
    return curves.finish(value, status)


def cls(strengths, stat, cl=0.95, *, asimov=None, negative=None):
    r"""Upper limit by asymptotic CLs with `q_mu_tilde` (Read 2002; CCGV section 3.7).

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
    return curves.finish(value, limit_status(code, width.guessed))


def clsb(strengths, stat, cl=0.95, *, asimov=None, negative=None):
    r"""Upper limit by CLs+b, :math:`P(\tilde q_\mu \ge q|\mu) = 1 - CL` (CCGV eqs. 59-61, 3.7).

    Parameters and returns are those of `cls`. Data far below the expectation exclude all strengths;
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
    return curves.finish(value, limit_status(code, width.guessed))


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

    def excess(log_mu):
        return root - np.sqrt(width.q_asimov(log_mu, curves.at(log_mu)))

    least, least_code = find_upper(curves, excess, best=0.0)
    # the constraint does not exist where the least power is had below the first node
    value = np.fmax(np.where(code == 2, -np.inf, value), np.where(least_code == 0, least, -np.inf))
    code = np.where(code == 1, 1, np.where(np.isfinite(value), 0, 2))
    code = np.where(least_code == 1, 1, code)
    return curves.finish(value, limit_status(code, width.guessed))


def feldman_cousins(strengths, stat, cl=0.95, *, toys=None, asimov=None, negative=None):
    r"""Interval of strengths whose :math:`\tilde t_\mu` is not too large (Feldman & Cousins 1998).

    The p-value of each strength is that of simulations, or asymptotic (CCGV section 3.4), which is
    exact for a bounded Gaussian mean (Table X of the paper).

    Parameters
    ----------
    strengths, stat, asimov, negative
        See the module's docstring; the last two are not needed with ``toys``.
    cl : float
        Default is 0.95.
    toys : array, shape ([n_row,] n_norm, n_toy), optional
        ``t_mu_tilde`` of data simulated with each strength, from 0 on.

    Returns
    -------
    lower, upper, status : arrays, shape (n_row,)
        ``lower`` is 0 where no signal is inside.

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
    if toys is not None:
        critical = np.broadcast_to(toys_critical(toys, cl), curves.stat.shape)
        thresholds = Thresholds(curves, critical)
        guessed = np.zeros(len(curves), dtype=bool)
        zero_inside = t_zero <= critical[:, 0] + TIE

        def excess(log_mu):
            columns = (slice(None),) + (None,) * (log_mu.ndim - 1)
            return thresholds(log_mu) - (curves.at(log_mu) - curves.minimum[columns])

    else:
        width = Width(curves, asimov, negative)
        guessed = width.guessed
        zero_inside = t_zero <= ndtri(cl) ** 2  # at no signal the test is one-sided

        def excess(log_mu):
            columns = (slice(None),) + (None,) * (log_mu.ndim - 1)
            stat_mu = curves.at(log_mu)
            t = np.maximum(stat_mu - curves.minimum[columns], 0.0)
            ratio = np.sqrt(width.q_asimov(log_mu, stat_mu))
            return survival_t_mu_tilde(t, ratio) - (1 - cl)

    upper, code = find_upper(curves, excess)
    lower = find_lower(curves, excess, zero_inside)
    upper, status = curves.finish(upper, limit_status(code, guessed))
    return np.where(curves.unknown, np.nan, lower), upper, status


def cls_toys(strengths, stat, toys_signal, toys_null, cl=0.95, *, use_clb=True):
    r"""Upper limit by CLs (or CLs+b) with simulated distributions of `q_mu_tilde`.

    Parameters
    ----------
    strengths, stat
        See the module's docstring.
    toys_signal, toys_null : arrays, shape ([n_row,] n_norm, n_toy)
        ``q_mu_tilde`` at each strength of data simulated with that strength, and without signal.
    cl : float
        Default is 0.95.
    use_clb : bool
        Whether to divide by CLb. Default is True; False gives CLs+b.

    Returns
    -------
    limit, status : arrays, shape (n_row,)
        Between strengths the logarithm of CLs is linear in the strength; a fraction of none is
        taken as half a toy.

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
    mu = curves.strengths
    q = np.maximum(curves.stat - curves.minimum[:, None], 0.0)
    q = np.where(mu < curves.best[:, None], 0.0, q)
    p = np.maximum(toys_p_value(q, toys_signal), 0.5 / np.shape(toys_signal)[-1])
    if use_clb:
        p = p / np.maximum(toys_p_value(q, toys_null), 0.5 / np.shape(toys_null)[-1])
    excess = np.log(p) - log_alpha
    accepted = excess > 0
    last = accepted.shape[1] - 1 - np.argmax(accepted[:, ::-1], axis=1)
    code = np.where(accepted.any(axis=1), 0, 2)
    code[accepted[:, -1]] = 1
    j = np.minimum(last, len(mu) - 2)
    rows = np.arange(len(curves))
    low, high = excess[rows, j], excess[rows, j + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = mu[j] + (mu[j + 1] - mu[j]) * low / (low - high)
    return curves.finish(value, limit_status(code, False))


def expected(strengths, asimov, n_sigma=(-2, -1, 0, 1, 2), cl=0.95, method="cls", **settings):
    """Limits of data without signal that fluctuate by so many standard deviations.

    Parameters
    ----------
    strengths : array, shape (n_norm,)
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
        value, status = curves.finish(value, status)
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
    nodes = curves.nodes
    x, weight = np.polynomial.legendre.leggauss(4)
    step = np.diff(nodes)

    def integral(log_low, log_high):
        """Over strengths between, (n_row, n) each."""
        half = 0.5 * (log_high - log_low)[..., None]
        points = 0.5 * (log_high + log_low)[..., None] + half * x
        density = np.exp(-0.5 * (curves.at(points) - curves.minimum[:, None, None]))
        return np.sum(weight * half * density * np.log(10) * 10.0**points, axis=-1)

    slope = 0.5 * (curves.rows[:, 0] - curves.zero) / curves.strengths[1]
    head = np.exp(-0.5 * (curves.zero - curves.minimum))
    depth = slope * curves.strengths[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        shape = np.where(np.abs(depth) > 1e-9, -np.expm1(-depth) / depth, 1.0)
    head = head * curves.strengths[1] * shape
    low = np.broadcast_to(nodes[:-1], (len(curves), len(step)))
    parts = integral(low, low + step)
    total = np.cumsum(np.column_stack([head, parts]), axis=1)  # up to each node
    fall = (
        0.5
        * (curves.rows[:, -1] - curves.rows[:, -2])
        / (curves.strengths[-1] - curves.strengths[-2])
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = np.exp(-0.5 * (curves.rows[:, -1] - curves.minimum)) / fall
    cut = ~(fall > 0) | ~(tail < 1e-3 * (1 - cl) * total[:, -1])
    goal = cl * total[:, -1]
    j = np.argmax(total >= goal[:, None], axis=1)  # 0: below the first node
    code = np.where(cut, 1, np.where(j == 0, 2, 0))
    j = np.clip(j, 1, len(step))
    start = nodes[j - 1]
    missing = goal - total[np.arange(len(curves)), j - 1]

    def excess(log_mu):
        return missing - integral(start[:, None], log_mu[:, None])[:, 0]

    value = halve(start, nodes[j], excess)
    return curves.finish(value, limit_status(code, False))
