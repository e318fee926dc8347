"""Cross-section of a thermal relic that makes up all dark matter."""

import astropy.units as u
import numpy as np

__all__ = ["thermal_relic"]

# log10(mass / GeV) from -1 to 4 in quarters, <sigma v> in 1e-26 cm3 s-1
LOG10_MASS = np.linspace(-1, 4, 21)
SIGMAV = np.array(
    [4.8, 4.9, 5.1, 5.0, 4.7, 4.5, 3.9, 2.8, 2.5, 2.3, 2.2, 2.2, 2.2]
    + [2.3, 2.3, 2.3, 2.3, 2.3, 2.3, 2.3, 2.4]
)  # fmt: skip
HIGHEST = 1e5  # GeV; about where unitarity forbids heavier thermal relics


def thermal_relic(mass):
    """Annihilation cross-section with which a thermal relic has the observed density.

    For a self-conjugate particle with an s-wave cross-section; twice that for a Dirac fermion.
    Values of Steigman, Dasgupta & Beacom 2012 (Phys. Rev. D 86, 023506, arXiv:1204.3622), who take
    Omega h2 = 0.1120 (it scales as 1 / (Omega h2)), in quarters of a decade and with two digits,
    interpolated in log-log; constant above 10 TeV. Good to 5 %: between 30 GeV and 10 TeV the
    Boltzmann equation with an ideal gas gives 2 to 5 % less. The curve is steepest, and the choice
    of the QCD transition matters most, from 3 to 10 GeV.

    Parameters
    ----------
    mass : `~astropy.units.Quantity`
        Mass, of any shape.

    Returns
    -------
    sigmav : `~astropy.units.Quantity`
        [cm3 s-1], of the same shape; NaN below 0.1 GeV and above 100 TeV.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.visualization import thermal_relic
    >>> print(thermal_relic([1, 100] * u.GeV))
    [4.7e-26 2.2e-26] cm3 / s
    """
    gev = u.Quantity(mass).to_value("GeV")
    inside = (gev >= 0.1) & (gev <= HIGHEST)
    log10_mass = np.log10(np.where(inside, gev, 1.0))
    value = 10.0 ** np.interp(log10_mass, LOG10_MASS, np.log10(SIGMAV)) * 1e-26
    return u.Quantity(np.where(inside, value, np.nan), "cm3 s-1")
