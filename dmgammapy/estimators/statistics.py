r"""Test statistics of a signal strength and their asymptotic distributions: pure functions.

Which one, in the notation of Cowan, Cranmer, Gross & Vitells 2011 (EPJ C 71, 1554,
arXiv:1007.1727; "CCGV" below), for a strength ``mu``:

===============  ==========================================  =====================
`t_mu`           intervals, signal of either sign            two-sided
`t_mu_tilde`     intervals, signal >= 0 (Feldman-Cousins)    two-sided
`q0`             discovery                                   one-sided
`q_mu`           upper limits, signal of either sign         one-sided
`q_mu_tilde`     upper limits, signal >= 0 (CLs)             one-sided
===============  ==========================================  =====================

``stat`` is -2 ln L, ``best`` the best fit over strengths of **either sign** and ``stat_best`` the
``stat`` there. All arguments broadcast. In the asymptotic regime the estimator of the strength is
Gaussian with width ``sigma``; distributions then depend on two numbers: ``ratio = mu / sigma``
and ``distance = (mu - mu_true) / sigma``. The Asimov data set without signal has
``q_asimov = ratio^2`` (CCGV eq. 29), which is how ``sigma`` is known.
"""

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

__all__ = ["density_q_mu", "density_q_mu_tilde", "expected_cls", "expected_root", "log_cls",
           "power_root",
           "log_survival_q_mu_tilde", "q0", "q_mu", "q_mu_tilde", "sigma_from_asimov",
           "survival_q0", "survival_q_mu", "survival_q_mu_tilde", "survival_t_mu",
           "survival_t_mu_tilde", "t_mu", "t_mu_tilde"]  # fmt: skip

METHODS = ("clsb", "cls", "profile", "power_constrained", "feldman_cousins")
MIN_POWER = 0.15865525393145707  # Phi(-1)


# ---- test statistics -------------------------------------------------------------------------


def t_mu(stat_mu, stat_best):
    r"""Two-sided test of a strength, :math:`t_\mu = -2\ln L(\mu)/L(\hat\mu)` (CCGV eq. 8).

    ``t_mu(stat_zero, stat_best)`` is the two-sided test of no signal.

    Examples
    --------
    >>> from dmgammapy.estimators.statistics import t_mu
    >>> print(t_mu(stat_mu=7.0, stat_best=3.0))
    4.0
    """
    return np.maximum(np.subtract(stat_mu, stat_best), 0.0)


def t_mu_tilde(stat_mu, best, stat_best, stat_zero):
    r"""Two-sided test of a strength where only signals >= 0 exist (CCGV eq. 11).

    .. math:: \tilde t_\mu = -2\ln\frac{L(\mu)}{L(\max(\hat\mu, 0))}

    Examples
    --------
    >>> from dmgammapy.estimators.statistics import t_mu_tilde
    >>> print(t_mu_tilde(stat_mu=7.0, best=-1.0, stat_best=3.0, stat_zero=4.0))
    3.0
    """
    return t_mu(stat_mu, np.where(np.less(best, 0), stat_zero, stat_best))


def q0(best, stat_best, stat_zero):
    r"""Discovery: test of no signal against a positive one (CCGV eq. 12).

    .. math:: q_0 = -2\ln\frac{L(0)}{L(\hat\mu)} \text{ if } \hat\mu \ge 0, \text{ else } 0

    Its root is the local significance (CCGV section 3.5). This is the TS of the package.

    Examples
    --------
    >>> from dmgammapy.estimators.statistics import q0
    >>> print(q0(best=[2.0, -2.0], stat_best=1.0, stat_zero=10.0))
    [9. 0.]
    """
    return np.where(np.less(best, 0), 0.0, t_mu(stat_zero, stat_best))


def q_mu(mu, stat_mu, best, stat_best):
    r"""Upper limits where signals of either sign exist (CCGV eq. 14).

    .. math:: q_\mu = -2\ln\frac{L(\mu)}{L(\hat\mu)} \text{ if } \hat\mu \le \mu, \text{ else } 0

    Examples
    --------
    >>> from dmgammapy.estimators.statistics import q_mu
    >>> print(q_mu(mu=2.0, stat_mu=7.0, best=[1.0, 3.0], stat_best=3.0))
    [4. 0.]
    """
    return np.where(np.greater(best, mu), 0.0, t_mu(stat_mu, stat_best))


def q_mu_tilde(mu, stat_mu, best, stat_best, stat_zero):
    r"""Upper limits where only signals >= 0 exist (CCGV eq. 16).

    .. math:: \tilde q_\mu = -2\ln\frac{L(\mu)}{L(\max(\hat\mu, 0))}
              \text{ if } \hat\mu \le \mu, \text{ else } 0

    Examples
    --------
    >>> from dmgammapy.estimators.statistics import q_mu_tilde
    >>> print(q_mu_tilde(mu=2.0, stat_mu=7.0, best=-1.0, stat_best=3.0, stat_zero=4.0))
    3.0
    """
    return np.where(np.greater(best, mu), 0.0, t_mu_tilde(stat_mu, best, stat_best, stat_zero))


# ---- asymptotic distributions ----------------------------------------------------------------


def sigma_from_asimov(mu, mu_asimov, q_asimov):
    r"""Width of the estimator of the strength (CCGV section 3.2).

    .. math:: \sigma_A = |\mu - \mu'| / \sqrt{q_{\mu,A}}

    Parameters
    ----------
    mu, mu_asimov : float or array
        Strength that is tested, and the one of the Asimov data.
    q_asimov : float or array
        Test statistic of the Asimov data.

    Examples
    --------
    >>> from dmgammapy.estimators.statistics import sigma_from_asimov
    >>> print(sigma_from_asimov(mu=3.0, mu_asimov=0.0, q_asimov=4.0))
    1.5
    """
    return np.abs(np.subtract(mu, mu_asimov)) / np.sqrt(q_asimov)


def _turn(q, ratio):
    """Pull of the estimator below ``mu`` that gives ``q``, of which the boundary changes the law.

    ``sqrt(q)`` while the best fit is positive, ``(q + ratio^2) / (2 ratio)`` where it is not.
    """
    q, ratio = np.asarray(q, dtype=float), np.asarray(ratio, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        bounded = (q + ratio**2) / (2 * ratio)
        turn = np.where(q > ratio**2, bounded, np.sqrt(q))
    return np.where(np.isnan(ratio), np.nan, turn)  # an unknown width decides nothing


def survival_q_mu(q, distance=0.0):
    r"""Chance of a `q_mu` at least this large (CCGV eqs. 57 and 59).

    .. math:: P(q_\mu \ge q|\mu') = \Phi\left(\frac{\mu - \mu'}{\sigma} - \sqrt q\right)
              \text{ for } q > 0

    Parameters
    ----------
    q : float or array
    distance : float or array
        ``(mu - mu_true) / sigma``. Default is 0: the strength tested is the true one.

    Examples
    --------
    >>> from dmgammapy.estimators.statistics import survival_q_mu
    >>> print(f"{survival_q_mu(2.7055):.4f}")
    0.0500
    """
    return np.where(np.greater(q, 0), ndtr(distance - np.sqrt(q)), 1.0)


def survival_q0(q, pull=0.0):
    r"""Chance of a `q0` at least this large (CCGV section 3.5).

    .. math:: P(q_0 \ge q|\mu') = \Phi(\mu'/\sigma - \sqrt q) \text{ for } q > 0

    Parameters
    ----------
    q : float or array
    pull : float or array
        ``mu_true / sigma``. Default is 0: half chi2 of one degree of freedom (Chernoff).

    Examples
    --------
    >>> from dmgammapy.estimators.statistics import survival_q0
    >>> print(f"{survival_q0(25.0):.3e}")
    2.867e-07
    """
    return survival_q_mu(q, pull)


def log_survival_q_mu_tilde(q, ratio, distance=0.0):
    """Natural logarithm of `survival_q_mu_tilde`, for q > 0."""
    return log_ndtr(distance - _turn(q, ratio))


def survival_q_mu_tilde(q, ratio, distance=0.0):
    r"""Chance of a `q_mu_tilde` at least this large (CCGV eqs. 64-66).

    .. math:: P = \begin{cases} \Phi(d - \sqrt q) & 0 < q \le r^2 \\
              \Phi(d - (q + r^2) / 2r) & q > r^2 \end{cases},
              \quad r = \mu/\sigma, \ d = (\mu - \mu')/\sigma

    Parameters
    ----------
    q : float or array
    ratio : float or array
        ``mu / sigma``.
    distance : float or array
        ``(mu - mu_true) / sigma``; 0 (default) for the strength tested, ``ratio`` for no signal.

    Examples
    --------
    >>> from dmgammapy.estimators.statistics import survival_q_mu_tilde
    >>> print(f"{survival_q_mu_tilde(9.0, ratio=1.0):.3e}")  # 5 sigma, not 3
    2.867e-07
    """
    return np.where(np.greater(q, 0), ndtr(distance - _turn(q, ratio)), 1.0)


def survival_t_mu(t, distance=0.0):
    r"""Chance of a `t_mu` at least this large (CCGV section 3.3).

    .. math:: P(t_\mu \ge t|\mu') = \Phi(d - \sqrt t) + \Phi(-d - \sqrt t)

    Examples
    --------
    >>> from dmgammapy.estimators.statistics import survival_t_mu
    >>> print(f"{survival_t_mu(3.8415):.4f}")
    0.0500
    """
    root = np.sqrt(t)
    return ndtr(distance - root) + ndtr(-distance - root)


def survival_t_mu_tilde(t, ratio, distance=0.0):
    r"""Chance of a `t_mu_tilde` at least this large (CCGV section 3.4).

    .. math:: P = \Phi(-d - \sqrt t) + \begin{cases} \Phi(d - \sqrt t) & t \le r^2 \\
              \Phi(d - (t + r^2) / 2r) & t > r^2 \end{cases}

    Inverting this test gives the intervals of Feldman & Cousins 1998 for a bounded Gaussian mean.

    Examples
    --------
    >>> from dmgammapy.estimators.statistics import survival_t_mu_tilde
    >>> print(f"{survival_t_mu_tilde(1.64485**2, ratio=1.64485):.3f}")  # limit at x = 0, 90 %
    0.100
    """
    t = np.asarray(t, dtype=float)
    above, below = ndtr(-distance - np.sqrt(t)), ndtr(distance - _turn(t, ratio))
    return np.where(t > 0, above + below, 1.0)


def density_q_mu(q, distance=0.0):
    r"""Density of `q_mu` (or `q0`) at q > 0 (CCGV sections 3.5 and 3.6).

    .. math:: f(q|\mu') = \frac{1}{2\sqrt{2\pi q}}
              \exp\left[-\tfrac12\left(\sqrt q - d\right)^2\right]

    A further :math:`\Phi(-d)` lies at q = 0. For `q0`, ``distance`` is ``mu_true / sigma``.

    Examples
    --------
    >>> from dmgammapy.estimators.statistics import density_q_mu
    >>> print(f"{density_q_mu(1.0):.5f}")  # half of chi2(1)
    0.12099
    """
    root = np.sqrt(q)
    return np.exp(-0.5 * (root - distance) ** 2) / (2 * np.sqrt(2 * np.pi) * root)


def density_q_mu_tilde(q, ratio, distance=0.0):
    r"""Density of `q_mu_tilde` at q > 0: as `density_q_mu` up to :math:`r^2`, then Gaussian.

    .. math:: f(q|\mu') = \frac{1}{2 r\sqrt{2\pi}}
              \exp\left[-\tfrac12\left(\frac{q + r^2}{2r} - d\right)^2\right], \quad q > r^2

    See CCGV section 3.7.

    Examples
    --------
    >>> from dmgammapy.estimators.statistics import density_q_mu_tilde
    >>> print(f"{density_q_mu_tilde(4.0, ratio=1.0):.5f}")
    0.00876
    """
    q, ratio = np.asarray(q, dtype=float), np.asarray(ratio, dtype=float)
    gaussian = np.exp(-0.5 * (_turn(q, ratio) - distance) ** 2) / (2 * np.sqrt(2 * np.pi) * ratio)
    return np.where(q > ratio**2, gaussian, density_q_mu(q, distance))


# ---- CLs and what is expected ----------------------------------------------------------------


def log_cls(q, q_asimov):
    r"""Logarithms of CLs+b and CLb for `q_mu_tilde`.

    .. math:: CL_{s+b} = P(\tilde q_\mu \ge q|\mu), \quad CL_b = P(\tilde q_\mu \ge q|0),
              \quad CL_s = CL_{s+b} / CL_b

    (Read 2002, J. Phys. G 28, 2693; distributions of CCGV eqs. 64-66.) Logarithms, because far
    below the boundary both are tiny and only their ratio matters.

    Parameters
    ----------
    q : float or array
        Observed `q_mu_tilde`, > 0.
    q_asimov : float or array
        That of the Asimov data without signal.

    Returns
    -------
    log_clsb, log_clb : arrays
        CLs is ``exp(log_clsb - log_clb)``.

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.estimators.statistics import log_cls
    >>> log_clsb, log_clb = log_cls(3.8415, 3.8415)  # the median data
    >>> print(f"{np.exp(log_clsb):.3f} {np.exp(log_clb):.3f} {np.exp(log_clsb - log_clb):.3f}")
    0.025 0.500 0.050
    """
    ratio = np.sqrt(q_asimov)
    turn = _turn(q, ratio)
    return log_ndtr(-turn), log_ndtr(ratio - turn)


def expected_cls(q_asimov, n_sigma=0.0):
    r"""Expected CLs+b and CLs of background-only data that fluctuate by ``n_sigma``.

    .. math:: CL_{s+b} = \Phi(N - \sqrt{q_A}), \quad CL_s = CL_{s+b} / \Phi(N)

    Examples
    --------
    >>> from dmgammapy.estimators.statistics import expected_cls
    >>> print("{:.4f} {:.4f}".format(*expected_cls(9.0)))
    0.0013 0.0027
    """
    clsb = ndtr(n_sigma - np.sqrt(q_asimov))
    return clsb, clsb / ndtr(n_sigma)


def expected_root(cl, n_sigma=0.0, method="cls", min_power=MIN_POWER):
    r"""Root of `q_mu_tilde` of the Asimov data at the limit expected with a fluctuation.

    The limit that background-only data with a best fit of N sigma give lies where
    :math:`\sqrt{q_{\mu,A}} = \mu_{up}/\sigma` is, with :math:`z = \Phi^{-1}(CL)`,

    - ``clsb``: :math:`N + z` (CCGV eq. 89; may be negative),
    - ``cls``: :math:`N + \Phi^{-1}(1 - (1 - CL)\,\Phi(N))`,
    - ``profile``: the fixed rise of ``stat`` above its minimum at signals >= 0:
      :math:`N + z` for N >= 0, else :math:`N + \sqrt{N^2 + z^2}`,
    - ``power_constrained``: :math:`\max(N + z, z + \Phi^{-1}(M_{min}))`,
    - ``feldman_cousins``: upper end of the bounded Gaussian's interval at ``x = N``.

    Parameters
    ----------
    cl : float
        Confidence level, between 0.5 and 1.
    n_sigma : float or array
        Fluctuation N in standard deviations. Default is 0, the median.
    method : str
        One of those above. Default is "cls".
    min_power : float
        :math:`M_{min}`. Default is :math:`\Phi(-1)`.

    Raises
    ------
    ValueError
        If the method is unknown, ``cl`` or ``min_power`` out of range, or ``min_power`` is given
        for another method than the one that uses it.

    Examples
    --------
    >>> from dmgammapy.estimators.statistics import expected_root
    >>> print(expected_root(0.95, n_sigma=[-1, 0, 1]).round(3))
    [1.412 1.96  2.727]
    >>> print(expected_root(0.95, n_sigma=[-1, 0, 1], method="clsb").round(3))
    [0.645 1.645 2.645]
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {list(METHODS)}, got {method!r}.")
    if not 0.5 < cl < 1:
        raise ValueError(f"cl must lie between 0.5 and 1, got {cl}.")
    if method != "power_constrained" and min_power != MIN_POWER:
        raise ValueError(f"method {method!r} does not use min_power.")
    n_sigma = np.asarray(n_sigma, dtype=float)
    z = ndtri(cl)
    if method == "cls":
        return n_sigma - ndtri((1 - cl) * ndtr(n_sigma))
    if method == "profile":
        return n_sigma + np.sqrt(np.minimum(n_sigma, 0.0) ** 2 + z**2)
    if method == "power_constrained":
        return np.maximum(n_sigma + z, power_root(cl, min_power))
    if method == "feldman_cousins":
        from .unified_intervals import gaussian_interval

        return gaussian_interval(n_sigma, cl)[1]
    return n_sigma + z


def power_root(cl, min_power=MIN_POWER):
    r"""Root of the Asimov data's test statistic where a test just has the least power wanted.

    The power to exclude :math:`\mu` when there is no signal is
    :math:`M_0(\mu) = \Phi(\sqrt{q_{\mu,A}} - \Phi^{-1}(CL))`; limits stronger than where it falls
    to :math:`M_{min}` are not quoted (Cowan, Cranmer, Gross & Vitells, arXiv:1105.3166).

    Raises
    ------
    ValueError
        If ``min_power`` does not lie between ``1 - cl`` (power at no signal) and 1.

    Examples
    --------
    >>> from dmgammapy.estimators.statistics import power_root
    >>> print(f"{power_root(0.95):.3f} {power_root(0.95, min_power=0.5):.3f}")
    0.645 1.645
    """
    if not 1 - cl < min_power < 1:
        raise ValueError(
            f"min_power must lie between 1 - cl = {1 - cl:.4g} and 1, got {min_power}."
        )
    return float(ndtri(cl) + ndtri(min_power))
