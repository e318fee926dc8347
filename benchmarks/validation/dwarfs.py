"""The 15 simulated dwarf galaxies of the validation: SED likelihoods with known expectations."""

import numpy as np

from dmgammapy.analysis.example import simulate_sed
from dmgammapy.makers import SEDExpectation
from dmgammapy.targets import Targets

__all__ = ["simulated_dwarfs"]


def simulated_dwarfs(width=None):
    """Data sets and what is expected of them.

    Parameters
    ----------
    width : float, optional
        Width of all J-factors [dex]. Default is that of each target in the roster of Ackermann et
        al. 2015, 0.16 to 0.31 dex.

    Returns
    -------
    datasets : list of `~dmgammapy.datasets.SEDLikelihoodDataset`
    expectations : dict of `~dmgammapy.makers.SEDExpectation`
    """
    datasets, expectations = [], {}
    for i, target in enumerate(Targets.read_roster("ackermann2015_dsphs")):
        if width is not None:
            target = target.copy(log10_jfactor_err=width)
        dataset, truth = simulate_sed(target, np.random.default_rng(i))
        dataset.models = target.to_models("100 GeV", "b")
        datasets.append(dataset)
        expectations[target.name] = SEDExpectation(truth["background"], truth["npred"])
    return datasets, expectations
