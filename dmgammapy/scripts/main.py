"""Command line ``dmgammapy``. Commands import what they need, so that ``--help`` is quick."""

import logging
import sys
from contextlib import contextmanager
from pathlib import Path

import click

from dmgammapy import __version__

__all__ = ["cli"]

FAILED = 2
# errors about what the user gave, whose message says all
USER_ERRORS = (ValueError, OSError, KeyError, ImportError)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dmgammapy")
def cli():
    """Search for dark matter in gamma rays."""


@cli.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--output", "-o", metavar="DIR", help="Folder of the results.")
@click.option("--n-jobs", type=int, metavar="N", help="Parallel workers; -1 uses all cores.")
@click.option("--overwrite", is_flag=True, help="Replace the results of an earlier run.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but warnings and errors.")
@click.option("--debug", is_flag=True, help="Show the full traceback of an error.")
def run(config, output, n_jobs, overwrite, quiet, debug):
    r"""Run the analysis that the YAML file CONFIG describes.

    Targets that have no file are named on standard error, also with --quiet.

    Writes the likelihoods of each target and of their combination, limits.ecsv, figures and a
    summary, which is also printed.

    \b
    Example:
      dmgammapy run config.yaml --output results/first
    """
    try:
        import numpy as np

        from dmgammapy.analysis import DMAnalysis

        with _warnings_shown():
            analysis = DMAnalysis.read(config, output=output, n_jobs=n_jobs)
            analysis.run(overwrite=overwrite)
    except Exception as error:
        if debug:
            raise
        click.echo(f"Error: {_message(error)}", err=True)
        sys.exit(FAILED)
    if not quiet:
        click.echo(analysis.summary, nl=False)
    if not np.isfinite(analysis.combined.strength_ul.data).any():
        click.echo(
            "Error: there is no limit at any mass and channel (see the notes of the summary); "
            f"the files in {analysis.output} hold none.",
            err=True,
        )
        sys.exit(FAILED)


@contextmanager
def _warnings_shown():
    """Print warnings of the package's log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("Warning: %(message)s"))
    logger = logging.getLogger("dmgammapy")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _message(error):
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}."
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if isinstance(error, USER_ERRORS):
        return text
    return (
        f"{type(error).__name__}: {text}\nThis was not expected; --debug shows where it happened."
    )
