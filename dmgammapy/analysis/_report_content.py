"""What the report of an analysis says: from its results to a `Report`."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import Table
from markupsafe import Markup

from dmgammapy.estimators.castro_ensemble import are_few
from dmgammapy.estimators.significance import local_p_value, p_value_to_significance
from dmgammapy.visualization._style import percent

from ._limit_methods import PROFILE, method_name, relevant_notes
from ._report_captions import CONTROLS, PLOT_KINDS, caption, kind_title, section_of
from ._report_regions import region_links, region_tables
from ._report_results import (
    cell,
    contribution_tables,
    control_tables,
    floats,
    limit_tables,
    of_first_target,
    significance_tables,
    statuses,
    strength_of,
    target_tables,
    used_columns,
)
from ._report_tables import Column, format_value, typeset, typeset_unit
from .report import Alert, Report, ReportFigure, ReportTable, Section

__all__ = ["PlotFile", "ReportInputs", "build_report"]

TREATMENTS = {
    "profile": "free within its error (profiled)",
    "marginal": "averaged over its error (marginalised)",
    "fixed": "fixed at the observed value",
}


@dataclass(frozen=True)
class PlotFile:
    """A figure that the steps have drawn.

    Parameters
    ----------
    kind : str
        One of `PLOT_KINDS`; others are shown last.
    path : str or `~pathlib.Path`
        PNG or SVG.
    roster, jfactor, channel, target, simulation, instrument : str, optional
        What it is about. The reader chooses by what differs among the figures of a kind.
    mass : str, optional
        Such as "100 GeV".
    caption : str
        Added to the caption of the kind.
    facts : dict
        What it shows, of `dmgammapy.analysis.figures.figure_facts`. The caption claims nothing
        that isn't among them.
    """

    kind: str
    path: str | Path
    roster: str | None = None
    jfactor: str | None = None
    channel: str | None = None
    target: str | None = None
    simulation: str | None = None
    instrument: str | None = None
    mass: str | None = None
    caption: str = ""
    facts: dict = field(default_factory=dict)


@dataclass
class ReportInputs:
    """Results of an analysis, as `build_report` wants them.

    Tables are `~astropy.table.Table`; those by roster and J treatment are dicts with the keys
    ``(roster, jfactor)``. What is empty is left out of the report.

    Parameters
    ----------
    title : str
    process : {"annihilation", "decay"}
    cl : float
    limit_method : str, optional
        Method of the main limits. Default is what the tables of limits say (their metadata
        ``limit_method``), otherwise "profile".
    spectra : str
        Name of the source of spectra.
    channels : list of str
    masses : `~astropy.units.Quantity`
    jfactors : list of str
        Treatments of J, the main one first.
    rosters : dict
        Names of targets by roster, the main one first.
    instruments : list of str
    targets : list of dict
        ``name, profile, instruments, log10_jfactor, width, ts_max, file`` (``log10_dfactor`` for
        decay; ``width`` may be a pair of a lower and an upper one); what is not known may
        be None or absent. ``file`` may be a list.
    regions : list of dict
        Of each fitted region ``target, instrument, file`` (path of the table of sources), ``table``
        (the same, as `ROIFit.to_table`, or None) and what `region_facts` says.
    skipped : dict
        Reason by target.
    unused_files : dict
        Name of the target by file.
    limits, contributions, significance : dict of table
        As of `CastroMaps.to_table` (``channel, mass, sigmav_ul, status, ts`` and more; of other
        methods ``sigmav_ul_<method>, status_<method>``),
        `StackedDMLikelihood.contributions`, `SignificanceEstimator.run`.
    simulations : list of dict
        ``name, injected`` (text, or None for no signal), ``n, seed`` and more.
    controls : table, optional
        Of simulations: ``simulation, roster, jfactor, channel, mass, n, injected, coverage`` (or
        ``limit_above_truth``), ``median_ul`` and more. Decay rates are shown as lifetimes.
    blank_fields : table, optional
        The same of blank fields.
    bands : {"toys", "asimov", None}
        Where the bands of figures should come from; captions go by `PlotFile.facts`.
    figures : list of `PlotFile`
    notes : list of str
    failures : list of dict
        ``task, error, command`` and, if known, ``inputs, traceback_file``.
    links : list of tuple
        ``(label, path)``, relative to the report.
    version : str
    config_text : str
    config_file : str
    seeds : dict
    inputs : list of tuple
        ``(name, file, sha256)``.
    keys : dict
        Key of the result by task.
    """

    title: str
    process: str = "annihilation"
    cl: float = 0.95
    limit_method: str | None = None
    spectra: str = ""
    channels: list = field(default_factory=list)
    masses: u.Quantity | None = None
    jfactors: list = field(default_factory=lambda: ["profile"])
    rosters: dict = field(default_factory=dict)
    instruments: list = field(default_factory=list)
    targets: list = field(default_factory=list)
    regions: list = field(default_factory=list)
    skipped: dict = field(default_factory=dict)
    unused_files: dict = field(default_factory=dict)
    limits: dict = field(default_factory=dict)
    contributions: dict = field(default_factory=dict)
    significance: dict = field(default_factory=dict)
    simulations: list = field(default_factory=list)
    controls: Table | None = None
    blank_fields: Table | None = None
    bands: str | None = None
    figures: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    failures: list = field(default_factory=list)
    links: list = field(default_factory=list)
    version: str = ""
    config_text: str = ""
    config_file: str = ""
    seeds: dict = field(default_factory=dict)
    inputs: list = field(default_factory=list)
    keys: dict = field(default_factory=dict)

    @property
    def factor(self):
        """Letter of the astrophysical factor."""
        return "D" if self.process == "decay" else "J"

    @property
    def main_method(self):
        """Method of the main limits."""
        table = next(iter(self.limits.values()), None)
        said = None if table is None else table.meta.get("limit_method")
        return self.limit_method or said or PROFILE

    @property
    def methods(self):
        """Methods of all limits, the main one first."""
        names = [name for table in self.limits.values() for name in table.colnames]
        found = [name.removeprefix("status_") for name in names if name.startswith("status_")]
        return list(dict.fromkeys([self.main_method, *found]))


def build_report(inputs):
    """Lay out the report of an analysis.

    Parameters
    ----------
    inputs : `ReportInputs`

    Returns
    -------
    report : `~dmgammapy.analysis.report.Report`

    Examples
    --------
    >>> from dmgammapy.analysis._report_content import ReportInputs, build_report
    >>> report = build_report(ReportInputs("Dwarfs", skipped={"draco": "no J-factor"}))
    >>> print(report.alerts[0].text)
    1 target was skipped.
    """
    figures = _figures(inputs)
    sections = [
        *_failures(inputs),
        *_section("Limits", figures, limit_tables(inputs), _limits_text(inputs)),
        *_section("Targets", figures, target_tables(inputs)),
        *_section("Regions", figures, region_tables(inputs), links=region_links(inputs)),
        *_section("Contributions", figures, contribution_tables(inputs)),
        *_section("Significance", figures, significance_tables(inputs)),
        *_section("Controls", figures, control_tables(inputs), _control_text(inputs)),
        *_section("Likelihoods", figures),
        *_section("Further figures", figures),
        *_notes(inputs),
        *_inputs_and_keys(inputs),
    ]
    return Report(
        title=inputs.title,
        facts=_facts(inputs),
        sections=sections,
        provenance=_provenance(inputs),
        links=inputs.links,
        alerts=_alerts(inputs),
    )


def _count(n, one, many=None):
    return f"{n} {one if n == 1 else many or one + 's'}"


def _quantity(value, unit, spec=".2e"):
    text = typeset(format_value(float(value), spec))
    return text + Markup(" ") + typeset_unit(unit)


def _alerts(inputs):
    alerts = []
    n = len(inputs.failures)
    if n:
        text = f"{_count(n, 'task')} failed; what depends on {'it' if n == 1 else 'them'} is "
        alerts.append(Alert("error", f"{text}missing below.", "Failures"))
    n = len(inputs.skipped)
    if n:
        text = f"{_count(n, 'target')} {'was' if n == 1 else 'were'} skipped."
        alerts.append(Alert("warning", text, "Targets"))
    alerts += _status_alerts(inputs)
    alerts += _few_simulations(inputs)
    n = len(inputs.unused_files)
    if n:
        text = f"{_count(n, 'file')} {'belongs' if n == 1 else 'belong'} to no target."
        alerts.append(Alert("info", text, "Targets"))
    n = len(_notes_of(inputs))
    if n:
        text = f"{_count(n, 'note')} on how the results were made."
        alerts.append(Alert("info", text, "Notes"))
    return alerts


def _status_alerts(inputs):
    """What limits of each method are worth that are not simply found."""
    alerts = []
    for method in inputs.methods:
        column = "status" if method == inputs.main_method else f"status_{method}"
        found = [status for table in inputs.limits.values() for status in statuses(table, column)]
        kinds = {}
        for status in found:
            if status not in ("found", "None", ""):
                kinds[status] = kinds.get(status, 0) + 1
        if not kinds:
            continue
        what = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in sorted(kinds.items()))
        by = "" if inputs.methods == [PROFILE] else f" by {method_name(method)}"
        text = f"{sum(kinds.values())} of {len(found)} limits{by} are not simply found inside the "
        alerts.append(Alert("warning", f"{text}scanned range ({what}).", "Limits"))
    return alerts


def _few_simulations(inputs):
    """Bands of so few simulations that they hold less than they say."""
    drawn = [plot.facts.get("bands") for plot in inputs.figures if plot.kind not in CONTROLS]
    few = [band for band in drawn if band and are_few(band["n"], band["contents"])]
    if not few:
        return []
    band = min(few, key=lambda band: band["n"])
    text = (
        f"Bands rest on few simulations ({band['n']}): on average the "
        f"{percent(band['contents'][-1])} % band holds {percent(band['holds'][-1])} % of further "
        "ones."
    )
    return [Alert("warning", text, "Limits")]


def _facts(inputs):
    n_used, n_all = len(inputs.targets), len(inputs.targets) + len(inputs.skipped)
    facts = [("Targets", f"{n_used} of {n_all} used")]
    if len(inputs.rosters) > 1:
        text = ", ".join(f"{name} ({len(names)})" for name, names in inputs.rosters.items())
        facts.append(("Rosters", text))
    facts += [
        ("Instruments", ", ".join(inputs.instruments)),
        ("Process", inputs.process),
        ("Spectra", inputs.spectra),
        ("Channels", ", ".join(inputs.channels)),
    ]
    if inputs.masses is not None and len(inputs.masses):
        ends = [format_value(m) for m in inputs.masses[[0, -1]].to_value("GeV")]
        n = len(inputs.masses)
        facts.append(("Masses", f"{n} from {ends[0]} to {ends[1]} GeV" if n > 1 else ends[0]))
    treatments = "; ".join(TREATMENTS.get(name, name) for name in inputs.jfactors)
    facts.append((f"{inputs.factor}-factors", treatments))
    facts.append(("Confidence level", f"{100 * inputs.cl:g} %"))
    facts.append(("Limits by", _methods_text(inputs)))
    facts += _headlines(inputs)
    return [(name, value) for name, value in facts if value]


def _methods_text(inputs):
    main, *others = [method_name(method) for method in inputs.methods]
    return f"{main}; also {', '.join(others)}" if others else main


def _headlines(inputs):
    """Strongest limit, by the main method, and largest TS of the main result."""
    table = _main(inputs.limits)
    name = strength_of(table)
    if name is None or not len(table):
        return []
    table = of_first_target(table)
    found = []
    values = floats(table, name)
    if np.isfinite(values).any():
        best = np.nanargmax(values) if name == "tau_ll" else np.nanargmin(values)
        text = _quantity(values[best], table[name].unit)
        found.append(("Strongest limit", text + _where(table, best, _by(inputs))))
    ts = floats(table, "ts") if "ts" in table.colnames else np.array([np.nan])
    if np.isfinite(ts).any():
        best = np.nanargmax(ts)
        text = f"{ts[best]:.2f}"
        if ts[best] > 0:
            z = p_value_to_significance(local_p_value(ts[best]))
            text += _where(table, best, f"; local {z:.1f} σ")
        found.append(("Largest TS", text))
    return found


def _by(inputs):
    return "" if inputs.main_method == PROFILE else f"; {method_name(inputs.main_method)}"


def _where(table, row, more=""):
    mass = format_value(float(floats(table, "mass")[row]))
    return f" ({table['channel'][row]}, {mass} {table['mass'].unit or 'GeV'}{more})"


def _main(tables):
    return next(iter(tables.values()), None)


def _limits_text(inputs):
    if not inputs.limits:
        return ["There are no limits: the steps that make them have not run, or failed."]
    return []


def _control_text(inputs):
    if not (inputs.simulations or inputs.controls is not None or inputs.blank_fields is not None):
        return []
    return [
        "Simulated data and empty fields of the sky went through the same analysis as the targets. "
        "Where a signal was injected, the limits must not exclude it more often than the "
        "confidence level allows, if all that is uncertain was drawn anew; where none was, they "
        "show what chance alone does."
    ]


def _figures(inputs):
    """Figures by section and kind, in the order of the kinds."""
    order = {kind: k for k, kind in enumerate(PLOT_KINDS)}
    plots = sorted(inputs.figures, key=lambda plot: order.get(plot.kind, len(order)))
    found = {}
    for plot in plots:
        title = kind_title(plot.kind, inputs.factor)
        choices = {
            "Roster": plot.roster,
            "J treatment".replace("J", inputs.factor): plot.jfactor,
            "Simulation": plot.simulation,
            "Target": plot.target,
            "Instrument": plot.instrument,
            "Channel": plot.channel,
            "Mass": plot.mass,
        }
        choices = {name: value for name, value in choices.items() if value is not None}
        about = ", ".join(f"{name.lower()} {value}" for name, value in choices.items())
        figure = ReportFigure(
            source=plot.path,
            caption=caption(plot, inputs),
            alt=f"{title}: {about}" if about else title,
            group=title,
            choices=choices or {"Figure": Path(plot.path).stem},
        )
        found.setdefault(section_of(plot.kind), {}).setdefault(title, []).append(figure)
    return found


def _section(title, figures, tables=(), text=(), links=()):
    """A section with its figures by kind below it; nothing if there is nothing."""
    by_kind = figures.get(title, {})
    if not (by_kind or tables or text):
        return []
    sections = [Section(title, text=list(text), links=list(links))]
    sections += [Section(kind, figures=group, level=3) for kind, group in by_kind.items()]
    sections += [Section(table.title, tables=[table], level=3) for table in tables]
    return sections


def _failures(inputs):
    if not inputs.failures:
        return []
    columns = [
        Column("task"),
        Column("error"),
        Column("command that repeats it", format="code"),
        Column("inputs"),
    ]
    keys = ("task", "error", "command", "inputs")
    rows = [[cell(one.get(key)) for key in keys] for one in inputs.failures]
    files = [(one["task"], one.get("traceback_file")) for one in inputs.failures]
    links = [(f"Traceback of {task}", path) for task, path in files if path and _is_near(path)]
    notes = [f"Traceback of {task}: {path}" for task, path in files if path and not _is_near(path)]
    text = ["These tasks failed; all that does not depend on them is complete."]
    table = ReportTable("Failed tasks", *used_columns(columns, rows), missing="not known")
    return [Section("Failures", text=text, tables=[table], links=links, notes=notes)]


def _is_near(path):
    return not Path(path).is_absolute()


def _notes(inputs):
    notes = [str(note) for note in _notes_of(inputs)]
    return [Section("Notes", notes=notes)] if notes else []


def _notes_of(inputs):
    return relevant_notes(inputs.notes)


def _inputs_and_keys(inputs):
    sections = []
    if inputs.config_text:
        title = "Configuration"
        text = [f"From {inputs.config_file}."] if inputs.config_file else []
        sections.append(Section(title, text=text, code=inputs.config_text, collapsed=True))
    tables = []
    if inputs.inputs:
        rows = [[name, str(path), sha] for name, path, sha in inputs.inputs]
        tables.append(ReportTable("Input files", ["input", "file", "SHA-256"], rows))
    if inputs.keys:
        rows = [[task, key] for task, key in inputs.keys.items()]
        note = "A result is used again only while its key, the hash of all it depends on, holds."
        tables.append(ReportTable("Keys of the results", ["task", "key"], rows, note))
    if tables:
        sections.append(Section("Inputs and keys", tables=tables, collapsed=True))
    return sections


def _provenance(inputs):
    entries = [("Made with", f"dmgammapy {inputs.version}" if inputs.version else "")]
    entries.append(("Configuration", inputs.config_file))
    entries += [(f"Seed of {name}", str(seed)) for name, seed in inputs.seeds.items()]
    if inputs.inputs:
        entries.append(("Inputs", f"{_count(len(inputs.inputs), 'file')}, by content (SHA-256)"))
    return [(name, value) for name, value in entries if value]
