"""Feldman-Cousins intervals against print and a construction from scratch."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm, poisson

from dmgammapy.estimators import unified_intervals

# Feldman & Cousins 1998, upper and lower ends in print. Poisson, by background (rows: counts)
TABLE_IV = {  # 90 %
    0.0: [(0.00, 2.44), (0.11, 4.36), (0.53, 5.91), (1.10, 7.42), (1.47, 8.60), (1.84, 9.99)],
    0.5: [(0.00, 1.94), (0.00, 3.86), (0.03, 5.41), (0.60, 6.92), (1.17, 8.10), (1.53, 9.49)],
    1.0: [(0.00, 1.61), (0.00, 3.36), (0.00, 4.91), (0.10, 6.42), (0.74, 7.60), (1.25, 8.99)],
    1.5: [(0.00, 1.33), (0.00, 2.91), (0.00, 4.41), (0.00, 5.92), (0.24, 7.10), (0.93, 8.49)],
    2.0: [(0.00, 1.26), (0.00, 2.53), (0.00, 3.91), (0.00, 5.42), (0.00, 6.60), (0.43, 7.99)],
    2.5: [(0.00, 1.18), (0.00, 2.19), (0.00, 3.45), (0.00, 4.92), (0.00, 6.10), (0.00, 7.49)],
    3.0: [(0.00, 1.08), (0.00, 1.88), (0.00, 3.04), (0.00, 4.42), (0.00, 5.60), (0.00, 6.99)],
    3.5: [(0.00, 1.06), (0.00, 1.59), (0.00, 2.67), (0.00, 3.95), (0.00, 5.10), (0.00, 6.49)],
    4.0: [(0.00, 1.01), (0.00, 1.39), (0.00, 2.33), (0.00, 3.53), (0.00, 4.60), (0.00, 5.99)],
    5.0: [(0.00, 0.98), (0.00, 1.22), (0.00, 1.73), (0.00, 2.78), (0.00, 3.60), (0.00, 4.99)],
}
NO_BACKGROUND = {  # first columns of Tables II, VI and VIII
    0.6827: [(0.00, 1.29), (0.37, 2.75), (0.74, 4.25), (1.10, 5.30), (2.34, 6.78), (2.75, 7.81),
             (3.82, 9.28), (4.25, 10.30), (5.30, 11.32), (6.33, 12.79), (6.78, 13.81)],
    0.95: [(0.00, 3.09), (0.05, 5.14), (0.36, 6.72), (0.82, 8.25), (1.37, 9.76), (1.84, 11.26),
           (2.21, 12.75), (2.58, 13.81), (2.94, 15.29), (4.36, 16.77), (4.75, 17.82)],
    0.99: [(0.00, 4.74), (0.01, 6.91), (0.15, 8.71), (0.44, 10.47), (0.82, 12.23), (1.28, 13.75),
           (1.79, 15.27), (2.33, 16.77), (2.91, 18.27)],
}  # fmt: skip
# 68.27 % with background 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8: upper ends, by counts
TABLE_II_UPPER = {
    0: [0.80, 0.54, 0.41, 0.41, 0.25, 0.25, 0.21, 0.21, 0.19, 0.18, 0.17, 0.17],
    1: [2.25, 1.75, 1.32, 0.97, 0.68, 0.50, 0.50, 0.36, 0.30, 0.24, 0.21, 0.20],
    4: [6.28, 5.78, 5.28, 4.78, 4.28, 3.78, 3.28, 2.78, 1.90, 1.22, 0.69, 0.60],
    5: [7.31, 6.81, 6.31, 5.81, 5.31, 4.81, 4.31, 3.81, 2.81, 1.92, 1.23, 0.99],
}
TABLE_II_LOWER = {
    3: [0.80, 0.54, 0.32],
    4: [1.84, 1.34, 0.91, 0.44, 0.25],
    5: [2.25, 1.75, 1.32, 0.97, 0.68, 0.45, 0.20],
    7: [3.75, 3.25, 2.75, 2.25, 1.80, 1.41, 1.09, 0.81, 0.32],
}
BACKGROUNDS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0)
TABLE_X = {  # bounded Gaussian, by measured value: 68.27, 90, 95, 99 %
    -2.3: [(0.00, 0.05), (0.00, 0.34), (0.00, 0.54), (0.00, 0.99)],
    0.5: [(0.02, 1.50), (0.00, 2.14), (0.00, 2.46), (0.00, 3.08)],
    1.3: [(0.42, 2.30), (0.02, 2.94), (0.00, 3.26), (0.00, 3.88)],
    1.7: [(0.72, 2.70), (0.38, 3.34), (0.06, 3.66), (0.00, 4.28)],
    2.4: [(1.40, 3.40), (0.87, 4.04), (0.69, 4.36), (0.07, 4.98)],
}
LEVELS = (0.6827, 0.90, 0.95, 0.99)
PRINTED = 0.0055  # half of the last digit, and halves rounded either way


@pytest.mark.parametrize("x", TABLE_X)
def test_feldman_cousins_table_x(x):
    for cl, (low, high) in zip(LEVELS, TABLE_X[x], strict=True):
        lower, upper = unified_intervals.gaussian_interval(x, cl)
        assert lower == pytest.approx(low, abs=PRINTED)
        assert upper == pytest.approx(high, abs=PRINTED)


def test_gaussian_interval_switches_at_1_28():
    # FC section IV B: at 90 % the lower end leaves zero at x = 1.28
    lower, _ = unified_intervals.gaussian_interval([1.2815, 1.2817], 0.9)
    assert lower[0] == 0
    assert lower[1] > 0


@pytest.mark.parametrize("mu", [0.1, 0.7, 2.0])
def test_gaussian_interval_covers_exactly(mu):
    x = norm.ppf((np.arange(20000) + 0.5) / 20000, loc=mu)
    lower, upper = unified_intervals.gaussian_interval(x, 0.9)
    assert np.mean((lower <= mu) & (mu <= upper)) == pytest.approx(0.9, abs=2e-4)


@pytest.mark.parametrize("background", TABLE_IV)
def test_feldman_cousins_table_iv(background):
    for n, (low, high) in enumerate(TABLE_IV[background]):
        lower, upper = unified_intervals.poisson_interval(n, background, 0.90)
        assert lower == pytest.approx(low, abs=PRINTED)
        assert upper == pytest.approx(high, abs=PRINTED)


@pytest.mark.parametrize("cl", NO_BACKGROUND)
def test_feldman_cousins_tables_without_background(cl):
    for n, (low, high) in enumerate(NO_BACKGROUND[cl]):
        lower, upper = unified_intervals.poisson_interval(n, 0.0, cl)
        assert lower == pytest.approx(low, abs=PRINTED)
        assert upper == pytest.approx(high, abs=PRINTED)


@pytest.mark.parametrize("n", TABLE_II_UPPER)
def test_feldman_cousins_table_ii_upper(n):
    for background, high in zip(BACKGROUNDS, TABLE_II_UPPER[n], strict=True):
        upper = unified_intervals.poisson_interval(n, background, 0.6827)[1]
        assert upper == pytest.approx(high, abs=PRINTED), background


@pytest.mark.parametrize("n", TABLE_II_LOWER)
def test_feldman_cousins_table_ii_lower(n):
    for background, low in zip(BACKGROUNDS, TABLE_II_LOWER[n], strict=False):
        lower = unified_intervals.poisson_interval(n, background, 0.6827, monotonic=False)[0]
        assert lower == pytest.approx(low, abs=PRINTED), background


def acceptance(mu, cl):
    """Measured values accepted at a mean: equal likelihood ratios at both ends, by quadratics."""

    def left(right):  # (x - mu)^2 on the right equals that of x >= 0, or mu^2 - 2 x mu of x < 0
        distance = right - mu
        return mu - distance if distance <= mu else (mu**2 - distance**2) / (2 * mu)

    right = brentq(lambda x: norm.cdf(x - mu) - norm.cdf(left(x) - mu) - cl, mu, mu + 9, xtol=1e-13)
    return left(right), right


@pytest.mark.parametrize("cl", LEVELS)
def test_gaussian_interval_against_a_belt(cl):
    """All rows of Table X, -3 to 3.1, by inverting the belt of accepted values."""
    x = np.round(np.arange(-3, 3.15, 0.1), 1)
    lower, upper = unified_intervals.gaussian_interval(x, cl)
    for i, value in enumerate(x):
        high = brentq(lambda mu, v=value: acceptance(mu, cl)[0] - v, 1e-4, 12, xtol=1e-12)
        assert upper[i] == pytest.approx(high, abs=1e-8)
        if value <= norm.ppf(cl):
            assert lower[i] == 0
        else:
            low = brentq(lambda mu, v=value: acceptance(mu, cl)[1] - v, 1e-4, value, xtol=1e-12)
            assert lower[i] == pytest.approx(low, abs=1e-8)


def test_poisson_p_value_against_ordered_sums():
    """Counts taken in the order of their likelihood ratio, one by one."""
    background, mu = 3.0, 4.2
    n = np.arange(60)
    best = np.maximum(n - background, 0)
    ratio = poisson.pmf(n, mu + background) / poisson.pmf(n, best + background)
    for observed in (0, 3, 7, 12):
        expected = poisson.pmf(n[ratio <= ratio[observed]], mu + background).sum()
        found = unified_intervals.poisson_p_value(mu, observed, background)[0]
        assert found == pytest.approx(expected, rel=1e-9)


def test_toys_that_tie_count():
    toys = np.array([[0.3, 0.1 + 0.2, 0.3 + 1e-12, 0.2]])
    assert unified_intervals.toys_p_value([0.1 + 0.2], toys)[0] == 0.75


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match="whole number"):
        unified_intervals.poisson_interval(-1, 0.0, 0.9)
    with pytest.raises(ValueError, match="cl must lie"):
        unified_intervals.gaussian_interval(0.0, 90)
