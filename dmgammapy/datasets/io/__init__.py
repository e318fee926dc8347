"""File formats of bin-by-bin SED likelihoods, one module each, and how they are told apart."""

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

SED_FORMATS = {
    "fermipy": fermipy,
    "fermipy-castro": fermipy_castro,
    "gadf": gadf,
    "fermi-lat-dsph": fermi_lat_dsph,
}
"""Modules with ``identify(source)``, ``read(source)`` and ``write(dataset, path)`` by name."""


def _format(name):
    if name not in SED_FORMATS:
        raise ValueError(f"format must be one of {', '.join(SED_FORMATS)}, got {name!r}.")
    return SED_FORMATS[name]


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
    return _identify(SEDFile(path))


def _identify(source):
    reasons = {}
    for name, module in SED_FORMATS.items():
        reason = module.identify(source)
        if reason is None:
            return name
        reasons[name] = reason
    tried = "\n".join(
        f"- {name} ({SED_FORMATS[name].DESCRIPTION}): {reason}" for name, reason in reasons.items()
    )
    raise ValueError(
        f"{source.path}: no SED likelihood format fits. Tried\n{tried}\n"
        "Pass format= to see what exactly that format misses."
    )


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
    source = SEDFile(path)
    name = format or _identify(source)
    module = _format(name)
    try:
        return module.read(source, **kwargs)
    except TypeError as error:
        if "unexpected keyword" in str(error):
            raise TypeError(f"{source.path}: format {name!r}: {error}") from None
        raise


def write_sed(dataset, path, format="fermipy", **kwargs):
    """Write a dataset to a path that may be overwritten; see ``SED_FORMATS`` for choices."""
    _format(format).write(dataset, path, **kwargs)
