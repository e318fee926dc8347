"""Commands about whole analyses with a stand-in for `DMAnalysis`: what they ask of it, and say."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.table import Table
from click.testing import CliRunner

import dmgammapy.analysis
from dmgammapy.analysis import AnalysisError
from dmgammapy.analysis.example import EXAMPLE_FOLDER
from dmgammapy.scripts import _analysis
from dmgammapy.scripts.main import cli

CONFIG = EXAMPLE_FOLDER / "config.yaml"


class StandIn:
    """Remembers how it is called."""

    calls = []
    error = None
    limit = 1e-26
    failed = 0

    def __init__(self, output):
        self.output = Path(output or "results")
        ul = SimpleNamespace(data=np.array([self.limit]))
        self.combined = SimpleNamespace(strength_ul=ul)
        self.store = SimpleNamespace(failures=lambda: {"castro/a": {"error": "bad file"}})
        self.summary = "the summary\n"

    @classmethod
    def read(cls, path, output=None, n_jobs=None):
        cls.calls.append(("read", str(path), output, n_jobs))
        return cls(output)

    def run(self, **kwargs):
        self.calls.append(("run", kwargs))
        if self.error is not None:
            raise self.error

    def plan(self, **kwargs):
        self.calls.append(("plan", kwargs))
        rows = [("castro/fermi-lat/draco", "castro", "stale", "its file has changed")]
        return Table(rows=rows, names=["task", "step", "state", "reason"])

    def status(self):
        rows = [("castro", 2, 1, 0, self.failed, 0, 1)]
        names = ["step", "tasks", "done", "running", "failed", "stale", "missing"]
        return Table(rows=rows, names=names)


@pytest.fixture
def stand_in(monkeypatch):
    class Fresh(StandIn):
        calls = []

    monkeypatch.setitem(dmgammapy.analysis.__dict__, "DMAnalysis", Fresh)
    monkeypatch.setattr(_analysis, "_current_summary", lambda config, output: (None, []))
    return Fresh


def call(*arguments):
    return CliRunner().invoke(cli, list(map(str, arguments)))


def test_run_passes_what_is_asked(stand_in):
    done = call("run", "a.yaml", "-o", "out", "--n-jobs", 3, "--overwrite")
    assert (done.exit_code, done.stdout) == (0, "the summary\n")
    nothing = {"steps": None, "tasks": None, "overwrite": True, "show_progress": None}
    assert stand_in.calls == [("read", "a.yaml", "out", 3), ("run", nothing)]


def test_parts_of_a_run(stand_in):
    done = call("run", "a.yaml", "--step", "castro", "--step", "stack", "--task", "plot/*", "-q")
    assert (done.exit_code, done.stdout) == (0, "")
    asked = stand_in.calls[1][1]
    assert (asked["steps"], asked["tasks"]) == (["castro", "stack"], ["plot/*"])
    assert asked["show_progress"] is False


def test_dry_run_runs_nothing(stand_in):
    done = call("run", "a.yaml", "--dry-run", "--task", "castro/*")
    assert done.exit_code == 0
    assert "castro/fermi-lat/draco  castro  stale  its file has changed" in done.stdout
    assert [name for name, *_ in stand_in.calls] == ["read", "plan"]
    assert stand_in.calls[1][1] == {"steps": None, "tasks": ["castro/*"]}


def test_failed_tasks_end_with_one(stand_in):
    stand_in.error = AnalysisError([SimpleNamespace(error="no file")])
    done = call("run", "a.yaml")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: One task failed; all that do not depend on it")


def test_interrupted(stand_in):
    stand_in.error = KeyboardInterrupt()
    done = call("run", "a.yaml")
    assert done.exit_code == 130
    assert done.stderr == "Interrupted; the same command goes on from here.\n"


def test_closed_pipe_is_no_error(stand_in):
    stand_in.error = BrokenPipeError(32, "Broken pipe")
    done = call("run", "a.yaml")
    assert (done.exit_code, done.stderr) == (0, "")


def test_no_limit_at_all(stand_in):
    stand_in.limit = np.nan
    done = call("run", "a.yaml")
    assert done.exit_code == 2
    assert "there is no limit at any mass and channel" in done.stderr


def test_current_results_need_no_analysis(stand_in, monkeypatch):
    monkeypatch.setattr(_analysis, "_current_summary", lambda config, output: ("as before\n", []))
    done = call("run", "a.yaml")
    assert (done.exit_code, done.stdout, stand_in.calls) == (0, "as before\n", [])
    assert call("run", "a.yaml", "--overwrite").stdout == "the summary\n"


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (1, 1)])
def test_status(stand_in, failed, code):
    stand_in.failed = failed
    done = call("status", "a.yaml")
    assert done.exit_code == code
    assert done.stdout.splitlines()[0].split() == [
        "step", "tasks", "done", "running", "failed", "stale", "missing",
    ]  # fmt: skip
    assert "castro/a failed: bad file" in done.stderr


def test_report(stand_in):
    done = call("report", "a.yaml", "-o", "out")
    assert done.stdout == f"Report: {Path('out/report.html')}\n"
    assert stand_in.calls[1] == ("run", {"steps": ["report"], "show_progress": None})


def test_plots_of_a_kind(monkeypatch):
    """The configuration with other plots reaches the run; a misspelled kind gets a hint."""
    seen = []

    def run(self, steps, show_progress):
        seen.append((steps, self.config.plots.kinds, self.config.plots.channels))

    from dmgammapy.analysis import DMAnalysis

    monkeypatch.setattr(DMAnalysis, "run", run)
    done = call("plot", CONFIG, "--kind", "limits", "--channel", "bb", "-o", "out")
    assert done.exit_code == 0, done.output
    assert seen == [(["plot"], ["limits"], ["b"])]
    wrong = call("plot", CONFIG, "--kind", "limit")
    assert wrong.exit_code == 2
    assert "did you mean 'limits'?" in wrong.stderr


def test_template_and_schema(tmp_path):
    path = tmp_path / "analysis.yaml"
    assert call("config", "--template", "-o", path).exit_code == 0
    assert path.read_text() == call("config", "--template").stdout
    assert call("config", "--template", "-o", path).exit_code == 2  # it is there already
    schema = json.loads(call("config", "--schema").stdout)
    assert {"targets", "rosters", "datasets", "channels", "masses"} <= set(schema["properties"])
    assert call("config").exit_code == 2


def test_job_script():
    options = ("cores=4", "prologue=module load a", "prologue=module load b")
    given = [word for option in options for word in ("--option", option)]
    done = call("job-script", CONFIG, "--scheduler", "slurm", *given)
    assert done.exit_code == 0, done.output
    assert "#SBATCH --cpus-per-task=4" in done.stdout
    assert "module load a\nmodule load b\n" in done.stdout
    assert done.stdout.rstrip().endswith("config.yaml --n-jobs 4")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scheduler", "slurm", "--option", "cores"], "expected KEY=VALUE, got 'cores'"),
        (["--scheduler", "slrum"], "slrum"),
        (["--scheduler", "slurm", "--option", "core=3"], "core"),
        ([], "--scheduler"),
    ],
)
def test_wrong_job_options(arguments, message):
    done = call("job-script", CONFIG, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_misspelled_commands():
    done = call("statusx", "a.yaml")
    assert done.exit_code == 2
    assert "No such command 'statusx'. Did you mean status" in done.stderr
    done = call("limits", "--chanel", "b", "a.fits")
    assert done.exit_code == 2
    assert "--channel" in done.stderr


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_help_has_examples_and_exit_codes(name):
    done = call(name, "--help")
    assert done.exit_code == 0
    assert "Example" in done.stdout
    assert "  130  interrupted" in done.stdout
    examples = [line.split() for line in done.stdout.splitlines() if "  dmgammapy " in line]
    assert examples
    assert all(words[1] in cli.commands for words in examples)
