"""What the tasks about photons of the LAT and the regions around targets do.

From event files to counts (`reduce`), and a fit of what else shines there (`region`), see
`dmgammapy.analysis._steps` for the signature of the functions.
"""

import tempfile
from pathlib import Path

import astropy.units as u
import numpy as np
from gammapy.datasets import Datasets
from gammapy.modeling.models import Models

from dmgammapy.estimators.roi import ROIOptimizer
from dmgammapy.makers import ROIModelMaker
from dmgammapy.makers.lat import LATDatasetMaker, LATResponse
from dmgammapy.targets import Target

from ._archives import read_datasets, write_datasets
from ._region_facts import region_facts
from ._sections_lat import PARAMETRISED
from ._step_tools import write_table

__all__ = ["reduce", "region"]

QUANTITIES = (
    "width", "binsz", "margin", "energy_min", "energy_max", "zenith_max", "roi_zenith_max",
)  # fmt: skip


def reduce(params, files, parents, folder):
    """Counts and response of the region around a target, from event files."""
    target = Target.from_dict(params["target"])
    settings = _settings(params["photons"])
    settings["components"] = [_settings(part) for part in settings["components"]]
    maker = LATDatasetMaker(
        position=_position(target),
        caldb=params["caldb"],
        cache=params["cache"],
        show_progress=False,
        **settings,
    )
    datasets = maker.run(
        _several(files, "ft1/"), _several(files, "ft2/") or None, files.get("livetime")
    )
    write_datasets(datasets, folder / params["output"])
    counts = {dataset.name: float(dataset.counts.data.sum()) for dataset in datasets}
    return {"counts": counts}


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
        models = Models([*models, *Models.read(files["models"])])
    table, notes = None, []
    wanted = params["region"]
    with tempfile.TemporaryDirectory() as templates:
        if wanted is not None:
            maker = _model_maker(wanted, files, templates, datasets)
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
    write_table(_sources(fit, table), folder / params["table"])
    return {"notes": notes, "facts": region_facts(fit)}


def _read_counts(path):
    """Datasets of an archive, or of a YAML file of Gammapy."""
    return read_datasets(path) if Path(path).suffix == ".zip" else Datasets.read(path)


def _model_maker(wanted, files, templates, datasets):
    isotropic = files.get("isotropic") or {
        name.partition("/")[2]: path
        for name, path in files.items()
        if name.startswith("isotropic/")
    }
    free_ts = wanted["free_significance"] ** 2
    return ROIModelMaker(
        catalogs=_several(files, "catalog/"),
        diffuse=files.get("diffuse"),
        isotropic=isotropic or None,
        sources=wanted["sources"],
        extended_dir=files.get("extended"),
        radius=u.Quantity(wanted["radius"]) if wanted["radius"] else _reach(datasets),
        free_radius=u.Quantity(wanted["free_radius"]),
        free_ts_min=free_ts,
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
    """Table of the fit, with what the catalogs say of the sources."""
    found = fit.to_table()
    if table is not None:
        known = {str(row["name"]): row for row in table}
        for column in ("catalog", "status"):
            found[column] = [
                str(known[name][column]) if name in known else "" for name in found["name"]
            ]
    return found
