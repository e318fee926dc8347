"""Scans that are too coarse, by the errors of limits on parabolas."""

import astropy.units as u
import numpy as np
import pytest

from dmgammapy.estimators import CastroMaps, intervals
from dmgammapy.estimators._scan_checks import coarse_rows

BEST = np.array([-30, -10, -3, -1, 0, 0.5, 1, 2, 3, 5, 10, 30, 100])
TRUE = BEST + np.sqrt(np.minimum(BEST, 0) ** 2 + 2.705543)


def errors(nodes):
    stat = (nodes - BEST[:, None]) ** 2
    return np.abs(intervals.profile(nodes, stat)[0] / TRUE - 1), coarse_rows(nodes, stat)


@pytest.mark.parametrize("per_decade", [2, 3, 4, 5, 8, 10, 15])
def test_wrong_limits_are_noticed(per_decade):
    error, coarse = errors(np.append(0, 10 ** np.arange(-3, 3.001, 1 / per_decade)))
    assert coarse[error > 0.0105].all()


@pytest.mark.parametrize("per_decade", [15, 20, 40])
def test_dense_scans_are_not(per_decade):
    error, coarse = errors(np.append(0, 10 ** np.arange(-3, 3.001, 1 / per_decade)))
    assert (error < 0.003).all()
    assert not coarse.any()


@pytest.mark.parametrize("n", [11, 21, 41, 101])
def test_linear_grids(n):
    error, coarse = errors(np.linspace(0, 10, n))
    assert coarse[np.nan_to_num(error) > 0.0105].all()


def test_note():
    def note(n):
        strengths = np.append(0, np.geomspace(1e-28, 1e-22, n))
        stat = np.stack([[(strengths / 1e-26 - 2) ** 2] * 2])
        args = strengths * u.Unit("cm3 s-1"), stat, [10, 100] * u.GeV, ["b"]
        empty = np.array([[True, False]])
        return CastroMaps.from_scan(*args, empty=empty).meta.notes

    assert note(241) == []
    (text,) = note(25)
    assert "1 of 2 masses and channels, e.g. b, 100 GeV" in text
    assert "too far apart" in note(6)[0]
