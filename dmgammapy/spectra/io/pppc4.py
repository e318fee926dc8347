"""PPPC4DMID's own text table, ``AtProduction_gammas.dat``, which Gammapy ships as data too.

Columns ``mDM`` [GeV], ``Log[10,x]`` and one per channel with names of Mathematica; entries are
dN/dlog10(x) per annihilation.
"""

from ..tables import TableSpectra
from ._grid import read_columns, to_grid

__all__ = ["COLUMNS", "REFERENCE", "read_pppc4"]

REFERENCE = "Cirelli et al. 2011 (arXiv:1012.4515), Ciafaloni et al. 2011 (arXiv:1009.0224)"

_GREEK = {"mu": r"\[Mu]", "tau": r"\[Tau]", "gamma": r"\[Gamma]", "nu": r"\[Nu]"}
_PLAIN = "eL eR e q c b t WL WT W ZL ZT Z g h V->e".split()
COLUMNS = {name: name for name in _PLAIN} | {
    rf"{_GREEK['mu']}L": "muL",
    rf"{_GREEK['mu']}R": "muR",
    _GREEK["mu"]: "mu",
    rf"{_GREEK['tau']}L": "tauL",
    rf"{_GREEK['tau']}R": "tauR",
    _GREEK["tau"]: "tau",
    _GREEK["gamma"]: "gamma",
    rf"{_GREEK['nu']}e": "nu_e",
    _GREEK["nu"] + _GREEK["mu"]: "nu_mu",
    _GREEK["nu"] + _GREEK["tau"]: "nu_tau",
    f"V->{_GREEK['mu']}": "V->mu",
    f"V->{_GREEK['tau']}": "V->tau",
}
"""Canonical channel by name of the column."""


def read_pppc4(path, source=None):
    """Read a table of PPPC4DMID.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    source : str, optional
        How the spectra call themselves.

    Returns
    -------
    spectra : `~dmgammapy.spectra.TableSpectra`
        Spectra, linear in log(m).

    Raises
    ------
    ValueError
        If a column is missing or unknown, or the rows aren't a complete grid.
    """
    names, rows = read_columns(path, skip_comment=False)
    if names[:2] != ["mDM", "Log[10,x]"]:
        raise ValueError(
            f"{path.name}: expected the columns mDM and Log[10,x] first, got {names[:2]}."
        )
    unknown = [name for name in names[2:] if name not in COLUMNS]
    if unknown or len(names) < 3:
        raise ValueError(
            f"{path.name}: expected columns of channels among {', '.join(COLUMNS)}, got "
            f"{', '.join(unknown) or 'none'}."
        )
    grid = to_grid(path.name, rows[:, 0], rows[:, 1], rows[:, 2:])
    return TableSpectra(
        path.name,
        [COLUMNS[name] for name in names[2:]],
        *grid,
        source=source,
        reference=REFERENCE,
    )
