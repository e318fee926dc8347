"""Event types as users name them: of one dataset a name, a bit mask or a list of names."""

import numpy as np

from ._caldb import resolve_event_types

__all__ = ["label_of", "types_of"]


def types_of(kinds):
    """Names of the event types of some datasets, list.

    Parameters
    ----------
    kinds : list of str, int or list
        As of `LATDatasetMaker`.
    """
    names = []
    for kind in kinds:
        several = isinstance(kind, list | tuple)
        for part in kind if several else [kind]:
            names += resolve_event_types(part)[1]
    return resolve_event_types(names)[1]


def label_of(kind):
    """Event types of a dataset in its name: ``psf2-psf3``, ``fb``."""
    if isinstance(kind, int | np.integer):
        kind = resolve_event_types(kind)[1]
    parts = kind if isinstance(kind, list | tuple) else [kind]
    return "-".join(str(part) for part in parts).lower()
