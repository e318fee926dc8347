"""Targets and what is known about them.

What to use when

- `Targets.read_roster` gives a named list of targets of the literature, see `Targets.rosters`.
- `Targets.read` reads tables and rosters of your own.
- `Target` is one of them; `Target.to_models` makes its sky model for Gammapy.
- `Halo` is a density profile at a distance: its J- and D-factor within any angle, maps and spatial
  models. `HaloEnsemble` is one whose parameters are uncertain: J with its distribution.
"""

from ._names import UnknownNameError
from .collection import Targets
from .core import Target
from .halo import Halo
from .halo_ensemble import HaloEnsemble
from .halo_profiles import (
    BurkertProfile,
    EinastoProfile,
    FunctionProfile,
    GNFWProfile,
    HaloProfile,
    IsothermalProfile,
    NFWProfile,
    TabulatedProfile,
)

__all__ = [
    "BurkertProfile",
    "EinastoProfile",
    "FunctionProfile",
    "GNFWProfile",
    "Halo",
    "HaloEnsemble",
    "HaloProfile",
    "IsothermalProfile",
    "NFWProfile",
    "TabulatedProfile",
    "Target",
    "Targets",
    "UnknownNameError",
]
