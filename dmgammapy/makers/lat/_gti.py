"""Algebra of good time intervals: arrays of shape (n, 2), start and stop in seconds."""

import numpy as np

__all__ = [
    "as_gti",
    "clip_gti",
    "complement_gti",
    "gti_fraction",
    "gti_mask",
    "intersect_gti",
    "join_rows",
    "merge_gti",
]


def as_gti(gti):
    """Check and convert to an array.

    Parameters
    ----------
    gti : array-like, shape (n, 2)
        Start and stop [s].

    Returns
    -------
    gti : array, shape (n, 2)

    Raises
    ------
    ValueError
        If the shape is another, a time is not finite, or an interval stops before it starts.
    """
    gti = np.asarray(gti, dtype=float)
    if gti.size == 0:
        return np.zeros((0, 2))
    if gti.ndim != 2 or gti.shape[1] != 2:
        raise ValueError(f"good time intervals must have the shape (n, 2), got {gti.shape}.")
    bad = np.flatnonzero(~np.isfinite(gti).all(axis=1) | (gti[:, 1] < gti[:, 0]))
    if len(bad):
        row = bad[0]
        raise ValueError(
            f"good time interval {row} must be finite and start before it stops, "
            f"got {gti[row, 0]} to {gti[row, 1]} s ({len(bad)} such intervals)."
        )
    return gti


def merge_gti(*gtis, tolerance=0.0):
    """Union of good time intervals, ascending, with those that touch joined.

    Parameters
    ----------
    *gtis : array-like, shape (n, 2)
        Intervals in any order, also overlapping [s].
    tolerance : float
        Intervals closer than this are joined [s]. Default is 0, joined when they touch.

    Returns
    -------
    gti : array, shape (m, 2)

    Examples
    --------
    >>> from dmgammapy.makers.lat._gti import merge_gti
    >>> merge_gti([[20, 30], [0, 10]], [[10, 15]]).tolist()
    [[0.0, 15.0], [20.0, 30.0]]
    """
    gti = np.concatenate([as_gti(gti) for gti in gtis]) if gtis else np.zeros((0, 2))
    start, stop = np.ascontiguousarray(gti[:, 0]), np.ascontiguousarray(gti[:, 1])
    if not np.all(stop > start):
        start, stop = start[gti[:, 1] > gti[:, 0]], stop[gti[:, 1] > gti[:, 0]]
    if len(start) == 0:
        return np.zeros((0, 2))
    # rows of 15 years are in order already
    if not np.all(start[1:] >= start[:-1]):
        order = np.argsort(start, kind="stable")
        start, stop = start[order], stop[order]
    latest = np.maximum.accumulate(stop)
    is_new = start[1:] > latest[:-1] + tolerance
    if is_new.all():
        return np.stack([start, stop], axis=1)
    first = np.flatnonzero(np.concatenate([[True], is_new]))
    last = np.concatenate([first[1:], [len(start)]]) - 1
    return np.stack([start[first], latest[last]], axis=1)


def join_rows(start, stop):
    """Join rows that touch, which ascend and don't overlap; for millions of them.

    Parameters
    ----------
    start, stop : array, shape (n,)
        Rows [s].

    Returns
    -------
    gti : array, shape (m, 2)

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.makers.lat._gti import join_rows
    >>> join_rows(np.array([0.0, 30.0, 90.0]), np.array([30.0, 60.0, 120.0])).tolist()
    [[0.0, 60.0], [90.0, 120.0]]
    """
    if len(start) == 0:
        return np.zeros((0, 2))
    border = np.flatnonzero(start[1:] > stop[:-1])
    first, last = np.append(0, border + 1), np.append(border, len(start) - 1)
    return np.stack([start[first], stop[last]], axis=1)


def complement_gti(gti, start, stop):
    """What is not in ``gti`` between ``start`` and ``stop``.

    Parameters
    ----------
    gti : array-like, shape (n, 2)
        Intervals [s].
    start, stop : float
        Range [s].

    Returns
    -------
    gaps : array, shape (m, 2)

    Examples
    --------
    >>> from dmgammapy.makers.lat._gti import complement_gti
    >>> complement_gti([[2, 3], [5, 8]], 0, 8).tolist()
    [[0.0, 2.0], [3.0, 5.0]]
    """
    gti = merge_gti(gti)
    edges = np.concatenate([[start], np.clip(gti.ravel(), start, stop), [stop]]).reshape(-1, 2)
    return edges[edges[:, 1] > edges[:, 0]]


def intersect_gti(first, second):
    """Times in both sets of good time intervals.

    Parameters
    ----------
    first, second : array-like, shape (n, 2)
        Intervals in any order [s].

    Returns
    -------
    gti : array, shape (m, 2)
        Ascending, none of zero length. Intervals of a set that touch count as one, so the
        result has no cut that neither set had.

    Examples
    --------
    >>> from dmgammapy.makers.lat._gti import intersect_gti
    >>> intersect_gti([[0, 10], [20, 30]], [[5, 25]]).tolist()
    [[5.0, 10.0], [20.0, 25.0]]
    """
    first, second = merge_gti(first), merge_gti(second)
    # each interval of `first` meets a contiguous run of `second`
    low = np.searchsorted(second[:, 1], first[:, 0], side="right")
    high = np.searchsorted(second[:, 0], first[:, 1], side="left")
    count = np.maximum(high - low, 0)
    index = np.repeat(np.arange(len(first)), count)
    offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    other = low[index] + offset
    return np.stack(
        [
            np.maximum(first[index, 0], second[other, 0]),
            np.minimum(first[index, 1], second[other, 1]),
        ],
        axis=1,
    )


def clip_gti(gti, start=None, stop=None):
    """Part of the intervals between ``start`` and ``stop``.

    Parameters
    ----------
    gti : array-like, shape (n, 2)
        Intervals [s].
    start, stop : float, optional
        Range [s]. Default is without limit.

    Returns
    -------
    gti : array, shape (m, 2)
    """
    gti = as_gti(gti)
    low = -np.inf if start is None else start
    high = np.inf if stop is None else stop
    gti = np.clip(gti, low, high)
    return gti[gti[:, 1] > gti[:, 0]]


def gti_mask(time, gti):
    """Whether times are good.

    The limits belong to the interval, as in cfitsio's ``gtifilter``.

    Parameters
    ----------
    time : array, shape (n,)
        Times [s].
    gti : array-like, shape (m, 2)
        Intervals [s].

    Returns
    -------
    mask : array of bool, shape (n,)

    Examples
    --------
    >>> from dmgammapy.makers.lat._gti import gti_mask
    >>> gti_mask([0, 1, 2, 3], [[1, 2]]).tolist()
    [False, True, True, False]
    """
    time, gti = np.asarray(time, dtype=float), merge_gti(gti)
    if len(gti) == 0:
        return np.zeros(time.shape, dtype=bool)
    index = np.searchsorted(gti[:, 0], time, side="right") - 1
    return (index >= 0) & (time <= gti[np.maximum(index, 0), 1])


def gti_fraction(start, stop, gti):
    """Fraction of each interval that is good time.

    Parameters
    ----------
    start, stop : array, shape (n,)
        Intervals, those of a spacecraft file for example [s].
    gti : array-like, shape (m, 2)
        Good time intervals [s].

    Returns
    -------
    fraction : array, shape (n,)
        Between 0 and 1; 0 for an interval of zero length.

    Examples
    --------
    >>> from dmgammapy.makers.lat._gti import gti_fraction
    >>> gti_fraction([0, 30, 60], [30, 60, 90], [[15, 60]]).tolist()
    [0.5, 1.0, 0.0]
    """
    start, stop = np.asarray(start, dtype=float), np.asarray(stop, dtype=float)
    gti = merge_gti(gti)
    if len(gti) == 0 or len(start) == 0:
        return np.zeros(start.shape)
    # relative to the first interval: cumulative seconds then keep their microseconds
    origin = gti[0, 0]
    good, length = gti - origin, stop - start
    edges = good.ravel()
    elapsed = np.concatenate([[0.0], np.cumsum(good[:, 1] - good[:, 0])])
    cumulative = np.stack([elapsed[:-1], elapsed[1:]], axis=1).ravel()
    overlap = np.interp(stop - origin, edges, cumulative) - np.interp(
        start - origin, edges, cumulative
    )
    fraction = np.divide(overlap, length, out=np.zeros(length.shape), where=length > 0)
    # rounding of the sum of seconds must not make a whole interval less than whole
    fraction[np.abs(fraction - 1) < 1e-9] = 1.0
    fraction[np.abs(fraction) < 1e-9] = 0.0
    return fraction
