"""Plots in the plane of mass and signal strength."""

import astropy.units as u
import numpy as np

from . import _style as style
from .thermal_relic import thermal_relic as relic_cross_section

__all__ = ["plot_limits", "plot_stat_map"]

N_STRENGTHS = 300
MANY_POINTS = 60  # above it markers are in each other's way
VIEW_BELOW, VIEW_ABOVE = 30.0, 10.0  # around the limits, as factors


def plot_stat_map(
    mass, sigmav, delta_stat, ul=None, best=None, ax=None, vmax=10.0, ul_label="Upper limit",
    mass_unit="GeV",
):  # fmt: skip
    """Draw -2 ln L above its minimum in mass and signal strength, with the limit over it.

    Parameters
    ----------
    mass : `~astropy.units.Quantity`, shape (n_mass,)
    sigmav : `~astropy.units.Quantity`, shape (n_norm,) or (n_mass, n_norm)
        Signal strengths, ascending; those that are not positive are left out.
    delta_stat : array, shape (n_mass, n_norm)
        NaN is left blank.
    ul : `~astropy.units.Quantity`, shape (n_mass,), optional
        Upper limits, drawn as a line with gaps where NaN.
    best : `~astropy.units.Quantity`, shape (n_mass,), optional
        Best fits, drawn as points; none where zero or NaN.
    ax : `~matplotlib.axes.Axes`, optional
        Default is the current one.
    vmax : float
        Where the colours end. Default is 10.
    ul_label : str
        Label of the limit. Default is "Upper limit".
    mass_unit : str
        Unit of the mass axis. Default is GeV.

    Returns
    -------
    ax : `~matplotlib.axes.Axes`

    Raises
    ------
    ValueError
        If masses are not positive and ascending, or shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import astropy.units as u
    >>> from dmgammapy.visualization import plot_stat_map
    >>> sigmav = np.geomspace(1e-28, 1e-22, 100) * u.Unit("cm3 s-1")
    >>> width = np.array([[1e-26], [1e-25]])
    >>> ax = plot_stat_map([10, 100] * u.GeV, sigmav, (sigmav.value / width) ** 2)
    >>> ax.get_xlabel()
    'Mass [GeV]'
    """
    masses, mass_unit = style.positive_axis("mass", mass, mass_unit)
    strength = u.Quantity(sigmav)
    unit = strength.unit
    shape = (len(masses), strength.shape[-1])
    if strength.shape not in (shape, shape[1:]):
        raise ValueError(
            f"sigmav must have the shape (n_norm,) or (n_mass, n_norm) = {shape}, got "
            f"{strength.shape}."
        )
    delta_stat = style.check_shape("delta_stat", delta_stat, shape, "(n_mass, n_norm)")
    grid, image = _on_common_grid(np.broadcast_to(strength.value, shape), delta_stat)
    ax = style.get_axes(ax)
    style.draw_stat_mesh(ax, style.log_edges(masses), style.log_edges(grid), image, vmax)
    view = _last_below(grid, image, vmax)
    if ul is not None:
        ul = style.values_like("ul", ul, unit, (len(masses),), "(n_mass,)")
        ax.plot(
            masses, ul, color="black", linewidth=1.8, marker=_marker(masses), markersize=3.5,
            label=ul_label, path_effects=style.outline(4),
        )  # fmt: skip
        view = ul
    if best is not None:
        best = style.values_like("best", best, unit, (len(masses),), "(n_mass,)")
        ax.plot(
            masses[best > 0], best[best > 0], linestyle="none", marker="D", markersize=5,
            color="white", markeredgecolor="black", label="Best fit",
        )  # fmt: skip
    view = view[np.isfinite(view)]
    if view.size:
        low, high = view.min() / VIEW_BELOW, view.max() * VIEW_ABOVE
        ax.set_ylim(max(low, grid[0]), min(high, grid[-1]))
    ax.set_xlabel(style.unit_label("Mass", mass_unit))
    ax.set_ylabel(style.unit_label(style.label_of(style.STRENGTH_LABELS, unit, "Strength"), unit))
    if ul is not None or best is not None:
        ax.legend(loc="best", framealpha=0.9)
    return ax


def plot_limits(curves, thermal_relic=True, published=None, ax=None, mass_unit="GeV"):
    """Draw limits against mass.

    Parameters
    ----------
    curves : dict
        By label: ``(mass, limit)`` or ``(mass, limit, status)``, quantities of shape (n_mass,).
        The limits are all cross-sections, all lifetimes or all decay rates. NaN makes a gap, and
        points whose ``status`` is not zero get an open marker.
    thermal_relic : bool
        Draw the cross-section of a thermal relic. Default is True; not drawn for decay.
    published : list of tuples, optional
        ``(label, mass, limit)`` of limits to compare with.
    ax : `~matplotlib.axes.Axes`, optional
        Default is the current one.
    mass_unit : str
        Unit of the mass axis. Default is GeV.

    Returns
    -------
    ax : `~matplotlib.axes.Axes`

    Raises
    ------
    ValueError
        If there is nothing to draw, masses are not positive and ascending, or shapes do not fit.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.visualization import plot_limits
    >>> mass = [10, 100, 1000] * u.GeV
    >>> limit = [5e-27, 2e-26, 2e-25] * u.Unit("cm3 s-1")
    >>> ax = plot_limits({"b": (mass, limit)}, published=[("other", mass, 2 * limit)])
    >>> ax.get_legend_handles_labels()[1]
    ['b', 'other', 'Thermal relic']
    """
    published = list(published or [])
    if not curves and not published:
        raise ValueError("plot_limits needs at least one curve, got none.")
    first = next(iter(curves.values()))[1] if curves else published[0][2]
    unit = u.Quantity(first).unit
    ax = style.get_axes(ax)
    ax.set_xscale("log")
    ax.set_yscale("log")
    flagged_any = False
    all_masses = []
    for keywords, (label, curve) in zip(
        style.curve_styles(len(curves)), curves.items(), strict=True
    ):
        masses, limit = _limit_curve(label, curve[0], curve[1], mass_unit, unit)
        all_masses.append(masses)
        marker = keywords.pop("marker")
        ax.plot(
            masses, limit, marker=_marker(masses, marker), markersize=4, linewidth=1.8,
            label=label, **keywords,
        )  # fmt: skip
        flagged = np.zeros(len(masses), bool)
        if len(curve) > 2 and curve[2] is not None:
            flagged = style.check_shape("status", curve[2], masses.shape, "(n_mass,)") != 0
        flagged &= np.isfinite(limit)
        if flagged.any():
            flagged_any = True
            ax.plot(
                masses[flagged], limit[flagged], linestyle="none", marker=marker, markersize=7,
                markerfacecolor="white", color=keywords["color"], zorder=3,
            )  # fmt: skip
    for style_, (label, mass, limit) in zip(
        style.curve_styles(len(published)), published, strict=True
    ):
        masses, limit = _limit_curve(label, mass, limit, mass_unit, unit)
        all_masses.append(masses)
        ax.plot(
            masses, limit, color=style.GREY, linewidth=1.3, marker=style_["marker"],
            markersize=5, markerfacecolor="none", linestyle=style_["linestyle"], label=label,
        )  # fmt: skip
    low, high = min(m[0] for m in all_masses), max(m[-1] for m in all_masses)
    if thermal_relic and u.Unit(unit).is_equivalent("cm3 s-1"):
        if low == high:
            low, high = low / 2, high * 2
        masses = np.geomspace(low, high, 200) * u.Unit(mass_unit)
        ax.plot(
            masses.value, relic_cross_section(masses).to_value(unit), color="0.6", linewidth=3,
            linestyle=(0, (4, 2)), zorder=1, label="Thermal relic",
        )  # fmt: skip
    if flagged_any:
        ax.plot(
            [], [], linestyle="none", marker="o", markersize=7, markerfacecolor="white",
            color="black", label="Extrapolated or approximate",
        )  # fmt: skip
    ax.set_xlabel(style.unit_label("Mass", mass_unit))
    bound = "lower limit" if u.Unit(unit).is_equivalent("s") else "upper limit"
    name = style.label_of(style.STRENGTH_LABELS, unit, "Signal")
    ax.set_ylabel(style.unit_label(f"{name} {bound}", unit))
    ax.grid(which="major", alpha=0.25, linewidth=0.6)
    ax.legend()
    return ax


def _limit_curve(label, mass, limit, mass_unit, unit):
    """Plain masses and limits of a curve; what is not positive becomes a gap."""
    masses, _ = style.positive_axis(f"mass of {label!r}", mass, mass_unit)
    limit = np.atleast_1d(u.Quantity(limit))
    limit = style.values_like(f"limit of {label!r}", limit, unit, masses.shape, "(n_mass,)")
    return masses, np.where(limit > 0, limit, np.nan)


def _marker(masses, marker="o"):
    return marker if len(masses) <= MANY_POINTS else "none"


def _on_common_grid(strength, delta_stat):
    """Bring rows with their own strengths to common ones, NaN outside each row's range."""
    if not (np.diff(strength, axis=1) > 0).all():
        raise ValueError("sigmav must ascend.")
    positive = strength > 0
    if not positive.any(axis=1).all():
        raise ValueError("sigmav holds no positive value.")
    low = min(row[keep][0] for row, keep in zip(strength, positive, strict=True))
    grid = np.geomspace(low, strength[:, -1].max(), N_STRENGTHS)
    if (strength == strength[0]).all() and positive.sum(axis=1)[0] >= N_STRENGTHS:
        grid = strength[0][positive[0]]
    image = np.full((len(strength), len(grid)), np.nan)
    log_grid = np.log(grid)
    for row, keep, values, out in zip(strength, positive, delta_stat, image, strict=True):
        out[:] = np.interp(log_grid, np.log(row[keep]), values[keep], left=np.nan, right=np.nan)
    return grid, image


def _last_below(grid, image, level):
    """Highest strength of each row with a value below ``level``; NaN if there is none."""
    below = image <= level
    last = grid[image.shape[1] - 1 - np.argmax(below[:, ::-1], axis=1)]
    return np.where(below.any(axis=1), last, np.nan)
