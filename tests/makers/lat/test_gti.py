"""Good time intervals against a count of seconds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmgammapy.makers.lat._gti import (
    as_gti,
    clip_gti,
    complement_gti,
    gti_fraction,
    gti_mask,
    intersect_gti,
    join_rows,
    merge_gti,
)

LENGTH = 40
intervals = st.lists(
    st.tuples(st.integers(0, LENGTH), st.integers(0, LENGTH)).map(sorted), max_size=6
)


def seconds(gti):
    """Brute force: which seconds of the range are good."""
    good = np.zeros(LENGTH, dtype=bool)
    for start, stop in np.asarray(gti, dtype=int).reshape(-1, 2):
        good[start:stop] = True
    return good


@given(intervals, intervals)
def test_algebra_is_that_of_sets_of_seconds(first, second):
    assert np.array_equal(seconds(merge_gti(first, second)), seconds(first) | seconds(second))
    assert np.array_equal(seconds(intersect_gti(first, second)), seconds(first) & seconds(second))
    assert np.array_equal(seconds(complement_gti(first, 0, LENGTH)), ~seconds(first))
    assert np.array_equal(seconds(clip_gti(first, 5, 30)), seconds(first) & seconds([[5, 30]]))


@given(intervals, intervals)
def test_results_ascend_and_stand_apart(first, second):
    for gti in (merge_gti(first, second), intersect_gti(first, second)):
        assert np.all(gti[:, 1] > gti[:, 0])
        assert np.all(gti[1:, 0] > gti[:-1, 1])


@given(st.lists(st.booleans(), min_size=LENGTH, max_size=LENGTH))
def test_rows_that_touch_are_joined(good):
    rows = np.flatnonzero(good)
    joined = join_rows(rows.astype(float), rows + 1.0)
    assert joined.tolist() == merge_gti(np.stack([rows, rows + 1], axis=1)).tolist()
    assert np.array_equal(seconds(joined), good)


@given(intervals)
def test_fraction_is_the_mean_of_seconds(gti):
    start = np.arange(0, LENGTH, 4.0)
    expected = seconds(gti).reshape(-1, 4).mean(axis=1)
    np.testing.assert_allclose(gti_fraction(start, start + 4, gti), expected, atol=1e-12)


def test_fraction_keeps_microseconds_over_the_whole_mission():
    start = 2.4e8 + 30.0 * np.arange(1000)
    gti = [[start[10] + 1e-3, start[990] + 10.0]]
    fraction = gti_fraction(start, start + 30, gti)
    np.testing.assert_allclose(fraction[10], 1 - 1e-3 / 30, rtol=1e-8)
    np.testing.assert_allclose(fraction[990], 1 / 3, rtol=1e-8)
    assert np.all(fraction[11:990] == 1)


def test_limits_belong_to_an_interval():
    """As in cfitsio's gtifilter."""
    time = [0.9, 1, 2, 2.1, 3, 4, 5]
    assert gti_mask(time, [[1, 2], [3, 4]]).tolist() == [
        False,
        True,
        True,
        False,
        True,
        True,
        False,
    ]


def test_tolerance_joins_across_short_gaps():
    gti = [[0, 1], [1.5, 2], [4, 5]]
    assert merge_gti(gti, tolerance=0.5).tolist() == [[0, 2], [4, 5]]


def test_empty():
    assert merge_gti([]).shape == (0, 2)
    assert intersect_gti([], [[0, 1]]).shape == (0, 2)
    assert not gti_mask([1.0], []).any()
    assert gti_fraction([0.0], [1.0], []).tolist() == [0]


@pytest.mark.parametrize(
    ("gti", "message"),
    [
        ([1, 2, 3], r"shape \(n, 2\), got \(3,\)"),
        ([[0, 1], [3, 2]], "interval 1 must be finite and start before it stops, got 3.0 to 2.0"),
        ([[0, np.nan]], "interval 0 must be finite"),
    ],
)
def test_refused(gti, message):
    with pytest.raises(ValueError, match=message):
        as_gti(gti)
