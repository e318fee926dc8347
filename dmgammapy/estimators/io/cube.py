"""fermipy's TS cube: the likelihood scans of every pixel of a map.

========= =====================================================================================
HDU       content
========= =====================================================================================
PRIMARY   image of the TS of the reference spectrum, with the WCS of the map
SCANDATA  one row per pixel, row by row from the bottom left: ``norm_scan`` and
          ``dloglike_scan`` (n_bins, n_points), the latter ln L minus its maximum, <= 0;
          ``ts, norm, norm_err, norm_ul, loglike, bin_status`` (n_bins,)
FITDATA   one row per pixel: ``fit_ts, fit_norm, fit_norm_err, ...`` of the reference spectrum,
          ``fit_status``
EBOUNDS   one row per bin: ``E_MIN, E_MAX, E_REF, REF_DNDE, REF_FLUX, REF_EFLUX, REF_NPRED``
========= =====================================================================================

A status other than 0 means that a fit failed; rows of pixels that were not computed have it in all
bins and NaN for their scans. ``norm_ul`` of fermipy's files is ``norm + 2 norm_errp``, which is no
95 % limit (26 % below it in a bin without counts): without ``UL_CONF`` it is not taken over, and
limits come from the scans. What only we know goes to the header of SCANDATA, where fermipy does
not look: ``INSTRUME, NORMTYPE, INTERP, DMMETA, REFMODEL`` as for single likelihoods, ``UL_CONF``,
and ``DMENERGY`` (the energies in the user's unit, as JSON).
"""

import io
import json
import logging
import warnings

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from gammapy.maps import WcsGeom

from dmgammapy.datasets.io._common import (
    UNITS,
    check_dloglike,
    header_cards,
    header_fields,
    read_bins,
)
from dmgammapy.datasets.io._source import TableHDU
from dmgammapy.datasets.io.fermipy import DEFAULT_UNITS, PHOTON_UNITS
from dmgammapy.utils import FITS_DAMAGE, atomic_path

from ..castro_cube import CastroCube
from ..castro_cube_maps import FIT_ESTIMATES
from ..castro_cube_slicing import ESTIMATES
from ._files import TableFile

__all__ = ["CUBE_FORMATS", "from_hdulist", "identify", "read_cube", "to_hdulist", "write_cube"]

log = logging.getLogger(__name__)

CUBE_FORMATS = ("fermipy",)
FAILED = ("mask", "keep", "error")
SAME_ENERGY = 1e-6


def identify(hdulist):
    """Return None if the HDUs are a TS cube, otherwise the reason why not."""
    names = [hdu.name for hdu in hdulist]
    missing = [name for name in ("EBOUNDS", "SCANDATA") if name not in names]
    if missing:
        return f"there is no HDU {' or '.join(missing)}, only {', '.join(names)}"
    columns = [name.lower() for name in hdulist["SCANDATA"].columns.names]
    if "target" in columns:
        return (
            "its rows are targets, not pixels; read one with SEDLikelihoodDataset.read(path, "
            "target=...), dmgammapy.datasets.io.castro_rows lists them"
        )
    if "normscan" in columns:
        return "it has the layout of early Science Tools; fermipy.tsmap.convert_tscube updates it"
    header = hdulist[0].header
    if header["NAXIS"] != 2 or "CTYPE1" not in header:
        return (
            "the primary HDU must be the TS map, a 2D image with a WCS (HEALPix cubes are not "
            f"read); it has NAXIS = {header['NAXIS']}"
            f"{'' if 'CTYPE1' in header else ' and no CTYPE1'}"
        )
    return None


def read_cube(path, format=None, failed="mask"):
    """Read a TS cube.

    Parameters
    ----------
    path : str or `~pathlib.Path`
    format : {"fermipy"}, optional
    failed : {"mask", "keep", "error"}
        What to do with pixels of which the fit of a bin failed (``bin_status`` is not 0): mask
        the pixel, keep its scans all the same, or stop. Default is to mask them, and to say so.

    Returns
    -------
    cube : `~dmgammapy.estimators.castro_cube.CastroCube`

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no TS cube or anything in it does not fit; the message names the place.

    Examples
    --------
    >>> from dmgammapy.estimators.io.cube import read_cube
    >>> cube = read_cube("tscube.fits", failed="keep")  # doctest: +SKIP
    """
    _check_format(format)
    source = TableFile(path)
    source.require_kind("fits", "TS cubes are FITS files")
    return from_hdulist(_open(source), failed=failed, origin=source.path)


def write_cube(cube, path, overwrite=False, format="fermipy"):
    """Write a TS cube; an existing file stays as it is if something fails.

    Parameters
    ----------
    cube : `~dmgammapy.estimators.castro_cube.CastroCube`
    path : str or `~pathlib.Path`
    overwrite : bool
        Replace an existing file. Default is False.
    format : {"fermipy"}
    """
    _check_format(format)
    with atomic_path(path, overwrite) as temporary:
        to_hdulist(cube).writeto(temporary, checksum=True)


def _check_format(format):
    if format not in (None, *CUBE_FORMATS):
        raise ValueError(f"format must be one of {', '.join(CUBE_FORMATS)}; got {format!r}.")


def _open(source):
    """HDUs in memory; checksums are verified in our own files only, fermipy leaves stale ones."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", ".*truncated", AstropyUserWarning)
            hdus = fits.open(io.BytesIO(source.content), lazy_load_hdus=False)
            own = any("DMENERGY" in hdu.header for hdu in hdus)
            for hdu in () if own else hdus:
                hdu.data  # noqa: B018  the data are read here, or found to be damaged
    except FITS_DAMAGE as error:
        raise source.damaged(error) from None
    return source.hdus if own else hdus


# ---- reading -------------------------------------------------------------------------------------


def from_hdulist(hdulist, failed="mask", origin="HDUList"):
    """Make a cube of the HDUs of a file.

    Parameters
    ----------
    hdulist : `~astropy.io.fits.HDUList`
    failed : {"mask", "keep", "error"}
        As for `read_cube`.
    origin : str
        What errors call the file.

    Returns
    -------
    cube : `~dmgammapy.estimators.castro_cube.CastroCube`
    """
    if failed not in FAILED:
        raise ValueError(f"failed must be one of {', '.join(FAILED)}; got {failed!r}.")
    reason = identify(hdulist)
    if reason:
        raise ValueError(f"{origin}: not a TS cube: {reason}.")
    header = hdulist[0].header.copy()
    header.remove("WCSSHAPE", ignore_missing=True)  # what counts is the size of the image
    geom = WcsGeom.from_header(header)
    bounds = _table(hdulist, "EBOUNDS", origin)
    fields = read_bins(bounds, DEFAULT_UNITS, lambda b: f"row {b} (from 0)")
    if "ref_npred" in fields and not np.any(fields["ref_npred"]):
        del fields["ref_npred"]  # fermipy wants the column; zeros say that it is unknown
    scans = _table(hdulist, "SCANDATA", origin)
    fields |= _read_header(scans, fields)
    fields |= _read_scans(scans, geom.data_shape, len(fields["energy_edges"]) - 1, failed)
    if "FITDATA" in hdulist:
        fields["fit"] = _read_fit(_table(hdulist, "FITDATA", origin), geom.data_shape)
    try:
        return CastroCube(geom=geom, **fields)
    except ValueError as error:
        raise ValueError(f"{origin}: {error}") from None


def _table(hdulist, name, origin):
    hdu = hdulist[name]
    if not isinstance(hdu, fits.BinTableHDU):
        raise ValueError(f"{origin}, HDU {name}: expected a table, got {type(hdu).__name__}.")
    columns = {
        column.name: (hdu.data.field(i), column.unit) for i, column in enumerate(hdu.columns)
    }
    return TableHDU(f"{origin}, HDU {hdulist.index_of(name)} ({name})", hdu.header, columns)


def _read_header(scans, fields):
    header = scans.header
    own = "DMENERGY" in header
    found = header_fields(header, None if own else "fermi-lat")
    found.pop("livetime", None)
    if "UL_CONF" in header:
        found["cl"] = float(header["UL_CONF"])
    if own:
        energy = json.loads(header["DMENERGY"])
        for name, key in (("energy_edges", "edges"), ("energy_ref", "ref")):
            values = u.Quantity(energy[key], energy["unit"])
            if values.shape != fields[name].shape or not np.allclose(
                values.to_value("MeV"), fields[name].value, rtol=SAME_ENERGY, atol=0
            ):
                raise ValueError(
                    f"{scans.where}: DMENERGY says {name} = {values}, HDU EBOUNDS {fields[name]}; "
                    "delete DMENERGY if the bins were changed on purpose."
                )
            found[name] = values
    return found


def _read_scans(scans, shape, n_bins, failed):
    scans.require(["norm_scan", "dloglike_scan"])
    n_pixels = shape[0] * shape[1]
    raw = {}
    for name in ("norm_scan", "dloglike_scan"):
        values = scans.raw(name)
        if values.dtype.kind == "f" and values.ndim == 2 and values.shape[1] % n_bins == 0:
            values = values.reshape(len(values), n_bins, -1)  # no TDIM
        if values.dtype.kind != "f" or values.ndim != 3 or values.shape[:2] != (n_pixels, n_bins):
            raise ValueError(
                f"{scans.where}: {name} must have the shape (n_pixels, n_bins, n_points) with "
                f"{shape[1]} x {shape[0]} pixels as in the TS map and {n_bins} bins as in EBOUNDS, "
                f"got {values.dtype} of {values.shape}."
            )
        raw[name] = values.astype(float)

    def pixel(row):
        return f"row {row} (pixel (iy, ix) = ({row // shape[1]}, {row % shape[1]}))"

    mask = ~np.isnan(raw["norm_scan"]).all(axis=(1, 2))
    if "bin_status" in scans:
        status = _per_bin(scans, "bin_status", n_pixels, n_bins)
        bad = np.flatnonzero(mask & (status != 0).any(axis=1))
        if len(bad):
            what = (
                f"{scans.where}: bin_status says that fits failed in {len(bad)} of {n_pixels} "
                f"pixels, the first {pixel(bad[0])}"
            )
            if failed == "error":
                raise ValueError(f"{what}. Pass failed='mask' or failed='keep' to go on.")
            log.warning("%s; %s.", what, "they are masked" if failed == "mask" else "they are kept")
            if failed == "mask":
                mask[bad] = False
    if not mask.any():
        raise ValueError(f"{scans.where}: no pixel has scans whose fits succeeded.")
    rows = np.repeat(np.flatnonzero(mask), n_bins)
    n_points = raw["norm_scan"].shape[2]
    stat = np.full((n_pixels, n_bins, n_points), np.nan)
    stat[mask] = check_dloglike(
        raw["norm_scan"][mask].reshape(-1, n_points),
        raw["dloglike_scan"][mask].reshape(-1, n_points),
        scans.where,
        lambda r: f"{pixel(rows[r])}, bin {r % n_bins}",
    ).reshape(-1, n_bins, n_points)
    fields = {
        "norm_scan": raw["norm_scan"].reshape(*shape, n_bins, n_points),
        "stat_scan": stat.reshape(*shape, n_bins, n_points),
        "mask": mask.reshape(shape),
    }
    for name in (*ESTIMATES, "ref_npred"):
        if name in scans:
            fields[name] = _per_bin(scans, name, n_pixels, n_bins).reshape(*shape, n_bins)
    if "UL_CONF" not in scans.header and fields.pop("norm_ul", None) is not None:
        log.info("%s: norm_ul has no UL_CONF; limits come from the scans.", scans.where)
    if "loglike" in scans:
        loglike = _per_bin(scans, "loglike", n_pixels, n_bins)
        fields["stat"] = (-2.0 * loglike + 0.0).reshape(*shape, n_bins)
    return fields


def _per_bin(scans, name, n_pixels, n_bins):
    values = scans.raw(name)
    if values.dtype.kind not in "fiub" or values.size != n_pixels * n_bins:
        raise ValueError(
            f"{scans.where}: {name} must be numbers of the shape {(n_pixels, n_bins)}, got "
            f"{values.dtype} of {values.shape}."
        )
    return values.astype(float).reshape(n_pixels, n_bins)


def _read_fit(table, shape):
    fit = {}
    for name in FIT_ESTIMATES:
        if f"fit_{name}" in table:
            values = table.values(f"fit_{name}")
            if len(values) != shape[0] * shape[1]:
                raise ValueError(
                    f"{table.where}: {len(values)} rows for {shape[1]} x {shape[0]} pixels."
                )
            fit[name] = values.reshape(shape)
    return fit


# ---- writing -------------------------------------------------------------------------------------


def to_hdulist(cube):
    """HDUs of a cube in fermipy's layout.

    Parameters
    ----------
    cube : `~dmgammapy.estimators.castro_cube.CastroCube`

    Returns
    -------
    hdulist : `~astropy.io.fits.HDUList`
    """
    n_pixels = cube.mask.size
    n_bins, n_points = cube.norm_scan.shape[2:]
    bad = ~cube.mask.ravel()

    def per_bin(name, values):
        values = np.where(bad[:, None], np.nan, values.reshape(n_pixels, n_bins))
        return fits.Column(name, f"{n_bins}D", dim=f"({n_bins})", array=values)

    columns = [
        per_bin(name, cube._estimate(name)) for name in ("ts", "norm", "norm_ul", "norm_err")
    ]
    status = np.repeat(bad[:, None], n_bins, axis=1).astype(np.int16)
    columns.append(fits.Column("bin_status", f"{n_bins}I", dim=f"({n_bins})", array=status))
    if cube.stat is not None:
        columns.append(per_bin("loglike", cube.stat / -2.0 + 0.0))
    npred = cube.ref_npred
    if npred is not None and npred.ndim == 3:
        columns.append(per_bin("ref_npred", npred))
        npred = npred[cube.mask].mean(axis=0)
    for name, values in (
        ("norm_scan", cube.norm_scan), ("dloglike_scan", cube.stat_scan / -2.0 + 0.0),
    ):  # fmt: skip
        values = np.where(bad[:, None, None], np.nan, values.reshape(n_pixels, n_bins, n_points))
        columns.append(
            fits.Column(name, f"{n_bins * n_points}D", dim=f"({n_points},{n_bins})", array=values)
        )
    scans = fits.BinTableHDU.from_columns(columns, name="SCANDATA")
    for key, value in _cards(cube):
        scans.header[key] = value
    fit = [
        fits.Column(f"fit_{name}", "D", array=cube.fit_map(name).data.ravel())
        for name in cube.fit_names
    ]
    fit.append(fits.Column("fit_status", "I", array=bad.astype(np.int16)))
    ts = cube.ts_map("reference")
    return fits.HDUList(
        [
            fits.PrimaryHDU(ts.data, ts.geom.to_header()),
            scans,
            fits.BinTableHDU.from_columns(fit, name="FITDATA"),
            _bounds(cube, npred),
        ]
    )


def _cards(cube):
    skip = ("SRCNAME", "LIVETIME")
    cards = [card for card in header_cards(cube._prototype) if card[0] not in skip]
    edges = cube.energy_edges
    energy = {
        "unit": edges.unit.to_string(),
        "edges": edges.value.tolist(),
        "ref": cube.energy_ref.to_value(edges.unit).tolist(),
    }
    return [*cards, ("UL_CONF", cube.cl), ("DMENERGY", json.dumps(energy))]


def _bounds(cube, npred):
    edges = cube.energy_edges.to_value(UNITS["energy"])
    columns = [
        fits.Column("CHANNEL", "I", array=np.arange(1, cube.n_bins + 1)),
        fits.Column("E_MIN", "D", "MeV", array=edges[:-1]),
        fits.Column("E_MAX", "D", "MeV", array=edges[1:]),
        fits.Column("E_REF", "D", "MeV", array=cube.energy_ref.to_value(UNITS["energy"])),
    ]
    for name in ("dnde", "flux", "eflux"):
        reference = getattr(cube, f"ref_{name}")
        if reference is not None:
            values = reference.to_value(UNITS[name])
            columns.append(
                fits.Column(f"REF_{name.upper()}", "D", PHOTON_UNITS[name], array=values)
            )
    npred = np.zeros(cube.n_bins) if npred is None else npred
    columns.append(fits.Column("REF_NPRED", "D", "ph", array=npred))
    return fits.BinTableHDU.from_columns(columns, name="EBOUNDS")
