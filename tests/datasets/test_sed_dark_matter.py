"""Fits of dark matter to SED likelihoods against the exact likelihood they were simulated from."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import Datasets
from gammapy.modeling import Fit
from gammapy.modeling.models import Models, SkyModel
from numpy.testing import assert_allclose
from scipy.optimize import minimize, minimize_scalar

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.modeling import DarkMatterSpectralModel, JFactorPrior
from dmgammapy.targets import Target


def model_of(name, log10_jfactor):
    spectrum = DarkMatterSpectralModel(
        100 * u.GeV, "b", log10_jfactor=log10_jfactor, spectra="dmfit"
    )
    return SkyModel(spectrum, name=name)


class Exact:
    """Simulated Poisson counts of a golden target: -2 ln L relative to each bin's minimum."""

    def __init__(self, truth, index, dataset, model):
        self.background = truth["bkg"][index]
        self.signal = truth["ref_npred"][index]
        self.counts = truth["n_inj"][index]
        spectrum = model.spectral_model
        edges = dataset.energy_edges
        flux = spectrum.energy_flux(edges[:-1], edges[1:]) / spectrum.sigmav.value
        self.norm_per_sigmav = (flux / dataset.ref_eflux).to_value("")
        self.lowest = self.poisson(np.maximum((self.counts - self.background) / self.signal, 0))

    def poisson(self, norm):
        mu = self.background + norm * self.signal
        return 2 * (mu - self.counts * np.log(mu))

    def stat(self, sigmav, shift=0.0):
        return (self.poisson(sigmav * 10**shift * self.norm_per_sigmav) - self.lowest).sum()


@pytest.fixture
def targets(test_data):
    truth = np.load(test_data / "golden" / "truth.npz")
    found = []
    for index in (3, 11):
        path = test_data / "golden" / "sed" / f"sed_target_{index:02d}_point_inj.fits"
        model = model_of(f"target_{index:02d}", float(truth["log10J_obs"][index]) + 1)
        dataset = SEDLikelihoodDataset.read(path, models=model)
        found.append((dataset, model, Exact(truth, index, dataset, model)))
    return found


def test_profile_of_sigmav_is_the_exact_one(targets):
    for dataset, model, exact in targets:
        sigmav = model.spectral_model.sigmav
        for value in [0, *np.geomspace(1e-28, 3e-25, 12)]:
            sigmav.value = value
            if (dataset.flux_pred() / dataset.ref() < dataset.scans.norm_max).all():
                assert_allclose(dataset.stat_sum(), exact.stat(value), atol=2e-4)


def test_fit_of_sigmav(targets):
    for dataset, model, exact in targets:
        best = minimize_scalar(
            lambda x, exact=exact: exact.stat(x * 1e-26), bounds=(0, 1000), method="bounded"
        )
        result = Fit().run([dataset])
        assert result.success
        assert_allclose(dataset.stat_sum(), best.fun, atol=1e-3)
        assert best.x > 0.01
        assert_allclose(model.spectral_model.sigmav.value, best.x * 1e-26, rtol=0.03)


def test_joint_fit_with_free_jfactors(targets):
    models = Models([model for _, model, _ in targets])
    shared = models[0].spectral_model.sigmav
    for model in models:
        spectrum = model.spectral_model
        spectrum.sigmav = shared
        j = spectrum.log10_jfactor
        j.prior = JFactorPrior(log10_jfactor=j.value, log10_jfactor_err=0.3)
        j.frozen = False
    for (dataset, _, _), model in zip(targets, models, strict=True):
        model.datasets_names = [dataset.name]
    datasets = Datasets([dataset for dataset, _, _ in targets])
    datasets.models = models
    assert [len(d.models) for d in datasets] == [1, 1]
    exact = [e for _, _, e in targets]

    def total(p):
        prior = (p[1] / 0.3) ** 2 + (p[2] / 0.3) ** 2
        return sum(e.stat(p[0] * 1e-26, y) for e, y in zip(exact, p[1:], strict=True)) + prior

    best = minimize(
        total, [1.0, 0, 0], bounds=[(0, 1000), (-2, 2), (-2, 2)], method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-9},
    )  # fmt: skip
    result = Fit().run(datasets)
    assert result.success
    assert_allclose(datasets.stat_sum(), best.fun, atol=2e-3)
    # the prior belongs to Datasets, not to the dataset
    alone = sum(d.stat_sum() for d in datasets)
    shifts = [m.spectral_model.log10_jfactor.prior for m in models]
    prior = sum(p(m.spectral_model.log10_jfactor) for p, m in zip(shifts, models, strict=True))
    assert_allclose(datasets.stat_sum() - alone, prior)


def test_fermipys_real_sed(test_data):
    # TS and sigmav that fermipy's castro code gives, which interpolates linearly
    dataset = SEDLikelihoodDataset.read(test_data / "fermipy" / "sed.fits", interpolation="linear")
    model = model_of("source", 19.0)
    dataset.models = model
    sigmav = model.spectral_model.sigmav
    sigmav.value = 0
    null = dataset.stat_sum()
    sigmav.value = 8.02e-25
    assert_allclose(null - dataset.stat_sum(), 23.967, atol=2e-3)
    assert Fit().run([dataset]).success
    assert_allclose(sigmav.value, 8.02e-25, rtol=1e-3)


def test_line_has_no_differential_flux():
    """A line would be seen nowhere at the bin centres, silently."""
    norm = np.linspace(0, 12, 25)
    dataset = SEDLikelihoodDataset(
        [10, 100] * u.GeV,
        [norm],
        [2 * norm],
        ref_dnde=[1e-12] * u.Unit("GeV-1 cm-2 s-1"),
        norm_type="dnde",
    )
    target = Target("draco", log10_jfactor=18.8)
    dataset.models = target.to_models("50 GeV", "gamma", spectra="line")
    with pytest.raises(ValueError, match="is a line, .* use norm_type 'eflux' or 'flux'"):
        dataset.stat_sum()
