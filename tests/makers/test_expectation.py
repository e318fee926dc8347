"""Expectations of SED bins against the Poisson likelihood itself."""

import astropy.units as u
import numpy as np
import pytest
from scipy.optimize import brentq

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.makers import SEDExpectation
from tests.datasets.sed_helpers import BACKGROUND, COUNTS, EDGES, SIGNAL, poisson_dataset


def loglike(norm, counts, background, npred):
    mu = background + npred * norm
    return (counts * np.log(mu) if counts else 0.0) - mu


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("counts", [0, 1, 2, 5, 300])
def test_scan_ends_where_the_likelihood_has_dropped(counts, negative):
    background, npred, delta = 2.5, 0.7, 9.0
    norm, stat = SEDExpectation([background], [npred]).scan([counts], 31, delta, negative)
    best = (counts - background) / npred
    bounded = max(best, 0.0)
    top = loglike(bounded, counts, background, npred)
    last = brentq(
        lambda x: 2 * (top - loglike(x, counts, background, npred)) - delta, bounded + 1e-9, 1e4
    )
    assert norm[0, -1] == pytest.approx(last, rel=1e-10)
    assert 0.0 in norm[0]
    assert (np.diff(norm[0]) > 0).all()
    if not negative:
        assert norm[0, 0] == 0
        lowest = top
    elif counts == 0:
        assert norm[0, 0] == pytest.approx(-background / npred)  # no counts expected
        lowest = 0.0
    else:
        lowest = loglike(best, counts, background, npred)
        edge = -background / npred * (1 - 1e-15)
        drop = 2 * (lowest - loglike(norm[0, 0], counts, background, npred))
        # 300 counts are more than 3 sigma above the background: zero is the end
        assert norm[0, 0] == 0 if counts == 300 else drop == pytest.approx(delta, rel=1e-9)
        assert norm[0, 0] > edge
    expected = [2 * (lowest - loglike(x, counts, background, npred)) for x in norm[0]]
    np.testing.assert_allclose(stat[0], expected, atol=1e-9 * max(counts, 1))


def test_expectation_of_a_known_dataset():
    # the third bin counted nothing and can't know its background
    dataset = poisson_dataset()
    with pytest.raises(ValueError, match=r"nothing was counted in bins 2 \(9000-2.7e\+04 MeV\)"):
        SEDExpectation.from_dataset(dataset)
    got = SEDExpectation.from_dataset(dataset, undetermined="power_law")
    known = COUNTS > 0
    np.testing.assert_allclose(got.background[known], BACKGROUND[known], rtol=1e-5)
    np.testing.assert_allclose(got.npred, SIGNAL, rtol=1e-6)
    # b / s of the others: a straight line in the logarithms, by numpy
    centre = np.log(np.sqrt(EDGES[:-1] * EDGES[1:]))
    line = np.polyfit(centre[known], np.log((BACKGROUND / SIGNAL)[known]), 1)
    assert got.background[2] == pytest.approx(np.exp(np.polyval(line, centre[2])), rel=1e-5)


def test_known_background_is_taken():
    dataset = poisson_dataset()
    got = SEDExpectation.from_dataset(dataset, background=BACKGROUND)
    np.testing.assert_allclose(got.npred, SIGNAL, rtol=1e-6)
    assert np.array_equal(got.background, BACKGROUND)
    dataset = poisson_dataset(ref_npred=[1.0, 2.0, 3.0, 4.0])
    got = SEDExpectation.from_dataset(dataset, background=BACKGROUND)
    assert got.npred.tolist() == [1, 2, 3, 4]


def test_golden_scans_give_back_what_they_are_made_of(test_data):
    with np.load(test_data / "golden" / "truth.npz") as data:
        truth = dict(data)
    for t in (0, 17, 39):
        path = test_data / "golden" / "sed" / f"sed_target_{t:02d}_point_null.fits"
        got = SEDExpectation.from_dataset(SEDLikelihoodDataset.read(path), undetermined="power_law")
        counted = truth["n_null"][t] > 0
        np.testing.assert_allclose(got.npred, truth["ref_npred"][t], rtol=1e-6)
        np.testing.assert_allclose(got.background[counted], truth["bkg"][t][counted], rtol=1e-5)


def test_a_parabola_is_the_limit_of_many_counts(test_data):
    with np.load(test_data / "golden" / "truth.npz") as data:
        width = data["gs_null"][42]
    path = test_data / "golden" / "sed" / "sed_target_42_point_null.fits"
    got = SEDExpectation.from_dataset(SEDLikelihoodDataset.read(path))
    np.testing.assert_allclose(np.sqrt(got.background) / got.npred, width, rtol=1e-3)


def test_another_shape_is_an_error():
    norm = np.linspace(0, 4, 20)
    dataset = SEDLikelihoodDataset(
        [1, 10] * u.GeV, [norm], [np.abs(norm - 2) ** 1.2 * 5], name="kink",
        ref_eflux=[1e-9] * u.Unit("GeV cm-2 s-1"),
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"dataset 'kink': the scans of bins 0 \(1000-1e\+04 MeV"):
        SEDExpectation.from_dataset(dataset)


def test_moments_of_draws():
    expectation = SEDExpectation(BACKGROUND, SIGNAL)
    random = np.random.default_rng(1)
    n = 20_000
    draws = np.array([expectation.draw(random, [1.0, 0.0, 2.0, -0.2]) for _ in range(n)])
    mean = BACKGROUND + SIGNAL * [1.0, 0.0, 2.0, -0.2]
    assert (np.abs(draws.mean(axis=0) - mean) < 4 * np.sqrt(mean / n)).all()
    error = np.sqrt((mean + 2 * mean**2) / n)  # of the variance of a Poisson variable
    assert (np.abs(draws.var(axis=0) - mean) < 4 * error).all()


def test_bad_input():
    with pytest.raises(ValueError, match="background must be positive"):
        SEDExpectation([0.0], [1.0])
    with pytest.raises(ValueError, match="must have the same shape"):
        SEDExpectation([1.0], [1.0, 2.0])
    expectation = SEDExpectation([1.0], [1.0])
    with pytest.raises(ValueError, match="above -background / npred"):
        expectation.mean(-1.5)
    with pytest.raises(ValueError, match="counts must be 1 numbers >= 0"):
        expectation.scan([-1])
    with pytest.raises(TypeError, match="needs an SEDLikelihoodDataset, got dict"):
        SEDExpectation.from_dataset({})
    with pytest.raises(ValueError, match="has 4 bins but 2 backgrounds"):
        SEDExpectation.from_dataset(poisson_dataset(), background=[1.0, 2.0])


def test_public_likelihoods_of_real_dwarfs_are_refused(test_data):
    # counts spread over pixels and profiled backgrounds are no single Poisson experiment
    path = next((test_data / "fermi_dsphs_2015").rglob("like_draco.txt"))
    with pytest.raises(ValueError, match="don't have the shape of a Poisson likelihood"):
        SEDExpectation.from_dataset(SEDLikelihoodDataset.read(path), undetermined="power_law")
