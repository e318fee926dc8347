"""The steps from event files to datasets, for `LATDatasetMaker`."""

import logging
from functools import cached_property

import astropy.units as u
import numpy as np
from astropy.table import Table
from gammapy.datasets import MapDataset
from gammapy.maps import Map

from . import _geometry as geometry
from ._cache import ProductCache, fingerprint
from ._caldb import find_irf_files, resolve_event_types, type_mask
from ._cuts import parse_event_class
from ._fits import expand_paths
from ._kinds import label_of, types_of
from ._met import gammapy_gti, to_met
from ._reduction_checks import check_livetime, check_response, class_of, full_zenith
from .edisp import LATEDispMaker
from .event_selector import LATEventSelector
from .events import LATEventList
from .exposure import LATExposureMaker
from .good_time import LATGoodTimeSelector
from .livetime import LATLivetimeMaker
from .livetime_cube import LivetimeCube
from .psf import LATPSFMaker
from .spacecraft import LATSpacecraft

__all__ = ["Reduction"]

log = logging.getLogger(__name__)

TELESCOPE = "Fermi-LAT"
TINY = 1e-6
BEYOND = 2 * u.deg  # of the exposure, to interpolate the livetime


class Reduction:
    """Event files with one set of cuts, and what is computed of them once.

    Parameters
    ----------
    maker : `LATDatasetMaker`
    response : `LATResponse`
    axis_true : `~gammapy.maps.MapAxis`
        True energies.
    ft1, ft2, livetime
        As of `LATDatasetMaker.run`.
    """

    def __init__(self, maker, response, axis_true, ft1, ft2, livetime):
        self.maker, self.response, self.axis_true = maker, response, axis_true
        self.ft1, self.ft2, self.given_livetime = ft1, ft2, livetime
        self.cache = ProductCache(maker.cache)
        self.centre = maker.geom.center_skydir.icrs
        self.radius = geometry.corner_radius(maker.geom)

    # ---- events ------------------------------------------------------------------------------

    @cached_property
    def spacecraft(self):
        """Spacecraft files, read when they are needed."""
        return self.ft2 if isinstance(self.ft2, LATSpacecraft) else LATSpacecraft.read(self.ft2)

    @cached_property
    def _key(self):
        """What the selected events depend on."""
        if self.cache.folder is None:
            return None
        maker = self.maker
        times = [None if t is None else repr(to_met(t)) for t in (maker.time_min, maker.time_max)]
        settings = (
            self._event_class, self.mask(maker.event_types), maker.zenith_max, maker.filter,
            maker.roi_zenith_max, maker.phase,
        )  # fmt: skip
        described = [*times, *(str(value) for value in settings), *geometry.describe(maker.geom)]
        return self.cache.key("events", described, fingerprints(self.ft1), fingerprints(self.ft2))

    @cached_property
    def events(self):
        """Selected events, `LATEventList`."""
        events = self.cache.get(
            f"{self.maker.name}-events", self._key, make=self._select, read=LATEventList.read,
            write=lambda product, path: product.write(path),
        )  # fmt: skip
        # of events that were kept, too
        self._check_selection(events.selection)
        return events

    def _select(self):
        maker = self.maker
        events = self.ft1 if isinstance(self.ft1, LATEventList) else LATEventList.read(self.ft1)
        known = events.selection
        if maker.zenith_max is None and known.zenith_max is None and maker.roi_zenith_max is None:
            raise ValueError(
                "the event files say nothing about a cut on the zenith angle: give zenith_max, "
                "such as 90 deg, or the limb of the Earth is taken for the sky."
            )
        self._check_selection(known)
        energies = maker.geom.axes["energy"].edges
        cone = {}
        if self._covered(known).all():
            cone = {"position": self.centre, "radius": self._cone_radius(known.cones)}
        selector = LATEventSelector(
            event_class=self._event_class,
            event_type=self.mask(maker.event_types),
            energy_min=energies[0],
            energy_max=energies[-1],
            zenith_max=maker.zenith_max,
            time_min=maker.time_min,
            time_max=maker.time_max,
            phase=maker.phase,
            **cone,
        )
        return self._in_good_times(selector.run(events))

    def _check_selection(self, known):
        """Refuse events that the response is not for, and those of elsewhere."""
        check_response(self.response, self._event_class, known)
        if not self._covered(known).any():
            raise ValueError(
                "no pixel of the region lies in the cone of the event files, "
                + " and ".join(str(cone) for cone in known.cones)
                + " deg (ra, dec, radius); fetch the events of this region."
            )

    def _covered(self, known):
        """Pixels inside of all cones that the events were cut to."""
        inside = geometry.covered(self.maker.geom, None)
        for cone in known.cones:
            if not self._holds_region(cone):
                inside &= geometry.covered(self.maker.geom, cone)
        return inside

    def _holds_region(self, cone):
        """Whether a cone is the one around the region that events are cut to here."""
        ra, dec, radius = cone
        separation = geometry.read_position((ra, dec)).separation(self.centre).to_value("deg")
        return separation < TINY and radius >= self.radius.to_value("deg") * (1 - TINY)

    @property
    def _event_class(self):
        given = self.maker.event_class
        return class_of(self.response) if given is None else parse_event_class(given)

    def _cone_radius(self, cones):
        """Radius that the whole region is in, not beyond the cones that there are."""
        radius = self.radius
        for ra, dec, largest in cones:
            distance = geometry.read_position((ra, dec)).separation(self.centre)
            radius = min(radius, largest * u.deg - distance)
        return radius

    def _in_good_times(self, events):
        maker = self.maker
        if maker.filter is None and maker.roi_zenith_max is None:
            return events
        if self.ft2 is None:
            raise ValueError(
                "good times need spacecraft files (ft2); give filter=None to keep those of the "
                "event files."
            )
        region = {}
        if maker.roi_zenith_max is not None:
            region = {
                "roi_zenith_max": maker.roi_zenith_max,
                "position": self.centre,
                "radius": self.radius,
            }
        filter = "START>=0" if maker.filter is None else maker.filter
        selector = LATGoodTimeSelector(filter=filter, **region)
        return selector.run(events, self.spacecraft)

    def mask(self, kinds):
        """Bit mask of event types."""
        return type_mask(types_of(kinds))

    # ---- livetime ----------------------------------------------------------------------------

    @cached_property
    def livetime(self):
        """Livetime of the directions of the region, `LivetimeCube`."""
        given = self.given_livetime
        if given is not None:
            cube = given if isinstance(given, LivetimeCube) else LivetimeCube.read(given)
            check_livetime(cube, self.events)
            return cube if cube.meta.get("scale", 1.0) != 1.0 else self._phased(cube)
        maker = self.maker
        zenith = self.events.selection.zenith_max
        livetime = LATLivetimeMaker(
            nside=maker.livetime_nside,
            zenith_max=full_zenith(zenith) * u.deg,
            position=self.centre,
            radius=min(self.radius + np.sqrt(2) * maker.margin + BEYOND, 180 * u.deg),
            n_jobs=maker.n_jobs,
            show_progress=maker.show_progress,
        )
        return self._phased(
            self.cache.get(
                f"{maker.name}-livetime",
                self._livetime_key,
                make=lambda: livetime.run(ft1=self.events, ft2=self.spacecraft),
                read=LivetimeCube.read,
                write=lambda product, path: product.write(path),
            )  # fmt: skip
        )

    def _phased(self, cube):
        """Livetime in the phases that the events are of, cut here or before."""
        fraction = self.events.selection.phase_fraction
        return cube if fraction == 1 else cube.scaled(fraction)

    @property
    def _livetime_key(self):
        if self.cache.folder is None:
            return None
        maker = self.maker
        return self.cache.key(
            "livetime", self._key, maker.livetime_nside, str(maker.margin),
            fingerprints(self.given_livetime),
        )  # fmt: skip

    # ---- datasets ----------------------------------------------------------------------------

    def dataset(self, kind):
        """Dataset of one event type, or of several together."""
        maker = self.maker
        label = f"{maker.name}-{label_of(kind)}"
        response = self.response
        if not response.is_parametrised:
            response = response.select(types_of([kind]))
        counts = self._counts(self.mask([kind]))
        reduced = self.cache.get(
            f"{label}-response", self._response_key(kind),
            make=lambda: self._response(response), read=MapDataset.read,
            write=lambda product, path: product.write(path),
        )  # fmt: skip
        return MapDataset(
            name=label, counts=counts, exposure=reduced.exposure, psf=reduced.psf,
            edisp=reduced.edisp, mask_fit=self._mask(label, counts),
            gti=gammapy_gti(self.events.gti), meta_table=self._meta(kind),
        )  # fmt: skip

    def _response_key(self, kind):
        if self.cache.folder is None:
            return None
        maker = self.maker
        phases = self.events.selection.phase_fraction
        parts = maker.margin, maker.edisp, phases, response_name(maker), types_of([kind])
        return self.cache.key(
            "response", self._livetime_key, geometry.describe(maker.geom),
            self.axis_true.edges.to_value("MeV").tolist(), [str(part) for part in parts],
            self._response_fingerprints(),
        )  # fmt: skip

    def _response_fingerprints(self):
        maker = self.maker
        if maker.response is not None:
            if not maker.response.is_parametrised:
                raise ValueError(
                    "a cache needs irfs and caldb, the files of which tell whether they are the "
                    "same, in the place of a response that was read before."
                )
            return []
        partition, _ = resolve_event_types(types_of(maker.event_types))
        return [
            fingerprint(path)
            for path in find_irf_files(maker.irfs, partition, maker.caldb).values()
        ]

    def _counts(self, mask):
        counts = Map.from_geom(self.maker.geom, dtype=float)
        types = np.asarray(self.events.table["EVENT_TYPE"]).astype(np.int64)
        chosen = (types & mask) != 0
        coords = {"skycoord": self.events.radec[chosen], "energy": self.events.energy[chosen]}
        counts.fill_by_coord(coords)
        return counts

    def _response(self, response):
        """Dataset of exposure, PSF and energy dispersion."""
        maker, livetime, axis_true = self.maker, self.livetime, self.axis_true
        geom = geometry.exposure_geom(maker.geom, axis_true, maker.margin)
        exposure = LATExposureMaker(response).run(livetime, geom)
        psf = LATPSFMaker(response).run(livetime, self.centre, axis_true)
        edisp = None
        if maker.edisp:
            edisp = LATEDispMaker(response).run(
                livetime, self.centre, maker.geom.axes["energy"], axis_true
            )
        counts = Map.from_geom(maker.geom, dtype=float)
        return MapDataset(counts=counts, exposure=exposure, psf=psf, edisp=edisp)

    def _mask(self, label, counts):
        """Pixels that the event files cover.

        Not ``mask_safe``: where exposures are wider than counts, Gammapy can't print such datasets.
        """
        inside = self._covered(self.events.selection)
        if not inside.all():
            log.warning(
                "%s: %d of %d pixels reach beyond the cone of the event files and are masked, "
                "with %d events.",
                label, (~inside).sum(), inside.size, counts.data[:, ~inside].sum(),
            )  # fmt: skip
        mask = Map.from_geom(self.maker.geom, dtype=bool)
        mask.data |= inside
        return mask

    def _livetime_at_centre(self):
        """Livetime of the centre at any inclination, s."""
        livetime, _ = self.livetime.interp(self.centre)
        return float(livetime.sum())

    def _meta(self, kind):
        known = self.events.selection
        zenith = np.nan if known.zenith_max is None else float(known.zenith_max)
        gti = self.events.gti
        row = {
            "TELESCOP": TELESCOPE, "INSTRUME": "LAT", "IRFS": response_name(self.maker),
            "EVENT_TYPE": label_of(kind).upper(), "EVENT_CLASS": int(known.event_class or 0),
            "ZENITH_MAX": zenith, "LIVETIME": self._livetime_at_centre(),
            "GOOD_TIME": float(np.sum(gti[:, 1] - gti[:, 0])),
            "TSTART": float(gti[0, 0]), "TSTOP": float(gti[-1, 1]),
        }  # fmt: skip
        return Table({name: [value] for name, value in row.items()})


# ---- what is the same for all -----------------------------------------------------------------


def response_name(maker):
    """Name of the response functions of a maker."""
    return maker.irfs if maker.response is None else maker.response.irfs


def fingerprints(files):
    """Hashes of what files hold, list; None without files."""
    if files is None:
        return None
    if isinstance(files, LATEventList | LATSpacecraft | LivetimeCube):
        raise ValueError("a cache needs the names of files, to see whether they are the same.")
    return [fingerprint(path) for path in expand_paths(files)]
