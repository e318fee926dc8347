"""One likelihood table file, opened once and shared by identification and readers."""

import io
import warnings
from functools import cached_property

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from dmgammapy.utils import FITS_DAMAGE, SourceFile

__all__ = ["TableFile", "column", "parse_unit", "single_row"]

FITS_ALARMS = ("truncated", "Checksum", "checksum", "Datasum", "datasum")


class TableFile(SourceFile):
    """A likelihood table file, see `~dmgammapy.utils.SourceFile`."""

    def require_kind(self, kind, description):
        """Raise if the file is of another kind than ``fits``, ``hdf5``, ``ecsv`` or ``text``."""
        if self.kind != kind:
            raise ValueError(f"{self.path}: {description}; this file is {self.kind}.")

    @cached_property
    def hdus(self):
        """HDUs of a FITS file with their data in memory, checksums verified."""
        try:
            with warnings.catch_warnings():
                for word in FITS_ALARMS:
                    warnings.filterwarnings("error", f".*{word}", AstropyUserWarning)
                # from memory: astropy does not close files it finds to be damaged
                hdus = fits.open(io.BytesIO(self.content), checksum=True, lazy_load_hdus=False)
                for hdu in hdus:
                    hdu.data  # noqa: B018  the data are read here, or found to be damaged
        except FITS_DAMAGE as error:
            raise self.damaged(error) from None
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
