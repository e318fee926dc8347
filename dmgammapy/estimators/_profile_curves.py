"""What the methods of `dmgammapy.estimators.intervals` share: curves, widths, crossings.

Functions called ``excess`` take row numbers and log10 strengths, arrays (n,) both, and return
(n,): positive inside an interval, NaN where it cannot be known.
"""

import numpy as np
from numba import njit

from . import _kernels as kernels
from . import limits
from .limits import LimitStatus

SMALLEST_Q = 1e-10  # over q^2: below, differences of logarithms lose their digits
BELOW_NODES = 8.0  # dex below the first node in which lower ends are sought
N_HALVINGS = 34
SURE_Q = 1e-4  # where a profile has risen by less, digits are lost: q_asimov goes as strength^2
CLEAR = 100.0
FOUND, BEYOND, BELOW, NONE = 0, 1, 2, 3  # codes of `find_upper`; NONE: nothing is accepted


@njit(cache=True, nogil=True)
def _read_off(u, v, zero, rows, x, out):
    """Profiles of the given rows at log10 strengths ``x``, (n,); NaN beyond the last node."""
    n = len(u)
    for i in range(len(rows)):
        r = rows[i]
        if not x[i] <= u[n - 1] + 1e-9:
            out[i] = np.nan
        elif x[i] < u[0]:
            out[i] = zero[r] + (v[r, 0] - zero[r]) * 10.0 ** (x[i] - u[0])
        else:
            j = min(max(np.searchsorted(u, x[i], side="right") - 1, 0), n - 2)
            out[i] = kernels._lagrange4(u, v[r], j, x[i])


def common_nodes(strengths, n_row, name="strengths"):
    """Nodes and the factor of each row, from (n,) or proportional rows (n_row, n)."""
    strengths = np.asarray(strengths, dtype=float)
    if strengths.ndim == 1:
        return strengths, np.ones(n_row)
    if strengths.ndim != 2 or len(strengths) != n_row:
        raise ValueError(f"{name} must have shape (n,) or ({n_row}, n), got {strengths.shape}.")
    far = np.argmax(np.abs(strengths[0]))
    scale = strengths[:, far] / strengths[0, far]
    if not np.allclose(strengths, scale[:, None] * strengths[0], rtol=1e-6, atol=0):
        raise ValueError(f"{name} of all rows must be proportional to each other.")
    return strengths[0], scale


class Curves:
    """Profiles of ``n_row`` data sets, and where they are lowest.

    Rows have the common ``nodes`` (log10) in units of their ``scale``.
    """

    def __init__(self, strengths, stat):
        stat = np.atleast_2d(np.asarray(stat, dtype=float))
        strengths, self.scale = common_nodes(strengths, len(stat))
        if len(strengths) < 5 or strengths[0] != 0:
            raise ValueError(
                "strengths must have 0 first and 4 or more nodes after it, got "
                f"{len(strengths)} nodes, first {strengths[:1]}."
            )
        if not (np.diff(strengths) > 0).all():
            raise ValueError("strengths must ascend.")
        if stat.shape[1:] != strengths.shape:
            raise ValueError(f"stat must have shape (n_row, {len(strengths)}), got {stat.shape}.")
        self.strengths = strengths
        self.nodes = np.log10(strengths[1:])
        self.unknown = ~np.isfinite(stat[:, :2]).all(axis=1)
        self.stat = np.where(self.unknown[:, None], 0.0, stat)
        self.rows = np.ascontiguousarray(self.stat[:, 1:])
        self.zero = np.ascontiguousarray(self.stat[:, 0])
        self.best, self.minimum = limits.best_fit(self.nodes, self.rows, self.zero)
        with np.errstate(divide="ignore"):
            self.log_best = np.log10(self.best)

    def __len__(self):
        return len(self.rows)

    def at(self, rows, log_mu):
        """``stat`` of some rows, each at its log10 strength, (n,)."""
        out = np.empty(len(rows))
        _read_off(self.nodes, self.rows, self.zero, rows, np.asarray(log_mu, dtype=float), out)
        return out

    def table(self, strengths):
        """``stat`` at strengths (n_row, n) in units of ``scale``, 0 allowed."""
        with np.errstate(divide="ignore"):
            log_mu = np.log10(strengths).ravel()
        rows = np.repeat(np.arange(len(self)), strengths.shape[1])
        return self.at(rows, log_mu).reshape(strengths.shape)

    def finish(self, value, code, guessed=False):
        """Values in strength and `LimitStatus` for codes of `find_upper`; NaN without a value."""
        status = np.where(code == FOUND, int(LimitStatus.FOUND), int(LimitStatus.GRID_EDGE))
        status = np.where((code == FOUND) & guessed, int(LimitStatus.APPROXIMATE), status)
        status = np.where(code == NONE, int(LimitStatus.ALL_EXCLUDED), status)
        status = np.where(self.unknown, int(LimitStatus.NO_INFORMATION), status)
        known = (code == FOUND) & ~self.unknown
        return np.where(known, value * self.scale, np.nan), status


class Width:
    """``q_asimov`` at each strength, see `dmgammapy.estimators.intervals`."""

    def __init__(self, curves, asimov=None, negative=None):
        self.curves, self.asimov = curves, None
        self.best, self.minimum = curves.best.copy(), curves.minimum.copy()
        self.guessed = curves.best == 0
        if negative is not None:
            self._use_negative(*negative)
        self.has_asimov = np.zeros(len(curves), dtype=bool)
        if asimov is not None:
            self.asimov = Curves(curves.strengths, asimov)
            if len(self.asimov) not in (1, len(curves)):
                raise ValueError(
                    f"asimov must have 1 row or {len(curves)}, got {len(self.asimov)}."
                )
            # one for all rows, or one each
            self.index = np.resize(np.arange(len(self.asimov)), len(curves))
            flat = np.nanmax(self.asimov.stat, axis=1) - self.asimov.zero <= 0
            self.has_asimov = (~self.asimov.unknown & ~flat)[self.index]
            self.guessed &= ~self.has_asimov
            rise = self.asimov.rows - self.asimov.zero[:, None]
            self.sure_asimov = _first_sure(self.asimov.nodes, rise)
        self.sure = np.full(len(curves), -np.inf)
        rows = np.flatnonzero(self.guessed & ~curves.unknown)
        if len(rows):
            rise = [self._guess(rows, np.full(len(rows), x)) for x in curves.nodes]
            self.sure[rows] = _first_sure(curves.nodes, np.transpose(rise))

    def _guess(self, rows, log_mu):
        """``q_asimov`` of a parabola through 0, mu / 2 and mu."""
        curves = self.curves
        half = curves.at(rows, log_mu - np.log10(2.0))
        return 2 * (curves.at(rows, log_mu) - 2 * half + curves.zero[rows])

    def _use_negative(self, strengths, stat):
        best, minimum, found = unbounded_minimum(self.curves, strengths, stat)
        use = self.guessed & found
        self.best[use], self.minimum[use] = best[use], minimum[use]
        self.guessed &= ~found

    def q_asimov(self, rows, log_mu, stat_mu):
        """Shape (n,); NaN beyond where the Asimov data's profile ends."""
        curves, mu = self.curves, 10.0**log_mu
        rise = stat_mu - curves.minimum[rows]
        smallest = np.maximum(SMALLEST_Q * rise**2, np.finfo(float).tiny)
        with np.errstate(divide="ignore", invalid="ignore"):
            pull = mu / (mu - self.best[rows])
            q = (stat_mu - self.minimum[rows]) * pull**2
        q = np.where(mu == self.best[rows], 1.0, q)
        guessed = self.guessed[rows]
        if guessed.any():
            of = rows[guessed]
            at = np.maximum(log_mu[guessed], self.sure[of])
            q[guessed] = self._guess(of, at) * 100.0 ** (log_mu[guessed] - at)
        if self.asimov is not None:
            known = self.has_asimov[rows]
            which = self.index[rows[known]]
            at = np.maximum(log_mu[known], self.sure_asimov[which])
            rise = self.asimov.at(which, at) - self.asimov.zero[which]
            q[known] = rise * 100.0 ** (log_mu[known] - at)
        return np.maximum(q, smallest)


def _first_sure(nodes, rise):
    """First node beyond those where rounding may rule, (n_row,); the first if there are none.

    They are below the first clear rise: where a profile flattens far out, as with uncertain J, the
    guessed one is small or negative again.
    """
    clear = rise >= CLEAR * SURE_Q
    before = np.cumsum(clear, axis=1) == 0
    small = (rise < SURE_Q) & before
    last = len(nodes) - 1 - np.argmax(small[:, ::-1], axis=1)
    first = np.where(small.any(axis=1), last + 1, 0)
    known = np.isfinite(rise).sum(axis=1)
    return nodes[np.where(first < known, first, 0)]


def unbounded_minimum(curves, strengths, stat):
    """Best strength of either sign (in units of ``scale``), ``stat`` there, and whether known.

    Unknown where no signal fits best and the negative part is missing, or still falls at its far
    end: in counts that is where a bin predicts less than nothing, no minimum of a parabola.
    """
    n_row = len(curves)
    best, minimum, found = curves.best.copy(), curves.minimum.copy(), curves.best > 0
    stat = np.atleast_2d(np.asarray(stat, dtype=float))
    nodes, scale = common_nodes(strengths, n_row, "negative strengths")
    if stat.shape != (n_row, len(nodes)) or not (nodes < 0).all() or not (np.diff(nodes) > 0).all():
        raise ValueError(
            "negative must be ascending strengths < 0, (n_negative,) or (n_row, n_negative), and "
            f"stat ({n_row}, n_negative), got shapes {nodes.shape} and {stat.shape}."
        )
    known = np.isfinite(stat[:, ::-1]) & ~curves.unknown[:, None]
    until = np.where(known.all(axis=1), len(nodes), np.argmin(known, axis=1))  # nodes from zero on
    use = np.flatnonzero(~found & (until >= 3))
    if len(use) == 0:
        return best, minimum, found
    # depth below zero, from the mirror image of the nearest node on: a parabola needs both sides
    depth = (scale[use] / curves.scale[use])[:, None] * np.concatenate(
        [[nodes[-1], 0.0], -nodes[::-1]]
    )
    mirror = curves.at(use, np.log10(-depth[:, 0]))
    value = np.column_stack([mirror, curves.zero[use], stat[use, ::-1]])
    value[np.arange(value.shape[1]) >= until[use, None] + 2] = np.inf
    lowest = 1 + np.argmin(value[:, 1:], axis=1)
    inside = (lowest < until[use] + 1) & np.isfinite(mirror)  # else a wall, or still falling
    use, depth, value, lowest = use[inside], depth[inside], value[inside], lowest[inside]
    x, y = _lowest_of_polynomials(depth, value, lowest)
    best[use], minimum[use], found[use] = -x, y, True
    return best, minimum, found


def _lowest_of_polynomials(x, y, lowest):
    """Minimum between the neighbours of the lowest point, of a quartic, else a parabola, (n,)."""
    n = x.shape[1]
    first = np.clip(lowest - 2, 0, max(n - 5, 0))[:, None]
    window = np.minimum(first + np.arange(5), n - 1)
    short = (n < 5) | ~np.isfinite(np.take_along_axis(y, window, axis=1)).all(axis=1)
    position, value = np.empty(len(x)), np.empty(len(x))
    for rows, offsets in ((~short, window), (short, lowest[:, None] + np.array([-1, 0, 1]))):
        rows = np.flatnonzero(rows)
        near, height = (np.take_along_axis(a, offsets, axis=1)[rows] for a in (x, y))
        low, high = x[rows, lowest[rows] - 1], x[rows, lowest[rows] + 1]
        for _ in range(N_HALVINGS):
            third = (high - low) / 3
            left = _polynomial(near, height, low + third) < _polynomial(near, height, high - third)
            low, high = np.where(left, low, low + third), np.where(left, high - third, high)
        position[rows] = 0.5 * (low + high)
        value[rows] = _polynomial(near, height, position[rows])
    return position, value


def _polynomial(x, y, at):
    """Lagrange's, through points (n_row, n), read at (n_row,)."""
    total = np.zeros(len(x))
    for a in range(x.shape[1]):
        weight = np.ones(len(x))
        for b in range(x.shape[1]):
            if b != a:
                weight *= (at - x[:, b]) / (x[:, a] - x[:, b])
        total += weight * y[:, a]
    return total


def halve(rows, inside, outside, excess):
    """Strength between where ``excess`` is positive and where it is not, (n,)."""
    for _ in range(N_HALVINGS):
        middle = 0.5 * (inside + outside)
        accepted = excess(rows, middle) > 0
        inside, outside = np.where(accepted, middle, inside), np.where(accepted, outside, middle)
    return 10.0 ** (0.5 * (inside + outside))


def find_upper(curves, excess, largest):
    """Outermost strength with ``excess > 0``, and its code.

    Strengths at which ``stat`` has risen by more than ``largest`` above its minimum, a number or
    (n_row,), are known to be outside; from there nodes are tried inwards.
    """
    nodes, n_row = curves.nodes, len(curves)
    n = len(nodes)
    outside = curves.rows - curves.minimum[:, None] > np.reshape(largest, (-1, 1))
    start = n - np.argmin(outside[:, ::-1], axis=1)  # first node of those surely outside
    start[outside.all(axis=1)] = 0
    inside, above = np.full(n_row, -1), start.copy()
    unknown_above = start == n  # the node above is beyond the grid, or nothing is known there
    left = np.flatnonzero(start > 0)
    j = start - 1
    while len(left):
        value = excess(left, nodes[j[left]])
        accepted = value > 0
        inside[left[accepted]] = j[left[accepted]]
        refused = left[~accepted]
        unknown_above[refused] = np.isnan(value[~accepted])
        above[refused] = j[refused]
        j[refused] -= 1
        left = refused[j[refused] >= 0]
    low = np.where(inside >= 0, nodes[inside], -np.inf)
    code = np.where((inside >= 0) & unknown_above, BEYOND, FOUND)
    # a narrow minimum may lie between nodes that are all outside
    narrow = curves.log_best > low
    low = np.where(narrow, curves.log_best, low)
    above = np.where(narrow, np.searchsorted(nodes, curves.log_best, side="right"), above)
    code = np.where(narrow & (above >= n), BEYOND, code)
    near = np.flatnonzero(narrow & (above < n))
    if len(near):  # something may be inside up to there, but nothing is known of what follows
        lost = np.isnan(excess(near, low[near])) | np.isnan(excess(near, nodes[above[near]]))
        code[near[lost]] = BEYOND
    code = np.where(np.isinf(low), np.where(unknown_above, BEYOND, BELOW), code)
    value = np.full(n_row, np.nan)
    rows = np.flatnonzero(code == FOUND)
    value[rows] = halve(rows, low[rows], nodes[np.minimum(above[rows], n - 1)], excess)
    return value, code


def find_lower(curves, excess, largest, zero_inside):
    """Innermost strength with ``excess > 0``; 0 where no signal is inside, NaN if unknown."""
    nodes = curves.nodes
    value = np.zeros(len(curves))
    rows = np.flatnonzero(~zero_inside & (curves.best > 0))
    if len(rows) == 0:
        return value
    outside = (
        curves.rows[rows] - curves.minimum[rows, None]
        > np.reshape(largest, (-1, 1))[rows if np.size(largest) > 1 else slice(None)]
    )
    j = np.argmin(outside, axis=1)
    j[outside.all(axis=1)] = len(nodes) - 1
    inside = curves.log_best[rows].copy()
    left = np.flatnonzero(nodes[j] < inside)
    while len(left):
        accepted = excess(rows[left], nodes[j[left]]) > 0
        inside[left[accepted]] = nodes[j[left[accepted]]]
        left = left[~accepted]
        j[left] += 1
        left = left[nodes[j[left]] < inside[left]]
    before = np.searchsorted(nodes, inside) - 1
    outer = np.where(before < 0, nodes[0] - BELOW_NODES, nodes[np.maximum(before, 0)])
    value[rows] = halve(rows, inside, outer, excess)
    value[rows[np.isnan(excess(rows, inside)) | np.isnan(excess(rows, outer))]] = np.nan
    return value


@njit(cache=True, nogil=True)
def _accumulate(u, v, zero, minimum, x, w, total):
    """Integral of the likelihood over strengths from 0 to each node, (n_row, n_node)."""
    first = 10.0 ** u[0]
    for r in range(v.shape[0]):
        depth = 0.5 * (v[r, 0] - zero[r])
        shape = 1.0 if abs(depth) < 1e-9 else -np.expm1(-depth) / depth
        total[r, 0] = np.exp(-0.5 * (zero[r] - minimum[r])) * first * shape
        for j in range(len(u) - 1):
            total[r, j + 1] = total[r, j] + _panel(u, v[r], minimum[r], j, u[j], u[j + 1], x, w)


@njit(cache=True, nogil=True)
def _panel(u, row, minimum, j, low, high, x, w):
    half = 0.5 * (high - low)
    part = 0.0
    for k in range(len(x)):
        point = low + half * (1.0 + x[k])
        value = kernels._lagrange4(u, row, j, point)
        part += w[k] * np.exp(-0.5 * (value - minimum)) * 10.0**point
    return part * half * np.log(10.0)


@njit(cache=True, nogil=True)
def _reach(u, v, minimum, x, w, total, goal, log_mu):
    """log10 strength up to which the integral is ``goal``; -inf below the first node."""
    for r in range(v.shape[0]):
        j = np.searchsorted(total[r], goal[r]) - 1
        if j < 0:
            log_mu[r] = -np.inf
            continue
        j = min(j, len(u) - 2)
        low, high = u[j], u[j + 1]
        for _ in range(N_HALVINGS):
            middle = 0.5 * (low + high)
            part = total[r, j] + _panel(u, v[r], minimum[r], j, u[j], middle, x, w)
            if part < goal[r]:
                low = middle
            else:
                high = middle
        log_mu[r] = 0.5 * (low + high)


def likelihood_integral(curves):
    """Integral of exp(-(stat - minimum) / 2) up to each node, (n_row, n_node), and its inverse."""
    x, w = np.polynomial.legendre.leggauss(4)
    total = np.empty(curves.rows.shape)
    _accumulate(curves.nodes, curves.rows, curves.zero, curves.minimum, x, w, total)

    def reach(goal):
        log_mu = np.empty(len(curves))
        _reach(curves.nodes, curves.rows, curves.minimum, x, w, total, goal, log_mu)
        return log_mu

    return total, reach
