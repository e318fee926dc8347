"""Simulations of the pipeline: those of the classes, and the truth that was put in."""

import shutil
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from numpy.testing import assert_allclose, assert_array_equal

from dmgammapy.analysis import ConfigError, _steps
from dmgammapy.analysis import _plan_simulations as plan_module
from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import (
    CastroEstimator,
    CastroMaps,
    ExpectedLimitsEstimator,
    JFactorCovariance,
    SignificanceEstimator,
    StackedDMLikelihood,
)
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
    shown = analysis.results["observed"]
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
        jfactor={"method": ["profile", "fixed"], "covariance": "covariance.ecsv"},
    )
    covariance = JFactorCovariance.create((names, matrix))
    maker = {"redraw_jfactor": True, "jfactor_covariance": covariance}
    for options in ({"jfactor_covariance": covariance}, {"method": "fixed"}):
        estimator, datasets = estimator_by_hand(project, maker=maker, stack=options)
        same(
            analysis.results["simulation", "null", options.get("method", "profile")],
            estimator.simulate(datasets, realisations=range(4)),
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
