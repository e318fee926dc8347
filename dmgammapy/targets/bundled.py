"""The tables and rosters that come with the package, in ``targets/data``."""

from functools import lru_cache
from pathlib import Path

from ._names import UnknownNameError, closest_first
from .io._yaml import load_yaml
from .io.ecsv import read_ecsv

__all__ = ["bundled_rosters", "bundled_target", "bundled_targets", "find_target"]

FOLDER = Path(__file__).parent / "data"
DEFAULT = "default"


@lru_cache(maxsize=1)
def bundled_targets():
    """All bundled targets: {(name, version): `Target`}."""
    targets = {}
    for path in sorted(FOLDER.glob("*.ecsv")):
        for target in read_ecsv(path):
            targets[target.name, target.version] = target
    return targets


def bundled_target(name, version):
    """The bundled target, or None."""
    return bundled_targets().get((name, version))


@lru_cache(maxsize=1)
def bundled_rosters():
    """Items of the bundled rosters by name."""
    return load_yaml(FOLDER / "rosters.yaml")


def find_target(name, version=None, library=None):
    """Look up a target, first in a library of the user, then in the bundled tables.

    Parameters
    ----------
    name : str
        Name of the target.
    version : str, optional
        Version. Default is the only one of the library, or the bundled version "default", which
        has a position and a distance but no J.
    library : dict of `Target`, optional
        Targets by name and version.

    Returns
    -------
    target : `Target`

    Raises
    ------
    UnknownNameError
        If there is no such target or version.
    """
    library = library or {}
    own = {key[1]: target for key, target in library.items() if key[0] == name}
    if version is None and own:
        if len(own) > 1:
            raise UnknownNameError(
                f"target {name!r} has several versions; name one as '{name}:version', of "
                f"{', '.join(map(str, own))}."
            )
        return next(iter(own.values()))
    version = DEFAULT if version is None else version
    found = own.get(version) or bundled_target(name, version)
    if found is not None:
        return found
    known = {key[1]: None for key in bundled_targets() if key[0] == name} | own
    if known:
        versions = closest_first(version, [text for text in known if text is not None])
        raise UnknownNameError(f"target {name!r} has no version {version!r}; it has {versions}.")
    names = {key[0]: None for key in [*library, *bundled_targets()]}
    raise UnknownNameError(f"no target {name!r}; known are {closest_first(name, names)}.")
