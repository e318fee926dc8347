"""Sky map and ladder of J-factors."""

from itertools import combinations

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

from dmgammapy.visualization import plot_jfactors, plot_sky


def boxes(ax):
    """Boxes of the labels of a map, by label."""
    ax.figure.canvas.draw()
    # of the text alone, without the line that joins it to its place
    return {text.get_text(): Text.get_window_extent(text) for text in ax.texts}


def overlap(a, b):
    low, high = np.maximum(a.min, b.min), np.minimum(a.max, b.max)
    return np.clip(high - low, 0, None).prod()


@pytest.mark.parametrize("projection", ["mollweide", "aitoff", "hammer"])
@pytest.mark.parametrize("seed", [0, 1])
def test_labels_do_not_overlap(projection, seed):
    random = np.random.default_rng(seed)
    lon, lat = random.uniform(0, 360, 30) * u.deg, np.degrees(random.uniform(-0.9, 0.9, 30)) * u.deg
    # a cluster in which labels would lie on each other
    lon[:6], lat[:6] = random.normal(40, 4, 6) * u.deg, random.normal(30, 4, 6) * u.deg
    labels = [f"Target {i:02d}" for i in range(30)]
    ax = plot_sky(lon, lat, labels, random.uniform(17, 20, 30), projection=projection)
    found = boxes(ax)
    assert list(found) == labels
    for first, second in combinations(found.values(), 2):
        assert overlap(first, second) == 0
    frame = ax.figure.bbox
    assert all(frame.contains(*box.min) and frame.contains(*box.max) for box in found.values())


def test_places():
    lon, lat = [0, 90, 270] * u.deg, [0, 30, -60] * u.deg
    ax = plot_sky(lon, lat, list("abc"))
    drawn = np.degrees([text.xy for text in ax.texts])
    np.testing.assert_allclose(drawn, [[0, 0], [-90, 30], [90, -60]], atol=1e-12)
    names = [text.get_text() for text in ax.get_xticklabels()]
    # from left to right
    assert names[0] == "150°"
    assert names[names.index("0°") + 1] == "330°"


def test_larger_values_are_darker_and_larger():
    ax = plot_sky([10, 50, 90] * u.deg, [0, 0, 0] * u.deg, values=[17.0, 20, np.nan])
    unknown, points = ax.collections
    np.testing.assert_array_equal(unknown.get_offsets(), np.radians([[-90, 0]]))
    values, sizes = points.get_array(), points.get_sizes()
    assert sizes[values == 20] > sizes[values == 17]
    red, green, blue, _ = points.cmap(points.norm([17.0, 20.0])).T
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    assert luminance[0] - luminance[1] > 0.4


def test_equal_values_need_no_colour_bar():
    ax = plot_sky([10, 50] * u.deg, [0, 0] * u.deg, values=[18.0, 18])
    assert len(ax.figure.axes) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lat": [0] * u.deg}, "lat must have the shape"),
        ({"lat": [0, np.nan] * u.deg}, "must be finite"),
        ({"labels": ["a"]}, "labels must be 2"),
        ({"values": [1.0]}, "values must have the shape"),
    ],
)
def test_sky_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_sky(**{"lon": [0, 1] * u.deg, "lat": [0, 1] * u.deg} | arguments)


def test_sky_needs_axes_of_the_sky():
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="projection='mollweide'"):
        plot_sky([0] * u.deg, [0] * u.deg, ax=ax)


def test_ladder():
    ax = plot_jfactors(
        ["a", "b", "c", "d"], [18.0, 19, np.nan, 17], [[0.1, 0.2], [0.3, 0.3], [0, 0], [np.nan] * 2]
    )
    assert [text.get_text() for text in ax.get_yticklabels()] == ["b", "a", "d", "c"]
    bars = ax.collections[0].get_segments()
    np.testing.assert_allclose([bar[:, 0] for bar in bars], [[18.7, 19.3], [17.9, 18.2]])
    # the first on top, the one without width open
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    (unsure,) = (line for line in ax.lines if line.get_label() == "Width unknown")
    assert unsure.get_xdata().tolist() == [17.0]
    assert [text.get_text() for text in ax.texts] == ["no J"]


@pytest.mark.parametrize("n", [3, 15, 45, 100])
def test_labels_of_the_ladder_do_not_overlap(n):
    ax = plot_jfactors([f"Target {i}" for i in range(n)], np.linspace(17, 20, n))
    ax.figure.canvas.draw()
    extents = [text.get_window_extent() for text in ax.get_yticklabels()]
    for upper, lower in zip(extents[:-1], extents[1:], strict=True):
        assert lower.y1 <= upper.y0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"log10_jfactor": [18.0]}, "log10_jfactor must have the shape"),
        ({"log10_jfactor": [np.nan] * 2}, "no value is known"),
        ({"log10_jfactor_err": [0.1]}, "log10_jfactor_err must have the shape"),
        ({"log10_jfactor_err": [0.1, -0.1]}, "must not be negative"),
        ({"kind": "K"}, "kind must be one of J, D"),
    ],
)
def test_ladder_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_jfactors(**{"labels": ["a", "b"], "log10_jfactor": [18.0, 19]} | arguments)
