"""Translation of dmpipe's configuration; expectations are written by hand from its code."""

import math
import shutil
from pathlib import Path

import pytest
import yaml

from dmgammapy.analysis import AnalysisConfig, ConfigError, DMAnalysis
from dmgammapy.analysis._dmpipe_sims import channel_and_process
from dmgammapy.analysis.dmpipe_config import convert_dmpipe_config, dmpipe_config_text
from dmgammapy.analysis.example import EXAMPLE_FOLDER
from dmgammapy.targets import Targets

MASTER = """\
ttype: dSphs
rosters: [test]
astro_priors: ['none', 'lgauss']
spatial_models: ['point']
alias_dict: 'example/config/aliases.yaml'   # relative to the folder above the example's
sim_defaults:
  seed: 0
  nsims: 20
  profile: ack2016
sims:
  'null': {}
  '100GeV_bb_1e25': {}
random: {}
plot_channels: ['bb', 'tautau']
data_plotting:
  plot-castro: {}
  plot-dm: {}
sim_plotting:
  plot-control-limits: {}
"""
SPECTRA = """\
channels: ['ee', 'bb', 'tautau', 'gg', 'ww']
masses: {mass_min: 10., mass_max: 10000., mass_nstep: 13}
"""
INJECTED = """\
injected_source:
  name: dm
  source_model:
    SpatialModel: PointSource
    SpectrumType: DMFitFunction
    norm: {value: nan}
    sigmav: {value: 1.0E-25}
    mass: {value: 100.0}
    channel0: {value: 4}
"""
RANDOM = "{seed: 0, nsims: 20, step_x: 1.0, step_y: 1.0, max_x: 3.0, max_y: 3.0}\n"
ROSTER = "test: ['segue_1:ackermann2016_photoj_0.6_nfw', 'draco:ackermann2016_photoj_0.6_nfw']\n"


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Folder in the layout of dmpipe's example."""
    monkeypatch.delenv("DMSKY_PATH", raising=False)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "example"
    for name, text in {
        "config/master.yaml": MASTER,
        "config/dm_spectra_dSphs.yaml": SPECTRA,
        "config/sim_null.yaml": "injected_source:\n",
        "config/sim_100GeV_bb_1e25.yaml": INJECTED,
        "config/random_dSphs.yaml": RANDOM,
        "config/aliases.yaml": "ackermann2016_photoj_0.6_nfw: ack2016\n",
        "dmsky_data/rosters/roster.yaml": ROSTER,
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def convert(folder, **kwargs):
    return convert_dmpipe_config(folder / "config/master.yaml", **kwargs)


def edit(folder, name, old, new):
    path = folder / "config" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


EXPECTED = {
    "rosters": {"test": ["segue_1:ack2016_point", "draco:ack2016_point"]},
    "profiles": {"ack2016_point": {"version": "ackermann2016_photoj_0.6_nfw", "spatial": "point"}},
    # fermipy.jobs.name_policy: sedfile_format
    "datasets": {"fermi-lat": {"path": "dSphs/{target}/sed_{profile}.fits", "format": "fermipy"}},
    "spectra": "dmfit",
    "channels": ["e", "b", "tau", "g", "W"],
    "masses": {"min": "10 GeV", "max": "10000 GeV", "n": 13},
    "jfactor": {"method": ["fixed", "profile"]},
    "limits": {"cl": 0.95},
    "simulations": {
        "defaults": {
            "n": 20,
            "seed": 0,
            "undetermined": "power_law",
            "least_counts": 5,
            "profile": "ack2016_point",
        },
        "null": {},
        "100GeV_bb_1e25": {
            "injected": {"sigmav": "1e-25 cm3 s-1", "mass": "100 GeV", "channel": "b"}
        },
    },
    # AnalyzeSED writes sed_<profile>_%06i.fits
    "blank_fields": {
        "path": "dSphs_sim/sim_random/{target}/sed_{profile}_00{field}.fits",
        "n": 20,
    },
    "bands": {"method": "toys", "simulation": "null"},
    "plots": {
        "kinds": ["sed", "castro", "control_limits", "final_limits"],
        "channels": ["b", "tau"],
    },
    "output": "dSphs_results",
}


def test_example(example):
    config, notes = convert(example, output=example / "analysis.yaml")
    assert config == EXPECTED
    # dmpipe's np.logspace(1, 4, 13): both ends, four per decade
    masses = AnalysisConfig.read(example / "analysis.yaml").mass_grid.to_value("GeV")
    assert masses == pytest.approx([10 ** (1 + i / 4) for i in range(13)])
    assert len(notes) == 3
    assert notes[0].startswith("config/master.yaml, line 3, astro_priors: lgauss is a density in J")
    assert notes[1].startswith("config/master.yaml, line 10, sims: dmpipe draws photons")
    assert "step_x, step_y, max_x, max_y: grid of the directions" in notes[2]


def test_factor_of_the_density_in_jfactors():
    """The note on lgauss: minimum of y^2/s^2 + 2 ln(10) y against that of y^2/s^2, in dex.

    The density in J has 1 / J in it, so that -2 ln L grows with J: the smaller J wins, and limits
    of the cross-section go up.
    """
    s = 0.25
    y = [-1 + i / 1e4 for i in range(20001)]
    best = min(y, key=lambda y: y**2 / s**2 + 2 * math.log(10) * y)
    assert best < 0
    assert 10**-best == pytest.approx(1.4, abs=0.01)


def test_the_note_says_which_side_is_stronger(example):
    _, notes = convert(example)
    assert "its limits are weaker than those here" in notes[0]
    assert "those of dmpipe are 1.4 times as high" in notes[0]


def test_written_file_is_commented_and_whole(example):
    config, notes = convert(example, output=example / "analysis.yaml")
    text = (example / "analysis.yaml").read_text()
    assert yaml.safe_load(text) == config
    assert text.startswith("# Made from dmpipe's config/master.yaml by dmgammapy convert-config.\n")
    assert "# from config/dm_spectra_dSphs.yaml\nchannels: [e, b, tau, g, W]" in text
    assert text.count("\n# - ") == len(notes)
    assert max(map(len, text.splitlines())) <= 100
    assert sorted(p.name for p in example.iterdir()) == ["analysis.yaml", "config", "dmsky_data"]


def test_existing_file_is_kept(example):
    output = example / "analysis.yaml"
    output.write_text("precious")
    with pytest.raises(FileExistsError, match="analysis.yaml exists already.*--overwrite"):
        convert(example, output=output)
    assert output.read_text() == "precious"
    convert(example, output=output, overwrite=True)
    assert output.read_text() != "precious"


def test_paths_are_relative_to_the_new_file(example, tmp_path):
    config, _ = convert(example)  # to the current folder
    assert config["datasets"]["fermi-lat"]["path"] == "example/dSphs/{target}/sed_{profile}.fits"
    config, _ = convert(example, output=example / "config" / "new.yaml")
    assert config["datasets"]["fermi-lat"]["path"] == "../dSphs/{target}/sed_{profile}.fits"
    config, _ = convert(example, output=example / "a.yaml", data="seds/{target}.fits")
    assert config["datasets"] == {"fermi-lat": {"path": "../seds/{target}.fits"}}


def test_real_example(test_data, monkeypatch, tmp_path):
    monkeypatch.delenv("DMSKY_PATH", raising=False)
    folder = test_data / "fermipy" / "dmpipe_example"
    if not folder.is_dir():
        pytest.skip("dmpipe's example is not among the reference data")
    config, notes = convert_dmpipe_config(
        folder / "config" / "master_dSphs.yaml", output=tmp_path / "analysis.yaml"
    )
    expected = EXPECTED | {
        "channels": ["e", "mu", "tau", "b", "t", "g", "W", "Z", "c", "u", "d", "s"],
        "plots": {
            "kinds": [
                "sed", "castro", "target_limits", "stack_castro", "limits", "simulated_castro",
                "simulated_limits", "control_limits", "final_limits",
            ],
            "channels": ["b", "tau"],
        },
    }  # fmt: skip
    expected["simulations"] = EXPECTED["simulations"] | {
        "100GeV_bb_3e26": {
            "injected": {"sigmav": "3e-26 cm3 s-1", "mass": "100 GeV", "channel": "b"}
        }
    }
    for key in ("datasets", "blank_fields"):  # whose paths lead to the reference data
        path = config[key].get("path") or config[key]["fermi-lat"]["path"]
        pattern = expected[key].get("path") or expected[key]["fermi-lat"]["path"]
        assert path.endswith(pattern)
    same = [key for key in expected if key not in ("datasets", "blank_fields")]
    assert {key: config[key] for key in same} == {key: expected[key] for key in same}
    assert AnalysisConfig.read(tmp_path / "analysis.yaml").channel_labels == expected["channels"]
    # fermipy's own configuration: all of its sections are named
    (note,) = [n for n in notes if n.startswith("config/config_dSphs.yaml")]
    assert "selection, binning, data, gtlike, model, fileio: of fermipy's analysis" in note
    single = [n for n in notes if "dmpipe draws every simulation; here the first" in n]
    assert (len(notes), len(single)) == (8, 4)


# ---- nothing is dropped --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "old", "new", "note"),
    [
        ("master.yaml", "ttype: dSphs", "ttype: dSphs\nspecfile: a.fits",
         "config/master.yaml, line 2, specfile: table of spectra that dmpipe makes"),
        ("master.yaml", "ttype: dSphs", "ttype: dSphs\nastro_prior: [none]",
         "line 2, astro_prior: unknown to dmpipe, not translated; did you mean 'astro_priors'?"),
        ("master.yaml", "  nsims: 20", "  nsims: 20\n  nsims_job: 5\n  do_find_src: true",
         "sim_defaults.nsims_job: number of simulations in a job"),
        ("master.yaml", "'null': {}", "'null': {non_null_src: true}",
         "sims.null.non_null_src: of fermipy's fit"),
        ("master.yaml", "  plot-dm: {}", "  plot-dm: {astro_priors: [none], color: red}",
         "data_plotting.plot-dm.color: unknown to dmpipe"),
        ("master.yaml", "  plot-dm: {}", "  plot-dmm: {}",
         "data_plotting.plot-dmm: unknown to dmpipe, not translated; did you mean 'plot-dm'?"),
        ("master.yaml", "['bb', 'tautau']", "['bb', 'mumu']",
         "plot_channels: mumu is not analysed"),
        ("master.yaml", "['none', 'lgauss']", "['none', 'norm']",
         "astro_priors: the prior norm is not translated: in dmpipe it takes the width in dex"),
        ("master.yaml", "['none', 'lgauss']", "['lgauss', 'lgauss_like']",
         "lgauss_like and lgauss are the same J treatment here (profile)"),
        ("master.yaml", "['point']", "['hpxmap']", "spatial_models: hpxmap: HEALPix maps"),
        ("dm_spectra_dSphs.yaml", "channels", "mass_unit: GeV\nchannels", "mass_unit: unknown"),
        ("dm_spectra_dSphs.yaml", "'ww']", "'ww', 'bb_decay']",
         "channels: bb_decay: decay needs a configuration of its own"),
        ("sim_100GeV_bb_1e25.yaml", "{value: nan}", "{value: 3e18}",
         "norm: dmpipe puts the J of each target in the place of this number"),
        ("sim_100GeV_bb_1e25.yaml", "PointSource", "GaussianSource",
         "SpatialModel: GaussianSource; the signal is injected with the shape"),
        ("sim_100GeV_bb_1e25.yaml", "{value: 100.0}", "{value: 100.0, free: false, spin: 1}",
         "mass.spin: unknown to dmpipe"),
        ("random_dSphs.yaml", "seed: 0", "seed: 5", "seed: dmpipe's files begin with 000005"),
        ("random_dSphs.yaml", "nsims: 20", "nsims: 30",
         "nsims: 30 directions, of which dmpipe analyses 20"),
    ],
)  # fmt: skip
def test_what_is_not_translated_is_listed(example, file, old, new, note):
    edit(example, file, old, new)
    _, notes = convert(example)
    assert [n for n in notes if note in n], notes


def test_sources_that_are_no_dark_matter_are_left_out(example):
    edit(example, "sim_100GeV_bb_1e25.yaml", "DMFitFunction", "PowerLaw")
    edit(example, "sim_100GeV_bb_1e25.yaml", "norm:", "Index: {value: 2}\n    norm:")
    config, notes = convert(example)
    assert list(config["simulations"]) == ["defaults", "null"]
    note = "a source with the spectrum PowerLaw can't be injected here"
    assert [n for n in notes if "line 5" in n and note in n]


# ---- other values --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("priors", "methods"),
    [
        ("['none']", ["fixed"]),
        ("['lgauss_like']", ["profile"]),
        ("['lgauss_log', 'none']", ["profile", "fixed"]),
        ("lgauss", ["profile"]),
        ("['norm']", ["profile"]),
        ("[]", ["fixed"]),
    ],
)
def test_priors(example, priors, methods):
    edit(example, "master.yaml", "['none', 'lgauss']", priors)
    assert convert(example)[0]["jfactor"] == {"method": methods}


def test_jpriors_of_the_documentation(example):
    edit(example, "master.yaml", "astro_priors", "jpriors")
    config, notes = convert(example)
    assert config["jfactor"] == {"method": ["fixed", "profile"]}
    assert "line 3, jpriors" in notes[0]


def test_masses_as_a_list(example):
    edit(example, "dm_spectra_dSphs.yaml",
         "{mass_min: 10., mass_max: 10000., mass_nstep: 13}", "[10, 1e2, 1000.]")  # fmt: skip
    assert convert(example)[0]["masses"] == ["10 GeV", "100 GeV", "1000 GeV"]


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("bb", ("b", "annihilation")),
        ("gg", ("g", "annihilation")),
        ("musrc", None),
        ("tautau_decay", ("tau", "decay")),
    ],
)
def test_channel_names(name, meaning):
    if meaning is None:
        with pytest.raises(ValueError, match="Unknown channel 'musrc'"):
            channel_and_process(name)
    else:
        assert channel_and_process(name) == meaning


# codes of fermipy's DMFitFunction.channel_shortname_mapping
@pytest.mark.parametrize(
    ("code", "channel"),
    [(1, "e"), (2, "mu"), (3, "tau"), (4, "b"), (5, "t"), (6, "g"), (7, "W"), (8, "Z"), (9, "c"),
     (10, "u"), (11, "d"), (12, "s")],
)  # fmt: skip
def test_codes_of_channels(example, code, channel):
    edit(example, "sim_100GeV_bb_1e25.yaml", "{value: 4}", f"{{value: {code}}}")
    injected = convert(example)[0]["simulations"]["100GeV_bb_1e25"]["injected"]
    assert injected["channel"] == channel


def test_branching_ratio_and_scale(example):
    edit(example, "sim_100GeV_bb_1e25.yaml", "{value: 1.0E-25}", "{value: 1.5, scale: 1e-26}")
    edit(example, "sim_100GeV_bb_1e25.yaml", "channel0:",
         "bratio: {value: 0.7}\n    channel1: {value: 3}\n    channel0:")  # fmt: skip
    injected = convert(example)[0]["simulations"]["100GeV_bb_1e25"]["injected"]
    assert injected["sigmav"] == "1.5e-26 cm3 s-1"
    assert injected["channel"] == {"b": 0.7, "tau": 0.3}


def test_decay(example):
    edit(example, "dm_spectra_dSphs.yaml", "['ee', 'bb', 'tautau', 'gg', 'ww']", "['bb_decay']")
    edit(example, "master.yaml", "['bb', 'tautau']", "['bb_decay']")
    edit(example, "sim_100GeV_bb_1e25.yaml", "{value: 4}", "{value: 104}")
    edit(example, "sim_100GeV_bb_1e25.yaml", "1.0E-25", "1.0E+26")
    config, notes = convert(example)
    assert (config["process"], config["channels"]) == ("decay", ["b"])
    assert config["simulations"]["100GeV_bb_1e25"]["injected"] == {
        "tau": "1e+26 s", "mass": "100 GeV", "channel": "b",
    }  # fmt: skip
    assert sum("here it ends at half of it" in n for n in notes) == 2


def test_decay_in_an_analysis_of_annihilation(example):
    edit(example, "sim_100GeV_bb_1e25.yaml", "{value: 4}", "{value: 104}")
    config, notes = convert(example)
    assert list(config["simulations"]) == ["defaults", "null"]
    assert [n for n in notes if "decay, while the analysis is about annihilation" in n]


def test_several_spatial_models(example):
    """dmpipe calls the rosters <roster>_<model> and the profiles <version>_<model>."""
    edit(example, "master.yaml", "['point']", "['point', 'radial']")
    config, _ = convert(example)
    assert list(config["rosters"]) == ["test_point", "test_radial"]
    assert config["rosters"]["test_radial"][1] == "draco:ack2016_radial"
    assert config["profiles"]["ack2016_radial"]["spatial"] == "radial"
    AnalysisConfig.from_dict(config)


def test_overrides_of_a_simulation(example):
    edit(example, "master.yaml", "'100GeV_bb_1e25': {}",
         "strong: {simfile: config/sim_100GeV_bb_1e25.yaml, nsims: 5, seed: 7}")  # fmt: skip
    strong = convert(example)[0]["simulations"]["strong"]
    assert (strong["n"], strong["seed"], strong["injected"]["channel"]) == (5, 7, "b")


def test_another_profile_makes_the_signal(example):
    edit(example, "master.yaml", "profile: ack2016", "profile: pace2018_nfw")
    config, _ = convert(example)
    assert config["simulations"]["defaults"]["profile"] == "pace2018_nfw_point"
    assert config["profiles"]["pace2018_nfw_point"]["version"] == "pace2018_nfw"


def test_without_simulations_and_random_directions(example):
    text = (example / "config/master.yaml").read_text()
    start, end = text.index("sim_defaults"), text.index("plot_channels")
    (example / "config/master.yaml").write_text(text[:start] + text[end:])
    config, _ = convert(example)
    assert "simulations" not in config
    assert "blank_fields" not in config
    assert config["bands"] == "none"
    AnalysisConfig.from_dict(config)


def test_channels_of_a_plot(example):
    edit(example, "master.yaml", "plot-dm: {}", "plot-dm: {plot_channels: [bb]}")
    assert convert(example)[0]["plots"]["kinds"]["castro"] == {"channels": ["b"]}


# ---- where files are -----------------------------------------------------------------------------


def test_files_beside_a_master_outside_of_config(example, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in (example / "config").iterdir():
        (flat / path.name).write_text(path.read_text())
    (flat / "dmsky_data" / "rosters").mkdir(parents=True)
    (flat / "dmsky_data" / "rosters" / "r.yaml").write_text(ROSTER)
    config, _ = convert_dmpipe_config(flat / "master.yaml", output=flat / "a.yaml")
    assert config == EXPECTED


@pytest.mark.parametrize("name", ["dm_spectra_dSphs", "sim_100GeV_bb_1e25", "random_dSphs"])
def test_missing_files_are_named_with_the_places(example, name):
    (example / "config" / f"{name}.yaml").unlink()
    with pytest.raises(ConfigError) as caught:
        convert(example)
    assert f"no file config/{name}.yaml; looked for" in str(caught.value)
    assert f"- {example}/config/{name}.yaml" in str(caught.value)
    assert "master.yaml" in str(caught.value)


def test_missing_fermipy_configuration_matters_only_if_named(example):
    convert(example)
    edit(example, "master.yaml", "ttype: dSphs", "ttype: dSphs\nconfig_template: config/other.yaml")
    with pytest.raises(ConfigError, match=r"configuration of fermipy: no file config/other\.yaml"):
        convert(example)


def test_roster_from_dmsky_path(example, tmp_path, monkeypatch):
    (example / "dmsky_data/rosters/roster.yaml").unlink()
    with pytest.raises(ConfigError, match=r"no roster 'test' \(did you mean") as caught:
        convert(example)
    assert f"- {example}/dmsky_data/rosters" in str(caught.value)
    other = tmp_path / "elsewhere" / "rosters"
    other.mkdir(parents=True)
    (other / "mine.yaml").write_text(ROSTER)
    assert convert(example, dmsky=tmp_path / "elsewhere")[0]["rosters"] == EXPECTED["rosters"]
    monkeypatch.setenv("DMSKY_PATH", str(tmp_path / "elsewhere"))
    assert convert(example)[0]["rosters"] == EXPECTED["rosters"]
    with pytest.raises(ConfigError, match="dmsky folder nowhere: no such folder"):
        convert(example, dmsky="nowhere")


def test_bundled_rosters_are_known(example):
    edit(example, "master.yaml", "[test]", "[ackermann2015_dsphs]")
    config, _ = convert(example)
    assert len(config["rosters"]["ackermann2015_dsphs"]) == 15


def test_own_targets_go_to_a_table(example):
    folder = example / "dmsky_data" / "targets"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        "mine:\n  v1: {j_integ: 1e19, j_sigma: 0.2, ra: 10.0, dec: -5.0, distance: 50.0}\n"
    )
    (example / "dmsky_data/rosters/roster.yaml").write_text("test: ['mine:v1']\n")
    with pytest.raises(ConfigError, match="has targets of your own.*--output"):
        convert(example)
    config, _ = convert(example, output=example / "analysis.yaml")
    assert config["rosters"] == {"test": {"file": "analysis_test.ecsv", "profile": "v1_point"}}
    (target,) = Targets.read(example / "analysis_test.ecsv")
    assert (target.name, target.log10_jfactor, target.log10_jfactor_err) == ("mine", 19.0, 0.2)
    AnalysisConfig.read(example / "analysis.yaml")


def test_own_targets_in_the_version_of_the_signal(example):
    """The signal has the J of the user's own other version, 0.5 dex above the one analysed."""
    folder = example / "dmsky_data" / "targets"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        "mine:\n"
        "  v1: {j_integ: 1e19, j_sigma: 0.2, ra: 10.0, dec: -5.0, distance: 50.0}\n"
        "  v2: {j_integ: 3.1622776601683795e19, j_sigma: 0.2, ra: 10, dec: -5, distance: 50}\n"
    )
    (example / "dmsky_data/rosters/roster.yaml").write_text("test: ['mine:v1']\n")
    edit(example, "master.yaml", "profile: ack2016", "profile: v2")
    edit(example, "master.yaml", "random: {}\n", "")
    convert(example, output=example / "analysis.yaml")
    targets = Targets.read(example / "analysis_test.ecsv")
    assert {t.version: t.log10_jfactor for t in targets} == pytest.approx({"v1": 19, "v2": 19.5})
    config = AnalysisConfig.read(example / "analysis.yaml")
    path = Path(config.datasets["fermi-lat"].path.format(target="mine", profile="v1_point"))
    path = config.folder / path
    path.parent.mkdir(parents=True)
    shutil.copy(EXAMPLE_FOLDER / "sed_draco.fits", path)
    tasks = DMAnalysis(config, output=example / "out").pipeline.tasks
    true = tasks["simulate/100GeV_bb_1e25/test/fixed/0000"].params["scenario"]["log10_jfactor"]
    assert true == pytest.approx({"mine": 19.5})


# ---- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("master.yaml", "ttype: dSphs", "ttypo: dSphs", "key 'ttype': expected the type"),
        ("master.yaml", "[test]", "[]", "key 'rosters': missing"),
        ("master.yaml", "[test]", "[tset]", r"no roster 'tset' \(did you mean 'test'\?\)"),
        ("master.yaml", "'lgauss'", "'lgaus'", "unknown prior 'lgaus', expected none"),
        ("master.yaml", "['point']", "['dot']", "unknown model 'dot', expected point"),
        ("master.yaml", "random: {}", "random: 3", "key 'random': expected 'key: value' pairs"),
        ("master.yaml", "  nsims: 20", "  nsims: many", "line 8, key 'sim_defaults.nsims'"),
        ("master.yaml", "  nsims: 20", "  nsims: 2.5", "expected a whole number, got 2.5"),
        ("dm_spectra_dSphs.yaml", "'bb'", "'bbb'", "line 1, key 'channels': Unknown channel"),
        ("dm_spectra_dSphs.yaml", "mass_nstep: 13", "n: 13", "mass_nstep': expected a whole"),
        ("dm_spectra_dSphs.yaml", "{mass_min: 10.", "[x, {a: 1.", "not valid YAML"),
        ("sim_100GeV_bb_1e25.yaml", "{value: 4}", "{value: 99}", "unknown code of a channel 99"),
        ("sim_100GeV_bb_1e25.yaml", "{value: 4}", "{value: 100}", "unknown code of a channel 100"),
        ("sim_100GeV_bb_1e25.yaml", "{value: 4}", "{value: 4.5}", "unknown code of a channel 4.5"),
        ("sim_100GeV_bb_1e25.yaml", "1.0E-25", "-1", "sigmav': expected a positive number, got -1"),
        ("sim_100GeV_bb_1e25.yaml", "    mass: {value: 100.0}\n", "", "mass': missing"),
        ("random_dSphs.yaml", "nsims: 20", "nsims: 0", "nsims': must exceed seed, got 0 and 0"),
        ("aliases.yaml", "ack2016", "[", "aliases.yaml, line"),
    ],
)  # fmt: skip
def test_mistakes_name_file_line_and_key(example, file, old, new, message):
    edit(example, file, old, new)
    with pytest.raises(ConfigError, match=message):
        convert(example)


def test_unknown_targets(example):
    path = Path(example / "dmsky_data/rosters/roster.yaml")
    path.write_text("test: ['segue_1:ackermann2016']\n")
    with pytest.raises(ConfigError, match="target 'segue_1' has no version 'ackermann2016'"):
        convert(example)


def test_text_without_a_file(example):
    text, notes = dmpipe_config_text(example / "config/master.yaml")
    config, same = convert(example)
    assert yaml.safe_load(text) == config
    assert notes == same
    assert not (example / "analysis.yaml").exists()
