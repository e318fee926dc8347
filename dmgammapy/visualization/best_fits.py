"""Best fits against mass, zero included."""

import astropy.units as u
import numpy as np

from . import _style as style

__all__ = ["plot_best_fits"]

DECADES = 3  # below the highest value, at most; what is smaller lies between zero and these
MANY_DECADES = 12
ZERO_ROOM = 0.45  # height of the linear part, in decades


def plot_best_fits(
    masses, observed=None, errors=None, median=None, band68=None, band95=None, truth=None, ax=None,
    observed_label="Best fit", mass_unit="GeV", bands=None, band_label="{} expected",
    median_label="Expected, median",
):  # fmt: skip
    """Draw the best signal strengths against mass, those at zero too, on the bands expected.

    The axis is logarithmic, and where anything is zero linear from there to the lowest decade, so
    that points where no signal fits best are seen as such: they are open.

    Parameters
    ----------
    masses : `~astropy.units.Quantity`, shape (n_mass,)
    observed : `~astropy.units.Quantity`, shape (n_mass,), optional
        Best fits, zero or positive; NaN is left out, here and in all that follows.
    errors : `~astropy.units.Quantity`, shape (2, n_mass), optional
        Their errors below and above; one below that is NaN reaches zero.
    median : `~astropy.units.Quantity`, shape (n_mass,), optional
        Median of the best fits expected.
    band68, band95 : `~astropy.units.Quantity`, shape (2, n_mass), optional
        Lower and upper edges of what holds 68 and 95 % of them.
    truth : tuple, optional
        Mass and strength of an injected signal, drawn as a star.
    ax : `~matplotlib.axes.Axes`, optional
        Default is the current one.
    observed_label : str
        Default is "Best fit".
    mass_unit : str
        Default is GeV.
    bands : dict, optional
        More bands like ``band68``, by the fraction of the best fits that they hold, such as 0.9.
    band_label : str
        Label of bands; the braces stand for what they hold, such as "68 %". Default is
        "{} expected".
    median_label : str
        Default is "Expected, median".

    Returns
    -------
    ax : `~matplotlib.axes.Axes`

    Raises
    ------
    ValueError
        If there is nothing to draw, masses are not positive and ascending, shapes do not fit or a
        band holds no fraction between 0 and 1.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.visualization import plot_best_fits
    >>> best = [0, 2e-26, 1e-26] * u.Unit("cm3 s-1")
    >>> ax = plot_best_fits([10, 100, 1000] * u.GeV, best)
    >>> ax.get_legend_handles_labels()[1]
    ['Best fit', 'No signal fits best']
    """
    bands = style.sorted_bands(band68, band95, bands)
    given = [q for q in (observed, median, *(band[0] for _, band, _ in bands)) if q is not None]
    if not given:
        raise ValueError("plot_best_fits needs observed, median or a band, got none of them.")
    unit = u.Quantity(given[0]).unit
    ax = style.get_axes(ax)
    ax.set_xscale("log")
    x, mass_unit = style.positive_axis("masses", masses, mass_unit)
    shapes = {1: (x.shape, "(n_mass,)"), 2: ((2, *x.shape), "(2, n_mass)")}

    def plain(name, values, ndim=1):
        return style.values_like(name, u.Quantity(values), unit, *shapes[ndim])

    drawn = []
    for name, band, color in bands:
        low, high = plain(f"{name} band", band, 2)
        ends = _single(x)
        ax.fill_between(
            ends, np.broadcast_to(low, ends.shape), np.broadcast_to(high, ends.shape),
            color=color, linewidth=0, label=band_label.format(name), zorder=0.9,
        )  # fmt: skip
        drawn += [low, high]
    if median is not None:
        median = plain("median", median)
        ends = _single(x)
        ax.plot(
            ends, np.broadcast_to(median, ends.shape), color="black", linewidth=1.4,
            linestyle="--", label=median_label,
        )  # fmt: skip
        drawn.append(median)
    if observed is not None:
        observed = plain("observed", observed)
        error = None if errors is None else plain("errors", errors, 2)
        _draw_points(ax, x, observed, error, observed_label)
        drawn += [observed] if error is None else [observed, observed + np.nan_to_num(error[1])]
        if error is not None and (np.isnan(error[0]) & (observed > 0)).any():
            drawn.append(np.zeros(1))  # an error that reaches it
    if truth is not None:
        mass, strength = u.Quantity(truth[0]).to_value(mass_unit), u.Quantity(truth[1])
        ax.plot(
            [mass], [strength.to_value(unit)], linestyle="none", marker="*", markersize=15,
            color="white", markeredgecolor="black", markeredgewidth=1.3, zorder=4,
            label="Injected signal",
        )  # fmt: skip
        drawn.append(strength.to_value(unit)[np.newaxis])
    _scale(ax, np.concatenate(drawn))
    ax.set_xlabel(style.unit_label("Mass", mass_unit))
    name = style.label_of(style.STRENGTH_LABELS, unit, "Signal")
    ax.set_ylabel(style.unit_label(f"{name} best fit", unit))
    ax.grid(which="major", alpha=0.25, linewidth=0.6)
    ax.legend(loc="best", framealpha=0.9)
    return ax


def _single(x):
    """The masses, or what makes an area of a single one."""
    return x if len(x) > 1 else x[0] * np.array([0.9, 1.1])


def _draw_points(ax, x, best, errors, label):
    positive, zero = best > 0, best == 0
    if errors is not None:
        low = np.where(np.isfinite(errors[0]), errors[0], best)
        known = np.isfinite(best) & np.isfinite(errors[1])
        ax.errorbar(
            x[known], best[known], yerr=[np.minimum(low, best)[known], errors[1][known]],
            linestyle="none", color="black", linewidth=1.0, zorder=2.5,
        )  # fmt: skip
    # a line shows what belongs together where there is a signal to follow
    ax.plot(x, np.where(positive, best, np.nan), color="black", linewidth=1.2, zorder=2.5)
    ax.plot(
        x[positive], best[positive], "o", color="black", markersize=5, zorder=3, label=label
    )  # fmt: skip
    if zero.any():
        ax.plot(
            x[zero], best[zero], "o", color="black", markerfacecolor="white", markersize=5.5,
            zorder=3, clip_on=False, label="No signal fits best",
        )  # fmt: skip


def _scale(ax, values):
    """Logarithmic; with a zero linear from there to the lowest decade."""
    positive = values[np.isfinite(values) & (values > 0)]
    if not positive.size:
        ax.set_yticks([0])
        ax.set_ylim(-0.1, 1)
        return
    top = np.log10(positive.max())
    lowest = np.floor(np.log10(positive.min()))
    if not (values == 0).any() and top - lowest < MANY_DECADES:
        ax.set_yscale("log")
        ax.set_ylim(positive.min() / 2, 10.0 ** (top + 0.3))
        return
    lowest = max(lowest, np.floor(top) - DECADES)
    start = 10.0**lowest
    # symlog draws the linear part as high as `linscale` decades times 0.9
    ax.set_yscale("symlog", linthresh=start, linscale=ZERO_ROOM)
    decades = 10.0 ** np.arange(lowest, np.ceil(top) + 1)
    ax.set_yticks(np.append(0, decades))
    ax.set_yticks(np.outer(decades, np.arange(2, 10)).ravel(), minor=True)
    ax.axhline(start, color=style.GREY, linewidth=0.7, linestyle=(0, (1, 3)), zorder=0.95)
    ax.annotate(
        "linear below", (1, start), xycoords=("axes fraction", "data"), xytext=(-3, -2),
        textcoords="offset points", ha="right", va="top", fontsize=7, color=style.GREY,
    )  # fmt: skip
    ax.set_ylim(-0.12 * start, 10.0 ** (top + 0.2))
