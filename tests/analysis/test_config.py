"""Configuration: every mistake is named with file, line and key."""

import re
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
import yaml

from dmgammapy.analysis import AnalysisConfig, ConfigError

GOOD = """\
targets: ackermann2015_dsphs
datasets:
  path: sed_{target}.fits
channels: [b, tau]
masses: {min: 10 GeV, max: 1 TeV, n: 3}
"""


def read(folder, text):
    path = folder / "config.yaml"
    path.write_text(text)
    return AnalysisConfig.read(path)


def test_defaults(tmp_path):
    config = read(tmp_path, GOOD)
    assert config.targets.roster == "ackermann2015_dsphs"
    assert config.channel_labels == ["b", "tau"]
    np.testing.assert_allclose(config.mass_grid.to_value("GeV"), [10, 100, 1000], rtol=1e-12)
    assert config.mass_grid[-1] == 1 * u.TeV  # exactly: tables end there
    assert (config.spectra, config.process, config.norm_type) == ("pppc4", "annihilation", "eflux")
    assert config.jfactor.method == "profile"
    assert config.limits.cl == 0.95
    assert (config.execution.n_jobs, config.execution.on_error) == (1, "stop")
    assert config.resolve("a/b.fits", ()) == tmp_path / "a" / "b.fits"


def test_all_keys(tmp_path):
    config = read(
        tmp_path,
        """\
targets:
  names: [draco, "segue_1:ackermann2014_nfw"]
  select: [draco]
  exclude: [segue_1]
datasets: {path: "like_{target}.txt", format: fermi-lat-dsph, instrument: fermi-lat}
spectra: dmfit
process: decay
channels: [bb, {b: 0.25, tau+tau-: 0.75}]
masses: [10 GeV, 0.1 TeV, 1e3 GeV]
norm_type: flux
interpolation: linear
jfactor:
  method: marginal
  targets:
    draco: {log10_dfactor: 18.5, log10_dfactor_err: [0.1, 0.2]}
limits: {cl: 0.9}
plots: {enabled: false, published: [a.ecsv]}
output: somewhere
execution: {n_jobs: -1, on_error: skip}
""",
    )
    assert config.channel_labels == ["b", "0.75 tau + 0.25 b"]
    assert config.mass_grid.to_value("GeV").tolist() == [10, 100, 1000]
    assert config.jfactor.targets["draco"].log10_dfactor_err == (0.1, 0.2)
    assert config.plots.published == ["a.ecsv"]
    # what a file says survives the trip through plain values
    again = AnalysisConfig.from_dict(config.model_dump(mode="json"))
    assert again.model_dump(mode="json") == config.model_dump(mode="json")


MISTAKES = [
    # replaced, by, line, key, part of the message
    ("channels", "channelz", 4, "channelz", "did you mean 'channels'?"),
    ("path:", "pathe:", 3, "datasets.pathe", "did you mean 'path'?"),
    ("[b, tau]", "[b, tauu]", 4, "channels[1]", "Did you mean 'tau'?"),
    ("[b, tau]", "[b, bb]", 4, "channels[1]", "the channel b comes twice"),
    ("[b, tau]", "[]", 4, "channels", "empty"),
    ("[b, tau]", "[{b: 0.7, tau: 0.4}]", 4, "channels[0]", "sum to 1.1"),
    ("10 GeV", "10", 5, "masses.min", "needs a unit, for example '10 GeV'"),
    ("10 GeV", "10 cm", 5, "masses.min", "unit of energy such as GeV or TeV, got '10 cm'"),
    ("10 GeV", "ten GeV", 5, "masses.min", "expected a mass such as '100 GeV', got 'ten GeV'"),
    ("10 GeV", "-10 GeV", 5, "masses.min", "positive"),
    ("1 TeV", "1 GeV", 5, "masses.max", "max must exceed min"),
    ("n: 3", "n: 0", 5, "masses.n", "must be greater than or equal to 1, got 0"),
    ("n: 3", "N: 3", 5, "masses.N", "did you mean 'n'?"),
    (", n: 3", "", 5, "masses.n", "this key is required"),
    ("{min: 10 GeV, max: 1 TeV, n: 3}", "\n - 10 GeV\n - 9 GeV", 7, "masses[1]", "must ascend"),
    ("{min: 10 GeV, max: 1 TeV, n: 3}", "\n - 10 GeV\n - 9", 7, "masses[1]", "needs a unit"),
    ("{min: 10 GeV, max: 1 TeV, n: 3}", "[]", 5, "masses", "expected a list of masses"),
    ("{target}", "{traget}", 3, "datasets.path", "unknown placeholder {traget}"),
    ("{target}", "all", 3, "datasets.path", "must hold {target}"),
    ("path:", "format: fermi\n  path:", 3, "datasets.format", "must be one of fermipy, fermipy-"),
    (" ackermann2015_dsphs", " {roster: a, names: [b]}", 1, "targets", "got both"),
    (" ackermann2015_dsphs", " {exclude: [b]}", 1, "targets", "got neither"),
    (" ackermann2015_dsphs", " []", 1, "targets.names", "empty"),
    (" ackermann2015_dsphs", " 3", 1, "targets", "expected 'key: value' pairs"),
]
ADDITIONS = [
    ("jfactor: {method: profil}", 6, "jfactor.method", "did you mean 'profile'?"),
    ("jfactor:\n  methd: fixed", 7, "jfactor.methd", "did you mean 'method'?"),
    (
        "jfactor:\n  targets:\n    draco:\n      log10_jfacto: 18",
        9,
        "jfactor.targets.draco.log10_jfacto",
        "did you mean 'log10_jfactor'?",
    ),
    (
        "jfactor:\n  targets:\n    draco: {log10_jfactor: 6e18}",
        8,
        "jfactor.targets.draco.log10_jfactor",
        "expected log10 of the factor",
    ),
    (
        "jfactor:\n  targets:\n    draco: {log10_jfactor_err: [1, 2, 3]}",
        8,
        "jfactor.targets.draco.log10_jfactor_err",
        "expected a width in dex, or [low, high]",
    ),
    (
        "jfactor:\n  targets:\n    draco: {log10_jfactor_err: -0.2}",
        8,
        "jfactor.targets.draco.log10_jfactor_err",
        "none negative, got -0.2",
    ),
    ("jfactor:\n  targets:\n    draco: {}", 8, "jfactor.targets.draco", "the entry is empty"),
    ("limits: {cl: 95}", 6, "limits.cl", "must be less than 1, got 95"),
    ("plots: maybe", 6, "plots", "expected true or false (without quotes), or 'key: value' pairs"),
    ('plots: "no"', 6, "plots", "got 'no'"),
    ("plots: 3", 6, "plots", "expected 'key: value' pairs, got 3"),
    ("jfactor: null", 6, "jfactor", "the section is empty; leave its key out for the defaults"),
    ("execution: {n_jobs: 0}", 6, "execution.n_jobs", "-1 for all cores, got 0"),
    ("execution:\n  n_jobs: two", 7, "execution.n_jobs", "valid integer"),
    ("execution: {on_error: ignore}", 6, "execution.on_error", "must be 'stop' or 'skip'"),
    ("process: decays", 6, "process", "did you mean 'decay'?"),
    ("norm_type: energy", 6, "norm_type", "must be 'eflux', 'flux' or 'dnde'"),
    ("interpolation: spline", 6, "interpolation", "must be 'poisson', 'cubic' or 'linear'"),
    ("spectra: 4", 6, "spectra", "expected a name such as pppc4"),
    ("output: [a, b]", 6, "output", "must be a valid string"),
]
CASES = [(GOOD.replace(old, new), *rest) for old, new, *rest in MISTAKES]
CASES += [(f"{GOOD}{text}\n", *rest) for text, *rest in ADDITIONS]


@pytest.mark.parametrize(("text", "line", "key", "message"), CASES)
def test_mistake_is_named(tmp_path, text, line, key, message):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'config.yaml'}, line {line}, key '{key}': ")
    assert message in said
    assert "\n" not in said


def test_several_mistakes_are_all_named(tmp_path):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, GOOD.replace("n: 3", "m: 3") + "limits: {cl: 2}\nplotz: true\n")
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("config.yaml: 4 errors")
    found = [re.search(r"line (\d+), key '(.*?)'", line).groups() for line in lines[1:]]
    assert sorted(found) == [
        ("5", "masses.m"),
        ("5", "masses.n"),
        ("6", "limits.cl"),
        ("7", "plotz"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "config.yaml: the file is empty"),
        ("# nothing\n", "config.yaml: the file is empty"),
        ("- a\n- b\n", "config.yaml, line 1: expected 'key: value' pairs at the top level"),
        (GOOD + "channels: b\n", "config.yaml, line 6: the key 'channels' stands on line 4"),
        (
            GOOD + "jfactor:\n  method: fixed\n  method: profile\n",
            "config.yaml, line 8: the key 'jfactor.method' stands on line 7",
        ),
        (GOOD + "\tplots: true\n", "config.yaml, line 6, column 1: not valid YAML"),
        (GOOD + "plots: [true\n", "not valid YAML"),
        (GOOD + "plots: !!python/object:os.system {}\n", "line 6, column 8: not valid YAML"),
    ],
)
def test_not_a_configuration(tmp_path, text, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        read(tmp_path, text)


def test_no_file(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: no such configuration file"):
        AnalysisConfig.read(tmp_path / "none.yaml")


def test_not_text(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ConfigError, match=r"config\.yaml: can't be read as text"):
        AnalysisConfig.read(path)


def test_variables_and_home(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_FOLDER", "/data")
    monkeypatch.setenv("HOME", "/home/vera")
    monkeypatch.delenv("NO_SUCH_FOLDER", raising=False)
    text = GOOD.replace("sed_", "${NO_SUCH_FOLDER}/sed_")
    config = read(tmp_path, text)
    assert str(config.resolve("${DATA_FOLDER}/sed_{target}", ())) == "/data/sed_{target}"
    assert str(config.resolve("$DATA_FOLDER/x", ())) == "/data/x"
    assert str(config.resolve("~/x", ())) == "/home/vera/x"
    with pytest.raises(
        ConfigError, match=r"line 3, key 'datasets.path': the environment variable NO_SUCH_FOLDER"
    ):
        config.resolve(config.datasets.path, ("datasets", "path"))


def test_dict_errors_name_the_key():
    with pytest.raises(ConfigError, match=r"configuration, key 'masses': this key is required"):
        AnalysisConfig.from_dict({"targets": "a", "datasets": "{target}", "channels": ["b"]})


def test_json_schema_has_all_sections():
    schema = AnalysisConfig.model_json_schema()
    assert schema["required"] == ["targets", "datasets", "channels", "masses"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["limits"]["$ref"] == "#/$defs/LimitsConfig"


def test_documented_configurations_are_valid():
    page = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
    short, full = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    assert AnalysisConfig.from_dict(yaml.safe_load(short)).jfactor.method == "profile"
    config = AnalysisConfig.from_dict(yaml.safe_load(full))
    # the page shows every section and key, in the comments at least
    for name, field in AnalysisConfig.model_fields.items():
        assert f"{name}:" in full
        for key in getattr(field.annotation, "model_fields", {}):
            assert key == "enabled" or f"{key}:" in full, key
    assert config.channel_labels == ["b", "tau", "0.7 b + 0.3 tau"]
