"""What the plots of limits and bands draw, compared with the arrays they were given."""

import astropy.units as u
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from dmgammapy.visualization import plot_limit_bands, plot_limit_panels, thermal_relic

CS = u.Unit("cm3 s-1")
MASS = [10, 30, 100, 300, 1000] * u.GeV
MEDIAN = [5e-27, 8e-27, 2e-26, 6e-26, 2e-25] * CS
BANDS = {"band68": (0.7 * MEDIAN, 1.4 * MEDIAN), "band95": (0.5 * MEDIAN, 2 * MEDIAN)}


def drawn(ax, label):
    """The artist with a label."""
    handles, labels = ax.get_legend_handles_labels()
    return handles[labels.index(label)]


def area(ax, label):
    """Lower and upper edge of an area by mass."""
    edges = {}
    for path in drawn(ax, label).get_paths():
        for x, y in path.vertices:
            edges.setdefault(round(x, 6), set()).add(y)
    return {x: (min(y), max(y)) for x, y in edges.items()}


def luminance(color):
    """Relative luminance as greyscale conversion takes it (ITU-R BT.601)."""
    return np.dot(mpl.colors.to_rgb(color), [0.299, 0.587, 0.114])


def test_lines_and_band_edges():
    ax = plot_limit_bands(
        MASS, 1.1 * MEDIAN.to("m3 s-1"), MEDIAN, **BANDS, truth=(0.1 * u.TeV, 3e-26 * CS)
    )
    # the first given decides the unit
    np.testing.assert_allclose(drawn(ax, "Observed").get_ydata(), 1.1e-6 * MEDIAN.value)
    np.testing.assert_allclose(drawn(ax, "Observed").get_xdata(), MASS.value)
    median = drawn(ax, "Expected, median")
    np.testing.assert_allclose(median.get_ydata(), 1e-6 * MEDIAN.value)
    assert median.get_linestyle() == "--"
    for name, low, high in (("68 %", 0.7, 1.4), ("95 %", 0.5, 2.0)):
        edges = area(ax, f"{name} expected")
        assert list(edges) == list(MASS.value)
        np.testing.assert_allclose(
            np.array(list(edges.values())).T, 1e-6 * np.array([low * MEDIAN, high * MEDIAN])
        )
    np.testing.assert_allclose(drawn(ax, "Injected signal").get_xydata(), [[100, 3e-32]])
    relic = drawn(ax, "Thermal relic")
    assert (relic.get_xdata()[0], relic.get_xdata()[-1]) == pytest.approx((10, 1000))
    np.testing.assert_allclose(
        relic.get_ydata(), 1e-6 * thermal_relic(relic.get_xdata() * u.GeV).value
    )
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert ax.get_xlabel() == "Mass [GeV]"
    assert ax.get_ylabel() == r"$\langle\sigma v\rangle$ upper limit [m$^{3}$ s$^{-1}$]"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[:4] == ["95 % expected", "68 % expected", "Expected, median", "Observed"]


def test_bands_survive_greyscale():
    ax = plot_limit_bands(MASS, median=MEDIAN, **BANDS)
    light, dark = (luminance(drawn(ax, f"{n} % expected").get_facecolor()[0][:3]) for n in (95, 68))
    assert 1 - light > 0.05  # from the white page
    assert light - dark > 0.15
    assert dark > 0.5  # black lines stand out
    assert drawn(ax, "95 % expected").get_zorder() <= drawn(ax, "68 % expected").get_zorder()


def test_bands_of_any_content():
    bands = {0.8: (0.6 * MEDIAN, 1.8 * MEDIAN), 0.9973: (0.3 * MEDIAN, 4 * MEDIAN), 0.5: None}
    ax = plot_limit_bands(
        MASS, median=MEDIAN, bands=bands | {0.68: BANDS["band68"]},
        band_label="{} of simulations", thermal_relic=False,
    )  # fmt: skip
    names = ax.get_legend_handles_labels()[1]
    bands = [name for name in names if name.endswith("of simulations")]
    assert bands == [f"{n} % of simulations" for n in ("99.7", "80", "68")]
    assert area(ax, bands[0])[100] == pytest.approx((0.6e-26, 8e-26))
    shades = [luminance(drawn(ax, name).get_facecolor()[0][:3]) for name in bands]
    assert shades == sorted(shades, reverse=True)
    assert min(-np.diff(shades)) > 0.05


def test_gaps_and_single_masses():
    """Masses: known, unknown, known alone, unknown, known: nothing bridges a gap."""
    holes = MEDIAN.copy()
    holes[[1, 3]] = np.nan * CS
    ax = plot_limit_bands(MASS, holes, holes, band68=(0.7 * holes, 1.4 * holes))
    np.testing.assert_array_equal(drawn(ax, "Observed").get_ydata(), holes.value)
    assert drawn(ax, "Observed").get_marker() == "o"
    assert drawn(ax, "Expected, median").get_marker() == "_"
    (bars,) = [c for c in ax.collections if isinstance(c, mpl.collections.LineCollection)]
    known = np.flatnonzero(np.isfinite(holes))
    np.testing.assert_allclose(
        bars.get_segments(),
        [[(MASS[i].value, f * MEDIAN[i].value) for f in (0.7, 1.4)] for i in known],
    )


def test_extrapolated_limits_are_marked():
    ax = plot_limit_bands(MASS, MEDIAN, status=[0, 0, 1, 0, 2], thermal_relic=False)
    flagged = drawn(ax, "Extrapolated or approximate")
    np.testing.assert_allclose(flagged.get_xdata(), [100, 1000])
    assert flagged.get_markerfacecolor() == "white"
    assert "Thermal relic" not in ax.get_legend_handles_labels()[1]


def test_lifetimes():
    tau = [1e25, 2e25, 3e25, 4e25, 5e25] * u.s
    ax = plot_limit_bands(MASS, tau, band95=(0.5 * tau, 2 * tau), observed_label="15 years")
    assert ax.get_ylabel() == r"Lifetime $\tau$ lower limit [s]"
    assert ax.get_legend_handles_labels()[1] == ["95 % expected", "15 years"]
    assert area(ax, "95 % expected")[1000] == pytest.approx((2.5e25, 1e26))


def test_panels():
    panels = {
        name: {"masses": MASS, "observed": f * MEDIAN, "median": MEDIAN, **BANDS}
        for name, f in (("b", 1.0), ("tau", 1.2), ("W", 0.9), ("mu", 1.1))
    }
    axes = plot_limit_panels(panels, thermal_relic=False)
    assert [ax.get_title() for ax in axes] == ["b", "tau", "W", "mu"]
    for ax, factor in zip(axes, (1.0, 1.2, 0.9, 1.1), strict=True):
        np.testing.assert_allclose(drawn(ax, "Observed").get_ydata(), factor * MEDIAN.value)
        assert ax.get_ylim() == axes[0].get_ylim()
    # three in the first row, one below the first; labels at the left and where nothing is below
    assert [bool(ax.get_ylabel()) for ax in axes] == [True, False, False, True]
    assert [bool(ax.get_xlabel()) for ax in axes] == [False, True, True, True]
    assert [ax.get_legend() is not None for ax in axes] == [True, False, False, False]
    assert len(axes[0].figure.axes) == 4


def test_panels_on_given_axes():
    _, (left, right) = plt.subplots(1, 2)
    axes = plot_limit_panels(
        {n: {"masses": MASS, "median": MEDIAN} for n in ("b", "tau")}, axes=[left, right],
        mass_unit="TeV",
    )  # fmt: skip
    assert list(axes) == [left, right]
    np.testing.assert_allclose(drawn(right, "Expected, median").get_xdata(), MASS.to_value("TeV"))
    assert not right.get_ylabel()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({}, "needs observed, median or a band"),
        ({"median": MEDIAN[:3]}, r"Expected, median.* \(n_mass,\) = \(5,\), got \(3,\)"),
        ({"band68": (MEDIAN, 0.9 * MEDIAN)}, "68 % band lies upside down at mass 10 GeV"),
        ({"band95": MEDIAN}, "95 % band must be a lower and an upper edge, got 5"),
        ({"observed": MEDIAN, "status": [0, 1]}, "status must have the shape"),
        ({"bands": {95: BANDS["band95"]}}, "fraction that they hold, between 0 and 1, got 95"),
    ],
)
def test_what_does_not_fit(kwargs, message):
    with pytest.raises(ValueError, match=message):
        plot_limit_bands(MASS, **kwargs)


def test_panels_that_do_not_fit():
    with pytest.raises(ValueError, match="at least one panel"):
        plot_limit_panels({})
    with pytest.raises(ValueError, match="1 panels but 2 axes"):
        plot_limit_panels({"b": {"masses": MASS, "median": MEDIAN}}, axes=plt.subplots(1, 2)[1])
    with pytest.raises(ValueError, match="positive and ascend"):
        plot_limit_bands(MASS[::-1], MEDIAN)
