"""Significance of results: against the trials formula and simulated scans of known correlation."""

import numpy as np
import pytest
from gammapy.maps import LabelMapAxis, MapAxis, RegionNDMap
from scipy.stats import beta, norm, poisson

from dmgammapy.estimators import CastroMaps, LimitStatus
from dmgammapy.estimators.significance_estimator import SignificanceEstimator

from .test_significance import N_POINT, rice, smooth_scans

CHANNELS = ["b", "tau"]


def make_maps(ts, channels=CHANNELS, masses=None, process="annihilation", **kwargs):
    """Result or ensemble with this TS, shape ([realisation,] channel, mass)."""
    ts = np.asarray(ts, dtype=float)
    masses = np.geomspace(10, 1e4, ts.shape[-1]) if masses is None else masses
    axes = [
        MapAxis.from_nodes(masses, name="mass", unit="GeV", interp="log"),
        LabelMapAxis(channels, name="channel"),
    ]
    if ts.ndim == 3:
        axes.append(MapAxis.from_nodes(np.arange(len(ts)), name="realisation"))
    unit = "cm3 s-1" if process == "annihilation" else "s-1"
    data = {"reference": RegionNDMap.create(None, axes=axes, unit=unit)}
    data["reference"].data += 1e-26
    for name, values in {"ts": ts, "norm": np.sqrt(ts), **kwargs.pop("quantities", {})}.items():
        data[name] = RegionNDMap.create(None, axes=axes)
        data[name].data[..., 0, 0] = values
    return CastroMaps(data, dict(process=process, **kwargs))


def white_ts(n_toy, n_mass, seed, n_channel=2):
    return np.maximum(np.random.default_rng(seed).normal(size=(n_toy, n_channel, n_mass)), 0) ** 2


def one_peak(ts, n_mass, channel=1, mass=3):
    out = np.zeros((2, n_mass))
    out[channel, mass] = ts
    return out


def test_independent_looks_follow_the_trials_formula():
    n_mass, ts = 10, 9.0
    ensemble = {
        name: make_maps(white_ts(4000, n_mass, seed), target=name)
        for seed, name in enumerate(["draco", "sculptor", "fornax"])
    }
    observed = {name: make_maps(one_peak(4.0, n_mass)) for name in ensemble}
    observed["sculptor"] = make_maps(one_peak(ts, n_mass))
    row = SignificanceEstimator().run(observed, ensemble)[1]
    local = norm.sf(3.0)
    assert row["target"] == "sculptor"
    assert (row["ts"], row["channel"]) == (9.0, "tau")
    assert row["mass"].to_value("GeV") == pytest.approx(100.0)  # fourth of ten, 10 GeV to 10 TeV
    assert row["sigmav"].to_value("cm3 s-1") == pytest.approx(3e-26)
    assert row["p_local"] == pytest.approx(local)
    assert row["z_local"] == pytest.approx(3.0)
    for name, n_looks in (("local_toys", 1), ("masses", 10), ("channels", 20), ("targets", 60)):
        expected = -np.expm1(n_looks * np.log1p(-local))
        error = np.sqrt(expected / 4000)
        assert row[f"p_{name}"] == pytest.approx(expected, abs=3 * error + 1 / 4001)
        for side in "np":
            assert row[f"p_{name}_err{side}"] == pytest.approx(error, rel=0.6)
        assert row[f"z_{name}"] == pytest.approx(norm.isf(row[f"p_{name}"]))
        if n_looks > 1:
            assert row[f"method_{name}"] == "toys"


def test_the_best_of_targets_is_as_rare_as_the_looks_say():
    """Observations drawn like the simulations: global p-values are uniform."""
    n_mass = 8
    pool = {name: white_ts(700, n_mass, seed) for seed, name in enumerate("abc", start=20)}
    ensemble = {name: make_maps(ts[:400], target=name) for name, ts in pool.items()}
    best = []
    for i in range(400, 700):
        observed = {name: make_maps(ts[i]) for name, ts in pool.items()}
        best.append(SignificanceEstimator().run(observed, ensemble)["p_targets"].min())
    best = np.array(best)
    for level in (0.1, 0.3, 0.6):
        scatter = np.sqrt(level * (1 - level) * (1 / 300 + 1 / 400))
        assert np.mean(best <= level) == pytest.approx(level, abs=3 * scatter)


def test_shared_simulations_are_aligned():
    """The same simulations under two names are no more looks than one."""
    ensemble = make_maps(white_ts(500, 10, 3))
    observed = make_maps(one_peak(8.0, 10))
    estimator = SignificanceEstimator()
    row = estimator.run({"a": observed, "b": observed}, {"a": ensemble, "b": ensemble})[0]
    alone = estimator.run(observed, ensemble)
    assert row["p_targets"] == row["p_channels"] == alone["p_channels"][0]
    assert "p_targets" not in alone.colnames


def test_beyond_the_simulations():
    """300 smooth scans, TS = 25: Rice's formula for one channel, and for two twice that."""
    ensemble = make_maps(smooth_scans(300, 4, n_channel=2))
    observed = make_maps(one_peak(25.0, N_POINT, mass=200))
    table = SignificanceEstimator(level=0.5).run(observed, ensemble)
    (row,) = table
    assert (row["method_masses"], row["method_channels"]) == ("upcrossings", "tail")
    expected = norm.sf(5.0) + rice(25.0)
    assert row["p_masses"] == pytest.approx(expected, rel=0.06)
    # about 4.4 upcrossings in each of 300 scans, which vary less than Poisson
    relative = row["p_masses_errp"] / row["p_masses"]
    assert 0.01 < relative <= 1 / np.sqrt(300 * rice(0.5))
    assert row["p_masses_errn"] == pytest.approx(row["p_masses_errp"])
    # anchored on 30 scans: 18 %; the tail ignores the local term, a few per cent
    assert row["p_channels"] == pytest.approx(2 * expected, rel=0.5)
    assert row["p_channels_errp"] / row["p_channels"] == pytest.approx(30**-0.5, rel=0.25)
    assert row["p_local_toys"] == pytest.approx(1 / 301)
    assert row["p_local_toys_errn"] == row["p_local_toys"]
    assert table.meta["n_realisations"] == 300
    number = table.meta["n_upcrossings"]["unknown target"]
    assert number["tau"] == pytest.approx(rice(0.5), rel=0.08)  # 2.7 % if they were Poisson


def test_both_ways_agree_where_they_meet():
    ensemble = make_maps(smooth_scans(2000, 6, n_channel=2))
    observed = make_maps(one_peak(12.0, N_POINT))
    toys = SignificanceEstimator().run(observed, ensemble)[0]
    beyond = SignificanceEstimator(min_exceeding=1000, tail_fraction=0.3).run(observed, ensemble)[0]
    assert (toys["method_masses"], beyond["method_masses"]) == ("toys", "upcrossings")
    assert (toys["method_channels"], beyond["method_channels"]) == ("toys", "tail")
    for name in ("masses", "channels"):
        error = np.hypot(toys[f"p_{name}_errp"], beyond[f"p_{name}_errp"])
        assert abs(toys[f"p_{name}"] - beyond[f"p_{name}"]) < 2.5 * error


def test_level_of_upcrossings_is_as_high_as_numbers_allow():
    """Of 300 scans with rice(c) upcrossings each: 100 are left up to TS = 5.7."""
    ensemble = make_maps(smooth_scans(300, 4, n_channel=2))
    table = SignificanceEstimator().run(make_maps(one_peak(25.0, N_POINT)), ensemble)
    level = table.meta["level"]["unknown target"]["tau"]
    number = table.meta["n_upcrossings"]["unknown target"]["tau"]
    assert level == pytest.approx(2 * np.log(300 * rice(0) / 100), abs=0.75)
    assert number == pytest.approx(rice(level), rel=0.3)
    assert 100 <= 300 * number
    error = table["p_masses_errp"][0]
    assert error / table["p_masses"][0] == pytest.approx(1 / np.sqrt(300 * number), rel=0.15)
    assert abs(table["p_masses"][0] - norm.sf(5.0) - rice(25.0)) < 2 * error
    # too few anywhere: the lowest level
    few = SignificanceEstimator().run(
        make_maps(one_peak(25.0, 3, mass=1)), make_maps(white_ts(30, 3, 1))
    )
    assert few.meta["level"]["unknown target"] == {"b": 0.5, "tau": 0.5}


def test_no_excess_at_all():
    row = SignificanceEstimator().run(make_maps(np.zeros((2, 5))), make_maps(white_ts(50, 5, 1)))[0]
    assert row["p_local"] == row["p_local_toys"] == row["p_masses"] == row["p_channels"] == 1.0
    assert row["z_masses"] == -np.inf


def test_masses_without_information_are_not_looked_at():
    ts, toys = one_peak(9.0, 10), white_ts(500, 10, 2)
    cut = SignificanceEstimator().run(
        make_maps(ts[:, 2:], masses=np.geomspace(10, 1e4, 10)[2:]),
        make_maps(toys[..., 2:], masses=np.geomspace(10, 1e4, 10)[2:]),
    )[0]
    nan, off = ts.copy(), np.zeros(ts.shape)
    nan[:, :2] = np.nan
    off[:, :2] = LimitStatus.NO_INFORMATION
    for observed in (make_maps(nan), make_maps(ts, quantities={"status": off})):
        table = SignificanceEstimator().run(observed, make_maps(toys))
        for name in ("ts", "p_local_toys", "p_masses", "p_channels"):
            assert table[name][0] == cut[name]
        assert "4 of 20 masses and channels have no TS" in table.meta["notes"][0]


def test_decay():
    toys = make_maps(white_ts(50, 5, 1), process="decay")
    table = SignificanceEstimator().run(make_maps(one_peak(4.0, 5), process="decay"), toys)
    assert table["gamma"].to_value("s-1")[0] == pytest.approx(2e-26)


@pytest.fixture
def pair():
    return make_maps(one_peak(9.0, 5)), white_ts(40, 5, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ts: make_maps(ts[:19]), "holds 19 realisations, at least 20"),
        (lambda ts: make_maps(ts, masses=[10, 20, 30, 40, 50]), "masses differ"),
        (lambda ts: make_maps(ts, channels=["b", "W"]), "channels differ"),
        (lambda ts: make_maps(ts, process="decay"), "is about annihilation"),
        (lambda ts: make_maps(ts[0]), r"ensemble .* must have the axes \['mass', 'channel', 'real"),
        (
            lambda ts: make_maps(np.where(np.arange(5) == 3, np.nan, ts)),
            "channel 'b', 1778.28 GeV: .* 40 of 40 simulations have none .2 such",
        ),
        (lambda ts: {"dra": make_maps(ts)}, "only observed: .*only simulated: ..dra"),
    ],
)
def test_what_does_not_fit(pair, change, message):
    observed, ts = pair
    with pytest.raises(ValueError, match=message):
        SignificanceEstimator().run(observed, change(ts))


def test_more_that_does_not_fit(pair):
    observed, ts = pair
    ensemble, run = make_maps(ts), SignificanceEstimator().run
    with pytest.raises(
        ValueError, match="same realisations: 'a' has 40 .* 'b' has 30 from 0 to 29"
    ):
        run({"a": observed, "b": observed}, {"a": ensemble, "b": make_maps(ts[:30])})
    with pytest.raises(ValueError, match="one CastroMaps"):
        run({"a": observed, "b": observed}, ensemble)
    with pytest.raises(ValueError, match="J is treated by 'profile' .* by 'fixed'"):
        run(
            make_maps(one_peak(9.0, 5), jfactor_method="profile"),
            make_maps(ts, jfactor_method="fixed"),
        )
    with pytest.raises(ValueError, match="no TS at any mass"):
        run(make_maps(np.full((2, 5), np.nan)), ensemble)
    with pytest.raises(ValueError, match="one process"):
        run(
            {"a": observed, "b": make_maps(one_peak(9.0, 5), process="decay")},
            {"a": ensemble, "b": ensemble},
        )
    with pytest.raises(TypeError, match="CastroMaps or a dict of them, got list"):
        run([observed], ensemble)
    with pytest.raises(TypeError, match=r"ensemble\['a'\] must be a CastroMaps, got ndarray"):
        run({"a": observed}, {"a": ts})
    with pytest.raises(ValueError, match="level must be > 0"):
        SignificanceEstimator(level=0)
    with pytest.raises(ValueError, match="tail_fraction"):
        SignificanceEstimator(tail_fraction=1.0)


def test_configuration_is_kept():
    estimator = SignificanceEstimator(level=1.0, min_exceeding=5, tail_fraction=0.2)
    assert repr(estimator) == (
        "SignificanceEstimator(level=1.0, min_exceeding=5, tail_fraction=0.2)"
    )
    assert estimator.copy().min_exceeding == 5
    observed, toys = make_maps(one_peak(9.0, 5)), make_maps(white_ts(40, 5, 1))
    before = toys.ts.data.copy()
    first, second = (estimator.run(observed, toys) for _ in range(2))
    assert (first["p_channels"] == second["p_channels"]).all()
    np.testing.assert_array_equal(toys.ts.data, before)


def counts_ts(n, background):
    """TS of counts in one bin, and how often that many or more are seen."""
    return 2 * (n * np.log(np.maximum(n, 1) / background) - (n - background)) * (n > background)


@pytest.mark.parametrize("rounding", [-1e-8, 0.0, 1e-8])
def test_counts_that_are_equal_but_for_rounding(rounding):
    """Data and simulations take different paths; TS of counts is often the same."""
    background, n_toy = 0.1, 1000
    n = poisson.ppf((np.arange(n_toy) + 0.5) / n_toy, background)
    ensemble = make_maps(counts_ts(n, background)[:, None, None] * np.ones((1, 2, 1)))
    observed = make_maps(np.array([[counts_ts(1, background) + rounding], [0.0]]))
    row = SignificanceEstimator().run(observed, ensemble)[0]
    expected = poisson.sf(0, background)  # 0.095
    for name in ("local_toys", "masses", "channels"):
        assert row[f"p_{name}"] == pytest.approx(expected, abs=1.5 / n_toy)
        if name != "local_toys":
            assert row[f"method_{name}"] == "toys"


def test_many_looks_are_not_rarer_than_one():
    """Two counts in two masses, 0.1 expected: Gaussian upcrossings fall too fast."""
    ts = np.zeros((1000, 2, 2))
    ts[:9, 0, 0] = 16.0  # 9 of 1000, where half chi2 says 3e-5
    row_maps = make_maps(np.array([[16.0, 0.0], [0.0, 0.0]])), make_maps(ts)
    table = SignificanceEstimator().run(*row_maps)
    row = table[0]
    low = beta.ppf(0.5 * (1 - 0.6827), 9, 992)
    assert row["p_local_toys"] == pytest.approx(10 / 1001)
    assert row["method_masses"] == "local_toys"
    assert row["p_masses"] == pytest.approx(low)
    assert row["p_channels"] >= low * (1 - 1e-9)
    assert any("was raised" in note and "9 of 1000" in note for note in table.meta["notes"])


@pytest.mark.parametrize("methods", [(None, "profile"), ("marginal", None), ("fixed", "profile")])
def test_treatments_of_j_that_differ(methods):
    observed = make_maps(one_peak(9.0, 5), jfactor_method=methods[0])
    ensemble = make_maps(white_ts(50, 5, 1), jfactor_method=methods[1])
    with pytest.raises(ValueError, match="J is treated by"):
        SignificanceEstimator().run(observed, ensemble)
    same = make_maps(white_ts(50, 5, 1), jfactor_method=methods[0] or "fixed")
    assert SignificanceEstimator().run(observed, same)[0]["ts"] == 9.0
