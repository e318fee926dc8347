"""Random streams that belong to what they are drawn for, not to who draws them."""

import hashlib
import logging
import re
from numbers import Integral

import numpy as np

__all__ = ["dataset_keys", "random_stream"]

# what Gammapy calls a dataset without a name: 8 random characters of URL-safe base64
INVENTED = re.compile(r"[A-Za-z0-9-][A-Za-z0-9_-]{7}")
# what people write: words in one case or capitalised, with a number; and one in 180 invented names
WORDS = re.compile(r"(?:[A-Z]?[a-z](?:[_-]?[a-z])*|[A-Z](?:[_-]?[A-Z])*)(?:[_-]?\d+)?")

log = logging.getLogger(__name__)


def random_stream(seed, *key):
    """Random generator of a task.

    The key becomes the ``spawn_key`` of a `~numpy.random.SeedSequence`, in which names enter by
    eight words of their SHA-256. So a stream depends on nothing but seed and key: neither on the
    order of tasks, nor on which others there are, nor on the number of processes.

    Parameters
    ----------
    seed : int
        Not negative.
    *key : str or int
        Names and numbers (not negative) of the task.

    Returns
    -------
    random : `~numpy.random.Generator`

    Raises
    ------
    ValueError
        If seed or a number of the key is no integer or negative.

    Examples
    --------
    >>> from dmgammapy.makers import random_stream
    >>> random_stream(1, "draco", 7).poisson(10, 5).tolist()
    [7, 10, 11, 14, 7]
    >>> random_stream(1, "draco", 7).poisson(10, 5).tolist()
    [7, 10, 11, 14, 7]
    """
    words = []
    for item in key:
        if isinstance(item, str):
            digest = hashlib.sha256(item.encode("utf-8")).digest()
            words.extend(int(word) for word in np.frombuffer(digest, dtype="<u4"))
        else:
            words.append(check_count("key", item))
    return np.random.default_rng(np.random.SeedSequence(check_count("seed", seed), spawn_key=words))


def check_count(name, value):
    """Integer that is not negative."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} must be an integer and not negative, got {value!r}.")
    return int(value)


def dataset_keys(datasets, targets):
    """Keys of datasets in random streams: the same in every process.

    A dataset goes by its name, unless Gammapy may have invented that (eight letters, digits, ``-``
    and ``_`` that are no words with a number and don't hold the target's name): then by its kind
    and energies and, among alike ones of its target, its place.

    Parameters
    ----------
    datasets : list of `~gammapy.datasets.Dataset`
    targets : list of str

    Returns
    -------
    keys : list of str
        Different for each of a target's datasets.
    """
    keys, places = [], {}
    for dataset, target in zip(datasets, targets, strict=True):
        key = dataset.name
        if INVENTED.fullmatch(key) and not WORDS.fullmatch(key) and target not in key:
            edges = getattr(dataset, "energy_edges", None)
            if edges is None:
                edges = dataset._geom.axes["energy"].edges
            low, high = edges.to_value("GeV")[[0, -1]]
            kind = f"{dataset.tag}, {len(edges) - 1} bins, {low:.5g}-{high:.5g} GeV"
            place = places[target, kind] = places.get((target, kind), -1) + 1
            key = f"{kind}, {place}"
            if place == 1:
                log.warning(
                    "target %r: the random numbers of its datasets %s go by their order, since "
                    "these look like random names: give them longer ones.",
                    target,
                    [d.name for d, t in zip(datasets, targets, strict=True) if t == target],
                )
        keys.append(key)
    return keys
