"""SED likelihoods with known expectations, for ensembles."""

import astropy.units as u
import numpy as np

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.makers import SEDExpectation
from dmgammapy.spectra import read_spectra
from dmgammapy.targets import Target

EDGES = np.array([1.0, 10.0, 100.0]) * u.GeV
REF_EFLUX = np.array([1e-9, 1e-9]) * u.Unit("GeV cm-2 s-1")


def make_sed(name, background, npred, log10_jfactor=19.0, width=None, process="annihilation"):
    """Data set with the counts expected, its expectation, and counts per sigmav of 100 GeV, b."""
    expectation = SEDExpectation(background, npred)
    n = len(background)
    norm, stat = expectation.scan(background, n_points=40, delta_stat_max=20)
    target = Target(
        name,
        log10_jfactor=log10_jfactor, log10_jfactor_err=width,
        log10_dfactor=log10_jfactor, log10_dfactor_err=width,
    )  # fmt: skip
    dataset = SEDLikelihoodDataset(
        EDGES[: n + 1], norm, stat, ref_eflux=REF_EFLUX[:n], name=name,
        models=target.to_models("100 GeV", "b", process=process),
    )  # fmt: skip
    return dataset, expectation


def counts_per_sigmav(npred, mass, channel, log10_jfactor=19.0):
    """Expected counts of sigmav = 1 cm3 s-1, from the formula of the flux."""
    n = len(npred)
    eflux = read_spectra("pppc4").integrate(
        EDGES[: n + 1], [mass] * u.GeV, [channel], norm_type="eflux"
    )  # fmt: skip
    eflux = np.squeeze(eflux.to_value("GeV"), axis=(0, 1))
    flux = 10**log10_jfactor / (8 * np.pi * mass**2) * eflux
    return np.asarray(npred) * flux / REF_EFLUX[:n].value
