"""Tables of a report: targets, limits, contributions, significance and controls."""

from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import QTable, Table, vstack

from dmgammapy.estimators import LimitStatus

from ._limit_methods import PROFILE, method_name
from ._report_captions import column_of
from ._report_tables import Column, ReportTable, format_value

__all__ = [
    "cell",
    "contribution_tables",
    "control_tables",
    "floats",
    "limit_tables",
    "of_first_target",
    "significance_tables",
    "statuses",
    "strength_of",
    "target_tables",
    "used_columns",
]

MOST_MASSES = 12  # of the overview
STRENGTHS = ("sigmav_ul", "tau_ll", "gamma_ul")
NO_VALUE = "no value: beyond what was scanned, or no information; the status tells which"


def floats(table, name):
    """A column as floats, NaN where masked."""
    return np.ma.filled(np.ma.array(getattr(table[name], "value", table[name]), float), np.nan)


def strength_of(table):
    names = [] if table is None else [name for name in STRENGTHS if name in table.colnames]
    return names[0] if names else None


def of_first_target(table):
    """Rows of the target that comes first, which is the stack."""
    if "target" not in table.colnames or not len(table):
        return table
    return table[np.array(table["target"]) == table["target"][0]]


def statuses(table, name="status"):
    """Statuses by name, be they numbers or names in the table."""
    if name not in table.colnames:
        return []
    return [
        str(s) if not isinstance(s, (int, np.integer)) else LimitStatus(int(s)).name.lower()
        for s in table[name].tolist()
    ]


def _join(inputs, tables):
    """One table of those by roster and J treatment, with columns for what differs."""
    parts = []
    for (roster, jfactor), table in tables.items():
        part = Table(table, copy=True)
        part.meta = {}
        for name in part.colnames:
            if name == "status" or name.startswith("status_"):
                part.replace_column(name, statuses(part, name))
        if len({key[1] for key in tables}) > 1:
            part.add_column([jfactor] * len(part), name="jfactor", index=0)
        if len({key[0] for key in tables}) > 1:
            part.add_column([roster] * len(part), name="roster", index=0)
        parts.append(part)
    return vstack(parts, metadata_conflicts="silent") if parts else None


def _as_report_table(table, title, note="", missing=NO_VALUE, without=()):
    columns = {}
    for name in table.colnames:
        if name in without or name.endswith(("_errn", "_errp")):
            continue
        column = column_of(name)
        # what the table says of itself must not outdo what a reader needs
        columns[name] = Column(
            column.name, column.unit, column.description, column.format, column.align
        )
    return ReportTable.from_table(table, title, columns, note, missing)


def limit_tables(inputs):
    if not inputs.limits:
        return []
    tables = [_overview(inputs)]
    table = _join(inputs, inputs.limits)
    if {"target"} <= set(table.colnames) and len(set(table["target"])) < 2:
        table.remove_column("target")
    note = ""
    if "method" in table.colnames and len(set(table["method"])) < 2:
        table.remove_column("method")
    if inputs.methods != [PROFILE]:
        main = method_name(inputs.main_method)
        note = f"Limits and statuses without a method in their name are by {main}."
    tables.append(_as_report_table(table, "All limits", note))
    return [table for table in tables if table is not None]


def _overview(inputs):
    """Masses against channels of the main result."""
    (roster, jfactor), table = next(iter(inputs.limits.items()))
    name = strength_of(table)
    if name is None or len(set(table["channel"])) < 2:
        return None
    table = of_first_target(table)
    masses = np.unique(floats(table, "mass"))
    channels = list(dict.fromkeys(str(c) for c in table["channel"]))
    shown = np.unique(np.round(np.linspace(0, len(masses) - 1, MOST_MASSES)).astype(int))
    found, marks = {}, {}
    rows = zip(table["channel"], floats(table, "mass"), floats(table, name), strict=True)
    worth = statuses(table) or ["found"] * len(table)
    for (channel, mass, value), status in zip(rows, worth, strict=True):
        found[str(channel), mass] = value
        if status != "found" and mass in masses[shown]:
            marks.setdefault(status, []).append(f"{channel} at {format_value(mass)}")
    rows = [[m, *(found.get((c, m), np.nan) for c in channels)] for m in masses[shown]]
    unit = str(table[name].unit or "")
    columns = [Column("mass", str(table["mass"].unit or "GeV"))]
    columns += [Column(channel, unit, format=".2e") for channel in channels]
    what = {
        "sigmav_ul": "Upper limits on ⟨σv⟩",
        "tau_ll": "Lower limits on the lifetime",
        "gamma_ul": "Upper limits on the decay rate",
    }[name]
    about = f"{inputs.factor} {jfactor}"
    about = f"roster {roster}, {about}" if len(inputs.rosters) > 1 else about
    by = f" by {method_name(inputs.main_method)}" if inputs.methods != [PROFILE] else ""
    notes = [f"{what} at {100 * inputs.cl:g} % confidence{by}; {about}."]
    if len(shown) < len(masses):
        notes.append(f"{len(shown)} of {len(masses)} masses; all are in the next table.")
    notes += [f"{s.replace('_', ' ').capitalize()}: {', '.join(w)}." for s, w in marks.items()]
    return ReportTable("Limits by channel", columns, rows, " ".join(notes), NO_VALUE)


def target_tables(inputs):
    factor = inputs.factor
    columns = [
        Column("target"),
        Column("profile", description=f"Version of the {factor}-factor."),
        Column("instruments"),
        Column(
            f"log10 {factor}",
            None,
            f"Decimal logarithm of the {factor}-factor in "
            f"{'GeV cm⁻²' if factor == 'D' else 'GeV² cm⁻⁵'}.",
            ".2f",
        ),
        Column("width", "dex", f"Uncertainty of log10 {factor}.", ".2f"),
        Column("TS max", None, "Largest TS of this target in all masses and channels.", ".2f"),
        Column("file"),
    ]
    log10 = f"log10_{factor.lower()}factor"
    keys = ("name", "profile", "instruments", log10, "width", "ts_max", "file")
    rows = [[cell(target.get(key)) for key in keys] for target in inputs.targets]
    tables = []
    if rows:
        tables.append(
            ReportTable("Targets used", *used_columns(columns, rows), missing="not known")
        )
    if inputs.skipped:
        skipped = [[name, reason] for name, reason in inputs.skipped.items()]
        tables.append(ReportTable("Targets skipped", ["target", "reason"], skipped))
    if inputs.unused_files:
        unused = [[str(path), name] for path, name in inputs.unused_files.items()]
        note = "They fit the pattern of the datasets, but no roster has such a target."
        tables.append(ReportTable("Files of no target", ["file", "target"], unused, note))
    return tables


def used_columns(columns, rows):
    """Columns and rows without the columns that have no value at all."""
    used = [k for k in range(len(columns)) if any(row[k] is not None for row in rows)]
    return [columns[k] for k in used], [[row[k] for k in used] for row in rows]


def cell(value):
    """A value as a cell of a table: lists in one line, a pair of errors with their signs."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, (list, tuple, np.ndarray)):
        if len(value) == 2 and all(isinstance(v, float) for v in value):
            return _pair(*value)
        parts = [format_value(v, ".2f" if isinstance(v, float) else None) for v in value]
        return ", ".join(part for part in parts if part) or None
    return str(value) if isinstance(value, Path) else value


def _pair(low, high):
    """A lower and an upper error; one number if they are the same."""
    if np.isnan(low) or np.isnan(high):
        return None
    return low if low == high else f"−{low:.2f}\u00a0+{high:.2f}"


def contribution_tables(inputs):
    if not inputs.contributions:
        return []
    table = _join(inputs, inputs.contributions)
    note = ""
    if inputs.main_method != PROFILE:
        note = (
            "All limits in this table are by the profile likelihood, not by "
            f"{method_name(inputs.main_method)} as those of the combination above."
        )
    return [_as_report_table(table, "Contributions by target, channel and mass", note)]


def significance_tables(inputs):
    if not inputs.significance:
        return []
    numbers = {t.meta.get("n_realisations") for t in inputs.significance.values()} - {None}
    note = "The largest TS of each, and the chance of one as large without any signal."
    if numbers:
        n = " or ".join(str(n) for n in sorted(numbers))
        note += f" Counted in {n} simulations; rarer chances are continued by formulas."
    return [_as_report_table(_join(inputs, inputs.significance), "Global significance", note)]


def as_lifetimes(table):
    """A table of controls with the rates that limits are compared with as lifetimes.

    Parameters
    ----------
    table : `~astropy.table.Table`
        With ``injected`` and ``median_ul`` in 1/s; other units are left alone.

    Returns
    -------
    table : `~astropy.table.QTable`
        A copy, with ``injected`` in s, and ``median_tau_ll`` in place of ``median_ul``. Best fits
        stay rates: they may be zero.
    """
    table = QTable(table, copy=True)
    for name, new in (("injected", "injected"), ("median_ul", "median_tau_ll")):
        if name not in table.colnames or table[name].unit is None:
            continue
        if not u.Unit(table[name].unit).is_equivalent("s-1"):
            continue
        with np.errstate(divide="ignore"):
            table[name] = (1 / u.Quantity(table[name])).to("s")
        table.rename_column(name, new)
    return table


def control_tables(inputs):
    tables = []
    if inputs.simulations:
        keys = list(dict.fromkeys(key for one in inputs.simulations for key in one))
        rows = [
            [
                "no signal" if k == "injected" and one.get(k) is None else cell(one.get(k))
                for k in keys
            ]
            for one in inputs.simulations
        ]
        columns = [Column("simulation" if k == "name" else k.replace("_", " ")) for k in keys]
        tables.append(ReportTable("Simulations", columns, rows))
    for table, title in (
        (inputs.controls, "Limits of simulations"),
        (inputs.blank_fields, "Limits of blank fields"),
    ):
        if table is not None and len(table):
            table = as_lifetimes(table) if inputs.process == "decay" else table
            tables.append(_as_report_table(table, title, _on_coverage(inputs, table)))
    return tables


def _on_coverage(inputs, table):
    """What fractions of limits above the truth mean."""
    notes = []
    if "coverage" in table.colnames:
        promised = f"{inputs.cl:g} or more is what {100 * inputs.cl:g} % limits promise."
        notes.append(f"Coverage of {promised}")
    if "limit_above_truth" in table.colnames:
        factor = inputs.factor
        notes.append(
            f"Limits allow for the error of {factor}. A fraction of limits above the truth is "
            f"called coverage only where {factor} is drawn anew in each realisation, or is exact; "
            "elsewhere it need not be the confidence level."
        )
    return " ".join(notes)
