"""Likelihood scans of many energy bins, interpolated together."""

import numpy as np

from . import _scan_kernels as kernels

__all__ = ["INTERPOLATIONS", "LikelihoodScans"]

INTERPOLATIONS = {"linear": 0, "cubic": 1, "poisson": 2}


class LikelihoodScans:
    """Interpolated ``stat`` of every energy bin as a function of its norm.

    Parameters
    ----------
    norm_scan : array, shape (n_bins, n_points)
        Norm values, ascending in each row. Rows may end in NaN where a bin has fewer points.
    stat_scan : array, shape (n_bins, n_points)
        -2 ln L at those norms.
    interpolation : {"poisson", "cubic", "linear"}
        ``poisson`` fits the shape of a Poisson likelihood (a Gaussian being its limit) to each
        scan and runs a cubic spline through what is left, so that values between and beyond the
        points follow the likelihood's own shape; ``cubic`` is a not-a-knot spline with tangent
        tails; ``linear`` joins the points. Default is ``poisson``.

    Raises
    ------
    ValueError
        If shapes differ, a row has fewer than three points, or norms do not ascend.

    Examples
    --------
    Three counts on a background of two, scanned coarsely, and read off between the points:

    >>> import numpy as np
    >>> from dmgammapy.datasets.scans import LikelihoodScans
    >>> norm = np.linspace(0, 10, 11)
    >>> stat = 2 * (norm - 3 * np.log(2 + norm))
    >>> scans = LikelihoodScans([norm], [stat])
    >>> exact = 2 * (20.5 - 3 * np.log(22.5))
    >>> bool(abs(scans.stat([20.5])[0] - exact) < 1e-6)
    True
    """

    def __init__(self, norm_scan, stat_scan, interpolation="poisson"):
        norm = np.array(norm_scan, dtype=float, ndmin=2)
        stat = np.array(stat_scan, dtype=float, ndmin=2)
        if norm.shape != stat.shape or norm.ndim != 2:
            raise ValueError(
                "norm_scan and stat_scan must have the same shape (n_bins, n_points), "
                f"got {norm.shape} and {stat.shape}."
            )
        if interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"interpolation must be one of {sorted(INTERPOLATIONS)}, got {interpolation!r}."
            )
        good = np.isfinite(norm) & np.isfinite(stat)
        n_points = good.sum(axis=1)
        for b in range(len(norm)):
            n = n_points[b]
            if not good[b, :n].all():
                raise ValueError(f"bin {b}: a NaN stands between valid scan points.")
            if n < 3:
                raise ValueError(f"bin {b}: a scan needs at least 3 points, got {n}.")
            if not (np.diff(norm[b, :n]) > 0).all():
                raise ValueError(f"bin {b}: the norms of a scan must ascend.")
        self.interpolation = interpolation
        self._mode = INTERPOLATIONS[interpolation]
        self._norm = np.where(good, norm, np.inf)
        self._n_points = n_points.astype(np.int64)
        self._params = np.zeros((len(norm), 6))
        self._residual = np.zeros(norm.shape)
        self._slopes = np.zeros(norm.shape)
        kernels.prepare_scans(
            self._norm, stat, self._n_points, self._mode,
            self._params, self._residual, self._slopes,
        )  # fmt: skip

    def __repr__(self):
        return f"LikelihoodScans(n_bins={self.n_bins}, interpolation={self.interpolation!r})"

    @property
    def n_bins(self):
        """Number of energy bins."""
        return len(self._norm)

    @property
    def norm_min(self):
        """Lowest scanned norm of each bin, shape (n_bins,)."""
        return self._norm[:, 0].copy()

    @property
    def norm_max(self):
        """Highest scanned norm of each bin, shape (n_bins,)."""
        return self._norm[np.arange(self.n_bins), self._n_points - 1]

    @property
    def norm_pole(self):
        """Norm at which the Poisson shape predicts zero counts, shape (n_bins,); -inf if none.

        There ``stat`` grows without bounds.
        """
        curved = self._params[:, 2] > 0
        return np.where(curved, -self._params[:, 3], -np.inf)

    def stat(self, norm):
        """Interpolate -2 ln L of each bin.

        Parameters
        ----------
        norm : array, shape (n_bins,) or (n_bins, n_values)
            Norms, in any order; outside the scan the curve is extrapolated.

        Returns
        -------
        stat : array of the same shape
        """
        norm = np.asarray(norm, dtype=float)
        values = np.ascontiguousarray(norm.reshape(self.n_bins, -1))
        out = np.empty(values.shape)
        kernels.evaluate_scans(
            values, self._norm, self._n_points, self._mode,
            self._params, self._residual, self._slopes, out,
        )  # fmt: skip
        return out.reshape(norm.shape)
