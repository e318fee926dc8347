"""Where the data of targets are: files of the sources, and what files of several targets hold."""

from fnmatch import fnmatchcase

from ._files import DatasetFiles, HeldTables, letters
from ._sections import SEVERAL_TARGETS

__all__ = ["SourceFiles", "fits", "place_of", "shown_path"]


class SourceFiles:
    """Files that the sources of a configuration lead to.

    Parameters
    ----------
    config : `~dmgammapy.analysis.AnalysisConfig`

    Attributes
    ----------
    patterns : dict of `DatasetFiles`
        By source.
    probed : set of `~pathlib.Path`
        All files that were looked for.
    """

    def __init__(self, config):
        self.config = config
        self.patterns = {
            name: DatasetFiles(resolved(config, name, *first_path(section)))
            for name, section in config.sources.items()
        }
        self.probed, self._held = set(), {}

    def find(self, name, target, profile):
        """Look for the files of a target.

        Parameters
        ----------
        name : str
            Of the source.
        target : `~dmgammapy.targets.Target`
        profile : str or None

        Returns
        -------
        path : `~pathlib.Path` or dict
            By channel, where each has a file; None without.
        reason : str or None
            Why there is none.

        Raises
        ------
        ConfigError
            If the files of some channels only are there, or a file can't be read.
        """
        pattern = self.patterns[name]
        if self.config.sources[name].photons is not None:
            return self._find_photons(name, target)
        if pattern.has_channels:
            return self._find_channels(name, target, profile)
        path = pattern.path(target, profile)
        self.probed.add(path)
        if not path.is_file():
            return None, f"no file {path}"
        several = self.config.sources[name].format in SEVERAL_TARGETS
        if several and self._chosen(name, path, target) is None:
            return None, f"{path} does not hold it"
        return path, None

    def _find_photons(self, name, target):
        """The first event file of a target, all of which must be there."""
        paths = [path for path, _ in self.photon_files(name, target, "ft1")]
        self.probed.update(paths)
        missing = [path for path in paths if not path.is_file()]
        if missing:
            return None, f"no file {', '.join(str(path) for path in missing)}"
        return paths[0], None

    def photon_files(self, name, target, key):
        """Files of a key of ``photons`` for a target, with whether each is a list of files.

        Parameters
        ----------
        name : str
            Of the source.
        target : `~dmgammapy.targets.Target`
        key : {"ft1", "ft2"}

        Returns
        -------
        files : list of (`~pathlib.Path`, bool)
        """
        found = []
        for i, text in enumerate(getattr(self.config.sources[name].photons, key) or ()):
            is_list = text.startswith("@")
            path = resolved(self.config, name, text.removeprefix("@"), ("photons", key, i))
            found.append((DatasetFiles(path).path(target), is_list))
        return found

    def _find_channels(self, name, target, profile):
        """Files of a target by channel; that some are missing is an error."""
        found, missing = {}, {}
        for label in self.config.channel_labels:
            paths = self.patterns[name].channel_paths(target, profile, label)
            self.probed.update(paths)
            path = next((path for path in paths if path.is_file()), None)
            if path is None:
                missing[label] = paths
            else:
                found[label] = path
        if not missing:
            return found, None
        pattern = shown_path(self.config, self.patterns[name].path(target, profile))
        if not found:
            words = ", ".join(path.name for paths in missing.values() for path in paths)
            return None, f"no file {pattern} (looked for {words})"
        looked = [
            f"{target.name} has no file of the channel {label}, looked for "
            f"{', '.join(str(path) for path in paths)}"
            for label, paths in missing.items()
        ]
        if self.config.execution.on_error == "skip":
            return None, "; ".join(looked)
        there = ", ".join(str(path) for path in found.values())
        raise self.config.error(
            place_of(self.config, name, "path"),
            "\n".join(looked) + f"\nThere is {there}. Add what is missing, take the channel out "
            f"of channels, or leave {target.name} out with targets of this source.",
        )

    def held(self, name, path):
        """What a file of several targets holds, `HeldTables`."""
        if path not in self._held:
            try:
                self._held[path] = HeldTables(path)
            except (ValueError, OSError, ImportError) as error:
                raise self.config.error(place_of(self.config, name, "path"), str(error)) from error
        return self._held[path]

    def _instrument(self, name, held):
        """Instrument in a file of several: as named, or the only one if just the key says it."""
        section = self.config.sources[name]
        shared = [other for other in self.config.sources.values() if other.path == section.path]
        if section.instrument is None and len(held.instruments) == len(shared) == 1:
            return held.instruments[0]
        return section.instrument or name

    def _chosen(self, name, path, target):
        """Names in a file of several targets, see `HeldTables.choose`."""
        held = self.held(name, path)
        instrument = self._instrument(name, held)
        alone = "{target}" in self.patterns[name].pattern
        try:
            found = held.choose(target.name, instrument, self.config.channel_labels, alone)
        except ValueError as error:
            raise self.config.error(place_of(self.config, name, "path"), str(error)) from None
        if found is None and not held.targets(instrument):
            raise self.config.error(
                place_of(self.config, name, "instrument"),
                f"{path} holds nothing of {instrument}, only of {', '.join(held.instruments)}",
            )
        return found

    def names_in_file(self, name, member):
        """Names by which a file of several targets knows a member, or None."""
        if self.config.sources[name].format not in SEVERAL_TARGETS:
            return None
        return self._chosen(name, member.files[name], member.target)

    def unused(self, name, names):
        """Files, and targets in files of several, that are of none of ``names``.

        Returns
        -------
        unused : dict
            Names of targets by path.
        """
        known = {letters(target) for target in names}
        if self.config.sources[name].photons is not None and (
            "{target}" not in self.patterns[name].pattern
        ):
            return {}
        found = self.patterns[name].unused(names)
        if "{target}" in self.patterns[name].pattern:
            return found
        for path, held in self._held.items():
            if fnmatchcase(str(path), self.patterns[name].glob):
                targets = held.targets(self._instrument(name, held))
                others = [target for target in targets if letters(target) not in known]
                found |= {path: ", ".join(others)} if others else {}
        return found


def first_path(section):
    """Path of a source and the key that it stands at: of photons the first event file."""
    if section.photons is None:
        return section.path, ("path",)
    return section.photons.ft1[0].removeprefix("@"), ("photons", "ft1", 0)


def resolved(config, name, text, keys):
    """Absolute path of a text in the section of a source."""
    return config.resolve(text, place_of(config, name, *keys))


def place_of(config, instrument, *keys):
    """Where something about a source stands in the configuration."""
    several = isinstance(config.datasets, dict)
    return ("datasets", *([instrument] if several else []), *keys)


def shown_path(config, path):
    """Path as results show it: relative to the configuration if it is inside."""
    try:
        return path.relative_to(config.folder).as_posix()
    except ValueError:
        return str(path)


def fits(name, patterns):
    """Whether a source is about a target."""
    if patterns is None:
        return True
    return any(fnmatchcase(name, pattern.partition(":")[0]) for pattern in patterns)
