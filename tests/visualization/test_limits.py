"""What the plots in mass and signal strength draw, compared with the arrays they were given."""

import astropy.units as u
import numpy as np
import pytest

from dmgammapy.visualization import plot_limits, plot_stat_map, thermal_relic

CS = u.Unit("cm3 s-1")
MASS = [10, 100, 1000] * u.GeV
LIMIT = [5e-27, 2e-26, 2e-25] * CS
SIGMAV = np.append(0, np.geomspace(1e-29, 1e-22, 400)) * CS
WIDTH = LIMIT.value[:, np.newaxis] / 1.645
DELTA_STAT = (SIGMAV.value / WIDTH) ** 2


def line_of(ax, label):
    (line,) = [line for line in ax.get_lines() if line.get_label() == label]
    return line


def labels_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


class TestStatMap:
    def test_mesh_is_delta_stat(self):
        mesh = plot_stat_map(MASS, SIGMAV, DELTA_STAT).collections[0]
        np.testing.assert_allclose(mesh.get_array(), DELTA_STAT[:, 1:].T)
        assert mesh.get_clim() == (0, 10)
        np.testing.assert_allclose(
            mesh.get_coordinates()[0, :, 0], [10**0.5, 10**1.5, 10**2.5, 10**3.5]
        )

    def test_rows_with_their_own_strengths(self):
        """Each mass scanned on its own grid gives the picture of one common grid."""
        scale = np.array([[1e-3], [1e-2], [1.0]])
        sigmav = scale * SIGMAV
        mesh = plot_stat_map(MASS, sigmav, (sigmav.value / WIDTH) ** 2).collections[0]
        image = mesh.get_array()
        edges = mesh.get_coordinates()[:, 0, 1]
        centers = np.sqrt(edges[1:] * edges[:-1])
        for i in range(3):
            inside = (centers > 1.01e-29 * scale[i]) & (centers < 0.99e-22 * scale[i])
            # linear between nodes 4 % apart
            np.testing.assert_allclose(
                image[inside, i], (centers[inside] / WIDTH[i]) ** 2, rtol=2e-3
            )
        assert np.ma.getmaskarray(image)[centers > 1.01e-25, 0].all()

    def test_limit_and_view(self):
        ul = LIMIT.copy()
        ul[0] = np.nan
        ax = plot_stat_map(MASS, SIGMAV, DELTA_STAT, ul=ul.to("m3 s-1"), ul_label="95 %")
        line = line_of(ax, "95 %")
        np.testing.assert_allclose(line.get_xdata(), MASS.value)
        np.testing.assert_allclose(line.get_ydata(), ul.value)
        np.testing.assert_allclose(ax.get_ylim(), [2e-26 / 30, 2e-24])
        assert ax.get_ylabel() == r"$\langle\sigma v\rangle$ [cm$^{3}$ s$^{-1}$]"

    def test_view_without_limit_follows_vmax(self):
        ax = plot_stat_map(MASS, SIGMAV, DELTA_STAT, vmax=1.645**2)
        # the level is reached where the limits are, to within a node
        np.testing.assert_allclose(ax.get_ylim(), [5e-27 / 30, 2e-24], rtol=0.05)

    def test_best_fit(self):
        best = [0, 1e-26, np.nan] * CS
        line = line_of(plot_stat_map(MASS, SIGMAV, DELTA_STAT, best=best), "Best fit")
        np.testing.assert_allclose(line.get_xydata(), [[100, 1e-26]])

    def test_single_mass(self):
        ax = plot_stat_map(MASS[:1], SIGMAV, DELTA_STAT[:1], ul=LIMIT[:1], mass_unit="TeV")
        np.testing.assert_allclose(
            ax.collections[0].get_coordinates()[0, :, 0], [10**-2.5, 10**-1.5]
        )
        assert ax.get_xlabel() == "Mass [TeV]"

    @pytest.mark.parametrize(
        ("sigmav", "delta_stat", "message"),
        [
            (SIGMAV, DELTA_STAT[:2], "delta_stat must have the shape"),
            (SIGMAV[::-1], DELTA_STAT, "sigmav must ascend"),
            (np.tile(SIGMAV, (2, 1)), DELTA_STAT, "sigmav must have the shape"),
        ],
    )
    def test_bad_input(self, sigmav, delta_stat, message):
        with pytest.raises(ValueError, match=message):
            plot_stat_map(MASS, sigmav, delta_stat)


class TestLimits:
    def test_curves(self):
        ax = plot_limits({"b": (MASS, LIMIT), "tau": (MASS.to("TeV"), 3 * LIMIT.to("m3 s-1"))})
        np.testing.assert_allclose(line_of(ax, "b").get_xydata(), np.c_[MASS.value, LIMIT.value])
        np.testing.assert_allclose(
            line_of(ax, "tau").get_xydata(), np.c_[MASS.value, 3 * LIMIT.value]
        )
        assert ax.get_xlabel() == "Mass [GeV]"
        assert ax.get_ylabel() == r"$\langle\sigma v\rangle$ upper limit [cm$^{3}$ s$^{-1}$]"
        assert labels_of(ax) == ["b", "tau", "Thermal relic"]

    def test_curves_differ_without_colour(self):
        ax = plot_limits({str(i): (MASS, LIMIT * (i + 1)) for i in range(6)})
        lines = [line_of(ax, str(i)) for i in range(6)]
        looks = {(str(line._dash_pattern), line.get_marker()) for line in lines}
        assert len(looks) == 6
        red, green, blue = np.array([line.get_color()[:3] for line in lines]).T
        lightness = 0.299 * red + 0.587 * green + 0.114 * blue
        assert (np.diff(lightness) > 0.03).all()

    def test_gaps(self):
        limit = LIMIT.copy()
        limit[1] = np.nan
        line = line_of(plot_limits({"b": (MASS, limit)}), "b")
        np.testing.assert_array_equal(np.isnan(line.get_ydata()), [False, True, False])
        assert line.get_marker() == "o"  # or points between gaps were invisible

    def test_flagged_points_are_open(self):
        limit = LIMIT.copy()
        limit[0] = np.nan
        ax = plot_limits({"b": (MASS, limit, [2, 0, 1])})
        (marked,) = [
            line
            for line in ax.get_lines()
            if str(line.get_markerfacecolor()) == "white" and len(line.get_xdata())
        ]
        np.testing.assert_allclose(marked.get_xydata(), [[1000, 2e-25]])
        assert labels_of(ax) == ["b", "Thermal relic", "Extrapolated or approximate"]

    def test_nothing_flagged(self):
        assert "Extrapolated or approximate" not in labels_of(
            plot_limits({"b": (MASS, LIMIT, [0, 0, 0])})
        )

    def test_thermal_relic(self):
        line = line_of(plot_limits({"b": (MASS, LIMIT)}), "Thermal relic")
        x, y = line.get_xydata().T
        np.testing.assert_allclose(x[[0, -1]], [10, 1000])
        np.testing.assert_allclose(y, thermal_relic(x * u.GeV).value)
        assert y[-1] == pytest.approx(2.3e-26)

    def test_without_thermal_relic(self):
        assert labels_of(plot_limits({"b": (MASS, LIMIT)}, thermal_relic=False)) == ["b"]

    def test_lifetimes(self):
        ax = plot_limits({"b": (MASS, [1e26, 1e27, 1e28] * u.s)})
        assert ax.get_ylabel() == r"Lifetime $\tau$ lower limit [s]"
        assert labels_of(ax) == ["b"]

    def test_published(self):
        mass = [0.01, 1] * u.TeV
        ax = plot_limits({"b": (MASS, LIMIT)}, published=[("LAT", mass, [5e-27, 2e-25] * CS)])
        np.testing.assert_allclose(line_of(ax, "LAT").get_xydata(), [[10, 5e-27], [1000, 2e-25]])
        assert labels_of(ax) == ["b", "LAT", "Thermal relic"]

    def test_bad_input(self):
        with pytest.raises(ValueError, match="at least one curve"):
            plot_limits({})
        with pytest.raises(ValueError, match="limit of 'b' must have the shape"):
            plot_limits({"b": (MASS, LIMIT[:2])})
        with pytest.raises(ValueError, match="mass of 'b' must be positive and ascend"):
            plot_limits({"b": (MASS[::-1], LIMIT)})
        with pytest.raises(u.UnitConversionError):
            plot_limits({"b": (MASS, LIMIT), "tau": (MASS, LIMIT.value * u.s)})
