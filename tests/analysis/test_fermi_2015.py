"""The command line on the public Fermi-LAT likelihoods gives the published combined limits."""

from pathlib import Path

import numpy as np
import pytest
from astropy.table import QTable
from click.testing import CliRunner

from dmgammapy.scripts.main import cli

CONFIG = Path(__file__).resolve().parents[2] / "tutorials" / "fermi_dsphs_2015.yaml"

# Ackermann et al. 2015 (PRL 115, 231301), combined limit for b b: mass [GeV], <sigma v> [cm3 s-1]
PUBLISHED = {
    6: 5.126e-27,
    10: 5.168e-27,
    25: 8.446e-27,
    50: 1.348e-26,
    100: 2.210e-26,
    250: 4.727e-26,
    500: 9.282e-26,
    1000: 1.932e-25,
    2500: 5.813e-25,
    5000: 1.460e-24,
    10000: 3.941e-24,
}


@pytest.fixture(scope="module")
def results(test_data, tmp_path_factory):
    """Folder and screen output of one run."""
    base = tmp_path_factory.mktemp("fermi")
    config, folder = base / CONFIG.name, base / "results"
    # figures have tests of their own
    config.write_text(CONFIG.read_text() + "\nplots: false\nreport: false\n")
    environment = {"DMGAMMAPY_TEST_DATA": str(test_data)}
    done = CliRunner().invoke(cli, ["run", str(config), "--output", str(folder)], env=environment)
    assert done.exit_code == 0, done.output
    return folder, done.output


def test_published_combined_limits(results):
    folder, _ = results
    table = QTable.read(folder / "limits.ecsv")
    combined = table[table["target"] == "combined"]
    mass = combined["mass"].to_value("GeV")
    np.testing.assert_allclose(mass, list(PUBLISHED), rtol=1e-12)
    limit = combined["sigmav_ul"].to_value("cm3 s-1")
    np.testing.assert_allclose(limit, list(PUBLISHED.values()), rtol=3e-3)
    # at the scans' coarse points a limit beyond the last one would be flagged
    assert set(combined["status"]) == {"found"}


def test_all_dwarfs_are_used_and_named(results):
    folder, screen = results
    assert "targets    15 of 15 used (fermi-lat)" in screen
    assert "Targets skipped (0)" in screen
    paths = list((folder / "castro").glob("*.fits"))
    assert len(paths) == 15
    for path in paths:
        assert f"like_{path.stem}.txt" in screen


def test_summary_file_is_what_the_screen_showed(results):
    folder, screen = results
    written = (folder / "summary.txt").read_text()
    # only the time differs: the file was written before the run had ended
    assert written.splitlines()[:-1] == screen.splitlines()[:-1]
