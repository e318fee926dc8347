"""Of which target a file says that it is."""

from functools import cache

from dmgammapy.targets import Targets

from ._files import letters

__all__ = ["bundled_names", "check_owner", "find_wrong_owners"]


@cache
def bundled_names():
    """Names of all bundled targets, as a set."""
    return frozenset(Targets.bundled().names)


def check_owner(said, name, known, path):
    """Refuse a file that says that it is of another target.

    Parameters
    ----------
    said : str
        What the file says; a text that is no target's name is fine.
    name : str
        Target that it is read for.
    known : list of str
        Names of targets that are not bundled.
    path : str or `~pathlib.Path`

    Raises
    ------
    ValueError
        If it is of another one.
    """
    names = {letters(other): other for other in (*bundled_names(), *known)}
    owner = names.get(letters(said))
    if owner is not None and letters(owner) != letters(name):
        raise ValueError(f"{path}: the file says that it is of {owner}, not of {name}.")


def find_wrong_owners(tasks, record):
    """Tasks done before, of which a file is of a target that nobody knew of then.

    Parameters
    ----------
    tasks : iterable of `~dmgammapy.analysis._tasks.Task`
    record : callable
        Gives the record of a task by id, or None.

    Returns
    -------
    messages : dict of str
        What is wrong, by id of the task.
    """
    found = {}
    for task in tasks:
        known = task.hints.get("known")
        if not known or "member" not in task.params:
            continue
        info = (record(task.id) or {}).get("info") or {}
        for file, said in (info.get("said") or {}).items():
            try:
                name = task.params["member"]["target"]["name"]
                check_owner(said, name, known, task.files.get(file, file))
            except ValueError as error:
                found.setdefault(task.id, str(error))
    return found
