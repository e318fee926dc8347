"""What the formats share: checks of likelihood tables, joining channels, one common grid."""

import astropy.units as u
import numpy as np

from ..castro_maps import STRENGTH_UNITS, CastroMaps

__all__ = [
    "check_log10_jfactor",
    "check_masses",
    "check_scan",
    "check_strength",
    "common_strengths",
    "join_channels",
    "require_untreated",
]

GAP_FACTOR = 1.8  # a step this much wider than both its neighbours lacks a row
MASS_RTOL = 1e-6
EXTEND_STAT = 25.0  # rise of stat from which on the shape of a profile does not matter any more
ZERO_MATCH = 1e-6


def check_log10_jfactor(value, where):
    """Check that a number can be a log10 of a J-factor [GeV2 cm-5] or D-factor [GeV cm-2]."""
    if not np.isfinite(value):
        raise ValueError(f"{where}: log10 of the J-factor must be finite, got {value}.")
    if not 5 < value < 35:
        raise ValueError(
            f"{where}: log10 of the J-factor [GeV2 cm-5] must lie between 5 and 35, got "
            f"{value:g}. Is it J itself, or in other units?"
        )
    return float(value)


def check_masses(masses, where):
    """Check masses in GeV: positive, ascending."""
    masses = np.atleast_1d(np.asarray(masses, dtype=float))
    if masses.ndim != 1 or not masses.size:
        raise ValueError(f"{where}: expected a list of masses, got the shape {masses.shape}.")
    bad = ~(np.isfinite(masses) & (masses > 0))
    if bad.any():
        raise ValueError(f"{where}: masses must be positive, got {masses[bad][0]:g}.")
    step = np.diff(masses)
    if not (step > 0).all():
        i = int(np.argmin(step > 0))
        what = "comes twice" if step[i] == 0 else f"is followed by {masses[i + 1]:g}"
        raise ValueError(f"{where}: masses must ascend, but {masses[i]:g} {what}.")
    return masses


def check_strength(strength, where, place):
    """Check a grid of signal strengths.

    Parameters
    ----------
    strength : array, shape (n_norm,)
        In ascending order.
    where : str
        File (and part of it) as errors name it.
    place : callable
        Gives the name of a value's place in the file from its index.
    """
    if len(strength) < 4:
        raise ValueError(f"{where}: needs at least 4 signal strengths, got {len(strength)}.")
    bad = ~np.isfinite(strength) | (strength < 0)
    if bad.any():
        i = int(np.argmax(bad))
        raise ValueError(
            f"{where}, {place(i)}: the signal strength must be a number >= 0, got "
            f"{strength[i]:g}. Is it a logarithm?"
        )
    step = np.diff(strength)
    if not (step > 0).all():
        i = int(np.argmin(step > 0))
        what = "comes twice" if step[i] == 0 else f"is out of order beside {strength[i]:g}"
        raise ValueError(
            f"{where}, {place(i + 1)}: the signal strength {strength[i + 1]:g} {what}."
        )
    log = np.diff(np.log10(strength[strength > 0]))
    # not the first step: tables may begin with one far smaller value
    if len(log) > 2:
        gap = np.flatnonzero(log[1:-1] > GAP_FACTOR * np.maximum(log[:-2], log[2:]))
        if gap.size:
            i = int(gap[0]) + 1 + int(strength[0] == 0)
            raise ValueError(
                f"{where}, {place(i + 1)}: rows are missing between the signal strengths "
                f"{strength[i]:.4g} and {strength[i + 1]:.4g} (the steps beside are half as "
                "wide). If the table is meant to be like that, use CastroMaps.from_scan."
            )


def check_scan(stat, where, place):
    """Check -2 ln L: finite, and not best at the strongest signal; find rows without information.

    Parameters
    ----------
    stat : array, shape (n_mass, n_norm)
        Strengths ascending.
    where : str
    place : callable
        Gives the name of a value's place from its mass index and norm index.

    Returns
    -------
    empty : bool array, shape (n_mass,)
        Rows that are flat.
    """
    bad = ~np.isfinite(stat)
    if bad.any():
        mass, norm = (int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{where}, {place(mass, norm)}: the likelihood must be finite, got {stat[mass, norm]}."
        )
    empty = np.ptp(stat, axis=1) == 0
    falling = ~empty & (stat[:, -1] <= stat.min(axis=1))
    if falling.any():
        mass = int(np.argmax(falling))
        raise ValueError(
            f"{where}, {place(mass, stat.shape[1] - 1)}: the likelihood is best at the strongest "
            "signal of the table. Expected -2 ln L, rising there: is the sign that of ln L, or "
            "does the table end too early?"
        )
    return empty


def join_channels(parts, meta):
    """Put tables of several channels into one result.

    Parameters
    ----------
    parts : dict
        By canonical channel: dict with ``masses`` [GeV] (n_mass,), ``strength`` (n_norm,) or
        (n_mass, n_norm), ``stat`` (n_mass, n_norm), ``empty`` (n_mass,), ``offset`` (n_mass,)
        and ``where``, the place errors name.
    meta : `~dmgammapy.estimators.CastroMetaData`

    Returns
    -------
    castro : `~dmgammapy.estimators.CastroMaps`
        On all masses that occur; those a channel does not have are without information.
    """
    masses = _union([part["masses"] for part in parts.values()])
    first = next(iter(parts.values()))
    n_norm = first["stat"].shape[1]
    shape = (len(parts), len(masses))
    stat = np.zeros((*shape, n_norm))
    strength = np.full((*shape, n_norm), np.nan)
    offset, empty = np.zeros(shape), np.ones(shape, dtype=bool)
    notes = []
    for i, (channel, part) in enumerate(parts.items()):
        if part["stat"].shape[1] != n_norm:
            raise ValueError(
                f"{part['where']}: {part['stat'].shape[1]} signal strengths, but {n_norm} in "
                f"{first['where']}; read the channels one by one."
            )
        rows = [int(np.argmin(np.abs(masses - m))) for m in part["masses"]]
        stat[i, rows] = part["stat"]
        strength[i, rows] = part["strength"]
        offset[i, rows] = part.get("offset", 0.0)
        empty[i, rows] = part["empty"]
        if empty[i].any():
            values = ", ".join(f"{m:g}" for m in masses[empty[i]])
            notes.append(f"no information for {channel} at {values} GeV in {part['where']}.")
    absent = np.isnan(strength[..., 0])
    strength[absent] = strength[~absent][0]
    same = (strength == strength[0, 0]).all()
    nodes = strength[0, 0] / strength[0, 0, -1]
    if not np.allclose(strength, strength[..., -1:] * nodes, rtol=1e-6, atol=0):
        odd = ~np.isclose(strength, strength[..., -1:] * nodes, rtol=1e-6, atol=0).all(axis=2)
        i = int(np.argwhere(odd)[0][0])
        where = list(parts.values())[i]["where"]
        raise ValueError(
            f"{where}: its signal strengths are not those of {first['where']} times a factor; "
            "read the channels one by one."
        )
    meta.notes = [*meta.notes, *notes]
    unit = STRENGTH_UNITS[meta.process]
    return CastroMaps.from_scan(
        (strength[0, 0] if same else strength) * unit, stat, masses * u.GeV, list(parts),
        empty=empty, stat_offset=offset, meta=meta,
    )  # fmt: skip


def _union(masses):
    """All masses of several lists, equal ones (to 1e-6) once."""
    every = np.sort(np.concatenate(masses))
    keep = np.append(True, np.diff(every) > MASS_RTOL * every[1:])
    return every[keep]


def require_untreated(castro, path, name):
    """Refuse results a format that only knows plain tables would misrepresent."""
    if castro.geom.axes.names != ["mass", "channel"]:
        raise ValueError(
            f"{path}: {name} holds the axes mass and channel only, got {castro.geom.axes.names}; "
            "write the parts from iter_by_axis."
        )
    if castro.meta.jfactor_method not in (None, "fixed"):
        raise ValueError(
            f"{path}: the J-factor of this result has been treated "
            f"({castro.meta.jfactor_method}); {name} can't say so and its readers would treat it "
            "again. Write the results of the single targets, before stacking."
        )


def common_strengths(castro, path):
    """Profiles of all masses and channels on the same signal strengths.

    Where the masses have their own grids they are brought to one; beyond its grid, where it has
    risen by 25 or more, a profile continues linearly in the signal.

    Parameters
    ----------
    castro : `~dmgammapy.estimators.CastroMaps`
    path : `~pathlib.Path`
        As errors name it.

    Returns
    -------
    strength : array, shape (n_norm,)
        Ascending, positive [cm3 s-1 or s-1].
    stat : array, shape (n_channel, n_mass, n_norm)
        Relative to the lowest value of each profile; 0 where there is no information.

    Raises
    ------
    ValueError
        If a profile ends before it has risen enough.
    """
    reference = castro["reference"].data[..., 0, 0]
    scan = castro.delta_stat
    empty = castro.is_empty
    known = reference[~empty]
    if known.size == 0:
        raise ValueError(f"{path}: no mass and channel of the result holds information.")
    if (known == known[0]).all():
        strength, stat = known[0] * castro.norm_axis.center.value[1:], scan[..., 1:]
    else:
        strength, stat = _on_one_grid(castro, path)
    lowest = stat.min(axis=-1)
    stat = np.where(empty[..., None], 0.0, stat - lowest[..., None])
    zero = np.where(empty, 0.0, scan[..., 0] - lowest)
    # readers continue the first two points to zero signal: make sure that gives what it was
    slope = (stat[..., 1] - stat[..., 0]) / (strength[1] - strength[0])
    if np.abs(stat[..., 0] - slope * strength[0] - zero).max() > ZERO_MATCH:
        below = zero + 0.1 * (stat[..., 0] - zero)
        strength = np.append(0.1 * strength[0], strength)
        stat = np.concatenate([below[..., None], stat], axis=-1)
    return strength, stat


def _on_one_grid(castro, path):
    steps = np.diff(np.log10(castro.norm_axis.center.value[1:]))
    step = castro._native_step
    if np.ptp(steps) > 1e-6 * step:  # a finer grid makes up for interpolating twice
        step = 0.5 * float(np.median(steps))
    profiles = castro._to_lattice(step)
    n_norm = profiles.n_norm
    full = ~profiles.empty
    low, high = int(profiles.start[full].min()), int(profiles.stop[full].max())
    strength = 10.0 ** (step * np.arange(low, high))
    stat = np.zeros((len(profiles.start), high - low))
    labels = [f"{c}, {m:g}" for c in castro.channels for m in castro.masses]
    for row in np.flatnonzero(full):
        values, zero = profiles.values[row], profiles.zero[row]
        first = profiles.start[row] - low
        own = 10.0 ** (step * np.arange(n_norm))
        stat[row, first : first + n_norm] = values
        below = 10.0 ** (step * np.arange(-first, 0))
        stat[row, :first] = zero + (values[0] - zero) * below
        n_above = high - low - first - n_norm
        if n_above:
            rise = values[-1] - min(values.min(), zero)
            if rise < EXTEND_STAT:
                end = 10.0 ** (step * (profiles.stop[row] - 1))
                raise ValueError(
                    f"{path}: one grid of signal strengths for all masses would have to continue "
                    f"the profile of {labels[row]} GeV beyond {end:.3g} {castro['reference'].unit},"
                    f" where stat has risen by {rise:.3g} only. Write fewer masses (slice_by_mass)."
                )
            slope = (values[-1] - values[-2]) / (own[-1] - own[-2])
            above = 10.0 ** (step * np.arange(n_norm, n_norm + n_above))
            stat[row, first + n_norm :] = values[-1] + slope * (above - own[-1])
    return strength, stat.reshape(*castro.delta_stat.shape[:2], -1)
