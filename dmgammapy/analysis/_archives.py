"""Counts and fitted regions as single files, which tasks hand on."""

import tempfile
from pathlib import Path

from gammapy.datasets import Datasets

from dmgammapy.estimators.roi import ROIFit
from dmgammapy.estimators.roi._bundle_archive import pack, unpack

__all__ = ["read_datasets", "read_region", "write_datasets"]


def write_datasets(datasets, path):
    """Write datasets without models as one archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
        folder = Path(folder)
        datasets.write(folder / "datasets.yaml", checksum=False)
        pack(folder, path, "zip")


def read_datasets(path):
    """Read what `write_datasets` has written."""
    with tempfile.TemporaryDirectory() as folder:
        unpack(path, folder)
        return Datasets.read(Path(folder) / "datasets.yaml", lazy=False, checksum=False)


def read_region(path):
    """Datasets of a fitted region with their models.

    Parameters
    ----------
    path : `~pathlib.Path`

    Returns
    -------
    datasets : `~gammapy.datasets.Datasets`
    """
    return ROIFit.read(path, check=False).datasets
