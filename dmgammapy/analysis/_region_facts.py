"""What was reduced and fitted around a target, in numbers of JSON for reports."""

import astropy.units as u
import numpy as np

__all__ = ["region_facts"]

# of the table of metadata that reduction leaves with a dataset
FROM_META = {
    "irfs": "IRFS",
    "event_type": "EVENT_TYPE",
    "event_class": "EVENT_CLASS",
    "zenith_max": "ZENITH_MAX",
    "livetime": "LIVETIME",
}


def region_facts(fit):
    """Facts of a fitted region and of each of its datasets.

    Parameters
    ----------
    fit : `~dmgammapy.estimators.roi.ROIFit`

    Returns
    -------
    facts : dict
        ``stat_start``, ``stat``, ``sources``, ``free`` (number of parameters fitted together),
        ``converged``, and ``datasets``: for each ``name``, ``events``, ``energy`` (lowest and
        highest, GeV), ``pixels``, ``masked`` (pixels that are not used at any energy) and, as far
        as known, ``good_time`` [s], ``dates`` (first and last day), ``irfs``, ``event_type``,
        ``event_class``, ``zenith_max`` [deg], ``livetime`` [s].
    """
    return {
        "stat_start": float(fit.stat_start),
        "stat": float(fit.stat),
        "sources": len(fit.sources),
        "free": len(fit.parameters),
        "converged": bool(fit.converged),
        "datasets": [_dataset_facts(dataset) for dataset in fit.datasets],
    }


def _dataset_facts(dataset):
    used = np.ones(dataset.counts.data.shape, dtype=bool)
    if dataset.mask is not None:
        used &= dataset.mask.data
    seen = used.any(axis=0)
    edges = dataset.counts.geom.axes["energy"].edges.to_value("GeV")
    facts = {
        "name": dataset.name,
        "events": float(dataset.counts.data[used].sum()),
        "energy": [float(edges[0]), float(edges[-1])],
        "pixels": int(seen.size),
        "masked": int(seen.size - seen.sum()),
    }
    if dataset.gti is not None and len(dataset.gti.table):
        gti = dataset.gti
        facts["good_time"] = float(u.Quantity(gti.time_sum).to_value("s"))
        ends = gti.time_start[0], gti.time_stop[-1]
        facts["dates"] = [time.utc.strftime("%Y-%m-%d") for time in ends]
    return facts | _of_meta(dataset.meta_table)


def _of_meta(table):
    """What the table of metadata says, without what isn't there or is NaN."""
    found = {}
    for name, column in FROM_META.items():
        if table is None or column not in table.colnames:
            continue
        value = table[column][0]
        if isinstance(value, float | np.floating):
            found |= {name: float(value)} if np.isfinite(value) else {}
        else:
            found[name] = str(value)
    return found
