"""Likelihood of targets whose J-factors vary together."""

from dataclasses import dataclass, replace

import numpy as np
from joblib import Parallel, delayed

from dmgammapy.modeling import JFactorPrior

from . import _correlated_kernels as kernels
from ._correlated_covariance import split_covariance
from ._kernels import profile_shift
from .lattice import LatticeProfiles

__all__ = ["marginalize_correlated", "profile_correlated"]

LN10 = np.log(10)
LARGEST_SHIFT = 7.1  # standard deviations of the common factor; a density of 1e-11
ROWS_PER_JOB = 8
RIDGE = 1e-2
# Beyond a wall of negative signals stat rises by this much per step squared, and more where it
# falls towards the wall.
WALL_CURVATURE, WALL_NODES = 100.0, 4


@dataclass
class _Stack:
    """Profiles of several targets as the kernels want them; see `kernels.profile_shifts`."""

    total: LatticeProfiles
    v: np.ndarray
    slope: np.ndarray
    zero: np.ndarray
    lead: np.ndarray
    length: np.ndarray

    @classmethod
    def of(cls, parts, wall=False):
        total = LatticeProfiles.sum(parts)
        shape = (len(total.start), len(parts))
        n_more = WALL_NODES if wall else 0
        v = np.zeros((*shape, max(p.n_norm for p in parts) + n_more))
        slope = np.zeros_like(v)
        zero = np.zeros(shape)
        lead = np.zeros(shape, dtype=np.int64)
        length = np.zeros(shape, dtype=np.int64)
        for t, p in enumerate(parts):
            slopes = np.empty_like(p.values)
            kernels.node_slopes(p.values, p.zero, p.step, slopes)
            v[:, t, : p.n_norm] = p.values
            slope[:, t, : p.n_norm] = slopes
            zero[:, t] = p.zero
            lead[:, t] = total.start - p.start
            if wall:
                more = slice(p.n_norm, p.n_norm + n_more)
                end, along = p.values[:, -1:], slopes[:, -1:]
                bend = WALL_CURVATURE * (1 + along**2)
                steps = np.arange(1, n_more + 1)
                v[:, t, more] = end + (along + bend * steps) * steps
                slope[:, t, more] = along + 2 * bend * steps
            length[:, t] = np.where(p.empty, 0, p.n_norm + n_more)
        return cls(total, v, slope, zero, lead, length)

    def rows(self, rows):
        return tuple(a[rows] for a in (self.v, self.slope, self.zero, self.lead, self.length))


def _independent(parts, variance, treat):
    return [
        getattr(p, treat)(JFactorPrior(0.0, np.sqrt(s)))
        for p, s in zip(parts, variance, strict=True)
    ]


def profile_correlated(parts, matrix, n_jobs=1):
    r"""Profile J-factors with a common covariance.

    .. math::
        \min_y \Big[ \sum_t \mathrm{stat}_t(\sigma v\,10^{y_t}) + y^T C^{-1} y \Big]

    With ``C = D + A A^T`` (D diagonal) and ``y = d + A u`` the penalty is ``sum d_t^2 / D_t +
    u . u``: the d are profiled target by target, the u together. C may be singular.

    Parameters
    ----------
    parts : list of `LatticeProfiles`
        One per target, the J-factor not yet treated; same step and rows.
        Where all have negative signals, so has the result, up to the first wall.
    matrix : array, shape (n_target, n_target)
        Covariance [dex2] with a positive diagonal.
    n_jobs : int
        Threads.

    Returns
    -------
    total : `LatticeProfiles`
        The profile.
    terms : list of `LatticeProfiles`
        Part of each target at the best shifts, which add up to ``total``: its ``stat``, and of
        the penalty ``y_t (C^{-1} y)_t``.
    """
    split = split_covariance(np.asarray(matrix))
    parts = _independent(parts, split.variance, "profiled")
    treated, terms = _profile(parts, split, n_jobs)
    mirrors = LatticeProfiles.mirrors(parts)
    if mirrors is not None:
        treated.negative, below = _profile(mirrors, split, n_jobs, wall=True)
        for term, negative in zip(terms, below, strict=True):
            term.negative = negative
    return treated, terms


def _profile(parts, split, n_jobs, wall=False):
    """`profile_correlated` for signals of one sign, what is independent being treated."""
    step = parts[0].step
    stack = _Stack.of(parts, wall)
    total = stack.total
    loading = split.loading / step
    square = np.sum(split.loading**2, axis=0)
    back = split.loading.T * step / (square + RIDGE * square.max())[:, None]
    common = np.sum(split.loading**2, axis=1)
    alone = [
        _alone(part, variance, lead, total.n_norm)
        for part, variance, lead in zip(parts, common, stack.lead.T, strict=True)
    ]
    guess = np.stack(alone, axis=1)
    inside = np.arange(stack.v.shape[2]) < stack.length[..., None]
    lowest = np.minimum(np.where(inside, stack.v, np.inf).min(axis=2), stack.zero)
    position = np.array([p.extrapolated / step - p.start for p in parts]).T
    beyond = np.minimum(position, stack.length - 1) + 1e-9
    values = np.empty_like(total.values)
    terms = np.empty((len(values), len(parts), total.n_norm))
    first = np.empty(len(values), dtype=np.int64)

    def work(rows):
        v, slope, zero, lead, length = stack.rows(rows)
        kernels.profile_shifts(
            v, slope, zero, lead, length, lowest[rows], guess[rows], loading, back, step * LN10,
            beyond[rows], values[rows], terms[rows], first[rows],
        )  # fmt: skip

    _in_threads(work, len(values), n_jobs)
    extrapolated = np.where(first < total.n_norm, step * (total.start + first - 1), np.inf)
    zeros = np.where(stack.length > 0, stack.zero, 0.0)
    no_limit = np.full(len(values), np.inf)
    treated = LatticeProfiles(
        step, total.start, values, total.zero, total.empty, extrapolated, total.gap
    )
    return treated, [
        LatticeProfiles(step, total.start, terms[:, t], zeros[:, t], total.empty, no_limit)
        for t in range(len(parts))
    ]


def _alone(part, variance, lead, n_node):
    """Shift in steps that were best for a target alone, at the nodes of the sum."""
    curvature = part.step**2 / max(variance, 1e-12)
    origin = np.empty(part.values.shape, dtype=np.int64)
    out = np.empty_like(part.values)
    distance = np.arange(-(part.n_norm - 1), part.n_norm)
    profile_shift(part.values, curvature * distance**2.0, curvature, curvature, True, out, origin)
    shift = origin - np.arange(part.n_norm)
    node = np.clip(lead[:, None] + np.arange(n_node), 0, part.n_norm - 1)
    return np.take_along_axis(shift, node, axis=1).astype(float)


def marginalize_correlated(parts, matrix, n_jobs=1):
    """Integrate J-factors with one common factor out, the density being normal in all log10 J.

    Parameters
    ----------
    parts, matrix, n_jobs
        As for `profile_correlated`.

    Returns
    -------
    total : `LatticeProfiles` or None
        None if the covariance has more than one common factor.
    """
    split = split_covariance(np.asarray(matrix))
    if split.loading.shape[1] > 1:
        return None
    parts = _independent(parts, split.variance, "marginalized")
    treated = _marginalize(parts, split, n_jobs)
    mirrors = LatticeProfiles.mirrors(parts)
    if mirrors is not None:
        treated.negative = _marginalize(mirrors, split, n_jobs, wall=True)
    return treated


def _marginalize(parts, split, n_jobs, wall=False):
    """`marginalize_correlated` for signals of one sign."""
    step = parts[0].step
    stack = _Stack.of(parts, wall)
    total = stack.total
    loading = split.loading[:, 0] / step
    width = min(0.25, 1.0 / np.abs(loading).max())
    # the trapezoid rule is exact to rounding for a density this smooth
    nodes = width * np.arange(-np.ceil(LARGEST_SHIFT / width), np.ceil(LARGEST_SHIFT / width) + 1)
    weights = np.exp(-0.5 * nodes**2)
    weights /= weights.sum()
    values = np.empty_like(total.values)

    def work(rows):
        kernels.marginalize_shifts(
            *stack.rows(rows), nodes, weights, loading, step * LN10, values[rows]
        )

    _in_threads(work, len(values), n_jobs)
    return replace(total, values=values)


def _in_threads(work, n_row, n_jobs):
    rows = [slice(i, i + ROWS_PER_JOB) for i in range(0, n_row, ROWS_PER_JOB)]
    Parallel(n_jobs=n_jobs, prefer="threads")(delayed(work)(r) for r in rows)
