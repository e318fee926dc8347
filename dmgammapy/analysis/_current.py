"""Whether a run would find everything done: a quick look before anything heavy is imported."""

import os
from pathlib import Path

import yaml

from ._yaml import VARIABLE
from .store import ResultsStore

__all__ = ["current_summary", "output_of"]

DEFAULT_OUTPUT = "results"


def output_of(config, output=None):
    """Folder of the results of a configuration file.

    Parameters
    ----------
    config : str or `~pathlib.Path`
    output : str, optional
        In place of what the file says; relative to the current folder.

    Returns
    -------
    path : `~pathlib.Path` or None
        None if it is not clear without checking the whole configuration.
    """
    if output is None:
        try:
            data = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            return None
        text = data.get("output") if isinstance(data, dict) else None
        if not isinstance(text, str | None):
            return None
        if text is not None:
            expanded = VARIABLE.sub(lambda m: os.environ.get(m[1] or m[2], "\0"), text)
            return None if "\0" in expanded else (
                Path(config).resolve().parent / Path(expanded).expanduser()
            )  # fmt: skip
    return Path(output or DEFAULT_OUTPUT).expanduser().resolve()


def current_summary(config, output=None):
    """Summary of results that still hold, and the warnings that planning them gave.

    Parameters
    ----------
    config : str or `~pathlib.Path`
        The configuration file.
    output : str, optional
        Folder of the results, see `output_of`.

    Returns
    -------
    text : str or None
        None if there is something to do.
    warnings : list of str
    """
    folder = output_of(config, output)
    if folder is None:
        return None, []
    store = ResultsStore(folder)
    try:
        if store.is_locked() or not store.is_current(str(config)):
            return None, []
        text = store.verified("summary.txt").read_text(encoding="utf-8")
        return text, list(store.read_manifest()["warnings"])
    except (OSError, RuntimeError, ValueError, KeyError):
        return None, []
