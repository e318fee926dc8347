"""What a report says about its figures and columns."""

from dmgammapy.estimators.castro_ensemble import are_few
from dmgammapy.estimators.limits import delta_stat_upper
from dmgammapy.visualization._style import percent

from ._limit_methods import PROFILE, method_name
from ._report_tables import Column

__all__ = ["PLOT_KINDS", "caption", "column_of", "kind_title", "section_of"]

# kind: (section, title, caption); the order is that of the figures in a report
PLOT_KINDS = {
    "spectra": (
        "Likelihoods",
        "Photon spectra",
        "Photons per {event} and energy, from {spectra}: what the signal of each mass and channel "
        "looks like before the {factor}-factor and the instruments. A channel can be told from the "
        "background, and from other channels, only as far as these shapes differ.",
    ),
    "sed": (
        "Likelihoods",
        "Energy bins",
        "Likelihood of {target} in each energy bin: the colour tells by how much −2 ln L of a flux "
        "lies above that of the best one. No spectrum is assumed; points are best fits, bars with "
        "an arrow upper limits{at_cl}, where the scan reaches so far.",
    ),
    "region_map": (
        "Regions",
        "Maps",
        "Counts in pixels around {target}, what the fitted models predict, and the significance "
        "of what is left over, smoothed with the PSF, with lines at −3 and 3 σ. The star is the "
        "target, crosses are the most significant sources. {residuals}",
    ),
    "region_spectrum": (
        "Regions",
        "Counts by energy",
        "Counts of the region around {target}, with the square root as error, and what sources and "
        "diffuse emission predict; below the residuals in units of their expected error. Residuals "
        "that follow no trend and stay within ±2 or so say that the models describe the energies.",
    ),
    "region_significance": (
        "Regions",
        "Significance of the residuals",
        "How often each significance occurs among the pixels of the residual map around {target}. "
        "Models that describe the counts leave a unit Gaussian (dashed); a tail on the right comes "
        "from sources that the models lack, one on the left from models that are too bright. "
        "{residuals}Pixels closer than the PSF are correlated.",
    ),
    "castro": (
        "Likelihoods",
        "Targets by mass",
        "Likelihood of {target} alone{in_channel}: for each mass, the colour tells by how much "
        "−2 ln L of a {strength} lies above that of the best one. The line is the {limit} at "
        "{cl} confidence that follows; diamonds are best fits with TS > 1. {other_method}",
    ),
    "target_limits": (
        "Targets",
        "Limits of each target",
        "Limits that {target} alone would give{in_channel}, at {cl} confidence. Targets with "
        "large, well-known {factor}-factors and deep exposure {reach}; limits far from those of "
        "like targets come from an excess or a deficit in the data. {bands}{published}"
        "{other_method}",
    ),
    "stack_castro": (
        "Likelihoods",
        "Stack by mass",
        "Likelihood of all targets together{in_channel}: for each mass, the colour tells by how "
        "much −2 ln L of a {strength} lies above that of the best one. The line is the combined "
        "{limit} at {cl} confidence; diamonds are best fits with TS > 1. {other_method}",
    ),
    "limits": (
        "Limits",
        "Combined limits",
        "Combined limits on the {strength} at {cl} confidence{by_method}{in_channel}: {excluded}. "
        "{targets}{bands}{published}{relic}",
    ),
    "best_fits": (
        "Significance",
        "Best fits",
        "{Strength} that fits best at each mass{in_channel}. {bands}Where no signal fits best the "
        "point is open and lies at zero; masses next to each other share data, so that "
        "neighbouring points rise and fall together.",
    ),
    "control_limits": (
        "Controls",
        "Limits of controls",
        "Limits of simulated data{of_simulation}{in_channel}{by_method}, analysed like the real "
        "ones. {bands}{star_limit}",
    ),
    "control_best_fits": (
        "Controls",
        "Best fits of controls",
        "{Strength} that fits best in simulated data{of_simulation}{in_channel}. {bands}{star_fit}",
    ),
    "final_limits": (
        "Limits",
        "Limits and expectation",
        "Combined limits on the {strength} at {cl} confidence{by_method}{in_channel}, on what is "
        "expected without a signal where that was computed: {excluded}. {bands}{blank}{published}"
        "{relic}",
    ),
    "likelihood_curves": (
        "Limits",
        "Likelihood curves",
        "−2 ln L above its minimum against the {strength} at one mass{in_channel}, of the stack "
        "and of its parts. The {limit} at {cl} confidence is where the curve of the stack crosses "
        "the dashed line at {rise:.2f}; a curve that has its minimum away from zero prefers a "
        "signal. {other_method}",
    ),
    "contributions": (
        "Contributions",
        "Share of each target",
        "Share of each target in the combined limit{in_channel}: its part of the rise of −2 ln L "
        "from the combined best fit to the combined limit. A negative share is that of a target "
        "whose data prefer more signal than the limit allows, so that it weakens the limit. "
        "{other_method}",
    ),
    "jfactor_treatments": (
        "Limits",
        "Effect of the {factor}-factors",
        "Combined limits{by_method}{in_channel} with the {factor}-factors treated in different "
        "ways: {treatments}. {gap}{other_method}",
    ),
    "ts": (
        "Significance",
        "Test statistic",
        "TS{in_channel}: by how much the best signal improves −2 ln L over none. At a mass chosen "
        "beforehand its root is the significance in σ; the largest of many masses, channels and "
        "targets is expected to be larger, see the table of global significance.",
    ),
    "simulated_castro": (
        "Controls",
        "Single simulations",
        "Likelihood of one simulated data set{of_simulation}{in_channel}, drawn like that of the "
        "real data: what one realisation looks like, fluctuations included.",
    ),
    "simulated_limits": (
        "Controls",
        "Limits of single simulations",
        "Limits of single simulated data sets{of_simulation}{in_channel}{by_method}, analysed "
        "like the real ones. {targets}{bands}",
    ),
}

# drawn from likelihoods, whatever the main limits are
OF_PROFILE = (
    "castro", "target_limits", "stack_castro", "likelihood_curves", "contributions",
    "jfactor_treatments",
)  # fmt: skip
CONTROLS = ("control_limits", "control_best_fits")
OF_BEST_FITS = ("best_fits", "control_best_fits")
TREATMENTS = {
    "profile": "profile (free within their errors)",
    "marginal": "marginal (averaged over their errors)",
    "fixed": "fixed (taken as exact)",
}
STAR_LIMIT = (
    "The star marks the signal that was injected. At its mass a limit below it excludes the truth, "
    "which should happen in {miss} of the realisations or less if all that is uncertain, the "
    "{factor}-factors too, is drawn anew in each of them."
)
STAR_FIT = (
    "At the mass of the injected signal (star) the median should meet it; at other masses the fit "
    "makes the best of a spectrum of the wrong shape."
)
STAR_ELSEWHERE = (
    "The star marks the signal that was injected, in channel {injected}: in this channel the fit "
    "has a spectrum of another shape, so that neither limits nor best fits need to meet it."
)
RELIC = (
    "Below the line of the thermal relic, dark matter of this mass that annihilates only in this "
    "way would have been seen if it has the abundance that the early universe leaves."
)


def section_of(kind):
    """Title of the section that shows plots of a kind."""
    return PLOT_KINDS[kind][0] if kind in PLOT_KINDS else "Further figures"


def kind_title(kind, factor="J"):
    """Heading of plots of a kind."""
    if kind not in PLOT_KINDS:
        return kind.replace("_", " ").capitalize()
    return PLOT_KINDS[kind][1].format(factor=factor)


def caption(plot, inputs):
    """Caption of a figure.

    Parameters
    ----------
    plot : `~dmgammapy.analysis._report_content.PlotFile`
    inputs : `~dmgammapy.analysis._report_content.ReportInputs`

    Returns
    -------
    text : str
    """
    if plot.kind not in PLOT_KINDS:
        return plot.caption or f"{kind_title(plot.kind)} ({plot.path})."
    values = _of_analysis(plot, inputs) | _of_figure(plot, inputs)
    values |= {name: f"{text} " for name, text in _sentences(plot, inputs, values).items()}
    text = " ".join(PLOT_KINDS[plot.kind][2].format_map(_Blanks(values)).split())
    return f"{text} {plot.caption}".strip() if plot.caption else text


class _Blanks(dict):
    """What isn't there is not said."""

    def __missing__(self, key):
        return ""


def _of_analysis(plot, inputs):
    decay = inputs.process == "decay"
    strength = "lifetime" if decay else "cross-section ⟨σv⟩"
    return {
        "event": "decay" if decay else "annihilation",
        "spectra": inputs.spectra,
        "factor": inputs.factor,
        "strength": strength,
        "Strength": ("decay rate" if decay else strength).capitalize(),
        "limit": "lower limit" if decay else "upper limit",
        "cl": f"{100 * inputs.cl:g} %",
        "miss": f"{100 - 100 * inputs.cl:.3g} %",
        "rise": delta_stat_upper(inputs.cl),
        "reach": "reach highest" if decay else "reach lowest",
        "excluded": "shorter lifetimes are excluded"
        if decay
        else "larger cross-sections are excluded",
        "relic": "" if decay else RELIC,
    }


def _of_figure(plot, inputs):
    facts = plot.facts
    default = PROFILE if plot.kind in OF_PROFILE else inputs.main_method
    method = facts.get("method", default)
    treatments = facts.get("treatments", inputs.jfactors)
    return {
        "target": plot.target or "one target",
        "in_channel": f" for channel {plot.channel}" if plot.channel else "",
        "of_simulation": f" ({plot.simulation})" if plot.simulation else "",
        "at_cl": f" at {100 * facts['cl']:g} % confidence" if "cl" in facts else "",
        "method": method,
        "by_method": "" if method == PROFILE else f" by {method_name(method)}",
        "treatments": ", ".join(TREATMENTS.get(name, name) for name in treatments),
        "injected": facts.get("injected", ""),
    }


def _sentences(plot, inputs, values):
    """Sentences on what is drawn along, by name; only on what is."""
    facts, found = plot.facts, {}
    if values["method"] != inputs.main_method:
        found["other_method"] = (
            f"These limits are by the {method_name(values['method'])}, the main ones of this "
            f"report by {method_name(inputs.main_method)}."
        )
    if facts.get("residuals"):
        found["residuals"] = _residuals(facts["residuals"])
    if facts.get("n_targets"):
        found["targets"] = "Grey lines are the limits of single targets."
    if facts.get("bands"):
        found["bands"] = _bands(plot.kind, facts["bands"])
    if facts.get("blank"):
        found["blank"] = _blank(facts["blank"])
    if facts.get("published"):
        found["published"] = _published(facts["published"], inputs.cl)
    if facts.get("injected"):
        here = plot.channel in (None, facts["injected"])
        found["star_limit"] = (STAR_LIMIT if here else STAR_ELSEWHERE).format_map(values)
        found["star_fit"] = (STAR_FIT if here else STAR_ELSEWHERE).format_map(values)
    if len({"fixed"} & set(facts.get("treatments", inputs.jfactors))):
        found["gap"] = (
            f"The gap between {inputs.factor} fixed and {inputs.factor} with its error is what the "
            f"limited knowledge of {inputs.factor} costs."
        )
    return found


def _residuals(residuals):
    """Numbers of a map of residuals."""
    mean, width, low, high = (
        f"{residuals[name]:.2f}".replace("-", "−")
        for name in ("mean", "width", "lowest", "highest")
    )
    return f"Here the mean is {mean}, the width {width}, the extremes are {low} and {high} σ."


def _percents(contents):
    """Fractions as words: "68 and 95 %"."""
    *first, last = [percent(content) for content in contents]
    return f"{', '.join(first)} and {last} %" if first else f"{last} %"


def _bands(kind, bands):
    """What the bands of a figure hold, from what was drawn."""
    what = "best fits" if kind in OF_BEST_FITS else "limits"
    n = bands.get("n")
    if kind in CONTROLS:
        of = f"{what} of the {n or ''} simulations"
    elif bands["source"] == "asimov":
        of = f"{what} expected without signal"
    else:
        of = f"{what} of {n or ''} simulations without signal"
    of = of.replace("  ", " ")
    contents = bands["contents"]
    parts = []
    if contents:
        hold = "The band holds" if len(contents) == 1 else "The bands hold"
        parts.append(f"{hold} {_percents(contents)} of the {of}")
    if bands["median"]:
        parts.append("the dashed line is their median" if parts else f"The dashed line is the "
                     f"median of the {of}")  # fmt: skip
    text = ", ".join(parts)
    if bands["source"] == "asimov":
        text += " (asymptotic, from Asimov data: no simulations, and rough where counts are few)"
    if kind == "limits" and contents:
        text += "; where the observed limit leaves them, look at the significance"
    text += "."
    if are_few(n, contents):
        text += (
            f" {n} simulations are few: on average their {percent(contents[-1])} % band holds "
            f"{percent(bands['holds'][-1])} % of further ones."
        )
    return text


def _blank(blank):
    n = blank.get("n")
    of = f"limits of {n or ''} blank fields".replace("  ", " ")
    if not blank["contents"]:
        return f"The dash-dotted line is the median of the {of}."
    text = f"The hatched area holds {percent(blank['contents'][0])} % of the {of}"
    text += ", the dash-dotted line is their median." if blank["median"] else "."
    if are_few(n, blank["contents"]):
        text += f" {n} blank fields are few: the area is rough."
    return text


def _published(curves, cl):
    """Published limits that are not at the level of one's own."""
    other = [c["label"] for c in curves if c["cl"] is not None and abs(c["cl"] - cl) > 1e-6]
    unknown = [c["label"] for c in curves if c["cl"] is None]
    parts = [f"Not at {100 * cl:g} % confidence: {'; '.join(other)}."] if other else []
    parts += [f"At a confidence level that is not given: {'; '.join(unknown)}."] if unknown else []
    return " ".join(parts)


STRENGTH = "Dark matter signal that fits best; 0 where none does."
# columns that tables of results have, as a reader sees them
COLUMNS = {
    "roster": Column("roster", description="Name of the set of targets that is combined."),
    "jfactor": Column(
        "J treatment",
        description="How the uncertainty of J enters: profile (J free within its error), marginal "
        "(averaged over it), fixed (observed value taken as exact).",
    ),
    "target": Column("target"),
    "channel": Column("channel", description="Particles that dark matter turns into."),
    "mass": Column("mass", description="Mass of the dark matter particle."),
    "sigmav": Column("⟨σv⟩ best fit", description=STRENGTH, format=".2e"),
    "sigmav_err": Column("⟨σv⟩ error", description="Error of the best fit.", format=".2e"),
    "sigmav_ul": Column(
        "⟨σv⟩ limit", description="Upper limit; larger cross-sections are excluded.", format=".2e"
    ),
    "gamma": Column("Γ best fit", description=STRENGTH, format=".2e"),
    "gamma_err": Column("Γ error", description="Error of the best fit.", format=".2e"),
    "gamma_ul": Column("Γ limit", description="Upper limit of the decay rate.", format=".2e"),
    "tau_ll": Column(
        "lifetime limit", description="Lower limit; shorter lifetimes are excluded.", format=".2e"
    ),
    "ts": Column(
        "TS",
        description="By how much −2 ln L improves with the best signal; 0 where none fits better.",
        format=".2f",
    ),
    "status": Column(
        "status",
        description="found: the limit lies inside what was scanned. extrapolated: a scan had to be "
        "continued beyond its end. approximate: the width of the estimator was guessed. "
        "grid edge: the limit lies outside of the scanned strengths. all excluded: the test "
        "excludes every strength. no information: the data say nothing about this mass and "
        "channel.",
        format="status",
    ),
    "method": Column(
        "method", description="Method of the limit, where the name of the column has none."
    ),
    "ul": Column("own limit", description="Limit of this target alone.", format=".2e"),
    "share": Column(
        "share",
        description="Its part of the rise of −2 ln L at the combined limit; all add up to 1.",
        format=".3f",
    ),
    "ul_without": Column(
        "limit without it", description="Combined limit if this target is left out.", format=".2e"
    ),
    "p_local": Column(
        "p local",
        description="Chance of such a TS at this mass and channel alone (½ χ²).",
        format=".2e",
    ),  # fmt: skip
    "z_local": Column("Z local", "σ", "The same as a one-sided significance.", ".2f"),
    "p_local_toys": Column(
        "p simulated", description="The same chance, counted in simulations.", format=".2e"
    ),
    "simulation": Column("simulation"),
    "injected": Column("injected", description="True strength of the signal.", format=".2e"),
    "n": Column("n", description="Number of realisations."),
    "n_realisations": Column("n", description="Number of realisations."),
    "coverage": Column(
        "coverage",
        description="Fraction of realisations whose limit does not exclude the truth; the "
        "confidence level or more is right.",
        format=".3f",
    ),
    "coverage_err": Column("±", description="Its error (binomial).", format=".3f"),
    "limit_above_truth": Column(
        "limit above truth",
        description="Fraction of realisations whose limit lies above the truth. Not a coverage: "
        "not all that is uncertain was drawn anew.",
        format=".3f",
    ),
    "limit_above_truth_err": Column("±", description="Its error (binomial).", format=".3f"),
    "redraw_jfactor": Column(
        "J drawn anew",
        description="Whether each realisation has its own J-factors, drawn within their errors, as "
        "the limits assume.",
    ),
    "median_best": Column("median best fit", description=STRENGTH, format=".2e"),
    "median_tau_ll": Column(
        "median lifetime limit",
        description="Half of the realisations have a higher one.",
        format=".2e",
    ),
    "median_ul": Column(
        "median limit", description="Half of the realisations have a lower one.", format=".2e"
    ),
    "median_ts": Column("median TS", format=".2f"),
}
LOOKS = {
    "masses": "all masses of this channel",
    "channels": "all masses and channels",
    "targets": "all masses, channels and targets",
}


def column_of(name):
    """How a column of a table of results is shown; unknown ones under their own name.

    Parameters
    ----------
    name : str

    Returns
    -------
    column : `Column`
    """
    if name in COLUMNS:
        return COLUMNS[name]
    for look, words in LOOKS.items():
        if name == f"p_{look}":
            return Column(f"p {look}", None, f"Chance of such a TS somewhere in {words}.", ".2e")
        if name == f"z_{look}":
            return Column(f"Z {look}", "σ", f"Significance after a look at {words}.", ".2f")
        if name == f"method_{look}":
            return Column(f"p {look} from", None, "How this chance was found.")
    for known in ("sigmav_ul", "gamma_ul", "tau_ll", "status"):
        if name.startswith(f"{known}_"):
            method = method_name(name.removeprefix(f"{known}_"))
            base = COLUMNS[known]
            what = f"By the method {method}. {base.description}"
            return Column(f"{base.name}, {method}", None, what, base.format)
    return Column(name.replace("_", " "))
