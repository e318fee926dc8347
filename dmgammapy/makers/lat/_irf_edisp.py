"""Energy dispersion of one event type: a two-component function at every node of a table."""

from functools import cached_property

import numpy as np
from scipy.special import gamma as gamma_function
from scipy.special import gammainc

from ._caldb import read_grid, read_parameters
from ._irf_grid import bracket, log10_centers, middles

__all__ = ["EnergyDispersionTable", "component", "component_cdf", "scale_factor"]

COLUMNS = ["F", "S1", "K1", "BIAS", "BIAS2", "S2", "K2", "PINDEX1", "PINDEX2"]
# scaled deviations beyond these hold no probability that matters; see `_cumulative`
DEVIATION_MIN, DEVIATION_MAX, N_DEVIATION = -60.0, 6000.0, 2400


def component(x, sigma, k, bias, index):
    """Asymmetric exponential power function of the scaled deviation x, integral 1.

    ``p / (sigma Gamma(1/p)) k / (1 + k^2) exp(-(k u / sigma)^p)`` for u = x - bias > 0 and
    ``exp(-(-u / (k sigma))^p)`` below, with p the ``index``.
    """
    u = x - bias
    reach = np.where(u > 0, k * u, -u / k) / sigma
    norm = index / (sigma * gamma_function(1 / index)) * k / (1 + k**2)
    return norm * np.exp(-(reach**index))


def component_cdf(x, sigma, k, bias, index):
    """Integral of `component` up to x."""
    u = x - bias
    reach = (np.where(u > 0, k * u, -u / k) / sigma) ** index
    below = k**2 / (1 + k**2)
    inside = gammainc(1 / index, reach)
    return np.where(u > 0, below + (1 - below) * inside, below * (1 - inside))


def scale_factor(parameters, energy, costheta):
    """Width of (E' - E) / E over energy [MeV] and cos theta, a quadratic form of log10 E."""
    x, c = np.log10(energy), np.abs(costheta)
    p = parameters
    return p[0] * x * x + p[1] * c * c + p[2] * x + p[3] * c + p[4] * x * c + p[5]


class EnergyDispersionTable:
    """Energy dispersion, bilinear in log10 E and cos theta at equal scaled deviation.

    The deviation is ``x = (E' - E) / (E S(E, cos theta))``; its density at a node is ``F`` times
    a `component` plus ``1 - F`` times another. Reconstructed energies are positive: the function
    is normalised over ``x > -1 / S``.

    Parameters
    ----------
    energy_edges : array, shape (n_energy + 1,)
        MeV.
    costheta_edges : array, shape (n_costheta + 1,)
    tables : dict of array, shape (n_energy, n_costheta)
        F, S1, K1, BIAS, BIAS2, S2, K2, PINDEX1, PINDEX2.
    scaling : array, shape (6,)
        See `scale_factor`.
    """

    def __init__(self, energy_edges, costheta_edges, tables, scaling):
        self.energy_edges, self.costheta_edges = energy_edges, costheta_edges
        self._log10_energy, self._costheta = log10_centers(energy_edges), middles(costheta_edges)
        self._fraction = tables["F"]
        self._components = [
            [tables[name] for name in names]
            for names in (("S1", "K1", "BIAS", "PINDEX1"), ("S2", "K2", "BIAS2", "PINDEX2"))
        ]
        self._scaling = scaling

    @classmethod
    def read(cls, path, event_type):
        """Read one event type's tables of an ``edisp_`` file."""
        energy, costheta, tables = read_grid(path, f"ENERGY DISPERSION_{event_type}", COLUMNS)
        scaling = read_parameters(path, f"EDISP_SCALING_PARAMS_{event_type}", "EDISPSCALE", (1, 6))[
            0
        ]
        return cls(energy, costheta, tables, scaling)

    def _mix(self, function, x, index):
        """Both components at nodes; x broadcasts against ``index``."""
        first, second = (function(x, *(p[index] for p in pars)) for pars in self._components)
        fraction = self._fraction[index]
        return fraction * first + (1 - fraction) * second

    @cached_property
    def _cumulative(self):
        """Cumulative functions of all nodes on deviations equal in asinh x.

        Linear interpolation of these is ten times faster than the incomplete gamma function for
        every inclination, and exact to 2e-4; at the edge of the field of view, where the effective
        area is next to nothing, a few nodes of PSF3 were fitted with needles and reach 8e-3.

        Array (n_energy * n_costheta, N_DEVIATION).
        """
        grid = np.linspace(np.arcsinh(DEVIATION_MIN), np.arcsinh(DEVIATION_MAX), N_DEVIATION)
        values = self._mix(component_cdf, np.sinh(grid), (..., None))
        return values.reshape(-1, N_DEVIATION)

    def _corners(self, energy, costheta):
        """Flat indices and weights of the four nodes around points; arrays of their shape."""
        i, t = bracket(np.log10(energy), self._log10_energy)
        j, s = bracket(costheta, self._costheta)
        n_energy, n_costheta = len(self._log10_energy), len(self._costheta)
        for di, weight_i in ((0, 1 - t), (1, t)):
            for dj, weight_j in ((0, 1 - s), (1, s)):
                node_i, node_j = (
                    np.minimum(i + di, n_energy - 1),
                    np.minimum(j + dj, n_costheta - 1),
                )
                yield node_i * n_costheta + node_j, weight_i * weight_j

    def cumulative(self, energy, energy_true, costheta, normalised=True):
        """Probability of a reconstructed energy below edges.

        Parameters
        ----------
        energy : array, shape (n_edge,)
            Reconstructed, MeV.
        energy_true : array, shape (n_true,)
            MeV.
        costheta : array, shape (n_costheta,)
        normalised : bool
            Over positive energies. Default is True; False is the bare function, as gtdrm takes it.

        Returns
        -------
        values : array, shape (n_true, n_costheta, n_edge)
        """
        scale = scale_factor(self._scaling, energy_true[:, None], costheta)
        edges = np.append(0.0, energy)
        x = (edges / energy_true[:, None, None] - 1) / scale[..., None]
        low = np.arcsinh(DEVIATION_MIN)
        position = (np.arcsinh(x) - low) / (np.arcsinh(DEVIATION_MAX) - low) * (N_DEVIATION - 1)
        index = np.clip(position.astype(int), 0, N_DEVIATION - 2)
        fraction = np.clip(position - index, 0, 1)
        flat, total = self._cumulative.ravel(), np.zeros(x.shape)
        for node, weight in self._corners(energy_true[:, None], costheta):
            start = node[..., None] * N_DEVIATION + index
            value = flat[start]
            value += fraction * (flat[start + 1] - value)
            total += weight[..., None] * value
        zero = total[..., :1]
        total = total[..., 1:] - zero
        return total / (1 - zero) if normalised else total

    def evaluate(self, energy, energy_true, costheta):
        """Density [MeV-1] at energies [MeV] and cosines that broadcast."""
        energy, true, costheta = np.broadcast_arrays(energy, energy_true, costheta)
        shape = energy.shape
        energy, true, costheta = energy.ravel(), true.ravel(), costheta.ravel()
        scale = scale_factor(self._scaling, true, costheta)
        x, lowest = (energy / true - 1) / scale, -1 / scale
        density, lost = np.zeros(x.shape), np.zeros(x.shape)
        for node, weight in self._corners(true, costheta):
            index = np.unravel_index(node, self._fraction.shape)
            density += weight * self._mix(component, x, index)
            lost += weight * self._mix(component_cdf, lowest, index)
        density = np.where(energy > 0, density / (true * scale * (1 - lost)), 0.0)
        return density.reshape(shape)
