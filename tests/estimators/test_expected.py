import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import brentq
from scipy.stats import norm, poisson

from dmgammapy.estimators import (
    CastroEstimator,
    CastroMaps,
    ExpectedLimitsEstimator,
    JFactorCovariance,
    LimitStatus,
    LimitToys,
    StackedDMLikelihood,
)
from dmgammapy.makers import SEDExpectation, SimulatedDatasetMaker

from .ensemble_helpers import counts_per_sigmav, make_sed


@pytest.fixture
def castro():
    return CastroEstimator([50, 500] * u.GeV, ["b", "tau"])


@pytest.fixture
def pair():
    """Two targets with uncertain J."""
    made = [
        make_sed("near", [40.0, 3.0], [4.0, 1.0], 19.2, 0.3),
        make_sed("far", [15.0, 0.6], [4.0, 1.0], 18.6, 0.2),
    ]
    return [d for d, _ in made], {d.name: e for d, e in made}


def one_bin(background, npred=4.0, width=None, **kwargs):
    dataset, expectation = make_sed("one", [background], [npred], width=width, **kwargs)
    maker = SimulatedDatasetMaker(
        seed=3, expectations={"one": expectation}, redraw_jfactor=width is not None
    )
    return dataset, maker, counts_per_sigmav([npred], 50.0, "b").item()


def profile_limit(n, b):
    """Signal counts at which the likelihood of n counts over b has risen by 2.7055."""
    best = max(n - b, 0.0)

    def stat(s):
        return 2 * (s + b) - 2 * n * np.log(s + b)

    return brentq(lambda s: stat(s) - stat(best) - 2.7055434541, best, best + 20 + 10 * n**0.5)


# ---- toys ----------------------------------------------------------------------------------------


def test_limits_of_counts_are_those_of_their_poisson_likelihood():
    dataset, maker, per_sigmav = one_bin(2.5)
    estimator = ExpectedLimitsEstimator(
        CastroEstimator([50] * u.GeV, ["b"]), maker, n_realisations=60, stack={"method": "fixed"}
    )
    ensemble = estimator.simulate(dataset)
    counts = maker.prepare([dataset]).draws(range(60))[0].counts[:, 0]
    expected = [profile_limit(n, 2.5) / per_sigmav for n in counts]
    assert_allclose(ensemble.sigmav_ul.data.ravel(), expected, rtol=2e-5)
    best = np.maximum(counts - 2.5, 0)
    assert_allclose(ensemble.sigmav.data.ravel(), best / per_sigmav, rtol=1e-4, atol=1e-32)
    with np.errstate(divide="ignore", invalid="ignore"):
        ts = 2 * (counts * np.log(counts / 2.5) - best)
    assert_allclose(ensemble.ts.data.ravel(), np.where(counts > 2.5, ts, 0), atol=1e-5)
    assert counts.std() > 1


@pytest.mark.parametrize("method", ["profile", "marginal", "fixed"])
def test_engines_agree(pair, castro, method):
    datasets, expectations = pair
    maker = SimulatedDatasetMaker(
        seed=5, expectations=expectations, sigmav=2e-26 * u.Unit("cm3 s-1"), mass=50 * u.GeV,
        channel="b", redraw_jfactor=True
    )  # fmt: skip
    results = [
        ExpectedLimitsEstimator(castro, maker, stack={"method": method}, engine=engine).simulate(
            datasets, realisations=[0, 3, 26], per_target=True
        )
        for engine in ("fast", "datasets")
    ]
    assert list(results[0]) == ["stack", "near", "far"]
    for name in results[0]:
        fast, slow = (r[name] for r in results)
        assert_allclose(fast.sigmav_ul.data, slow.sigmav_ul.data, rtol=5e-5)
        assert_allclose(fast.ts.data, slow.ts.data, atol=5e-5)
        assert_allclose(fast.sigmav.data, slow.sigmav.data, rtol=2e-3, atol=1e-30)
    assert fast.ts.data.max() > 1


def test_a_realisation_does_not_depend_on_the_others(pair, castro):
    datasets, expectations = pair
    maker = SimulatedDatasetMaker(seed=5, expectations=expectations, redraw_jfactor=True)
    estimator = ExpectedLimitsEstimator(castro, maker)
    some = estimator.simulate(datasets, realisations=[7, 40])
    all_of_them = estimator.simulate(datasets, realisations=range(41))
    index = {"realisation": [7, 40]}
    assert np.array_equal(some["norm_ul"].data, all_of_them.slice_by_idx(index)["norm_ul"].data)


def test_results_do_not_depend_on_the_number_of_processes(pair, castro):
    datasets, expectations = pair
    maker = SimulatedDatasetMaker(seed=5, expectations=expectations, redraw_jfactor=True)
    one, two = (
        ExpectedLimitsEstimator(castro, maker, n_realisations=60, n_jobs=n).simulate(datasets)
        for n in (1, 2)
    )
    for name in one.available_quantities:
        assert np.array_equal(one[name].data, two[name].data, equal_nan=True)


def test_jfactors_are_measured_anew(castro):
    """With hardly any fluctuation of counts limits scatter as 1 / J_obs."""
    dataset, maker, _ = one_bin(1e8, width=0.3)
    estimator = ExpectedLimitsEstimator(
        CastroEstimator([50] * u.GeV, ["b"]), maker, n_realisations=40, stack={"method": "fixed"}
    )
    limits = estimator.simulate(dataset).sigmav_ul.data.ravel()
    draws = maker.prepare([dataset]).draws(range(40))[0]
    n_sigma = (draws.counts[:, 0] - 1e8) / 1e4
    expected = n_sigma + np.sqrt(np.minimum(n_sigma, 0) ** 2 + 2.7055)
    ratio = limits * 10 ** (draws.log10_jfactor_obs - 19.0) / expected
    assert_allclose(ratio, ratio[0], rtol=1e-3)
    assert np.std(draws.log10_jfactor_obs) == pytest.approx(0.3, rel=0.35)


def test_tables_on_disk(pair, castro, tmp_path):
    """Simulated tables read from files equal the data sets they were made of."""
    datasets, expectations = pair
    maker = SimulatedDatasetMaker(seed=5, expectations=expectations, redraw_jfactor=True)
    estimator = ExpectedLimitsEstimator(castro, maker, n_realisations=3, engine="datasets")
    paths = []
    for i in range(3):
        path = tmp_path / f"far_{i}.fits"
        castro.run(maker.prepare(datasets).run(i)[1]).write(path)
        paths.append(path)
    mixed = estimator.simulate(datasets[:1], tables={"far": paths})
    limits = estimator.simulate(datasets).sigmav_ul.data
    assert_allclose(mixed.sigmav_ul.data, limits, rtol=1e-13)  # references differ
    with pytest.raises(ValueError, match="'far'.*2 realisations, 3 are needed"):
        estimator.simulate(datasets[:1], tables={"far": paths[:2]})
    with pytest.raises(ValueError, match="no Asimov data"):
        estimator.asimov(datasets[:1], tables={"far": paths})


def test_decay(castro):
    dataset, expectation = make_sed("one", [9.0, 2.0], [4.0, 1.0], width=0.1, process="decay")
    maker = SimulatedDatasetMaker(seed=1, expectations={"one": expectation}, redraw_jfactor=True)
    decay = CastroEstimator([200, 900] * u.GeV, ["b"], process="decay")
    bands = ExpectedLimitsEstimator(decay, maker, n_realisations=50).run(dataset)
    assert bands.tau_ll.unit == "s"
    assert (np.diff(bands.tau_ll.data[..., 0, 0], axis=0) < 0).all()


def test_masses_without_information(pair):
    datasets, expectations = pair
    maker = SimulatedDatasetMaker(seed=5, expectations=expectations, redraw_jfactor=True)
    castro = CastroEstimator([20, 100] * u.GeV, ["b", "W"])
    bands = ExpectedLimitsEstimator(castro, maker, n_realisations=30).run(datasets)
    status = bands.status.data[..., 0, 0]
    assert (status[:, 1, 0] == LimitStatus.NO_INFORMATION).all()
    assert np.isnan(bands.norm_ul.data[:, 1, 0]).all()
    assert (status[:, 0] == LimitStatus.FOUND).all()


# ---- Asimov data ---------------------------------------------------------------------------------


def test_asimov_bands_of_many_counts():
    """Of a Gaussian: limits are sigma (N + z), with the minimum at zero sigma sqrt(N2 + z2) + N."""
    background = 1e6
    dataset, maker, per_sigmav = one_bin(background)
    estimator = ExpectedLimitsEstimator(
        CastroEstimator([50] * u.GeV, ["b"]), maker, method="asimov",
        quantiles=norm.cdf([-1, 0, 1]),
        stack={"method": "fixed"},
    )  # fmt: skip
    limits = estimator.run(dataset).sigmav_ul.data.ravel() * per_sigmav / np.sqrt(background)
    assert_allclose(limits, [-1 + np.sqrt(1 + 2.7055), 1.6449, 2.6449], rtol=2e-3)
    estimator.limit_method = "cls"
    limits = estimator.run(dataset).sigmav_ul.data.ravel() * per_sigmav / np.sqrt(background)
    assert_allclose(limits, [1.4118, 1.95996, 2.7273], rtol=2e-3)
    estimator.method, estimator.limit_method, estimator.n_realisations = "toys", "profile", 400
    limits = estimator.run(dataset).sigmav_ul.data.ravel() * per_sigmav / np.sqrt(background)
    assert_allclose(limits, [-1 + np.sqrt(1 + 2.7055), 1.6449, 2.6449], rtol=0.09)


def test_expected_limits_need_asimov_data(pair, castro):
    datasets, expectations = pair
    maker = SimulatedDatasetMaker(
        seed=5, expectations=expectations, sigmav=2e-25 * u.Unit("cm3 s-1"), mass=50 * u.GeV,
        channel="b", redraw_jfactor=True
    )  # fmt: skip
    result = CastroEstimator([50] * u.GeV, ["b"]).run(maker.run(datasets)[0])
    with pytest.raises(ValueError, match="not the Asimov data"):
        result.expected_limits()
    # a signal of the maker is not in the Asimov data of the estimator
    assert ExpectedLimitsEstimator(castro, maker).asimov(datasets).ts.data.max() < 1e-6


def test_discovery_reach():
    background = 3.7
    dataset, maker, per_sigmav = one_bin(background, width=0.4)
    castro = CastroEstimator([50] * u.GeV, ["b"])
    for engine in ("fast", "datasets"):
        estimator = ExpectedLimitsEstimator(castro, maker, engine=engine)
        reach = estimator.discovery_reach(dataset, ts=16.0)
        signal = brentq(
            lambda s: 2 * ((background + s) * np.log1p(s / background) - s) - 16, 0.1, 100
        )
        assert reach.unit == "cm3 s-1"
        assert_allclose(reach.data.ravel() * per_sigmav, signal, rtol=1e-4)


@pytest.mark.parametrize("engine", ["fast", "datasets"])
@pytest.mark.parametrize(("background", "part"), [(1e4, 0.03), (3.7, 0.4), (3.7, 0.01), (3.7, 30)])
def test_required_exposure(background, part, engine):
    """With J known the profile is F times that of the counts."""
    dataset, maker, per_sigmav = one_bin(background)
    castro = CastroEstimator([50] * u.GeV, ["b"])
    estimator = ExpectedLimitsEstimator(
        castro, maker, method="asimov", stack={"method": "fixed"}, engine=engine
    )
    strength = part * estimator.sensitivity(dataset).quantity.item()
    signal = strength.value * per_sigmav
    exact = 2.7055434541 / (2 * (signal - background * np.log1p(signal / background)))
    # scans of data sets are continued by a parabola
    rtol = {"fast": 2e-4, "datasets": 5e-3}[engine]
    assert_allclose(estimator.required_exposure(dataset, strength), exact, rtol=rtol)


def test_required_exposure_with_uncertain_jfactor():
    """The sensitivity of data with that exposure is the strength asked for."""
    dataset, maker, per_sigmav = one_bin(3.7, width=0.4)
    castro = CastroEstimator([50] * u.GeV, ["b"])
    for method in ("profile", "marginal"):
        settings = {"method": "asimov", "stack": {"method": method}}
        estimator = ExpectedLimitsEstimator(castro, maker, **settings)
        strength = 0.4 * estimator.sensitivity(dataset).quantity.item()
        factor = estimator.required_exposure(dataset, strength).item()
        more, other, _ = one_bin(3.7 * factor, npred=4.0 * factor, width=0.4)
        again = ExpectedLimitsEstimator(castro, other, **settings).sensitivity(more)
        assert_allclose(again.data.ravel(), strength.value, rtol=2e-4)
        factor = estimator.required_exposure(dataset, strength, ts=25).item()
        more, other, _ = one_bin(3.7 * factor, npred=4.0 * factor, width=0.4)
        reach = ExpectedLimitsEstimator(castro, other, **settings).discovery_reach(more)
        assert_allclose(reach.data.ravel(), strength.value, rtol=2e-4)
    with pytest.raises(ValueError, match="positive and finite"):
        estimator.required_exposure(dataset, 0 * u.Unit("cm3 s-1"))


def test_true_jfactors_that_differ_from_the_catalogue():
    """Nature has ten times the J of the catalogue; without signal nobody can tell."""
    dataset, expectation = make_sed("one", [3.7], [4.0], 19.0, 0.2)
    per_sigmav = counts_per_sigmav([4.0], 50.0, "b", 20.0).item()
    expectations = {"one": expectation}
    maker = SimulatedDatasetMaker(
        3, expectations=expectations, log10_jfactor={"one": 20.0}, redraw_jfactor=False
    )
    plain = SimulatedDatasetMaker(3, expectations=expectations, redraw_jfactor=False)
    castro = CastroEstimator([50] * u.GeV, ["b"])
    for engine in ("fast", "datasets"):
        estimator = ExpectedLimitsEstimator(castro, maker, n_realisations=5, engine=engine)
        same = ExpectedLimitsEstimator(castro, plain, n_realisations=5, engine=engine)
        limits = [e.simulate(dataset).sigmav_ul.data for e in (estimator, same)]
        assert_allclose(*limits, rtol=1e-6)
        signal = brentq(lambda s: 2 * ((3.7 + s) * np.log1p(s / 3.7) - s) - 25, 0.1, 100)
        reach = estimator.discovery_reach(dataset).data.ravel()
        assert_allclose(reach * per_sigmav, signal, rtol=1e-4)
    strengths = [6 / per_sigmav] * u.Unit("cm3 s-1")
    nulls = [
        ExpectedLimitsEstimator(castro, m).limit_toys(dataset, strengths, 200, False).q_null
        for m in (maker, plain)
    ]
    assert_allclose(*nulls, atol=1e-6)


def test_instruments_scatter_independently(castro):
    """Widths of their own: J_obs of two instruments of one target differ by them."""
    datasets, expectations = [], {}
    for name, background in (("A", 30.0), ("B", 9.0)):
        dataset, expectation = make_sed("one", [background], [4.0], 19.0, 0.2)
        dataset = dataset.copy(name=f"one-{name}")
        dataset.instrument = name
        dataset.models = make_sed("one", [background], [4.0], 19.0, 0.2)[0].models
        datasets.append(dataset)
        expectations[dataset.name] = expectation
    maker = SimulatedDatasetMaker(3, expectations=expectations, redraw_jfactor=True)
    stack = {"extra_widths": {"B": 0.4}}
    fast, slow = (
        ExpectedLimitsEstimator(castro, maker, stack=stack, engine=engine)
        for engine in ("fast", "datasets")
    )
    numbers = [0, 1, 30]
    assert_allclose(
        fast.simulate(datasets, realisations=numbers).sigmav_ul.data,
        slow.simulate(datasets, realisations=numbers).sigmav_ul.data,
        rtol=1e-4,
    )
    engine, _ = fast._engine(datasets, None, 0)
    draws = engine.simulation.draws(range(1500))
    first, second = engine.observed_shifts(draws, range(1500))
    assert np.std(first) == pytest.approx(0.2, rel=0.06)
    assert np.std(second - first) == pytest.approx(0.4, rel=0.06)
    assert abs(np.corrcoef(first, second - first)[0, 1]) < 0.08


# ---- toys for limits -----------------------------------------------------------------------------


def exact_tails(n_obs, b, s):
    """Chance of a test statistic as large as observed, with and without signal, by summing."""

    def q(n):
        best = max(n - b, 0.0)
        if best > s:
            return 0.0
        stat = [2 * (x + b) - 2 * n * np.log(x + b) for x in (s, best)]
        return stat[0] - stat[1]

    n = np.arange(200)
    at_least = np.array([q(k) >= q(n_obs) - 1e-9 for k in n])
    return tuple(poisson.pmf(n, b + signal)[at_least].sum() for signal in (s, 0.0))


def test_limit_toys_of_one_bin():
    b, signal = 3.2, np.array([2.0, 5.0])
    dataset, maker, per_sigmav = one_bin(b)
    estimator = ExpectedLimitsEstimator(
        CastroEstimator([50] * u.GeV, ["b"]), maker, stack={"method": "fixed"}
    )
    toys = estimator.limit_toys(dataset, signal / per_sigmav * u.Unit("cm3 s-1"), n_toys=2000)
    assert toys.n_toys == 2000
    assert toys.strengths.shape == (1, 1, 2)
    for k, s in enumerate(signal):
        for n in (1, 3, 6):
            best = max(n - b, 0.0)
            observed = 0.0
            if best <= s:
                observed = 2 * (s - best) - (2 * n * np.log((s + b) / (best + b)))
            exact = exact_tails(n, b, s)
            for values, p in zip((toys.q_signal, toys.q_null), exact, strict=True):
                found = np.mean(values[0, 0, k] >= observed - 1e-4)
                assert abs(found - p) < 4 * np.sqrt(max(p * (1 - p), 1e-3) / 2000)


def test_limits_from_toys_are_those_of_the_exact_sum():
    b, n_obs = 3.2, 2
    dataset, maker, per_sigmav = one_bin(b)
    castro = CastroEstimator([50] * u.GeV, ["b"])
    estimator = ExpectedLimitsEstimator(castro, maker, stack={"method": "fixed"})
    signal = np.linspace(1, 9, 17)
    toys = estimator.limit_toys(dataset, signal / per_sigmav * u.Unit("cm3 s-1"), n_toys=4000)
    expectation = SEDExpectation([b], [4.0])
    data = castro.run(expectation.to_dataset(dataset, [n_obs]))

    def excess(s):
        clsb, clb = exact_tails(n_obs, b, s)
        return clsb / clb - 0.05

    limit = data.upper_limit(method="toys", toys=toys).data.item() * per_sigmav
    assert limit == pytest.approx(brentq(excess, 2, 9), rel=0.04)


def test_limit_toys_measure_jfactors_anew():
    """J uncertain by 0.5 dex: toys of a maker that keeps J have larger tails than without."""
    dataset, expectation = make_sed("one", [400.0], [4.0], 19.0, 0.5)
    maker = SimulatedDatasetMaker(3, expectations={"one": expectation})
    assert not maker.redraw_jfactor
    estimator = ExpectedLimitsEstimator(CastroEstimator([50] * u.GeV, ["b"]), maker)
    strong = [300 / counts_per_sigmav([4.0], 50.0, "b").item()] * u.Unit("cm3 s-1")
    anew = estimator.limit_toys(dataset, strong, 800)
    as_it_is = estimator.limit_toys(dataset, strong, 800, redraw_jfactor=False)
    # with J measured anew 5 % exceed 2.71; if J is always right, the width allowed is not used
    assert np.mean(anew.q_signal > 2.7055) == pytest.approx(0.05, abs=0.025)
    assert np.mean(as_it_is.q_signal > 2.7055) < 0.005
    assert not maker.redraw_jfactor


def test_limit_toys_of_data_sets():
    """The slow way gives the same distributions."""
    b, signal = 3.2, np.array([2.0, 5.0])
    dataset, maker, per_sigmav = one_bin(b)
    estimator = ExpectedLimitsEstimator(
        CastroEstimator([50] * u.GeV, ["b"]), maker, stack={"method": "fixed"}, engine="datasets"
    )
    strengths = signal / per_sigmav * u.Unit("cm3 s-1")
    slow = estimator.limit_toys(dataset, strengths, n_toys=60)
    for values in (slow.q_signal, slow.q_null, slow.t_signal):
        assert values.shape == (1, 1, 2, 60)
        assert np.isfinite(values).all()
    p = exact_tails(3, b, 5.0)[0]
    observed = 2 * 5 - 6 * np.log(8.2 / 3.2)
    found = np.mean(slow.q_signal[0, 0, 1] >= observed - 1e-4)
    assert abs(found - p) < 4 * np.sqrt(p * (1 - p) / 60)


def test_limit_toys_file(pair, castro, tmp_path):
    datasets, expectations = pair
    estimator = ExpectedLimitsEstimator(
        castro, SimulatedDatasetMaker(5, expectations=expectations, redraw_jfactor=True)
    )
    toys = estimator.limit_toys(datasets, [1e-26, 1e-25] * u.Unit("cm3 s-1"), n_toys=30)
    path = tmp_path / "toys.fits"
    toys.write(path)
    again = LimitToys.read(path)
    assert repr(again) == repr(toys) == "LimitToys(2 channels, 2 masses, 2 strengths, 30 toys)"
    for name in ("strengths", "q_signal", "q_null", "t_signal", "masses"):
        assert (getattr(again, name) == getattr(toys, name)).all()
    assert again.channels == ["b", "tau"]
    with pytest.raises(OSError, match="exists"):
        toys.write(path)
    castro.run(datasets[0]).write(tmp_path / "castro.fits")
    with pytest.raises(ValueError, match="not a file of limit toys"):
        LimitToys.read(tmp_path / "castro.fits")


def test_jfactors_that_vary_together(pair, castro):
    """Engines agree; J_obs are drawn with the covariance of the stack."""
    datasets, expectations = pair
    covariance = JFactorCovariance(["near", "far"], [[0.09, 0.06], [0.06, 0.04]])
    maker = SimulatedDatasetMaker(5, expectations=expectations, redraw_jfactor=True)
    results = [
        ExpectedLimitsEstimator(
            castro, maker, stack={"jfactor_covariance": covariance}, engine=engine
        ).simulate(datasets, realisations=[0, 3])
        for engine in ("fast", "datasets")
    ]
    assert_allclose(results[0].sigmav_ul.data, results[1].sigmav_ul.data, rtol=1e-4)
    assert maker.jfactor_covariance is None


def test_strengths_beyond_the_grid():
    dataset, maker, per_sigmav = one_bin(3.2)
    estimator = ExpectedLimitsEstimator(
        CastroEstimator([50] * u.GeV, ["b"]), maker, stack={"method": "fixed"}
    )
    with pytest.raises(ValueError, match="beyond the grid"):
        estimator.limit_toys(dataset, [1e9 / per_sigmav] * u.Unit("cm3 s-1"), n_toys=10)
    with pytest.raises(ValueError, match="ascend"):
        estimator.limit_toys(dataset, [2e-26, 1e-26] * u.Unit("cm3 s-1"), n_toys=10)


# ---- options -------------------------------------------------------------------------------------


def test_errors(pair, castro):
    datasets, expectations = pair
    with pytest.raises(ValueError, match="method must be one of"):
        ExpectedLimitsEstimator(castro, method="bayes")
    with pytest.raises(ValueError, match="whole number"):
        ExpectedLimitsEstimator(castro, n_realisations=0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        ExpectedLimitsEstimator(castro, quantiles=[0.5, 1.5])
    with pytest.raises(ValueError, match="can't be given"):
        ExpectedLimitsEstimator(castro, stack={"cl": 0.9})
    maker = SimulatedDatasetMaker(seed=5, expectations=expectations, redraw_jfactor=True)
    with pytest.raises(ValueError, match="no datasets and no tables"):
        ExpectedLimitsEstimator(castro, maker).run([])
    linear = CastroEstimator([50] * u.GeV, ["b"], interpolation="linear")
    with pytest.raises(ValueError, match="interpolation='linear'"):
        ExpectedLimitsEstimator(linear, maker, engine="fast").run(datasets)
    estimator = ExpectedLimitsEstimator(castro, maker)
    for wrong in ([-1], [40, 7], [3, 3], [0, 1.5]):
        with pytest.raises(ValueError, match="must be"):
            estimator.simulate(datasets, realisations=wrong)
    with pytest.raises(ValueError, match="priors belong on the models"):
        ExpectedLimitsEstimator(castro, maker, stack={"priors": {}})
    decay = SimulatedDatasetMaker(1, gamma=1e-26 / u.s, redraw_jfactor=True)
    with pytest.raises(ValueError, match="about decay"):
        ExpectedLimitsEstimator(castro, decay)
    with pytest.raises(ValueError, match="ts must be positive"):
        estimator.required_exposure(datasets, 1e-26 * u.Unit("cm3 s-1"), ts=0)
    named, expectation = make_sed("stack", [9.0], [4.0], width=0.1)
    maker = SimulatedDatasetMaker(1, expectations={"stack": expectation}, redraw_jfactor=True)
    with pytest.raises(ValueError, match="named 'stack'"):
        ExpectedLimitsEstimator(castro, maker).simulate(named, per_target=True)


def test_nothing_of_the_input_is_changed(pair, castro):
    datasets, expectations = pair
    before = [(d.norm_scan.copy(), d.models[0].parameters["log10_jfactor"].value) for d in datasets]
    maker = SimulatedDatasetMaker(seed=5, expectations=expectations, redraw_jfactor=True)
    ExpectedLimitsEstimator(castro, maker, n_realisations=5).run(datasets)
    for dataset, (scan, jfactor) in zip(datasets, before, strict=True):
        assert np.array_equal(dataset.norm_scan, scan, equal_nan=True)
        assert dataset.models[0].parameters["log10_jfactor"].value == jfactor
    assert castro.n_jobs == 1
    assert castro.show_progress is None


def test_ensembles_are_castro_maps(pair, castro):
    datasets, expectations = pair
    maker = SimulatedDatasetMaker(seed=5, expectations=expectations, redraw_jfactor=True)
    ensemble = ExpectedLimitsEstimator(castro, maker, n_realisations=4).simulate(datasets)
    assert isinstance(ensemble, CastroMaps)
    assert ensemble.geom.axes.names == ["mass", "channel", "realisation"]
    assert "4 realisations" in ensemble.meta.origin


@pytest.mark.parametrize("limit_method", ["cls", "power_constrained", "feldman_cousins"])
def test_other_limits_of_ensembles(pair, castro, limit_method):
    """Both engines, and the limits of the same data taken one by one."""
    datasets, expectations = pair
    maker = SimulatedDatasetMaker(seed=5, expectations=expectations, redraw_jfactor=True)
    results = [
        ExpectedLimitsEstimator(castro, maker, limit_method=limit_method, engine=engine).simulate(
            datasets, realisations=[0, 3, 26]
        )
        for engine in ("fast", "datasets")
    ]
    assert_allclose(results[0].sigmav_ul.data, results[1].sigmav_ul.data, rtol=1e-3)
    estimator = ExpectedLimitsEstimator(castro, maker)
    profile = estimator.simulate(datasets, realisations=[0, 3, 26])
    assert (results[0].sigmav_ul.data != profile.sigmav_ul.data).all()
    simulated = maker.prepare(datasets).run(3)
    stack = StackedDMLikelihood(castro.run(simulated)).run()
    for dataset in datasets:  # the Asimov data are those of an analysis with the J observed
        prior = next(d for d in simulated if d.name == dataset.name).models[0]
        parameter = dataset.models[0].spectral_model.log10_jfactor
        parameter.prior = prior.spectral_model.jfactor_prior
        parameter.value = parameter.prior.log10_jfactor
    one = stack.upper_limit(method=limit_method, asimov=estimator.asimov(datasets))
    assert_allclose(results[1].sigmav_ul.data[1], one.data, rtol=1e-12)
