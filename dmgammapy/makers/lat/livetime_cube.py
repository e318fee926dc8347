"""Livetime of the LAT as a function of direction and off-axis angle: `LivetimeCube`."""

import copy
import logging

import numpy as np
from astropy.coordinates import SkyCoord

from ._gti import as_gti, merge_gti
from ._livetime_geometry import (
    count_pixels,
    directions_of,
    find_binning,
    interpolation_weights,
    nearest_rows,
    pixel_rows,
    pixels_around,
    read_angle,
)
from ._livetime_io import read_cube, write_cube
from ._livetime_plots import plot_costheta, plot_sky
from ._livetime_sum import is_aligned, stack_cubes

__all__ = ["LivetimeCube"]

log = logging.getLogger(__name__)

INTERPOLATIONS = ("linear", "nearest")
ORDERINGS = ("NESTED", "RING")
FRAMES = ("icrs", "galactic")
TOLERANCE = 0.1  # deg


class LivetimeCube:
    r"""Livetime per direction and bin of :math:`\cos\theta`, the product of gtltcube.

    The directions are all pixels of a HEALPix sky, some of them, or any list of directions.

    Parameters
    ----------
    data : array, shape (n_direction, n_costheta)
        Livetime [s].
    costheta_edges : array, shape (n_costheta + 1,)
        Edges of the bins, descending from 1 as in the files.
    weighted : array, shape (n_direction, n_costheta), optional
        Livetime times livetime fraction [s], for the efficiency correction of the effective area.
    gti : array, shape (n_gti, 2), optional
        Good time intervals, mission elapsed time [s].
    nside : int, optional
        HEALPix resolution; None for a list of directions.
    ordering : {"NESTED", "RING"}
        Default is NESTED.
    frame : {"icrs", "galactic"}
        Frame of the pixels. Default is icrs.
    pixels : int array, shape (n_direction,), optional
        Indices of the pixels, ascending. Default is the whole sky.
    directions : `~astropy.coordinates.SkyCoord`, shape (n_direction,), optional
        Instead of HEALPix.
    zenith_max : `~astropy.units.Quantity` or float [deg], optional
        Largest zenith angle. Default is no cut, and so are 180 deg.
    meta : dict, optional
        ``livetime``: total livetime of the good time [s]; how the zenith cut was found; origin.

    Attributes
    ----------
    zenith_max : float or None
        Largest zenith angle [deg], None without a cut.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or edges do not descend.

    Examples
    --------
    A telescope that looked at one point for 100 s, with two bins:

    >>> from astropy.coordinates import SkyCoord
    >>> from dmgammapy.makers.lat.livetime_cube import LivetimeCube
    >>> crab = SkyCoord([83.63], [22.01], unit="deg")
    >>> cube = LivetimeCube([[90.0, 0.0]], [1, 0.75, 0], gti=[[0, 100]], directions=crab)
    >>> cube.interp(crab)[0]
    array([[90.,  0.]])
    >>> cube.scaled(0.5).data
    array([[45.,  0.]])
    """

    def __init__(
        self,
        data,
        costheta_edges,
        weighted=None,
        gti=None,
        nside=None,
        ordering="NESTED",
        frame="icrs",
        pixels=None,
        directions=None,
        zenith_max=None,
        meta=None,
    ):
        self.data = np.array(data, dtype=float)
        self.costheta_edges = np.array(costheta_edges, dtype=float)
        self.weighted = None if weighted is None else np.array(weighted, dtype=float)
        self.gti = None if gti is None else merge_gti(as_gti(gti))
        self.nside = None if nside is None else int(nside)
        self.ordering = ordering
        self.frame = frame
        self.pixels = None if pixels is None else np.array(pixels, dtype=int)
        self._directions = directions
        zenith_max = read_angle(zenith_max, "zenith_max")
        self.zenith_max = None if zenith_max is None or zenith_max >= 180 else zenith_max
        self.meta = dict(meta or {})
        self._check()

    def _check(self):
        edges = self.costheta_edges
        if edges.ndim != 1 or len(edges) < 2 or np.any(np.diff(edges) >= 0) or edges[0] > 1:
            raise ValueError(f"costheta_edges must descend from 1, got {edges}.")
        if (self.nside is None) == (self._directions is None):
            raise ValueError("give either nside (HEALPix) or directions, and not both.")
        if self.ordering not in ORDERINGS or self.frame not in FRAMES:
            raise ValueError(
                f"ordering must be one of {ORDERINGS} and frame one of {FRAMES}, got "
                f"{self.ordering!r} and {self.frame!r}."
            )
        shape = (self._n_direction(), len(edges) - 1)
        for name in ("data", "weighted"):
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                expected = f"{shape} (directions, bins of cos(theta))"
                raise ValueError(f"{name} must have the shape {expected}, got {array.shape}.")
        if self.zenith_max is not None and not self.zenith_max > 0:
            raise ValueError(f"zenith_max must be positive, got {self.zenith_max} deg.")

    def _n_direction(self):
        if self.nside is None:
            self._directions = self._directions.reshape(-1).icrs
            return len(self._directions)
        return count_pixels(self.nside, self.ordering, self.pixels)

    @classmethod
    def create(
        cls,
        costheta_edges,
        nside=None,
        ordering="NESTED",
        frame="icrs",
        position=None,
        radius=None,
        directions=None,
        **kwargs,
    ):
        """Empty cube.

        Parameters
        ----------
        costheta_edges, nside, ordering, frame, directions
            As for `LivetimeCube`.
        position : `~astropy.coordinates.SkyCoord`, optional
            Only the pixels needed to interpolate up to ``radius`` from here.
        radius : `~astropy.units.Quantity`, optional
        **kwargs : dict
            Passed to `LivetimeCube`.

        Returns
        -------
        cube : `LivetimeCube`
            Of zeros, with ``weighted``.
        """
        pixels, n_direction = None, getattr(directions, "size", None)
        if directions is None:
            if position is not None:
                pixels = pixels_around(nside, ordering, frame, position, radius)
            n_direction = count_pixels(nside, ordering, pixels)
        data = np.zeros((n_direction, len(costheta_edges) - 1))
        return cls(
            data, costheta_edges, weighted=data, nside=nside, ordering=ordering, frame=frame,
            pixels=pixels, directions=directions, **kwargs,
        )  # fmt: skip

    def __repr__(self):
        if self.nside is None:
            where = "directions"
        else:
            where = f"pixels of nside {self.nside}, {self.ordering}, {self.frame}"
            where += "" if self.is_allsky else ", part of the sky"
        zenith = (
            "no zenith cut" if self.zenith_max is None else f"zenith <= {self.zenith_max:g} deg"
        )
        time = "" if self.gti is None else f", {self.ontime:.10g} s of good time"
        return (
            f"{type(self).__name__}({len(self.data)} {where}; {self.data.shape[1]} bins of "
            f"cos(theta) down to {self.costheta_edges[-1]:g}; {zenith}{time})"
        )

    def copy(self):
        """Copy that shares nothing."""
        return copy.deepcopy(self)

    # ---- geometry --------------------------------------------------------------------------------

    @property
    def is_allsky(self):
        """Whether all pixels of a HEALPix sky are there."""
        return self.nside is not None and self.pixels is None

    @property
    def directions(self):
        """Directions of the rows, `~astropy.coordinates.SkyCoord`, shape (n_direction,)."""
        if self.nside is None:
            return self._directions
        return directions_of(self.nside, self.ordering, self.frame, self.pixels)

    @property
    def binning(self):
        """Which function of cos(theta) has equal bins: "sqrt", "linear" or None."""
        return find_binning(self.costheta_edges)

    @property
    def costheta(self):
        """Centres of the bins, shape (n_costheta,)."""
        return 0.5 * (self.costheta_edges[1:] + self.costheta_edges[:-1])

    @property
    def ontime(self):
        """Sum of the good time intervals [s], None without them."""
        return None if self.gti is None else float(np.sum(self.gti[:, 1] - self.gti[:, 0]))

    def is_aligned(self, other):
        """Whether another cube has the same directions and bins."""
        return is_aligned(self, other)

    # ---- livetime --------------------------------------------------------------------------------

    def interp(self, position, interpolation="linear", tolerance=TOLERANCE):
        """Livetime at positions.

        Parameters
        ----------
        position : `~astropy.coordinates.SkyCoord`
            One or more.
        interpolation : {"linear", "nearest"}
            Between the four neighbouring pixels, or none. A list of directions has the nearest
            only. Default is linear.
        tolerance : `~astropy.units.Quantity` or float [deg]
            Largest distance to the nearest of a list of directions. Default is 0.1 deg.

        Returns
        -------
        livetime : array, shape (n_position, n_costheta)
            [s].
        weighted : array, shape (n_position, n_costheta) or None

        Raises
        ------
        ValueError
            If pixels that are needed are not in the cube, or no direction is near.
        """
        if interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"interpolation must be one of {', '.join(INTERPOLATIONS)}, got {interpolation!r}."
            )
        position = position.reshape(-1)
        if self.nside is None:
            rows = nearest_rows(self.directions, position, read_angle(tolerance, "tolerance"))
            weights = np.ones(rows.shape)
        else:
            pixels, weights = interpolation_weights(
                self.nside, self.ordering, self.frame, position, interpolation
            )
            rows = pixel_rows(self.pixels, pixels, weights, position)
        return tuple(
            None if values is None else np.einsum("kp,kpc->pc", weights, values[rows])
            for values in (self.data, self.weighted)
        )

    def scaled(self, factor=None, gti=None):
        """Copy with all livetime multiplied, for time bins of a constant observing pattern.

        Parameters
        ----------
        factor : float, optional
            Default is the ratio of the good times of ``gti`` and of this cube.
        gti : array, shape (n_gti, 2), optional
            Good time intervals of the result. Default is to keep those of this cube.

        Returns
        -------
        cube : `LivetimeCube`
            ``meta["scale"]`` is the product of all factors, ``meta["livetime"]`` is scaled.
        """
        out = self.copy()
        if gti is not None:
            out.gti = merge_gti(as_gti(gti))
        if factor is None:
            if gti is None or not self.ontime:
                raise ValueError("scaled() needs a factor, or gti for a cube that has its own.")
            factor = out.ontime / self.ontime
        if not (np.isfinite(factor) and factor >= 0):
            raise ValueError(f"factor must be finite and not negative, got {factor}.")
        out.data *= factor
        if out.weighted is not None:
            out.weighted *= factor
        if "livetime" in out.meta:
            out.meta["livetime"] *= factor
        out.meta["scale"] = factor * self.meta.get("scale", 1.0)
        return out

    def stack(self, other):
        """Add the livetime of other good times in place.

        Parameters
        ----------
        other : `LivetimeCube`
            Of the same directions, bins and zenith cut, and of other good times.

        Raises
        ------
        ValueError
            If it is of others, or good times overlap.
        """
        stack_cubes(self, other)

    def __add__(self, other):
        if not isinstance(other, LivetimeCube):
            return NotImplemented
        out = self.copy()
        out.stack(other)
        return out

    def __radd__(self, other):
        # sum() starts from 0
        return self.copy() if other == 0 else NotImplemented

    # ---- files and plots -------------------------------------------------------------------------

    @classmethod
    def read(cls, path):
        """Read a cube of gtltcube, gtltsum, fermipy or `write`.

        Files with bins of phi give their average over phi, ``meta["phi_bins_averaged"]`` says so.

        Parameters
        ----------
        path : str or `~pathlib.Path`

        Returns
        -------
        cube : `LivetimeCube`
            Without ZENMAX in the file there is no zenith cut: gtltcube writes it where it cuts.

        Raises
        ------
        FileNotFoundError
            If there is no file.
        ValueError
            If the file is cut or of another layout. The message names file, table and keyword.
        """
        cube = cls(**read_cube(path))
        if "phi_bins_averaged" in cube.meta:
            log.info(
                "%s: the %d bins of phi are averaged over.", path, cube.meta["phi_bins_averaged"]
            )
        return cube

    def write(self, path, overwrite=False):
        """Write in the format of gtltcube, livetime in single precision.

        Cubes of the whole sky are those of the Science Tools. Others are for `read` only: a part
        of the sky has the column PIXEL (INDXSCHM = EXPLICIT), a list of directions has
        PIXTYPE = DIRECTIONS. Own keywords are LIVETIME and LTSCALE.

        Parameters
        ----------
        path : str or `~pathlib.Path`
        overwrite : bool
            Replace an existing file. Default is False.
        """
        write_cube(self, path, overwrite)

    def plot(self, ax=None, position=None, **kwargs):
        """Plot the livetime of the sky, or its distribution in cos(theta) at positions.

        Parameters
        ----------
        ax : `~matplotlib.axes.Axes`, optional
        position : `~astropy.coordinates.SkyCoord`, optional
            Default is the sky.
        **kwargs : dict
            Passed to ``pcolormesh``, ``scatter`` or ``stairs`` of matplotlib.

        Returns
        -------
        ax : `~matplotlib.axes.Axes`
        """
        if position is None:
            return plot_sky(self, ax, **kwargs)
        return plot_costheta(self, SkyCoord(position), ax, **kwargs)
