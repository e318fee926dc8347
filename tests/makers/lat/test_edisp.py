"""Energy dispersion against closed forms, brute force and published widths."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.maps import MapAxis
from scipy.integrate import quad
from scipy.stats import norm

from dmgammapy.makers.lat._irf_edisp import component, component_cdf, scale_factor
from dmgammapy.makers.lat._parametrised import TABLE
from dmgammapy.makers.lat.edisp import LATEDispMaker
from dmgammapy.makers.lat.response import LATResponse
from tests.makers.lat.synthetic_caldb import SyntheticCALDB, UniformLivetime

POSITION = SkyCoord(83.63, 22.01, unit="deg")


@pytest.fixture
def response(tmp_path):
    SyntheticCALDB(width=0.1).write(tmp_path)
    return LATResponse.read(caldb=tmp_path)


@pytest.fixture
def real(test_data):
    return LATResponse.read("P8R3_SOURCE_V3", "FB", test_data / "lat" / "caldb")


@pytest.mark.parametrize(
    "pars", [(1.1, 0.8, 0.3, 2.4), (0.6, 1.7, -0.9, 0.7), (1.2, 1.0, 0.0, 5.0)]
)
def test_component_integrates_to_its_cumulative(pars):
    bias = pars[2]
    for x in (-2.0, bias, 0.5, 3.0):
        edges = [-400, -20, -4, min(x, bias), bias, max(x, bias)]
        steps = zip(edges[:-1], edges[1:], strict=True)
        pieces = [quad(component, *s, args=pars, epsabs=1e-11, limit=200)[0] for s in steps]
        below, above = sum(pieces[:3]), pieces[4]
        assert component_cdf(x, *pars) == pytest.approx(below + above, abs=1e-8)
    assert component_cdf(4000.0, *pars) == pytest.approx(1)


def test_scale_factor_is_a_quadratic_form():
    pars = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    x, c = 2.0, 0.5
    expected = x * x + 2 * c * c + 3 * x + 4 * c + 5 * x * c + 6
    assert scale_factor(pars, 100.0, 0.5) == pytest.approx(expected)


def test_gaussian_density(response):
    energy = np.array([700.0, 1000.0, 1150.0])
    expected = norm.pdf(energy, 1000, 100)  # of positive energies: all but 1e-23
    found = response.energy_dispersion(energy * u.MeV, 1 * u.GeV, 0.7).to_value("MeV-1")
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert response.energy_dispersion(0 * u.MeV, 1 * u.GeV, 0.7).value == 0


@pytest.mark.parametrize("average", ["livetime", "gtdrm"])
def test_gaussian_matrix(response, average):
    true = MapAxis.from_energy_bounds("1 GeV", "1.002 GeV", nbin=1, name="energy_true")
    energy = MapAxis.from_energy_edges([0.02, 0.7, 0.9, 1, 1.1, 1.4, 5], unit="GeV")
    edisp = LATEDispMaker(response, average=average).run(UniformLivetime(), POSITION, energy, true)
    centre = np.sqrt(1.002)
    expected = np.diff(norm.cdf(energy.edges.to_value("GeV"), centre, 0.1 * centre))
    np.testing.assert_allclose(edisp.edisp_map.data[0, :, 0, 0], expected, atol=3e-5)
    exposure = 0.9e4 * 32 * 100 * (0.4 * 0.9 + 0.65)
    np.testing.assert_allclose(edisp.exposure_map.data, exposure, rtol=1e-6)
    kernel = edisp.get_edisp_kernel(position=POSITION)
    assert kernel.pdf_matrix.sum() == pytest.approx(1, abs=1e-4)


def test_wide_dispersion_is_normalised_over_positive_energies(tmp_path):
    SyntheticCALDB(width=0.8).write(tmp_path)
    response = LATResponse.read(caldb=tmp_path)
    edges, true = np.array([1e-3, 500.0, 1e3, 1e5]), np.array([1e3, 1.0001e3])
    kernel, _ = LATEDispMaker(response).at(UniformLivetime(), POSITION, edges, true)
    lost = norm.cdf(-1 / 0.8)
    expected = np.diff(norm.cdf(edges / 1e3, 1, 0.8)) / (1 - lost)
    np.testing.assert_allclose(kernel[0], expected, atol=1e-4)
    assert kernel.sum() == pytest.approx(1, abs=1e-4)
    # gtdrm takes the bare function
    bare, _ = LATEDispMaker(response, average="gtdrm").at(UniformLivetime(), POSITION, edges, true)
    assert bare.sum() == pytest.approx(1 - lost, abs=1e-4)


def test_true_bins_are_averaged_over_a_power_law(response):
    edges, true = np.array([500.0, 1300.0, 5000.0]), np.array([1e3, 2e3])

    def below(energy):
        return norm.cdf(1300, energy, 0.1 * energy) * energy**-2.5

    expected = quad(below, 1e3, 2e3)[0] / quad(lambda e: e**-2.5, 1e3, 2e3)[0]
    kernel, _ = LATEDispMaker(response, spectral_index=2.5).at(
        UniformLivetime(), POSITION, edges, true
    )
    assert kernel[0, 0] == pytest.approx(expected, abs=1e-4)


def test_matrix_is_the_integral_of_points_weighted_by_exposure(real):
    """Brute force with the public point functions."""
    rng = np.random.default_rng(5)
    livetime = UniformLivetime(rng.uniform(0, 100, 40), fraction=0.85)
    middles = 1 - (np.arange(40) + 0.5) / 40
    for energy_true in (80.0, 2.2e3, 3e5):
        edges = energy_true * np.array([0.3, 0.8, 0.95, 1.05, 1.2, 3.0])
        nodes, weights = np.polynomial.legendre.leggauss(60)
        half = 0.5 * np.diff(edges)[:, None]
        energy = 0.5 * (edges[1:] + edges[:-1])[:, None] + half * nodes
        top, bottom = 0.0, 0.0
        for t, c in zip(livetime.livetime, middles, strict=True):
            area = real.effective_area(energy_true * u.MeV, c, livetime_fraction=0.85)
            areas = {
                name: real.effective_area(
                    energy_true * u.MeV, c, event_type=name, livetime_fraction=0.85
                ).value
                for name in real.event_types
            }
            for name, value in areas.items():
                density = real.energy_dispersion(energy * u.MeV, energy_true * u.MeV, c, name)
                integral = (density.value * half) @ weights
                top = top + t * value * integral
            bottom = bottom + t * area.value
        true = np.array([energy_true / 1.00001, energy_true * 1.00001])
        found, exposure = LATEDispMaker(real).at(livetime, POSITION, edges, true)
        np.testing.assert_allclose(found[0], top / bottom, atol=1e-4)
        assert exposure[0] == pytest.approx(bottom, rel=1e-9)


def test_real_files_are_normalised(real):
    edges, true = np.geomspace(1, 1e8, 400), np.geomspace(30, 1e6, 30)
    kernel, _ = LATEDispMaker(real).at(UniformLivetime(), POSITION, edges, true)
    np.testing.assert_allclose(kernel.sum(axis=1), 1, atol=0.01)
    bare, _ = LATEDispMaker(real, average="gtdrm").at(UniformLivetime(), POSITION, edges, true)
    np.testing.assert_allclose(bare.sum(axis=1), 1, atol=0.01)
    assert kernel.min() >= 0


def test_published_widths(real):
    """Half of the central 68 % of E'/E, inclinations weighted by A_eff cos theta."""
    costheta = 1 - (np.arange(80) + 0.5) / 80
    livetime = UniformLivetime(costheta, edges=np.linspace(1, 0, 81))
    edges, widths = np.geomspace(10, 2e7, 8000), []
    for energy in TABLE[:, 0]:
        true = np.array([energy / 1.0005, energy * 1.0005])
        kernel, _ = LATEDispMaker(real).at(livetime, POSITION, edges, true)
        low, high = np.interp([0.16, 0.84], np.cumsum(kernel[0]), edges[1:] / energy)
        widths.append(0.5 * (high - low))
    np.testing.assert_allclose(widths, TABLE[:, 6], rtol=0.03)


def test_both_averages_against_their_definitions(tmp_path):
    """Livetime bins as they are, and taken by gtdrm as a density in cos theta."""
    SyntheticCALDB(area_slope=1.0, width=0.3, width_slope=-0.25).write(tmp_path)
    response = LATResponse.read(caldb=tmp_path)
    livetime = UniformLivetime(np.linspace(50, 150, 20), edges=1 - np.linspace(0, 1, 21) ** 2)
    costheta = 1 - ((np.arange(20) + 0.5) / 20) ** 2
    area = (1 + (np.clip(costheta, 0.25, 0.95) - 1)) * (costheta >= 0.2)
    edges, true = np.array([500.0, 900.0, 1e3, 1100.0, 2e3]), np.array([1e3, 1.0001e3])
    width = 0.3 - 0.25 * costheta[:, None]
    below, positive = norm.cdf((edges / 1e3 - 1) / width), norm.cdf(1 / width)
    elements = np.diff(below, axis=1)
    weights = area * livetime.livetime

    expected = (weights @ (elements / positive)) / weights.sum()
    kernel, _ = LATEDispMaker(response).at(livetime, POSITION, edges, true)
    np.testing.assert_allclose(kernel[0], expected, atol=3e-4)

    copied = np.trapezoid(weights[:, None] * elements, costheta, axis=0)
    copied = copied / np.trapezoid(weights, costheta)
    assert np.abs(copied - expected).max() > 5e-3  # the two do differ
    kernel, _ = LATEDispMaker(response, average="gtdrm").at(livetime, POSITION, edges, true)
    np.testing.assert_allclose(kernel[0], copied, atol=3e-4)


def test_errors(response):
    true = MapAxis.from_energy_bounds("5 MeV", "1 GeV", nbin=4, name="energy_true")
    energy = MapAxis.from_energy_bounds("10 MeV", "1 GeV", nbin=4)
    with pytest.raises(ValueError, match=r"true energies from 5 to 1000.*goes from 10 to"):
        LATEDispMaker(response).run(UniformLivetime(), POSITION, energy, true)
    with pytest.raises(ValueError, match="unknown average 'mean'"):
        LATEDispMaker(response, average="mean")
    good = MapAxis.from_energy_bounds("10 MeV", "1 GeV", nbin=4, name="energy_true")
    with pytest.raises(ValueError, match="no exposure"):
        LATEDispMaker(response).run(UniformLivetime(0.0), POSITION, energy, good)
    with pytest.raises(ValueError, match="weighted by the livetime fraction"):
        LATEDispMaker(response).run(UniformLivetime(fraction=None), POSITION, energy, good)
    assert "gtdrm" in repr(LATEDispMaker(response, average="gtdrm"))
