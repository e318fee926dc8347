"""Small helpers that every room may use; they know nothing of physics."""

from .files import atomic_path
from .formats import FITS_DAMAGE, FormatTable, SourceFile
from .logs import without_warnings
from .progress import progress

__all__ = [
    "FITS_DAMAGE",
    "FormatTable",
    "SourceFile",
    "atomic_path",
    "progress",
    "without_warnings",
]
