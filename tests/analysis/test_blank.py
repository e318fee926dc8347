"""Control fields from files: their stacks, and what happens where targets have not as many."""

import re
import shutil

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from numpy.testing import assert_allclose

from dmgammapy.analysis import ConfigError
from dmgammapy.analysis._manifest import take_fingerprint
from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import CastroEstimator, StackedDMLikelihood
from dmgammapy.makers import SEDExpectation, SimulatedDatasetMaker
from dmgammapy.targets import Target, Targets

TARGETS = Targets.from_names(["draco:ackermann2014_nfw", "segue_1:ackermann2014_nfw"])
MASSES = [50, 500] * u.GeV
NOTE = "field 0003 is left out, there is no file of draco."
BLANK = "blank/{target}_blank_{field}.fits"


@pytest.fixture
def fields(project):
    """Three fields of Draco, four of Segue 1, as SED files."""
    table = QTable.read(project / "truth.ecsv")
    (project / "blank").mkdir()
    for target, n in zip(TARGETS, (3, 4), strict=True):
        rows = table[table["target"] == target.name]
        dataset = SEDLikelihoodDataset.read(project / f"sed_{target.name}.fits")
        dataset.models = target.to_models("100 GeV", "b")
        known = {target.name: SEDExpectation(rows["background"], rows["npred"])}
        maker = SimulatedDatasetMaker(seed=9, expectations=known)
        for k in range(n):
            field = maker.run(dataset, realisation=k)
            path = project / f"blank/{target.name}_blank_{k:04d}.fits"
            field.copy(name=f"{target.name}_blank_{k:04d}").write(path, format="gadf")
    return project / "blank"


def stack_by_hand(folder, k, targets=TARGETS, method="profile"):
    castros = []
    for target in targets:
        dataset = SEDLikelihoodDataset.read(folder / f"{target.name}_blank_{k:04d}.fits")
        dataset.models = target.to_models("100 GeV", "b")
        castros.append(CastroEstimator(MASSES, ["b"]).run(dataset))
    return StackedDMLikelihood(castros, method=method).run()


def test_each_realisation_is_the_stack_of_its_fields(fields, analyse):
    analysis = analyse(blank_fields=BLANK, jfactor=["profile", "fixed"])
    for method in ("profile", "fixed"):
        blank = analysis.results["blank", method]
        assert blank.geom.axes["realisation"].nbin == 3
        limits = []
        for k in range(3):
            wanted = stack_by_hand(fields, k, method=method)
            for name in ("sigmav", "sigmav_ul", "ts"):
                found = getattr(blank, name).data[k]
                assert_allclose(found, getattr(wanted, name).data, rtol=1e-9, atol=1e-33)
            limits.append(wanted.sigmav_ul.data)
        q = [0.025, 0.16, 0.5, 0.84, 0.975]
        bands = analysis.results["blank_bands", method].sigmav_ul.data
        assert_allclose(bands, np.quantile(limits, q, axis=0, method="hazen"), rtol=1e-9)
    assert analysis.results["blank"].meta.notes[-1] == NOTE


def test_fields_go_by_their_numbers(fields, analyse, caplog):
    """Draco has 0, 1, 3, Segue 1 has 0 to 3: those with the same number belong together."""
    (fields / "draco_blank_0002.fits").rename(fields / "draco_blank_0003.fits")
    analysis = analyse(blank_fields=BLANK)
    limits = analysis.results["blank"].sigmav_ul.data
    assert len(limits) == 3
    for i, k in enumerate((0, 1, 3)):
        assert_allclose(limits[i], stack_by_hand(fields, k).sigmav_ul.data, rtol=1e-9)
    assert "field 0002 is left out, there is no file of draco." in analysis.summary
    assert "field 0002 is left out, there is no file of draco." in caplog.text
    # of the first two that all have, a later one than the second
    (fields / "segue_1_blank_0001.fits").unlink()
    analysis = analyse("two", blank_fields={"path": BLANK, "n": 2})
    limits = analysis.results["blank"].sigmav_ul.data
    assert len(limits) == 2
    assert_allclose(limits[1], stack_by_hand(fields, 3).sigmav_ul.data, rtol=1e-9)
    with pytest.raises(ConfigError, match=r"blank_fields\.n'.*2 blank fields .* 3 are wanted"):
        analyse("three", blank_fields={"path": BLANK, "n": 3})


def test_number_in_a_folder(project, fields, make, analyse):
    for k in range(3):
        (project / f"nights/{k:04d}").mkdir(parents=True)
        for target in TARGETS:
            source = fields / f"{target.name}_blank_{k:04d}.fits"
            shutil.copy(source, project / f"nights/{k:04d}/sed_{target.name}_{k:04d}.fits")
    given = {"blank_fields": "nights/{field}/sed_{target}_{field}.fits"}
    shutil.copy(
        project / "nights/0001/sed_draco_0001.fits", project / "nights/0002/sed_draco_0001.fits"
    )
    analysis = analyse(**given)
    limits = analysis.results["blank"].sigmav_ul.data
    for k in range(3):
        assert_allclose(limits[k], stack_by_hand(fields, k).sigmav_ul.data, rtol=1e-9)
    globs = take_fingerprint(analysis.pipeline)["globs"]
    pattern = str(project / "nights/*/sed_draco_*.fits")
    assert len(globs[pattern]) == 4
    shutil.copytree(project / "nights/0002", project / "nights/2")
    for target in TARGETS:
        name = project / f"nights/2/sed_{target.name}_"
        shutil.move(f"{name}0002.fits", f"{name}2.fits")
    with pytest.raises(ConfigError, match="have the same number; remove one"):
        make(**given).plan()


def test_no_file_of_any_target(fields, make):
    path = "blank/{target}_off_{field}.fits"
    with pytest.raises(ConfigError) as caught:
        make(blank_fields={"path": path}).plan()
    assert re.search(r"line \d+, key 'blank_fields.path': no file of any target", str(caught.value))
    assert path in str(caught.value)


def test_no_number_in_common(fields, make):
    for k in range(3):
        (fields / f"draco_blank_{k:04d}.fits").rename(fields / f"draco_blank_{k + 10:04d}.fits")
    with pytest.raises(ConfigError, match="0 blank fields are there by the same number for all"):
        make(blank_fields=BLANK).plan()


def test_a_new_field_is_taken(fields, analyse):
    analyse(blank_fields=BLANK)
    shutil.copy(fields / "draco_blank_0001.fits", fields / "draco_blank_0003.fits")
    again = analyse(blank_fields=BLANK)
    assert set(again.computed) == {"blank/castro/draco", "blank/stack/all/profile", "report"}
    limits = again.results["blank"].sigmav_ul.data
    assert limits.shape[0] == 4
    both = [f"{t.name}_blank_000{k}.fits" for t, k in zip(TARGETS, (1, 3), strict=True)]
    castros = []
    for target, name in zip(TARGETS, both, strict=True):
        dataset = SEDLikelihoodDataset.read(fields / name)
        dataset.models = target.to_models("100 GeV", "b")
        castros.append(CastroEstimator(MASSES, ["b"]).run(dataset))
    assert_allclose(limits[3], StackedDMLikelihood(castros).run().sigmav_ul.data, rtol=1e-9)


def test_too_few_fields(fields, make):
    with pytest.raises(ConfigError, match="there are 3 blank fields of draco .*, 4 are wanted"):
        make(blank_fields={"path": BLANK, "n": 4}).plan()


def test_a_target_without_fields_is_said(fields, make, caplog):
    for path in fields.glob("draco*"):
        path.unlink()
    analysis = make(blank_fields=BLANK)
    assert not [id for id in analysis.pipeline.tasks if id.startswith("blank/stack")]
    assert any("no blank fields of draco" in note for note in analysis.pipeline.notes)
    assert "no blank fields of draco" in caplog.text


def test_controls_hold_the_targets_of_the_data(project, fields, analyse):
    """Draco's likelihood can't be read: the controls are without it, too."""
    (project / "sed_draco.fits").write_bytes(b"SIMPLE  = no")
    analysis = analyse(blank_fields=BLANK, execution={"on_error": "skip"})
    blank = analysis.results["blank"].sigmav_ul.data
    for k in range(4):
        wanted = stack_by_hand(fields, k, targets=[TARGETS["segue_1"]])
        assert_allclose(blank[k], wanted.sigmav_ul.data, rtol=1e-9)


def test_field_of_another_target_is_refused(project, fields, analyse):
    shutil.copy(project / "sed_segue_1.fits", fields / "draco_blank_0002.fits")
    with pytest.raises(RuntimeError, match="says that it is of segue_1, not of draco"):
        analyse(blank_fields=BLANK)


def test_field_of_a_target_that_came_later_is_refused(project, fields, make, analyse):
    given = {"blank_fields": BLANK, "targets": {"file": "mine.ecsv"}}
    dataset = SEDLikelihoodDataset.read(fields / "draco_blank_0000.fits")
    for name in ("mine_1", "mine_2"):
        dataset.copy(name=name).write(project / f"sed_{name}.fits", format="gadf")
        for k in range(2):
            path = fields / f"{name}_blank_{k:04d}.fits"
            dataset.copy(name="mine_2").write(path, format="gadf")
    mine = [Target(f"mine_{k}", log10_jfactor=18.5, log10_jfactor_err=0.2) for k in (1, 2)]
    Targets(mine[:1]).write(project / "mine.ecsv")
    analyse(**given)
    Targets(mine).write(project / "mine.ecsv", overwrite=True)
    with pytest.raises(ConfigError, match=r"'blank_fields.*mine_1_blank_0000\.fits: the file says"):
        analyse(**given)


# ---- several instruments -----------------------------------------------------------------------


@pytest.fixture
def two(project, fields):
    """Draco and Segue 1 by two instruments; the fields of the second are those of the first."""
    (project / "magic").mkdir()
    for target, n in zip(TARGETS, (3, 4), strict=True):
        shutil.copy(project / f"sed_{target.name}.fits", project / f"magic_{target.name}.fits")
        for k in range(n):
            name = f"{target.name}_blank_{(k + 1) % n:04d}.fits"
            shutil.copy(fields / name, project / f"magic/{target.name}_blank_{k:04d}.fits")
    shutil.copytree(fields, project / "lat")
    return {"datasets": {"lat": "sed_{target}.fits", "magic": "magic_{target}.fits"}}


def test_one_path_of_two_instruments_is_refused(two, make):
    """Each field would be counted twice."""
    with pytest.raises(ConfigError, match=r"counted twice, as a field of lat and of magic; put {i"):
        make(**two, blank_fields=BLANK).plan()
    paths = {"lat": BLANK, "magic": BLANK}
    with pytest.raises(ConfigError, match=r"key 'blank_fields.path.magic'.*counted twice"):
        make(**two, blank_fields={"path": paths}).plan()


def test_a_file_by_two_names_is_refused(project, two, make):
    for path in (project / "magic").glob("draco*"):
        path.unlink()
        path.symlink_to(project / "lat" / path.name)
    with pytest.raises(ConfigError, match="counted twice"):
        make(**two, blank_fields="{instrument}/{target}_blank_{field}.fits").plan()


@pytest.mark.parametrize("path", ["placeholder", "by instrument"])
def test_fields_of_each_instrument(project, two, analyse, path):
    pattern = "{target}_blank_{field}.fits"
    paths = {
        "placeholder": f"{{instrument}}/{pattern}",
        "by instrument": {"lat": f"blank/{pattern}", "magic": f"magic/{pattern}"},
    }
    analysis = analyse(**two, blank_fields={"path": paths[path]}, jfactor="fixed")
    for k in range(3):
        castros = []
        for target, n in zip(TARGETS, (3, 4), strict=True):
            for name, number in (("lat", k), ("magic", (k + 1) % n)):
                file = project / f"blank/{target.name}_blank_{number:04d}.fits"
                dataset = SEDLikelihoodDataset.read(file, instrument=name)
                dataset.models = target.to_models("100 GeV", "b")
                castros.append(CastroEstimator(MASSES, ["b"]).run(dataset))
        wanted = StackedDMLikelihood(castros, method="fixed").run()
        found = analysis.results["blank"].sigmav_ul.data[k]
        assert_allclose(found, wanted.sigmav_ul.data, rtol=1e-9)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"path": {"hess": BLANK}}, "no instrument 'hess' in datasets, which has lat, magic"),
        ({"path": {"lat": "blank.fits"}}, "'blank_fields.path.lat': the path must hold {target}"),
        ({"path": "{who}/{target}_{field}"}, "unknown placeholder {who}"),
        ({"path": BLANK, "format": "fits"}, "'blank_fields.format': must be one of"),
    ],
)
def test_bad_sections(two, make, section, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        make(**two, blank_fields=section).plan()


def test_instrument_without_a_name(fields, make):
    with pytest.raises(ConfigError, match="name the instrument"):
        make(blank_fields="{instrument}/{target}_{field}.fits").plan()


def test_files_of_another_format(project, fields, analyse):
    """Fields as FITS of GADF, data as fermipy has them; with the wrong word they can't be read."""
    wanted = analyse("gadf", blank_fields=BLANK).results["blank"].sigmav_ul.data
    for target in TARGETS:
        dataset = SEDLikelihoodDataset.read(project / f"sed_{target.name}.fits")
        dataset.write(project / f"fermipy_{target.name}.fits", format="fermipy")
    given = {"datasets": {"path": "fermipy_{target}.fits", "format": "fermipy"}}
    analysis = analyse(**given, blank_fields={"path": BLANK, "format": "gadf"})
    assert_allclose(analysis.results["blank"].sigmav_ul.data, wanted, rtol=1e-9)
    with pytest.raises(RuntimeError, match="blank/castro/draco"):
        analyse("wrong", **given, blank_fields=BLANK)


# ---- the main method ---------------------------------------------------------------------------


def test_limits_by_the_main_method(project, fields, analyse):
    """CLs with the expected counts for reference, of the classes alone."""
    analysis = analyse(
        blank_fields=BLANK, limits={"methods": ["cls"]}, jfactor="fixed",
        simulations={"defaults": {"expectations": "truth.ecsv"}},
    )  # fmt: skip
    datasets, known = [], {}
    table = QTable.read(project / "truth.ecsv")
    for target in TARGETS:
        rows = table[table["target"] == target.name]
        known[target.name] = SEDExpectation(rows["background"], rows["npred"])
        datasets.append(SEDLikelihoodDataset.read(project / f"sed_{target.name}.fits"))
        datasets[-1].models = target.to_models("100 GeV", "b")
    asimov = SimulatedDatasetMaker(seed=0, expectations=known).asimov(datasets)
    estimator = CastroEstimator(MASSES, ["b"])
    expected = StackedDMLikelihood(estimator.run(asimov), method="fixed").run()
    blank = analysis.results["blank"]
    for k in range(3):
        stack = stack_by_hand(fields, k, method="fixed")
        limit, _ = stack.upper_limit_and_status(method="cls", asimov=expected)
        assert_allclose(blank.sigmav_ul.data[k], limit.data, rtol=1e-6)
        assert (abs(limit.data / stack.sigmav_ul.data - 1) > 1e-3).any()
    assert "upper limits by the method 'cls'." in blank.meta.notes


def test_notes_reach_summary_and_report(fields, analyse):
    analysis = analyse(blank_fields=BLANK, report=True)
    text = f"blank fields: {NOTE}"
    assert text in analysis.summary
    assert text in (analysis.output / "report.html").read_text()
