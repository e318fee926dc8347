"""Predicted counts of the components of a likelihood."""

import logging

import numpy as np
from gammapy.modeling.models import FoVBackgroundModel, SkyModel, TemplateSpatialModel

from . import _counts_kernels as kernels
from ._counts_models import copy_with, norm_parameter
from ._render import _with_spectrum

__all__ = ["CountsPredictions", "rendered_peak"]

log = logging.getLogger(__name__)

FEW_COMPONENTS = 8


def rendered_peak(renderer, model, changes=None):
    """Most counts of a model in a pixel, margins of a map and masked pixels included.

    Parameters
    ----------
    renderer : `~dmgammapy.datasets._render.Renderer`
    model : `~gammapy.modeling.models.SkyModel`
        Or another kind of model, which has no margins and gives zero.
    changes : dict, optional
        ``{parameter of the model: value}``, other than the present ones.
    """
    if not isinstance(model, SkyModel):
        return 0.0
    evaluator = renderer._evaluator(copy_with(model, changes) if changes else model)
    if not evaluator.contributes:
        return 0.0
    return float(np.nanmax(evaluator.compute_npred().data, initial=0.0))


class CountsPredictions:
    """Part of `CountsLikelihood` that evaluates its components."""

    def _evaluate(self):
        """Predicted counts of the components that don't vary in a fit, then of the others."""
        self._static = []
        for i, terms in enumerate(self._terms):
            dataset = self.datasets[i]
            fixed = np.zeros(terms.counts.shape)
            templates = {}
            mine = [c for c in self._components if c.dataset == i]
            background = dataset.background if terms.off is None else None
            if background is not None and not any(
                isinstance(c.model, FoVBackgroundModel) for c in mine
            ):
                fixed = fixed + terms.clean(background.data, "its background")
            for component in mine:
                if component.nonlinear:
                    continue
                npred = self._npred(component)
                self._check_seen(component, npred)
                k = self._index(component.parameter)
                if k is None:
                    fixed += npred
                else:
                    templates[k] = templates[k] + npred if k in templates else npred
            self._static.append((fixed, templates))
        self._assemble()

    def _assemble(self, values=None):
        """Add the components that vary, at other ``values`` of their parameters if given."""
        varying = self._varying(values)
        for terms, (fixed, templates), mine in zip(self._terms, self._static, varying, strict=True):
            templates = dict(templates)
            for k, npred in mine.items():
                if k < 0:
                    fixed = fixed + npred
                else:
                    templates[k] = templates[k] + npred if k in templates else npred
            terms.fixed = fixed
            terms.signal = templates.pop(0, np.zeros_like(fixed))
            terms.templates = templates
        if self._signal is not None:
            for terms, signal in zip(self._terms, self._signal, strict=True):
                terms.signal = signal

    def _set_signal(self, npred):
        """Replace what norm 1 of the source predicts.

        Parameters
        ----------
        npred : list of array, shape (n_energy, ny, nx)
            One for every dataset.
        """
        self._references[0] = 1.0
        self._signal = [
            terms.clean(cube, f"model {self.source!r}")
            for terms, cube in zip(self._terms, npred, strict=True)
        ]
        for terms, signal in zip(self._terms, self._signal, strict=True):
            terms.signal = signal

    def _varying(self, values=None, parameter=None):
        """Prediction of the components with other free parameters (or with one of them).

        One dict per dataset, {index of the norm or -1: array}.
        """
        out = [{} for _ in self._terms]
        for component in self._components:
            if not component.nonlinear:
                continue
            if parameter is not None and not any(p is parameter for p in component.nonlinear):
                continue
            npred = self._npred(component, values)
            k = self._index(component.parameter)
            k = -1 if k is None else k
            mine = out[component.dataset]
            mine[k] = mine[k] + npred if k in mine else npred
        return out

    def _share_component(self, one, other):
        return any(
            any(p is one for p in c.nonlinear) and any(p is other for p in c.nonlinear)
            for c in self._components
        )

    def _slopes(self, norms):
        """Derivative of -2 ln L by the predicted counts of every voxel, one array per dataset."""
        out = []
        for terms in self._terms:
            mu = terms.fixed + norms[0] * terms.signal
            for k, template in terms.templates.items():
                mu = mu + norms[k] * template
            if terms.off is None:
                slope = 2 * (1 - terms.counts / np.maximum(mu, kernels.TRUNCATION))
            else:
                slope = kernels.on_off_slopes(mu, terms.counts, terms.off, terms.alpha)
            out.append(terms.weight * slope)
        return out

    def _npred(self, component, values=None):
        """Prediction of unit norm of one component, (n_energy, n_pixel)."""
        model, renderer = component.model, self._renderers[component.dataset]
        terms = self._terms[component.dataset]
        what = f"model {model.name!r}"
        if model.name == self.source and self._spectrum is not None:
            npred = renderer.npred_spectra(model, [self._spectrum], single_precision=True)[0]
            other = _with_spectrum(model, self._spectrum)
            return terms.clean(npred, what, lambda: rendered_peak(renderer, other))
        changes = {}
        if component.parameter is not None:
            own = component.own or component.parameter
            changes[own] = self._references[self._index(component.parameter)]
        for parameter in component.nonlinear:
            changes[parameter] = (values or {}).get(parameter, parameter.value)
        if component.nonlinear and component.is_spectral:
            if component.response is None:
                component.response = renderer.true_response(model)
            npred = component.response.npred(self._fluxes(component, changes))
        else:
            changed = copy_with(model, changes) if changes else model
            npred = renderer.npred(changed, single_precision=self._as_gammapy(component))
        return terms.clean(npred, what, lambda: rendered_peak(renderer, model, changes))

    def _fluxes(self, component, changes):
        """Flux of a component in the true energy bins, with other values of its parameters.

        Datasets that share model and energies share the last result.
        """
        edges = component.response.energy_edges
        values = tuple(changes.values())
        key = (id(component.model), edges.value.tobytes())
        known = self._known_fluxes.get(key)
        if known is not None and known[0] == values:
            return known[1]
        spectrum = component.spectrum_with(changes)
        fluxes = component.response.fluxes(spectrum)
        self._known_fluxes[key] = (values, fluxes)
        return fluxes

    def _as_gammapy(self, component):
        """Whether to convolve a component as Gammapy does, in single precision.

        That is 1e-7 of the peak off, but fits and scans then agree with Gammapy's to all digits.
        It takes time, so that with many sources only the one of interest is treated so.
        """
        mine = [c for c in self._components if c.dataset == component.dataset]
        return component.model.name == self.source or len(mine) <= FEW_COMPONENTS

    def _covers(self, i, spatial):
        """Whether a spatial model is a template with a part of the counts inside."""
        if not isinstance(spatial, TemplateSpatialModel):
            return False
        geom = self.datasets[i].counts.geom.to_image()
        return bool(spatial.map.geom.to_image().contains(geom.get_coord()).any())

    def _check_seen(self, component, npred):
        """A template that predicts nothing at all is a mistake; other models are reported."""
        if npred.any():
            return
        model, name = component.model, self.datasets[component.dataset].name
        if model.name == self.source or _is_zero(model):
            return
        if self._covers(component.dataset, getattr(model, "spatial_model", None)):
            raise ValueError(
                f"dataset {name!r}: the template of model {model.name!r} predicts no counts. "
                "Gammapy cuts templates out around their centre, and an all-sky map far from "
                "there gives zero: cut the template to the region, with a margin, first."
            )
        if component.parameter is not None or component.nonlinear:
            log.warning("dataset %r: model %r predicts no counts.", name, model.name)


def _is_zero(model):
    """Whether a norm of zero, such as that of a fit, is why a model predicts nothing."""
    try:
        return norm_parameter(model).value == 0
    except ValueError:
        return False
