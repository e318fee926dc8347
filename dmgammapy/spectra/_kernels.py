"""Integrals of functions that are piecewise linear in log10(x), in closed form.

Plain arrays only. The yield y = dN/dlog10(x) is given at nodes l = log10(x), common to all its
leading axes, and is linear in between; it is zero outside of the nodes.
"""

import numpy as np

LN10 = np.log(10)


def segment_integrals(nodes, values):
    """Integrals of y and of x y over each segment between nodes.

    With y = y0 + s (l - l0), int y dl is the trapezium and
    int 10^l y dl = [10^l (y / ln10 - s / ln10^2)].

    Parameters
    ----------
    nodes : ndarray, shape (n,)
        Ascending log10(x).
    values : ndarray, shape (..., n)
        Yield dN/dlog10(x) at the nodes.

    Returns
    -------
    number, energy : ndarray, shape (..., n - 1)
        int y dl, and int 10^l y dl.
    """
    step = np.diff(nodes)
    left, right = values[..., :-1], values[..., 1:]
    slope = (right - left) / step
    number = step * (left + right) / 2
    energy = _primitive(nodes[1:], right, slope) - _primitive(nodes[:-1], left, slope)
    return number, energy


def cumulative_from_top(segments):
    """Sum of the segments above each node.

    Summing from the top keeps the precision of the bins near the endpoint, where yields are small.

    Parameters
    ----------
    segments : ndarray, shape (..., n - 1)
        Integral over each segment.

    Returns
    -------
    cumulative : ndarray, shape (..., n)
        Integral from each node to the last one, which has 0.
    """
    cumulative = np.zeros((*segments.shape[:-1], segments.shape[-1] + 1))
    cumulative[..., :-1] = np.cumsum(segments[..., ::-1], axis=-1)[..., ::-1]
    return cumulative


def locate(nodes, points):
    """Segment that holds each point.

    Parameters
    ----------
    nodes : ndarray, shape (n,)
        Ascending nodes.
    points : ndarray
        Points; those outside are moved to the nearest end.

    Returns
    -------
    index : ndarray of int
        Index of the node at or below, at most n - 2.
    clipped : ndarray
        The points, moved.
    """
    clipped = np.clip(points, nodes[0], nodes[-1])
    index = np.searchsorted(nodes, clipped, side="right") - 1
    return np.clip(index, 0, len(nodes) - 2), clipped


def rest_of_segment(nodes, index, points, left, right, weighted):
    """Integral from points to the upper node of their segments.

    Parameters
    ----------
    nodes : ndarray, shape (n,)
        Ascending log10(x).
    index, points : ndarray
        From `locate`.
    left, right : ndarray
        Yield at the nodes ``index`` and ``index + 1``; broadcasts with ``points``.
    weighted : bool
        Integrate x y rather than y.

    Returns
    -------
    integral : ndarray
        Shape of the broadcast.
    """
    lower, upper = nodes[index], nodes[index + 1]
    slope = (right - left) / (upper - lower)
    value = left + slope * (points - lower)
    if not weighted:
        return (upper - points) * (value + right) / 2
    return _primitive(upper, right, slope) - _primitive(points, value, slope)


def _primitive(log10x, value, slope):
    return 10**log10x * (value / LN10 - slope / LN10**2)
