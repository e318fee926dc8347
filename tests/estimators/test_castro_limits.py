"""Limits of `CastroMaps` by every method, against closed forms."""

from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from gammapy.maps import LabelMapAxis, MapAxis, RegionGeom, RegionNDMap
from scipy.stats import norm, truncnorm

from dmgammapy.estimators import CastroMaps, LimitStatus
from dmgammapy.estimators.unified_intervals import gaussian_interval

UNIT = u.Unit("cm3 s-1")
SIGMA = np.array([[1e-26, 3e-26, 2e-25]])  # one channel, three masses
X = np.array([[-1.0, -0.3, 1.5]])  # best fits in sigma
MASSES = [10, 100, 1000] * u.GeV
GRID = np.append(0, 10 ** np.arange(-29, -21, 0.05))


def make(x=X, grid=GRID, **settings):
    """Gaussian profiles; strengths of every mass in units of its sigma."""
    strengths = grid * SIGMA[..., None] / 1e-26
    stat = (strengths / SIGMA[..., None] - np.asarray(x)[..., None]) ** 2
    return CastroMaps.from_scan(strengths * UNIT, stat, MASSES, ["b"], **settings)


def add_negative(castro, x=X, rows=(True, True, True)):
    """The same profiles below zero, in units of another reference."""
    nodes = -(10 ** np.arange(2, -3, -0.05))
    reference = 0.7 * SIGMA
    strength = reference[..., None] * nodes
    x = np.asarray(x)
    stat = (strength / SIGMA[..., None] - x[..., None]) ** 2
    stat -= np.where(x > 0, 0.0, x**2)[..., None]  # relative to the minimum at strength >= 0
    stat[:, ~np.array(rows)] = np.nan
    axis = MapAxis.from_nodes(nodes, name="norm_negative", interp="lin")
    maps = castro.to_maps()
    maps["reference_negative"] = RegionNDMap(castro.geom, reference[..., None, None], unit=UNIT)
    geom = RegionGeom(None, axes=[axis, *castro.geom.axes])
    maps["stat_scan_negative"] = RegionNDMap(geom, stat[..., None, None])
    return CastroMaps(maps, castro.meta)


def value(m):
    return m.quantity[..., 0, 0].to_value(UNIT)


CLS = SIGMA * (X + norm.isf(0.05 * norm.cdf(X)))
CLSB = SIGMA * (X + norm.ppf(0.95))
CLSB_LEAST = SIGMA * np.maximum(X + norm.ppf(0.95), norm.ppf(0.95) - 1)
PROFILE = SIGMA * np.where(X > 0, X + norm.ppf(0.95), X + np.sqrt(X**2 + norm.ppf(0.95) ** 2))
UNIFIED = SIGMA * np.array(gaussian_interval(X, 0.95))
LIMITS = {
    "profile": PROFILE,
    "cls": CLS,
    "clsb": CLSB,
    "power_constrained": CLSB_LEAST,
    "feldman_cousins": UNIFIED[1],
}


@pytest.mark.parametrize("method", LIMITS)
def test_textbook_limits(method):
    """Within 0.5 % of Read 2002, arXiv:1105.3166, Feldman & Cousins 1998."""
    uses = {} if method == "profile" else {"asimov": make(np.zeros_like(X))}
    limit, status = make().upper_limit_and_status(method=method, **uses)
    assert limit.unit == UNIT
    np.testing.assert_allclose(value(limit), LIMITS[method], rtol=1e-3)
    assert (status.data == LimitStatus.FOUND).all()
    # the negative part says the same
    limit, status = add_negative(make()).upper_limit_and_status(method=method)
    np.testing.assert_allclose(value(limit), LIMITS[method], rtol=1e-3)
    assert (status.data == LimitStatus.FOUND).all()


def test_without_width_it_says_so():
    limit, status = make().upper_limit_and_status(method="cls")
    np.testing.assert_allclose(value(limit), CLS, rtol=1e-3)  # exact for a parabola
    guessed, found = LimitStatus.APPROXIMATE, LimitStatus.FOUND
    assert list(status.data.ravel()) == [guessed, guessed, found]
    castro = add_negative(make(), rows=(True, False, True))
    _, status = castro.upper_limit_and_status(method="cls")
    assert list(status.data.ravel()) == [found, guessed, found]


def test_asimov_on_other_strengths():
    """Interpolated; another reference and other nodes."""
    asimov = make(np.zeros_like(X), grid=np.append(0, 10 ** np.arange(-28.9, -20.7, 0.031)))
    limit = make().upper_limit(0.9, "cls", asimov=asimov)
    expected = SIGMA * (X + norm.isf(0.1 * norm.cdf(X)))
    np.testing.assert_allclose(value(limit), expected, rtol=1e-3)


def test_one_asimov_for_many_realisations():
    data = [make(X + d) for d in (0.0, -0.5)]
    axis = LabelMapAxis(["a", "b"], name="realisation")
    limit = CastroMaps.from_stack(data, axis).upper_limit(
        method="cls", asimov=make(np.zeros_like(X))
    )
    for i, d in enumerate((0.0, -0.5)):
        expected = SIGMA * (X + d + norm.isf(0.05 * norm.cdf(X + d)))
        np.testing.assert_allclose(value(limit)[i], expected, rtol=1e-3)


def test_asimov_without_information_is_not_used():
    empty = np.array([[True, False, False]])
    asimov = make(np.zeros_like(X), empty=empty)
    _, status = make().upper_limit_and_status(method="cls", asimov=asimov)
    assert status.data.ravel()[0] == LimitStatus.APPROXIMATE
    assert status.data.ravel()[1] == LimitStatus.FOUND


@pytest.mark.parametrize("method", LIMITS)
def test_empty_and_extrapolated_rows(method):
    """A limit is no better than the scans it rests on, by whatever method."""
    empty = np.array([[True, False, False]])
    beyond = 0.5 * SIGMA * UNIT
    beyond[0, 2] = np.inf * UNIT
    limit, status = make(empty=empty, extrapolated=beyond).upper_limit_and_status(method=method)
    assert list(status.data.ravel()) == [
        LimitStatus.NO_INFORMATION, LimitStatus.EXTRAPOLATED, LimitStatus.FOUND,
    ]  # fmt: skip
    assert np.isnan(value(limit)[0, 0])
    np.testing.assert_allclose(value(limit)[0, 1:], LIMITS[method][0, 1:], rtol=1e-3)


def test_asimov_extrapolation_counts():
    asimov = make(np.zeros_like(X), extrapolated=0.5 * SIGMA * UNIT)
    _, status = make().upper_limit_and_status(method="cls", asimov=asimov)
    assert (status.data == LimitStatus.EXTRAPOLATED).all()


def test_intervals():
    lower, upper, status = make().interval_and_status(
        0.95, method="feldman_cousins", asimov=make(np.zeros_like(X))
    )
    np.testing.assert_allclose(value(lower), UNIFIED[0], rtol=1e-3, atol=1e-30)
    np.testing.assert_allclose(value(upper), UNIFIED[1], rtol=1e-3)
    assert (status.data == LimitStatus.FOUND).all()
    lower, upper = make().interval(0.6827)
    half = np.sqrt(1 + np.minimum(X, 0) ** 2)
    np.testing.assert_allclose(value(upper), SIGMA * (X + half), rtol=1e-3)
    np.testing.assert_allclose(value(lower), SIGMA * np.maximum(X - half, 0), rtol=1e-3)


def test_bayesian():
    """A truncated normal distribution; its limit is that of CLs."""
    castro = make()
    limit, status = castro.credible_upper_limit_and_status(0.95)
    np.testing.assert_allclose(value(limit), CLS, rtol=1e-3)
    assert (status.data == LimitStatus.FOUND).all()
    np.testing.assert_array_equal(value(castro.credible_upper_limit(0.95)), value(limit))
    density = castro.posterior()
    assert density.unit == 1 / UNIT
    scan = castro.strength_scan.to_value(UNIT)
    for i in range(3):
        x, sigma = X[0, i], SIGMA[0, i]
        expected = truncnorm.pdf(scan[0, i], -x, np.inf, loc=sigma * x, scale=sigma)
        found = density.quantity[0, i, :, 0, 0].to_value(1 / UNIT)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6 / sigma)


def test_unbounded_fit():
    best, stat = make().unbounded_fit()
    assert np.isnan(value(best)[0, :2]).all()  # their minimum is not on the scan
    assert value(best)[0, 2] == pytest.approx(SIGMA[0, 2] * X[0, 2], rel=1e-3)
    castro = add_negative(make())
    best, stat = castro.unbounded_fit()
    np.testing.assert_allclose(value(best), SIGMA * X, rtol=1e-3)
    np.testing.assert_allclose(stat.data.ravel(), 0.0, atol=1e-4)


def gaussian_toys(n_toy=20000):
    rng = np.random.default_rng(11)
    mu = np.linspace(0, 8, 81)[:, None]
    noise = rng.normal(size=(1, 3, 1, n_toy))

    def statistics(best):
        t = (mu - best) ** 2 - np.minimum(best, 0) ** 2
        return np.where(best > mu, 0.0, t), t

    (q_signal, t_signal), (q_null, _) = statistics(mu + noise), statistics(noise + 0 * mu)
    strengths = SIGMA[..., None] * mu[:, 0] * UNIT
    return SimpleNamespace(strengths=strengths, q_signal=q_signal, q_null=q_null, t_signal=t_signal)


def test_toys():
    """20 000 Gaussian data sets: statistical error of some per cent."""
    toys, castro = gaussian_toys(), make()
    limit, status = castro.upper_limit_and_status(method="toys", toys=toys)
    np.testing.assert_allclose(value(limit), CLS, rtol=0.03)
    assert (status.data == LimitStatus.FOUND).all()
    limit, _ = castro.upper_limit_and_status(method="toys_clsb", toys=toys)
    np.testing.assert_allclose(value(limit), CLSB, rtol=0.05)
    lower, upper = castro.interval(0.95, method="feldman_cousins", toys=toys)
    np.testing.assert_allclose(value(lower), UNIFIED[0], rtol=0.05)
    np.testing.assert_allclose(value(upper), UNIFIED[1], rtol=0.03)
    upper = castro.upper_limit(0.95, "feldman_cousins", toys=toys)
    np.testing.assert_allclose(value(upper), UNIFIED[1], rtol=0.03)


def test_bad_input():
    castro, toys = make(), gaussian_toys(10)
    with pytest.raises(ValueError, match="method must be one of"):
        castro.upper_limit(method="bayes")
    with pytest.raises(ValueError, match="needs toys"):
        castro.upper_limit(method="toys")
    with pytest.raises(ValueError, match="does not use toys"):
        castro.upper_limit(method="cls", toys=toys)
    with pytest.raises(ValueError, match="does not use asimov"):
        castro.upper_limit(asimov=castro)
    with pytest.raises(ValueError, match="delta_stat"):
        castro.upper_limit(method="cls", delta_stat=2.7)
    with pytest.raises(ValueError, match="J treatment is marginal, that of the data none"):
        castro.upper_limit(method="cls", asimov=make(jfactor_method="marginal"))
    with pytest.raises(ValueError, match="masses differ"):
        castro.upper_limit(method="cls", asimov=castro.slice_by_idx({"mass": [0]}))
    with pytest.raises(ValueError, match="toys.strengths"):
        castro.slice_by_idx({"mass": [0]}).upper_limit(method="toys", toys=toys)
    maps = castro.to_maps()
    del maps["stat_scan"]
    with pytest.raises(ValueError, match="no 'stat_scan'"):
        CastroMaps(maps, castro.meta).upper_limit()
