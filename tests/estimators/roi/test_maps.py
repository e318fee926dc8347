"""Maps and spectra of a fitted region."""

import astropy.units as u
import numpy as np
import pytest

from dmgammapy.estimators.roi import ROIOptimizer, _maps
from dmgammapy.estimators.roi._region import Region

from .region_helpers import make_dataset, make_datasets, make_models


@pytest.fixture(scope="module")
def fit():
    return ROIOptimizer(steps="all", ts=None).run(make_datasets())


def test_counts_maps_are_sums_of_all_datasets(fit):
    maps = fit.counts_maps(energy_min=2 * u.GeV)
    first = 1
    counts = sum(d.counts.data[first:].sum(axis=0) for d in fit.datasets)
    npred = sum(d.npred().data[first:].sum(axis=0) for d in fit.datasets)
    np.testing.assert_array_equal(maps["counts"].data, counts)
    np.testing.assert_allclose(maps["npred"].data, npred, rtol=1e-5)
    np.testing.assert_allclose(maps["excess"].data, counts - npred, atol=1e-3)


def test_residual_significance_is_a_unit_gaussian():
    """Counts of the model itself, 60 times; pixels 1 deg apart are independent enough."""
    region = Region(make_datasets())
    terms = list(region.terms)
    random = np.random.default_rng(7)
    values = []
    for _ in range(60):
        region.terms = [
            t.with_counts(random.poisson(np.maximum(region.total(i), 0)))
            for i, t in enumerate(terms)
        ]
        sigma = _maps.residual_maps(region)["significance"].data
        values.append(sigma[2::5, 2::5])
    values = np.array(values)
    assert abs(values.mean()) < 0.1
    assert abs(values.std() - 1) < 0.1
    # an extreme value as often as a Gaussian has it
    assert np.abs(values).max() < 5


def test_residual_of_a_missing_source_is_at_its_place():
    datasets = make_datasets()
    datasets.models = [m for m in datasets.models if m.name != "bright"]
    sigma = _maps.residual_maps(Region(datasets))["significance"]
    row, column = np.unravel_index(np.nanargmax(sigma.data), sigma.data.shape)
    place = make_models()[0].position.to_pixel(sigma.geom.wcs)
    assert np.hypot(column - place[0], row - place[1]) < 1.5
    assert sigma.data.max() > 10


def test_residual_by_brute_force():
    """Sums over all voxels of one dataset, kernel by kernel, at one pixel."""
    region = Region(make_datasets(names=("one",)))
    maps = _maps.residual_maps(region)
    kernels = _maps._point_kernels(region, 0, 2.0)
    counts = region.datasets[0].counts.data
    npred = region.total(0).reshape(counts.shape)
    y, x, half = 9, 11, kernels.shape[1] // 2
    weight = np.zeros(counts.shape)
    for j in range(counts.shape[1]):
        for i in range(counts.shape[2]):
            if abs(j - y) <= half and abs(i - x) <= half:
                weight[:, j, i] = kernels[:, half + j - y, half + i - x]
    c, m, v = (weight * counts).sum(), (weight * npred).sum(), (weight**2 * npred).sum()
    n, mu = c * m / v, m * m / v
    expected = np.sign(n - mu) * np.sqrt(2 * (n * np.log(n / mu) - n + mu))
    assert maps["significance"].data[y, x] == pytest.approx(expected, rel=1e-6)


def test_excess_is_counted_in_a_circle(fit):
    """Middle pixels by hand: centres closer than the radius."""
    maps = fit.excess_maps("0.5 deg")
    geom = fit.datasets[0].counts.geom.to_image()
    y, x = 10, 10
    j, i = np.indices(geom.data_shape)
    inside = np.hypot(j - y, i - x) <= 0.5 / 0.2
    both = fit.counts_maps()
    n, mu = both["counts"].data[inside].sum(), both["npred"].data[inside].sum()
    assert maps.counts.data[0, y, x] == n
    expected = np.sign(n - mu) * np.sqrt(2 * (n * np.log(n / mu) - n + mu))
    assert maps.sqrt_ts.data[0, y, x] == pytest.approx(expected, abs=1e-3)


def test_ts_map_finds_a_missing_source():
    datasets = make_datasets()
    datasets.models = [m for m in datasets.models if m.name != "bright"]
    fit = ROIOptimizer(steps="all", ts=None).run(datasets)
    maps = fit.ts_maps(energy_min=2 * u.GeV, kernel_width="1.4 deg")
    row, column = np.unravel_index(np.nanargmax(maps.sqrt_ts.data[0]), (20, 20))
    place = make_models()[0].position.to_pixel(maps.geom.wcs)
    assert np.hypot(column - place[0], row - place[1]) < 1.5
    assert np.nanmax(maps.sqrt_ts.data) > 10
    ax = fit.plot_ts_map(maps)
    np.testing.assert_array_equal(ax.images[0].get_array(), maps.sqrt_ts.data[0])
    ax.figure.clf()


def test_counts_spectrum_is_made_of_the_models(fit):
    table = fit.counts_spectrum()
    for name in fit.models.names:
        npred = sum(d.npred_signal([name]).data.sum(axis=(1, 2)) for d in fit.datasets)
        np.testing.assert_allclose(table[name], npred, rtol=1e-5)
    counts = sum(d.counts.data.sum(axis=(1, 2)) for d in fit.datasets)
    np.testing.assert_array_equal(table["counts"], counts)
    total = sum(table[name] for name in fit.models.names) + table["background"]
    np.testing.assert_allclose(table["npred"], total, rtol=1e-9)
    np.testing.assert_allclose(table["residual"], (counts - total) / np.sqrt(total), rtol=1e-9)
    assert table["energy_max"][-1].to_value("GeV") == pytest.approx(64)
    one = fit.counts_spectrum("one")
    np.testing.assert_array_equal(one["counts"], fit.datasets[0].counts.data.sum(axis=(1, 2)))


def test_mask_hides_voxels():
    datasets = make_datasets(names=("one",))
    dataset = datasets[0]
    mask = dataset.counts.copy()
    mask.data = np.ones(mask.data.shape, dtype=bool)
    mask.data[:, :, :10] = False
    dataset.mask_fit = mask
    fit = ROIOptimizer(steps="all", ts=None).run(datasets)
    maps = fit.counts_maps()
    assert maps["counts"].data[:, :10].sum() == maps["npred"].data[:, :10].sum() == 0
    assert np.isnan(fit.residual_maps()["significance"].data[10, 0])


def test_plots_draw_what_was_computed(fit):
    import matplotlib.pyplot as plt

    ax = fit.plot_counts_map()
    assert ax.images[0].get_array().sum() == fit.counts_maps()["counts"].data.sum()
    fit.plot_model_map(energy_min=4 * u.GeV)
    fit.plot_residual_map(markers=False)
    plt.figure()
    assert fit.plot_significance_histogram().get_xlabel().startswith("Significance")
    top, _ = fit.plot_counts_spectrum(n_components=2)
    assert "3 others" in top.get_legend_handles_labels()[1]
    plt.figure()
    assert "bright" in fit.plot_correlation("bright").get_xlabel()
    plt.close("all")


def test_bad_input(fit):
    with pytest.raises(ValueError, match="no energy bin"):
        fit.counts_maps(energy_min=1 * u.TeV)
    with pytest.raises(ValueError, match="none of the datasets"):
        fit.counts_spectrum("three")
    other = [make_dataset("one"), make_dataset("two", width=3.0, n_reco=5)]
    for dataset in other:
        dataset.counts.data += 1
        dataset.models = make_models()[:1]
    other[1].models = other[0].models
    region = Region(other)
    with pytest.raises(ValueError, match="other pixels"):
        _maps.counts_maps(region)
    fit_of_two = ROIOptimizer(steps="joint", ts=None).run(region.datasets)
    with pytest.raises(ValueError, match="other energy bins"):
        fit_of_two.counts_spectrum()
