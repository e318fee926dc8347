"""Spatial models of extended signals: templates from maps and tables of J.

A template says how the signal is spread and integrates to 1 over its map. How much there is, J,
belongs to the spectral model. Nothing is counted twice, nor lost, if that J is the one **within the
map**; each function here returns both, as a `SpatialTemplate`.

What to use when

- `spatial_template` for a map of J in Gammapy's format,
- `spatial_template_from_radial` for a published table of dJ/dOmega over the angle,
- `spatial_template_from_healpix` for a HEALPix map,
- `dmgammapy.targets.Halo.to_spatial_model` for a halo profile.
"""

from pathlib import Path
from typing import NamedTuple

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.maps import HpxNDMap, WcsGeom, WcsNDMap
from gammapy.modeling.models import TemplateSpatialModel

from ._pixels import integrate_pixels

__all__ = [
    "SpatialTemplate",
    "spatial_template",
    "spatial_template_from_healpix",
    "spatial_template_from_radial",
]

RADIAL_UNITS = ("GeV2 cm-5 sr-1", "GeV cm-2 sr-1")
GAUSS_X, GAUSS_W = np.polynomial.legendre.leggauss(8)
INNER = 1e-3  # of the next angle, what stands for an angle of zero
OVERSAMPLING = 8  # HEALPix pixels per side of a pixel of the map, at least
LARGEST_NSIDE = 2**29
CHUNK = 1_000_000


class SpatialTemplate(NamedTuple):
    """A template and the J-factor that belongs to it.

    Parameters
    ----------
    model : `~gammapy.modeling.models.TemplateSpatialModel`
        Spatial model; it integrates to 1 over its map.
    jfactor : `~astropy.units.Quantity`
        Integral of J (or D) over the map: what the spectral model needs, rather than J within an
        angle or of the whole halo.
    """

    model: TemplateSpatialModel
    jfactor: u.Quantity


def spatial_template(map, filename=None):
    """Template of a map of J.

    Parameters
    ----------
    map : `~gammapy.maps.WcsNDMap`
        J (or D) in any unit, without other axes: per pixel, or per solid angle if the unit says so.
    filename : str or `~pathlib.Path`, optional
        File of the template, which ``Models.write`` needs; without it writing fails.

    Returns
    -------
    template : `SpatialTemplate`
        The model, and the sum of the map. The model is evaluated by interpolation: on a grid
        other than its own the integral is 1 as far as the grid resolves the signal.

    Raises
    ------
    TypeError
        If this is no WCS map.
    ValueError
        If it has other axes, values that are negative or not finite, or no signal.

    Examples
    --------
    >>> import numpy as np
    >>> from gammapy.maps import Map
    >>> from dmgammapy.modeling import spatial_template
    >>> jfactors = Map.create(npix=5, binsz=0.1, unit="GeV2 cm-5")
    >>> jfactors.data += 2e17
    >>> model, jfactor = spatial_template(jfactors)
    >>> print(f"{jfactor:.0e}", round(float(model.integrate_geom(jfactors.geom).data.sum()), 6))
    5e+18 GeV2 / cm5 1.0
    """
    if not isinstance(map, WcsNDMap):
        raise TypeError(f"the map must be a WcsNDMap, got {type(map).__name__}.")
    if map.geom.axes:
        raise ValueError(
            f"the map must have no other axes, got {', '.join(map.geom.axes.names)}; sum over "
            "them, or take one slice."
        )
    values = np.asarray(map.data, float)
    solid_angle = map.geom.solid_angle().to_value("sr")
    on_sky = np.isfinite(solid_angle) & (solid_angle > 0)
    _check_values(np.where(on_sky, values, 0.0), "the map")
    unit, is_density = _per_pixel(map.unit)
    pixels = np.where(on_sky, values * solid_angle if is_density else values, 0.0)
    total = float(np.sum(pixels))
    if not total > 0:
        raise ValueError("the map holds no signal: all of its pixels are zero.")
    density = np.zeros_like(pixels)
    np.divide(pixels, total * solid_angle, out=density, where=on_sky)
    # normalised here: Gammapy's own way divides by the solid angle once more after reading
    model = TemplateSpatialModel(
        WcsNDMap(map.geom, density, unit="sr-1"),
        normalize=False,
        filename=None if filename is None else str(filename),
        copy_data=False,
    )
    return SpatialTemplate(model, total * unit)


def spatial_template_from_radial(theta, dj_domega, position, geom, filename=None):
    """Template of a table of dJ/dOmega (or dD/dOmega) over the angle, such as papers publish.

    Between the angles it is a power law, and within the first one the power law goes on. A first
    angle of zero is taken as a thousandth of the second one, and all is constant within. Beyond
    the last angle it is zero.

    Parameters
    ----------
    theta : `~astropy.units.Quantity`, shape (n,)
        Ascending angles [deg] from the centre.
    dj_domega : `~astropy.units.Quantity`, shape (n,)
        Positive values [GeV2 cm-5 sr-1], or [GeV cm-2 sr-1].
    position : `~astropy.coordinates.SkyCoord`
        Centre.
    geom : `~gammapy.maps.WcsGeom`
        Geometry of the template; other axes are left out.
    filename : str or `~pathlib.Path`, optional
        As for `spatial_template`.

    Returns
    -------
    template : `SpatialTemplate`
        The model, and what the map holds of the table's integral.

    Raises
    ------
    TypeError
        If the geometry or the position is none.
    ValueError
        If the table is damaged or has the wrong units, its integral diverges in the centre, or
        none of it lies in the map.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.coordinates import SkyCoord
    >>> from gammapy.maps import WcsGeom
    >>> from dmgammapy.modeling import spatial_template_from_radial
    >>> draco = SkyCoord(260.05, 57.92, unit="deg")
    >>> geom = WcsGeom.create(skydir=draco, width=3, binsz=0.1)
    >>> table = [0.01, 0.1, 1] * u.deg, [3e23, 3e22, 3e20] * u.Unit("GeV2 cm-5 sr-1")
    >>> model, jfactor = spatial_template_from_radial(*table, draco, geom)
    >>> print(f"{jfactor:.3e}")
    1.896e+18 GeV2 / cm5
    """
    radial, unit = _check_radial(theta, dj_domega)
    geom = _check_geom(geom)
    values = integrate_pixels(radial, geom, _check_position(position))
    return spatial_template(WcsNDMap(geom, values, unit=unit * u.sr), filename)


def spatial_template_from_healpix(
    healpix, geom, unit=None, frame=None, nest=False, field=0, filename=None
):
    """Template of a HEALPix map; the integral within the geometry is kept.

    Each HEALPix pixel is a patch of constant brightness, cut into parts that are small against
    the pixels of the geometry, each of which gives its J to the pixel it lies in.

    Parameters
    ----------
    healpix : str, `~pathlib.Path`, `~gammapy.maps.HpxNDMap` or array_like, shape (n_pixel,)
        File, map or values over the full sky. Pixels without a value (NaN, or
        ``healpy.UNSEEN``) are an error if they lie in the geometry.
    geom : `~gammapy.maps.WcsGeom`
        Geometry of the template; other axes are left out.
    unit : str or `~astropy.units.Unit`, optional
        Unit, per pixel (``"GeV2 cm-5"``) or per solid angle (``"GeV2 cm-5 sr-1"``). Default is
        that of the file or map; an array needs it.
    frame : {"galactic", "icrs"}, optional
        Frame. Default is that of the file or map; an array needs it.
    nest : bool
        Whether an array is in the nested order. Default is False.
    field : int
        Column of the file. Default is 0.
    filename : str or `~pathlib.Path`, optional
        As for `spatial_template`.

    Returns
    -------
    template : `SpatialTemplate`
        The model, and the integral within the geometry.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError
        If the geometry is none.
    ValueError
        If the unit or frame is not known, values are damaged, or none lie in the geometry.

    Examples
    --------
    >>> import numpy as np
    >>> from gammapy.maps import WcsGeom
    >>> from dmgammapy.modeling import spatial_template_from_healpix
    >>> geom = WcsGeom.create(skydir=(0, 0), width=10, binsz=0.5, frame="galactic")
    >>> uniform = np.ones(12 * 64**2)
    >>> model, jfactor = spatial_template_from_healpix(
    ...     uniform, geom, unit="GeV2 cm-5 sr-1", frame="galactic"
    ... )
    >>> print(f"{jfactor:.4f}")  # 100 square degrees are 0.0304 sr
    0.0304 GeV2 / cm5
    """
    geom = _check_geom(geom)
    values, nside, unit, frame, where = _read_healpix(healpix, unit, frame, nest, field)
    unit, is_density = _per_pixel(unit)
    if is_density:
        values = values * (4 * np.pi / len(values))
    data = _bin_healpix(values, nside, frame, geom, where)
    return spatial_template(WcsNDMap(geom, data, unit=unit), filename)


# --- checks --------------------------------------------------------------------------------------


def _per_pixel(unit):
    """Unit per pixel, and whether the given one is per solid angle."""
    unit = u.Unit(unit)
    powers = dict(zip(unit.decompose().bases, unit.decompose().powers, strict=True))
    is_density = powers.get(u.rad, 0) == -2
    return (unit * u.sr if is_density else unit), is_density


def _check_values(values, where):
    for name, bad in (("finite", ~np.isfinite(values)), ("positive or zero", values < 0)):
        if np.any(bad):
            index = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"{where}: {np.sum(bad)} values are not {name}, the first in pixel {index}: "
                f"{values[index]}."
            )


def _check_geom(geom):
    if not isinstance(geom, WcsGeom):
        raise TypeError(f"geom must be a WcsGeom, got {type(geom).__name__}.")
    if not geom.is_regular:
        raise ValueError("geom must be regular: one pixel size for all.")
    return geom.to_image()


def _check_position(position):
    if not isinstance(position, SkyCoord) or not position.isscalar:
        raise TypeError(f"position must be a single SkyCoord, got {position!r}.")
    return position


def _check_radial(theta, dj_domega):
    try:
        angles = np.atleast_1d(u.Quantity(theta).to_value("rad")).astype(float)
        values = u.Quantity(dj_domega)
        unit = next(u.Unit(known) for known in RADIAL_UNITS if values.unit.is_equivalent(known))
        values = np.atleast_1d(values.to_value(unit)).astype(float)
    except (u.UnitConversionError, StopIteration, TypeError, ValueError):
        raise ValueError(
            "expected theta in deg and dj_domega in GeV2 cm-5 sr-1 or GeV cm-2 sr-1, got "
            f"{getattr(theta, 'unit', 'no unit')} and {getattr(dj_domega, 'unit', 'no unit')}."
        ) from None
    if angles.ndim != 1 or angles.shape != values.shape or len(angles) < 3:
        raise ValueError(
            "theta and dj_domega must be two columns with at least three rows, got shapes "
            f"{angles.shape} and {values.shape}."
        )
    ascending = np.concatenate([[angles[0] >= 0], np.diff(angles) > 0]) & (angles <= np.pi)
    for text, good in (
        ("theta must ascend from zero or above, up to 180 deg", ascending),
        ("dj_domega must be positive and finite", np.isfinite(values) & (values > 0)),
    ):
        if not np.all(good):
            row = int(np.flatnonzero(~good)[0])
            raise ValueError(
                f"{text}; row {row} has {np.rad2deg(angles[row]):g} deg and {values[row]:g}."
            )
    return _RadialTable(angles, values), unit


class _RadialTable:
    """Power laws between angles [rad], with their integrals over the solid angle."""

    def __init__(self, theta, values):
        if theta[0] == 0:
            theta = np.concatenate([[INNER * theta[1]], theta[1:]])
            self.core = 0.0
        else:
            self.core = np.log(values[1] / values[0]) / np.log(theta[1] / theta[0])
        if self.core <= -2:
            raise ValueError(
                f"dj_domega diverges in the centre: its slope there is {self.core:.3g}, and must "
                "be above -2."
            )
        self.log_theta, self.log_values = np.log(theta), np.log(values)
        self.edge = theta[-1]
        slopes = np.diff(self.log_values) / np.diff(self.log_theta)
        self.slopes = np.concatenate([[self.core], slopes])
        first = 2 * np.pi * values[0] * theta[0] ** 2 / (2 + self.core)
        rings = self._integrate(self.log_theta[:-1], self.log_theta[1:], np.arange(1, len(theta)))
        self.within = np.concatenate([[first], first + np.cumsum(rings)])
        self.total = self.within[-1]

    def _segment(self, log_theta):
        return np.minimum(np.searchsorted(self.log_theta, log_theta), len(self.slopes) - 1)

    def _log(self, log_theta, segment):
        node = np.maximum(segment - 1, 0)
        return self.log_values[node] + self.slopes[segment] * (log_theta - self.log_theta[node])

    def _integrate(self, low, high, segment):
        half = 0.5 * (high - low)[..., np.newaxis]
        x = low[..., np.newaxis] + half * (1 + GAUSS_X)
        ring = np.exp(self._log(x, segment[..., np.newaxis]) + x) * np.sin(np.exp(x))
        return 2 * np.pi * np.sum(half * ring * GAUSS_W, axis=-1)

    def differential(self, theta):
        x = np.log(np.maximum(theta, 1e-300))
        return np.where(theta <= self.edge, np.exp(self._log(x, self._segment(x))), 0.0)

    def inside(self, theta):
        x = np.log(np.clip(theta, 1e-300, self.edge))
        segment = self._segment(x)
        node = np.maximum(segment - 1, 0)
        ring = self._integrate(self.log_theta[node], x, segment)
        core = self.within[0] * np.exp(np.minimum(x - self.log_theta[0], 0) * (2 + self.core))
        return np.where(segment == 0, core, self.within[node] + ring)

    def outside(self, theta):
        x = np.log(np.clip(theta, 1e-300, self.edge))
        segment = self._segment(x)
        ring = self._integrate(x, self.log_theta[np.maximum(segment, 1)], np.maximum(segment, 1))
        rest = self.total - self.within[segment] + ring
        return np.where(segment == 0, self.total - self.inside(theta), rest)


# --- HEALPix -------------------------------------------------------------------------------------


def _read_healpix(healpix, unit, frame, nest, field):
    """Values in nested order, nside, unit, frame and what errors call them."""
    import healpy

    where = "the HEALPix map"
    if isinstance(healpix, HpxNDMap):
        if healpix.geom.axes or healpix.geom.region is not None:
            raise ValueError(f"{where} must cover the full sky and have no other axes.")
        values, nest = np.asarray(healpix.data, float), healpix.geom.nest
        found_unit, found_frame = healpix.unit, healpix.geom.frame
        found_unit = None if found_unit == "" else found_unit
    elif isinstance(healpix, (str, Path)):
        where = str(healpix)
        if not Path(healpix).is_file():
            raise FileNotFoundError(f"{where}: no such file.")
        values, header = healpy.read_map(where, field=field, nest=True, h=True, dtype=float)
        header, nest = dict(header), True
        found_unit = header.get(f"TUNIT{field + 1}")
        system = str(header.get("COORDSYS", "")).strip().upper()[:1]
        found_frame = {"G": "galactic", "C": "icrs"}.get(system)
    else:
        values, found_unit, found_frame = np.asarray(healpix, float), None, None
        where = "the HEALPix array"
    if values.ndim != 1 or not healpy.isnpixok(len(values)):
        raise ValueError(f"{where} must have 12 nside^2 values, got shape {values.shape}.")
    unit = found_unit if unit is None else unit
    frame = found_frame if frame is None else frame
    try:
        unit = None if unit is None else u.Unit(unit)
    except ValueError:
        raise ValueError(f"{where}: unit {unit!r} is not known; give unit=.") from None
    if unit is None or frame not in ("galactic", "icrs"):
        raise ValueError(
            f"{where}: unit {unit} and frame {frame}; give unit=, such as 'GeV2 cm-5 sr-1', and "
            "frame= 'galactic' or 'icrs'."
        )
    if not nest:
        values = healpy.reorder(values, r2n=True)
    return values, healpy.npix2nside(len(values)), unit, frame, where


def _bin_healpix(values, nside, frame, geom, where):
    """Sum of the parts of HEALPix pixels (nested) in each pixel of a geometry."""
    import healpy

    size = float(np.min(geom.pixel_scales.to_value("rad")))
    factor = 1
    while healpy.nside2resol(nside * factor) * OVERSAMPLING > size:
        factor *= 2
    if nside * factor > LARGEST_NSIDE:
        raise ValueError(f"the pixels of geom are too small for HEALPix: {np.rad2deg(size):g} deg.")
    fine = nside * factor
    children = _pixels_around(fine, frame, geom)
    values = np.where(np.isclose(values, healpy.UNSEEN), np.nan, values)
    data = np.zeros(np.prod(geom.data_shape))
    width = np.sqrt(0.5) * healpy.nside2resol(fine) / geom.pixel_scales.to_value("rad")
    for start in range(0, len(children), CHUNK):
        some = children[start : start + CHUNK]
        lon, lat = healpy.pix2ang(fine, some, nest=True, lonlat=True)
        position = SkyCoord(lon, lat, unit="deg", frame=frame)
        # children of a pixel follow each other in the nested order
        owner = some // factor**2
        share = values[owner] / factor**2
        for index, weight in _shares(geom, position, width):
            is_inside = weight > 0
            bad = ~(share[is_inside] >= 0) | np.isinf(share[is_inside])
            if np.any(bad):
                bad = owner[is_inside][bad]
                raise ValueError(
                    f"{where}: {len(np.unique(bad))} pixels within the geometry have no value or "
                    f"one that is negative, the first is {bad[0]} in the nested order."
                )
            index, weight = index[is_inside], weight[is_inside] * share[is_inside]
            data += np.bincount(index, weight, data.size)
    data = data.reshape(geom.data_shape)
    return data


def _pixels_around(nside, frame, geom):
    """HEALPix pixels (nested) that may touch the geometry."""
    import healpy

    n_lat, n_lon = geom.data_shape
    x, y = np.linspace(-0.5, n_lon - 0.5, 65), np.linspace(-0.5, n_lat - 0.5, 65)
    x = np.concatenate([x, x, np.full(65, x[0]), np.full(65, x[-1])])
    y = np.concatenate([np.full(65, y[0]), np.full(65, y[-1]), y, y])
    border = geom.pix_to_coord((x, y))
    if np.all(np.isfinite(border[0])) and np.all(np.isfinite(border[1])):
        border = SkyCoord(*border, frame=geom.frame)
        center = geom.center_skydir.transform_to(frame)
        radius = float(np.max(center.separation(border).rad))
        # a border that lies opposite to itself says little about what is inside
        if radius < 1:
            radius += 2 * healpy.nside2resol(nside) + 0.02 * radius
            vector = center.cartesian.xyz.to_value("")
            found = healpy.query_disc(nside, vector, radius, inclusive=True, nest=True)
            return np.sort(found)
    return np.arange(healpy.nside2npix(nside))


def _shares(geom, position, width):
    """Pixels (flat index) and shares of small parts, for the four pixels that each may touch.

    A part is a diamond with the half diagonals ``width`` [pixels]: what of it lies beyond a line
    along the axes is the integral of a triangle. Shares are zero off the map.
    A map around the whole sky closes in longitude.
    """
    n_lat, n_lon = geom.data_shape
    wraps = geom.is_allsky and geom.projection in ("CAR", "CEA", "MER")
    x, y = geom.coord_to_pix(position)
    on_sky = np.isfinite(x) & np.isfinite(y)
    sides = []
    for coordinate, half, n_pixels in ((x, width[0], n_lon), (y, width[1], n_lat)):
        is_circle = wraps and coordinate is x
        coordinate = np.where(on_sky, coordinate, -9.0)
        # the nearest border between two pixels
        border = np.round(coordinate - 0.5)
        t = np.clip((border + 0.5 - coordinate) / half, -1, 1)
        below = np.where(t < 0, 0.5 * (1 + t) ** 2, 1 - 0.5 * (1 - t) ** 2)
        index = border.astype(int)
        sides.append(
            [
                (pixel, np.where(is_circle | ((pixel >= 0) & (pixel < n_pixels)), share, 0.0))
                for pixel, share in ((index, below), (index + 1, 1 - below))
            ]
        )
    for column, in_column in sides[0]:
        for row, in_row in sides[1]:
            yield row * n_lon + column % n_lon, in_column * in_row
