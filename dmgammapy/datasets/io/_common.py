"""What several SED formats share: columns of energies and references, headers, loglike."""

import json

import astropy.units as u
import numpy as np

from .._sed_checks import bin_edges, check_references, scan_lengths

__all__ = [
    "LOGLIKE_BELOW_MAXIMUM",
    "UNITS",
    "check_ascii",
    "check_dloglike",
    "header_fields",
    "header_cards",
    "read_bins",
    "set_cards",
]

UNITS = {
    "energy": u.Unit("MeV"),
    "flux": u.Unit("cm-2 s-1"),
    "eflux": u.Unit("MeV cm-2 s-1"),
    "dnde": u.Unit("MeV-1 cm-2 s-1"),
}
LOGLIKE_ABOVE_MAXIMUM = 0.05
LOGLIKE_BELOW_MAXIMUM = 5.0  # a scan of absolute ln L is hundreds away from 0


def row_place(row):
    """Name of a table row in errors."""
    return f"row {row} (from 0)"


def read_bins(table, default_units=None, place=row_place):
    """Energies and references of a table with one row per bin.

    Parameters
    ----------
    table : `~dmgammapy.datasets.io._source.TableHDU`
    default_units : dict, optional
        Units to assume, by kind (``flux``, ``eflux``, ``dnde``, ``e_ref``), where the file gives
        none.
    place : callable
        Gives the name of a bin's place from its index.

    Returns
    -------
    fields : dict
        ``energy_edges``, ``energy_ref``, ``ref_flux``, ``ref_eflux``, ``ref_dnde``, ``ref_npred``
        as `SEDLikelihoodDataset` takes them.
    """
    default_units = default_units or {}
    energy = UNITS["energy"]
    table.require(["e_min", "e_max"])
    e_min = table.quantity("e_min", energy)
    edges = bin_edges(e_min, table.quantity("e_max", energy), table.where, place)
    fields = {"energy_edges": u.Quantity(edges, energy, copy=False)}
    if "e_ref" in table:
        e_ref = table.quantity("e_ref", energy, default_units.get("e_ref"))
        bad = ~((e_ref > edges[:-1]) & (e_ref < edges[1:]))
        if bad.any():
            b = int(np.flatnonzero(bad)[0])
            raise ValueError(
                f"{table.where}, {place(b)}: e_ref = {e_ref[b]:g} MeV lies outside its bin, "
                f"{edges[b]:g}-{edges[b + 1]:g} MeV. Check the units of the energies."
            )
        fields["energy_ref"] = u.Quantity(e_ref, energy, copy=False)
    references = {}
    for name in ("flux", "eflux", "dnde"):
        column = f"ref_{name}"
        if column in table:
            references[name] = table.quantity(column, UNITS[name], default_units.get(name))
            fields[column] = u.Quantity(references[name], UNITS[name], copy=False)
    if not references:
        raise ValueError(
            f"{table.where}: none of the columns ref_eflux, ref_flux, ref_dnde; "
            "norms have no meaning without one."
        )
    check_references(edges, references, table.where, place)
    if "ref_npred" in table:
        fields["ref_npred"] = table.values("ref_npred")
    return fields


def check_dloglike(norm_scan, dloglike, where, place=row_place, what="dloglike_scan"):
    """Check a scan of ln L relative to its maximum; return -2 ln L."""
    scan_lengths(norm_scan, dloglike, where, place, what)
    highest = np.nanmax(dloglike, axis=1)
    bad = highest > LOGLIKE_ABOVE_MAXIMUM
    if bad.any():
        b = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"{where}, {place(b)}: {what} is relative to the maximum of ln L and can't be "
            f"positive, got {highest[b]:g}. Is the sign that of -ln L?"
        )
    bad = highest < -LOGLIKE_BELOW_MAXIMUM
    if bad.any():
        b = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"{where}, {place(b)}: {what} is relative to the maximum of ln L, but its highest "
            f"value is {highest[b]:g}. Subtract the maximum, or scan norms that reach it."
        )
    return -2.0 * dloglike + 0.0


def check_stat(table, name, place=row_place):
    """Finite values of a column that holds one likelihood per bin."""
    values = table.values(name)
    if not np.isfinite(values).all():
        b = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"{table.where}, {place(b)}: {name} must be finite, got {values[b]:g}.")
    return values


def header_fields(header, default_instrument=None):
    """Read what our writers leave in a header for a dataset."""
    instrument = str(header.get("INSTRUME") or "").strip() or default_instrument
    fields = {"instrument": "fermi-lat" if instrument == "LAT" else instrument}
    for key, field in (("NORMTYPE", "norm_type"), ("INTERP", "interpolation")):
        if header.get(key):
            fields[field] = str(header[key])
    if header.get("LIVETIME"):
        fields["livetime"] = u.Quantity(float(header["LIVETIME"]), "s")
    for key, field in (("DMMETA", "meta"), ("REFMODEL", "reference_model")):
        if header.get(key):
            fields[field] = json.loads(header[key])
    return fields


def header_cards(dataset, reference_model=None):
    """Header entries from which `header_fields` restores a dataset, as (keyword, value).

    ``reference_model`` stands for the dataset's own where norms were changed.
    """
    reference_model = reference_model or dataset.reference_model
    cards = [("SRCNAME", dataset.name)]
    if dataset.instrument:
        cards.append(("INSTRUME", dataset.instrument))
    cards += [("NORMTYPE", dataset.norm_type), ("INTERP", dataset.interpolation)]
    if dataset.livetime is not None:
        cards.append(("LIVETIME", float(dataset.livetime.to_value("s"))))
    if dataset.meta:
        cards.append(("DMMETA", json.dumps(dataset.meta, default=str)))
    if reference_model is not None:
        cards.append(("REFMODEL", json.dumps(reference_model.to_dict(full_output=True))))
    return cards


def check_ascii(text, what, where):
    """Refuse text that a FITS file can't hold."""
    if not str(text).isascii():
        raise ValueError(
            f"{where}: FITS holds ASCII text only, but {what} is {text!r}; rename it (for a "
            "dataset: dataset.copy(name=...)), or write a text format (gadf as .ecsv)."
        )


def set_cards(header, cards, where):
    """Put the entries of `header_cards` into a FITS header."""
    for key, value in cards:
        check_ascii(value, key, where)
        header[key] = value
