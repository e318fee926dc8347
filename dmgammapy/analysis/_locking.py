"""Who may write to the folder of results: never over what others made, one process at a time.

Only the standard library is imported (and filelock, when locking), so that a run that has nothing
to do ends at once.
"""

import os
import shutil
import socket
import uuid
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from ._records import DamagedResultError, disk, read_json, write_json

__all__ = ["MANIFEST", "PRIVATE", "LockedFolder", "StoreLockedError", "now"]

MANIFEST = "manifest.json"
PRIVATE = ".dmgammapy"
STAGING = "staging-"
# who asks whether the lock is free takes it for a moment
PATIENCE = 0.5  # s


class StoreLockedError(RuntimeError):
    """Another process is writing to the folder of results."""


def now():
    """Time of day in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class LockedFolder:
    """Folder that one process at a time writes to.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The folder; made when it is locked.
    """

    def __init__(self, path):
        self.path = Path(os.path.abspath(Path(path).expanduser()))
        self._private = self.path / PRIVATE
        self._staging = None  # while locked
        self._checked = None

    def __repr__(self):
        return f"{type(self).__name__}({str(self.path)!r})"

    def check_output(self, overwrite=False, identity=None):
        """Refuse a folder that this analysis did not make.

        Files that no run has written are never removed, whatever ``overwrite`` is.

        Parameters
        ----------
        overwrite : bool
            Allow a folder that holds other files or results of another analysis. Default is False.
        identity : str, optional
            What the results are of, such as the path of the configuration. Remembered in the folder
            when it is locked next.

        Raises
        ------
        FileExistsError
            If the path is a file, or the folder holds anything else than results of ``identity``.
        """
        if self.path.exists() and not self.path.is_dir():
            raise FileExistsError(f"{self.path}: the output must be a folder, this is a file.")
        self._checked = (overwrite, identity)
        if overwrite or not self.path.is_dir():
            return
        remedy = (
            "choose another output, or write here too with --overwrite (in Python: "
            "run(overwrite=True))."
        )
        if self._store_file().exists() or self._is_ours():
            recorded = self._identity()
            if identity is not None and recorded is not None and recorded != identity:
                raise FileExistsError(
                    f"{self.path} holds the results of another analysis, {recorded} (this one is "
                    f"{identity}): {remedy}"
                )
            return
        found = sorted(p.name for p in self.path.iterdir() if not p.name.startswith("."))
        if found:
            some = ", ".join(found[:3]) + (" ..." if len(found) > 3 else "")
            raise FileExistsError(
                f"{self.path} holds files that are no results of dmgammapy ({some}): {remedy}"
            )

    def _store_file(self):
        return self._private / "store.json"

    def _is_ours(self):
        with suppress(DamagedResultError):
            return (read_json(self.path / MANIFEST) or {}).get("creator") == "dmgammapy"
        return False

    def _identity(self):
        for path in (self._store_file(), self.path / MANIFEST):
            with suppress(DamagedResultError):
                if data := read_json(path):
                    return data.get("identity")
        return None

    @contextmanager
    def lock(self, config=None):
        """Be the only process that writes here, for the time of a with block.

        The operating system frees the lock when the process ends, however it ends. Staging folders
        that killed runs left behind are removed.

        Parameters
        ----------
        config : str, optional
            What is running, to be named to whom finds the folder locked.

        Raises
        ------
        StoreLockedError
            If another process, or another part of this one, is writing.
        """
        from filelock import Timeout

        if self._checked is not None:
            self.check_output(*self._checked)
        with disk(self.path):
            self._private.mkdir(parents=True, exist_ok=True)
        # never a lock by mere existence of a file: it would outlive a killed run
        lock = _file_lock(self._private / "lock")
        try:
            lock.acquire(timeout=PATIENCE, poll_interval=0.02)
        except (Timeout, RuntimeError):
            raise StoreLockedError(self._locked_message()) from None
        try:
            self._begin(config)
            yield self
        finally:
            self._end()
            lock.release()

    def _begin(self, config):
        if self._checked is not None:  # the folder may have changed while we waited
            self.check_output(*self._checked)
        for folder in self._private.glob(STAGING + "*"):
            shutil.rmtree(folder, ignore_errors=True)
        staging = self._private / f"{STAGING}{uuid.uuid4().hex[:12]}"
        with disk(self.path):
            staging.mkdir()
            self._staging = staging
            owner = {
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "since": now(),
                "config": None if config is None else str(config),
            }
            write_json(self._owner_file(), owner, staging)
            identity = self._checked[1] if self._checked else None
            if identity is not None or not self._store_file().exists():
                about = {"format": 1, "creator": "dmgammapy", "identity": identity}
                write_json(self._store_file(), about, staging)

    def _end(self):
        if self._staging is not None:
            self._owner_file().unlink(missing_ok=True)
            shutil.rmtree(self._staging, ignore_errors=True)
            self._staging = None

    def _owner_file(self):
        return self._private / "owner.json"

    def _locked_message(self):
        owner = None
        with suppress(DamagedResultError):
            owner = read_json(self._owner_file())
        who = "another process"
        if owner:
            what = f" ({owner['config']})" if owner["config"] else ""
            who = f"process {owner['pid']} on {owner['host']}{what} since {owner['since']}"
        return (
            f"{self.path} is being written to by {who}: wait until it ends, or stop it, or choose "
            "another output. There is nothing to remove: the lock goes when its process ends."
        )

    def is_locked(self):
        """Whether a process is writing here; nobody who has the lock loses it.

        Returns
        -------
        locked : bool
        """
        from filelock import Timeout

        file = self._private / "lock"
        if self._staging is not None:
            return True
        if not file.exists():
            return False
        try:
            with _file_lock(file, timeout=0):
                return False
        except (Timeout, RuntimeError):
            return True
        except OSError:  # a folder that we may only read
            return self._owner_file().exists()

    def _require_lock(self):
        if self._staging is None:
            raise RuntimeError(f"{self.path}: write only within `with store.lock():`.")


def _file_lock(path, **kwargs):
    """Lock of the operating system; never one by mere existence, which would outlive a kill."""
    from inspect import signature

    from filelock import FileLock

    if "fallback_to_soft" in signature(FileLock.__init__).parameters:
        kwargs["fallback_to_soft"] = False
    return FileLock(path, thread_local=False, **kwargs)
