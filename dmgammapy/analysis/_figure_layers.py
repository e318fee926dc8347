"""Layers of figures of limits: targets, medians, blank fields, published curves, truth, relic."""

import astropy.units as u
import numpy as np

from dmgammapy.visualization import thermal_relic
from dmgammapy.visualization._style import percent

from . import _figure_common as common

__all__ = [
    "OF_SIMULATIONS", "draw_blank", "draw_grey", "draw_published", "draw_relic", "draw_truth",
    "mark_median", "target_lines",
]  # fmt: skip

TARGET_GREY = "0.68"
# lightness rises: apart in greyscale, and warm, which the bands are not
PUBLISHED = ("#7f3b08", "#b35806", "#d98032", "#e9a960")
PUBLISHED_LINES = ((0, (5, 2)), (0, (3, 1.3, 1, 1.3)), (0, (1, 1)), (0, (7, 2, 1, 2, 1, 2)))
PUBLISHED_MARKERS = ("s", "^", "D", "v")
BLANK, BLANK_HATCH = "#5e2a84", "#b79bcb"  # apart from both by its hue, and hatched
MANY_POINTS = 30
OF_SIMULATIONS = "Simulations, median"  # is not what is expected without a signal


def target_lines(targets, channel):
    values = [common.limit_values(c, channel) for c in targets.values()]
    masses = [c.masses for c in targets.values()]
    # one line with gaps is as quick to draw as a single target
    joined = np.concatenate([np.append(m.to_value("GeV"), np.nan) for m in masses])
    plain = np.concatenate([np.append(v.value, np.nan) for v in values])
    return joined, plain, f"Each of {len(targets)} targets"


def draw_grey(ax, masses, values, label):
    if values.ndim == 2:  # simulations
        masses = np.tile(np.append(masses.to_value("GeV"), np.nan), len(values))
        values = np.column_stack([values, np.full(len(values), np.nan)]).ravel()
    single = len(np.unique(masses[np.isfinite(masses)])) == 1
    ax.plot(
        masses, values, color=TARGET_GREY if "targets" in label else "0.35", linewidth=0.8,
        marker="_" if single else "none", markersize=14, zorder=1.5, label=label,
    )  # fmt: skip


def mark_median(ax, bands, channel, band):
    """Open diamonds where the median expected limit is extrapolated or approximate."""
    if band.median is None or "quantile" not in bands.geom.axes.names:
        return
    q = bands.geom.axes["quantile"].center.value
    status = common.status_values(bands, channel)[np.argmin(np.abs(q - 0.5))]
    flagged = (status != 0) & np.isfinite(band.median)
    if flagged.any():
        ax.plot(
            bands.masses.to_value("GeV")[flagged], band.median.value[flagged], "D",
            color="black", markerfacecolor="white", markersize=4.5, zorder=2.4,
            label="Expected, extrapolated or approximate",
        )  # fmt: skip


def draw_blank(ax, values, n):
    """The inner one of the bands and the median."""
    masses = values.masses.to_value("GeV")
    ends = masses if len(masses) > 1 else masses[0] * np.array([0.9, 1.1])
    name = "Blank fields" if n is None else f"{n} blank fields"
    if values.bands:
        content = min(values.bands)
        low, high = (np.broadcast_to(v, ends.shape) for v in values.bands[content].value)
        ax.fill_between(
            ends, low, high, facecolor="none", edgecolor=BLANK_HATCH, hatch="///", linewidth=1.0,
            zorder=1.2, label=f"{name}, {percent(content)} %",
        )  # fmt: skip
        for edge in (low, high):
            ax.plot(ends, edge, color=BLANK, linewidth=0.9, linestyle=(0, (4, 1.5)), zorder=1.3)
    if values.median is not None:
        ax.plot(
            ends, np.broadcast_to(values.median.value, ends.shape), color=BLANK, linewidth=1.4,
            linestyle="-.", zorder=1.9, label=f"{name}, median",
        )  # fmt: skip


def draw_published(ax, curves, masses):
    """Draw the curves; their values at the masses of the results are returned."""
    seen = []
    for i, (label, mass, limit) in enumerate(curves):
        k, unit = i % len(PUBLISHED), u.Unit("s") if limit.unit.is_equivalent("s") else "cm3 s-1"
        x, y = mass.to_value("GeV"), limit.to_value(unit)
        ax.plot(
            x, y, color=PUBLISHED[k], linewidth=1.4, linestyle=PUBLISHED_LINES[k],
            marker=PUBLISHED_MARKERS[k] if len(x) <= MANY_POINTS else "none", markersize=4,
            markerfacecolor="white", zorder=1.95, label=common.plain_text(label),
        )  # fmt: skip
        low, high = masses.to_value("GeV")[[0, -1]]
        seen.append(y[(x >= low) & (x <= high)])
    return seen


def draw_truth(ax, truth):
    mass, strength, label = truth
    other = "(" in label
    ax.plot(
        [mass.to_value("GeV")], [strength.value], linestyle="none", marker="*", markersize=15,
        color="0.7" if other else "white", markeredgecolor="black", markeredgewidth=1.3,
        zorder=4, label=label,
    )  # fmt: skip
    return np.array([strength.value])


def draw_relic(ax, unit):
    grid = np.geomspace(*ax.get_xlim(), 200)
    relic = thermal_relic(grid * u.GeV).to_value(unit)
    low, high = ax.get_ylim()
    known = relic[np.isfinite(relic)]
    # within reach it belongs into the view, far away it would only squeeze the limits
    if known.size and low / 30 < known.min() and known.max() < high * 30:
        ax.set_ylim(min(low, known.min() / 1.8), max(high, 1.8 * known.max()))
    ax.plot(
        grid, relic, color="0.3", linewidth=1.6, linestyle=(0, (1, 1.2)), zorder=1.9,
        label="Thermal relic",
    )  # fmt: skip
