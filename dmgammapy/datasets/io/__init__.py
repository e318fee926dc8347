"""File formats of bin-by-bin SED likelihoods, one module each, and how they are told apart."""

from dmgammapy.utils import FormatTable

from . import fermi_lat_dsph, fermipy, fermipy_castro, gadf
from ._source import SEDFile
from .fermipy_castro import castro_rows, write_castro

__all__ = [
    "SED_FORMATS",
    "castro_rows",
    "identify_sed_format",
    "read_sed_fields",
    "write_castro",
    "write_sed",
]

SED_FORMATS = FormatTable(
    "SED likelihood",
    {
        "fermipy": fermipy,
        "fermipy-castro": fermipy_castro,
        "gadf": gadf,
        "fermi-lat-dsph": fermi_lat_dsph,
    },
)
"""Modules with ``identify(source)``, ``read(source)`` and ``write(dataset, path)`` by name."""


def identify_sed_format(path):
    """Find out a file's format from its content.

    Parameters
    ----------
    path : str or `~pathlib.Path`

    Returns
    -------
    format : str
        A key of ``SED_FORMATS``.

    Raises
    ------
    ValueError
        If no format fits; each one's reason is listed.

    Examples
    --------
    >>> from dmgammapy.datasets.io import identify_sed_format
    >>> identify_sed_format("like_draco.txt")  # doctest: +SKIP
    'fermi-lat-dsph'
    """
    return SED_FORMATS.identify(SEDFile(path))


def read_sed_fields(path, format=None, **kwargs):
    """Read a file into arguments of `~dmgammapy.datasets.SEDLikelihoodDataset`.

    Parameters
    ----------
    path : str or `~pathlib.Path`
    format : str, optional
        A key of ``SED_FORMATS``. Default is to identify it.
    **kwargs
        Choices of the format, for example ``target`` or ``row``.

    Returns
    -------
    fields : dict
    """
    return SED_FORMATS.read(SEDFile(path), format, **kwargs)


def write_sed(dataset, path, format="fermipy", **kwargs):
    """Write a dataset to a path that may be overwritten; see ``SED_FORMATS`` for choices."""
    SED_FORMATS.module(format).write(dataset, path, **kwargs)
