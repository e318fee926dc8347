"""What the plot of photon yields draws."""

import astropy.units as u
import numpy as np
import pytest

from dmgammapy.visualization import plot_yields

ENERGY = np.geomspace(1e-4, 100, 61) * u.GeV  # ten per decade
FLAT = 3 * u.GeV / ENERGY**2  # E2 dN/dE = 3 GeV


def test_energy_squared_times_the_yield():
    ax = plot_yields(ENERGY.to("MeV"), {"b": FLAT.to("MeV-1"), "W": 0 * FLAT})
    b, w = ax.get_lines()
    np.testing.assert_allclose(b.get_ydata(), 3)
    np.testing.assert_allclose(b.get_xdata(), ENERGY.value)
    assert np.isnan(w.get_ydata()).all()
    assert ax.get_ylabel() == r"$E^2\,\mathrm{d}N/\mathrm{d}E$ [GeV]"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["b", "W"]


def test_the_picture_shows_four_decades_and_no_empty_side():
    falling = 1 / u.GeV * (ENERGY.value / 100)  # E2 dN/dE = E3 / 100: 1e4 at the end
    ax = plot_yields(ENERGY, {"b": falling})
    np.testing.assert_allclose(ax.get_ylim(), [1, 3e4])
    # E3 = 100 at 4.64 GeV: the energy before is 3.98
    np.testing.assert_allclose(ax.get_xlim(), [10**0.6, 100])


def test_a_line_leaves_the_picture_but_a_wide_spectrum_does_not():
    line = np.where(ENERGY.value > 90, 1.0, 1e-9) / u.GeV
    np.testing.assert_allclose(plot_yields(ENERGY, {"b": FLAT, "line": line}).get_ylim()[1], 9)
    assert plot_yields(ENERGY, {"line": line}).get_ylim()[1] == pytest.approx(3e4)
    ax = plot_yields(ENERGY, {"b": FLAT, "c": FLAT, "d": 1000 * FLAT})
    assert ax.get_ylim()[1] == pytest.approx(9000)


def test_bad_input():
    with pytest.raises(ValueError, match="at least one spectrum"):
        plot_yields(ENERGY, {})
    with pytest.raises(ValueError, match="ascend"):
        plot_yields(ENERGY[::-1], {"b": FLAT})
    with pytest.raises(ValueError, match=r"dnde\['b'\] must have the shape"):
        plot_yields(ENERGY, {"b": FLAT[:3]})
