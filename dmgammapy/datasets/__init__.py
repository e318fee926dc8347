"""Likelihood datasets: bin-by-bin SED likelihoods as Gammapy datasets, and their file formats.

Use `SEDLikelihoodDataset` for likelihoods that are already scanned in energy bins (fermipy SEDs,
the public Fermi-LAT dwarf likelihoods, Gammapy's flux points). Importing this room registers it
with Gammapy, so that ``Datasets.read`` finds it.
"""

from gammapy.datasets import DATASET_REGISTRY

from .scans import LikelihoodScans
from .sed import SEDLikelihoodDataset

__all__ = ["LikelihoodScans", "SEDLikelihoodDataset"]

if not any(cls.tag == SEDLikelihoodDataset.tag for cls in DATASET_REGISTRY):
    DATASET_REGISTRY.append(SEDLikelihoodDataset)
