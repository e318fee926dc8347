"""Event types of the LAT's datasets, from their metadata or names."""

import re

import numpy as np

__all__ = ["event_types_of", "parse_event_types", "types_in_metadata", "types_in_name"]


def parse_event_types(text):
    """Event types that a text consists of.

    Parameters
    ----------
    text : str
        Such as "PSF3", "psf2-psf3", "FB", or a bit mask, "32".

    Returns
    -------
    event_types : tuple of str
        In the order of their bits; empty if the text is anything else. All types of a partition
        are ("FB",), since these are all events.

    Examples
    --------
    >>> from dmgammapy.makers._roi_event_types import parse_event_types
    >>> parse_event_types("psf3-PSF2"), parse_event_types("3"), parse_event_types("draco")
    (('PSF2', 'PSF3'), ('FB',), ())
    """
    # the reduction of data imports the models of regions
    from .lat._caldb import EVENT_TYPES, resolve_event_types

    words = [word for word in _words(text) if word]
    try:
        whole = len(words) == 1 and words[0].isdigit()
        partition, types = resolve_event_types(int(words[0]) if whole else words)
    except ValueError:
        return ()
    n_all = sum(resolve_event_types(name)[0] == partition for name in EVENT_TYPES)
    return ("FB",) if len(types) == n_all else tuple(types)


def event_types_of(dataset):
    """Event types of a dataset.

    Parameters
    ----------
    dataset : `~gammapy.datasets.Dataset`
        With a column EVENT_TYPE in its ``meta_table``, or event types in its name.

    Returns
    -------
    event_types : tuple of str
        As `parse_event_types`; empty where nothing is known.
    """
    return types_in_metadata(dataset) or types_in_name(dataset)


def types_in_metadata(dataset):
    """Event types in the column EVENT_TYPE, as `event_types_of`."""
    table = getattr(dataset, "meta_table", None)
    if table is None or "EVENT_TYPE" not in table.colnames:
        return ()
    values = np.unique(np.ravel(np.ma.filled(table["EVENT_TYPE"], "")).astype(str))
    return parse_event_types("-".join(t for v in values for t in parse_event_types(v)))


def types_in_name(dataset):
    """Event types in the dataset's name, as `event_types_of`."""
    from .lat._caldb import EVENT_TYPES

    words = _words(dataset.name)
    return parse_event_types("-".join(w for w in words if w == "FB" or w in EVENT_TYPES))


def _words(text):
    return re.split(r"[^A-Z0-9]+", str(text).upper())
