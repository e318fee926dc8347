"""PPPC4DMID and DMFit against numbers of the original text files and of publications."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose

from dmgammapy.spectra import read_spectra

# channel, mass [GeV], log10(x), entry of gammamc_dif.dat (fermipy 1.4.3), dN/dln(E)
DMFIT_ENTRIES = [
    ("bb", 100, -2.02, 9.760769),
    ("bb", 100, -1.98, 9.634006),
    ("tautau", 100, -1.98, 0.2336765),
    ("tautau", 10, -0.78, 0.7397981),
    ("ww", 91.2, -1.58, 4.631676),
    ("mumu", 500, -0.02, 0.03310036),
    ("ee", 2, -0.02, 0.032198),
]
# the same of AtProduction_gamma_EW_corrections.dat (gammabayes 0.1.9), dN/dlog10(x)
PPPC4_ENTRIES = [
    ("b", 100, -2, 22.669142),
    ("b", 100, -1, 3.247103),
    ("tau", 100, -1, 1.803564),
    ("mu", 5000, -0.5, 0.162923),
    ("W", 100000, -0.05, 0.978449),
    ("W", 100000, 0, 2.3599),
    ("gamma", 100, 0, 70.57939),
    ("t", 180, -1.5, 11.074124),
    ("V->tau", 30, -1, 3.067575),
    ("h", 1000, -1, 1.973603),
]


@pytest.mark.parametrize(("channel", "mass", "log10x", "entry"), DMFIT_ENTRIES)
def test_dmfit_nodes(channel, mass, log10x, entry):
    energy = mass * 10**log10x * u.GeV
    dnde = read_spectra("dmfit").dnde(energy, mass * u.GeV, channel)
    assert_allclose((energy * dnde).value, entry, rtol=1e-6)


@pytest.mark.parametrize(("channel", "mass", "log10x", "entry"), PPPC4_ENTRIES)
def test_pppc4_nodes(channel, mass, log10x, entry):
    energy = mass * 10.0**log10x * u.GeV
    dnde = read_spectra("pppc4").dnde(energy, mass * u.GeV, channel)
    assert_allclose((energy * dnde).value * np.log(10), entry, rtol=1e-6)


@pytest.mark.parametrize(("channel", "flux"), [("bb", 1.15754e-14), ("tautau", 2.72232e-16)])
def test_flux_of_the_lat_tools_at_1_gev(channel, flux):
    """Differential flux at 1 GeV, 3e-26 cm3/s and J = 1e19, from fermipy's DMFitFunction."""
    mass = 100 * u.GeV
    dnde = read_spectra("dmfit").dnde(1 * u.GeV, mass, channel)
    factor = 1e19 * 3e-26 / (8 * np.pi * mass.value**2)
    assert_allclose(factor * dnde.to_value("MeV-1"), flux, rtol=1e-5)


@pytest.mark.parametrize(("channel", "fraction"), [("bb", 0.278), ("tautau", 0.154), ("ww", 0.21)])
def test_energy_fractions_of_dmfit(channel, fraction):
    mass = 100 * u.GeV
    energy = read_spectra("dmfit").integrate([1e-7, 100] * u.GeV, mass, channel, norm_type="eflux")
    assert_allclose(energy / (2 * mass), fraction, atol=5e-4)


@pytest.mark.parametrize("name", ["dmfit", "pppc4"])
def test_photons_carry_less_than_all_energy(name):
    spectra = read_spectra(name)
    for mass in spectra.masses:
        edges = u.Quantity([1e-8 * mass, mass])
        valid = spectra.is_valid(mass, list(spectra.channels))
        energy = spectra.integrate(edges, mass, list(spectra.channels), norm_type="eflux")[:, 0]
        fraction = (energy / (2 * mass)).value
        assert np.all(fraction[valid] > 0)
        assert np.all(fraction < 1)
        assert np.all(fraction[~valid] == 0)


@pytest.mark.parametrize("name", ["dmfit", "pppc4"])
def test_the_two_tables_agree_on_b_quarks(name):
    """Both are Pythia; the energies in photons of b quarks agree within 3 %."""
    energy = [
        read_spectra(other).integrate([1, 500] * u.GeV, 500 * u.GeV, "b", norm_type="eflux")
        for other in (name, "pppc4")
    ]
    assert_allclose(energy[0], energy[1], rtol=0.03)


def test_mass_interpolation_is_linear_in_m_for_dmfit_and_in_log_m_for_pppc4():
    x, edges = 0.1, (25, 50)
    for name, weight in (
        ("dmfit", (30 - 25) / (50 - 25)),
        ("pppc4", np.log(30 / 25) / np.log(50 / 25)),
    ):
        spectra = read_spectra(name)
        if name == "pppc4":  # which has a node at 30 GeV
            edges, weight = (30, 40), np.log(34 / 30) / np.log(40 / 30)
        mass = edges[0] ** (1 - weight) * edges[1] ** weight if name == "pppc4" else 30
        low, high = (m * spectra.dnde(x * m * u.GeV, m * u.GeV, "b").value for m in edges)
        value = mass * spectra.dnde(x * mass * u.GeV, mass * u.GeV, "b").value
        assert_allclose(value, (1 - weight) * low + weight * high, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "channel", "first"),
    [
        # particle masses decide in DMFit (its nodes: 2, 4, 6, 8, 10, 25, 50, 80.3, 91.2, 176, ...)
        ("dmfit", "b", 6),
        ("dmfit", "c", 2),
        ("dmfit", "tau", 2),
        ("dmfit", "W", 80.3),
        ("dmfit", "Z", 91.2),
        ("dmfit", "t", 176),
        ("dmfit", "mu", 2),
        # empty spectra in PPPC4DMID
        ("pppc4", "b", 6),
        ("pppc4", "W", 90),
        ("pppc4", "Z", 100),
        ("pppc4", "t", 180),
        ("pppc4", "h", 130),
        ("pppc4", "nu_e", 130),
        ("pppc4", "mu", 5),
    ],
)
def test_thresholds(name, channel, first):
    spectra = read_spectra(name)
    low = spectra.mass_range()[0].value
    masses = np.array([first * 0.9999, first, first * (1 + 1e-6)]) * u.GeV
    if low < first * 0.9999:
        assert spectra.is_valid(masses, channel).tolist() == [False, True, True]
        edges = [1e-3, 1e3] * u.GeV
        assert spectra.integrate(edges, masses[0], channel)[0] == 0
        assert spectra.dnde(0.1 * u.GeV, masses[0], channel) == 0
        assert not spectra.is_valid(2 * masses[0], channel, process="decay")
        # the first usable spectrum isn't mixed with junk from below the threshold
        values = spectra.integrate(edges, masses[1:], channel)[:, 0]
        assert_allclose(values[1], values[0], rtol=1e-3)
    else:
        assert spectra.is_valid(low * u.GeV, channel)


@pytest.mark.parametrize(("name", "low", "high"), [("dmfit", 2, 1e4), ("pppc4", 5, 1e5)])
def test_mass_outside_of_the_table(name, low, high):
    spectra = read_spectra(name)
    assert spectra.mass_range().value.tolist() == [low, high]
    assert spectra.mass_range("decay").value.tolist() == [2 * low, 2 * high]
    for mass in (0.99 * low, 1.01 * high, -1, 0, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"{name}.*{low:g} to {high:g} GeV for annih"):
            spectra.dnde(1 * u.GeV, mass * u.GeV, "b")
        with pytest.raises(ValueError, match=f"covers {2 * low:g} to {2 * high:g} GeV for decay"):
            spectra.is_valid(2 * mass * u.GeV, "b", process="decay")
    # conversions of units leave the ends inside
    for mass in (low / 3 * 3e-3, high / 7 * 7e-3):
        assert spectra.dnde(1 * u.GeV, mass * u.TeV, "mu").unit == "GeV-1"


def test_decay_is_annihilation_at_half_the_mass():
    spectra = read_spectra("pppc4")
    edges = np.geomspace(0.1, 200, 9) * u.GeV
    for norm_type in ("flux", "eflux", "dnde"):
        decay = spectra.integrate(edges, 200 * u.GeV, "b", "decay", norm_type)
        annihilation = spectra.integrate(edges, 100 * u.GeV, "b", norm_type=norm_type)
        assert_allclose(decay, annihilation, rtol=1e-12)
    assert spectra.dnde(100.1 * u.GeV, 200 * u.GeV, "b", "decay") == 0
    assert spectra.dnde(99.9 * u.GeV, 200 * u.GeV, "b", "decay") > 0


def test_light_quarks_of_pppc4_are_one_channel():
    spectra = read_spectra("pppc4")
    energy = [0.3, 3] * u.GeV
    expected = spectra.dnde(energy, 50 * u.GeV, "q")
    for quark in ("u", "d", "s", {"u": 0.4, "d": 0.6}):
        assert_allclose(spectra.dnde(energy, 50 * u.GeV, quark), expected)


def test_spectra_of_dmfit_end_at_the_mass():
    """The last bin centre is at 10^-0.02; the line through the last two goes on to x = 1."""
    spectra = read_spectra("dmfit")
    mass = 500 * u.GeV
    values = (
        mass.value * x * spectra.dnde(x * mass, mass, "mu").value
        for x in (10**-0.06, 10**-0.02, 1.0, 1.0001)
    )
    second, last, end, above = values
    assert_allclose(end, last + (last - second) / 2, rtol=1e-9)
    assert above == 0
    # where that line is negative the yield falls to zero
    assert spectra.dnde(mass, mass, "gg") == 0
