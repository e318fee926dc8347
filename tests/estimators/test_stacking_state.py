"""What a stack says about its parts, and that it cannot say something else than it did."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.maps import LabelMapAxis

from dmgammapy.estimators import CastroMaps, LimitStatus, StackedDMLikelihood
from dmgammapy.modeling import DarkMatterSpectralModel, JFactorPrior

UNIT = u.Unit("cm3 s-1")


def poisson(norm, n=3.0, background=2.0):
    """-2 ln L of n counts over a background."""
    return 2 * (norm - n * np.log1p(norm / background))


def castro(target="t", scale=1e-26, top=1e3, points=301, stat=poisson, **meta):
    norm = np.append(0, np.geomspace(1e-4, top, points))
    meta.setdefault("log10_jfactor", 18.0)
    return CastroMaps.from_scan(
        norm * scale * UNIT, stat(norm).reshape(1, 1, -1), [100] * u.GeV, ["b"], target=target,
        **meta,
    )  # fmt: skip


def limit(result):
    return result.sigmav_ul.quantity.value.squeeze()


@pytest.mark.parametrize(("n", "width"), [(100, 1.0), (400, 0.6)])
def test_marginal_table_is_the_gaussian_it_tabulates_at_large_ts(n, width):
    """TS of 156 and 641: peaks of the likelihood much narrower than the prior."""
    grid = np.linspace(18 - 6 * width, 18 + 6 * width, 241)
    table = JFactorPrior.from_table(grid, stat=((grid - 18) / width) ** 2)
    result = castro(stat=lambda x: poisson(x, n, 0.2 * n), top=1e7, points=4001)
    limits = [
        limit(StackedDMLikelihood(result, priors={"t": prior}, method="marginal").run())
        for prior in (table, JFactorPrior(18.0, width))
    ]
    assert limits[0] == pytest.approx(limits[1], rel=1e-3)


def test_marginal_limit_beyond_the_scan_is_flagged():
    """Zero counts: the integral over J reaches past the end of the scan."""
    prior = {"t": JFactorPrior(18.0, 0.3)}
    short, full = (
        StackedDMLikelihood(
            castro(stat=lambda x: 2 * x, top=top), priors=prior, method="marginal"
        ).run()
        for top in (2, 1e4)
    )
    assert limit(short) > 1.05 * limit(full)
    assert short["status"].data.squeeze() != LimitStatus.FOUND
    assert full["status"].data.squeeze() == LimitStatus.FOUND


@pytest.mark.parametrize("name", ["method", "priors", "castros", "extra_widths"])
def test_what_a_stack_is_made_of_cannot_change(name):
    stack = StackedDMLikelihood(castro(), priors={"t": JFactorPrior(18.0, 0.4)})
    with pytest.raises(AttributeError, match=f"{name} of a StackedDMLikelihood can't be changed"):
        setattr(stack, name, "fixed")


def test_results_with_other_ranges_stand_side_by_side_unchanged():
    parts = [castro("a", 1e-28), castro("b", 1e-22, points=300, top=10, stat_offset=[[50.0]])]
    axis = LabelMapAxis(["a", "b"], name="target")
    stacked = CastroMaps.from_stack(parts, axis)
    for i, part in enumerate(parts):
        one = stacked.slice_by_idx({"target": i})
        for name in ("norm", "norm_ul", "ts", "stat", "stat_null", "status", "reference"):
            np.testing.assert_array_equal(one[name].data.squeeze(), part[name].data.squeeze())
        # the scan is that of the part, on another axis
        strength = one.norm_axis.center.value * one["reference"].data.squeeze()
        scan = one["stat_scan"].data.squeeze()
        seen = (strength > 2e-4 * [1e-28, 1e-22][i]) & (strength < [1e-25, 1e-21][i])
        best = 1.0  # of n = 3 over 2
        expected = poisson(strength[seen] / [1e-28, 1e-22][i]) - poisson(best)
        np.testing.assert_allclose(scan[seen], expected, atol=2e-3)


def test_stacks_of_other_particles_are_refused():
    parts = [castro("a", k=2), castro("b", k=4)]
    with pytest.raises(ValueError, match="a was made with k = 2, b with k = 4"):
        StackedDMLikelihood(parts, method="fixed")


def test_different_spectra_are_noted():
    parts = [castro("a", spectra="pppc4"), castro("b", spectra="dmfit")]
    combined = StackedDMLikelihood(parts, method="fixed").run()
    assert "made with different spectra: dmfit, pppc4." in combined.meta.notes


def test_unknown_jfactor_of_a_scan_is_noted():
    result = castro(log10_jfactor=None)
    combined = StackedDMLikelihood(result, priors={"t": JFactorPrior(17, 0.2)}).run()
    assert any("J-factors that the scans of t were made with are unknown" in n
               for n in combined.meta.notes)  # fmt: skip


def test_jfactor_is_not_treated_twice():
    prior = {"t": JFactorPrior(18.0, 0.4)}
    once = StackedDMLikelihood(castro(), priors=prior).run()
    again = StackedDMLikelihood(once, method="fixed").run()
    assert again.meta.jfactor_method == "profile"
    with pytest.raises(ValueError, match="its J-factor has been treated before"):
        StackedDMLikelihood(again, priors=prior)


def test_limit_without_a_target_is_that_of_the_others():
    parts = [castro("strong", 1e-28), castro("weak", 1e-20)]
    stack = StackedDMLikelihood(parts, method="fixed")
    table = stack.contributions
    without = table["ul_without"][table["target"] == "strong"][0].value
    assert without == pytest.approx(limit(parts[1]), rel=1e-3)


def test_bounds_of_a_prior_go_with_it():
    walls = JFactorPrior.from_table(np.linspace(17.9, 18.1, 21), stat=np.zeros(21))
    model = DarkMatterSpectralModel("100 GeV", "b", jfactor_prior=walls)
    assert model.log10_jfactor.min == pytest.approx(17.9)
    model.jfactor_prior = JFactorPrior(19.0, 0.3)
    assert np.isnan(model.log10_jfactor.min)
    assert np.isnan(model.log10_jfactor.max)


@pytest.mark.parametrize("tabulated", [True, False])
def test_marginal_profile_of_a_huge_ts_is_not_cut(tabulated):
    """TS of 4000: no signal stays as excluded as a small one."""
    grid = np.linspace(18 - 1.5, 18 + 1.5, 241)
    prior = JFactorPrior(18.0, 0.25)
    if tabulated:
        prior = JFactorPrior.from_table(grid, stat=((grid - 18) / 0.25) ** 2)
    result = castro(stat=lambda x: poisson(x, 3000, 2000), top=1e6, points=4001)
    marginal = StackedDMLikelihood(result, priors={"t": prior}, method="marginal").run()
    assert marginal["ts"].data.squeeze() == pytest.approx(result["ts"].data.squeeze(), abs=10)
    strength = marginal.norm_axis.center.value * marginal["reference"].data.squeeze()
    scan = marginal["stat_scan"].data.squeeze()
    small = np.flatnonzero(strength > 1e-28)[0]  # 0.01 counts
    assert scan[small] == pytest.approx(scan[0], rel=0.02)
