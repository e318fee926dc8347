"""Logs of other packages."""

import logging
from contextlib import contextmanager

__all__ = ["without_warnings"]


@contextmanager
def without_warnings(name):
    """Let a logger tell errors only while the block runs.

    Parameters
    ----------
    name : str
        Of the logger, such as ``"gammapy.datasets.evaluator"``.
    """
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
