"""Speed of the fit of a region as a table: ``python benchmarks/bench_lat_roi.py``.

The region is the simulated one of ``lat_region.py``, as one dataset and as two that share models.
Seconds are of CPU, medians; those of the clock are longer on a busy machine.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from bench_main_job import header, row
from gammapy.datasets import Datasets
from lat_region import make_region

from dmgammapy.estimators.roi import ROIFit, ROIOptimizer
from dmgammapy.estimators.roi._likelihood import RegionLikelihood
from dmgammapy.estimators.roi._norms import RegionNorms
from dmgammapy.estimators.roi._region import Region


def seconds(function, repeat=3):
    """Median CPU seconds, after one call that compiles."""
    function()
    times = []
    for _ in range(repeat):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return statistics.median(times)


def timed(what, function, bar=None, repeat=3):
    value = seconds(function, repeat)
    row(what, "", f"{value:.3f} s", "" if bar is None else f"{bar} s", bar is None or value < bar)


def two_datasets(region):
    """The region and another realisation of it, with the same models."""
    one = region.dataset
    two = one.copy(name="lat-2")
    two.counts = region.simulate(seed=1)
    models = one.models
    datasets = Datasets([one, two])
    datasets.models = models
    return datasets


def speed(datasets, what):
    header(f"{what}: 35 models, 24 bins, 100 x 100 pixels")
    timed("rendering of all models", lambda: RegionNorms(Region(datasets)), repeat=2)
    region = Region(datasets)
    norms = RegionNorms(region)
    every = np.ones(len(norms.theta), dtype=bool)
    every[0] = False
    timed("all linear norms, templates given", lambda: norms.solve(every), 1.0)
    free = [p for p in region.parameters if not p.frozen]
    tilt = next(m for m in region.models if m.name == "galactic").spectral_model.tilt
    likelihood = RegionLikelihood(region, [*free, tilt])
    timed("16 norms and the Galactic tilt", likelihood.fit, 5.0)
    timed("fit of what is free and TS, rendering in it", lambda: run(datasets, steps="all"))
    timed("all steps, rendering in it", lambda: run(datasets), repeat=1)


def run(datasets, **settings):
    """Fit from the values the models have, which are put back."""
    parameters = list(Datasets(datasets).models.parameters)
    before = [p.value for p in parameters]
    fit = ROIOptimizer(**settings).run(datasets)
    for parameter, value in zip(parameters, before, strict=True):
        parameter.value = value
    return fit


def products(datasets):
    header("What follows a fit")
    fit = ROIOptimizer(steps="all", ts=None).run(datasets)
    timed("residual maps", fit.residual_maps)
    timed("spectrum of counts", fit.counts_spectrum)
    timed("TS map above 5 GeV by Gammapy", lambda: fit.ts_maps(energy_min=5 * u.GeV), repeat=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fit.zip"
        timed("writing a bundle", lambda: fit.write(path, overwrite=True), repeat=1)
        timed("reading it", lambda: ROIFit.read(path), repeat=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--catalog", help="4FGL catalog, as for lat_region.py")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    region = make_region(catalog=args.catalog)
    region.free_norms(16)
    speed(Datasets([region.dataset]), "One dataset")
    speed(two_datasets(region), "Two datasets")
    products(Datasets([region.dataset]))


if __name__ == "__main__":
    main()
