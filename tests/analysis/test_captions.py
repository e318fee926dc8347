"""What captions, headlines, alerts and tables of the report claim."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from dmgammapy.analysis import figures
from dmgammapy.analysis._report_captions import caption, column_of
from dmgammapy.analysis._report_content import PlotFile, build_report

from .figure_helpers import ensemble, stack_of
from .report_helpers import SVG, inputs, limits_table

BANDS = {
    "median": True, "contents": [0.68, 0.95], "n": 20, "holds": [0.648, 0.905],
    "source": "simulations",
}  # fmt: skip
KEY = ("dwarfs", "profile")


def said(kind, facts=None, channel="b", **changes):
    return caption(PlotFile(kind, SVG, channel=channel, facts=facts or {}), inputs(**changes))


def cls_table():
    """Limits by CLs, twice those of the profile, with their statuses."""
    table = limits_table()
    table["sigmav_ul_profile"] = table["sigmav_ul"].copy()
    table["sigmav_ul"] *= 2
    table["status_profile"] = ["found"] * 5 + ["extrapolated"]
    table["status"] = ["approximate"] * 2 + ["found"] * 4
    table["method"] = "cls"
    table.meta["limit_method"] = "cls"
    return table


# ---- bands -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["limits", "final_limits", "target_limits", "best_fits"])
def test_nothing_is_claimed_that_was_not_drawn(kind):
    """Neither where drawing the bands failed, nor where there were none."""
    for bands in ("toys", "asimov", None):
        text = said(kind, {"method": "profile"}, bands=bands)
        for word in ("band", "dashed", "median", "hatched", "Grey", "simulations"):
            assert word not in text, (kind, word)


def test_captions_follow_the_quantiles():
    simulated, _ = ensemble(n=200)
    stack = stack_of(["draco"])
    for q, words in (
        ([0.1, 0.5, 0.9], "The band holds 80 % of the limits of 200 simulations without signal, "
         "the dashed line is their median; where"),
        ([0.0228, 0.1587, 0.8413, 0.9772], "The bands hold 68.3 and 95.4 % of the limits of 200 "
         "simulations without signal; where"),
        ([0.1, 0.5], "The dashed line is the median of the limits of 200 simulations without "
         "signal. "),
    ):  # fmt: skip
        arguments = {"castro": stack, "channel": "b", "bands": simulated.quantiles(q)}
        text = said("limits", figures.figure_facts("limits", arguments))
        assert words in text
        assert "are few" not in text


def test_captions_tell_few_simulations():
    words = "20 simulations are few: on average their 95 % band holds 90.5 % of further ones."
    assert words in said("limits", {"bands": BANDS})
    assert "of the best fits of 20 simulations without signal" in said(
        "best_fits", {"bands": BANDS}
    )
    assert "of the limits of the 20 simulations, " in said("control_limits", {"bands": BANDS})
    asimov = BANDS | {"source": "asimov", "n": None, "holds": []}
    text = said("limits", {"bands": asimov})
    assert "no simulations" in text
    assert "are few:" not in text
    blank = said("final_limits", {"blank": BANDS})
    assert "The hatched area holds 68 % of the limits of 20 blank fields, the dash-dotted" in blank
    assert "every channel" not in blank


def test_few_simulations_raise_an_alert():
    plot = PlotFile("limits", SVG, channel="b", facts={"bands": BANDS})
    (alert,) = build_report(inputs(figures=[plot])).alerts
    assert alert.text.startswith("Bands rest on few simulations (20): on average the 95 % band")
    enough = PlotFile("limits", SVG, channel="b", facts={"bands": BANDS | {"n": 100}})
    control = PlotFile("control_limits", SVG, channel="b", facts={"bands": BANDS})
    assert build_report(inputs(figures=[enough, control])).alerts == []


# ---- methods ---------------------------------------------------------------------------------


def test_captions_tell_the_method():
    limits = {KEY: cls_table()}
    text = said("limits", {"method": "cls"}, limits=limits)
    assert "at 95 % confidence by CLs for channel b" in text
    for kind in ("castro", "target_limits", "likelihood_curves", "contributions"):
        text = said(kind, limits=limits)
        words = "These limits are by the profile likelihood, the main ones of this report by CLs."
        assert words in text, kind
        assert "main ones" not in said(kind)


def test_main_method_makes_headline_overview_and_columns():
    """The table of the profile begins with 9e-27."""
    report = build_report(inputs(limits={KEY: cls_table()}))
    facts = dict(report.facts)
    assert str(facts["Strongest limit"]).startswith("1.80\u2009×\u200910<sup>−26</sup> cm")
    assert facts["Strongest limit"].endswith("(b, 10 GeV; CLs)")
    assert facts["Limits by"] == "CLs; also profile likelihood"
    tables = {t.title: t for section in report.sections for t in section.tables}
    overview = tables["Limits by channel"]
    assert "Upper limits on ⟨σv⟩ at 95 % confidence by CLs; J profile." in overview.note
    assert overview.cells[1].text[0] == "1.80e-26"
    names = [column.name for column in tables["All limits"].columns]
    assert "⟨σv⟩ limit, profile likelihood" in names
    assert "method" not in names
    assert "without a method in their name are by CLs" in tables["All limits"].note
    assert dict(build_report(inputs()).facts)["Limits by"] == "profile likelihood"


def test_alerts_look_at_all_methods():
    texts = [alert.text for alert in build_report(inputs(limits={KEY: cls_table()})).alerts]
    assert texts == [
        "2 of 6 limits by CLs are not simply found inside the scanned range (approximate 2).",
        "1 of 6 limits by profile likelihood are not simply found inside the scanned range "
        "(extrapolated 1).",
    ]


def test_notes_on_what_stacks_lack_alone_are_left_out():
    """All methods are given Asimov data here, which is what the note of stacks is about."""
    notes = ["the scans of draco have no negative norms: CLs is approximate."]
    report = build_report(inputs(notes=notes))
    assert report.alerts == []
    assert "Notes" not in [section.title for section in report.sections]
    report = build_report(inputs(notes=notes, limits={KEY: cls_table()}))
    assert "Notes" not in [section.title for section in report.sections]
    assert column_of("sigmav_ul_power_constrained").name == "⟨σv⟩ limit, power-constrained"


# ---- the rest --------------------------------------------------------------------------------


def test_published_limits_at_another_level_are_named():
    curves = [{"label": "lat, 90 % CL", "cl": 0.9}, {"label": "veritas", "cl": None}]
    text = said("limits", {"published": [*curves, {"label": "magic, 95 % CL", "cl": 0.95}]})
    assert "Not at 95 % confidence: lat, 90 % CL." in text
    assert "not given: veritas." in text
    assert "magic" not in text
    assert "lat, 90" not in said("limits", {"published": curves}, cl=0.9)


def test_treatments_are_those_that_are_drawn():
    text = said("jfactor_treatments", {"treatments": ["profile", "marginal"]})
    assert "profile (free within their errors), marginal (averaged over their errors)" in text
    assert "fixed" not in text
    assert "J fixed and J with its error" in said("jfactor_treatments", {"treatments": ["fixed"]})


def test_controls_in_other_channels():
    for kind in ("control_limits", "control_best_fits"):
        same, other = (said(kind, {"injected": "b"}, channel) for channel in ("b", "tau"))
        assert "in channel b: in this channel the fit has a spectrum of another shape" in other
        assert "another shape" not in same
        assert "At" in same
        assert "star" not in said(kind)
    assert "in 5 % of the realisations" in said("control_limits", {"injected": "b"})


def test_energy_bins_have_their_own_level():
    assert "upper limits at 95 % confidence, where" in said("sed", {"cl": 0.95}, cl=0.9)


@pytest.mark.parametrize("names", [["coverage"], ["limit_above_truth"], []])
def test_coverage_is_called_so_only_where_it_is(names):
    controls = QTable({"simulation": ["s"], "n": [9]} | {name: [0.9] for name in names})
    report = build_report(inputs(limits={}, controls=controls))
    (table,) = [t for s in report.sections for t in s.tables if t.title == "Limits of simulations"]
    assert ("Coverage of 0.95 or more" in table.note) == (names == ["coverage"])
    assert ("only where J is drawn anew" in table.note) == (names == ["limit_above_truth"])


def test_controls_of_decay_are_lifetimes():
    controls = QTable({"simulation": ["s"], "n": [3], "injected": [1e-26] / u.s})
    controls["median_ul"] = [4e-26] / u.s
    controls["median_best"] = [0.0] / u.s
    report = build_report(inputs(process="decay", limits={}, controls=controls))
    (table,) = [t for s in report.sections for t in s.tables if t.title == "Limits of simulations"]
    found = {
        column.name: (cell.text[0], column.unit)
        for column, cell in zip(table.columns, table.cells, strict=True)
    }
    assert found["injected"] == ("1.00e+26", "s")
    assert found["median lifetime limit"] == ("2.50e+25", "s")
    assert found["median best fit"][1] == "s-1" or "1 / s" in found["median best fit"][1]
    assert np.isclose(controls["injected"][0].value, 1e-26)  # the given one stays
