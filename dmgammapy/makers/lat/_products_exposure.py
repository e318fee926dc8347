"""Exposure cubes on the pixels and true energies of a dataset."""

import logging

import numpy as np
from gammapy.maps import Map
from scipy.ndimage import map_coordinates

from ._products_irf import check_covered, interpolate_log

__all__ = ["exposure_map", "padded_geom"]

log = logging.getLogger(__name__)

# pixels of the exposure cube that counts may lie outside of it
REACH = 0.5


def padded_geom(geom, margin):
    """Pixels of an image and whole pixels around them.

    Parameters
    ----------
    geom : `~gammapy.maps.WcsGeom`
    margin : `~astropy.units.Quantity`
        Angle, rounded up.

    Returns
    -------
    geom : `~gammapy.maps.WcsGeom`
        Image whose pixels are those of the other.
    """
    image = geom.to_image()
    pixels = np.ceil((margin / image.pixel_scales).to_value("")).astype(int)
    return image.pad(tuple(int(n) for n in pixels), axis_name=None)


def exposure_map(product, geom, energy_axis_true, margin):
    """Exposure at the pixels of counts and around them.

    Linear between the cube's pixels, smooth in log energy and log exposure between its energies.
    Pixels around the counts that the cube does not reach have the value of its nearest pixel.

    Parameters
    ----------
    product : `Product`
        Of `read_exposure`.
    geom : `~gammapy.maps.WcsGeom`
        Of the counts.
    energy_axis_true : `~gammapy.maps.MapAxis`
    margin : `~astropy.units.Quantity`
        Angle around the counts.

    Returns
    -------
    exposure : `~gammapy.maps.WcsNDMap`
        [cm2 s], shape (n_true, ny, nx); zero where a pixel is not on the sky.

    Raises
    ------
    ValueError
        If true energies or pixels of the counts are outside the cube.
    """
    cube = product.map
    nodes = cube.geom.axes["energy_true"].center.to_value("MeV")
    centers = energy_axis_true.center.to_value("MeV")
    check_covered("exposure", product.path, nodes[0], nodes[-1], centers)
    image = padded_geom(geom, margin)
    coords = image.get_coord().skycoord.transform_to(cube.geom.frame)
    valid = np.isfinite(coords.data.lon.deg) & np.isfinite(coords.data.lat.deg)
    values, outside = (_from_hpx if cube.geom.is_hpx else _from_wcs)(
        cube.geom.to_image(), cube.data, coords[valid]
    )
    planes = np.zeros((energy_axis_true.nbin, *image.data_shape))
    planes[:, valid] = interpolate_log(nodes, values, np.clip(centers, nodes[0], nodes[-1]))
    _check_outside(outside, valid, image, geom, product.path)
    return Map.from_geom(image.to_cube([energy_axis_true]), data=planes, unit="cm2 s")


def _check_outside(outside, valid, image, geom, path):
    far = np.zeros(image.data_shape, dtype=bool)
    far[valid] = outside
    rows, columns = ((a - b) // 2 for a, b in zip(far.shape, geom.data_shape[-2:], strict=True))
    inner = far[rows : far.shape[0] - rows, columns : far.shape[1] - columns]
    if inner.any():
        raise ValueError(
            f"{path}: {inner.sum()} of the {inner.size} pixels of the counts lie outside the "
            "exposure cube; run gtexpcube2 for the whole sky or the region of the counts."
        )
    if far.any():
        log.warning(
            "%s: the exposure cube does not reach %d of the %d pixels around the counts; these "
            "have the exposure of its nearest pixel. It matters for sources outside the counts.",
            path, far.sum(), far.size - inner.size,
        )  # fmt: skip


def _from_wcs(geom, planes, coords):
    """Bilinear interpolation, shape (n_nodes, n_coords), and whether coords are outside."""
    x, y = geom.coord_to_pix(coords)
    ny, nx = planes.shape[-2:]
    per_turn = 360 / geom.pixel_scales[0].to_value("deg")
    whole_turn = geom.is_allsky and nx > per_turn - 0.5
    if whole_turn:
        x = np.mod(x, per_turn)
        planes = np.concatenate([planes[..., -1:], planes, planes[..., :2]], axis=-1)
    outside = _outside(y, ny)
    if not whole_turn:
        outside |= _outside(x, nx)
    x = np.where(np.isfinite(x), x, 0) + (1 if whole_turn else 0)
    y = np.clip(np.where(np.isfinite(y), y, 0), 0, ny - 1)
    x = np.clip(x, 0, planes.shape[-1] - 1)
    values = [map_coordinates(plane, [y, x], order=1, mode="nearest") for plane in planes]
    return np.array(values), outside


def _outside(pixel, n):
    return ~((pixel >= -0.5 - REACH) & (pixel <= n - 0.5 + REACH))


def _from_hpx(geom, planes, coords):
    """HEALPix' bilinear interpolation of the four nearest pixels."""
    values, outside = [], np.zeros(coords.shape, dtype=bool)
    for plane in planes:
        part = Map.from_geom(geom, data=plane).interp_by_coord(coords, method="linear")
        outside |= ~np.isfinite(part)
        values.append(part)
    values = np.array(values)
    if outside.any() and not outside.all():
        inside = coords[~outside]
        nearest = coords[outside].match_to_catalog_sky(inside)[0]
        values[:, outside] = values[:, ~outside][:, nearest]
    return values, outside
