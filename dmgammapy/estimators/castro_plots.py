"""Plot methods of `~dmgammapy.estimators.CastroMaps`."""

__all__ = ["CastroPlots"]


class CastroPlots:
    """Mixin with the plots."""
