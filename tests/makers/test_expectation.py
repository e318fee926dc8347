"""Expectations of SED bins against the Poisson likelihood itself."""

import astropy.units as u
import numpy as np
import pytest
from scipy.optimize import brentq, minimize

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.makers import SEDExpectation
from dmgammapy.makers._poisson_shape import fit_poisson_shape
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
    # Poisson regression on a power law around the bin, by scipy; then with the counts that have
    # a larger b / s than this scaled down
    centre = np.log(np.sqrt(EDGES[:-1] * EDGES[1:]))

    def regression(counts, i):
        x = centre - centre[i]
        weight = np.exp(-0.5 * (x / 1.5) ** 2) + 0.02

        def cost(line):
            mean = np.exp(line[0] + line[1] * x) * SIGNAL
            return (weight * (mean - counts * np.log(mean))).sum()

        return np.exp(minimize(cost, [0, 0], method="BFGS", options={"gtol": 1e-10}).x[0])

    first = np.array([regression(COUNTS, i) for i in range(4)])
    share = np.minimum(first / (BACKGROUND / SIGNAL), 1)
    expected = regression(COUNTS * share**2, 2)
    assert got.background[2] / got.npred[2] == pytest.approx(expected, rel=1e-4)


def test_known_background_is_taken():
    dataset = poisson_dataset()
    got = SEDExpectation.from_dataset(dataset, background=BACKGROUND)
    np.testing.assert_allclose(got.npred, SIGNAL, rtol=1e-6)
    assert np.array_equal(got.background, BACKGROUND)
    dataset = poisson_dataset(ref_npred=[4.1, 1.9, 0.9, 0.5])
    got = SEDExpectation.from_dataset(dataset, background=BACKGROUND)
    assert got.npred.tolist() == [4.1, 1.9, 0.9, 0.5]


def test_scans_end_above_the_minimum_of_positive_norms():
    # n = 0: stat is 2 s x, from -b / s to where it has risen by 4 above zero
    norm, stat = SEDExpectation([3.0], [2.0]).scan([0], 20, 4.0, negative_norm=True)
    assert norm[0, [0, -1]] == pytest.approx([-1.5, 1.0])
    assert stat[0, [0, -1]] == pytest.approx([0.0, 2 * 3 + 4])


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


def test_public_likelihoods_of_real_dwarfs(test_data):
    # maps, not one Poisson experiment per bin: around the minimum they are alike nevertheless
    paths = sorted((test_data / "fermi_dsphs_2015").glob("like_*.txt"))
    assert len(paths) == 15
    ratios = []
    for path in paths:
        dataset = SEDLikelihoodDataset.read(path)
        with pytest.raises(ValueError, match="their scans don't know the expected background"):
            SEDExpectation.from_dataset(dataset)
        scans = zip(dataset.norm_scan, dataset.stat_scan, strict=True)
        fits = [fit_poisson_shape(*scan) for scan in scans]
        background, npred, counts, misfit = np.array(fits).T
        assert misfit.max() < 0.04
        effective = SEDExpectation(np.where(counts > 0, background, 1), npred)
        again = effective.to_dataset(dataset, counts, n_points=60, delta_stat_max=20)
        ratios.append(again.norm_ul() / dataset.norm_ul())
        got = SEDExpectation.from_dataset(dataset, undetermined="power_law", least_counts=5)
        # b / s [MeV cm-2 s-1] of a dwarf at high latitudes falls, and stays in bounds
        flux = got.background / got.npred * dataset.ref_eflux.to_value("MeV cm-2 s-1")
        assert 2e-7 < flux[0] < 1e-6
        assert flux[10:].max() < 5e-7
        assert got.background[20:].max() < 0.5
    # 95 % limits of the single bins
    assert abs(np.median(ratios) - 1) < 1e-3
    assert np.abs(np.array(ratios) - 1).max() < 0.03


def test_pixels_near_the_source_make_the_effective_background():
    # 20 noise-equivalent areas of a Gaussian PSF, photons at random: b is that of one such area
    random = np.random.default_rng(5)
    background, npred = 60.0, 40.0
    norm = np.append(0, np.geomspace(1e-3, 50, 40))
    ratio = []
    for _ in range(40):
        area = 20 * random.random(random.poisson(20 * background))  # 4 pi sigma^2
        weight = 2 * npred / background * np.exp(-2 * area)
        stat = 2 * (npred * norm - np.log1p(np.outer(norm, weight)).sum(axis=1))
        b, s, *_ = fit_poisson_shape(norm, stat - stat.min())
        ratio.append(b / s / (background / npred))
    assert abs(np.mean(ratio) - 1) < 0.2


def test_masked_bins_need_not_be_known():
    dataset = poisson_dataset(mask_safe=np.array([True, True, False, True]))
    got = SEDExpectation.from_dataset(dataset)
    np.testing.assert_allclose(got.background[[0, 1, 3]], BACKGROUND[[0, 1, 3]], rtol=1e-5)
    assert got.background[2] == 1


def test_few_counts_may_be_too_few():
    dataset = poisson_dataset(mask_safe=np.array([True, True, False, True]))
    with pytest.raises(ValueError, match="in bins 2 .*, 3 .* or too little"):
        SEDExpectation.from_dataset(dataset, least_counts=2)


@pytest.mark.parametrize("counts", [3e-5, 0.04, 0.98, 2.5])
def test_scans_of_expected_counts_reach_below_zero(counts):
    # the Asimov data set: few counts, not whole, on a background as small or larger
    for background, delta in ((counts, 9.0), (40 * counts, 2.0), (0.3 * counts, 60.0)):
        norm, stat = SEDExpectation([background], [0.7]).scan([counts], 31, delta, True)
        assert (np.diff(norm[0]) > 0).all()
        assert 0.0 in norm[0]
        mean = background + 0.7 * norm[0]
        assert (mean > 0).all()
        expected = 2 * (mean - counts - counts * np.log(mean / counts))
        np.testing.assert_allclose(stat[0], expected, atol=1e-6, rtol=1e-6)
        # down to the rise, or to where a billionth of the background is expected
        assert stat[0, 0] == pytest.approx(delta, rel=1e-6) or mean[0] < 2e-9 * background


@pytest.mark.parametrize(("background", "counts"), [(5.0, 1), (3.0, 1), (0.5, 1), (8.0, 3)])
@pytest.mark.parametrize("delta_stat", [4.0, 20.0, 100.0])
def test_scans_that_begin_where_nothing_is_expected_give_their_counts(
    background, counts, delta_stat
):
    # 100 above the minimum the expectation is 1e-9 of the background and less
    scan = SEDExpectation([background], [4.0]).scan([counts], 40, delta_stat, negative_norm=True)
    found = fit_poisson_shape(scan[0][0], scan[1][0])
    np.testing.assert_allclose(found[:3], [background, 4.0, counts], rtol=1e-5)
