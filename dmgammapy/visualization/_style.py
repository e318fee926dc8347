"""What the plots of this room share: axes, colours, labels.

Curves differ in colour, line style and marker at once, and all colours come from one palette whose
lightness rises steadily, so that nothing is lost in greyscale.
"""

from itertools import cycle, islice

import astropy.units as u
import numpy as np

LINE_STYLES = ("-", "--", "-.", (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5, 1, 1.5)), (0, (8, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
PALETTE = "viridis"
MAP_PALETTE = "cividis_r"
LIGHTEST = 0.78  # of the palette; lighter lines vanish on white
GREY = "0.45"

# of bands, widest first: lightness 0.93 and 0.74 of white, apart in greyscale, and black lines
# stand out on both
COLOR_95, COLOR_68 = "#d8eeee", "#84c3c4"
NARROW = 0.8  # content of a band that, alone, has the colour of the inner one

# label of a value by its unit
VALUE_LABELS = {
    "MeV cm-2 s-1": "Energy flux",
    "cm-2 s-1": "Flux",
    "MeV-1 cm-2 s-1": r"$\mathrm{d}N/\mathrm{d}E$",
}
STRENGTH_LABELS = {
    "cm3 s-1": r"$\langle\sigma v\rangle$",
    "s": r"Lifetime $\tau$",
    "s-1": r"Decay rate $\Gamma$",
}


def get_axes(ax):
    """The given axes, or the current ones."""
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.gca()
    return ax


def curve_styles(n):
    """Colour, line style and marker of ``n`` curves, as keyword arguments of ``Axes.plot``."""
    import matplotlib as mpl

    colors = mpl.colormaps[PALETTE](np.linspace(0, LIGHTEST, max(n, 4)))
    styles, markers = islice(cycle(LINE_STYLES), n), islice(cycle(MARKERS), n)
    return [
        {"color": color, "linestyle": style, "marker": marker}
        for color, style, marker in zip(colors, styles, markers, strict=False)
    ]


def percent(content):
    """A fraction in per cent, with three digits, or as many as tell it from 100.

    Examples
    --------
    >>> from dmgammapy.visualization._style import percent
    >>> percent(0.95), percent(0.9544), percent(0.99994)
    ('95', '95.4', '99.99')
    """
    for digits in (3, 4, 5, 6):
        text = f"{100 * content:.{digits}g}"
        if text != "100":
            break
    return text


def sorted_bands(band68, band95, bands):
    """Bands by content as ``(name, edges, colour)``, the widest first."""
    found = {0.68: band68, 0.95: band95} | dict(bands or {})
    found = {content: found[content] for content in sorted(found, reverse=True)}
    found = {content: edges for content, edges in found.items() if edges is not None}
    for content in found:
        if not 0 < content < 1:
            raise ValueError(
                f"bands are given by the fraction that they hold, between 0 and 1, got {content}."
            )
    if len(found) == 1:
        shades = [1.0 if content < NARROW else 0.0 for content in found]
    else:
        shades = np.linspace(0, 1, len(found))
    return [
        (f"{percent(content)} %", edges, _mixed(shade))
        for shade, (content, edges) in zip(shades, found.items(), strict=True)
    ]


def _mixed(shade):
    """Colour between that of the outer band (0) and of the inner one (1)."""
    import matplotlib as mpl

    light, dark = (np.array(mpl.colors.to_rgb(color)) for color in (COLOR_95, COLOR_68))
    return mpl.colors.to_hex((1 - shade) * light + shade * dark)


def unit_label(name, unit):
    """Label of an axis, such as ``Mass [GeV]``: energies first, then falling powers of length."""
    unit = u.Unit(unit)
    if unit.scale != 1:
        return f"{name} [{unit.to_string('latex_inline')}]"
    factors = sorted(
        zip(unit.bases, unit.powers, strict=True),
        key=lambda f: (not f[0].is_equivalent("eV"), f[1] < 0, f[1]),
    )
    text = " ".join(f"{base}$^{{{power}}}$" if power != 1 else str(base) for base, power in factors)
    return f"{name} [{text}]" if text else name


def label_of(labels, unit, default=""):
    """Name of the quantity that has a unit, from a table ``{unit: name}``."""
    for known, name in labels.items():
        if u.Unit(unit).is_equivalent(known):
            return name
    return default


def positive_axis(name, values, unit=None, ndim=1):
    """Plain values of an axis that must be positive and ascend, and their unit."""
    values = u.Quantity(values)
    unit = values.unit if unit is None else u.Unit(unit)
    plain = np.atleast_1d(values.to_value(unit))
    if plain.ndim != ndim or plain.size == 0:
        raise ValueError(f"{name} must have {ndim} dimension(s), got the shape {plain.shape}.")
    if not (np.isfinite(plain).all() and (plain > 0).all() and (np.diff(plain) > 0).all()):
        raise ValueError(f"{name} must be positive and ascend, got {values}.")
    return plain, unit


def check_shape(name, array, expected, meaning):
    """The array as floats; an error if it has another shape than expected."""
    array = np.asarray(array, dtype=float)
    if array.shape != expected:
        raise ValueError(f"{name} must have the shape {meaning} = {expected}, got {array.shape}.")
    return array


def values_like(name, values, unit, shape, meaning):
    """Plain values of a quantity in ``unit``, NaN where there is none."""
    return check_shape(name, u.Quantity(values).to_value(unit), shape, meaning)


def log_edges(centers):
    """Edges of cells around centres, halfway in the logarithm; a single cell is a decade wide."""
    logs = np.log10(centers)
    if len(logs) == 1:
        return 10.0 ** (logs[0] + np.array([-0.5, 0.5]))
    half = 0.5 * np.diff(logs)
    inner = logs[:-1] + half
    return 10.0 ** np.concatenate([[logs[0] - half[0]], inner, [logs[-1] + half[-1]]])


def draw_stat_mesh(ax, x_edges, y_edges, delta_stat, vmax):
    """Colour ``delta_stat``, shape (x, y), clipped at ``vmax``, with its colour bar."""
    import matplotlib as mpl

    cmap = mpl.colormaps[MAP_PALETTE].with_extremes(bad="white")
    mesh = ax.pcolormesh(
        x_edges, y_edges, np.ma.masked_invalid(delta_stat.T), cmap=cmap, vmin=0, vmax=vmax,
        rasterized=True,
    )  # fmt: skip
    bar = ax.figure.colorbar(mesh, ax=ax, extend="max", pad=0.02)
    bar.set_label(r"$-2\,\Delta\ln L$")
    ax.set_xscale("log")
    ax.set_yscale("log")
    return mesh


def outline(width=3.0, color="white"):
    """Path effects that keep a line visible on any colour."""
    from matplotlib.patheffects import Normal, Stroke

    return [Stroke(linewidth=width, foreground=color), Normal()]
