"""Fast likelihood of Gammapy counts datasets that is linear in norms: `CountsLikelihood`."""

from copy import copy
from dataclasses import replace

import astropy.units as u
import numpy as np
from gammapy.datasets import Datasets, MapDataset
from gammapy.modeling import Covariance
from gammapy.modeling.models import SpectralModel

from . import _counts_kernels as kernels
from ._counts_components import (
    check_free,
    check_links,
    check_named,
    make_component,
    model_of,
    reference_of,
    source_position,
)
from ._counts_direct import DirectScanner
from ._counts_fit import CountsFit, fit_likelihood
from ._counts_models import find_source, prior_terms, prior_value
from ._counts_predict import CountsPredictions
from ._counts_problem import DatasetTerms, make_problem
from ._counts_scan import scan_problem
from ._render import Renderer

__all__ = ["CountsFit", "CountsLikelihood"]

EDGE_RTOL = 1e-6


class CountsLikelihood(CountsPredictions):
    """Likelihood of counts as a function of the norms of a source and of its background.

    The predicted counts of every component of the models are evaluated once. What scales a
    component (``amplitude``, ``norm``, ``sigmav`` ...) is a norm of the likelihood; frozen
    components are summed up. Norms are solved for by Newton's method with exact derivatives, for
    Cash as well as for W statistics (where the background is profiled bin by bin). Other free
    parameters (indices, positions) are fitted by `fit` in an outer loop, and stay where they are
    in scans.

    Nothing in the datasets is changed, except by `update_models`.

    Norms can't be negative unless the parameter's ``min`` is a negative number.

    Use `from_datasets`.

    Examples
    --------
    The total counts and the best norm of a source on a background that is known:

    >>> import astropy.units as u
    >>> import numpy as np
    >>> from gammapy.datasets import SpectrumDataset
    >>> from gammapy.maps import MapAxis, RegionGeom, RegionNDMap
    >>> from gammapy.modeling.models import PowerLawSpectralModel, SkyModel
    >>> from dmgammapy.datasets import CountsLikelihood
    >>> energy = MapAxis.from_energy_bounds("1 TeV", "100 TeV", nbin=1)
    >>> true = MapAxis.from_energy_bounds("1 TeV", "100 TeV", nbin=1, name="energy_true")
    >>> dataset = SpectrumDataset.create(
    ...     RegionGeom.create("icrs;circle(0, 0, 0.1)", axes=[energy]), energy_axis_true=true
    ... )
    >>> dataset.counts.data[:], dataset.background.data[:] = 9, 4
    >>> dataset.exposure.quantity = np.full((1, 1, 1), 1e12) * u.Unit("cm2 s")
    >>> dataset.edisp, dataset.mask_safe.data[:] = None, True
    >>> spectrum = PowerLawSpectralModel(index=2, amplitude="1e-12 cm-2 s-1 TeV-1")
    >>> spectrum.index.frozen = True
    >>> dataset.models = [SkyModel(spectrum, name="source")]
    >>> likelihood = CountsLikelihood.from_datasets(dataset, source="source")
    >>> fit = likelihood.fit()
    >>> print(f"{fit.values['source.amplitude'] * 0.99e12:.4f}")  # counts above background
    5.0000
    """

    def __init__(self, datasets, source, terms, components, parameters, references, renderers):
        self.datasets = datasets
        self.source = source
        self._terms = terms
        self._components = components
        self._parameters = parameters
        self._references = references
        self._renderers = renderers
        self._spectrum = None
        self._signal = None
        self._known_fluxes = {}
        self._given = None
        self._prior_constants()

    # --- construction ------------------------------------------------------------------------

    @classmethod
    def from_datasets(cls, datasets, source=None, free="free", spectrum=None):
        """Evaluate the models of datasets.

        Parameters
        ----------
        datasets : `~gammapy.datasets.MapDataset`, `~gammapy.datasets.Datasets` or list
            Map or spectrum datasets, ON/OFF ones included, with models.
        source : str, optional
            Name of the model of interest. Default is the only one with a dark matter spectrum.
        free : {"free", "fixed"}, list of str or `~astropy.units.Quantity`
            Which background norms to fit: those that are free in the models, none, those of the
            models named, or those of sources within this angle of the source. The last two hold
            everything else fixed. Default is "free".
        spectrum : `~gammapy.modeling.models.SpectralModel`, optional
            Spectrum of norm 1 of the source instead of its own.

        Returns
        -------
        likelihood : `CountsLikelihood`

        Raises
        ------
        TypeError
            If a dataset is not of these kinds.
        ValueError
            If the source is missing or not the only one, everything is masked, counts are not
            finite or negative, or a component predicts negative counts.
        """
        given = datasets
        datasets = [datasets] if isinstance(datasets, MapDataset) else list(datasets)
        if not datasets:
            raise ValueError("CountsLikelihood needs at least one dataset, got none.")
        for dataset in datasets:
            if not isinstance(dataset, MapDataset):
                raise TypeError(
                    f"dataset {getattr(dataset, 'name', dataset)!r}: CountsLikelihood needs map "
                    f"or spectrum datasets, got {type(dataset).__name__}."
                )
        name = find_source(datasets, source)
        if any(dataset.models._penalties for dataset in datasets):
            raise ValueError(
                "the models have penalties between parameters, which this likelihood lacks: use "
                "gammapy.modeling.Fit, or correlate J-factors in StackedDMLikelihood."
            )
        check_free(free, name)
        if spectrum is not None and not isinstance(spectrum, SpectralModel):
            raise TypeError(
                f"the spectrum of norm 1 must be a spectral model, got {type(spectrum).__name__}."
            )
        position = source_position(datasets, name)
        components, parameters = [], [None]
        for i, dataset in enumerate(datasets):
            for model in dataset.models:
                component = make_component(i, model, model.name == name, free, position)
                if model.name == name:
                    if parameters[0] is None:
                        parameters[0] = component.parameter
                    elif component.parameter.value != parameters[0].value:
                        raise ValueError(
                            f"dataset {dataset.name!r}: {name}.{component.parameter.name} is "
                            f"{component.parameter.value:g}, but {parameters[0].value:g} in "
                            f"{datasets[0].name!r}; share one model or its parameter."
                        )
                    component.own, component.parameter = component.parameter, parameters[0]
                elif component.parameter is not None and not any(
                    p is component.parameter for p in parameters
                ):
                    parameters.append(component.parameter)
                components.append(component)
        check_named(free, components)
        check_links(components)
        references = np.array([reference_of(p) for p in parameters])
        if spectrum is not None:
            references[0] = 1.0
        renderers = [Renderer(dataset) for dataset in datasets]
        terms = [DatasetTerms.from_dataset(dataset) for dataset in datasets]
        out = cls(datasets, name, terms, components, parameters, references, renderers)
        out._spectrum = spectrum
        if spectrum is not None:
            out._refuse_shared()
        out._given = given if isinstance(given, Datasets) else None
        out._evaluate()
        return out

    def _index(self, parameter):
        if parameter is None:
            return None
        for k, known in enumerate(self._parameters):
            if known is parameter:
                return k
        return None

    def _prior_constants(self):
        self._constant, self._priors = 0.0, {}
        unique = []
        for dataset in self.datasets:
            for parameter in dataset.models.parameters:
                if not any(p is parameter for p in unique):
                    unique.append(parameter)
        nonlinear = self.nonlinear_parameters
        for parameter in unique:
            k = self._index(parameter)
            if k is None and any(p is parameter for p in nonlinear):
                continue
            if k is None or k == 0:
                self._constant += prior_value(parameter, parameter.value)
                continue
            constant, mean, weight = prior_terms(parameter)
            self._constant += constant
            if weight:
                scale = self._references[k]
                self._priors[k] = (mean / scale, weight * scale**2)

    def _refuse_shared(self):
        """Raise an error if another model has the source's norm: its spectrum can't follow."""
        shared = [
            model.name
            for dataset in self.datasets
            for model in dataset.models
            if model.name != self.source and any(p is self.parameter for p in model.parameters)
        ]
        if shared:
            raise ValueError(
                f"models {sorted(set(shared))} share {self.parameter.name} with the source "
                f"{self.source!r}; its scan has one spatial model. Use one model, such as a "
                "template of both parts, or fit with gammapy.modeling.Fit."
            )

    # --- what it is made of ------------------------------------------------------------------

    @property
    def parameter(self):
        """Gammapy parameter that scales the source."""
        return self._parameters[0]

    @property
    def norm_parameters(self):
        """Gammapy parameters of the background norms that are fitted, list."""
        return self._parameters[1:]

    @property
    def nonlinear_parameters(self):
        """Free parameters that are not norms, list."""
        found = []
        for component in self._components:
            for parameter in component.nonlinear:
                if not any(p is parameter for p in found):
                    found.append(parameter)
        return found

    @property
    def names(self):
        """Names of all fitted parameters: the source's, background norms, others."""
        fitted = [*self._parameters, *self.nonlinear_parameters]
        return [self._name(p) for p in fitted]

    def _name(self, parameter):
        for component in self._components:
            if any(p is parameter for p in component.model.parameters):
                return f"{component.model.name}.{parameter.name}"
        return parameter.name

    @property
    def start(self):
        """Background norms as the models have them, in units of the templates', array."""
        values = [p.value for p in self._parameters[1:]]
        return np.array(values, dtype=float) / self._references[1:]

    @property
    def bounds(self):
        """Lower and upper bounds of the background norms, two arrays."""
        lower, upper = [], []
        for parameter, scale in zip(self._parameters[1:], self._references[1:], strict=True):
            low = parameter.min if np.isfinite(parameter.min) else 0.0
            lower.append(low / scale)
            upper.append(parameter.max / scale if np.isfinite(parameter.max) else np.inf)
        swap = self._references[1:] < 0
        lower, upper = np.array(lower, dtype=float), np.array(upper, dtype=float)
        lower[swap], upper[swap] = -np.inf, np.inf
        return lower, upper

    @property
    def response(self):
        """Response of every dataset to the source, list of `Response`."""
        if not hasattr(self, "_response"):
            self._response = [
                renderer.true_response(model_of(dataset, self.source))
                for dataset, renderer in zip(self.datasets, self._renderers, strict=True)
            ]
        return self._response

    def common_edges(self):
        """Energy edges in GeV that all datasets share where they have data, array."""
        every = np.unique(np.concatenate([terms.edges for terms in self._terms]))
        keep = [every[0]]
        for edge in every[1:]:
            if edge > keep[-1] * (1 + EDGE_RTOL):
                keep.append(edge)
        good = [e for e in keep if all(_splits(terms.edges, e) for terms in self._terms)]
        if len(good) < 2:
            raise ValueError(
                "the energy bins of the datasets have no edges in common: "
                + "; ".join(
                    f"{t.name} {t.edges[0]:.4g} to {t.edges[-1]:.4g} GeV in {len(t.edges) - 1}"
                    for t in self._terms
                )
                + "; bin them alike, or run them one by one and stack the results."
            )
        return np.array(good)

    # --- problems ----------------------------------------------------------------------------

    def problem(self):
        """All voxels as one problem."""
        parts = [(terms, slice(None)) for terms in self._terms]
        return make_problem(parts, self._priors)

    def _bin_parts(self, low, high):
        """Datasets and their energies between two edges, empty if all of it is masked."""
        parts = []
        for terms in self._terms:
            inside = (terms.edges[:-1] >= low * (1 - EDGE_RTOL)) & (
                terms.edges[1:] <= high * (1 + EDGE_RTOL)
            )
            if inside.any():
                first, last = np.flatnonzero(inside)[[0, -1]]
                parts.append((terms, slice(first, last + 1)))
        return parts if any((t.weight[part] > 0).any() for t, part in parts) else []

    def _bins(self, edges):
        """Parts of every energy bin; checks the edges."""
        if len(edges) < 2 or not (np.diff(edges) > 0).all():
            raise ValueError(f"energy edges must ascend, got {edges} GeV.")
        first = min(terms.edges[0] for terms in self._terms)
        last = max(terms.edges[-1] for terms in self._terms)
        if edges[0] < first * (1 - EDGE_RTOL) or edges[-1] > last * (1 + EDGE_RTOL):
            raise ValueError(
                f"energy edges from {edges[0]:.6g} to {edges[-1]:.6g} GeV reach beyond the data, "
                f"which go from {first:.6g} to {last:.6g} GeV."
            )
        for terms in self._terms:
            for edge in edges:
                if not _splits(terms.edges, edge):
                    raise ValueError(
                        f"dataset {terms.name!r}: {edge:.6g} GeV is not an edge of its energy "
                        "bins; choose edges from its axis."
                    )
        return [self._bin_parts(low, high) for low, high in zip(edges[:-1], edges[1:], strict=True)]

    def stat_sum(self, norms=None, norm=None):
        """-2 ln L, priors included; equal to Gammapy's ``Datasets.stat_sum``.

        Parameters
        ----------
        norms : array, optional
            Background norms, in units of the templates'. Default is `start`.
        norm : float, optional
            Norm of the source. Default is that of the model.
        """
        problem = self.problem()
        norms = self.start if norms is None else np.asarray(norms, dtype=float)
        if norm is None:
            norm = self.parameter.value / self._references[0]
        theta = np.concatenate([[norm], norms[np.array(problem.index, dtype=int) - 1]])
        value = kernels.stat_only(theta, problem.arrays) + self._constant
        return value + sum(prior_value(p, p.value) for p in self.nonlinear_parameters)

    def scan(self, edges=None, cov_scale=None, **kwargs):
        """Profile the norm of the source in every energy bin.

        Parameters
        ----------
        edges : `~astropy.units.Quantity`, shape (n_bins + 1,), optional
            Energy bins. Default is those all datasets share.
        cov_scale : float, optional
            Hold the background norms by Gaussian priors around a fit to all energies, this
            many of its errors wide. Default is none.
        **kwargs
            For `_counts_scan.scan_problem`.

        Returns
        -------
        scans : list of `NormScan` or None
            None for bins without data.
        """
        edges = self.common_edges() if edges is None else u.Quantity(edges).to_value("GeV")
        priors, start = self._priors, self.start
        if cov_scale is not None:
            start, priors = self._fitted_priors(cov_scale)
        lower, upper = self.bounds
        scans = []
        for b, parts in enumerate(self._bins(edges)):
            if not parts:
                scans.append(None)
                continue
            problem = make_problem(parts, priors)
            pick = np.array(problem.index, dtype=int) - 1
            what = f"{self.source}, {edges[b]:.4g} to {edges[b + 1]:.4g} GeV"
            scans.append(
                scan_problem(problem, start[pick], lower[pick], upper[pick], what=what, **kwargs)
            )
        return scans

    def _rises(self, norms):
        """Distance above every norm at which -2 ln L, on its own, has risen by one."""
        problem = self.problem()
        index = np.concatenate([[0], problem.index]).astype(int)
        gradient, hessian = np.empty(len(index)), np.empty((len(index), len(index)))
        kernels.evaluate(norms[index], problem.arrays, gradient, hessian)
        a, b = 0.5 * np.diag(hessian), np.maximum(gradient, 0.0)
        out = np.full(len(norms), np.inf)
        with np.errstate(divide="ignore"):
            out[index] = 2 / (b + np.sqrt(b**2 + 4 * a))
        return out

    def _fitted_priors(self, cov_scale):
        if not cov_scale > 0:
            raise ValueError(f"cov_scale must be positive, got {cov_scale}.")
        fit = self.fit(nonlinear=False)
        n = len(self.norm_parameters)
        norms = fit.norms[1 : n + 1]
        errors = np.sqrt(np.diag(fit.covariance_norms))[1 : n + 1]
        rises = self._rises(fit.norms)
        priors = {}
        for k in range(n):
            # at a bound, the distance at which -2 ln L has risen by one
            width = errors[k] if errors[k] > 0 else rises[k + 1]
            if np.isfinite(width) and width > 0:
                priors[k + 1] = (norms[k], 1 / (cov_scale * width) ** 2)
            elif k + 1 in self._priors:
                priors[k + 1] = self._priors[k + 1]
        return norms, priors

    def _add_priors(self, cov_scale):
        """Hold the background norms by priors from a fit to all energies from now on.

        Parameters
        ----------
        cov_scale : float
            Width of the priors in errors of the fit.
        """
        self._priors = self._fitted_priors(cov_scale)[1]

    def count(self, npred):
        """Sum of predicted counts over what is not masked.

        Parameters
        ----------
        npred : list of array, shape (n_energy, ny, nx)
            One for every dataset.
        """
        return sum(
            float((t.weight * cube.reshape(t.weight.shape)).sum())
            for t, cube in zip(self._terms, npred, strict=True)
        )

    def with_counts(self, counts):
        """Likelihood of other counts, simulated ones for instance, under the same models.

        Parameters
        ----------
        counts : list of `~gammapy.maps.Map` or array, shape (n_energy, ny, nx)
            One for every dataset; ON/OFF data keep their counts OFF.

        Returns
        -------
        likelihood : `CountsLikelihood`
            Shares the predicted counts with this one.
        """
        counts = list(counts)
        if len(counts) != len(self._terms):
            raise ValueError(f"with_counts needs {len(self._terms)} arrays, got {len(counts)}.")
        out = copy(self)
        out._known_fluxes = {}
        out._references = self._references.copy()
        out._components = [replace(component, spectrum=None) for component in self._components]
        out._terms = [
            terms.with_counts(getattr(values, "data", values))
            for terms, values in zip(self._terms, counts, strict=True)
        ]
        return out

    def totals(self, edges):
        """Counts in energy bins for unit flux of the source in every true energy bin.

        Parameters
        ----------
        edges : `~astropy.units.Quantity`, shape (n_bins + 1,)

        Returns
        -------
        totals : list of array, shape (n_true, n_bins)
            One for every dataset; masked pixels don't count.
        """
        out = []
        edges = u.Quantity(edges).to_value("GeV")
        for terms, response in zip(self._terms, self.response, strict=True):
            counts = response.totals(terms.weight.reshape(response.shape))
            place = np.searchsorted(edges * (1 - EDGE_RTOL), terms.edges[:-1], side="right") - 1
            total = np.zeros((counts.shape[0], len(edges) - 1))
            for reco, b in enumerate(place):
                if 0 <= b < total.shape[1]:
                    total[:, b] += counts[:, reco]
            out.append(total)
        return out

    def scanner(self):
        """Profile the strength of many signals, see `_counts_direct.DirectScanner`."""
        self._refuse_shared()
        return DirectScanner(self.with_counts([terms.counts for terms in self._terms]))

    # --- fit ---------------------------------------------------------------------------------

    def fit(self, norm=None, nonlinear=True):
        """Maximise the likelihood over all free parameters, those of the background and the norm.

        Parameters
        ----------
        norm : float, optional
            Hold the norm of the source at this value. Default is to fit it.
        nonlinear : bool
            Fit free parameters that are not norms, too. Default is True.

        Returns
        -------
        fit : `CountsFit`

        Raises
        ------
        RuntimeError
            If it does not converge.
        """
        return fit_likelihood(self, norm, nonlinear)

    def update_models(self, fit):
        """Write values, errors and covariance of a fit into the models of the datasets.

        Parameters
        ----------
        fit : `CountsFit`
        """
        if self._spectrum is not None:
            raise ValueError(
                "this likelihood has a spectrum of its own instead of the source's, whose "
                "parameters a fit of it can't set; make one without `spectrum`."
            )
        aliases = {id(c.own): c.parameter for c in self._components if c.own is not None}
        for dataset in self.datasets:
            fit.to_models(dataset.models, aliases)
        if self._given is not None:
            # Datasets keep a covariance of their own, which Gammapy's Fit sets, too
            self._given._covariance = None
            models = self._given.models
            fit.to_models(models, aliases)
            self._given._covariance = Covariance(
                models.parameters, np.array(models.covariance.data)
            )
        self._assemble()

    def __repr__(self):
        kinds = ", ".join(t.name for t in self._terms)
        return (
            f"CountsLikelihood(source={self.source!r}, datasets: {kinds}; "
            f"{len(self.norm_parameters)} background norms and "
            f"{len(self.nonlinear_parameters)} other parameters free)"
        )


def _splits(edges, energy):
    """True if an energy is an edge of these bins or outside."""
    if energy <= edges[0] * (1 + EDGE_RTOL) or energy >= edges[-1] * (1 - EDGE_RTOL):
        return True
    return bool(np.isclose(edges, energy, rtol=EDGE_RTOL, atol=0).any())
