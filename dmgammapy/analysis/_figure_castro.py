"""Figures of likelihoods: energy and flux, mass and strength, and curves at one mass."""

import astropy.units as u
import numpy as np

from dmgammapy.estimators import LimitStatus
from dmgammapy.estimators.limits import delta_stat_upper
from dmgammapy.visualization import plot_likelihood_curves, plot_stat_map

from . import _figure_common as common

__all__ = ["castro_map", "likelihood_curves", "sed_castro", "simulated_castro"]

N_STRENGTHS = 400
FAR_STAT = 50.0  # off the colours anyway
TS_SHOWN = 1.0  # a best fit below is zero within its error
VIEW_BELOW, VIEW_ABOVE = 1e-2, 20.0  # of the limit
TOP = 10.0  # of -2 ln L
N_CURVES = 6
LIMIT_LABELS = {"annihilation": "Upper limit", "decay": "Lower limit"}


def sed_castro(dataset, title=None, cl=0.95):
    """Draw the likelihoods of the energy bins, with best fits and upper limits.

    Parameters
    ----------
    dataset : `~dmgammapy.datasets.SEDLikelihoodDataset`
    title : str, optional
        Default is the name of the dataset.
    cl : float
        Confidence level of the limits. Default is 0.95.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
    """
    parts = [common.plain_text(dataset.name if title is None else title)]
    if dataset.n_bins == 0 or not np.ptp(dataset.stat_scan, axis=-1).any():
        return common.explain("The likelihood depends on the flux in no energy bin.", parts)
    figure, ax = common.new_figure()
    dataset.plot(ax=ax, ul=dataset.norm_ul(cl) * dataset.ref())
    for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
        if label == "Upper limit":
            handle.set_label(f"Upper limit, {100 * cl:g} % CL")
    common.set_title(ax, *parts)
    return common.finish(figure, ax)


def castro_map(
    castro, channel=None, title=None, roster=None, truth=None, more=(), main_method=None
):
    """Draw the rise of -2 ln L over mass and signal strength, with the limit over it.

    Decay is drawn over the lifetime.

    Parameters
    ----------
    castro : `~dmgammapy.estimators.CastroMaps`
        Of a target or a stack, with its scan.
    channel : str, optional
        Needed if there are several.
    title : str, optional
        Instead of what the result says of itself.
    roster : str, optional
        Name for the title.
    truth : tuple, optional
        Mass, strength (cross-section, rate or lifetime) and, optionally, channel of an injected
        signal.
    more : list of str
        More words for the title.
    main_method : str, optional
        Method of the main limits of the analysis: if that of the line is another, the title
        names it.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
    """
    ts = common.pick(castro, "ts", channel)
    if title is None:
        more = [*more, *_highest(castro, ts)]
        parts = common.title_parts(castro, channel, roster, more=more, main_method=main_method)
    else:
        parts = [title]
    empty = castro.is_empty[common.select_channel(castro, channel)]
    if "stat_scan" not in castro.available_quantities:
        return common.explain("This result has no scan of the likelihood.", parts)
    if empty.all():
        return common.explain("The data hold no information at any mass.", parts)
    strength, stat = _image(castro, channel, empty)
    limit, best = common.limit_values(castro, channel), common.best_values(castro, channel)
    if castro.process == "decay":
        strength, stat = 1 / strength[::-1], stat[:, ::-1]
        with np.errstate(divide="ignore"):
            best = 1 / best
    figure, ax = common.new_figure()
    plot_stat_map(
        castro.masses, strength, stat, ul=limit, ax=ax, ul_label=LIMIT_LABELS[castro.process]
    )
    masses = castro.masses.to_value("GeV")
    _hatch(ax, masses, empty)
    shown = (ts > TS_SHOWN) & np.isfinite(best)
    if shown.any():
        ax.plot(
            masses[shown], best[shown].to_value(strength.unit), "D", color="white",
            markeredgecolor="black", markersize=5, label=f"Best fit (TS > {TS_SHOWN:g})",
        )  # fmt: skip
    star = common.truth_of(truth, castro, channel, lifetime=True)
    if star is not None:
        _draw_star(ax, *star, strength.unit)
    _draw_flagged(ax, castro, channel, limit)
    _set_view(ax, castro, limit, strength, star)
    common.mark_missing(ax, castro, channel)
    common.set_title(ax, *parts)
    return common.finish(figure, ax)


def simulated_castro(castro, channel=None, truth=None, roster=None, number=None):
    """Draw the castro picture of a single simulation, with the signal it holds.

    Parameters
    ----------
    castro : `~dmgammapy.estimators.CastroMaps`
        Stack of the simulation.
    channel, truth, roster
        As for `castro_map`.
    number : int, optional
        Of the realisation, for the title.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
    """
    more = ["simulation" if number is None else f"simulation {number}"]
    return castro_map(castro, channel, roster=roster, truth=truth, more=more)


def likelihood_curves(
    castro, channel=None, components=None, mass=None, n=N_CURVES, truth=None, roster=None,
    main_method=None,
):  # fmt: skip
    """Draw -2 ln L against signal strength at one mass, of a stack and what matters in it.

    Parameters
    ----------
    castro : `~dmgammapy.estimators.CastroMaps`
        The stack.
    channel : str, optional
        Needed if there are several.
    components : dict of `~dmgammapy.estimators.CastroMaps`, optional
        Results of its targets or instruments, by name. Those that constrain most and those with
        the highest TS are named, the others are grey.
    mass : `~astropy.units.Quantity`, optional
        The nearest is taken. Default is that of the highest TS.
    n : int
        Components that are named. Default is 6.
    truth : tuple, optional
        Mass, strength and, optionally, channel of an injected signal: a vertical line.
    roster : str, optional
        Name for the title.
    main_method : str, optional
        Method of the main limits of the analysis: if that of the stack is another, the title
        names it.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
    """
    parts = common.title_parts(castro, channel, roster, main_method=main_method)
    row = common.select_channel(castro, channel)
    empty = castro.is_empty[row]
    if "stat_scan" not in castro.available_quantities:
        return common.explain("This result has no scan of the likelihood.", parts)
    if empty.all():
        return common.explain("The data hold no information at any mass.", parts)
    i = _mass_index(castro, channel, mass, empty)
    ts = common.pick(castro, "ts", channel)[i]
    mass = castro.masses[i]
    # the level is written at its line
    parts = [*parts[:3], *parts[4:], common.mass_text(mass), f"TS = {ts:.1f}"]
    if empty[i]:
        return common.explain("The data hold no information at this mass.", parts)
    view = _strength_view(castro, row, i)
    unit = castro["reference"].unit
    x = np.append(0, np.geomspace(*view, N_STRENGTHS))
    total = _curve(castro, row, i, x)
    curves = {}
    for name, part in (components or {}).items():
        k = common.select_channel(part, castro.channels[row])
        j = _mass_index(part, part.channels[k], mass)
        if not part.is_empty[k][j]:
            curves[common.plain_text(name)] = _curve(part, k, j, x)
    named = _important(curves, x, total, castro.meta.cl, n)
    figure, ax = common.new_figure()
    others = [name for name in curves if name not in named]
    for name in others:
        first = name == others[0]
        ax.plot(
            x[1:], curves[name][1:], color="0.75", linewidth=0.8, zorder=1,
            label=f"{len(others)} others" if first else "_other",
        )  # fmt: skip
    level = delta_stat_upper(castro.meta.cl)
    plot_likelihood_curves(
        x * unit, {name: curves[name] for name in named}, total=total, level=level, ax=ax, ymax=TOP
    )
    ax.annotate(
        f"{100 * castro.meta.cl:g} %", (0.005, level), xycoords=("axes fraction", "data"),
        xytext=(0, 2), textcoords="offset points", color="0.35", fontsize=9,
    )  # fmt: skip
    _draw_limit_and_truth(ax, castro, channel, i, truth, level)
    if castro.process == "decay":
        ax.secondary_xaxis("top", functions=(_inverse, _inverse)).set_xlabel(r"Lifetime $\tau$ [s]")
    common.set_title(ax, *parts)
    return common.finish(figure, ax, ["Total", f"Limit of all, {100 * castro.meta.cl:g} % CL"])


# ---- parts -----------------------------------------------------------------------------------


def _highest(castro, ts):
    """Words on the highest TS, if there is any."""
    if not np.isfinite(ts).any() or np.nanmax(ts) < TS_SHOWN:
        return []
    i = int(np.nanargmax(ts))
    return [f"TS = {ts[i]:.1f} at {common.mass_text(castro.masses[i])}"]


def _image(castro, channel, empty):
    """Strengths common to all masses, and -2 ln L above the minimum of each mass there."""
    row = common.select_channel(castro, channel)
    scan, delta = castro.strength_scan[row], castro.delta_stat[row]
    some = np.flatnonzero(~empty)
    low, high = scan.value[some, 1].min(), scan.value[some, -1].max()
    limit = common.pick(castro, "norm_ul", channel) * common.pick(castro, "reference", channel)
    if np.isfinite(limit).any():
        low, high = max(low, np.nanmin(limit) / 1e3), min(high, np.nanmax(limit) * 1e3)
    grid = np.geomspace(low, high, N_STRENGTHS)
    stat = np.full((len(empty), N_STRENGTHS), np.nan)
    for i in some:
        last = delta[i, -1]
        stat[i] = np.interp(
            grid, scan.value[i], delta[i], right=last if last > FAR_STAT else np.nan
        )
    return grid * scan.unit, stat


def _hatch(ax, masses, empty):
    """Hatch masses of which the data know nothing."""
    if not empty.any():
        return
    edges = common.mass_edges(masses)
    for i in np.flatnonzero(empty):
        ax.axvspan(
            edges[i], edges[i + 1], facecolor="none", edgecolor="0.7", hatch="//", zorder=1.2,
        )  # fmt: skip


def _draw_star(ax, mass, strength, label, unit):
    ax.plot(
        [mass.to_value("GeV")], [strength.to_value(unit)], linestyle="none", marker="*",
        markersize=16, color="0.7" if "(" in label else "white", markeredgecolor="black",
        markeredgewidth=1.3, zorder=4, label=label,
    )  # fmt: skip


def _draw_flagged(ax, castro, channel, limit):
    flagged = (common.status_values(castro, channel) != LimitStatus.FOUND) & np.isfinite(limit)
    if flagged.any():
        ax.plot(
            castro.masses.to_value("GeV")[flagged], limit.value[flagged], "o", color="black",
            markerfacecolor="white", markersize=7, zorder=3, label="Extrapolated or approximate",
        )  # fmt: skip


def _set_view(ax, castro, limit, strength, star):
    """Strengths from well below the limits to where nothing is allowed."""
    known = limit.to_value(strength.unit)
    known = known[np.isfinite(known)]
    if not known.size:
        return
    below, above = (30, 12) if castro.process == "annihilation" else (12, 30)
    low, high = known.min() / below, known.max() * above
    if star is not None:
        low, high = min(low, star[1].value / 3), max(high, star[1].value * 3)
    ax.set_ylim(max(low, strength.value[0]), min(high, strength.value[-1]))


def _mass_index(castro, channel, mass, empty=None):
    """The mass nearest to the one given, or that of the highest TS."""
    masses = castro.masses.to_value("GeV")
    if mass is not None:
        return int(np.argmin(np.abs(np.log(masses / u.Quantity(mass).to_value("GeV")))))
    ts = common.pick(castro, "ts", channel)
    known = ~empty & np.isfinite(ts)
    if not known.any():
        return 0
    if ts[known].max() <= 0:
        return int(np.flatnonzero(known)[known.sum() // 2])
    return int(np.argmax(np.where(known, ts, -np.inf)))


def _strength_view(castro, row, i):
    scan = castro.strength_scan[row, i].value
    limit = castro["norm_ul"].data[row, i, 0, 0] * castro["reference"].data[row, i, 0, 0]
    if not np.isfinite(limit):
        return scan[1], scan[-1]
    return max(limit * VIEW_BELOW, scan[1]), min(limit * VIEW_ABOVE, scan[-1])


def _curve(castro, row, i, x):
    scan = castro.strength_scan[row, i].value
    return np.interp(x, scan, castro.delta_stat[row, i], right=np.nan)


def _important(curves, x, total, cl, n):
    """Names of the components that rise most to the limit of all, and of the highest TS."""
    beyond = (total > delta_stat_upper(cl)) & (np.arange(len(x)) > np.nanargmin(total))
    at = np.argmax(beyond) if beyond.any() else len(x) - 1
    best = np.nanargmin(total)
    share = {name: np.nan_to_num(c[at] - c[best], nan=-np.inf) for name, c in curves.items()}
    ts = {name: c[0] - np.nanmin(c) for name, c in curves.items()}
    by_ts = sorted((k for k in curves if ts[k] > TS_SHOWN), key=lambda k: -ts[k])[: n // 3]
    ranked = sorted(curves, key=lambda k: -share[k])
    chosen = [*by_ts, *(k for k in ranked if k not in by_ts)][:n]
    return sorted(chosen, key=ranked.index)


def _draw_limit_and_truth(ax, castro, channel, i, truth, level):
    limit = (
        common.pick(castro, "norm_ul", channel)[i] * common.pick(castro, "reference", channel)[i]
    )
    if np.isfinite(limit):
        found = common.status_values(castro, channel)[i] == LimitStatus.FOUND
        ax.plot(
            [limit], [level], "o", color="black", markersize=7, zorder=4,
            markerfacecolor="black" if found else "white",
            label=f"Limit of all, {100 * castro.meta.cl:g} % CL",
        )  # fmt: skip
    star = common.truth_of(truth, castro, channel, lifetime=False)
    if star is not None:
        mass, strength, label = star
        where = f", {common.mass_text(mass)}"
        ax.axvline(
            strength.value, color="0.3", linewidth=1.4, linestyle=(0, (6, 2, 1, 2)),
            label=label + where,
        )  # fmt: skip


def _inverse(x):
    with np.errstate(divide="ignore"):
        return 1 / np.asarray(x, dtype=float)
