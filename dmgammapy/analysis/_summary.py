"""The one-page summary of an analysis as text."""

import os
from pathlib import Path

import numpy as np

from dmgammapy import __version__
from dmgammapy.estimators import LimitStatus

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


def write_summary(analysis):
    """Text of the summary.

    Parameters
    ----------
    analysis : `~dmgammapy.analysis.DMAnalysis`
        After its steps have run.

    Returns
    -------
    text : str
    """
    parts = [
        _head(analysis),
        _limits(analysis),
        _used(analysis),
        _skipped(analysis),
        _unused(analysis),
        _notes(analysis),
        _tail(analysis),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _mass(mass):
    value = mass.to_value("GeV")
    text = f"{value:.4g}" if value < 1e4 else f"{value:.0f}"
    return f"{text} GeV"


def _head(analysis):
    config, combined = analysis.config, analysis.combined
    masses = combined.masses
    path = config.path
    treatment = {
        "profile": "profiled",
        "marginal": "marginalised",
        "fixed": "fixed at the observed value",
    }[config.jfactor.method]
    factor = "J" if config.process == "annihilation" else "D"
    instruments = sorted({c.meta.instrument or "unknown instrument" for c in analysis.castros})
    n_all = len(analysis.targets) + len(analysis.skipped)
    rows = [
        ("targets", f"{len(analysis.targets)} of {n_all} used ({', '.join(instruments)})"),
        ("spectra", f"{analysis.spectra.name}, {config.process}"),
        ("channels", ", ".join(combined.channels)),
        ("masses", f"{len(masses)} from {_mass(masses[0])} to {_mass(masses[-1])}"),
        (f"{factor}-factors", treatment),
    ]
    title = f"dmgammapy {__version__}" + (f": {path}" if path else "")
    return "\n".join([title, *(f"  {name:<10} {text}" for name, text in rows)])


def _limits(analysis):
    combined = analysis.combined
    decay = combined.process == "decay"
    values = (combined.tau_ll if decay else combined.sigmav_ul).quantity[..., 0, 0].value
    status = combined["status"].data[..., 0, 0]
    what = "lower limits on the lifetime [s]" if decay else "upper limits on <sigma v> [cm3 s-1]"
    n_mass = len(combined.masses)
    shown = np.unique(np.round(np.linspace(0, n_mass - 1, min(n_mass, MAX_ROWS))).astype(int))
    width = [max(11, len(c) + 1) for c in combined.channels]
    lines = [f"Combined {combined.meta.cl * 100:g} % {what}"]
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


def _width_text(err):
    if err is None or not np.all(np.isfinite(err)):
        return "none"
    values = np.atleast_1d(err)
    if len(values) == 1 or values[0] == values[1]:
        return f"{values[0]:.2f}"
    return f"-{values[0]:.2f} +{values[1]:.2f}"


def _folder_of(paths):
    """Folder that holds all of these files."""
    return Path(os.path.commonpath([Path(path).parent for path in paths]))


def _used(analysis):
    kind = "jfactor" if analysis.config.process == "annihilation" else "dfactor"
    letter = kind[0].upper()
    folder = _folder_of(analysis.files.values())
    rows = [("target", f"log10 {letter}", "+-", "TS max", "file")]
    for target, castro in zip(analysis.targets, analysis.castros, strict=True):
        peak = _peak(castro)
        rows.append(
            (
                target.name,
                f"{getattr(target, f'log10_{kind}'):.2f}",
                _width_text(getattr(target, f"log10_{kind}_err")),
                "-" if peak is None else f"{peak[0]:.2f}",
                str(analysis.files[target.name].relative_to(folder)),
            )
        )
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    lines = [f"Targets used ({len(analysis.targets)}), files in {folder}"]
    for row in rows:
        cells = [f"{row[0]:<{widths[0]}}", *(f"{row[k]:>{widths[k]}}" for k in (1, 2, 3)), row[4]]
        lines.append("  " + "  ".join(cells))
    return "\n".join(lines)


def _skipped(analysis):
    lines = [f"Targets skipped ({len(analysis.skipped)})"]
    for name, reason in analysis.skipped.items():
        lines.append(f"  {name}: " + reason.replace("\n", "\n    "))
    return "\n".join(lines)


def _unused(analysis):
    if not analysis.unused_files:
        return ""
    lines = [f"Files of no target in the roster ({len(analysis.unused_files)})"]
    lines += [f"  {path} ({name})" for path, name in analysis.unused_files.items()]
    return "\n".join(lines)


def _notes(analysis):
    """Notes of the conversions; equal ones of several targets only once."""
    groups = {}
    for castro in analysis.castros:
        for note in castro.meta.notes:
            name, _, text = note.partition(": ")
            groups.setdefault(text, []).append(name)
    if not groups:
        return ""
    lines = ["Notes"]
    for text, names in groups.items():
        who = "all targets" if len(names) == len(analysis.castros) else ", ".join(names)
        lines.append(f"  {who}: {text}")
    return "\n".join(lines)


def _tail(analysis):
    what = "likelihoods, limits.ecsv, summary.txt"
    if analysis.config.plots.enabled:
        what += ", plots/"
    time = "" if analysis.seconds is None else f"; {analysis.seconds:.1f} s"
    return f"Results in {analysis.output} ({what}){time}"
