"""Pixels and energy bins of LAT datasets."""

import logging

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.maps import MapAxis, WcsGeom

from ._parametrised import tabulated

__all__ = [
    "corner_radius",
    "counts_geom",
    "check_true_axis",
    "covered",
    "describe",
    "exposure_geom",
    "psf_reach",
    "read_position",
    "true_energy_axis",
]

log = logging.getLogger(__name__)

EDGE_RTOL = 1e-6
FEWEST, NARROW = 8, 0.2  # true bins and margin, decades, below which there is a warning
REACH, REACHES = 1.5, (3.0, 12.0)  # 95 % radii of the PSF, deg


def read_position(position):
    """Sky position from a coordinate, (ra, dec) in degrees, or the name of one of its kind.

    Raises
    ------
    TypeError
        If it is nothing of these.
    """
    if isinstance(position, SkyCoord):
        if position.size != 1:
            raise TypeError(f"expected one position, got {position.size}.")
        return position.reshape(()).icrs
    try:
        ra, dec = (u.Quantity(value, "deg") for value in position)
    except (TypeError, ValueError, u.UnitsError) as error:
        raise TypeError(
            f"expected a SkyCoord or (ra, dec) in degrees as position, got {position!r}."
        ) from error
    return SkyCoord(ra, dec, frame="icrs")


def counts_geom(
    position, width, binsz, frame, proj, energy_min, energy_max, energy_bins_per_decade
):
    """WCS geometry of the counts around a position, with its axis of energies.

    Parameters
    ----------
    position : `~astropy.coordinates.SkyCoord`
    width, binsz : `~astropy.units.Quantity`
    frame : {"icrs", "galactic"}
    proj : str
    energy_min, energy_max : `~astropy.units.Quantity`
    energy_bins_per_decade : float
    """
    if not energy_min < energy_max:
        raise ValueError(f"energy_max must exceed energy_min, got {energy_min} to {energy_max}.")
    axis = MapAxis.from_energy_bounds(
        energy_min, energy_max, nbin=energy_bins_per_decade, per_decade=True
    )
    return WcsGeom.create(
        skydir=position, width=width.to_value("deg"), binsz=binsz.to_value("deg"), frame=frame,
        proj=proj, axes=[axis],
    )  # fmt: skip


def true_energy_axis(energy_axis, per_decade=16, margin=0.3, limits=None):
    """True energy bins: those of the counts cut into finer ones, with a margin on both sides.

    Every edge of the counts is an edge, so that components without energy dispersion go from one
    axis to the other without loss.

    Parameters
    ----------
    energy_axis : `~gammapy.maps.MapAxis`
        Reconstructed energies.
    per_decade : float
        At least as many true bins in every decade. Default is 16.
    margin : float
        Reach beyond the first and last edge, decades. Default is 0.3, a factor of 2.
    limits : `~astropy.units.Quantity`, shape (2,), optional
        Range of the response, at which the margin ends.

    Returns
    -------
    energy_axis_true : `~gammapy.maps.MapAxis`

    Raises
    ------
    ValueError
        If the counts reach beyond the range of the response.
    """
    if margin < 0:
        raise ValueError(f"energy_margin can't be negative, got {margin}.")
    edges = np.log10(energy_axis.edges.to_value("MeV"))
    low, high = edges[0] - margin, edges[-1] + margin
    if limits is not None:
        first, last = np.log10(u.Quantity(limits).to_value("MeV"))
        if edges[0] < first - EDGE_RTOL or edges[-1] > last + EDGE_RTOL:
            raise ValueError(
                f"the energies {10 ** edges[0]:.6g} to {10 ** edges[-1]:.6g} MeV reach beyond the "
                f"response, which goes from {10**first:.6g} to {10**last:.6g} MeV; choose "
                "energies inside."
            )
        low, high = max(low, min(first, edges[0])), min(high, max(last, edges[-1]))
    fine = [_split(edges[0], low, per_decade)[:0:-1]]
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        fine.append(_split(start, stop, per_decade)[:-1])
    fine.append(_split(edges[-1], high, per_decade))
    nodes = 10 ** np.concatenate(fine)
    nodes[np.isin(np.concatenate(fine), edges)] = energy_axis.edges.to_value("MeV")
    return MapAxis.from_energy_edges(nodes * u.MeV, name="energy_true", interp="log")


def check_true_axis(axis_true, axis, edisp, limits):
    """Check that true energies hold those of the counts, finely and with a margin.

    Parameters
    ----------
    axis_true, axis : `~gammapy.maps.MapAxis`
        True and reconstructed energies.
    edisp : bool
        Whether there is energy dispersion, which takes a margin.
    limits : `~astropy.units.Quantity`, shape (2,)
        Of the response, where a margin may end.

    Raises
    ------
    ValueError
        If counts lie outside of the true energies.
    """
    true, counts = (np.log10(a.edges.to_value("MeV")) for a in (axis_true, axis))
    if true[0] > counts[0] + EDGE_RTOL or true[-1] < counts[-1] - EDGE_RTOL:
        raise ValueError(
            f"true energies of {10 ** true[0]:.6g} to {10 ** true[-1]:.6g} MeV don't hold those of "
            f"the counts, {10 ** counts[0]:.6g} to {10 ** counts[-1]:.6g} MeV; take a wider axis."
        )
    if np.diff(true).max() > 1 / FEWEST + EDGE_RTOL:
        log.warning(
            "true energies have fewer than %d bins in a decade: predicted counts are off by some "
            "percent.", FEWEST,
        )  # fmt: skip
    first, last = np.log10(u.Quantity(limits).to_value("MeV"))
    wanted = max(counts[0] - NARROW, first), min(counts[-1] + NARROW, last)
    if edisp and (true[0] > wanted[0] + EDGE_RTOL or true[-1] < wanted[1] - EDGE_RTOL):
        log.warning(
            "true energies reach less than %.1f decades beyond the counts: the first and last bins "
            "miss what is measured there from outside.", NARROW,
        )  # fmt: skip


def _split(start, stop, per_decade):
    """Equal steps from one logarithm to another, ends included."""
    n = int(np.ceil(abs(stop - start) * per_decade - EDGE_RTOL))
    return np.linspace(start, stop, max(n, 0) + 1)


def psf_reach(energy):
    """How far around the counts the sky matters to them, angle.

    Parameters
    ----------
    energy : `~astropy.units.Quantity`
        The lowest.
    """
    radius = tabulated("r95", np.array([energy.to_value("MeV")]))[0]
    return np.round(np.clip(REACH * radius, *REACHES), 1) * u.deg


def exposure_geom(geom, energy_axis_true, margin):
    """Geometry of the exposure: the pixels of the counts and some around them.

    Parameters
    ----------
    geom : `~gammapy.maps.Geom`
        Of the counts.
    energy_axis_true : `~gammapy.maps.MapAxis`
    margin : `~astropy.units.Quantity`
    """
    image = geom.to_image()
    if not geom.is_hpx:
        pixels = np.ceil((margin / image.pixel_scales).to_value("")).astype(int)
        image = image.pad(tuple(int(n) for n in np.maximum(pixels, 0)), axis_name=None)
    return image.to_cube([energy_axis_true])


def corner_radius(geom):
    """Largest distance of a pixel's corner from the centre of a geometry, angle."""
    if geom.is_hpx:
        if geom.is_allsky:
            return 180 * u.deg
        coords = geom.to_image().get_coord().skycoord
        size = np.sqrt(geom.to_image().solid_angle().max()).to("deg")
        return geom.center_skydir.separation(coords).max().to("deg") + size
    image = geom.to_image()
    nx, ny = (int(n[0]) if np.ndim(n) else int(n) for n in image.npix)
    x = np.concatenate(
        [np.arange(nx + 1), np.arange(nx + 1), np.zeros(ny + 1), np.full(ny + 1, nx)]
    )
    y = np.concatenate(
        [np.zeros(nx + 1), np.full(nx + 1, ny), np.arange(ny + 1), np.arange(ny + 1)]
    )
    corners = SkyCoord.from_pixel(x - 0.5, y - 0.5, image.wcs)
    corners = corners[np.isfinite(corners.data.lon)]
    return image.center_skydir.separation(corners).max().to("deg")


def covered(geom, cone):
    """Pixels that lie in a cone as a whole, boolean array (ny, nx) or (n_pixel,).

    Parameters
    ----------
    geom : `~gammapy.maps.Geom`
    cone : (float, float, float) or None
        Right ascension, declination and radius [deg]; None for the whole sky.
    """
    image = geom.to_image()
    if cone is None:
        return np.ones(image.data_shape, dtype=bool)
    ra, dec, radius = cone
    size = np.sqrt(image.solid_angle()).to("deg") if image.is_hpx else np.hypot(*image.pixel_scales)
    distance = SkyCoord(ra, dec, unit="deg").separation(image.get_coord().skycoord)
    reach = (distance + size / 2).to_value("deg")
    return np.broadcast_to(reach <= radius * (1 + EDGE_RTOL), image.data_shape).copy()


def describe(geom):
    """What tells a geometry from others, list that can be written as JSON."""
    if geom.is_hpx:
        image = geom.to_image()
        place = [geom.frame, np.atleast_1d(image.nside).tolist(), image.nest, str(geom.region)]
    else:
        place = [geom.wcs.to_header_string(), [int(n) for n in geom.to_image().data_shape]]
    return [*place, geom.axes["energy"].edges.to_value("MeV").tolist()]
