"""Predicted counts of single models against Gammapy's own evaluator."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.datasets import Datasets
from gammapy.maps import Map, WcsGeom
from gammapy.modeling.models import (
    ConstantSpatialModel,
    DiskSpatialModel,
    FoVBackgroundModel,
    GaussianSpatialModel,
    GaussianTemporalModel,
    LogParabolaSpectralModel,
    PointSpatialModel,
    PowerLawNormSpectralModel,
    PowerLawSpectralModel,
    SkyModel,
    TemplateNPredModel,
    TemplateSpatialModel,
    TemplateSpectralModel,
)

from dmgammapy.datasets._render import Renderer
from dmgammapy.modeling import DarkMatterSpectralModel

from .render_helpers import (
    CENTRE,
    ENERGY_TRUE,
    assert_peak_close,
    gammapy_npred,
    map_dataset,
    point,
)

# Gammapy convolves in single precision by FFT: its rounding, relative to the peak
ROUNDING = 1e-6
EXACT = 1e-13
# pixel centre, between pixels, near the edge, outside but in reach of the PSF
OFFSETS = [(0.05, 0.05), (0.013, -0.271), (-0.93, 0.88), (1.12, -0.3), (-1.1, -1.15)]


@pytest.mark.parametrize(("lon", "lat"), OFFSETS)
@pytest.mark.parametrize("psf", ["gauss", "gradient", "single"])
@pytest.mark.parametrize("margin", [0.0, 1.0])
def test_point_source_is_gammapys(psf, margin, lon, lat):
    dataset = map_dataset(psf, margin=margin)
    model = point(lon, lat)
    expected = gammapy_npred(dataset, model)
    # of the source, be it in the counts or outside
    peak = gammapy_npred(dataset, point(0.05, 0.05)).max()
    assert (expected.max() > 1e-3 * peak) == (margin > 0 or max(abs(lon), abs(lat)) < 1)
    np.testing.assert_allclose(Renderer(dataset).npred(model), expected, atol=ROUNDING * peak)
    exact = Renderer(dataset, single_precision=True)
    np.testing.assert_allclose(exact.npred(model), expected, rtol=EXACT, atol=EXACT * peak)


@pytest.mark.parametrize("proj", ["CAR", "TAN", "AIT"])
@pytest.mark.parametrize("frame", ["icrs", "galactic"])
def test_point_source_in_other_projections_and_frames(proj, frame):
    dataset = map_dataset("gradient", "migra", margin=0.5, proj=proj)
    model = point(0.33, -0.42)
    position = model.spatial_model.position.transform_to(frame).data
    model.spatial_model = PointSpatialModel(lon_0=position.lon, lat_0=position.lat, frame=frame)
    expected = gammapy_npred(dataset, model)
    assert_peak_close(Renderer(dataset).npred(model), expected, ROUNDING)


def test_kernel_is_gammapys():
    dataset = map_dataset("gradient", margin=0.5)
    for offset in (-0.9, 0.0, 0.77):
        model = point(offset, 0.1)
        kernel = Renderer(dataset)._kernels.kernel(model.position)
        expected = dataset.psf.get_psf_kernel(geom=dataset.exposure.geom, position=model.position)
        assert kernel.psf_kernel.data.shape == expected.data.shape
        np.testing.assert_allclose(kernel.psf_kernel.data, expected.data, atol=1e-8)


def test_sources_share_a_kernel_only_where_the_psf_is_the_same():
    same, gradient = (Renderer(map_dataset(psf))._kernels for psf in ("gauss", "gradient"))
    here, there = point(-0.5, 0).position, point(0.5, 0).position
    assert same.kernel(here) is same.kernel(there)
    assert gradient.kernel(here) is gradient.kernel(here)
    assert gradient.kernel(here) is not gradient.kernel(there)
    # the PSF narrows along the columns, that is to lower right ascension
    assert gradient.kernel(here).data.max() > gradient.kernel(there).data.max()


@pytest.mark.parametrize("psf", [None, "gauss"])
@pytest.mark.parametrize("edisp", [None, "kernel", "migra"])
@pytest.mark.parametrize("off", [(), ("psf",), ("edisp",), ("psf", "edisp")])
def test_irfs_absent_or_switched_off(psf, edisp, off):
    dataset = map_dataset(psf, edisp)
    apply_irf = {name: name not in off for name in ("exposure", "psf", "edisp")}
    model = point(0.21, 0.34, apply_irf=apply_irf)
    expected = gammapy_npred(dataset, model)
    assert_peak_close(Renderer(dataset).npred(model), expected, ROUNDING)


def test_model_that_bypasses_the_exposure_has_counts_for_fluxes():
    dataset = map_dataset()
    energy = ENERGY_TRUE.edges
    model = SkyModel(
        TemplateSpectralModel(energy, 30 * energy.value**-2 / u.TeV),
        point(0.1, 0.1).spatial_model,
        apply_irf={"exposure": False, "psf": True, "edisp": True},
        name="source",
    )
    renderer = Renderer(dataset)
    assert renderer.true_response(model).flux_unit == u.one
    assert_peak_close(renderer.npred(model), gammapy_npred(dataset, model), ROUNDING)


def template(energy_dependent):
    axes = [ENERGY_TRUE] if energy_dependent else []
    geom = WcsGeom.create(skydir=CENTRE, binsz=0.25, width=4, axes=axes)
    shape = geom.data_shape
    data = 1 + np.random.default_rng(3).random(shape)
    unit = "cm-2 s-1 TeV-1 sr-1" if energy_dependent else "sr-1"
    scale = 1e-9 if energy_dependent else 1.0
    spatial = TemplateSpatialModel(
        Map.from_geom(geom, data=scale * data, unit=unit),
        normalize=not energy_dependent,
        filename="template.fits",
    )
    spectral = PowerLawNormSpectralModel() if energy_dependent else PowerLawSpectralModel()
    return SkyModel(spectral, spatial, name="source")


def extended(kind):
    position = {"lon_0": CENTRE.ra + 0.3 * u.deg, "lat_0": CENTRE.dec, "frame": "icrs"}
    if kind == "gauss":
        spatial = GaussianSpatialModel(sigma="0.2 deg", e=0.4, phi="30 deg", **position)
    elif kind == "disk":
        spatial = DiskSpatialModel(r_0="0.5 deg", **position)
    else:
        spatial = ConstantSpatialModel()
    return SkyModel(PowerLawSpectralModel(), spatial, name="source")


@pytest.mark.parametrize("margin", [0.0, 1.0])
@pytest.mark.parametrize("psf", ["gauss", "gradient", None])
@pytest.mark.parametrize("kind", ["gauss", "disk", "isotropic", "image", "cube"])
def test_extended_models_are_gammapys(kind, psf, margin):
    dataset = map_dataset(psf, "migra", margin=margin)
    model = template(kind == "cube") if kind in ("image", "cube") else extended(kind)
    expected = gammapy_npred(dataset, model)
    assert_peak_close(Renderer(dataset).npred(model), expected, 1e-7)
    spectrum = model.spectral_model.copy()
    spectrum.parameters["index" if kind != "cube" else "tilt"].value += 0.4
    both = Renderer(dataset).npred_spectra(model, [model.spectral_model, spectrum])
    assert_peak_close(both[0], expected, 1e-7)
    tilted = SkyModel(spectrum, model.spatial_model, name="source")
    assert_peak_close(both[1], gammapy_npred(dataset, tilted), 1e-7)


def test_isotropic_without_psf_and_edisp():
    dataset = map_dataset(margin=1.0)
    model = extended("isotropic")
    model.apply_irf.update(psf=False, edisp=False)
    assert_peak_close(Renderer(dataset).npred(model), gammapy_npred(dataset, model), EXACT)


def test_reconstructed_psf():
    dataset = map_dataset("reco")
    model = point(0.2, 0.1)
    expected = gammapy_npred(dataset, model)
    renderer = Renderer(dataset)
    assert_peak_close(renderer.npred(model), expected, EXACT)
    spectra = [model.spectral_model, PowerLawSpectralModel(index=3)]
    npred = renderer.npred_spectra(model, spectra)
    assert_peak_close(npred[0], expected, EXACT)
    other = model.copy(name="source", spectral_model=spectra[1])
    assert_peak_close(npred[1], gammapy_npred(dataset, other), EXACT)
    with pytest.raises(ValueError, match="dataset small: its PSF is a function of reconstructed"):
        renderer.true_response(model)


def test_temporal_model_scales():
    dataset = map_dataset()
    flare = GaussianTemporalModel(t_ref=dataset.gti.time_ref.mjd * u.d, sigma="40 s")
    model = point(0.2, 0.1, temporal_model=flare)
    expected = gammapy_npred(dataset, model)
    assert_peak_close(Renderer(dataset).npred(model), expected, ROUNDING)
    dataset.gti = None
    with pytest.raises(ValueError, match="source: it has a temporal model but dataset small"):
        Renderer(dataset).npred(model)


def test_counts_template_and_background():
    dataset = map_dataset()
    geom = dataset.counts.geom
    counts = TemplateNPredModel(
        Map.from_geom(geom, data=np.random.default_rng(2).random(geom.data_shape)),
        datasets_names=["small"],
        name="source",
    )
    renderer = Renderer(dataset)
    np.testing.assert_allclose(renderer.npred(counts), gammapy_npred(dataset, counts), rtol=1e-12)
    background = FoVBackgroundModel(dataset_name="small")
    background.parameters["norm"].value = 1.3
    background.parameters["tilt"].value = 0.2
    other = FoVBackgroundModel(dataset_name="other")
    copy = dataset.copy(name="small")
    copy.models = [background, counts]
    expected = copy.npred_background().data
    models = [counts, other, background]
    np.testing.assert_allclose(renderer.background(models), expected, rtol=1e-12)
    np.testing.assert_allclose(renderer.npred(background), expected, rtol=1e-12)
    np.testing.assert_array_equal(renderer.background(), dataset.background.data)
    with pytest.raises(ValueError, match="expected one FoVBackgroundModel, got small-bkg, twin"):
        renderer.background([background, FoVBackgroundModel(dataset_name="small", name="twin")])
    with pytest.raises(ValueError, match="model other-bkg: it is the background of .'other'"):
        renderer.npred(other)
    dataset.background = None
    np.testing.assert_array_equal(Renderer(dataset).background(), np.zeros(renderer.shape))


def test_dark_matter_spectra_share_one_response():
    dataset = map_dataset("gradient", "migra", margin=0.5)
    model = point(0.12, -0.34)
    spectra = [
        DarkMatterSpectralModel(
            mass=mass * u.TeV, channel=channel, sigmav="1e-22 cm3 s-1", log10_jfactor=19.0
        )
        for mass in (3, 12)
        for channel in ("b", "tau")
    ]
    renderer = Renderer(dataset)
    npred = renderer.npred_spectra(model, spectra)
    assert npred.shape == (4, *renderer.shape)
    for got, spectrum in zip(npred, spectra, strict=True):
        copy = SkyModel(spectrum, model.spatial_model, name="source")
        assert_peak_close(got, gammapy_npred(dataset, copy), ROUNDING)
    empty = renderer.npred_spectra(model, [])
    assert empty.shape == (0, *renderer.shape)


def test_response_at_voxels_and_totals():
    dataset = map_dataset("gauss", margin=0.5)
    model = point(0.8, 0.7)
    renderer = Renderer(dataset)
    response = renderer.true_response(model)
    # the stamp is no wider than the PSF reaches
    half = renderer._kernels.kernel(model.position).half
    assert response.values.shape[-1] < min(2 * half + 2, renderer.shape[-1] + 1)
    fluxes = np.array([response.fluxes(model.spectral_model), np.arange(6) * 1e-13])
    npred = response.npred(fluxes)
    voxels = np.random.default_rng(5).integers(0, npred[0].size, 300)
    at_voxels = npred.reshape(2, -1)[:, voxels]
    np.testing.assert_allclose(fluxes @ response.at_voxels(voxels), at_voxels, atol=1e-12)
    mask = np.random.default_rng(6).random(renderer.shape) < 0.6
    np.testing.assert_allclose(
        fluxes @ response.totals(mask), (npred * mask).sum(axis=(2, 3)), rtol=1e-12
    )
    np.testing.assert_allclose(fluxes @ response.totals(), npred.sum(axis=(2, 3)), rtol=1e-12)


def test_present_parameters_count():
    dataset = map_dataset("gradient", "migra")
    model = point(0.1, 0.1)
    renderer = Renderer(dataset)
    renderer.npred(model)
    model.spatial_model.lon_0.value += 0.23
    model.spectral_model = LogParabolaSpectralModel(beta=0.2)
    assert_peak_close(renderer.npred(model), gammapy_npred(dataset, model), ROUNDING)


def test_far_source_predicts_nothing():
    dataset = map_dataset(margin=1.0)
    model = point(9.0, 0.0)
    assert not gammapy_npred(dataset, model).any()
    assert not Renderer(dataset).npred(model).any()
    model.spatial_model = GaussianSpatialModel(
        lon_0=model.spatial_model.lon_0.quantity, lat_0="22 deg", sigma="0.1 deg", frame="icrs"
    )
    assert not Renderer(dataset).npred(model).any()


def test_pixels_without_exposure_predict_nothing():
    dataset = map_dataset()
    dataset.exposure.data[2, 9, 9:12] = np.nan
    model = point(0.0, 0.0)
    expected = gammapy_npred(dataset, model)
    npred = Renderer(dataset).npred(model)
    assert_peak_close(npred, expected, ROUNDING)
    assert not npred[:, 9, 9:12].any()


@pytest.mark.parametrize(("single_precision", "tolerance"), [(True, 1e-10), (False, 1e-4)])
def test_delta_stat_of_a_scan_is_gammapys(single_precision, tolerance):
    dataset = map_dataset("gradient", margin=0.5)
    source, neighbour = point(0.12, 0.07), point(-0.5, 0.3, name="neighbour")
    source.spectral_model.amplitude.value = 3e-14
    renderer = Renderer(dataset)
    signal = renderer.npred(source, single_precision=single_precision)
    rest = renderer.background() + renderer.npred(neighbour, single_precision=True)
    dataset.counts.data = np.random.default_rng(8).poisson(rest + 200 * signal).astype(float)
    dataset.models = [source, neighbour]
    norms = np.linspace(0, 400, 17)
    expected = []
    for norm in norms:
        source.spectral_model.amplitude.value = norm * 3e-14
        expected.append(Datasets([dataset]).stat_sum())
    npred = rest + norms[:, np.newaxis, np.newaxis, np.newaxis] * signal
    stat = 2 * (npred - dataset.counts.data * np.log(npred)).sum(axis=(1, 2, 3))
    delta = expected - np.min(expected)
    assert delta[0] > 50
    np.testing.assert_allclose(stat - stat.min(), delta, rtol=0, atol=tolerance)


def test_nothing_is_changed():
    dataset = map_dataset("gradient", "migra", margin=0.5)
    model = point(0.2, 0.3)
    disk = extended("disk").copy(name="disk")
    background = FoVBackgroundModel(dataset_name="small")
    dataset.models = [model, disk, background]
    stat = Datasets([dataset]).stat_sum()
    maps = {
        name: getattr(dataset, name).data.copy() for name in ("counts", "exposure", "background")
    }
    models, before = dataset.models, dataset.models.to_dict()
    evaluators = dict(dataset.evaluators)
    renderer = Renderer(dataset)
    spectra = [PowerLawSpectralModel(index=index) for index in (1.5, 3.5)]
    for component in (model, disk):
        renderer.npred(component)
        renderer.npred_spectra(component, spectra)[:] = -1
        renderer.true_response(component).values[:] = -1
    renderer.background(dataset.models)[:] = -1
    assert dataset.models is models
    assert dataset.models.to_dict() == before
    assert dataset.evaluators == evaluators
    for name, data in maps.items():
        np.testing.assert_array_equal(getattr(dataset, name).data, data)
    assert_peak_close(renderer.npred(model), gammapy_npred(dataset, model), ROUNDING)
    assert Datasets([dataset]).stat_sum() == stat


def test_bad_input():
    dataset = map_dataset()
    with pytest.raises(ValueError, match="model source: the flux of PowerLaw.* from 0.5 TeV"):
        Renderer(dataset).npred(point(0, 0, index=np.nan))
    shifted = WcsGeom.create(skydir=CENTRE, binsz=0.1, width=2.1, axes=[ENERGY_TRUE])
    dataset.exposure = Map.from_geom(shifted, unit="cm2 s")
    with pytest.raises(ValueError, match="not those of the counts.*pixel .11.0, 11.0., exp"):
        Renderer(dataset).npred(point(0, 0))
    coarse = WcsGeom.create(skydir=CENTRE, binsz=0.2, width=2, axes=[ENERGY_TRUE])
    dataset.exposure = Map.from_geom(coarse, unit="cm2 s")
    with pytest.raises(ValueError, match="not those of the counts: found .* of .-0.2, 0.2. deg"):
        Renderer(dataset).npred(point(0, 0))
    few = WcsGeom.create(skydir=CENTRE, binsz=0.1, width=2, axes=[ENERGY_TRUE.downsample(2)])
    dataset.exposure = Map.from_geom(few, unit="cm2 s")
    with pytest.raises(ValueError, match="dataset small: the PSF has 6 true energies, expected 3"):
        Renderer(dataset)
    oblong = WcsGeom.create(skydir=CENTRE, binsz=(0.1, 0.2), width=2, axes=[ENERGY_TRUE])
    dataset.exposure = Map.from_geom(oblong, unit="cm2 s")
    with pytest.raises(ValueError, match="dataset small: pixels are 0.1 x 0.2 deg"):
        Renderer(dataset)
    dataset.exposure = None
    with pytest.raises(ValueError, match="dataset small: it has no exposure"):
        Renderer(dataset)
