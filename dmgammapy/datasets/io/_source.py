"""One SED file, opened once and shared by identification and readers."""

import io
import re
import warnings
from functools import cached_property, lru_cache

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from dmgammapy.utils import FITS_DAMAGE, SourceFile

__all__ = ["SEDFile", "TableHDU", "parse_unit"]

RELEVANT = {"e_min", "norm_scan", "dloglike_scan", "stat_scan"}  # columns of tables worth reading


@lru_cache(maxsize=512)
def parse_unit(text):
    """Parse a unit as found in files; ``ph`` (photons) counts as dimensionless.

    Parameters
    ----------
    text : str
        For example ``"ph / (MeV cm2 s)"`` or ``"ph MeV-1 s-1 cm-2"``.

    Returns
    -------
    unit : `~astropy.units.UnitBase`

    Raises
    ------
    ValueError
        If the text is no unit.

    Examples
    --------
    >>> from dmgammapy.datasets.io._source import parse_unit
    >>> parse_unit("ph / (MeV cm2 s)").to_string()
    '1 / (MeV s cm2)'
    """
    unit = u.Unit(text.strip())
    for base, power in zip(unit.bases, unit.powers, strict=True):
        if base in (u.photon, u.ct):
            unit = unit / base**power
    return unit


class TableHDU:
    """Columns and header of one table, with names in lower case.

    Old files say ``DFDE`` where new ones say ``dnde``; both are found under the new name.

    Parameters
    ----------
    where : str
        File and HDU as errors name them.
    header : mapping
        Header or metadata; keys in upper case.
    columns : dict of str to (array, str or None)
        Values and unit text by name, as in the file.
    """

    def __init__(self, where, header, columns):
        self.where = where
        self.header = header
        self._columns = {}
        self._original = {}
        for name, column in columns.items():
            canonical = name.lower().replace("dfde", "dnde")
            if canonical in self._columns:
                raise ValueError(
                    f"{where}: columns {self._original[canonical]!r} and {name!r} mean the same; "
                    "remove one of them."
                )
            self._columns[canonical] = column
            self._original[canonical] = name

    def __contains__(self, name):
        return name in self._columns

    @property
    def names(self):
        """Column names in lower case."""
        return list(self._columns)

    def require(self, names):
        """Raise if one of the columns is missing."""
        missing = [name for name in names if name not in self]
        if missing:
            raise ValueError(
                f"{self.where}: missing column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
                f"found {', '.join(self.names) or 'none'}."
            )

    def raw(self, name):
        """Values of a column as they stand in the file."""
        return np.asarray(self._columns[name][0])

    def values(self, name, ndim=1):
        """Values of a column as native floats.

        Parameters
        ----------
        name : str
            Column name in lower case.
        ndim : int
            Expected dimensions, rows included.

        Returns
        -------
        values : array of float
        """
        values = self.raw(name)
        original = self._original[name]
        if values.dtype.kind not in "fiub":
            raise ValueError(
                f"{self.where}: column {original!r} must hold numbers, got {values.dtype}."
            )
        if values.ndim != ndim:
            raise ValueError(
                f"{self.where}: column {original!r} must have {ndim} dimension(s) "
                f"with the rows first, got shape {values.shape}."
            )
        return values.astype(float)

    def flags(self, name):
        """Values of a column as booleans, or None when the column is absent."""
        if name not in self:
            return None
        return self.raw(name).astype(bool)

    def strings(self, name):
        """Values of a column as stripped strings."""
        return [str(value).strip() for value in self.raw(name)]

    def quantity(self, name, unit, default=None):
        """Values of a column in a unit.

        Parameters
        ----------
        name : str
            Column name in lower case.
        unit : `~astropy.units.Unit`
            Unit to convert to.
        default : str, optional
            Unit to assume when the file gives none; without it that is an error.

        Returns
        -------
        values : array of float
            Values in ``unit``, exactly those of the file when no conversion is needed.
        """
        values = self.values(name)
        original = self._original[name]
        text = self._columns[name][1] or default
        if not text:
            raise ValueError(
                f"{self.where}: column {original!r} has no unit; expected one convertible to "
                f"{unit}. Set its TUNIT."
            )
        try:
            factor = parse_unit(text).to(unit)
        except (ValueError, TypeError, u.UnitConversionError):
            raise ValueError(
                f"{self.where}: column {original!r} has unit {text!r}; expected one convertible "
                f"to {unit}."
            ) from None
        return values if factor == 1 else values * factor


class SEDFile(SourceFile):
    """An SED file and its tables, see `~dmgammapy.utils.SourceFile`."""

    @cached_property
    def tables(self):
        """Table HDUs (or the one ECSV table) as a list of (name, `TableHDU`)."""
        if self.kind == "fits":
            return self._fits_tables()
        if self.kind == "ecsv":
            return [("ECSV", self._ecsv_table())]
        return []

    def table(self, name):
        """Table of a given HDU name, or None."""
        for found, table in self.tables:
            if found == name:
                return table
        return None

    def _fits_tables(self):
        found = []
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", AstropyUserWarning)
                # not by path: astropy leaks the handle of a garbled file, and takes the readable
                # part of a truncated gzip file for the whole
                with fits.open(io.BytesIO(self.content), memmap=False) as hdus:
                    for index, hdu in enumerate(hdus):
                        missing = hdu.fileinfo()["datLoc"] + hdu.size - len(self.content)
                        if missing > 0:
                            raise OSError(f"{missing} bytes are missing in HDU {index}")
                        names = [str(hdu.header[key]) for key in hdu.header["TTYPE*"]]
                        if not isinstance(hdu, fits.BinTableHDU) or (
                            found and RELEVANT.isdisjoint(name.lower() for name in names)
                        ):
                            continue
                        data = hdu.data
                        units = [hdu.header.get(f"TUNIT{i}") for i in range(1, len(names) + 1)]
                        columns = {
                            name: (data.field(position), unit)
                            for position, (name, unit) in enumerate(zip(names, units, strict=True))
                        }
                        label = f"{self.name}, HDU {index}" + (f" ({hdu.name})" if hdu.name else "")
                        found.append((hdu.name, label, hdu.header, columns))
        except FITS_DAMAGE as error:
            raise self.damaged(error) from None
        return [(name, TableHDU(*parts)) for name, *parts in found]

    def _ecsv_table(self):
        from astropy.table import Table

        try:
            table = Table.read(self.path, format="ascii.ecsv")
        except Exception as error:  # the parsers raise whatever they meet
            raise ValueError(f"{self.path}: not a valid ECSV table ({error}).") from None
        columns = {}
        for name in table.colnames:
            column = table[name]
            values = column
            if hasattr(column, "filled"):
                missing = np.ma.getmaskarray(column)
                if missing.any():
                    row = int(np.argwhere(missing)[0][0])
                    raise ValueError(f"{self.name}: column {name!r} has no value in row {row}.")
            unit = str(column.unit) if column.unit is not None else None
            columns[name] = (np.asarray(values), unit)
        header = {str(key).upper(): value for key, value in table.meta.items()}
        return TableHDU(f"{self.name}, ECSV table", header, columns)

    @property
    def stem(self):
        """Name guessed from the file name: ``sed_draco.fits`` and ``like_draco.txt`` give draco."""
        stem = self.name
        for suffix in (".gz", ".fits", ".fit", ".txt", ".dat", ".ecsv"):
            stem = stem.removesuffix(suffix)
        return re.sub(r"^(sed|like)_(?=.)", "", stem)
