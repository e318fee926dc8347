r"""Local and global significance: pure functions.

A test statistic ``ts`` is local: the chance that data without signal reach it at *one* mass and
channel. Looking at many, the largest of them is judged by `gross_vitells_p_value` (a scan of one
continuous parameter), `trials_p_value` (independent looks) or `max_toys_p_value` (anything that can
be simulated). Where simulations leave out what nature does, `blank_field_correction` takes control
fields on the sky instead of theory. TS that differ by less than 1e-5 (1 + TS) count as equal.
`SignificanceEstimator` does all of it for `CastroMaps`.
"""

import numpy as np
from scipy.special import log1p, ndtr, ndtri
from scipy.stats import beta, chi2

__all__ = ["binomial_interval", "blank_field_correction", "count_at_least", "count_upcrossings",
           "gross_vitells_p_value", "local_p_value", "max_toys_interval", "max_toys_p_value",
           "p_value_to_significance", "significance_to_p_value", "tail_level",
           "trials_p_value"]  # fmt: skip

ONE_SIGMA = 0.6827
FEWEST_IN_TAIL = 10
STEEPEST_TAIL = 2.0  # TS over which an asymptotic tail falls by a factor e
TIE = 1e-5  # of 1 + ts: counts are discrete, data and simulations often equal but for rounding


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

    Half of all data fit best at the boundary (Chernoff 1954; Cowan et al. 2011, eq. 49). NaN
    stays NaN.

    Examples
    --------
    >>> from dmgammapy.estimators.significance import local_p_value
    >>> print(local_p_value([0.0, 25.0]))
    [1.00000000e+00 2.86651572e-07]
    """
    ts = np.asarray(ts, dtype=float)
    return np.where(ts <= 0, 1.0, ndtr(-np.sqrt(np.maximum(ts, 0))))


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


def count_at_least(values, ts):
    """How many test statistics are at least ``ts``, or equal to it but for rounding.

    Parameters
    ----------
    values : array, shape (n,)
    ts : float or array

    Returns
    -------
    count : int array of the shape of ``ts``

    Examples
    --------
    >>> from dmgammapy.estimators.significance import count_at_least
    >>> print(count_at_least([0.0, 2.8051701, 4.0], 2.80517018))
    2
    """
    values = np.sort(np.asarray(values, dtype=float).ravel())
    return len(values) - np.searchsorted(values, _tied(ts))


def _tied(ts):
    """Smallest test statistic that counts as equal to ``ts``."""
    ts = np.asarray(ts, dtype=float)
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(ts), ts - TIE * (1 + np.abs(ts)), ts)


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

    Gross & Vitells 2010 (EPJ C 70, 525, arXiv:1005.1891, eq. 3; after Davies 1987). A bound that
    turns into an equality for large ``ts``; capped at 1. Half of :math:`\chi^2_1` is used where
    the strength is bounded at zero; upcrossings are then those of the bounded test statistic.
    Where the masses of a scan are so far apart that a peak is missed between them, upcrossings
    become rarer with the level faster than this: the value is then too large, on the safe side.

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


def binomial_interval(count, n, cl=ONE_SIGMA):
    r"""Central interval of a fraction of which ``count`` of ``n`` were seen.

    .. math:: B^{-1}(\tfrac{1 - CL}{2}; k, n - k + 1) \ldots
              B^{-1}(\tfrac{1 + CL}{2}; k + 1, n - k)

    with B the distribution function of the beta distribution (Clopper & Pearson 1934). It reaches
    0 for ``count = 0`` and 1 for ``count = n``.

    Parameters
    ----------
    count : int or array
    n : int
    cl : float
        Confidence level. Default is 0.6827.

    Returns
    -------
    low, high : arrays of the shape of ``count``

    Examples
    --------
    >>> from dmgammapy.estimators.significance import binomial_interval
    >>> low, high = binomial_interval(0, 100)  # 1 - high = (0.15865)^(1 / 100)
    >>> print(f"{low:.4f} {high:.4f}")
    0.0000 0.0182
    """
    count = np.asarray(count, dtype=float)
    outside = 0.5 * (1 - cl)
    low = np.where(count > 0, beta.ppf(outside, np.maximum(count, 1), n - count + 1), 0.0)
    high = np.where(count < n, beta.isf(outside, count + 1, np.maximum(n - count, 1)), 1.0)
    return low, high


def tail_level(values, fraction=0.1, at_least=FEWEST_IN_TAIL):
    """Where the tail of a sample of test statistics begins.

    Parameters
    ----------
    values : array, shape (n,)
    fraction : float
        Part of the sample in the tail. Default is 0.1.
    at_least : int
        Fewest in the tail, should the fraction be less. Default is 10.

    Returns
    -------
    level : float or None
        The smallest value in the tail, above 0; None if fewer than ``at_least`` values are.

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.estimators.significance import tail_level
    >>> print(tail_level(np.arange(200)))  # 180 ... 199 are 20 of 200
    180.0
    """
    values = np.sort(_finite("values", values))
    n_positive = np.count_nonzero(values > 0)
    if n_positive < at_least:
        return None
    n_tail = min(max(int(np.ceil(fraction * len(values))), at_least), n_positive)
    return float(values[len(values) - n_tail])


def max_toys_p_value(ts, toys_max, tail_from=None):
    r"""Chance that the largest of all looks is at least ``ts``, from simulations without signal.

    The fraction of toys, (k + 1) / (n + 1) with k of n at or above ``ts``, which is never zero.
    Beyond ``tail_from`` (c0) the tail is continued as

    .. math:: p(c) = 1 - e^{-N(c)}, \quad N(c) = -\ln(1 - p(c_0)) \, e^{-(c - c_0)/2}

    Peaks of a random field above a high level are rare and independent, so that their number is
    Poisson with a mean N that falls with the level as the upcrossings of one degree of freedom
    do (Gross & Vitells 2010, eq. 3 with s = 1). It holds for any number of channels and targets.
    It is conservative where few looks are made: there a local :math:`\chi^2_1`, which falls
    faster, still matters.

    Parameters
    ----------
    ts : float or array
        Observed largest test statistic; NaN stays NaN.
    toys_max : array, shape (n_toy,)
        Largest test statistic of each toy over the same masses, channels and targets.
    tail_from : float, optional
        Where to continue, see `tail_level`. Default is not to.

    Returns
    -------
    p_value : array of the shape of ``ts``

    Raises
    ------
    ValueError
        If toys are not finite or fewer than 10 reach ``tail_from``.

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.estimators.significance import max_toys_p_value
    >>> toys = np.random.default_rng(1).chisquare(2, size=20000)  # falls as exp(-ts / 2)
    >>> p_value = max_toys_p_value(30.0, toys, tail_from=8.0)
    >>> print(f"{p_value / np.exp(-15):.1f}")
    1.0
    """
    return _from_toys(ts, toys_max, tail_from)[0]


def max_toys_interval(ts, toys_max, tail_from=None, cl=ONE_SIGMA):
    """Statistical uncertainty of `max_toys_p_value` from the number of toys.

    The `binomial_interval` of the toys at or above ``ts``; beyond ``tail_from`` that of the toys
    above it, continued as the value is.

    Parameters
    ----------
    ts, toys_max, tail_from
        As for `max_toys_p_value`.
    cl : float
        Default is 0.6827.

    Returns
    -------
    low, high : arrays of the shape of ``ts``

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.estimators.significance import max_toys_interval
    >>> low, high = max_toys_interval(8.0, np.arange(10))  # 2 of 10
    >>> print(f"{low:.3f} {high:.3f}")
    0.072 0.405
    """
    return _from_toys(ts, toys_max, tail_from, cl)[1:]


def _from_toys(ts, toys_max, tail_from, cl=ONE_SIGMA):
    """p-value and the ends of its interval."""
    ts = np.asarray(ts, dtype=float)
    toys = _finite("toys_max", toys_max)
    n_toys = len(toys)

    def fraction(count):
        return np.array([(count + 1) / (n_toys + 1), *binomial_interval(count, n_toys, cl)])

    values = fraction(count_at_least(toys, ts))
    if tail_from is not None:
        n_tail = count_at_least(toys, tail_from)
        if n_tail < FEWEST_IN_TAIL:
            raise ValueError(
                f"only {n_tail} of {n_toys} toys reach tail_from={tail_from}; at least "
                f"{FEWEST_IN_TAIL} are needed to continue the tail. Lower it or simulate more."
            )
        with np.errstate(divide="ignore"):
            number = -np.log1p(-fraction(n_tail)).reshape(3, *[1] * ts.ndim)
        tail = -np.expm1(-number * np.exp(-0.5 * np.maximum(ts - tail_from, 0)))
        values = np.where(ts > tail_from, tail, values)
    return np.where(np.isnan(ts), np.nan, values)


def blank_field_correction(ts, ts_blank, fraction=0.1):
    r"""Local chance of a ``ts``, calibrated by the same analysis of blank fields.

    Faint sources and a background model that is not quite right make large TS more frequent than
    theory says; the same analysis of control positions without a target sees both. Ackermann et
    al. (2014, Phys. Rev. D 89, 042001, and 2015, Phys. Rev. Lett. 115, 231301) judge dwarf
    galaxies by such fields. With k of n blank fields at or above ``ts`` the chance is
    (k + 1) / (n + 1) as long as k >= 10. Beyond that the tail is the exponential

    .. math:: p(TS) = p(t_0) \, e^{-(TS - t_0) / b}, \quad
              b = \max(2, \langle TS - t_0 \rangle_{TS > t_0})

    with t0 from `tail_level` and b the maximum likelihood estimate from the fields above it. It
    is never steeper than theory far out, exp(-TS / 2), though half :math:`\chi^2_1` is just above
    t0: continuing that slope would make the chance of TS = 25 six times too small. Where blank
    fields follow theory the result is too large by a factor of 2 at TS = 9 and 3 at 25. It is an
    extrapolation: a ``ts`` far beyond all blank fields is not measured.

    Parameters
    ----------
    ts : float or array
        Local test statistic; NaN stays NaN.
    ts_blank : array, shape (n_blank,)
        Of blank fields, at the same mass and channel.
    fraction : float
        Part of the blank fields to which the tail is fitted, at least 10. Default is 0.1.

    Returns
    -------
    p_value, low, high : arrays of the shape of ``ts``
        The chance and its 68 % interval: `binomial_interval`, or with the statistical errors of
        p(t0) and b, which are independent, added in ln p.

    Raises
    ------
    ValueError
        If blank fields are not finite or fewer than 20, or the tail is needed and fewer than 10
        of them have TS > 0.

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.estimators.significance import blank_field_correction
    >>> ts_blank = np.random.default_rng(1).exponential(3.0, size=1000)  # heavier than chi2
    >>> p_value, low, high = blank_field_correction(25.0, ts_blank)
    >>> print(f"{p_value:.1e} ({low:.1e} to {high:.1e}), expected {np.exp(-25 / 3):.1e}")
    3.0e-04 (1.6e-04 to 5.4e-04), expected 2.4e-04
    """
    ts = np.asarray(ts, dtype=float)
    blank = np.sort(_finite("ts_blank", ts_blank))
    n_blank = len(blank)
    if n_blank < 2 * FEWEST_IN_TAIL:
        raise ValueError(
            f"ts_blank holds {n_blank} blank fields; at least {2 * FEWEST_IN_TAIL} are needed."
        )
    count = count_at_least(blank, ts)
    values = np.array([(count + 1) / (n_blank + 1), *binomial_interval(count, n_blank)])
    beyond = (count < FEWEST_IN_TAIL) & ~np.isnan(ts)
    if beyond.any():
        level = tail_level(blank, fraction)
        if level is None or _tied(blank[-1]) <= level:
            raise ValueError(
                f"only {np.count_nonzero(blank > 0)} of {n_blank} blank fields have TS > 0; at "
                f"least {FEWEST_IN_TAIL}, not all alike, are needed to continue their tail to "
                f"TS = {ts[beyond].max():g}. Analyse more blank fields."
            )
        excess = np.maximum(blank[blank >= _tied(level)] - level, 0.0)
        n_tail = len(excess)
        mean = excess.sum() / (n_tail - 1)  # the first of them is the level itself
        scale = max(mean, STEEPEST_TAIL)
        steps = (ts - level) / scale
        ln_p = np.log((n_tail + 1) / (n_blank + 1)) - steps
        error = np.sqrt((1 - n_tail / n_blank) / n_tail + steps**2 / (n_tail - 1))
        tail = np.exp([ln_p, ln_p - error, np.minimum(ln_p + error, 0.0)])
        values = np.where(beyond, tail, values)
    return tuple(np.where(np.isnan(ts), np.nan, values))


def _finite(name, values):
    """The values as a flat array; an error if there are none or some are not finite."""
    values = np.asarray(values, dtype=float).ravel()
    n_bad = np.count_nonzero(~np.isfinite(values))
    if n_bad or not values.size:
        raise ValueError(
            f"{name} must be finite and at least one, {n_bad} of {values.size} values are not "
            "finite: leave them out."
        )
    return values
