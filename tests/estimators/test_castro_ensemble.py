import astropy.units as u
import numpy as np
import pytest
from gammapy.maps import LabelMapAxis, MapAxis, RegionGeom, RegionNDMap
from numpy.testing import assert_allclose
from scipy.stats import norm

from dmgammapy.estimators import CastroMaps, LimitStatus
from dmgammapy.estimators.castro_ensemble import band_pairs, content_of_few
from dmgammapy.visualization import bands as bands_module

MASSES = [10, 100] * u.GeV


def ensemble(norm_ul, ts, status=None, norm=None, reference=None):
    """Results of the shape (realisation, mass), one channel."""
    norm_ul, ts = np.asarray(norm_ul, dtype=float), np.asarray(ts, dtype=float)
    axes = [
        MapAxis.from_nodes(MASSES, name="mass", interp="log"),
        LabelMapAxis(["b"], name="channel"),
        MapAxis.from_nodes(np.arange(len(ts)), name="realisation"),
    ]
    geom = RegionGeom(None, axes=axes)

    def as_map(values, unit=""):
        return RegionNDMap(geom, np.asarray(values)[:, None, :, None, None], unit=unit)

    if reference is None:
        reference = np.full(ts.shape, 1e-26)
    return CastroMaps(
        {
            "reference": as_map(reference, "cm3 s-1"),
            "norm": as_map(np.zeros(ts.shape) if norm is None else norm),
            "norm_ul": as_map(norm_ul),
            "ts": as_map(ts),
            "status": as_map(np.zeros(ts.shape, int) if status is None else status),
        }
    )


def test_quantiles_of_many():
    values = np.random.default_rng(1).permutation(np.arange(1.0, 101.0))
    sample = ensemble(np.stack([values, 2 * values], axis=1), np.stack([values, values], axis=1))
    bands = sample.quantiles([0.025, 0.5, 0.975])
    assert bands.geom.axes.names == ["mass", "channel", "quantile"]
    # the middle of the k-th of n values is the quantile (k - 1/2) / n
    assert_allclose(bands.norm_ul.data[:, 0, 0, 0, 0], [3.0, 50.5, 98.0])
    assert_allclose(bands.sigmav_ul.data[:, 0, 1, 0, 0], [6e-26, 101e-26, 196e-26])
    assert_allclose(bands.ts.data[1, 0, :, 0, 0], 50.5)
    assert (bands.status.data == LimitStatus.FOUND).all()
    assert "100 realisations" in bands.meta.notes[-1]


def test_references_that_differ_between_realisations():
    reference = np.full((4, 2), 1e-26)
    reference[2:] = 2e-26
    sample = ensemble([[1, 1], [2, 2], [1.5, 1.5], [2, 2]], np.ones((4, 2)), reference=reference)
    assert_allclose(sample.quantiles([0.5]).sigmav_ul.data.ravel(), 2.5e-26)
    assert_allclose(sample.mean().sigmav_ul.data.ravel(), 2.5e-26)


def test_limits_beyond_the_grid_are_the_weakest():
    limits = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, np.nan], [np.nan, np.nan]])
    status = np.where(np.isnan(limits), LimitStatus.GRID_EDGE, LimitStatus.FOUND)
    status[1, 1] = LimitStatus.EXTRAPOLATED
    bands = ensemble(limits, np.ones((4, 2)), status).quantiles([0.125, 0.5, 0.875])
    assert_allclose(bands.norm_ul.data[:, 0, 0, 0, 0], [1, 2.5, np.nan])
    assert_allclose(bands.norm_ul.data[:, 0, 1, 0, 0], [1, np.nan, np.nan])
    assert bands.status.data[:, 0, 0, 0, 0].tolist() == [0, 0, LimitStatus.GRID_EDGE]
    assert bands.status.data[:, 0, 1, 0, 0].tolist() == [0, 2, 2]


def test_extrapolated_limits_flag_the_quantiles_they_are_at():
    status = np.zeros((4, 2), int)
    status[3] = LimitStatus.EXTRAPOLATED
    limits = np.arange(1.0, 5.0)[:, None] * np.ones(2)
    bands = ensemble(limits, np.ones((4, 2)), status).quantiles([0.125, 0.875])
    assert bands.status.data[:, 0, 0, 0, 0].tolist() == [0, LimitStatus.EXTRAPOLATED]


def test_masses_without_information():
    limits, ts = np.ones((4, 2)), np.ones((4, 2))
    limits[:, 0] = ts[:, 0] = np.nan
    status = np.zeros((4, 2), int)
    status[:, 0] = LimitStatus.NO_INFORMATION
    sample = ensemble(limits, ts, status, norm=ts)
    bands = sample.quantiles()
    assert (bands.status.data[:, 0, 0] == LimitStatus.NO_INFORMATION).all()
    assert np.isnan(bands.norm_ul.data[:, 0, 0]).all()
    assert_allclose(sample.max_ts(), 1)
    assert_allclose(sample.max_ts("realisation"), [[np.nan, 1]])


def test_max_ts():
    sample = ensemble(np.ones((3, 2)), [[1, 5], [0, 0.5], [7, 2]])
    assert_allclose(sample.max_ts(), [5, 0.5, 7])
    assert_allclose(sample.max_ts("mass")[:, 0], [5, 0.5, 7])
    with pytest.raises(ValueError, match="needs the axis 'target'"):
        sample.max_ts("target")


def test_mean():
    sample = ensemble([[1, 2], [3, np.nan]], [[1, 5], [2, 0]], norm=[[0, 1], [2, 0]])
    mean = sample.mean()
    assert mean.geom.axes.names == ["mass", "channel"]
    assert_allclose(mean.ts.data.ravel(), [1.5, 2.5])
    assert_allclose(mean.norm.data.ravel(), [1, 0.5])
    assert_allclose(mean.norm_ul.data.ravel(), [2, np.nan])


def test_files(tmp_path):
    sample = ensemble(np.ones((3, 2)), [[1, 5], [0, 0.5], [7, 2]])
    for name, result in (("ensemble", sample), ("bands", sample.quantiles())):
        path = tmp_path / f"{name}.fits"
        result.write(path)
        again = CastroMaps.read(path)
        assert again.geom.axes.names == result.geom.axes.names
        assert_allclose(again.geom.axes[-1].center, result.geom.axes[-1].center, rtol=1e-14)
        for quantity in result.available_quantities:
            assert np.array_equal(again[quantity].data, result[quantity].data)


def test_what_needs_scans_says_so():
    sample = ensemble(np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="no 'stat_scan'"):
        sample.upper_limit()
    assert "axes         : mass (2), channel (1), realisation (3)" in repr(sample)
    assert "norm axis" not in repr(sample)
    assert sample.slice_by_coord({"realisation": [0, 2]}).ts.data[1, 0, 0, 0, 0] == 1
    assert sample.copy().slice_by_mass(10 * u.GeV, 20 * u.GeV).ts.data.shape == (3, 1, 1, 1, 1)


def test_errors():
    sample = ensemble(np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="ascend between 0 and 1"):
        sample.quantiles([0.9, 0.1])
    with pytest.raises(ValueError, match="needs the axis 'realisation'"):
        sample.mean().quantiles()
    with pytest.raises(ValueError, match="plot_bands needs the axes"):
        sample.plot_bands()


def test_plot_bands(monkeypatch):
    values = np.arange(1.0, 101.0)
    sample = ensemble(np.stack([values, 2 * values], axis=1), np.ones((100, 2)))
    drawn = {}
    original = bands_module.plot_limit_bands

    def spy(*args, **kwargs):
        drawn.update(kwargs)
        return original(*args, **kwargs)

    monkeypatch.setattr("dmgammapy.visualization.plot_limit_bands", spy)
    ax = sample.quantiles().plot_bands(truth=(50 * u.GeV, 3e-26 * u.Unit("cm3 s-1")))
    assert_allclose(drawn["median"].value, [50.5e-26, 101e-26])
    assert_allclose(drawn["bands"][0.68][0].value, [16.5e-26, 33e-26])
    assert_allclose(drawn["bands"][0.95][1].value, [98e-26, 196e-26])
    assert ax.get_xscale() == "log"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("norm_ul", -1.0, "norm_ul: must not be negative or infinite, got -1 "),
        ("norm_ul", np.inf, "got inf"),
        ("norm_ul", np.nan, "1 limits are NaN though their status is FOUND"),
        ("ts", -0.5, "ts: must not be negative"),
        ("ts", np.inf, "ts: must not be negative or infinite, got inf"),
    ],
)
def test_files_with_impossible_results_are_refused(name, value, message):
    sample = ensemble([[1, 2], [3, 4]], [[0, 0], [1, 1]])
    hdulist = sample.to_hdulist()
    assert CastroMaps.from_hdulist(hdulist).norm_ul.data.ravel().tolist() == [1, 2, 3, 4]
    hdulist[name.upper()].data[1, 0, 1] = value
    with pytest.raises(ValueError, match=message):
        CastroMaps.from_hdulist(hdulist)


def test_limits_beyond_the_grid_can_be_read_back():
    sample = ensemble([[1, 2], [3, np.nan]], np.zeros((2, 2)), [[0, 0], [0, LimitStatus.GRID_EDGE]])
    back = CastroMaps.from_hdulist(sample.to_hdulist())
    assert_allclose(back.norm_ul.data.ravel(), [1, 2, 3, np.nan])


def test_quantiles_in_files_are_between_zero_and_one():
    bands = ensemble(np.ones((9, 2)), np.ones((9, 2))).quantiles([0.16, 0.5, 0.84])
    hdulist = bands.to_hdulist()
    hdulist["AXIS_QUANTILE"].data["quantile"][2] = 1.5
    with pytest.raises(ValueError, match="quantiles must be between 0 and 1"):
        CastroMaps.from_hdulist(hdulist)


def test_realisations_out_of_order_are_not_written(tmp_path):
    sample = ensemble(np.ones((2, 2)), np.ones((2, 2)))
    axes = [*sample.geom.axes][:2] + [MapAxis.from_nodes([40, 7], name="realisation")]
    data = {
        name: RegionNDMap(RegionGeom(None, axes=axes), m.data, unit=m.unit)
        for name, m in sample.to_maps().items()
    }
    turned = CastroMaps.from_maps(data, sample.meta)
    with pytest.raises(ValueError, match="axis 'realisation' must ascend, got .40"):
        turned.write(tmp_path / "turned.fits")
    assert not list(tmp_path.iterdir())


def test_data_that_exclude_everything_are_the_strongest():
    """Gaussian best fits: the quantile of x + 1.645 where that is positive."""
    n = 2000
    x = norm.ppf((np.arange(n) + 0.5) / n)
    plain = x + norm.ppf(0.95)
    status = np.where(plain > 0, LimitStatus.FOUND, LimitStatus.ALL_EXCLUDED)[:, None]
    limits = np.where(plain > 0, plain, np.nan)[:, None] * np.ones(2)
    sample = ensemble(limits, np.ones((n, 2)), status * np.ones((1, 2), int))
    bands = sample.quantiles([0.025, 0.16, 0.5, 0.975])
    found = bands.norm_ul.data[:, 0, 0, 0, 0]
    assert np.isnan(found[0])
    assert_allclose(found[1:], norm.ppf([0.16, 0.5, 0.975]) + norm.ppf(0.95), rtol=1e-3)
    assert bands.status.data[:, 0, 0, 0, 0].tolist() == [LimitStatus.ALL_EXCLUDED, 0, 0, 0]


@pytest.mark.parametrize(
    ("q", "pairs"),
    [
        ([0.025, 0.16, 0.5, 0.84, 0.975], {0.95: (0, 4), 0.68: (1, 3)}),
        ([0.0228, 0.1587, 0.8413, 0.9773], {0.9545: (0, 3), 0.6826: (1, 2)}),
        ([0.00135, 0.1, 0.3, 0.5, 0.9, 0.99865], {0.9973: (0, 5), 0.8: (1, 4)}),
        ([0.025, 0.16, 0.5, 0.95], {}),
        ([0.0, 0.5, 1.0], {}),
        ([0.5], {}),
    ],
)
def test_ends_of_bands(q, pairs):
    assert band_pairs(q) == pairs
    assert list(band_pairs(q)) == list(pairs)  # the widest first


@pytest.mark.parametrize("n", [12, 20, 100])
def test_bands_of_few_hold_less(n):
    """Bands of many samples of a Gaussian, with its distribution function."""
    samples = np.random.default_rng(n).normal(size=(20000, n))
    low, high = np.quantile(samples, [0.025, 0.975], axis=1, method="hazen")
    held = np.mean(norm.cdf(high) - norm.cdf(low))
    assert content_of_few(0.025, 0.975, n) == pytest.approx(held, abs=2e-3)
    if n == 12:
        assert held < 0.85
