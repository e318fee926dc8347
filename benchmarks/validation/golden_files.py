"""One null realisation of the 45 golden targets, in memory and through files: equal bit for bit?

``python benchmarks/validation/golden_files.py DATA [--realisation 0]`` with the folder ``golden``
of the reference data. Likelihoods are simulated with J_obs drawn anew, analysed, written (each
layout that keeps scans), read, given models of the targets that went through a file, too, and
analysed again. No model is kept in between.

The first 40 targets are Poisson counts of a known expectation; that of the last 5, which are
Gaussian, is read off their parabolas.
"""

import argparse
import tempfile
from pathlib import Path

import astropy.units as u
import numpy as np
from reporting import markdown

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import CastroEstimator, StackedDMLikelihood
from dmgammapy.makers import SEDExpectation, SimulatedDatasetMaker
from dmgammapy.targets import Target, Targets

LAYOUTS = {
    "fermipy": {"format": "fermipy"},
    "fermipy, upper case": {"format": "fermipy", "layout": "upper"},
}
QUANTITIES = ("norm", "norm_ul", "ts", "status", "stat_scan")
SEED = 505


def golden_datasets(folder, numbers=range(45)):
    """Datasets and expectations of golden targets, null."""
    with np.load(folder / "truth.npz") as data:
        truth = dict(data)
    datasets, expectations = [], {}
    for t in numbers:
        target = Target(
            name=f"target_{t:02d}",
            log10_jfactor=float(truth["log10J_obs"][t]),
            log10_jfactor_err=float(truth["sigma_log10J"][t]),
        )
        path = folder / "sed" / f"sed_{target.name}_point_null.fits"
        models = target.to_models("100 GeV", "b")
        dataset = SEDLikelihoodDataset.read(path, models=models, interpolation="poisson")
        if truth["kind"][t] == "poisson":
            expectation = SEDExpectation(truth["bkg"][t], truth["ref_npred"][t])
        else:
            expectation = SEDExpectation.from_dataset(dataset)
        datasets.append(dataset)
        expectations[target.name] = expectation
    return datasets, expectations, truth


def estimator(folder, truth, masses=slice(None), channels=slice(None)):
    """`CastroEstimator` with the spectra of the golden set."""
    names = [str(channel) for channel in truth["channels"][channels]]
    spectra = folder / "dm_spectra.fits"
    return CastroEstimator(truth["masses"][masses] * u.GeV, names, spectra=spectra)


def through_files(datasets, folder, **layout):
    """Write likelihoods and targets, forget them, and read both."""
    targets, paths = [], []
    for dataset in datasets:
        prior = dataset.models[0].spectral_model.jfactor_prior
        targets.append(
            Target(
                name=dataset.models[0].name,
                log10_jfactor=prior.log10_jfactor,
                log10_jfactor_err=prior.err_high,
            )
        )
        paths.append(folder / f"sed_{targets[-1].name}.fits")
        dataset.write(paths[-1], **layout)
    Targets(targets).write(folder / "targets.ecsv")
    return [
        SEDLikelihoodDataset.read(
            path, models=target.to_models("100 GeV", "b"), interpolation=dataset.interpolation
        )
        for path, target, dataset in zip(
            paths, Targets.read(folder / "targets.ecsv"), datasets, strict=True
        )
    ]


def analyse(castro_estimator, datasets):
    """Castro results of the targets and, last, of the stack with J profiled."""
    castros = castro_estimator.run(datasets)
    return [*castros, StackedDMLikelihood(castros).run()]


def largest_difference(one, two):
    """By quantity: whether equal bit for bit, and the largest relative difference."""
    out = {}
    for name in QUANTITIES:
        equal, worst = True, 0.0
        for a, b in zip(one, two, strict=True):
            a, b = a[name].data, b[name].data
            equal &= np.array_equal(a, b, equal_nan=True)
            with np.errstate(invalid="ignore", divide="ignore"):
                worst = max(worst, np.nanmax(np.where(a == b, 0.0, np.abs(b / a - 1)), initial=0))
        out[name] = equal, worst
    return out


def main(folder, realisation):
    datasets, expectations, truth = golden_datasets(folder)
    gaussian = [d for d, kind in zip(datasets, truth["kind"], strict=True) if kind == "gauss"]
    width = np.array(
        [
            np.sqrt(e.background) / e.npred
            for e in (expectations[d.models[0].name] for d in gaussian)
        ]
    )
    error = np.abs(width / truth["gs_null"][truth["kind"] == "gauss"] - 1).max()
    print(
        f"{len(gaussian)} Gaussian targets: width from the scans within {error:.1e} of the true\n"
    )
    simulated = SimulatedDatasetMaker(SEED, expectations=expectations, redraw_jfactor=True).run(
        datasets, realisation
    )
    castro = estimator(folder, truth)
    direct = analyse(castro, simulated)
    rows = {"layout": []} | {name: [] for name in QUANTITIES}
    for label, layout in LAYOUTS.items():
        with tempfile.TemporaryDirectory() as temporary:
            read = through_files(simulated, Path(temporary), **layout)
        rows["layout"].append(label)
        for name, (equal, worst) in largest_difference(direct, analyse(castro, read)).items():
            rows[name].append("equal" if equal else f"differ by {worst:.1e}")
    shape = direct[-1]["ts"].data.shape[:2]
    print(f"{len(datasets)} targets and their stack, {shape[0]} channels x {shape[1]} masses:\n")
    print(markdown(rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--realisation", type=int, default=0)
    args = parser.parse_args()
    main(args.data, args.realisation)
