"""Simulations of the pipeline: those of the classes, and the truth that was put in."""

import re
import shutil
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from gammapy.maps import LabelMapAxis, MapAxis, RegionGeom, RegionNDMap
from numpy.testing import assert_allclose, assert_array_equal

from dmgammapy.analysis import ConfigError, _steps
from dmgammapy.analysis import _plan_simulations as plan_module
from dmgammapy.analysis._expectations import background_counts
from dmgammapy.analysis._report_controls import controls
from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import (
    CastroEstimator,
    CastroMaps,
    ExpectedLimitsEstimator,
    LimitStatus,
    SignificanceEstimator,
    StackedDMLikelihood,
)
from dmgammapy.estimators.metadata import CastroMetaData
from dmgammapy.makers import SEDExpectation, SimulatedDatasetMaker
from dmgammapy.targets import Target, Targets

DRACO, SEGUE = Targets.from_names(["draco:ackermann2014_nfw", "segue_1:ackermann2014_nfw"])
MASSES = [50, 500] * u.GeV
SIGNAL = {"sigmav": "1e-25 cm3 s-1", "mass": "500 GeV", "channel": "b"}
QUANTITIES = ("reference", "norm", "norm_ul", "ts", "status")


def truth_of(project, name):
    table = QTable.read(project / "truth.ecsv")
    rows = table[table["target"] == name]
    return SEDExpectation(rows["background"], rows["npred"])


def estimator_by_hand(project, targets=(DRACO, SEGUE), maker=None, castro=None, **options):
    """`ExpectedLimitsEstimator` and datasets, of the classes alone."""
    datasets = []
    for target in targets:
        dataset = SEDLikelihoodDataset.read(project / f"sed_{target.name}.fits")
        dataset.models = target.to_models("100 GeV", "b")
        datasets.append(dataset)
    expectations = {target.name: truth_of(project, target.name) for target in targets}
    maker = SimulatedDatasetMaker(**({"seed": 0, "expectations": expectations} | (maker or {})))
    castro = castro or CastroEstimator(MASSES, ["b"])
    return ExpectedLimitsEstimator(castro, maker, show_progress=False, **options), datasets


def same(one, two):
    """Bit for bit."""
    assert set(one.available_quantities) == set(two.available_quantities) >= set(QUANTITIES)
    for name in QUANTITIES:
        assert_array_equal(one[name].data, two[name].data)
    assert one.geom.axes["realisation"].center.value.tolist() == (
        two.geom.axes["realisation"].center.value.tolist()
    )


def quantiles(values, q):
    """The middle of the k-th of n values is the quantile (k - 1/2) / n."""
    return np.quantile(values, q, axis=0, method="hazen")


@pytest.fixture
def blocks(monkeypatch):
    """Tasks of 25 realisations."""
    monkeypatch.setattr(plan_module, "LARGEST_TASK", plan_module.BLOCK)


def scenario(**more):
    return {"expectations": "truth.ecsv"} | more


# ---- the same as by hand -----------------------------------------------------------------------


def test_ensembles_are_those_of_the_estimator(project, analyse, blocks):
    """Null and injected, J measured anew, 30 realisations in two tasks, both J treatments."""
    simulations = {
        "defaults": scenario(n=30, seed=3, redraw_jfactor=True),
        "null": {},
        "signal": {"injected": SIGNAL, "n": 7, "redraw_jfactor": False},
    }
    analysis = analyse(simulations=simulations, jfactor=["profile", "fixed"])
    assert "simulate/null/all/profile/0001" in analysis.pipeline.tasks
    signal = {"sigmav": 1e-25 * u.Unit("cm3 s-1"), "mass": 500 * u.GeV, "channel": "b"}
    for method in ("profile", "fixed"):
        options = {"stack": {"method": method}}
        maker = {"seed": 3, "redraw_jfactor": True}
        estimator, datasets = estimator_by_hand(project, maker=maker, **options)
        null = estimator.simulate(datasets, realisations=range(30))
        same(analysis.results["simulation", "null", method], null)
        # quantiles of the ensemble are numpy's
        bands = analysis.results["bands", method]
        limits = analysis.results["simulation", "null", method].sigmav_ul.data
        q = bands.geom.axes["quantile"].center.value
        assert_allclose(q, [0.025, 0.16, 0.5, 0.84, 0.975])
        assert_allclose(bands.sigmav_ul.data, quantiles(limits, q), rtol=1e-12)
        assert_allclose(
            analysis.results["simulation_bands", "null", method].sigmav_ul.data,
            bands.sigmav_ul.data, rtol=1e-15,
        )  # fmt: skip
        estimator, datasets = estimator_by_hand(project, maker={"seed": 3} | signal, **options)
        injected = estimator.simulate(datasets, realisations=range(7))
        same(analysis.results["simulation", "signal", method], injected)
    # significance of the data's largest TS among those of the null hypothesis
    table = analysis.results["significance"]
    wanted = SignificanceEstimator().run(analysis.combined, analysis.results["simulation", "null"])
    assert_array_equal(table["ts"], wanted["ts"])
    assert_allclose(table["p_channels"], wanted["p_channels"])


def test_more_realisations_keep_those_there_are(analyse, blocks):
    few = analyse(simulations={"null": scenario(n=50)})
    before = few.results["simulation", "null"].sigmav_ul.data
    more = analyse(simulations={"null": scenario(n=60)})
    simulated = [id for id in more.computed if id.startswith("simulate")]
    assert simulated == ["simulate/null/all/profile/0002"]
    after = more.results["simulation", "null"]
    assert_array_equal(after.sigmav_ul.data[:50], before)
    assert after.sigmav_ul.data.shape[0] == 60
    # fewer again: the last ones go, nothing is simulated
    fewer = analyse(simulations={"null": scenario(n=50)})
    assert not [id for id in fewer.computed if id.startswith("simulate")]
    assert_array_equal(fewer.results["simulation", "null"].sigmav_ul.data, before)
    assert not (fewer.output / "simulations/null/all/profile/parts/0002_stack.fits").exists()


def test_each_target(project, analyse, blocks):
    section = scenario(n=27, per_target=True)
    analysis = analyse(simulations={"null": section})
    estimator, datasets = estimator_by_hand(project)
    wanted = estimator.simulate(datasets, realisations=range(27), per_target=True)
    assert set(wanted) == {"stack", "draco", "segue_1"}
    folder = analysis.output / "simulations/null/all/profile/targets"
    for name in ("draco", "segue_1"):
        same(CastroMaps.read(folder / f"{name}.fits"), wanted[name])
        bands = CastroMaps.read(folder / f"{name}_bands.fits").sigmav_ul.data
        q = [0.025, 0.16, 0.5, 0.84, 0.975]
        assert_allclose(bands, quantiles(wanted[name].sigmav_ul.data, q), rtol=1e-12)
    same(analysis.results["simulation", "null"], wanted["stack"])


def test_background_read_off_the_scans(project, analyse):
    """Without a table the likelihoods are taken at their word, as LAT files want it."""
    section = {"n": 5, "undetermined": "power_law", "least_counts": 5}
    analysis = analyse(simulations={"null": section})
    maker = {"expectations": None, "undetermined": "power_law", "least_counts": 5}
    estimator, datasets = estimator_by_hand(project, maker=maker)
    same(
        analysis.results["simulation", "null"], estimator.simulate(datasets, realisations=range(5))
    )
    truth, _ = estimator_by_hand(project)
    other = truth.simulate(datasets, realisations=range(5))
    assert (other.sigmav_ul.data != analysis.results["simulation", "null"].sigmav_ul.data).any()


@pytest.mark.parametrize("method", ["cls", "power_constrained"])
def test_other_limits(project, analyse, method):
    """The first method is that of the ensembles; all are in the table."""
    analysis = analyse(
        simulations={"null": scenario(n=20)}, limits={"methods": [method, "profile"], "cl": 0.9}
    )
    castro = CastroEstimator(MASSES, ["b"], cl=0.9)
    estimator, datasets = estimator_by_hand(project, castro=castro, limit_method=method)
    same(
        analysis.results["simulation", "null"], estimator.simulate(datasets, realisations=range(20))
    )
    asimov = estimator.asimov(datasets)
    stack = analysis.combined
    limit, _ = stack.upper_limit_and_status(method=method, asimov=asimov, cl=0.9)
    table = QTable.read(analysis.output / "limits.ecsv")
    combined = table[table["target"] == "combined"]
    assert_allclose(combined["sigmav_ul"].value, limit.data.ravel(), rtol=1e-9)
    assert set(combined["method"]) == {method}
    assert table.meta["limit_method"] == method
    # the profile, of the classes alone, stands beside it; targets alone are by it
    observed = [estimator.castro.run(dataset) for dataset in datasets]
    profile = StackedDMLikelihood(observed, cl=0.9).run().sigmav_ul.data.ravel()
    if method == "cls":  # the power is enough for the others
        assert (abs(profile / limit.data.ravel() - 1) > 0.01).all()
    assert_allclose(combined["sigmav_ul_profile"].value, profile, rtol=1e-9)
    draco = table[table["target"] == "draco"]
    assert set(draco["method"]) == {"profile"}
    alone = StackedDMLikelihood(observed[:1], cl=0.9).run().sigmav_ul.data.ravel()
    assert_allclose(draco["sigmav_ul"].value, alone, rtol=1e-9)
    # what figures take as observed has the same numbers, and says by which method
    shown = CastroMaps.read(analysis.output / "limits/all/profile.fits")
    assert_allclose(shown.sigmav_ul.data, limit.data, rtol=1e-9)
    assert f"upper limits by the method {method!r}." in shown.meta.notes
    assert_array_equal(shown.stat_scan.data, stack.stat_scan.data)


def test_one_method_in_bands_realisations_and_limits(project, make, tmp_path):
    """The observed limit of expected data lies on the median; single realisations fit, too."""
    analysis = make(
        simulations={"null": scenario(n=5, redraw_jfactor=True)}, limits={"methods": ["cls"]},
        bands={"method": "asimov", "quantiles": [0.16, 0.5, 0.84]},
    )  # fmt: skip
    analysis.run(steps=["limits", "bands", "collect"])
    asimov = analysis.results["asimov"]
    limit, _ = asimov.upper_limit_and_status(method="cls", asimov=asimov)
    assert_allclose(analysis.results["bands"].sigmav_ul.data[1], limit.data, rtol=1e-3)
    task = analysis.pipeline.tasks["simulate/null/all/profile/0000"]
    files = {name: Path(path) for name, path in task.files.items()}
    params = task.params | {"realisation": 3, "output": "one.fits"}
    _steps.simulated_stack(params, files, dict.fromkeys(task.parents, {}), tmp_path)
    one = CastroMaps.read(tmp_path / "one.fits")
    ensemble = analysis.results["simulation", "null"]
    assert_allclose(one.sigmav_ul.data, ensemble.sigmav_ul.data[3], rtol=1e-3)
    assert "upper limits by the method 'cls'." in one.meta.notes
    assert QTable.read(analysis.output / "limits.ecsv").meta["limit_method"] == "cls"


def test_asymptotic_bands(project, analyse):
    analysis = analyse(
        simulations={"defaults": scenario()},
        bands={"method": "asimov", "quantiles": [0.16, 0.5, 0.84]},
    )
    estimator, datasets = estimator_by_hand(project)
    wanted = estimator.asimov(datasets).expected_limits([0.16, 0.5, 0.84], "profile")
    assert_allclose(analysis.results["bands"].sigmav_ul.data, wanted.sigmav_ul.data, rtol=1e-12)


def test_jfactors_that_vary_together(project, analyse):
    """The covariance decides the stack, and how J is measured wrong in simulations."""
    names, matrix = ["draco", "segue_1"], [[0.16**2, 0.03], [0.03, 0.29**2]]
    from astropy.table import Table

    Table({"target": names, "draco": matrix[0], "segue_1": matrix[1]}).write(
        project / "covariance.ecsv", format="ascii.ecsv"
    )
    analysis = analyse(
        simulations={"null": scenario(n=4, redraw_jfactor=True)},
        jfactor={"covariance": "covariance.ecsv"},
    )
    estimator, datasets = estimator_by_hand(
        project, maker={"redraw_jfactor": True}, stack={"jfactor_covariance": (names, matrix)}
    )
    same(
        analysis.results["simulation", "null"], estimator.simulate(datasets, realisations=range(4))
    )


# ---- the truth ---------------------------------------------------------------------------------


def write_bright(project, target):
    """A likelihood of many counts: 1e4 times the background of the example, exactly Poisson."""
    dataset = SEDLikelihoodDataset.read(project / f"sed_{target.name}.fits")
    truth = truth_of(project, target.name)
    bright = SEDExpectation(1e4 * truth.background, 1e4 * truth.npred)
    new = bright.to_dataset(dataset, np.round(bright.background).astype(int))
    new.write(project / f"sed_{target.name}.fits", format="gadf", overwrite=True)
    table = QTable.read(project / "truth.ecsv")
    rows = table["target"] == target.name
    for name in ("background", "npred"):
        table[name][rows] *= 1e4
    table.write(project / "truth.ecsv", overwrite=True)


def recovered(analysis, name, strength, *more):
    """Median best fit over the truth at the mass of the signal, and its error."""
    ensemble = analysis.results["simulation", name, *more]
    fits = ensemble.strength.data[:, 0, -1, 0, 0]
    error = 1.2533 * fits.std() / np.sqrt(len(fits))
    return np.median(fits) / strength, error / strength


def test_injected_signal_is_recovered(project, analyse):
    """Fixed J, many counts: the median best fit is the truth."""
    write_bright(project, DRACO)
    analysis = analyse(
        targets=["draco:ackermann2014_nfw"], jfactor=["fixed", "profile"],
        simulations={"signal": scenario(n=75, injected=SIGNAL)},
    )  # fmt: skip
    for method in ("fixed", "profile"):
        ratio, error = recovered(analysis, "signal", 1e-25, method)
        assert error < 0.02
        assert abs(ratio - 1) < 4 * error


def test_signal_of_another_profile(project, analyse):
    """A signal of the J of another table is seen brighter by the ratio of both J."""
    write_bright(project, DRACO)
    profiles = {"here": "ackermann2014_nfw", "there": "ackermann2014_burkert"}
    (there,) = Targets.from_names(["draco:ackermann2014_burkert"])
    analysis = analyse(
        targets=["draco:here"], jfactor="fixed", profiles=profiles,
        simulations={
            "other": scenario(n=75, injected=SIGNAL, profile="there"),
            "same": scenario(n=75, injected=SIGNAL, profile="here"),
        },
    )  # fmt: skip
    wanted = 10 ** (there.log10_jfactor - DRACO.log10_jfactor)
    assert abs(wanted - 1) > 0.05
    ratio, error = recovered(analysis, "other", 1e-25)
    assert error < 0.02
    assert abs(ratio - wanted) < 4 * error
    ratio, error = recovered(analysis, "same", 1e-25)
    assert abs(ratio - 1) < 4 * error


@pytest.mark.parametrize(("seen", "signal"), [("nfw", "burkert"), ("burkert", "nfw")])
def test_profiles_of_ones_own_table(project, analyse, seen, signal):
    """The true J is that of the roster's own file, not of a bundled version of the same name."""
    write_bright(project, DRACO)
    own = {"nfw": 19.0, "burkert": 18.8}
    targets = [
        target.copy(log10_jfactor=own[name])
        for name in own
        for target in Targets.from_names([f"draco:ackermann2014_{name}"])
    ]
    Targets(targets).write(project / "own.ecsv")
    analysis = analyse(
        targets={"file": "own.ecsv", "select": [f"draco:{seen}"]}, jfactor="fixed",
        profiles={name: f"ackermann2014_{name}" for name in own}, bands="none",
        simulations={"other": scenario(n=75, injected=SIGNAL, profile=signal)},
    )  # fmt: skip
    ratio, error = recovered(analysis, "other", 1e-25)
    assert abs(ratio - 10 ** (own[signal] - own[seen])) < 4 * error < 0.1


@pytest.mark.parametrize(
    ("key", "there", "here"), [("draco", 19.0, 19.0), ("draco:there", 19.0, DRACO.log10_jfactor)]
)
def test_true_j_of_an_override(make, key, there, here):
    """What the configuration gives counts for the J of the signal, too."""
    analysis = make(
        targets=["draco:here"], jfactor={"targets": {key: {"log10_jfactor": 19.0}}},
        profiles={"here": "ackermann2014_nfw", "there": "ackermann2014_burkert"},
        simulations={
            "other": scenario(n=2, injected=SIGNAL, profile="there"),
            "same": scenario(n=2, injected=SIGNAL, profile="here"),
        },
    )  # fmt: skip
    tasks = analysis.pipeline.tasks
    assert analysis.targets[0].log10_jfactor == here
    true = {
        name: tasks[f"simulate/{name}/all/profile/0000"].params["scenario"]["log10_jfactor"]
        for name in ("other", "same")
    }
    assert true["other"] == ("observed" if there == here else {"draco": there})
    assert true["same"] == "observed"


def test_a_drawn_j_and_that_of_a_profile_exclude_each_other(make):
    section = scenario(n=2, profile="there", log10_jfactor="prior")
    with pytest.raises(ConfigError, match="not both"):
        _ = make(profiles={"there": "pace2018_nfw"}, simulations={"null": section}).pipeline


def test_decay(project, analyse):
    """A lifetime that is put in comes out."""
    target = Target("draco", log10_dfactor=18.5, log10_dfactor_err=0.1)
    Targets([target]).write(project / "mine.ecsv")
    write_bright(project, DRACO)
    analysis = analyse(
        targets="mine.ecsv", process="decay", masses=["200 GeV", "1 TeV"], jfactor="fixed",
        simulations={
            "signal": scenario(
                n=75, injected={"tau": "1e26 s", "mass": "1 TeV", "channel": "b"}
            )
        },
    )  # fmt: skip
    ratio, error = recovered(analysis, "signal", 1e-26)
    assert error < 0.02
    assert abs(ratio - 1) < 4 * error


# ---- the table of expected counts --------------------------------------------------------------


def test_expectations_go_by_instrument(project, analyse):
    """Two sources of the same target with their own rows; those of the wrong one are not taken."""
    shutil.copy(project / "sed_draco.fits", project / "other_draco.fits")
    table = QTable.read(project / "truth.ecsv")
    table = table[table["target"] == "draco"]
    rows = []
    for name, factor in (("lat", 1), ("other", 4)):
        part = table.copy()
        part["instrument"] = name
        part["background"] *= factor
        part["npred"] *= factor
        rows.append(part)
    from astropy.table import vstack

    vstack(rows).write(project / "both.ecsv")
    analysis = analyse(
        targets=["draco:ackermann2014_nfw"],
        datasets={"lat": "sed_{target}.fits", "other": "other_{target}.fits"},
        simulations={"null": {"n": 3, "expectations": "both.ecsv"}},
    )
    datasets, expectations = [], {}
    for name, factor in (("lat", 1), ("other", 4)):
        dataset = SEDLikelihoodDataset.read(project / "sed_draco.fits", instrument=name)
        dataset = dataset.copy(name=f"draco {name}")
        dataset.models = DRACO.to_models("100 GeV", "b")
        datasets.append(dataset)
        known = truth_of(project, "draco")
        expectations[dataset.name] = SEDExpectation(factor * known.background, factor * known.npred)
    estimator, _ = estimator_by_hand(project, maker={"expectations": expectations})
    wanted = estimator.simulate(datasets, realisations=range(3))
    same(analysis.results["simulation", "null"], wanted)


def test_expectations_of_other_bins_are_refused(project, analyse):
    table = QTable.read(project / "truth.ecsv")
    rows = np.flatnonzero(table["target"] == "draco")
    table[rows] = table[rows[::-1]]
    table.write(project / "turned.ecsv")
    with pytest.raises(
        RuntimeError, match=r"turned\.ecsv: e_min of draco, bin 0, is .*in the order"
    ):
        analyse(simulations={"null": {"n": 2, "expectations": "turned.ecsv"}})


def test_stack_of_one_realisation_is_that_of_the_ensemble(project, make, tmp_path):
    """With its scans, for figures: the same counts and the same J, also of the instruments."""
    analysis = make(
        datasets={"lat": "sed_{target}.fits"},
        jfactor={"extra_widths": {"lat": 0.2}},
        simulations={"null": scenario(n=5, redraw_jfactor=True)},
    )
    analysis.run(steps=["collect"])
    task = analysis.pipeline.tasks["simulate/null/all/profile/0000"]
    files = {name: Path(path) for name, path in task.files.items()}
    params = task.params | {"realisation": 3, "output": "one.fits"}
    _steps.simulated_stack(params, files, dict.fromkeys(task.parents, {}), tmp_path)
    one = CastroMaps.read(tmp_path / "one.fits")
    ensemble = analysis.results["simulation", "null"]
    assert_allclose(one.sigmav_ul.data, ensemble.sigmav_ul.data[3], rtol=1e-4)
    assert (abs(one.sigmav_ul.data / ensemble.sigmav_ul.data[2] - 1) > 1e-3).all()
    assert one.stat_scan.data.shape[-3] > 10


# ---- what is said about what was simulated -----------------------------------------------------


def test_guessed_backgrounds_are_told(project, analyse):
    """Bins with less than five counts: those of the scans' truth, in every place that shows it."""
    section = {"n": 3, "undetermined": "power_law", "least_counts": 5}
    analysis = analyse(simulations={"null": section}, report=True)
    (note,) = [n for n in analysis.results["bands"].meta.notes if "power law" in n]
    for target in (DRACO, SEGUE):
        # where nothing was counted a scan is a straight line in the norm
        dataset = SEDLikelihoodDataset.read(project / f"sed_{target.name}.fits")
        slope = np.diff(dataset.stat_scan, axis=1) / np.diff(dataset.norm_scan, axis=1)
        empty = np.isclose(slope, slope[:, :1], rtol=1e-3).all(axis=1)
        (n,) = re.findall(rf"{target.name} (\d+) of 24", note)
        assert empty.sum() > 0
        assert empty.sum() <= int(n) < 24
    for name in ("summary.txt", "report.html"):
        assert "undetermined: power_law" in (analysis.output / name).read_text()
    known = analyse("known", simulations={"null": scenario(n=3)})
    assert not [n for n in known.results["bands"].meta.notes if "power law" in n]


def test_few_counts_are_told(project, analyse):
    """At 10 GeV thousands of photons lie under the signal, at 1 TeV less than ten."""
    analysis = analyse(
        masses=["10 GeV", "1 TeV"], bands="asimov", simulations={"defaults": scenario()}
    )
    (note,) = [n for n in analysis.results["bands"].meta.notes if "background counts" in n]
    assert "(b at 1000 GeV, down to" in note
    assert note in analysis.summary


def test_background_counts():
    """Two bins by hand: equal signal to background in one, and none in the other."""

    class Member:
        def __init__(self, signal, background):
            self.profiles = self
            self.signal, self.background = np.array(signal), np.array(background)

    one = Member([[1.0, 2.0], [3.0, 0.0]], [4.0, 8.0])
    # the same density of signal: all background counts; one bin: its own
    assert_allclose(background_counts([one]), [12.0, 4.0])
    assert_allclose(background_counts([one, one]), [24.0, 8.0])


# ---- simulations by other names ----------------------------------------------------------------


def test_the_null_may_have_another_name(project, analyse):
    analysis = analyse(
        simulations={"noise": scenario(n=20), "signal": scenario(n=2, injected=SIGNAL)},
        bands={"simulation": "noise"}, plots={"kinds": ["ts", "best_fits"]},
    )  # fmt: skip
    assert analysis.pipeline.null_scenario == "noise"
    wanted = SignificanceEstimator().run(analysis.combined, analysis.results["simulation", "noise"])
    assert_allclose(analysis.results["significance"]["p_channels"], wanted["p_channels"])
    for kind in ("ts", "best_fits"):
        parents = analysis.pipeline.tasks[f"plot/{kind}/profile_b"].parents
        assert "collect/noise/all/profile" in parents


def test_significance_needs_simulations(make):
    plan = make(simulations={"null": scenario(n=19)}).pipeline
    assert not [id for id in plan.tasks if id.startswith("significance")]
    (note,) = [note for note in plan.notes if "significance" in note]
    assert "20 simulations, null has 19" in note
    assert make(simulations={"signal": scenario(injected=SIGNAL)}).pipeline.null_scenario is None


def test_seed_of_the_null_does_not_matter_to_asimov_data(make):
    """Nothing is drawn, so nothing is computed again."""
    given = {"bands": "asimov", "limits": {"methods": ["cls"]}}
    tasks = [
        make(simulations={"null": scenario(n=2, seed=seed, redraw_jfactor=redraw)}, **given)
        .pipeline.tasks["bands/asimov/all/profile"]
        for seed, redraw in ((0, False), (5, True))
    ]  # fmt: skip
    assert tasks[0] == tasks[1]


# ---- controls ----------------------------------------------------------------------------------


def ensemble_of(limits, status=0):
    """Realisations of one mass and channel with these limits, in 1e-26 cm3 s-1."""
    limits = np.asarray(limits, dtype=float)
    n = len(limits)
    axes = [
        MapAxis.from_nodes([100.0], name="mass", unit="GeV", interp="log"),
        LabelMapAxis(["b"], name="channel"),
        MapAxis.from_nodes(np.arange(n), name="realisation", interp="lin"),
    ]
    geom = RegionGeom(None, axes=axes)
    shape = geom.data_shape
    values = {
        "reference": np.full(n, 1e-26), "norm": 0.5 * limits, "norm_ul": limits,
        "ts": np.ones(n), "status": np.broadcast_to(status, n),
    }  # fmt: skip
    data = {
        name: RegionNDMap(
            geom, np.asarray(v, dtype=float).reshape(shape),
            unit="cm3 s-1" if name == "reference" else "",
        )
        for name, v in values.items()
    }  # fmt: skip
    return CastroMaps(data, CastroMetaData(process="annihilation", spectra="pppc4", cl=0.95))


def control(ensemble, mass="100 GeV", channel="b", redraw=True, method="profile"):
    """Row of the table of controls of a signal of 3e-26 cm3 s-1."""

    class Outputs:
        def castro(self, name):
            return ensemble

    signal = {"sigmav": "3e-26 cm3 s-1", "tau": None, "mass": mass, "channel": channel}
    section = {"injected": signal, "redraw_jfactor": redraw, "profile": None}
    params = {
        "scenarios": {"signal": section}, "process": "annihilation", "extra_widths": False,
        "rosters": {"all": ["draco"]},
        "members": [[{"label": "draco", "target": {"log10_jfactor_err": 0.2}}]],
    }  # fmt: skip
    (row,) = controls(params, Outputs(), [("all", method)])
    return row


def test_limits_beyond_the_grid_are_above_the_truth():
    """Five found, of which three are above 3; two beyond the grid, one excluded, two unknown."""
    edge, none, excluded = (
        LimitStatus.GRID_EDGE, LimitStatus.NO_INFORMATION, LimitStatus.ALL_EXCLUDED,
    )  # fmt: skip
    nan = np.nan
    limits = [1, 2, 4, 5, 6, nan, nan, nan]
    row = control(ensemble_of(limits, [0, 0, 0, 0, 0, edge, edge, excluded]))
    assert row["n"] == 8
    assert row["coverage"] == 5 / 8
    assert row["coverage_err"] == pytest.approx(np.sqrt(0.6111 * 0.3889 / 8), abs=1e-4)
    # ranks: all excluded, 1, 2, 4, 5, 6, beyond, beyond
    assert row["median_ul"].to_value("1e-26 cm3 s-1") == pytest.approx(4.5)
    row = control(ensemble_of([1, 4, 4, 4], [0, 0, 0, 0]))
    assert row["coverage"] == 0.75
    assert control(ensemble_of([4, nan, nan], [0, edge, edge]))["note"] == "median limit: grid edge"
    assert control(ensemble_of([4, 4, nan], [0, 0, none]))["n"] == 2


def test_a_fraction_is_coverage_only_if_j_was_drawn():
    ensemble = ensemble_of([1, 4, 4, 4])
    row = control(ensemble, redraw=False)
    assert "coverage" not in row.colnames
    assert row["limit_above_truth"] == 0.75
    assert not row["redraw_jfactor"]
    assert control(ensemble, redraw=False, method="fixed")["coverage"] == 0.75


@pytest.mark.parametrize(
    ("changed", "note"),
    [
        ({"mass": "200 GeV"}, "injected mass 200 GeV not on the grid: no control"),
        ({"channel": "tau"}, "channel tau not analysed: no control"),
    ],
)
def test_signals_off_the_grid_are_listed(changed, note):
    row = control(ensemble_of([1, 4]), **changed)
    assert row["note"] == note
    assert np.isnan(row["median_ul"])
    assert "coverage" not in row.colnames
