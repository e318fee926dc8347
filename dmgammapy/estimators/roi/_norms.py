"""Norms of all models of a region, any of which can be fitted: `RegionNorms`."""

from dataclasses import replace

import numpy as np

from ...datasets._counts_scan import minimise_problem
from ._likelihood import RegionLikelihood

__all__ = ["RegionNorms"]


class RegionNorms:
    """Likelihood of the norms of all models, their shapes held.

    Only voxels with counts are kept, with what unit norm of every model predicts there, so that
    a fit of a few norms costs milliseconds.

    Parameters
    ----------
    region : `Region`
    """

    def __init__(self, region):
        norms = {id(p): p for p in (region.norm(m) for m in region.models) if p is not None}
        likelihood = RegionLikelihood(region, list(norms.values()))
        self._problem = likelihood.problem()
        index = [0, *self._problem.index]
        lower, upper = likelihood.bounds
        self._lower = np.concatenate([[0.0], lower])[index]
        self._upper = np.concatenate([[np.inf], upper])[index]
        self._scale = likelihood._references[index]
        self.parameters = [likelihood._parameters[k] for k in index]
        self.theta = np.array([p.value for p in self.parameters]) / self._scale
        self._constant = likelihood._constant

    def mask(self, parameters):
        """Which norms belong to these parameters, bool array (K,)."""
        wanted = {id(p) for p in parameters}
        return np.array([id(p) in wanted for p in self.parameters])

    def solve(self, free, theta=None):
        """Minimise -2 ln L over some of the norms.

        Parameters
        ----------
        free : bool array, shape (K,)
        theta : array, shape (K,), optional
            Start and values of the others. Default is `theta`.

        Returns
        -------
        theta : array, shape (K,)
        stat : float
            -2 ln L, priors included.

        Raises
        ------
        RuntimeError
            If it does not converge.
        """
        theta = np.array(self.theta if theta is None else theta, dtype=float)
        problem, keep = self._part(free, theta)
        theta[keep], stat = minimise_problem(
            problem, theta[keep], free[keep], self._lower[keep], self._upper[keep], "norms"
        )
        return theta, stat + self._constant

    def stat(self, theta=None):
        """-2 ln L, priors included."""
        return self.solve(np.zeros(len(self.theta), dtype=bool), theta)[1]

    def update(self, theta):
        """Take these norms and write them into the parameters."""
        for parameter, old, new, scale in zip(
            self.parameters, self.theta, theta, self._scale, strict=True
        ):
            if new != old:
                parameter.value = new * scale
        self.theta = np.array(theta, dtype=float)

    def ts(self, k, free=None):
        """Test statistic of a norm: what -2 ln L rises by when it is zero.

        Parameters
        ----------
        k : int
            Index of the norm.
        free : bool array, shape (K,), optional
            Other norms that are fitted again. Default is none.

        Returns
        -------
        ts : float
            Zero if the norm is. Negative if the model describes the counts worse than none.
        """
        free = np.zeros(len(self.theta), dtype=bool) if free is None else free.copy()
        free[k] = False
        if self.theta[k] == 0:
            return 0.0
        without = self.theta.copy()
        without[k] = 0.0
        return self.solve(free, without)[1] - self.stat()

    def _part(self, free, theta):
        """Problem of the free norms (and the empty one of index 0), and which these are."""
        keep = free.copy()
        keep[0] = True
        held = ~keep
        (total, rows, fixed, counts, on_rows, on_fixed, on, off, alpha, constant, mean, weight) = (
            self._problem.arrays
        )
        constant = constant + 2 * float(total[held] @ theta[held])
        constant += float((weight * (theta - mean) ** 2)[held].sum())
        arrays = (
            total[keep], _columns(rows, keep), fixed + rows[:, held] @ theta[held], counts,
            _columns(on_rows, keep), on_fixed + on_rows[:, held] @ theta[held], on, off, alpha,
            constant, mean[keep], weight[keep],
        )  # fmt: skip
        return replace(self._problem, arrays=arrays), keep


def _columns(rows, keep):
    return rows if keep.all() else np.ascontiguousarray(rows[:, keep])
