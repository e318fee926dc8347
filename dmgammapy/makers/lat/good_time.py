"""Good times as ``gtmktime`` makes them: `LATGoodTimeSelector`."""

import logging

import astropy.units as u
import numpy as np

from ._cones import cone_text
from ._cuts import angular_separation
from ._expressions import FilterExpression
from ._gti import gti_mask, intersect_gti, join_rows, merge_gti
from .event_selector import cone_of
from .events import LATEventList
from .spacecraft import LATSpacecraft

__all__ = ["LATGoodTimeSelector"]

log = logging.getLogger(__name__)

# parts of the good time that gaps of the spacecraft file may take before a warning: passages of
# the South Atlantic Anomaly take 13 to 16 % of a day
LOST_MAX, LOST_MAX_UNCUT = 0.01, 0.25


class LATGoodTimeSelector:
    """Keep the times, and their events, in which the spacecraft fulfils a condition.

    Rows of the spacecraft file that pass are joined where one starts when the other stops, and
    intersected with the good time intervals of the events.

    Parameters
    ----------
    filter : str
        Condition on the columns of the spacecraft file, see `FilterExpression`. Default is the
        one recommended, "DATA_QUAL>0 && LAT_CONFIG==1".
    roi_zenith_max : `~astropy.units.Quantity`, str or "selection", optional
        Remove the times in which a part of the region is farther than this from the zenith
        (``roicut`` of ``gtmktime``): angle of its center from the zenith plus its radius.
        "selection" takes the events' zenith angle cut. Default is no such cut. Where the events
        are of several cones that cross, times stay in which one of these, and with it all that is
        in every cone, is near enough.
    position : `~astropy.coordinates.SkyCoord`, optional
        Center of the region. Default is the cone of the events.
    radius : `~astropy.units.Quantity` or str, optional
        Of the region.
    gap_max : `~astropy.units.Quantity` or str
        Gaps of the spacecraft file no longer than this are passages of the South Atlantic Anomaly:
        good time in them is removed. Good time in longer ones, of which it is the whole gap that
        counts, is an error. Default is 1 h; passages take half an hour. Their sum is logged, as a
        warning above 1 % of the good time where the good times leave out the larger part of all
        gaps, and so have been cut by such files before, else above 25 %.

    Raises
    ------
    ValueError
        If the filter has anything but comparisons and arithmetic, or a value is not valid.

    Examples
    --------
    >>> from dmgammapy.makers.lat.good_time import LATGoodTimeSelector
    >>> LATGoodTimeSelector(roi_zenith_max="100 deg")
    LATGoodTimeSelector(filter='DATA_QUAL>0 && LAT_CONFIG==1', roi_zenith_max=100.0 deg)
    """

    def __init__(
        self,
        filter="DATA_QUAL>0 && LAT_CONFIG==1",
        roi_zenith_max=None,
        position=None,
        radius=None,
        gap_max="1 h",
    ):
        self.filter = filter
        self._expression = FilterExpression(filter)
        self.roi_zenith_max = roi_zenith_max
        if roi_zenith_max is not None and not _is_selection(roi_zenith_max):
            self.roi_zenith_max = u.Quantity(roi_zenith_max).to("deg")
            if not 0 < self.roi_zenith_max.value <= 180:
                raise ValueError(
                    f"roi_zenith_max must be within 0 and 180 deg, got {roi_zenith_max}."
                )
        self.cone = cone_of(position, radius)
        if self.cone is not None and roi_zenith_max is None:
            raise ValueError("position and radius are used with roi_zenith_max only; give it too.")
        self.gap_max = u.Quantity(gap_max).to("s")

    def __repr__(self):
        parts = [f"filter={self.filter!r}"]
        if self.roi_zenith_max is not None:
            parts.append(f"roi_zenith_max={self.roi_zenith_max}")
        if self.cone is not None:
            parts.append(f"cone={self.cone} deg")
        return f"LATGoodTimeSelector({', '.join(parts)})"

    def run(self, events, spacecraft):
        """Select.

        Parameters
        ----------
        events : `LATEventList`, str, `~pathlib.Path` or list
            Events or their files.
        spacecraft : `LATSpacecraft`, str, `~pathlib.Path` or list
            Spacecraft data of the same time, or their files.

        Returns
        -------
        events : `LATEventList`
            New list.

        Raises
        ------
        ValueError
            If the filter has a name that is no column, spacecraft data lack a part of the good
            times, the region is unknown for the zenith cut, or no good time is left.
        """
        if not isinstance(events, LATEventList):
            events = LATEventList.read(events)
        if not isinstance(spacecraft, LATSpacecraft):
            spacecraft = LATSpacecraft.read(spacecraft)
        gti = self.good_times(spacecraft, events.gti, events.selection)
        mask = gti_mask(events.column("TIME"), gti)
        log.info(
            "%d of %d events and %.3f of %.3f s are in good times.",
            np.count_nonzero(mask),
            len(events),
            np.sum(gti[:, 1] - gti[:, 0]),
            events.ontime.to_value("s"),
        )
        header = events.header.copy()
        header.add_history(f"dmgammapy {self!r}")
        return LATEventList(events.table[mask], gti, events.selection, header)

    def good_times(self, spacecraft, gti, selection=None):
        """Good times without events.

        Parameters
        ----------
        spacecraft : `LATSpacecraft`
        gti : array, shape (n, 2)
            Good time intervals to start from [s].
        selection : `LATDataSelection`, optional
            For the region and the zenith angle, where they are not given.

        Returns
        -------
        gti : array, shape (m, 2)
            Mission elapsed time [s].

        Raises
        ------
        ValueError
            See `run`.
        """
        gti = merge_gti(gti)
        if len(gti) == 0:
            raise ValueError("the events have no good time to start from.")
        missing = spacecraft.check_coverage(gti, gap_max=self.gap_max.to_value("s"))
        _report_gaps(spacecraft, gti, missing)
        spacecraft = spacecraft.slice(gti[0, 0], gti[-1, 1])
        resolved = self._expression.resolve(spacecraft.names).values()
        # START gives the number of rows where the filter uses no column
        good = self._expression.evaluate({name: spacecraft[name] for name in {"START", *resolved}})
        cuts = [f"filter {self.filter!r}"]
        if self.roi_zenith_max is not None:
            inside, text = self._roi_mask(spacecraft, selection)
            good &= inside
            cuts.append(text)
        result = intersect_gti(join_rows(spacecraft.start[good], spacecraft.stop[good]), gti)
        if np.sum(result[:, 1] - result[:, 0]) <= 0:
            raise ValueError(
                f"no good time is left by {' and '.join(cuts)}: {np.count_nonzero(good)} of "
                f"{len(spacecraft)} spacecraft rows pass, and none in the good times of the "
                f"events ({np.sum(gti[:, 1] - gti[:, 0]):.3f} s)."
            )
        return result

    def _roi_mask(self, spacecraft, selection):
        """Rows in which the whole region is near enough to the zenith."""
        cones = (self.cone,) if self.cone else getattr(selection, "cones", ())
        if not cones:
            raise ValueError(
                "roi_zenith_max needs the region: the events have no cone (DSS key POS(RA,DEC)); "
                "give position and radius."
            )
        if _is_selection(self.roi_zenith_max):
            zenith_max = selection.zenith_max if selection is not None else None
            if zenith_max is None:
                raise ValueError(
                    "roi_zenith_max='selection': the events have no zenith cut; give an angle."
                )
        else:
            zenith_max = self.roi_zenith_max.to_value("deg")
        absent = [name for name in ("RA_ZENITH", "DEC_ZENITH") if name not in spacecraft]
        if absent:
            raise ValueError(
                f"roi_zenith_max needs the columns {', '.join(absent)} of the spacecraft file."
            )
        good = np.zeros(len(spacecraft), dtype=bool)
        # the region is in every cone, so that it is where any of them is
        for cone in cones:
            angle = angular_separation(
                spacecraft["RA_ZENITH"], spacecraft["DEC_ZENITH"], cone[0], cone[1]
            )
            good |= angle + cone[2] < zenith_max
        named = " and ".join(cone_text(cone) for cone in cones)
        return good, f"roi_zenith_max = {zenith_max:g} deg, {named} deg"


def _report_gaps(spacecraft, gti, missing):
    """Log what gaps of the spacecraft data take from good times."""
    if len(missing) == 0:
        return
    lost, total = _seconds(missing), _seconds(gti)
    left_out = _seconds(intersect_gti(spacecraft.gaps(), gti[[0, -1], [0, 1]][np.newaxis])) - lost
    most = LOST_MAX if left_out > lost else LOST_MAX_UNCUT
    log.log(
        logging.WARNING if lost > most * total else logging.INFO,
        "%.3f s in %d gaps of the spacecraft file are removed from the good times (%.1f %% of "
        "%.3f s).",
        lost,
        len(missing),
        100 * lost / total,
        total,
    )
    if lost > most * total:
        log.warning("Spacecraft files seem to lack rows: longest such gap %s.", _longest(missing))


def _seconds(times):
    """Sum of intervals [s]."""
    return float(np.sum(times[:, 1] - times[:, 0]))


def _longest(times):
    """Longest interval, for messages."""
    start, stop = times[np.argmax(times[:, 1] - times[:, 0])]
    return f"{start:.3f} to {stop:.3f} s"


def _is_selection(value):
    """Whether the zenith angle is that of the events."""
    return isinstance(value, str) and value.strip().lower() == "selection"
