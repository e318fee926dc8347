"""The container's verbs."""

import pickle

import astropy.units as u
import numpy as np
import pytest
from gammapy.maps import LabelMapAxis, MapAxis, RegionNDMap

from dmgammapy.estimators import CastroMaps, CastroMetaData, LimitStatus, StackedDMLikelihood

GRID = np.append(0, 10.0 ** np.arange(-29, -20, 0.025)) * u.Unit("cm3 s-1")
MASSES = [10, 100, 1000] * u.GeV


@pytest.fixture
def castro():
    """Gaussian in every cell: mean (channel), sigma (mass)."""
    stat = np.empty((2, 3, len(GRID)))
    for i, mean in enumerate((0.0, 3.0)):
        for j, sigma in enumerate((1.0, 2.0, 4.0)):
            stat[i, j] = ((GRID.value / 1e-26 - mean) / sigma) ** 2
    return CastroMaps.from_scan(
        GRID, stat, MASSES, ["b", "tau"], target="draco", log10_jfactor=18.8
    )


def test_quantities(castro):
    assert castro.sigmav_ul.quantity.shape == (2, 3, 1, 1)
    assert castro.sigmav_ul.unit == "cm3 s-1"
    assert castro.sigmav_ul.geom.axes.names == ["mass", "channel"]
    expected = np.array([[0, 0, 0], [3, 3, 3]]) + 1.64485 * np.array([1, 2, 4.0])
    np.testing.assert_allclose(castro.sigmav_ul.data[..., 0, 0], expected * 1e-26, rtol=1e-5)
    np.testing.assert_allclose(castro.ts.data[..., 0, 0], [[0, 0, 0], [9, 2.25, 0.5625]], atol=1e-4)
    np.testing.assert_allclose(castro.sqrt_ts.data[1, :, 0, 0], [3, 1.5, 0.75], atol=1e-4)
    np.testing.assert_allclose(castro.sigmav_err.data[1, :2, 0, 0], [1e-26, 2e-26], rtol=1e-4)
    assert (castro.status.data == LimitStatus.FOUND).all()
    assert castro.stat_scan.geom.axes.names == ["norm", "mass", "channel"]
    assert castro.delta_stat.min() == pytest.approx(0, abs=1e-9)
    assert "sigmav_ul" in dir(castro)
    assert "ts" in dir(castro)


def test_any_level(castro):
    # two-sided 90 % = one-sided 95 %
    low, high = castro.interval(0.90)
    one_sided = castro.upper_limit(0.95)
    np.testing.assert_allclose(high.data, one_sided.data, rtol=1e-9)
    assert low.data[1, 0].item() == pytest.approx((3 - 1.64485) * 1e-26, rel=1e-4)
    assert low.data[1, 2].item() == 0
    by_rise = castro.upper_limit(delta_stat=4.0)
    assert by_rise.data[0, 1].item() == pytest.approx(4e-26, rel=1e-5)
    with pytest.raises(ValueError, match="either cl or delta_stat"):
        castro.upper_limit(0.95, delta_stat=4.0)
    with pytest.raises(ValueError, match="method must be"):
        castro.upper_limit(method="magic")


def test_slices(castro):
    one = castro.slice_by_coord({"channel": "tau", "mass": [100, 1000] * u.GeV})
    assert one.channels == ["tau"]
    assert one.masses.value.tolist() == [100, 1000]
    np.testing.assert_array_equal(one.ts.data, castro.ts.data[1:, 1:])
    np.testing.assert_array_equal(one.delta_stat, castro.delta_stat[1:, 1:])
    by_idx = castro.slice_by_idx({"mass": slice(1, None), "channel": 1})
    np.testing.assert_array_equal(by_idx.sigmav_ul.data, one.sigmav_ul.data)
    assert castro.slice_by_mass("50 GeV", "0.5 TeV").masses.value.tolist() == [100]
    parts = list(castro.iter_by_axis("channel"))
    assert [p.channels for p in parts] == [["b"], ["tau"]]
    np.testing.assert_allclose(
        one.upper_limit(0.9).data, castro.upper_limit(0.9).data[1:, 1:], rtol=1e-12
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.slice_by_coord({"channel": "W"}), r"\['W'\] not among \['b', 'tau'\]"),
        (lambda c: c.slice_by_coord({"mass": 55 * u.GeV}), "not a node"),
        (lambda c: c.slice_by_idx({"energy": 0}), "cannot slice along"),
        (lambda c: c.slice_by_idx({"mass": slice(3, 3)}), "is empty"),
        (lambda c: c.slice_by_mass("1 GeV", "2 GeV"), "no mass between"),
    ],
)
def test_bad_slices(castro, call, message):
    with pytest.raises(ValueError, match=message):
        call(castro)


def test_stack_along_new_axis(castro):
    other = castro.copy()
    axis = LabelMapAxis(["draco", "segue_1"], name="target")
    both = CastroMaps.from_stack([castro, other], axis)
    assert both.geom.axes.names == ["mass", "channel", "target"]
    assert both.sigmav_ul.data.shape == (2, 2, 3, 1, 1)
    np.testing.assert_allclose(both.upper_limit().data[1], castro.upper_limit().data)
    assert [p.sigmav.data.shape[0] for p in both.iter_by_axis("target")] == [1, 1]
    coarse = np.append(0, np.geomspace(1e-29, 1e-20, 150)) * GRID.unit
    stat = (coarse.value / 1e-26) ** 2 * np.ones((2, 3, 1))
    third = CastroMaps.from_scan(coarse, stat, MASSES, ["b", "tau"])
    mixed = CastroMaps.from_stack([castro, third], axis)
    np.testing.assert_allclose(mixed.ts.data[0], castro.ts.data, atol=1e-4)
    np.testing.assert_allclose(
        mixed.upper_limit().data[1], 1.64485e-26 * np.ones((2, 3, 1, 1)), rtol=1e-4
    )


def test_maps_round_trip_copy_pickle(castro):
    again = CastroMaps.from_maps(castro.to_maps(), castro.meta)
    for name in castro.available_quantities:
        np.testing.assert_array_equal(again[name].data, castro[name].data)
    for other in (castro.copy(), pickle.loads(pickle.dumps(castro))):
        np.testing.assert_array_equal(other.stat_scan.data, castro.stat_scan.data)
        assert other.meta == castro.meta
        assert other.channels == castro.channels
    changed = castro.copy()
    changed.ts.data[:] = -1
    assert (castro.ts.data >= 0).all()


def test_table(castro):
    table = castro.to_table()
    assert table.colnames == [
        "channel", "mass", "sigmav", "sigmav_err", "sigmav_ul", "ts", "status",
    ]  # fmt: skip
    assert len(table) == 6
    assert set(table["status"]) == {"found"}
    row = table[(table["channel"] == "tau") & (table["mass"] == 100 * u.GeV)][0]
    assert row["sigmav_ul"].value == pytest.approx((3 + 2 * 1.64485) * 1e-26, rel=1e-5)
    assert table.meta["target"] == "draco"


def test_repr_names_the_essentials(castro):
    text = repr(castro)
    for word in ("draco", "3 from 10 to 1000 GeV", "b, tau", "annihilation"):
        assert word in text


def test_missing_zero_is_added_and_noted():
    grid = GRID[1:]
    flat = (grid.value / 1e-26).reshape(1, 1, -1) ** 2
    good = CastroMaps.from_scan(grid, flat, [10] * u.GeV, ["b"])
    assert good.norm_axis.center[0] == 0
    assert good.meta.notes == []
    assert good.ts.data.item() == pytest.approx(0, abs=1e-6)
    late = grid[grid.value > 2e-27]
    stat = ((late.value / 1e-26 - 5) ** 2).reshape(1, 1, -1)
    noted = CastroMaps.from_scan(late, stat, [10] * u.GeV, ["b"])
    assert "stat at zero signal is extrapolated" in noted.meta.notes[0]


def test_proportional_rows():
    scale = np.array([1.0, 3.0, 9.0])
    grid = GRID * scale.reshape(1, 3, 1)
    stat = (grid.value / 1e-26) ** 2
    castro = CastroMaps.from_scan(grid, stat, MASSES, ["b"])
    np.testing.assert_allclose(castro.sigmav_ul.data.ravel(), 1.64485e-26, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stat": np.zeros((1, 2, 10))}, r"shape \(channel, mass, norm\)"),
        ({"masses": [100, 10, 1000] * u.GeV}, "ascend"),
        ({"masses": [-1, 10, 100] * u.GeV}, "positive"),
        ({"channels": ["b", "b"]}, "differ"),
        ({"sigmav": GRID[::-1]}, "ascending"),
        ({"sigmav": GRID.value * u.m}, "not convertible"),
        ({"process": "scattering"}, "process must be"),
        ({"nan": True}, "finite"),
        ({"sigmav": GRID[:3]}, r"shape \(channel, mass, norm\)"),
        ({"sigmav": (GRID + [[0], [0], [1e-28]] * GRID.unit) * np.ones((2, 3, 1))},
         "proportional"),
    ],
)  # fmt: skip
def test_bad_scans(change, message):
    arguments = {
        "sigmav": GRID,
        "stat": np.zeros((2, 3, len(GRID))),
        "masses": MASSES,
        "channels": ["b", "tau"],
    }
    if change.pop("nan", False):
        arguments["stat"][0, 0, 0] = np.nan
    with pytest.raises((ValueError, TypeError), match=message):
        CastroMaps.from_scan(**(arguments | change))


def test_bad_maps(castro):
    maps = castro.to_maps()
    with pytest.raises(ValueError, match="needs the quantity 'reference'"):
        CastroMaps({k: v for k, v in maps.items() if k != "reference"})
    with pytest.raises(ValueError, match="unknown quantities"):
        CastroMaps(maps | {"flux": maps["ts"]})
    with pytest.raises(ValueError, match="must have the axes"):
        CastroMaps(maps | {"ts": maps["stat_scan"]})
    sliced = RegionNDMap(
        maps["ts"].geom.slice_by_idx({"mass": slice(0, 2)}), maps["ts"].data[:, :2]
    )
    with pytest.raises(ValueError, match="has shape"):
        CastroMaps(maps | {"ts": sliced})
    with pytest.raises(AttributeError, match="no quantity 'ts'"):
        CastroMaps({k: v for k, v in maps.items() if k != "ts"}).ts  # noqa: B018


def test_edges_of_an_extra_axis_survive_slicing(castro):
    axis = MapAxis.from_edges([0, 1, 3], unit="yr", name="time")
    both = CastroMaps.from_stack([castro, castro], axis)
    first = both.slice_by_idx({"time": 1})
    np.testing.assert_allclose(first.geom.axes["time"].edges.value, [1, 3])


def test_the_callers_metadata_is_not_changed():
    meta = CastroMetaData(target="draco")
    grid = GRID[GRID.value > 2e-27]
    stat = ((grid.value / 1e-26 - 5) ** 2).reshape(1, 1, -1)
    noted = CastroMaps.from_scan(grid, stat, [10] * u.GeV, ["b"], meta=meta)
    assert noted.meta.notes
    assert meta.notes == []


def test_the_required_maps_suffice_for_limits_and_stacks(castro):
    maps = {name: castro[name] for name in ("reference", "stat_scan")}
    bare = CastroMaps.from_maps(maps, castro.meta)
    np.testing.assert_allclose(bare.upper_limit().data, castro.sigmav_ul.data, rtol=1e-12)
    combined = StackedDMLikelihood([bare], method="fixed").run()
    np.testing.assert_allclose(combined.sigmav_ul.data, castro.sigmav_ul.data, rtol=1e-5)
