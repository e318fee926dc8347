"""Spatial templates: what they hold, and that nothing is counted twice."""

import astropy.units as u
import healpy
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.maps import HpxGeom, HpxNDMap, Map, MapAxis, WcsGeom
from gammapy.modeling.models import Models, PowerLawSpectralModel, SkyModel
from numpy.testing import assert_allclose
from scipy.integrate import quad

from dmgammapy.modeling import (
    spatial_template,
    spatial_template_from_healpix,
    spatial_template_from_radial,
)

CENTER = SkyCoord(0, 0, unit="deg", frame="galactic")
J_UNIT = u.Unit("GeV2 cm-5")


def grid(width=6, binsz=0.1, proj="CAR", **kwargs):
    return WcsGeom.create(
        skydir=CENTER, width=width, binsz=binsz, proj=proj, frame="galactic", **kwargs
    )


def gauss_map(unit="GeV2 cm-5"):
    result = Map.from_geom(grid(), unit=unit)
    separation = result.geom.separation(CENTER).deg
    result.data = 3e16 * np.exp(-0.5 * (separation / 0.5) ** 2)
    return result


def test_template_of_a_map_per_pixel():
    jfactors = gauss_map()
    model, jfactor = spatial_template(jfactors)
    assert_allclose(jfactor.value, jfactors.data.sum())
    assert jfactor.unit == J_UNIT
    assert_allclose(model.integrate_geom(jfactors.geom).data, jfactors.data / jfactors.data.sum())


def test_template_of_a_map_per_solid_angle():
    jfactors = gauss_map("GeV2 cm-5 deg-2")
    _, jfactor = spatial_template(jfactors)
    # 2 pi sigma2 times the peak, with sigma 0.5 deg
    assert_allclose(jfactor.to_value(J_UNIT), 3e16 * 2 * np.pi * 0.5**2, rtol=1e-4)


def test_written_template_comes_back_the_same(tmp_path):
    """Normalising again on reading would divide by the solid angle twice."""
    wide = Map.from_geom(grid(width=60, binsz=2, proj="TAN"), unit="GeV2 cm-5")
    wide.data += 1e16
    model, _ = spatial_template(wide, filename=tmp_path / "template.fits")
    sky = SkyModel(PowerLawSpectralModel(), model, name="halo")
    Models([sky]).write(tmp_path / "models.yaml", write_covariance=False)
    again = Models.read(tmp_path / "models.yaml")["halo"].spatial_model
    assert_allclose(again.map.data, model.map.data, rtol=1e-6)
    assert_allclose(again.integrate_geom(wide.geom).data.sum(), 1, rtol=1e-6)


def test_template_without_file_name_cannot_be_written(tmp_path):
    model, _ = spatial_template(gauss_map())
    with pytest.raises(OSError, match="Missing filename"):
        model.write()


def test_maps_that_are_no_templates():
    with pytest.raises(TypeError, match="WcsNDMap"):
        spatial_template(np.ones((3, 3)))
    axis = MapAxis.from_energy_bounds("1 GeV", "10 GeV", 2)
    with pytest.raises(ValueError, match="no other axes, got energy"):
        spatial_template(Map.from_geom(grid(axes=[axis])))
    with pytest.raises(ValueError, match="no signal"):
        spatial_template(Map.from_geom(grid()))
    for value, message in ((-1, "not positive or zero"), (np.nan, "not finite")):
        damaged = gauss_map()
        damaged.data[3, 4] = value
        with pytest.raises(ValueError, match=rf"1 values are {message}.*\(3, 4\)"):
            spatial_template(damaged)


# --- radial tables -------------------------------------------------------------------------------


def test_radial_power_law_in_closed_form():
    """A theta^-1.3 disc of 2 deg in a map that holds it: 2 pi A / 0.7 theta^0.7, sin = theta."""
    theta = np.geomspace(0.01, 2, 20) * u.deg
    table = 1e20 * (theta.to_value("rad")) ** -1.3 * u.Unit("GeV2 cm-5 sr-1")
    model, jfactor = spatial_template_from_radial(theta, table, CENTER, grid())
    expected = quad(lambda t: 2 * np.pi * 1e20 * np.sin(t) * t**-1.3, 0, np.deg2rad(2))[0]
    assert_allclose(jfactor.value, expected, rtol=1e-4)
    assert_allclose(model.integrate_geom(grid()).data.sum(), 1, rtol=1e-6)
    # in the map's corner nothing is left
    assert model.map.data[0, 0] == 0


def test_radial_table_truncated_by_the_map():
    """Within a square of 1 deg: the integral over the square, in polar coordinates."""
    theta = np.geomspace(0.01, 5, 20) * u.deg
    table = 1e20 * theta.to_value("rad") ** -1.3 * u.Unit("GeV2 cm-5 sr-1")
    geom = grid(width=1.1, binsz=0.1, proj="TAN")
    _, jfactor = spatial_template_from_radial(theta, table, CENTER, geom)
    half = np.deg2rad(0.55)
    square = quad(lambda phi: (half / np.cos(phi)) ** 0.7 / 0.7, 0, np.pi / 4)[0]
    assert_allclose(jfactor.value, 8 * square * 1e20, rtol=1e-4)


def test_radial_table_with_a_core():
    theta = np.array([0, 1, 2]) * u.deg
    flat = np.full(3, 5e20) * u.Unit("GeV2 cm-5 sr-1")
    _, jfactor = spatial_template_from_radial(theta, flat, CENTER, grid())
    assert_allclose(jfactor.value, 5e20 * 2 * np.pi * (1 - np.cos(np.deg2rad(2))), rtol=1e-5)
    decay = flat.value * u.Unit("GeV cm-2 sr-1")
    assert spatial_template_from_radial(theta, decay, CENTER, grid()).jfactor.unit == "GeV cm-2"


@pytest.mark.parametrize(
    ("theta", "values", "message"),
    [
        ([1, 2, 3] * u.kpc, [3, 2, 1] * J_UNIT / u.sr, "expected theta in deg"),
        ([1, 2, 3] * u.deg, [3, 2, 1] * J_UNIT, "expected theta in deg"),
        ([1, 2] * u.deg, [3, 2] * J_UNIT / u.sr, "at least three rows"),
        ([1, 2, 2] * u.deg, [3, 2, 1] * J_UNIT / u.sr, "row 2 has 2 deg"),
        ([1, 2, 3] * u.deg, [3, 0, 1] * J_UNIT / u.sr, "row 1 has 2 deg and 0"),
        ([0.1, 1, 2] * u.deg, [1000, 1, 0.5] * J_UNIT / u.sr, "diverges in the centre"),
    ],
)
def test_bad_radial_tables(theta, values, message):
    with pytest.raises(ValueError, match=message):
        spatial_template_from_radial(theta, values, CENTER, grid())
    with pytest.raises(TypeError, match="position"):
        spatial_template_from_radial([1, 2, 3] * u.deg, [3, 2, 1] * J_UNIT / u.sr, None, grid())


# --- HEALPix -------------------------------------------------------------------------------------


def healpix_gauss(nside, nest=False, sigma=1.0):
    lon, lat = healpy.pix2ang(nside, np.arange(12 * nside**2), nest=nest, lonlat=True)
    separation = SkyCoord(lon, lat, unit="deg", frame="galactic").separation(CENTER).deg
    return 3e16 * np.exp(-0.5 * (separation / sigma) ** 2)


@pytest.mark.parametrize("nside", [64, 512])
def test_healpix_integral_is_kept(nside):
    """All of a Gaussian lies in the map: what goes in comes out, to rounding."""
    values = healpix_gauss(nside)
    model, jfactor = spatial_template_from_healpix(
        values, grid(width=16, binsz=0.4), unit=J_UNIT, frame="galactic"
    )
    assert_allclose(jfactor.value, values.sum(), rtol=1e-6)
    assert_allclose(model.integrate_geom(model.map.geom).data.sum(), 1, rtol=1e-6)


def test_healpix_single_pixel_is_kept():
    values = np.zeros(12 * 32**2)
    pixel = healpy.ang2pix(32, 0.3, 0.2, lonlat=True)
    values[pixel] = 7e18
    _, jfactor = spatial_template_from_healpix(values, grid(), unit=J_UNIT, frame="galactic")
    assert_allclose(jfactor.value, 7e18, rtol=1e-12)


def test_healpix_brightness_is_that_of_the_map():
    """A fine HEALPix map of a Gaussian: the template is the Gaussian, pixel by pixel."""
    nside = 1024
    values = healpix_gauss(nside) / healpy.nside2pixarea(nside)
    geom = grid(width=4, binsz=0.2)
    model, jfactor = spatial_template_from_healpix(
        values, geom, unit="GeV2 cm-5 sr-1", frame="galactic"
    )
    separation = geom.separation(CENTER).deg
    expected = 3e16 / healpy.nside2pixarea(nside) * np.exp(-0.5 * separation**2)
    # the mean over a pixel: h2 / 24 times the Laplacian
    expected *= 1 + 0.2**2 / 24 * (separation**2 - 2)
    # cutting HEALPix pixels into parts leaves 0.14 % at most here
    assert_allclose(model.map.data * jfactor.value, expected, rtol=2e-3)


def test_healpix_uniform_sky():
    """Coarser and finer than the map, near the pole, and all of the sky."""
    for nside in (8, 256):
        for lat, width in ((0, 5), (70, 5)):
            geom = WcsGeom.create(skydir=(40, lat), width=width, binsz=0.25, proj="TAN")
            uniform = np.full(12 * nside**2, 2.0)
            model, jfactor = spatial_template_from_healpix(
                uniform, geom, unit="GeV2 cm-5 sr-1", frame="icrs"
            )
            assert_allclose(jfactor.value, 2 * geom.solid_angle().value.sum(), rtol=1e-3)
            assert_allclose(model.map.data * jfactor.value, 2, rtol=0.03)
    sky = WcsGeom.create(npix=(72, 36), binsz=5, frame="galactic", proj="CAR")
    _, jfactor = spatial_template_from_healpix(uniform, sky, "GeV2 cm-5 sr-1", "galactic")
    assert_allclose(jfactor.value, 8 * np.pi, rtol=1e-4)


def test_healpix_sources_and_orders_agree(tmp_path):
    geom = grid(width=4, binsz=0.2)
    ring, nested = healpix_gauss(128), healpix_gauss(128, nest=True)
    first = spatial_template_from_healpix(ring, geom, unit=J_UNIT, frame="galactic")
    path = tmp_path / "map.fits"
    healpy.write_map(path, ring, coord="G", column_units="GeV2 cm-5", dtype=float)
    gammapy_map = HpxNDMap(HpxGeom(128, nest=False, frame="galactic"), ring, unit=J_UNIT)
    others = [
        spatial_template_from_healpix(nested, geom, unit=J_UNIT, frame="galactic", nest=True),
        spatial_template_from_healpix(path, geom),
        spatial_template_from_healpix(gammapy_map, geom),
    ]
    for model, jfactor in others:
        assert_allclose(jfactor.value, first.jfactor.value, rtol=1e-12)
        assert_allclose(model.map.data, first.model.map.data, rtol=1e-9)


def test_healpix_frames():
    """The same source in a celestial map and a Galactic geometry."""
    values = np.zeros(12 * 128**2)
    icrs = CENTER.icrs
    values[healpy.ang2pix(128, icrs.ra.deg, icrs.dec.deg, lonlat=True)] = 1e18
    model, jfactor = spatial_template_from_healpix(values, grid(), unit=J_UNIT, frame="icrs")
    assert_allclose(jfactor.value, 1e18, rtol=1e-12)
    assert model.map.geom.separation(CENTER)[model.map.data > 0].max() < 0.7 * u.deg


@pytest.mark.parametrize(
    ("values", "kwargs", "message"),
    [
        (np.ones(100), {"unit": J_UNIT, "frame": "icrs"}, "12 nside"),
        (np.ones(12), {"frame": "icrs"}, "give unit="),
        (np.ones(12), {"unit": J_UNIT}, "give unit="),
        (np.ones(12), {"unit": "bananas", "frame": "icrs"}, "not known"),
        (np.full(12, np.nan), {"unit": J_UNIT, "frame": "icrs"}, "no value"),
        (np.full(12, healpy.UNSEEN), {"unit": J_UNIT, "frame": "icrs"}, "no value"),
        (-np.ones(12), {"unit": J_UNIT, "frame": "icrs"}, "negative"),
        (np.zeros(12), {"unit": J_UNIT, "frame": "icrs"}, "no signal"),
    ],
)
def test_bad_healpix(values, kwargs, message):
    with pytest.raises(ValueError, match=message):
        spatial_template_from_healpix(values, grid(), **kwargs)


def test_healpix_file_must_be_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        spatial_template_from_healpix(tmp_path / "none.fits", grid())
    with pytest.raises(TypeError, match="WcsGeom"):
        spatial_template_from_healpix(np.ones(12), HpxGeom(4), J_UNIT, "icrs")
