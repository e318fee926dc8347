"""Who is analysed: the targets of all rosters, their files, and who is left out and why."""

import logging
from dataclasses import dataclass, field

import numpy as np
from astropy.table import Table

from dmgammapy.estimators import JFactorCovariance
from dmgammapy.targets import Target

from ._files import DatasetFiles
from ._inputs import check_overrides, is_path, missing_jfactor, named_targets, read_targets
from ._sections import dataset_formats

__all__ = ["Member", "Members", "read_covariance"]

log = logging.getLogger(__name__)

GO_ON = "To go on without such targets set execution: {on_error: skip}."


@dataclass(frozen=True)
class Member:
    """A target as it is analysed: with one J-factor and shape on the sky.

    Parameters
    ----------
    target : `~dmgammapy.targets.Target`
    label : str
        ``draco``, or ``draco.ack2016`` with a profile, or with its version where there are several.
    profile : str or None
    spatial : {"point", "radial", "map"}
    files : dict of `~pathlib.Path`
        By instrument.
    """

    target: Target
    label: str
    profile: str | None
    spatial: str
    files: dict = field(hash=False, default_factory=dict)

    def task(self, instrument):
        """Id of the task that makes its likelihood."""
        return "/".join(["castro", *([instrument] if instrument else []), self.label])


class Members:
    """Members of all rosters.

    Parameters
    ----------
    config : `~dmgammapy.analysis.AnalysisConfig`

    Attributes
    ----------
    rosters : dict of list of `Member`
        By name of the roster.
    all : dict of `Member`
        By label.
    skipped : dict
        Reason by name of each target of which nothing is used.
    notes : list of str
        What else is not used.
    unused_files : dict
        Name by path of files that fit a pattern but belong to no target.

    Raises
    ------
    ConfigError
        If no target can be used, or one that the configuration names has no file or no J (unless
        ``execution: {on_error: skip}``).
    """

    def __init__(self, config):
        self.config = config
        self.covariance = read_covariance(config)
        self.rosters, self.all, self.skipped, self.notes = {}, {}, {}, []
        self.patterns = {
            name: DatasetFiles(config.resolve(section.path, self.place(name, "path")))
            for name, section in config.sources.items()
        }
        # what was looked at: absent files too, folders of which all is taken, rosters
        self.probed, self.folders, self.read = set(), set(), self._files_read()
        chosen = self._choose()
        versions = {}
        for members in chosen.values():
            for target, _ in members:
                versions.setdefault(target.name, set()).add(target.version)
        for name, members in chosen.items():
            found = [self._member(target, profile, versions) for target, profile in members]
            self.rosters[name] = [member for member in found if member is not None]
        self._check()

    def place(self, instrument, *keys):
        """Where something about a source stands in the configuration."""
        several = isinstance(self.config.datasets, dict)
        return ("datasets", *([instrument] if several else []), *keys)

    def _files_read(self):
        config, found = self.config, set()
        for section, loc in self._sections().values():
            text = section.file or section.roster
            if text is not None and (section.file or is_path(text)):
                found.add(config.resolve(text, loc))
        if config.jfactor.covariance is not None:
            found.add(config.resolve(config.jfactor.covariance, ("jfactor", "covariance")))
        return found

    def _sections(self):
        config = self.config
        if config.targets is not None:
            section = config.targets
            name = section.roster if section.roster and not section.file else None
            if name is None or not name.replace("_", "").replace("-", "").isalnum():
                name = "all"
            return {name: (section, ("targets",))}
        return {name: (section, ("rosters", name)) for name, section in config.rosters.items()}

    def _choose(self):
        config = self.config
        chosen, self.named, self.sections = {}, set(config.jfactor.targets), self._sections()
        for name, (section, loc) in self.sections.items():
            chosen[name], skipped = read_targets(config, section, loc)
            self.skipped |= skipped
            self.named |= named_targets(config, section)
        names = [target.name for members in chosen.values() for target, _ in members]
        self.names = list(dict.fromkeys([*names, *self.skipped]))
        check_overrides(config, names)
        return chosen

    def _member(self, target, profile, versions):
        label = target.name
        if profile is not None:
            label = f"{target.name}.{profile}"
        elif len(versions[target.name]) > 1:
            label = f"{target.name}.{target.version}"
        if label in self.all:
            return self.all[label]
        config = self.config
        needs_width = config.jfactor.methods != ["fixed"]
        if self.covariance is not None and target.name in self.covariance.names:
            needs_width = False
        reason = missing_jfactor(target, config.process, needs_width)
        files, absent = {}, []
        for name, section in config.sources.items():
            if section.targets is not None and not _fits(target, section.targets):
                continue
            path = self.patterns[name].path(target, profile)
            self.probed.add(path)
            if path.is_file():
                files[name] = path
            else:
                absent.append((name, path))
        if not files:
            reason = reason or "; ".join(f"no file {path}" for _, path in absent)
            reason = reason or "no source of datasets is about it"
        if reason:
            self.skipped[target.name] = reason
            return None
        if absent:
            what = ", ".join(f"{name} ({path})" for name, path in absent)
            self.notes.append(f"{label}: no file of {what}.")
        spatial = "point" if profile is None else config.profiles[profile].spatial
        self.all[label] = Member(target, label, profile, spatial, files)
        return self.all[label]

    def _check(self):
        config = self.config
        used = {member.target.name for member in self.all.values()}
        for name in used & set(self.skipped):
            self.notes.append(f"{name}: one version is not used: {self.skipped.pop(name)}.")
        for name, (_, loc) in self.sections.items():
            if not self.rosters[name]:
                reasons = "\n".join(f"- {who}: {why}" for who, why in self.skipped.items())
                where = ("datasets",) if isinstance(config.datasets, dict) else ("datasets", "path")
                what = f"none of {len(self.skipped)} targets can be used"
                if len(self.sections) > 1:
                    what, where = f"none of the roster's {what[8:]}", loc
                raise config.error(where, f"{what}:\n{reasons}")
        missing = [name for name in self.skipped if name in self.named and not self._left_out(name)]
        if missing and config.execution.on_error == "stop":
            reasons = [f"target {name}: {self.skipped[name]}" for name in missing]
            loc = ("targets",) if config.targets is not None else ("rosters",)
            raise config.error(loc, "\n".join([*reasons, GO_ON]))
        for name, why in self.skipped.items():
            if not self._left_out(name):
                log.warning("target %s is skipped: %s", name, why)
        for note in self.notes:
            log.warning("%s", note)
        self.unused_files = {}
        for pattern in self.patterns.values():
            self.unused_files |= pattern.unused(self.names)

    def _left_out(self, name):
        """Whether the configuration itself leaves a target out."""
        return self.skipped[name].startswith(("in ", "not in "))

    def describe(self, member, instrument):
        """What tasks are told about a member, as JSON."""
        section = self.config.sources[instrument]
        kind = None if section.format is None else dataset_formats()[section.format]
        if section.models is not None:
            kind = "counts"
        target = member.target
        width = target.log10_jfactor_err
        if self.config.process == "decay":
            width = target.log10_dfactor_err
        return {
            "task": member.task(instrument),
            "target": target.to_dict(),
            "label": member.label,
            "instrument": section.instrument or instrument,
            "format": None if kind == "counts" else section.format,
            "kind": kind,
            "spatial": member.spatial,
            "has_width": width is not None and bool(np.all(np.isfinite(width))),
            "file": member.task(instrument),
            "models": f"models/{instrument}" if section.models is not None else None,
            "shown": shown_path(self.config, member.files[instrument]),
        }


def shown_path(config, path):
    """Path as results show it: relative to the configuration if it is inside."""
    try:
        return path.relative_to(config.folder).as_posix()
    except ValueError:
        return str(path)


def _fits(target, patterns):
    from fnmatch import fnmatchcase

    return any(fnmatchcase(target.name, pattern.partition(":")[0]) for pattern in patterns)


def read_covariance(config):
    """`JFactorCovariance` of the configuration, or None."""
    if config.jfactor.covariance is None:
        return None
    loc = ("jfactor", "covariance")
    path = config.resolve(config.jfactor.covariance, loc)
    try:
        return JFactorCovariance.create(Table.read(path))
    except (ValueError, OSError) as error:
        raise config.error(loc, f"{path}: {error}") from error
