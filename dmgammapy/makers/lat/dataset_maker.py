"""From photons of the LAT to Gammapy datasets: `LATDatasetMaker`."""

import logging
from copy import copy

import astropy.units as u
from gammapy.datasets import Datasets

from dmgammapy.utils import progress

from . import _geometry as geometry
from ._fermipy_maker import from_fermipy, unused
from ._kinds import label_of, types_of
from ._reduction import Reduction
from ._reduction_checks import check_components, check_kinds
from .fermipy_config import translate_fermipy_config
from .response import LATResponse

__all__ = ["LATDatasetMaker"]

log = logging.getLogger(__name__)

FILTER = "DATA_QUAL>0 && LAT_CONFIG==1"
GEOMETRY = (
    "position", "width", "binsz", "frame", "proj", "energy_min", "energy_max",
    "energy_bins_per_decade",
)  # fmt: skip
# parameters that components have in common with the maker, unless they say otherwise
SHARED = (
    "energy_axis_true", "energy_margin", "event_types", "event_class", "irfs", "caldb", "response",
    "zenith_max", "time_min", "time_max", "filter", "roi_zenith_max", "phase", "edisp",
    "livetime_nside", "name", "cache", "n_jobs", "show_progress",
)  # fmt: skip


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
    margin : `~astropy.units.Quantity`, optional
        Reach of the exposure beyond the counts, for sources and diffuse emission outside. Default
        is 1.5 times the 95 % radius of the PSF at the lowest energy, between 3 and 12 deg: with
        3 deg at 500 MeV, 1 % of the Galactic counts of the lowest bin are missing.
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
    phase : list of (float, float), optional
        Ranges of PULSE_PHASE; the exposure is scaled by what they cover. Default is all.
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

    What can be done with datasets is in `~dmgammapy.makers.ROIModelMaker` and
    `~dmgammapy.estimators.ROIOptimizer`.
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
        margin=None,
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
        phase=None,
        edisp=True,
        livetime_nside=64,
        components=None,
        name="lat",
        cache=None,
        n_jobs=1,
        show_progress=None,
    ):
        self.translation, self._inputs = None, []
        if geom is None and position is None:
            raise ValueError("LATDatasetMaker needs the position of the region, or its geom.")
        self._geometry = None
        if geom is None:
            self._geometry = {
                "position": geometry.read_position(position), "width": u.Quantity(width),
                "binsz": u.Quantity(binsz), "frame": frame, "proj": proj,
                "energy_min": u.Quantity(energy_min), "energy_max": u.Quantity(energy_max),
                "energy_bins_per_decade": energy_bins_per_decade,
            }  # fmt: skip
            geom = geometry.counts_geom(**self._geometry)
        elif "energy" not in geom.axes.names:
            raise ValueError(f"the geometry needs an axis energy, got {geom.axes.names}.")
        if geom.is_hpx:
            log.warning("Gammapy predicts wrong counts on HEALPix: look at them, but fit on WCS.")
        self.geom = geom
        self.energy_axis_true = energy_axis_true
        self.energy_margin = energy_margin
        self._margin = margin
        self.event_types = [event_types] if isinstance(event_types, str | int) else event_types
        self.event_types = list(self.event_types)
        if not self.event_types:
            raise ValueError("LATDatasetMaker needs at least one event type, got none.")
        self.event_class = event_class
        self.irfs = irfs
        self.caldb = caldb
        self.response = response
        self.zenith_max = None if zenith_max is None else u.Quantity(zenith_max)
        self.time_min, self.time_max = time_min, time_max
        self.filter = filter
        self.roi_zenith_max = None if roi_zenith_max is None else u.Quantity(roi_zenith_max)
        self.phase = phase
        self.edisp = edisp
        self.livetime_nside = livetime_nside
        self.name = name
        self.cache = cache
        self.n_jobs = n_jobs
        self.show_progress = show_progress
        self.components = [dict(part) for part in components or ()]
        parts = [self._part(part) for part in self.components] or [self]
        is_rough = self.response is not None and self.response.is_parametrised
        if not self.components:
            check_kinds(self.event_types, types_of, is_rough)
        check_components(parts, types_of)

    @property
    def margin(self):
        """Reach of the exposure beyond the counts, angle."""
        if self._margin is not None:
            return u.Quantity(self._margin)
        return geometry.psf_reach(self.geom.axes["energy"].edges[0])

    @margin.setter
    def margin(self, value):
        self._margin = value

    def __repr__(self):
        image, axis = self.geom.to_image(), self.geom.axes["energy"]
        pixels = " x ".join(str(n) for n in image.data_shape[::-1])
        types = ", ".join(label_of(kind) for kind in self.event_types)
        centre = image.center_skydir.icrs
        more = f", {len(self.components)} components" if self.components else ""
        return (
            f"LATDatasetMaker(ra={centre.ra.deg:.4f} deg, dec={centre.dec.deg:.4f} deg, "
            f"{pixels} pixels, {axis.nbin} energies {axis.edges[0]:.4g} to {axis.edges[-1]:.4g}, "
            f"{types}, {self._irfs_name}{more})"
        )

    @property
    def _irfs_name(self):
        return self.irfs if self.response is None else self.response.irfs

    def copy(self):
        """Copy of the maker."""
        return copy(self)

    def _part(self, part):
        """Maker of one component: what it does not say is as it is here now."""
        settings = {name: getattr(self, name) for name in SHARED} | {"margin": self._margin}
        settings |= {"geom": self.geom} if self._geometry is None else self._geometry
        unknown = set(part) - set(SHARED) - {"margin", "geom", *GEOMETRY}
        if unknown:
            raise ValueError(
                f"components: no parameter {', '.join(sorted(unknown))}; there are "
                f"{', '.join((*GEOMETRY, 'geom', 'margin', *SHARED))}."
            )
        if "geom" in part:
            settings = {k: v for k, v in settings.items() if k not in GEOMETRY}
        elif self._geometry is None and set(GEOMETRY) & set(part):
            raise ValueError(
                "components have a position, pixels or energies of their own only where the "
                "geometry is made from these; leave out geom."
            )
        if {"irfs", "caldb"} & set(part) and "response" not in part:
            settings["response"] = None
        return type(self)(**settings | part)

    @classmethod
    def from_fermipy_config(cls, path, caldb=None, cache=None, n_jobs=1):
        """Maker with the settings of a configuration of fermipy.

        Its ``run()`` takes event and spacecraft files from the configuration, too. What has no
        counterpart or another meaning is in ``translation.untranslated``, and in
        ``print(maker.translation)``. Models of the region are those of
        ``translation.settings["model"]``.

        Parameters
        ----------
        path : str, `~pathlib.Path` or dict
            YAML file, or what it holds.
        caldb : str or `~pathlib.Path`, optional
            Folder with the LAT's CALDB. Default is ``$CALDB``.
        cache : str or `~pathlib.Path`, optional
            As of the class.
        n_jobs : int
            As of the class. Default is 1.

        Returns
        -------
        maker : `LATDatasetMaker`
            With the attribute ``translation``, a `FermipyTranslation`; one component each.

        Raises
        ------
        ValueError
            If the configuration has unknown keys, or says no position.
        """
        translation = translate_fermipy_config(path)
        translation.untranslated += unused(*translation.components)
        common = {"caldb": caldb, "cache": cache, "n_jobs": n_jobs}
        parts = [from_fermipy(part) | common for part in translation.components]
        several = len(parts) > 1
        for part, given in zip(parts, translation.components, strict=True):
            part["name"] = f"lat-{given['name']}" if several else "lat"
        out = cls(**parts[0], components=parts if several else None)
        out.translation = translation
        names = ("ft1", "ft2", "livetime")
        out._inputs = [{name: part[name] for name in names} for part in translation.components]
        return out

    # --- the chain ---------------------------------------------------------------------------

    def run(self, ft1=None, ft2=None, livetime=None):
        """Reduce event files.

        Parameters
        ----------
        ft1 : str, `~pathlib.Path`, list or `LATEventList`
            Event files; a list of them may be given as a text file ``@list.txt``. Default is
            what a configuration of fermipy says.
        ft2 : str, `~pathlib.Path`, list or `LATSpacecraft`, optional
            Spacecraft files. Needed for good times and livetime.
        livetime : str, `~pathlib.Path` or `LivetimeCube`, optional
            Existing livetime cube of the same good times and zenith cut. Default is to compute
            it.

        Returns
        -------
        datasets : `~gammapy.datasets.Datasets`
            One per event type, named ``lat-psf3`` and alike. Pixels that the event files don't
            cover are masked by ``mask_fit``.

        Raises
        ------
        ValueError
            If the files lack what is needed, cuts are wider than those of the event files, the
            region lies outside of them, or the livetime is that of other good times.
        """
        given = {"ft1": ft1, "ft2": ft2, "livetime": livetime}
        if not self.components:
            return self._run(**self._filled(given, 0))
        datasets = Datasets()
        for k, part in enumerate(self.components):
            for dataset in self._part(part)._run(**self._filled(given, k)):
                if dataset.name in datasets.names:
                    raise ValueError(
                        f"components[{k}]: a dataset {dataset.name!r} is there already; give the "
                        "component a name of its own."
                    )
                datasets.append(dataset)
        return datasets

    def _filled(self, given, k):
        """Files of a component: those given, or else those of the configuration of fermipy."""
        if given["ft1"] is None and self._inputs:
            given = {
                name: self._inputs[k][name] if value is None else value
                for name, value in given.items()
            }
        if given["ft1"] is None:
            raise ValueError("LATDatasetMaker.run needs event files (ft1).")
        if given["ft2"] is None and given["livetime"] is None:
            raise ValueError("LATDatasetMaker.run needs spacecraft files (ft2) or a livetime cube.")
        return given

    def _run(self, ft1, ft2, livetime):
        response = self._read_response()
        axis, axis_true = self.geom.axes["energy"], self.energy_axis_true
        if axis_true is None:
            axis_true = geometry.true_energy_axis(
                axis, margin=self.energy_margin, limits=response.energy_range
            )
        geometry.check_true_axis(axis_true, axis, self.edisp, response.energy_range)
        reduction = Reduction(self, response, axis_true, ft1, ft2, livetime)
        datasets = Datasets()
        for kind in progress(self.event_types, "event types", self.show_progress):
            datasets.append(reduction.dataset(kind))
        return datasets

    def _read_response(self):
        if self.response is not None:
            return self.response
        types = types_of(self.event_types)
        return LATResponse.read(self.irfs, event_type=types, caldb=self.caldb)
