"""Numba kernels of profiles that end at a wall; plain arrays only, as in `_kernels`."""

import numpy as np
from numba import njit

from ._kernels import _refine


@njit(cache=True, nogil=True)
def profile_beyond(v, penalty, curvature_low, out):
    """As `profile_shift` for nodes beyond the last one: there the profile only lives on shifts.

    Parameters
    ----------
    v : array, shape (n_row, n_norm)
    penalty : array, shape (n_norm + n_beyond,)
        -2 ln L of a shift by ``-d`` steps at ``[d]``.
    curvature_low : float
        As there.
    out : array, shape (n_row, n_beyond)
    """
    n_row, n = v.shape
    for r in range(n_row):
        row = v[r]
        for i in range(out.shape[1]):
            best = np.inf
            at = n - 1
            for q in range(n):
                value = row[q] + penalty[n + i - q]
                if value < best:
                    best = value
                    at = q
            d = n + i - at
            if not np.isnan(curvature_low):
                k1, k2 = -2.0 * curvature_low * d, curvature_low
            elif d + 1 < len(penalty):
                k1 = 0.5 * (penalty[d - 1] - penalty[d + 1])
                k2 = 0.5 * (penalty[d + 1] - 2 * penalty[d] + penalty[d - 1])
            else:
                out[r, i] = best
                continue
            out[r, i] = _refine(row, at, penalty[d], k1, k2, best)
