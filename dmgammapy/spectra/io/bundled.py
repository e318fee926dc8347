"""The two tables that come with the package, see the README beside them."""

from importlib.resources import files

import numpy as np

from ..tables import TableSpectra
from .pppc4 import REFERENCE as PPPC4_REFERENCE

__all__ = ["BUNDLED", "read_bundled"]

# mass interpolation and paper
BUNDLED = {
    "pppc4": ("log", PPPC4_REFERENCE),
    # the LAT tools interpolate in m, whose nodes are sparse at low masses: log(m) differs by 3 %
    "dmfit": (
        "linear",
        "Jeltema & Profumo 2008 (arXiv:0808.2641), Ackermann et al. 2014 (arXiv:1310.0828)",
    ),
}


def read_bundled(name):
    """Read a bundled table.

    Parameters
    ----------
    name : {"pppc4", "dmfit"}
        Name.

    Returns
    -------
    spectra : `~dmgammapy.spectra.TableSpectra`
        Spectra.
    """
    interpolation, reference = BUNDLED[name]
    resource = files("dmgammapy.spectra") / "data" / f"{name}.npz"
    with resource.open("rb") as file, np.load(file, allow_pickle=False) as data:
        return TableSpectra(
            name,
            [str(channel) for channel in data["channels"]],
            data["masses"],
            data["log10x"],
            data["dndlog10x"],
            mass_interpolation=interpolation,
            source=name,
            reference=reference,
        )
