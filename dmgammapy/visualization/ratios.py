"""Limits in units of one of them."""

import astropy.units as u
import numpy as np

from . import _style as style

__all__ = ["plot_limit_ratios"]


def plot_limit_ratios(curves, ax=None, reference=None, mass_unit="GeV"):
    """Draw limits against mass in units of one of them, in the styles of `plot_limits`.

    Parameters
    ----------
    curves : dict
        By label: ``(mass, limit)``, quantities of shape (n_mass,); what follows is ignored. All
        have the masses of the reference.
    ax : `~matplotlib.axes.Axes`, optional
        Default is the current one.
    reference : str, optional
        Label of the one to divide by. Default is the first.
    mass_unit : str
        Default is GeV.

    Returns
    -------
    ax : `~matplotlib.axes.Axes`

    Raises
    ------
    ValueError
        If there are no curves, the reference is unknown, or masses differ.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.visualization import plot_limit_ratios
    >>> mass, limit = [10, 100] * u.GeV, [5e-27, 2e-26] * u.Unit("cm3 s-1")
    >>> ax = plot_limit_ratios({"profile": (mass, limit), "fixed": (mass, 0.5 * limit)})
    >>> [float(y) for y in ax.get_lines()[1].get_ydata()]
    [0.5, 0.5]
    """
    if not curves:
        raise ValueError("plot_limit_ratios needs at least one curve, got none.")
    reference = next(iter(curves)) if reference is None else reference
    if reference not in curves:
        raise ValueError(f"no curve {reference!r} to divide by; there are {list(curves)}.")
    masses, _ = style.positive_axis("mass", curves[reference][0], mass_unit)
    below = u.Quantity(curves[reference][1])
    ax = style.get_axes(ax)
    for keywords, (label, curve) in zip(
        style.curve_styles(len(curves)), curves.items(), strict=True
    ):
        own = u.Quantity(curve[0]).to_value(mass_unit)
        if own.shape != masses.shape or not np.allclose(own, masses, rtol=1e-6):
            raise ValueError(f"the masses of {label!r} are not those of {reference!r}.")
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (u.Quantity(curve[1]) / below).to_value("")
        ax.plot(masses, ratio, markersize=4, linewidth=1.8, label=label, **keywords)
    ax.set_xscale("log")
    ax.set_xlabel(style.unit_label("Mass", mass_unit))
    ax.set_ylabel(f"Ratio to {reference}")
    ax.grid(which="major", alpha=0.25, linewidth=0.6)
    return ax
