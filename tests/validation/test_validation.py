"""Small versions of the scripts in benchmarks/validation, with the bars that hold.

Margins are about four standard deviations of the numbers of toys used here, or the bar where that
is wider; seeds are those of the scripts.
"""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import chi2, poisson

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.makers import SEDExpectation
from dmgammapy.targets import Target

SCRIPTS = Path(__file__).resolve().parents[2] / "benchmarks" / "validation"
NAMES = ("reporting", "dwarfs", "bands", "null_ts", "injection", "golden_files", "reproducible")
MASSES = [10, 100, 1000] * u.GeV


@pytest.fixture(scope="module")
def scripts():
    """Modules of the scripts, which import each other by their bare names."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    finally:
        sys.path.remove(str(SCRIPTS))
        for name in NAMES:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def dwarfs(scripts):
    return scripts.dwarfs.simulated_dwarfs()


@pytest.fixture(scope="module")
def few_dwarfs(dwarfs):
    """Eight of the targets, Draco, Segue 1 and Willman 1 among them."""
    datasets, expectations = dwarfs
    return datasets[::2], expectations


def test_bands_hold_what_they_say(scripts, few_dwarfs):
    datasets, expectations = few_dwarfs
    n = 1000
    found = [
        scripts.bands.estimator(expectations, "redrawn", seed, MASSES, ["b"]).simulate(
            datasets, realisations=range(n)
        )
        for seed in (scripts.bands.SEED_BANDS, scripts.bands.SEED_TEST)
    ]
    for share, level, bar in zip(
        scripts.bands.containment(*found), (0.68, 0.95), (4, 2), strict=True
    ):
        # four standard deviations of one mass: quantiles and shares have errors alike
        error = np.sqrt(level * (1 - level) * 2 / n)
        assert (np.abs(share - level) < 4 * error).all()
        assert abs(share.mean() - level) < 0.01 * bar


def test_asimov_median_of_many_counts(scripts, few_dwarfs):
    datasets, expectations = few_dwarfs
    many = scripts.bands.more_counts(expectations, 1000)
    work = scripts.bands.estimator(many, "fixed", scripts.bands.SEED_BANDS, MASSES, ["b"])
    assert scripts.bands.background_counts(work, datasets).min() > 100
    null = work.simulate(datasets, realisations=range(2000))
    ratio, error = scripts.bands.median_ratio(null, work.asimov(datasets))
    assert error.max() < 0.02
    assert (np.abs(ratio - 1) < 4 * error).all()


def test_asimov_median_of_few_counts_is_off_as_poisson_has_it(scripts):
    # one bin with b = 0.3: most experiments count nothing, the Asimov data count 0.3
    background, npred = 0.3, 2.0
    expectation = SEDExpectation([background], [npred])
    target = Target("one", log10_jfactor=18.8, log10_jfactor_err=0.2)
    norm, stat = expectation.scan([0], 40, 20)
    dataset = SEDLikelihoodDataset(
        [1, 10] * u.GeV, norm, stat, ref_eflux=[1e-9] * u.Unit("GeV cm-2 s-1"), name="one",
        models=target.to_models("100 GeV", "b"), interpolation="poisson",
    )  # fmt: skip
    work = scripts.bands.estimator({"one": expectation}, "fixed", 1, [100] * u.GeV, ["b"])
    drop = chi2.ppf(0.9, 1)
    asimov = brentq(lambda s: 2 * (s - background * np.log1p(s / background)) - drop, 0.1, 9)
    assert poisson.cdf(0, background) > 0.7
    median = drop / 2  # of counting nothing
    ratio, _ = scripts.bands.median_ratio(
        work.simulate([dataset], realisations=range(400)), work.asimov([dataset])
    )
    assert ratio.item() == pytest.approx(asimov / median, rel=1e-3)
    assert scripts.bands.background_counts(work, [dataset]).item() == pytest.approx(background)


def test_measure_of_the_null_ts(scripts):
    # exact quantiles of half of chi2_1
    rank = (np.arange(2000) + 0.5) / 2000
    ts = chi2.isf(np.minimum(2 * rank, 1), 1)
    share, p_share, p_shape = scripts.null_ts.compare(ts)
    assert share == pytest.approx(0.1587, abs=5e-4)
    assert min(p_share, p_shape) > 0.9
    assert scripts.null_ts.compare(1.5 * ts)[2] < 0.01


def test_null_ts_follows_half_a_chi2(scripts, few_dwarfs):
    # many counts: at 1 TeV there are 4 under the signal of a target, and TS is smaller
    datasets, expectations = few_dwarfs
    ts = scripts.null_ts.samples(datasets, expectations, 2000, ensembles=["fixed"])
    error = np.sqrt(0.1587 * 0.8413 / 2000)
    for name, values in ts.items():
        for m in (0, 1):
            share, _, p_shape = scripts.null_ts.compare(values[:, m])
            assert p_shape > 0.01, name
            assert abs(share - 0.1587) < 4 * error, name
        assert (values[:, 2] > 1).mean() < 0.1587 + 4 * error


@pytest.mark.parametrize("ensemble", ["fixed", "redrawn"])
def test_injected_signals_are_recovered(scripts, dwarfs, ensemble):
    datasets, expectations = dwarfs
    n = 300
    masses = [10, 120, 1443] * u.GeV
    work = scripts.bands.estimator(expectations, ensemble, 404, masses, ["b", "W"])
    strength = work.discovery_reach(datasets).data[..., 0, 0]
    assert np.array_equal(np.isnan(strength), [[False] * 3, [True, False, False]])
    known = np.isfinite(strength)
    ratio, pull, ts = (
        values[:, known] for values in scripts.injection.inject(work, datasets, strength, n)
    )
    numbers = scripts.injection.summary(ratio, pull)
    assert (np.abs(numbers["pull width"] - 1) < 4 / np.sqrt(2 * n)).all()
    # 2 sqrt(TS) is the error of a TS of 25, times that of a median
    assert (np.abs(np.median(ts, axis=0) - 25) < 4 * 1.25 * 10 / np.sqrt(n)).all()
    if ensemble == "fixed":
        assert (np.abs(numbers["mean fit / true - 1"]) < 4 * numbers["error"]).all()
        assert (np.abs(numbers["pull mean"]) < 4 / np.sqrt(n)).all()
    else:
        # targets whose J was measured too high weigh most, and pull the fit down
        assert (numbers["pull mean"] < 0).all()
        assert (numbers["pull mean"] > -0.5).all()


def test_golden_realisation_through_files(scripts, test_data, tmp_path):
    golden = scripts.golden_files
    folder = test_data / "golden"
    numbers = [0, 21, 40, 44]
    datasets, expectations, truth = golden.golden_datasets(folder, numbers)
    width = np.sqrt(expectations["target_40"].background) / expectations["target_40"].npred
    np.testing.assert_allclose(width, truth["gs_null"][40], rtol=1e-3)
    maker = golden.SimulatedDatasetMaker(
        golden.SEED, expectations=expectations, redraw_jfactor=True
    )
    simulated = maker.run(datasets, 1)
    castro = golden.estimator(folder, truth, slice(0, None, 4), slice(0, None, 5))
    direct = golden.analyse(castro, simulated)
    for i, layout in enumerate(golden.LAYOUTS.values()):
        (tmp_path / str(i)).mkdir()
        read = golden.through_files(simulated, tmp_path / str(i), **layout)
        for name, (equal, _) in golden.largest_difference(
            direct, golden.analyse(castro, read)
        ).items():
            assert equal, name


@pytest.fixture(scope="module")
def references(scripts):
    work = scripts.reproducible.cases(50, 2, 2)
    return work, {name: scripts.reproducible.simulate(case, 1) for name, case in work.items()}


@pytest.mark.parametrize("n_jobs", [2, 4])
def test_processes_do_not_matter(scripts, references, n_jobs):
    work, expected = references
    for name, case in work.items():
        got = scripts.reproducible.simulate(case, n_jobs)
        assert scripts.reproducible.same(expected[name], got), name


def test_a_dask_cluster_does_not_matter(scripts, references):
    pytest.importorskip("distributed")
    work, expected = references
    with scripts.reproducible.dask_cluster(2, processes=False):
        for name, case in work.items():
            got = scripts.reproducible.simulate(case, -1)
            assert scripts.reproducible.same(expected[name], got), name


def test_tables_are_markdown(scripts):
    text = scripts.reporting.markdown({"J": ["fixed"], "ratio": [1.23456]})
    assert text.splitlines() == ["| J | ratio |", "| --- | ---: |", "| fixed | 1.235 |"]
