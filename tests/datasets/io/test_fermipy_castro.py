"""fermipy castro cubes: the real one, rows, round trips, damage."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from gammapy.modeling.models import PowerLawSpectralModel
from numpy.testing import assert_allclose, assert_array_equal

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.datasets.io import castro_rows, write_castro

from ..sed_helpers import EDGES, SIGNAL, poisson_dataset, poisson_scan, references
from .builders import put, replaced, table_hdu, write_fits


def read(path, **kwargs):
    return SEDLikelihoodDataset.read(path, **kwargs)


def test_real_file(test_data):
    path = test_data / "fermipy" / "castro.fits"
    dataset = read(path, target="draco")
    with fits.open(path) as hdus:
        scans, bounds = hdus["SCANDATA"].data, hdus["EBOUNDS"].data
        row = list(scans["target"]).index("draco")
        assert_array_equal(dataset.norm_scan, scans["NORM_SCAN"][row].astype(float))
        assert_array_equal(dataset.stat_scan, -2 * scans["DLOGLIKE_SCAN"][row].astype(float))
        assert_array_equal(dataset.stat, -2 * scans["LOGLIKE"][row].astype(float))
        assert_array_equal(dataset.ref_dnde.value, bounds["REF_DFDE"])
        # keV in the file; e_ref is in MeV without saying so
        assert_allclose(dataset.energy_edges.to_value("MeV")[:-1], bounds["E_MIN"] / 1000)
        # fermipy's own best fits; the cubes' NORM_UL is at a confidence level that they don't name
        assert_allclose(dataset.ts, scans["TS"][row], atol=5e-4)
        assert_allclose(dataset.norm, scans["NORM"][row], atol=5e-3)
    assert dataset.name == "draco"
    assert dataset.instrument == "fermi-lat"
    assert_allclose(dataset.energy_edges[[0, -1]].to_value("GeV"), [0.1, 100], rtol=1e-6)
    # the reference of the file is a power law of index 2 between 100 MeV and 100 GeV
    low = dataset.energy_edges.to_value("MeV")
    expected = dataset.ref_dnde.value * dataset.energy_ref.value**2 * np.log(low[1:] / low[:-1])
    assert_allclose(dataset.ref_eflux.value, expected, rtol=1e-4)
    assert_array_equal(read(path, row=row).stat_scan, dataset.stat_scan)


def test_all_rows_of_the_real_file(test_data):
    path = test_data / "fermipy" / "castro.fits"
    rows = castro_rows(path)
    assert len(rows) == 26
    for row, target in zip(rows["row"], rows["target"], strict=True):
        assert read(path, row=int(row)).name == target
    raw = fits.getdata(path, "SCANDATA")["TS"].sum(axis=1)
    assert_allclose(rows["ts"], raw)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({}, r"26 rows: hercules, draco, .*choose one with row= or target="),
        ({"target": "Draco"}, r"no target 'Draco'; it has bootes_I, bootes_II,"),
        ({"row": 26}, "row 26 of 26"),
        ({"row": -1}, "row -1 of 26"),
        ({"row": 3, "target": "draco"}, "target 'draco' is row 1, not 3"),
    ],
)
def test_rows_must_be_chosen(test_data, choice, message):
    with pytest.raises(ValueError, match=message):
        read(test_data / "fermipy" / "castro.fits", **choice)


def test_choices_of_other_formats_are_refused(test_data):
    with pytest.raises(TypeError, match="'fermipy-castro'.*unexpected keyword argument 'layout'"):
        read(test_data / "fermipy" / "castro.fits", layout="upper")


def test_round_trip_is_exact(test_data, tmp_path):
    names = ["draco", "segue_1", "ursa_minor"]
    datasets = [read(test_data / "fermipy" / "castro.fits", target=name) for name in names]
    datasets[1].mask_fit = np.arange(12) > 3
    path = tmp_path / "new.fits"
    write_castro(datasets, path)
    assert list(castro_rows(path)["target"]) == names
    for dataset in datasets:
        new = read(path, target=dataset.name)
        for name in ("norm_scan", "stat_scan", "stat", "ref_npred"):
            assert_array_equal(getattr(new, name), getattr(dataset, name))
        for name in ("energy_edges", "energy_ref", "ref_flux", "ref_eflux", "ref_dnde"):
            assert_array_equal(getattr(new, name), getattr(dataset, name))
        assert (new.name, new.instrument) == (dataset.name, "fermi-lat")
    assert_array_equal(read(path, row=1).mask_fit, datasets[1].mask_fit)
    datasets[0].write(tmp_path / "one.fits", format="fermipy-castro")
    assert_array_equal(read(tmp_path / "one.fits").norm_scan, datasets[0].norm_scan)


def test_rows_of_one_file_must_fit_together(test_data, tmp_path):
    one, other = poisson_dataset("one"), poisson_dataset("two", n_points=20)
    with pytest.raises(ValueError, match=r"'one' and 'two' have scans of shape"):
        write_castro([one, other], tmp_path / "x.fits")
    other = poisson_dataset("two", ref_flux=1.01 * references()["ref_flux"])
    with pytest.raises(ValueError, match=r"'one' and 'two' differ in ref_flux"):
        write_castro([one, other], tmp_path / "x.fits")
    with pytest.raises(ValueError, match="one instrume"):
        write_castro([one, poisson_dataset("two", instrument="hess")], tmp_path / "x.fits")
    with pytest.raises(ValueError, match="No dataset"):
        write_castro([], tmp_path / "x.fits")
    assert not list(tmp_path.iterdir())


def test_a_row_never_speaks_for_another(tmp_path):
    path = tmp_path / "x.fits"
    one, linear = poisson_dataset("one"), poisson_dataset("two", interpolation="linear")
    with pytest.raises(ValueError, match=r"one interp, but 'one' has 'poisson' and 'two' has 'lin"):
        write_castro([one, linear], path)
    moved = poisson_dataset("two", energy_ref=EDGES[:-1] * 1.1 * u.MeV, ref_dnde=None)
    with pytest.raises(ValueError, match="'one' and 'two' differ in energy_ref"):
        write_castro([poisson_dataset("one", ref_dnde=None), moved], path)
    with pytest.raises(ValueError, match="'one' has stat, the absolute likelihood, and 'two' has"):
        write_castro([one, poisson_dataset("two", stat=None)], path)
    with pytest.raises(ValueError, match="Datasets two have no ref_npred where others have"):
        write_castro([poisson_dataset("one", ref_npred=np.ones(4)), poisson_dataset("two")], path)
    assert not list(tmp_path.iterdir())


def test_what_rows_may_differ_in_is_kept_by_row(tmp_path):
    path = tmp_path / "x.fits"
    model = PowerLawSpectralModel(index=2, amplitude="1e-12 MeV-1 cm-2 s-1", reference="1 GeV")
    datasets = [
        poisson_dataset("one", ref_npred=SIGNAL, livetime=1 * u.yr, meta={"zone": 100}),
        poisson_dataset("two", ref_npred=10 * SIGNAL, reference_model=model),
        poisson_dataset("three", ref_npred=3 * SIGNAL, livetime=3 * u.h, meta={"zone": 90}),
    ]
    write_castro(datasets, path)
    for dataset in datasets:
        new = read(path, target=dataset.name)
        assert_array_equal(new.ref_npred, dataset.ref_npred)
        assert (new.livetime, new.meta) == (dataset.livetime, dataset.meta)
        assert (new.reference_model is None) == (dataset.reference_model is None)
        assert_array_equal(new.norm_ul(), dataset.norm_ul())
    assert read(path, row=1).reference_model.amplitude.value == 1e-12


@pytest.mark.parametrize("format", ["fermipy", "fermipy-castro", "gadf"])
def test_names_that_fits_cannot_hold(tmp_path, format):
    dataset = poisson_dataset("Boötes")
    with pytest.raises(ValueError, match=r"x\.fits: FITS holds ASCII text only.*'Boötes'; rename"):
        dataset.write(tmp_path / "x.fits", format=format)
    dataset.write(tmp_path / "x.ecsv", format="gadf")
    assert read(tmp_path / "x.ecsv").name == "Boötes"


def tables():
    """EBOUNDS and SCANDATA of two targets as (values, unit) by name."""
    norm, stat = poisson_scan(20)
    reference = references()
    bounds = {
        "E_MIN": (EDGES[:-1] * 1000, "keV"),
        "E_MAX": (EDGES[1:] * 1000, "keV"),
        "E_REF": (np.sqrt(EDGES[:-1] * EDGES[1:]), None),
        "REF_DNDE": (reference["ref_dnde"].value, None),
        "REF_FLUX": (reference["ref_flux"].value, None),
        "REF_EFLUX": (reference["ref_eflux"].value, None),
    }
    scans = {
        "norm_scan": (np.array([norm, 2 * norm]), None),
        "dloglike_scan": (np.array([-0.5 * stat, -0.5 * stat]), None),
        "loglike": (np.ones((2, 4)), None),
        "bin_status": (np.zeros((2, 4)), None),
        "target": (np.array(["one", "two"]), None),
    }
    return bounds, scans


def save(path, bounds, scans):
    return write_fits(path, table_hdu(scans, "SCANDATA"), table_hdu(bounds, "EBOUNDS"))


def test_undamaged_tables_are_read(tmp_path):
    path = save(tmp_path / "castro.fits", *tables())
    assert_allclose(read(path, target="one").norm_ul(), poisson_dataset().norm_ul(), rtol=1e-4)
    assert_allclose(read(path, row=1).norm_ul(), 2 * poisson_dataset().norm_ul(), rtol=1e-4)


def test_flat_scans_without_tdim(tmp_path):
    bounds, scans = tables()
    for name in ("norm_scan", "dloglike_scan"):
        scans = replaced(scans, name, lambda v: v.reshape(2, -1))
    path = save(tmp_path / "castro.fits", bounds, scans)
    assert_allclose(read(path, target="one").norm_ul(), poisson_dataset().norm_ul(), rtol=1e-4)


def without(columns, name):
    return {key: column for key, column in columns.items() if key != name}


B, S = tables()
DAMAGE = {
    "missing scan": (B, without(S, "norm_scan"), "missing column norm_scan"),
    "missing energies": (without(B, "E_MAX"), S, "missing column e_max"),
    "missing references": (
        {key: B[key] for key in ("E_MIN", "E_MAX")},
        S,
        "none of the columns ref_eflux",
    ),
    "number of bins": (
        {key: (values[:3], unit) for key, (values, unit) in B.items()},
        S,
        r"with 3 bins as in EBOUNDS, got \(2, 4, 20\)",
    ),
    "shapes differ": (
        B,
        replaced(S, "dloglike_scan", lambda v: v[:, :, :-1]),
        "must have the same shape",
    ),
    "nan": (B, replaced(S, "dloglike_scan", put((0, 2, 3), np.nan)), "row 0 .one., bin 2.*nan"),
    "nan loglike": (B, replaced(S, "loglike", put((0, 1), np.nan)), "loglike must be 4 finite"),
    "unsorted": (
        {key: (values[[0, 2, 1, 3]], unit) for key, (values, unit) in B.items()},
        S,
        "EBOUNDS.*row 1.*must be contiguous and ascend",
    ),
    "gap": (replaced(B, "E_MIN", put(2, 9.5e6)), S, "must be contiguous"),
    "repeated bin": (
        {key: (values[[0, 1, 1, 2]], unit) for key, (values, unit) in B.items()},
        S,
        "Remove the repeated bin",
    ),
    "unit": (B | {"E_MIN": (B["E_MIN"][0], "s")}, S, "unit 's'; expected"),
    "no unit": (B | {"E_MIN": (B["E_MIN"][0], None)}, S, "'E_MIN' has no unit"),
    "MeV for keV": (
        B | {key: (B[key][0], "MeV") for key in ("E_MIN", "E_MAX")},
        S,
        "e_ref = .* MeV lies outside its bin",
    ),
    "descending norms": (B, replaced(S, "norm_scan", lambda v: v[:, :, ::-1]), "must ascend"),
    "sign": (B, replaced(S, "dloglike_scan", lambda v: -v), "can't be positive"),
    "no rows": (B, {key: (values[:0], unit) for key, (values, unit) in S.items()}, "no rows"),
    "no bins": ({key: (values[:0], unit) for key, (values, unit) in B.items()}, S, "no energy"),
    "failed fit": (
        B,
        replaced(S, "bin_status", put((0, 2), 2.0)),
        r"fit of bins \[2\] failed.*allow_failed=True",
    ),
    "target twice": (
        B,
        S | {"target": (np.array(["one", "one"]), None)},
        r"'one' stands in rows \[0, 1\]",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_refused(tmp_path, damage):
    bounds, scans, message = DAMAGE[damage]
    path = save(tmp_path / "castro.fits", bounds, scans)
    with pytest.raises(ValueError, match=message) as error:
        read(path, format="fermipy-castro", target="one")
    assert "castro.fits" in str(error.value)


def test_failed_fits_can_be_accepted(tmp_path):
    scans = replaced(S, "bin_status", put((0, 2), 2.0))
    path = save(tmp_path / "castro.fits", B, scans)
    assert read(path, target="one", allow_failed=True).n_bins == 4


def test_missing_hdus(tmp_path):
    path = write_fits(tmp_path / "castro.fits", table_hdu(S, "SCANDATA"))
    with pytest.raises(ValueError, match="not a fermipy castro file, no HDU EBOUNDS"):
        read(path, format="fermipy-castro")


def test_pixels_have_no_targets(tmp_path):
    path = save(tmp_path / "tscube.fits", B, without(S, "target"))
    assert read(path, row=1).name == "tscube_1"
    with pytest.raises(ValueError, match="no column 'target'; choose a row"):
        read(path, target="one")
    with pytest.raises(ValueError, match="2 rows; choose one with row="):
        read(path)


def test_truncated_file(test_data, tmp_path):
    content = (test_data / "fermipy" / "castro.fits").read_bytes()
    for size in (20000, len(content) - 3000):
        path = tmp_path / "castro.fits"
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match="castro.fits: the FITS file is truncated"):
            read(path, target="draco")
