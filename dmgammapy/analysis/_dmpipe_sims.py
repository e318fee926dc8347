"""What dmpipe simulates and draws, in the words of a configuration here."""

import math

from dmgammapy.spectra import canonical_channel

from ._dmpipe_files import DmpipeFile

__all__ = ["DECAY_NOTE", "PLOTS", "channel_and_process", "convert_plots", "read_injected"]

DECAY = "_decay"
# codes of DMFitFunction; those of decay are 100 higher
CODES = {
    1: "e", 2: "mu", 3: "tau", 4: "b", 5: "t", 6: "g", 7: "W", 8: "Z", 9: "c", 10: "u", 11: "d",
    12: "s",
}  # fmt: skip
DECAY_CODE = 100
TRUE_J = "dmpipe puts the J of each target in the place of this number, and so does dmgammapy"
DECAY_NOTE = (
    "DMFitFunction ends the spectrum of a decay at the mass, here it ends at half of it: the same "
    "mass makes another signal"
)

# kind of figure here, by section and key of the master
PLOTS = {
    "data_plotting": {
        "plot-castro": "sed",
        "plot-dm": "castro",
        "plot-limits": "target_limits",
        "plot-stacked-dm": "stack_castro",
        "plot-stacked-limits": "limits",
    },
    "sim_plotting": {
        "plot-stacked-dm": "simulated_castro",
        "plot-stacked-limits": "simulated_limits",
        "plot-control-limits": "control_limits",
        "plot-control-mles": "control_best_fits",
    },
    "rand_plotting": {
        "plot-stacked-dm": "simulated_castro",
        "plot-stacked-limits": "simulated_limits",
    },
}


def channel_and_process(name):
    """Channel and process that a channel's name in dmpipe means.

    Parameters
    ----------
    name : str
        Like ``bb`` or ``bb_decay``.

    Returns
    -------
    channel : str
    process : {"annihilation", "decay"}

    Raises
    ------
    ValueError
        If the channel is unknown.
    """
    decay = str(name).endswith(DECAY)
    channel = canonical_channel(str(name).removesuffix(DECAY) if decay else name)
    return channel, "decay" if decay else "annihilation"


def _parameter(model, name, default=None):
    """Value of a parameter of a source: a number, or its value times its scale."""
    if name not in model:
        if default is None:
            raise model.error(name, "missing; a DMFitFunction needs it")
        return default
    if not isinstance(model.data[name], dict):
        return model.number(name)
    section = model.section(name)
    value = section.number("value") * section.number("scale", default=1.0)
    model.parameter_notes += section.leftover(
        {key: "about a fit, has no meaning for a signal that is injected" for key in
         ("min", "max", "free", "error", "name")}
    )  # fmt: skip
    return value


def convert_injected(file, process):
    """Translate the file of a simulation.

    Parameters
    ----------
    file : `DmpipeFile`
    process : {"annihilation", "decay"}
        Process of the analysis.

    Returns
    -------
    injected : dict or None
        ``{sigmav or tau, mass, channel}``; None if nothing is injected.
    notes : list of str
        What is not translated.
    possible : bool
        False if there is a source that can't be injected here.
    """
    source = file.section("injected_source")
    notes = file.leftover()
    if not source.data:
        return None, notes, True
    source.take("name")  # only a name
    model = source.section("source_model")
    notes += source.leftover()
    kind = model.take("SpectrumType")
    if kind != "DMFitFunction":
        notes.append(
            f"{model.place('SpectrumType')}: a source with the spectrum {kind} can't be injected "
            "here, only dark matter (DMFitFunction); the simulation is left out"
        )
        return None, notes, False
    model.parameter_notes = []
    injected = _signal(model, notes)
    spatial = model.take("SpatialModel", "PointSource")
    if spatial != "PointSource":
        notes.append(
            f"{model.place('SpatialModel')}: {spatial}; the signal is injected with the shape that "
            "the target is analysed with"
        )
    if "norm" in model:
        if math.isfinite(_parameter(model, "norm")):
            notes.append(f"{model.place('norm')}: {TRUE_J}")
    own = "decay" if "tau" in injected else "annihilation"
    notes += model.parameter_notes + model.leftover(
        {key: "the signal is at the target" for key in ("ra", "dec", "RA", "DEC", "glon", "glat")}
    )
    if own != process:
        notes.append(
            f"{model.place('channel0')}: {own}, while the analysis is about {process}; the "
            "simulation is left out"
        )
        return None, notes, False
    return injected, notes, True


def _signal(model, notes):
    """Strength, mass and channel of a DMFitFunction."""
    code = _code(model, "channel0")
    decay = code > DECAY_CODE
    strength, mass = _parameter(model, "sigmav"), _parameter(model, "mass")
    for name, value in (("sigmav", strength), ("mass", mass)):
        if not (math.isfinite(value) and value > 0):
            raise model.error(name, f"expected a positive number, got {value:g}")
    channel = CODES[code % DECAY_CODE]
    bratio = _parameter(model, "bratio", 1.0)
    if bratio < 1:
        other = CODES[_code(model, "channel1") % DECAY_CODE]
        if other != channel:
            channel = {channel: bratio, other: round(1 - bratio, 12)}
    elif "channel1" in model:
        model.take("channel1")  # no share of it
    if decay:
        notes.append(f"{model.place('channel0')}: {DECAY_NOTE}")
        return {"tau": f"{strength:.10g} s", "mass": f"{mass:.10g} GeV", "channel": channel}
    return {
        "sigmav": f"{strength:.10g} cm3 s-1",
        "mass": f"{mass:.10g} GeV",
        "channel": channel,
    }


def _code(model, name):
    value = _parameter(model, name)
    code = int(value) if math.isfinite(value) else -1
    if code != value or code % DECAY_CODE not in CODES or code > DECAY_CODE + len(CODES):
        codes = ", ".join(f"{number} {channel}" for number, channel in CODES.items())
        raise model.error(name, f"unknown code of a channel {value:g}; known are {codes}")
    return code


def convert_plots(master, channels):
    """Translate the figures that a master asks for.

    Parameters
    ----------
    master : `DmpipeFile`
    channels : list of str
        Of the analysis.

    Returns
    -------
    plots : dict
    notes : list of str
    """
    notes = []

    def known(file, key):
        names = []
        for name in file.texts(key):
            channel = channel_and_process(name)[0]
            if channel in channels:
                names.append(channel)
            else:
                notes.append(f"{file.place(key)}: {name} is not analysed, so it can't be drawn")
        return names

    default = known(master, "plot_channels")
    kinds = {}
    for section, translations in PLOTS.items():
        file = master.section(section)
        for key, kind in translations.items():
            if key not in file:
                continue
            own = file.section(key)
            chosen = known(own, "plot_channels")
            detail = kinds.setdefault(kind, {})
            if chosen:
                before = detail.get("channels", [])
                detail["channels"] = [*before, *(c for c in chosen if c not in before)]
            notes += own.leftover(
                {"astro_priors": "figures are made for every J treatment (jfactor.method)"}
            )
            if kind in ("simulated_castro", "simulated_limits"):
                notes.append(
                    f"{file.place(key)}: dmpipe draws every simulation; here the first, see "
                    f"plots: {{kinds: {{{kind}: {{realisations: [0, 1, ...]}}}}}}"
                )
        notes += file.leftover()
    kinds["final_limits"] = {}  # dmpipe makes them in any case
    plots = {"kinds": kinds if any(kinds.values()) else list(kinds)}
    if default:
        plots["channels"] = default
    return plots, notes


def read_injected(path, name, process):
    """Read the file of a simulation, see `convert_injected`."""
    return convert_injected(DmpipeFile.read(path, name), process)
