"""Pixels of exposure and counts on which Gammapy evaluates a source."""

import astropy.units as u
import numpy as np
from astropy.nddata.utils import NoOverlapError, overlap_slices
from gammapy.datasets import map as gammapy_map
from gammapy.datasets.evaluator import CUTOUT_MARGIN
from gammapy.maps.utils import _check_width
from gammapy.utils.array import round_up_to_odd

__all__ = ["cutout", "offset", "overlap", "seen", "split"]


def offset(geom, counts, name):
    """Row and column of the counts at which the first pixel of an aligned geometry lies.

    Parameters
    ----------
    geom, counts : `~gammapy.maps.WcsGeom`
        Geometry, such as that of the exposure or a cutout of it, and that of the counts.
    name : str
        Name of the dataset, for errors.

    Raises
    ------
    ValueError
        If the pixels of one are not pixels of the other.
    """
    if not geom.to_image().is_aligned(counts.to_image()):
        found, expected = geom.wcs.wcs, counts.wcs.wcs
        raise ValueError(
            f"dataset {name}: the pixels of the exposure are not those of the counts: found "
            f"{_describe(found)}, expected {_describe(expected)} but for whole pixels; make both "
            "from one geometry (a margin is allowed)."
        )
    shift = counts.wcs.wcs.crpix - geom.wcs.wcs.crpix
    return tuple(int(s) for s in np.rint(shift[::-1]))


def _describe(wcs):
    projection, pixel = "/".join(wcs.ctype), np.round(wcs.cdelt, 6).tolist()
    return (
        f"{projection} with pixels of {pixel} deg, {np.round(wcs.crval, 6).tolist()} deg "
        f"at pixel {np.round(wcs.crpix, 6).tolist()}"
    )


def cutout(x0, y0, psf_width, geom, offset, shape):
    """Rows and columns of the exposure on which Gammapy evaluates a point source.

    Parameters
    ----------
    x0, y0 : float
        Position [pixel of the exposure].
    psf_width : `~astropy.units.Quantity`
        Width of the PSF kernel.
    geom : `~gammapy.maps.WcsGeom`
        Geometry of the exposure.
    offset : (int, int)
        Of the exposure in the counts.
    shape : tuple of int
        Shape of the counts.

    Returns
    -------
    cutout : (slice, slice) or None
        None if the source is out of reach of the counts.
    """
    size = tuple(int(n) for n in geom.data_shape[-2:])
    if gammapy_map.EVALUATION_MODE == "global":
        return slice(0, size[0]), slice(0, size[1])
    reach = _pixels(psf_width + CUTOUT_MARGIN, geom)
    width = round_up_to_odd(_pixels(psf_width + 2 * CUTOUT_MARGIN, geom))
    centre = y0 + offset[0], x0 + offset[1]
    try:
        overlap_slices(shape[-2:], _whole(reach), centre, mode="trim")
        return overlap_slices(size, _whole(width), (y0, x0), mode="trim")[0]
    except NoOverlapError:
        return None


def _pixels(width, geom):
    """Columns and rows of a width, at least one."""
    return np.clip((_check_width(width) * u.deg / geom.pixel_scales).to_value(""), 1, None)


def _whole(size):
    """Rows and columns as whole numbers, from columns and rows."""
    return tuple(int(np.round(n)) for n in size[::-1])


def split(x0, y0, cutout):
    """Pixels of the cutout that share a point source: list of row, column, weight.

    The four pixels around it, with weights that keep its centroid.
    """
    sources = []
    for row in (int(np.floor(y0)), int(np.floor(y0)) + 1):
        for column in (int(np.floor(x0)), int(np.floor(x0)) + 1):
            weight = (1 - abs(column - x0)) * (1 - abs(row - y0))
            inside = all(s.start <= i < s.stop for s, i in zip(cutout, (row, column), strict=True))
            if inside and weight > 0:
                # the precision in which Gammapy convolves
                sources.append((row, column, float(np.float32(weight))))
    return sources


def seen(x0, y0, half, cutout, offset, shape):
    """Rows and columns of the exposure that a point source reaches and the counts cover.

    Parameters
    ----------
    half : int
        Half of the width of the PSF kernel [pixel].
    """
    windows = []
    for centre, limits, first, n in zip((y0, x0), cutout, offset, shape[-2:], strict=True):
        start = max(limits.start, int(np.floor(centre)) - half, -first)
        stop = min(limits.stop, int(np.floor(centre)) + 2 + half, n - first)
        windows.append(slice(start, max(start, stop)))
    return tuple(windows)


def overlap(offset, size, shape):
    """Slices into an image of some size and into the counts that it is stacked on."""
    part, window = [], []
    for first, n, n_counts in zip(offset, size, shape, strict=True):
        start, stop = max(0, first), min(n_counts, first + n)
        stop = max(start, stop)
        part.append(slice(start - first, stop - first))
        window.append(slice(start, stop))
    return tuple(part), tuple(window)
