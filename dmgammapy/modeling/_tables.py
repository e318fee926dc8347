"""Checks of what a `JFactorPrior` is made of, and the density of samples."""

import numpy as np
from scipy.stats import gaussian_kde

_LEAST_NODES = 5
_LEAST_SAMPLES = 100
# of the kernel's widths: how far the table reaches beyond the outermost samples
_MARGIN = 3


def check_widths(log10_jfactor, err):
    """Check the numbers of a split normal.

    Parameters
    ----------
    log10_jfactor : float
        Centre.
    err : float or (float, float)
        Widths [dex].

    Returns
    -------
    center, low, high : float
        The numbers.

    Raises
    ------
    ValueError
        If they are not valid.
    """
    center = _floats(log10_jfactor, "log10_jfactor")
    if center.shape != () or not np.isfinite(center):
        raise ValueError(
            f"log10_jfactor must be a finite number, the log10 of J [GeV2 cm-5] or D [GeV cm-2], "
            f"got {log10_jfactor!r}."
        )
    widths = _floats(err, "log10_jfactor_err")
    if widths.shape not in ((), (2,)) or not np.all(np.isfinite(widths) & (widths >= 0)):
        raise ValueError(
            "log10_jfactor_err must be a width in dex or the two widths (low, high), finite and "
            f"not negative, got {err!r}. For a J-factor without a width use no prior."
        )
    low, high = (float(width) for width in np.broadcast_to(widths, 2))
    if (low == 0) != (high == 0):
        raise ValueError(
            f"The widths of log10_jfactor must be both zero (a fixed J) or none, got {err!r}."
        )
    return float(center), low, high


def check_table(log10_jfactor, likelihood, stat):
    """Check a table and put its maximum at zero.

    Parameters
    ----------
    log10_jfactor, likelihood, stat
        As for `JFactorPrior.from_table`.

    Returns
    -------
    center : float
        The node of the maximum.
    shift, stat : ndarray, shape (n,)
        Nodes relative to it [dex], and -2 ln L, zero there.

    Raises
    ------
    ValueError
        If the table is damaged.
    """
    if (likelihood is None) == (stat is None):
        raise ValueError("Give either likelihood or stat.")
    what = "stat" if likelihood is None else "likelihood"
    grid = _floats(log10_jfactor, "log10_jfactor")
    values = _floats(stat if likelihood is None else likelihood, what)
    if grid.ndim != 1 or values.shape != grid.shape:
        raise ValueError(
            f"log10_jfactor and {what} must be lists of one length, got shapes {grid.shape} and "
            f"{values.shape}."
        )
    if np.any(np.isnan(grid) | np.isnan(values)):
        place = int(np.argmax(np.isnan(grid) | np.isnan(values)))
        raise ValueError(f"Node {place} of the table is NaN: drop it.")
    if likelihood is not None:
        if np.any(values < 0) or not np.any(values > 0) or np.any(np.isinf(values)):
            raise ValueError("likelihood must be finite and not negative, and positive somewhere.")
        with np.errstate(divide="ignore"):
            values = -2 * np.log(values / values.max())
    grid, values = _finite_part(grid, values, what)
    if len(grid) < _LEAST_NODES:
        raise ValueError(f"A table needs at least {_LEAST_NODES} nodes, got {len(grid)}.")
    if not np.all(np.isfinite(grid)) or not np.all(np.diff(grid) > 0):
        place = int(np.argmax(~(np.diff(grid) > 0)))
        raise ValueError(
            f"log10_jfactor must be finite and ascend, got {grid[place]} before {grid[place + 1]}."
        )
    values = values - values.min()
    best = _middle_of_minimum(values)
    if best in (0, len(grid) - 1):
        raise ValueError(
            f"The largest likelihood is at the end of the table, {grid[best]:g}: extend the table "
            "to where the likelihood falls."
        )
    return float(grid[best]), grid - grid[best], values


def _finite_part(grid, values, what):
    """Cut the ends with zero likelihood."""
    finite = np.flatnonzero(np.isfinite(values))
    if np.any(np.isneginf(values)) or len(finite) == 0:
        raise ValueError(f"{what} must be finite somewhere, and stat nowhere -inf.")
    inside = slice(finite[0], finite[-1] + 1)
    if not np.all(np.isfinite(values[inside])):
        place = grid[inside][np.argmax(~np.isfinite(values[inside]))]
        raise ValueError(
            f"The likelihood is zero at log10_jfactor = {place:g}, between nodes where it is not: "
            "drop the node or smooth the table."
        )
    return grid[inside], values[inside]


def _middle_of_minimum(values):
    """Index of the minimum, the middle one if several neighbours share it."""
    first = int(np.argmin(values))
    last = first
    while last + 1 < len(values) and values[last + 1] == values[first]:
        last += 1
    return (first + last) // 2


def density_of_samples(samples, weights, n_nodes):
    """Kernel estimate of the density of samples, with their variance.

    Parameters
    ----------
    samples, weights, n_nodes
        As for `JFactorPrior.from_samples`.

    Returns
    -------
    grid, density : ndarray, shape (n_nodes,)
        Nodes and the density there.

    Raises
    ------
    ValueError
        If the samples are not valid.
    """
    samples = _floats(samples, "log10_jfactor")
    if samples.ndim != 1 or len(samples) < _LEAST_SAMPLES or not np.all(np.isfinite(samples)):
        raise ValueError(
            f"log10_jfactor must be a list of at least {_LEAST_SAMPLES} finite samples, got shape "
            f"{samples.shape} with {int(np.sum(~np.isfinite(samples)))} that are not finite."
        )
    if np.ptp(samples) == 0:
        raise ValueError(f"All samples are {samples[0]}: use JFactorPrior(value, 0).")
    if weights is not None:
        weights = _floats(weights, "weights")
        if weights.shape != samples.shape or not np.all(np.isfinite(weights) & (weights >= 0)):
            raise ValueError(
                f"weights must be finite and not negative, one for each of the {len(samples)} "
                f"samples, got shape {weights.shape}."
            )
        used = weights > 0
        samples, weights = samples[used], weights[used]
    factor = gaussian_kde(samples, weights=weights).factor
    mean = np.average(samples, weights=weights)
    shrunk = mean + (samples - mean) / np.sqrt(1 + factor**2)
    estimate = gaussian_kde(shrunk, bw_method=factor, weights=weights)
    width = np.sqrt(estimate.covariance[0, 0])
    grid = np.linspace(shrunk.min() - _MARGIN * width, shrunk.max() + _MARGIN * width, int(n_nodes))
    return grid, estimate(grid)


def _floats(values, name):
    try:
        return np.array(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numbers, got {values!r}.") from error
