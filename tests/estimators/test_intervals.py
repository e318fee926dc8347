"""Limits by every method against closed forms and brute force."""

from functools import cache

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import gamma, norm, poisson, truncnorm

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
    expected = np.where(guessed, LimitStatus.APPROXIMATE, LimitStatus.FOUND)
    np.testing.assert_array_equal(status, expected)

    plain = SIGMA * (X + norm.ppf(cl))
    limit, status = intervals.clsb(MU, stat, cl, **settings)
    np.testing.assert_allclose(limit[plain > 0], plain[plain > 0], rtol=1e-3)
    assert np.isnan(limit[plain < 0]).all()
    assert (status[plain < 0] == LimitStatus.ALL_EXCLUDED).all()

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
    assert status[0] == LimitStatus.APPROXIMATE
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
    """Counts are discrete: data and toys are often equal."""
    background = 1.0
    mu = np.arange(0, 14, 0.1)
    stat = np.round(counts(mu, n, background), 9)
    best = max(n - background, 0.0)
    assert np.abs(mu - best).min() < 1e-9  # the profile's minimum is a node: no interpolation
    signal, null = (
        poisson_toys(tuple(mu), background),
        poisson_toys(tuple(mu), background, mean=0.0),
    )
    limit, status = intervals.cls_toys(mu, stat, signal, null)
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


ROUNDING = 0.1  # of the printed per cents
BIAS = {  # per cent, in the docstring of `intervals`
    100: {"asimov": (-2.5, -1.6), "negative": (-3.0, -1.5), "parabola": (-1.6, -0.4)},
    10: {"asimov": (-8, -4.8), "negative": (-10.1, -4.3), "parabola": (-4.8, -0.7)},
    3: {"asimov": (-14.3, -8.1), "negative": (-17.3, 0), "parabola": (-7.5, 0)},
    1: {"asimov": (-22, -11.4), "negative": (-17.3, 0), "parabola": (-11.6, 0)},
    0.1: {"asimov": (-32.4, -18.7), "negative": (-15.5, 0), "parabola": (-15.5, 0)},
}


@pytest.mark.parametrize("background", BIAS)
def test_asymptotic_cls_is_too_strong_for_few_counts(background):
    n = np.array([max(0, round(background + k * background**0.5)) for k in (-2, -1, 0, 1, 2)])
    below = -(10 ** np.arange(np.log10(background * 0.99999), -5, -0.05))
    widths = {
        "asimov": {"asimov": counts(MU, background, background)},
        "negative": {"negative": (below, counts(below, n, background))},
        "parabola": {},
    }
    exact = np.array([cls_poisson(k, background) for k in n])
    for name, settings in widths.items():
        limit, _ = intervals.cls(MU, counts(MU, n, background), **settings)
        bias = 100 * (limit / exact - 1)
        assert bias.min() == pytest.approx(BIAS[background][name][0], abs=2 * ROUNDING), name
        assert bias.max() == pytest.approx(BIAS[background][name][1], abs=2 * ROUNDING), name


def test_no_counts_are_never_worse_than_documented():
    for background in (1e-3, 0.1, 1.0, 10.0):
        stat, asimov = [2 * MU], counts(MU, background, background)
        limit, _ = intervals.cls(MU, stat, asimov=asimov)
        assert -0.365 < limit[0] / -np.log(0.05) - 1 < 0
    # q_A = q = 2 mu without background: CLs = 2 Phi(-sqrt(2 mu))
    assert intervals.cls(MU, stat, asimov=[2 * MU])[0][0] == pytest.approx(
        norm.isf(0.025) ** 2 / 2, rel=1e-3
    )


def test_a_wall_is_no_minimum():
    """Two bins, the second without counts: the sum still falls where its background is gone."""
    wall = 2.0
    below = -np.geomspace(wall * 0.999, 1e-4, 150)
    rows = [counts(m, 0, wall) + counts(m, 9, 9.0) for m in (MU, below)]
    limit, status = intervals.cls(MU, rows[0], negative=(below, rows[1]))
    guess, _ = intervals.cls(MU, rows[0])
    assert status[0] == LimitStatus.APPROXIMATE
    assert limit[0] == guess[0]
    asimov = counts(MU, wall, wall) + counts(MU, 9, 9.0)
    limit, status = intervals.cls(MU, rows[0], asimov=asimov, negative=(below, rows[1]))
    assert status[0] == LimitStatus.FOUND


@pytest.mark.parametrize("negative", [NEGATIVE, np.linspace(-12, -0.5, 24)])
def test_rows_of_their_own(negative):
    """Strengths, negative strengths and simulated strengths of each row in its own units."""
    factor = np.array([1e-26, 3e-24, 2.0])
    x = np.array([-1.0, -2.0, -0.2])
    stat, below = gaussian(MU, x), gaussian(negative, x)
    below[2] = np.nan  # a row without
    common, _ = intervals.cls(MU, stat, negative=(negative, below))
    limit, status = intervals.cls(
        factor[:, None] * MU, stat, negative=(factor[:, None] * negative, below)
    )
    np.testing.assert_allclose(limit, factor * common, rtol=1e-9)
    np.testing.assert_allclose(common, cls_gaussian(x), rtol=2e-3)
    assert list(status) == [LimitStatus.FOUND, LimitStatus.FOUND, LimitStatus.APPROXIMATE]
    density = intervals.posterior(factor[:, None] * MU, stat)
    np.testing.assert_allclose(density * factor[:, None], intervals.posterior(MU, stat), rtol=1e-9)

    rng = np.random.default_rng(5)
    mu = np.linspace(0, 9, 46) * np.array([[1.0], [1.1], [0.9]])
    noise = SIGMA * rng.normal(size=(3, 1, 8000))

    def q(best):
        m, low = mu[..., None], np.maximum(best, 0)
        value = ((m - best) ** 2 - (low - best) ** 2) / SIGMA**2
        return np.where(best > m, 0, value), value

    (signal, t), (null, _) = q(mu[..., None] + noise), q(noise + 0 * mu[..., None])
    own = {"toy_strengths": factor[:, None] * mu}
    limit, _ = intervals.cls_toys(factor[:, None] * MU, stat, signal, null, **own)
    np.testing.assert_allclose(limit / factor, cls_gaussian(x), rtol=0.04)
    _, upper, _ = intervals.feldman_cousins(factor[:, None] * MU, stat, toys=t, **own)
    np.testing.assert_allclose(upper / factor, SIGMA * gaussian_interval(x, 0.95)[1], rtol=0.06)


def test_posterior():
    x = np.array([-2.0, 0.0, 1.5])
    density = intervals.posterior(MU, gaussian(MU, x))
    for row, value in zip(density, x, strict=True):
        expected = truncnorm.pdf(MU, -value, np.inf, loc=SIGMA * value, scale=SIGMA)
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-12)
    # counts without background: a gamma distribution
    stat = 2 * MU - 2 * 3 * np.log(np.maximum(MU, 1e-12))
    density = intervals.posterior(MU, [stat])[0]
    np.testing.assert_allclose(density[1:], gamma.pdf(MU[1:], 4), rtol=1e-4, atol=1e-9)


def test_asimov_data_that_end_early():
    """Nothing is concluded from where the Asimov data are not known."""
    asimov = (MU / SIGMA) ** 2
    stat = gaussian(MU, np.array([0.0, 1.0]))
    known = np.where(MU > 4.6, np.nan, asimov)
    limit, status = intervals.cls(MU, stat, asimov=known)
    assert list(status) == [LimitStatus.FOUND, LimitStatus.GRID_EDGE]
    assert limit[0] == pytest.approx(cls_gaussian(0.0), rel=1e-3)
    assert np.isnan(limit[1])


def test_narrow_minimum_between_nodes():
    """A peak much narrower than the steps, above all limits of other strengths."""
    mu = np.append(0, 10 ** np.arange(-1, 2, 0.05))
    best, width = 3.02, 0.02
    stat = [((mu - best) / width) ** 2]
    limit, status = intervals.cls(mu, stat)
    assert status[0] == LimitStatus.FOUND
    assert mu[mu < best][-1] < limit[0] < mu[mu > best][1]


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
