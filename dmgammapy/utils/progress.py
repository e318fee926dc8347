"""Progress bars for long loops."""

import sys

from tqdm import tqdm

__all__ = ["progress"]

MANY = 50


def progress(items, label, show=None):
    """Iterate with a progress bar.

    Parameters
    ----------
    items : list
    label : str
    show : bool or None
        None shows a bar for more than 50 items when standard error is a terminal.
    """
    if show is None:
        show = len(items) > MANY and sys.stderr.isatty()
    return tqdm(items, desc=label, disable=not show)
