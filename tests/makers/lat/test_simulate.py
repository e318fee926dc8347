"""Simulated events against the makers of livetime, exposure, PSF and energy dispersion, and closed
forms: numbers, directions, inclinations, energies, times.
"""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.maps import MapAxis
from gammapy.modeling.models import (
    ConstantSpatialModel,
    ExpDecayTemporalModel,
    Models,
    PointSpatialModel,
    PowerLawSpectralModel,
    SkyModel,
)
from scipy.stats import chi2, kstest, norm, poisson

from dmgammapy.makers.lat._simulate_response import RATIO, SEPARATION, make_tables
from dmgammapy.makers.lat._simulate_rows import LiveRows, cut_rows
from dmgammapy.makers.lat.edisp import LATEDispMaker
from dmgammapy.makers.lat.events import LATEventList
from dmgammapy.makers.lat.exposure import LATExposureMaker
from dmgammapy.makers.lat.livetime import LATLivetimeMaker
from dmgammapy.makers.lat.orbits import LATOrbitSimulator
from dmgammapy.makers.lat.psf import LATPSFMaker
from dmgammapy.makers.lat.response import LATResponse
from dmgammapy.makers.lat.simulate import LATEventSimulator
from dmgammapy.makers.lat.spacecraft import LATSpacecraft

POSITION = SkyCoord(260.05, 57.92, unit="deg")
TWO_SIDED = 1e-3


def point(name="point", amplitude=2e-9, index=2.0, position=POSITION, psf=True, edisp=True):
    return SkyModel(
        PowerLawSpectralModel(
            index=index, amplitude=amplitude * u.Unit("cm-2 s-1 MeV-1"), reference="1 GeV"
        ),
        PointSpatialModel(lon_0=position.ra, lat_0=position.dec, frame="icrs"),
        apply_irf={"exposure": True, "psf": psf, "edisp": edisp},
        name=name,
    )


def isotropic(amplitude, index=2.0, **kwargs):
    spectrum = PowerLawSpectralModel(
        index=index, amplitude=amplitude * u.Unit("cm-2 s-1 MeV-1"), reference="1 GeV"
    )
    apply_irf = {"exposure": True, "psf": False, "edisp": False, **kwargs}
    return SkyModel(spectrum, ConstantSpatialModel(), apply_irf=apply_irf, name="isotropic")


def directions(events):
    return events.radec.cartesian.xyz.value.T


def integrated(model, energies, exposure):
    """Photons of a spectrum times an exposure [cm2 s] between energies [MeV], by trapezoid."""
    values = model.spectral_model(energies * u.MeV).to_value("cm-2 s-1 MeV-1") * exposure
    return np.trapezoid(values * energies, np.log(energies))


def assert_poisson(number, expected):
    """Number is not in the tails of its distribution."""
    tail = min(poisson.cdf(number, expected), poisson.sf(number - 1, expected))
    assert tail > 0.5 * TWO_SIDED, f"{number} of {expected:.1f} expected"


def assert_flat(counts, expected):
    """Chi-squared test of counts against expectations that sum to anything."""
    expected = np.asarray(expected) * np.sum(counts) / np.sum(expected)
    assert expected.min() > 5
    value = np.sum((counts - expected) ** 2 / expected)
    assert chi2.sf(value, len(counts) - 1) > TWO_SIDED


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


def test_uniform_sky_is_uniform(simulator):
    """Isotropic emission of small exposure gradients: flat in cos(radius) and position angle."""
    events = simulator.run([isotropic(6e-9)], POSITION, "12 deg", seed=8)
    assert len(events) > 2000
    separation = events.radec.separation(POSITION)
    shell = (1 - np.cos(separation.rad)) / (1 - np.cos(np.deg2rad(12)))
    assert_flat(np.histogram(shell, 12, (0, 1))[0], np.ones(12))
    # and the number per solid angle is that of the mean exposure
    energies = np.geomspace(500, 5e5, 200)
    rng = np.random.default_rng(0)
    where = POSITION.directional_offset_by(
        rng.uniform(0, 360, 40) * u.deg, np.arccos(1 - rng.uniform(0, 1, 40) * 0.0218524) * u.rad
    )
    maker = LATLivetimeMaker(directions=where, zenith_max=90, costheta_step=0.0125)
    cube = maker.run(ft2=simulator.spacecraft, gti=simulator._rows.gti)
    exposure = LATExposureMaker(simulator.response).at(cube, where, energies).mean(axis=0)
    solid_angle = 2 * np.pi * (1 - np.cos(np.deg2rad(12)))
    assert_poisson(len(events), integrated(isotropic(6e-9), energies, exposure) * solid_angle)


def test_smeared_uniform_sky_stays_uniform(simulator):
    """What leaks out of the region comes back in from around it."""
    sharp = simulator.run([isotropic(6e-9)], POSITION, "6 deg", seed=8)
    smeared = simulator.run([isotropic(6e-9, psf=True)], POSITION, "6 deg", seed=9)
    assert abs(len(sharp) - len(smeared)) < 3.3 * np.sqrt(len(sharp) + len(smeared))
    shell = 1 - np.cos(smeared.radec.separation(POSITION).rad)
    assert_flat(np.histogram(shell, 8, (0, 1 - np.cos(np.deg2rad(6))))[0], np.ones(8))


def test_events_are_what_the_selection_says(events, simulator, spacecraft):
    assert events.selection.energy == (500, 500000)
    assert events.selection.zenith_max == 90
    assert events.selection.event_class == 128
    energy = events.energy.to_value("MeV")
    assert energy.min() > 500
    assert energy.max() <= 5e5
    assert np.max(events.table["ZENITH_ANGLE"]) < 90
    assert np.max(events.radec.separation(POSITION).deg) < 30
    time = np.asarray(events.table["TIME"])
    assert np.all(np.diff(time) >= 0)
    row = np.searchsorted(spacecraft.start, time, side="right") - 1
    assert np.all(time < spacecraft.stop[row])
    # angles in the LAT's and the Earth's frame, by astropy's separations
    at = {
        name: SkyCoord(spacecraft[f"RA_{name}"][row], spacecraft[f"DEC_{name}"][row], unit="deg")
        for name in ("SCZ", "SCX", "ZENITH")
    }
    theta = events.radec.separation(at["SCZ"]).deg
    np.testing.assert_allclose(events.table["THETA"], theta, atol=1e-4)
    zenith = events.radec.separation(at["ZENITH"]).deg
    np.testing.assert_allclose(events.table["ZENITH_ANGLE"], zenith, atol=1e-4)
    cosine = np.cos(events.radec.separation(at["SCX"]).rad)
    phi = np.deg2rad(np.asarray(events.table["PHI"], dtype=float))
    np.testing.assert_allclose(np.sin(np.deg2rad(theta)) * np.cos(phi), cosine, atol=1e-4)
    galactic = events.radec.galactic
    np.testing.assert_allclose(events.table["L"], galactic.l.deg, atol=1e-4)
    np.testing.assert_allclose(events.table["B"], galactic.b.deg, atol=1e-4)


def test_times_follow_the_livetime_of_the_position(events, spacecraft):
    """Arrivals of a steady source: uniform in the cumulative exposure, by Kolmogorov-Smirnov."""
    ra, dec = (np.deg2rad(spacecraft[name]) for name in ("RA_SCZ", "DEC_SCZ"))
    axis = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    direction = POSITION.cartesian.xyz.value
    ra, dec = (np.deg2rad(spacecraft[name]) for name in ("RA_ZENITH", "DEC_ZENITH"))
    zenith = np.cos(dec) * np.cos(ra) * direction[0] + np.cos(dec) * np.sin(ra) * direction[1]
    zenith += np.sin(dec) * direction[2]
    area = LATResponse.parametrised().parts["FB"].aeff.evaluate(1000.0, axis @ direction)
    seen = np.append(0, np.cumsum(area * spacecraft.livetime * (zenith > 0)))
    edges = np.append(spacecraft.start, spacecraft.stop[-1])
    sharp = events.energy > 1 * u.GeV
    time = np.asarray(events.table["TIME"])[sharp]
    assert kstest(np.interp(time, edges, seen / seen[-1]), "uniform").pvalue > TWO_SIDED


def test_seeds_belong_to_models(simulator):
    one, two = point(amplitude=1e-10), point("other", amplitude=1e-10)
    first = simulator.run([one], POSITION, "5 deg", seed=1)
    again = simulator.run([one, two], POSITION, "5 deg", seed=1)
    mine = again.table[np.asarray(again.table["MC_SRC_ID"]) == 0]
    np.testing.assert_array_equal(mine["TIME"], first.table["TIME"])
    np.testing.assert_array_equal(mine["ENERGY"], first.table["ENERGY"])
    assert again.header["MCSRC1"] == "other"
    other = simulator.run([one], POSITION, "5 deg", seed=2)
    assert len(other) != len(first) or np.any(other.table["TIME"] != first.table["TIME"])


def test_models_of_any_order_and_a_far_one(simulator, caplog):
    far = point("far", position=SkyCoord(10, -60, unit="deg"))
    with caplog.at_level("INFO"):
        events = simulator.run(Models([far]), POSITION, "5 deg", seed=1)
    assert len(events) == 0
    assert "far" in caplog.text


def test_good_times_cut_rows(response, spacecraft):
    start = spacecraft.start[0]
    gti = np.array([[start + 10, start + 95], [start + 400, start + 100000]])
    simulator = LATEventSimulator(response, spacecraft, gti=gti, zenith_max=None)
    model = point(amplitude=1e-6)
    time = np.asarray(simulator.run([model], POSITION, "5 deg", seed=1).table["TIME"])
    assert np.all(np.any((time[:, None] >= gti[:, 0]) & (time[:, None] <= gti[:, 1]), axis=1))
    rows = LiveRows.from_spacecraft(spacecraft, gti)
    inside = np.clip(spacecraft.stop, *gti[1]) - np.clip(spacecraft.start, *gti[1])
    inside += np.clip(spacecraft.stop, *gti[0]) - np.clip(spacecraft.start, *gti[0])
    share = inside / (spacecraft.stop - spacecraft.start)
    expected = np.sum(share * spacecraft.livetime)
    assert np.sum(rows.live) * rows.longest == pytest.approx(expected, rel=1e-12)


def test_rows_in_several_intervals():
    index, start, stop = cut_rows(
        np.array([0.0, 10.0, 20.0]),
        np.array([10.0, 20.0, 30.0]),
        np.array([[2, 3], [5, 12], [30, 40]]),
    )
    assert index.tolist() == [0, 0, 1]
    assert start.tolist() == [2, 5, 10]
    assert stop.tolist() == [3, 10, 12]


def test_file_is_read_back(events, tmp_path):
    few = events.select(slice(0, 100))
    few.write(tmp_path / "events.fits")
    again = LATEventList.read(tmp_path / "events.fits")
    assert again.selection == few.selection
    for name in ("TIME", "ENERGY", "RA", "EVENT_TYPE", "EVENT_CLASS", "MC_SRC_ID"):
        np.testing.assert_array_equal(again.table[name], few.table[name])
    np.testing.assert_allclose(again.gti, few.gti)


def test_tables_are_distributions(real_response):
    tables = make_tables(real_response)
    for cdf, nodes in ((tables.psf, SEPARATION), (tables.edisp, RATIO)):
        assert cdf.shape[-1] == len(nodes)
        np.testing.assert_allclose(cdf[..., -1], 1)
        assert np.all(np.diff(cdf) >= 0)


def test_bad_input(simulator, response, spacecraft):
    with pytest.raises(ValueError, match="energy_min and energy_max must ascend within"):
        LATEventSimulator(response, spacecraft, energy_min="1 MeV")
    with pytest.raises(ValueError, match="zenith_max must be between"):
        LATEventSimulator(response, spacecraft, zenith_max="200 deg")
    with pytest.raises(ValueError, match="lacks RA_SCX"):
        data = {key: spacecraft[key] for key in spacecraft.data if key != "RA_SCX"}
        poor = LATSpacecraft(spacecraft.start, spacecraft.stop, spacecraft.livetime, data)
        LATEventSimulator(response, poor).run([point()], POSITION)
    with pytest.raises(ValueError, match="never live"):
        LATEventSimulator(response, spacecraft, gti=[[0, 10]]).run([point()], POSITION)
    with pytest.raises(ValueError, match="position must be a single SkyCoord"):
        simulator.run([point()], (10, 20))
    with pytest.raises(ValueError, match="radius must be a quantity"):
        simulator.run([point()], POSITION, radius="5 GeV")
    with pytest.raises(ValueError, match="seed must be an integer"):
        simulator.run([point()], POSITION, seed=-1)


def test_models_that_would_be_wrong(simulator):
    model = point()
    model.temporal_model = ExpDecayTemporalModel()
    with pytest.raises(ValueError, match="'point' has a temporal model"):
        simulator.run([model], POSITION)
    with pytest.raises(ValueError, match="'point': fluxes must be finite and not negative"):
        simulator.run([point(amplitude=-1e-9)], POSITION)
    nowhere = SkyModel(PowerLawSpectralModel(), name="nowhere")
    with pytest.raises(ValueError, match="'nowhere' has no spatial model"):
        simulator.run([nowhere], POSITION)
    without = point()
    without.apply_irf["exposure"] = False
    with pytest.raises(ValueError, match="without exposure"):
        simulator.run([without], POSITION)
