"""What the methods of `dmgammapy.estimators.intervals` share: curves, widths, crossings.

Functions called ``excess`` take log10 strengths, one (n_row,) or more (n_row, n) per row, and are
positive inside an interval.
"""

import numpy as np
from scipy.interpolate import CubicSpline

from . import _kernels as kernels
from . import limits
from .limits import LimitStatus

SMALLEST_Q = 1e-10  # over q^2: below, differences of logarithms lose their digits
BELOW_NODES = 8.0  # dex below the first node in which lower ends are sought
N_HALVINGS = 40
TIE = 1e-7  # counts are discrete: data and toys are often equal


class Curves:
    """Profiles of ``n_row`` data sets, and where they are lowest."""

    def __init__(self, strengths, stat):
        strengths = np.asarray(strengths, dtype=float)
        stat = np.atleast_2d(np.asarray(stat, dtype=float))
        if strengths.ndim != 1 or len(strengths) < 5 or strengths[0] != 0:
            raise ValueError(
                "strengths must be one-dimensional with 0 first and 4 or more nodes after it, got "
                f"shape {strengths.shape}, first {strengths.ravel()[:1]}."
            )
        if not (np.diff(strengths) > 0).all():
            raise ValueError("strengths must ascend.")
        if stat.shape[1:] != strengths.shape:
            raise ValueError(f"stat must have shape (n_row, {len(strengths)}), got {stat.shape}.")
        self.strengths = strengths
        self.nodes = np.log10(strengths[1:])
        self.unknown = ~np.isfinite(stat).any(axis=1)
        stat = np.where(self.unknown[:, None], 0.0, stat)
        self.stat = stat
        self.rows, self.zero = np.ascontiguousarray(stat[:, 1:]), np.ascontiguousarray(stat[:, 0])
        self.best, self.minimum = limits.best_fit(self.nodes, self.rows, self.zero)
        with np.errstate(divide="ignore"):
            self.log_best = np.log10(self.best)

    def __len__(self):
        return len(self.rows)

    def at(self, log_mu):
        """``stat`` at one strength per row, shape (n_row,), or at shape (n_row, n)."""
        targets = np.ascontiguousarray(log_mu.reshape(len(self), -1))
        out = np.empty_like(targets)
        kernels.resample(self.nodes, self.rows, self.zero, targets, out)
        return out.reshape(log_mu.shape)

    def finish(self, value, status):
        """NaN without a value, and where nothing is known."""
        status = np.where(self.unknown, int(LimitStatus.NO_INFORMATION), status)
        found = (status == LimitStatus.FOUND) | (status == LimitStatus.EXTRAPOLATED)
        return np.where(found, value, np.nan), status


class Width:
    """``q_asimov`` at each strength, see `dmgammapy.estimators.intervals`."""

    def __init__(self, curves, asimov=None, negative=None):
        self.curves, self.asimov = curves, None
        self.best, self.minimum = curves.best.copy(), curves.minimum.copy()
        self.guessed = np.zeros(len(curves), dtype=bool)
        if asimov is not None:
            self.asimov = Curves(curves.strengths, np.broadcast_to(asimov, curves.stat.shape))
            return
        self.guessed = curves.best == 0
        if negative is not None:
            self._use(*negative)

    def _use(self, strengths, stat):
        strengths = np.asarray(strengths, dtype=float)
        stat = np.atleast_2d(np.asarray(stat, dtype=float))
        if stat.shape != (len(self.curves), len(strengths)) or not (strengths < 0).all():
            raise ValueError(
                "negative must be strengths < 0 (n_negative,) and stat "
                f"({len(self.curves)}, n_negative), got {strengths.shape} and {stat.shape}."
            )
        for row in np.flatnonzero(self.guessed):
            known = np.isfinite(stat[row])
            x = np.concatenate([strengths[known], [0.0]])
            y = np.append(stat[row, known], self.curves.zero[row])
            if len(x) < 4:
                continue
            spline = CubicSpline(x, y)
            j = int(np.argmin(y))
            if j == 0:  # still falling where the input ends
                continue
            turns = spline.derivative().roots(extrapolate=False)
            near = (turns > x[j - 1]) & (turns < x[min(j + 1, len(x) - 1)])
            points = np.append(turns[near], x[j])
            values = spline(points)
            lowest = np.argmin(values)
            self.best[row], self.minimum[row] = points[lowest], values[lowest]
            self.guessed[row] = False

    def q_asimov(self, log_mu, stat_mu):
        """Shape (n_row,) or (n_row, n)."""
        mu = 10.0**log_mu
        columns = (slice(None),) + (None,) * (log_mu.ndim - 1)
        rise = np.nan_to_num(stat_mu - self.curves.minimum[columns], posinf=0.0)
        smallest = np.maximum(SMALLEST_Q * rise**2, np.finfo(float).tiny)
        if self.asimov is not None:
            q = self.asimov.at(log_mu) - self.asimov.zero[columns]
            return np.maximum(q, smallest)
        with np.errstate(divide="ignore", invalid="ignore"):
            pull = mu / (mu - self.best[columns])
            q = (stat_mu - self.minimum[columns]) * pull**2
        if self.guessed.any():
            half = self.curves.at(log_mu - np.log10(2.0))
            bend = 2 * (stat_mu - 2 * half + self.curves.zero[columns])
            q = np.where(self.guessed[columns], bend, q)
        return np.maximum(np.nan_to_num(q, nan=1.0, posinf=np.inf), smallest)


def _grid(curves):
    return np.broadcast_to(curves.nodes, curves.rows.shape)


def halve(inside, outside, excess):
    """Strength between where ``excess(log_mu)`` is positive and where it is not."""
    for _ in range(N_HALVINGS):
        middle = 0.5 * (inside + outside)
        accepted = excess(middle) > 0
        inside, outside = np.where(accepted, middle, inside), np.where(accepted, outside, middle)
    return 10.0 ** (0.5 * (inside + outside))


def find_upper(curves, excess, best=None):
    """Outermost strength with ``excess(log_mu) > 0``, and 0 found, 1 beyond, 2 below the nodes."""
    nodes = curves.nodes
    log_best = curves.log_best if best is None else np.full(len(curves), -np.inf)
    accepted = excess(_grid(curves)) > 0
    last = accepted.shape[1] - 1 - np.argmax(accepted[:, ::-1], axis=1)
    inside = np.where(accepted.any(axis=1), nodes[last], -np.inf)
    inside = np.maximum(inside, log_best)
    code = np.where(np.isinf(inside), 2, 0)
    code[accepted[:, -1] | (inside >= nodes[-1]) | np.isnan(curves.rows[:, -1])] = 1
    start = np.where(code == 0, inside, nodes[0])
    stop = nodes[np.minimum(np.searchsorted(nodes, start, side="right"), len(nodes) - 1)]
    return np.where(code == 0, halve(start, stop, excess), np.nan), code


def find_lower(curves, excess, zero_inside):
    """Innermost strength with ``excess(log_mu) > 0``; 0 where no signal is inside."""
    nodes = curves.nodes
    accepted = excess(_grid(curves)) > 0
    first = np.where(accepted.any(axis=1), np.argmax(accepted, axis=1), len(nodes) - 1)
    inside = np.where(accepted.any(axis=1), nodes[first], np.inf)
    inside = np.where(np.isfinite(curves.log_best), np.minimum(inside, curves.log_best), inside)
    inside = np.where(zero_inside | np.isinf(inside), nodes[0], inside)
    before = np.searchsorted(nodes, inside) - 1
    outside = np.where(before < 0, nodes[0] - BELOW_NODES, nodes[np.maximum(before, 0)])
    return np.where(zero_inside, 0.0, halve(inside, outside, excess))


def limit_status(code, guessed):
    """`LimitStatus` of a code of `find_upper`."""
    status = np.where(code == 0, int(LimitStatus.FOUND), int(LimitStatus.GRID_EDGE))
    return np.where((code == 0) & guessed, int(LimitStatus.EXTRAPOLATED), status)


class Thresholds:
    """Critical values between nodes: linear in log strength, in the strength below the first."""

    def __init__(self, curves, critical):
        self.nodes, self.critical = curves.nodes, critical

    def __call__(self, log_mu):
        points = log_mu.reshape(len(self.critical), -1)
        j = np.clip(np.searchsorted(self.nodes, points) - 1, 0, len(self.nodes) - 2)
        rows = np.arange(len(points))[:, None]
        part = (points - self.nodes[j]) / (self.nodes[j + 1] - self.nodes[j])
        low, high = self.critical[rows, j + 1], self.critical[rows, j + 2]
        below = self.critical[:, :1] + (self.critical[:, 1:2] - self.critical[:, :1]) * (
            10.0 ** np.minimum(points - self.nodes[0], 0.0)
        )
        value = np.where(points < self.nodes[0], below, low + part * (high - low))
        return value.reshape(log_mu.shape) + TIE
