"""Limits without Asimov data of profiles that flatten far out, and Asimov data of few counts."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import brentq
from scipy.special import ndtr

from dmgammapy.estimators import CastroEstimator, ExpectedLimitsEstimator, LimitStatus, intervals
from dmgammapy.makers import SimulatedDatasetMaker

from .ensemble_helpers import make_sed

MU = np.append(0, np.geomspace(1e-4, 1e5, 1801))


def uncertain(width, x):
    """Profile of a Gaussian measurement at -x, J uncertain by ``width`` dex, and its function."""
    y = np.linspace(-8 * width, 8 * width, 4001)

    def stat(mu):
        return ((np.multiply.outer(mu, 10**y) + x) ** 2 - x**2 + (y / width) ** 2).min(axis=-1)

    return stat(MU), stat


@pytest.mark.parametrize("width", [0.1, 0.2])
def test_a_profile_that_flattens(width):
    """The documented parabola through 0, mu / 2 and mu, solved by brute force."""
    values, stat = uncertain(width, 0.5)

    def tails(mu):
        q = stat(mu)
        asimov = 2 * (q - 2 * stat(mu / 2))
        ratio = np.sqrt(asimov)
        turn = (q + asimov) / (2 * ratio) if q > asimov else np.sqrt(q)
        return ndtr(-turn), ndtr(ratio - turn)

    clsb = brentq(lambda mu: tails(mu)[0] - 0.05, 0.3, 5)
    cls = brentq(lambda mu: tails(mu)[0] / tails(mu)[1] - 0.05, 0.5, 5)
    for function, expected in ((intervals.clsb, clsb), (intervals.cls, cls)):
        limit, status = function(MU, [values])
        assert_allclose(limit, expected, rtol=2e-3)
        assert status == LimitStatus.APPROXIMATE


@pytest.mark.parametrize("background", [0.05, 0.07, 0.2])
def test_asimov_data_of_few_counts_reach_below_zero(background):
    """-2 ln L of b counts at negative signals, up to near the pole where nothing is expected."""
    dataset, expectation = make_sed("one", [5.0, background], [4.0, 1.0], width=0.2)
    dataset = expectation.to_dataset(dataset, [5.0, background], negative_norm=True)
    castro = CastroEstimator([50] * u.GeV, ["b"])
    result = castro.run(dataset)
    assert result.has_negative.all()
    assert result["stat_scan_negative"].data.min() > -1e-3  # the minimum is at zero
    maker = SimulatedDatasetMaker(3, expectations={"one": expectation}, redraw_jfactor=True)
    for method in ("profile", "marginal"):
        limits = [
            ExpectedLimitsEstimator(
                castro, maker, limit_method="cls", engine=engine, stack={"method": method}
            ).simulate(dataset, realisations=[0, 1, 2])
            for engine in ("fast", "datasets")
        ]
        assert_allclose(limits[0].sigmav_ul.data, limits[1].sigmav_ul.data, rtol=3e-3)
