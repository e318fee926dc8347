"""Texts and views of the pictures of results."""

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
import pytest

from dmgammapy.estimators import CastroMaps, StackedDMLikelihood

GRID = np.append(0, 10.0 ** np.arange(-31, -20, 0.025)) * u.Unit("cm3 s-1")


def gaussian(target, instrument=None, grid=GRID):
    """No signal, 1 sigma = 1e-26 cm3 / s: the limit is 1.645e-26."""
    stat = ((grid.value / 1e-26) ** 2).reshape(1, 1, -1)
    return CastroMaps.from_scan(
        grid, stat, [100] * u.GeV, ["b"], target=target, instrument=instrument, log10_jfactor=18.8
    )


@pytest.fixture
def stack():
    """Two targets, one of which two instruments saw."""
    castros = [gaussian("draco", "lat"), gaussian("draco", "magic"), gaussian("segue_1", "lat")]
    return StackedDMLikelihood(castros, method="fixed")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_targets_are_counted_not_results(stack, tmp_path):
    combined = stack.run()
    combined.write(tmp_path / "combined.fits")
    for castro in (combined, CastroMaps.read(tmp_path / "combined.fits")):
        assert castro.meta.n_targets == 2
        assert "2 targets, 3 results" in repr(castro)
        assert castro.plot_profile().get_title().startswith("2 targets, ")
        plt.close("all")
    draco = stack.target_maps["draco"]
    assert draco.meta.n_targets == 1
    assert draco.plot_limits().get_title().startswith("draco, ")
    assert "draco, 2 results" in repr(draco)


def test_targets_of_older_files_and_of_none(stack):
    combined = stack.run()
    combined.meta.contributors = {
        name: {k: v for k, v in entry.items() if k != "target"}
        for name, entry in combined.meta.contributors.items()
    }
    assert combined.meta.about == "3 targets"
    combined.meta.contributors = {}
    assert (combined.meta.n_targets, combined.meta.about) == (0, "unknown target")


def test_profile_is_shown_around_the_limit(stack):
    limit = 1e-26 * np.sqrt(2.705543 / 3)
    ax = stack.run().plot_profile(components=stack.target_maps)
    np.testing.assert_allclose(ax.get_xlim(), [1e-3 * limit, 30 * limit], rtol=1e-4)
    plt.close("all")
    # not beyond what was scanned
    grid = np.append(0, np.geomspace(1e-27, 1e-25, 200)) * GRID.unit
    ax = gaussian("draco", grid=grid).plot_profile()
    np.testing.assert_allclose(ax.get_xlim(), [1e-27, 1e-25], rtol=1e-9)
    plt.close("all")
    # without a limit all of it
    grid = np.append(0, np.geomspace(1e-28, 1e-26, 200)) * GRID.unit
    ax = gaussian("draco", grid=grid).plot_profile()
    np.testing.assert_allclose(ax.get_xlim(), [1e-28, 1e-26], rtol=1e-9)
