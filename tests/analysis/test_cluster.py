"""Job scripts as they would be written by hand, from the manuals of the schedulers."""

import os
import signal
import stat
import subprocess
import sys
import textwrap
from importlib.util import find_spec

import pytest

from dmgammapy.analysis._tasks import Task
from dmgammapy.analysis.cluster import (
    JobOptions,
    dask_job_script,
    job_script,
    parse_memory,
    parse_walltime,
)
from dmgammapy.analysis.execution import Executor

# not importorskip: the import takes Ctrl-C over, which ours puts right again
needs_jobqueue = pytest.mark.skipif(find_spec("dask_jobqueue") is None, reason="no dask-jobqueue")

COMMAND = ["dmgammapy", "run", "my config.yaml", "--n-jobs", "8"]
OPTIONS = {
    "cores": 8,
    "memory": "16GB",
    "walltime": "1-02:00:30",
    "account": "darkmatter",
    "name": "dwarfs",
    "prologue": ["module load python", "echo 'start'"],
}

# sbatch(1): --mem in units of 2**20 bytes with M; 16e9 / 2**20 = 15258.8; --time as hours too
SLURM = """\
#!/bin/bash
#SBATCH --job-name=dwarfs
#SBATCH --partition=long
#SBATCH --account=darkmatter
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=15259M
#SBATCH --time=26:00:30
#SBATCH --output=logs/dwarfs-%j.out
#SBATCH --error=logs/dwarfs-%j.err
#SBATCH --mail-type=END

set -e
module load python
echo 'start'
dmgammapy run 'my config.yaml' --n-jobs 8
"""
# bsub(1): -W [hours:]minutes, rounded up; -M with a unit, since its default is set by the site
LSF = """\
#!/bin/bash
#BSUB -J dwarfs
#BSUB -q long
#BSUB -P darkmatter
#BSUB -n 8
#BSUB -R "span[hosts=1]"
#BSUB -M 16000MB
#BSUB -W 26:01
#BSUB -o logs/dwarfs-%J.out
#BSUB -e logs/dwarfs-%J.err
#BSUB -N

set -e
module load python
echo 'start'
dmgammapy run 'my config.yaml' --n-jobs 8
"""
# condor_submit(1): request_memory in MiB, request_disk in KiB (3e9 / 1024 = 2929687.5), durations
# in seconds (26 * 3600 + 30); arguments in double quotes, with blanks in single ones, those doubled
HTCONDOR = """\
universe = vanilla
batch_name = dwarfs
accounting_group = darkmatter
executable = /bin/bash
arguments = "-c 'set -e; module load python; echo ''start''; \
dmgammapy run ''my config.yaml'' --n-jobs 8'"
transfer_executable = false
getenv = true
request_cpus = 8
request_memory = 15259
request_disk = 2929688
allowed_job_duration = 93630
output = logs/dwarfs-$(ClusterId).out
error = logs/dwarfs-$(ClusterId).err
log = logs/dwarfs-$(ClusterId).log
notification = Error
queue
"""


@pytest.mark.parametrize(
    ("scheduler", "more", "expected"),
    [
        ("slurm", {"queue": "long", "directives": ["--mail-type=END"]}, SLURM),
        ("lsf", {"queue": "long", "directives": ["-N"]}, LSF),
        ("htcondor", {"disk": "3GB", "directives": ["notification = Error"]}, HTCONDOR),
    ],
)
def test_script_of_a_job(scheduler, more, expected):
    options = OPTIONS | {"log_directory": "logs"} | more
    assert job_script(scheduler, COMMAND, options) == expected


@pytest.mark.parametrize("scheduler", ["slurm", "lsf"])
def test_the_shell_runs_the_script(scheduler, tmp_path):
    (tmp_path / "dmgammapy").write_text('#!/bin/sh\nfor a in "$@"; do echo "[$a]"; done\nexit 3\n')
    (tmp_path / "dmgammapy").chmod(0o755)
    path = tmp_path / "job.sh"
    path.write_text(job_script(scheduler, COMMAND, {"prologue": ["echo 'start'"]}))
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", path], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split("\n") == [
        "start", "[run]", "[my config.yaml]", "[--n-jobs]", "[8]", "",
    ]  # fmt: skip
    assert done.returncode == 3


def test_options_have_defaults():
    script = job_script("slurm", "dmgammapy run config.yaml")
    # 4e9 / 2**20 = 3814.7
    for line in ("--cpus-per-task=1", "--mem=3815M", "--time=02:00:00"):
        assert f"#SBATCH {line}\n" in script
    assert "partition" not in script
    assert script.endswith("\nset -e\ndmgammapy run config.yaml\n")


# of dask-jobqueue: Slurm's G is 2**30 bytes, rounded up (16e9 / 2**30 = 14.9); LSF's unit is kB
# unless the site has told otherwise; 16e9 bytes for 8 workers are 1.86 GiB each
WORKERS = {
    "slurm": [
        "#SBATCH -J dwarfs", "#SBATCH -p long", "#SBATCH -A darkmatter", "#SBATCH -n 1",
        "#SBATCH --cpus-per-task=8", "#SBATCH --mem=15G", "#SBATCH -t 26:00:30", "#SBATCH --x",
        "module load python",
    ],
    "lsf": [
        "#BSUB -J dwarfs", "#BSUB -q long", '#BSUB -P "darkmatter"', "#BSUB -n 8",
        '#BSUB -R "span[hosts=1]"', "#BSUB -M 16000000", "#BSUB -W 26:01", "#BSUB --x",
        "module load python",
    ],
    "htcondor": [
        "batch_name = dwarfs", "RequestCpus = MY.DaskWorkerCores", "MY.DaskWorkerCores = 8",
        "MY.DaskWorkerMemory = 16000000000", "MY.DaskWorkerDisk = 1000000000",
        "RequestMemory = floor(MY.DaskWorkerMemory / 1048576)", "allowed_job_duration = 93630",
        "accounting_group = darkmatter", "a = b=c", "Queue",
    ],
}  # fmt: skip


@needs_jobqueue
@pytest.mark.parametrize("scheduler", WORKERS)
def test_script_of_workers(scheduler, monkeypatch, tmp_path):
    monkeypatch.setenv("LSF_ENVDIR", str(tmp_path))  # no lsf.conf there
    more = {"directives": ["a = b=c"]} if scheduler == "htcondor" else {"queue": "long"}
    options = OPTIONS | {"directives": ["--x"]} | more
    script = dask_job_script(scheduler, options)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    lines = script.splitlines()
    assert [line for line in WORKERS[scheduler] if line not in lines] == []
    for part in (
        "export OMP_NUM_THREADS=1", "export NUMBA_NUM_THREADS=1", "module load python",
        f"{sys.executable} -m distributed.cli.dask_worker tcp://scheduler:8786",
        "--nthreads 1 --memory-limit 1.86GiB --nworkers 8 --nanny",
    ):  # fmt: skip
        assert part in script


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("4GB", 4 * 10**9),
        ("4 GiB", 4 * 2**30),
        ("1.5GB", 1_500_000_000),
        ("500mb", 500 * 10**6),
        (2**30, 2**30),
        ("2TB", 2 * 10**12),
    ],
)
def test_memory(text, n_bytes):
    assert parse_memory(text) == n_bytes


@pytest.mark.parametrize("text", ["4", "much", "-4GB", "4 apples", "0GB", None, "GB", "4G"])
def test_bad_memory(text):
    with pytest.raises(ValueError, match="memory must be a number with one of the units B, kB, MB"):
        parse_memory(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("02:00:00", 7200), ("100:00:01", 360001), ("2-00:30:00", 174600), (43200, 43200)],
)
def test_walltime(text, seconds):
    assert parse_walltime(text) == seconds


@pytest.mark.parametrize(
    "text", ["02:00", "2h", "00:00:00", "01:60:00", -5, 0, True, None, "1:2:3"]
)
def test_bad_walltime(text):
    """Hours and minutes to LSF are minutes and seconds to Slurm: only what is clear is taken."""
    with pytest.raises(ValueError, match=r"walltime must be 'HH:MM:SS'.*got"):
        parse_walltime(text)


@pytest.mark.parametrize(
    ("scheduler", "options", "message"),
    [
        (
            "slrum",
            {},
            "scheduler must be one of slurm, htcondor, lsf, got 'slrum'; did you",
        ),
        ("slurm", {"mem": "4GB"}, "option of slurm must be .*; did you mean 'memory'"),
        ("slurm", {"partition": "x"}, "option of slurm must be one of cores, .*got 'partition'"),
        ("htcondor", {"queue": "x"}, "htcondor has no option 'queue'"),
        ("lsf", {"disk": "1GB"}, "lsf has no option 'disk'"),
        ("slurm", {"cores": 0}, "cores must be a positive whole number, got 0"),
        ("slurm", {"cores": "2"}, "cores must be"),
        ("slurm", {"memory": "4 lots"}, "memory must be"),
        ("htcondor", {"disk": "4 lots"}, "disk must be"),
        ("slurm", {"walltime": "soon"}, "walltime must be"),
        ("slurm", {"prologue": "module load python"}, "prologue must be a list"),
        ("slurm", {"name": "two words"}, "name must be a text without blanks"),
        ("slurm", {"queue": "a\n#SBATCH --x"}, "queue must be a text without blanks"),
        ("htcondor", {"directives": ["notification"]}, "must be 'name = value'"),
    ],
)
def test_bad_options_are_named(scheduler, options, message):
    for make in (
        lambda: job_script(scheduler, "x", options),
        lambda: dask_job_script(scheduler, options),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_this_machine_has_few_options():
    assert JobOptions.from_dict("local", {"memory": "2GB"}).memory_bytes == 2 * 10**9
    with pytest.raises(ValueError, match="local has no option 'queue', only memory"):
        JobOptions.from_dict("local", {"queue": "long"})


# a queue of one machine: what is submitted starts at once
SBATCH = """\
#!/bin/sh
cp "$1" "$QUEUE/script"
setsid bash "$QUEUE/script" > "$QUEUE/out" 2>&1 < /dev/null &
echo "Submitted batch job $!"
"""
SCANCEL = '#!/bin/sh\nkill -TERM -- "-$1"\n'


@needs_jobqueue
def test_workers_from_a_queue(tmp_path, monkeypatch):
    """The whole way through dask-jobqueue, with a stand-in for Slurm's commands."""
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(stat.S_IRWXU)
    (tmp_path / "work_of_the_queue.py").write_text(
        textwrap.dedent("""
            import os

            def work(params, files, parents, folder):
                (folder / "out.txt").write_text(str(params["i"] ** 2))
                return {"threads": os.environ["OMP_NUM_THREADS"]}
        """)
    )
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("QUEUE", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    calls = [
        (Task(f"a/{i}", "castro", "work_of_the_queue:work", {"i": i}), {}, tmp_path / f"s{i}")
        for i in range(5)
    ]
    options = {"memory": "1GB", "walltime": "00:10:00", "queue": "short", "interface": "lo"}
    with Executor(backend="dask", cluster="slurm", workers=1, options=options) as executor:
        found = dict(executor.run(calls))
    assert [found[i].ok for i in range(5)] == [True] * 5
    assert {outcome.info["threads"] for outcome in found.values()} == {"1"}
    assert [(tmp_path / f"s{i}/out.txt").read_text() for i in range(5)] == [
        "0",
        "1",
        "4",
        "9",
        "16",
    ]
    assert "#SBATCH -p short\n" in (tmp_path / "script").read_text()
