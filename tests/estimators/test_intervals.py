"""Limits by every method against closed forms and brute force."""

from functools import cache

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm, poisson

from dmgammapy.estimators import intervals
from dmgammapy.estimators.limits import LimitStatus
from dmgammapy.estimators.unified_intervals import gaussian_interval, poisson_interval

MU = np.append(0, 10 ** np.arange(-4, 3, 0.05))
NEGATIVE = -(10 ** np.arange(2, -3, -0.1))
X = np.array([-4.0, -2.0, -1.0, -0.3, 0.0, 0.5, 1.0, 3.0])
SIGMA = 1.7


def gaussian(mu, x=X):
    return (mu - x[:, None] * SIGMA) ** 2 / SIGMA**2


def counts(mu, n, background):
    n = np.atleast_1d(n)[:, None]
    return 2 * (mu + background) - 2 * n * np.log(mu + background)


def cls_gaussian(x, alpha=0.05):
    """Read 2002: mu = x + sigma Phi^-1(1 - alpha Phi(x / sigma)), x in sigma here."""
    return SIGMA * (x + norm.isf(alpha * norm.cdf(x)))


def cls_poisson(n, background, alpha=0.05):
    return brentq(
        lambda s: poisson.cdf(n, s + background) / poisson.cdf(n, background) - alpha, 0, 100
    )


WIDTHS = {
    "asimov": {"asimov": (MU / SIGMA) ** 2},
    "negative": {"negative": (NEGATIVE, gaussian(NEGATIVE))},
    "parabola": {},
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("cl", [0.9, 0.95, 0.99])
def test_gaussian(width, cl):
    stat, settings = gaussian(MU), WIDTHS[width]
    limit, status = intervals.cls(MU, stat, cl, **settings)
    np.testing.assert_allclose(limit, cls_gaussian(X, 1 - cl), rtol=1e-3)
    guessed = (X <= 0) & (width == "parabola")
    expected = np.where(guessed, LimitStatus.EXTRAPOLATED, LimitStatus.FOUND)
    np.testing.assert_array_equal(status, expected)

    plain = SIGMA * (X + norm.ppf(cl))  # Cowan et al. 2011, eq. 61
    limit, status = intervals.clsb(MU, stat, cl, **settings)
    np.testing.assert_allclose(limit[plain > 0], plain[plain > 0], rtol=1e-3)
    assert np.isnan(limit[plain < 0]).all()
    assert (status[plain < 0] == LimitStatus.GRID_EDGE).all()

    limit, _ = intervals.power_constrained(MU, stat, cl, **settings)
    np.testing.assert_allclose(limit, np.maximum(plain, SIGMA * (norm.ppf(cl) - 1)), rtol=1e-3)
    limit, _ = intervals.power_constrained(MU, stat, cl, min_power=0.5, **settings)
    np.testing.assert_allclose(limit, np.maximum(plain, SIGMA * norm.ppf(cl)), rtol=1e-3)

    lower, upper, _ = intervals.feldman_cousins(MU, stat, cl, **settings)
    expected = SIGMA * np.array(gaussian_interval(X, cl))
    np.testing.assert_allclose(lower, expected[0], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(upper, expected[1], rtol=1e-3)


def test_gaussian_profile_and_credible():
    z = norm.ppf(0.95)
    bounded = np.where(X > 0, X + z, X + np.sqrt(X**2 + z**2))
    limit, status = intervals.profile(MU, gaussian(MU))
    np.testing.assert_allclose(limit, SIGMA * bounded, rtol=1e-3)
    assert (status == LimitStatus.FOUND).all()
    # truncated normal: the same as CLs
    limit, status = intervals.credible(MU, gaussian(MU))
    np.testing.assert_allclose(limit, cls_gaussian(X), rtol=1e-3)
    assert (status == LimitStatus.FOUND).all()


@pytest.mark.parametrize("background", [0.5, 3.0, 20.0])
@pytest.mark.parametrize("n", [0, 1, 5, 20])
def test_poisson_credible_is_cls(n, background):
    limit, _ = intervals.credible(MU, counts(MU, n, background))
    assert limit[0] == pytest.approx(cls_poisson(n, background), rel=1e-3)


def test_no_counts_exclude_three():
    # -ln 0.05 whatever the background; a linear profile has no width of its own
    stat = [2 * MU]
    assert intervals.credible(MU, stat)[0][0] == pytest.approx(2.9957, rel=1e-3)
    limit, status = intervals.cls(MU, stat)
    assert limit[0] == pytest.approx(2.9957, rel=1e-3)
    assert status[0] == LimitStatus.EXTRAPOLATED
    assert intervals.profile(MU, stat)[0][0] == pytest.approx(2.7055 / 2, rel=1e-3)


def stratified(mean, n_toy):
    """Poisson counts at equal steps of probability: toys without noise."""
    return poisson.ppf((np.arange(n_toy) + 0.5) / n_toy, mean)


@cache
def poisson_toys(mu, background, n_toy=8000, mean=None, one_sided=True):
    """q~ (or t~) of counts, by mu."""
    rows = []
    for value in mu:
        n = stratified((value if mean is None else mean) + background, n_toy)
        best = np.maximum(n - background, 0)

        def stat(s, n=n):
            return 2 * (s + background) - 2 * n * np.log(s + background)

        t = np.maximum(stat(value) - stat(best), 0)
        rows.append(np.where(best > value, 0, t) if one_sided else t)
    return np.round(rows, 9)


@pytest.mark.parametrize("n", [0, 2, 4])
def test_poisson_toys(n):
    background = 1.0
    mu = np.arange(0, 14, 0.1)
    stat = np.round(counts(mu, n, background), 9)
    best = max(n - background, 0.0)
    assert np.abs(mu - best).min() < 1e-9  # the profile's minimum is a node: no interpolation
    signal, null = (
        poisson_toys(tuple(mu), background),
        poisson_toys(tuple(mu), background, mean=0.0),
    )
    # exact ties between data and toys: lower the data's test statistic by a hair
    limit, status = intervals.cls_toys(mu, stat - 1e-6 * (mu > best), signal, null)
    assert status[0] == LimitStatus.FOUND
    assert limit[0] == pytest.approx(cls_poisson(n, background), rel=5e-3)


@pytest.mark.parametrize("n", [0, 1, 3, 6])
def test_feldman_cousins_toys_poisson(n):
    background = 3.0
    mu = np.append(0, np.geomspace(0.1, 20, 400))
    toys = poisson_toys(tuple(mu), background, 4000, one_sided=False)
    lower, upper, _ = intervals.feldman_cousins(mu, counts(mu, n, background), 0.9, toys=toys)
    expected = poisson_interval(n, background, 0.9, monotonic=False)
    assert lower[0] == pytest.approx(expected[0], abs=0.02)
    # critical values jump between nodes: half a step of 1.3 per cent
    assert upper[0] == pytest.approx(expected[1], rel=0.015)


def test_feldman_cousins_toys_gaussian():
    rng = np.random.default_rng(7)
    mu = np.append(0, np.geomspace(0.01, 10, 60))
    x = mu[:, None] + rng.normal(size=40000)
    m = mu[:, None]
    toys = np.where(x < 0, m**2 - 2 * m * x, (m - x) ** 2)
    data = np.array([-1.0, 0.0, 1.0, 3.0])
    lower, upper, _ = intervals.feldman_cousins(mu, (mu - data[:, None]) ** 2, 0.9, toys=toys)
    expected = gaussian_interval(data, 0.9)
    np.testing.assert_allclose(lower, expected[0], atol=0.03)
    np.testing.assert_allclose(upper, expected[1], atol=0.03)


@pytest.mark.parametrize("method", ["cls", "clsb", "profile", "power_constrained"])
def test_expected_is_the_limit_of_fluctuated_data(method):
    """Bands against the method applied to data that fluctuate by N sigma."""
    n_sigma = np.array([-1.0, 0.0, 1.0, 2.0])
    asimov = (MU / SIGMA) ** 2
    band, _ = intervals.expected(MU, [asimov], n_sigma, method=method)
    settings = {} if method == "profile" else {"asimov": asimov}
    limit, _ = getattr(intervals, method)(MU, gaussian(MU, n_sigma), **settings)
    np.testing.assert_allclose(band[:, 0], limit, rtol=1e-3)


def test_expected_feldman_cousins():
    n_sigma = np.array([-2.0, 0.0, 1.0])
    band, _ = intervals.expected(MU, [(MU / SIGMA) ** 2], n_sigma, 0.9, "feldman_cousins")
    expected = SIGMA * gaussian_interval(n_sigma, 0.9)[1]
    np.testing.assert_allclose(band[:, 0], expected, rtol=1e-3)


def test_cls_of_many_counts_is_close_to_exact():
    """A hundred background counts are nearly Gaussian."""
    background = 100.0
    n = np.array([85, 95, 100, 110])
    asimov = counts(MU, background, background)
    limit, _ = intervals.cls(MU, counts(MU, n, background), asimov=asimov)
    exact = [cls_poisson(k, background) for k in n]
    np.testing.assert_allclose(limit, exact, rtol=0.04)


def test_grid_edges_and_missing_rows():
    stat = np.vstack([gaussian(MU)[4], np.full(len(MU), np.nan), (MU / 1e6) ** 2])
    expected = [LimitStatus.FOUND, LimitStatus.NO_INFORMATION, LimitStatus.GRID_EDGE]
    for method in ("profile", "cls", "clsb", "power_constrained", "credible"):
        limit, status = getattr(intervals, method)(MU, stat)
        assert list(status)[1:] == expected[1:], method
        assert np.isfinite(limit[0]), method
        assert np.isnan(limit[1:]).all(), method
    lower, upper, status = intervals.feldman_cousins(MU, stat)
    assert list(status)[1:] == expected[1:]
    assert np.isnan(upper[1:]).all()


@pytest.mark.parametrize(
    ("strengths", "stat", "message"),
    [
        (MU[1:], np.zeros((1, len(MU) - 1)), "0 first"),
        (MU, np.zeros((1, 3)), "must have shape"),
        (np.append(MU, 1.0), np.zeros((1, len(MU) + 1)), "ascend"),
    ],
)
def test_bad_input(strengths, stat, message):
    with pytest.raises(ValueError, match=message):
        intervals.cls(strengths, stat)
