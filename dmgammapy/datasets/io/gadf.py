"""GADF likelihood SED (``SED_TYPE = likelihood``), the format of Gammapy's ``FluxPoints``.

One row per bin in a FITS table or ECSV file. Gammapy writes ``stat_scan`` (absolute -2 ln L) on
norms common to all bins and repeats them in every row; it reads the norms of the first row only,
so that is what is written here too. The specification's ``dloglike_scan`` is read as well.
"""

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import Table

from .._sed_checks import check_scans
from .._sed_estimates import common_norms
from .._sed_flux_points import common_reference, is_template
from ._common import UNITS, check_stat, header_cards, header_fields, read_bins, row_place, set_cards
from .fermipy import fields_from_table

__all__ = ["DESCRIPTION", "identify", "read", "write"]

DESCRIPTION = "GADF likelihood SED, FITS or ECSV (norm_scan with stat_scan or dloglike_scan)"
# Gammapy's confidence level is two-sided: 1.645 sigma is its 90 %, our 95 % upper limit
UL_CONF_TWO_SIDED = 0.9


def _candidates(source):
    return [
        table
        for _, table in source.tables
        if "norm_scan" in table
        and ("stat_scan" in table or ("dloglike_scan" in table and _is_likelihood(table)))
    ]


def _is_likelihood(table):
    return str(table.header.get("SED_TYPE", "")).strip() == "likelihood"


def identify(source):
    """Return None if the file has this format, otherwise the reason why not."""
    if source.kind == "text":
        return "neither FITS nor ECSV"
    if not source.tables:
        return "no table HDU"
    if source.table("SCANDATA") is not None:
        return "has a SCANDATA HDU"
    if not _candidates(source):
        return "no table with norm_scan and stat_scan"
    return None


def read(source):
    """Read a file.

    Parameters
    ----------
    source : `~dmgammapy.datasets.io._source.SEDFile`

    Returns
    -------
    fields : dict
        Arguments of `SEDLikelihoodDataset`.
    """
    tables = _candidates(source)
    if len(tables) != 1:
        found = "; ".join(f"{t.where} has {', '.join(t.names)}" for _, t in source.tables)
        raise ValueError(
            f"{source.path}: expected one table with columns norm_scan and stat_scan, got "
            f"{len(tables)} ({found or 'no table'})."
        )
    table = tables[0]
    sed_type = str(table.header.get("SED_TYPE", "likelihood")).strip()
    if sed_type != "likelihood":
        raise ValueError(
            f"{table.where}: SED_TYPE is {sed_type!r}, so its norms are not those of the scans; "
            'write the flux points with sed_type="likelihood".'
        )
    if "stat_scan" not in table:
        return fields_from_table(source, table)
    fields = read_bins(table)
    norm_scan = table.values("norm_scan", ndim=2)
    stat_scan = table.values("stat_scan", ndim=2)
    if "stat" in table:
        stat = check_stat(table, "stat")
    else:
        with np.errstate(all="ignore"):
            stat = np.nanmin(np.where(np.isfinite(stat_scan), stat_scan, np.inf), axis=1)
    fields["norm_scan"] = norm_scan
    fields["stat_scan"] = stat_scan - stat[:, np.newaxis]
    fields["stat"] = stat
    check_scans(norm_scan, fields["stat_scan"], table.where, row_place)
    for name in ("mask_safe", "mask_fit"):
        fields[name] = table.flags(name)
    fields |= header_fields(table.header)
    fields["name"] = str(table.header.get("SRCNAME") or source.stem).strip()
    return fields


def write(dataset, path, n_points=200, checksum=False):
    """Write a dataset; the suffix ``.ecsv`` gives ECSV, others FITS.

    Gammapy takes the norms of the first row for all, and joins ``ref_dnde`` to the spectrum of norm
    1. Where bins have norms of their own, or references that don't form a spectrum, norms are
    brought to those of a power law of index 2 and the likelihood is resampled.

    Parameters
    ----------
    dataset : `SEDLikelihoodDataset`
    path : `~pathlib.Path`
    n_points : int
        Number of common norms where bins have their own. Default is 200.
    checksum : bool
        Add ``CHECKSUM`` and ``DATASUM`` (FITS). Default is False.
    """
    norm_scan, stat_scan = dataset.norm_scan, dataset.stat_scan
    references = {name: getattr(dataset, f"ref_{name}") for name in UNITS if name != "energy"}
    scale, model = np.ones(dataset.n_bins), dataset.reference_model
    common = not np.isnan(norm_scan).any() and (norm_scan == norm_scan[0]).all()
    if not (common and is_template(dataset)):
        model, references, scale = common_reference(dataset)
        norms = common_norms(dataset.scans, dataset.norm, n_points, scale)
        norm_scan = np.tile(norms, (dataset.n_bins, 1))
        stat_scan = dataset.scans.stat(norms / scale[:, np.newaxis])
    stat = np.zeros(dataset.n_bins) if dataset.stat is None else dataset.stat
    edges = dataset.energy_edges.to(UNITS["energy"])
    errn, errp = dataset.norm_errors()
    table = Table()
    table["e_ref"] = dataset.energy_ref.to(UNITS["energy"])
    table["e_min"] = edges[:-1]
    table["e_max"] = edges[1:]
    for name, reference in references.items():
        if reference is not None:
            table[f"ref_{name}"] = u.Quantity(reference, UNITS[name])
    if dataset.ref_npred is not None:
        table["ref_npred"] = dataset.ref_npred / scale
    table["norm"] = dataset.norm * scale
    table["norm_err"] = np.where(np.isfinite(errn), 0.5 * (errn + errp), errp) * scale
    table["norm_errp"] = errp * scale
    table["norm_errn"] = errn * scale
    table["norm_ul"] = dataset.norm_ul(0.95) * scale
    table["ts"] = dataset.ts
    table["stat"] = stat
    table["stat_null"] = stat + dataset.scans.stat(np.zeros(dataset.n_bins))
    table["stat_scan"] = stat[:, np.newaxis] + stat_scan
    table["norm_scan"] = norm_scan
    for name in ("mask_safe", "mask_fit"):
        mask = getattr(dataset, name)
        if mask is not None:
            table[name] = mask
    table.meta["SED_TYPE"] = "likelihood"
    table.meta["UL_CONF"] = UL_CONF_TWO_SIDED
    cards = header_cards(dataset, model)
    if path.suffix == ".ecsv":
        table.meta.update(cards)
        table.write(path, format="ascii.ecsv")
        return
    hdu = fits.table_to_hdu(table)
    hdu.name = "FLUXPOINTS"
    set_cards(hdu.header, cards, path.name)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, checksum=checksum)
