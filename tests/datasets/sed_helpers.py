"""A small SED likelihood whose answer is known: Poisson counts over a known background."""

import astropy.units as u
import numpy as np

from dmgammapy.datasets import SEDLikelihoodDataset

COUNTS = np.array([12.0, 3.0, 0.0, 1.0])
BACKGROUND = np.array([8.0, 3.5, 1.5, 0.2])
SIGNAL = np.array([4.0, 2.0, 1.0, 0.5])  # counts of norm 1
EDGES = np.array([1000.0, 3000.0, 9000.0, 27000.0, 81000.0])  # MeV
AMPLITUDE = 1e-12  # of the reference E^-2 power law at 1 GeV, MeV-1 cm-2 s-1


def poisson_stat(norm):
    """-2 ln L of each bin, up to a constant; norm of shape (4,) or (4, n)."""
    shape = (-1,) + (1,) * (np.ndim(norm) - 1)
    mu = BACKGROUND.reshape(shape) + SIGNAL.reshape(shape) * norm
    return 2 * (mu - COUNTS.reshape(shape) * np.log(mu))


def poisson_best():
    """Best norms, not below 0."""
    return np.maximum((COUNTS - BACKGROUND) / SIGNAL, 0)


def references():
    """Energy flux, flux and differential flux of an E^-2 power law in each bin."""
    low, high = EDGES[:-1], EDGES[1:]
    scale = AMPLITUDE * 1000.0**2
    return {
        "ref_eflux": scale * np.log(high / low) * u.Unit("MeV cm-2 s-1"),
        "ref_flux": scale * (1 / low - 1 / high) * u.Unit("cm-2 s-1"),
        "ref_dnde": scale / (low * high) * u.Unit("MeV-1 cm-2 s-1"),
    }


def poisson_scan(n_points=30):
    """Norms and -2 ln L relative to the minimum, each of shape (4, n_points)."""
    top = 1.5 * (poisson_best() + 5 / SIGNAL)
    norm = top[:, np.newaxis] * np.linspace(0, 1, n_points) ** 1.5
    lowest = poisson_stat(poisson_best())
    return norm, poisson_stat(norm) - lowest[:, np.newaxis]


def poisson_dataset(name="poisson", n_points=30, **kwargs):
    """Dataset of the likelihood above."""
    norm, stat = poisson_scan(n_points)
    fields = {**references(), "stat": poisson_stat(poisson_best()), "instrument": "toy"}
    return SEDLikelihoodDataset(EDGES * u.MeV, norm, stat, name=name, **(fields | kwargs))
