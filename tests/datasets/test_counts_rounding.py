"""Sources that a mask covers: what Fourier transforms leave beside them is no prediction."""

import astropy.units as u
import pytest
from astropy.coordinates import SkyCoord
from gammapy.maps import Map

from dmgammapy.datasets import CountsLikelihood
from dmgammapy.estimators import CastroEstimator
from tests.datasets.counts_helpers import POSITION, map_dataset

NEIGHBOUR = SkyCoord(83.93, 22.31, unit="deg")


def masked(position, radius):
    dataset = map_dataset()
    distance = dataset._geom.get_coord().skycoord.separation(position).deg
    dataset.mask_fit = Map.from_geom(dataset._geom, data=distance > radius)
    return dataset


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("radius", [0.4, 0.6, 0.8])
def test_a_neighbour_that_is_masked(radius):
    dataset = masked(NEIGHBOUR, radius)
    copied = dataset.copy(name="copy")
    copied.models = [dataset.models["neighbour"]]
    npred = copied.npred_signal().data
    assert -1e-6 * npred.max() < npred.min() < 0
    got = CountsLikelihood.from_datasets(dataset).stat_sum()
    # Gammapy's, which has the noise
    assert got == pytest.approx(dataset.stat_sum(), abs=1e-3)


@pytest.mark.filterwarnings("ignore")
def test_a_source_that_is_masked():
    # a limit from noise would be any number
    with pytest.raises(ValueError, match="the source 'dwarf' predicts no counts"):
        CastroEstimator([0.5] * u.TeV, ["b"]).run(masked(POSITION, 0.8))
