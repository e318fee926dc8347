"""JFactorPrior against scipy's distributions and closed forms."""

import copy
import json
import pickle

import numpy as np
import pytest
from gammapy.modeling import Parameter
from gammapy.modeling.models import PRIOR_REGISTRY, Model
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad
from scipy.stats import norm, skewnorm

from dmgammapy.modeling import JFactorPrior

CENTERS = st.floats(10, 25)
WIDTHS = st.floats(1e-3, 2)
SHIFTS = np.array([-1.3, -0.4, -0.01, 0.0, 0.02, 0.3, 2.0])


def gaussian_table(center=18.5, width=0.3, n_nodes=61, reach=1.5):
    grid = np.linspace(center - reach, center + reach, n_nodes)
    return JFactorPrior.from_table(grid, stat=((grid - center) / width) ** 2)


def box():
    return JFactorPrior.from_table(np.linspace(18, 19, 11), likelihood=np.ones(11))


class TestNormal:
    @given(CENTERS, WIDTHS)
    def test_stat_is_that_of_scipy(self, center, width):
        prior = JFactorPrior(center, width)
        scipy = -2 * (norm.logpdf(SHIFTS, 0, width) - norm.logpdf(0, 0, width))
        assert_allclose(prior.stat(SHIFTS), scipy, rtol=1e-9, atol=1e-9)
        assert_allclose(prior.density(SHIFTS), norm.pdf(SHIFTS, 0, width), rtol=1e-9)
        # log10 J and the shift differ by the rounding of log10 J
        assert_allclose(prior.evaluate(center + SHIFTS), scipy, rtol=1e-6, atol=1e-6)
        assert prior.evaluate(center) == 0

    @given(WIDTHS, WIDTHS)
    def test_split(self, low, high):
        prior = JFactorPrior(18.0, (low, high))
        expected = np.where(SHIFTS < 0, SHIFTS / low, SHIFTS / high) ** 2
        assert_allclose(prior.stat(SHIFTS), expected, rtol=1e-12)
        below = quad(prior.density, prior.support[0], 0)[0]
        above = quad(prior.density, 0, prior.support[1])[0]
        assert_allclose([below, above], np.array([low, high]) / (low + high), rtol=1e-8)

    def test_no_jacobian(self):
        # the minimum is at J_obs; a density in J would have it at -s^2 ln 10 (0.83 dex for 0.6 dex)
        shifts = np.linspace(-2, 2, 401)
        assert shifts[np.argmin(JFactorPrior(18, 0.6).stat(shifts))] == pytest.approx(0)

    def test_fixed(self):
        prior = JFactorPrior(18.2, 0)
        assert prior.is_fixed
        assert not JFactorPrior(18.2, 0.1).is_fixed
        assert_array_equal(prior.stat([-0.1, 0, 1e-12, 0.1]), [np.inf, 0, 0, np.inf])
        assert prior.support == (0, 0)
        with pytest.raises(ValueError, match="no density"):
            prior.density(0.0)

    def test_support_is_where_stat_is_50(self):
        prior = JFactorPrior(18.2, (0.2, 0.5))
        assert_allclose(prior.stat(prior.support), 50)

    @pytest.mark.parametrize("p", [0.001, 0.2, 0.5, 0.9])
    def test_quantiles(self, p):
        assert JFactorPrior(18.0, 0.3)._inverse_cdf(p) == pytest.approx(norm.ppf(p, 18, 0.3))
        split = JFactorPrior(18.0, (0.2, 0.6))
        value = split._inverse_cdf(p) - 18
        low = split.support[0]
        assert quad(split.density, low, value, points=[0], limit=200)[0] == pytest.approx(
            p, abs=1e-6
        )

    def test_called_with_a_parameter(self):
        parameter = Parameter("log10_jfactor", 18.5, prior=JFactorPrior(18.0, 0.25))
        assert parameter.prior_stat_sum() == pytest.approx(4)

    @pytest.mark.parametrize(
        ("center", "err", "message"),
        [
            (np.nan, 0.1, "log10_jfactor must be a finite number"),
            ("many", 0.1, "log10_jfactor must be numbers"),
            (18, -0.1, "not negative"),
            (18, np.nan, "use no prior"),
            (18, (0.1, 0.2, 0.3), "two widths"),
            (18, (0, 0.2), "both zero"),
            (18, None, "use no prior"),
        ],
    )
    def test_bad_numbers(self, center, err, message):
        with pytest.raises(ValueError, match=message):
            JFactorPrior(center, err)


class TestTable:
    def test_gaussian(self):
        prior = gaussian_table()
        assert prior.log10_jfactor == pytest.approx(18.5)
        assert not prior.is_gaussian
        assert prior.is_convex
        inside = np.linspace(-1.5, 1.5, 200)
        assert_allclose(prior.stat(inside), (inside / 0.3) ** 2, atol=2e-3)
        assert_allclose([prior.err_low, prior.err_high], 0.3, rtol=1e-3)
        assert_allclose(prior.density(inside), norm.pdf(inside, 0, 0.3), rtol=2e-3)
        assert_allclose(
            prior._inverse_cdf([0.16, 0.5]), norm.ppf([0.16, 0.5], 18.5, 0.3), rtol=1e-4
        )

    def test_straight_line_outside(self):
        # slope at the end of ((y / 0.3)^2, y = 1.5): 33.3 per dex
        assert_allclose(gaussian_table().stat([-2.5, 2.0]), [25 + 33.333, 25 + 16.667], rtol=1e-3)

    def test_support(self):
        assert_allclose(gaussian_table().support, [-2.25, 2.25], rtol=1e-6)
        wide = gaussian_table(reach=6, n_nodes=601)
        assert_allclose(wide.support, np.sqrt(50) * 0.3 * np.array([-1, 1]), rtol=1e-3)

    def test_exponential_density(self):
        # Laplace distribution: density exp(-|y| / 0.2) / 0.4, tails in a straight line are exact
        grid = np.linspace(17, 19, 21)
        prior = JFactorPrior.from_table(grid, likelihood=np.exp(-np.abs(grid - 18) / 0.2))
        # the monotone cubic rounds the cusp off and nothing else
        y = np.array([-3, -1.5, -0.4, 0.5, 2])
        assert_allclose(prior.stat(y), np.abs(y) / 0.1, rtol=1e-9)
        assert_allclose(prior.density(y), np.exp(-np.abs(y) / 0.2) / 0.4, rtol=0.02)
        whole = sum(quad(prior.density, *ends)[0] for ends in ((-9, -1), (-1, 0), (0, 1), (1, 9)))
        assert whole == pytest.approx(1, rel=1e-8)

    def test_box(self):
        prior = box()
        assert prior.log10_jfactor == pytest.approx(18.5)
        assert_array_equal(prior.stat([-0.6, -0.49, 0, 0.3, 0.51]), [np.inf, 0, 0, 0, np.inf])
        assert_allclose(prior.density([-0.6, 0, 0.49]), [0, 1, 1])
        assert prior.bounds == (18, 19)
        assert prior.support == (-0.5, 0.5)
        assert not prior.is_convex

    def test_zero_likelihood_at_the_ends(self):
        grid = np.linspace(10, 26, 161)
        with_zeros = JFactorPrior.from_table(grid, likelihood=np.exp(-((grid - 18) ** 2) / 0.02))
        assert_allclose(with_zeros.stat([-0.5, 0.5]), 25, rtol=1e-3)

    def test_two_peaks(self):
        grid = np.linspace(16, 20, 401)
        density = norm.pdf(grid, 17, 0.2) + 2 * norm.pdf(grid, 19, 0.2)
        prior = JFactorPrior.from_table(grid, likelihood=density)
        assert prior.log10_jfactor == pytest.approx(19)
        assert not prior.is_convex
        assert prior.stat(-2) == pytest.approx(2 * np.log(2), abs=1e-3)
        # 50 above the lower peak and beyond it, too
        assert prior.support[0] < -2 - 6 * 0.2

    def test_offset_and_normalisation_do_not_matter(self):
        grid = np.linspace(17, 20, 61)
        stat = ((grid - 18.5) / 0.3) ** 2
        a = JFactorPrior.from_table(grid, stat=stat + 1000)
        b = JFactorPrior.from_table(grid, likelihood=7 * np.exp(-stat / 2))
        assert_allclose(a.stat(SHIFTS), gaussian_table().stat(SHIFTS), rtol=1e-9, atol=1e-9)
        assert_allclose(b.stat(SHIFTS), gaussian_table().stat(SHIFTS), rtol=1e-9, atol=1e-9)

    @pytest.mark.parametrize(
        ("grid", "values", "message"),
        [
            ([1, 2, 3, 2.5, 5], {"stat": [4, 1, 0, 1, 4]}, "ascend, got 3.0 before 2.5"),
            ([1, 2, 3, np.nan, 5], {"stat": [4, 1, 0, 1, 4]}, "Node 3 .* NaN"),
            ([1, 2, 3, 4, 5], {"stat": [4, 1, 0, np.nan, 4]}, "Node 3 .* NaN"),
            ([1, 2, 3, 4, 5], {"stat": [4, 1, 0, 1]}, "one length"),
            ([1, 2, 3, 4, 5], {"stat": [0, 1, 2, 3, 4]}, "at the end of the table, 1"),
            ([1, 2, 3, 4, 5], {"likelihood": [1, 2, 3, 4, 5]}, "at the end of the table, 5"),
            ([1, 2, 3, 4, 5], {"likelihood": [1, 2, -3, 4, 5]}, "not negative"),
            ([1, 2, 3, 4, 5], {"likelihood": [0, 0, 0, 0, 0]}, "positive somewhere"),
            ([1, 2, 3, 4, 5, 6], {"likelihood": [1, 2, 0, 4, 5, 1]}, "zero at log10_jfactor = 3"),
            ([1, 2, 3], {"stat": [1, 0, 1]}, "at least 5 nodes"),
            ([1, 2, 3, 4, 5], {}, "either likelihood or stat"),
        ],
    )
    def test_damage(self, grid, values, message):
        with pytest.raises(ValueError, match=message):
            JFactorPrior.from_table(grid, **values)


class TestSamples:
    def test_widths_of_a_normal(self):
        samples = np.random.default_rng(3).normal(18.3, 0.4, 20_000)
        prior = JFactorPrior.from_samples(samples)
        # the kernel alone would widen it by 1 %
        mean, width = samples.mean(), samples.std()
        y = np.linspace(-6, 6, 4001)
        density = prior.density(y)
        x = prior.log10_jfactor + y
        got_mean = np.trapezoid(x * density, x)
        assert got_mean == pytest.approx(mean, abs=0.002)
        assert np.sqrt(np.trapezoid((x - got_mean) ** 2 * density, x)) == pytest.approx(
            width, rel=3e-3
        )
        assert_allclose(prior.evaluate([17.5, 19.1]), 4, rtol=0.05)

    def test_skewed(self):
        law = skewnorm(4, 18, 0.5)
        prior = JFactorPrior.from_samples(law.rvs(50_000, random_state=1))
        x = np.linspace(17, 20, 3000)
        stat = -2 * law.logpdf(x)
        mode = x[np.argmin(stat)]
        stat -= stat.min()
        crossings = (
            x[np.argmin(np.abs(np.where(x < mode, stat, 9) - 1))],
            x[np.argmin(np.abs(np.where(x > mode, stat, 9) - 1))],
        )
        got = prior.log10_jfactor - prior.err_low, prior.log10_jfactor + prior.err_high
        assert_allclose(got, crossings, atol=0.05 * law.std())
        assert prior.err_high > 1.5 * prior.err_low

    def test_weights(self):
        rng = np.random.default_rng(5)
        samples = rng.uniform(16, 20, 40_000)
        prior = JFactorPrior.from_samples(samples, weights=norm.pdf(samples, 18.2, 0.3))
        assert_allclose(prior.evaluate([17.6, 18.8]), 4, rtol=0.06)

    @pytest.mark.parametrize(
        ("samples", "weights", "message"),
        [
            (np.linspace(17, 18, 20), None, "at least 100"),
            (np.append(np.linspace(17, 18, 200), np.nan), None, "1 that are not finite"),
            (np.full(200, 18.0), None, "All samples"),
            (np.linspace(17, 18, 200), np.ones(100), "each of the 200"),
        ],
    )
    def test_damage(self, samples, weights, message):
        with pytest.raises(ValueError, match=message):
            JFactorPrior.from_samples(samples, weights)


PRIORS = {
    "normal": lambda: JFactorPrior(18.83, 0.21),
    "split": lambda: JFactorPrior(18.83, (0.1, 1 / 3)),
    "fixed": lambda: JFactorPrior(18.83, 0),
    "table": gaussian_table,
    "box": box,
    "samples": lambda: JFactorPrior.from_samples(np.random.default_rng(0).normal(18, 0.3, 500)),
}


@pytest.mark.parametrize("kind", PRIORS)
class TestCopies:
    def check(self, prior, other):
        assert other == prior
        x = prior.log10_jfactor + np.linspace(-4, 4, 101)
        assert_array_equal(prior.evaluate(x), other.evaluate(x))
        assert (other.err_low, other.err_high) == (prior.err_low, prior.err_high)

    def test_dict(self, kind):
        prior = PRIORS[kind]()
        data = prior.to_dict()
        before = copy.deepcopy(data)
        self.check(prior, JFactorPrior.from_dict(data))
        self.check(prior, Model.from_dict(data))
        assert data == before

    def test_spec_through_json(self, kind):
        prior = PRIORS[kind]()
        self.check(prior, JFactorPrior.from_spec(json.loads(json.dumps(prior.to_spec()))))

    def test_copy_and_pickle(self, kind):
        prior = PRIORS[kind]()
        self.check(prior, prior.copy())
        dumped = pickle.dumps(prior)
        assert len(dumped) < 20_000
        self.check(prior, pickle.loads(dumped))

    def test_differs_from_others(self, kind):
        assert [PRIORS[name]() == PRIORS[kind]() for name in PRIORS].count(True) == 1
        assert PRIORS[kind]() != 18.83


def test_damaged_dicts():
    data = JFactorPrior(18, 0.2).to_dict()["prior"]
    with pytest.raises(ValueError, match="Expected a prior of type dmgammapy.JFactorPrior"):
        JFactorPrior.from_dict(data | {"type": "GaussianPrior"})
    with pytest.raises(ValueError, match="weight of a JFactorPrior is 1, got 2"):
        JFactorPrior.from_dict(data | {"weight": 2})
    with pytest.raises(ValueError, match="needs log10_jfactor with err_low and err_high"):
        JFactorPrior.from_dict(data | {"parameters": data["parameters"][:2]})
    table = gaussian_table().to_spec()
    with pytest.raises(ValueError, match="must be at shift 0, got 1 dex"):
        JFactorPrior.from_spec(table | {"shift": [x + 1 for x in table["shift"]]})


def test_registered_once():
    import importlib

    import dmgammapy.modeling

    importlib.reload(dmgammapy.modeling)
    assert [cls.__name__ for cls in PRIOR_REGISTRY].count("JFactorPrior") == 1
    assert PRIOR_REGISTRY.get_cls("JFactorPrior").tag == JFactorPrior.tag


def test_repr_can_be_evaluated():
    for prior in (JFactorPrior(18.8, 0.25), JFactorPrior(18.8, (0.2, 0.3))):
        assert eval(repr(prior)) == prior
