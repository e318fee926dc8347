"""J-factors that the configuration gives in place of the tables': ``jfactor.targets``."""

from dmgammapy.targets.core import factor_name

from ._yaml import nearest

__all__ = [
    "check_overrides",
    "factor_keys",
    "factor_source",
    "overridden_names",
    "override_keys",
    "with_override",
]


def check_overrides(config, members):
    """Check that every entry of ``jfactor.targets`` is about a target that is used.

    Parameters
    ----------
    config : `~dmgammapy.analysis.AnalysisConfig`
    members : list of (`~dmgammapy.targets.Target`, str or None)
        With their profiles.

    Returns
    -------
    notes : list of str
        About entries that change several versions of a target.
    """
    simulated = [s.profile for s in config.scenarios.values() if s.profile is not None]
    simulated += [config.profiles[name].version for name in simulated]
    known = {}
    for target, profile in members:
        known.setdefault(target.name, {})[target.version, profile] = None
    notes = []
    for key in config.jfactor.targets:
        name, _, word = key.partition(":")
        if name not in known:
            hint = nearest(name, known)
            suggestion = f"; did you mean {hint!r}?" if hint else ""
            raise config.error(
                ("jfactor", "targets", key), f"no target {name!r} is used{suggestion}"
            )
        words = list(dict.fromkeys(w for pair in known[name] for w in pair[::-1] if w))
        if word and word not in [*words, *simulated]:
            raise config.error(
                ("jfactor", "targets", key),
                f"{name} is not used as {word!r}, but as {', '.join(words) or 'it is'}",
            )
        ways = [profile or version or "its table" for version, profile in known[name]]
        if not word and len(ways) > 1:
            notes.append(
                f"jfactor.targets.{name} is about {name} as {' and '.join(ways)}; "
                f"{name}:{ways[0]} would be about one of them."
            )
    return notes


def override_keys(config, target, profile):
    """Keys of ``jfactor.targets`` that are about a target, the most special last."""
    words = [word for word in (target.version, profile) if word]
    names = dict.fromkeys([target.name, *(f"{target.name}:{word}" for word in words)])
    return [name for name in names if name in config.jfactor.targets]


def factor_source(config, target, profile, has_shape=False):
    """Where J (or D) and width of a target come from, as text.

    Parameters
    ----------
    config : `~dmgammapy.analysis.AnalysisConfig`
    target : `~dmgammapy.targets.Target`
    profile : str or None
    has_shape : bool
        Whether J is that of the density profile. Default is False.
    """
    source = {
        key: "density profile" if has_shape else "table" for key in factor_keys(config.process)
    }
    for key in override_keys(config, target, profile):
        for name in config.jfactor.targets[key].model_fields_set & set(source):
            source[name] = f"jfactor.targets.{key}"
    value, width = source.values()
    return value if value == width or width == "table" else f"{value}; width: {width}"


def factor_keys(process):
    """Names of the astrophysical factor and of its width."""
    factor = factor_name(process)
    return factor, f"{factor}_err"


def with_override(config, target, profile):
    """A target with the J-factor that the configuration gives it."""
    given = {}
    value, _ = factor_keys(config.process)
    for key in override_keys(config, target, profile):
        override = config.jfactor.targets[key]
        given |= {name: getattr(override, name) for name in override.model_fields_set}
        wrong = [name for name in override.model_fields_set if not name.startswith(value)]
        if wrong:
            raise config.error(
                ("jfactor", "targets", key, wrong[0]),
                f"{wrong[0]} has no use in {config.process}; give {value}",
            )
    return target.copy(**given) if given else target


def overridden_names(config):
    """Names of the targets under ``jfactor.targets``."""
    return {key.partition(":")[0] for key in config.jfactor.targets}
