"""Find, select, free and freeze the sources of a model.

What to use when

- `find_model` gives the model of a name or of another name of the source.
- `select_sources` names the sources within a distance, above a significance, by name.
- `free_sources` and `freeze_sources` do so and free or freeze their norms, shapes or both.

All take any Gammapy models. Test statistics and other names are in the table that
`ROIModelMaker.run` returns with ``return_table=True``; without it (``table=None``) sources are
known by the names of the models only.
"""

import difflib
import logging

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.modeling.models import ConstantSpatialModel, SkyModel, TemplateSpatialModel

from dmgammapy.datasets._counts_models import norm_parameter

from ._roi_table import names_of, plain_name

__all__ = [
    "find_model",
    "free_near",
    "free_sources",
    "freeze_sources",
    "is_diffuse",
    "select_sources",
]

log = logging.getLogger(__name__)

PARS = ("norm", "shape", None)
# Conventions of a spectrum, degenerate with its norm, or fixed in the LAT's catalogs.
NEVER_FREE = (
    "reference",
    "index_2",
    "emin",
    "emax",
    "redshift",
    "mass",
    "log10_jfactor",
    "log10_dfactor",
)


def is_diffuse(model):
    """True for models without a position of their own: backgrounds and diffuse templates."""
    if not isinstance(model, SkyModel):
        return True
    spatial = model.spatial_model
    if isinstance(spatial, TemplateSpatialModel):
        return not spatial.normalize
    return spatial is None or isinstance(spatial, ConstantSpatialModel)


def find_model(models, name, table=None):
    """Model of a name.

    Case and blanks don't matter. An exact name of a model comes first, then the names without
    the prefix of the catalog ("J0534.5+2201" for "4FGL J0534.5+2201") and those of the table.

    Parameters
    ----------
    models : `~gammapy.modeling.models.Models`
    name : str
    table : `~astropy.table.Table`, optional
        Of `ROIModelMaker`, with the other names.

    Returns
    -------
    model : `~gammapy.modeling.models.ModelBase`

    Raises
    ------
    ValueError
        If no model or several have the name.

    Examples
    --------
    >>> from dmgammapy.makers import find_model
    >>> from gammapy.modeling.models import Models, PowerLawSpectralModel, SkyModel
    >>> models = Models([SkyModel(PowerLawSpectralModel(), name="4FGL J1104.4+3812")])
    >>> find_model(models, "j1104.4 +3812").name
    '4FGL J1104.4+3812'
    """
    wanted = plain_name(name)
    for model in models:
        if plain_name(model.name) == wanted:
            return model
    known = {model.name: _other_names(model.name, table) for model in models}
    found = [model for model in models if wanted in known[model.name]]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"source {name!r} is ambiguous: {', '.join(m.name for m in found)} have this name; "
            "use one of these."
        )
    every = {plain: key for key, names in known.items() for plain in (plain_name(key), *names)}
    close = difflib.get_close_matches(wanted, every, n=3, cutoff=0.6)
    hint = ", ".join(dict.fromkeys(every[c] for c in close))
    raise ValueError(
        f"no source {name!r} among {len(list(models))} models"
        + (f"; perhaps {hint}?" if hint else ".")
        + _table_hint(table, wanted)
    )


def _other_names(name, table):
    names = names_of(table, name)
    short = [n.split(maxsplit=1)[1] for n in names if len(n.split(maxsplit=1)) == 2]
    return {plain_name(n) for n in [*names, *short]}


def _table_hint(table, wanted):
    """Say so if the source is in the table but not in the model."""
    if table is None:
        return ""
    for row in table:
        if row["status"] != "kept" and wanted in _other_names(row["name"], table):
            return f" {row['name']} is not in the model: {row['status']}, {row['reason']}."
    return ""


def select_sources(
    models,
    names=None,
    radius=None,
    position=None,
    significance_min=None,
    exclude=None,
    table=None,
):
    """Names of sources that fulfil all criteria given.

    Diffuse emission and backgrounds have neither distance nor significance: they are selected
    by name, or where no criterion is given.

    Parameters
    ----------
    models : `~gammapy.modeling.models.Models`
    names : str or list of str, optional
        Names as `find_model` takes them.
    radius : `~astropy.units.Quantity`, optional
        Greatest distance from ``position``.
    position : `~astropy.coordinates.SkyCoord`, optional
        Default is the centre of the region in the table.
    significance_min : float, optional
        Least sqrt(TS) in the table. Sources of unknown TS are not selected.
    exclude : str or list of str, optional
        Names not to select.
    table : `~astropy.table.Table`, optional
        Of `ROIModelMaker`.

    Returns
    -------
    names : list of str
        In the order of the models.

    Raises
    ------
    ValueError
        If a name is not known, or a table or position is missing.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.coordinates import SkyCoord
    >>> from dmgammapy.makers._roi_select import select_sources
    >>> from gammapy.modeling.models import (
    ...     Models, PointSpatialModel, PowerLawSpectralModel, SkyModel
    ... )
    >>> models = Models([
    ...     SkyModel(PowerLawSpectralModel(), PointSpatialModel(lon_0=lon * u.deg), name=name)
    ...     for name, lon in {"near": 1.0, "far": 5.0}.items()
    ... ])
    >>> select_sources(models, radius=2 * u.deg, position=SkyCoord(0, 0, unit="deg"))
    ['near']
    """
    models = list(models)
    chosen = {model.name for model in models}
    if names is not None:
        chosen &= {find_model(models, name, table).name for name in _as_list(names)}
    if radius is not None:
        chosen &= _within(models, u.Quantity(radius), position, table)
    if significance_min is not None:
        chosen &= _significant(models, significance_min, table)
    for name in _as_list(exclude):
        chosen.discard(find_model(models, name, table).name)
    return [model.name for model in models if model.name in chosen]


def free_sources(
    models,
    names=None,
    radius=None,
    position=None,
    significance_min=None,
    pars="norm",
    exclude=None,
    table=None,
):
    """Free parameters of sources.

    Norms that are freed can't become negative, unless their ``min`` says otherwise already.

    Parameters
    ----------
    models : `~gammapy.modeling.models.Models`
        Changed in place.
    names, radius, position, significance_min, exclude, table
        Which sources, as in `select_sources`; default is all.
    pars : {"norm", "shape", None}
        Which parameters of the spectra: the norm, all others, or both. Reference energies, the
        second index of cutoffs and J-factors stay as they are. Default is "norm".

    Returns
    -------
    names : list of str
        Sources that had such a parameter, which is now free.

    Raises
    ------
    ValueError
        As `select_sources`, and for ``pars`` that are none of these.

    Examples
    --------
    >>> from dmgammapy.makers._roi_select import free_sources, freeze_sources
    >>> from gammapy.modeling.models import Models, PowerLawSpectralModel, SkyModel
    >>> models = Models([SkyModel(PowerLawSpectralModel(), name=name) for name in "ab"])
    >>> freeze_sources(models, pars=None)
    ['a', 'b']
    >>> free_sources(models, names="b")
    ['b']
    >>> models.parameters.free_parameters.names
    ['amplitude']
    """
    chosen = select_sources(models, names, radius, position, significance_min, exclude, table)
    return _set_frozen(models, chosen, pars, False)


def free_near(models, sources, radius, ts_min=None, ts_beyond=None):
    """Free the norms of catalog sources near the centre, and of bright ones beyond.

    Parameters
    ----------
    models : `~gammapy.modeling.models.Models`
        Changed in place.
    sources : list of `~dmgammapy.makers._roi_catalogs.ROISource`
        Extended ones are as near as their edges.
    radius : float or None
        In deg; None for no source near.
    ts_min : float, optional
        Least TS of sources within the radius; those of unknown TS are freed. Default is any.
    ts_beyond : float, optional
        Least TS of sources beyond the radius. Default is none of them.

    Returns
    -------
    names : list of str
        Sources whose norms are free now.
    """
    names = []
    for source in sources:
        if source.kind != "source":
            continue
        if radius is not None and source.separation - source.radius <= radius:
            wanted = ts_min is None or not source.ts < ts_min
        else:
            wanted = ts_beyond is not None and source.ts >= ts_beyond
        if wanted:
            names.append(source.name)
    return _set_frozen(models, names, "norm", False)


def freeze_sources(
    models,
    names=None,
    radius=None,
    position=None,
    significance_min=None,
    pars=None,
    exclude=None,
    table=None,
):
    """Freeze parameters of sources.

    Parameters
    ----------
    models, names, radius, position, significance_min, exclude, table
        As in `free_sources`.
    pars : {"norm", "shape", None}
        Default is None, norm and shape.

    Returns
    -------
    names : list of str
        Sources that had such a parameter.

    Raises
    ------
    ValueError
        As `free_sources`.
    """
    chosen = select_sources(models, names, radius, position, significance_min, exclude, table)
    return _set_frozen(models, chosen, pars, True)


def _set_frozen(models, names, pars, frozen):
    if pars not in PARS:
        raise ValueError(f'pars must be "norm", "shape" or None for both, got {pars!r}.')
    changed = []
    for model in models:
        if model.name not in names:
            continue
        norm, shape = _norm_and_shape(model)
        parameters = ([] if pars == "shape" else norm) + ([] if pars == "norm" else shape)
        for parameter in parameters:
            parameter.frozen = frozen
        if not frozen and pars != "shape":
            for parameter in norm:
                if not np.isfinite(parameter.min):
                    parameter.min = 0
        if parameters:
            changed.append(model.name)
    return changed


def _norm_and_shape(model):
    """Parameters of a model's spectrum: norm in a list, the shape's."""
    spectrum = getattr(model, "spectral_model", None)
    if spectrum is None:
        return [], []
    try:
        norm = [norm_parameter(model)]
    except ValueError:
        norm = []
    shape = [
        p for p in spectrum.parameters if p.name not in NEVER_FREE and not any(p is n for n in norm)
    ]
    return norm, shape


def _within(models, radius, position, table):
    if not radius.unit.is_equivalent("deg"):
        raise ValueError(f"radius must be an angle, got {radius}.")
    if position is None:
        if table is None or "position" not in table.meta:
            raise ValueError("radius: from which position? Give position=, or table=.")
        position = _center(table)
    return {
        model.name
        for model in models
        if not is_diffuse(model) and model.position.separation(position) <= radius
    }


def _center(table):
    return SkyCoord(*table.meta["position"], unit="deg", frame="icrs")


def _significant(models, significance_min, table):
    if table is None:
        raise ValueError(
            "significance_min needs the sources' TS: give the table of "
            "ROIModelMaker.run(..., return_table=True) as table=."
        )
    ts = {str(row["name"]): float(row["ts"]) for row in table}
    named = [model.name for model in models if not is_diffuse(model)]
    unknown = [name for name in named if not np.isfinite(ts.get(name, np.nan))]
    if unknown:
        log.info("sources without a known TS are not selected by it: %s", ", ".join(unknown))
    return {
        name for name in named if name not in unknown and ts[name] >= float(significance_min) ** 2
    }


def _as_list(names):
    if names is None:
        return []
    return [names] if isinstance(names, str) else list(names)
