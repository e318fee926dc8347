"""Small JSON files that are either whole or not there, and disks that are full.

Only the standard library is imported, so that a run that has nothing to do ends at once.
"""

import errno
import json
import os
import uuid
from contextlib import contextmanager
from pathlib import Path

from ._tasks import digest

__all__ = ["DamagedResultError", "DiskFullError", "disk", "read_json", "write_json"]

FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than this process may write",
}


class DamagedResultError(RuntimeError):
    """A file in the folder of results is not what a run wrote."""


class DiskFullError(OSError):
    """No room for results; those that were finished before are kept."""


@contextmanager
def disk(folder):
    """Say where the disk is full, and what to do, when it is."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL or isinstance(error, DiskFullError):
            raise
        raise DiskFullError(
            error.errno,
            f"{FULL[error.errno]} ({error.filename or folder}); nothing unfinished is left in "
            f"{folder}, finished results are kept: make room and run again",
        ) from error


def write_json(path, data, aside):
    """Write a dict with a checksum of itself: to a file in ``aside``, then in place by rename."""
    path = Path(path)
    data = json.loads(json.dumps(data))  # keys become text, as they are when read
    text = json.dumps(data | {"checksum": digest(data)}, indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(aside) / f"{uuid.uuid4().hex}.json"
    try:
        temporary.write_text(text + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_json(path):
    """Read what `write_json` wrote; None if there is no such file.

    Raises
    ------
    DamagedResultError
        If the file was cut or changed.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        checksum = data.pop("checksum")
        if checksum != digest(data):
            raise ValueError("the content does not fit its checksum")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise DamagedResultError(
            f"{path} was cut or changed since it was written ({error!r}): run again, what it "
            "describes is then computed anew."
        ) from None
    return data
