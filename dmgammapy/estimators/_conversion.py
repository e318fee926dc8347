"""From scans of energy bins to profiles of the signal strength: arrays only."""

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import astropy.units as u
import numpy as np

from . import _kernels as kernels
from ._mirrored_scans import MirroredScans
from ._wall_kernels import replace_near_poles
from .lattice import BASE_STEP, LatticeProfiles, step_for_ts

__all__ = ["FLUX_UNITS", "SpectraKey", "convert", "convert_rows", "unit_flux"]

# The lattice of a row begins where the signal changes stat by less than START_STAT and ends some
# decades (at least MARGIN, more for a wide J prior) above the point where a single bin has excluded
# it by TOP_STAT.
START_STAT = 1e-3
TOP_STAT = 100.0
MARGIN = 2.0
# The table of a bin reaches from TABLE_BELOW decades under to TABLE_ABOVE decades over the norm
# at which its stat has risen by TABLE_STAT.
TABLE_BELOW, TABLE_ABOVE, TABLE_STAT = 9.0, 6.0, 4.0
# Scans that begin above norm 0 are extrapolated between 0 and their first point. It counts if that
# changes stat by more than GAP_STAT, at strengths where stat is within GAP_REACH of its minimum.
GAP_STAT, GAP_REACH, GAP_DECADES = 0.1, 9.0, 8.0
YIELD_UNITS = {"flux": u.Unit(""), "eflux": u.Unit("GeV"), "dnde": u.Unit("GeV-1")}
FLUX_UNITS = {name: unit * u.Unit("cm-2 s-1") for name, unit in YIELD_UNITS.items()}
# Straight lines have kinks, which a lattice of the usual step would round off.
LINEAR_STEP = BASE_STEP / 8
FINEST_STEP = BASE_STEP / 2**8


@lru_cache(maxsize=64)
def unit_flux(spectra, edges, energy_ref, masses, channels, process, norm_type, k, redshift):
    """Flux of every bin for J = 1 and unit signal strength, and where it is valid.

    Arguments are hashable forms; the flux has the shape (channel, mass, bin) in cm-2 s-1,
    GeV cm-2 s-1 or GeV-1 cm-2 s-1.
    """
    spectra = spectra.spectra
    energy = np.frombuffer(edges) * u.GeV
    center = np.frombuffer(energy_ref) * u.GeV
    mass = np.frombuffer(masses) * u.GeV
    names = [dict(c) if isinstance(c, tuple) else c for c in channels]
    valid = spectra.is_valid(mass, names, process=process)
    z = 1.0 + redshift
    yields = spectra.integrate(
        energy * z, mass, names, process=process, norm_type=norm_type, energy_ref=center * z
    )
    yields = (
        yields.to_value(YIELD_UNITS[norm_type]) / {"flux": z, "eflux": z**2, "dnde": 1.0}[norm_type]
    )
    m = mass.value[:, None]
    factor = 1 / (4 * np.pi * k * m**2) if process == "annihilation" else 1 / (4 * np.pi * m)
    flux = yields * factor
    if not (np.isfinite(flux[valid]).all() and (flux[valid] >= 0).all()):
        raise ValueError(f"spectra {spectra.name}: negative or invalid flux.")
    flux = np.where(valid[..., None], flux, 0.0)
    flux.setflags(write=False)
    return flux, valid


class SpectraKey:
    """Hashable handle of spectra, so that equal ones share cached operators."""

    def __init__(self, spectra):
        self.spectra = spectra
        try:
            self._key = repr(spectra.source)
        except ValueError:  # a table in memory is equal to itself only
            self._key = id(spectra)

    def __hash__(self):
        return hash(self._key)

    def __eq__(self, other):
        return self.spectra is other.spectra or (
            self._key == other._key and self.spectra == other.spectra
        )


def convert(
    scans, keep, amplitude, prior_width, step=None, n_norm=None, n_negative=None, negative=True
):
    """Profiles on the lattice from scans of bins.

    Rows in which every bin with flux was scanned at negative norms, too, get profiles of negative
    signals. They end where the first bin's likelihood does, see `MirroredScans`. Where those need
    a finer lattice, as few counts far below the background do, the positive ones get it, too.

    Parameters
    ----------
    scans : `~dmgammapy.datasets.LikelihoodScans`
    keep : bool array, shape (n_bin_of_scans,)
        Bins to use.
    amplitude : array, shape (n_row, n_bin)
        Norm per unit strength of the bins used.
    prior_width : float
        Width of the J-factor prior in dex, for which the profiles must reach further.
    step : float, optional
        Lattice step. Default is one that resolves the likelihood.
    n_norm, n_negative : int, optional
        Least number of nodes, and of those of negative signals.
    negative : bool
        Convert what lies at negative norms. Default is True.

    Returns
    -------
    profiles : LatticeProfiles
    """
    profiles = _convert(scans, keep, amplitude, prior_width, step, n_norm)
    if not negative or not (scans.norm_min[keep] < 0).any():
        return profiles
    mirrored = MirroredScans(scans, profiles.step)
    missing = ((amplitude > 0) & ~mirrored.reaches[keep]).any(axis=1)
    if (missing | profiles.empty).all():
        return profiles
    held = np.where(missing[:, None], 0.0, amplitude)
    fine = profiles.step
    while True:
        below = _convert(mirrored, keep, held, prior_width, fine, n_negative, mirrored.log10_wall)
        with np.errstate(divide="ignore"):
            if step is not None or mirrored.resolves(keep, np.log10(held), below):
                break
        if fine <= FINEST_STEP:
            break
        fine /= 2
        mirrored = MirroredScans(scans, fine)
    if fine < profiles.step:
        profiles = _convert(scans, keep, amplitude, prior_width, fine, n_norm)
    return replace(profiles, negative=below)


def _convert(scans, keep, amplitude, prior_width, step, n_norm, log10_wall=None):
    """`convert` for signals of one sign, whose rows end at the first bin's wall."""
    tables = _tabulate(scans, keep, step, log10_wall)
    step = tables.step
    with np.errstate(divide="ignore"):
        log_amplitude = np.log10(amplitude)  # -inf where a bin gets no flux
    # where the first bin notices the signal, and where the first one has excluded it
    bottom = (tables.log10_begin - log_amplitude).min(axis=1)
    top = (tables.log10_top - log_amplitude).min(axis=1)
    end = (tables.log10_end - log_amplitude).min(axis=1)
    empty = ~np.isfinite(bottom)
    top = np.minimum(top + max(MARGIN, 1.0 + 5.0 * prior_width), end)
    last = np.full(len(top), np.inf)
    if log10_wall is not None:
        last = np.floor((log10_wall[keep] - log_amplitude).min(axis=1) / step + 1e-9)
    n_row = len(amplitude)
    if empty.all():
        n_norm, start = n_norm or 8, np.zeros(n_row, dtype=np.int64)
    else:
        stop = np.minimum(np.ceil(np.where(empty, 0, top) / step), last + 1).astype(np.int64)
        start = np.floor(np.where(empty, 0, bottom) / step).astype(np.int64)
        n_norm = max(int((stop - start)[~empty].max()), n_norm or 8)
        start = stop - n_norm
        start[empty] = start[~empty][0]
    position = np.where(amplitude > 0, log_amplitude / step, np.nan)
    values = np.empty((n_row, n_norm))
    kernels.apply_spectra(tables.stat, tables.first, position, start, values)
    near = None if log10_wall is None else scans.near_poles(keep, log_amplitude)
    if near is not None:
        replace_near_poles(tables.stat, tables.first, position, start, *near, values)
    values[empty] = 0.0
    reach = (np.log10(scans.norm_max[keep]) - log_amplitude).min(axis=1)
    return LatticeProfiles(
        step=step,
        start=start,
        values=values + tables.zero_stat,
        zero=np.full(n_row, tables.zero_stat),
        empty=empty,
        extrapolated=np.where(empty, np.inf, reach),
        gap=_gap(scans, keep, log_amplitude, step * start, step, values),
    )


def _gap(scans, keep, log_amplitude, log_start, step, values):
    """log10 of the strengths between which extrapolation below the scans matters.

    Parameters
    ----------
    scans, keep
        As for `convert`.
    log_amplitude : array, shape (n_row, n_bin)
        log10 of norm per unit strength.
    log_start : array, shape (n_row,)
        log10 of the first strength.
    step : float
    values : array, shape (n_row, n_norm)
        ``stat`` relative to zero signal.

    Returns
    -------
    gap : array, shape (n_row, 2)
        (inf, -inf) where it does not matter.
    """
    late = scans.norm_min > 0
    gap = np.tile([np.inf, -np.inf], (len(values), 1))
    if not late[keep].any():
        return gap
    first = np.where(late, scans.norm_min, 1.0)
    norm = first[:, None] * np.append(0.0, np.logspace(-GAP_DECADES, 0, 161))
    # as it is extrapolated, and as it would be if it went down as it goes up inside the scan
    change = [np.abs(s - s[:, :1]) for s in map(scans.stat, (norm, 2 * first[:, None] - norm))]
    matters = np.maximum(*change) > GAP_STAT / late[keep].sum()
    with np.errstate(divide="ignore"):
        begin = np.log10(norm[np.arange(len(norm)), np.argmax(matters, axis=1)])
    held = (late & matters.any(axis=1))[keep] & np.isfinite(log_amplitude)
    begin = np.where(held, begin[keep] - log_amplitude, np.inf)
    end = np.where(held, np.log10(first[keep]) - log_amplitude, -np.inf)
    near = values <= (np.minimum(values.min(axis=1), 0) + GAP_REACH)[:, None]
    last = values.shape[1] - 1 - np.argmax(near[:, ::-1], axis=1)
    within = begin <= (log_start + step * last)[:, None]
    gap[:, 0] = np.where(within, begin, np.inf).min(axis=1)
    gap[:, 1] = np.where(within, end, -np.inf).max(axis=1)
    return gap


def convert_rows(scans, amplitude, prior_width):
    """Profiles of rows that have one scan each.

    Parameters
    ----------
    scans : list of `~dmgammapy.datasets.LikelihoodScans` with one bin
    amplitude : array, shape (n_row,)
        Norm per unit strength; 0 for a row without signal.
    prior_width : float
        As for `convert`.

    Returns
    -------
    profiles : LatticeProfiles
    """
    one = np.ones(1, dtype=bool)
    step = min(
        convert(scan, one, np.array([[a]]), prior_width).step
        if scan.norm_min[0] < 0
        else _tabulate(scan, one).step
        for scan, a in zip(scans, amplitude, strict=True)
    )

    def rows(n_norm, n_negative):
        return [
            convert(scan, one, np.array([[a]]), prior_width, step, n_norm, n_negative)
            for scan, a in zip(scans, amplitude, strict=True)
        ]

    def longest(parts):
        return max((part.n_norm for part in parts if part is not None), default=None)

    parts = rows(None, None)
    parts = rows(longest(parts), longest([part.negative for part in parts]))
    profiles = _concatenate(parts)
    mirrors = [part.negative for part in parts]
    n_negative = longest(mirrors)
    if n_negative is None:
        return profiles
    nothing = LatticeProfiles(
        step, np.zeros(1, np.int64), np.zeros((1, n_negative)), np.zeros(1), one, np.full(1, np.inf)
    )
    return replace(profiles, negative=_concatenate([m or nothing for m in mirrors]))


def _concatenate(parts):
    """Rows of all parts, which have the same number of nodes."""
    return LatticeProfiles(
        step=parts[0].step,
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("start", "values", "zero", "empty", "extrapolated", "gap")
        },
    )


class _Tables(NamedTuple):
    """Likelihoods of all bins on the norm lattice.

    Attributes
    ----------
    stat : array, shape (n_bin, n_table)
        Relative to zero norm.
    first : int array, shape (n_bin,)
        Lattice index of the first entry.
    step : float
        Lattice step in dex.
    zero_stat : float
        Sum of the bins' ``stat`` at zero norm.
    log10_begin, log10_top, log10_end : arrays, shape (n_bin,)
        log10 of the norm at which ``stat`` begins to change, has excluded the signal (both inf if
        it never does), and at which the table ends.
    """

    stat: np.ndarray
    first: np.ndarray
    step: float
    zero_stat: float
    log10_begin: np.ndarray
    log10_top: np.ndarray
    log10_end: np.ndarray


def _tabulate(scans, keep, step=None, log10_wall=None):
    """Tables of the bins ``keep``, with a step that resolves their likelihood."""
    n_bin = int(keep.sum())
    decades = np.arange(-10, 6.001, 0.125)
    coarse_norm = scans.norm_max[:, None] * 10.0**decades
    both = scans.stat(np.concatenate([np.zeros((scans.n_bins, 1)), coarse_norm], axis=1))
    zero, coarse = both[:, 0], both[:, 1:] - both[:, :1]
    lowest = np.minimum(coarse.min(axis=1), 0)
    ts = float(-lowest[keep].sum())  # at least the total TS
    if step is None:
        step = step_for_ts(ts)
        if scans.interpolation == "linear":
            step = min(step, LINEAR_STEP)
    # the norm from which on a bin stays excluded by TABLE_STAT sets the scale of its table
    above = coarse - lowest[:, None] > TABLE_STAT
    last_inside = coarse.shape[1] - 1 - np.argmax(~above[:, ::-1], axis=1)
    last_inside = np.where(above.all(axis=1), -1, last_inside)
    scale = coarse_norm[np.arange(len(zero)), np.minimum(last_inside + 1, len(decades) - 1)]
    if log10_wall is not None:
        scale = np.where(np.isfinite(log10_wall), 10.0**log10_wall, scale)
    first = np.floor((np.log10(scale) - TABLE_BELOW) / step).astype(np.int64)
    n_table = int((TABLE_BELOW + TABLE_ABOVE) / step)
    log_norm = step * (first[:, None] + np.arange(n_table))
    stat = scans.stat(10.0**log_norm) - zero[:, None]

    noticed = np.abs(stat) > START_STAT / n_bin
    begin = np.take_along_axis(log_norm, np.argmax(noticed, axis=1)[:, None], axis=1)[:, 0]
    begin = np.where(noticed.any(axis=1), begin, np.inf)
    inside = stat <= (lowest + TOP_STAT + ts)[:, None]
    last = n_table - 1 - np.argmax(inside[:, ::-1], axis=1)
    top = np.take_along_axis(log_norm, last[:, None], axis=1)[:, 0]
    top = np.where(last < n_table - 1, top, np.inf)
    return _Tables(
        np.ascontiguousarray(stat[keep]), first[keep], step, float(zero[keep].sum()),
        begin[keep], top[keep], log_norm[keep, -1],
    )  # fmt: skip
