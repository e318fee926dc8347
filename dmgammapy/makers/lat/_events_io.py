"""Reading and writing of event files (FT1)."""

import logging

import numpy as np
from astropy.io import fits

from dmgammapy.utils import atomic_path

from ._dss import LATDataSelection
from ._fits import (
    find_hdu,
    fits_format,
    integers_to_bits,
    open_fits,
    read_columns,
    read_table,
    strip_header,
)
from ._gti import as_gti, clip_gti, merge_gti
from ._met import MJDREFF, MJDREFI, utc_text

__all__ = ["COLUMNS", "UNITS", "event_header", "read_events", "write_events"]

log = logging.getLogger(__name__)

KIND = "an event file (FT1)"
REQUIRED = ("ENERGY", "RA", "DEC", "TIME")
NAMES = ("RUN_ID", "EVENT_ID")
COLUMNS = (*REQUIRED, "THETA", "ZENITH_ANGLE", *NAMES, "EVENT_CLASS", "EVENT_TYPE")
BITS = ("EVENT_CLASS", "EVENT_TYPE")
UNITS = {"ENERGY": "MeV", "RA": "deg", "DEC": "deg", "THETA": "deg", "ZENITH_ANGLE": "deg"}
UNITS |= {"TIME": "s", "L": "deg", "B": "deg", "PHI": "deg"}
# of the EVENTS header, repeated in the others
SHARED = (
    "TELESCOP INSTRUME EQUINOX RADECSYS OBSERVER ORIGIN TSTART TSTOP DATE-OBS DATE-END MJDREFI "
    "MJDREFF TIMEUNIT TIMEZERO TIMESYS TIMEREF CLOCKAPP GPS_OUT"
).split()


def read_events(path, columns=None, selection=None):
    """Read one event file.

    Parameters
    ----------
    path : `~pathlib.Path`
    columns : list of str or "needed", optional
        Default is all.
    selection : `LATDataSelection`, optional
        Instead of the DSS keywords.

    Returns
    -------
    table : `~astropy.table.Table`
    gti : array, shape (n, 2)
    selection : `LATDataSelection`
    header : `~astropy.io.fits.Header`

    Raises
    ------
    ValueError
        See `LATEventList.read`.
    """
    with open_fits(path) as hdus:
        hdu = find_hdu(hdus, path, "EVENTS", KIND)
        _refuse_pass7(hdu, path)
        there = hdu.columns.names
        if isinstance(columns, str):
            if columns != "needed":
                raise ValueError(f"columns must be names, 'needed' or None, got {columns!r}.")
            columns = [name for name in COLUMNS if name in there]
        names = [name for name in NAMES if name in there]
        table, header = read_table(hdu, path, columns, (*REQUIRED, *names))
        times = find_hdu(hdus, path, "GTI", KIND)
        times = read_columns(times, path, required=("START", "STOP"))
    for name in BITS:
        if name in table.colnames:
            table[name] = _as_mask(table[name], path)
    _check_finite(table, path)
    if selection is None:
        selection = LATDataSelection.from_header(header, path)
    return table, _good_times(times, selection, path), selection, header


def _refuse_pass7(hdu, path):
    """Events of Pass 7 have other classes, and responses that are not supported."""
    version = str(hdu.header.get("PASS_VER", "")).strip()
    reason = None
    if version.startswith(("P6", "P7")):
        reason = f"PASS_VER = {version!r}"
    elif "EVENT_CLASS" in hdu.columns.names and "EVENT_TYPE" not in hdu.columns.names:
        reason = "there is EVENT_CLASS, but no column EVENT_TYPE"
    if reason:
        raise ValueError(
            f"{path}: events of Pass 7 or before ({reason}) are not supported; fetch the Pass 8 "
            "events of the same observation."
        )


def _as_mask(column, path):
    """Bits of a class or type as unsigned integers, also when stored as whole numbers."""
    if column.dtype.kind not in "iu" or column.ndim != 1:
        raise ValueError(
            f"{path}[EVENTS], {column.name}: expected 32 bits (32X) or a whole number per event, "
            f"found {column.meta.get('TFORM', column.dtype)!r}."
        )
    mask = column.astype(np.uint32)
    mask.meta = dict(column.meta)
    return mask


def _check_finite(table, path):
    """The columns that place an event must be numbers."""
    for name in REQUIRED:
        bad = np.flatnonzero(~np.isfinite(np.asarray(table[name])))
        if len(bad):
            raise ValueError(
                f"{path}[EVENTS], row {bad[0] + 1}, {name}: expected a finite number, got "
                f"{table[name][bad[0]]} ({len(bad)} such rows); the file is damaged."
            )


def _good_times(times, selection, path):
    """Good times of a file, within the range of the query."""
    try:
        gti = as_gti(np.stack([times["START"], times["STOP"]], axis=1))
    except ValueError as error:
        raise ValueError(f"{path}[GTI]: {error}") from error
    if np.any(gti[1:, 0] < gti[:-1, 1]):
        log.warning("%s[GTI]: intervals overlap or do not ascend; their union is taken.", path)
        gti = merge_gti(gti)
    if selection.time is not None:
        gti = clip_gti(gti, *selection.time)
    return gti


def event_header(gti, selection):
    """Standard header of events that come from no file.

    Parameters
    ----------
    gti : array, shape (n, 2)
        Good time intervals [s].
    selection : `LATDataSelection`

    Returns
    -------
    header : `~astropy.io.fits.Header`
    """
    header = fits.Header()
    header["TELESCOP"] = "GLAST"
    header["INSTRUME"] = "LAT"
    header["EQUINOX"] = 2000.0
    header["RADECSYS"] = "FK5"
    header["EXTNAME"] = "EVENTS"
    header["HDUCLASS"] = "OGIP"
    header["HDUCLAS1"] = "EVENTS"
    header["HDUCLAS2"] = "ALL"
    if len(gti):
        header["TSTART"] = float(gti[:, 0].min())
        header["TSTOP"] = float(gti[:, 1].max())
    header["MJDREFI"] = float(MJDREFI)
    header["MJDREFF"] = MJDREFF
    header["TIMEUNIT"] = "s"
    header["TIMEZERO"] = 0.0
    header["TIMESYS"] = "TT"
    header["TIMEREF"] = "LOCAL"
    header["CLOCKAPP"] = False
    header["GPS_OUT"] = False
    if selection.pass_version is not None:
        header["PASS_VER"] = selection.pass_version
    return header


def write_events(table, gti, selection, header, path, overwrite=False):
    """Write an event file.

    Parameters
    ----------
    table, gti, selection, header
        See `LATEventList`.
    path : str or `~pathlib.Path`
    overwrite : bool
        Replace an existing file. Default is False.
    """
    header = strip_header(header)
    header["EXTNAME"] = "EVENTS"
    for key, name in (("TSTART", "DATE-OBS"), ("TSTOP", "DATE-END")):
        if key in header:
            header[name] = utc_text(header[key], header)
    if selection.pass_version is not None:
        header["PASS_VER"] = selection.pass_version
    # the keywords of columns count from one in the order of the new table
    columns = [_fits_column(table[name]) for name in table.colnames]
    events = fits.BinTableHDU.from_columns(columns, header=selection.to_header(header))
    for index, name in enumerate(table.colnames, start=1):
        meta = table[name].meta
        events.header.comments[f"TTYPE{index}"] = meta.get("comment", "")
        for key in ("TLMIN", "TLMAX"):
            if key in meta:
                events.header[f"{key}{index}"] = meta[key]
    shared = fits.Header([card for card in header.cards if card.keyword in SHARED])
    times = fits.BinTableHDU.from_columns(
        [
            fits.Column("START", "D", "s", array=gti[:, 0]),
            fits.Column("STOP", "D", "s", array=gti[:, 1]),
        ],
        header=shared.copy(),
        name="GTI",
    )
    times.header["HDUCLASS"] = "OGIP"
    times.header["HDUCLAS1"] = "GTI"
    times.header["HDUCLAS2"] = "ALL"
    times.header["ONTIME"] = float(np.sum(gti[:, 1] - gti[:, 0]))
    if "TSTART" in shared and "TSTOP" in shared:
        times.header["TELAPSE"] = shared["TSTOP"] - shared["TSTART"]
    primary = fits.PrimaryHDU(header=shared)
    with atomic_path(path, overwrite) as temporary:
        primary.header["FILENAME"] = temporary.name
        primary.header["CREATOR"] = "dmgammapy"
        fits.HDUList([primary, events, times]).writeto(temporary, checksum=True)


def _fits_column(column):
    """Column as it was in the file it came from; bits of classes and types as such."""
    values = np.asarray(column)
    unit = str(column.unit) if column.unit is not None else UNITS.get(column.name)
    if column.name in BITS:
        return fits.Column(column.name, "32X", array=integers_to_bits(values))
    form = column.meta.get("TFORM") or fits_format(values)
    return fits.Column(column.name, form, unit, array=values)
