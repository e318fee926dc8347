"""Figures of photon yields."""

import astropy.units as u
import numpy as np

from dmgammapy.spectra import channel_latex
from dmgammapy.visualization import plot_yields

from . import _figure_common as common

__all__ = ["spectra_by_channel", "spectra_by_mass"]

N_ENERGIES = 240
DECADES = 4.0  # of energy below the endpoint
MANY_CURVES = 9
ENDPOINT = 1 - 1e-9  # tables end there


def spectra_by_channel(spectra, mass, channels=None, process="annihilation"):
    r"""Draw the photon yields of several channels at one mass.

    Parameters
    ----------
    spectra : `~dmgammapy.spectra.Spectra`
    mass : `~astropy.units.Quantity`
    channels : list of str or dict, optional
        Channels or mixtures. Default is all but single polarisations; those below threshold are
        named in the title.
    process : {"annihilation", "decay"}

    Returns
    -------
    figure : `~matplotlib.figure.Figure`

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.analysis.figures import spectra_by_channel
    >>> from dmgammapy.spectra import read_spectra
    >>> figure = spectra_by_channel(read_spectra("pppc4"), 50 * u.GeV, ["b", "W"])
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['$b\\bar{b}$']
    """
    channels = _unpolarised(spectra.channels) if channels is None else list(channels)
    mass = u.Quantity(mass)
    parts = [common.plain_text(spectra.name), f"{process} at {common.mass_text(mass)}"]
    if not _in_range(spectra, mass, process):
        return common.explain(_outside(spectra, mass, process), parts)
    curves, below = {}, []
    energy = _energies(mass, process)
    for channel in channels:
        if spectra.is_valid(mass, channel, process):
            curves[channel_latex(channel)] = spectra.dnde(energy, mass, channel, process)
        else:
            below.append(channel_latex(channel))
    if below:
        parts.append(f"below threshold: {', '.join(below)}")
    return _draw(energy, curves, parts, process, "No channel has a spectrum at this mass.")


def spectra_by_mass(spectra, channel, masses, process="annihilation"):
    """Draw the photon yields of one channel at several masses.

    Parameters
    ----------
    spectra : `~dmgammapy.spectra.Spectra`
    channel : str or dict
        Channel or mixture.
    masses : `~astropy.units.Quantity`, shape (n_mass,)
        Those below threshold or outside of the table are named in the title.
    process : {"annihilation", "decay"}

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
    """
    masses = np.atleast_1d(u.Quantity(masses))
    parts = [common.plain_text(spectra.name), channel_latex(channel), process]
    valid = [
        _in_range(spectra, mass, process) and bool(spectra.is_valid(mass, channel, process))
        for mass in masses
    ]
    without = [common.mass_text(mass) for mass, ok in zip(masses, valid, strict=True) if not ok]
    energy = _energies(masses[valid], process) if any(valid) else None
    curves = {
        common.mass_text(mass): spectra.dnde(energy, mass, channel, process)
        for mass, ok in zip(masses, valid, strict=True)
        if ok
    }
    if without:
        parts.append(f"no spectrum at {', '.join(without)}")
    return _draw(energy, curves, parts, process, "There is no spectrum at any of the masses.")


def _unpolarised(channels):
    """Channels without those of which the sum of all polarisations is there."""
    return [name for name in channels if name[:-1] not in channels or name[-1] not in "LRT"]


def _energies(masses, process):
    """From far below the lowest endpoint to the highest; all endpoints are among them."""
    ends = np.atleast_1d(masses.to_value("GeV")) * (0.5 if process == "decay" else 1.0)
    grid = np.geomspace(ends.min() * 10**-DECADES, ends.max(), N_ENERGIES)
    # on both sides of an endpoint, where lines and leptons have a step
    return np.unique(np.concatenate([grid, ends * ENDPOINT, ends[:-1] * 1.0001])) * u.GeV


def _in_range(spectra, mass, process):
    low, high = spectra.mass_range(process)
    return bool(low <= mass <= high)


def _outside(spectra, mass, process):
    low, high = spectra.mass_range(process)
    return (
        f"{mass:g} lies outside of the spectra {spectra.name}, which cover {low:g} to {high:g} "
        f"for {process}."
    )


def _draw(energy, curves, parts, process, reason):
    if not any(np.any(values > 0 / u.GeV) for values in curves.values()):
        return common.explain(reason, parts)
    figure, ax = common.new_figure(height=5.2 if len(curves) > MANY_CURVES else common.HEIGHT)
    plot_yields(energy, curves, ax=ax)
    ax.set_ylabel(rf"$E^2\,\mathrm{{d}}N/\mathrm{{d}}E$ per {process} [GeV]")
    common.set_title(ax, *parts)
    figure = common.finish(figure, ax)
    if len(curves) > MANY_CURVES:
        _legend_beside(figure, ax)
    return figure


def _legend_beside(figure, ax):
    """Many short labels take less room in a column."""
    handles, labels = ax.get_legend_handles_labels()
    figure.legends[0].remove()
    figure.legend(
        handles, labels, loc="outside right upper", ncols=1 + (len(labels) - 1) // 20,
        frameon=False, fontsize=9,
    )  # fmt: skip
