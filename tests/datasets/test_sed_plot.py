"""Pictures of `SEDLikelihoodDataset`: the numbers drawn are those of the likelihood."""

import astropy.units as u
import numpy as np
import pytest
from matplotlib import pyplot as plt
from numpy.testing import assert_allclose

from .sed_helpers import poisson_best, poisson_dataset, poisson_stat, references
from .test_sed import power_law


def test_castro_picture_shows_the_poisson_likelihood(monkeypatch):
    import dmgammapy.visualization as visualization

    drawn = {}
    real = visualization.plot_castro

    def spy(energy_edges, value_grid, delta_stat, **kwargs):
        drawn.update(kwargs, grid=value_grid, delta_stat=delta_stat)
        return real(energy_edges, value_grid, delta_stat, **kwargs)

    monkeypatch.setattr(visualization, "plot_castro", spy)
    dataset = poisson_dataset()
    ax = dataset.plot(n_values=50, delta_stat_max=8.0)
    assert ax is plt.gca()
    norm = (drawn["grid"] / references()["ref_eflux"][:, np.newaxis]).to_value("")
    expected = poisson_stat(norm) - poisson_stat(poisson_best())[:, np.newaxis]
    low = expected < 8
    assert_allclose(drawn["delta_stat"][low], expected[low], atol=1e-4)
    # every bin is covered up to the wanted height
    assert (drawn["delta_stat"][:, -1] > 8).all()
    assert_allclose(drawn["ul"], dataset.norm_ul() * dataset.ref_eflux)


@pytest.mark.parametrize("norm_type", ["eflux", "flux", "dnde"])
def test_axes_follow_the_norm_type(norm_type):
    ax = poisson_dataset(norm_type=norm_type).plot()
    label = {"eflux": "MeV cm", "flux": "Flux", "dnde": "MeV"}[norm_type]
    assert label in ax.get_ylabel()


def test_fit_picture_shows_the_model():
    dataset = poisson_dataset(models=power_law(1.5))
    ax = dataset.plot_fit()
    steps = ax.patches[0].get_data()
    expected = 1.5 * references()["ref_eflux"]
    assert_allclose(steps.values * u.Unit("MeV cm-2 s-1"), expected, rtol=1e-6)
