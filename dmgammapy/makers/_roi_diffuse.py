"""Galactic diffuse emission of a region, cut out of the all-sky cube."""

import logging
import warnings
import zlib
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import WCS
from gammapy.maps import Map, MapAxis, WcsGeom, WcsNDMap
from gammapy.modeling.models import PowerLawNormSpectralModel, SkyModel, TemplateSpatialModel
from gammapy.utils.scripts import make_path

from dmgammapy.utils import FITS_DAMAGE, atomic_path

__all__ = ["cut_cube", "diffuse_norm", "galactic_model"]

log = logging.getLogger(__name__)

UNIT = "cm-2 s-1 MeV-1 sr-1"
# beyond, a plane tangent to the sky is no map of the region any more
RADIUS_MAX = 75.0
POLE = 85.0
PIXEL = 0.1


def diffuse_norm():
    """Norm spectrum of a template: norm free and not negative, tilt frozen, around 1 GeV."""
    norm = PowerLawNormSpectralModel(norm=1, tilt=0, reference=1 * u.GeV)
    norm.norm.min = 0
    norm.norm.frozen = False
    norm.tilt.frozen = True
    return norm


def galactic_model(diffuse, position, radius, energy_range=None, folder=None, name="galdiff"):
    """Model of the Galactic diffuse emission around a position.

    Parameters
    ----------
    diffuse : path, `~gammapy.maps.Map` or `~gammapy.modeling.models.SkyModel`
        All-sky cube dN/dE/dOmega in cm-2 s-1 MeV-1 sr-1 at given energies, in the LAT's format
        (``gll_iem_v07.fits``) or Gammapy's; or a finished model, which is returned as it is.
    position : `~astropy.coordinates.SkyCoord`
    radius : float
        Of the cut-out in deg.
    energy_range : tuple of float, optional
        Least and greatest energy in MeV that the model must cover. Energies beyond the file's
        are extrapolated as power laws, since the template is zero outside its energies.
    folder : path, optional
        Where to write the cut-out. By default it is written by ``Models.write``, to the current
        folder.
    name : str

    Returns
    -------
    model : `~gammapy.modeling.models.SkyModel`
    notes : list of str
        What was extrapolated.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is no such cube.
    """
    if isinstance(diffuse, SkyModel):
        return diffuse, []
    if isinstance(diffuse, Map):
        cube, stem = _resampled(diffuse, position, radius), "galactic"
    else:
        path = make_path(diffuse)
        cube, stem = cut_cube(path, position, radius), path.name.split(".fits")[0]
    cube, notes = _extended_energies(cube, energy_range, stem)
    filename = _filename(cube, stem, position, radius)
    if folder is not None:
        filename = str(make_path(folder) / filename)
        if not Path(filename).exists():
            with atomic_path(filename) as temporary:
                cube.write(temporary)
    spatial = TemplateSpatialModel(cube, normalize=False, filename=filename, copy_data=False)
    return SkyModel(diffuse_norm(), spatial, name=name), notes


def cut_cube(path, position, radius):
    """Part of an all-sky cube around a position.

    A whole-sky plate carree cube is cut at its own pixels, rolled in longitude where the region
    crosses its edge, and only these pixels are read. Around a Galactic pole, and from cubes of
    other kinds, the flux is interpolated on a local map of the same pixel size.

    Parameters
    ----------
    path : `~pathlib.Path`
    position : `~astropy.coordinates.SkyCoord`
    radius : float
        In deg.

    Returns
    -------
    cube : `~gammapy.maps.WcsNDMap`
        With axis ``energy_true``, nodes at the energies of the file.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"diffuse cube {path} does not exist.")
    if not radius < RADIUS_MAX:
        raise ValueError(
            f"diffuse cube: the region with its margin has a radius of {radius:.4g} deg, at most "
            f"{RADIUS_MAX:.0f} deg are supported; use smaller datasets."
        )
    try:
        # a file cut short is only warned of; the handle is ours so that it is closed then
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("error", AstropyUserWarning)
            with fits.open(file) as hdus:
                if _is_lat_cube(hdus):
                    return _cut_lat(hdus, position, radius)
                cube = Map.from_hdulist(hdus)
    except FITS_DAMAGE as error:
        raise ValueError(
            f"diffuse cube {path}: it can't be read ({error}); expected a map of flux per sr in "
            "longitude, latitude and energy with a table ENERGIES."
        ) from error
    return _resampled(cube, position, radius)


def _is_lat_cube(hdus):
    header = hdus[0].header
    return (
        header.get("NAXIS") == 3
        and "ENERGIES" in hdus
        and str(header.get("CTYPE1", "")).startswith("GLON-CAR")
        and header.get("CRVAL2", 1) == 0
        and abs(header["NAXIS1"] * abs(header["CDELT1"]) - 360) < 1e-3 * abs(header["CDELT1"])
    )


def _cut_lat(hdus, position, radius):
    header = hdus[0].header
    energies = np.asarray(hdus["ENERGIES"].data.field(0), dtype=float)
    if len(energies) != header["NAXIS3"] or not (np.diff(energies) > 0).all():
        raise ValueError(
            f"{len(energies)} energies in its table ENERGIES for {header['NAXIS3']} planes, or "
            "energies that don't increase"
        )
    galactic = position.galactic
    step_lon, step_lat = header["CDELT1"], header["CDELT2"]
    n_lon, n_lat = header["NAXIS1"], header["NAXIS2"]
    lat_top = abs(galactic.b.deg) + radius
    polar = lat_top > POLE
    if polar:
        half, center = n_lon // 2, 0
        rows = (0, n_lat)
        if galactic.b.deg > 0:
            rows = _rows(header, galactic.b.deg - radius, 90.0)
        else:
            rows = _rows(header, -90.0, galactic.b.deg + radius)
    else:
        width = np.rad2deg(
            np.arcsin(np.sin(np.deg2rad(radius)) / np.cos(np.deg2rad(galactic.b.deg)))
        )
        half = min(int(np.ceil(width / abs(step_lon))) + 1, (n_lon - 1) // 2)
        center = round(
            ((galactic.l.deg - header["CRVAL1"]) / step_lon) % (360 / abs(step_lon))
            + header["CRPIX1"]
            - 1
        )
        rows = _rows(header, galactic.b.deg - radius, galactic.b.deg + radius)
    columns = np.arange(center - half, center + half + 1) % n_lon
    data = _section(hdus[0], rows, columns)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["GLON-CAR", "GLAT-CAR"]
    wcs.wcs.cdelt = [step_lon, step_lat]
    lon = (header["CRVAL1"] + (center + 1 - header["CRPIX1"]) * step_lon) % 360
    wcs.wcs.crval = [lon, 0]
    wcs.wcs.crpix = [half + 1, header["CRPIX2"] - rows[0]]
    geom = WcsGeom(wcs, npix=(len(columns), rows[1] - rows[0]), axes=[_axis(energies)])
    cube = WcsNDMap(geom, data=data, unit=header.get("BUNIT", UNIT))
    return _resampled(cube, position, radius) if polar else cube


def _rows(header, lat_min, lat_max):
    """Rows from below one latitude to above another, [first, last)."""
    edges = (np.array([lat_min, lat_max]) - header["CRVAL2"]) / header["CDELT2"]
    edges = np.sort(edges + header["CRPIX2"] - 1)
    first = max(int(np.floor(edges[0])) - 1, 0)
    return first, min(int(np.ceil(edges[1])) + 2, header["NAXIS2"])


def _section(hdu, rows, columns):
    """Pixels of an image by rows [first, last) and any columns, without reading the rest."""
    breaks = np.flatnonzero(np.diff(columns) != 1) + 1
    parts = []
    for run in np.split(columns, breaks):
        parts.append(hdu.section[:, rows[0] : rows[1], run[0] : run[-1] + 1])
    return np.concatenate(parts, axis=-1).astype(np.float32)


def _axis(energies):
    return MapAxis.from_nodes(energies * u.MeV, interp="log", name="energy_true")


def _resampled(cube, position, radius):
    """Cube on a local map around a position, interpolated in the logarithm of the flux."""
    names = cube.geom.axes.names
    if names not in (["energy_true"], ["energy"]):
        raise ValueError(
            f"the diffuse map has the axes {names}, expected one of energies, energy_true."
        )
    pixel = float(np.min(np.abs(cube.geom.pixel_scales.to_value("deg"))))
    # finer than a coarse cube, so that the second interpolation costs little
    pixel = min(pixel, max(pixel / 4, PIXEL))
    axis = cube.geom.axes[0]
    geom = WcsGeom.create(
        skydir=position.galactic,
        frame="galactic",
        proj="TAN" if radius < 45 else "ZEA",
        binsz=pixel,
        width=2 * radius,
        axes=[_axis(axis.center.to_value("MeV"))],
    )
    coords = geom.to_image().get_coord()
    data = np.empty(geom.data_shape, dtype=np.float32)
    for i, energy in enumerate(axis.center):
        where = {"skycoord": coords.skycoord, axis.name: energy}
        data[i] = _interpolated(cube, where)
    return WcsNDMap(geom, data=data, unit=cube.unit if str(cube.unit) else UNIT)


def _interpolated(cube, where):
    if cube.geom.is_hpx:
        return cube.interp_by_coord(where)
    return cube.interp_by_coord(where, values_scale="log", fill_value=None)


def _extended_energies(cube, energy_range, stem):
    """Cube with planes at energies beyond its own, power laws of the outermost two planes."""
    if not cube.unit.is_equivalent(UNIT):
        raise ValueError(f"diffuse cube {stem}: its unit is {cube.unit}, expected {UNIT}.")
    bad = ~np.isfinite(cube.data) | (cube.data < 0)
    if bad.any():
        raise ValueError(
            f"diffuse cube {stem}: {int(bad.sum())} of {bad.size} values around the position "
            "are negative or not finite."
        )
    if energy_range is None:
        return cube, []
    energies = cube.geom.axes[0].center.to_value("MeV")
    planes, notes = list(cube.data), []
    low, high = energy_range
    tiny = np.finfo(np.float32).tiny
    for wanted, near, side in ((low, 0, -1), (high, -1, 1)):
        if side * (wanted - energies[near]) <= 1e-6 * energies[near]:
            continue
        first, second = (np.log(np.maximum(planes[near + k], tiny)) for k in (0, -side))
        slope = (first - second) / np.log(energies[near] / energies[near - side])
        plane = np.exp(first + slope * np.log(wanted / energies[near])).astype(np.float32)
        notes.append(
            f"energies {'below' if side < 0 else 'above'} {energies[near]:.5g} MeV, to "
            f"{wanted:.5g} MeV, extrapolated as power laws"
        )
        energies = np.insert(energies, 0 if side < 0 else len(energies), wanted)
        planes.insert(0 if side < 0 else len(planes), plane)
    if not notes:
        return cube, []
    log.info("diffuse cube %s: %s", stem, "; ".join(notes))
    geom = cube.geom.to_image().to_cube([_axis(energies)])
    return WcsNDMap(geom, data=np.array(planes), unit=cube.unit), notes


def _filename(cube, stem, position, radius):
    """Name that tells the region, and by its check sum the content."""
    galactic = position.galactic
    content = zlib.crc32(np.ascontiguousarray(cube.data).tobytes())
    return (
        f"{stem}_l{galactic.l.deg:05.1f}_b{galactic.b.deg:+05.1f}_r{radius:.0f}_{content:08x}.fits"
    )
