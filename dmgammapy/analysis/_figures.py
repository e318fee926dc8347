"""The figures of an analysis."""

import re

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from dmgammapy.spectra import channel_latex

__all__ = ["write_figures"]

DPI = 150
MAX_TARGETS = 30  # rows of the contributions
MAX_CHANNELS = 8  # curves that can be told apart
GREY = "0.65"


def write_figures(analysis, folder):
    """Draw all figures as PNG files.

    Parameters
    ----------
    analysis : `~dmgammapy.analysis.DMAnalysis`
        After its steps have run.
    folder : `~pathlib.Path`
    """
    for channel in analysis.combined.channels:
        name = re.sub(r"[^A-Za-z0-9.]+", "_", channel)
        drawn = {
            "limits": _limits(analysis, channel, analysis.published.get(channel, [])),
            "delta_stat": _delta_stat(analysis, channel),
        }
        if len(analysis.targets) > 1:
            drawn["contributions"] = _contributions(analysis, channel)
        for kind, figure in drawn.items():
            if figure is not None:
                figure.savefig(folder / f"{kind}_{name}.png", dpi=DPI)
    if 1 < len(analysis.combined.channels) <= MAX_CHANNELS:
        _all_limits(analysis).savefig(folder / "limits.png", dpi=DPI)
    target, figure = _sed(analysis)
    figure.savefig(folder / f"sed_{target}.png", dpi=DPI)


def _figure(height=4.6):
    figure = Figure(figsize=(6.6, height), layout="constrained")
    return figure, figure.add_subplot()


def _title(analysis, channel=None, cl=False):
    n = len(analysis.targets)
    parts = [] if channel is None else [channel_latex(channel)]
    parts.append(f"{n} target{'s' if n > 1 else ''}")
    if cl:
        parts.append(f"{100 * analysis.config.limits.cl:g} % CL")
    return ", ".join(parts)


def _has_limits(analysis, channel):
    limit = analysis.combined.slice_by_coord({"channel": channel}).strength_ul
    return bool(np.isfinite(limit.data).any())


def _limits(analysis, channel, published):
    if not _has_limits(analysis, channel):
        return None
    figure, ax = _figure()
    combined = analysis.combined
    if len(analysis.targets) > 1:
        for i, castro in enumerate(analysis.target_maps.values()):
            part = castro.slice_by_coord({"channel": channel})
            quantity = part.tau_ll if part.process == "decay" else part.strength_ul
            ax.plot(
                part.masses.to_value("GeV"), quantity.data.ravel(), color=GREY, lw=0.8,
                label="Each target" if i == 0 else None, zorder=1,
            )  # fmt: skip
    combined.plot_limits(
        channel=channel, ax=ax, thermal_relic=combined.process == "annihilation",
        published=published or None, label="Combined",
    )  # fmt: skip
    ax.set_title(_title(analysis, channel, cl=True))
    return figure


def _all_limits(analysis):
    figure, ax = _figure()
    analysis.combined.plot_limits(ax=ax)
    ax.set_title(_title(analysis, cl=True))
    return figure


def _delta_stat(analysis, channel):
    if not _has_limits(analysis, channel):
        return None
    figure, ax = _figure()
    analysis.combined.plot_stat(channel=channel, ax=ax)
    ax.set_title(_title(analysis, channel))
    return figure


def _contributions(analysis, channel):
    table = analysis.contributions
    table = table[table["channel"] == channel]
    names = list(dict.fromkeys(table["target"]))
    mass = np.unique(table["mass"].to_value("GeV"))
    share = np.array(table["share"], dtype=float).reshape(len(names), len(mass))
    known = np.isfinite(share).any(axis=0)
    if not known.any() or len(mass) < 2:
        return None
    order = np.argsort(-np.nanmean(share[:, known], axis=1), kind="stable")
    rows, labels = share[order], [names[k] for k in order]
    if len(rows) > MAX_TARGETS:
        rest = rows[MAX_TARGETS - 1 :].sum(axis=0)
        rows = np.vstack([rows[: MAX_TARGETS - 1], rest])
        labels = [*labels[: MAX_TARGETS - 1], f"{len(names) - MAX_TARGETS + 1} others"]
    figure, ax = _figure(height=1.6 + 0.22 * len(rows))
    ratio = np.sqrt(mass[1:] / mass[:-1])
    edges = np.concatenate([[mass[0] / ratio[0]], mass[:-1] * ratio, [mass[-1] * ratio[-1]]])
    bound = np.nanmax(np.abs(rows))
    image = ax.pcolormesh(
        edges, np.arange(len(rows) + 1), 100 * rows, cmap="cividis",
        norm=Normalize(-100 * bound, 100 * bound),
    )  # fmt: skip
    ax.set(xscale="log", xlabel="Mass [GeV]", title=_title(analysis, channel))
    ax.set_yticks(np.arange(len(rows)) + 0.5, labels)
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    figure.colorbar(image, label="Share of the combined limit [%]", pad=0.02)
    return figure


def _sed(analysis):
    """Castro picture of the target with the highest TS."""
    peaks = [np.nan_to_num(c["ts"].data).max() for c in analysis.castros]
    k = int(np.argmax(peaks))
    name = analysis.targets[k].name
    figure, ax = _figure()
    analysis.datasets[k].plot(ax=ax)
    ax.set_title(f"{name} (highest TS: {peaks[k]:.1f})")
    return name, figure
