"""Rows of spacecraft files that matter for a livetime cube, checked."""

import numpy as np

from ._gti import complement_gti, intersect_gti
from ._livetime_kernels import N_COLUMN, OK, PROBLEMS, good_seconds, read_pointings

__all__ = ["COLUMNS", "PointingRows"]

COLUMNS = ("RA_SCZ", "DEC_SCZ", "RA_ZENITH", "DEC_ZENITH")
GAP = 1.0  # s, good time without a row that is passed over
OVERLAP = 0.1  # s, neighbouring rows that may overlap by rounding
N_NAMED = 3


class PointingRows:
    """Rows of a spacecraft file within good times.

    Parameters
    ----------
    spacecraft : `LATSpacecraft`
    gti : array, shape (n_gti, 2)
        Ascending and disjoint, mission elapsed time [s].

    Attributes
    ----------
    uncovered : float
        Good time without a row [s], of gaps shorter than a second.

    Raises
    ------
    ValueError
        If a column is absent, rows are not ascending, or good time lies outside of the rows.
    """

    def __init__(self, spacecraft, gti):
        self._columns(spacecraft)
        self._gti = gti
        self._check_order()
        self._check_overlap()
        self.uncovered = self._find_gaps()

    def _columns(self, spacecraft):
        absent = [name for name in COLUMNS if name not in spacecraft.data]
        if absent:
            raise ValueError(
                f"spacecraft file: no column {', '.join(absent)}, found "
                f"{', '.join(spacecraft.data)}."
            )
        self._start, self._stop = (
            np.asarray(getattr(spacecraft, name), dtype=float) for name in ("start", "stop")
        )
        self._others = [np.asarray(spacecraft.livetime, dtype=float)]
        self._others += [np.asarray(spacecraft[name]) for name in COLUMNS]
        if len(self._start) == 0:
            raise ValueError("spacecraft file: no rows.")

    def _check_order(self):
        start, stop = self._start, self._stop
        bad = np.flatnonzero(~(stop > start))
        if len(bad):
            row = bad[0]
            raise ValueError(
                f"spacecraft file, row {row + 1}: STOP must be later than START, got {start[row]} "
                f"to {stop[row]} s ({len(bad)} such rows)."
            )
        bad = np.flatnonzero(~(start[1:] >= stop[:-1] - OVERLAP))
        if len(bad):
            row = bad[0] + 1
            raise ValueError(
                f"spacecraft file, row {row + 1}: starts at {start[row]} s, before the row before "
                f"stops at {stop[row - 1]} s ({len(bad)} such rows); sort the rows, and remove "
                "those that are there twice."
            )

    def _check_overlap(self):
        start, stop, gti = self._start[0], self._stop[-1], self._gti
        if gti[-1, 1] <= start or gti[0, 0] >= stop:
            raise ValueError(
                f"the good times, {gti[0, 0]:.3f} to {gti[-1, 1]:.3f} s, and the spacecraft file, "
                f"{start:.3f} to {stop:.3f} s, don't overlap: give the spacecraft file of the "
                "same time."
            )

    def _find_gaps(self):
        """Good time between rows; errors name what is missing."""
        start, stop = self._start, self._stop
        low, high = min(start[0], self._gti[0, 0]), max(stop[-1], self._gti[-1, 1])
        after = np.flatnonzero(start[1:] > stop[:-1])
        gaps = np.stack([stop[after], start[after + 1]], axis=1)
        ends = complement_gti([[start[0], stop[-1]]], low, high)
        missing = intersect_gti(np.concatenate([gaps, ends]), self._gti)
        length = missing[:, 1] - missing[:, 0]
        long = missing[length > GAP]
        if len(long):
            named = "; ".join(f"{a:.3f} to {b:.3f} s" for a, b in long[:N_NAMED])
            more = f" and {len(long) - N_NAMED} more" if len(long) > N_NAMED else ""
            raise ValueError(
                f"no row of the spacecraft file covers the good time {named}{more} "
                f"({length.sum():.6g} s in all): add the missing spacecraft files, or select good "
                "times with this one (LATGoodTimeSelector)."
            )
        return float(length.sum())

    def chunks(self, n_row):
        """Slices of at most ``n_row`` rows that reach from the first to the last good time."""
        first = int(np.searchsorted(self._stop, self._gti[0, 0], side="right"))
        last = int(np.searchsorted(self._start, self._gti[-1, 1], side="left"))
        return [slice(low, min(low + n_row, last)) for low in range(first, last, n_row)]

    def pointings(self, rows):
        """Pointings of some rows, see `read_pointings`.

        Parameters
        ----------
        rows : slice

        Returns
        -------
        pointings : array, shape (8, n_pointing)

        Raises
        ------
        ValueError
            If a row with good time has no pointing or no livetime. The message names it.
        """
        start, stop = self._start[rows], self._stop[rows]
        gti = self._gti
        low = np.searchsorted(gti[:, 1], start[0], side="right")
        high = np.searchsorted(gti[:, 0], stop[-1], side="left")
        gti = np.ascontiguousarray(gti[low:high].T)
        seconds = np.empty(len(start))
        good_seconds(start, stop, gti[0], gti[1], seconds)
        pointings = np.empty((N_COLUMN, len(start)))
        others = [np.ascontiguousarray(values[rows]) for values in self._others]
        n, problem, row = read_pointings(start, stop, *others, seconds, pointings)
        if problem != OK:
            names = ("LIVETIME", *COLUMNS)
            found = ", ".join(
                f"{name} = {values[row]}" for name, values in zip(names, others, strict=True)
            )
            raise ValueError(
                f"spacecraft file, row {rows.start + row + 1} (START = {start[row]:.3f}, STOP = "
                f"{stop[row]:.3f}): {PROBLEMS[problem]}, found {found}; exclude that time from "
                "the good times, or fetch the file again."
            )
        return pointings[:, :n]
