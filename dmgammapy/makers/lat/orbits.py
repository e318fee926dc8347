"""Spacecraft files of the future and of tests: orbits computed, or a real day repeated."""

import astropy.units as u
import numpy as np
from astropy.constants import G, M_earth, R_earth
from astropy.time import Time

from ._orbits import MJD_REFERENCE, SAA, fill_pointing, find_live
from .spacecraft import LATSpacecraft

__all__ = ["LATOrbitSimulator", "repeat_spacecraft"]

MISSION_START = 239557417.0  # s, start of science operations, 2008-08-04 15:43:36 UTC
PRECESSION = 53.4 * u.d
SLEW_RATE = 11.2 * u.deg / u.min  # of the mission's first day
# Livetime over elapsed time falls with the rate of cosmic rays: means of the mission's first two
# days by geomagnetic latitude, within 0.003 up to 40 deg
LIVE_FRACTION = (0.934, 0.088, 38.0)
TURNING = ("RA_ZENITH", "RA_SCZ", "RA_SCX", "RA_NPOLE")
COLUMNS = (
    "RA_ZENITH",
    "DEC_ZENITH",
    "RA_SCZ",
    "DEC_SCZ",
    "RA_SCX",
    "DEC_SCX",
    "LON_GEO",
    "LAT_GEO",
    "GEOMAG_LAT",
    "ROCK_ANGLE",
)


class LATOrbitSimulator:
    """Where the LAT points, on a circular orbit in survey mode.

    The spacecraft circles on a precessing orbit and rocks north and south of the zenith on
    alternate orbits; in the South Atlantic Anomaly there are no rows. Livetime falls with
    geomagnetic latitude as it did on the mission's first days. Good for simulations and
    benchmarks: positions are not those of the real spacecraft.

    Parameters
    ----------
    altitude : `~astropy.units.Quantity` or str
        Above the equator. Default is "535 km"; the period follows from it, 95.3 minutes.
    inclination : `~astropy.units.Quantity` or str
        Default is "25.6 deg".
    precession_period : `~astropy.units.Quantity` or str
        In which the node turns westward once. Default is "53.4 d".
    rock_angle : `~astropy.units.Quantity` or str
        Between zenith and the LAT's axis. Default is "50 deg", in use since September 2009.
    cadence : `~astropy.units.Quantity` or str
        Length of a row. Default is "30 s".
    saa : bool
        Whether to leave out the South Atlantic Anomaly. Default is True.
    node, phase : `~astropy.units.Quantity` or str
        Right ascension of the ascending node, and angle from it, at the start. Default is "0 deg".

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> from dmgammapy.makers.lat.orbits import LATOrbitSimulator
    >>> simulator = LATOrbitSimulator()
    >>> simulator
    LATOrbitSimulator(altitude=535 km, inclination=25.6 deg, rock_angle=50 deg, cadence=30 s)
    >>> spacecraft = simulator.run(duration="1 d")
    >>> float(spacecraft.start[0]), len(spacecraft) < 2880
    (239557417.0, True)
    """

    def __init__(
        self,
        altitude="535 km",
        inclination="25.6 deg",
        precession_period=PRECESSION,
        rock_angle="50 deg",
        cadence="30 s",
        saa=True,
        node="0 deg",
        phase="0 deg",
    ):
        self.altitude = _within("altitude", altitude, "km", 0, 2000)
        self.inclination = _within("inclination", inclination, "deg", 0, 90)
        self.precession_period = _within("precession_period", precession_period, "d", 0, np.inf)
        self.rock_angle = _within("rock_angle", rock_angle, "deg", -1e-9, 180)
        self.cadence = _within("cadence", cadence, "s", 0, 600)
        self.saa = bool(saa)
        self.node = _within("node", node, "deg", -361, 361)
        self.phase = _within("phase", phase, "deg", -361, 361)

    @property
    def period(self):
        """Of the orbit, by Kepler's third law."""
        radius = R_earth + self.altitude
        return (2 * np.pi * np.sqrt(radius**3 / (G * M_earth))).to("min")

    def run(self, time_start=MISSION_START, duration="1 yr"):
        """Compute the rows.

        Parameters
        ----------
        time_start : `~astropy.time.Time` or float
            Mission elapsed time [s] if a number. Default is the start of science operations.
        duration : `~astropy.units.Quantity` or str
            Default is "1 yr".

        Returns
        -------
        spacecraft : `~dmgammapy.makers.lat.LATSpacecraft`
        """
        time_start = _mission_time(time_start)
        duration = _within("duration", duration, "s", 0, 100 * 365.25 * 86400).value
        cadence = self.cadence.value
        start = time_start + cadence * np.arange(np.ceil(duration / cadence - 1e-9))
        orbit = (
            time_start,
            self.period.to_value("s"),
            self.inclination.to_value("rad"),
            self.node.to_value("rad"),
            -2 * np.pi / self.precession_period.to_value("s"),
            self.phase.to_value("rad"),
        )
        if self.saa:
            start = start[find_live(start, cadence, orbit, SAA)]
            if len(start) == 0:
                raise ValueError(
                    f"duration: the spacecraft is in the South Atlantic Anomaly for all of the "
                    f"{duration:g} s; take a longer one or saa=False."
                )
        stop = np.minimum(start + cadence, time_start + duration)
        rows = np.empty((len(COLUMNS), len(start)))
        rate = SLEW_RATE.to_value("rad / s")
        fill_pointing(start, orbit, self.rock_angle.to_value("rad"), rate, rows)
        data = dict(zip(COLUMNS, rows, strict=True))
        high, drop, scale = LIVE_FRACTION
        fraction = np.abs(data["GEOMAG_LAT"]) / scale
        fraction = high - drop * np.minimum(fraction**3, 1.2)
        # constant columns take no memory
        constant = {"IN_SAA": False, "LAT_MODE": 5, "LAT_CONFIG": 1, "DATA_QUAL": 1}
        for name, value in constant.items():
            kind = np.bool_ if name == "IN_SAA" else np.int16
            data[name] = np.broadcast_to(np.array(value, dtype=kind), start.shape)
        return LATSpacecraft(start, stop, fraction * (stop - start), data)

    def __repr__(self):
        return (
            f"{type(self).__name__}(altitude={self.altitude:g}, inclination={self.inclination:g}, "
            f"rock_angle={self.rock_angle:g}, cadence={self.cadence:g})"
        )


def repeat_spacecraft(spacecraft, duration, precession_period=PRECESSION):
    """Go on as a real spacecraft file does, by repeating it.

    Each repetition starts where the last one stops. Its right ascensions are turned westward as
    the orbit's node turns meanwhile; geographic positions, gaps and livetimes stay as they are.

    Parameters
    ----------
    spacecraft : `~dmgammapy.makers.lat.LATSpacecraft`
    duration : `~astropy.units.Quantity` or str
        Of the result; the last repetition is cut at a row.
    precession_period : `~astropy.units.Quantity` or str
        In which the node turns once. Default is 53.4 d.

    Returns
    -------
    spacecraft : `~dmgammapy.makers.lat.LATSpacecraft`

    Raises
    ------
    ValueError
        If there are no rows, or an argument is out of range.

    Examples
    --------
    >>> from dmgammapy.makers.lat.orbits import LATOrbitSimulator, repeat_spacecraft
    >>> day = LATOrbitSimulator(saa=False).run(duration="1 d")
    >>> len(day), len(repeat_spacecraft(day, "10 d"))
    (2880, 28800)
    """
    if len(spacecraft) == 0:
        raise ValueError("the spacecraft file has no rows to repeat.")
    duration = _within("duration", duration, "s", 0, np.inf).value
    period = _within("precession_period", precession_period, "s", 0, np.inf).value
    start = np.asarray(spacecraft.start, dtype=float)
    span = float(spacecraft.stop[-1] - start[0])
    n_repeat = int(np.ceil(duration / span - 1e-9))
    shift = span * np.arange(n_repeat)
    starts = (start[0] + shift)[:, None] + (start - start[0])
    n_row = np.searchsorted(starts.ravel(), start[0] + duration - 1e-6)
    turn = (360.0 * shift / period) % 360.0

    def repeat(values):
        return np.broadcast_to(values, (n_repeat, len(values))).reshape(-1)[:n_row]

    data = {}
    for name, values in spacecraft.data.items():
        values = np.asarray(values)
        if name in TURNING:
            values = (values.astype(float) - turn[:, None]) % 360.0
            data[name] = values.reshape(-1)[:n_row]
        elif values.ndim == 1:
            data[name] = repeat(values)
        # vectors, such as SC_POSITION, would have to be turned as well, and nothing needs them
    length = np.asarray(spacecraft.stop, dtype=float) - start
    starts = starts.reshape(-1)[:n_row]
    stops = starts + repeat(length)
    # rounding of shifted times must not make neighbours overlap
    np.minimum(stops[:-1], starts[1:], out=stops[:-1])
    return LATSpacecraft(starts, stops, repeat(spacecraft.livetime), data)


def _within(name, value, unit, low, high):
    """Quantity in the unit, or an error that names the argument."""
    try:
        value = u.Quantity(value).to(unit)
    except (TypeError, u.UnitConversionError) as error:
        raise ValueError(f"{name} must be a quantity in {unit} or alike, got {value!r}.") from error
    if not value.isscalar or not low < value.value < high:
        raise ValueError(
            f"{name} must be between {max(low, 0):g} and {high:g} {unit}, got {value}."
        )
    return value


def _mission_time(time):
    """Mission elapsed time [s] of a Time or number."""
    if isinstance(time, Time):
        return float((time - Time(MJD_REFERENCE, format="mjd", scale="tt")).to_value("s"))
    time = float(time)
    if not np.isfinite(time) or time < 0:
        raise ValueError(f"time_start must be mission elapsed time in s, not negative, got {time}.")
    return time
