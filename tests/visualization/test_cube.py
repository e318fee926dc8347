"""Images of the sky: what is drawn, where, and what is refused."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from matplotlib.colors import LogNorm
from matplotlib.patches import Rectangle

from dmgammapy.visualization.cube import plot_sky_image


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def wcs():
    """Pixels of 1 deg, pixel (0, 0) at RA 12, Dec 0."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---CAR", "DEC--CAR"
    wcs.wcs.crval = 12, 0
    wcs.wcs.crpix = 1, 1
    wcs.wcs.cdelt = -1, 1
    return wcs


def test_values_and_scale(wcs):
    values = np.array([[1.0, 10.0, 100.0], [np.nan, -1.0, 2.0]])
    ax = plot_sky_image(values, wcs, label="Limit", unit="cm3 s-1", log=True, vmax=50)
    drawn = ax.images[0].get_array()
    np.testing.assert_array_equal(drawn.mask, [[0, 0, 0], [1, 1, 0]])
    assert isinstance(ax.images[0].norm, LogNorm)
    assert ax.images[0].get_clim() == (1, 50)
    assert ax.images[0].colorbar.extend == "max"
    assert ax.images[0].colorbar.ax.get_ylabel() == "Limit [cm$^{3}$ s$^{-1}$]"
    assert [p.get_hatch() for p in ax.patches if isinstance(p, Rectangle)] == ["////"]
    assert ax.coords[0].get_axislabel() == "RA [deg]"


def test_lightness_falls_with_the_value(wcs):
    """Nothing is lost in greyscale: luminance (Rec. 709) is monotonic."""
    ax = plot_sky_image(np.arange(12.0).reshape(3, 4), wcs)
    colors = ax.images[0].to_rgba(np.arange(12.0))[:, :3]
    assert (np.diff(colors @ [0.2126, 0.7152, 0.0722]) < 0).all()


def test_markers_stand_at_their_position(wcs):
    place = {"Draco": SkyCoord(10, 1, unit="deg")}
    ax = plot_sky_image(np.eye(4), wcs, markers=place, contours=[0.5, 7])
    (marker,) = [line for line in ax.lines if line.get_marker() == "+"]
    np.testing.assert_allclose(marker.get_xydata(), [[2, 1]], atol=1e-9)
    assert "Draco" in [text.get_text() for text in ax.texts]


def test_one_value_everywhere_can_be_drawn(wcs):
    for log in (False, True):
        low, high = plot_sky_image(np.full((2, 2), 3.0), wcs, log=log).images[0].get_clim()
        assert low < 3 < high


@pytest.mark.parametrize(
    ("center", "arguments", "expected"),
    [
        (0, {}, (-4, 4)),
        (1, {}, (-2, 4)),
        (0, {"vmax": 3}, (-3, 3)),
        (1, {"vmin": 0}, (0, 2)),
        (0, {"vmin": -2, "vmax": 2}, (-2, 2)),
    ],
)
def test_colours_about_a_value(wcs, center, arguments, expected):
    values = np.array([[-1.0, 0.5], [4.0, np.nan]])
    image = plot_sky_image(values, wcs, center=center, **arguments).images[0]
    assert image.get_clim() == expected
    assert image.norm(center) == 0.5


def test_galactic_axes_say_so(wcs):
    wcs.wcs.ctype = "GLON-CAR", "GLAT-CAR"
    ax = plot_sky_image(np.eye(2), wcs)
    assert ax.coords[1].get_axislabel() == "Galactic latitude [deg]"


@pytest.mark.parametrize(
    ("values", "arguments", "message"),
    [
        (np.full((2, 2), np.nan), {}, "no pixel has a value"),
        (-np.ones((2, 2)), {"log": True}, "no pixel has a value"),
        (np.ones((2, 2)), {"log": True, "center": 1}, "does not go with log=True"),
        (np.ones((2, 2)), {"center": 0, "vmin": -1, "vmax": 2}, "equal distances"),
        (np.ones((2, 2)), {"center": 0, "vmin": 1}, "equal distances"),
        (np.ones(3), {}, r"shape \(ny, nx\)"),
        (np.ones((2, 2)), {"markers": {"far": SkyCoord(50, 1, unit="deg")}}, "far at .* outside"),
    ],
)
def test_bad_input_is_named(wcs, values, arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_sky_image(values, wcs, **arguments)


def test_axes_without_sky_are_refused(wcs):
    with pytest.raises(ValueError, match="projection=wcs"):
        plot_sky_image(np.eye(2), wcs, ax=plt.gca())
