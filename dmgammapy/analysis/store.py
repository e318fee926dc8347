"""The folder of results: what holds, what has to be computed (again), and who may write.

Each task has a record with the key it was computed for (a hash of all it depends on) and the hashes
of its outputs. A result is done if its record has the key asked for and its outputs are still what
they were. Workers write to a staging folder; the one process that holds the lock checks what they
wrote and puts it in place by rename. Before a final file is touched its record says "writing", and
the new record is the last thing written: wherever a run is killed, what is half done is computed
again. Times, hosts and processes are in records and the manifest only, never in outputs.

Only the standard library is imported (and filelock, when locking), so that a run that has nothing
to do ends at once.
"""

import errno
import logging
import os
import shutil
import socket
from contextlib import suppress
from pathlib import Path

from dmgammapy import __version__

from ._hashes import code_hash, hash_file, make_fingerprint, remake_fingerprint
from ._locking import MANIFEST, StoreLockedError, now
from ._reading import ResultsReader, staging_name
from ._records import DamagedResultError, DiskFullError, disk, read_json, write_json

__all__ = [
    "DamagedResultError",
    "DiskFullError",
    "ResultsStore",
    "StoreLockedError",
    "code_hash",
    "hash_file",
    "make_fingerprint",
]

log = logging.getLogger(__name__)


class ResultsStore(ResultsReader):
    """Folder of results with a record of each task.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The folder; made when it is locked.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from dmgammapy.analysis._tasks import Task
    >>> from dmgammapy.analysis.store import ResultsStore
    >>> task = Task("castro/draco", "castro", "module:name", outputs=("castro/draco.txt",))
    >>> with TemporaryDirectory() as folder:
    ...     store = ResultsStore(folder)
    ...     key = store.key(task, {})
    ...     before = store.state(task, key)
    ...     with store.lock():
    ...         staged = store.stage(task)
    ...         (staged / "castro").mkdir()
    ...         _ = (staged / "castro/draco.txt").write_text("a likelihood")
    ...         store.commit(task, key, staged)
    ...     print(before, store.state(task, key), store.verified("castro/draco.txt").read_text())
    missing done a likelihood
    """

    def __init__(self, path):
        super().__init__(path)
        self._staged = {}
        self._n_staged = 0

    def stage(self, task):
        """Give an empty folder for what a worker writes.

        Parameters
        ----------
        task : `~dmgammapy.analysis._tasks.Task`

        Returns
        -------
        folder : `~pathlib.Path`
            In the folder of results, and so on the same disk.
        """
        self._require_lock()
        self._n_staged += 1
        name = f"{self._n_staged:06d}-{staging_name(task.id)}"
        folder = self._staging / name
        with disk(self.path):
            folder.mkdir()
        self._staged[task.id] = folder
        return folder

    def commit(self, task, key, folder, info=None, outcome=None):
        """Put the outputs of a task in place and record them.

        Parameters
        ----------
        task : `~dmgammapy.analysis._tasks.Task`
        key : str
        folder : `~pathlib.Path`
            Where the worker wrote them; removed.
        info : dict, optional
            What the task wants to be remembered; can be written as JSON. Default is
            ``outcome.info``.
        outcome : `~dmgammapy.analysis.execution.Outcome`, optional
            Seconds, memory, host and process for the record.

        Raises
        ------
        ValueError
            If an output is missing, or there is a file that is none.
        DiskFullError
            If there is no room. The earlier result is then still there, or none.
        """
        self._require_lock()
        folder = Path(folder)
        try:
            with disk(self.path):
                outputs = _staged_outputs(task, folder)
                if info is None:
                    info = getattr(outcome, "info", None)
                record = self._new_record(task, key, "done", outcome)
                record |= {"outputs": outputs, "info": info or {}}
                self._put_in_place(task, record, folder)
        finally:
            self._clean(task, folder)
        for path in (self._failed_file(task.id), self.failure_file(task.id)):
            self._remove(path)

    def _put_in_place(self, task, record, folder):
        file, outputs = self._record_file(task.id), record["outputs"]
        try:
            before = (read_json(file) or {"outputs": {}})["outputs"]
            known = True
        except DamagedResultError:
            before, known = {}, False
        # what is in place and what will be stays ours, and is no result, until all is done
        self._write(file, record | {"state": "writing", "outputs": before | outputs})
        for name in outputs:
            path = self.path_of(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if known and name not in before and path.exists():
                self._keep_foreign(task, name, path)
            _move(folder / name, path)
        dropped = set(before) - set(outputs)
        for name in dropped - (self._all_outputs(except_for=[task.id]) if dropped else set()):
            self._remove(self.path_of(name))
        self._write(file, record)

    def _keep_foreign(self, task, name, path):
        """Put aside a file of somebody else that is where an output goes."""
        if name in self._all_outputs(except_for=[task.id]) | set(self._manifest_outputs()):
            return
        aside = path.with_name(path.name + ".kept")
        n = 1
        while aside.exists():
            n += 1
            aside = path.with_name(f"{path.name}.kept{n}")
        os.replace(path, aside)
        log.warning("%s was not written by dmgammapy and is in the way: now %s", path, aside.name)

    def _all_outputs(self, except_for):
        records = self._read_all("records")
        return {
            name
            for task_id, record in records.items()
            if task_id not in except_for
            for name in record["outputs"]
        }

    def _manifest_outputs(self):
        with suppress(DamagedResultError):
            return (self.read_manifest() or {}).get("outputs", {})
        return {}

    def fail(self, task, key, outcome):
        """Record that a task failed; its earlier result, if any, stays for its own key.

        Parameters
        ----------
        task : `~dmgammapy.analysis._tasks.Task`
        key : str
        outcome : `~dmgammapy.analysis.execution.Outcome`

        Returns
        -------
        path : `~pathlib.Path`
            The file with the traceback.
        """
        self._require_lock()
        self._clean(task, self._staged.get(task.id))
        path = self.failure_file(task.id)
        record = self._new_record(task, key, "failed", outcome)
        record |= {"outputs": {}, "error": outcome.error, "error_type": outcome.error_type}
        inputs = "".join(f"input {name}: {file}\n" for name, file in sorted(task.files.items()))
        text = f"task {task.id}\n{inputs}\n{outcome.traceback or outcome.error}\n"
        with disk(self.path):
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = self._staging / "failure.txt"
            draft.write_text(text, encoding="utf-8")
            os.replace(draft, path)
            self._write(self._failed_file(task.id), record)
        return path

    def _new_record(self, task, key, state, outcome):
        return {
            "task": task.id,
            "step": task.step,
            "state": state,
            "key": key,
            "parts": self._key_parts.get(key, {}),
            "seconds": getattr(outcome, "seconds", None),
            "peak_memory_mb": getattr(outcome, "peak_memory_mb", None),
            "host": getattr(outcome, "host", None) or socket.gethostname(),
            "pid": getattr(outcome, "pid", None) or os.getpid(),
            "version": __version__,
            "when": now(),
        }

    def _write(self, file, data):
        write_json(file, data, self._staging)

    def _clean(self, task, folder):
        self._staged.pop(task.id, None)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def prune(self, task_ids, keep_errors=()):
        """Remove results of tasks that are no longer in the plan; never a file no record owns.

        Parameters
        ----------
        task_ids : iterable of str
            Tasks whose results are to stay.
        keep_errors : iterable of str
            Tasks of which the error is to stay, while results of an earlier run go.

        Returns
        -------
        removed : list of str
            Ids of the tasks whose results were removed.
        """
        self._require_lock()
        plan, keep_errors = set(task_ids), set(keep_errors)
        written, failed = self._read_all("records"), self._read_all("failed")
        gone = sorted((set(written) | set(failed)) - plan)
        kept = self._all_outputs(except_for=gone)
        for task_id in gone:
            # outputs first: as long as the record is there, they are known to be ours
            for name in set(written.get(task_id, {"outputs": {}})["outputs"]) - kept:
                self._remove(self.path_of(name))
            self._remove(self._record_file(task_id))
            if task_id not in keep_errors:
                self._remove(self.failure_file(task_id))
                self._remove(self._failed_file(task_id))
        return gone

    def _remove(self, path):
        """Remove a file, and the folders that are empty without it."""
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder in (self.path, self._private):
                break
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                break

    # the run as a whole

    def write_manifest(self, info):
        """Write ``manifest.json``: what the results are and come from.

        Parameters
        ----------
        info : dict
            What the caller knows: ``config``, ``config_file``, ``start``, ``end``, ``seconds``,
            ``seeds``, ``inputs``, ``fingerprint`` (see `make_fingerprint`), ``complete`` (True
            if all that was to be done is). Creator, version, identity, host, ``outputs`` (SHA-256
            by path), ``tasks`` (keys by id) and ``failures`` (ids) are added unless given.
        """
        self._require_lock()
        done = {
            name: record
            for name, record in sorted(self._read_all("records").items())
            if record["state"] == "done"
        }
        outputs = {
            path: kept["sha256"]
            for record in done.values()
            for path, kept in sorted(record["outputs"].items())
        }
        found = {
            "creator": "dmgammapy",
            "version": __version__,
            "identity": self._identity(),
            "host": socket.gethostname(),
            "outputs": dict(sorted(outputs.items())),
            "tasks": {name: record["key"] for name, record in done.items()},
            "failures": sorted(self._read_all("failed")),
        }
        with disk(self.path):
            self._write(self.path / MANIFEST, found | info)

    def read_manifest(self):
        """What `write_manifest` wrote.

        Returns
        -------
        manifest : dict or None
            None if there is none.

        Raises
        ------
        DamagedResultError
            If it was cut or changed.
        """
        return read_json(self.path / MANIFEST)

    def is_current(self, fingerprint=None):
        """Whether a run would find everything done: a quick look, without planning.

        Parameters
        ----------
        fingerprint : str, `~pathlib.Path` or dict, optional
            The configuration file, or what `make_fingerprint` gives now. Default is to look again
            at all that the last run looked at.

        Returns
        -------
        current : bool
            True if the last run was complete and without failure, all that it looked at (files and
            absent files, patterns, environment, configuration, program) is as it was, and so are
            all outputs.
        """
        try:
            manifest = self.read_manifest() or {}
            before = manifest["fingerprint"]
            if manifest["failures"] or manifest["complete"] is not True:
                return False
            if not isinstance(fingerprint, dict):
                if fingerprint is not None and os.path.abspath(fingerprint) != before["config"]:
                    return False
                fingerprint = remake_fingerprint(before)
            return fingerprint == before and all(
                hash_file(self.path_of(name)) == sha256
                for name, sha256 in manifest["outputs"].items()
            )
        except (DamagedResultError, OSError, KeyError, TypeError):
            return False


def _move(source, path):
    """Rename, also if the folder is a link to another disk."""
    try:
        os.replace(source, path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        from dmgammapy.utils import atomic_path

        with atomic_path(path, overwrite=True) as beside:
            shutil.copyfile(source, beside)


def _staged_outputs(task, folder):
    """Size and hash of each output, or an error if there is not exactly what there should be."""
    found = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    missing = sorted(set(task.outputs) - set(found))
    extra = sorted(set(found) - set(task.outputs))
    links = sorted(name for name, path in found.items() if path.is_symlink())
    for names, what in (
        (missing, "did not write"),
        (extra, "wrote, but does not name among its outputs,"),
        (links, "wrote as links"),
    ):
        if names:
            raise ValueError(f"task {task.id} ({task.function}) {what} {', '.join(names)}.")
    return {
        name: {"sha256": hash_file(path), "bytes": path.stat().st_size}
        for name, path in sorted(found.items())
    }
