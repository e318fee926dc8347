"""Scans of energy bins at negative norms, turned round: `MirroredScans`."""

import numpy as np

from .lattice import step_for_ts

__all__ = ["MirroredScans"]

# A scan that has risen by this towards its lowest norm is extrapolated beyond it; otherwise a
# prediction may have become impossible there.
RISE_STAT = 3.9
NEAR_POLE = 1.05  # times the scan's reach
FLAT_STAT = 1e-9
SMOOTH = 5  # lattice steps beyond a wall for the interpolation on this side of it
# A likelihood that goes to zero at a pole is a parabola from CUT lattice steps before it on, and
# evaluated directly, not interpolated, from BEFORE steps before it to BEYOND steps after it.
CUT, BEFORE, BEYOND = 0.5, 32, 8
# Minima deeper than SHALLOW are that many steps away from poles, else the step is halved: with J
# integrated out a parabola lets in 1e-3 of likelihood then.
STEPS_TO_POLE, SHALLOW = 8.0, 1e-3


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
    log10_pole : array, shape (n_bins,)
        The same of the norm at which ``stat`` goes to infinity, as that of a bin with counts does
        where its prediction is zero; inf if it does not. The lattice can't follow it there: it
        goes on as a parabola, with the curvature it has half a step before, which is so steep that
        it stands for a likelihood of zero.
    """

    def __init__(self, scans, step):
        low, high = scans.norm_min, scans.norm_max
        negative = low < 0
        width = np.where(negative, -low, np.abs(high))
        inner = np.concatenate(
            [[-1], np.logspace(-9, -2, 36) - 1, np.linspace(-0.98, 0, 49), np.logspace(-1.5, 4, 67)]
        )
        grid = np.clip(width[:, None] * inner, low[:, None], high[:, None])
        stat = scans.stat(np.concatenate([grid, high[:, None]], axis=1))
        flat = np.ptp(stat, axis=1) < FLAT_STAT
        # few counts have risen by little where a scan comes next to their pole
        close = -scans.norm_pole < NEAR_POLE * width
        rises = (stat[:, 0] - stat.min(axis=1) >= RISE_STAT) | close
        rises &= stat[:, 0] > stat[:, 1]
        wall = negative & ~flat & ~rises
        self.n_bins = scans.n_bins
        self.interpolation = scans.interpolation
        self.reaches = negative | flat
        self.norm_min = np.zeros(scans.n_bins)
        self.norm_max = width
        self.log10_wall = np.where(wall, np.log10(np.where(wall, width, 1.0)), np.inf)
        self._last = 10.0 ** (self.log10_wall + SMOOTH * step)
        self._scans = scans
        self._step = step
        pole = np.where(negative & ~flat & rises, -scans.norm_pole, np.inf)
        self.log10_pole = np.log10(pole)
        self._prepare_cut(pole)

    def _prepare_cut(self, pole):
        """Value, slope and half the curvature where the parabolas begin."""
        there = np.isfinite(pole)
        distance = np.where(there, CUT * pole * (10.0**self._step - 1), 1.0)
        cut = np.where(there, pole - distance, 1.0)
        h = 0.01 * distance
        left, middle, right = self._scans.stat(-(cut[:, None] + h[:, None] * [-1, 0, 1])).T
        self._cut = np.where(there, cut, np.inf)
        self._parabola = (
            middle, (right - left) / (2 * h), np.maximum(left + right - 2 * middle, 0) / (2 * h**2)
        )  # fmt: skip

    def stat(self, norm):
        """Interpolate -2 ln L of each bin at ``-norm``, shape (n_bins, n_values).

        Some steps beyond a wall it stays constant.
        """
        norm = np.minimum(norm, self._last[:, None])
        cut = self._cut[:, None]
        stat = self._scans.stat(-np.minimum(norm, cut))
        if not np.isfinite(cut).any():
            return stat
        middle, slope, curvature = (part[:, None] for part in self._parabola)
        beyond = np.where(np.isfinite(cut), np.maximum(norm - cut, 0), 0.0)
        return stat + np.where(beyond > 0, beyond * (slope + curvature * beyond), 0.0)

    def near_poles(self, keep, log_amplitude):
        """``stat`` on the part of the lattice where poles are near.

        Parameters
        ----------
        keep : bool array, shape (n_bins,)
            Bins to use.
        log_amplitude : array, shape (n_row, n_bin)
            log10 of the norm per unit strength of the bins used.

        Returns
        -------
        begin : int array, shape (n_row, n_bin)
            Index of the first node.
        stat : array, shape (n_row, n_bin, n_near)
            Relative to zero norm; NaN for bins without a pole. None if no bin has one.
        """
        pole = self.log10_pole[keep]
        there = np.isfinite(pole) & np.isfinite(log_amplitude)
        if not there.any():
            return None
        n_near = BEFORE + BEYOND
        away = np.where(there, pole - log_amplitude, 0.0)
        begin = np.floor(away / self._step).astype(np.int64) - BEFORE
        log_norm = (
            self._step * (begin[..., None] + np.arange(n_near))
            + np.where(there, log_amplitude, 0.0)[..., None]
        )
        norm = np.zeros((self.n_bins, len(begin) * n_near + 1))
        norm[keep, 1:] = (
            np.where(there[..., None], 10.0**log_norm, 0.0)
            .transpose(1, 0, 2)
            .reshape(len(pole), -1)
        )
        stat = self.stat(norm)[keep]
        stat = (stat[:, 1:] - stat[:, :1]).reshape(len(pole), -1, n_near).transpose(1, 0, 2)
        return begin, np.where(there[..., None], stat, np.nan)

    def resolves(self, keep, log_amplitude, profiles):
        """Whether the lattice resolves the minima of mirrored profiles.

        Parameters
        ----------
        keep, log_amplitude
            As for `near_poles`.
        profiles : `LatticeProfiles`
            Of negative signals.
        """
        if step_for_ts(profiles.largest_ts()) < self._step:
            return False
        pole = (self.log10_pole[keep] - log_amplitude).min(axis=1)
        wall = (self.log10_wall[keep] - log_amplitude).min(axis=1)
        lowest = np.argmin(profiles.values, axis=1)
        best = self._step * (profiles.start + lowest)
        depth = profiles.zero - profiles.values.min(axis=1)
        near = (pole - best < STEPS_TO_POLE * self._step) & (depth > SHALLOW)
        # at a wall there is no minimum to resolve
        near &= (wall > pole) | (lowest < profiles.n_norm - 1)
        return not (near & ~profiles.empty).any()
