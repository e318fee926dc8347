"""What all commands share: errors in one clear line, exit codes, tables, hints for misspellings.

Only light modules are imported here, so that ``--help`` and shell completion are quick.
"""

import contextlib
import functools
import inspect
import logging
import os
import re
import sys
from difflib import get_close_matches
from pathlib import Path

import click

__all__ = [
    "EXIT_CODES", "FAILED", "INTERRUPTED", "Group", "command", "emit", "table_text", "write_table",
]  # fmt: skip

FAILED, USAGE, INTERRUPTED = 1, 2, 130
EXIT_CODES = """\b
Exit codes:
  0    done
  1    some tasks failed; the others are done
  2    wrong usage, configuration or input
  130  interrupted
"""
# errors about what the user gave, whose message says all
USER_ERRORS = (ValueError, OSError, KeyError, ImportError)
# remedies in Python, and the options that do the same
PYTHON_HINTS = (
    ("pass overwrite=True to replace it", "replace it with --overwrite"),
    (r"choose one with row= or target=( \([^)]*\))?", "choose one with --target"),
    (r"choose with (\w+)=", r"choose with --\1"),
    ("leave these channels out with channels=", "choose the others, each with --channel"),
    (r"give priors=\{name: JFactorPrior\(\.\.\.\)\}", "give --targets"),
    ("use method='(\\w+)'", r"use --method \1"),
    ("slice_by_coord both to the common ones", "keep the common ones with --common"),
    (
        r"Give it, background=\.\.\., or take undetermined='power_law'",
        "Give it, --expectations, or take --power-law",
    ),
)
PYTHON_HINTS += (
    ("For a roster of your own use Targets.read\\(path\\)", "For one of your own give its file"),
    (r"pick one with slice_by_coord\(\{'channel': [^}]*\}\)", "pick one with --channel"),
    (r"plan\(\) lists them", "--dry-run lists them"),
)
LOG_LEVELS = ("debug", "info", "warning", "error")
TABLE_FORMATS = ("text", "ecsv", "csv")
SHOWN_DIGITS = 4


class Group(click.Group):
    """Commands that suggest the nearest one when a name is unknown."""

    def resolve_command(self, ctx, args):
        """Find a command; an unknown one gets suggestions."""
        name = args[0] if args else ""
        if args and self.get_command(ctx, name) is None and not name.startswith("-"):
            found = get_close_matches(name.lower(), self.list_commands(ctx), n=2, cutoff=0.5)
            hint = f" Did you mean {' or '.join(found)}?" if found else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)


class _Command(click.Command):
    """A command whose help ends with the exit codes."""

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("epilog", EXIT_CODES)
        super().__init__(*args, **kwargs)


def command(name=None):
    """Make a function a command: with ``--debug``, and errors told in one message.

    Parameters
    ----------
    name : str, optional
        Name of the command. Default is that of the function.
    """

    def decorate(function):
        @functools.wraps(function)
        def guarded(debug, **kwargs):
            with _errors_told(debug):
                return function(**kwargs)

        option = click.option("--debug", is_flag=True, help="Show the full traceback of an error.")
        return click.command(name, cls=_Command, help=help_text(function))(option(guarded))

    return decorate


def help_text(function):
    r"""Docstring for click: ``\b``, written in a raw string, keeps a paragraph's lines."""
    return inspect.cleandoc(function.__doc__).replace("\\b\n", "\b\n")


@contextlib.contextmanager
def _errors_told(debug):
    """Turn errors into a message and an exit code."""
    try:
        yield
        sys.stdout.flush()
    except (click.ClickException, click.exceptions.Exit, SystemExit):
        raise
    except BrokenPipeError:
        # who reads has seen enough; the interpreter shall not complain when it flushes
        _silence(sys.stdout)
        sys.exit(0)
    except KeyboardInterrupt:
        click.echo("Interrupted; the same command goes on from here.", err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if debug:
            raise
        click.echo(f"Error: {message(error)}", err=True)
        sys.exit(FAILED if getattr(error, "failures", None) else USAGE)


def _silence(stream):
    with contextlib.suppress(OSError, ValueError):  # no real file, as in tests
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def message(error):
    """What to tell about an error."""
    own = type(error).__module__.startswith("dmgammapy.")
    if isinstance(error, OSError) and error.filename and not own:
        return f"{error.filename}: {error.strerror}."
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if isinstance(error, USER_ERRORS) or own:
        for pattern, option in PYTHON_HINTS:
            text = re.sub(pattern, option, text)
        return text
    return (
        f"{type(error).__name__}: {text}\nThis was not expected; --debug shows where it happened."
    )


@contextlib.contextmanager
def log_shown(level="warning"):
    """Print the package's log to standard error.

    Parameters
    ----------
    level : {"debug", "info", "warning", "error"}
        The least that is printed. Default is "warning".
    """
    handler = logging.StreamHandler(sys.stderr)
    number = getattr(logging, level.upper())
    handler.setLevel(number)
    handler.setFormatter(_Formatter())
    logger = logging.getLogger("dmgammapy")
    before = logger.level
    logger.addHandler(handler)
    if number < logging.WARNING:
        logger.setLevel(number)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Formatter(logging.Formatter):
    def format(self, record):
        """Say what kind of message it is, in a word."""
        return f"{record.levelname.capitalize()}: {record.getMessage()}"


log_level_option = click.option(
    "--log-level", type=click.Choice(LOG_LEVELS), default="warning", show_default=True,
    help="What of the log is shown, on standard error.",
)  # fmt: skip
format_option = click.option(
    "--format", "format", type=click.Choice(TABLE_FORMATS), default=None,
    help="Format of the table. Default is text, or what the name after -o ends with.",
)  # fmt: skip
output_option = click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
    help="Write to this file instead of printing.",
)  # fmt: skip
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace what exists already.")


# ---- tables --------------------------------------------------------------------------------------


def table_text(table, format="text"):
    """Table as text.

    Parameters
    ----------
    table : `~astropy.table.Table`
    format : {"text", "ecsv", "csv"}
        For people, with a line of units; with all digits, units and metadata; with all digits and
        units in the names of the columns.

    Returns
    -------
    text : str
    """
    import io

    from astropy.table import Table

    if format == "text":
        return _aligned(table)
    file = io.StringIO()
    # a plain table: quantities would be written in a form that other readers don't know
    plain = Table(table, copy=False)
    if format == "csv":
        plain = Table(plain)
        for name in plain.colnames:
            unit = plain[name].unit
            if unit:
                plain.rename_column(name, f"{name} [{unit}]")
        plain.write(file, format="ascii.csv")
    else:
        plain.write(file, format="ascii.ecsv")
    return file.getvalue().rstrip("\n")


def _aligned(table):
    """Columns aligned: texts to the left, numbers to the right."""
    import numpy as np

    columns = []
    units = [str(table[name].unit or "") for name in table.colnames]
    for name, unit in zip(table.colnames, units, strict=True):
        column = table[name]
        number = np.asarray(column).dtype.kind in "fiu"
        cells = [name, *([unit] if any(units) else []), *(_cell(v) for v in column)]
        width = max(map(len, cells))
        columns.append([c.rjust(width) if number else c.ljust(width) for c in cells])
    return "\n".join("  ".join(row).rstrip() for row in zip(*columns, strict=True))


def _cell(value):
    import numpy as np

    if np.ma.is_masked(value) or value is None:
        return "-"
    value = getattr(value, "value", value)
    if isinstance(value, float | np.floating):
        return f"{value:.{SHOWN_DIGITS}g}"
    return str(value)


def write_table(table, output=None, format=None, overwrite=False):
    """Print a table or write it to a file.

    Parameters
    ----------
    table : `~astropy.table.Table`
    output : `~pathlib.Path`, optional
        Default is to print.
    format : {"text", "ecsv", "csv"}, optional
        Default is what the file's name ends with, or text.
    overwrite : bool
        Replace an existing file. Default is False.
    """
    if format is None:
        ending = "" if output is None else output.suffix.lstrip(".").lower()
        format = ending if ending in TABLE_FORMATS else "text"
    emit(table_text(table, format), output, overwrite)


def emit(text, output=None, overwrite=False):
    """Print a text or write it to a file, all of it or nothing."""
    text = text if text.endswith("\n") else text + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    from dmgammapy.utils import atomic_path

    with atomic_path(output.expanduser(), overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def config_argument(function):
    """Argument for the YAML file of an analysis."""
    return click.argument("config", type=click.Path(path_type=Path))(function)
