"""Gammapy's Fit with the models and priors, against minima found without Gammapy."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table
from gammapy.datasets import Datasets, FluxPointsDataset, SpectrumDataset
from gammapy.estimators import FluxPoints
from gammapy.maps import MapAxis, RegionGeom, RegionNDMap
from gammapy.modeling import Fit
from gammapy.modeling.models import SkyModel
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar

from dmgammapy.modeling import DarkMatterSpectralModel, JFactorPrior

LN10 = np.log(10)
ENERGY = np.geomspace(1, 40, 8) * u.GeV
SPLIT = JFactorPrior(18.5, (0.15, 0.4))


def make_dataset(name, prior, true_sigmav, error):
    """Flux points of a known sigmav whose errors make sigmav known to ``error`` [cm3 s-1].

    Its stat is ((sigmav 10^y - true_sigmav) / error)^2.
    """
    model = DarkMatterSpectralModel("100 GeV", "b", "1e-26 cm3 s-1", jfactor_prior=prior)
    unit = model(ENERGY) / 1e-26  # flux per sigmav
    table = Table({"e_ref": ENERGY, "dnde": unit * true_sigmav})
    table["dnde_err"] = unit * error * np.sqrt(len(ENERGY))
    points = FluxPoints.from_table(table, sed_type="dnde", format="gadf-sed")
    return FluxPointsDataset(data=points, models=[SkyModel(model, name=name)], name=name)


def spectrum_of(dataset):
    return dataset.models[0].spectral_model


class TestOneTarget:
    @pytest.mark.parametrize("start", [1e-26, 1e-24, 1e-28])
    def test_best_fit_and_errors(self, start):
        prior = JFactorPrior(18.83, 0.2)
        datasets = Datasets([make_dataset("draco", prior, 2e-26, 2e-27)])
        model = spectrum_of(datasets[0])
        model.sigmav.value = start
        model.log10_jfactor.frozen = False
        result = Fit().run(datasets)
        assert result.success
        assert model.sigmav.value == pytest.approx(2e-26, rel=2e-3)
        assert model.log10_jfactor.value == pytest.approx(18.83, abs=2e-3)
        # the data know only the product, so J is known by its prior alone
        assert model.log10_jfactor.error == pytest.approx(0.2, rel=0.02)
        relative = np.hypot(0.1, 0.2 * LN10)
        assert model.sigmav.error == pytest.approx(2e-26 * relative, rel=0.02)
        assert datasets.stat_sum() == pytest.approx(0, abs=1e-4)

    def test_frozen_j_keeps_its_exact_value(self):
        # Gammapy rescales frozen parameters, too, which must not cost the last digit
        for center in (18.83, 18.1, 17.87, 19.36):
            prior = JFactorPrior(center, 0)
            datasets = Datasets([make_dataset("draco", prior, 2e-26, 2e-27)])
            Fit().optimize(datasets)
            model = spectrum_of(datasets[0])
            assert model.log10_jfactor.value == center
            assert model.sigmav.value == pytest.approx(2e-26, rel=1e-4)
            assert datasets.stat_sum() == pytest.approx(0, abs=1e-4)

    def test_deficit_stays_at_zero(self):
        datasets = Datasets([make_dataset("draco", JFactorPrior(18.8, 0.2), -1e-26, 2e-26)])
        Fit().optimize(datasets)
        assert spectrum_of(datasets[0]).sigmav.value == pytest.approx(0, abs=1e-29)
        # and from there to an excess
        again = make_dataset("draco", JFactorPrior(18.8, 0.2), 5e-26, 1e-27)
        again.models = datasets[0].models
        Fit().optimize(Datasets([again]))
        assert spectrum_of(again).sigmav.value == pytest.approx(5e-26, rel=1e-3)

    @pytest.mark.parametrize(
        "prior",
        [
            JFactorPrior(18.5, 0.3),
            SPLIT,
            JFactorPrior.from_table(
                np.linspace(17, 20, 61), stat=((np.linspace(17, 20, 61) - 18.5) / 0.3) ** 2
            ),
        ],
        ids=["normal", "split", "table"],
    )
    def test_profile(self, prior):
        """``min_y [stat(sigmav 10^y) + y^2 / s^2]``, as statistics.md defines it."""
        datasets = Datasets([make_dataset("draco", prior, 1e-26, 5e-27)])
        model = spectrum_of(datasets[0])
        model.log10_jfactor.frozen = False
        values = np.array([3e-27, 2e-26, 6e-26])
        model.sigmav.scan_values = values
        fit = Fit()
        profile = fit.stat_profile(datasets, model.sigmav, reoptimize=True)["stat_scan"]
        for sigmav, got in zip(values, profile, strict=True):

            def stat(y, sigmav=sigmav):
                return ((sigmav * 10**y - 1e-26) / 5e-27) ** 2 + prior.stat(y)

            best = minimize_scalar(stat, bounds=(-2, 2), method="bounded", options={"xatol": 1e-9})
            assert got == pytest.approx(best.fun, abs=2e-3)


def test_two_targets_share_sigmav():
    widths, data = (0.2, 0.4), ((2e-26, 4e-27), (8e-26, 1e-26))
    datasets = Datasets(
        [
            make_dataset(name, JFactorPrior(center, width), *point)
            for name, center, width, point in zip(
                ("draco", "segue_1"), (18.83, 19.36), widths, data, strict=True
            )
        ]
    )
    first, second = (spectrum_of(dataset) for dataset in datasets)
    second.sigmav = first.sigmav
    for model in (first, second):
        model.log10_jfactor.frozen = False
    assert len(datasets.parameters.free_unique_parameters) == 3
    result = Fit().run(datasets)
    assert result.success

    def profile(log_sigmav):
        total = 0
        for width, (mean, error) in zip(widths, data, strict=True):
            best = minimize_scalar(
                lambda y, m=mean, e=error, w=width: (
                    ((10 ** (log_sigmav + y) - m) / e) ** 2 + (y / w) ** 2
                ),
                bounds=(-2, 2),
                method="bounded",
                options={"xatol": 1e-10},
            )
            total += best.fun
        return total

    best = minimize_scalar(
        profile, bounds=(-26.5, -24.5), method="bounded", options={"xatol": 1e-9}
    )
    # 2 % of its error of 0.15 dex
    assert np.log10(first.sigmav.value) == pytest.approx(best.x, abs=3e-3)
    assert datasets.stat_sum() == pytest.approx(best.fun, abs=1e-3)
    shifts = first.log10_jfactor.value - 18.83, second.log10_jfactor.value - 19.36
    # both give way: the first one's J seems too high, the second one's too low
    assert shifts[0] < -0.05
    assert shifts[1] > 0.15
    # the width of the profile at its minimum
    step = 0.01
    curvature = (profile(best.x + step) + profile(best.x - step) - 2 * best.fun) / step**2
    expected = np.sqrt(2 / curvature)
    assert first.sigmav.error / first.sigmav.value / LN10 == pytest.approx(expected, rel=0.05)


def make_spectrum_dataset(model):
    reco = MapAxis.from_energy_bounds("1 GeV", "100 GeV", 12)
    true = reco.copy(name="energy_true")
    geom = RegionGeom(None, axes=[reco])
    dataset = SpectrumDataset.create(geom, energy_axis_true=true, name="counts")
    dataset.exposure.quantity = np.full(dataset.exposure.data.shape, 3e13) * u.Unit("cm2 s")
    dataset.edisp = None
    dataset.background = RegionNDMap.from_geom(geom, data=2.0)
    dataset.mask_safe = RegionNDMap.from_geom(geom, data=True, dtype=bool)
    dataset.models = [SkyModel(model, name="draco")]
    return dataset


def test_counts():
    """Expected counts by hand, and a fit of a Poisson likelihood to them."""
    model = DarkMatterSpectralModel(
        "80 GeV", "tau", "1e-25 cm3 s-1", jfactor_prior=JFactorPrior(18.8, 0.25), spectra="dmfit"
    )
    dataset = make_spectrum_dataset(model)
    edges = dataset.exposure.geom.axes["energy_true"].edges
    yields = model.spectra.integrate(edges, 80 * u.GeV, "tau").value
    expected = 3e13 * 1e-25 * 10**18.8 / (8 * np.pi * 80**2) * yields
    assert_allclose(dataset.npred_signal().data.ravel(), expected, rtol=1e-6)
    dataset.counts = dataset.npred()
    model.log10_jfactor.frozen = False
    model.sigmav.value = 4e-24
    datasets = Datasets([dataset])
    result = Fit().run(datasets)
    assert result.success
    assert model.sigmav.value == pytest.approx(1e-25, rel=5e-3)
    assert model.log10_jfactor.value == pytest.approx(18.8, abs=5e-3)
    # the valley of constant sigmav J is curved, which costs Minuit's Hessian some precision
    assert model.log10_jfactor.error == pytest.approx(0.25, rel=0.1)


def test_new_mass_needs_models_set_again():
    """Gammapy keeps predicted counts until a parameter changes; setting models clears them."""
    model = DarkMatterSpectralModel("80 GeV", "tau", "1e-25 cm3 s-1")
    dataset = make_spectrum_dataset(model)
    before = dataset.npred_signal().data.sum()
    model.mass = "40 GeV"
    dataset.models = dataset.models
    after = dataset.npred_signal().data.sum()
    fresh = make_spectrum_dataset(model).npred_signal().data.sum()
    assert after == fresh
    assert not np.isclose(after, before, rtol=0.01)
    assert_allclose(model.integral(1 * u.GeV, 100 * u.GeV).value * 3e13, after, rtol=1e-6)
