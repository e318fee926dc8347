"""Read rosters: YAML files of dmsky and dmpipe with names of targets.

.. code-block:: yaml

    my_dwarfs: ['draco:ackermann2014_nfw', 'segue_1:ackermann2014_nfw']
    all_mine: [my_dwarfs, ackermann2015_dsphs, -carina]

The grammar is that of `dmgammapy.targets.rosters`; bundled rosters may be members. dmpipe's
``roster_list.yaml`` has the same form. Its ``target_list.yaml`` lists versions by target. dmpipe
shortens versions (``ack2016_point`` is ``ackermann2016_photoj_0.6_nfw`` as a point source): such
names are found through aliases and without their spatial suffix.
"""

from pathlib import Path

from .._names import UnknownNameError, closest_first
from ..bundled import bundled_rosters, bundled_targets, find_target
from ..rosters import expand_roster
from ._yaml import load_yaml

__all__ = [
    "DMPIPE_ALIASES", "is_target_list", "read_rosters", "read_target_list", "resolve_roster",
    "roster_entries",
]  # fmt: skip

# of dmpipe's example configuration
DMPIPE_ALIASES = {"ack2016": "ackermann2016_photoj_0.6_nfw"}
YAML_SUFFIXES = (".yaml", ".yml")
SPATIAL_SUFFIXES = ("_point", "_map", "_radial")


def is_target_list(data):
    """Whether a mapping of names to lists is dmpipe's list of versions by target."""
    names = {key[0] for key in bundled_targets()}
    if not all(name in names for name in data):
        return False
    rosters = {**bundled_rosters(), **data}
    items = [str(item) for items in data.values() for item in items]
    bodies = [item.lstrip("+-").partition(":") for item in items]
    return not any(colon or body in names or body in rosters for body, colon, _ in bodies)


def read_rosters(path, data, roster=None, library=None, aliases=None):
    """Read the targets of a roster in a file.

    Parameters
    ----------
    path : path-like
        The file, for errors.
    data : dict
        Its content.
    roster : str, optional
        Name of the roster; it is needed if the file has several.
    library : dict of `Target`, optional
        Targets by name and version that come before the bundled ones.
    aliases : dict, optional
        Long names of versions by short ones.

    Returns
    -------
    targets : list of `Target`

    Raises
    ------
    ValueError
        If the file is damaged, a roster is empty or contains itself, or a target is there in two
        versions.
    UnknownNameError
        If a roster, target or version does not exist.
    """
    for name, items in data.items():
        if not isinstance(items, list):
            raise ValueError(f"{path}, roster {name}: expected a list of targets, got {items!r}.")
    if roster is None:
        if len(data) > 1:
            raise ValueError(
                f"{path}: the file has several rosters; choose one with roster=, of "
                f"{', '.join(map(str, data))}."
            )
        (roster,) = data
    if roster not in data:
        raise UnknownNameError(
            f"{path}: no roster {roster!r}; there are {closest_first(roster, data)}."
        )
    return resolve_roster(roster, {**bundled_rosters(), **data}, str(path), library, aliases)


def resolve_roster(roster, rosters, where, library=None, aliases=None):
    """Targets of a roster, see `read_rosters`."""
    entries = dict.fromkeys(expand_roster(roster, rosters, where))
    place = f"{where}, roster {roster}"
    if not entries:
        raise ValueError(f"{place}: no target is on the list.")
    targets = {}
    for name, version in entries:
        target = _find(name, version, place, library, aliases)
        known = targets.setdefault(name, target)
        if known.version != target.version:
            raise ValueError(
                f"{place}: {name} is on the list in two versions, {known.version} and "
                f"{target.version}; take one off."
            )
    return list(targets.values())


def roster_entries(path, roster=None):
    """Names and versions of targets as a YAML file of rosters, or list of targets, writes them.

    Parameters
    ----------
    path : path-like
    roster : str, optional
        Name of the roster; it is needed if the file has several.

    Returns
    -------
    entries : list of (str, str or None)
        Without repetition; none of a file of another kind.
    """
    path = Path(path)
    data = load_yaml(path) if path.suffix in YAML_SUFFIXES else {}
    if not data or not all(isinstance(items, list) for items in data.values()):
        return []
    if is_target_list(data):
        return [(name, version) for name, versions in data.items() for version in versions]
    roster = next(iter(data)) if roster is None else roster
    entries = expand_roster(roster, {**bundled_rosters(), **data}, str(path))
    return list(dict.fromkeys(entries))


def read_target_list(path, data, library=None, aliases=None):
    """Read dmpipe's list of versions by target; each version makes a target.

    Parameters
    ----------
    path : path-like
        The file, for errors.
    data : dict
        Its content.
    library, aliases : dict, optional
        See `read_rosters`.

    Returns
    -------
    targets : list of `Target`

    Raises
    ------
    ValueError
        If the file is damaged.
    UnknownNameError
        If a target or version does not exist.
    """
    targets = []
    for name, versions in data.items():
        where = f"{path}, {name}"
        if not isinstance(versions, list) or not versions:
            raise ValueError(f"{where}: expected a list of versions, got {versions!r}.")
        for version in versions:
            if not isinstance(version, str):
                raise ValueError(f"{where}: expected the name of a version, got {version!r}.")
            targets.append(_find(name, version, where, library, aliases))
    return targets


def _find(name, version, where, library, aliases):
    try:
        return find_target(name, version, library)
    except UnknownNameError as error:
        for candidate in _long_names(version, aliases):
            try:
                return find_target(name, candidate, library)
            except UnknownNameError:
                continue
        raise UnknownNameError(f"{where}: {error}") from None


def _long_names(version, aliases):
    """Versions that a short name of dmpipe may mean."""
    if version is None:
        return
    aliases = DMPIPE_ALIASES | (aliases or {})
    for suffix in ("", *SPATIAL_SUFFIXES):
        short = version.removesuffix(suffix) if suffix else version
        if suffix and short == version:
            continue
        yield from (name for name in (aliases.get(short), short) if name and name != version)
