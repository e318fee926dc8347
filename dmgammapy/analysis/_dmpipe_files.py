"""dmpipe's YAML files: where they are, what they say, and which keys nobody has asked for."""

import os
from pathlib import Path

import yaml

from dmgammapy.targets import Targets
from dmgammapy.targets.bundled import bundled_rosters, bundled_targets, find_target
from dmgammapy.targets.rosters import expand_roster

from ._yaml import ConfigError, YAMLSource, format_loc, nearest

__all__ = ["DmpipeFile", "DmskyLibrary", "FileFinder", "is_null", "yaml_lines"]

LEVELS = 3  # folders above the master that a path may be relative to


def is_null(value):
    """Whether dmpipe takes a value as none given."""
    return value is None or (isinstance(value, str) and value.lower() in ("none", ""))


class FileFinder:
    """Find the files that a master names.

    dmpipe is run in the folder above ``config``, but masters also name files relative to other
    folders, so that several are tried.

    Parameters
    ----------
    master : `~pathlib.Path`
    """

    def __init__(self, master):
        folder = Path(master).resolve().parent
        self.beside = folder
        self.base = folder.parent if folder.name == "config" else folder
        parents = [folder, *folder.parents][: LEVELS + 1]
        self.folders = list(dict.fromkeys([self.base, *parents, Path.cwd()]))

    def find(self, name, why, required=True):
        """Path of a file.

        Parameters
        ----------
        name : str
            As in the master, or as dmpipe has it by default.
        why : str
            What needs it, for the error.
        required : bool
            Whether it has to exist. Default is True.

        Returns
        -------
        path : `~pathlib.Path` or None

        Raises
        ------
        ConfigError
            If there is none; it lists where it was looked for.
        """
        name = Path(os.path.expandvars(str(name))).expanduser()
        tried = [folder / name for folder in self.folders]
        tried.append(self.beside / name.name)  # if the master is not in a folder config
        tried = list(dict.fromkeys(tried))
        for path in tried:
            if path.is_file():
                return path
        if not required:
            return None
        places = "\n".join(f"- {path}" for path in tried)
        raise ConfigError(f"{why}: no file {name}; looked for\n{places}")

    def short(self, path):
        """Path relative to where dmpipe is run, for people."""
        path = Path(path).resolve()
        return path.relative_to(self.base) if path.is_relative_to(self.base) else path


class DmpipeFile:
    """A mapping in a YAML file that knows which of its keys were used.

    Parameters
    ----------
    source : `YAMLSource`
    name : str
        How notes call the file.
    data : dict, optional
        The mapping. Default is all of the file.
    loc : tuple
        Where it is in the file.
    """

    def __init__(self, source, name, data=None, loc=()):
        self.source = source
        self.name = str(name)
        self.data = source.data if data is None else data
        self.loc = loc
        self._used = []
        self._asked = []

    @classmethod
    def read(cls, path, name):
        """Read a file, see `YAMLSource`."""
        return cls(YAMLSource(path), name)

    def __contains__(self, key):
        self._asked.append(key)
        return key in self.data

    def take(self, key, default=None):
        """Value of a key, which counts as used from now on."""
        self._asked.append(key)
        if key not in self.data:
            return default
        self._used.append(key)
        return self.data[key]

    def section(self, key):
        """Mapping below a key as another `DmpipeFile`; empty if there is none."""
        value = self.take(key)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self.error(key, f"expected 'key: value' pairs, got {value!r}")
        return DmpipeFile(self.source, self.name, value, (*self.loc, key))

    def texts(self, key):
        """List of texts below a key; a single one counts as a list."""
        value = self.take(key)
        if isinstance(value, str) or value is None:
            value = [value] if value is not None else []
        if not isinstance(value, list) or not all(isinstance(v, str | None) for v in value):
            raise self.error(key, f"expected a list of names, got {value!r}")
        return value

    def number(self, key, default=None, integer=False):
        """Number below a key; YAML gives those like 1e18 as text."""
        value = self.take(key)
        if value is None and default is not None:
            return default
        try:
            if isinstance(value, bool):
                raise ValueError
            number = float(value)
            if integer and number != int(number):
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            what = "a whole number" if integer else "a number"
            raise self.error(key, f"expected {what}, got {value!r}") from None
        return int(number) if integer else number

    def place(self, key):
        """File, line and key, as notes and errors name it."""
        loc = (*self.loc, key)
        return f"{self.name}, line {self.source.line(loc, of_key=True)}, {format_loc(loc)}"

    def error(self, key, text):
        """Error about the value of a key."""
        loc = (*self.loc, key)
        line = self.source.line(loc, of_key=True)
        return ConfigError(f"{self.source.path}, line {line}, key {format_loc(loc)!r}: {text}.")

    def leftover(self, reasons=None):
        """Notes about the keys that were not used.

        Parameters
        ----------
        reasons : dict, optional
            Why known keys are not translated.
        """
        reasons = reasons or {}
        by_text = {}
        for key in self.data:
            if key in self._used:
                continue
            text = reasons.get(key)
            if text is None:
                hint = nearest(key, [*self._asked, *reasons])
                text = "unknown to dmpipe, not translated"
                text += f"; did you mean {hint!r}?" if hint else ""
            by_text.setdefault(text, []).append(key)
        return [
            f"{', '.join([self.place(keys[0]), *map(str, keys[1:])])}: {text}"
            for text, keys in by_text.items()
        ]


class DmskyLibrary:
    """Rosters and targets of dmsky folders, and those that come with the package.

    Parameters
    ----------
    folders : list of path-like
        Each with ``rosters`` and ``targets`` below.
    """

    def __init__(self, folders):
        self.folders = [Path(folder).expanduser() for folder in folders]
        self.rosters = dict(bundled_rosters())
        self.origin = {}
        self.own = {}
        for folder in self.folders:
            for path in sorted((folder / "rosters").rglob("*.yaml")):
                data = YAMLSource(path).data
                self.rosters |= data
                self.origin |= dict.fromkeys(data, path)
            for path in sorted((folder / "targets").rglob("*.yaml")):
                for target in Targets.read(path, format="dmsky"):
                    self.own[target.name, target.version] = target

    @classmethod
    def locate(cls, finder, given=None):
        """Library of the folders that are given, in DMSKY_PATH, or beside the master.

        Raises
        ------
        ConfigError
            If a given folder does not exist.
        """
        given = [given] if isinstance(given, str | os.PathLike) else list(given or [])
        folders = [p for p in os.environ.get("DMSKY_PATH", "").split(os.pathsep) if p]
        folders += given
        for folder in folders:
            if not Path(folder).expanduser().is_dir():
                raise ConfigError(
                    f"dmsky folder {folder}: no such folder (given as --dmsky or in DMSKY_PATH)."
                )
        beside = [f / "dmsky_data" for f in finder.folders if (f / "dmsky_data").is_dir()]
        # the last one counts, as in dmsky
        return cls([*beside, *folders])

    def expand(self, roster, where):
        """Targets of a roster.

        Parameters
        ----------
        roster : str
        where : str
            What names it, for errors.

        Returns
        -------
        targets : list of `~dmgammapy.targets.Target`

        Raises
        ------
        ConfigError
            If the roster, or a target or version of it, is unknown.
        """
        if roster not in self.rosters:
            hint = nearest(roster, self.rosters)
            looked = [f"- {folder / 'rosters'}" for folder in self.folders]
            places = "\n".join([*looked, "- the rosters that come with dmgammapy"])
            raise ConfigError(
                f"{where}: no roster {roster!r}{f' (did you mean {hint!r}?)' if hint else ''}; "
                f"looked for in\n{places}\nGive the folder with dmsky's rosters and targets "
                "as --dmsky or in DMSKY_PATH."
            )
        place = str(self.origin.get(roster, "rosters of dmgammapy"))
        try:
            entries = dict.fromkeys(expand_roster(roster, self.rosters, place))
            return [find_target(name, version, self.own) for name, version in entries]
        except (ValueError, KeyError) as error:
            text = error.args[0] if error.args else error
            raise ConfigError(f"{where}, roster {roster}: {text}") from None

    def is_own(self, target):
        """Whether a target differs from the one that comes with the package."""
        return target != bundled_targets().get((target.name, target.version))


def yaml_lines(key, value):
    """Lines of one key: short values on one line, long mappings with a line for each entry."""

    def dump(data, flow):
        return yaml.safe_dump(
            data, sort_keys=False, default_flow_style=flow, width=96, allow_unicode=True
        ).splitlines()

    if not isinstance(value, dict | list):
        return dump({key: value}, False)
    lines = dump({key: value}, None)
    if isinstance(value, list) or (len(lines) == 1 and len(lines[0]) < 96):
        return lines
    lines = [f"{key}:"]
    for name, entry in value.items():
        text = dump({name: entry}, None if isinstance(entry, dict | list) else False)
        lines += [f"  {line}" for line in text]
    return lines
