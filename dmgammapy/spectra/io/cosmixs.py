"""CosmiXs, ``AtProduction-Gamma.dat``, as Gammapy's data holds it.

The header line begins with ``#``: ``DM`` [GeV], ``Log10[x]`` and ``dNdLog10x[<channel>]``, at the
centres of bins in log10(x).
"""

from ..tables import TableSpectra
from ._grid import read_columns, to_grid

__all__ = ["REFERENCE", "read_cosmixs"]

REFERENCE = "Arina et al. 2024 (arXiv:2312.01153), Di Mauro et al. 2025 (arXiv:2411.04815)"

_OWN_NAMES = {"nue": "nu_e", "numu": "nu_mu", "nutau": "nu_tau", "a": "gamma", "H": "h"}
_SAME_NAMES = "eL eR e muL muR mu tauL tauR tau u d s c b t g W WL WT Z ZL ZT aZ HZ".split()
_COLUMNS = {
    f"dNdLog10x[{name}]": channel
    for name, channel in ({name: name for name in _SAME_NAMES} | _OWN_NAMES).items()
}
# four-fermion final states are generated below the threshold of the bosons
_OFF_SHELL = ("W", "WL", "WT", "Z", "ZL", "ZT", "HZ")


def read_cosmixs(path, source=None):
    """Read a table of CosmiXs.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    source : str, optional
        How the spectra call themselves.

    Returns
    -------
    spectra : `~dmgammapy.spectra.TableSpectra`
        Spectra, linear in log(m); those of W, Z and hZ go below their thresholds.

    Raises
    ------
    ValueError
        If a column is missing or unknown, or the rows aren't a complete grid.
    """
    names, rows = read_columns(path, skip_comment=True)
    if names[:2] != ["DM", "Log10[x]"]:
        raise ValueError(
            f"{path.name}: expected the columns DM and Log10[x] first, got {names[:2]}."
        )
    unknown = [name for name in names[2:] if name not in _COLUMNS]
    if unknown or len(names) < 3:
        raise ValueError(
            f"{path.name}: expected columns of channels among {', '.join(_COLUMNS)}, got "
            f"{', '.join(unknown) or 'none'}; early tables have other "
            "columns, get a newer one."
        )
    grid = to_grid(path.name, rows[:, 0], rows[:, 1], rows[:, 2:])
    return TableSpectra(
        path.name,
        [_COLUMNS[name] for name in names[2:]],
        *grid,
        off_shell=_OFF_SHELL,
        source=source,
        reference=REFERENCE,
    )
