"""A fitted region as a folder or archive: models, covariance, datasets and results."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from astropy.table import Table
from gammapy.datasets import Datasets
from gammapy.modeling import Covariance

from ._bundle_models import read_models, write_models

__all__ = ["read", "write"]

FORMAT = "dmgammapy-roi-fit"
VERSION = 1
ARCHIVES = {".zip": "zip", ".tar": "tar", ".tar.gz": "gztar", ".tgz": "gztar"}
SCALARS = ("parameters", "stat_start", "stat", "target")


def write(fit, path, overwrite=False):
    """Write a fit, see `ROIFit.write`."""
    path = Path(path)
    if path.exists():
        if not overwrite:
            raise FileExistsError(f"{path} exists already: pass overwrite=True to replace it.")
        if path.is_dir() and not (path / "roi.json").exists():
            raise FileExistsError(f"{path} is a folder but no bundle: choose another name.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {path.parent} does not exist; create it.")
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as temporary:
        temporary = Path(temporary)
        folder = temporary / "bundle"
        _write_folder(fit, folder)
        made = _archived(folder, path)
        _replace(made, path, temporary / "old")


def read(path):
    """Arguments of `ROIFit` from a bundle, dict."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such bundle of a fit.")
    if path.is_dir():
        return _read_folder(path, path)
    if _archive_format(path) is None:
        raise ValueError(
            f"{path}: expected a folder or an archive that ends in {', '.join(ARCHIVES)}."
        )
    with tempfile.TemporaryDirectory() as temporary:
        try:
            # members that point outside are refused, as by the filter of tarfile
            options = {} if path.suffix == ".zip" else {"filter": "data"}
            shutil.unpack_archive(path, temporary, _archive_format(path), **options)
        except (shutil.ReadError, EOFError, OSError) as error:
            raise ValueError(f"{path}: it can't be unpacked ({error}); write it again.") from error
        return _read_folder(Path(temporary), path)


def _write_folder(fit, folder):
    folder.mkdir()
    models = fit.models
    states = write_models(models, folder)
    (folder / "datasets").mkdir()
    fit.datasets.write(folder / "datasets" / "datasets.yaml", checksum=False)
    np.savez(
        folder / "covariance.npz",
        models=np.array(models.covariance.data),
        parameters=fit.parameter_covariance,
    )
    content = {
        "format": FORMAT,
        "version": VERSION,
        "sources": _from_table(fit.sources),
        "steps": _from_table(fit.steps),
        "models": states,
    }
    content |= {name: getattr(fit, name) for name in SCALARS}
    (folder / "roi.json").write_text(json.dumps(content, indent=1))


def _read_folder(folder, path):
    """Read a folder; ``path`` is what errors are about."""
    content = _read_json(folder / "roi.json", path)
    missing = [
        name
        for name in ("models.yaml", "covariance.npz", "datasets/datasets.yaml")
        if not (folder / name).exists()
    ]
    if missing:
        raise ValueError(f"{path}: {missing} is missing; copy the bundle as a whole.")
    models = read_models(folder, content["models"], keep=folder == path)
    datasets = Datasets.read(folder / "datasets" / "datasets.yaml", lazy=False, checksum=False)
    datasets.models = models
    with np.load(folder / "covariance.npz") as arrays:
        _set_covariance(datasets, arrays["models"], content["models"])
        covariance = arrays["parameters"]
    return {name: content[name] for name in SCALARS} | {
        "datasets": datasets,
        "sources": _to_table(content["sources"]),
        "steps": _to_table(content["steps"]),
        "covariance": covariance,
    }


def _read_json(file, path):
    if not file.exists():
        raise ValueError(f"{path}: it has no roi.json, so it is no bundle of a fit.")
    content = json.loads(file.read_text())
    if content.get("format") != FORMAT or content.get("version", 0) > VERSION:
        raise ValueError(
            f"{path}: expected {FORMAT} of version {VERSION} or older, got "
            f"{content.get('format')} of version {content.get('version')}."
        )
    return content


def _set_covariance(datasets, matrix, states):
    models = datasets.models
    if matrix.shape != models.covariance.data.shape:
        raise ValueError(
            f"the covariance is of {len(matrix)} parameters, but the models have "
            f"{len(models.covariance.data)}; the bundle was changed."
        )
    models.covariance = matrix
    datasets._covariance = Covariance(models.parameters, matrix)
    for model in models:
        # square roots of variances may miss the last digit
        for parameter, state in zip(model.parameters, states[model.name]["parameters"],
                                    strict=True):  # fmt: skip
            parameter.error = state["error"]


def _from_table(table):
    return {
        name: {
            "values": np.asarray(table[name]).tolist(),
            "dtype": table[name].dtype.kind,
            "unit": str(table[name].unit or ""),
        }
        for name in table.colnames
    }


def _to_table(columns):
    table = Table()
    for name, column in columns.items():
        kind = {"U": str, "f": float, "i": int, "b": bool}[column["dtype"]]
        table[name] = np.array(column["values"], dtype=kind)
        table[name].unit = column["unit"] or None
    return table


def _archive_format(path):
    return next((kind for end, kind in ARCHIVES.items() if path.name.endswith(end)), None)


def _archived(folder, path):
    """The folder, or an archive of it if the path is one's name."""
    kind = _archive_format(path)
    if kind is None:
        return folder
    return Path(shutil.make_archive(str(folder.parent / "archive"), kind, folder))


def _replace(made, path, old):
    """Put a file or folder in the place of another."""
    if not path.is_dir():
        os.replace(made, path)
        return
    os.rename(path, old)
    try:
        os.replace(made, path)
    except OSError:
        os.rename(old, path)
        raise
