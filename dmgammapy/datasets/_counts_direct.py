"""Profile the strength of many signals against the same counts and background."""

from copy import copy

import numpy as np

from ._counts_fit import STAT_TOLERANCE, FitState
from ._counts_scan import NEAR_ZERO, NormScan, scan_problem

__all__ = ["DirectScanner"]

N_ROUGH = 10  # scan points placed by the linearised problem, the others where the profile changes
MAX_REACH, MAX_SOLVE, MAX_SWEEPS = 8, 12, 3
NEAR = 1.0  # a neighbour's fit that is worse by more than this is not followed up


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
        self._problem = None if self._state.others else likelihood.problem()

    @property
    def is_linear(self):
        """True if only norms are free, so that copies can scan at the same time."""
        return self._problem is not None

    def copy(self):
        """Copy for another thread; only if `is_linear`."""
        out = copy(self)
        out._problem = self._problem.copy()
        return out

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
        if not self.is_linear:
            likelihood._set_signal(npred)
            return self._scan_nonlinear(what, settings)
        terms = likelihood._terms
        signals = [t.clean(cube, what) for t, cube in zip(terms, npred, strict=True)]
        self._problem.replace_signal([(t, slice(None)) for t in terms], signals)
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
        n_points = settings.get("n_points", 30)
        rough = scan_problem(
            problem, start, lower, upper, what=what, **settings | {"n_points": N_ROUGH}
        )
        if not rough.has_signal:
            return rough.shifted(self._null.stat - rough.stat)
        profile = _Profile(state, best)
        for norm in rough.norm_scan:
            profile.add(norm)
        top = settings.get("delta_stat_max", 50.0)
        profile.reach(top)
        profile.trim(top)
        ul = profile.solve(settings.get("delta_stat_ul", 2.705543454095404))
        keep = {0.0, rough.norm_scan[0], ul}
        if abs(profile.best) >= NEAR_ZERO * ul:
            keep.add(profile.best)
        profile.thin(keep, n_points)
        while len(profile.norms) < n_points:
            profile.add(profile.widest_gap())
        profile.settle()
        norm_scan, stat_scan = profile.arrays()
        stat = stat_scan.min()
        zero = stat_scan[np.flatnonzero(norm_scan == 0)[0]]
        return NormScan(
            norm_scan, stat_scan, float(norm_scan[stat_scan.argmin()]), float(stat),
            rough.norm_err, ul, float(zero - stat), rough.npred, best.norms[1:],
        )  # fmt: skip


class _Profile:
    """-2 ln L at norms of the signal with all else fitted, each begun at its nearest neighbour."""

    def __init__(self, state, best):
        self.state = state
        self.best = max(float(best.norms[0]), 0.0)
        self.norms = {}
        self.add(self.best, best)

    def add(self, norm, start=None):
        """Fit at a norm, unless it has been; returns -2 ln L."""
        norm = float(norm)
        if norm not in self.norms:
            if start is None:
                start = self.norms[min(self.norms, key=lambda known: abs(known - norm))]
            self.state.restore(start)
            self.state.hold_at(norm)
            self.state.minimise()
            self.norms[norm] = self.state.snapshot()
        return self.norms[norm].stat

    def arrays(self):
        """Norms, ascending, and -2 ln L."""
        norms = np.array(sorted(self.norms))
        return norms, np.array([self.norms[norm].stat for norm in norms])

    def _roots(self):
        """Norms and signed roots of the rise, which is nearly linear."""
        norms, stat = self.arrays()
        root = np.sqrt(np.maximum(stat - stat.min(), 0.0))
        return norms, np.where(norms < norms[stat.argmin()], -root, root)

    def settle(self):
        """Try the neighbours' fits at every norm, upwards and downwards, and keep the better."""
        norms = sorted(self.norms)
        for _ in range(MAX_SWEEPS):
            improved = False
            for order in (norms, norms[::-1]):
                for before, norm in zip(order[:-1], order[1:], strict=True):
                    improved |= self._try(norm, self.norms[before])
            if not improved:
                return

    def _try(self, norm, start):
        own = self.norms[norm]
        state = self.state
        state.restore(start)
        state.hold_at(norm)
        state.solve_norms()
        if state.stat > own.stat + NEAR:
            return False
        state.minimise()
        if state.stat < own.stat - 10 * STAT_TOLERANCE:
            self.norms[norm] = state.snapshot()
            return True
        return False

    def reach(self, level):
        """Add norms upwards until the rise is ``level``."""
        for _ in range(MAX_REACH):
            norms, roots = self._roots()
            if roots[-1] >= 0.999 * np.sqrt(level):
                return
            grow = np.sqrt(level) / max(roots[-1], 0.25 * np.sqrt(level))
            self.add(norms[-1] * min(max(1.05 * grow, 1.2), 4.0))

    def trim(self, level):
        """Let the scan end where the rise is ``level``."""
        for _ in range(MAX_REACH):
            norms, roots = self._roots()
            goal = np.sqrt(level)
            beyond = np.flatnonzero(roots > 1.1 * goal)
            if not beyond.size:
                return
            inside = np.flatnonzero(roots <= 1.1 * goal)[-1]
            for i in beyond[1:]:
                del self.norms[float(norms[i])]
            if roots[inside] >= 0.98 * goal:
                del self.norms[float(norms[beyond[0]])]
                return
            part = (goal - roots[inside]) / (roots[beyond[0]] - roots[inside])
            self.add(norms[inside] + part * (norms[beyond[0]] - norms[inside]))

    def solve(self, level):
        """Norm above the best fit where the rise is ``level``, itself added."""
        goal = np.sqrt(level)
        for _ in range(MAX_SOLVE):
            norms, roots = self._roots()
            above = norms >= norms[np.abs(roots).argmin()]
            norms, roots = norms[above], np.maximum.accumulate(roots[above])
            i = int(np.searchsorted(roots, goal))
            if i in (0, len(roots)):
                return float(norms[-1])
            part = (goal - roots[i - 1]) / (roots[i] - roots[i - 1])
            trial = norms[i - 1] + part * (norms[i] - norms[i - 1])
            if min(part, 1 - part) * (roots[i] - roots[i - 1]) < 1e-4:
                return float(norms[i] if part > 0.5 else norms[i - 1])
            self.add(trial)
        return float(trial)

    def thin(self, keep, n_points):
        """Drop norms so near to others that a curve through them would swing."""
        norms, roots = self._roots()
        least = 0.3 * (roots[-1] - roots[0]) / n_points
        last = norms[-1]
        kept = [i for i, norm in enumerate(norms) if norm in keep or norm == last]
        for i, norm in enumerate(norms):
            if i not in kept:
                if np.abs(roots[kept] - roots[i]).min() < least:
                    del self.norms[float(norm)]
                else:
                    kept.append(i)

    def widest_gap(self):
        """Middle of the two neighbours between which the root of the rise changes most."""
        norms, roots = self._roots()
        i = int(np.abs(np.diff(roots)).argmax())
        return 0.5 * (norms[i] + norms[i + 1])
