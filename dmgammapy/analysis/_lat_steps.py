"""What the tasks about photons of the LAT and the regions around targets do.

From event files to counts (`reduce`), and a fit of what else shines there (`region`), see
`dmgammapy.analysis._steps` for the signature of the functions.
"""

import tempfile
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import Table, vstack
from gammapy.datasets import Datasets
from gammapy.modeling.models import Models

from dmgammapy.estimators.roi import ROIOptimizer
from dmgammapy.makers import ROIModelMaker
from dmgammapy.makers.lat import LATDatasetMaker, LATResponse
from dmgammapy.targets import Target

from ._archives import read_datasets, write_datasets
from ._counts_data import check_models
from ._region_facts import region_facts
from ._sections_lat import PARAMETRISED
from ._step_tools import write_table

__all__ = ["photon_maker", "reduce", "region"]

BRIGHT, FEW = 1000, 3
QUANTITIES = (
    "width", "binsz", "margin", "energy_min", "energy_max", "zenith_max", "roi_zenith_max",
)  # fmt: skip


def reduce(params, files, parents, folder):
    """Counts and response of the region around a target, from event files."""
    target = Target.from_dict(params["target"])
    folders = {name: params[name] for name in ("caldb", "cache")}
    maker = photon_maker(params["photons"], target, show_progress=False, **folders)
    datasets = maker.run(
        _several(files, "ft1/"), _several(files, "ft2/") or None, files.get("livetime")
    )
    write_datasets(datasets, folder / params["output"])
    return {"counts": {dataset.name: float(dataset.counts.data.sum()) for dataset in datasets}}


def photon_maker(given, target, **more):
    """`LATDatasetMaker` of what a configuration says of photons, around a target."""
    settings = _settings(given)
    settings["components"] = [_settings(part) for part in settings["components"]]
    return LATDatasetMaker(position=_position(target), **settings, **more)


def _settings(given):
    """Arguments of `LATDatasetMaker` from what a configuration says."""
    out = dict(given)
    for name in QUANTITIES:
        if out.get(name) is not None:
            out[name] = u.Quantity(out[name])
    if out.get("irfs") == PARAMETRISED:
        del out["irfs"]
        out["response"] = LATResponse.parametrised()
    return out


def _several(files, prefix):
    """Input files whose names begin so, in their order."""
    return [files[name] for name in sorted(files) if name.startswith(prefix)]


def _position(target):
    if target.position is None:
        raise ValueError(
            f"{target.name} has no position, around which photons are taken: add ra and dec to "
            "its roster."
        )
    return target.position


# ---- the region -------------------------------------------------------------------------------


def region(params, files, parents, folder):
    """Models of all that shines around a target, fitted to its counts without a signal."""
    target = Target.from_dict(params["target"])
    datasets = _read_counts(files["counts"])
    models = Models(list(dict.fromkeys(datasets.models or ())))
    if "models" in files:
        others = Models.read(files["models"])
        check_models(others, datasets.names, files["models"])
        models = Models([*models, *others])
    table, notes = None, []
    wanted = params["region"]
    with tempfile.TemporaryDirectory() as templates:
        if wanted is not None:
            maker = _model_maker(params, files, templates, datasets)
            made, table = maker.run(datasets, position=_position(target), return_table=True)
            models = Models([*models, *made])
        datasets.models = models
        steps = ["joint", "norms", "shapes", "all"] if wanted and wanted["optimize"] else ["all"]
        fit = ROIOptimizer(steps=steps).run(datasets)
        output = folder / params["output"]
        output.parent.mkdir(parents=True, exist_ok=True)
        fit.write(output)
    if not fit.converged:
        notes.append(f"{target.name}: the fit of the region did not converge.")
    if table is not None:
        notes += [f"{target.name}: {note}" for note in _notes(table)]
    write_table(_sources(fit, table), folder / params["table"])
    return {"notes": notes, "facts": region_facts(fit)}


def _read_counts(path):
    """Datasets of an archive, or of a YAML file of Gammapy."""
    return read_datasets(path) if Path(path).suffix == ".zip" else Datasets.read(path)


def _model_maker(params, files, templates, datasets):
    wanted = params["region"]
    isotropic = files.get("isotropic") or {
        name.partition("/")[2]: path
        for name, path in files.items()
        if name.startswith("isotropic/")
    }
    beyond = wanted["free_significance"]
    return ROIModelMaker(
        catalogs=_several(files, "catalog/"),
        diffuse=files.get("diffuse"),
        isotropic=isotropic or None,
        sources=wanted["sources"],
        exclude=wanted["exclude"],
        extended_dir=params["extended_dir"],
        radius=u.Quantity(wanted["radius"]) if wanted["radius"] else _reach(datasets),
        free_radius=u.Quantity(wanted["free_radius"]),
        free_ts_beyond=None if beyond is None else beyond**2,
        npred_min=wanted["npred_min"],
        template_dir=templates,
    )


def _reach(datasets):
    """How far from the centre the sources are that the datasets can see."""
    reach = 0 * u.deg
    for dataset in datasets:
        geom = dataset.exposure.geom.to_image()
        edges = np.asarray(geom.width.to_value("deg")).reshape(2, -1).max(axis=1)
        reach = max(reach, np.hypot(*edges) / 2 * u.deg)
    return reach


def _sources(fit, table):
    """Table of the fit with what the catalogs say, and of the sources that are left out."""
    found = fit.to_table()
    if table is None:
        return found
    known = {str(row["name"]): row for row in table}
    for column in ("catalog", "status", "reason"):
        found[column] = [
            str(known[name][column]) if name in known else "" for name in found["name"]
        ]
    names = set(found["name"])
    left = [row for row in table if row["status"] != "kept" and str(row["name"]) not in names]
    for row in left:
        empty = {name: np.nan for name in found.colnames if found[name].dtype.kind == "f"}
        empty |= {name: "" for name in found.colnames if found[name].dtype.kind in "UO"}
        said = {name: str(row[name]) for name in ("name", "catalog", "status", "reason")}
        found = vstack(
            [found, Table([empty | said | {"separation": row["separation"], "free": False}])]
        )
    return found


def _notes(table):
    """What a reader of limits must know of the models of a region."""
    notes = []
    dropped = [row for row in table if row["status"] == "dropped"]
    if dropped:
        bright = [row for row in dropped if row["ts"] >= BRIGHT]
        bright.sort(key=lambda row: -row["ts"])
        names = ", ".join(f"{row['name']} (TS {row['ts']:.0f})" for row in bright[:FEW])
        more = f", the brightest {names}" if bright else ""
        notes.append(f"{len(dropped)} sources of the catalogs are left out{more}; see the table.")
    for row in table:
        if row["status"] == "replaced" or (row["status"] == "kept" and str(row["reason"])):
            notes.append(f"{row['name']}: {row['reason']}.")
    return notes
