"""Spectra with a formula: gamma-ray lines and boxes."""

import numpy as np

from .channels import CHANNELS
from .core import Spectra

__all__ = ["BoxSpectra", "LineSpectra"]


class _FormulaSpectra(Spectra):
    """Spectra for any mass."""

    def __init__(self, name, channels, source):
        super().__init__(name, channels, [], source)

    def _mass_bounds(self):
        return 0.0, np.inf

    def __repr__(self):
        return f"{type(self).__name__}(channels={self.channels})"


class LineSpectra(_FormulaSpectra):
    """Monochromatic photons.

    "gamma" is the annihilation into two photons of energy m. "aZ" is a photon and a Z: one photon
    of energy m (1 - m_Z^2 / 4 m^2); the continuum of the Z's decay isn't included. For the decay
    of a mass m put m/2 for m. A line counts in the bin with E_min < E <= E_max, as the endpoint of
    a continuum does.

    References: Bergström & Ullio 1997, Nucl. Phys. B 504, 27; Fermi-LAT 2015, arXiv:1506.00013,
    eq. 1.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.spectra import LineSpectra
    >>> print(LineSpectra().integrate([50, 90, 110, 200] * u.GeV, 100 * u.GeV, "gamma"))
    [0. 2. 0.]
    """

    reference = "Bergstrom & Ullio 1997 (Nucl. Phys. B 504, 27)"

    def __init__(self):
        super().__init__("line", ("gamma", "aZ"), "line")

    def _valid(self, mass, indices):
        return self._line_energy(mass, indices) > 0

    def _line_energy(self, mass, indices):
        """Photon energy [GeV], shape (channel, mass); 0 below the threshold."""
        boson = np.array([0.0, 2 * CHANNELS["aZ"].threshold])[indices][:, np.newaxis]
        return np.maximum(mass - boson**2 / (4 * mass), 0.0)

    def _dnde(self, energy, mass, indices):
        raise ValueError(
            "The dN/dE of a line is infinite at one energy and zero elsewhere: use "
            "integrate(energy_edges, ...) with norm_type 'flux' or 'eflux'."
        )

    def _cumulative(self, energy, mass, indices, weighted):
        photons = np.array([2.0, 1.0])[indices][:, np.newaxis, np.newaxis]
        position = self._line_energy(mass, indices)[..., np.newaxis]
        above = photons * (energy < position)
        return above * position if weighted else above

    def __reduce__(self):
        return (LineSpectra, ())


class BoxSpectra(_FormulaSpectra):
    """Four photons from two mediators, flat in energy.

    Two dark matter particles annihilate into two scalars, each of energy m, which decay into two
    photons. With r = m_mediator / m the photons have energies
    m/2 (1 - sqrt(1 - r^2)) to m/2 (1 + sqrt(1 - r^2)). The only channel is "box".

    Reference: Ibarra, Lopez Gehler & Pato 2012, arXiv:1205.0007, eq. 2.

    Parameters
    ----------
    mass_ratio : float
        Mass of the mediator over that of the dark matter particle (for decay: over m/2), between
        0 and 1; a ratio near 1 gives a narrow box. Default is 0.5.

    Raises
    ------
    ValueError
        If the ratio isn't between 0 and 1.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.spectra import BoxSpectra
    >>> box = BoxSpectra(mass_ratio=0.6)  # 10 to 90 GeV
    >>> print(box.dnde([5, 50] * u.GeV, 100 * u.GeV, "box"))
    [0.   0.05] 1 / GeV
    >>> print(box.integrate([1, 50, 100] * u.GeV, 100 * u.GeV, "box"))
    [2. 2.]
    """

    reference = "Ibarra, Lopez Gehler & Pato 2012 (arXiv:1205.0007)"

    def __init__(self, mass_ratio=0.5):
        try:
            mass_ratio = float(mass_ratio)
        except (TypeError, ValueError):
            mass_ratio = np.nan
        if not 0 < mass_ratio < 1:
            raise ValueError(f"mass_ratio must be a number between 0 and 1, got {mass_ratio!r}.")
        super().__init__("box", ("box",), {"name": "box", "mass_ratio": mass_ratio})
        self.mass_ratio = mass_ratio

    def _edges(self, mass):
        half_width = np.sqrt(1 - self.mass_ratio**2)
        middle = mass[:, np.newaxis] / 2
        return middle * (1 - half_width), middle * (1 + half_width)

    def _valid(self, mass, indices):
        return np.ones((len(indices), len(mass)), dtype=bool)

    def _dnde(self, energy, mass, indices):
        low, high = self._edges(mass)
        values = np.where((energy >= low) & (energy <= high), 4 / (high - low), 0.0)
        return np.repeat(values[np.newaxis], len(indices), axis=0)

    def _cumulative(self, energy, mass, indices, weighted):
        low, high = self._edges(mass)
        start = np.clip(energy, low, high)
        density = 4 / (high - low)
        power = 2 if weighted else 1
        values = density * (high**power - start**power) / power
        return np.repeat(values[np.newaxis], len(indices), axis=0)

    def _content(self):
        return (*super()._content(), self.mass_ratio)

    def __repr__(self):
        return f"BoxSpectra(mass_ratio={self.mass_ratio:g})"

    def __reduce__(self):
        return (BoxSpectra, (self.mass_ratio,))
