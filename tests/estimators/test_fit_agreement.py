"""The fast path against Gammapy's own fit of the same models and priors."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import Datasets
from gammapy.modeling import Fit

from dmgammapy.estimators import CastroEstimator, StackedDMLikelihood


@pytest.fixture
def datasets(make_counts, make_target):
    """Two targets of different J and width, with a mild excess."""
    return [
        make_counts(21, n_signal=0.03).dataset(make_target("draco", 18.8, 0.16)),
        make_counts(22, n_signal=0.02).dataset(make_target("segue_1", 19.3, (0.2, 0.35))),
    ]


def test_profile_is_that_of_gammapys_fit(datasets):
    castros = CastroEstimator([100] * u.GeV, ["b"]).run(datasets)
    combined = StackedDMLikelihood(castros).run()

    models = [d.models[0].spectral_model for d in datasets]
    models[1].sigmav = models[0].sigmav
    for model in models:
        model.log10_jfactor.frozen = False
    joint = Datasets(datasets)
    fit = Fit()
    result = fit.run(joint)
    assert result.success
    best = combined.sigmav.data.item()
    minimum = joint.stat_sum()
    assert models[0].sigmav.value == pytest.approx(best, rel=0.01)

    models[0].sigmav.frozen = True
    scan = combined.sigmav_scan[0, 0].value
    for factor in (0.1, 0.5, 2.0, 4.0):
        j = int(np.argmin(np.abs(np.log(scan[1:] / (factor * best))))) + 1
        models[0].sigmav.value = scan[j]
        fit.optimize(joint)
        rise = joint.stat_sum() - minimum
        assert combined.delta_stat[0, 0, j] == pytest.approx(rise, abs=2e-3)
