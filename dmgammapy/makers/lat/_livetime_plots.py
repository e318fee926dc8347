"""Figures of livetime cubes."""

import astropy.units as u
import healpy as hp
import matplotlib.pyplot as plt
import numpy as np
from astropy.coordinates import SkyCoord

__all__ = ["plot_costheta", "plot_sky"]

N_LON, N_LAT = 360, 180
SECONDS_PER_DAY = 86400.0


def plot_sky(cube, ax=None, **kwargs):
    """Livetime inside the field of view, in days; the whole sky by pixels, else by points.

    Parameters
    ----------
    cube : `LivetimeCube`
    ax : `~matplotlib.axes.Axes`, optional
        Default is a new figure, in Mollweide's projection for the whole sky.
    **kwargs : dict
        Passed to ``pcolormesh`` or ``scatter``.
    """
    days = cube.data.sum(axis=1) / SECONDS_PER_DAY
    if ax is None:
        projection = "mollweide" if cube.is_allsky else None
        ax = plt.figure(layout="constrained").add_subplot(projection=projection)
    if cube.is_allsky:
        lon = np.linspace(-180, 180, N_LON + 1)
        lat = np.linspace(-90, 90, N_LAT + 1)
        centres = np.meshgrid(0.5 * (lon[1:] + lon[:-1]), 0.5 * (lat[1:] + lat[:-1]))
        pixels = hp.ang2pix(cube.nside, *centres, nest=cube.ordering == "NESTED", lonlat=True)
        # east is to the left
        edges = -np.radians(lon), np.radians(lat)
        artist = ax.pcolormesh(*edges, days[pixels], **kwargs)
        ax.set_xticklabels([])
    else:
        directions = cube.directions.transform_to(cube.frame).spherical
        lon = directions.lon.wrap_at(_middle(directions) + 180 * u.deg).deg
        artist = ax.scatter(lon, directions.lat.deg, c=days, **kwargs)
        ax.invert_xaxis()
        names = ("l [deg]", "b [deg]") if cube.frame == "galactic" else ("RA [deg]", "Dec [deg]")
        ax.set(xlabel=names[0], ylabel=names[1])
    ax.figure.colorbar(artist, ax=ax, label="livetime in the field of view [d]")
    return ax


def _middle(directions):
    mean = directions.to_cartesian().mean()
    return SkyCoord(mean, representation_type="cartesian").spherical.lon


def plot_costheta(cube, position, ax=None, **kwargs):
    """Livetime per unit of cos(theta), in days.

    Parameters
    ----------
    cube : `LivetimeCube`
    position : `~astropy.coordinates.SkyCoord`
    ax : `~matplotlib.axes.Axes`, optional
    **kwargs : dict
        Passed to ``stairs``.
    """
    if ax is None:
        ax = plt.figure(layout="constrained").add_subplot()
    edges = cube.costheta_edges
    livetime, _ = cube.interp(position)
    for row, place in zip(livetime, position.reshape(-1).icrs, strict=True):
        density = row / -np.diff(edges) / SECONDS_PER_DAY
        label = f"{place.ra.deg:.2f}, {place.dec.deg:.2f}"
        ax.stairs(density[::-1], edges[::-1], **{"label": label, **kwargs})
    ax.set(xlabel=r"cos($\theta$)", ylabel=r"livetime per cos($\theta$) [d]", ylim=(0, None))
    ax.legend(title="RA, Dec [deg]", frameon=False)
    return ax
