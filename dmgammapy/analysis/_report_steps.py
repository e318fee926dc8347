"""Write summary, table of targets and report, from the results of all other tasks."""

import numpy as np
from astropy.table import QTable, Table

from dmgammapy import __version__
from dmgammapy.estimators import CastroMaps
from dmgammapy.targets.core import factor_name

from ._summary import write_summary

__all__ = ["report"]


class Outputs:
    """Results of other tasks by their path, read when asked for.

    Parameters
    ----------
    parents : dict
        As tasks get them.
    """

    def __init__(self, parents):
        self.paths = {name: path for paths in parents.values() for name, path in paths.items()}

    def castro(self, name):
        """`CastroMaps`, or None if there is none."""
        return CastroMaps.read(self.paths[name]) if name in self.paths else None

    def table(self, name):
        """`~astropy.table.QTable`, or None."""
        return QTable.read(self.paths[name]) if name in self.paths else None


def report(params, files, parents, folder):
    """Write ``summary.txt``, ``targets.ecsv`` and, if wanted, ``report.html``."""
    outputs = Outputs(parents)
    targets = table_of_targets(params)
    targets.write(folder / "targets.ecsv", format="ascii.ecsv")
    text = write_summary(params, outputs, targets, _notes_of_results(params))
    (folder / "summary.txt").write_text(text, encoding="utf-8")
    if params["report"]:
        from ._report_content import build_report
        from ._report_inputs import report_inputs
        from .report import write_report

        write_report(build_report(report_inputs(params, outputs, targets)), folder / "report.html")


def _notes_of_results(params):
    """Notes of stacks, simulations and so on that are not those of the likelihoods in them."""
    known = {note for info in params["info"].values() for note in info.get("notes", ())}
    return [note for note in params["result_notes"] if note not in known]


def table_of_targets(params):
    """Targets with J, instruments, files and highest TS; those not used with the reason."""
    factor = factor_name(params["process"])
    rows = []
    for members in params["members"]:
        first = members[0]
        target = first["target"]
        task = f"target/{params['jfactors'][0]}/{first['label']}"
        used = task in params["info"]
        peak = params["info"].get(task, {}).get("ts_max")
        made = [m for m in members if m["task"] in params["info"]]
        rows.append(
            {
                "name": target["name"],
                "label": first["label"],
                "profile": params["profiles"][first["label"]] or "",
                "version": target.get("version") or "",
                f"{factor}": float(target[f"{factor}"]),
                f"{factor}_err": _width(target.get(f"{factor}_err")),
                f"{factor}_from": params["factor_sources"][first["label"]],
                "instruments": ", ".join(instrument_of(m, params) for m in made),
                "files": ", ".join(member["shown"] for member in members),
                "ts_max": np.nan if peak is None else peak,
                "used": used,
                "reason": "" if used else "its likelihood could not be made",
            }
        )
    names = ["name", "label", "profile", "version", f"{factor}", f"{factor}_err"]
    names += [f"{factor}_from", "instruments", "files", "ts_max", "used", "reason"]
    empty = dict.fromkeys(names, "") | {f"{factor}": np.nan, "ts_max": np.nan, "used": False}
    for name, reason in params["skipped"].items():
        rows.append(empty | {"name": name, "label": name, "reason": reason})
    table = Table(rows=rows, names=names)
    table.meta.update(creator=f"dmgammapy {__version__}", process=params["process"])
    return table


def instrument_of(member, params):
    """Name of the instrument: what the configuration says, or the file."""
    return params["info"][member["task"]].get("instrument") or "unknown instrument"


def _width(value):
    """Width of log10 J as text: one number, or below and above."""
    if value is None or not np.all(np.isfinite(np.asarray(value, dtype=float))):
        return "none"
    values = np.atleast_1d(value)
    if len(values) == 1 or values[0] == values[1]:
        return f"{values[0]:.2f}"
    return f"-{values[0]:.2f} +{values[1]:.2f}"
