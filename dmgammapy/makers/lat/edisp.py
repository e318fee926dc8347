"""Energy dispersion of an observation: `LATEDispMaker`."""

import numpy as np
from gammapy.irf import EDispKernelMap
from gammapy.maps import Map

from ._irf_weights import (
    check_interpolation,
    costheta_middles,
    effective_area_grid,
    event_type_weights,
    livetime_at,
)
from .psf import all_sky_geom, require_exposure

__all__ = ["LATEDispMaker"]

AVERAGES = ("livetime", "gtdrm")
N_SAMPLE, SAMPLE_STEP = 4, 0.05  # per true bin: at least, and farthest apart in ln E


class LATEDispMaker:
    """Energy dispersion matrix averaged over the inclinations at which a position was seen.

    Each element is the probability that a photon of a bin of true energy is reconstructed in a
    bin of energy.

    Parameters
    ----------
    response : `LATResponse`
    event_type : str, int or list of str, optional
        Types to average. Default is all of the response.
    average : {"livetime", "gtdrm"}
        ``livetime`` (default) weights every inclination bin by its exposure, averages over the
        true bin for a power law, and normalises over positive energies. ``gtdrm`` copies that
        tool: livetime per bin taken as a density in cos theta, no efficiency correction, the
        middle of the true bin alone, the nearest pixel of the livetime cube.
    spectral_index : float
        Of the power law inside a true bin. Default is 2.
    interpolation : {"linear", "nearest"}
        Between the directions of the livetime cube. Default is linear.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.coordinates import SkyCoord
    >>> from gammapy.maps import MapAxis
    >>> from dmgammapy.makers.lat.edisp import LATEDispMaker
    >>> from dmgammapy.makers.lat.response import LATResponse
    >>> class Pointing:
    ...     costheta_edges = np.array([1.0, 0.9999, 0.5])
    ...     def interp(self, position, interpolation="linear"):
    ...         return np.tile([1000.0, 0.0], (position.size, 1)), None
    >>> true = MapAxis.from_energy_bounds("1 GeV", "1.01 GeV", nbin=1, name="energy_true")
    >>> energy = MapAxis.from_energy_edges([0.1, 0.909, 1.101, 10], unit="GeV")
    >>> maker = LATEDispMaker(LATResponse.parametrised())
    >>> edisp = maker.run(Pointing(), SkyCoord(0, 0, unit="deg"), energy, true)
    >>> print(edisp.edisp_map.data[0, :, 0, 0].round(2))
    [0.16 0.68 0.16]
    """

    def __init__(
        self,
        response,
        event_type=None,
        average="livetime",
        spectral_index=2.0,
        interpolation="linear",
    ):
        check_interpolation(interpolation)
        if average not in AVERAGES:
            raise ValueError(f"unknown average {average!r}; choose among {', '.join(AVERAGES)}.")
        self.response = response
        self.event_type = event_type
        self.average = average
        self.spectral_index = spectral_index
        self.interpolation = interpolation
        response.select(event_type)

    def __repr__(self):
        return (
            f"LATEDispMaker({self.response!r}, event_type={self.event_type!r}, "
            f"average={self.average!r}, spectral_index={self.spectral_index}, "
            f"interpolation={self.interpolation!r})"
        )

    def run(self, livetime, position, energy_axis, energy_axis_true):
        """Make the matrix.

        Parameters
        ----------
        livetime : `LivetimeCube`
        position : `~astropy.coordinates.SkyCoord`
            One position; the map is the same for the whole sky.
        energy_axis : `~gammapy.maps.MapAxis`
            Reconstructed energy, named ``energy``.
        energy_axis_true : `~gammapy.maps.MapAxis`
            Named ``energy_true``.

        Returns
        -------
        edisp : `~gammapy.irf.EDispKernelMap`
            With the exposure [cm2 s] at the centers of the true bins.

        Raises
        ------
        ValueError
            If true energies are outside the response, or the position was never seen.
        """
        edges = energy_axis.edges.to_value("MeV")
        true = self.response.check_energies(energy_axis_true.edges, "true energies")
        kernel, exposure = self.at(livetime, position, edges, true)
        geom = all_sky_geom().to_cube([energy_axis, energy_axis_true])
        kernel_map = Map.from_geom(geom, unit="", dtype=float)
        kernel_map.data += kernel[..., None, None]
        exposure_map = Map.from_geom(geom.squash("energy"), unit="cm2 s", dtype=float)
        exposure_map.data += exposure[:, None, None, None]
        return EDispKernelMap(kernel_map, exposure_map)

    def at(self, livetime, position, edges, true_edges):
        """Matrix and exposure of a position.

        Parameters
        ----------
        livetime : `LivetimeCube`
        position : `~astropy.coordinates.SkyCoord`
        edges : array, shape (n_energy + 1,)
            MeV.
        true_edges : array, shape (n_true + 1,)
            MeV.

        Returns
        -------
        kernel : array, shape (n_true, n_energy)
        exposure : array, shape (n_true,)
            cm2 s, at the geometric middles.
        """
        gtdrm = self.average == "gtdrm"
        plain, weighted = livetime_at(
            livetime, position, "nearest" if gtdrm else self.interpolation
        )
        plain, weighted = plain[0], None if weighted is None else weighted[0]
        costheta = costheta_middles(livetime.costheta_edges)
        seen = costheta >= self.response.costheta_min  # elsewhere every weight is zero
        costheta, steps = costheta[seen], _trapezoid(costheta)[seen]
        plain, weighted = plain[seen], None if weighted is None else weighted[seen]
        sample, share = self._samples(true_edges)
        middle = np.sqrt(true_edges[1:] * true_edges[:-1])
        top, bottom, exposure = 0.0, 0.0, 0.0
        for part in self.response.select(self.event_type).parts.values():
            exposure = exposure + event_type_weights(part, middle, plain, weighted, costheta).sum(
                axis=1
            )
            if gtdrm:
                weights = effective_area_grid(part, sample, costheta) * plain * steps
            else:
                weights = event_type_weights(part, sample, plain, weighted, costheta)
            weights = weights * share[:, None]
            below = part.edisp.cumulative(edges, sample, costheta, normalised=not gtdrm)
            top = top + np.einsum("ec,ecb->eb", weights, np.diff(below, axis=-1))
            bottom = bottom + weights.sum(axis=1)
        shape = (len(middle), -1)
        top = top.reshape(*shape, top.shape[-1]).sum(axis=1)
        bottom = bottom.reshape(shape).sum(axis=1)
        require_exposure(bottom, middle, position)
        return top / bottom[:, None], exposure

    def _samples(self, true_edges):
        """Energies in the true bins and their shares of a power law, arrays (n_true * n,)."""
        if self.average == "gtdrm":
            middle = np.sqrt(true_edges[1:] * true_edges[:-1])
            return middle, np.ones_like(middle)
        log_edges = np.log(true_edges)
        n_sample = max(N_SAMPLE, int(np.ceil(np.diff(log_edges).max() / SAMPLE_STEP)))
        nodes, weights = np.polynomial.legendre.leggauss(n_sample)
        half = 0.5 * np.diff(log_edges)[:, None]
        log_energy = 0.5 * (log_edges[1:] + log_edges[:-1])[:, None] + half * nodes
        # relative to the lower edge, so that steep spectra do not underflow
        flux = np.exp((1 - self.spectral_index) * (log_energy - log_edges[:-1, None]))
        return np.exp(log_energy).ravel(), (half * weights * flux).ravel()


def _trapezoid(nodes):
    """Weights of the trapezoidal rule on descending nodes, array (n_node,)."""
    if len(nodes) == 1:
        return np.ones(1)
    steps = -np.diff(nodes)
    return 0.5 * (np.append(steps, 0.0) + np.append(0.0, steps))
