"""What the plots of test statistics draw, compared with the arrays they were given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import binom, chi2, norm

from dmgammapy.visualization import plot_global_significance, plot_ts_cumulative

TS = [0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 5.0, 0.0, 0.5, 9.0]


def drawn(ax, label):
    """The artist with a label."""
    handles, labels = ax.get_legend_handles_labels()
    return handles[labels.index(label)]


def value_of_steps(line, x):
    """A line of steps that jump at the left end of each step."""
    assert line.get_drawstyle() == "steps-pre"
    return line.get_ydata()[np.searchsorted(line.get_xdata(), x, side="left")]


def test_fraction_at_or_above():
    ax = plot_ts_cumulative(TS, label="toys")
    line = drawn(ax, "toys (n = 10)")
    for x in (0.0, 0.3, 0.5, 1.0, 1.5, 2.0, 4.0, 5.0, 9.0):
        assert value_of_steps(line, x) == np.mean(np.array(TS) >= x)
    assert ax.get_yscale() == "log"
    assert ax.get_xlabel() == "TS"


def test_half_chi2_and_binomial_band():
    ax = plot_ts_cumulative(TS)
    x, y = drawn(ax, r"Half of $\chi^2_1$").get_data()
    assert (x[0], y[0]) == (0, 1)
    np.testing.assert_allclose(y[1:], 0.5 * chi2.sf(x[1:], 1))
    band = drawn(ax, "68 % for n = 10").get_paths()[0].vertices
    at = x[100]
    edges = sorted(band[np.isclose(band[:, 0], at), 1])
    p_value = norm.sf(np.sqrt(at))
    # at most 16 % of experiments lie below the lower and above the upper edge
    count = np.round(10 * np.array(edges))
    assert binom.cdf(count[0] - 1, 10, p_value) < 0.1587
    assert binom.sf(count[1], 10, p_value) < 0.1587
    assert binom.cdf(count[1], 10, p_value) - binom.cdf(count[0] - 1, 10, p_value) > 0.6827


def test_several_samples():
    ax = plot_ts_cumulative(
        {"toys": TS, "blank": [1.0, 3.0, np.nan]}, expectation=lambda ts: np.exp(-ts / 2)
    )
    assert ax.get_legend_handles_labels()[1] == [
        "toys (n = 10)", "blank (n = 2, 1 without TS)", "Expected", "68 % for n = 2",
    ]  # fmt: skip
    assert value_of_steps(drawn(ax, "blank (n = 2, 1 without TS)"), 2.0) == 0.5
    x, y = drawn(ax, "Expected").get_data()
    np.testing.assert_allclose(y, np.exp(-x / 2))
    styles = {line.get_linestyle() for line in ax.get_lines()[:2]}
    assert len(styles) == 2


def test_all_of_chi2_and_no_expectation():
    x, y = drawn(plot_ts_cumulative(TS, expectation="chi2"), r"$\chi^2_1$").get_data()
    np.testing.assert_allclose(y, chi2.sf(x, 1))
    _, ax = plt.subplots()
    plot_ts_cumulative(TS, ax=ax, expectation=None)
    assert len(ax.get_lines()) == 1


def test_global_significance():
    toys = np.linspace(1, 10, 200)
    curve = ([10.0, 20.0, 30.0], [4e-3, 3e-5, 2e-7])
    ax = plot_global_significance(22.0, {"b": toys, "all": toys + 2}, curves={"tail": curve})
    assert value_of_steps(drawn(ax, "all (n = 200)"), 2.9) == 1.0
    assert value_of_steps(drawn(ax, "b (n = 200)"), toys[180]) == pytest.approx(0.1)
    np.testing.assert_array_equal(drawn(ax, "tail").get_data(), curve)
    np.testing.assert_array_equal(drawn(ax, "Observed, TS = 22").get_xdata(), [22, 22])
    assert ax.get_xlim()[1] > 22
    assert ax.get_ylim()[0] < 2e-7
    # all five lines of sigma are above 1e-7
    sigmas = {text.get_text(): text.xy[1] for text in ax.texts}
    assert sigmas == {rf"{k}$\sigma$": norm.sf(k) for k in range(1, 6)}


def test_what_does_not_fit():
    with pytest.raises(ValueError, match="'Data' holds no finite TS among 2 values"):
        plot_ts_cumulative([np.nan, np.nan])
    with pytest.raises(ValueError, match="expectation must be one of"):
        plot_ts_cumulative(TS, expectation="gauss")
    with pytest.raises(ValueError, match="at least one sample"):
        plot_ts_cumulative({})
    with pytest.raises(ValueError, match="ts must be finite, got nan"):
        plot_global_significance(np.nan, TS)
