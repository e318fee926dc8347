"""Realisations of Gammapy's datasets against Gammapy's own predictions."""

import pickle

import astropy.units as u
import joblib
import numpy as np
import pytest
from gammapy.datasets import Datasets
from gammapy.maps import Map, MapAxis
from gammapy.modeling.models import PowerLawNormSpectralModel, SkyModel, TemplateSpatialModel

from dmgammapy.datasets import CountsLikelihood
from dmgammapy.makers import SimulatedDatasetMaker
from dmgammapy.makers._streams import WORDS
from tests.datasets import counts_helpers
from tests.datasets.counts_helpers import POSITION, TARGET, map_dataset
from tests.datasets.sed_helpers import poisson_dataset

SIGMAV = 5e-23 * u.Unit("cm3 s-1")


def on_off_dataset():
    """The ON/OFF dataset of the helpers; Gammapy gave it a random name."""
    dataset = counts_helpers.on_off_dataset()
    dataset._name = "onoff"
    return dataset


def expected_npred(dataset, strength):
    """Gammapy's prediction with another strength, on a copy."""
    copied = dataset.copy(name="copy")
    models = [m.copy(name=m.name) for m in dataset.models if "bkg" not in m.name]
    for model in models:
        if model.name == TARGET.name:
            model.spectral_model.sigmav.value = strength
    copied.models = models
    return copied.npred_signal().data


def moments(values, mean):
    """Chi2 of sums over bins: total mean, and total variance, of Poisson draws."""
    n, used = len(values), mean > 0
    pull = (values.mean(axis=0) - mean)[used] / np.sqrt(mean[used] / n)
    chi2 = (pull**2).sum()
    assert abs(chi2 - used.sum()) < 5 * np.sqrt(2 * used.sum())
    total = values.reshape(n, -1).sum(axis=1)
    assert abs(total.mean() - mean.sum()) < 4 * np.sqrt(mean.sum() / n)
    assert abs(total.var() / mean.sum() - 1) < 4 * np.sqrt(2 / n)
    assert (values[:, ~used] == 0).all()


def test_map_counts_are_poisson_around_the_prediction():
    dataset = map_dataset(width=0.8)
    before = dataset.counts.data.copy(), dataset.models.to_dict()
    expected = expected_npred(dataset, SIGMAV.value) + dataset.background.data
    simulation = SimulatedDatasetMaker(1, sigmav=SIGMAV, redraw_jfactor=True).prepare(dataset)
    draws = np.array([simulation.counts(i)[0] for i in range(300)])
    moments(draws, expected)
    signal = expected_npred(dataset, SIGMAV.value) - expected_npred(dataset, 0)
    inside = dataset.mask.data
    truth = simulation.truth()[0]
    assert truth["npred_signal"] == pytest.approx(signal[inside].sum(), rel=1e-5)
    assert truth["npred"] == pytest.approx(expected[inside].sum(), rel=1e-5)
    simulated = simulation.run(7)
    assert np.array_equal(simulated.counts.data, draws[7])
    assert simulated.models.names == dataset.models.names
    assert simulated.exposure is dataset.exposure
    assert np.array_equal(dataset.counts.data, before[0])
    assert dataset.models.to_dict() == before[1]


def test_rounding_of_fourier_transforms_is_no_negative_signal():
    # 2 deg wide: Gammapy's convolution leaves -2e-5 beside a peak of 504
    dataset = map_dataset()
    npred = expected_npred(dataset, SIGMAV.value) - expected_npred(dataset, 0)
    assert -1e-6 * npred.max() < npred.min() < 0
    simulation = SimulatedDatasetMaker(1, sigmav=SIGMAV, redraw_jfactor=True).prepare(dataset)
    inside = dataset.mask.data
    truth = simulation.truth()[0]
    assert truth["npred_signal"] == pytest.approx(npred[inside].sum(), rel=1e-5)
    drawn = simulation.run(3).counts.data
    assert abs(drawn[inside].sum() - truth["npred"]) < 5 * np.sqrt(truth["npred"])
    # without a background, too
    dataset.background.data[4:] = 0
    assert SimulatedDatasetMaker(1, redraw_jfactor=True).run(dataset).counts.data.min() == 0


def test_real_negative_counts_are_refused():
    dataset = map_dataset(width=0.8)
    simulator = SimulatedDatasetMaker(1, redraw_jfactor=True).prepare(dataset)._simulators[0]
    npred = np.full(dataset.counts.data.shape, 500.0)
    npred[3, 8, 8] = -4e-4
    assert simulator._clean(npred, "it").min() == 0
    npred[3, 8, 8] = -6e-4
    with pytest.raises(ValueError, match="it predict -0.0006 counts in 1 of"):
        simulator._clean(npred, "it")
    dataset.models["neighbour"].spectral_model.amplitude.min = np.nan
    dataset.models["neighbour"].spectral_model.amplitude.value *= -100
    with pytest.raises(ValueError, match="the background and others predict -"):
        SimulatedDatasetMaker(1, redraw_jfactor=True).prepare(dataset)


def test_null_has_no_signal_whatever_the_model_says():
    dataset = map_dataset(width=0.8, sigmav=1e-21)
    truth = SimulatedDatasetMaker(1, redraw_jfactor=True).prepare(dataset).truth()[0]
    expected = (expected_npred(dataset, 0) + dataset.background.data)[dataset.mask.data].sum()
    assert truth["npred_signal"] == 0
    assert truth["npred"] == pytest.approx(expected, rel=1e-5)


def test_background_model_scales_the_background():
    dataset = map_dataset(width=0.8)
    one = SimulatedDatasetMaker(1, redraw_jfactor=True).prepare(dataset).truth()["npred"][0]
    dataset.models["map-bkg"].spectral_model.norm.value = 3
    three = SimulatedDatasetMaker(1, redraw_jfactor=True).prepare(dataset).truth()["npred"][0]
    inside = dataset.mask.data
    assert three - one == pytest.approx(2 * dataset.background.data[inside].sum(), rel=1e-5)


def test_on_off_draws_both():
    dataset = on_off_dataset()
    background = np.geomspace(60, 0.05, 8)[:, None, None]
    maker = SimulatedDatasetMaker(
        1, sigmav=SIGMAV, backgrounds={"onoff": background}, redraw_jfactor=True
    )
    simulation = maker.prepare(dataset)
    simulated = [simulation.run(i) for i in range(400)]
    on = np.array([d.counts.data for d in simulated])
    off = np.array([d.counts_off.data for d in simulated])
    moments(on, background + expected_npred(dataset, SIGMAV.value))
    moments(off, background * 5)  # acceptance OFF / ON
    total = np.corrcoef(on.sum(axis=(1, 2, 3)), off.sum(axis=(1, 2, 3)))[0, 1]
    assert abs(total) < 4 / np.sqrt(400)
    np.testing.assert_array_equal(simulated[0].acceptance_off.data, dataset.acceptance_off.data)


def test_on_off_background_is_the_profiled_one_without_signal():
    dataset = on_off_dataset()
    truth = SimulatedDatasetMaker(1, redraw_jfactor=True).prepare(dataset).truth()[0]
    # without a signal alpha (ON + OFF) / (1 + alpha), alpha = 1 / 5
    expected = (dataset.counts.data + dataset.counts_off.data).sum() / 6
    assert truth["npred"] == pytest.approx(expected, rel=1e-6)


def test_counts_feed_the_fast_likelihood():
    datasets = Datasets([map_dataset(width=0.8), on_off_dataset()])
    plain = map_dataset(width=0.8)
    simulation = SimulatedDatasetMaker(4, redraw_jfactor=False).prepare(plain)
    fast = CountsLikelihood.from_datasets(plain).with_counts(simulation.counts(2))
    slow = CountsLikelihood.from_datasets(simulation.run(2))
    assert fast.stat_sum() == pytest.approx(slow.stat_sum(), rel=1e-12)
    assert simulation.run(2).stat_sum() == pytest.approx(slow.stat_sum(), rel=1e-6)
    # joint with one dark matter source, and the same numbers as alone
    together = SimulatedDatasetMaker(4, redraw_jfactor=False).run(datasets, 2)
    assert isinstance(together, Datasets)
    assert np.array_equal(together["map"].counts.data, simulation.run(2).counts.data)


def test_two_kinds_share_j():
    sed = poisson_dataset("sed", models=TARGET.to_models("1 TeV", "b"))
    maker = SimulatedDatasetMaker(
        2, backgrounds={}, expectations={"dwarf": known()}, redraw_jfactor=True
    )
    truth = maker.prepare([sed, on_off_dataset()]).truth(1)
    assert truth["log10_jfactor_obs"][0] == truth["log10_jfactor_obs"][1] != 20.0


def known():
    from dmgammapy.makers import SEDExpectation
    from tests.datasets.sed_helpers import BACKGROUND, SIGNAL

    return SEDExpectation(BACKGROUND, SIGNAL)


def test_bad_backgrounds():
    dataset = on_off_dataset()
    maker = SimulatedDatasetMaker(1, backgrounds={"onoff": np.ones(3)}, redraw_jfactor=True)
    with pytest.raises(ValueError, match="'onoff': its background has shape \\(3,\\), expected"):
        maker.prepare(dataset)
    maker = SimulatedDatasetMaker(
        1, backgrounds={"onoff": np.full((8, 1, 1), -1.0)}, redraw_jfactor=True
    )
    with pytest.raises(ValueError, match="'onoff' is not among backgrounds, \\['x'\\]"):
        SimulatedDatasetMaker(1, backgrounds={"x": 1}, redraw_jfactor=True).prepare(dataset)
    with pytest.raises(ValueError, match="the background predict -1 counts in 8 of 8 bins"):
        maker.prepare(dataset)


def test_order_subset_and_processes_do_not_matter():
    datasets = [map_dataset(width=0.8), on_off_dataset()]
    maker = SimulatedDatasetMaker(4, sigmav=SIGMAV, redraw_jfactor=True)
    simulation = maker.prepare(datasets)
    expected = [simulation.run(i) for i in range(3)]
    copied = pickle.loads(pickle.dumps(maker.prepare(datasets[::-1])))
    got = joblib.Parallel(n_jobs=2)(joblib.delayed(copied.run)(i) for i in (2, 1, 0))
    for ours, others in zip(expected, got[::-1], strict=True):
        for one, other in zip(ours, others[::-1], strict=True):
            assert one.name == other.name
            assert np.array_equal(one.counts.data, other.counts.data)
            assert one.models.to_dict() == other.models.to_dict()
        assert np.array_equal(ours[1].counts_off.data, others[0].counts_off.data)
    alone = maker.run(datasets[1], 2)
    assert np.array_equal(alone.counts_off.data, expected[2][1].counts_off.data)


def test_templates_of_other_sources_are_not_copied():
    dataset = map_dataset(width=0.8)
    energy = MapAxis.from_energy_bounds("0.05 TeV", "20 TeV", nbin=3, name="energy_true")
    cube = Map.create(
        skydir=POSITION, width=3, binsz=0.1, axes=[energy], unit="cm-2 s-1 TeV-1 sr-1"
    )
    cube.data[:] = 1e-9
    diffuse = SkyModel(
        PowerLawNormSpectralModel(), TemplateSpatialModel(cube, normalize=False), name="diffuse"
    )
    before = SimulatedDatasetMaker(1, redraw_jfactor=True).prepare(dataset).truth()["npred"][0]
    dataset.models = [*dataset.models, diffuse]
    simulation = SimulatedDatasetMaker(1, redraw_jfactor=True).prepare(dataset)
    got = simulation.run().models["diffuse"]
    assert got is not diffuse
    assert got.spatial_model.map is diffuse.spatial_model.map
    copied = dataset.copy(name="copy")
    copied.models = [diffuse]
    npred = copied.npred_signal().data[dataset.mask.data].sum()
    assert npred > 0
    assert simulation.truth()["npred"][0] - before == pytest.approx(npred, rel=1e-4)


def test_random_names_of_gammapy_do_not_matter():
    def draw():
        dataset = counts_helpers.on_off_dataset()
        while WORDS.fullmatch(dataset.name):  # one in 180
            dataset = counts_helpers.on_off_dataset()
        return dataset.name, SimulatedDatasetMaker(6, redraw_jfactor=True).run(dataset, 3)

    (one, first), (two, second) = draw(), draw()
    assert one != two
    assert np.array_equal(first.counts.data, second.counts.data)
    assert np.array_equal(first.counts_off.data, second.counts_off.data)


def test_bins_without_off_acceptance():
    # Gammapy's alpha is 1.8e308 there: all that is not signal is background
    dataset = on_off_dataset()
    dataset.acceptance_off.data[3] = 0
    dataset.counts_off.data[3] = 0
    simulation = SimulatedDatasetMaker(1, redraw_jfactor=True).prepare(dataset)
    on, off = (dataset.counts.data, dataset.counts_off.data)
    expected = (on + off).sum() / 6 + on[3].sum() * (1 - 1 / 6)
    assert simulation.truth()["npred"][0] == pytest.approx(expected, rel=1e-6)
    assert all(simulation.run(i).counts_off.data[3].sum() == 0 for i in range(5))


def test_datasets_without_counts():
    dataset = map_dataset(width=0.8)
    expected = SimulatedDatasetMaker(1, redraw_jfactor=True).run(dataset, 2)
    dataset.counts = None
    got = SimulatedDatasetMaker(1, redraw_jfactor=True).run(dataset, 2)
    assert np.array_equal(got.counts.data, expected.counts.data)
    empty = on_off_dataset()
    empty.counts_off = None
    with pytest.raises(ValueError, match="'onoff' has no counts ON and OFF to take its background"):
        SimulatedDatasetMaker(1, redraw_jfactor=True).run(empty)


def test_draws_of_counts_know_j_only():
    simulation = SimulatedDatasetMaker(1, redraw_jfactor=True).prepare(map_dataset(width=0.8))
    draws = simulation.draws(range(3))[0]
    assert draws.counts is draws.expectation is None
    assert draws.log10_jfactor_obs[2] == simulation.truth(2)["log10_jfactor_obs"][0]
