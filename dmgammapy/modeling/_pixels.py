"""Integrals of something round on the sky over the pixels of a map."""

import numpy as np

__all__ = ["integrate_pixels"]

_x, _w = np.polynomial.legendre.leggauss(3)
PIXEL_NODES, PIXEL_WEIGHTS = 0.5 * _x, 0.5 * _w
# derivatives at the three nodes of the parabola through them
_a, _b, _c = PIXEL_NODES
DERIVATIVE = np.array(
    [
        [
            1 / (_a - _b) + 1 / (_a - _c),
            (_a - _c) / ((_b - _a) * (_b - _c)),
            (_a - _b) / ((_c - _a) * (_c - _b)),
        ],
        [
            (_b - _c) / ((_a - _b) * (_a - _c)),
            1 / (_b - _a) + 1 / (_b - _c),
            (_b - _a) / ((_c - _a) * (_c - _b)),
        ],
        [
            (_c - _b) / ((_a - _b) * (_a - _c)),
            (_c - _a) / ((_b - _a) * (_b - _c)),
            1 / (_c - _a) + 1 / (_c - _b),
        ],
    ]
)
_x, _w = np.polynomial.legendre.leggauss(8)
LINE_NODES, LINE_WEIGHTS = 0.5 * (1 + _x), 0.5 * _w
CUTS = 8
# segments with these widths in u, and the number of panels for them
LENGTHS = ((-1.0, 1.0, 1), (1.0, 4.0, 4), (4.0, np.inf, 40))
NEAR = 6  # pixels from the centre within which the outline of each pixel is followed
WIDEST = np.deg2rad(75)  # angle up to which it can be


def integrate_pixels(radial, geom, position):
    r"""Integral of a radial function over each pixel.

    Far from the centre it is a 3 x 3 Gauss-Legendre sum with the Jacobian of the projection. Near
    it, and where the function ends, the theorem of Green turns the integral into one along the
    outline of the pixel, :math:`\int F(\theta)\, d\phi / 2 \pi` with F the integral within the
    angle theta, which is finite in the centre of a cusp, too. A side of the pixel is a part of a
    great circle, at the distance h from the centre at its closest, so that
    :math:`\tan\theta = \tan h \cosh u` and :math:`d\phi = du / \cosh u`.

    Parameters
    ----------
    radial : object
        With the methods ``differential``, ``inside`` and ``outside`` of angles [rad]: the function
        [sr-1], its integral within the angle and that beyond; and ``edge``, the angle where it
        ends, pi if it does not.
    geom : `~gammapy.maps.WcsGeom`
        Geometry without other axes.
    position : `~astropy.coordinates.SkyCoord`
        Centre.

    Returns
    -------
    values : ndarray, shape (n_lat, n_lon)
        Zero in pixels that are not on the sky.
    """
    n_lat, n_lon = geom.data_shape
    axes = position.transform_to(geom.frame)
    center = _vectors(axes.data.lon.deg, axes.data.lat.deg)
    x = (np.arange(n_lon)[:, np.newaxis] + PIXEL_NODES).ravel()
    y = (np.arange(n_lat)[:, np.newaxis] + PIXEL_NODES).ravel()
    vectors = _sky(geom, *np.meshgrid(x, y))
    on_sky = np.isfinite(vectors[0])
    separation = _separation(vectors, center)
    # shape (n_lat, 3, n_lon, 3)
    blocks = vectors.reshape(3, n_lat, 3, n_lon, 3)
    along_x = np.einsum("kiajb,cb->kiajc", blocks, DERIVATIVE)
    along_y = np.einsum("kiajb,ca->kicjb", blocks, DERIVATIVE)
    jacobian = np.linalg.norm(np.cross(along_x, along_y, axis=0), axis=0)
    separation = separation.reshape(n_lat, 3, n_lon, 3)
    size = np.sqrt(2) * float(np.max(geom.pixel_scales.to_value("rad")))
    middle = separation[:, 1, :, 1]
    near = middle < NEAR * size / np.sqrt(2)
    if radial.edge < WIDEST:
        near |= np.abs(middle - radial.edge) < size
    near &= middle + size < WIDEST
    density = np.zeros_like(separation)
    used = np.broadcast_to(~near[:, np.newaxis, :, np.newaxis], separation.shape)
    used = used & on_sky.reshape(separation.shape) & (separation < radial.edge)
    density[used] = radial.differential(separation[used])
    weights = PIXEL_WEIGHTS[:, np.newaxis, np.newaxis] * PIXEL_WEIGHTS
    values = np.nansum(density * jacobian * weights, axis=(1, 3))
    if np.any(near):
        values[near] = _outlines(radial, geom, center, np.nonzero(near), middle[near] > size)
    return values


def _vectors(lon, lat):
    lon, lat = np.deg2rad(lon), np.deg2rad(lat)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def _sky(geom, x, y):
    """Unit vectors, shape (3, ...), of pixel coordinates; NaN off the sky."""
    lon, lat = geom.to_image().pix_to_coord((x, y))
    return _vectors(lon.to_value("deg"), lat.to_value("deg"))


def _separation(vectors, center):
    """Angles [rad] from a unit vector; accurate if they are tiny, too."""
    shape = (3,) + (1,) * (vectors.ndim - 1)
    center = center.reshape(shape)
    difference = np.linalg.norm(vectors - center, axis=0)
    return 2 * np.arctan2(difference, np.linalg.norm(vectors + center, axis=0))


def _outlines(radial, geom, center, indices, is_outside):
    """Integrals over pixels from their outlines; ``is_outside`` where the centre is not inside."""
    y, x = indices
    # sides are great circles in a tangential projection alone; else they are cut into some
    n_cuts = 1 if geom.projection == "TAN" else CUTS
    along = np.arange(n_cuts) / n_cuts - 0.5
    half = np.full(n_cuts, 0.5)
    outline_x = np.concatenate([along, half, -along, -half])
    outline_y = np.concatenate([-half, along, half, -along])
    vectors = _sky(geom, x[:, np.newaxis] + outline_x, y[:, np.newaxis] + outline_y)
    # gnomonic projection about the centre: great circles become straight lines
    east = np.cross(center, [0.0, 0.0, 1.0] if abs(center[2]) < 0.9 else [1.0, 0.0, 0.0])
    east /= np.linalg.norm(east)
    north = np.cross(center, east)
    depth = np.tensordot(center, vectors, 1)
    start = np.stack([np.tensordot(east, vectors, 1), np.tensordot(north, vectors, 1)]) / depth
    step = np.roll(start, -1, axis=-1) - start
    length = np.linalg.norm(step, axis=0)
    step = step / length
    height = start[0] * step[1] - start[1] * step[0]
    low = start[0] * step[0] + start[1] * step[1]
    # a side through the centre itself sees all of its azimuth where nothing is inside
    passes = np.abs(height) > 1e-12 * length
    distance = np.where(passes, np.abs(height), 1.0)
    low, high = np.arcsinh(low / distance), np.arcsinh((low + length) / distance)
    sides = np.where(passes, np.sign(height), 0.0)
    beyond = np.broadcast_to(is_outside[:, np.newaxis], sides.shape)
    # nor is anything smooth where the function ends
    end = np.tan(radial.edge) if radial.edge < WIDEST else np.inf
    end = np.arccosh(np.maximum(end / distance, 1.0))
    ends = [low, np.clip(-end, low, high), np.clip(end, low, high), high]
    total = np.zeros_like(sides)
    for shortest, longest, n_panels in LENGTHS:
        chosen = passes & (high - low > shortest) & (high - low <= longest)
        for is_beyond, function in ((False, radial.inside), (True, radial.outside)):
            now = chosen & (beyond == is_beyond)
            if not np.any(now):
                continue
            steps = (np.arange(n_panels)[:, np.newaxis] + LINE_NODES).ravel() / n_panels
            weights = np.tile(LINE_WEIGHTS, n_panels) / n_panels
            found = 0.0
            for first, last in zip(ends[:-1], ends[1:], strict=True):
                width = (last - first)[now][:, np.newaxis]
                if not np.any(width > 0):
                    continue
                u = first[now][:, np.newaxis] + width * steps
                theta = np.arctan(distance[now][:, np.newaxis] * np.cosh(u))
                found = found + np.sum(function(theta) / np.cosh(u) * weights * width, axis=-1)
            total[now] = found * sides[now] * (-1 if is_beyond else 1)
    orientation = np.sign(_area(start))
    return np.maximum(np.sum(total, axis=-1) * orientation / (2 * np.pi), 0.0)


def _area(points):
    """Twice the signed area of polygons, from corners of shape (2, n, n_corner)."""
    following = np.roll(points, -1, axis=-1)
    return np.sum(points[0] * following[1] - points[1] * following[0], axis=-1)
