"""What a run looked at and made, for its manifest."""

import os
from datetime import UTC, datetime
from pathlib import Path

from ._tasks import digest
from ._yaml import VARIABLE
from .store import hash_file, make_fingerprint

__all__ = ["config_dict", "identity_of", "input_files", "manifest_info", "now", "take_fingerprint"]


def now():
    """Time as text."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def config_dict(config):
    """What a configuration says itself, as JSON."""
    return config.model_dump(mode="json", exclude_unset=True)


def identity_of(config, output):
    """What tells the results of a configuration from those of others.

    A file goes by its place as seen from the results, so that both may move together; a dict by
    the targets and data it is about.
    """
    if config.path is not None:
        return os.path.relpath(config.path, output)
    about = {
        name: value
        for name, value in config_dict(config).items()
        if name in ("targets", "rosters", "datasets", "process")
    }
    return f"a dict about targets and data {digest(about)[:12]}"


def input_files(plan):
    """Absolute paths of all files that tasks read."""
    return sorted({path for task in plan.tasks.values() for path in task.files.values()})


def take_fingerprint(plan):
    """What there is of all that planning and tasks look at.

    Parameters
    ----------
    plan : `~dmgammapy.analysis._plan.Plan`

    Returns
    -------
    fingerprint : dict or None
        None if the configuration is not what its file says.
    """
    config, members = plan.config, plan.members
    if config.path is None or not config.is_as_written:
        return None
    files = input_files(plan)
    texts = [config.text]
    texts += [_text(path) for path in files if path.endswith((".yaml", ".yml"))]
    variables = {a or b for text in texts for a, b in VARIABLE.findall(text)}
    globs = [pattern.glob for pattern in members.patterns.values()]
    globs += sorted(members.globs)
    probes = {*files, *map(str, members.probed), *map(str, members.read)}
    probes |= {str(path) for items in plan.published.values() for path, _ in items}
    names = {*variables, "CALDB", "GAMMAPY_DATA", "HOME"}
    return make_fingerprint(config.path, sorted(probes), sorted(globs), sorted(names))


def _text(path):
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def manifest_info(plan, began, seconds, complete, before):
    """Contents of the manifest.

    Parameters
    ----------
    plan : `~dmgammapy.analysis._plan.Plan`
    began : str
        Time at the start.
    seconds : float
    complete : bool
        Whether all tasks are done.
    before : dict or None
        `take_fingerprint` at the start: what changed meanwhile may be in some results only.
    """
    config = plan.config
    fingerprint = take_fingerprint(plan)
    info = {
        "config": config_dict(config),
        "config_file": None if config.path is None else str(config.path),
        "start": began,
        "end": now(),
        "seconds": seconds,
        "seeds": {name: section.seed for name, section in config.scenarios.items()},
        "inputs": {path: hash_file(path) for path in input_files(plan) if Path(path).is_file()},
        "targets": {
            label: {name: str(path) for name, path in member.files.items()}
            for label, member in plan.members.all.items()
        },
        "skipped": plan.members.skipped,
        "warnings": plan.members.warnings,
        "complete": complete,
    }
    if fingerprint is not None and fingerprint == before:
        info["fingerprint"] = fingerprint
    return info
