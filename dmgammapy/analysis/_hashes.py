"""Hashes of all that results depend on: the program, input files, what was looked for.

Only the standard library is imported, so that a run that has nothing to do ends at once.
"""

import glob
import hashlib
import importlib.metadata
import os
import sys
import time
from functools import cache
from pathlib import Path

__all__ = ["code_hash", "hash_file", "make_fingerprint", "remake_fingerprint"]

# packages whose version may change a result
PACKAGES = (
    "astropy",
    "gammapy",
    "healpy",
    "iminuit",
    "jinja2",
    "matplotlib",
    "numba",
    "numpy",
    "pydantic",
    "scipy",
)
DRAWING_PACKAGES = ("jinja2", "matplotlib")
# what no number depends on, by the beginnings of paths
DRAWING = (
    "analysis/_figure",
    "analysis/_report",
    "analysis/_summary",
    "analysis/data/",
    "analysis/figures",
    "analysis/report",
    "data/",
    "scripts/",
    "visualization/",
)
PACKAGE_FOLDER = Path(__file__).resolve().parents[1]
# a file changed a moment ago may change again without a new time: file systems count in steps
SETTLED = 2.0  # s

_known = {}


def hash_file(path):
    """SHA-256 of a file's content, read in pieces.

    Remembered in this process as long as size, times and inode of the file stay the same.

    Parameters
    ----------
    path : str or `~pathlib.Path`

    Returns
    -------
    sha256 : str

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from dmgammapy.analysis.store import hash_file
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "abc.txt"
    ...     _ = path.write_bytes(b"abc")
    ...     hash_file(path)
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    """
    name = os.path.abspath(path)
    with open(name, "rb") as file:
        status = os.fstat(file.fileno())
        # the time of the last change of status cannot be set back, that of the content can
        mark = (
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )
        known = _known.get(name)
        if known is not None and known[0] == mark:
            return known[1]
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time() - max(status.st_mtime, status.st_ctime) > SETTLED:
        _known[name] = (mark, sha256)
    else:
        _known.pop(name, None)
    return sha256


@cache
def code_hash(drawing=True):
    """SHA-256 of the program: sources, bundled tables, Python and the packages it computes with.

    Parameters
    ----------
    drawing : bool
        Whether what only draws and writes reports is part of it: other results don't depend on
        that. Default is True.

    The content of bundled tables is hashed, not their size or time: all of them take some 20 ms,
    and an edited yield table of the same size gives other limits. A fresh checkout of the same
    sources has the same hash.

    Returns
    -------
    sha256 : str
    """
    total = hashlib.sha256()
    for path in _program_files(PACKAGE_FOLDER):
        name = path.relative_to(PACKAGE_FOLDER).as_posix()
        if not drawing and name.startswith(DRAWING):
            continue
        total.update(f"{name}\0{hash_file(path)}\n".encode())
    total.update("python {}.{}\n".format(*sys.version_info).encode())
    for package in PACKAGES if drawing else [p for p in PACKAGES if p not in DRAWING_PACKAGES]:
        total.update(f"{package} {_version(package)}\n".encode())
    return total.hexdigest()


def _program_files(folder):
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    )


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def make_fingerprint(config_path, probes=(), globs=(), environment=()):
    """What a run looked at, to tell quickly whether another one would find the same.

    Parameters
    ----------
    config_path : str, `~pathlib.Path` or None
        The configuration file.
    probes : sequence of str or `~pathlib.Path`
        Files that were read, or that would be read if they were there.
    globs : sequence of str
        Patterns of files that were looked for.
    environment : sequence of str
        Names of environment variables that decide what is read.

    Returns
    -------
    fingerprint : dict
        ``config`` (its absolute path), ``code`` (see `code_hash`), ``probes`` (SHA-256 by path,
        None of what is absent), ``globs`` (sorted matches by pattern), ``environment`` (values,
        None of what is not set). Can be written as JSON.

    Examples
    --------
    >>> from dmgammapy.analysis.store import make_fingerprint
    >>> fingerprint = make_fingerprint(None, probes=["/nowhere/sed_draco.fits"])
    >>> fingerprint["probes"]
    {'/nowhere/sed_draco.fits': None}
    """
    config = None if config_path is None else os.path.abspath(config_path)
    paths = {os.path.abspath(path) for path in probes} | ({config} if config else set())
    return {
        "config": config,
        "code": code_hash(),
        "probes": {path: _probe(path) for path in sorted(paths)},
        "globs": {
            os.path.abspath(pattern): _matches(os.path.abspath(pattern))
            for pattern in sorted(map(str, globs))
        },
        "environment": {name: os.environ.get(name) for name in sorted(environment)},
    }


def remake_fingerprint(fingerprint):
    """The same fingerprint, taken now."""
    return make_fingerprint(
        fingerprint["config"],
        fingerprint["probes"],
        fingerprint["globs"],
        fingerprint["environment"],
    )


def _matches(pattern):
    return sorted(glob.glob(pattern, recursive=True))


def _probe(path):
    if os.path.isdir(path):
        return "folder"
    try:
        return hash_file(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:  # a link that leads to itself, a file that may not be read
        return f"unreadable: {error.strerror}"
