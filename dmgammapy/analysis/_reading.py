"""What holds of the results: keys, states and records of tasks, outputs that are intact.

Only the standard library is imported, so that a run that has nothing to do ends at once.
"""

from contextlib import suppress
from pathlib import PurePosixPath

from ._hashes import code_hash, hash_file
from ._locking import MANIFEST, PRIVATE, STAGING, LockedFolder
from ._records import DamagedResultError, read_json
from ._tasks import task_key

__all__ = ["ResultsReader", "staging_name"]


def staging_name(task_id):
    """How the folder that a task writes to is called, after its number."""
    return task_id.replace("/", "_")[:80]


class ResultsReader(LockedFolder):
    """The part of a store that only reads."""

    def __init__(self, path):
        super().__init__(path)
        self._key_parts = {}
        self._owners = {}

    def key(self, task, parent_keys):
        """Hash of all that the result of a task depends on.

        Parameters
        ----------
        task : `~dmgammapy.analysis._tasks.Task`
        parent_keys : dict
            Keys of the tasks whose outputs it reads, by id.

        Returns
        -------
        key : str
        """
        files = {name: hash_file(path) for name, path in task.files.items()}
        parents = {name: parent_keys[name] for name in task.parents}
        code = code_hash(drawing=task.step in ("plot", "report"))
        key = task_key(task, code, files, parents)
        self._key_parts[key] = {"code": code, "files": files, "parents": parents}
        return key

    def check_inputs(self, task, key):
        """Check that the input files of a task are still those its key was made of.

        Raises
        ------
        ValueError
            If one was changed while the task ran.
        """
        for name, before in self._key_parts[key]["files"].items():
            if hash_file(task.files[name]) != before:
                raise ValueError(
                    f"{task.files[name]} was changed while it was used; run the analysis again."
                )

    def state(self, task, key):
        """What is there of a task.

        Parameters
        ----------
        task : `~dmgammapy.analysis._tasks.Task`
        key : str

        Returns
        -------
        state : {"done", "failed", "damaged", "stale", "missing"}
            ``done``: the outputs are there as they were written, for this key. ``failed``: the last
            try with this key did. ``damaged``: an output or the record was removed or changed
            since. ``stale``: computed for another key. ``missing``: never finished.
        """
        damaged = False
        try:
            record = read_json(self._record_file(task.id))
        except DamagedResultError:
            record, damaged = None, True
        writing = record is not None and record["state"] != "done"
        if record is not None and not writing and record["key"] == key:
            if set(record["outputs"]) == set(task.outputs) and all(
                self._intact(name, kept) for name, kept in record["outputs"].items()
            ):
                return "done"
            damaged = True
        with suppress(DamagedResultError):
            failed = read_json(self._failed_file(task.id))
            if failed is not None and failed["key"] == key:
                return "failed"
        if damaged:
            return "damaged"
        return "missing" if record is None or writing else "stale"

    def _intact(self, name, kept):
        path = self.path / name
        try:
            return path.stat().st_size == kept["bytes"] and hash_file(path) == kept["sha256"]
        except OSError:
            return False

    def record(self, task_id):
        """Record of a task's last success, or of its failure if it never succeeded.

        Parameters
        ----------
        task_id : str

        Returns
        -------
        record : dict or None
            ``task``, ``step``, ``state`` ("done", "writing" or "failed"), ``key``, ``parts`` of the
            key, ``outputs`` (``sha256`` and ``bytes`` by path), ``info``, ``seconds``,
            ``peak_memory_mb``, ``host``, ``pid``, ``version``, ``when``. None if there is none, or
            if it is damaged.
        """
        for path in (self._record_file(task_id), self._failed_file(task_id)):
            with suppress(DamagedResultError):
                if record := read_json(path):
                    return record
        return None

    def records(self):
        """Records of all tasks, by id; see `record`."""
        found = {}
        for kind in ("failed", "records"):
            found.update(self._read_all(kind))
        return dict(sorted(found.items()))

    def failures(self):
        """Records of the tasks whose last try failed, by id."""
        return dict(sorted(self._read_all("failed").items()))

    def _read_all(self, kind):
        found = {}
        for path in sorted((self._private / kind).rglob("*.json")):
            with suppress(DamagedResultError):
                if record := read_json(path):
                    found[record["task"]] = record
        return found

    def path_of(self, relative):
        """Path of a file of the results.

        Parameters
        ----------
        relative : str
            Relative to the folder.

        Returns
        -------
        path : `~pathlib.Path`

        Raises
        ------
        ValueError
            If the path leads out of the folder.
        """
        pure = PurePosixPath(relative)
        parts = pure.parts
        if pure.is_absolute() or not parts or ".." in parts or parts[0] in (PRIVATE, MANIFEST):
            raise ValueError(f"{relative!r} is no path of a result below {self.path}.")
        return self.path / pure

    def verified(self, relative):
        """Path of an output that is still what its task wrote.

        Parameters
        ----------
        relative : str

        Returns
        -------
        path : `~pathlib.Path`

        Raises
        ------
        DamagedResultError
            If the file is missing, was changed, or no finished task wrote it.
        """
        path = self.path_of(relative)
        kept = self._kept(relative)
        remedy = "run the analysis again (dmgammapy run), only what is missing is computed."
        if kept is None:
            raise DamagedResultError(f"{path}: no finished task has written this file; {remedy}")
        if not self._intact(relative, kept):
            what = "was changed since it was written" if path.exists() else "was removed"
            raise DamagedResultError(f"{path} {what}; {remedy}")
        return path

    def _kept(self, relative):
        """Size and hash of an output by the record that owns it, or None."""
        for fresh in (False, True):
            if fresh:
                self._owners = {
                    name: task_id
                    for task_id, record in self._read_all("records").items()
                    if record["state"] == "done"
                    for name in record["outputs"]
                }
            if relative not in self._owners:
                continue
            record = self.record(self._owners[relative])
            if record and record["state"] == "done" and relative in record["outputs"]:
                return record["outputs"][relative]
        return None

    def _record_file(self, task_id):
        return self._private / "records" / f"{task_id}.json"

    def _failed_file(self, task_id):
        return self._private / "failed" / f"{task_id}.json"

    def failure_file(self, task_id):
        """Path of the traceback of a failed task, there or not."""
        return self.path / "failures" / f"{task_id}.txt"

    def running(self, task_ids):
        """Which of some tasks another process has begun.

        Parameters
        ----------
        task_ids : iterable of str

        Returns
        -------
        running : set of str
        """
        staged = {path.name[7:] for path in self._private.glob(f"{STAGING}*/*")}
        return {name for name in task_ids if staging_name(name) in staged}
