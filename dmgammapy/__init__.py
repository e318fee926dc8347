"""Dark matter searches in gamma rays, built on Gammapy.

The import is light: each room (`dmgammapy.spectra`, `dmgammapy.targets`, `dmgammapy.modeling`,
`dmgammapy.datasets`, `dmgammapy.estimators`, ...) imports what it needs.
"""

try:
    from ._version import version as __version__
except ImportError:  # a source tree that was never installed
    __version__ = "0.0.0+unknown"

__all__ = ["__version__"]
