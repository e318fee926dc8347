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
SIZES = (36.0, 150.0)  # areas of the smallest and the largest marker
SKY_SIZE = (9.0, 5.4)  # inches
ROW_HEIGHT = 0.23  # inches of a ladder's rung
LONGITUDES = np.arange(-150, 151, 30)
# where a label may go: directions in degrees, distances in points
DIRECTIONS = (0, 180, 35, 145, -35, -145, 90, -90, 65, -65, 115, -115)
DISTANCES = (7, 12, 18, 26, 36, 48)
LINE_FROM = 12  # points; labels further away get a line


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
        zorder=3,
    )  # fmt: skip
    if not known.any():
        return
    low, high = values[known].min(), values[known].max()
    span = max(high - low, 1e-9)
    sizes = np.interp(values[known], [low, low + span], SIZES)
    order = np.argsort(-sizes)  # small ones on top
    points = ax.scatter(
        x[known][order], y[known][order], s=sizes[order], c=values[known][order],
        cmap=style.MAP_PALETTE, edgecolors="black", linewidths=0.8, zorder=3,
    )  # fmt: skip
    if high > low:
        bar = ax.figure.colorbar(points, ax=ax, shrink=0.75, pad=0.03)
        bar.set_label(value_label or _factor_label("J"))


def _place_labels(ax, x, y, labels, fontsize):
    """Put each label near its place, where it covers no place and no other label."""
    figure = ax.figure
    figure.canvas.draw()  # the layout decides where things are
    renderer = figure.canvas.get_renderer()
    scale = figure.dpi / 72
    places = ax.transData.transform(np.column_stack([x, y]))
    radius = 0.5 * np.sqrt(SIZES[1]) * scale
    taken = [(px - radius, py - radius, px + radius, py + radius) for px, py in places]
    frame = figure.bbox
    for i in _crowded_first(places):
        if not labels[i]:
            continue
        text = ax.annotate(
            labels[i], (x[i], y[i]), xytext=(0, 0), textcoords="offset points",
            fontsize=fontsize, zorder=4, path_effects=style.outline(2.5),
        )  # fmt: skip
        box = text.get_window_extent(renderer)
        _put(text, places[i], (box.width, box.height), taken, i, frame, scale)
    texts = {text.get_text(): k for k, text in enumerate(labels) if text} if False else None
    del texts


def _crowded_first(places):
    """Indices, those with near neighbours first."""
    if len(places) < 2:
        return range(len(places))
    distance = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    np.fill_diagonal(distance, np.inf)
    return np.argsort(np.sort(distance, axis=1)[:, :3].sum(axis=1))
