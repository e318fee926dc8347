"""The bundled example: what it says it is."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from scipy.stats import chi2

from dmgammapy.analysis.example import (
    EDGES,
    EXAMPLE_FOLDER,
    YEARS,
    expected_background,
    exposure,
    psf_area,
    write_example,
)
from dmgammapy.datasets import SEDLikelihoodDataset


@pytest.fixture(scope="module")
def truth():
    """Rows of all targets and energy bins."""
    return QTable.read(EXAMPLE_FOLDER / "truth.ecsv")


def test_bundled_files_come_from_the_script(tmp_path):
    write_example(tmp_path)
    paths = sorted(tmp_path.glob("sed_*.fits"))
    assert len(paths) == 15
    for path in paths:
        new = fits.getdata(path, 1)
        old = fits.getdata(EXAMPLE_FOLDER / path.name, 1)
        for name in ("norm_scan", "dloglike_scan", "loglike", "ref_npred", "ref_eflux"):
            # not bit for bit: exp and log differ between processors
            np.testing.assert_allclose(new[name], old[name], rtol=1e-9, atol=1e-9)
    new = QTable.read(tmp_path / "truth.ecsv")
    old = QTable.read(EXAMPLE_FOLDER / "truth.ecsv")
    np.testing.assert_array_equal(new["counts"], old["counts"])
    np.testing.assert_array_equal(new["target"], old["target"])
    np.testing.assert_allclose(new["background"], old["background"], rtol=1e-12)


def test_seed_decides_all_bytes(tmp_path):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        (tmp_path / name).mkdir()
        write_example(tmp_path / name, seed=seed)
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
        assert path.read_bytes() != (tmp_path / "c" / path.name).read_bytes()


def test_size_of_the_bundled_folder():
    assert sum(p.stat().st_size for p in EXAMPLE_FOLDER.rglob("*") if p.is_file()) < 1e6


def test_no_half_written_files(tmp_path):
    (tmp_path / "truth.ecsv").write_text("mine")
    with pytest.raises(FileExistsError, match=r"truth\.ecsv"):
        write_example(tmp_path)
    assert (tmp_path / "truth.ecsv").read_text() == "mine"


def test_response_is_that_of_the_tables():
    """Values of P8R3_SOURCE_V3 FRONT+BACK at 1, 10 and 100 GeV: exposure of a year, r68."""
    energy = np.array([1e3, 1e4, 1e5])
    np.testing.assert_allclose(exposure(energy) / YEARS, [3.99e10, 4.38e10, 4.43e10], rtol=1e-9)
    # a Gaussian's r68 is 1.5096 sigma
    sigma = np.deg2rad([0.781, 0.152, 0.097]) / 1.5096
    np.testing.assert_allclose(psf_area(energy), 4 * np.pi * sigma**2, rtol=1e-4)


def test_background_by_hand():
    """Bin 9 (6.7 to 8.9 GeV) of a source at b = 90 deg from the values at its centre."""
    low, high = EDGES[9:11]
    center = np.sqrt(low * high)
    fraction = np.log(center / 3e3) / np.log(1e4 / 3e3)
    intensity = 4.4e-4 * (3.7 / 4.4) ** fraction + 5.0e-4 * (2.4 / 5.0) ** fraction
    by_hand = intensity / center**2 * (high - low) * exposure(center) * psf_area(center)
    np.testing.assert_allclose(expected_background(90.0)[9], by_hand, rtol=0.03)
    # the Galactic part alone grows with 1 / sin|b|
    galactic = expected_background(30.0) - expected_background(90.0)
    again = expected_background(-np.rad2deg(np.arcsin(0.25))) - expected_background(30.0)
    np.testing.assert_allclose(again / galactic, 2.0, rtol=1e-9)


def test_counts_are_poisson(truth):
    """Pearson's chi2 of all bins with at least 5 expected counts."""
    large = truth["background"] > 5
    expected, counts = truth["background"][large], truth["counts"][large]
    statistic = np.sum((counts - expected) ** 2 / expected)
    assert 0.01 < chi2.sf(statistic, large.sum()) < 0.99


def test_files_hold_the_exact_likelihood(truth):
    """Scans against -2 ln L of Poisson counts, computed from the truth table."""
    for name in ("draco", "segue_1", "fornax"):
        rows = truth[truth["target"] == name]
        dataset = SEDLikelihoodDataset.read(EXAMPLE_FOLDER / f"sed_{name}.fits")
        assert dataset.name == name
        assert dataset.instrument == "fermi-lat"
        np.testing.assert_allclose(dataset.energy_edges[:-1].to_value("MeV"), rows["e_min"].value)
        for b, row in enumerate(rows):
            mu = row["background"] + dataset.norm_scan[b] * row["npred"]
            stat = 2 * (mu - row["counts"] * np.log(mu))
            absolute = dataset.stat_scan[b] + dataset.stat[b]
            np.testing.assert_allclose(absolute, stat, rtol=1e-10, atol=1e-9)
            # the scan ends at a drop of 2.7 in ln L
            assert dataset.stat_scan[b, -1] == pytest.approx(5.4, abs=1e-6)
