"""What an analysis writes: complete, the same every time, and no more than has changed."""

import json
import shutil

import numpy as np
import pytest
from astropy.table import QTable, Table
from numpy.testing import assert_allclose

from dmgammapy.analysis import AnalysisError, ConfigError, DMAnalysis
from dmgammapy.analysis.example import EXAMPLE_FOLDER
from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import CastroMaps, StackedDMLikelihood
from dmgammapy.targets import Target, Targets

SIMULATIONS = {"null": {"n": 20, "expectations": "truth.ecsv"}}
ROSTERS = {
    "pair": ["draco:ackermann2014_nfw", "segue_1:ackermann2014_nfw"],
    "rest": ["coma_berenices:ackermann2014_nfw", "ursa_major_II:ackermann2014_nfw"],
}


def contents(folder):
    """All results below a folder with their bytes; not the manifest and the store's own files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".dmgammapy" not in path.parts and path.name != "manifest.json"
    }


def test_all_outputs(project, analyse):
    analysis = analyse(simulations=SIMULATIONS)
    labels = ("draco", "segue_1")
    expected = {f"castro/{name}.fits" for name in labels}
    expected |= {f"targets/profile/{name}.fits" for name in labels}
    expected |= {"stacks/all/profile.fits", "stacks/all/profile_contributions.ecsv"}
    expected |= {f"simulations/null/all/profile{end}.fits" for end in ("", "_bands")}
    expected |= {"simulations/null/all/profile/parts/0000_stack.fits"}
    expected |= {"bands/all/profile.fits", "significance/all/profile.ecsv"}
    expected |= {"limits/all/profile.ecsv", "limits/all/profile.fits"}
    expected |= {"limits.ecsv", "targets.ecsv", "summary.txt"}
    assert set(contents(analysis.output)) == expected
    # the files of the targets make the same stack again
    parts = [CastroMaps.read(analysis.output / f"castro/{name}.fits") for name in labels]
    again = StackedDMLikelihood(parts).run()
    assert_allclose(again.sigmav_ul.data, analysis.combined.sigmav_ul.data, rtol=1e-12)
    assert [part.meta.origin for part in parts] == [f"sed_{name}.fits" for name in labels]
    assert {part.meta.jfactor_method for part in parts} == {None}

    table = QTable.read(analysis.output / "limits.ecsv")
    assert list(dict.fromkeys(table["target"])) == ["combined", *labels]
    for name in ("combined", *labels):
        rows = table[table["target"] == name]
        castro = analysis.combined if name == "combined" else analysis.results["target", name]
        assert_allclose(rows["sigmav_ul"].value, castro.sigmav_ul.data.ravel(), rtol=1e-15)
        assert_allclose(rows["ts"], castro["ts"].data.ravel(), rtol=1e-15)
        assert_allclose(rows["mass"].to_value("GeV"), [50, 500])
    assert table.meta["cl"] == 0.95
    assert table.meta["process"] == "annihilation"

    manifest = json.loads((analysis.output / "manifest.json").read_text())
    assert set(manifest["outputs"]) == expected
    assert manifest["config"]["channels"] == ["b"]
    assert manifest["seeds"] == {"null": 0}
    assert str(project / "sed_draco.fits") in manifest["inputs"]
    assert manifest["complete"] is True


def test_every_byte_is_the_same_every_time(project, make):
    """Another folder, another number of processes: only times and hosts differ."""
    given = {"simulations": SIMULATIONS, "jfactor": ["profile", "fixed"]}
    one, two = make("one", **given), make("two", **given)
    one.run()
    two.n_jobs = 2
    two.run()
    one, two = contents(one.output), contents(two.output)
    assert set(one) == set(two)
    assert [name for name in one if one[name] != two[name]] == []


def test_only_what_has_changed_is_done_again(project, analyse):
    given = {"targets": None, "rosters": ROSTERS, "simulations": SIMULATIONS}
    first = analyse(**given)
    everything = set(first.computed)
    assert analyse(**given).computed == []
    # the same content with another time is the same
    path = project / "sed_draco.fits"
    path.write_bytes(path.read_bytes())
    assert analyse(**given).computed == []
    shutil.copy(project / "sed_draco.fits", project / "kept.fits")
    data = bytearray(path.read_bytes())
    place = data.index(b"'fermi-lat'")
    data[place : place + 11] = b"'fermi-LAT'"
    path.write_bytes(bytes(data))
    touched = analyse(**given)
    wanted = {id for id in everything if "pair" in id} | {"castro/draco", "target/profile/draco"}
    assert set(touched.computed) == wanted | {"limits/all", "report"}
    assert touched.results["castro", "draco"].meta.instrument == "fermi-LAT"
    assert {id for id in wanted if id.startswith("simulate")} == {"simulate/null/pair/profile/0000"}
    # as it was, but only one result of each task is kept
    shutil.copy(project / "kept.fits", path)
    assert set(analyse(**given).computed) == set(touched.computed)


def test_results_of_what_is_gone_go(project, analyse):
    first = analyse(targets=None, rosters=ROSTERS)
    (first.output / "stacks/rest/notes.txt").write_text("mine")
    (first.output / "thesis.tex").write_text("years of work")
    assert (first.output / "castro/coma_berenices.fits").is_file()
    one = analyse(targets=None, rosters={"pair": ROSTERS["pair"]})
    assert set(one.computed) == {"limits/all", "report"}
    left = set(contents(one.output))
    assert not [name for name in left if "coma" in name]
    assert {name for name in left if "rest" in name} == {"stacks/rest/notes.txt"}
    assert (one.output / "thesis.tex").read_text() == "years of work"


def test_folder_of_another_analysis(project, analyse, make):
    analyse()
    other = project / "other.yaml"
    other.write_text((project / "config.yaml").read_text())
    analysis = DMAnalysis.read(other, output=project / "results")
    before = contents(project / "results")
    with pytest.raises(FileExistsError, match="overwrite"):
        analysis.run()
    assert contents(project / "results") == before
    analysis.run(overwrite=True)
    assert set(contents(project / "results")) == set(before)


def test_folder_with_files_of_others(project, make):
    output = project / "results"
    output.mkdir()
    (output / "limits.ecsv").write_text("old")
    with pytest.raises(FileExistsError, match=r"limits\.ecsv"):
        make().run()
    make().run(overwrite=True)
    assert (output / "limits.ecsv").read_text().startswith("# %ECSV")
    assert (output / "limits.ecsv.kept").read_text() == "old"


# ---- a file that can't be read -----------------------------------------------------------------


@pytest.fixture
def broken(project):
    path = project / "sed_draco.fits"
    path.write_bytes(path.read_bytes()[:9000])
    return path


def test_stop(project, broken, make):
    """Its stack is not made, the other roster is; the error has all to look into it."""
    analysis = make(targets=None, rosters=ROSTERS, simulations=SIMULATIONS)
    with pytest.raises(AnalysisError) as caught:
        analysis.run()
    (failure,) = caught.value.failures
    assert failure.task == "castro/draco"
    assert failure.inputs["castro/draco"] == str(broken)
    assert "sed_draco.fits" in failure.error
    text = str(caught.value)
    trace = project / "results/failures/castro/draco.txt"
    for part in ("castro/draco: ", str(broken), str(trace), "--task castro/draco"):
        assert part in text
    assert "Traceback" in trace.read_text()
    assert {"stack/pair/profile", "simulate/null/pair/profile/0000"} <= set(failure.blocked)
    made = set(contents(analysis.output))
    assert {"stacks/rest/profile.fits", "bands/rest/profile.fits"} <= made
    assert not [name for name in made if name.startswith(("stacks/pair", "bands/pair"))]
    assert "castro/draco" in (analysis.output / "summary.txt").read_text()
    assert "castro/segue_1" in analysis.computed
    # mended, it goes on from there
    shutil.copy(EXAMPLE_FOLDER / "sed_draco.fits", broken)
    analysis.run()
    assert "castro/segue_1" not in analysis.computed
    assert {"castro/draco", "stack/pair/profile"} <= set(analysis.computed)
    assert not trace.exists()


def test_skip(project, broken, make):
    """It is left out of the stack, simulations and bands alike, and named."""
    section = {"null": SIMULATIONS["null"] | {"per_target": True}}
    given = {"simulations": section, "limits": {"methods": ["profile", "cls"]}}
    analysis = make(**given, execution={"on_error": "skip"})
    analysis.run()
    assert [failure.task for failure in analysis.failures] == ["castro/draco"]
    assert "sed_draco.fits" in analysis.skipped["draco"]
    rows = Table.read(analysis.output / "targets.ecsv")
    assert rows["used"][rows["label"] == "draco"].tolist() == [False]
    assert "draco" in analysis.summary.partition("Targets skipped")[2]
    lonely = make("lonely", **given | {"targets": ["segue_1:ackermann2014_nfw"]})
    lonely.run()
    for key in (("stack",), ("simulation", "null"), ("bands",), ("asimov",)):
        one, two = (a.results[key].sigmav_ul.data for a in (analysis, lonely))
        np.testing.assert_array_equal(one, two)
    table = QTable.read(analysis.output / "limits.ecsv")
    assert set(table["target"]) == {"combined", "segue_1"}
    assert table.meta["targets"] == {"all": ["segue_1"]}
    assert table.meta["lost"] == {"all": ["draco"]}
    lost = CastroMaps.read(analysis.output / "simulations/null/all/profile/targets/draco.fits")
    assert lost.is_empty.all()
    assert "left out" in lost.meta.notes[0]


def test_skip_all_is_an_error(project, broken, make):
    analysis = make(targets=["draco:ackermann2014_nfw"], execution={"on_error": "skip"})
    with pytest.raises(AnalysisError, match="castro/draco"):
        analysis.run()


# ---- own targets ---------------------------------------------------------------------------------


def write_targets(project, *names):
    targets = [Target(name, log10_jfactor=18.5, log10_jfactor_err=0.2) for name in names]
    Targets(targets).write(project / "mine.ecsv", overwrite=True)


def named_dataset(project, source, name, file=None):
    dataset = SEDLikelihoodDataset.read(project / f"sed_{source}.fits")
    dataset.copy(name=name).write(project / f"sed_{file or name}.fits", format="gadf")


def test_an_own_target_more_recomputes_what_holds_it(project, analyse):
    named_dataset(project, "draco", "mine_1")
    named_dataset(project, "segue_1", "mine_2")
    rosters = {"pair": ROSTERS["pair"], "own": {"file": "mine.ecsv"}}
    given = {"targets": None, "rosters": rosters, "simulations": SIMULATIONS}
    given["simulations"] = {"null": {"n": 20, "undetermined": "power_law"}}
    write_targets(project, "mine_1")
    analyse(**given)
    write_targets(project, "mine_1", "mine_2")
    again = set(analyse(**given).computed)
    assert {"castro/mine_2", "stack/own/profile", "simulate/null/own/profile/0000"} <= again
    assert not [id for id in again if "pair" in id or id.endswith(("draco", "segue_1", "mine_1"))]


def test_a_file_of_a_target_that_came_later_is_refused(project, analyse, make):
    """What its likelihood was done for is not what the file says."""
    named_dataset(project, "draco", "mine_2", file="mine_1")
    named_dataset(project, "segue_1", "mine_2", file="mine_3")
    named_dataset(project, "segue_1", "observation 7", file="mine_2")
    given = {"targets": {"file": "mine.ecsv"}}
    write_targets(project, "mine_1", "mine_3")
    analyse(**given)
    write_targets(project, "mine_1", "mine_2", "mine_3")
    for act in (lambda: make(**given).plan(), lambda: analyse(**given)):
        with pytest.raises(ConfigError, match="'datasets.*says that it is of mine_2, not of mine_"):
            act()
    # other files by now
    named = ("mine_1", "mine_3")
    for name in named:
        (project / f"sed_{name}.fits").unlink()
        named_dataset(project, "draco", name)
    assert set(named) <= {t.name for t in analyse(**given).targets}


@pytest.mark.parametrize("key", ["extra_widths", "covariance"])
def test_what_is_said_about_others_does_not_matter(project, analyse, key):
    """Widths and covariance enter what holds the targets that they are about."""
    given = {
        "targets": None, "rosters": ROSTERS,
        "datasets": {"path": "sed_{target}.fits", "instrument": "lat"},
    }  # fmt: skip
    analyse(**given)
    names = ["draco", "segue_1"]
    matrix = np.array([[0.16**2, 0.01], [0.01, 0.29**2]])
    Table({"target": names, **dict(zip(names, matrix, strict=True))}).write(project / "cov.ecsv")
    value = {"extra_widths": {"draco": {"lat": 0.2}}, "covariance": "cov.ecsv"}[key]
    again = set(analyse(**given, jfactor={"method": "profile", key: value}).computed)
    assert "stack/pair/profile" in again
    assert "target/profile/draco" in again
    assert not [id for id in again if "rest" in id or id.startswith("castro")]
    assert "target/profile/coma_berenices" not in again


# ---- limits of several methods -------------------------------------------------------------------


def test_an_extra_method_that_fails_leaves_a_hole(project, make):
    """Few counts and no truth: there are no expected counts, which CLs needs, unlike profile."""
    methods = ["profile", "cls"]
    analysis = make(limits={"methods": methods}, bands="none", report=True)
    with pytest.raises(AnalysisError, match="bands/asimov/all/profile"):
        analysis.run()
    table = QTable.read(analysis.output / "limits.ecsv")
    rows = table[table["target"] == "combined"]
    assert np.isfinite(rows["sigmav_ul"].value).all()
    assert rows["sigmav_ul_cls"].unit == "cm3 s-1"
    assert rows["sigmav_ul_cls"].mask.all()
    assert rows["status_cls"].mask.all()
    (note,) = [note for note in table.meta["notes"] if "no limits by CLs" in note]
    assert note in analysis.summary
    wanted = make("alone", bands="none").run().sigmav_ul.data.ravel()
    assert_allclose(rows["sigmav_ul"].value, wanted, rtol=1e-12)
    other = make("main", limits={"methods": methods[::-1]}, bands="none")
    with pytest.raises(AnalysisError):
        other.run()
    assert not (other.output / "limits.ecsv").exists()
