"""Who is analysed: the targets of all rosters, their files, and who is left out and why."""

import logging
import re
from dataclasses import dataclass, field

import numpy as np

from dmgammapy.modeling.priors import check_width_in_covariance
from dmgammapy.targets import Halo, Target
from dmgammapy.targets.core import factor_name

from ._files import DatasetFiles, linked_files
from ._finding import SourceFiles, fits, place_of, shown_path
from ._inputs import is_path, missing_jfactor, named_targets, read_targets
from ._member_checks import (
    check_names,
    check_widths,
    read_covariance,
    say_no_factor,
    shapes_without_effect,
)
from ._overrides import check_overrides, overridden_names, override_keys
from ._sections import dataset_formats
from ._tasks import digest

__all__ = ["Member", "Members"]

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
        By instrument; where each channel has one, that of the first.
    parts : dict of dict of `~pathlib.Path`
        By instrument and channel, where each channel has a file of its own.
    """

    target: Target
    label: str
    profile: str | None
    spatial: str
    files: dict = field(hash=False, default_factory=dict)
    parts: dict = field(hash=False, default_factory=dict)

    def task(self, instrument):
        """Id of the task that makes its likelihood."""
        return "/".join(["castro", *([instrument] if instrument else []), self.label])

    def region_task(self, instrument):
        """Id of the task that fits the region around it."""
        return self.task(instrument).replace("castro", "region", 1)


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
        self.warnings = []
        self.rosters, self.all, self.skipped, self.notes = {}, {}, {}, []
        self.sources = SourceFiles(config)
        self.patterns = self.sources.patterns
        # what was looked at: absent files too, patterns of which all is taken, rosters
        self.probed, self.globs, self.read = self.sources.probed, set(), self._files_read()
        self._linked, self._described = {}, {}
        self.of_shape = set()  # targets with the J of their density profile
        self.covariance = read_covariance(config)
        self._chosen = chosen = self._choose()
        check_widths(config, self.names)
        self._check_blank_fields()
        self._labels = labels_of(chosen)
        self._reasons = {}
        for name, members in chosen.items():
            found = [self._member(name, target, profile) for target, profile in members]
            self.rosters[name] = [member for member in found if member is not None]
        self._check()
        check_names(config, self.all, self.sections)

    def place(self, instrument, *keys):
        """Where something about a source stands in the configuration."""
        return place_of(self.config, instrument, *keys)

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
        chosen, self.named, self.sections = {}, overridden_names(config), self._sections()
        self._left, self._named_in = {}, {}
        for name, (section, loc) in self.sections.items():
            chosen[name], self._left[name] = read_targets(config, section, loc)
            self._named_in[name] = named_targets(config, section)
            self.named |= self._named_in[name]
        names = [target.name for members in chosen.values() for target, _ in members]
        left = [name for skipped in self._left.values() for name in skipped]
        self.names = list(dict.fromkeys([*names, *left]))
        self.notes += check_overrides(config, [m for found in chosen.values() for m in found])
        if self.covariance is not None:
            chosen = self._with_covariance(chosen)
        return chosen

    def _with_covariance(self, chosen):
        """Targets whose width is that of the covariance, where they have none of their own."""
        covariance, loc = self.covariance, ("jfactor", "covariance")
        used = {target.name for members in chosen.values() for target, _ in members}
        unused = [name for name in covariance.names if name not in used]
        if len(unused) == len(covariance.names):
            raise self.config.error(loc, f"it holds {', '.join(unused)}, which are not analysed")
        if unused:
            self.notes.append(f"jfactor.covariance: {', '.join(unused)} are not analysed.")
        key = factor_name(self.config.process)
        out = {}
        for roster, members in chosen.items():
            out[roster] = []
            for target, profile in members:
                width = covariance.widths.get(target.name)
                if width is not None and getattr(target, f"{key}_err") is None:
                    if target.has_jfactor(self.config.process):
                        target = target.copy(**{f"{key}_err": float(width)})
                elif width is not None and target.has_jfactor(self.config.process):
                    try:
                        prior = target.jfactor_prior(self.config.process)
                        check_width_in_covariance(target.name, prior, width)
                    except ValueError as error:
                        raise self.config.error(loc, str(error)) from None
                out[roster].append((target, profile))
        return out

    def _check_blank_fields(self):
        """Blank fields are one file each, which can't hold several channels of Glory Duck."""
        section = self.config.blank_fields
        several = [name for name, pattern in self.patterns.items() if pattern.has_channels]
        if section is not None and section.path and several and len(self.config.channels) > 1:
            raise self.config.error(
                ("blank_fields", "path"),
                f"blank fields are one file each, but {', '.join(several)} has a file for each "
                "channel; write them with CastroMaps.write, which holds all channels in one",
            )

    def _member(self, roster, target, profile):
        label = self._labels[identity(target, profile)]
        if label in self.all:
            return self.all[label]
        config = self.config
        spatial = "point" if profile is None else config.profiles[profile].spatial
        reason = None
        if spatial != "point":
            target, reason = self.with_shape(target, profile)
        reason = reason or missing_jfactor(
            target, config.process, config.jfactor.methods != ["fixed"]
        )
        files, parts, absent = {}, {}, []
        for name, section in config.sources.items():
            if not fits(target.name, section.targets):
                continue
            found, why = self.sources.find(name, target, profile)
            if why is not None:
                absent.append((name, why))
            elif isinstance(found, dict):
                files[name], parts[name] = next(iter(found.values())), found
            else:
                files[name] = found
        if not files:
            reason = reason or "; ".join(why for _, why in absent)
            reason = reason or "no source of datasets is about it"
        if reason:
            self._reasons.setdefault(roster, {})[target.name] = reason
            return None
        self._check_instruments(label, files)
        if absent:
            what = ", ".join(f"{name} ({why.removeprefix('no file ')})" for name, why in absent)
            self.notes.append(f"{label}: no file of {what}.")
        self.all[label] = Member(target, label, profile, spatial, files, parts)
        return self.all[label]

    def with_shape(self, target, profile):
        """A target whose J is that of its density profile where no table says it, or the reason."""
        config, process = self.config, self.config.process
        key = factor_name(process)
        for name in override_keys(config, target, profile):
            if getattr(config.jfactor.targets[name], key) is None:
                continue
            counts = [n for n, s in config.sources.items() if s.format in (None, "gammapy")]
            if counts and target.profile:
                raise config.error(
                    ("jfactor", "targets", name, key),
                    "a target with a shape on the sky has the J of its density profile in counts; "
                    "change that, or take the profile's spatial: point",
                )
        if target.has_jfactor(process) or not target.profile:
            return target, None
        try:
            template = Halo.from_target(target).to_spatial_model(process=process)
        except ValueError as error:
            return target, str(error)
        self.of_shape.add(target.key)
        return target.copy(**{key: float(np.log10(template.jfactor.value))}), None

    def _check_instruments(self, label, files):
        seen = {}
        for name in files:
            instrument = self.config.sources[name].instrument or name
            if instrument in seen:
                raise self.config.error(
                    self.place(name, "instrument"),
                    f"{label} would be counted twice: {seen[instrument]} and {name} are of the "
                    f"same instrument, {instrument}",
                )
            seen[instrument] = name

    def _check(self):
        config = self.config
        used = {member.target.name for member in self.all.values()}
        missing = {}
        for roster, (_, loc) in self.sections.items():
            reasons = self._reasons.get(roster, {})
            if not self.rosters[roster]:
                self._nothing_left(roster, self._left[roster] | reasons, loc)
            named = self._named_in[roster] | overridden_names(config)
            for name, why in reasons.items():
                if name in named:
                    missing[name] = why
                if name in used:
                    self.notes.append(f"{name} is not used in the roster {roster}: {why}.")
                else:
                    self.skipped[name] = why
        for skipped in self._left.values():
            self.skipped |= {
                name: why
                for name, why in skipped.items()
                if name not in used and name not in self.skipped
            }
        # in the order of the rosters
        self.skipped = {name: self.skipped[name] for name in self.names if name in self.skipped}
        self.notes += shapes_without_effect(self)
        if missing and config.execution.on_error == "stop":
            reasons = [f"target {name}: {why}" for name, why in missing.items()]
            loc = ("targets",) if config.targets is not None else ("rosters",)
            raise config.error(loc, "\n".join([*reasons, GO_ON]))
        for name, why in self.skipped.items():
            if not self._left_out(name):
                self.warn(f"target {name} is skipped: {why}")
        for note in self.notes:
            self.warn(note)
        self.unused_files = {}
        for name, section in config.sources.items():
            names = [target for target in self.names if fits(target, section.targets)]
            self.unused_files |= self.sources.unused(name, names)

    def _nothing_left(self, roster, skipped, loc):
        say_no_factor(self.config, self._chosen[roster], self.sections[roster], skipped)
        reasons = "\n".join(f"- {who}: {why}" for who, why in skipped.items())
        where = ("datasets",) if isinstance(self.config.datasets, dict) else ("datasets", "path")
        what = f"none of {len(skipped)} targets can be used"
        if len(self.sections) > 1:
            what, where = f"none of the roster's {what[8:]}", loc
        raise self.config.error(where, f"{what}:\n{reasons}")

    def warn(self, text):
        """Log something that is not used, which the manifest keeps."""
        self.warnings.append(text)
        log.warning("%s", text)

    def _left_out(self, name):
        """Whether the configuration itself leaves a target out."""
        return self.skipped[name].startswith(("in ", "not in "))

    def input_files(self, member, instrument):
        """Files that a task about a member reads, by name; those they lead to, too."""
        if self.has_region(instrument):  # all that is read is the fitted region
            return {}
        task, path = member.task(instrument), member.files[instrument]
        found = {task: path}
        found |= {
            channel_file(task, label): other
            for label, other in member.parts.get(instrument, {}).items()
        }
        models = self.models_file(member, instrument)
        if models is not None:
            found[f"models/{task}"] = models
        if self.kind(member, instrument) == "counts":
            parts = self.linked(path) + ([] if models is None else self.linked(models))
            found |= {f"part/{task}/{k:04d}": part for k, part in enumerate(parts)}
        return {name: str(path) for name, path in found.items()}

    def has_region(self, instrument):
        """Whether counts are made of photons, or the region around a target is fitted first."""
        section = self.config.sources[instrument]
        return section.photons is not None or section.region is not None

    def linked(self, path):
        """`linked_files`, read once."""
        if path not in self._linked:
            self._linked[path] = linked_files(path)
        return self._linked[path]

    def models_file(self, member, instrument):
        """Gammapy models of everything but the target, or None."""
        models = self.config.sources[instrument].models
        if models is None:
            return None
        loc = self.place(instrument, "models")
        path = DatasetFiles(self.config.resolve(models, loc)).path(member.target, member.profile)
        if not path.is_file():
            raise self.config.error(loc, f"no file {path}")
        return path

    def kind(self, member, instrument):
        """What a file holds: ``sed``, ``castro``, ``counts`` or, if only it knows, None."""
        section = self.config.sources[instrument]
        if section.models is not None or self.has_region(instrument):
            return "counts"
        if section.format is not None:
            return dataset_formats()[section.format]
        yaml = member.files[instrument].suffix in (".yaml", ".yml")
        return "counts" if yaml else None

    def describe(self, member, instrument):
        """What tasks are told about a member, as JSON; the same dict each time."""
        key = member.label, instrument
        if key not in self._described:
            self._described[key] = self._describe(member, instrument)
        return self._described[key]

    def _describe(self, member, instrument):
        section = self.config.sources[instrument]
        kind = self.kind(member, instrument)
        target, task = member.target, member.task(instrument)
        width = target.log10_jfactor_err
        if self.config.process == "decay":
            width = target.log10_dfactor_err
        return {
            "task": task,
            "target": target.to_dict(),
            "label": member.label,
            "instrument": section.instrument or instrument,
            "format": None if kind == "counts" else section.format,
            "kind": kind,
            "spatial": member.spatial,
            "has_width": width is not None and bool(np.all(np.isfinite(width))),
            "file": task,
            "parts": {
                label: channel_file(task, label) for label in member.parts.get(instrument, ())
            },
            "names": self.sources.names_in_file(instrument, member),
            "models": self._models_name(instrument, task),
            "region": self.has_region(instrument),
            "shown": self._shown(member, instrument),
        }

    def _models_name(self, instrument, task):
        """Name of a file of models among the files of a task; of a fitted region it is a part."""
        if self.config.sources[instrument].models is None or self.has_region(instrument):
            return None
        return f"models/{task}"

    def _shown(self, member, instrument):
        """Path of the data as results show it; of several channels with {channel} in it."""
        path = member.files[instrument]
        if instrument in member.parts:
            path = self.patterns[instrument].path(member.target, member.profile)
        return shown_path(self.config, path)


def channel_file(task, label):
    """Name of the file of a channel among the files of a task."""
    return f"channel/{task}/{label}"


def identity(target, profile):
    """What tells one way of analysing a target from another."""
    return digest([target.to_dict(), profile])


def labels_of(chosen):
    """Names of members by `identity`: short for the first, so that later rosters change nothing.

    Parameters
    ----------
    chosen : dict of list of (`~dmgammapy.targets.Target`, str or None)
        Targets and profiles by roster.
    """
    seen = {}
    for roster, members in chosen.items():
        for target, profile in members:
            found = seen.setdefault(target.name, {})
            found.setdefault(identity(target, profile), (roster, target.version, profile))
    labels = {}
    for name, found in seen.items():
        tries = {}
        for key, (roster, version, profile) in found.items():
            suffix = profile or (version or roster if name in tries.values() else None)
            label = name if suffix is None else f"{name}.{_path_part(suffix)}"
            # the same version of two tables: they differ in J
            tries[key] = f"{label}.{roster}" if label in tries.values() else label
        labels |= tries
    return labels


def _path_part(text):
    return re.sub(r"[^\w.+-]", "_", text)
