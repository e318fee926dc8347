"""Published limits in the ECSV layout of the DMbounds collection: read and write.

A table with the columns ``mass`` and ``sigmav`` (upper limit) or ``tau`` (lower limit), units in
the header, and metadata ``reference, doi, arxiv, instrument, year, source, channel, confidence,
...``. Files are named ``<instrument>_<year>_<target>_<ann|dec>_<channel>[_<tag>].ecsv``.
"""

import re
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import QTable, Table
from astropy.utils.exceptions import AstropyWarning

from dmgammapy.spectra import canonical_channel
from dmgammapy.utils import atomic_path

from ..castro_maps import STRENGTH_UNITS
from ..limits import LimitStatus
from ._files import TableFile, parse_unit
from .gloryduck import GLORYDUCK_CHANNELS

__all__ = ["published_curves", "read_published_limits", "write_published_limits"]

WITHOUT_LIMIT = (
    LimitStatus.GRID_EDGE,
    LimitStatus.NO_INFORMATION,
    LimitStatus.ALL_EXCLUDED,
)

COLUMN_UNITS = {"mass": "GeV", "sigmav": "cm3 s-1", "tau": "s"}
SPELLINGS = {"sigma_v": "sigmav"}
LIMIT_COLUMNS = {"annihilation": "sigmav", "decay": "tau"}
NAME = re.compile(r"[^_]+_\d{4}_[^_]+_(?P<process>ann|dec)_(?P<channel>[^_]+)(_.+)?\.ecsv")
PROCESS_WORDS = {"ann": "annihilation", "dec": "decay"}


def read_published_limits(path, sort=False):
    """Read published limits.

    Parameters
    ----------
    path : str or `~pathlib.Path`
    sort : bool
        Sort the rows by mass and accept masses that come twice, as in some curves digitised from
        figures. Default is False: such tables are an error.

    Returns
    -------
    table : `~astropy.table.QTable`
        ``mass`` [GeV] and ``sigmav`` [cm3 s-1] or ``tau`` [s], whatever units the file has, and
        its further columns; ``meta`` as in the file, ``confidence`` as a number, and ``process``.

    Raises
    ------
    ValueError
        If a column or unit is missing or wrong, a number is not positive, or masses do not ascend.

    Warns
    -----
    UserWarning
        If the file name contradicts the content.

    Examples
    --------
    >>> from dmgammapy.estimators.io import read_published_limits
    >>> table = read_published_limits("lat_2015_multidsph_ann_bb.ecsv")  # doctest: +SKIP
    """
    source = TableFile(path)
    source.require_kind("ecsv", "published limits are an ECSV file (first line '# %ECSV ...')")
    raw = _read_ecsv(source)
    for spelling, name in SPELLINGS.items():
        if spelling in raw.colnames and name not in raw.colnames:
            raw.rename_column(spelling, name)
    process = _process(raw, source.path)
    table = QTable()
    for name in raw.colnames:
        table[name] = _convert(raw[name], name, source.path)
    limit = LIMIT_COLUMNS[process]
    for name in ("mass", limit):
        _check_positive(table[name].value, f"{source.path}, column {name}")
    mass = table["mass"].value
    if sort:
        table = table[np.argsort(mass, kind="stable")]
    elif not (np.diff(mass) > 0).all():
        row = int(np.argmin(np.diff(mass) > 0)) + 1
        raise ValueError(
            f"{source.path}, row {row} (from 0): masses must ascend, got {mass[row]:g} GeV after "
            f"{mass[row - 1]:g} GeV. If this is one curve, read it with sort=True."
        )
    table.meta.update(_repair_meta(raw.meta))
    table.meta["process"] = process
    _compare_name(source.path, table.meta)
    return table


def _read_ecsv(source):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)  # unknown units are treated below
            table = Table.read(source.path, format="ascii.ecsv")
    except Exception as error:  # the parsers raise whatever they meet
        text = " ".join(str(error).split())
        raise ValueError(f"{source.path}: not a valid ECSV table ({text}).") from None
    if len(table) == 0:
        raise ValueError(f"{source.path}: the table has no rows.")
    return table


def _process(table, path):
    names = table.colnames
    if "mass" not in names:
        raise ValueError(f"{path}: missing column 'mass'; found {', '.join(names)}.")
    own = [name for name in ("sigmav_ul", "gamma_ul", "tau_ll") if name in names]
    if own:
        raise ValueError(
            f"{path}: with the column {own[0]!r} this is a table of results, whose sigmav is the "
            "best fit and no limit; write limits with write_published_limits."
        )
    found = [process for process, name in LIMIT_COLUMNS.items() if name in names]
    if len(found) != 1:
        raise ValueError(
            f"{path}: expected one of the columns 'sigmav' and 'tau', found {', '.join(names)}."
        )
    return found[0]


def _convert(values, name, path):
    """Column as a quantity in this package's unit, or as it is if it is no quantity."""
    where = f"{path}, column {name}"
    missing = np.ma.getmaskarray(values) if hasattr(values, "mask") else np.zeros(len(values), bool)
    if name in COLUMN_UNITS:
        if missing.any():
            row = int(np.argmax(missing))
            raise ValueError(f"{where}, row {row} (from 0): no value.")
        if values.unit is None:
            raise ValueError(f"{where}: no unit; expected one like {COLUMN_UNITS[name]}.")
        if values.dtype.kind not in "fiu" or values.ndim != 1:
            raise ValueError(f"{where}: expected one number per row, got {values.dtype}.")
    elif values.unit is None:
        return values
    unit = parse_unit(values.unit, where)
    wanted = [COLUMN_UNITS[name]] if name in COLUMN_UNITS else COLUMN_UNITS.values()
    digits = _digits(np.ma.filled(values.data, np.nan) if missing.any() else np.asarray(values))
    for text in wanted:
        if unit.is_equivalent(text):
            return u.Quantity(digits, unit).to(text)
    if name in COLUMN_UNITS:
        raise ValueError(
            f"{where}: the unit is {str(values.unit)!r}, expected one like {COLUMN_UNITS[name]}."
        )
    return u.Quantity(digits, unit)


def _digits(values):
    """Single-precision numbers as the decimals of the file."""
    if values.dtype == np.float32:
        return np.array([float(str(v)) for v in values])
    return values.astype(float)


def _check_positive(values, where):
    bad = ~(np.isfinite(values) & (values > 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"{where}, row {row} (from 0): expected a positive number, got {values[row]:g}."
        )


def _repair_meta(meta):
    """Metadata, with entries whose colon is missing (``confidence "0.95"``) put right."""
    out = {}
    for key, value in meta.items():
        if value is None and len(words := str(key).split(maxsplit=1)) == 2:
            key, value = words[0], words[1].strip("\"' ")
        out[str(key)] = value
    try:
        out["confidence"] = float(out["confidence"])
    except (KeyError, TypeError, ValueError):
        pass
    return out


def _compare_name(path, meta):
    """Warn if the file name says something else than the file."""
    words = NAME.fullmatch(path.name)
    if words is None:
        return
    said = PROCESS_WORDS[words["process"]]
    if said != meta["process"]:
        warnings.warn(
            f"{path.name}: by its name this is about {said}, but it holds "
            f"{LIMIT_COLUMNS[meta['process']]}.",
            stacklevel=3,
        )
    names = (words["channel"], str(meta.get("channel") or ""))
    try:
        same = canonical_channel(names[0]) == canonical_channel(names[1])
    except ValueError:
        same = names[0] == names[1] or not names[1]
    if not same:
        warnings.warn(
            f"{path.name}: by its name the channel is {names[0]}, but it holds {names[1]}.",
            stacklevel=3,
        )


def confidence_level(table):
    """Confidence level of published limits.

    Parameters
    ----------
    table : `~astropy.table.Table`
        As `read_published_limits` gives it.

    Returns
    -------
    cl : float or None
        None if ``meta["confidence"]`` is missing or none; numbers above 1 are per cent.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from dmgammapy.estimators.io.published import confidence_level
    >>> confidence_level(Table(meta={"confidence": "95 %"}))
    0.95
    """
    text = str(table.meta.get("confidence", "")).strip()
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        return None
    if value > 1 or text.endswith("%"):
        value /= 100
    return value if 0 < value < 1 else None


def published_curves(published, process="annihilation"):
    """Limits to draw beside one's own.

    Parameters
    ----------
    published : `~astropy.table.QTable`, path, or list of them, or None
        Tables as `read_published_limits` gives them, or files it reads.
    process : {"annihilation", "decay"}

    Returns
    -------
    curves : list of (label, mass, limit)
        The label tells the confidence level, as far as the table does.

    Raises
    ------
    ValueError
        If a table is about the other process.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.table import QTable
    >>> from dmgammapy.estimators.io import published_curves
    >>> table = QTable({"mass": [10, 100] * u.GeV, "sigmav": [1e-26, 3e-26] * u.Unit("cm3 s-1")})
    >>> table.meta.update(instrument="lat", year=2015, source="multidsph", channel="bb")
    >>> table.meta["confidence"] = 0.95
    >>> published_curves(table)[0][0]
    'lat 2015 multidsph bb, 95 % CL'
    """
    if published is None:
        return []
    if isinstance(published, str | Path | Table):
        published = [published]
    name = LIMIT_COLUMNS[process]
    curves = []
    for item in published:
        table = item if isinstance(item, Table) else read_published_limits(item)
        words = [table.meta.get(key) for key in ("instrument", "year", "source", "channel")]
        label = " ".join(str(word) for word in words if word) or "published"
        cl = confidence_level(table)
        label += "" if cl is None else f", {100 * cl:.4g} % CL"
        if name not in table.colnames or "mass" not in table.colnames:
            raise ValueError(
                f"{label if isinstance(item, Table) else item}: expected the columns mass and "
                f"{name} for {process}, found {', '.join(table.colnames)}."
            )
        curves.append((label, u.Quantity(table["mass"]), u.Quantity(table[name])))
    return curves


def write_published_limits(castro, path, channel=None, overwrite=False, **meta):
    """Write the limits of one channel.

    Masses without a limit are left out; the metadata ``masses_without_limit`` names them.

    Parameters
    ----------
    castro : `~dmgammapy.estimators.CastroMaps`
    path : str or `~pathlib.Path`
        Customarily ``<instrument>_<year>_<target>_<ann|dec>_<channel>[_<tag>].ecsv``.
    channel : str, optional
        Needed if the result has several.
    overwrite : bool
        Replace an existing file. Default is False.
    **meta
        Metadata of the file: ``reference, doi, arxiv, year, obs_time, figure, comment``, ...
        ``instrument, source, channel, confidence`` are filled in unless given.

    Raises
    ------
    ValueError
        If the channel is missing, or no mass has a limit.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import astropy.units as u
    >>> from dmgammapy.estimators import CastroMaps
    >>> from dmgammapy.estimators.io import read_published_limits, write_published_limits
    >>> sigmav = np.append(0, np.geomspace(1e-28, 1e-22, 241)) * u.Unit("cm3 s-1")
    >>> stat = ((sigmav.value / 1e-26) ** 2).reshape(1, 1, -1)
    >>> castro = CastroMaps.from_scan(sigmav, stat, [100] * u.GeV, ["b"], target="draco")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = folder + "/lat_2026_draco_ann_bb.ecsv"
    ...     write_published_limits(castro, path, year="2026", arxiv="2611.00000")
    ...     table = read_published_limits(path)
    >>> print(f"{table['sigmav'][0]:.3g}", table.meta["source"], table.meta["confidence"])
    1.64e-26 cm3 / s draco 0.95
    """
    path = Path(path)
    if castro.geom.axes.names != ["mass", "channel"]:
        raise ValueError(
            f"{path}: needs the axes mass and channel only, got {castro.geom.axes.names}; use "
            "iter_by_axis."
        )
    if channel is None:
        if len(castro.channels) > 1:
            raise ValueError(f"{path}: which channel? Give channel=, one of {castro.channels}.")
        channel = castro.channels[0]
    if channel not in castro.channels:
        channel = canonical_channel(channel)
    castro = castro.slice_by_coord({"channel": channel})
    status = castro["status"].data.ravel()
    without = WITHOUT_LIMIT
    found = ~np.isin(status, without)
    if not found.any():
        raise ValueError(f"{path}: no mass has a limit in the channel {channel}.")
    decay = castro.process == "decay"
    limit = (castro.tau_ll if decay else castro.sigmav_ul).quantity.ravel()[found]
    name = LIMIT_COLUMNS[castro.process]
    if not decay:
        limit = limit.to(STRENGTH_UNITS["annihilation"])
    table = QTable()
    table["mass"] = castro.masses.to("GeV")[found]
    table[name] = limit
    table["mass"].info.description = "DM mass"
    table[name].info.description = "lifetime, lower limit" if decay else "<sigmav>, upper limit"
    table.meta.update(_published_meta(castro, channel, status, meta))
    with atomic_path(path, overwrite) as temporary:
        # a plain table: QTable columns would be written in a form other readers don't know
        Table(table, copy=False).write(temporary, format="ascii.ecsv")


def _published_meta(castro, channel, status, given):
    own = castro.meta
    meta = dict.fromkeys(("reference", "doi", "arxiv"), "")
    meta["instrument"] = own.instrument or ""
    meta["year"] = ""
    meta["source"] = ("stack of " if own.contributors and not own.target else "") + own.about
    meta["channel"] = GLORYDUCK_CHANNELS.get(channel, channel)
    meta["confidence"] = f"{own.cl:g}"
    meta["jfactor_method"] = own.jfactor_method or ""
    meta["creator"] = own.creator
    masses = castro.masses.to_value("GeV")
    for key, codes in (
        ("masses_without_limit", WITHOUT_LIMIT),
        ("masses_extrapolated", (LimitStatus.EXTRAPOLATED,)),
        ("masses_approximate", (LimitStatus.APPROXIMATE,)),
    ):
        picked = [
            f"{m:g} GeV ({LimitStatus(int(s)).name.lower()})"
            for m, s in zip(masses, status, strict=True)
            if s in codes
        ]
        if picked:
            meta[key] = picked
    return meta | given
