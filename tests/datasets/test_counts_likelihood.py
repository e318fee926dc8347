"""Fast counts likelihood against Gammapy's statistics, brute force and closed forms."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import Datasets, MapDatasetOnOff
from gammapy.maps import Map
from gammapy.modeling import Fit
from gammapy.modeling.models import (
    GaussianPrior,
    LogParabolaSpectralModel,
    PowerLawSpectralModel,
    SkyModel,
    UniformPrior,
)
from gammapy.stats import cash, wstat
from scipy.optimize import minimize

from dmgammapy.datasets import CountsLikelihood

from .counts_helpers import TARGET, axes, map_dataset, on_off_dataset

REFERENCE = PowerLawSpectralModel(index=2, amplitude="1e-13 cm-2 s-1 TeV-1")


@pytest.fixture(scope="module")
def counts_map():
    return map_dataset()


@pytest.fixture(scope="module")
def on_off():
    return on_off_dataset()


@pytest.mark.parametrize("free", ["free", "fixed", ["neighbour"], 0.1 * u.deg, 1 * u.deg])
def test_stat_sum_is_gammapys(counts_map, on_off, free):
    likelihood = CountsLikelihood.from_datasets([counts_map, on_off], free=free)
    expected = counts_map.stat_sum() + on_off.stat_sum()
    assert likelihood.stat_sum() == pytest.approx(expected, abs=1e-6)


def test_which_norms_are_free(counts_map):
    def names(free):
        return CountsLikelihood.from_datasets(counts_map, free=free).names[1:]

    assert names("free") == ["neighbour.amplitude", "map-bkg.norm"]
    assert names("fixed") == []
    assert names(["map-bkg"]) == ["map-bkg.norm"]
    assert names(0.5 * u.deg) == ["neighbour.amplitude"]
    assert names(0.4 * u.deg) == []


def test_priors_count_as_in_gammapy():
    dataset = map_dataset(name="prior")
    norm = dataset.models["prior-bkg"].spectral_model.norm
    norm.prior = GaussianPrior(mu=1.03, sigma=0.01)
    dataset.models["neighbour"].spectral_model.amplitude.prior = UniformPrior(min=0, max=1e-11)
    datasets = Datasets([dataset])
    likelihood = CountsLikelihood.from_datasets(dataset)
    assert likelihood.stat_sum() == pytest.approx(datasets.stat_sum(), abs=1e-6)
    fit = likelihood.fit()
    plain = CountsLikelihood.from_datasets(map_dataset(name="plain")).fit()
    # inverse-variance mean of prior and data, in the limit of a quadratic likelihood
    value, error = plain.values["plain-bkg.norm"], plain.errors["plain-bkg.norm"]
    mean = (value / error**2 + 1.03 / 0.01**2) / (1 / error**2 + 1 / 0.01**2)
    assert fit.values["prior-bkg.norm"] == pytest.approx(mean, abs=0.1 * error)


def test_fit_of_norms_is_minuits(counts_map):
    likelihood = CountsLikelihood.from_datasets(counts_map)
    fit = likelihood.fit()
    dataset = map_dataset()
    datasets = Datasets([dataset])
    result = Fit().run(datasets)
    assert fit.stat == pytest.approx(result.total_stat, abs=1e-3)
    for name, model, parameter in [
        ("neighbour.amplitude", "neighbour", "amplitude"),
        ("map-bkg.norm", "map-bkg", "norm"),
        ("dwarf.sigmav", "dwarf", "sigmav"),
    ]:
        expected = dataset.models[model].parameters[parameter]
        assert fit.values[name] == pytest.approx(expected.value, abs=0.02 * expected.error)
        assert fit.errors[name] == pytest.approx(expected.error, rel=0.01)


def test_update_models_writes_values_errors_and_covariance():
    dataset = map_dataset(name="update")
    likelihood = CountsLikelihood.from_datasets(dataset)
    before = Datasets([dataset]).stat_sum()
    fit = likelihood.fit()
    assert Datasets([dataset]).stat_sum() == before
    likelihood.update_models(fit)
    assert Datasets([dataset]).stat_sum() == pytest.approx(fit.stat, abs=1e-6)
    amplitude = dataset.models["neighbour"].spectral_model.amplitude
    norm = dataset.models["update-bkg"].spectral_model.norm
    assert amplitude.error == pytest.approx(fit.errors["neighbour.amplitude"])
    covariance = dataset.models.covariance.get_subcovariance([amplitude, norm])
    index = [fit.names.index("neighbour.amplitude"), fit.names.index("update-bkg.norm")]
    np.testing.assert_allclose(covariance.data, fit.covariance[np.ix_(index, index)], rtol=1e-9)


def test_nonlinear_fit_is_minuits():
    dataset = map_dataset(name="curved")
    old = dataset.models["neighbour"]
    log_parabola = LogParabolaSpectralModel(
        amplitude="6e-13 cm-2 s-1 TeV-1", reference="1 TeV", alpha=2.1, beta=0.02
    )
    log_parabola.amplitude.min = 0
    neighbour = SkyModel(log_parabola, old.spatial_model.copy(), name="neighbour")
    dataset.models = [neighbour, dataset.models["curved-bkg"], dataset.models["dwarf"]]
    likelihood = CountsLikelihood.from_datasets(dataset)
    assert {"neighbour.alpha", "neighbour.beta"} <= set(likelihood.names)
    fit = likelihood.fit()
    result = Fit().run(Datasets([dataset]))
    assert fit.stat == pytest.approx(result.total_stat, abs=1e-3)
    for name in ("amplitude", "alpha", "beta"):
        expected = neighbour.spectral_model.parameters[name]
        assert fit.values[f"neighbour.{name}"] == pytest.approx(
            expected.value, abs=0.03 * expected.error
        )
        assert fit.errors[f"neighbour.{name}"] == pytest.approx(expected.error, rel=0.02)


def test_position_fit_finds_the_source():
    dataset = map_dataset(name="moved", sigmav=0)
    spatial = dataset.models["neighbour"].spatial_model
    spatial.lon_0.frozen = spatial.lat_0.frozen = False
    spatial.lon_0.value += 0.03
    fit = CountsLikelihood.from_datasets(dataset).fit(norm=0)
    for name, true in (("lon_0", 83.93), ("lat_0", 22.31)):
        error = fit.errors[f"neighbour.{name}"]
        assert 0 < error < 0.01
        assert fit.values[f"neighbour.{name}"] == pytest.approx(true, abs=4 * error)


def _brute_force_cash(likelihood, low, high):
    """Profile by SciPy of -2 ln L of one energy bin, from the plain formula."""
    terms = likelihood._terms[0]
    used = terms.weight[low:high] > 0
    counts = terms.counts[low:high][used]
    parts = [terms.templates[k][low:high][used] for k in sorted(terms.templates)]
    signal, fixed = terms.signal[low:high][used], terms.fixed[low:high][used]

    def stat(norms, norm):
        mu = fixed + norm * signal + sum(n * p for n, p in zip(norms, parts, strict=True))
        return cash(counts, mu).sum()

    def profile(norm):
        return minimize(
            stat, [1.0] * len(parts), args=(norm,), method="Nelder-Mead",
            options={"xatol": 1e-7, "fatol": 1e-9, "maxiter": 4000},
        ).fun  # fmt: skip

    return profile


def test_profile_of_a_bin_is_brute_force(counts_map):
    likelihood = CountsLikelihood.from_datasets(counts_map, spectrum=REFERENCE)
    scans = likelihood.scan(n_points=10)
    for b in (1, 5):
        profile = _brute_force_cash(likelihood, b, b + 1)
        scan = scans[b]
        expected = np.array([profile(norm) for norm in scan.norm_scan])
        np.testing.assert_allclose(scan.stat_scan, expected, atol=2e-6)
        assert profile(scan.norm_ul) - scan.stat == pytest.approx(2.705543, abs=1e-5)


def test_scan_of_on_off_is_wstat(on_off):
    likelihood = CountsLikelihood.from_datasets(on_off, spectrum=REFERENCE)
    for b, scan in enumerate(likelihood.scan(n_points=12)):
        signal = likelihood._terms[0].signal[b, 0]
        expected = wstat(
            on_off.counts.data[b, 0, 0], on_off.counts_off.data[b, 0, 0],
            on_off.alpha.data[b, 0, 0], scan.norm_scan * signal,
        )  # fmt: skip
        np.testing.assert_allclose(scan.stat_scan, expected, atol=1e-9)


def test_empty_bin_has_the_poisson_limit():
    """No counts: -2 ln L is 2 npred, whatever the background."""
    dataset = map_dataset(name="empty")
    dataset.counts.data[:] = 0
    likelihood = CountsLikelihood.from_datasets(dataset, spectrum=REFERENCE)
    for scan in likelihood.scan():
        assert scan.norm == 0
        assert scan.norm_ul * scan.npred == pytest.approx(2.705543454 / 2, rel=1e-8)


def test_counts_of_a_bin_add_up_without_background():
    """Signal only, n counts: the norm is n / npred, its limit solves mu - n - n ln(mu/n)."""
    from scipy.optimize import brentq

    dataset = on_off_dataset(name="signal")
    dataset.counts_off.data[:] = 0
    likelihood = CountsLikelihood.from_datasets(dataset, spectrum=REFERENCE)
    scan = likelihood.scan()[0]
    n = float(dataset.counts.data[0, 0, 0])
    alpha = 0.2
    # with OFF = 0 the profiled background is 0 where the signal exceeds alpha n / (1 + alpha)
    assert scan.norm * scan.npred == pytest.approx(n, rel=1e-6)
    limit = brentq(lambda mu: 2 * (mu - n - n * np.log(mu / n)) - 2.705543454, n, 10 * n)
    assert limit > alpha * n / (1 + alpha)
    assert scan.norm_ul * scan.npred == pytest.approx(limit, rel=1e-6)


def test_joint_scan_is_the_sum(counts_map):
    other = map_dataset(name="other", seed=5)
    source = counts_map.models["dwarf"]
    other.models = [m for m in other.models if m.name != "dwarf"] + [source]
    grid = np.linspace(0, 5, 11)
    single = [
        CountsLikelihood.from_datasets(d, spectrum=REFERENCE, free="fixed").scan(norm_scan=grid)
        for d in (counts_map, other)
    ]
    joint = CountsLikelihood.from_datasets(
        [counts_map, other], spectrum=REFERENCE, free="fixed"
    ).scan(norm_scan=grid)
    for a, b, c in zip(*single, joint, strict=True):
        np.testing.assert_allclose(c.stat_scan, a.stat_scan + b.stat_scan, atol=1e-7)


def test_negative_norms_on_request(counts_map):
    likelihood = CountsLikelihood.from_datasets(counts_map, spectrum=REFERENCE, free="fixed")
    bounded, free = likelihood.scan(), likelihood.scan(negative=True)
    assert any(s.norm < 0 for s in free)
    for b, (one, other) in enumerate(zip(bounded, free, strict=True)):
        assert one.norm_scan[0] == 0
        # excluded before it comes to zero, or negative
        assert other.norm_scan[0] < 0 or one.ts > 50
        assert 0.0 in other.norm_scan
        mu = likelihood._terms[0].fixed[b] + other.norm_scan[0] * likelihood._terms[0].signal[b]
        assert mu[likelihood._terms[0].weight[b] > 0].min() >= -1e-9
        assert one.norm == pytest.approx(max(other.norm, 0), abs=1e-6)


def test_weak_priors_from_a_fit_change_nothing_and_strong_ones_fix():
    counts_map = map_dataset()
    likelihood = CountsLikelihood.from_datasets(counts_map, spectrum=REFERENCE)
    grid = np.linspace(0, 2, 6)
    plain = likelihood.scan(norm_scan=grid)
    weak = likelihood.scan(norm_scan=grid, cov_scale=1e4)
    strong = likelihood.scan(norm_scan=grid, cov_scale=1e-4)
    fit = likelihood.fit()
    with pytest.raises(ValueError, match="has a spectrum of its own"):
        likelihood.update_models(fit)
    counts_map.models["neighbour"].spectral_model.amplitude.value = fit.values[
        "neighbour.amplitude"
    ]
    counts_map.models["map-bkg"].spectral_model.norm.value = fit.values["map-bkg.norm"]
    fixed = CountsLikelihood.from_datasets(counts_map, spectrum=REFERENCE, free="fixed")
    for a, b, c, d in zip(plain, weak, strong, fixed.scan(norm_scan=grid), strict=True):
        np.testing.assert_allclose(b.stat_scan, a.stat_scan, atol=1e-4)
        np.testing.assert_allclose(c.stat_scan - c.stat, d.stat_scan - d.stat, atol=1e-3)


def test_map_on_off_is_gammapys():
    plain = map_dataset(name="mapoo")
    off = Map.from_geom(plain.counts.geom, data=np.full(plain.counts.data.shape, 3.0))
    dataset = MapDatasetOnOff.from_map_dataset(
        plain, acceptance=1, acceptance_off=2, counts_off=off, name="mapoo"
    )
    dataset.models = [m for m in plain.models if m.name != "mapoo-bkg"]
    likelihood = CountsLikelihood.from_datasets(dataset)
    assert likelihood.stat_sum() == pytest.approx(Datasets([dataset]).stat_sum(), abs=1e-6)
    fit = likelihood.fit()
    result = Fit().run(Datasets([dataset]))
    assert fit.stat == pytest.approx(result.total_stat, abs=1e-3)


def _changed(change):
    dataset = map_dataset(name="bad")
    change(dataset)
    return dataset


def _set_nan(dataset):
    dataset.counts.data[2, 7, 7] = np.nan


def _set_negative(dataset):
    dataset.background.data[3] = -1.0


def _mask_all(dataset):
    dataset.mask_fit = Map.from_geom(dataset.counts.geom, data=False, dtype=bool)


def _drop_source(dataset):
    dataset.models = [m for m in dataset.models if m.name != "dwarf"]


def _second_source(dataset):
    other = TARGET.to_models(mass="1 TeV", channel="b")[0].copy(name="second")
    dataset.models = [*dataset.models, other]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set_nan, "'bad': counts are not finite in 1 bins"),
        (_set_negative, "'bad': the predicted counts of model 'bad-bkg' are negative"),
        (_mask_all, "'bad': all its bins are masked"),
        (_drop_source, "'bad' has no dark matter model"),
        (_second_source, "'bad' has 2 dark matter models, .*source="),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        CountsLikelihood.from_datasets(_changed(change))


def test_second_source_by_name_is_background():
    dataset = _changed(_second_source)
    likelihood = CountsLikelihood.from_datasets(dataset, source="dwarf")
    assert "second.sigmav" in likelihood.names[1:]


def test_bins_that_do_not_match_are_refused(counts_map):
    other = map_dataset(name="fine", n_reco=7)
    other.models = [m for m in other.models if m.name != "dwarf"] + [counts_map.models["dwarf"]]
    likelihood = CountsLikelihood.from_datasets([counts_map, other], spectrum=REFERENCE)
    assert likelihood.common_edges() == pytest.approx([100, 1e4], rel=1e-6)
    with pytest.raises(ValueError, match="'fine': .* GeV is not an edge"):
        likelihood.scan(axes()[0].edges)


def test_names_that_are_no_models_are_refused(counts_map):
    with pytest.raises(ValueError, match=r"free names \['galactic'\], which are not models"):
        CountsLikelihood.from_datasets(counts_map, free=["galactic"])


def test_other_datasets_are_refused():
    with pytest.raises(TypeError, match="needs map or spectrum datasets, got str"):
        CountsLikelihood.from_datasets(["map.fits"])
