"""Lines and boxes against their formulas."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose

from dmgammapy.spectra import BoxSpectra, LineSpectra, read_spectra


def test_line_energies():
    """Two photons at E = m; one at m - m_Z^2 / 4m, which is 79.2 GeV for 100 GeV."""
    line = read_spectra("line")
    edges = [50, 79, 80, 99, 101] * u.GeV
    mass = 100 * u.GeV
    assert line.integrate(edges, mass, ["gamma", "aZ"]).value.tolist() == [
        [0, 0, 0, 2],
        [0, 1, 0, 0],
    ]
    energy = line.integrate(edges, mass, ["gamma", "aZ"], norm_type="eflux").to_value("GeV")
    assert_allclose(energy[:, [3, 1]], [[200, 0], [0, 100 - 91.19**2 / 400]])


def test_line_of_decay():
    line = read_spectra("line")
    values = line.integrate([40, 60, 110] * u.GeV, 100 * u.GeV, "gamma", "decay")
    assert values.value.tolist() == [2, 0]


def test_line_on_an_edge_counts_once_below():
    line = read_spectra("line")
    values = line.integrate([10, 100, 1000] * u.GeV, 100 * u.GeV, "gamma")
    assert values.value.tolist() == [2, 0]


def test_line_threshold_of_the_z():
    masses = [45, 46, 1e6] * u.GeV
    assert LineSpectra().is_valid(masses, ["gamma", "aZ"]).tolist() == [
        [True] * 3,
        [False, True, True],
    ]


def test_a_line_has_no_dnde():
    with pytest.raises(ValueError, match="integrate"):
        LineSpectra().dnde(100 * u.GeV, 100 * u.GeV, "gamma")
    with pytest.raises(ValueError, match="integrate"):
        LineSpectra().integrate([1, 100] * u.GeV, 100 * u.GeV, "gamma", norm_type="dnde")


@pytest.mark.parametrize("ratio", [0.1, 0.6, 0.999])
def test_box(ratio):
    """Four photons with the energy of both dark matter particles, flat in energy."""
    box = BoxSpectra(mass_ratio=ratio)
    mass = 1 * u.TeV
    assert_allclose(box.integrate([0.01, 2000] * u.GeV, mass, "box"), 4)
    energy = box.integrate([0.01, 2000] * u.GeV, mass, "box", norm_type="eflux")
    assert_allclose(energy.to_value("TeV"), 2)
    width = 1000 * np.sqrt(1 - ratio**2)
    assert_allclose(box.dnde(500 * u.GeV, mass, "box").value, 4 / width)
    half = box.integrate([500, 500 + width / 4] * u.GeV, mass, "box")
    assert_allclose(half, 1)
    low, high = 500 - width / 2, 500 + width / 2
    assert (box.dnde([low - 0.1, high + 0.1] * u.GeV, mass, "box") == 0).all()


@pytest.mark.parametrize("ratio", [0, 1, -0.5, 2, np.nan, None, "wide"])
def test_wrong_ratios(ratio):
    with pytest.raises(ValueError, match="mass_ratio must be a number between 0 and 1"):
        BoxSpectra(mass_ratio=ratio)


@pytest.mark.parametrize("mass", [0, -1, np.nan, np.inf])
def test_wrong_masses(mass):
    with pytest.raises(ValueError, match="outside of the table 'line'"):
        LineSpectra().integrate([1, 2] * u.GeV, mass * u.GeV, "gamma")


def test_other_channels_are_refused():
    with pytest.raises(ValueError, match="'b' is not in the spectra 'line'; there are gamma, aZ"):
        LineSpectra().integrate([1, 2] * u.GeV, 10 * u.GeV, "bb")
