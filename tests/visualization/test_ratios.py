"""Ratios of limits, by hand."""

import astropy.units as u
import numpy as np
import pytest

from dmgammapy.visualization import plot_limit_ratios, plot_limits

CS = u.Unit("cm3 s-1")
MASS = [10, 100, 1000] * u.GeV
CURVES = {
    "profile": (MASS, [1e-26, 4e-26, np.nan] * CS),
    "fixed": (MASS.to("TeV"), [5e-33, 1e-32, 1e-32] * u.Unit("m3 s-1")),
}


def test_ratios_to_the_first_or_another():
    first, second = plot_limit_ratios(CURVES).get_lines()
    np.testing.assert_allclose(first.get_ydata(), [1, 1, np.nan])
    np.testing.assert_allclose(second.get_ydata(), [0.5, 0.25, np.nan])
    np.testing.assert_allclose(second.get_xdata(), MASS.value)
    other = plot_limit_ratios(CURVES, reference="fixed")
    np.testing.assert_allclose(other.get_lines()[2].get_ydata(), [2, 4, np.nan])
    assert other.get_ylabel() == "Ratio to fixed"


def test_styles_are_those_of_the_limits():
    above = plot_limits(CURVES, thermal_relic=False).get_lines()[:2]
    below = plot_limit_ratios(CURVES).get_lines()[-2:]
    for a, b in zip(above, below, strict=True):
        assert (a.get_linestyle(), a.get_marker()) == (b.get_linestyle(), b.get_marker())
        np.testing.assert_array_equal(a.get_color(), b.get_color())


def test_bad_input():
    with pytest.raises(ValueError, match="at least one curve"):
        plot_limit_ratios({})
    with pytest.raises(ValueError, match="no curve 'x'"):
        plot_limit_ratios(CURVES, reference="x")
    with pytest.raises(ValueError, match="masses of 'b' are not those of 'a'"):
        plot_limit_ratios({"a": CURVES["profile"], "b": (2 * MASS, CURVES["fixed"][1])})
