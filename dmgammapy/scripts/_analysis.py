"""Commands about whole analyses: run, status, plot, report, config, job-script."""

import sys
from pathlib import Path

import click

from ._common import (
    FAILED,
    USAGE,
    command,
    config_argument,
    emit,
    log_level_option,
    log_shown,
    output_option,
    overwrite_option,
    table_text,
)

__all__ = ["COMMANDS"]

SEVERAL = ("prologue", "directives")  # options of a job that may come several times
WHOLE = ("cores", "processes")
SCHEDULERS = ("slurm", "htcondor", "lsf")


def _not_zero(context, parameter, value):
    if value == 0:
        raise click.BadParameter("must be a positive number of workers, or -1, got 0.")
    return value


folder_option = click.option(
    "-o", "--output", metavar="DIR", help="Folder of the results. Default is as CONFIG says."
)
jobs_option = click.option(
    "--n-jobs", type=int, metavar="N", callback=_not_zero,
    help="Tasks at the same time; -1 uses all cores.",
)  # fmt: skip
quiet_option = click.option(
    "-q", "--quiet", is_flag=True, help="Print nothing but warnings and errors."
)


def _read(config, output=None, n_jobs=None):
    from dmgammapy.analysis import DMAnalysis

    return DMAnalysis.read(config, output=output, n_jobs=n_jobs)


def _current_summary(config, output):
    """Summary of results that are all current, or None, and warnings; with light modules only."""
    from dmgammapy.analysis._current import current_summary

    return current_summary(config, output)


@command()
@config_argument
@folder_option
@jobs_option
@click.option(
    "--step", "steps", multiple=True, metavar="STEP",
    help="Do only this step and what it needs (castro, stack, simulate, plot ...). Repeatable.",
)  # fmt: skip
@click.option(
    "--task", "tasks", multiple=True, metavar="PATTERN",
    help="Do only these tasks and what they need, like 'castro/*draco'. Repeatable.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="List the tasks, with what would be done and why.")
@click.option(
    "--overwrite", is_flag=True,
    help="Use a folder with results of another configuration, and replace them.",
)  # fmt: skip
@log_level_option
@quiet_option
def run(config, output, n_jobs, steps, tasks, dry_run, overwrite, log_level, quiet):
    r"""Run the analysis that the YAML file CONFIG describes.

    Results that are there and still hold are not computed again: a second run goes on where the
    first one ended. Targets that have no file are named on standard error, also with --quiet.

    \b
    Examples:
      dmgammapy run config.yaml --output results/first
      dmgammapy run config.yaml --n-jobs -1
      dmgammapy run config.yaml --dry-run
      dmgammapy run config.yaml --task 'castro/*draco'
    """
    everything = not (steps or tasks or dry_run or overwrite)
    summary, warnings = _current_summary(config, output) if everything else (None, ())
    if summary is not None:
        for text in warnings if log_level != "error" else ():
            click.echo(f"Warning: {text}", err=True)
        click.echo("" if quiet else summary, nl=False)
        return
    with log_shown(log_level):
        analysis = _read(config, output, n_jobs)
        if dry_run:
            click.echo(table_text(analysis.plan(steps=_listed(steps), tasks=_listed(tasks))))
            return
        analysis.run(
            steps=_listed(steps),
            overwrite=overwrite,
            tasks=_listed(tasks),
            show_progress=False if quiet else None,
        )
    if steps or tasks:
        if not quiet:
            click.echo(table_text(analysis.status()))
        return
    if not quiet:
        click.echo(analysis.summary, nl=False)
    _require_limits(analysis)


def _listed(values):
    return list(values) or None


def _require_limits(analysis):
    import numpy as np

    if not np.isfinite(analysis.combined.strength_ul.data).any():
        click.echo(
            "Error: there is no limit at any mass and channel (see the notes of the summary); "
            f"the files in {analysis.output} hold none.",
            err=True,
        )
        sys.exit(USAGE)


@command()
@config_argument
@folder_option
def status(config, output):
    r"""Show how far the analysis of CONFIG is.

    One line for each step: its tasks, how many are done, running, failed, stale (computed from
    other input or another configuration) or missing. The exit code is 1 if tasks failed.

    \b
    Example:
      dmgammapy status config.yaml
    """
    with log_shown("error"):
        analysis = _read(config, output)
        table = analysis.status()
    click.echo(table_text(table))
    for task, record in analysis.store.failures().items():
        click.echo(f"{task} failed: {record.get('error')}", err=True)
    if table["failed"].sum():
        sys.exit(FAILED)


@command()
@config_argument
@folder_option
@jobs_option
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Only this kind. Repeatable.")
@click.option(
    "--channel", "channels", multiple=True, metavar="CHANNEL", help="Only this one. Repeatable."
)
@log_level_option
@quiet_option
def plot(config, output, n_jobs, kinds, channels, log_level, quiet):
    r"""Draw the figures of the analysis of CONFIG, and compute what they need.

    Without --kind, those that the configuration asks for. Kinds: spectra, sed, castro,
    target_limits, stack_castro, limits, best_fits, control_limits, control_best_fits,
    final_limits, likelihood_curves, contributions, jfactor_treatments, ts, simulated_castro,
    simulated_limits.

    \b
    Examples:
      dmgammapy plot config.yaml
      dmgammapy plot config.yaml --kind limits --kind castro --channel b
    """
    with log_shown(log_level):
        analysis = _read(config, output, n_jobs)
        if kinds or channels:
            analysis = _with_plots(analysis, kinds, channels, n_jobs)
        analysis.run(steps=["plot"], show_progress=False if quiet else None)
    if not quiet:
        click.echo(f"Figures in {analysis.output / 'plots'}")


def _with_plots(analysis, kinds, channels, n_jobs):
    """The same analysis with other figures."""
    from dmgammapy.analysis import AnalysisConfig, DMAnalysis

    config = analysis.config
    data = config.plots.model_dump(mode="json", exclude_unset=True) | {"enabled": True}
    if kinds:
        data["kinds"] = list(kinds)
    if channels:
        data["channels"] = list(channels)
    # checked with what they belong to
    checked = AnalysisConfig.from_dict(
        config.model_dump(mode="json", exclude_unset=True) | {"plots": data}, config.folder
    )
    new = config.model_copy(update={"plots": checked.plots})
    return DMAnalysis(new, output=analysis.output, n_jobs=n_jobs)


@command()
@config_argument
@folder_option
@jobs_option
@log_level_option
@quiet_option
def report(config, output, n_jobs, log_level, quiet):
    r"""Write the HTML report of the analysis of CONFIG, and compute what it needs.

    It is one file that needs no network: summary, figures, tables and provenance.

    \b
    Example:
      dmgammapy report config.yaml
    """
    with log_shown(log_level):
        analysis = _read(config, output, n_jobs)
        analysis.run(steps=["report"], show_progress=False if quiet else None)
    if not quiet:
        click.echo(f"Report: {analysis.output / 'report.html'}")


@command("config")
@click.option("--template", "what", flag_value="template", help="A commented example (YAML).")
@click.option("--schema", "what", flag_value="schema", help="JSON Schema, for editors.")
@output_option
@overwrite_option
def config_command(what, output, overwrite):
    r"""Print an example of a configuration, or its schema.

    \b
    Examples:
      dmgammapy config --template -o analysis.yaml
      dmgammapy config --schema -o dmgammapy.schema.json
    """
    if what is None:
        raise click.UsageError("Give either --template or --schema.")
    from dmgammapy.analysis import AnalysisConfig

    if what == "template":
        text = AnalysisConfig.template()
    else:
        import json

        text = json.dumps(AnalysisConfig.json_schema(), indent=2)
    emit(text, output, overwrite)


@command("job-script")
@config_argument
@click.option("--scheduler", type=click.Choice(SCHEDULERS), required=True, help="Of the cluster.")
@click.option(
    "--option", "options", multiple=True, metavar="KEY=VALUE",
    help="Of the job: cores, memory, walltime, queue, account, name, log_directory, disk, "
    "prologue, directives. Repeatable.",
)  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
              help="Write to this file instead of printing.")  # fmt: skip
@overwrite_option
def job_script(config, scheduler, options, output, overwrite):
    r"""Print a script that runs CONFIG as a job of a cluster.

    \b
    Examples:
      dmgammapy job-script config.yaml --scheduler slurm --option cores=8 > job.sh
      dmgammapy job-script config.yaml --scheduler htcondor --option memory=8GB -o job.sub
    """
    from dmgammapy.analysis import AnalysisConfig
    from dmgammapy.analysis.cluster import job_script as write

    AnalysisConfig.read(config)  # a mistake shall show now, not when the job begins
    asked = _pairs(options)
    line = ["dmgammapy", "run", str(config)]
    if "cores" in asked:
        line += ["--n-jobs", str(asked["cores"])]
    emit(write(scheduler, line, asked), output, overwrite)


def _pairs(options):
    """Values by key of texts like ``memory=8GB``."""
    values = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not (key and equals):
            raise click.BadParameter(f"expected KEY=VALUE, got {option!r}", param_hint="--option")
        key, value = key.strip().replace("-", "_"), value.strip()
        if key in SEVERAL:
            values[key] = (*values.get(key, ()), value)
        elif key in WHOLE and value.isdecimal():
            values[key] = int(value)
        else:
            values[key] = value
    return values


COMMANDS = (run, status, plot, report, config_command, job_script)
