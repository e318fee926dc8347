"""Command line: exit codes, messages, and what it prints."""

import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from dmgammapy import __version__
from dmgammapy.analysis.example import EXAMPLE_FOLDER
from dmgammapy.scripts.main import cli

CONFIG = f"""\
targets: {{roster: ackermann2015_dsphs, select: [draco, segue_1]}}
datasets: {EXAMPLE_FOLDER}/sed_{{target}}.fits
channels: b
masses: [10 GeV, 1 TeV]
plots: false
report: false
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def run(*arguments):
    return CliRunner().invoke(cli, ["run", *map(str, arguments)])


def test_version():
    done = CliRunner().invoke(cli, ["--version"])
    assert done.exit_code == 0
    assert done.output == f"dmgammapy, version {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["-h"], ["run", "--help"], ["limits", "--help"], ["--version"]]
)
def test_help_is_light(arguments):
    """Nothing heavy is imported to say how to use it."""
    code = (
        "import sys; from dmgammapy.scripts.main import cli\n"
        f"try:\n    cli({arguments!r}, prog_name='dmgammapy')\n"
        "except SystemExit as error:\n    assert not error.code\n"
        "heavy = {'gammapy', 'numpy', 'astropy', 'pydantic', 'matplotlib', 'scipy', 'numba'}\n"
        "sys.exit(3 if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage: dmgammapy" in done.stdout or "version" in done.stdout


def test_run_prints_the_summary(config, tmp_path):
    done = run(config, "--output", tmp_path / "results")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == f"dmgammapy {__version__}: {config.name}"
    assert "  targets    2 of 15 used (fermi-lat)" in lines
    assert "  carina: not in targets.select" in lines
    assert lines[-1] == "Results: likelihoods, limits.ecsv, summary.txt"
    assert done.stderr == ""


def test_quiet(config, tmp_path):
    done = run(config, "--output", tmp_path / "results", "--quiet")
    assert (done.exit_code, done.output) == (0, "")
    assert (tmp_path / "results" / "summary.txt").is_file()


def test_targets_without_a_file_are_reported_even_quietly(tmp_path):
    for name in ("draco", "segue_1"):
        shutil.copy(EXAMPLE_FOLDER / f"sed_{name}.fits", tmp_path)
    path = tmp_path / "config.yaml"
    text = CONFIG.replace(
        "{roster: ackermann2015_dsphs, select: [draco, segue_1]}", "ackermann2015_dsphs"
    )
    path.write_text(text.replace(f"{EXAMPLE_FOLDER}/", ""))
    done = run(path, "--output", tmp_path / "results", "--quiet")
    assert (done.exit_code, done.stdout) == (0, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 13
    assert f"Warning: target carina is skipped: no file {tmp_path / 'sed_carina.fits'}" in lines


def test_nothing_to_constrain_is_an_error(config, tmp_path):
    config.write_text(CONFIG.replace("channels: b", "channels: t").replace("1 TeV", "50 GeV"))
    done = run(config, "--output", tmp_path / "results", "--quiet")
    assert done.exit_code == 2
    assert "key 'masses': all masses lie below the thresholds of t" in done.stderr


def test_output_of_the_configuration_is_relative_to_it(config, tmp_path, monkeypatch):
    config.write_text(CONFIG + "output: somewhere/else\n")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    assert run(config).exit_code == 0
    assert (tmp_path / "somewhere" / "else" / "limits.ecsv").is_file()
    # on the command line it is relative to where one is
    assert run(config, "-o", "here").exit_code == 0
    assert (tmp_path / "cwd" / "here" / "limits.ecsv").is_file()


def test_a_second_run_resumes(config, tmp_path):
    """Nothing is computed again: results stay as they are, to the byte and the nanosecond."""
    output = tmp_path / "results"
    first = run(config, "-o", output)
    assert first.exit_code == 0
    files = sorted(p for p in output.rglob("*.fits") if not p.is_relative_to(output / ".dmgammapy"))
    assert len(files) >= 3
    before = [p.stat().st_mtime_ns for p in files]
    second = run(config, "-o", output)
    assert (second.exit_code, second.stdout) == (0, first.stdout)
    assert [p.stat().st_mtime_ns for p in files] == before


def test_overwrite(config, tmp_path):
    output = tmp_path / "results"
    assert run(config, "-o", output).exit_code == 0
    other = tmp_path / "other.yaml"
    other.write_text(config.read_text())
    refused = run(other, "-o", output)
    assert refused.exit_code == 2
    assert refused.stdout == ""
    assert str(output) in refused.stderr
    assert "--overwrite" in refused.stderr
    assert run(other, "-o", output, "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("channels: b", "channels: bbb", "config.yaml, line 3, key 'channels[0]': Unknown channel"),
        ("channels: b", "channel: b", "did you mean 'channels'?"),
        ("plots: false", "plots: false\nplots: true", "the key 'plots' stands on line 5 already"),
        ("1 TeV", "1 EeV", "config.yaml, line 4, key 'masses[1]': 1e+09 GeV lies outside"),
        ("/sed_", "/nowhere_", "none of 15 targets can be used"),
    ],
)
def test_mistakes_are_one_clear_message(config, tmp_path, old, new, message):
    config.write_text(CONFIG.replace(old, new))
    done = run(config, "-o", tmp_path / "results")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_no_such_file(tmp_path):
    done = run(tmp_path / "none.yaml")
    assert done.exit_code == 2
    assert done.stderr == f"Error: {tmp_path / 'none.yaml'}: no such configuration file.\n"


def test_wrong_option(config):
    done = run(config, "--n-job", "2")
    assert done.exit_code == 2
    assert "--n-jobs" in done.stderr
    done = run(config, "--n-jobs", "0")
    assert done.exit_code == 2
    assert "positive number of workers" in done.stderr


def test_n_jobs(config, tmp_path):
    assert run(config, "-o", tmp_path / "one").exit_code == 0
    assert run(config, "-o", tmp_path / "two", "--n-jobs", "2").exit_code == 0
    one, two = (tmp_path / name / "limits.ecsv" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_debug_shows_the_traceback(config, tmp_path):
    config.write_text(CONFIG.replace("channels: b", "channels: bbb"))
    done = run(config, "-o", tmp_path / "results", "--debug")
    assert done.exit_code == 1
    assert type(done.exception).__name__ == "ConfigError"


def test_unexpected_errors_say_so(config, tmp_path, monkeypatch):
    from dmgammapy.analysis import DMAnalysis

    def fail(self, **kwargs):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(DMAnalysis, "run", fail)
    done = run(config, "-o", tmp_path / "results")
    assert done.exit_code == 2
    assert done.stderr == (
        "Error: ZeroDivisionError: division by zero\n"
        "This was not expected; --debug shows where it happened.\n"
    )
    assert not (tmp_path / "results").exists()


def test_output_that_can_not_be_made(config, tmp_path):
    (tmp_path / "file").write_text("")
    done = run(config, "-o", tmp_path / "file" / "results")
    assert done.exit_code == 2
    assert str(tmp_path / "file") in done.stderr


def test_demo(tmp_path):
    """The bundled example as ``make demo`` runs it."""
    done = run(EXAMPLE_FOLDER / "config.yaml", "--output", tmp_path / "demo", "--overwrite")
    assert done.exit_code == 0, done.output
    assert "15 of 15 used" in done.stdout
    assert "Targets skipped (0)" in done.stdout
    plots = list((tmp_path / "demo" / "plots").rglob("*.png"))
    assert {"limits", "final_limits", "ts"} <= {p.parent.name for p in plots}
