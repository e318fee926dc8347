"""From photons of the LAT to Gammapy datasets: `LATDatasetMaker`."""

import logging
from copy import copy

import astropy.units as u
import numpy as np
from astropy.table import Table
from astropy.time import Time
from gammapy.data import GTI
from gammapy.datasets import Datasets, MapDataset
from gammapy.irf import EDispKernelMap, PSFMap
from gammapy.maps import Map, MapAxis

from dmgammapy.utils import progress

from . import _geometry as geometry
from ._cache import ProductCache, fingerprint
from .edisp import LATEDispMaker
from .event_selector import LATEventSelector
from .events import LATEventList
from .exposure import LATExposureMaker
from .good_time import LATGoodTimeSelector
from .livetime import LATLivetimeMaker
from .livetime_cube import LivetimeCube
from .psf import LATPSFMaker
from .response import LATResponse
from .spacecraft import LATSpacecraft

__all__ = ["LATDatasetMaker"]

log = logging.getLogger(__name__)

MJD_REFERENCE = 51910, 7.428703703703703e-4  # of mission elapsed time, days, TT
FILTER = "DATA_QUAL>0 && LAT_CONFIG==1"
TELESCOPE = "Fermi-LAT"
GTI_RTOL = 1e-4


class LATDatasetMaker:
    """Reduce photons of the LAT to one `~gammapy.datasets.MapDataset` per event type.

    Selects events and good times, computes the livetime, and from it exposure, PSF and energy
    dispersion, as the Science Tools' gtselect, gtmktime, gtbin, gtltcube, gtexpcube2, gtpsf and
    gtdrm do.

    Parameters
    ----------
    position : `~astropy.coordinates.SkyCoord` or (float, float)
        Centre of the region, or its right ascension and declination in degrees. Not needed with
        ``geom``.
    width, binsz : `~astropy.units.Quantity`
        Of the region and of its pixels. Default is 10 and 0.1 deg.
    frame : {"icrs", "galactic"}
        Default is "icrs".
    proj : str
        Projection. Default is "TAN".
    energy_min, energy_max : `~astropy.units.Quantity`
        Range of reconstructed energies. Default is 500 MeV to 500 GeV.
    energy_bins_per_decade : float
        Default is 8.
    geom : `~gammapy.maps.WcsGeom` or `~gammapy.maps.HpxGeom`, optional
        Geometry of the counts with an axis ``energy``, in the place of all before. Gammapy
        predicts wrong counts on HEALPix, so that such a dataset is for looking, not for fits.
    energy_axis_true : `~gammapy.maps.MapAxis`, optional
        True energy. Default is at least 16 bins per decade that share the edges of the counts,
        with a margin of ``energy_margin``.
    energy_margin : float
        Reach of the true energies beyond those of the counts, decades. Default is 0.3.
    margin : `~astropy.units.Quantity`
        Reach of the exposure beyond the counts, for sources outside. Default is 3 deg.
    event_types : list of str, int or list
        One dataset each: "FB" (or "PSF", "EDISP") for all types of a kind together, names such
        as "PSF3", several names in a list, or a bit mask. Default is ("FB",).
    event_class : str or int, optional
        Default is the one of the response.
    irfs : str
        Name of the response functions. Default is "P8R3_SOURCE_V3".
    caldb : str or `~pathlib.Path`, optional
        Folder with the LAT's CALDB. Default is ``$CALDB``.
    response : `LATResponse`, optional
        In the place of ``irfs`` and ``caldb``, such as `LATResponse.parametrised`.
    zenith_max : `~astropy.units.Quantity`, optional
        Of events and livetime. Default is what the event files were selected with.
    time_min, time_max : float or `~astropy.time.Time`, optional
        Mission elapsed time. Default is all.
    filter : str or None
        Expression for good times, over columns of the spacecraft files. None keeps the good times
        of the event files. Default is "DATA_QUAL>0 && LAT_CONFIG==1".
    roi_zenith_max : `~astropy.units.Quantity`, optional
        Remove the times at which some part of the region is beyond this zenith angle, in the
        place of a cut on the zenith angle of every event. Default is not to.
    edisp : bool
        Compute the energy dispersion. Default is True.
    livetime_nside : int
        Order of the HEALPix directions of the livetime. Default is 64.
    components : list of dict, optional
        Datasets with own values of the parameters above, such as ``zenith_max`` and
        ``energy_min``; each is run as a maker with these in the place of its own.
    name : str
        Begin of the names of the datasets. Default is "lat".
    cache : str or `~pathlib.Path`, optional
        Folder in which selected events, livetime and response of each dataset are kept, and found
        again as long as files and settings are the same. Default is to keep nothing.
    n_jobs : int
        Threads of the livetime. Default is 1.
    show_progress : bool, optional
        Default is to show progress where someone may look.

    Examples
    --------
    >>> from dmgammapy.makers.lat import LATDatasetMaker
    >>> maker = LATDatasetMaker(position=(83.63, 22.01), event_types=["PSF2", "PSF3"])
    >>> datasets = maker.run("photons.fits", "spacecraft.fits")  # doctest: +SKIP
    """

    tag = "LATDatasetMaker"

    def __init__(
        self,
        position=None,
        width=10 * u.deg,
        binsz=0.1 * u.deg,
        frame="icrs",
        proj="TAN",
        energy_min=500 * u.MeV,
        energy_max=500 * u.GeV,
        energy_bins_per_decade=8,
        geom=None,
        energy_axis_true=None,
        energy_margin=0.3,
        margin=3 * u.deg,
        event_types=("FB",),
        event_class=None,
        irfs="P8R3_SOURCE_V3",
        caldb=None,
        response=None,
        zenith_max=None,
        time_min=None,
        time_max=None,
        filter=FILTER,
        roi_zenith_max=None,
        edisp=True,
        livetime_nside=64,
        components=None,
        name="lat",
        cache=None,
        n_jobs=1,
        show_progress=None,
    ):
        self._settings = {k: v for k, v in locals().items() if k not in ("self", "components")}
        if geom is None and position is None:
            raise ValueError("LATDatasetMaker needs the position of the region, or its geom.")
        if isinstance(event_types, str | int):
            event_types = [event_types]
        self.event_types = list(event_types)
        if not self.event_types:
            raise ValueError("LATDatasetMaker needs at least one event type, got none.")
        if geom is None:
            position = geometry.read_position(position)
            axis = MapAxis.from_energy_bounds(
                energy_min, energy_max, nbin=energy_bins_per_decade, per_decade=True
            )
            geom = geometry.counts_geom(
                position, u.Quantity(width), u.Quantity(binsz), frame, proj, axis
            )
        elif "energy" not in geom.axes.names:
            raise ValueError(f"the geometry needs an axis energy, got {geom.axes.names}.")
        self.geom = geom
        self.energy_axis_true = energy_axis_true
        self.energy_margin = energy_margin
        self.margin = u.Quantity(margin)
        self.event_class = event_class
        self.irfs = irfs
        self.caldb = caldb
        self.response = response
        self.zenith_max = None if zenith_max is None else u.Quantity(zenith_max)
        self.time_min, self.time_max = time_min, time_max
        self.filter = filter
        self.roi_zenith_max = None if roi_zenith_max is None else u.Quantity(roi_zenith_max)
        self.edisp = edisp
        self.livetime_nside = livetime_nside
        self.name = name
        self.cache = cache
        self.n_jobs = n_jobs
        self.show_progress = show_progress
        self.components = [dict(part) for part in components or ()]
        for part in self.components:
            self._part(part)

    def __repr__(self):
        image, axis = self.geom.to_image(), self.geom.axes["energy"]
        types = ", ".join(_label(kind) for kind in self.event_types)
        centre = image.center_skydir.icrs
        more = f", {len(self.components)} components" if self.components else ""
        return (
            f"LATDatasetMaker(ra={centre.ra.deg:.4f} deg, dec={centre.dec.deg:.4f} deg, "
            f"{image.data_shape[1]} x {image.data_shape[0]} pixels, {axis.nbin} energies {axis.edges[0]:.4g} to "
            f"{axis.edges[-1]:.4g}, {types}, {self._irfs_name}{more})"
        )

    @property
    def _irfs_name(self):
        return self.irfs if self.response is None else self.response.irfs

    def copy(self):
        """Copy of the maker."""
        return copy(self)

    def _part(self, part):
        """Maker of one component."""
        unknown = set(part) - set(self._settings)
        if unknown:
            raise ValueError(
                f"components: no parameter {', '.join(sorted(unknown))}; there are "
                f"{', '.join(self._settings)}."
            )
        settings = self._settings | part
        if self._settings["geom"] is not None and {"energy_min", "energy_max"} & set(part):
            raise ValueError(
                "components have energies of their own only where the geometry is made from "
                "position, width and energies; leave out geom."
            )
        return type(self)(**settings)

    # --- the chain ---------------------------------------------------------------------------

    def run(self, ft1, ft2=None, livetime=None):
        """Reduce event files.

        Parameters
        ----------
        ft1 : str, `~pathlib.Path`, list or `LATEventList`
            Event files; a list of them may be given as a text file ``@list.txt``.
        ft2 : str, `~pathlib.Path`, list or `LATSpacecraft`, optional
            Spacecraft files. Needed for good times and livetime.
        livetime : str, `~pathlib.Path` or `LivetimeCube`, optional
            Existing livetime cube of the same good times and zenith cut. Default is to compute
            it.

        Returns
        -------
        datasets : `~gammapy.datasets.Datasets`
            One per event type, named ``lat-psf3`` and alike.

        Raises
        ------
        ValueError
            If the files lack what is needed, cuts are wider than those of the event files, the
            region lies outside of them, or the livetime is that of other good times.
        """
        if self.components:
            return self._run_components(ft1, ft2, livetime)
        if ft2 is None and livetime is None:
            raise ValueError("LATDatasetMaker needs spacecraft files (ft2) or a livetime cube.")
        response = self._read_response()
        events, spacecraft, key = self._select(ft1, ft2, response)
        livetime, livetime_key = self._livetime(events, spacecraft, livetime, key)
        axis_true = self.energy_axis_true
        if axis_true is None:
            axis_true = geometry.true_energy_axis(
                self.geom.axes["energy"], margin=self.energy_margin, limits=response.energy_range
            )
        datasets = Datasets()
        for kind in progress(self.event_types, "event types", self.show_progress):
            datasets.append(self._dataset(events, livetime, response, kind, axis_true, livetime_key))
        return datasets

    def _run_components(self, ft1, ft2, livetime):
        datasets = Datasets()
        for k, part in enumerate(self.components):
            for dataset in self._part(part).run(ft1, ft2, livetime):
                if dataset.name in datasets.names:
                    raise ValueError(
                        f"components[{k}]: a dataset {dataset.name!r} is there already; give the "
                        "component a name of its own."
                    )
                datasets.append(dataset)
        return datasets

    def _read_response(self):
        if self.response is not None:
            return self.response
        names = [name for kind in self.event_types for name in _names(kind)]
        return LATResponse.read(self.irfs, event_type=names, caldb=self.caldb)

    def _select(self, ft1, ft2, response):
        """Events and their good times, the spacecraft, and what they depend on."""
        cache = ProductCache(self.cache)
        key = None
        if cache.folder is not None:
            settings = [
                str(x)
                for x in (
                    self.event_class or response.event_class_mask, self.event_types,
                    self.geom.axes["energy"].edges, self.zenith_max, self.time_min,
                    self.time_max, self.filter, self.roi_zenith_max,
                    self.geom.center_skydir.icrs.to_string("decimal", precision=8),
                    geometry.corner_radius(self.geom),
                )
            ]  # fmt: skip
            key = cache.key("events", settings, _fingerprints(ft1), _fingerprints(ft2))
        spacecraft = _Later(ft2)
        events = cache.get(
            f"{self.name}-events", key, make=lambda: self._select_anew(ft1, spacecraft, response),
            read=LATEventList.read, write=lambda product, path: product.write(path),
        )  # fmt: skip
        return events, spacecraft, key

    def _select_anew(self, ft1, spacecraft, response):
        events = ft1 if isinstance(ft1, LATEventList) else LATEventList.read(ft1)
        known = events.selection
        if self.zenith_max is None and known.zenith_max is None and self.roi_zenith_max is None:
            raise ValueError(
                "the event files say nothing about a cut on the zenith angle: give zenith_max, "
                "such as 90 deg, or the limb of the Earth is taken for the sky."
            )
        energies = self.geom.axes["energy"].edges
        cuts = {}
        radius = geometry.corner_radius(self.geom)
        if known.cone is None or geometry.covered(self.geom, known.cone).all():
            cuts = {"position": self.geom.center_skydir.icrs, "radius": radius}
        selector = LATEventSelector(
            event_class=self.event_class or response.event_class_mask,
            event_type=_mask(response, self.event_types),
            energy_min=energies[0],
            energy_max=energies[-1],
            zenith_max=self.zenith_max,
            time_min=self.time_min,
            time_max=self.time_max,
            **cuts,
        )
        events = selector.run(events)
        if self.filter is None and self.roi_zenith_max is None:
            return events
        if spacecraft.given is None:
            raise ValueError(
                "good times need spacecraft files (ft2); give filter=None to keep those of the "
                "event files."
            )
        goods = {}
        if self.roi_zenith_max is not None:
            goods = {
                "roi_zenith_max": self.roi_zenith_max,
                "position": self.geom.center_skydir.icrs, "radius": radius,
            }  # fmt: skip
        good = LATGoodTimeSelector(filter=self.filter or "", **goods)
        return good.run(events, spacecraft.read())

    def _livetime(self, events, spacecraft, given, key):
        if given is not None:
            cube = given if isinstance(given, LivetimeCube) else LivetimeCube.read(given)
            _check_livetime(cube, events)
            return cube, ["given", _fingerprints(given)]
        maker = LATLivetimeMaker(
            nside=self.livetime_nside,
            zenith_max=None if self.roi_zenith_max is not None else _zenith(events),
            position=self.geom.center_skydir.icrs,
            radius=geometry.corner_radius(self.geom) + self.margin + 3 * u.deg,
            n_jobs=self.n_jobs,
            show_progress=self.show_progress,
        )
        cache = ProductCache(self.cache)
        own = cache.key("livetime", key, self.livetime_nside, str(self.margin))
        cube = cache.get(
            f"{self.name}-livetime", own,
            make=lambda: maker.run(ft1=events, ft2=spacecraft.read()),
            read=LivetimeCube.read, write=lambda product, path: product.write(path),
        )  # fmt: skip
        return cube, own

    # --- one dataset -------------------------------------------------------------------------

    def _dataset(self, events, livetime, response, kind, axis_true, livetime_key):
        response = response.select(_names(kind)) if not response.is_parametrised else response
        counts = self._counts(events, _mask(response, [kind]))
        cache = ProductCache(self.cache)
        label = f"{self.name}-{_label(kind)}"
        names = self.geom, axis_true.edges, self.margin, self.edisp, self._irfs_name, kind
        key = cache.key("response", livetime_key, [_describe(x) for x in names])
        dataset = cache.get(
            f"{label}-response", key,
            make=lambda: self._response_dataset(livetime, response, axis_true),
            read=lambda path: MapDataset.read(path), write=_write_dataset,
        )  # fmt: skip
        return self._finish(dataset, counts, events, label, kind)

    def _counts(self, events, mask):
        """Counts map of the events of some types."""
        counts = Map.from_geom(self.geom, dtype=float)
        types = np.asarray(events.table["EVENT_TYPE"]).astype(np.int64)
        chosen = (types & mask) != 0
        coords = {
            "skycoord": events.radec[chosen],
            "energy": np.asarray(events.table["ENERGY"], dtype=float)[chosen] * u.MeV,
        }
        counts.fill_by_coord(coords)
        return counts

    def _response_dataset(self, livetime, response, axis_true):
        """Dataset of exposure, PSF and energy dispersion."""
        centre = self.geom.center_skydir.icrs
        geom = geometry.exposure_geom(self.geom, axis_true, self.margin)
        exposure = LATExposureMaker(response).run(livetime, geom)
        psf = LATPSFMaker(response).run(livetime, centre, axis_true)
        edisp = None
        if self.edisp:
            maker = LATEDispMaker(response)
            edisp = maker.run(livetime, centre, self.geom.axes["energy"], axis_true)
        return MapDataset(
            counts=Map.from_geom(self.geom, dtype=float), exposure=exposure, psf=psf, edisp=edisp,
        )  # fmt: skip

    def _finish(self, response, counts, events, label, kind):
        inside = geometry.covered(self.geom, events.selection.cone)
        if not inside.any():
            raise ValueError(
                f"{label}: no pixel of the region lies in the cone of the event files, "
                f"{events.selection.cone} deg (ra, dec, radius)."
            )
        if not inside.all():
            log.warning(
                "%s: %d of %d pixels reach beyond the cone of the event files and are masked.",
                label, (~inside).sum(), inside.size,
            )  # fmt: skip
        mask = None
        if not inside.all():
            mask = Map.from_geom(self.geom, dtype=bool)
            mask.data |= inside
        outside = counts.data[:, ~inside].sum()
        if outside:
            log.info("%s: %d events lie in pixels that are masked.", label, outside)
        return MapDataset(
            name=label, counts=counts, exposure=response.exposure, psf=response.psf,
            edisp=response.edisp, mask_fit=mask, gti=_gammapy_gti(events.gti),
            meta_table=self._meta(events, kind),
        )  # fmt: skip

    def _meta(self, events, kind):
        known = events.selection
        zenith = np.nan if known.zenith_max is None else known.zenith_max
        row = {
            "TELESCOP": [TELESCOPE], "INSTRUME": ["LAT"], "IRFS": [self._irfs_name],
            "EVENT_TYPE": [_label(kind)], "EVENT_CLASS": [str(known.event_class)],
            "ZENITH_MAX": [float(zenith)], "LIVETIME_NSIDE": [self.livetime_nside],
        }  # fmt: skip
        return Table(row)


class _Later:
    """Spacecraft files that are read when they are needed, once."""

    def __init__(self, given):
        self.given = given
        self._found = given if isinstance(given, LATSpacecraft) else None

    def read(self):
        if self._found is None:
            self._found = LATSpacecraft.read(self.given)
        return self._found


def _names(kind):
    """Names of event types of one dataset, for `LATResponse.read`."""
    return list(kind) if isinstance(kind, list | tuple) else [kind]


def _label(kind):
    """Event types of a dataset in its name."""
    return "-".join(str(name) for name in _names(kind)).lower()


def _mask(response, kinds):
    """Bit mask of event types."""
    names = [name for kind in kinds for name in _names(kind)]
    return response.select(names).event_type_mask if not response.is_parametrised else 3


def _zenith(events):
    value = events.selection.zenith_max
    return None if value is None else value * u.deg


def _fingerprints(files):
    """What files hold, JSON-able."""
    if files is None:
        return None
    if isinstance(files, LATEventList | LATSpacecraft | LivetimeCube):
        raise ValueError("a cache needs the names of files, to see whether they are the same.")
    names = files if isinstance(files, list | tuple) else [files]
    out = []
    for name in names:
        text = str(name)
        if text.startswith("@"):
            from ._fits import read_list

            out += [fingerprint(path) for path in read_list(text)]
        else:
            out.append(fingerprint(text))
    return out


def _check_livetime(cube, events):
    """Refuse a livetime cube of other good times or another zenith cut."""
    if cube.gti is not None:
        have, need = (float(np.sum(g[:, 1] - g[:, 0])) for g in (cube.gti, events.gti))
        if abs(have / need - 1) > GTI_RTOL:
            raise ValueError(
                f"the livetime cube is for {have:.6g} s of good time, the events have "
                f"{need:.6g} s; compute it for the same good times, or leave it out."
            )
    zenith = events.selection.zenith_max
    if cube.zenith_max is not None and zenith is not None:
        found = u.Quantity(cube.zenith_max, "deg").value
        if abs(found - zenith) > 1e-3:
            raise ValueError(
                f"the livetime cube is for zenith angles below {found:g} deg, the events for "
                f"those below {zenith:g} deg; compute it for the same cut, or leave it out."
            )


def _gammapy_gti(gti):
    reference = Time(*MJD_REFERENCE, format="mjd", scale="tt")
    return GTI.create(gti[:, 0] * u.s, gti[:, 1] * u.s, reference)


def _write_dataset(dataset, path):
    dataset.write(path)


def _describe(value):
    if hasattr(value, "wcs"):
        return [value.wcs.to_header_string(), value.data_shape]
    return repr(value) if not isinstance(value, u.Quantity) else value.to_string(precision=17)


__all__ += []
_ = EDispKernelMap, PSFMap
