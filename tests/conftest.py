"""Fixtures shared by all rooms' tests."""

import os
from pathlib import Path

import matplotlib
import pytest

matplotlib.use("Agg")

REPOSITORY = Path(__file__).resolve().parents[1]


def find_test_data():
    """Folder of the published and reference data, or None when it is absent."""
    given = os.environ.get("DMGAMMAPY_TEST_DATA")
    folder = Path(given) if given else REPOSITORY.parent / "shared" / "data"
    return folder if (folder / "README.md").exists() else None


@pytest.fixture(scope="session")
def test_data():
    """Path of the reference data; the test is skipped where it is absent."""
    folder = find_test_data()
    if folder is None:
        pytest.skip("reference data absent: set DMGAMMAPY_TEST_DATA or put it at ../shared/data")
    return folder
