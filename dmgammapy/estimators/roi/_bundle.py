"""A fitted region as a folder or archive: models, covariance, datasets and results."""

import json
import logging
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import yaml
from astropy.table import Table

from ...utils import FITS_DAMAGE
from ._bundle_archive import ARCHIVES, archive_format, pack, unpack
from ._bundle_datasets import read_datasets, write_datasets
from ._bundle_models import read_models, write_models
from ._covariance import set_covariance
from ._region import Region

__all__ = ["read", "write"]

log = logging.getLogger(__name__)

FORMAT = "dmgammapy-roi-fit"
VERSION = 2
STAT_ATOL, STAT_RTOL = 1e-2, 1e-6
DAMAGE = (*FITS_DAMAGE, AttributeError, yaml.YAMLError, zipfile.BadZipFile)
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


def read(path, check=True):
    """Arguments of `ROIFit` from a bundle, dict; see `ROIFit.read`."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such bundle of a fit.")
    if path.is_dir():
        return _read_folder(path, path, check)
    if archive_format(path) is None:
        raise ValueError(
            f"{path}: expected a folder or an archive that ends in {', '.join(ARCHIVES)}."
        )
    with tempfile.TemporaryDirectory() as temporary:
        unpack(path, temporary)
        return _read_folder(Path(temporary), path, check)


def _write_folder(fit, folder):
    folder.mkdir()
    models = fit.models
    states = write_models(models, folder)
    content = {
        "format": FORMAT,
        "version": VERSION,
        "stat_sum": _stat_sum(fit),
        "sources": _from_table(fit.sources),
        "steps": _from_table(fit.steps),
        "models": states,
        "datasets": write_datasets(fit.datasets, folder),
    }
    content |= {name: getattr(fit, name) for name in SCALARS}
    np.savez(
        folder / "covariance.npz",
        models=np.array(models.covariance.data),
        parameters=fit.parameter_covariance,
    )
    (folder / "roi.json").write_text(json.dumps(content, indent=1))


def _stat_sum(fit):
    """-2 ln L of what is written, None if it can't be computed.

    That of the fit is another if data or models have changed since then.
    """
    try:
        return (fit.region if fit.region.is_current() else Region(fit.datasets)).stat()
    except (TypeError, ValueError) as error:
        log.warning("the bundle will not be checked on reading: %s", error)
        return None


def _read_folder(folder, path, check):
    """Read a folder; ``path`` is what errors are about."""
    content = _read_json(folder / "roi.json", path)
    try:
        _check_files(folder, content)
        out = _read_content(folder, content, keep=folder == path)
    except DAMAGE as error:
        what = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{path}: {what} Copy the bundle as a whole, or write it again."
        ) from error
    if check and content.get("stat_sum") is not None:
        out["region"] = Region(out["datasets"])
        _check_stat(out["region"].stat(), content["stat_sum"], path)
    return out


def _check_files(folder, content):
    names = ["models.yaml", "covariance.npz", "datasets/datasets.yaml"]
    for state in content.get("datasets", []):
        names += [state["file"], *(mask["file"] for mask in state["masks"].values())]
    names += [m["template"]["file"] for m in content["models"].values() if m["template"]]
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise ValueError(f"{missing} is missing.")


def _read_content(folder, content, keep):
    models = read_models(folder, content["models"], keep)
    states = content.get("datasets")
    datasets = read_datasets(folder, states)
    for i, dataset in enumerate(datasets):
        names = [m.name for m in models] if states is None else states[i]["models"]
        # a list, as containers compute their covariance first
        dataset.models = [models[name] for name in names]
    with np.load(folder / "covariance.npz") as arrays:
        set_covariance(datasets, arrays["models"])
        covariance = arrays["parameters"]
    for name, state in content["models"].items():
        # square roots of variances may miss the last digit
        for parameter, own in zip(models[name].parameters, state["parameters"], strict=True):
            parameter.error = own["error"]
    return {name: content[name] for name in SCALARS} | {
        "datasets": datasets,
        "sources": _to_table(content["sources"]),
        "steps": _to_table(content["steps"]),
        "covariance": covariance,
    }


def _check_stat(stat, expected, path):
    if not abs(stat - expected) <= STAT_ATOL + STAT_RTOL * abs(expected):
        raise ValueError(
            f"{path}: -2 ln L of what was read is {stat:.6g}, but was {expected:.6g} when it was "
            "written: files in it were changed or are damaged. Write it again; check=False reads "
            "it as it is."
        )


def _read_json(file, path):
    if not file.exists():
        raise ValueError(f"{path}: it has no roi.json, so it is no bundle of a fit.")
    try:
        content = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: its roi.json is damaged ({error}); write it again.") from error
    found = content if isinstance(content, dict) else {}
    if found.get("format") != FORMAT or found.get("version", 0) > VERSION:
        raise ValueError(
            f"{path}: expected {FORMAT} of version {VERSION} or older, got "
            f"{found.get('format')} of version {found.get('version')}."
        )
    return content


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


def _archived(folder, path):
    """The folder, or an archive of it if the path is one's name."""
    kind = archive_format(path)
    if kind is None:
        return folder
    archive = folder.parent / "archive"
    pack(folder, archive, kind)
    return archive


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
