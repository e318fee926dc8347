"""Injection and recovery: fits of a stack whose data hold a signal.

``python benchmarks/validation/injection.py [--n 1000] [--out FOLDER]`` prints the table of the
documentation and draws its figure. Every mass and channel has data of its own, with a signal whose
median TS is 25 (``--ts``).

The pull is the signed root of the profile at the truth above its minimum, which takes the place of
(fit - truth) / error; it needs no symmetric errors. Best fits of zero have no logarithm: the median
counts them, the mean leaves them out.
"""

import argparse

import astropy.units as u
import numpy as np
from bands import ENSEMBLES, estimator
from dwarfs import simulated_dwarfs
from reporting import markdown, save

from dmgammapy.estimators._ensembles import BLOCK, summarise
from dmgammapy.estimators.limit_toys import statistics_at
from dmgammapy.makers import random_stream

MASSES = np.geomspace(10, 5000, 6) * u.GeV
CHANNELS = ["b", "tau", "W"]
SEED = 404
TS = 25.0


def inject(work, datasets, strength, n):
    """Fits of data with a signal.

    Parameters
    ----------
    work : `~dmgammapy.estimators.ExpectedLimitsEstimator`
    datasets : list
    strength : array, shape (channel, mass)
        [cm3 s-1]; NaN where there is no information.
    n : int
        Number of realisations.

    Returns
    -------
    ratio, pull, ts : arrays, shape (n, channel, mass)
        Fitted over injected strength, signed root of the profile at the truth, TS.
    """
    engine, _ = work._engine(datasets, None, 0)
    truth = np.nan_to_num(strength).ravel()
    parts = []
    for block in range(-(-n // BLOCK)):
        numbers = range(block * BLOCK, (block + 1) * BLOCK)
        streams = [random_stream(SEED, "injection", m.name, block) for m in engine.members]
        total = engine.profiles(*engine.signal_counts(truth, numbers, streams))[1]
        fit = summarise(total, (BLOCK, *engine.shape), engine.cl)
        _, t = statistics_at(total, np.tile(truth, BLOCK))
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = fit["strength"] / strength
        pull = np.sign(ratio - 1) * np.sqrt(t.reshape(ratio.shape))
        parts.append((ratio, pull, fit["ts"]))
    return tuple(np.concatenate(values)[:n] for values in zip(*parts, strict=True))


def summary(ratio, pull):
    """Numbers of the table along the realisations, dict of arrays (channel, mass)."""
    n = len(ratio)
    with np.errstate(divide="ignore"):
        logs = np.log10(ratio)
    found = np.where(np.isfinite(logs), logs, np.nan)
    return {
        "median log10(fit / true)": np.median(logs, axis=0),
        "mean log10": np.nanmean(found, axis=0),
        "its error": np.nanstd(found, axis=0) / np.sqrt(n),
        "width log10": np.nanstd(found, axis=0),
        "mean fit / true - 1": np.mean(ratio, axis=0) - 1,
        "error": np.std(ratio, axis=0) / np.sqrt(n),
        "pull mean": np.mean(pull, axis=0),
        "pull width": np.std(pull, axis=0),
        "fits of zero": np.mean(ratio == 0, axis=0),
    }


def main(n, ts_injected, width, out):
    datasets, expectations = simulated_dwarfs(width)
    rows, results = [], {}
    for ensemble in ENSEMBLES:
        work = estimator(expectations, ensemble, SEED, MASSES, CHANNELS)
        strength = work.discovery_reach(datasets, ts_injected).data[..., 0, 0]
        ratio, pull, ts = inject(work, datasets, strength, n)
        known = np.isfinite(strength)
        numbers = {
            name: np.full(strength.shape, np.nan) for name in summary(ratio[:, :1, :1], pull)
        }
        for name, values in summary(ratio[:, known], pull[:, known]).items():
            numbers[name][known] = values
        results[ensemble] = numbers
        for c, channel in enumerate(CHANNELS):
            for m in np.flatnonzero(known[c]):
                row = {
                    "J": ensemble,
                    "channel": channel,
                    "mass": f"{MASSES[m].value:.4g} GeV",
                    "sigmav [cm3 s-1]": f"{strength[c, m]:.3g}",
                    "median TS": np.median(ts[:, c, m]),
                }
                row |= {name: f"{values[c, m]:.3f}" for name, values in numbers.items()}
                rows.append(row)
            lost = [f"{mass.value:.4g}" for mass in MASSES[~known[c]]]
            if lost:
                print(f"{channel}: no spectrum at {', '.join(lost)} GeV")
    print("\n" + markdown({name: [row[name] for row in rows] for name in rows[0]}))
    if out is not None:
        draw(results, out)


def draw(results, out):
    import matplotlib.pyplot as plt

    from dmgammapy.visualization import plot_bias_pull

    shape = {"sharex": True, "sharey": "row", "layout": "tight"}
    figure, axes = plt.subplots(2, len(results), figsize=(12, 6), **shape)
    names = ("mean fit / true - 1", "error", "pull mean", "pull width")
    for pair, (ensemble, numbers) in zip(axes.T, results.items(), strict=True):
        curves = {
            channel: tuple(numbers[name][c] for name in names) for c, channel in enumerate(CHANNELS)
        }
        plot_bias_pull(MASSES, curves, axes=pair)
        pair[0].set_title(f"J {ensemble}")
    for ax in axes[:, 1:].flat:
        ax.set_ylabel("")
    save(figure, out, "injection")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--ts", type=float, default=TS, help="median TS of the signal")
    parser.add_argument("--width", type=float, help="of all J-factors [dex]; default: the roster's")
    parser.add_argument("--out")
    args = parser.parse_args()
    main(args.n, args.ts, args.width, args.out)
