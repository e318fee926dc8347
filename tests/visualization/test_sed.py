"""What the plots of energy bins draw, compared with the arrays they were given."""

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
import pytest

from dmgammapy.visualization import plot_castro, plot_sed_fit

UNIT = u.Unit("MeV cm-2 s-1")
EDGES = [1, 2, 4, 10] * u.GeV
GRID = np.geomspace(1e-9, 1e-6, 31) * UNIT
WIDTH = np.array([[1e-7], [3e-8], [2e-7]])
DELTA_STAT = (GRID.value / WIDTH) ** 2
UL = 1.645 * WIDTH[:, 0] * UNIT


def mesh_of(ax):
    return ax.collections[0]


def line_of(ax, label):
    (line,) = [line for line in ax.get_lines() if line.get_label() == label]
    return line


class TestCastro:
    def test_mesh_is_delta_stat(self):
        mesh = mesh_of(plot_castro(EDGES, GRID, DELTA_STAT))
        np.testing.assert_array_equal(mesh.get_array(), DELTA_STAT.T)
        assert mesh.get_clim() == (0, 10)
        corners = mesh.get_coordinates()
        np.testing.assert_allclose(corners[0, :, 0], [1, 2, 4, 10])
        # cells end halfway in the logarithm
        np.testing.assert_allclose(corners[1:-1, 0, 1], np.sqrt(GRID[1:] * GRID[:-1]).value)

    def test_colour_bar_and_labels(self):
        ax = plot_castro(EDGES.to("MeV"), GRID, DELTA_STAT, vmax=6)
        bar = ax.figure.axes[1]
        assert bar.get_ylabel() == r"$-2\,\Delta\ln L$"
        assert bar.get_ylim() == (0, 6)
        assert ax.get_xlabel() == "Energy [GeV]"
        assert ax.get_ylabel() == "Energy flux [MeV cm$^{-2}$ s$^{-1}$]"
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        assert ax.get_xlim() == (1, 10)

    @pytest.mark.parametrize(
        ("edges", "given", "unit"),
        [
            ([0.5, 10, 500] * u.GeV, None, "GeV"),  # LAT
            ([0.05, 1, 20] * u.TeV, None, "TeV"),  # Cherenkov telescopes
            ([0.05, 1, 20] * u.TeV, "GeV", "GeV"),
            ([30, 100, 900] * u.MeV, None, "GeV"),
        ],
    )
    def test_energy_unit_follows_the_range(self, edges, given, unit):
        kwargs = {} if given is None else {"energy_unit": given}
        ax = plot_castro(edges, GRID, DELTA_STAT[:2], **kwargs)
        assert ax.get_xlabel() == f"Energy [{unit}]"
        expected = edges[[0, -1]].to_value(unit)
        np.testing.assert_allclose(ax.get_xlim(), expected)
        plt.close("all")
        ax = plot_sed_fit(edges, [2, 1] * GRID.unit, **kwargs)
        assert ax.get_xlabel() == f"Energy [{unit}]"
        np.testing.assert_allclose(ax.get_xlim(), expected)

    @pytest.mark.parametrize(
        ("unit", "label"),
        [
            ("cm-2 s-1", "Flux [cm$^{-2}$ s$^{-1}$]"),
            ("GeV-1 m-2 s-1", r"$\mathrm{d}N/\mathrm{d}E$ [GeV$^{-1}$ m$^{-2}$ s$^{-1}$]"),
            ("", "Value"),
        ],
    )
    def test_label_follows_unit(self, unit, label):
        assert plot_castro(EDGES, GRID.value * u.Unit(unit), DELTA_STAT).get_ylabel() == label

    def test_limits(self):
        ul = UL.to("erg cm-2 s-1")
        ul[1] = np.nan
        ax = plot_castro(EDGES, GRID, DELTA_STAT, ul=ul)
        bars = next(c for c in ax.collections if c.get_label() == "Upper limit")
        (first, second) = bars.get_segments()
        np.testing.assert_allclose(first, [[1, UL[0].value], [2, UL[0].value]])
        np.testing.assert_allclose(second, [[4, UL[2].value], [10, UL[2].value]])

    def test_best_fits(self):
        best = [2e-8, 0, 5e-8] * UNIT
        line = line_of(plot_castro(EDGES, GRID, DELTA_STAT, best=best), "Best fit")
        np.testing.assert_allclose(line.get_xdata(), [np.sqrt(2), np.sqrt(40)])
        np.testing.assert_allclose(line.get_ydata(), [2e-8, 5e-8])

    def test_nan_is_blank(self):
        delta_stat = DELTA_STAT.copy()
        delta_stat[1] = np.nan
        mask = np.ma.getmaskarray(mesh_of(plot_castro(EDGES, GRID, delta_stat)).get_array())
        np.testing.assert_array_equal(mask.all(axis=0), [False, True, False])

    def test_given_axes(self):
        _, (left, right) = plt.subplots(1, 2)
        assert plot_castro(EDGES, GRID, DELTA_STAT, ax=left) is left
        assert not right.collections

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((EDGES, GRID, DELTA_STAT.T), r"delta_stat must have the shape \(n_bins, n_values\)"),
            ((EDGES[::-1], GRID, DELTA_STAT), "energy_edges must be positive and ascend"),
            ((EDGES, GRID - GRID[0], DELTA_STAT), "value_grid must be positive and ascend"),
        ],
    )
    def test_bad_input(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            plot_castro(*arguments)

    def test_bad_limit_unit(self):
        with pytest.raises(u.UnitConversionError):
            plot_castro(EDGES, GRID, DELTA_STAT, ul=[1, 2, 3] * u.GeV)


class TestSEDFit:
    VALUE = [2e-8, 0, 5e-8] * UNIT

    def test_points_and_limits(self):
        ax = plot_sed_fit(EDGES, self.VALUE, value_err=0.5 * self.VALUE, ul=UL)
        (container,) = ax.containers
        points, _, (x_bars, y_bars) = container.lines
        np.testing.assert_allclose(points.get_ydata(), [2e-8, 5e-8])
        np.testing.assert_allclose(y_bars.get_segments()[1][:, 1], [2.5e-8, 7.5e-8])
        np.testing.assert_allclose(x_bars.get_segments()[1][:, 0], [4, 10])
        bars = next(c for c in ax.collections if c.get_label() == "Upper limit")
        np.testing.assert_allclose(bars.get_segments(), [[[2, UL[1].value], [4, UL[1].value]]])

    def test_asymmetric_errors(self):
        err = [[1e-8, 1e-8, 1e-8], [2e-8, 2e-8, 2e-8]] * UNIT
        ax = plot_sed_fit(EDGES, self.VALUE, value_err=err)
        y_bars = ax.containers[0].lines[2][1]
        np.testing.assert_allclose(y_bars.get_segments()[0][:, 1], [1e-8, 4e-8])

    def test_chosen_limits(self):
        ax = plot_sed_fit(EDGES, self.VALUE, ul=UL, is_ul=[True, True, False])
        bars = next(c for c in ax.collections if c.get_label() == "Upper limit")
        assert len(bars.get_segments()) == 2
        np.testing.assert_allclose(ax.containers[0].lines[0].get_ydata(), [5e-8])

    def test_models_are_steps(self):
        model = [1e-8, 1e-7, 0] * UNIT.si
        ax = plot_sed_fit(EDGES, self.VALUE, models={"b": model, "tau": 2 * model})
        first, second = ax.patches
        np.testing.assert_allclose(first.get_data().edges, [1, 2, 4, 10])
        expected = model.to_value(UNIT)
        np.testing.assert_allclose(
            first.get_data().values, np.where(expected > 0, expected, np.nan)
        )
        np.testing.assert_allclose(second.get_data().values[:2], 2 * expected[:2])
        assert first.get_linestyle() != second.get_linestyle()
        assert [first.get_label(), second.get_label()] == ["b", "tau"]

    def test_faint_models_do_not_stretch_the_view(self):
        model = [1e-8, 1e-20, 1e-40] * UNIT
        ax = plot_sed_fit(EDGES, self.VALUE, ul=UL, models={"b": model})
        assert ax.get_ylim()[0] == pytest.approx(2e-8 / 30)

    def test_bad_input(self):
        with pytest.raises(ValueError, match=r"models\['b'\] must have the shape \(n_bins,\)"):
            plot_sed_fit(EDGES, self.VALUE, models={"b": [1, 2] * UNIT})
        with pytest.raises(ValueError, match="value_err must have the shape"):
            plot_sed_fit(EDGES, self.VALUE, value_err=[1, 2] * UNIT)
