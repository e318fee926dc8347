"""Likelihood tables with a file for each channel, or many targets in a file; spectra of bins."""

import json

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from numpy.testing import assert_allclose
from scipy.stats import norm

from dmgammapy.analysis import ConfigError
from dmgammapy.analysis._files import channel_spellings
from dmgammapy.estimators import CastroMaps, StackedDMLikelihood
from dmgammapy.estimators.io import write_lklcom_tables
from dmgammapy.targets import Target, Targets

MASSES = [50, 500] * u.GeV
SIGMAV = np.append(0, np.geomspace(1e-29, 1e-21, 321))
DRACO, SEGUE = Targets.from_names(["draco:ackermann2014_nfw", "segue_1:ackermann2014_nfw"])
# scale of the parabola of each target by channel [cm3 s-1]
SCALES = {"draco": {"b": 3e-26, "tau": 1e-26}, "segue_1": {"b": 1e-26, "tau": 8e-27}}


def table_of(target, instrument="magic", channels=("b", "tau"), **more):
    """-2 ln L of an imagined telescope with half a sigma of signal."""
    stat = np.array([[(SIGMAV / SCALES[target.name][c] - 0.5) ** 2] * 2 for c in channels])
    options = {
        "target": target.name, "instrument": instrument, "prior": target.jfactor_prior(),
        "log10_jfactor": target.log10_jfactor,
    }  # fmt: skip
    return CastroMaps.from_scan(
        SIGMAV * u.Unit("cm3 s-1"), stat, MASSES, list(channels), **(options | more)
    )


@pytest.fixture
def tables(project):
    """Files of two targets, ``magic/<channel>_<target>_MAGIC.txt``; results of both in memory."""
    (project / "magic").mkdir()
    found = [table_of(target) for target in (DRACO, SEGUE)]
    for table in found:
        path = project / f"magic/{{channel}}_{table.meta.target}_MAGIC.txt"
        table.write(path, format="gloryduck", check_name=False)
    return found


GIVEN = {
    "datasets": {
        "magic": {"path": "magic/{channel}_{target}_MAGIC.txt", "format": "gloryduck"}
    },
    "channels": ["b", "tau"],
}  # fmt: skip


def test_names_of_channels():
    assert channel_spellings("b")[:2] == ["b", "bb"]
    assert {"WW", "ww", "W+W-"} < set(channel_spellings("W"))
    assert {"tautau", "tau+tau-"} < set(channel_spellings("tau"))
    assert "gg" not in channel_spellings("gamma")
    assert channel_spellings("0.5 b + 0.5 tau") == ["0.5 b + 0.5 tau"]


@pytest.mark.parametrize("method", ["profile", "fixed"])
def test_a_file_for_each_channel(tables, project, analyse, method):
    """The stack is that of the results in memory, and -2 ln L at fixed J a sum of parabolas."""
    analysis = analyse(**GIVEN, jfactor=method)
    wanted = StackedDMLikelihood(tables, method=method).run()
    found = analysis.combined
    assert found.channels == ["b", "tau"]
    assert_allclose(found.sigmav_ul.data, wanted.sigmav_ul.data, rtol=1e-9)
    assert_allclose(found["ts"].data, wanted["ts"].data, atol=1e-9)
    if method == "fixed":
        for k, channel in enumerate(found.channels):
            weights = np.array([1 / scales[channel] for scales in SCALES.values()])
            best = 0.5 * weights.sum() / (weights**2).sum()
            assert_allclose(found.sigmav.data[k], best, rtol=2e-3)
    castro = analysis.results["castro", "segue_1"]
    assert castro.meta.instrument == "magic"
    assert castro.meta.origin == "magic/{channel}_segue_1_MAGIC.txt"
    assert analysis.unused_files == {}


def test_changed_file_of_the_second_channel(tables, project, analyse):
    """It is in the key of its task; the other target stays."""
    analyse(**GIVEN)
    other = table_of(SEGUE, channels=["tau"])
    other["stat_scan"].data *= 2
    file = project / "magic/tautau_segue_1_MAGIC.txt"
    other.write(file, format="gloryduck", check_name=False, overwrite=True)
    assert file.is_file()
    again = analyse(**GIVEN)
    assert [id for id in again.computed if id.startswith("castro")] == ["castro/magic/segue_1"]
    limit = again.results["castro", "segue_1"].sigmav_ul.data
    assert_allclose(limit[1], (0.5 + norm.ppf(0.95) / np.sqrt(2)) * 8e-27, rtol=2e-3)


def test_names_are_tried_in_order(tables, project, make):
    """The channel's own name first; all that are looked for can change what is found."""
    analysis = make(**GIVEN)
    task = analysis.pipeline.tasks["castro/magic/draco"]
    first = {path.rpartition("/")[2] for path in task.files.values()}
    assert first == {"bb_draco_MAGIC.txt", "tautau_draco_MAGIC.txt"}
    wanted = project / "magic/b_draco_MAGIC.txt"
    assert wanted in analysis.pipeline.members.probed
    (project / "magic/bb_draco_MAGIC.txt").rename(wanted)
    (member,) = [m for m in make(**GIVEN).pipeline.members.all.values() if m.label == "draco"]
    assert member.parts["magic"]["b"] == wanted == member.files["magic"]


def test_a_channel_is_missing(tables, project, make, caplog):
    file = project / "magic/tautau_draco_MAGIC.txt"
    file.unlink()
    with pytest.raises(ConfigError, match=r"datasets\.magic\.path': draco has no file") as error:
        _ = make(**GIVEN).targets
    text = str(error.value)
    for word in ("tau", "tautau", "tau+tau-"):
        assert str(project / f"magic/{word}_draco_MAGIC.txt") in text
    assert "take the channel out of channels" in text
    # none of them is the target's absence; without the channel all is well
    assert make(**(GIVEN | {"channels": ["b"]})).skipped == {}
    with pytest.raises(ConfigError, match="of the channel tau, looked for"):
        make(**GIVEN, execution={"on_error": "skip"}, targets=["draco:ackermann2014_nfw"]).plan()
    left = make(**GIVEN, execution={"on_error": "skip"})
    assert list(left.pipeline.members.all) == ["segue_1"]
    assert "no file of the channel tau" in left.skipped["draco"]
    (project / "magic/bb_draco_MAGIC.txt").unlink()
    with pytest.raises(ConfigError, match="draco: no file .*looked for b_draco_MAGIC.txt, bb_"):
        _ = make(**GIVEN).targets


def test_files_of_no_target(tables, project, make):
    """Names of targets and channels have underscores."""
    draco = make(**GIVEN, targets=["draco:ackermann2014_nfw"])
    assert set(draco.unused_files.values()) == {"segue_1"}
    assert len(draco.unused_files) == 2
    (project / "magic/nu_e_segue_1_MAGIC.txt").touch()
    assert make(**GIVEN).unused_files == {}


def test_channels_that_differ_in_j(tables, project, make):
    other = table_of(DRACO, channels=["tau"], log10_jfactor=18.0, prior=None)
    path = project / "magic/tautau_draco_MAGIC.txt"
    other.write(path, format="gloryduck", check_name=False, overwrite=True)
    with pytest.raises(RuntimeError, match="log10_jfactor is 18.0, but 18.83"):
        make(**GIVEN).run(steps=["castro"])


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({"path": "{channel}_{target}.txt"}, "datasets.path': {channel} is for.*format: gloryduck"),
        ({"path": "{channel}_{target}.fits", "format": "castro"}, "{channel} is for formats"),
        ({"path": "{channel}.txt", "format": "gloryduck"}, "datasets.path': .*must hold {target}"),
        ("all.hdf5", "must hold {target}.*a file of several targets takes format: lklcom"),
        ({"path": "{chanel}.hdf5", "format": "lklcom"}, "unknown placeholder {chanel}"),
    ],
)
def test_placeholders_that_do_not_fit(make, datasets, message):
    with pytest.raises(ConfigError, match=message):
        make(datasets=datasets)


def test_blank_fields_of_several_channels(tables, make):
    with pytest.raises(ConfigError, match="blank_fields.path': blank fields are one file each"):
        _ = make(**GIVEN, blank_fields="blank/{target}_{field}.txt").targets


# ---- many targets in a file --------------------------------------------------------------------


@pytest.fixture
def combination(project, tables):
    """File of lklcom: two targets of an instrument, one of another."""
    pytest.importorskip("h5py")
    write_lklcom_tables([*tables, table_of(SEGUE, "VERITAS")], project / "all.hdf5")


MANY = {"datasets": {"magic": {"path": "all.hdf5", "format": "lklcom"}}, "channels": ["b", "tau"]}


def test_many_targets_in_a_file(project, tables, combination, analyse):
    """Single precision, as the format has it."""
    analysis = analyse(**MANY)
    wanted = StackedDMLikelihood(tables).run()
    assert_allclose(analysis.combined.sigmav_ul.data, wanted.sigmav_ul.data, rtol=1e-4)
    assert analysis.results["castro", "segue_1"].meta.instrument == "magic"
    two = MANY["datasets"] | {
        "veritas": {"path": "all.hdf5", "format": "lklcom", "targets": ["segue_1"]}
    }
    both = analyse(channels=MANY["channels"], datasets=two)
    wanted = StackedDMLikelihood([*tables, table_of(SEGUE, "veritas")]).run()
    assert_allclose(both.combined.sigmav_ul.data, wanted.sigmav_ul.data, rtol=1e-4)
    assert both.unused_files == {}


def test_a_file_for_each_target_that_is_recognised(project, tables, combination, analyse):
    """Format not given: recognised, with all of its channels."""
    for table in tables:
        write_lklcom_tables([table], project / f"one_{table.meta.target}.hdf5")
    for datasets in ("one_{target}.hdf5", {"path": "one_{target}.hdf5", "format": "lklcom"}):
        analysis = analyse(datasets={"iact": datasets}, channels=["b", "tau"])
        wanted = StackedDMLikelihood(tables).run()
        assert_allclose(analysis.combined.sigmav_ul.data, wanted.sigmav_ul.data, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": ["fornax:ackermann2014_nfw"]}, "all.hdf5 does not hold it"),
        ({"channels": ["b", "W"]}, "no channel W .looked for W, WW.*which has bb, tautau"),
        (
            {"datasets": {"hess": {"path": "all.hdf5", "format": "lklcom"}}},
            "holds nothing of hess, only of VERITAS, magic",
        ),
        (
            {
                "datasets": {"path": "all.hdf5", "format": "lklcom"},
                "targets": ["segue_1:ackermann2014_nfw"],
            },
            "it holds segue_1 of VERITAS, magic; choose one with instrument",
        ),
        (
            {"datasets": {"path": "magic/bb_{target}_MAGIC.txt", "format": "lklcom"}},
            "lklcom tables are an HDF5 file",
        ),
    ],
)
def test_what_a_file_does_not_hold(combination, make, changes, message):
    with pytest.raises(ConfigError, match=message):
        _ = make(**(MANY | changes)).targets


def test_one_instrument_is_not_taken_twice(project, tables, combination, make):
    """The only instrument of a file may have any name, but not two of them."""
    write_lklcom_tables(tables, project / "all.hdf5", overwrite=True)
    source = {"path": "all.hdf5", "format": "lklcom"}
    analysis = make(datasets={"iact": source}, channels=["b", "tau"])
    assert [list(files) for files in analysis.files.values()] == [["iact"], ["iact"]]
    with pytest.raises(ConfigError, match="holds nothing of veritas, only of magic"):
        _ = make(datasets={"magic": source, "veritas": source}).targets


def test_targets_of_a_file_that_are_not_analysed(project, combination, make):
    analysis = make(**MANY, targets=["draco:ackermann2014_nfw"])
    assert analysis.unused_files == {project / "all.hdf5": "segue_1"}


# ---- lklcom's own numbers ----------------------------------------------------------------------


@pytest.mark.parametrize("source", ["gloryduck", "lklcom"])
def test_limits_of_lklcom(project, analyse, test_data, source):
    """Two real tables in a whole analysis, against lklcom 0.5.4."""
    folder = test_data / "lklcom"
    expected = json.loads((folder / "expected.json").read_text())
    targets = [
        Target("Segue1", log10_jfactor=19.36, log10_jfactor_err=0.35),
        Target("UrsaMajorII", log10_jfactor=19.42, log10_jfactor_err=0.42),
    ]
    Targets(targets).write(project / "mine.ecsv")
    datasets = {"path": f"{folder}/{{channel}}_{{target}}_IACT.txt", "format": "gloryduck"}
    if source == "lklcom":
        pytest.importorskip("h5py")
        names = [f"bb_{target.name}_IACT.txt" for target in targets]
        castros = [CastroMaps.read(folder / name) for name in names]
        write_lklcom_tables(castros, project / "both.hdf5")
        datasets = {"path": "both.hdf5", "format": "lklcom"}
    analysis = analyse(
        targets="mine.ecsv", datasets={"iact": datasets},
        masses=[f"{mass} GeV" for mass in expected["masses_GeV"]],
        jfactor=["fixed", "profile"], limits={"cl": float(norm.cdf(np.sqrt(2.71)))},
    )  # fmt: skip
    for method, name in (("fixed", "ul95_fixed_J"), ("profile", "ul95_J_profiled")):
        limit = analysis.results["stack", method].sigmav_ul.data.ravel()
        assert_allclose(limit, expected[name], rtol=5e-4)


# ---- spectra of bins ---------------------------------------------------------------------------

CHANNELS = {"b": 3, "tau": 2, "W": 6}
NAMES = [f"target_{k:02d}" for k in (0, 7, 21)]


@pytest.fixture
def golden(project, test_data):
    """Folder of the exact answers, and what a configuration says about three of the targets."""
    folder = test_data / "golden"
    with np.load(folder / "truth.npz") as data:
        truth = dict(data)
    targets, rows = [], []
    for name in NAMES:
        t = int(name[-2:])
        targets.append(
            Target(
                name, log10_jfactor=float(truth["log10J_obs"][t]),
                log10_jfactor_err=float(truth["sigma_log10J"][t]),
            )
        )  # fmt: skip
        counts = zip(truth["bkg"][t], truth["ref_npred"][t], strict=True)
        rows += [(name, background, npred) for background, npred in counts]
    Targets(targets).write(project / "mine.ecsv")
    table = QTable(rows=rows, names=["target", "background", "npred"])
    table.write(project / "golden.ecsv")
    given = {
        "targets": "mine.ecsv",
        "datasets": f"{folder}/sed/sed_{{target}}_point_null.fits",
        "spectra": f"{folder}/dm_spectra.fits",
        "channels": list(CHANNELS),
        "masses": [f"{mass!r} GeV" for mass in truth["masses"].tolist()],
    }
    return folder, truth, given


def test_spectra_of_bins(golden, analyse):
    """Exact limits of three targets with dmpipe's own table; a null ensemble around them."""
    folder, truth, given = golden
    analysis = analyse(
        **given, jfactor=["profile", "fixed"],
        simulations={"null": {"n": 25, "expectations": "golden.ecsv"}},
    )  # fmt: skip
    for method, name in (("fixed", "none"), ("profile", "lgauss_like")):
        with np.load(folder / f"reference_null_analytic_{name}.npz") as data:
            exact = data["single_ul95"]
        for target in NAMES:
            wanted = exact[int(target[-2:]), list(CHANNELS.values())]
            found = analysis.results["target", target, method].sigmav_ul.data[..., 0, 0]
            np.testing.assert_array_equal(np.isfinite(found), np.isfinite(wanted))
            assert_allclose(found, wanted, rtol=1e-3)
    ensemble = analysis.results["simulation", "null", "fixed"].sigmav_ul.data[:, 0, 4:, 0, 0]
    observed = analysis.results["stack", "fixed"].sigmav_ul.data[0, 4:, 0, 0]
    assert (abs(np.log(np.median(ensemble, axis=0) / observed)) < 1).all()


def test_figures_without_dnde(golden, make):
    """Those of spectra are left out, with a note; the others are there."""
    plan = make(**golden[2], plots=True).pipeline
    figures = {id.split("/")[1] for id in plan.tasks if id.startswith("plot/")}
    assert "spectra" not in figures
    assert {"sed", "limits"} <= figures
    assert any("dm_spectra.fits has integrals over bins" in note for note in plan.notes)


def test_signal_of_the_spectra_of_bins(golden, analyse):
    """A signal that is put in is found, from the integrals of the table alone."""
    _, truth, given = golden
    signal = {"sigmav": "1e-24 cm3 s-1", "mass": "100 GeV", "channel": "b"}
    section = {"n": 100, "expectations": "golden.ecsv", "injected": signal}
    analysis = analyse(**given, jfactor="fixed", simulations={"signal": section})
    fits = analysis.results["simulation", "signal"].sigmav.data[:, 0, 4, 0, 0]
    error = fits.std() / 10
    assert error < 5e-26
    assert abs(fits.mean() - 1e-24) < 4 * error


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        ({"mass": "120 GeV", "channel": "b"}, "Mass 120 GeV is not in the table"),
        ({"mass": "100 GeV", "channel": "nu_e"}, "nu_e"),
    ],
)
def test_signal_that_the_table_does_not_hold(golden, make, signal, message):
    section = {"n": 2, "injected": signal | {"sigmav": "1e-24 cm3 s-1"}}
    with pytest.raises(ConfigError, match=f"simulations.signal.injected': .*{message}"):
        _ = make(**golden[2], simulations={"signal": section}).pipeline
