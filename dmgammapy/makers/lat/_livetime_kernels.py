"""Numba kernels of the livetime cube; they take plain arrays only.

Rows of a spacecraft file become *pointings*: unit vectors of the telescope axis and of the zenith,
the livetime inside the good time intervals, and the same times the livetime fraction. Directions
come in *tiles* of neighbours, so that a pointing that sees none of a tile costs one comparison.
"""

import numpy as np
from numba import njit

__all__ = ["OK", "PROBLEMS", "fill_livetime", "good_seconds", "read_pointings"]

OK, NO_POINTING, NO_ZENITH, NO_LIVETIME, TOO_LIVE = range(5)
PROBLEMS = {
    NO_POINTING: "RA_SCZ, DEC_SCZ is not a direction",
    NO_ZENITH: "RA_ZENITH, DEC_ZENITH is not a direction",
    NO_LIVETIME: "LIVETIME is negative or not a number",
    TOO_LIVE: "LIVETIME is longer than STOP - START",
}
N_COLUMN = 8  # axis (3), zenith (3), livetime, weighted livetime
LIVETIME_RTOL = 1e-3

jit = njit(cache=True, nogil=True)
# sums in another order than written differ by rounding only
quick = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})


@jit
def good_seconds(start, stop, gti_start, gti_stop, seconds):
    """Seconds of each row inside good time intervals.

    Parameters
    ----------
    start, stop : array, shape (n_row,)
        Ascending.
    gti_start, gti_stop : array, shape (n_gti,)
        Ascending and disjoint.
    seconds : array, shape (n_row,)
        Receives the result.
    """
    n_gti = len(gti_start)
    first = np.searchsorted(gti_stop, start[0]) if len(start) else 0
    for i in range(len(start)):
        while first < n_gti and gti_stop[first] <= start[i]:
            first += 1
        total = 0.0
        k = first
        while k < n_gti and gti_start[k] < stop[i]:
            total += min(gti_stop[k], stop[i]) - max(gti_start[k], start[i])
            k += 1
        seconds[i] = total


@jit
def _write_direction(ra, dec, pointings, first, row):
    ra, dec = np.radians(ra), np.radians(dec)
    cos_dec = np.cos(dec)
    pointings[first, row] = cos_dec * np.cos(ra)
    pointings[first + 1, row] = cos_dec * np.sin(ra)
    pointings[first + 2, row] = np.sin(dec)


@jit
def read_pointings(start, stop, livetime, ra, dec, ra_zenith, dec_zenith, seconds, pointings):
    """Pointings of the rows with good time; the others are left out.

    Parameters
    ----------
    start, stop, livetime, ra, dec, ra_zenith, dec_zenith : array, shape (n_row,)
        Seconds and degrees.
    seconds : array, shape (n_row,)
        From `good_seconds`.
    pointings : array, shape (8, n_row)
        Receives axis, zenith, livetime and weighted livetime (livetime times its fraction).

    Returns
    -------
    n_pointing : int
        Number of columns that were filled.
    problem : int
        ``OK`` or the key of `PROBLEMS`.
    row : int
        Where the problem is.
    """
    n = 0
    for i in range(len(start)):
        if not seconds[i] > 0:
            continue
        if not (abs(ra[i]) < 1e3 and abs(dec[i]) < 90.001):
            return n, NO_POINTING, i
        if not (abs(ra_zenith[i]) < 1e3 and abs(dec_zenith[i]) < 90.001):
            return n, NO_ZENITH, i
        width = stop[i] - start[i]
        if not livetime[i] >= 0:
            return n, NO_LIVETIME, i
        if livetime[i] > width * (1 + LIVETIME_RTOL):
            return n, TOO_LIVE, i
        if livetime[i] == 0:
            continue
        _write_direction(np.float64(ra[i]), np.float64(dec[i]), pointings, 0, n)
        _write_direction(np.float64(ra_zenith[i]), np.float64(dec_zenith[i]), pointings, 3, n)
        pointings[6, n] = livetime[i] * (seconds[i] / width)
        pointings[7, n] = pointings[6, n] * (livetime[i] / width)
        n += 1
    return n, OK, 0


@quick
def _bin_tile(x, y, z, tile, n, scale, n_costheta, costheta_min, sqrt, bins):
    """Bins of cos(theta) of one pointing, n_costheta outside of the field of view."""
    last, outside = np.uint32(n_costheta - 1), np.uint32(n_costheta)
    for d in range(n):
        c = x * tile[0, d] + y * tile[1, d] + z * tile[2, d]
        f = max((1.0 - c) * scale, 0.0)
        f = np.sqrt(f) if sqrt else f
        k = min(np.uint32(f * n_costheta), last)
        bins[d] = k if c > costheta_min else outside


@quick
def _cut_zenith(x, y, z, tile, n, cos_zenith, n_costheta, bins):
    """Send directions beyond the largest zenith angle out of the field of view."""
    outside = np.uint32(n_costheta)
    for d in range(n):
        c = x * tile[0, d] + y * tile[1, d] + z * tile[2, d]
        bins[d] = bins[d] if c > cos_zenith else outside


@quick
def _fill_tile(pointings, tile, n, limits, costheta_min, sqrt, cos_zenith, histogram):
    """Add all pointings to the histograms of a tile of ``n`` directions."""
    n_costheta = histogram.shape[1] - 1
    scale = 1.0 / (1.0 - costheta_min)
    bins = np.empty(n, np.uint32)
    mx, my, mz, see_none, pass_none, pass_all = limits
    for p in range(pointings.shape[1]):
        x, y, z = pointings[0, p], pointings[1, p], pointings[2, p]
        if x * mx + y * my + z * mz <= see_none:
            continue
        zx, zy, zz = pointings[3, p], pointings[4, p], pointings[5, p]
        to_zenith = zx * mx + zy * my + zz * mz
        if to_zenith <= pass_none:
            continue
        _bin_tile(x, y, z, tile, n, scale, n_costheta, costheta_min, sqrt, bins)
        if to_zenith < pass_all:
            _cut_zenith(zx, zy, zz, tile, n, cos_zenith, n_costheta, bins)
        seconds, weighted = pointings[6, p], pointings[7, p]
        for d in range(n):
            k = bins[d]
            histogram[d, k, 0] += seconds
            histogram[d, k, 1] += weighted


@quick
def fill_livetime(pointings, directions, tiles, limits, costheta_min, sqrt, cos_zenith, histograms):
    r"""Add pointings to the histograms of cos(theta) of all directions.

    The bin is the integer part of :math:`n \sqrt{(1 - c) / (1 - c_\mathrm{min})}`, or of the same
    without the root; :math:`c \le c_\mathrm{min}` is outside.

    Parameters
    ----------
    pointings : array, shape (8, n_pointing)
        From `read_pointings`.
    directions : array, shape (3, n_direction)
        Unit vectors.
    tiles : int array, shape (n_tile + 1,)
        First direction of each tile, and the number of directions.
    limits : array, shape (n_tile, 6)
        Centre of each tile (3); cosine to the telescope axis up to which none is in the field of
        view; cosine to the zenith up to which none and from which on all pass the zenith cut.
    costheta_min : float
    sqrt : bool
        Bins of the root of 1 - cos(theta).
    cos_zenith : float
        Cosine of the largest zenith angle.
    histograms : array, shape (n_direction, n_costheta + 1, 2)
        Livetime and weighted livetime are added; the last bin is what was not seen, in part.
    """
    for t in range(len(tiles) - 1):
        low, high = tiles[t], tiles[t + 1]
        # copies: views inside the loop over pointings cost more than the sums
        tile = directions[:, low:high].copy()
        histogram = np.zeros((high - low, histograms.shape[1], 2))
        _fill_tile(
            pointings, tile, high - low, limits[t], costheta_min, sqrt, cos_zenith, histogram
        )
        for d in range(high - low):
            for k in range(histograms.shape[1]):
                histograms[low + d, k, 0] += histogram[d, k, 0]
                histograms[low + d, k, 1] += histogram[d, k, 1]
