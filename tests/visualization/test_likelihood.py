"""What the plots of sums of targets draw, compared with the arrays they were given."""

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
import pytest

from dmgammapy.visualization import plot_contributions, plot_likelihood_curves

X = np.append(0, np.geomspace(1e-28, 1e-23, 300))
SIGMAV = X * u.Unit("cm3 s-1")


def line_of(ax, label):
    (line,) = [line for line in ax.get_lines() if line.get_label() == label]
    return line


class TestLikelihoodCurves:
    def test_curves_are_relative_to_their_minimum(self):
        stats = {"draco": 100 + (X / 2e-26) ** 2, "segue_1": (X / 3e-26 + 1) ** 2 - 1000}
        ax = plot_likelihood_curves(SIGMAV, stats, total=stats["draco"] + stats["segue_1"])
        np.testing.assert_allclose(line_of(ax, "draco").get_xdata(), X[1:])
        np.testing.assert_allclose(line_of(ax, "draco").get_ydata(), (X[1:] / 2e-26) ** 2)
        expected = (X[1:] / 3e-26) ** 2 + 2 * X[1:] / 3e-26
        np.testing.assert_allclose(line_of(ax, "segue_1").get_ydata(), expected, atol=1e-9)
        total = line_of(ax, "Total").get_ydata()
        np.testing.assert_allclose(total, expected + (X[1:] / 2e-26) ** 2, atol=1e-9)
        assert ax.get_ylim() == (0, 10)
        assert ax.get_ylabel() == r"$-2\,\Delta\ln L$"
        assert ax.get_xlabel() == r"$\langle\sigma v\rangle$ [cm$^{3}$ s$^{-1}$]"

    def test_axes_that_were_logarithmic(self):
        figure, ax = plt.subplots()
        ax.set_yscale("log")
        plot_likelihood_curves(SIGMAV, {"draco": (X / 2e-26) ** 2}, ax=ax)
        plt.close(figure)
        assert (ax.get_yscale(), ax.get_ylim()) == ("linear", (0, 10))

    def test_level(self):
        ax = plot_likelihood_curves(SIGMAV, {"draco": (X / 2e-26) ** 2})
        assert 2.7055 in [line.get_ydata()[0] for line in ax.get_lines()]
        ax.clear()
        plot_likelihood_curves(SIGMAV, {"draco": (X / 2e-26) ** 2}, level=None, ax=ax)
        assert len(ax.get_lines()) == 1

    def test_the_strongest_of_many_are_named(self):
        widths = np.geomspace(1e-26, 1e-24, 13)
        stats = {f"t{i}": (X / s) ** 2 for i, s in enumerate(widths)}
        ax = plot_likelihood_curves(SIGMAV, dict(reversed(stats.items())), sum(stats.values()))
        names = [text.get_text() for text in ax.get_legend().get_texts()]
        assert names == ["5 others", *(f"t{i}" for i in range(8)), "Total"]
        assert len(ax.get_lines()) == 13 + 2

    def test_bad_input(self):
        with pytest.raises(ValueError, match=r"stats\['draco'\] must have the shape"):
            plot_likelihood_curves(SIGMAV, {"draco": [1, 2]})
        with pytest.raises(ValueError, match="ascend"):
            plot_likelihood_curves(SIGMAV[::-1], {"draco": X})


class TestContributions:
    def test_bars(self):
        ax = plot_contributions(["a", "b", "c"], [0.3, 0.75, -0.05])
        np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [75, 30, -5])
        assert [text.get_text() for text in ax.get_yticklabels()] == ["b", "a", "c"]
        assert [text.get_text() for text in ax.texts] == ["75.0 %", "30.0 %", "-5.0 %"]
        assert ax.yaxis_inverted()  # the first bar is on top

    def test_no_text_covers_another(self):
        figure, ax = plt.subplots(figsize=(3.2, 2.4))  # a panel of several
        names = ["draco", "ursa_major_ii", "reticulum_ii", "segue_1"]
        plot_contributions(names, [0.8, 0.4, -0.002, -0.2], ax=ax)
        figure.draw_without_rendering()
        boxes = [t.get_window_extent() for t in (*ax.texts, *ax.get_yticklabels())]
        assert len(boxes) == 8
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
        plt.close(figure)

    def test_smallest_of_many_are_added_up(self):
        shares = np.arange(30, 0, -1) / 465
        ax = plot_contributions([f"t{i}" for i in range(30)], shares)
        widths = [bar.get_width() for bar in ax.patches]
        assert len(widths) == 20
        assert sum(widths) == pytest.approx(100)
        assert widths[-1] == pytest.approx(100 * 66 / 465)  # 11 + 10 + ... + 1
        assert ax.get_yticklabels()[-1].get_text() == "11 others"

    def test_bad_input(self):
        with pytest.raises(ValueError, match="shares must have the shape"):
            plot_contributions(["a"], [0.5, 0.5])
