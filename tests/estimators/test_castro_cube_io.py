"""fermipy's TS cube files: layout, signs, exact round trips, old files, damage."""

import logging

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from gammapy.maps import WcsGeom, WcsNDMap
from gammapy.modeling.models import PowerLawSpectralModel
from numpy.testing import assert_allclose, assert_array_equal

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators.castro_cube import CastroCube

from .cube_helpers import PoissonCube


@pytest.fixture(scope="module")
def truth():
    return PoissonCube()


@pytest.fixture(scope="module")
def cube(truth):
    mask = np.ones((3, 4), bool)
    mask[2, 0] = False
    model = PowerLawSpectralModel(index=2, amplitude="1e-12 cm-2 s-1 MeV-1", reference="1 GeV")
    return truth.cube(
        mask=mask, meta={"rois": ["a", 3]}, cl=0.9, interpolation="cubic", norm_type="flux",
        ref_eflux=None, reference_model=model,
    )  # fmt: skip


@pytest.fixture
def path(cube, tmp_path):
    cube.write(tmp_path / "tscube.fits")
    return tmp_path / "tscube.fits"


def edited(path, change):
    """The file after a change of its HDUs, without checksums."""
    with fits.open(path, memmap=False) as hdus:
        for hdu in hdus:
            hdu.data  # noqa: B018
            for key in ("CHECKSUM", "DATASUM"):
                hdu.header.remove(key, ignore_missing=True)
        result = change(hdus)
        (hdus if result is None else result).writeto(path, overwrite=True)
    return path


def assert_same(a, b):
    """All that a cube holds is equal, bit for bit, where pixels were computed."""
    assert a.geom == b.geom
    assert_array_equal(a.mask, b.mask)
    for name in ("norm_scan", "stat_scan", "stat"):
        assert_array_equal(getattr(a, name)[a.mask], getattr(b, name)[a.mask], err_msg=name)
    for name in ("norm", "norm_err", "norm_ul", "ts"):
        assert_array_equal(getattr(a, name).data, getattr(b, name).data, err_msg=name)
    for name in ("ts", "norm", "norm_err", "norm_errn", "norm_errp", "norm_ul"):
        assert_array_equal(a.fit_map(name).data, b.fit_map(name).data, err_msg=f"fit_{name}")
    for name in ("energy_edges", "energy_ref", "ref_flux", "ref_eflux", "ref_dnde"):
        assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
        if getattr(a, name) is not None:
            assert getattr(a, name).unit == getattr(b, name).unit
    for name in ("norm_type", "interpolation", "instrument", "cl", "meta"):
        assert getattr(a, name) == getattr(b, name), name
    assert_array_equal(a.ref_npred, b.ref_npred)


def test_round_trip_is_exact(cube, path):
    again = CastroCube.read(path)
    assert_same(cube, again)
    assert again.reference_model.index.value == 2
    assert_same(cube, CastroCube.from_hdulist(cube.to_hdulist()))


def test_round_trip_of_a_bare_cube(truth, tmp_path):
    bare = truth.cube(stat=None, ref_npred=None, instrument=None)
    bare.write(tmp_path / "bare.fits", format="fermipy")
    again = CastroCube.read(tmp_path / "bare.fits", format="fermipy")
    assert again.stat is None
    assert again.ref_npred is None
    assert again.instrument is None
    assert_array_equal(again.stat_scan, truth.stat_scan)


def test_round_trip_of_counts_per_pixel(truth, tmp_path):
    npred = np.arange(72.0).reshape(3, 4, 6) + 1
    truth.cube(ref_npred=npred).write(tmp_path / "cube.fits")
    assert_array_equal(CastroCube.read(tmp_path / "cube.fits").ref_npred, npred)


def test_layout_as_fermipy_reads_it(truth, cube, path):
    """Steps of fermipy 1.4.3 castro.TSCube.create_from_fits, with plain astropy and Gammapy."""
    tsmap = WcsNDMap.read(path)
    assert tsmap.data.shape == (3, 4)
    assert tsmap.geom == cube.geom
    bounds, scans, fit = (Table.read(path, hdu=n) for n in ("EBOUNDS", "SCANDATA", "FITDATA"))
    assert str(bounds["E_MIN"].unit) == "MeV"
    assert_allclose(bounds["E_MIN"], 1e3 * truth.edges.value[:-1])
    assert_allclose(bounds["E_MAX"], 1e3 * truth.edges.value[1:])
    assert_allclose(bounds["REF_NPRED"], truth.signal)
    assert_allclose(bounds["REF_FLUX"], cube.ref_flux.to_value("cm-2 s-1"))
    for name in ("REF_DNDE", "REF_EFLUX", "E_REF"):
        assert name in bounds.colnames
    assert len(scans) == 12
    # rows run along x first: pixel (iy, ix) = (1, 2) is row 6
    row = scans[1 * 4 + 2]
    assert row["norm_scan"].shape == (6, 60)
    assert_array_equal(row["norm_scan"], truth.norm_scan[1, 2])
    # dloglike_scan = ln L - max ln L <= 0, loglike = ln L at the maximum, from the counts
    norm = truth.norm_scan[1, 2]
    mu = truth.background[:, None] + truth.signal[:, None] * norm
    loglike = truth.counts[1, 2][:, None] * np.log(mu) - mu
    exact = truth.background + truth.signal * truth.best[1, 2]
    highest = truth.counts[1, 2] * np.log(exact) - exact
    assert_allclose(row["dloglike_scan"], loglike - highest[:, None], atol=1e-9)
    assert (row["dloglike_scan"] <= 0).all()
    assert_allclose(row["loglike"], highest)
    assert_allclose(row["ts"], truth.ts[1, 2], atol=0.01)
    assert_allclose(row["norm"], truth.best[1, 2], atol=3e-3)  # by a cubic
    assert_array_equal(row["bin_status"], 0)
    cube_of_ts = np.rollaxis(np.array(scans["ts"]).reshape(3, 4, 6), 2, 0)
    assert_array_equal(cube_of_ts, cube.ts.data)
    assert_array_equal(np.array(fit["fit_norm"]).reshape(3, 4), cube.fit_map("norm").data)
    assert_array_equal(np.array(fit["fit_ts"]).reshape(3, 4), tsmap.data)
    assert_array_equal(fit["fit_status"], np.arange(12) == 8)  # the masked pixel


def test_rows_are_read_as_single_likelihoods(cube, path):
    """The reader of single rows gives what the cube gives."""
    dataset = SEDLikelihoodDataset.read(path, row=6)
    expected = cube.get_dataset(idx=(1, 2))
    assert_array_equal(dataset.norm_scan, expected.norm_scan)
    assert_array_equal(dataset.stat_scan, expected.stat_scan)
    assert_array_equal(dataset.stat, expected.stat)
    assert dataset.norm_type == "flux"
    with pytest.raises(ValueError, match="bin_status says"):
        SEDLikelihoodDataset.read(path, row=8)  # masked


def as_cube(real, shape):
    """HDUs of a real fermipy castro file of targets, with a map in front."""
    with fits.open(real, memmap=False) as hdus:
        n = shape[0] * shape[1]
        data = hdus["SCANDATA"].data[:n]
        columns = [c for c in hdus["SCANDATA"].columns if c.name != "target"]
        scans = fits.BinTableHDU.from_columns(
            [fits.Column(c.name, c.format, dim=c.dim, array=data[c.name]) for c in columns],
            name="SCANDATA",
        )
        fit = fits.BinTableHDU.from_columns(
            [fits.Column(name, "E", array=data[name]) for name in ("FIT_TS", "FIT_NORM")],
            name="FITDATA",
        )
        bounds = fits.BinTableHDU(hdus["EBOUNDS"].data, hdus["EBOUNDS"].header)
        geom = WcsGeom.create(npix=shape[::-1], binsz=0.1, skydir=(80, -30), proj="AIT")
        primary = fits.PrimaryHDU(np.zeros(shape, "f4"), geom.to_header())
        return fits.HDUList([primary, scans, bounds, fit])


def test_old_names_and_units(test_data, tmp_path):
    """Real scans of fermipy: upper-case names, DFDE, energies in keV, single precision."""
    real = test_data / "fermipy" / "castro.fits"
    as_cube(real, (5, 5)).writeto(tmp_path / "old.fits")
    cube = CastroCube.read(tmp_path / "old.fits")
    assert cube.instrument == "fermi-lat"
    with fits.open(real, memmap=False) as hdus:
        bounds, scans = hdus["EBOUNDS"].data, hdus["SCANDATA"].data
        assert_allclose(cube.energy_edges[:-1].to_value("keV"), bounds["E_MIN"], rtol=1e-6)
        assert_allclose(cube.ref_dnde.value, bounds["REF_DFDE"])
        assert_allclose(cube.ts.data[:, 2, 3], scans["TS"][13])
        assert_allclose(cube.ts_map().data.ravel(), scans["TS"][:25].sum(axis=1), rtol=1e-5)
        assert_allclose(cube.ts_map("reference").data.ravel(), scans["FIT_TS"][:25])
        assert_allclose(cube.stat_scan[1, 4], -2 * scans["DLOGLIKE_SCAN"][9])
        # fermipy's norm_ul is norm + 2 errp; without counts ln L falls linearly, by 0.5 at errp,
        # by 2.7055 / 2 at the 95 % limit
        old, errp = scans["NORM_UL"][:25], scans["NORM_ERRP"][:25]
        assert_allclose(old, scans["NORM"][:25] + 2 * errp, rtol=1e-5)
        empty = scans["TS"][:25, 11] == 0
        ratio = cube.norm_ul.data[11].ravel() / old[:, 11]
        assert empty.sum() > 5
        assert_allclose(np.median(ratio[empty]), 2.705543 / 2, rtol=1e-3)
    row = SEDLikelihoodDataset.read(real, row=9)
    assert_array_equal(cube.get_dataset(idx=(1, 4)).norm_scan, row.norm_scan)
    # what was read can be written, and read again
    cube.write(tmp_path / "new.fits")
    again = CastroCube.read(tmp_path / "new.fits")
    assert_array_equal(again.stat_scan, cube.stat_scan)
    assert_array_equal(again.ts.data, cube.ts.data)
    assert_array_equal(again.energy_edges, cube.energy_edges)


def test_failed_fits(path, caplog):
    def change(hdus):
        hdus["SCANDATA"].data["bin_status"][5, 2] = 1

    edited(path, change)
    with caplog.at_level(logging.WARNING):
        cube = CastroCube.read(path)
    assert "1 of 12 pixels" in caplog.text
    assert "(1, 1)" in caplog.text
    assert not cube.mask[1, 1]
    assert not cube.mask[2, 0]
    assert cube.mask.sum() == 10
    kept = CastroCube.read(path, failed="keep")
    assert kept.mask.sum() == 11  # the one that was never computed has no scans to keep
    with pytest.raises(ValueError, match="failed='mask'"):
        CastroCube.read(path, failed="error")


def _without(name):
    return lambda hdus: fits.HDUList([hdu for hdu in hdus if hdu.name != name])


def _no_image(hdus):
    return fits.HDUList([fits.PrimaryHDU(), *hdus[1:]])


def _small_map(hdus):
    return fits.HDUList([fits.PrimaryHDU(np.zeros((3, 3)), hdus[0].header), *hdus[1:]])


def _sign(hdus):
    hdus["SCANDATA"].data["dloglike_scan"][3] *= -1


def _bins(hdus):
    hdus["EBOUNDS"].data["E_MIN"][2] *= 1.1


def _energy(hdus):
    hdus["SCANDATA"].header["DMENERGY"] = hdus["SCANDATA"].header["DMENERGY"].replace("GeV", "TeV")


def _nan(hdus):
    hdus["SCANDATA"].data["norm_scan"][7, 4, 3] = np.nan


def _rename(hdus):
    hdus["SCANDATA"].columns.change_name("norm_scan", "NORMSCAN")


def _all_failed(hdus):
    hdus["SCANDATA"].data["bin_status"][:] = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("EBOUNDS"), "no HDU EBOUNDS, only PRIMARY, SCANDATA, FITDATA"),
        (_without("SCANDATA"), "no HDU SCANDATA"),
        (_no_image, "must be the TS map.*NAXIS = 0"),
        (_small_map, r"with 3 x 3 pixels as in the TS map and 6 bins.*\(12, 6, 60\)"),
        (_sign, r"row 3 \(pixel \(iy, ix\) = \(0, 3\)\), bin 0: dloglike_scan"),
        (_bins, "energy bins must be contiguous"),
        (_energy, "DMENERGY says energy_edges"),
        (_nan, r"row 7 \(pixel \(iy, ix\) = \(1, 3\)\), bin 4: scan point 3"),
        (_rename, "early Science Tools"),
        (_all_failed, "no pixel has scans"),
    ],
)
def test_damage_is_named(path, change, message):
    edited(path, change)
    with pytest.raises(ValueError, match=message) as error:
        CastroCube.read(path)
    assert "tscube.fits" in str(error.value)


def test_file_of_targets_is_no_map(test_data):
    with pytest.raises(ValueError, match="its rows are targets, not pixels"):
        CastroCube.read(test_data / "fermipy" / "castro.fits")


def test_other_files(cube, path, tmp_path):
    (tmp_path / "text.fits").write_text("no FITS file")
    with pytest.raises(ValueError, match="TS cubes are FITS files"):
        CastroCube.read(tmp_path / "text.fits")
    with pytest.raises(FileNotFoundError, match="no such file"):
        CastroCube.read(tmp_path / "absent.fits")
    with pytest.raises(ValueError, match="format must be one of fermipy"):
        CastroCube.read(path, format="gadf")
    with pytest.raises(ValueError, match="failed must be one of"):
        CastroCube.read(path, failed="maybe")
    content = bytearray(path.read_bytes())
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="truncated or damaged"):
        CastroCube.read(path)


def test_write_does_not_replace_unasked(cube, path):
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        cube.write(path)
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="format must be"):
        cube.write(path, overwrite=True, format="gadf")
    cube.cutout(cube.geom.center_skydir, 1 * u.deg).write(path, overwrite=True)
    assert CastroCube.read(path).mask.size < cube.mask.size
