"""Limits where something ends: the Asimov data, the toys, or what is allowed at all."""

from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from scipy.stats import norm, poisson

from dmgammapy.estimators import CastroMaps, LimitStatus, intervals
from dmgammapy.estimators.unified_intervals import gaussian_interval, poisson_interval

UNIT = u.Unit("cm3 s-1")
MU = np.append(0, np.geomspace(1e-3, 100, 201))
ENDING = np.where(MU < 5, MU**2, np.nan)  # Asimov data known up to 5 standard deviations
Z = norm.ppf(0.95)
GRID = np.append(0, np.geomspace(1e-29, 1e-22, 281))


def t_tilde(x, mu):
    return np.where(x < 0, mu**2 - 2 * mu * x, (x - mu) ** 2)


def q_tilde(x, mu):
    return np.where(x > mu, 0.0, t_tilde(x, mu))


def gaussian_toys(strengths, n_toy=4000):
    """At equal steps of probability: q~ and t~ with signal, q~ without."""
    noise = norm.ppf((np.arange(n_toy) + 0.5) / n_toy)
    mu = np.asarray(strengths)[:, None]
    return q_tilde(mu + noise, mu), t_tilde(mu + noise, mu), q_tilde(noise, mu)


def castro(x, grid=GRID, sigma=1e-26, **settings):
    stat = ((grid / sigma - x) ** 2).reshape(1, 1, -1)
    return CastroMaps.from_scan(grid * UNIT, stat, [100] * u.GeV, ["b"], **settings)


def read(result):
    limit, status = result
    return limit.quantity.to_value(UNIT).item() / 1e-26, int(status.data.item())


def test_power_constrained_where_asimov_data_end():
    x = np.array([-3.0, -1.0, 0.0, 3.4])
    limit, status = intervals.power_constrained(MU, (MU - x[:, None]) ** 2, asimov=ENDING)
    expected = np.maximum(x + Z, Z - 1)  # arXiv:1105.3166
    np.testing.assert_allclose(limit[:3], expected[:3], rtol=1e-3)
    assert list(status) == [0, 0, 0, LimitStatus.GRID_EDGE]


@pytest.mark.parametrize("method", ["cls", "clsb", "feldman_cousins"])
def test_nothing_is_found_where_asimov_data_end(method):
    out = getattr(intervals, method)(MU, [(MU - 5.5) ** 2, MU**2], 0.9, asimov=ENDING)
    assert list(out[-1]) == [LimitStatus.GRID_EDGE, LimitStatus.FOUND]
    assert np.isnan(out[-2][0])
    if method == "feldman_cousins":  # the other end is known
        assert out[0][0] == pytest.approx(gaussian_interval(5.5, 0.9)[0], rel=1e-3)


@pytest.mark.parametrize("best", [4.0, 5.5, 7.0, 20.0])
def test_feldman_cousins_toys_that_end(best):
    strengths = np.linspace(0, 5, 26)
    toys = gaussian_toys(strengths)[1]
    lower, upper, status = intervals.feldman_cousins(
        MU, [(MU - best) ** 2], 0.9, toys=toys, toy_strengths=strengths
    )
    assert status[0] == LimitStatus.GRID_EDGE
    assert np.isnan(upper[0])
    end = gaussian_interval(best, 0.9)[0]
    if end < 5:
        assert lower[0] == pytest.approx(end, rel=0.01)
    else:
        assert np.isnan(lower[0])


def test_feldman_cousins_toys_between_strengths():
    """Exact for a Gaussian but for rounding; rows that begin at zero or not."""
    strengths = np.array([np.linspace(0, 6, 13), np.linspace(0.25, 6.25, 13)])
    toys = np.array([gaussian_toys(row)[1] for row in strengths])
    for x in (0.0, 1.0, 3.0):
        lower, upper, _ = intervals.feldman_cousins(
            MU, [(MU - x) ** 2] * 2, 0.9, toys=toys, toy_strengths=strengths
        )
        expected = gaussian_interval(x, 0.9)
        np.testing.assert_allclose(lower, expected[0], atol=0.06)
        np.testing.assert_allclose(upper, expected[1], rtol=0.02)


@pytest.mark.parametrize("background", [3.0, 10.0])
def test_feldman_cousins_toys_of_counts(background):
    """Ends within a step of the exact ones."""
    step = 0.25
    strengths = np.arange(0, 22, step)
    mu = np.append(0, np.geomspace(1e-3, 40, 301))
    chance = (np.arange(4000) + 0.5) / 4000
    rows = []
    for s in strengths:
        k = poisson.ppf(chance, s + background)
        best = np.maximum(k - background, 0.0)
        rows.append(2 * (s - best - k * np.log((s + background) / (best + background))))
    for n in (1, int(background), int(background + 2 * background**0.5)):
        stat = [2 * (mu - n * np.log1p(mu / background))]
        lower, upper, _ = intervals.feldman_cousins(
            mu, stat, 0.9, toys=rows, toy_strengths=strengths
        )
        expected = poisson_interval(n, background, 0.9, monotonic=False)
        assert lower[0] == pytest.approx(expected[0], abs=step)
        assert upper[0] == pytest.approx(expected[1], abs=step)


@pytest.mark.parametrize("first", [1e-28, 5e-27])
def test_clsb_excludes_everything(first):
    """Asimov data that begin late: CLs+b tends to Phi(x / sigma) at no signal."""
    asimov = castro(0.0, np.append(0, np.geomspace(first, 1e-22, 200)))
    limit, status = read(castro(-3.0).upper_limit_and_status(method="clsb", asimov=asimov))
    assert np.isnan(limit)
    assert status == LimitStatus.ALL_EXCLUDED
    limit, status = read(castro(-1.0).upper_limit_and_status(method="clsb", asimov=asimov))
    assert limit == pytest.approx(Z - 1, rel=1e-3)
    assert status == LimitStatus.FOUND


def test_clsb_limit_below_the_first_node():
    mu = np.append(0, np.geomspace(0.1, 100, 201))
    limit, status = intervals.clsb(mu, [(mu - 0.08 + Z) ** 2], asimov=mu**2)
    assert status[0] == LimitStatus.FOUND
    # the profile is linear in the strength there, its slope at zero too large by 0.1: Phi of
    # -(2 (Z - 0.08) + 0.1 + mu) / 2 is the p-value
    assert limit[0] == pytest.approx(0.06, rel=1e-3)


def test_expected_clsb_excludes_everything():
    band, status = intervals.expected(MU, [MU**2], [-2, 0], method="clsb")
    assert status.ravel().tolist() == [LimitStatus.ALL_EXCLUDED, LimitStatus.FOUND]
    assert np.isnan(band[0, 0])
    bands = castro(0.0).expected_limits([0.02, 0.5], "clsb")
    assert bands.status.data.ravel().tolist() == [LimitStatus.ALL_EXCLUDED, LimitStatus.FOUND]
    with pytest.raises(ValueError, match="does not use min_power"):
        castro(0.0).expected_limits([0.5], "cls", min_power=0.5)


@pytest.mark.parametrize("n_strength", [9, 25, 121])
def test_toys_clsb_at_no_signal_is_no_evidence(n_strength):
    strengths = np.linspace(0, 6, n_strength)
    signal, _, null = gaussian_toys(strengths)
    settings = {"toy_strengths": strengths, "use_clb": False}
    limit, status = intervals.cls_toys(MU, [(MU + 3) ** 2, MU**2], signal, null, **settings)
    assert list(status) == [LimitStatus.ALL_EXCLUDED, LimitStatus.FOUND]
    assert np.isnan(limit[0])
    assert limit[1] == pytest.approx(Z, rel=0.02)


@pytest.mark.parametrize("fraction", [0.3, 1.0])
def test_toys_without_a_value_are_left_out(fraction):
    strengths = np.linspace(0, 6, 61)
    toys = [np.array(part) for part in gaussian_toys(strengths)]
    out = np.random.default_rng(1).random(toys[0].shape[1]) < fraction
    for part in toys:
        part[:, out] = np.nan
    signal, two_sided, null = toys
    results = [
        intervals.cls_toys(MU, [MU**2], signal, null, toy_strengths=strengths),
        intervals.feldman_cousins(
            MU, [(MU - 2) ** 2], 0.9, toys=two_sided, toy_strengths=strengths
        )[1:],
    ]
    for (limit, status), expected in zip(results, (1.960, 3.645), strict=True):
        if fraction == 1:
            assert np.isnan(limit[0])
            assert status[0] == LimitStatus.NO_INFORMATION
        else:
            assert limit[0] == pytest.approx(expected, rel=0.03)
            assert status[0] == LimitStatus.FOUND


def test_too_few_toys():
    toys = gaussian_toys(MU, 19)
    with pytest.raises(ValueError, match="at least 20 toys"):
        intervals.cls_toys(MU, [MU**2], toys[0], toys[2])
    with pytest.raises(ValueError, match="at least 20 toys"):
        intervals.feldman_cousins(MU, [MU**2], toys=toys[1])


def test_asimov_of_something_else():
    data = castro(-1.0, target="draco", log10_jfactor=18.8)
    measured_anew = castro(0.0, target="draco", log10_jfactor=19.0)
    limit, _ = read(data.upper_limit_and_status(method="cls", asimov=measured_anew))
    assert limit == pytest.approx(-1 + norm.isf(0.05 * norm.cdf(-1)), rel=1e-3)
    with pytest.raises(ValueError, match="asimov is of 'segue'"):
        data.upper_limit(method="cls", asimov=castro(0.0, target="segue"))
    with pytest.raises(ValueError, match="9 lower at some other strength"):
        data.upper_limit(method="cls", asimov=castro(3.0))
    full = np.concatenate([-GRID[:0:-1], GRID])
    with pytest.raises(ValueError, match="without signal"):
        data.upper_limit(method="cls", asimov=castro(-3.0, full))
    limit, _ = read(data.upper_limit_and_status(method="cls", asimov=castro(0.0, full)))
    assert limit == pytest.approx(-1 + norm.isf(0.05 * norm.cdf(-1)), rel=1e-3)


def test_toys_of_something_else():
    strengths = np.linspace(0, 6, 25)
    signal, two_sided, null = (part[None, None] for part in gaussian_toys(strengths, 50))
    toys = {
        "strengths": strengths * np.ones((1, 1, 1)) * 1e-26 * UNIT,
        "q_signal": signal, "q_null": null, "t_signal": two_sided,
    }  # fmt: skip
    data = castro(0.0)
    for masses, channels, message in (
        ([100] * u.GeV, ["tau"], "channels"),
        ([1] * u.TeV, ["b"], "masses"),
        ([1, 2] * u.TeV, ["b"], "masses"),
    ):
        other = SimpleNamespace(masses=masses, channels=channels, **toys)
        with pytest.raises(ValueError, match=f"toys must be of the {message}"):
            data.upper_limit(method="toys", toys=other)
    own = SimpleNamespace(masses=[0.1] * u.TeV, channels=["b"], **toys)
    assert read(data.upper_limit_and_status(method="toys", toys=own))[1] == LimitStatus.FOUND
    with pytest.raises(ValueError, match="either asimov or toys"):
        data.upper_limit(method="feldman_cousins", toys=own, asimov=castro(0.0))


def test_arguments_that_are_not_used():
    with pytest.raises(ValueError, match="does not use min_power"):
        castro(0.0).upper_limit(method="cls", min_power=0.5)
    with pytest.raises(ValueError, match="either cl or delta_stat"):
        castro(0.0).interval(0.9, delta_stat=1.0)
    with pytest.raises(ValueError, match="toy_strengths go with toys"):
        intervals.feldman_cousins(MU, [MU**2], toy_strengths=MU)


def test_posterior_on_extrapolated_scans():
    """4.9 % of a half Gaussian lie beyond 1.97 standard deviations, 0.27 % beyond 3."""
    for beyond, expected in ((1.97e-26, LimitStatus.EXTRAPOLATED), (3e-26, LimitStatus.FOUND)):
        data = castro(0.0, extrapolated=np.array([[beyond]]) * UNIT)
        limit, status = read(data.credible_upper_limit_and_status(0.95))
        assert limit == pytest.approx(1.96, rel=1e-3)
        assert status == expected


@pytest.mark.parametrize("method", ["profile", "feldman_cousins"])
def test_lower_end_on_extrapolated_scans(method):
    data = castro(5.0)
    maps = data.to_maps()
    reference = maps["reference"].quantity
    for name, value in (("norm_gap_min", 1e-28), ("norm_gap_max", 4e-26)):
        maps[name] = maps["norm"].copy(data=(value * UNIT / reference).to_value(""))
    gapped = CastroMaps(maps, data.meta)
    lower, _, status = gapped.interval_and_status(0.95, method=method)
    assert lower.quantity.item().value == pytest.approx((5 - 1.95996) * 1e-26, rel=1e-3)
    assert status.data.item() == LimitStatus.EXTRAPOLATED
    assert data.interval_and_status(0.95, method=method)[2].data.item() == LimitStatus.FOUND
    assert gapped.upper_limit_and_status()[1].data.item() == LimitStatus.FOUND
