"""`SEDLikelihoodDataset` against analytic Poisson likelihoods and the golden truth."""

import copy
import pickle

import astropy.units as u
import numpy as np
import pytest
from gammapy.modeling.models import (
    ConstantTemporalModel,
    FoVBackgroundModel,
    GaussianPrior,
    GaussianTemporalModel,
    Models,
    PowerLawSpectralModel,
    SkyModel,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq

from dmgammapy.datasets import SEDLikelihoodDataset

from .sed_helpers import (
    BACKGROUND,
    COUNTS,
    EDGES,
    SIGNAL,
    poisson_best,
    poisson_dataset,
    poisson_scan,
    poisson_stat,
    references,
)


def power_law(norm=1.0, index=2.0, **kwargs):
    """Power law with ``norm`` times the reference of `references` at index 2."""
    spectrum = PowerLawSpectralModel(
        index=index, amplitude=norm * 1e-12 * u.Unit("MeV-1 cm-2 s-1"), reference=1 * u.GeV
    )
    return SkyModel(spectrum, name="source", **kwargs)


@pytest.fixture
def dataset():
    return poisson_dataset()


@settings(max_examples=50, deadline=None)
@given(norm=st.floats(0, 3.0))
def test_stat_is_the_poisson_likelihood_of_the_model(norm):
    dataset = poisson_dataset(models=power_law(norm))
    expected = poisson_stat(np.full(4, norm)) - poisson_stat(poisson_best())
    assert_allclose(dataset.stat_array(), expected, atol=2e-6)
    assert_allclose(dataset.stat_sum(), expected.sum(), atol=5e-6)


@pytest.mark.parametrize("norm_type", ["eflux", "flux", "dnde"])
def test_norm_types_agree_for_the_reference_spectrum(norm_type):
    dataset = poisson_dataset(models=power_law(0.7), norm_type=norm_type)
    expected = poisson_stat(np.full(4, 0.7)) - poisson_stat(poisson_best())
    assert_allclose(dataset.stat_array(), expected, atol=2e-6)
    assert_allclose(dataset.flux_pred() / dataset.ref(), 0.7, rtol=1e-12)


def test_flux_pred_of_a_steep_power_law_is_analytic(dataset):
    dataset.models = power_law(2.0, index=3.0)
    low, high = EDGES[:-1], EDGES[1:]
    expected = 2e-12 * 1000**3 * (1 / low - 1 / high)  # MeV cm-2 s-1
    assert dataset.flux_pred().unit == "MeV cm-2 s-1"
    assert_allclose(dataset.flux_pred().value, expected, rtol=1e-12)


def test_no_model_is_the_null_hypothesis(dataset):
    expected = poisson_stat(np.zeros(4)) - poisson_stat(poisson_best())
    assert_allclose(dataset.stat_sum(), expected.sum(), atol=1e-9)
    assert_allclose(dataset.flux_pred().value, 0)


def test_two_models_add(dataset):
    dataset.models = [power_law(0.3), power_law(0.5).copy(name="second")]
    expected = poisson_stat(np.full(4, 0.8)) - poisson_stat(poisson_best())
    assert_allclose(dataset.stat_array(), expected, atol=2e-6)


def test_masks_select_bins(dataset):
    dataset.models = power_law(0.6)
    each = dataset.stat_array()
    dataset.mask_safe = np.array([True, True, True, False])
    assert_allclose(dataset.stat_sum(), each[:3].sum())
    dataset.mask_fit = np.array([False, True, True, True])
    assert_allclose(dataset.stat_sum(), each[1:3].sum())


def test_prior_is_not_in_the_dataset(dataset):
    dataset.models = power_law(0.6)
    without = dataset.stat_sum()
    dataset.models["source"].spectral_model.index.prior = GaussianPrior(mu=5, sigma=0.1)
    assert dataset.stat_sum() == without


def test_models_of_other_datasets_are_left_out(dataset):
    other = power_law().copy(name="other")
    other.datasets_names = ["elsewhere"]
    background = FoVBackgroundModel(dataset_name="elsewhere")
    dataset.models = Models([power_law(), other, background])
    assert dataset.models.names == ["source"]
    dataset.models = None
    assert dataset.models is None


def test_models_that_are_no_spectra_are_refused(dataset):
    background = FoVBackgroundModel(dataset_name=dataset.name)
    dataset.models = [background]
    with pytest.raises(ValueError, match="'poisson-bkg' gives MeV2"):
        dataset.stat_sum()


def test_time_dependent_models_are_refused(dataset):
    dataset.models = power_law(temporal_model=GaussianTemporalModel())
    with pytest.raises(ValueError, match="varies in time"):
        dataset.stat_sum()
    dataset.models = power_law(temporal_model=ConstantTemporalModel())
    dataset.stat_sum()


def test_best_fit_ts_and_limits_are_the_analytic_ones(dataset):
    best = poisson_best()
    assert_allclose(dataset.norm, best, atol=3e-6)
    ts = poisson_stat(np.zeros(4)) - poisson_stat(best)
    assert_allclose(dataset.ts, ts, atol=1e-8)

    def limit(b, delta):
        def f(norm):
            return (poisson_stat(np.full(4, norm)) - poisson_stat(best))[b] - delta

        return brentq(f, best[b], best[b] + 50)

    assert_allclose(dataset.norm_ul(0.95), [limit(b, 2.705543454) for b in range(4)], rtol=1e-6)
    assert_allclose(dataset.norm_ul(0.84134475), [limit(b, 1.0) for b in range(4)], rtol=1e-6)
    errn, errp = dataset.norm_errors()
    assert_allclose(errp, [limit(b, 1.0) - best[b] for b in range(4)], rtol=1e-5)
    assert np.isfinite(errn).tolist() == (ts > 1).tolist()


def test_limit_of_an_empty_bin_is_exact(dataset):
    # no counts: -2 ln L = 2 s norm, so the limit is 2.7055 / (2 s)
    assert_allclose(dataset.norm_ul()[2], 2.705543454 / 2 / SIGNAL[2], rtol=1e-6)


def test_limit_beyond_the_scan_is_nan():
    norm, stat = poisson_scan()
    dataset = SEDLikelihoodDataset(EDGES * u.MeV, norm[:, :8], stat[:, :8], **references())
    assert_array_equal(np.isnan(dataset.norm_ul()), stat[:, 7] < 2.7055)
    assert np.isnan(dataset.norm_ul()).any()


def test_negative_norms_are_kept_and_best_fit_is_bounded():
    low = -0.5 * BACKGROUND / SIGNAL
    norm = low[:, np.newaxis] + np.linspace(0, 8, 60)
    lowest = poisson_stat(np.maximum((COUNTS - BACKGROUND) / SIGNAL, low))
    stat = poisson_stat(norm) - lowest[:, np.newaxis]
    dataset = SEDLikelihoodDataset(EDGES * u.MeV, norm, stat, **references())
    assert_allclose(dataset.norm, poisson_best(), atol=1e-4)
    assert_allclose(dataset.scans.norm_min, low)
    assert dataset.ts[2] == 0


def test_golden_poisson_targets(test_data):
    truth = np.load(test_data / "golden" / "truth.npz")
    generator = np.random.default_rng(1)
    worst = 0
    for index in (0, 7, 23, 39):
        path = test_data / "golden" / "sed" / f"sed_target_{index:02d}_point_null.fits"
        dataset = SEDLikelihoodDataset.read(path)
        n, background = truth["n_null"][index], truth["bkg"][index]
        signal = truth["ref_npred"][index]

        def stat(norm, n=n, background=background, signal=signal):
            mu = background + signal * norm
            return 2 * (mu - n * np.log(mu))

        best = np.maximum((n - background) / signal, 0)
        assert_allclose(dataset.stat, stat(best), rtol=1e-9, atol=1e-9)
        assert_allclose(dataset.norm, best, atol=2e-4)
        for _ in range(20):
            norm = generator.uniform(0, 1, 24) * dataset.scans.norm_max
            worst = max(worst, np.abs(dataset.scans.stat(norm) + stat(best) - stat(norm)).max())
    assert worst < 1e-4


def test_golden_gaussian_targets(test_data):
    truth = np.load(test_data / "golden" / "truth.npz")
    path = test_data / "golden" / "sed" / "sed_target_42_point_inj.fits"
    dataset = SEDLikelihoodDataset.read(path)
    mean, sigma = truth["gx_inj"][42], truth["gs_inj"][42]
    best = np.maximum(mean, 0)
    norm = 0.37 * dataset.scans.norm_max
    expected = ((norm - mean) / sigma) ** 2 - ((best - mean) / sigma) ** 2
    assert_allclose(dataset.scans.stat(norm), expected, atol=1e-6)
    assert_allclose(dataset.norm_ul(0.95)[best == mean], (mean + 1.644853627 * sigma)[best == mean])


def test_missing_reference_is_named(dataset):
    only = SEDLikelihoodDataset(
        EDGES * u.MeV, *poisson_scan(), ref_eflux=references()["ref_eflux"], name="lat"
    )
    with pytest.raises(ValueError, match=r"'lat' lacks ref_flux.*it has ref_eflux"):
        only.ref("flux")
    with pytest.raises(ValueError, match="lacks ref_dnde"):
        only.norm_type = "dnde"
    assert only.norm_type == "eflux"
    with pytest.raises(ValueError, match="norm_type must be one of eflux, flux, dnde"):
        dataset.ref("npred")
    with pytest.raises(ValueError, match="lacks ref_eflux"):
        SEDLikelihoodDataset(EDGES * u.MeV, *poisson_scan())


def test_references_come_from_a_reference_model():
    dataset = poisson_dataset(
        ref_eflux=None, ref_flux=None, ref_dnde=None, reference_model=power_law().spectral_model
    )
    for name, expected in references().items():
        assert_allclose(getattr(dataset, name), expected, rtol=1e-10)


def test_units_are_converted():
    fields = references()
    dataset = poisson_dataset(ref_eflux=fields["ref_eflux"].to("erg cm-2 s-1"))
    assert dataset.ref_eflux.unit == "MeV cm-2 s-1"
    assert_allclose(dataset.ref_eflux, fields["ref_eflux"])


def bad(message, **changes):
    return pytest.param(changes, message, id=message[:40])


def _changed(array, index, value):
    array = np.array(array)
    array[index] = value
    return array


NORM, STAT = poisson_scan()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        bad("must be energies, got cm", energy_edges=EDGES * u.cm),
        bad("must be positive and ascend", energy_edges=EDGES[::-1] * u.MeV),
        bad("4 energy bins but scans of 3", norm_scan=NORM[:3], stat_scan=STAT[:3]),
        bad(r"same shape .n_bins, n_points.", stat_scan=STAT[:, :-1]),
        bad("at least 3 points", norm_scan=NORM[:, :2], stat_scan=STAT[:, :2]),
        bad(r"bin 2 .9000-2.7e\+04 MeV.: scan point 5", stat_scan=_changed(STAT, (2, 5), np.nan)),
        bad("scan point 29 is norm inf", norm_scan=_changed(NORM, (1, 29), np.inf)),
        bad("norms of a scan must ascend", norm_scan=NORM[:, ::-1]),
        bad("norms of a scan must ascend", norm_scan=_changed(NORM, (1, 4), NORM[1, 3])),
        bad("falls to .* although it is relative to its minimum", stat_scan=-STAT),
        bad("maximum inside its scan", stat_scan=20 - STAT * 20 / STAT.max()),
        bad("ref_eflux must be positive", ref_eflux=-references()["ref_eflux"]),
        bad("ref_flux must have a unit like", ref_flux=references()["ref_eflux"]),
        bad("one value per bin", ref_flux=references()["ref_flux"][:2]),
        bad("outside its bin", ref_eflux=1000 * references()["ref_eflux"]),
        bad("times what ref_dnde gives", ref_dnde=1000 * references()["ref_dnde"]),
        bad("norm_type must be one of", norm_type="npred"),
        bad("interpolation must be one of", interpolation="spline"),
        bad("stat must be 4 finite values", stat=[1, 2, 3]),
        bad("mask_safe must be 4 booleans", mask_safe=np.ones(4)),
        bad("mask_fit must be 4 booleans", mask_fit=np.ones(3, dtype=bool)),
        bad("energy_ref must lie inside its bin", energy_ref=EDGES[1:] * u.MeV),
        bad("reference_model must be a SpectralModel", reference_model=3),
    ],
)
def test_bad_input_is_refused(changes, message):
    fields = {"energy_edges": EDGES * u.MeV, "norm_scan": NORM, "stat_scan": STAT, **references()}
    with pytest.raises(ValueError, match=message):
        SEDLikelihoodDataset(**(fields | changes), name="bad")


def test_shorter_bins_end_in_nan():
    norm, stat = np.array(NORM), np.array(STAT)
    norm[1, 20:] = stat[1, 20:] = np.nan
    dataset = poisson_dataset()
    padded = SEDLikelihoodDataset(EDGES * u.MeV, norm, stat, **references())
    assert padded.scans.norm_max[1] == norm[1, 19]
    assert_allclose(padded.norm_ul(), dataset.norm_ul(), rtol=1e-5)


def test_arrays_cannot_change_behind_the_interpolation(dataset):
    with pytest.raises(ValueError, match="read-only"):
        dataset.stat_scan[0, 0] = 3


def test_interpolation_can_be_changed(dataset):
    dataset.interpolation = "linear"
    middle = 0.5 * (NORM[:, 3] + NORM[:, 4])
    assert_allclose(dataset.scans.stat(middle), 0.5 * (STAT[:, 3] + STAT[:, 4]))
    with pytest.raises(ValueError, match="interpolation must be one of"):
        dataset.interpolation = "nearest"


def test_copy_is_deep_and_without_models(dataset):
    dataset.models = power_law()
    dataset.mask_fit = np.array([True, False, True, True])
    new = dataset.copy(name="new")
    assert new.name == "new"
    assert new.models is None
    assert_array_equal(new.mask_fit, dataset.mask_fit)
    new.mask_fit[0] = False
    assert dataset.mask_fit[0]
    assert dataset.copy().name not in (dataset.name, new.name)


def test_deep_copy_and_pickle_keep_the_likelihood(dataset):
    dataset.models = power_law(0.4)
    for new in (copy.deepcopy(dataset), pickle.loads(pickle.dumps(dataset))):
        assert new.stat_sum() == dataset.stat_sum()
        assert new.name == dataset.name


def test_slices_keep_bins_references_and_models(dataset):
    dataset.models = power_law(0.4)
    dataset.mask_safe = np.array([True, False, True, True])
    part = dataset.slice_by_idx({"energy": slice(1, 3)}, name="part")
    assert_allclose(part.stat_array(), dataset.stat_array()[1:3])
    assert_allclose(part.energy_edges, dataset.energy_edges[1:4])
    assert part.mask_safe.tolist() == [False, True]
    assert part.name == "part"
    part = dataset.slice_by_energy(2 * u.GeV, 27 * u.GeV)
    assert_allclose(part.energy_edges.to_value("GeV"), [3, 9, 27])
    assert_allclose(dataset.slice_by_energy(energy_max=3 * u.GeV).stat, dataset.stat[:1])


@pytest.mark.parametrize("part", [slice(3, 3), slice(0, 4, 2), 2])
def test_bad_slices_are_refused(dataset, part):
    with pytest.raises(ValueError, match="slice|adjacent"):
        dataset.slice_by_idx({"energy": part})


def test_slice_outside_is_refused(dataset):
    with pytest.raises(ValueError, match="no energy bin within"):
        dataset.slice_by_energy(1 * u.TeV, 2 * u.TeV)


def test_table_holds_fluxes(dataset):
    table = dataset.to_table()
    assert_allclose(table["eflux_ul"], dataset.norm_ul() * dataset.ref_eflux)
    assert_allclose(table["ts"], dataset.ts)
    assert table["e_min"].unit == "MeV"


def test_text_names_what_matters(dataset):
    dataset.models = power_law()
    text = str(dataset)
    for part in ("poisson", "toy", "1000 MeV - 8.1e+04 MeV", "source", "eflux"):
        assert part in text
    assert repr(dataset) == "SEDLikelihoodDataset(name='poisson', n_bins=4)"


def test_shape_mask_and_meta_table(dataset):
    assert dataset.data_shape == (4,)
    assert dataset.mask is None
    assert dataset.meta_table["TELESCOP"][0] == "toy"


def test_bins_with_and_without_negative_norms_become_flux_points():
    """A common axis of norms reaches below the Poisson shape of the bounded bin."""
    below, above = np.linspace(-5, 12, 40), np.linspace(0, 12, 40)
    gauss, counts = (below - 1) ** 2 / 4, 2 * (above - 3 * np.log1p(above / 0.5))
    dataset = SEDLikelihoodDataset(
        [1, 10, 100] * u.GeV,
        [below, above],
        [gauss, counts - counts.min()],
        ref_eflux=[1e-9, 1e-9] * u.Unit("GeV cm-2 s-1"),
    )
    points = dataset.to_flux_points()
    scan = points.stat_scan.data.squeeze()
    assert np.isfinite(scan).all()
    norm = points.stat_scan.geom.axes["norm"].center.value
    np.testing.assert_allclose(
        (scan[:, 0] if scan.shape[0] == len(norm) else scan[0]), (norm - 1) ** 2 / 4, atol=1e-3
    )
