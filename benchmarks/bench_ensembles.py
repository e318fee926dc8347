"""Speed of simulated ensembles, as a table: ``python benchmarks/bench_ensembles.py``.

500 realisations of 15 dwarf galaxies, 2 channels x 20 masses, J profile, limits. The reference is
dmpipe 0.1.3, which took 560 s for the conversion and stack of 45 targets x 156 channels and masses
of one realisation: 48 s when scaled to this size.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import astropy.units as u
import numpy as np

from dmgammapy.estimators import CastroEstimator, ExpectedLimitsEstimator, StackedDMLikelihood
from dmgammapy.makers import SimulatedDatasetMaker

sys.path.insert(0, str(Path(__file__).parent / "validation"))
from dwarfs import simulated_dwarfs

DMPIPE = 560 * 15 / 45 * 40 / 156
BAR = 60.0


def timed(function, n):
    times = []
    for _ in range(n):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main(n_times, n_realisations):
    datasets, expectations = simulated_dwarfs()
    maker = SimulatedDatasetMaker(seed=1, expectations=expectations, redraw_jfactor=True)
    castro = CastroEstimator(np.geomspace(10, 1e4, 20) * u.GeV, ["b", "tau"])

    def ensemble(n, **settings):
        estimator = ExpectedLimitsEstimator(castro, maker, n_realisations=n, **settings)
        return lambda: estimator.simulate(datasets)

    ensemble(5)()  # compile
    ensemble(2, engine="datasets")()
    asimov = ExpectedLimitsEstimator(castro, maker, method="asimov")
    data = StackedDMLikelihood(castro.run(datasets)).run()
    expected = asimov.asimov(datasets)
    cells = {
        "one channel and mass": ExpectedLimitsEstimator(
            CastroEstimator([100] * u.GeV, ["b"]), maker
        )
    }
    strengths = data.sigmav_ul.quantity[:1, 5, 0, 0] * np.geomspace(0.3, 3, 6)
    jobs = [
        ("fast engine, 2 processes", ensemble(n_realisations, n_jobs=2), n_realisations, n_times),
        ("fast engine, 1 process", ensemble(n_realisations), n_realisations, n_times),
        ("fast engine, marginal J", ensemble(50, stack={"method": "marginal"}), 50, n_times),
        ("fast engine, CLs", ensemble(100, limit_method="cls"), 100, n_times),
        ("datasets engine, 1 process", ensemble(10, engine="datasets"), 10, n_times),
        ("Asimov bands", lambda: asimov.run(datasets), 1, n_times),
        ("discovery reach", lambda: asimov.discovery_reach(datasets), 1, n_times),
        (
            "toys for one limit, 6 x 1000",
            lambda: cells["one channel and mass"].limit_toys(datasets, strengths, 1000),
            1,
            1,
        ),
        ("CLs of the stack", lambda: data.upper_limit(method="cls", asimov=expected), 1, 5),
    ]
    print("| what | seconds | per realisation [ms] | dmpipe / this |\n|---|---|---|---|")
    for name, job, n, repeat in jobs:
        seconds = timed(job, repeat)
        ratio = f"{DMPIPE * n / seconds:.0f}" if n > 1 else ""
        print(f"| {name} | {seconds:.2f} | {1e3 * seconds / n:.1f} | {ratio} |", flush=True)
    print(f"\nThe bar is {BAR:g} s for {n_realisations} realisations in 2 processes.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--realisations", type=int, default=500)
    arguments = parser.parse_args()
    main(arguments.repeat, arguments.realisations)
