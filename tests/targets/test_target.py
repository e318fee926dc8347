"""`Target`: validation, copies, texts and the model it makes."""

import copy
import pickle

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.modeling.models import DiskSpatialModel, Models

from dmgammapy.modeling import DarkMatterDecaySpectralModel, DarkMatterSpectralModel
from dmgammapy.targets import Halo, NFWProfile, Target

DRACO = {
    "name": "draco",
    "position": SkyCoord(260.05167, 57.91528, unit="deg"),
    "log10_jfactor": 18.83,
    "log10_jfactor_err": (0.12, 0.16),
    "log10_dfactor": 18.5,
    "log10_dfactor_err": 0.1,
    "distance": 76 * u.kpc,
    "distance_err": 6 * u.kpc,
    "extension": 0.257 * u.deg,
    "extension_err_dex": 0.25,
    "reference": "a paper",
    "version": "mine_nfw",
    "profile": {"type": "NFW", "rs": 0.35 * u.kpc, "rhos": "2.3e+08 solMass / kpc3"},
    "title": "Draco",
    "kind": "dwarf",
}


def test_values_are_kept_in_fixed_units():
    target = Target(**DRACO | {"distance": 76000 * u.pc, "extension": 15.42 * u.arcmin})
    assert target.distance.unit == "kpc"
    assert target.distance.value == pytest.approx(76, rel=1e-15)
    assert target.extension.to_value("deg") == pytest.approx(0.257, rel=1e-15)
    assert target.jfactor.to_value("GeV2 cm-5") == pytest.approx(6.7608e18, rel=1e-4)
    assert target.dfactor.unit == "GeV cm-2"
    assert target.profile == {"type": "NFW", "rs": "0.35 kpc", "rhos": "2.3e+08 solMass / kpc3"}


def test_positions_of_any_frame_are_kept_in_icrs():
    # the north Galactic pole (Reid & Brunthaler 2004)
    target = Target("pole", SkyCoord(0, 90, unit="deg", frame="galactic"))
    assert target.position.ra.deg == pytest.approx(192.859481, abs=1e-4)
    assert target.position.dec.deg == pytest.approx(27.128251, abs=1e-4)


def test_equal_widths_are_one():
    assert Target("a", log10_jfactor=18, log10_jfactor_err=[0.2, 0.2]).log10_jfactor_err == 0.2
    assert Target("a", log10_jfactor=18, log10_jfactor_err=np.float32(0)).log10_jfactor_err == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "name of a target must be a text"),
        ({"name": None}, "name of a target must be a text"),
        ({"name": 3}, "name of a target must be a text"),
        ({"name": " draco"}, "begin or end with a blank"),
        ({"name": "draco:v1"}, "no colon"),
        ({"version": "a:b"}, "no colon"),
        ({"version": ""}, "version must be a text"),
        ({"reference": 2015}, "reference must be a text"),
        ({"log10_jfactor": np.nan}, "must be finite"),
        ({"log10_jfactor": np.inf}, "must be finite"),
        ({"log10_jfactor": "18.8"}, "must be a number"),
        ({"log10_jfactor": True}, "must be a number"),
        ({"log10_jfactor": 6.8e18}, "log10 of the value in GeV2 cm-5"),
        ({"log10_jfactor": 6.8e18 * u.Unit("GeV2 cm-5")}, "plain number"),
        ({"log10_jfactor": [18.8, 18.9]}, "must be a number"),
        ({"log10_dfactor": np.nan}, "must be finite"),
        ({"log10_jfactor_err": -0.1}, "not be negative"),
        ({"log10_jfactor_err": np.nan}, "be finite"),
        ({"log10_jfactor_err": 1e18}, "width in dex"),
        ({"log10_jfactor_err": (0.1, -0.2)}, "not be negative"),
        ({"log10_jfactor_err": (0.1, 0)}, "both widths are zero or none"),
        ({"log10_jfactor_err": (0.1, 0.2, 0.3)}, "pair"),
        ({"distance": 76}, "distance must be a quantity in kpc"),
        ({"distance": 76 * u.deg}, "distance must be a quantity in kpc"),
        ({"distance": 0 * u.kpc}, "must be positive"),
        ({"distance": np.nan * u.kpc}, "one finite value"),
        ({"extension": -0.64 * u.deg}, "not be negative"),
        ({"position": (260.0, 57.9)}, "single SkyCoord"),
        ({"position": SkyCoord([1, 2], [3, 4], unit="deg")}, "single SkyCoord"),
        ({"position": SkyCoord(np.nan, 0, unit="deg")}, "finite"),
        ({"profile": "NFW"}, "profile must be a dict"),
    ],
)
def test_invalid_values(changes, message):
    with pytest.raises(ValueError, match=message) as error:
        Target(**DRACO | changes)
    if "name" not in changes:
        assert "target draco" in str(error.value)


def test_unknown_values_are_no_error():
    target = Target("draco")
    assert not target.has_jfactor()
    assert target.missing() == ("position", "log10_jfactor", "log10_jfactor_err")
    assert target.missing("decay") == ("position", "log10_dfactor", "log10_dfactor_err")
    assert target.jfactor is None
    assert "Missing" in str(target)
    assert Target(**DRACO).missing() == ()


def test_process_is_checked():
    with pytest.raises(ValueError, match="annihilation, decay"):
        Target("draco").has_jfactor("scattering")


def test_copies_are_equal_and_independent():
    target = Target(**DRACO)
    for other in (
        target.copy(),
        copy.deepcopy(target),
        pickle.loads(pickle.dumps(target)),
        Target.from_dict(target.to_dict()),
    ):
        assert other == target
        assert hash(other) == hash(target)
    target.copy().profile["type"] = "Burkert"
    assert target.profile["type"] == "NFW"
    assert target.copy(log10_jfactor_err=0.3) != target
    assert target != "draco"
    with pytest.raises(AttributeError):
        target.name = "carina"


@pytest.mark.parametrize("field", [key for key in DRACO if key != "name"])
def test_equality_sees_every_field(field):
    assert Target(**DRACO) != Target(**DRACO | {field: None})


def test_copy_names_unknown_fields():
    with pytest.raises(ValueError, match="no field 'jfactor'"):
        Target("draco").copy(jfactor=1e19)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "needs a name"),
        ({"log10_jfactor": 18.0}, "needs a name"),
        ({"name": "draco", "jfactor": 18.0}, "unknown key 'jfactor'"),
        ({"name": "draco", "ra": 260.0}, "ra and dec belong together"),
        ({"name": "draco", "ra": 260.0, "dec": 91.0}, "dec within"),
        ({"name": "draco", "ra": "far", "dec": 9.0}, "ra must be a number"),
        ({"name": "draco", "distance": "far"}, "distance must be a number"),
    ],
)
def test_from_dict_checks(data, message):
    with pytest.raises(ValueError, match=message):
        Target.from_dict(data)


def test_texts():
    target = Target(**DRACO)
    assert repr(target).startswith("Target(name='draco', ra=260.05167")
    text = str(target)
    assert "18.83 - 0.12 + 0.16 [GeV2 cm-5]" in text
    assert "76 +- 6 kpc" in text
    assert "Missing" not in text


def test_prior_of_the_target():
    # -2 ln L of a split normal, one width above and below
    target = Target(**DRACO)
    prior = target.jfactor_prior()
    np.testing.assert_allclose(prior.stat(np.array([-0.12, 0, 0.32])), [1, 0, 4], rtol=1e-12)
    assert prior.log10_jfactor == 18.83
    assert target.jfactor_prior("decay").log10_jfactor == 18.5


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("log10_jfactor", "target draco: no log10_jfactor in version mine_nfw"),
        ("log10_jfactor_err", "target draco: no log10_jfactor_err in version mine_nfw"),
    ],
)
def test_prior_needs_value_and_width(field, message):
    with pytest.raises(ValueError, match=message):
        Target(**DRACO | {field: None}).jfactor_prior()


def test_annihilation_model():
    target = Target(**DRACO)
    models = target.to_models("100 GeV", "tautau", spectra="dmfit", sigmav="2e-26 cm3 s-1", k=4)
    assert isinstance(models, Models)
    assert models.names == ["draco"]
    spectral = models["draco"].spectral_model
    assert isinstance(spectral, DarkMatterSpectralModel)
    assert spectral.mass == 100 * u.GeV
    assert spectral.channel == "tau"
    assert spectral.k == 4
    assert spectral.sigmav.quantity == 2e-26 * u.Unit("cm3 s-1")
    assert spectral.log10_jfactor.value == 18.83
    assert spectral.log10_jfactor.frozen
    assert spectral.log10_jfactor.prior.err_low == 0.12
    # DMFit tautau of 100 GeV at 1 GeV for 3e-26 and J = 1e19: 2.72232e-16 MeV-1 cm-2 s-1
    expected = 2.72232e-16 * 10 ** (18.83 - 19) * (2 / 3) / 2
    flux = spectral(1 * u.GeV).to_value("MeV-1 cm-2 s-1")
    assert flux == pytest.approx(expected, rel=1e-4)


def test_position_of_the_model_is_fixed():
    spatial = Target(**DRACO).to_models("100 GeV", "b")[0].spatial_model
    assert spatial.position.separation(DRACO["position"]) < 1e-6 * u.arcsec
    assert spatial.parameters.free_parameters.names == []
    assert Target(**DRACO).to_models("100 GeV", "b", spatial=None)[0].spatial_model is None
    assert Target("a", log10_jfactor=18).to_models("1 TeV", "b")[0].spatial_model is None


def test_decay_model():
    target = Target(**DRACO)
    models = target.to_models(1 * u.TeV, "b", process="decay", gamma=1e-27 / u.s)
    spectral = models[0].spectral_model
    assert isinstance(spectral, DarkMatterDecaySpectralModel)
    assert spectral.log10_dfactor.value == 18.5
    assert spectral.log10_dfactor.prior.err_low == 0.1
    assert spectral.gamma.value == 1e-27


def test_model_without_width_has_no_prior():
    models = Target(**DRACO | {"log10_jfactor_err": None}).to_models("100 GeV", "b")
    assert models[0].spectral_model.log10_jfactor.prior is None


def test_free_jfactor():
    models = Target(**DRACO).to_models("100 GeV", "b", frozen_jfactor=False)
    assert models.parameters.free_parameters.names == ["sigmav", "log10_jfactor"]


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({"log10_jfactor": None}, {}, "target draco: no log10_jfactor"),
        ({"log10_dfactor": None}, {"process": "decay"}, "target draco: no log10_dfactor"),
        ({}, {"process": "capture"}, "process must be one of"),
        ({}, {"spatial": "disk"}, "spatial must be 'point', None"),
        ({}, {"gamma": 1e-26 / u.s}, "gamma has no use in annihilation"),
        ({}, {"process": "decay", "sigmav": 1}, "sigmav has no use in decay"),
        ({}, {"process": "decay", "k": 4}, "k has no use in decay"),
        ({}, {"sigmav": 1 * u.m}, "sigmav"),
    ],
)
def test_model_errors(changes, arguments, message):
    with pytest.raises(ValueError, match=message):
        Target(**DRACO | changes).to_models("100 GeV", "b", **arguments)


def test_template_brings_its_own_jfactor():
    """J is that of the map, the width stays the target's, and nothing is counted twice."""
    profile = NFWProfile("3 GeV cm-3", "0.5 kpc")
    halo = Halo(profile, "80 kpc", position=SkyCoord(10, 20, unit="deg"))
    template = halo.to_spatial_model(width=1 * u.deg, binsz=0.05 * u.deg)
    target = Target("dwarf", log10_jfactor=19.0, log10_jfactor_err=0.2)
    model = target.to_models("100 GeV", "b", spatial=template)["dwarf"]
    expected = np.log10(template.jfactor.to_value("GeV2 cm-5"))
    assert expected < 18.3564  # the whole halo: 4 pi rho_s^2 r_s^3 / (3 d^2)
    assert model.spectral_model.log10_jfactor.value == pytest.approx(expected)
    assert model.spectral_model.jfactor_prior.log10_jfactor == pytest.approx(expected)
    assert model.spectral_model.jfactor_prior.err_low == 0.2
    assert model.spatial_model is template.model
    with pytest.raises(ValueError, match="decay needs a template in GeV cm-2"):
        target.to_models("100 GeV", "b", process="decay", spatial=template)


def test_other_spatial_models_are_taken_as_they_are():
    disk = DiskSpatialModel(r_0="0.3 deg")
    model = Target("dwarf", log10_jfactor=19.0).to_models("100 GeV", "b", spatial=disk)["dwarf"]
    assert model.spatial_model is disk
    with pytest.raises(ValueError, match="spatial must be 'point', None, a SpatialTemplate"):
        Target("dwarf", log10_jfactor=19.0).to_models("100 GeV", "b", spatial="disk")


def test_freed_jfactor_has_the_width_as_first_step():
    target = Target("dwarf", log10_jfactor=19.0, log10_jfactor_err=0.2)
    model = target.to_models("100 GeV", "b", frozen_jfactor=False)["dwarf"]
    assert model.spectral_model.log10_jfactor.error == 0.2
