"""The grammar of rosters: named lists of targets and of other rosters.

An item is ``name``, ``name:version`` or the name of another roster, with a prefix that says what
it does to the list so far:

- ``+`` or none adds what is not on the list yet. A name without version is on the list if the
  target is, in any version.
- ``++`` adds in any case.
- ``-`` takes off every occurrence, ``--`` the last one. A name without version means the target in
  any version.
"""

from ._names import UnknownNameError, closest_first

__all__ = ["expand_roster", "split_item", "split_key"]

PREFIXES = ("++", "--", "+", "-")


def split_key(key):
    """Split ``name:version``.

    Parameters
    ----------
    key : str
        Name with or without version.

    Returns
    -------
    name : str
    version : str or None

    Raises
    ------
    ValueError
        If there is more than one colon, or nothing on one of its sides.
    """
    name, colon, version = key.partition(":")
    name, version = name.strip(), version.strip()
    if not name or (colon and not version) or ":" in version:
        raise ValueError(f"expected 'name' or 'name:version', got {key!r}.")
    return name, version or None


def split_item(item):
    """Split an item of a roster.

    Parameters
    ----------
    item : str
        Prefix, name and version.

    Returns
    -------
    prefix : {"+", "++", "-", "--"}
    name : str
    version : str or None

    Raises
    ------
    ValueError
        If the item is no text, its prefix is not known or its name is empty.

    Examples
    --------
    >>> from dmgammapy.targets.rosters import split_item
    >>> split_item("--draco:ackermann2014_nfw")
    ('--', 'draco', 'ackermann2014_nfw')
    """
    if not isinstance(item, str) or not item.strip():
        raise ValueError(f"expected a text such as 'draco:ackermann2014_nfw', got {item!r}.")
    item = item.strip()
    prefix = next((known for known in PREFIXES if item.startswith(known)), "")
    body = item[len(prefix) :].strip()
    if not body or not (body[0].isalnum() or body[0] == "_"):
        raise ValueError(f"{item!r} begins with a prefix that is not one of +, ++, -, --.")
    return (prefix or "+", *split_key(body))


def expand_roster(name, rosters, where="rosters"):
    """Expand a roster into targets.

    Parameters
    ----------
    name : str
        Name of the roster.
    rosters : dict of list of str
        Items by roster.
    where : str
        What errors call the source.

    Returns
    -------
    entries : list of (str, str or None)
        Names and versions, in order; what is added twice by ``++`` is there twice.

    Raises
    ------
    ValueError
        If a roster contains itself, an item is not valid, or something is taken off that is on
        the list in another version (``-``) or not at all (``--``).
    UnknownNameError
        If there is no roster of this name.

    Examples
    --------
    >>> from dmgammapy.targets.rosters import expand_roster
    >>> rosters = {"a": ["draco:v1", "carina:v1"], "b": ["a", "++carina:v1", "--carina", "-draco"]}
    >>> expand_roster("b", rosters)
    [('carina', 'v1')]
    """
    if name not in rosters:
        raise UnknownNameError(
            f"{where}: no roster {name!r}; there are {closest_first(name, rosters)}."
        )
    return _expand(name, rosters, where, ())


def _expand(name, rosters, where, path):
    path = (*path, name)
    if name in path[:-1]:
        raise _PlacedError(f"{where}: a roster contains itself: {' > '.join(path)}.")
    items = rosters[name]
    if not isinstance(items, list):
        raise _PlacedError(f"{where}, roster {name}: expected a list of targets, got {items!r}.")
    entries = []
    for number, item in enumerate(items, start=1):
        try:
            prefix, member, version = split_item(item)
            if version is None and member in rosters:
                new = _expand(member, rosters, where, path)
            else:
                new = [(member, version)]
            entries = _OPERATIONS[prefix](entries, new)
        except _PlacedError:
            raise
        except ValueError as error:
            raise _PlacedError(f"{where}, roster {name}, item {number}: {error}") from None
    return entries


class _PlacedError(ValueError):
    """An error that says where it happened."""


def _matches(entry, wanted):
    return entry[0] == wanted[0] and wanted[1] in (None, entry[1])


def _text(entry):
    return entry[0] if entry[1] is None else ":".join(entry)


def _add_new(entries, new):
    for wanted in new:
        if not any(_matches(entry, wanted) for entry in entries):
            entries = [*entries, wanted]
    return entries


def _add(entries, new):
    return entries + new


def _remove_all(entries, new):
    for wanted in new:
        kept = [entry for entry in entries if not _matches(entry, wanted)]
        if len(kept) == len(entries):
            _check_other_version(entries, wanted)
        entries = kept
    return entries


def _remove_last(entries, new):
    for wanted in new:
        found = [i for i, entry in enumerate(entries) if _matches(entry, wanted)]
        if not found:
            _check_other_version(entries, wanted)
            raise ValueError(f"{_text(wanted)!r} is to be taken off but not on the list so far.")
        entries = entries[: found[-1]] + entries[found[-1] + 1 :]
    return entries


def _check_other_version(entries, wanted):
    other = [_text(entry) for entry in entries if entry[0] == wanted[0]]
    if other:
        raise ValueError(
            f"{_text(wanted)!r} is to be taken off, but the list has {', '.join(other)}; write "
            f"'-{wanted[0]}' to take off any version."
        )


_OPERATIONS = {"+": _add_new, "++": _add, "-": _remove_all, "--": _remove_last}
