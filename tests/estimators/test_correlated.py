"""J-factors that vary together."""

import astropy.units as u
import numpy as np
import pytest
from scipy.optimize import minimize

from dmgammapy.estimators import (
    CastroMaps,
    JFactorCovariance,
    LimitStatus,
    StackedDMLikelihood,
)
from dmgammapy.estimators._correlated_covariance import split_covariance
from dmgammapy.modeling import JFactorPrior

GRID = np.append(0, 10.0 ** np.arange(-29, -20, 0.025)) * u.Unit("cm3 s-1")
UNIT = 1e-26
CL95 = 2.705543454


def poisson_stat(pars, s):
    """-2 ln L of one bin relative to no signal; ``pars`` signal per 1e-26, background, counts."""
    mu = pars[0] * s
    return 2 * (mu - pars[2] * np.log1p(mu / pars[1]))


def poisson(pars, name, **kwargs):
    """The same as a castro; ``pars`` of shape (3,) or (n_mass, 3)."""
    pars = np.atleast_2d(pars)
    stat = np.array([[poisson_stat(p, GRID.value / UNIT) for p in pars]])
    masses = 100.0 * np.arange(1, len(pars) + 1) * u.GeV
    kwargs.setdefault("log10_jfactor", 18.8)
    return CastroMaps.from_scan(GRID, stat, masses, ["b"], target=name, **kwargs)


def random_pars(rng, n, highest=5.0):
    signal = 10 ** rng.uniform(-1, 1.5, n)
    background = 10 ** rng.uniform(0, 2, n)
    counts = background + rng.uniform(-1, highest, n) * np.sqrt(background)
    return np.column_stack([signal, background, np.maximum(0, np.round(counts))])


def random_correlation(rng, n):
    g = rng.normal(size=(n, n + 1))
    c = g @ g.T
    return c / np.sqrt(np.outer(np.diag(c), np.diag(c)))


def brute_force(pars, covariance, s, seed=0):
    """Minimum over the shifts by scipy, from many starting points."""
    value, vector = np.linalg.eigh(covariance)
    a = vector * np.sqrt(np.maximum(value, 0))

    def stat(z):
        with np.errstate(over="ignore"):
            return poisson_stat(pars.T, s * 10 ** np.clip(a @ z, -30, 30)).sum() + z @ z

    rng = np.random.default_rng(seed)
    starts = [np.zeros(len(value)), *rng.normal(0, 3, (25, len(value)))]
    return min(minimize(stat, z, method="BFGS").fun for z in starts)


def rise_at(castro, s):
    """Scan relative to zero signal, at nodes nearest to ``s``: strengths in 1e-26, and values."""
    scan = castro.sigmav_scan[0, 0].value / UNIT
    index = np.unique(np.abs(np.log(scan[1:, None] / s)).argmin(axis=0) + 1)
    return scan[index], castro.delta_stat[0, 0, index] - castro.delta_stat[0, 0, 0]


def limit(castro):
    return castro.sigmav_ul.data.item()


def stack_of(pars, covariance, names="abcdefgh", **kwargs):
    names = list(names[: len(pars)])
    castros = [poisson(p, name) for p, name in zip(pars, names, strict=True)]
    return StackedDMLikelihood(castros, jfactor_covariance=(names, covariance), **kwargs)


class TestProfile:
    @pytest.mark.parametrize("seed", range(6))
    def test_against_brute_force(self, seed):
        rng = np.random.default_rng(seed)
        n = 2 + seed % 2
        pars = random_pars(rng, n)
        width = rng.uniform(0.2, 0.7, n)
        covariance = random_correlation(rng, n) * np.outer(width, width)
        s, got = rise_at(stack_of(pars, covariance).run(), np.geomspace(0.01, 30, 14))
        exact = np.array([brute_force(pars, covariance, x) for x in s])
        keep = exact < 60
        assert keep.sum() > 5
        np.testing.assert_allclose(got[keep], exact[keep], atol=1e-4)

    @pytest.mark.parametrize("correlation", [-0.8, 0.3, 0.95])
    def test_bump_that_another_target_excludes(self, correlation):
        # a: 8 sigma at 1e-26; b excludes that at its observed J: two local minima
        pars = np.array([[50.0, 36.0, 86.0], [30.0, 25.0, 25.0]])
        width = np.array([0.3, 0.5])
        covariance = np.array([[1, correlation], [correlation, 1]]) * np.outer(width, width)
        s, got = rise_at(stack_of(pars, covariance).run(), np.geomspace(0.03, 30, 16))
        y = np.linspace(-4, 4, 1601)
        ya, yb = np.meshgrid(y, y)
        inverse = np.linalg.inv(covariance)
        penalty = inverse[0, 0] * ya**2 + 2 * inverse[0, 1] * ya * yb + inverse[1, 1] * yb**2
        for x, value in zip(s, got, strict=True):
            stat = poisson_stat(pars[0], x * 10**ya) + poisson_stat(pars[1], x * 10**yb) + penalty
            grid = stat.min()  # above the true minimum
            exact = min(grid, brute_force(pars, covariance, x))
            assert value == pytest.approx(exact, abs=1e-4)

    def test_three_targets_with_bumps_and_a_full_matrix(self):
        pars = np.array([[20.0, 30.0, 70.0], [6.0, 20.0, 45.0], [40.0, 50.0, 48.0]])
        width = np.array([0.6, 0.3, 0.4])
        correlation = np.array([[1, -0.5, 0.6], [-0.5, 1, 0.1], [0.6, 0.1, 1]])
        covariance = correlation * np.outer(width, width)
        s, got = rise_at(stack_of(pars, covariance).run(), np.geomspace(0.03, 30, 12))
        exact = [brute_force(pars, covariance, x) for x in s]
        np.testing.assert_allclose(got, exact, atol=1e-4)

    def test_diagonal_is_independent(self):
        pars = random_pars(np.random.default_rng(7), 4)
        width = np.array([0.2, 0.4, 0.6, 0.3])
        castros = [poisson(p, n) for p, n in zip(pars, "abcd", strict=True)]
        priors = {n: JFactorPrior(18.8, w) for n, w in zip("abcd", width, strict=True)}
        free = StackedDMLikelihood(castros, priors).run()
        assert np.array_equal(stack_of(pars, np.diag(width**2)).run().delta_stat, free.delta_stat)
        # the same through the search for correlated ones
        tiny = np.diag(width**2) + 1e-7 * (1 - np.eye(4))
        for covariance in (tiny, tiny * np.sign(np.outer([1, 1, -1, 1], [1, -1, 1, 1]) + 2)):
            result = stack_of(pars, 0.5 * (covariance + covariance.T)).run()
            np.testing.assert_allclose(result.delta_stat, free.delta_stat, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("n", [2, 5])
    def test_fully_correlated_is_one_target(self, n):
        pars = random_pars(np.random.default_rng(n), n)
        together = stack_of(pars, np.full((n, n), 0.4**2)).run()
        one = [poisson(p, "one", instrument=f"i{i}") for i, p in enumerate(pars)]
        exact = StackedDMLikelihood(one, {"one": JFactorPrior(18.8, 0.4)}).run()
        keep = exact.delta_stat[0, 0] < 60
        keep[:4] = False  # at its first two nodes a single profile is not refined between them
        np.testing.assert_allclose(
            together.delta_stat[0, 0][keep], exact.delta_stat[0, 0][keep], atol=1e-4
        )
        assert limit(together) == pytest.approx(limit(exact), rel=1e-4)

    def test_limit_grows_with_the_correlation_of_equal_targets(self):
        pars = np.array([[5.0, 20.0, 20.0]] * 4)
        limits = [
            limit(stack_of(pars, 0.3**2 * (rho + (1 - rho) * np.eye(4))).run())
            for rho in (0, 0.2, 0.5, 0.8, 1)
        ]
        assert (np.diff(limits) > 0.005 * limits[0]).all()

    def test_no_variance_is_fixed(self):
        pars = random_pars(np.random.default_rng(3), 3)
        covariance = np.zeros((3, 3))
        covariance[:2, :2] = [[0.09, 0.05], [0.05, 0.16]]
        got = stack_of(pars, covariance).run()
        castros = [poisson(p, n) for p, n in zip(pars, "abc", strict=True)]
        exact = StackedDMLikelihood(
            castros,
            {"c": JFactorPrior(18.8, 0)},
            jfactor_covariance=(["a", "b"], covariance[:2, :2]),
        ).run()
        assert np.array_equal(got.delta_stat, exact.delta_stat)
        s, values = rise_at(got, np.geomspace(0.05, 5, 8))
        brute = [brute_force(pars[:2], covariance[:2, :2], x) + poisson_stat(pars[2], x) for x in s]
        np.testing.assert_allclose(values, brute, atol=1e-4)

    def test_masses_empty_rows_and_threads(self):
        rng = np.random.default_rng(12)
        pars = np.array([random_pars(rng, 12) for _ in range(3)])  # target, mass, 3
        covariance = random_correlation(rng, 3) * 0.09
        castros = [
            poisson(p, name, empty=[[name == "a" and i == 4 for i in range(12)]])
            for p, name in zip(pars, "abc", strict=True)
        ]
        given = {"jfactor_covariance": (list("abc"), covariance)}
        result = StackedDMLikelihood(castros, **given).run()
        again = StackedDMLikelihood(castros, n_jobs=2, **given).run()
        assert np.array_equal(result.delta_stat, again.delta_stat)
        for mass in (0, 4, 11):
            names = "bc" if mass == 4 else "abc"
            index = ["abc".index(n) for n in names]
            single = stack_of(
                pars[index, mass], covariance[np.ix_(index, index)], names=names
            ).run()
            assert result.sigmav_ul.data[0, mass].item() == pytest.approx(limit(single), rel=1e-4)

    @pytest.mark.parametrize(("factor", "status"), [(0.7, "EXTRAPOLATED"), (1.4, "FOUND")])
    def test_limit_on_extrapolated_scans_is_flagged(self, factor, status):
        # without signal the shifts at the limit are towards lower J: beyond it nothing is read
        pars = np.array([[5.0, 20.0, 20.0]] * 3)
        covariance = 0.01 * (0.5 + 0.5 * np.eye(3))
        where = [[factor * limit(stack_of(pars, covariance).run())]] * GRID.unit
        castros = [poisson(p, n, extrapolated=where) for p, n in zip(pars, "abc", strict=True)]
        result = StackedDMLikelihood(castros, jfactor_covariance=(list("abc"), covariance)).run()
        assert result.status.data.item() == getattr(LimitStatus, status)

    def test_different_stretches_of_the_lattice(self):
        pars = np.array([[5.0, 20.0, 30.0], [8.0, 30.0, 28.0]])
        covariance = [[0.09, 0.07], [0.07, 0.16]]
        castros = [poisson(p, n) for p, n in zip(pars, "ab", strict=True)]
        short = np.append(0, 10.0 ** np.arange(-28.7, -21.3, 0.025)) * GRID.unit
        stat = poisson_stat(pars[1], short.value / UNIT).reshape(1, 1, -1)
        castros[1] = CastroMaps.from_scan(short, stat, [100] * u.GeV, ["b"], target="b")
        result = StackedDMLikelihood(castros, jfactor_covariance=(["a", "b"], covariance)).run()
        s, got = rise_at(result, np.geomspace(0.01, 30, 9))
        exact = [brute_force(pars, np.array(covariance), x) for x in s]
        np.testing.assert_allclose(got, exact, atol=1e-4)

    def test_strong_targets_far_apart_in_j(self):
        # the observed J of b is 1 dex too low, c has the same bias: only a shared shift helps
        pars = np.array([[10.0, 10.0, 110.0], [1.0, 10.0, 110.0], [1.0, 10.0, 110.0]])
        width = np.array([0.1, 0.5, 0.5])
        correlation = np.array([[1, 0.1, 0.05], [0.1, 1, 0.9], [0.05, 0.9, 1]])
        covariance = correlation * np.outer(width, width)
        s, got = rise_at(stack_of(pars, covariance).run(), np.geomspace(1, 100, 9))
        exact = [brute_force(pars, covariance, x) for x in s]
        np.testing.assert_allclose(got, exact, atol=1e-3)


class TestMarginal:
    def test_common_factor_against_quadrature(self):
        pars = np.array([[20.0, 30.0, 50.0], [6.0, 20.0, 22.0]])
        width, rho = np.array([0.4, 0.3]), 0.6
        covariance = np.outer(width, width) * [[1, rho], [rho, 1]]
        result = stack_of(pars, covariance, method="marginal").run()
        s, got = rise_at(result, np.geomspace(0.05, 5, 8))
        z = np.linspace(-8, 8, 401)
        za, zb = np.meshgrid(z, z)
        ya, yb = width[0] * za, width[1] * (rho * za + np.sqrt(1 - rho**2) * zb)
        weight = np.exp(-0.5 * (za**2 + zb**2))
        weight /= weight.sum()
        for x, value in zip(s, got, strict=True):
            stat = poisson_stat(pars[0], x * 10**ya) + poisson_stat(pars[1], x * 10**yb)
            exact = -2 * np.log(np.sum(weight * np.exp(-0.5 * stat)))
            assert value == pytest.approx(exact, abs=1e-4)

    def test_fully_correlated_is_one_target(self):
        pars = random_pars(np.random.default_rng(1), 3)
        together = stack_of(pars, np.full((3, 3), 0.4**2), method="marginal").run()
        one = [poisson(p, "one", instrument=f"i{i}") for i, p in enumerate(pars)]
        exact = StackedDMLikelihood(one, {"one": JFactorPrior(18.8, 0.4)}, "marginal").run()
        assert limit(together) == pytest.approx(limit(exact), rel=1e-4)

    def test_more_factors_are_refused(self):
        rng = np.random.default_rng(4)
        stack = stack_of(random_pars(rng, 5), random_correlation(rng, 5) * 0.1, method="marginal")
        with pytest.raises(ValueError, match=r"one common factor; that of \['a'.*'profile'"):
            stack.run()


class TestParts:
    def test_shares_add_up_and_ul_without_is_the_smaller_stack(self):
        rng = np.random.default_rng(8)
        pars = random_pars(rng, 3, highest=2)
        covariance = random_correlation(rng, 3) * 0.1
        castros = [poisson(p, n) for p, n in zip(pars, "abc", strict=True)]
        castros.append(poisson([3.0, 10.0, 9.0], "single", prior=JFactorPrior(18.8, 0.2)))
        stack = StackedDMLikelihood(castros, jfactor_covariance=(list("abc"), covariance))
        table = stack.contributions
        assert table["share"].sum() == pytest.approx(1, abs=2e-3)
        without = StackedDMLikelihood(
            [castros[0], castros[2], castros[3]],
            jfactor_covariance=(["a", "c"], covariance[np.ix_([0, 2], [0, 2])]),
        ).run()
        assert table["ul_without"][1].value == pytest.approx(limit(without), rel=1e-5)
        alone = StackedDMLikelihood(
            [castros[1]], {"b": JFactorPrior(18.8, np.sqrt(covariance[1, 1]))}
        ).run()
        assert limit(stack.target_maps["b"]) == pytest.approx(limit(alone), rel=1e-6)

    def test_shares_of_equal_targets_are_equal(self):
        table = stack_of(np.array([[5.0, 20.0, 20.0]] * 3), 0.04 + 0.05 * np.eye(3)).contributions
        np.testing.assert_allclose(table["share"], 1 / 3, atol=1e-3)

    def test_written_files_say_so(self, tmp_path):
        covariance = [[0.04, 0.03], [0.03, 0.09]]
        result = stack_of(random_pars(np.random.default_rng(0), 2), covariance).run()
        result.write(tmp_path / "stack.fits")
        meta = CastroMaps.read(tmp_path / "stack.fits").meta
        assert meta.contributors["a"]["jfactor_covariance"] == {"a": 0.04, "b": 0.03}
        assert any("a, b vary together" in note and "up to 0.5" in note for note in meta.notes)


class TestErrors:
    pars = np.array([[5.0, 20.0, 20.0]] * 2)
    matrix = ((0.04, 0.02), (0.02, 0.09))

    def stack(self, priors=None, matrix=matrix, names=("a", "b"), **kwargs):
        castros = [poisson(p, n) for p, n in zip(self.pars, "ab", strict=True)]
        given = (list(names), matrix)
        return StackedDMLikelihood(castros, priors, jfactor_covariance=given, **kwargs)

    def test_width_of_the_prior(self):
        priors = {"a": JFactorPrior(18.8, 0.2), "b": JFactorPrior(18.8, 0.31)}
        with pytest.raises(ValueError, match=r"'b'.*width of 0.31 dex.*says 0.3"):
            self.stack(priors)
        self.stack({"a": JFactorPrior(18.8, 0.2)})  # agrees, and b's is that of the covariance

    def test_normal_priors_only(self):
        x = np.linspace(17, 20, 61)
        table = JFactorPrior.from_table(x, stat=((x - 18.8) / 0.2) ** 2)
        for prior in (table, JFactorPrior(18.8, (0.2, 0.3))):
            with pytest.raises(ValueError, match="'a' is in jfactor_covariance.*normal prior"):
                self.stack({"a": prior})

    def test_unknown_target(self):
        with pytest.raises(ValueError, match=r"holds \['c'\].*stack of \['a', 'b'\]"):
            self.stack(names=("a", "c"))

    def test_fixed(self):
        with pytest.raises(ValueError, match="no effect with method='fixed'"):
            self.stack(method="fixed")

    def test_others_need_a_prior(self):
        with pytest.raises(ValueError, match=r"no J-factor width for \['b'\]"):
            self.stack(names=("a",), matrix=[[0.04]])


def test_prior_moves_j_in_the_covariance():
    pars = np.array([[5.0, 20.0, 20.0]] * 2)
    limits = []
    for j in (18.8, 19.8):
        priors = {n: JFactorPrior(j, 0.2) for n in "ab"}
        limits.append(limit(stack_of(pars, [[0.04, 0.02], [0.02, 0.04]], priors=priors).run()))
    assert limits[1] == pytest.approx(limits[0] / 10, rel=1e-5)


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_split_adds_up(rank):
    rng = np.random.default_rng(rank)
    a = rng.normal(size=(5, rank))
    for own in (0.0, 0.3):
        matrix = a @ a.T + own * np.eye(5)
        split = split_covariance(matrix)
        rebuilt = np.diag(split.variance) + split.loading @ split.loading.T
        np.testing.assert_allclose(rebuilt, matrix, atol=1e-8)
        assert split.variance.min() >= 0
        if rank == 1:
            assert split.loading.shape == (5, 1)
            np.testing.assert_allclose(split.variance, own, atol=1e-8)


def test_covariance_is_that_of_a_common_factor():
    assert JFactorCovariance.from_widths({"a": 0.2, "b": 0.2}, 0.25).matrix[0, 1] == (
        pytest.approx(0.01)
    )
