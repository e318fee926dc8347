"""Simulated regions of the LAT, from events to fitted norms: pulls and residuals.

``python benchmarks/validation/lat_regions.py [--n 20] [--years 15] [--out FOLDER]``

Each region has sources, Galactic and isotropic emission at a random place off the Galactic plane.
Its events are drawn one by one with the LAT's response (`LATEventSimulator`), reduced to a dataset
(`LATDatasetMaker`), and the norms fitted (`ROIOptimizer`), spectral shapes and positions held at
the truth. Pulls (fit - truth) / error must have mean 0 and width 1, the significance of residuals
as well; the errors given are those of finite samples.
"""

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.modeling.models import Models, PointSpatialModel, PowerLawSpectralModel, SkyModel
from reporting import markdown, save
from scipy.stats import kstest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _lat_models
from lat_region import find_data

from dmgammapy.estimators.roi import ROIOptimizer
from dmgammapy.makers import random_stream
from dmgammapy.makers.lat import LATDatasetMaker, LATResponse
from dmgammapy.makers.lat.orbits import LATOrbitSimulator
from dmgammapy.makers.lat.simulate import LATEventSimulator

WIDTH = 10 * u.deg
RADIUS = 7.5 * u.deg  # of the events, beyond the corners
TEMPLATE_MARGIN = 12.0  # deg, photons come from there
SEED = 707
N_SOURCES = 10
FLUX = (4e-10, 2e-8)  # cm-2 s-1 above 1 GeV, all of them significant
CADENCE = 120 * u.s  # four times shorter than FT2 files


def place(random):
    """Centre of a region at |b| > 20 deg."""
    sine = random.uniform(np.sin(np.deg2rad(20)), np.sin(np.deg2rad(85)))
    latitude = np.rad2deg(np.arcsin(sine)) * random.choice([-1, 1])
    return SkyCoord(random.uniform(0, 360), latitude, unit="deg", frame="galactic").icrs


def sources(random, center):
    """Power laws in the region, no two closer than 1 deg."""
    models, places = [], []
    while len(models) < N_SOURCES:
        lon, lat = random.uniform(-4.8, 4.8, 2) * u.deg
        position = center.spherical_offsets_by(lon, lat)
        if any(position.separation(other) < 1 * u.deg for other in places):
            continue
        places.append(position)
        index = random.normal(2.2, 0.2)
        flux = np.exp(random.uniform(*np.log(FLUX)))
        spectrum = PowerLawSpectralModel(
            index=index, amplitude=flux * (index - 1) * u.Unit("cm-2 s-1 GeV-1"), reference="1 GeV"
        )
        spatial = PointSpatialModel(lon_0=position.ra, lat_0=position.dec, frame="icrs")
        models.append(SkyModel(spectrum, spatial, name=f"source-{len(models)}"))
    return models


def region_models(data, random, center, geom, folder):
    """Truth, with the norms free and all else frozen."""
    path = Path(folder) / "galactic.fits"
    galactic = _lat_models.galactic(data, geom, TEMPLATE_MARGIN, path)
    models = Models([*sources(random, center), galactic, _lat_models.isotropic(data)])
    models.freeze()
    for model in models:
        parameters = model.spectral_model.parameters
        norm = parameters["norm" if "norm" in parameters.names else "amplitude"]
        norm.frozen = False
        norm.min = -100 * norm.value  # pulls of what may not be negative are no Gaussian
    return models


def simulate_region(number, simulator, data, seed=SEED):
    """Pulls by model, residual significances and seconds of one region."""
    random = random_stream(seed, "lat region", number)
    center = place(random)
    maker = LATDatasetMaker(
        position=center,
        width=WIDTH,
        response=simulator.response,
        zenith_max=simulator.zenith_max,
        livetime_nside=32,
        show_progress=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        models = region_models(data, random, center, maker.geom, folder)
        clock = [time.perf_counter()]
        events = simulator.run(models, center, RADIUS, seed=seed + number)
        clock.append(time.perf_counter())
        datasets = maker.run(events, simulator.spacecraft)
        clock.append(time.perf_counter())
        truth = {
            f"{model.name}.{p.name}": p.value
            for model in models
            for p in model.parameters.free_parameters
        }
        datasets.models = models
        fit = ROIOptimizer(steps=["all"], ts=None).run(datasets)
        clock.append(time.perf_counter())
    table = fit.parameter_table()
    error = dict(zip(table["name"], table["error"], strict=True))
    ratio = {name: value / truth[name] for name, value in table.iterrows("name", "value")}
    pulls = {name: (ratio[name] - 1) * truth[name] / error[name] for name in ratio}
    sigma = fit.residual_maps()["significance"].data.squeeze()
    counts, npred = counts_at(fit.region, models, truth)
    return {
        "pulls": pulls,
        "ratio": ratio,
        "significance": sigma[np.isfinite(sigma)],
        # nearly independent
        "spread": sigma[5::10, 5::10].ravel(),
        "counts": counts.sum(),
        "excess": ((counts - npred) / np.sqrt(npred))[npred > 25],
        "total": (counts.sum() - npred.sum()) / np.sqrt(npred.sum()),
        "seconds": np.diff(clock),
    }


def counts_at(region, models, truth):
    """Counts by energy, and what the truth predicts, of a region that was fitted."""
    for name, value in truth.items():
        model, _, parameter = name.rpartition(".")
        models[model].parameters[parameter].value = value
    shape, terms = region.renderers[0].shape, region.terms[0]
    cubes = (np.where(terms.weight > 0, cube, 0) for cube in (terms.counts, region.total(0)))
    return [cube.reshape(shape).sum(axis=(1, 2)) for cube in cubes]


def kind(name):
    return "sources" if name.startswith("source-") else name.split(".")[0]


def summary(regions):
    """Rows of mean, width and KS probability by kind."""
    samples = {}
    for region in regions:
        for name, pull in region["pulls"].items():
            samples.setdefault(f"pulls of {kind(name)}", []).append(pull)
        samples.setdefault("residual map, pixels 1 deg apart", []).extend(region["spread"])
        samples.setdefault("counts in bins at the truth", []).extend(region["excess"])
        samples.setdefault("all counts at the truth", []).append(region["total"])
    rows = []
    for name, values in samples.items():
        values = np.array(values)
        values = values[np.isfinite(values)]
        n = len(values)
        rows.append(
            {
                "quantity": name,
                "n": n,
                "mean": f"{values.mean():+.3f} ± {values.std() / np.sqrt(n):.3f}",
                "width": f"{values.std(ddof=1):.3f} ± {values.std() / np.sqrt(2 * n):.3f}",
                "KS p": float(kstest(values, "norm").pvalue),
            }
        )
    return {title: [row[title] for row in rows] for title in rows[0]}


def plot(regions, folder):
    """Histograms of pulls and residual significances with the unit Gaussian."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    pulls = [pull for region in regions for pull in region["pulls"].values()]
    residuals = np.concatenate([region["significance"] for region in regions])
    x = np.linspace(-5, 5, 201)
    for axis, values, label in zip(
        axes, (pulls, residuals), ("Pull of norms", "Residual significance"), strict=True
    ):
        axis.hist(values, bins=np.linspace(-5, 5, 41), density=True, color="0.7")
        axis.plot(x, np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi), "k")
        axis.set(xlabel=label, ylabel="Density")
    save(figure, folder, "lat_regions")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20, help="regions, default 20")
    parser.add_argument("--years", type=float, default=15.0)
    parser.add_argument("--out", help="folder of the figure")
    arguments = parser.parse_args()
    logging.getLogger("gammapy").setLevel(logging.ERROR)
    data = find_data()
    response = LATResponse.read("P8R3_SOURCE_V3", "FB", data / "lat" / "caldb")
    spacecraft = LATOrbitSimulator(cadence=CADENCE).run(duration=arguments.years * u.yr)
    simulator = LATEventSimulator(response, spacecraft, zenith_max=90 * u.deg)
    regions = []
    for number in range(arguments.n):
        region = simulate_region(number, simulator, data)
        regions.append(region)
        pulls = ", ".join(f"{pull:+.2f}" for pull in region["pulls"].values())
        seconds = ", ".join(f"{s:.1f}" for s in region["seconds"])
        print(
            f"region {number}: {region['counts']:.0f} counts, all counts {region['total']:+.2f} "
            f"sigma; simulate, reduce, fit in {seconds} s; "
            f"residuals {region['significance'].std():.3f}; pulls {pulls}",
            flush=True,
        )
    print(markdown(summary(regions)))
    ratio = {}
    for region in regions:
        for name, value in region["ratio"].items():
            if kind(name) != "sources":
                ratio.setdefault(kind(name), []).append(value)
    for name, values in ratio.items():
        print(f"{name}: fitted norm {np.mean(values):.4f}, scatter {np.std(values):.4f}")
    plot(regions, arguments.out)


if __name__ == "__main__":
    main()
