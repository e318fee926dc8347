"""Tables of a halo over the angle from its centre, as plain numbers."""

import numpy as np
from scipy.interpolate import CubicHermiteSpline, CubicSpline

from .halo_kernels import cone_integrals, line_of_sight, make_edges, on_axis

__all__ = ["HaloTable"]

STEP = 0.1  # of the table, in the logarithm of the angle
INNERMOST = 1e-6  # closest line of sight, relative to the scale of the profile
FIRST_EDGE = 1e-9
LAST_EDGE = 1e6
BEHIND = 7.0  # ln tan(theta / 2) from which on the sky opposite to the centre is flat
N_GRADED = 14


class HaloTable:
    """Line-of-sight and cone integrals of a halo, tabulated once and interpolated.

    The variable of an open halo, or one that holds the observer, is x = -ln tan(theta / 2). For a
    halo that ends at r_max, seen from outside, it is x with sin(theta) = (r_max / D) / cosh(x):
    the same far inside, while everything is smooth in x up to the edge, x = 0, where the integral
    along the line of sight goes as x and that beyond a cone as x to the third.

    Parameters
    ----------
    profile : `~dmgammapy.targets.HaloProfile`
        Density.
    power : {1, 2}
        Power of the density, 1 for decay and 2 for annihilation.
    distance, r_max : float
        Distance and truncation radius [kpc].
    """

    def __init__(self, profile, power, distance, r_max):
        self.power, self.distance, self.r_max = power, distance, r_max
        self.profile = profile
        self.slope = power * profile.inner_slope
        self.is_open = not np.isfinite(r_max)
        self.is_outside = r_max < distance
        self.edge = np.arcsin(r_max / distance) if self.is_outside else np.pi
        self.scale = min(profile.scale, r_max)
        self._fill()

    def density(self, radius):
        """Density to the power, at radii [kpc]."""
        return self.profile.density(radius) ** self.power

    def _edges(self, nearest=None):
        low = FIRST_EDGE * self.scale
        if nearest is not None:
            low = min(low, 0.1 * nearest)
        high = LAST_EDGE * max(self.scale, self.distance) if self.is_open else self.r_max
        return make_edges(low, high, self.distance, self.profile.breaks)

    def _theta(self, x):
        if self.is_outside:
            return np.arcsin(self.r_max / self.distance / np.cosh(x))
        return 2 * np.arctan(np.exp(-x))

    def _x(self, theta):
        if self.is_outside:
            ratio = np.sin(theta) * self.distance / self.r_max
            return np.arccosh(np.maximum(1 / ratio, 1.0))
        return np.maximum(-np.log(np.tan(0.5 * theta)), -BEHIND)

    def _nodes(self):
        nearest = INNERMOST * self.scale / self.distance
        last = float(self._x(np.asarray(min(nearest, 0.1))))
        first = 0.5 * STEP if self.is_outside else -BEHIND
        n_steps = int(np.ceil((last - first) / STEP))
        nodes = first + STEP * np.arange(n_steps + 1)
        radii = [r for r in self.profile.breaks if r < self.distance and r < self.r_max]
        if 0 < len(radii) <= 3:
            # lines of sight that graze a kink are not smooth: nodes close up towards it
            kinks = self._x(np.arcsin(np.array(radii) / self.distance))[:, np.newaxis]
            graded = 4 * STEP * 2.0 ** -np.arange(N_GRADED)
            extra = (kinks + np.concatenate([-graded, [0], graded])).ravel()
            extra = extra[(extra > first) & (extra < nodes[-1])]
            gap = np.min(np.abs(nodes[:, np.newaxis] - extra), axis=1)
            nodes = np.unique(np.concatenate([nodes[gap > 1e-6], extra]))
        return nodes

    def _fill(self):
        x = self._nodes()
        theta = self._theta(x)
        edges = self._edges()
        args = (self.density, theta, self.distance, edges)
        differential = line_of_sight(*args, self.is_open)
        if np.any(~np.isfinite(differential)) or np.any(differential <= 0):
            raise ValueError(
                f"{self.profile!r}: the density must be positive and finite within r_max, such "
                "that its integrals are."
            )
        log_differential = np.log(differential / (np.tanh(x) if self.is_outside else 1.0))
        self.last = x[-1]
        self.has_cone = self.slope < 3
        if self.has_cone:
            inside, outside = cone_integrals(*args, self.slope, self.is_open)
            self.total = float(inside[-1] + outside[-1])
            self._fill_cones(x, theta, differential, inside, outside)
        if self.is_outside:
            x, log_differential = self._mirrored(x, log_differential)
        self._log_differential = CubicSpline(x, log_differential)

    @staticmethod
    def _mirrored(x, even):
        return np.concatenate([-x[3::-1], x]), np.concatenate([even[3::-1], even])

    def _fill_cones(self, x, theta, differential, inside, outside):
        if self.is_outside:
            # beyond the edge, x < 0, the outside is odd
            inside = np.concatenate([self.total + outside[3::-1], inside])
            ring = 2 * np.pi * differential * np.sin(theta)
            ring *= np.tan(theta) * np.tanh(x)  # d theta = -tan(theta) tanh(x) dx
            ring = np.concatenate([ring[3::-1], ring])
            x_all, log_outside = self._mirrored(x, np.log(outside / np.tanh(x) ** 3))
            self._log_outside = CubicSpline(x_all, log_outside)
        else:
            ring = 2 * np.pi * differential * np.sin(theta) ** 2
            x_all = x
            self._log_outside = CubicHermiteSpline(x, np.log(outside), ring / outside)
        self._log_inside = CubicHermiteSpline(x_all, np.log(inside), -ring / inside)
        self._end = float(np.log(inside[-1])), float(-ring[-1] / inside[-1])

    def differential(self, theta):
        """Integral along the lines of sight at angles [rad], any shape; GeV, cm and sr."""
        theta = np.asarray(theta, float)
        result = np.zeros(theta.shape)
        x = self._where(theta)
        close = (x > self.last) & (theta > 0)
        inside = (theta > 0) & ~close & (theta < self.edge if self.is_outside else True)
        result[inside] = np.exp(self._log_differential(x[inside]))
        if self.is_outside:
            result[inside] *= np.tanh(x[inside])
        if np.any(close):
            nearest = self.distance * float(np.min(np.sin(theta[close])))
            edges = self._edges(nearest)
            result[close] = line_of_sight(
                self.density, theta[close], self.distance, edges, self.is_open
            )
        if np.any(theta == 0):
            result[theta == 0] = on_axis(
                self.density, self.distance, self._edges(), self.slope, self.is_open
            )
        return result

    def _where(self, theta):
        with np.errstate(divide="ignore"):
            return self._x(np.minimum(theta, 0.5 * np.pi) if self.is_outside else theta)

    def inside(self, theta):
        """Integral within cones of half angles [rad], any shape; GeV and cm."""
        self._check_cone()
        theta = np.asarray(theta, float)
        x = self._where(theta)
        value, rate = self._end
        with np.errstate(over="ignore"):
            inner = np.exp(value + rate * np.maximum(x - self.last, 0))
        result = np.where(x > self.last, inner, np.exp(self._log_inside(np.minimum(x, self.last))))
        is_all = theta >= self.edge
        return np.where(is_all, self.total, np.minimum(result, self.total))

    def outside(self, theta):
        """Integral outside of cones of half angles [rad], any shape; GeV and cm."""
        self._check_cone()
        theta = np.asarray(theta, float)
        x = self._where(theta)
        result = np.exp(self._log_outside(np.minimum(x, self.last)))
        if self.is_outside:
            result = result * np.tanh(np.minimum(x, self.last)) ** 3
        else:
            # flat behind: what is left goes as the solid angle
            end = self._theta(np.asarray(-BEHIND))
            result = result * np.minimum(np.square((np.pi - theta) / (np.pi - end)), 1.0)
        result = np.where(x > self.last, self.total - self.inside(theta), result)
        return np.where(theta >= self.edge, 0.0, result)

    def angle(self, fraction):
        """Angles [rad] within which fractions of the total are, any shape."""
        self._check_cone()
        target = np.asarray(fraction, float) * self.total
        low = np.full(target.shape, -BEHIND if not self.is_outside else 0.0)
        high = np.full(target.shape, self.last + 60.0)
        for _ in range(80):
            middle = 0.5 * (low + high)
            is_more = self.inside(self._theta(middle)) > target
            low, high = np.where(is_more, middle, low), np.where(is_more, high, middle)
        return self._theta(0.5 * (low + high))

    def _check_cone(self):
        if not self.has_cone:
            raise ValueError(
                f"{self.profile!r}: the integral over a cone diverges in the centre, where the "
                f"density to the power {self.power} has the slope -{self.slope:g}; it must be "
                "shallower than -3. Give the profile an r_core."
            )
