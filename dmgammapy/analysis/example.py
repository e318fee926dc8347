"""Simulated likelihoods of 15 dwarf galaxies: the example that comes with the package.

``python -m dmgammapy.analysis.example FOLDER`` writes the files again.

Each energy bin is one Poisson counting experiment: the photons of a point source and of the
diffuse emission behind it, within the noise-equivalent area of the point-spread function.
"""

import argparse
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import QTable, vstack
from scipy.optimize import brentq

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.targets import Targets
from dmgammapy.utils import atomic_path

__all__ = ["EXAMPLE_FOLDER", "simulate_sed", "write_example"]

EXAMPLE_FOLDER = Path(__file__).resolve().parents[1] / "data" / "example"
"""Folder of the bundled example."""

ROSTER = "ackermann2015_dsphs"
SEED = 20150309
YEARS = 6.0
EDGES = np.geomspace(500.0, 500_000.0, 25)  # MeV
N_POINTS = 40
LAST_DROP = 2.7  # of ln L at the last point of a scan, as fermipy's scans have it
REF_DNDE = 1e-13  # MeV-1 cm-2 s-1 at 1 GeV, index 2

# P8R3_SOURCE_V3, FRONT+BACK: energy [MeV], exposure of a year [cm2 s], 68 % containment [deg]
RESPONSE = np.array(
    [
        (1.00e2, 1.32e10, 5.13),
        (3.16e2, 2.82e10, 2.07),
        (1.00e3, 3.99e10, 0.781),
        (3.16e3, 4.43e10, 0.313),
        (1.00e4, 4.38e10, 0.152),
        (3.16e4, 4.43e10, 0.103),
        (1.00e5, 4.43e10, 0.097),
        (3.16e5, 4.38e10, 0.094),
        (1.00e6, 3.85e10, 0.082),
    ]
)
# Diffuse emission, E^2 dN/dE [MeV cm-2 s-1 sr-1]: isotropic (with residual cosmic rays), and
# Galactic times sin|b|; read off iso_P8R3_SOURCE_V3_v1 and gll_iem_v07 at |b| > 20 deg.
DIFFUSE = np.array(
    [
        (5.0e2, 8.5e-4, 8.5e-4),
        (1.0e3, 6.5e-4, 8.0e-4),
        (3.0e3, 4.4e-4, 5.0e-4),
        (1.0e4, 3.7e-4, 2.4e-4),
        (5.0e4, 2.3e-4, 9.0e-5),
        (2.0e5, 1.4e-4, 4.0e-5),
        (5.0e5, 1.4e-4, 2.0e-5),
    ]
)


def _log_interpolate(energy, table, column):
    return np.exp(np.interp(np.log(energy), np.log(table[:, 0]), np.log(table[:, column])))


def _bin_integral(function, n=64):
    """Integral of a function of energy over each bin: Gauss-Legendre in log E."""
    x, weights = np.polynomial.legendre.leggauss(n)
    low, high = np.log(EDGES[:-1, None]), np.log(EDGES[1:, None])
    energy = np.exp(0.5 * (high + low) + 0.5 * (high - low) * x)
    return 0.5 * (high - low)[:, 0] * ((function(energy) * energy) @ weights)


def exposure(energy):
    """Exposure [cm2 s] at energies in MeV."""
    return YEARS * _log_interpolate(energy, RESPONSE, 1)


def psf_area(energy):
    """Noise-equivalent area of the point-spread function [sr], 4 pi sigma^2 of a Gaussian."""
    sigma = np.deg2rad(_log_interpolate(energy, RESPONSE, 2)) / np.sqrt(-2 * np.log(1 - 0.68))
    return 4 * np.pi * sigma**2


def expected_background(latitude_deg):
    """Counts of the diffuse emission under a point source at this latitude, shape (n_bins,)."""
    csc_b = 1 / abs(np.sin(np.deg2rad(latitude_deg)))

    def rate(energy):
        intensity = _log_interpolate(energy, DIFFUSE, 1)
        intensity += csc_b * _log_interpolate(energy, DIFFUSE, 2)
        return intensity / energy**2 * exposure(energy) * psf_area(energy)

    return _bin_integral(rate)


def _scan(background, npred, counts):
    """Norms of one bin up to a drop of ``LAST_DROP`` in ln L, and ln L there."""

    def loglike(norm):
        mu = background + norm * npred
        return counts * np.log(mu) - mu

    best = max(0.0, (counts - background) / npred)
    top = loglike(best)

    def excess(norm):
        return top - loglike(norm) - LAST_DROP

    high = best + (LAST_DROP + 1) / npred
    while excess(high) < 0:
        high = best + 2 * (high - best)
    last = brentq(excess, best, high, xtol=1e-300, rtol=1e-12)
    norms = np.linspace(0, last, N_POINTS)
    return norms, loglike(norms) - top, top


def simulate_sed(target, random):
    """Simulate the likelihood of one target without a signal.

    Parameters
    ----------
    target : `~dmgammapy.targets.Target`
        Its Galactic latitude scales the background.
    random : `~numpy.random.Generator`

    Returns
    -------
    dataset : `~dmgammapy.datasets.SEDLikelihoodDataset`
    truth : `~astropy.table.QTable`
        One row per energy bin: expected ``background``, counts ``npred`` of norm 1, drawn
        ``counts``.

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.analysis.example import simulate_sed
    >>> from dmgammapy.targets import Targets
    >>> draco = Targets.read_roster("ackermann2015_dsphs")["draco"]
    >>> dataset, truth = simulate_sed(draco, np.random.default_rng(1))
    >>> dataset.n_bins, round(float(truth["background"].sum()))
    (24, 1146)
    """
    background = expected_background(target.position.galactic.b.deg)
    reference = REF_DNDE * 1e6  # MeV cm-2 s-1: E^2 dN/dE of norm 1
    npred = _bin_integral(lambda energy: reference / energy**2 * exposure(energy))
    counts = random.poisson(background)
    rows = [_scan(*values) for values in zip(background, npred, counts, strict=True)]
    norm_scan, dloglike, loglike = (np.array(column) for column in zip(*rows, strict=True))
    energy_ref = np.sqrt(EDGES[:-1] * EDGES[1:])
    dataset = SEDLikelihoodDataset(
        EDGES * u.MeV,
        norm_scan,
        -2 * dloglike,
        ref_dnde=reference / energy_ref**2 * u.Unit("MeV-1 cm-2 s-1"),
        ref_flux=reference * (1 / EDGES[:-1] - 1 / EDGES[1:]) * u.Unit("cm-2 s-1"),
        ref_eflux=reference * np.log(EDGES[1:] / EDGES[:-1]) * u.Unit("MeV cm-2 s-1"),
        ref_npred=npred,
        stat=-2 * loglike,
        name=target.name,
        instrument="fermi-lat",
        meta={"simulation": "dmgammapy.analysis.example", "sigmav": 0, "years": YEARS},
    )
    truth = QTable()
    truth["target"] = [target.name] * len(counts)
    truth["e_min"], truth["e_max"] = EDGES[:-1] * u.MeV, EDGES[1:] * u.MeV
    truth["background"], truth["npred"], truth["counts"] = background, npred, counts
    return dataset, truth


def write_example(folder, seed=SEED, overwrite=False):
    """Write ``sed_<target>.fits`` of all targets, and ``truth.ecsv`` with what they are made of.

    Every target has its own random stream, so that the files depend on the seed alone.

    Parameters
    ----------
    folder : str or `~pathlib.Path`
    seed : int
        Default is that of the bundled files.
    overwrite : bool
        Replace existing files. Default is False.
    """
    folder = Path(folder)
    targets = Targets.read_roster(ROSTER)
    streams = np.random.SeedSequence(seed).spawn(len(targets))
    truths = []
    for target, stream in zip(targets, streams, strict=True):
        dataset, truth = simulate_sed(target, np.random.default_rng(stream))
        path = folder / f"sed_{target.name}.fits"
        dataset.write(path, format="fermipy", overwrite=overwrite)
        truths.append(truth)
    table = vstack(truths)
    table.meta = {"seed": seed, "years": YEARS, "roster": ROSTER, "sigmav": 0.0}
    with atomic_path(folder / "truth.ecsv", overwrite) as path:
        table.write(path, format="ascii.ecsv")


def main():
    """Write the example from the command line."""
    parser = argparse.ArgumentParser(description=write_example.__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--overwrite", action="store_true")
    arguments = parser.parse_args()
    write_example(arguments.folder, overwrite=arguments.overwrite)


if __name__ == "__main__":
    main()
