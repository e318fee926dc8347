"""What dmpipe's likelihood and limit files share: channels, masses, J-factor."""

import astropy.units as u
import numpy as np
from astropy.io import fits

from dmgammapy.spectra import canonical_channel

from ._files import column, single_row
from ._tables import check_masses

__all__ = [
    "CHANNEL_CODES", "DECAY_NOTE", "PRIOR_COLUMNS", "REFERENCES", "channel_hdus", "column_names",
    "masses_by_channel", "read_context",
]  # fmt: skip

CHANNEL_CODES = {
    "e": ("ee", 1), "mu": ("mumu", 2), "tau": ("tautau", 3), "b": ("bb", 4), "t": ("tt", 5),
    "g": ("gg", 6), "W": ("ww", 7), "Z": ("zz", 8), "c": ("cc", 9), "u": ("uu", 10),
    "d": ("dd", 11), "s": ("ss", 12),
}  # fmt: skip
"""dmpipe's name and number of each channel; those of decay have ``_decay`` and 100 more."""

REFERENCES = {"annihilation": ("ref_J", "ref_sigmav"), "decay": ("ref_D", "ref_tau")}
PRIOR_COLUMNS = ("prior_type", "prior_mean", "prior_sigma", "prior_applied")
DECAY_NOTE = (
    "decay as dmpipe computes it: its spectra are those of annihilation at the full mass, which "
    "end at m instead of m / 2."
)


def column_names(hdu):
    return hdu.columns.names if isinstance(hdu, fits.BinTableHDU) else []


def channel_hdus(source, process, channels, needed):
    """HDUs by canonical channel, and the process."""
    found = {"annihilation": {}, "decay": {}}
    for hdu in source.hdus[1:]:
        if hdu.name == "MASSES":
            continue
        where = f"{source.path}, HDU {hdu.name}"
        single_row(hdu, where)
        missing = [name for name in needed if name not in hdu.columns.names]
        if missing:
            limits = "mles" in hdu.columns.names
            hint = " (this file holds limits: use read_dmpipe_limits)" if limits else ""
            raise ValueError(
                f"{where}: missing column {', '.join(missing)}; found "
                f"{', '.join(hdu.columns.names)}{hint}."
            )
        name = hdu.name.lower()
        kind = "decay" if name.endswith("_decay") else "annihilation"
        try:
            channel = canonical_channel(name.removesuffix("_decay"))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        if channel in found[kind]:
            raise ValueError(f"{where}: the channel {channel} comes twice.")
        found[kind][channel] = hdu
    present = [kind for kind, hdus in found.items() if hdus]
    if process is None:
        if len(present) != 1:
            what = "both annihilation and decay; choose with process=" if present else "no channel"
            raise ValueError(f"{source.path}: the file holds {what}.")
        process = present[0]
    if not found.get(process):
        raise ValueError(f"{source.path}: no channel of {process!r}; the file holds {present}.")
    hdus = found[process]
    if channels is None:
        return hdus, process
    wanted = [channels] if isinstance(channels, str) else list(channels)
    wanted = [canonical_channel(name) for name in wanted]
    absent = [name for name in wanted if name not in hdus]
    if absent:
        raise ValueError(
            f"{source.path}: no channel {', '.join(absent)}; present are {', '.join(hdus)}."
        )
    return {name: hdus[name] for name in wanted}, process


def read_context(hdu, process, where):
    """J-factor, reference strength and prior of a channel."""
    astro_name, strength_name = REFERENCES[process]
    strength_unit = "s" if process == "decay" else "cm3 s-1"
    context = {
        "astro": column(hdu, "astro_value", where, ndim=1)[0],
        "reference_astro": column(hdu, astro_name, where, ndim=1)[0],
        "reference": column(hdu, strength_name, where, strength_unit, ndim=1)[0],
        "prior": None,
    }
    if not (np.isfinite(context["reference"]) and context["reference"] > 0):
        raise ValueError(f"{where}: {strength_name} must be positive, got {context['reference']}.")
    if "prior_type" in hdu.columns.names:
        row = hdu.data[0]
        mean, sigma = (column(hdu, name, where, ndim=1)[0] for name in PRIOR_COLUMNS[1:3])
        if "prior_applied" not in hdu.columns.names:
            raise ValueError(f"{where}: missing column 'prior_applied'.")
        if not (np.isfinite(mean) and mean > 0 and np.isfinite(sigma) and sigma >= 0):
            raise ValueError(
                f"{where}: prior_mean must be positive and prior_sigma not negative, got {mean} "
                f"and {sigma}."
            )
        context["prior"] = (str(row["prior_type"]).strip(), mean, sigma, bool(row["prior_applied"]))
    return context


def masses_by_channel(source, n_masses, given):
    """Masses [GeV] of every channel.

    Parameters
    ----------
    source : `TableFile`
    n_masses : dict
        Number of masses the channel's arrays have, by channel.
    given : dict or None
        Masses the user gives, by channel.
    """
    names = [hdu.name for hdu in source.hdus]
    if "MASSES" not in names:
        raise ValueError(f"{source.path}: no HDU MASSES; found {', '.join(names)}.")
    hdu = source.hdus[names.index("MASSES")]
    where = f"{source.path}, HDU MASSES"
    single_row(hdu, where)
    masses = check_masses(column(hdu, "masses", where, "GeV", ndim=2)[0], where)
    out, odd = {}, []
    given = {canonical_channel(name): value for name, value in (given or {}).items()}
    unknown = sorted(set(given) - set(n_masses))
    if unknown:
        raise ValueError(f"{source.path}: masses are given for {unknown}, which are not read.")
    for channel, n in n_masses.items():
        own = masses
        if channel in given:
            own = u.Quantity(given[channel], u.GeV, copy=None).to_value("GeV")
            own = check_masses(own, f"{source.path}, masses given for {channel}")
        if len(own) != n:
            whose = "given" if channel in given else "MASSES"
            odd.append(f"{channel} (has {n}, {whose} {len(own)})")
        out[channel] = own
    if odd:
        raise ValueError(
            f"{source.path}: the masses of {', '.join(odd)} are not known: MASSES holds those of "
            "the first channel, and masses without a spectrum are missing. Give masses={channel: "
            "[...]}, or leave these channels out with channels=."
        )
    return out
