"""Kernels of orbits: plain arrays, seconds and radians unless said otherwise."""

import math

import numpy as np
from numba import njit

from ._met import MJDREFF, MJDREFI

# Boundary of the South Atlantic Anomaly of the mission's first years: longitude, latitude [deg]
SAA = np.array(
    [
        [33.9, -30.0],
        [12.4, -19.9],
        [-9.1, -9.7],
        [-30.6, 0.4],
        [-38.4, 2.0],
        [-45.0, 2.0],
        [-65.0, -1.0],
        [-84.0, -6.2],
        [-89.2, -8.9],
        [-94.3, -14.2],
        [-94.3, -18.4],
        [-86.1, -30.0],
    ]
)
# Dipole axis of the Earth's magnetic field in 2008: latitude and longitude of the pole [deg]
DIPOLE_LATITUDE, DIPOLE_LONGITUDE = 80.0, -72.2
J2000 = 51544.5  # MJD
MJD_REFERENCE = MJDREFI + MJDREFF  # of mission elapsed time, TT
TT_MINUS_UT = 65.0  # s, near enough for the Earth's rotation


@njit(cache=True)
def inside_polygon(longitude, latitude, polygon):
    """Whether a point lies inside, by crossings of its parallel; all in degrees."""
    inside = False
    n = len(polygon)
    for i in range(n):
        x1, y1 = polygon[i]
        x2, y2 = polygon[(i + 1) % n]
        if (y1 > latitude) != (y2 > latitude):
            if longitude < x1 + (latitude - y1) / (y2 - y1) * (x2 - x1):
                inside = not inside
    return inside


@njit(cache=True)
def right_ascension(x, y):
    """Degrees, from 0 to 360."""
    angle = math.degrees(math.atan2(y, x))
    return angle + 360.0 if angle < 0 else angle


@njit(cache=True)
def sidereal_angle(time):
    """Mean sidereal time at Greenwich [deg] of mission elapsed time (Meeus, eq. 12.4)."""
    days = (time - TT_MINUS_UT) / 86400.0 + MJD_REFERENCE - J2000
    return (280.46061837 + 360.98564736629 * days) % 360.0


@njit(cache=True)
def sun_direction(time):
    """Unit vector to the Sun, good to 0.01 deg (Astronomical Almanac, section C)."""
    days = time / 86400.0 + MJD_REFERENCE - J2000
    anomaly = math.radians((357.528 + 0.9856003 * days) % 360.0)
    mean = (280.460 + 0.9856474 * days) % 360.0
    ecliptic = math.radians(mean + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly))
    tilt = math.radians(23.439)
    y = math.sin(ecliptic)
    return math.cos(ecliptic), y * math.cos(tilt), y * math.sin(tilt)


@njit(cache=True)
def zenith_direction(time, orbit):
    """Unit vector from the Earth's centre, on a circular orbit with a turning node.

    ``orbit`` is (reference time, period, inclination, node, its rate, phase).
    """
    reference, period, inclination, node, node_rate, phase = orbit
    since = time - reference
    angle = phase + 2 * math.pi * ((since / period) % 1.0)
    node = node + node_rate * since
    along, across = math.cos(angle), math.sin(angle) * math.cos(inclination)
    return (
        math.cos(node) * along - math.sin(node) * across,
        math.sin(node) * along + math.cos(node) * across,
        math.sin(angle) * math.sin(inclination),
    )


@njit(cache=True)
def geographic(zenith, time):
    """Longitude (-180 to 180) and latitude below the spacecraft [deg]."""
    longitude = math.degrees(math.atan2(zenith[1], zenith[0])) - sidereal_angle(time)
    longitude = (longitude + 180.0) % 360.0 - 180.0
    return longitude, math.degrees(math.asin(zenith[2]))


@njit(cache=True)
def find_live(start, cadence, orbit, polygon):
    """Which rows lie outside the polygon at their middle.

    Parameters
    ----------
    start : array, shape (n_row,)
    cadence : float
    orbit : tuple
        As of `zenith_direction`.
    polygon : array, shape (n_corner, 2)
        Longitude and latitude [deg].

    Returns
    -------
    live : array of bool, shape (n_row,)
    """
    live = np.ones(len(start), dtype=np.bool_)
    for i in range(len(start)):
        middle = start[i] + 0.5 * cadence
        longitude, latitude = geographic(zenith_direction(middle, orbit), middle)
        live[i] = not inside_polygon(longitude, latitude, polygon)
    return live


@njit(cache=True)
def rocking(time, orbit, rock_angle, slew_rate):
    """Rocking angle: one side on even orbits, the other on odd ones, with slews between."""
    turns = ((time - orbit[0]) / orbit[1]) % 2.0
    side = 1.0 if turns < 1.0 else -1.0
    distance = turns % 1.0
    distance = min(distance, 1.0 - distance) * orbit[1]
    return side * min(rock_angle, slew_rate * distance)


@njit(cache=True)
def geomagnetic_latitude(longitude, latitude):
    """Latitude in the frame of the dipole; all in degrees."""
    pole = math.radians(DIPOLE_LATITUDE)
    latitude = math.radians(latitude)
    turn = math.cos(math.radians(longitude - DIPOLE_LONGITUDE))
    sine = math.sin(latitude) * math.sin(pole) + math.cos(latitude) * math.cos(pole) * turn
    return math.degrees(math.asin(sine))


@njit(cache=True)
def fill_pointing(start, orbit, rock_angle, slew_rate, out):
    """Pointing at the start of each row.

    The z axis is turned from the zenith towards the orbit's pole by the rocking angle, and the Sun
    is in the half plane of z and +x, as on the mission.

    Parameters
    ----------
    start : array, shape (n_row,)
    orbit : tuple
        As of `zenith_direction`.
    rock_angle, slew_rate : float
        Radians, radians per second.
    out : array, shape (10, n_row)
        Receives, in degrees: right ascension and declination of the zenith, of the z and the x
        axis; longitude, latitude, geomagnetic latitude, rocking angle.
    """
    inclination, node, node_rate = orbit[2], orbit[3], orbit[4]
    for i in range(len(start)):
        time = start[i]
        zenith = zenith_direction(time, orbit)
        angle = node + node_rate * (time - orbit[0])
        pole = (
            math.sin(angle) * math.sin(inclination),
            -math.cos(angle) * math.sin(inclination),
            math.cos(inclination),
        )
        rock = rocking(time, orbit, rock_angle, slew_rate)
        c, s = math.cos(rock), math.sin(rock)
        zx = c * zenith[0] + s * pole[0]
        zy = c * zenith[1] + s * pole[1]
        zz = c * zenith[2] + s * pole[2]
        sx, sy, sz = sun_direction(time)
        along = sx * zx + sy * zy + sz * zz
        xx, xy, xz = sx - along * zx, sy - along * zy, sz - along * zz
        length = math.sqrt(xx * xx + xy * xy + xz * xz)
        longitude, latitude = geographic(zenith, time)
        out[0, i] = right_ascension(zenith[0], zenith[1])
        out[1, i] = latitude
        out[2, i] = right_ascension(zx, zy)
        out[3, i] = math.degrees(math.asin(min(max(zz, -1.0), 1.0)))
        out[4, i] = right_ascension(xx, xy)
        out[5, i] = math.degrees(math.asin(min(max(xz / length, -1.0), 1.0)))
        out[6, i] = longitude
        out[7, i] = latitude
        out[8, i] = geomagnetic_latitude(longitude, latitude)
        out[9, i] = math.degrees(rock)
