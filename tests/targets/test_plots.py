"""Plots of targets show all of them."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from dmgammapy.targets import Target, Targets


def test_sky_shows_every_target_where_it_is():
    targets = Targets.read_roster("ackermann2015_dsphs")
    ax = targets.plot_sky()
    assert [text.get_text() for text in ax.texts] == [target.title for target in targets]
    # Draco is at l = 86.4, b = 34.7 deg (Ackermann et al. 2015); longitude grows to the left
    (draco,) = (text for text in ax.texts if text.get_text() == "Draco")
    np.testing.assert_allclose(np.degrees(draco.xy), [-86.4, 34.7], atol=0.1)
    assert "GeV" in ax.figure.axes[1].get_ylabel()


def test_sky_names_targets_without_position():
    targets = Targets.read_roster("ackermann2015_dsphs")[:2] + Target("dark", log10_jfactor=19.0)
    ax = targets.plot_sky()
    assert "Without position: dark" in [text.get_text() for text in ax.texts]
    with pytest.raises(ValueError, match="no target has a position"):
        Targets([Target("dark")]).plot_sky()


def test_jfactors_are_sorted():
    targets = Targets.read_roster("ackermann2015_dsphs")
    ax = targets.plot_jfactors()
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels[0] == "Segue 1"
    assert labels[-1] == "Leo II"
    points = ax.lines[0].get_xdata()
    np.testing.assert_array_equal(points, sorted((t.log10_jfactor for t in targets), reverse=True))
    assert ax.get_xlabel() == r"$\log_{10}(J\,/\,\mathrm{GeV}^2\,\mathrm{cm}^{-5})$"


def test_jfactors_of_several_versions_are_told_apart():
    targets = Targets.from_names(["draco:pace2018_nfw", "draco:ackermann2014_nfw"])
    ax = targets.plot_jfactors()
    labels = {text.get_text() for text in ax.get_yticklabels()}
    assert labels == {"Draco (pace2018_nfw)", "Draco (ackermann2014_nfw)"}


def test_dfactors():
    targets = Targets([Target("a", log10_dfactor=18.0, log10_dfactor_err=(0.1, 0.2)), Target("b")])
    ax = targets.plot_jfactors(process="decay")
    assert ax.get_xlabel() == r"$\log_{10}(D\,/\,\mathrm{GeV}\,\mathrm{cm}^{-2})$"
    assert [text.get_text() for text in ax.texts] == ["no D"]
    (bar,) = ax.collections[0].get_segments()
    np.testing.assert_allclose(bar[:, 0], [17.9, 18.2])
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="no value is known"):
        targets.plot_jfactors(ax=ax)
