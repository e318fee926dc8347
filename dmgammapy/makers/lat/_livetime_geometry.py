"""Directions and bins of livetime cubes: HEALPix subsets, tiles of neighbours, cos(theta)."""

import astropy.units as u
import healpy as hp
import numpy as np
from astropy.coordinates import SkyCoord

__all__ = [
    "BINNINGS",
    "count_pixels",
    "directions_of",
    "find_binning",
    "interpolation_weights",
    "make_costheta_edges",
    "make_tiles",
    "nearest_rows",
    "pixel_rows",
    "pixels_around",
    "read_angle",
    "tile_limits",
    "unit_vectors",
]

BINNINGS = {"sqrt": 0.5, "linear": 1.0}  # power of 1 - cos(theta) that has equal steps
EDGE_ATOL = 1e-6  # files hold edges as float32
TILE = 64  # directions; their histograms fit into the cache of a core
TILE_NSIDE = 1 << 12  # order along which neighbours are found
MARGIN = 1e-9  # rad
NEIGHBOURS = 2.5  # pixel sizes between a position and the pixels that it is interpolated from


def make_costheta_edges(n_costheta, costheta_min=0.0, binning="sqrt"):
    r"""Edges of the bins, descending from 1 to ``costheta_min``.

    .. math:: c_i = 1 - (1 - c_\mathrm{min}) (i / n)^{1/p}

    with p = 1/2 for "sqrt" and 1 for "linear".

    Parameters
    ----------
    n_costheta : int
    costheta_min : float
    binning : {"sqrt", "linear"}

    Returns
    -------
    edges : array, shape (n_costheta + 1,)

    Examples
    --------
    >>> from dmgammapy.makers.lat._livetime_geometry import make_costheta_edges
    >>> print(make_costheta_edges(4))
    [1.     0.9375 0.75   0.4375 0.    ]
    """
    if binning not in BINNINGS:
        raise ValueError(f"binning must be one of {', '.join(BINNINGS)}, got {binning!r}.")
    if n_costheta < 1 or not -1 <= costheta_min < 1:
        raise ValueError(
            "expected one bin of cos(theta) at least and -1 <= costheta_min < 1, got "
            f"{n_costheta} and {costheta_min}."
        )
    step = np.arange(n_costheta + 1) / n_costheta
    return 1 - (1 - costheta_min) * step ** (1 / BINNINGS[binning])


def find_binning(edges):
    """Name of the binning that has these edges, None if there is none.

    Parameters
    ----------
    edges : array, shape (n_costheta + 1,)
        Descending from 1.
    """
    for name in BINNINGS:
        expected = make_costheta_edges(len(edges) - 1, float(edges[-1]), name)
        if np.allclose(edges, expected, rtol=0, atol=EDGE_ATOL):
            return name
    return None


def count_pixels(nside, ordering, pixels=None):
    """Number of pixels, after checks.

    Parameters
    ----------
    nside : int
    ordering : {"NESTED", "RING"}
    pixels : int array, optional
        Default is all.

    Raises
    ------
    ValueError
        If there is no such resolution, or pixels don't ascend or don't exist.
    """
    if not hp.isnsideok(nside, nest=ordering == "NESTED"):
        raise ValueError(f"nside must be a power of two, got {nside}.")
    n_pixel = hp.nside2npix(nside)
    if pixels is None:
        return n_pixel
    is_in_range = (pixels >= 0) & (pixels < n_pixel)
    if pixels.ndim != 1 or not is_in_range.all() or np.any(np.diff(pixels) <= 0):
        raise ValueError(f"pixels must ascend and lie in 0 ... {n_pixel - 1} for nside {nside}.")
    return len(pixels)


def directions_of(nside, ordering, frame, pixels=None):
    """Centres of HEALPix pixels, `~astropy.coordinates.SkyCoord`.

    Parameters
    ----------
    nside : int
    ordering : {"NESTED", "RING"}
    frame : {"icrs", "galactic"}
    pixels : int array, shape (n_direction,)
        Default is all.
    """
    pixels = np.arange(hp.nside2npix(nside)) if pixels is None else pixels
    lon, lat = hp.pix2ang(nside, pixels, nest=ordering == "NESTED", lonlat=True)
    return SkyCoord(lon, lat, unit="deg", frame=frame)


def unit_vectors(directions):
    """Cartesian unit vectors in equatorial coordinates, shape (3, n_direction)."""
    return np.ascontiguousarray(np.atleast_2d(directions.icrs.cartesian.xyz.value.T).T)


def pixels_around(nside, ordering, frame, position, radius):
    """Pixels that interpolation needs at positions up to ``radius`` from ``position``.

    Parameters
    ----------
    nside : int
    ordering : {"NESTED", "RING"}
    frame : {"icrs", "galactic"}
    position : `~astropy.coordinates.SkyCoord`
    radius : `~astropy.units.Quantity`

    Returns
    -------
    pixels : int array
        Ascending.
    """
    reach = radius.to_value("rad") + NEIGHBOURS * hp.nside2resol(nside)
    centre = position.transform_to(frame).cartesian.xyz.value.ravel()
    pixels = hp.query_disc(nside, centre, min(reach, np.pi), nest=ordering == "NESTED")
    return np.sort(pixels)


def interpolation_weights(nside, ordering, frame, position, interpolation):
    """Pixels and weights that make up the value at each position.

    Parameters
    ----------
    nside : int
    ordering : {"NESTED", "RING"}
    frame : {"icrs", "galactic"}
    position : `~astropy.coordinates.SkyCoord`, shape (n_position,)
    interpolation : {"linear", "nearest"}

    Returns
    -------
    pixels, weights : array, shape (n_neighbour, n_position)
    """
    coord = position.transform_to(frame).spherical
    lon, lat = coord.lon.deg, coord.lat.deg
    nest = ordering == "NESTED"
    if interpolation == "nearest":
        pixels = hp.ang2pix(nside, lon, lat, nest=nest, lonlat=True)[np.newaxis]
        return pixels, np.ones(pixels.shape)
    return hp.get_interp_weights(nside, lon, lat, nest=nest, lonlat=True)


def nearest_rows(directions, position, tolerance):
    """Rows of the nearest directions.

    Parameters
    ----------
    directions : `~astropy.coordinates.SkyCoord`, shape (n_direction,)
    position : `~astropy.coordinates.SkyCoord`, shape (n_position,)
    tolerance : float
        Largest distance [deg].

    Returns
    -------
    rows : int array, shape (1, n_position)

    Raises
    ------
    ValueError
        If there is none so near.
    """
    index, separation, _ = position.match_to_catalog_sky(directions)
    far = np.flatnonzero(separation.deg > tolerance)
    if len(far):
        place = position[far[0]].icrs
        raise ValueError(
            f"no direction of the livetime cube within {tolerance:g} deg of RA, Dec = "
            f"{place.ra.deg:.4f}, {place.dec.deg:.4f} deg, the nearest is "
            f"{separation.deg[far[0]]:.3g} deg away ({len(far)} such positions); compute the "
            "cube with these directions."
        )
    return np.atleast_1d(index)[np.newaxis]


def pixel_rows(present, pixels, weights, position):
    """Rows of pixels; of those without weight any row will do.

    Parameters
    ----------
    present : int array, shape (n_direction,) or None
        Pixels of the rows, ascending; None for the whole sky.
    pixels, weights : array, shape (n_neighbour, n_position)
        From `interpolation_weights`.
    position : `~astropy.coordinates.SkyCoord`, shape (n_position,)
        For the message.

    Returns
    -------
    rows : int array, shape (n_neighbour, n_position)

    Raises
    ------
    ValueError
        If a pixel is absent.
    """
    if present is None:
        return pixels
    rows = np.minimum(np.searchsorted(present, pixels), len(present) - 1)
    absent = (present[rows] != pixels) & (weights > 0)
    if absent.any():
        outside = np.flatnonzero(absent.any(axis=0))
        place = position[outside[0]].icrs
        raise ValueError(
            f"the livetime cube has {len(present)} pixels of the sky, and lacks those around "
            f"RA, Dec = {place.ra.deg:.4f}, {place.dec.deg:.4f} deg ({len(outside)} of "
            f"{len(position)} positions); compute it with a larger radius."
        )
    return rows


def make_tiles(vectors):
    """Sort directions so that neighbours are together, and cut them in tiles.

    Parameters
    ----------
    vectors : array, shape (3, n_direction)

    Returns
    -------
    order : int array, shape (n_direction,)
        Directions tile by tile.
    tiles : int array, shape (n_tile + 1,)
        First of each tile in ``order``, and the number of directions.
    """
    order = np.argsort(hp.vec2pix(TILE_NSIDE, *vectors, nest=True), kind="stable")
    n = len(order)
    return order, np.append(np.arange(0, n, TILE), n)


def tile_limits(vectors, tiles, costheta_min, zenith_max):
    """Centres of tiles and the cosines from which on all or none of a tile is seen.

    Parameters
    ----------
    vectors : array, shape (3, n_direction)
        Sorted by `make_tiles`.
    tiles : int array, shape (n_tile + 1,)
    costheta_min : float
    zenith_max : float
        Largest zenith angle [deg], 180 for no cut.

    Returns
    -------
    limits : array, shape (n_tile, 6)
        As `fill_livetime` wants them.
    """
    view, zenith = np.arccos(costheta_min), np.radians(zenith_max)
    limits = np.empty((len(tiles) - 1, 6))
    for row, low, high in zip(limits, tiles[:-1], tiles[1:], strict=True):
        tile = vectors[:, low:high]
        centre = tile.sum(axis=1)
        length = np.linalg.norm(centre)
        centre = centre / length if length > 0 else tile[:, 0]
        radius = np.arccos(np.clip((centre @ tile).min(), -1, 1)) + MARGIN
        row[:3] = centre
        row[3] = np.cos(view + radius) if view + radius < np.pi else -2
        row[4] = np.cos(zenith + radius) if zenith + radius < np.pi else -2
        row[5] = np.cos(zenith - radius) if zenith > radius else 2
        if zenith_max >= 180:
            row[4:] = -2
    return limits


def read_angle(value, name):
    """Angle in degrees from a Quantity or a number of degrees; None stays None."""
    if value is None:
        return None
    try:
        angle = float(u.Quantity(value, "deg").value)
    except (TypeError, u.UnitsError) as error:
        raise TypeError(f"{name} must be an angle, got {value!r}.") from error
    if not np.isfinite(angle):
        raise ValueError(f"{name} must be finite, got {value!r}.")
    return angle
