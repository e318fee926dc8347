"""Numba kernels of profiles that end at a wall; plain arrays only, as in `_kernels`."""

import numpy as np
from numba import njit

from ._kernels import N_TAPS, _refine, lagrange6


@njit(cache=True, nogil=True)
def replace_near_poles(table, first, position, start, begin, exact, out):
    """Put exact values of bins in the place of those that `apply_spectra` has interpolated.

    Parameters
    ----------
    table, first, position, start
        As there.
    begin : int array, shape (n_row, n_bin)
        Lattice index of ``exact[r, b, 0]``.
    exact : array, shape (n_row, n_bin, n_near)
        ``stat`` relative to zero norm; NaN where a bin's values stay.
    out : array, shape (n_row, n_norm)
        Changed in place.
    """
    n_row, n_norm = out.shape
    n_bin, n_table = table.shape
    taps = np.empty(N_TAPS)
    for r in range(n_row):
        for b in range(n_bin):
            p = position[r, b]
            if np.isnan(p) or np.isnan(exact[r, b, 0]):
                continue
            p += start[r] - first[b]
            whole = int(np.floor(p))
            lagrange6(p - whole, taps)
            for i in range(exact.shape[2]):
                j = begin[r, b] + i - start[r]
                t = whole + j - 2
                if j < 0 or j >= n_norm or t < 0 or t + N_TAPS > n_table:
                    continue
                interpolated = 0.0
                for k in range(N_TAPS):
                    interpolated += taps[k] * table[b, t + k]
                out[r, j] += exact[r, b, i] - interpolated


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
