"""Makers: simulated data and blank fields.

What to use when

- `SimulatedDatasetMaker` draws realisations of datasets, SED likelihoods as well as Gammapy's,
  without or with a dark matter signal; its `Simulation` draws many
  (`SimulatedDraws` without datasets) and the Asimov data set.
- `SEDExpectation` is what the bins of an SED likelihood expect to count.
- `BlankFieldMaker` finds control positions on the sky; `move_source` takes counts datasets there,
  and `pair_blank_fields` gives SED likelihoods of such positions the J-factors of their targets.
- `ROIModelMaker` gives a region its models: catalog sources, diffuse emission, own sources;
  `find_model`, `select_sources`, `free_sources` and `freeze_sources` choose among them, and
  `read_roi_table` and `write_roi_table` keep what is known of them.
- `dmgammapy.makers.lat` reduces photons of Fermi-LAT.
- `random_stream` is the random generator of a task, by its name.
"""

from ._roi_select import find_model, free_sources, freeze_sources, select_sources
from ._roi_table import read_roi_table, write_roi_table
from ._simulators import SimulatedDraws
from ._streams import random_stream
from .blank_datasets import move_source, pair_blank_fields
from .blank_fields import BlankFieldMaker
from .expectation import SEDExpectation
from .roi_models import ROIModelMaker
from .simulated import SimulatedDatasetMaker, Simulation

__all__ = [
    "BlankFieldMaker",
    "ROIModelMaker",
    "SEDExpectation",
    "SimulatedDatasetMaker",
    "SimulatedDraws",
    "Simulation",
    "find_model",
    "free_sources",
    "freeze_sources",
    "move_source",
    "pair_blank_fields",
    "random_stream",
    "read_roi_table",
    "select_sources",
    "write_roi_table",
]
