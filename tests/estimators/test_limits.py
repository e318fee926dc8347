"""Limits against closed forms."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import chi2, norm

from dmgammapy.estimators.limits import (
    LimitStatus,
    best_fit,
    delta_stat_interval,
    delta_stat_upper,
    interval,
    upper_limit,
)

NODES = np.arange(-5, 4, 0.025)


def rows(*functions):
    stat = np.array([f(10**NODES) for f in functions])
    return NODES, stat, np.array([float(f(0.0)) for f in functions])


def gaussian(mean, sigma):
    return lambda x: ((np.asarray(x) - mean) / sigma) ** 2


def test_levels_are_textbook():
    # one-sided 95 % of a Gaussian is 1.6449 sigma
    assert np.sqrt(delta_stat_upper(0.95)) == pytest.approx(norm.ppf(0.95), rel=1e-9)
    assert delta_stat_interval(0.9545) == pytest.approx(4.0, rel=1e-3)


@pytest.mark.parametrize("mean", [-2.0, 0.0, 0.03, 1.0, 4.0])
def test_gaussian(mean):
    nodes, stat, zero = rows(gaussian(mean, 1.0))
    best, minimum = best_fit(nodes, stat, zero)
    expected = max(mean, 0)
    assert best[0] == pytest.approx(expected, rel=1e-4, abs=1e-9)
    assert zero[0] - minimum[0] == pytest.approx(expected**2, abs=1e-5)
    limit, status = upper_limit(nodes, stat, zero, best, minimum, 2.7055, np.array([np.inf]))
    level = 2.7055 + (mean - expected) ** 2
    assert limit[0] == pytest.approx(mean + np.sqrt(level), rel=5e-6)
    assert status[0] == LimitStatus.FOUND
    low, high = interval(nodes, stat, zero, best, minimum, 1.0)
    half = np.sqrt(1 + (mean - expected) ** 2)
    assert high[0] == pytest.approx(mean + half, rel=5e-6)
    assert low[0] == pytest.approx(max(mean - half, 0), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(("counts", "background"), [(0, 1.0), (3, 0.5), (10, 12.0), (25, 9.0)])
def test_poisson_count(counts, background):
    def stat(s):
        return 2 * (s - counts * np.log(background + s))

    nodes, values, zero = rows(stat)
    best, minimum = best_fit(nodes, values, zero)
    expected = max(counts - background, 0)
    assert best[0] == pytest.approx(expected, rel=1e-4, abs=1e-12)
    limit, _ = upper_limit(nodes, values, zero, best, minimum, 3.84, np.array([np.inf]))
    exact = brentq(lambda s: stat(s) - stat(expected) - 3.84, expected + 1e-9, 1e3)
    assert limit[0] == pytest.approx(exact, rel=1e-5)


def test_very_narrow_minimum_between_nodes_is_bracketed():
    # a 30 sigma peak is narrower than 3 nodes
    nodes, stat, zero = rows(gaussian(1.03, 1.03 / 30))
    best, minimum = best_fit(nodes, stat, zero)
    limit, status = upper_limit(nodes, stat, zero, best, minimum, 2.7055, np.array([np.inf]))
    assert limit[0] == pytest.approx(1.03 * (1 + 1.6449 / 30), rel=3e-3)
    low, _ = interval(nodes, stat, zero, best, minimum, 1.0)
    assert low[0] == pytest.approx(1.03 * (1 - 1 / 30), rel=3e-3)
    assert status[0] == LimitStatus.FOUND


def test_outermost_crossing_counts():
    # two minima: the confidence set has two parts, the limit lies above both
    def stat(x):
        u = np.log10(np.maximum(x, 1e-12))
        return 40 * np.minimum((u + 2) ** 2, (u - 1) ** 2 + 0.03)

    nodes, values, zero = rows(stat)
    best, minimum = best_fit(nodes, values, zero)
    assert best[0] == pytest.approx(1e-2, rel=1e-3)
    limit, _ = upper_limit(nodes, values, zero, best, minimum, 2.7055, np.array([np.inf]))
    assert np.log10(limit[0]) == pytest.approx(1 + np.sqrt(2.7055 / 40 - 0.03), abs=1e-3)


def test_status_of_what_is_not_found():
    nodes, stat, zero = rows(
        lambda x: 0 * np.asarray(x), lambda x: 1e9 * np.asarray(x), gaussian(0, 1)
    )
    best, minimum = best_fit(nodes, stat, zero)
    limit, status = upper_limit(
        nodes, stat, zero, best, minimum, chi2.ppf(0.9, 1), np.array([np.inf, np.inf, 0.1])
    )
    assert status.tolist() == [
        LimitStatus.GRID_EDGE, LimitStatus.GRID_EDGE, LimitStatus.EXTRAPOLATED,
    ]  # fmt: skip
    assert np.isnan(limit[:2]).all()
    assert np.isfinite(limit[2])


@pytest.mark.parametrize("cl", [0.5, 1.0, 95, -1])
def test_bad_level(cl):
    with pytest.raises(ValueError, match="cl must lie between"):
        delta_stat_upper(cl)
