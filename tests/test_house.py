"""Rules of the house that no single room can check."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import dmgammapy

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "dmgammapy"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
LONGEST_FILE = 600
# conda's name of what PyPI calls otherwise
CONDA_NAMES = {"tables": "pytables", "matplotlib": "matplotlib-base"}
HEAVY = ("gammapy", "astropy", "scipy", "numpy", "numba", "matplotlib", "pydantic", "healpy")
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
SOURCES = sorted(
    path
    for folder in ("dmgammapy", "tests", "tools", "benchmarks")
    for path in (REPOSITORY / folder).rglob("*.py")
)


def run(code):
    """What a fresh process prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def requirements():
    project = PROJECT["project"]
    optional = project["optional-dependencies"]
    texts = [*project["dependencies"], *optional["interop"], *optional["test"], *optional["docs"]]
    return {Requirement(text).name: Requirement(text) for text in texts}


def test_import_is_light():
    loaded = run(
        f"import sys, dmgammapy; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert loaded == ""


@pytest.mark.parametrize("room", ROOMS)
def test_room_imports_alone_and_names_what_is_public(room):
    """A room imports first in a fresh process, and all that `__all__` promises is there."""
    missing = run(
        f"import dmgammapy.{room} as room; "
        "print(*[name for name in getattr(room, '__all__', []) if not hasattr(room, name)])"
    )
    assert missing == ""


def test_version_follows_the_standard():
    if dmgammapy.__version__ == "0.0.0+unknown":
        pytest.skip("the package is not installed")
    assert Version(dmgammapy.__version__) >= Version("0.1.dev0")


def test_conda_environment_is_that_of_pyproject():
    lines = (REPOSITORY / "environment.yml").read_text().splitlines()
    conda = {}
    for line in lines:
        if match := re.fullmatch(r" {2,6}- ([a-z][\w-]*)([^:]*)", line):
            conda[match[1]] = match[2]
    assert conda.pop("python") == PROJECT["project"]["requires-python"]
    for name in ("conda-forge", "nodefaults", "pip"):
        conda.pop(name, None)
    expected = {CONDA_NAMES.get(name, name): r for name, r in requirements().items()}
    assert set(conda) == set(expected)
    for name, requirement in expected.items():
        assert Requirement(f"x{conda[name]}").specifier == requirement.specifier, name


def test_layers_are_the_rooms():
    (contract,) = PROJECT["tool"]["importlinter"]["contracts"]
    layers = [layer.strip("()") for layer in contract["layers"]]
    assert set(ROOMS) <= set(layers)


def test_the_command_line_is_there():
    (target,) = PROJECT["project"]["scripts"].values()
    module, name = target.split(":")
    assert "Usage" in run(
        f"import sys; sys.argv = ['dmgammapy', '--help']; from {module} import {name}; {name}()"
    )


def test_files_fit_in_a_head():
    n_lines = {str(p.relative_to(REPOSITORY)): len(p.read_text().splitlines()) for p in SOURCES}
    too_long = {path: n for path, n in n_lines.items() if n > LONGEST_FILE}
    assert not too_long, "split these files: one subject each"


def test_bundled_data_come_with_licence():
    """Third-party tables are distributed with the licence of where they come from."""
    folder = PACKAGE / "spectra" / "data"
    tables = list(folder.glob("*.npz"))
    assert tables
    text = "".join(path.read_text() for path in folder.glob("LICENSE*"))
    assert "Redistribution" in text or "Permission is hereby granted" in text
