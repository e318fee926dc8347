"""Livetime cubes in the format of the Fermi Science Tools (gtltcube)."""

from pathlib import Path

import healpy as hp
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.time import Time

from dmgammapy.utils import atomic_path

from ._fits import find_hdu, open_fits, read_columns
from ._livetime_geometry import find_binning, make_costheta_edges
from ._met import MJDREFF, MJDREFI

__all__ = ["read_cube", "write_cube"]

THETABIN = {"sqrt": "SQRT(1-COSTHETA)", "linear": "COSTHETA"}
FRAMES = {"EQU": "icrs", "CEL": "icrs", "C": "icrs", "GAL": "galactic", "G": "galactic"}
ORDERINGS = {"NESTED": "NESTED", "NEST": "NESTED", "RING": "RING"}
KIND = "a livetime cube (gtltcube)"
EDGE_ATOL = 1e-6


# ---- reading -------------------------------------------------------------------------------------


def read_cube(path):
    """Parts of a livetime cube.

    Parameters
    ----------
    path : str or `~pathlib.Path`

    Returns
    -------
    parts : dict
        Arguments of `LivetimeCube`.
    """
    path = Path(path)
    with open_fits(path) as hdus:
        hdu = find_hdu(hdus, path, "EXPOSURE", KIND)
        table = read_columns(hdu, path, required=["COSBINS", "RA", "DEC"])
        header = hdu.header
        edges = _read_edges(hdus, path, header, table["COSBINS"])
        parts = {"costheta_edges": edges, "data": _livetime(table, header, edges, path, hdu.name)}
        parts |= _read_geometry(header, table, path)
        parts["weighted"] = _read_weighted(hdus, path, edges, table)
        parts["gti"] = _read_gti(hdus, path)
        parts["zenith_max"] = _read_zenith(header, path)
        parts["meta"] = _read_meta(hdus[0].header, header, path)
    return parts


def _number(header, key, path, kind=int):
    """Keyword of the EXPOSURE table as a number."""
    value = header.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{path}[{header['EXTNAME']}]: {key} must be a number, found {value!r}.")
    return kind(value)


def _read_edges(hdus, path, header, values):
    """Edges of the bins, exact where the header names their binning."""
    bounds = read_columns(
        find_hdu(hdus, path, "CTHETABOUNDS", KIND), path, required=["CTHETA_MIN", "CTHETA_MAX"]
    )
    low, high = (bounds[name].astype(float) for name in ("CTHETA_MIN", "CTHETA_MAX"))
    edges = np.append(high[:1], low)
    if len(low) < 1 or np.any(np.diff(edges) >= 0) or not np.allclose(high[1:], low[:-1]):
        raise ValueError(
            f"{path}[CTHETABOUNDS]: the bins of cos(theta) must be contiguous and descend from 1, "
            f"found {low} to {high}."
        )
    n_phi = _number(header, "PHIBINS", path) if "PHIBINS" in header else 0
    expected = len(low) * (1 + n_phi)
    if values.ndim != 2 or values.shape[1] != expected:
        raise ValueError(
            f"{path}[EXPOSURE]: COSBINS must hold {expected} values per direction ({len(low)} bins "
            f"of CTHETABOUNDS, PHIBINS = {n_phi}), found {values.shape[1:]}."
        )
    binning = find_binning(edges)
    if binning is None:
        return edges
    costheta_min = float(header.get("COSMIN", edges[-1]))
    exact = make_costheta_edges(len(low), costheta_min, binning)
    return exact if np.allclose(exact, edges, rtol=0, atol=EDGE_ATOL) else edges


def _livetime(table, header, edges, path, name):
    """Livetime averaged over phi: with PHIBINS these are the first columns."""
    data = table["COSBINS"][:, : len(edges) - 1].astype(float)
    bad = np.flatnonzero(~(np.isfinite(data) & (data >= 0)).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{path}[{name}], row {bad[0] + 1}: livetime must be finite and not negative "
            f"({len(bad)} such rows)."
        )
    return data


def _read_geometry(header, table, path):
    n = len(table["RA"])
    if str(header.get("PIXTYPE", "")).strip() == "DIRECTIONS":
        return {"directions": SkyCoord(table["RA"], table["DEC"], unit="deg", frame="icrs")}
    if str(header.get("PIXTYPE", "")).strip() != "HEALPIX":
        raise ValueError(
            f"{path}[EXPOSURE]: PIXTYPE must be HEALPIX, found {header.get('PIXTYPE')!r}."
        )
    nside = _number(header, "NSIDE", path)
    ordering = ORDERINGS.get(str(header.get("ORDERING")).strip().upper())
    frame = FRAMES.get(str(header.get("COORDSYS")).strip().upper())
    if ordering is None or frame is None or not hp.isnsideok(nside, nest=ordering == "NESTED"):
        raise ValueError(
            f"{path}[EXPOSURE]: expected ORDERING NESTED or RING, COORDSYS EQU or GAL and NSIDE a "
            f"power of two, found {header.get('ORDERING')!r}, {header.get('COORDSYS')!r} and "
            f"{nside}."
        )
    pixels = table["PIXEL"].astype(int) if "PIXEL" in table else None
    if pixels is None and n != hp.nside2npix(nside):
        raise ValueError(
            f"{path}[EXPOSURE]: {n} rows, expected {hp.nside2npix(nside)} for NSIDE = {nside}; "
            "the file is cut, or part of a sky without the column PIXEL."
        )
    return {"nside": nside, "ordering": ordering, "frame": frame, "pixels": pixels}


def _read_weighted(hdus, path, edges, table):
    if "WEIGHTED_EXPOSURE" not in [hdu.name for hdu in hdus]:
        return None
    hdu = hdus["WEIGHTED_EXPOSURE"]
    other = read_columns(hdu, path, required=["COSBINS"])
    if other["COSBINS"].shape != table["COSBINS"].shape:
        raise ValueError(
            f"{path}[WEIGHTED_EXPOSURE]: COSBINS has the shape {other['COSBINS'].shape}, that of "
            f"EXPOSURE {table['COSBINS'].shape}."
        )
    return _livetime(other, hdu.header, edges, path, hdu.name)


def _read_gti(hdus, path):
    if "GTI" not in [hdu.name for hdu in hdus]:
        return None
    gti = read_columns(hdus["GTI"], path, required=["START", "STOP"])
    return np.stack([gti["START"], gti["STOP"]], axis=1).astype(float)


def _read_zenith(header, path):
    """Largest zenith angle; gtltcube writes it where it cut, and only there."""
    if "ZENMAX" not in header:
        return None
    return _number(header, "ZENMAX", path, float)


def _read_meta(primary, header, path):
    meta = {"filename": str(path), "creator": str(primary.get("CREATOR", ""))}
    if header.get("ZENMIN"):
        meta["zenith_min"] = _number(header, "ZENMIN", path, float)
    if header.get("PHIBINS"):
        meta["phi_bins_averaged"] = int(header["PHIBINS"])
    for key, name in (("LIVETIME", "livetime"), ("LTSCALE", "scale")):
        if key in header:
            meta[name] = _number(header, key, path, float)
    return meta


# ---- writing -------------------------------------------------------------------------------------


def write_cube(cube, path, overwrite=False):
    """Write a livetime cube.

    Parameters
    ----------
    cube : `LivetimeCube`
    path : str or `~pathlib.Path`
    overwrite : bool
    """
    hdus = [_primary(cube, Path(path).name), _table(cube, cube.data, "EXPOSURE")]
    if cube.weighted is not None:
        hdus.append(_table(cube, cube.weighted, "WEIGHTED_EXPOSURE"))
    hdus.append(_bounds(cube))
    if cube.gti is not None:
        hdus.append(_gti(cube))
    with atomic_path(path, overwrite) as temporary:
        fits.HDUList(hdus).writeto(temporary, checksum=True)


def _utc(time):
    value = MJDREFF + time / 86400
    return Time(MJDREFI, value, format="mjd", scale="tt").utc.isot


def _mission_keywords(cube, table=True):
    header = fits.Header()
    header["TELESCOP"] = ("GLAST", "name of telescope generating data")
    header["INSTRUME"] = ("LAT", "name of instrument generating data")
    header["EQUINOX"] = (2000.0, "equinox for ra and dec")
    header["RADECSYS"] = ("FK5", "world coord. system for this file")
    if cube.gti is not None and len(cube.gti):
        start, stop = float(cube.gti.min()), float(cube.gti.max())
        header["DATE-OBS"] = (_utc(start), "start date and time (UTC)")
        header["DATE-END"] = (_utc(stop), "end date and time (UTC)")
        header["TSTART"] = (start, "mission time of the start")
        header["TSTOP"] = (stop, "mission time of the end")
    header["MJDREFI"] = (MJDREFI, "integer part of MJD of mission time 0")
    header["MJDREFF"] = (MJDREFF, "fractional part of MJD of mission time 0")
    header["TIMEUNIT"] = ("s", "units for the time related keywords")
    header["TIMESYS"] = ("TT", "type of time system that is used")
    if table:
        header["TIMEZERO"] = (0.0, "clock correction")
        header["TIMEREF"] = ("LOCAL", "reference frame used for times")
        header["CLOCKAPP"] = (False, "clock drift correction applied?")
    header["GPS_OUT"] = (False, "GPS time unavailable at any time?")
    return header


def _primary(cube, name):
    hdu = fits.PrimaryHDU()
    hdu.header.update(_mission_keywords(cube, table=False))
    hdu.header["FILENAME"] = (name, "name of this file")
    hdu.header["CREATOR"] = ("dmgammapy", "software that made this file")
    hdu.header["VERSION"] = ("1", "release version of the file")
    return hdu


def _table(cube, data, name):
    """EXPOSURE or WEIGHTED_EXPOSURE; parts of the sky have exact positions and own keywords."""
    n_costheta = data.shape[1]
    directions = cube.directions.icrs
    kind = "E" if cube.is_allsky else "D"
    columns = [
        fits.Column("COSBINS", f"{n_costheta}E", unit="s", array=data),
        fits.Column("RA", kind, unit="deg", array=directions.ra.deg),
        fits.Column("DEC", kind, unit="deg", array=directions.dec.deg),
    ]
    if cube.pixels is not None:
        columns.append(fits.Column("PIXEL", "J", array=cube.pixels))
    hdu = fits.BinTableHDU.from_columns(columns, name=name)
    header = hdu.header
    header.update(_mission_keywords(cube))
    _write_geometry(cube, header)
    binning = find_binning(cube.costheta_edges)
    header["THETABIN"] = (THETABIN.get(binning, "CTHETABOUNDS"), "costheta binning scheme")
    header["NBRBINS"] = (n_costheta, "number of costheta bins")
    header["COSMIN"] = (float(cube.costheta_edges[-1]), "minimum costheta value")
    header["PHIBINS"] = (0, "number of phi bins")
    if cube.zenith_max is not None:
        header["ZENMAX"] = (cube.zenith_max, "maximum zenith angle [deg]")
        header["ZENMIN"] = (cube.meta.get("zenith_min", 0.0), "minimum zenith angle [deg]")
    for key, name, comment in (
        ("LIVETIME", "livetime", "[s] livetime of the good time"),
        ("LTSCALE", "scale", "factor on the livetime of the good time"),
    ):
        if name in cube.meta:
            header[key] = (float(cube.meta[name]), comment)
    for key, limits in {"2": (0.0, 360.0), "3": (-90.0, 90.0)}.items():
        header["TLMIN" + key], header["TLMAX" + key] = limits
    header["NDSKEYS"] = 1
    for key, value in {
        "DSTYP1": "TIME",
        "DSUNI1": "s",
        "DSVAL1": "TABLE",
        "DSREF1": ":GTI",
    }.items():
        header[key] = value
    return hdu


def _write_geometry(cube, header):
    if cube.nside is None:
        header["PIXTYPE"] = ("DIRECTIONS", "each row is a direction, no HEALPix")
        return
    header["PIXTYPE"] = ("HEALPIX", "HEALPix representation")
    header["ORDERING"] = (cube.ordering, "NESTED or RING")
    header["COORDSYS"] = ("GAL" if cube.frame == "galactic" else "EQU", "frame of the pixels")
    header["NSIDE"] = (cube.nside, "pixels per side per dodecahedron face")
    if cube.pixels is None:
        header["FIRSTPIX"], header["LASTPIX"] = 0, len(cube.data) - 1
    else:
        header["INDXSCHM"] = ("EXPLICIT", "pixels are those of the column PIXEL")


def _bounds(cube):
    edges = cube.costheta_edges
    columns = [
        fits.Column("CTHETA_MIN", "E", array=edges[1:]),
        fits.Column("CTHETA_MAX", "E", array=edges[:-1]),
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name="CTHETABOUNDS")
    hdu.header.update(_mission_keywords(cube))
    return hdu


def _gti(cube):
    columns = [
        fits.Column(name, "D", unit="s", array=cube.gti[:, i])
        for i, name in enumerate(("START", "STOP"))
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name="GTI")
    hdu.header.update(_mission_keywords(cube))
    hdu.header["HDUCLASS"] = ("OGIP", "format conforms to OGIP standard")
    hdu.header["HDUCLAS1"] = ("GTI", "extension contains good time intervals")
    hdu.header["HDUCLAS2"] = ("ALL", "extension contains all science time")
    hdu.header["ONTIME"] = (float(np.sum(cube.gti[:, 1] - cube.gti[:, 0])), "sum of GTI lengths")
    if len(cube.gti):
        hdu.header["TELAPSE"] = (float(cube.gti.max() - cube.gti.min()), "TSTOP - TSTART")
    return hdu
