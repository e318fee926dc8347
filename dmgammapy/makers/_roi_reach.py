"""Centre, reach and energies of the region that datasets cover."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Region", "region_of"]

MEV = "MeV"


@dataclass
class Region:
    """Region of datasets.

    Parameters
    ----------
    position : `~astropy.coordinates.SkyCoord`
    reach : float
        Greatest distance of a pixel from the centre, exposure maps included, in deg.
    energy_range : tuple of float, or None
        Least and greatest edge of true energy in MeV.
    """

    position: object
    reach: float
    energy_range: tuple | None


def region_of(datasets, geom=None, position=None):
    """Region that models must cover.

    Parameters
    ----------
    datasets : list of `~gammapy.datasets.Dataset`
    geom : `~gammapy.maps.Geom`, optional
        Instead of datasets.
    position : `~astropy.coordinates.SkyCoord`, optional
        Default is the centre of the first geometry.

    Returns
    -------
    region : `Region`

    Raises
    ------
    ValueError
        If there is no position.
    """
    geoms = [geom] if geom is not None else [g for d in datasets for g in _geoms(d)]
    if position is None:
        position = next((g.center_skydir for g in geoms if _has_place(g)), None)
    if position is None:
        raise ValueError("ROIModelMaker: the datasets have no position; give position=.")
    reach = max((_reach(g, position) for g in geoms if _has_place(g)), default=0.0)
    edges = []
    for g in geoms:
        true = "energy_true" in g.axes.names
        if not true and any("energy_true" in other.axes.names for other in geoms):
            continue
        for name in ("energy_true", "energy"):
            if name in g.axes.names:
                edges.append(g.axes[name].edges.to_value(MEV))
                break
    if not edges:
        return Region(position.icrs, reach, None)
    low, high = min(e[0] for e in edges), max(e[-1] for e in edges)
    return Region(position.icrs, reach, (float(low), float(high)))


def _geoms(dataset):
    maps = (getattr(dataset, name, None) for name in ("counts", "exposure"))
    return [m.geom for m in maps if m is not None]


def _has_place(geom):
    return not geom.is_region or geom.region is not None


def _reach(geom, position):
    """Greatest distance of a pixel's centre from the position, deg."""
    image = geom.to_image()
    if image.is_region:
        image = image.to_wcs_geom()
    sky = image.get_coord().skycoord
    separation = sky.separation(position).deg
    return float(np.nanmax(separation))
