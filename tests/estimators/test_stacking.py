"""Combining targets and instruments."""

import astropy.units as u
import numpy as np
import pytest

from dmgammapy.estimators import CastroMaps, LimitStatus, StackedDMLikelihood
from dmgammapy.modeling import JFactorPrior

GRID = np.append(0, 10.0 ** np.arange(-29, -20, 0.025)) * u.Unit("cm3 s-1")
CL95 = 2.705543454


def gaussian(mean, sigma, name, grid=GRID, masses=(100.0,), channels=("b",), **kwargs):
    """Gaussian likelihood of sigmav; mean and sigma in 1e-26 cm3/s."""
    stat = ((grid.value / 1e-26 - mean) / sigma) ** 2
    stat = np.broadcast_to(stat, (len(channels), len(masses), len(grid)))
    kwargs.setdefault("log10_jfactor", 18.8)
    return CastroMaps.from_scan(
        grid, stat, masses * u.GeV if isinstance(masses, np.ndarray) else list(masses) * u.GeV,
        list(channels), target=name, **kwargs,
    )  # fmt: skip


def test_fixed_stack_is_the_weighted_mean():
    a, b = gaussian(2.0, 1.0, "a"), gaussian(0.5, 0.5, "b")
    combined = StackedDMLikelihood([a, b], method="fixed").run()
    weight = 1 / 1.0**2 + 1 / 0.5**2
    mean = (2.0 / 1.0**2 + 0.5 / 0.5**2) / weight
    assert combined.sigmav.data.item() == pytest.approx(mean * 1e-26, rel=1e-4)
    ul = mean + np.sqrt(CL95 / weight)
    assert combined.sigmav_ul.data.item() == pytest.approx(ul * 1e-26, rel=1e-5)
    assert combined.ts.data.item() == pytest.approx(mean**2 * weight, rel=1e-4)
    # absolute values: chi2 of both about the mean
    chi2 = (2.0 - mean) ** 2 / 1.0**2 + (0.5 - mean) ** 2 / 0.5**2
    assert combined.stat.data.item() == pytest.approx(chi2, abs=1e-3)


def test_profile_of_two_targets_against_brute_force():
    a, b = gaussian(1.0, 1.0, "a"), gaussian(-0.5, 0.7, "b")
    widths = {"a": 0.3, "b": 0.6}
    priors = {n: JFactorPrior(18.8, w) for n, w in widths.items()}
    combined = StackedDMLikelihood([a, b], priors).run()
    y = np.linspace(-4, 4, 8001)

    def profile(s, mean, sigma, width):
        return (((s * 10**y - mean) / sigma) ** 2 + (y / width) ** 2).min()

    def total(s):
        return profile(s, 1.0, 1.0, 0.3) + profile(s, -0.5, 0.7, 0.6)

    s = np.geomspace(1e-3, 50, 3000)
    t = np.array([total(x) for x in s])
    i = t.argmin()
    above = np.flatnonzero((t - t[i] > CL95) & (np.arange(len(s)) > i))[0]
    ul = np.interp(CL95, t[above - 1 : above + 1] - t[i], s[above - 1 : above + 1])
    assert combined.sigmav_ul.data.item() == pytest.approx(ul * 1e-26, rel=1e-4)


def test_instruments_share_the_shift_and_keep_their_own_j():
    # one instrument integrates over a smaller region: its J is 0.3 dex lower
    a = gaussian(1.0, 1.0, "draco", instrument="lat", log10_jfactor=18.8)
    b = gaussian(0.4, 0.8, "draco", instrument="magic", log10_jfactor=18.5)
    priors = {"draco": {"lat": JFactorPrior(18.8, 0.4), "magic": JFactorPrior(18.5, 0.4)}}
    shared = StackedDMLikelihood([a, b], priors).run()
    y = np.linspace(-3, 3, 6001)
    s = np.geomspace(1e-3, 100, 4000)[:, None] * 10**y
    t = ((s - 1.0) ** 2 + ((s - 0.4) / 0.8) ** 2 + (y / 0.4) ** 2).min(axis=1)
    x = s[:, 3000]
    i = t.argmin()
    above = np.flatnonzero((t - t[i] > CL95) & (np.arange(len(x)) > i))[0]
    ul = np.interp(CL95, t[above - 1 : above + 1] - t[i], x[above - 1 : above + 1])
    assert shared.sigmav_ul.data.item() == pytest.approx(ul * 1e-26, rel=1e-4)


def test_wider_instrument_has_an_independent_part():
    a = gaussian(1.0, 1.0, "draco", instrument="lat")
    b = gaussian(0.4, 0.8, "draco", instrument="magic")
    wide = float(np.hypot(0.3, 0.4))
    priors = {"draco": {"lat": JFactorPrior(18.8, 0.3), "magic": JFactorPrior(18.8, wide)}}
    combined = StackedDMLikelihood([a, b], priors).run()
    shared, extra = np.meshgrid(np.linspace(-1.5, 1.5, 601), np.linspace(-2, 2, 601))
    penalty = (shared / 0.3) ** 2 + (extra / 0.4) ** 2

    def total(s):
        first = (s * 10**shared - 1.0) ** 2
        second = ((s * 10 ** (shared + extra) - 0.4) / 0.8) ** 2
        return (first + second + penalty).min()

    ul = combined.sigmav_ul.data.item() / 1e-26
    best = min(total(x) for x in np.linspace(0.3, 1.5, 61))
    assert total(ul) - best == pytest.approx(CL95, abs=5e-3)


def test_prior_with_another_j_moves_the_limit():
    a = gaussian(0.0, 1.0, "draco", log10_jfactor=18.8)
    limits = [
        StackedDMLikelihood([a], {"draco": JFactorPrior(j, 0.2)}).run().sigmav_ul.data.item()
        for j in (18.8, 19.8)
    ]
    assert limits[1] == pytest.approx(limits[0] / 10, rel=1e-6)


def test_grids_of_different_origin_are_brought_together():
    coarse = np.geomspace(1e-28, 1e-21, 200) * u.Unit("cm3 s-1")
    a = gaussian(1.0, 1.0, "a", grid=coarse)
    b = gaussian(1.0, 1.0, "b")
    combined = StackedDMLikelihood([a, b], method="fixed").run()
    assert combined.sigmav_ul.data.item() == pytest.approx(
        1e-26 * (1 + np.sqrt(CL95 / 2)), rel=1e-4
    )


def test_many_weak_excesses_make_a_narrow_peak():
    # 400 targets of 2.5 sigma: 50 sigma together, narrower than the inputs' grid
    castros = [gaussian(2.5, 1.0, f"t{i}") for i in range(400)]
    combined = StackedDMLikelihood(castros, method="fixed").run()
    assert combined.ts.data.item() == pytest.approx(2500, rel=1e-3)
    assert combined.sigmav_ul.data.item() == pytest.approx(
        1e-26 * (2.5 + np.sqrt(CL95) / 20), rel=1e-4
    )


def test_grid_edge_is_a_status_not_a_number():
    short = np.append(0, np.geomspace(1e-29, 5e-27, 120)) * u.Unit("cm3 s-1")
    combined = StackedDMLikelihood([gaussian(0, 1, "a", grid=short)], method="fixed").run()
    assert combined.status.data.item() == LimitStatus.GRID_EDGE
    assert np.isnan(combined.sigmav_ul.data.item())


def test_contributions():
    castros = [gaussian(0, s, n) for s, n in ((0.5, "strong"), (1.0, "middle"), (4.0, "weak"))]
    stack = StackedDMLikelihood(castros, method="fixed")
    table = stack.contributions
    table.add_index("target")
    weights = {"strong": 4.0, "middle": 1.0, "weak": 1 / 16}
    total = sum(weights.values())
    for name, weight in weights.items():
        row = table.loc[name]
        assert row["share"] == pytest.approx(weight / total, rel=1e-3)
        assert row["ul"].value == pytest.approx(1e-26 * np.sqrt(CL95 / weight), rel=1e-4)
        assert row["ul_without"].value == pytest.approx(
            1e-26 * np.sqrt(CL95 / (total - weight)), rel=1e-4
        )
    assert list(stack.target_maps) == ["strong", "middle", "weak"]


def test_target_without_information_counts_for_the_others_only():
    a = gaussian(0, 1.0, "a", masses=(10.0, 100.0))
    stat = np.zeros((1, 2, len(GRID)))
    stat[0, 1] = (GRID.value / 1e-26) ** 2
    b = CastroMaps.from_scan(
        GRID, stat, [10, 100] * u.GeV, ["b"], target="b", log10_jfactor=18.0,
        empty=[[True, False]],
    )  # fmt: skip
    combined = StackedDMLikelihood([a, b], method="fixed").run()
    np.testing.assert_allclose(
        combined.sigmav_ul.data.ravel(),
        1e-26 * np.sqrt(CL95) / np.array([1, np.sqrt(2)]), rtol=1e-5,
    )  # fmt: skip


def test_tabulated_prior_is_the_gaussian_it_tabulates():
    a = gaussian(0.3, 1.0, "draco")
    x = np.linspace(18.8 - 3, 18.8 + 3, 401)
    table = JFactorPrior.from_table(x, stat=((x - 18.8) / 0.3) ** 2)
    for method in ("profile", "marginal"):
        got = StackedDMLikelihood([a], {"draco": table}, method).run().sigmav_ul.data.item()
        exact = StackedDMLikelihood([a], {"draco": JFactorPrior(18.8, 0.3)}, method).run()
        assert got == pytest.approx(exact.sigmav_ul.data.item(), rel=2e-3)


class TestErrors:
    def test_duplicate(self):
        with pytest.raises(ValueError, match="'draco' comes twice"):
            StackedDMLikelihood([gaussian(0, 1, "draco"), gaussian(1, 1, "draco")], method="fixed")

    def test_masses(self):
        with pytest.raises(ValueError, match=r"masses differ: a has \[100.\].*b has \[200.\]"):
            StackedDMLikelihood(
                [gaussian(0, 1, "a"), gaussian(0, 1, "b", masses=(200.0,))], method="fixed"
            )

    def test_channels(self):
        with pytest.raises(ValueError, match=r"channels differ: a has \['b'\], b has \['tau'\]"):
            StackedDMLikelihood(
                [gaussian(0, 1, "a"), gaussian(0, 1, "b", channels=("tau",))], method="fixed"
            )

    def test_process(self):
        rate = np.append(0, np.geomspace(1e-30, 1e-22, 100)) / u.s
        b = CastroMaps.from_scan(
            rate, np.square(rate.value / 1e-26).reshape(1, 1, -1), [100] * u.GeV, ["b"],
            target="b", process="decay",
        )  # fmt: skip
        with pytest.raises(ValueError, match="about annihilation, b about decay"):
            StackedDMLikelihood([gaussian(0, 1, "a"), b], method="fixed")

    def test_no_width(self):
        with pytest.raises(ValueError, match=r"no J-factor width for \['a', 'b'\].*fixed"):
            StackedDMLikelihood([gaussian(0, 1, "a"), gaussian(0, 1, "b")])

    def test_prior_for_nobody(self):
        with pytest.raises(ValueError, match=r"\['draca'\].*holds \['draco'\]"):
            StackedDMLikelihood([gaussian(0, 1, "draco")], {"draca": JFactorPrior(18.8, 0.2)})

    def test_instruments_of_priors(self):
        priors = {"draco": {"lat": JFactorPrior(18.8, 0.2)}}
        with pytest.raises(ValueError, match="must name exactly the instruments"):
            StackedDMLikelihood([gaussian(0, 1, "draco", instrument="magic")], priors)

    def test_treated_twice(self):
        done = StackedDMLikelihood(
            [gaussian(0, 1, "draco")], {"draco": JFactorPrior(18.8, 0.2)}
        ).run()
        with pytest.raises(ValueError, match=r"draco: .*treated before \(profile\)"):
            StackedDMLikelihood([done], {"draco": JFactorPrior(18.8, 0.2)})

    def test_nameless(self):
        with pytest.raises(ValueError, match="does not say which target"):
            StackedDMLikelihood([gaussian(0, 1, None)], method="fixed")

    def test_method(self):
        with pytest.raises(ValueError, match="method must be one of"):
            StackedDMLikelihood([gaussian(0, 1, "a")], method="bayes")

    def test_empty(self):
        with pytest.raises(ValueError, match="at least one"):
            StackedDMLikelihood([])
