"""Tables of a report about simulations with a signal, and about blank fields."""

import astropy.units as u
import numpy as np
from astropy.table import MaskedColumn, QTable, Table

from dmgammapy.estimators import LimitStatus
from dmgammapy.spectra import channel_label
from dmgammapy.targets.core import factor_name

__all__ = ["blank_fields", "controls"]

ON_GRID = 1e-6
OPTIONAL = ("coverage", "limit_above_truth")


def controls(params, outputs, bases):
    """How simulations with a signal find it, at its mass and channel.

    Parameters
    ----------
    params : dict
        Of the report's task.
    outputs : `~dmgammapy.analysis._report_steps.Outputs`
    bases : list of (str, str)
        Rosters and J treatments.

    Returns
    -------
    table : `~astropy.table.QTable` or None
        With ``simulation, roster, jfactor, channel, mass, n, injected, median_best, median_ul,
        median_ts, redraw_jfactor``, the fraction of limits above the truth with its error, and
        ``note``. The fraction is called ``coverage`` where all that is uncertain is drawn anew,
        ``limit_above_truth`` elsewhere.
    """
    rows = []
    for name, section in params["scenarios"].items():
        if section["injected"] is None:
            continue
        for base in bases:
            ensemble = outputs.castro(f"simulations/{name}/{base[0]}/{base[1]}.fits")
            if ensemble is not None:
                rows.append(_control(params, name, section, base, ensemble))
    if not rows:
        return None
    table = QTable(rows=rows)
    made = np.isfinite(table["n"])
    table["n"] = MaskedColumn(np.where(made, table["n"], 0).astype(int), mask=~made)
    for name in OPTIONAL:
        if np.isnan(table[name]).all():
            table.remove_columns([name, f"{name}_err"])
    if not any(table["note"]):
        table.remove_column("note")
    return table


def _control(params, name, section, base, ensemble):
    signal = section["injected"]
    label, mass = channel_label(signal["channel"]), u.Quantity(signal["mass"]).to("GeV")
    unit = ensemble["reference"].unit
    row = {
        "simulation": name,
        "roster": base[0],
        "jfactor": base[1],
        "channel": label,
        "mass": mass,
        "n": np.nan,
        "injected": _truth(signal).to(unit),
        "median_best": np.nan * unit,
        "median_ul": np.nan * unit,
        "coverage": np.nan,
        "coverage_err": np.nan,
        "limit_above_truth": np.nan,
        "limit_above_truth_err": np.nan,
        "median_ts": np.nan,
        "redraw_jfactor": bool(section["redraw_jfactor"]),
        "note": "",
    }
    near = np.flatnonzero(np.abs((ensemble.masses / mass).to_value("") - 1) < ON_GRID)
    if label not in ensemble.channels:
        return row | {"note": f"channel {label} not analysed: no control"}
    if not near.size:
        return row | {"note": f"injected mass {mass:g} not on the grid: no control"}
    place = (ensemble.channels.index(label), int(near[0]), 0, 0)
    fraction, error, n = _above(ensemble, place, row["injected"])
    column = "coverage" if _is_coverage(params, section, base) else "limit_above_truth"
    middle = ensemble.quantiles([0.5])
    row |= {
        "n": n,
        "median_best": middle.strength.quantity[0][place],
        "median_ul": middle.strength_ul.quantity[0][place],
        column: fraction,
        f"{column}_err": error,
        "median_ts": float(middle["ts"].data[0][place]),
    }
    if np.isnan(row["median_ul"]):
        status = LimitStatus(int(middle["status"].data[0][place])).name
        row["note"] = f"median limit: {status.lower().replace('_', ' ')}"
    return row


def _truth(signal):
    """Strength that was injected, of decay the rate."""
    truth = u.Quantity(signal["sigmav"] or signal["tau"])
    return truth if signal["sigmav"] else (1 / truth).to("s-1")


def _above(ensemble, place, truth):
    """Fraction of limits above the truth, its binomial error, and of how many realisations.

    A limit beyond the grid is above; a test that excludes all strengths excludes the truth.
    """
    limit = ensemble.strength_ul.quantity[(slice(None), *place)]
    status = ensemble["status"].data[(slice(None), *place)]
    known = status != LimitStatus.NO_INFORMATION
    n = int(known.sum())
    if not n:
        return np.nan, np.nan, 0
    above = (limit >= truth) | (status == LimitStatus.GRID_EDGE)
    above &= known & (status != LimitStatus.ALL_EXCLUDED)
    k = int(above.sum())
    p = (k + 0.5) / (n + 1)  # has an error also if all are on one side
    return k / n, float(np.sqrt(p * (1 - p) / n)), n


def _is_coverage(params, section, base):
    """Whether all that is uncertain, J too, is drawn anew in each realisation."""
    if section["redraw_jfactor"]:
        # widths that instruments have of their own are drawn with the treatments that know them
        return base[1] != "fixed" or not params["extra_widths"]
    if section["profile"] is not None:  # J is wrong on purpose
        return False
    return base[1] == "fixed" or not _has_widths(params, base[0])


def _has_widths(params, roster):
    if params["extra_widths"]:
        return True
    key = f"{factor_name(params['process'])}_err"
    first = {members[0]["label"]: members[0]["target"] for members in params["members"]}
    widths = [first[label].get(key) for label in params["rosters"][roster]]
    return any(width is not None and np.any(np.asarray(width) > 0) for width in widths)


def blank_fields(outputs, bases):
    """Largest TS of stacks of blank fields, `~astropy.table.Table` or None."""
    rows = []
    for base in bases:
        ensemble = outputs.castro(f"blank/{base[0]}/{base[1]}.fits")
        if ensemble is None:
            continue
        ts = ensemble["ts"].data[..., 0, 0]
        for i, channel in enumerate(ensemble.channels):
            largest = np.nanmax(np.nan_to_num(ts[:, i]), axis=1)
            rows.append(
                {
                    "roster": base[0],
                    "jfactor": base[1],
                    "channel": channel,
                    "n": len(largest),
                    "median_largest_ts": float(np.median(largest)),
                    "largest_ts": float(largest.max()),
                }
            )
    return Table(rows=rows) if rows else None
