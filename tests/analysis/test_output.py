"""Files of an analysis: complete, readable, and all or none."""

import json

import numpy as np
import pytest
from astropy.table import QTable

from dmgammapy.analysis import ConfigError, DMAnalysis
from dmgammapy.analysis import core as core_module
from dmgammapy.estimators import CastroMaps, StackedDMLikelihood

PNG = b"\x89PNG\r\n"
PUBLISHED = """\
# %ECSV 1.0
# ---
# datatype:
# - {name: mass, unit: TeV, datatype: float64}
# - {name: sigmav, unit: cm3 s-1, datatype: float64}
# meta: !!omap
# - {instrument: lat}
# - {year: 2015}
# - {source: multidsph}
# - {channel: bb}
mass sigmav
0.01 5.2e-27
0.1 2.2e-26
1.0 1.9e-25
"""


@pytest.fixture
def with_plots(edit):
    return edit("plots: false", "plots: true")


def contents(folder):
    """All files below a folder with their bytes."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_all_outputs(project, with_plots):
    output = project / "results"
    analysis = DMAnalysis.read(with_plots, output=output)
    combined = analysis.run()
    plots = {
        f"{kind}_{c}" for kind in ("limits", "delta_stat", "contributions") for c in ("b", "tau")
    }
    peak = max(analysis.castros, key=lambda c: np.nanmax(c.ts.data)).meta.target
    names = [t.name for t in analysis.targets]
    expected = {f"castro_{name}.fits" for name in names}
    expected |= {"combined.fits", "limits.ecsv", "summary.txt", "manifest.json"}
    expected |= {f"plots/{name}.png" for name in (*plots, "limits", f"sed_{peak}")}
    files = contents(output)
    assert set(files) == expected
    assert all(data.startswith(PNG) for name, data in files.items() if name.endswith(".png"))

    read = CastroMaps.read(output / "combined.fits")
    np.testing.assert_array_equal(read.sigmav_ul.data, combined.sigmav_ul.data)
    # the targets' files make the same stack again
    parts = [CastroMaps.read(output / f"castro_{name}.fits") for name in names]
    again = StackedDMLikelihood(parts).run()
    np.testing.assert_allclose(again.sigmav_ul.data, combined.sigmav_ul.data, rtol=1e-9)
    assert [c.meta.origin for c in parts] == [str(project / f"sed_{n}.fits") for n in names]

    table = QTable.read(output / "limits.ecsv")
    assert list(dict.fromkeys(table["target"])) == ["combined", *names]
    rows = table[table["target"] == "combined"]
    np.testing.assert_allclose(rows["sigmav_ul"].value, combined.sigmav_ul.data.ravel(), rtol=1e-12)
    assert table.meta["cl"] == 0.95
    assert table.meta["jfactor_method"] == "profile"

    manifest = json.loads(files["manifest.json"])
    assert sorted(manifest["files"]) == sorted(expected - {"manifest.json"})
    assert manifest["config"]["channels"] == ["b", "tau"]
    assert manifest["targets"] == {n: str(project / f"sed_{n}.fits") for n in names}
    assert manifest["skipped"]["carina"] == "not in targets.select"


def test_channel_names_become_file_names(project, edit):
    path = edit("plots: false", "plots: true")
    edit("channels: [b, tau]", "channels: [{b: 0.5, tau: 0.5}]")
    edit("[draco, segue_1, ursa_major_II, coma_berenices]", "[draco]")
    DMAnalysis.read(path, output=project / "results").run()
    names = {p.name for p in (project / "results" / "plots").iterdir()}
    # a single target has no contributions, a single channel no comparison of channels
    assert names == {"limits_0.5_b_0.5_tau.png", "delta_stat_0.5_b_0.5_tau.png", "sed_draco.png"}


def test_published_limits_are_drawn(project, edit, monkeypatch):
    (project / "published.ecsv").write_text(PUBLISHED)
    path = edit("plots: false", "plots: {published: published.ecsv}")
    drawn = {}
    write_figures = core_module.write_figures

    def record(analysis, folder):
        drawn.update(analysis.published)
        write_figures(analysis, folder)

    monkeypatch.setattr(core_module, "write_figures", record)
    DMAnalysis.read(path, output=project / "results").run()
    assert list(drawn) == ["b"]
    np.testing.assert_allclose(drawn["b"][0]["mass"].to_value("GeV"), [10, 100, 1000])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("channel: bb", "channel: ww", "is about the channel W, which is not in channels"),
        ("channel: bb", "figure: one", "does not say its channel"),
        ("name: sigmav, unit: cm3 s-1", "name: tau, unit: s", "is about decay"),
        ("# %ECSV 1.0\n", "", "published.ecsv"),
    ],
)
def test_published_limits_that_do_not_fit(project, edit, old, new, message):
    text = PUBLISHED.replace(old, new)
    if "tau" in new:
        text = text.replace("mass sigmav", "mass tau")
    (project / "published.ecsv").write_text(text)
    path = edit("plots: false", "plots: {published: [published.ecsv]}")
    with pytest.raises(ConfigError, match=r"line 7, key 'plots.published\[0\]': ") as caught:
        DMAnalysis.read(path, output=project / "results").run()
    assert message in str(caught.value)
    assert not (project / "results").exists()


# ---- all or none -------------------------------------------------------------------------------


def fail(*args):
    raise OSError(28, "No space left on device")


def test_failure_leaves_no_folder(project, edit, monkeypatch):
    monkeypatch.setattr(core_module, "write_summary", fail)
    before = contents(project)
    with pytest.raises(OSError, match="No space left"):
        DMAnalysis.read(edit(), output=project / "new" / "results").run()
    assert contents(project) == before
    assert not (project / "new").exists()


@pytest.mark.parametrize("step", ["write_figures", "write_summary"])
def test_failure_leaves_the_results_of_before(project, with_plots, monkeypatch, step):
    output = project / "results"
    DMAnalysis.read(with_plots, output=output).run()
    before = contents(output)
    with monkeypatch.context() as patch:
        patch.setattr(core_module, step, fail)
        with pytest.raises(OSError, match="No space left"):
            DMAnalysis.read(with_plots, output=output).run(overwrite=True)
    assert contents(output) == before
    assert [p.name for p in output.iterdir() if p.name.startswith(".")] == []


def test_failure_of_a_target_file_leaves_the_results_of_before(project, edit, monkeypatch):
    output = project / "results"
    DMAnalysis.read(edit(), output=output).run()
    before = contents(output)
    write = CastroMaps.write

    def write_some(self, path, **kwargs):
        if self.meta.target == "ursa_major_II":
            fail()
        write(self, path, **kwargs)

    monkeypatch.setattr(CastroMaps, "write", write_some)
    with pytest.raises(OSError, match="No space left"):
        DMAnalysis.read(edit(), output=output).run(overwrite=True)
    assert contents(output) == before


def test_results_are_replaced_only_on_request(project, edit):
    output = project / "results"
    path = edit()
    DMAnalysis.read(path, output=output).run()
    before = contents(output)
    with pytest.raises(FileExistsError, match="holds results already: .*--overwrite"):
        DMAnalysis.read(path, output=output).run()
    assert contents(output) == before
    (output / "notes.txt").write_text("mine")
    edit("[draco, segue_1, ursa_major_II, coma_berenices]", "[draco, segue_1]")
    DMAnalysis.read(path, output=output).run(overwrite=True)
    # files of the earlier run are gone, others stay
    assert set(contents(output)) == {
        "castro_draco.fits", "castro_segue_1.fits", "combined.fits", "limits.ecsv",
        "summary.txt", "manifest.json", "notes.txt",
    }  # fmt: skip
    assert (output / "notes.txt").read_text() == "mine"


def test_folder_with_other_files(project, edit):
    output = project / "mine"
    output.mkdir()
    (output / "thesis.tex").write_text("years of work")
    (output / "limits.ecsv").write_text("old")
    with pytest.raises(FileExistsError, match=r"holds files \(limits.ecsv, thesis.tex"):
        DMAnalysis.read(edit(), output=output).run()
    DMAnalysis.read(edit(), output=output).run(overwrite=True)
    assert (output / "thesis.tex").read_text() == "years of work"
    assert (output / "limits.ecsv").read_text().startswith("# %ECSV")


def test_manifest_of_someone_else_removes_nothing(project, edit):
    """Names that lead out of the folder are not followed."""
    output = project / "results"
    output.mkdir()
    names = ["../config.yaml", str(project / "sed_draco.fits")]
    (output / "manifest.json").write_text(json.dumps({"files": names}))
    DMAnalysis.read(edit(), output=output).run(overwrite=True)
    assert (project / "config.yaml").is_file()
    assert (project / "sed_draco.fits").is_file()
    (output / "manifest.json").write_text("not json")
    DMAnalysis.read(edit(), output=output).run(overwrite=True)
    assert json.loads((output / "manifest.json").read_text())["files"]


def test_output_is_a_file(project, edit):
    (project / "results").write_text("a file")
    with pytest.raises(FileExistsError, match="the output must be a folder"):
        DMAnalysis.read(edit(), output=project / "results").run(overwrite=True)
    assert (project / "results").read_text() == "a file"


def test_two_runs_give_the_same_limits(project, edit):
    for name in ("a", "b"):
        DMAnalysis.read(edit(), output=project / name).run()
    one, two = contents(project / "a"), contents(project / "b")
    assert one["limits.ecsv"] == two["limits.ecsv"]
    a, b = (CastroMaps.read(project / name / "combined.fits") for name in ("a", "b"))
    np.testing.assert_array_equal(a.stat_scan.data, b.stat_scan.data)
