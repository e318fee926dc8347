"""CastroEstimator on counts, against Gammapy's estimators, brute force and injected signals."""

import re

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import Datasets
from gammapy.estimators import FluxPointsEstimator
from gammapy.maps import MapAxis, WcsGeom
from gammapy.modeling import Fit, Parameter
from gammapy.modeling.models import PowerLawSpectralModel, SkyModel

from dmgammapy.datasets import CountsLikelihood, SEDLikelihoodDataset
from dmgammapy.estimators import CastroEstimator, LimitStatus, StackedDMLikelihood
from dmgammapy.modeling import JFactorPrior

from ..datasets.counts_helpers import POSITION, map_dataset, on_off_dataset

REFERENCE = PowerLawSpectralModel(index=2, amplitude="1e-13 cm-2 s-1 TeV-1")
SIGMA_95 = 1.6448536269514722
MASSES = [0.5, 1, 3] * u.TeV


def _flux_points(dataset, b, scan, reoptimize):
    """Gammapy's estimate of one bin, scanned at the same norms."""
    copied = dataset.copy(name=dataset.name)
    norm = Parameter("norm", 1, min=0, max=50 * scan.norm_ul, scan_values=scan.norm_scan)
    source = SkyModel(REFERENCE.copy(), dataset.models["dwarf"].spatial_model.copy(), name="dwarf")
    others = [m.copy(name=m.name) for m in dataset.models if m.name != "dwarf"]
    if not reoptimize:  # Gammapy needs a free parameter besides
        others.append(SkyModel(PowerLawSpectralModel(amplitude="0 cm-2 s-1 TeV-1"), name="idle"))
    copied.models = [*others, source]
    estimator = FluxPointsEstimator(
        energy_edges=dataset.counts.geom.axes["energy"].edges[b : b + 2],
        source="dwarf",
        norm=norm,
        selection_optional=["scan"],
        fit=Fit(optimize_opts={"tol": 1e-7, "strategy": 2}),
        reoptimize=reoptimize,
        n_sigma_ul=SIGMA_95,
    )
    return estimator.run(Datasets([copied]))


@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize(
    ("make", "free", "bins"),
    [
        (map_dataset, "fixed", range(8)),
        (on_off_dataset, "fixed", range(8)),
        (map_dataset, "free", [2]),
    ],
)
def test_scan_is_that_of_the_flux_points_estimator(make, free, bins):
    dataset = make()
    likelihood = CountsLikelihood.from_datasets(dataset, spectrum=REFERENCE, free=free)
    scans = likelihood.scan(n_points=8)
    for b in bins:
        points = _flux_points(dataset, b, scans[b], free == "free")
        theirs = points.stat_scan.data.squeeze()
        ours = scans[b].stat_scan
        near = ours - ours.min() < 50
        delta = (theirs - theirs.min()) - (ours - ours.min())
        np.testing.assert_allclose(delta[near], 0, atol=1e-6)
        assert scans[b].ts == pytest.approx(float(points.ts.data.squeeze()), abs=1e-5)


def test_sed_holds_the_scans_and_their_limits():
    dataset = map_dataset()
    estimator = CastroEstimator(MASSES, ["b"], reference_model=REFERENCE, n_points=30)
    sed = estimator.estimate_sed(dataset)
    assert isinstance(sed, SEDLikelihoodDataset)
    assert sed.norm_scan.shape == sed.stat_scan.shape == (8, 30)
    assert sed.reference_model is not None
    scans = CountsLikelihood.from_datasets(dataset, spectrum=REFERENCE).scan(n_points=200)
    for b, scan in enumerate(scans):
        assert sed.norm_ul(0.95)[b] == pytest.approx(scan.norm_ul, rel=1e-4)
        assert sed.ts[b] == pytest.approx(scan.ts, abs=1e-3)
        # between its points, too
        near = scan.stat_scan - scan.stat < 30
        both = sed.scans.stat(np.tile(scan.norm_scan, (8, 1)))[b]
        np.testing.assert_allclose(both[near], (scan.stat_scan - scan.stat)[near], atol=0.02)


def test_bins_and_direct_agree_where_energy_dispersion_is_small():
    dataset = map_dataset(sigma=0.02, n_reco=16, n_true=120, sigmav=0)
    results = [
        CastroEstimator(MASSES, ["b", "tau"], method=method, free_background="fixed")
        .run(dataset)
        .sigmav_ul.quantity
        for method in ("bins", "direct")
    ]
    np.testing.assert_allclose((results[0] / results[1]).value, 1, atol=0.02)


def _noted_range(castro):
    note = next(n for n in castro.meta.notes if "energy dispersion" in n)
    return note, [float(x) for x in re.search(r"be (\S+) to (\S+) times", note).groups()]


@pytest.mark.parametrize(
    ("settings", "background"),
    [
        ({"free_background": "fixed"}, "fixed"),
        ({"free_background": "free"}, "norms profiled"),
        ({"free_background": "free", "cov_scale": 2.0}, "norms profiled"),
        ({"free_background": "free", "negative_norm": True}, "norms profiled"),
    ],
)
def test_difference_of_the_methods_is_reported(settings, background):
    dataset = map_dataset(sigma=0.25, n_reco=16, n_true=60, sigmav=0)
    castros = [
        CastroEstimator(MASSES, ["b", "tau"], method=method, **settings).run(dataset)
        for method in ("bins", "direct")
    ]
    ratio = (castros[0].sigmav_ul.quantity / castros[1].sigmav_ul.quantity).value
    note, (low, high) = _noted_range(castros[0])
    assert f"(background {background}, compared at" in note
    assert low == pytest.approx(ratio.min(), abs=0.011)
    assert high == pytest.approx(ratio.max(), abs=0.011)


def test_difference_with_free_shapes_is_for_a_fixed_background():
    dataset = map_dataset(sigma=0.25, n_reco=16, n_true=60, sigmav=0)
    shape = dataset.models["neighbour"].spectral_model.index
    shape.frozen = False
    bins = CastroEstimator(MASSES, ["b", "tau"]).run(dataset)
    assert "(fixed background; with free" in _noted_range(bins)[0]
    assert "index they may differ more" in _noted_range(bins)[0]


def test_direct_is_a_brute_force_profile():
    """Gammapy's own Fit at fixed sigmav, with the model in the dataset."""
    dataset = map_dataset()
    castro = CastroEstimator([1] * u.TeV, ["b"], method="direct").run(dataset)
    limit = castro.sigmav_ul.quantity.squeeze()
    best = castro.sigmav.quantity.squeeze()
    sigmav = dataset.models["dwarf"].spectral_model.sigmav
    stats = []
    for value in (best, limit):
        sigmav.quantity = value
        sigmav.frozen = True
        stats.append(Fit().optimize(Datasets([dataset])).total_stat)
    assert stats[1] - stats[0] == pytest.approx(2.705543, abs=2e-3)
    assert castro["stat"].data.squeeze() == pytest.approx(stats[0], abs=2e-3)


def test_threads_change_nothing():
    results = [
        CastroEstimator(MASSES, ["b", "tau"], method="direct", n_jobs=n_jobs).run(map_dataset())
        for n_jobs in (1, 3)
    ]
    one, three = (r["stat_scan"].data for r in results)
    np.testing.assert_array_equal(one, three)


def test_direct_of_decay():
    dataset = map_dataset()
    from dmgammapy.targets import Target

    target = Target("dwarf", position=POSITION, log10_dfactor=18.0)
    dataset.models = [
        *[m for m in dataset.models if m.name != "dwarf"],
        *target.to_models(mass="2 TeV", channel="b", process="decay"),
    ]
    estimator = CastroEstimator([2] * u.TeV, ["b"], process="decay", method="direct")
    castro = estimator.run(dataset)
    likelihood = CountsLikelihood.from_datasets(dataset)
    unit = dataset.models["dwarf"].spectral_model.gamma.value
    likelihood.fit()
    scan = likelihood.scan(edges=dataset.counts.geom.axes["energy"].edges[[0, -1]])[0]
    expected = 1 / (scan.norm_ul * likelihood._references[0])
    assert unit > 0
    assert castro.tau_ll.quantity.squeeze().value == pytest.approx(expected, rel=1e-3)


def test_datasets_of_one_target_are_joint_and_unchanged():
    first, second = map_dataset(), on_off_dataset()
    before = [d.counts.data.copy() for d in (first, second)]
    text = [str(d.models) for d in (first, second)]
    joint = CastroEstimator([1] * u.TeV, ["b"]).run([first, second])
    assert joint.meta.target == "dwarf"
    single = CastroEstimator([1] * u.TeV, ["b"]).run(first)
    assert joint.meta.log10_jfactor == single.meta.log10_jfactor == 20.0
    assert joint.meta.prior.err_low == 0.3
    assert joint["norm_err"].data.squeeze() * joint["reference"].data.squeeze() < (
        single["norm_err"].data.squeeze() * single["reference"].data.squeeze()
    )
    for dataset, counts, models in zip((first, second), before, text, strict=True):
        np.testing.assert_array_equal(dataset.counts.data, counts)
        assert str(dataset.models) == models


def test_joint_likelihood_of_bins_is_the_stack():
    """Fixed background: one fit of both is the sum of their likelihoods."""
    first, second = map_dataset(sigmav=0), on_off_dataset(sigmav=0)
    estimator = CastroEstimator([1] * u.TeV, ["b"], free_background="fixed")
    joint = estimator.run([first, second])
    castros = [estimator.run(first), estimator.run(second)]
    for castro, name in zip(castros, "ab", strict=True):
        castro.meta.instrument = name
    stacked = StackedDMLikelihood(castros, method="fixed").run()
    ratio = (joint.sigmav_ul.quantity / stacked.sigmav_ul.quantity).value.squeeze()
    assert ratio == pytest.approx(1, abs=2e-3)


def test_different_jfactors_cannot_be_joint():
    first, second = map_dataset(), on_off_dataset()
    second.models["dwarf"].spectral_model.jfactor_prior = JFactorPrior(19.0, 0.3)
    with pytest.raises(ValueError, match="differ in J-factor.*StackedDMLikelihood"):
        CastroEstimator([1] * u.TeV, ["b"]).run([first, second])


def test_mixture_of_inputs_keeps_its_order():
    dataset = map_dataset()
    estimator = CastroEstimator([1] * u.TeV, ["b"])
    sed = estimator.estimate_sed(dataset)
    results = estimator.run([sed, dataset])
    assert len(results) == 2
    limits = [r.sigmav_ul.quantity.value.squeeze() for r in results]
    assert limits[0] == pytest.approx(limits[1])


def test_injected_signal_is_found():
    """Mean of 20 realisations within two standard errors, pulls of unit width."""
    truth = 1e-24
    dataset = map_dataset(sigmav=truth)
    pulls, values = [], []
    estimator = CastroEstimator([1] * u.TeV, ["b"], method="direct")
    for seed in range(20):
        dataset.fake(seed)
        castro = estimator.run(dataset)
        reference = castro["reference"].data.squeeze()
        values.append(castro["norm"].data.squeeze() * reference)
        pulls.append((values[-1] - truth) / (castro["norm_err"].data.squeeze() * reference))
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    assert np.mean(values) == pytest.approx(truth, abs=2 * error)
    assert 0.6 < np.std(pulls, ddof=1) < 1.4


def test_cube_at_a_position_is_the_sed_there():
    dataset = map_dataset()
    estimator = CastroEstimator([1] * u.TeV, ["b"], free_background="fixed")
    geom = WcsGeom.create(skydir=POSITION, npix=(3, 3), binsz=0.05)
    cube = estimator.estimate_cube(dataset, geom)
    there = geom.pix_to_coord((2, 0))
    spatial = dataset.models["dwarf"].spatial_model
    spatial.lon_0.quantity, spatial.lat_0.quantity = (x.squeeze() for x in there)
    sed = estimator.estimate_sed(dataset)
    at = cube.get_dataset(idx=(0, 2))
    np.testing.assert_allclose(at.norm_ul(), sed.norm_ul(), rtol=1e-5)
    np.testing.assert_allclose(cube.ts.data[:, 0, 2], sed.ts, atol=1e-3)


def test_strong_signals_stand_out_in_the_ts_map():
    dataset = map_dataset(sigmav=3e-24)
    geom = WcsGeom.create(skydir=POSITION, npix=(9, 9), binsz=0.1)
    cube = CastroEstimator([1] * u.TeV, ["b"]).estimate_cube(dataset, geom)
    ts = cube.ts_map().data
    assert np.unravel_index(ts.argmax(), ts.shape) == (4, 4)


def _channel_out_of_reach():
    """A line at 30 TeV: far above every energy of the data."""
    dataset = map_dataset()
    return dataset, CastroEstimator([40] * u.TeV, ["gamma"], spectra="line", method="direct")


def test_no_counts_expected_anywhere_is_an_error():
    dataset, estimator = _channel_out_of_reach()
    with pytest.raises(ValueError, match="no mass and channel predicts counts"):
        estimator.run(dataset)


def test_masses_below_all_energies_are_an_error():
    with pytest.raises(ValueError, match="none of the masses and channels has flux"):
        CastroEstimator([50, 80] * u.GeV, ["b"]).run(map_dataset())


def test_masked_bins_are_named_and_left_out():
    dataset = map_dataset()
    dataset.mask_safe.data[:3] = False
    estimator = CastroEstimator([1] * u.TeV, ["b"])
    sed = estimator.estimate_sed(dataset)
    assert sed.meta["bins_without_data"] == [0, 1, 2]
    castro = estimator.run(dataset)
    assert any("[0, 1, 2] are masked" in note for note in castro.meta.notes)
    sliced = dataset.slice_by_energy(dataset.counts.geom.axes["energy"].edges[3], name="map")
    sliced.models = dataset.models
    expected = estimator.run(sliced).sigmav_ul.quantity
    ratio = (castro.sigmav_ul.quantity / expected).value.squeeze()
    assert ratio == pytest.approx(1, rel=1e-3)


def test_energy_edges_may_be_coarser():
    dataset = map_dataset()
    edges = dataset.counts.geom.axes["energy"].edges[::2]
    sed = CastroEstimator([1] * u.TeV, ["b"], energy_edges=edges).estimate_sed(dataset)
    assert sed.n_bins == 4
    wrong = MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", nbin=5).edges
    with pytest.raises(ValueError, match="is not an edge of its energy bins"):
        CastroEstimator([1] * u.TeV, ["b"], energy_edges=wrong).estimate_sed(dataset)


def test_limits_are_found_not_extrapolated_without_signal():
    castro = CastroEstimator(MASSES, ["b", "tau"]).run(map_dataset(sigmav=0))
    assert (castro["status"].data == LimitStatus.FOUND).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "exact"}, "method must be one of"),
        ({"n_points": 3}, "n_points must be 8 at least"),
        ({"delta_stat_max": 1.0}, "delta_stat_max above 4"),
    ],
)
def test_wrong_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CastroEstimator([1] * u.TeV, ["b"], **arguments)


def test_wrong_process_is_refused():
    estimator = CastroEstimator([1] * u.TeV, ["b"], process="decay", method="direct")
    with pytest.raises(ValueError, match="is about annihilation, the estimator about decay"):
        estimator.run(map_dataset())


def test_models_of_other_kinds_are_no_source():
    dataset = map_dataset()
    with pytest.raises(ValueError, match="is about something else"):
        CastroEstimator([1] * u.TeV, ["b"], method="direct", source="neighbour").run(dataset)
