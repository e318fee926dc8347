"""Tasks run everywhere alike, and an error or a dead worker stops nothing but itself."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numba
import pytest

from dmgammapy.analysis._tasks import Task
from dmgammapy.analysis._workers import perform
from dmgammapy.analysis.cluster import make_cluster
from dmgammapy.analysis.execution import Executor
from dmgammapy.analysis.store import ResultsStore

TASKS = '''
import os, signal, sys, time
from pathlib import Path

import numpy as np


def compute(params, files, parents, folder):
    """Sums that round differently in another order, from a stream of random numbers."""
    x = np.random.default_rng(params["seed"]).normal(size=(60, 400))
    np.save(folder / "out.npy", np.append((x @ x.T).ravel(), x.sum()))
    return {"seed": params["seed"], "pid": os.getpid()}


def fail(params, files, parents, folder):
    (folder / "half.npy").write_bytes(b"half")
    raise ValueError(f"no likelihood in {params['seed']}")


def leave(params, files, parents, folder):
    sys.exit(3)


def bad_info(params, files, parents, folder):
    return {"x": object()}


def read_parent(params, files, parents, folder):
    values = [path.read_text() for names in parents.values() for path in names.values()]
    values.append(files["sed"].read_text())
    (folder / "out.txt").write_text(" ".join(values))


def threads(params, files, parents, folder):
    import numba
    from threadpoolctl import threadpool_info

    n = {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}
    return {"blas": sorted(n), "numba": numba.get_num_threads()}


def memory(params, files, parents, folder):
    return {"n": len(np.ones(params["mb"] * 10**6 // 8))}


def die_once(params, files, parents, folder):
    mark = Path(params["mark"])
    if not mark.exists():
        mark.touch()
        (folder / "half.npy").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    compute(params, files, parents, folder)


def die(params, files, parents, folder):
    os.kill(os.getpid(), signal.SIGKILL)


def tell(params, files, parents, folder):
    """Say who is at work, and work on."""
    Path(params["mark"], str(os.getpid())).touch()
    time.sleep(params.get("seconds", 0.05))
    compute(params, files, parents, folder)
'''
BACKENDS = {
    "sequential": {},
    "loky": {"n_jobs": 2},
    "dask": {"n_jobs": 2, "backend": "dask"},
}
PARALLEL = ["loky", "dask"]


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """Module of tasks that workers find too; the name of a fresh one in each test."""
    name = f"tasks_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(TASKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


@pytest.fixture
def make_calls(tasks, tmp_path):
    """Function that makes calls of a function by name, staged in a folder of their own."""

    def make(*functions, **params):
        folder = tmp_path / f"staging{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return [
            (
                Task(f"castro/{i}", "castro", f"{tasks}:{function}", {"seed": i, **params}),
                {},
                folder / str(i),
            )
            for i, function in enumerate(functions)
        ]

    return make


def outputs(calls):
    """Content of all that was written, by path in the staging folder."""
    return {
        (path.parent.name, path.name): path.read_bytes()
        for _, _, folder in calls
        for path in folder.rglob("*")
    }


def left_in(calls):
    return sorted(path.name for path in calls[0][2].parent.iterdir())


@pytest.mark.parametrize("backend", PARALLEL)
def test_all_give_the_same_bytes(make_calls, backend):
    expected, calls = make_calls(*["compute"] * 30), make_calls(*["compute"] * 30)
    with Executor() as executor:
        serial = dict(executor.run(expected))
    assert [outcome.info["pid"] for outcome in serial.values()] == [os.getpid()] * 30
    with Executor(**BACKENDS[backend]) as executor:
        found = dict(executor.run(calls))
        # the same workers do the next step
        again = dict(executor.run(make_calls("compute")))
    assert sorted(found) == sorted(serial) == list(range(30))
    assert all(found[i].ok and found[i].info["seed"] == i for i in found)
    pids = {outcome.pid for outcome in found.values()}
    assert os.getpid() not in pids
    assert again[0].pid in pids
    assert outputs(calls) == outputs(expected)
    assert len(outputs(calls)) == 30


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_error_stops_nothing_else(make_calls, backend):
    calls = make_calls("compute", "fail", "leave", "bad_info", "missing", "compute")
    with Executor(**BACKENDS[backend]) as executor:
        found = dict(executor.run(calls))
    assert [found[i].ok for i in range(6)] == [True, False, False, False, False, True]
    assert (found[1].error, found[1].error_type) == ("no likelihood in 1", "ValueError")
    assert 'raise ValueError(f"no likelihood' in found[1].traceback
    assert (found[2].error, found[2].error_type) == ("3", "SystemExit")
    assert "JSON" in found[3].error
    assert "missing" in found[4].error
    # nothing of those that failed is left
    assert left_in(calls) == ["0", "5"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_workers_have_one_thread_each(make_calls, backend):
    before = numba.get_num_threads()
    with Executor(**BACKENDS[backend]) as executor:
        ((_, outcome),) = executor.run(make_calls("threads"))
    assert outcome.ok, outcome.traceback
    assert outcome.info == {"blas": [1], "numba": 1}
    assert numba.get_num_threads() == before


def test_inputs_and_peak_memory(make_calls, tasks, tmp_path):
    (tmp_path / "sed.txt").write_text("sed")
    (tmp_path / "parent.txt").write_text("parent")
    task = Task("a", "target", f"{tasks}:read_parent", {}, {"sed": str(tmp_path / "sed.txt")})
    parents = {"castro/b": {"castro/b.txt": tmp_path / "parent.txt"}}
    small, large = make_calls("memory", mb=1), make_calls("memory", mb=300)
    with Executor(n_jobs=2) as executor:
        ((_, outcome),) = executor.run([(task, parents, tmp_path / "staged")])
        peaks = [dict(executor.run(calls))[0].peak_memory_mb for calls in (small, large)]
    assert outcome.ok
    assert (tmp_path / "staged/out.txt").read_text() == "parent sed"
    assert peaks[1] > peaks[0]
    assert 300 < peaks[1] < 1000


@pytest.mark.parametrize("backend", PARALLEL)
def test_work_of_a_dead_worker_is_done_again(make_calls, backend, tmp_path):
    names = ["compute"] * 20
    expected = make_calls(*names)
    names[3] = names[9] = "die_once"
    calls = make_calls(*names, mark=str(tmp_path / "mark"))
    with Executor() as executor:
        list(executor.run(expected))
    with Executor(**BACKENDS[backend]) as executor:
        found = dict(executor.run(calls))
    assert (tmp_path / "mark").exists()
    assert all(found[i].ok for i in range(20))
    assert outputs(calls) == outputs(expected)


@pytest.mark.parametrize("backend", PARALLEL)
def test_a_task_that_ends_every_worker_fails_alone(make_calls, backend):
    calls = make_calls(*["compute"] * 4, "die", *["compute"] * 15)
    with Executor(**BACKENDS[backend]) as executor:
        found = dict(executor.run(calls))
        after = dict(executor.run(make_calls("compute")))
    assert [i for i in range(20) if not found[i].ok] == [4]
    assert found[4].error_type == "WorkerDied"
    assert "worker died (out of memory?)" in found[4].error
    assert after[0].ok


@pytest.mark.parametrize("backend", PARALLEL)
def test_a_worker_killed_in_mid_run(make_calls, backend, tmp_path):
    """As by the kernel when memory runs out; the result is that of a serial run."""
    expected = make_calls(*["compute"] * 24)
    mark = tmp_path / "workers"
    mark.mkdir()
    calls = make_calls(*["tell"] * 24, mark=str(mark))
    with Executor() as executor:
        list(executor.run(expected))
    found, killed = {}, None
    with Executor(**BACKENDS[backend]) as executor:
        for index, outcome in executor.run(calls):
            found[index] = outcome
            if killed is None:
                killed = outcome.pid
                os.kill(killed, signal.SIGKILL)
    assert sorted(found) == list(range(24))
    assert all(outcome.ok for outcome in found.values())
    assert {outcome.pid for outcome in found.values()} > {killed}
    assert outputs(calls) == outputs(expected)


@pytest.mark.parametrize("backend", PARALLEL)
def test_leaving_early_stops_the_workers(make_calls, backend, tmp_path):
    calls = make_calls("compute", *["tell"] * 3, mark=str(tmp_path), seconds=60)
    executor = Executor(**BACKENDS[backend])
    run = executor.run(calls)
    _, outcome = next(run)
    started = time.monotonic()
    run.close()
    executor.close()
    assert time.monotonic() - started < 50
    assert outcome.ok
    with pytest.raises(ProcessLookupError):
        os.kill(outcome.pid, 0)


PROGRAM = """
    import sys, threading
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from dmgammapy.analysis._tasks import Task
    from dmgammapy.analysis.execution import Executor
    from dmgammapy.analysis.store import ResultsStore

    def calls(store, name, **params):
        for i in range(9):
            params = {**params, "seed": i}
            task = Task(f"a/{i}", "castro", f"{sys.argv[1]}:{name}", params, {}, (), ("out.npy",))
            yield task, {}, store.stage(task)

    if __name__ == "__main__":
        store = ResultsStore(Path(sys.argv[2]) / "results")
        with store.lock():
            with Executor(n_jobs=2, backend=sys.argv[3]) as executor:
                print([outcome.ok for _, outcome in executor.run(calls(store, "compute"))])
                if len(sys.argv) > 4:
                    mark = {"mark": sys.argv[4], "seconds": 3}
                    list(executor.run(calls(store, "tell", **mark)))
        print([thread.name for thread in threading.enumerate() if not thread.daemon])
"""


def program(tasks, folder, *arguments):
    (folder / "main.py").write_text(textwrap.dedent(PROGRAM))
    command = [sys.executable, "-Werror", folder / "main.py", tasks, folder, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(list(map(str, command)), **pipes)


@pytest.mark.parametrize("backend", PARALLEL)
def test_nothing_is_left_or_said(tasks, tmp_path, backend):
    """No warning, no message of dask or loky, no thread that keeps the program alive."""
    process = program(tasks, tmp_path, backend)
    out, err = process.communicate(timeout=100)
    assert (out, err) == (f"{[True] * 9}\n['MainThread']\n", "")


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_result_behind(tasks, tmp_path, number):
    """Workers of a run that was killed go on for a while, and reach nothing."""
    mark = tmp_path / "workers"
    mark.mkdir()
    process = program(tasks, tmp_path, "loky", mark)
    wait_for(lambda: len(list(mark.iterdir())) == 2)
    workers = [int(path.name) for path in mark.iterdir()]
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert ("KeyboardInterrupt" in err) == (number == signal.SIGINT)
    store = ResultsStore(tmp_path / "results")
    with store.lock():
        assert len(list((store.path / ".dmgammapy").glob("staging-*"))) == 1

    def are_gone():
        return not any(is_alive(pid) for pid in workers)

    wait_for(are_gone)
    assert sorted(p.name for p in (store.path / ".dmgammapy").iterdir()) == ["lock", "store.json"]
    assert [p.name for p in store.path.iterdir()] == [".dmgammapy"]


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_does_not_bring_back_the_folder_of_a_killed_run(tasks, tmp_path):
    task = Task("a", "castro", f"{tasks}:compute", {"seed": 1})
    outcome = perform(task, {}, tmp_path / "results/.dmgammapy/staging-1/a")
    assert outcome.error_type == "FileNotFoundError"
    assert not (tmp_path / "results").exists()


def test_interrupts_get_out_of_a_serial_run(make_calls, tmp_path):
    calls = make_calls("tell", mark=str(tmp_path), seconds=60)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt), Executor() as executor:
        assert list(executor.run(calls)) == []
    timer.join()
    assert left_in(calls) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": "lokky"}, "backend must be one of loky, threading"),
        ({"n_jobs": 0}, "n_jobs must be"),
        ({"n_jobs": 1.5}, "n_jobs must be"),
        ({"workers": -2}, "workers must be"),
        ({"cluster": "local"}, "needs backend: dask"),
        ({"cluster": "slrum", "backend": "dask"}, "did you mean 'slurm'"),
        ({"options": {"mem": "1GB"}, "backend": "dask"}, "did you mean 'memory'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Executor(**arguments)


@pytest.mark.parametrize(
    ("cluster", "missing"), [("local", "distributed"), ("slurm", "dask_jobqueue")]
)
def test_missing_packages_are_named(monkeypatch, cluster, missing):
    monkeypatch.setattr(
        "dmgammapy.analysis.cluster.find_spec", lambda name: None if name == missing else True
    )
    for make in (
        lambda: Executor(backend="dask", cluster=cluster),
        lambda: make_cluster(cluster, 1),
    ):
        with pytest.raises(ImportError, match=r'pip install "dmgammapy\[cluster\]"') as caught:
            make()
        assert missing.replace("_", "-") in str(caught.value)


def test_threads_are_not_used(make_calls):
    """Matplotlib and catch_warnings are not safe in threads: 'threading' is sequential."""
    with Executor(n_jobs=2, backend="threading") as executor:
        found = dict(executor.run(make_calls(*["compute"] * 3)))
    assert list(found) == [0, 1, 2]
    assert {outcome.pid for outcome in found.values()} == {os.getpid()}
