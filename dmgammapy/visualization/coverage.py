"""Figures of validation: coverage of limits, bias and pull of fits."""

import astropy.units as u
import numpy as np

from . import _style as style

__all__ = ["plot_bias_pull", "plot_coverage"]

SPREAD = 0.05  # between neighbouring curves, in steps of labels or in dex


def plot_coverage(x, coverage, errors=None, cl=0.95, ax=None, label="Coverage", accepted=None):
    """Draw how often limits hold the truth.

    Parameters
    ----------
    x : list of str or `~astropy.units.Quantity`, shape (n,)
        What the truth was: labels, or strengths or masses, ascending, on a logarithmic axis.
    coverage : array or dict of arrays, shape (n,)
        Fraction of limits at or above the truth, or of several methods by label. NaN is left out.
    errors : array or dict of arrays, shape (n,) or (2, n), optional
        Statistical errors, downwards and upwards in the second form.
    cl : float
        Confidence level, drawn as a line. Default is 0.95.
    ax : `~matplotlib.axes.Axes`, optional
        Default is the current one.
    label : str
        Label of a single curve. Default is "Coverage".
    accepted : tuple of float, optional
        Range to shade.

    Returns
    -------
    ax : `~matplotlib.axes.Axes`
        The vertical axis is in per cent.

    Raises
    ------
    ValueError
        If shapes or labels do not fit.

    Examples
    --------
    >>> from dmgammapy.visualization import plot_coverage
    >>> ax = plot_coverage(["no signal", "at limit"], [0.99, 0.951], [0.002, 0.005])
    >>> print(ax.get_ylabel())
    Coverage [%]
    """
    coverage = coverage if isinstance(coverage, dict) else {label: coverage}
    errors = errors if isinstance(errors, dict) or errors is None else {label: errors}
    if errors is not None and set(errors) != set(coverage):
        raise ValueError(f"errors are of {sorted(errors)}, coverage of {sorted(coverage)}.")
    ax = style.get_axes(ax)
    positions = _positions(ax, x, "x")
    if accepted is not None:
        ax.axhspan(100 * accepted[0], 100 * accepted[1], color="0.9", zorder=0.5)
    ax.axhline(100 * cl, color="black", linewidth=1.2, linestyle="--", label=f"{100 * cl:g} %")
    shape = (len(positions),)
    for i, (keywords, (name, values)) in enumerate(
        zip(style.curve_styles(len(coverage)), coverage.items(), strict=True)
    ):
        values = style.check_shape(f"coverage of {name!r}", values, shape, "(n,)")
        error = None
        if errors is not None:
            error = np.asarray(errors[name], dtype=float)
            two_sided = (2, *shape) if error.ndim == 2 else shape
            error = 100 * style.check_shape(f"errors of {name!r}", error, two_sided, "(n,)")
        keywords["linestyle"] = "none"
        ax.errorbar(
            _spread(ax, positions, i, len(coverage)), 100 * values, error, markersize=6,
            capsize=3, label=name, **keywords,
        )  # fmt: skip
    ax.set_ylabel("Coverage [%]")
    ax.grid(axis="y", alpha=0.25, linewidth=0.6)
    ax.legend(loc="best")
    return ax


def plot_bias_pull(x, curves, axes=None):
    """Draw how far fits lie from an injected signal, relative to it and to their errors.

    Parameters
    ----------
    x : list of str or `~astropy.units.Quantity`, shape (n,)
        Labels, or masses, ascending.
    curves : dict
        By label (of a channel): ``(bias, bias_error, pull, pull_width)``, arrays of shape (n,).
        ``bias`` is the mean of fitted over injected strength minus one; ``pull`` and
        ``pull_width`` are mean and standard deviation of (fitted - injected) / error, 0 and 1
        where errors are right. NaN is left out.
    axes : sequence of two `~matplotlib.axes.Axes`, optional
        Default is two new panels of the current figure.

    Returns
    -------
    axes : array of `~matplotlib.axes.Axes`, shape (2,)
        Bias in per cent, and pulls with their width as bars.

    Raises
    ------
    ValueError
        If there is nothing to draw or shapes do not fit.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.visualization import plot_bias_pull
    >>> curve = ([0.01, -0.02], [0.02, 0.02], [0.05, -0.1], [1.0, 0.97])
    >>> axes = plot_bias_pull([10, 100] * u.GeV, {"b": curve})
    >>> [ax.get_ylabel() for ax in axes]
    ['Bias [%]', 'Pull']
    """
    if not curves:
        raise ValueError("plot_bias_pull needs at least one curve, got none.")
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.gcf().subplots(2, 1, sharex=True)
    top, bottom = axes
    positions = _positions(bottom, x, "x")
    _positions(top, x, "x")
    top.axhline(0, color="black", linewidth=1.2, linestyle="--")
    bottom.axhspan(-1, 1, color="0.9", zorder=0.5)
    bottom.axhline(0, color="black", linewidth=1.2, linestyle="--")
    names = ("bias", "bias_error", "pull", "pull_width")
    for i, (keywords, (label, curve)) in enumerate(
        zip(style.curve_styles(len(curves)), curves.items(), strict=True)
    ):
        bias, error, pull, width = (
            style.check_shape(f"{name} of {label!r}", values, (len(positions),), "(n,)")
            for name, values in zip(names, curve, strict=True)
        )
        keywords["linestyle"] = "none"
        keywords.update(capsize=3, markersize=5, label=label)
        where = _spread(bottom, positions, i, len(curves))
        top.errorbar(where, 100 * bias, 100 * error, **keywords)
        bottom.errorbar(where, pull, width, **keywords)
    top.set_ylabel("Bias [%]")
    bottom.set_ylabel("Pull")
    top.set_xlabel("")
    for ax in (top, bottom):
        ax.grid(axis="y", alpha=0.25, linewidth=0.6)
    top.legend(loc="best")
    return np.array([top, bottom], dtype=object)


def _positions(ax, x, name):
    """Where to draw; sets up the horizontal axis for labels or positive quantities."""
    if not isinstance(x, u.Quantity):
        labels = [str(label) for label in x]
        positions = np.arange(len(labels), dtype=float)
        ax.set_xticks(positions, labels)
        ax.set_xlim(-0.5, len(labels) - 0.5)
        return positions
    values, unit = style.positive_axis(name, x)
    ax.set_xscale("log")
    known = {**style.STRENGTH_LABELS, "GeV": "Mass"}
    ax.set_xlabel(style.unit_label(style.label_of(known, unit, "Signal"), unit))
    return values


def _spread(ax, positions, i, n):
    """Positions of curve i of n, moved aside so that bars do not hide each other."""
    shift = SPREAD * (i - 0.5 * (n - 1))
    return positions * 10**shift if ax.get_xscale() == "log" else positions + 2 * shift
