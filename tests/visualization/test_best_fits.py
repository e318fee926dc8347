"""What the plot of best fits draws, compared with the arrays it was given."""

import astropy.units as u
import numpy as np
import pytest

from dmgammapy.visualization import plot_best_fits

CS = u.Unit("cm3 s-1")
MASS = [10, 30, 100, 300] * u.GeV
BEST = [0, 2e-26, np.nan, 4e-25] * CS


def drawn(ax, label):
    handles, labels = ax.get_legend_handles_labels()
    return handles[labels.index(label)]


def test_points_are_where_they_belong_and_zeros_are_open():
    ax = plot_best_fits(MASS, BEST.to("m3 s-1"))
    filled, zero = drawn(ax, "Best fit"), drawn(ax, "No signal fits best")
    np.testing.assert_allclose(filled.get_xydata(), [[30, 2e-32], [300, 4e-31]])
    np.testing.assert_allclose(zero.get_xydata(), [[10, 0]])
    assert zero.get_markerfacecolor() == "white"
    # zero is on the axis, below the lowest decade, and has a label
    assert ax.get_yscale() == "symlog"
    low, high = ax.get_ylim()
    assert low < 0 < 4e-31 < high
    start = ax.transData.transform([(10, 0), (10, 1e-32), (10, 1e-31), (10, 1e-30)])[:, 1]
    assert (np.diff(start) > 10).all()
    assert 0 in ax.get_yticks()
    assert ax.get_ylabel() == r"$\langle\sigma v\rangle$ best fit [m$^{3}$ s$^{-1}$]"


def test_without_zeros_the_axis_is_logarithmic():
    ax = plot_best_fits(MASS[:2], [1e-26, 2e-25] * CS)
    assert ax.get_yscale() == "log"
    assert "No signal fits best" not in ax.get_legend_handles_labels()[1]


def test_errors_and_bands_that_reach_zero():
    errors = [[np.nan, np.nan, np.nan, 1e-25], [1e-26, 3e-26, 1, 2e-25]] * CS
    band = [[0, 0, 0, 0], [1e-26, 2e-26, 3e-26, 4e-26]] * CS
    ax = plot_best_fits(MASS, BEST, errors, median=[0] * 4 * CS, band68=band)
    bars = [c for c in ax.collections if hasattr(c, "get_segments")][0].get_segments()
    found = {x: (low, high) for (x, low), (_, high) in bars}
    assert list(found) == [10, 30, 300]
    np.testing.assert_allclose(found[10], [0, 1e-26])
    np.testing.assert_allclose(found[30], [0, 5e-26])
    np.testing.assert_allclose(found[300], [3e-25, 6e-25])
    np.testing.assert_array_equal(drawn(ax, "Expected, median").get_ydata(), 0)
    vertices = np.concatenate([p.vertices for p in drawn(ax, "68 % expected").get_paths()])
    for mass, top in zip(MASS.value, band[1].value, strict=True):
        at = vertices[vertices[:, 0] == mass, 1]
        np.testing.assert_allclose((at.min(), at.max()), (0, top))


def test_one_mass_has_an_area():
    band = [[1e-27], [3e-26]] * CS
    ax = plot_best_fits([100] * u.GeV, median=[1e-26] * CS, band95=band)
    vertices = np.concatenate([p.vertices for p in drawn(ax, "95 % expected").get_paths()])
    assert np.ptp(vertices[:, 0]) > 1
    assert np.ptp(drawn(ax, "Expected, median").get_xdata()) > 1


def test_bands_of_any_content():
    band = [0.5, 2] * u.one
    best = plot_best_fits(
        MASS, median=BEST, bands={0.9: np.outer(band, BEST.value) * CS},
        band_label="{} of simulations", median_label="Simulations, median",
    )  # fmt: skip
    assert best.get_legend_handles_labels()[1] == ["90 % of simulations", "Simulations, median"]


def test_truth():
    ax = plot_best_fits(MASS, BEST, truth=(0.1 * u.TeV, 3e-32 * u.Unit("m3 s-1")))
    np.testing.assert_allclose(drawn(ax, "Injected signal").get_xydata(), [[100, 3e-26]])


def test_all_zero():
    ax = plot_best_fits(MASS, np.zeros(4) * CS)
    assert list(ax.get_yticks()) == [0]


def test_bad_input():
    with pytest.raises(ValueError, match="needs observed, median or a band"):
        plot_best_fits(MASS)
    with pytest.raises(ValueError, match=r"observed must have the shape \(n_mass,\)"):
        plot_best_fits(MASS, [1, 2] * CS)
    with pytest.raises(ValueError, match=r"68 % band must have the shape \(2, n_mass\)"):
        plot_best_fits(MASS, band68=BEST)
    with pytest.raises(ValueError, match="ascend"):
        plot_best_fits(MASS[::-1], BEST)
