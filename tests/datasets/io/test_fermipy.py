"""fermipy SED files: real ones, round trips, damage."""

import gzip

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal

from dmgammapy.datasets import SEDLikelihoodDataset

from ..sed_helpers import poisson_dataset, poisson_stat
from .builders import every_row, fermipy_columns, put, replaced, table_hdu, write_fits


def read(path, **kwargs):
    return SEDLikelihoodDataset.read(path, **kwargs)


def test_old_layout_of_fermipy(test_data):
    dataset = read(test_data / "fermipy" / "sed.fits")
    assert dataset.name == "sed"
    assert dataset.instrument == "fermi-lat"
    assert dataset.norm_scan.shape == (11, 20)
    assert_allclose(dataset.energy_edges[[0, -1]].to_value("GeV"), [1, 500], rtol=1e-7)
    raw = fits.getdata(test_data / "fermipy" / "sed.fits", 1)
    assert_array_equal(dataset.norm_scan, raw["NORM_SCAN"])
    assert_array_equal(dataset.stat_scan, -2 * raw["DLOGLIKE_SCAN"])
    assert_array_equal(dataset.stat, -2 * raw["LOGLIKE"])
    assert_array_equal(dataset.ref_dnde.value, raw["REF_DFDE"])
    assert dataset.ref_dnde.unit == "MeV-1 cm-2 s-1"
    # what fermipy itself found: TS to 1e-5, limits and best fits as its splines give them
    assert_allclose(dataset.ts, raw["TS"], atol=1e-4)
    assert_allclose(dataset.norm_ul(), raw["NORM_UL"], rtol=3e-3)
    found = raw["NORM"] > 1e-9
    assert_allclose(dataset.norm[found], raw["NORM"][found], rtol=5e-3)


def test_golden_file_of_the_modern_layout(test_data):
    path = test_data / "golden" / "sed" / "sed_target_05_point_null.fits"
    dataset = read(path)
    raw = fits.getdata(path, 1)
    assert dataset.name == "target_05"
    assert_array_equal(dataset.norm_scan, raw["norm_scan"])
    assert_array_equal(dataset.stat_scan, -2 * raw["dloglike_scan"])
    assert_allclose(dataset.norm_ul(), raw["norm_ul"], rtol=1e-6)
    assert_allclose(dataset.ts, raw["ts"], atol=1e-9)


@pytest.mark.parametrize("layout", ["modern", "upper", "dfde"])
@pytest.mark.parametrize("path", ["fermipy/sed.fits", "golden/sed/sed_target_41_point_inj.fits"])
def test_round_trip_is_exact(test_data, tmp_path, path, layout):
    dataset = read(test_data / path)
    new_path = tmp_path / "sed_new.fits"
    dataset.write(new_path, layout=layout)
    new = read(new_path)
    for name in ("norm_scan", "stat_scan", "stat", "ref_npred"):
        assert_array_equal(getattr(new, name), getattr(dataset, name))
    for name in ("energy_edges", "energy_ref", "ref_flux", "ref_eflux", "ref_dnde"):
        assert_array_equal(getattr(new, name), getattr(dataset, name))
    assert new.name == dataset.name
    old, raw = fits.getdata(test_data / path, 1), fits.getdata(new_path, 1)
    assert_array_equal(raw["dloglike_scan"], old["dloglike_scan"])
    assert_array_equal(raw["loglike"], old["loglike"])
    names = raw.columns.names
    assert ("REF_DFDE" in names) == (layout != "modern")
    assert all(name == (name.lower() if layout == "modern" else name.upper()) for name in names)
    if "golden" in path:  # whose reference is a power law
        for end in ("e_min", "e_max"):
            found = raw[f"ref_{'dnde' if layout == 'modern' else 'dfde'}_{end}"]
            assert_allclose(found, old[f"ref_dnde_{end}"], rtol=1e-6)


def test_written_columns_are_fermipys(test_data, tmp_path):
    # all that the golden file, written in fermipy's layout, has; with the same units
    path = test_data / "golden" / "sed" / "sed_target_00_point_null.fits"
    read(path).write(tmp_path / "new.fits")
    with fits.open(path) as old, fits.open(tmp_path / "new.fits") as new:
        assert new[1].name == "SED"
        assert new[1].columns.names == old[1].columns.names
        assert new[1].header["UL_CONF"] == 0.95
        for name in ("norm_ul", "e2dnde_ul", "ts", "norm"):
            assert_allclose(new[1].data[name], old[1].data[name], rtol=1e-6, atol=1e-4)
        for a, b in zip(new[1].columns.units, old[1].columns.units, strict=True):
            assert u.Unit(a or "") == u.Unit(b or "")


def test_units_are_converted(tmp_path):
    columns = fermipy_columns()
    for name in ("e_min", "e_ref", "e_max"):
        columns[name] = (columns[name][0] / 1000, "GeV")
    columns["ref_eflux"] = (columns["ref_eflux"][0] * 1.602176634e-6, "erg cm-2 s-1")
    columns["ref_dnde"] = (columns["ref_dnde"][0] * 1e6, "ph TeV-1 s-1 cm-2")
    dataset = read(write_fits(tmp_path / "sed_x.fits", table_hdu(columns)))
    plain = poisson_dataset()
    for name in ("energy_edges", "ref_eflux", "ref_flux", "ref_dnde"):
        assert_allclose(getattr(dataset, name), getattr(plain, name), rtol=1e-12)
    assert dataset.name == "x"


def test_likelihood_of_a_file_is_the_one_it_was_made_of(tmp_path):
    dataset = read(write_fits(tmp_path / "sed.fits", table_hdu(fermipy_columns())))
    norm = np.array([0.13, 0.57, 1.9, 2.2])
    stat = dataset.stat + dataset.scans.stat(norm)
    assert_allclose(stat, poisson_stat(norm), atol=1e-4)


def test_keywords_override_the_file(test_data):
    path = test_data / "golden" / "sed" / "sed_target_00_point_null.fits"
    dataset = read(path, name="me", norm_type="flux", interpolation="linear", instrument="hess")
    assert (dataset.name, dataset.norm_type) == ("me", "flux")
    assert (dataset.interpolation, dataset.instrument) == ("linear", "hess")


def test_compressed_file(test_data, tmp_path):
    path = test_data / "golden" / "sed" / "sed_target_05_point_null.fits"
    packed = tmp_path / "sed_dwarf.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert_array_equal(read(packed).stat_scan, read(path).stat_scan)
    packed.write_bytes(packed.read_bytes()[:5000])
    with pytest.raises(ValueError, match="truncated or damaged"):
        read(packed)


def test_references_that_are_missing_stay_so(tmp_path):
    columns = fermipy_columns()
    del columns["ref_flux"], columns["ref_dnde"], columns["loglike"], columns["ref_npred"]
    dataset = read(write_fits(tmp_path / "sed.fits", table_hdu(columns)))
    dataset.write(tmp_path / "new.fits")
    new = read(tmp_path / "new.fits")
    assert new.ref_flux is None
    assert new.ref_dnde is None
    assert new.stat is None
    assert_array_equal(new.ref_eflux, dataset.ref_eflux)


def test_shorter_scans_survive(tmp_path):
    columns = fermipy_columns()
    for name in ("norm_scan", "dloglike_scan"):
        columns = replaced(columns, name, put((1, slice(15, None)), np.nan))
    dataset = read(write_fits(tmp_path / "sed.fits", table_hdu(columns)))
    assert_allclose(dataset.scans.norm_max[1], columns["norm_scan"][0][1, 14])
    dataset.write(tmp_path / "new.fits")
    assert_array_equal(read(tmp_path / "new.fits").norm_scan, dataset.norm_scan)


def test_existing_file_is_kept(tmp_path):
    path = tmp_path / "sed.fits"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        poisson_dataset().write(path)
    with pytest.raises(ValueError, match="layout must be"):
        poisson_dataset().write(path, layout="odd", overwrite=True)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


C = fermipy_columns()


def without(*names):
    return {name: column for name, column in C.items() if name not in names}


DAMAGE = {
    "missing scan": (without("dloglike_scan"), "missing column dloglike_scan; found e_min"),
    "missing energies": (without("e_min", "e_max"), "missing columns e_min, e_max"),
    "missing references": (
        without("ref_flux", "ref_eflux", "ref_dnde"),
        "none of the columns ref_eflux, ref_flux, ref_dnde",
    ),
    "shape of scan": (
        replaced(C, "norm_scan", lambda v: v[:, :-1]),
        r"same shape .*\(4, 19\) and \(4, 20\)",
    ),
    "one point": (
        replaced(C, "norm_scan", lambda v: v[:, 0]),
        r"'norm_scan' must have 2 dimension.* got shape \(4,\)",
    ),
    "two points": (
        replaced(replaced(C, "norm_scan", lambda v: v[:, :2]), "dloglike_scan", lambda v: v[:, :2]),
        "at least 3 points, got 2",
    ),
    "text": (C | {"e_min": (np.array(["a"] * 4), None)}, "'e_min' must hold numbers"),
    "nan likelihood": (
        replaced(C, "dloglike_scan", put((2, 3), np.nan)),
        r"row 2 \(from 0\): scan point 3 is norm .*, dloglike_scan nan",
    ),
    "nan norm": (replaced(C, "norm_scan", put((0, -1), np.nan)), "scan point 19 is norm nan"),
    "nan energy": (replaced(C, "e_min", put(1, np.nan)), "lower energy must be positive"),
    "nan reference": (replaced(C, "ref_eflux", put(1, np.nan)), "ref_eflux must be positive"),
    "nan loglike": (replaced(C, "loglike", put(1, np.nan)), "row 1.*loglike must be finite"),
    "unsorted": (
        every_row(C, lambda v: v[[0, 2, 1, 3]]),
        "row 1.*contiguous and ascend, got 1000-3000 MeV then 9000-27000 MeV",
    ),
    "reversed": (every_row(C, lambda v: v[::-1]), "Sort the bins"),
    "gap": (every_row(C, lambda v: v[[0, 1, 3]]), "got 3000-9000 MeV then 27000-81000.*missing"),
    "overlap": (replaced(C, "e_min", put(2, 8000.0)), "got 3000-9000 MeV then 8000-27000 MeV"),
    "bin upside down": (replaced(C, "e_max", put(3, 100.0)), "an energy bin must ascend"),
    "repeated row": (every_row(C, lambda v: v[[0, 1, 1, 2, 3]]), "Remove the repeated bin"),
    "two targets": (
        every_row(C, lambda v: np.concatenate([v, v])),
        "row 4.*27000-81000 MeV then 1000-3000 MeV.*two targets",
    ),
    "empty": (every_row(C, lambda v: v[:0]), "no energy bins"),
    "unit of energy": (C | {"e_min": (C["e_min"][0], "cm")}, "unit 'cm'; expected one convert"),
    "no unit of energy": (C | {"e_max": (C["e_max"][0], None)}, "'e_max' has no unit"),
    "no unit at all": (C | {"e_max": (C["e_max"][0], "furlong")}, "has unit 'furlong'"),
    "wrong but possible unit of energy": (
        C | {name: (C[name][0], "GeV") for name in ("e_min", "e_max", "e_ref")},
        "outside its bin.*units of energies and fluxes",
    ),
    "unit of e_ref": (C | {"e_ref": (C["e_ref"][0], "keV")}, "e_ref = .* lies outside its bin"),
    "unit of flux": (C | {"ref_flux": (C["ref_flux"][0], "m-2 s-1")}, "outside its bin"),
    "kind of flux": (C | {"ref_eflux": (C["ref_eflux"][0], "cm-2 s-1")}, "expected one convert"),
    "unit of dnde": (
        C | {"ref_dnde": (C["ref_dnde"][0], "GeV-1 cm-2 s-1")},
        "ref_flux is .* times what ref_dnde gives",
    ),
    "descending norms": (replaced(C, "norm_scan", lambda v: v[:, ::-1]), "must ascend"),
    "repeated norm": (replaced(C, "norm_scan", put((1, 5), C["norm_scan"][0][1, 4])), "points 4"),
    "sign": (
        replaced(C, "dloglike_scan", lambda v: -v),
        "can't be positive, got .*Is the sign that of -ln L",
    ),
    "positive": (replaced(C, "dloglike_scan", put((2, 4), 0.3)), "can't be positive, got 0.3"),
    "absolute": (
        replaced(C, "dloglike_scan", lambda v: v - 8000),
        "highest value is -80.*Subtract the maximum",
    ),
    "shuffled": (
        replaced(C, "dloglike_scan", lambda v: np.roll(v, 5, axis=1)),
        "maximum inside its scan",
    ),
    "negative reference": (replaced(C, "ref_eflux", lambda v: -v), "must be positive"),
    "two columns of one meaning": (
        C | {"ref_dfde": C["ref_dnde"]},
        "'ref_dnde' and 'ref_dfde' mean the same",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_refused(tmp_path, damage):
    columns, message = DAMAGE[damage]
    path = write_fits(tmp_path / "sed_bad.fits", table_hdu(columns))
    with pytest.raises(ValueError, match=message) as error:
        read(path, format="fermipy")
    assert "sed_bad.fits" in str(error.value)


def test_undamaged_columns_are_read(tmp_path):
    # so that the damage above is what raises
    dataset = read(write_fits(tmp_path / "sed_good.fits", table_hdu(C)), format="fermipy")
    assert dataset.n_bins == 4


def test_file_without_a_table(tmp_path):
    path = write_fits(tmp_path / "sed.fits")
    with pytest.raises(ValueError, match="no table HDU; expected energy bins in HDU 1"):
        read(path, format="fermipy")
    with pytest.raises(ValueError, match="no SED likelihood format fits"):
        read(path)


@pytest.mark.parametrize("keep", [40, 3000, 9000, -2000, -100])
def test_truncated_file(test_data, tmp_path, keep):
    content = (test_data / "golden" / "sed" / "sed_target_00_point_null.fits").read_bytes()
    path = tmp_path / "sed_cut.fits"
    path.write_bytes(content[:keep])
    with pytest.raises(ValueError, match=r"sed_cut.fits: (the FITS file is truncated|no SED)"):
        read(path)


def test_garbled_and_empty_files(tmp_path):
    path = tmp_path / "sed.fits"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="the file is empty"):
        read(path)
    path.write_bytes(b"SIMPLE  =  nonsense" + bytes(range(256)) * 20)
    with pytest.raises(ValueError, match="sed.fits"):
        read(path)
    path.write_bytes(bytes(range(128, 256)) * 20)
    with pytest.raises(ValueError, match="neither a FITS nor a text file"):
        read(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read(tmp_path / "absent.fits")
