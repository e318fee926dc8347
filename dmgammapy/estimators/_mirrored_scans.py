"""Scans of energy bins at negative norms, turned round: `MirroredScans`."""

import numpy as np

__all__ = ["MirroredScans"]

# A scan that has risen by this towards its lowest norm is extrapolated beyond it; otherwise a
# prediction may have become impossible there.
RISE_STAT = 4.0
FLAT_STAT = 1e-9
SMOOTH = 5  # lattice steps beyond a wall for the interpolation on this side of it


class MirroredScans:
    """``stat`` of every energy bin as a function of minus its norm.

    Has what `convert` needs of `~dmgammapy.datasets.LikelihoodScans`.

    Parameters
    ----------
    scans : `~dmgammapy.datasets.LikelihoodScans`
    step : float
        Lattice step in dex.

    Attributes
    ----------
    reaches : bool array, shape (n_bins,)
        Bins with a scan at negative norms, or without any information.
    norm_min, norm_max : array, shape (n_bins,)
        Zero, and how far the scans reach.
    log10_wall : array, shape (n_bins,)
        log10 of minus the norm at which a likelihood ends; inf where it can be extrapolated. It
        ends with the scan if ``stat`` has not risen by `RISE_STAT` above its minimum there: a bin
        without counts has ``stat`` fall linearly down to where its prediction is zero.
    """

    def __init__(self, scans, step):
        low, high = scans.norm_min, scans.norm_max
        negative = low < 0
        width = np.where(negative, -low, np.abs(high))
        inner = np.concatenate([np.linspace(-1, 0, 49), np.logspace(-1.5, 4, 67)])
        grid = np.clip(width[:, None] * inner, low[:, None], high[:, None])
        stat = scans.stat(np.concatenate([grid, high[:, None]], axis=1))
        flat = np.ptp(stat, axis=1) < FLAT_STAT
        rises = (stat[:, 0] - stat.min(axis=1) >= RISE_STAT) & (stat[:, 0] > stat[:, 1])
        wall = negative & ~flat & ~rises
        self.n_bins = scans.n_bins
        self.interpolation = scans.interpolation
        self.reaches = negative | flat
        self.norm_min = np.zeros(scans.n_bins)
        self.norm_max = width
        self.log10_wall = np.where(wall, np.log10(np.where(wall, width, 1.0)), np.inf)
        self._last = 10.0 ** (self.log10_wall + SMOOTH * step)
        self._scans = scans

    def stat(self, norm):
        """Interpolate -2 ln L of each bin at ``-norm``, shape (n_bins, n_values).

        Some steps beyond a wall it stays constant.
        """
        return self._scans.stat(-np.minimum(norm, self._last[:, None]))
