"""Counts and fitted regions as single files, which tasks hand on."""

import tempfile
import zipfile
from pathlib import Path

from gammapy.datasets import Datasets

from dmgammapy.estimators.roi import ROIFit

__all__ = ["read_datasets", "read_region", "write_datasets"]

LONG_AGO = (1980, 1, 1, 0, 0, 0)  # archives of the same content are the same


def write_datasets(datasets, path):
    """Write datasets without models as one archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
        folder = Path(folder)
        datasets.write(folder / "datasets.yaml", checksum=False)
        with zipfile.ZipFile(path, "w", compression=zipfile.ZIP_DEFLATED, compresslevel=1) as out:
            for part in sorted(folder.iterdir()):
                out.writestr(zipfile.ZipInfo(part.name, LONG_AGO), part.read_bytes())


def read_datasets(path):
    """Read what `write_datasets` has written."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
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
