"""Which parameters of a spectrum are its shape."""

from gammapy.modeling.models import SkyModel

from ...datasets._counts_components import FACTORS

__all__ = ["shape_parameters"]

# Exponents and scales that sources are seldom bright enough for stay as they are in the models,
# as in catalogs: "index_2" and "alpha" of cutoffs, "reference", "ebreak".
SHAPES = {
    "PowerLawSpectralModel": ("index",),
    "PowerLaw2SpectralModel": ("index",),
    "LogParabolaSpectralModel": ("alpha", "beta"),
    "ExpCutoffPowerLawSpectralModel": ("index", "lambda_"),
    "ExpCutoffPowerLaw3FGLSpectralModel": ("index", "ecut"),
    "SuperExpCutoffPowerLaw3FGLSpectralModel": ("index_1", "ecut"),
    "SuperExpCutoffPowerLaw4FGLSpectralModel": ("index_1", "expfactor"),
    "SuperExpCutoffPowerLaw4FGLDR3SpectralModel": ("index_1", "expfactor"),
    "BrokenPowerLawSpectralModel": ("index1", "index2"),
}


def shape_parameters(model):
    """Parameters that shape the spectrum of a model.

    Those of the spectra of catalogs are known; of other spectra they are what is free in the model
    besides its norm. Parameters without effect on the slope, such as a reference energy, are none.

    Parameters
    ----------
    model : `~gammapy.modeling.models.SkyModel`
        Or another kind of model, which has none.

    Returns
    -------
    parameters : list of `~gammapy.modeling.Parameter`

    Examples
    --------
    >>> from gammapy.modeling.models import LogParabolaSpectralModel, SkyModel
    >>> from dmgammapy.estimators.roi._shapes import shape_parameters
    >>> [p.name for p in shape_parameters(SkyModel(LogParabolaSpectralModel()))]
    ['alpha', 'beta']
    """
    if not isinstance(model, SkyModel):
        return []
    spectrum = model.spectral_model
    names = SHAPES.get(type(spectrum).__name__)
    if names is not None:
        return [spectrum.parameters[name] for name in names]
    others = ("amplitude", "norm", "sigmav", "gamma", "scale", "const", "F0", "reference", *FACTORS)
    return [p for p in spectrum.parameters if not p.frozen and p.name not in others]
