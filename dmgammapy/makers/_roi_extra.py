"""Sources given by the user: sky models, and dictionaries in fermipy's or Gammapy's style."""

import difflib

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.modeling.models import (
    DiskSpatialModel,
    ExpCutoffPowerLawSpectralModel,
    GaussianSpatialModel,
    LogParabolaSpectralModel,
    ModelBase,
    PointSpatialModel,
    PowerLaw2SpectralModel,
    PowerLawSpectralModel,
    SkyModel,
    SuperExpCutoffPowerLaw4FGLDR3SpectralModel,
    SuperExpCutoffPowerLaw4FGLSpectralModel,
)

from ._roi_extended import GAUSSIAN_R68

__all__ = ["make_source"]

DNDE = "cm-2 s-1 MeV-1"
# Spectrum: (class, {parameter here: (key, unit, default)}); energies in MeV as in XML models.
NORM = ("Prefactor", DNDE, None)
SCALE = ("Scale", "MeV", 1000.0)
SPECTRA = {
    "PowerLaw": (
        PowerLawSpectralModel,
        {"amplitude": NORM, "index": ("Index", "", 2.0), "reference": SCALE},
    ),
    "PowerLaw2": (
        PowerLaw2SpectralModel,
        {
            "amplitude": ("Integral", "cm-2 s-1", None),
            "index": ("Index", "", 2.0),
            "emin": ("LowerLimit", "MeV", 100.0),
            "emax": ("UpperLimit", "MeV", 1e5),
        },
    ),
    "LogParabola": (
        LogParabolaSpectralModel,
        {
            "amplitude": ("norm", DNDE, None),
            "alpha": ("alpha", "", 2.0),
            "beta": ("beta", "", 0.0),
            "reference": ("Eb", "MeV", 1000.0),
        },
    ),
    "PLSuperExpCutoff": (
        ExpCutoffPowerLawSpectralModel,
        {
            "amplitude": NORM,
            "index": ("Index1", "", 2.0),
            "reference": SCALE,
            "lambda_": ("Cutoff", "MeV", None),
            "alpha": ("Index2", "", 1.0),
        },
    ),
    "PLSuperExpCutoff2": (
        SuperExpCutoffPowerLaw4FGLSpectralModel,
        {
            "amplitude": NORM,
            "index_1": ("Index1", "", 2.0),
            "reference": SCALE,
            "expfactor": ("Expfactor", "", None),
            "index_2": ("Index2", "", 2 / 3),
        },
    ),
    "PLSuperExpCutoff4": (
        SuperExpCutoffPowerLaw4FGLDR3SpectralModel,
        {
            "amplitude": NORM,
            "index_1": ("IndexS", "", 2.0),
            "reference": SCALE,
            "expfactor": ("ExpfactorS", "", None),
            "index_2": ("Index2", "", 2 / 3),
        },
    ),
}
# XML models write falling spectra as a negative exponent of scale -1; alpha is one already.
FALLING = ("Index", "Index1", "IndexS")
POSITIONS = (("ra", "dec", "icrs"), ("glon", "glat", "galactic"), ("l", "b", "galactic"))
SPATIAL = {
    "PointSource": None,
    "PointSourceSpatial": None,
    "RadialDisk": "Radius",
    "RadialGaussian": "Sigma",
}
OTHER_KEYS = ("name", "SpectrumType", "SpatialModel", "SpatialWidth", "free")


def make_source(source, position=None):
    """Sky model of a source given by the user.

    Parameters
    ----------
    source : `~gammapy.modeling.models.SkyModel` or dict
        A model is taken as it is. A dictionary with ``spectral`` is one component of a Gammapy
        model file. Otherwise it is as in fermipy's configuration: ``name``, ``ra`` and ``dec``
        (or ``glon`` and ``glat``) in deg, ``SpectrumType``, its parameters in MeV, cm and s as
        numbers or ``{value, scale}``, ``SpatialModel`` PointSource, RadialDisk or RadialGaussian
        with ``SpatialWidth`` (radius of a disk, 68 % radius of a Gaussian, in deg), and
        ``free`` (norm, default is True).
    position : `~astropy.coordinates.SkyCoord`, optional
        Of sources without one. Default is to raise.

    Returns
    -------
    model : `~gammapy.modeling.models.SkyModel`

    Raises
    ------
    TypeError
        If it is neither a model nor a dictionary.
    ValueError
        If something is missing, unknown or not a number.

    Examples
    --------
    >>> from dmgammapy.makers._roi_extra import make_source
    >>> model = make_source({
    ...     "name": "new", "ra": 10.0, "dec": -20.0, "SpectrumType": "PowerLaw",
    ...     "Index": 2.2, "Prefactor": {"value": 1.5, "scale": 1e-13},
    ... })
    >>> float(model.spectral_model.index.value), model.spectral_model.amplitude.quantity
    (2.2, <Quantity 1.5e-13 1 / (MeV s cm2)>)
    """
    if isinstance(source, ModelBase):
        return source
    if not isinstance(source, dict):
        raise TypeError(
            f"a source must be a model or a dictionary, got {type(source).__name__}: {source!r}."
        )
    name = source.get("name")
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"a source needs a name, got {source!r}.")
    if "spectral" in source:
        return SkyModel.from_dict({"type": "SkyModel", **source})
    kind = source.get("SpectrumType", "PowerLaw")
    if kind not in SPECTRA:
        raise ValueError(
            f"source {name}: SpectrumType {kind!r} is not supported, expected one of "
            f"{', '.join(SPECTRA)}; give other spectra as a SkyModel, dark matter by "
            "target.to_models()."
        )
    shape = source.get("SpatialModel", "PointSource")
    if shape not in SPATIAL:
        raise ValueError(
            f"source {name}: SpatialModel {shape!r} is not supported, expected one of "
            f"{', '.join(SPATIAL)}; give templates as a SkyModel."
        )
    _check_keys(source, name, kind)
    model = SkyModel(
        _spectrum(source, name, kind), _spatial(source, name, shape, position), name=name
    )
    for parameter in model.parameters:
        parameter.frozen = True
    norm = model.spectral_model.amplitude
    norm.frozen = not source.get("free", True)
    norm.min = 0
    return model


def _check_keys(source, name, kind):
    allowed = [key for key, _, _ in SPECTRA[kind][1].values()]
    allowed += [*OTHER_KEYS, *(k for pair in POSITIONS for k in pair[:2]), "Sigma", "Radius"]
    for key in source:
        if key not in allowed:
            close = difflib.get_close_matches(str(key), allowed, n=1)
            hint = f"; perhaps {close[0]}?" if close else ""
            raise ValueError(
                f"source {name}: unknown key {key!r} for a {kind}, known are "
                f"{', '.join(allowed)}{hint}"
            )


def _spectrum(source, name, kind):
    spectrum, keys = SPECTRA[kind]
    values = {}
    for parameter, (key, unit, default) in keys.items():
        if key not in source and default is None:
            raise ValueError(f"source {name}: a {kind} needs {key} [{unit or 'no unit'}].")
        value = _number(source.get(key, default), name, key)
        if key in FALLING:
            value = abs(value)
        if parameter == "lambda_":
            value, unit = 1 / value, "MeV-1"
        values[parameter] = value * u.Unit(unit)
    return spectrum(**values)


def _spatial(source, name, shape, position):
    for lon, lat, frame in POSITIONS:
        if lon in source and lat in source:
            position = SkyCoord(
                _number(source[lon], name, lon),
                _number(source[lat], name, lat),
                unit="deg",
                frame=frame,
            ).icrs
            break
    if position is None:
        raise ValueError(f"source {name}: it has no position; give ra and dec in deg.")
    place = {"lon_0": position.icrs.ra, "lat_0": position.icrs.dec, "frame": "icrs"}
    key = SPATIAL[shape]
    if key is None:
        return PointSpatialModel(**place)
    if key not in source and "SpatialWidth" not in source:
        raise ValueError(f"source {name}: a {shape} needs its SpatialWidth in deg.")
    if key in source:
        width = _number(source[key], name, key)
    else:
        width = _number(source["SpatialWidth"], name, "SpatialWidth")
        width /= GAUSSIAN_R68 if shape == "RadialGaussian" else 1
    if not width > 0:
        raise ValueError(f"source {name}: its size must be positive, got {width:g} deg.")
    if shape == "RadialDisk":
        return DiskSpatialModel(r_0=width * u.deg, **place)
    return GaussianSpatialModel(sigma=width * u.deg, **place)


def _number(value, name, key):
    scale = 1.0
    if isinstance(value, dict):
        value, scale = value.get("value"), value.get("scale", 1.0)
    try:
        number = float(value) * float(scale)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise ValueError(f"source {name}: {key} must be a number, got {value!r}.")
    return number
