"""Small helpers that every room may use; they know nothing of physics."""

from .files import atomic_path
from .progress import progress

__all__ = ["atomic_path", "progress"]
