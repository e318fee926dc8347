"""Table of the sources of a region: what each is, and why it is in the model or not."""

import re

import numpy as np
from astropy.table import Table

from dmgammapy.utils import atomic_path

__all__ = ["make_table", "names_of", "plain_name", "read_roi_table", "write_roi_table"]

SEPARATOR = "|"
# name of the column: how it is said of a source
COLUMNS = {
    "name": lambda s: s.name,
    "kind": lambda s: s.kind,
    "catalog": lambda s: s.catalog,
    "aliases": lambda s: SEPARATOR.join(s.aliases),
    "separation": lambda s: s.separation,
    "ts": lambda s: s.ts,
    "npred": lambda s: s.npred,
    "extended": lambda s: bool(s.radius > 0),
    "spatial": lambda s: _tag(s.model, "spatial_model"),
    "spectral": lambda s: _tag(s.model, "spectral_model"),
    "status": lambda s: s.status,
    "reason": lambda s: "; ".join(s.reason),
}
TEXT = ("name", "kind", "catalog", "aliases", "spatial", "spectral", "status", "reason")


def plain_name(name):
    """Name without case and blanks.

    Examples
    --------
    >>> from dmgammapy.makers._roi_table import plain_name
    >>> plain_name("4FGL J0534.5 + 2201s") == plain_name("4fglj0534.5+2201S")
    True
    """
    return re.sub(r"\s+", "", str(name)).lower()


def make_table(sources, position, radius):
    """Table of sources.

    Parameters
    ----------
    sources : list of `~dmgammapy.makers._roi_catalogs.ROISource`
    position : `~astropy.coordinates.SkyCoord`
    radius : float
        Within which catalog sources were taken, in deg.

    Returns
    -------
    table : `~astropy.table.Table`
        Columns name, kind, catalog, aliases (joined by "|"), separation [deg], ts, npred,
        extended, spatial, spectral, status, reason.
    """
    table = Table()
    for name, get in COLUMNS.items():
        values = [get(source) for source in sources]
        if name in TEXT:
            table[name] = np.array(values, dtype=str) if values else np.array([], dtype="U1")
        elif name == "extended":
            table[name] = np.array(values, dtype=bool)
        else:
            table[name] = np.array(values, dtype=float)
    table["separation"].unit = "deg"
    for name in ("separation", "ts", "npred"):
        table[name].info.format = ".5g"
    center = position.icrs
    table.meta = {
        "position": [float(center.ra.deg), float(center.dec.deg)],
        "radius": float(radius),
    }
    return table


def names_of(table, name):
    """All names of a model by the table, its own first; only its own without a table."""
    names = [name]
    if table is not None:
        for row in table[table["name"] == name]:
            names += [alias for alias in str(row["aliases"]).split(SEPARATOR) if alias]
    return list(dict.fromkeys(names))


def write_roi_table(table, path, overwrite=False):
    """Write a region's table (ECSV), beside the models for instance.

    Parameters
    ----------
    table : `~astropy.table.Table`
    path : path
    overwrite : bool
        Default is False.
    """
    with atomic_path(path, overwrite) as temporary:
        table.write(temporary, format="ascii.ecsv")


def read_roi_table(path):
    """Read a region's table.

    Parameters
    ----------
    path : path

    Returns
    -------
    table : `~astropy.table.Table`

    Raises
    ------
    ValueError
        If it is no such table.
    """
    try:
        table = Table.read(path, format="ascii.ecsv")
    except FileNotFoundError:
        raise
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: not a table of ECSV ({error}).") from error
    missing = [name for name in COLUMNS if name not in table.colnames]
    if missing:
        raise ValueError(
            f"{path}: not the table of a region, it lacks the columns {', '.join(missing)}."
        )
    for name in TEXT:
        # blank text is masked in ECSV
        table[name] = np.array(np.ma.filled(table[name].astype(str), ""), dtype=str)
    for name in ("separation", "ts", "npred"):
        unit = table[name].unit
        table[name] = np.ma.filled(np.asarray(table[name], dtype=float), np.nan)
        table[name].unit = unit
    return table


def _tag(model, which):
    part = getattr(model, which, None)
    if part is None:
        return ""
    if hasattr(part, "model1"):
        return f"{_short(part.model1)}*{_short(part.model2)}"
    return _short(part)


def _short(part):
    return (
        type(part).__name__.removesuffix("Model").removesuffix("Spectral").removesuffix("Spatial")
    )
