"""The last task: summary, table of targets and report of all that was done."""

from pathlib import Path

from ._members import shown_path
from ._overrides import factor_source
from ._tasks import Task
from .store import hash_file

__all__ = ["report_task"]


def report_task(plan, runner):
    """Task that writes the summary, the table of targets and, if wanted, the report.

    Parameters
    ----------
    plan : `~dmgammapy.analysis._plan.Plan`
    runner : `~dmgammapy.analysis._run.Runner`
        That has done, or looked at, all other tasks.
    """
    config = plan.config
    outputs = ["summary.txt", "targets.ecsv"]
    if config.report:
        outputs.append("report.html")
    members = plan.members
    described = [
        [members.describe(member, name) for name in member.files] for member in members.all.values()
    ]
    source = config.path
    params = {
        "config_text": config.text if config.is_as_written else None,
        "config_name": None if source is None else source.name,
        "process": config.process,
        "cl": config.limits.cl,
        "spectra": plan.spectra.name,
        "channels": config.channel_labels,
        "masses": config.mass_grid.to_value("GeV").tolist(),
        "jfactors": config.jfactor.methods,
        "rosters": {
            name: [member.label for member in found] for name, found in members.rosters.items()
        },
        "members": described,
        "profiles": {label: member.profile for label, member in members.all.items()},
        "skipped": members.skipped,
        "unused_files": {str(path): name for path, name in members.unused_files.items()},
        "notes": [*members.notes, *plan.notes],
        "scenarios": {
            name: section.model_dump(mode="json") for name, section in config.scenarios.items()
        },
        "bands": config.expected_bands.method,
        "limit_methods": config.limits.methods,
        "extra_widths": bool(config.jfactor.extra_widths),
        "factor_sources": {
            label: factor_source(
                config, member.target, member.profile, member.target.key in members.of_shape
            )
            for label, member in members.all.items()
        },
        "failures": [
            {
                "task": failure.task,
                "error": failure.error,
                "inputs": sorted(set(failure.inputs.values())),
                "command": failure.command,
                "blocked": len(failure.blocked),
            }
            for failure in runner.failures.values()
        ],
        "report": config.report,
        "plots": config.plots.enabled,
    }
    lost = ("failed", "blocked")
    made = [id for id in plan.tasks if runner.states.get(id, "failed") not in lost]
    params["info"] = {
        id: (runner.store.record(id) or {}).get("info", {})
        for id in made
        if plan.tasks[id].step in ("castro", "target")
    }
    params["regions"] = _regions(plan, runner.store, set(made))
    params["result_notes"] = _notes_of_results(plan, runner.store, made)
    if config.report:
        there = set(made)
        drawn = [task for task in plan.tasks.values() if "about" in task.params]
        params["figures"] = {
            task.outputs[0]: task.params["about"] | _info(runner.store, task.id, there)
            for task in drawn
        }
        paths = {path for task in plan.tasks.values() for path in task.files.values()}
        params["inputs"] = [
            [Path(path).stem, shown_path(config, Path(path)), hash_file(path)]
            for path in sorted(paths)
            if Path(path).is_file()
        ]
        params["keys"] = {id: runner.keys[id] for id in made}
    return Task(
        id="report",
        step="report",
        function="dmgammapy.analysis._report_steps:report",
        params=params,
        parents=tuple(made),
        outputs=tuple(outputs),
    )


def _info(store, id, made):
    """What a figure says that it shows."""
    info = (store.record(id) or {}).get("info", {}) if id in made else {}
    return {"facts": info["facts"]} if "facts" in info else {}


def _regions(plan, store, made):
    """What each fitted region says of itself."""
    found = []
    for member in plan.members.all.values():
        for instrument in filter(plan.members.has_region, member.files):
            task = member.region_task(instrument)
            if task not in made:
                continue
            info = (store.record(task) or {}).get("info", {})
            about = {"target": member.label, "instrument": instrument or None}
            table = next(name for name in plan.tasks[task].outputs if name.endswith(".ecsv"))
            found.append(about | {"file": table} | info.get("facts", {}))
    return found


def _notes_of_results(plan, store, made):
    """Notes of regions, stacks, simulations, expected limits and blank fields, each once."""
    notes = {}
    for id in made:
        step = plan.tasks[id].step
        # all parts of a simulation say the same
        first = step == "simulate" and id.endswith("/0000")
        if first or step in ("region", "stack", "bands", "limits") or id.startswith("blank/stack/"):
            for note in (store.record(id) or {}).get("info", {}).get("notes", ()):
                notes.setdefault(f"blank fields: {note}" if step == "blank" else note)
    return list(notes)
