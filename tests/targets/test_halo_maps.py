"""Maps of J: brute force, closed forms, and what must add up."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.maps import HpxGeom, MapAxis, WcsGeom
from gammapy.modeling.models import PointSpatialModel
from numpy.testing import assert_allclose
from scipy.integrate import quad

from dmgammapy.targets import BurkertProfile, FunctionProfile, GNFWProfile, Halo, NFWProfile

GEV = u.Unit("GeV cm-3")
KPC = u.kpc
DWARF = SkyCoord(260.05, 57.92, unit="deg")
CENTER = SkyCoord(0, 0, unit="deg", frame="galactic")
NFW = NFWProfile(3 * GEV, 0.5 * KPC)
CUSP = GNFWProfile(3 * GEV, 0.5 * KPC, gamma=1.4)


def geom(position, npix=31, binsz=0.1, proj="TAN", **kwargs):
    return WcsGeom.create(
        skydir=position, npix=npix, binsz=binsz, proj=proj, frame=position.frame.name, **kwargs
    )


def test_far_pixels_equal_brute_force():
    """60 x 60 midpoints in each of some pixels, with lines of sight and solid angles."""
    halo = Halo(NFW, 80 * KPC, position=DWARF)
    grid = geom(DWARF.directional_offset_by(20 * u.deg, 0.03 * u.deg))
    values = halo.jfactor_map(grid).data
    n = 60
    steps = (np.arange(n) + 0.5) / n - 0.5
    for row, column in ((15, 18), (12, 13), (17, 22), (3, 28), (0, 0)):
        x, y = np.meshgrid(column + steps, row + steps)
        lon, lat = grid.pix_to_coord((x, y))
        theta = SkyCoord(lon, lat, frame="icrs").separation(DWARF)
        # TAN: the solid angle goes as the cube of the cosine of the offset from its centre
        offset = SkyCoord(lon, lat, frame="icrs").separation(grid.center_skydir)
        solid_angle = np.deg2rad(0.1 / n) ** 2 * np.cos(offset.rad) ** 3
        expected = np.sum(halo.differential_jfactor(theta).value * solid_angle)
        assert_allclose(values[row, column], expected, rtol=3e-5)


@pytest.mark.parametrize("slope", [0.8, 1.2, 1.4])
def test_pixel_of_the_cusp_in_closed_form(slope):
    """dJ/dOmega ~ theta^(1-2g) over a square: 8 times the integral of a triangle."""
    profile = FunctionProfile(lambda r: 2 * GEV * (r / KPC) ** -slope, 1e-3 * KPC)
    halo = Halo(profile, 1000 * KPC, position=DWARF)
    size = 1e-4
    value = halo.jfactor_map(geom(DWARF, npix=3, binsz=size)).data[1, 1]
    half, power = np.deg2rad(size) / 2, 3 - 2 * slope
    triangle = quad(lambda phi: (half / np.cos(phi)) ** power / power, 0, np.pi / 4)[0]
    # normalised by a disc as large as the pixel's inner circle: 2 pi half^power / power
    disc = halo.jfactor(half * u.rad).value
    assert_allclose(value / disc, 8 * triangle / (2 * np.pi * half**power / power), rtol=2e-5)


@pytest.mark.parametrize("proj", ["TAN", "CAR"])
@pytest.mark.parametrize(
    "shift", [(0, 0), (0.0499999, 0.0499999), (0.0499999, 0), (0.0123, 0.0311)]
)
@pytest.mark.parametrize(
    ("profile", "distance", "r_max"),
    [
        (NFW, 80, None),
        (CUSP, 80, None),
        (CUSP, 80, 0.6),
        (BurkertProfile(3 * GEV, 0.5 * KPC), 800, 0.5),
        (GNFWProfile(0.24 * GEV, 20 * KPC, gamma=1.3), 8.5, None),
    ],
)
def test_coarse_pixels_are_sums_of_fine_ones(profile, distance, r_max, shift, proj):
    """Wherever the centre lies within its pixel; all but on a side or on a corner, too."""
    r_max = None if r_max is None else r_max * KPC
    halo = Halo(profile, distance * KPC, r_max, position=CENTER)
    # galactic: the shift is what it says, the centre of the map is not that of the halo
    coarse = geom(SkyCoord(*shift, unit="deg", frame="galactic"), npix=21)
    values = halo.jfactor_map(coarse).data
    fine = halo.jfactor_map(coarse.upsample(5)).data.reshape(21, 5, 21, 5).sum(axis=(1, 3))
    assert_allclose(values, fine, rtol=1e-4, atol=1e-6 * values.max())
    assert_allclose(values.sum(), fine.sum(), rtol=1e-6)


def test_halo_smaller_than_a_pixel():
    """0.5 kpc at 800 kpc is 0.04 deg: all of it is in the central pixel of 0.5 deg."""
    halo = Halo(CUSP, 800 * KPC, r_max=0.5 * KPC, position=DWARF)
    result = halo.jfactor_map(geom(DWARF, npix=5, binsz=0.5))
    assert_allclose(result.data[2, 2], halo.jfactor().value, rtol=1e-9)
    assert_allclose(result.data.sum(), halo.jfactor().value, rtol=1e-9)
    decay = halo.dfactor_map(geom(DWARF, npix=5, binsz=0.5))
    assert_allclose(decay.data.sum(), halo.dfactor().value, rtol=1e-9)
    assert decay.unit == "GeV cm-2"


def test_map_lies_between_its_circles():
    halo = Halo(NFW, 80 * KPC, position=DWARF)
    total = halo.jfactor_map(geom(DWARF, npix=41)).data.sum()
    low, high = halo.jfactor([2.05, 2.05 * np.sqrt(2)] * u.deg).value
    assert low < total < high


def test_galactic_sky_adds_up():
    """The whole sky in 2 deg: CAR covers it exactly once."""
    halo = Halo(NFWProfile(0.345 * GEV, 20 * KPC), 8.5 * KPC, position=CENTER)
    sky = WcsGeom.create(npix=(180, 90), binsz=2, proj="CAR", frame="galactic")
    assert_allclose(halo.jfactor_map(sky).data.sum(), halo.jfactor().value, rtol=1e-4)
    assert_allclose(halo.dfactor_map(sky).data.sum(), halo.dfactor().value, rtol=1e-4)
    hammer = WcsGeom.create(npix=(180, 90), binsz=2, proj="AIT", frame="galactic")
    assert np.all(np.isfinite(halo.jfactor_map(hammer).data))


def test_halo_off_the_map():
    halo = Halo(NFW, 80 * KPC, position=DWARF)
    away = DWARF.directional_offset_by(0 * u.deg, 4 * u.deg)
    grid = geom(away, npix=5)
    expected = halo.differential_jfactor(4 * u.deg).value * np.deg2rad(0.1) ** 2
    assert_allclose(halo.jfactor_map(grid).data[2, 2], expected, rtol=1e-3)


def test_template_and_its_jfactor():
    """J within the map goes with the template: their product is J per pixel, nothing twice."""
    halo = Halo(NFW, 80 * KPC, position=DWARF)
    grid = geom(DWARF, npix=21, axes=[MapAxis.from_energy_bounds("1 GeV", "10 GeV", 2)])
    model, jfactor = halo.to_spatial_model(grid)
    assert_allclose(jfactor.value, halo.jfactor_map(grid).data.sum(), rtol=1e-12)
    assert jfactor < halo.jfactor()
    pixels = model.integrate_geom(grid.to_image())
    assert_allclose(pixels.data.sum(), 1, rtol=1e-5)
    assert_allclose(pixels.data * jfactor.value, halo.jfactor_map(grid).data, rtol=1e-5)


def test_template_without_geometry():
    halo = Halo(NFW, 80 * KPC, r_max=5 * KPC, position=DWARF)
    model, jfactor = halo.to_spatial_model()
    assert_allclose(jfactor, halo.jfactor(), rtol=0.01)
    assert model.map.geom.data_shape == (101, 101)
    assert model.map.geom.center_skydir.separation(DWARF) < 1e-6 * u.deg
    _, dfactor = halo.to_spatial_model(width=2 * u.deg, binsz=0.1 * u.deg, process="decay")
    assert dfactor.unit == "GeV cm-2"
    assert dfactor < halo.dfactor()


def test_distant_halo_is_as_good_as_a_point():
    halo = Halo(NFW, 8000 * KPC, r_max=0.2 * KPC, position=DWARF)
    grid = geom(DWARF, npix=5)
    model, jfactor = halo.to_spatial_model(grid)
    assert_allclose(jfactor, halo.jfactor(), rtol=1e-9)
    point = PointSpatialModel.from_position(DWARF)
    assert_allclose(model.integrate_geom(grid).data, point.integrate_geom(grid).data, atol=1e-9)


def test_bad_input():
    halo = Halo(NFW, 80 * KPC)
    with pytest.raises(ValueError, match="needs its position"):
        halo.jfactor_map(geom(DWARF))
    with pytest.raises(ValueError, match="needs its position"):
        halo.to_spatial_model()
    halo = Halo(NFW, 80 * KPC, position=DWARF)
    with pytest.raises(ValueError, match="must be a WcsGeom"):
        halo.jfactor_map(HpxGeom(nside=4))
    with pytest.raises(ValueError, match="either geom, or width"):
        halo.to_spatial_model(geom(DWARF), width=1 * u.deg)
    steep = Halo(GNFWProfile(3 * GEV, 1 * KPC, gamma=1.5), 80 * KPC, position=DWARF)
    with pytest.raises(ValueError, match="diverges in the centre"):
        steep.jfactor_map(geom(DWARF))
    small = Halo(NFW, 80 * KPC, r_max=0.1 * KPC, position=CENTER)
    with pytest.raises(ValueError, match="no signal"):
        small.to_spatial_model(geom(DWARF))
