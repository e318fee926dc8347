"""From likelihoods in bins of energy to limits on ``<sigma v>`` and lifetime.

- `CastroEstimator` turns data into the likelihood of ``<sigma v>`` for every mass and channel,
  bin-by-bin likelihoods as well as counts,
- `CastroCube` is the bin-by-bin likelihood of a source at every pixel of a map,
- `CastroMaps` holds, slices, plots, reads and writes it,
- `StackedDMLikelihood` combines targets and instruments, with their J-factor uncertainties,
- `limits` has the statistics as pure functions.
"""

from ._correlated_covariance import JFactorCovariance
from .castro import CastroEstimator
from .castro_cube import CastroCube
from .castro_cube_dark_matter import DarkMatterMaps
from .castro_maps import CastroMaps
from .limits import LimitStatus
from .metadata import CastroMetaData
from .stacking import StackedDMLikelihood

__all__ = [
    "CastroCube",
    "CastroEstimator",
    "CastroMaps",
    "CastroMetaData",
    "DarkMatterMaps",
    "JFactorCovariance",
    "LimitStatus",
    "StackedDMLikelihood",
]
