"""What the report tells, gathered from the results of all tasks."""

import astropy.units as u
import numpy as np
from astropy.table import QTable, Table

from dmgammapy import __version__
from dmgammapy.spectra import channel_label

from ._report_content import PlotFile, ReportInputs

__all__ = ["report_inputs"]

FILES = {
    "summary.txt": "Summary (text)",
    "limits.ecsv": "All limits (ECSV)",
    "targets.ecsv": "Targets (ECSV)",
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
    kind = "jfactor" if params["process"] == "annihilation" else "dfactor"
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
                "profile": row["profile"] or row["version"],
                "instruments": row["instruments"].split(", "),
                f"log10_{kind}": float(row[f"log10_{kind}"]),
                "width": row[f"log10_{kind}_err"],
                "ts_max": None if np.isnan(row["ts_max"]) else float(row["ts_max"]),
                "file": row["files"].split(", "),
            }
            for row in used
        ],
        skipped={row["label"]: row["reason"] for row in targets[~targets["used"]]},
        unused_files=params["unused_files"],
        limits=_tables(outputs, bases, "limits/{}/{}.ecsv", _combined),
        contributions=_tables(outputs, bases, "stacks/{}/{}_contributions.ecsv"),
        significance=_tables(outputs, bases, "significance/{}/{}.ecsv"),
        simulations=[_scenario(name, s) for name, s in params["scenarios"].items()],
        controls=_controls(params, outputs, bases),
        blank_fields=_blank_fields(outputs, bases),
        bands=None if params["bands"] == "none" else params["bands"],
        figures=[
            PlotFile(path=outputs.paths[name], **_about(about))
            for name, about in params["figures"].items()
            if name in outputs.paths
        ],
        notes=params["notes"] + _notes(params, outputs, bases),
        failures=params["failures"],
        links=[(label, name) for name, label in FILES.items() if name != "limits.ecsv"]
        + [(FILES["limits.ecsv"], "limits.ecsv")] * ("limits.ecsv" in outputs.paths),
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


def _about(about):
    known = ("kind", "roster", "jfactor", "channel", "target", "simulation", "instrument", "mass")
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
    table.remove_columns(["roster", "jfactor", "target"])
    return table


def _scenario(name, section):
    signal = section["injected"]
    text = None
    if signal is not None:
        strength = signal["sigmav"] or signal["tau"]
        text = f"{strength}, {signal['mass']}, {channel_label(signal['channel'])}"
    return {"name": name, "injected": text, "n": section["n"], "seed": section["seed"]}


def _controls(params, outputs, bases):
    """How simulations with a signal find it, at its mass and channel."""
    rows = []
    for name, section in params["scenarios"].items():
        signal = section["injected"]
        if signal is None:
            continue
        for base in bases:
            ensemble = outputs.castro(f"simulations/{name}/{base[0]}/{base[1]}.fits")
            label = channel_label(signal["channel"])
            if ensemble is not None and label in ensemble.channels:
                rows.append(_control(name, base, signal, label, ensemble))
    return QTable(rows=rows) if rows else None


def _control(name, base, signal, label, ensemble):
    mass = u.Quantity(signal["mass"])
    masses = ensemble.masses
    j = int(np.argmin(np.abs(np.log(masses / mass))))
    i = ensemble.channels.index(label)
    limit = ensemble.strength_ul.quantity[:, i, j, 0, 0]
    best = ensemble.strength.quantity[:, i, j, 0, 0]
    truth = u.Quantity(signal["sigmav"] or signal["tau"])
    if signal["sigmav"] is None:
        truth = (1 / truth).to("s-1")
    return {
        "simulation": name,
        "roster": base[0],
        "jfactor": base[1],
        "channel": label,
        "mass": masses[j].to("GeV"),
        "n": len(limit),
        "injected": truth.to(limit.unit),
        "median_best": np.nanmedian(best),
        "median_ul": np.nanmedian(limit),
        "coverage": float(np.mean(limit >= truth)),
        "median_ts": float(np.nanmedian(ensemble["ts"].data[:, i, j])),
    }


def _blank_fields(outputs, bases):
    rows = []
    for base in bases:
        ensemble = outputs.castro(f"blank/{base[0]}/{base[1]}.fits")
        if ensemble is None:
            continue
        ts = ensemble["ts"].data[..., 0, 0]
        for i, channel in enumerate(ensemble.channels):
            largest = np.nanmax(np.nan_to_num(ts[:, i]), axis=1)
            rows.append(
                {
                    "roster": base[0],
                    "jfactor": base[1],
                    "channel": channel,
                    "n": len(largest),
                    "median_largest_ts": float(np.median(largest)),
                    "largest_ts": float(largest.max()),
                }
            )
    return Table(rows=rows) if rows else None


def _notes(params, outputs, bases):
    """Notes of the stacks, each once."""
    notes = {}
    for base in bases:
        stack = outputs.castro(f"stacks/{base[0]}/{base[1]}.fits")
        for note in stack.meta.notes if stack is not None else ():
            notes.setdefault(note, None)
    return list(notes)
