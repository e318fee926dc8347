"""Files that the patterns of a configuration lead to."""

import glob
import re
from pathlib import Path

__all__ = ["DatasetFiles"]


class DatasetFiles:
    """Files that a path pattern with ``{target}``, ``{profile}``, ``{version}`` leads to.

    Parameters
    ----------
    pattern : str or `~pathlib.Path`
        Absolute.
    """

    def __init__(self, pattern):
        self.pattern = str(pattern)

    def path(self, target, profile=None, **more):
        """File of a target, which may not exist."""
        values = {"target": target.name, "profile": profile or target.version or ""}
        values |= {"version": target.version or "", **more}
        text = self.pattern
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", value)
        return Path(text)

    @property
    def glob(self):
        """Pattern of all files, for `glob.glob`."""
        pieces = re.split(r"(?<!\$)\{\w+\}", self.pattern)
        return "*".join(glob.escape(piece) for piece in pieces)

    def unused(self, names):
        """Files that fit the pattern but belong to none of ``names``, as {path: name}."""
        pieces = re.split(r"(?<!\$)\{(\w+)\}", self.pattern)
        expression, seen = "", set()
        for i, piece in enumerate(pieces):
            if i % 2 == 0:
                expression += re.escape(piece)
            elif piece in seen:
                expression += f"(?P={piece})"
            else:
                expression += rf"(?P<{piece}>[^/\\]+)"
                seen.add(piece)
        found = {}
        for text in sorted(glob.glob(self.glob)):
            match = re.fullmatch(expression, text)
            if match and match["target"] not in names:
                found[Path(text)] = match["target"]
        return found
