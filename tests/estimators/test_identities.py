"""The identities of the statistics page, as properties."""

import astropy.units as u
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmgammapy.estimators import CastroEstimator, CastroMaps, StackedDMLikelihood
from dmgammapy.modeling import JFactorPrior

from .conftest import Counts, Target

SIGMAV = np.append(0, 10.0 ** np.arange(-30, -18, 0.025)) * u.Unit("cm3 s-1")


def poisson_castro(signal, background, counts, name="draco", log10_jfactor=18.8, **kwargs):
    """One-bin Poisson likelihood with ``signal`` counts per 1e-26 cm3/s."""
    mu = signal * SIGMAV.value / 1e-26
    stat = 2 * (mu - counts * np.log1p(mu / background))
    return CastroMaps.from_scan(
        SIGMAV, stat.reshape(1, 1, -1), [100] * u.GeV, ["b"], target=name,
        log10_jfactor=log10_jfactor, **kwargs,
    )  # fmt: skip


def limit(castro):
    return castro.sigmav_ul.data.item()


poisson = {
    "signal": st.floats(0.1, 20),
    "background": st.floats(0.5, 500),
    "excess": st.floats(-2.5, 5),
    "width": st.floats(0.02, 0.8),
}


def castro_of(signal, background, excess, **kwargs):
    counts = max(0, round(background + excess * np.sqrt(background)))
    return poisson_castro(signal, background, counts, **kwargs)


@given(**poisson)
@settings(max_examples=60, deadline=None)
def test_single_target_ts_and_best_fit_do_not_change_and_ul_is_bounded(
    signal, background, excess, width
):
    castro = castro_of(signal, background, excess)
    fixed = StackedDMLikelihood([castro], method="fixed").run()
    profiled = StackedDMLikelihood([castro], {"draco": JFactorPrior(18.8, width)}).run()
    assert profiled.ts.data.item() == pytest.approx(fixed.ts.data.item(), abs=2e-4)
    # the profile is flat-bottomed in log sigmav for wide priors: compare where it is peaked
    if fixed.ts.data.item() > 4:
        assert profiled.sigmav.data.item() == pytest.approx(fixed.sigmav.data.item(), rel=5e-3)
    low, high = limit(fixed), limit(fixed) * 10 ** (1.645 * width)
    assert low * (1 - 1e-6) <= limit(profiled) <= high * (1 + 1e-6)


@given(shift=st.floats(-1, 1), **poisson)
@settings(max_examples=40, deadline=None)
def test_shifting_j_of_a_table_shifts_the_limit(signal, background, excess, width, shift):
    castro = castro_of(signal, background, excess)
    here = StackedDMLikelihood([castro], {"draco": JFactorPrior(18.8, width)}).run()
    there = StackedDMLikelihood([castro], {"draco": JFactorPrior(18.8 + shift, width)}).run()
    assert limit(there) == pytest.approx(limit(here) / 10**shift, rel=2e-5)


@pytest.mark.parametrize("spectra", ["pppc4", "dmfit"])
def test_doubling_j_halves_the_limit(spectra):
    counts = Counts(11)
    est = CastroEstimator([10, 50, 300] * u.GeV, ["b", "tau"], spectra=spectra)
    limits = []
    for log10_jfactor in (18.0, 18.0 + np.log10(2)):
        target = Target(name="x", log10_jfactor=log10_jfactor, log10_jfactor_err=0.3)
        castro = est.run(counts.dataset(target))
        combined = StackedDMLikelihood([castro]).run()
        limits.append(np.array([castro.sigmav_ul.data, combined.sigmav_ul.data]))
    np.testing.assert_allclose(limits[1] * 2, limits[0], rtol=1e-6)


@given(parts=st.integers(2, 12), **poisson)
@settings(max_examples=30, deadline=None)
def test_copies_that_share_the_data_give_the_limit_of_one(parts, signal, background, excess, width):
    counts = max(0, round(background + excess * np.sqrt(background)))
    one = poisson_castro(signal, background, counts)
    split = [
        poisson_castro(signal / parts, background / parts, counts / parts, name=f"part {i}")
        for i in range(parts)
    ]
    whole = StackedDMLikelihood(split, method="fixed").run()
    assert limit(whole) == pytest.approx(limit(one), rel=1e-6)
    # as instruments on one target they share the J-factor: the profiled limits agree, too
    for i, castro in enumerate(split):
        castro.meta.target, castro.meta.instrument = "draco", f"instrument {i}"
    prior = {"draco": JFactorPrior(18.8, width)}
    together = StackedDMLikelihood(split, prior).run()
    assert limit(together) == pytest.approx(
        limit(StackedDMLikelihood([one], prior).run()), rel=1e-6
    )


@given(**poisson)
@settings(max_examples=20, deadline=None)
def test_zero_width_is_bit_identical_to_fixed(signal, background, excess, width):
    castro = castro_of(signal, background, excess)
    fixed = StackedDMLikelihood([castro], method="fixed").run()
    for method in ("profile", "marginal"):
        result = StackedDMLikelihood([castro], {"draco": JFactorPrior(18.8, 0)}, method).run()
        for name in ("stat_scan", "norm_ul", "ts", "norm"):
            assert np.array_equal(result[name].data, fixed[name].data)


@given(**poisson)
@settings(max_examples=30, deadline=None)
def test_profile_against_brute_force(signal, background, excess, width):
    counts = max(0, round(background + excess * np.sqrt(background)))
    castro = poisson_castro(signal, background, counts)
    prior = JFactorPrior(18.8, (width, 0.5 * width))
    profiled = StackedDMLikelihood([castro], {"draco": prior}).run()
    y = np.linspace(-10 * width, 10 * width, 10001)
    penalty = np.where(y < 0, (y / width) ** 2, (y / (0.5 * width)) ** 2)
    scan = profiled.sigmav_scan[0, 0].value
    scan = scan[(scan > 1e-28) & (scan < 1e-23)][::7]
    mu = signal * scan[:, None] * 10**y / 1e-26
    exact = (2 * (mu - counts * np.log1p(mu / background)) + penalty).min(axis=1)
    keep = exact - exact.min() < 60  # well inside the window of y
    got = np.interp(scan, profiled.sigmav_scan[0, 0].value, profiled.delta_stat[0, 0])
    got = got - profiled.delta_stat[0, 0, 0]
    np.testing.assert_allclose(got[keep], exact[keep], atol=3e-4 * (1 + abs(exact[keep])).max())


def test_profile_on_a_ten_times_finer_grid():
    fine = np.append(0, 10.0 ** np.arange(-30, -18, 0.0025)) * u.Unit("cm3 s-1")
    prior = {"draco": JFactorPrior(18.8, 0.35)}
    limits = []
    for grid in (SIGMAV, fine):
        mu = 3.0 * grid.value / 1e-26
        stat = 2 * (mu - 12 * np.log1p(mu / 9.0))
        castro = CastroMaps.from_scan(
            grid, stat.reshape(1, 1, -1), [100] * u.GeV, ["b"], target="draco",
            log10_jfactor=18.8,
        )  # fmt: skip
        limits.append(limit(StackedDMLikelihood([castro], prior).run()))
    assert limits[0] == pytest.approx(limits[1], rel=1e-4)
