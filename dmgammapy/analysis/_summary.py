"""The one-page summary of an analysis as text."""

import astropy.units as u
import numpy as np

from dmgammapy import __version__
from dmgammapy.estimators import LimitStatus
from dmgammapy.targets.core import factor_name

from ._limit_methods import PROFILE, limit_method, method_name, relevant_notes

__all__ = ["write_summary"]

MAX_ROWS = 12
MARKS = {
    LimitStatus.FOUND: " ",
    LimitStatus.EXTRAPOLATED: "*",
    LimitStatus.GRID_EDGE: ">",
    LimitStatus.NO_INFORMATION: "-",
    LimitStatus.APPROXIMATE: "~",
    LimitStatus.ALL_EXCLUDED: "!",
}
LEGEND = {
    "*": "* rests on an extrapolated scan",
    ">": "> lies outside of the scanned range",
    "~": "~ approximate: the width of the estimator was guessed",
    "!": "! no limit: the test excludes all strengths",
    "-": "- no information (below the channel's threshold, or no flux in any bin)",
}


def write_summary(params, outputs, targets, notes=()):
    """Text of the summary.

    Limits are those of ``limits/<roster>/<J treatment>.fits``, by the main method; where that file
    isn't there, those of the stack.

    Parameters
    ----------
    params : dict
        Of the report's task.
    outputs : `~dmgammapy.analysis._report_steps.Outputs`
    targets : `~astropy.table.Table`
        See `~dmgammapy.analysis._report_steps.table_of_targets`.
    notes : list of str
        Of stacks, simulations, bands and blank fields.

    Returns
    -------
    text : str
    """
    parts = [_head(params, targets)]
    for roster in params["rosters"]:
        for method in params["jfactors"]:
            combined = outputs.castro(f"limits/{roster}/{method}.fits")
            if combined is None:
                combined = outputs.castro(f"stacks/{roster}/{method}.fits")
            parts.append(_limits(params, roster, method, combined))
    parts += [
        _used(params, targets),
        _regions(params),
        _skipped(targets),
        _unused(params),
        _notes(params, relevant_notes(notes)),
        _failures(params),
        _tail(params),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _mass(mass):
    value = mass.to_value("GeV")
    text = f"{value:.4g}" if value < 1e4 else f"{value:.0f}"
    return f"{text} GeV"


def _head(params, targets):
    treatment = {
        "profile": "profiled",
        "marginal": "marginalised",
        "fixed": "fixed at the observed value",
    }
    factor = "J" if params["process"] == "annihilation" else "D"
    used = targets[targets["used"]]
    instruments = {name for text in used["instruments"] for name in text.split(", ") if name}
    masses = params["masses"] * u.GeV
    rows = [
        ("targets", f"{len(used)} of {len(targets)} used ({', '.join(sorted(instruments))})"),
        ("spectra", f"{params['spectra']}, {params['process']}"),
        ("channels", ", ".join(params["channels"])),
        ("masses", f"{len(masses)} from {_mass(masses[0])} to {_mass(masses[-1])}"),
        (f"{factor}-factors", ", ".join(treatment[name] for name in params["jfactors"])),
    ]
    if len(params["rosters"]) > 1:
        there = set(used["label"])
        names = [f"{name} ({len(there & set(own))})" for name, own in params["rosters"].items()]
        rows.insert(1, ("rosters", ", ".join(names)))
    name = params["config_name"]
    title = f"dmgammapy {__version__}" + (f": {name}" if name else "")
    return "\n".join([title, *(f"  {name:<10} {text}" for name, text in rows)])


def _limits(params, roster, method, combined):
    name = "Combined"
    if len(params["rosters"]) > 1:
        name = f"Roster {roster}:"
    if len(params["jfactors"]) > 1:
        name += f" {'J' if params['process'] == 'annihilation' else 'D'} {method},"
    if combined is None:
        return f"{name} no result, see the failed tasks"
    decay = combined.process == "decay"
    values = (combined.tau_ll if decay else combined.sigmav_ul).quantity[..., 0, 0].value
    status = combined["status"].data[..., 0, 0]
    what = "lower limits on the lifetime [s]" if decay else "upper limits on <sigma v> [cm3 s-1]"
    n_mass = len(combined.masses)
    shown = np.unique(np.round(np.linspace(0, n_mass - 1, min(n_mass, MAX_ROWS))).astype(int))
    width = [max(11, len(c) + 1) for c in combined.channels]
    by = limit_method(combined)
    by = "" if by == PROFILE else f", by {method_name(by)}"
    lines = [f"{name} {combined.meta.cl * 100:g} % {what}{by}"]
    lines.append(
        f"  {'mass':>10}  "
        + "".join(f"{c:>{w}}" for c, w in zip(combined.channels, width, strict=True)).rstrip()
    )
    marks = set()
    for j in shown:
        cells = []
        for i, w in enumerate(width):
            mark = MARKS[LimitStatus(int(status[i, j]))]
            marks.add(mark)
            text = f"{values[i, j]:.3e}" if np.isfinite(values[i, j]) else ""
            cells.append(f"{text + mark:>{w + 1}}"[: w + 1])
        lines.append((f"  {_mass(combined.masses[j]):>10} " + "".join(cells)).rstrip())
    lines += [f"  {text}" for mark, text in LEGEND.items() if mark in marks]
    hidden = n_mass - len(shown)
    if hidden:
        lines.append(f"  ... and {hidden} more masses in limits.ecsv")
    lines.append("  " + _highest_ts(combined))
    return "\n".join(lines)


def _peak(castro):
    """Highest TS and where it is, or None where nothing is known."""
    ts = castro["ts"].data[..., 0, 0]
    if not np.isfinite(ts).any():
        return None
    i, j = np.unravel_index(np.nanargmax(ts), ts.shape)
    return ts[i, j], castro.channels[i], castro.masses[j]


def _highest_ts(combined):
    peak = _peak(combined)
    if peak is None:
        return "highest TS: none"
    ts, channel, mass = peak
    if ts == 0:
        return "highest TS: 0 (no mass or channel prefers a signal)"
    return f"highest TS: {ts:.2f} ({channel}, {_mass(mass)}; local)"


def _used(params, targets):
    factor = factor_name(params["process"])
    used = targets[targets["used"]]
    rows = [("target", f"log10 {factor.removeprefix('log10_')[0].upper()}", "+-", "TS max", "file")]
    for row in used:
        peak = row["ts_max"]
        rows.append(
            (
                row["label"],
                f"{row[f'{factor}']:.2f}",
                row[f"{factor}_err"],
                f"{peak:.2f}" if np.isfinite(peak) else "-",
                row["files"],
            )
        )
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    lines = [f"Targets used ({len(used)})"]
    for row in rows:
        cells = [f"{row[0]:<{widths[0]}}", *(f"{row[k]:>{widths[k]}}" for k in (1, 2, 3)), row[4]]
        lines.append("  " + "  ".join(cells))
    return "\n".join(lines)


def _regions(params):
    """Fitted regions, a line for each dataset."""
    rows = [("region", "dataset", "events", "good time", "-2 ln L", "models", "free")]
    regions = params.get("regions", [])
    for region in regions:
        name = ", ".join(part for part in (region["target"], region["instrument"]) if part)
        for k, dataset in enumerate(region.get("datasets", ())):
            time = f"{dataset['good_time']:.6g} s" if "good_time" in dataset else "-"
            fit = (f"{region['stat']:.2f}", str(region["sources"]), str(region["free"]))
            rows.append(
                (name, dataset["name"], f"{dataset['events']:.0f}", time)
                + (fit if k == 0 else ("", "", ""))
            )
            name = ""
    if len(rows) == 1:
        return ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"Regions ({len(regions)})"]
    for row in rows:
        left = [f"{text:<{w}}" for text, w in zip(row[:2], widths, strict=False)]
        right = [f"{text:>{w}}" for text, w in zip(row[2:], widths[2:], strict=True)]
        lines.append("  " + "  ".join([*left, *right]).rstrip())
    return "\n".join(lines)


def _skipped(targets):
    skipped = targets[~targets["used"]]
    lines = [f"Targets skipped ({len(skipped)})"]
    for row in skipped:
        lines.append(f"  {row['label']}: " + row["reason"].replace("\n", "\n    "))
    return "\n".join(lines)


def _unused(params):
    unused = params["unused_files"]
    if not unused:
        return ""
    lines = [f"Files of no target in the roster ({len(unused)})"]
    lines += [f"  {path} ({name})" for path, name in unused.items()]
    return "\n".join(lines)


def _notes(params, more=()):
    """Notes of the plan, the conversions and results; equal ones of several targets only once."""
    groups = {}
    members = [member for found in params["members"] for member in found]
    for member in members:
        for note in params["info"].get(member["task"], {}).get("notes", ()):
            name, _, text = note.partition(": ")
            if name not in (member["label"], member["target"]["name"]):
                name, text = member["label"], note
            groups.setdefault(text, []).append(name)
    lines = [f"  {note}" for note in dict.fromkeys([*params["notes"], *more])]
    for text, names in groups.items():
        who = "all targets" if len(names) == len(members) else ", ".join(dict.fromkeys(names))
        lines.append(f"  {who}: {text}")
    return "\n".join(["Notes", *lines]) if lines else ""


def _failures(params):
    if not params["failures"]:
        return ""
    lines = [f"Failed tasks ({len(params['failures'])})"]
    for failure in params["failures"]:
        lines.append(f"  {failure['task']}: " + failure["error"].replace("\n", "\n    "))
        lines.append(f"    repeat it: {failure['command']}")
    return "\n".join(lines)


def _tail(params):
    what = "likelihoods, limits.ecsv, summary.txt"
    what += ", plots/" if params["plots"] else ""
    what += ", report.html" if params["report"] else ""
    return f"Results: {what}"
