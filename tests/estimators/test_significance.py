"""Significance against the trials formula, Rice's formula and simulated scans."""

import numpy as np
import pytest
from scipy.stats import binom, chi2

from dmgammapy.estimators import significance

# a smooth Gaussian field along the mass: squared exponential correlation of this length
N_POINT, WIDTH = 400, 8.0


def smooth_scans(n_toy, seed, n_channel=1):
    """TS of scans, shape (n_toy, n_channel, N_POINT), strengths >= 0: max(field, 0)^2."""
    rng = np.random.default_rng(seed)
    kernel = np.exp(-0.5 * (np.arange(-40, 41) / WIDTH) ** 2)
    kernel /= np.sqrt((kernel**2).sum())
    length = N_POINT + len(kernel) - 1
    noise = rng.normal(size=(n_toy, n_channel, length))
    transformed = np.fft.rfft(noise) * np.fft.rfft(kernel, length)
    field = np.fft.irfft(transformed, length)[..., len(kernel) - 1 :]
    return np.maximum(field, 0) ** 2


def rice(level):
    """Expected upcrossings: rate exp(-c / 2) / (2 pi sqrt(2) WIDTH) per point for this kernel."""
    return (N_POINT - 1) * np.exp(-level / 2) / (2 * np.pi * np.sqrt(2) * WIDTH)


def test_local_significance():
    # 3 sigma one-sided is 1.3499e-3; half chi2
    assert significance.local_p_value(9.0) == pytest.approx(1.3499e-3, rel=1e-4)
    assert significance.local_p_value(4.0) == pytest.approx(chi2.sf(4.0, 1) / 2, rel=1e-12)
    assert significance.local_p_value(1e-12) == pytest.approx(0.5, abs=1e-6)
    p_value = significance.significance_to_p_value(4.2)
    assert significance.p_value_to_significance(p_value) == pytest.approx(4.2)


def test_unknown_stays_unknown():
    """NaN must not become the best or the worst possible p-value."""
    toys = np.arange(100.0)
    assert np.isnan(significance.local_p_value(np.nan))
    p_value = significance.max_toys_p_value([np.nan, 50.0], toys, tail_from=80)
    np.testing.assert_allclose(p_value, [np.nan, 51 / 101])
    assert np.isnan(significance.max_toys_interval(np.nan, toys)).all()
    assert np.isnan(significance.blank_field_correction(np.nan, toys)).all()


def test_trials():
    assert significance.trials_p_value(0.01, 50) == pytest.approx(1 - 0.99**50)
    assert significance.trials_p_value(1e-15, 3) == pytest.approx(3e-15)
    assert significance.trials_p_value(1.0, 3) == 1.0


@pytest.mark.parametrize(("count", "n"), [(0, 30), (1, 30), (12, 30), (30, 30)])
def test_binomial_interval(count, n):
    """At its ends the count is in a tail of (1 - CL) / 2, by the binomial distribution."""
    low, high = significance.binomial_interval(count, n, cl=0.9)
    if count:
        assert binom.sf(count - 1, n, low) == pytest.approx(0.05)
    else:
        assert low == 0
    if count < n:
        assert binom.cdf(count, n, high) == pytest.approx(0.05)
    else:
        assert high == 1


def test_gross_vitells_against_rice_and_simulated_scans():
    n_toy, level = 6000, 0.5
    ts = smooth_scans(n_toy, seed=3)[:, 0]
    number = significance.count_upcrossings(ts, level).mean()
    assert number == pytest.approx(rice(level), rel=0.02)
    # the rate falls as the formula says
    high = significance.count_upcrossings(ts, 6.0).mean()
    assert high == pytest.approx(number * np.exp(-0.5 * (6.0 - level)), rel=0.03)
    largest = ts.max(axis=1)
    for c in (9.0, 12.0):
        expected = significance.gross_vitells_p_value(c, level, number)
        assert expected == pytest.approx(chi2.sf(c, 1) / 2 + rice(c), rel=0.02)
        fraction = np.mean(largest >= c)
        error = np.sqrt(fraction / n_toy)
        assert abs(expected - fraction) < 3.5 * error + 0.5 * expected**2


def test_gross_vitells_with_more_degrees_of_freedom():
    """Rice's rate of chi2_2 at a level c goes as sqrt(c) exp(-c / 2)."""
    crossings = [
        significance.gross_vitells_p_value(c, 1.0, 0.1, n_dof=2, bounded=False) - chi2.sf(c, 2)
        for c in (4.0, 9.0)
    ]
    np.testing.assert_allclose(crossings, 0.1 * np.sqrt([4, 9]) * np.exp([-1.5, -4.0]))


def test_tail_of_toys_continues_the_scans():
    """16 is beyond all 400 toys; a chance known from Rice's formula."""
    largest = smooth_scans(400, seed=5)[:, 0].max(axis=1)
    expected = chi2.sf(16.0, 1) / 2 + rice(16.0)  # 1.9e-3
    start = significance.tail_level(largest)
    assert np.count_nonzero(largest >= start) == 40
    p_value = significance.max_toys_p_value(16.0, largest, tail_from=start)
    low, high = significance.max_toys_interval(16.0, largest, tail_from=start)
    # 40 toys above the level: 16 %
    assert (high - low) / (2 * p_value) == pytest.approx(1 / np.sqrt(40), rel=0.15)
    assert low - (high - low) / 2 < expected < high + (high - low) / 2
    # continuous where it begins
    edge = significance.max_toys_p_value([start, start + 1e-9], largest, tail_from=start)
    np.testing.assert_allclose(edge, 41 / 401, rtol=1e-8)


def test_tail_is_poisson_even_when_anchored_low():
    """Unlike a plain exponential it is right from where half of all toys are above."""
    rng = np.random.default_rng(8)
    # peaks with an exponential height above 3, ten on average: P = 1 - exp(-10 exp(-(c - 3) / 2))
    largest = np.array([rng.exponential(2.0, n).max(initial=-3) + 3 for n in rng.poisson(10, 4000)])
    start = significance.tail_level(largest, fraction=0.5)
    p_value = significance.max_toys_p_value(17.0, largest, tail_from=start)
    assert p_value == pytest.approx(-np.expm1(-10 * np.exp(-7)), rel=0.05)


def test_toys_are_never_certain():
    toys = np.linspace(0, 10, 99)
    assert significance.max_toys_p_value(1e3, toys) == pytest.approx(1 / 100)
    assert significance.max_toys_p_value(0.0, toys) == 1
    low, high = significance.max_toys_interval(1e3, toys)
    assert low == 0
    assert (1 - high) ** 99 == pytest.approx((1 - 0.6827) / 2)


def test_blank_fields_where_theory_holds():
    """TS of half chi2_1: what theory says within the fields, never less beyond them."""
    rng = np.random.default_rng(11)
    ts = np.array([2.0, 9.0, 25.0])
    expected = significance.local_p_value(ts)
    inside, ratios = [], []
    for _ in range(200):
        blank = np.maximum(rng.normal(size=500), 0) ** 2
        p_value, low, high = significance.blank_field_correction(ts, blank)
        inside.append((low <= expected) & (expected <= high))
        ratios.append(p_value / expected)
    assert np.mean(inside, axis=0)[0] > 0.68 - 2 * np.sqrt(0.68 * 0.32 / 200)
    median = np.median(ratios, axis=0)
    assert median[0] == pytest.approx(1, abs=0.03)
    # 0.1 exp(-(TS - 1.642) / 2) over the true value; 1.642 is where half chi2_1 leaves 0.1
    scale_two = 0.1 * np.exp(-0.5 * (ts[1:] - 1.6424)) / expected[1:]
    np.testing.assert_allclose(median[1:], scale_two, rtol=0.15)
    np.testing.assert_allclose(scale_two, [1.9, 2.9], rtol=0.05)


def test_blank_fields_with_a_heavy_tail():
    """Survival exp(-TS / 4) by construction, where half chi2_1 would say 1.1e-6 at TS = 22.5."""
    blank = np.random.default_rng(12).exponential(4.0, size=3000)
    p_value, low, high = significance.blank_field_correction([3.0, 22.5, 40.0], blank)
    expected = np.exp(-np.array([3.0, 22.5, 40.0]) / 4)
    error = 0.5 * (high - low)
    np.testing.assert_array_less(np.abs(p_value - expected), 2 * error)
    assert error[2] / p_value[2] < 0.5
    assert significance.local_p_value(22.5) < 1e-3 * p_value[1]


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match="1 of 3"):
        significance.count_upcrossings([0.0, np.nan, 1.0], 0.5)
    with pytest.raises(ValueError, match="at least 10"):
        significance.max_toys_p_value(5.0, [1.0, 2.0], tail_from=1.0)
    with pytest.raises(ValueError, match="toys_max must be finite and at least one, 1 of 2"):
        significance.max_toys_p_value(5.0, [1.0, np.nan])
    with pytest.raises(ValueError, match="0 of 0"):
        significance.max_toys_p_value(5.0, [])
    with pytest.raises(ValueError, match="level must be > 0"):
        significance.gross_vitells_p_value(5.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="12 blank fields; at least 20"):
        significance.blank_field_correction(5.0, np.ones(12))
    with pytest.raises(ValueError, match="3 of 30 blank fields have TS > 0"):
        significance.blank_field_correction(9.0, [0.0] * 27 + [1, 2, 3])
    with pytest.raises(ValueError, match="not all alike"):
        significance.blank_field_correction(9.0, np.ones(30))


def test_blank_fields_equal_but_for_rounding():
    """60 of 300 fields have the TS observed."""
    blank = np.where(np.arange(300) < 60, 6.0 * (1 - 1e-10), 0.0)
    p_value = significance.blank_field_correction(6.0, blank)[0]
    assert p_value == pytest.approx(61 / 301)
    assert significance.max_toys_p_value(6.0, blank) == pytest.approx(61 / 301)
    assert significance.max_toys_p_value(6.001, blank) == pytest.approx(1 / 301)
    assert significance.count_at_least(blank, [np.inf, 0.0]).tolist() == [0, 300]
