"""Which targets an analysis uses, from which files, and why others are skipped."""

import re

import numpy as np

from dmgammapy.estimators.io import read_published_limits
from dmgammapy.spectra import BinnedSpectra, channel_label, read_spectra
from dmgammapy.spectra.readers import external_table
from dmgammapy.targets import Targets, UnknownNameError
from dmgammapy.targets.io.rosters import roster_entries

from ._overrides import factor_keys, overridden_names, with_override
from ._yaml import ConfigError, format_loc, nearest

__all__ = [
    "is_path",
    "missing_jfactor",
    "named_targets",
    "profile_of",
    "profile_target",
    "read_published",
    "read_scan_spectra",
    "read_targets",
    "roster_library",
    "spectra_source",
]


# how dmpipe ends names of versions of which data resolve the shape
SHAPES = ("_radial", "_map")
MOST_NAMED = 10


def is_path(text):
    """Whether a text that may be a bundled name means a file."""
    return any(mark in text for mark in ("/", "\\", ".", "~", "$"))


def read_targets(config, section, loc):
    """Targets of a roster of the configuration, and those it leaves out.

    Parameters
    ----------
    config : `~dmgammapy.analysis.AnalysisConfig`
    section : `~dmgammapy.analysis.config.TargetsConfig`
    loc : tuple of str
        Where the section stands.

    Returns
    -------
    targets : list of (`~dmgammapy.targets.Target`, str or None)
        With the profile that each is named with.
    skipped : dict
        Reason by target name.
    """
    targets, profiles = _all_targets(config, section, loc)
    where = Roster(config, section, loc)
    selected = set(targets) if section.select is None else where.matching(targets, "select")
    excluded = where.matching(targets, "exclude")
    kept, skipped = [], {}
    for target in targets:
        if target not in selected:
            skipped[target.name] = f"not in {format_loc((*loc, 'select'))}"
        elif target in excluded:
            skipped[target.name] = f"in {format_loc((*loc, 'exclude'))}"
        else:
            kept.append(target)
    where.check_unique(kept)
    names = [target.name for target in kept]
    # of several versions of a target only the used one counts
    skipped = {name: why for name, why in skipped.items() if name not in names}
    named = [(t, profiles.get(t.key) or profile_of(config, t.version)) for t in kept]
    return [(with_override(config, *pair), pair[1]) for pair in named], skipped


def profile_of(config, version):
    """Profile that is a short name of a version and says no more, or None."""
    if version is None:
        return None
    names = [
        name
        for name, profile in config.profiles.items()
        if profile.version == version and profile.spatial == "point"
    ]
    return names[0] if len(names) == 1 else None


class Roster:
    """A section of targets, with the place where it stands for errors."""

    def __init__(self, config, section, loc):
        self.config, self.section, self.loc = config, section, loc

    def error(self, key, message):
        return self.config.error((*self.loc, *key), message)

    def matching(self, targets, key):
        """Targets that the patterns of ``select`` or ``exclude`` fit."""
        found = set()
        for i, pattern in enumerate(getattr(self.section, key)):
            name, _, profile = pattern.partition(":")
            version = self.config.profiles.get(profile)
            if version is not None and version.version is not None:
                pattern = f"{name}:{version.version}"
            try:
                found.update(targets.select(pattern))
            except UnknownNameError:
                names = [target.name for target in targets]
                hint = nearest(name, names)
                suggestion = f"; did you mean {hint!r}?" if hint else f", which has {_few(names)}"
                raise self.error(
                    (key, i), f"{pattern} is not in {self._shown(targets)}{suggestion}"
                ) from None
            except ValueError as error:
                raise self.error((key, i), str(error)) from None
        return found

    def _shown(self, targets):
        source = self.section.file or self.section.roster
        return f"roster {source}" if source else f"names, which are {_few(t.key for t in targets)}"

    def check_unique(self, targets):
        keys = {}
        for target in targets:
            keys.setdefault(target.name, []).append(target.key)
        for name, versions in keys.items():
            if len(versions) > 1 and self.section.names is not None and not self.section.select:
                raise self.error(
                    ("names",) if "names" in self.section.model_fields_set else (),
                    f"{name} is there in several versions ({', '.join(versions)}), and would be "
                    "counted that often; remove one of the names",
                )
            if len(versions) > 1:
                raise self.error(
                    (),
                    f"{name} is there in several versions ({', '.join(versions)}), and would be "
                    f"counted that often; choose one with {format_loc((*self.loc, 'select'))}",
                )


def _all_targets(config, section, loc):
    """Targets of a section, and the profile by key of those that are named with one."""
    key = "names" if section.names is not None else "file" if section.file else "roster"
    loc = (*loc, key)
    profiles = config.profiles
    try:
        if key == "names":
            targets, named = _named(section.names, profiles)
        elif key == "roster" and not is_path(section.roster):
            targets, named = Targets.read_roster(section.roster), {}
        else:
            path = config.resolve(section.file or section.roster, loc)
            if not path.is_file():
                raise config.error(
                    loc, f"no file {path}; bundled rosters are {', '.join(Targets.rosters())}"
                )
            roster = section.roster if section.file else None
            aliases = {
                name: profile.version
                for name, profile in profiles.items()
                if profile.version is not None
            }
            targets = Targets.read(path, roster=roster, aliases=aliases)
            named = {}
            if section.profile is None:
                named = _named_in_file(path, roster, targets, profiles)
        if section.profile is not None:
            version = profiles[section.profile].version
            if version is not None:
                targets = _in_version(targets, version)
            named = {target.key: section.profile for target in targets}
        return targets, named
    except ConfigError:
        raise
    except (ValueError, OSError) as error:
        hint = nearest(section.roster, Targets.rosters()) if key == "roster" else None
        suggestion = f" Did you mean {hint!r}?" if hint else ""
        raise config.error(loc, f"{_text(error)}{suggestion}") from error


def _named_in_file(path, roster, targets, profiles):
    """Profiles by key of the targets that a file names with one."""
    entries, found = roster_entries(path, roster), list(targets)
    if len(entries) != len(found):  # some are there twice, in the same version
        by_name = {target.name: target for target in found}
        found = [by_name[name] for name, _ in entries]
    words, named = {}, {}
    for (name, word), target in zip(entries, found, strict=True):
        if word in profiles:
            named[target.key] = word
        elif word is not None and word.endswith(SHAPES) and word != target.version:
            raise ValueError(
                f"{path}: {name}:{word} is {target.version} with a shape on the sky, which only "
                f"the configuration can tell; add to it profiles: {{{word}: {{version: "
                f"{target.version}, spatial: {word.rpartition('_')[2]}}}}}."
            )
        other = words.setdefault(target.key, word)
        if _spatial(profiles, other) != _spatial(profiles, word):
            raise ValueError(
                f"{path}: {name} is there with two shapes on the sky, {other} and {word}; take "
                "one off."
            )
    return named


def _spatial(profiles, word):
    return profiles[word].spatial if word in profiles else "point"


def _in_version(targets, version):
    """The same targets in another version: of the file if it has it, otherwise bundled."""
    own = {t.name: t for t in targets if t.version == version}
    names = dict.fromkeys(t.name for t in targets)
    found = [own.get(name) or Targets.from_names([f"{name}:{version}"])[0] for name in names]
    return Targets(found)


def _named(names, profiles):
    """Bundled targets of names with a version or a profile."""
    full, named = [], []
    for text in names:
        name, _, suffix = text.partition(":")
        profile = profiles.get(suffix)
        version = suffix if profile is None else profile.version
        full.append(f"{name}:{version}" if version else name)
        named.append(None if profile is None else suffix)
        if full.count(full[-1]) > 1:
            raise ValueError(f"{full[-1]} is named twice: remove one.")
    targets = Targets.from_names(full)
    return targets, {t.key: p for t, p in zip(targets, named, strict=True) if p is not None}


def _few(names):
    names = list(names)
    return ", ".join(names[:MOST_NAMED]) + (" ..." if len(names) > MOST_NAMED else "")


def _text(error):
    """Message of an exception; KeyError would show it in quotes."""
    return str(error.args[0]) if error.args else type(error).__name__


def roster_library(config, section, loc):
    """Targets of a section in all versions that it has, as `Targets`."""
    return _all_targets(config, section.model_copy(update={"profile": None}), loc)[0]


def profile_target(config, library, target, profile):
    """A target as another profile has it.

    Parameters
    ----------
    config : `~dmgammapy.analysis.AnalysisConfig`
    library : list of `~dmgammapy.targets.Target`
        Of its roster, which go before the bundled ones.
    target : `~dmgammapy.targets.Target`
    profile : str

    Returns
    -------
    target : `~dmgammapy.targets.Target`
        With the J-factor that the configuration gives it.

    Raises
    ------
    ValueError
        If there is no such version.
    """
    version = config.profiles[profile].version or target.version
    found = [t for t in library if t.name == target.name and t.version == version]
    found = found or list(Targets.from_names([f"{target.name}:{version}"]))
    return with_override(config, found[0], profile)


def named_targets(config, section):
    """Names of the targets that the configuration itself names, not just their roster."""
    listed = [*(section.names or ()), *(section.select or ())]
    names = {text.partition(":")[0] for text in listed if not re.search(r"[*?\[]", text)}
    return names | overridden_names(config)


def missing_jfactor(target, process, needs_width):
    """Why a target can't be used, or None."""
    value, width = factor_keys(process)
    if not target.has_jfactor(process):
        versions = _versions_with(target, process)
        choose = f"choose a version that has it, {', '.join(versions)}, or " if versions else ""
        return (
            f"no {value} in {_source(target)}; {choose}give it under jfactor.targets.{target.name}"
        )
    err = getattr(target, width)
    if needs_width and (err is None or not np.all(np.isfinite(err))):
        return (
            f"no {width} in {_source(target)}, which all J treatments but fixed need; give it "
            f"under jfactor.targets.{target.name}, or choose method: fixed"
        )
    return None


def _versions_with(target, process):
    """Bundled versions of a target that was named without one and have its factor."""
    if target.version != "default":
        return []
    known = [t for t in Targets.bundled() if t.name == target.name and t.has_jfactor(process)]
    return [t.key for t in known]


def _source(target):
    return target.version or target.reference or "its table"


def spectra_source(config):
    """What `read_spectra` takes, with absolute paths."""
    source = config.spectra
    if isinstance(source, dict) and "path" in source:
        return source | {"path": str(config.resolve(source["path"], ("spectra", "path")))}
    if isinstance(source, str) and is_path(source):
        source = config.resolve(source, ("spectra",))
        if not source.is_file():
            raise config.error(("spectra",), f"no file {source}")
        return {"path": str(source)}
    path = external_table(source) if isinstance(source, str) else None
    if path is not None and path.is_file():
        # named, but a file all the same, on whose content results depend
        return {"path": str(path.absolute()), "format": source.lower()}
    return source


def read_scan_spectra(config):
    """Spectra of the configuration, after checking that they hold its channels and masses.

    Returns
    -------
    spectra : `~dmgammapy.spectra.Spectra`
    """
    try:
        spectra = read_spectra(spectra_source(config))
    except (ValueError, OSError, KeyError) as error:
        if isinstance(error, ConfigError):
            raise
        raise config.error(("spectra",), _text(error)) from error
    masses = config.mass_grid
    low, high = spectra.mass_range(config.process)
    outside = np.flatnonzero((masses < low) | (masses > high))
    if outside.size:
        i = int(outside[0])
        loc = ("masses", i) if isinstance(config.masses, list) else ("masses",)
        raise config.error(
            loc,
            f"{masses[i]:g} lies outside of the spectra {spectra.name}, which cover "
            f"{low:g} to {high:g} for {config.process}",
        )
    possible = False
    for i, channel in enumerate(config.channels):
        try:
            possible |= bool(spectra.is_valid(masses, channel, process=config.process).any())
        except ValueError as error:
            raise config.error(("channels", i), str(error)) from None
    if not possible:
        raise config.error(
            ("masses",),
            f"all masses lie below the thresholds of {', '.join(config.channel_labels)}: there is "
            "nothing to constrain",
        )
    _check_signals(config, spectra)
    return spectra


def _check_signals(config, spectra):
    """Check that the spectra hold what simulations inject."""
    for name, section in config.scenarios.items():
        if section.injected is None:
            continue
        mass, channel = section.injected.mass, section.injected.channel
        loc = ("simulations", name, "injected")
        try:
            valid = spectra.is_valid(mass, channel, process=config.process)
            if isinstance(spectra, BinnedSpectra):
                spectra.integrate(spectra.energy_edges, mass, channel, config.process)
        except ValueError as error:
            raise config.error(loc, str(error)) from None
        if not valid:
            label = channel_label(channel)
            raise config.error((*loc, "mass"), f"{mass:g} is below the threshold of {label}")


def read_published(config):
    """Published limits that the configuration wants to see drawn.

    Returns
    -------
    published : dict of list of (`~pathlib.Path`, `~astropy.table.QTable`)
        By channel of the analysis.

    Raises
    ------
    ConfigError
        If a file can't be read or belongs to none of the channels.
    """
    tables = {}
    for i, text in enumerate(config.plots.published):
        loc = ("plots", "published", i)
        path = config.resolve(text, loc)
        try:
            table = read_published_limits(path)
            channel = channel_label(table.meta["channel"])
        except (ValueError, OSError) as error:
            raise config.error(loc, str(error)) from error
        except KeyError:
            raise config.error(loc, f"{path} does not say its channel") from None
        if table.meta["process"] != config.process:
            raise config.error(
                loc, f"{path} is about {table.meta['process']}, the analysis about {config.process}"
            )
        if channel not in config.channel_labels:
            raise config.error(
                loc, f"{path} is about the channel {channel}, which is not in channels"
            )
        tables.setdefault(channel, []).append((path, table))
    return tables
