"""`read_spectra`: spectra from a name, a file or a table."""

import os
from functools import cache, lru_cache
from pathlib import Path

from astropy.io import fits

from dmgammapy.utils import SourceFile

from .analytic import BoxSpectra, LineSpectra
from .core import Spectra
from .io._grid import GZIP_MAGIC
from .io.bundled import BUNDLED, read_bundled
from .io.cosmixs import read_cosmixs
from .io.dmpipe import read_dmpipe
from .io.hdmspectra import read_hdmspectra
from .io.pppc4 import read_pppc4
from .io.usertable import read_table

__all__ = ["FORMATS", "NAMES", "read_spectra"]

FORMATS = {
    "pppc4": read_pppc4,
    "cosmixs": read_cosmixs,
    "hdmspectra": read_hdmspectra,
    "dmpipe": read_dmpipe,
    "table": read_table,
}
"""Reader by format of a file."""

# where the data of Gammapy holds them; HDMSpectra isn't among these data and goes beside the others
_IN_GAMMAPY_DATA = {
    "cosmixs": "$GAMMAPY_DATA/dark_matter_spectra/cosmixs/AtProduction-Gamma.dat",
    "hdmspectra": "$GAMMAPY_DATA/dark_matter_spectra/hdmspectra/HDMSpectra.hdf5",
}

NAMES = (*BUNDLED, *_IN_GAMMAPY_DATA, "line", "box")
"""Names that `read_spectra` knows."""


def external_table(name):
    """File that a name stands for, or None if it is bundled or no file.

    Parameters
    ----------
    name : str
        One of `NAMES`.

    Returns
    -------
    path : `~pathlib.Path` or None
        Below ``$GAMMAPY_DATA``; it may not exist.
    """
    text = _IN_GAMMAPY_DATA.get(name.lower())
    return None if text is None else Path(os.path.expandvars(text)).expanduser()


def read_spectra(source, format=None):
    """Photon yields of dark matter.

    Parameters
    ----------
    source : str, path, dict, `~astropy.table.Table` or `Spectra`
        - "pppc4": PPPC4DMID with electroweak corrections, 5 GeV to 100 TeV, bundled;
        - "dmfit": the table of the Fermi-LAT tools, 2 GeV to 10 TeV, bundled;
        - "cosmixs", "hdmspectra": tables below ``$GAMMAPY_DATA/dark_matter_spectra``;
        - "line": monochromatic photons;
        - "box" or ``{"name": "box", "mass_ratio": 0.9}``: boxes, see `BoxSpectra`;
        - a file with a table of PPPC4DMID, CosmiXs, HDMSpectra, dmpipe, or any table as below;
          all but HDMSpectra may be compressed by gzip;
        - a table with the columns mass, x, log10x or energy, and channels, whose metadata say
          ``quantity``: "dN/dE", "dN/dx", "dN/dlnx" or "dN/dlog10x";
        - spectra, which are returned as they are.
    format : {"pppc4", "cosmixs", "hdmspectra", "dmpipe", "table"}, optional
        Format of the file. Default is to look.

    Returns
    -------
    spectra : `Spectra`
        Spectra. ``read_spectra(spectra.source)`` gives equal ones. What was read once in a process
        is kept.

    Raises
    ------
    ValueError
        If the source isn't known, the file doesn't exist or is damaged.

    Examples
    --------
    The number of photons above 1 GeV, per annihilation at 100 GeV:

    >>> import astropy.units as u
    >>> from dmgammapy.spectra import read_spectra
    >>> spectra = read_spectra("dmfit")
    >>> print(spectra.integrate([1, 100] * u.GeV, 100 * u.GeV, ["b", "tau"]).round(2))
    [[13.62]
     [ 2.23]]
    """
    if isinstance(source, Spectra):
        return source
    if hasattr(source, "colnames"):
        return read_table(source)
    if hasattr(source, "items"):
        return _read_dict(dict(source))
    if not isinstance(source, str | os.PathLike):
        raise ValueError(f"source must be a name, a path or a table, got {source!r}.")
    if isinstance(source, str) and source.lower() in NAMES and format is None:
        return _read_name(source.lower())
    return _read_path(os.fspath(source), format)


def _read_dict(source):
    name = source.pop("name", None)
    if name == "box" and set(source) <= {"mass_ratio"}:
        return BoxSpectra(**source)
    if name is None and "path" in source and set(source) <= {"path", "format"}:
        return read_spectra(source["path"], source.get("format"))
    raise ValueError(
        f"Unknown source {({'name': name} if name else {}) | source!r}, expected "
        "{'name': 'box', 'mass_ratio': ratio} or {'path': path, 'format': format}; the "
        "format may be left out."
    )


def _read_name(name):
    if name == "line":
        return LineSpectra()
    if name == "box":
        return BoxSpectra()
    if name in BUNDLED:
        return _cached_bundled(name)
    if "GAMMAPY_DATA" not in os.environ:
        raise ValueError(
            f"The spectra {name!r} are looked for at {_IN_GAMMAPY_DATA[name]}, but the environment "
            "variable GAMMAPY_DATA isn't set: set it, or pass the path of the file."
        )
    return _read_file(_existing(_IN_GAMMAPY_DATA[name]), name, name, name)


def _read_path(text, format):
    if format is not None and format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}.")
    path = _existing(text)
    found = _identify(path)
    # a variable is kept, so that the source holds on another machine
    text = text if "$" in text else str(path.resolve())
    if format in (None, found):
        return _read_file(path, found, None, text)
    return _read_file(path, format, None, (text, format))


def _existing(text):
    path = Path(os.path.expandvars(text)).expanduser()
    if not path.is_file():
        raise ValueError(
            f"Spectra {text!r} are neither one of {', '.join(NAMES)} nor an existing file ({path})."
        )
    return path


def _identify(path):
    """Format of a file, from its first bytes."""
    with path.open("rb") as file:
        start = file.read(4096)
    packed = start.startswith(GZIP_MAGIC)
    if packed:
        start = SourceFile(path).content[:4096]  # all of it, so that damage shows
    if start.startswith(b"\x89HDF"):
        if packed:
            raise ValueError(f"{path}: HDF5 can't be read from a gzip file; unpack it.")
        return "hdmspectra"
    if start.startswith(b"SIMPLE"):
        return "dmpipe" if _has_specdata(path) else "table"
    line = start.split(b"\n", 1)[0]
    if b"Log[10,x]" in line:
        return "pppc4"
    return "cosmixs" if b"Log10[x]" in line else "table"


def _has_specdata(path):
    try:
        with fits.open(path) as hdus:
            return "SPECDATA" in hdus or "EBOUNDS" in hdus
    except OSError:
        return False


def _read_file(path, format, name, source):
    status = path.stat()
    return _cached_file(path.resolve(), format, name, source, status.st_mtime_ns, status.st_size)


@cache
def _cached_bundled(name):
    return read_bundled(name)


@lru_cache(maxsize=16)
def _cached_file(path, format, name, source, *version):
    """Read a file; ``version`` tells a changed file from the one in the cache."""
    if isinstance(source, tuple):
        source = dict(zip(("path", "format"), source, strict=True))
    spectra = FORMATS[format](path, source=source)
    if name is not None:
        spectra.name = name
    return spectra
