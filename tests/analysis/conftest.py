"""A small analysis: four of the bundled simulated dwarfs."""

import shutil

import pytest

from dmgammapy.analysis.example import EXAMPLE_FOLDER

CONFIG = """\
targets:
  roster: ackermann2015_dsphs
  select: [draco, segue_1, ursa_major_II, coma_berenices]
datasets: sed_{target}.fits
channels: [b, tau]
masses: [10 GeV, 100 GeV, 1 TeV]
plots: false
"""
TARGETS = ("coma_berenices", "draco", "segue_1", "ursa_major_II")


@pytest.fixture
def project(tmp_path):
    """Folder with the files of four targets and ``config.yaml``."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in TARGETS:
        shutil.copy(EXAMPLE_FOLDER / f"sed_{name}.fits", folder)
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
