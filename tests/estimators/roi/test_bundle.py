"""Bundles of a fitted region."""

import gzip
import io
import json
import tarfile
import time
import zipfile

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import Datasets, SpectrumDatasetOnOff
from gammapy.irf import EDispKernelMap
from gammapy.maps import Map, MapAxis, RegionGeom
from gammapy.modeling.models import FoVBackgroundModel, GaussianPrior, SkyModel

from dmgammapy.estimators.roi import ROIFit, ROIOptimizer
from dmgammapy.targets import Target

from .region_helpers import POSITION, make_datasets, make_models, point_source

KEPT = ("value", "error", "min", "max", "frozen", "unit", "name")


@pytest.fixture(scope="module")
def fit():
    models = make_models()
    models[1].spectral_model.index = models[0].spectral_model.index
    datasets = make_datasets(models=models)
    models[0].spectral_model.index.frozen = False
    models[0].spectral_model.index.min = 1.1
    models[2].spectral_model.amplitude.max = 1 / 3 * 1e-10
    models[2].spectral_model.index.error = 0.1
    return ROIOptimizer(steps=["joint", "all"], target="bright").run(datasets)


def assert_same(one, other):
    assert one.models.names == other.models.names
    for a, b in zip(one.models.parameters, other.models.parameters, strict=True):
        for name in KEPT:
            np.testing.assert_equal(getattr(a, name), getattr(b, name), err_msg=a.name)
    for a, b in zip(one.models, other.models, strict=True):
        assert getattr(a, "apply_irf", None) == getattr(b, "apply_irf", None)
    np.testing.assert_array_equal(one.covariance.data, other.covariance.data)
    np.testing.assert_array_equal(one.parameter_covariance, other.parameter_covariance)
    for name in ("parameters", "stat", "stat_start", "target"):
        assert getattr(one, name) == getattr(other, name)
    for name in ("sources", "steps"):
        a, b = getattr(one, name), getattr(other, name)
        assert a.colnames == b.colnames
        for column in a.colnames:
            assert a[column].unit == b[column].unit
            assert a[column].dtype.kind == b[column].dtype.kind
            np.testing.assert_array_equal(a[column], b[column])


@pytest.mark.parametrize("name", ["bundle", "bundle.zip", "bundle.tar", "bundle.tar.gz"])
def test_round_trip_is_exact(fit, tmp_path, name):
    filename = fit.models["galactic"].spatial_model.filename
    fit.write(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert fit.models["galactic"].spatial_model.filename == filename
    back = ROIFit.read(tmp_path / name)
    assert_same(fit, back)
    bright, middle = (back.models[n].parameters["index"] for n in ("bright", "middle"))
    assert bright is middle
    assert back.datasets.names == ["one", "two"]
    assert back.datasets.stat_sum() == pytest.approx(fit.stat, abs=1e-5)
    assert repr(back) == repr(fit)
    back.write(tmp_path / "again.zip")
    assert_same(fit, ROIFit.read(tmp_path / "again.zip"))
    assert len(back.correlation()) == len(fit.correlation())


def test_fit_goes_on_where_it_was(fit, tmp_path):
    fit.write(tmp_path / "bundle")
    again = ROIOptimizer(steps="all", ts=None).run(ROIFit.read(tmp_path / "bundle").datasets)
    assert again.stat_start == pytest.approx(fit.stat, abs=1e-8)
    assert again.stat == pytest.approx(fit.stat, abs=1e-5)


def test_nothing_is_overwritten_unasked(fit, tmp_path):
    for name in ("bundle", "bundle.zip"):
        fit.write(tmp_path / name)
        with pytest.raises(FileExistsError, match="overwrite"):
            fit.write(tmp_path / name)
        fit.write(tmp_path / name, overwrite=True)
        assert_same(fit, ROIFit.read(tmp_path / name))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_text("cat")
    with pytest.raises(FileExistsError, match="no bundle"):
        fit.write(tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos" / "cat.png").exists()


def test_nothing_is_left_of_a_failure(fit, tmp_path, monkeypatch):
    fit.write(tmp_path / "bundle")

    def fails(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", fails)
    for name in ("bundle", "new"):
        with pytest.raises(OSError, match="disk full"):
            fit.write(tmp_path / name, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]
    assert_same(fit, ROIFit.read(tmp_path / "bundle"))


def test_bad_bundles(fit, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such"):
        ROIFit.read(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        fit.write(tmp_path / "none" / "bundle")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no roi\.json"):
        ROIFit.read(tmp_path / "empty")
    (tmp_path / "file.txt").write_text("text")
    with pytest.raises(ValueError, match="expected a folder"):
        ROIFit.read(tmp_path / "file.txt")
    (tmp_path / "broken.zip").write_text("text")
    with pytest.raises(ValueError, match="can't be unpacked"):
        ROIFit.read(tmp_path / "broken.zip")
    fit.write(tmp_path / "bundle")
    (tmp_path / "bundle" / "covariance.npz").unlink()
    with pytest.raises(ValueError, match=r"covariance\.npz.* is missing"):
        ROIFit.read(tmp_path / "bundle")
    content = json.loads((tmp_path / "bundle" / "roi.json").read_text())
    content["version"] = 99
    (tmp_path / "bundle" / "roi.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="version 99"):
        ROIFit.read(tmp_path / "bundle")


def round_trip(datasets, path):
    fit = ROIOptimizer(steps="all", ts=None).run(datasets)
    fit.write(path, overwrite=True)
    back = ROIFit.read(path)
    assert_same(fit, back)
    for one, other in zip(fit.datasets, back.datasets, strict=True):
        assert one.models.names == other.models.names
        assert one.stat_type == other.stat_type
    assert back.datasets.stat_sum() == pytest.approx(datasets.stat_sum(), abs=1e-6)
    return fit, back


def test_models_return_to_their_datasets(tmp_path):
    """A model without `datasets_names` that is on one dataset only."""
    models = make_models()
    datasets = make_datasets(models=models)
    datasets[0].models = [*models[:2], *models[3:]]
    fit, back = round_trip(datasets, tmp_path / "bundle.zip")
    assert back.datasets["one"].models.names == ["bright", "middle", "galactic", "isotropic"]
    assert "faint" in back.datasets["two"].models.names
    shared = [d.models["bright"] for d in back.datasets]
    assert shared[0] is shared[1]
    again = ROIOptimizer(steps="all", ts=None).run(back.datasets)
    assert again.stat == pytest.approx(fit.stat, abs=1e-5)


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_weights_return(tmp_path, name):
    datasets = make_datasets()
    dataset = datasets[0]
    dataset.stat_type = "cash_weighted"
    random = np.random.default_rng(1)
    weights = random.uniform(0, 1, dataset.counts.data.shape).astype("float32")
    dataset.mask_fit = Map.from_geom(dataset.counts.geom, data=weights)
    dataset.mask_safe = Map.from_geom(dataset.counts.geom, data=weights > 0.1)
    _, back = round_trip(datasets, tmp_path / name)
    mask = back.datasets[0].mask_fit.data
    assert mask.dtype == np.dtype("float32")
    np.testing.assert_array_equal(mask, weights)
    assert back.datasets[0].mask_safe.data.dtype == bool
    assert back.datasets[1].stat_type == "cash"


def test_backgrounds_priors_and_dark_matter_return(tmp_path):
    target = Target("dwarf", position=POSITION, log10_jfactor=19.0, log10_jfactor_err=0.3)
    source = target.to_models(mass="100 GeV", channel={"b": 0.7, "tau": 0.3})[0]
    source.spectral_model.sigmav.value = 3e-25
    datasets = Datasets([make_datasets()[0]])
    datasets[0].background = Map.from_geom(datasets[0].counts.geom)
    datasets[0].background.data += 0.3
    background = FoVBackgroundModel(dataset_name="one")
    amplitude = datasets.models["middle"].parameters["amplitude"]
    amplitude.prior = GaussianPrior(mu=1e-12, sigma=1e-13)
    models = [m for m in datasets.models if m.name != "isotropic"]
    datasets.models = [*models, background, source]
    _, back = round_trip(datasets, tmp_path / "bundle.zip")
    assert back.models.names[-2:] == [background.name, source.name]
    assert back.models["middle"].parameters["amplitude"].prior.sigma.value == 1e-13


def test_names_that_are_no_file_names(tmp_path):
    datasets = make_datasets(names=("a b", "a_b"))
    round_trip(datasets, tmp_path / "bundle.zip")
    round_trip(make_datasets(names=("../x", "x/y")), tmp_path / "bundle")
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["bundle"]


def test_spectrum_with_off_counts_returns(tmp_path):
    energy = MapAxis.from_energy_bounds("1 TeV", "100 TeV", nbin=4)
    true = MapAxis.from_energy_bounds("1 TeV", "100 TeV", nbin=4, name="energy_true")
    dataset = SpectrumDatasetOnOff.create(
        RegionGeom.create("icrs;circle(120, 30, 0.1)", axes=[energy]), energy_axis_true=true,
        name="on-off",
    )  # fmt: skip
    dataset.counts.data[:, 0, 0] = [30, 12, 5, 2]
    dataset.counts_off.data[:, 0, 0] = [60, 20, 9, 3]
    dataset.acceptance.data[:], dataset.acceptance_off.data[:] = 1, 4
    dataset.exposure.quantity = np.full((4, 1, 1), 1e13) * u.Unit("cm2 s")
    dataset.edisp = EDispKernelMap.from_diagonal_response(energy, true)
    dataset.mask_safe.data[:] = True
    dataset.mask_fit = Map.from_geom(dataset.counts.geom, dtype=bool)
    dataset.mask_fit.data[:3] = True
    source = point_source("bright")
    dataset.models = [SkyModel(source.spectral_model, name="source")]
    _, back = round_trip(Datasets([dataset]), tmp_path / "bundle.zip")
    np.testing.assert_array_equal(back.datasets[0].mask_fit.data, dataset.mask_fit.data)


def test_what_was_changed_is_noticed(fit, tmp_path):
    fit.write(tmp_path / "bundle")
    path = tmp_path / "bundle" / "roi.json"
    content = json.loads(path.read_text())
    content["datasets"][0]["models"].remove("middle")
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="-2 ln L of what was read"):
        ROIFit.read(tmp_path / "bundle")
    back = ROIFit.read(tmp_path / "bundle", check=False)
    assert "middle" not in back.datasets["one"].models.names


def test_counts_changed_after_the_fit_are_kept(tmp_path):
    """What is compared on reading is what was written, not what was fitted."""
    datasets = make_datasets()
    fit = ROIOptimizer(steps="all", ts=None).run(datasets)
    datasets[0].counts.data += 1
    datasets.models["bright"].parameters["amplitude"].value *= 1.1
    fit.write(tmp_path / "bundle.zip")
    back = ROIFit.read(tmp_path / "bundle.zip")
    assert back.stat == fit.stat
    assert back.datasets.stat_sum() == pytest.approx(datasets.stat_sum(), abs=1e-5)


def test_bundles_of_the_first_version_are_read(fit, tmp_path):
    fit.write(tmp_path / "bundle")
    path = tmp_path / "bundle" / "roi.json"
    content = json.loads(path.read_text())
    del content["datasets"], content["stat_sum"]
    content["version"] = 1
    path.write_text(json.dumps(content))
    assert_same(fit, ROIFit.read(tmp_path / "bundle"))


@pytest.mark.parametrize("name", ["bundle.zip", "bundle.tar", "bundle.tar.gz"])
def test_same_fit_gives_the_same_bytes(fit, tmp_path, name):
    fit.write(tmp_path / name)
    first = (tmp_path / name).read_bytes()
    time.sleep(1.1)  # stamps of FITS files are in seconds
    (tmp_path / "later").mkdir()
    fit.write(tmp_path / "later" / name)
    assert (tmp_path / "later" / name).read_bytes() == first


def rewritten(source, target, change):
    """Copy of a zip archive whose members went through a function; None leaves them out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return target


def test_damaged_archives_raise_value_errors(fit, tmp_path):
    fit.write(tmp_path / "good.zip")
    fit.write(tmp_path / "good.tar.gz")
    for name in ("good.zip", "good.tar.gz"):
        raw = (tmp_path / name).read_bytes()
        bad = tmp_path / name.replace("good", "bad")
        for part in (0.3, 0.99):
            bad.write_bytes(raw[: int(len(raw) * part)])
            with pytest.raises(ValueError, match="bad.*can't be unpacked"):
                ROIFit.read(bad)
        third = len(raw) // 3
        bad.write_bytes(raw[:third] + bytes(50) + raw[third + 50 :])
        with pytest.raises(ValueError, match=r"bad\.(zip|tar\.gz): "):
            ROIFit.read(bad)


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        ("roi.json", b"{", "roi.json is damaged"),
        ("roi.json", b"[]", "expected dmgammapy-roi-fit"),
        ("models.yaml", b"{", "models|components|parsing|flow"),
        ("models.yaml", b"components: []", "bundle"),
        ("datasets/one.fits", None, "one.fits.* is missing"),
        ("datasets/one.fits", b"SIMPLE  = ", "bundle"),
        ("covariance.npz", b"PK", "bundle"),
        ("templates/003.fits", None, "templates.* is missing"),
    ],
)
def test_damaged_members_raise_value_errors(fit, tmp_path, member, content, message):
    fit.write(tmp_path / "good.zip")
    bad = rewritten(
        tmp_path / "good.zip", tmp_path / "bad.zip",
        lambda name, old: content if name == member else old,
    )  # fmt: skip
    with pytest.raises(ValueError, match=f"bad.zip: .*({message})"):
        ROIFit.read(bad)


def test_archives_that_point_outside_are_refused(fit, tmp_path):
    fit.write(tmp_path / "good.zip")
    for name in ("../evil.txt", str(tmp_path / "evil.txt"), "C:\\evil.txt"):
        rewritten(tmp_path / "good.zip", tmp_path / "bad.zip", lambda name, old: old)
        with zipfile.ZipFile(tmp_path / "bad.zip", "a") as out:
            out.writestr(name, "evil")
        with pytest.raises(ValueError, match="outside"):
            ROIFit.read(tmp_path / "bad.zip")
    with tarfile.open(tmp_path / "bad.tar", "w") as out:
        member = tarfile.TarInfo("../evil.txt")
        member.size = 4
        out.addfile(member, io.BytesIO(b"evil"))
    with pytest.raises(ValueError, match="can't be unpacked"):
        ROIFit.read(tmp_path / "bad.tar")
    (tmp_path / "bad.tar.gz").write_bytes(gzip.compress((tmp_path / "bad.tar").read_bytes()))
    with pytest.raises(ValueError, match="can't be unpacked"):
        ROIFit.read(tmp_path / "bad.tar.gz")
    assert not list(tmp_path.parent.glob("evil*"))


def test_models_are_made_once_and_follow_the_datasets():
    datasets = make_datasets()
    fit = ROIOptimizer(steps="all", ts=None).run(datasets)
    assert fit.models is fit.models
    before = fit.models
    again = ROIOptimizer(steps="all", ts=None).run(datasets)
    np.testing.assert_array_equal(fit.covariance.data, again.covariance.data)
    datasets.models = list(before)[:3]
    assert fit.models.names == ["bright", "middle", "faint"]
