"""What the report tells, gathered from the results of all tasks."""

import astropy.units as u
import numpy as np

from dmgammapy import __version__
from dmgammapy.spectra import channel_label
from dmgammapy.targets.core import factor_name

from ._report_content import PlotFile, ReportInputs
from ._report_controls import blank_fields, controls

__all__ = ["report_inputs"]

FILES = {
    "summary.txt": "Summary (text)",
    "targets.ecsv": "Targets (ECSV)",
    "limits.ecsv": "All limits (ECSV)",
}


def report_inputs(params, outputs, targets):
    """`ReportInputs` of an analysis.

    Parameters
    ----------
    params : dict
        Of the report's task.
    outputs : `~dmgammapy.analysis._report_steps.Outputs`
    targets : `~astropy.table.Table`
        See `~dmgammapy.analysis._report_steps.table_of_targets`.
    """
    used = targets[targets["used"]]
    factor = factor_name(params["process"])
    instruments = {name for text in used["instruments"] for name in text.split(", ") if name}
    bases = [(roster, method) for roster in params["rosters"] for method in params["jfactors"]]
    return ReportInputs(
        title=_title(params),
        process=params["process"],
        cl=params["cl"],
        spectra=params["spectra"],
        channels=params["channels"],
        masses=params["masses"] * u.GeV,
        jfactors=params["jfactors"],
        rosters=params["rosters"],
        instruments=sorted(instruments),
        targets=[
            {
                "name": row["label"],
                "profile": _profile(row, factor),
                "instruments": row["instruments"].split(", "),
                f"{factor}": float(row[f"{factor}"]),
                "width": row[f"{factor}_err"],
                "ts_max": None if np.isnan(row["ts_max"]) else float(row["ts_max"]),
                "file": row["files"].split(", "),
            }
            for row in used
        ],
        regions=[region | {"table": outputs.table(region["file"])} for region in params["regions"]],
        skipped={row["label"]: row["reason"] for row in targets[~targets["used"]]},
        unused_files=params["unused_files"],
        limits=_tables(outputs, bases, "limits/{}/{}.ecsv", _combined),
        contributions=_tables(outputs, bases, "stacks/{}/{}_contributions.ecsv"),
        significance=_tables(outputs, bases, "significance/{}/{}.ecsv"),
        simulations=[_scenario(name, s) for name, s in params["scenarios"].items()],
        controls=controls(params, outputs, bases),
        blank_fields=blank_fields(outputs, bases),
        bands=None if params["bands"] == "none" else params["bands"],
        figures=[
            PlotFile(path=outputs.paths[name], **_about(about))
            for name, about in params["figures"].items()
            if name in outputs.paths
        ],
        notes=params["notes"] + params["result_notes"],
        limit_method=params["limit_methods"][0],
        failures=params["failures"],
        links=[
            (label, name)
            for name, label in FILES.items()
            if name != "limits.ecsv" or name in outputs.paths  # the others are written with it
        ],
        version=__version__,
        config_text=params["config_text"] or "",
        config_file=params["config_name"] or "",
        seeds={name: section["seed"] for name, section in params["scenarios"].items()},
        inputs=[tuple(row) for row in params["inputs"]],
        keys=params["keys"],
    )


def _title(params):
    what = "annihilation" if params["process"] == "annihilation" else "decay"
    rosters = list(params["rosters"])
    name = f": {', '.join(rosters)}" if rosters != ["all"] else ""
    return f"Dark matter {what}{name}"


def _profile(row, factor):
    """Profile or version of a J-factor; that it is another's must not be overlooked."""
    text, source = row["profile"] or row["version"], row[f"{factor}_from"]
    return text if source == "table" else ", ".join(part for part in (text, source) if part)


def _about(about):
    known = ("kind", "roster", "jfactor", "channel", "target", "simulation", "instrument", "mass")
    known += ("facts",)
    return {name: value for name, value in about.items() if name in known}


def _tables(outputs, bases, pattern, select=None):
    found = {}
    for base in bases:
        table = outputs.table(pattern.format(*base))
        if table is not None:
            found[base] = table if select is None else select(table)
    return found


def _combined(table):
    """Rows of the combination alone."""
    table = table[table["target"] == "combined"]
    table.remove_columns(["roster", "jfactor", "target", "method"])
    return table


def _scenario(name, section):
    signal = section["injected"]
    text = None
    if signal is not None:
        strength = signal["sigmav"] or signal["tau"]
        text = f"{strength}, {signal['mass']}, {channel_label(signal['channel'])}"
    true = section["log10_jfactor"] if section["profile"] is None else section["profile"]
    return {
        "name": name,
        "injected": text,
        "n": section["n"],
        "seed": section["seed"],
        "true_J": None if signal is None else true,
        "observed_J": "drawn anew" if section["redraw_jfactor"] else "as it is",
    }
