"""Steps of an optimisation of a region, each on a few parameters: `RegionSteps`."""

import logging
from dataclasses import dataclass

from ...datasets._counts_components import FACTORS
from ._likelihood import RegionLikelihood
from ._norms import RegionNorms
from ._shapes import shape_parameters

__all__ = ["RegionSteps", "Step"]

log = logging.getLogger(__name__)


@dataclass
class Step:
    """One fit of an optimisation.

    Attributes
    ----------
    step : str
        ``"joint"``, ``"norms"``, ``"shapes"`` or ``"all"``.
    source : str
        Model that was fitted, empty for a fit of several.
    n_free : int
        Number of parameters.
    stat_before, stat : float
        -2 ln L, priors included.
    n_iter : int
        Outer iterations, 0 for norms alone.
    converged : bool
        If not, the parameters were left where they were.
    message : str
        Why not.
    """

    step: str
    source: str
    n_free: int
    stat_before: float
    stat: float
    n_iter: int = 0
    converged: bool = True
    message: str = ""


class RegionSteps:
    """Fits that improve the models of a region step by step, in place.

    Parameters
    ----------
    region : `Region`
    skip : list of str
        Names of the models to hold.
    """

    def __init__(self, region, skip=()):
        self.region = region
        self.skip = set(skip)
        self.steps = []
        self.norms = RegionNorms(region)

    @property
    def stat(self):
        """-2 ln L, priors included, of the present norms."""
        return self.norms.stat()

    def joint(self, npred_frac, npred_threshold, max_free_sources):
        """Fit the norms of the models that predict most of the counts together.

        Returns
        -------
        names : set of str
            Models that were fitted.
        """
        chosen, done = [], 0.0
        npred = self._npred()
        total = sum(npred.values())
        for model in self._sorted(npred):
            done += npred[id(model)]
            if model.name in self.skip or self.region.norm(model) is None:
                continue
            chosen.append(model)
            if done > npred_frac * total or npred[id(model)] < npred_threshold:
                break
            if max_free_sources is not None and len(chosen) >= max_free_sources:
                break
        if chosen:
            self._fit_norms("joint", "", [self.region.norm(m) for m in chosen])
        return {m.name for m in chosen}

    def each_norm(self, done, npred_threshold):
        """Fit the norms of the other models alone, the one that predicts most first."""
        few = []
        npred = self._npred()
        for model in self._sorted(npred):
            if model.name in self.skip or model.name in done or self.region.norm(model) is None:
                continue
            if npred[id(model)] < npred_threshold:
                few.append(model.name)
                continue
            self._fit_norms("norms", model.name, [self.region.norm(model)])
        if few:
            log.info("norms of %s stay: they predict less than %g.", few, npred_threshold)

    def each_shape(self, ts_threshold):
        """Fit norm and shape of the significant models alone, the most significant first."""
        found = []
        for model in self.region.models:
            norm, shapes = self.region.norm(model), shape_parameters(model)
            if model.name in self.skip or norm is None or not shapes:
                continue
            mask = self.norms.mask([norm])
            if not mask.any():
                continue
            ts = self.norms.ts(int(mask.argmax()))
            if ts >= ts_threshold:
                found.append((ts, model.name, [norm, *shapes]))
        stat = self.stat
        for _, name, parameters in sorted(found, key=lambda f: -f[0]):
            stat = self._fit("shapes", name, parameters, stat)[0]
        if found:
            self.norms = RegionNorms(self.region)

    def all(self):
        """Fit what is free in the models together; returns likelihood and fit, None if none.

        J-factors stay: counts don't tell them from the cross-section, and their uncertainty is
        treated where targets are combined.
        """
        free = [p for p in self.region.parameters if not p.frozen and p.name not in FACTORS]
        if not free:
            return None
        _, likelihood, fit = self._fit("all", "", free, self.stat)
        self.norms = RegionNorms(self.region)
        return None if fit is None else (likelihood, fit)

    def _npred(self):
        return {id(m): self.region.count(m) for m in self.region.models}

    def _sorted(self, npred):
        return sorted(self.region.models, key=lambda m: -npred[id(m)])

    def _fit_norms(self, step, source, parameters):
        before = self.stat
        free = self.norms.mask(parameters)
        record = Step(step, source, int(free.sum()), before, before)
        try:
            theta, record.stat = self.norms.solve(free)
            self.norms.update(theta)
        except RuntimeError as error:
            self._failed(record, error)
        self.steps.append(record)

    def _fit(self, step, source, parameters, before):
        """Fit norms and shapes; returns -2 ln L, likelihood and fit (None if it failed)."""
        likelihood = RegionLikelihood(self.region, parameters)
        record = Step(step, source, len(parameters), before, before)
        self.steps.append(record)
        try:
            fit = likelihood.fit()
        except RuntimeError as error:
            self._failed(record, error)
            return before, likelihood, None
        record.stat, record.n_iter = fit.stat, fit.n_iter
        for parameter, value in zip(fit.parameters, fit.values.values(), strict=True):
            parameter.value = value
        return fit.stat, likelihood, fit

    def _failed(self, record, error):
        record.converged, record.message = False, str(error)
        what = record.source or "several models"
        log.warning("the fit of %s (step %r) did not converge: %s", what, record.step, error)
