"""What a report says about its figures and columns."""

from dmgammapy.estimators.limits import delta_stat_upper

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
        "an arrow upper limits.",
    ),
    "castro": (
        "Likelihoods",
        "Targets by mass",
        "Likelihood of {target} alone{in_channel}: for each mass, the colour tells by how much "
        "−2 ln L of a {strength} lies above that of the best one. The line is the {limit} at "
        "{cl} confidence that follows.",
    ),
    "target_limits": (
        "Targets",
        "Limits of each target",
        "Limits that each target would give alone{in_channel}, at {cl} confidence. Targets with "
        "large, well-known {factor}-factors and deep exposure {reach}; neighbouring lines that "
        "cross show where an excess or a deficit in the data of one of them matters.",
    ),
    "stack_castro": (
        "Likelihoods",
        "Stack by mass",
        "Likelihood of all targets together{in_channel}: for each mass, the colour tells by how "
        "much −2 ln L of a {strength} lies above that of the best one. The line is the combined "
        "{limit} at {cl} confidence; points are best fits other than zero.",
    ),
    "limits": (
        "Limits",
        "Combined limits",
        "Combined limits on the {strength} at {cl} confidence{in_channel}: {excluded}. {bands}"
        "{relic}",
    ),
    "best_fits": (
        "Significance",
        "Best fits",
        "{Strength} that fits best at each mass{in_channel}. {bands_best}Where no signal fits "
        "best there is no point; masses next to each other share data, so that neighbouring "
        "points rise and fall together.",
    ),
    "control_limits": (
        "Controls",
        "Limits of controls",
        "Limits of simulated data{of_simulation}{in_channel}, analysed like the real ones. The "
        "star marks the signal that was injected, if any: at its mass no more than {miss} of the "
        "realisations may have a limit that excludes it.",
    ),
    "control_best_fits": (
        "Controls",
        "Best fits of controls",
        "{Strength} that fits best in simulated data{of_simulation}{in_channel}. At the mass of "
        "the injected signal (star) the median should meet it; at other masses the fit makes the "
        "best of a spectrum of the wrong shape.",
    ),
    "final_limits": (
        "Limits",
        "Limits, all channels",
        "Combined limits of every channel at {cl} confidence, on what is expected without a signal "
        "where that was computed: {excluded}. {relic}",
    ),
    "likelihood_curves": (
        "Limits",
        "Likelihood curves",
        "−2 ln L above its minimum against the {strength} at one mass{in_channel}, of the stack "
        "and of its parts. The {limit} at {cl} confidence is where the curve of the stack crosses "
        "the dashed line at {rise:.2f}; a curve that has its minimum away from zero prefers a "
        "signal.",
    ),
    "contributions": (
        "Contributions",
        "Share of each target",
        "Share of each target in the combined limit{in_channel}: its part of the rise of −2 ln L "
        "from the combined best fit to the combined limit. A negative share is that of a target "
        "whose data prefer more signal than the limit allows, so that it weakens the limit.",
    ),
    "jfactor_treatments": (
        "Limits",
        "Effect of the {factor}-factors",
        "Combined limits{in_channel} with the {factor}-factors treated in different ways. The gap "
        "between {factor} fixed at the observed value and {factor} free within its error is what "
        "the limited knowledge of {factor} costs.",
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
        "Limits of single simulated data sets{of_simulation}{in_channel}, one line per "
        "realisation: their scatter is what the bands summarise.",
    ),
}

BANDS = {
    "toys": "The bands hold 68 and 95 % of the limits of simulations without signal, the dashed "
    "line is their median; where the observed limit leaves them, look at the significance. ",
    "asimov": "The bands hold 68 and 95 % of the limits expected without signal, the dashed line "
    "is their median (asymptotic, from Asimov data, no simulations). ",
}
BANDS_BEST = "The bands hold 68 and 95 % of the best fits of simulations without signal. "
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
    decay = inputs.process == "decay"
    strength = "lifetime" if decay else "cross-section ⟨σv⟩"
    bands = inputs.bands if inputs.bands in BANDS else None
    values = {
        "event": "decay" if decay else "annihilation",
        "spectra": inputs.spectra,
        "factor": "D" if decay else "J",
        "target": plot.target or "one target",
        "in_channel": f" for channel {plot.channel}" if plot.channel else "",
        "of_simulation": f" ({plot.simulation})" if plot.simulation else "",
        "strength": strength,
        "Strength": strength.capitalize(),
        "limit": "lower limit" if decay else "upper limit",
        "cl": f"{100 * inputs.cl:g} %",
        "miss": f"{100 - 100 * inputs.cl:.3g} %",
        "rise": delta_stat_upper(inputs.cl),
        "reach": "reach highest" if decay else "reach lowest",
        "excluded": "shorter lifetimes are excluded"
        if decay
        else "larger cross-sections are excluded",
        "bands": BANDS.get(bands, ""),
        "bands_best": BANDS_BEST if bands == "toys" else "",
        "relic": "" if decay else RELIC,
    }
    text = PLOT_KINDS[plot.kind][2].format(**values).strip()
    return f"{text} {plot.caption}".strip() if plot.caption else text


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
            method = name.removeprefix(f"{known}_").replace("_", " ")
            base = COLUMNS[known]
            what = f"Of the method {method}. {base.description}"
            return Column(f"{base.name}, {method}", None, what, base.format)
    return Column(name.replace("_", " "))
