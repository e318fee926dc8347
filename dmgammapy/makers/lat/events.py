"""Event files (FT1) of the LAT with their good times and data selection."""

import copy
import logging
from dataclasses import dataclass, replace

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time

from ._dss import LATDataSelection
from ._events_io import UNITS, event_header, read_events, write_events
from ._fits import expand_paths
from ._gti import as_gti, merge_gti
from ._met import met_to_time

__all__ = ["LATEventList"]

log = logging.getLogger(__name__)

IDENTITY = ("TIME", "RUN_ID", "EVENT_ID")


@dataclass(repr=False)
class LATEventList:
    """Photons of the LAT.

    Attributes
    ----------
    table : `~astropy.table.Table`
        Columns as in the file; EVENT_CLASS and EVENT_TYPE as unsigned integers.
    gti : array, shape (n_gti, 2)
        Good time intervals, mission elapsed time in seconds.
    selection : `LATDataSelection`
        What the DSS keywords say.
    header : `~astropy.io.fits.Header`, optional
        Of the EVENTS extension. Default is the mission's standard one.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from dmgammapy.makers.lat._dss import LATDataSelection
    >>> from dmgammapy.makers.lat.events import LATEventList
    >>> table = Table({"ENERGY": [1200.0], "RA": [83.6], "DEC": [22.0], "TIME": [239557500.0]})
    >>> selection = LATDataSelection(event_class=128, pass_version="P8R3")
    >>> LATEventList(table, [[239557417.0, 239557617.0]], selection)
    LATEventList(1 events, 1 good time intervals of 200.000 s between 2008-08-04T15:43:36 and \
2008-08-04T15:46:56; SOURCE (128), all event types)
    """

    table: Table
    gti: np.ndarray
    selection: LATDataSelection
    header: fits.Header | None = None

    def __post_init__(self):
        self.gti = as_gti(self.gti)
        if self.header is None:
            self.header = event_header(self.gti, self.selection)

    def __len__(self):
        return len(self.table)

    def __repr__(self):
        when = ""
        if len(self.gti):
            first, last = met_to_time([self.gti[:, 0].min(), self.gti[:, 1].max()], self.header)
            when = f" between {_seconds(first)} and {_seconds(last)}"
        return (
            f"LATEventList({len(self)} events, {len(self.gti)} good time intervals of "
            f"{self.ontime.to_value('s'):.3f} s{when}; {self.selection})"
        )

    @classmethod
    def read(cls, path, columns=None, selection=None):
        """Read event files.

        Several files become one list in the order of time: events at a border that are in two
        files are kept once, good times are merged, and the data selection must be the same in all.

        Parameters
        ----------
        path : str, `~pathlib.Path` or list of these
            A file, several, or "@list.txt" with one per line.
        columns : list of str or "needed", optional
            Columns besides those that name an event (ENERGY, RA, DEC, TIME, RUN_ID, EVENT_ID), to
            save memory; "needed" are those that cuts and maps use. Default is all.
        selection : `LATDataSelection`, optional
            What has been cut, for files without DSS keywords; it overrides them. Default is
            what the keywords say.

        Returns
        -------
        events : `LATEventList`

        Raises
        ------
        ValueError
            If a file is cut, lacks an extension, columns or DSS keywords, is of Pass 7, or the
            files differ in their selection.
        """
        names = expand_paths(path)
        pieces = [cls(*read_events(name, columns, selection)) for name in names]
        return cls.stack(pieces, names)

    @classmethod
    def stack(cls, pieces, names=None):
        """One list of several.

        Parameters
        ----------
        pieces : list of `LATEventList`
            Of the same selection.
        names : list of str, optional
            For messages, their files.

        Returns
        -------
        events : `LATEventList`
            In the order of time; an event that is in two lists (RUN_ID, EVENT_ID and TIME) is
            kept once, and the number of those is logged.

        Raises
        ------
        ValueError
            If there is none, or the selections differ.
        """
        if not pieces:
            raise ValueError("no event list to stack: give at least one.")
        if len(pieces) == 1:
            return pieces[0]
        names = list(range(len(pieces))) if names is None else names
        selection = _common_selection(pieces, names)
        common = [
            name
            for name in pieces[0].table.colnames
            if all(name in piece.table.colnames for piece in pieces)
        ]
        everything = {name for piece in pieces for name in piece.table.colnames}
        if len(common) < len(everything):
            log.warning("Columns not in all files are left: %s.", sorted(everything - set(common)))
        table = Table()
        for name in common:
            table[name] = np.concatenate([np.asarray(piece.table[name]) for piece in pieces])
            table[name].unit = pieces[0].table[name].unit
            table[name].meta = dict(pieces[0].table[name].meta)
        header = copy.deepcopy(pieces[0].header)
        for key, pick in (("TSTART", min), ("TSTOP", max)):
            known = [piece.header[key] for piece in pieces if key in piece.header]
            if known:
                header[key] = pick(known)
        gti = merge_gti(*(piece.gti for piece in pieces))
        return cls(_ordered_once(table), gti, selection, header)

    def write(self, path, overwrite=False):
        """Write an event file in the layout of the Science Tools.

        The file has the EVENTS table with its DSS keywords, as they are in ``selection``, and
        the GTI table.

        Parameters
        ----------
        path : str or `~pathlib.Path`
            File, ``.fits`` or ``.fits.gz``.
        overwrite : bool
            Replace an existing file. Default is False.
        """
        write_events(self.table, self.gti, self.selection, self.header, path, overwrite)

    def copy(self):
        """Copy of everything."""
        return copy.deepcopy(self)

    def select(self, mask):
        """Events of a mask, with the same good times and selection.

        Parameters
        ----------
        mask : array of bool, shape (n,)
            Or indices or a slice.

        Returns
        -------
        events : `LATEventList`
        """
        return replace(self, table=self.table[mask], gti=self.gti.copy(), header=self.header.copy())

    @property
    def ontime(self):
        """Sum of the good time intervals, `~astropy.units.Quantity`."""
        return u.Quantity(np.sum(self.gti[:, 1] - self.gti[:, 0]), "s")

    @property
    def energy(self):
        """Energies, `~astropy.units.Quantity` [MeV], shape (n,)."""
        return u.Quantity(self.column("ENERGY"), "MeV")

    @property
    def radec(self):
        """Directions, `~astropy.coordinates.SkyCoord`, shape (n,)."""
        return SkyCoord(self.column("RA"), self.column("DEC"), unit="deg", frame="icrs")

    @property
    def time(self):
        """Arrival times, `~astropy.time.Time` (TT), shape (n,)."""
        return met_to_time(self.column("TIME"), self.header)

    def column(self, name):
        """Column as an array of floats, shape (n,).

        Parameters
        ----------
        name : str
            Of the column.

        Raises
        ------
        ValueError
            If there is no such column.
        """
        if name not in self.table.colnames:
            raise ValueError(
                f"the events have no column {name}, only {', '.join(self.table.colnames)}."
            )
        return np.asarray(self.table[name], dtype=float)

    def to_gammapy(self):
        """Convert to an event list of Gammapy.

        Returns
        -------
        events : `~gammapy.data.EventList`
        """
        from gammapy.data import EventList

        table = self.table.copy()
        # Gammapy reads the reference time and the pointing's keywords from the metadata
        table.meta = {
            key: value
            for key, value in self.header.items()
            if key and key not in ("HISTORY", "COMMENT")
        }
        table["TIME"] = self.time
        for name in ("ENERGY", "RA", "DEC"):
            # floats of 32 bits would lose milliseconds of arc when they are turned
            table[name] = u.Quantity(self.column(name), self.table[name].unit or UNITS[name])
        return EventList(table)


def _seconds(time):
    """UTC to the second."""
    return Time(time, precision=0).utc.isot


def _common_selection(pieces, names):
    """Selection that all share; the range of a query's times may differ."""
    first = replace(pieces[0].selection, time=None)
    for piece, name in zip(pieces[1:], names[1:], strict=True):
        other = replace(piece.selection, time=None)
        if other != first:
            raise ValueError(
                f"the data selection (DSS) must be the same in all files: {names[0]} has "
                f"{first} ({first.pass_version}), {name} has {other} ({other.pass_version}). Make "
                "them agree by LATEventSelector, which cuts each file before it joins them."
            )
    times = {piece.selection.time for piece in pieces}
    # several ranges can't be said by one; the good times say the same
    return replace(first, time=times.pop() if len(times) == 1 else None)


def _ordered_once(table):
    """Table in the order of time, without second copies of an event."""
    if not set(IDENTITY) <= set(table.colnames):
        log.warning("Without RUN_ID and EVENT_ID events that are in two files can't be found.")
        return table[np.argsort(np.asarray(table["TIME"]), kind="stable")]
    time, run, event = (np.asarray(table[name]) for name in IDENTITY)
    order = np.lexsort((event, run, time))
    is_copy = np.zeros(len(table), dtype=bool)
    is_copy[1:] = np.logical_and.reduce(
        [values[order][1:] == values[order][:-1] for values in (time, run, event)]
    )
    if is_copy.any():
        log.info("%d events that are in two files are kept once.", is_copy.sum())
    return table[order[~is_copy]]
