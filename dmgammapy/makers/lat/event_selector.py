"""Selection of events as ``gtselect`` makes it: `LATEventSelector`."""

import logging
from dataclasses import replace

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord

from ._cuts import angular_separation, parse_event_class, parse_event_type
from ._dss_keys import range_text
from ._fits import expand_paths
from ._gti import clip_gti, gti_mask
from ._met import to_met
from .events import LATEventList

__all__ = ["LATEventSelector"]

log = logging.getLogger(__name__)

UNASSIGNED = 1e-3  # part of the events that may have the phase 0 by chance or rounding


class LATEventSelector:
    """Select events of the LAT by class, type, energy, zenith angle, cone, time and phase.

    Limits are as in ``gtselect``: the lower limit of a range is excluded, the upper one belongs
    to it; a cone is open. (Maps of Gammapy leave out an event exactly at their last energy.) Cuts
    only narrow: one that is wider than what the events were cut to before, by their DSS keywords,
    is an error. A cone that crosses that of the events is kept besides it, see
    ``selection.cones``.

    Parameters
    ----------
    event_class : str or int, optional
        Name ("SOURCE", "P8R3_ULTRACLEANVETO") or bit mask.
    event_type : str, int or list of str, optional
        "FB", "FRONT", "BACK", "PSF", "PSF0" to "PSF3", "EDISP", "EDISP0" to "EDISP3", several of
        one partition, or bit mask.
    energy_min, energy_max : `~astropy.units.Quantity` or str, optional
        Reconstructed energies.
    zenith_max : `~astropy.units.Quantity` or str, optional
        Largest zenith angle.
    position : `~astropy.coordinates.SkyCoord`, optional
        Center of the cone, with ``radius``.
    radius : `~astropy.units.Quantity` or str, optional
        Of the cone.
    time_min, time_max : `~astropy.time.Time`, `~astropy.units.Quantity` or float, optional
        Time, or mission elapsed time [s].
    phase : list of (float, float), optional
        Ranges of PULSE_PHASE from 0 to 1; one that descends, (0.9, 0.1), goes through 0. The
        response knows nothing of it: scale exposures by ``selection.phase_fraction``. Phases must
        be assigned to all events.
    columns : list of str or "needed", optional
        Columns to read from files, see `LATEventList.read`. Default is all.

    Raises
    ------
    ValueError
        If a value is not valid.

    Examples
    --------
    >>> from dmgammapy.makers.lat.event_selector import LATEventSelector
    >>> LATEventSelector(event_class="SOURCE", event_type="PSF3", energy_min="1 GeV")
    LATEventSelector(event_class=128, event_type=32, energy_min=1000 MeV)
    """

    def __init__(
        self,
        event_class=None,
        event_type=None,
        energy_min=None,
        energy_max=None,
        zenith_max=None,
        position=None,
        radius=None,
        time_min=None,
        time_max=None,
        phase=None,
        columns=None,
    ):
        self.event_class = None if event_class is None else parse_event_class(event_class)
        self.event_type = None if event_type is None else parse_event_type(event_type)
        self.energy_min = _positive(energy_min, "MeV", "energy_min")
        self.energy_max = _positive(energy_max, "MeV", "energy_max")
        self.zenith_max = _positive(zenith_max, "deg", "zenith_max", 180)
        self.cone = cone_of(position, radius)
        self.time_min, self.time_max = time_min, time_max
        self.phase = None if phase is None else _check_phase(phase)
        self.columns = columns

    def __repr__(self):
        units = {"energy_min": " MeV", "energy_max": " MeV", "zenith_max": " deg", "cone": " deg"}
        parts = [
            f"{name}={value:g}{units.get(name, '')}"
            if isinstance(value, float)
            else f"{name}={value}{units.get(name, '')}"
            for name, value in vars(self).items()
            if value is not None
        ]
        return f"LATEventSelector({', '.join(parts)})"

    def run(self, events):
        """Select.

        Parameters
        ----------
        events : `LATEventList`, str, `~pathlib.Path` or list
            Events, or files as for `LATEventList.read`. Each file is cut when it is read, so that
            memory is needed for what is selected only.

        Returns
        -------
        events : `LATEventList`
            New list, with its good times and data selection brought up to date.

        Raises
        ------
        ValueError
            If a cut is wider than that of the events, a column it needs is absent, or no good
            time is left.
        """
        if isinstance(events, LATEventList):
            return self._select(events)
        paths = expand_paths(events)
        # a file may have no time in common with the cut, all of them must not
        pieces = [
            self._select(LATEventList.read(path, columns=self.columns), path, len(paths) > 1)
            for path in paths
        ]
        selected = LATEventList.stack(pieces, paths)
        self._check_time(selected.gti)
        return selected

    def _select(self, events, source="the events", may_be_empty=False):
        """Select of one list."""
        try:
            selection = events.selection.narrowed(
                event_class=self.event_class,
                event_type=self.event_type,
                energy=(self.energy_min, self.energy_max) if self._cuts_energy else None,
                zenith_max=self.zenith_max,
                cone=self.cone,
            )
            if self.phase is not None:
                selection = selection.with_phase(self.phase)
            gti, mask = self._times(events)
            mask &= self._mask(events)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error
        if not may_be_empty:
            self._check_time(gti)
        log.info("%s: %d of %d events selected.", source, np.count_nonzero(mask), len(events))
        if self._cuts_time and selection.time is not None:
            # the good times say it, and a range in the keywords would be that of the query
            selection = replace(selection, time=None)
        header = events.header.copy()
        if self._cuts_time and len(gti):
            header["TSTART"], header["TSTOP"] = self._time_range(events, header)
        header.add_history(f"dmgammapy {self!r}")
        return LATEventList(events.table[mask], gti, selection, header)

    @property
    def _cuts_energy(self):
        return self.energy_min is not None or self.energy_max is not None

    @property
    def _cuts_time(self):
        return self.time_min is not None or self.time_max is not None

    def _limits(self, header):
        """Time range in mission elapsed time."""
        low, high = (
            None if time is None else to_met(time, header)
            for time in (self.time_min, self.time_max)
        )
        if None not in (low, high) and not low < high:
            raise ValueError(f"time_min must be before time_max, got {low} and {high} s.")
        return low, high

    def _time_range(self, events, header):
        """TSTART and TSTOP after the cut."""
        low, high = self._limits(header)
        start = header.get("TSTART", events.gti[:, 0].min())
        stop = header.get("TSTOP", events.gti[:, 1].max())
        return (
            start if low is None else max(low, start),
            stop if high is None else min(high, stop),
        )

    def _times(self, events):
        """Good times after the cut, and a mask of events in them."""
        low, high = self._limits(events.header)
        gti = clip_gti(events.gti, low, high)
        time = events.column("TIME")
        mask = gti_mask(time, gti)
        if low is not None:
            mask &= time > low
        return gti, mask

    def _check_time(self, gti):
        """Without good time there is nothing that events could be compared with."""
        if np.sum(gti[:, 1] - gti[:, 0]) > 0:
            return
        raise ValueError(
            f"no good time is left by time_min = {self.time_min} and time_max = {self.time_max}; "
            "choose a range that the events cover."
        )

    def _mask(self, events):
        """Events that pass all cuts but those in time."""
        mask = np.ones(len(events), dtype=bool)
        for name, bits in (("EVENT_CLASS", self.event_class), ("EVENT_TYPE", self.event_type)):
            if bits is not None:
                mask &= (_bits(events, name) & np.uint32(bits)) != 0
        energy = events.column("ENERGY")
        if self.energy_min is not None:
            mask &= energy > self.energy_min
        if self.energy_max is not None:
            mask &= energy <= self.energy_max
        if self.zenith_max is not None:
            mask &= events.column("ZENITH_ANGLE") <= self.zenith_max
        if self.cone is not None:
            lon, lat, radius = self.cone
            separation = angular_separation(events.column("RA"), events.column("DEC"), lon, lat)
            mask &= separation < radius
        if self.phase is not None:
            mask &= _phase_mask(events.column("PULSE_PHASE"), self.phase)
        return mask


def _positive(value, unit, name, largest=np.inf):
    """Number in a unit, or None."""
    if value is None:
        return None
    number = float(u.Quantity(value).to_value(unit))
    if not 0 <= number <= largest:
        raise ValueError(f"{name} must be within 0 and {largest:g} {unit}, got {value}.")
    return number


def cone_of(position, radius):
    """Right ascension, declination and radius [deg] of a cone, None without one.

    Parameters
    ----------
    position : `~astropy.coordinates.SkyCoord` or None
    radius : `~astropy.units.Quantity`, str or None

    Returns
    -------
    cone : (float, float, float) or None

    Raises
    ------
    ValueError
        If only one is given, or the position is not a single one.
    """
    if position is None and radius is None:
        return None
    if position is None or radius is None:
        raise ValueError("a cone needs both, position and radius.")
    if not isinstance(position, SkyCoord) or not position.isscalar:
        raise ValueError(f"position must be one SkyCoord, got {position!r}.")
    icrs = position.icrs
    return float(icrs.ra.deg), float(icrs.dec.deg), _positive(radius, "deg", "radius", 180)


def _bits(events, name):
    """Classes or types as unsigned integers."""
    if name not in events.table.colnames:
        raise ValueError(
            f"the events have no column {name}, only {', '.join(events.table.colnames)}."
        )
    return np.asarray(events.table[name]).astype(np.uint32)


def _check_phase(phase):
    """Ranges of phase as tuples, those through 0 cut in two."""
    ranges = np.asarray(phase, dtype=float)
    if ranges.ndim == 1:
        ranges = ranges[np.newaxis]
    if ranges.ndim != 2 or ranges.shape[1] != 2 or not ((ranges >= 0) & (ranges <= 1)).all():
        raise ValueError(f"phase must be pairs of numbers from 0 to 1, got {phase!r}.")
    pieces = []
    for low, high in ranges.tolist():
        if low == high:
            raise ValueError(f"phase: a range must not be empty, got {low:g} to {high:g}.")
        pieces.extend([(low, high)] if low < high else [(0.0, high), (low, 1.0)])
    pieces = sorted(piece for piece in pieces if piece[0] < piece[1])
    for before, after in zip(pieces, pieces[1:], strict=False):
        if after[0] < before[1]:
            raise ValueError(
                f"phase: ranges must not overlap, got {range_text(before)} and {range_text(after)}."
            )
    return tuple(pieces)


def _phase_mask(phase, ranges):
    """Events in ranges of phase; 0 is 1."""
    is_wrong = ~((phase >= 0) & (phase <= 1))
    if is_wrong.any():
        raise ValueError(
            f"PULSE_PHASE must be within 0 and 1, got {phase[is_wrong][0]} for "
            f"{is_wrong.sum()} of {len(phase)} events; assign phases to all of them."
        )
    # a new column is zero until gtpphase comes to an event, and it stops at the end of an ephemeris
    n_zero = np.count_nonzero(phase == 0)
    if n_zero > max(1, UNASSIGNED * len(phase)):
        raise ValueError(
            f"PULSE_PHASE is exactly 0 for {n_zero} of {len(phase)} events, which have no phase "
            "yet; run gtpphase on all of them, or cut to the times of the ephemeris first."
        )
    phase = np.where(phase == 0, 1.0, phase)
    mask = np.zeros(phase.shape, dtype=bool)
    for low, high in ranges:
        mask |= (phase > low) & (phase <= high)
    return mask
