"""Fit of all parameters of a counts likelihood: norms inside, others by re-linearising."""

from typing import NamedTuple

import numpy as np
from astropy.table import Table
from scipy.optimize import minimize

from . import _counts_kernels as kernels
from ._counts_models import prior_value
from ._counts_problem import make_problem
from ._counts_scan import minimise_problem

__all__ = ["CountsFit", "FitState", "fit_likelihood"]

MAX_OUTER = 12
MAX_QUASI_NEWTON = 300
STAT_TOLERANCE = 1e-6
STEP_OF_ERROR = 0.1  # finite differences, in standard deviations


class CountsFit:
    """Result of `CountsLikelihood.fit`.

    Attributes
    ----------
    parameters : list of `~gammapy.modeling.Parameter`
        What was fitted: the source's, background norms, others. They keep their values until
        `CountsLikelihood.update_models`.
    names : list of str
        ``model.parameter`` of each.
    covariance : array, shape (n, n)
        In the parameters' units; zero for a parameter at its bound.
    stat : float
        -2 ln L with priors, as Gammapy's ``Datasets.stat_sum``.
    n_iter : int
        Outer iterations; 0 if all is linear.
    norms, covariance_norms : arrays, shape (n,), (n, n)
        The same in units of the likelihood's templates.
    """

    def __init__(self, parameters, names, scales, norms, covariance_norms, stat, n_iter):
        self.parameters = parameters
        self.names = names
        self.norms = norms
        self.covariance_norms = covariance_norms
        self.stat = stat
        self.n_iter = n_iter
        self._scales = scales
        self.covariance = covariance_norms * np.outer(scales, scales)

    @property
    def values(self):
        """Best values by name, dict."""
        return dict(zip(self.names, (self.norms * self._scales).tolist(), strict=True))

    @property
    def errors(self):
        """Standard deviations by name, dict; NaN for a parameter at its bound."""
        sigma = np.sqrt(np.diag(self.covariance))
        return dict(zip(self.names, np.where(sigma > 0, sigma, np.nan).tolist(), strict=True))

    def to_table(self):
        """Values and errors as `~astropy.table.Table` with the columns name, value, error, unit."""
        units = [str(parameter.unit) for parameter in self.parameters]
        values = list(self.values.values())
        errors = list(self.errors.values())
        return Table([self.names, values, errors, units], names=["name", "value", "error", "unit"])

    def to_models(self, models, aliases=None):
        """Write values, errors and covariance into models.

        Parameters
        ----------
        models : `~gammapy.modeling.models.Models`
            Those of the datasets.
        aliases : dict, optional
            ``{id of a parameter: parameter of the fit}`` for models that stand for another.
        """
        own = {id(parameter): i for i, parameter in enumerate(self.parameters)}
        own |= {key: own[id(p)] for key, p in (aliases or {}).items() if id(p) in own}
        values = self.norms * self._scales
        rows = list(models.covariance.parameters)  # linked parameters stand there repeatedly
        source = np.array([own.get(id(p), -1) for p in rows], dtype=int)
        for parameter, i in zip(rows, source, strict=True):
            if i >= 0:
                parameter.value = values[i]
        matrix = np.array(models.covariance.data)
        mine = np.flatnonzero(source >= 0)
        matrix[mine, :] = 0.0
        matrix[:, mine] = 0.0
        matrix[np.ix_(mine, mine)] = self.covariance[np.ix_(source[mine], source[mine])]
        models.covariance = matrix

    def __repr__(self):
        rows = [
            f"  {name:<32} {value:>12.5g} +- {self.errors[name]:.3g}"
            for name, value in self.values.items()
        ]
        return f"CountsFit(stat={self.stat:.4f}, n_iter={self.n_iter})\n" + "\n".join(rows)


def fit_likelihood(likelihood, norm=None, nonlinear=True):
    """Minimise -2 ln L over norms and, if asked, the other free parameters."""
    others = likelihood.nonlinear_parameters if nonlinear else []
    try:
        state = FitState(likelihood, norm, others)
        n_iter = state.minimise()
        covariance = state.covariance()
    finally:
        if others:
            likelihood._assemble()  # back to the models' own values
    parameters = [likelihood.parameter, *likelihood.norm_parameters, *others]
    scales = np.concatenate([likelihood._references, np.ones(len(others))])
    names = [likelihood._name(p) for p in parameters]
    values = np.concatenate([state.norms, state.values])
    start, stop = (1, None) if norm is not None else (0, None)
    pick = slice(start, stop)
    fit = CountsFit(
        parameters[pick], names[pick], scales[pick], values[pick], covariance[pick, pick],
        state.stat, n_iter,
    )  # fmt: skip
    return fit


class Snapshot(NamedTuple):
    """State of a fit: norms, other parameters, steps of their derivatives, -2 ln L."""

    norms: np.ndarray
    values: np.ndarray
    steps: np.ndarray
    stat: float


class FitState:
    """Norms and other parameters on their way to the minimum."""

    def __init__(self, likelihood, norm, others):
        self.likelihood = likelihood
        self.others = others
        self.values = np.array([p.value for p in others], dtype=float)
        self.lower = np.array([p.min if np.isfinite(p.min) else -np.inf for p in others])
        self.upper = np.array([p.max if np.isfinite(p.max) else np.inf for p in others])
        self.steps = np.array([_first_step(p) for p in others])
        self.hold = norm
        n = 1 + len(likelihood.norm_parameters)
        low, high = likelihood.bounds
        self.norm_lower = np.concatenate([[0.0], low])
        if likelihood.parameter.min < 0:
            self.norm_lower[0] = likelihood.parameter.min / likelihood._references[0]
        top = likelihood.parameter.max / likelihood._references[0]
        self.norm_upper = np.concatenate([[top if np.isfinite(top) else np.inf], high])
        first = likelihood.parameter.value / likelihood._references[0] if norm is None else norm
        self.norms = np.concatenate([[first], likelihood.start])
        self.free = np.ones(n, dtype=bool)
        self.free[0] = norm is None
        self.stat = np.inf

    def minimise(self):
        """Fit everything that is free; returns the number of outer iterations."""
        self.solve_norms()
        return self.iterate() if self.others else 0

    def hold_at(self, norm):
        """Hold the source at this norm from now on, or fit it if None."""
        self.hold = norm
        self.free[0] = norm is None
        if norm is not None:
            self.norms[0] = norm
        self.stat = np.inf

    def snapshot(self):
        """Where it stands now."""
        return Snapshot(self.norms.copy(), self.values.copy(), self.steps.copy(), self.stat)

    def restore(self, snapshot):
        """Go back to a snapshot."""
        self.norms, self.values = snapshot.norms.copy(), snapshot.values.copy()
        self.steps, self.stat = snapshot.steps.copy(), snapshot.stat

    def linearised(self):
        """Problem with the other parameters as further norms, its start and bounds."""
        self.likelihood._assemble(self._changes(self.values))
        problem = self._linearised(self._derivatives(self.steps))
        pick = np.array(problem.index, dtype=int) - 1
        start = np.concatenate([self.norms[1:], np.zeros(len(self.others))])
        lower = np.concatenate([self.norm_lower[1:], self.lower - self.values])
        upper = np.concatenate([self.norm_upper[1:], self.upper - self.values])
        return problem, start[pick], lower[pick], upper[pick]

    def prior(self, values):
        """-2 ln of the priors of the other parameters."""
        return sum(prior_value(p, v) for p, v in zip(self.others, values, strict=True))

    def _changes(self, values):
        return dict(zip(self.others, values, strict=True))

    def solve_norms(self, values=None):
        """Minimise over the norms at fixed other parameters; returns norms, -2 ln L, problem."""
        values = self.values if values is None else values
        likelihood = self.likelihood
        if self.others:
            likelihood._assemble(self._changes(values))
        problem = likelihood.problem()
        index = np.concatenate([[0], problem.index]).astype(int)
        theta = self.norms[index]
        if self.free[0] and not problem.npred_signal > 0:
            raise ValueError(f"the source {likelihood.source!r} predicts no counts.")
        if theta[0] <= 0 and self.free[0]:
            theta[0] = 0.01 * max(problem.n_counts, 1.0) / problem.npred_signal
        theta, stat = minimise_problem(
            problem, theta, self.free[index], self.norm_lower[index], self.norm_upper[index]
        )
        norms = self.norms.copy()
        norms[index] = theta
        stat += likelihood._constant + self.prior(values)
        if stat < self.stat:
            self.norms, self.stat, self.values = norms, stat, np.array(values, dtype=float)
        return norms, stat

    def _derivatives(self, h):
        """Derivatives of the prediction by the other parameters, at norms and values.

        Returns first derivatives (one list of arrays per parameter) and a function that gives
        second derivatives.
        """
        likelihood = self.likelihood
        first = []
        for j, parameter in enumerate(self.others):
            up, down = self.values.copy(), self.values.copy()
            up[j] = min(up[j] + h[j], self.upper[j])
            down[j] = max(down[j] - h[j], self.lower[j])
            plus = likelihood._varying(self._changes(up), parameter)
            minus = likelihood._varying(self._changes(down), parameter)
            width = up[j] - down[j]
            first.append(_difference(plus, minus, width))
        return first

    def _linearised(self, first):
        """Problem with the derivatives as further columns."""
        likelihood = self.likelihood
        n = len(self.norms)
        for j, derivative in enumerate(first):
            for i, terms in enumerate(likelihood._terms):
                columns = derivative[i]
                total = sum(self.norms[k] * c if k >= 0 else c for k, c in columns.items())
                if columns:
                    terms.templates[n + j] = np.where(terms.weight > 0, total, 0.0)
        priors = dict(likelihood._priors)
        for j, parameter in enumerate(self.others):
            priors[n + j] = _quadratic(parameter, self.values[j], self.steps[j])
        parts = [(terms, slice(None)) for terms in likelihood._terms]
        problem = make_problem(parts, priors)
        for terms in likelihood._terms:
            for j in range(len(self.others)):
                terms.templates.pop(n + j, None)
        return problem

    def iterate(self):
        """Re-linearise until -2 ln L stands still; returns the number of iterations."""
        n = len(self.norms)
        for iteration in range(1, MAX_OUTER + 1):
            self.likelihood._assemble(self._changes(self.values))
            first = self._derivatives(self.steps)
            problem = self._linearised(first)
            index = np.concatenate([[0], problem.index]).astype(int)
            start = np.concatenate([self.norms, np.zeros(len(self.others))])
            lower = np.concatenate([self.norm_lower, self.lower - self.values])
            upper = np.concatenate([self.norm_upper, self.upper - self.values])
            free = np.concatenate([self.free, np.ones(len(self.others), dtype=bool)])
            theta, _ = minimise_problem(
                problem, start[index], free[index], lower[index], upper[index]
            )
            self._update_steps(theta, problem, index, n)
            move = np.zeros(len(self.others))
            for position, i in enumerate(index):
                if i >= n:
                    move[i - n] = theta[position]
            before, stat_before = self.values.copy(), self.stat
            length = 1.0
            while length > 1e-4:
                trial = np.clip(before + length * move, self.lower, self.upper)
                if self.solve_norms(trial)[1] < stat_before + STAT_TOLERANCE:
                    break
                length *= 0.4
            if stat_before - self.stat < STAT_TOLERANCE:
                self.likelihood._assemble(self._changes(self.values))
                return iteration
        # far from the data, where the linearised problem says little about the curvature
        return MAX_OUTER + self._quasi_newton()

    def _quasi_newton(self):
        """Minimise the profile over the norms by L-BFGS; returns the number of iterations."""
        scale = np.where(self.steps > 0, self.steps, 1.0) / STEP_OF_ERROR

        def profile(x):
            values = np.clip(x * scale, self.lower, self.upper)
            norms, stat = self.solve_norms(values)
            return stat, self._gradient(norms, values) * scale

        bounds = list(zip(self.lower / scale, self.upper / scale, strict=True))
        result = minimize(
            profile, self.values / scale, jac=True, method="L-BFGS-B", bounds=bounds,
            options={"ftol": 1e-14, "gtol": 1e-5, "maxiter": MAX_QUASI_NEWTON},
        )  # fmt: skip
        if result.nit >= MAX_QUASI_NEWTON:
            raise RuntimeError(
                f"the fit did not converge in {MAX_OUTER + result.nit} iterations; free fewer of "
                f"{[self.likelihood._name(p) for p in self.others]} or start nearer."
            )
        self.likelihood._assemble(self._changes(self.values))
        return result.nit

    def _gradient(self, norms, values):
        """Derivative of -2 ln L by the other parameters, at norms that minimise it."""
        likelihood = self.likelihood
        slopes = likelihood._slopes(norms)
        out = np.empty(len(self.others))
        for j, parameter in enumerate(self.others):
            h = self.steps[j]
            up, down = values.copy(), values.copy()
            up[j], down[j] = min(up[j] + h, self.upper[j]), max(down[j] - h, self.lower[j])
            change = self._weighted(slopes, up, parameter, norms)
            change -= self._weighted(slopes, down, parameter, norms)
            change += prior_value(parameter, up[j]) - prior_value(parameter, down[j])
            out[j] = change / (up[j] - down[j])
        return out

    def _update_steps(self, theta, problem, index, n):
        hessian = np.empty((len(theta), len(theta)))
        kernels.evaluate(theta, problem.arrays, np.empty(len(theta)), hessian)
        sigma = _sigma(hessian)
        for position, i in enumerate(index):
            if i >= n and sigma[position] > 0:
                self.steps[i - n] = STEP_OF_ERROR * sigma[position]

    def covariance(self):
        """Inverse of half the second derivatives of -2 ln L, (n, n); zero at bounds."""
        likelihood = self.likelihood
        n = len(self.norms)
        m = len(self.others)
        if m:
            likelihood._assemble(self._changes(self.values))
            first = self._derivatives(self.steps)
            problem = self._linearised(first)
        else:
            problem = likelihood.problem()
        index = np.concatenate([[0], problem.index]).astype(int)
        theta = np.concatenate([self.norms, np.zeros(m)])[index]
        hessian = np.zeros((n + m, n + m))
        part = np.empty((len(index), len(index)))
        kernels.evaluate(theta, problem.arrays, np.empty(len(index)), part)
        hessian[np.ix_(index, index)] = part
        if m:
            hessian += self._curvature(first)
        free = np.zeros(n + m, dtype=bool)
        free[index] = True
        free[:n] &= self.free & (self.norms > self.norm_lower) & (self.norms < self.norm_upper)
        free[n:] &= (self.values > self.lower) & (self.values < self.upper)
        free &= np.diag(hessian) > 0
        out = np.zeros((n + m, n + m))
        inside = np.ix_(free, free)
        scale = 1 / np.sqrt(np.diag(hessian)[free])
        matrix = hessian[inside] * np.outer(scale, scale)
        out[inside] = 2 * np.linalg.pinv(matrix, hermitian=True) * np.outer(scale, scale)
        return out

    def _curvature(self, first):
        """Part of the second derivatives that comes from those of the prediction."""
        likelihood = self.likelihood
        n, m = len(self.norms), len(self.others)
        slopes = likelihood._slopes(self.norms)
        out = np.zeros((n + m, n + m))
        for j in range(m):
            for slope, columns in zip(slopes, first[j], strict=True):
                for k, column in columns.items():
                    if k >= 0:
                        value = float((slope * column).sum())
                        out[k, n + j] += value
                        out[n + j, k] += value
        h = 3 * self.steps
        for i in range(m):
            for j in range(i + 1):
                if not likelihood._share_component(self.others[i], self.others[j]):
                    continue
                value = 0.0
                corners = [(1, 1), (1, -1), (-1, 1), (-1, -1)] if i != j else [(1, 0), (-1, 0)]
                for a, b in corners:
                    at = self.values.copy()
                    at[i] += a * h[i]
                    at[j] += b * h[j]
                    sign = a * b if i != j else 1
                    value += sign * self._weighted(slopes, at, self.others[i])
                if i == j:
                    value -= 2 * self._weighted(slopes, self.values, self.others[i])
                    value /= h[i] ** 2
                else:
                    value /= 4 * h[i] * h[j]
                out[n + i, n + j] += value
                if i != j:
                    out[n + j, n + i] += value
        return out

    def _weighted(self, slopes, values, parameter, norms=None):
        """Sum over voxels of slope times prediction of the components of one parameter."""
        norms = self.norms if norms is None else norms
        total = 0.0
        cubes = self.likelihood._varying(self._changes(values), parameter)
        for slope, columns in zip(slopes, cubes, strict=True):
            for k, column in columns.items():
                total += float((slope * column).sum()) * (norms[k] if k >= 0 else 1.0)
        return total


def _first_step(parameter):
    if parameter.error > 0:
        return STEP_OF_ERROR * parameter.error
    if parameter.unit == "deg":
        return 0.003
    return 1e-3 * (abs(parameter.value) if parameter.value != 0 else 1.0)


def _difference(plus, minus, width):
    return [{k: (a[k] - b[k]) / width for k in a} for a, b in zip(plus, minus, strict=True)]


def _quadratic(parameter, value, step):
    """Mean and weight, for the move from ``value``, of a parameter's prior."""
    low, center, high = (prior_value(parameter, value + s * step) for s in (-1, 0, 1))
    if not np.isfinite([low, center, high]).all():  # at the edge of a prior, which is a bound
        return 0.0, 0.0
    slope = (high - low) / (2 * step)
    weight = max((high - 2 * center + low) / (2 * step**2), 0.0)
    if weight == 0.0:
        return 0.0, 0.0
    return -slope / (2 * weight), weight


def _sigma(hessian):
    diagonal = np.diag(hessian)
    good = diagonal > 0
    scale = np.where(good, 1 / np.sqrt(np.where(good, diagonal, 1)), 0)
    matrix = hessian * np.outer(scale, scale)
    inverse = np.linalg.pinv(matrix, hermitian=True)
    return np.sqrt(np.maximum(2 * np.diag(inverse), 0)) * scale
