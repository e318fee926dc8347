"""Plots of `Targets`."""

import numpy as np
from astropy.coordinates import SkyCoord

from .core import factor_name

__all__ = ["TargetPlots"]


class TargetPlots:
    """Plot methods of `Targets`."""

    def plot_sky(self, ax=None, **kwargs):
        """Draw the targets on the sky, in Galactic coordinates.

        Parameters
        ----------
        ax : `~matplotlib.axes.Axes`, optional
            With an all-sky projection. Default is a new one.
        **kwargs : dict
            As for `~dmgammapy.visualization.plot_sky`.

        Returns
        -------
        ax : `~matplotlib.axes.Axes`

        Raises
        ------
        ValueError
            If no target has a position.
        """
        from dmgammapy.visualization import plot_sky

        placed = [target for target in self if target.position is not None]
        if not placed:
            raise ValueError("no target has a position; there is nothing to draw.")
        galactic = SkyCoord([target.position for target in placed]).galactic
        unplaced = [target.label for target in self if target.position is None]
        values = [_or_nan(target.log10_jfactor) for target in placed]
        labels = [target.label for target in placed]
        return plot_sky(
            galactic.l, galactic.b, labels, values, ax=ax, without_position=unplaced, **kwargs
        )

    def plot_jfactors(self, ax=None, process="annihilation", **kwargs):
        """Draw J-factors and their widths, the largest on top.

        Parameters
        ----------
        ax : `~matplotlib.axes.Axes`, optional
            Default is the current one.
        process : {"annihilation", "decay"}
            J-factors or D-factors. Default is "annihilation".
        **kwargs : dict
            As for `~dmgammapy.visualization.plot_jfactors`.

        Returns
        -------
        ax : `~matplotlib.axes.Axes`

        Raises
        ------
        ValueError
            If no factor is known.
        """
        from dmgammapy.visualization import plot_jfactors

        factor = factor_name(process)
        values = np.array([_or_nan(getattr(t, factor)) for t in self])
        widths = [_or_nan(getattr(t, f"{factor}_err")) for t in self]
        widths = np.array([np.broadcast_to(width, 2) for width in widths])
        names = self.names
        unique = len(set(names)) == len(names)
        labels = [t.label if unique else f"{t.label} ({t.version})" for t in self]
        kind = "J" if process == "annihilation" else "D"
        return plot_jfactors(
            labels, values, widths.reshape(-1, 2), ax=ax, **{"kind": kind} | kwargs
        )


def _or_nan(value):
    return np.nan if value is None else value
