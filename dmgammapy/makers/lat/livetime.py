"""Livetime cubes from events and spacecraft files: `LATLivetimeMaker` (gtltcube)."""

import logging

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from joblib import Parallel, delayed

from dmgammapy.utils import progress

from ._gti import as_gti, clip_gti, merge_gti
from ._livetime_geometry import (
    BINNINGS,
    make_costheta_edges,
    make_tiles,
    read_angle,
    tile_limits,
    unit_vectors,
)
from ._livetime_kernels import fill_livetime
from ._livetime_rows import COLUMNS, PointingRows
from .events import LATEventList
from .livetime_cube import FRAMES, ORDERINGS, LivetimeCube
from .spacecraft import LATSpacecraft

__all__ = ["LATLivetimeMaker"]

log = logging.getLogger(__name__)

NSIDE = 64
COSTHETA_STEP = 0.025
ROWS = 1 << 16  # of a chunk; fixed, so that sums don't depend on n_jobs
STEP_TOLERANCE = 1e-6


class LATLivetimeMaker:
    r"""Compute the livetime of the LAT per direction and off-axis angle.

    For direction :math:`d` and bin :math:`b` of :math:`\cos\theta`

    .. math:: T_{db} = \sum_i t_i f_i \, [\cos\theta_{di} \in b] \, [z_{di} < z_\mathrm{max}]

    over the rows :math:`i` of the spacecraft file, with livetime :math:`t_i`, the part
    :math:`f_i` of the row inside good times, and the angles of telescope axis and zenith at the
    start of the row. The weighted livetime has the livetime fraction of the row as a further
    factor. This is what gtltcube does.

    **Zenith cut.** Livetime at zenith angles that the events were not selected from must not
    count, or exposure is too large and limits are too strong. In this order:

    1. ``zenith_max``, where given; 180 deg is no cut.
    2. That of ``reference``: the keyword ZENMAX, no cut where absent, since gtltcube writes it
       where it cuts. If the events were cut tighter, a warning in the log says so.
    3. That of the selection of the events (DSS keywords of ``ft1``), no cut if they have none.
       If good times were cut so that the whole region is above that angle (gtmktime's ROI cut),
       it changes nothing inside the region.

    ``meta["zenith_max_from"]`` of the cube says which, ``meta["zenith_max_events"]`` what the
    events have.

    **Good times.** ``gti`` if given, else those of ``ft1``, else of ``reference``; within the
    time range of ``reference`` and of ``time_min``, ``time_max``.

    **Geometry.** ``directions``, or the pixels around ``position``, or the whole sky; what is not
    given is that of ``reference``, or else the default.

    Parameters
    ----------
    nside : int, optional
        HEALPix resolution. Default is 64 (0.9 deg, as gtltcube); the whole sky of it takes an hour
        of a core for 15 years, of nside 16 some minutes.
    costheta_step : float, optional
        Mean width of the bins, gtltcube's ``dcostheta``. Default is 0.025.
    costheta_min : float, optional
        Default is 0.
    binning : {"sqrt", "linear"}, optional
        Function of 1 - cos(theta) with equal bins. Default is sqrt.
    zenith_max : `~astropy.units.Quantity` or float [deg], optional
        Largest zenith angle, see above.
    position : `~astropy.coordinates.SkyCoord`, optional
        Centre of a part of the sky.
    radius : `~astropy.units.Quantity` or float [deg], optional
        Positions up to here from ``position`` can be interpolated.
    directions : `~astropy.coordinates.SkyCoord`, optional
        Any directions, instead of pixels.
    time_min, time_max : float, optional
        Time range, mission elapsed time [s].
    ordering : {"NESTED", "RING"}, optional
        Default is NESTED.
    frame : {"icrs", "galactic"}, optional
        Of the pixels. Default is icrs.
    n_jobs : int
        Threads. Default is 1; -1 uses all cores. Results do not depend on it.
    show_progress : bool or None
        Show a progress bar; None shows one for long inputs on a terminal.

    Examples
    --------
    Ten hours of pointing at the Crab, from hand-made rows:

    >>> import numpy as np
    >>> from astropy.coordinates import SkyCoord
    >>> from dmgammapy.makers.lat.livetime import LATLivetimeMaker
    >>> from dmgammapy.makers.lat.spacecraft import LATSpacecraft
    >>> start, same = np.arange(0, 36000, 30.0), np.ones(1200)
    >>> data = {"RA_SCZ": 83.63 * same, "DEC_SCZ": 22.01 * same}
    >>> data |= {"RA_ZENITH": 60 * same, "DEC_ZENITH": 0 * same}
    >>> spacecraft = LATSpacecraft(start, start + 30, 27 * same, data)
    >>> crab = SkyCoord([83.63], [22.01], unit="deg")
    >>> maker = LATLivetimeMaker(directions=crab)
    >>> cube = maker.run(ft2=spacecraft, gti=[[0, 36000]])
    >>> print(cube.data[0, :3], cube.weighted[0, :3])
    [32400.     0.     0.] [29160.     0.     0.]
    """

    tag = "LATLivetimeMaker"

    def __init__(
        self,
        nside=None,
        costheta_step=None,
        costheta_min=None,
        binning=None,
        zenith_max=None,
        position=None,
        radius=None,
        directions=None,
        time_min=None,
        time_max=None,
        ordering=None,
        frame=None,
        n_jobs=1,
        show_progress=None,
    ):
        self.nside = nside
        self.costheta_step = costheta_step
        self.costheta_min = costheta_min
        self.binning = binning
        self.zenith_max = read_angle(zenith_max, "zenith_max")
        self.position = position
        self.radius = read_angle(radius, "radius")
        self.directions = directions
        self.time_min = time_min
        self.time_max = time_max
        self.ordering = ordering
        self.frame = frame
        self.n_jobs = n_jobs
        self.show_progress = show_progress
        self._check()

    def _check(self):
        for name in ("position", "directions"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, SkyCoord):
                raise TypeError(f"{name} must be a SkyCoord, got {type(value).__name__}.")
        if (self.position is None) != (self.radius is None):
            raise ValueError("position and radius go together, got one of them.")
        if self.radius is not None and not 0 <= self.radius <= 180:
            raise ValueError(f"radius must lie between 0 and 180 deg, got {self.radius} deg.")
        if self.directions is not None:
            given = [n for n in ("nside", "position", "ordering", "frame") if getattr(self, n)]
            if given:
                raise ValueError(f"directions go without {', '.join(given)}.")
            if self.directions.size == 0:
                raise ValueError("directions is empty.")
        for name, choices in (("binning", BINNINGS), ("ordering", ORDERINGS), ("frame", FRAMES)):
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}.")
        if self.zenith_max is not None and not 0 < self.zenith_max <= 180:
            raise ValueError(f"zenith_max must lie in (0, 180] deg, got {self.zenith_max} deg.")
        if self.costheta_step is not None and not 0 < self.costheta_step <= 2:
            raise ValueError(f"costheta_step must lie in (0, 2], got {self.costheta_step}.")

    @property
    def config_parameters(self):
        """Configuration, for printing."""
        names = (
            "nside", "costheta_step", "costheta_min", "binning", "zenith_max", "position",
            "radius", "directions", "time_min", "time_max", "ordering", "frame", "n_jobs",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def __repr__(self):
        given = {k: v for k, v in self.config_parameters.items() if v is not None}
        if self.directions is not None:
            given["directions"] = f"<{self.directions.size}>"
        if self.position is not None:
            icrs = self.position.icrs
            given["position"] = f"<{icrs.ra.deg:.4f}, {icrs.dec.deg:.4f} deg>"
        text = ", ".join(f"{name}={value}" for name, value in given.items())
        return f"{type(self).__name__}({text})"

    def run(self, ft1=None, ft2=None, reference=None, gti=None):
        """Compute the livetime cube.

        Parameters
        ----------
        ft1 : str, `~pathlib.Path`, list of these or `LATEventList`, optional
            Events, for their good times and zenith cut.
        ft2 : str, `~pathlib.Path`, list of these or `LATSpacecraft`
            Where the LAT pointed.
        reference : str, `~pathlib.Path` or `LivetimeCube`, optional
            For its directions, bins, time range and zenith cut.
        gti : array, shape (n_gti, 2), optional
            Good time intervals, mission elapsed time [s].

        Returns
        -------
        cube : `LivetimeCube`
            ``meta["livetime"]`` is the livetime of all good time [s], ``meta["uncovered"]`` good
            time between rows of the spacecraft file that is left out [s].

        Raises
        ------
        ValueError
            If there are no good times, the spacecraft file does not cover them or has rows
            without pointing, or the reference has another layout than gtltcube's.
        """
        if ft2 is None:
            raise ValueError("LATLivetimeMaker needs a spacecraft file: give ft2.")
        events = ft1 if ft1 is None or hasattr(ft1, "gti") else LATEventList.read(ft1)
        if reference is not None and not isinstance(reference, LivetimeCube):
            reference = LivetimeCube.read(reference)
        gti = self._good_times(events, reference, gti)
        zenith_max, meta = self._zenith(events, reference)
        cube = self._empty(reference, gti=gti, zenith_max=zenith_max, meta=meta)
        spacecraft = ft2
        if not hasattr(ft2, "livetime"):
            spacecraft = LATSpacecraft.read(ft2, columns=list(COLUMNS))
        self._fill(cube, PointingRows(spacecraft, cube.gti))
        return cube

    # ---- what to compute -------------------------------------------------------------------------

    def _good_times(self, events, reference, gti):
        if gti is None and events is not None:
            gti = events.gti
        span = (None, None)
        if reference is not None and reference.gti is not None and len(reference.gti):
            span = reference.gti.min(), reference.gti.max()
            gti = reference.gti if gti is None else gti
        if gti is None:
            raise ValueError("no good times: give events (ft1), gti, or a reference that has some.")
        given = merge_gti(as_gti(gti))
        good = clip_gti(clip_gti(given, *span), self.time_min, self.time_max)
        if len(good) == 0:
            have = f"{given.min():.3f} to {given.max():.3f} s" if len(given) else "none at all"
            raise ValueError(
                f"no good time is left: good times are {have}, the reference's time range is "
                f"{span[0]} to {span[1]}, time_min and time_max are {self.time_min} and "
                f"{self.time_max}."
            )
        lost = np.sum(given[:, 1] - given[:, 0]) - np.sum(good[:, 1] - good[:, 0])
        if lost > 0:
            log.info(
                "%.6g s of good time outside of the time range %.3f to %.3f s are left out.",
                lost, good.min(), good.max(),
            )  # fmt: skip
        return good

    def _zenith(self, events, reference):
        """Largest zenith angle [deg] or None, and what to say of it."""
        selection = getattr(events, "selection", None)
        of_events = getattr(selection, "zenith_max", None)
        if self.zenith_max is not None:
            zenith_max, origin = self.zenith_max, "argument"
        elif reference is not None:
            zenith_max, origin = reference.zenith_max, "reference"
        else:
            zenith_max, origin = of_events, "events" if events is not None else "none"
        meta = {"zenith_max_from": origin, "zenith_max_events": of_events}
        if of_events is not None and of_events < (zenith_max or 180):
            log.warning(
                "The livetime cube counts zenith angles up to %g deg (%s), but the events were "
                "selected up to %g deg: unless good times keep the region above that angle, "
                "exposure is too large; zenith_max=%g deg would count the same.",
                zenith_max or 180, origin, of_events, of_events,
            )  # fmt: skip
        log.info("Zenith angles up to %g deg (%s).", zenith_max or 180, origin)
        return zenith_max, meta

    def _edges(self, reference):
        step, low, binning = COSTHETA_STEP, 0.0, "sqrt"
        given = [self.costheta_step, self.costheta_min, self.binning]
        if reference is not None and None in given:
            edges, binning = reference.costheta_edges, reference.binning
            if binning is None:
                raise ValueError(
                    "the reference's bins of cos(theta) are equal neither in cos(theta) nor in "
                    f"sqrt(1 - cos(theta)): {edges}; give costheta_step, costheta_min and binning."
                )
            low = float(edges[-1])
            step = (1 - low) / (len(edges) - 1)
        defaults = (step, low, binning)
        step, low, binning = (b if a is None else a for a, b in zip(given, defaults, strict=True))
        number = (1 - low) / step
        if abs(number - round(number)) > STEP_TOLERANCE * number:
            raise ValueError(
                f"costheta_step must divide 1 - costheta_min = {1 - low:g}, got {step:g}."
            )
        return make_costheta_edges(round(number), low, binning)

    def _empty(self, reference, **kwargs):
        """Cube of zeros with the directions and bins that were asked for."""
        edges = self._edges(reference)
        if self.directions is not None:
            return LivetimeCube.create(edges, directions=self.directions, **kwargs)
        asked = (self.nside, self.position, self.ordering, self.frame)
        if reference is not None and all(value is None for value in asked):
            if reference.meta.get("zenith_min"):
                raise ValueError(
                    f"the reference has a smallest zenith angle, {reference.meta['zenith_min']} "
                    "deg; only a largest one is supported."
                )
            data = np.zeros((len(reference.data), len(edges) - 1))
            directions = reference.directions if reference.nside is None else None
            return LivetimeCube(
                data, edges, weighted=data, nside=reference.nside, ordering=reference.ordering,
                frame=reference.frame, pixels=reference.pixels, directions=directions, **kwargs,
            )  # fmt: skip
        radius = None if self.radius is None else self.radius * u.deg
        geometry = {"nside": NSIDE, "ordering": "NESTED", "frame": "icrs"}
        for name in geometry:
            given, like = getattr(self, name), getattr(reference, name, None)
            geometry[name] = given or like or geometry[name]
        return LivetimeCube.create(
            edges, position=self.position, radius=radius, **geometry, **kwargs
        )

    # ---- computing it ----------------------------------------------------------------------------

    def _fill(self, cube, rows):
        """Add the livetime of all rows to a cube."""
        vectors = unit_vectors(cube.directions)
        order, tiles = make_tiles(vectors)
        vectors = np.ascontiguousarray(vectors[:, order])
        costheta_min, zenith_max = float(cube.costheta_edges[-1]), cube.zenith_max or 180.0
        limits = tile_limits(vectors, tiles, costheta_min, zenith_max)
        shape = (len(order), cube.data.shape[1] + 1, 2)
        options = (costheta_min, cube.binning == "sqrt", np.cos(np.radians(zenith_max)))
        if zenith_max >= 180:
            options = (*options[:2], -2.0)

        def work(chunk):
            pointings = rows.pointings(chunk)
            histograms = np.zeros(shape)
            fill_livetime(
                np.ascontiguousarray(pointings), vectors, tiles, limits, *options, histograms
            )
            return histograms, pointings[6].sum(), pointings.shape[1]

        chunks = rows.chunks(ROWS)
        total, livetime, n_pointing = np.zeros(shape), 0.0, 0
        parallel = Parallel(n_jobs=self.n_jobs, prefer="threads", return_as="generator")
        # in the order of the chunks, so that rounding is the same for any number of threads
        results = parallel(delayed(work)(chunk) for chunk in chunks)
        for _ in progress(chunks, "livetime", self.show_progress):
            histograms, seconds, number = next(results)
            total += histograms
            livetime += seconds
            n_pointing += number
        cube.data[order] = total[:, :-1, 0]
        cube.weighted[order] = total[:, :-1, 1]
        cube.meta |= {
            "livetime": float(livetime), "n_rows": n_pointing, "uncovered": rows.uncovered,
        }  # fmt: skip
        if rows.uncovered > 0:
            log.info("%.6g s of good time between rows are left out.", rows.uncovered)
