"""Files that the patterns of a configuration lead to."""

import glob
import os
import re
from pathlib import Path

import yaml

__all__ = ["DatasetFiles", "linked_files"]

# what the header of an OGIP spectrum calls the files that belong to it
OGIP_KEYS = ("ANCRFILE", "RESPFILE", "BACKFILE")


class DatasetFiles:
    """Files that a path pattern with ``{target}``, ``{profile}``, ``{version}`` leads to.

    Parameters
    ----------
    pattern : str or `~pathlib.Path`
        Absolute.
    """

    def __init__(self, pattern):
        self.pattern = str(pattern)

    def path(self, target, profile=None, **more):
        """File of a target, which may not exist."""
        values = {"target": target.name, "profile": profile or target.version or ""}
        values |= {"version": target.version or "", **more}
        text = self.pattern
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", value)
        return Path(text)

    @property
    def glob(self):
        """Pattern of all files, for `glob.glob`."""
        pieces = re.split(r"(?<!\$)\{\w+\}", self.pattern)
        return "*".join(glob.escape(piece) for piece in pieces)

    def unused(self, names):
        """Files that fit the pattern but belong to none of ``names``, as {path: name}."""
        pieces = re.split(r"(?<!\$)\{(\w+)\}", self.pattern)
        expression, seen = "", set()
        for i, piece in enumerate(pieces):
            if i % 2 == 0:
                expression += re.escape(piece)
            elif piece in seen:
                expression += f"(?P={piece})"
            else:
                expression += rf"(?P<{piece}>[^/\\]+)"
                seen.add(piece)
        found = {}
        for text in sorted(glob.glob(self.glob)):
            match = re.fullmatch(expression, text)
            if match and match["target"] not in names:
                found[Path(text)] = match["target"]
        return found


def linked_files(path):
    """Files that a YAML file of Gammapy leads to: counts, templates.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        Of datasets or models; one that is no YAML file leads nowhere.

    Returns
    -------
    paths : list of `~pathlib.Path`
        Those that are there, in the order of the file.
    """
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return []
    found = []
    for name in _values(data, "filename"):
        expanded = Path(os.path.expandvars(str(name))).expanduser()
        for candidate in (path.parent / expanded, expanded):
            if candidate.is_file():
                found += [candidate.absolute(), *_ogip_files(candidate)]
                break
    return list(dict.fromkeys(found))


def _values(data, key):
    """Values of a key anywhere in nested lists and mappings."""
    if isinstance(data, dict):
        for name, value in data.items():
            if name == key and isinstance(value, str):
                yield value
            else:
                yield from _values(value, key)
    elif isinstance(data, list):
        for value in data:
            yield from _values(value, key)


def _ogip_files(path):
    from astropy.io import fits

    try:
        with fits.open(path) as hdus:
            headers = [hdu.header for hdu in hdus]
    except OSError:
        return []
    names = {str(h[key]) for h in headers for key in OGIP_KEYS if key in h}
    paths = [path.parent / name for name in sorted(names)]
    return [p.absolute() for p in paths if p.is_file()]
