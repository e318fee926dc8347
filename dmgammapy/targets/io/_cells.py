"""Cells of target tables, checked and without units."""

import astropy.units as u
import numpy as np

from ..core import FIELD_UNITS

__all__ = [
    "convert",
    "or_none",
    "place",
    "read_cells",
    "read_names",
    "read_numbers",
    "read_quantities",
    "read_texts",
]


def place(where, i, names):
    """What errors call row ``i``."""
    return f"{where}, row {i + 1} ({names[i]})"


def read_cells(table, name):
    """Values of a column, whether they are empty, and the unit."""
    column = table[name]
    mask = np.broadcast_to(np.asarray(getattr(column, "mask", False)), (len(table),))
    plain = getattr(column, "unmasked", column)
    plain = getattr(plain, "value", plain) if isinstance(column, u.Quantity) else plain
    return np.ma.getdata(plain), mask, getattr(column, "unit", None)


def read_numbers(table, name, names, where, nan_ok=True):
    """Floats, NaN where unknown, and the unit."""
    values, mask, unit = read_cells(table, name)
    if values.dtype.kind not in "fiu":
        if not all(mask):
            raise ValueError(f"{where}: column {name} must hold numbers, not {values.dtype}.")
        values = np.full(len(table), np.nan)
    if values.ndim != 1:
        raise ValueError(f"{where}: column {name} must hold one number per row.")
    values = np.where(mask, np.nan, values.astype(float))
    wrong = np.isinf(values) if nan_ok else ~np.isfinite(values) & ~mask
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{place(where, i, names)}: {name} is {values[i]}; expected a finite number, "
            "or an empty cell if it is unknown."
        )
    return values, unit


def or_none(values):
    """Floats, None in place of NaN."""
    return [None if np.isnan(value) else float(value) for value in values]


def read_names(table, where):
    """Names of the targets."""
    values, mask, _ = read_cells(table, "name")
    names = []
    for i, (value, empty) in enumerate(zip(values, mask, strict=True)):
        if empty or not isinstance(value, str) or not value.strip():
            raise ValueError(f"{where}, row {i + 1}: the name must be a text that is not empty.")
        names.append(str(value))
    return names


def read_texts(table, name, where):
    """Texts of a column, None where empty."""
    values, mask, _ = read_cells(table, name)
    texts = []
    for i, (value, empty) in enumerate(zip(values, mask, strict=True)):
        if not empty and not isinstance(value, str):
            raise ValueError(f"{where}, row {i + 1}: {name} must be a text, got {value!r}.")
        texts.append(None if empty or not value.strip() else str(value))
    return texts


def convert(name, values, unit, wanted, where):
    """Values in another unit."""
    try:
        return u.Quantity(values, unit).to_value(wanted)
    except (u.UnitConversionError, TypeError, ValueError):
        raise ValueError(
            f"{where}: column {name} has the unit {unit}; expected one like {wanted}."
        ) from None


def read_quantities(table, name, names, where):
    """Quantities of a column, None where unknown."""
    values, unit = read_numbers(table, name, names, where)
    if unit is None and not np.isnan(values).all():
        raise ValueError(
            f"{where}: column {name} has no unit; expected one like {FIELD_UNITS[name]}."
        )
    wanted = FIELD_UNITS[name]
    values = convert(name, values, unit or wanted, wanted, where)
    return [None if np.isnan(value) else value * wanted for value in values]
