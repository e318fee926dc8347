"""Models on the datasets of a region, rendered once: `Region`."""

import zlib
from dataclasses import replace

import numpy as np
from gammapy.datasets import Datasets, MapDataset
from gammapy.modeling.models import (
    FoVBackgroundModel,
    GaussianPrior,
    SkyModel,
    UniformPrior,
)

from ...datasets import _counts_kernels as kernels
from ...datasets._counts_models import copy_with, is_proportional, prior_value
from ...datasets._counts_predict import rendered_peak
from ...datasets._counts_problem import DatasetTerms, make_problem
from ...datasets._render import Renderer

__all__ = ["Region"]

# Which one is meant where several parameters scale a model, a frozen norm of a template for one.
NORM_NAMES = ("amplitude", "norm", "sigmav", "gamma", "scale", "const", "F0")


class Region:
    """Counts of a region and what its models predict.

    The response of a dataset to a model is computed when it is needed first and kept, so that
    another spectrum costs a product of matrices.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`, `~gammapy.datasets.MapDataset` or list
        With models. Predictions follow the present values of their parameters.

    Raises
    ------
    TypeError
        If a dataset is not of these kinds.
    ValueError
        If there are no datasets, one has no models or no counts, two models share a name, or
        there are penalties.
    """

    def __init__(self, datasets):
        if not isinstance(datasets, Datasets):
            given = [datasets] if isinstance(datasets, MapDataset) else list(datasets)
            _check(given)
            datasets = Datasets(given)
        _check(datasets)
        self.datasets = datasets
        self.terms = [DatasetTerms.from_dataset(dataset) for dataset in self.datasets]
        self.renderers = [Renderer(dataset) for dataset in self.datasets]
        self._kept = {}  # what has its id in a key below, which nothing else must get
        self._responses = {}
        self._spectra = {}
        self._fluxes = {}
        self._norms = {}
        self._totals = {}
        self._made_of = [_fingerprint(dataset) for dataset in self.datasets]

    def is_current(self):
        """False if the data or responses of a dataset have changed since this was made."""
        return self._made_of == [_fingerprint(dataset) for dataset in self.datasets]

    @property
    def models(self):
        """Models of all datasets, each once, list."""
        found = {}
        for dataset in self.datasets:
            for model in dataset.models:
                found.setdefault(id(model), model)
        return list(found.values())

    @property
    def parameters(self):
        """Parameters of all models, each once, list."""
        found = {}
        for model in self.models:
            found |= {id(p): p for p in model.parameters}
        return list(found.values())

    def norm(self, model):
        """The parameter that scales a model, frozen or not; None if there is none.

        A free parameter goes before a frozen one. A parameter whose prior is neither Gaussian nor
        uniform does not count.
        """
        key = self._key(model)
        if key not in self._norms:
            self._norms[key] = _find_norm(model)
        return self._norms[key]

    def _key(self, model):
        """Key of a model and its parts in what is kept."""
        spatial = getattr(model, "spatial_model", None)
        parts = model, getattr(model, "spectral_model", None), spatial
        key = tuple(id(part) for part in parts)
        self._kept.setdefault(key, parts)
        return key

    def stat(self):
        """-2 ln L of the present parameters, priors included, as ``Datasets.stat_sum``."""
        value = 0.0
        for i, terms in enumerate(self.terms):
            terms = replace(terms, fixed=self.total(i), templates={})
            problem = make_problem([(terms, slice(None))], {})
            value += kernels.stat_only(np.zeros(1), problem.arrays)
        return float(value + sum(prior_value(p, p.value) for p in self.parameters))

    def total(self, i):
        """Counts predicted by all models on a dataset, array (n_energy, n_pixel).

        Only models whose parameters have changed since the last call are evaluated.
        """
        models = list(self.datasets[i].models)
        total, known = self._totals.get(i, (None, {}))
        if total is None or known.keys() != {self._key(m) for m in models}:
            total, known = self.background(i), {}
        else:
            total = total.copy()
        for model in models:
            values = tuple(model.parameters.value)
            before = known.get(self._key(model))
            if before == values:
                continue
            if before is not None:
                then = dict(zip(model.parameters, before, strict=True))
                total -= self.npred(i, model, then)
            total += self.npred(i, model)
            known = known | {self._key(model): values}
        self._totals[i] = total, known
        return total

    def background(self, i):
        """Background of a dataset that no model scales, array (n_energy, n_pixel)."""
        terms, dataset = self.terms[i], self.datasets[i]
        zero = np.zeros(terms.counts.shape)
        if terms.off is not None or not dataset.background:
            return zero
        if any(isinstance(model, FoVBackgroundModel) for model in dataset.models):
            return zero
        return zero + terms.clean(dataset.background.data, "its background")

    def npred(self, i, model, changes=None):
        """Counts predicted by a model on a dataset, zero where it is masked.

        Parameters
        ----------
        i : int
            Index of the dataset.
        model : `~gammapy.modeling.models.SkyModel`
            Or another kind of model.
        changes : dict, optional
            ``{parameter of the model: value}``, other than the present ones.

        Returns
        -------
        npred : array, shape (n_energy, n_pixel)
        """
        changes = changes or {}
        changes = {p: v for p, v in changes.items() if v != p.value}
        norm = self.norm(model)
        if norm is not None and norm.min < 0 and changes.get(norm, norm.value) < 0:
            # what may be negative has the shape of what is positive
            positive = -changes.get(norm, norm.value)
            return -self.npred(i, model, changes | {norm: positive})
        renderer, terms = self.renderers[i], self.terms[i]
        if not isinstance(model, SkyModel) or renderer._psf_after_edisp:
            npred = renderer.npred(copy_with(model, changes) if changes else model)
        else:
            spectral = model.spectral_model.parameters
            moved = {p: v for p, v in changes.items() if not any(p is q for q in spectral)}
            if moved:
                response = renderer.true_response(copy_with(model, moved))
            else:
                response = self.response(i, model)
            npred = response.npred(self.fluxes(response, model, changes))
        return terms.clean(
            npred, f"model {model.name!r}", lambda: rendered_peak(renderer, model, changes)
        )

    def response(self, i, model):
        """`Response` of a dataset to a model at its present place."""
        spectral = model.spectral_model.parameters
        place = tuple(p.value for p in model.parameters if not any(p is q for q in spectral))
        key = i, self._key(model)
        known = self._responses.get(key)
        if known is None or known[0] != place:
            known = place, self.renderers[i].true_response(model)
            self._responses[key] = known
        return known[1]

    def fluxes(self, response, model, changes):
        """Flux of a model in the true energy bins of a response, with other values if given."""
        own = model.spectral_model
        key = self._key(model)
        if key not in self._spectra:
            self._spectra[key] = own.copy()
        spectrum = self._spectra[key]
        values = tuple(changes.get(p, p.value) for p in own.parameters)
        key = key, response.energy_edges.value.tobytes(), response.flux_unit
        known = self._fluxes.get(key)
        if known is None or known[0] != values:
            for parameter, value in zip(spectrum.parameters, values, strict=True):
                parameter.value = value
            known = values, response.fluxes(spectrum)
            self._fluxes[key] = known
        return known[1]

    def count(self, model, changes=None):
        """Predicted counts of a model summed over all datasets, likelihood weights included."""
        return sum(
            float((self.terms[i].weight * self.npred(i, model, changes)).sum())
            for i, dataset in enumerate(self.datasets)
            if any(m is model for m in dataset.models)
        )


def _fingerprint(dataset):
    """Numbers that tell whether the maps of a dataset are still the same."""
    maps = [dataset.counts, dataset.background, dataset.exposure, dataset.mask]
    maps += [getattr(dataset, "counts_off", None), getattr(dataset, "alpha", None)]
    maps += [getattr(dataset.psf, "psf_map", None), getattr(dataset.edisp, "edisp_map", None)]
    data = [None if m is None else np.asarray(m.data) for m in maps]
    digests = tuple(None if d is None else zlib.crc32(np.ascontiguousarray(d)) for d in data)
    return dataset.stat_type, *digests


def _check(datasets):
    if not datasets:
        raise ValueError("a region needs at least one dataset, got none.")
    names = {}
    for dataset in datasets:
        if not isinstance(dataset, MapDataset):
            raise TypeError(
                f"dataset {getattr(dataset, 'name', dataset)!r}: a region needs map or spectrum "
                f"datasets, got {type(dataset).__name__}."
            )
        if not dataset.models:
            raise ValueError(
                f"dataset {dataset.name!r} has no models to fit: set `datasets.models`, for "
                "instance to those of ROIModelMaker."
            )
        if dataset.models._penalties:
            raise ValueError(
                f"dataset {dataset.name!r}: its models have penalties between parameters, which "
                "this fit lacks: use gammapy.modeling.Fit."
            )
        for model in dataset.models:
            first, place = names.setdefault(model.name, (model, dataset.name))
            if first is not model:
                raise ValueError(
                    f"datasets {place!r} and {dataset.name!r} have separate models of one name, "
                    f"{model.name!r}: give both the same model, or each a name of its own."
                )


def _find_norm(model):
    spectrum = getattr(model, "spectral_model", None)
    if spectrum is None:
        return None
    names = [*NORM_NAMES, *spectrum.parameters.names]
    for parameter in sorted(spectrum.parameters, key=lambda p: (p.frozen, names.index(p.name))):
        if parameter.frozen and parameter.name not in NORM_NAMES:
            continue
        if _has_plain_prior(parameter) and is_proportional(model, parameter):
            return parameter
    return None


def _has_plain_prior(parameter):
    return parameter.prior is None or isinstance(parameter.prior, GaussianPrior | UniformPrior)
