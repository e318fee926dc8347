"""Intervals of Feldman & Cousins 1998 (Phys. Rev. D 57, 3873), "FC" below: pure functions.

Strengths are >= 0 and data are ordered by the ratio of likelihoods ``L(mu) / L(best)``. A strength
is inside the interval when its p-value, the chance of data that rank no higher than those
observed, exceeds ``1 - cl``. For profile likelihoods in general see
`dmgammapy.estimators.intervals.feldman_cousins`.
"""

import numpy as np
from scipy.special import gammaln, xlogy

from .statistics import survival_t_mu_tilde

__all__ = ["gaussian_interval", "gaussian_p_value", "poisson_interval", "poisson_p_value",
           "toys_critical", "toys_p_value"]  # fmt: skip

MU_STEP = 0.005  # of the search for the ends of Poisson intervals, as in FC
TIE = 1e-5  # of 1 + test statistic: counts are discrete, data and toys are often equal
B_STEP, B_RANGE = 0.02, 2.0  # larger backgrounds that lengthen upper ends, refined 20 times


def _check_cl(cl):
    if not 0 < cl < 1:
        raise ValueError(f"cl must lie between 0 and 1, got {cl}.")
    return float(cl)


def _bisect(inside, low, high, n_step=60):
    """Where ``inside(x)`` turns from true (at ``low``) to false (at ``high``), by halving."""
    for _ in range(n_step):
        middle = 0.5 * (low + high)
        accepted = inside(middle)
        low, high = np.where(accepted, middle, low), np.where(accepted, high, middle)
    return 0.5 * (low + high)


def gaussian_p_value(mu, x):
    r"""Chance of data that rank no higher than ``x`` for a Gaussian of mean ``mu`` >= 0.

    The ordering (FC section IV) is that of :math:`\tilde t_\mu`: :math:`(x - \mu)^2` for
    x >= 0 and :math:`\mu^2 - 2 x \mu` for x < 0.

    Parameters
    ----------
    mu, x : float or array
        True mean and measured value in standard deviations.

    Examples
    --------
    >>> from dmgammapy.estimators.unified_intervals import gaussian_p_value
    >>> print(f"{gaussian_p_value(3.0, x=1.0):.4f}")  # two sigma off, far from the boundary
    0.0455
    """
    mu, x = np.asarray(mu, dtype=float), np.asarray(x, dtype=float)
    t = np.where(x < 0, mu**2 - 2 * x * mu, (x - mu) ** 2)
    return survival_t_mu_tilde(t, mu)


def gaussian_interval(x, cl):
    """Interval for the mean of a Gaussian that cannot be negative (FC Table X).

    Parameters
    ----------
    x : float or array
        Measured value in standard deviations.
    cl : float
        Confidence level.

    Returns
    -------
    lower, upper : arrays of the shape of ``x``
        In standard deviations; ``lower`` is 0 where no signal is inside.

    Examples
    --------
    >>> from dmgammapy.estimators.unified_intervals import gaussian_interval
    >>> lower, upper = gaussian_interval([-1.0, 0.0, 3.0], cl=0.90)
    >>> print(lower.round(2), upper.round(2))
    [0.   0.   1.37] [0.81 1.64 4.64]
    """
    alpha = 1 - _check_cl(cl)
    x = np.asarray(x, dtype=float)
    best = np.maximum(x, 0.0)

    def accepted(mu):
        return gaussian_p_value(mu, x) > alpha

    upper = _bisect(accepted, best, best + 40.0)
    lower = _bisect(accepted, best, np.zeros_like(best))
    return np.where(accepted(np.zeros_like(x)), 0.0, lower), upper


def poisson_p_value(mu, n, background):
    r"""Chance of counts that rank no higher than ``n`` at signal ``mu`` and known background.

    .. math:: R(n) = \frac{P(n|\mu + b)}{P(n|\max(n - b, 0) + b)}
              \quad \text{(FC section IV)}

    Parameters
    ----------
    mu : float or array, shape (n_mu,)
        Expected signal counts.
    n : int
        Observed counts.
    background : float
        Expected background counts.

    Returns
    -------
    p_value : array, shape (n_mu,)

    Examples
    --------
    >>> from dmgammapy.estimators.unified_intervals import poisson_p_value
    >>> print(f"{poisson_p_value(0.5, n=1, background=3.0)[0]:.3f}")  # FC Table I
    0.278
    """
    mu = np.atleast_1d(np.asarray(mu, dtype=float))
    largest = max(mu.max() + background, n)
    counts = np.arange(int(largest + 12 * np.sqrt(largest) + 30))
    mean, best = mu[:, None] + background, np.maximum(counts, background)
    log_p = xlogy(counts, mean) - mean
    rank = log_p - (xlogy(counts, best) - best)
    better = rank > rank[:, n, None] + 1e-12
    return 1 - np.where(better, np.exp(log_p - gammaln(counts + 1)), 0.0).sum(axis=1)


def _poisson_ends(n, background, cl):
    alpha = 1 - cl
    top = max(n - background, 0.0) + 8 * np.sqrt(n + 1.0) + 12
    while poisson_p_value(top, n, background)[0] > alpha:
        top *= 2
    mu = np.arange(0, top + MU_STEP, MU_STEP)
    inside = np.flatnonzero(poisson_p_value(mu, n, background) > alpha)

    def accepted(value):
        return poisson_p_value(value, n, background)[0] > alpha

    upper = _bisect(accepted, mu[inside[-1]], mu[inside[-1]] + MU_STEP, n_step=30)
    if inside[0] == 0:
        return 0.0, float(upper)
    lower = _bisect(accepted, mu[inside[0]], mu[inside[0]] - MU_STEP, n_step=30)
    return float(lower), float(upper)


def _highest_accepted(n, background, cl, start):
    """Largest signal above ``start`` that is accepted, to `MU_STEP` / 10; else ``start``."""
    mu = start + np.arange(0, 2, MU_STEP)
    inside = np.flatnonzero(poisson_p_value(mu, n, background) > 1 - cl)
    if len(inside) == 0:
        return start
    mu = mu[inside[-1]] + np.arange(11) * (MU_STEP / 10)
    return mu[np.flatnonzero(poisson_p_value(mu, n, background) > 1 - cl)[-1]]


def _lengthened(n, background, cl, upper):
    """Largest upper end at any larger background; it lies where the end has just jumped up."""
    highest, at = upper, None
    for larger in background + np.arange(B_STEP, B_RANGE, B_STEP):
        end = _highest_accepted(n, larger, cl, highest)
        if end > highest:
            highest, at = end, larger
    if at is not None:
        for larger in at - B_STEP * np.arange(0.05, 1, 0.05):
            highest = _highest_accepted(n, larger, cl, highest)
    return float(highest)


def poisson_interval(n, background, cl, monotonic=True):
    """Interval for a Poisson signal on a known background (FC Tables II-IX).

    Parameters
    ----------
    n : int
        Observed counts.
    background : float
        Expected background counts.
    cl : float
        Confidence level.
    monotonic : bool
        Whether upper ends are lengthened so that they do not grow with the background, as FC
        (section IV) do in their tables. Default is True.

    Returns
    -------
    lower, upper : float
        Signal counts; gaps inside the set of accepted signals belong to the interval, as in FC.

    Raises
    ------
    ValueError
        If counts or background are negative, or ``cl`` is out of range.

    Examples
    --------
    >>> from dmgammapy.estimators.unified_intervals import poisson_interval
    >>> print("{:.2f} {:.2f}".format(*poisson_interval(4, background=1.0, cl=0.90)))
    0.74 7.60
    """
    _check_cl(cl)
    if n < 0 or n != int(n) or background < 0:
        raise ValueError(
            f"n must be a whole number >= 0 and background >= 0, got n={n}, "
            f"background={background}."
        )
    lower, upper = _poisson_ends(int(n), background, cl)
    if monotonic:
        upper = _lengthened(int(n), background, cl, upper)
    return lower, upper


def toys_p_value(t, toys):
    """Fraction of toys whose test statistic is at least that observed (to 1e-5 of 1 + t).

    Parameters
    ----------
    t : array, shape (..., n_norm)
        Observed test statistic at each strength.
    toys : array, shape (..., n_norm, n_toy)
        The same of data simulated with that strength; leading axes broadcast. NaN are left out.

    Returns
    -------
    p_value : array, shape (..., n_norm)
        NaN where there is no toy.

    Examples
    --------
    >>> from dmgammapy.estimators.unified_intervals import toys_p_value
    >>> print(toys_p_value([2.5, 0.0], [[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 1.0, 2.0]]))
    [0.5 1. ]
    """
    t, toys = np.asarray(t, dtype=float)[..., None], np.asarray(toys, dtype=float)
    n_toy = np.isfinite(toys).sum(axis=-1)
    count = np.count_nonzero(toys >= t - TIE * (1 + t), axis=-1)
    return np.where(n_toy > 0, count / np.maximum(n_toy, 1), np.nan)


def toys_critical(toys, cl):
    r"""Test statistic that a fraction ``cl`` of the toys does not exceed (FC section V).

    Parameters
    ----------
    toys : array, shape (..., n_norm, n_toy)
        :math:`\tilde t_\mu` of data simulated with each strength.
    cl : float

    Returns
    -------
    critical : array, shape (..., n_norm)

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.estimators.unified_intervals import toys_critical
    >>> print(toys_critical(np.arange(1.0, 101.0), 0.9))
    90.0
    """
    return np.quantile(toys, _check_cl(cl), axis=-1, method="inverted_cdf")
