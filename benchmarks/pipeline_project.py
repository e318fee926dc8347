"""Projects to measure the pipeline with: SED files of simulated targets, roster, configuration."""

import astropy.units as u
import numpy as np
from astropy.table import QTable, vstack
from golden import poisson_scans

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.targets import Target, Targets

# those of the golden set, and enough of another table for the plan on paper
GOLDEN_CHANNELS = ["e", "mu", "tau", "b", "t", "g", "W", "Z", "c", "u", "d", "s"]
CHANNELS = [
    "e", "mu", "tau", "q", "c", "b", "t", "W", "Z", "g", "gamma", "h", "nu_e", "nu_mu", "nu_tau",
    "V->e", "V->mu", "V->tau", "eL", "eR", "muL", "muR", "tauL", "tauR", "WL", "WT", "ZL", "ZT",
    {"b": 0.5, "tau": 0.5}, {"b": 0.5, "W": 0.5},
]  # fmt: skip
N_POISSON = 40  # of the golden targets, the others are Gaussian


def write_project(folder, golden, n_targets, seed=1):
    """Write SED files of ``n_targets`` targets, copies of the golden ones, with no signal.

    Parameters
    ----------
    folder : `~pathlib.Path`
    golden : `~pathlib.Path`
        The folder ``golden`` of the reference data.
    n_targets : int
    seed : int
        Default is 1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with np.load(golden / "truth.npz") as data:
        truth = dict(data)
    rng = np.random.default_rng(seed)
    edges = np.append(truth["emin"], truth["emax"][-1]) * u.MeV
    targets, expected = [], []
    for i in range(n_targets):
        t = i % N_POISSON
        name = f"target_{i:04d}"
        signal, background = truth["ref_npred"][t], truth["bkg"][t]
        norm, stat = poisson_scans(signal, background, rng.poisson(background))
        SEDLikelihoodDataset(
            edges, norm, stat,
            ref_eflux=truth["ref_eflux"] * u.Unit("MeV cm-2 s-1"),
            ref_flux=truth["ref_flux"] * u.Unit("cm-2 s-1"),
            ref_dnde=truth["ref_dnde"] * u.Unit("MeV-1 cm-2 s-1"),
            ref_npred=signal, name=name,
        ).write(folder / f"sed_{name}.fits", format="fermipy", overwrite=True)  # fmt: skip
        targets.append(
            Target(
                name=name,
                log10_jfactor=float(truth["log10J_obs"][t]),
                log10_jfactor_err=float(truth["sigma_log10J"][t]),
            )
        )
        table = QTable({"background": background, "npred": signal})
        table.add_column([name] * len(table), name="target", index=0)
        expected.append(table)
    Targets(targets).write(folder / "targets.ecsv", overwrite=True)
    vstack(expected).write(folder / "truth.ecsv", overwrite=True)


def configuration(n_channels, n_masses, n, jfactor="profile", instruments=1):
    """Configuration of a project as a dict.

    Parameters
    ----------
    n_channels, n_masses : int
    n : int
        Realisations of a simulation without signal.
    jfactor : str or list of str
        Treatments. Default is "profile".
    instruments : int
        The same files stand for each of them. Default is 1.
    """
    path = "sed_{target}.fits"
    return {
        "targets": "targets.ecsv",
        "datasets": path if instruments == 1 else {f"i{k}": path for k in range(instruments)},
        "spectra": "dmfit" if n_channels <= len(GOLDEN_CHANNELS) else "pppc4",
        "channels": (GOLDEN_CHANNELS if n_channels <= len(GOLDEN_CHANNELS) else CHANNELS)[
            :n_channels
        ],
        "masses": {"min": "10 GeV", "max": "10 TeV", "n": n_masses},
        "jfactor": {"method": jfactor},
        "simulations": {"null": {"n": n, "expectations": "truth.ecsv"}} if n else {},
        "plots": False,
        "report": False,
    }
