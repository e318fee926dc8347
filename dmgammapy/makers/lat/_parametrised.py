"""A response of the LAT from few published numbers, for simulations without IRF files."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

__all__ = ["TABLE", "exposure_per_year", "parametrised_parts"]

# P8R3_SOURCE_V3, front and back: on-axis A_eff [m2], acceptance [m2 sr], exposure of a year of
# survey [cm2 s], containment radii [deg], half width of 68 % of (E' - E) / E
TABLE = np.array([
    [1e2, 0.342, 0.68, 1.32e10, 5.13, 12.8, 0.192],
    [10**2.5, 0.611, 1.57, 2.82e10, 2.07, 5.67, 0.135],
    [1e3, 0.830, 2.25, 3.99e10, 0.781, 2.52, 0.096],
    [10**3.5, 0.927, 2.50, 4.43e10, 0.313, 1.25, 0.076],
    [1e4, 0.923, 2.45, 4.38e10, 0.152, 0.684, 0.065],
    [10**4.5, 0.905, 2.50, 4.43e10, 0.103, 0.495, 0.067],
    [1e5, 0.897, 2.50, 4.43e10, 0.097, 0.418, 0.079],
    [10**5.5, 0.884, 2.47, 4.38e10, 0.094, 0.360, 0.096],
    [1e6, 0.817, 2.14, 3.85e10, 0.082, 0.292, 0.132],
])  # fmt: skip
COLUMNS = ("energy", "area", "acceptance", "exposure", "r68", "r95", "resolution")
ENERGY_RANGE = np.array([50.0, 2e6])  # MeV
COSTHETA_MIN = 0.2
CM2_PER_M2 = 1e4
CHORD2_MAX = 4.0


def tabulated(name, energy):
    """A column of `TABLE` at energies [MeV], straight in logarithms, beyond its ends too."""
    x, y = np.log(TABLE[:, 0]), np.log(TABLE[:, COLUMNS.index(name)])
    log_energy = np.log(np.asarray(energy, dtype=float))
    index = np.clip(np.searchsorted(x, log_energy) - 1, 0, len(x) - 2)
    slope = (y[index + 1] - y[index]) / (x[index + 1] - x[index])
    return np.exp(y[index] + slope * (log_energy - x[index]))


def exposure_per_year(energy):
    """Exposure of one year of survey, the same for the whole sky [cm2 s].

    Parameters
    ----------
    energy : float or array
        MeV, 50 MeV to 2 TeV.

    Examples
    --------
    >>> print(f"{exposure_per_year(1000.0):.3g}")
    3.99e+10
    """
    return tabulated("exposure", energy)


class ParametrisedArea:
    """``A0(E) ((c - 0.2) / 0.8)^k(E)``, k such that the integral over solid angle is published."""

    energy_edges = ENERGY_RANGE
    costheta_min = COSTHETA_MIN

    def evaluate(self, energy, costheta):
        """Effective area [cm2] at energies [MeV] and cosines that broadcast."""
        on_axis, acceptance = tabulated("area", energy), tabulated("acceptance", energy)
        power = 2 * np.pi * (1 - COSTHETA_MIN) * on_axis / acceptance - 1
        height = np.clip((np.asarray(costheta) - COSTHETA_MIN) / (1 - COSTHETA_MIN), 0, None)
        return on_axis * height**power * CM2_PER_M2

    def grid(self, energy, costheta):
        """Effective area [cm2], array (n_energy, n_costheta)."""
        return self.evaluate(np.asarray(energy)[:, None], costheta)

    def efficiency(self, energy):
        """No correction for dead time beyond the livetime."""
        return np.ones(np.shape(energy)), np.zeros(np.shape(energy))


def _excess(chord2, width2, power):
    """Probability outside a radius before truncation: ``(1 + chord^2 / width^2)^(1 - power)``."""
    return (1 + chord2 / width2) ** (1 - power)


def king_from_radii(r68, r95):
    """Width and power of a King function on the sphere with given containment radii.

    In the squared chord ``2 (1 - cos r)`` the function is integrable over the whole sphere.

    Parameters
    ----------
    r68, r95 : float
        Degrees.

    Returns
    -------
    width2, power : float
        Density proportional to ``(1 + chord^2 / width2)^-power``.
    """
    chord2 = 2 * (1 - np.cos(np.deg2rad([r68, r95])))
    outside = np.array([0.32, 0.05])
    for _ in range(50):
        # a = 1 / (power - 1); ratio of squared radii grows with a
        def ratio(a, outside=outside):
            high, low = np.expm1(-a * np.log(outside[1])), np.expm1(-a * np.log(outside[0]))
            return high / low - chord2[1] / chord2[0]

        a = brentq(ratio, 1e-6, 20.0)
        width2, power = chord2[0] / np.expm1(-a * np.log(outside[0])), 1 + 1 / a
        beyond = _excess(CHORD2_MAX, width2, power)
        refined = beyond + (1 - beyond) * np.array([0.32, 0.05])
        if np.allclose(refined, outside, rtol=1e-10):
            break
        outside = refined
    return width2, power


class ParametrisedPSF:
    """One King function per energy, the same for all inclinations, with published radii."""

    energy_edges = ENERGY_RANGE

    def __init__(self):
        energies = np.geomspace(*ENERGY_RANGE, 93)
        pairs = [
            king_from_radii(r68, r95)
            for r68, r95 in zip(tabulated("r68", energies), tabulated("r95", energies), strict=True)
        ]
        self._log_energy = np.log(energies)
        self._width2, self._power = np.array(pairs).T

    def evaluate(self, separation, energy, costheta=None):
        """PSF [sr-1] at separations [deg] and energies [MeV] that broadcast."""
        log_energy = np.log(energy)
        width2 = np.exp(np.interp(log_energy, self._log_energy, np.log(self._width2)))
        power = np.interp(log_energy, self._log_energy, self._power)
        chord2 = 2 * (1 - np.cos(np.deg2rad(separation)))
        norm = (power - 1) / (np.pi * width2 * (1 - _excess(CHORD2_MAX, width2, power)))
        density = norm * (1 + chord2 / width2) ** -power
        return np.broadcast_to(density, np.broadcast_shapes(density.shape, np.shape(costheta)))

    def average(self, separation, energy, costheta, weights):
        """Sum over inclinations with weights, array (n_energy, n_rad)."""
        density = self.evaluate(np.asarray(separation), np.asarray(energy)[:, None])
        return weights.sum(axis=1)[:, None] * density


class ParametrisedDispersion:
    """Gaussian in ``E' / E - 1`` of the published width, cut at positive energies."""

    energy_edges = ENERGY_RANGE

    @staticmethod
    def _sigma(energy_true):
        return tabulated("resolution", energy_true) / 0.994458  # 68 % within 0.994458 sigma

    def cumulative(self, energy, energy_true, costheta, normalised=True):
        """Probability below edges [MeV], array (n_true, n_costheta, n_edge)."""
        sigma = self._sigma(energy_true)[:, None, None]
        edges = np.append(0.0, energy)
        values = ndtr((edges / energy_true[:, None, None] - 1) / sigma)
        zero = values[..., :1]
        values = values[..., 1:] - zero
        values = values / (1 - zero) if normalised else values
        return np.broadcast_to(values, (len(energy_true), len(costheta), len(energy)))

    def evaluate(self, energy, energy_true, costheta=None):
        """Density [MeV-1] at energies [MeV] that broadcast."""
        sigma = self._sigma(energy_true)
        x = (np.asarray(energy) / energy_true - 1) / sigma
        norm = np.sqrt(2 * np.pi) * sigma * energy_true * ndtr(1 / sigma)
        density = np.where(np.asarray(energy) > 0, np.exp(-0.5 * x**2) / norm, 0.0)
        return np.broadcast_to(density, np.broadcast_shapes(density.shape, np.shape(costheta)))


def parametrised_parts():
    """Effective area, PSF and energy dispersion objects."""
    return ParametrisedArea(), ParametrisedPSF(), ParametrisedDispersion()
