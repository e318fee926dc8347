"""Functions that draw the arrays and quantities they are given.

Each takes ``ax=None`` (the current axes) and returns the axes. They know nothing of the objects
whose numbers they draw; the ``plot`` methods of those call them.
"""

from .cube import plot_sky_image
from .likelihood import plot_contributions, plot_likelihood_curves
from .limits import plot_limits, plot_stat_map
from .sed import plot_castro, plot_sed_fit
from .sky import plot_jfactors, plot_sky
from .thermal_relic import thermal_relic

__all__ = [
    "plot_castro",
    "plot_contributions",
    "plot_jfactors",
    "plot_likelihood_curves",
    "plot_limits",
    "plot_sed_fit",
    "plot_sky",
    "plot_sky_image",
    "plot_stat_map",
    "thermal_relic",
]
