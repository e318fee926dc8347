"""Photons that models send, against Gammapy's integrals and closed forms."""

import astropy.units as u
import healpy as hp
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.maps import Map, MapAxis, WcsGeom
from gammapy.modeling.models import (
    ConstantSpatialModel,
    DiskSpatialModel,
    ExpCutoffPowerLawSpectralModel,
    GaussianSpatialModel,
    PointSpatialModel,
    PowerLawNormSpectralModel,
    PowerLawSpectralModel,
    SkyModel,
    TemplateSpatialModel,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, kstest

from dmgammapy.makers.lat._simulate_sky import (
    CubeSource,
    ShapedSource,
    Spectrum,
    draw_directions,
    make_source,
    power_law_draw,
    power_law_integral,
)

EDGES = np.geomspace(500, 5e5, 61)
CENTER = SkyCoord(30, 10, unit="deg")
CAP = CENTER.cartesian.xyz.value, np.deg2rad(8)


def spectrum(**kwargs):
    return PowerLawSpectralModel(amplitude="1e-9 cm-2 s-1 MeV-1", reference="1 GeV", **kwargs)


def draw(source, scale, seed=1):
    """Energies and positions of all photons."""
    pieces = list(source.draw(np.random.default_rng(seed), np.full(len(EDGES) - 1, scale)))
    energy = np.concatenate([piece.energy for piece in pieces])
    direction = np.concatenate([piece.direction for piece in pieces])
    bins = np.concatenate([piece.bin for piece in pieces])
    assert np.all((energy >= EDGES[bins] * (1 - 1e-9)) & (energy <= EDGES[bins + 1] * (1 + 1e-9)))
    return energy, SkyCoord(*direction.T, representation_type="cartesian").transform_to("icrs")


def within_poisson(number, expected):
    return abs(number - expected) < 3.5 * np.sqrt(expected)


@given(
    st.floats(-4, 4),
    st.floats(0.001, 0.3),
    st.floats(0.01, 0.99),
)
def test_power_law_pieces(index, width, quantile):
    """Closed form: integral of E^-g from 1 to e^w, and its inverse."""
    high = np.exp(-index * width)

    def integral(w):
        return w if abs(index - 1) < 1e-12 else (np.exp((1 - index) * w) - 1) / (1 - index)

    if 1e-12 < abs(index - 1) < 1e-6:
        return  # the closed form loses its digits
    got = power_law_integral(np.array(width), np.array(1.0), np.array(high))
    np.testing.assert_allclose(got, integral(width), rtol=1e-7)
    drawn = power_law_draw(np.array(quantile), np.array(width), np.array(1.0), np.array(high))
    np.testing.assert_allclose(integral(float(drawn)), quantile * integral(width), rtol=1e-6)


def test_pieces_that_end_in_zero():
    """Where a spectrum ends its last piece is a straight line."""
    assert power_law_integral(np.array(0.1), np.array(2.0), np.array(0.0)) == pytest.approx(
        np.expm1(0.1)
    )
    assert power_law_integral(np.array(0.1), np.array(0.0), np.array(0.0)) == 0


@pytest.mark.parametrize("index", [1.5, 2.7])
def test_flux_is_the_integral(index):
    model = SkyModel(
        ExpCutoffPowerLawSpectralModel(
            index=index, amplitude="1e-9 cm-2 s-1 MeV-1", reference="1 GeV", lambda_="0.1 GeV-1"
        ),
        PointSpatialModel(),
    )
    flux = Spectrum(model, EDGES).flux.sum()
    exact = model.spectral_model.integral(0.5 * u.GeV, 500 * u.GeV).to_value("cm-2 s-1")
    assert flux == pytest.approx(exact, rel=2e-3)


def test_point_source():
    source = make_source(SkyModel(spectrum(index=2), PointSpatialModel(
        lon_0="30 deg", lat_0="10 deg", frame="icrs")), EDGES, CAP, 0.1)  # fmt: skip
    energy, position = draw(source, 5e9)
    # index 2, 1e-9 at 1 GeV: integral 1e-3 (1 / 500 - 1 / 5e5) cm-2 s-1
    exact = 1e-3 * (1 / 500 - 1 / 5e5)
    assert within_poisson(len(energy), 5e9 * exact)
    assert position.separation(CENTER).max() < 1e-9 * u.deg
    cdf = (1 / 500 - 1 / energy) / (1 / 500 - 1 / 5e5)
    assert kstest(cdf[:20000], "uniform").pvalue > 1e-3


def test_disk_and_gaussian_are_whole():
    for spatial, inside in (
        (DiskSpatialModel(lon_0="30 deg", lat_0="10 deg", r_0="0.5 deg", frame="icrs"), 0.25),
        # in a Gaussian of width s a share 1 - exp(-r^2 / 2 s^2) is within r
        (
            GaussianSpatialModel(lon_0="30 deg", lat_0="10 deg", sigma="0.25 deg", frame="icrs"),
            1 - np.exp(-0.5),
        ),
    ):
        source = make_source(SkyModel(spectrum(index=2), spatial), EDGES, CAP, 0.1)
        energy, position = draw(source, 1e10)
        assert within_poisson(len(energy), 1e10 * 1e-3 * (1 / 500 - 1 / 5e5))
        separation = position.separation(CENTER).deg
        n = np.sum(separation < 0.25)
        assert abs(n / len(energy) - inside) < 3.5 * np.sqrt(inside / len(energy)) + 0.005


def test_isotropic_fills_the_cap():
    model = SkyModel(
        spectrum(index=2),
        ConstantSpatialModel(),
        apply_irf={"exposure": True, "psf": False, "edisp": False},
    )
    source = make_source(model, EDGES, CAP, 0.1)
    energy, position = draw(source, 1e11)
    near = position.separation(CENTER) < 8 * u.deg
    solid = 2 * np.pi * (1 - np.cos(np.deg2rad(8)))
    assert within_poisson(near.sum(), 1e11 * 1e-3 * (1 / 500 - 1 / 5e5) * solid)


def cube_model(unit="cm-2 s-1 MeV-1 sr-1"):
    """Template with a gradient and another spectrum in its north than in its south."""
    axis = MapAxis.from_energy_bounds(
        "100 MeV", "1 TeV", nbin=13, name="energy_true", node_type="center"
    )
    geom = WcsGeom.create(skydir=CENTER, npix=(30, 30), binsz=1, frame="icrs", axes=[axis])
    cube = Map.from_geom(geom, unit=unit)
    coords = geom.get_coord()
    index = 2.2 + 0.02 * (coords["lat"].to_value("deg") - 10)
    gradient = 1 + 0.02 * (coords["lon"].to_value("deg") - 30)
    cube.data = gradient * 1e-9 * (coords["energy_true"].to_value("GeV")) ** -index
    spatial = TemplateSpatialModel(cube, normalize=False, filename="none.fits")
    return SkyModel(PowerLawNormSpectralModel(norm=1.3, tilt=0.1), spatial, name="cube")


def test_cube_is_gammapys():
    model = cube_model()
    source = make_source(model, EDGES, CAP, 0.05)
    assert isinstance(source, CubeSource)
    # Gammapy's own values on a fine grid, integrated over region and energy by brute force
    nside = 256
    pixels = hp.query_disc(nside, CAP[0], CAP[1])
    where = SkyCoord(*hp.pix2vec(nside, pixels), representation_type="cartesian")
    where = where.transform_to("icrs").spherical
    fine = np.geomspace(500, 5e5, 121)
    values = []
    for energy in fine * u.MeV:
        spatial = model.spatial_model(where.lon, where.lat, energy)
        value = (spatial * model.spectral_model(energy)).to_value("cm-2 s-1 MeV-1 sr-1")
        values.append(value.sum() * hp.nside2pixarea(nside))
    exact = np.trapezoid(np.array(values) * fine, np.log(fine))
    energy, position = draw(source, 2e11)
    near = position.separation(CENTER) < 8 * u.deg
    assert within_poisson(near.sum(), 2e11 * exact)
    # in energy and from north to south
    half = position.spherical.lat.deg[near] > 10
    for part, select in ((half, where.lat.deg > 10), (~half, where.lat.deg < 10)):
        counts = np.histogram(energy[near][part], EDGES[:41:4])[0]
        expected = []
        for low, high in zip(EDGES[:40:4], EDGES[4:41:4], strict=True):
            e = np.geomspace(low, high, 9)
            flux = [
                (model.spatial_model(where.lon[select], where.lat[select], x)
                 * model.spectral_model(x)).to_value("cm-2 s-1 MeV-1 sr-1").sum()
                for x in e * u.MeV
            ]  # fmt: skip
            expected.append(np.trapezoid(np.array(flux) * e, np.log(e)))
        expected = 2e11 * np.array(expected) * hp.nside2pixarea(nside)
        value = np.sum((counts - expected) ** 2 / expected)
        assert chi2.sf(value, len(counts)) > 1e-3


def test_cube_ends_where_gammapys_does():
    """Power laws between the template's energies, and beyond them what Gammapy says: zero soon."""
    model = cube_model()
    edges = np.geomspace(5e4, 2e6, 23)
    source = make_source(model, edges, CAP, 0.05)
    where = SkyCoord(
        *hp.pix2vec(source.nside, source.pixels, nest=True), representation_type="cartesian"
    ).spherical
    for energy, got in zip(edges * u.MeV, source.intensity, strict=True):
        exact = model.spatial_model(where.lon, where.lat, energy) * model.spectral_model(energy)
        np.testing.assert_allclose(got, exact.to_value("cm-2 s-1 MeV-1 sr-1"), rtol=1e-9)
    assert np.all(source.intensity[-1] == 0)


def test_normalised_template():
    geom = WcsGeom.create(skydir=CENTER, npix=(40, 40), binsz=0.1, frame="icrs")
    shape = Map.from_geom(geom, unit="sr-1")
    shape.data[10:30, 20:30] = 1.0
    spatial = TemplateSpatialModel(shape, normalize=True, filename="none.fits")
    source = make_source(SkyModel(spectrum(index=2), spatial), EDGES, CAP, 0.1)
    assert isinstance(source, ShapedSource)
    energy, _ = draw(source, 2e10)
    assert within_poisson(len(energy), 2e10 * 1e-3 * (1 / 500 - 1 / 5e5))


def test_sources_far_away_are_none():
    model = SkyModel(
        spectrum(index=2), PointSpatialModel(lon_0="30 deg", lat_0="30 deg", frame="icrs")
    )
    assert make_source(model, EDGES, CAP, np.deg2rad(5)) is None
    assert make_source(model, EDGES, CAP, np.deg2rad(13)) is not None
    # without PSF there is no margin
    model.apply_irf["psf"] = False
    assert make_source(model, EDGES, CAP, np.deg2rad(13)) is None


def test_directions_are_uniform_in_pixels():
    pixels = np.repeat([5, 77], 4000)
    directions = draw_directions(np.random.default_rng(1), 8, pixels)
    finer = hp.vec2pix(32, *directions.T, nest=True)
    assert np.all(finer // 16 == pixels)
    counts = np.bincount(finer)[[5 * 16 + i for i in range(16)]]
    assert chi2.sf(np.sum((counts - 250) ** 2 / 250), 15) > 1e-3


def test_wrong_units():
    model = SkyModel(spectrum(index=2), PointSpatialModel(lon_0="30 deg", lat_0="10 deg"))
    model._spectral_model = PowerLawNormSpectralModel()
    with pytest.raises(ValueError, match="flux must be in"):
        Spectrum(model, EDGES)
