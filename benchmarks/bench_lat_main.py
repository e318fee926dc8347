"""From photons to limits for one dwarf, as a table: ``python benchmarks/bench_lat_main.py``.

Fifteen years of the Draco region: sources of 4FGL-DR4, Galactic and isotropic emission, drawn event
by event with the P8R3_SOURCE_V3 response, written as event and spacecraft files, and analysed as
real ones are. Wall and CPU time of each stage, which the bars are for; everything is timed a second
time after compilation (``--repeat``), the median is shown.
"""

import argparse
import logging
import resource
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import _lat_models
from lat_region import find_data

from dmgammapy.analysis import DMAnalysis
from dmgammapy.estimators import CastroEstimator, ROIOptimizer, StackedDMLikelihood
from dmgammapy.makers import ROIModelMaker
from dmgammapy.makers.lat import (
    LATDatasetMaker,
    LATEventSimulator,
    LATLivetimeMaker,
    LATOrbitSimulator,
    LATResponse,
)
from dmgammapy.targets import Targets

IRFS = "P8R3_SOURCE_V3"
MASSES = np.geomspace(6, 1e4, 40) * u.GeV
CHANNELS = ["b", "tau"]


class Clock:
    """Wall and CPU seconds by stage."""

    def __init__(self):
        self.seconds = {}

    def __call__(self, name, function):
        wall, cpu = time.perf_counter(), _cpu()
        out = function()
        took = time.perf_counter() - wall, _cpu() - cpu
        self.seconds.setdefault(name, []).append(took)
        return out


def _cpu():
    return sum(
        resource.getrusage(who).ru_utime + resource.getrusage(who).ru_stime
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )


def simulate(folder, years, data, catalog, target):
    """Event and spacecraft files of a region, and the models they come from."""
    response = LATResponse.read(IRFS, "FB", data / "lat" / "caldb")
    spacecraft = LATOrbitSimulator(cadence=30 * u.s).run(duration=years * u.yr)
    geom = LATDatasetMaker(position=target.position, response=response).geom
    models = region_maker(data, catalog, folder).run(geom, position=target.position)
    events = LATEventSimulator(response, spacecraft).run(models, target.position, "8 deg", seed=15)
    ft1, ft2 = folder / "ft1.fits", folder / "ft2.fits"
    events.write(ft1)
    spacecraft.write(ft2)
    return ft1, ft2, len(events), len(spacecraft)


def region_maker(data, catalog, folder):
    return ROIModelMaker(
        catalogs=catalog,
        diffuse=data / "lat" / _lat_models.GALACTIC,
        isotropic=data / "lat" / _lat_models.ISOTROPIC,
        radius=8 * u.deg,
        template_dir=folder,
    )


def analyse(clock, ft1, ft2, livetime, data, catalog, folder, target):
    """Photons to limits; ``clock`` gets the stages."""

    def reduce():
        maker = LATDatasetMaker(
            position=target.position, irfs=IRFS, caldb=data / "lat" / "caldb", filter=None,
            show_progress=False,
        )  # fmt: skip
        return maker.run(ft1, ft2, livetime)

    total = time.perf_counter(), _cpu()
    datasets = clock("dataset from photons, all IRFs", reduce)
    models = clock(
        "models from the catalog", lambda: region_maker(data, catalog, folder).run(datasets)
    )
    datasets.models = models
    fit = clock(
        "region fit, all norms and TS, rendering included",
        lambda: ROIOptimizer(steps=["all"]).run(datasets),
    )
    datasets.models = [*datasets.models, *target.to_models(mass="100 GeV", channel="b")]
    estimator = CastroEstimator(
        masses=MASSES, channels=CHANNELS, method="direct", show_progress=False
    )
    castro = clock("likelihood of 40 masses x 2 channels", lambda: estimator.run(datasets))
    stack = clock("limits, J profiled", lambda: StackedDMLikelihood([castro]).run())
    took = time.perf_counter() - total[0], _cpu() - total[1]
    clock.seconds.setdefault("photons to limits, livetime given", []).append(took)
    return fit, stack, datasets


def run_pipeline(ft1, ft2, data, catalog, folder, target):
    """The same by a configuration: limits of all masses and channels."""
    lat = data / "lat"
    config = {
        "targets": {"roster": "ackermann2015_dsphs", "select": [target.name]},
        "datasets": {
            "fermi-lat": {
                "photons": {
                    "ft1": str(ft1), "ft2": str(ft2), "irfs": IRFS, "caldb": str(lat / "caldb"),
                },
                "region": {
                    "catalogs": str(catalog), "radius": "8 deg", "optimize": False,
                    "diffuse": str(lat / _lat_models.GALACTIC),
                    "isotropic": str(lat / _lat_models.ISOTROPIC),
                },
            }
        },
        "channels": CHANNELS,
        "masses": [f"{mass!r} GeV" for mass in MASSES.to_value("GeV").tolist()],
    }  # fmt: skip
    analysis = DMAnalysis(config, output=folder / "results")
    return analysis.run(show_progress=False)


BARS = {
    "livetime of the region (nside 64)": "6 for 100 directions",
    "dataset from photons, all IRFs": "15",
    "photons to limits, livetime given": "30",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--years", type=float, default=15.0)
    parser.add_argument("--catalog", help="4FGL-DR4, or an sdist of fermipy. Default: downloaded")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--pipeline", action="store_true", help="also by a configuration")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    warnings.simplefilter("ignore")
    data, catalog = find_data(), _lat_models.find_catalog(arguments.catalog)
    target = Targets.read_roster("ackermann2015_dsphs")["draco"]
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        ft1, ft2, n_events, n_rows = clock(
            "simulation of all files",
            lambda: simulate(folder, arguments.years, data, catalog, target),
        )
        maker = LATLivetimeMaker(
            nside=64, zenith_max=90 * u.deg, position=target.position, radius=15 * u.deg,
            show_progress=False,
        )  # fmt: skip
        livetime = clock("livetime of the region (nside 64)", lambda: maker.run(ft1=ft1, ft2=ft2))
        for _ in range(arguments.repeat):
            fit, stack, datasets = analyse(clock, ft1, ft2, livetime, data, catalog, folder, target)
        if arguments.pipeline:
            combined = clock(
                "photons to report by a configuration, livetime included",
                lambda: run_pipeline(ft1, ft2, data, catalog, folder, target),
            )
            ratio = combined.sigmav_ul.data / stack.sigmav_ul.data
            print(f"limits by a configuration over these: {np.nanmin(ratio):.4f} to "
                  f"{np.nanmax(ratio):.4f}")  # fmt: skip
    print(f"{n_events} events, {n_rows} rows of spacecraft data, {len(fit.sources)} models, "
          f"{len(livetime.data)} directions of the livetime\n")  # fmt: skip
    print("| stage | wall [s] | CPU [s] | bar [s] |\n|---|---|---|---|")
    for name, values in clock.seconds.items():
        wall, cpu = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {BARS.get(name, '')} |")
    limit = stack.sigmav_ul.slice_by_idx({"channel": 0}).quantity.ravel()
    mass = abs(MASSES - 100 * u.GeV).argmin()
    print(f"\nlimit on b at {MASSES[mass]:.4g}: {limit[mass]:.3g}")
    for name in ("galdiff", "isodiff"):
        row = fit.sources[list(fit.sources["name"]).index(name)]
        print(f"{name}: {row['norm']:.4f} +- {row['norm_err']:.4f}, truth 1")


if __name__ == "__main__":
    main()
