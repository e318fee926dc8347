"""Distributions of test statistics against what they should be without a signal."""

import numpy as np
from scipy.stats import binom, chi2, norm

from . import _style as style

__all__ = ["plot_global_significance", "plot_ts_cumulative"]

N_GRID = 400
BAND = 0.6827
EXPECTATIONS = {
    "half_chi2": (r"Half of $\chi^2_1$", lambda ts: np.where(ts > 0, 0.5, 1) * chi2.sf(ts, 1)),
    "chi2": (r"$\chi^2_1$", lambda ts: chi2.sf(ts, 1)),
}
MAX_SIGMA = 5


def plot_ts_cumulative(ts, ax=None, expectation="half_chi2", label="Data"):
    r"""Draw the fraction of test statistics at or above a value against that value.

    Parameters
    ----------
    ts : array or dict of arrays
        Test statistics of a sample, or of several by label. NaN is left out and counted in the
        legend.
    ax : `~matplotlib.axes.Axes`, optional
        Default is the current one.
    expectation : {"half_chi2", "chi2"}, function or None
        What to compare with: half of :math:`\chi^2_1` (a strength that may not be negative; the
        default), all of it, or a function that gives the expected fraction at an array of values.
        A band shows where the fraction found in the smallest sample lies in 68 % of cases
        (binomial). None draws neither.
    label : str
        Label of a single sample. Default is "Data".

    Returns
    -------
    ax : `~matplotlib.axes.Axes`

    Raises
    ------
    ValueError
        If a sample is empty or the expectation unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.visualization import plot_ts_cumulative
    >>> noise = np.random.default_rng(1).normal(size=200)
    >>> ax = plot_ts_cumulative(np.maximum(noise, 0) ** 2, label="toys")
    >>> ax.get_legend_handles_labels()[1]
    ['toys (n = 200)', 'Half of $\\chi^2_1$', '68 % for n = 200']
    """
    samples = ts if isinstance(ts, dict) else {label: ts}
    if not samples:
        raise ValueError("plot_ts_cumulative needs at least one sample, got none.")
    sorted_samples = {name: _sorted(name, values) for name, values in samples.items()}
    ax = style.get_axes(ax)
    end = 1.08 * max(max(values[-1] for values, _ in sorted_samples.values()), 1.0)
    for keywords, (name, (values, n_nan)) in zip(
        style.curve_styles(len(samples)), sorted_samples.items(), strict=True
    ):
        keywords.pop("marker")
        without = f", {n_nan} without TS" if n_nan else ""
        _draw_survival(ax, values, f"{name} (n = {len(values)}{without})", **keywords)
    smallest = min(len(values) for values, _ in sorted_samples.values())
    if expectation is not None:
        _draw_expectation(ax, expectation, end, smallest)
    ax.set_yscale("log")
    ax.set_xscale("linear")  # current axes may have been used for something else
    ax.set_xlim(-0.01 * end, end)
    largest = max(len(values) for values, _ in sorted_samples.values())
    ax.set_ylim(0.4 / largest, 1.5)
    ax.set_xlabel("TS")
    ax.set_ylabel("Fraction with this TS or more")
    ax.grid(which="major", alpha=0.25, linewidth=0.6)
    ax.legend(loc="best")
    return ax


def plot_global_significance(
    ts, toys_max, ax=None, label="Largest of all looks", curves=None, observed_label="Observed"
):
    """Draw the largest TS of simulations without signal and the observed one.

    Parameters
    ----------
    ts : float
        Observed largest TS.
    toys_max : array or dict of arrays
        Largest TS of each simulation, or of several sets of looks by label.
    ax : `~matplotlib.axes.Axes`, optional
        Default is the current one.
    label : str
        Label of a single set. Default is "Largest of all looks".
    curves : dict, optional
        By label: ``(ts, p_value)`` of formulas that continue the simulations.
    observed_label : str
        Default is "Observed".

    Returns
    -------
    ax : `~matplotlib.axes.Axes`
        Dotted lines mark one-sided Gaussian significances.

    Raises
    ------
    ValueError
        If a set is empty or ``ts`` not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.visualization import plot_global_significance
    >>> toys_max = np.random.default_rng(1).normal(size=(500, 20)).max(axis=1) ** 2
    >>> ax = plot_global_significance(12.5, toys_max)
    >>> ax.get_legend_handles_labels()[1]
    ['Largest of all looks (n = 500)', 'Observed, TS = 12.5']
    """
    if not np.isfinite(ts):
        raise ValueError(f"ts must be finite, got {ts}.")
    ax = plot_ts_cumulative(toys_max, ax=ax, expectation=None, label=label)
    lowest = ax.get_ylim()[0]
    for i, (name, (values, p_values)) in enumerate((curves or {}).items()):
        p_values = np.asarray(p_values, dtype=float)
        line = style.LINE_STYLES[1 + i % (len(style.LINE_STYLES) - 1)]
        ax.plot(values, p_values, color="0.25", linestyle=line, linewidth=1.4, label=name)
        lowest = min(lowest, 0.5 * np.nanmin(p_values))
    ax.axvline(ts, color="black", linewidth=2, label=f"{observed_label}, TS = {ts:.3g}")
    ax.set_xlim(ax.get_xlim()[0], max(ax.get_xlim()[1], 1.15 * ts))
    ax.set_ylim(lowest, 1.5)
    for sigma in range(1, MAX_SIGMA + 1):
        if norm.sf(sigma) > lowest:
            ax.axhline(norm.sf(sigma), color=style.GREY, linewidth=0.8, linestyle=":", zorder=0.9)
            ax.annotate(
                rf"{sigma}$\sigma$", (1, norm.sf(sigma)), xycoords=ax.get_yaxis_transform(),
                xytext=(-3, 2), textcoords="offset points", ha="right", color=style.GREY,
            )  # fmt: skip
    ax.set_xlabel("Largest TS")
    ax.set_ylabel("Chance of this TS or more")
    ax.legend(loc="best")
    return ax


def _sorted(name, values):
    """Finite values of a sample in ascending order and how many are not finite."""
    values = np.asarray(values, dtype=float).ravel()
    known = np.sort(values[np.isfinite(values)])
    if not known.size:
        raise ValueError(f"sample {name!r} holds no finite TS among {values.size} values.")
    return known, values.size - known.size


def _draw_survival(ax, values, label, **keywords):
    """A step at every value: the fraction at or above it is reached from the left."""
    unique, first = np.unique(values, return_index=True)
    fraction = (len(values) - first) / len(values)
    ax.plot(
        np.append(0.0, unique), np.append(1.0, fraction), drawstyle="steps-pre", linewidth=1.8,
        label=label, **keywords,
    )  # fmt: skip


def _draw_expectation(ax, expectation, end, n):
    if callable(expectation):
        name, function = "Expected", expectation
    elif expectation in EXPECTATIONS:
        name, function = EXPECTATIONS[expectation]
    else:
        raise ValueError(
            f"expectation must be one of {sorted(EXPECTATIONS)}, a function or None, got "
            f"{expectation!r}."
        )
    grid = np.linspace(0, end, N_GRID)
    fraction = np.asarray(function(grid), dtype=float)
    ax.plot(grid, fraction, color="black", linewidth=1.4, linestyle=(0, (4, 1.5)), label=name)
    low, high = (binom.ppf(q, n, fraction) / n for q in (0.5 - BAND / 2, 0.5 + BAND / 2))
    ax.fill_between(
        grid, np.maximum(low, 1e-3 / n), high, color="0.85", linewidth=0, zorder=0.8,
        label=f"68 % for n = {n}",
    )  # fmt: skip
