"""J of uncertain halos: the law of propagation, and each sample by itself."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table
from numpy.testing import assert_allclose

from dmgammapy.targets import (
    BurkertProfile,
    EinastoProfile,
    GNFWProfile,
    Halo,
    HaloEnsemble,
    NFWProfile,
)

GEV = u.Unit("GeV cm-3")
KPC = u.kpc
HALO = Halo(NFWProfile(3 * GEV, 0.5 * KPC), 80 * KPC, name="dwarf")


def samples(n=40):
    rng = np.random.default_rng(3)
    return {
        "rho_s": 10 ** rng.normal(0.5, 0.3, n) * GEV,
        "r_s": 10 ** rng.normal(-0.3, 0.3, n) * KPC,
    }


@pytest.mark.parametrize("process", ["annihilation", "decay"])
@pytest.mark.parametrize("angle", [0.01, 0.5, 20, 120, None])
@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        (NFWProfile, {}),
        (BurkertProfile, {}),
        (EinastoProfile, {"alpha": np.linspace(0.1, 0.3, 40)}),
        (GNFWProfile, {"gamma": np.linspace(0, 1.4, 40), "beta": 3.5}),
    ],
)
@pytest.mark.parametrize("r_max", [None, 2])
def test_each_sample_is_that_of_its_halo(kind, shapes, angle, process, r_max):
    ensemble = HaloEnsemble(
        kind,
        samples() | shapes,
        distance=np.linspace(8, 90, 40) * KPC,
        r_max=None if r_max is None else r_max * KPC,
    )
    angle = None if angle is None else angle * u.deg
    result = ensemble.log10_jfactor(angle, process)
    for index in (0, 7, 39):
        halo = ensemble.halo(index)
        value = halo.jfactor(angle) if process == "annihilation" else halo.dfactor(angle)
        assert_allclose(result[index], np.log10(value.value), atol=2e-5)


def test_wide_cone_propagates_as_the_formula():
    """J = 4 pi rho_s2 r_s3 / (3 d2): the variance of its log10 is 4 Vr + 9 Vs + 12 C + 4 Vd."""
    covariance = np.array([[0.04, -0.025, 0], [-0.025, 0.02, 0], [0, 0, 0.0009]])
    ensemble = HaloEnsemble.from_covariance(
        HALO, covariance, ["rho_s", "r_s", "distance"], n_samples=20000
    )
    prior = ensemble.jfactor_prior(60 * u.deg)
    width = np.sqrt(4 * 0.04 + 9 * 0.02 - 12 * 0.025 + 4 * 0.0009)
    # the width of 20000 samples is known to 0.5 %, their mean to 0.007 of it
    assert_allclose(prior.err_low, width, rtol=0.02)
    assert_allclose(prior.log10_jfactor, np.log10(HALO.jfactor().value), atol=0.03 * width)
    split = ensemble.jfactor_prior(60 * u.deg, shape="split")
    assert_allclose([split.err_low, split.err_high], width, rtol=0.04)
    density = ensemble.jfactor_prior(60 * u.deg, shape="samples")
    assert_allclose([density.err_low, density.err_high], width, rtol=0.2)


def test_decay_propagates_too():
    """D goes as rho_s: a width of 0.1 dex stays 0.1 dex."""
    ensemble = HaloEnsemble.from_covariance(HALO, [[0.01]], ["rho_s"], n_samples=20000)
    samples = ensemble.log10_jfactor(0.5 * u.deg, "decay")
    assert_allclose(np.std(samples), 0.1, rtol=0.02)
    assert_allclose(np.std(ensemble.log10_jfactor(0.5 * u.deg)), 0.2, rtol=0.02)


def test_weights_are_like_repeated_samples():
    weights = np.random.default_rng(0).integers(1, 4, 40)
    columns = samples()
    weighted = HaloEnsemble(NFWProfile, columns, 80 * KPC, weights=weights)
    repeated = HaloEnsemble(
        NFWProfile, {key: np.repeat(v, weights) for key, v in columns.items()}, 80 * KPC
    )
    first, second = (e.jfactor_prior(0.5 * u.deg) for e in (weighted, repeated))
    assert_allclose(first.log10_jfactor, second.log10_jfactor, rtol=1e-12)
    assert_allclose(first.err_low, second.err_low, rtol=1e-10)
    assert_allclose(weighted.quantiles(0.5 * u.deg), repeated.quantiles(0.5 * u.deg), atol=0.05)


def test_tables_of_samples():
    columns = samples()
    expected = HaloEnsemble(NFWProfile, columns, 80 * KPC).log10_jfactor(0.5 * u.deg)
    for table in (QTable(columns), Table(columns)):
        result = HaloEnsemble(NFWProfile, table, 80 * KPC).log10_jfactor(0.5 * u.deg)
        assert_allclose(result, expected, rtol=1e-14)


def test_target():
    position = SkyCoord(260, 57, unit="deg")
    halo = Halo(HALO.profile, 80 * KPC, position=position, name="dwarf")
    ensemble = HaloEnsemble.from_covariance(halo, [[0.01]], ["rho_s"])
    target = ensemble.to_target(angle=0.5 * u.deg, reference="mine")
    assert (target.name, target.reference) == ("dwarf", "mine")
    assert_allclose(target.distance, 80 * KPC)
    prior = ensemble.jfactor_prior(0.5 * u.deg)
    assert target.jfactor_prior() == prior
    assert target.jfactor_prior("decay") == ensemble.jfactor_prior(0.5 * u.deg, "decay")
    split = ensemble.to_target("a", 0.5 * u.deg, shape="split")
    low, median, high = ensemble.quantiles(0.5 * u.deg)
    assert_allclose(split.log10_jfactor, median)
    assert_allclose(split.log10_jfactor_err, (median - low, high - median))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: HaloEnsemble(NFWProfile, {"r_s": 1 * KPC}, 80 * KPC), "missing .'rho_s'."),
        (lambda: HaloEnsemble(NFWProfile, samples() | {"c": 1}, 80 * KPC), "unknown .'c'."),
        (lambda: HaloEnsemble(NFWProfile, samples() | {"r_s": [1, 2] * KPC}, 80 * KPC), "r_s has"),
        (lambda: HaloEnsemble(NFWProfile, samples() | {"r_s": -1 * KPC}, 80 * KPC), "r_s, sample"),
        (lambda: HaloEnsemble(NFWProfile, samples(), np.nan * KPC), "distance, sample 0"),
        (lambda: HaloEnsemble(NFWProfile, samples(), 80 * KPC, weights=[1]), "weights must be 40"),
        (lambda: HaloEnsemble(GNFWProfile, samples() | {"gamma": 3.2}, 80 * KPC), "gamma"),
        (
            lambda: HaloEnsemble(GNFWProfile, samples() | {"gamma": 1.5}, 80 * KPC).log10_jfactor(),
            "sample 0: its integral over a cone diverges",
        ),
        (lambda: HaloEnsemble.from_covariance(HALO, [[1, 2]]), "symmetric with the shape"),
        (lambda: HaloEnsemble.from_covariance(HALO, [[1, 2], [2, 1]]), "must be positive"),
        (lambda: HaloEnsemble.from_covariance(HALO, [[1]], ["mass"]), "some of rho_s"),
        (lambda: HaloEnsemble.from_covariance(HALO, [[1]], ["r_max"]), "the halo has none"),
        (lambda: HaloEnsemble(NFWProfile, samples(), 80 * KPC).to_target(), "needs a name"),
        (lambda: HaloEnsemble(NFWProfile, samples(), 80 * KPC).jfactor_prior(shape="x"), "shape"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_kind_must_be_a_profile():
    with pytest.raises(TypeError, match="a class such as NFWProfile"):
        HaloEnsemble(HALO.profile, samples(), 80 * KPC)
    with pytest.raises(TypeError, match="a dict or a table"):
        HaloEnsemble(NFWProfile, [1, 2], 80 * KPC)
