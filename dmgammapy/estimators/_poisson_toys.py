"""Likelihood profiles of simulated Poisson counts, many realisations at once and exactly.

A bin with an expected background b and s counts per unit norm has

    stat(x) - stat(0) = 2 s x - 2 n ln(1 + s x / b)

so that no scan has to be made, written or interpolated: the logarithms are the same for all
realisations, and a realisation is a sum of them weighted with its counts.
"""

import numpy as np
from numba import njit

from .lattice import LatticeProfiles

__all__ = ["PoissonProfiles"]

START_STAT = 1e-3  # the lattice begins where the signal changes stat by no more than that
MARGIN = 2.0  # decades the lattice goes on beyond the exclusion by any bin


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _sum_bins(logs, linear, counts, out):
    """Add up the bins.

    Parameters
    ----------
    logs : array, shape (n_row, n_bin, n_norm)
        ``ln(1 + s x / b)``.
    linear : array, shape (n_row, n_norm)
        Twice the expected signal counts.
    counts : array, shape (n_real, n_row, n_bin)
    out : array, shape (n_real, n_row, n_norm)
    """
    n_real, n_row, n_norm = out.shape
    for i in range(n_real):
        for r in range(n_row):
            row = out[i, r]
            for j in range(n_norm):
                row[j] = linear[r, j]
            for b in range(logs.shape[1]):
                n = 2.0 * counts[i, r, b]
                if n == 0.0:
                    continue
                curve = logs[r, b]
                for j in range(n_norm):
                    row[j] -= n * curve[j]


class PoissonProfiles:
    """Profiles of one SED likelihood whose bins are Poisson counts.

    Parameters
    ----------
    background, npred : array, shape (n_bin,)
        Expected background counts and counts of norm 1, of the bins used.
    amplitude : array, shape (n_row, n_bin)
        Norm per unit signal strength.
    width : float
        Width of the J-factor prior [dex], for which profiles must reach further.
    """

    def __init__(self, background, npred, amplitude, width):
        self.background = np.asarray(background, dtype=float)
        self.signal = np.asarray(amplitude, dtype=float) * np.asarray(npred, dtype=float)
        self.margin = max(MARGIN, 1.0 + 5.0 * width)
        self.empty = ~(self.signal > 0).any(axis=1)

    @property
    def n_row(self):
        """Number of masses times channels."""
        return len(self.signal)

    def mean(self, strength=0.0):
        """Expected counts of each row with its own signal, shape (..., n_row, n_bin)."""
        return self.background + np.asarray(strength)[..., None] * self.signal

    def _lattice(self, most, step, factor):
        """First node of each row and number of nodes, for at most so many counts per bin."""
        factor = factor[~self.empty, None]
        signal = factor * self.signal[~self.empty]
        most = factor * np.broadcast_to(most, self.signal.shape)[~self.empty]
        change = 2 * (signal * (1 + most / (factor * self.background))).sum(axis=1)
        with np.errstate(divide="ignore"):
            excluded = np.where(signal > 0, (most + 15 * np.sqrt(most) + 70) / signal, np.inf)
        bottom = np.log10(START_STAT / change)
        top = np.log10(excluded.min(axis=1)) + self.margin
        stop = np.ceil(top / step).astype(np.int64)
        n_norm = int((stop - np.floor(bottom / step)).max())
        start = np.zeros(self.n_row, dtype=np.int64)
        start[~self.empty] = stop - n_norm
        start[self.empty] = start[~self.empty][0]
        return start, n_norm

    def run(self, counts, step, factor=None):
        """Profiles relative to zero signal.

        Parameters
        ----------
        counts : array, shape (n_real, n_bin) or (n_real, n_row, n_bin)
            The same for all rows, or for each its own.
        step : float
            Lattice step in dex.
        factor : array, shape (n_row,), optional
            Exposure: multiplies counts, backgrounds and signals of a row.

        Returns
        -------
        profiles : `LatticeProfiles`
            With the rows (realisation, row).
        """
        counts = np.asarray(counts, dtype=float)
        if counts.ndim == 2:
            counts = np.broadcast_to(counts[:, None], (len(counts), *self.signal.shape))
        n_real = len(counts)
        if self.empty.all():
            start, n_norm = np.zeros(self.n_row, dtype=np.int64), 8
        else:
            every = np.ones(self.n_row) if factor is None else np.asarray(factor, dtype=float)
            start, n_norm = self._lattice(counts.max(axis=0), step, every)
        strength = 10.0 ** (step * (start[:, None] + np.arange(n_norm)))
        strength[self.empty] = 0.0
        expected = self.signal[:, :, None] * strength[:, None]
        logs = np.log1p(expected / self.background[:, None])
        out = np.empty((n_real, self.n_row, n_norm))
        _sum_bins(logs, 2 * expected.sum(axis=1), counts, out)
        if factor is not None:
            out *= np.asarray(factor)[:, None]
        n = n_real * self.n_row
        return LatticeProfiles(
            step=step,
            start=np.tile(start, n_real),
            values=out.reshape(n, n_norm),
            zero=np.zeros(n),
            empty=np.tile(self.empty, n_real),
            extrapolated=np.full(n, np.inf),
        )
