"""Draw the figures: what their tasks do."""

from functools import lru_cache

import astropy.units as u
import matplotlib
import matplotlib.style
import numpy as np
from astropy.table import QTable

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import CastroMaps
from dmgammapy.estimators.io import read_published_limits
from dmgammapy.estimators.roi import ROIFit
from dmgammapy.targets import Target

from . import figures
from ._data import make_estimator, read_member, scan_spectra

__all__ = ["draw"]

DPI = 140
# files must depend on what they show alone
METADATA = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}
MOST_MASSES = 7


def draw(params, files, parents, folder):
    """Draw a figure with one of the functions of `dmgammapy.analysis.figures`.

    Returns what it shows, for the caption.
    """
    # whatever style the user's own figures have
    with matplotlib.style.context("default"), matplotlib.rc_context({"svg.hashsalt": "dmgammapy"}):
        figure, facts = _figure(params, files, parents)
        path = folder / params["output"]
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DPI, metadata=METADATA[path.suffix[1:]])
    return {"facts": facts}


def _figure(params, files, parents):
    call = params["call"]
    if call.startswith("spectra"):
        return _spectra(params, files), {}
    if call == "sed_castro":
        cl = params["common"]["cl"]
        return _sed(params, files, cl), figures.figure_facts(call, {"cl": cl})
    arguments = _arguments(params, files, parents)
    return getattr(figures, call)(**arguments), figures.figure_facts(call, arguments)


def _read(path):
    stat = path.stat()
    read = _read_region if path.suffix == ".zip" else _read_version
    return read(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1)
def _read_region(path, size, time):
    """Read a fitted region; it is large, and its figures are drawn one after the other."""
    return ROIFit.read(path)


@lru_cache(maxsize=256)
def _read_version(path, size, time):
    """Read a result; figures of a roster share those of its targets."""
    return QTable.read(path) if path.suffix == ".ecsv" else CastroMaps.read(path)


def _arguments(params, files, parents):
    """Keyword arguments of the function that draws."""
    arguments = {
        k: params[k] for k in ("channel", "roster", "number", "main_method", "title") if k in params
    }
    if "marked" in params:
        arguments["position"] = Target.from_dict(params["marked"]).position
    for name, (task, relative) in params["inputs"].items():
        if task not in parents:
            continue
        group, _, key = name.partition(".")
        value = _read(parents[task][relative])
        if key:
            arguments.setdefault(group, {})[key] = value
        else:
            arguments[name] = value
    published = [read_published_limits(path) for k, path in files.items() if "published" in k]
    if published:
        arguments["published"] = published
    if params.get("truth"):
        mass, strength, channel = params["truth"]
        arguments["truth"] = (mass * u.GeV, u.Quantity(strength), channel)
    return arguments


def _spectra(params, files):
    spectra = scan_spectra(params["common"], files)
    if params["call"] == "spectra_by_channel":
        return figures.spectra_by_channel(
            spectra, params["mass"] * u.GeV, params["channels"], process=params["process"]
        )
    masses = np.array(params["masses"])
    shown = np.unique(np.linspace(0, len(masses) - 1, min(len(masses), MOST_MASSES)).astype(int))
    return figures.spectra_by_mass(
        spectra, params["channel"], masses[shown] * u.GeV, process=params["process"]
    )


def _sed(params, files, cl):
    datasets = read_member(params["common"], files, params["member"])
    dataset = datasets[0]
    if not isinstance(dataset, SEDLikelihoodDataset):
        dataset = make_estimator(params["common"], files).estimate_sed(datasets)
    label, instrument = params["member"]["label"], params["member"]["instrument"]
    return figures.sed_castro(dataset, f"{label}, {instrument}" if instrument else label, cl=cl)
