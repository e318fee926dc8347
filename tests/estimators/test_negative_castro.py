"""CastroMaps with negative signals: containers, files, stacks and counts."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.maps import LabelMapAxis, RegionNDMap
from scipy.optimize import minimize_scalar

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import CastroEstimator, CastroMaps, StackedDMLikelihood
from dmgammapy.modeling import JFactorPrior
from dmgammapy.spectra import read_spectra

from ..datasets.counts_helpers import map_dataset

UNIT = u.Unit("cm3 s-1")
MASSES = [10, 100] * u.GeV
SIDE = np.geomspace(1e-29, 1e-23, 481)
SIGMAV = np.concatenate([-SIDE[::-1], [0.0], SIDE])


def gaussians(means, error, sigmav=SIGMAV):
    return ((sigmav - np.asarray(means)[..., None]) / error) ** 2


def make(name="draco", means=((-2e-26, 1e-26),), error=1e-26, sigmav=SIGMAV, **kwargs):
    stat = gaussians(means, error, sigmav)
    return CastroMaps.from_scan(sigmav * UNIT, stat, MASSES, ["b"], target=name, **kwargs)


def lowest(castro):
    """Unbounded best fit and ``stat`` there, relative to that of the bounded one, by parabola."""
    u_ = castro["stat_scan_negative"]
    nodes = castro.norm_negative_axis.center.value
    reference = castro["reference_negative"].data[..., 0, 0]
    above = castro.strength_scan.value
    best, value = [], []
    for index in np.ndindex(reference.shape):
        x = np.append(reference[index] * nodes, above[index])
        y = np.append(u_.data[..., 0, 0][index], castro.delta_stat[index])
        j = int(np.argmin(y))
        near = slice(j - 2, j + 3)
        shift, scale = x[j], np.ptp(x[near])
        poly = np.polyfit((x[near] - shift) / scale, y[near], 4)
        found = minimize_scalar(
            lambda t, poly=poly: np.polyval(poly, t), bounds=(-0.5, 0.5), method="bounded",
            options={"xatol": 1e-12},
        )  # fmt: skip
        best.append(shift + scale * found.x)
        value.append(found.fun)
    return np.reshape(best, reference.shape), np.reshape(value, reference.shape)


def test_from_scan_through_zero():
    castro = make()
    assert castro.has_negative.all()
    assert castro.norm_negative_axis.name == "norm_negative"
    assert (np.diff(castro.norm_negative_axis.center.value) > 0).all()
    strength = castro["reference_negative"].data[..., 0, 0][..., None] * (
        castro.norm_negative_axis.center.value
    )
    np.testing.assert_allclose(strength[0, 0], SIGMAV[:481], rtol=1e-12)
    # relative to the best fit at zero or more: 0 for the first mass, 1e-26 for the second
    scan = castro.stat_scan_negative.data[..., 0, 0]
    np.testing.assert_allclose(scan[0, 0], gaussians(-2e-26, 1e-26)[:481] - 4, rtol=1e-9)
    np.testing.assert_allclose(scan[0, 1], gaussians(1e-26, 1e-26)[:481], atol=2e-5)
    bounded = make(sigmav=SIGMAV[481:])
    assert not bounded.has_negative.any()
    assert "stat_scan_negative" not in bounded.available_quantities
    np.testing.assert_array_equal(bounded.stat_scan.data, castro.stat_scan.data)
    np.testing.assert_array_equal(bounded.sigmav_ul.data, castro.sigmav_ul.data)


def test_from_scan_without_zero_and_with_rows_of_their_own():
    missing = np.delete(SIGMAV, 481)
    castro = make(sigmav=missing)
    assert castro.meta.notes == []
    whole = make()
    np.testing.assert_allclose(castro.stat_scan.data, whole.stat_scan.data, atol=1e-9)
    factor = np.array([1.0, 3.0])[None, :, None]
    rows = CastroMaps.from_scan(
        factor * SIGMAV * UNIT, gaussians([[-2.0, 1.0]], 1.0, SIGMAV * 1e26), MASSES, ["b"]
    )
    best, value = lowest(rows)
    np.testing.assert_allclose(best, [[-2e-26, 3e-26]], rtol=1e-6)
    np.testing.assert_allclose(value, [[-4, 0]], atol=2e-5)


@pytest.mark.parametrize("bad", [np.r_[-3.0:0.0:1.0, 0:5] * 1e-26, np.r_[-5:3] * 1e-26, -SIGMAV])
def test_bad_scans(bad):
    with pytest.raises(ValueError, match="at least 4"):
        make(sigmav=bad)


def test_quantities_need_each_other():
    castro = make()
    data = castro.to_maps()
    del data["reference_negative"]
    with pytest.raises(ValueError, match="need each other"):
        CastroMaps.from_maps(data, castro.meta)
    data = castro.to_maps()
    axis = data["stat_scan_negative"].geom.axes["norm_negative"]
    moved = type(axis).from_nodes(axis.center.value + 1e6, name="norm_negative", interp="lin")
    geom = type(castro.geom)(None, axes=[moved, *castro.geom.axes])
    data["stat_scan_negative"] = RegionNDMap(geom, data["stat_scan_negative"].data)
    with pytest.raises(ValueError, match="must be below 0"):
        CastroMaps.from_maps(data, castro.meta)


def test_files(tmp_path):
    castro = make()
    castro.write(tmp_path / "castro.fits")
    back = CastroMaps.read(tmp_path / "castro.fits")
    assert back.available_quantities == castro.available_quantities
    for name in castro.available_quantities:
        np.testing.assert_array_equal(back[name].data, castro[name].data)
        assert back[name].geom.axes.names == castro[name].geom.axes.names
        assert back[name].unit == castro[name].unit
    np.testing.assert_array_equal(
        back.norm_negative_axis.center.value, castro.norm_negative_axis.center.value
    )
    stack = StackedDMLikelihood([back], {"draco": JFactorPrior(18.8, 0.3)}).run()
    again = StackedDMLikelihood([castro], {"draco": JFactorPrior(18.8, 0.3)}).run()
    np.testing.assert_array_equal(stack.stat_scan_negative.data, again.stat_scan_negative.data)
    hdus = castro.to_hdulist()
    del hdus["STAT_SCAN_NEGATIVE"]
    with pytest.raises(ValueError, match="AXIS_NORM_NEGATIVE and STAT_SCAN_NEGATIVE"):
        CastroMaps.from_hdulist(hdus)


def test_slices_and_results_side_by_side(tmp_path):
    castro = make()
    one = castro.slice_by_idx({"mass": 1})
    np.testing.assert_array_equal(
        one.stat_scan_negative.data, castro.stat_scan_negative.data[:, 1:]
    )
    coarse = np.geomspace(1e-29, 3e-24, 300)
    other = make("segue_1", sigmav=np.concatenate([-coarse[::-1], [0], coarse]))
    bounded = make("sculptor", sigmav=SIGMAV[481:])
    axis = LabelMapAxis(["draco", "segue_1", "sculptor"], name="target")
    both = CastroMaps.from_stack([castro, other, bounded], axis)
    assert both.has_negative[:, 0].tolist() == [[True] * 2, [True] * 2, [False] * 2]
    both.write(tmp_path / "both.fits")
    assert np.array_equal(CastroMaps.read(tmp_path / "both.fits").has_negative, both.has_negative)
    nodes = both.norm_negative_axis.center.value
    strength = both.reference_negative.data[..., 0, 0][..., None] * nodes
    scan = both.stat_scan_negative.data[..., 0, 0]
    near = np.abs(strength[0, 0, 0]) < 1e-24
    for i in range(2):
        expected = gaussians([-2e-26], 1e-26, strength[i, 0, 0])[0] - 4
        np.testing.assert_allclose(scan[i, 0, 0][near], expected[near], atol=1e-3, rtol=1e-4)
    parts = list(both.iter_by_axis("target"))
    assert [p.has_negative.all() for p in parts] == [True, True, False]


def brute_stack(sigmav, targets):
    """Sum of ``min_y [stat_t(sigmav 10^y) + (y / width)^2]`` with Gaussian ``stat_t``."""
    y = np.linspace(-4, 4, 80001)
    return sum(
        ((((sigmav * 10**y - mean) / error) ** 2) + (y / width) ** 2).min()
        for mean, error, width in targets
    )


def test_stack_of_three_targets():
    targets = [(-3e-26, 1e-26, 0.2), (2e-26, 3e-26, 0.5), (-1e-26, 5e-27, 0.1)]
    shifts = [0.0, 0.4, -0.3]  # the J of the priors, in units of those of the scans
    names = ["draco", "segue_1", "sculptor"]
    castros = [
        make(name, [[mean, mean]], error, log10_jfactor=18.0)
        for name, (mean, error, _) in zip(names, targets, strict=True)
    ]
    priors = {
        name: JFactorPrior(18.0 + shift, width)
        for name, shift, (*_, width) in zip(names, shifts, targets, strict=True)
    }
    stack = StackedDMLikelihood(castros, priors)
    combined = stack.run()
    assert combined.has_negative.all()
    assert not any("negative" in note for note in combined.meta.notes)
    moved = [
        (mean / 10**shift, error / 10**shift, width)
        for shift, (mean, error, width) in zip(shifts, targets, strict=True)
    ]
    zero = brute_stack(0.0, moved)
    nodes = combined.norm_negative_axis.center.value
    strength = combined.reference_negative.data[0, 0, 0, 0] * nodes
    scan = combined.stat_scan_negative.data[0, 0, :, 0, 0] - combined.delta_stat[0, 0, 0]
    for s in (-1e-28, -5e-27, -2e-26, -4e-26, -1e-25):
        i = int(np.argmin(np.abs(strength - s)))
        assert scan[i] == pytest.approx(brute_stack(strength[i], moved) - zero, abs=1e-3)
    alone = stack.target_maps["draco"]
    assert alone.has_negative.all()
    without = stack.contributions
    assert np.isfinite(without["ul_without"].value).all()


def test_inputs_without_negative_norms_are_named():
    castros = [make("draco"), make("segue_1", sigmav=SIGMAV[481:])]
    combined = StackedDMLikelihood(castros, method="fixed").run()
    assert not combined.has_negative.any()
    note = "the scans of segue_1 have no negative norms: CLs is approximate."
    assert note in combined.meta.notes


def test_best_fit_of_gaussian_toys_is_the_weighted_mean():
    rng = np.random.default_rng(4)
    errors = np.array([1e-26, 2e-26, 5e-27])
    for _ in range(5):
        means = errors[:, None] * rng.normal(-0.5, 1, (3, 2))
        castros = [
            make(name, mean[None], error)
            for name, mean, error in zip(("a", "b", "c"), means, errors, strict=True)
        ]
        combined = StackedDMLikelihood(castros, method="fixed").run()
        weight = errors**-2 / (errors**-2).sum()
        expected = weight @ means
        error = (errors**-2).sum() ** -0.5
        best, value = lowest(combined)
        np.testing.assert_allclose((best[0] - expected) / error, 0, atol=1e-4)
        expected = -(np.minimum(expected / error, 0) ** 2)
        np.testing.assert_allclose(value[0], expected, atol=1e-3)


def poisson_dataset(target, counts, background):
    """One energy bin from 1 to 10 GeV; norm 1 is one count."""
    norm = np.linspace(-background, counts + 30, 120)[counts > 0 :]
    stat = 2 * (norm - counts * np.log(norm + background)) if counts else 2 * norm
    return SEDLikelihoodDataset(
        [1, 10] * u.GeV, [norm], [stat - stat.min()],
        ref_eflux=[1e-9] * u.Unit("GeV cm-2 s-1"), models=target.to_models("100 GeV", "b"),
    )  # fmt: skip


@pytest.mark.parametrize("counts", [0, 3])
def test_estimator_on_a_poisson_bin(make_target, counts):
    background = 5.0
    castro = CastroEstimator([100] * u.GeV, ["b"]).run(
        poisson_dataset(make_target(), counts, background)
    )
    energy = read_spectra("pppc4").integrate(
        [1, 10] * u.GeV, [100] * u.GeV, ["b"], norm_type="eflux"
    )
    per_sigmav = 10**18.8 * energy.to_value("GeV").item() / (8 * np.pi * 100**2) / 1e-9
    strength = castro.reference_negative.data.item() * castro.norm_negative_axis.center.value
    norm = strength * per_sigmav
    scan = castro.stat_scan_negative.data.squeeze() - castro.delta_stat.squeeze()[0]
    near = norm > -0.8 * background
    expected = 2 * norm[near] - 2 * counts * np.log1p(norm[near] / background)
    np.testing.assert_allclose(scan[near], expected, atol=2e-3)
    if counts == 0:
        assert -background <= norm[0] < -background * 10**-0.03
        best = StackedDMLikelihood([castro]).run()
        # J is measured to 0.25 dex: a wall no more
        assert best.strength_scan[0, 0, -1].value > 0
        reach = best.reference_negative.data.item() * best.norm_negative_axis.center.value[0]
        assert reach * per_sigmav < -5 * background


@pytest.mark.parametrize("method", ["bins", "direct"])
def test_counts(method):
    dataset = map_dataset(sigma=0.02, n_reco=16, n_true=120, sigmav=0)
    castro = CastroEstimator(
        [1] * u.TeV, ["b"], method=method, free_background="fixed", negative_norm=True
    ).run(dataset)
    assert castro.has_negative.all()
    assert not any("not used" in note for note in castro.meta.notes)
    # the counts by hand: the prediction is linear in sigmav
    predicted = []
    for sigmav in (1e-22, 1e-40):
        dataset.models["dwarf"].spectral_model.sigmav.value = sigmav
        predicted.append(dataset.npred().data.copy())
    signal, background = (predicted[0] - predicted[1]) / 1e-22, predicted[1]
    counts = dataset.counts.data
    used = np.ones(counts.shape, bool) if dataset.mask is None else dataset.mask.data
    counts, signal, background = counts[used], signal[used], background[used]
    strength = castro.reference_negative.data.item() * castro.norm_negative_axis.center.value
    scan = castro.stat_scan_negative.data.squeeze() - castro.delta_stat.squeeze()[0]
    near = scan - scan.min() < 15
    assert near.sum() > 50
    for s, value in zip(strength[near], scan[near], strict=True):
        mu = background + s * signal
        assert (mu > 0).all()
        expected = 2 * (s * signal - counts * np.log(mu / background)).sum()
        tolerance = {"direct": 2e-3, "bins": 0.1 * max(1, abs(expected))}[method]
        assert value == pytest.approx(expected, abs=tolerance)
