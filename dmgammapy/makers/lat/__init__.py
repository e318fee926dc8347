"""Fermi-LAT photons to Gammapy datasets, without the Fermi Science Tools.

What to use when

- `LATDatasetMaker` does all of it: from event and spacecraft files to one
  `~gammapy.datasets.MapDataset` per event type.
- `LATEventSelector` and `LATGoodTimeSelector` cut events and times; `LATEventList` and
  `LATSpacecraft` are what event files (FT1) and spacecraft files (FT2) hold.
- `LATLivetimeMaker` makes a `LivetimeCube`: how long each direction of the sky was seen, and at
  which angle.
- `LATExposureMaker`, `LATPSFMaker` and `LATEDispMaker` average a `LATResponse` over it.
"""

from .dataset_maker import LATDatasetMaker
from .edisp import LATEDispMaker
from .event_selector import LATEventSelector
from .events import LATEventList
from .exposure import LATExposureMaker
from .good_time import LATGoodTimeSelector
from .livetime import LATLivetimeMaker
from .livetime_cube import LivetimeCube
from .psf import LATPSFMaker
from .response import LATResponse
from .spacecraft import LATSpacecraft

__all__ = [
    "LATDatasetMaker",
    "LATEDispMaker",
    "LATEventList",
    "LATEventSelector",
    "LATExposureMaker",
    "LATGoodTimeSelector",
    "LATLivetimeMaker",
    "LATPSFMaker",
    "LATResponse",
    "LATSpacecraft",
    "LivetimeCube",
]
