"""Datasets of blank fields: counts whose dark matter source moves there, and SED likelihoods."""

import re
from copy import copy

import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.datasets import MapDataset
from gammapy.maps import WcsGeom
from gammapy.modeling.models import PointSpatialModel, TemplateSpatialModel

from dmgammapy.datasets import SEDLikelihoodDataset, find_source
from dmgammapy.targets import Target

from ._truth import copy_models

__all__ = ["move_source", "pair_blank_fields"]

BLANK = re.compile(r"(?P<target>.+)_blank_\d+")
ZENITHAL = ("TAN", "SIN", "ZEA", "STG", "ARC")


def move_source(datasets, fields, source=None):
    """Counts datasets with the dark matter source at blank fields.

    The source moves with its J-factor, prior, mass and channel, and takes the field's name; the
    counts, and all other models, are those given. At its own position there is no dark matter
    then. What is returned goes to ``CastroEstimator.run``, all fields at once.

    Parameters
    ----------
    datasets : `~gammapy.datasets.MapDataset`, `~gammapy.datasets.Datasets` or list
        Map datasets about one source; several are joint.
    fields : `~dmgammapy.targets.Targets` or `~dmgammapy.targets.Target`
        Where to, as from `BlankFieldMaker.run` of the source's target.
    source : str, optional
        Name of the dark matter model. Default is the only one.

    Returns
    -------
    moved : list of `~gammapy.datasets.MapDataset`
        Those of the first field first, named ``<dataset>_<field>``.

    Raises
    ------
    TypeError
        If a dataset is not a map dataset (spectra hold one position alone), or a field no target.
    ValueError
        If there are no datasets, a field has no position, belongs to another target or lies
        outside of a dataset, or the spatial model can't be moved.

    Examples
    --------
    >>> from dmgammapy.makers import BlankFieldMaker, move_source
    >>> fields = BlankFieldMaker(20, region=dataset.counts.geom).run(draco)  # doctest: +SKIP
    >>> castros = estimator.run(move_source(dataset, fields))  # doctest: +SKIP
    """
    datasets = [datasets] if isinstance(datasets, MapDataset) else list(datasets)
    for dataset in datasets:
        if not isinstance(dataset, MapDataset) or "spectrum" in dataset.tag.lower():
            raise TypeError(
                f"dataset {getattr(dataset, 'name', dataset)!r}: only map datasets know other "
                f"positions, got {type(dataset).__name__}; SED likelihoods of blank fields are "
                "made elsewhere, see pair_blank_fields."
            )
    if not datasets:
        raise ValueError("there are no datasets whose source could move.")
    fields = [fields] if isinstance(fields, Target) else fields
    if isinstance(fields, SkyCoord) or not all(isinstance(field, Target) for field in fields):
        raise TypeError(
            f"fields must be Targets, got {type(fields).__name__}: make them by "
            "BlankFieldMaker.run or target.copy(name=..., position=...)."
        )
    source = find_source(datasets, source)
    moved = []
    for field in fields:
        controlled = BLANK.fullmatch(field.name)
        if controlled and controlled["target"] != source:
            raise ValueError(f"field {field.name} is not one of the source {source!r}.")
        if field.position is None:
            raise ValueError(f"field {field.name} has no position.")
        all_models = copy_models(datasets)
        done = {}
        for dataset, models in zip(datasets, all_models, strict=True):
            _check_inside(dataset, field)
            out = copy(dataset)
            out._name = f"{dataset.name}_{field.name}"
            out._evaluators = {}
            for i, model in enumerate(models):
                if model.name == source:
                    if id(model) not in done:
                        done[id(model)] = _moved(model, field)
                    models[i] = done[id(model)]
                if models[i].datasets_names is not None:
                    models[i] = _for_dataset(models[i], dataset.name, out.name)
            out.models = models
            moved.append(out)
    return moved


def pair_blank_fields(datasets, targets, mass="100 GeV", channel="b", **kwargs):
    """Give SED likelihoods of blank fields the J-factors of the targets they control.

    Parameters
    ----------
    datasets : list of `~dmgammapy.datasets.SEDLikelihoodDataset`
        Named as `BlankFieldMaker` names positions: ``draco_blank_0003``.
    targets : `~dmgammapy.targets.Targets` or `~dmgammapy.targets.Target`
        The targets that they control.
    mass, channel, **kwargs
        Of the models, see `~dmgammapy.targets.Target.to_models`.

    Returns
    -------
    paired : list of `~dmgammapy.datasets.SEDLikelihoodDataset`
        Copies with a model named like the dataset; the given ones are not changed.

    Raises
    ------
    ValueError
        If a name has another form or comes twice, or the target is not among those given.

    Examples
    --------
    >>> from dmgammapy.datasets import SEDLikelihoodDataset
    >>> from dmgammapy.makers import pair_blank_fields
    >>> from dmgammapy.targets import Targets
    >>> import astropy.units as u
    >>> roster = Targets.read_roster("ackermann2015_dsphs")
    >>> dataset = SEDLikelihoodDataset(
    ...     [1, 10] * u.GeV, [[0, 1, 2]], [[0, 1, 4]], name="draco_blank_0003",
    ...     ref_eflux=[1e-9] * u.Unit("GeV cm-2 s-1"),
    ... )
    >>> paired = pair_blank_fields([dataset], roster)
    >>> float(paired[0].models["draco_blank_0003"].spectral_model.log10_jfactor.value)
    18.83
    """
    targets = [targets] if isinstance(targets, Target) else targets
    known = {target.name: target for target in targets}
    paired = []
    for dataset in [datasets] if isinstance(datasets, SEDLikelihoodDataset) else datasets:
        if not isinstance(dataset, SEDLikelihoodDataset):
            raise TypeError(
                f"pair_blank_fields needs SEDLikelihoodDatasets, got {type(dataset).__name__}."
            )
        match = BLANK.fullmatch(dataset.name)
        if match is None or match["target"] not in known:
            raise ValueError(
                f"dataset {dataset.name!r} should be named <target>_blank_<number>, with one of "
                f"the targets {', '.join(known)}."
            )
        if any(dataset.name == other.name for other in paired):
            raise ValueError(
                f"two datasets are named {dataset.name!r}; one field is one position, so give them "
                "different numbers."
            )
        field = known[match["target"]].copy(name=dataset.name, title=None, kind="blank")
        out = copy(dataset)
        out.models = field.to_models(mass, channel, **({"spatial": None} | kwargs))
        paired.append(out)
    return paired


def _check_inside(dataset, field):
    geom = dataset._geom.to_image()
    if not np.all(geom.contains(field.position)):
        raise ValueError(
            f"field {field.name} is outside of dataset {dataset.name!r}: give BlankFieldMaker "
            "region=dataset.counts.geom."
        )


def _for_dataset(model, old, new):
    names = model.datasets_names
    names = [names] if isinstance(names, str) else names
    if old in names:
        model.datasets_names = [new if name == old else name for name in names] + [old]
    return model


def _moved(model, field):
    """Move a copied model, whose spectrum with J, prior and strength may be kept, to a field."""
    shape = _moved_shape(model, field.position)
    return model.copy(name=field.name, spectral_model=model.spectral_model, spatial_model=shape)


def _moved_shape(model, position):
    shape = model.spatial_model
    if isinstance(shape, TemplateSpatialModel):
        geom = shape.map.geom
        center = geom.center_skydir if isinstance(geom, WcsGeom) else None
        zenithal = isinstance(geom, WcsGeom) and geom.projection in ZENITHAL
        if not zenithal or not _is_centered(geom):
            raise ValueError(
                f"model {model.name!r}: only templates in a zenithal projection "
                f"({', '.join(ZENITHAL)}) around its tangent point can be moved."
            )
        wcs = geom.wcs.deepcopy()
        there = position.transform_to(center.frame)
        wcs.wcs.crval = [there.data.lon.deg, there.data.lat.deg]
        moved = copy(shape.map)
        moved._geom = WcsGeom(wcs, geom.npix, axes=geom.axes)
        # it is normalised already, and doing so twice is not the same as once
        out = TemplateSpatialModel(moved, normalize=False)
        out.normalize = shape.normalize
        return out
    shape = shape.copy()
    if not isinstance(shape, PointSpatialModel) and not hasattr(shape, "lon_0"):
        raise ValueError(f"model {model.name!r}: a {type(shape).__name__} can't be moved.")
    there = position.transform_to(shape.frame)
    shape.lon_0.quantity = there.data.lon.to("deg")
    shape.lat_0.quantity = there.data.lat.to("deg")
    return shape


def _is_centered(geom):
    pixels = np.array(geom.wcs.wcs.crpix) - 1 - (np.array(geom.data_shape_image[::-1]) - 1) / 2
    return bool((np.abs(pixels) < 1e-6).all())
