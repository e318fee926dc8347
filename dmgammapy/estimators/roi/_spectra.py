"""Counts of a region by energy."""

import astropy.units as u
import numpy as np
from astropy.table import QTable

__all__ = ["counts_spectrum"]

RESERVED = ("energy_min", "energy_max", "counts", "npred", "residual", "background")


def counts_spectrum(region, dataset=None):
    """Counts and predicted counts in every energy bin, see `ROIFit.counts_spectrum`."""
    chosen = _chosen(region, dataset)
    edges = region.terms[chosen[0]].edges
    n = len(edges) - 1
    columns = {"counts": np.zeros(n), "npred": np.zeros(n), "background": np.zeros(n)}
    for model in region.models:
        columns[model.name if model.name not in RESERVED else f"model {model.name}"] = np.zeros(n)
    for i in chosen:
        terms = region.terms[i]
        used = terms.weight > 0
        columns["counts"] += np.where(used, terms.counts, 0).sum(axis=1)
        columns["npred"] += np.where(used, region.total(i), 0).sum(axis=1)
        columns["background"] += np.where(used, region.background(i), 0).sum(axis=1)
        for model in region.datasets[i].models:
            name = model.name if model.name not in RESERVED else f"model {model.name}"
            columns[name] += region.npred(i, model).sum(axis=1)
    counts, npred = columns.pop("counts"), columns.pop("npred")
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = np.where(npred > 0, (counts - npred) / np.sqrt(npred), np.nan)
    first = {
        "energy_min": edges[:-1] * u.GeV,
        "energy_max": edges[1:] * u.GeV,
        "counts": counts,
        "npred": npred,
        "residual": residual,
    }
    return QTable(first | columns)


def _chosen(region, dataset):
    names = [d.name for d in region.datasets]
    if dataset is not None:
        if dataset not in names:
            raise ValueError(f"{dataset!r} is none of the datasets {names}.")
        return [names.index(dataset)]
    edges = region.terms[0].edges
    for terms in region.terms[1:]:
        if len(terms.edges) != len(edges) or not np.allclose(terms.edges, edges, rtol=1e-6):
            raise ValueError(
                f"dataset {terms.name!r} has other energy bins than {names[0]!r}: choose one "
                f"of {names} by `dataset`."
            )
    return list(range(len(names)))
