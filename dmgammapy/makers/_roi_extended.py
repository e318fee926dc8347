"""Spatial models of catalog sources, extended ones from their templates where these are found."""

import os
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.wcs import FITSFixedWarning
from gammapy.maps import Map
from gammapy.modeling.models import (
    DiskSpatialModel,
    GaussianSpatialModel,
    TemplateSpatialModel,
)
from gammapy.utils.scripts import make_path

from dmgammapy.utils import FITS_DAMAGE

__all__ = ["GAUSSIAN_R68", "find_template", "spatial_model"]

# The catalogs give the 68 % containment radius of a Gaussian (4FGL: Abdollahi et al. 2020,
# ApJS 247, 33, table 3), sqrt(-2 ln 0.32) = 1.5096 times its sigma; the archives' XML files of
# the same sources hold sigma, and agree.
GAUSSIAN_R68 = float(np.sqrt(-2 * np.log(1 - 0.68)))
# Archive of templates by the version of the catalog file, first one that exceeds it.
ARCHIVES = (
    (28, "LAT_extended_sources_8years"),
    (28, "Extended_8years"),
    (32, "Extended_12years"),
    (36, "Extended_14years"),
    (np.inf, "Extended_16years"),
)
ARCHIVE_3FHL = "Extended_archive_v18"
FLOOR = 1e-6  # of the largest value of a template


def spatial_model(source, folder=None, extended_dir=None):
    """Spatial model of a catalog source.

    Parameters
    ----------
    source : `~gammapy.catalog.SourceCatalogObject`
        Of 4FGL or 3FHL; others give the model that Gammapy makes.
    folder : `~pathlib.Path`, optional
        Folder of the catalog, where its archive of templates may lie.
    extended_dir : path, optional
        Folder of the templates.

    Returns
    -------
    model : `~gammapy.modeling.models.SpatialModel`
    notes : list of str
        What was done other than what the catalog asks for.
    """
    if not hasattr(source, "is_pointlike") or source.is_pointlike:
        return source.spatial_model(), []
    name = source.data["Extended_Source_Name"].strip()
    extended = getattr(source, "data_extended", None)
    if extended is None:
        point = type(source)({**source.data, "Extended_Source_Name": ""})
        return point.spatial_model(), [
            f"extended source {name!r} is not in the catalog's table of extended sources: "
            "a point instead"
        ]
    if extended.get("Spatial_Function", "").strip() in ("SpatialMap", ""):
        filename = str(extended.get("Spatial_Filename", "")).strip()
        if filename and filename != "--":
            path, searched = find_template(filename, extended, folder, extended_dir)
            if path is not None:
                return _template(path), []
            model, words = _shape(extended)
            where = ", ".join(str(s) for s in searched) or "no folder given (extended_dir)"
            return model, [f"template {filename} not found ({where}): {words} instead"]
    return _shape(extended)[0], []


def find_template(filename, extended, folder=None, extended_dir=None):
    """Look for the template of an extended source.

    Parameters
    ----------
    filename : str
        As in the catalog.
    extended : dict
        The source's row in the table of extended sources.
    folder, extended_dir : path, optional
        As in `spatial_model`.

    Returns
    -------
    path : `~pathlib.Path` or None
    searched : list of `~pathlib.Path`
        The folders that exist and were looked into.
    """
    version = extended.get("version")
    if version is None:
        archives = [ARCHIVE_3FHL]
    else:
        limit = next(limit for limit, _ in ARCHIVES if version < limit)
        archives = [archive for above, archive in ARCHIVES if above == limit]
    folders = []
    if extended_dir is not None:
        given = make_path(extended_dir)
        if not given.is_dir():
            raise FileNotFoundError(f"extended_dir: {given} is not a folder.")
        folders += [given, given / "Templates"]
        folders += [given / archive / "Templates" for archive in archives]
    roots = [] if folder is None else [Path(folder)]
    if os.environ.get("GAMMAPY_DATA"):
        roots.append(make_path("$GAMMAPY_DATA/catalogs/fermi"))
    folders += [root / archive / "Templates" for root in roots for archive in archives]
    searched = [f for f in folders if f.is_dir()]
    for place in searched:
        for name in (filename, filename + ".gz"):
            if (place / name).exists():
                return place / name, searched
    return None, searched


def _template(path):
    """Normalised template; without a unit in the file it is one per sr."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            # of a keyword BLANK in images of floats, which some templates have
            warnings.simplefilter("ignore", fits.verify.VerifyWarning)
            with path.open("rb") as file, fits.open(file) as hdus:
                # units of these images are arbitrary ("JY/BEAM"), the map is normalised anyway
                for hdu in hdus:
                    hdu.header.remove("BUNIT", ignore_missing=True)
                image = Map.from_hdulist(hdus)
    except (OSError, *FITS_DAMAGE) as error:
        raise ValueError(f"template {path}: not a map that can be read ({error}).") from error
    data = np.clip(np.nan_to_num(np.asarray(image.data, dtype=float)), 0, None)
    if not data.any():
        raise ValueError(f"template {path}: the map is zero everywhere.")
    # Gammapy interpolates logarithms, and extrapolates them before it sets zero outside
    floor = FLOOR * data.max()
    image = Map.from_geom(image.geom, data=np.maximum(data, floor), unit="sr-1")
    image = image.pad(2, axis_name=None, mode="constant", cval=floor)
    return TemplateSpatialModel(image, normalize=True, filename=str(path), copy_data=False)


def _shape(extended):
    """Disk or Gaussian of the catalog's size, and its description."""
    major, minor = _degrees(extended, "Model_SemiMajor"), _degrees(extended, "Model_SemiMinor")
    if not np.isfinite(minor) or not 0 < minor <= major:
        minor = major
    angle = _degrees(extended, "Model_PosAng")
    common = {
        "lon_0": u.Quantity(extended["RAJ2000"], "deg"),
        "lat_0": u.Quantity(extended["DEJ2000"], "deg"),
        "e": float(np.sqrt(1 - (minor / major) ** 2)),
        "phi": (angle if np.isfinite(angle) else 0.0) * u.deg,
        "frame": "icrs",
    }
    form = str(extended.get("Model_Form", "")) + str(extended.get("Spatial_Function", ""))
    if "Gauss" in form:
        sigma = major / GAUSSIAN_R68
        return GaussianSpatialModel(sigma=sigma * u.deg, **common), (
            f"a Gaussian of {major:.3g} deg (68 %)"
        )
    return DiskSpatialModel(r_0=major * u.deg, **common), f"a disk of {major:.3g} deg"


def _degrees(row, key):
    value = row.get(key, np.nan)
    if isinstance(value, u.Quantity):
        value = value.to_value("deg")
    return float(np.ma.filled(value, np.nan))
