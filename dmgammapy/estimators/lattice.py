"""Likelihood profiles on a common logarithmic lattice of the signal strength.

All profiles of a stack live on nodes ``10^(step * k)`` with integer ``k`` and one ``step``, so that
adding targets is adding arrays, and a J-factor shift is a convolution. Each row, one (channel,
mass), has its own stretch of the lattice.
"""

from dataclasses import dataclass, replace

import numpy as np

from . import _kernels as kernels
from ._wall_kernels import profile_beyond

__all__ = ["BASE_STEP", "LatticeProfiles"]

BASE_STEP = 0.025  # dex; halved until the narrowest likelihood is resolved
N_HALVINGS = 7
# Gauss-Legendre points of a panel of that many steps: a peak of the likelihood is some steps wide,
# so that neither it nor the structure of a tabulated density falls between them
N_LEGENDRE, PANEL, LEAST_PANELS = 4, 2.0, 10
BEYOND_ALLOWED = 1e-3
# A mirrored row that ends within WALL_STAT of its minimum ends at a wall. With the J-factor treated
# it goes on until the prior's penalty is as large as FAR_STAT.
WALL_STAT, FAR_STAT = 4.0, 25.0
HIDDEN_STAT = 1200.0  # stands for a likelihood of zero


def step_for_ts(ts):
    """Lattice step that resolves a likelihood whose largest TS is ``ts``.

    A peak of significance sqrt(TS) is about ``0.43 / sqrt(TS)`` dex wide.
    """
    step = BASE_STEP
    for _ in range(N_HALVINGS):
        if step <= 0.15 / np.sqrt(max(ts, 1e-10)):
            break
        step /= 2
    return step


@dataclass
class LatticeProfiles:
    """Profiles of ``stat`` for many rows.

    Parameters
    ----------
    step : float
        Step in dex.
    start : int array, shape (n_row,)
        Lattice index of each row's first node.
    values : array, shape (n_row, n_norm)
        ``stat`` at the nodes.
    zero : array, shape (n_row,)
        ``stat`` without signal.
    empty : bool array, shape (n_row,)
        Rows that hold no information; their values are zero.
    extrapolated : array, shape (n_row,)
        log10 of the strength from which the profile rests on extrapolated scans; inf if none.
    gap : array, shape (n_row, 2), optional
        log10 of the strengths between which the profile rests on scans that begin above zero and
        were extrapolated towards it. Default is (inf, -inf), none.
    negative : `LatticeProfiles`, optional
        Profiles of negative signals of the same rows: strength ``10^u`` of its lattice means a
        signal of ``-10^u``; ``zero`` is shared. ``empty`` are rows that have none. Where the last
        node is less than `WALL_STAT` above the minimum it is a wall: a more negative signal is
        impossible, its likelihood zero. That node is up to a step short of the true wall, so that
        the minimum there is that much too shallow. Elsewhere nothing is known beyond it. Default
        is none.
        Every operation applies to it, too.
    """

    step: float
    start: np.ndarray
    values: np.ndarray
    zero: np.ndarray
    empty: np.ndarray
    extrapolated: np.ndarray
    gap: np.ndarray | None = None
    negative: "LatticeProfiles | None" = None

    def __post_init__(self):
        if self.gap is None:
            self.gap = np.tile([np.inf, -np.inf], (len(self.start), 1))
        # the kernels trust this: a NaN would lead them out of their arrays
        if not (np.isfinite(self.values).all() and np.isfinite(self.zero).all()):
            raise ValueError("profiles on the lattice must be finite; this is a bug, report it.")

    @property
    def n_norm(self):
        """Number of nodes of each row."""
        return self.values.shape[1]

    @property
    def stop(self):
        """Lattice index after each row's last node, shape (n_row,)."""
        return self.start + self.n_norm

    def largest_ts(self):
        """Largest TS of all rows, at the resolution of the nodes."""
        return float(np.max(self.zero - self.values.min(axis=1), initial=0.0))

    @classmethod
    def from_nodes(
        cls, log10_nodes, log10_reference, values, zero, empty, extrapolated, step, gap=None
    ):
        """Bring profiles on any ascending nodes to the lattice.

        Parameters
        ----------
        log10_nodes : array, shape (n_nodes,)
            Ascending, relative to the references.
        log10_reference : array, shape (n_row,)
        values : array, shape (n_row, n_nodes)
        zero, empty, extrapolated : arrays, shape (n_row,)
        step : float
        gap : array, shape (n_row, 2), optional
        """
        first = (log10_nodes[0] + log10_reference) / step
        start = np.ceil(first - 1e-6).astype(np.int64)
        last = np.floor((log10_nodes[-1] + log10_reference) / step + 1e-9)
        n_norm = int((last - start).min()) + 1
        wanted = log10_nodes[0] + np.arange(len(log10_nodes)) * step
        aligned = np.allclose(log10_nodes, wanted, rtol=0, atol=1e-7 * step) and np.allclose(
            first, start, rtol=0, atol=1e-6
        )
        if aligned:
            out = values.copy()
            return cls(step, start, out, zero.copy(), empty.copy(), extrapolated.copy(), gap)
        targets = step * (start[:, None] + np.arange(n_norm)) - log10_reference[:, None]
        out = np.empty(targets.shape)
        kernels.resample(
            np.ascontiguousarray(log10_nodes), np.ascontiguousarray(values), zero, targets, out
        )
        return cls(step, start, out, zero.copy(), empty.copy(), extrapolated.copy(), gap)

    def scan(self):
        """Profiles as a scan that begins with no signal.

        Returns
        -------
        nodes : array, shape (n_norm + 1,)
            0 first, in units of the references.
        reference : array, shape (n_row,)
            Strength at the middle node.
        stat : array, shape (n_row, n_norm + 1)
        """
        pivot = self.n_norm // 2
        nodes = np.append(0.0, 10.0 ** (self.step * (np.arange(self.n_norm) - pivot)))
        reference = 10.0 ** (self.step * (self.start + pivot))
        return nodes, reference, np.concatenate([self.zero[:, None], self.values], axis=1)

    def at(self, strength):
        """``stat`` at one strength of each row, shape (n_row,); NaN beyond the last node."""
        with np.errstate(divide="ignore"):
            where = np.log10(strength) - self.step * self.start
        out = np.empty((len(where), 1))
        nodes = self.step * np.arange(self.n_norm)
        kernels.resample(nodes, self.values, self.zero, where[:, None], out)
        return out[:, 0]

    def shifted(self, shift):
        """Profiles of a target whose J is ``10^shift`` times the one assumed so far.

        Parameters
        ----------
        shift : float or array, shape (n_row,)
            [dex]
        """
        if not np.any(shift):
            return self
        shift = np.broadcast_to(shift, self.start.shape)
        negative = None if self.negative is None else self.negative.shifted(shift)
        start = np.ceil(self.start - shift / self.step - 1e-9).astype(np.int64)
        n_norm = self.n_norm - 1
        nodes = self.step * np.arange(self.n_norm)
        offset = self.step * (start - self.start) + shift
        out = np.empty((len(start), n_norm))
        targets = offset[:, None] + self.step * np.arange(n_norm)
        kernels.resample(nodes, self.values, self.zero, targets, out)
        beyond, gap = self.extrapolated - shift, self.gap - shift[:, None]
        return replace(
            self, start=start, values=out, extrapolated=beyond, gap=gap, negative=negative
        )

    def _penalty(self, prior):
        shifts = self.step * np.arange(-(self.n_norm - 1), self.n_norm)
        return prior.stat(shifts)

    def profiled(self, prior):
        """Profile the J-factor: ``min_y [stat(s 10^y) + prior.stat(y)]``.

        At negative signals beyond a wall this is the best within the wall and its penalty.
        """
        if prior.is_fixed:
            return self
        negative = (
            None
            if self.negative is None
            else self.negative.profiled(prior)._beyond_wall(self.negative, prior)
        )
        gaussian = prior.is_gaussian
        curvature = (
            ((self.step / prior.err_low) ** 2, (self.step / prior.err_high) ** 2)
            if gaussian
            else (np.nan, np.nan)
        )
        out = np.empty_like(self.values)
        origin = np.empty(self.values.shape, dtype=np.int64)
        kernels.profile_shift(
            self.values, self._penalty(prior), *curvature, bool(prior.is_convex), out, origin
        )
        nodes = self.step * (self.start[:, None] + origin)
        beyond = nodes > self.extrapolated[:, None]
        first = np.argmax(beyond, axis=1)
        extrapolated = np.where(beyond.any(axis=1), self.step * (self.start + first - 1), np.inf)
        return replace(self, values=out, extrapolated=extrapolated, negative=negative)

    @property
    def _at_wall(self):
        """Rows of a mirror that end at a wall."""
        lowest = np.minimum(self.values.min(axis=1), self.zero)
        return (self.values[:, -1] - lowest < WALL_STAT) & ~self.empty

    def _n_beyond(self, prior):
        """Nodes to add to the mirror when the J-factor is treated; 0 if no row ends at a wall."""
        if not self._at_wall.any():
            return 0
        shifts = self.step * np.arange(1, int(-prior.support[0] / self.step) + 1)
        return int(np.sum(prior.stat(-shifts) < FAR_STAT))

    def _beyond_wall(self, raw, prior):
        """Profiled mirror, with the nodes beyond the last one of ``raw``."""
        n_beyond = raw._n_beyond(prior)
        if n_beyond == 0:
            return self
        penalty = prior.stat(-self.step * np.arange(self.n_norm + n_beyond))
        curvature = (self.step / prior.err_low) ** 2 if prior.is_gaussian else np.nan
        out = np.empty((len(self.values), n_beyond))
        profile_beyond(raw.values, penalty, curvature, out)
        return self._extended(out, raw._at_wall)

    def _extended(self, beyond, wall):
        """Copy with nodes ``beyond`` the last one in rows that end at a ``wall``.

        The others get as many below the first, where they are linear in the signal.
        """
        n_beyond = beyond.shape[1]
        below = 10.0 ** (self.step * np.arange(-n_beyond, 0))
        below = self.zero[:, None] + (self.values[:, :1] - self.zero[:, None]) * below
        values = np.where(
            wall[:, None],
            np.concatenate([self.values, beyond], axis=1),
            np.concatenate([below, self.values], axis=1),
        )
        return replace(self, values=values, start=np.where(wall, self.start, self.start - n_beyond))

    def marginalized(self, prior):
        """Integrate the J-factor out: ``L(s) = int L(s 10^y) p(y) dy``.

        Beyond the last node the likelihood is taken as constant; from where more than
        `BEYOND_ALLOWED` of the integral comes from there, the result counts as extrapolated. At
        negative signals the likelihood beyond a wall is zero: shifts that lead there contribute
        nothing, and the density is not renormalised.
        """
        if prior.is_fixed:
            return self
        values, extrapolated = self._marginalized(prior, False)
        negative = self.negative
        if negative is not None:
            out, beyond = negative._marginalized(prior, True)
            wall, n_norm = negative._at_wall, negative.n_norm
            negative = replace(
                negative, values=np.ascontiguousarray(out[:, :n_norm]), extrapolated=beyond
            )._extended(out[:, n_norm:], wall)
        return replace(self, values=values, extrapolated=extrapolated, negative=negative)

    def _marginalized(self, prior, wall):
        """Values and ``extrapolated``; with a ``wall`` there can be more nodes."""
        n_out = self.n_norm + (self._n_beyond(prior) if wall else 0)
        low, high = prior.support
        if prior.is_gaussian and min(prior.err_low, prior.err_high) > 3 * self.step:
            # the trapezoid rule on the nodes is exact to rounding for a density this smooth
            first = int(np.floor(low / self.step))
            shifts = self.step * np.arange(first, int(np.ceil(high / self.step)) + 1)
            weights = prior.density(shifts)
            weights = weights / weights.sum()
            values = self._hidden_beyond(n_out + 1) if wall else self.values
            out, beyond = np.empty_like(values), np.empty_like(values)
            kernels.marginalize_on_nodes(values, self.zero, first, weights, self.step, out, beyond)
            out, beyond = np.ascontiguousarray(out[:, :n_out]), beyond[:, :n_out]
        else:
            shifts, weights = _composite_legendre(prior, PANEL * self.step)
            out, beyond = np.empty((len(self.values), n_out)), np.empty((len(self.values), n_out))
            kernels.marginalize_shift(
                self.values, self.zero, shifts / self.step, weights, self.step, wall, out, beyond
            )
        leans = (beyond > BEYOND_ALLOWED) & ~self.empty[:, None]
        node = self.step * (self.start + np.argmax(leans, axis=1) - 1)
        extrapolated = np.where(
            leans.any(axis=1), np.minimum(self.extrapolated, node), self.extrapolated
        )
        return out, np.where(self.empty, np.inf, extrapolated) if wall else extrapolated

    def _hidden_beyond(self, n_norm):
        """Values with nodes of no likelihood to speak of at the end, ``n_norm`` in all."""
        lowest = np.minimum(self.values.min(axis=1), self.zero)
        hidden = np.maximum(lowest + HIDDEN_STAT, self.values.max(axis=1))
        beyond = np.repeat(hidden[:, None], n_norm - self.n_norm, axis=1)
        return np.concatenate([self.values, beyond], axis=1)

    @classmethod
    def sum(cls, parts):
        """Add profiles of the same rows and step.

        A row reaches up to where its shortest part ends: nothing is extrapolated. It has negative
        signals if all its parts that hold information have.
        """
        if len(parts) == 1:
            return parts[0]
        far = np.iinfo(np.int64).max // 4
        start = np.min([np.where(p.empty, far, p.start) for p in parts], axis=0)
        stop = np.min([np.where(p.empty, far, p.stop) for p in parts], axis=0)
        empty = np.all([p.empty for p in parts], axis=0)
        start = np.where(empty, parts[0].start, start)
        stop = np.where(empty, parts[0].stop, stop)
        n_norm = int(np.max(stop - start))
        start = stop - n_norm
        values = np.zeros((len(start), n_norm))
        zero = np.zeros(len(start))
        for p in parts:
            v, z = p.values, p.zero
            if p.empty.any():
                v, z = np.where(p.empty[:, None], 0.0, v), np.where(p.empty, 0.0, z)
            offset = np.where(p.empty, -n_norm, start - p.start)
            kernels.add_aligned(v, z, offset, p.step, values, zero)
        extrapolated = np.min([p.extrapolated for p in parts], axis=0)
        gaps = np.array([p.gap for p in parts])
        gap = np.stack([gaps[..., 0].min(axis=0), gaps[..., 1].max(axis=0)], axis=1)
        mirrors = cls.mirrors(parts)
        negative = None if mirrors is None else cls.sum(mirrors)
        return cls(parts[0].step, start, values, zero, empty, extrapolated, gap, negative)

    @classmethod
    def mirrors(cls, parts):
        """Negative signals of parts of a sum, in rows where it has them; None if nowhere."""
        missing = np.all([p.empty for p in parts], axis=0)
        for p in parts:
            missing |= ~p.empty & (True if p.negative is None else p.negative.empty)
        if missing.all():
            return None
        n_row = len(missing)
        nothing = cls(
            parts[0].step, np.zeros(n_row, np.int64), np.zeros((n_row, 8)), np.zeros(n_row),
            np.ones(n_row, bool), np.full(n_row, np.inf),
        )  # fmt: skip
        return [nothing if p.negative is None else p.negative.without_rows(missing) for p in parts]

    def without_rows(self, rows):
        """Copy in which the rows that are True hold no information."""
        if not (rows & ~self.empty).any():
            return self
        values, zero = np.where(rows[:, None], 0.0, self.values), np.where(rows, 0.0, self.zero)
        return replace(self, values=values, zero=zero, empty=self.empty | rows)

    def without(self, part):
        """Take one part out of a sum, on the same stretch of the lattice."""
        values = np.zeros_like(self.values)
        zero = np.zeros_like(self.zero)
        off = part.empty | self.empty
        offset = np.where(off, -self.n_norm, self.start - part.start)
        held = np.where(off[:, None], 0.0, part.values)
        kernels.add_aligned(held, np.where(off, 0.0, part.zero), offset, self.step, values, zero)
        negative = self.negative
        if negative is not None and part.negative is not None:
            negative = negative.without(part.negative)
        return replace(self, values=self.values - values, zero=self.zero - zero, negative=negative)


def _composite_legendre(prior, width):
    """Shifts and weights, times the density, of panels no wider than ``width`` on both sides of 0.

    Panels end at the ends of the support and at zero, where a density may have a kink.
    """
    low, high = prior.support
    x, w = np.polynomial.legendre.leggauss(N_LEGENDRE)
    edges = [
        np.linspace(a, b, max(int(np.ceil((b - a) / width)), LEAST_PANELS) + 1)
        for a, b in ((low, min(high, 0.0)), (max(low, 0.0), high))
        if b > a
    ]
    left = np.concatenate([e[:-1] for e in edges])
    size = np.concatenate([np.diff(e) for e in edges])
    shifts = (left[:, None] + 0.5 * size[:, None] * (1 + x)).ravel()
    weights = (0.5 * size[:, None] * w).ravel() * prior.density(shifts)
    return shifts, weights / weights.sum()
