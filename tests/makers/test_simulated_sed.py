"""Realisations of SED likelihoods against the numbers they are drawn from."""

import pickle

import astropy.units as u
import joblib
import numpy as np
import pytest
from gammapy.datasets import Datasets
from gammapy.modeling.models import PowerLawSpectralModel, SkyModel
from gammapy.utils.scripts import make_name
from numpy.testing import assert_allclose
from scipy.stats import chi2, kstest

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import CastroEstimator, JFactorCovariance, StackedDMLikelihood
from dmgammapy.makers import SEDExpectation, SimulatedDatasetMaker
from dmgammapy.makers._streams import WORDS
from dmgammapy.modeling import JFactorPrior
from dmgammapy.targets import Target, Targets
from tests.datasets.sed_helpers import AMPLITUDE, BACKGROUND, SIGNAL, poisson_dataset

EXPECTATION = SEDExpectation(BACKGROUND, SIGNAL)


def make(name="dwarf", width=0.3, instrument=None, **kwargs):
    target = Target(name, log10_jfactor=18.8, log10_jfactor_err=width)
    label = name if instrument is None else f"{name}-{instrument}"
    return poisson_dataset(label, models=target.to_models("100 GeV", "b"), **kwargs)


def maker(seed=3, **kwargs):
    expectations = {name: EXPECTATION for name in ("dwarf", "other", "third")}
    return SimulatedDatasetMaker(
        seed, expectations=expectations, **({"redraw_jfactor": True} | kwargs)
    )


def observed(dataset):
    return dataset.models[0].spectral_model.jfactor_prior.log10_jfactor


def same(one, two):
    assert one.name == two.name
    assert np.array_equal(one.norm_scan, two.norm_scan)
    assert np.array_equal(one.stat_scan, two.stat_scan)
    assert one.models.to_dict() == two.models.to_dict()


def test_null_counts_are_poisson_around_the_background():
    simulation = maker().prepare(make())
    n = 5000
    draws = np.array([simulation.counts(i)[0] for i in range(n)])
    assert (np.abs(draws.mean(axis=0) - BACKGROUND) < 4 * np.sqrt(BACKGROUND / n)).all()
    error = np.sqrt((BACKGROUND + 2 * BACKGROUND**2) / n)
    assert (np.abs(draws.var(axis=0) - BACKGROUND) < 4 * error).all()
    correlation = np.corrcoef(draws.T)[np.triu_indices(4, 1)]
    assert (np.abs(correlation) < 4 / np.sqrt(n)).all()
    # successive realisations don't know each other
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 4 / np.sqrt(n)


def test_scans_are_those_of_the_drawn_counts():
    dataset = make()
    simulation = maker(n_points=50, delta_stat_max=12).prepare(dataset)
    got, counts = simulation.run(7), simulation.counts(7)[0]
    mu = BACKGROUND[:, None] + SIGNAL[:, None] * got.norm_scan
    stat = 2 * (mu - counts[:, None] * np.log(mu))
    best = np.maximum(counts, BACKGROUND)
    lowest = 2 * (best - counts * np.log(best))
    np.testing.assert_allclose(got.stat_scan + got.stat[:, None], stat, atol=1e-10)
    np.testing.assert_allclose(got.stat, lowest, rtol=1e-12)
    assert got.norm_scan.shape == (4, 50)
    np.testing.assert_allclose(got.stat_scan[:, -1], 12, rtol=1e-9)
    assert got.instrument == "toy"
    assert np.array_equal(got.ref_flux, dataset.ref_flux)


def test_scan_defaults_are_those_of_the_dataset():
    got = maker().run(make())
    assert got.norm_scan.shape == (4, 30)
    given = make()
    rise = np.median(given.stat_scan[:, -1])
    np.testing.assert_allclose(got.stat_scan[:, -1], rise, rtol=1e-9)
    assert (maker(negative_norm=True).run(make()).norm_scan[:, 0] < 0).all()


def test_injected_signal_is_the_integral_of_the_flux():
    dataset = make()
    injecting = maker(
        sigmav=4e-24 * u.Unit("cm3 s-1"), mass="50 GeV", channel={"b": 0.5, "tau": 0.5}
    )
    target = Target("dwarf", log10_jfactor=18.8, log10_jfactor_err=0.3)
    low, high = dataset.energy_edges[:-1], dataset.energy_edges[1:]
    expected = 0.0
    for channel in ("b", "tau"):
        model = target.to_models("50 GeV", channel, sigmav="2e-24 cm3 s-1")[0].spectral_model
        expected = expected + (model.energy_flux(low, high) / dataset.ref_eflux).to_value("")
    truth = injecting.prepare(dataset).truth(0)
    assert truth["npred_signal"][0] == pytest.approx((expected * SIGNAL).sum(), rel=1e-9)
    assert truth["npred"][0] == pytest.approx((expected * SIGNAL + BACKGROUND).sum(), rel=1e-9)
    # the placeholder of the analysis stays
    spectrum = injecting.run(dataset).models["dwarf"].spectral_model
    assert (spectrum.mass, spectrum.channel) == (100 * u.GeV, "b")


def test_signal_is_proportional_to_true_j():
    dataset = make()
    options = {"sigmav": 1e-24 * u.Unit("cm3 s-1"), "redraw_jfactor": False}
    one = maker(**options).prepare(dataset).truth()["npred_signal"][0]
    other = maker(log10_jfactor={"dwarf": 19.1}, **options).prepare(dataset)
    assert other.truth()["npred_signal"][0] == pytest.approx(one * 10**0.3, rel=1e-12)
    assert observed(other.run()) == 18.8
    drawn = maker(log10_jfactor="prior", **options).prepare(dataset)
    row = drawn.truth(4)[0]
    assert row["npred_signal"] == pytest.approx(
        one * 10 ** (row["log10_jfactor"] - 18.8), rel=1e-12
    )
    assert row["log10_jfactor_obs"] == 18.8


def test_other_models_are_kept():
    dataset = make()
    power_law = PowerLawSpectralModel(
        index=2.0, amplitude=0.5 * AMPLITUDE * u.Unit("MeV-1 cm-2 s-1"), reference=1 * u.GeV
    )
    dataset.models = [*dataset.models, SkyModel(power_law, name="neighbour")]
    simulation = maker().prepare(dataset)
    # half the reference spectrum in every bin
    assert simulation.truth()["npred"][0] == pytest.approx((BACKGROUND + 0.5 * SIGNAL).sum())
    assert simulation.run().models.names == ["dwarf", "neighbour"]


@pytest.mark.parametrize(
    ("true", "redraw", "width_true", "width_obs", "width_difference"),
    [
        ("observed", True, 0, 0.3, 0.3),
        ("observed", False, 0, 0, 0),
        ("prior", False, 0.3, 0, 0.3),
        ("prior", True, 0.3, 0.3 * np.sqrt(2), 0.3),
    ],
)
def test_widths_of_j(true, redraw, width_true, width_obs, width_difference):
    simulation = maker(log10_jfactor=true, redraw_jfactor=redraw).prepare(make())
    n = 2000
    j = np.array([simulation._jfactors(simulation._simulators[0], i) for i in range(n)])
    samples = (j[:, 0], j[:, 1], j[:, 1] - j[:, 0])
    for values, width, mean in zip(
        samples, (width_true, width_obs, width_difference), (18.8, 18.8, 0), strict=True
    ):
        assert abs(values.mean() - mean) <= 4 * width / np.sqrt(n) + 1e-12
        assert abs(values.std() - width) <= 4 * width / np.sqrt(2 * n) + 1e-12
        if width:
            assert kstest((values - mean) / width, "norm").pvalue > 1e-3


def test_observed_j_of_a_split_normal_is_below_the_truth_where_the_likelihood_is_above():
    # J_true - J_obs follows the split normal, whose mean is sqrt(2 / pi) (high - low)
    low, high = 0.2, 0.5
    simulation = maker().prepare(make(width=(low, high)))
    n = 4000
    j = np.array([simulation._jfactors(simulation._simulators[0], i)[1] for i in range(n)])
    shift = 18.8 - j
    variance = (1 - 2 / np.pi) * (high - low) ** 2 + low * high
    mean = np.sqrt(2 / np.pi) * (high - low)
    assert abs(shift.mean() - mean) < 4 * np.sqrt(variance / n)
    assert abs((shift < 0).mean() - low / (low + high)) < 4 * 0.5 / np.sqrt(n)
    prior = simulation.run(1).models[0].spectral_model.jfactor_prior
    assert (prior.err_low, prior.err_high) == (low, high)


def test_order_subset_and_processes_do_not_matter():
    datasets = [make("dwarf"), make("other"), make("third")]
    run = maker(sigmav=1e-24 * u.Unit("cm3 s-1"), log10_jfactor="prior").run
    forward = run(datasets, 5)
    for got, expected in zip(run(datasets[::-1], 5)[::-1], forward, strict=True):
        same(got, expected)
    same(run(datasets[1], 5), forward[1])
    simulation = maker(sigmav=1e-24 * u.Unit("cm3 s-1"), log10_jfactor="prior").prepare(datasets)
    assert not np.array_equal(simulation.counts(4), simulation.counts(5))
    copied = pickle.loads(pickle.dumps(simulation))
    for n_jobs in (1, 2):
        jobs = (joblib.delayed(copied.run)(i) for i in (6, 5, 4))
        got = joblib.Parallel(n_jobs=n_jobs)(jobs)[1]
        for one, expected in zip(got, forward, strict=True):
            same(one, expected)
    counts = {d.name: c for d, c in zip(datasets, simulation.counts(5), strict=True)}
    assert not np.array_equal(counts["dwarf"], counts["other"])


def test_instruments_share_j_but_not_counts():
    datasets = [make(instrument="a"), make(instrument="b", width=0.6)]
    simulation = maker().prepare(datasets)
    one, two = simulation.run(3)
    # the same quantile of two widths
    assert observed(two) - 18.8 == pytest.approx(2 * (observed(one) - 18.8), rel=1e-9)
    draws = np.array([np.ravel(simulation.counts(i)) for i in range(2000)])
    assert abs(np.corrcoef(draws[:, 0], draws[:, 4])[0, 1]) < 4 / np.sqrt(2000)


def test_shared_models_stay_shared_and_the_given_ones_untouched():
    target = Target("dwarf", log10_jfactor=18.8, log10_jfactor_err=0.3)
    models = target.to_models("100 GeV", "b")
    datasets = Datasets([poisson_dataset(n, models=models) for n in ("one", "two")])
    before = models.to_dict(), [d.stat_scan.copy() for d in datasets]
    got = maker(sigmav=1e-23 * u.Unit("cm3 s-1")).run(datasets, 1)
    assert isinstance(got, Datasets)
    assert got[0].models["dwarf"] is got[1].models["dwarf"]
    assert got[0].models["dwarf"] is not models["dwarf"]
    assert models.to_dict() == before[0]
    for dataset, stat in zip(datasets, before[1], strict=True):
        assert np.array_equal(dataset.stat_scan, stat)
        assert dataset.models["dwarf"] is models["dwarf"]


def test_null_of_the_golden_set(test_data):
    # the counts of benchmarks/golden.py, whose single stream runs through the targets
    from benchmarks.golden import Golden

    golden = Golden(test_data / "golden")
    expected = golden.simulate(np.random.default_rng(8))
    random = np.random.default_rng(8)
    got = []
    for i, dataset in enumerate(expected):
        t = i % 40
        expectation = SEDExpectation(golden.truth["bkg"][t], golden.truth["ref_npred"][t])
        simulated = expectation.to_dataset(
            dataset, expectation.draw(random), delta_stat_max=2 * 2.7059
        )
        np.testing.assert_allclose(simulated.norm_scan[:, 1:], dataset.norm_scan[:, 1:], rtol=1e-12)
        # golden's are relative to the lowest point, these to the minimum
        offset = simulated.stat_scan.min(axis=1, keepdims=True)
        np.testing.assert_allclose(simulated.stat_scan - offset, dataset.stat_scan, atol=1e-9)
        got.append(simulated)
    one, two = golden.limits(got), golden.limits(expected)
    np.testing.assert_allclose(one.sigmav_ul.data, two.sigmav_ul.data, rtol=2e-5)


def test_one_realisation_equals_running_it_through_files(tmp_path):
    datasets = [make("dwarf"), make("other")]
    simulated = maker().run(datasets, 2)
    estimator = CastroEstimator(np.geomspace(10, 1000, 4) * u.GeV, ["b", "tau"])
    read = []
    for dataset in simulated:
        path = tmp_path / f"sed_{dataset.name}.fits"
        dataset.write(path, format="fermipy")
        read.append(SEDLikelihoodDataset.read(path, models=dataset.models))
    direct = StackedDMLikelihood(estimator.run(simulated)).run()
    through = StackedDMLikelihood(estimator.run(read)).run()
    assert np.array_equal(direct.sigmav_ul.data, through.sigmav_ul.data)


def test_ts_of_the_null_is_bounded_by_half_a_chi2():
    # J fixed, one bin with many counts: half of chi2_1 exactly in the Gaussian limit
    expectation = SEDExpectation([4e4], [100.0])
    norm, stat = expectation.scan([4e4], 40, 20)
    target = Target("bright", log10_jfactor=18.8, log10_jfactor_err=0.0)
    dataset = SEDLikelihoodDataset(
        [1, 10] * u.GeV, norm, stat, ref_eflux=[1e-9] * u.Unit("GeV cm-2 s-1"), name="bright",
        models=target.to_models("100 GeV", "b"),
    )  # fmt: skip
    simulation = SimulatedDatasetMaker(
        1, expectations={"bright": expectation}, redraw_jfactor=True
    ).prepare(dataset)
    ts = np.array([simulation.run(i).ts[0] for i in range(800)])
    assert abs((ts > 0).mean() - 0.5) < 4 * 0.5 / np.sqrt(800)
    positive = ts[ts > 0]
    assert kstest(positive, chi2(1).cdf).pvalue > 1e-3


def test_bad_input():
    with pytest.raises(ValueError, match="give sigmav .* or gamma .* not both"):
        SimulatedDatasetMaker(1, sigmav="1e-26 cm3 s-1", gamma="1e-27 s-1", redraw_jfactor=True)
    with pytest.raises(ValueError, match="mass and channel belong to a signal"):
        SimulatedDatasetMaker(1, mass="10 GeV", redraw_jfactor=True)
    with pytest.raises(ValueError, match="sigmav must be a quantity in cm3 s-1, got 1e-26"):
        SimulatedDatasetMaker(1, sigmav=1e-26, redraw_jfactor=True)
    with pytest.raises(ValueError, match="log10_jfactor must be 'observed', 'prior' or numbers"):
        SimulatedDatasetMaker(1, log10_jfactor="drawn", redraw_jfactor=True)
    with pytest.raises(ValueError, match="is about annihilation, but the signal is decay"):
        maker(gamma="1e-27 s-1").run(make())
    with pytest.raises(ValueError, match="of target 'fourth' has no SEDExpectation among"):
        maker().run(make("fourth"))
    with pytest.raises(ValueError, match="2 datasets are named 'dwarf'"):
        maker().run([make(), make()])
    with pytest.raises(ValueError, match="has no value for target 'dwarf', only for \\['x'\\]"):
        maker(log10_jfactor={"x": 18.0}).run(make())
    free = make()
    free.models[0].spectral_model.jfactor_prior = None
    with pytest.raises(ValueError, match="target 'dwarf': its J-factor has no prior to draw from"):
        maker().run(free)
    assert maker(redraw_jfactor=False).run(free).n_bins == 4
    with pytest.raises(TypeError, match="only SED likelihoods, map and spectrum datasets"):
        maker().run([1])
    with pytest.raises(ValueError, match="no dark matter model"):
        maker().run(poisson_dataset("empty"))


def test_tabulated_prior_moves_along():
    grid = np.linspace(18.0, 19.6, 81)
    prior = JFactorPrior.from_table(grid, stat=((grid - 18.8) / 0.25) ** 2)
    dataset = make()
    dataset.models[0].spectral_model.jfactor_prior = prior
    simulation = maker().prepare(dataset)
    j = np.array([simulation._jfactors(simulation._simulators[0], i)[1] for i in range(2000)])
    assert abs(j.std() - 0.25) < 0.02  # cut at 3.2 sigma
    moved = simulation.run(5).models[0].spectral_model.jfactor_prior
    assert moved.log10_jfactor == j[5]
    np.testing.assert_allclose(moved.evaluate(grid + j[5] - 18.8), prior.evaluate(grid), atol=1e-9)


def test_decay():
    target = Target("dwarf", log10_dfactor=17.5, log10_dfactor_err=0.2)
    models = target.to_models("100 GeV", "b", process="decay", gamma="1e-26 s-1")
    dataset = poisson_dataset("dwarf", models=models)
    flux = models[0].spectral_model.energy_flux(dataset.energy_edges[:-1], dataset.energy_edges[1:])
    expected = ((flux / dataset.ref_eflux).to_value("") * SIGNAL).sum()
    simulation = maker(gamma="3e-26 s-1").prepare(dataset)
    assert simulation.truth()["npred_signal"][0] == pytest.approx(3 * expected, rel=1e-9)
    prior = simulation.run(1).models[0].spectral_model.dfactor_prior
    assert prior.log10_jfactor == simulation.truth(1)["log10_jfactor_obs"][0] != 17.5


def test_draws_are_those_of_run():
    datasets = [make(instrument="a"), make(instrument="b", width=(0.2, 0.6)), make("other")]
    simulation = maker(sigmav=1e-23 * u.Unit("cm3 s-1"), log10_jfactor="prior").prepare(datasets)
    draws = simulation.draws([4, 0, 9])
    assert [d.name for d in draws] == simulation.names
    assert [d.target for d in draws] == ["dwarf", "dwarf", "other"]
    for row, i in enumerate([4, 0, 9]):
        counts, truth, simulated = simulation.counts(i), simulation.truth(i), simulation.run(i)
        for k, draw in enumerate(draws):
            assert np.array_equal(draw.counts[row], counts[k])
            assert draw.log10_jfactor[row] == truth["log10_jfactor"][k]
            assert draw.log10_jfactor_obs[row] == observed(simulated[k])
            assert draw.mean[row].sum() == pytest.approx(truth["npred"][k], rel=1e-12)
            signal = (draw.norm[row] * draw.expectation.npred).sum()
            assert signal == pytest.approx(truth["npred_signal"][k], rel=1e-12)
    assert simulation.draws([])[0].counts.shape == (0, 4)
    with pytest.raises(ValueError, match="realisation must be an integer"):
        simulation.draws([-1])


@pytest.mark.parametrize("width", [0.3, (0.2, 0.5), "table"])
def test_observed_j_has_the_density_of_the_likelihood(width):
    # -2 ln L = stat(log10 J_true - log10 J_obs) as a function of J_obs, integrated by numpy
    dataset = make(width=width if width != "table" else 0.3)
    if width == "table":
        grid = np.linspace(17.0, 20.0, 61)
        stat = np.where(grid > 18.8, (grid - 18.8) / 0.6, (grid - 18.8) / 0.2) ** 2
        dataset.models[0].spectral_model.jfactor_prior = JFactorPrior.from_table(grid, stat=stat)
    prior = dataset.models[0].spectral_model.jfactor_prior
    drawn = maker(log10_jfactor={"dwarf": 18.5}).prepare(dataset).draws(range(2000))[0]
    assert (drawn.log10_jfactor == 18.5).all()
    j = np.linspace(15, 21, 6001)
    cumulative = np.cumsum(np.exp(-prior.stat(18.5 - j) / 2))
    cumulative /= cumulative[-1]
    assert kstest(drawn.log10_jfactor_obs, lambda x: np.interp(x, j, cumulative)).pvalue > 1e-3


def test_fixed_j_stays():
    target = Target("dwarf", log10_jfactor=18.8, log10_jfactor_err=0.0)
    dataset = poisson_dataset("dwarf", models=target.to_models("100 GeV", "b"))
    drawn = maker(log10_jfactor="prior").prepare(dataset).draws(range(5))[0]
    assert (drawn.log10_jfactor == 18.8).all()
    assert (drawn.log10_jfactor_obs == 18.8).all()


def test_random_names_do_not_matter():
    def counts(names):
        datasets = [poisson_dataset(name, models=make().models) for name in names]
        simulation = SimulatedDatasetMaker(
            3, expectations={"dwarf": EXPECTATION}, redraw_jfactor=True
        ).prepare(datasets)
        return np.array([d.counts for d in simulation.draws(range(20))])

    # as Gammapy invents them
    one, two = counts(["aZ3_-x09", "Qw8kfEoP"]), counts(["b9bb-bbb", "UU3UUuUU"])
    assert np.array_equal(one, two)
    assert not np.array_equal(one[0], one[1])
    invented = [n for n in (make_name() for _ in range(20)) if not WORDS.fullmatch(n)]
    assert np.array_equal(one, counts(invented[:2]))
    # names that somebody gave do
    assert not np.array_equal(counts(["lat"]), counts(["magic"]))
    assert not np.array_equal(counts(["dwarf-ve"]), counts(["dwarf-ma"]))


def test_masked_bins_are_kept():
    mask = np.array([True, False, True, True])
    dataset = make(mask_safe=mask)
    simulation = maker().prepare(dataset)
    assert np.array_equal(simulation.run().mask_safe, mask)
    assert simulation.truth()["npred"][0] == pytest.approx(BACKGROUND[mask].sum())


def test_public_likelihoods_in_one_line(test_data):
    roster = Targets.read_roster("ackermann2015_dsphs")
    path = next((test_data / "fermi_dsphs_2015").rglob("like_draco.txt"))
    dataset = SEDLikelihoodDataset.read(path, models=roster["draco"].to_models("100 GeV", "b"))
    with pytest.raises(ValueError, match="undetermined='power_law'"):
        SimulatedDatasetMaker(1, redraw_jfactor=True).run(dataset)
    simulation = SimulatedDatasetMaker(
        1, undetermined="power_law", least_counts=5, delta_stat_max=20, redraw_jfactor=True
    ).prepare(dataset)
    simulated = [simulation.run(i) for i in range(30)]
    # limits of the ten lowest bins scatter around those of the data
    ratio = np.median([one.norm_ul() for one in simulated], axis=0) / dataset.norm_ul()
    assert 0.7 < np.median(ratio[:10]) < 1.4
    ts = np.array([one.ts for one in simulated])
    # half a chi2 where counts are many: above 1 with a probability of 0.16
    assert abs((ts[:, :4] > 1).mean() - 0.16) < 4 * np.sqrt(0.16 * 0.84 / 120)


def test_jfactors_that_are_wrong_together():
    """Their scatter has the covariance; so do those of a subset of targets."""
    names = ["dwarf", "other"]
    datasets = [make(n, width=w) for n, w in zip((*names, "third"), (0.2, 0.3, 0.2), strict=True)]
    covariance = JFactorCovariance(names, [[0.04, 0.05], [0.05, 0.09]])
    simulation = maker(jfactor_covariance=covariance).prepare(datasets)
    draws = simulation.draws(range(4000))
    shifts = np.array([d.log10_jfactor - d.log10_jfactor_obs for d in draws])
    expected = [[0.04, 0.05, 0], [0.05, 0.09, 0], [0, 0, 0.04]]
    assert_allclose(np.cov(shifts), expected, atol=0.004)
    alone = maker(jfactor_covariance=covariance).prepare(datasets[1:]).draws(range(5))[0]
    assert np.array_equal(alone.log10_jfactor_obs, draws[1].log10_jfactor_obs[:5])
    strict = JFactorCovariance(names, [[0.04, 0.06], [0.06, 0.09]])
    a, b, _ = maker(jfactor_covariance=strict).prepare(datasets).draws(range(50))
    ratio = (b.log10_jfactor_obs - 18.8) / (a.log10_jfactor_obs - 18.8)
    assert_allclose(ratio, 1.5, rtol=1e-6)


def test_draws_of_jfactors_alone():
    simulation = maker().prepare(make())
    with_counts, without = (simulation.draws(range(5), counts=c)[0] for c in (True, False))
    assert without.counts is None
    assert np.array_equal(with_counts.log10_jfactor_obs, without.log10_jfactor_obs)
