"""Fits of a region of interest, such as one of the LAT: many models, several datasets.

- `ROIOptimizer` fits the models step by step, then all together,
- `ROIFit` is its result: tables, correlations, maps, spectra, plots, and a bundle of files.

What works on a fitted region but is not built yet (finding and localising sources, extension,
light curves, sensitivity, weights of the likelihood) belongs here: `_region.Region` renders models
once, `_norms.RegionNorms` fits any norms in milliseconds, and both take other models or counts.
"""

from .fit import ROIFit
from .optimizer import ROIOptimizer

__all__ = ["ROIFit", "ROIOptimizer"]
