"""Point spread function of one event type: two King functions at every node of a table."""

from functools import cached_property

import numpy as np

from ._caldb import read_grid, read_parameters
from ._irf_grid import bracket, hat_weights, log10_centers, middles

__all__ = ["KingPSF", "king", "king_containment", "scale_factor", "sphere_rule"]

COLUMNS = ["NCORE", "NTAIL", "SCORE", "STAIL", "GCORE", "GTAIL"]
RADIUS_MAX = np.pi / 2  # no photon is reconstructed farther than this from its source
GAMMA_MIN = 1.001  # fits that ran into their bound at 1 stand for this


def king(radius, sigma, gamma):
    """King function, integral 2 pi sigma^2 over a plane.

    ``(1 - 1/gamma) (1 + r^2 / (2 sigma^2 gamma))^-gamma``.
    """
    return (1 - 1 / gamma) * (1 + radius**2 / (2 * sigma**2 * gamma)) ** -gamma


def king_containment(radius, sigma, gamma):
    """Fraction of a King function inside a radius, in a plane."""
    return 1 - (1 + radius**2 / (2 * sigma**2 * gamma)) ** (1 - gamma)


def scale_factor(parameters, energy):
    """Width of the PSF over energy [MeV]: ``sqrt((c0 (E / 100 MeV)^-b)^2 + c1^2)``, radian."""
    c0, c1, index = parameters
    return np.hypot(c0 * (np.asarray(energy) / 100.0) ** index, c1)


def sphere_rule(low=1e-7, high=RADIUS_MAX, n_panel=12, order=20):
    """Radii [rad] and weights of an integral over solid angle, panels equal in log radius."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    edges = np.linspace(np.log(low), np.log(high), n_panel + 1)
    half = 0.5 * np.diff(edges)[:, None]
    log_radius = 0.5 * (edges[1:] + edges[:-1])[:, None] + half * nodes
    radius = np.exp(log_radius)
    return radius.ravel(), (half * weights * radius * 2 * np.pi * np.sin(radius)).ravel()


class KingPSF:
    """PSF per steradian, bilinear in log10 E and cos theta between functions at the nodes.

    At a node ``NCORE (King(r; SCORE S, GCORE) + NTAIL King(r; STAIL S, GTAIL))`` with the scale S
    of that node's energy. Every node is normalised over the hemisphere around the source (the
    Science Tools do so below 120 MeV and take the plane above).

    Parameters
    ----------
    energy_edges : array, shape (n_energy + 1,)
        MeV.
    costheta_edges : array, shape (n_costheta + 1,)
    tables : dict of array, shape (n_energy, n_costheta)
        NCORE, NTAIL, SCORE, STAIL, GCORE, GTAIL.
    scaling : array, shape (3,)
        See `scale_factor`.
    """

    def __init__(self, energy_edges, costheta_edges, tables, scaling):
        self.energy_edges, self.costheta_edges = energy_edges, costheta_edges
        self._log10_energy, self._costheta = log10_centers(energy_edges), middles(costheta_edges)
        scale = scale_factor(scaling, 10**self._log10_energy)[:, None]
        self._ntail = tables["NTAIL"]
        self._sigma = [tables[name] * scale for name in ("SCORE", "STAIL")]
        self._gamma = [
            np.where(tables[name] == 1, GAMMA_MIN, tables[name]) for name in ("GCORE", "GTAIL")
        ]

    @classmethod
    def read(cls, path, event_type):
        """Read one event type's tables of a ``psf_`` file."""
        energy, costheta, tables = read_grid(path, f"RPSF_{event_type}", COLUMNS)
        scaling = read_parameters(path, f"PSF_SCALING_PARAMS_{event_type}", "PSFSCALE", (1, 3))[0]
        return cls(energy, costheta, tables, scaling)

    def _shape(self, radius, index=(Ellipsis,)):
        """Both King functions at nodes; radius [rad] broadcasts against ``index``."""
        core, tail = (
            king(radius, sigma[index], gamma[index])
            for sigma, gamma in zip(self._sigma, self._gamma, strict=True)
        )
        return core + self._ntail[index] * tail

    @cached_property
    def _norm(self):
        """Amplitude of every node, array (n_energy, n_costheta) [sr-1]."""
        radius, weights = sphere_rule()
        values = self._shape(radius, (..., None))
        return 1 / (values @ weights)

    def nodes(self, separation):
        """The functions at all nodes.

        Parameters
        ----------
        separation : array, shape (n_rad,)
            Degrees.

        Returns
        -------
        values : array, shape (n_energy, n_costheta, n_rad)
            sr-1.
        """
        radius = np.deg2rad(separation)
        values = self._norm[..., None] * self._shape(radius, (..., None))
        return values * (radius <= RADIUS_MAX)

    def average(self, separation, energy, costheta, weights):
        """Sum over inclinations with weights.

        Parameters
        ----------
        separation : array, shape (n_rad,)
            Degrees.
        energy : array, shape (n_energy,)
            MeV.
        costheta : array, shape (n_costheta,)
        weights : array, shape (n_energy, n_costheta)

        Returns
        -------
        values : array, shape (n_energy, n_rad)
            sr-1 times the unit of the weights.
        """
        table = self.nodes(separation)
        rows = hat_weights(np.log10(energy), self._log10_energy)
        columns = weights @ hat_weights(costheta, self._costheta)
        mix = rows[:, :, None] * columns[:, None, :]
        return mix.reshape(len(rows), -1) @ table.reshape(-1, table.shape[-1])

    def evaluate(self, separation, energy, costheta):
        """PSF [sr-1] at separations [deg], energies [MeV] and cosines that broadcast."""
        separation, energy, costheta = np.broadcast_arrays(separation, energy, costheta)
        radius = np.deg2rad(separation)
        i, t = bracket(np.log10(energy), self._log10_energy)
        j, s = bracket(costheta, self._costheta)
        total = np.zeros(radius.shape)
        for di, weight_i in ((0, 1 - t), (1, t)):
            for dj, weight_j in ((0, 1 - s), (1, s)):
                index = (
                    np.minimum(i + di, len(self._log10_energy) - 1),
                    np.minimum(j + dj, len(self._costheta) - 1),
                )
                total += weight_i * weight_j * self._norm[index] * self._shape(radius, index)
        return total * (radius <= RADIUS_MAX)
