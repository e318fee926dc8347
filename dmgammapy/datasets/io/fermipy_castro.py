"""fermipy castro and TS cubes: ``EBOUNDS`` and ``SCANDATA`` with one row per target or pixel."""

import numpy as np
from astropy.io import fits
from astropy.table import Table

from ...utils import atomic_path
from ._common import (
    UNITS,
    check_ascii,
    check_dloglike,
    header_cards,
    header_fields,
    read_bins,
    set_cards,
)
from ._source import SEDFile
from .fermipy import DEFAULT_UNITS, PHOTON_UNITS

__all__ = ["DESCRIPTION", "castro_rows", "identify", "read", "write", "write_castro"]

SHARED_CARDS = ("INSTRUME", "NORMTYPE", "INTERP")  # one for all rows, or one can't be written
ROW_CARDS = ("LIVETIME", "DMMETA", "REFMODEL")  # columns, where rows differ
DESCRIPTION = "fermipy castro or TS cube, FITS (HDUs EBOUNDS and SCANDATA, one row per target)"


def identify(source):
    """Return None if the file has this format, otherwise the reason why not."""
    if source.kind != "fits":
        return "not a FITS file"
    missing = [name for name in ("EBOUNDS", "SCANDATA") if source.table(name) is None]
    return f"no HDU {' or '.join(missing)}" if missing else None


def _tables(source):
    reason = identify(source)
    if reason:
        raise ValueError(f"{source.path}: not a fermipy castro file, {reason}.")
    scans = source.table("SCANDATA")
    scans.require(["norm_scan", "dloglike_scan"])
    return source.table("EBOUNDS"), scans


def _targets(scans):
    return scans.strings("target") if "target" in scans else None


def castro_rows(path):
    """List the rows of a castro file.

    Parameters
    ----------
    path : str or `~pathlib.Path`

    Returns
    -------
    rows : `~astropy.table.Table`
        ``row``, ``target`` (empty in a cube of pixels) and ``ts`` (summed over bins, from the
        scans' own points).

    Examples
    --------
    >>> from dmgammapy.datasets.io import castro_rows
    >>> castro_rows("castro.fits")["target"]  # doctest: +SKIP
    """
    _, scans = _tables(SEDFile(path))
    dloglike = scans.raw("dloglike_scan")
    n_rows = len(dloglike)
    rows = Table()
    rows["row"] = np.arange(n_rows)
    rows["target"] = _targets(scans) or [""] * n_rows
    if "ts" in scans:
        ts = scans.raw("ts").astype(float)
        rows["ts"] = ts.reshape(n_rows, -1).sum(axis=1)
    return rows


def _select(source, scans, n_rows, row, target):
    targets = _targets(scans)
    if target is not None:
        if targets is None:
            raise ValueError(f"{scans.where}: no column 'target'; choose a row instead.")
        found = [index for index, name in enumerate(targets) if name == target]
        if not found:
            raise ValueError(
                f"{scans.where}: no target {target!r}; it has {', '.join(sorted(set(targets)))}."
            )
        if len(found) > 1:
            raise ValueError(
                f"{scans.where}: target {target!r} stands in rows {found}; choose one by row."
            )
        if row not in (None, found[0]):
            raise ValueError(f"{scans.where}: target {target!r} is row {found[0]}, not {row}.")
        row = found[0]
    if row is None:
        if n_rows != 1:
            some = f": {', '.join(targets[:5])}, ..." if targets else ""
            raise ValueError(
                f"{scans.where}: {n_rows} rows{some}; choose one with row= or target= "
                "(dmgammapy.datasets.io.castro_rows lists them)."
            )
        row = 0
    if not 0 <= row < n_rows:
        raise ValueError(f"{scans.where}: row {row} of {n_rows}; rows count from 0.")
    return row, (targets[row] if targets else None)


def read(source, row=None, target=None, allow_failed=False):
    """Read one row.

    Parameters
    ----------
    source : `~dmgammapy.datasets.io._source.SEDFile`
    row : int, optional
        Row of ``SCANDATA``, from 0.
    target : str, optional
        Entry of the column ``target``.
    allow_failed : bool
        Accept bins whose ``bin_status`` says that the fit failed. Default is False.

    Returns
    -------
    fields : dict
        Arguments of `SEDLikelihoodDataset`.
    """
    bounds, scans = _tables(source)
    fields = read_bins(bounds, DEFAULT_UNITS, lambda b: f"row {b} (from 0)")
    n_bins = len(fields["energy_edges"]) - 1
    raw = {}
    for name in ("norm_scan", "dloglike_scan"):
        values = scans.raw(name)
        n_rows = len(values)
        if n_rows == 0:
            raise ValueError(f"{scans.where}: no rows.")
        if values.ndim == 2 and n_bins and values.shape[1] % n_bins == 0:  # no TDIM
            values = values.reshape(n_rows, n_bins, -1)
        if values.dtype.kind != "f" or values.ndim != 3 or values.shape[1] != n_bins:
            raise ValueError(
                f"{scans.where}: {name} must have shape (n_rows, n_bins, n_points) with "
                f"{n_bins} bins as in EBOUNDS, got {values.shape}."
            )
        raw[name] = values
    row, found = _select(source, scans, n_rows, row, target)
    where = f"{scans.where}, row {row}" + (f" ({found})" if found else "")

    def place(b):
        return f"bin {b} (from 0)"

    if "bin_status" in scans and not allow_failed:
        status = scans.raw("bin_status")[row]
        if np.any(status != 0):
            bad = np.flatnonzero(status != 0).tolist()
            raise ValueError(
                f"{where}: bin_status says that the fit of bins {bad} failed. Pass "
                "allow_failed=True to use their scans all the same."
            )
    norm_scan = raw["norm_scan"][row].astype(float)
    dloglike = raw["dloglike_scan"][row].astype(float)
    fields["norm_scan"] = norm_scan
    fields["stat_scan"] = check_dloglike(norm_scan, dloglike, where, place)
    if "loglike" in scans:
        loglike = scans.raw("loglike")[row].astype(float)
        if loglike.shape != (n_bins,) or not np.isfinite(loglike).all():
            raise ValueError(f"{where}: loglike must be {n_bins} finite values.")
        fields["stat"] = -2.0 * loglike + 0.0
    for name in ("mask_safe", "mask_fit"):
        if name in scans:
            fields[name] = scans.flags(name)[row]
    if "ref_npred" in scans:
        fields["ref_npred"] = scans.values("ref_npred", ndim=2)[row]
    fields |= header_fields(_row_header(scans, row), "fermi-lat")
    fields["name"] = found or f"{source.stem}_{row}"
    return fields


def _row_header(scans, row):
    """Header entries that hold for one row."""
    header = dict(scans.header)
    for key in ROW_CARDS:
        if key.lower() in scans:
            value = scans.raw(key.lower())[row]
            text = str(value).strip()
            header[key] = None if text in ("", "nan") else text
    return header


def write(dataset, path, checksum=False):
    """Write a dataset as a castro file with one row."""
    _write([dataset], path, checksum)


def write_castro(datasets, path, overwrite=False):
    """Write datasets of equal energy bins and references as rows of one castro file.

    Parameters
    ----------
    datasets : list of `SEDLikelihoodDataset`
    path : str or `~pathlib.Path`
    overwrite : bool
        Replace an existing file. Default is False.

    Raises
    ------
    ValueError
        If energy bins, references, the number of scan points, instrument, ``norm_type`` or
        interpolation differ, or only some datasets have ``stat``.
    """
    with atomic_path(path, overwrite) as temporary:
        _write(list(datasets), temporary, checksum=False)


def _write(datasets, path, checksum):
    if not datasets:
        raise ValueError("No dataset to write.")
    first = datasets[0]
    names = [dataset.name for dataset in datasets]
    for dataset in datasets[1:]:
        if dataset.norm_scan.shape != first.norm_scan.shape:
            raise ValueError(
                f"Datasets {first.name!r} and {dataset.name!r} have scans of shape "
                f"{first.norm_scan.shape} and {dataset.norm_scan.shape}; one castro file needs "
                "equal ones."
            )
        for quantity in ("energy_edges", "energy_ref", "ref_flux", "ref_eflux", "ref_dnde"):
            a, b = getattr(first, quantity), getattr(dataset, quantity)
            if (a is None) != (b is None) or (a is not None and not np.array_equal(a, b)):
                raise ValueError(
                    f"Datasets {first.name!r} and {dataset.name!r} differ in {quantity}; one "
                    "castro file needs equal ones."
                )
        if (dataset.stat is None) != (first.stat is None):
            has, lacks = (dataset, first) if first.stat is None else (first, dataset)
            raise ValueError(
                f"Dataset {has.name!r} has stat, the absolute likelihood, and {lacks.name!r} has "
                "not; one castro file needs it of all or of none. Write two files."
            )
    edges = first.energy_edges.to_value(UNITS["energy"])
    n_bins, n_points = first.norm_scan.shape
    bounds = [
        fits.Column("CHANNEL", "I", array=np.arange(1, n_bins + 1)),
        fits.Column("E_MIN", "D", "MeV", array=edges[:-1]),
        fits.Column("E_MAX", "D", "MeV", array=edges[1:]),
        fits.Column("E_REF", "D", "MeV", array=first.energy_ref.to_value(UNITS["energy"])),
    ]
    for name in ("dnde", "flux", "eflux"):
        reference = getattr(first, f"ref_{name}")
        if reference is not None:
            values = reference.to_value(UNITS[name])
            bounds.append(fits.Column(f"REF_{name.upper()}", "D", PHOTON_UNITS[name], array=values))
    npreds = [d.ref_npred for d in datasets]
    same_npred = all(
        npred is not None and np.array_equal(npred, npreds[0], equal_nan=True) for npred in npreds
    )
    if same_npred:
        bounds.append(fits.Column("REF_NPRED", "D", array=first.ref_npred))
    per_bin = {
        "ts": [d.ts for d in datasets],
        "norm": [d.norm for d in datasets],
        "norm_ul": [d.norm_ul(0.95) for d in datasets],
    }
    errors = [d.norm_errors() for d in datasets]
    per_bin["norm_err"] = [np.where(np.isfinite(n), 0.5 * (n + p), p) for n, p in errors]
    if not same_npred and any(npred is not None for npred in npreds):
        missing = [d.name for d in datasets if d.ref_npred is None]
        if missing:
            raise ValueError(
                f"Datasets {', '.join(missing)} have no ref_npred where others have; one castro "
                "file needs it of all or of none. Write two files."
            )
        per_bin["ref_npred"] = npreds
    if first.stat is not None:
        per_bin["loglike"] = [d.stat / -2.0 + 0.0 for d in datasets]
    for name in names:
        check_ascii(name, "the name of a dataset", path.name)
    scans = [fits.Column("target", f"{max(map(len, names))}A", array=names)]
    for name, rows in per_bin.items():
        scans.append(fits.Column(name, f"{n_bins}D", dim=f"({n_bins})", array=np.array(rows)))
    dim = f"({n_points},{n_bins})"
    for name, rows in (
        ("norm_scan", [d.norm_scan for d in datasets]),
        ("dloglike_scan", [d.stat_scan / -2.0 + 0.0 for d in datasets]),
    ):
        scans.append(fits.Column(name, f"{n_bins * n_points}D", dim=dim, array=np.array(rows)))
    for name in ("mask_safe", "mask_fit"):
        masks = [getattr(d, name) for d in datasets]
        if any(mask is not None for mask in masks):
            rows = [np.ones(n_bins, bool) if mask is None else mask for mask in masks]
            dim = f"({n_bins})"
            scans.append(fits.Column(name, f"{n_bins}L", dim=dim, array=np.array(rows)))
    cards, columns = _cards(datasets)
    for key, values in columns.items():
        for value in values:
            check_ascii(value, key, path.name)
        kind = "D" if key == "LIVETIME" else f"{max(map(len, values))}A"
        scans.append(fits.Column(key.lower(), kind, array=values))
    scan_hdu = fits.BinTableHDU.from_columns(scans, name="SCANDATA")
    set_cards(scan_hdu.header, cards, path.name)
    bounds_hdu = fits.BinTableHDU.from_columns(bounds, name="EBOUNDS")
    fits.HDUList([fits.PrimaryHDU(), scan_hdu, bounds_hdu]).writeto(path, checksum=checksum)


def _cards(datasets):
    """Header entries that hold for all rows, and columns of those that differ."""
    cards = [dict(header_cards(dataset)) for dataset in datasets]
    for key in SHARED_CARDS:
        for dataset, card in zip(datasets, cards, strict=True):
            if card.get(key) != cards[0].get(key):
                raise ValueError(
                    f"One castro file needs datasets of one {key.lower()}, but "
                    f"{datasets[0].name!r} has {cards[0].get(key)!r} and {dataset.name!r} has "
                    f"{card.get(key)!r}. Write two files."
                )
    columns = {}
    for key in ROW_CARDS:
        values = [card.get(key) for card in cards]
        if any(value != values[0] for value in values):
            empty = np.nan if key == "LIVETIME" else ""
            columns[key] = [empty if value is None else value for value in values]
    shared = [(key, value) for key, value in cards[0].items() if key not in ("SRCNAME", *columns)]
    return shared, columns
