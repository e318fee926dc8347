"""Test statistics and their distributions against theory."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from dmgammapy.estimators import statistics


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


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match="min_power"):
        statistics.power_root(0.95, 0.01)
    with pytest.raises(ValueError, match="method"):
        statistics.expected_root(0.95, method="none")
    with pytest.raises(ValueError, match="cl must lie"):
        statistics.expected_root(95)
