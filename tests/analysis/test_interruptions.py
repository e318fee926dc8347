"""Whatever happens to a run, the next one completes it, bit for bit as without interruption."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dmgammapy.analysis import DMAnalysis
from dmgammapy.analysis.example import EXAMPLE_FOLDER
from dmgammapy.analysis.store import DamagedResultError

CONFIG = """\
targets: ["draco:ackermann2014_nfw", "segue_1:ackermann2014_nfw"]
datasets: sed_{target}.fits
channels: [b]
masses: [50 GeV, 500 GeV]
jfactor: [profile, fixed]
simulations:
  defaults: {n: 25, expectations: truth.ecsv}
  "null": {}
plots: {kinds: [limits]}
"""
ROUNDS = 20


@pytest.fixture
def config(tmp_path):
    folder = tmp_path / "input"
    folder.mkdir()
    for name in ("sed_draco.fits", "sed_segue_1.fits", "truth.ecsv"):
        shutil.copy(EXAMPLE_FOLDER / name, folder)
    (folder / "config.yaml").write_text(CONFIG)
    return folder / "config.yaml"


def contents(folder):
    """Bytes of all results; times and hosts are in the manifest and the store's own files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in Path(folder).rglob("*")
        if path.is_file() and ".dmgammapy" not in path.parts and path.name != "manifest.json"
    }


def assert_same(found, expected):
    assert sorted(found) == sorted(expected)
    different = [name for name in expected if found[name] != expected[name]]
    assert not different


@pytest.fixture
def server():
    """Process that runs analyses in children, and kills them."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("killable.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"

    def run(config, output, kill_after=None):
        job = {"config": str(config), "output": str(output), "kill_after": kill_after}
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield run
    process.stdin.close()
    process.wait()
    process.stdout.close()


def test_kill_9_at_random_moments(config, tmp_path, server):
    server(config, tmp_path / "warm")
    code, computed, seconds = server(config, tmp_path / "whole")
    assert code == 0
    n_tasks = int(computed)
    expected = contents(tmp_path / "whole")
    random = np.random.default_rng(20261121)
    completed = []
    for i in range(ROUNDS):
        output = tmp_path / f"round_{i}"
        moment = seconds * random.uniform(0.02, 0.98)
        assert server(config, output, kill_after=moment)[0] in (-signal.SIGKILL, 0)
        code, computed, _ = server(config, output)
        assert code == 0, f"round {i}, killed after {moment:.3f} s"
        completed.append(n_tasks - int(computed))
        assert_same(contents(output), expected)
        shutil.rmtree(output)
    # kills came between tasks, too, and what was done was not done again
    assert any(0 < n < n_tasks for n in completed)


def test_repeated_kills_of_one_run(config, tmp_path, server):
    """Each try is killed a little later: work that is done is never lost."""
    server(config, tmp_path / "warm")
    _, _, seconds = server(config, tmp_path / "whole")
    expected = contents(tmp_path / "whole")
    output = tmp_path / "output"
    for _ in range(50):
        code, _, _ = server(config, output, kill_after=0.45 * seconds)
        if code == 0:
            break
    assert code == 0
    assert_same(contents(output), expected)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(path.read_bytes()[:1000] + b"!" + path.read_bytes()[1001:]),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
    ],
    ids=["cut", "changed", "empty", "removed"],
)
def test_damaged_results_are_never_read(config, tmp_path, damage):
    analysis = DMAnalysis.read(config, output=tmp_path / "out")
    analysis.run()
    expected = contents(tmp_path / "out")
    damage(tmp_path / "out" / "stacks" / "all" / "profile.fits")
    fresh = DMAnalysis.read(config, output=tmp_path / "out")
    with pytest.raises((DamagedResultError, KeyError), match="run"):
        _ = fresh.results["stack"]
    table = fresh.plan()
    assert list(table["task"][table["state"] != "done"]) == ["stack/all/profile"]
    fresh.run()
    assert fresh.computed == ["stack/all/profile"]
    assert_same(contents(tmp_path / "out"), expected)


def test_two_processes_on_the_same_folder(config, tmp_path):
    analysis = DMAnalysis.read(config, output=tmp_path / "out")
    with analysis.store.lock("another run"):
        result = subprocess.run(
            [sys.executable, "-c", "from dmgammapy.scripts.main import cli; cli()", "run",
             str(config), "--output", str(tmp_path / "out")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert result.returncode == 2
    assert str(tmp_path / "out") in result.stderr
    assert "another" in result.stderr
    assert not (tmp_path / "out" / "stacks").exists()


@pytest.mark.parametrize("n_jobs", [2])
def test_processes_give_the_same_bytes(config, tmp_path, n_jobs):
    DMAnalysis.read(config, output=tmp_path / "one").run()
    DMAnalysis.read(config, output=tmp_path / "many", n_jobs=n_jobs).run()
    assert_same(contents(tmp_path / "many"), contents(tmp_path / "one"))


def test_dask_gives_the_same_bytes(config, tmp_path):
    pytest.importorskip("distributed", reason="dask is not installed")
    DMAnalysis.read(config, output=tmp_path / "one").run()
    text = config.read_text() + "execution: {backend: dask, cluster: local, workers: 2}\n"
    other = config.with_name("dask.yaml")
    other.write_text(text)
    DMAnalysis.read(other, output=tmp_path / "dask").run()
    found, expected = contents(tmp_path / "dask"), contents(tmp_path / "one")
    # the report shows the configuration, which says dask
    for results in (found, expected):
        results.pop("report.html")
        results.pop("summary.txt")
    assert_same(found, expected)
