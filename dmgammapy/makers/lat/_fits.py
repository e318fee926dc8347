"""Reading tables of LAT files: lists of files, missing extensions, cut files, bit columns."""

import gzip
import io
import warnings
import zlib
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Column, Table
from astropy.utils.exceptions import AstropyUserWarning

__all__ = [
    "bits_to_integers",
    "expand_paths",
    "find_hdu",
    "fits_format",
    "integers_to_bits",
    "open_fits",
    "read_columns",
    "read_list",
    "read_table",
    "strip_header",
]

# of a table's header; those with a number belong to a column, not to the table
STRUCTURE = {"XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "TFIELDS"}
CHECKSUMS = {"CHECKSUM", "DATASUM"}
GZIP = b"\x1f\x8b"
DAMAGED = "(?s).*(truncated|corrupted|validating header)"
COLUMN_KEYS = ("TTYPE", "TFORM", "TUNIT", "TLMIN", "TLMAX", "TNULL", "TDISP", "TDIM")


def expand_paths(path):
    """Paths of one file, several, or of a list "@files.txt".

    Parameters
    ----------
    path : str, `~pathlib.Path` or list of these
        A text that starts with "@" names a file with one path per line; empty lines and those
        that start with "#" are skipped. Relative paths are looked up in the current folder, then
        in the list's.

    Returns
    -------
    paths : list of `~pathlib.Path`

    Raises
    ------
    ValueError
        If there is no path.
    FileNotFoundError
        If a file is absent.
    """
    if isinstance(path, str | Path):
        given = [path]
    elif isinstance(path, Iterable):
        given = list(path)
    else:
        raise TypeError(f"expected a path, a list of paths or '@list.txt', got {path!r}.")
    paths = []
    for entry in given:
        text = str(entry)
        paths.extend(read_list(text) if text.startswith("@") else [Path(entry)])
    if not paths:
        raise ValueError(f"no files in {path!r}: give at least one path.")
    for entry in paths:
        if not entry.is_file():
            raise FileNotFoundError(f"{entry}: no such file.")
    return paths


def read_list(path):
    """Paths in a text file.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The file, with or without "@" before its name.

    Returns
    -------
    paths : list of `~pathlib.Path`

    Raises
    ------
    ValueError
        If it names no file.
    FileNotFoundError
        If it is absent.
    """
    path = Path(str(path).removeprefix("@"))
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such list of files.")
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    names = [Path(line) for line in lines if line and not line.startswith("#")]
    if not names:
        raise ValueError(f"{path}: the list names no file.")
    return [
        beside if not name.exists() and (beside := path.parent / name).exists() else name
        for name in names
    ]


@contextmanager
def open_fits(path):
    """Open a FITS file; what a cut or foreign file makes astropy say becomes one clear error.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The file, plain or gzipped.

    Yields
    ------
    hdus : `~astropy.io.fits.HDUList`

    Raises
    ------
    ValueError
        If the file is cut or no FITS file.
    """
    path = Path(path)
    try:
        # a handle of our own is closed whatever astropy makes of the file, and a compressed file
        # that is cut shows here, where astropy would silently end the list of extensions
        with _handle(path) as handle, warnings.catch_warnings():
            warnings.filterwarnings("error", DAMAGED, AstropyUserWarning)
            with fits.open(handle, lazy_load_hdus=False) as hdus:
                yield hdus
    except FileNotFoundError:
        raise
    except (OSError, EOFError, TypeError, zlib.error, AstropyUserWarning, _BadTable) as error:
        raise ValueError(
            f"{path} ({path.stat().st_size} bytes): not a whole FITS file ({error}); "
            "it may be cut, fetch it again."
        ) from error


def _handle(path):
    """Open file, or the bytes of a compressed one."""
    with path.open("rb") as file:
        is_compressed = file.read(2) == GZIP
    if not is_compressed:
        return path.open("rb")
    with gzip.open(path) as file:
        return io.BytesIO(file.read())


class _BadTable(Exception):
    """The data of a table can't be had."""


def find_hdu(hdus, path, name, kind):
    """Extension by name.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
    path : `~pathlib.Path`
        For the message.
    name : str
        Of the extension.
    kind : str
        What file was expected, for the message.

    Returns
    -------
    hdu : `~astropy.io.fits.BinTableHDU`

    Raises
    ------
    ValueError
        If there is none, or it is no table.
    """
    names = [hdu.name for hdu in hdus]
    if name not in names:
        raise ValueError(
            f"{path}: no extension {name}, found {', '.join(map(repr, names))}; "
            f"expected {kind} of the LAT."
        )
    hdu = hdus[name]
    if not isinstance(hdu, fits.BinTableHDU):
        raise ValueError(f"{path}: the extension {name} is no table; expected {kind} of the LAT.")
    return hdu


def read_columns(hdu, path, columns=None, required=()):
    """Columns of a table as arrays in the machine's byte order.

    Parameters
    ----------
    hdu : `~astropy.io.fits.BinTableHDU`
    path : `~pathlib.Path`
        For messages.
    columns : list of str, optional
        Default is all; ``required`` come along always.
    required : list of str
        Columns that must be there.

    Returns
    -------
    data : dict of array
        In the file's order. Arrays of 32 bits are unsigned integers, logical ones booleans.

    Raises
    ------
    ValueError
        If a column is absent.
    """
    wanted = hdu.columns.names if columns is None else [*required, *columns]
    absent = [name for name in [*required, *wanted] if name not in hdu.columns.names]
    if absent:
        raise ValueError(
            f"{path}[{hdu.name}]: no column {', '.join(dict.fromkeys(absent))}; "
            f"found {', '.join(hdu.columns.names)}."
        )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", DAMAGED, AstropyUserWarning)
            raw = None if hdu.data is None else hdu.data
            return {
                name: _column(raw, hdu.columns[name])
                for name in hdu.columns.names
                if name in wanted
            }
    except (ValueError, TypeError, IndexError) as error:
        raise _BadTable(f"the table {hdu.name} can't be read: {error}") from error


def _column(data, column):
    """One column as a native array; a copy, so that the file may be closed."""
    if column.format == "32X":
        return bits_to_integers(data.view(np.ndarray)[column.name])
    values = np.asarray(data.field(column.name))
    return np.array(values, dtype=values.dtype.newbyteorder("="))


def bits_to_integers(packed):
    """Unsigned integers of FITS bit arrays "32X".

    The last bit of the array is the least one, so that the bits are a number as written.

    Parameters
    ----------
    packed : array of uint8, shape (n, 4)
        The bytes in the file.

    Returns
    -------
    integers : array of uint32, shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.makers.lat._fits import bits_to_integers
    >>> bits_to_integers(np.array([[0, 0, 1, 128]], dtype="u1"))
    array([384], dtype=uint32)
    """
    packed = np.ascontiguousarray(packed, dtype="u1").reshape(-1, 4)
    return packed.view(">u4").ravel().astype(np.uint32)


def integers_to_bits(integers):
    """Boolean arrays of unsigned integers, as `astropy.io.fits` writes "32X".

    Parameters
    ----------
    integers : array of int, shape (n,)

    Returns
    -------
    bits : array of bool, shape (n, 32)
    """
    packed = np.asarray(integers).astype(">u4").view("u1").reshape(-1, 4)
    return np.unpackbits(packed, axis=1).astype(bool)


FORMATS = {"b1": "L", "u1": "B", "i2": "I", "i4": "J", "i8": "K", "f4": "E", "f8": "D"}
# without unsigned types in FITS, the next wider one holds them
FORMATS |= {"i1": "I", "u2": "J", "u4": "K", "u8": "K"}


def fits_format(values):
    """Format of a column (TFORM) for an array.

    Parameters
    ----------
    values : array, shape (n, ...)

    Returns
    -------
    form : str

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.makers.lat._fits import fits_format
    >>> fits_format(np.zeros((5, 3), dtype="f4"))
    '3E'
    """
    repeat = int(np.prod(values.shape[1:])) if values.ndim > 1 else ""
    if values.dtype.kind in "US":
        return f"{np.asarray(values).astype('S').dtype.itemsize}A"
    return f"{repeat}{FORMATS[values.dtype.str[1:]]}"


def read_table(hdu, path, columns=None, required=()):
    """Table and header of an extension, what belongs to columns kept with them.

    Parameters
    ----------
    hdu : `~astropy.io.fits.BinTableHDU`
    path : `~pathlib.Path`
        For messages.
    columns, required : list of str
        See `read_columns`.

    Returns
    -------
    table : `~astropy.table.Table`
        Column ``meta`` holds TFORM, TLMIN, ... as in the file.
    header : `~astropy.io.fits.Header`
        Without keywords of the structure and of columns.
    """
    data = read_columns(hdu, path, columns, required)
    table = Table()
    for index, column in enumerate(hdu.columns, start=1):
        if column.name not in data:
            continue
        meta = {
            key: hdu.header[f"{key}{index}"]
            for key in ("TFORM", "TLMIN", "TLMAX")
            if f"{key}{index}" in hdu.header
        }
        meta["comment"] = hdu.header.comments[f"TTYPE{index}"]
        values = data.pop(column.name)
        table[column.name] = Column(values, unit=column.unit, meta=meta, copy=False)
    return table, strip_header(hdu.header)


def strip_header(header):
    """Header without what describes columns and the table's shape, nor checksums.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`

    Returns
    -------
    header : `~astropy.io.fits.Header`
    """
    kept = fits.Header()
    for card in header.cards:
        key = card.keyword
        if key in STRUCTURE or key in CHECKSUMS:
            continue
        if key.rstrip("0123456789") in COLUMN_KEYS:
            continue
        kept.append(card, end=True)
    return kept
