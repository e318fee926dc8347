"""Results whose best fits and limits are known: Gaussian likelihoods of the signal strength."""

import astropy.units as u
import numpy as np
from gammapy.maps import LabelMapAxis, MapAxis, RegionGeom, RegionNDMap

from dmgammapy.estimators import CastroMaps

Z95 = 1.6448536  # 95 % of a Gaussian lie below
MASSES = [10, 100, 1000] * u.GeV
SIGMA = np.array([1e-26, 3e-26, 2e-25])
MEAN = np.array([0, 6e-26, 0])  # two sigma: TS = 4 at 100 GeV
GRID = np.append(0, np.geomspace(1e-30, 1e-21, 1801))
UNITS = {"annihilation": u.Unit("cm3 s-1"), "decay": u.Unit("s-1")}


def gaussian(process="annihilation", scale=1.0, mean=MEAN, target="draco", **meta):
    """Result of two channels, b and, ten times weaker, tau."""
    sigma = scale * np.array([SIGMA, 10 * SIGMA])[..., np.newaxis]
    best = scale * np.array([mean, 10 * np.asarray(mean)])[..., np.newaxis]
    return CastroMaps.from_scan(
        GRID * UNITS[process], ((GRID - best) / sigma) ** 2, MASSES, ["b", "tau"], process=process,
        target=target, **meta,
    )  # fmt: skip


def stack_of(targets, **kwargs):
    """A result that says it is of several targets."""
    castro = gaussian(target=None, jfactor_method="profile", **kwargs)
    castro.meta.contributors = {name: {"target": name} for name in targets}
    return castro


def ensemble(process="annihilation", n=41, seed=1, method="profile"):
    """Best fits and limits that scatter, and the plain arrays (realisation, channel, mass)."""
    random = np.random.default_rng(seed)
    axes = [
        MapAxis.from_nodes(MASSES, name="mass", interp="log"),
        LabelMapAxis(["b", "tau"], name="channel"),
        MapAxis.from_nodes(np.arange(n), name="realisation", interp="lin"),
    ]
    geom = RegionGeom(None, axes=axes)
    shape = (n, 2, 3)
    pull = random.normal(size=shape)
    best = np.maximum(pull, 0) * SIGMA
    limit = (np.maximum(pull, 0) + Z95) * SIGMA
    arrays = {"norm": best, "norm_ul": limit, "ts": np.maximum(pull, 0) ** 2}
    data = {name: RegionNDMap(geom, a[..., None, None]) for name, a in arrays.items()}
    data["status"] = RegionNDMap(geom, np.zeros((*shape, 1, 1), int))
    data["reference"] = RegionNDMap(geom, np.ones((*shape, 1, 1)), unit=UNITS[process])
    notes = [f"upper limits by the method '{method}'."]
    meta = {"process": process, "notes": notes, "jfactor_method": "profile", "target": "draco"}
    return CastroMaps(data, meta), arrays


def drawn(figure, label, axes=0):
    """The artist with a label."""
    handles, labels = figure.axes[axes].get_legend_handles_labels()
    return handles[labels.index(label)]


def labels(figure, axes=0):
    """Labels of what is drawn."""
    return figure.axes[axes].get_legend_handles_labels()[1]


def area(figure, label):
    """Lower and upper edge of an area by mass, arrays (mass,)."""
    edges = {}
    for path in drawn(figure, label).get_paths():
        for x, y in path.vertices:
            edges.setdefault(round(x, 6), set()).add(y)
    return np.array([(min(y), max(y)) for _, y in sorted(edges.items())]).T


def text_of(figure):
    """All that is written into the axes, in one line."""
    return " ".join(t.get_text() for ax in figure.axes for t in ax.texts).replace("\n", " ")
