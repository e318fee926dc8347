"""Photons that models send: true energies and directions, before any detector.

Energies in MeV, directions as unit vectors in ICRS, angles in radians.
"""

from dataclasses import dataclass

import astropy.units as u
import healpy as hp
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.modeling.models import (
    ConstantSpatialModel,
    PointSpatialModel,
    SkyModel,
    TemplateSpatialModel,
)

__all__ = ["Photons", "make_source"]

N_FINE = 10  # cells of a spectrum in each energy bin
FINEST = 1 << 29  # HEALPix order of directions, 4e-4 arcsec
CHUNK = 1_000_000
PIXELS_PER_RADIUS = 200
FLUX, INTENSITY = u.Unit("cm-2 s-1 MeV-1"), u.Unit("cm-2 s-1 MeV-1 sr-1")


@dataclass
class Photons:
    """Photons of a source: arrays of shape (n,) and, ``direction``, (n, 3)."""

    energy: np.ndarray
    direction: np.ndarray
    bin: np.ndarray


def power_law_integral(width, low, high):
    """Integral over ``E`` from E1 to E2 of the power law through two values, over E1.

    ``width`` is ln(E2 / E1). Where a value is zero, as beyond the end of a spectrum, it is the
    straight line's instead.
    """
    both = (low > 0) & (high > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = width + np.log(high / low)
        ratio = np.where(np.abs(slope) > 1e-8, np.expm1(slope) / slope, 1.0)
        return np.where(both, low * width * ratio, 0.5 * (low + high) * np.expm1(width))


def power_law_draw(uniform, width, low, high):
    """ln(E / E1) at quantiles of that power law, of the uniform distribution at zeros."""
    both = (low > 0) & (high > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = width + np.log(high / low)
        flat = np.abs(slope) < 1e-8
        drawn = width * np.where(flat, uniform, np.log1p(uniform * np.expm1(slope)) / slope)
    return np.where(both, drawn, np.log1p(uniform * np.expm1(width)))


def make_source(model, edges, cap, margin):
    """Prepare drawing photons of a model.

    Parameters
    ----------
    model : `~gammapy.modeling.models.SkyModel`
    edges : array, shape (n_bin + 1,)
        Bins of true energy, MeV.
    cap : (array of shape (3,), float)
        Centre and radius of the region in which photons are measured.
    margin : float
        How far beyond photons may come from.

    Returns
    -------
    source : `PointSource`, `ShapedSource` or `CubeSource`
        Or None if no photon of it can reach the region.

    Raises
    ------
    ValueError
        If the model can't be simulated; it is named.
    """
    check_model(model)
    smeared = model.apply_irf["psf"]
    cap = cap[0], min(cap[1] + (margin if smeared else 0.0), np.pi)
    spatial = model.spatial_model
    if isinstance(spatial, PointSpatialModel):
        direction = vector(spatial.position)
        if not within(direction, cap):
            return None
        return PointSource(model, edges, direction)
    own = source_cap(spatial)
    if own is None:
        own = cap
    elif separation(own[0], cap[0]) > own[1] + cap[1]:
        return None
    elif own[1] > cap[1]:
        own = cap
    if isinstance(spatial, TemplateSpatialModel) and spatial.is_energy_dependent:
        return CubeSource(model, edges, own, cap)
    return ShapedSource(model, edges, own, cap)


def check_model(model):
    """Refuse what would be simulated wrongly."""
    if not isinstance(model, SkyModel):
        raise ValueError(f"model {model.name!r}: only SkyModel can be simulated, got {model.tag}.")
    if model.spatial_model is None:
        raise ValueError(f"model {model.name!r} has no spatial model: where is it on the sky?")
    if model.temporal_model is not None:
        raise ValueError(
            f"model {model.name!r} has a temporal model, which is not simulated; remove it, or "
            "simulate its time ranges one by one with `gti`."
        )
    if not model.apply_irf["exposure"]:
        raise ValueError(f"model {model.name!r}: apply_irf without exposure can't be simulated.")


class PointSource:
    """A source without extension."""

    def __init__(self, model, edges, direction):
        self.name, self.apply_irf = model.name, model.apply_irf
        self.direction = direction
        self.spectrum = Spectrum(model, edges)

    def draw(self, random, scale):
        """Photons for a ``scale`` [cm2 s] per energy bin, in chunks."""
        for energy, index in self.spectrum.draw(random, scale):
            yield Photons(energy, np.tile(self.direction, (len(energy), 1)), index)


class ShapedSource:
    """An extended source of the same shape at all energies.

    Its shape is constant in each of many HEALPix pixels. Shapes that are normalised by definition
    are so here, too.
    """

    def __init__(self, model, edges, own, cap):
        self.name, self.apply_irf = model.name, model.apply_irf
        spatial = model.spatial_model
        self.nside, self.pixels = cap_pixels(own, pixel_size(spatial, own[1]))
        center = pixel_directions(self.nside, self.pixels)
        value = evaluate_shape(spatial, center)
        unit = value.unit * u.sr
        value = np.broadcast_to(value.value, len(center)) * hp.nside2pixarea(self.nside)
        check_positive(model.name, value)
        whole = own[1] < cap[1]
        is_normalised = not isinstance(spatial, (ConstantSpatialModel, TemplateSpatialModel))
        if (is_normalised or getattr(spatial, "normalize", False)) and whole:
            value = value / value.sum()
        # of a source at the border only what may be measured
        reach = within(center, (cap[0], cap[1] + hp.max_pixrad(self.nside)))
        self.pixels, value = self.pixels[reach], value[reach]
        self.cumulative = np.cumsum(value)
        total = self.cumulative[-1] if len(value) else 0.0
        self.spectrum = Spectrum(model, edges, factor=total * unit)

    def draw(self, random, scale):
        """Photons for a ``scale`` [cm2 s] per energy bin, in chunks."""
        for energy, index in self.spectrum.draw(random, scale):
            picked = pick(random, self.cumulative, len(energy))
            direction = draw_directions(random, self.nside, self.pixels[picked])
            yield Photons(energy, direction, index)


class CubeSource:
    """A template whose shape changes with energy: power laws in each HEALPix pixel."""

    def __init__(self, model, edges, own, cap):
        self.name, self.apply_irf = model.name, model.apply_irf
        spatial = model.spatial_model
        self.nside, self.pixels = cap_pixels(own, pixel_size(spatial, own[1]))
        center = pixel_directions(self.nside, self.pixels)
        self.width = np.diff(np.log(edges))
        self.edges = edges
        nodes = template_nodes(spatial, edges)
        values = [evaluate_shape(spatial, center, energy * u.MeV) for energy in nodes]
        spectral = model.spectral_model(edges * u.MeV)
        self.intensity = between_nodes(nodes, u.Quantity(values).value, edges)
        self.intensity *= spectral.value[:, None]
        self.intensity *= (values[0].unit * spectral.unit).to(INTENSITY)
        check_positive(model.name, self.intensity)

    def draw(self, random, scale):
        """Photons for a ``scale`` [cm2 s] per energy bin, in chunks."""
        area = hp.nside2pixarea(self.nside)
        for k, width in enumerate(self.width):
            low, high = self.intensity[k], self.intensity[k + 1]
            cumulative = np.cumsum(power_law_integral(width, low, high) * self.edges[k] * area)
            n = random.poisson(cumulative[-1] * scale[k])
            for first in range(0, n, CHUNK):
                picked = pick(random, cumulative, min(CHUNK, n - first))
                log = power_law_draw(random.random(len(picked)), width, low[picked], high[picked])
                direction = draw_directions(random, self.nside, self.pixels[picked])
                index = np.full(len(picked), k)
                yield Photons(self.edges[k] * np.exp(log), direction, index)


class Spectrum:
    """Draws of energies, by power laws in fine cells of the bins."""

    def __init__(self, model, edges, factor=1.0):
        steps = np.diff(np.log(edges))[:, None] * (np.arange(N_FINE) / N_FINE)
        self.edges = np.append((edges[:-1, None] * np.exp(steps)).ravel(), edges[-1])
        values = factor * model.spectral_model(self.edges * u.MeV)
        try:
            values = values.to_value(FLUX)
        except u.UnitConversionError as error:
            raise ValueError(
                f"model {model.name!r}: its flux must be in {FLUX}, got {values.unit}."
            ) from error
        check_positive(model.name, values)
        self.low, self.high = values[:-1], values[1:]
        self.width = np.diff(np.log(self.edges))
        self.flux = self.edges[:-1] * power_law_integral(self.width, self.low, self.high)

    def draw(self, random, scale):
        """Pairs of energies and bins, for a ``scale`` [cm2 s] per bin."""
        number = random.poisson(self.flux * np.repeat(scale, N_FINE))
        cells = np.repeat(np.arange(len(number)), number)
        for first in range(0, len(cells), CHUNK):
            cell = cells[first : first + CHUNK]
            uniform = random.random(len(cell))
            log = power_law_draw(uniform, self.width[cell], self.low[cell], self.high[cell])
            yield self.edges[cell] * np.exp(log), cell // N_FINE


def vector(position):
    """Unit vector in ICRS of a SkyCoord."""
    return np.asarray(position.icrs.cartesian.xyz.value, dtype=float).T


def separation(first, second):
    """Angle between unit vectors."""
    return 2 * np.arcsin(np.minimum(0.5 * np.linalg.norm(first - second, axis=-1), 1.0))


def within(directions, cap):
    """Which directions lie in a cap of any radius."""
    return separation(directions, cap[0]) <= cap[1]


def source_cap(spatial):
    """Centre and radius of a model, None if it is all over the sky."""
    radius = spatial.evaluation_radius
    if radius is None or isinstance(spatial, ConstantSpatialModel):
        return None
    radius = radius.to_value("rad")
    if isinstance(spatial, TemplateSpatialModel):
        radius *= np.sqrt(2)  # that of Gammapy is half the width, and maps have corners
    return (vector(spatial.position), radius) if radius < 0.5 * np.pi else None


def pixel_size(spatial, radius):
    """Size of pixels in which a shape may be taken as constant, radians."""
    if isinstance(spatial, ConstantSpatialModel):
        return max(radius / PIXELS_PER_RADIUS, np.deg2rad(0.5))
    if isinstance(spatial, TemplateSpatialModel):
        return max(
            0.25 * np.min(spatial.map.geom.pixel_scales.to_value("rad")),
            radius / PIXELS_PER_RADIUS,
        )
    finest = spatial.evaluation_bin_size_min
    finest = radius / 50 if finest is None else finest.to_value("rad")
    return max(finest, radius / PIXELS_PER_RADIUS)


def cap_pixels(cap, size):
    """HEALPix order and nested pixels that touch a cap."""
    nside = 1
    while hp.nside2resol(nside) > size and nside < 1 << 20:
        nside *= 2
    return nside, hp.query_disc(nside, cap[0], cap[1], inclusive=True, nest=True)


def pixel_directions(nside, pixels):
    """Unit vectors of centres, shape (n, 3)."""
    return np.stack(hp.pix2vec(nside, pixels, nest=True), axis=-1)


def draw_directions(random, nside, pixels):
    """Uniform in area in pixels: a random one of the many smallest pixels inside."""
    parts = (FINEST // nside) ** 2
    inside = random.integers(0, parts, len(pixels))
    return pixel_directions(FINEST, pixels * parts + inside)


def pick(random, cumulative, n):
    """Indices drawn with the weights of a cumulative sum."""
    index = np.searchsorted(cumulative, random.random(n) * cumulative[-1], side="right")
    return np.minimum(index, len(cumulative) - 1)


def evaluate_shape(spatial, directions, energy=None):
    """Values of a spatial model at unit vectors."""
    position = SkyCoord(*directions.T, representation_type="cartesian", frame="icrs")
    position = position.transform_to(spatial.frame).spherical
    lon, lat = position.lon, position.lat
    arguments = (lon, lat) if energy is None else (lon, lat, energy)
    return u.Quantity(spatial(*arguments))


def template_nodes(spatial, edges):
    """Energies [MeV] at which to evaluate a template; power laws are exact between them.

    Those of the template around the edges, and the edges beyond. Templates that are not
    interpolated in logarithms are evaluated at all edges.
    """
    if spatial._interp_kwargs.get("values_scale") != "log":
        return edges
    nodes = spatial.map.geom.axes["energy_true"].center.to_value("MeV")
    first = max(np.searchsorted(nodes, edges[0], side="right") - 1, 0)
    last = min(np.searchsorted(nodes, edges[-1]), len(nodes) - 1)
    outside = edges[(edges < nodes[0] * (1 - 1e-9)) | (edges > nodes[-1] * (1 + 1e-9))]
    return np.sort(np.concatenate([nodes[first : last + 1], outside]))


def between_nodes(nodes, values, edges):
    """Power laws through values at nodes, taken at edges, shape (n_edge, n_pixel)."""
    position = np.interp(np.log(edges), np.log(nodes), np.arange(len(nodes)))
    if len(nodes) == 1:
        return np.repeat(values, len(edges), axis=0)
    index = np.minimum(position.astype(int), len(nodes) - 2)
    part = (position - index)[:, None]
    low, high = values[index], values[index + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        geometric = low * (high / low) ** part
    both = (low > 0) & (high > 0)
    return np.where(both, geometric, (1 - part) * low + part * high)


def check_positive(name, values):
    """Refuse negative and undefined fluxes."""
    if not np.all(np.isfinite(values)) or np.any(values < 0):
        raise ValueError(
            f"model {name!r}: fluxes must be finite and not negative to be simulated; "
            f"{np.sum(~(values >= 0))} of {np.size(values)} values are not."
        )
