"""Tables of a report: columns, cells, and what they look like."""

import math
import numbers
import re
from dataclasses import dataclass, field

import astropy.units as u
import numpy as np
from markupsafe import Markup, escape

__all__ = ["Column", "ReportTable", "format_value", "typeset", "typeset_unit"]

ALIGNMENTS = ("left", "right", "center")
# how good what a status says is; the place is the order in which statuses are sorted
TONES = {
    "done": "good",
    "found": "good",
    "running": "info",
    "approximate": "fair",
    "extrapolated": "fair",
    "stale": "fair",
    "grid_edge": "poor",
    "all_excluded": "poor",
    "no_information": "none",
    "skipped": "none",
    "missing": "none",
    "failed": "bad",
}
MARKS = ("status", "code")  # formats that are not of numbers
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789−+")
EXPONENT = re.compile(r"(-?)(\d+(?:\.\d+)?)e([+-]?)0*(\d+)")


def format_value(value, spec=None):
    """Text of a cell, or None where there is no value.

    Parameters
    ----------
    value : object
        NaN, None and masked values are no values; of infinity only the sign is kept.
    spec : str, optional
        Format of numbers as in Python, ``".3g"``, ``"{:.3g}"`` or ``"%.3g"``. Default is four
        digits, with an exponent below 0.001 and from a million on.

    Returns
    -------
    text : str or None
        Exponents as in ``1.2e-26``, see `typeset`.

    Examples
    --------
    >>> from dmgammapy.analysis._report_tables import format_value
    >>> format_value(1.23456e-26), format_value(10000.0), format_value(float("nan"))
    ('1.23e-26', '10000', None)
    """
    if value is None or value is np.ma.masked:
        return None
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, (list, tuple)):
        value = ", ".join(str(part) for part in value)
    if not isinstance(value, numbers.Real):
        return str(value) or None
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if spec:
        return "0" if value == 0 and spec.endswith(("e", "e}")) else _by_spec(value, spec)
    if isinstance(value, numbers.Integral):
        return str(int(value))
    value = float(value)
    size = abs(value)
    if size and not 1e-3 <= size < 1e6:
        return f"{value:.2e}"
    return f"{value:.4g}" if size < 1e4 else f"{value:.0f}"


def _by_spec(value, spec):
    if "{" in spec:
        return spec.format(value)
    return spec % value if spec.startswith("%") else format(value, spec)


def typeset(text):
    """HTML of a number: a true minus, powers of ten raised.

    Parameters
    ----------
    text : str

    Returns
    -------
    html : `~markupsafe.Markup`
        Text that is no number comes back escaped, otherwise unchanged.

    Examples
    --------
    >>> from dmgammapy.analysis._report_tables import typeset
    >>> print(typeset("-1.2e-26"))
    −1.2\u2009×\u200910<sup>−26</sup>
    """
    match = EXPONENT.fullmatch(text)
    if match:
        sign, mantissa, exponent_sign, exponent = match.groups()
        return Markup("{}{}\u2009×\u200910<sup>{}{}</sup>").format(
            "−" if sign else "", mantissa, "−" if exponent_sign == "-" else "", exponent
        )
    if re.fullmatch(r"-[\d.∞]+", text):
        return Markup("−") + text[1:]
    return escape(text)


def typeset_unit(unit):
    """HTML of a unit, powers raised.

    Parameters
    ----------
    unit : str or `~astropy.units.Unit`
        A text that is no unit is kept.

    Returns
    -------
    html : `~markupsafe.Markup`

    Examples
    --------
    >>> from dmgammapy.analysis._report_tables import typeset_unit
    >>> print(typeset_unit("cm3 s-1"))
    cm<sup>3</sup> s<sup>−1</sup>
    """
    if not unit:
        return Markup("")
    try:
        text = u.Unit(unit).to_string("unicode")
    except (ValueError, TypeError):
        text = str(unit)
    raised = re.sub(
        "[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+",
        lambda match: f"<sup>{match[0].translate(SUPERSCRIPTS)}</sup>",
        str(escape(text)),
    )
    return Markup(raised)


@dataclass(frozen=True)
class Column:
    """One column of a `ReportTable`.

    Parameters
    ----------
    name : str
        What stands above it.
    unit : str, optional
    description : str
        One sentence, shown in the legend of the table.
    format : str, optional
        Of numbers, see `format_value`. The format ``"status"`` marks words by how good they are,
        ``"code"`` sets what is typed at a command line.
    align : {"left", "right", "center"}, optional
        Default is right for numbers, left for text.
    """

    name: str
    unit: str | None = None
    description: str = ""
    format: str | None = None
    align: str | None = None

    def __post_init__(self):
        if self.align not in (None, *ALIGNMENTS):
            raise ValueError(
                f"column {self.name!r}: align must be one of {ALIGNMENTS}, got {self.align!r}."
            )


@dataclass(frozen=True)
class ReportTable:
    """A table of a report, to be sorted and filtered by its reader.

    Parameters
    ----------
    title : str
    columns : list of `Column` or str
    rows : list of list
        Values: numbers, text, or None, NaN and masked where there are none.
    note : str
        Below the table.
    missing : str
        What it means where there is no value. Default is "no value".

    Raises
    ------
    ValueError
        If a row has not as many values as there are columns.

    Examples
    --------
    >>> from dmgammapy.analysis.report import Column, ReportTable
    >>> table = ReportTable("J", ["target", Column("log10 J", format=".2f")], [["draco", 18.83]])
    >>> table.cells[1].text
    ['18.83']
    """

    title: str
    columns: list
    rows: list
    note: str = ""
    missing: str = "no value"
    cells: list = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        columns = [Column(c) if isinstance(c, str) else c for c in self.columns]
        if not columns:
            raise ValueError(f"table {self.title!r} has no columns.")
        for k, row in enumerate(self.rows):
            if len(row) != len(columns):
                raise ValueError(
                    f"table {self.title!r}, row {k}: expected {len(columns)} values "
                    f"({', '.join(c.name for c in columns)}), got {len(row)}."
                )
        values = zip(*self.rows, strict=True) if self.rows else [()] * len(columns)
        object.__setattr__(self, "columns", columns)
        object.__setattr__(
            self, "cells", [_Cells(c, list(v)) for c, v in zip(columns, values, strict=True)]
        )

    @classmethod
    def from_table(cls, table, title, columns=None, note="", missing="no value"):
        """Make it from an astropy table.

        Parameters
        ----------
        table : `~astropy.table.Table`
            Columns of one value per row; units, descriptions and formats are taken over.
        title : str
        columns : dict of `Column` or list of str, optional
            By name of the table's columns: which are shown, in this order, and as what. What a
            `Column` leaves open is taken from the table. Default is all.
        note, missing : str
            See `ReportTable`.

        Raises
        ------
        ValueError
            If a column is not there or has several values per row.
        """
        names = table.colnames if columns is None else list(columns)
        wanted = columns if isinstance(columns, dict) else {}
        shown, values = [], []
        for name in names:
            if name not in table.colnames:
                raise ValueError(
                    f"table {title!r}: no column {name!r}, it has {', '.join(table.colnames)}."
                )
            column = table[name]
            if column.ndim != 1:
                raise ValueError(
                    f"table {title!r}: column {name!r} must have one value per row, got the shape "
                    f"{column.shape}."
                )
            given = wanted.get(name) or Column(name)
            shown.append(
                Column(
                    given.name,
                    given.unit or (str(column.unit) if column.unit else None),
                    given.description or column.info.description or "",
                    given.format or column.info.format,
                    given.align,
                )
            )
            plain = column.value if isinstance(column, u.Quantity) else column
            values.append(plain.tolist())  # None where masked
        rows = [list(row) for row in zip(*values, strict=True)]
        return cls(title, shown, rows, note, missing)


class _Cells:
    """The cells of a column: their text, what they are sorted by, how they are shown."""

    def __init__(self, column, values):
        self.column = column
        number = (numbers.Real, type(None), type(np.ma.masked))
        known = [v for v in values if v is not None and v is not np.ma.masked]
        self.is_status = column.format == "status"
        self.is_number = (
            column.format not in MARKS
            and bool(known)
            and all(isinstance(v, number) and not isinstance(v, (bool, np.bool_)) for v in known)
        )
        self.is_code = column.format == "code"
        spec = None if self.is_status or self.is_code else column.format
        self.text = [format_value(v, spec) for v in values]
        self.values = values
        self.kind = "text"
        if self.is_status or self.is_code or self.is_number:
            self.kind = "status" if self.is_status else "code" if self.is_code else "number"
        self.align = column.align or ("right" if self.is_number else "left")

    @property
    def has_missing(self):
        return None in self.text

    def html(self, row):
        """What stands in a cell."""
        text = self.text[row]
        if text is None:
            return None
        if self.is_number:
            return typeset(text)
        if self.is_status:
            return Markup('<span class="status {}">{}</span>').format(
                TONES.get(text, "none"), text.replace("_", " ")
            )
        return Markup("<code>{}</code>").format(text) if self.is_code else escape(text)

    def data(self):
        """All cells for the script that sorts, short: text that recurs is there only once."""
        if self.is_number:
            pairs = zip(self.text, self.values, strict=True)
            sort = [None if text is None else _short(value) for text, value in pairs]
            return {"kind": self.kind, "align": self.align, "text": self.text, "sort": sort}
        distinct = list(dict.fromkeys(t for t in self.text if t is not None))
        place = {text: k for k, text in enumerate(distinct)}
        data = {
            "kind": self.kind,
            "align": self.align,
            "distinct": [t.replace("_", " ") for t in distinct] if self.is_status else distinct,
            "index": [-1 if t is None else place[t] for t in self.text],
        }
        if self.is_status:
            order = list(TONES)
            data["tones"] = [TONES.get(t, "none") for t in distinct]
            data["ranks"] = [order.index(t) if t in TONES else len(order) for t in distinct]
        return data


def _short(value):
    """A number to eight digits; infinities as JSON can hold them."""
    value = float(value)
    if math.isinf(value):
        return math.copysign(1e308, value)
    return float(f"{value:.8g}")
