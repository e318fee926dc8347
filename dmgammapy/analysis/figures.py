"""Figures of an analysis: one pure function each, from containers to a matplotlib figure.

They read and write no files, use no `~matplotlib.pyplot`, and know nothing of configurations. What
can't be drawn gives a figure that says why. `KINDS` lists the kinds of figures of an analysis;
`figure_facts` tells what a figure shows, for its caption.

Examples
--------
>>> from dmgammapy.analysis.figures import FUNCTIONS, KINDS
>>> title, caption, needs = KINDS["limits"]
>>> caption.format(about="8 targets", channel="b", cl=95)
'Limits (95 % CL) of 8 targets together, and of each if the method is the same, channel b.'
"""

from typing import NamedTuple

from ._figure_castro import castro_map, likelihood_curves, sed_castro, simulated_castro
from ._figure_controls import best_fits, contributions, control_best_fits, ts
from ._figure_facts import figure_facts
from ._figure_limits import (
    control_limits,
    ensemble_limits,
    final_limits,
    jfactor_treatments,
    limits,
    simulated_limits,
    target_limits,
)
from ._figure_region import region_map, region_significance, region_spectrum
from ._figure_spectra import spectra_by_channel, spectra_by_mass

__all__ = [
    "FUNCTIONS",
    "KINDS",
    "FigureKind",
    "best_fits",
    "castro_map",
    "contributions",
    "control_best_fits",
    "control_limits",
    "ensemble_limits",
    "figure_facts",
    "final_limits",
    "jfactor_treatments",
    "likelihood_curves",
    "limits",
    "region_map",
    "region_significance",
    "region_spectrum",
    "sed_castro",
    "simulated_castro",
    "simulated_limits",
    "spectra_by_channel",
    "spectra_by_mass",
    "target_limits",
    "ts",
]


class FigureKind(NamedTuple):
    """What a kind of figure shows.

    Attributes
    ----------
    title : str
    caption : str
        Template of a sentence with the fields ``about`` (target, or roster and number of
        targets), ``channel`` and ``cl`` (confidence level in per cent).
    needs : tuple of str
        Results it is made of: spectra, region, dataset, castro (one dataset), target, targets,
        stack, stacks (by J treatment), contributions, null (simulations without signal), injected
        (simulations with a signal), realisation (stack of one simulation). In brackets: drawn if
        there.
    """

    title: str
    caption: str
    needs: tuple


KINDS = {
    "spectra": FigureKind(
        "Photon yields", "Photons per annihilation or decay, {channel}.", ("spectra",)
    ),
    "sed": FigureKind(
        "Likelihood of the energy bins",
        "Rise of -2 ln L over flux in every energy bin of {about}, with best fits and upper "
        "limits.",
        ("dataset",),
    ),
    "region_map": FigureKind(
        "Region around a target",
        "Counts, predicted counts and significance of the residuals around {about}.",
        ("region",),
    ),
    "region_spectrum": FigureKind(
        "Counts of a region",
        "Counts by energy around {about}, what the models predict, and residuals.",
        ("region",),
    ),
    "region_significance": FigureKind(
        "Residuals of a region",
        "How often each significance of the residuals around {about} occurs, with a unit Gaussian.",
        ("region",),
    ),
    "castro": FigureKind(
        "Likelihood of a target",
        "Rise of -2 ln L over mass and signal strength of {about}, channel {channel}; the line is "
        "the limit at {cl} % CL.",
        ("target",),
    ),
    "target_limits": FigureKind(
        "Limit of a target",
        "Limits ({cl} % CL) of {about}, channel {channel}, and what is expected without a signal "
        "where that is known.",
        ("target", "(null)", "(published)"),
    ),
    "stack_castro": FigureKind(
        "Likelihood of all targets",
        "Rise of -2 ln L over mass and signal strength of {about} together, channel {channel}; the "
        "line is the limit at {cl} % CL.",
        ("stack",),
    ),
    "limits": FigureKind(
        "Limits",
        "Limits ({cl} % CL) of {about} together, and of each if the method is the same, channel "
        "{channel}.",
        ("stack", "targets", "(null)", "(published)"),
    ),
    "best_fits": FigureKind(
        "Best fits",
        "Best signal strengths of {about}, channel {channel}, on the range expected without a "
        "signal where that is known; open points: no signal fits best.",
        ("stack", "(null)"),
    ),
    "control_limits": FigureKind(
        "Limits of simulations with a signal",
        "Limits ({cl} % CL) of simulations of {about} with the injected signal marked by a star, "
        "channel {channel}.",
        ("injected",),
    ),
    "control_best_fits": FigureKind(
        "Best fits of simulations with a signal",
        "Best signal strengths of simulations of {about} with the injected signal marked by a "
        "star, channel {channel}.",
        ("injected",),
    ),
    "final_limits": FigureKind(
        "Limits and expectation",
        "Limits ({cl} % CL) of {about}, channel {channel}, on what is expected without a signal "
        "where that is known.",
        ("stack", "(null)", "(blank)", "(published)"),
    ),
    "likelihood_curves": FigureKind(
        "Likelihood at one mass",
        "-2 ln L of {about}, channel {channel}, against signal strength, and of the targets that "
        "matter most; the dashed line marks {cl} % CL.",
        ("stack", "targets"),
    ),
    "contributions": FigureKind(
        "Who makes the limit",
        "Share of every target in the limit of {about}, channel {channel}; negative: it weakens "
        "the limit.",
        ("contributions", "(stack)"),
    ),
    "jfactor_treatments": FigureKind(
        "Effect of the J-factor treatment",
        "Limits ({cl} % CL) of {about}, channel {channel}, by treatment of the J-factor, and their "
        "ratio to the first.",
        ("stacks",),
    ),
    "ts": FigureKind(
        "Test statistics",
        "Fraction of simulations and blank fields of {about} with a TS or more, channel {channel}, "
        "compared with half of a chi2 distribution; the vertical line is observed. All masses: the "
        "largest TS of a realisation.",
        ("(null)", "(blank)", "(stack)"),
    ),
    "simulated_castro": FigureKind(
        "Likelihood of a simulation",
        "Rise of -2 ln L of a single simulation of {about}, channel {channel}; the star is the "
        "injected signal.",
        ("realisation",),
    ),
    "simulated_limits": FigureKind(
        "Limits of a simulation",
        "Limits ({cl} % CL) of single simulations of {about}, channel {channel}.",
        ("realisation", "(injected)"),
    ),
}
"""Kinds of figures in the order of a report: title, caption and what they need, by name."""

FUNCTIONS = {
    "spectra": (spectra_by_channel, spectra_by_mass),
    "sed": (sed_castro,),
    "region_map": (region_map,),
    "region_spectrum": (region_spectrum,),
    "region_significance": (region_significance,),
    "castro": (castro_map,),
    "target_limits": (target_limits,),
    "stack_castro": (castro_map,),
    "limits": (limits,),
    "best_fits": (best_fits,),
    "control_limits": (control_limits,),
    "control_best_fits": (control_best_fits,),
    "final_limits": (final_limits,),
    "likelihood_curves": (likelihood_curves,),
    "contributions": (contributions,),
    "jfactor_treatments": (jfactor_treatments,),
    "ts": (ts,),
    "simulated_castro": (simulated_castro,),
    "simulated_limits": (simulated_limits, ensemble_limits),
}
"""Functions that draw each kind, by name."""
