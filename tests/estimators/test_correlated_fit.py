"""Correlated J-factors against Gammapy's own fit with its Gaussian penalty."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import Datasets
from gammapy.modeling import Fit
from gammapy.modeling.models import Models
from gammapy.stats import GaussianPriorPenalty

from dmgammapy.estimators import CastroEstimator, StackedDMLikelihood
from dmgammapy.modeling import JFactorPrior

WIDTHS = np.array([0.16, 0.35])
JFACTORS = np.array([18.8, 19.3])


@pytest.mark.parametrize("correlation", [None, 0.8, -0.6])
def test_profile_is_that_of_gammapys_fit(make_counts, make_target, correlation):
    names = ["draco", "segue_1"]
    datasets = [
        make_counts(21, n_signal=0.03).dataset(make_target(names[0], JFACTORS[0], WIDTHS[0])),
        make_counts(22, n_signal=0.02).dataset(make_target(names[1], JFACTORS[1], WIDTHS[1])),
    ]
    castros = CastroEstimator([100] * u.GeV, ["b"]).run(datasets)
    covariance = np.diag(WIDTHS**2)
    covariance[0, 1] = covariance[1, 0] = (correlation or 0) * WIDTHS.prod()
    given = None if correlation is None else (names, covariance)
    combined = StackedDMLikelihood(castros, jfactor_covariance=given).run()

    models = [d.models[0].spectral_model for d in datasets]
    models[1].sigmav = models[0].sigmav
    parameters = [m.log10_jfactor for m in models]
    joint = Datasets(datasets)
    for p in parameters:
        p.frozen = False
    if correlation is not None:
        for model in models:
            model.jfactor_prior = None
        for dataset in datasets:  # or each would get the models of all
            dataset.models[0].datasets_names = [dataset.name]
        together = Models(joint.models)
        penalty = GaussianPriorPenalty(parameters, mean=JFACTORS, covariance=covariance)
        together.set_penalties([penalty])
        joint.models = together
    else:
        assert all(isinstance(m.jfactor_prior, JFactorPrior) for m in models)

    sigmav = models[0].sigmav
    fit = Fit()
    assert fit.run(joint).success
    minimum = joint.stat_sum()
    scan = combined.sigmav_scan[0, 0].value
    rise = combined.delta_stat[0, 0]
    # the minimum: where it is, seen from no signal, and the same point in the profile
    shifts = [p.value for p in parameters]
    best = sigmav.value
    assert best == pytest.approx(combined.sigmav.data.item(), rel=0.01)
    sigmav.value = 0.0
    for p, value in zip(parameters, JFACTORS, strict=True):
        p.value = value
    assert joint.stat_sum() - minimum == pytest.approx(rise[0], abs=1e-3)

    sigmav.frozen = True
    for factor in (0.1, 0.3, 0.6, 2.0, 4.0, 8.0):
        j = int(np.argmin(np.abs(np.log(scan[1:] / (factor * best))))) + 1
        sigmav.value = scan[j]
        for p, value in zip(parameters, shifts, strict=True):
            p.value = value
        fit.optimize(joint)
        assert rise[j] == pytest.approx(joint.stat_sum() - minimum, abs=1e-3)
