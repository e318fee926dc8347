r"""Local and global significance: pure functions.

A test statistic ``ts`` is local: the chance that data without signal reach it at *one* mass and
channel. Looking at many, the largest of them is judged by `gross_vitells_p_value` (a scan of one
continuous parameter), `trials_p_value` (independent looks) or `max_toys_p_value` (anything that can
be simulated).
"""

import numpy as np
from scipy.special import log1p, ndtr, ndtri
from scipy.stats import chi2

__all__ = ["count_upcrossings", "gross_vitells_p_value", "local_p_value", "max_toys_p_value",
           "p_value_to_significance", "significance_to_p_value", "trials_p_value"]  # fmt: skip


def p_value_to_significance(p_value):
    r"""One-sided Gaussian significance, :math:`Z = \Phi^{-1}(1 - p)`.

    Examples
    --------
    >>> from dmgammapy.estimators.significance import p_value_to_significance
    >>> print(f"{p_value_to_significance(2.867e-7):.3f}")
    5.000
    """
    return -ndtri(p_value)


def significance_to_p_value(significance):
    r"""One-sided chance of a Gaussian significance, :math:`p = 1 - \Phi(Z)`.

    Examples
    --------
    >>> from dmgammapy.estimators.significance import significance_to_p_value
    >>> print(f"{significance_to_p_value(3.0):.3e}")
    1.350e-03
    """
    return ndtr(-np.asarray(significance, dtype=float))


def local_p_value(ts):
    r"""Chance of a ``ts`` at least this large without signal, for one strength >= 0.

    .. math:: p = \tfrac12 P(\chi^2_1 \ge TS) \text{ for } TS > 0, \text{ else } 1

    Half of all data fit best at the boundary (Chernoff 1954; Cowan et al. 2011, eqs. 49-52).

    Examples
    --------
    >>> from dmgammapy.estimators.significance import local_p_value
    >>> print(local_p_value([0.0, 25.0]))
    [1.00000000e+00 2.86651572e-07]
    """
    ts = np.asarray(ts, dtype=float)
    return np.where(ts > 0, ndtr(-np.sqrt(np.maximum(ts, 0))), 1.0)


def trials_p_value(p_value, n_trials):
    r"""Chance that the best of independent looks is at least this good.

    .. math:: p_{global} = 1 - (1 - p)^N

    Examples
    --------
    >>> from dmgammapy.estimators.significance import trials_p_value
    >>> print(f"{trials_p_value(1e-12, 100):.3e}")
    1.000e-10
    """
    with np.errstate(divide="ignore"):
        return -np.expm1(n_trials * log1p(-np.asarray(p_value, dtype=float)))


def count_upcrossings(ts, level):
    """How often scans rise from at most ``level`` to above it.

    Parameters
    ----------
    ts : array, shape (..., n_mass)
        Test statistic of each scan, neighbours next to each other.
    level : float

    Returns
    -------
    count : int array, shape (...,)
        A scan that begins above the level has not crossed it there.

    Raises
    ------
    ValueError
        If ``ts`` is not finite throughout: masses without information must be cut first.

    Examples
    --------
    >>> from dmgammapy.estimators.significance import count_upcrossings
    >>> print(count_upcrossings([0.0, 2.0, 0.5, 0.0, 3.0, 4.0], level=1.0))
    2
    """
    ts = np.asarray(ts, dtype=float)
    if not np.isfinite(ts).all():
        raise ValueError(
            f"ts must be finite, {np.count_nonzero(~np.isfinite(ts))} of {ts.size} values are "
            "not: leave out masses without information."
        )
    above = ts > level
    return np.count_nonzero(above[..., 1:] & ~above[..., :-1], axis=-1)


def gross_vitells_p_value(ts, level, n_upcrossings, n_dof=1, bounded=True):
    r"""Chance that the largest of a scan without signal is at least ``ts``.

    .. math:: P(\max TS > c) \le P(\chi^2_s > c) + \langle N(c_0)\rangle
              \left(\frac{c}{c_0}\right)^{(s-1)/2} e^{-(c - c_0)/2}

    Gross & Vitells 2010 (EPJ C 70, 525, eqs. 2-3, after Davies 1987). A bound that turns into an
    equality for large ``ts``; capped at 1. Half of :math:`\chi^2_1` is used where the strength is
    bounded at zero; upcrossings are then those of the bounded test statistic.

    Parameters
    ----------
    ts : float or array
        Largest test statistic c of the scan.
    level : float
        Level c0 > 0 at which upcrossings were counted.
    n_upcrossings : float
        Their mean number in data without signal, see `count_upcrossings`.
    n_dof : int
        Degrees of freedom s of the local test. Default is 1.
    bounded : bool
        Default is True.

    Raises
    ------
    ValueError
        If ``level`` is not positive or the number negative.

    Examples
    --------
    >>> from dmgammapy.estimators.significance import gross_vitells_p_value
    >>> print(f"{gross_vitells_p_value(25.0, level=0.5, n_upcrossings=4.0):.3e}")
    1.943e-05
    """
    if level <= 0 or n_upcrossings < 0:
        raise ValueError(
            f"level must be > 0 and n_upcrossings >= 0, got {level} and {n_upcrossings}."
        )
    ts = np.asarray(ts, dtype=float)
    local = chi2.sf(ts, n_dof) * (0.5 if bounded else 1.0)
    crossings = n_upcrossings * (ts / level) ** (0.5 * (n_dof - 1)) * np.exp(-0.5 * (ts - level))
    return np.minimum(local + crossings, 1.0)


def max_toys_p_value(ts, toys_max, tail_from=None):
    r"""Chance that the largest of all looks is at least ``ts``, from simulations without signal.

    The fraction of toys, (k + 1) / (n + 1) with k of n at or above ``ts``, which is never zero.
    Beyond ``tail_from`` (c0) the tail is continued as

    .. math:: p(c) = p(c_0) \, e^{-(c - c_0)/2}

    the asymptotic form of the upcrossing term of one degree of freedom. It is conservative where
    few looks are made: there a local :math:`\chi^2_1`, which falls faster, still matters.

    Parameters
    ----------
    ts : float or array
        Observed largest test statistic.
    toys_max : array, shape (n_toy,)
        Largest test statistic of each toy over the same masses, channels and targets.
    tail_from : float, optional
        Where to continue. Default is not to.

    Returns
    -------
    p_value : array of the shape of ``ts``

    Raises
    ------
    ValueError
        If fewer than 10 toys lie above ``tail_from``.

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.estimators.significance import max_toys_p_value
    >>> toys = np.random.default_rng(1).chisquare(2, size=20000)  # falls as exp(-ts / 2)
    >>> p_value = max_toys_p_value(30.0, toys, tail_from=8.0)
    >>> print(f"{p_value / np.exp(-15):.1f}")
    1.0
    """
    ts = np.asarray(ts, dtype=float)
    toys = np.sort(np.asarray(toys_max, dtype=float))

    def fraction(value):
        return (len(toys) - np.searchsorted(toys, value) + 1) / (len(toys) + 1)

    if tail_from is None:
        return fraction(ts)
    n_tail = np.count_nonzero(toys >= tail_from)
    if n_tail < 10:
        raise ValueError(
            f"only {n_tail} of {len(toys)} toys reach tail_from={tail_from}; at least 10 are "
            "needed to continue the tail. Lower it or simulate more."
        )
    tail = n_tail / len(toys) * np.exp(-0.5 * (ts - tail_from))
    return np.where(ts > tail_from, tail, fraction(ts))
