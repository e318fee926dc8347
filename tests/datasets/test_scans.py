"""Interpolated scans against likelihoods known in closed form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from dmgammapy.datasets.scans import LikelihoodScans


def poisson_stat(norm, signal, background, counts):
    """-2 ln L of a Poisson count, relative to zero norm."""
    with np.errstate(invalid="ignore"):
        ratio = np.log1p(norm * signal / background)
    return 2 * (norm * signal - counts * ratio)


@given(
    background=st.floats(0.05, 1e4),
    counts_over=st.floats(-2.5, 6.0),
    n_points=st.integers(8, 60),
    reach=st.floats(2.0, 30.0),
)
@settings(max_examples=60, deadline=None)
def test_poisson_scan_is_exact_between_and_beyond_points(background, counts_over, n_points, reach):
    counts = max(0.0, round(background + counts_over * np.sqrt(background)))
    # a scan from zero to where stat has risen by about ``reach``
    width = (max(counts - background, 0) + np.sqrt(reach * max(counts, 1)) + reach) / 1.0
    norm = np.linspace(0, width, n_points)
    scans = LikelihoodScans([norm], [poisson_stat(norm, 1.0, background, counts)])
    for factor in (0.013, 0.31, 0.77, 1.5, 10.0):
        x = factor * width
        exact = poisson_stat(x, 1.0, background, counts)
        got = scans.stat([x])[0] - scans.stat([0.0])[0]
        assert abs(got - exact) < 1e-4 * (1 + abs(exact))


def test_gaussian_scan_is_exact_far_beyond_its_points():
    norm = np.linspace(0, 3, 12)
    scans = LikelihoodScans([norm], [((norm - 1.2) / 0.4) ** 2])
    x = np.array([[0.05, 1.111, 2.9, 30.0, 3000.0]])
    np.testing.assert_allclose(scans.stat(x), ((x - 1.2) / 0.4) ** 2, rtol=1e-8, atol=1e-10)


def test_sum_of_poisson_pixels_is_closer_than_a_spline():
    # a bin of many pixels with different signal-to-background is no single Poisson count
    rng = np.random.default_rng(7)
    signal = rng.exponential(1.0, 60)
    background = rng.uniform(0.3, 3.0, 60)
    counts = rng.poisson(background)

    def stat(norm):
        mu = background + np.multiply.outer(norm, signal)
        return 2 * (mu - counts * np.log(mu)).sum(axis=-1)

    norm = np.linspace(0, 0.5, 20)
    scans = LikelihoodScans([norm], [stat(norm)])
    spline = CubicSpline(norm, stat(norm))
    inside, outside = np.linspace(0.004, 0.496, 41), np.array([0.75, 1.0, 2.0])
    assert np.abs(scans.stat([inside])[0] - stat(inside)).max() < 1e-4
    tangent = spline(0.5) + spline(0.5, 1) * (outside - 0.5)
    shape_error = np.abs(scans.stat([outside])[0] - stat(outside))
    assert (shape_error < 0.2 * np.abs(tangent - stat(outside))).all()
    # relative to the rise of stat: 0.5 % half a range outside, 5 % at four times the range
    rise = stat(outside) - stat(norm).min()
    assert (shape_error < np.array([0.006, 0.016, 0.055]) * rise).all()


def test_cubic_is_scipys_not_a_knot_spline():
    rng = np.random.default_rng(1)
    norm = np.sort(rng.uniform(0, 5, (3, 14)), axis=1)
    stat = rng.normal(size=(3, 14))
    scans = LikelihoodScans(norm, stat, interpolation="cubic")
    for b in range(3):
        x = np.linspace(norm[b, 0], norm[b, -1], 37)
        values = np.tile(x, (3, 1))
        expected = CubicSpline(norm[b], stat[b])(x)
        np.testing.assert_allclose(scans.stat(values)[b], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n", [3, 4, 5])
def test_short_scans(n):
    norm = np.linspace(0, 1, n)
    scans = LikelihoodScans([norm], [norm**2], interpolation="cubic")
    np.testing.assert_allclose(scans.stat([[0.3, 0.77]]), [[0.09, 0.5929]], rtol=1e-12)


def test_linear_joins_points():
    norm = np.array([[0, 1, 2, 4.0]])
    stat = np.array([[0, 3, 1, 5.0]])
    scans = LikelihoodScans(norm, stat, interpolation="linear")
    x = np.array([[0.5, 1.5, 3.0, 6.0]])
    np.testing.assert_allclose(scans.stat(x), [[1.5, 2.0, 3.0, 9.0]])


@pytest.mark.parametrize("interpolation", ["poisson", "cubic", "linear"])
def test_curve_goes_through_its_points_in_any_order(interpolation):
    rng = np.random.default_rng(3)
    norm = np.sort(rng.uniform(0, 10, (4, 9)), axis=1)
    stat = (norm - 3) ** 2 + rng.normal(0, 0.3, (4, 9))
    scans = LikelihoodScans(norm, stat, interpolation=interpolation)
    order = rng.permutation(9)
    np.testing.assert_allclose(scans.stat(norm[:, order]), stat[:, order], rtol=1e-9, atol=1e-9)


def test_rows_may_be_shorter():
    norm = np.array([[0, 1, 2, 3, 4.0], [0, 2, 4, np.nan, np.nan]])
    stat = np.array([[0, 1, 4, 9, 16.0], [0, 4, 16, np.nan, np.nan]])
    scans = LikelihoodScans(norm, stat)
    np.testing.assert_allclose(scans.norm_max, [4, 4])
    np.testing.assert_allclose(scans.stat([1.5, 1.5]), [2.25, 2.25], rtol=1e-9)


@pytest.mark.parametrize("n_points", [20, 40, 200])
@pytest.mark.parametrize("hair", [0.1, 1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize(
    ("background", "counts"), [(5.0, 1), (3.0, 2), (0.5, 1), (20.0, 12), (5.0, 8)]
)
def test_scan_down_to_where_nothing_is_expected(background, counts, hair, n_points):
    """The pole of the logarithm is found, however close to it the scan begins."""
    low = background * (1 - hair)
    high = max(counts - background, 0) + 7 * np.sqrt(counts + 3)
    norm = np.linspace(-low, high, n_points) / 4
    scans = LikelihoodScans([norm], [poisson_stat(norm, 4.0, background, counts)])
    below = background * (np.geomspace(hair, 1, 300) - 1)[1:]
    between = np.concatenate([below, np.linspace(0, high, 300)]) / 4
    expected = poisson_stat(between, 4.0, background, counts)
    near = expected < expected.min() + 30
    found = scans.stat(between[None])[0]
    np.testing.assert_allclose(found[near], expected[near], atol=1e-4)
    assert scans.norm_pole[0] == pytest.approx(-background / 4, rel=1e-6)


def test_straight_lines_have_no_pole():
    norm = np.linspace(-1, 3, 9)
    line = LikelihoodScans([norm], [8 * norm], interpolation="linear")
    assert line.norm_pole.tolist() == [-np.inf]


def test_tail_never_turns_down():
    # noise makes the last slope negative; the likelihood must not reward infinite signals
    norm = np.linspace(0, 1, 6)
    scans = LikelihoodScans([norm], [[0, 1, 2, 3, 3.1, 3.0]], interpolation="cubic")
    far = scans.stat([[1.0, 10.0, 1e6]])[0]
    assert far[0] <= far[1] + 1e-9
    assert far[1] <= far[2] + 1e-9


@pytest.mark.parametrize(
    ("norm", "stat", "message"),
    [
        ([[0, 1]], [[0, 1]], "at least 3 points"),
        ([[0, 1, 1, 2]], [[0, 1, 2, 3]], "must ascend"),
        ([[0, np.nan, 1, 2]], [[0, 1, 2, 3]], "NaN"),
        ([[0, 1, 2]], [[0, 1]], "same shape"),
    ],
)
def test_bad_scans(norm, stat, message):
    with pytest.raises(ValueError, match=message):
        LikelihoodScans(norm, stat)


def test_unknown_interpolation():
    with pytest.raises(ValueError, match="interpolation must be one of"):
        LikelihoodScans([[0, 1, 2]], [[0, 1, 2]], interpolation="quintic")
