"""`SEDLikelihoodDataset` inside Gammapy: Datasets, Fit, files, flux points."""

import subprocess
import sys

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import DATASET_REGISTRY, Datasets, FluxPointsDataset, SpectrumDataset
from gammapy.estimators import FluxPoints, FluxPointsEstimator
from gammapy.irf import EDispKernelMap
from gammapy.maps import MapAxis, RegionGeom, RegionNDMap
from gammapy.modeling import Fit, Parameter
from gammapy.modeling.models import (
    FoVBackgroundModel,
    GaussianPrior,
    Models,
    PowerLawSpectralModel,
    SkyModel,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize

from dmgammapy.datasets import SEDLikelihoodDataset

from .sed_helpers import EDGES, poisson_best, poisson_dataset, poisson_stat
from .test_sed import power_law

# Gammapy divides by zero, and mends it, in the energy flux of a power law of index 2
INDEX_TWO = pytest.mark.filterwarnings(
    "ignore:(divide by zero|invalid value) encountered:RuntimeWarning"
)


def test_registered_once():
    import importlib

    import dmgammapy.datasets

    importlib.reload(dmgammapy.datasets)
    assert [c.tag for c in DATASET_REGISTRY].count("SEDLikelihoodDataset") == 1


def test_fit_finds_the_analytic_minimum():
    dataset = poisson_dataset(models=power_law(1.0, index=2.2))
    spectrum = dataset.models["source"].spectral_model
    spectrum.index.prior = GaussianPrior(mu=2.2, sigma=0.3)
    result = Fit().run([dataset])
    assert result.success

    low, high = EDGES[:-1], EDGES[1:]

    def exact(parameters):
        amplitude, index = parameters
        power = 2 - index
        eflux = 1e-6 * 1000 ** (index - 2) * (high**power - low**power) / power
        reference = 1e-6 * np.log(high / low)
        norm = amplitude * eflux / reference
        stat = (poisson_stat(norm) - poisson_stat(poisson_best())).sum()
        return stat + ((index - 2.2) / 0.3) ** 2

    found = minimize(exact, [1.0, 2.2], method="Nelder-Mead", options={"xatol": 1e-8})
    stat = dataset.stat_sum() + ((spectrum.index.value - 2.2) / 0.3) ** 2
    assert_allclose(stat, found.fun, atol=1e-4)
    assert_allclose(spectrum.amplitude.value / 1e-12, found.x[0], rtol=2e-2)
    assert_allclose(spectrum.index.value, found.x[1], rtol=1e-2)


def test_joint_fit_with_counts_adds_stats_and_prior():
    dataset = poisson_dataset(name="sed")
    axis = MapAxis.from_energy_edges(EDGES * u.MeV)
    true_axis = MapAxis.from_energy_edges(EDGES * u.MeV, name="energy_true")
    geom = RegionGeom.create("icrs;circle(0, 0, 1)", axes=[axis])
    counts = SpectrumDataset.create(geom, energy_axis_true=true_axis, name="counts")
    counts.exposure.quantity = np.full(counts.exposure.data.shape, 1e11) * u.Unit("cm2 s")
    counts.edisp = EDispKernelMap.from_diagonal_response(axis, true_axis)
    counts.background = RegionNDMap.from_geom(geom, data=2.0)
    counts.counts = RegionNDMap.from_geom(geom, data=3.0)
    counts.mask_safe = RegionNDMap.from_geom(geom, data=True, dtype=bool)
    model = power_law(0.5)
    model.spectral_model.index.prior = GaussianPrior(mu=2.0, sigma=0.3)
    model.spectral_model.index.min, model.spectral_model.index.max = 1, 4
    model.spectral_model.amplitude.min = 0
    datasets = Datasets([dataset, counts])
    datasets.models = model
    prior = model.spectral_model.index.prior(model.spectral_model.index)
    total = dataset.stat_sum() + counts.stat_sum() + prior
    assert_allclose(datasets.stat_sum(), total)
    assert_allclose(Datasets([dataset]).stat_sum() - dataset.stat_sum(), prior)
    result = Fit().run(datasets)
    assert result.success
    assert datasets.stat_sum() < total


def test_datasets_slice_and_print():
    datasets = Datasets([poisson_dataset(name="a"), poisson_dataset(name="b")])
    part = datasets.slice_by_energy(1 * u.GeV, 9 * u.GeV)
    assert part.names == ["a", "b"]
    assert part.is_all_same_energy_shape
    assert "toy" in str(datasets)
    assert datasets.copy().names == ["a", "b"]


def test_datasets_round_trip(tmp_path):
    first = poisson_dataset(
        name="dwarf one",
        interpolation="cubic",
        norm_type="flux",
        meta={"version": 3, "note": "x" * 200},
        livetime=3 * u.yr,
        mask_safe=np.array([True, True, False, True]),
        reference_model=power_law().spectral_model,
        ref_npred=[4.0, 2.0, 1.0, 0.5],
    )
    second = poisson_dataset(name="two", stat=None, instrument=None)
    datasets = Datasets([first, second])
    shared = power_law(0.4)
    shared.spectral_model.index.prior = GaussianPrior(mu=2.0, sigma=0.3)
    datasets.models = Models([shared, FoVBackgroundModel(dataset_name="elsewhere")])
    path, models_path = tmp_path / "datasets.yaml", tmp_path / "models.yaml"
    datasets.write(path, filename_models=models_path)
    new = Datasets.read(path, filename_models=models_path)
    assert new.names == ["dwarf one", "two"]
    assert_allclose(new.stat_sum(), datasets.stat_sum(), rtol=1e-13)
    for old_one, new_one in zip(datasets, new, strict=True):
        assert_array_equal(new_one.norm_scan, old_one.norm_scan)
        assert_array_equal(new_one.stat_scan, old_one.stat_scan)
    one = new["dwarf one"]
    assert (one.interpolation, one.norm_type, one.instrument) == ("cubic", "flux", "toy")
    assert one.meta == first.meta
    assert_allclose(one.livetime.to_value("yr"), 3)
    assert_array_equal(one.mask_safe, first.mask_safe)
    assert one.mask_fit is None
    assert_array_equal(one.stat, first.stat)
    assert_array_equal(one.ref_npred, first.ref_npred)
    assert_allclose(one.reference_model(5 * u.GeV), first.reference_model(5 * u.GeV))
    assert new["two"].stat is None
    with pytest.raises(FileExistsError, match="overwrite=True"):
        datasets.write(path)
    datasets.write(path, overwrite=True)


def test_datasets_are_read_in_a_fresh_process(tmp_path):
    dataset = poisson_dataset(models=power_law(0.4))
    Datasets([dataset]).write(tmp_path / "d.yaml", filename_models=tmp_path / "m.yaml")
    code = (
        "import dmgammapy.datasets; from gammapy.datasets import Datasets; "
        f"d = Datasets.read({str(tmp_path / 'd.yaml')!r}, {str(tmp_path / 'm.yaml')!r}); "
        "print(repr(d.stat_sum()))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert_allclose(float(out.stdout.split("(")[-1].strip(") \n")), dataset.stat_sum())


# --- flux points -----------------------------------------------------------------------------


@INDEX_TWO
def test_flux_points_hold_the_same_likelihood():
    dataset = poisson_dataset()
    points = dataset.to_flux_points(n_points=300)
    norms = points.stat_scan.geom.axes["norm"].center.to_value("")
    stat_scan = points.stat_scan.data[..., 0, 0]
    assert norms[0] == 0
    inside = norms < 2.0
    expected = poisson_stat(np.tile(norms[inside], (4, 1)))
    assert_allclose(stat_scan[:, inside], expected, atol=1e-5)
    assert_allclose(points.stat.data.ravel(), dataset.stat, atol=1e-8)
    assert_allclose(points.norm.data.ravel(), poisson_best(), atol=1e-5)
    assert_allclose(points.ts.data.ravel(), dataset.ts, atol=1e-8)
    assert_allclose(points.norm_ul.data.ravel(), dataset.norm_ul())
    assert_allclose(points.eflux_ul.quantity.ravel(), dataset.norm_ul() * dataset.ref_eflux)
    assert_allclose(points.meta["n_sigma_ul"] ** 2, 2.705543454)
    # Gammapy's own limit from the profile
    again = points.recompute_ul(n_sigma_ul=np.sqrt(2.705543454))
    assert_allclose(again.norm_ul.data.ravel(), dataset.norm_ul(), rtol=1e-3)


@INDEX_TWO
def test_gammapy_flux_points_dataset_gives_the_same_stat(test_data):
    # Gammapy compares differential fluxes, so norm_type="dnde" must agree with it
    dataset = SEDLikelihoodDataset.read(test_data / "fermipy" / "sed.fits", norm_type="dnde")
    dataset.models = SkyModel(
        PowerLawSpectralModel(index=2.6, amplitude="2.6e-9 TeV-1 s-1 cm-2", reference="10 GeV")
    )
    other = FluxPointsDataset(
        data=dataset.to_flux_points(), models=dataset.models[0].copy(), stat_type="profile"
    )
    assert_allclose(other.stat_array().ravel(), dataset.stat_array(), atol=5e-5)


@INDEX_TWO
@pytest.mark.parametrize(
    "path",
    [
        "fermi_dsphs_2015/like_draco.txt",
        "fermipy/sed.fits",
        "golden/sed/sed_target_03_point_inj.fits",
    ],
)
def test_flux_points_round_trip(test_data, path):
    dataset = SEDLikelihoodDataset.read(test_data / path)
    again = SEDLikelihoodDataset.from_flux_points(dataset.to_flux_points(), name="again")
    assert_allclose(again.norm_ul() * again.ref(), dataset.norm_ul() * dataset.ref(), rtol=2e-6)
    assert_allclose(again.ts, dataset.ts, atol=1e-6)


def counts_dataset():
    """SpectrumDataset that holds the counts of `sed_helpers`."""
    from .sed_helpers import BACKGROUND, COUNTS, SIGNAL, references

    axis = MapAxis.from_energy_edges(EDGES * u.MeV)
    true_axis = MapAxis.from_energy_edges(EDGES * u.MeV, name="energy_true")
    geom = RegionGeom.create("icrs;circle(0, 0, 1)", axes=[axis])
    counts = SpectrumDataset.create(geom, energy_axis_true=true_axis, name="counts")
    exposure = SIGNAL / references()["ref_flux"].value
    counts.exposure.quantity = exposure[:, np.newaxis, np.newaxis] * u.Unit("cm2 s")
    counts.edisp = EDispKernelMap.from_diagonal_response(axis, true_axis)
    counts.background = RegionNDMap.from_geom(geom, data=BACKGROUND[:, np.newaxis, np.newaxis])
    counts.counts = RegionNDMap.from_geom(geom, data=COUNTS[:, np.newaxis, np.newaxis])
    counts.mask_safe = RegionNDMap.from_geom(geom, data=True, dtype=bool)
    counts.models = power_law(1.0)
    return counts


@INDEX_TWO
def test_flux_points_of_an_estimator():
    norm = Parameter("norm", 1.0, min=0, scan_values=np.linspace(0, 8, 81))
    estimator = FluxPointsEstimator(
        energy_edges=EDGES * u.MeV, source="source", norm=norm, selection_optional=["scan", "ul"]
    )
    points = estimator.run([counts_dataset()])
    dataset = SEDLikelihoodDataset.from_flux_points(points, instrument="toy")
    norms = np.tile([0.05, 0.6, 1.7, 4.2], (4, 1))
    expected = poisson_stat(norms) - poisson_stat(np.maximum(poisson_best(), 0))[:, np.newaxis]
    assert_allclose(dataset.scans.stat(norms), expected, atol=2e-3)
    assert_allclose(dataset.norm_ul(), poisson_dataset().norm_ul(), rtol=1e-3)


def test_flux_points_without_scans_are_refused():
    points = poisson_dataset().to_flux_points()
    del points._data["stat_scan"]
    with pytest.raises(ValueError, match="no stat_scan"):
        SEDLikelihoodDataset.from_flux_points(points)


def test_flux_points_with_failed_bins_are_refused():
    points = poisson_dataset().to_flux_points()
    points.stat_scan.data[2] = np.nan
    with pytest.raises(ValueError, match="no finite stat_scan in bin 2"):
        SEDLikelihoodDataset.from_flux_points(points)


def test_flux_points_that_contradict_themselves_are_refused():
    points = poisson_dataset().to_flux_points()
    points._data["norm"].data[0] *= 3
    with pytest.raises(ValueError, match="contradict themselves in bin 0"):
        SEDLikelihoodDataset.from_flux_points(points)


def test_fermipy_file_through_gammapys_reader_is_refused(test_data):
    # Gammapy 2.1 takes the norms of row 0 and the wrong sign
    from astropy.table import Table

    path = test_data / "golden" / "sed" / "sed_target_00_point_null.fits"
    table = Table.read(path, hdu=1)
    points = FluxPoints.from_table(table, sed_type="likelihood")
    with pytest.raises(
        ValueError, match="maximum inside its scan|relative to its minimum|contradict"
    ):
        SEDLikelihoodDataset.from_flux_points(points)
