"""Plots of energy bins: the castro picture of bin-by-bin likelihoods, and fits to them."""

import astropy.units as u
import numpy as np

from . import _style as style

__all__ = ["plot_castro", "plot_sed_fit"]

ARROW = 0.65  # where the arrow of an upper limit ends, in units of the limit
TEV_FROM = 0.3  # TeV
VIEW_BELOW = 30.0  # how far below the data models are followed, as a factor


def plot_castro(
    energy_edges,
    value_grid,
    delta_stat,
    ul=None,
    best=None,
    ax=None,
    vmax=10.0,
    energy_unit=None,
    value_label=None,
):
    """Draw likelihoods of energy bins: -2 ln L above its minimum in energy and flux.

    Parameters
    ----------
    energy_edges : `~astropy.units.Quantity`, shape (n_bins + 1,)
    value_grid : `~astropy.units.Quantity`, shape (n_values,)
        Fluxes, positive and ascending: energy flux, flux or differential flux.
    delta_stat : array, shape (n_bins, n_values)
        -2 ln L above the minimum of each bin; NaN is left blank.
    ul : `~astropy.units.Quantity`, shape (n_bins,), optional
        Upper limits, drawn as bars with an arrow; none where NaN.
    best : `~astropy.units.Quantity`, shape (n_bins,), optional
        Best fits, drawn as points; none where zero or NaN.
    ax : `~matplotlib.axes.Axes`, optional
        Default is the current one.
    vmax : float
        Where the colours end. Default is 10.
    energy_unit : str, optional
        Unit of the energy axis. Default is TeV if the middle of the energies (in the logarithm) is
        above 0.3 TeV, otherwise GeV.
    value_label : str, optional
        Name of the flux. Default is what its unit tells.

    Returns
    -------
    ax : `~matplotlib.axes.Axes`

    Raises
    ------
    ValueError
        If an axis is not positive and ascending, or shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import astropy.units as u
    >>> from dmgammapy.visualization import plot_castro
    >>> flux = np.geomspace(1e-9, 1e-5, 100) * u.Unit("MeV cm-2 s-1")
    >>> width = np.array([[3e-7], [1e-7]]) * flux.unit
    >>> ax = plot_castro([1, 3, 10] * u.GeV, flux, (flux / width) ** 2)
    >>> ax.get_ylabel()
    'Energy flux [MeV cm$^{-2}$ s$^{-1}$]'
    """
    energy_unit = energy_unit or _energy_unit(energy_edges)
    edges, energy_unit = style.positive_axis("energy_edges", energy_edges, energy_unit)
    grid, unit = style.positive_axis("value_grid", value_grid)
    n_bins = len(edges) - 1
    delta_stat = style.check_shape(
        "delta_stat", delta_stat, (n_bins, len(grid)), "(n_bins, n_values)"
    )
    ax = style.get_axes(ax)
    style.draw_stat_mesh(ax, edges, style.log_edges(grid), delta_stat, vmax)
    if ul is not None:
        ul = style.values_like("ul", ul, unit, (n_bins,), "(n_bins,)")
        _draw_limits(ax, edges, ul, color="black", label="Upper limit", effects=style.outline())
    if best is not None:
        best = style.values_like("best", best, unit, (n_bins,), "(n_bins,)")
        shown = best > 0
        ax.plot(
            np.sqrt(edges[:-1] * edges[1:])[shown], best[shown], "o", color="white",
            markeredgecolor="black", label="Best fit" if shown.any() else None,
        )  # fmt: skip
    label = value_label or style.label_of(style.VALUE_LABELS, unit, "Value")
    ax.set(xlim=(edges[0], edges[-1]), ylim=(grid[0], grid[-1]))
    ax.set_xlabel(style.unit_label("Energy", energy_unit))
    ax.set_ylabel(style.unit_label(label, unit))
    if ul is not None or best is not None:
        ax.legend(loc="best", framealpha=0.9)
    return ax


def plot_sed_fit(
    energy_edges,
    value,
    value_err=None,
    ul=None,
    is_ul=None,
    models=None,
    ax=None,
    energy_unit=None,
    value_label=None,
):
    """Draw the flux of every energy bin, as points or upper limits, under models.

    Parameters
    ----------
    energy_edges : `~astropy.units.Quantity`, shape (n_bins + 1,)
    value : `~astropy.units.Quantity`, shape (n_bins,)
        Best fits.
    value_err : `~astropy.units.Quantity`, shape (n_bins,) or (2, n_bins), optional
        Errors, or lower and upper ones.
    ul : `~astropy.units.Quantity`, shape (n_bins,), optional
        Upper limits.
    is_ul : bool array, shape (n_bins,), optional
        Bins shown as upper limits. Default is those whose best fit is not positive.
    models : dict of `~astropy.units.Quantity`, shape (n_bins,), optional
        Fluxes of models by label, drawn as steps.
    ax : `~matplotlib.axes.Axes`, optional
        Default is the current one.
    energy_unit : str, optional
        Unit of the energy axis. Default is TeV if the middle of the energies (in the logarithm) is
        above 0.3 TeV, otherwise GeV.
    value_label : str, optional
        Name of the flux. Default is what its unit tells.

    Returns
    -------
    ax : `~matplotlib.axes.Axes`

    Raises
    ------
    ValueError
        If energies are not positive and ascending, or shapes do not fit.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.visualization import plot_sed_fit
    >>> unit = u.Unit("MeV cm-2 s-1")
    >>> ax = plot_sed_fit(
    ...     [1, 3, 10] * u.GeV, [2e-7, 0] * unit, ul=[4e-7, 1e-7] * unit,
    ...     models={"b": [1e-7, 5e-8] * unit},
    ... )
    >>> ax.get_legend_handles_labels()[1]
    ['b', 'Upper limit', 'Best fit']
    """
    energy_unit = energy_unit or _energy_unit(energy_edges)
    edges, energy_unit = style.positive_axis("energy_edges", energy_edges, energy_unit)
    n_bins = len(edges) - 1
    unit = u.Quantity(value).unit
    value = style.values_like("value", value, unit, (n_bins,), "(n_bins,)")
    is_ul = ~(value > 0) if is_ul is None else np.asarray(is_ul, dtype=bool)
    ax = style.get_axes(ax)
    ax.set_xscale("log")
    ax.set_yscale("log")
    models = models or {}
    for keywords, (label, model) in zip(
        style.curve_styles(len(models)), models.items(), strict=True
    ):
        model = style.values_like(f"models[{label!r}]", model, unit, (n_bins,), "(n_bins,)")
        keywords.pop("marker")
        model = np.where(model > 0, model, np.nan)
        ax.stairs(model, edges, baseline=None, linewidth=1.8, label=label, **keywords)
    if ul is not None:
        ul = style.values_like("ul", ul, unit, (n_bins,), "(n_bins,)")
        _draw_limits(ax, edges, np.where(is_ul, ul, np.nan), color=style.GREY, label="Upper limit")
    shown = ~is_ul & (value > 0)
    data = np.where(shown, value, np.nan if ul is None else ul)
    center = np.sqrt(edges[:-1] * edges[1:])
    yerr = None
    if value_err is not None:
        yerr = u.Quantity(value_err).to_value(unit)
        if yerr.shape not in ((n_bins,), (2, n_bins)):
            raise ValueError(
                f"value_err must have the shape (n_bins,) = {(n_bins,)} or (2, n_bins), "
                f"got {yerr.shape}."
            )
        yerr = yerr[..., shown]
    if shown.any():
        xerr = np.array([center - edges[:-1], edges[1:] - center])[:, shown]
        ax.errorbar(
            center[shown], value[shown], yerr=yerr, xerr=xerr, fmt="o", color="black",
            label="Best fit",
        )  # fmt: skip
    label = value_label or style.label_of(style.VALUE_LABELS, unit, "Value")
    ax.set_xlim(edges[0], edges[-1])
    data = data[data > 0]
    if data.size:
        ax.set_ylim(bottom=max(ax.get_ylim()[0], data.min() / VIEW_BELOW))
    ax.set_xlabel(style.unit_label("Energy", energy_unit))
    ax.set_ylabel(style.unit_label(label, unit))
    ax.legend()
    return ax


def _energy_unit(energy_edges):
    """GeV, or TeV for instruments of such energies."""
    ends = np.atleast_1d(u.Quantity(energy_edges).to_value("TeV"))[[0, -1]]
    return "TeV" if (ends > 0).all() and np.sqrt(ends.prod()) > TEV_FROM else "GeV"


def _draw_limits(ax, edges, ul, color, label, effects=None):
    """Bars over the bins with arrows pointing down; nothing where ``ul`` is NaN or zero."""
    shown = np.isfinite(ul) & (ul > 0)
    if not shown.any():
        return
    center, ul = np.sqrt(edges[:-1] * edges[1:])[shown], ul[shown]
    common = {"color": color, "path_effects": effects}
    ax.vlines(center, ARROW * ul, ul, linewidth=1.4, **common)
    ax.plot(center, ARROW * ul, linestyle="none", marker="v", markersize=4, **common)
    ax.hlines(ul, edges[:-1][shown], edges[1:][shown], linewidth=1.8, label=label, **common)
