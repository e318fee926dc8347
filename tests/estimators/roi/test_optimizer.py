"""`ROIOptimizer` against Gammapy's own fit, and its steps against brute force."""

import logging
import pickle

import numpy as np
import pytest
from gammapy.datasets import Datasets
from gammapy.modeling import Fit

from dmgammapy.estimators.roi import ROIOptimizer, _steps
from dmgammapy.estimators.roi._region import Region
from dmgammapy.targets import Target

from .region_helpers import POSITION, make_dataset, make_datasets, make_models


@pytest.fixture(scope="module")
def pair():
    """The same counts fitted here and by Gammapy, one index free."""
    fits = []
    for engine in ("here", "gammapy"):
        datasets = make_datasets()
        # with a diffuse tilt free, too, Minuit's errors are up to 15 % off the numerical second
        # derivatives, to which ours are compared below
        datasets.models["isotropic"].parameters["norm"].frozen = True
        datasets.models["bright"].parameters["index"].frozen = False
        for name in ("bright", "middle", "faint"):
            datasets.models[name].parameters["amplitude"].min = 0
        if engine == "here":
            fits.append((datasets, ROIOptimizer(steps="all", ts=None).run(datasets)))
        else:
            result = Fit(optimize_opts={"tol": 0.001}).run(datasets)
            assert result.success
            fits.append((datasets, result))
    return fits


def test_fit_is_that_of_gammapy(pair):
    (ours, fit), (theirs, result) = pair
    assert fit.stat == pytest.approx(result.total_stat, abs=2e-3)
    assert fit.stat == pytest.approx(ours.stat_sum(), abs=1e-5)
    assert len(fit.parameters) == len(theirs.parameters.free_parameters)
    for name in fit.parameters:
        model, _, parameter = name.rpartition(".")
        a, b = (d.models[model].parameters[parameter] for d in (ours, theirs))
        assert a.value == pytest.approx(b.value, abs=0.02 * b.error), name
        assert a.error == pytest.approx(b.error, rel=0.02), name


def test_covariance_is_that_of_gammapy(pair):
    (ours, _), (theirs, _) = pair
    a, b = (d.models.covariance for d in (ours, theirs))
    assert a.correlation.shape == b.correlation.shape
    free = [i for i, p in enumerate(a.parameters) if not p.frozen]
    inside = np.ix_(free, free)
    np.testing.assert_allclose(a.correlation[inside], b.correlation[inside], atol=0.02)


def test_errors_are_those_of_numerical_second_derivatives():
    """Diffuse norms and a tilt that are strongly correlated; -2 ln L of full cubes."""
    datasets = make_datasets()
    datasets.models["galactic"].parameters["tilt"].frozen = False
    ROIOptimizer(steps="all", ts=None).run(datasets)
    free = [p for p in datasets.models.parameters if not p.frozen]
    errors = np.array([p.error for p in free])
    region = Region(datasets)
    best = np.array([p.value for p in free])

    def stat(values):
        for parameter, value in zip(free, values, strict=True):
            parameter.value = value
        total = 0.0
        for i, terms in enumerate(region.terms):
            mu = sum(region.npred(i, m) for m in datasets.models)
            total += 2 * (mu - terms.counts * np.log(mu)).sum()
        return total

    n, h = len(free), 0.005 * errors
    hessian = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                at = best + a * h * (np.arange(n) == i) + b * h * (np.arange(n) == j)
                hessian[i, j] += a * b * stat(at) / (4 * h[i] * h[j])
    expected = np.sqrt(np.diag(2 * np.linalg.inv(hessian)))
    np.testing.assert_allclose(errors, expected, rtol=0.01)


def test_correlation_is_sorted_and_that_of_gammapy(pair):
    (_, fit), (theirs, _) = pair
    table = fit.correlation("middle")
    assert (np.diff(np.abs(table["correlation"])) <= 0).all()
    parameters = theirs.models.covariance.parameters
    k = next(i for i, p in enumerate(parameters) if p is theirs.models["middle"].parameters[1])
    for row in table:
        model, _, name = row["name"].rpartition(".")
        own = theirs.models[model].parameters[name]
        i = next(i for i, p in enumerate(parameters) if p is own)
        expected = theirs.models.covariance.correlation[i, k]
        assert row["correlation"] == pytest.approx(expected, abs=0.02)
    row = table[table["model"] == "bright"][0]
    bright, middle = (theirs.models[n].position for n in ("bright", "middle"))
    assert row["separation"] == pytest.approx(bright.separation(middle).deg)
    assert np.isnan(table["separation"][table["model"] == "galactic"]).all()


def test_ts_is_that_of_a_fit_without_the_source():
    datasets = make_datasets()
    fit = ROIOptimizer(steps="all").run(datasets)
    for name in ("faint", "middle"):
        without = datasets.copy()
        without.models = [m.copy(name=m.name) for m in datasets.models if m.name != name]
        for model in without.models:
            for parameter, own in zip(model.parameters, datasets.models[model.name].parameters,
                                      strict=True):  # fmt: skip
                parameter.frozen = own.frozen
        stat = Fit(optimize_opts={"tol": 0.001}).optimize(without).total_stat
        row = fit.sources[list(fit.sources["name"]).index(name)]
        assert row["ts"] == pytest.approx(stat - fit.stat, abs=5e-3)


def test_fixed_ts_and_npred_by_brute_force():
    datasets = make_datasets()
    fit = ROIOptimizer(steps="all", ts="fixed").run(datasets)
    for row in fit.sources:
        model = datasets.models[row["name"]]
        npred = sum(d.npred_signal([model.name]).data.sum() for d in datasets)
        assert row["npred"] == pytest.approx(npred, rel=1e-5)
        norm = model.parameters[row["parameter"]]
        value, norm.value = norm.value, 0.0
        assert row["ts"] == pytest.approx(datasets.stat_sum() - fit.stat, rel=1e-4, abs=1e-3)
        norm.value = value


def test_steps_are_those_of_fermipy():
    """Expected order and selection by hand: predicted counts from Gammapy."""
    datasets = make_datasets()
    parameters = datasets.models.parameters
    frozen = [p.frozen for p in parameters]
    datasets.models["faint"].parameters["amplitude"].value *= 3
    npred = {
        m.name: sum(d.npred_signal([m.name]).data.sum() for d in datasets) for m in datasets.models
    }
    ranked = sorted(npred, key=npred.get, reverse=True)
    part = np.cumsum([npred[name] for name in ranked]) / sum(npred.values())
    n_joint = int(np.argmax(part > 0.8)) + 1
    before = datasets.stat_sum()
    fit = ROIOptimizer(npred_frac=0.8).run(datasets)
    steps = fit.steps
    assert [p.frozen for p in parameters] == frozen
    first = steps[steps["n_pass"] == 1]
    assert list(first["step"]).count("joint") == 1
    assert steps["n_free"][0] == n_joint
    assert fit.stat_start == pytest.approx(before, abs=1e-4)
    alone = list(first["source"][first["step"] == "norms"])
    assert sorted(alone) == sorted(ranked[n_joint:])
    shaped = list(first["source"][first["step"] == "shapes"])
    assert shaped == ["bright", "middle"]  # the faint one is below 25, diffuse ones have no shape
    assert (steps["stat"] <= steps["stat_before"] + 1e-6).all()
    np.testing.assert_allclose(steps["stat_before"][1:], steps["stat"][:-1], atol=1e-5)
    assert steps["step"][-1] == "all"
    assert fit.converged


def test_skip_holds_a_model_and_max_free_sources_limits_the_first_step():
    datasets = make_datasets()
    value = datasets.models["bright"].parameters["amplitude"].value
    optimizer = ROIOptimizer(
        steps=["joint", "norms", "shapes"], skip="bright", max_free_sources=1, npred_threshold=1e4
    )
    fit = optimizer.run(datasets)
    assert fit.steps["n_free"][0] == 1
    assert "bright" not in fit.steps["source"]
    assert datasets.models["bright"].parameters["amplitude"].value == value
    assert fit.parameters == []


def test_norm_at_its_bound_has_no_error_and_no_ts():
    datasets = make_datasets()
    for dataset in datasets:  # where the source is, counts are missing
        seen = dataset.counts.geom.separation(datasets.models["faint"].position).deg < 0.6
        dataset.counts.data[:, seen] = 0
    fit = ROIOptimizer(steps="all").run(datasets)
    row = fit.sources[list(fit.sources["name"]).index("faint")]
    assert row["norm"] == 0
    assert row["ts"] == 0
    assert np.isnan(row["norm_err"])
    with pytest.raises(ValueError, match="bound"):
        fit.correlation("faint")


def test_linked_norms_are_one():
    models = make_models()
    models[1].spectral_model.amplitude = models[0].spectral_model.amplitude
    datasets = make_datasets(models=models)
    fit = ROIOptimizer(steps="all").run(datasets)
    assert len(fit.parameters) == 4
    result = Fit(optimize_opts={"tol": 0.001}).optimize(datasets)
    assert fit.stat == pytest.approx(result.total_stat, abs=2e-3)


def test_jfactor_of_a_dark_matter_source_stays():
    target = Target("dwarf", position=POSITION, log10_jfactor=19.0, log10_jfactor_err=0.3)
    source = target.to_models(mass="100 GeV", channel="b")[0]
    source.spectral_model.sigmav.value = 3e-25
    source.spectral_model.log10_jfactor.frozen = False
    datasets = make_datasets(models=[*make_models(), source])
    fit = ROIOptimizer().run(datasets)
    assert fit.target == source.name
    assert f"{source.name}.sigmav" in fit.parameters
    assert source.spectral_model.log10_jfactor.value == 19.0
    assert fit.stat == pytest.approx(datasets.stat_sum(), abs=1e-4)
    assert fit.sources["separation"][-1] == pytest.approx(0, abs=1e-9)


def test_weights_of_the_likelihood_are_heeded():
    datasets = Datasets([make_datasets()[0]])
    dataset = datasets[0]
    dataset.stat_type = "cash_weighted"
    weights = dataset.counts.copy()
    weights.data = np.linspace(0.2, 1, weights.data.size).reshape(weights.data.shape)
    dataset.mask_fit = weights
    assert Region(datasets).parameters
    fit = ROIOptimizer(steps="all", ts=None).run(datasets)
    assert fit.stat == pytest.approx(datasets.stat_sum(), abs=1e-4)


def test_values_return_after_an_error(monkeypatch):
    datasets = make_datasets()
    before = [p.value for p in datasets.models.parameters]

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(_steps.RegionSteps, "all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ROIOptimizer().run(datasets)
    assert [p.value for p in datasets.models.parameters] == before


def test_step_that_does_not_converge_is_told(monkeypatch, caplog):
    datasets = make_datasets()

    def fails(self, norm=None, nonlinear=True):
        raise RuntimeError("no minimum")

    monkeypatch.setattr(_steps.RegionLikelihood, "fit", fails)
    with caplog.at_level(logging.WARNING):
        fit = ROIOptimizer().run(datasets)
    assert "no minimum" in caplog.text
    assert not fit.converged
    bad = fit.steps[~fit.steps["converged"]]
    assert set(bad["step"]) == {"shapes", "all"}
    assert set(bad["message"]) == {"no minimum"}
    assert f"{len(bad)} not converged" in repr(fit)


def test_result_is_pickled_without_what_is_rendered():
    fit = ROIOptimizer(steps=["joint"]).run(make_datasets())
    copied = pickle.loads(pickle.dumps(fit))
    assert copied._rendered is None
    np.testing.assert_allclose(
        copied.counts_maps()["npred"].data, fit.counts_maps()["npred"].data, rtol=1e-12
    )


def test_optimizer_keeps_no_state_and_shows_its_settings():
    optimizer = ROIOptimizer(skip=["a"], ts=None)
    assert "skip=['a']" in repr(optimizer)
    optimizer = ROIOptimizer(steps="joint")
    before = repr(optimizer)
    optimizer.run(make_datasets())
    assert repr(optimizer) == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": ["joined"]}, "steps"),
        ({"steps": []}, "steps"),
        ({"npred_frac": 1.5}, "npred_frac"),
        ({"npred_threshold": -1}, "npred_threshold"),
        ({"shape_gain_threshold": -1}, "shape_gain_threshold"),
        ({"max_free_sources": 0}, "max_free_sources"),
        ({"ts": "yes"}, "ts must"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        ROIOptimizer(**settings)


def test_bad_input():
    with pytest.raises(ValueError, match="at least one dataset"):
        ROIOptimizer().run([])
    with pytest.raises(TypeError, match="got str"):
        ROIOptimizer().run(["data.fits"])
    with pytest.raises(ValueError, match="no models"):
        ROIOptimizer().run(make_dataset())
    datasets = make_datasets()
    with pytest.raises(ValueError, match="nobody"):
        ROIOptimizer(skip=["nobody"]).run(datasets)
    with pytest.raises(ValueError, match="nobody"):
        ROIOptimizer(target="nobody").run(datasets)
    datasets[0].counts.data[0, 0, 0] = -1
    with pytest.raises(ValueError, match="negative"):
        ROIOptimizer().run(datasets)


def test_correlation_needs_a_fitted_target():
    fit = ROIOptimizer(steps=["joint"]).run(make_datasets())
    with pytest.raises(ValueError, match="name the target"):
        fit.correlation()
    with pytest.raises(ValueError, match="no model"):
        fit.correlation("nobody")
    with pytest.raises(ValueError, match="was fitted"):
        fit.correlation("bright")
