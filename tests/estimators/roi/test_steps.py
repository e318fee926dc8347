"""What the steps of `ROIOptimizer` move, how far, and when they stop."""

import logging

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import Datasets
from gammapy.maps import Map
from gammapy.modeling import Fit, Parameter
from gammapy.modeling.models import GaussianPrior

from dmgammapy.estimators.roi import ROIOptimizer
from dmgammapy.estimators.roi._region import Region
from dmgammapy.estimators.roi._shape_bounds import at_bound, bounded, shape_bounds
from dmgammapy.targets import Target

from .region_helpers import POSITION, make_datasets, make_models, point_source


def changed(index):
    """Counts of index 2.2 for the bright source, whose model has another one."""
    datasets = make_datasets()
    datasets.models["bright"].parameters["index"].value = index
    return datasets


def test_another_run_changes_nothing():
    datasets = changed(2.6)
    first = ROIOptimizer(npred_frac=0.5).run(datasets)
    values = np.array([p.value for p in datasets.models.parameters])
    again = ROIOptimizer(npred_frac=0.5).run(datasets)
    assert 0 <= first.stat - again.stat < 0.1
    sigma = np.array([p.error for p in datasets.models.parameters])
    moved = np.abs(np.array([p.value for p in datasets.models.parameters]) - values)
    assert (moved <= 0.1 * np.where(sigma > 0, sigma, np.inf)).all()
    assert first.steps["n_pass"].max() > 1
    assert first.converged


def test_steps_stop_at_the_minimum():
    """All norms, one by one, reach the minimum of all together."""
    datasets = make_datasets()
    for model in datasets.models:
        model.parameters[1 if model.name in ("bright", "middle", "faint") else 0].value *= 1.5
    fit = ROIOptimizer(steps=["norms"], npred_threshold=0, ts=None).run(datasets)
    best = ROIOptimizer(steps="all", ts=None).run(datasets)
    assert 0 <= fit.stat - best.stat < 0.5
    falls = [
        rows["stat_before"][0] - rows["stat"][-1]
        for rows in (fit.steps[fit.steps["n_pass"] == n] for n in set(fit.steps["n_pass"]))
    ]
    assert len(falls) == 5 or min(falls) < 0.1


def test_shape_that_gains_little_is_kept():
    datasets = make_datasets()  # counts are of these shapes
    fit = ROIOptimizer(ts=None).run(datasets)
    rows = fit.steps[fit.steps["step"] == "shapes"]
    assert datasets.models["bright"].parameters["index"].value == 2.2
    assert all(message.startswith("shape kept") for message in rows["message"])
    assert (rows["stat"] <= rows["stat_before"] + 1e-6).all()
    free = make_datasets()
    ROIOptimizer(shape_gain_threshold=0, ts=None).run(free)
    assert free.models["bright"].parameters["index"].value != 2.2


def test_shape_that_gains_is_fitted():
    datasets = changed(2.6)
    fit = ROIOptimizer(ts=None).run(datasets)
    index = datasets.models["bright"].parameters["index"]
    truth = changed(2.6)
    truth.models["bright"].parameters["index"].frozen = False
    Fit().run(truth)
    expected = truth.models["bright"].parameters["index"]
    assert index.value == pytest.approx(expected.value, abs=0.3 * expected.error)
    assert np.isnan(index.min)
    assert fit.stat == pytest.approx(datasets.stat_sum(), abs=1e-4)


def test_shape_stays_within_bounds_and_says_so(caplog):
    models = make_models()
    models[0].parameters["index"].value = 7.0  # softer than anything physical
    datasets = make_datasets(models=models)
    models[0].parameters["index"].value = 4.0
    with caplog.at_level(logging.WARNING):
        fit = ROIOptimizer(steps="shapes", ts=None, skip="middle").run(datasets)
    index = datasets.models["bright"].parameters["index"]
    assert index.value == pytest.approx(5)
    assert np.isnan([index.min, index.max]).all()
    assert "index is at its bound, 5" in fit.steps["message"][-1]
    assert "index is at its bound" in caplog.text
    assert index.error == 0


def test_bounds_are_physical_unless_given():
    assert shape_bounds(Parameter("index", 2)) == (0, 5)
    assert shape_bounds(Parameter("alpha", 2, min=1, max=3)) == (1, 3)
    assert shape_bounds(Parameter("index", 6)) == (0, 6)
    assert shape_bounds(Parameter("whatever", 6)) == (-np.inf, np.inf)
    low, high = shape_bounds(Parameter("ecut", 1 * u.TeV))
    assert (low, high) == pytest.approx((3e-5, 100))
    low, high = shape_bounds(Parameter("lambda_", 1 / u.TeV))
    assert (low, high) == pytest.approx((0, 1 / 3e-5))
    parameter = Parameter("index", 5, min=1)
    with bounded([parameter]):
        assert at_bound(parameter)
        parameter.value = 3
        assert not at_bound(parameter)
    assert parameter.min == 1
    assert np.isnan(parameter.max)


def test_errors_of_what_moved_are_those_of_the_last_fit_or_none():
    datasets = changed(2.6)
    models = datasets.models
    for model in models:
        for parameter in model.parameters:
            parameter.error = 0.1 * abs(parameter.value) + 1e-20
    datasets.models = list(models)  # takes note of the errors
    models["middle"].parameters["amplitude"].frozen = True
    fit = ROIOptimizer(ts=None).run(datasets)
    assert models["bright"].parameters["index"].value != 2.6
    assert models["bright"].parameters["index"].error == 0
    assert models["middle"].parameters["amplitude"].error == 0
    assert models["middle"].parameters["index"].error == pytest.approx(0.2)  # was not moved
    covariance = fit.covariance
    for parameter, row in zip(covariance.parameters, covariance.data, strict=True):
        if parameter.error == 0:
            assert not row.any()
    for dataset in datasets:
        own = dataset.models.covariance
        np.testing.assert_allclose(np.diag(own.data), [p.error**2 for p in own.parameters])


@pytest.mark.parametrize("frozen", [True, False])
def test_dark_matter_whose_norm_is_frozen_stays(frozen):
    target = Target("dwarf", position=POSITION, log10_jfactor=19.0, log10_jfactor_err=0.3)
    source = target.to_models(mass="100 GeV", channel="b")[0]
    sigmav = source.spectral_model.sigmav
    sigmav.value, sigmav.frozen = 3e-24, frozen
    datasets = make_datasets()
    datasets.models = [*datasets.models, source]
    fit = ROIOptimizer(npred_frac=1, npred_threshold=0, ts=None).run(datasets)
    assert (sigmav.value == 3e-24) is frozen
    assert source.name not in fit.steps["source"]


def hollow():
    """Fewer counts at a source whose norm may be negative, at energies with many others."""
    datasets = make_datasets()
    model = datasets.models["faint"]
    amplitude = model.parameters["amplitude"]
    amplitude.min = -1e-10
    amplitude.value = -1e-13
    random = np.random.default_rng(2)
    for dataset in datasets:
        npred = dataset.npred().data
        dataset.counts.data = random.poisson(np.maximum(npred, 0)).astype(float)
        dataset.mask_fit = Map.from_geom(dataset.counts.geom, dtype=bool)
        dataset.mask_fit.data[:2] = True
    amplitude.value = 1e-13
    return datasets, amplitude


def test_norm_that_may_be_negative_is_fitted_below_zero():
    datasets, amplitude = hollow()
    theirs, _ = hollow()
    fit = ROIOptimizer(steps="all").run(datasets)
    assert amplitude.value < 0
    result = Fit(optimize_opts={"tol": 0.001}).optimize(theirs)
    assert fit.stat == pytest.approx(result.total_stat, abs=5e-3)
    assert fit.stat == pytest.approx(datasets.stat_sum(), abs=1e-4)
    # and once more, from a negative start, also with the norm held
    again = ROIOptimizer(steps="all").run(datasets)
    assert again.stat == pytest.approx(fit.stat, abs=1e-4)
    amplitude.frozen = True
    held = ROIOptimizer(steps="all").run(datasets)
    assert held.stat == pytest.approx(fit.stat, abs=1e-4)


def test_negative_sums_are_told(caplog):
    datasets = make_datasets()
    model = datasets.models["faint"]
    amplitude = model.parameters["amplitude"]
    amplitude.min = -1e-10
    for dataset in datasets:
        seen = dataset.counts.geom.to_image().separation(model.position).deg < 0.5
        dataset.counts.data[:, seen] = np.floor(0.8 * dataset.counts.data[:, seen])
    with caplog.at_level(logging.WARNING):
        ROIOptimizer(steps="all", ts=None).run(datasets)
    assert amplitude.value < 0
    assert "less than nothing" in caplog.text


def test_prior_of_a_norm_that_predicts_nothing_counts_once():
    models = make_models()
    far = point_source("faint")
    far = far.copy(name="far")
    far.parameters["lat_0"].value = 10
    amplitude = far.parameters["amplitude"]
    amplitude.frozen = False
    amplitude.prior = GaussianPrior(mu=2 * amplitude.value, sigma=0.3 * amplitude.value)
    datasets = make_datasets(models=[*models, far])
    fit = ROIOptimizer(ts=None).run(datasets)
    expected = datasets.stat_sum()
    assert fit.stat == pytest.approx(expected, abs=1e-4)
    assert fit.steps["stat"][-1] == pytest.approx(expected, abs=1e-4)
    assert fit.steps["stat_before"][0] == pytest.approx(fit.stat_start)


def test_region_follows_models_that_are_replaced():
    datasets = Datasets([make_datasets()[0]])
    region = Region(datasets)
    for factor in range(1, 12):
        model = point_source("bright")
        model.parameters["amplitude"].value *= factor
        model.parameters["lat_0"].value += 0.05 * factor
        datasets.models = [model]
        expected = datasets[0].npred().data
        np.testing.assert_allclose(
            region.total(0).reshape(expected.shape), expected, rtol=1e-4, atol=1e-4
        )
        del model
    other = point_source("middle").spectral_model
    datasets.models[0].spectral_model = other
    expected = datasets[0].npred().data
    np.testing.assert_allclose(
        region.total(0).reshape(expected.shape), expected, rtol=1e-4, atol=1e-4
    )


def test_region_stat_is_that_of_gammapy_and_separate_models_are_refused():
    datasets = make_datasets()
    index = datasets.models["bright"].parameters["index"]
    index.prior = GaussianPrior(mu=2, sigma=0.1)
    assert Region(datasets).stat() == pytest.approx(datasets.stat_sum(), abs=1e-4)
    apart = make_datasets()
    apart[1].models = [m.copy(name=m.name) for m in apart[1].models]
    with pytest.raises(ValueError, match="separate models of one name, 'bright'"):
        ROIOptimizer().run(list(apart))
