"""From likelihoods in bins of energy to limits on ``<sigma v>`` and lifetime.

- `CastroEstimator` turns data into the likelihood of ``<sigma v>`` for every mass and channel,
  bin-by-bin likelihoods as well as counts,
- `CastroCube` is the bin-by-bin likelihood of a source at every pixel of a map,
- `CastroMaps` holds, slices, plots, reads and writes it,
- `StackedDMLikelihood` combines targets and instruments, with their J-factor uncertainties,
- `ExpectedLimitsEstimator` says what limits are expected, from simulations or Asimov data,
- `SignificanceEstimator` says how significant an excess is, here and anywhere,
- `ROIOptimizer` fits all models of a region of interest, and `ROIFit` is what it finds,
- `limits`, `statistics`, `intervals`, `unified_intervals` and `significance` have the statistics as
  pure functions.
"""

from ._correlated_covariance import JFactorCovariance
from .castro import CastroEstimator
from .castro_cube import CastroCube
from .castro_cube_dark_matter import DarkMatterMaps
from .castro_maps import CastroMaps
from .expected import ExpectedLimitsEstimator
from .limit_toys import LimitToys
from .limits import LimitStatus
from .metadata import CastroMetaData
from .roi import ROIFit, ROIOptimizer
from .significance_estimator import SignificanceEstimator
from .stacking import StackedDMLikelihood

__all__ = [
    "CastroCube",
    "CastroEstimator",
    "CastroMaps",
    "CastroMetaData",
    "DarkMatterMaps",
    "ExpectedLimitsEstimator",
    "JFactorCovariance",
    "LimitStatus",
    "LimitToys",
    "ROIFit",
    "ROIOptimizer",
    "SignificanceEstimator",
    "StackedDMLikelihood",
]
