"""Datasets from files that the Fermi Science Tools and fermipy have made."""

import json
import logging
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import Table
from gammapy.datasets import MapDataset
from gammapy.irf import EDispKernelMap, PSFMap
from gammapy.maps import Map, MapAxis

from ._met import gammapy_gti
from ._products_exposure import exposure_map
from ._products_irf import DRM, PSFTable, edisp_map, psf_map
from ._products_read import ENERGY_RTOL, read_counts, read_exposure

__all__ = ["read_counts_cube", "read_drm", "read_exposure_cube", "read_lat_products", "read_psf"]

log = logging.getLogger(__name__)

# mission elapsed time is in seconds since 2001-01-01 UTC
# relative difference of good times that may be rounding
GTI_RTOL = 1e-4
MIN_CONTAINMENT = 0.99


def read_counts_cube(path):
    """Counts cube of gtbin.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        FITS file, WCS (CCUBE) or HEALPix. Its EBOUNDS, in keV, become MeV.

    Returns
    -------
    counts : `~gammapy.maps.WcsNDMap` or `~gammapy.maps.HpxNDMap`
        Shape (n_energy, ny, nx) or (n_energy, n_pixel), axis "energy".

    Raises
    ------
    ValueError
        If an extension is missing, the file is cut, energies are not contiguous or contradict
        the data selection, or counts are negative or not finite.

    Examples
    --------
    >>> from dmgammapy.makers.lat.products import read_counts_cube
    >>> counts = read_counts_cube("ccube_00.fits")  # doctest: +SKIP
    >>> counts.geom.axes["energy"].edges[0]  # doctest: +SKIP
    <Quantity 100. MeV>
    """
    return read_counts(path).map


def read_exposure_cube(path):
    """Exposure cube of gtexpcube2.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        FITS file, WCS or HEALPix.

    Returns
    -------
    exposure : `~gammapy.maps.WcsNDMap` or `~gammapy.maps.HpxNDMap`
        [cm2 s], shape (n_nodes, ny, nx) or (n_nodes, n_pixel), axis "energy_true" of nodes: the
        tool computes exposure at the edges of energy bins.

    Raises
    ------
    ValueError
        If an extension is missing, the file is cut, or energies contradict the header.
    """
    return read_exposure(path).map


def read_psf(path, energy_axis_true=None):
    """Point spread function of gtpsf.

    The table is interpolated between its angles by a cubic spline of the logarithm, on at least
    600 bins of offset: straight lines between gtpsf's angles, as Gammapy draws them, broaden the
    PSF when there are few.

    Parameters
    ----------
    path : str or `~pathlib.Path`
    energy_axis_true : `~gammapy.maps.MapAxis`, optional
        True energy bins, at whose centres the PSF is wanted. Default is bins around the energies
        of the table.

    Returns
    -------
    psf : `~gammapy.irf.PSFMap`
        The same at all positions; with the table's exposure [cm2 s].

    Raises
    ------
    ValueError
        If an extension is missing, the file is cut, the PSF is negative or zero at an energy, or
        ``energy_axis_true`` reaches beyond the table.
    """
    table = PSFTable(path)
    if energy_axis_true is None:
        middle = np.sqrt(table.energy[:-1] * table.energy[1:])
        first, last = table.energy[0] ** 2 / middle[0], table.energy[-1] ** 2 / middle[-1]
        edges = np.concatenate([[first], middle, [last]]) * u.MeV
        energy_axis_true = MapAxis.from_energy_edges(edges, name="energy_true")
    inside = table.containment()
    low = int(np.argmin(inside))
    if inside[low] < MIN_CONTAINMENT:
        log.warning(
            "%s: the angles of gtpsf, up to %g deg, hold %.1f %% of the PSF at %g MeV; sources "
            "are normalised within them. Make it anew with a larger thetamax.",
            path, table.theta[-1], 100 * inside[low], table.energy[low],
        )  # fmt: skip
    return psf_map(table, energy_axis_true)


def read_drm(path, energy_axis):
    """Energy dispersion of gtdrm.

    Parameters
    ----------
    path : str or `~pathlib.Path`
    energy_axis : `~gammapy.maps.MapAxis`
        Energies of the counts that gtdrm was run with, which its file does not hold.

    Returns
    -------
    edisp : `~gammapy.irf.EDispKernelMap`
        The same at all positions. Its true energies have the margin that gtdrm was run with
        (``edisp_bins`` on each side).

    Raises
    ------
    ValueError
        If an extension is missing, the file is cut, or it was made for other counts.
    """
    drm = DRM(path)
    drm.check_energies(energy_axis.edges.to_value("MeV"))
    axis = MapAxis.from_energy_edges(drm.edges * u.MeV, name="energy_true")
    return edisp_map(drm.matrix, energy_axis, axis)


def read_lat_products(
    counts, exposure, psf=None, drm=None, name=None, margin=3 * u.deg, energy_margin=0
):
    """Dataset from products of the Fermi Science Tools or fermipy.

    True energies are those of the energy dispersion, without one those of the counts. Exposure
    and PSF are interpolated at their centres, the exposure on the pixels of the counts and a
    margin around them, whatever its own frame and projection are.

    Parameters
    ----------
    counts : str or `~pathlib.Path`
        Counts cube of gtbin, WCS (fermipy: ``ccube_00.fits``).
    exposure : str or `~pathlib.Path`
        Exposure cube of gtexpcube2, WCS or HEALPix (``bexpmap_00.fits``).
    psf : str, `~pathlib.Path` or `~gammapy.irf.PSFMap`, optional
        File of gtpsf (``psf_00.fits``). Default is none, which will do for diffuse emission
        only: without a PSF Gammapy cuts point sources to one pixel and loses what is shared with
        the next.
    drm : str, `~pathlib.Path` or `~gammapy.irf.EDispKernelMap`, optional
        File of gtdrm (``drm_00.fits``). Default is none: energies are as measured.
    name : str, optional
        Of the dataset. Default is made up by Gammapy.
    margin : `~astropy.units.Quantity` or float
        Exposure around the counts [deg], for sources and diffuse emission outside. Default is
        3 deg.
    energy_margin : int
        Bins of counts to drop at both ends. They stay as true energies: the way to take energy
        dispersion into account with products made for the energies of the counts alone
        (fermipy's ``edisp_bins: 0``, its gtpsf). Default is 0.

    Returns
    -------
    dataset : `~gammapy.datasets.MapDataset`
        With good times, and in ``meta_table`` the selection and the files.

    Raises
    ------
    ValueError
        If files contradict each other (event class and type, good times, energies, region), a
        file is cut or lacks an extension, or the counts are HEALPix.

    Examples
    --------
    >>> from dmgammapy.makers.lat.products import read_lat_products
    >>> dataset = read_lat_products(
    ...     counts="ccube_00.fits", exposure="bexpmap_00.fits", psf="psf_00.fits",
    ...     drm="drm_00.fits", name="fermi",
    ... )  # doctest: +SKIP
    """
    cube, exposures = read_counts(counts), read_exposure(exposure)
    geom = cube.map.geom
    if geom.is_hpx:
        raise ValueError(
            f"{counts}: counts in HEALPix pixels, for which Gammapy predicts wrong numbers; bin "
            "the events in a WCS projection. `read_counts_cube` reads the map."
        )
    _check_same_data(cube, exposures)
    axis = geom.axes["energy"]
    axis_true, edisp = _energy_dispersion(drm, axis, energy_margin, counts)
    keep = slice(energy_margin, axis.nbin - energy_margin)
    sliced = cube.map.slice_by_idx({"energy": keep})
    psf_true = _psf(psf, axis_true)
    exposed = exposure_map(exposures, geom, axis_true, u.Quantity(margin, "deg"))
    return MapDataset(
        name=name, counts=sliced, exposure=exposed, psf=psf_true, edisp=edisp,
        mask_fit=_mask(sliced, exposed), gti=None if cube.gti is None else gammapy_gti(cube.gti),
        meta_table=_meta(cube, exposures, counts, exposure, psf, drm, energy_margin),
    )  # fmt: skip


def _energy_dispersion(drm, axis, energy_margin, counts):
    """True energies and energy dispersion of the counts that are kept."""
    if not 0 <= energy_margin < axis.nbin / 2:
        raise ValueError(
            f"energy_margin must be 0 or more and leave counts, got {energy_margin} of "
            f"{axis.nbin} bins in {counts}."
        )
    if drm is None:
        if energy_margin:
            raise ValueError(
                f"energy_margin = {energy_margin} drops counts for the sake of the energy "
                "dispersion, but there is none; pass drm."
            )
        return MapAxis.from_energy_edges(axis.edges, name="energy_true"), None
    edisp = drm if isinstance(drm, EDispKernelMap) else read_drm(drm, axis)
    known = edisp.edisp_map.geom.axes["energy"]
    if known.nbin != axis.nbin or not np.allclose(
        known.edges.to_value("MeV"), axis.edges.to_value("MeV"), rtol=ENERGY_RTOL, atol=0
    ):
        raise ValueError(f"the energy dispersion has other energies than {counts}: {known}.")
    axis_true = edisp.edisp_map.geom.axes["energy_true"]
    if axis_true.nbin == axis.nbin and not energy_margin:
        log.warning(
            "The energy dispersion has no true energies beyond those of the counts: photons that "
            "come from outside are missed in the first and last bins. Make it with edisp_bins > 0 "
            "or drop some bins by energy_margin."
        )
    if energy_margin:
        edisp = edisp.slice_by_idx({"energy": slice(energy_margin, axis.nbin - energy_margin)})
    return axis_true, edisp


def _psf(psf, axis_true):
    if psf is None:
        log.warning(
            "There is no PSF: point sources, which Gammapy then cuts to one pixel, are predicted "
            "wrongly. Pass a file of gtpsf, or a PSFMap of LATPSFMaker."
        )
        return None
    if not isinstance(psf, PSFMap):
        return read_psf(psf, axis_true)
    known = psf.psf_map.geom.axes["energy_true"]
    if known.nbin != axis_true.nbin or not np.allclose(
        known.center.to_value("MeV"), axis_true.center.to_value("MeV"), rtol=1e-3
    ):
        raise ValueError(
            f"the PSFMap has {known.nbin} true energies, {known.center[0]:.4g} to "
            f"{known.center[-1]:.4g}; the dataset has {axis_true.nbin}, "
            f"{axis_true.center[0]:.4g} to {axis_true.center[-1]:.4g}: make it for these."
        )
    return psf


def _check_same_data(cube, exposures):
    """Counts and exposure must be of the same photons."""
    for key in ("event_class", "event_type"):
        first, second = getattr(cube.selection, key), getattr(exposures.selection, key)
        if None not in (first, second) and first != second:
            raise ValueError(
                f"{cube.path} has the {key.replace('_', ' ')} {first}, but {exposures.path} "
                f"{second}: the exposure must be of the same events."
            )
    if cube.gti is None or exposures.gti is None:
        return
    times = [float((gti[:, 1] - gti[:, 0]).sum()) for gti in (cube.gti, exposures.gti)]
    if abs(times[0] - times[1]) > GTI_RTOL * max(times):
        raise ValueError(
            f"{cube.path} has {times[0]:.3f} s of good times, but {exposures.path} "
            f"{times[1]:.3f} s: the exposure must be of the same times."
        )


def _mask(counts, exposure):
    """Pixels of the counts that are on the sky and exposed; None when all are.

    Gammapy can't print a dataset that has a mask and an exposure wider than the counts.
    """
    first = [(a - b) // 2 for a, b in zip(exposure.data.shape, counts.data.shape, strict=True)][1:]
    ny, nx = counts.data.shape[1:]
    seen = (exposure.data > 0).any(axis=0)[first[0] : first[0] + ny, first[1] : first[1] + nx]
    if seen.all():
        return None
    lost = counts.data[:, ~seen].sum()
    if lost:
        log.warning("%d counts are in pixels without exposure, which are masked.", lost)
    return Map.from_geom(counts.geom, data=np.broadcast_to(seen, counts.data.shape).copy())


def _meta(cube, exposures, counts, exposure, psf, drm, energy_margin):
    known = cube.selection
    row = {
        "TELESCOP": "Fermi-LAT",
        "INSTRUME": "LAT",
        "IRFS": str(exposures.selection.irfs or ""),
        "EVENT_TYPE": str(known.event_type),
        "EVENT_CLASS": str(known.event_class),
        "ZENITH_MAX": np.nan if known.zenith_max is None else float(known.zenith_max),
        "ENERGY_MARGIN": energy_margin,
        "SELECTION": json.dumps(known.to_dict()),
    }
    files = {"COUNTS": counts, "EXPOSURE": exposure, "PSF": psf, "DRM": drm}
    for key, value in files.items():
        is_path = isinstance(value, str | Path)
        row[key] = Path(value).name if is_path else type(value).__name__ if value else "none"
    return Table([row])
