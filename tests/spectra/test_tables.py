"""Interpolation and bin integrals of tables against quadrature and formulas."""

import astropy.units as u
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import quad

from dmgammapy.spectra import TableSpectra, read_spectra


def quadrature(spectra, low, high, mass, channel, power):
    """Integral of E^power dN/dE between two energies [GeV], segment by segment."""
    nodes = mass * 10**spectra.log10x
    inside = nodes[(nodes > low) & (nodes < min(high, mass))]
    points = [low, *inside, min(high, mass)]

    def integrand(log_energy):
        energy = np.exp(log_energy)
        dnde = spectra.dnde(energy * u.GeV, mass * u.GeV, channel).value
        return energy ** (power + 1) * dnde

    pieces = zip(np.log(points), np.log(points[1:]), strict=False)
    return sum(quad(integrand, *ends, epsabs=0, epsrel=1e-10)[0] for ends in pieces)


@pytest.mark.parametrize("name", ["dmfit", "pppc4"])
@pytest.mark.parametrize(
    ("mass", "channel"), [(100, "b"), (15.8, "tau"), (33.3, "mu"), (340, {"b": 0.4, "W": 0.6})]
)
def test_bins_against_quadrature(name, mass, channel):
    spectra = read_spectra(name)
    # the endpoint lies inside of a bin, and one bin lies above it
    edges = mass * np.array([0.002, 0.03, 0.5, 0.93, 1.3, 2])
    flux = spectra.integrate(edges * u.GeV, mass * u.GeV, channel)
    eflux = spectra.integrate(edges * u.GeV, mass * u.GeV, channel, norm_type="eflux")
    for index, ends in enumerate(zip(edges[:-2], edges[1:-1], strict=True)):
        assert_allclose(flux[index], quadrature(spectra, *ends, mass, channel, 0), rtol=1e-8)
        energy = quadrature(spectra, *ends, mass, channel, 1)
        assert_allclose(eflux[index].to_value("GeV"), energy, rtol=1e-8)
    assert flux[-1] == 0
    assert eflux[-1] == 0


def power_law(index, masses=(10, 1000)):
    """Table of dN/dlog10(x) = x^index on fine nodes."""
    log10x = np.linspace(-4, 0, 4001)
    values = np.broadcast_to(10 ** (index * log10x), (1, len(masses), 4001))
    return TableSpectra("power law", ["b"], masses, log10x, values)


@pytest.mark.parametrize("index", [-1.0, -0.5, 0.5, 1.5])
def test_bins_of_a_power_law(index):
    """Closed form: int x^index dlog10(x) = [x^index] / (index ln 10)."""
    spectra = power_law(index)
    edges = np.array([0.1, 0.5, 3, 20, 99, 150])
    x = np.minimum(edges / 100, 1)
    number = np.diff(x**index) / (index * np.log(10))
    assert_allclose(spectra.integrate(edges * u.GeV, 100 * u.GeV, "b"), number, rtol=1e-6)
    if index != -1:
        energy = 100 * np.diff(x ** (index + 1)) / ((index + 1) * np.log(10))
        values = spectra.integrate(edges * u.GeV, 100 * u.GeV, "b", norm_type="eflux")
        assert_allclose(values.to_value("GeV"), energy, rtol=1e-6)


masses_strategy = st.floats(6.0, 9000.0)
channels_strategy = st.sampled_from(["b", "tau", "mu", "g"])


@settings(deadline=None, max_examples=40)
@given(masses_strategy, channels_strategy, st.lists(st.floats(1e-5, 1.5), min_size=3, max_size=8))
def test_bins_add_up(mass, channel, x):
    spectra = read_spectra("dmfit")
    x = np.unique(np.round(x, 6))
    if len(x) < 3:
        return
    edges = x * mass * u.GeV
    for norm_type in ("flux", "eflux"):
        parts = spectra.integrate(edges, mass * u.GeV, channel, norm_type=norm_type)
        whole = spectra.integrate(edges[[0, -1]], mass * u.GeV, channel, norm_type=norm_type)
        assert np.all(parts >= 0)
        assert_allclose(parts.sum().value, whole[0].value, rtol=1e-12, atol=1e-15)


@settings(deadline=None, max_examples=40)
@given(masses_strategy, channels_strategy, st.floats(1e-4, 0.9), st.floats(1.01, 3))
def test_energy_lies_between_the_edges_times_number(mass, channel, x, ratio):
    spectra = read_spectra("pppc4")
    edges = np.array([x, min(x * ratio, 1)]) * mass * u.GeV
    number = spectra.integrate(edges, mass * u.GeV, channel)[0]
    energy = spectra.integrate(edges, mass * u.GeV, channel, norm_type="eflux")[0]
    assert edges[0] * number * (1 - 1e-9) <= energy <= edges[1] * number * (1 + 1e-9)


@settings(deadline=None, max_examples=30)
@given(st.floats(0, 1), st.floats(200, 5000))
def test_mixtures_are_sums(fraction, mass):
    spectra = read_spectra("pppc4")
    edges = np.geomspace(0.5, 500, 9) * u.GeV
    mixed, single = {"b": fraction, "W": 1 - fraction}, ["b", "W"]
    b, w = spectra.integrate(edges, mass * u.GeV, single)
    mixture = spectra.integrate(edges, mass * u.GeV, mixed)
    assert_allclose(mixture, fraction * b + (1 - fraction) * w, rtol=1e-12)


def test_a_mixture_below_one_threshold_is_not_valid():
    spectra = read_spectra("dmfit")
    mixture = {"b": 0.5, "t": 0.5}
    masses = [100, 200] * u.GeV
    assert spectra.is_valid(masses, mixture).tolist() == [False, True]
    values = spectra.integrate([1, 10] * u.GeV, masses, [mixture, "b"])
    assert values[0, 0, 0] == 0
    assert values[0, 1, 0] > 0
    assert values[1, 0, 0] > 0


def test_intervals_equal_bins():
    spectra = read_spectra("dmfit")
    edges = np.geomspace(0.5, 120, 13) * u.GeV
    bins = spectra.integrate(edges, [50, 100] * u.GeV, ["b", "tau"], norm_type="eflux")
    intervals = spectra.integrate_intervals(
        edges[:-1], edges[1:], [50, 100] * u.GeV, ["b", "tau"], norm_type="eflux"
    )
    assert_allclose(intervals, bins, rtol=1e-12)
    single = spectra.integrate_intervals(edges[3], edges[9], 100 * u.GeV, "b")
    assert_allclose(single, spectra.integrate(edges[[3, 9]], 100 * u.GeV, "b")[0])


def test_dnde_in_bins_is_taken_at_the_reference_energy():
    spectra = read_spectra("pppc4")
    edges = [1, 10, 100] * u.GeV
    values = spectra.integrate(edges, 100 * u.GeV, "b", norm_type="dnde")
    assert_allclose(values, spectra.dnde([10**0.5, 10**1.5] * u.GeV, 100 * u.GeV, "b"))
    values = spectra.integrate(
        edges, 100 * u.GeV, "b", norm_type="dnde", energy_ref=[2, 20] * u.GeV
    )
    assert_allclose(values, spectra.dnde([2, 20] * u.GeV, 100 * u.GeV, "b"))


def test_shapes():
    spectra = read_spectra("dmfit")
    energy = np.geomspace(1, 10, 6).reshape(2, 3) * u.GeV
    mass, masses = 50 * u.GeV, [50, 60, 70, 80] * u.GeV
    assert spectra.dnde(energy, mass, "b").shape == (2, 3)
    assert spectra.dnde(energy, masses, "b").shape == (4, 2, 3)
    assert spectra.dnde(energy, mass, ["b", "c"]).shape == (2, 2, 3)
    assert spectra.dnde(1 * u.GeV, masses, ["b"]).shape == (1, 4)
    assert spectra.integrate([1, 2, 3] * u.GeV, masses, ["b", {"b": 1}]).shape == (2, 4, 2)
    assert spectra.integrate([1, 2, 3] * u.GeV, mass, {"b": 0.5, "c": 0.5}).shape == (2,)
    assert spectra.is_valid(masses, ["b", "t"]).tolist() == [[True] * 4, [False] * 4]
    assert spectra.is_valid(mass, "b") == True  # noqa: E712
    one = spectra.dnde(energy[0, 1], masses[2], "c")
    assert_allclose(spectra.dnde(energy, masses, ["b", "c"])[1, 2, 0, 1], one)


def test_lines_on_top_of_a_table():
    """2 photons at x = 1 add to the bin with the endpoint and not to dN/dE."""
    values = np.ones((1, 2, 2))
    plain = TableSpectra("plain", ["gamma"], [10, 1000], [-3, 0], values)
    lined = TableSpectra("lined", ["gamma"], [10, 1000], [-3, 0], values, line=[[2, 1]])
    edges = [1, 50, 100, 200] * u.GeV
    mass = 100 * u.GeV
    difference = lined.integrate(edges, mass, "gamma") - plain.integrate(edges, mass, "gamma")
    assert_allclose(difference, [0, 1.5, 0], atol=1e-12)
    energy = lined.integrate(edges, mass, "gamma", norm_type="eflux")
    energy -= plain.integrate(edges, mass, "gamma", norm_type="eflux")
    assert_allclose(energy.to_value("GeV"), [0, 150, 0], atol=1e-10)
    assert_allclose(lined.dnde(mass, mass, "gamma"), plain.dnde(mass, mass, "gamma"))


def test_nothing_outside_of_the_nodes():
    """Nodes that stop more than a step below x = 1 are the end of the spectrum."""
    spectra = TableSpectra("short", ["b"], [10, 100], [-2, -0.8, -0.7], np.ones((1, 2, 3)))
    values = spectra.dnde([0.99, 1.01, 19.9, 20.1] * u.GeV, 100 * u.GeV, "b")
    assert ((values > 0) == [False, True, True, False]).all()
    with pytest.warns(UserWarning, match="'short' begin at 1 GeV for the mass 100 GeV"):
        total = spectra.integrate([0.1, 100] * u.GeV, 100 * u.GeV, "b")
    assert_allclose(total, 1.3, rtol=1e-12)


def test_one_mass():
    spectra = TableSpectra("one", ["b"], [50], [-2, 0], np.ones((1, 1, 2)))
    assert_allclose(spectra.integrate([0.5, 50] * u.GeV, 50 * u.GeV, "b"), 2)
    with pytest.raises(ValueError, match="covers 50 to 50"):
        spectra.dnde(1 * u.GeV, 51 * u.GeV, "b")


def test_empty_spectra_inside_of_a_table_are_not_mixed_in():
    values = np.ones((1, 4, 2))
    values[0, 1] = 0
    spectra = TableSpectra("gap", ["b"], [10, 20, 30, 40], [-2, 0], values)
    masses = [10, 15, 20, 25, 30, 35] * u.GeV
    expected = [True, False, False, False, True, True]
    assert spectra.is_valid(masses, "b").tolist() == expected
    assert (spectra.dnde(1 * u.GeV, masses, "b") > 0).tolist() == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mass": 100}, "unit of energy"),
        ({"mass": 100 * u.s}, "unit of energy"),
        ({"mass": "heavy"}, "unit of energy"),
        ({"energy_edges": [1, 2]}, "unit of energy"),
        ({"energy_edges": [1, 2] * u.m}, "unit of energy"),
        ({"energy_edges": [2, 1] * u.GeV}, "ascending"),
        ({"energy_edges": [1, 1] * u.GeV}, "ascending"),
        ({"energy_edges": 1 * u.GeV}, "ascending"),
        ({"energy_edges": [0, 1] * u.GeV}, "positive"),
        ({"energy_edges": [1, np.nan] * u.GeV}, "positive"),
        ({"channel": "foo"}, "Unknown channel 'foo'"),
        ({"channel": "h"}, "'h' is not in the spectra 'dmfit'; there are c, b"),
        ({"channel": {"b": 0.5, "h": 0.5}}, "Mixture 0.5 b .* 'h' is not in the spectra"),
        ({"channel": []}, "empty list"),
        ({"process": "scattering"}, "process"),
        ({"norm_type": "e2dnde"}, "norm_type"),
        ({"norm_type": "dnde", "energy_ref": [1, 2] * u.GeV}, "one value for each of the 1 bins"),
    ],
)
def test_wrong_arguments(arguments, message):
    defaults = {"energy_edges": [1, 2] * u.GeV, "mass": 100 * u.GeV, "channel": "b"}
    with pytest.raises(ValueError, match=message):
        read_spectra("dmfit").integrate(**(defaults | arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"masses": [100, 10]}, "masses must ascend, got 100 before 10"),
        ({"masses": [10, 10]}, "masses must ascend"),
        ({"masses": [-1, 10]}, "positive"),
        ({"masses": [10, np.nan]}, "finite"),
        ({"log10x": [-1, -2, 0]}, "log10x must ascend, got -1 before -2"),
        ({"log10x": [-1, 0, 1]}, "must not exceed 0"),
        ({"log10x": [-1, 0]}, r"expected values of shape .* \(1, 2, 2\)"),
        ({"channels": ["bb"]}, "canonical"),
        ({"channels": []}, "no channel"),
        ({"dndlog10x": [[[1, 1, 1], [1, np.nan, 1]]]}, "'b' at mass 100 GeV is nan"),
        ({"dndlog10x": [[[1, 1, -1], [1, 1, 1]]]}, "'b' at mass 10 GeV is -1"),
        ({"line": [[1, -1]]}, "line of channel 'b' at mass 100 GeV"),
        ({"mass_interpolation": "cubic"}, "mass_interpolation"),
    ],
)
def test_wrong_tables(arguments, message):
    defaults = {
        "name": "bad",
        "channels": ["b"],
        "masses": [10, 100],
        "log10x": [-2, -1, 0],
        "dndlog10x": np.ones((1, 2, 3)),
    }
    with pytest.raises(ValueError, match=message):
        TableSpectra(**(defaults | arguments))
