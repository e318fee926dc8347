"""Maps in files of the Science Tools: counts, exposure and their good times, as arrays and axes."""

import logging
import warnings
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from gammapy.maps import HpxGeom, Map, MapAxis, WcsGeom

from ._dss import LATDataSelection
from ._fits import find_hdu, open_fits, read_columns

__all__ = ["Product", "column", "energy_edges", "read_counts", "read_exposure"]

log = logging.getLogger(__name__)

# relative difference of energies that are the same: EBOUNDS has single precision
ENERGY_RTOL = 1e-5
# the tools write energies of cubes in keV in EBOUNDS, in MeV everywhere else
FRAMES = {"GAL": "galactic", "CEL": "icrs", "EQU": "icrs", "C": "icrs", "G": "galactic"}


@dataclass(frozen=True, eq=False)
class Product:
    """A cube and what its file says of the data in it.

    Attributes
    ----------
    map : `~gammapy.maps.Map`
    gti : array, shape (n, 2), or None
        Good times, mission elapsed time [s].
    selection : `LATDataSelection`
    path : `~pathlib.Path` or str
        For messages.
    """

    map: Map
    gti: np.ndarray | None
    selection: LATDataSelection
    path: object


def read_counts(path):
    """Counts cube of gtbin (CCUBE or HEALPIX) or gtmodel.

    Parameters
    ----------
    path : str or `~pathlib.Path`

    Returns
    -------
    product : `Product`
        Map of shape (n_energy, ny, nx) or (n_energy, n_pixel), axis "energy" [MeV].
    """
    with open_fits(path) as hdus:
        hdu = _map_hdu(hdus, path, "SKYMAP", "a counts cube")
        header = _with_dss(hdus, hdu)
        selection = _selection(header, path)
        edges = energy_edges(hdus, path)
        _check_unit(edges, header, selection, path)
        axis = MapAxis.from_energy_edges(edges * u.MeV, name="energy")
        counts = _read_map(hdu, path, axis, "CHANNEL")
        gti = _read_gti(hdus, path)
    bad = ~np.isfinite(counts.data) | (counts.data < 0)
    if bad.any():
        raise ValueError(
            f"{path}: {bad.sum()} voxels of the counts are negative or not finite, the first at "
            f"index {tuple(int(i) for i in np.argwhere(bad)[0])}; expected counts."
        )
    return Product(counts, gti, selection, path)


def read_exposure(path):
    """Exposure cube of gtexpcube2, WCS or HEALPix.

    Parameters
    ----------
    path : str or `~pathlib.Path`

    Returns
    -------
    product : `Product`
        Map of shape (n_nodes, ny, nx) or (n_nodes, n_pixel) [cm2 s], axis "energy_true" of
        nodes [MeV].
    """
    with open_fits(path) as hdus:
        hdu = _map_hdu(hdus, path, "HPXEXPOSURES", "an exposure cube")
        header = _with_dss(hdus, hdu)
        nodes = _energy_nodes(hdus, path, header)
        axis = MapAxis.from_nodes(nodes, name="energy_true", unit="MeV", interp="log")
        exposure = _read_map(hdu, path, axis, "ENERGY", unit="cm2 s")
        if header.get("BUNIT", "").strip():
            unit = u.Unit(header["BUNIT"])
            if not unit.is_equivalent("cm2 s"):
                raise ValueError(f"{path}: BUNIT = {header['BUNIT']!r}, expected cm2 s.")
            exposure.data *= unit.to("cm2 s")
        selection = _selection(header, path)
        gti = _read_gti(hdus, path)
    bad = ~(exposure.data >= 0)
    if bad.any() or not exposure.data.any():
        raise ValueError(
            f"{path}: {bad.sum()} of {bad.size} values of the exposure are negative or not "
            "numbers, or all are zero; expected cm2 s. Is this a cube of gtexpcube2?"
        )
    return Product(exposure, gti, selection, path)


def column(data, name, path, hdu):
    """Column of numbers; energies and such without unit are in the unit of the tools."""
    values = np.asarray(data[name], dtype=float)
    bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    if len(bad):
        raise ValueError(f"{path}[{hdu}], row {bad[0] + 1}: {name} is not finite.")
    return values


def energy_edges(hdus, path):
    """Edges of the energy bins of EBOUNDS [MeV], shape (n_bins + 1,)."""
    hdu = find_hdu(hdus, path, "EBOUNDS", "a counts cube")
    data = read_columns(hdu, path, required=["E_MIN", "E_MAX"])
    low, high = (
        column(data, name, path, "EBOUNDS") * _unit(hdu, name, path, "keV").to("MeV")
        for name in ("E_MIN", "E_MAX")
    )
    bad = np.flatnonzero((low <= 0) | (high <= low))
    if len(bad):
        i = bad[0]
        raise ValueError(
            f"{path}[EBOUNDS], row {i + 1}: expected 0 < E_MIN < E_MAX, got {low[i]:g} and "
            f"{high[i]:g} MeV."
        )
    gaps = np.flatnonzero(np.abs(low[1:] / high[:-1] - 1) > ENERGY_RTOL)
    if len(gaps):
        i = gaps[0]
        raise ValueError(
            f"{path}[EBOUNDS], row {i + 2}: energy bins must be contiguous, got "
            f"{low[i]:g}-{high[i]:g} MeV then {low[i + 1]:g}-{high[i + 1]:g} MeV."
        )
    return np.append(low, high[-1])


def _unit(hdu, name, path, default):
    text = hdu.columns[name].unit
    try:
        unit = u.Unit(text.strip()) if text and text.strip() else u.Unit(default)
        unit.to("MeV")
    except (ValueError, u.UnitConversionError) as error:
        raise ValueError(
            f"{path}[{hdu.name}]: {name} has the unit {text!r}, expected an energy ({error})."
        ) from None
    return unit


def _check_unit(edges, header, selection, path):
    """Compare EBOUNDS with what else the file says of energies, all of it in MeV."""
    known = [("DSS keyword ENERGY", *selection.energy)] if selection.energy else []
    first = header.get("CRVAL3")
    if isinstance(first, float) and first > 0 and header.get("CUNIT3", "MeV").strip() == "MeV":
        known.append(("CRVAL3", first, first))
    for name, low, high in known:
        if edges[-1] < low * (1 - ENERGY_RTOL) or edges[0] > high * (1 + ENERGY_RTOL):
            raise ValueError(
                f"{path}: EBOUNDS goes from {edges[0]:g} to {edges[-1]:g} MeV but {name} says "
                f"{low:g} to {high:g} MeV; the unit of E_MIN and E_MAX (TUNIT, keV in files of "
                "gtbin) seems wrong."
            )


def _energy_nodes(hdus, path, header):
    """Energies at which gtexpcube2 computed the exposure [MeV]."""
    if "ENERGIES" not in [hdu.name for hdu in hdus] and "EBOUNDS" in [hdu.name for hdu in hdus]:
        # gtexpcube2 with bincalc=CENTER
        edges = energy_edges(hdus, path)
        return np.sqrt(edges[:-1] * edges[1:])
    hdu = find_hdu(hdus, path, "ENERGIES", "an exposure cube")
    data = {key.upper(): key for key in hdu.columns.names}
    if "ENERGY" not in data:
        raise ValueError(f"{path}[ENERGIES]: no column Energy; found {', '.join(data.values())}.")
    name = data["ENERGY"]
    nodes = column(read_columns(hdu, path, required=[name]), name, path, "ENERGIES")
    nodes = nodes * _unit(hdu, name, path, "MeV").to("MeV")
    if (nodes <= 0).any() or (np.diff(nodes) <= 0).any():
        raise ValueError(f"{path}[ENERGIES]: energies must be positive and ascend, got {nodes}.")
    first = header.get("CRVAL3")
    if isinstance(first, float) and header.get("CTYPE3", "").strip() == "log_Energy":
        expected = np.exp(first)
        if abs(expected / nodes[0] - 1) > 1e-3:
            raise ValueError(
                f"{path}: the first energy of ENERGIES is {nodes[0]:g} MeV, but CRVAL3 (natural "
                f"logarithm of MeV) says {expected:g} MeV; the unit of the table seems wrong."
            )
    return nodes


def _map_hdu(hdus, path, table, kind):
    """Extension of the map: the primary image, or a table of HEALPix pixels."""
    names = [hdu.name for hdu in hdus]
    for name in (table, "SKYMAP", "HPXEXPOSURES"):
        if name in names:
            return hdus[name]
    shape = hdus[0].shape
    if len(shape) != 3:
        raise ValueError(
            f"{path}: expected {kind}, an image of three axes or a table {table}; found an image "
            f"of {len(shape)} axes and the extensions {', '.join(names[1:]) or 'none'}."
        )
    return hdus[0]


def _with_dss(hdus, hdu):
    """Header of the map; with the selection of the primary header where it has none."""
    if "NDSKEYS" in hdu.header or "NDSKEYS" not in hdus[0].header:
        return hdu.header
    header = hdu.header.copy()
    header.extend(hdus[0].header, unique=True, strip=True)
    return header


def _selection(header, path):
    """Selection of the DSS keywords; gtmodel and gtexpcube2 in HEALPix may write none."""
    if not header.get("NDSKEYS"):
        log.info("%s has no DSS keywords: its selection of events is not known.", path)
        return LATDataSelection()
    return LATDataSelection.from_header(header)


def _read_map(hdu, path, axis, prefix, unit=""):
    if isinstance(hdu, fits.BinTableHDU):
        return _read_healpix(hdu, path, axis, prefix, unit)
    geom = _wcs_geom(hdu.header, path, axis)
    try:
        data = np.array(hdu.data, dtype=float)
    except (OSError, TypeError, ValueError) as error:
        raise OSError(f"the image can't be read: {error}") from error
    if data.shape != geom.data_shape:
        raise ValueError(
            f"{path}: the image has {data.shape[0]} energies, but the table of energies says "
            f"{axis.nbin}."
        )
    return Map.from_geom(geom, data=data, unit=unit)


def _wcs_geom(header, path, axis):
    """Geometry of an image; equatorial coordinates J2000 of the tools are taken as ICRS."""
    header = header.copy()
    for key in ("CUNIT1", "CUNIT2"):
        header[key] = str(header.get(key) or "deg")
    ctype = [str(header.get(key, "")) for key in ("CTYPE1", "CTYPE2")]
    if ctype[0][:4] not in ("RA--", "GLON") or ctype[1][:4] not in ("DEC-", "GLAT"):
        raise ValueError(
            f"{path}: CTYPE1 = {ctype[0]!r} and CTYPE2 = {ctype[1]!r}, expected RA---xxx and "
            "DEC--xxx or GLON-xxx and GLAT-xxx."
        )
    if ctype[0].startswith("RA"):
        header["RADESYS"] = "ICRS"
        for key in ("RADECSYS", "EQUINOX", "EPOCH"):
            header.remove(key, ignore_missing=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        wcs = WCS(header, naxis=2)
    npix = (int(header["NAXIS1"]), int(header["NAXIS2"]))
    return WcsGeom(wcs, npix=npix, axes=[axis])


def _read_healpix(hdu, path, axis, prefix, unit):
    header = hdu.header
    names = [f"{prefix}{i + 1}" for i in range(axis.nbin)]
    extra = f"{prefix}{axis.nbin + 1}"
    if extra in hdu.columns.names or any(name not in hdu.columns.names for name in names):
        found = [name for name in hdu.columns.names if name.startswith(prefix)]
        raise ValueError(
            f"{path}[{hdu.name}]: expected columns {names[0]} to {names[-1]} for the "
            f"{axis.nbin} energies, found {len(found)} of these."
        )
    coordsys = str(header.get("COORDSYS", "")).strip().upper()
    if not coordsys and "EQUINOX" in header:
        # gtexpcube2 names no system, but an equinox where the pixels are equatorial
        coordsys = "EQU"
    frame = FRAMES.get(coordsys)
    ordering = str(header.get("ORDERING", "")).strip().upper()
    nside = header.get("NSIDE")
    if frame is None or ordering not in ("RING", "NESTED") or not nside:
        raise ValueError(
            f"{path}[{hdu.name}]: NSIDE = {nside!r}, ORDERING = {ordering!r}, COORDSYS = "
            f"{header.get('COORDSYS')!r}; expected a number, RING or NESTED, and GAL or CEL."
        )
    sparse = str(header.get("INDXSCHM", "")).strip().upper() == "SPARSE"
    if sparse:
        raise ValueError(f"{path}[{hdu.name}]: sparse HEALPix maps are not supported.")
    partial = "PIX" in hdu.columns.names
    data = read_columns(hdu, path, required=[*names, *(["PIX"] if partial else [])])
    values = np.array([column(data, name, path, hdu.name) for name in names])
    image = HpxGeom(nside, nest=ordering == "NESTED", frame=frame)
    n_pixels = 12 * nside**2
    pixels = np.asarray(data["PIX"], dtype=int) if partial else np.arange(n_pixels)
    same = len(np.unique(pixels)) == values.shape[1]
    if not same or pixels.min() < 0 or pixels.max() >= n_pixels or (partial and prefix == "ENERGY"):
        raise ValueError(
            f"{path}[{hdu.name}]: {values.shape[1]} rows, {'with' if partial else 'without'} a "
            f"column PIX; expected the {n_pixels} pixels of NSIDE = {nside}, or for counts each "
            "of some pixels once."
        )
    if partial:
        log.info("%s covers %d of %d pixels; counts are 0 elsewhere.", path, len(pixels), n_pixels)
    out = Map.from_geom(image.to_cube([axis]), dtype=float, unit=unit)
    out.data[:, pixels] = values
    return out


def _read_gti(hdus, path):
    """Good times, shape (n, 2) [s], or None."""
    if "GTI" not in [hdu.name for hdu in hdus]:
        return None
    data = read_columns(hdus["GTI"], path, required=["START", "STOP"])
    return np.column_stack([column(data, name, path, "GTI") for name in ("START", "STOP")])
