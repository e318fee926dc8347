"""Plots of photon yields."""

import astropy.units as u
import numpy as np

from . import _style as style

__all__ = ["plot_yields"]

DECADES_BELOW = 4.0  # of the highest yield, that are shown
LINE = 30.0  # how much a line rises within a factor of two in energy
MANY_IN_A_COLUMN = 16


def plot_yields(energy, dnde, ax=None, energy_unit="GeV"):
    """Draw photon yields, energy squared times dN/dE.

    Parameters
    ----------
    energy : `~astropy.units.Quantity`, shape (n_energy,)
        Ascending.
    dnde : dict of `~astropy.units.Quantity`, shape (n_energy,)
        Photons per energy, by label. Zero and NaN are left out.
    ax : `~matplotlib.axes.Axes`, optional
        Default is the current one.
    energy_unit : str
        Default is GeV.

    Returns
    -------
    ax : `~matplotlib.axes.Axes`
        It shows four decades below the highest value; monochromatic
        lines leave it if there is anything else.

    Raises
    ------
    ValueError
        If there is nothing to draw, energies are not positive and ascending, or shapes do not fit.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.visualization import plot_yields
    >>> ax = plot_yields([1, 10, 100] * u.GeV, {"b": [5, 0.2, 0.001] / u.GeV})
    >>> [float(y) for y in ax.get_lines()[0].get_ydata()]
    [5.0, 20.0, 10.0]
    """
    if not dnde:
        raise ValueError("plot_yields needs at least one spectrum, got none.")
    energies, unit = style.positive_axis("energy", energy, energy_unit)
    ax = style.get_axes(ax)
    ax.set_xscale("log")
    ax.set_yscale("log")
    peaks, lines, powers = [], [], []
    for keywords, (label, values) in zip(style.curve_styles(len(dnde)), dnde.items(), strict=True):
        values = style.values_like(
            f"dnde[{label!r}]", values, 1 / u.Unit(unit), energies.shape, "(n_energy,)"
        )
        power = energies**2 * values
        keywords.pop("marker")
        ax.plot(
            energies, np.where(power > 0, power, np.nan), linewidth=1.6, label=label, **keywords
        )
        powers.append(np.nan_to_num(power))
        _add_peak(peaks, lines, energies, np.nan_to_num(power))
    ax.set_xlim(energies[0], energies[-1])
    highest = max(peaks or lines, default=0.0)
    if highest > 0:
        lowest = highest * 10**-DECADES_BELOW
        ax.set_ylim(lowest, 3 * highest)
        seen = (np.array(powers) > lowest).any(axis=0)
        ax.set_xlim(left=energies[max(np.argmax(seen) - 1, 0)])
    ax.set_xlabel(style.unit_label("Energy", unit))
    ax.set_ylabel(style.unit_label(r"$E^2\,\mathrm{d}N/\mathrm{d}E$", unit))
    ax.grid(which="major", alpha=0.25, linewidth=0.6)
    ax.legend(ncols=1 + (len(dnde) - 1) // MANY_IN_A_COLUMN)
    return ax


def _add_peak(peaks, lines, energies, power):
    """Put the highest value of a spectrum to those of lines or to the others."""
    top = int(np.argmax(power))
    at_half = np.interp(0.5 * energies[top], energies, power)
    (lines if power[top] > LINE * at_half else peaks).append(power[top])
