"""Makers: simulated data and blank fields.

What to use when

- `SimulatedDatasetMaker` draws realisations of datasets, SED likelihoods as well as Gammapy's,
  without or with a dark matter signal; its `Simulation` draws many
  (`SimulatedDraws` without datasets) and the Asimov data set.
- `SEDExpectation` is what the bins of an SED likelihood expect to count.
- `BlankFieldMaker` finds control positions on the sky; `move_source` takes counts datasets there,
  and `pair_blank_fields` gives SED likelihoods of such positions the J-factors of their targets.
- `random_stream` is the random generator of a task, by its name.
"""

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
    "move_source",
    "pair_blank_fields",
    "random_stream",
]
