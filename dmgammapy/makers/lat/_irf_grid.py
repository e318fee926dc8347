"""Linear interpolation between the nodes of response tables."""

import numpy as np

__all__ = ["bracket", "hat_weights", "log10_centers", "middles"]


def log10_centers(edges):
    """log10 of the geometric middles of bins, array (n,)."""
    return 0.5 * (np.log10(edges[:-1]) + np.log10(edges[1:]))


def middles(edges):
    """Arithmetic middles of bins, array (n,)."""
    return 0.5 * (edges[:-1] + edges[1:])


def bracket(values, nodes):
    """Lower node and fraction of the way to the next one.

    Beyond the first and last node the value there holds, as in the Science Tools, which repeat
    the outermost column of a table at a far node.

    Parameters
    ----------
    values : array
        Any shape.
    nodes : array, shape (n_node,)
        Ascending.

    Returns
    -------
    index : int array
        Of the lower node, 0 to n_node - 2 (0 for one node).
    fraction : array
        Between 0 and 1.
    """
    values = np.asarray(values, dtype=float)
    if len(nodes) == 1:
        return np.zeros(values.shape, dtype=int), np.zeros(values.shape)
    index = np.clip(np.searchsorted(nodes, values, side="right") - 1, 0, len(nodes) - 2)
    fraction = (values - nodes[index]) / (nodes[index + 1] - nodes[index])
    return index, np.clip(fraction, 0.0, 1.0)


def hat_weights(values, nodes):
    """Weights of the nodes in linear interpolation, array (n_value, n_node).

    Parameters
    ----------
    values : array, shape (n_value,)
    nodes : array, shape (n_node,)
    """
    index, fraction = bracket(values, nodes)
    weights = np.zeros((len(index), len(nodes)))
    rows = np.arange(len(index))
    weights[rows, index] = 1.0 - fraction
    weights[rows, np.minimum(index + 1, len(nodes) - 1)] += fraction
    return weights
