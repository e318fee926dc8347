"""Counts of targets with the models of all that shines there, as tasks read them."""

from contextlib import contextmanager

import numpy as np
from astropy.table import Table
from gammapy.datasets import Datasets
from gammapy.modeling.models import Models

from ._archives import read_region

__all__ = ["check_models", "describe", "describe_member", "read_counts"]


def read_counts(files, member, path, source):
    """Counts datasets of one target and instrument with their models.

    Parameters
    ----------
    files : dict of `~pathlib.Path`
    member : dict
        See `~dmgammapy.analysis._data.read_member`.
    path : `~pathlib.Path`
        Datasets of Gammapy, or a fitted region.
    source : list of `~gammapy.modeling.models.SkyModel`
        The target, which all datasets share.

    Returns
    -------
    datasets : list of `~gammapy.datasets.Dataset`
    """
    datasets = read_region(path) if member.get("region") else Datasets.read(path)
    others = Models()
    if member.get("models"):
        others = Models.read(files[member["models"]])
    given = [dataset.name for dataset in datasets]
    check_models(others, given, member["shown"])
    with _without_kernels(datasets):
        for dataset in datasets:
            dataset.models = [*(dataset.models or ()), *others, *source]
        _rename(datasets, member)
    if member["instrument"]:
        for dataset in datasets:
            dataset.meta_table = Table({"TELESCOP": [member["instrument"]]})
    return list(datasets)


@contextmanager
def _without_kernels(datasets):
    """Set models without the PSF kernels that Gammapy makes each time, and nobody uses here."""
    found = [getattr(dataset, "psf", None) for dataset in datasets]
    try:
        for dataset, psf in zip(datasets, found, strict=True):
            if psf is not None:
                dataset.psf = None
        yield
    finally:
        for dataset, psf in zip(datasets, found, strict=True):
            if psf is not None:
                dataset.psf = psf


def check_models(models, names, shown):
    """Refuse models of which no dataset would take notice."""
    for model in models:
        wanted = np.atleast_1d(model.datasets_names or []).tolist()
        if wanted and not set(wanted) & set(names):
            raise ValueError(
                f"{shown}: the model {model.name!r} is for the datasets "
                f"{', '.join(wanted)}, none of {', '.join(names)}."
            )


def _rename(datasets, member):
    """Name datasets after target and instrument, as random numbers go by these names.

    Files of several targets often use the same names for their datasets.
    """
    prefix = describe_member(member)
    names = {}
    for dataset in datasets:
        more = "" if len(datasets) == 1 else f" {dataset.name}"
        names[dataset.name] = f"{prefix}{more}"
    models = {id(model): model for dataset in datasets for model in dataset.models}
    for model in models.values():
        if model.datasets_names is not None:
            old = np.atleast_1d(model.datasets_names).tolist()
            model.datasets_names = [names.get(name, name) for name in old]
    for dataset in datasets:
        own = list(dataset.models)
        dataset._name = names[dataset.name]
        dataset.models = own


def describe(target, instrument):
    """Name of a dataset: ``draco`` or ``draco magic``."""
    return f"{target} {instrument}" if instrument else target


def describe_member(member):
    return describe(member["target"]["name"], member["instrument"])
