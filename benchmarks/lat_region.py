"""A simulated LAT-like region, for the other benchmarks: ``python benchmarks/lat_region.py``.

10 x 10 deg around a dwarf spheroidal, 0.1 deg, 24 bins from 0.5 to 500 GeV, 15 years, 35 models: a
dark matter source, 32 sources of 4FGL-DR4, Galactic and isotropic emission. Counts are Poisson.

    region = make_region(cache="folder")
    region.dataset, region.models
    region.free_norms(2)  # of the background: 0, 2 (diffuse), 14 (sources) or 16
    counts = region.simulate(seed=1, sigmav=1e-25)
    dataset = region.realisation(seed=1, sigmav=1e-25)
"""

import argparse
import copy
import hashlib
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import _lat_models
import _lat_response
import numpy as np
from gammapy.datasets import MapDataset
from gammapy.maps import Map, WcsGeom
from gammapy.modeling.models import Models

from dmgammapy.utils import without_warnings

MARGIN = 3.0  # deg
WIDTH = 10.0  # deg
PIXEL = 0.1  # deg
N_SOURCES = 32
N_BRIGHT = 14
DIFFUSE = ["galactic", "isotropic"]
UNIT_SIGMAV = 1e-26  # cm3 s-1


def find_data():
    given = os.environ.get("DMGAMMAPY_TEST_DATA")
    folder = Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "lat" / _lat_models.GALACTIC).exists():
        sys.exit("reference data absent: set DMGAMMAPY_TEST_DATA or put it at ../shared/data")
    return folder


@dataclass
class LATRegion:
    """Dataset with models, and the predicted counts that simulations draw from.

    ``background`` and ``signal`` are predicted counts of shape (24, 100, 100): of all models but
    the source, at the values they were built with, and of the source at 1e-26 cm3 s-1.
    """

    dataset: MapDataset
    background: np.ndarray
    signal: np.ndarray
    bright: list
    meta: dict
    seconds: dict = field(default_factory=dict)

    @property
    def models(self):
        return self.dataset.models

    @property
    def source(self):
        """Name of the dark matter source."""
        return self.meta["source"]

    def norms(self, names):
        """The parameters that scale the named models."""
        parameters = [self.models[name].spectral_model.parameters for name in names]
        return [p["norm" if "norm" in p.names else "amplitude"] for p in parameters]

    def free_norms(self, number):
        """Choose the free norms of the background; all else is frozen but sigmav.

        ``number`` is 0, 2 (diffuse), 14 (the brightest sources) or 16 (both).
        """
        names = {0: [], 2: DIFFUSE, 14: self.bright, 16: DIFFUSE + self.bright}
        if number not in names:
            raise ValueError(f"number of free norms: got {number}, choose one of {list(names)}")
        for model in self.models:
            model.freeze()
        for parameter in self.norms(names[number]):
            parameter.frozen = False
        self.models[self.source].spectral_model.sigmav.frozen = False
        return self

    def npred(self, sigmav=None):
        """Predicted counts, (24, 100, 100), at a cross-section [cm3 s-1] or that of the build."""
        sigmav = self.meta["sigmav"] if sigmav is None else sigmav
        return self.background + sigmav / UNIT_SIGMAV * self.signal

    def simulate(self, seed, sigmav=None):
        """Map of Poisson counts; equal seeds give equal counts."""
        counts = np.random.default_rng(seed).poisson(self.npred(sigmav))
        return Map.from_geom(self.dataset.counts.geom, data=counts.astype(float))

    def realisation(self, seed, sigmav=None):
        """Dataset with counts of its own; all else, models included, is that of ``dataset``.

        A shallow copy, since setting models makes Gammapy compute its PSF kernel, which takes 2 s.
        """
        dataset = copy.copy(self.dataset)
        dataset.counts = self.simulate(seed, sigmav)
        return dataset


def make_region(
    position="draco",
    years=15,
    catalog=None,
    data=None,
    seed=0,
    sigmav_injected=0.0,
    mass="100 GeV",
    channel="b",
    cache=None,
    name="lat",
    n_sources=N_SOURCES,
):
    """Simulate the region, or read it from the cache.

    ``position`` is a dwarf of the roster ackermann2015_dsphs, or a SkyCoord. ``catalog`` is
    as in `find_catalog`, ``data`` the folder of shared data, ``sigmav_injected`` in cm3 s-1.
    ``cache`` is the folder for catalog and region; default is one in the temporary folder. Around
    some dwarfs the catalog has fewer than 32 point sources (``n_sources``).
    """
    start = time.perf_counter()
    data = find_data() if data is None else Path(data)
    cache = _lat_models.default_cache() if cache is None else Path(cache)
    target, source = _lat_models.dark_matter(position, mass, channel, sigmav_injected)
    meta = {
        "source": source.name,
        "position": target.position.to_string(precision=6),
        "log10_jfactor": target.log10_jfactor,
        "years": float(years),
        "seed": seed,
        "sigmav": float(sigmav_injected),
        "mass": str(mass),
        "channel": channel,
        "name": name,
        "n_sources": n_sources,
        "data": str(data),
        "catalog": str(catalog),
        "code": hashlib.sha256(
            b"".join(p.read_bytes() for p in sorted(Path(__file__).parent.glob("*lat_*.py")))
        ).hexdigest(),
    }
    key = hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()[:16]
    folder = cache / f"{source.name}-{key}"
    if folder.exists():
        region = _read(folder)
        region.seconds["read"] = time.perf_counter() - start
        return region
    path = _lat_models.find_catalog(catalog, cache)
    cache.mkdir(parents=True, exist_ok=True)
    template = cache / f"{folder.name}-galactic.fits"
    region = _build(meta, target, source, path, data, template)
    region.seconds["all"] = time.perf_counter() - start
    _write(region, folder)
    return region


def _build(meta, target, source, catalog, data, template):
    seconds, start = {}, time.perf_counter()
    energy, energy_true = _lat_response.energy_axes()
    geom = WcsGeom.create(
        skydir=target.position, width=WIDTH, binsz=PIXEL, proj="TAN", frame="icrs", axes=[energy]
    )
    dataset = MapDataset(
        name=meta["name"],
        counts=Map.from_geom(geom),
        exposure=_lat_response.exposure_map(geom, MARGIN, energy_true, meta["years"]),
        psf=_lat_response.psf_map(energy_true),
        edisp=_lat_response.edisp_map(energy, energy_true),
    )
    seconds["responses"] = time.perf_counter() - start
    start = time.perf_counter()
    sources, meta["extended"] = _lat_models.catalog_sources(
        catalog, geom, MARGIN, meta["n_sources"]
    )
    diffuse = [
        _lat_models.galactic(data, geom, MARGIN, template),
        _lat_models.isotropic(data),
    ]
    dataset.models = Models([source, *sources, *diffuse])
    seconds["models"] = time.perf_counter() - start
    start = time.perf_counter()
    sigmav = source.spectral_model.sigmav
    sigmav.value = UNIT_SIGMAV
    with without_warnings("gammapy.datasets.evaluator"):  # says that sources lie in the margin
        npred = {m.name: dataset.npred_signal(model_names=[m.name]).data for m in dataset.models}
    sigmav.value = meta["sigmav"]
    seconds["npred"] = time.perf_counter() - start
    signal = npred.pop(source.name)
    # rounding of the FFTs
    background = np.clip(sum(npred.values()), 0, None)
    signal = np.clip(signal, 0, None)
    meta["counts"] = {name: float(values.sum()) for name, values in npred.items()}
    names = sorted((m.name for m in sources), key=meta["counts"].get, reverse=True)
    region = LATRegion(dataset, background, signal, names[:N_BRIGHT], meta, seconds)
    dataset.counts = region.simulate(meta["seed"])
    return region.free_norms(16)


def _write(region, folder):
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        written = Path(temporary) / folder.name
        written.mkdir()
        region.dataset.write(written / "dataset.fits")
        with without_warnings(
            "gammapy.modeling.models.spatial"
        ):  # says that the template is a file already
            region.models.write(written / "models.yaml", full_output=True, write_covariance=False)
        np.savez(written / "npred.npz", background=region.background, signal=region.signal)
        description = {"bright": region.bright, "meta": region.meta}
        (written / "region.json").write_text(json.dumps(description))
        if not folder.exists():  # another process may have been faster
            os.replace(written, folder)


def _read(folder):
    description = json.loads((folder / "region.json").read_text())
    meta = description["meta"]
    dataset = MapDataset.read(folder / "dataset.fits", name=meta["name"])
    with without_warnings(
        "gammapy.modeling.models.core"
    ):  # says that a constant of 1 is not in the file
        dataset.models = Models.read(folder / "models.yaml")
    with np.load(folder / "npred.npz") as npred:
        region = LATRegion(
            dataset, npred["background"], npred["signal"], description["bright"], meta
        )
    return region.free_norms(16)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--position", default="draco", help="dwarf of ackermann2015_dsphs")
    parser.add_argument("--years", type=float, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sigmav", type=float, default=0.0, help="injected, cm3 s-1")
    parser.add_argument("--sources", type=int, default=N_SOURCES, help="number of them")
    parser.add_argument("--catalog", type=Path, help="gll_psc_v35.fit, or sdist of fermipy 1.4.3")
    parser.add_argument("--cache", type=Path, help="folder for the catalog and the region")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the region")
    args = parser.parse_args()
    region = make_region(
        args.position, args.years, args.catalog, seed=args.seed, sigmav_injected=args.sigmav,
        cache=args.cache, n_sources=args.sources,
    )  # fmt: skip
    import _lat_summary

    _lat_summary.summary(region)
    if args.plot:
        _lat_summary.plot(region, args.plot)


if __name__ == "__main__":
    main()
