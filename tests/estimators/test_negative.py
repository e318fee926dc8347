"""Negative signals through conversion and J treatment, against closed forms and brute force."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize, minimize_scalar

from dmgammapy.datasets.scans import LikelihoodScans
from dmgammapy.estimators._conversion import convert, convert_rows
from dmgammapy.estimators._correlated import marginalize_correlated, profile_correlated
from dmgammapy.estimators.lattice import LatticeProfiles
from dmgammapy.modeling import JFactorPrior

# norm of one Poisson bin and two Gaussian ones for unit strength; counts and background of the
# first, means and errors of the others
AMPLITUDE = np.array([[2.0, 1.0, 0.5], [0.2, 3.0, 0.0], [1.0, 1.0, 1.0]])
COUNTS, BACKGROUND = 33.0, 40.0
MEAN, ERROR = np.array([-3.0, 4.0]), np.array([5.0, 8.0])
ALL = np.ones(3, dtype=bool)


def exact(strength, counts=COUNTS, background=BACKGROUND, rows=AMPLITUDE):
    """``stat`` of every row relative to no signal, shape of ``strength``: (n_row, n)."""
    total = np.zeros(strength.shape)
    for bin_, amplitude in enumerate(rows.T):
        norm = amplitude[:, None] * strength
        if bin_ == 0:
            log = np.log1p(np.maximum(norm / background, -1 + 1e-9)) if counts else 0.0
            total += 2 * (norm - counts * log)
        else:
            mean, error = MEAN[bin_ - 1], ERROR[bin_ - 1]
            total += ((norm - mean) / error) ** 2 - (mean / error) ** 2
    return total


def make_scans(counts=COUNTS, background=BACKGROUND, n_points=40, inside=0.995):
    low = np.array([-inside * background, *(MEAN - 4 * ERROR)])
    high = np.array([counts - background + 7 * np.sqrt(counts + 3), *(MEAN + 4 * ERROR)])
    high = np.maximum(high, 10)
    norm = np.linspace(low, high, n_points, axis=1)
    with np.errstate(divide="ignore"):
        stat = np.array(
            [2 * (norm[0] - (counts * np.log1p(norm[0] / background) if counts else 0))]
            + [((n - m) / e) ** 2 for n, m, e in zip(norm[1:], MEAN, ERROR, strict=True)]
        )
    return LikelihoodScans(norm, stat)


def nodes(profiles):
    return 10.0 ** (profiles.step * (profiles.start[:, None] + np.arange(profiles.n_norm)))


def relative(profiles):
    return profiles.values - profiles.zero[:, None]


def test_conversion_at_negative_norms_is_exact():
    scans = make_scans()
    profiles = convert(scans, ALL, AMPLITUDE, 0.3)
    below = profiles.negative
    assert not below.empty.any()
    np.testing.assert_array_equal(below.zero, profiles.zero)
    strength = nodes(below)
    wall = BACKGROUND / AMPLITUDE[:, :1]
    near = strength < 0.75 * wall
    expected = exact(np.where(near, -strength, 0.0))
    np.testing.assert_allclose(relative(below)[near], expected[near], rtol=5e-5, atol=2e-4)
    # beyond the reach of the counts the curve rises out of sight, as it does towards the wall
    lowest = relative(below).min(axis=1)
    assert ((relative(below) - lowest[:, None])[strength > wall] > 30).all()
    # the positive side is what it is without them
    alone = convert(scans, ALL, AMPLITUDE, 0.3, negative=False)
    assert alone.negative is None
    np.testing.assert_array_equal(alone.values, profiles.values)


@pytest.mark.parametrize("amplitude", [AMPLITUDE, 1e-3 * AMPLITUDE])
def test_no_counts_make_a_wall(amplitude):
    scans = make_scans(counts=0.0, background=3.0, inside=1.0)
    below = convert(scans, ALL, amplitude, 0.3).negative
    strength = nodes(below)
    wall = 3.0 / amplitude[:, 0]
    last = strength[:, -1] / wall
    assert ((last <= 1 + 1e-9) & (last > 10**-below.step)).all()
    expected = exact(-strength, 0.0, rows=amplitude)
    np.testing.assert_allclose(relative(below), expected, atol=2e-4)


def test_rows_need_all_bins_with_flux():
    scans = make_scans()
    bounded = LikelihoodScans(
        np.linspace(0, 30, 20) * np.ones((3, 1)), np.linspace(0, 30, 20) ** 2 * np.ones((3, 1))
    )
    assert convert(bounded, ALL, AMPLITUDE, 0.3).negative is None
    norm, stat = scans._norm.copy(), make_stat(scans)
    norm[2], stat[2] = np.linspace(0, 30, 40), ((np.linspace(0, 30, 40) - 4) / 8) ** 2
    mixed = LikelihoodScans(norm, stat)
    below = convert(mixed, ALL, AMPLITUDE, 0.3).negative
    assert below.empty.tolist() == [True, False, True]
    whole = convert(scans, ALL, AMPLITUDE, 0.3).negative
    strength = nodes(below)[1]
    near = strength < 100
    np.testing.assert_allclose(
        relative(below)[1][near], exact(-strength[None], rows=AMPLITUDE[1:2])[0][near], atol=2e-4
    )
    assert whole.stop[1] == below.stop[1]


def make_stat(scans):
    return scans.stat(scans._norm)


def test_rows_with_scans_of_their_own():
    scans, amplitude = [], np.array([2.0, 0.0, 0.3])
    for n in (33.0, 1.0, 0.0):
        b = n + 4
        norm = np.linspace(-0.999 * b, b + 20, 60)
        scans.append(LikelihoodScans([norm], [2 * (norm - n * np.log1p(norm / b))]))
    rows = convert_rows(scans, amplitude, 0.2)
    assert rows.negative.empty.tolist() == [False, True, False]
    strength = nodes(rows.negative)
    for row, n in ((0, 33.0), (2, 0.0)):
        norm = -amplitude[row] * strength[row]
        near = norm > -0.7 * (n + 4)
        expected = 2 * (norm - n * np.log1p(np.where(near, norm, 0) / (n + 4)))
        np.testing.assert_allclose(relative(rows.negative)[row][near], expected[near], atol=5e-4)
    assert strength[2, -1] == pytest.approx(4 * 0.999 / 0.3, rel=0.06)


def brute(row, strength, width, wall=np.inf, **kwargs):
    """``min_y [stat(strength 10^y) + (y / width)^2]``, where the likelihood exists."""

    def total(y):
        return (
            exact(np.array([[strength * 10.0**y]]), rows=AMPLITUDE[row : row + 1], **kwargs).item()
            + (y / width) ** 2
        )

    top = min(np.log10(wall / -strength), 6 * width) if np.isfinite(wall) else 6 * width
    grid = np.linspace(-7 * width, top, 1500)
    best = grid[np.argmin([total(y) for y in grid])]
    step = grid[1] - grid[0]
    found = minimize_scalar(
        total, bounds=(best - step, min(best + step, top)), method="bounded",
        options={"xatol": 1e-10},
    )  # fmt: skip
    return min(found.fun, total(top), total(best))


@pytest.mark.parametrize("width", [0.1, 0.4])
def test_profile_of_negative_signals(width):
    prior = JFactorPrior(18.0, width)
    below = convert(make_scans(), ALL, AMPLITUDE, width).profiled(prior).negative
    strength = nodes(below)
    for row in range(3):
        for i in np.searchsorted(strength[row], [0.5, 2.0, 5.0, 9.0, 14.0, 18.0]):
            found = relative(below)[row, i]
            wall = 0.9999 * BACKGROUND / AMPLITUDE[row, 0]
            assert found == pytest.approx(brute(row, -strength[row, i], width, wall), abs=2e-3)


@pytest.mark.parametrize("width", [0.15, 0.5])
def test_profile_beyond_a_wall(width):
    scans = make_scans(counts=0.0, background=3.0, inside=1.0)
    raw = convert(scans, ALL, AMPLITUDE, width)
    below = raw.profiled(JFactorPrior(18.0, width)).negative
    reach = below.step * (below.stop - raw.negative.stop)
    # the bins of the second row have risen by more than 4 before the first one ends
    np.testing.assert_allclose(reach, [5 * width, 0, 5 * width], atol=below.step)
    strength = nodes(below)
    wall = nodes(raw.negative)[:, -1]  # as far as the lattice goes
    for row in range(3):
        for s in wall[row] * np.array([0.01, 0.1, 0.5, 0.9, 1.2, 2.0, 3.0]):
            if row == 1 and s > wall[row]:
                continue
            i = np.searchsorted(strength[row], s)
            expected = brute(row, -strength[row, i], width, wall[row], counts=0.0, background=3.0)
            assert relative(below)[row, i] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("prior", ["wide", "narrow", "split", "table"])
def test_marginal_of_negative_signals(prior):
    prior = {
        "wide": JFactorPrior(18.0, 0.3),
        "narrow": JFactorPrior(18.0, 0.03),
        "split": JFactorPrior(18.0, (0.2, 0.4)),
        "table": JFactorPrior.from_table(
            np.linspace(16, 20, 161), stat=(np.linspace(-2, 2, 161) / 0.25) ** 2
        ),
    }[prior]
    scans = make_scans(counts=0.0, background=3.0, inside=1.0)
    raw = convert(scans, ALL, AMPLITUDE, 0.4)
    below = raw.marginalized(prior).negative
    strength, ends = nodes(below), nodes(raw.negative)[:, -1]
    for row in range(3):
        for s in ends[row] * np.array([0.05, 0.3, 0.8, 1.2]):
            if row == 1 and s > ends[row]:
                continue
            i = np.searchsorted(strength[row], s)
            here = strength[row, i]

            def likelihood(y, row=row, here=here):
                stat = exact(np.array([[-here * 10.0**y]]), 0.0, rows=AMPLITUDE[row : row + 1])
                return np.exp(-0.5 * stat.item()) * float(prior.density(y))

            low, high = prior.support
            wall = np.log10(ends[row] / here)
            points = sorted({low, min(0.0, wall), min(high, wall)})
            expected = sum(
                quad(likelihood, a, b, limit=200)[0]
                for a, b in zip(points[:-1], points[1:], strict=True)
            )
            # the integral ends between nodes: half a step of the density is in doubt
            edge = float(prior.density(wall)) * likelihood_ratio(expected, likelihood, wall, prior)
            tolerance = 2 * np.log1p(below.step * edge) + 2e-3
            assert relative(below)[row, i] == pytest.approx(-2 * np.log(expected), abs=tolerance)


def likelihood_ratio(expected, likelihood, wall, prior):
    """Likelihood at the wall in units of the integral."""
    density = float(prior.density(wall))
    return likelihood(wall) / density / expected if density > 0 else 0.0


def lattice_of(function, start=-200, n=280, step=0.025, hard=False):
    """One row with ``function`` of the strength on both sides."""
    u = step * (start + np.arange(n))

    def make(sign, u):
        return function(sign * 10.0**u)[None]

    if hard:
        below = u[u <= 1e-12]
    else:
        below = u
    one = np.ones(1, bool)
    empty, inf = ~one, np.full(1, np.inf)
    zero = np.array([function(np.array(0.0))]).astype(float).reshape(1)
    first = np.array([start])
    mirror = LatticeProfiles(step, first, make(-1, below), zero, empty, inf)
    return LatticeProfiles(step, first, make(1, u), zero, empty, inf, negative=mirror)


def gaussian(mean, error):
    return lambda s: ((s - mean) / error) ** 2


def falling(s):
    """No counts: linear down to the wall at -1."""
    return 8.0 * s


def test_sum_shift_and_without():
    a, b = lattice_of(gaussian(-2, 3.0)), lattice_of(falling, hard=True)
    total = LatticeProfiles.sum([a, b, a.shifted(0.3)])
    s = -nodes(total.negative)[0]
    expected = ((s + 2) / 3) ** 2 + 8 * s + ((s * 10**0.3 + 2) / 3) ** 2
    np.testing.assert_allclose(total.negative.values[0], expected, atol=1e-5)
    assert s[-1] == pytest.approx(-1)
    back = total.without(b)
    expected = expected - 8 * s
    np.testing.assert_allclose(back.negative.values[0], expected, atol=1e-5)
    b.negative = None
    assert LatticeProfiles.sum([a, b]).negative is None
    b.empty[:] = True
    assert LatticeProfiles.sum([b, a]).negative.n_norm == a.n_norm


@pytest.mark.parametrize("correlation", [0.6, 1.0, -0.5])
def test_correlated_targets(correlation):
    widths = np.array([0.2, 0.4])
    matrix = correlation * np.outer(widths, widths)
    matrix[np.diag_indices(2)] = widths**2
    functions = gaussian(-2.0, 1.0), gaussian(-1.0, 0.7)
    total, terms = profile_correlated([lattice_of(f) for f in functions], matrix)
    s = -nodes(total.negative)[0]
    np.testing.assert_allclose(
        sum(t.negative.values for t in terms), total.negative.values, atol=1e-3
    )
    root = np.linalg.cholesky(matrix + 1e-13 * np.eye(2))
    for i in np.searchsorted(-s, [0.1, 1.0, 3.0, 8.0]):

        def stat(u, i=i):
            y = root @ u
            return u @ u + sum(f(s[i] * 10.0**x) for f, x in zip(functions, y, strict=True))

        starts = [(a, b) for a in (-3, -1, 0, 1, 3) for b in (-3, -1, 0, 1, 3)]
        best = min(minimize(stat, x, tol=1e-12).fun for x in starts)
        assert total.negative.values[0, i] == pytest.approx(best, abs=2e-3)


def test_correlated_targets_at_a_wall():
    """Strictly together: one shift, which cannot lead beyond the wall of the first."""
    matrix = 0.3**2 * np.ones((2, 2))
    parts = [lattice_of(falling, hard=True), lattice_of(gaussian(-0.5, 0.2))]
    profile = profile_correlated(parts, matrix)[0].negative
    marginal = marginalize_correlated(parts, matrix).negative
    for s in (0.2, 0.6, 0.95):
        i = np.searchsorted(nodes(profile)[0], s)
        s = nodes(profile)[0, i]

        def stat(y, s=s):
            return falling(-s * 10.0**y) + gaussian(-0.5, 0.2)(-s * 10.0**y) + (y / 0.3) ** 2

        y = np.linspace(-2, -np.log10(s), 400001)
        assert profile.values[0, i] == pytest.approx(stat(y).min(), abs=5e-3)
        density = np.exp(-0.5 * stat(y)) / (0.3 * np.sqrt(2 * np.pi))
        expected = -2 * np.log(np.trapezoid(density, y))
        assert marginal.values[0, i] == pytest.approx(expected, abs=0.05)
