"""GADF likelihood SEDs: Gammapy's files, round trips, damage."""

import numpy as np
import pytest
from astropy.table import Table
from gammapy.estimators import FluxPoints
from numpy.testing import assert_allclose, assert_array_equal

from dmgammapy.datasets import SEDLikelihoodDataset

from ..sed_helpers import EDGES, poisson_best, poisson_dataset, poisson_stat, references
from .builders import every_row, put, replaced, table_hdu, write_fits

# Gammapy divides by zero, and mends it, in the energy flux of a power law of index 2
INDEX_TWO = pytest.mark.filterwarnings(
    "ignore:(divide by zero|invalid value) encountered:RuntimeWarning"
)


def read(path, **kwargs):
    return SEDLikelihoodDataset.read(path, **kwargs)


def gadf_columns():
    """Columns as Gammapy writes them, as (values, unit) by name."""
    reference = references()
    norms = np.append(0, np.geomspace(0.01, 12, 59))
    stat = poisson_stat(poisson_best())
    return {
        "e_ref": (np.sqrt(EDGES[:-1] * EDGES[1:]) / 1e6, "TeV"),
        "e_min": (EDGES[:-1] / 1e6, "TeV"),
        "e_max": (EDGES[1:] / 1e6, "TeV"),
        "ref_dnde": (reference["ref_dnde"].to_value("TeV-1 cm-2 s-1"), "TeV-1 cm-2 s-1"),
        "ref_flux": (reference["ref_flux"].value, "cm-2 s-1"),
        "ref_eflux": (reference["ref_eflux"].to_value("TeV cm-2 s-1"), "TeV cm-2 s-1"),
        "norm": (poisson_best(), None),
        "stat": (stat, None),
        "stat_scan": (poisson_stat(np.tile(norms, (4, 1))), None),
        "norm_scan": (np.tile(norms, (4, 1)), None),
    }


C = gadf_columns()
LIKELIHOOD = {"SED_TYPE": "likelihood"}


def save(path, columns, header=LIKELIHOOD):
    return write_fits(path, table_hdu(columns, "FLUXPOINTS", header))


def test_likelihood_of_a_file_is_the_one_it_was_made_of(tmp_path):
    dataset = read(save(tmp_path / "sed_dwarf.fits", C))
    assert dataset.name == "dwarf"
    assert dataset.instrument is None
    norm = np.array([0.3, 0.9, 1.7, 3.1])
    assert_allclose(dataset.stat + dataset.scans.stat(norm), poisson_stat(norm), atol=1e-4)
    for name, expected in references().items():
        assert_allclose(getattr(dataset, name), expected, rtol=1e-12)
    assert_allclose(dataset.norm_ul(), poisson_dataset().norm_ul(), rtol=1e-4)


def test_stat_may_be_missing(tmp_path):
    columns = {name: column for name, column in C.items() if name != "stat"}
    dataset = read(save(tmp_path / "sed.fits", columns))
    assert_array_equal(dataset.stat, C["stat_scan"][0].min(axis=1))
    assert_allclose(dataset.norm_ul(), poisson_dataset().norm_ul(), rtol=1e-3)


def test_dloglike_of_the_specification(tmp_path):
    columns = {name: column for name, column in C.items() if not name.startswith("stat")}
    relative = C["stat_scan"][0] - C["stat"][0][:, np.newaxis]
    columns["dloglike_scan"] = (-0.5 * relative, None)
    columns["loglike"] = (-0.5 * C["stat"][0], None)
    dataset = read(save(tmp_path / "sed.fits", columns), format="gadf")
    assert_allclose(dataset.stat_scan, relative, atol=1e-14)
    assert_allclose(dataset.stat, C["stat"][0])


@pytest.mark.parametrize("suffix", [".fits", ".ecsv"])
def test_round_trip_of_common_norms_is_exact(tmp_path, suffix):
    first = read(save(tmp_path / "sed_a.fits", C), interpolation="cubic", instrument="hess")
    path = tmp_path / f"sed_b{suffix}"
    first.write(path, format="gadf")
    second = read(path)
    for name in ("energy_edges", "energy_ref", "ref_flux", "ref_eflux", "ref_dnde"):
        assert_array_equal(getattr(second, name), getattr(first, name))
    assert_array_equal(second.norm_scan, first.norm_scan)
    assert_array_equal(second.stat, first.stat)
    # the file holds stat + stat_scan, so the last bits of stat_scan are lost once
    assert_allclose(second.stat_scan, first.stat_scan, rtol=1e-14, atol=1e-14)
    assert (second.interpolation, second.instrument) == ("cubic", "hess")
    assert second.name == first.name


@INDEX_TWO
@pytest.mark.parametrize("suffix", [".fits", ".ecsv"])
@pytest.mark.parametrize(
    "path",
    [
        "fermi_dsphs_2015/like_segue_1.txt",
        "fermipy/sed.fits",
        "golden/sed/sed_target_08_point_inj.fits",
    ],
)
def test_norms_of_each_bin_are_brought_to_common_ones(test_data, tmp_path, path, suffix):
    dataset = read(test_data / path)
    new_path = tmp_path / f"x{suffix}"
    dataset.write(new_path, format="gadf")
    table = Table.read(new_path)
    assert (table["norm_scan"] == table["norm_scan"][0]).all()
    new = read(new_path)
    assert_allclose(new.norm_ul() * new.ref(), dataset.norm_ul() * dataset.ref(), rtol=2e-6)
    assert_allclose(new.ts, dataset.ts, atol=2e-6)
    # what Gammapy makes of the file
    points = FluxPoints.read(new_path, sed_type="likelihood")
    ul = points.eflux_ul.quantity.ravel()
    assert_allclose(ul, dataset.norm_ul() * dataset.ref_eflux, rtol=1e-3)
    again = SEDLikelihoodDataset.from_flux_points(points)
    assert_allclose(again.norm_ul() * again.ref(), ul, rtol=1e-3)


@INDEX_TWO
@pytest.mark.parametrize("suffix", [".fits", ".ecsv"])
def test_files_of_gammapy(test_data, tmp_path, suffix):
    dataset = read(test_data / "fermi_dsphs_2015" / "like_draco.txt")
    dataset.to_flux_points().write(tmp_path / f"x{suffix}", sed_type="likelihood")
    new = read(tmp_path / f"x{suffix}")
    assert_allclose(new.norm_ul() * new.ref(), dataset.norm_ul() * dataset.ref(), rtol=2e-6)


def without(*names):
    return {name: column for name, column in C.items() if name not in names}


DAMAGE = {
    "missing scan": (without("stat_scan"), "expected one table with columns norm_scan and stat_s"),
    "missing norms": (without("norm_scan"), "expected one table with columns norm_scan and stat_s"),
    "missing energies": (without("e_min"), "missing column e_min"),
    "missing references": (
        without("ref_dnde", "ref_flux", "ref_eflux"),
        "none of the columns ref_eflux",
    ),
    "shape": (replaced(C, "norm_scan", lambda v: v[:, 1:]), "must have the same shape"),
    "one norm": (replaced(C, "norm_scan", lambda v: v[:, 0]), "must have 2 dimension"),
    "nan scan": (replaced(C, "stat_scan", put((1, 7), np.nan)), "row 1.*scan point 7"),
    "nan bin": (replaced(C, "stat_scan", put(3, np.nan)), "row 3.*must be finite"),
    "nan stat": (replaced(C, "stat", put(0, np.nan)), "row 0.*stat must be finite"),
    "unsorted": (every_row(C, lambda v: v[[1, 0, 2, 3]]), "must be contiguous and ascend"),
    "gap": (every_row(C, lambda v: v[[0, 2, 3]]), "must be contiguous"),
    "repeated row": (every_row(C, lambda v: v[[0, 0, 1, 2, 3]]), "Remove the repeated bin"),
    "two targets": (every_row(C, lambda v: np.concatenate([v, v])), "two targets"),
    "empty": (every_row(C, lambda v: v[:0]), "no energy bins"),
    "unit": (C | {"e_max": (C["e_max"][0], "m")}, "unit 'm'; expected"),
    "no unit": (C | {"ref_eflux": (C["ref_eflux"][0], None)}, "'ref_eflux' has no unit"),
    "GeV for TeV": (
        C | {name: (C[name][0], "GeV") for name in ("e_min", "e_max", "e_ref")},
        "outside its bin",
    ),
    "descending norms": (replaced(C, "norm_scan", lambda v: v[:, ::-1]), "must ascend"),
    "sign": (
        replaced(replaced(C, "stat_scan", lambda v: -v), "stat", lambda v: -v),
        "falls to .* although",
    ),
    "stat of another file": (replaced(C, "stat", lambda v: v + 3), "relative to its minimum"),
    "ln L for -2 ln L": (replaced(C, "stat_scan", lambda v: -0.5 * v), "minimum|maximum inside"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_refused(tmp_path, damage):
    columns, message = DAMAGE[damage]
    path = save(tmp_path / "bad.fits", columns)
    with pytest.raises(ValueError, match=message) as error:
        read(path, format="gadf")
    assert "bad.fits" in str(error.value)


def test_norms_of_another_sed_type_are_refused(tmp_path):
    path = save(tmp_path / "bad.fits", C, {"SED_TYPE": "dnde"})
    with pytest.raises(ValueError, match="SED_TYPE is 'dnde'.*sed_type=\"likelihood\""):
        read(path)


def test_two_tables_in_one_file(tmp_path):
    path = write_fits(tmp_path / "bad.fits", *[table_hdu(C, name, LIKELIHOOD) for name in "AB"])
    with pytest.raises(ValueError, match="expected one table .*, got 2"):
        read(path)


def test_damaged_ecsv(tmp_path):
    path = tmp_path / "sed.ecsv"
    read(save(tmp_path / "sed.fits", C)).write(path, format="gadf")
    text = path.read_text()
    lines = text.splitlines(keepends=True)
    path.write_text("".join(lines[:-1]) + lines[-1][:40])
    with pytest.raises(ValueError, match="sed.ecsv"):
        read(path)
    path.write_text("".join(lines[:-1]))  # the last bin gone: nothing tells, and nothing is wrong
    assert read(path).n_bins == 3
    path.write_text("".join(lines[:-3] + lines[-2:]))
    with pytest.raises(ValueError, match="must be contiguous"):
        read(path)
    path.write_text(text.replace("datatype: float64", "datatype: string", 1))
    with pytest.raises(ValueError, match="'e_ref' must hold numbers"):
        read(path)


def test_missing_values_in_ecsv(tmp_path):
    table = Table({name: values for name, (values, _) in C.items()}, masked=True)
    table["e_min"].mask[2] = True
    table.write(tmp_path / "sed.ecsv")
    with pytest.raises(ValueError, match="column 'e_min' has no value in row 2"):
        read(tmp_path / "sed.ecsv")
