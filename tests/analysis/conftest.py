"""Small analyses: four of the bundled simulated dwarfs."""

import shutil

import pytest
import yaml

from dmgammapy.analysis import AnalysisConfig, DMAnalysis
from dmgammapy.analysis.example import EXAMPLE_FOLDER

CONFIG = """\
targets:
  roster: ackermann2015_dsphs
  select: [draco, segue_1, ursa_major_II, coma_berenices]
datasets: sed_{target}.fits
channels: [b, tau]
masses: [10 GeV, 100 GeV, 1 TeV]
plots: false
report: false
"""
TARGETS = ("coma_berenices", "draco", "segue_1", "ursa_major_II")


@pytest.fixture
def project(tmp_path):
    """Folder with the files of four targets and ``config.yaml``."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in TARGETS:
        shutil.copy(EXAMPLE_FOLDER / f"sed_{name}.fits", folder)
    shutil.copy(EXAMPLE_FOLDER / "truth.ecsv", folder)
    (folder / "config.yaml").write_text(CONFIG)
    return folder


@pytest.fixture
def edit(project):
    """Function that replaces text in the configuration, or adds some."""

    def change(old="", new=""):
        path = project / "config.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new) if old else text + new)
        return path

    return change


@pytest.fixture
def make(project):
    """Function that prepares an analysis in the project from changes of a small configuration.

    It has two targets, one channel and two masses; a value None takes a key out.
    """

    def prepare(output="results", **changes):
        config = {
            "targets": ["draco:ackermann2014_nfw", "segue_1:ackermann2014_nfw"],
            "datasets": "sed_{target}.fits",
            "channels": ["b"],
            "masses": ["50 GeV", "500 GeV"],
            "plots": False,
            "report": False,
        }
        config |= changes
        config = {key: value for key, value in config.items() if value is not None}
        # through text, as users write it
        path = project / "config.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return DMAnalysis(AnalysisConfig.read(path), output=project / output)

    return prepare


@pytest.fixture
def analyse(make):
    """As ``make``, and run."""

    def run(output="results", **changes):
        analysis = make(output, **changes)
        analysis.run()
        return analysis

    return run
