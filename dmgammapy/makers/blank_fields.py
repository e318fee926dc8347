"""Control positions without a known source: `BlankFieldMaker`."""

from functools import partial

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from regions import CircleSkyRegion, PointSkyRegion, PolygonSkyRegion, SkyRegion
from scipy.spatial import cKDTree

from dmgammapy.targets import Target, Targets

from ._sphere import cap_points, chord, lattice_points, rotate_to, unit_vectors
from ._streams import check_count, random_stream

__all__ = ["BlankFieldMaker"]

METHODS = ("random", "grid")
BATCH = 2048
CHUNK = 256
DRAWS_PER_FIELD, LEAST_DRAWS = 2000, 100_000
REASONS = {
    "region": "outside the region",
    "offset": "outside the offsets from the target",
    "plane": "near the Galactic plane",
    "mask": "masked",
    "sources": "near a source",
    "fields": "near another field",
}


class BlankFieldMaker:
    """Control positions on the sky that stand in for a target.

    Each becomes a pseudo-target with the J-factor (and all else) of the target it controls, which
    runs through the same analysis: what its limits and TS scatter by is what the real background,
    faint sources included, does to the search.

    Random positions are uniform in solid angle over what is allowed, one after the other, each at
    a distance from those before; the first ten of a hundred are those of a run for ten. A grid is
    a Fibonacci lattice of the given spacing, turned at random.

    Parameters
    ----------
    n_fields : int, optional
        Number of positions per target. Default is all positions of the grid.
    seed : int
        The positions depend on it and on the target's name. Default is 0.
    method : {"random", "grid"}
        Default is "random".
    region : `~regions.SkyRegion` or `~gammapy.maps.WcsGeom`, optional
        Where to look. Default is the whole sky.
    offset_min, offset_max : `~astropy.units.Quantity`, optional
        Distance from the target's own position. Default is any.
    sources : `~astropy.coordinates.SkyCoord`, catalog, `Targets` or list of these, optional
        Positions to avoid; of a `~gammapy.catalog.SourceCatalog` its ``positions``.
    source_separation : `~astropy.units.Quantity`
        Least distance from a source; an array for one value per source. Default is 1 deg.
    separation : `~astropy.units.Quantity`
        Least distance of the positions from each other, and the spacing of the grid. Default is
        1 deg.
    latitude_min : `~astropy.units.Quantity`, optional
        Least Galactic latitude (north and south). Default is any.
    mask : `~gammapy.maps.Map` or list, optional
        Maps of booleans without energy axis, True where a position may be; outside of the map it
        may not.
    n_draws : int, optional
        Number of random positions to try. Default is 2000 per field, at least 100 000.

    Raises
    ------
    ValueError
        If an argument is not valid.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.makers import BlankFieldMaker
    >>> from dmgammapy.targets import Targets
    >>> roster = Targets.read_roster("ackermann2015_dsphs")
    >>> maker = BlankFieldMaker(
    ...     n_fields=20, seed=1, latitude_min=20 * u.deg,
    ...     sources=roster, source_separation=5 * u.deg,
    ... )
    >>> fields = maker.run(roster["draco"])
    >>> len(fields), fields[0].name, fields[0].log10_jfactor
    (20, 'draco_blank_0000', 18.83)
    >>> bool(abs(fields[0].position.galactic.b.deg) > 20)
    True
    """

    tag = "BlankFieldMaker"

    def __init__(
        self,
        n_fields=None,
        seed=0,
        method="random",
        region=None,
        offset_min=None,
        offset_max=None,
        sources=None,
        source_separation=1 * u.deg,
        separation=1 * u.deg,
        latitude_min=None,
        mask=None,
        n_draws=None,
    ):
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}.")
        if n_fields is None and method == "random":
            raise ValueError("random positions need their number, n_fields.")
        if n_fields is not None and check_count("n_fields", n_fields) == 0:
            raise ValueError("n_fields must be positive, got 0.")
        self.n_fields = n_fields
        self.seed = check_count("seed", seed)
        self.method = method
        self.region = region
        self.offset_min = _angle("offset_min", offset_min)
        self.offset_max = _angle("offset_max", offset_max)
        if None not in (self.offset_min, self.offset_max) and self.offset_min >= self.offset_max:
            raise ValueError(
                f"offset_min must be below offset_max, got {offset_min} and {offset_max}."
            )
        self.sources = _positions(sources)
        self.source_separation = _angle("source_separation", source_separation, scalar=False)
        if self.source_separation is None:
            raise ValueError("source_separation must be an angle, got None; 0 deg is none.")
        if self.source_separation.ndim and self.source_separation.shape != (len(self.sources),):
            raise ValueError(
                f"source_separation must be one angle or one for each of {len(self.sources)} "
                f"sources, got shape {self.source_separation.shape}."
            )
        self.separation = _angle("separation", separation)
        if self.separation is None or (method == "grid" and not self.separation > 0):
            raise ValueError(
                f"separation must be an angle (positive for a grid), got {separation}."
            )
        self.latitude_min = _angle("latitude_min", latitude_min)
        self.masks = _masks(mask)
        if n_draws is None:
            n_draws = max(DRAWS_PER_FIELD * (n_fields or 0), LEAST_DRAWS)
        self.n_draws = check_count("n_draws", n_draws)
        self._center, self._radius, self._contains = _region(region)
        vectors = _vectors(self.sources)
        self._tree = cKDTree(vectors) if len(vectors) else None
        reach = np.broadcast_to(chord(self.source_separation), (len(vectors),))
        self._chords = np.array(reach)

    def run(self, targets):
        """Find the positions.

        Parameters
        ----------
        targets : `~dmgammapy.targets.Target` or `~dmgammapy.targets.Targets`
            Templates of the pseudo-targets. Each has positions of its own, which don't depend on
            the others; field i of all targets is a realisation of their stack.

        Returns
        -------
        fields : `~dmgammapy.targets.Targets`
            Named ``<target>_blank_0000`` and so on, of kind "blank"; those of the first target
            first.

        Raises
        ------
        ValueError
            If not enough positions fit; it says what excludes them.
        """
        targets = [targets] if isinstance(targets, Target) else list(targets)
        fields = []
        for target in targets:
            for i, position in enumerate(self.positions(target)):
                fields.append(
                    target.copy(
                        name=f"{target.name}_blank_{i:04d}",
                        position=position,
                        title=None,
                        kind="blank",
                    )
                )
        return Targets(fields)

    def positions(self, target):
        """Find the positions for a target.

        Parameters
        ----------
        target : `~dmgammapy.targets.Target`

        Returns
        -------
        positions : `~astropy.coordinates.SkyCoord`
            ICRS, shape (n_fields,).
        """
        if not isinstance(target, Target):
            raise TypeError(f"BlankFieldMaker needs a Target, got {type(target).__name__}.")
        center, radius = self._cap(target)
        random = random_stream(self.seed, "blank fields", target.name)
        lost = dict.fromkeys(REASONS, 0)
        if self.method == "grid":
            found = self._grid(target, center, radius, random, lost)
        else:
            found = self._random(target, center, radius, random, lost)
        lon = np.arctan2(found[:, 1], found[:, 0])
        lat = np.arctan2(found[:, 2], np.hypot(found[:, 0], found[:, 1]))
        return SkyCoord(np.mod(lon, 2 * np.pi), lat, unit="rad", frame="icrs")

    def _cap(self, target):
        """Smallest known cap (direction, radius) that holds all allowed positions."""
        caps = [(self._center, self._radius)]
        if self.offset_min is not None or self.offset_max is not None:
            if target.position is None:
                raise ValueError(
                    f"target {target.name}: offset_min and offset_max need its position, which is "
                    "unknown."
                )
            if self.offset_max is not None:
                caps.append((target.position, self.offset_max))
        center, radius = min(caps, key=lambda cap: cap[1])
        return (center.icrs.ra.rad, center.icrs.dec.rad), float(radius)

    def _grid(self, target, center, radius, random, lost):
        points = lattice_points(float(self.separation), radius, 2 * np.pi * random.random())
        tried = len(points)
        points = rotate_to(points, *center)
        points = points[self._allowed(points, target, lost)]
        points = np.array(self._apart(points, [], lost, None)).reshape(-1, 3)
        if not tried:
            spacing, size = np.degrees([float(self.separation), radius])
            raise ValueError(
                f"target {target.name}: a grid of {spacing:.4g} deg has no point in a circle of "
                f"{size:.4g} deg around the region; take a smaller separation or a larger region."
            )
        if self.n_fields is None:
            if not len(points):
                self._fail(target, 0, 1, tried, lost)
            return points
        if len(points) < self.n_fields:
            self._fail(target, len(points), self.n_fields, tried, lost)
        chosen = random.permutation(len(points))[: self.n_fields]
        return points[np.sort(chosen)]

    def _random(self, target, center, radius, random, lost):
        found, tried = [], 0
        while len(found) < self.n_fields and tried < self.n_draws:
            n = min(BATCH, self.n_draws - tried)
            points = rotate_to(cap_points(random.random((n, 2)), radius), *center)
            tried += n
            points = points[self._allowed(points, target, lost)]
            found = self._apart(points, found, lost, self.n_fields)
        if len(found) < self.n_fields:
            self._fail(target, len(found), self.n_fields, tried, lost)
        return np.array(found)

    def _fail(self, target, found, wanted, tried, lost):
        reasons = "; ".join(f"{n} {REASONS[key]}" for key, n in lost.items() if n) or "none"
        raise ValueError(
            f"target {target.name}: only {found} of {wanted} blank fields fit; of {tried} "
            f"positions tried were left out: {reasons}. Ask for fewer, relax what leaves out most, "
            "or (random) raise n_draws."
        )

    def _allowed(self, points, target, lost):
        """Which positions respect everything but each other, bool array (n,)."""
        lat = np.arcsin(np.clip(points[:, 2], -1, 1))
        sky = SkyCoord(np.arctan2(points[:, 1], points[:, 0]), lat, unit="rad", frame="icrs")
        good = np.ones(len(points), dtype=bool)

        def require(name, condition):
            nonlocal good
            lost[name] += int((good & ~condition).sum())
            good = good & condition

        if self._contains is not None:
            require("region", np.asarray(self._contains(sky), dtype=bool))
        if self.offset_min is not None or self.offset_max is not None:
            offset = target.position.separation(sky).rad
            low = 0.0 if self.offset_min is None else self.offset_min
            high = np.pi if self.offset_max is None else self.offset_max
            require("offset", (offset >= low) & (offset <= high))
        if self.latitude_min is not None:
            require("plane", np.abs(sky.galactic.b.rad) >= self.latitude_min)
        for mask in self.masks:
            value = mask.get_by_coord({"skycoord": sky})
            require("mask", np.nan_to_num(np.asarray(value, dtype=float)) > 0)
        if self._tree is not None:
            require("sources", self._far_from_sources(points))
        return good

    def _far_from_sources(self, points):
        if self.source_separation.ndim == 0:
            return self._tree.query(points)[0] >= self._chords[0]
        far = np.ones(len(points), dtype=bool)
        near = self._tree.query_ball_point(points, self._chords.max())
        for i, found in enumerate(near):
            distance = np.linalg.norm(self._tree.data[found] - points[i], axis=1)
            far[i] = (distance >= self._chords[found]).all()
        return far

    def _apart(self, points, found, lost, n_max):
        """Add positions that keep their distance from all found, up to a number."""
        least = chord(float(self.separation))
        found = list(found)
        for point in points:
            if n_max is not None and len(found) >= n_max:
                break
            if found and (np.linalg.norm(np.array(found) - point, axis=1) < least).any():
                lost["fields"] += 1
                continue
            found.append(point)
        return found

    def __repr__(self):
        return (
            f"BlankFieldMaker(n_fields={self.n_fields}, seed={self.seed}, "
            f"method={self.method!r}, {len(self.sources)} sources)"
        )


def _angle(name, value, scalar=True):
    """Angle in radian; None stays None."""
    if value is None:
        return None
    try:
        angle = u.Quantity(value).to_value("rad")
    except (u.UnitConversionError, TypeError, ValueError):
        raise ValueError(f"{name} must be an angle like 5 * u.deg, got {value!r}.") from None
    if (scalar and np.ndim(angle)) or not (np.isfinite(angle).all() and (angle >= 0).all()):
        raise ValueError(f"{name} must be finite and not negative, got {value!r}.")
    return np.asarray(angle, dtype=float)


def _positions(sources):
    """Join everything that has positions, in ICRS."""
    if sources is None:
        sources = []
    parts = list(sources) if isinstance(sources, list | tuple) else [sources]
    lon, lat = [], []
    for part in parts:
        if isinstance(part, Target | Targets):
            listed = [part] if isinstance(part, Target) else list(part)
            unknown = [target.name for target in listed if target.position is None]
            if unknown:
                raise ValueError(f"targets to avoid without position: {', '.join(unknown)}.")
            coords = [target.position for target in listed]
        else:
            coord = part if isinstance(part, SkyCoord) else getattr(part, "positions", None)
            if not isinstance(coord, SkyCoord):
                raise ValueError(
                    "sources must be SkyCoord, source catalogs or Targets, got "
                    f"{type(part).__name__}."
                )
            coords = [coord]
        for coord in coords:
            lon.append(np.atleast_1d(coord.icrs.ra.rad))
            lat.append(np.atleast_1d(coord.icrs.dec.rad))
    lon = np.concatenate([[], *lon])
    lat = np.concatenate([[], *lat])
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise ValueError("a position among the sources is not finite; leave it out.")
    return SkyCoord(lon, lat, unit="rad", frame="icrs")


def _vectors(coords):
    return unit_vectors(coords.ra.rad, coords.dec.rad)


def _masks(mask):
    masks = [] if mask is None else (list(mask) if isinstance(mask, list | tuple) else [mask])
    for item in masks:
        if item.data.dtype != bool or item.geom.axes.names:
            raise ValueError(
                f"mask must be a map of booleans without other axes, got {item.data.dtype} with "
                f"axes {item.geom.axes.names}; reduce it, for instance by "
                "mask.reduce_over_axes(np.logical_and)."
            )
    return masks


def _in_circle(center, radius, sky):
    return center.separation(sky).rad <= radius


def _in_region(region, wcs, sky):
    return region.contains(sky, wcs)


def _region(region):
    """Center and radius [rad] of a cap around a region, and a function that knows the region."""
    from gammapy.maps import RegionGeom, WcsGeom

    if region is None:
        return SkyCoord(0, 90, unit="deg"), np.pi, None
    if isinstance(region, CircleSkyRegion):
        radius = float(region.radius.to_value("rad"))
        return region.center, min(radius, np.pi), partial(_in_circle, region.center, radius)
    if isinstance(region, PolygonSkyRegion):
        corners = region.vertices.icrs
        mean = _vectors(corners).mean(axis=0)
        center = SkyCoord(*mean, representation_type="cartesian", frame="icrs").spherical
        center = SkyCoord(center.lon, center.lat, frame="icrs")
        radius = float(center.separation(corners).rad.max())
        wcs = WcsGeom.create(skydir=center, binsz=0.01, width=1, proj="TAN", frame="icrs").wcs
        return center, radius, partial(_in_region, region, wcs)
    if isinstance(region, PointSkyRegion):
        raise ValueError("region is a PointSkyRegion, which has no area; take a CircleSkyRegion.")
    if isinstance(region, SkyRegion):
        geom = RegionGeom(region)
        width = np.hypot(*geom.width.to_value("rad").ravel())
        return geom.center_skydir, min(float(width), np.pi), geom.contains
    if isinstance(region, WcsGeom):
        geom = region.to_image()
        if geom.is_allsky:
            return SkyCoord(0, 90, unit="deg"), np.pi, geom.contains
        corners = geom.center_skydir.separation(geom.get_coord(frame="icrs").skycoord).rad
        radius = float(np.nanmax(corners) + np.max(geom.pixel_scales.to_value("rad")))
        return geom.center_skydir, min(radius, np.pi), geom.contains
    raise ValueError(
        f"region must be a SkyRegion or a WcsGeom, got {type(region).__name__}; a string becomes "
        "one by RegionGeom.create(string).region."
    )
