"""The LAT's response as tables to draw from. Energies in MeV, angles in radians, areas in cm2."""

from dataclasses import dataclass

import numpy as np

from ._simulate_kernels import accept_rows, measure

__all__ = ["ResponseTables", "make_tables"]

AREA_PER_DECADE, N_COSTHETA_AREA = 64, 161
DRAWS_PER_DECADE, N_COSTHETA_DRAWS = 12, 17
SEPARATION = np.append(0.0, np.geomspace(1e-5, 0.5 * np.pi, 600))
RATIO = np.geomspace(0.02, 20.0, 1501)
# bins of true energy and beyond which of them nothing is measured
BINS_PER_DECADE = 20
LOST_ENERGY = 1e-4
CONTAINMENT = 0.995
MARGIN_MAX = np.deg2rad(25.0)


@dataclass(frozen=True)
class ResponseTables:
    """Tables of all event types.

    Attributes
    ----------
    event_types : list of str
    costheta_min : float
    area_energy, energy : array
        Nodes of the effective area, and of PSF and energy dispersion, equal steps in log E.
    area : array, shape (n_type, n_area_energy, n_area_costheta, 2)
        At livetime fractions 0 and 1.
    psf, edisp : array, shape (n_type, n_energy, n_costheta, n_separation or n_ratio)
        Cumulative distributions.
    """

    event_types: list
    costheta_min: float
    area_energy: np.ndarray
    energy: np.ndarray
    area: np.ndarray
    psf: np.ndarray
    edisp: np.ndarray

    def costheta_step(self, n):
        """Step of n nodes from ``costheta_min`` to 1."""
        return (1.0 - self.costheta_min) / (n - 1)

    def bins(self, energy_min, energy_max):
        """Edges of bins of true energy that photons measured in a range can come from."""
        up = max(self._quantile(self.edisp, RATIO, energy_min, 1 - LOST_ENERGY), 1.0)
        down = min(self._quantile(self.edisp, RATIO, energy_max, LOST_ENERGY), 1.0)
        first, last = max(self.energy[0], energy_min / up), min(self.energy[-1], energy_max / down)
        n = int(np.ceil(BINS_PER_DECADE * np.log10(last / first)))
        return np.geomspace(first, last, n + 1)

    def margin(self, energy):
        """Separation that holds 99.5 % of all photons, at most 25 deg."""
        return min(self._quantile(self.psf, SEPARATION, energy, CONTAINMENT), MARGIN_MAX)

    def _quantile(self, cdf, values, energy, probability):
        """Of the distribution averaged over types and inclinations with the effective area."""
        i = np.argmin(np.abs(np.log(self.energy / energy)))
        j = np.argmin(np.abs(np.log(self.area_energy / self.energy[i])))
        weight = self.area[:, j, :: (N_COSTHETA_AREA - 1) // (N_COSTHETA_DRAWS - 1), 1]
        mean = np.average(cdf[:, i], axis=(0, 1), weights=np.maximum(weight, 0))
        return np.interp(probability, mean, values)

    def envelope(self, edges, fraction):
        """Bound of the effective area summed over types, in bins of energy.

        Parameters
        ----------
        edges : array, shape (n_bin + 1,)
        fraction : (float, float)
            Range of livetime fractions.

        Returns
        -------
        envelope : array, shape (n_bin,)
        """
        low, high = self.area[..., 0], self.area[..., 1]
        summed = [np.maximum(low + f * (high - low), 0).sum(axis=0) for f in fraction]
        highest = np.max(summed, axis=(0, 2))
        position = self._nodes(edges, self.area_energy)
        first, last = np.floor(position[:-1]).astype(int), np.ceil(position[1:]).astype(int)
        return np.array([highest[a : b + 1].max() for a, b in zip(first, last, strict=True)])

    def _nodes(self, energy, nodes):
        """Positions of energies in nodes, counted from 0."""
        step = np.log(nodes[-1] / nodes[0]) / (len(nodes) - 1)
        return np.clip(np.log(energy / nodes[0]) / step, 0, len(nodes) - 1)

    def accept(self, random, photons, envelope, rows):
        """Which photons are seen: their index, row and type, see `accept_rows`."""
        out = np.empty((len(photons.energy), 2), dtype=np.int64)
        x = self._nodes(photons.energy, self.area_energy)
        grid = self.costheta_min, self.costheta_step(N_COSTHETA_AREA)
        excess = accept_rows(
            random,
            photons.direction,
            x,
            envelope[photons.bin],
            rows.axis,
            rows.live,
            rows.fraction,
            self.area,
            grid,
            out,
        )
        if excess > 1 + 1e-9:
            raise RuntimeError(f"effective area {excess:.6g} times as large as its bound")
        seen = np.flatnonzero(out[:, 0] >= 0)
        return seen, out[seen, 0], out[seen, 1]

    def measure(self, random, direction, energy, costheta, i_type, psf, edisp):
        """Measured directions and energies; ``psf`` and ``edisp`` say what to apply."""
        direction, measured = direction.copy(), energy.copy()
        x = self._nodes(energy, self.energy)
        y = (costheta - self.costheta_min) / self.costheta_step(N_COSTHETA_DRAWS)
        measure(
            random,
            direction,
            measured,
            x,
            y,
            i_type,
            self.psf,
            SEPARATION,
            self.edisp,
            RATIO,
            (bool(psf), bool(edisp)),
        )
        return direction, measured


def make_tables(response):
    """Tabulate a response.

    Parameters
    ----------
    response : `~dmgammapy.makers.lat.LATResponse`

    Returns
    -------
    tables : `ResponseTables`
    """
    low, high = response.energy_range.to_value("MeV")
    decades = np.log10(high / low)
    area_energy = np.geomspace(low, high, int(np.ceil(AREA_PER_DECADE * decades)) + 1)
    energy = np.geomspace(low, high, int(np.ceil(DRAWS_PER_DECADE * decades)) + 1)
    area_costheta = np.linspace(response.costheta_min, 1.0, N_COSTHETA_AREA)
    costheta = np.linspace(response.costheta_min, 1.0, N_COSTHETA_DRAWS)
    parts = response.parts.values()
    return ResponseTables(
        event_types=list(response.parts),
        costheta_min=response.costheta_min,
        area_energy=area_energy,
        energy=energy,
        area=np.array([area_table(part, area_energy, area_costheta) for part in parts]),
        psf=np.array([psf_table(part, energy, costheta) for part in parts]),
        edisp=np.array([edisp_table(part, energy, costheta) for part in parts]),
    )


def area_table(part, energy, costheta):
    """Effective area at livetime fractions 0 and 1, shape (n_energy, n_costheta, 2)."""
    area = part.aeff.grid(energy, costheta)
    plain, weighted = part.aeff.efficiency(energy)
    return area[:, :, None] * np.stack([plain, plain + weighted], axis=-1)[:, None, :]


def psf_table(part, energy, costheta):
    """Cumulative PSF, shape (n_energy, n_costheta, n_separation)."""
    density = part.psf.evaluate(np.rad2deg(SEPARATION), energy[:, None, None], costheta[:, None])
    # exact for a density that is linear between nodes in cos(separation)
    shell = 2 * np.pi * 2 * np.diff(np.sin(0.5 * SEPARATION) ** 2)
    shares = 0.5 * (density[..., 1:] + density[..., :-1]) * shell
    return cumulative(shares)


def edisp_table(part, energy, costheta):
    """Cumulative ratio of measured and true energy, shape (n_energy, n_costheta, n_ratio)."""
    rows = [part.edisp.cumulative(RATIO * e, np.array([e]), costheta)[0] for e in energy]
    return cumulative(np.diff(rows, axis=-1))


def cumulative(shares):
    """From 0 to 1 along the last axis, of shares that need not sum to 1."""
    total = np.cumsum(np.maximum(shares, 0.0), axis=-1)
    zero = np.zeros(total.shape[:-1] + (1,))
    return np.concatenate([zero, total / total[..., -1:]], axis=-1)
