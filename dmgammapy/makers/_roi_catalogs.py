"""Sources of the Fermi-LAT catalogs near a position: records, spectra, aliases."""

import warnings
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord, angular_separation
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from gammapy.catalog import SourceCatalog, SourceCatalog3FHL, SourceCatalog4FGL
from gammapy.modeling.models import SkyModel
from gammapy.utils.scripts import make_path

from ._roi_extended import spatial_model
from ._roi_table import plain_name

__all__ = ["ROISource", "all_names", "catalog_sources", "read_catalog", "row_aliases"]

SHORT_NAMES = {"4fgl": SourceCatalog4FGL, "3fhl": SourceCatalog3FHL}
SOURCES_HDU = "LAT_Point_Source_Catalog"
# Columns that only one catalog has, which tell it from the others.
MARKS = {"4fgl": "PL_Flux_Density", "3fhl": "PowerLaw_Index"}
BLANK = ("", "--", "None", "nan", "masked")


@dataclass
class ROISource:
    """One source of a region, with what the region's table says about it.

    Parameters
    ----------
    name : str
    kind : {"source", "extra", "diffuse", "isotropic"}
    model : `~gammapy.modeling.models.SkyModel`, optional
    position : `~astropy.coordinates.SkyCoord`, optional
    catalog : str
    aliases : list of str
    separation : float
        Distance from the centre of the region in deg, NaN for diffuse emission.
    radius : float
        Size of an extended source in deg, 0 for points.
    ts, npred : float
        NaN where unknown.
    status : {"kept", "dropped", "merged", "replaced"}
    reason : list of str
        Why it has its status, and what is said of it.
    """

    name: str
    kind: str = "source"
    model: object = None
    position: object = None
    catalog: str = ""
    aliases: list = field(default_factory=list)
    separation: float = np.nan
    radius: float = 0.0
    ts: float = np.nan
    npred: float = np.nan
    status: str = "kept"
    reason: list = field(default_factory=list)

    def drop(self, reason, status="dropped"):
        """Take the source out of the model, saying why."""
        self.status = status
        self.reason.append(reason)


def read_catalog(catalog):
    """Open a catalog of Gammapy's, or the FITS file of 4FGL (DR1 to DR4) or 3FHL.

    Parameters
    ----------
    catalog : str, `~pathlib.Path` or `~gammapy.catalog.SourceCatalog`
        A path, "4fgl" or "3fhl" for Gammapy's default files in ``$GAMMAPY_DATA``.

    Returns
    -------
    catalog : `~gammapy.catalog.SourceCatalog`
    folder : `~pathlib.Path` or None
        Folder of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError
        If it is neither a path nor a catalog.
    ValueError
        If the file is no such catalog.
    """
    if isinstance(catalog, SourceCatalog):
        return _slim(catalog), None
    if not isinstance(catalog, str | Path):
        raise TypeError(
            f"a catalog must be a path or a SourceCatalog, got {type(catalog).__name__}."
        )
    if str(catalog).lower() in SHORT_NAMES:
        kind = SHORT_NAMES[str(catalog).lower()]
        path = make_path(kind.__init__.__defaults__[0])
        if not path.exists():
            raise FileNotFoundError(
                f"catalog {catalog!r} stands for {path}, which does not exist: set GAMMAPY_DATA "
                "or give the path of the catalog's FITS file."
            )
    else:
        path = make_path(catalog)
        if not path.exists():
            raise FileNotFoundError(f"catalog {path} does not exist.")
        kind = SHORT_NAMES[_identify(path)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", u.UnitsWarning)
        try:
            return _slim(kind(path)), path.parent
        except (KeyError, OSError) as error:
            raise ValueError(
                f"catalog {path}: not a complete {kind.tag} file ({error}); expected the tables "
                f"{SOURCES_HDU}, ExtendedSources and EnergyBounds of a release."
            ) from error


def _slim(catalog):
    """Copy of a catalog without light curves and flux points, which cost time for every source.

    Numbers that are NaN in the file are masked by astropy, and would become 0 in Gammapy's
    models: they are made NaN again.
    """
    catalog = copy(catalog)
    names = [name for name in catalog.table.colnames if catalog.table[name].ndim == 1]
    catalog.table = _unmasked(catalog.table[names])
    extended = getattr(catalog, "extended_sources_table", None)
    if extended is not None:
        catalog.extended_sources_table = _unmasked(extended)
    for name in ("hist_table", "hist2_table"):
        catalog.__dict__.pop(name, None)
    return catalog


def _unmasked(table):
    """Copy of a table with NaN and blank text for what is masked."""
    table = table.copy()
    for name in table.colnames:
        column = table[name]
        if not hasattr(column, "mask"):
            continue
        if column.dtype.kind == "f":
            table[name] = column.filled(np.nan)
        elif column.dtype.kind in "SU":
            table[name] = column.filled("")
    return table


def _identify(path):
    try:
        # a file cut short is only warned of; the handle is ours so that it is closed then
        with warnings.catch_warnings(), path.open("rb") as file, fits.open(file) as hdus:
            warnings.simplefilter("error", AstropyUserWarning)
            names = [hdu.name for hdu in hdus]
            if SOURCES_HDU.upper() not in [name.upper() for name in names]:
                raise ValueError(
                    f"catalog {path}: it has the tables {', '.join(names[1:]) or 'none'}, "
                    f"expected {SOURCES_HDU} of 4FGL or 3FHL; give other catalogs as a "
                    "SourceCatalog of Gammapy."
                )
            columns = hdus[SOURCES_HDU].columns.names
    except (OSError, AstropyUserWarning) as error:
        raise ValueError(f"catalog {path}: not a FITS file that can be read ({error}).") from error
    for name, mark in MARKS.items():
        if mark in columns:
            return name
    raise ValueError(
        f"catalog {path}: neither 4FGL (column {MARKS['4fgl']}) nor 3FHL (column "
        f"{MARKS['3fhl']}); give other catalogs as a SourceCatalog of Gammapy."
    )


def catalog_sources(catalog, position, radius, folder=None, extended_dir=None):
    """Sources of a catalog within a distance.

    An extended source counts as within when part of it is.

    Parameters
    ----------
    catalog : `~gammapy.catalog.SourceCatalog`
    position : `~astropy.coordinates.SkyCoord`
    radius : float
        In deg.
    folder, extended_dir : path, optional
        Folder of the catalog, and of the templates of its extended sources.

    Returns
    -------
    sources : list of `ROISource`
        Nearest first, with models whose parameters are all frozen.
    """
    lon, lat = _coordinates(catalog)
    center = position.icrs
    separation = np.rad2deg(
        angular_separation(np.deg2rad(lon), np.deg2rad(lat), center.ra.rad, center.dec.rad)
    )
    extent = _extents(catalog)
    # only these few are converted: building all sources of 4FGL takes 14 s
    rows = np.flatnonzero(separation - extent <= radius)
    rows = rows[np.argsort(separation[rows], kind="stable")]
    sources = []
    for row in rows:
        entry = catalog[int(row)]
        model, notes = _sky_model(entry, folder, extended_dir)
        sources.append(
            ROISource(
                name=entry.name,
                model=model,
                position=SkyCoord(lon[row], lat[row], unit="deg", frame="icrs"),
                catalog=catalog.tag if isinstance(catalog.tag, str) else type(catalog).__name__,
                aliases=[name for name in row_aliases(entry.data) if name != entry.name],
                separation=float(separation[row]),
                radius=float(extent[row]),
                ts=_test_statistic(entry.data),
                reason=notes,
            )
        )
    return sources


def _coordinates(catalog):
    """Right ascension and declination of all sources in deg, float64."""
    positions = catalog.positions.icrs
    return np.asarray(positions.ra.deg, dtype=float), np.asarray(positions.dec.deg, dtype=float)


def _extents(catalog):
    """Size of each source in deg, 0 for points."""
    extents = np.zeros(len(catalog.table))
    extended = getattr(catalog, "extended_sources_table", None)
    if extended is None or "Extended_Source_Name" not in catalog.table.colnames:
        return extents
    sizes = {
        str(name).strip(): float(size)
        for name, size in zip(extended["Source_Name"], extended["Model_SemiMajor"], strict=True)
    }
    names = np.char.strip(catalog.table["Extended_Source_Name"].astype(str))
    for row in np.flatnonzero(~np.isin(names, BLANK)):
        extents[row] = sizes.get(str(names[row]), 0.0)
    return np.nan_to_num(extents)


def _sky_model(entry, folder, extended_dir):
    spatial, notes = spatial_model(entry, folder, extended_dir)
    spectral = entry.spectral_model()
    # the spatial model is set afterwards: the constructor would evaluate it to check units,
    # which is most of the time that reading a region takes
    model = SkyModel(spectral, name=entry.name)
    model.spatial_model = spatial
    for parameter in model.parameters:
        parameter.frozen = True
        if not np.isfinite(parameter.error):
            parameter.error = 0.0
        if not np.isfinite(parameter.value):
            raise ValueError(
                f"source {entry.name}: {parameter.name} of its "
                f"{str(entry.data.get('SpectrumType', '')).strip() or 'model'} is "
                f"{parameter.value} in the catalog; exclude the source or mend the file."
            )
    return model, notes


def row_aliases(data):
    """Other names of a source: its associations and its name as an extended source.

    Parameters
    ----------
    data : dict
        A row of a catalog.

    Returns
    -------
    aliases : list of str

    Examples
    --------
    >>> from dmgammapy.makers._roi_catalogs import row_aliases
    >>> row_aliases({"ASSOC1": "Crab Nebula ", "ASSOC2": "", "ASSOC_PROB_BAY": 1.0})
    ['Crab Nebula']
    """
    found = {}
    for key, value in data.items():
        if not (key.startswith("ASSOC") or key == "Extended_Source_Name"):
            continue
        if isinstance(value, str):
            for name in value.split(","):
                if name.strip() not in BLANK:
                    found[name.strip()] = None
    return list(found)


def _test_statistic(data):
    """TS of a source from its average significance."""
    if "Signif_Avg" in data:
        return float(data["Signif_Avg"]) ** 2
    if "TS" in data:
        return float(data["TS"])
    return np.nan


def all_names(catalog):
    """Plain names of all sources of a catalog, associations included, set of str.

    Parameters
    ----------
    catalog : `~gammapy.catalog.SourceCatalog`
    """
    table = catalog.table
    columns = [
        name
        for name in table.colnames
        if name == "Source_Name" or name.startswith("ASSOC") or name == "Extended_Source_Name"
    ]
    columns = [name for name in columns if table[name].dtype.kind in "SU"]
    values = {str(value) for name in columns for value in table[name]}
    return {plain_name(name) for value in values for name in value.split(",") if name.strip()}
