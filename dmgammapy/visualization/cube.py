"""Images of the sky: maps of TS or of limits around a position."""

import numpy as np
from astropy.visualization.wcsaxes import WCSAxes

from . import _style as style

__all__ = ["plot_sky_image"]

SIZE = (6.0, 5.0)  # inches
HATCH = "////"


def plot_sky_image(
    values, wcs, ax=None, label="", unit="", log=False, vmin=None, vmax=None, contours=None,
    markers=None, title=None, center=None,
):  # fmt: skip
    """Draw an image of the sky with its coordinates, colours that grow darker with the value.

    Pixels without value are hatched.

    Parameters
    ----------
    values : array, shape (ny, nx)
        NaN where there is none.
    wcs : `~astropy.wcs.WCS`
        Of the image, 2D.
    ax : `~astropy.visualization.wcsaxes.WCSAxes`, optional
        Default is a new one.
    label : str
        What the values are.
    unit : str or `~astropy.units.Unit`
        Unit of the values.
    log : bool
        Colours by the logarithm. Default is False.
    vmin, vmax : float, optional
        Where colours end. Default is the range of the values.
    contours : list of float, optional
        Values to join by lines.
    markers : dict of str to `~astropy.coordinates.SkyCoord`, optional
        Places to mark by name.
    title : str, optional
    center : float, optional
        Value in the middle of the colours, such as 0 for residuals: they end at equal distances
        below and above it, ``vmin`` or ``vmax`` if given, or the farthest value.

    Returns
    -------
    ax : `~astropy.visualization.wcsaxes.WCSAxes`

    Raises
    ------
    ValueError
        If no value is finite, shapes do not fit, the axes have no sky coordinates, or ``center``
        contradicts ``log``, ``vmin`` or ``vmax``.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.wcs import WCS
    >>> from dmgammapy.visualization.cube import plot_sky_image
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype = "RA---CAR", "DEC--CAR"
    >>> ax = plot_sky_image(np.eye(3), wcs, label="TS")
    >>> ax.images[0].get_array().shape
    (3, 3)
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 2:
        raise ValueError(f"values must have the shape (ny, nx), got {values.shape}.")
    good = np.isfinite(values)
    if log:
        good &= values > 0
    if not good.any():
        raise ValueError("no pixel has a value to draw.")
    ax = _image_axes(ax, wcs)
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm, Normalize

    if center is not None:
        vmin, vmax = _centred(center, values[good], log, vmin, vmax)
    low = values[good].min() if vmin is None else vmin
    high = values[good].max() if vmax is None else vmax
    if not high > low:  # one value everywhere is a plain colour
        low, high = (0.9 * low, 1.1 * low) if log else (low - 0.5, low + 0.5)
    norm = LogNorm(low, high) if log else Normalize(low, high)
    cmap = colormaps[style.MAP_PALETTE].with_extremes(bad="none")
    image = ax.imshow(
        np.ma.masked_where(~good, values), origin="lower", cmap=cmap, norm=norm,
        interpolation="nearest", aspect="equal", zorder=1,
    )  # fmt: skip
    if not good.all():
        _hatch(ax, good)
    beyond = [values[good].min() < low, values[good].max() > high]
    extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[
        tuple(int(b) for b in beyond)
    ]
    bar = ax.figure.colorbar(image, ax=ax, extend=extend, pad=0.03)
    bar.set_label(style.unit_label(label, unit))
    if contours is not None:
        _draw_contours(ax, np.where(good, values, np.nan), contours)
    _mark(ax, values.shape, markers)
    if title:
        ax.set_title(title, fontsize=10)
    return ax


def _centred(center, values, log, vmin, vmax):
    """Ends of the colours, as far below a value as above it."""
    if log:
        raise ValueError(f"center={center:g} does not go with log=True; leave one of them out.")
    given = [] if vmin is None else [center - vmin]
    given += [] if vmax is None else [vmax - center]
    if any(d <= 0 for d in given) or (len(given) == 2 and not np.isclose(*given)):
        raise ValueError(
            f"vmin and vmax must lie at equal distances below and above center={center:g}, got "
            f"{vmin} and {vmax}; give one of them."
        )
    distance = given[0] if given else np.abs(values - center).max()
    return center - distance, center + distance


def _image_axes(ax, wcs):
    import matplotlib.pyplot as plt

    if ax is None:
        figure = plt.gcf()
        if figure.axes:
            figure = plt.figure()
        figure.set_size_inches(*SIZE)
        figure.set_layout_engine("constrained")
        ax = figure.add_subplot(projection=wcs)
    if not isinstance(ax, WCSAxes):
        raise ValueError(
            "the axes have no sky coordinates; make them with projection=wcs, e.g. "
            "plt.subplot(projection=cube.geom.wcs)."
        )
    galactic = str(wcs.wcs.ctype[0]).startswith("GLON")
    names = ("Galactic longitude", "Galactic latitude") if galactic else ("RA", "Dec")
    for coordinate, name in zip(ax.coords, names, strict=True):
        coordinate.set_axislabel(f"{name} [deg]", minpad=0.6)
        coordinate.set_format_unit("deg", decimal=True, show_decimal_unit=False)
        coordinate.set_ticks(number=6)
        coordinate.set_ticklabel(exclude_overlapping=True)
    return ax


def _hatch(ax, good):
    from matplotlib.patches import Rectangle

    ny, nx = good.shape
    ax.add_patch(
        Rectangle(
            (-0.5, -0.5), nx, ny, facecolor="white", edgecolor=style.GREY, hatch=HATCH,
            linewidth=0, zorder=0, label="no value",
        )
    )  # fmt: skip


def _draw_contours(ax, values, levels):
    levels = sorted(float(level) for level in levels)
    inside = [level for level in levels if np.nanmin(values) < level < np.nanmax(values)]
    if not inside:
        return
    styles = [style.LINE_STYLES[i % 4] for i in range(len(inside))]
    lines = ax.contour(values, levels=inside, colors="black", linewidths=1.1, linestyles=styles)
    lines.set(path_effects=style.outline(2.5))
    ax.clabel(lines, fmt="%g", fontsize=8)


def _mark(ax, shape, markers):
    ny, nx = shape
    for name, position in (markers or {}).items():
        x, y = (float(np.ravel(c)[0]) for c in ax.wcs.world_to_pixel(position))
        if not (-0.5 <= x <= nx - 0.5 and -0.5 <= y <= ny - 0.5):
            raise ValueError(f"{name} at {position.to_string('decimal')} lies outside the image.")
        ax.plot(
            x, y, marker="+", markersize=13, color="black", markeredgewidth=1.6, linestyle="none",
            path_effects=style.outline(3.5), zorder=4,
        )  # fmt: skip
        right, top = x > 0.65 * nx, y > 0.9 * ny
        ax.annotate(
            name, (x, y), xytext=(-8 if right else 8, -8 if top else 8),
            textcoords="offset points", ha="right" if right else "left",
            va="top" if top else "bottom", fontsize=9, path_effects=style.outline(3.0), zorder=5,
        )  # fmt: skip
