"""The response of few numbers against the table it stands for."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.maps import MapAxis
from scipy.integrate import quad

from dmgammapy.makers.lat._parametrised import TABLE, exposure_per_year, king_from_radii
from dmgammapy.makers.lat.edisp import LATEDispMaker
from dmgammapy.makers.lat.psf import LATPSFMaker
from dmgammapy.makers.lat.response import LATResponse
from tests.makers.lat.synthetic_caldb import UniformLivetime

POSITION = SkyCoord(0, 0, unit="deg")


@pytest.fixture(scope="module")
def response():
    return LATResponse.parametrised()


def test_it_is_marked(response):
    assert response.is_parametrised
    assert "for simulation only" in repr(response)
    assert (response.event_types, response.event_type_mask) == (["FB"], 3)
    assert response.event_class_mask is None
    assert response.select("FB") is response
    assert response.select(3) is response
    assert response.select(["FB"]) is response
    with pytest.raises(ValueError, match="lacks PSF0"):
        response.select("PSF")


@pytest.mark.parametrize("row", TABLE, ids=[f"{row[0]:.4g} MeV" for row in TABLE])
def test_table(response, row):
    energy, on_axis, acceptance, exposure, r68, r95, resolution = row
    energy = energy * u.MeV
    assert response.effective_area(energy, 1).to_value("m2") == pytest.approx(on_axis)

    def area(costheta):
        return 2 * np.pi * response.effective_area(energy, costheta).to_value("m2")

    assert quad(area, 0.2, 1)[0] == pytest.approx(acceptance, rel=1e-6)
    assert response.effective_area(energy, 0.15).value == 0
    assert exposure_per_year(row[0]) == pytest.approx(exposure)
    for radius, fraction in ((r68, 0.68), (r95, 0.95)):

        def ring(r):
            density = response.psf(r * u.rad, energy, 0.5).to_value("sr-1")
            return 2 * np.pi * np.sin(r) * density

        edges = np.concatenate([[0], np.geomspace(1e-3, 1, 8) * np.deg2rad(radius)])
        inside = sum(quad(ring, *pair)[0] for pair in zip(edges[:-1], edges[1:], strict=True))
        assert inside == pytest.approx(fraction, rel=1e-3)

    def dispersion(x):
        return response.energy_dispersion(x * energy, energy, 0.5).to_value("MeV-1") * row[0]

    assert quad(dispersion, 1 - resolution, 1 + resolution)[0] == pytest.approx(0.68, abs=1e-4)


def test_king_of_radii_inverts():
    width2, power = king_from_radii(0.781, 2.52)
    chord2 = 2 * (1 - np.cos(np.deg2rad([0.781, 2.52, 180])))
    outside = (1 + chord2 / width2) ** (1 - power)
    np.testing.assert_allclose((1 - outside[:2]) / (1 - outside[2]), [0.68, 0.95], rtol=1e-8)


def test_range(response):
    np.testing.assert_allclose(response.energy_range.to_value("MeV"), [50, 2e6])
    with pytest.raises(ValueError, match=r"parametrised goes from 50 to 2e\+06 MeV"):
        response.effective_area(40 * u.MeV, 1)
    for energy in (50, 2e6):
        assert response.psf(1 * u.deg, energy * u.MeV, 1).value > 0


def test_makers_take_it(response):
    true = MapAxis.from_energy_bounds("100 MeV", "1 TeV", nbin=8, name="energy_true")
    energy = MapAxis.from_energy_bounds("10 MeV", "10 TeV", nbin=24)
    livetime = UniformLivetime(fraction=None)
    psf = LATPSFMaker(response).run(livetime, POSITION, true)
    np.testing.assert_allclose(psf.containment(60 * u.deg, true.center), 1, rtol=5e-3)
    kernel = LATEDispMaker(response).run(livetime, POSITION, energy, true).edisp_map.data
    np.testing.assert_allclose(kernel.sum(axis=1), 1, atol=1e-6)
