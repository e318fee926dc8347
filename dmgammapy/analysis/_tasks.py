"""What there is to do: tasks of a pipeline, and the key that says whether a result still holds."""

import hashlib
import json
from dataclasses import dataclass, field
from importlib import import_module

__all__ = ["STEPS", "Task", "call_function", "digest", "task_key"]

# in the order in which they run
STEPS = (
    "reduce",
    "region",
    "castro",
    "target",
    "stack",
    "simulate",
    "blank",
    "collect",
    "bands",
    "limits",
    "significance",
    "plot",
    "report",
)


@dataclass(frozen=True)
class Task:
    """One piece of work: a pure function of its parameters, files and parents' outputs.

    Parameters
    ----------
    id : str
        Unique and readable, a relative path without suffix: ``castro/fermi-lat/draco``.
    step : str
        One of `STEPS`.
    function : str
        ``module:name`` of what does it, see `call_function`.
    params : dict
        What it is told; can be written as JSON. ``links`` are outputs of parents that it reads as
        if they were input files: task and relative path by name.
    files : dict
        Absolute path of each input file by name.
    parents : tuple of str
        Tasks whose outputs it reads.
    outputs : tuple of str
        Paths that it writes, relative to the folder of results.
    tolerant : bool
        Whether it goes on without parents that failed, if any is left.
    needs : tuple of str
        Parents without which even a tolerant task can't go on.
    hints : dict
        What it is told, too, but no result depends on: it only decides what is refused.
    """

    id: str
    step: str
    function: str
    params: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)
    parents: tuple = ()
    outputs: tuple = ()
    tolerant: bool = False
    needs: tuple = ()
    hints: dict = field(default_factory=dict)


def digest(data):
    """SHA-256 of something that can be written as JSON; keys in any order."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def task_key(task, code, file_hashes, parent_keys):
    """Hash of all that the result of a task depends on.

    Parameters
    ----------
    task : `Task`
    code : str
        Hash of the program.
    file_hashes : dict
        Hash of the content of each of ``task.files``, by name.
    parent_keys : dict
        Keys of the parents that it reads, by id.
    """
    return digest(
        {
            "code": code,
            "id": task.id,
            "function": task.function,
            "params": task.params,
            "files": file_hashes,
            "parents": parent_keys,
            "outputs": sorted(task.outputs),
        }
    )


def call_function(task, parents, folder):
    """Do a task: ``function(params, files, parents, folder)``, hints among the parameters.

    Parameters
    ----------
    task : `Task`
    parents : dict
        For each parent a dict of paths by relative path.
    folder : `~pathlib.Path`
        Where the outputs go.

    Returns
    -------
    info : dict
        What the function wants to be remembered.
    """
    from pathlib import Path

    module, name = task.function.split(":")
    function = getattr(import_module(module), name)
    files = {name: Path(path) for name, path in task.files.items()}
    for link, (parent, relative) in task.params.get("links", {}).items():
        if parent in parents:
            files[link] = Path(parents[parent][relative])
    return function(task.hints | task.params, files, parents, folder) or {}
