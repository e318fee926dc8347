"""Five instruments on the Crab: real counts, one nebula, one dark matter component.

The spectra are those of Nigro et al. 2019 (A&A 625, A10), the energies the masks in the files.
The nebula is the nuisance: amplitude, index and curvature are fitted at every cross-section.
"""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.datasets import Datasets, SpectrumDatasetOnOff
from gammapy.modeling import Fit
from gammapy.modeling.models import LogParabolaSpectralModel, SkyModel

from dmgammapy.datasets import CountsLikelihood
from dmgammapy.estimators import CastroEstimator, StackedDMLikelihood
from dmgammapy.targets import Target

INSTRUMENTS = {"fermi": 1, "fact": 1, "hess": 4, "magic": 2, "veritas": 2}  # observations
NAMES = ("amplitude", "alpha", "beta")
# Minuit stops at an expected decrease of 2e-6 instead of 2e-4 of stat
PRECISE = {"tol": 1e-3, "strategy": 2}
SCANNED = {"tol": 1e-3}
TARGET = Target(
    "halo", SkyCoord(83.633, 22.0145, unit="deg"), log10_jfactor=19.0, log10_jfactor_err=0.2
)
MASSES, CHANNELS = [0.5, 5] * u.TeV, ["b", "tau"]
RISE = 2.705543  # one-sided 95 %


class Crab:
    """Reads the spectra and gives them models."""

    def __init__(self, folder):
        self.folder = folder

    def read(self, instruments=tuple(INSTRUMENTS), frozen=False, mass=MASSES[0], channel="b"):
        """Datasets of some instruments with the nebula and, unless mass is None, a halo."""
        datasets = Datasets()
        for instrument in instruments:
            paths = sorted((self.folder / instrument).glob("pha_*.fits"))
            assert len(paths) == INSTRUMENTS[instrument]
            for path in paths:
                name = f"{instrument}-{path.stem.removeprefix('pha_')}"
                datasets.append(SpectrumDatasetOnOff.read(path, name=name))
        nebula = LogParabolaSpectralModel(
            amplitude="3e-11 cm-2 s-1 TeV-1", reference="1 TeV", alpha=2.3, beta=0.1
        )
        models = [SkyModel(nebula, name="crab")]
        if frozen:
            nebula.amplitude.value, nebula.alpha.value, nebula.beta.value = 3.85e-11, 2.51, 0.105
            nebula.parameters.freeze_all()
        if mass is not None:
            models += list(TARGET.to_models(mass, channel, sigmav=0 * u.Unit("cm3 s-1")))
        datasets.models = models
        return datasets

    def castro(self, datasets, masses=MASSES[:1], channels=("b",), n_points=24, rise=16):
        """Direct likelihood, all free parameters of the nebula fitted at every point."""
        return CastroEstimator(
            masses, list(channels), method="direct", n_points=n_points, delta_stat_max=rise
        ).run(datasets)


@pytest.fixture(scope="module")
def crab(test_data):
    folder = test_data / "joint_crab"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    return Crab(folder)


@pytest.fixture(scope="module")
def reference(crab):
    """Datasets after Gammapy's fit of the nebula alone."""
    datasets = crab.read(mass=None)
    assert Fit(optimize_opts=PRECISE).run(datasets).success
    return datasets


@pytest.fixture(scope="module")
def joint(crab):
    return crab.castro(crab.read(), MASSES, CHANNELS)


def brute_force(datasets, values):
    """-2 ln L of Gammapy at values of sigmav [cm3 s-1], the nebula fitted at each."""
    sigmav = datasets.models["halo"].spectral_model.sigmav
    sigmav.frozen = True
    fit = Fit(optimize_opts=SCANNED)
    out = []
    for value in values:  # each fit begins where the last one ended
        sigmav.value = value
        assert fit.optimize(datasets).success
        out.append(datasets.stat_sum())
    return np.array(out)


def test_nebula_is_that_of_gammapys_fit(crab, reference):
    fit = CountsLikelihood.from_datasets(crab.read()).fit(norm=0)
    assert fit.stat == pytest.approx(reference.stat_sum(), abs=1e-4)
    assert fit.names == [f"crab.{name}" for name in NAMES]
    for name in NAMES:
        parameter = reference.models["crab"].parameters[name]
        difference = fit.values[f"crab.{name}"] - parameter.value
        assert abs(difference) < 1e-3 * parameter.error
        assert fit.errors[f"crab.{name}"] == pytest.approx(parameter.error, rel=1e-2)


def test_nebula_is_the_published_one(crab):
    """results/fit/fit_joint.yaml of github.com/open-gamma-ray-astro/joint-crab; log10 there."""
    published = {
        "amplitude": (3.84913e-11, 1.14352e-12),
        "alpha": (2.50537, 0.025495),
        "beta": (0.236211 / np.log(10), 0.0245089 / np.log(10)),
    }
    fit = CountsLikelihood.from_datasets(crab.read()).fit(norm=0)
    for name, (value, error) in published.items():
        # released counts and those of the paper differ by little
        assert abs(fit.values[f"crab.{name}"] - value) < 0.3 * error
        assert fit.errors[f"crab.{name}"] == pytest.approx(error, rel=0.02)


@pytest.mark.parametrize("place", ["dataset", "datasets"])
def test_covariance_reaches_the_models(crab, reference, place):
    """A user may look at the models of one dataset or of all; Gammapy keeps both."""
    datasets = crab.read()
    likelihood = CountsLikelihood.from_datasets(datasets)
    likelihood.update_models(likelihood.fit(norm=0))
    assert datasets.stat_sum() == pytest.approx(reference.stat_sum(), abs=1e-4)
    expected = reference.models["crab"].covariance
    models = datasets[0].models if place == "dataset" else datasets.models
    got = models["crab"].covariance
    np.testing.assert_allclose(got.correlation, expected.correlation, atol=1e-3)
    np.testing.assert_allclose(
        np.sqrt(np.diag(got.data)), np.sqrt(np.diag(expected.data)), rtol=1e-2
    )


def test_joint_profile_is_brute_force(crab, joint):
    datasets = crab.read(mass=MASSES[0], channel="b")
    scan = joint.sigmav_scan[0, 0].value
    limit = joint.sigmav_ul.quantity[0, 0].item().value
    where = [0] + [np.abs(scan - f * limit).argmin() for f in (0.1, 0.6, 1, 1.3)]
    exact = brute_force(datasets, scan[where])
    profile = joint.delta_stat[0, 0, where] + joint.stat.data[0, 0].item()
    np.testing.assert_allclose(profile, exact, rtol=0, atol=1e-3)
    assert exact[-1] - exact.min() > 10  # far up the profile


@pytest.mark.parametrize(("row", "column"), [(0, 1), (1, 1)])
def test_limit_is_where_gammapys_profile_has_risen(crab, joint, row, column):
    best = joint.sigmav.quantity[row, column].item().value
    limit = joint.sigmav_ul.quantity[row, column].item().value
    datasets = crab.read(mass=MASSES[column], channel=CHANNELS[row])
    exact = brute_force(datasets, [0, best, limit])
    assert exact[2] - exact[1] == pytest.approx(RISE, abs=2e-3)
    assert joint.stat.data[row, column].item() == pytest.approx(exact[1], abs=1e-3)
    assert joint.ts.data[row, column].item() == pytest.approx(exact[0] - exact[1], abs=1e-3)


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_each_instrument_alone(crab, instrument):
    # one instrument knows the nebula's curvature badly, and the profile is far from a parabola;
    # H.E.S.S. begins at 0.7 TeV
    mass = MASSES[:1] if instrument == "fermi" else [2] * u.TeV
    castro = crab.castro(crab.read([instrument]), masses=mass, n_points=30)
    best, limit = (m.quantity.item().value for m in (castro.sigmav, castro.sigmav_ul))
    exact = brute_force(crab.read([instrument], mass=mass[0]), [0, best, limit])
    assert exact[2] - exact[1] == pytest.approx(RISE, abs=6e-3)
    # the lowest point of a bumpy profile lies between scan points
    assert castro.ts.data.item() == pytest.approx(exact[0] - exact[1], abs=6e-3)


def test_alone_and_joint_with_a_known_nebula(crab):
    """Nothing shared is fitted, so the joint likelihood is the sum of the instruments'."""
    joint = crab.castro(crab.read(frozen=True))
    alone = []
    for instrument in INSTRUMENTS:
        castro = crab.castro(crab.read([instrument], frozen=True))
        castro.meta.instrument = instrument
        alone.append(castro)
    summed = StackedDMLikelihood(alone, method="fixed").run()
    assert summed.sigmav_ul.data.item() == pytest.approx(joint.sigmav_ul.data.item(), rel=1e-4)
    assert summed.stat.data.item() == pytest.approx(joint.stat.data.item(), abs=1e-3)
