"""Plots of targets: where they are on the sky, and how large their J-factors are."""

import astropy.units as u
import numpy as np
from astropy.coordinates import Angle

from . import _style as style

__all__ = ["plot_jfactors", "plot_sky"]

FACTOR_UNITS = {
    "J": r"\mathrm{GeV}^2\,\mathrm{cm}^{-5}",
    "D": r"\mathrm{GeV}\,\mathrm{cm}^{-2}",
}
SIZES = (30.0, 110.0)  # areas of the smallest and the largest marker
SKY_SIZE = (9.0, 4.6)  # inches
ROW_HEIGHT = 0.23  # inches of a ladder's rung
LONGITUDES = np.arange(-150, 151, 30)
# where a label may go: directions in degrees, distances in points
DIRECTIONS = (0, 180, 35, 145, -35, -145, 90, -90, 65, -65, 115, -115)
DISTANCES = (7, 12, 18, 26, 36, 48)
LINE_FROM = 8  # points; labels further away get a line


def plot_sky(
    lon, lat, labels=None, values=None, ax=None, projection="mollweide", value_label=None,
    fontsize=8, without_position=(),
):  # fmt: skip
    """Draw places on the whole sky in Galactic coordinates, the centre in the middle.

    Longitude grows to the left. Larger values are darker and larger; a place without value is an
    open circle. Labels are moved until they do not overlap.

    Parameters
    ----------
    lon, lat : `~astropy.units.Quantity`, shape (n,)
        Galactic longitudes and latitudes.
    labels : list of str, optional
        One per place.
    values : array, shape (n,), optional
        Such as log10 of J; NaN where unknown.
    ax : `~matplotlib.axes.Axes`, optional
        With an all-sky projection of matplotlib. Default is a new one.
    projection : str
        "mollweide", "aitoff" or "hammer", for new axes. Default is "mollweide".
    value_label : str, optional
        Label of the colours. Default is log10 of J with its unit.
    fontsize : float
        Size of the labels [points]. Default is 8.
    without_position : list of str, optional
        Names that a note below the map gives.

    Returns
    -------
    ax : `~matplotlib.axes.Axes`

    Raises
    ------
    ValueError
        If shapes do not fit, a place is not finite or the axes are no map of the sky.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.visualization import plot_sky
    >>> ax = plot_sky([86, 221] * u.deg, [35, 50] * u.deg, ["Draco", "Segue 1"], [18.8, 19.5])
    >>> [text.get_text() for text in ax.texts]
    ['Draco', 'Segue 1']
    """
    x = -np.atleast_1d(Angle(lon).wrap_at(180 * u.deg).to_value("rad"))
    y = np.atleast_1d(Angle(lat).to_value("rad"))
    n = len(x)
    y = style.check_shape("lat", y, (n,), "that of lon")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("lon and lat must be finite.")
    labels = [""] * n if labels is None else [str(label) for label in labels]
    if len(labels) != n:
        raise ValueError(f"labels must be {n}, one per place, got {len(labels)}.")
    values = np.full(n, np.nan) if values is None else values
    values = style.check_shape("values", values, (n,), "that of lon")
    ax = _sky_axes(ax, projection)
    _draw_places(ax, x, y, values, value_label)
    if without_position:
        note = "Without position: " + ", ".join(without_position)
        ax.text(
            0.5, -0.06, note, transform=ax.transAxes, ha="center", va="top", fontsize=fontsize,
            wrap=True,
        )  # fmt: skip
    _place_labels(ax, x, y, labels, fontsize)
    return ax


def _sky_axes(ax, projection):
    import matplotlib.pyplot as plt
    from matplotlib.projections.geo import GeoAxes

    if ax is None:
        figure = plt.gcf()
        if figure.axes:
            figure = plt.figure()
        figure.set_size_inches(*SKY_SIZE)
        figure.set_layout_engine("constrained")
        ax = figure.add_subplot(projection=projection)
    if not isinstance(ax, GeoAxes):
        raise ValueError(
            "the axes are no map of the sky; make them with projection='mollweide', 'aitoff' or "
            "'hammer'."
        )
    ax.grid(alpha=0.35, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.set_xticks(np.radians(LONGITUDES))
    names = [f"{-lon % 360}°" for lon in LONGITUDES]
    ax.set_xticklabels(names, fontsize=8, color=style.GREY)
    for text in ax.get_xticklabels():
        text.set_path_effects(style.outline(2.5))
    ax.tick_params(axis="y", labelsize=8, labelcolor=style.GREY)
    ax.set_title("Galactic coordinates", fontsize=10)
    return ax


def _draw_places(ax, x, y, values, value_label):
    known = np.isfinite(values)
    ax.scatter(
        x[~known], y[~known], s=SIZES[0], facecolors="white", edgecolors="black", linewidths=1.2,
        zorder=3, clip_on=False,
    )  # fmt: skip
    if not known.any():
        return
    low, high = values[known].min(), values[known].max()
    span = max(high - low, 1e-9)
    sizes = np.interp(values[known], [low, low + span], SIZES)
    order = np.argsort(-sizes)  # small ones on top
    points = ax.scatter(
        x[known][order], y[known][order], s=sizes[order], c=values[known][order],
        cmap=style.MAP_PALETTE, edgecolors="black", linewidths=0.8, zorder=3, clip_on=False,
    )  # fmt: skip
    if high > low:
        bar = ax.figure.colorbar(points, ax=ax, shrink=0.75, pad=0.03)
        bar.set_label(value_label or _factor_label("J"))


def _place_labels(ax, x, y, labels, fontsize):
    """Put each label near its place, where it covers no place and no other label."""
    figure = ax.figure
    figure.draw_without_rendering()  # the layout decides where things are
    scale = figure.dpi / 72
    places = ax.transData.transform(np.column_stack([x, y])) / scale
    radius = 0.5 * np.sqrt(SIZES[1])
    taken = [np.concatenate([place - radius, place + radius]) for place in places]
    ticks = [*ax.get_xticklabels(), *ax.get_yticklabels(), ax.title]
    taken += [text.get_window_extent().extents / scale for text in ticks]
    frame = ax.get_window_extent().extents / scale
    offsets, joined = {}, {}
    for i in _crowded_first(places):
        if not labels[i]:
            continue
        size = _text_size(figure, labels[i], fontsize) / scale
        others = np.array(taken[:i] + taken[i + 1 :]).reshape(-1, 4)
        offsets[i], distance = _free_offset(places[i], size, others, frame)
        taken.append(np.concatenate([places[i] + offsets[i], places[i] + offsets[i] + size]))
        if distance > LINE_FROM:
            joined[i] = {
                "arrowstyle": "-", "linewidth": 0.6, "color": style.GREY, "shrinkA": 0,
                "shrinkB": 0, "relpos": tuple(np.clip(-offsets[i] / size, 0, 1)),
            }  # fmt: skip
    for i, offset in sorted(offsets.items()):
        ax.annotate(
            labels[i], (x[i], y[i]), xytext=offset, textcoords="offset points",
            fontsize=fontsize, zorder=5, path_effects=style.outline(2.5), in_layout=False,
            arrowprops=joined.get(i), annotation_clip=False, va="bottom",
        )  # fmt: skip


def _text_size(figure, label, fontsize):
    """Width and height of a text [pixels]."""
    text = figure.text(0, 0, label, fontsize=fontsize)
    extent = text.get_window_extent()
    text.remove()
    return np.array([extent.width, extent.height])


def _crowded_first(places):
    """Indices, those with near neighbours first."""
    if len(places) < 2:
        return range(len(places))
    distance = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    np.fill_diagonal(distance, np.inf)
    return np.argsort(np.sort(distance, axis=1)[:, :3].sum(axis=1), kind="stable")


def _free_offset(place, size, taken, frame):
    """Offset of the lower left corner of a label, and how far it is from its place [points]."""
    best, least = None, np.inf
    for distance in DISTANCES:
        for direction in np.radians(DIRECTIONS):
            along = np.array([np.cos(direction), np.sin(direction)])
            # the nearest edge or corner of the label lies at this distance
            offset = distance * along - size * (1 - np.clip(along / 0.5, -1, 1)) / 2
            low, high = place + offset, place + offset + size
            overlap = np.minimum(high, taken[:, 2:]) - np.maximum(low, taken[:, :2])
            outside = np.maximum(frame[:2] - low, 0) + np.maximum(high - frame[2:], 0)
            cost = np.clip(overlap, 0, None).prod(axis=1).sum() + 10 * outside.sum()
            if cost == 0:
                return offset, distance
            if cost < least:
                best, least = (offset, distance), cost
    return best


def plot_jfactors(
    labels, log10_jfactor, log10_jfactor_err=None, ax=None, kind="J", fontsize=None
):  # fmt: skip
    """Draw J-factors with their widths, the largest on top.

    A target without width is an open circle; one without J stands below, and says so.

    Parameters
    ----------
    labels : list of str
        One per target.
    log10_jfactor : array, shape (n,)
        Log10 of J [GeV2 cm-5]; NaN where unknown.
    log10_jfactor_err : array, shape (n,) or (n, 2), optional
        Widths [dex], or those below and above; NaN where unknown.
    ax : `~matplotlib.axes.Axes`, optional
        Default is the current one; new ones are as high as the list needs.
    kind : {"J", "D"}
        J-factors, or D-factors [GeV cm-2]. Default is "J".
    fontsize : float, optional
        Size of the labels [points]. Default is 9, or what fits.

    Returns
    -------
    ax : `~matplotlib.axes.Axes`

    Raises
    ------
    ValueError
        If shapes do not fit, no value is known or a width is negative.

    Examples
    --------
    >>> from dmgammapy.visualization import plot_jfactors
    >>> ax = plot_jfactors(["Draco", "Segue 1"], [18.83, 19.51], [0.16, 0.29])
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['Segue 1', 'Draco']
    """
    labels = [str(label) for label in labels]
    n = len(labels)
    values = style.check_shape("log10_jfactor", log10_jfactor, (n,), "(n,)")
    widths = _two_widths(log10_jfactor_err, n)
    if kind not in FACTOR_UNITS:
        raise ValueError(f"kind must be one of {', '.join(FACTOR_UNITS)}; got {kind!r}.")
    known = np.isfinite(values)
    if not known.any():
        raise ValueError("no value is known; there is nothing to draw.")
    order = np.argsort(np.where(known, -values, np.inf), kind="stable")
    labels, values, widths = [labels[i] for i in order], values[order], widths[order]
    known = np.isfinite(values)
    ax = _ladder_axes(ax, n)
    rows = np.arange(n)
    sure = known & np.isfinite(widths).all(axis=1)
    ax.errorbar(
        values[sure], rows[sure], xerr=widths[sure].T, fmt="o", color="black", markersize=5,
        elinewidth=1.5, capsize=2.5, label="With width",
    )  # fmt: skip
    unsure = known & ~sure
    if unsure.any():
        ax.plot(
            values[unsure], rows[unsure], "o", color="black", markersize=5.5,
            markerfacecolor="white", label="Width unknown",
        )  # fmt: skip
        if sure.any():
            ax.legend(loc="lower right")
    for row in rows[~known]:
        ax.text(
            0.02, row, f"no {kind}", transform=ax.get_yaxis_transform(), va="center",
            color=style.GREY, fontsize=8,
        )  # fmt: skip
    ax.set_ylim(n - 0.4, -0.6)
    ax.set_yticks(rows, labels, fontsize=fontsize or _row_fontsize(ax, n))
    ax.set_xlabel(_factor_label(kind))
    ax.grid(axis="both", alpha=0.25, linewidth=0.6)
    ax.set_axisbelow(True)
    return ax


def _two_widths(widths, n):
    """Widths below and above, shape (n, 2)."""
    if widths is None:
        return np.full((n, 2), np.nan)
    widths = np.asarray(widths, dtype=float)
    if widths.shape not in ((n,), (n, 2)):
        raise ValueError(
            f"log10_jfactor_err must have the shape (n,) or (n, 2), n = {n}, got {widths.shape}."
        )
    if (widths < 0).any():
        raise ValueError("log10_jfactor_err must not be negative.")
    return np.broadcast_to(widths[:, None], (n, 2)) if widths.ndim == 1 else widths


def _ladder_axes(ax, n):
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    figure = plt.gcf()
    if not figure.axes:
        figure.set_size_inches(6.4, max(2.5, 1.2 + ROW_HEIGHT * n))
        figure.set_layout_engine("constrained")
    return plt.gca()


def _row_fontsize(ax, n):
    """Size of labels that do not overlap [points]."""
    height = ax.get_window_extent().height * 72 / ax.figure.dpi / max(n, 1)
    return float(np.clip(height / 1.3, 4, 9))


def _factor_label(kind):
    return rf"$\log_{{10}}({kind}\,/\,{FACTOR_UNITS[kind]})$"
