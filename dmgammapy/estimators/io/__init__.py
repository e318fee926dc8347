"""File formats of likelihood tables and limits, one module each, and how they are told apart.

What to use when

- `read_castro` and `write_castro` serve `CastroMaps.read` and `CastroMaps.write`: the own layout
  (``castro``), ``gloryduck``, ``lklcom`` and ``dmpipe``.
- `read_gloryduck_channels` and `write_lklcom_tables` put several tables together.
- `read_published_limits`, `write_published_limits` and `read_dmpipe_limits` are for limits.
"""

from pathlib import Path

from dmgammapy.utils import FormatTable, atomic_path

from . import castro as _castro
from . import dmpipe as _dmpipe
from . import gloryduck as _gloryduck
from . import lklcom as _lklcom
from ._files import TableFile
from .dmpipe_limits import read_dmpipe_limits
from .gloryduck import read_gloryduck_channels
from .lklcom import list_lklcom_tables, write_lklcom_tables
from .published import published_curves, read_published_limits, write_published_limits

__all__ = [
    "CASTRO_FORMATS",
    "identify_castro_format",
    "list_lklcom_tables",
    "published_curves",
    "read_castro",
    "read_dmpipe_limits",
    "read_gloryduck_channels",
    "read_published_limits",
    "write_castro",
    "write_lklcom_tables",
    "write_published_limits",
]

CASTRO_FORMATS = FormatTable(
    "likelihood table",
    {"castro": _castro, "dmpipe": _dmpipe, "gloryduck": _gloryduck, "lklcom": _lklcom},
)
"""Modules by name, with ``identify(source)``, ``read(source)`` and ``write(castro, path)``.

Formats that make several files have ``plan_files(castro, path)`` instead of ``write``.
"""

FITS_SUFFIXES = (".fits", ".fit", ".fits.gz", ".fit.gz")


def identify_castro_format(path):
    """Find out a file's format from its content.

    Parameters
    ----------
    path : str or `~pathlib.Path`

    Returns
    -------
    format : str
        A key of ``CASTRO_FORMATS``.

    Raises
    ------
    ValueError
        If no format fits; each one's reason is listed.

    Examples
    --------
    >>> from dmgammapy.estimators.io import identify_castro_format
    >>> identify_castro_format("bb_Segue1_IACT.txt")  # doctest: +SKIP
    'gloryduck'
    """
    return CASTRO_FORMATS.identify(TableFile(path))


def read_castro(path, format=None, **kwargs):
    """Read a likelihood table of any known format.

    Parameters
    ----------
    path : str or `~pathlib.Path`
    format : str, optional
        A key of ``CASTRO_FORMATS``. Default is to identify it from the content.
    **kwargs
        Choices of the format: ``target, channel, instrument, process, prior, cl`` for
        ``gloryduck``, ``instrument, target, channel, dataset, process, prior, cl`` for ``lklcom``,
        ``channels, masses, process, target, instrument, prior, jfactor_method, cl`` for
        ``dmpipe``.

    Returns
    -------
    castro : `~dmgammapy.estimators.CastroMaps`

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If no format fits, or the file is damaged; the message names file and place.

    Examples
    --------
    >>> from dmgammapy.estimators.io import read_castro
    >>> read_castro("bb_Segue1_IACT.txt").channels  # doctest: +SKIP
    ['b']
    """
    return CASTRO_FORMATS.read(TableFile(path), format, **kwargs)


def write_castro(castro, path, format=None, overwrite=False, **kwargs):
    """Write a likelihood table; an existing file stays as it is if something fails.

    Parameters
    ----------
    castro : `~dmgammapy.estimators.CastroMaps`
    path : str or `~pathlib.Path`
        For ``gloryduck`` it may hold ``{channel}``, which makes one file per channel.
    format : str, optional
        A key of ``CASTRO_FORMATS``. Default is ``castro``, the only one that keeps everything.
    overwrite : bool
        Replace an existing file. Default is False.
    **kwargs
        Choices of the format: ``target, instrument, check_name`` for ``gloryduck``, ``target,
        instrument, dataset`` for ``lklcom``, ``ref_sigmav, ref_jfactor, ref_tau, ref_dfactor`` for
        ``dmpipe``.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is False.
    ValueError
        If the format can't hold the result.

    Examples
    --------
    >>> from dmgammapy.estimators.io import write_castro
    >>> write_castro(castro, "{channel}_segue1_lat.txt", format="gloryduck")  # doctest: +SKIP
    """
    path = Path(path).expanduser()
    if format is None:
        format = "castro"
        if not path.name.lower().endswith(FITS_SUFFIXES):
            raise ValueError(
                f"{path}: the default format 'castro' is FITS; end the name with .fits or give "
                f"format=, one of {', '.join(CASTRO_FORMATS)}."
            )
    module = CASTRO_FORMATS.module(format)
    if hasattr(module, "plan_files"):
        files = module.plan_files(castro, path, **kwargs)
    else:
        files = [(path, lambda temporary: module.write(castro, temporary, **kwargs))]
    for target, _ in files:
        if target.exists() and not overwrite:
            raise FileExistsError(f"{target} exists already: pass overwrite=True to replace it.")
    for target, write in files:
        with atomic_path(target, overwrite) as temporary:
            write(temporary)
