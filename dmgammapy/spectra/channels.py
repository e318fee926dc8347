"""Names, labels and thresholds of the channels dark matter annihilates or decays into.

What to use when

- `canonical_channel` turns any spelling of one channel ("bb", "W+W-", "tautau") into its name.
- `parse_channel` does the same for a channel or a mixture, which is a dict of branching fractions
  or the text that `channel_label` wrote.
- `channel_label` writes a channel or a mixture as text, `channel_latex` as a label of a plot.
- `CHANNELS` lists what exists. The names are those of Gammapy.
"""

import math
from dataclasses import dataclass
from types import MappingProxyType

__all__ = [
    "CHANNELS",
    "Channel",
    "canonical_channel",
    "channel_label",
    "channel_latex",
    "parse_channel",
]

FRACTION_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Channel:
    """One final state.

    Attributes
    ----------
    name : str
        Canonical name.
    latex : str
        Label for plots.
    threshold : float
        Smallest mass [GeV] at which two dark matter particles at rest annihilate into it.
    """

    name: str
    latex: str
    threshold: float


_ELECTRON, _MUON, _TAU = 0.000511, 0.10566, 1.777
_CHARM, _BOTTOM, _TOP = 1.3, 4.8, 172.6
_W, _Z, _HIGGS = 80.38, 91.19, 125.2

CHANNELS = MappingProxyType(
    {
        name: Channel(name, f"${latex}$", threshold)
        for name, latex, threshold in [
            ("e", r"e^+e^-", _ELECTRON),
            ("eL", r"e^+_Le^-_L", _ELECTRON),
            ("eR", r"e^+_Re^-_R", _ELECTRON),
            ("mu", r"\mu^+\mu^-", _MUON),
            ("muL", r"\mu^+_L\mu^-_L", _MUON),
            ("muR", r"\mu^+_R\mu^-_R", _MUON),
            ("tau", r"\tau^+\tau^-", _TAU),
            ("tauL", r"\tau^+_L\tau^-_L", _TAU),
            ("tauR", r"\tau^+_R\tau^-_R", _TAU),
            ("q", r"q\bar{q}", 0.0),
            ("u", r"u\bar{u}", 0.0),
            ("d", r"d\bar{d}", 0.0),
            ("s", r"s\bar{s}", 0.0),
            ("c", r"c\bar{c}", _CHARM),
            ("b", r"b\bar{b}", _BOTTOM),
            ("t", r"t\bar{t}", _TOP),
            ("W", r"W^+W^-", _W),
            ("WL", r"W^+_LW^-_L", _W),
            ("WT", r"W^+_TW^-_T", _W),
            ("Z", r"ZZ", _Z),
            ("ZL", r"Z_LZ_L", _Z),
            ("ZT", r"Z_TZ_T", _Z),
            ("g", r"gg", 0.0),
            ("gamma", r"\gamma\gamma", 0.0),
            ("h", r"hh", _HIGGS),
            ("nu_e", r"\nu_e\bar{\nu}_e", 0.0),
            ("nu_mu", r"\nu_\mu\bar{\nu}_\mu", 0.0),
            ("nu_tau", r"\nu_\tau\bar{\nu}_\tau", 0.0),
            ("V->e", r"VV \to 4e", 2 * _ELECTRON),
            ("V->mu", r"VV \to 4\mu", 2 * _MUON),
            ("V->tau", r"VV \to 4\tau", 2 * _TAU),
            ("aZ", r"\gamma Z", _Z / 2),
            ("HZ", r"hZ", (_HIGGS + _Z) / 2),
            ("box", r"\phi\phi \to 4\gamma", 0.0),
        ]
    }
)
"""Known channels by canonical name."""


def _spellings():
    """Other spellings of each channel, in lower case, by which it is found."""
    for name in CHANNELS:
        yield name, name
    for name in ("e", "mu", "tau", "W"):
        for text in (f"{name}{name}", f"{name}+{name}-", f"{name}-{name}+"):
            yield text, name
    for name in ("q", "u", "d", "s", "c", "b", "t"):
        for text in (f"{name}{name}", f"{name}{name}bar", f"{name}{name}-bar", f"{name}bar{name}"):
            yield text, name
    for flavour in ("e", "mu", "tau"):
        name = f"nu_{flavour}"
        for text in (f"nu{flavour}", f"nu_{flavour}nu_{flavour}", f"nu{flavour}nu{flavour}"):
            yield text, name
        for hand in ("L", "R"):
            yield f"{flavour}_{hand}", f"{flavour}{hand}"
    for boson in ("W", "Z"):
        for polarisation in ("L", "T"):
            yield f"{boson}_{polarisation}", f"{boson}{polarisation}"
            yield 2 * f"{boson}{polarisation}", f"{boson}{polarisation}"
    yield from {
        "zz": "Z",
        "hh": "h",
        "higgs": "h",
        # dmpipe and DMFit write gg for two gluons; two photons are gamma
        "gg": "g",
        "gluon": "g",
        "gluons": "g",
        "a": "gamma",
        "aa": "gamma",
        "gammagamma": "gamma",
        "gammaz": "aZ",
        "zgamma": "aZ",
        "za": "aZ",
        "zh": "HZ",
    }.items()


def _build_aliases():
    aliases = {}
    for text, name in _spellings():
        if aliases.setdefault(text.lower(), name) != name:
            raise RuntimeError(
                f"the spelling {text!r} means {name!r} and {aliases[text.lower()]!r}"
            )
    return aliases


_ALIASES = _build_aliases()


def canonical_channel(name):
    """Canonical name of one channel.

    Case does not matter, since no two names differ by it alone.

    Parameters
    ----------
    name : str
        Any known spelling: Gammapy's ("b", "tau", "W"), DMFit's ("bb", "tautau", "ww", "gg" for
        two gluons) or one like "b+b-", "bbbar", "W+W-".

    Returns
    -------
    name : str
        A key of `CHANNELS`.

    Raises
    ------
    ValueError
        If the name is not known; the message lists the known ones.

    Examples
    --------
    >>> from dmgammapy.spectra import canonical_channel
    >>> [canonical_channel(name) for name in ("bb", "tau+tau-", "WW", "gg", "gammagamma")]
    ['b', 'tau', 'W', 'g', 'gamma']
    """
    if isinstance(name, str):
        text = "".join(name.split()).lower()
        # "b+b-" is a common, if odd, spelling for quarks too
        for candidate in (text, text.replace("+", "").replace("-", "") if "->" not in text else ""):
            if candidate in _ALIASES:
                return _ALIASES[candidate]
    raise ValueError(
        f"Unknown channel {name!r}; known are {', '.join(CHANNELS)} (gg and gluons mean g, "
        "spellings like bb, tautau, W+W- are understood)."
    )


def parse_channel(channel):
    """Channel or mixture in canonical form.

    Parameters
    ----------
    channel : str or dict
        Name of a channel, the text of a mixture ("0.7 b + 0.3 tau") or a dict of branching
        fractions by name. Fractions are not negative and sum to 1 within 1e-6.

    Returns
    -------
    channel : str or dict
        Canonical name, or the fractions by canonical name, largest first. A mixture with a single
        channel is that channel.

    Raises
    ------
    ValueError
        If a name is not known or comes twice, or the fractions are not as above.

    Examples
    --------
    >>> from dmgammapy.spectra import parse_channel
    >>> parse_channel({"tautau": 0.3, "bb": 0.7})
    {'b': 0.7, 'tau': 0.3}
    >>> parse_channel("0.7 b + 0.3 tau")
    {'b': 0.7, 'tau': 0.3}
    """
    if isinstance(channel, str):
        terms = _split_mixture(channel)
        if terms is None:
            return canonical_channel(channel)
        pairs = terms
    elif hasattr(channel, "items"):
        pairs = list(channel.items())
    else:
        raise ValueError(f"A channel is a name or a dict of fractions, got {channel!r}.")
    fractions = {}
    for name, fraction in pairs:
        name = canonical_channel(name)
        if name in fractions:
            raise ValueError(f"Channel {name!r} comes twice in the mixture {channel!r}.")
        fractions[name] = _parse_fraction(fraction, channel)
    total = math.fsum(fractions.values())
    if abs(total - 1) > FRACTION_TOLERANCE:
        raise ValueError(
            f"The fractions of the mixture {channel!r} sum to {total:.8g}, expected 1; "
            "add the missing channels or divide by the sum."
        )
    fractions = {name: fraction for name, fraction in fractions.items() if fraction > 0}
    if len(fractions) == 1:
        return next(iter(fractions))
    # by the digits of the label, so that it reads back in the same order
    return dict(sorted(fractions.items(), key=lambda item: (-round(item[1], 10), item[0])))


def _split_mixture(text):
    """Pairs of name and fraction of a text like "0.7 b + 0.3 tau", None if it is one name."""
    terms = [term.split() for term in text.split(" + ")]
    if not all(len(term) == 2 for term in terms):
        return None
    try:
        return [(name, float(fraction)) for fraction, name in terms]
    except ValueError:
        return None


def _parse_fraction(fraction, channel):
    try:
        value = float(fraction)
    except (TypeError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(
            f"A fraction of the mixture {channel!r} is {fraction!r}, expected a number from 0 to 1."
        )
    return value


def channel_label(channel):
    """Text of a channel or mixture, the same for equal mixtures.

    Parameters
    ----------
    channel : str or dict
        As for `parse_channel`.

    Returns
    -------
    label : str
        Canonical name or a sum, largest fraction first. `parse_channel` reads it back.

    Examples
    --------
    >>> from dmgammapy.spectra import channel_label
    >>> channel_label("bb"), channel_label({"tau": 0.3, "b": 0.7})
    ('b', '0.7 b + 0.3 tau')
    """
    channel = parse_channel(channel)
    if isinstance(channel, str):
        return channel
    return " + ".join(f"{round(fraction, 10):.10g} {name}" for name, fraction in channel.items())


def channel_latex(channel):
    r"""Label of a channel or mixture for plots.

    Parameters
    ----------
    channel : str or dict
        As for `parse_channel`.

    Returns
    -------
    label : str
        Text with math for matplotlib.

    Examples
    --------
    >>> from dmgammapy.spectra import channel_latex
    >>> print(channel_latex("bb"))
    $b\bar{b}$
    """
    channel = parse_channel(channel)
    if isinstance(channel, str):
        return CHANNELS[channel].latex
    return " + ".join(
        f"{fraction:.3g} {CHANNELS[name].latex}" for name, fraction in channel.items()
    )
