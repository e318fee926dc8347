"""Which targets an analysis uses, from which files, and why others are skipped."""

import glob
import re
import unicodedata
from pathlib import Path

import numpy as np

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators.io import read_published_limits
from dmgammapy.spectra import channel_label, read_spectra
from dmgammapy.targets import Targets

from ._yaml import ConfigError, nearest

__all__ = [
    "DatasetFiles",
    "missing_jfactor",
    "named_targets",
    "read_dataset",
    "read_published",
    "read_scan_spectra",
    "read_targets",
]


def _is_path(text):
    """Whether a text that may be a bundled name means a file."""
    return any(mark in text for mark in ("/", "\\", ".", "~", "$"))


def read_targets(config):
    """Targets of the configuration, with its J-factors, and those it leaves out.

    Returns
    -------
    targets : list of `~dmgammapy.targets.Target`
    skipped : dict
        Reason by target name.
    """
    targets = _all_targets(config)
    section = config.targets
    selected = set(targets) if section.select is None else _matching(config, targets, "select")
    excluded = _matching(config, targets, "exclude")
    kept, skipped = [], {}
    for target in targets:
        if target not in selected:
            skipped[target.name] = "not in targets.select"
        elif target in excluded:
            skipped[target.name] = "in targets.exclude"
        else:
            kept.append(target)
    _check_unique(config, kept)
    names = [target.name for target in kept]
    for name in config.jfactor.targets:
        if name not in names:
            hint = nearest(name, names)
            suggestion = f"; did you mean {hint!r}?" if hint else ""
            raise config.error(
                ("jfactor", "targets", name), f"no target {name!r} is used{suggestion}"
            )
    # of several versions of a target only the used one counts
    skipped = {name: why for name, why in skipped.items() if name not in names}
    return [_with_override(config, target) for target in kept], skipped


def _matching(config, targets, key):
    """Targets that the patterns of ``targets.select`` or ``targets.exclude`` fit."""
    found = set()
    for i, pattern in enumerate(getattr(config.targets, key)):
        try:
            found.update(targets.select(pattern))
        except ValueError as error:
            raise config.error(("targets", key, i), str(error)) from None
    return found


def _check_unique(config, targets):
    keys = {}
    for target in targets:
        keys.setdefault(target.name, []).append(target.key)
    for name, versions in keys.items():
        if len(versions) > 1:
            raise config.error(
                ("targets",),
                f"{name} is there in several versions ({', '.join(versions)}), and would be "
                "counted that often; choose one with targets.select",
            )


def _all_targets(config):
    section = config.targets
    key = "names" if section.names is not None else "file" if section.file else "roster"
    loc = ("targets", key)
    try:
        if key == "names":
            return Targets.from_names(section.names)
        if key == "roster" and not _is_path(section.roster):
            return Targets.read_roster(section.roster)
        path = config.resolve(section.file or section.roster, loc)
        if not path.is_file():
            raise config.error(
                loc, f"no file {path}; bundled rosters are {', '.join(Targets.rosters())}"
            )
        return Targets.read(path, roster=section.roster if section.file else None)
    except ConfigError:
        raise
    except (ValueError, OSError) as error:
        hint = nearest(section.roster, Targets.rosters()) if key == "roster" else None
        suggestion = f" Did you mean {hint!r}?" if hint else ""
        raise config.error(loc, f"{_text(error)}{suggestion}") from error


def _text(error):
    """Message of an exception; KeyError would show it in quotes."""
    return str(error.args[0]) if error.args else type(error).__name__


def _factor_keys(process):
    kind = "jfactor" if process == "annihilation" else "dfactor"
    return f"log10_{kind}", f"log10_{kind}_err"


def _with_override(config, target):
    override = config.jfactor.targets.get(target.name)
    if override is None:
        return target
    given = {name: getattr(override, name) for name in override.model_fields_set}
    value, _ = _factor_keys(config.process)
    wrong = [name for name in given if not name.startswith(value)]
    if wrong:
        raise config.error(
            ("jfactor", "targets", target.name, wrong[0]),
            f"{wrong[0]} has no use in {config.process}; give {value}",
        )
    return target.copy(**given)


def named_targets(config):
    """Names of the targets that the configuration itself names, not just their roster."""
    section = config.targets
    listed = [*(section.names or ()), *(section.select or ())]
    names = {text.partition(":")[0] for text in listed if not re.search(r"[*?\[]", text)}
    return names | set(config.jfactor.targets)


def missing_jfactor(target, process, method):
    """Why a target can't be used, or None."""
    value, width = _factor_keys(process)
    if not target.has_jfactor(process):
        versions = _versions_with(target, process)
        choose = f"choose a version that has it, {', '.join(versions)}, or " if versions else ""
        return (
            f"no {value} in {_source(target)}; {choose}give it under jfactor.targets.{target.name}"
        )
    err = getattr(target, width)
    if method != "fixed" and (err is None or not np.all(np.isfinite(err))):
        return (
            f"no {width} in {_source(target)}, which method: {method} needs; give it under "
            f"jfactor.targets.{target.name}, or choose method: fixed"
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


class DatasetFiles:
    """Files that a path pattern with ``{target}`` leads to.

    Parameters
    ----------
    pattern : str or `~pathlib.Path`
        Absolute, with ``{target}``.
    """

    def __init__(self, pattern):
        self.pattern = str(pattern)

    def path(self, name):
        """File of a target, which may not exist."""
        return Path(self.pattern.replace("{target}", name))

    def unused(self, names):
        """Files that fit the pattern but belong to none of ``names``, as {path: name}."""
        pieces = self.pattern.split("{target}")
        expression = re.escape(pieces[0]) + r"(?P<target>[^/\\]+)"
        expression += "(?P=target)".join(re.escape(piece) for piece in pieces[1:])
        found = {}
        for text in sorted(glob.glob("*".join(glob.escape(piece) for piece in pieces))):
            match = re.fullmatch(expression, text)
            if match and match["target"] not in names:
                found[Path(text)] = match["target"]
        return found


def read_dataset(config, target, path, names, spectra):
    """Read the likelihood of a target and put its model on it.

    Parameters
    ----------
    config : `~dmgammapy.analysis.AnalysisConfig`
    target : `~dmgammapy.targets.Target`
    path : `~pathlib.Path`
    names : list of str
        All targets of the roster: a file that says it is of another one is refused.
    spectra : `~dmgammapy.spectra.Spectra`

    Returns
    -------
    dataset : `~dmgammapy.datasets.SEDLikelihoodDataset`
    """
    dataset = SEDLikelihoodDataset.read(
        path,
        format=config.datasets.format,
        norm_type=config.norm_type,
        interpolation=config.interpolation,
        instrument=config.datasets.instrument,
    )
    said = [name for name in names if _letters(name) == _letters(dataset.name)]
    if said and target.name not in said:
        raise ValueError(f"{path}: the file says that it is of {said[0]}, not of {target.name}.")
    dataset.models = target.to_models(
        mass=config.mass_grid[-1],
        channel=config.channels[0],
        process=config.process,
        spectra=spectra,
    )
    return dataset


def _letters(name):
    """Letters and digits of a name: "Ursa Major II" is ursa_major_II."""
    plain = unicodedata.normalize("NFKD", name).lower()
    return re.sub("[^a-z0-9]", "", plain)


def read_scan_spectra(config):
    """Spectra of the configuration, after checking that they hold its channels and masses.

    Returns
    -------
    spectra : `~dmgammapy.spectra.Spectra`
    """
    source = config.spectra
    if isinstance(source, dict) and "path" in source:
        source = source | {"path": str(config.resolve(source["path"], ("spectra", "path")))}
    elif isinstance(source, str) and _is_path(source):
        source = config.resolve(source, ("spectra",))
        if not source.is_file():
            raise config.error(("spectra",), f"no file {source}")
    try:
        spectra = read_spectra(source)
    except (ValueError, OSError, KeyError) as error:
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
    for i, channel in enumerate(config.channels):
        try:
            spectra.is_valid(masses, channel, process=config.process)
        except ValueError as error:
            raise config.error(("channels", i), str(error)) from None
    return spectra


def read_published(config):
    """Published limits that the configuration wants to see drawn.

    Returns
    -------
    published : dict of list of `~astropy.table.QTable`
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
        tables.setdefault(channel, []).append(table)
    return tables
