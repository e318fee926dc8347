"""Plots of a region of interest: counts, residuals, spectra of counts, correlations."""

import astropy.units as u
import numpy as np

from . import _style as style
from .cube import plot_sky_image

__all__ = [
    "plot_correlation",
    "plot_counts_map",
    "plot_counts_spectrum",
    "plot_model_map",
    "plot_residual_map",
    "plot_significance_histogram",
    "plot_ts_map",
]

SIZE = (6.4, 6.0)  # inches
FEWEST = 0.3  # predicted counts below which components are not followed, where counts end
SIGNIFICANCE = 5.0  # where the colours of residuals end, at least
LINES = (-3.0, 3.0)  # of residuals
LINE_STYLES = {-3.0: "--", 3.0: "-"}
# Of residuals: missing counts get dark, excesses only half as dark, so that in greyscale what is
# darker than the middle grey is missing; lines tell the rest.
RESIDUAL_PALETTE, PALETTE_END = "PuOr_r", 0.83


def plot_counts_map(counts, wcs, ax=None, markers=None, title=None, **kwargs):
    """Draw a map of counts.

    Parameters
    ----------
    counts : array, shape (ny, nx)
    wcs : `~astropy.wcs.WCS`
        Of the image, 2D.
    ax : `~astropy.visualization.wcsaxes.WCSAxes`, optional
        Default is a new one.
    markers : dict of str to `~astropy.coordinates.SkyCoord`, optional
        Places to mark by name.
    title : str, optional
    **kwargs
        For `plot_sky_image`, such as ``vmax``.

    Returns
    -------
    ax : `~astropy.visualization.wcsaxes.WCSAxes`

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.wcs import WCS
    >>> from dmgammapy.visualization.roi import plot_counts_map
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype = "RA---CAR", "DEC--CAR"
    >>> ax = plot_counts_map(np.eye(3), wcs)
    >>> float(ax.images[0].get_array().sum())
    3.0
    """
    label = kwargs.pop("label", "Counts per pixel")
    ax = plot_sky_image(counts, wcs, ax=ax, label=label, markers=markers, title=title, **kwargs)
    ax.coords[0].set_axislabel_position("b")
    ax.coords[0].set_ticklabel_position("b")
    _thin_labels(ax, markers or {})
    return ax


def _thin_labels(ax, names):
    """Hide labels of markers that overlap one before them; the markers stay."""
    labels = [text for text in ax.texts if text.get_text() in names]
    if len(labels) < 2:
        return
    ax.figure.draw_without_rendering()  # before, the places on the page are not known
    kept = []
    for text in labels:
        box = text.get_window_extent()
        if any(box.overlaps(other) for other in kept):
            text.set_visible(False)
        else:
            kept.append(box)


def plot_model_map(npred, wcs, ax=None, markers=None, title=None, **kwargs):
    """Draw a map of predicted counts; parameters as for `plot_counts_map`."""
    kwargs.setdefault("label", "Predicted counts per pixel")
    return plot_counts_map(npred, wcs, ax=ax, markers=markers, title=title, **kwargs)


def plot_residual_map(significance, wcs, ax=None, markers=None, title=None, **kwargs):
    """Draw a map of the significance of residuals, with lines at -3 (dashed) and 3.

    Excesses are orange, missing counts violet and, at the end, darker: the sign of what is strong
    is seen in greyscale, too.

    Parameters
    ----------
    significance : array, shape (ny, nx)
        Negative where counts are missing, NaN where there is none.
    wcs, ax, markers, title
        As for `plot_counts_map`.
    **kwargs
        For `plot_sky_image`.

    Returns
    -------
    ax : `~astropy.visualization.wcsaxes.WCSAxes`
    """
    significance = np.asarray(significance, dtype=float)
    largest = np.nanmax(np.abs(significance), initial=0.0)
    kwargs.setdefault("center", 0.0)
    if not {"vmin", "vmax"} & kwargs.keys():
        kwargs["vmax"] = max(SIGNIFICANCE, largest)
    kwargs.setdefault("label", r"Residual [$\sigma$]")
    plain = "contours" in kwargs
    ax = plot_counts_map(significance, wcs, ax=ax, markers=markers, title=title, **kwargs)
    ax.images[-1].set_cmap(_residual_colors())
    if not plain:
        _draw_residual_lines(ax, significance)
    return ax


def _residual_colors():
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    palette = colormaps[RESIDUAL_PALETTE]
    n = 256
    places = np.concatenate([np.linspace(0, 0.5, n), np.linspace(0.5, PALETTE_END, n)[1:]])
    return ListedColormap(palette(places), name="residuals").with_extremes(bad="none")


def _draw_residual_lines(ax, significance):
    low, high = np.nanmin(significance), np.nanmax(significance)
    levels = [level for level in LINES if low < level < high]
    if not levels:
        return
    lines = ax.contour(
        significance, levels=levels, colors="black", linewidths=1.1,
        linestyles=[LINE_STYLES[level] for level in levels],
    )  # fmt: skip
    lines.set(path_effects=style.outline(2.5))
    ax.clabel(lines, fmt=lambda level: _signed(f"{level:g}"), fontsize=8)


def _signed(text):
    """Text of a number with a minus sign instead of a hyphen."""
    return text.replace("-", "\N{MINUS SIGN}")


def plot_ts_map(sqrt_ts, wcs, ax=None, markers=None, title=None, **kwargs):
    """Draw the square root of the test statistic of one more source, with lines at 3 and 5.

    Parameters
    ----------
    sqrt_ts : array, shape (ny, nx)
        NaN where there is none.
    wcs, ax, markers, title
        As for `plot_counts_map`.
    **kwargs
        For `plot_sky_image`.

    Returns
    -------
    ax : `~astropy.visualization.wcsaxes.WCSAxes`
    """
    sqrt_ts = np.asarray(sqrt_ts, dtype=float)
    largest = np.nanmax(sqrt_ts, initial=0.0)
    kwargs.setdefault("vmin", 0.0)
    kwargs.setdefault("vmax", max(SIGNIFICANCE, largest))
    kwargs.setdefault("label", r"$\sqrt{\mathrm{TS}}$")
    lines = [level for level in (3.0, 5.0) if level < largest]
    if lines:
        kwargs.setdefault("contours", lines)
    return plot_counts_map(sqrt_ts, wcs, ax=ax, markers=markers, title=title, **kwargs)


def plot_significance_histogram(significance, ax=None, bins=None, label="Pixels"):
    """Draw how often significances occur, and the unit Gaussian they should follow.

    Those of residuals follow none where few counts are expected, see
    `~dmgammapy.estimators.roi.ROIFit.residual_maps`.

    Parameters
    ----------
    significance : array
        Of pixels or anything else; NaN is left out.
    ax : `~matplotlib.axes.Axes`, optional
        Default is the current one.
    bins : int or array, optional
        Default is steps of 0.25.
    label : str
        What is counted.

    Returns
    -------
    ax : `~matplotlib.axes.Axes`

    Raises
    ------
    ValueError
        If nothing is finite.

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.visualization.roi import plot_significance_histogram
    >>> ax = plot_significance_histogram([-1.0, 0.0, 1.0, np.nan])
    >>> ax.get_legend_handles_labels()[1][-1]
    'Unit Gaussian'
    """
    values = np.asarray(significance, dtype=float).ravel()
    values = values[np.isfinite(values)]
    if not values.size:
        raise ValueError("no significance is finite, there is nothing to draw.")
    ax = style.get_axes(ax)
    far = max(4.0, np.ceil(np.abs(values).max()))
    edges = np.histogram_bin_edges(values, bins) if bins is not None else np.arange(-far, far, 0.25)
    if bins is None:
        edges = np.append(edges, far)
    mean = _signed(f"{values.mean():.2f}")
    text = f"{label}: mean {mean}, $\\sigma$ {values.std():.2f}"
    ax.hist(values, edges, color=style.COLOR_68, edgecolor="black", linewidth=0.6, label=text)
    x = np.linspace(edges[0], edges[-1], 400)
    width = np.diff(edges).mean()
    gauss = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi) * len(values) * width
    ax.plot(x, gauss, color="black", linestyle="--", label="Unit Gaussian")
    ax.set_yscale("log")
    ax.set_ylim(0.5, None)
    ax.set_xlim(edges[0], edges[-1])
    ax.set_xlabel(r"Significance [$\sigma$]")
    ax.set_ylabel(label)
    ax.set_ylim(0.5, 8 * ax.get_ylim()[1])  # room for the legend
    ax.legend(loc="upper right", framealpha=0.9)
    return ax


def plot_counts_spectrum(energy_edges, counts, npred, components=None, axes=None):
    """Draw counts and predicted counts by energy, and their difference below.

    Parameters
    ----------
    energy_edges : `~astropy.units.Quantity`, shape (n_bins + 1,)
    counts, npred : array, shape (n_bins,)
        Observed and predicted counts.
    components : dict of str to array, shape (n_bins,), optional
        What parts of the models predict, by name.
    axes : (`~matplotlib.axes.Axes`, `~matplotlib.axes.Axes`), optional
        For counts and for residuals. Default is a new figure.

    Returns
    -------
    axes : (`~matplotlib.axes.Axes`, `~matplotlib.axes.Axes`)

    Raises
    ------
    ValueError
        If shapes do not fit or energies do not ascend.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.visualization.roi import plot_counts_spectrum
    >>> top, bottom = plot_counts_spectrum([1, 10, 100] * u.GeV, [121, 16], [100, 16])
    >>> bottom.lines[-1].get_ydata()  # differences in square roots of what is predicted
    array([2.1, 0. ])
    """
    edges, unit = style.positive_axis("energy_edges", energy_edges, u.Quantity(energy_edges).unit)
    n_bins = len(edges) - 1
    counts, npred = (
        style.check_shape(name, values, (n_bins,), "(n_bins,)")
        for name, values in (("counts", counts), ("npred", npred))
    )
    top, bottom = _two_axes() if axes is None else axes
    center = np.sqrt(edges[:-1] * edges[1:])
    _draw_components(top, edges, components or {})
    top.stairs(npred, edges, baseline=None, color="black", linewidth=1.8, label="Sum of models")
    error = np.sqrt(counts)
    shown = counts > 0
    top.errorbar(
        center[shown], counts[shown], error[shown], fmt="o", color="black", markersize=4,
        markerfacecolor="white", label="Counts", zorder=5,
    )  # fmt: skip
    top.set_yscale("log")
    lowest = min(counts[shown].min(initial=np.inf), npred[npred > 0].min(initial=np.inf))
    highest = max(counts.max(), npred.max())
    if np.isfinite(lowest):
        top.set_ylim(max(FEWEST * min(lowest, 1.0), 1e-3), 4 * max(highest, lowest))
    top.set_ylabel("Counts per bin")
    top.legend(loc="upper right", fontsize=7, ncols=2, framealpha=0.9)
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = np.where(npred > 0, (counts - npred) / np.sqrt(npred), np.nan)
    bottom.axhspan(-1, 1, color=style.COLOR_95, zorder=0)
    bottom.axhline(0, color="black", linewidth=0.8)
    bottom.plot(center, residual, "o", color="black", markersize=4, markerfacecolor="white")
    far = max(3.5, 1.15 * np.nanmax(np.abs(residual), initial=0.0))
    bottom.set(ylim=(-far, far), ylabel=r"$(N - M)/\sqrt{M}$")
    bottom.set_xlabel(style.unit_label("Energy", unit))
    for ax in (top, bottom):
        ax.set_xscale("log")
        ax.set_xlim(edges[0], edges[-1])
    return top, bottom


def _two_axes():
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=SIZE, layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    return top, bottom


def _draw_components(ax, edges, components):
    n_bins = len(edges) - 1
    center = np.sqrt(edges[:-1] * edges[1:])
    styles = style.curve_styles(len(components))
    for (name, values), look in zip(components.items(), styles, strict=True):
        values = style.check_shape(f"component {name!r}", values, (n_bins,), "(n_bins,)")
        ax.plot(center, np.where(values > 0, values, np.nan), label=name, markersize=3, **look)


def plot_correlation(names, correlation, separation=None, target="", ax=None):
    """Draw correlations as bars, the first on top.

    Parameters
    ----------
    names : list of str
    correlation : array, shape (n,)
        Between -1 and 1.
    separation : `~astropy.units.Quantity`, shape (n,), optional
        Written beside the names; NaN where there is none.
    target : str
        What they are correlated with.
    ax : `~matplotlib.axes.Axes`, optional
        Default is the current one.

    Returns
    -------
    ax : `~matplotlib.axes.Axes`

    Raises
    ------
    ValueError
        If there is nothing to draw, shapes do not fit, or a correlation is beyond -1 and 1.

    Examples
    --------
    >>> from dmgammapy.visualization.roi import plot_correlation
    >>> ax = plot_correlation(["galactic", "isotropic"], [-0.4, 0.1], target="draco")
    >>> [float(bar.get_width()) for bar in ax.patches]
    [-0.4, 0.1]
    """
    if not len(names):
        raise ValueError("there is no correlation to draw: one parameter was fitted alone.")
    values = style.check_shape("correlation", correlation, (len(names),), "(n,)")
    if not (np.abs(values) <= 1 + 1e-6).all():
        raise ValueError(f"correlations must be between -1 and 1, got {values}.")
    labels = list(names)
    if separation is not None:
        away = style.values_like("separation", separation, "deg", (len(names),), "(n,)")
        labels = [
            f"{name} ({angle:.1f}$\\degree$)" if np.isfinite(angle) else name
            for name, angle in zip(names, away, strict=True)
        ]
    ax = style.get_axes(ax)
    colors = [style.COLOR_68 if value >= 0 else "0.35" for value in values]
    ax.barh(range(len(values)), values, color=colors, edgecolor="black", linewidth=0.6)
    ax.set_yticks(range(len(values)), labels, fontsize=8)
    ax.invert_yaxis()
    ax.axvline(0, color="black", linewidth=0.8)
    far = min(1.0, 1.15 * max(np.abs(values).max(), 0.1))
    ax.set_xlim(-far, far)
    ax.set_xlabel(f"Correlation with {target}" if target else "Correlation")
    return ax
