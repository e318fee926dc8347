"""Read target files of any known format."""

from pathlib import Path

from ._names import closest_first
from .bundled import bundled_target
from .io._yaml import load_yaml
from .io.dmsky import read_dmsky
from .io.ecsv import read_ecsv
from .io.rosters import is_target_list, read_rosters, read_target_list

__all__ = ["FORMATS", "read_targets"]

FORMATS = ("ecsv", "dmsky", "roster", "dmpipe")
YAML_SUFFIXES = (".yaml", ".yml")


def read_targets(path, format=None, roster=None, library=None, aliases=None):
    """Read targets from a file of any known format, see `Targets.read`."""
    path = Path(path)
    if format is not None and format not in FORMATS:
        raise ValueError(f"unknown format {format!r}; known are {closest_first(format, FORMATS)}.")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    data = None
    if format is None:
        format, data = _identify(path)
    elif format != "ecsv":
        data = load_yaml(path)
    if roster is not None and format != "roster":
        raise ValueError(f"{path}: roster={roster!r} has no use for the format {format}.")
    if format == "ecsv":
        return read_ecsv(path)
    if format == "dmsky":
        return read_dmsky(path, data, bundled=bundled_target)
    if format == "roster":
        return read_rosters(path, data, roster, library, aliases)
    return read_target_list(path, data, library, aliases)


def _identify(path):
    """Format of a file, and its content if it is YAML."""
    if path.suffix == ".ecsv":
        return "ecsv", None
    if path.suffix not in YAML_SUFFIXES:
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(b"# %ECSV"):
            return "ecsv", None
        raise ValueError(
            f"{path}: can't tell the format from the name; expected .ecsv, .yaml or .yml, or "
            f"format= one of {', '.join(FORMATS)}."
        )
    data = load_yaml(path)
    kinds = {type(value) for value in data.values()}
    if kinds == {dict}:
        return "dmsky", data
    if kinds == {list}:
        return ("dmpipe" if is_target_list(data) else "roster"), data
    if not data:
        raise ValueError(f"{path}: the file is empty.")
    for name, value in data.items():
        if not isinstance(value, (dict, list)):
            raise ValueError(
                f"{path}, {name}: expected versions of a target or the items of a roster, got "
                f"{value!r}."
            )
    raise ValueError(f"{path}: targets and rosters are mixed; put them into two files.")
