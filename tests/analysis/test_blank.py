"""Control fields from files: their stacks, and what happens where targets have not as many."""

import shutil

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose

from dmgammapy.analysis import ConfigError
from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import CastroEstimator, StackedDMLikelihood
from dmgammapy.makers import SEDExpectation, SimulatedDatasetMaker
from dmgammapy.targets import Targets

TARGETS = Targets.from_names(["draco:ackermann2014_nfw", "segue_1:ackermann2014_nfw"])
MASSES = [50, 500] * u.GeV
BLANK = "blank/{target}_blank_{field}.fits"


@pytest.fixture
def fields(project):
    """Three fields of Draco, four of Segue 1, as SED files."""
    from astropy.table import QTable

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
    (note,) = [n for n in analysis.results["blank"].meta.notes if "blank fields are used" in n]
    assert note.startswith("3 blank fields are used, the fewest of any target")


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


def test_a_target_without_fields_is_said(fields, make):
    for path in fields.glob("draco*"):
        path.unlink()
    analysis = make(blank_fields=BLANK)
    assert not [id for id in analysis.pipeline.tasks if id.startswith("blank/stack")]
    assert any("no blank fields of draco" in note for note in analysis.pipeline.notes)


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
