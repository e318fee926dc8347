"""Steps of an optimisation of a region, each on a few parameters: `RegionSteps`."""

import logging
from dataclasses import dataclass

from ...datasets._counts_components import FACTORS
from ...datasets._counts_models import is_dark_matter
from ._likelihood import RegionLikelihood
from ._norms import RegionNorms
from ._shape_bounds import at_bound, bounded
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
    n_pass : int
        Which time the steps were taken, from 1.
    n_free : int
        Number of parameters.
    stat_before, stat : float
        -2 ln L, priors included.
    n_iter : int
        Outer iterations, 0 for norms alone.
    converged : bool
        If not, the parameters were left where they were.
    message : str
        Why not; or that a shape was kept, or is at its bound.
    """

    step: str
    source: str
    n_pass: int
    n_free: int
    stat_before: float
    stat: float
    n_iter: int = 0
    converged: bool = True
    message: str = ""


class RegionSteps:
    """Fits that improve the models of a region step by step, in place.

    Dark matter whose norm is frozen is held, too: it is a hypothesis rather than part of the sky
    that is known.

    Parameters
    ----------
    region : `Region`
    skip : list of str
        Names of the models to hold.
    """

    def __init__(self, region, skip=()):
        self.region = region
        self.skip = set(skip)
        for model in region.models:
            norm = region.norm(model)
            if is_dark_matter(model) and (norm is None or norm.frozen):
                self.skip.add(model.name)
        self.steps = []
        self.n_pass = 1
        self._reshaped = set()
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

    def each_shape(self, ts_threshold, gain_threshold):
        """Fit norm and shape of the significant models alone, the most significant first.

        A shape is kept as it was, and the norm fitted alone, if -2 ln L falls by less than
        ``gain_threshold`` for the shape. Once that was passed, later passes improve on it freely.
        """
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
                found.append((ts, model.name, norm, shapes))
        stat = self.stat
        for _, name, norm, shapes in sorted(found, key=lambda f: -f[0]):
            with bounded(shapes):
                stat = self._fit_shape(name, norm, shapes, stat, gain_threshold)
        if found:
            self.norms = RegionNorms(self.region)

    def all(self):
        """Fit what is free in the models together; returns the fit, None without or if it failed.

        J-factors stay: counts don't tell them from the cross-section, and their uncertainty is
        treated where targets are combined.
        """
        free = [p for p in self.region.parameters if not p.frozen and p.name not in FACTORS]
        if not free:
            return None
        _, fit = self._fit("all", "", free, self.stat)
        self.norms = RegionNorms(self.region)
        return fit

    def _npred(self):
        return {id(m): self.region.count(m) for m in self.region.models}

    def _sorted(self, npred):
        return sorted(self.region.models, key=lambda m: -npred[id(m)])

    def _fit_norms(self, step, source, parameters):
        before = self.stat
        free = self.norms.mask(parameters)
        record = Step(step, source, self.n_pass, int(free.sum()), before, before)
        try:
            theta, record.stat = self.norms.solve(free)
            self.norms.update(theta)
        except RuntimeError as error:
            self._failed(record, error)
        self.steps.append(record)

    def _fit_shape(self, name, norm, shapes, before, gain_threshold):
        """Fit a norm and, if that gains enough, the shape; returns -2 ln L."""
        start = [p.value for p in (norm, *shapes)]
        wanted = name in self._reshaped or not any(p.frozen for p in shapes)
        stat = self._fit("shapes", name, [norm, *shapes], before)[0]
        record = self.steps[-1]
        if not record.converged:
            return stat
        if not wanted:
            fitted = [p.value for p in (norm, *shapes)]
            _set_values((norm, *shapes), start)
            alone, value = self._norm_alone(norm, before)
            if alone - stat < gain_threshold:
                norm.value = value
                record.stat, record.n_free = alone, 1
                record.message = (
                    f"shape kept: another gains {max(alone - stat, 0.0):.2f} in -2 ln L, less "
                    f"than {gain_threshold:g}"
                )
                return alone
            _set_values((norm, *shapes), fitted)
        self._reshaped.add(name)
        bounds = [f"{p.name} is at its bound, {p.value:.4g}" for p in shapes if at_bound(p)]
        if bounds:
            record.message = "; ".join(bounds)
            log.warning("%s: %s.", name, record.message)
        return stat

    def _norm_alone(self, norm, before):
        """-2 ln L and value of a norm that is fitted alone, without another shape."""
        try:
            fit = RegionLikelihood(self.region, [norm]).fit()
        except RuntimeError:
            return before, norm.value
        return fit.stat, next(iter(fit.values.values()))

    def _fit(self, step, source, parameters, before):
        """Fit norms and shapes; returns -2 ln L and the fit (None if it failed)."""
        likelihood = RegionLikelihood(self.region, parameters)
        record = Step(step, source, self.n_pass, len(parameters), before, before)
        self.steps.append(record)
        try:
            fit = likelihood.fit()
        except RuntimeError as error:
            self._failed(record, error)
            return before, None
        record.stat, record.n_iter = fit.stat, fit.n_iter
        for parameter, value in zip(fit.parameters, fit.values.values(), strict=True):
            parameter.value = value
        return fit.stat, fit

    def _failed(self, record, error):
        record.converged, record.message = False, str(error)
        what = record.source or "several models"
        log.warning("the fit of %s (step %r) did not converge: %s", what, record.step, error)


def _set_values(parameters, values):
    for parameter, value in zip(parameters, values, strict=True):
        parameter.value = value
