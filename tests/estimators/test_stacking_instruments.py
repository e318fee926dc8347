"""Several instruments on one target: different J, and independent widths."""

import astropy.units as u
import numpy as np
import pytest
from scipy.optimize import minimize

from dmgammapy.estimators import CastroMaps, StackedDMLikelihood
from dmgammapy.modeling import JFactorPrior

GRID = np.append(0, 10.0 ** np.arange(-29, -20, 0.025)) * u.Unit("cm3 s-1")
UNIT = 1e-26
PARS = {"lat": (6.0, 20.0, 33.0), "magic": (15.0, 40.0, 44.0), "hess": (4.0, 9.0, 8.0)}
JFACTORS = {"lat": 18.8, "magic": 18.45, "hess": 18.6}  # within their apertures


def poisson_stat(pars, s):
    mu = pars[0] * s
    return 2 * (mu - pars[2] * np.log1p(mu / pars[1]))


def castro(instrument, target="draco", pars=None):
    """Likelihood of sigmav, made with the J within the instrument's aperture."""
    stat = poisson_stat(pars or PARS[instrument], GRID.value / UNIT).reshape(1, 1, -1)
    return CastroMaps.from_scan(
        GRID, stat, [100] * u.GeV, ["b"], target=target, instrument=instrument,
        log10_jfactor=JFACTORS[instrument],
    )  # fmt: skip


def priors(instruments, width):
    return {"draco": {i: JFactorPrior(JFACTORS[i], width) for i in instruments}}


def brute_force(s, width, extra, shift=None):
    """Minimum over the shared y and the independent z of each instrument in ``extra``."""
    names = list(PARS)
    own = np.array([extra.get(n, 0.0) for n in names])
    shift = np.array([(shift or {}).get(n, 0.0) for n in names])

    def stat(z):
        y = width * z[0] + own * z[1:] + shift
        parts = [poisson_stat(PARS[n], s * 10**v) for n, v in zip(names, y, strict=True)]
        return sum(parts) + z @ z

    starts = np.random.default_rng(1).normal(0, 2, (12, 4))
    return min(minimize(stat, z, method="BFGS", tol=1e-10).fun for z in starts)


def check(result, exact, tolerance=2e-4):
    """Compare the scan with a function of sigmav in 1e-26, relative to no signal."""
    scan = result.sigmav_scan[0, 0].value / UNIT
    for s in np.geomspace(0.02, 10, 11):
        i = np.abs(np.log(scan[1:] / s)).argmin() + 1
        got = result.delta_stat[0, 0, i] - result.delta_stat[0, 0, 0]
        assert got == pytest.approx(exact(scan[i]), abs=tolerance)


def test_each_instrument_keeps_the_j_of_its_aperture():
    result = StackedDMLikelihood([castro(i) for i in PARS], priors(PARS, 0.3)).run()
    check(result, lambda s: brute_force(s, 0.3, {}))
    assert result.meta.contributors["draco (magic)"]["log10_jfactor"] == 18.45


def test_j_of_one_aperture_revised():
    given = priors(PARS, 0.3)
    given["draco"]["magic"] = JFactorPrior(18.65, 0.3)
    result = StackedDMLikelihood([castro(i) for i in PARS], given).run()
    check(result, lambda s: brute_force(s, 0.3, {}, {"magic": 0.2}))


@pytest.mark.parametrize(
    ("widths", "extra"),
    [
        ({"magic": 0.25}, {"magic": 0.25}),
        ({"magic": 0.25, "hess": 0.4}, {"magic": 0.25, "hess": 0.4}),
        ({"draco": {"magic": 0.25}}, {"magic": 0.25}),
        ({"draco": {"magic": 0.25}, "magic": 0.7, "hess": 0}, {"magic": 0.25}),
    ],
)
def test_extra_widths_are_independent(widths, extra):
    result = StackedDMLikelihood(
        [castro(i) for i in PARS], priors(PARS, 0.3), extra_widths=widths
    ).run()
    check(result, lambda s: brute_force(s, 0.3, extra))
    entry = result.meta.contributors["draco (magic)"]
    assert entry["extra_width"] == [0.25, 0.25]
    assert "extra_width" not in result.meta.contributors["draco (lat)"]


def test_extra_width_is_the_difference_in_quadrature():
    castros = [castro("lat"), castro("magic")]
    explicit = StackedDMLikelihood(
        castros, priors(["lat", "magic"], 0.3), extra_widths={"magic": 0.4}
    ).run()
    given = priors(["lat"], 0.3)
    given["draco"]["magic"] = JFactorPrior(18.45, 0.5)
    implicit = StackedDMLikelihood(castros, given).run()
    np.testing.assert_allclose(explicit.delta_stat, implicit.delta_stat, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", ["profile", "marginal"])
def test_alone_an_instruments_widths_add_in_quadrature(method):
    both = StackedDMLikelihood(
        [castro("lat")], priors(["lat"], 0.3), method, extra_widths={"lat": 0.4}
    ).run()
    one = StackedDMLikelihood([castro("lat")], priors(["lat"], 0.5), method).run()
    assert both.sigmav_ul.data.item() == pytest.approx(one.sigmav_ul.data.item(), rel=1e-4)


def test_marginal_extra_width_against_quadrature():
    result = StackedDMLikelihood(
        [castro("lat"), castro("magic")], priors(["lat", "magic"], 0.3), "marginal",
        extra_widths={"magic": 0.25},
    ).run()  # fmt: skip
    z = np.linspace(-8, 8, 321)
    y, e = np.meshgrid(0.3 * z, 0.25 * z)
    weight = np.exp(-0.5 * (y / 0.3) ** 2 - 0.5 * (e / 0.25) ** 2)
    weight /= weight.sum()

    def exact(s):
        stat = poisson_stat(PARS["lat"], s * 10**y) + poisson_stat(PARS["magic"], s * 10 ** (y + e))
        return -2 * np.log(np.sum(weight * np.exp(-0.5 * stat)))

    check(result, exact)


def test_with_correlated_targets():
    # the extra width is the instrument's, the covariance that of the targets
    other = (8.0, 25.0, 24.0)
    castros = [castro("lat"), castro("magic"), castro("lat", "segue_1", other)]
    covariance = np.array([[0.09, 0.06], [0.06, 0.16]])
    result = StackedDMLikelihood(
        castros, jfactor_covariance=(["draco", "segue_1"], covariance),
        extra_widths={"draco": {"magic": 0.25}},
    ).run()  # fmt: skip
    a = np.linalg.cholesky(covariance)

    def exact(s):
        def stat(z):
            y = a @ z[:2]
            return (
                poisson_stat(PARS["lat"], s * 10 ** y[0])
                + poisson_stat(PARS["magic"], s * 10 ** (y[0] + 0.25 * z[2]))
                + poisson_stat(other, s * 10 ** y[1])
                + z @ z
            )

        starts = np.random.default_rng(1).normal(0, 2, (12, 3))
        return min(minimize(stat, z, method="BFGS", tol=1e-10).fun for z in starts)

    check(result, exact)


@pytest.mark.parametrize(
    ("widths", "match"),
    [
        ({"veritas": 0.2}, r"instrument 'veritas'.*\['lat', 'magic'\].*write \{target"),
        ({"segue_1": {"lat": 0.2}}, r"target 'segue_1', which is not.*\['draco'\]"),
        ({"draco": {"hess": 0.2}}, r"\['draco'\] names the instruments \['hess'\].*'magic'"),
        ({"magic": -0.2}, "extra_widths of 'magic' for 'draco'"),
        ({"magic": "wide"}, "extra_widths of 'magic' for 'draco'"),
    ],
)
def test_extra_widths_refused(widths, match):
    castros = [castro("lat"), castro("magic")]
    with pytest.raises(ValueError, match=match):
        StackedDMLikelihood(castros, priors(["lat", "magic"], 0.3), extra_widths=widths)


def test_extra_widths_contradict():
    castros = [castro("lat"), castro("magic")]
    given = priors(["lat"], 0.3)
    given["draco"]["magic"] = JFactorPrior(18.45, 0.5)
    with pytest.raises(ValueError, match=r"'draco': its instruments \['magic'\] have wider"):
        StackedDMLikelihood(castros, given, extra_widths={"magic": 0.2})
    with pytest.raises(ValueError, match="no effect with method='fixed'"):
        StackedDMLikelihood(castros, method="fixed", extra_widths={"magic": 0.2})
