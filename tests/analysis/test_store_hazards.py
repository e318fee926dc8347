"""The folder of results under SIGKILL, full disks and other processes, all for real."""

import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from dmgammapy.analysis._tasks import Task
from dmgammapy.analysis.store import ResultsStore, StoreLockedError


def plan(variant, n=6):
    """A chain of tasks in two variants, whose outputs have other contents and lengths."""
    tasks = []
    for i in range(n):
        parents = (f"step/{i - 1}",) if i else ()
        outputs = (f"tables/{i}.txt", f"plots/{i}/figure.txt")
        tasks.append(Task(f"step/{i}", "castro", "m:f", {"v": variant}, {}, parents, outputs))
    return tasks


def content(variant, name):
    return f"{name} of {variant}\n" * (50 + 400 * variant)


def run(store, variant):
    keys, n_done = {}, 0
    for task in plan(variant):
        keys[task.id] = key = store.key(task, keys)
        if store.state(task, key) == "done":
            continue
        folder = store.stage(task)
        try:
            for name in task.outputs:
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content(variant, name))
        except OSError:
            shutil.rmtree(folder)
            raise
        store.commit(task, key, folder, {"variant": variant})
        n_done += 1
    store.write_manifest({"variant": variant, "complete": True})
    return keys, n_done


# subprocesses take the modules without the room around them, which imports gammapy: they start fast
LIGHT = """
import json, os, shutil, sys, time, types
import dmgammapy
room = types.ModuleType("dmgammapy.analysis")
room.__path__ = [os.path.join(dmgammapy.__path__[0], "analysis")]
sys.modules["dmgammapy.analysis"] = room
from dmgammapy.analysis._records import disk
from dmgammapy.analysis._tasks import Task
from dmgammapy.analysis.store import *

""" + "\n".join(map(inspect.getsource, (plan, content, run)))


def program(code):
    return [sys.executable, "-c", LIGHT + textwrap.dedent(code)]


def start(code, *arguments, **kwargs):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*program(code), *map(str, arguments)], **pipes, **kwargs)


def bytes_below(path):
    """All files that users see, but for the manifest."""
    return {
        p.relative_to(path).as_posix(): p.read_bytes()
        for p in sorted(path.rglob("*"))
        if p.is_file() and ".dmgammapy" not in p.parts and p.name != "manifest.json"
    }


def private_files(store):
    return sorted(p.name for p in (store.path / ".dmgammapy").iterdir())


@pytest.fixture
def store(tmp_path):
    return ResultsStore(tmp_path / "results")


HOLD = """
    store = ResultsStore(sys.argv[1])
    with store.lock("draco.yaml"):
        (store.stage(Task("a", "castro", "m:f")) / "half").write_text("")
        print("held", flush=True)
        sys.stdin.read()
"""


def test_one_process_at_a_time(store):
    assert not store.is_locked()
    assert not store.path.exists()
    holder = start(HOLD, store.path, stdin=subprocess.PIPE)
    assert holder.stdout.readline() == "held\n"
    assert store.is_locked()
    with pytest.raises(StoreLockedError) as caught, store.lock():
        pass
    message = str(caught.value)
    for part in (str(store.path), str(holder.pid), os.uname().nodename, "draco.yaml", "wait until"):
        assert part in message
    assert store.is_locked()
    assert any(name.startswith("staging-") for name in private_files(store))
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    # nothing has to be removed by hand
    assert not store.is_locked()
    with store.lock():
        assert store.is_locked()
        assert sum(name.startswith("staging-") for name in private_files(store)) == 1
        for other in (store, ResultsStore(store.path)):
            with pytest.raises(StoreLockedError, match=str(os.getpid())), other.lock():
                pass
    assert private_files(store) == ["lock", "store.json"]
    assert not store.is_locked()


LOOP = """
    store = ResultsStore(sys.argv[1])
    with store.lock():
        print("ready", flush=True)
        variant = 0
        while True:
            run(store, variant % 2)
            variant += 1
"""


@pytest.fixture
def expected(tmp_path):
    """Contents of both variants, uninterrupted."""
    contents = []
    for variant in (0, 1):
        store = ResultsStore(tmp_path / f"uninterrupted-{variant}")
        with store.lock():
            assert run(store, variant)[1] == 6
        contents.append(bytes_below(store.path))
    assert contents[0].keys() == contents[1].keys()
    return contents


def test_killed_at_any_moment_nothing_wrong_is_read_back(store, expected):
    """20 runs that go on replacing results, killed by SIGKILL at random moments."""
    random = np.random.default_rng(20)
    unfinished = 0
    for n in range(20):
        process = start(LOOP, store.path)
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        time.sleep(random.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        keys = [{}, {}]
        for variant in (0, 1):
            for task in plan(variant):
                keys[variant][task.id] = key = store.key(task, keys[variant])
                if store.state(task, key) == "done":
                    for name in task.outputs:
                        assert store.verified(name).read_bytes() == expected[variant][name]
        states = {task.id: store.state(task, keys[n % 2][task.id]) for task in plan(n % 2)}
        unfinished += "missing" in states.values()
        with store.lock():
            _, n_done = run(store, n % 2)
        assert n_done == sum(state != "done" for state in states.values())
        assert bytes_below(store.path) == expected[n % 2]
        assert private_files(store) == ["lock", "records", "store.json"]
    assert unfinished  # some kills were in the middle of it


FILL = """
    store = ResultsStore(sys.argv[1] + "/results")
    {prepare}
    with store.lock():
        keys, _ = run(store, 0)
        big = Task("big", "castro", "m:f", outputs=("big.bin",))
        messages = []
        for attempt in range(2):
            folder = store.stage(big)
            try:
                with disk(store.path):
                    (folder / "big.bin").write_bytes(bytes({size}))
                store.commit(big, "key", folder)
            except DiskFullError as error:
                messages.append(str(error))
                outcome = types.SimpleNamespace(error="full", error_type="OSError", traceback="tb")
                store.fail(big, "key", outcome)
        {fill}
        states = [store.state(task, keys[task.id]) for task in plan(0)]
    left = [p.name for p in (store.path / ".dmgammapy").iterdir()]
    print(json.dumps([messages, states, store.state(big, "key"), sorted(left)]))
"""
# page by page there is more room: it gives out while staging, in a record, at the end
TO_THE_BRIM = """
        filler = open(sys.argv[1] + "/filler", "wb", buffering=0)
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass
        for page in range(12):
            try:
                run(store, 1)
                break
            except OSError as error:
                if isinstance(error, DiskFullError):
                    messages.append(str(error))
            keys = [{}, {}]
            for variant in (0, 1):
                for task in plan(variant):
                    keys[variant][task.id] = key = store.key(task, keys[variant])
                    if store.state(task, key) == "done":
                        for name in task.outputs:
                            assert store.verified(name).read_text() == content(variant, name)
            filler.truncate(filler.tell() - 4096 * (page + 1))
        filler.close()
        os.remove(sys.argv[1] + "/filler")
        keys, _ = run(store, 0)
"""


def fill(folder, prepare, size, fill, *before):
    indented = textwrap.indent(textwrap.dedent(fill), " " * 8)
    code = FILL.format(prepare=prepare, size=size, fill=indented.strip())
    command = [*before, *program(code), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_full_disk(tmp_path):
    """On a real file system of 1 MB."""
    mount = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=1m none "$0" && exec "$@"']
    mount.append(str(tmp_path))
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare(1) of Linux")
    probe = subprocess.run([*mount, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"file systems may not be mounted here: {probe.stderr.strip()}")
    messages, states, state, left = fill(tmp_path, "", 2_000_000, TO_THE_BRIM, *mount)
    assert len(messages) > 3
    assert all("the disk is full" in text and "results" in text for text in messages)
    assert all("run again" in text for text in messages)
    assert states == ["done"] * 6
    assert state == "failed"
    assert left == ["failed", "lock", "records", "store.json"]


def test_limit_of_file_size(tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    messages, states, state, left = fill(tmp_path, limit, 200_000, "")
    assert len(messages) == 2
    assert all("larger than this process may write" in text for text in messages)
    assert states == ["done"] * 6
    assert state == "failed"
    assert left == ["failed", "lock", "records", "store.json"]
