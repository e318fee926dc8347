"""Which parameters of Gammapy models scale predicted counts linearly."""

import astropy.units as u
import numpy as np
from gammapy.modeling.models import GaussianPrior, SkyModel, SpectralModel, UniformPrior

__all__ = [
    "copy_with",
    "find_source",
    "is_dark_matter",
    "is_proportional",
    "linear_parameter",
    "norm_parameter",
    "prior_terms",
    "prior_value",
]

# One of these is meant when a model that is frozen altogether gets its norm freed by name.
NORM_NAMES = ("amplitude", "norm", "sigmav", "gamma", "scale", "const", "F0")
LINEARITY = 1e-9


def is_dark_matter(model):
    """True for sky models with a spectrum of this package."""
    return getattr(getattr(model, "spectral_model", None), "process", None) is not None


def find_source(datasets, source=None):
    """Name of the one source of interest.

    Parameters
    ----------
    datasets : list of `~gammapy.datasets.Dataset`
    source : str, optional
        Default is the only model with a dark matter spectrum.

    Raises
    ------
    ValueError
        If there is none or more than one, or a dataset lacks it.
    """
    remedy = "append target.to_models(mass=..., channel=...) to its models"
    found = {}
    for dataset in datasets:
        models = dataset.models if dataset.models is not None else []
        names = [m.name for m in models]
        if source is not None:
            if source not in names:
                raise ValueError(
                    f"dataset {dataset.name!r} has no model named {source!r}; it has {names}."
                )
            continue
        dark = [m.name for m in models if is_dark_matter(m)]
        if not dark:
            raise ValueError(
                f"dataset {dataset.name!r} has no dark matter model (its models: {names}): "
                f"{remedy}."
            )
        if len(dark) > 1:
            raise ValueError(
                f"dataset {dataset.name!r} has {len(dark)} dark matter models, {dark}: name the "
                "one to scan by source=..., the others are then background."
            )
        found.setdefault(dark[0], []).append(dataset.name)
    if source is not None:
        return source
    if len(found) > 1:
        raise ValueError(
            f"the datasets are about different dark matter sources, {found}; a joint likelihood "
            "needs one."
        )
    return next(iter(found))


def _spectrum(model):
    return getattr(model, "spectral_model", None)


def copy_with(model, changes):
    """Copy of a model with other parameter values.

    Parameters
    ----------
    model : `~gammapy.modeling.models.Model`
    changes : dict
        ``{parameter of model: value in its unit}``.
    """
    if isinstance(model, SkyModel):
        copied = model.copy(name=model.name, copy_data=False)
    elif isinstance(model, SpectralModel):
        copied = model.copy()
    else:
        copied = model.copy(name=model.name)
    parameters = list(model.parameters)
    for parameter, value in changes.items():
        for mine, its in zip(parameters, copied.parameters, strict=True):
            if mine is parameter:
                its.value = value
    return copied


def _probe_energies(model):
    return np.geomspace(0.03, 3.0, 5) * u.TeV


def is_proportional(model, parameter):
    """True if a model's prediction is the parameter times something that doesn't hold it."""
    spectrum = _spectrum(model)
    if spectrum is None or not any(p is parameter for p in spectrum.parameters):
        return False
    start = parameter.value if parameter.value != 0 else 1.0
    values = []
    # a spectrum may vanish at fixed energies: dark matter below these, for instance
    mass = getattr(spectrum, "mass", None)
    energy = _probe_energies(model) if mass is None else mass * np.array([0.3, 0.02, 1e-3])
    for factor in (1.0, 2.0, -1.5):
        trial = copy_with(spectrum, {parameter: start * factor})
        with np.errstate(all="ignore"):
            values.append(np.asarray(u.Quantity(trial(energy)).value, dtype=float))
    one, two, minus = values
    scale = np.abs(one).max()
    if not np.isfinite(values).all() or scale == 0:
        return False
    return bool(
        np.allclose(two, 2 * one, rtol=LINEARITY, atol=LINEARITY * scale)
        and np.allclose(minus, -1.5 * one, rtol=LINEARITY, atol=LINEARITY * scale)
    )


def linear_parameter(model):
    """The free parameter that scales the model, or None.

    A parameter with a prior that is neither Gaussian nor uniform is not taken as linear, since
    the fit treats such priors elsewhere.
    """
    spectrum = _spectrum(model)
    if spectrum is None:
        return None
    for parameter in spectrum.parameters:
        if parameter.frozen:
            continue
        if parameter.prior is not None and not isinstance(
            parameter.prior, GaussianPrior | UniformPrior
        ):
            continue
        if is_proportional(model, parameter):
            return parameter
    return None


def norm_parameter(model):
    """The parameter that scales a model, frozen or not.

    Raises
    ------
    ValueError
        If none does.
    """
    spectrum = _spectrum(model)
    if spectrum is not None:
        for name in NORM_NAMES:
            for parameter in spectrum.parameters:
                if parameter.name == name and is_proportional(model, parameter):
                    return parameter
    raise ValueError(
        f"model {model.name!r} has no parameter that scales it; looked for "
        f"{', '.join(NORM_NAMES)} in its spectral model."
    )


def prior_value(parameter, value):
    """-2 ln of a parameter's prior at a value, 0 without prior."""
    if parameter.prior is None:
        return 0.0
    trial = parameter.copy()
    trial.value = value
    return float(np.asarray(parameter.prior(trial)))


def prior_terms(parameter):
    """Constant, mean and weight (1 / variance) of a linear parameter's prior.

    -2 ln prior = constant + weight (value - mean)^2.
    """
    prior = parameter.prior
    if prior is None:
        return 0.0, 0.0, 0.0
    if isinstance(prior, UniformPrior):
        return prior_value(parameter, parameter.value), 0.0, 0.0
    mean, sigma = prior.mu.value, prior.sigma.value
    constant = prior_value(parameter, mean)
    weight = (prior_value(parameter, mean + sigma) - constant) / sigma**2
    return constant, mean, weight
