"""Figures of the region around a target: maps, counts by energy, and what is left over."""

import numpy as np
from matplotlib.figure import Figure

from dmgammapy.estimators.roi._source_table import position_of
from dmgammapy.visualization import roi as drawing
from dmgammapy.visualization._style import outline

from . import _figure_common as common

__all__ = ["region_figure_facts", "region_map", "region_significance", "region_spectrum"]

PANEL, HEIGHT = 3.0, 3.5  # inches
MARKED_TS = 9.0  # of sources that are marked
MOST_MARKED = 9
APART = 2.0  # pixels between marks
MOST_SPECTRA = 4
SPECTRUM_HEIGHT = 5.6  # inches


# ---- maps ------------------------------------------------------------------------------------


def region_map(fit, position=None, title=None):
    """Draw counts, predicted counts and the significance of residuals side by side.

    Parameters
    ----------
    fit : `~dmgammapy.estimators.roi.ROIFit`
    position : `~astropy.coordinates.SkyCoord`, optional
        Of the target. Default is to mark none.
    title : str, optional
        Name of the target.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
    """
    parts = _title(fit, title)
    reason = _without_map(fit)
    if reason is not None:
        return common.explain(reason, parts)
    counts = fit.counts_maps()
    geom = counts["counts"].geom
    hidden = ~_seen(fit)
    # few counts a pixel: colours of the model, which are those of its mean, are its own
    images = [
        (drawing.plot_counts_map, counts["counts"].data, {"title": "Counts", "vmin": 0.0}),
        (drawing.plot_model_map, counts["npred"].data, {"title": "Predicted counts", "vmin": 0.0}),
        (
            drawing.plot_residual_map, fit.residual_maps()["significance"].data,
            {"title": r"Residuals, smoothed [$\sigma$]"},
        ),
    ]  # fmt: skip
    figure = Figure(figsize=(3 * PANEL, HEIGHT), layout="constrained")
    marks = _marks(fit, geom)
    for k, (draw, image, options) in enumerate(images):
        ax = figure.add_subplot(1, 3, k + 1, projection=geom.wcs)
        draw(np.where(hidden, np.nan, image), geom.wcs, ax=ax, label="", **options)
        _draw_marks(ax, marks, position)
        if k:
            ax.coords[1].set_axislabel("")
            ax.coords[1].set_ticklabel_visible(False)
    figure.suptitle(", ".join(parts), fontsize=11)
    return common.finish(figure, figure.axes[0])


def _without_map(fit):
    """Why there is no map, or None."""
    geoms = [dataset.counts.geom.to_image() for dataset in fit.datasets]
    if any(geom.is_region or geom.is_hpx for geom in geoms):
        return "The datasets are no maps of flat pixels."
    if any(geom != geoms[0] for geom in geoms):
        return "The datasets have different pixels, so that their sum can't be drawn."
    return None


def _seen(fit):
    """Pixels that some dataset uses at some energy, array (ny, nx)."""
    seen = np.zeros(fit.datasets[0].counts.data.shape[1:], dtype=bool)
    for dataset in fit.datasets:
        seen |= True if dataset.mask is None else dataset.mask.data.any(axis=0)
    return seen


def _marks(fit, geom):
    """Position and label of the most significant sources, apart from each other."""
    found = []
    least = APART * np.abs(geom.pixel_scales.to_value("deg")).max()
    models = {model.name: model for model in fit.models}  # made anew by every look at fit.models
    table = fit.to_table()
    for row in table[table["ts"] >= MARKED_TS]:
        position = position_of(models[row["name"]])
        if position is None or len(found) == MOST_MARKED or not geom.contains(position).all():
            continue
        if any(position.separation(other).deg < least for other, _ in found):
            continue
        found.append((position, f"{common.plain_text(row['name'])} (TS {row['ts']:.3g})"))
    return found


def _draw_marks(ax, marks, position):
    look = {"linestyle": "none", "color": "black", "path_effects": outline(3.0), "zorder": 4}
    if position is not None:
        x, y = ax.wcs.world_to_pixel(position)
        ax.plot(
            x, y, marker="*", markersize=12, markerfacecolor="white", markeredgewidth=1.3,
            label="Target", **look,
        )  # fmt: skip
    ny, nx = ax.images[0].get_array().shape
    for k, (where, label) in enumerate(marks, start=1):
        x, y = (float(c) for c in ax.wcs.world_to_pixel(where))
        ax.plot(x, y, marker="+", markersize=9, markeredgewidth=1.4, label=f"{k}  {label}", **look)
        right, top = x > 0.9 * nx, y > 0.9 * ny
        ax.annotate(
            str(k), (x, y), xytext=(-5 if right else 5, -5 if top else 5),
            textcoords="offset points", ha="right" if right else "left",
            va="top" if top else "bottom", fontsize=9, path_effects=outline(3.0), zorder=5,
        )  # fmt: skip


# ---- energies and significance ---------------------------------------------------------------


def region_spectrum(fit, title=None):
    """Draw counts by energy with what the models predict, and residuals below.

    Datasets that have other energy bins than the first are drawn side by side.

    Parameters
    ----------
    fit : `~dmgammapy.estimators.roi.ROIFit`
    title : str, optional
        Name of the target.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
    """
    axes = [dataset.counts.geom.axes["energy"] for dataset in fit.datasets]
    names = [None]
    if any(axis != axes[0] for axis in axes):
        names = fit.datasets.names[:MOST_SPECTRA]
    width = common.WIDTH if len(names) == 1 else PANEL * len(names)
    figure = Figure(figsize=(width, SPECTRUM_HEIGHT), layout="constrained")
    grid = figure.subplots(
        2, len(names), sharex="col", squeeze=False, gridspec_kw={"height_ratios": [3, 1]}
    )
    for name, (top, bottom) in zip(names, grid.T, strict=True):
        fit.plot_counts_spectrum(name, axes=(top, bottom))
        top.set_xlabel("")
        if name is not None:
            top.set_title(common.plain_text(name), fontsize=10)
    figure.suptitle(", ".join(_title(fit, title, energies=False)), fontsize=11)
    return figure


def region_significance(fit, title=None):
    """Draw how often every significance of the residuals occurs, and a unit Gaussian.

    Parameters
    ----------
    fit : `~dmgammapy.estimators.roi.ROIFit`
    title : str, optional
        Name of the target.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
    """
    parts = _title(fit, title)
    reason = _without_map(fit)
    if reason is not None:
        return common.explain(reason, parts)
    figure, ax = common.new_figure()
    drawing.plot_significance_histogram(_significance(fit), ax=ax)
    common.set_title(ax, *parts)
    return figure


def _significance(fit):
    """Significance of the residuals in all pixels that are used."""
    return fit.residual_maps()["significance"].data[_seen(fit)]


def _title(fit, title, energies=True):
    parts = [common.plain_text(title)] if title else []
    if energies:
        edges = [d.counts.geom.axes["energy"].edges[[0, -1]] for d in fit.datasets]
        low, high = min(e[0] for e in edges), max(e[1] for e in edges)
        parts.append(f"{_energy_text(low)} to {_energy_text(high)}")
    return parts


def _energy_text(energy):
    mev = energy.to_value("MeV")
    for unit, size in (("TeV", 1e6), ("GeV", 1e3)):
        if mev >= 0.9995 * size:
            return f"{mev / size:.3g} {unit}"
    return f"{mev:.3g} MeV"


def region_figure_facts(call, fit):
    """What a figure of a region shows, for its caption.

    Parameters
    ----------
    call : str
        Name of the function.
    fit : `~dmgammapy.estimators.roi.ROIFit`

    Returns
    -------
    facts : dict
        Of significances ``mean``, ``width``, ``lowest`` and ``highest``; empty without.
    """
    if call == "region_spectrum" or _without_map(fit) is not None:
        return {}
    sigma = _significance(fit)
    sigma = sigma[np.isfinite(sigma)]
    if not sigma.size:
        return {}
    values = {"mean": sigma.mean(), "width": sigma.std()}
    values |= {"lowest": sigma.min(), "highest": sigma.max()}
    return {"residuals": {name: float(value) for name, value in values.items()}}
