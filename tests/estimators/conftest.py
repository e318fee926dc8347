"""Inputs with a known answer."""

import astropy.units as u
import numpy as np
import pytest

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.targets import Target

EDGES = np.geomspace(0.5, 500, 13) * u.GeV


class Counts:
    """Poisson counts of one target: flux to counts and likelihood in closed form."""

    def __init__(self, seed, n_signal=0.0, n_bins=12, exposure=3e11):
        rng = np.random.default_rng(seed)
        self.edges = EDGES
        self.exposure = exposure  # cm2 s
        center = np.sqrt(EDGES[1:] * EDGES[:-1]).value
        self.ref_eflux = np.full(n_bins, 1e-9)  # GeV cm-2 s-1 per bin
        # counts per unit norm, as if all photons had the central energy
        self.signal = self.ref_eflux / center * exposure
        self.background = 40.0 * (center / 0.6) ** -1.4
        self.counts = rng.poisson(self.background + n_signal * self.signal)

    def stat(self, norm):
        """-2 ln L per bin, ``norm`` (n_bins, ...)."""
        signal = self.signal.reshape(-1, *[1] * (np.ndim(norm) - 1))
        mu = self.background.reshape(signal.shape) + signal * norm
        return 2 * (mu - self.counts.reshape(signal.shape) * np.log(mu))

    def dataset(self, target, channel="b", n_points=40, drop=5.4, **kwargs):
        """The same as scans, each to where stat has risen by ``drop``."""
        norm = np.zeros((len(self.signal), n_points))
        for b, (s, bkg, n) in enumerate(
            zip(self.signal, self.background, self.counts, strict=True)
        ):
            grid = np.linspace(0, (max(n - bkg, 0) + 6 * np.sqrt(n + 1) + 6) / s, 4000)
            stat = 2 * (bkg + s * grid - n * np.log(bkg + s * grid))
            above = np.flatnonzero((stat - stat.min() > drop) & (grid > grid[stat.argmin()]))
            norm[b] = np.linspace(0, grid[above[0]], n_points)
        stat = self.stat(norm)
        return SEDLikelihoodDataset(
            self.edges, norm, stat - stat.min(axis=1, keepdims=True),
            ref_eflux=self.ref_eflux * u.Unit("GeV cm-2 s-1"), name=f"sed-{target.name}",
            models=target.to_models(mass="100 GeV", channel=channel, **kwargs),
        )  # fmt: skip


@pytest.fixture
def make_counts():
    """`Counts` by seed."""
    return Counts


@pytest.fixture
def make_target():
    """A target by name."""

    def make(name="draco", log10_jfactor=18.8, log10_jfactor_err=0.25):
        return Target(name=name, log10_jfactor=log10_jfactor, log10_jfactor_err=log10_jfactor_err)

    return make
