"""Input files of unknown format, and the tables of formats that can read them."""

import gzip
import zlib
from functools import cached_property
from pathlib import Path

from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

__all__ = ["FITS_DAMAGE", "FormatTable", "SourceFile"]

GZIP_MAGIC = b"\x1f\x8b"
MAGICS = {"fits": b"SIMPLE  =", "hdf5": b"\x89HDF\r\n\x1a\n", "ecsv": b"# %ECSV"}
# what astropy and numpy raise on truncated or garbled FITS files
FITS_DAMAGE = (
    OSError, EOFError, TypeError, ValueError, IndexError, KeyError, zlib.error,
    fits.VerifyError, AstropyUserWarning,
)  # fmt: skip


class SourceFile:
    """A file whose format is to be found out.

    Parameters
    ----------
    path : str or `~pathlib.Path`

    Attributes
    ----------
    kind : {"fits", "hdf5", "ecsv", "text"}
        What its first bytes say.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty or a damaged gzip file.
    """

    def __init__(self, path):
        self.path = Path(path).expanduser()
        self.name = self.path.name
        if not self.path.is_file():
            what = "a folder, not a file" if self.path.is_dir() else "no such file"
            raise FileNotFoundError(f"{self.path}: {what}.")
        start = self._head(80)
        if not start.strip():
            raise ValueError(f"{self.path}: the file is empty.")
        kinds = [kind for kind, magic in MAGICS.items() if start.startswith(magic)]
        self.kind = kinds[0] if kinds else "text"

    def _head(self, size):
        with open(self.path, "rb") as file:
            start = file.read(size)
        if start[:2] == GZIP_MAGIC:
            try:
                with gzip.open(self.path) as file:
                    start = file.read(size)
            except (EOFError, OSError, zlib.error) as error:
                raise self._gzip_error(error) from None
        return start

    def _gzip_error(self, error):
        return ValueError(f"{self.path}: the gzip file is truncated or damaged ({error}).")

    @cached_property
    def content(self):
        """Bytes of the file, unpacked if it is a gzip file."""
        content = self.path.read_bytes()
        if content[:2] != GZIP_MAGIC:
            return content
        try:
            return gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise self._gzip_error(error) from None

    @cached_property
    def text(self):
        """Content of a text file."""
        try:
            return self.content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.path}: neither a FITS nor a text file ({error}).") from None

    def damaged(self, error):
        """Error to raise when astropy cannot read the FITS file."""
        return ValueError(
            f"{self.path}: the FITS file is truncated or damaged ({error}); get it again."
        )


class FormatTable(dict):
    """Format modules by name, and how a file finds its own.

    A module has ``DESCRIPTION``, ``identify(source)`` (None, or the reason why the file is none of
    its own) and ``read(source, **kwargs)``.

    Parameters
    ----------
    what : str
        What the formats hold, for errors, e.g. "SED likelihood".
    modules : dict
    """

    def __init__(self, what, modules):
        super().__init__(modules)
        self.what = what

    def module(self, name):
        """Module of a name, or a ValueError that lists the names."""
        if name not in self:
            raise ValueError(f"format must be one of {', '.join(self)}, got {name!r}.")
        return self[name]

    def identify(self, source):
        """Name of the format of a `SourceFile`, or a ValueError with every format's reason."""
        reasons = {}
        for name, module in self.items():
            reason = module.identify(source)
            if reason is None:
                return name
            reasons[name] = reason
        tried = "\n".join(
            f"- {name} ({self[name].DESCRIPTION}): {reason}" for name, reason in reasons.items()
        )
        raise ValueError(
            f"{source.path}: no {self.what} format fits. Tried\n{tried}\n"
            "Pass format= to see what exactly that format misses."
        )

    def read(self, source, format=None, **kwargs):
        """Read a `SourceFile` by its format's module; keywords it does not know are named."""
        name = format or self.identify(source)
        module = self.module(name)
        try:
            return module.read(source, **kwargs)
        except TypeError as error:
            if "unexpected keyword" in str(error):
                raise TypeError(f"{source.path}: format {name!r}: {error}") from None
            raise
