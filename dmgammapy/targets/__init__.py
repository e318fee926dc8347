"""Targets and what is known about them.

What to use when

- `Targets.read_roster` gives a named list of targets of the literature, see `Targets.rosters`.
- `Targets.read` reads tables and rosters of your own.
- `Target` is one of them; `Target.to_models` makes its sky model for Gammapy.
"""

from ._names import UnknownNameError
from .collection import Targets
from .core import Target

__all__ = ["Target", "Targets", "UnknownNameError"]
