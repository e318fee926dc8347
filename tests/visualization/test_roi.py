"""Plots of a region of interest."""

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from dmgammapy.visualization import roi


@pytest.fixture(autouse=True)
def _figures():
    yield
    plt.close("all")


@pytest.fixture
def wcs():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.cdelt = -0.1, 0.1
    wcs.wcs.crval = 260.0, 57.9
    return wcs


def test_maps_draw_their_values(wcs):
    values = np.arange(12.0).reshape(3, 4)
    for function, label in (
        (roi.plot_counts_map, "Counts per pixel"),
        (roi.plot_model_map, "Predicted counts per pixel"),
    ):
        ax = function(values, wcs)
        np.testing.assert_array_equal(ax.images[0].get_array(), values)
        assert ax.figure.axes[-1].get_ylabel() == label


def test_residual_colours_are_symmetric_and_not_too_tight(wcs):
    quiet = roi.plot_residual_map(np.array([[0.5, -1.0], [0.2, np.nan]]), wcs)
    assert quiet.images[0].get_clim() == (-5, 5)
    loud = roi.plot_residual_map(np.array([[0.5, -1.0], [8.0, 0.0]]), wcs)
    assert loud.images[0].get_clim() == (-8, 8)


def test_ts_starts_at_zero_and_has_lines(wcs):
    ax = roi.plot_ts_map(np.array([[0.5, -1.0], [8.0, 0.0]]), wcs)
    assert ax.images[0].get_clim() == (0, 8)
    assert ax.collections  # contours
    assert roi.plot_ts_map(np.zeros((2, 2)), wcs).images[0].get_clim() == (0, 5)


def test_histogram_counts_every_finite_value():
    values = np.append(np.random.default_rng(1).normal(size=500), [np.nan, 6.3])
    ax = roi.plot_significance_histogram(values)
    assert sum(patch.get_height() for patch in ax.patches) == 501
    gauss = ax.lines[0]
    assert np.trapezoid(gauss.get_ydata(), gauss.get_xdata()) == pytest.approx(501 * 0.25, rel=0.01)
    assert "mean" in ax.get_legend_handles_labels()[1][0]
    with pytest.raises(ValueError, match="finite"):
        roi.plot_significance_histogram([np.nan])


def test_counts_spectrum_shows_parts_and_residuals():
    edges = [1, 10, 100, 1000] * u.GeV
    components = {"galactic": [60, 10, 0], "source": [40, 6, 0]}
    top, bottom = roi.plot_counts_spectrum(edges, [121, 8, 0], [100, 16, 0], components)
    labels = top.get_legend_handles_labels()[1]
    assert {"galactic", "source", "Sum of models", "Counts"} == set(labels)
    np.testing.assert_array_equal(bottom.lines[-1].get_ydata(), [2.1, -2.0, np.nan])
    assert bottom.get_xlabel() == "Energy [GeV]"
    np.testing.assert_allclose(top.lines[0].get_ydata(), [60, 10, np.nan])
    with pytest.raises(ValueError, match="counts must have"):
        roi.plot_counts_spectrum(edges, [1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="component 'a'"):
        roi.plot_counts_spectrum(edges, [1, 2, 3], [1, 2, 3], {"a": [1]})


def test_correlations_are_bars_with_the_first_on_top():
    ax = roi.plot_correlation(
        ["a.norm", "b.norm"], [-0.5, 0.2], separation=[1.26, np.nan] * u.deg, target="c.norm"
    )
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["a.norm (1.3$\\degree$)", "b.norm"]
    assert ax.yaxis_inverted()
    assert ax.get_xlabel() == "Correlation with c.norm"
    with pytest.raises(ValueError, match="no correlation"):
        roi.plot_correlation([], [])
    with pytest.raises(ValueError, match="between -1 and 1"):
        roi.plot_correlation(["a"], [1.2])


def test_strong_residuals_show_their_sign_in_greyscale(wcs):
    values = np.array([[-5.0, -4.0], [0.0, 5.0]])
    image = roi.plot_residual_map(values, wcs).images[0]
    luminance = image.to_rgba(values)[..., :3] @ [0.299, 0.587, 0.114]
    assert luminance[1, 0] > 0.9
    assert luminance[0, 0] < luminance[0, 1] < luminance[1, 1] - 0.1


def test_residual_lines_are_dashed_below_zero(wcs):
    values = np.zeros((20, 20))
    values[4:8, 4:8], values[12:16, 12:16] = -6, 6
    ax = roi.plot_residual_map(values, wcs)
    lines = ax.collections[-1]
    np.testing.assert_array_equal(lines.levels, [-3, 3])
    assert lines.linestyles == ["--", "-"]
    assert {text.get_text() for text in ax.texts} == {"\N{MINUS SIGN}3", "3"}
    alone = roi.plot_residual_map(np.maximum(values, 0), wcs).collections[-1]
    assert list(alone.levels) == [3]
    assert alone.linestyles == ["-"]


def test_labels_that_overlap_are_left_out(wcs):
    wcs.wcs.crpix = 20, 20
    here = SkyCoord(260.0, 57.9, unit="deg")
    places = [(0, 0), (0.1, 90), (1.5, 180)]
    markers = {
        name: here.directional_offset_by(angle * u.deg, away * u.deg)
        for name, (away, angle) in zip(("first", "second", "far"), places, strict=True)
    }
    ax = roi.plot_counts_map(np.ones((40, 40)), wcs, markers=markers)
    assert [t.get_text() for t in ax.texts if t.get_visible()] == ["first", "far"]
    assert sum(line.get_marker() == "+" for line in ax.lines) == 3


def test_minus_sign_of_the_mean():
    ax = roi.plot_significance_histogram([-1.0, -2.0])
    assert "mean \N{MINUS SIGN}1.50" in ax.get_legend_handles_labels()[1][0]
