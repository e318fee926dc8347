"""One likelihood table file, opened once and shared by identification and readers."""

import gzip
import io
import warnings
import zlib
from functools import cached_property
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

__all__ = ["TableFile", "column", "parse_unit", "single_row"]

GZIP_MAGIC = b"\x1f\x8b"
MAGICS = {"fits": b"SIMPLE  =", "hdf5": b"\x89HDF\r\n\x1a\n", "ecsv": b"# %ECSV"}
# what astropy and numpy raise on truncated or garbled FITS files
FITS_DAMAGE = (
    OSError, EOFError, TypeError, ValueError, IndexError, KeyError, zlib.error,
    fits.VerifyError, AstropyUserWarning,
)  # fmt: skip
FITS_ALARMS = ("truncated", "Checksum", "checksum", "Datasum", "datasum")


class TableFile:
    """A file whose format is to be found out.

    Parameters
    ----------
    path : str or `~pathlib.Path`

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty.
    """

    def __init__(self, path):
        self.path = Path(path).expanduser()
        self.name = self.path.name
        if not self.path.is_file():
            what = "a folder, not a file" if self.path.is_dir() else "no such file"
            raise FileNotFoundError(f"{self.path}: {what}.")
        start = self._head(80)
        if not start.strip():
            raise ValueError(f"{self.path}: the file is empty.")
        kinds = [kind for kind, magic in MAGICS.items() if start.startswith(magic)]
        self.kind = kinds[0] if kinds else "text"

    def require_kind(self, kind, description):
        """Raise if the file is of another kind than ``fits``, ``hdf5``, ``ecsv`` or ``text``."""
        if self.kind != kind:
            raise ValueError(f"{self.path}: {description}; this file is {self.kind}.")

    def _head(self, size):
        with open(self.path, "rb") as file:
            start = file.read(size)
        if start[:2] == GZIP_MAGIC:
            try:
                with gzip.open(self.path) as file:
                    start = file.read(size)
            except (EOFError, OSError, zlib.error) as error:
                raise ValueError(f"{self.path}: damaged gzip file ({error}).") from None
        return start

    def _content(self):
        content = self.path.read_bytes()
        return gzip.decompress(content) if content[:2] == GZIP_MAGIC else content

    @cached_property
    def text(self):
        """Content of a text file."""
        try:
            return self._content().decode("utf-8")
        except (UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{self.path}: not a text file ({error}).") from None

    @cached_property
    def hdus(self):
        """HDUs of a FITS file with their data in memory, checksums verified."""
        try:
            with warnings.catch_warnings():
                for word in FITS_ALARMS:
                    warnings.filterwarnings("error", f".*{word}", AstropyUserWarning)
                # from memory: astropy does not close files it finds to be damaged
                hdus = fits.open(io.BytesIO(self._content()), checksum=True, lazy_load_hdus=False)
                for hdu in hdus:
                    hdu.data  # noqa: B018  the data are read here, or found to be damaged
        except FITS_DAMAGE as error:
            raise ValueError(
                f"{self.path}: the FITS file is truncated or damaged ({error}); get it again."
            ) from None
        return hdus


def parse_unit(text, where):
    """Unit of a text as found in files, ``cm3s-1`` included.

    Parameters
    ----------
    text : str
    where : str
        Place as errors name it.

    Returns
    -------
    unit : `~astropy.units.UnitBase`

    Raises
    ------
    ValueError
        If the text is no unit.
    """
    text = str(text).strip()
    spaced = "".join(
        f" {c}" if c.isalpha() and i and text[i - 1].isdigit() else c for i, c in enumerate(text)
    )
    for candidate in (text, spaced):
        try:
            return u.Unit(candidate)
        except ValueError:
            continue
    raise ValueError(f"{where}: {text!r} is not a unit.")


def single_row(hdu, where):
    """Check that a HDU is a table with exactly one row."""
    if not isinstance(hdu, fits.BinTableHDU):
        raise ValueError(f"{where}: expected a binary table, got {type(hdu).__name__}.")
    if len(hdu.data) != 1:
        raise ValueError(f"{where}: expected one row, got {len(hdu.data)}.")


def column(hdu, name, where, unit="", ndim=None):
    """Values of a table column as native floats in a unit.

    Parameters
    ----------
    hdu : `~astropy.io.fits.BinTableHDU`
    name : str
    where : str
        Place as errors name it.
    unit : str
        Unit to convert to; the one meant where the file gives none.
    ndim : int, optional
        Expected number of dimensions, rows included.

    Returns
    -------
    values : array
    """
    if name not in hdu.columns.names:
        raise ValueError(
            f"{where}: missing column {name!r}; found {', '.join(hdu.columns.names) or 'none'}."
        )
    values = np.asarray(hdu.data[name])
    if values.dtype.kind not in "fiu":
        raise ValueError(f"{where}: column {name!r} must hold numbers, got {values.dtype}.")
    if ndim is not None and values.ndim != ndim:
        raise ValueError(
            f"{where}: column {name!r} must have {ndim} dimensions with the rows first, got the "
            f"shape {values.shape}."
        )
    text = hdu.columns[name].unit
    values = values.astype(float)
    if text:
        found = parse_unit(text, f"{where}, column {name!r}")
        try:
            factor = found.to(u.Unit(unit))
        except u.UnitConversionError:
            raise ValueError(
                f"{where}: column {name!r} has the unit {text!r}, expected one convertible to "
                f"{unit or 'a plain number'!r}."
            ) from None
        values = values if factor == 1 else values * factor
    return values
