"""Who is analysed and with what: rosters, versions, profiles, files of several instruments."""

import shutil

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table

from dmgammapy.analysis import ConfigError
from dmgammapy.analysis._files import linked_files
from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import CastroEstimator, StackedDMLikelihood
from dmgammapy.estimators.io import write_published_limits
from dmgammapy.targets import Target, Targets

ACK2016 = "ackermann2016_photoj_0.6_nfw"
PROFILES = {"ack2016": ACK2016, "pace": {"version": "pace2018_nfw"}}
MASSES = [50, 500]


def castro_by_hand(project, key, path=None):
    """Likelihood of one target with the classes alone."""
    (target,) = Targets.from_names([key])
    dataset = SEDLikelihoodDataset.read(path or project / f"sed_{target.name}.fits")
    dataset.models = target.to_models("100 GeV", "b")
    return CastroEstimator(MASSES * u.GeV, ["b"]).run(dataset)


def stack_by_hand(project, *keys, **options):
    castros = [castro_by_hand(project, key) for key in keys]
    return StackedDMLikelihood(castros, **options).run()


def same_limits(one, two):
    np.testing.assert_allclose(one.sigmav_ul.data, two.sigmav_ul.data, rtol=1e-9)
    np.testing.assert_allclose(one["ts"].data, two["ts"].data, rtol=1e-7, atol=1e-9)


# ---- several rosters ---------------------------------------------------------------------------


def test_what_rosters_share_is_done_once(project, analyse):
    """Stacks of rosters are those of the classes; Draco and its J are in both."""
    rosters = {
        "two": ["draco:ack2016", "segue_1:ack2016"],
        "three": [f"draco:{ACK2016}", "segue_1:pace", "coma_berenices:ack2016"],
    }
    analysis = analyse(targets=None, rosters=rosters, profiles=PROFILES)
    castros = {id for id in analysis.pipeline.tasks if id.startswith("castro/")}
    labels = ["draco.ack2016", "segue_1.ack2016", "segue_1.pace", "coma_berenices.ack2016"]
    assert castros == {f"castro/{label}" for label in labels}
    assert analysis.rosters == {"two": labels[:2], "three": [labels[0], *labels[2:]]}
    two = stack_by_hand(project, f"draco:{ACK2016}", f"segue_1:{ACK2016}")
    same_limits(analysis.results["stack", "two"], two)
    three = stack_by_hand(
        project, f"draco:{ACK2016}", "segue_1:pace2018_nfw", f"coma_berenices:{ACK2016}"
    )
    same_limits(analysis.results["stack", "three"], three)
    same_limits(analysis.results["target", "draco"], stack_by_hand(project, f"draco:{ACK2016}"))
    with pytest.raises(KeyError, match=r"segue_1 is there as segue_1\.ack2016, segue_1\.pace"):
        _ = analysis.results["target", "segue_1"]


def test_versions_without_profiles_go_by_their_names(project, make):
    rosters = {
        "a": ["draco:ackermann2014_nfw"],
        "b": ["draco:pace2018_nfw", "segue_1:pace2018_nfw"],
    }
    analysis = make(targets=None, rosters=rosters)
    # what the first roster calls it does not change when another one comes
    assert analysis.rosters == {"a": ["draco"], "b": ["draco.pace2018_nfw", "segue_1"]}


def test_tables_that_differ_in_j_are_not_mixed_up(project, analyse):
    """Two tables of users, with the same name and version but another J, 0.3 dex apart."""
    rosters = {}
    for name, value in (("ours", 18.8), ("theirs", 18.5)):
        target = Target("draco", log10_jfactor=value, log10_jfactor_err=0.1)
        Targets([target]).write(project / f"{name}.ecsv")
        rosters[name] = {"file": f"{name}.ecsv"}
    analysis = analyse(targets=None, rosters=rosters, jfactor="fixed")
    assert analysis.rosters == {"ours": ["draco"], "theirs": ["draco.theirs"]}
    ours, theirs = (analysis.results["stack", name].sigmav_ul.data for name in rosters)
    np.testing.assert_allclose(theirs / ours, 10**0.3, rtol=1e-5)


def test_left_out_of_one_roster_only(project, make, caplog):
    rosters = {
        "all": {"roster": "ackermann2015_dsphs", "select": ["draco", "segue_1"]},
        "classical": {"roster": "ackermann2015_dsphs", "select": ["draco"]},
    }
    analysis = make(targets=None, rosters=rosters)
    assert analysis.rosters == {"all": ["draco", "segue_1"], "classical": ["draco"]}
    assert "segue_1" not in analysis.skipped
    assert analysis.skipped["coma_berenices"] == "not in rosters.all.select"
    assert not caplog.records


def test_a_named_version_without_file_is_missed(project, make):
    """Draco is there in another roster; that does not excuse its absence here."""
    (project / "lat").mkdir()
    shutil.copy(project / "sed_draco.fits", project / "lat/draco_ack2016.fits")
    shutil.copy(project / "sed_segue_1.fits", project / "lat/segue_1_pace.fits")
    rosters = {"one": ["draco:ack2016"], "two": ["draco:pace", "segue_1:pace"]}
    given = {
        "targets": None, "rosters": rosters, "profiles": PROFILES,
        "datasets": "lat/{target}_{profile}.fits",
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"target draco: no file .*draco_pace\.fits"):
        _ = make(**given).targets
    analysis = make(**given, execution={"on_error": "skip"})
    assert analysis.rosters == {"one": ["draco.ack2016"], "two": ["segue_1.pace"]}
    (note,) = analysis.pipeline.members.notes
    assert note.startswith("draco is not used in the roster two: no file ")
    assert "draco" not in analysis.skipped


def test_an_empty_roster_is_an_error(project, make):
    rosters = {"one": ["draco:ack2016"], "two": ["fornax:ack2016", "sextans:ack2016"]}
    given = {"targets": None, "rosters": rosters, "profiles": PROFILES}
    with pytest.raises(ConfigError, match="'rosters.two': none of the roster's 2 targets") as error:
        _ = make(**given, execution={"on_error": "skip"}).targets
    assert f"- fornax: no file {project / 'sed_fornax.fits'}" in str(error.value)


# ---- profiles ----------------------------------------------------------------------------------


def test_placeholders_of_paths(project, make):
    for folder, name in ((ACK2016, "ack2016"), ("pace2018_nfw", "pace")):
        (project / folder).mkdir()
        shutil.copy(project / "sed_draco.fits", project / folder / f"draco_{name}.fits")
    rosters = {"one": ["draco:ack2016"], "two": ["draco:pace"]}
    analysis = make(
        targets=None,
        rosters=rosters,
        profiles=PROFILES,
        datasets="{version}/{target}_{profile}.fits",
    )
    assert analysis.files == {
        "draco.ack2016": {"": project / ACK2016 / "draco_ack2016.fits"},
        "draco.pace": {"": project / "pace2018_nfw/draco_pace.fits"},
    }
    assert analysis.unused_files == {}


def test_dmsky_roster_of_dmpipes_example(project, analyse, test_data):
    """Its versions are long, the profile is their short name; all of a roster may get one."""
    file = test_data / "fermipy/dmpipe_example/dmsky_data/rosters/roster.yaml"
    rosters = {"test": str(file), "other": {"roster": str(file), "profile": "pace"}}
    analysis = analyse(targets=None, rosters=rosters, profiles=PROFILES)
    assert analysis.rosters == {
        "test": ["segue_1.ack2016", "draco.ack2016"], "other": ["segue_1.pace", "draco.pace"],
    }  # fmt: skip
    same_limits(
        analysis.results["stack", "test"],
        stack_by_hand(project, f"segue_1:{ACK2016}", f"draco:{ACK2016}"),
    )
    same_limits(
        analysis.results["stack", "other"],
        stack_by_hand(project, "segue_1:pace2018_nfw", "draco:pace2018_nfw"),
    )


def test_short_names_in_a_roster_file(project, make):
    (project / "mine.yaml").write_text("mine: ['draco:ack2016', 'segue_1:pace']\n")
    analysis = make(targets="mine.yaml", profiles=PROFILES)
    assert [target.version for target in analysis.targets] == [ACK2016, "pace2018_nfw"]
    assert analysis.rosters == {"all": ["draco.ack2016", "segue_1.pace"]}


@pytest.mark.parametrize("name", ["wide", "ack2016_radial"])
def test_shapes_in_a_roster_file(project, make, name):
    """dmpipe's names of versions end with the shape: that is not silently taken for a point."""
    file = project / "mine.yaml"
    file.write_text(f"mine: [all, 'segue_1:ack2016_point']\nall: ['draco:{name}']\n")
    given = {"targets": {"file": "mine.yaml", "roster": "mine"}}
    profiles = {name: {"version": ACK2016, "spatial": "radial"}}
    analysis = make(**given, profiles=profiles)
    found = {m.label: m.spatial for m in analysis.pipeline.members.all.values()}
    assert found == {f"draco.{name}": "radial", "segue_1": "point"}
    assert {target.version for target in analysis.targets} == {ACK2016}
    # the file is looked at
    assert file in analysis.pipeline.members.read
    file.write_text(f"mine: ['draco:{name}', 'draco:ack2016_point']\n")
    with pytest.raises(ConfigError, match=f"two shapes on the sky, {name} and ack2016_point"):
        _ = make(targets="mine.yaml", profiles=profiles).targets


def test_a_shape_that_no_profile_tells(project, make):
    (project / "mine.yaml").write_text("mine: ['draco:ack2016_radial']\n")
    with pytest.raises(
        ConfigError, match="'targets.roster': .*ack2016_radial: {version: .*, spatial: radial}"
    ):
        _ = make(targets="mine.yaml").targets
    # said for all of them
    analysis = make(targets={"file": "mine.yaml", "profile": "ack2016"}, profiles=PROFILES)
    assert analysis.rosters == {"all": ["draco.ack2016"]}


def test_dmpipes_list_of_targets(project, make):
    """Each version is a target; every one has the profile of its own name."""
    (project / "list.yaml").write_text("draco: [ack2016_radial, pace]\n")
    profiles = PROFILES | {"ack2016_radial": {"version": ACK2016, "spatial": "radial"}}
    given = {"profiles": profiles}
    for pick, spatial in (("ack2016_radial", "radial"), ("pace", "point")):
        analysis = make(targets={"file": "list.yaml", "select": [f"draco:{pick}"]}, **given)
        (member,) = analysis.pipeline.members.all.values()
        assert (member.label, member.spatial) == (f"draco.{pick}", spatial)


def test_a_profile_with_a_shape_is_taken_by_its_name_only(project, make):
    profiles = {"wide": {"version": ACK2016, "spatial": "radial"}}
    analysis = make(targets=[f"draco:{ACK2016}"], profiles=profiles)
    (member,) = analysis.pipeline.members.all.values()
    assert (member.label, member.spatial) == ("draco", "point")


def test_a_profile_of_a_users_table(project, make):
    """All of a roster in another version, which the table itself has."""
    mine = [Target("draco", version=f"v{k}", log10_jfactor=18 + k / 10) for k in (1, 2)]
    Targets(mine).write(project / "mine.ecsv")
    analysis = make(
        targets={"file": "mine.ecsv", "profile": "second"}, profiles={"second": "v2"},
        jfactor="fixed",
    )  # fmt: skip
    assert [target.log10_jfactor for target in analysis.targets] == [18.2]


# ---- instruments -------------------------------------------------------------------------------


def test_files_of_a_source_that_is_about_others(project, make):
    for name in ("draco", "segue_1"):
        shutil.copy(project / f"sed_{name}.fits", project / f"magic_{name}.fits")
    datasets = {
        "fermi-lat": "sed_{target}.fits",
        "magic": {"path": "magic_{target}.fits", "targets": ["segue_*"]},
        "hess": "hess_{target}.fits",
    }
    analysis = make(datasets=datasets)
    assert {label: list(files) for label, files in analysis.files.items()} == {
        "draco": ["fermi-lat"], "segue_1": ["fermi-lat", "magic"],
    }  # fmt: skip
    assert analysis.unused_files[project / "magic_draco.fits"] == "draco"
    notes = analysis.pipeline.members.notes
    assert notes == [f"{n}: no file of hess ({project}/hess_{n}.fits)." for n in analysis.files]


def test_one_instrument_is_not_counted_twice(project, make):
    datasets = {
        "a": {"path": "sed_{target}.fits", "instrument": "lat"},
        "b": {"path": "{target}/../sed_{target}.fits", "instrument": "lat"},
    }
    for name in ("draco", "segue_1"):
        (project / name).mkdir()
    with pytest.raises(ConfigError, match="'datasets.b.instrument': draco would be counted twice"):
        _ = make(datasets=datasets).targets


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ({"magi": 0.1}, r"jfactor.extra_widths.magi': no instrument 'magi'.*mean 'magic'"),
        ({"drako": {"magic": 0.1}}, r"extra_widths.drako': no target 'drako'.*mean 'draco'"),
        ({"draco": {"hess": 0.1}}, r"extra_widths.draco.hess': no instrument 'hess'"),
    ],
)
def test_extra_widths_of_nobody(project, make, widths, message):
    datasets = {"magic": "sed_{target}.fits"}
    with pytest.raises(ConfigError, match=message):
        _ = make(datasets=datasets, jfactor={"extra_widths": widths}).targets


def test_extra_widths_need_the_name_of_the_instrument(project, make):
    with pytest.raises(ConfigError, match="extra_widths': name the instrument"):
        _ = make(jfactor={"extra_widths": {"fermi-lat": 0.1}}).targets


def covariance_file(project, names, matrix):
    table = Table({"target": names})
    for name, column in zip(names, np.array(matrix).T, strict=True):
        table[name] = column
    table.write(project / "covariance.ecsv", format="ascii.ecsv")
    return "covariance.ecsv"


@pytest.mark.parametrize(
    ("names", "matrix", "message"),
    [
        (["draco", "segue_1"], [[0.09, 0], [0, 0.0841]], "draco.*0.16"),
        (["fornax", "leo_I"], [[0.09, 0], [0, 0.0841]], "fornax, leo_I, which are not analysed"),
    ],
)
def test_covariance_that_contradicts(project, make, names, matrix, message):
    file = covariance_file(project, names, matrix)
    with pytest.raises(ConfigError, match="(?s)jfactor.covariance'.*" + message):
        _ = make(jfactor={"covariance": file}).targets


def test_covariance_gives_widths(project, analyse):
    """Targets without width; in a roster with one of them it is as if that had its width."""
    targets = [Target("draco", log10_jfactor=18.8), Target("segue_1", log10_jfactor=19.5)]
    Targets(targets).write(project / "mine.ecsv")
    matrix = [[0.04, 0.03], [0.03, 0.09]]
    file = covariance_file(project, ["draco", "segue_1"], matrix)
    rosters = {"both": {"file": "mine.ecsv"}, "one": {"file": "mine.ecsv", "select": "draco"}}
    analysis = analyse(targets=None, rosters=rosters, jfactor={"covariance": file})
    castros = []
    for target, width in zip(targets, (0.2, 0.3), strict=True):
        dataset = SEDLikelihoodDataset.read(project / f"sed_{target.name}.fits")
        dataset.models = target.copy(log10_jfactor_err=width).to_models("100 GeV", "b")
        castros.append(CastroEstimator(MASSES * u.GeV, ["b"]).run(dataset))
    one = StackedDMLikelihood(castros[:1]).run()
    same_limits(analysis.results["stack", "one"], one)
    same_limits(analysis.results["target", "draco"], one)
    both = StackedDMLikelihood(castros, jfactor_covariance=(["draco", "segue_1"], matrix)).run()
    same_limits(analysis.results["stack", "both"], both)
    independent = StackedDMLikelihood(castros).run()
    assert (abs(both.sigmav_ul.data / independent.sigmav_ul.data - 1) > 0.01).all()


# ---- files that files lead to ------------------------------------------------------------------


def test_linked_files(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/counts.fits").write_bytes(b"not a FITS file")
    path = tmp_path / "datasets.yaml"
    path.write_text(
        "datasets:\n- {name: a, filename: deep/counts.fits}\n- {name: b, filename: absent.fits}\n"
    )
    assert linked_files(path) == [tmp_path / "deep/counts.fits"]
    path.write_text("{")
    assert linked_files(path) == []


# ---- rosters that can't be used ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "place", "message"),
    [
        (
            {"targets": {"roster": "martinez2015_nfw"}}, "targets.roster",
            r"targets of martinez2015_nfw can be used: 0 of 16 have log10_jfactor, 0 have .*"
            r"take a roster that has them, such as ackermann2015_dsphs.*- \w+: no log10_jfactor",
        ),
        (
            {"targets": "ackermann2015_dsphs", "process": "decay"}, "targets",
            "0 of 15 have log10_dfactor.*no bundled roster has D-factors. Give them .*log10_df",
        ),
        ({"targets": ["draco:pace2018_nfw"] * 2}, "targets", "draco:pace2018_nfw is named twice: "),
        (
            {"targets": ["draco:pace2018_nfw", "draco:ackermann2014_nfw"]}, "targets",
            "draco is there in several versions.*; remove one of the names",
        ),
        (
            {"targets": {"roster": "ackermann2015_dsphs", "select": ["segue_2"]}},
            r"targets.select\[0\]", "segue_2 is not in roster ackermann2015_dsphs",
        ),
    ],
)  # fmt: skip
def test_rosters_that_cannot_be_used(make, changes, place, message):
    with pytest.raises(ConfigError, match=rf"(?s)key '{place}.*{message}"):
        make(**changes).plan()


def test_all_bundled_rosters_are_without_dfactors():
    """What the message says."""
    for name in Targets.rosters():
        assert not any(target.has_jfactor("decay") for target in Targets.read_roster(name))


def test_names_that_become_the_same(project, make):
    targets = [Target(name, log10_jfactor=18, log10_jfactor_err=0.2) for name in ("A x", "A_x")]
    Targets(targets).write(project / "mine.ecsv")
    for target in targets:
        shutil.copy(project / "sed_draco.fits", project / f"sed_{target.name}.fits")
    with pytest.raises(ConfigError, match="'targets'.*'A x' and 'A_x' would have the same names"):
        make(targets={"file": "mine.ecsv"}).plan()


def test_a_shape_without_counts_is_said_to_have_no_effect(make):
    profiles = {"wide": {"version": "pace2018_nfw", "spatial": "radial"}}
    notes = make(targets=["draco:wide"], profiles=profiles).pipeline.members.notes
    (note,) = [note for note in notes if "no effect" in note]
    assert note.startswith("profiles.wide: spatial: radial has no effect")
    profiles = {"wide": "pace2018_nfw"}
    assert not make(targets=["draco:wide"], profiles=profiles).pipeline.members.notes


def test_published_limits_of_a_target(project, make):
    """Those of Draco are drawn with Draco, a composite one with no single target."""
    castro = castro_by_hand(project, "draco:ackermann2014_nfw")
    for name, source in (("draco", "Draco"), ("all", "multidsph")):
        path = project / f"{name}.ecsv"
        write_published_limits(castro, path, channel="b", source=source)
    plots = {"kinds": ["target_limits", "limits"], "published": ["draco.ecsv", "all.ecsv"]}
    tasks = make(plots=plots, jfactor="fixed").pipeline.tasks
    drawn = {
        id: {path.rpartition("/")[2] for path in task.files.values()}
        for id, task in tasks.items()
        if task.step == "plot"
    }
    assert drawn == {
        "plot/target_limits/draco_fixed_b": {"draco.ecsv"},
        "plot/target_limits/segue_1_fixed_b": set(),
        "plot/limits/fixed_b": {"draco.ecsv", "all.ecsv"},
    }
