"""How observed J-factors of instruments scatter in simulations."""

import numpy as np
from scipy.special import ndtri

from dmgammapy.makers import random_stream

__all__ = ["JFactorScatter"]


class JFactorScatter:
    """Observed J of each instrument, from the draws of its target.

    The maker draws one quantile for a target. What an instrument has of its own, by
    ``extra_widths`` or as its prior is wider than the one shared, scatters independently.

    Parameters
    ----------
    maker : `~dmgammapy.makers.SimulatedDatasetMaker`
    stack : `StackedDMLikelihood`
        Which knows the shared and the independent priors.
    """

    def __init__(self, maker, stack):
        self.seed = maker.seed
        self.parts = {}
        if not maker.redraw_jfactor or stack.method == "fixed":
            return
        for target, (shared, extra) in stack._treatments.items():
            for instrument, prior in extra.items():
                own = stack.priors[target][instrument]
                ratio = (1.0, 1.0)
                if own is not None and not stack.extra_widths[target]:  # split between both
                    ratio = (shared.err_low / own.err_low, shared.err_high / own.err_high)
                self.parts[target, instrument] = ratio, prior

    def observed(self, target, instrument, true, observed, realisations):
        """Observed log10 of J.

        Parameters
        ----------
        target, instrument : str
        true, observed : array, shape (n_real,)
            As the maker draws them.
        realisations : list of int

        Returns
        -------
        observed : array, shape (n_real,)
        """
        if (target, instrument) not in self.parts:
            return observed
        (low, high), prior = self.parts[target, instrument]
        normal = ndtri(
            [
                random_stream(self.seed, "extra width", target, str(instrument), i).random()
                for i in realisations
            ]
        )
        # y = log10(J_true / J_obs): positive shifts of it belong to err_high
        y = np.asarray(true) - observed
        own = normal * np.where(normal < 0, prior.err_low, prior.err_high)
        return true - y * np.where(y < 0, low, high) - own
