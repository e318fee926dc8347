"""Limits of dmpipe, FITS (``dmlimits_*``, ``limits_*``): read.

One HDU per channel with one row: ``mles`` and ``ul_<CL>`` (``ll_<CL>`` for decay), arrays over the
masses; ``MASSES`` as in the likelihood files, with the same trap.
"""

import astropy.units as u
import numpy as np
from astropy.table import QTable

from ..castro_maps import STRENGTH_NAMES, STRENGTH_UNITS
from ._dmpipe_tables import (
    DECAY_NOTE,
    PRIOR_COLUMNS,
    channel_hdus,
    masses_by_channel,
    read_context,
)
from ._files import TableFile, column

__all__ = ["read_dmpipe_limits"]


def read_dmpipe_limits(path, channels=None, masses=None, process=None):
    """Read limits of dmpipe (``dmlimits_*.fits``, ``limits_*.fits``).

    Parameters
    ----------
    path : str or `~pathlib.Path`
    channels, masses, process
        As for the likelihoods: channels to read, masses of those that have lost some, and the
        process where the file holds both.

    Returns
    -------
    table : `~astropy.table.QTable`
        One row per channel and mass: ``channel, mass``, ``sigmav`` (the best fit) and
        ``sigmav_ul_<CL>`` for each confidence level of the file. For decay ``gamma``,
        ``gamma_ul_<CL>`` and ``tau_ll_<CL>``: what dmpipe writes as a limit on tau is the upper
        limit of the flux times ``ref_tau``, which is turned into a rate here.

    Raises
    ------
    ValueError
        If a column or mass is missing or not a number.

    Examples
    --------
    >>> from dmgammapy.estimators.io import read_dmpipe_limits
    >>> read_dmpipe_limits("limits_dsphs_none.fits", channels=["b"])  # doctest: +SKIP
    """
    source = TableFile(path)
    source.require_kind("fits", "dmpipe limits are a FITS file")
    hdus, process = channel_hdus(source, process, channels, ("mles",))
    name, unit = STRENGTH_NAMES[process], STRENGTH_UNITS[process]
    prefix = "ll_" if process == "decay" else "ul_"
    columns, sizes, context = {}, {}, None
    for channel, hdu in hdus.items():
        where = f"{source.path}, HDU {hdu.name}"
        own = read_context(hdu, process, where)
        context = own if context is None else context
        levels = [c for c in hdu.columns.names if c.startswith(prefix)]
        if not levels:
            names = ", ".join(hdu.columns.names)
            raise ValueError(f"{where}: no column {prefix}<CL>; found {names}.")
        found = {c: column(hdu, c, where, ndim=2)[0] for c in ("mles", *levels)}
        for c, values in found.items():
            n = len(found["mles"])
            if len(values) != n or not (np.isfinite(values) & (values >= 0)).all():
                raise ValueError(f"{where}, column {c}: expected {n} numbers >= 0, got {values}.")
        # decay: norm * ref_tau, while the rate is norm / ref_tau
        factor = own["reference"] ** -2 if process == "decay" else 1.0
        columns[channel] = {c: factor * values for c, values in found.items()}
        sizes[channel] = len(found["mles"])
    own_masses = masses_by_channel(source, sizes, masses)
    shared = [c for c in next(iter(columns.values())) if all(c in v for v in columns.values())]
    table = QTable()
    table["channel"] = np.concatenate([[c] * n for c, n in sizes.items()])
    table["mass"] = np.concatenate([own_masses[c] for c in sizes]) * u.GeV
    for c in shared:
        values = np.concatenate([columns[channel][c] for channel in sizes]) * unit
        table[name if c == "mles" else f"{name}_ul_{c.removeprefix(prefix)}"] = values
        if process == "decay" and c != "mles":
            with np.errstate(divide="ignore"):
                table[f"tau_ll_{c.removeprefix(prefix)}"] = 1 / values
    table.meta.update(process=process, origin=str(source.path))
    if not np.isnan(context["astro"]):
        table.meta["log10_jfactor"] = float(np.log10(context["astro"]))
    if context["prior"] is not None:
        table.meta.update(zip(PRIOR_COLUMNS, context["prior"], strict=True))
    if process == "decay":
        table.meta["notes"] = [DECAY_NOTE]
    return table
