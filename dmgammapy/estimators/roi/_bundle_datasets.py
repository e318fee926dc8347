"""Datasets in the bundle of a fitted region: what Gammapy's files keep, and what they don't."""

import re
from pathlib import Path

import yaml
from astropy.io import fits
from gammapy.datasets import Datasets
from gammapy.maps import Map

__all__ = ["read_datasets", "write_datasets"]

FOLDER = "datasets"
MASKS = ("mask_fit", "mask_safe")
STAMPS = ("CREATED", "DATE", "DATE-MAP")  # when a file was written


def write_datasets(datasets, folder):
    """Write datasets, without times of writing, and tell what else is needed to restore them.

    Gammapy's files lack the statistic, weights of the likelihood and the models of each dataset.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
    folder : `~pathlib.Path`

    Returns
    -------
    states : list of dict
        One for every dataset.
    """
    (folder / FOLDER).mkdir()
    index, states = [], []
    for i, dataset in enumerate(datasets):
        entry = dataset.to_dict()
        entry["filename"] = _filename(entry["filename"], i, folder / FOLDER)
        dataset.write(folder / FOLDER / entry["filename"], checksum=False)
        index.append(entry)
        state = {"name": dataset.name, "stat_type": dataset.stat_type}
        state["file"] = f"{FOLDER}/{entry['filename']}"
        state["models"] = [model.name for model in dataset.models or []]
        state["masks"] = _write_masks(dataset, i, folder)
        states.append(state)
    for file in (folder / FOLDER).glob("*.fits"):
        _without_stamps(file)
    text = yaml.safe_dump({"datasets": index}, sort_keys=False)
    (folder / FOLDER / "datasets.yaml").write_text(text)
    return states


def read_datasets(folder, states):
    """Read what `write_datasets` has written; the datasets are without models.

    Parameters
    ----------
    folder : `~pathlib.Path`
    states : list of dict or None
        None for bundles of the first version, which had none.

    Returns
    -------
    datasets : `~gammapy.datasets.Datasets`
    """
    path = folder / FOLDER / "datasets.yaml"
    datasets = Datasets.read(path, lazy=False, checksum=False)
    for dataset, state in zip(datasets, states or [], strict=states is not None):
        for name, file in state["masks"].items():
            mask = Map.read(folder / file["file"], **file["options"])
            mask.data = mask.data.astype(file["dtype"])
            setattr(dataset, name, mask)
        if dataset.stat_type != state["stat_type"]:
            dataset.stat_type = state["stat_type"]
    return datasets


def _filename(name, i, folder):
    """A file name in this folder that is not taken."""
    name = re.sub(r"[^\w.+-]", "_", name)
    if not (folder / name).exists():
        return name
    path = Path(name)
    return f"{path.stem}-{i}{path.suffix}"


def _write_masks(dataset, i, folder):
    """Masks that Gammapy does not write as they are: weights, and any of spectra in OGIP files."""
    out = {}
    for name in MASKS:
        mask = getattr(dataset, name, None)
        if mask is None or (mask.data.dtype == bool and not _is_ogip(dataset)):
            continue
        file = f"{FOLDER}/{i:03d}-{name}.fits"
        # the default format keeps images exactly, but of regions it can't read the energies
        options = {"format": "gadf", "hdu": "mask"} if mask.geom.is_region else {}
        mask.write(folder / file, **options)
        out[name] = {"file": file, "dtype": str(mask.data.dtype), "options": options}
    return out


def _is_ogip(dataset):
    return dataset.tag == "SpectrumDatasetOnOff"


def _without_stamps(file):
    """Take the time of writing out of the headers of a file."""
    with fits.open(file, memmap=False, do_not_scale_image_data=True) as hdus:
        if not any(stamp in hdu.header for hdu in hdus for stamp in STAMPS):
            return
        for hdu in hdus:
            for stamp in STAMPS:
                hdu.header.remove(stamp, ignore_missing=True, remove_all=True)
        hdus.writeto(file, overwrite=True)
