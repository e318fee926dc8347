"""The Asimov data set: the best fit is the truth, and q_A has a closed form."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import Datasets

from dmgammapy.datasets import CountsLikelihood
from dmgammapy.makers import SEDExpectation, SimulatedDatasetMaker
from dmgammapy.modeling import JFactorPrior
from tests.datasets import counts_helpers
from tests.datasets.counts_helpers import map_dataset
from tests.datasets.sed_helpers import BACKGROUND, SIGNAL, poisson_dataset
from tests.makers.test_simulated_sed import make, maker, observed

SIGMAV = 5e-23 * u.Unit("cm3 s-1")


def test_sed_of_the_null_has_no_signal_and_the_closed_form():
    asimov = maker(n_points=200, delta_stat_max=30).asimov(make())
    assert asimov.ts.max() < 1e-12
    assert observed(asimov) == 18.8
    norm = np.array([0.5, 1.0, 2.0])
    signal = SIGNAL[:, None] * norm
    b = BACKGROUND[:, None]
    # 2 [s - b ln(1 + s / b)], Cowan et al. 2011 with n = b
    expected = 2 * (signal - b * np.log1p(signal / b))
    got = asimov.scans.stat(np.broadcast_to(norm, (4, 3)))
    np.testing.assert_allclose(got, expected, rtol=2e-4)
    np.testing.assert_allclose(asimov.stat, 2 * (BACKGROUND - BACKGROUND * np.log(BACKGROUND)))


def test_sed_with_a_signal_has_its_best_fit_at_the_truth():
    sigmav = 4e-24 * u.Unit("cm3 s-1")
    simulation = maker(sigmav=sigmav, n_points=300, delta_stat_max=30).prepare(make())
    asimov = simulation.asimov()
    truth = maker(sigmav=sigmav, redraw_jfactor=False).prepare(make()).draws([0])[0]
    np.testing.assert_allclose(asimov.norm, truth.norm[0], rtol=1e-4)
    # the discovery q of a bin: 2 [(s + b) ln(1 + s / b) - s], Cowan et al. 2011, eq. 97
    s = SIGNAL * truth.norm[0]
    q = 2 * ((s + BACKGROUND) * np.log1p(s / BACKGROUND) - s)
    np.testing.assert_allclose(asimov.ts, q, rtol=1e-3)


def test_observed_j_is_the_true_one():
    assert observed(maker(log10_jfactor={"dwarf": 19.3}).asimov(make())) == 19.3
    assert observed(maker(log10_jfactor="prior").asimov(make())) == 18.8
    free = make()
    free.models[0].spectral_model.jfactor_prior = None
    asimov = maker(log10_jfactor={"dwarf": 19.3}).asimov(free)
    assert asimov.models[0].spectral_model.log10_jfactor.value == 19.3


@pytest.mark.parametrize("kind", ["map", "onoff"])
def test_counts_have_their_best_fit_at_the_truth(kind):
    options = {}
    if kind == "map":
        dataset = map_dataset(width=0.8, sigmav=1e-24)
    else:
        dataset = counts_helpers.on_off_dataset(sigmav=1e-24)
        background = np.geomspace(60, 0.05, 8)[:, None, None]
        options["backgrounds"] = {dataset.name: background}
    asimov = SimulatedDatasetMaker(1, sigmav=SIGMAV, **options).asimov(dataset)
    assert asimov.counts.data.dtype == float
    assert (asimov.counts.data != np.rint(asimov.counts.data)).any()
    if kind == "onoff":
        np.testing.assert_allclose(asimov.counts_off.data, 5 * background, rtol=1e-12)
    # derivative of Gammapy's own statistic, per unit of its curvature: shift in sigmav
    strength = asimov.models["dwarf"].spectral_model.sigmav
    step = 0.02
    stat = []
    for factor in (1 - step, 1, 1 + step):
        strength.value = SIGMAV.value * factor
        stat.append(Datasets([asimov]).stat_sum())
    slope = (stat[2] - stat[0]) / (2 * step)
    curvature = (stat[2] - 2 * stat[1] + stat[0]) / step**2
    assert curvature > 1
    # the central difference of a cubic term is of order step^2
    assert abs(slope / curvature) < 2 * step**2
    strength.value = SIGMAV.value
    fit = CountsLikelihood.from_datasets(asimov, free="fixed").fit()
    assert fit.values["dwarf.sigmav"] == pytest.approx(SIGMAV.value, rel=2e-5)


def test_a_bin_of_on_off_data_in_closed_form():
    dataset = counts_helpers.on_off_dataset()
    background = np.geomspace(60, 0.05, 8)[:, None, None]
    asimov = SimulatedDatasetMaker(
        1, backgrounds={dataset.name: background}, redraw_jfactor=True
    ).asimov(dataset)
    asimov.models["dwarf"].spectral_model.sigmav.value = 0
    # n_on = b and n_off = b / alpha: W is 0 at no signal
    assert asimov.stat_sum() == pytest.approx(0, abs=1e-9)


def test_one_of_a_kind():
    datasets = Datasets([make("dwarf"), make("other")])
    asimov = maker().asimov(datasets)
    assert isinstance(asimov, Datasets)
    assert asimov.names == ["dwarf", "other"]
    # no counts expected, in the limit of no background
    nearly = SEDExpectation([1e-9], [1.0])
    norm, stat = nearly.scan([1e-9], 20, 9)
    np.testing.assert_allclose(stat[0], 2 * norm[0], rtol=1e-6)


def test_tabulated_prior_is_kept():
    grid = np.linspace(18.0, 19.6, 81)
    dataset = make()
    prior = JFactorPrior.from_table(grid, stat=((grid - 18.8) / 0.25) ** 2)
    dataset.models[0].spectral_model.jfactor_prior = prior
    asimov = maker().asimov(dataset)
    assert asimov.models[0].spectral_model.jfactor_prior == prior
    moved = maker(log10_jfactor={"dwarf": 18.0}).asimov(dataset)
    assert observed(moved) == 18.0


def test_the_ensemble_around_it_agrees():
    # the mean of drawn counts is the Asimov's
    simulation = maker(sigmav=4e-24 * u.Unit("cm3 s-1"), redraw_jfactor=False).prepare(
        poisson_dataset("dwarf", models=make().models)
    )
    draws = simulation.draws(range(3000))[0]
    expected = draws.mean[0]
    pull = (draws.counts.mean(axis=0) - expected) / np.sqrt(expected / 3000)
    assert np.abs(pull).max() < 4
