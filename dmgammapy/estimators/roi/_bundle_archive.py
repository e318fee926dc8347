"""Archives of folders that are the same bytes for the same files, and their safe unpacking."""

import gzip
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

__all__ = ["ARCHIVES", "archive_format", "pack", "unpack"]

ARCHIVES = {".zip": "zip", ".tar": "tar", ".tar.gz": "gztar", ".tgz": "gztar"}
DAMAGE = (
    shutil.ReadError, tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError,
    NotImplementedError, RuntimeError, ValueError,
)  # fmt: skip
FIRST_TIME = (1980, 1, 1, 0, 0, 0)  # zip knows none before
MODE = 0o644


def archive_format(path):
    """Kind of archive by a file's name, None if it is none."""
    return next((kind for end, kind in ARCHIVES.items() if Path(path).name.endswith(end)), None)


def pack(folder, archive, kind):
    """Write the files of a folder into an archive, in order of their names and without times.

    Parameters
    ----------
    folder, archive : `~pathlib.Path`
    kind : {"zip", "tar", "gztar"}
    """
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    names = [file.relative_to(folder).as_posix() for file in files]
    if kind == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
            for file, name in zip(files, names, strict=True):
                member = zipfile.ZipInfo(name, FIRST_TIME)
                member.compress_type = zipfile.ZIP_DEFLATED
                member.external_attr = MODE << 16
                out.writestr(member, file.read_bytes())
        return
    with open(archive, "wb") as raw:
        if kind == "tar":
            _pack_tar(files, names, raw)
        else:
            with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
                _pack_tar(files, names, packed)


def _pack_tar(files, names, target):
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as out:
        for file, name in zip(files, names, strict=True):
            member = tarfile.TarInfo(name)
            member.size, member.mode = file.stat().st_size, MODE
            with open(file, "rb") as content:
                out.addfile(member, content)


def unpack(archive, folder):
    """Unpack an archive into a folder.

    Raises
    ------
    ValueError
        If it is damaged, or a file in it would come to lie outside of the folder.
    """
    kind = archive_format(archive)
    try:
        if kind == "zip":
            with zipfile.ZipFile(archive) as given:
                for name in given.namelist():
                    _check_inside(name)
                given.extractall(folder)
        else:
            # refuses links and members that point outside
            shutil.unpack_archive(archive, folder, kind, filter="data")
    except DAMAGE as error:
        raise ValueError(f"{archive}: it can't be unpacked ({error}); write it again.") from error


def _check_inside(name):
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise ValueError(f"its file {name!r} points outside of the archive")
