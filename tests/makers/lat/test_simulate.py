"""Simulated events: cuts, times, seeds, files, bad input, and a uniform sky."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.modeling.models import (
    ExpDecayTemporalModel,
    Models,
    PowerLawSpectralModel,
    SkyModel,
)
from scipy.stats import kstest

from dmgammapy.makers.lat._simulate_rows import LiveRows, cut_rows
from dmgammapy.makers.lat.events import LATEventList
from dmgammapy.makers.lat.exposure import LATExposureMaker
from dmgammapy.makers.lat.livetime import LATLivetimeMaker
from dmgammapy.makers.lat.orbits import LATOrbitSimulator
from dmgammapy.makers.lat.response import LATResponse
from dmgammapy.makers.lat.simulate import LATEventSimulator
from dmgammapy.makers.lat.spacecraft import LATSpacecraft
from tests.makers.lat.simulate_helpers import (
    POSITION,
    TWO_SIDED,
    assert_flat,
    assert_poisson,
    integrated,
    isotropic,
    point,
)


@pytest.fixture(scope="module")
def response():
    return LATResponse.parametrised()


@pytest.fixture(scope="module")
def spacecraft():
    return LATOrbitSimulator().run(duration="20 d")


@pytest.fixture(scope="module")
def simulator(response, spacecraft):
    return LATEventSimulator(response, spacecraft)


@pytest.fixture(scope="module")
def events(simulator):
    """About 30 000 photons of a bright source."""
    return simulator.run([point()], POSITION, "30 deg", seed=3)


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


def test_bad_input(simulator, response, spacecraft):
    with pytest.raises(ValueError, match="energy_min and energy_max must ascend within"):
        LATEventSimulator(response, spacecraft, energy_min="1 MeV")
    with pytest.raises(ValueError, match="zenith_max must be between"):
        LATEventSimulator(response, spacecraft, zenith_max="200 deg")
    data = {key: spacecraft[key] for key in spacecraft.data if key != "RA_SCX"}
    poor = LATSpacecraft(spacecraft.start, spacecraft.stop, spacecraft.livetime, data)
    poor = LATEventSimulator(response, poor)
    with pytest.raises(ValueError, match="lacks RA_SCX"):
        poor.run([point()], POSITION)
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
