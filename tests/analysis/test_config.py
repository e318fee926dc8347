"""Configuration: every mistake is named with file, line and key."""

import re
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
import yaml

from dmgammapy.analysis import AnalysisConfig, ConfigError
from dmgammapy.analysis.example import EXAMPLE_FOLDER

ROOT = Path(__file__).resolve().parents[2]

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
    assert (config.rosters, config.profiles, config.scenarios) == ({}, {}, {})
    assert config.expected_bands.method == "none"
    assert list(config.sources) == [""]
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


PIPELINE = """\
rosters:
  two: [segue_1:ack2016, draco:wide]
  classical: ackermann2015_dsphs
  chosen: {file: mine.yaml, roster: best, profile: ack2016, exclude: willman_1}
profiles:
  ack2016: ackermann2016_photoj_0.6_nfw
  wide: {version: pace2018_nfw, spatial: radial}
  flat: {spatial: map}
datasets:
  fermi-lat: lat/{target}/sed_{profile}.fits
  magic: {path: "magic/{target}_{version}.txt", format: gloryduck, targets: segue_1}
  array: {path: "array/{target}.yaml", models: background.yaml}
channels: b
masses: 33.333333333333336 GeV
jfactor:
  method: [profile, fixed]
  extra_widths: {magic: 0.1, draco: {array: 0.2}}
  covariance: covariance.ecsv
background: {free: [iso, gal], cov_scale: 5, method: direct}
simulations:
  defaults: {n: 50, seed: 3, expectations: truth.ecsv, per_target: true}
  null:
  bb_1e25:
    injected: {sigmav: 1.1e-25 cm3 s-1, mass: 0.1 TeV, channel: {b: 0.25, tau: 0.75}}
    n: 20
    profile: ack2016
    redraw_jfactor: true
blank_fields: {path: "blank/{target}_{field}.fits", n: 5, offset_min: 2 deg}
limits: {methods: cls}
bands: {simulation: "null", quantiles: [0.16, 0.5, 0.84]}
plots:
  kinds: {limits: null, castro: {channels: b, targets: draco}, sed: false}
  channels: [b]
  format: pdf
report: false
execution: {backend: dask, cluster: slurm, workers: 4, options: {memory: 4GB, queue: long}}
"""


def test_pipeline(tmp_path):
    config = read(tmp_path, PIPELINE)
    assert config.rosters["two"].names == ["segue_1:ack2016", "draco:wide"]
    assert config.rosters["classical"].roster == "ackermann2015_dsphs"
    assert config.profiles["ack2016"].version == "ackermann2016_photoj_0.6_nfw"
    assert config.profiles["flat"].version is None
    assert list(config.sources) == ["fermi-lat", "magic", "array"]
    assert config.sources["magic"].targets == ["segue_1"]
    assert config.jfactor.methods == ["profile", "fixed"]
    assert list(config.scenarios) == ["null", "bb_1e25"]
    null, signal = config.scenarios.values()
    # each takes the defaults that it does not replace
    assert (null.n, null.seed, null.redraw_jfactor, null.injected) == (50, 3, False, None)
    assert (signal.n, signal.seed, signal.redraw_jfactor, signal.per_target) == (20, 3, True, True)
    assert signal.injected.mass == 100 * u.GeV
    assert config.expected_bands.quantiles == [0.16, 0.5, 0.84]
    assert sorted(config.plots.wanted()) == ["castro", "limits"]
    assert config.plots.wanted()["castro"].targets == ["draco"]


def test_trip_through_plain_values_is_exact(tmp_path):
    config = read(tmp_path, PIPELINE)
    plain = config.model_dump(mode="json", exclude_unset=True)
    again = AnalysisConfig.from_dict(yaml.safe_load(yaml.safe_dump(plain)))
    assert again.model_dump() == config.model_dump()
    # numbers too: no digit is lost
    assert again.mass_grid[0].value == 33.333333333333336
    assert again.scenarios["bb_1e25"].injected.sigmav.value == 1.1e-25
    # and only what was said is there
    assert "interpolation" not in plain
    assert list(plain["simulations"]["null"]) == []


@pytest.mark.parametrize("name", ['"null"', "null", "'null'"])
@pytest.mark.parametrize("value", ["", " {}", " {n: 300}"])
def test_the_name_null_needs_no_quotes(tmp_path, name, value):
    config = read(tmp_path, f"{GOOD}simulations:\n  {name}:{value}\n")
    assert config.scenarios["null"].n == 300
    assert config.expected_bands.method == "toys"


@pytest.mark.parametrize(
    ("text", "instruments"),
    [
        ("sed_{target}.fits", [""]),
        ("{path: 'sed_{target}.fits', instrument: lat}", ["lat"]),
        ("{fermi-lat: 'sed_{target}.fits'}", ["fermi-lat"]),
        # names that look somewhat like keys: "format", "models", "targets"
        (
            "{fermi-lat: 'l_{target}.fits', magic: {path: 'm_{target}.fits'}}",
            ["fermi-lat", "magic"],
        ),
        ("{mode: {path: 'l_{target}.fits'}, target: {path: '{target}'}}", ["mode", "target"]),
    ],
)
def test_one_source_or_several(tmp_path, text, instruments):
    config = read(tmp_path, GOOD.replace("\n  path: sed_{target}.fits", f" {text}"))
    assert list(config.sources) == instruments
    assert all("{target}" in section.path for section in config.sources.values())


def test_bands_follow_the_simulations(tmp_path):
    null = "simulations: {null: {}}\n"
    cases = [
        ("", "none"),
        (null, "toys"),
        (null + "bands: false", "none"),
        (null + "bands: asimov", "asimov"),
        ("bands: asimov", "asimov"),
        (null + "bands: true", "toys"),
    ]
    for text, method in cases:
        assert read(tmp_path, GOOD + text).expected_bands.method == method


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
    ("{target}", "{field}", 3, "datasets.path", "expected {target}, {profile}, {version}"),
    ("path:", "models: m.yaml\n  format: gadf\n  path:", 3, "datasets.models", "belong to counts"),
    ("path:", "lat: {paht: a}\n  hess:", 3, "datasets.lat.paht", "did you mean 'path'?"),
    ("path: sed_{target}", "lat: sed", 3, "datasets.lat.path", "must hold {target}"),
    ("path: sed_{target}", "a b: sed", 3, "datasets.a b", "letters, digits and _ . + - only"),
    (" path: sed_{target}.fits", " lat:", 3, "datasets.lat", "the section is empty"),
    (" ackermann2015_dsphs", " {rooster: a}", 1, "targets.rooster", "did you mean 'roster'?"),
    (" ackermann2015_dsphs", " {names: a, profile: nfw}", 1, "targets.profile", "no profile 'nfw'"),
    (" ackermann2015_dsphs", " {roster: a, names: [b]}", 1, "targets", "got both"),
    (" ackermann2015_dsphs", " {exclude: [b]}", 1, "targets", "got neither"),
    (" ackermann2015_dsphs", " []", 1, "targets.names", "empty"),
    (" ackermann2015_dsphs", " 3", 1, "targets", "expected 'key: value' pairs"),
]
ADDITIONS = [
    ("rosters: {a: b}", None, None, "got both"),
    ("profiles: {nfw: {versoin: x}}", 6, "profiles.nfw.versoin", "did you mean 'version'?"),
    ("profiles:\n  nfw: {spatial: radail}", 7, "profiles.nfw.spatial", "did you mean 'radial'?"),
    ("profiles:\n  a/b: x", 7, "profiles.a/b", "letters, digits and _ . + - only, got 'a/b'"),
    ("jfactor: [profile, fixd]", 6, "jfactor.method[1]", "did you mean 'fixed'?"),
    ("jfactor: [fixed, fixed]", 6, "jfactor.method[1]", "fixed comes twice"),
    ("jfactor: []", 6, "jfactor.method", "the list of J treatments is empty"),
    ("jfactor: {extra_widths: {hess: -1}}", 6, "jfactor.extra_widths.hess", "not negative, got -1"),
    (
        "jfactor:\n  extra_widths:\n    draco: {hess: wide}",
        8,
        "jfactor.extra_widths.draco.hess",
        "expected a width in dex",
    ),
    ("background: two", 6, "background.free", "an angle such as '2 deg' or a list of models"),
    ("background: {free: 3}", 6, "background.free", "got 3"),
    ("background: {cov_scale: 0}", 6, "background.cov_scale", "must be greater than 0"),
    ("background: {covscale: 5}", 6, "background.covscale", "did you mean 'cov_scale'?"),
    ("background: {method: bin}", 6, "background.method", "did you mean 'bins'?"),
    ("simulations: {s: {see: 1}}", 6, "simulations.s.see", "did you mean 'seed'?"),
    ("simulations:\n  s:\n    n: 0", 8, "simulations.s.n", "greater than or equal to 1, got 0"),
    ("simulations:\n  s: {profile: nfw}", 7, "simulations.s.profile", "no profile 'nfw'"),
    ("simulations:\n  s: 3", 7, "simulations.s", "expected 'key: value' pairs, got 3"),
    ("simulations:\n  a/b: {}", 7, "simulations.a/b", "letters, digits and _ . + - only"),
    (
        "simulations: {s: {log10_jfactor: priors}}",
        6,
        "simulations.s.log10_jfactor",
        "did you mean 'prior'?",
    ),
    (
        "simulations:\n  s:\n    injected: {sigma: 1e-25 cm3 s-1, mass: 1 TeV, channel: b}",
        8,
        "simulations.s.injected.sigma",
        "did you mean 'sigmav'?",
    ),
    (
        "simulations:\n  s:\n    injected: {sigmav: 1e-25, mass: 1 TeV, channel: b}",
        8,
        "simulations.s.injected.sigmav",
        "a cross-section needs a unit, for example '3e-26 cm3 s-1'",
    ),
    (
        "simulations:\n  s:\n    injected: {mass: 1 TeV, channel: b}",
        8,
        "simulations.s.injected",
        "either sigmav (annihilation) or tau (decay)",
    ),
    (
        "simulations:\n  s:\n    injected: {tau: 1e26 s, mass: 1 TeV, channel: b}",
        8,
        "simulations.s.injected",
        "annihilation needs the signal's sigmav",
    ),
    (
        "simulations:\n  defaults:\n    injected: {sigmav: 1e-25 cm3/s, mass: 1 TeV, channel: b}",
        8,
        "simulations.defaults.injected",
        "a signal belongs to one simulation",
    ),
    ("blank_fields: b_{target}.fits", 6, "blank_fields.path", "must hold {field}"),
    ("blank_fields: b_{filed}.fits", 6, "blank_fields.path", "unknown placeholder {filed}"),
    ("blank_fields: {ofset_min: 1 deg}", 6, "blank_fields.ofset_min", "mean 'offset_min'?"),
    ("blank_fields: {separation: 3 m}", 6, "blank_fields.separation", "an angle such as '1 deg'"),
    ("blank_fields: {method: rand}", 6, "blank_fields.method", "did you mean 'random'?"),
    ("limits: {methods: [cls, cls+b]}", 6, "limits.methods[1]", "got 'cls+b'; did you mean 'clsb'"),
    ("limits: {methods: []}", 6, "limits.methods", "empty"),
    ("limits: {method: cls}", 6, "limits.method", "did you mean 'methods'?"),
    ("bands: toys", 6, "bands", "need the simulation 'null'; there are none"),
    ("bands: toy", 6, "bands.method", "did you mean 'toys'?"),
    (
        "simulations: {zero: {}}\nbands: {simulation: zeros}",
        7,
        "bands.simulation",
        "did you mean 'zero'?",
    ),
    ("bands: {method: asimov, quantiles: [0.1, 0.5]}", 6, "bands.quantiles", "symmetric"),
    ("bands: {method: asimov, quantiles: [0.9, 0.5]}", 6, "bands.quantiles", "must ascend"),
    ("bands: {quantile: [0.5]}", 6, "bands.quantile", "did you mean 'quantiles'?"),
    ("plots: {kinds: [limts]}", 6, "plots.kinds[0]", "did you mean 'limits'?"),
    ("plots:\n  kinds:\n    limts: true", 8, "plots.kinds.limts", "did you mean 'limits'?"),
    ("plots: {kinds: 3}", 6, "plots.kinds", "expected a list of kinds"),
    ("plots: {kinds: []}", 6, "plots.kinds", "expected a list of kinds"),
    ("plots: {kinds: {sed: 3}}", 6, "plots.kinds.sed", "expected true, false or 'key: value'"),
    (
        "plots:\n  kinds:\n    castro:\n      channel: b",
        9,
        "plots.kinds.castro.channel",
        "did you mean 'channels'?",
    ),
    ("plots: {kinds: {sed: {channels: [b, Z]}}}", 6, "plots.kinds.sed.channels[1]", "Z is not in"),
    ("plots: {channels: [tau, Z]}", 6, "plots.channels[1]", "Z is not in channels"),
    ("plots: {format: jpg}", 6, "plots.format", "must be 'png', 'pdf' or 'svg'"),
    ("report: maybe", 6, "report", "must be a valid boolean"),
    ("execution: {backend: dsk}", 6, "execution.backend", "did you mean 'dask'?"),
    ("execution:\n  cluster: slurm", 7, "execution.cluster", "with backend: dask only"),
    ("execution: {backend: dask, cluster: slrm}", 6, "execution.cluster", "did you mean 'slurm'?"),
    ("execution: {backend: dask, workers: 0}", 6, "execution.workers", "equal to 1, got 0"),
    (
        "execution: {backend: dask, cluster: slurm, options: {memry: 4GB}}",
        6,
        "execution.options",
        "did you mean 'memory'?",
    ),
    (
        "execution: {backend: dask, cluster: lsf, options: {walltime: soon}}",
        6,
        "execution.options",
        "walltime",
    ),
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
    where = f", line {line}, key '{key}'" if key else ", line 1"
    assert said.startswith(f"{tmp_path / 'config.yaml'}{where}: ")
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


def documented():
    """YAML examples of the documentation that are configurations, and the bundled ones."""
    blocks = []
    for page in ("configuration.md", "pipeline.md", "at_scale.md"):
        text = (ROOT / "docs" / page).read_text()
        blocks += re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    yield from blocks
    yield (EXAMPLE_FOLDER / "config.yaml").read_text()
    yield (ROOT / "tutorials" / "fermi_dsphs_2015.yaml").read_text()
    yield AnalysisConfig.template()
    yield PIPELINE
    yield GOOD


def complete(block):
    """A configuration from a part of one."""
    data = yaml.safe_load(block)
    if "rosters" not in data:
        data = {"targets": "ackermann2015_dsphs"} | data
    if "profile: nfw" in block:
        data.setdefault("profiles", {"nfw": "ackermann2014_nfw"})
    if data.get("bands") == "toys":
        data.setdefault("simulations", {"null": {}})
    return {"datasets": "sed_{target}.fits", "channels": ["b", "tau"], "masses": ["1 TeV"]} | data


def as_json(data):
    """What an editor checks: names are texts in JSON."""
    if isinstance(data, dict):
        return {"null" if k is None else str(k): as_json(v) for k, v in data.items()}
    return [as_json(v) for v in data] if isinstance(data, list) else data


@pytest.mark.parametrize("block", list(documented()))
def test_documented_configurations_are_valid(block):
    jsonschema = pytest.importorskip("jsonschema")
    data = complete(block)
    config = AnalysisConfig.from_dict(data)
    schema = AnalysisConfig.json_schema()
    jsonschema.validate(as_json(data), schema)
    # so is what results remember of it
    jsonschema.validate(config.model_dump(mode="json", exclude_unset=True), schema)


def test_configuration_page_is_a_whole_example():
    text = (ROOT / "docs" / "configuration.md").read_text()
    short = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1]
    assert AnalysisConfig.from_dict(yaml.safe_load(short)).jfactor.methods == ["profile"]


SHORT_FORMS = [
    ("targets", ["a", ["a", "b"], {"names": "a"}, {"roster": "a", "select": "b*"}]),
    ("datasets", ["{target}", {"lat": "{target}"}, {"lat": {"path": "{target}", "targets": "a"}}]),
    ("channels", ["b", ["b", {"b": 0.5, "tau": 0.5}], {"b": 0.5, "tau": 0.5}]),
    ("masses", ["1 TeV", ["1 TeV"], {"min": "1 GeV", "max": "1 TeV", "n": 3}]),
    ("jfactor", ["fixed", ["profile", "fixed"], {"method": "fixed"}, {"method": ["fixed"]}]),
    ("background", ["free", "2 deg", ["iso"]]),
    ("simulations", [{"s": None}, {"s": {}}]),
    ("blank_fields", ["{target}_{field}", {}]),
    ("limits", [{"methods": "cls"}, {"methods": ["cls"]}]),
    ("bands", ["asimov", "none", False]),
    ("plots", [True, False, {"kinds": "limits"}, {"kinds": ["limits"], "channels": "b"}]),
    ("plots", [{"kinds": {"limits": None, "sed": {"realisations": 1}}, "published": "a.ecsv"}]),
    ("profiles", [{"a": "b"}, {"a": {"spatial": "map"}}]),
    ("spectra", ["dmfit", {"path": "a.dat", "format": "pppc4"}]),
]
WRONG = [
    ("channels", 3),
    ("datasets", {"path": "{target}", "formt": "a"}),
    ("jfactor", "profil"),
    ("limits", {"methods": ["cl"]}),
    ("bands", "toy"),
    ("plots", {"kinds": ["limit"]}),
    ("plots", {"kinds": {"limit": None}}),
    ("plotz", True),
    ("simulations", {"s": {"m": 3}}),
    ("execution", {"backend": "dsk"}),
    ("rosters", {"a": "b"}),
]
PLAIN = yaml.safe_load(GOOD)


@pytest.mark.parametrize(("key", "forms"), SHORT_FORMS)
def test_json_schema_knows_the_short_forms(key, forms):
    jsonschema = pytest.importorskip("jsonschema")
    for form in forms:
        data = PLAIN | {key: form}
        AnalysisConfig.from_dict(data)
        jsonschema.validate(data, AnalysisConfig.json_schema())


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_json_schema_finds_mistakes_too(key, value):
    jsonschema = pytest.importorskip("jsonschema")
    data = PLAIN | {key: value}
    with pytest.raises(ConfigError):
        AnalysisConfig.from_dict(data)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, AnalysisConfig.json_schema())


def test_json_schema_tells_what_keys_are():
    schema = AnalysisConfig.json_schema()
    assert schema["required"] == ["datasets", "channels", "masses"]
    assert schema["additionalProperties"] is False
    sections = [schema, *schema["$defs"].values()]
    for section in sections:
        keys = section if "properties" in section else section["anyOf"][0]
        assert section["description"]
        for name, value in keys["properties"].items():
            # pydantic leaves out what is the same in the section itself
            assert value.get("description") or "$ref" in value, (section["title"], name)
