"""Parts and copies of `~dmgammapy.estimators.castro_cube.CastroCube`."""

from copy import deepcopy

import numpy as np
from gammapy.maps import WcsNDMap

__all__ = ["ESTIMATES", "REFERENCES", "CastroCubeSlicing"]

ESTIMATES = ("norm", "norm_err", "norm_ul", "ts")
REFERENCES = ("ref_flux", "ref_eflux", "ref_dnde")


class CastroCubeSlicing:
    """Mixin that makes cubes of a cube."""

    def _fields(self):
        """Constructor arguments."""
        proto = self._prototype._fields()
        shared = {
            name: proto.get(name)
            for name in (
                "energy_edges", *REFERENCES, "energy_ref", "norm_type", "interpolation",
                "reference_model", "instrument",
            )
        }  # fmt: skip
        return {
            "geom": self._geom,
            "norm_scan": self._norm_scan,
            "stat_scan": self._stat_scan,
            "stat": self._stat,
            **self._given,
            **shared,
            "ref_npred": self.ref_npred,
            "mask": self._mask,
            "cl": self.cl,
            "meta": deepcopy(self.meta),
            "fit": dict(self._given_fit),
        }

    def copy(self):
        """Deep copy."""
        return self.__class__(**deepcopy(self._fields()))

    def recompute(self, cl=None, interpolation=None):
        """Copy whose estimates come from its scans, whatever was given.

        Parameters
        ----------
        cl : float, optional
            Confidence level of the limits. Default is that of the cube.
        interpolation : str, optional
            Default is that of the cube.

        Returns
        -------
        cube : `CastroCube`
        """
        fields = {k: v for k, v in self._fields().items() if k not in ESTIMATES} | {"fit": None}
        fields["cl"] = self.cl if cl is None else cl
        fields["interpolation"] = interpolation or self.interpolation
        return self.__class__(**fields)

    def cutout(self, position, width):
        """Part of the map.

        Parameters
        ----------
        position : `~astropy.coordinates.SkyCoord`
            Centre.
        width : `~astropy.units.Quantity`, float [deg] or tuple of them
            Full width (lon, lat).

        Returns
        -------
        cube : `CastroCube`

        Raises
        ------
        ValueError
            If it does not overlap the map, or has masked pixels only.
        """
        index = np.arange(self._geom.data_shape[0] * self._geom.data_shape[1], dtype=float)
        whole = WcsNDMap(self._geom, index.reshape(self._geom.data_shape))
        try:
            part = whole.cutout(position, width, mode="trim")
        except ValueError as error:
            raise ValueError(
                f"CastroCube.cutout: {width} around {position} does not overlap the map ({error})."
            ) from None
        iy, ix = np.unravel_index(part.data.astype(int), self._geom.data_shape)
        fields = self._fields()
        shape = self._geom.data_shape
        for name, value in fields.items():
            if isinstance(value, np.ndarray) and value.ndim >= 2 and value.shape[:2] == shape:
                fields[name] = value[iy, ix]
        fields["fit"] = {name: value[iy, ix] for name, value in fields["fit"].items()}
        return self.__class__(**fields | {"geom": part.geom})

    def slice_by_energy(self, energy_min=None, energy_max=None):
        """Bins that lie within an energy range.

        The fit of the reference spectrum is computed anew.

        Parameters
        ----------
        energy_min, energy_max : `~astropy.units.Quantity`, optional
            Range; bins that reach beyond it are left out.

        Returns
        -------
        cube : `CastroCube`

        Raises
        ------
        ValueError
            If no bin lies within the range.
        """
        part = self._prototype.slice_by_energy(energy_min, energy_max, name="castro cube")
        edges = self.energy_edges
        first = int(np.argmin(np.abs(edges - part.energy_edges[0])))
        bins = slice(first, first + part.n_bins)
        fields = self._fields()
        fields |= {name: value for name, value in part._fields().items() if name in fields}
        fields |= {
            "norm_scan": self._norm_scan[:, :, bins],
            "stat_scan": self._stat_scan[:, :, bins],
            "stat": None if self._stat is None else self._stat[:, :, bins],
            **{name: array[:, :, bins] for name, array in self._given.items()},
            "fit": None,
        }
        if self._ref_npred is not None:
            fields["ref_npred"] = self._ref_npred[:, :, bins]
        return self.__class__(**fields)
