"""Read and write target tables: ECSV with one row per target, see `COLUMNS`.

A row needs a ``name``, and the table a column for J or D: ``log10_jfactor`` (log10 of GeV2 cm-5, or
of the unit that the column has, such as ``dex(solMass2 / kpc5)``) or ``jfactor`` with any unit that
converts. Widths are in dex: ``log10_jfactor_err``, or ``log10_jfactor_errn`` and
``log10_jfactor_errp`` below and above. An empty cell means unknown. Positions are ``ra`` and
``dec``, in degrees unless they have a unit, or a ``position`` column of coordinates.
"""

import json
import logging
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy import constants
from astropy.coordinates import SkyCoord
from astropy.table import Column, MaskedColumn, QTable, Table

from .._checks import looks_like_width
from .._names import look_alike
from ..core import FIELD_UNITS, UNITS, Target
from ._cells import (
    convert,
    or_none,
    place,
    read_cells,
    read_names,
    read_numbers,
    read_quantities,
    read_texts,
)

__all__ = ["COLUMNS", "read_ecsv", "targets_from_table", "targets_to_table", "write_ecsv"]

log = logging.getLogger(__name__)

TEXTS = ("title", "kind", "version", "reference")
FACTORS = {"log10_jfactor": "jfactor", "log10_dfactor": "dfactor"}
POWERS_OF_C = {"log10_jfactor": 4, "log10_dfactor": 2}  # energies, not masses
COUNT = "n_targets"  # in the header of own files
ALWAYS = ("log10_jfactor", "log10_jfactor_err")
# columns that are written, in their order, with what their description says
COLUMNS = {
    "name": "name of the target",
    "version": "table and halo model",
    "title": "name for people",
    "kind": "kind of target",
    "ra": "right ascension, ICRS",
    "dec": "declination, ICRS",
    "distance": "distance",
    "distance_err": "uncertainty of the distance",
    "log10_jfactor": "log10 of J in GeV2 cm-5",
    "log10_jfactor_err": "width of log10_jfactor in dex",
    "log10_jfactor_errn": "width of log10_jfactor below in dex",
    "log10_jfactor_errp": "width of log10_jfactor above in dex",
    "log10_dfactor": "log10 of D in GeV cm-2",
    "log10_dfactor_err": "width of log10_dfactor in dex",
    "log10_dfactor_errn": "width of log10_dfactor below in dex",
    "log10_dfactor_errp": "width of log10_dfactor above in dex",
    "extension": "angular size",
    "extension_err_dex": "width of log10 of the extension in dex",
    "extension_errn_dex": "width of log10 of the extension below in dex",
    "extension_errp_dex": "width of log10 of the extension above in dex",
    "profile": "halo profile: its type, or JSON with type and parameters",
    "reference": "where the factors are from",
}
WIDTHS = {
    f"{factor}_err": (f"{factor}_err", f"{factor}_errn", f"{factor}_errp") for factor in FACTORS
} | {"extension_err_dex": ("extension_err_dex", "extension_errn_dex", "extension_errp_dex")}
COLUMN_UNITS = {"ra": u.deg, "dec": u.deg} | FIELD_UNITS


def read_ecsv(path):
    """Read targets from an ECSV file.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    targets : list of `Target`

    Raises
    ------
    ValueError
        If the file is damaged, or a column or value is not valid.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file: {error}.") from None
    if not text.strip():
        raise ValueError(f"{path}: the file is empty.")
    if not text.startswith("# %ECSV"):
        raise ValueError(f"{path}, line 1: expected '# %ECSV 1.0', got {text.splitlines()[0]!r}.")
    try:
        table = Table.read(text, format="ascii.ecsv")
    except Exception as error:  # astropy raises many kinds for damaged files
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ValueError(f"{path}: not valid ECSV, perhaps cut off: {reason}") from None
    _check_complete(table, text, path)
    return targets_from_table(table, str(path))


def _check_complete(table, text, path):
    """Own files say how many targets they hold, so that a cut is noticed."""
    expected = table.meta.get(COUNT)
    if expected is None:
        return
    if expected != len(table):
        raise ValueError(
            f"{path}: the header says {expected} targets but there are {len(table)}: the file is "
            f"cut off, or was edited; then correct '{COUNT}' in its header."
        )
    if not text.endswith("\n"):
        raise ValueError(f"{path}: the last line has no end; the file is cut off.")


def targets_from_table(table, where="table"):
    """Make targets from the rows of a table.

    Parameters
    ----------
    table : `~astropy.table.Table`
        Table with the columns of an ECSV file.
    where : str
        What errors call it.

    Returns
    -------
    targets : list of `Target`

    Raises
    ------
    ValueError
        If a column or value is not valid.
    """
    _check_columns(table, where)
    names = read_names(table, where)
    columns = {name: read_texts(table, name, where) for name in TEXTS if name in table.colnames}
    columns["position"] = _positions(table, names, where)
    columns |= {
        name: read_quantities(table, name, names, where)
        for name in FIELD_UNITS
        if name in table.colnames
    }
    for factor in FACTORS:
        columns[factor] = _factors(table, factor, names, where)
    for name, variants in WIDTHS.items():
        columns[name] = _widths(table, variants, names, where)
    columns["profile"] = _profiles(table, names, where)
    targets = []
    for i, name in enumerate(names):
        values = {key: column[i] for key, column in columns.items() if column is not None}
        try:
            targets.append(Target(name=name, **values))
        except ValueError as error:
            raise ValueError(f"{where}, row {i + 1}: {error}") from None
    return targets


def _value_of(width):
    """Column that a width belongs to."""
    return width.removesuffix("_dex").removesuffix("_err")


def _check_columns(table, where):
    for factor, linear in FACTORS.items():
        if f"{linear}_err" in table.colnames:
            raise ValueError(f"{where}: {linear}_err can't be used; give {factor}_err in dex.")
    known = (*COLUMNS, *FACTORS.values(), "position")
    for name in table.colnames:
        if name not in known:
            meant = look_alike(name, known)
            if meant is not None:
                raise ValueError(f"{where}: unknown column {name!r}; did you mean {meant!r}?")
            if looks_like_width(name):
                log.warning(
                    "%s: the column %r is not used; the width of J is called log10_jfactor_err",
                    where, name,
                )  # fmt: skip
            else:
                log.info("%s: the column %r is not used", where, name)
    found = ", ".join(table.colnames) or "none"
    if "name" not in table.colnames:
        raise ValueError(f"{where}: there is no column 'name'; the columns are {found}.")
    if len(table) == 0:
        raise ValueError(f"{where}: the table has no rows.")
    factors = (*FACTORS, *FACTORS.values())
    if not any(factor in table.colnames for factor in factors):
        raise ValueError(
            f"{where}: there is no column with a factor; expected one of {', '.join(factors)}; "
            f"the columns are {found}."
        )
    for factor, linear in FACTORS.items():
        if factor in table.colnames and linear in table.colnames:
            raise ValueError(f"{where}: both {factor} and {linear} are given; keep one.")
    for name, (one, low, high) in WIDTHS.items():
        given = [column for column in (one, low, high) if column in table.colnames]
        if given and given not in ([one], [low, high]):
            raise ValueError(
                f"{where}: the width must be one column {one} or both {low} and {high}; got "
                f"{', '.join(given)}."
            )
        value = _value_of(name)
        if given and value not in table.colnames and FACTORS.get(value) not in table.colnames:
            raise ValueError(f"{where}: there is a column {given[0]} but no {value}.")


def _positions(table, names, where):
    if "position" in table.colnames:
        column = table["position"]
        if not isinstance(column, SkyCoord) or "ra" in table.colnames:
            raise ValueError(
                f"{where}: give either ra and dec or a column 'position' of coordinates."
            )
        return list(column)
    given = [name for name in ("ra", "dec") if name in table.colnames]
    if not given:
        return None
    if len(given) == 1:
        raise ValueError(f"{where}: ra and dec belong together; there is only {given[0]}.")
    angles = []
    for name in given:
        values, unit = read_numbers(table, name, names, where)
        angles.append(convert(name, values, unit or u.deg, u.deg, where))
    positions = []
    for i, (ra, dec) in enumerate(zip(*angles, strict=True)):
        if np.isnan(ra) and np.isnan(dec):
            positions.append(None)
            continue
        if not (np.isfinite(ra) and -90 <= dec <= 90 and abs(ra) <= 360):
            raise ValueError(
                f"{place(where, i, names)}: ra {ra} deg and dec {dec} deg are no position."
            )
        positions.append(SkyCoord(ra, dec, unit="deg"))
    return positions


def _factors(table, factor, names, where):
    linear = FACTORS[factor]
    if factor in table.colnames:
        values, unit = read_numbers(table, factor, names, where, nan_ok=False)
        if isinstance(unit, u.function.FunctionUnitBase):
            if not isinstance(unit, u.DexUnit):
                raise ValueError(f"{where}: column {factor} has the unit {unit}; expected dex.")
            scale = _factor_scale(unit.physical_unit, factor, where, factor)
            if scale != 1:  # exact where nothing is to be converted
                values = values + np.log10(scale)
        elif unit is not None and unit not in (u.dimensionless_unscaled, u.dex):
            raise ValueError(
                f"{where}: column {factor} has the unit {unit}; expected none, for the log10 of "
                f"{UNITS[factor]}, or one like dex({u.Unit(UNITS[factor])})."
            )
        return or_none(values)
    if linear not in table.colnames:
        return None
    values, unit = read_numbers(table, linear, names, where, nan_ok=False)
    if unit is None:
        raise ValueError(
            f"{where}: column {linear} has no unit; expected one like {UNITS[factor]}."
        )
    scale = _factor_scale(unit, factor, where, linear)
    if (values <= 0).any():
        i = int(np.flatnonzero(values <= 0)[0])
        raise ValueError(f"{place(where, i, names)}: {linear} must be positive, got {values[i]:g}.")
    return or_none(np.log10(values * scale))


def _factor_scale(unit, factor, where, column):
    """What a value in ``unit`` is to be multiplied with; masses count as energies."""
    wanted = u.Unit(UNITS[factor])
    for power in (0, POWERS_OF_C[factor]):
        try:
            return (1 * unit * constants.c**power).to_value(wanted, u.dimensionless_angles())
        except (u.UnitConversionError, TypeError, ValueError):  # the latter: no known unit
            continue
    raise ValueError(
        f"{where}: column {column} has the unit {unit}; expected one like {wanted}, or with "
        "masses in place of energies."
    )


def _widths(table, variants, names, where):
    given = [name for name in variants if name in table.colnames]
    if not given:
        return None
    columns = []
    for name in given:
        values, unit = read_numbers(table, name, names, where)
        if unit is not None and unit not in (u.dimensionless_unscaled, u.dex):
            raise ValueError(f"{where}: column {name} has the unit {unit}; widths are in dex.")
        if (values < 0).any():
            i = int(np.flatnonzero(values < 0)[0])
            raise ValueError(
                f"{place(where, i, names)}: {name} must not be negative, got {values[i]:g}."
            )
        columns.append(or_none(values))
    if len(columns) == 1:
        return columns[0]
    widths = []
    for i, (low, high) in enumerate(zip(*columns, strict=True)):
        if (low is None) != (high is None):
            raise ValueError(
                f"{place(where, i, names)}: {given[0]} and {given[1]} belong together; one "
                "is unknown."
            )
        widths.append(None if low is None else (low, high))
    return widths


def _profiles(table, names, where):
    if "profile" not in table.colnames:
        return None
    values, mask, _ = read_cells(table, "profile")
    profiles = []
    for i, (value, empty) in enumerate(zip(values, mask, strict=True)):
        if empty or value is None or (isinstance(value, str) and not value.strip()):
            profiles.append(None)
            continue
        profile = value
        if isinstance(value, str):
            try:
                is_json = value.lstrip().startswith("{")
                profile = json.loads(value) if is_json else {"type": value.strip()}
            except json.JSONDecodeError:
                profile = None
        if not isinstance(profile, dict):
            raise ValueError(
                f"{place(where, i, names)}: profile must be a type such as NFW, or JSON "
                f"with the type and parameters; got {value!r}."
            )
        profiles.append(profile)
    return profiles


def targets_to_table(targets):
    """Table with one row per target and units; what no target has makes no column.

    Parameters
    ----------
    targets : list of `Target`
        The targets.

    Returns
    -------
    table : `~astropy.table.Table`
        Unknown cells are masked.
    """
    rows = [_row(target) for target in targets]
    used = {name for name in COLUMNS if any(row.get(name) is not None for row in rows)}
    used |= {_value_of(name) for name, names in WIDTHS.items() if used & set(names)} | set(ALWAYS)
    table = Table()
    for name, description in COLUMNS.items():
        if name not in used:
            continue
        cells = [row.get(name) for row in rows]
        is_text = name in ("name", "profile", *TEXTS)
        empty = [cell is None for cell in cells]
        values = [("" if is_text else np.nan) if cell is None else cell for cell in cells]
        column_class = MaskedColumn if any(empty) else Column
        masks = {"mask": empty} if any(empty) else {}
        table[name] = column_class(
            values, dtype=str if is_text else float, unit=COLUMN_UNITS.get(name),
            description=description, **masks,
        )  # fmt: skip
    return _same_widths(table, rows)


def _same_widths(table, rows):
    """Where one target has two widths all have, in the two columns."""
    for one, low, high in WIDTHS.values():
        if low in table.colnames and one in table.colnames:
            for i, row in enumerate(rows):
                if row.get(one) is not None:
                    table[low][i] = table[high][i] = row[one]
            del table[one]
    return table


def _row(target):
    row = target.to_dict()
    for name, (_, low, high) in WIDTHS.items():
        if isinstance(row.get(name), list):
            row[low], row[high] = row.pop(name)
    profile = row.get("profile")
    if profile is not None:
        kind = profile.get("type")
        is_simple = list(profile) == ["type"] and isinstance(kind, str) and kind == kind.strip()
        is_simple = is_simple and kind and not kind.startswith("{")
        row["profile"] = kind if is_simple else json.dumps(profile, ensure_ascii=False)
    return row


def write_ecsv(targets, path):
    """Write targets as an ECSV file.

    Parameters
    ----------
    targets : list of `Target`
        The targets.
    path : path-like
        The file; it is replaced.
    """
    table = targets_to_table(targets)
    table.meta = {"content": "dmgammapy targets", COUNT: len(table)}
    table.write(path, format="ascii.ecsv", overwrite=True)


def to_qtable(targets):
    """The table of `targets_to_table` with quantities; unknown ones are NaN."""
    table = targets_to_table(targets)
    for name in table.colnames:
        if table[name].unit is not None and isinstance(table[name], MaskedColumn):
            table[name] = Column(
                table[name].filled(np.nan), unit=table[name].unit,
                description=table[name].description,
            )  # fmt: skip
    return QTable(table)
