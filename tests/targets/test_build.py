"""The script that makes the bundled tables."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmgammapy.targets import Targets

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(scope="module")
def build():
    sys.path.insert(0, str(TOOLS))
    try:
        spec = importlib.util.spec_from_file_location("build_targets", TOOLS / "build_targets.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(TOOLS))
    return module


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5.888e+18", 18.77),
        ("1.74e+18", 18.24),
        ("6.76e+18", 18.83),
        ("1.0e+19", 19.0),
        ("4.9e+17", 17.69),
        ("9.08e+19", 19.958),
        ("7.02e+17", 17.8463),
    ],
)
def test_shortest_logarithm(build, text, expected):
    assert build.shortest_log10(text) == expected


@given(log10=st.decimals(15, 21, places=2))
def test_two_decimals_survive_four_digits(build, log10):
    assert build.shortest_log10(f"{10 ** float(log10):.3e}") == float(log10)


def make_source(folder):
    """A tree like dmsky's with targets, defaults and rosters."""
    targets = folder / "dmsky/data/targets"
    (targets / "dwarfs").mkdir(parents=True)
    (folder / "dmsky/data/rosters").mkdir()
    (targets / "defaults.yaml").write_text("dwarf: {type: dwarf}\n")
    (targets / "dwarfs/defaults.yaml").write_text(
        "a: {default: {title: 'A', type: dwarf, ra: 1., dec: 2, distance: 3., references: [x]}}\n"
        "smc: {default: {ra: 1, dec: 2}}\n"
        "carina_III: {default: {ra: 114.6298, dec: 57.8997, type: dwarf}}\n"
    )
    (targets / "dwarfs/tables.yaml").write_text(
        "a:\n  pace2018_nfw: {j_integ: 2.14e+17, j_sigma: .nan, profile: {type: NFW}}\n"
        "  ackermann2014_nfw: {j_integ: 6.761e+18, j_sigma: 0.16, extension: -0.59}\n"
        "  geringer-sameth2015_nfw: {j_integ: 1e18, profile: {type: NFW, rs: 1, rhos: 2}}\n"
        "smc:\n  gnfw: {j_integ: 1e18}\n"
    )
    (folder / "dmsky/data/rosters/roster.yaml").write_text("r: ['a:pace2018_nfw', -b]\n")
    return folder


def test_small_source(build, tmp_path, monkeypatch):
    source, output = make_source(tmp_path / "source"), tmp_path / "output"
    arguments = ["build_targets.py", "--archive", str(source), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", arguments)
    build.main()
    first = {path.name: path.read_bytes() for path in sorted(output.iterdir())}
    build.main()
    assert first == {path.name: path.read_bytes() for path in sorted(output.iterdir())}
    assert list(first) == [
        "ackermann2014.ecsv", "default.ecsv", "geringer-sameth2015.ecsv", "pace2018.ecsv",
        "rosters.yaml",
    ]  # fmt: skip
    target = Targets.read(output / "ackermann2014.ecsv")["a"]
    assert target.log10_jfactor == 18.83
    assert target.distance.to_value("kpc") == 3
    assert round(np.log10(target.extension.to_value("deg")), 2) == -0.59
    assert target.reference.startswith("Ackermann et al. 2014")
    assert Targets.read(output / "pace2018.ecsv")["a"].missing() == ("log10_jfactor_err",)
    assert Targets.read(output / "geringer-sameth2015.ecsv")["a"].profile == {"type": "NFW"}
    assert Targets.read(output / "default.ecsv")["carina_III"].position.dec.deg == -57.8997
    assert Targets.read(output / "default.ecsv").names == ["a", "carina_III", "smc"]


def test_a_correction_that_is_not_needed_any_more_is_an_error(build, tmp_path, monkeypatch):
    source = make_source(tmp_path)
    path = source / "dmsky/data/targets/dwarfs/defaults.yaml"
    path.write_text(path.read_text().replace("57.8997", "-57.8997"))
    monkeypatch.setattr(sys, "argv", ["x", "--archive", str(source), "--output", str(tmp_path)])
    with pytest.raises(ValueError, match="carina_III: dec is not 57.8997 any more"):
        build.main()
