"""Own FITS layout of `~dmgammapy.estimators.CastroMaps`: an exact round trip.

============ ==========================================================================
HDU          content
============ ==========================================================================
PRIMARY      ``HDUCLASS = DMGAMMAPY``, ``HDUCLAS1 = CASTROMAPS``, ``HDUVERS``, ``PROCESS``,
             and ``OBJECT``, ``INSTRUME``, ``CREATOR`` for people who look at the header
AXIS_NORM    nodes of the norm axis, one per row
AXIS_MASS    nodes of the mass axis, with unit
AXIS_CHANNEL labels of the channel axis
AXIS_...     any further axes, from `CastroMaps.from_stack`; ``AXIS_NORM_NEGATIVE``, the last,
             if there are negative signals
META         one row with one text: the metadata as JSON
others       an image per quantity, ``STAT_SCAN`` (..., channel, mass, norm),
             ``STAT_SCAN_NEGATIVE`` (..., channel, mass, norm_negative; NaN in rows without) and
             the rest (..., channel, mass), ``BUNIT`` its unit
============ ==========================================================================

Without ``STAT_SCAN``, as in ensembles, there is no ``AXIS_NORM``. Every HDU has ``CHECKSUM`` and
``DATASUM``; they are verified by the reader.
"""

import json

import astropy.units as u
import numpy as np
from astropy.io import fits
from gammapy.maps import LabelMapAxis, MapAxis, RegionGeom, RegionNDMap

from ..castro_maps import ALL_QUANTITIES, REQUIRED, SCAN_AXES, STRENGTH_UNITS, CastroMaps
from ..limits import LimitStatus
from ..metadata import CastroMetaData
from ._files import parse_unit

__all__ = ["DESCRIPTION", "from_hdulist", "identify", "read", "to_hdulist", "write"]

DESCRIPTION = "dmgammapy castro maps, FITS (PRIMARY: HDUCLAS1 = CASTROMAPS)"
VERSION = 1
AXIS_PREFIX = "AXIS_"
AXIS_HDUS = ("AXIS_MASS", "AXIS_CHANNEL")
NEGATIVE_AXIS = "norm_negative"
IMAGE_DTYPES = ("uint8", "int16", "int32", "int64", "float32", "float64")


def identify(source):
    """Return None if the file has this format, otherwise the reason why not."""
    if source.kind != "fits":
        return "not a FITS file"
    found = str(source.hdus[0].header.get("HDUCLAS1", "")).strip()
    return None if found == "CASTROMAPS" else f"HDUCLAS1 of the primary HDU is {found!r}"


def read(source):
    """Read a file of the own layout.

    Parameters
    ----------
    source : `~dmgammapy.estimators.io._files.TableFile`

    Returns
    -------
    castro : `~dmgammapy.estimators.CastroMaps`
    """
    source.require_kind("fits", "castro maps are a FITS file")
    return from_hdulist(source.hdus, origin=source.path)


def write(castro, path):
    """Write a file of the own layout, with checksums.

    Equal results give equal files: checksums don't say when they were made.

    Parameters
    ----------
    castro : `~dmgammapy.estimators.CastroMaps`
    path : `~pathlib.Path`
    """
    hdus = to_hdulist(castro)
    # what writing does to a header comes before its checksum
    hdus.update_extend()
    for hdu in hdus:
        hdu.add_checksum(when="HDU checksum")
    hdus.writeto(path, output_verify="exception")


# ---- writing -------------------------------------------------------------------------------------


def to_hdulist(castro):
    """Result as HDUs of the own layout.

    Parameters
    ----------
    castro : `~dmgammapy.estimators.CastroMaps`

    Returns
    -------
    hdulist : `~astropy.io.fits.HDUList`

    Raises
    ------
    ValueError
        If something has no place in the layout, e.g. a geometry with a region.

    Examples
    --------
    >>> import numpy as np
    >>> import astropy.units as u
    >>> from dmgammapy.estimators import CastroMaps
    >>> sigmav = np.geomspace(1e-28, 1e-22, 61) * u.Unit("cm3 s-1")
    >>> stat = (sigmav.value / 1e-26).reshape(1, 1, -1)
    >>> castro = CastroMaps.from_scan(sigmav, stat, [100] * u.GeV, ["b"], target="draco")
    >>> hdulist = castro.to_hdulist()
    >>> [hdu.name for hdu in hdulist[:5]], hdulist["STAT_SCAN"].data.shape
    (['PRIMARY', 'AXIS_NORM', 'AXIS_MASS', 'AXIS_CHANNEL', 'META'], (1, 1, 62))
    >>> CastroMaps.from_hdulist(hdulist).meta.target
    'draco'
    """
    data = castro.to_maps()
    _check_values(data, castro.meta, "to_hdulist")
    meta = castro.meta
    header = fits.Header()
    header["HDUCLASS"] = "DMGAMMAPY"
    header["HDUCLAS1"] = ("CASTROMAPS", "likelihood of the dark matter signal strength")
    header["HDUVERS"] = (str(VERSION), "version of this layout")
    header["PROCESS"] = meta.process
    for keyword, value in (
        ("OBJECT", meta.target), ("INSTRUME", meta.instrument), ("CREATOR", meta.creator),
    ):  # fmt: skip
        if value and value.isascii() and value.isprintable():
            header[keyword] = value.strip()
    hdus = [fits.PrimaryHDU(header=header)]
    axes = list(data["stat_scan" if "stat_scan" in data else "reference"].geom.axes)
    if "stat_scan_negative" in data:
        axes.append(data["stat_scan_negative"].geom.axes[NEGATIVE_AXIS])
    for position, axis in enumerate(axes):
        hdus.append(_axis_to_hdu(axis, position))
    hdus.append(_meta_to_hdu(meta))
    for name, m in data.items():
        hdus.append(_map_to_hdu(name, m))
    return fits.HDUList(hdus)


def _axis_to_hdu(axis, position):
    cards = {"AXNUM": position, "AXNAME": axis.name}
    if isinstance(axis, MapAxis) and not (np.diff(axis._nodes) > 0).all():
        raise ValueError(
            f"to_hdulist: the nodes of the axis {axis.name!r} must ascend, got {axis._nodes[:8]}; "
            "put them in order first."
        )
    if isinstance(axis, LabelMapAxis):
        labels = [_encode(str(label), axis.name) for label in axis.center]
        width = max(len(label) for label in labels)
        column = fits.Column("label", f"{width}A", array=np.array(labels))
        cards["AXTYPE"] = "label"
    elif isinstance(axis, MapAxis):
        # the nodes themselves: centers and edges are computed from them, with rounding
        column = fits.Column(
            axis.name or "value", "D", unit=_unit_text(axis.unit), array=axis._nodes
        )
        cards |= {
            "AXTYPE": axis.node_type, "AXINTERP": axis.interp, "AXBOUND": str(axis._boundary_type),
        }  # fmt: skip
    else:
        raise ValueError(
            f"to_hdulist: the axis {axis.name!r} is a {type(axis).__name__}; the layout holds "
            "MapAxis and LabelMapAxis."
        )
    hdu = fits.BinTableHDU.from_columns([column], name=f"{AXIS_PREFIX}{axis.name.upper()}")
    hdu.header.update(cards)
    return hdu


def _encode(label, axis_name):
    """Text in ASCII, with escapes for what is not."""
    text = label.encode("unicode_escape").decode("ascii")
    if not text or text != text.strip():
        raise ValueError(
            f"to_hdulist: the label {label!r} of the axis {axis_name!r} is empty or has spaces at "
            "its ends, which FITS can't hold; rename it."
        )
    return text


def _unit_text(unit):
    try:
        text = unit.to_string("fits")
        if u.Unit(text) == unit:
            return text
    except ValueError:
        pass
    return unit.to_string()


def _meta_to_hdu(meta):
    try:
        text = json.dumps(meta.to_json_dict(), default=_plain_number)
    except TypeError as error:
        raise ValueError(f"to_hdulist: the metadata can't be written as JSON: {error}.") from None
    column = fits.Column("json", f"{len(text)}A", array=np.array([text]))
    return fits.BinTableHDU.from_columns([column], name="META")


def _plain_number(value):
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{value!r} of type {type(value).__name__}")


def _map_to_hdu(name, m):
    if not isinstance(m.geom, RegionGeom) or m.geom.region is not None:
        raise ValueError(f"to_hdulist: {name} must be a RegionNDMap without region.")
    if m.data.dtype.name not in IMAGE_DTYPES:
        raise ValueError(
            f"to_hdulist: {name} holds {m.data.dtype}; the layout holds {', '.join(IMAGE_DTYPES)}."
        )
    hdu = fits.ImageHDU(np.ascontiguousarray(m.data[..., 0, 0]), name=name.upper())
    text = _unit_text(m.unit)
    if text:
        hdu.header["BUNIT"] = text
    return hdu


# ---- reading -------------------------------------------------------------------------------------


def from_hdulist(hdulist, origin="HDUList"):
    """Inverse of `to_hdulist`.

    Parameters
    ----------
    hdulist : `~astropy.io.fits.HDUList`
    origin : str
        Name of the file as errors name it.

    Returns
    -------
    castro : `~dmgammapy.estimators.CastroMaps`

    Raises
    ------
    ValueError
        If a HDU or column is missing, unknown or does not fit the others.
    """
    header = hdulist[0].header
    found = str(header.get("HDUCLAS1", "")).strip()
    if found != "CASTROMAPS":
        raise ValueError(f"{origin}: not a file of castro maps: HDUCLAS1 is {found!r}.")
    version = str(header.get("HDUVERS", "")).strip()
    if version != str(VERSION):
        raise ValueError(
            f"{origin}: its layout has version {version!r}, this dmgammapy reads {VERSION}; update "
            "dmgammapy."
        )
    by_name = {}
    for hdu in hdulist[1:]:
        if hdu.name in by_name:
            raise ValueError(f"{origin}: the HDU {hdu.name} comes twice; were two files joined?")
        by_name[hdu.name] = hdu
    needed = [*AXIS_HDUS, "META", *(name.upper() for name in REQUIRED)]
    if "AXIS_NORM" in by_name or "STAT_SCAN" in by_name:
        needed += ["AXIS_NORM", "STAT_SCAN", "STATUS"]
    missing = [name for name in needed if name not in by_name]
    if missing:
        raise ValueError(
            f"{origin}: missing HDU {', '.join(missing)}; found {', '.join(by_name) or 'none'}."
        )
    axes = _read_axes(by_name, origin)
    meta = _read_meta(by_name.pop("META"), header, origin)
    unknown = sorted(name for name in by_name if name.lower() not in ALL_QUANTITIES)
    if unknown:
        raise ValueError(f"{origin}: unknown HDU {', '.join(unknown)}; remove or rename it.")
    data = {}
    for name, hdu in by_name.items():
        data[name.lower()] = _read_map(hdu, _own_axes(name, axes), f"{origin}, HDU {name}")
    _check_values(data, meta, origin)
    try:
        return CastroMaps(data, meta)
    except ValueError as error:
        raise ValueError(f"{origin}: {error}") from None


def _own_axes(quantity, axes):
    """Axes of a quantity among those of the file."""
    scan = SCAN_AXES.get(quantity.lower())
    return [axis for axis in axes if axis.name == scan or axis.name not in SCAN_AXES.values()]


def _read_axes(by_name, origin):
    """Axes in order; their HDUs are taken out of ``by_name``."""
    names = [name for name in by_name if name.startswith(AXIS_PREFIX)]
    names.sort(key=lambda name: by_name[name].header.get("AXNUM", -1))
    axes = []
    for position, name in enumerate(names):
        hdu = by_name.pop(name)
        where = f"{origin}, HDU {name}"
        if not isinstance(hdu, fits.BinTableHDU) or len(hdu.columns) != 1:
            raise ValueError(f"{where}: an axis is a table with one column.")
        if hdu.header.get("AXNUM") != position:
            raise ValueError(
                f"{where}: AXNUM is {hdu.header.get('AXNUM')}, expected {position}; axes are "
                "missing or were renamed."
            )
        axes.append(_read_axis(hdu, where))
    n_norm = int("AXIS_NORM" in names)
    found = [axis.name for axis in axes[: n_norm + 2]]
    if found != ["norm", "mass", "channel"][1 - n_norm :]:
        raise ValueError(f"{origin}: the first axes are {found}, expected norm, mass, channel.")
    if ("AXIS_NORM_NEGATIVE" in names) != ("STAT_SCAN_NEGATIVE" in by_name):
        raise ValueError(
            f"{origin}: AXIS_NORM_NEGATIVE and STAT_SCAN_NEGATIVE need each other; one is missing."
        )
    if "AXIS_NORM_NEGATIVE" in names:  # in the quantity it is the first
        axes.insert(0, axes.pop([axis.name for axis in axes].index(NEGATIVE_AXIS)))
    masses = next(axis for axis in axes if axis.name == "mass")
    if not masses.unit.is_equivalent("GeV"):
        raise ValueError(
            f"{origin}, HDU AXIS_MASS: the unit is {masses.unit}, expected one of energy."
        )
    if not (masses._nodes > 0).all():
        raise ValueError(
            f"{origin}, HDU AXIS_MASS: masses must be positive, got {masses._nodes.min()}."
        )
    return axes


def _read_axis(hdu, where):
    column = hdu.columns[0]
    values = np.asarray(hdu.data[column.name])
    kind = hdu.header.get("AXTYPE")
    name = str(hdu.header.get("AXNAME", ""))
    if not len(values):
        raise ValueError(f"{where}: the axis has no rows.")
    if kind == "label":
        if values.dtype.kind not in "US":
            raise ValueError(f"{where}: expected text labels, got {values.dtype}.")
        labels = [str(v).encode("ascii").decode("unicode_escape") for v in values]
        if len(set(labels)) != len(labels):
            raise ValueError(f"{where}: the labels must differ from each other, got {labels}.")
        return LabelMapAxis(labels, name=name)
    if kind not in ("center", "edges"):
        raise ValueError(f"{where}: AXTYPE is {kind!r}, expected 'label', 'center' or 'edges'.")
    if values.dtype.kind != "f" or values.ndim != 1:
        raise ValueError(f"{where}: expected one float per row, got {values.dtype} {values.shape}.")
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise ValueError(
            f"{where}, row {row} (from 0): the node must be finite, got {values[row]}."
        )
    if not (np.diff(values) > 0).all():
        row = int(np.argmin(np.diff(values) > 0)) + 1
        raise ValueError(
            f"{where}, row {row} (from 0): the nodes must ascend, got {values[row]} after "
            f"{values[row - 1]}."
        )
    try:
        return MapAxis(
            values.astype(float),
            interp=str(hdu.header.get("AXINTERP", "lin")).strip(),
            name=name,
            node_type=kind,
            unit=parse_unit(column.unit or "", where),
            boundary_type=str(hdu.header.get("AXBOUND", "monotonic")).strip(),
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _read_meta(hdu, header, origin):
    where = f"{origin}, HDU META"
    try:
        text = str(hdu.data["json"][0])
        meta = CastroMetaData.from_json_dict(json.loads(text))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        text = " ".join(str(error).split())
        raise ValueError(f"{where}: the metadata are damaged ({text}).") from None
    for keyword, value in (("PROCESS", meta.process), ("OBJECT", meta.target)):
        found = header.get(keyword)
        if found is not None and str(found).strip() != str(value).strip():
            raise ValueError(
                f"{where}: {keyword} is {found!r} in the primary header but {value!r} here; were "
                "HDUs of two files mixed?"
            )
    return meta


def _read_map(hdu, axes, where):
    if not isinstance(hdu, fits.ImageHDU):
        raise ValueError(f"{where}: expected an image, got {type(hdu).__name__}.")
    expected = tuple(axis.nbin for axis in reversed(axes))
    array = hdu.data
    if array is None or array.shape != expected:
        found = None if array is None else array.shape
        names = ", ".join(axis.name for axis in reversed(axes))
        raise ValueError(f"{where}: expected the shape ({names}) = {expected}, got {found}.")
    array = np.array(array, dtype=array.dtype.newbyteorder("="))[..., None, None]
    unit = parse_unit(hdu.header.get("BUNIT", ""), where)
    return RegionNDMap(RegionGeom(None, axes=axes), array, unit=unit, dtype=array.dtype)


def _check_values(data, meta, where):
    """What every reader of the file relies on."""
    expected = STRENGTH_UNITS[meta.process]
    references = [name for name in ("reference", "reference_negative") if name in data]
    for name, m in data.items():
        wanted = expected if name in references else u.dimensionless_unscaled
        if not m.unit.is_equivalent(wanted):
            raise ValueError(
                f"{where}, {name}: the unit is {str(m.unit)!r}, expected "
                f"{str(wanted) or 'none'!r} for {meta.process}."
            )
    if "stat_scan" in data and not np.isfinite(data["stat_scan"].data).all():
        raise ValueError(f"{where}, stat_scan: the likelihood must be finite everywhere.")
    if "stat_scan_negative" in data:
        scan = data["stat_scan_negative"].data[..., 0, 0]
        if (np.isinf(scan) | (np.isnan(scan) != np.isnan(scan[..., :1]))).any():
            raise ValueError(
                f"{where}, stat_scan_negative: the likelihood of each mass and channel must be "
                "finite, or NaN throughout."
            )
    for name in references:
        reference = data[name].data
        if not (np.isfinite(reference) & (reference > 0)).all():
            raise ValueError(f"{where}, {name}: the reference strengths must be positive.")
    if "status" in data:
        codes = [int(code) for code in LimitStatus]
        if not np.isin(data["status"].data, codes).all():
            raise ValueError(f"{where}, status: expected codes {codes}.")
    if "stat_scan" not in data:
        _check_limits(data, where)


def _check_limits(data, where):
    """Refuse limits, TS and quantiles that no likelihood gives, where there is none to tell."""
    axis = next((a for a in data["reference"].geom.axes if a.name == "quantile"), None)
    if axis is not None:
        nodes = axis.center.value
        if not ((nodes >= 0) & (nodes <= 1)).all():
            raise ValueError(f"{where}: the quantiles must be between 0 and 1, got {nodes}.")
    for name in ("norm", "norm_ul", "ts"):
        if name not in data:
            continue
        values = data[name].data
        bad = (values < 0) | np.isinf(values)
        if bad.any():
            raise ValueError(
                f"{where}, {name}: must not be negative or infinite, got {values[bad][0]:g} "
                f"({int(bad.sum())} such values)."
            )
    if "status" in data and "norm_ul" in data:
        lost = (data["status"].data == LimitStatus.FOUND) & np.isnan(data["norm_ul"].data)
        if lost.any():
            raise ValueError(
                f"{where}, norm_ul: {int(lost.sum())} limits are NaN though their status is "
                f"{LimitStatus.FOUND.name}."
            )
