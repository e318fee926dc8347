"""Exposure against the Science Tools' cube and closed forms."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from gammapy.maps import HpxGeom, MapAxis, WcsGeom

from dmgammapy.makers.lat.exposure import LATExposureMaker
from dmgammapy.makers.lat.livetime_cube import LivetimeCube
from dmgammapy.makers.lat.response import LATResponse
from tests.makers.lat.synthetic_caldb import SyntheticCALDB, UniformLivetime


@pytest.fixture
def response(tmp_path):
    SyntheticCALDB(p0=0.4, p1=0.65).write(tmp_path)
    return LATResponse.read(caldb=tmp_path)


@pytest.fixture
def axis():
    return MapAxis.from_energy_bounds("100 MeV", "100 GeV", nbin=3, name="energy_true")


def test_reference_cube_of_gtexpcube2(test_data):
    reference = test_data / "lat" / "reference"
    livetime = LivetimeCube.read(reference / "ltcube.fits.gz")
    with fits.open(reference / "binned_expmap.fits.gz") as hdus:
        expected = hdus[0].data.astype(float)
        energy = hdus["ENERGIES"].data.field(0)
        header = hdus[0].header.copy()
    for name in list(header):
        if name.startswith(("MJD", "DATE", "TIME")):
            del header[name]
    axis = MapAxis.from_nodes(energy * u.MeV, name="energy_true", interp="log")
    geom = WcsGeom(WCS(header).celestial, npix=(40, 40), axes=[axis])
    response = LATResponse.read("P8R2_SOURCE_V6", "FB", test_data / "lat" / "caldb")
    maker = LATExposureMaker(response, interpolation="nearest")
    ratio = maker.run(livetime, geom).data / expected
    assert ratio.mean() == pytest.approx(1, abs=2e-4)
    assert np.abs(ratio - 1).max() < 1e-3
    # neighbouring livetime pixels differ by some percent, over which "linear" goes smoothly
    linear = LATExposureMaker(response).run(livetime, geom).data / expected
    assert linear.mean() == pytest.approx(1, abs=2e-4)
    assert np.abs(linear - 1).max() < 0.03


def test_closed_form(response, axis):
    geom = WcsGeom.create(npix=(3, 2), binsz=1, axes=[axis])
    exposure = LATExposureMaker(response).run(UniformLivetime(100, fraction=0.9), geom)
    # 0.9 m2, 32 of 40 bins of cos theta beyond 0.2, efficiency 0.4 * 0.9 + 0.65
    expected = 0.9e4 * 32 * 100 * (0.4 * 0.9 + 0.65)
    assert exposure.unit == "cm2 s"
    assert exposure.data.shape == (3, 2, 3)
    np.testing.assert_allclose(exposure.data, expected, rtol=1e-6)


def test_cut_in_inclination_and_event_types(response, axis):
    geom = WcsGeom.create(npix=1, axes=[axis])
    livetime = UniformLivetime(100, fraction=0.9)
    whole = LATExposureMaker(response).run(livetime, geom).data
    half = LATExposureMaker(response, costheta_cut=0.6).run(livetime, geom).data
    np.testing.assert_allclose(half, whole / 2, rtol=1e-6)
    parts = [LATExposureMaker(response, name).run(livetime, geom).data for name in ("FRONT", 2)]
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-12)


def test_bins_equal_in_root_stand_for_their_middle_there(tmp_path, axis):
    SyntheticCALDB(area_slope=1.0, p0=0, p1=1).write(tmp_path)
    response = LATResponse.read(caldb=tmp_path)
    edges = 1 - np.linspace(0, 1, 5) ** 2
    livetime = UniformLivetime([0, 0, 1, 0], edges=edges)
    geom = WcsGeom.create(npix=1, axes=[axis])
    exposure = LATExposureMaker(response).run(livetime, geom).data
    np.testing.assert_allclose(exposure, 0.9e4 * (1 - 0.625**2), rtol=1e-6)


def test_healpix_and_pixels_outside_the_projection(response, axis):
    geom = HpxGeom.create(nside=2, axes=[axis], frame="galactic")
    livetime = UniformLivetime()
    exposure = LATExposureMaker(response).run(livetime, geom)
    assert exposure.data.shape == (3, 48)
    assert np.ptp(exposure.data) == pytest.approx(0, abs=1e-4 * exposure.data.max())
    sky = WcsGeom.create(proj="AIT", binsz=20, axes=[axis])
    values = LATExposureMaker(response).run(livetime, sky).data
    inside = np.isfinite(sky.to_image().get_coord().skycoord.data.lon)
    assert not inside.all()
    assert np.all(values[:, ~inside] == 0)
    assert np.all(values[:, inside] > 0)


def test_errors(response, axis):
    geom = WcsGeom.create(npix=1, axes=[axis])
    with pytest.raises(ValueError, match="weighted by the livetime fraction"):
        LATExposureMaker(response).run(UniformLivetime(fraction=None), geom)
    low = MapAxis.from_energy_bounds("1 MeV", "1 GeV", nbin=3, name="energy_true")
    with pytest.raises(ValueError, match=r"exposure energies.*goes from 10 to"):
        LATExposureMaker(response).run(UniformLivetime(), WcsGeom.create(npix=1, axes=[low]))
    with pytest.raises(ValueError, match="unknown interpolation"):
        LATExposureMaker(response, interpolation="cubic")
    with pytest.raises(ValueError, match="lacks PSF0"):
        LATExposureMaker(response, "PSF0")
    assert "nearest" in repr(LATExposureMaker(response, interpolation="nearest"))


def test_negative_efficiency_is_an_error(tmp_path, axis):
    SyntheticCALDB(p0=2.0, p1=-1.0).write(tmp_path)
    maker = LATExposureMaker(LATResponse.read(caldb=tmp_path))
    geom = WcsGeom.create(npix=1, axes=[axis])
    assert maker.run(UniformLivetime(fraction=0.9), geom).data.min() > 0
    with pytest.raises(ValueError, match="negative exposure"):
        maker.run(UniformLivetime(fraction=0.4), geom)


def test_no_efficiency_correction_needs_no_weighted_livetime(tmp_path, axis):
    SyntheticCALDB(p0=0, p1=0).write(tmp_path)  # all zeros: no correction, as in old files
    response = LATResponse.read(caldb=tmp_path)
    geom = WcsGeom.create(npix=1, axes=[axis])
    exposure = LATExposureMaker(response).run(UniformLivetime(fraction=None), geom).data
    np.testing.assert_allclose(exposure, 0.9e4 * 32 * 100, rtol=1e-6)
