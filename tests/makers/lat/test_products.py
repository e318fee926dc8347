"""Files of the Science Tools, written here in the tools' layout, against closed forms."""

import logging

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from gammapy.datasets import MapDataset
from gammapy.maps import HpxGeom, MapAxis, RegionGeom, WcsGeom
from gammapy.modeling.models import (
    ConstantSpatialModel,
    PointSpatialModel,
    PowerLawSpectralModel,
    SkyModel,
)
from numpy.testing import assert_allclose
from scipy.stats import norm

from dmgammapy.datasets._render import Renderer
from dmgammapy.makers.lat.products import (
    read_counts_cube,
    read_drm,
    read_exposure_cube,
    read_lat_products,
    read_psf,
)
from tests.makers.lat.product_files import (
    CENTER,
    CENTERS,
    EDGES,
    GTI,
    SIGMA,
    TRUE_EDGES,
    ebounds_hdu,
    gap,
    gti_hdu,
    hpx_hdu,
    matrix,
    sky_exposure,
    write_counts,
    write_drm,
    write_exposure,
    write_psf,
    wrong_unit,
)


@pytest.fixture
def files(tmp_path):
    return {
        "counts": write_counts(tmp_path / "ccube_00.fits"),
        "exposure": write_exposure(tmp_path / "bexpmap_00.fits"),
        "psf": write_psf(tmp_path / "psf_00.fits"),
        "drm": write_drm(tmp_path / "drm_00.fits"),
    }


def spectrum():
    return PowerLawSpectralModel(index=2.3, amplitude="1e-8 cm-2 s-1 GeV-1", reference="1 GeV")


def fluxes(edges):
    """Integral of the power law in closed form [cm-2 s-1]."""
    return 1e-8 / 1.3 * -np.diff((edges / 1e3) ** -1.3)


def point(position):
    place = position.galactic
    return SkyModel(
        spectrum(),
        PointSpatialModel(lon_0=place.l, lat_0=place.b, frame="galactic"),
        name="point",
    )


def test_point_source_has_the_counts_of_flux_exposure_and_dispersion(files):
    dataset = read_lat_products(**files, name="lat")
    source = CENTER.directional_offset_by(40 * u.deg, 0.23 * u.deg)
    expected = (fluxes(TRUE_EDGES) * sky_exposure(CENTERS, source)) @ matrix()
    dataset.models = [point(source)]
    npred = dataset.npred().data
    # pixels of 0.1 deg: the source's share of four pixels and the exposure there
    assert_allclose(npred.sum(axis=(1, 2)), expected, rtol=2e-3)
    assert_allclose(
        Renderer(dataset).npred(dataset.models["point"]), npred, atol=1e-4 * npred.max()
    )


def test_field_is_the_sum_over_pixels_of_flux_exposure_and_solid_angle(files):
    dataset = read_lat_products(files["counts"], files["exposure"], drm=files["drm"])
    model = SkyModel(spectrum(), ConstantSpatialModel(), name="field")
    geom = dataset.counts.geom.to_image()
    coords, area = geom.get_coord().skycoord, geom.solid_angle().to_value("sr")
    true = [
        f * (sky_exposure(e, coords) * area)
        for f, e in zip(fluxes(TRUE_EDGES), CENTERS, strict=True)
    ]
    expected = np.einsum("tyx,tr->ryx", np.array(true), matrix())
    dataset.models = [model]
    assert_allclose(dataset.npred().data, expected, rtol=1e-4)
    assert_allclose(Renderer(dataset).npred(model), expected, rtol=1e-4)


@pytest.mark.parametrize("proj", ["AIT", "TAN", "CAR"])
def test_frames_and_projections_differ(tmp_path, files, proj):
    # galactic exposure, across its seam at l = 180 deg, on equatorial counts
    counts = write_counts(tmp_path / "icrs.fits", frame="icrs", proj=proj)
    dataset = read_lat_products(counts, files["exposure"], drm=files["drm"], margin=6 * u.deg)
    assert dataset.counts.geom.frame == dataset.exposure.geom.frame == "icrs"
    assert dataset.exposure.geom.to_image().is_aligned(dataset.counts.geom.to_image())
    coords = dataset.exposure.geom.to_image().get_coord().skycoord
    assert coords.separation(CENTER).max() > 8 * u.deg
    for plane, energy in zip(dataset.exposure.data, CENTERS, strict=True):
        assert_allclose(plane, sky_exposure(energy, coords), rtol=1e-4)


def test_wide_exposure_is_usable_all_over(tmp_path, files):
    # https://github.com/gammapy/gammapy/issues/5980
    dataset = read_lat_products(**files, margin=3 * u.deg)
    assert dataset.exposure.data.shape == (8, 100, 100)
    assert dataset.counts.data.shape == (4, 40, 40)
    source = CENTER.directional_offset_by(90 * u.deg, 2.6 * u.deg)
    dataset.models = [point(source)]
    assert "Exposure min" in str(dataset)
    # 0.6 deg outside: the tail of a Gaussian, which sharing among pixels widens
    x = dataset.counts.geom.to_image().coord_to_pix(source)[0]
    distance = max(x - 39.5, -0.5 - x) * 0.1
    width = np.hypot(SIGMA, 0.1 * np.sqrt((x % 1) * (1 - x % 1)))
    share = norm.sf(distance / width)
    expected = share * (fluxes(TRUE_EDGES) * sky_exposure(CENTERS, source)) @ matrix()
    assert_allclose(dataset.npred().data.sum(axis=(1, 2)), expected, rtol=0.02)
    dataset.write(tmp_path / "dataset.fits")
    again = MapDataset.read(tmp_path / "dataset.fits")
    again.models = dataset.models
    assert_allclose(again.npred().data, dataset.npred().data, rtol=1e-5, atol=1e-6)
    assert again.meta_table["EVENT_CLASS"][0] == "128"


def test_energy_margin_drops_counts_and_keeps_true_energies(tmp_path, files, caplog):
    counts = np.arange(4 * 40 * 40, dtype="i4").reshape(4, 40, 40)
    cube = write_counts(tmp_path / "counts.fits", counts=counts)
    exposure = write_exposure(tmp_path / "narrow.fits", nodes=EDGES)
    square = write_drm(tmp_path / "square.fits", values=matrix()[2:-2], edges=EDGES)
    with caplog.at_level(logging.WARNING):
        read_lat_products(cube, exposure, files["psf"], square)
    assert "edisp_bins > 0" in caplog.text
    dataset = read_lat_products(cube, exposure, files["psf"], square, energy_margin=1)
    assert_allclose(dataset.counts.data, counts[1:-1])
    assert_allclose(dataset.counts.geom.axes["energy"].edges.to_value("MeV"), EDGES[1:-1])
    kernel = dataset.edisp.get_edisp_kernel(position=CENTER)
    assert_allclose(kernel.pdf_matrix, matrix()[2:-2, 1:-1], rtol=1e-6)
    with pytest.raises(ValueError, match="energy_margin must be"):
        read_lat_products(cube, exposure, files["psf"], square, energy_margin=2)
    with pytest.raises(ValueError, match="there is none"):
        read_lat_products(cube, exposure, energy_margin=1)


def king(theta, sigma, gamma):
    """King function, 1 / (2 pi sigma^2) (1 - 1/gamma) (1 + ...)^-gamma [sr-1]."""
    width = np.radians(sigma)
    shape = (1 + (theta / sigma) ** 2 / (2 * gamma)) ** -gamma
    return (1 - 1 / gamma) / (2 * np.pi * width**2) * shape


@pytest.mark.parametrize("sigma", [0.05, 0.2])
def test_psf_of_few_angles_is_that_of_the_function(tmp_path, sigma):
    gamma = 2.5
    path = write_psf(tmp_path / "psf.fits", lambda t: king(t, sigma, gamma), 20, 4.0)
    axis = MapAxis.from_energy_edges(TRUE_EDGES * u.MeV, name="energy_true")
    psf = read_psf(path, axis)
    last = 4 * (19 / 20) ** 2
    # the part of a King function within theta, plane geometry: 1 - (1 + x^2 / 2 gamma)^(1 - gamma)
    inside = 1 - (1 + (last / sigma) ** 2 / (2 * gamma)) ** (1 - gamma)
    part = 0.68 * inside
    expected = sigma * np.sqrt(2 * gamma * ((1 - part) ** (1 / (1 - gamma)) - 1))
    found = psf.containment_radius(0.68, energy_true=axis.center).to_value("deg")
    assert_allclose(found, expected, rtol=0.01)
    value = psf.psf_map.interp_by_coord({
        "skycoord": CENTER, "rad": 0.3 * sigma * u.deg, "energy_true": axis.center[3],
    })  # fmt: skip
    assert_allclose(value, king(0.3 * sigma, sigma, gamma), rtol=2e-3)


def test_psf_cut_at_small_angles_is_told(tmp_path, caplog):
    path = write_psf(tmp_path / "psf.fits", n_theta=100, theta_max=0.5)
    psf = read_psf(path)
    # 1 - exp(-theta^2 / 2 sigma^2) for 0.49005 deg
    assert "hold 73.7 %" in caplog.text
    assert psf.psf_map.geom.axes["energy_true"].nbin == 16


def test_drm_is_placed_by_its_true_energies(files):
    axis = MapAxis.from_energy_edges(EDGES * u.MeV, name="energy")
    edisp = read_drm(files["drm"], axis)
    assert_allclose(edisp.edisp_map.data[:, :, 0, 0], matrix(), rtol=1e-6, atol=1e-12)
    assert_allclose(edisp.edisp_map.geom.axes["energy_true"].edges.to_value("MeV"), TRUE_EDGES)
    other = MapAxis.from_energy_edges(EDGES * 1.1 * u.MeV, name="energy")
    with pytest.raises(ValueError, match="run gtdrm with this counts cube"):
        read_drm(files["drm"], other)


def test_healpix_exposure(tmp_path, files):
    geom = HpxGeom(64, nest=False, frame="icrs")
    coords = geom.get_coord().skycoord
    hdu = hpx_hdu(geom, [sky_exposure(e, coords) for e in TRUE_EDGES], "ENERGY", "HPXEXPOSURES")
    energies = fits.BinTableHDU(Table({"Energy": TRUE_EDGES}), name="ENERGIES")
    path = tmp_path / "hpx.fits"
    fits.HDUList([fits.PrimaryHDU(), hdu, energies]).writeto(path)
    cube = read_exposure_cube(path)
    assert cube.geom.frame == "icrs"
    assert_allclose(cube.get_by_coord((CENTER, 1e3 * u.MeV)), sky_exposure(1e3, CENTER), rtol=0.01)
    dataset = read_lat_products(files["counts"], path, drm=files["drm"])
    coords = dataset.exposure.geom.to_image().get_coord().skycoord
    for plane, energy in zip(dataset.exposure.data, CENTERS, strict=True):
        assert_allclose(plane, sky_exposure(energy, coords), rtol=3e-4)


@pytest.mark.parametrize("region", [None, "DISK(184.55,-5.78,5)"])
def test_healpix_counts(tmp_path, files, region):
    geom = HpxGeom(32, nest=True, frame="galactic", region=region)
    values = np.arange(4 * geom.get_coord().lon.size)
    values = values.reshape(4, -1).astype(float)
    order = np.random.default_rng(1).permutation(values.shape[1]) if region else slice(None)
    hdu = hpx_hdu(geom, values, "CHANNEL", "SKYMAP")
    if region:
        hdu.data = hdu.data[order]
    path = tmp_path / "hpx.fits"
    fits.HDUList([fits.PrimaryHDU(), hdu, ebounds_hdu(), gti_hdu()]).writeto(path)
    counts = read_counts_cube(path)
    coords = geom.get_coord().skycoord
    pixels = counts.get_by_coord((coords, 1500 * u.MeV))
    assert_allclose(pixels, values[0])
    with pytest.raises(ValueError, match="HEALPix"):
        read_lat_products(path, files["exposure"])


def test_reference_products(test_data):
    folder = test_data / "lat" / "reference"
    dataset = read_lat_products(
        folder / "cntmap.fits.gz", folder / "binned_expmap.fits.gz", name="crab", margin=0
    )
    assert dataset.counts.data.sum() == 853
    assert_allclose(dataset.gti.time_sum.to_value("s"), 63395.650, atol=1e-3)
    edges = dataset.counts.geom.axes["energy"].edges.to_value("MeV")
    assert_allclose(edges[[0, -1]], [200, 20000])
    row = dataset.meta_table[0]
    assert (row["IRFS"], row["EVENT_CLASS"], row["EVENT_TYPE"]) == ("P8R2_SOURCE_V6", "128", "3")
    assert row["ZENITH_MAX"] == 90
    with fits.open(folder / "binned_expmap.fits.gz") as hdus:
        nodes, crab = hdus["ENERGIES"].data["Energy"], hdus[0].data[:, 19:21, 19:21]
    # between the values at both edges of a bin, at the middle of four pixels
    values = dataset.exposure.data[:, 49:51, 49:51].mean(axis=(1, 2))
    sides = np.array([crab[:-1], crab[1:]]).mean(axis=(2, 3))
    assert (values > sides.min(axis=0) * 0.9995).all()
    assert (values < sides.max(axis=0) * 1.0005).all()
    assert_allclose(values, np.sqrt(sides.prod(axis=0)), rtol=5e-3)
    assert len(nodes) == 21


def negative_counts():
    counts = np.zeros((4, 40, 40), dtype="i4")
    counts[1, 2, 3] = -1
    return counts


@pytest.mark.parametrize(
    ("what", "message", "write"),
    [
        ("counts", "unit of E_MIN", lambda p: write_counts(p, ebounds=wrong_unit())),
        (
            "counts",
            "row 3: energy bins must be contiguous",
            lambda p: write_counts(p, ebounds=gap()),
        ),
        ("counts", "no extension EBOUNDS", lambda p: write_counts(p, ebounds=None)),
        ("counts", r"\(1, 2, 3\)", lambda p: write_counts(p, counts=negative_counts())),
        ("exposure", "but CRVAL3", lambda p: write_exposure(p, first=1.0)),
        ("exposure", "event type 3", lambda p: write_exposure(p, event_type=1)),
        ("exposure", "of the same times", lambda p: write_exposure(p, gti=GTI[:1])),
        ("exposure", "known from 1000 to 10000 MeV", lambda p: write_exposure(p, nodes=EDGES)),
        ("exposure", "known from 20000 to", lambda p: write_exposure(p, nodes=EDGES * 20)),
        ("psf", "known from 1000 to 10000", lambda p: write_psf(p, energy=EDGES)),
        ("psf", "zero everywhere", lambda p: write_psf(p, psf=np.zeros_like)),
        ("drm", "sum to 1 at most", lambda p: write_drm(p, values=matrix() * 2)),
        ("drm", "must be among them", lambda p: write_drm(p, edges=TRUE_EDGES * 1.07)),
    ],
)
def test_files_that_contradict_each_other(tmp_path, files, what, message, write):
    path = write(tmp_path / "bad.fits")
    with pytest.raises(ValueError, match=message) as error:
        read_lat_products(**files | {what: path})
    assert "bad.fits" in str(error.value)


@pytest.mark.parametrize("what", ["counts", "exposure", "psf", "drm"])
def test_cut_and_foreign_files(tmp_path, files, what):
    content = files[what].read_bytes()
    for n, name in ((len(content) // 2, "half"), (2000, "start")):
        cut = tmp_path / f"{name}.fits"
        cut.write_bytes(content[:n])
        with pytest.raises(ValueError, match=name):
            read_lat_products(**files | {what: cut})
    other = "psf" if what in ("drm", "counts", "exposure") else "drm"
    with pytest.raises(ValueError, match=r"expected|no extension"):
        read_lat_products(**files | {what: files[other]})
    with pytest.raises(FileNotFoundError):
        read_lat_products(**files | {what: tmp_path / "none.fits"})


def test_exposure_of_another_region(tmp_path, files, caplog):
    away = CENTER.directional_offset_by(0 * u.deg, 5 * u.deg)
    geom = WcsGeom.create(skydir=away, width=8, binsz=0.5, frame="galactic", proj="CAR")
    path = write_exposure(tmp_path / "away.fits", geom=geom)
    with pytest.raises(ValueError, match="of the 1600 pixels of the counts lie outside"):
        read_lat_products(**files | {"exposure": path})
    geom = WcsGeom.create(skydir=CENTER, width=5, binsz=0.5, frame="galactic", proj="CAR")
    path = write_exposure(tmp_path / "small.fits", geom=geom)
    dataset = read_lat_products(**files | {"exposure": path})
    assert "does not reach" in caplog.text
    assert (dataset.exposure.data > 0).all()


def test_ready_irfs_must_fit(files):
    axis = MapAxis.from_energy_edges(TRUE_EDGES * u.MeV, name="energy_true")
    psf, edisp = read_psf(files["psf"], axis), read_drm(files["drm"], counts_axis())
    dataset = read_lat_products(files["counts"], files["exposure"], psf=psf, drm=edisp)
    assert dataset.psf is psf
    assert isinstance(dataset.edisp.edisp_map.geom, RegionGeom)
    with pytest.raises(ValueError, match="has 16 true energies"):
        read_lat_products(**files | {"psf": read_psf(files["psf"])})


def counts_axis():
    return MapAxis.from_energy_edges(EDGES * u.MeV, name="energy")
