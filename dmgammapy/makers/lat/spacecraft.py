"""Spacecraft files (FT2): where the LAT pointed, and how long it was live."""

import logging
from dataclasses import dataclass, field, replace

import numpy as np
from astropy.io import fits

from dmgammapy.utils import atomic_path

from ._fits import expand_paths, find_hdu, fits_format, open_fits, read_columns, strip_header
from ._gti import complement_gti, intersect_gti, join_rows, merge_gti
from ._met import utc_text

__all__ = ["LATSpacecraft"]

log = logging.getLogger(__name__)

REQUIRED = ("START", "STOP", "LIVETIME")
KIND = "a spacecraft file (FT2)"
OVERLAP = 0.1  # s, neighbouring rows that may overlap by rounding
N_NAMED = 3  # intervals named in a message
UNITS = {"RA": "deg", "DEC": "deg", "ROCK_ANGLE": "deg", "SC_POSITION": "m", "RAD_GEO": "m"}


@dataclass(repr=False)
class LATSpacecraft:
    """Rows of spacecraft files, ascending in time.

    Attributes
    ----------
    start, stop, livetime : array, shape (n,)
        Mission elapsed time and seconds.
    data : dict of array
        Other columns by their names in the file, of the type in the file.
    header : `~astropy.io.fits.Header`
        Of the SC_DATA table.

    Raises
    ------
    ValueError
        If lengths differ, a time is not finite, a row stops before it starts, a livetime is
        negative, or rows overlap by more than 0.1 s. By less, as rounding makes them, a row stops
        where the next one starts.

    Examples
    --------
    >>> from dmgammapy.makers.lat.spacecraft import LATSpacecraft
    >>> spacecraft = LATSpacecraft([0, 30, 90], [30, 60, 120], [28, 28, 28], {})
    >>> spacecraft.gaps().tolist()
    [[60.0, 90.0]]
    """

    start: np.ndarray
    stop: np.ndarray
    livetime: np.ndarray
    data: dict
    header: fits.Header = field(default_factory=fits.Header)

    def __post_init__(self):
        self.start, self.stop, self.livetime = (
            np.asarray(values, dtype=float) for values in (self.start, self.stop, self.livetime)
        )
        self.data = {name: np.asarray(values) for name, values in self.data.items()}
        _check_lengths(self)
        self.stop = _without_overlap(self.start, self.stop)
        _check_rows(self)

    def __repr__(self):
        if len(self) == 0:
            return "LATSpacecraft(0 rows)"
        return (
            f"LATSpacecraft({len(self)} rows, {utc_text(self.start[0], self.header)[:19]} to "
            f"{utc_text(self.stop[-1], self.header)[:19]}, livetime {self.livetime.sum():.1f} s)"
        )

    def __len__(self):
        return len(self.start)

    def __getitem__(self, name):
        own = {"START": self.start, "STOP": self.stop, "LIVETIME": self.livetime}
        if name in own:
            return own[name]
        if name not in self.data:
            raise KeyError(f"no column {name}, only {', '.join(self.names)}.")
        return self.data[name]

    def __contains__(self, name):
        return name in self.names

    @property
    def names(self):
        """Names of all columns, list of str."""
        return [*REQUIRED, *self.data]

    @classmethod
    def read(cls, path, columns=None):
        """Read spacecraft files.

        Parameters
        ----------
        path : str, `~pathlib.Path` or list of these
            A file, several, or "@list.txt" with one per line, in any order. Rows at a border
            that are in two files are kept once, and their number is logged.
        columns : list of str, optional
            Columns besides START, STOP and LIVETIME, to save memory. Default is all.

        Returns
        -------
        spacecraft : `LATSpacecraft`

        Raises
        ------
        ValueError
            If a file is cut, lacks the SC_DATA extension or columns, or rows overlap.
        """
        names = expand_paths(path)
        tables, headers = zip(*(_read_one(name, columns) for name in names), strict=True)
        common = [name for name in tables[0] if all(name in table for table in tables)]
        lost = {name for table in tables for name in table} - set(common)
        if lost:
            log.warning("Columns not in all spacecraft files are left: %s.", sorted(lost))
        data = {name: np.concatenate([table[name] for table in tables]) for name in common}
        source = ", ".join(map(str, names[:3])) + (", ..." if len(names) > 3 else "")
        try:
            start, stop, livetime = (data.pop(name) for name in REQUIRED)
            keep = _ascending_once(start, stop, source)
            if keep is not None:
                start, stop, livetime = start[keep], stop[keep], livetime[keep]
                data = {name: values[keep] for name, values in data.items()}
            return cls(start, stop, livetime, data, headers[0])
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error

    def write(self, path, overwrite=False):
        """Write a spacecraft file.

        Parameters
        ----------
        path : str or `~pathlib.Path`
            File, ``.fits`` or ``.fits.gz``.
        overwrite : bool
            Replace an existing file. Default is False.
        """
        columns = []
        for name in self.names:
            values = self[name]
            unit = "s" if name in REQUIRED else UNITS.get(name, UNITS.get(name.split("_")[0]))
            columns.append(fits.Column(name, fits_format(values), unit, array=values))
        header = strip_header(self.header)
        header["EXTNAME"] = "SC_DATA"
        hdu = fits.BinTableHDU.from_columns(columns, header=header)
        with atomic_path(path, overwrite) as temporary:
            fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(temporary, checksum=True)

    def select(self, mask):
        """Rows of a mask, a slice or ascending indices.

        Parameters
        ----------
        mask : array of bool, shape (n,)

        Returns
        -------
        spacecraft : `LATSpacecraft`
        """
        return replace(
            self,
            start=self.start[mask],
            stop=self.stop[mask],
            livetime=self.livetime[mask],
            data={name: values[mask] for name, values in self.data.items()},
        )

    def slice(self, start=None, stop=None):
        """Rows that have some time in a range.

        Parameters
        ----------
        start, stop : float, optional
            Mission elapsed time [s]. Default is without limit.

        Returns
        -------
        spacecraft : `LATSpacecraft`
            Views of the same arrays.
        """
        first = 0 if start is None else np.searchsorted(self.stop, start, side="right")
        last = len(self) if stop is None else np.searchsorted(self.start, stop, side="left")
        return self.select(slice(int(first), int(last)))

    @property
    def covered(self):
        """Times that rows cover, adjacent ones joined; array, shape (n, 2) [s]."""
        return join_rows(self.start, self.stop)

    def gaps(self):
        """Times between the first and the last row that no row covers.

        Files have such gaps in the South Atlantic Anomaly, outside of good times.

        Returns
        -------
        gaps : array, shape (n, 2)
            Mission elapsed time [s].
        """
        if len(self) == 0:
            return np.zeros((0, 2))
        return complement_gti(self.covered, self.start[0], self.stop[-1])

    def uncovered(self, gti, tolerance=1.0):
        """Parts of good times that no row covers.

        Parameters
        ----------
        gti : array, shape (n, 2)
            Good time intervals [s].
        tolerance : float
            Shorter parts don't count [s]. Default is 1 s.

        Returns
        -------
        gaps : array, shape (m, 2)
        """
        gti = merge_gti(gti)
        if len(gti) == 0:
            return gti
        free = complement_gti(self.covered, gti[0, 0], gti[-1, 1])
        missing = intersect_gti(free, gti)
        return missing[missing[:, 1] - missing[:, 0] > tolerance]

    def check_coverage(self, gti, tolerance=1.0, gap_max=0.0):
        """Check that rows cover all good times.

        Parameters
        ----------
        gti : array, shape (n, 2)
            Good time intervals [s].
        tolerance : float
            Good time that may be uncovered in a gap, and at each end [s]. Default is 1 s.
        gap_max : float
            Gaps between rows no longer than this may be in good times [s]; it is the whole gap
            that counts, not the part of it that is good time. Default is none. Times before the
            first and after the last row must not be in any case.

        Returns
        -------
        gaps : array, shape (m, 2)
            Parts of good times that are not covered.

        Raises
        ------
        ValueError
            If there is no time in common or a part is not covered. Intervals are named.
        """
        gti = merge_gti(gti)
        missing = self.uncovered(gti, tolerance=0.0)
        if len(missing) == 0:
            return missing
        lost, total = (np.sum(times[:, 1] - times[:, 0]) for times in (missing, gti))
        if lost > tolerance and total - lost <= tolerance:
            rows = (
                "no rows" if len(self) == 0 else f"rows {_range_text(self.start[0], self.stop[-1])}"
            )
            raise ValueError(
                f"spacecraft data and events don't overlap in time: {rows}, good times "
                f"{_range_text(gti[0, 0], gti[-1, 1])}. Give the spacecraft file of the same time."
            )
        bad = self._bad_gaps(gti, missing, tolerance, gap_max)
        if len(bad) == 0:
            return missing
        bad = intersect_gti(bad, gti)
        named = ", ".join(
            f"{_range_text(*times)} ({times[1] - times[0]:.3f} s)" for times in bad[:N_NAMED]
        )
        more = f" and {len(bad) - N_NAMED} more" if len(bad) > N_NAMED else ""
        raise ValueError(
            f"spacecraft data lack {np.sum(bad[:, 1] - bad[:, 0]):.3f} of {total:.3f} "
            f"s of good time in {len(bad)} intervals, {named}{more}, in gaps longer than "
            f"{gap_max:g} s or outside of all rows. Give all spacecraft files of the time of the "
            "events, or cut the events to it (time_min, time_max)."
        )

    def _bad_gaps(self, gti, missing, tolerance, gap_max):
        """Gaps, in their full length, that must not be in good times; array, shape (n, 2)."""
        first, last = self.start[0], self.stop[-1]
        gaps = complement_gti(self.covered, min(first, gti[0, 0]), max(last, gti[-1, 1]))
        index = np.searchsorted(gaps[:, 0], missing[:, 0], side="right") - 1
        lost = np.bincount(index, missing[:, 1] - missing[:, 0], len(gaps))
        outside = (gaps[:, 0] < first) | (gaps[:, 1] > last)
        # a limit of a microsecond: times are read with that precision
        too_long = gaps[:, 1] - gaps[:, 0] > gap_max + 1e-6
        return gaps[(lost > tolerance) & (outside | too_long)]


def _range_text(start, stop):
    """Range of times for messages."""
    return f"{start:.3f} to {stop:.3f} ({utc_text(start)[:19]} to {utc_text(stop)[:19]} UTC)"


def _read_one(path, columns):
    """Columns and header of one file."""
    with open_fits(path) as hdus:
        hdu = find_hdu(hdus, path, "SC_DATA", KIND)
        data = read_columns(hdu, path, columns, REQUIRED)
        return data, strip_header(hdu.header)


def _ascending_once(start, stop, source):
    """Indices of rows in the order of time without copies, None when that is all as it is."""
    if np.all(start[1:] > start[:-1]):
        return None
    order = np.lexsort((stop, start))
    if np.any(order[1:] < order[:-1]):
        log.info("%s: rows are put in the order of time.", source)
    is_copy = np.zeros(len(start), dtype=bool)
    is_copy[1:] = (np.diff(start[order]) == 0) & (np.diff(stop[order]) == 0)
    if is_copy.any():
        log.info("%s: %d rows that are in two files are kept once.", source, is_copy.sum())
    return order[~is_copy]


def _check_lengths(spacecraft):
    """Columns must have one value in each row."""
    lengths = {name: len(values) for name, values in spacecraft.data.items()}
    lengths |= {"STOP": len(spacecraft.stop), "LIVETIME": len(spacecraft.livetime)}
    n = len(spacecraft)
    wrong = [f"{name} ({length})" for name, length in lengths.items() if length != n]
    if wrong:
        raise ValueError(f"all columns must have {n} rows as START, got {wrong}.")


def _without_overlap(start, stop):
    """Stop of rows, not later than the start of the next one where they overlap by rounding."""
    overlap = stop[:-1] - start[1:]
    by_rounding = (overlap > 0) & (overlap <= OVERLAP) & (start[1:] > start[:-1])
    if not by_rounding.any():
        return stop
    log.info(
        "%d rows of the spacecraft data stop up to %.3g s after the next one starts, and are cut.",
        by_rounding.sum(),
        overlap[by_rounding].max(),
    )
    stop = stop.copy()
    stop[:-1][by_rounding] = start[1:][by_rounding]
    return stop


def _check_rows(spacecraft):
    """Times must be finite, ascending and apart from each other."""
    start, stop, livetime = spacecraft.start, spacecraft.stop, spacecraft.livetime
    problems = (
        (~np.isfinite(start + stop + livetime), "times must be finite"),
        (stop <= start, "a row must stop after it starts"),
        (livetime < 0, "a livetime must not be negative"),
        (
            np.concatenate([[False], start[1:] < stop[:-1]])[: len(start)],
            "rows must ascend and not overlap",
        ),
    )
    for bad, text in problems:
        rows = np.flatnonzero(bad)
        if len(rows):
            row = rows[0]
            before = f", the row before stops at {stop[row - 1]}" if row else ""
            raise ValueError(
                f"spacecraft row {row + 1}: {text}, got START {start[row]}, STOP {stop[row]}, "
                f"LIVETIME {livetime[row]}{before} ({len(rows)} such rows)."
            )
