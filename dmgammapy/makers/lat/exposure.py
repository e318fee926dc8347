"""Exposure maps from livetime and response: `LATExposureMaker`."""

import numpy as np
from gammapy.maps import Map

from ._irf_weights import (
    check_interpolation,
    costheta_middles,
    effective_area_grid,
    livetime_at,
    require_weighted,
)

__all__ = ["LATExposureMaker"]


class LATExposureMaker:
    r"""Exposure over sky and true energy, as gtexpcube2 makes it.

    .. math:: \epsilon(p, E) = \sum_{types} \sum_c A(E, c) [p_1(E) t(p, c) + p_0(E) t_w(p, c)]

    over the inclination bins c of the livetime cube, with the effective area at the bin's middle,
    its livetime t and its livetime t_w weighted by the livetime fraction. The azimuth modulation
    of the effective area averages to 1.

    Parameters
    ----------
    response : `LATResponse`
    event_type : str, int or list of str, optional
        Types to sum. Default is all of the response.
    costheta_cut : float, optional
        Leave out inclination bins with a middle below this cosine. Default is none.
    interpolation : {"linear", "nearest"}
        Between the directions of the livetime cube. The Science Tools take the nearest pixel,
        which leaves steps of its size in the exposure. Default is linear.

    Examples
    --------
    A source that was 1000 s on axis, and never elsewhere:

    >>> import astropy.units as u
    >>> import numpy as np
    >>> from gammapy.maps import MapAxis, WcsGeom
    >>> from dmgammapy.makers.lat.exposure import LATExposureMaker
    >>> from dmgammapy.makers.lat.response import LATResponse
    >>> class Pointing:
    ...     costheta_edges = np.array([1.0, 0.9999, 0.5])
    ...     def interp(self, position, interpolation="linear"):
    ...         return np.tile([1000.0, 0.0], (position.size, 1)), None
    >>> axis = MapAxis.from_energy_bounds("1 GeV", "10 GeV", nbin=2, name="energy_true")
    >>> geom = WcsGeom.create(npix=1, axes=[axis])
    >>> exposure = LATExposureMaker(LATResponse.parametrised()).run(Pointing(), geom)
    >>> print(exposure.unit, np.round(exposure.data.ravel() / 1e6, 2))
    cm2 s [8.77 9.25]
    """

    def __init__(self, response, event_type=None, costheta_cut=None, interpolation="linear"):
        check_interpolation(interpolation)
        self.response = response
        self.event_type = event_type
        self.costheta_cut = costheta_cut
        self.interpolation = interpolation
        response.select(event_type)

    def __repr__(self):
        return (
            f"LATExposureMaker({self.response!r}, event_type={self.event_type!r}, "
            f"costheta_cut={self.costheta_cut}, interpolation={self.interpolation!r})"
        )

    def run(self, livetime, geom):
        """Make the map.

        Parameters
        ----------
        livetime : `LivetimeCube`
        geom : `~gammapy.maps.Geom`
            WCS or HEALPix, with an ``energy_true`` axis; the exposure is that at its centers.

        Returns
        -------
        exposure : `~gammapy.maps.Map`
            cm2 s; pixels outside the projection are 0.

        Raises
        ------
        ValueError
            If energies are outside the response, or the cube lacks the weighted livetime that the
            response needs.
        """
        geom.axes.assert_names(["energy_true"])
        energy = self.response.check_energies(geom.axes["energy_true"].center, "exposure energies")
        coords = geom.to_image().get_coord().skycoord.ravel()
        exposure = Map.from_geom(geom, unit="cm2 s", dtype=float)
        valid = np.isfinite(coords.data.lon) & np.isfinite(coords.data.lat)
        values = np.zeros((len(energy), len(coords)))
        values[:, valid] = self.at(livetime, coords[valid], energy).T
        exposure.data = values.reshape(exposure.data.shape)
        return exposure

    def at(self, livetime, position, energy):
        """Exposure at positions and energies [MeV], array (n_position, n_energy) [cm2 s]."""
        plain, weighted = livetime_at(livetime, position, self.interpolation)
        costheta = costheta_middles(livetime.costheta_edges)
        of_livetime, of_weighted = 0.0, 0.0
        for part in self.response.select(self.event_type).parts.values():
            area = effective_area_grid(part, energy, costheta, self.costheta_cut)
            factor, correction = part.aeff.efficiency(energy)
            of_livetime = of_livetime + area * factor[:, None]
            of_weighted = of_weighted + area * correction[:, None]
        exposure = plain @ of_livetime.T
        if np.any(of_weighted):
            require_weighted(weighted)
            exposure = exposure + weighted @ of_weighted.T
        if np.any(exposure < 0):
            worst = energy[np.unravel_index(np.argmin(exposure), exposure.shape)[1]]
            raise ValueError(
                f"negative exposure at {worst:.6g} MeV: the efficiency correction of "
                f"{self.response.irfs} does not hold for such low livetime fractions; leave out "
                "low energies or check the weighted livetime of the cube."
            )
        return exposure
