"""Which parameters of the models on counts datasets are fitted."""

import logging
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.modeling.models import GaussianPrior, SkyModel, UniformPrior

from ._counts_models import linear_parameter, norm_parameter

__all__ = [
    "Component",
    "check_free",
    "check_links",
    "check_named",
    "make_component",
    "model_of",
    "reference_of",
    "source_position",
]


log = logging.getLogger(__name__)

FACTORS = ("log10_jfactor", "log10_dfactor")  # their uncertainty is treated in the stack


@dataclass
class Component:
    """A model on one dataset: which norm scales it, which other parameters are free."""

    dataset: int
    model: object
    parameter: object | None
    nonlinear: list
    own: object | None = None  # the norm in this model, where datasets have models of their own
    response: object | None = None
    spectrum: object | None = None

    def spectrum_with(self, values):
        """Own copy of the spectral model, with these values of the model's parameters."""
        if self.spectrum is None:
            self.spectrum = self.model.spectral_model.copy()
        for parameter, value in values.items():
            for mine, its in zip(
                self.model.spectral_model.parameters, self.spectrum.parameters, strict=True
            ):
                if mine is parameter:
                    its.value = value
        return self.spectrum

    @property
    def is_spectral(self):
        """True if all other free parameters are of the spectrum of a sky model."""
        own = self.model.spectral_model.parameters
        return isinstance(self.model, SkyModel) and all(
            any(p is q for q in own) for p in self.nonlinear
        )


def model_of(dataset, name):
    """The model of a dataset by name."""
    return next(m for m in dataset.models if m.name == name)


def source_position(datasets, source):
    return getattr(model_of(datasets[0], source), "position", None)


def reference_of(parameter):
    """Value of unit norm: the present one if it can serve."""
    if parameter is None:
        return 1.0
    if np.isfinite(parameter.value) and parameter.value > 0:
        return float(parameter.value)
    return float(parameter.scale) if parameter.scale > 0 else 1.0


def make_component(i, model, is_source, free, position):
    """Decide which parameters of a model are fitted."""
    spectral = getattr(model, "spectral_model", None)
    if is_source:
        parameter = norm_parameter(model)
        if parameter.prior is not None:
            raise ValueError(
                f"the source's {parameter.name} has a prior, which a limit can't have: remove it "
                f"(model {model.name!r})."
            )
        ignored = [
            p.name
            for p in model.parameters
            if not p.frozen and p is not parameter and p.name not in FACTORS
        ]
        if ignored:
            log.warning(
                "%s: its free parameters %s stay at their values; only %s is scanned.",
                model.name, ignored, parameter.name,
            )  # fmt: skip
        return Component(i, model, parameter, [])
    if isinstance(free, str):
        if free == "fixed":
            return Component(i, model, None, [])
        parameter = linear_parameter(model) if spectral is not None else None
        rest = [p for p in model.parameters if not p.frozen and p is not parameter]
        return Component(i, model, parameter, rest)
    if _is_angle(free):
        where = getattr(model, "position", None)
        extended = getattr(model, "spatial_model", None)
        near = (
            isinstance(where, SkyCoord)
            and position is not None
            and getattr(extended, "tag", [""])[0] != "ConstantSpatialModel"
            and not getattr(extended, "is_template", False)
            and where.separation(position) <= free
        )
        return Component(i, model, _free_norm(model) if near else None, [])
    return Component(i, model, _free_norm(model) if model.name in free else None, [])


def _free_norm(model):
    """Norm of a model that is freed by name or distance."""
    parameter = norm_parameter(model)
    prior = parameter.prior
    if prior is not None and not isinstance(prior, GaussianPrior | UniformPrior):
        raise ValueError(
            f"model {model.name!r}: the prior on {parameter.name} is a {type(prior).__name__}; "
            "norms freed by name or distance take Gaussian and uniform ones. Free it in the "
            "model and use free='free'."
        )
    return parameter


def _is_angle(free):
    return isinstance(free, u.Quantity)


def check_free(free, source):
    """Raise an error that says what ``free`` may be."""
    remedy = "free must be 'free', 'fixed', a list of model names or an angle"
    if isinstance(free, str):
        if free not in ("free", "fixed"):
            raise ValueError(f"{remedy}, got {free!r}.")
    elif _is_angle(free):
        if not free.unit.is_equivalent("deg") or not free.isscalar:
            raise ValueError(f"{remedy}, got {free!r}.")
    elif not isinstance(free, list | tuple | set) or not all(isinstance(n, str) for n in free):
        raise TypeError(f"{remedy}, got {free!r}.")
    elif source in free:
        raise ValueError(f"free names the source {source!r}, whose norm is free anyway.")


def check_links(components):
    """Raise an error if a norm of one model is another parameter elsewhere."""
    norms = [c.parameter for c in components if c.parameter is not None]
    for component in components:
        for parameter in component.nonlinear:
            if any(parameter is norm for norm in norms):
                raise ValueError(
                    f"{parameter.name} of model {component.model.name!r} is linked to the norm of "
                    "another model but doesn't scale this one: unlink or freeze it, or use "
                    "gammapy.modeling.Fit."
                )


def check_named(free, components):
    """Raise an error if ``free`` names models that are not there."""
    if isinstance(free, str) or _is_angle(free):
        return
    known = {c.model.name for c in components}
    unknown = sorted(set(free) - known)
    if unknown:
        raise ValueError(f"free names {unknown}, which are not models: {sorted(known)}.")
