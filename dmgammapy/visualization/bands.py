"""Observed limits on the bands expected without a signal."""

import astropy.units as u
import numpy as np

from . import _style as style
from .limits import _limit_curve, _marker
from .thermal_relic import thermal_relic as relic_cross_section

__all__ = ["plot_limit_bands", "plot_limit_panels"]

PANEL_WIDTH, PANEL_HEIGHT = 4.0, 3.6  # inches
MAX_COLUMNS = 3


def plot_limit_bands(
    masses, observed=None, median=None, band68=None, band95=None, ax=None, thermal_relic=True,
    observed_label="Observed", median_label="Expected, median", status=None, truth=None,
    mass_unit="GeV", bands=None, band_label="{} expected",
):  # fmt: skip
    """Draw a limit against mass on the bands expected without a signal.

    Parameters
    ----------
    masses : `~astropy.units.Quantity`, shape (n_mass,)
    observed : `~astropy.units.Quantity`, shape (n_mass,), optional
        Observed limit: of cross-sections, lifetimes or decay rates. NaN makes a gap, here and in
        all that follows.
    median : `~astropy.units.Quantity`, shape (n_mass,), optional
        Median expected limit, dashed.
    band68, band95 : `~astropy.units.Quantity`, shape (2, n_mass), optional
        Lower and upper edge of the bands that hold 68 and 95 % of the limits without a signal; a
        pair of quantities will do.
    ax : `~matplotlib.axes.Axes`, optional
        Default is the current one.
    thermal_relic : bool
        Draw the cross-section of a thermal relic. Default is True; not drawn for decay.
    observed_label, median_label : str
    status : array, shape (n_mass,), optional
        Where it is not zero the observed limit gets an open marker.
    truth : tuple, optional
        Mass and strength of an injected signal, drawn as a star.
    mass_unit : str
        Unit of the mass axis. Default is GeV.
    bands : dict, optional
        More bands like ``band68``, by the fraction of the limits that they hold, such as 0.9.
    band_label : str
        Label of bands; the braces stand for what they hold, such as "68 %". Default is
        "{} expected".

    Returns
    -------
    ax : `~matplotlib.axes.Axes`

    Raises
    ------
    ValueError
        If there is nothing to draw, masses are not positive and ascending, shapes do not fit, a
        band lies upside down or holds no fraction between 0 and 1.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.visualization import plot_limit_bands
    >>> mass = [10, 100, 1000] * u.GeV
    >>> median = [5e-27, 2e-26, 2e-25] * u.Unit("cm3 s-1")
    >>> ax = plot_limit_bands(
    ...     mass, 1.2 * median, median, (0.7 * median, 1.5 * median), (0.5 * median, 2.2 * median)
    ... )
    >>> ax.get_legend_handles_labels()[1]
    ['95 % expected', '68 % expected', 'Expected, median', 'Observed', 'Thermal relic']
    """
    bands = style.sorted_bands(band68, band95, bands)
    given = [q for q in (observed, median, *(band[0] for _, band, _ in bands)) if q is not None]
    if not given:
        raise ValueError("plot_limit_bands needs observed, median or a band, got none of them.")
    unit = u.Quantity(given[0]).unit
    ax = style.get_axes(ax)
    ax.set_xscale("log")
    ax.set_yscale("log")
    values, mass_unit = style.positive_axis("masses", masses, mass_unit)
    for name, band, color in bands:
        low, high = _edges(name, masses, band, mass_unit, unit)
        _fill(ax, values, low, high, color, band_label.format(name))
    if median is not None:
        _, curve = _limit_curve(median_label, masses, median, mass_unit, unit)
        marker = "_" if _isolated(curve).any() else "none"
        ax.plot(
            values, curve, color="black", linewidth=1.4, linestyle="--", marker=marker,
            label=median_label,
        )  # fmt: skip
    if observed is not None:
        _, curve = _limit_curve(observed_label, masses, observed, mass_unit, unit)
        ax.plot(
            values, curve, color="black", linewidth=2, marker=_marker(values), markersize=4,
            label=observed_label,
        )  # fmt: skip
        _draw_flagged(ax, values, curve, status)
    if thermal_relic and unit.is_equivalent("cm3 s-1"):
        low, high = (values[0], values[-1]) if len(values) > 1 else (values[0] / 2, values[0] * 2)
        grid = np.geomspace(low, high, 200)
        relic = relic_cross_section(grid * mass_unit).to_value(unit)
        ax.plot(
            grid, relic, color="0.3", linewidth=1.6, linestyle=(0, (1, 1.2)), zorder=1.9,
            label="Thermal relic",
        )  # fmt: skip
    if truth is not None:
        mass, strength = u.Quantity(truth[0]), u.Quantity(truth[1])
        ax.plot(
            [mass.to_value(mass_unit)], [strength.to_value(unit)], linestyle="none", marker="*",
            markersize=15, color="white", markeredgecolor="black", markeredgewidth=1.3, zorder=4,
            label="Injected signal",
        )  # fmt: skip
    ax.set_xlabel(style.unit_label("Mass", mass_unit))
    bound = "lower limit" if unit.is_equivalent("s") else "upper limit"
    name = style.label_of(style.STRENGTH_LABELS, unit, "Signal")
    ax.set_ylabel(style.unit_label(f"{name} {bound}", unit))
    ax.grid(which="major", alpha=0.25, linewidth=0.6)
    ax.legend(loc="best", framealpha=0.9)
    return ax


def plot_limit_panels(panels, axes=None, n_columns=None, **kwargs):
    """Draw limits of several channels on their bands, one panel each, on common axes.

    Parameters
    ----------
    panels : dict
        By title: a dict of parameters of `plot_limit_bands`, of which ``masses`` and one more are
        needed.
    axes : array of `~matplotlib.axes.Axes`, optional
        As many as panels. Default is a new figure.
    n_columns : int, optional
        Columns of the new figure. Default is as many as panels, 3 at most.
    **kwargs
        Passed to `plot_limit_bands` for every panel.

    Returns
    -------
    axes : array of `~matplotlib.axes.Axes`, shape (n_panel,)

    Raises
    ------
    ValueError
        If there are no panels, or more than axes.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.visualization import plot_limit_panels
    >>> mass = [10, 100, 1000] * u.GeV
    >>> median = [5e-27, 2e-26, 2e-25] * u.Unit("cm3 s-1")
    >>> axes = plot_limit_panels(
    ...     {name: dict(masses=mass, median=median) for name in ("b", "tau")}
    ... )
    >>> [ax.get_title() for ax in axes]
    ['b', 'tau']
    """
    if not panels:
        raise ValueError("plot_limit_panels needs at least one panel, got none.")
    n_panels = len(panels)
    if axes is None:
        import matplotlib.pyplot as plt

        n_columns = min(n_panels, n_columns or MAX_COLUMNS)
        n_rows = -(-n_panels // n_columns)
        _, grid = plt.subplots(
            n_rows, n_columns, figsize=(PANEL_WIDTH * n_columns, PANEL_HEIGHT * n_rows),
            sharex=True, sharey=True, squeeze=False, layout="constrained",
        )  # fmt: skip
        axes = grid.ravel()
        for ax in axes[n_panels:]:
            ax.remove()
        for ax in axes[max(n_panels - n_columns, 0) : n_panels]:
            ax.tick_params(labelbottom=True)  # nothing is below it
        axes = axes[:n_panels]
    axes = np.atleast_1d(np.asarray(axes, dtype=object)).ravel()
    if len(axes) != n_panels:
        raise ValueError(f"plot_limit_panels got {n_panels} panels but {len(axes)} axes.")
    for i, (ax, (title, panel)) in enumerate(zip(axes, panels.items(), strict=True)):
        plot_limit_bands(ax=ax, **{**kwargs, **panel})
        ax.set_title(title)
        if i:
            ax.get_legend().remove()
        if _has_neighbour(ax, axes, "colspan", -1):
            ax.set_ylabel("")
        if _has_neighbour(ax, axes, "rowspan", 1):
            ax.set_xlabel("")
    return axes


def _has_neighbour(ax, axes, span, step):
    """Whether another panel lies next to one: to its left (colspan, -1) or below (rowspan, 1)."""
    place, other_span = ax.get_subplotspec(), {"colspan": "rowspan", "rowspan": "colspan"}[span]
    places = [other.get_subplotspec() for other in axes]
    return place is not None and any(
        getattr(p, span).start == getattr(place, span).start + step
        and getattr(p, other_span).start == getattr(place, other_span).start
        for p in places
        if p is not None
    )


def _edges(name, masses, band, mass_unit, unit):
    """Plain lower and upper edges; an error if they are swapped."""
    if len(band) != 2:
        raise ValueError(f"the {name} band must be a lower and an upper edge, got {len(band)}.")
    low, high = (
        _limit_curve(f"{edge} edge of the {name} band", masses, values, mass_unit, unit)[1]
        for edge, values in zip(("lower", "upper"), band, strict=True)
    )
    if (low > high).any():
        i = np.argmax(low > high)
        raise ValueError(
            f"the {name} band lies upside down at mass {u.Quantity(masses)[i]:g}: {low[i]:g} to "
            f"{high[i]:g} {unit}; give the lower edge first."
        )
    return low, high


def _isolated(values):
    """Finite values without a finite neighbour, which a line or an area cannot show."""
    known = np.isfinite(values)
    beside = np.zeros(len(known), bool)
    beside[1:] |= known[:-1]
    beside[:-1] |= known[1:]
    return known & ~beside


def _fill(ax, masses, low, high, color, label):
    ax.fill_between(masses, low, high, color=color, linewidth=0, label=label, zorder=0.9)
    alone = _isolated(low + high)
    if alone.any():
        ax.vlines(masses[alone], low[alone], high[alone], color=color, linewidth=10, zorder=0.9)


def _draw_flagged(ax, masses, limit, status):
    if status is None:
        return
    flagged = style.check_shape("status", status, masses.shape, "(n_mass,)") != 0
    flagged &= np.isfinite(limit)
    if flagged.any():
        ax.plot(
            masses[flagged], limit[flagged], linestyle="none", marker="o", markersize=7,
            markerfacecolor="white", color="black", zorder=3, label="Extrapolated or approximate",
        )  # fmt: skip
