"""Point spread function of an observation: `LATPSFMaker`."""

import astropy.units as u
import numpy as np
from gammapy.irf import PSFMap
from gammapy.maps import Map, MapAxis, WcsGeom

from ._irf_weights import check_interpolation, costheta_middles, event_type_weights, livetime_at

__all__ = ["LATPSFMaker"]

RAD_MIN, RAD_MAX, N_RAD = 1e-3, 60.0, 320


def default_rad_axis():
    """Rings from 0.001 to 60 deg, 3.5 % wide, and the disk inside them."""
    edges = np.append(0.0, np.geomspace(RAD_MIN, RAD_MAX, N_RAD)) * u.deg
    return MapAxis.from_edges(edges, name="rad")


def all_sky_geom():
    """The sky as one pixel: Gammapy then makes one PSF kernel for all sources."""
    return WcsGeom.create(npix=(1, 1), proj="CAR", binsz=360)


class LATPSFMaker:
    """PSF averaged over the inclinations at which a position was seen, as gtpsf does.

    The average over event types and inclination bins has the exposure of each as weight. The
    functions at the nodes of the tables are interpolated, not their parameters.

    Parameters
    ----------
    response : `LATResponse`
    event_type : str, int or list of str, optional
        Types to average. Default is all of the response.
    rad_axis : `~gammapy.maps.MapAxis`, optional
        Separations, named ``rad``. Default is 320 rings up to 60 deg, equal in logarithm.
    interpolation : {"linear", "nearest"}
        Between the directions of the livetime cube. Default is linear.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from astropy.coordinates import SkyCoord
    >>> from gammapy.maps import MapAxis
    >>> from dmgammapy.makers.lat.psf import LATPSFMaker
    >>> from dmgammapy.makers.lat.response import LATResponse
    >>> class Pointing:
    ...     costheta_edges = np.array([1.0, 0.9999, 0.5])
    ...     def interp(self, position, interpolation="linear"):
    ...         return np.tile([1000.0, 0.0], (position.size, 1)), None
    >>> axis = MapAxis.from_nodes([1, 10] * u.GeV, name="energy_true", interp="log")
    >>> maker = LATPSFMaker(LATResponse.parametrised())
    >>> psf = maker.run(Pointing(), SkyCoord(0, 0, unit="deg"), axis)
    >>> print(psf.containment_radius(0.68, [1, 10] * u.GeV).round(2))
    [0.78 0.15] deg
    """

    def __init__(self, response, event_type=None, rad_axis=None, interpolation="linear"):
        check_interpolation(interpolation)
        self.response = response
        self.event_type = event_type
        self.rad_axis = default_rad_axis() if rad_axis is None else rad_axis
        self.interpolation = interpolation
        response.select(event_type)

    def __repr__(self):
        return (
            f"LATPSFMaker({self.response!r}, event_type={self.event_type!r}, "
            f"rad_axis={self.rad_axis.nbin} bins to {self.rad_axis.edges[-1]:.4g}, "
            f"interpolation={self.interpolation!r})"
        )

    def run(self, livetime, position, energy_axis_true):
        """Make the PSF.

        Parameters
        ----------
        livetime : `LivetimeCube`
        position : `~astropy.coordinates.SkyCoord`
            One position; the map is the same for the whole sky.
        energy_axis_true : `~gammapy.maps.MapAxis`
            Named ``energy_true``; the PSF is that at its centers.

        Returns
        -------
        psf : `~gammapy.irf.PSFMap`
            With the exposure [cm2 s] of the position.

        Raises
        ------
        ValueError
            If energies are outside the response, or the position was never seen.
        """
        energy = self.response.check_energies(energy_axis_true.center, "PSF energies")
        separation = self.rad_axis.center.to_value("deg")
        values, exposure = self.at(livetime, position, energy, separation)
        geom = all_sky_geom().to_cube([self.rad_axis, energy_axis_true])
        psf_map = Map.from_geom(geom, unit="sr-1", dtype=float)
        psf_map.data += values[..., None, None]
        exposure_map = Map.from_geom(geom.squash("rad"), unit="cm2 s", dtype=float)
        exposure_map.data += exposure[:, None, None, None]
        return PSFMap(psf_map, exposure_map)

    def at(self, livetime, position, energy, separation):
        """PSF and exposure of a position.

        Parameters
        ----------
        livetime : `LivetimeCube`
        position : `~astropy.coordinates.SkyCoord`
        energy : array, shape (n_energy,)
            MeV.
        separation : array, shape (n_rad,)
            Degrees.

        Returns
        -------
        psf : array, shape (n_energy, n_rad)
            sr-1.
        exposure : array, shape (n_energy,)
            cm2 s.
        """
        plain, weighted = livetime_at(livetime, position, self.interpolation)
        costheta = costheta_middles(livetime.costheta_edges)
        psf, exposure = 0.0, 0.0
        for part in self.response.select(self.event_type).parts.values():
            weights = event_type_weights(
                part, energy, plain[0], None if weighted is None else weighted[0], costheta
            )
            psf = psf + part.psf.average(separation, energy, costheta, weights)
            exposure = exposure + weights.sum(axis=1)
        require_exposure(exposure, energy, position)
        return psf / exposure[:, None], exposure


def require_exposure(exposure, energy, position):
    """Raise ValueError where there is nothing to average over."""
    if np.any(exposure <= 0):
        coord = position.icrs.ravel()[0]
        raise ValueError(
            f"no exposure at RA {coord.ra.deg:.4f}, Dec {coord.dec.deg:.4f} deg and "
            f"{energy[np.argmin(exposure)]:.6g} MeV: the livetime cube never saw this position "
            "at an inclination where the response has an effective area."
        )
