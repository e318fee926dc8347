"""Same seeds, any number of processes: is every ensemble the same, bit for bit?

``python benchmarks/validation/reproducible.py [--n 60] [--jobs 1 2 4]`` compares with one process:
several of joblib's, and a dask cluster on this machine (skipped if ``distributed`` is missing). The
fast engine, the engine of datasets, and an ON/OFF spectrum of Gammapy.
"""

import argparse
import contextlib
import importlib.util

import astropy.units as u
import joblib
import numpy as np
from dwarfs import simulated_dwarfs
from gammapy.datasets import SpectrumDataset, SpectrumDatasetOnOff
from gammapy.irf import EDispKernelMap
from gammapy.maps import MapAxis, RegionGeom
from reporting import markdown

from dmgammapy.estimators import CastroEstimator, ExpectedLimitsEstimator
from dmgammapy.makers import SimulatedDatasetMaker
from dmgammapy.targets import Target

MASSES = [10, 100, 1000] * u.GeV
CHANNELS = ["b", "tau"]
SEED = 606


def on_off_dataset():
    """ON/OFF spectrum from 0.1 to 10 TeV, and the background expected in the ON region."""
    energy = MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", nbin=8)
    true = MapAxis.from_energy_bounds("0.05 TeV", "20 TeV", nbin=14, name="energy_true")
    region = RegionGeom.create("icrs;circle(83.6, 22.0, 0.3)", axes=[energy])
    plain = SpectrumDataset.create(region, energy_axis_true=true, name="dwarf on-off")
    plain.exposure.quantity = np.full(plain.exposure.data.shape, 3e14) * u.Unit("cm2 s")
    plain.edisp = EDispKernelMap.from_gauss(energy, true, sigma=0.12, bias=0)
    plain.mask_safe.data[:] = True
    dataset = SpectrumDatasetOnOff.from_spectrum_dataset(
        dataset=plain, acceptance=1, acceptance_off=5
    )
    dataset._name = plain.name  # Gammapy draws another one
    dataset.models = Target("dwarf", log10_jfactor=20.0, log10_jfactor_err=0.3).to_models(
        "1 TeV", "b"
    )
    background = plain.counts.copy()
    background.data[:] = np.geomspace(60, 0.05, energy.nbin)[:, None, None]
    dataset.fake(background, random_state=1)
    return dataset, background


def cases(n, n_datasets, n_on_off):
    """Estimator, datasets and number of realisations by name."""
    datasets, expectations = simulated_dwarfs()
    castro = CastroEstimator(MASSES, CHANNELS)
    maker = SimulatedDatasetMaker(seed=SEED, expectations=expectations, redraw_jfactor=True)
    on_off, background = on_off_dataset()
    counts = SimulatedDatasetMaker(
        seed=SEED, backgrounds={on_off.name: background}, redraw_jfactor=True
    )
    tev = CastroEstimator([0.5, 1, 5] * u.TeV, CHANNELS)
    quiet = {"show_progress": False}
    return {
        "fast": (ExpectedLimitsEstimator(castro, maker, **quiet), datasets, n),
        "datasets": (
            ExpectedLimitsEstimator(castro, maker, engine="datasets", **quiet),
            datasets[:3],
            n_datasets,
        ),
        "ON/OFF spectrum": (ExpectedLimitsEstimator(tev, counts, **quiet), [on_off], n_on_off),
    }


def same(one, two):
    """Whether all quantities are equal bit for bit."""
    names = ("reference", "norm", "norm_ul", "ts", "status")
    return all(np.array_equal(one[n].data, two[n].data, equal_nan=True) for n in names)


def simulate(case, n_jobs):
    """Ensemble of one case."""
    estimator, datasets, n = case
    estimator.n_jobs = n_jobs
    return estimator.simulate(datasets, realisations=range(n))


@contextlib.contextmanager
def dask_cluster(n_workers, processes=True):
    """Joblib's work goes to a dask cluster on this machine."""
    from distributed import Client, LocalCluster

    options = {"threads_per_worker": 1, "dashboard_address": None, "processes": processes}
    with LocalCluster(n_workers=n_workers, **options) as cluster, Client(cluster):
        with joblib.parallel_config(backend="dask"):
            yield


def main(n, n_datasets, n_on_off, jobs):
    work = cases(n, n_datasets, n_on_off)
    reference = {name: simulate(case, 1) for name, case in work.items()}
    rows = {
        "engine": list(work),
        "realisations": [str(case[2]) for case in work.values()],
        "largest TS": [float(np.nanmax(item["ts"].data)) for item in reference.values()],
    }

    def compare(label, n_jobs):
        rows[label] = [
            "equal" if same(reference[name], simulate(case, n_jobs)) else "DIFFERENT"
            for name, case in work.items()
        ]

    for k in jobs:
        compare(f"n_jobs={k}", k)
    if importlib.util.find_spec("distributed") is None:
        print("dask is not installed (pip install .[cluster]): skipped\n")
    else:
        with dask_cluster(2):
            compare("dask", -1)
    # other numbers, other order: a realisation knows nothing of its neighbours
    rows["each alone"] = []
    for name, (estimator, datasets, count) in work.items():
        estimator.n_jobs = 1
        numbers = [count - 1, 0, count // 2]
        some = estimator.simulate(datasets, realisations=sorted(numbers))
        expected = reference[name]["norm_ul"].data[sorted(numbers)]
        alike = np.array_equal(some["norm_ul"].data, expected, equal_nan=True)
        rows["each alone"].append("equal" if alike else "DIFFERENT")
    print(markdown(rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--datasets", type=int, default=20)
    parser.add_argument("--on-off", type=int, default=20)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2, 4])
    args = parser.parse_args()
    main(args.n, args.datasets, args.on_off, args.jobs)
