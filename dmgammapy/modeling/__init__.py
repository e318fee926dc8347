"""Dark matter in the language of Gammapy: spectral models and J-factor priors.

What to use when

- `DarkMatterSpectralModel` is the flux of annihilation, with the parameters ``sigmav`` and
  ``log10_jfactor``; `DarkMatterDecaySpectralModel` is that of decay.
- `JFactorPrior` says how well J (or D) is known; it sits on ``log10_jfactor``.
- `spatial_template`, `spatial_template_from_radial` and `spatial_template_from_healpix` make the
  spatial model of an extended signal, and say which J belongs to it.

Importing this room puts them in Gammapy's registries, which is what ``Models.read`` needs to find
them in a YAML file.
"""

from gammapy.modeling.models import PRIOR_REGISTRY, SPECTRAL_MODEL_REGISTRY

from ._registry import register
from .priors import JFactorPrior
from .spatial import (
    SpatialTemplate,
    spatial_template,
    spatial_template_from_healpix,
    spatial_template_from_radial,
)
from .spectral import DarkMatterDecaySpectralModel, DarkMatterSpectralModel

__all__ = [
    "DarkMatterDecaySpectralModel",
    "DarkMatterSpectralModel",
    "JFactorPrior",
    "SpatialTemplate",
    "spatial_template",
    "spatial_template_from_healpix",
    "spatial_template_from_radial",
]

register(PRIOR_REGISTRY, JFactorPrior)
register(SPECTRAL_MODEL_REGISTRY, DarkMatterSpectralModel)
register(SPECTRAL_MODEL_REGISTRY, DarkMatterDecaySpectralModel)
