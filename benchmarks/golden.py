"""The 45 golden targets as datasets: read from files, or simulated anew in memory."""

from functools import lru_cache

import astropy.units as u
import numpy as np

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import CastroEstimator, StackedDMLikelihood
from dmgammapy.targets import Target

N_POINTS = 60
DROP = 2.7059  # of ln L at the last scan point


class Golden:
    """Reference data, estimator and models of the golden set.

    Parameters
    ----------
    folder : `~pathlib.Path`
        The folder ``golden`` of the reference data.
    """

    def __init__(self, folder, n_jobs=1, interpolation="poisson"):
        self.folder = folder
        self.interpolation = interpolation
        with np.load(folder / "truth.npz") as data:
            self.truth = dict(data)
        self.n_targets = len(self.truth["kind"])
        self.targets = [
            Target(
                name=f"target_{t:02d}",
                log10_jfactor=float(self.truth["log10J_obs"][t]),
                log10_jfactor_err=float(self.truth["sigma_log10J"][t]),
            )
            for t in range(self.n_targets)
        ]
        self.models = [t.to_models("100 GeV", "b") for t in self.targets]
        self.estimator = CastroEstimator(
            self.truth["masses"] * u.GeV,
            [str(c) for c in self.truth["channels"]],
            spectra=folder / "dm_spectra.fits",
            n_jobs=n_jobs,
        )
        self.n_jobs = n_jobs
        self.edges = np.append(self.truth["emin"], self.truth["emax"][-1]) * u.MeV
        self.ref_eflux = self.truth["ref_eflux"] * u.Unit("MeV cm-2 s-1")

    def read(self, scenario="null"):
        """Datasets from the files."""
        return [
            SEDLikelihoodDataset.read(
                self.folder / "sed" / f"sed_{target.name}_point_{scenario}.fits",
                models=models,
                interpolation=self.interpolation,
            )
            for target, models in zip(self.targets, self.models, strict=True)
        ]

    def simulate(self, rng, n_targets=None):
        """A null realisation in memory, of any number of targets (the 45 over and over)."""
        out = []
        n_targets = n_targets or self.n_targets
        for i in range(n_targets):
            t = i % 40  # the first 40 are Poisson
            signal, background = self.truth["ref_npred"][t], self.truth["bkg"][t]
            norm, stat = poisson_scans(signal, background, rng.poisson(background))
            target = self.targets[t]
            models = self.models[t]
            if i >= self.n_targets:
                target = Target(
                    name=f"copy_{i}",
                    log10_jfactor=target.log10_jfactor,
                    log10_jfactor_err=target.log10_jfactor_err,
                )
                models = target.to_models("100 GeV", "b")
            elif i != t:
                models = self.models[i]
            out.append(
                SEDLikelihoodDataset(
                    self.edges,
                    norm,
                    stat,
                    ref_eflux=self.ref_eflux,
                    name=f"sed {i}",
                    models=models,
                    interpolation=self.interpolation,
                )  # fmt: skip
            )
        return out

    def limits(self, datasets, method="profile"):
        """The main job: convert, profile J, stack, limits."""
        castros = self.estimator.run(datasets)
        return StackedDMLikelihood(castros, method=method, n_jobs=self.n_jobs).run()


def poisson_scans(signal, background, counts):
    """Scans of every bin from zero to a drop of `DROP` in ln L, vectorised.

    Returns
    -------
    norm, stat : arrays, shape (n_bins, N_POINTS)
    """

    def rise(x):
        mu = background + signal * x
        best = np.maximum(counts - background, 0.0)
        at = background + best
        return (mu - counts * np.log(mu)) - (at - counts * np.log(at))

    low = np.maximum(counts - background, 0.0) / signal
    high = low + (DROP + np.sqrt(2 * DROP * (counts + 1)) + 5 * DROP) / signal
    for _ in range(50):
        mid = 0.5 * (low + high)
        inside = rise(mid) < DROP
        low, high = np.where(inside, mid, low), np.where(inside, high, mid)
    norm = high[:, None] * np.linspace(0, 1, N_POINTS)
    mu = background[:, None] + signal[:, None] * norm
    stat = 2 * (mu - counts[:, None] * np.log(mu))
    return norm, stat - stat.min(axis=1, keepdims=True)


@lru_cache(maxsize=1)
def golden_in_process(folder):
    return Golden(folder / "golden")


def realise(folder, seed, n):
    """Simulate and analyse ``n`` null realisations."""
    golden = golden_in_process(folder)
    rng = np.random.default_rng(seed)
    return [golden.limits(golden.simulate(rng)).sigmav_ul.data for _ in range(n)]
