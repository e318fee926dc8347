"""Makers: simulated data and blank fields.

What to use when

- `SimulatedDatasetMaker` draws realisations of datasets, SED likelihoods as well as Gammapy's,
  without or with a dark matter signal; its `Simulation` draws many.
- `SEDExpectation` is what the bins of an SED likelihood expect to count.
- `BlankFieldMaker` finds control positions on the sky.
- `random_stream` is the random generator of a task, by its name.
"""

from ._streams import random_stream
from .blank_fields import BlankFieldMaker
from .expectation import SEDExpectation
from .simulated import SimulatedDatasetMaker, Simulation

__all__ = [
    "BlankFieldMaker",
    "SEDExpectation",
    "SimulatedDatasetMaker",
    "Simulation",
    "random_stream",
]
