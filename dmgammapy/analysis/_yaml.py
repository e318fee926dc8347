"""YAML files that remember on which line each value stands, for errors that name it."""

import re
from difflib import get_close_matches
from pathlib import Path

import yaml

__all__ = ["VARIABLE", "ConfigError", "YAMLSource", "did_you_mean", "nearest"]

# of the environment, in a text
VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")


class ConfigError(ValueError):
    """A configuration that can't be used; the message names file, line and key."""


class YAMLSource:
    """A parsed YAML file.

    Parameters
    ----------
    path : str or `~pathlib.Path`

    Attributes
    ----------
    data : dict
        The content.
    text : str
        As it was when it was read.
    file : `~pathlib.Path`
        Absolute.

    Raises
    ------
    ConfigError
        If the file can't be read, is not valid YAML, has a key twice, or is not a mapping.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.file = self.path.absolute()  # also if the current folder changes
        try:
            text = self.text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ConfigError(f"{self.path}: no such configuration file.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.path}: can't be read as text: {error}.") from None
        try:
            loader = yaml.SafeLoader(text)
            try:
                self._root = loader.get_single_node()
                if self._root is not None:
                    self._check_keys(self._root, ())
                    self.data = loader.construct_document(self._root)
            finally:
                loader.dispose()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            raise ConfigError(f"{self.path}{place}: not valid YAML: {error.problem}.") from None
        except yaml.YAMLError as error:
            raise ConfigError(f"{self.path}: not valid YAML: {error}.") from None
        if self._root is None:
            raise ConfigError(f"{self.path}: the file is empty; expected a configuration.")
        if not isinstance(self.data, dict):
            raise ConfigError(
                f"{self.path}, line {self._root.start_mark.line + 1}: expected 'key: value' "
                f"pairs at the top level, got a {type(self.data).__name__}."
            )

    def _check_keys(self, node, loc):
        """PyYAML keeps the last of repeated keys without a word."""
        if isinstance(node, yaml.MappingNode):
            lines = {}
            for key, value in node.value:
                name = key.value if isinstance(key, yaml.ScalarNode) else str(key)
                line = key.start_mark.line + 1
                if name in lines:
                    raise ConfigError(
                        f"{self.path}, line {line}: the key {format_loc((*loc, name))!r} stands "
                        f"on line {lines[name]} already; keep one."
                    )
                lines[name] = line
                self._check_keys(value, (*loc, name))
        elif isinstance(node, yaml.SequenceNode):
            for i, value in enumerate(node.value):
                self._check_keys(value, (*loc, i))

    def line(self, loc, of_key=False):
        """Line on which a value (or its key) stands, or the closest one around it.

        Parameters
        ----------
        loc : tuple of str and int
            Keys and list indices from the top.
        of_key : bool
            Give the line of the last key rather than of the value. Default is False.
        """
        node = self._root
        line = node.start_mark.line
        for i, part in enumerate(loc):
            found = _child(node, part)
            if found is None:
                break
            key, node = found
            line = (key if of_key and i == len(loc) - 1 else node).start_mark.line
            if isinstance(node, yaml.MappingNode | yaml.SequenceNode) and key is not node:
                # a block begins below its key: the key is what people look for
                line = key.start_mark.line
        return line + 1


def _child(node, part):
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == str(part):
                return key, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def format_loc(loc):
    """Write a place as ``jfactor.targets.draco`` or ``masses[2]``."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else str(part)
    return text


def nearest(word, known):
    """The entry of ``known`` that ``word`` is most like, or None."""
    known = [str(name) for name in known]
    by_case = {name.lower(): name for name in known}
    found = get_close_matches(str(word).lower(), by_case, n=1, cutoff=0.6)
    return by_case[found[0]] if found else None


def did_you_mean(word, known, sentence=False):
    """What to add to an error about an unknown word: the nearest known one, or nothing.

    Parameters
    ----------
    word : str
    known : iterable of str
    sentence : bool
        Whether it follows a full stop. Default is False.
    """
    hint = nearest(word, known)
    if not hint:
        return ""
    return f" Did you mean {hint!r}?" if sentence else f"; did you mean {hint!r}?"
