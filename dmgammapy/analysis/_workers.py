"""What a worker does with a task: alone in its folder, watched, every error caught.

Only the standard library is imported here; tasks bring what they need.
"""

import json
import os
import shutil
import socket
import sys
import time
import traceback
import uuid
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from ._records import disk
from ._tasks import call_function

__all__ = ["WORKER_ENVIRONMENT", "Outcome", "one_thread", "perform", "perform_batch"]

# as many workers as cores, each on one thread: more would only wait for each other, and sums over
# another number of threads may round differently
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "BLIS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
}


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    Parameters
    ----------
    ok : bool
    info : dict
        What the task wants to be remembered.
    error, error_type, traceback : str or None
        Message, class and full text of the exception.
    seconds : float or None
        Time it took.
    peak_memory_mb : float or None
        Most memory the process had meanwhile, in MB (1e6 bytes), with all it had loaded before.
    host : str or None
    pid : int or None
    """

    ok: bool
    info: dict = field(default_factory=dict)
    error: str | None = None
    error_type: str | None = None
    traceback: str | None = None
    seconds: float | None = None
    peak_memory_mb: float | None = None
    host: str | None = None
    pid: int | None = None


def perform(task, parents, folder):
    """Do a task and tell how it ended; only KeyboardInterrupt gets out.

    The task writes to a folder of its own, which becomes ``folder`` when it has succeeded. So what
    a worker that died has begun never mixes with the next try. The folder above must be there: a
    worker whose run was killed does not bring it back.

    Parameters
    ----------
    task : `~dmgammapy.analysis._tasks.Task`
    parents : dict
        For each parent a dict of paths by relative path.
    folder : str or `~pathlib.Path`

    Returns
    -------
    outcome : `Outcome`
    """
    folder = Path(folder)
    attempt = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}")
    about = {"host": socket.gethostname(), "pid": os.getpid()}
    _forget_peak_memory()
    start = time.perf_counter()
    try:
        with disk(folder.parent):
            attempt.mkdir()
            info = call_function(task, parents, attempt)
            # JSON of all kinds of mappings and tuples is that of plain ones
            info = json.loads(json.dumps(info))
            _become(attempt, folder)
        about["ok"] = True
    except (Exception, SystemExit) as error:
        info = {}
        about |= {
            "ok": False,
            "error": str(error) or repr(error),
            "error_type": type(error).__name__,
            "traceback": traceback.format_exc(),
        }
    finally:
        shutil.rmtree(attempt, ignore_errors=True)
    seconds = time.perf_counter() - start
    return Outcome(info=info, seconds=seconds, peak_memory_mb=_peak_memory(), **about)


def perform_batch(calls):
    """Do several tasks one after the other; see `perform`."""
    return [perform(*call) for call in calls]


def _become(attempt, folder):
    with suppress(OSError):
        folder.rmdir()
    try:
        os.rename(attempt, folder)
    except OSError:
        # another try of the same task was faster: it has written the same
        if not (folder.is_dir() and any(folder.iterdir())):
            raise


def _forget_peak_memory():
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:  # Linux
        file.write("5")


def _peak_memory():
    """Most memory since `_forget_peak_memory`, or since the process began where that is unknown."""
    with suppress(OSError, ValueError, IndexError), open("/proc/self/status") as file:
        (line,) = (line for line in file if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


@contextmanager
def one_thread(tasks):
    """Keep BLAS and numba of this process to one thread, as those of workers are.

    Parameters
    ----------
    tasks : sequence of `~dmgammapy.analysis._tasks.Task`
        Their modules are imported first: only libraries that are loaded can be told.
    """
    for module in {task.function.partition(":")[0] for task in tasks}:
        with suppress(Exception):  # the task itself will tell
            import_module(module)
    with ExitStack() as stack:
        with suppress(ImportError):
            from threadpoolctl import threadpool_limits

            stack.enter_context(threadpool_limits(1))
        if "numba" in sys.modules:
            numba = sys.modules["numba"]
            stack.callback(numba.set_num_threads, numba.get_num_threads())
            numba.set_num_threads(1)
        yield
