"""Likelihood of a region for a choice of free parameters."""

from dataclasses import replace

import numpy as np
from gammapy.modeling import Parameter

from ...datasets import CountsLikelihood
from ...datasets._counts_components import Component, check_links, reference_of
from ...datasets._counts_fit import fit_likelihood
from ...datasets._counts_models import prior_terms, prior_value

__all__ = ["RegionLikelihood"]

ROUNDING = 1e-9  # of the largest prediction


class RegionLikelihood(CountsLikelihood):
    """`CountsLikelihood` without a source of interest, made from what a `Region` has rendered.

    Parameters
    ----------
    region : `Region`
    free : list of `~gammapy.modeling.Parameter`
        What to fit; whether a parameter is frozen plays no role. Norms are solved for by Newton's
        method, other parameters in an outer loop.

    Raises
    ------
    ValueError
        If a norm is linked to a parameter that is none.
    """

    def __init__(self, region, free):
        self._region = region
        wanted = {id(p) for p in free}
        components = []
        # stands where the norm of a source of interest is otherwise
        parameters = [Parameter("nothing", 0.0, min=0.0, frozen=True)]
        for i, dataset in enumerate(region.datasets):
            for model in dataset.models:
                mine = [p for p in model.parameters if id(p) in wanted]
                if not mine:
                    continue
                norm = region.norm(model)
                if not any(p is norm for p in mine):
                    norm = None
                elif not any(p is norm for p in parameters):
                    parameters.append(norm)
                rest = [p for p in mine if p is not norm]
                components.append(Component(i, model, norm, rest))
        check_links(components)
        references = np.array([_reference(p) for p in parameters])
        terms = [replace(terms, templates={}) for terms in region.terms]
        super().__init__(
            list(region.datasets), None, terms, components, parameters, references, region.renderers
        )
        self._given = region.datasets
        self._evaluate()
        self._hold_unseen()

    def fit(self, norm=None, nonlinear=True):
        """Maximise the likelihood over all free parameters, see `CountsLikelihood.fit`."""
        return fit_likelihood(self, 0.0, nonlinear)

    def _hold_unseen(self):
        """Priors of norms that predict nothing: these stay, and so do their priors."""
        seen = set(self.problem().index)
        for parameter in self.norm_parameters:
            k = self._index(parameter)
            if k not in seen and self._priors.pop(k, None) is not None:
                constant = prior_terms(parameter)[0]
                self._constant += prior_value(parameter, parameter.value) - constant

    def _evaluate(self):
        self._static = []
        for i, terms in enumerate(self._terms):
            mine = [c for c in self._components if c.dataset == i]
            fixed = self._rest(i, mine)
            templates = {}
            for component in mine:
                if component.nonlinear:
                    continue
                npred = self._npred(component)
                self._check_seen(component, npred)
                k = self._index(component.parameter)
                templates[k] = templates[k] + npred if k in templates else npred
            terms.signal = np.zeros_like(fixed)
            self._static.append((fixed, templates))
        self._assemble()

    def _rest(self, i, mine):
        """What is predicted by the models that stay as they are."""
        region = self._region
        free = {id(c.model) for c in mine}
        held = [m for m in region.datasets[i].models if id(m) not in free]
        if len(held) <= len(free):
            return sum((region.npred(i, m) for m in held), start=region.background(i))
        rest = region.total(i) - sum(region.npred(i, c.model) for c in mine)
        # a difference may be rounded below zero; a norm that may be negative goes farther
        rounded = (rest < 0) & (rest > -ROUNDING * np.abs(region.total(i)).max())
        return np.where(rounded, 0.0, rest)

    def _npred(self, component, values=None):
        changes = {}
        if component.parameter is not None:
            k = self._index(component.parameter)
            changes[component.parameter] = self._references[k]
        for parameter in component.nonlinear:
            changes[parameter] = (values or {}).get(parameter, parameter.value)
        return self._region.npred(component.dataset, component.model, changes)


def _reference(parameter):
    """Value of unit norm, positive: a norm may be negative."""
    return float(-parameter.value) if parameter.value < 0 else reference_of(parameter)
