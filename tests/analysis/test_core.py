"""`DMAnalysis`: right limits, and nothing dropped without a word."""

import re
import shutil

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from numpy.testing import assert_allclose
from scipy.optimize import brentq, minimize_scalar

from dmgammapy.analysis import AnalysisConfig, AnalysisError, ConfigError, DMAnalysis
from dmgammapy.analysis._data import read_member
from dmgammapy.analysis._files import DatasetFiles
from dmgammapy.analysis.example import EXAMPLE_FOLDER
from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.spectra import read_spectra
from dmgammapy.targets import Target, Targets

ALL = {"coma_berenices", "draco", "segue_1", "ursa_major_II"}


def analyse(config, output):
    analysis = DMAnalysis.read(config, output=output)
    analysis.run()
    return analysis


def exact_limit(stat, start):
    """Upper limit of a likelihood with best fit >= 0: -2 ln L up by 2.7055."""
    best = minimize_scalar(stat, bounds=(0, 10 * start), method="bounded", options={"xatol": 1e-36})
    lowest = min(best.fun, stat(0.0))
    where = best.x if best.fun < stat(0.0) else 0.0
    return brentq(lambda x: stat(x) - lowest - 2.705543454, where, 1e3 * start, rtol=1e-10)


# ---- numbers -----------------------------------------------------------------------------------


def test_combined_limit_is_that_of_the_exact_poisson_likelihood(tmp_path):
    """All 15 simulated dwarfs, J fixed, against the counts they were made of."""
    config = AnalysisConfig.read(EXAMPLE_FOLDER / "config.yaml")
    plain = config.model_dump(mode="json") | {
        "jfactor": "fixed", "plots": False, "report": False,
        "masses": ["10 GeV", "300 GeV", "5 TeV"],
    }  # fmt: skip
    analysis = DMAnalysis(AnalysisConfig.from_dict(plain, EXAMPLE_FOLDER), output=tmp_path / "r")
    combined = analysis.run(steps=["stack"])
    truth = QTable.read(EXAMPLE_FOLDER / "truth.ecsv")
    rows = truth[truth["target"] == "draco"]
    edges = np.append(rows["e_min"], rows["e_max"][-1])
    masses = [10, 300, 5000] * u.GeV
    spectra = read_spectra("pppc4").integrate(edges, masses, ["b", "tau"], norm_type="eflux")
    reference = (1e-7 * np.log(edges[1:] / edges[:-1])) * u.Unit("MeV cm-2 s-1")
    log10_jfactor = {t.name: t.log10_jfactor for t in Targets.read_roster("ackermann2015_dsphs")}
    jfactor = 10 ** np.array([log10_jfactor[n] for n in truth["target"]]) * u.Unit("GeV2 cm-5")
    for i, j in np.ndindex(2, 3):
        unit = u.Unit("cm3 s-1") / (8 * np.pi * masses[j] ** 2)
        norm = (unit * spectra[i, j] / reference * u.Unit("GeV2 cm-5")).to_value("")
        signal = np.tile(norm, 15) * jfactor.value * truth["npred"]

        def stat(sigmav, signal=signal):
            mu = truth["background"] + sigmav * signal
            return 2 * np.sum(mu - truth["counts"] * np.log(mu))

        found = combined.sigmav_ul.data[i, j, 0, 0]
        assert found == pytest.approx(exact_limit(stat, found), rel=1e-5)


def test_jfactor_override(project, edit):
    """Twice the J-factor, half the limit, for one target (statistics.md: exact)."""
    path = edit("select: [draco, segue_1, ursa_major_II, coma_berenices]", "select: draco")
    before = analyse(path, project / "before").combined.sigmav_ul.data
    edit("", "jfactor: {targets: {draco: {log10_jfactor: 19.13103}}}\n")  # 18.83 + log10(2)
    after = analyse(path, project / "after")
    np.testing.assert_allclose(after.combined.sigmav_ul.data, before / 2, rtol=2e-6)
    assert after.targets[0].log10_jfactor_err == 0.16  # the width is still the table's
    assert "19.13  0.16" in after.summary


def test_width_override_and_methods(project, edit):
    """No width under the profile is the fixed J; a marginalised limit lies near the profiled."""
    path = edit("select: [draco, segue_1, ursa_major_II, coma_berenices]", "select: draco")
    profile = analyse(path, project / "a").combined.sigmav_ul.data
    edit("", "jfactor: {targets: {draco: {log10_jfactor_err: 0}}}\n")
    no_width = analyse(path, project / "b").combined.sigmav_ul.data
    edit("jfactor: {targets: {draco: {log10_jfactor_err: 0}}}", "jfactor: fixed")
    fixed = analyse(path, project / "c").combined.sigmav_ul.data
    edit("jfactor: fixed", "jfactor: {method: marginal}")
    marginal = analyse(path, project / "d").combined.sigmav_ul.data
    np.testing.assert_array_equal(no_width, fixed)
    assert (profile > fixed).all()
    assert (profile < fixed * 10 ** (1.645 * 0.16)).all()
    np.testing.assert_allclose(marginal, profile, rtol=0.15)


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("draco", ["one", "two"]),
        ("draco:ackermann2014_nfw", ["one"]),
        ("draco:burkert", ["two"]),
        ("draco:ackermann2014_burkert", ["two"]),
    ],
)
def test_override_of_one_version(make, key, changed):
    """A roster of each version; 0.3 dex more in J halve the limit."""
    given = {
        "targets": None, "jfactor": {"method": "fixed"},
        "rosters": {"one": ["draco:ackermann2014_nfw"], "two": ["draco:burkert"]},
        "profiles": {"burkert": "ackermann2014_burkert"},
    }  # fmt: skip
    plain = make("plain", **given)
    plain.run()
    tables = {target.version: target.log10_jfactor for target in plain.targets}
    versions = {"one": "ackermann2014_nfw", "two": "ackermann2014_burkert"}
    wanted = tables[versions[changed[0]]] + 0.3
    given["jfactor"] = {"method": "fixed", "targets": {key: {"log10_jfactor": wanted}}}
    other = make("other", **given)
    other.run()
    table = QTable.read(other.output / "targets.ecsv")
    for name, version in versions.items():
        before, after = (a.results["stack", name].sigmav_ul.data for a in (plain, other))
        ratio = 10 ** (tables[version] - wanted) if name in changed else 1
        assert_allclose(after / before, ratio, rtol=1e-5)
        (row,) = table[table["version"] == version]
        source = f"jfactor.targets.{key}" if name in changed else "table"
        assert row["log10_jfactor_from"] == source
    notes = [n for n in other.pipeline.members.notes if "jfactor.targets" in n]
    if key != "draco":
        assert not notes
        return
    (note,) = notes
    assert "draco as ackermann2014_nfw and burkert; draco:ackermann2014_nfw would be" in note
    assert note in other.summary


def test_the_narrowest_override_counts(make):
    """Values of the version go over those of the name, and both are told."""
    analysis = make(
        targets=["draco:ackermann2014_nfw"],
        jfactor={
            "targets": {
                "draco:ackermann2014_nfw": {"log10_jfactor": 18.5},
                "draco": {"log10_jfactor": 19.5, "log10_jfactor_err": 0.3},
            }
        },
        report=True,
    )
    analysis.run()
    (target,) = analysis.targets
    assert (target.log10_jfactor, target.log10_jfactor_err) == (18.5, 0.3)
    source = "jfactor.targets.draco:ackermann2014_nfw; width: jfactor.targets.draco"
    assert QTable.read(analysis.output / "targets.ecsv")["log10_jfactor_from"][0] == source
    assert source in (analysis.output / "report.html").read_text()


def test_override_of_a_version_that_is_not_used(make):
    with pytest.raises(ConfigError, match="draco is not used as 'pace2018_nfw', but as ackermann"):
        make(jfactor={"targets": {"draco:pace2018_nfw": {"log10_jfactor": 19}}}).plan()


def test_decay(project, edit):
    """Lifetimes: the limit is one over that of the rate, at twice the mass."""
    edit("", "process: decay\njfactor: fixed\nexecution: {on_error: skip}\n")
    path = edit("masses: [10 GeV, 100 GeV, 1 TeV]", "masses: [20 GeV, 200 GeV]")
    with pytest.raises(ConfigError, match="no log10_dfactor in ackermann2014_nfw"):
        analyse(path, project / "r")
    edit("jfactor: fixed", "jfactor: {method: fixed, targets: {draco: {log10_dfactor: 18.5}}}")
    decay = analyse(path, project / "r")
    assert decay.targets[0].name == "draco"
    assert set(decay.skipped) >= ALL - {"draco"}
    table = QTable.read(project / "r" / "limits.ecsv")
    np.testing.assert_allclose((table["tau_ll"] * table["gamma_ul"]).to_value(""), 1, rtol=1e-12)
    assert "Combined 95 % lower limits on the lifetime [s]" in decay.summary
    # the same photons as annihilation at half the mass:
    # D gamma / (4 pi m) = J sigmav / (8 pi (m / 2)^2)
    text = (project / "config.yaml").read_text().replace("process: decay\n", "")
    text = text.replace("[20 GeV, 200 GeV]", "[10 GeV, 100 GeV]")
    text = text.replace("{log10_dfactor: 18.5}", "{log10_jfactor: 18.5}")
    path.write_text(text.replace("select: [", "select: [draco] #"))
    annihilation = analyse(path, project / "s").combined
    expected = annihilation.sigmav_ul.data[..., 0, 0] * 20 * np.array([1, 10]) / (2 * 100.0)
    expected = expected / np.array([1, 100])
    np.testing.assert_allclose(decay.combined.gamma_ul.data[..., 0, 0], expected, rtol=1e-5)


# ---- nothing is dropped silently ---------------------------------------------------------------


def test_every_target_is_used_or_skipped_with_a_reason(project, edit):
    (project / "sed_segue_1.fits").unlink()
    shutil.copy(project / "sed_draco.fits", project / "sed_reticulum_II.fits")
    path = edit("  select: [draco, segue_1, ursa_major_II, coma_berenices]\n", "  exclude: leo_*\n")
    analysis = analyse(path, project / "r")
    roster = Targets.read_roster("ackermann2015_dsphs").names
    used = [t.name for t in analysis.targets]
    assert set(used) == ALL - {"segue_1"}
    assert sorted([*used, *analysis.skipped]) == sorted(roster)
    assert analysis.skipped["segue_1"] == f"no file {project / 'sed_segue_1.fits'}"
    assert analysis.skipped["leo_IV"] == "in targets.exclude"
    assert analysis.unused_files == {project / "sed_reticulum_II.fits": "reticulum_II"}
    assert f"{project / 'sed_reticulum_II.fits'} (reticulum_II)" in analysis.summary
    for name, reason in analysis.skipped.items():
        assert f"  {name}: {reason}" in analysis.summary
    assert "targets    3 of 15 used (fermi-lat)" in analysis.summary
    table = QTable.read(project / "r" / "limits.ecsv")
    assert table.meta["skipped"] == analysis.skipped


def test_targets_without_jfactor_or_width(project, edit):
    targets = Targets(
        [
            Target("draco", log10_jfactor=18.8, log10_jfactor_err=0.2),
            Target("segue_1", log10_jfactor=19.5, reference="somebody"),
            Target("ursa_major_II", version="mine"),
        ]
    )
    targets.write(project / "targets.ecsv")
    path = edit("  roster: ackermann2015_dsphs\n", "  file: targets.ecsv\n")
    edit("  select: [draco, segue_1, ursa_major_II, coma_berenices]\n", "")
    profile = analyse(path, project / "profile")
    assert [t.name for t in profile.targets] == ["draco"]
    assert profile.skipped == {
        "segue_1": "no log10_jfactor_err in somebody, which all J treatments but fixed need; "
        "give it under jfactor.targets.segue_1, or choose method: fixed",
        "ursa_major_II": "no log10_jfactor in mine; give it under jfactor.targets.ursa_major_II",
    }
    assert list(profile.unused_files.values()) == ["coma_berenices"]
    edit("", "jfactor: fixed\n")
    fixed = analyse(path, project / "fixed")
    assert [t.name for t in fixed.targets] == ["draco", "segue_1"]
    assert re.search(r"segue_1 +19\.50  none", fixed.summary)


def test_file_of_another_target(project, edit):
    shutil.copy(project / "sed_draco.fits", project / "sed_segue_1.fits")
    with pytest.raises(AnalysisError, match="the file says that it is of draco, not of segue_1"):
        analyse(edit(), project / "r")


@pytest.mark.parametrize("label", ["draco", "Draco", " DRACO ", "dra-co", "drácó"])
def test_spelling_does_not_hide_another_target(project, edit, label):
    dataset = SEDLikelihoodDataset.read(project / "sed_draco.fits")
    dataset.copy(name=label).write(project / "mine.ecsv", format="gadf")
    plan = DMAnalysis.read(edit()).pipeline
    member = plan.members.describe(plan.members.all["segue_1"], "")

    def read():
        return read_member(plan.common, {member["file"]: project / "mine.ecsv"}, member)

    with pytest.raises(ValueError, match="says that it is of draco, not of segue_1"):
        read()
    # its own name in other words, and names that no target has, are fine
    for own in ("Segue 1", "segue1", "ΞΞ", "observation 7"):
        dataset.copy(name=own).write(project / "mine.ecsv", format="gadf", overwrite=True)
        assert read()[0].models.names == ["segue_1"]


@pytest.mark.parametrize(
    "targets",
    [
        '  names: ["draco:ackermann2014_nfw", "segue_1:ackermann2014_nfw"]\n',
        "  roster: ackermann2015_dsphs\n  select: [draco, segue_1]\n",
        "  roster: ackermann2015_dsphs\n  exclude: leo_*\n"
        "jfactor: {targets: {segue_1: {log10_jfactor: 19}}}\n",
    ],
)
def test_a_target_that_was_named_is_not_dropped(project, targets):
    (project / "sed_segue_1.fits").unlink()
    path = project / "config.yaml"
    rest = "".join(path.read_text().partition("datasets:")[1:])
    path.write_text(f"targets:\n{targets}{rest}")
    with pytest.raises(ConfigError) as caught:
        analyse(path, project / "r")
    said = str(caught.value)
    assert f"target segue_1: no file {project / 'sed_segue_1.fits'}" in said
    assert "execution: {on_error: skip}" in said
    assert "carina" not in said
    assert not (project / "r").exists()
    path.write_text(path.read_text() + "execution: {on_error: skip}\n")
    analysis = analyse(path, project / "r")
    assert analysis.skipped["segue_1"] == f"no file {project / 'sed_segue_1.fits'}"


def test_a_name_without_version_leads_to_those_with_a_jfactor(project, edit):
    path = edit("  roster: ackermann2015_dsphs\n", "  names: [draco]\n")
    edit("  select: [draco, segue_1, ursa_major_II, coma_berenices]\n", "")
    with pytest.raises(ConfigError) as caught:
        analyse(path, project / "r")
    said = str(caught.value)
    assert "no log10_jfactor in default; choose a version that has it, draco:" in said
    assert "draco:ackermann2014_nfw" in said
    (versions,) = re.findall(r"has it, (.*), or give it", said)
    assert all(t.has_jfactor() for t in Targets.from_names(versions.split(", ")))


def test_errors_of_the_spectra_are_about_no_target(project, edit):
    with pytest.raises(ConfigError, match=r"line 6, key 'masses\[2\]'") as caught:
        DMAnalysis.read(edit("1 TeV]", "1 PeV]")).plan()
    assert "target" not in str(caught.value)


def test_line(project, edit):
    """Two photons of energy m, so the limit is that of the energy flux in one bin."""
    path = edit("channels: [b, tau]", "channels: gamma\nspectra: line")
    analysis = analyse(path, project / "r")
    dataset, target = analysis.datasets[0], analysis.targets[0]
    (bin_,) = np.flatnonzero(np.diff(dataset.energy_edges.to_value("GeV") < 100))
    eflux = (dataset.norm_ul() * dataset.ref_eflux)[bin_]
    jfactor = 10**target.log10_jfactor * u.Unit("GeV2 cm-5")
    expected = eflux * 8 * np.pi * (100 * u.GeV) ** 2 / (jfactor * 2 * 100 * u.GeV)
    value = analysis.results["castro", target.name].sigmav_ul.quantity[0, 1, 0, 0]
    assert_allclose(value.to_value("cm3 s-1"), expected.to_value("cm3 s-1"), rtol=2e-3)


def test_no_target_at_all(project, edit):
    path = edit("sed_{target}.fits", "data/{target}/sed.fits")
    with pytest.raises(ConfigError) as caught:
        analyse(path, project / "r")
    said = str(caught.value)
    assert "config.yaml, line 4, key 'datasets" in said
    assert "none of 15 targets can be used" in said
    assert f"- draco: no file {project / 'data/draco/sed.fits'}" in said
    assert not (project / "r").exists()


def test_target_in_two_versions(project, edit):
    versions = ["draco:ackermann2014_nfw", "draco:pace2018_nfw"]
    path = edit("  roster: ackermann2015_dsphs\n", f"  names: {versions}\n")
    edit("  select: [draco, segue_1, ursa_major_II, coma_berenices]\n", "")
    with pytest.raises(ConfigError, match="line 2, key 'targets.names': draco is .* remove one of"):
        analyse(path, project / "r")
    edit("datasets:", "  select: draco:pace2018_nfw\ndatasets:")
    analysis = analyse(path, project / "r")
    assert [t.version for t in analysis.targets] == ["pace2018_nfw"]


def test_channel_below_threshold_is_noted(project, edit):
    path = edit("channels: [b, tau]", "channels: [b, W]")
    analysis = analyse(path, project / "r")
    assert "all targets: no information (below threshold): W at 10 GeV." in analysis.summary
    (line,) = [x for x in analysis.summary.splitlines() if x.startswith("      10 GeV ")]
    assert line.endswith("-")
    assert "- no information (below the channel's threshold" in analysis.summary
    table = QTable.read(project / "r" / "limits.ecsv")
    row = table[(table["target"] == "combined") & (table["channel"] == "W")][0]
    assert row["status"] == "no_information"
    assert np.isnan(row["sigmav_ul"])


# ---- the configuration against rosters and spectra ---------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("ackermann2015_dsphs", "ackermann2015", "line 2, key 'targets.roster'", "Did you mean"),
        ("ackermann2015_dsphs", "mine.yaml", "line 2, key 'targets.roster'", "no file"),
        ("select: [draco,", "select: [drako,", "line 3, key 'targets.select[0]'", "draco"),
        ("report: false", "spectra: pppc5", "line 8, key 'spectra'", "pppc4"),
        ("report: false", "spectra: a/b.dat", "line 8, key 'spectra'", "no file"),
        ("100 GeV, 1 TeV", "100 GeV, 1 PeV", "line 6, key 'masses[2]'", "5 GeV to 100000 GeV"),
        (
            "[10 GeV, 100 GeV, 1 TeV]",
            "{min: 1 GeV, max: 9 GeV, n: 3}",
            "line 6, key 'masses'",
            "1 GeV lies outside",
        ),
        ("channels: [b, tau]", "channels: [b, V->e, box]", "line 5, key 'channels[2]'", "box"),
        (
            "report: false",
            "jfactor: {targets: {drac: {log10_jfactor: 18}}}",
            "line 8, key 'jfactor.targets.drac'",
            "did you mean 'draco'?",
        ),
        (
            "report: false",
            "jfactor: {targets: {draco: {log10_dfactor: 18}}}",
            "line 8, key 'jfactor.targets.draco.log10_dfactor'",
            "has no use in annihilation",
        ),
        (
            "plots: false",
            "plots: {published: none.ecsv}",
            "line 7, key 'plots.published[0]'",
            "none.ecsv",
        ),
    ],
)
def test_configuration_does_not_fit(project, edit, old, new, place, message):
    with pytest.raises(ConfigError) as caught:
        analyse(edit(old, new), project / "r")
    assert place in str(caught.value)
    assert message in str(caught.value)
    assert not (project / "r").exists()


def test_wrong_arguments(project):
    with pytest.raises(TypeError, match=r"use DMAnalysis\.read for a file"):
        DMAnalysis(project / "config.yaml")
    with pytest.raises(ValueError, match="n_jobs must be"):
        DMAnalysis.read(project / "config.yaml", n_jobs=0)
    analysis = DMAnalysis.read(project / "config.yaml")
    with pytest.raises(KeyError, match="call run"):
        _ = analysis.limits
    with pytest.raises(RuntimeError, match="call run"):
        _ = analysis.summary
    with pytest.raises(ValueError, match="no step 'stak'.*Did you mean 'stack'"):
        analysis.run(steps=["stak"])
    with pytest.raises(ValueError, match="no task 'castro/drako'.*Did you mean 'castro/draco'"):
        analysis.run(tasks=["castro/drako"])


def test_from_dict_and_relative_output(project, monkeypatch):
    monkeypatch.chdir(project)
    analysis = DMAnalysis(
        {
            "targets": {"roster": "ackermann2015_dsphs", "select": ["draco"]},
            "datasets": "sed_{target}.fits",
            "channels": "b",
            "masses": "100 GeV",
            "plots": False,
            "report": False,
        }
    )
    assert analysis.output == project / "results"
    analysis.run()
    assert (project / "results/stacks/ackermann2015_dsphs/profile.fits").is_file()
    assert "a dict" in repr(analysis)


# ---- files that fit a pattern ------------------------------------------------------------------


def test_files_of_a_pattern(tmp_path):
    """The name may stand twice, in folders, and beside characters that mean something to glob."""
    folder = tmp_path / "run[1]*"
    for name, file in (("draco", "draco"), ("segue_1", "segue_1"), ("fornax", "draco")):
        (folder / name).mkdir(parents=True)
        (folder / name / f"sed.{file}.fits").touch()
    files = DatasetFiles(folder / "{target}" / "sed.{target}.fits")
    draco = Target("draco")
    assert files.path(draco) == folder / "draco" / "sed.draco.fits"
    assert files.path(draco).is_file()
    assert files.unused(["draco"]) == {folder / "segue_1" / "sed.segue_1.fits": "segue_1"}
    assert files.unused(["draco", "segue_1"]) == {}
