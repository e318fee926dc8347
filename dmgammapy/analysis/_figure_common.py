"""What the figures share: numbers out of containers, titles, legends and views."""

import re
from dataclasses import dataclass, field
from textwrap import wrap

import astropy.units as u
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from dmgammapy.estimators import LimitStatus
from dmgammapy.estimators.castro_ensemble import BAND_QUANTILES, are_few, band_pairs
from dmgammapy.spectra import channel_label, channel_latex

from ._limit_methods import PROFILE, limit_method, method_name

__all__ = [
    "Expected", "band_label", "band_values", "best_values", "channel_text", "check_methods",
    "explain", "finish", "limit_method", "limit_values", "mark_missing", "mass_edges", "mass_text",
    "n_realisations", "new_figure", "pick", "plain_text", "select_channel", "set_title",
    "set_view", "status_values", "title_parts", "truth_of",
]  # fmt: skip

WIDTH, HEIGHT = 6.6, 4.9  # inches
TITLE_LETTERS = 66  # that fit in a line
LEGEND_LETTERS = 92
ROOM_OF_ONE = 10**0.5  # on both sides of a single mass, as a factor
LONG_AXIS = 100.0  # from which decades alone have labels
SMALLEST_SPAN = 1.2  # decades
MISSING = {
    LimitStatus.NO_INFORMATION: ("No information", "x"),
    LimitStatus.GRID_EDGE: ("Limit beyond the scan", "d"),
    LimitStatus.ALL_EXCLUDED: ("All strengths excluded", "*"),
}


# ---- numbers ---------------------------------------------------------------------------------


def select_channel(castro, channel):
    """Index of a channel in any spelling; None is the only one."""
    names = castro.channels
    if channel is None and len(names) == 1:
        return 0
    if channel in names:
        return names.index(channel)
    try:
        return names.index(channel_label(channel))
    except (ValueError, TypeError, KeyError):
        raise ValueError(f"channel {channel!r} is none of {names}.") from None


def channel_text(castro, channel):
    """Channel of a result as text with math."""
    name = castro.channels[select_channel(castro, channel)]
    try:
        return channel_latex(name)
    except (ValueError, KeyError):
        return plain_text(name)  # of a foreign file


def pick(castro, name, channel):
    """A quantity of one channel as plain array (..., mass), NaN if the result hasn't it."""
    i = select_channel(castro, channel)
    if name not in castro.available_quantities:
        return np.full(castro["reference"].data[..., i, :, 0, 0].shape, np.nan)
    return np.asarray(castro[name].data[..., i, :, 0, 0], dtype=float)


def best_values(castro, channel):
    """Best signal strengths, Quantity (..., mass)."""
    return _times_reference(castro, "norm", channel)


def limit_values(castro, channel):
    """Limits as one draws them, Quantity (..., mass): upper of sigmav, lower of the lifetime."""
    limit = _times_reference(castro, "norm_ul", channel)
    if castro.process == "annihilation":
        return limit
    with np.errstate(divide="ignore"):
        return (1 / limit).to("s")


def _times_reference(castro, name, channel):
    values = pick(castro, name, channel) * pick(castro, "reference", channel)
    return u.Quantity(values, castro["reference"].unit)


def status_values(castro, channel):
    """`LimitStatus` of one channel, (..., mass); what is not known is taken as found."""
    return np.nan_to_num(pick(castro, "status", channel)).astype(int)


@dataclass(frozen=True)
class Expected:
    """Median and central bands of limits or best fits.

    Parameters
    ----------
    masses : `~astropy.units.Quantity`, shape (n_mass,)
    median : `~astropy.units.Quantity`, shape (n_mass,), optional
        NaN where it is not known; None if it is nowhere.
    bands : dict of `~astropy.units.Quantity`, shape (2, n_mass)
        Lower and upper edge by the fraction between them, the widest first. An edge that lies
        beyond what was scanned, or among limits that exclude all strengths, is far out.
    known : list of array
        Plain values of all edges, NaN where they are far out.
    """

    masses: u.Quantity
    median: u.Quantity | None = None
    bands: dict = field(default_factory=dict)
    known: list = field(default_factory=list)

    def __bool__(self):
        return self.median is not None or bool(self.bands)

    @property
    def inside(self):
        """Plain values that a view has to show."""
        return self.known + ([] if self.median is None else [self.median.value])


def band_values(bands, channel, best=False):
    """Median and bands of limits or best fits.

    Parameters
    ----------
    bands : `~dmgammapy.estimators.CastroMaps`
        With the axis quantile, or an ensemble with the axis realisation.
    channel : str
    best : bool
        Whether of best fits. Default is False, of limits.

    Returns
    -------
    values : `Expected`
        With the bands of all quantiles that have a counterpart, as far as there are numbers.
    """
    i = select_channel(bands, channel)
    if "realisation" in bands.geom.axes.names:
        bands = bands.slice_by_idx({"channel": i}).quantiles(BAND_QUANTILES)
        channel = None
    if "quantile" not in bands.geom.axes.names:
        raise ValueError(
            f"bands need the axis quantile or realisation, got the axes {bands.geom.axes.names}."
        )
    q = bands.geom.axes["quantile"].center.value
    known = (best_values if best else limit_values)(bands, channel)
    drawn = known if best else _open_ends(known, bands, channel)
    median = known[int(np.argmin(np.abs(q - 0.5)))]
    if not np.isclose(q, 0.5).any() or not np.isfinite(median).any():
        median = None
    edges, inside = {}, []
    for content, ends in band_pairs(q).items():
        ends = list(ends)
        low, high = drawn[ends]
        if np.isfinite(known[ends]).any() and np.isfinite(low + high).any():
            edges[content] = u.Quantity([np.minimum(low, high), np.maximum(low, high)])
            inside.append(known[ends].value)
    return Expected(bands.masses, median, edges, inside)


def _open_ends(values, bands, channel):
    """Put quantiles without a number far out, so that a band is open there and has no gap.

    One beyond the scan is weaker than all, one that excludes all strengths stronger than all.
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return values
    ends = [1e-6 * known.min(), 1e6 * known.max()]
    strong, weak = ends if bands.process == "annihilation" else ends[::-1]
    status = status_values(bands, channel)
    values = np.where(status == LimitStatus.GRID_EDGE, weak, values)
    return np.where(status == LimitStatus.ALL_EXCLUDED, strong, values)


def band_label(bands, contents, simulated=False):
    """Label of bands for the plots, with the number of simulations if these are few.

    Parameters
    ----------
    bands : `~dmgammapy.estimators.CastroMaps` or None
    contents : iterable of float
        What the bands hold.
    simulated : bool
        Whether the simulations hold what is drawn itself, not what is expected of data; titles
        then tell their number. Default is False.

    Returns
    -------
    label : str
        With braces for what a band holds.
    """
    if simulated:
        return "{} of simulations"
    n = n_realisations(bands)
    return f"{{}} expected ({n} simulations)" if are_few(n, contents) else "{} expected"


def check_methods(castro, others):
    """Refuse results whose limits are by another method.

    Parameters
    ----------
    castro : `~dmgammapy.estimators.CastroMaps` or None
        Default is that the first of the others decides.
    others : dict of `~dmgammapy.estimators.CastroMaps` or None
        What is drawn along, by name.

    Raises
    ------
    ValueError
        If a method differs.
    """
    methods = {name: limit_method(one) for name, one in others.items() if one is not None}
    if not methods:
        return
    wanted = next(iter(methods.values())) if castro is None else limit_method(castro)
    for name, method in methods.items():
        if method != wanted:
            raise ValueError(
                f"{name}: limits by the method {method!r} can't be drawn along with limits by the "
                f"method {wanted!r}; make both with the same."
            )


def n_realisations(bands):
    """Number of realisations of an ensemble or of what bands were made of; None if not known."""
    if bands is None:
        return None
    if "realisation" in bands.geom.axes.names:
        return bands.geom.axes["realisation"].nbin
    found = re.findall(r"quantiles of (\d+) realisations", " ".join(bands.meta.notes))
    return int(found[-1]) if found else None


def truth_of(truth, castro, channel, lifetime):
    """Mass, strength and label of an injected signal.

    Parameters
    ----------
    truth : tuple or None
        Mass, strength (cross-section, rate or lifetime) and, optionally, channel.
    castro : `~dmgammapy.estimators.CastroMaps`
    channel : str
        The one that is drawn.
    lifetime : bool
        Whether decay is drawn as lifetime.

    Returns
    -------
    truth : tuple or None
        None without a signal.
    """
    if truth is None:
        return None
    mass, strength = u.Quantity(truth[0]), u.Quantity(truth[1])
    unit = u.Unit("s-1") if castro.process == "decay" else castro["reference"].unit
    if castro.process == "decay":
        rate = strength if strength.unit.is_equivalent("s-1") else 1 / strength
        strength = 1 / rate if lifetime and rate > 0 else rate
        unit = u.Unit("s") if lifetime else unit
    if strength.value == 0:
        return None
    label = "Injected signal"
    if len(truth) > 2 and truth[2] is not None:
        injected = channel_label(truth[2])
        if injected != castro.channels[select_channel(castro, channel)]:
            label = f"Injected signal (in {channel_latex(injected)})"
    return mass, strength.to(unit), label


# ---- figures ---------------------------------------------------------------------------------


def new_figure(height=HEIGHT, width=WIDTH):
    """Figure with one pair of axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def explain(reason, parts=()):
    """Figure that says why there is nothing to see."""
    figure, ax = new_figure(height=2.6)
    ax.set_axis_off()
    ax.text(
        0.5, 0.5, "\n".join(wrap(reason, 70)), transform=ax.transAxes, ha="center", va="center",
        color="0.3",
    )  # fmt: skip
    set_title(ax, *parts)
    return figure


def mass_edges(masses):
    """Edges of cells around masses, halfway in the logarithm; a single cell is a decade wide."""
    if len(masses) == 1:
        return masses[0] * np.array([10**-0.5, 10**0.5])
    ratio = np.sqrt(masses[1:] / masses[:-1])
    first, last = masses[0] / ratio[0], masses[-1] * ratio[-1]
    return np.concatenate([[first], masses[:-1] * ratio, [last]])


def mass_text(mass):
    """Mass in GeV or TeV, with three digits."""
    gev = u.Quantity(mass).to_value("GeV")
    return f"{gev:.3g} GeV" if gev < 999.5 else f"{gev / 1000:.3g} TeV"


def plain_text(text):
    """Text that matplotlib takes literally."""
    return str(text).replace("$", r"\$")


def title_parts(castro, channel=None, roster=None, cl=True, more=(), method=None, main_method=None):
    """Words of a title: what, channel, J treatment, confidence level and method of limits.

    Parameters
    ----------
    castro : `~dmgammapy.estimators.CastroMaps`
    channel, roster : str, optional
    cl : bool
        Whether limits are shown: their level and, unless it goes without saying, their method.
        Default is True.
    more : list of str
        More words.
    method : str, optional
        Of the limits, named in any case. Default is what the result says.
    main_method : str, optional
        Of the main limits of the analysis: if it is another, the method is named, too.

    Returns
    -------
    parts : list of str
    """
    meta = castro.meta
    if meta.target:
        about = plain_text(meta.target)
    else:
        about = meta.about if roster is None else f"{plain_text(roster)} ({meta.about})"
    factor = "D" if castro.process == "decay" else "J"
    treatment = {
        "profile": f"{factor} profiled",
        "marginal": f"{factor} marginalised",
        "fixed": f"{factor} fixed",
        None: f"{factor} not treated",
    }[meta.jfactor_method]
    parts = [about, channel_text(castro, channel), treatment]
    if cl:
        parts.append(f"{100 * meta.cl:g} % CL")
        own = limit_method(castro)
        if method is None and (own != PROFILE or main_method not in (None, own)):
            method = own
        if method is not None:
            parts.append(f"{method_name(method)} limits")
    return [*parts, *more]


def set_title(ax, *parts):
    """Put a title in as many lines as it needs."""
    lines, length = [], 0
    words = [word for part in parts if part for word in _breakable(f"{part}, ")]
    for word in words:
        letters = _letters(word)
        if not lines or length + letters > TITLE_LETTERS:
            lines.append("")
            length = 0
        lines[-1] += word
        length += letters
    text = "\n".join(line.rstrip() for line in lines)
    ax.set_title(text.rstrip(","), fontsize=11)


def _breakable(part):
    """Pieces between which a line may end: the terms of a mixture."""
    pieces = part.split(" + ")
    return [piece + " + " for piece in pieces[:-1]] + pieces[-1:]


def _letters(text):
    """Letters that are seen of a text with math."""
    text = re.sub(r"\\(mathrm|bar|mathcal|rm)", "", text)
    return len(re.sub(r"\\[a-zA-Z]+", "x", re.sub(r"[{}$^_]", "", text)))


def finish(figure, ax, first=()):
    """Put the legend below the axes, where it hides nothing.

    Parameters
    ----------
    figure : `~matplotlib.figure.Figure`
    ax : `~matplotlib.axes.Axes`
    first : list of str
        Labels that come first.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
    """
    if ax.get_legend() is not None:
        ax.get_legend().remove()
    found = {}
    for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
        found.setdefault(label, handle)
    for axis, scale in ((ax.xaxis, ax.get_xscale()), (ax.yaxis, ax.get_yscale())):
        low, high = sorted(axis.get_view_interval())
        if scale == "log" and low > 0 and high / low > LONG_AXIS:
            axis.set_minor_formatter(NullFormatter())  # empty, but it takes time to find out
    labels = [label for label in first if label in found]
    labels += [label for label in found if label not in labels]
    if labels:
        longest = max(_letters(label) for label in labels) + 8
        columns = max(1, min(3 if len(labels) != 4 else 2, LEGEND_LETTERS // longest))
        figure.legend(
            [found[label] for label in labels], labels, loc="outside lower center",
            ncols=min(columns, len(labels)), frameon=False, fontsize=9, columnspacing=1.6,
        )  # fmt: skip
    return figure


def set_view(ax, masses, values, outer=()):
    """Show the masses of the results, and what matters of the values.

    Parameters
    ----------
    ax : `~matplotlib.axes.Axes`
    masses : array
        All that must be seen [GeV].
    values : list of array
        Plain values that must be seen.
    outer : list of array
        Values that are seen as long as they lie within two decades of the others.
    """
    masses = np.asarray(masses, dtype=float)
    low, high = masses.min(), masses.max()
    # one mass has room on both sides, many a little
    pad = (high / low) ** 0.02 if high > low else ROOM_OF_ONE
    ax.set_xlim(low / pad, high * pad)
    inner = _positive(values)
    if not inner.size:
        return
    low, high = inner.min(), inner.max()
    outer = _positive(outer)
    outer = outer[(outer > low / 100) & (outer < high * 100)]
    if outer.size:
        low, high = min(low, outer.min()), max(high, outer.max())
    span = np.log10(high / low)
    pad = 10.0 ** max(0.06 * span, 0.5 * (SMALLEST_SPAN - span), 0.08)
    ax.set_ylim(low / pad, high * pad)


def _positive(arrays):
    flat = np.concatenate([np.ravel(a) for a in arrays]) if len(arrays) else np.array([])
    return flat[np.isfinite(flat) & (flat > 0)]


def mark_missing(ax, castro, channel):
    """Mark at the edge of the axes the masses that have no limit, and say why."""
    status, masses = status_values(castro, channel), castro.masses.to_value("GeV")
    known = np.isfinite(limit_values(castro, channel).value)
    for code, (label, marker) in MISSING.items():
        here = (status == code) & ~known
        if here.any():
            weak = code != LimitStatus.ALL_EXCLUDED
            top = weak == (castro.process == "annihilation")
            ax.plot(
                masses[here], np.full(here.sum(), 0.97 if top else 0.03), marker, color="black",
                markersize=6, transform=ax.get_xaxis_transform(), label=label, zorder=3,
                markerfacecolor="white",
            )  # fmt: skip
