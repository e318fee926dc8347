"""Simulated events against the makers of livetime, exposure, PSF and energy dispersion."""

import astropy.units as u
import numpy as np
import pytest
from gammapy.maps import MapAxis
from scipy.stats import kstest, norm

from dmgammapy.makers.lat._simulate_response import RATIO, SEPARATION, make_tables
from dmgammapy.makers.lat.edisp import LATEDispMaker
from dmgammapy.makers.lat.exposure import LATExposureMaker
from dmgammapy.makers.lat.livetime import LATLivetimeMaker
from dmgammapy.makers.lat.orbits import LATOrbitSimulator
from dmgammapy.makers.lat.psf import LATPSFMaker
from dmgammapy.makers.lat.response import LATResponse
from dmgammapy.makers.lat.simulate import LATEventSimulator
from dmgammapy.makers.lat.spacecraft import LATSpacecraft
from tests.makers.lat.simulate_helpers import (
    POSITION,
    TWO_SIDED,
    assert_flat,
    assert_poisson,
    integrated,
    point,
)


@pytest.fixture(scope="module")
def response():
    return LATResponse.parametrised()


@pytest.fixture(scope="module")
def spacecraft():
    return LATOrbitSimulator().run(duration="20 d")


@pytest.fixture(scope="module")
def real_response(test_data):
    return LATResponse.read("P8R3_SOURCE_V3", "FB", test_data / "lat/caldb")


@pytest.fixture(scope="module")
def simulator(response, spacecraft):
    return LATEventSimulator(response, spacecraft)


@pytest.fixture(scope="module")
def events(simulator):
    """About 30 000 photons of a bright source."""
    return simulator.run([point()], POSITION, "30 deg", seed=3)


@pytest.fixture(scope="module")
def livetime(spacecraft, simulator):
    maker = LATLivetimeMaker(
        directions=POSITION.reshape(1), zenith_max=90 * u.deg, costheta_step=0.0125
    )
    return maker.run(ft2=spacecraft, gti=simulator._rows.gti)


def test_number_is_flux_times_exposure(simulator, spacecraft, response, livetime, real_response):
    energies = np.geomspace(500, 5e5, 400)
    for which in (response, real_response):
        exposure = LATExposureMaker(which).at(livetime, POSITION.reshape(1), energies)[0]
        # without PSF and energy dispersion the number is exact
        model = point(psf=False, edisp=False)
        simulated = LATEventSimulator(which, spacecraft).run([model], POSITION, "1 deg", seed=7)
        assert_poisson(len(simulated), integrated(model, energies, exposure))
        energy = simulated.energy.to_value("MeV")
        edges = np.geomspace(500, 5e4, 9)
        expected = [
            integrated(model, fine, np.interp(fine, energies, exposure))
            for fine in (np.geomspace(a, b, 50) for a, b in zip(edges[:-1], edges[1:], strict=True))
        ]
        assert_flat(np.histogram(energy, edges)[0], expected)


def test_efficiency_follows_the_livetime_fraction(real_response, spacecraft):
    """At 60 MeV the correction of the real response is large: times of low livetime see less."""
    low = spacecraft.livetime / (spacecraft.stop - spacecraft.start) < 0.9
    halves = [
        LATSpacecraft(
            spacecraft.start[part],
            spacecraft.stop[part],
            spacecraft.livetime[part],
            {key: values[part] for key, values in spacecraft.data.items()},
        )
        for part in (low, ~low)
    ]
    model = point(psf=False, edisp=False)
    fine = np.geomspace(60, 120, 50)
    for half in halves:
        maker = LATLivetimeMaker(
            directions=POSITION.reshape(1), zenith_max=90, costheta_step=0.0125
        )
        simulator = LATEventSimulator(
            real_response, half, energy_min="60 MeV", energy_max="120 MeV"
        )
        cube = maker.run(ft2=half, gti=simulator._rows.gti)
        exposure = LATExposureMaker(real_response).at(cube, POSITION.reshape(1), fine)[0]
        number = len(simulator.run([model], POSITION, "1 deg", seed=5))
        assert_poisson(number, integrated(model, fine, exposure))
        plain = real_response.effective_area(fine * u.MeV, 1.0).to_value("cm2")
        fraction = np.mean(half.livetime / (half.stop - half.start))
        corrected = real_response.effective_area(fine * u.MeV, 1.0, livetime_fraction=fraction)
        assert np.all(np.abs(corrected.to_value("cm2") / plain - 1) > 1e-4)


def test_inclinations_follow_livetime_and_area(events, livetime, response):
    edges = livetime.costheta_edges
    middle = 0.5 * (edges[1:] + edges[:-1])
    energies = np.geomspace(500, 5e5, 200)
    weight = np.array([
        integrated(point(), energies, response.parts["FB"].aeff.evaluate(energies, c))
        for c in middle
    ])  # fmt: skip
    expected = weight * livetime.data[0]
    # of the sharpest events the measured inclination is the true one
    sharp = events.energy > 3 * u.GeV
    theta = np.deg2rad(np.asarray(events.table["THETA"], dtype=float)[sharp])
    counts = np.histogram(np.cos(theta), edges[::-1])[0][::-1]
    order = middle > 0.4
    merge = np.arange(order.sum()) // 6
    assert_flat(np.bincount(merge, counts[order]), np.bincount(merge, expected[order]))


def test_containment_is_the_published_one(simulator):
    """Radii of P8R3_SOURCE_V3, see the parametrised response."""
    table = {1e3: (0.781, 2.52), 1e4: (0.152, 0.684), 1e5: (0.097, 0.418)}
    for energy, (r68, r95) in table.items():
        model = point(amplitude=1e-7 * energy / 1e3)
        low, high = energy / 1.05, energy * 1.05
        simulator_here = LATEventSimulator(
            simulator.response,
            simulator.spacecraft,
            energy_min=low * u.MeV,
            energy_max=high * u.MeV,
            zenith_max=None,
        )
        events = simulator_here.run([model], POSITION, "40 deg", seed=11)
        separation = events.radec.separation(POSITION).deg
        n = len(events)
        assert n > 3000
        for radius, share in ((r68, 0.68), (r95, 0.95)):
            inside = np.mean(separation < radius)
            assert abs(inside - share) < 3.3 * np.sqrt(share * (1 - share) / n) + 0.005


@pytest.mark.parametrize("kind", ["response", "real_response"])
def test_psf_is_that_of_the_maker(kind, request, spacecraft, livetime):
    response = request.getfixturevalue(kind)
    axis = MapAxis.from_energy_edges([1000, 1100] * u.MeV, name="energy_true")
    rad = np.append(0, np.geomspace(0.05, 30, 25))
    simulator = LATEventSimulator(
        response, spacecraft, energy_min="1000 MeV", energy_max="1100 MeV", zenith_max=None
    )
    cube = LATLivetimeMaker(directions=POSITION.reshape(1), zenith_max=180).run(
        ft2=spacecraft, gti=simulator._rows.gti
    )
    model = point(amplitude=2e-7, edisp=False)
    events = simulator.run([model], POSITION, "30 deg", seed=2)
    counts = np.histogram(events.radec.separation(POSITION).deg, rad)[0]
    fine = np.linspace(0, 1, 21)
    expected = []
    for low, high in zip(rad[:-1], rad[1:], strict=True):
        r = low + (high - low) * fine
        density = LATPSFMaker(response).at(cube, POSITION, axis.center.to_value("MeV"), r)[0]
        density = np.asarray(density).reshape(-1, len(r))[0]
        expected.append(np.trapezoid(density * np.sin(np.deg2rad(r)), r))
    expected = np.array(expected)
    keep = expected / expected.sum() * counts.sum() > 20
    assert_flat(counts[keep], expected[keep])


def test_energy_dispersion_is_gaussian(simulator):
    """The parametrised one: half width of 68 % 0.096 at 1 GeV."""
    wide = LATEventSimulator(
        simulator.response, simulator.spacecraft, energy_min="200 MeV", energy_max="10 GeV"
    )
    events = wide.run([point(amplitude=2e-8)], POSITION, "30 deg", seed=4)
    true = np.asarray(events.table["MC_ENERGY"], dtype=float)
    near = np.abs(true / 1000 - 1) < 0.05
    pull = (events.energy.to_value("MeV")[near] / true[near] - 1) / (0.096 / 0.994458)
    assert near.sum() > 2000
    assert kstest(pull, norm.cdf).pvalue > TWO_SIDED


def test_measured_spectrum_is_that_of_the_real_matrix(real_response, spacecraft, livetime):
    simulator = LATEventSimulator(real_response, spacecraft)
    model = point(psf=False, index=2.4)
    events = simulator.run([model], POSITION, "1 deg", seed=9)
    axis = MapAxis.from_energy_bounds("500 MeV", "50 GeV", nbin=12)
    true = MapAxis.from_energy_bounds("50 MeV", "500 GeV", nbin=96, name="energy_true")
    kernel = LATEDispMaker(real_response).run(livetime, POSITION, axis, true)
    kernel = kernel.get_edisp_kernel(POSITION).pdf_matrix
    edges = true.edges.to_value("MeV")
    exposure = LATExposureMaker(real_response)
    photons = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        fine = np.geomspace(low, high, 15)
        photons.append(integrated(model, fine, exposure.at(livetime, POSITION.reshape(1), fine)[0]))
    expected = np.array(photons) @ kernel
    counts = np.histogram(events.energy.to_value("MeV"), axis.edges.to_value("MeV"))[0]
    assert_poisson(counts.sum(), expected.sum())
    assert_flat(counts, expected)


def test_event_types_have_their_shares(test_data, spacecraft, livetime):
    response = LATResponse.read("P8R3_SOURCE_V3", "PSF", test_data / "lat/caldb")
    simulator = LATEventSimulator(response, spacecraft)
    model = point(psf=False, edisp=False)
    events = simulator.run([model], POSITION, "1 deg", seed=6)
    energies = np.geomspace(500, 5e5, 300)
    expected, counts = [], []
    for i, name in enumerate(response.event_types):
        exposure = LATExposureMaker(response, name).at(livetime, POSITION.reshape(1), energies)[0]
        expected.append(integrated(model, energies, exposure))
        counts.append(np.sum(np.asarray(events.table["EVENT_TYPE"]) & (4 << i) > 0))
    assert sum(counts) == len(events)
    assert_flat(np.array(counts), expected)
    types = np.asarray(events.table["EVENT_TYPE"])
    assert np.all((types & 1 > 0) ^ (types & 2 > 0))


def test_tables_are_distributions(real_response):
    tables = make_tables(real_response)
    for cdf, nodes in ((tables.psf, SEPARATION), (tables.edisp, RATIO)):
        assert cdf.shape[-1] == len(nodes)
        np.testing.assert_allclose(cdf[..., -1], 1)
        assert np.all(np.diff(cdf) >= 0)
