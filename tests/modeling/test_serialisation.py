"""Models through YAML, read in a process that imports nothing but the room."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gammapy.modeling.models import (
    SPECTRAL_MODEL_REGISTRY,
    Models,
    PointSpatialModel,
    SkyModel,
    SpectralModel,
)
from numpy.testing import assert_array_equal

from dmgammapy.modeling import DarkMatterDecaySpectralModel, DarkMatterSpectralModel, JFactorPrior
from tests.modeling.test_spectral import user_table

REPOSITORY = Path(__file__).resolve().parents[2]

READ = """
import json, sys
import dmgammapy.modeling
import astropy.units as u
from gammapy.modeling.models import Models

models = Models.read(sys.argv[1])
out = []
for model in models:
    spectrum = model.spectral_model
    out.append({
        "data": spectrum.to_dict()["spectral"],
        "flux": spectrum.integral([1, 10] * u.GeV, [10, 50] * u.GeV).value.tolist(),
        "priors": [p.prior and p.prior.to_spec() for p in spectrum.parameters],
        "errors": [p.error for p in spectrum.parameters],
    })
shared = models[0].spectral_model.sigmav is models[1].spectral_model.sigmav
json.dump({"models": out, "names": models.names, "shared": shared}, sys.stdout)
"""


def make_models(path):
    """All there is to lose: mixtures, paths, priors, limits, errors, frozen flags and a link."""
    grid = np.linspace(17, 20, 41)
    table = JFactorPrior.from_table(grid, stat=np.abs((grid - 18.55) / 0.3) ** 3)
    first = DarkMatterSpectralModel(
        "0.123456789 TeV",
        {"b": 0.7, "tau": 0.3},
        "1.23456789012345e-26 cm3 s-1",
        k=4,
        redshift=0.012,
        spectra="dmfit",
        jfactor_prior=JFactorPrior(18.83, (0.21, 1 / 3)),
    )
    first.log10_jfactor.frozen = False
    first.log10_jfactor.min, first.log10_jfactor.max = 17, 21
    first.sigmav.error = 1e-27
    first.sigmav.max = 1e-20
    first.sigmav.interp = "log"
    second = DarkMatterSpectralModel("100 GeV", "W", spectra="pppc4", jfactor_prior=table)
    second.sigmav = first.sigmav
    third = DarkMatterDecaySpectralModel(
        "300 GeV", "b", "1e-27 s-1", 17.5, spectra=path, dfactor_prior=None
    )
    third.gamma.frozen = True
    third.gamma.min = np.nan
    fourth = DarkMatterSpectralModel("100 GeV", "box", spectra={"name": "box", "mass_ratio": 0.9})
    spectra = {"draco": first, "sculptor": second, "segue_1": third, "fornax": fourth}
    return Models(
        [SkyModel(s, PointSpatialModel(frame="galactic"), name=n) for n, s in spectra.items()]
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    user_table().write(folder / "flat.ecsv")
    models = make_models(folder / "flat.ecsv")
    models.write(folder / "models.yaml")
    return models, folder / "models.yaml"


def test_fresh_process(written):
    models, path = written
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert got["names"] == ["draco", "sculptor", "segue_1", "fornax"]
    assert got["shared"]
    import astropy.units as u

    for model, read in zip(models, got["models"], strict=True):
        spectrum = model.spectral_model
        data = json.loads(json.dumps(spectrum.to_dict()["spectral"]))
        assert json.dumps(read["data"]) == json.dumps(data)
        flux = spectrum.integral([1, 10] * u.GeV, [10, 50] * u.GeV)
        assert read["flux"] == flux.value.tolist()
        priors = [p.prior and p.prior.to_spec() for p in spectrum.parameters]
        assert read["priors"] == priors
        assert read["errors"] == pytest.approx([p.error for p in spectrum.parameters], rel=1e-5)


def test_all_is_kept(written):
    models, path = written
    read = Models.read(path)
    first, second, third, fourth = (m.spectral_model for m in read)
    assert first.mass == models[0].spectral_model.mass
    assert str(first.mass.unit) == "TeV"
    assert first.channel == {"b": 0.7, "tau": 0.3}
    assert (first.k, first.redshift, first.spectra.name) == (4, 0.012, "dmfit")
    assert first.sigmav.value == 1.23456789012345e-26
    assert (first.sigmav.min, first.sigmav.max, first.sigmav.interp) == (0, 1e-20, "log")
    assert first.sigmav is second.sigmav
    assert first.sigmav.error == pytest.approx(1e-27)
    assert not first.log10_jfactor.frozen
    assert (first.log10_jfactor.min, first.log10_jfactor.max) == (17, 21)
    assert first.jfactor_prior == JFactorPrior(18.83, (0.21, 1 / 3))
    assert second.jfactor_prior == models[1].spectral_model.jfactor_prior
    assert second.log10_jfactor.frozen
    assert third.gamma.frozen
    assert np.isnan(third.gamma.min)
    assert third.spectra.source == models[2].spectral_model.spectra.source
    assert fourth.spectra.mass_ratio == 0.9


@pytest.mark.parametrize("full_output", [False, True])
def test_dictionaries_are_not_changed(written, full_output):
    for model in written[0]:
        spectrum = model.spectral_model
        data = spectrum.to_dict(full_output)
        before = copy.deepcopy(data)
        again = type(spectrum).from_dict(data)
        assert repr(data) == repr(before)
        assert repr(again.to_dict(full_output)) == repr(data)
        assert type(spectrum).from_dict(data["spectral"]).mass == spectrum.mass


def test_copies_of_models_keep_links(written):
    copied = written[0].copy()
    assert copied[0].spectral_model.sigmav is copied[1].spectral_model.sigmav
    assert copied[0].spectral_model.sigmav is not written[0][0].spectral_model.sigmav


def test_gammapy_decay_model_is_another(written):
    """Gammapy's class has the same name: neither must be read as the other."""
    from gammapy.astro import darkmatter

    data = written[0][2].spectral_model.to_dict()["spectral"]
    assert SPECTRAL_MODEL_REGISTRY.get_cls(data["type"]) is DarkMatterDecaySpectralModel
    theirs = SPECTRAL_MODEL_REGISTRY.get_cls("DarkMatterDecaySpectralModel")
    assert theirs is darkmatter.DarkMatterDecaySpectralModel
    assert issubclass(DarkMatterSpectralModel, SpectralModel)


def test_short_dictionary():
    """Written by hand: all but mass and channel has a default."""
    model = DarkMatterSpectralModel.from_dict(
        {
            "type": "DarkMatterSpectralModel",
            "mass": "10 GeV",
            "channel": "0.5 b + 0.5 tau",
            "parameters": [{"name": "sigmav", "value": 1e-25}],
        }
    )
    assert_array_equal(model.parameters.value, [1e-25, 19])
    assert model.channel == {"b": 0.5, "tau": 0.5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "PowerLawSpectralModel"}, "Expected a spectral model of type"),
        ({"final_state": "b"}, r"unknown \['final_state'\] and missing \[\]"),
        ({"parameters": [{"name": "scale", "value": 1}]}, r"unknown \['scale'\]"),
        ({"mass": "10 kg2"}, "mass must be a quantity"),
    ],
)
def test_damaged_dictionary(change, message):
    data = DarkMatterSpectralModel("10 GeV", "b").to_dict()["spectral"]
    with pytest.raises(ValueError, match=message):
        DarkMatterSpectralModel.from_dict({"spectral": data | change})
    del data["mass"]
    with pytest.raises(ValueError, match=r"missing \['mass'\]"):
        DarkMatterSpectralModel.from_dict({"spectral": data})


def test_value_of_zero_keeps_a_scale():
    model = DarkMatterSpectralModel("10 GeV", "b", "0 cm3 s-1")
    read = DarkMatterSpectralModel.from_dict(model.to_dict())
    for sigmav in (model.sigmav, read.sigmav):
        sigmav.autoscale()
        assert (sigmav.value, sigmav.scale) == (0, 1e-26)
