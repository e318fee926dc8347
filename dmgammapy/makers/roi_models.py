"""Model of a region of the LAT's sky from catalogs and diffuse templates: `ROIModelMaker`."""

import logging

import astropy.units as u
import numpy as np
from gammapy.datasets import Dataset
from gammapy.maps import Geom
from gammapy.modeling.models import Models

from dmgammapy.datasets._counts_models import norm_parameter
from dmgammapy.datasets._render import Renderer

from ._roi_catalogs import ROISource, all_names, catalog_sources, read_catalog
from ._roi_diffuse import galactic_model
from ._roi_extra import make_source
from ._roi_isotropic import isotropic_models
from ._roi_merge import drop_excluded, drop_faint, drop_unseen, merge_catalogs, replace_by_extra
from ._roi_reach import region_of
from ._roi_select import free_near, is_diffuse
from ._roi_table import make_table

__all__ = ["ROIModelMaker"]

log = logging.getLogger(__name__)


class ROIModelMaker:
    """Models of a region: catalog sources, diffuse emission and sources of your own.

    The catalogs' spectra are those of Gammapy. Extended sources are their templates where these
    are found, else a disk or Gaussian of the catalog's size, which the table says by name (the
    catalogs give 68 % radii of Gaussians, which is respected).

    Free parameters are the norms of all sources within ``free_radius`` of the centre, and those
    of the diffuse emission; no norm can become negative. All else of catalogs and templates is
    frozen. Models of your own keep what they have.

    Faint sources near the target must be free, too: a region is fitted without the signal, and a
    neighbour within the PSF takes up what the signal left in the counts. Held at that, it leaves
    no room for the signal, and limits are too strong: 0.4 to 0.5 times the true strength for a
    faint source at 0.15 deg of a signal of 1000 counts, 0.8 times at 0.5 deg, none at 1 deg.

    Parameters
    ----------
    catalogs : path, `~gammapy.catalog.SourceCatalog` or list of these
        FITS files of 4FGL (any release) or 3FHL, or "4fgl" and "3fhl" for Gammapy's default
        files. A source of a later catalog that is one of an earlier is merged with it.
    diffuse : path, `~gammapy.maps.Map` or `~gammapy.modeling.models.SkyModel`, optional
        Galactic diffuse cube, such as ``gll_iem_v07.fits``.
    isotropic : path, dict or `~gammapy.modeling.models.SkyModel`, optional
        Isotropic template, or ``{dataset name or event type: path}``. Datasets of different event
        types need one each; types are those in the column EVENT_TYPE of ``meta_table``, "PSF3"
        or "PSF2-PSF3", or in the datasets' names.
    sources : list of `~gammapy.modeling.models.SkyModel` or dict
        Further sources, dark matter included; dictionaries as in fermipy's configuration. One
        of the name of a catalog source replaces it, as does (with a warning) one of the name of
        its association within 0.5 deg. Dark matter replaces nothing.
    extended_dir : path, optional
        Folder of the templates of extended sources. Default is the archive of the catalog's
        release beside the catalog or in ``$GAMMAPY_DATA/catalogs/fermi``.
    radius : `~astropy.units.Quantity`
        Catalog sources within this distance of the centre are taken. Default is 15 deg.
    ts_min : float, optional
        Least TS of catalog sources. Default is any.
    npred_min : float, optional
        Least counts that a catalog source predicts on the datasets, masks applied. Default is
        any.
    exclude : list of str
        Names of catalog sources to leave out, other names of the sources included.
    free_radius : `~astropy.units.Quantity` or None
        Norms of catalog sources within this distance of the centre are free, extended ones
        being as near as their edges. Default is 3 deg, well beyond the PSF where limits come
        from; None for none of them.
    free_ts_min : float, optional
        Least TS of sources within ``free_radius`` that are free; those of unknown TS are. Default
        is any, since faint neighbours that are held bias limits, see above.
    free_ts_beyond : float, optional
        Least TS of sources beyond ``free_radius`` that are free as well. Default is none of them.
    free_diffuse : bool
        Whether the norms of Galactic and isotropic emission are free. Default is True.
    share_isotropic_norm : bool
        Whether isotropic templates of several datasets share one norm. Default is True.
    merge_radius : `~astropy.units.Quantity`
        Within which sources of two catalogs are one. Default is 0.15 deg.
    target_radius : `~astropy.units.Quantity`
        Catalog sources so near the centre, which is the target as a rule, are said by name.
        Default is 0.15 deg.
    margin : `~astropy.units.Quantity`
        By which the diffuse template is wider than the datasets. Default is 10 deg.
    template_dir : path, optional
        Folder where the cut-out of the diffuse cube is written when it is made. Default is not
        to write it before ``Models.write`` does, to the current folder.

    Raises
    ------
    TypeError, ValueError
        If an argument is not valid.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.coordinates import SkyCoord
    >>> from gammapy.maps import WcsGeom
    >>> from dmgammapy.makers.roi_models import ROIModelMaker
    >>> source = {"name": "new", "ra": 10.5, "dec": -20.0, "SpectrumType": "PowerLaw",
    ...           "Index": 2.2, "Prefactor": 1e-13}
    >>> maker = ROIModelMaker(sources=[source])
    >>> models, table = maker.run(
    ...     WcsGeom.create(skydir=SkyCoord(10, -20, unit="deg"), width=5), return_table=True
    ... )
    >>> models.names, round(float(table["separation"][0]), 2)
    (['new'], 0.47)
    """

    tag = "ROIModelMaker"

    def __init__(
        self,
        catalogs=(),
        diffuse=None,
        isotropic=None,
        sources=(),
        extended_dir=None,
        radius=15 * u.deg,
        ts_min=None,
        npred_min=None,
        exclude=(),
        free_radius=3 * u.deg,
        free_ts_min=None,
        free_ts_beyond=None,
        free_diffuse=True,
        share_isotropic_norm=True,
        merge_radius=0.15 * u.deg,
        target_radius=0.15 * u.deg,
        margin=10 * u.deg,
        template_dir=None,
    ):
        self.catalogs = list(catalogs) if isinstance(catalogs, list | tuple) else [catalogs]
        self.diffuse = diffuse
        self.isotropic = isotropic
        self.sources = list(sources) if isinstance(sources, list | tuple | Models) else [sources]
        self.extended_dir = extended_dir
        self.radius = _angle("radius", radius)
        self.ts_min = ts_min
        self.npred_min = npred_min
        self.exclude = [exclude] if isinstance(exclude, str) else list(exclude)
        self.free_radius = None if free_radius is None else _angle("free_radius", free_radius)
        self.free_ts_min = free_ts_min
        self.free_ts_beyond = free_ts_beyond
        self.free_diffuse = free_diffuse
        self.share_isotropic_norm = share_isotropic_norm
        self.merge_radius = _angle("merge_radius", merge_radius)
        self.target_radius = _angle("target_radius", target_radius)
        self.margin = _angle("margin", margin)
        self.template_dir = template_dir

    def __repr__(self):
        parts = [f"catalogs={[_short(c) for c in self.catalogs]}", f"radius={self.radius}"]
        for name in ("diffuse", "isotropic"):
            if getattr(self, name) is not None:
                parts.append(f"{name}={_short(getattr(self, name))}")
        if self.sources:
            parts.append(f"sources={len(self.sources)}")
        for name in ("ts_min", "npred_min"):
            if getattr(self, name) is not None:
                parts.append(f"{name}={getattr(self, name)}")
        parts.append(f"free_radius={self.free_radius}")
        for name in ("free_ts_min", "free_ts_beyond"):
            if getattr(self, name) is not None:
                parts.append(f"{name}={getattr(self, name)}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def run(self, datasets, position=None, return_table=False):
        """Make the models.

        Parameters
        ----------
        datasets : `~gammapy.datasets.Datasets`, `~gammapy.datasets.MapDataset`, list or geometry
            What the models are for; they are not changed. Of a `~gammapy.maps.Geom` only the
            region and energies count.
        position : `~astropy.coordinates.SkyCoord`, optional
            Centre of the region. Default is the centre of the first dataset.
        return_table : bool
            Also return the table of sources. Default is False.

        Returns
        -------
        models : `~gammapy.modeling.models.Models`
            Extra sources first, then those of the catalogs, nearest first, then the diffuse
            emission.
        table : `~astropy.table.Table`
            If asked for: every source within the radius, those not in the models with the
            reason. Columns name, kind ("source", "extra", "diffuse", "isotropic"), catalog,
            aliases, separation [deg], ts, npred, extended, spatial, spectral, status ("kept",
            "dropped", "merged", "replaced"), reason.

        Raises
        ------
        FileNotFoundError
            If a file does not exist.
        TypeError, ValueError
            If datasets or files are not as expected.
        """
        datasets, geom = _datasets(datasets)
        region = region_of(datasets, geom, position)
        sources = self._sources(region, datasets) + self._diffuse(region, datasets)
        kept = [source for source in sources if source.status == "kept"]
        _check_names(kept)
        table = make_table(sources, region.position, self.radius.to_value("deg"))
        models = Models([source.model for source in kept])
        self._free(models, kept)
        _say(sources)
        return (models, table) if return_table else models

    def table(self, datasets, position=None):
        """Table of the sources, kept and dropped, as `run` returns it.

        Parameters
        ----------
        datasets, position
            As for `run`.

        Returns
        -------
        table : `~astropy.table.Table`
        """
        return self.run(datasets, position, return_table=True)[1]

    def _sources(self, region, datasets):
        """Extra and catalog sources, with what was decided on each."""
        extra = [self._extra(source, region.position) for source in self.sources]
        groups, known = [], set()
        for catalog in self.catalogs:
            opened, folder = read_catalog(catalog)
            if self.exclude:
                known |= all_names(opened)
            groups.append(
                catalog_sources(
                    opened,
                    region.position,
                    self.radius.to_value("deg"),
                    folder=folder,
                    extended_dir=self.extended_dir,
                )
            )
        merge_catalogs(groups, self.merge_radius.to_value("deg"))
        found = [source for group in groups for source in group]
        drop_excluded(found, self.exclude, known)
        drop_unseen(found, datasets)
        replace_by_extra(found, extra)
        if self.ts_min is not None:
            drop_faint(found, "ts", self.ts_min)
        if self.npred_min is not None:
            self._predict(found, datasets)
            drop_faint(found, "npred", self.npred_min)
        for source in found:
            if source.status == "kept" and source.separation <= self.target_radius.to_value("deg"):
                source.reason.append(
                    f"{source.separation:.3f} deg from the centre: kept, use exclude if it is "
                    "the target"
                )
        return extra + found

    def _extra(self, source, position):
        model = make_source(source)
        separation, place = np.nan, None
        if not is_diffuse(model):
            place = model.position
            separation = float(place.separation(position).deg)
        return ROISource(
            name=model.name, kind="extra", model=model, position=place, separation=separation
        )

    def _diffuse(self, region, datasets):
        found = []
        if self.diffuse is not None:
            model, notes = galactic_model(
                self.diffuse,
                region.position,
                region.reach + self.margin.to_value("deg"),
                region.energy_range,
                self.template_dir,
            )
            found.append(ROISource(name=model.name, kind="diffuse", model=model, reason=notes))
        if self.isotropic is not None:
            pairs = isotropic_models(
                self.isotropic, datasets, region.energy_range, self.share_isotropic_norm
            )
            for model, notes in zip(*pairs, strict=True):
                found.append(
                    ROISource(name=model.name, kind="isotropic", model=model, reason=notes)
                )
        return found

    def _predict(self, sources, datasets):
        """Counts of each source on all datasets."""
        exposed = [d for d in datasets if getattr(d, "exposure", None) is not None]
        if not exposed:
            raise ValueError(
                "npred_min needs datasets with exposure to predict counts on, got "
                f"{len(datasets)} datasets; leave it None, or run on datasets."
            )
        for dataset in exposed:
            renderer = Renderer(dataset)
            mask = np.asarray(True if dataset.mask is None else dataset.mask.data)
            for source in sources:
                if source.status == "kept":
                    counts = float((renderer.npred(source.model) * mask).sum())
                    source.npred = counts + np.nan_to_num(source.npred)

    def _free(self, models, kept):
        given = {"diffuse": self.diffuse, "isotropic": self.isotropic}
        for source in kept:
            if source.kind in given and source.model is not given[source.kind]:
                norm_parameter(source.model).frozen = not self.free_diffuse
        radius = None if self.free_radius is None else self.free_radius.to_value("deg")
        names = free_near(models, kept, radius, self.free_ts_min, self.free_ts_beyond)
        log.info("free norms of %d catalog sources: %s", len(names), ", ".join(names) or "none")


def _angle(name, value):
    try:
        angle = u.Quantity(value).to("deg")
    except (u.UnitConversionError, TypeError):
        angle = None
    if angle is None or not angle.isscalar or not angle >= 0:
        raise ValueError(f"{name} must be an angle that is not negative, got {value!r}.")
    return angle


def _datasets(datasets):
    """Datasets in a list and, if one was given instead, a geometry."""
    if isinstance(datasets, Geom):
        return [], datasets
    if isinstance(datasets, Dataset):
        return [datasets], None
    datasets = list(datasets)
    for dataset in datasets:
        if not isinstance(dataset, Dataset):
            raise TypeError(
                "ROIModelMaker.run needs datasets or a geometry, got "
                f"{type(dataset).__name__} among them."
            )
    if not datasets:
        raise ValueError("ROIModelMaker.run needs at least one dataset or a geometry, got none.")
    return datasets, None


def _check_names(sources):
    names = [source.name for source in sources]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise ValueError(
            f"several sources have the name {', '.join(double)}; names must be unique, rename "
            "your own sources."
        )


def _say(sources):
    for source in sources:
        if source.status != "kept":
            log.info("%s %s: %s", source.name, source.status, "; ".join(source.reason))
        elif source.reason and source.kind in ("source", "extra"):
            log.warning("%s: %s", source.name, "; ".join(source.reason))
    kept = sum(source.status == "kept" for source in sources)
    log.info("%d sources in the model, %d left out", kept, len(sources) - kept)


def _short(value):
    return (
        str(value)
        if isinstance(value, str | dict) or hasattr(value, "parts")
        else type(value).__name__
    )
