"""Inputs at the edge of what a counts likelihood can take: right, or a clear error."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import Datasets
from gammapy.modeling import Fit
from gammapy.modeling.models import (
    ExpCutoffPowerLawSpectralModel,
    GaussianPrior,
    GeneralizedGaussianPrior,
    LogParabolaSpectralModel,
    PowerLawSpectralModel,
    SkyModel,
)
from scipy.optimize import brentq

from dmgammapy.datasets import CountsLikelihood
from dmgammapy.estimators import CastroEstimator

from .counts_helpers import TARGET, map_dataset, on_off_dataset

REFERENCE = PowerLawSpectralModel(index=2, amplitude="1e-13 cm-2 s-1 TeV-1")


def with_neighbour(spectral, name="map", **kwargs):
    """Map whose neighbour has another spectrum, with free parameters."""
    dataset = map_dataset(name=name, **kwargs)
    old = dataset.models["neighbour"]
    new = SkyModel(spectral, old.spatial_model, name="neighbour")
    dataset.models = [new, *(m for m in dataset.models if m.name != "neighbour")]
    return dataset


def test_models_that_share_sigmav_with_the_source_are_refused():
    dataset = map_dataset()
    halo = TARGET.to_models(mass="1 TeV", channel="b")[0].copy(name="halo")
    halo.spectral_model.sigmav = dataset.models["dwarf"].spectral_model.sigmav
    dataset.models = [*dataset.models, halo]
    for method in ("bins", "direct"):
        with pytest.raises(ValueError, match=r"models \['halo'\] share sigmav with the source"):
            CastroEstimator([1] * u.TeV, ["b"], method=method, source="dwarf").run(dataset)
    fit = CountsLikelihood.from_datasets(dataset, source="dwarf").fit()
    result = Fit().run(Datasets([dataset]))
    assert fit.stat == pytest.approx(result.total_stat, abs=1e-3)


def test_datasets_of_one_name_are_kept_apart():
    first, second = map_dataset(sigmav=0), map_dataset(sigmav=0, seed=7)
    second.models = [m if m.name != "dwarf" else m.copy(name="other") for m in second.models]
    estimator = CastroEstimator([1] * u.TeV, ["b"])
    both = estimator.run([first, second])
    assert [castro.meta.target for castro in both] == ["dwarf", "other"]
    for castro, dataset in zip(both, (first, second), strict=True):
        np.testing.assert_array_equal(
            castro["norm_ul"].data, estimator.run(dataset)["norm_ul"].data
        )


@pytest.mark.parametrize("n", [1, 3])
def test_counts_without_expected_background(n):
    """Counts where nothing but the signal is expected: the sum of the bins in closed form."""
    dataset = map_dataset(sigmav=0)
    dataset.models = [dataset.models["dwarf"]]
    dataset.background.data[:5] = 1.0
    dataset.background.data[5:] = 0.0
    dataset.counts.data[:5] = 1.0
    dataset.counts.data[5:] = 0.0
    center = dataset.counts.data.shape[1] // 2
    dataset.counts.data[5, center, center] = n
    unit = dataset.models["dwarf"].spectral_model
    unit.sigmav.value = 1e-24
    mu = dataset.npred_signal().data
    unit.sigmav.value = 0
    used = dataset.mask_safe.data
    mu, counts = mu[used], dataset.counts.data[used]
    background = dataset.background.data[used]

    def stat(s):
        total = background + s * mu
        return 2 * (total - counts * np.log(np.maximum(total, 1e-300))).sum()

    grid = np.geomspace(1e-4, 1e2, 4001)
    best = min(map(stat, grid))
    start = grid[np.argmin([stat(s) for s in grid])]
    exact = brentq(lambda s: stat(s) - best - 2.705543, start, 1e3 * start) * 1e-24
    direct = CastroEstimator([1] * u.TeV, ["b"], method="direct").run(dataset)
    assert direct.sigmav_ul.quantity.value.squeeze() == pytest.approx(exact, rel=0.01)
    scan = CountsLikelihood.from_datasets(dataset, spectrum=REFERENCE).scan(n_points=30)[5]
    assert scan.norm * scan.npred == pytest.approx(n, rel=1e-3)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_negative_norms_do_not_depend_on_the_start(seed):
    dataset = map_dataset(sigmav=0, seed=seed)
    norm = dataset.models["map-bkg"].spectral_model.norm
    limits = []
    for start in (0.1, 0.7, 1.0):
        norm.value = start
        scans = CountsLikelihood.from_datasets(dataset, spectrum=REFERENCE).scan(negative=True)
        limits.append([s.norm_ul for s in scans])
    np.testing.assert_allclose(limits[0], limits[2], rtol=1e-4)
    np.testing.assert_allclose(limits[1], limits[2], rtol=1e-4)


def test_priors_that_cannot_be_honoured_are_refused():
    dataset = map_dataset()
    amplitude = dataset.models["neighbour"].spectral_model.amplitude
    amplitude.prior = GeneralizedGaussianPrior(mu=6e-13, sigma=1e-13, eta=0.25)
    with pytest.raises(ValueError, match="the prior on amplitude is a GeneralizedGaussianPrior"):
        CountsLikelihood.from_datasets(dataset, free=["neighbour"])
    amplitude.prior = None
    sigmav = dataset.models["dwarf"].spectral_model.sigmav
    sigmav.prior = GaussianPrior(mu=5e-24, sigma=1e-25)
    with pytest.raises(ValueError, match="the source's sigmav has a prior"):
        CountsLikelihood.from_datasets(dataset)


def test_priors_of_a_fit_hold_norms_at_their_bound():
    """A norm that the fit puts to zero stays there when priors are tight."""
    dataset = map_dataset(sigmav=0)
    dataset.counts.data = np.floor(dataset.background.data)
    x, y = dataset.counts.geom.to_image().coord_to_idx((83.93 * u.deg, 22.31 * u.deg))
    dataset.counts.data[:, y[0] - 3 : y[0] + 4, x[0] - 3 : x[0] + 4] = 0
    estimator = CastroEstimator([1] * u.TeV, ["b"], cov_scale=1e-4)
    tight = estimator.run(dataset).sigmav_ul.quantity.value.squeeze()
    likelihood = CountsLikelihood.from_datasets(dataset)
    likelihood.update_models(likelihood.fit())
    assert dataset.models["neighbour"].spectral_model.amplitude.value == 0
    estimator = CastroEstimator([1] * u.TeV, ["b"], free_background="fixed")
    fixed = estimator.run(dataset).sigmav_ul.quantity.value.squeeze()
    assert tight == pytest.approx(fixed, rel=5e-3)


def test_maximum_of_the_source_is_honoured():
    dataset = map_dataset()
    dataset.models["dwarf"].spectral_model.sigmav.max = 1e-24
    assert CountsLikelihood.from_datasets(dataset).fit().values["dwarf.sigmav"] == 1e-24


def test_norm_linked_to_another_parameter_is_refused():
    dataset = map_dataset()
    amplitude = dataset.models["neighbour"].spectral_model.amplitude
    first = PowerLawSpectralModel(amplitude=amplitude)
    second = PowerLawSpectralModel(amplitude="1e-13 cm-2 s-1 TeV-1", index=3)
    other = SkyModel(first + second, dataset.models["neighbour"].spatial_model, name="sum")
    dataset.models = [*dataset.models, other]
    with pytest.raises(ValueError, match="amplitude of model 'sum' is linked to the norm"):
        CountsLikelihood.from_datasets(dataset)


def test_energies_beyond_the_data_are_refused():
    with pytest.raises(ValueError, match="reach beyond the data"):
        CastroEstimator([1] * u.TeV, ["b"], energy_edges=[0.01, 10] * u.TeV).run(map_dataset())


def test_likelihood_follows_updated_models():
    dataset = with_neighbour(
        LogParabolaSpectralModel(amplitude="6e-13 cm-2 s-1 TeV-1", alpha=1.5, beta=0.1)
    )
    likelihood = CountsLikelihood.from_datasets(dataset)
    fit = likelihood.fit()
    likelihood.update_models(fit)
    assert likelihood.stat_sum() == pytest.approx(fit.stat, abs=1e-5)
    # Gammapy convolves in single precision
    assert Datasets([dataset]).stat_sum() == pytest.approx(fit.stat, abs=1e-3)


def test_scans_leave_the_likelihood_as_it_was():
    dataset = map_dataset()
    likelihood = CountsLikelihood.from_datasets(dataset)
    before = likelihood.stat_sum(), likelihood.fit().values["dwarf.sigmav"]
    likelihood.scanner().scan([np.ones(dataset.counts.data.shape)])
    other = likelihood.with_counts([dataset.counts.data + 1])
    other.scanner().scan([np.ones(dataset.counts.data.shape)])
    other.fit()
    assert (likelihood.stat_sum(), likelihood.fit().values["dwarf.sigmav"]) == before


def test_linked_parameters_get_their_errors():
    dataset = map_dataset()
    first = dataset.models["neighbour"]
    second = first.copy(name="second")
    second.spatial_model.lon_0.value -= 0.6
    second.spectral_model.amplitude = first.spectral_model.amplitude
    dataset.models = [*dataset.models, second]
    likelihood = CountsLikelihood.from_datasets(dataset)
    fit = likelihood.fit()
    likelihood.update_models(fit)
    for name in ("neighbour", "second"):
        error = dataset.models[name].spectral_model.amplitude.error
        assert error == pytest.approx(fit.errors["neighbour.amplitude"])


def test_failed_fit_leaves_no_trace(monkeypatch):
    dataset = with_neighbour(
        LogParabolaSpectralModel(amplitude="6e-13 cm-2 s-1 TeV-1", alpha=1.5, beta=0.1)
    )
    likelihood = CountsLikelihood.from_datasets(dataset)
    before = likelihood.stat_sum()
    monkeypatch.setattr("dmgammapy.datasets._counts_fit.MAX_OUTER", 1)
    monkeypatch.setattr("dmgammapy.datasets._counts_fit.MAX_QUASI_NEWTON", 1)
    with pytest.raises(RuntimeError, match="did not converge"):
        likelihood.fit()
    assert likelihood.stat_sum() == before


@pytest.mark.parametrize("seed", range(8))
def test_bright_maps_converge(seed):
    """Rounding of large terms must not stop the line search."""
    dataset = map_dataset(sigmav=0, seed=seed)
    dataset.exposure.data *= 30
    dataset.background.data *= 30
    dataset.fake(seed)
    for scan in CountsLikelihood.from_datasets(dataset, spectrum=REFERENCE).scan(n_points=10):
        assert np.isfinite(scan.norm_ul)


def test_off_without_acceptance_is_named():
    dataset = on_off_dataset()
    dataset.acceptance_off.data[2] = 0
    with pytest.raises(ValueError, match="acceptance_off is zero or missing in 1 bins"):
        CountsLikelihood.from_datasets(dataset)


def test_cutoff_in_small_units_is_minuits():
    spectral = ExpCutoffPowerLawSpectralModel(
        amplitude="6e-13 cm-2 s-1 TeV-1", index=2.0, lambda_="3e-7 MeV-1"
    )
    dataset = with_neighbour(spectral)
    fit = CountsLikelihood.from_datasets(dataset).fit()
    result = Fit().run(Datasets([dataset]))
    assert fit.stat == pytest.approx(result.total_stat, abs=2e-3)


@pytest.mark.parametrize(
    ("free", "error"),
    [(3, TypeError), (None, TypeError), (1 * u.m, ValueError), (["dwarf"], ValueError)],
)
def test_wrong_free_is_refused(free, error):
    with pytest.raises(error, match="free"):
        CountsLikelihood.from_datasets(map_dataset(), free=free)


def test_wrong_arguments_are_refused():
    dataset = map_dataset()
    with pytest.raises(TypeError, match="must be a Gammapy spectral model"):
        CastroEstimator([1] * u.TeV, ["b"], reference_model=dataset.models["dwarf"])
    with pytest.raises(ValueError, match="ascending energies with a unit"):
        CastroEstimator([1] * u.TeV, ["b"], energy_edges=[1, 10])
    with pytest.raises(ValueError, match="needs 1 arrays, got 2"):
        CountsLikelihood.from_datasets(dataset).with_counts([dataset.counts, dataset.counts])
    with pytest.raises(ValueError, match="at least one dataset"):
        CastroEstimator([1] * u.TeV, ["b"]).run([])


def test_datasets_that_differ_in_redshift_are_refused():
    first, second = map_dataset(), on_off_dataset()
    second.models["dwarf"].spectral_model.redshift = 1.0
    with pytest.raises(ValueError, match="k or redshift"):
        CastroEstimator([1] * u.TeV, ["b"]).run([first, second])


@pytest.mark.parametrize("free", ["fixed", "free"])
def test_asimov_data_give_the_limit_of_their_likelihood(free):
    """Best fits at zero up to rounding: the scan must not gather its points there."""
    dataset = map_dataset(sigmav=0)
    dataset.counts.data = dataset.npred().data
    likelihood = CountsLikelihood.from_datasets(dataset, spectrum=REFERENCE, free=free)
    estimator = CastroEstimator([1] * u.TeV, ["b"], reference_model=REFERENCE, free_background=free)
    sed = estimator.estimate_sed(dataset)
    fine = np.linspace(0, 5, 60)
    for b, scan in enumerate(likelihood.scan()):
        assert abs(scan.norm) < 1e-3 * scan.norm_ul
        norm = fine * scan.norm_ul
        exact = likelihood.scan(norm_scan=norm)[b]
        grid = np.tile(norm, (sed.n_bins, 1))
        np.testing.assert_allclose(sed.scans.stat(grid)[b], exact.stat_scan - exact.stat, atol=1e-3)
    assert (sed.ts < 1e-4).all()
    castro = estimator.run(dataset)
    assert castro["ts"].data.squeeze() < 1e-3


@pytest.mark.parametrize("negative", [False, True])
def test_scan_follows_an_excess_over_little_background(negative):
    """-2 ln L bends where the signal equals the background, far below the best fit."""
    dataset = map_dataset(sigmav=1e-24, seed=12, width=1.2)
    dataset.exposure.data *= 4
    dataset.background.data *= 0.05
    dataset.fake(12)
    likelihood = CountsLikelihood.from_datasets(dataset, spectrum=REFERENCE, free="fixed")
    estimator = CastroEstimator(
        [1] * u.TeV, ["b"], reference_model=REFERENCE, free_background="fixed",
        negative_norm=negative,
    )  # fmt: skip
    sed = estimator.estimate_sed(dataset)
    edges = dataset.counts.geom.axes["energy"].edges
    for b, scan in enumerate(likelihood.scan(negative=negative)):
        norm = np.linspace(scan.norm_scan[0], scan.norm_scan[-1], 100)
        exact = likelihood.scan(edges[b : b + 2], norm_scan=norm, negative=negative)[0]
        rise = exact.stat_scan - scan.stat
        got = sed.scans.stat(np.tile(norm, (sed.n_bins, 1)))[b]
        near = rise < 30
        np.testing.assert_allclose(got[near], rise[near], atol=0.25 if negative else 0.08)
