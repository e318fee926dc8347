"""Profile the strength of many signals against the same counts and background."""

import numpy as np

from ._counts_fit import FitState
from ._counts_scan import NormScan, profile_at, scan_problem

__all__ = ["DirectScanner"]


class DirectScanner:
    """Profile likelihoods of signals that differ in their spectra only.

    The background is fitted once without signal, which is where every scan begins. Free
    parameters that are not norms are fitted anew at every scan point.

    Parameters
    ----------
    likelihood : `CountsLikelihood`
    """

    def __init__(self, likelihood):
        self.likelihood = likelihood
        self._state = FitState(likelihood, 0.0, likelihood.nonlinear_parameters)
        self._state.minimise()
        self._null = self._state.snapshot()
        self._problem = None

    def scan(self, npred, what="scan", **settings):
        """Profile the norm of one signal.

        Parameters
        ----------
        npred : list of array, shape (n_energy, ny, nx)
            Prediction of norm 1, one for every dataset.
        what : str
            For messages.
        **settings
            For `_counts_scan.scan_problem`.

        Returns
        -------
        scan : `NormScan`
        """
        likelihood = self.likelihood
        likelihood.set_signal(npred)
        if likelihood.nonlinear_parameters:
            return self._scan_nonlinear(what, settings)
        if self._problem is None:
            self._problem = likelihood.problem()
        else:
            terms = likelihood._terms
            parts = [(t, slice(None)) for t in terms]
            self._problem.replace_signal(parts, [t.signal for t in terms])
        index = np.array(self._problem.index, dtype=int)
        lower, upper = likelihood.bounds
        scan = scan_problem(
            self._problem, self._null.norms[index], lower[index - 1], upper[index - 1],
            what=what, **settings,
        )  # fmt: skip
        return scan.shifted(likelihood._constant)

    def _scan_nonlinear(self, what, settings):
        """Scan points from the linearised problem, -2 ln L from fits at each of them."""
        state = self._state
        state.restore(self._null)
        state.hold_at(None)
        state.minimise()
        best = state.snapshot()
        problem, start, lower, upper = state.linearised()
        scan = scan_problem(problem, start, lower, upper, what=what, **settings)
        if not scan.has_signal:
            return scan.shifted(self._null.stat - scan.stat)
        norm_scan = scan.norm_scan
        stat_scan = profile_at(state, norm_scan, best)
        stat = min(best.stat, stat_scan.min())
        at_zero = np.flatnonzero(norm_scan == 0)
        zero = stat_scan[at_zero[0]] if at_zero.size else self._null.stat
        return NormScan(
            norm_scan, stat_scan, float(best.norms[0]), float(stat), scan.norm_err, scan.norm_ul,
            float(max(zero - stat, 0.0)), scan.npred, best.norms[1:],
        )  # fmt: skip
