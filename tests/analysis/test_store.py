"""The folder of results: nothing wrong is ever taken for a result, whatever happens to it."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import pytest

from dmgammapy.analysis import _hashes
from dmgammapy.analysis._tasks import Task
from dmgammapy.analysis.execution import Outcome
from dmgammapy.analysis.store import (
    DamagedResultError,
    ResultsStore,
    code_hash,
    hash_file,
    make_fingerprint,
)

FAILED = Outcome(ok=False, error="no", error_type="ValueError", traceback="Traceback: no")


def bytes_below(path):
    """All files that users see, but for the manifest."""
    return {
        p.relative_to(path).as_posix(): p.read_bytes()
        for p in sorted(path.rglob("*"))
        if p.is_file() and ".dmgammapy" not in p.parts and p.name != "manifest.json"
    }


def do(store, task, text="result", parent_keys=None):
    """Do a task that writes the same to all its outputs; its key."""
    key = store.key(task, parent_keys or {})
    with store.lock():
        folder = store.stage(task)
        for name in task.outputs:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        store.commit(task, key, folder)
    return key


@pytest.fixture
def store(tmp_path):
    return ResultsStore(tmp_path / "results")


@pytest.fixture
def task(tmp_path):
    (tmp_path / "sed.txt").write_text("a likelihood")
    return Task(
        "castro/draco",
        "castro",
        "module:castro",
        {"channel": "b"},
        {"sed": str(tmp_path / "sed.txt")},
        (),
        ("castro/draco.txt", "castro/draco.log"),
    )


def test_a_result_is_done_for_its_key_only(store, task, tmp_path):
    key = store.key(task, {})
    assert store.state(task, key) == "missing"
    assert do(store, task) == key
    assert store.state(task, key) == "done"
    assert store.verified("castro/draco.txt").read_text() == "result"
    others = [
        store.key(replace(task, params={"channel": "tau"}), {}),
        store.key(replace(task, parents=("prepare",)), {"prepare": "one"}),
        store.key(replace(task, parents=("prepare",)), {"prepare": "two"}),
        store.key(replace(task, function="module:other"), {}),
    ]
    (tmp_path / "sed.txt").write_text("A likelihood")
    others.append(store.key(task, {}))
    assert len({key, *others}) == 6
    assert {store.state(task, other) for other in others} == {"stale"}
    (tmp_path / "sed.txt").write_text("a likelihood")
    assert store.state(task, store.key(task, {})) == "done"


def test_other_outputs_are_another_result(store, task):
    do(store, task)
    less = replace(task, outputs=("castro/draco.txt",))
    assert store.state(less, store.key(less, {})) == "stale"
    do(store, less)
    assert not (store.path / "castro/draco.log").exists()


def shorten(path):
    path.write_bytes(path.read_bytes()[:-2])


def flip(path):
    """One other bit, with the same size and time."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [shorten, flip, empty, os.remove])
def test_damaged_output_is_never_taken(store, task, harm):
    key = do(store, task)
    assert store.state(task, key) == "done"
    harm(store.path / "castro/draco.txt")
    assert store.state(task, key) == "damaged"
    with pytest.raises(DamagedResultError, match=r"castro.draco\.txt (was|can).*run the analysis"):
        store.verified("castro/draco.txt")
    assert store.verified("castro/draco.log").read_text() == "result"
    do(store, task)
    assert store.state(task, key) == "done"
    assert store.verified("castro/draco.txt").read_text() == "result"


@pytest.mark.parametrize("harm", [shorten, flip, empty])
def test_damaged_record_is_never_taken(store, task, harm):
    key = do(store, task)
    harm(store.path / ".dmgammapy/records/castro/draco.json")
    assert store.state(task, key) == "damaged"
    assert store.record(task.id) is None
    with pytest.raises(DamagedResultError, match="no finished task"):
        store.verified("castro/draco.txt")
    do(store, task, "another result")
    assert store.verified("castro/draco.txt").read_text() == "another result"
    assert sorted(bytes_below(store.path)) == ["castro/draco.log", "castro/draco.txt"]


def test_removed_record_is_a_missing_result(store, task):
    key = do(store, task)
    shutil.rmtree(store.path / ".dmgammapy/records")
    assert store.state(task, key) == "missing"


def test_record_tells_where_a_result_comes_from(store, task, tmp_path):
    outcome = Outcome(
        ok=True, info={"n": 3}, seconds=1.5, peak_memory_mb=200.0, host="node7", pid=42
    )
    key = store.key(replace(task, parents=("prepare",)), {"prepare": "k"})
    with store.lock():
        folder = store.stage(task)
        (folder / "castro").mkdir()
        for name in task.outputs:
            (folder / name).write_bytes(b"abc")
        store.commit(task, key, folder, outcome=outcome)
    record = store.record(task.id)
    # SHA-256 of "abc": FIPS 180-2, appendix B.1
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert record["outputs"]["castro/draco.txt"] == {"sha256": abc, "bytes": 3}
    likelihood = hashlib.sha256(b"a likelihood").hexdigest()
    assert record["parts"]["files"] == {"sed": likelihood}
    assert record["parts"]["parents"] == {"prepare": "k"}
    assert (record["host"], record["pid"], record["seconds"]) == ("node7", 42, 1.5)
    assert (record["info"], record["peak_memory_mb"]) == ({"n": 3}, 200.0)
    assert store.records() == {task.id: record}
    assert store.record("castro/other") is None


def test_a_failure_is_remembered_until_success(store, task):
    key = store.key(task, {})
    with store.lock():
        store.stage(task)
        path = store.fail(task, key, FAILED)
    assert path == store.path / "failures/castro/draco.txt"
    assert "Traceback: no" in path.read_text()
    assert "sed.txt" in path.read_text()
    assert store.state(task, key) == "failed"
    assert store.failures()[task.id]["error"] == "no"
    other = store.key(replace(task, params={}), {})
    assert store.state(task, other) == "missing"
    do(store, task)
    assert store.state(task, key) == "done"
    assert not path.parent.exists()
    assert store.failures() == {}


def test_a_failure_with_another_key_leaves_the_earlier_result(store, task):
    key = do(store, task)
    changed = replace(task, params={"channel": "tau"})
    other = store.key(changed, {})
    with store.lock():
        store.fail(changed, other, FAILED)
    assert store.state(changed, other) == "failed"
    assert store.state(task, key) == "done"


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (["castro/draco.txt"], "did not write castro/draco.log"),
        (["castro/draco.txt", "castro/draco.log", "x"], "does not name among its outputs, x"),
    ],
)
def test_a_task_writes_its_outputs_and_nothing_else(store, task, write, message):
    key = do(store, task)
    before = bytes_below(store.path)
    with store.lock():
        folder = store.stage(task)
        (folder / "castro").mkdir()
        for name in write:
            (folder / name).write_text("new")
        with pytest.raises(ValueError, match=message):
            store.commit(task, key, folder)
        assert not folder.exists()
    assert bytes_below(store.path) == before
    assert store.state(task, key) == "done"


def test_a_link_is_no_output(store, task, tmp_path):
    with store.lock():
        folder = store.stage(task)
        (folder / "castro").mkdir()
        (folder / "castro/draco.log").write_text("")
        (folder / "castro/draco.txt").symlink_to(tmp_path / "sed.txt")
        with pytest.raises(ValueError, match="as links castro/draco.txt"):
            store.commit(task, "key", folder)


def test_info_that_is_no_json_changes_nothing(store, task):
    do(store, task)
    before = bytes_below(store.path)
    with store.lock():
        folder = store.stage(task)
        (folder / "castro").mkdir()
        for name in task.outputs:
            (folder / name).write_text("new")
        with pytest.raises(TypeError, match="JSON"):
            store.commit(task, "key", folder, {"x": object()})
    assert bytes_below(store.path) == before


def test_writing_needs_the_lock(store, task):
    for write in (
        lambda: store.stage(task),
        lambda: store.commit(task, "key", store.path),
        lambda: store.fail(task, "key", FAILED),
        lambda: store.prune([]),
        lambda: store.write_manifest({}),
    ):
        with pytest.raises(RuntimeError, match="lock"):
            write()
    assert not store.path.exists()


@pytest.mark.parametrize(
    "path", ["../x", "/x", "a/../../x", "", ".dmgammapy/lock", "manifest.json"]
)
def test_results_are_in_the_folder(store, path):
    with pytest.raises(ValueError, match="no path of a result"):
        store.path_of(path)


def test_prune_removes_what_is_no_longer_planned_and_nothing_else(store, task):
    other = replace(task, id="castro/fermi/segue_1", outputs=("old/deep/a.txt", "castro/b.txt"))
    heir = replace(task, id="heir", outputs=("castro/b.txt",))
    failed = replace(task, id="castro/failed")
    do(store, task)
    do(store, other)
    do(store, heir, "of the heir")
    (store.path / "notes.txt").write_text("mine")
    (store.path / "castro/mine.txt").write_text("mine")
    with store.lock():
        store.fail(failed, "key", FAILED)
        assert store.prune([task.id, heir.id]) == ["castro/failed", "castro/fermi/segue_1"]
    assert sorted(bytes_below(store.path)) == [
        "castro/b.txt", "castro/draco.log", "castro/draco.txt", "castro/mine.txt", "notes.txt",
    ]  # fmt: skip
    assert not (store.path / "old").exists()
    assert set(store.records()) == {task.id, heir.id}
    assert store.verified("castro/b.txt").read_text() == "of the heir"


def test_a_foreign_file_in_the_way_is_kept(store, task, caplog):
    (store.path / "castro").mkdir(parents=True)
    (store.path / "castro/draco.txt").write_text("mine")
    store.check_output(overwrite=True)
    do(store, task)
    do(store, task, "again")
    assert (store.path / "castro/draco.txt").read_text() == "again"
    assert (store.path / "castro/draco.txt.kept").read_text() == "mine"
    assert len(bytes_below(store.path)) == 3
    assert "draco.txt.kept" in caplog.text


def test_output_may_not_be_what_others_made(tmp_path, task):
    (tmp_path / "file").write_text("")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="must be a folder"):
            ResultsStore(tmp_path / "file").check_output(overwrite, "a.yaml")
    folder = tmp_path / "folder"
    folder.mkdir()
    store = ResultsStore(folder)
    store.check_output(identity="a.yaml")  # an empty one is fine
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match=r"thesis\.tex.*--overwrite.*run\(overwrite=True\)"):
        store.check_output(identity="a.yaml")
    with pytest.raises(FileExistsError), store.lock():
        pass
    assert [p.name for p in folder.iterdir()] == ["thesis.tex"]
    store.check_output(overwrite=True, identity="a.yaml")
    do(store, task)
    for again in (store, ResultsStore(folder)):
        again.check_output(identity="a.yaml")
        with pytest.raises(FileExistsError, match=r"another analysis, a\.yaml .*b\.yaml"):
            again.check_output(identity="b.yaml")
    store.check_output(overwrite=True, identity="b.yaml")
    with store.lock():
        pass
    store.check_output(identity="b.yaml")
    assert (folder / "thesis.tex").read_text() == "mine"


def test_results_without_their_records_are_still_results(store, task):
    store.check_output(identity="a.yaml")
    do(store, task)
    with store.lock():
        store.write_manifest({})
    shutil.rmtree(store.path / ".dmgammapy")
    store.check_output(identity="a.yaml")
    with pytest.raises(FileExistsError, match="another analysis"):
        ResultsStore(store.path).check_output(identity="b.yaml")
    do(store, task, "new")
    assert sorted(bytes_below(store.path)) == ["castro/draco.log", "castro/draco.txt"]


def test_hash_is_that_of_the_content_whatever_the_time_says(tmp_path):
    path = tmp_path / "file"
    for content in (b"one", b"two", b"six" * 10**6):
        for age in (0, 1000):
            path.write_bytes(content)
            os.utime(path, (time.time() - age,) * 2)
            for _ in range(2):
                assert hash_file(path) == hashlib.sha256(content).hexdigest()


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A package of two files in place of dmgammapy."""
    folder = tmp_path / "program"
    (folder / "data").mkdir(parents=True)
    (folder / "core.py").write_text("a = 1")
    (folder / "data/yields.npz").write_bytes(b"1234")
    monkeypatch.setattr(_hashes, "PACKAGE_FOLDER", folder)
    code_hash.cache_clear()
    yield folder
    code_hash.cache_clear()


def program_hash():
    code_hash.cache_clear()
    return code_hash()


def test_the_program_is_its_sources_tables_and_packages(program, monkeypatch):
    before = program_hash()
    os.utime(program / "core.py", (1, 1))
    (program / "__pycache__").mkdir()
    (program / "__pycache__/core.pyc").write_bytes(b"compiled")
    assert program_hash() == before
    (program / "data/yields.npz").write_bytes(b"1235")
    assert program_hash() != before
    (program / "data/yields.npz").write_bytes(b"1234")
    assert program_hash() == before
    (program / "core.py").rename(program / "kernel.py")
    assert program_hash() != before
    (program / "kernel.py").rename(program / "core.py")
    versions = _hashes.importlib.metadata.version
    monkeypatch.setattr(
        _hashes.importlib.metadata, "version", lambda n: "0" if n == "iminuit" else versions(n)
    )
    assert program_hash() != before


def test_store_imports_little():
    code = """
        import os, sys, types
        import dmgammapy
        room = types.ModuleType("dmgammapy.analysis")
        room.__path__ = [os.path.join(dmgammapy.__path__[0], "analysis")]
        sys.modules["dmgammapy.analysis"] = room
        from dmgammapy.analysis import cluster, execution, store
        store.ResultsStore("nowhere").is_current()
        heavy = "numpy astropy gammapy scipy joblib dask distributed yaml pydantic".split()
        print(*[name for name in heavy if name in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


@pytest.fixture
def finished(store, task, tmp_path, monkeypatch):
    """A complete run, its configuration and what it looked at."""
    config = tmp_path / "config.yaml"
    config.write_text("targets: [draco]")
    monkeypatch.setenv("DMGAMMAPY_DATA", "here")
    store.check_output(identity=str(config))
    do(store, task)
    fingerprint = make_fingerprint(
        config,
        probes=[tmp_path / "sed.txt", tmp_path / "absent.txt", tmp_path / "absent/too.txt"],
        globs=[f"{tmp_path}/blank_*.fits"],
        environment=["DMGAMMAPY_DATA", "DMGAMMAPY_ABSENT"],
    )
    with store.lock():
        store.write_manifest({"fingerprint": fingerprint, "complete": True, "seeds": [1]})
    return config


def test_nothing_to_do_is_seen_quickly(finished, store, tmp_path):
    again = ResultsStore(store.path)
    assert again.is_current()
    assert again.is_current(finished)
    assert again.is_current(again.read_manifest()["fingerprint"])
    assert not again.is_current(tmp_path / "other.yaml")
    assert not ResultsStore(tmp_path / "elsewhere").is_current()


@pytest.mark.parametrize(
    "change",
    [
        lambda folder, patch: (folder / "config.yaml").write_text("targets: [segue_1]"),
        lambda folder, patch: (folder / "sed.txt").write_text("A likelihood"),
        lambda folder, patch: (folder / "sed.txt").unlink(),
        lambda folder, patch: (folder / "absent.txt").write_text(""),
        lambda folder, patch: (folder / "blank_0001.fits").write_text(""),
        lambda folder, patch: patch.setenv("DMGAMMAPY_DATA", "there"),
        lambda folder, patch: patch.setenv("DMGAMMAPY_ABSENT", ""),
        lambda folder, patch: patch.setattr(_hashes, "code_hash", lambda: "other"),
        lambda folder, patch: flip(folder / "results/castro/draco.txt"),
        lambda folder, patch: (folder / "results/castro/draco.log").unlink(),
        lambda folder, patch: shorten(folder / "results/manifest.json"),
        lambda folder, patch: flip(folder / "results/manifest.json"),
        lambda folder, patch: (folder / "results/manifest.json").unlink(),
    ],
)
def test_any_change_is_seen(finished, store, tmp_path, monkeypatch, change):
    change(tmp_path, monkeypatch)
    assert not ResultsStore(store.path).is_current()


def test_runs_that_failed_or_were_partial_are_not_current(finished, store, task):
    info = {"fingerprint": store.read_manifest()["fingerprint"]}
    with store.lock():
        for more in ({}, {"complete": False}, {"complete": True, "failures": ["castro/draco"]}):
            store.write_manifest(info | more)
            assert not store.is_current()
        store.write_manifest(info | {"complete": True})
        assert store.is_current()
        store.fail(replace(task, id="castro/other"), "key", FAILED)
        store.write_manifest(info | {"complete": True})
        assert not store.is_current()
    assert store.read_manifest()["failures"] == ["castro/other"]


def test_manifest_says_what_results_come_from(finished, store, task):
    manifest = store.read_manifest()
    # json.load of anybody else reads it too
    assert json.loads((store.path / "manifest.json").read_text()).items() >= manifest.items()
    result = hashlib.sha256(b"result").hexdigest()
    assert manifest["outputs"] == {"castro/draco.log": result, "castro/draco.txt": result}
    assert manifest["tasks"] == {task.id: store.key(task, {})}
    assert manifest["identity"] == str(finished)
    assert (manifest["creator"], manifest["seeds"]) == ("dmgammapy", [1])
