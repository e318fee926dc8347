"""Whether the nodes of a scan are close enough to each other to read limits off."""

import numpy as np

from . import limits

__all__ = ["coarse_notes", "coarse_rows"]

PRECISION = 0.01  # of a limit
CL = 0.95
FEWEST_NODES = 9
SHARE = 1 / 15


def coarse_rows(nodes, stat):
    """Rows whose limits are uncertain by more than a per cent because nodes are far apart.

    The limit at 95 % is read off all nodes and off every other one, and a fifteenth of the
    difference taken for the error, as for cubic interpolation. Parabolas on 3 to 10 nodes per
    decade had errors between a fifth of that and four times as much. No note is no guarantee: few
    points of a linear grid can hide a narrow minimum.

    Parameters
    ----------
    nodes : array, shape (n_norm,)
        Strengths, ascending from 0.
    stat : array, shape (..., n_norm)
        -2 ln L.

    Returns
    -------
    coarse : bool array, shape (...,)
        Also where there are fewer than nine nodes. False where no limit is found.
    """
    shape = stat.shape[:-1]
    rows = stat.reshape(-1, stat.shape[-1])
    full = _limit(nodes, rows)
    if len(nodes) < FEWEST_NODES:
        return np.isfinite(full).reshape(shape)
    error = np.zeros(len(rows))
    for first in (1, 2):
        part = np.concatenate([[0], np.arange(first, len(nodes), 2)])
        if part[-1] != len(nodes) - 1:
            part = np.append(part, len(nodes) - 1)
        with np.errstate(invalid="ignore"):
            other = np.abs(_limit(nodes[part], rows[:, part]) / full - 1)
        error = np.fmax(error, np.where(np.isfinite(full) & np.isnan(other), np.inf, other))
    return (SHARE * error > PRECISION).reshape(shape)


def coarse_notes(nodes, stat, empty, channels, masses):
    """Notes on `coarse_rows`, a list with one or none.

    Parameters
    ----------
    nodes, stat
        Of the shape (channel, mass, norm), see `coarse_rows`.
    empty : bool array, shape (channel, mass), or None
        Rows that do not matter.
    channels, masses
        What they are about.
    """
    coarse = coarse_rows(nodes, stat)
    if empty is not None:
        coarse &= ~np.asarray(empty, dtype=bool)
    if not coarse.any():
        return []
    i, j = np.argwhere(coarse)[0]
    return [
        f"strengths are too far apart to read limits to 1 % at {np.count_nonzero(coarse)} of "
        f"{coarse.size} masses and channels, e.g. {channels[i]}, {masses[j]:g}; scan more densely."
    ]


def _limit(nodes, rows):
    log_nodes = np.log10(nodes[1:])
    scan, zero = np.ascontiguousarray(rows[:, 1:]), np.ascontiguousarray(rows[:, 0])
    best, minimum = limits.best_fit(log_nodes, scan, zero)
    return limits.upper_limit(
        log_nodes, scan, zero, best, minimum, limits.delta_stat_upper(CL),
        np.full(len(rows), np.inf),
    )[0]  # fmt: skip
