"""Workers of a dask cluster, on this machine or in the queue of a computing centre."""

import logging
from contextlib import suppress

from ._workers import perform_batch
from .cluster import make_cluster

__all__ = ["DaskPool"]


class DaskPool:
    """Workers of a dask cluster; has the methods of the pool of local processes.

    Parameters
    ----------
    cluster : {"local", "slurm", "htcondor", "lsf"}
    size : int
        Workers.
    options : dict
        See `~dmgammapy.analysis.cluster.JobOptions`.
    """

    def __init__(self, cluster, size, options):
        import dask
        import distributed

        self.size = size
        self._distributed = distributed
        # a batch that was with a worker that died comes back to us, to be split
        with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
            self._cluster = make_cluster(cluster, size, options)
        # what happens to workers is reported with the tasks that it concerns
        self._handlers = [
            (handler, handler.level)
            for name in ("distributed", "distributed.client")
            for handler in logging.getLogger(name).handlers
        ]
        for handler, _ in self._handlers:
            handler.setLevel(logging.CRITICAL)
        self._client = distributed.Client(self._cluster, set_as_default=False)
        self._running = {}

    @property
    def busy(self):
        """Whether anything is running."""
        return bool(self._running)

    def has_room(self, short):
        """Whether a worker waits for a batch; of short batches each gets one in advance."""
        return len(self._running) < self.size * (2 if short else 1)

    def submit(self, batch, calls):
        """Give a batch to the cluster."""
        future = self._client.submit(perform_batch, calls, pure=False)
        self._running[future] = batch

    def wait(self):
        """Batches that have ended, with a list of outcomes, or what ended the worker."""
        with self._client.as_current():
            waiting = list(self._running)
            ended = self._distributed.wait(waiting, return_when="FIRST_COMPLETED").done
        for future in ended:
            batch = self._running.pop(future)
            try:
                yield batch, future.result()
            except self._distributed.KilledWorker as error:
                yield batch, error

    def close(self):
        """Stop all workers, whatever they are doing."""
        self._running.clear()
        with suppress(TimeoutError):
            self._client.close()
        self._cluster.close()
        for handler, level in self._handlers:
            handler.setLevel(level)
