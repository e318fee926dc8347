"""Likelihood datasets: bin-by-bin SED likelihoods and fast likelihoods of counts.

Use `SEDLikelihoodDataset` for likelihoods that are already scanned in energy bins (fermipy SEDs,
the public Fermi-LAT dwarf likelihoods, Gammapy's flux points), and `CountsLikelihood` for the
norms of models on Gammapy's map and spectrum datasets. Importing this room registers the first
with Gammapy, so that ``Datasets.read`` finds it.
"""

from gammapy.datasets import DATASET_REGISTRY

from ._counts_cube import scan_positions
from ._counts_models import find_source
from .counts import CountsFit, CountsLikelihood
from .scans import LikelihoodScans
from .sed import SEDLikelihoodDataset

__all__ = [
    "CountsFit",
    "CountsLikelihood",
    "LikelihoodScans",
    "SEDLikelihoodDataset",
    "find_source",
    "scan_positions",
]

if not any(cls.tag == SEDLikelihoodDataset.tag for cls in DATASET_REGISTRY):
    DATASET_REGISTRY.append(SEDLikelihoodDataset)
