"""Datasets of blank fields against Gammapy's predictions and a castro made by hand."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.maps import WcsGeom, WcsNDMap
from gammapy.modeling.models import TemplateSpatialModel

from dmgammapy.estimators import CastroEstimator
from dmgammapy.makers import BlankFieldMaker, move_source, pair_blank_fields
from dmgammapy.targets import Target, Targets
from tests.datasets.counts_helpers import POSITION, TARGET, map_dataset, on_off_dataset
from tests.datasets.sed_helpers import poisson_dataset

MASSES = [0.5, 2] * u.TeV


def blank_fields(dataset, n=2):
    return BlankFieldMaker(
        n, seed=4, region=dataset.counts.geom, offset_min=0.3 * u.deg, separation=0.2 * u.deg,
        offset_max=0.8 * u.deg,
    ).run(TARGET)  # fmt: skip


def test_castros_are_those_of_a_source_there():
    dataset = map_dataset()
    before = dataset.models.to_dict(), dataset.counts.data.copy()
    fields = blank_fields(dataset)
    moved = move_source(dataset, fields)
    assert [d.name for d in moved] == [f"map_{field.name}" for field in fields]
    estimator = CastroEstimator(MASSES, ["b"])
    castros = estimator.run(moved)
    assert dataset.models.to_dict() == before[0]
    assert np.array_equal(dataset.counts.data, before[1])
    for field, castro in zip(fields, castros, strict=True):
        # by hand: a target there, its own model, the neighbour and the background
        by_hand = map_dataset()
        kept = [model for model in by_hand.models if model.name != "dwarf"]
        by_hand.models = [*kept, *field.to_models("1 TeV", "b")]
        expected = estimator.run(by_hand)
        np.testing.assert_allclose(castro.sigmav_ul.data, expected.sigmav_ul.data, rtol=1e-9)
    one, two = (castro.sigmav_ul.data.ravel() for castro in castros)
    assert (np.abs(one / two - 1) > 0.1).all()


def test_j_and_prior_come_along():
    dataset = map_dataset(width=1.6)
    moved = move_source(dataset, blank_fields(dataset, 1)[0])[0]
    name = moved.name.removeprefix("map_")
    spectrum = moved.models[name].spectral_model
    assert spectrum.jfactor_prior == TARGET.jfactor_prior()
    assert spectrum.log10_jfactor.value == 20.0
    assert set(moved.models.names) == {"neighbour", "map-bkg", name}
    # the background model is still the dataset's
    assert moved.background_model is not None
    assert moved.npred_background().data.sum() == pytest.approx(
        dataset.npred_background().data.sum()
    )


def test_a_joint_likelihood_stays_joint():
    datasets = [map_dataset("one"), map_dataset("two", seed=8)]
    model = datasets[0].models["dwarf"]
    datasets[1].models = [m if m.name != "dwarf" else model for m in datasets[1].models]
    fields = blank_fields(datasets[0])
    moved = move_source(datasets, fields)
    assert moved[0].models[fields[0].name] is moved[1].models[fields[0].name]
    castros = CastroEstimator(MASSES, ["b"]).run(moved)
    assert len(castros) == 2


@pytest.mark.parametrize("projection", ["TAN", "ZEA"])
def test_template_turns_rigidly(projection):
    geom = WcsGeom.create(skydir=POSITION, width=1, binsz=0.02, proj=projection, frame="icrs")
    offset = geom.get_coord().skycoord.separation(POSITION).deg
    template = WcsNDMap(geom, data=np.exp(-0.5 * (offset / 0.1) ** 2), unit="sr-1")
    dataset = map_dataset(width=1.6)
    dataset.models["dwarf"].spatial_model = TemplateSpatialModel(template)
    there = SkyCoord(83.9, 22.2, unit="deg")
    moved = move_source(dataset, Target("field", there))[0].models["field"].spatial_model
    assert moved.map.geom.center_skydir.separation(there).deg < 1e-9
    distance = moved.map.geom.get_coord().skycoord.separation(there).deg
    np.testing.assert_allclose(distance, offset, atol=1e-9)
    before = dataset.models["dwarf"].spatial_model.map
    assert np.array_equal(moved.map.data, before.data)
    assert before.geom.center_skydir.separation(POSITION).deg < 1e-9
    assert template.geom.center_skydir.separation(POSITION).deg < 1e-9


def test_sed_files_of_blank_fields_are_paired_by_name():
    targets = Targets([TARGET, Target("other", log10_jfactor=18.0, log10_jfactor_err=(0.1, 0.3))])
    datasets = [poisson_dataset(n) for n in ("dwarf_blank_0001", "other_blank_0001")]
    paired = pair_blank_fields(datasets, targets)
    assert datasets[0].models is None
    castros = CastroEstimator([100, 300] * u.GeV, ["b"]).run(paired)
    # the same scans, J a factor 100 apart
    ratio = castros[1].sigmav_ul.data / castros[0].sigmav_ul.data
    np.testing.assert_allclose(ratio, 100, rtol=1e-9)
    prior = paired[1].models[0].spectral_model.jfactor_prior
    assert (prior.err_low, prior.err_high) == (0.1, 0.3)
    with pytest.raises(ValueError, match="should be named <target>_blank_<number>"):
        pair_blank_fields([poisson_dataset("dwarf")], targets)
    with pytest.raises(ValueError, match="should be named <target>_blank_<number>"):
        pair_blank_fields([poisson_dataset("draco_blank_0001")], targets)
    alone = pair_blank_fields(datasets[0], TARGET)
    assert alone[0].models[0].spectral_model.log10_jfactor.value == 20.0
    with pytest.raises(ValueError, match="two datasets are named 'dwarf_blank_0001'"):
        pair_blank_fields([datasets[0], datasets[0]], targets)


def test_bad_input():
    dataset = map_dataset(width=0.8)
    with pytest.raises(TypeError, match="only map datasets know other positions"):
        move_source(on_off_dataset(), Target("field", POSITION))
    with pytest.raises(ValueError, match="field far is outside of dataset 'map'"):
        move_source(dataset, Target("far", SkyCoord(0, 0, unit="deg")))
    with pytest.raises(ValueError, match="field field has no position"):
        move_source(dataset, Target("field"))
    with pytest.raises(ValueError, match="is not one of the source 'dwarf'"):
        move_source(dataset, Target("draco_blank_0000", POSITION))
    with pytest.raises(ValueError, match="there are no datasets"):
        move_source([], Target("field", POSITION))
    with pytest.raises(TypeError, match="fields must be Targets, got SkyCoord"):
        move_source(dataset, POSITION)
    with pytest.raises(TypeError, match="fields must be Targets, got list"):
        move_source(dataset, [POSITION])
    car = WcsNDMap(WcsGeom.create(skydir=POSITION, width=1, binsz=0.1, frame="icrs"), unit="sr-1")
    car.data[:] = 1
    dataset.models["dwarf"].spatial_model = TemplateSpatialModel(car)
    with pytest.raises(ValueError, match="only templates in a zenithal projection"):
        move_source(dataset, Target("field", POSITION))
