"""The HTML report: what is in the file."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable, Table

from dmgammapy.analysis._report_captions import PLOT_KINDS
from dmgammapy.analysis._report_content import PlotFile, ReportInputs, build_report
from dmgammapy.analysis._report_tables import format_value, typeset, typeset_unit
from dmgammapy.analysis.report import (
    Alert,
    Column,
    Report,
    ReportFigure,
    ReportTable,
    Section,
    write_report,
)

from .report_helpers import HOSTILE, SVG, inputs, limits_table, many_values

PLANCK = 6.62607015e-34


class Reader(HTMLParser):
    """Elements with their attributes, and the text outside of scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.words, self.inside = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_endtag(self, tag):
        while tag in self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self.inside):
            self.words.append(data)

    def of(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture
def write(tmp_path):
    def function(report):
        path = tmp_path / "report.html"
        write_report(report, path, overwrite=True)
        return path

    return function


@pytest.mark.parametrize(
    ("value", "spec", "text", "shown"),
    [
        (PLANCK, ".2e", "6.63e-34", "6.63\u2009×\u200910<sup>−34</sup>"),
        (-1.5e12, None, "-1.50e+12", "−1.50\u2009×\u200910<sup>12</sup>"),
        (0.0, ".2e", "0", "0"),
        (0, None, "0", "0"),
        (-0.25, ".2f", "-0.25", "−0.25"),
        (10000.0, None, "10000", "10000"),
        (np.float32(0.5), None, "0.5", "0.5"),
        (np.inf, ".2e", "∞", "∞"),
        (True, ".2e", "yes", "yes"),
        (2.0, "%.1f", "2.0", "2.0"),
        (2.0, "{:.1f} %", "2.0 %", "2.0 %"),
        ("1e5 <b>", None, "1e5 <b>", "1e5 &lt;b&gt;"),
        (b"draco", None, "draco", "draco"),
        (["b", "tau"], None, "b, tau", "b, tau"),
    ],
)
def test_values_are_written_as_in_print(value, spec, text, shown):
    assert format_value(value, spec) == text
    assert str(typeset(text)) == shown


@pytest.mark.parametrize("value", [None, np.nan, np.ma.masked, ""])
def test_no_value_is_no_text(value):
    assert format_value(value, ".2e") is None


def test_units_have_powers():
    assert str(typeset_unit("GeV2 cm-5")) == "GeV<sup>2</sup> cm<sup>−5</sup>"
    assert str(typeset_unit("<dex>")) == "&lt;dex&gt;"
    assert str(typeset_unit(None)) == ""


def test_table_from_astropy_keeps_units_masks_and_descriptions():
    table = Table({"mass": [10.0, 20.0], "name": ["a", "b"]}, masked=True)
    table["mass"].unit, table["mass"].info.description = "GeV", "How heavy."
    table["mass"].info.format = ".1f"
    table["mass"].mask[1] = True
    made = ReportTable.from_table(table, "T", {"name": Column("who"), "mass": Column("mass")})
    assert [c.name for c in made.columns] == ["who", "mass"]
    assert (made.columns[1].unit, made.columns[1].description) == ("GeV", "How heavy.")
    assert made.cells[1].text == ["10.0", None]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ReportTable("T", ["a", "b"], [[1, 2], [3]]), "row 1: expected 2 values"),
        (lambda: ReportTable("T", [], []), "no columns"),
        (lambda: ReportTable.from_table(Table({"a": [1]}), "T", ["b"]), "no column 'b'"),
        (lambda: ReportTable.from_table(Table({"a": [[1, 2]]}), "T"), "one value per row"),
        (lambda: Column("a", align="top"), "align must be one of"),
        (lambda: Section("S", level=4), "level must be 2 or 3"),
        (lambda: Alert("panic", "!"), "level of an alert"),
    ],
)
def test_wrong_parts_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("report", "error", "message"),
    [
        (Report("R", links=[("x", "https://example.org/x")]), ValueError, "relative"),
        (Report("R", links=[("x", "javascript:alert(1)")]), ValueError, "relative"),
        (Report("R", links=[("x", "/results/x")]), ValueError, "relative"),
        ("missing.png", FileNotFoundError, "missing.png: this figure"),
        (b"GIF89a", ValueError, "PNG or SVG"),
        (b"", ValueError, "PNG or SVG"),
        (b"<html xmlns='x'/>", ValueError, "PNG or SVG"),
        (b"<svg xmlns='x'/>", ValueError, "viewBox"),
    ],
)
def test_bad_links_and_figures_leave_no_file(tmp_path, report, error, message):
    if not isinstance(report, Report):
        report = Report("R", sections=[Section("S", figures=[ReportFigure(report, "", "")])])
    with pytest.raises(error, match=message):
        write_report(report, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_existing_report_is_kept_unless_told(tmp_path):
    path = tmp_path / "report.html"
    write_report(Report("First"), path)
    with pytest.raises(FileExistsError):
        write_report(Report("Second"), path)
    assert "First" in path.read_text(encoding="utf-8")


def test_same_report_gives_the_same_bytes(tmp_path):
    for name in "ab":
        write_report(build_report(inputs()), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_file_is_complete_and_allows_nothing_else(write):
    """No address to fetch from, and the policy names the hashes of the scripts that are there."""
    page = write(many_values()).read_text(encoding="utf-8")
    reader = Reader(page)
    for tag in ("img", "script", "link", "iframe"):
        for attrs in reader.of(tag):
            source = attrs.get("src", attrs.get("href", "data:"))
            assert source.startswith("data:"), tag
    policy = next(a["content"] for a in reader.of("meta") if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; img-src data:;")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.S)
    assert len(scripts) == 2
    for script in scripts:
        digest = hashlib.sha256(script.encode()).digest()
        assert base64.b64encode(digest).decode() in policy
    assert "unsafe" not in policy


def test_hostile_text_stays_text(write):
    page = write(many_values()).read_text(encoding="utf-8")
    reader = Reader(page)
    assert "window.hacked" not in "".join(re.findall(r"<script.*?</script>", page, re.S))
    assert not any("onerror" in attrs for _, attrs in reader.elements)
    assert HOSTILE in "".join(reader.words)
    assert len(set(a["id"] for _, a in reader.elements if "id" in a)) == page.count(' id="')


def test_figures_have_size_and_text(write):
    reader = Reader(write(many_values()).read_text(encoding="utf-8"))
    images = [attrs for attrs in reader.of("img") if "src" in attrs]
    sizes = [(int(a["width"]), int(a["height"])) for a in images]
    assert sizes[:4] == [(600, 400), (610, 400), (620, 400), (630, 400)]
    assert sizes[4] == (96, 48)  # 72 pt are one inch, 96 pixels of CSS
    assert all(attrs["alt"] for attrs in images)


def test_long_tables_are_all_there(write):
    page = write(many_values(300)).read_text(encoding="utf-8")
    assert page.count("<th scope=row") == 50
    assert "Show all 300 rows" in page
    assert "first 50 of 300 rows" in page  # if scripts are off
    data = re.search(r'<script type="application/json">(.*?)</script>', page, re.S)[1]
    assert all(f'"target {k}"' in data for k in range(300))


def text_of(path):
    return " ".join(" ".join(Reader(path.read_text(encoding="utf-8")).words).split())


def test_report_tells_what_went_wrong(write):
    table = limits_table()
    table["status"] = ["grid_edge"] + ["found"] * 5
    table["sigmav_ul"][0] = np.nan
    failure = {
        "task": "castro/lat/leo",
        "error": "ValueError: no scan",
        "command": "dmgammapy run c.yaml --task castro/lat/leo",
        "traceback_file": "failures/castro/lat/leo.txt",
    }
    report = build_report(
        inputs(
            limits={("dwarfs", "profile"): table},
            skipped={"leo_I": "no J-factor"},
            unused_files={"sed_m31.fits": "m31"},
            notes=["bins were filled."],
            limit_method="cls",
            failures=[failure],
        )
    )
    assert [a.level for a in report.alerts] == ["error", "warning", "warning", "info", "info"]
    text = text_of(write(report))
    for words in (
        "1 task failed",
        "1 of 6 limits",
        "leo_I no J-factor",
        "sed_m31.fits",
        "bins were filled.",
        failure["command"],
        "Grid edge: b at 10.",
    ):
        assert words in text
    assert 'href="failures/castro/lat/leo.txt"' in write(report).read_text(encoding="utf-8")


def test_nothing_wrong_no_banner():
    assert build_report(inputs()).alerts == []


def test_headlines_are_those_of_the_table():
    """The strongest limit is the first of the table, the largest TS the last: 3, 1.7 sigma."""
    facts = dict(build_report(inputs()).facts)
    assert str(facts["Strongest limit"]).startswith("9.00\u2009×\u200910<sup>−27</sup> cm")
    assert facts["Strongest limit"].endswith("(b, 10 GeV)")
    assert facts["Largest TS"] == "3.00 (tau, 1000 GeV; local 1.7 σ)"


def test_headlines_are_of_the_stack_alone():
    """A target whose limit fluctuates low is no result."""
    table = limits_table()
    table["target"] = "stack"
    lucky = table[:1].copy()
    lucky["target"], lucky["sigmav_ul"] = "draco", 1e-30 * u.Unit("cm3 s-1")
    both = QTable({name: [*table[name], *lucky[name]] for name in table.colnames})
    facts = dict(build_report(inputs(limits={("dwarfs", "profile"): both})).facts)
    assert "10<sup>−27</sup>" in facts["Strongest limit"]


def test_empty_tables_are_no_obstacle(write):
    empty = {("dwarfs", "profile"): limits_table()[:0]}
    assert "Limits" in text_of(write(build_report(inputs(limits=empty))))


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (0.2, "0.20"),
        ([0.2, 0.2], "0.20"),
        (np.array([0.2, 0.3]), "−0.20\u00a0+0.30"),
        ([np.nan, np.nan], None),
        (None, None),
        (np.float64(0.25), "0.25"),
    ],
)
@pytest.mark.parametrize(("process", "factor"), [("annihilation", "j"), ("decay", "d")])
def test_targets_are_listed(process, factor, width, shown):
    target = {"name": "draco", f"log10_{factor}factor": 18.83, "width": width, "file": ["a", "b"]}
    report = build_report(inputs(process=process, targets=[target], limits={}))
    (table,) = [t for s in report.sections for t in s.tables if t.title == "Targets used"]
    cells = {c.name: x.text[0] for c, x in zip(table.columns, table.cells, strict=True)}
    assert cells["file"] == "a, b"
    assert cells[f"log10 {factor.upper()}"] == "18.83"
    assert cells.get("width") == shown


def test_numbers_as_statuses_and_several_results():
    table = limits_table()
    table["status"] = [0, 1, 2, 3, 4, 5]
    tables = {("dwarfs", j): table for j in ("profile", "fixed")}
    report = build_report(inputs(limits=tables, jfactors=["profile", "fixed"]))
    (made,) = [t for s in report.sections for t in s.tables if t.title == "All limits"]
    assert [c.name for c in made.columns][:2] == ["J treatment", "channel"]
    assert len(made.rows) == 12
    assert [row[-1] for row in made.rows[:3]] == ["found", "extrapolated", "grid_edge"]


def test_decay_has_its_own_words(write):
    table = limits_table()
    table.remove_columns(["sigmav", "sigmav_ul"])
    table["tau_ll"] = np.geomspace(1e25, 1e27, 6) * u.s
    text = text_of(
        write(build_report(inputs(process="decay", limits={("dwarfs", "profile"): table})))
    )
    assert "shorter lifetimes are excluded" in text
    assert "thermal relic" not in text
    assert "D-factors" in text
    assert "1.00 × 10 27 s (tau, 1000 GeV)" in text


@pytest.mark.parametrize("process", ["annihilation", "decay"])
def test_every_kind_of_plot_has_a_caption_and_is_shown(process):
    kinds = [*PLOT_KINDS, "new_kind"]
    plots = [PlotFile(kind, SVG, channel="b", target="draco", simulation="null") for kind in kinds]
    report = build_report(inputs(process=process, figures=plots, bands="toys"))
    figures = [figure for section in report.sections for figure in section.figures]
    assert len(figures) == len(kinds)
    for figure in figures:
        assert figure.alt
        assert not re.search(r"[{}]|  ", figure.caption)
        assert figure.caption.endswith((".", ")."))


def test_empty_analysis_still_reports(write):
    assert "There are no limits" in text_of(write(build_report(ReportInputs("Nothing"))))
