"""What the figures of validation draw, compared with the arrays they were given."""

import astropy.units as u
import numpy as np
import pytest

from dmgammapy.visualization import plot_bias_pull, plot_coverage


def points(ax, label):
    """Positions, values and ends of the error bars, shape (n,), (n,), (n, 2)."""
    handles, labels = ax.get_legend_handles_labels()
    line, _, (bars,) = handles[labels.index(label)].lines
    ends = [segment[:, 1] for segment in bars.get_segments() if len(segment)]
    return line.get_xdata(), line.get_ydata(), np.array(ends)


def test_coverage_by_label():
    ax = plot_coverage(
        ["none", "limit"],
        {"profile": [0.99, 0.95], "toys": [0.96, np.nan]},
        {"profile": [0.002, 0.005], "toys": [[0.01, 0.01], [0.02, 0.02]]},
        accepted=(0.94, 0.97),
    )
    x, y, ends = points(ax, "profile")
    np.testing.assert_allclose(y, [99, 95])
    np.testing.assert_allclose(ends, [(98.8, 99.2), (94.5, 95.5)])
    other, y, ends = points(ax, "toys")
    np.testing.assert_allclose(y, [96, np.nan])
    np.testing.assert_allclose(ends[0], (95, 98))
    np.testing.assert_allclose(0.5 * (x + other), [0, 1], atol=1e-12)  # side by side
    assert [text.get_text() for text in ax.get_xticklabels()] == ["none", "limit"]
    handles, labels = ax.get_legend_handles_labels()
    np.testing.assert_allclose(handles[labels.index("95 %")].get_ydata(), 95)
    (shade,) = ax.patches
    np.testing.assert_allclose(shade.get_extents().ymin, ax.transData.transform((0, 94))[1])


def test_coverage_by_strength():
    ax = plot_coverage([1e-26, 3e-26] * u.Unit("cm3 s-1"), [0.9, 0.91], cl=0.9, label="FC")
    handles, labels = ax.get_legend_handles_labels()
    assert labels == ["90 %", "FC"]
    np.testing.assert_allclose(handles[1].lines[0].get_xdata(), [1e-26, 3e-26])
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == r"$\langle\sigma v\rangle$ [cm$^{3}$ s$^{-1}$]"


def test_bias_and_pull():
    curves = {
        "b": ([0.01, -0.02], [0.02, 0.03], [0.1, -0.2], [1.0, 0.9]),
        "tau": ([0.03, 0.0], [0.01, 0.01], [0.0, 0.5], [1.1, 1.2]),
    }
    top, bottom = plot_bias_pull([10, 1000] * u.GeV, curves)
    x, y, ends = points(top, "b")
    np.testing.assert_allclose(y, [1, -2])
    np.testing.assert_allclose(ends, [(-1, 3), (-5, 1)])
    other, y, ends = points(bottom, "tau")
    np.testing.assert_allclose(y, [0, 0.5])
    np.testing.assert_allclose(ends, [(-1.1, 1.1), (-0.7, 1.7)])
    np.testing.assert_allclose(np.sqrt(x * other), [10, 1000])
    assert bottom.get_xlabel() == "Mass [GeV]"
    assert not top.get_xlabel()


def test_what_does_not_fit():
    with pytest.raises(ValueError, match=r"coverage of 'Coverage' .* \(2,\), got \(3,\)"):
        plot_coverage(["a", "b"], [0.9, 0.9, 0.9])
    with pytest.raises(ValueError, match="errors are of"):
        plot_coverage(["a"], {"x": [0.9]}, {"y": [0.1]})
    with pytest.raises(ValueError, match="at least one curve"):
        plot_bias_pull(["a"], {})
    with pytest.raises(ValueError, match="pull of 'b'"):
        plot_bias_pull(["a"], {"b": ([0.1], [0.1], [0.1, 0.2], [1.0])})
