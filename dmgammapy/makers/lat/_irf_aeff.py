"""Effective area of one event type."""

import numpy as np

from ._caldb import read_grid, read_parameters
from ._irf_grid import bracket, hat_weights, log10_centers, middles

__all__ = ["EffectiveAreaTable", "piecewise_linear"]

CM2_PER_M2 = 1e4


def piecewise_linear(parameters, log10_energy):
    """Continuous function of three straight pieces in log10 E.

    Parameters
    ----------
    parameters : array, shape (6,)
        Slope and value at 0 of the first piece, slope and start of the second, and of the third.
    log10_energy : array
        log10 of MeV.
    """
    a0, b0, a1, start1, a2, start2 = parameters
    b1 = (a0 - a1) * start1 + b0
    b2 = (a1 - a2) * start2 + b1
    x = np.asarray(log10_energy, dtype=float)
    return np.where(x < start1, a0 * x + b0, np.where(x < start2, a1 * x + b1, a2 * x + b2))


class EffectiveAreaTable:
    """Effective area, bilinear in log10 E and cos theta between the middles of the bins.

    Azimuth averages to the table: the modulation has mean 1.

    Parameters
    ----------
    energy_edges : array, shape (n_energy + 1,)
        MeV.
    costheta_edges : array, shape (n_costheta + 1,)
        Ascending.
    table : array, shape (n_energy, n_costheta)
        m2.
    efficiency_parameters : array, shape (2, 6)
        Of the correction ``p0(E) * livetime fraction + p1(E)``, see `piecewise_linear`; zeros
        for none.
    """

    def __init__(self, energy_edges, costheta_edges, table, efficiency_parameters):
        self.energy_edges, self.costheta_edges = energy_edges, costheta_edges
        self.costheta_min = float(costheta_edges[0])
        self._log10_energy, self._costheta = log10_centers(energy_edges), middles(costheta_edges)
        self._table = table * CM2_PER_M2
        self._parameters = np.asarray(efficiency_parameters, dtype=float)

    @classmethod
    def read(cls, path, event_type):
        """Read one event type's tables of an ``aeff_`` file."""
        energy, costheta, tables = read_grid(path, f"EFFECTIVE AREA_{event_type}", ["EFFAREA"])
        parameters = read_parameters(
            path, f"EFFICIENCY_PARAMS_{event_type}", "EFFICIENCY_PARS", (2, 6)
        )
        return cls(energy, costheta, tables["EFFAREA"], parameters)

    def grid(self, energy, costheta):
        """Effective area [cm2] for energies [MeV] and cosines, array (n_energy, n_costheta)."""
        rows = hat_weights(np.log10(energy), self._log10_energy)
        columns = hat_weights(costheta, self._costheta)
        seen = np.asarray(costheta) >= self.costheta_min
        return rows @ self._table @ columns.T * seen

    def evaluate(self, energy, costheta):
        """Effective area [cm2] at energies [MeV] and cosines that broadcast."""
        energy, costheta = np.broadcast_arrays(energy, costheta)
        i, t = bracket(np.log10(energy), self._log10_energy)
        j, s = bracket(costheta, self._costheta)
        total = np.zeros(energy.shape)
        for di, weight_i in ((0, 1 - t), (1, t)):
            for dj, weight_j in ((0, 1 - s), (1, s)):
                node_i = np.minimum(i + di, len(self._log10_energy) - 1)
                node_j = np.minimum(j + dj, len(self._costheta) - 1)
                total += weight_i * weight_j * self._table[node_i, node_j]
        return total * (costheta >= self.costheta_min)

    def efficiency(self, energy):
        """Factors of livetime and of livetime weighted by its fraction, two arrays (n_energy,).

        Dead time makes the LAT lose events beyond the livetime: the exposure is
        ``A (p1(E) t + p0(E) t_weighted)``.
        """
        log10_energy = np.log10(energy)
        if not np.any(self._parameters):
            return np.ones_like(log10_energy), np.zeros_like(log10_energy)
        weighted, plain = (piecewise_linear(row, log10_energy) for row in self._parameters)
        return plain, weighted
