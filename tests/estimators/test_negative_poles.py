"""Negative signals close to where a bin's prediction is zero: few counts below the background."""

import astropy.units as u
import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar

from dmgammapy.estimators import CastroEstimator, CastroMaps, StackedDMLikelihood

from .ensemble_helpers import counts_per_sigmav, make_sed

CASTRO = CastroEstimator([50] * u.GeV, ["b"])


def run(name, background, npred, counts, log10_jfactor=19.0, width=None, **kwargs):
    """Result, and backgrounds, counts and predictions per cm3 s-1."""
    dataset, expectation = make_sed(name, background, npred, log10_jfactor, width)
    observed = expectation.to_dataset(dataset, counts, **({"negative_norm": True} | kwargs))
    observed.models = dataset.models
    per_sigmav = counts_per_sigmav(npred, 50.0, "b", log10_jfactor)
    return CASTRO.run(observed), (np.array(background), np.array(counts), per_sigmav)


def exact(data, sigmav):
    """-2 ln L relative to no signal, inf where a prediction is not positive; shape of sigmav."""
    background, counts, per_sigmav = (part[:, None] for part in data)
    signal = per_sigmav * np.atleast_1d(sigmav)
    good = (background + signal > 0).all(axis=0)
    ratio = np.where(good, signal / background, 0.0)
    return np.where(good, (2 * (signal - counts * np.log1p(ratio))).sum(axis=0), np.inf)


def fit(castro):
    """Unbounded best fit and ``stat`` there, relative to no signal."""
    strength, stat = (m.data.item() for m in castro.unbounded_fit())
    return strength, stat - castro.stat_null.data.item()


CASES = [
    (b, n)
    for b in (0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 20.0, 70.0, 300.0, 1000.0)
    for n in sorted({1, 2, 3, 5, int(b / 3), int(b - 2 * b**0.5), int(b + 3 * b**0.5)})
    if n > 0
]


@pytest.mark.parametrize(("background", "counts"), CASES)
def test_one_bin_has_its_minimum_at_what_is_missing(background, counts):
    castro, data = run("one", [background], [4.0], [counts])
    found, value = fit(castro)
    missing = counts - background
    assert value == pytest.approx(2 * missing - 2 * counts * np.log(counts / background), abs=1e-3)
    if abs(missing) > 0.1:
        assert found * data[2].item() == pytest.approx(missing, rel=3e-4)
    # and the whole likelihood, up to a step of the lattice before its pole
    sigmav = (castro.norm_negative_axis.center.value * castro.reference_negative.data).ravel()
    step = np.log10(sigmav[0] / sigmav[1])
    inside = -sigmav * data[2].item() < background * 10 ** (-step)
    rise = exact(data, sigmav[inside])
    near = rise < value + 17  # scans go up to 20
    zero = castro.delta_stat.ravel()[0]
    stat = castro.stat_scan_negative.data.ravel()[inside] - zero
    np.testing.assert_allclose(stat[near], rise[near], atol=2e-4)


def test_few_counts_give_the_limits_of_an_exact_table():
    for background, counts in ((5.0, 1), (3.0, 1), (8.0, 2)):
        castro, data = run("one", [background], [4.0], [counts])
        below = background * (np.geomspace(1e-6, 0.997, 300) - 1)
        signal = np.concatenate([below, -background * np.geomspace(2e-3, 1e-6, 60), [0.0]])
        signal = np.concatenate([signal, np.geomspace(1e-4, 300, 400)])
        sigmav = signal / data[2].item()
        stat = exact(data, sigmav).reshape(1, 1, -1)
        table = CastroMaps.from_scan(sigmav * u.Unit("cm3 s-1"), stat, [50] * u.GeV, ["b"])
        for method in ("cls", "profile"):
            limit, status = castro.upper_limit_and_status(method=method)
            expected, same = table.upper_limit_and_status(method=method)
            assert status.data.item() == same.data.item()
            assert limit.data.item() == pytest.approx(expected.data.item(), rel=2e-5)


@pytest.mark.parametrize("counts", [[0, 3], [1, 1], [2, 0], [1, 6], [3, 4]])
def test_the_positive_side_is_exact_with_few_counts(counts):
    castro, data = run("one", [5.0, 3.0], [4.0, 1.0], counts)
    unit = 1 / data[2].max()

    def stat(x):
        return exact(data, x * unit).item()

    best = minimize_scalar(stat, bounds=(0, 50), method="bounded", options={"xatol": 1e-10})
    lowest = min(best.fun, 0.0)
    start = best.x if best.fun < 0 else 0.0
    expected = brentq(lambda x: stat(x) - lowest - 2.705543454, start, 200)
    assert castro.sigmav_ul.data.item() == pytest.approx(expected * unit, rel=1e-5)
    assert castro.ts.data.item() == pytest.approx(-lowest, abs=1e-5)


@pytest.mark.parametrize(
    ("background", "npred", "counts"),
    [
        ([5.0, 3.0], [4.0, 1.0], [1, 2]),
        ([5.0, 40.0], [1.0, 2.0], [1, 20]),
        ([2.0, 30.0], [1.0, 3.0], [1, 1]),
        ([0.5, 9.0], [0.1, 3.0], [1, 3]),
    ],
)
def test_several_bins(background, npred, counts):
    castro, data = run("one", background, npred, counts)
    wall = (data[0] / data[2]).min()
    best = minimize_scalar(
        lambda x: exact(data, -x * wall).item(), bounds=(0, 1 - 1e-12), method="bounded",
        options={"xatol": 1e-10},
    )  # fmt: skip
    found, value = fit(castro)
    assert value == pytest.approx(best.fun, abs=1e-3)
    assert found == pytest.approx(-best.x * wall, rel=2e-3)


STACKS = [
    [("a", 5.0, 1, 19.0, 0.3)],
    [("a", 5.0, 1, 19.0, 0.1)],
    [("a", 5.0, 2, 19.0, 0.3)],
    [("a", 5.0, 1, 19.0, 0.3), ("b", 8.0, 2, 18.8, 0.2)],
    [("a", 5.0, 1, 19.0, 0.3), ("b", 5.0, 7, 18.8, 0.2)],
    [("a", 5.0, 1, 19.0, 0.2), ("b", 20.0, 10, 18.8, 0.2), ("c", 3.0, 2, 18.5, 0.4)],
]


def treated(data, sigmav, width, method):
    """-2 ln L of one target, its J-factor profiled or integrated out on a grid."""
    y = np.linspace(-8 * width, 8 * width, 40001)
    stat = exact(data, sigmav * 10.0**y)
    if method == "profile":
        return (stat + (y / width) ** 2).min()
    lowest = stat.min()
    density = np.exp(-0.5 * (y / width) ** 2) / (width * np.sqrt(2 * np.pi))
    return lowest - 2 * np.log(np.trapezoid(np.exp(-0.5 * (stat - lowest)) * density, y))


@pytest.mark.parametrize("method", ["profile", "marginal"])
@pytest.mark.parametrize("targets", STACKS)
def test_stacks_with_uncertain_jfactors(targets, method):
    parts = [run(name, [b], [4.0], [n], j, width) for name, b, n, j, width in targets]
    found, value = fit(StackedDMLikelihood([castro for castro, _ in parts], method=method).run())

    def stat(log):
        return sum(
            treated(data, found * 10.0**log, target[-1], method)
            for (_, data), target in zip(parts, targets, strict=True)
        )

    grid = np.linspace(-0.3, 0.3, 25)
    j = int(np.clip(np.argmin([stat(x) for x in grid]), 1, 23))
    best = minimize_scalar(
        stat, bounds=(grid[j - 1], grid[j + 1]), method="bounded", options={"xatol": 1e-4}
    )
    assert value == pytest.approx(best.fun, abs=1e-3)
    assert 10**best.x == pytest.approx(1, abs=5e-3)
