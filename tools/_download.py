"""Fetch one file set out of a named, exactly versioned archive of a package index.

The build scripts of this folder turn tables that other packages carry into the compact files that
dmgammapy bundles. They share this module: it asks pip for the archive (an sdist or a wheel) at one
exact version, checks its SHA-256, and gives the bytes of the members that are asked for. Nothing
of the archive is installed or run by this module.
"""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

__all__ = ["add_archive_argument", "read_members"]


def add_archive_argument(parser, name, version, option="--archive"):
    """Add an option that names an archive which is already on disk.

    Parameters
    ----------
    parser : `argparse.ArgumentParser`
        Parser of the build script.
    name, version : str
        Package and exact version, for the help text.
    option : str
        Name of the option. Default is "--archive".
    """
    parser.add_argument(
        option,
        type=Path,
        metavar="PATH",
        help=f"sdist, wheel or unpacked folder of {name} {version}; downloaded with pip if absent",
    )


def read_members(name, version, members, *, archive=None, binary=False, sha256=None):
    """Read members of an archive of a package.

    Parameters
    ----------
    name, version : str
        Package and exact version on the package index.
    members : list of str
        Paths inside the archive. For an sdist they are relative to its top folder
        ``<name>-<version>/``. A pattern that ends in ``*`` selects every file below it.
    archive : path-like, optional
        Archive, or unpacked folder, to use in place of a download.
    binary : bool
        Take the wheel instead of the sdist. Default is False.
    sha256 : str, optional
        Expected SHA-256 of the archive. It isn't checked for an unpacked folder.

    Returns
    -------
    dict of str to bytes
        Contents by path, in sorted order of the paths.

    Raises
    ------
    ValueError
        If the checksum differs or a member isn't there.
    """
    if archive is not None:
        archive = Path(archive)
        if not archive.exists():
            raise ValueError(f"{archive} does not exist; leave the option out to download")
        return _read(archive, members, sha256)
    with tempfile.TemporaryDirectory() as folder:
        return _read(_download(name, version, folder, binary), members, sha256)


def _download(name, version, folder, binary):
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
    command += ["--only-binary" if binary else "--no-binary", ":all:", f"{name}=={version}"]
    subprocess.run(command, check=True)
    (archive,) = Path(folder).iterdir()
    return archive


def _read(archive, members, sha256):
    if archive.is_file() and sha256 is not None:
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != sha256:
            raise ValueError(f"{archive.name}: expected SHA-256 {sha256}, found {found}")
    contents = {}
    for path, read in _entries(archive):
        for member in members:
            if path == member or (member.endswith("*") and path.startswith(member[:-1])):
                contents[path] = read()
    for member in members:
        if not any(path == member or path.startswith(member.rstrip("*")) for path in contents):
            raise ValueError(f"{archive.name} has no member {member!r}")
    return dict(sorted(contents.items()))


def _entries(archive):
    """Yield (path inside the archive, function that reads it) of every file."""
    if archive.is_dir():
        for path in sorted(archive.rglob("*")):
            if path.is_file():
                yield path.relative_to(archive).as_posix(), path.read_bytes
    elif zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for entry in file.namelist():
                yield entry, lambda entry=entry: file.read(entry)
    else:
        with tarfile.open(archive) as file:
            for entry in file:
                if entry.isfile():
                    # an sdist has a single top folder
                    path = entry.name.split("/", 1)[-1]
                    yield path, lambda entry=entry: file.extractfile(entry).read()
