"""Public bin-by-bin likelihoods of Fermi-LAT dwarf spheroidals (``like_<target>.txt``).

Two comment lines, then rows ``emin emax eflux deltaLogLike`` in MeV, MeV and MeV cm-2 s-1, bin by
bin; ``deltaLogLike`` is +ln L. They come with Ackermann et al. 2015 (PRL 115, 231301), which took
a power law of index 2 in each of the 24 bins. What else a dataset holds and a limit needs (masks,
interpolation) is written into further comment lines ``# name=value``.
"""

import gzip
import json
import re

import astropy.units as u
import numpy as np

from .._sed_checks import bin_edges
from ._common import UNITS, check_dloglike

__all__ = ["DESCRIPTION", "identify", "read", "write"]

DESCRIPTION = "public Fermi-LAT dwarf likelihood, text (emin emax eflux deltaLogLike)"
HEADER = "#[0]emin(MeV) [1]emax(MeV) [2]eflux(MeV/cm^2/s) [3]deltaLogLike"
COLUMNS = ("emin(MeV)", "emax(MeV)", "eflux(MeV/cm^2/s)", "deltaLogLike")
N_BINS, N_POINTS = 24, 25
MASKS = ("mask_safe", "mask_fit")
EXTRAS = (*MASKS, "interpolation", "instrument", "livetime", "meta")


def _column_line(line):
    """Names of ``#[0]a [1]b ...``, or None."""
    if not re.match(r"#\s*\[0\]", line):
        return None
    return tuple(part.strip() for part in re.split(r"\[\d+\]", line)[1:])


def identify(source):
    """Return None if the file has this format, otherwise the reason why not."""
    if source.kind != "text":
        return "not a text file"
    for line in source.text.splitlines()[:10]:
        names = _column_line(line)
        if names:
            if "deltaLogLike" in names:
                return None
            return f"its columns are {', '.join(names)}"
    return f"no line {HEADER!r} at the top"


def _rows(source):
    """Numbers and line numbers of the file, and what its comments say."""
    where = source.name
    rows, lines, names, columns, layout, extras = [], [], [], None, None, {}
    for number, line in enumerate(source.text.splitlines(), start=1):
        line = line.strip()
        if not line:
            continue
        if line.startswith("#"):
            columns = _column_line(line) or columns
            if match := re.match(r"###\s*like_(.+?)(\.txt)?\s*$", line):
                names.append(match[1])
            if match := re.match(r"#\s*n_bins\s*=\s*(\d+)\s+n_points\s*=\s*(\d+)", line):
                layout = int(match[1]), int(match[2])
            if match := re.match(rf"#\s*({'|'.join(EXTRAS)})\s*=\s*(.*)$", line):
                extras[match[1]] = _extra(match[1], match[2], f"{where}, line {number}")
            if len(names) > 1:
                raise ValueError(
                    f"{where}, line {number}: a second target, {names[1]}, begins after "
                    f"{names[0]}. Split the file into one per target."
                )
            continue
        parts = line.split()
        if len(parts) != 4:
            raise ValueError(
                f"{where}, line {number}: expected 4 columns, emin emax eflux deltaLogLike, "
                f"got {len(parts)}: {line[:60]!r}."
            )
        try:
            values = [float(part) for part in parts]
        except ValueError:
            raise ValueError(
                f"{where}, line {number}: expected 4 numbers, got {line[:60]!r}."
            ) from None
        rows.append(values)
        lines.append(number)
    if columns is None:
        raise ValueError(
            f"{where}: no line {HEADER!r}, so the units are unknown. Add it if they are these."
        )
    if columns != COLUMNS:
        raise ValueError(
            f"{where}: columns must be {', '.join(COLUMNS)}, got {', '.join(columns)}. "
            "Convert the file to these units."
        )
    if not rows:
        raise ValueError(f"{where}: no rows after the comments; the file is empty or truncated.")
    return np.array(rows), np.array(lines), names, layout, extras


def _extra(name, text, where):
    """Value of a comment ``# name=value``."""
    if name in MASKS:
        if not re.fullmatch("[01]+", text):
            raise ValueError(f"{where}: {name} must be one 0 or 1 for each bin, got {text!r}.")
        return np.array([digit == "1" for digit in text])
    if name == "livetime":
        try:
            return u.Quantity(float(text), "s")
        except ValueError:
            raise ValueError(
                f"{where}: livetime must be a number of seconds, got {text!r}."
            ) from None
    if name == "meta":
        try:
            return dict(json.loads(text))
        except (ValueError, TypeError):
            raise ValueError(f"{where}: meta must be a JSON object, got {text[:60]!r}.") from None
    return text


def _split_bins(rows, lines, where, layout):
    """Rows as (n_bins, n_points, 4) and the first line of each bin."""
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"{where}, line {lines[at]}: values must be finite, got {rows[at].tolist()}."
        )
    starts = np.flatnonzero(np.append(True, (np.diff(rows[:, :2], axis=0) != 0).any(axis=1)))
    sizes = np.diff(np.append(starts, len(rows)))
    seen = {}
    for start in starts:
        key = tuple(rows[start, :2])
        if key in seen:
            raise ValueError(
                f"{where}, line {lines[start]}: bin {key[0]:g}-{key[1]:g} MeV occurs again, first "
                f"at line {lines[seen[key]]}. Rows of one bin must stand together; one file holds "
                "one target."
            )
        seen[key] = start
    n_bins, n_points = layout
    for start, size in zip(starts, sizes, strict=True):
        if size != n_points:
            raise ValueError(
                f"{where}, line {lines[start]}: bin {rows[start, 0]:g}-{rows[start, 1]:g} MeV has "
                f"{size} rows, expected {n_points}; rows are missing or repeated."
            )
    if len(starts) != n_bins:
        raise ValueError(
            f"{where}: {len(starts)} energy bins, expected {n_bins}; the file may be truncated. "
            "Pass n_bins= if it is meant so."
        )
    return rows.reshape(n_bins, n_points, 4), lines[starts]


def read(source, n_bins=None, n_points=None, index=2.0):
    """Read a file.

    Norms are energy fluxes in units of a reference for each bin: the power of two next to the
    energy flux at which -2 ln L has risen by 1 from its minimum, so that they are of order one and
    the numbers of the file come back exactly.

    Parameters
    ----------
    source : `~dmgammapy.datasets.io._source.SEDFile`
    n_bins, n_points : int, optional
        Expected layout. Default is what the file's comment says, otherwise 24 and 25.
    index : float
        Index of the power law within a bin, which sets ``ref_flux`` and ``ref_dnde``. Default
        is 2, that of the release.

    Returns
    -------
    fields : dict
        Arguments of `SEDLikelihoodDataset`.
    """
    if source.kind != "text":
        raise ValueError(f"{source.path}: expected a text file, this is {source.kind}.")
    where = source.name
    rows, lines, names, said, extras = _rows(source)
    layout = said or (N_BINS, N_POINTS)
    layout = (n_bins or layout[0], n_points or layout[1])
    table, first_lines = _split_bins(rows, lines, where, layout)

    def place(b):
        return f"bin from line {first_lines[b]}"

    edges = bin_edges(table[:, 0, 0], table[:, 0, 1], where, place)
    for name in MASKS:
        if name in extras and len(extras[name]) != len(table):
            raise ValueError(
                f"{where}: {name} has {len(extras[name])} digits for {len(table)} bins; give one "
                "for each bin."
            )
    eflux, dloglike = table[:, :, 2], table[:, :, 3]
    stat_scan = check_dloglike(eflux, dloglike, where, place, "deltaLogLike")
    ref_eflux = _reference_eflux(eflux, stat_scan)
    flux_ratio, dnde_ratio = _power_law_ratios(edges, index)
    return {
        "energy_edges": u.Quantity(edges, UNITS["energy"], copy=False),
        "norm_scan": eflux / ref_eflux[:, np.newaxis],
        "stat_scan": stat_scan,
        "ref_eflux": u.Quantity(ref_eflux, UNITS["eflux"], copy=False),
        "ref_flux": u.Quantity(ref_eflux * flux_ratio, UNITS["flux"], copy=False),
        "ref_dnde": u.Quantity(ref_eflux * dnde_ratio, UNITS["dnde"], copy=False),
        "instrument": "fermi-lat",
        "name": _target_name(source, names),
    } | extras


def _target_name(source, names):
    inside = names[0] if names else None
    match = re.match(r"like_(.+)\.txt(\.gz)?$", source.name)
    outside = match[1] if match else None
    if inside and outside and inside != outside:
        raise ValueError(
            f"{source.name}: the name says target {outside}, its first line {inside}. "
            "Rename the file or correct the line."
        )
    return inside or outside or source.stem


def _reference_eflux(eflux, stat_scan):
    """Power of two near the energy flux where ``stat`` has risen by 1, shape (n_bins,)."""
    best = np.argmin(stat_scan, axis=1)
    reference = np.empty(len(eflux))
    for b, k in enumerate(best):
        above = np.flatnonzero(stat_scan[b, k:] >= stat_scan[b, k] + 1) + k
        reference[b] = eflux[b, above[0]] if len(above) else eflux[b, -1]
    reference = np.where(reference > 0, reference, np.abs(eflux).max(axis=1))
    return 2.0 ** np.round(np.log2(reference))


def _power_law_ratios(edges, index):
    """``flux / eflux`` [MeV-1] and ``dnde / eflux`` [MeV-2] of a power law in each bin."""
    e_min, e_max = edges[:-1], edges[1:]
    centre = np.sqrt(e_min * e_max)

    def moment(power):  # of (E / centre)^power dE
        low, high = e_min / centre, e_max / centre
        if power == -1:
            return centre * np.log(high / low)
        return centre * (high ** (power + 1) - low ** (power + 1)) / (power + 1)

    eflux = centre * moment(1 - index)
    return moment(-index) / eflux, 1 / eflux


def write(dataset, path, checksum=False):
    """Write a dataset: energy bins, likelihoods, masks and how scans are interpolated.

    Not kept are the absolute likelihood, ``ref_npred``, ``reference_model`` and ``energy_ref``;
    ``ref_flux`` and ``ref_dnde`` become those of the power law that `read` takes. Nothing of this
    changes a limit, because only datasets whose norms are energy fluxes are accepted.

    Parameters
    ----------
    dataset : `SEDLikelihoodDataset`
    path : `~pathlib.Path`
        A name that ends in ``.gz`` is compressed.
    checksum : bool
        Has no meaning for text.

    Raises
    ------
    ValueError
        If the dataset holds what the format can't and a limit needs.
    """
    if dataset.ref_eflux is None:
        raise ValueError(
            f"{path.name}: this format needs ref_eflux, which dataset {dataset.name!r} lacks."
        )
    if np.isnan(dataset.norm_scan).any():
        raise ValueError(
            f"{path.name}: this format needs the same number of scan points in every bin."
        )
    if dataset.norm_type != "eflux":
        raise ValueError(
            f"{path.name}: this format holds energy fluxes, but norms of dataset "
            f"{dataset.name!r} are compared by norm_type={dataset.norm_type!r}, which would give "
            "other limits after reading; set norm_type='eflux' or write the format 'fermipy'."
        )
    edges = dataset.energy_edges.to_value(UNITS["energy"])
    eflux = dataset.norm_scan * dataset.ref_eflux.to_value(UNITS["eflux"])[:, np.newaxis]
    dloglike = dataset.stat_scan / -2.0 + 0.0
    match = re.match(r"like_(.+)\.txt(\.gz)?$", path.name)
    lines = [f"### like_{match[1] if match else dataset.name}.txt", HEADER]
    if eflux.shape != (N_BINS, N_POINTS):
        lines.append(f"# n_bins={eflux.shape[0]} n_points={eflux.shape[1]}")
    lines += [f"# {name}={text}" for name, text in _written_extras(dataset).items()]
    for b in range(len(eflux)):
        low, high = repr(float(edges[b])), repr(float(edges[b + 1]))
        for x, y in zip(eflux[b], dloglike[b], strict=True):
            lines.append(f"{low:<22} {high:<22} {float(x)!r:<24} {float(y)!r}")
    content = ("\n".join(lines) + "\n").encode("utf-8")
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _written_extras(dataset):
    """Text by name of what the rows don't say and `read` wouldn't assume."""
    texts = {}
    for name in MASKS:
        mask = getattr(dataset, name)
        if mask is not None:
            texts[name] = "".join("1" if used else "0" for used in mask)
    if dataset.interpolation != "poisson":
        texts["interpolation"] = dataset.interpolation
    if dataset.instrument not in (None, "fermi-lat"):
        texts["instrument"] = dataset.instrument
    if dataset.livetime is not None:
        texts["livetime"] = repr(float(dataset.livetime.to_value("s")))
    if dataset.meta:
        texts["meta"] = json.dumps(dataset.meta, default=str)
    return texts
