"""Fermi-LAT photons to Gammapy datasets, without the Fermi Science Tools.

What to use when

- `LATDatasetMaker` does all of it: from event and spacecraft files to one
  `~gammapy.datasets.MapDataset` per event type.
- `LATEventSelector` and `LATGoodTimeSelector` cut events and times; `LATEventList` and
  `LATSpacecraft` are what event files (FT1) and spacecraft files (FT2) hold.
- `LATLivetimeMaker` makes a `LivetimeCube`: how long each direction of the sky was seen, and at
  which angle.
- `LATExposureMaker`, `LATPSFMaker` and `LATEDispMaker` average a `LATResponse` over it.
- `read_lat_products` makes a dataset of what the Science Tools have computed, and
  `translate_fermipy_config` tells what a configuration of fermipy means here.
- `LATOrbitSimulator` and `LATEventSimulator` make spacecraft and event files.
"""

from .dataset_maker import LATDatasetMaker
from .edisp import LATEDispMaker
from .event_selector import LATEventSelector
from .events import LATEventList
from .exposure import LATExposureMaker
from .fermipy_config import FermipyTranslation, translate_fermipy_config
from .good_time import LATGoodTimeSelector
from .livetime import LATLivetimeMaker
from .livetime_cube import LivetimeCube
from .orbits import LATOrbitSimulator, repeat_spacecraft
from .products import read_counts_cube, read_drm, read_exposure_cube, read_lat_products, read_psf
from .psf import LATPSFMaker
from .response import LATResponse
from .simulate import LATEventSimulator
from .spacecraft import LATSpacecraft

__all__ = [
    "FermipyTranslation",
    "LATDatasetMaker",
    "LATEDispMaker",
    "LATEventList",
    "LATEventSelector",
    "LATEventSimulator",
    "LATExposureMaker",
    "LATGoodTimeSelector",
    "LATLivetimeMaker",
    "LATOrbitSimulator",
    "LATPSFMaker",
    "LATResponse",
    "LATSpacecraft",
    "LivetimeCube",
    "read_counts_cube",
    "read_drm",
    "read_exposure_cube",
    "read_lat_products",
    "read_psf",
    "repeat_spacecraft",
    "translate_fermipy_config",
]
