"""Density profiles against their formulas and published numbers."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose

from dmgammapy.targets import (
    BurkertProfile,
    EinastoProfile,
    FunctionProfile,
    GNFWProfile,
    IsothermalProfile,
    NFWProfile,
    TabulatedProfile,
)

GEV = u.Unit("GeV cm-3")
KPC = u.kpc


def test_milky_way_has_its_local_density():
    """0.4 GeV/cm3 at 8.5 kpc, which Ackermann et al. 2013, PRD 88, 082002 fix for all four."""
    profiles = [
        NFWProfile(0.3452 * GEV, 20 * KPC),
        EinastoProfile(0.08135 * GEV, 20 * KPC, alpha=0.17),
        IsothermalProfile(1.556 * GEV, 5 * KPC),
    ]
    for profile in profiles:
        assert_allclose(profile(8.5 * KPC).to_value(GEV), 0.4, rtol=1e-3)


def test_mass_densities_are_taken_times_c2():
    """1 Msun/kpc3 is 3.797e-8 GeV/cm3 (PDG: Msun = 1.988e30 kg, 1 GeV = 1.783e-27 kg)."""
    profile = NFWProfile(1e8 * u.Unit("Msun kpc-3"), 1 * KPC)
    expected = 1e8 * 1.98841e30 / 1.78266192e-27 / 3.0856776e21**3
    assert_allclose(profile.rho_s.to_value(GEV), expected, rtol=1e-5)


def test_double_power_law_holds_the_others():
    r = np.geomspace(1e-3, 100, 11) * KPC
    nfw = NFWProfile(3 * GEV, 0.5 * KPC)
    assert_allclose(GNFWProfile(3 * GEV, 0.5 * KPC)(r), nfw(r), rtol=1e-13)
    isothermal = GNFWProfile(3 * GEV, 0.5 * KPC, gamma=0, beta=2, alpha=2)
    assert_allclose(isothermal(r), IsothermalProfile(3 * GEV, 0.5 * KPC)(r), rtol=1e-13)


def test_values_at_the_scale_radius():
    assert_allclose(BurkertProfile(4 * GEV, 2 * KPC)(2 * KPC), 1 * GEV)
    assert_allclose(EinastoProfile(4 * GEV, 2 * KPC)(2 * KPC), 4 * GEV)
    # 1 + 1 to the power of (gamma - beta) / alpha = -1.75
    profile = GNFWProfile(4 * GEV, 2 * KPC, gamma=0.5, beta=4, alpha=2)
    assert_allclose(profile(2 * KPC), 4 * 2**-1.75 * GEV)


def test_slopes():
    assert NFWProfile(1 * GEV, 1 * KPC).inner_slope == 1
    assert GNFWProfile(1 * GEV, 1 * KPC, gamma=1.3).inner_slope == 1.3
    assert BurkertProfile(1 * GEV, 1 * KPC).inner_slope == 0
    function = FunctionProfile(lambda r: 1 * GEV * (r / KPC) ** -0.7, 1 * KPC)
    assert_allclose(function.inner_slope, 0.7, rtol=1e-9)


def test_core():
    profile = NFWProfile(3 * GEV, 0.5 * KPC, r_core=0.1 * KPC)
    assert profile.inner_slope == 0
    assert_allclose(profile([0, 0.05, 0.1] * KPC), NFWProfile(3 * GEV, 0.5 * KPC)(0.1 * KPC))
    assert NFWProfile(3 * GEV, 0.5 * KPC)(0 * KPC) == np.inf * GEV


def test_table_of_a_power_law_is_one_everywhere():
    r = np.array([0.01, 0.1, 0.5, 10]) * KPC
    profile = TabulatedProfile(r, 2 * GEV * (r / KPC) ** -1.2)
    inside = np.array([1e-5, 0.03, 9.9])
    assert_allclose(profile(inside * KPC).to_value(GEV), 2 * inside**-1.2, rtol=1e-12)
    assert profile(10.01 * KPC) == 0 * GEV


def test_table_of_an_nfw_is_close_to_it():
    nfw = NFWProfile(3 * GEV, 0.5 * KPC)
    r = np.geomspace(1e-3, 100, 101) * KPC
    between = np.geomspace(1e-3, 100, 1001) * KPC
    assert_allclose(TabulatedProfile(r, nfw(r))(between), nfw(between), rtol=2e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NFWProfile(3 * u.kpc, 1 * KPC), "rho_s must be a density"),
        (lambda: NFWProfile(3, 1 * KPC), "rho_s must be a density"),
        (lambda: NFWProfile(3 * GEV, 1 * u.s), "r_s must be a length"),
        (lambda: NFWProfile(3 * GEV, -1 * KPC), "NFWProfile: r_s must be one positive"),
        (lambda: NFWProfile([3, 4] * GEV, 1 * KPC), "rho_s must be one positive"),
        (lambda: NFWProfile(np.nan * GEV, 1 * KPC), "rho_s must be one positive"),
        (lambda: NFWProfile(3 * GEV, 1 * KPC, r_core=0 * KPC), "r_core must be one positive"),
        (lambda: GNFWProfile(3 * GEV, 1 * KPC, gamma=3), "0 <= gamma < 3"),
        (lambda: GNFWProfile(3 * GEV, 1 * KPC, gamma=1, beta=0.5), "beta >= gamma"),
        (lambda: GNFWProfile(3 * GEV, 1 * KPC, alpha="1"), "alpha must be a number"),
        (lambda: EinastoProfile(3 * GEV, 1 * KPC, alpha=0), "alpha must be one positive"),
        (lambda: TabulatedProfile([1, 2] * KPC, [2, 1] * GEV), "at least three rows"),
        (lambda: TabulatedProfile([1, 3, 2] * KPC, [3, 2, 1] * GEV), "row 2 does not"),
        (lambda: TabulatedProfile([1, 2, 3] * KPC, [3, 0, 1] * GEV), "got 0.0 in row 1"),
        (lambda: FunctionProfile(lambda r: 1.0, 1 * KPC), "density"),
        (lambda: FunctionProfile(lambda r: r / KPC * GEV, 1 * KPC), "falls with the radius"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_function_must_be_one():
    with pytest.raises(TypeError, match="HaloProfile or a function"):
        FunctionProfile(3, 1 * KPC)
