"""TS of targets and of a stack without a signal, against half of chi2 with one degree of freedom.

``python benchmarks/validation/null_ts.py [--n 2000] [--out FOLDER]`` prints the table of the
documentation and draws its figure.

Of a strength that may not be negative half of the null realisations have TS = 0, and the rest
follow chi2_1, if counts are many (Chernoff 1954, Ann. Math. Stat. 25, 573). Compared above TS = 1:
the share of realisations there with 0.1587 (binomial), and the shape of the rest (KS).
"""

import argparse

import astropy.units as u
from bands import ENSEMBLES, NARROW, background_counts, estimator, more_counts
from dwarfs import simulated_dwarfs
from reporting import markdown, save
from scipy.stats import binomtest, chi2, kstest

MASSES = [10, 100, 1000] * u.GeV
TARGETS = ["draco", "segue_1"]
SEED = 303
FROM = 1.0


def truncated(ts):
    """Cumulative distribution of chi2_1 above `FROM`."""
    return 1 - chi2.sf(ts, 1) / chi2.sf(FROM, 1)


def compare(ts):
    """Share above `FROM`, its binomial p-value, and the KS p-value of the shape above it."""
    above = ts > FROM
    p_share = binomtest(int(above.sum()), len(ts), 0.5 * chi2.sf(FROM, 1)).pvalue
    return above.mean(), p_share, kstest(ts[above], truncated).pvalue


def samples(datasets, expectations, n, n_jobs=1, targets=TARGETS, ensembles=ENSEMBLES):
    """TS (realisation, mass) by name, of targets and of the stack in each ensemble."""
    out = {}
    for ensemble in ensembles:
        work = estimator(expectations, ensemble, SEED, MASSES, ["b"], n_jobs)
        first = not out
        found = work.simulate(datasets, realisations=range(n), per_target=first)
        stack = found["stack"] if first else found
        if first:  # J does not change the TS of one target
            out |= {name: found[name]["ts"].data[:, 0, :, 0, 0] for name in targets}
        out[f"stack, J {ensemble}"] = stack["ts"].data[:, 0, :, 0, 0]
    return out


def table(ts, label):
    rows = []
    for name, values in ts.items():
        for m, mass in enumerate(MASSES):
            share, p_share, p_shape = compare(values[:, m])
            rows.append(
                {
                    "counts": label,
                    "TS of": name,
                    "mass": f"{mass:.0f}",
                    "share with TS > 1": share,
                    "expected": 0.5 * chi2.sf(FROM, 1),
                    "p (share)": p_share,
                    "p (KS)": p_shape,
                    "mean TS": values[:, m].mean(),
                    "largest": values[:, m].max(),
                }
            )
    return rows


def draw(ts, out):
    import matplotlib.pyplot as plt

    from dmgammapy.visualization import plot_ts_cumulative

    names = [*TARGETS, "stack, J fixed", "stack, J redrawn"]
    figure, axes = plt.subplots(1, 3, figsize=(12, 4), sharey=True, layout="tight")
    for m, (ax, mass) in enumerate(zip(axes, MASSES, strict=True)):
        plot_ts_cumulative({name: ts[name][:, m] for name in names}, ax=ax)
        ax.set_title(f"b, {mass:.0f}")
        ax.legend(loc="best", fontsize="x-small")
    for ax in axes[1:]:
        ax.set_ylabel("")
    save(figure, out, "null_ts")


def main(n, n_jobs, out):
    datasets, expectations = simulated_dwarfs()
    rows = []
    for scale in (1, 1000):
        scaled = more_counts(expectations, scale)
        ts = samples(datasets, scaled, n, n_jobs)
        rows += table(ts, f"x {scale}")
        if scale == 1 and out is not None:
            draw(ts, out)
        for name in TARGETS:
            own = [dataset for dataset in datasets if dataset.name == name]
            counts = background_counts(estimator(scaled, "fixed", SEED, MASSES, ["b"]), own)[0]
            text = ", ".join(f"{count:.2g}" for count in counts)
            print(f"background counts under the signal, {name}, x {scale}: {text}")
    datasets, expectations = simulated_dwarfs(NARROW)
    ts = samples(datasets, more_counts(expectations, 1000), n, n_jobs, [], ["redrawn"])
    rows += table({f"{name}, J widths {NARROW} dex": v for name, v in ts.items()}, "x 1000")
    print("\n" + markdown({name: [row[name] for row in rows] for name in rows[0]}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--out")
    args = parser.parse_args()
    main(args.n, args.n_jobs, args.out)
