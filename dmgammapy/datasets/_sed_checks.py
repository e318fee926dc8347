"""Checks that every SED likelihood passes, whatever file or object it comes from."""

import numpy as np

__all__ = ["bin_edges", "check_references", "check_scans", "scan_lengths"]

EDGE_RTOL = 1e-4  # rounding that published tables show between neighbouring bins
MEAN_ENERGY_RTOL = 2e-3
# A scan may exceed the maximum it refers to by what a minimiser leaves (0.011 in the public
# Fermi-LAT dwarf likelihoods), in units of -2 ln L.
STAT_BELOW_MINIMUM = 0.1


def _first(mask):
    return int(np.flatnonzero(mask)[0])


def bin_edges(e_min, e_max, where, place="row {}".format):
    """Join bins to edges; they must ascend and touch each other.

    Parameters
    ----------
    e_min, e_max : array, shape (n_bins,)
        Bin limits in MeV.
    where : str
        File and table, as errors name them.
    place : callable
        Gives the name of a bin's place from its index.

    Returns
    -------
    edges : array, shape (n_bins + 1,)
        In MeV; ``e_min`` and the last ``e_max``, unchanged.
    """
    if len(e_min) == 0:
        raise ValueError(f"{where}: no energy bins; expected one row per bin.")
    for name, values in (("lower", e_min), ("upper", e_max)):
        bad = ~(np.isfinite(values) & (values > 0))
        if bad.any():
            b = _first(bad)
            raise ValueError(
                f"{where}, {place(b)}: the {name} energy must be positive and finite, "
                f"got {values[b]:g} MeV."
            )
    bad = e_max <= e_min
    if bad.any():
        b = _first(bad)
        raise ValueError(
            f"{where}, {place(b)}: an energy bin must ascend, got {e_min[b]:g}-{e_max[b]:g} MeV."
        )
    step = e_min[1:] / e_max[:-1] - 1
    bad = np.abs(step) > EDGE_RTOL
    if bad.any():
        b = _first(bad)
        two = f"{e_min[b]:g}-{e_max[b]:g} MeV then {e_min[b + 1]:g}-{e_max[b + 1]:g} MeV"
        if e_min[b + 1] == e_min[b]:
            remedy = "Remove the repeated bin"
        elif step[b] < 0:
            remedy = "Sort the bins; if two targets share the table, split it"
        else:
            remedy = "Bins are missing; cut the table to the contiguous part that you want"
        raise ValueError(
            f"{where}, {place(b + 1)}: energy bins must be contiguous and ascend, got {two}. "
            f"{remedy}."
        )
    return np.append(e_min, e_max[-1])


def scan_lengths(norm_scan, stat_scan, where, place="row {}".format, what="stat_scan"):
    """Check that scans are usable and count the points of each bin.

    Rows may end in NaN in both arrays where a bin has fewer points than others.

    Parameters
    ----------
    norm_scan, stat_scan : array, shape (n_bins, n_points)
    where, place
        As for `bin_edges`.
    what : str
        Name of the second array in errors.

    Returns
    -------
    n_points : array of int, shape (n_bins,)
    """
    if norm_scan.ndim != 2 or norm_scan.shape != stat_scan.shape:
        raise ValueError(
            f"{where}: norm_scan and {what} must have the same shape (n_bins, n_points), "
            f"got {norm_scan.shape} and {stat_scan.shape}."
        )
    n_bins, width = norm_scan.shape
    if width < 3:
        raise ValueError(f"{where}: a scan needs at least 3 points, got {width}.")
    good = np.isfinite(norm_scan) & np.isfinite(stat_scan)
    if not good.all():
        padding = np.isnan(norm_scan) & np.isnan(stat_scan)
        padding &= np.logical_and.accumulate(padding[:, ::-1], axis=1)[:, ::-1]
        bad = ~(good | padding)
        if bad.any():
            b, k = (int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"{where}, {place(b)}: scan point {k} is norm {norm_scan[b, k]:g}, "
                f"{what} {stat_scan[b, k]:g}; both must be finite."
            )
    n_points = good.sum(axis=1)
    if (n_points < 3).any():
        b = _first(n_points < 3)
        raise ValueError(f"{where}, {place(b)}: a scan needs at least 3 points, got {n_points[b]}.")
    falls = np.diff(norm_scan, axis=1) <= 0
    if falls.any():
        b, k = (int(i) for i in np.argwhere(falls)[0])
        raise ValueError(
            f"{where}, {place(b)}: norms of a scan must ascend, got {norm_scan[b, k]:g} then "
            f"{norm_scan[b, k + 1]:g} (points {k} and {k + 1})."
        )
    return n_points


def check_scans(norm_scan, stat_scan, where, place="row {}".format):
    """Check scans of ``stat`` relative to each bin's minimum; return the points per bin."""
    n_points = scan_lengths(norm_scan, stat_scan, where, place)
    lowest = np.nanmin(stat_scan, axis=1)
    bad = lowest < -STAT_BELOW_MINIMUM
    if bad.any():
        b = _first(bad)
        raise ValueError(
            f"{where}, {place(b)}: -2 ln L falls to {lowest[b]:g} although it is relative to its "
            "minimum, 0. Check the sign (files hold +ln L), or subtract the minimum."
        )
    ends = np.maximum(stat_scan[:, 0], stat_scan[np.arange(len(n_points)), n_points - 1])
    hump = np.nanmax(stat_scan, axis=1) - ends
    # tables are rounded, so what counts is a hump that is large beside the scan's own range
    bad = hump > np.maximum(STAT_BELOW_MINIMUM, 0.01 * (np.nanmax(stat_scan, axis=1) - lowest))
    if bad.any():
        b = _first(bad)
        raise ValueError(
            f"{where}, {place(b)}: -2 ln L has a maximum inside its scan, {hump[b]:g} above both "
            "ends. Check its sign and the order of its points."
        )
    return n_points


def check_references(edges, references, where, place="row {}".format):
    """Check reference fluxes: positive, and of one spectrum within each bin.

    Parameters
    ----------
    edges : array, shape (n_bins + 1,)
        In MeV.
    references : dict of str to array or None
        ``"flux"`` [cm-2 s-1], ``"eflux"`` [MeV cm-2 s-1], ``"dnde"`` [MeV-1 cm-2 s-1], each of
        shape (n_bins,).
    """
    n_bins = len(edges) - 1
    known = {name: values for name, values in references.items() if values is not None}
    for name, values in known.items():
        if values.shape != (n_bins,):
            raise ValueError(
                f"{where}: ref_{name} must have one value per bin, shape ({n_bins},), "
                f"got {values.shape}."
            )
        bad = ~(np.isfinite(values) & (values > 0))
        if bad.any():
            b = _first(bad)
            raise ValueError(
                f"{where}, {place(b)}: ref_{name} must be positive and finite, got {values[b]:g}."
            )
    if "flux" in known and "eflux" in known:
        mean = known["eflux"] / known["flux"]
        bad = (mean < edges[:-1] * (1 - MEAN_ENERGY_RTOL)) | (
            mean > edges[1:] * (1 + MEAN_ENERGY_RTOL)
        )
        if bad.any():
            b = _first(bad)
            raise ValueError(
                f"{where}, {place(b)}: ref_eflux / ref_flux is a photon energy of {mean[b]:g} MeV "
                f"outside its bin, {edges[b]:g}-{edges[b + 1]:g} MeV. Check the units of energies "
                "and fluxes."
            )
    if "dnde" in known and ("flux" in known or "eflux" in known):
        width = np.diff(edges)
        if "flux" in known:
            ratio, name = known["flux"] / (known["dnde"] * width), "flux"
        else:
            centre = np.sqrt(edges[:-1] * edges[1:])
            ratio, name = known["eflux"] / (known["dnde"] * width * centre), "eflux"
        bad = (ratio < 1e-2) | (ratio > 1e2)
        if bad.any():
            b = _first(bad)
            raise ValueError(
                f"{where}, {place(b)}: ref_{name} is {ratio[b]:.3g} times what ref_dnde gives over "
                f"{edges[b]:g}-{edges[b + 1]:g} MeV. Check the units of energies and fluxes."
            )
