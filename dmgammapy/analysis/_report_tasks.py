"""The last task: summary, table of targets and report of all that was done."""

from ._tasks import Task

__all__ = ["report_task"]


def report_task(plan, runner, command):
    """Task that writes the summary, the table of targets and, if wanted, the report.

    Parameters
    ----------
    plan : `~dmgammapy.analysis._plan.Plan`
    runner : `~dmgammapy.analysis._run.Runner`
        After all other tasks.
    command : str
        What the user ran.
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
        "config": config.model_dump(mode="json", exclude_unset=True),
        "config_text": None if source is None else source.read_text(encoding="utf-8"),
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
    parents = [id for id in plan.tasks if runner.states.get(id) == "done"]
    return Task(
        id="report",
        step="report",
        function="dmgammapy.analysis._report_steps:report",
        params=params,
        parents=tuple(parents),
        outputs=tuple(outputs),
    )
