"""Thermal relic cross-section: against the paper's text and a freeze-out calculation."""

import astropy.units as u
import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.optimize import brentq

from dmgammapy.visualization import thermal_relic

PLANCK_MASS = 1.220890e19  # GeV
GEV_MINUS_2 = 1.16733e-17  # cm3 s-1
ENTROPY_TODAY = 2891.2  # cm-3
CRITICAL_DENSITY = 1.05371e-5  # GeV cm-3, for h = 1
OMEGA_H2 = 0.1120  # of the paper

# (mass [GeV], degrees of freedom, +1 boson or -1 fermion) above the QCD transition
PARTICLES = [
    (0, 2 + 16, 1), (91.19, 3, 1), (80.38, 6, 1), (125.2, 1, 1),
    (0, 6, -1), (0.000511, 4, -1), (0.10566, 4, -1), (1.777, 4, -1),
    (0.002, 12, -1), (0.005, 12, -1), (0.095, 12, -1), (1.28, 12, -1), (4.2, 12, -1),
    (172.6, 12, -1),
]  # fmt: skip


def degrees_of_freedom(temperature):
    """g of energy and of entropy of an ideal gas of the Standard Model's particles."""
    energy = entropy = 0.0
    for mass, g, sign in PARTICLES:
        x = mass / temperature
        if x > 40:
            continue

        def occupied(q, x=x, sign=sign):
            return q**2 / (np.exp(np.hypot(q, x)) - sign)

        rho = quad(lambda q, f=occupied, x=x: f(q) * np.hypot(q, x), 1e-8, 60)[0]
        pressure = quad(lambda q, f=occupied, x=x: f(q) * q**2 / np.hypot(q, x) / 3, 1e-8, 60)[0]
        energy += g * 15 / np.pi**4 * rho
        entropy += g * 45 / (4 * np.pi**4) * (rho + pressure)
    return energy, entropy


def omega_h2(mass, sigmav):
    """Relic density of a Majorana particle by the Boltzmann equation for Y = n / s."""
    x_grid = np.geomspace(10, 1000, 25)
    g_energy, g_entropy = np.array([degrees_of_freedom(mass / x) for x in x_grid]).T
    # d ln T / d ln s corrects for the entropy of particles that disappear
    slope = np.gradient(np.log(g_entropy), np.log(x_grid))
    sqrt_g = g_entropy / np.sqrt(g_energy) * (1 - slope / 3)
    factor = np.sqrt(np.pi / 45) * PLANCK_MASS * mass * sigmav / GEV_MINUS_2

    def equilibrium(x):
        density = 2 * (x / (2 * np.pi)) ** 1.5 * np.exp(-x) * (1 + 15 / (8 * x))
        return density / (2 * np.pi**2 / 45 * np.interp(x, x_grid, g_entropy))

    def right(log_x, log_y):
        x, y = np.exp(log_x), np.exp(log_y[0])
        rate = factor * np.interp(x, x_grid, sqrt_g) / x
        return [-rate * (y - equilibrium(x) ** 2 / y)]

    start = np.log(x_grid[0])
    solution = solve_ivp(
        right, (start, np.log(x_grid[-1])), [np.log(equilibrium(x_grid[0]))],
        method="Radau", rtol=1e-6, atol=1e-8,
    )  # fmt: skip
    final = np.exp(solution.y[0, -1])
    # what still annihilates afterwards, at constant g
    final = 1 / (1 / final + factor * sqrt_g[-1] / x_grid[-1])
    return mass * final * ENTROPY_TODAY / CRITICAL_DENSITY


@pytest.mark.parametrize("mass", [100, 1000, 10_000])
def test_boltzmann_equation(mass):
    expected = brentq(lambda s: omega_h2(mass, s * 1e-26) - OMEGA_H2, 1.5, 3.5, xtol=1e-3)
    assert thermal_relic(mass * u.GeV).to_value("1e-26 cm3 s-1") == pytest.approx(
        expected, rel=0.05
    )


def test_abstract_of_the_paper():
    """Steigman et al. 2012: at most 5.2e-26 around 0.3 GeV, 2.2e-26 above 10 GeV."""
    mass = np.geomspace(0.1, 1e4, 500) * u.GeV
    sigmav = thermal_relic(mass).to_value("cm3 s-1")
    assert sigmav.max() == pytest.approx(5.2e-26, rel=0.03)
    assert mass[sigmav.argmax()].value == pytest.approx(0.3, rel=0.2)
    np.testing.assert_allclose(sigmav[mass > 20 * u.GeV], 2.2e-26, rtol=0.1)


def test_units_and_range():
    assert thermal_relic(0.1 * u.TeV).to_value("m3 s-1") == pytest.approx(2.2e-32, rel=1e-12)
    assert np.isnan(thermal_relic([0.09, 2e5] * u.GeV)).all()
    assert thermal_relic(np.full((2, 3), 10) * u.GeV).shape == (2, 3)
    # log-log between the nodes at 10 and 10^1.25 GeV
    middle = thermal_relic(10**1.125 * u.GeV).value
    assert middle == pytest.approx(np.sqrt(2.5e-26 * 2.3e-26), rel=1e-12)
