"""Test statistics, significance and Feldman-Cousins intervals against theory and print."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chi2, norm

from dmgammapy.estimators import significance, statistics, unified_intervals

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
TABLE_X = {  # Gaussian, by measured value: 68.27, 90, 95, 99 %
    -3.0: [(0.00, 0.04), (0.00, 0.26), (0.00, 0.42), (0.00, 0.80)],
    -2.0: [(0.00, 0.07), (0.00, 0.40), (0.00, 0.62), (0.00, 1.10)],
    -1.0: [(0.00, 0.27), (0.00, 0.81), (0.00, 1.10)],
    0.0: [(0.00, 1.00), (0.00, 1.64), (0.00, 1.96), (0.00, 2.58)],
    1.0: [(0.24, 2.00), (0.00, 2.64), (0.00, 2.96), (0.00, 3.58)],
    2.0: [(1.00, 3.00), (0.58, 3.64), (0.35, 3.96), (0.00, 4.58)],
    3.0: [(2.00, 4.00), (1.37, 4.64)],
}
LEVELS = (0.6827, 0.90, 0.95, 0.99)
PRINTED = 0.0055  # half of the last digit, and halves rounded either way


@pytest.mark.parametrize("x", TABLE_X)
def test_feldman_cousins_table_x(x):
    for cl, (low, high) in zip(LEVELS, TABLE_X[x], strict=False):
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


@pytest.mark.parametrize(("mu", "true"), [(1.0, 0.0), (1.0, 1.0), (0.4, 2.0), (3.0, 0.5)])
def test_distributions_against_simulated_gaussians(mu, true):
    """sigma = 1: best fits are normal, stat is (mu - x)^2."""
    n = 400001
    x = true + norm.ppf((np.arange(n) + 0.5) / n)
    stat = {"stat_mu": (mu - x) ** 2, "best": x, "stat_best": 0.0}
    tests = {
        "q_mu": (statistics.q_mu(mu=mu, **stat), (mu - true,)),
        "q_mu_tilde": (
            statistics.q_mu_tilde(mu=mu, stat_zero=x**2, **stat), (mu, mu - true)
        ),
        "t_mu": (statistics.t_mu(stat["stat_mu"], 0.0), (mu - true,)),
        "t_mu_tilde": (statistics.t_mu_tilde(stat_zero=x**2, **stat), (mu, mu - true)),
        "q0": (statistics.q0(x, 0.0, x**2), (true,)),
    }  # fmt: skip
    for name, (values, arguments) in tests.items():
        survival = getattr(statistics, f"survival_{name}")
        for q in (0.01, 0.3, 1.0, 2.7, 9.0):
            expected = np.mean(values >= q)
            assert survival(q, *arguments) == pytest.approx(expected, abs=1e-5), (name, q)


@pytest.mark.parametrize("distance", [0.0, 1.3, -0.5])
def test_densities_are_slopes_of_survival(distance):
    for low, high in ((0.2, 1.0), (1.0, 3.0), (3.0, 9.0)):
        part = quad(statistics.density_q_mu, low, high, args=(distance,))[0]
        ends = statistics.survival_q_mu(np.array([low, high]), distance)
        assert part == pytest.approx(ends[0] - ends[1], rel=1e-7)
        part = quad(statistics.density_q_mu_tilde, low, high, args=(1.0, distance))[0]
        ends = statistics.survival_q_mu_tilde(np.array([low, high]), 1.0, distance)
        assert part == pytest.approx(ends[0] - ends[1], rel=1e-7)


def test_cls_of_gaussian():
    # data at x: CLs = Phi(x - mu) / Phi(x)
    x, mu = np.array([-6.0, -1.0, 0.0, 1.0]), 2.0
    q = np.where(x < 0, mu**2 - 2 * mu * x, (mu - x) ** 2)
    log_clsb, log_clb = statistics.log_cls(q, mu**2)
    np.testing.assert_allclose(log_clsb, norm.logcdf(x - mu), rtol=1e-12)
    np.testing.assert_allclose(log_clb, norm.logcdf(x), rtol=1e-12)
    clsb, cls = statistics.expected_cls(mu**2, x)
    np.testing.assert_allclose(clsb, norm.cdf(x - mu), rtol=1e-9)
    np.testing.assert_allclose(cls, norm.cdf(x - mu) / norm.cdf(x), rtol=1e-9)


def test_width_of_asimov():
    assert statistics.sigma_from_asimov(2.0, 0.5, 9.0) == pytest.approx(0.5)


def test_local_significance():
    # 3 sigma one-sided is 1.3499e-3; half chi2
    assert significance.local_p_value(9.0) == pytest.approx(1.3499e-3, rel=1e-4)
    assert significance.local_p_value(4.0) == pytest.approx(chi2.sf(4.0, 1) / 2, rel=1e-12)
    p_value = significance.significance_to_p_value(4.2)
    assert significance.p_value_to_significance(p_value) == pytest.approx(4.2)


def test_trials():
    assert significance.trials_p_value(0.01, 50) == pytest.approx(1 - 0.99**50)
    assert significance.trials_p_value(1e-15, 3) == pytest.approx(3e-15)
    assert significance.trials_p_value(1.0, 3) == 1.0


def test_gross_vitells_against_simulated_scans():
    """Smooth Gaussian field along one parameter, strengths >= 0: TS = max(field, 0)^2."""
    rng = np.random.default_rng(3)
    n_toy, n_point, width = 6000, 400, 8.0
    kernel = np.exp(-0.5 * (np.arange(-40, 41) / width) ** 2)
    kernel /= np.sqrt((kernel**2).sum())
    noise = rng.normal(size=(n_toy, n_point + len(kernel) - 1))
    length = noise.shape[1]
    transformed = np.fft.rfft(noise, length) * np.fft.rfft(kernel, length)
    field = np.fft.irfft(transformed, length)[:, len(kernel) - 1 :]
    ts = np.maximum(field, 0) ** 2
    level = 0.5
    number = significance.count_upcrossings(ts, level).mean()
    # Rice: rate exp(-c / 2) / (2 pi sqrt(2) width) per point for this kernel
    rice = (n_point - 1) * np.exp(-level / 2) / (2 * np.pi * np.sqrt(2) * width)
    assert number == pytest.approx(rice, rel=0.02)
    largest = ts.max(axis=1)
    for c in (9.0, 12.0):
        expected = significance.gross_vitells_p_value(c, level, number)
        fraction = np.mean(largest >= c)
        error = np.sqrt(fraction / n_toy)
        assert abs(expected - fraction) < 3.5 * error + 0.5 * expected**2
    tail = significance.max_toys_p_value(16.0, largest, tail_from=8.0)
    assert tail == pytest.approx(significance.gross_vitells_p_value(16.0, level, number), rel=0.15)
    assert significance.max_toys_p_value(1e3, largest) == pytest.approx(1 / (n_toy + 1))


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match="1 of 3"):
        significance.count_upcrossings([0.0, np.nan, 1.0], 0.5)
    with pytest.raises(ValueError, match="at least 10"):
        significance.max_toys_p_value(5.0, [1.0, 2.0], tail_from=1.0)
    with pytest.raises(ValueError, match="min_power"):
        statistics.power_root(0.95, 0.01)
    with pytest.raises(ValueError, match="method"):
        statistics.expected_root(0.95, method="none")
    with pytest.raises(ValueError, match="whole number"):
        unified_intervals.poisson_interval(-1, 0.0, 0.9)
