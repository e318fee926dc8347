"""Best fits, test statistics and limits from likelihood profiles: pure functions.

A profile is ``stat(s)`` = -2 ln L as a function of a signal strength ``s >= 0``.
"""

from enum import IntEnum

import numpy as np
from scipy.stats import chi2

from . import _kernels as kernels

__all__ = ["LimitStatus", "best_fit", "delta_stat_interval", "delta_stat_upper", "interval",
           "mark_extrapolated", "upper_limit"]  # fmt: skip


class LimitStatus(IntEnum):
    """What a limit is worth.

    Attributes
    ----------
    FOUND
        The profile crosses the level inside what was scanned.
    EXTRAPOLATED
        It crosses where at least one input scan had to be extrapolated, or its best fit lies where
        a scan had to be extrapolated towards zero; the value is given.
    GRID_EDGE
        It does not cross inside the grid; the limit is NaN.
    NO_INFORMATION
        The data say nothing about this mass and channel (mass below the channel's threshold, or
        no flux in any energy bin); the limit is NaN.
    APPROXIMATE
        The method needs the width of the estimator (CLs and other asymptotic ones); no signal
        fits best, and the input has neither Asimov data nor the negative strengths in which its
        minimum lies, so that the width was guessed from the positive side; the value is given.
    ALL_EXCLUDED
        The test (CLs+b) excludes all strengths, of data that lie far below what is expected; the
        limit is NaN, stronger than any number.
    """

    FOUND = 0
    EXTRAPOLATED = 1
    GRID_EDGE = 2
    NO_INFORMATION = 3
    APPROXIMATE = 4
    ALL_EXCLUDED = 5


def _check_cl(cl, lowest):
    cl = float(cl)
    if not lowest < cl < 1:
        raise ValueError(f"cl must lie between {lowest} and 1, got {cl}.")
    return cl


def delta_stat_upper(cl):
    r"""Rise of ``stat`` that bounds a one-sided upper limit.

    .. math:: \Delta = F^{-1}_{\chi^2_1}(2\,\mathrm{CL} - 1)

    Parameters
    ----------
    cl : float
        Confidence level, between 0.5 and 1.

    Examples
    --------
    >>> from dmgammapy.estimators.limits import delta_stat_upper
    >>> print(f"{delta_stat_upper(0.95):.4f}")
    2.7055
    """
    return float(chi2.ppf(2 * _check_cl(cl, 0.5) - 1, 1))


def delta_stat_interval(cl):
    r"""Rise of ``stat`` that bounds a two-sided interval, :math:`F^{-1}_{\chi^2_1}(CL)`.

    Examples
    --------
    >>> from dmgammapy.estimators.limits import delta_stat_interval
    >>> print(f"{delta_stat_interval(0.6827):.3f}")
    1.000
    """
    return float(chi2.ppf(_check_cl(cl, 0.0), 1))


def best_fit(log10_nodes, stat, stat_zero):
    """Best signal strength and the ``stat`` there.

    Parameters
    ----------
    log10_nodes : array, shape (n_norm,)
        log10 of the strengths, ascending.
    stat : array, shape (n_row, n_norm)
    stat_zero : array, shape (n_row,)
        ``stat`` at zero strength.

    Returns
    -------
    best, minimum : arrays, shape (n_row,)
        ``best`` is 0 where no signal fits best.
    """
    best = np.empty(len(stat))
    minimum = np.empty(len(stat))
    kernels.find_best(log10_nodes, stat, stat_zero, best, minimum)
    return best, minimum


def upper_limit(
    log10_nodes, stat, stat_zero, best, minimum, delta_stat, log10_extrapolated, log10_gap=None
):
    r"""Strength at which the profile has risen by ``delta_stat`` above its minimum.

    .. math:: -2 \ln \frac{L(s_{UL})}{L(\hat s)} = \Delta, \quad s_{UL} > \hat s

    Parameters
    ----------
    log10_nodes : array, shape (n_norm,)
    stat : array, shape (n_row, n_norm)
    stat_zero, best, minimum : arrays, shape (n_row,)
        As `best_fit` gives them.
    delta_stat : float
        See `delta_stat_upper`.
    log10_extrapolated : array, shape (n_row,)
        log10 of the strength from which the profile rests on extrapolated scans.
    log10_gap : array, shape (n_row, 2), optional
        log10 of the strengths between which it rests on scans extrapolated towards zero; a limit
        is extrapolated if anything between it and the best fit lies there. Default is none.

    Returns
    -------
    limit : array, shape (n_row,)
        NaN where ``status`` is not FOUND or EXTRAPOLATED.
    status : int array, shape (n_row,)
        `LimitStatus`.
    """
    limit = np.empty(len(stat))
    code = np.empty(len(stat), dtype=np.int64)
    kernels.find_upper(log10_nodes, stat, stat_zero, best, minimum + float(delta_stat), limit, code)
    status = np.where(code == 0, int(LimitStatus.FOUND), int(LimitStatus.GRID_EDGE))
    return limit, mark_extrapolated(limit, status, best, log10_extrapolated, log10_gap)


def mark_extrapolated(limit, status, best, log10_extrapolated, log10_gap=None):
    """Turn FOUND and APPROXIMATE into EXTRAPOLATED where the limit rests on extrapolated scans.

    Parameters are those of `upper_limit` and what it returns, of any method.

    Returns
    -------
    status : int array, shape (n_row,)

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.estimators.limits import mark_extrapolated
    >>> limit, status = np.array([2.0, 2.0]), np.array([0, 4])
    >>> print(mark_extrapolated(limit, status, np.zeros(2), np.log10([1.0, 3.0])))
    [1 4]
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        beyond = np.log10(limit) > log10_extrapolated
        if log10_gap is not None:
            beyond |= (np.log10(limit) > log10_gap[:, 0]) & (np.log10(best) < log10_gap[:, 1])
    given = (status == LimitStatus.FOUND) | (status == LimitStatus.APPROXIMATE)
    return np.where(beyond & given, int(LimitStatus.EXTRAPOLATED), status)


def interval(log10_nodes, stat, stat_zero, best, minimum, delta_stat):
    """Two-sided interval: where the profile is less than ``delta_stat`` above its minimum.

    Parameters are those of `upper_limit`.

    Returns
    -------
    lower, upper : arrays, shape (n_row,)
        ``lower`` is 0 where zero signal is inside; ``upper`` NaN where the grid ends first.
    """
    level = minimum + float(delta_stat)
    lower = np.empty(len(stat))
    upper = np.empty(len(stat))
    code = np.empty(len(stat), dtype=np.int64)
    kernels.find_lower(log10_nodes, stat, stat_zero, best, level, lower)
    kernels.find_upper(log10_nodes, stat, stat_zero, best, level, upper, code)
    return lower, upper
