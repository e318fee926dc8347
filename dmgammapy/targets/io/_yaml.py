"""YAML files, with the checks that PyYAML leaves out."""

from pathlib import Path

import yaml

__all__ = ["load_yaml", "parse_yaml"]


def load_yaml(path):
    """Read a YAML file that holds a mapping, see `parse_yaml`."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file: {error}.") from None
    return parse_yaml(text, str(path))


def parse_yaml(text, where):
    """Parse YAML that holds a mapping without repeated keys.

    Parameters
    ----------
    text : str
        The content.
    where : str
        What errors call it.

    Returns
    -------
    data : dict

    Raises
    ------
    ValueError
        If it is empty, not valid, no mapping, or has a key twice.
    """
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            raise ValueError(f"{where}: the file is empty.")
        if not isinstance(root, yaml.MappingNode):
            raise ValueError(
                f"{where}, line {root.start_mark.line + 1}: expected 'name: ...' at the top level."
            )
        _check_keys(root, where, ())
        return loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}" if mark else ""
        raise ValueError(
            f"{where}{place}: not valid YAML, perhaps cut off: {error.problem}."
        ) from None
    except yaml.YAMLError as error:
        raise ValueError(f"{where}: not valid YAML: {error}.") from None
    finally:
        if loader is not None:
            loader.dispose()


def _check_keys(node, where, path):
    """PyYAML keeps the last of repeated keys without a word."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(item, where, path)
    if not isinstance(node, yaml.MappingNode):
        return
    lines = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise ValueError(f"{where}, line {line}: a key must be a plain text.")
        here = (*path, key.value)
        if key.value in lines:
            raise ValueError(
                f"{where}, line {line}: {' > '.join(here)} stands on line {lines[key.value]} "
                "already; keep one."
            )
        lines[key.value] = line
        _check_keys(value, where, here)
