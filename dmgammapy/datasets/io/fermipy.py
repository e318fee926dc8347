"""fermipy SED files (``sed_*.fits``): one row per bin in HDU 1.

Each bin has its own norms; ``dloglike_scan`` is ln L relative to its maximum. Files before
fermipy 0.14 have upper-case names and ``DFDE`` for ``dnde``.
"""

import numpy as np
from astropy.io import fits

from ._common import (
    UNITS,
    check_dloglike,
    check_stat,
    header_cards,
    header_fields,
    read_bins,
    set_cards,
)

__all__ = ["DESCRIPTION", "identify", "read", "write"]

DESCRIPTION = "fermipy SED, FITS (HDU 1: e_min, e_max, ref_*, norm_scan, dloglike_scan)"
REQUIRED = ("e_min", "e_max", "norm_scan", "dloglike_scan")
DEFAULT_UNITS = {
    "flux": "cm-2 s-1",
    "eflux": "MeV cm-2 s-1",
    "dnde": "MeV-1 cm-2 s-1",
    "e_ref": "MeV",
}
LAYOUTS = {
    "modern": "modern",
    "lower": "modern",
    "dnde": "modern",
    "upper": "upper",
    "dfde": "upper",
}
PHOTON_UNITS = {
    "flux": "ph / (cm2 s)",
    "eflux": "MeV / (cm2 s)",
    "dnde": "ph / (MeV cm2 s)",
    "e2dnde": "MeV / (cm2 s)",
}
UPPER_COLUMNS = (
    "e_min", "e_ref", "e_max", "ref_dnde_e_min", "ref_dnde_e_max", "ref_dnde", "ref_flux",
    "ref_eflux", "ref_npred", "norm", "norm_err", "norm_errp", "norm_errn", "norm_ul", "ts",
    "loglike", "norm_scan", "dloglike_scan", "mask_safe", "mask_fit",
)  # fmt: skip


def identify(source):
    """Return None if the file has this format, otherwise the reason why not."""
    if source.kind != "fits":
        return "not a FITS file"
    if not source.tables:
        return "no table HDU"
    if source.table("SCANDATA") is not None:
        return "has a SCANDATA HDU"
    table = source.tables[0][1]
    missing = [name for name in REQUIRED if name not in table]
    if missing:
        return f"{table.where} lacks {', '.join(missing)}"
    if "stat_scan" in table or str(table.header.get("SED_TYPE", "")).strip() == "likelihood":
        return "has the stat_scan or SED_TYPE of a GADF file"
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
    if source.kind != "fits":
        raise ValueError(f"{source.path}: a fermipy SED is a FITS file, this is {source.kind}.")
    if not source.tables:
        raise ValueError(
            f"{source.path}: no table HDU; expected energy bins in HDU 1. Was only the primary "
            "HDU copied?"
        )
    table = source.tables[0][1]
    return fields_from_table(source, table, default_instrument="fermi-lat")


def fields_from_table(source, table, default_instrument=None):
    """Arguments of `SEDLikelihoodDataset` from a table with ``dloglike_scan``."""
    table.require(REQUIRED)
    fields = read_bins(table, DEFAULT_UNITS)
    norm_scan = table.values("norm_scan", ndim=2)
    dloglike = table.values("dloglike_scan", ndim=2)
    fields["norm_scan"] = norm_scan
    fields["stat_scan"] = check_dloglike(norm_scan, dloglike, table.where)
    if "loglike" in table:
        fields["stat"] = -2.0 * check_stat(table, "loglike") + 0.0
    for name in ("mask_safe", "mask_fit"):
        fields[name] = table.flags(name)
    fields |= header_fields(table.header, default_instrument)
    fields["name"] = str(table.header.get("SRCNAME") or source.stem).strip()
    return fields


def write(dataset, path, layout="modern", checksum=False):
    """Write a dataset.

    Parameters
    ----------
    dataset : `SEDLikelihoodDataset`
    path : `~pathlib.Path`
    layout : {"modern", "upper"}
        Column names of today, or upper-case ones with ``DFDE`` as before fermipy 0.14
        (``"dfde"`` means the same). Default is ``modern``.
    checksum : bool
        Add ``CHECKSUM`` and ``DATASUM``. Default is False.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be 'modern' or 'upper', got {layout!r}.")
    upper = LAYOUTS[layout] == "upper"
    columns = _columns(dataset)
    if upper:
        columns = {name: columns[name] for name in UPPER_COLUMNS if name in columns}
        columns = {name.upper().replace("DNDE", "DFDE"): c for name, c in columns.items()}
    fits_columns = []
    for name, (values, unit) in columns.items():
        kind = "L" if values.dtype == bool else "D"
        if values.ndim == 2:
            kind, dim = f"{values.shape[1]}D", f"({values.shape[1]})"
            fits_columns.append(fits.Column(name, kind, unit, dim=dim, array=values))
        else:
            fits_columns.append(fits.Column(name, kind, unit, array=values))
    table = fits.BinTableHDU.from_columns(fits_columns, name=None if upper else "SED")
    table.header["UL_CONF"] = (0.95, "one-sided, from -2 ln L rising by 2.71")
    set_cards(table.header, header_cards(dataset), path.name)
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, checksum=checksum)


def _columns(dataset):
    """Columns of a fermipy table as (values, unit) by modern name, in fermipy's order."""
    edges = dataset.energy_edges.to_value(UNITS["energy"])
    e_ref = dataset.energy_ref.to_value(UNITS["energy"])
    columns = {
        "e_min": (edges[:-1], "MeV"),
        "e_ref": (e_ref, "MeV"),
        "e_max": (edges[1:], "MeV"),
    }
    if dataset.ref_dnde is not None:
        dnde = dataset.ref_dnde.to_value(UNITS["dnde"])
        slope = _local_slope(e_ref, dnde)
        unit = PHOTON_UNITS["dnde"]
        columns["ref_dnde_e_min"] = (dnde * (edges[:-1] / e_ref) ** slope, unit)
        columns["ref_dnde_e_max"] = (dnde * (edges[1:] / e_ref) ** slope, unit)
        columns["ref_dnde"] = (dnde, unit)
    if dataset.ref_flux is not None:
        columns["ref_flux"] = (dataset.ref_flux.to_value(UNITS["flux"]), PHOTON_UNITS["flux"])
    if dataset.ref_eflux is not None:
        columns["ref_eflux"] = (dataset.ref_eflux.to_value(UNITS["eflux"]), PHOTON_UNITS["eflux"])
    if dataset.ref_npred is not None:
        columns["ref_npred"] = (dataset.ref_npred, None)
    errn, errp = dataset.norm_errors()
    norms = {
        "": dataset.norm,
        "_err": np.where(np.isfinite(errn), 0.5 * (errn + errp), errp),
        "_errp": errp,
        "_errn": errn,
        "_ul": dataset.norm_ul(0.95),
    }
    if dataset.ref_dnde is not None:
        for name, factor in (("dnde", dnde), ("e2dnde", e_ref**2 * dnde)):
            for suffix, values in norms.items():
                columns[name + suffix] = (values * factor, PHOTON_UNITS[name])
    for suffix, values in norms.items():
        columns["norm" + suffix] = (values, None)
    columns["ts"] = (dataset.ts, None)
    if dataset.stat is not None:
        columns["loglike"] = (dataset.stat / -2.0 + 0.0, None)
    columns["norm_scan"] = (dataset.norm_scan, None)
    columns["dloglike_scan"] = (dataset.stat_scan / -2.0 + 0.0, None)
    for name in ("mask_safe", "mask_fit"):
        mask = getattr(dataset, name)
        if mask is not None:
            columns[name] = (mask, None)
    return columns


def _local_slope(energy, dnde):
    """Logarithmic slope of a spectrum at each of its points; -2 for a single one."""
    if len(energy) == 1:
        return np.array([-2.0])
    return np.gradient(np.log(dnde), np.log(energy))
