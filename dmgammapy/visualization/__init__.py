"""Functions that draw the arrays and quantities they are given.

Each takes ``ax=None`` (the current axes) and returns the axes. They know nothing of the objects
whose numbers they draw; the ``plot`` methods of those call them.
"""

from .bands import plot_limit_bands, plot_limit_panels
from .best_fits import plot_best_fits
from .coverage import plot_bias_pull, plot_coverage
from .cube import plot_sky_image
from .likelihood import plot_contributions, plot_likelihood_curves
from .limits import plot_limits, plot_stat_map
from .ratios import plot_limit_ratios
from .roi import (
    plot_correlation,
    plot_counts_map,
    plot_counts_spectrum,
    plot_model_map,
    plot_residual_map,
    plot_significance_histogram,
    plot_ts_map,
)
from .sed import plot_castro, plot_sed_fit
from .significance import plot_global_significance, plot_ts_cumulative
from .sky import plot_jfactors, plot_sky
from .spectra import plot_yields
from .thermal_relic import thermal_relic

__all__ = [
    "plot_best_fits",
    "plot_bias_pull",
    "plot_castro",
    "plot_contributions",
    "plot_correlation",
    "plot_counts_map",
    "plot_counts_spectrum",
    "plot_coverage",
    "plot_global_significance",
    "plot_jfactors",
    "plot_likelihood_curves",
    "plot_limit_bands",
    "plot_limit_panels",
    "plot_limit_ratios",
    "plot_limits",
    "plot_model_map",
    "plot_residual_map",
    "plot_sed_fit",
    "plot_significance_histogram",
    "plot_sky",
    "plot_sky_image",
    "plot_stat_map",
    "plot_ts_cumulative",
    "plot_ts_map",
    "plot_yields",
    "thermal_relic",
]
