"""The PSF against closed-form King functions, published radii and brute force."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.maps import MapAxis, WcsGeom

from dmgammapy.makers.lat._irf_psf import king, king_containment, scale_factor, sphere_rule
from dmgammapy.makers.lat._parametrised import TABLE
from dmgammapy.makers.lat.psf import LATPSFMaker
from dmgammapy.makers.lat.response import LATResponse
from tests.makers.lat.synthetic_caldb import SyntheticCALDB, UniformLivetime

POSITION = SkyCoord(83.63, 22.01, unit="deg")


@pytest.fixture
def synthetic():
    return SyntheticCALDB()


@pytest.fixture
def response(tmp_path, synthetic):
    synthetic.write(tmp_path)
    return LATResponse.read(caldb=tmp_path)


def containment(radius, it):
    """Two King functions in a plane; radius in radian."""
    core = king_containment(radius, it.sigma, it.gamma)
    tail = king_containment(radius, it.stail * it.sigma, it.gtail)
    share = it.ntail * it.stail**2
    return (core + share * tail) / (1 + share)


def radii(psf, edges, fraction):
    """Containment radii [deg] of densities (n_energy, n_rad) at the middles of edges [deg]."""
    ring = 2 * np.pi * -np.diff(np.cos(np.deg2rad(edges)))
    inside = np.cumsum(psf * ring, axis=1)
    return np.array([np.interp(fraction, row, edges[1:]) for row in inside])


def test_king_integrates_to_its_containment():
    radius, weights = sphere_rule(high=0.05)
    # in the plane: undo sin r of the rule
    plane = weights * radius / np.sin(radius)
    value = king(radius, 0.01, 2.2) @ plane / (2 * np.pi * 0.01**2)
    assert value == pytest.approx(king_containment(0.05, 0.01, 2.2), rel=1e-9)


def test_scale_factor():
    assert scale_factor([3, 4, -0.8], 100.0) == pytest.approx(5)
    assert scale_factor([3, 4, -0.8], 1e30) == pytest.approx(4)


def test_density_and_containment_have_closed_forms(response, synthetic):
    separation = np.array([0.0, 0.1, 0.5, 2.0]) * u.deg
    r = separation.to_value("rad")
    it = synthetic
    norm = 2 * np.pi * it.sigma**2 * (1 + it.ntail * it.stail**2)
    expected = king(r, it.sigma, it.gamma) + it.ntail * king(r, it.stail * it.sigma, it.gtail)
    found = response.psf(separation, 1 * u.GeV, 0.8).to_value("sr-1")
    # curvature of the sky moves 4e-4 of the integral
    np.testing.assert_allclose(found, expected / norm, rtol=1e-3)
    assert response.psf(91 * u.deg, 1 * u.GeV, 0.8).value == 0

    axis = MapAxis.from_energy_bounds("1 GeV", "10 GeV", nbin=2, name="energy_true")
    psf = LATPSFMaker(response).run(UniformLivetime(), POSITION, axis)
    for degrees in (0.1, 0.3, 1, 5):
        inside = psf.containment(degrees * u.deg, axis.center).ravel()
        expected = containment(np.deg2rad(degrees), it)
        np.testing.assert_allclose(inside.to_value(""), expected, rtol=3e-3)


def test_map_has_exposure_and_serves_kernels(response):
    axis = MapAxis.from_energy_bounds("1 GeV", "10 GeV", nbin=2, name="energy_true")
    psf = LATPSFMaker(response).run(UniformLivetime(100, 0.9), POSITION, axis)
    expected = 0.9e4 * 32 * 100 * (0.4 * 0.9 + 0.65)
    np.testing.assert_allclose(psf.exposure_map.quantity.to_value("cm2 s"), expected, rtol=1e-6)
    geom = WcsGeom.create(skydir=POSITION, npix=21, binsz=0.1, axes=[axis])
    kernel = psf.get_psf_kernel(geom, max_radius=1 * u.deg)
    np.testing.assert_allclose(kernel.data.sum(axis=(1, 2)), 1, rtol=1e-6)


def test_average_is_that_of_points_weighted_by_exposure(test_data):
    """Brute force over inclinations, types and efficiency, with the public point functions."""
    response = LATResponse.read("P8R3_SOURCE_V3", "PSF", test_data / "lat" / "caldb")
    rng = np.random.default_rng(3)
    livetime = UniformLivetime(rng.uniform(0, 100, 40), fraction=0.85)
    energy, separation = np.array([120.0, 3e3, 4e5]), np.array([0.0, 0.05, 0.8, 7.0])
    middles = 1 - (np.arange(40) + 0.5) / 40
    top, bottom = 0.0, 0.0
    for name in response.event_types:
        for t, c in zip(livetime.livetime, middles, strict=True):
            area = response.effective_area(
                energy * u.MeV, c, event_type=name, livetime_fraction=0.85
            ).to_value("cm2")
            psf = response.psf(separation * u.deg, energy[:, None] * u.MeV, c, name)
            top = top + (t * area)[:, None] * psf.to_value("sr-1")
            bottom = bottom + t * area
    found, exposure = LATPSFMaker(response).at(livetime, POSITION, energy, separation)
    np.testing.assert_allclose(found, top / bottom[:, None], rtol=1e-9)
    np.testing.assert_allclose(exposure, bottom, rtol=1e-9)


@pytest.mark.parametrize("event_type", ["FB", "PSF"])
def test_real_files_are_normalised(test_data, event_type):
    response = LATResponse.read("P8R3_SOURCE_V3", event_type, test_data / "lat" / "caldb")
    energy = np.geomspace(31.7, 1e6, 12)
    radius, weights = sphere_rule()
    psf, _ = LATPSFMaker(response).at(UniformLivetime(), POSITION, energy, np.rad2deg(radius))
    np.testing.assert_allclose(psf @ weights, 1, rtol=1e-6)
    axis = MapAxis.from_nodes(energy * u.MeV, name="energy_true", interp="log")
    psf = LATPSFMaker(response).run(UniformLivetime(), POSITION, axis)
    total = psf.containment(60 * u.deg, energy[2:] * u.MeV).to_value("")
    np.testing.assert_allclose(total, 1, rtol=5e-3)  # Gammapy's rings are flat


def test_published_radii(test_data):
    """68 and 95 % of P8R3_SOURCE_V3, inclinations weighted by A_eff cos theta."""
    response = LATResponse.read("P8R3_SOURCE_V3", "FB", test_data / "lat" / "caldb")
    edges = np.append(0, np.geomspace(1e-3, 90, 4000))
    costheta = 1 - (np.arange(80) + 0.5) / 80
    livetime = UniformLivetime(costheta, edges=np.linspace(1, 0, 81))
    middles = 0.5 * (edges[1:] + edges[:-1])
    psf, _ = LATPSFMaker(response).at(livetime, POSITION, TABLE[:, 0], middles)
    np.testing.assert_allclose(radii(psf, edges, 0.68), TABLE[:, 4], rtol=0.01)
    np.testing.assert_allclose(radii(psf, edges, 0.95), TABLE[:, 5], rtol=0.01)


def test_errors(response):
    axis = MapAxis.from_energy_bounds("1 GeV", "10 GeV", nbin=2, name="energy_true")
    with pytest.raises(ValueError, match=r"no exposure at RA 83\.63"):
        LATPSFMaker(response).run(UniformLivetime(0.0), POSITION, axis)
    high = MapAxis.from_energy_bounds("1 GeV", "10 TeV", nbin=4, name="energy_true")
    with pytest.raises(ValueError, match="PSF energies"):
        LATPSFMaker(response).run(UniformLivetime(), POSITION, high)
    with pytest.raises(ValueError, match="unknown interpolation"):
        LATPSFMaker(response, interpolation="none")
    assert "320 bins to 60 deg" in repr(LATPSFMaker(response))
