"""When the LAT was live and where it looked: rows of spacecraft files to draw arrivals from."""

from dataclasses import dataclass

import numpy as np

from ._gti import as_gti, intersect_gti, merge_gti

__all__ = ["LiveRows"]

REQUIRED = ("RA_SCZ", "DEC_SCZ", "RA_SCX", "DEC_SCX", "RA_ZENITH", "DEC_ZENITH")
GOOD = (("DATA_QUAL", 0, np.greater), ("LAT_CONFIG", 1, np.equal))


@dataclass(frozen=True)
class LiveRows:
    """Parts of rows inside good times.

    Attributes
    ----------
    index : array of int, shape (n,)
        Row of the spacecraft file.
    start, stop : array, shape (n,)
        Seconds.
    live : array, shape (n,)
        Livetime relative to ``longest``.
    longest : float
        Seconds.
    fraction : array, shape (n,)
        Livetime over elapsed time.
    axis : array, shape (n, 3)
        Direction of the z axis.
    gti : array, shape (n_gti, 2)
    """

    index: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    live: np.ndarray
    longest: float
    fraction: np.ndarray
    axis: np.ndarray
    gti: np.ndarray

    @classmethod
    def from_spacecraft(cls, spacecraft, gti=None):
        """Cut rows to good times.

        Parameters
        ----------
        spacecraft : `~dmgammapy.makers.lat.LATSpacecraft`
        gti : array, shape (n_gti, 2), optional
            Default is all rows with DATA_QUAL > 0 and LAT_CONFIG == 1, where these are known.

        Returns
        -------
        rows : `LiveRows`

        Raises
        ------
        ValueError
            If columns are absent or the LAT was never live.
        """
        if missing := [name for name in REQUIRED if name not in spacecraft.data]:
            raise ValueError(
                f"the spacecraft file lacks {', '.join(missing)}; it has "
                f"{', '.join(spacecraft.data)}."
            )
        start, stop = (np.asarray(t, dtype=float) for t in (spacecraft.start, spacecraft.stop))
        covered = np.stack([start, stop], axis=1)
        if gti is None:
            gti = merge_gti(covered[_is_good(spacecraft)])
        else:
            gti = intersect_gti(merge_gti(as_gti(gti)), merge_gti(covered))
        index, start, stop = cut_rows(start, stop, gti)
        fraction = np.asarray(spacecraft.livetime, dtype=float) / (covered[:, 1] - covered[:, 0])
        fraction = fraction[index]
        live = fraction * (stop - start)
        if not np.any(live > 0):
            raise ValueError(
                "the LAT was never live in the good times: the spacecraft file goes from "
                f"{covered[0, 0]:.0f} to {covered[-1, 1]:.0f} s, livetime in good times is zero."
            )
        axis = unit_vectors(spacecraft["RA_SCZ"], spacecraft["DEC_SCZ"], index)
        longest = float(live.max())
        return cls(index, start, stop, live / longest, longest, fraction, axis, gti)


def _is_good(spacecraft):
    """Rows of good data, as far as columns tell."""
    good = np.asarray(spacecraft.livetime) > 0
    for name, value, compare in GOOD:
        if name in spacecraft.data:
            good &= compare(spacecraft[name], value)
    return good


def cut_rows(start, stop, gti):
    """Overlaps of ascending rows with ascending intervals.

    Parameters
    ----------
    start, stop : array, shape (n_row,)
    gti : array, shape (n_gti, 2)

    Returns
    -------
    index : array of int, shape (n,)
    start, stop : array, shape (n,)
    """
    first = np.searchsorted(stop, gti[:, 0], side="right")
    last = np.searchsorted(start, gti[:, 1], side="left")
    number = np.maximum(last - first, 0)
    interval = np.repeat(np.arange(len(gti)), number)
    begin = np.cumsum(number) - number
    index = np.arange(number.sum()) - np.repeat(begin - first, number)
    start = np.maximum(start[index], gti[interval, 0])
    stop = np.minimum(stop[index], gti[interval, 1])
    keep = stop > start
    return index[keep], start[keep], stop[keep]


def unit_vectors(ra, dec, index):
    """Directions of some rows, shape (n, 3); degrees."""
    ra, dec = (np.deg2rad(np.asarray(angle)[index].astype(float)) for angle in (ra, dec))
    vectors = np.empty((len(ra), 3))
    np.cos(dec, out=vectors[:, 2])
    np.multiply(vectors[:, 2], np.cos(ra), out=vectors[:, 0])
    np.multiply(vectors[:, 2], np.sin(ra), out=vectors[:, 1])
    np.sin(dec, out=vectors[:, 2])
    return vectors
