"""What is true in a realisation: the signal's strength, J and the J that is observed."""

from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache

import astropy.units as u
import numpy as np
from gammapy.maps import Map
from scipy.special import ndtri

from dmgammapy.modeling import JFactorPrior
from dmgammapy.modeling.priors import check_width_in_covariance
from dmgammapy.spectra import CHANNELS

from ._streams import random_stream

__all__ = [
    "Signal",
    "check_covariance",
    "check_spectrum",
    "copy_models",
    "draw_jfactors",
    "linked_names",
    "observed_models",
    "source_factor",
    "true_by_target",
]

LARGEST_LOG10 = 40.0  # no J or D is as large


@dataclass(frozen=True)
class Signal:
    """Injected signal; ``strength`` is sigmav [cm3 s-1] or gamma [s-1], zero for none."""

    process: str | None = None
    strength: float = 0.0
    mass: u.Quantity | None = None
    channel: str | dict | None = None

    @classmethod
    def from_arguments(cls, mass, channel, sigmav, gamma):
        if sigmav is not None and gamma is not None:
            raise ValueError("give sigmav (annihilation) or gamma (decay), not both.")
        if sigmav is None and gamma is None:
            if mass is not None or channel is not None:
                raise ValueError(
                    "mass and channel belong to a signal: give its sigmav (or gamma), too."
                )
            return cls()
        name, value, unit = ("sigmav", sigmav, "cm3 s-1")
        if sigmav is None:
            name, value, unit = ("gamma", gamma, "s-1")
        try:
            strength = u.Quantity(value).to_value(unit)
        except (u.UnitConversionError, TypeError, ValueError):
            raise ValueError(f"{name} must be a quantity in {unit}, got {value!r}.") from None
        if not (np.isscalar(strength) or np.ndim(strength) == 0) or not (
            np.isfinite(strength) and strength >= 0
        ):
            raise ValueError(f"{name} must be one finite number >= 0, got {value!r}.")
        process = "annihilation" if name == "sigmav" else "decay"
        mass = None if mass is None else u.Quantity(mass)
        return cls(process, float(strength), mass, channel)

    def apply(self, model, log10_jfactor=None):
        """Set a copied sky model to the signal.

        Parameters
        ----------
        model : `~gammapy.modeling.models.SkyModel`
        log10_jfactor : float, optional
            Default is to leave it.
        """
        spectrum = model.spectral_model
        if self.strength and spectrum.process != self.process:
            raise ValueError(
                f"model {model.name!r} is about {spectrum.process}, but the signal is "
                f"{self.process}: give {'gamma' if self.process == 'annihilation' else 'sigmav'} "
                "or other models."
            )
        strength, factor = spectrum.parameters[0], spectrum.parameters[1]
        _free_of_bounds(strength)
        strength.value = self.strength
        if self.mass is not None:
            spectrum.mass = self.mass
        if self.channel is not None:
            spectrum.channel = self.channel
        if log10_jfactor is not None:
            factor.prior = None
            _free_of_bounds(factor)
            factor.value = log10_jfactor


def check_spectrum(model):
    """Raise a ValueError if a signal has no spectrum, which would inject nothing."""
    spectrum = model.spectral_model
    channel, factor = spectrum.channel, 1 if spectrum.process == "annihilation" else 2
    for name in [channel] if isinstance(channel, str) else channel:
        if not spectrum.spectra.is_valid(spectrum.mass, name, spectrum.process):
            threshold = factor * CHANNELS[name].threshold * u.GeV
            raise ValueError(
                f"signal of model {model.name!r}: channel {name!r} has no spectrum at mass "
                f"{spectrum.mass}, its threshold is {threshold:.5g}; take a larger mass or "
                "another channel."
            )


def true_by_target(values):
    """Numbers of ``log10_jfactor={target: number}``, checked."""
    out = {}
    for name, value in values.items():
        try:
            number = float("nan" if isinstance(value, str | u.Quantity) else value)
        except (TypeError, ValueError):
            number = np.nan
        if not np.isfinite(number):
            raise ValueError(
                f"log10_jfactor of target {name!r} must be a finite number without unit, the log10 "
                f"of J [GeV2 cm-5] (or D [GeV cm-2]), got {value!r}."
            )
        if abs(number) > LARGEST_LOG10:
            raise ValueError(
                f"log10_jfactor of target {name!r} is {value!r}, which looks like J itself: give "
                "its log10."
            )
        out[name] = number
    return out


def linked_names(models):
    """Names of sources that share a J-factor parameter.

    Parameters
    ----------
    models : list of `~gammapy.modeling.models.SkyModel`

    Returns
    -------
    names : list of tuple of str
        For each model: those that have its parameter, in alphabetical order.
    """
    groups = {}
    for model in models:
        groups.setdefault(id(model.spectral_model.parameters[1]), set()).add(model.name)
    return [tuple(sorted(groups[id(model.spectral_model.parameters[1])])) for model in models]


def check_covariance(covariance, sources, linked):
    """Raise a ValueError if a covariance is for none of the sources or contradicts their priors."""
    known = set(covariance.names)
    if not known & {model.name for model in sources}:
        raise ValueError(
            f"jfactor_covariance is for {sorted(known)}, which are none of the targets of the "
            f"datasets, {sorted({model.name for model in sources})}."
        )
    for model, names in zip(sources, linked, strict=True):
        both = [name for name in names if name in known]
        if len(both) > 1:
            raise ValueError(
                f"models {both} share one J-factor, so that jfactor_covariance must name one of "
                "them only."
            )
        prior = source_factor(model)[1]
        if not both or prior is None:
            continue
        k = list(covariance.names).index(both[0])
        width = float(np.sqrt(covariance.matrix[k, k]))
        check_width_in_covariance(model.name, prior, width)


def _free_of_bounds(parameter):
    parameter.min, parameter.max = np.nan, np.nan


def source_factor(model):
    """Observed log10 of J (or D) of a dark matter model, and its prior or None."""
    parameter = model.spectral_model.parameters[1]
    prior = parameter.prior
    if prior is None:
        return float(parameter.value), None
    if not isinstance(prior, JFactorPrior):
        raise ValueError(
            f"model {model.name!r}: the prior on {parameter.name} must be a JFactorPrior, got "
            f"{type(prior).__name__}."
        )
    return float(prior.log10_jfactor), prior


def draw_jfactors(model, seed, realisations, true, redraw, covariance=None, linked=None):
    """True and observed log10 of J of a target in realisations.

    The draws belong to the target: its models on several instruments share the quantiles, and so
    do models of different names that share the parameter.

    Parameters
    ----------
    model : `~gammapy.modeling.models.SkyModel`
    seed : int
    realisations : sequence of int
    true : {"observed", "prior"} or dict
    redraw : bool
    covariance : object with ``names`` and ``matrix`` [dex2], optional
        Of targets whose J-factors are wrong together.
    linked : tuple of str, optional
        Names of models with this J-factor, see `linked_names`; draws go by the first.

    Returns
    -------
    log10_jfactor, log10_jfactor_obs : array, shape (n_realisations,)
    """
    linked = linked or (model.name,)
    known = [] if covariance is None else [name for name in linked if name in covariance.names]
    together = bool(known)
    value, observed, prior = true_jfactor(model, true, redraw, linked, together)
    value, observed = np.full(len(realisations), value), np.full(len(realisations), observed)
    if redraw or true == "prior":
        if together:
            shifts = _correlated_shifts(covariance, known[0], seed, realisations)
        else:
            uniform = _uniform(seed, linked[0], realisations)
            shifts = [_shift(prior, u) for u in uniform.T]
        if true == "prior":
            value = value + shifts[0]
        if redraw:
            observed = value - shifts[1]
    return value, observed


def _uniform(seed, name, realisations):
    return np.array([_pair(seed, name, i) for i in realisations]).reshape(-1, 2)


@lru_cache(maxsize=2**16)
def _pair(seed, name, realisation):
    return random_stream(seed, "jfactor", name, realisation).random(2)


def _correlated_shifts(covariance, name, seed, realisations):
    """Shifts of a target for the true and the observed J, two arrays (n_realisations,)."""
    values, vectors = np.linalg.eigh(np.asarray(covariance.matrix, dtype=float))
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T  # C may be singular
    row = root[list(covariance.names).index(name)]
    normal = np.stack([ndtri(_uniform(seed, other, realisations)) for other in covariance.names])
    return (row[:, None, None] * normal).sum(axis=0).T


def true_jfactor(model, true, redraw=False, linked=None, together=False):
    """log10 of J that draws scatter around, the observed one and its prior (or None)."""
    observed, prior = source_factor(model)
    if prior is None and (redraw or true == "prior") and not together:
        raise ValueError(
            f"target {model.name!r}: its J-factor has no prior to draw from; give the target a "
            "log10_jfactor_err (zero fixes J)."
        )
    if not isinstance(true, dict):
        return observed, observed, prior
    given = {name: true[name] for name in linked or (model.name,) if name in true}
    if len(set(given.values())) > 1:
        raise ValueError(
            f"log10_jfactor has different values for models that share one J-factor: {given}."
        )
    if not given:
        raise ValueError(
            f"log10_jfactor has no value for target {model.name!r}, only for {sorted(true)}."
        )
    return float(next(iter(given.values()))), observed, prior


def _shift(prior, probability):
    if prior.is_fixed:
        return np.zeros_like(probability)
    return prior._inverse_cdf(probability) - prior.log10_jfactor


def copy_models(datasets):
    """Copy the models of datasets; what they share they share in the copies.

    Maps of templates are not copied.

    Parameters
    ----------
    datasets : list of `~gammapy.datasets.Dataset`

    Returns
    -------
    models : list of list of `~gammapy.modeling.models.Model`
        One for each dataset.
    """
    memo = {}
    for dataset in datasets:
        if getattr(dataset.models, "_penalties", None):
            raise ValueError(
                f"dataset {dataset.name!r}: its models have penalties between parameters, which "
                "simulated datasets could not keep; remove them."
            )
        for model in dataset.models:
            for part in vars(model).values():
                for item in vars(part).values() if hasattr(part, "__dict__") else ():
                    if isinstance(item, Map):
                        memo[id(item)] = item
    return [[deepcopy(model, memo) for model in dataset.models] for dataset in datasets]


def observed_models(models, source, log10_jfactor_obs):
    """Move the J-factor of a source in copied models, with its prior, to what is observed."""
    model = next(model for model in models if model.name == source)
    parameter = model.spectral_model.parameters[1]
    _, prior = source_factor(model)
    if prior is None:
        parameter.value = log10_jfactor_obs
        return
    if prior.log10_jfactor == log10_jfactor_obs:
        return
    _free_of_bounds(parameter)
    spec = prior.to_spec() | {"log10_jfactor": float(log10_jfactor_obs)}
    name = "jfactor_prior" if model.spectral_model.process == "annihilation" else "dfactor_prior"
    setattr(model.spectral_model, name, JFactorPrior.from_spec(spec))
