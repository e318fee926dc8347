"""Likelihoods of a LAT, an IACT and a table added up, against brute force and Gammapy's Fit.

Two dwarfs, one ``<sigma v>``, one J per dwarf.
"""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.datasets import Datasets, MapDataset, SpectrumDataset, SpectrumDatasetOnOff
from gammapy.irf import EDispKernelMap, PSFMap
from gammapy.maps import MapAxis, RegionGeom, WcsGeom
from gammapy.modeling import Fit
from gammapy.modeling.models import FoVBackgroundModel
from gammapy.stats import wstat
from scipy.optimize import minimize_scalar

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import CastroEstimator, CastroMaps, StackedDMLikelihood
from dmgammapy.modeling import DarkMatterSpectralModel, JFactorPrior
from dmgammapy.targets import Target

MASS, CHANNEL = 1 * u.TeV, "b"
SIGMAV = 3e-24  # of the injected signal, cm3 s-1
WIDTHS = {"draco": 0.16, "segue_1": (0.2, 0.35)}
POSITIONS = {
    "draco": SkyCoord(260.05, 57.92, unit="deg"),
    "segue_1": SkyCoord(151.77, 16.08, unit="deg"),
}
# log10 J [GeV2 cm-5] within the region each instrument integrates over
JFACTORS = {
    "draco": {"lat": 18.8, "iact": 18.45, "array": 18.6},
    "segue_1": {"lat": 19.3, "iact": 19.2, "array": 19.1},
}
LAT_EXPOSURE, IACT_EXPOSURE = 3e11, 2e13  # cm2 s
ALPHA = 0.2


def target(name, instrument="lat"):
    return Target(
        name, POSITIONS[name], log10_jfactor=JFACTORS[name][instrument],
        log10_jfactor_err=WIDTHS[name],
    )  # fmt: skip


def unit_flux(log10_jfactor, edges, eflux=False):
    """Flux (or energy flux) in bins for sigmav = 1e-26 cm3 s-1, from the Gammapy model."""
    model = DarkMatterSpectralModel(MASS, CHANNEL, "1e-26 cm3 s-1", log10_jfactor=log10_jfactor)
    if eflux:
        return model.energy_flux(edges[:-1], edges[1:]).to_value("GeV cm-2 s-1")
    return model.integral(edges[:-1], edges[1:]).to_value("cm-2 s-1")


def energy_axes(n_reco=8, n_true=None):
    reco = MapAxis.from_energy_bounds("0.1 TeV", "2 TeV", nbin=n_reco)
    if n_true is None:
        return reco, reco.copy(name="energy_true")
    return reco, MapAxis.from_energy_bounds("0.06 TeV", "3 TeV", nbin=n_true, name="energy_true")


def on_off(name, seed, sigma=None, instrument="iact"):
    """ON/OFF spectrum with the signal; flat exposure, no energy dispersion unless sigma."""
    reco, true = energy_axes(n_true=None if sigma is None else 24)
    center = POSITIONS[name]
    region = RegionGeom.create(f"icrs;circle({center.ra.deg}, {center.dec.deg}, 0.1)", axes=[reco])
    plain = SpectrumDataset.create(region, energy_axis_true=true, name=f"onoff-{name}")
    plain.exposure.quantity = np.full(plain.exposure.data.shape, IACT_EXPOSURE) * u.Unit("cm2 s")
    plain.edisp = None if sigma is None else EDispKernelMap.from_gauss(reco, true, sigma, 0)
    plain.mask_safe.data[:] = True
    dataset = SpectrumDatasetOnOff.from_spectrum_dataset(
        dataset=plain, acceptance=1, acceptance_off=1 / ALPHA
    )
    dataset.models = target(name, instrument).to_models(
        MASS, CHANNEL, sigmav=SIGMAV * u.Unit("cm3 s-1")
    )
    background = plain.counts.copy()
    background.data[:] = np.geomspace(200, 1, reco.nbin)[:, None, None]
    dataset.fake(background, random_state=seed)
    return dataset


def table_stat(name, sigmav):
    """What a table of another experiment holds: a Poisson count, by sigmav [cm3 s-1]."""
    signal, background, counts = {"draco": (6.0, 20.0, 24), "segue_1": (25.0, 40.0, 42)}[name]
    mu = signal * sigmav / 1e-24
    return 2 * (mu - counts * np.log1p(mu / background))


def write_table(folder, name):
    """Glory Duck table: log10 J and mass, then sigmav descending and -2 ln L."""
    sigmav = np.append(10.0 ** np.arange(-21, -27.01, -0.02), 0)
    lines = [f"{JFACTORS[name]['array']} {MASS.to_value('GeV'):g}"]
    lines += [f"{s:.15e} {table_stat(name, s):.15e}" for s in sigmav]
    path = folder / f"bb_{name.replace('_', '')}_array.txt"
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path


class LATCounts:
    """Counting experiment in every energy bin, with the signal."""

    edges = np.geomspace(0.5, 500, 13) * u.GeV

    def __init__(self, name, seed):
        center = np.sqrt(self.edges[1:] * self.edges[:-1]).value
        self.name = name
        self.ref_eflux = np.full(len(center), 1e-9)  # GeV cm-2 s-1
        self.npred = self.ref_eflux / center * LAT_EXPOSURE  # of norm 1
        self.background = 40.0 * (center / 0.6) ** -1.4
        self.norm = unit_flux(JFACTORS[name]["lat"], self.edges, eflux=True) / self.ref_eflux
        signal = SIGMAV / 1e-26 * self.norm * self.npred
        self.counts = np.random.default_rng(seed).poisson(self.background + signal)

    def stat(self, norm):
        """-2 ln L of every bin, norm (..., n_bins)."""
        mu = self.background + self.npred * norm
        return 2 * (mu - self.counts * np.log(mu))

    def dataset(self):
        """Scans over ten standard deviations or so, with absolute ``stat``."""
        width = 10 * np.sqrt(self.counts + 1) + 10
        norm = np.linspace(0, width / self.npred, 100)
        stat = self.stat(norm)
        return SEDLikelihoodDataset(
            self.edges, norm.T, (stat - stat.min(axis=0)).T, stat=stat.min(axis=0),
            ref_eflux=self.ref_eflux * u.Unit("GeV cm-2 s-1"), name=f"sed-{self.name}",
            instrument="lat", models=target(self.name).to_models(MASS, CHANNEL),
        )  # fmt: skip


class BruteForce:
    """Exact -2 ln L of all instruments, J minimised target by target."""

    def __init__(self, seds, on_offs):
        self.terms = {}
        for name, dataset in on_offs.items():
            edges = dataset.counts.geom.axes["energy"].edges
            npred = IACT_EXPOSURE * unit_flux(JFACTORS[name]["iact"], edges)
            self.terms[name] = seds[name], dataset, npred

    def target(self, name, sigmav):
        """Of one target with J as observed; sigmav [cm3 s-1]."""
        counts, dataset, npred = self.terms[name]
        value = np.sum(counts.stat(sigmav / 1e-26 * counts.norm))
        value += np.sum(
            wstat(
                dataset.counts.data.ravel(), dataset.counts_off.data.ravel(), ALPHA,
                sigmav / 1e-26 * npred,
            )
        )  # fmt: skip
        return value + table_stat(name, sigmav)

    def __call__(self, sigmav):
        """J profiled."""
        total = 0.0
        for name in self.terms:
            prior = JFactorPrior(0.0, WIDTHS[name])
            best = minimize_scalar(
                lambda y, n=name, p=prior: self.target(n, sigmav * 10**y) + float(p.stat(y)),
                bounds=(-1.5, 1.5), method="bounded", options={"xatol": 1e-9},
            )  # fmt: skip
            total += best.fun
        return total


@pytest.mark.parametrize("method", ["bins", "direct"])
def test_stack_of_three_instruments(tmp_path, method):
    castros, seds, on_offs = [], {}, {}
    for i, name in enumerate(JFACTORS):
        seds[name] = LATCounts(name, seed=40 + i)
        castros.append(CastroEstimator([MASS], [CHANNEL]).run(seds[name].dataset()))
        on_offs[name] = on_off(name, seed=50 + i)
        # exact without energy dispersion, in bins too if the model's flux is what is compared
        estimator = CastroEstimator(
            [MASS], [CHANNEL], method=method, norm_type="flux", delta_stat_max=80, n_points=40
        )
        castro = estimator.run(on_offs[name])
        castro.meta.instrument = "iact"
        castros.append(castro)
        table = CastroMaps.read(write_table(tmp_path, name), target=name)
        table.meta.prior = JFactorPrior(table.meta.log10_jfactor, WIDTHS[name])
        castros.append(table)
    stack = StackedDMLikelihood(castros)
    combined = stack.run()
    exact = BruteForce(seds, on_offs)

    for name in JFACTORS:
        for instrument, log10_jfactor in JFACTORS[name].items():
            entry = combined.meta.contributors[f"{name} ({instrument})"]
            assert entry["log10_jfactor"] == log10_jfactor
    scan = combined.sigmav_scan[0, 0].value
    best, limit = combined.sigmav.data.item(), combined.sigmav_ul.data.item()
    where = [0] + [np.abs(scan - f * limit).argmin() for f in (0.03, 0.2, 0.5, 0.8, 1, 1.5, 3.5)]
    values = np.array([exact(s) for s in scan[where]])
    profile = combined.delta_stat[0, 0, where]
    assert values[-1] - values.min() > 20
    np.testing.assert_allclose(profile - profile[0], values - values[0], rtol=0, atol=1e-3)
    found = minimize_scalar(
        lambda x: exact(10**x), bounds=np.log10([best / 2, 2 * best]), method="bounded"
    )
    assert exact(best) == pytest.approx(found.fun, abs=1e-3)
    assert combined.ts.data.item() == pytest.approx(exact(0) - found.fun, abs=2e-3)
    assert exact(limit) - found.fun == pytest.approx(2.705543, abs=2e-3)


def map_dataset(name, seed):
    """Map around a dwarf with a background whose norm is free, and the signal."""
    reco, true = energy_axes(n_true=24)
    geom = WcsGeom.create(skydir=POSITIONS[name], width=1, binsz=0.05, axes=[reco])
    dataset = MapDataset.create(geom, energy_axis_true=true, name=f"map-{name}")
    dataset.exposure.quantity = np.full(dataset.exposure.data.shape, IACT_EXPOSURE) * u.Unit(
        "cm2 s"
    )
    dataset.psf = PSFMap.from_gauss(true, sigma=0.08 * u.deg)
    dataset.edisp = EDispKernelMap.from_gauss(reco, true, 0.12, 0)
    dataset.background.data[:] = np.geomspace(3, 0.02, reco.nbin)[:, None, None]
    dataset.mask_safe.data[:] = True
    background = FoVBackgroundModel(dataset_name=dataset.name)
    background.spectral_model.norm.min = 0
    source = target(name).to_models(MASS, CHANNEL, sigmav=SIGMAV * u.Unit("cm3 s-1"))
    dataset.models = [background, *source]
    dataset.fake(seed)
    return dataset


@pytest.fixture
def mixed():
    """SED likelihoods of both dwarfs, a map of one and ON/OFF spectra of both; one J each."""
    datasets = Datasets()
    for i, name in enumerate(JFACTORS):
        dataset = LATCounts(name, seed=40 + i).dataset()
        models = list(dataset.models)
        members = [dataset, on_off(name, seed=60 + i, sigma=0.15, instrument="lat")]
        if name == "draco":
            members.append(map_dataset(name, seed=70))
            models.append(members[-1].background_model)
        for member in members:
            member.models = models  # the dwarf's model is the same object in all of them
        datasets.extend(members)
    return datasets


def test_one_gammapy_fit(mixed):
    estimator = CastroEstimator([MASS], [CHANNEL], method="direct", n_points=40, delta_stat_max=80)
    castros = estimator.run(mixed)
    # two SEDs, and one joint likelihood of the counts of each dwarf
    assert [c.meta.target for c in castros] == ["draco", "draco", "segue_1", "segue_1"]
    for castro in castros:
        castro.meta.instrument = castro.meta.instrument or "counts"
    combined = StackedDMLikelihood(castros).run()

    spectra = [mixed.models[name].spectral_model for name in JFACTORS]
    spectra[1].sigmav = spectra[0].sigmav
    sigmav = spectra[0].sigmav
    for spectrum in spectra:
        spectrum.log10_jfactor.frozen = False
        spectrum.log10_jfactor.error = 0.1  # Minuit's first step, which else is 10 dex
    free = mixed.parameters.free_unique_parameters.names
    assert sorted(free) == ["log10_jfactor", "log10_jfactor", "norm", "sigmav"]
    fit = Fit(optimize_opts={"tol": 1e-3, "strategy": 2})
    sigmav.value = SIGMAV
    assert fit.run(mixed).success

    minimum, best = mixed.stat_sum(), sigmav.value
    found = combined.sigmav.data.item()
    error, unit = sigmav.error, combined.reference.data.item()
    assert abs(found - best) < 0.01 * error
    # stat_sum of an SED likelihood is relative to the minimum of every bin
    offset = sum(d.stat.sum() for d in mixed if isinstance(d, SEDLikelihoodDataset))
    assert combined.stat.data.item() == pytest.approx(minimum + offset, abs=1e-3)

    # Minuit's second derivatives in the curved valley of sigmav and J are good to some per cent
    scan, profile = combined.sigmav_scan[0, 0].value, combined.delta_stat[0, 0]
    near = np.abs(scan / best - 1) < 0.3 * error / best
    curvature = 2 * np.polyfit(np.log(scan[near] / best), profile[near], 4)[-3]
    assert np.sqrt(2 / curvature) == pytest.approx(error / best, rel=0.05)

    # from the minimum outwards, each fit begins where the last one ended
    start = [p.value for p in mixed.parameters]
    sigmav.frozen = True
    up, down = (combined[f"norm_err{side}"].data.item() * unit for side in "pn")
    rise = {found + up: 1.0, found - down: 1.0, combined.sigmav_ul.data.item(): 2.705543}
    rise |= {scan[np.abs(scan - f * best).argmin()]: None for f in (1.3, 3, 4.5, 0.2, 0.05)}
    rise |= {0.0: combined.ts.data.item()}
    above = sorted(value for value in rise if value > best)
    below = sorted((value for value in rise if value < best), reverse=True)
    for values in (above, below):
        for parameter, value in zip(mixed.parameters, start, strict=True):
            parameter.value = value
        for value in values:
            sigmav.value = value
            assert fit.optimize(mixed).success
            expected = rise[value]
            if expected is None:
                expected = profile[np.abs(scan - value).argmin()]
            assert mixed.stat_sum() - minimum == pytest.approx(expected, abs=1e-3)
