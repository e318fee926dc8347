"""Predicted counts on region datasets, spectra and ON/OFF data, against Gammapy."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import (
    Datasets,
    MapDatasetOnOff,
    SpectrumDataset,
    SpectrumDatasetOnOff,
)
from gammapy.irf import EDispKernelMap
from gammapy.maps import Map, MapAxis, RegionGeom, RegionNDMap
from gammapy.modeling.models import (
    FoVBackgroundModel,
    GaussianSpatialModel,
    LogParabolaSpectralModel,
    PowerLawSpectralModel,
    SkyModel,
)
from regions import CircleSkyRegion, RectangleSkyRegion

from dmgammapy.datasets._render import Renderer

from .render_helpers import (
    CENTRE,
    assert_peak_close,
    gammapy_npred,
    map_dataset,
    point,
)

CIRCLE = CircleSkyRegion(CENTRE, 0.25 * u.deg)
RECTANGLE = RectangleSkyRegion(CENTRE, 0.6 * u.deg, 0.4 * u.deg)


def gauss():
    spatial = GaussianSpatialModel(lon_0=CENTRE.ra, lat_0=CENTRE.dec, sigma="0.2 deg", frame="icrs")
    return SkyModel(PowerLawSpectralModel(), spatial, name="source")


@pytest.mark.parametrize("edisp", ["kernel", "migra", None])
@pytest.mark.parametrize("psf", ["gauss", "gradient", None])
@pytest.mark.parametrize("region", [CIRCLE, RECTANGLE])
@pytest.mark.parametrize("model", [point(0.05, 0.0), gauss(), "spectrum"])
def test_map_dataset_of_a_region(region, psf, edisp, model):
    dataset = map_dataset(psf, edisp).to_region_map_dataset(region, name="small")
    if model == "spectrum":
        model = SkyModel(PowerLawSpectralModel(), name="source")
    expected = gammapy_npred(dataset, model)
    assert_peak_close(Renderer(dataset).npred(model), expected, 1e-12)


@pytest.mark.parametrize("correction", [False, True])
@pytest.mark.parametrize("edisp", ["kernel", "migra"])
@pytest.mark.parametrize("with_position", [False, True])
def test_spectrum_dataset(edisp, correction, with_position):
    dataset = map_dataset("gauss", edisp).to_spectrum_dataset(
        CIRCLE, containment_correction=correction, name="small"
    )
    assert isinstance(dataset, SpectrumDataset)
    model = point(0.0, 0.0)
    if not with_position:
        model = SkyModel(model.spectral_model, name="source")
    renderer = Renderer(dataset)
    assert_peak_close(renderer.npred(model), gammapy_npred(dataset, model), 1e-12)
    spectra = [LogParabolaSpectralModel(beta=0.3), PowerLawSpectralModel(index=3)]
    for got, spectrum in zip(renderer.npred_spectra(model, spectra), spectra, strict=True):
        other = SkyModel(spectrum, model.spatial_model, name="source")
        assert_peak_close(got, gammapy_npred(dataset, other), 1e-12)
    background = FoVBackgroundModel(dataset_name="small")
    background.parameters["norm"].value = 0.7
    np.testing.assert_allclose(
        renderer.background([model, background]), 0.7 * dataset.background.data, rtol=1e-12
    )


def test_spectrum_is_flux_times_exposure_through_the_energy_dispersion():
    # by hand: a power law of index 2 with 1e-11 per cm2 s TeV at 1 TeV integrates to 1/a - 1/b
    true = MapAxis.from_energy_edges([1, 2, 4] * u.TeV, name="energy_true")
    reco = MapAxis.from_energy_edges([1, 2, 3, 4] * u.TeV)
    geom = RegionGeom.create(None, axes=[reco])
    dataset = SpectrumDataset(
        counts=RegionNDMap.from_geom(geom),
        exposure=RegionNDMap.from_geom(
            RegionGeom.create(None, axes=[true]), data=np.array([1e9, 2e9]), unit="m2 s"
        ),
        edisp=EDispKernelMap.from_diagonal_response(reco, true),
        name="small",
    )
    model = SkyModel(PowerLawSpectralModel(index=2, amplitude="1e-11 cm-2 s-1 TeV-1"), name="s")
    response = Renderer(dataset).true_response(model)
    np.testing.assert_allclose(response.values[:, 0, 0], [1e13, 2e13])
    np.testing.assert_allclose(response.fluxes(model.spectral_model), [5e-12, 2.5e-12])
    npred = Renderer(dataset).npred(model)
    np.testing.assert_allclose(npred[:, 0, 0], [50, 25, 25])


def on_off(dataset, cls):
    """ON/OFF data with the instrument response of a dataset."""
    geom = dataset.counts.geom
    rng = np.random.default_rng(4)
    shape = geom.data_shape
    return cls(
        counts=Map.from_geom(geom, data=rng.poisson(3.0, shape).astype(float)),
        counts_off=Map.from_geom(geom, data=rng.poisson(9.0, shape).astype(float)),
        acceptance=Map.from_geom(geom, data=1.0),
        acceptance_off=Map.from_geom(geom, data=4.0),
        exposure=dataset.exposure,
        edisp=dataset.edisp,
        psf=dataset.psf,
        name="small",
    )


@pytest.mark.parametrize("kind", ["map", "spectrum"])
def test_on_off(kind):
    parent = map_dataset("gradient", "migra")
    if kind == "map":
        dataset = on_off(parent, MapDatasetOnOff)
    else:
        dataset = on_off(parent.to_spectrum_dataset(CIRCLE), SpectrumDatasetOnOff)
    model = point(0.03, 0.04)
    copy = dataset.copy(name="small")
    copy.models = [model]
    stat = Datasets([copy]).stat_sum()
    renderer = Renderer(copy)
    assert_peak_close(renderer.npred(model), gammapy_npred(dataset, model), 1e-6)
    with pytest.raises(ValueError, match="dataset small: the background of an ON/OFF dataset"):
        renderer.background()
    assert Datasets([copy]).stat_sum() == stat


def test_on_off_spectra_of_real_instruments(test_data):
    model = SkyModel(
        LogParabolaSpectralModel(
            amplitude="3.85e-11 cm-2 s-1 TeV-1", reference="1 TeV", alpha=2.51, beta=0.24
        ),
        name="source",
    )
    folders = sorted(path for path in (test_data / "joint_crab").iterdir() if path.is_dir())
    assert len(folders) == 5
    for folder in folders:
        path = min(folder.glob("pha_*.fits"))
        dataset = SpectrumDatasetOnOff.read(path, name="small")
        expected = gammapy_npred(dataset, model)
        assert_peak_close(Renderer(dataset).npred(model), expected, 1e-12)
