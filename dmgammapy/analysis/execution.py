"""Do tasks: in this process, in several on this machine, or on a cluster.

- ``loky`` (of joblib): processes on this machine, the default. With one job, or with the back ends
  ``sequential`` and ``threading``, tasks run one after the other in this process: matplotlib, and
  the warnings and units of astropy, are not safe in threads.
- ``dask``: workers of a dask cluster, on this machine (``local``) or sent to the queue of Slurm,
  HTCondor or LSF; they see the same file system.

A task is a pure function on one thread, so all give the same bytes. Cheap tasks travel in batches.
A worker may die: what it was doing is done again by another one, and a task that takes down each
worker it is given to is reported as failed, alone.

Only the standard library is imported, joblib and dask when they are needed.
"""

import math
import os
import re
import signal
import threading
import time
import warnings
from collections import deque
from concurrent.futures import FIRST_COMPLETED, wait

from ._workers import WORKER_ENVIRONMENT, Outcome, one_thread, perform, perform_batch

__all__ = ["BACKENDS", "Executor", "Outcome"]

BACKENDS = ("loky", "threading", "sequential", "dask")
BATCH_SECONDS = 0.3
# below, the next batch is already with the worker when it ends one
SHORT = 1.0  # s
# a task has taken down the worker it shared with others, then two that it had for itself
MOST_DEATHS = 3


class Executor:
    """Runs tasks; a context manager, workers live as long as it.

    Parameters
    ----------
    n_jobs : int
        Tasks at a time; -1 for as many as there are cores. Default is 1.
    backend : {"loky", "threading", "sequential", "dask"}
        Default is "loky".
    cluster : {"local", "slurm", "htcondor", "lsf"}, optional
        For "dask". Default is "local".
    workers : int, optional
        Workers of the cluster. Default is ``n_jobs``.
    options : dict, optional
        Of the cluster's jobs, see `~dmgammapy.analysis.cluster.JobOptions`.

    Raises
    ------
    ValueError
        If an option is not known, with the one that is closest.
    ImportError
        If dask is needed and not installed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from dmgammapy.analysis._tasks import Task
    >>> from dmgammapy.analysis.execution import Executor
    >>> task = Task("castro/draco", "castro", "no_such_module:castro")
    >>> with TemporaryDirectory() as folder, Executor() as executor:
    ...     for index, outcome in executor.run([(task, {}, Path(folder) / "staged")]):
    ...         print(index, outcome.ok, outcome.error)
    0 False No module named 'no_such_module'
    """

    def __init__(self, n_jobs=1, backend="loky", cluster=None, workers=None, options=None):
        if backend not in BACKENDS:
            raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}.")
        if cluster is not None and backend != "dask":
            raise ValueError(f"cluster {cluster!r} needs backend: dask, got {backend!r}.")
        for name, n in (("n_jobs", n_jobs), ("workers", workers)):
            if n is not None and (n != int(n) or n == 0 or (name == "workers" and n < 0)):
                raise ValueError(f"{name} must be a positive number (or n_jobs: -1), got {n}.")
        self.n_jobs = _n_cores() + 1 + n_jobs if n_jobs < 0 else n_jobs
        self.n_jobs = max(1, self.n_jobs)
        self.backend = backend
        self.cluster = cluster or ("local" if backend == "dask" else None)
        self.workers = workers or self.n_jobs
        self.options = dict(options or {})
        self._pool = None
        if self.cluster is not None:
            from .cluster import JobOptions, require_dask

            JobOptions.from_dict(self.cluster, self.options)
            require_dask(self.cluster)

    def __repr__(self):
        where = f", cluster={self.cluster!r}, workers={self.workers}" if self.cluster else ""
        return f"{type(self).__name__}(n_jobs={self.n_jobs}, backend={self.backend!r}{where})"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """Stop the workers."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    @property
    def in_process(self):
        """Whether tasks run in this process."""
        return self.backend in ("sequential", "threading") or (
            self.backend == "loky" and self.n_jobs == 1
        )

    def run(self, calls):
        """Run tasks and tell how they end, in the order in which they do.

        Leaving the loop early, or an interrupt from the keyboard, stops the workers.

        Parameters
        ----------
        calls : sequence of (task, parents, folder)
            Task, dict of paths by relative path for each of its parents, and staging folder: see
            `~dmgammapy.analysis.store.ResultsStore.stage`.

        Yields
        ------
        index : int
            Of the call.
        outcome : `Outcome`
            If it is ok, the outputs are in the staging folder.
        """
        calls = list(calls)
        if self.in_process:
            with one_thread([call[0] for call in calls]):
                for index, call in enumerate(calls):
                    yield index, perform(*call)
            return
        if self._pool is None:
            self._pool = self._start()
        done = False
        try:
            yield from _run_in(self._pool, calls)
            done = True
        finally:
            if not done:
                self.close()

    def _start(self):
        if self.backend == "loky":
            return _LokyPool(self.n_jobs)
        from ._dask_pool import DaskPool

        return DaskPool(self.cluster, self.workers, self.options)


def _n_cores():
    from joblib import cpu_count

    return cpu_count()


def _run_in(pool, calls):
    batches = _Batches([call[0].step for call in calls], pool.size)
    deaths = dict.fromkeys(range(len(calls)), 0)
    suspects = deque()  # to be run when nothing else is
    while True:
        while pool.has_room(batches.is_short()):
            if batch := batches.take():
                pool.submit(batch, [calls[index] for index in batch])
            elif suspects and not pool.busy:
                index = suspects.popleft()
                pool.submit([index], [calls[index]])
                break
            else:
                break
        if not pool.busy:
            return
        for batch, result in pool.wait():
            if result is None:  # its worker died before it began
                batches.put_back(batch)
            elif isinstance(result, list):
                for index, outcome in zip(batch, result, strict=True):
                    batches.learn(index, outcome.seconds)
                    yield index, outcome
            else:
                for index in batch:
                    deaths[index] += 1
                    if deaths[index] >= MOST_DEATHS:
                        yield index, _death(result)
                    elif deaths[index] == MOST_DEATHS - 1:
                        suspects.append(index)
                    else:
                        batches.put_back([index])


def _death(error):
    reason = re.search(r"SIG[A-Z]+", str(error))
    how = f", by {reason[0]}" if reason else ""
    return Outcome(
        ok=False,
        error=f"worker died (out of memory?){how}: this task has ended each of the {MOST_DEATHS} "
        "workers it was given to",
        error_type="WorkerDied",
        traceback=f"{type(error).__name__}: {error}",
    )


class _Batches:
    """Hands out indices of tasks, cheap ones of the same step together.

    Parameters
    ----------
    steps : list of str
        Step of each task: those of a step take about the same time.
    n_workers : int
    """

    def __init__(self, steps, n_workers):
        self._steps = steps
        self._n_workers = n_workers
        self._waiting = deque(range(len(steps)))
        self._single = deque()
        self._seconds = {}

    def learn(self, index, seconds):
        """Take note of how long a task took."""
        step = self._steps[index]
        self._seconds[step] = (self._seconds.get(step, seconds) + seconds) / 2

    def put_back(self, batch):
        """Have tasks again, one at a time, after all others."""
        self._single.extend(batch)

    def _size(self):
        seconds = self._seconds.get(self._steps[self._waiting[0]])
        if seconds is None:
            return 1
        # towards the end small ones, so that all workers end together
        fair = math.ceil(len(self._waiting) / (4 * self._n_workers))
        return max(1, min(int(BATCH_SECONDS / max(seconds, 1e-4)), fair))

    def is_short(self):
        """Whether the next batch is known to be done soon."""
        if not self._waiting:
            return False
        seconds = self._seconds.get(self._steps[self._waiting[0]])
        return seconds is not None and seconds * self._size() < SHORT

    def take(self):
        """Indices of the next batch; none if all are given out."""
        if not self._waiting:
            return [self._single.popleft()] if self._single else []
        step, n = self._steps[self._waiting[0]], self._size()
        batch = []
        while self._waiting and len(batch) < n and self._steps[self._waiting[0]] == step:
            batch.append(self._waiting.popleft())
        return batch


class _LokyPool:
    """Processes on this machine, each an executor of its own.

    When a worker of a common executor dies, all others are stopped too and nobody knows whose task
    it was. Here only its own batch is lost.
    """

    def __init__(self, size):
        from joblib.externals.loky import ProcessPoolExecutor
        from joblib.externals.loky.process_executor import BrokenProcessPool

        # of a worker whose memory has grown: it is replaced, nothing is lost
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        self.size = size
        self._make = ProcessPoolExecutor
        self._broken = BrokenProcessPool
        self._executors = [None] * size
        self._running = [deque() for _ in range(size)]  # (future, batch), first in first out

    @property
    def busy(self):
        """Whether anything is running."""
        return any(self._running)

    def has_room(self, short):
        """Whether a worker waits for a batch; of short batches it gets one in advance."""
        return min(map(len, self._running)) < (2 if short else 1)

    def submit(self, batch, calls):
        """Give a batch to the worker that has least to do."""
        n = min(range(self.size), key=lambda n: len(self._running[n]))
        for _ in range(2):
            if self._executors[n] is None:
                self._executors[n] = self._make(
                    max_workers=1,
                    env=WORKER_ENVIRONMENT,
                    initializer=_depend_on,
                    initargs=(os.getpid(),),
                )
            try:
                future = self._executors[n].submit(perform_batch, calls)
                break
            except self._broken:  # it died while it had nothing to do, or just now
                if self._running[n]:
                    future = None
                    break
                self._drop(n)
        self._running[n].append((future, batch))

    def wait(self):
        """Batches that have ended, with a list of outcomes, or what ended the worker."""
        futures = [future for running in self._running for future, _ in running if future]
        wait(futures, return_when=FIRST_COMPLETED)
        for n, running in enumerate(self._running):
            while running and (running[0][0] is None or running[0][0].done()):
                future, batch = running[0]
                error = None if future is None else future.exception()
                if future is not None and error is None:
                    running.popleft()
                    yield batch, future.result()
                elif future is None or isinstance(error, self._broken):
                    # batches are done one after the other: those behind it had not begun
                    behind = [later for _, later in list(running)[1:]]
                    running.clear()
                    self._drop(n)
                    yield batch, error
                    for later in behind:
                        yield later, None
                else:
                    raise error

    def _drop(self, n):
        if self._executors[n] is not None:
            self._executors[n].shutdown(wait=True, kill_workers=True)
            self._executors[n] = None

    def close(self):
        """Stop all workers, whatever they are doing."""
        for n in range(self.size):
            self._running[n].clear()
            self._drop(n)


def _depend_on(pid):
    """Leave Ctrl-C to the process in charge, and end soon after it, even if it was killed."""
    from tqdm import tqdm

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # its default is a semaphore, which a worker that is killed would leave behind
    tqdm.set_lock(threading.RLock())
    if hasattr(os, "fork"):  # elsewhere orphans have the same parent as before
        threading.Thread(target=_end_with, args=(pid,), daemon=True).start()


def _end_with(pid):
    while os.getppid() == pid:
        time.sleep(1)
    os._exit(1)
