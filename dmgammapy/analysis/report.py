"""Reports as one HTML file: what a report is made of, and `write_report`.

The file needs nothing but itself: figures are inside, scripts and styles too, and a content
security policy forbids the browser to fetch anything. What is not given to it is not in it: no
time, no host, so that the same report gives the same bytes.
"""

import base64
import hashlib
import json
import re
import struct
import unicodedata
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import jinja2
from markupsafe import Markup

from dmgammapy.utils import atomic_path

from ._report_tables import Column, ReportTable, typeset_unit

__all__ = [
    "Alert",
    "Column",
    "Report",
    "ReportFigure",
    "ReportTable",
    "Section",
    "write_report",
]

FIRST_ROWS = 50  # of a table, until its reader asks for all
FILTER_ROWS = 20  # from which on a table gets a filter
RADIO_CHARACTERS = 48  # of all choices together; longer ones are a menu
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXELS = {"": 1, "px": 1, "pt": 4 / 3, "in": 96, "cm": 96 / 2.54, "mm": 9.6 / 2.54, "pc": 16}
ALERT_LEVELS = ("error", "warning", "info")


@dataclass(frozen=True)
class ReportFigure:
    """A figure of a report.

    Parameters
    ----------
    source : str, `~pathlib.Path` or bytes
        PNG or SVG, embedded as it is.
    caption : str
        What is seen, in a sentence or two.
    alt : str
        What stands for the figure where it can't be seen.
    group : str, optional
        Figures of one group (in one section) are shown one at a time.
    choices : dict of str
        What distinguishes it in its group, such as ``{"Channel": "b", "Roster": "classical"}``:
        the reader chooses by it. A choice made in one group also holds in the others.
    """

    source: str | Path | bytes
    caption: str
    alt: str
    group: str | None = None
    choices: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A section of a report.

    Parameters
    ----------
    title : str
    text : list of str
        Paragraphs.
    notes : list of str
    figures : list of `ReportFigure`
    tables : list of `ReportTable`
    links : list of tuple
        ``(label, path)``, relative to the report.
    level : {2, 3}
        Of the heading. Default is 2.
    collapsed : bool
        Whether its reader has to open it. Default is False.
    code : str
        Text in a fixed font, such as a configuration.
    """

    title: str
    text: list = ()
    notes: list = ()
    figures: list = ()
    tables: list = ()
    links: list = ()
    level: int = 2
    collapsed: bool = False
    code: str = ""

    def __post_init__(self):
        if self.level not in (2, 3):
            raise ValueError(f"section {self.title!r}: level must be 2 or 3, got {self.level!r}.")


@dataclass(frozen=True)
class Alert:
    """Something that the reader of a report must not miss.

    Parameters
    ----------
    level : {"error", "warning", "info"}
    text : str
    section : str, optional
        Title of the section that tells more.
    """

    level: str
    text: str
    section: str | None = None

    def __post_init__(self):
        if self.level not in ALERT_LEVELS:
            raise ValueError(f"level of an alert must be one of {ALERT_LEVELS}, got {self.level!r}")


@dataclass(frozen=True)
class Report:
    """What `write_report` writes.

    Parameters
    ----------
    title : str
    facts : list of tuple
        ``(name, value)``: what it is about, in few words.
    sections : list of `Section`
    provenance : list of tuple
        ``(name, value)``: where it comes from.
    links : list of tuple
        ``(label, path)``, relative to the report.
    alerts : list of `Alert`
    """

    title: str
    facts: list = ()
    sections: list = ()
    provenance: list = ()
    links: list = ()
    alerts: list = ()


def write_report(report, path, overwrite=False):
    """Write a report as one HTML file.

    Parameters
    ----------
    report : `Report`
    path : str or `~pathlib.Path`
    overwrite : bool
        Replace an existing file. Default is False.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is False.
    FileNotFoundError
        If the folder or a figure does not exist.
    ValueError
        If a figure is neither PNG nor SVG, or a link is not relative.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from dmgammapy.analysis.report import Report, Section, write_report
    >>> report = Report("Dwarf galaxies", [("targets", "15")], [Section("Limits", ["None yet."])])
    >>> with TemporaryDirectory() as folder:
    ...     write_report(report, Path(folder) / "report.html")
    ...     "Dwarf galaxies" in (Path(folder) / "report.html").read_text(encoding="utf-8")
    True
    """
    page = _render(report)
    with atomic_path(path, overwrite) as temporary:
        temporary.write_bytes(page.encode("utf-8"))


def _render(report):
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, early, script = (Markup(_read(f"report.{part}")) for part in ("css", "early.js", "js"))
    sections = _name_sections(report.sections)
    anchors = {}
    for anchor, section in sections:
        anchors.setdefault(section.title, anchor)
    return environment.get_template("report.html.jinja").render(
        report=report,
        sections=sections,
        anchors=anchors,
        style=style,
        early=early,
        script=script,
        policy=_policy(style, early, script),
        first_rows=FIRST_ROWS,
        filter_rows=FILTER_ROWS,
        groups=_group_figures,
        image=_Image,
        href=_href,
        unit=typeset_unit,
        as_json=_as_json,
        table_data=lambda table: _as_json([cells.data() for cells in table.cells]),
        is_long=lambda text: "\n" in str(text) or len(str(text)) > 200,
    )


def _read(name):
    return (resources.files("dmgammapy.analysis") / "data" / name).read_text(encoding="utf-8")


def _policy(style, *scripts):
    """Content security policy: what is written here may run, nothing else, and nothing is fetched.

    Other scripts, as in the name of a target, do not run even if one found its way into the page.
    """

    def digest(text):
        sha = hashlib.sha256(text.encode("utf-8")).digest()
        return f"'sha256-{base64.b64encode(sha).decode()}'"

    return "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"style-src {digest(style)}",
            f"script-src {' '.join(map(digest, scripts))}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _as_json(data):
    """JSON that may stand in a script element or in an attribute."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&'\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _name_sections(sections):
    """Sections with unique names for links inside the page."""
    used, named = {"provenance", "files", "top"}, []
    for section in sections:
        plain = unicodedata.normalize("NFKD", section.title).encode("ascii", "ignore").decode()
        base = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-") or "section"
        anchor, k = base, 1
        while anchor in used:
            k += 1
            anchor = f"{base}-{k}"
        used.add(anchor)
        named.append((anchor, section))
    return named


def _group_figures(figures):
    """Figures in groups, in the order of their first, with the choices that each group offers."""
    groups = {}
    for k, figure in enumerate(figures):
        key = ("alone", k) if figure.group is None else ("group", figure.group)
        groups.setdefault(key, []).append(figure)
    return [_Group(title if kind == "group" else None, f) for (kind, title), f in groups.items()]


class _Group:
    """Figures of which one is shown."""

    def __init__(self, title, figures):
        self.title = title
        self.figures = [(figure, self._choices(k, figure)) for k, figure in enumerate(figures)]
        values = {}
        for _, choices in self.figures:
            for name, value in choices.items():
                values.setdefault(name, {})[value] = None
        self.choices = [
            (name, list(v), sum(len(x) + 3 for x in v) > RADIO_CHARACTERS)
            for name, v in values.items()
            if len(v) > 1
        ]
        self.first = self.figures[0][1]

    @staticmethod
    def _choices(k, figure):
        if figure.group is None:
            return {}
        return {str(n): str(v) for n, v in figure.choices.items()} or {"Figure": str(k + 1)}


class _Image:
    """A picture as a data URI, with its size."""

    def __init__(self, source):
        if isinstance(source, bytes):
            self.name, data = "a figure given as bytes", source
        else:
            self.name = str(source)
            if not Path(source).is_file():
                raise FileNotFoundError(
                    f"{source}: this figure of the report does not exist; draw it first or leave "
                    "it out."
                )
            data = Path(source).read_bytes()
        if data.startswith(PNG_SIGNATURE) and len(data) >= 24:
            kind, (self.width, self.height) = "image/png", struct.unpack(">II", data[16:24])
        else:
            kind, (self.width, self.height) = "image/svg+xml", self._svg_size(data)
        self.uri = Markup(f"data:{kind};base64,{base64.b64encode(data).decode()}")

    def _svg_size(self, data):
        parser = ElementTree.XMLPullParser(events=("start",))
        try:
            parser.feed(data)
            _, root = next(iter(parser.read_events()))
        except (ElementTree.ParseError, StopIteration, ValueError):
            root = None
        if root is None or root.tag.rpartition("}")[2] != "svg":
            raise ValueError(f"{self.name}: expected a PNG or SVG picture, found something else.")
        sizes = [_pixels(root.get(side, "")) for side in ("width", "height")]
        if None in sizes:
            box = re.split(r"[\s,]+", root.get("viewBox", "").strip())
            sizes = [_pixels(text) for text in box[2:]] if len(box) == 4 else [None]
        if None in sizes:
            raise ValueError(
                f"{self.name}: this SVG picture has neither width and height nor a viewBox; its "
                "size is needed."
            )
        return [max(round(size), 1) for size in sizes]


def _pixels(length):
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", length)
    return float(match[1]) * PIXELS[match[2]] if match and match[2] in PIXELS else None


def _href(path):
    """Relative path as a link; what would leave the folder's disk or run as a script is refused."""
    text = str(path).replace("\\", "/")
    if text.startswith("/") or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text):
        raise ValueError(
            f"link {text!r}: expected a path relative to the report, so that the folder can be "
            "moved."
        )
    return quote(text, safe="/")
