"""Orbits against Kepler's law, the mission's first days, and mean exposure of a survey."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation, get_sun
from astropy.time import Time
from astropy.utils import iers

from dmgammapy.makers.lat.orbits import LATOrbitSimulator, repeat_spacecraft
from dmgammapy.makers.lat.spacecraft import LATSpacecraft

START = 239557417.0


def vectors(spacecraft, name):
    ra, dec = np.deg2rad(spacecraft[f"RA_{name}"]), np.deg2rad(spacecraft[f"DEC_{name}"])
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)


@pytest.fixture(scope="module")
def month():
    return LATOrbitSimulator().run(duration="53.4 d")


@pytest.fixture(scope="module")
def whole():
    return LATOrbitSimulator(saa=False).run(duration="4 d")


@pytest.fixture(scope="module")
def real(test_data):
    return LATSpacecraft.read(test_data / "lat/reference/ft2.fits.gz")


def test_rows_follow_each_other_and_leave_out_the_anomaly(month):
    assert month.start[0] == START
    assert np.all(month.stop > month.start)
    assert np.all(month.start[1:] >= month.stop[:-1])
    # published: 13 to 15 % of the time are lost to the South Atlantic Anomaly (Atwood et al. 2009,
    # ApJ 697, 1071, section 2)
    lost = 1 - np.sum(month.stop - month.start) / (53.4 * 86400)
    assert 0.12 < lost < 0.15
    inside = (np.abs(month["LON_GEO"] + 50) < 20) & (month["LAT_GEO"] < -10)
    assert not inside.any()


def test_orbit_is_keplers(whole):
    zenith = vectors(whole, "ZENITH")
    # crossings of the equator northwards are a draconic period apart; 2 pi sqrt(a^3 / GM) with the
    # standard gravitational parameter of WGS 84
    z = zenith[:, 2]
    up = np.flatnonzero((z[:-1] < 0) & (z[1:] >= 0))
    crossing = whole.start[up] - z[up] / (z[up + 1] - z[up]) * 30
    period = 2 * np.pi * np.sqrt((6378.137e3 + 535e3) ** 3 / 3.986004418e14)
    assert np.diff(crossing).mean() == pytest.approx(period, rel=1e-4)
    assert np.rad2deg(np.arcsin(z.max())) == pytest.approx(25.6, abs=0.01)
    # the ascending node moves west by 360 deg in 53.4 d
    node = np.interp(crossing, whole.start, np.unwrap(whole["RA_ZENITH"], period=360)) % 360
    rate = np.polyfit(crossing / 86400, np.unwrap(node, period=360), 1)[0]
    assert rate == pytest.approx(-360 / 53.4, rel=1e-3)


def test_longitude_is_that_of_the_turning_earth(whole):
    time = Time(51910 + 7.428703703703703e-4 + whole.start[::500] / 86400, format="mjd", scale="tt")
    with iers.conf.set_temp("auto_download", False):
        sidereal = time.sidereal_time("mean", EarthLocation.from_geodetic(0, 0)).deg
    difference = whole["RA_ZENITH"][::500] - sidereal - whole["LON_GEO"][::500]
    assert np.abs((difference + 180) % 360 - 180).max() < 0.01


def test_pointing_rocks_by_turns_with_the_sun_aside(whole):
    axis, side, zenith = (vectors(whole, name) for name in ("SCZ", "SCX", "ZENITH"))
    angle = np.rad2deg(np.arccos(np.clip(np.sum(axis * zenith, axis=1), -1, 1)))
    np.testing.assert_allclose(angle, np.abs(whole["ROCK_ANGLE"]), atol=1e-5)
    full = np.abs(whole["ROCK_ANGLE"]) > 49.999
    assert full.mean() > 0.85
    assert np.sign(whole["ROCK_ANGLE"][full]).mean() == pytest.approx(0, abs=0.03)
    np.testing.assert_allclose(np.sum(axis * side, axis=1), 0, atol=1e-12)
    time = Time(51910 + 7.428703703703703e-4 + whole.start[::300] / 86400, format="mjd", scale="tt")
    sun = get_sun(time).cartesian.xyz.value.T
    across = np.cross(axis, side)[::300]
    assert np.abs(np.sum(across * sun, axis=1)).max() < 0.01
    assert np.all(np.sum(side[::300] * sun, axis=1) > 0)


def test_conventions_are_those_of_the_real_file(real):
    """What the simulation assumes of signs, found in the mission's first days."""
    axis, side, zenith, pole = (vectors(real, n) for n in ("SCZ", "SCX", "ZENITH", "NPOLE"))
    rock = np.deg2rad(real["ROCK_ANGLE"])
    # all but slews and pointed observations
    assert np.mean(np.abs(np.sum(axis * pole, axis=1) - np.sin(rock)) < 1e-3) > 0.98
    sun = vectors(real, "SUN")
    assert np.mean(np.abs(np.sum(np.cross(axis, side) * sun, axis=1)) < 0.01) > 0.98
    assert np.all(np.sum(side * sun, axis=1) > 0)
    days = (real.start[-1] - real.start[0]) / 86400
    turned = (real["RA_NPOLE"][-1] - real["RA_NPOLE"][0]) / days
    assert turned == pytest.approx(-360 / 53.4, rel=2e-3)


def test_livetime_follows_the_real_file(real, month):
    def by_latitude(spacecraft):
        fraction = spacecraft.livetime / (spacecraft.stop - spacecraft.start)
        which = np.digitize(np.abs(spacecraft["GEOMAG_LAT"]), [10, 20, 25, 30, 35])
        return np.array([fraction[which == i].mean() for i in range(5)])

    np.testing.assert_allclose(by_latitude(month), by_latitude(real), atol=0.006)


def test_survey_sees_all_of_the_sky(month):
    """Mean exposure of P8R3_SOURCE_V3 at 1 GeV, zenith < 90 deg: 3.99e10 cm2 s a year."""
    from dmgammapy.makers.lat.response import LATResponse

    rng = np.random.default_rng(1)
    position = rng.normal(size=(60, 3))
    position /= np.linalg.norm(position, axis=1)[:, None]
    axis = vectors(month, "SCZ")[::10]
    costheta = axis @ position.T
    area = LATResponse.parametrised().parts["FB"].aeff.evaluate(1000.0, costheta)
    area = area * (vectors(month, "ZENITH")[::10] @ position.T > 0)
    exposure = month.livetime[::10] @ area * 10 * 365.25 / 53.4
    assert exposure.mean() == pytest.approx(3.99e10, rel=0.1)
    assert exposure.std() < 0.2 * exposure.mean()


def test_time_and_cadence():
    start = Time("2010-01-01T00:00:00", scale="utc")
    spacecraft = LATOrbitSimulator(saa=False, cadence="60 s").run(start, duration=90 * u.s)
    # published conversion: 2010-01-01 UTC is 283996802 s
    np.testing.assert_allclose(spacecraft.start, [283996802, 283996862], atol=1e-3)
    np.testing.assert_allclose(spacecraft.stop - spacecraft.start, [60, 30], atol=1e-6)


def test_repeated_day(real):
    long = repeat_spacecraft(real, "2000 d")
    span = real.stop[-1] - real.start[0]
    n = len(real)
    assert long.start[-1] < real.start[0] + 2000 * 86400 <= long.stop[-1] + span
    assert np.all(long.start[1:] >= long.stop[:-1])
    np.testing.assert_array_equal(long.livetime[n : 2 * n], real.livetime)
    np.testing.assert_allclose(long.start[n : 2 * n] - real.start, span, atol=1e-6)
    assert np.sum(long.stop[:-1] - long.start[:-1]) > 0.82 * 1999 * 86400
    # the next repetition is the first one, turned about the celestial pole
    turn = np.deg2rad(360 * span / (53.4 * 86400))
    matrix = np.array(
        [[np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    )
    for name in ("SCZ", "ZENITH", "SCX"):
        both = vectors(long, name)
        np.testing.assert_allclose(both[n : 2 * n], both[:n] @ matrix.T, atol=1e-6)
    np.testing.assert_array_equal(long["LAT_GEO"][n : 2 * n], real["LAT_GEO"])
    assert "SC_POSITION" not in long.data


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"altitude": "535 s"}, "altitude must be a quantity in km"),
        ({"inclination": "100 deg"}, "inclination must be between 0 and 90 deg"),
        ({"cadence": "0 s"}, "cadence must be between"),
    ],
)
def test_bad_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        LATOrbitSimulator(**arguments)


def test_bad_runs():
    simulator = LATOrbitSimulator()
    with pytest.raises(ValueError, match="duration must be between"):
        simulator.run(duration="-1 d")
    with pytest.raises(ValueError, match="mission elapsed time"):
        simulator.run(time_start=-5.0)
    empty = LATSpacecraft(np.zeros(0), np.zeros(0), np.zeros(0), {})
    with pytest.raises(ValueError, match="no rows to repeat"):
        repeat_spacecraft(empty, "1 d")
