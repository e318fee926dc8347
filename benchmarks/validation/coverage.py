"""Coverage of the 95 % upper limit of a stack of 15 simulated dwarfs.

``python benchmarks/validation/coverage.py [--n 2000] [--toys 400] [--out FOLDER]`` prints the table
of the documentation and draws its figure. Truths: no signal, one at the median expected limit, and
one at three times that.

A limit covers if it is not below the truth. Limits of toys are judged at the truth: it is excluded
if fewer than 5 % of toys with that signal, whose true J-factors are those observed, have a larger
test statistic. Without a signal there is nothing to exclude, and coverage is 100 %.
"""

import argparse
import time

import astropy.units as u
import numpy as np
from astropy.table import QTable
from dwarfs import simulated_dwarfs
from joblib import Parallel, delayed

from dmgammapy.estimators import CastroEstimator, ExpectedLimitsEstimator
from dmgammapy.estimators.limit_toys import statistics_at
from dmgammapy.makers import SimulatedDatasetMaker, random_stream

MASSES = [10, 100, 1000]
CHUNK = 20


def coverage_of_limits(estimator, datasets, truth):
    """Part of realisations whose upper limit is not below the truth."""
    ensemble = estimator.simulate(datasets)
    limit = ensemble.sigmav_ul.quantity[:, 0, 0, 0, 0]
    assert np.isfinite(limit).all()
    return float(np.mean(limit >= truth))


def _toys_chunk(engine, strength, seed, outer, n_toy):
    """Whether the truth is excluded, with CLs+b and CLs from toys, for some realisations."""
    draws = engine.simulation.draws(list(outer))
    counts = [d.counts[:, m.keep] for d, m in zip(draws, engine.members, strict=True)]
    offsets = [
        d.log10_jfactor_obs - m.log10_jfactor for d, m in zip(draws, engine.members, strict=True)
    ]
    _, total = engine.profiles(counts, offsets)
    observed, _ = statistics_at(total, np.full(len(outer), strength))
    out = []
    for i, number in enumerate(outer):
        tails = []
        for injected in (strength, 0.0):
            toy_counts, toy_shifts = [], []
            for member, offset in zip(engine.members, offsets, strict=True):
                stream = random_stream(seed, "inner", member.name, number, int(injected > 0))
                width = member.prior.err_high
                scale = 10.0 ** offset[i]
                mean = member.profiles.mean(np.full(1, injected * scale))
                toy_counts.append(stream.poisson(mean, (n_toy, *mean.shape)))
                toy_shifts.append(offset[i] + width * stream.standard_normal(n_toy))
            _, toys = engine.profiles(toy_counts, toy_shifts)
            q, _ = statistics_at(toys, np.full(n_toy, strength))
            tails.append(np.mean(q >= observed[i]))
        out.append((tails[0] < 0.05, tails[0] < 0.05 * max(tails[1], 0.5 / n_toy)))
    return out


def coverage_of_toys(estimator, datasets, strength, n_outer, n_toy):
    engine, _ = estimator._engine(datasets, None, 0)
    chunks = [range(i, min(i + CHUNK, n_outer)) for i in range(0, n_outer, CHUNK)]
    parts = Parallel(n_jobs=estimator.n_jobs)(
        delayed(_toys_chunk)(engine, strength, 77, chunk, n_toy) for chunk in chunks
    )
    return 1 - np.concatenate(parts).mean(axis=0)


def error(fraction, n):
    return np.sqrt(max(fraction * (1 - fraction), 1 / n) / n)


def main(n, n_outer, n_toy, n_jobs, width, channel):
    datasets, expectations = simulated_dwarfs(width)
    rows = []
    for mass in MASSES:
        castro = CastroEstimator([mass] * u.GeV, [channel])
        null = SimulatedDatasetMaker(seed=1, expectations=expectations)
        start = ExpectedLimitsEstimator(castro, null, n_realisations=2000, n_jobs=n_jobs)
        median = start.sensitivity(datasets).quantity.item()
        for factor in (0, 1, 3):
            truth = factor * median
            maker = SimulatedDatasetMaker(
                seed=2, expectations=expectations, sigmav=truth, mass=mass * u.GeV, channel=channel
            )
            begin = time.time()
            row = {"mass": mass * u.GeV, "sigmav": truth, "factor": factor}
            for name, stack in (
                ("profile", {}),
                ("marginal", {"method": "marginal"}),
                ("fixed", {"method": "fixed"}),
            ):
                estimator = ExpectedLimitsEstimator(
                    castro, maker, n_realisations=n, n_jobs=n_jobs, stack=stack
                )
                row[name] = coverage_of_limits(estimator, datasets, truth)
            row["toys_clsb"], row["toys_cls"] = 1.0, 1.0
            if factor and n_toy:
                estimator = ExpectedLimitsEstimator(castro, maker, n_jobs=n_jobs)
                row["toys_clsb"], row["toys_cls"] = coverage_of_toys(
                    estimator, datasets, truth.to_value("cm3 s-1"), n_outer, n_toy
                )
            rows.append(row)
            print(
                {k: (f"{v:.4f}" if isinstance(v, float) else str(v)) for k, v in row.items()},
                f"{time.time() - begin:.0f} s",
                flush=True,
            )
    return QTable(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--outer", type=int, default=1000)
    parser.add_argument("--toys", type=int, default=400)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--width", type=float)
    parser.add_argument("--channel", default="b")
    args = parser.parse_args()
    table = main(args.n, args.outer, args.toys, args.n_jobs, args.width, args.channel)
    table.pprint_all()
