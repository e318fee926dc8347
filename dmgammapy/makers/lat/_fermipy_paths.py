"""Files named in a fermipy configuration: environment variables, folders, lists."""

import os
import re
from pathlib import Path

__all__ = ["PathFinder"]

FITS_NAMES = (".fit", ".fits", ".fit.gz", ".fits.gz")
VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class PathFinder:
    """Resolve names of files as fermipy does.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Of the configuration, which relative names are relative to.
    outdir : str or None
        ``fileio.outdir``, where names are looked up too.
    where : str
        For messages.
    """

    def __init__(self, folder, outdir, where):
        self.folder = folder
        self.where = where
        self.outdir = self.folder if not outdir else self.path(outdir, "fileio.outdir")

    def expand(self, text, key):
        """Text with its environment variables.

        Raises
        ------
        ValueError
            If one is not set.
        """
        for match in VARIABLE.finditer(str(text)):
            name = match.group(1) or match.group(2)
            if name not in os.environ:
                raise ValueError(
                    f"{self.where}: {key} = {str(text)!r} needs the environment variable {name}, "
                    "which is not set."
                )
        return os.path.expanduser(os.path.expandvars(str(text)))

    def path(self, text, key, search=()):
        """Absolute path, str; of a file that is nowhere, that beside the configuration."""
        path = Path(self.expand(text, key))
        if path.is_absolute():
            return str(path)
        folders = [self.folder, getattr(self, "outdir", self.folder)]
        folders += [folder for folder in map(os.path.expandvars, search) if "$" not in folder]
        for folder in folders:
            if (Path(folder) / path).exists():
                return str(Path(folder) / path)
        return str(self.folder / path)

    def files(self, text, key):
        """Event or spacecraft files: str for one FITS file, list of str for a text list.

        A list that can't be found remains "@" and its path, for the reader to complain.
        """
        if isinstance(text, list):
            return [self.path(entry, key) for entry in text]
        name = str(text).strip()
        if not name.startswith("@") and name.lower().endswith(FITS_NAMES):
            return self.path(name, key)
        path = Path(self.path(name.lstrip("@"), key))
        if not path.is_file():
            return f"@{path}"
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        names = [line for line in names if line and not line.startswith("#")]
        if not names:
            raise ValueError(f"{path} ({key} of {self.where}): the list names no file.")
        return [
            self.path(line, f"{key} ({path.name})", search=[str(path.parent)]) for line in names
        ]
