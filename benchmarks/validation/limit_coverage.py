"""Coverage of the 95 % upper limit of a stack of 15 simulated dwarfs.

``python benchmarks/validation/limit_coverage.py [--n 2000] [--toys 300] [--out FOLDER]`` prints the
table of the documentation and draws its figure. Truths: no signal, the median expected limit, and
three times that.

A limit covers if it is not below the truth. Limits of toys are judged at the truth: it is excluded
if fewer than 5 % of toys with that signal, whose true J-factors are those observed, have a larger
test statistic. Without a signal there is nothing to exclude, and coverage is 100 %.
"""

import argparse
from pathlib import Path

import astropy.units as u
import numpy as np
from dwarfs import simulated_dwarfs
from joblib import Parallel, delayed

from dmgammapy.estimators import CastroEstimator, ExpectedLimitsEstimator
from dmgammapy.estimators.limit_toys import statistics_at
from dmgammapy.makers import SimulatedDatasetMaker, random_stream
from dmgammapy.visualization import plot_coverage

MASSES, FACTORS = [10, 100, 1000], [0, 1, 3]
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


TREATMENTS = {
    "profile": ({}, {}),
    "marginal": ({"method": "marginal"}, {}),
    "fixed": ({"method": "fixed"}, {}),
    # the other ensemble: J_obs is given, the true J scatters around it
    "profile, J true drawn": ({}, {"log10_jfactor": "prior", "redraw_jfactor": False}),
    "fixed, J known": ({"method": "fixed"}, {"redraw_jfactor": False}),
}


def one_truth(castro, datasets, expectations, factor, truth, args):
    """Coverage by treatment at one truth."""
    signal = {"sigmav": truth, "mass": castro.masses[0], "channel": castro.channels[0]}
    out = {}
    for name, (stack, ensemble) in TREATMENTS.items():
        maker = SimulatedDatasetMaker(
            seed=2, expectations=expectations, **signal, **({"redraw_jfactor": True} | ensemble)
        )
        estimator = ExpectedLimitsEstimator(
            castro, maker, n_realisations=args.n, n_jobs=args.n_jobs, stack=stack
        )
        out[name] = coverage_of_limits(estimator, datasets, truth)
    out["toys, CLs+b"] = out["toys, CLs"] = np.nan if factor else 1.0
    if factor and args.toys:
        maker = SimulatedDatasetMaker(
            seed=2, expectations=expectations, **signal, redraw_jfactor=True
        )
        estimator = ExpectedLimitsEstimator(castro, maker, n_jobs=args.n_jobs)
        out["toys, CLs+b"], out["toys, CLs"] = coverage_of_toys(
            estimator, datasets, truth.to_value("cm3 s-1"), args.outer, args.toys
        )
    return out


def main(args):
    datasets, expectations = simulated_dwarfs(args.width)
    rows = []
    for mass in MASSES:
        castro = CastroEstimator([mass] * u.GeV, [args.channel])
        null = SimulatedDatasetMaker(seed=1, expectations=expectations, redraw_jfactor=True)
        start = ExpectedLimitsEstimator(castro, null, n_realisations=2000, n_jobs=args.n_jobs)
        median = start.sensitivity(datasets).quantity.item()
        for factor in FACTORS:
            truth = factor * median
            row = {"mass": mass, "factor": factor, "sigmav": truth.to_value("cm3 s-1")}
            row |= one_truth(castro, datasets, expectations, factor, truth, args)
            rows.append(row)
            if len(rows) == 1:
                print("| " + " | ".join(row) + " |\n|" + "---|" * len(row))
            cells = [f"{mass}", f"{factor}", f"{row['sigmav']:.2e}"]
            cells += [f"{100 * value:.1f}" for value in list(row.values())[3:]]
            print("| " + " | ".join(cells) + " |", flush=True)
    return rows


def draw(rows, args):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    signal = [row for row in rows if row["factor"]]
    labels = [f"{row['mass']} GeV\n{row['factor']} x limit" for row in signal]
    figure, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
    shown = {"profile": args.n, "profile, J true drawn": args.n, "fixed, J known": args.n}
    if args.toys:
        shown |= {"toys, CLs+b": args.outer, "toys, CLs": args.outer}
    coverage = {name: np.array([row[name] for row in signal]) for name in shown}
    errors = {name: [error(v, shown[name]) for v in values] for name, values in coverage.items()}
    plot_coverage(labels, coverage, errors, cl=0.95, ax=ax)
    handles, names = ax.get_legend_handles_labels()
    ax.get_legend().remove()
    figure.legend(handles, names, loc="outside upper center", ncols=3)
    ax.set_title("15 dwarfs, 95 % upper limits")
    path = Path(args.out) / "coverage.png"
    figure.savefig(path, dpi=100)
    print(f"\nwritten: {path}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--outer", type=int, default=1000, help="realisations for limits of toys")
    parser.add_argument("--toys", type=int, default=300, help="toys for each, 0 for none")
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--width", type=float, help="of all J-factors [dex]; that of the roster")
    parser.add_argument("--channel", default="b")
    parser.add_argument("--out", help="folder for the figure")
    arguments = parser.parse_args()
    table = main(arguments)
    if arguments.out:
        draw(table, arguments)
