"""Write files so that a crash leaves the old file or none, never a half-written one."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

__all__ = ["atomic_path"]


@contextmanager
def atomic_path(path, overwrite=False):
    """Give a temporary path beside ``path`` that replaces it when the block succeeds.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The file to write.
    overwrite : bool
        Replace an existing file. Default is False.

    Yields
    ------
    temporary : `~pathlib.Path`
        A path in the same folder and with the same suffixes.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is False.
    FileNotFoundError
        If the folder does not exist.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already: pass overwrite=True to replace it.")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{path}: the folder {path.parent} does not exist; create it first."
        )
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        yield temporary
        os.replace(temporary, path)
