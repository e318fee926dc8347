"""Covariance of the parameters of datasets, of their models and of parts of these."""

import numpy as np
from gammapy.modeling import Covariance
from gammapy.modeling.models import DatasetModels

__all__ = ["models_of", "set_covariance", "write_covariance"]


def models_of(datasets):
    """Models of all datasets, each once, list."""
    found = {}
    for dataset in datasets:
        for model in dataset.models or []:
            found.setdefault(id(model), model)
    return list(found.values())


def set_covariance(datasets, matrix):
    """Give a covariance to datasets, where Gammapy keeps it in several places.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
    matrix : array, shape (n, n)
        Of all parameters of all models in the order of ``datasets.models``, linked ones repeatedly.

    Raises
    ------
    ValueError
        If its shape is another.
    """
    models = DatasetModels(models_of(datasets))
    parameters = models.parameters
    if matrix.shape != (len(parameters), len(parameters)):
        raise ValueError(
            f"the covariance is of {len(matrix)} parameters, but the models have "
            f"{len(parameters)}; the bundle was changed."
        )
    models.covariance = matrix  # and that of every model and its parts, and the errors
    datasets._covariance = Covariance(parameters, matrix)
    first = np.cumsum([0, *(len(model.parameters) for model in models)])
    rows = {id(m): np.arange(a, b) for m, a, b in zip(models, first[:-1], first[1:], strict=True)}
    for dataset in datasets:
        own = np.concatenate([rows[id(model)] for model in dataset.models])
        dataset.models._covariance = Covariance(dataset.models.parameters, matrix[np.ix_(own, own)])


def write_covariance(datasets, fit, moved):
    """Write errors and covariance of a fit into the models of datasets.

    Parameters
    ----------
    datasets : `~gammapy.datasets.Datasets`
    fit : `~dmgammapy.datasets.CountsFit` or None
    moved : list of `~gammapy.modeling.Parameter`
        Other parameters that have changed: errors they had are of other values, and are set to
        zero.
    """
    fitted = [] if fit is None else fit.parameters
    own = {id(p): i for i, p in enumerate(fitted)}
    touched = own.keys() | {id(p) for p in moved}
    if not touched:
        return
    models = datasets.models
    matrix = np.array(models.covariance.data)
    rows = list(models.parameters)
    mine = [k for k, p in enumerate(rows) if id(p) in touched]
    matrix[mine, :] = 0.0
    matrix[:, mine] = 0.0
    known = [k for k in mine if id(rows[k]) in own]
    if known:
        source = [own[id(rows[k])] for k in known]
        matrix[np.ix_(known, known)] = fit.covariance[np.ix_(source, source)]
    set_covariance(datasets, matrix)
