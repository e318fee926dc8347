"""What the targets of an analysis must fulfil, see `dmgammapy.analysis._members.Members`."""

from astropy.table import Table

from dmgammapy.estimators import JFactorCovariance

from ._figure_tasks_simulations import file_name
from ._inputs import is_path
from ._overrides import factor_keys
from ._yaml import nearest

__all__ = [
    "check_names",
    "check_simulated_shape",
    "check_widths",
    "read_covariance",
    "say_no_factor",
    "shapes_without_effect",
]


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


def check_widths(config, names):
    """Check that extra widths are about instruments and targets that are there.

    Parameters
    ----------
    config : `~dmgammapy.analysis.AnalysisConfig`
    names : list of str
        Of the targets.

    Raises
    ------
    ConfigError
        If not.
    """
    widths = config.jfactor.extra_widths
    if not widths:
        return
    known = [section.instrument or name for name, section in config.sources.items()]
    loc = ("jfactor", "extra_widths")
    if "" in known:
        raise config.error(
            loc,
            "name the instrument that they are about: datasets: {path: ..., instrument: ...}",
        )
    for key, value in widths.items():
        named = [key]
        if isinstance(value, dict):
            if key not in names:
                raise config.error((*loc, key), f"no target {key!r}{_hint(key, names)}")
            named = list(value)
        for name in named:
            if name not in known:
                sub = (key,) if name == key else (key, name)
                raise config.error(
                    (*loc, *sub), f"no instrument {name!r} in datasets{_hint(name, known)}"
                )


def _hint(word, known):
    hint = nearest(word, known)
    return f"; did you mean {hint!r}?" if hint else f", which has {', '.join(known)}"


def check_names(config, members, sections):
    """Refuse targets whose results or figures would have the same name of a file.

    Parameters
    ----------
    config : `~dmgammapy.analysis.AnalysisConfig`
    members : dict of `~dmgammapy.analysis._members.Member`
        By label.
    sections : dict
        Sections of the rosters and where they stand, by name.
    """
    seen = {}
    for label in members:
        other = seen.setdefault(file_name(label), label)
        if other != label:
            locs = [loc for _, loc in sections.values()]
            loc = locs[0] if len(locs) == 1 else ("rosters",)
            raise config.error(
                loc,
                f"the results of {other!r} and {label!r} would have the same names; rename one "
                "of them, a blank is taken for _",
            )


def say_no_factor(config, chosen, section, skipped):
    """Refuse a roster of which no target has the J-factor, or width, that is needed.

    Parameters
    ----------
    config : `~dmgammapy.analysis.AnalysisConfig`
    chosen : list of (`~dmgammapy.targets.Target`, str or None)
        Targets of the roster and their profiles.
    section : tuple
        Of the roster, and where it stands.
    skipped : dict
        Reasons by name.

    Raises
    ------
    ConfigError
        If that is why nothing is left.
    """
    process, (section, loc) = config.process, section
    value, width = factor_keys(process)
    targets = [target for target, _ in chosen]
    reasons = [skipped.get(target.name, "") for target in targets]
    if not targets or not all(why.startswith((f"no {value}", f"no {width}")) for why in reasons):
        return
    key = "names" if section.names is not None else "file" if section.file else "roster"
    n, name = len(targets), getattr(section, key)
    of = f" of {name}" if isinstance(name, str) else ""
    counts = [sum(target.has_jfactor(process) for target in targets)]
    counts.append(sum(getattr(target, width) is not None for target in targets))
    text = (
        f"none of the targets{of} can be used: {counts[0]} of {n} have {value}, {counts[1]} have "
        f"{width}"
    )
    if process == "decay":
        text += "; no bundled roster has D-factors"
    elif key == "roster" and not is_path(name):
        text += "; take a roster that has them, such as ackermann2015_dsphs"
    example = targets[0].name
    text += (
        f". Give them in a table of your own (targets: {{file: mine.ecsv}}, columns name, {value}, "
        f"{width}), or by jfactor: {{targets: {{{example}: {{{value}: ..., {width}: ...}}}}}}"
    )
    lines = [f"- {target.name}: {why}" for target, why in zip(targets, reasons, strict=True)]
    raise config.error((*loc, key), "\n".join([text + ":", *lines]))


def shapes_without_effect(members):
    """Notes on profiles with a shape on the sky of which all data hold the shape already.

    Parameters
    ----------
    members : `~dmgammapy.analysis._members.Members`
    """
    found = {}
    for member in members.all.values():
        if member.spatial == "point":
            continue
        kinds = [members.kind(member, name) for name in member.files]
        effect = "counts" in kinds or member.target.key in members.of_shape
        found.setdefault((member.profile, member.spatial), []).append(effect)
    return [
        f"profiles.{profile}: spatial: {spatial} has no effect, as there are no counts of its "
        "targets; other likelihoods are of the shape that they were made with."
        for (profile, spatial), effects in found.items()
        if not any(effects)
    ]


def check_simulated_shape(members, profile, roster, loc):
    """Refuse a profile whose signal has another shape in counts than the one analysed.

    Simulations move J alone.

    Parameters
    ----------
    members : `~dmgammapy.analysis._members.Members`
    profile : str
        Of the signal.
    roster : str
    loc : tuple
        Where the simulation stands.
    """
    wanted = members.config.profiles[profile]
    for member in members.rosters[roster]:
        version = wanted.version or member.target.version
        same = wanted.spatial == member.spatial and (
            wanted.spatial == "point" or version == member.target.version
        )
        kinds = {name: members.kind(member, name) for name in member.files}
        counts = [name for name, kind in kinds.items() if kind == "counts"]
        if counts and not same:
            one = f"{wanted.spatial} of {version}"
            two = f"{member.spatial} of {member.target.version}"
            raise members.config.error(
                (*loc, "profile"),
                f"{profile} gives {member.target.name} another shape in the counts "
                f"({one}) than the one analysed ({two}), and simulations can change its J "
                "only; take a profile of the same shape",
            )
