"""Bands of expected limits: do they hold what they say, and does the Asimov median agree?

``python benchmarks/validation/bands.py [--repeats 10] [--out FOLDER]`` prints the tables of the
documentation and draws its figures.

Containment: bands are made of 1000 null realisations, and 500 others, of another seed, are counted
inside. Median: the Asimov data against the median of toys, for the stack as it is and for one with
30 and 1000 times its counts (signal and background), each for three ensembles:

fixed
    J is known.
not redrawn
    J is profiled, and every realisation has the J_obs of the catalogue.
redrawn
    J is profiled, and every realisation measures J_obs anew: the honest ensemble.
"""

import argparse
from copy import copy

import astropy.units as u
import numpy as np
from dwarfs import simulated_dwarfs
from reporting import markdown, save

from dmgammapy.estimators import CastroEstimator, ExpectedLimitsEstimator
from dmgammapy.makers import SEDExpectation, SimulatedDatasetMaker

MASSES = np.geomspace(10, 1e4, 7) * u.GeV
CHANNELS = ["b", "tau"]
ENSEMBLES = {
    "fixed": ({"method": "fixed"}, False),
    "not redrawn": ({"method": "profile"}, False),
    "redrawn": ({"method": "profile"}, True),
}
SCALES = (1, 30, 1000)
NARROW = 0.02  # dex
SEED_BANDS, SEED_TEST = 101, 202


def more_counts(expectations, factor):
    """Expectations of an exposure that is longer by a factor."""
    return {
        name: SEDExpectation(factor * item.background, factor * item.npred)
        for name, item in expectations.items()
    }


def estimator(expectations, ensemble, seed, masses=MASSES, channels=CHANNELS, n_jobs=1):
    """`ExpectedLimitsEstimator` of one of the ensembles."""
    stack, redraw = ENSEMBLES[ensemble]
    maker = SimulatedDatasetMaker(seed=seed, expectations=expectations, redraw_jfactor=redraw)
    castro = CastroEstimator(masses, channels)
    return ExpectedLimitsEstimator(castro, maker, stack=stack, n_jobs=n_jobs)


def limits(ensemble):
    """Limits of realisations or quantiles, shape (n, channel, mass); infinite beyond the grid."""
    values = ensemble.strength_ul.data[..., 0, 0]
    return np.where(np.isnan(values), np.inf, values)


def containment(null, test):
    """Share of ``test`` inside the 68 and 95 % bands of ``null``, each (channel, mass)."""
    bands, values = limits(null.quantiles()), limits(test)
    return tuple(
        ((values >= bands[low]) & (values <= bands[high])).mean(axis=0)
        for low, high in ((1, 3), (0, 4))
    )


def median_ratio(null, asimov):
    """Asimov over toy median, and the error of that from the number of toys; (channel, mass)."""
    n = null.geom.axes["realisation"].nbin
    low, median, high = limits(null.quantiles(0.5 + np.array([-0.5, 0, 0.5]) / np.sqrt(n)))
    expected = limits(asimov.expected_limits([0.5]))[0]
    return expected / median, 0.5 * (high - low) / median


def background_counts(estimator, datasets):
    """Background under the signal of the stack, shape (channel, mass).

    That of a single bin whose likelihood is as skew: sum(s^2 / b)^3 / sum(s^3 / b^2)^2 over bins
    and targets, since the slope of ln L at no signal, sum(s n / b) - sum(s), has the cumulants
    sum(s^2 / b) and sum(s^3 / b^2). It tells how far asymptotics can be trusted.
    """
    engine, _ = estimator._engine(datasets, None, 0)
    second, third = (
        sum(
            (member.profiles.signal**k / member.profiles.background ** (k - 1)).sum(axis=1)
            for member in engine.members
        )
        for k in (2, 3)
    )
    return (second**3 / third**2).reshape(engine.shape)


def show_containment(datasets, expectations, n_toys, n_test, repeats, n_jobs):
    print(f"## Containment: {n_toys} toys, {n_test} others, {repeats} times\n")
    rows = {}
    first = None
    for ensemble in ENSEMBLES:
        shares = []
        for k in range(repeats):
            work = estimator(expectations, ensemble, SEED_BANDS + k, n_jobs=n_jobs)
            null = work.simulate(datasets, realisations=range(n_toys))
            work.maker = copy(work.maker)
            work.maker.seed = SEED_TEST + k
            test = work.simulate(datasets, realisations=range(n_test))
            shares.append(containment(null, test))
            if ensemble == "redrawn" and first is None:
                first = null, test, work.asimov(datasets)
        shares = 100 * np.array(shares)  # (repeat, band, channel, mass)
        for i, (level, bar) in enumerate(((68, 4), (95, 2))):
            part = shares[:, i]
            cells = part.mean(axis=0)
            row = {
                "ensemble": ensemble,
                "band [%]": level,
                "first seeds: mean": part[0].mean(),
                "lowest": part[0].min(),
                "highest": part[0].max(),
                "all seeds: mean": part.mean(),
                "its error": part.mean(axis=(1, 2)).std(ddof=1) / np.sqrt(repeats)
                if repeats > 1
                else np.nan,
                "lowest cell": cells.min(),
                "highest cell": cells.max(),
                f"cells within the bar of {4} or {2}": np.mean(np.abs(part - level) <= bar),
            }
            for name, value in row.items():
                rows.setdefault(name, []).append(value)
    print(markdown(rows), flush=True)
    return first


def show_medians(n_toys, n_jobs):
    print(f"\n## Asimov over toy median, {n_toys} toys\n")
    curves, rows, background = {}, {}, {}
    for width in (None, NARROW):
        datasets, expectations = simulated_dwarfs(width)
        for scale in SCALES:
            scaled = more_counts(expectations, scale)
            for ensemble in ENSEMBLES:
                if width is not None and ensemble == "fixed":
                    continue
                work = estimator(scaled, ensemble, SEED_BANDS, n_jobs=n_jobs)
                null = work.simulate(datasets, realisations=range(n_toys))
                ratio, error = median_ratio(null, work.asimov(datasets))
                counts = background_counts(work, datasets)
                curves[width, scale, ensemble] = ratio, error
                background[scale] = counts
                for c, channel in enumerate(CHANNELS):
                    row = {
                        "J width": "roster" if width is None else f"{width} dex",
                        "counts": f"x {scale}",
                        "J": ensemble,
                        "channel": channel,
                        "mean": ratio[c].mean(),
                        "lowest": ratio[c].min(),
                        "highest": ratio[c].max(),
                        "error of one": error[c].mean(),
                        "within 3 % (of 7 masses)": f"{(abs(ratio[c] - 1) <= 0.03).sum()}",
                        "background counts": f"{counts[c].max():.3g} to {counts[c].min():.3g}",
                    }
                    for name, value in row.items():
                        rows.setdefault(name, []).append(value)
    print(markdown(rows))
    print("\nJ widths of the roster, and background counts under the signal, by mass:\n")
    columns = {"counts, J, channel": []} | {f"{m.value:.4g} GeV": [] for m in MASSES}
    for (width, scale, ensemble), (ratio, _) in curves.items():
        for c, channel in enumerate(CHANNELS if width is None else []):
            columns["counts, J, channel"].append(f"x {scale}, {ensemble}, {channel}")
            for m, mass in enumerate(MASSES):
                columns[f"{mass.value:.4g} GeV"].append(f"{ratio[c, m]:.3f}")
    for c, channel in enumerate(CHANNELS):
        columns["counts, J, channel"].append(f"background counts x 1, {channel}")
        for m, mass in enumerate(MASSES):
            columns[f"{mass.value:.4g} GeV"].append(f"{background[1][c, m]:.2g}")
    print(markdown(columns), flush=True)
    return curves


def draw_bands(null, test, asimov, out):
    import matplotlib.pyplot as plt

    from dmgammapy.visualization import plot_limit_panels

    unit = u.Unit("cm3 s-1")
    bands, observed = limits(null.quantiles()) * unit, limits(test)[0] * unit
    expected = limits(asimov.expected_limits([0.5]))[0]
    panels = {
        channel: {
            "masses": MASSES,
            "observed": observed[c],
            "median": bands[2, c],
            "band68": bands[[1, 3], c],
            "band95": bands[[0, 4], c],
        }
        for c, channel in enumerate(CHANNELS)
    }
    figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharex=True, sharey=True, layout="tight")
    plot_limit_panels(panels, axes, observed_label="One realisation", median_label="Median of toys")
    for c, ax in enumerate(axes):
        label = "Median, asymptotic"
        ax.plot(MASSES, expected[c], "x", color="0.35", markersize=6, label=label)
    axes[0].legend(loc="best", fontsize="small")
    save(figure, out, "bands")


def draw_medians(curves, out):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), sharex=True, sharey=True, layout="tight")
    for ax, ensemble in zip(axes, ENSEMBLES, strict=True):
        ax.axhspan(0.97, 1.03, color="0.9", zorder=0.5)
        ax.axhline(1, color="black", linewidth=1)
        for color, scale in zip(("0.0", "0.4", "0.65"), SCALES, strict=True):
            ratio, error = curves[None, scale, ensemble]
            for c, line in enumerate(("-", "--")):
                label = f"counts x {scale}, {CHANNELS[c]}"
                ax.errorbar(MASSES.value, ratio[c], error[c], color=color, ls=line, label=label)
        ax.set_xscale("log")
        ax.set_xlabel("Mass [GeV]")
        ax.set_title(f"J {ensemble}")
    axes[0].set_ylabel("Asymptotic / toy median limit")
    axes[0].legend(loc="best", fontsize="x-small")
    save(figure, out, "asimov_median")


def main(n_toys, n_test, repeats, n_median, n_jobs, out):
    datasets, expectations = simulated_dwarfs()
    first = show_containment(datasets, expectations, n_toys, n_test, repeats, n_jobs)
    curves = show_medians(n_median, n_jobs)
    if out is not None:
        draw_bands(*first, out)
        draw_medians(curves, out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--median", type=int, default=2000, help="toys of the medians")
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--out")
    args = parser.parse_args()
    main(args.n, args.test, args.repeats, args.median, args.n_jobs, args.out)
