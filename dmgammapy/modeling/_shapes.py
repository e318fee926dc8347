"""Shapes of the likelihood of a shift y = log10(J / J_obs) [dex]; plain floats and arrays."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq
from scipy.special import ndtri

# beyond this stat a likelihood (1e-11 of its maximum) no longer matters
SUPPORT_STAT = 50.0
# a fixed J is one that moved by less than rounding
_FIXED_TOLERANCE = 1e-9
_N_LEGENDRE = 12
_N_QUANTILE = 4001


@dataclass(frozen=True)
class SplitNormal:
    """Normal below and above zero, with two widths [dex]; zero widths keep the shift at zero."""

    err_low: float
    err_high: float

    is_convex = True
    bounds = (-np.inf, np.inf)

    @property
    def is_fixed(self):
        return self.err_high == 0

    @property
    def support(self):
        return -np.sqrt(SUPPORT_STAT) * self.err_low, np.sqrt(SUPPORT_STAT) * self.err_high

    def stat(self, shift):
        if self.is_fixed:
            return np.where(np.abs(shift) <= _FIXED_TOLERANCE, 0.0, np.inf)[()]
        if self.err_low == self.err_high:
            return np.square(shift / self.err_high)
        return np.square(shift / np.where(shift < 0, self.err_low, self.err_high))

    @property
    def log_norm(self):
        return 0.5 * np.log(2 / np.pi) - np.log(self.err_low + self.err_high)

    def quantile(self, probability):
        if self.is_fixed:
            return np.zeros_like(probability)[()]
        low, high = self.err_low, self.err_high
        share = low / (low + high)
        below = low * ndtri(np.minimum(probability / (2 * share), 0.5))
        above = -high * ndtri(np.minimum((1 - probability) / (2 * (1 - share)), 0.5))
        return np.where(probability < share, below, above)[()]


class Tabulated:
    """Table of ``stat``, interpolated by a monotone cubic; zero at shift zero, a node inside.

    Parameters
    ----------
    shift, stat : ndarray, shape (n,)
        Ascending nodes [dex] and -2 ln L there.
    """

    is_fixed = False

    def __init__(self, shift, stat):
        self.nodes = shift
        self.values = stat
        self._cubic = PchipInterpolator(shift, stat, extrapolate=True)
        slopes = self._cubic(shift, 1)
        secants = np.diff(stat) / np.diff(shift)
        self._slopes, self._secants = slopes, secants
        # outward slopes; the cubic's may be zero where the table still rises
        self._rise_low = -slopes[0] if slopes[0] < 0 else max(-secants[0], 0.0)
        self._rise_high = slopes[-1] if slopes[-1] > 0 else max(secants[-1], 0.0)

    def stat(self, shift):
        low, high = self.nodes[0], self.nodes[-1]
        inside = self._cubic(np.clip(shift, low, high))
        # each node is exact
        below, above = np.maximum(low - shift, 0), np.maximum(shift - high, 0)
        return inside + _line(below, self._rise_low) + _line(above, self._rise_high)

    @cached_property
    def bounds(self):
        low = self.nodes[0] if self._rise_low == 0 else -np.inf
        high = self.nodes[-1] if self._rise_high == 0 else np.inf
        return float(low), float(high)

    @cached_property
    def is_convex(self):
        """Whether each cubic is convex (its second derivative at both ends) and none is cut."""
        before, after = self._slopes[:-1], self._slopes[1:]
        tolerance = 1e-9 * np.max(np.abs(self._secants))
        left = 3 * self._secants - 2 * before - after
        right = before + 2 * after - 3 * self._secants
        convex = np.all(left >= -tolerance) and np.all(right >= -tolerance)
        return bool(convex and np.all(np.isinf(self.bounds)))

    @cached_property
    def support(self):
        inside = np.flatnonzero(self.values <= SUPPORT_STAT)
        low = self._reach(inside[0], -1, self._rise_low)
        high = self._reach(inside[-1], 1, self._rise_high)
        return low, high

    def _reach(self, index, side, rise):
        """Where the stat passes SUPPORT_STAT on the way out from a node."""
        outer = index + side
        start, value = self.nodes[index], self.values[index]
        if 0 <= outer < len(self.nodes):
            rise = side * self._secants[min(index, outer)]
        elif rise == 0:
            return float(start)
        return float(start + side * (SUPPORT_STAT - value) / rise)

    @cached_property
    def err_low(self):
        return self._width(-1, self._rise_low)

    @cached_property
    def err_high(self):
        return self._width(1, self._rise_high)

    def _width(self, side, rise):
        """Distance from the maximum to where stat = 1, or to where the likelihood ends."""
        nodes, values = self.nodes * side, self.values
        outside = np.flatnonzero((nodes > 0) & (values >= 1))
        if len(outside) == 0:
            end = 0 if side < 0 else -1
            distance = 0.0 if rise == 0 else (1 - values[end]) / rise
            return float(nodes[end] + distance)
        outer = outside[np.argmin(nodes[outside])]
        inner = outer - side
        return side * brentq(lambda y: self.stat(y) - 1, self.nodes[inner], self.nodes[outer])

    @cached_property
    def log_norm(self):
        """Logarithm of 1 / int exp(-stat / 2) dy, the tails included."""
        x, w = np.polynomial.legendre.leggauss(_N_LEGENDRE)
        half = np.diff(self.nodes)[:, np.newaxis] / 2
        points = self.nodes[:-1, np.newaxis] + half * (1 + x)
        total = np.sum(half * w * np.exp(-self.stat(points) / 2))
        for rise, value in ((self._rise_low, self.values[0]), (self._rise_high, self.values[-1])):
            if rise > 0:
                total += 2 / rise * np.exp(-value / 2)
        return -np.log(total)

    def quantile(self, probability):
        grid = np.linspace(*self.support, _N_QUANTILE)
        density = np.exp(-self.stat(grid) / 2)
        cumulative = np.append(0.0, np.cumsum(density[1:] + density[:-1]))
        return np.interp(probability, cumulative / cumulative[-1], grid)


def _line(distance, rise):
    """Straight line up from the end of a table; a wall if the table doesn't rise there."""
    if rise > 0:
        return rise * distance
    return np.where(distance > 0, np.inf, 0.0)
