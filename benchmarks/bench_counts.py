"""Accuracy and speed of limits from counts, as a table: ``python benchmarks/bench_counts.py``.

The region is the simulated one of ``lat_region.py``. Gammapy's own numbers are measured with
``--slow`` (some minutes); otherwise those of one such run are quoted. Times are medians.
"""

import argparse
import statistics
import sys
import time
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from bench_main_job import find_data, header, row
from gammapy.datasets import Datasets, SpectrumDatasetOnOff
from gammapy.estimators import FluxPointsEstimator
from gammapy.maps import WcsGeom
from gammapy.modeling import Fit, Parameter
from gammapy.modeling.models import (
    FoVBackgroundModel,
    LogParabolaSpectralModel,
    Models,
    PowerLawSpectralModel,
    SkyModel,
)
from lat_region import make_region

from dmgammapy.datasets import CountsLikelihood
from dmgammapy.estimators import CastroEstimator
from dmgammapy.targets import Target
from dmgammapy.utils import without_warnings

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.datasets.counts_helpers import map_dataset, on_off_dataset

REFERENCE = PowerLawSpectralModel(index=2, amplitude="1e-12 cm-2 s-1 TeV-1")
SIGMA_95 = 1.6448536269514722
FPE_SECONDS, MINUIT_SECONDS = 83.0, 31.0  # measured with --slow on two cores


def median_time(function, repeat=5):
    function()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


# ---- accuracy ------------------------------------------------------------------------------------


def flux_points(dataset, b, scan, **kwargs):
    """Gammapy's estimate of one bin at the same norms."""
    source = next(m for m in dataset.models if m.name == "dwarf")
    copied = dataset.copy(name=dataset.name)
    norm = Parameter("norm", 1, min=0, max=50 * scan.norm_ul, scan_values=scan.norm_scan)
    others = [m.copy(name=m.name) for m in dataset.models if m is not source]
    others.append(SkyModel(PowerLawSpectralModel(amplitude="0 cm-2 s-1 TeV-1"), name="idle"))
    reference = SkyModel(REFERENCE.copy(), source.spatial_model.copy(), name="dwarf")
    copied.models = [*others, reference]
    estimator = FluxPointsEstimator(
        energy_edges=dataset.counts.geom.axes["energy"].edges[b : b + 2],
        source="dwarf", norm=norm, selection_optional=["scan", "ul"], n_sigma_ul=SIGMA_95, **kwargs,
    )  # fmt: skip
    return estimator.run(Datasets([copied]))


def accuracy():
    header("Accuracy of scans of counts")
    for make, what in ((map_dataset, "map, fixed background"), (on_off_dataset, "ON/OFF spectrum")):
        dataset = make()
        likelihood = CountsLikelihood.from_datasets(dataset, spectrum=REFERENCE, free="fixed")
        worst = worst_ul = 0.0
        for b, scan in enumerate(likelihood.scan(n_points=12)):
            points = flux_points(dataset, b, scan)
            theirs = points.stat_scan.data.squeeze()
            ours = scan.stat_scan
            near = ours - ours.min() < 50
            delta = (theirs - theirs.min()) - (ours - ours.min())
            worst = max(worst, np.abs(delta[near]).max())
            limit = float(points.norm_ul.data.squeeze())
            if np.isfinite(limit):
                worst_ul = max(worst_ul, abs(limit / scan.norm_ul - 1))
        row(
            f"delta stat, 8 bins: {what}",
            "FluxPointsEstimator",
            f"{worst:.1e}",
            "1e-6",
            worst < 1e-6,
        )
        row(
            f"limits, 8 bins: {what}",
            "FluxPointsEstimator",
            f"{worst_ul:.1e}",
            "1e-3",
            worst_ul < 1e-3,
        )
    small = map_dataset(sigma=0.02, n_reco=16, n_true=120, sigmav=0)
    limits = [
        CastroEstimator([0.5, 1, 3] * u.TeV, ["b", "tau"], method=m, free_background="fixed")
        .run(small).sigmav_ul.quantity.squeeze()
        for m in ("bins", "direct")
    ]  # fmt: skip
    worst = np.abs((limits[0] / limits[1]).value - 1).max()
    row(
        "bins / direct, energy dispersion of 2 %", "each other", f"{worst:.2%}", "2 %", worst < 0.02
    )


# ---- LAT-like region -----------------------------------------------------------------------------


def region_speed(region, slow):
    header("LAT-like region: 10 x 10 deg, 0.1 deg, 24 bins, 35 models, 15 years")
    dataset = region.dataset
    fpe = slow_flux_points(region) if slow else FPE_SECONDS
    against = "FluxPointsEstimator, measured" if slow else "FluxPointsEstimator, quoted"
    row("Gammapy's scan, background collapsed", "", f"{fpe:.0f} s", "", True)
    for n_free, bar in ((0, 0.1), (2, 0.6), (14, 3.0)):
        region.free_norms(n_free)
        likelihood = CountsLikelihood.from_datasets(dataset, spectrum=REFERENCE)
        seconds = median_time(lambda likelihood=likelihood: likelihood.scan(n_points=30))
        row(
            f"24 bins, 30 points, MLE, TS, UL; {n_free} norms free", against,
            f"{seconds:.3f} s (x {fpe / seconds:.0f})", f"{bar} s", seconds < bar,
        )  # fmt: skip

    def whole():
        CastroEstimator([100] * u.GeV, ["b"]).estimate_sed(dataset)

    region.free_norms(2)
    seconds = median_time(whole, 3)
    value = f"{seconds:.2f} s (x {5.2 / seconds:.1f})"
    row("the same with templates; 2 norms free", "prototype, 5.2 s", value, "2 s", seconds < 2)

    region.free_norms(16)
    likelihood = CountsLikelihood.from_datasets(dataset)
    seconds = median_time(lambda: likelihood.fit(norm=0))
    minuit, stat = slow_fit(region) if slow else (MINUIT_SECONDS, None)
    value = f"{seconds:.3f} s (x {minuit / seconds:.0f})"
    row("global fit of 16 norms", "Minuit", value, "0.3 s", seconds < 0.3)
    if stat is not None:
        difference = likelihood.fit(norm=0).stat - stat
        row(
            "  its -2 ln L less Minuit's",
            "Minuit",
            f"{difference:.1e}",
            "1e-3",
            abs(difference) < 1e-3,
        )
    for n_free in (0, 16):
        region.free_norms(n_free)
        estimator = CastroEstimator(np.geomspace(10, 1e3, 7) * u.GeV, ["b", "tau"], method="direct")
        seconds = median_time(lambda e=estimator: e.run(dataset), 3)
        row(f"direct: 7 masses, 2 channels; {n_free} norms free", "", f"{seconds:.2f} s", "", True)


def cube_speed(region):
    region.free_norms(0)
    geom = WcsGeom.create(
        skydir=region.dataset.counts.geom.center_skydir,
        npix=51,
        binsz=0.1,
        proj="TAN",
        frame="icrs",
    )
    estimator = CastroEstimator([100] * u.GeV, ["b"], n_jobs=2)
    start = time.perf_counter()
    cube = estimator.estimate_cube(region.dataset, geom)
    seconds = time.perf_counter() - start
    row(
        "castro cube 51 x 51 x 24, fixed background", "", f"{seconds:.0f} s", "120 s", seconds < 120
    )
    ts = cube.ts_map().data
    row("  largest TS of its pixels (sum of bins)", "", f"{ts.max():.1f}", "", True)


def injection(region, n=50, sigmav=3e-25):
    region.free_norms(16)
    likelihood = CountsLikelihood.from_datasets(region.dataset)
    values, errors = [], []
    for seed in range(n):
        fit = likelihood.with_counts([region.simulate(seed, sigmav)]).fit()
        values.append(fit.values["draco.sigmav"])
        errors.append(fit.errors["draco.sigmav"])
    values, errors = np.array(values), np.array(errors)
    mean, error = values.mean(), values.std(ddof=1) / np.sqrt(n)
    bias = (mean - sigmav) / error
    value = f"{mean:.3g}, {bias:+.1f} errors"
    row(f"{n} realisations, {sigmav:g} cm3/s, 100 GeV b", "truth", value, "2 errors", abs(bias) < 2)
    width = ((values - sigmav) / errors).std(ddof=1)
    row("  width of the pulls", "1", f"{width:.2f}", "1 +- 0.2", abs(width - 1) < 0.2)


def slow_flux_points(region):
    """Seconds of Gammapy's scan with everything but the source in one background map."""
    dataset = region.dataset
    collapsed = dataset.copy(name=dataset.name)
    with without_warnings("gammapy.datasets.evaluator"):
        names = [m.name for m in region.models if m.name != region.source]
        background = dataset.npred_signal(names)
    collapsed.background = background
    source = region.models[region.source]
    background_model = FoVBackgroundModel(dataset_name=dataset.name)
    collapsed.models = [
        SkyModel(REFERENCE.copy(), source.spatial_model.copy(), name="dwarf"),
        background_model,
    ]
    estimator = FluxPointsEstimator(
        energy_edges=dataset.counts.geom.axes["energy"].edges, source="dwarf",
        norm=Parameter("norm", 1, min=0, max=1e3, scan_values=np.linspace(0, 3, 30)),
        selection_optional=["scan", "ul"], n_sigma_ul=SIGMA_95,
    )  # fmt: skip
    start = time.perf_counter()
    estimator.run(Datasets([collapsed]))
    return time.perf_counter() - start


def slow_fit(region):
    """Seconds and -2 ln L of Minuit for the 16 norms."""
    sigmav = region.models[region.source].spectral_model.sigmav
    frozen = sigmav.frozen
    sigmav.frozen = True
    names = [p for p in region.models.parameters.free_parameters]
    before = [p.value for p in names]
    start = time.perf_counter()
    with without_warnings("gammapy.datasets.evaluator"):
        result = Fit().run(Datasets([region.dataset]))
    seconds = time.perf_counter() - start
    for parameter, value in zip(names, before, strict=True):
        parameter.value = value
    sigmav.frozen = frozen
    return seconds, result.total_stat


# ---- real counts ---------------------------------------------------------------------------------


def joint_crab(folder):
    header("Real counts: LAT, MAGIC, H.E.S.S., FACT and VERITAS on the Crab")
    datasets = Datasets()
    for path in sorted((folder / "joint_crab").glob("*/pha_*.fits")):
        dataset = SpectrumDatasetOnOff.read(path)
        dataset._name = f"{path.parent.name}-{path.stem}"
        datasets.append(dataset)
    crab = LogParabolaSpectralModel(
        amplitude="3e-11 cm-2 s-1 TeV-1", reference="1 TeV", alpha=2.3, beta=0.1
    )
    target = Target("dm", log10_jfactor=20.0)
    source = target.to_models(mass="1 TeV", channel="b", sigmav="0 cm3 s-1")
    datasets.models = Models([SkyModel(crab, name="crab"), *source])
    source[0].spectral_model.sigmav.frozen = True
    likelihood = CountsLikelihood.from_datasets(datasets)
    ours = likelihood.fit(norm=0)
    seconds = median_time(lambda: likelihood.fit(norm=0), 3)
    start = time.perf_counter()
    result = Fit().run(datasets)
    theirs = time.perf_counter() - start
    off = ours.stat - result.total_stat
    row("-2 ln L of the log-parabola", "Gammapy's Fit", f"{off:+.1e}", "1e-3", abs(off) < 1e-3)
    pulls = [
        abs(ours.values[f"crab.{p}"] - crab.parameters[p].value) / crab.parameters[p].error
        for p in ("amplitude", "alpha", "beta")
    ]
    row(
        "  its parameters, in errors",
        "Gammapy's Fit",
        f"{max(pulls):.1e}",
        "0.01",
        max(pulls) < 0.01,
    )
    row(
        "  time of the fit",
        "Gammapy's Fit",
        f"{seconds:.2f} s (x {theirs / seconds:.1f})",
        "",
        True,
    )
    estimator = CastroEstimator([1, 10] * u.TeV, ["b"], method="direct")
    start = time.perf_counter()
    castro = estimator.run(datasets)
    seconds = time.perf_counter() - start
    limits = ", ".join(f"{x:.3g}" for x in castro.sigmav_ul.quantity.squeeze().value)
    row(
        "joint limit at 1 and 10 TeV, b, J = 1e20",
        "",
        f"{limits} cm3/s in {seconds:.1f} s",
        "",
        True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slow", action="store_true", help="measure Gammapy's times, too")
    parser.add_argument("--catalog", help="4FGL catalog, as for lat_region.py")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    folder = find_data()
    accuracy()
    joint_crab(folder)
    region = make_region(catalog=args.catalog, data=folder)
    region_speed(region, args.slow)
    injection(region)
    cube_speed(region)


if __name__ == "__main__":
    main()
