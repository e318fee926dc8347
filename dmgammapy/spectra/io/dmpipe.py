"""dmpipe's ``dm_spectra_*.fits``: fluxes in energy bins for a reference J and cross section.

HDU ``EBOUNDS`` (``E_MIN, E_MAX, E_REF``) and HDU ``SPECDATA`` with one row per channel and mass:
``ref_mass`` [GeV], ``ref_chan`` (code of a channel, + 100 for decay), ``ref_dnde``, ``ref_flux``,
``ref_eflux``, for ``REF_J``, ``REF_SIGV``, ``REF_D`` and ``REF_TAU`` of its header.
"""

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import QTable

from ..binned import BinnedSpectra

__all__ = ["read_dmpipe"]

_CODES = dict(enumerate("e mu tau b t g W Z c u d s".split(), start=1))
_DECAY = 100
_UNITS = {"ref_dnde": "MeV-1 cm-2 s-1", "ref_flux": "cm-2 s-1", "ref_eflux": "MeV cm-2 s-1"}


def read_dmpipe(path, source=None):
    r"""Read a spectral table of dmpipe.

    Fluxes become yields: an annihilation row of mass m holds
    F = J sigmav / (8 pi m^2) N. dmpipe's decay rows of mass m hold the spectrum of annihilation
    at mass m, F = D / (4 pi m tau) N, with the endpoint at m; the decay of a mass M ends at M/2 and
    is served here from mass M/2, like from any table. They are used for channels that have no
    annihilation rows. dmpipe doesn't know thresholds: rows below them, unless empty, are taken as
    they are.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    source : str, optional
        How the spectra call themselves.

    Returns
    -------
    spectra : `~dmgammapy.spectra.BinnedSpectra`
        Bin-integrated spectra.

    Raises
    ------
    ValueError
        If a part is missing, a unit is wrong, bins have gaps, rows are double or values aren't
        finite.
    """
    try:
        with fits.open(path) as hdus:
            bins, rows = _read_hdu(hdus, "EBOUNDS"), _read_hdu(hdus, "SPECDATA")
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path.name}: not a complete spectral table of dmpipe ({error}); expected the HDUs "
            "EBOUNDS and SPECDATA."
        ) from error
    name = path.name
    edges, energy_ref = _read_edges(name, bins)
    mass = _column(name, rows, "ref_mass", "GeV")
    codes = np.asarray(_column(name, rows, "ref_chan", None), dtype=int)
    yields = {}
    for key, unit in _UNITS.items():
        values = _column(name, rows, key, unit)
        if values.shape != (len(rows), len(edges) - 1):
            raise ValueError(
                f"{name}: expected {key} of shape {(len(rows), len(edges) - 1)}, got "
                f"{values.shape}."
            )
        yields[key] = values * _yield_per_flux(name, rows.meta, mass, codes)[:, np.newaxis]
    masses = np.unique(mass)
    channels, chosen = _choose_rows(name, codes)
    shape = (len(channels), len(masses), len(edges) - 1)
    tables = {key: np.zeros(shape) for key in yields}
    filled = np.zeros(shape[:2], dtype=bool)
    for row in np.flatnonzero(chosen):
        place = (channels.index(_CODES[codes[row] % _DECAY]), np.searchsorted(masses, mass[row]))
        if filled[place]:
            raise ValueError(
                f"{name}, row {row + 1} of SPECDATA: channel code {codes[row]} and mass "
                f"{mass[row]:g} GeV come twice."
            )
        filled[place] = True
        for key, table in tables.items():
            table[place] = yields[key][row]
    return BinnedSpectra(
        name,
        channels,
        masses,
        edges / 1e3,
        energy_ref / 1e3,
        tables["ref_flux"],
        tables["ref_eflux"] / 1e3,
        tables["ref_dnde"] * 1e3,
        source=source,
    )


def _read_hdu(hdus, name):
    table = QTable.read(hdus[name], mask_invalid=False)
    if len(table) == 0:
        raise KeyError(f"HDU {name} has no row")
    return table


def _column(name, table, key, unit):
    """Finite, non-negative values of a column, whatever the case of its name."""
    names = {column.lower(): column for column in table.colnames}
    if key.lower() not in names:
        raise ValueError(f"{name}: no column {key}, got {', '.join(table.colnames)}.")
    values = table[names[key.lower()]]
    if np.ma.is_masked(values):
        raise ValueError(f"{name}: column {key} has empty entries.")
    if unit is not None:
        found = getattr(values, "unit", None)
        if found is None:
            raise ValueError(f"{name}: column {key} has no unit, expected {unit}.")
        try:
            # FITS writes photons as a unit, ph
            values = u.Quantity(values).to_value(unit, equivalencies=_PHOTONS)
        except u.UnitConversionError as error:
            raise ValueError(f"{name}: column {key} is in {found}, expected {unit}.") from error
    values = np.asarray(values, dtype=float)
    if not np.all(np.isfinite(values) & (values >= 0)):
        row = int(np.argwhere(~(np.isfinite(values) & (values >= 0)))[0][0])
        raise ValueError(f"{name}, row {row + 1}: column {key} must be finite and not negative.")
    return values


_PHOTONS = [
    (u.Unit(unit) * u.ph, u.Unit(unit)) for unit in ("MeV-1 cm-2 s-1", "cm-2 s-1", "MeV cm-2 s-1")
]


def _read_edges(name, bins):
    low, high = (_column(name, bins, key, "MeV") for key in ("E_MIN", "E_MAX"))
    energy_ref = _column(name, bins, "E_REF", "MeV")
    if not (np.all(low > 0) and np.all(high > low)):
        raise ValueError(f"{name}: every bin needs 0 < E_MIN < E_MAX.")
    if not np.allclose(high[:-1], low[1:], rtol=1e-6):
        row = int(np.argmax(~np.isclose(high[:-1], low[1:], rtol=1e-6)))
        raise ValueError(
            f"{name}, row {row + 2} of EBOUNDS: energy bins must be contiguous, got "
            f"{low[row]:g}-{high[row]:g} MeV then {low[row + 1]:g}-{high[row + 1]:g} MeV."
        )
    if not np.all((energy_ref >= low) & (energy_ref <= high)):
        raise ValueError(f"{name}: E_REF must lie in its bin.")
    return np.append(low, high[-1]), energy_ref


def _yield_per_flux(name, header, mass, codes):
    """Photons per process over flux [cm2 s], per row."""
    decay = codes > _DECAY
    factor = np.zeros(len(mass))
    for rows, keys in ((~decay, ("REF_J", "REF_SIGV")), (decay, ("REF_D", "REF_TAU"))):
        if not np.any(rows):
            continue
        try:
            first, second = (float(header[key]) for key in keys)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{name}: the header of SPECDATA has no number {' or '.join(keys)}."
            ) from error
        if not (first > 0 and second > 0):
            raise ValueError(f"{name}: {' and '.join(keys)} must be positive.")
        if keys[0] == "REF_J":
            factor[rows] = 8 * np.pi * mass[rows] ** 2 / (first * second)
        else:
            factor[rows] = 4 * np.pi * mass[rows] * second / first
    return factor


def _choose_rows(name, codes):
    """Channels, and which rows give their yields."""
    unknown = sorted(set(codes % _DECAY) - set(_CODES)) + sorted(codes[codes >= 2 * _DECAY])
    if unknown:
        raise ValueError(
            f"{name}: unknown channel code {', '.join(map(str, unknown))} in ref_chan; known are 1 "
            f"to {len(_CODES)} ({', '.join(_CODES.values())}), + {_DECAY} for decay."
        )
    annihilation = set(codes[codes < _DECAY])
    chosen = (codes < _DECAY) | ~np.isin(codes % _DECAY, list(annihilation))
    channels = [_CODES[code] for code in sorted(set(codes % _DECAY))]
    return channels, chosen
