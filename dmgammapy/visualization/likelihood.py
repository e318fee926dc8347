"""Plots of how targets add up: likelihood curves and shares."""

import astropy.units as u
import numpy as np

from . import _style as style

__all__ = ["plot_contributions", "plot_likelihood_curves"]

MANY_CURVES = 8
MANY_BARS = 20


def plot_likelihood_curves(sigmav, stats, total=None, level=2.7055, ax=None, ymax=10.0):
    """Draw -2 ln L above its minimum against the signal strength.

    Of more than eight components the eight that rise most where the total crosses ``level`` are
    named, the others are drawn in grey.

    Parameters
    ----------
    sigmav : `~astropy.units.Quantity`, shape (n_norm,)
        Signal strengths, ascending; those that are not positive are left out of the picture, not
        of the search for the minimum.
    stats : dict of array, shape (n_norm,)
        -2 ln L of every component, by label, on any offset.
    total : array, shape (n_norm,), optional
        -2 ln L of the sum.
    level : float or None
        Height of a dashed line. Default is 2.7055, the 95 % upper limit.
    ax : `~matplotlib.axes.Axes`, optional
        Default is the current one.
    ymax : float
        Top of the picture. Default is 10.

    Returns
    -------
    ax : `~matplotlib.axes.Axes`

    Raises
    ------
    ValueError
        If shapes do not fit or strengths do not ascend.

    Examples
    --------
    >>> import numpy as np
    >>> import astropy.units as u
    >>> from dmgammapy.visualization import plot_likelihood_curves
    >>> x = np.geomspace(1e-28, 1e-24, 50)
    >>> stats = {"draco": (x / 2e-26) ** 2, "segue_1": (x / 3e-26 - 1) ** 2}
    >>> ax = plot_likelihood_curves(x * u.Unit("cm3 s-1"), stats, total=sum(stats.values()))
    >>> ax.get_legend_handles_labels()[1]
    ['draco', 'segue_1', 'Total']
    """
    strength = u.Quantity(sigmav)
    unit = strength.unit
    x = strength.value
    if x.ndim != 1 or not (np.diff(x) > 0).all():
        raise ValueError(f"sigmav must have the shape (n_norm,) and ascend, got {strength}.")
    curves = {
        label: _above_minimum(f"stats[{label!r}]", stat, x.shape) for label, stat in stats.items()
    }
    shown = x > 0
    ax = style.get_axes(ax)
    at = len(x) - 1
    if total is not None:
        total = _above_minimum("total", total, x.shape)
        crossed = np.flatnonzero((total > (level or ymax)) & (np.arange(len(x)) > total.argmin()))
        at = crossed[0] if crossed.size else at
    named = list(curves)
    if len(curves) > MANY_CURVES:
        named = sorted(curves, key=lambda label: -curves[label][at])[:MANY_CURVES]
        others = [label for label in curves if label not in named]
        for i, label in enumerate(others):
            ax.plot(
                x[shown], curves[label][shown], color="0.75", linewidth=0.9, zorder=1,
                label="_other" if i else f"{len(others)} others",
            )  # fmt: skip
    for keywords, label in zip(style.curve_styles(len(named)), named, strict=True):
        keywords.pop("marker")
        ax.plot(x[shown], curves[label][shown], linewidth=1.5, label=label, **keywords)
    if total is not None:
        ax.plot(x[shown], total[shown], color="black", linewidth=2.8, label="Total")
    if level is not None:
        ax.axhline(level, color=style.GREY, linewidth=1, linestyle=(0, (2, 2)), zorder=0)
    ax.set_xscale("log")
    ax.set_yscale("linear")  # the current axes may have held something else
    ax.set(xlim=(x[shown][0], x[shown][-1]), ylim=(0, ymax))
    ax.set_xlabel(style.unit_label(style.label_of(style.STRENGTH_LABELS, unit, "Strength"), unit))
    ax.set_ylabel(r"$-2\,\Delta\ln L$")
    ax.legend()
    return ax


def plot_contributions(labels, shares, ax=None):
    """Draw the share of every target in a combined limit, the largest on top.

    Of more than twenty the smallest are added up.

    Parameters
    ----------
    labels : list of str
    shares : array, shape (n_labels,)
        Fractions; a target with an excess can have a negative one.
    ax : `~matplotlib.axes.Axes`, optional
        Default is the current one.

    Returns
    -------
    ax : `~matplotlib.axes.Axes`

    Raises
    ------
    ValueError
        If there are not as many shares as labels.

    Examples
    --------
    >>> from dmgammapy.visualization import plot_contributions
    >>> ax = plot_contributions(["draco", "segue_1"], [0.3, 0.7])
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['segue_1', 'draco']
    """
    labels = [str(label) for label in labels]
    shares = style.check_shape("shares", shares, (len(labels),), "(n_labels,)")
    order = np.argsort(-shares, kind="stable")
    names, values = [labels[i] for i in order], shares[order]
    if len(names) > MANY_BARS:
        rest = values[MANY_BARS - 1 :]
        names = [*names[: MANY_BARS - 1], f"{len(rest)} others"]
        values = np.append(values[: MANY_BARS - 1], rest.sum())
    ax = style.get_axes(ax)
    position = np.arange(len(names))
    color = style.curve_styles(1)[0]["color"]
    ax.barh(position, 100 * values, color=color)
    for y, value in zip(position, values, strict=True):
        # right of the bar, or of zero: left of a negative bar are the names
        ax.annotate(
            f"{100 * value:.1f} %", (100 * max(value, 0.0), y), xytext=(3, 0),
            textcoords="offset points", va="center",
        )  # fmt: skip
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(position, names)
    ax.invert_yaxis()
    ax.set_xlabel("Share of the combined limit [%]")
    ax.margins(x=0.15)
    return ax


def _above_minimum(name, stat, shape):
    stat = style.check_shape(name, stat, shape, "(n_norm,)")
    return stat - np.nanmin(stat)
