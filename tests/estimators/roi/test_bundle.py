"""Bundles of a fitted region."""

import json

import numpy as np
import pytest

from dmgammapy.estimators.roi import ROIFit, ROIOptimizer

from .region_helpers import make_datasets, make_models

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
        assert a.apply_irf == b.apply_irf
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
