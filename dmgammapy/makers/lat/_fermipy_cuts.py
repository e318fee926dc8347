"""Cuts of a fermipy configuration, on events and good times, as settings of the makers."""

import logging
import math
from functools import partial

from ._fermipy_sections import number

__all__ = ["selection"]

log = logging.getLogger(__name__)

# booleans of the Science Tools' parameters
YES, NO = ("yes", "y", "true", "t"), ("no", "n", "false", "f", "")
SAME = 1e-3  # relative; scales and phases have few digits


def selection(config, where, notes, geometry):
    """Cuts on events and good times.

    Parameters
    ----------
    config : dict
        Sections, with fermipy's defaults.
    where : str
        For messages.
    notes : list
        Of (key, value, reason), to be extended.
    geometry : dict
        Pixels of the counts.

    Returns
    -------
    settings : dict
        See `FermipyTranslation`.

    Raises
    ------
    ValueError
        If a value is not valid.
    """
    chosen = config["selection"]
    get = partial(number, config, "selection", where=where)
    zenith_max = get("zmax")
    times = get("tmin"), get("tmax")
    if None not in times and times[0] >= times[1]:
        raise ValueError(f"{where}: selection.tmin = {times[0]} must be before tmax = {times[1]}.")
    return {
        "event_class": get("evclass", kind=int),
        "event_type": _event_type(get, where, notes),
        "zenith_max": zenith_max,
        "time_min": times[0],
        "time_max": times[1],
        "filter": None if chosen["filter"] is None else str(chosen["filter"]),
        "roi_zenith_max": zenith_max if _roi_cut(chosen, where, notes) else None,
        "radius": _radius(get("radius"), geometry, notes),
        "phase": _phase(config, where, notes),
    }


def _event_type(get, where, notes):
    """Bit mask of the event types or None; convtype is that of Pass 7."""
    event_type, convtype = get("evtype", kind=int), get("convtype", kind=int)
    if convtype is None or convtype < 0:
        return event_type
    if convtype > 1:
        raise ValueError(f"{where}: selection.convtype = {convtype}, expected -1, 0 or 1.")
    if event_type is None:
        return 1 << convtype
    notes.append(("selection.convtype", convtype, "evtype is given, which replaces it"))
    return event_type


def _radius(given, geometry, notes):
    """Radius [deg] of gtselect's cone; fermipy's own holds the whole map."""
    if given is None:
        return math.sqrt(2) * 0.5 * max(geometry["npix"]) * geometry["binsz"] + 0.5
    if geometry["hpx_order"] is None:
        corner = math.hypot(*geometry["npix"]) * geometry["binsz"] / 2
    else:
        corner = 0.5 * (geometry["width"] or 360.0)
    reason = "events are taken from the whole map, which lies within it"
    if given < corner:
        reason = (
            f"events are taken from the whole map, up to {corner:.4g} deg; fermipy cuts them to "
            "this radius but not the model, which then is fitted to corners without events. To "
            "leave these out here, set dataset.mask_fit"
        )
    notes.append(("selection.radius", given, reason))
    return given


def _roi_cut(chosen, where, notes):
    """Whether gtmktime cuts times by the zenith angle of the region.

    fermipy runs it for exactly "yes", or with a filter; the tool takes other spellings, too.
    """
    given = chosen["roicut"]
    if given is None or given is False:
        return False
    if given is True:
        raise ValueError(
            f"{where}: selection.roicut = {given}: YAML takes yes without quotes for true, which "
            "fermipy refuses. Write roicut: 'yes' to cut times by the zenith angle of the region, "
            "'no' to keep them."
        )
    text = str(given).strip().lower()
    if text not in (*YES, *NO):
        raise ValueError(f"{where}: selection.roicut = {given!r}, expected 'yes' or 'no'.")
    if text in NO:
        return False
    if chosen["filter"] is None:
        if given != "yes":
            notes.append((
                "selection.roicut", given,
                "no times are cut: without a filter fermipy runs gtmktime for 'yes' only, in "
                "small letters",
            ))  # fmt: skip
            return False
        notes.append((
            "selection.filter", None,
            "with roicut and without a filter gtmktime takes the one of its parameter file, here "
            "there is none: give it",
        ))  # fmt: skip
    elif given != "yes":
        notes.append((
            "selection.roicut", given, "taken for 'yes', as gtmktime does when there is a filter",
        ))  # fmt: skip
    if chosen["zmax"] is None:
        notes.append((
            "selection.roicut", given,
            "no times are cut without zmax; the events' own zenith cut is not taken: give it",
        ))  # fmt: skip
    return True


def _phase(config, where, notes):
    """Range of the pulsar's phase or None, and what it means for the exposure."""
    first = number(config, "selection", "phasemin", where)
    last = number(config, "selection", "phasemax", where)
    # gtselect's own limits, which cut nothing, as two zeros do
    low, high = first or 0.0, 1.0 if last is None else last
    cuts = (low, high) not in ((0.0, 1.0), (0.0, 0.0))
    if not (0 <= low <= 1 and 0 <= high <= 1) or (cuts and not low < high):
        raise ValueError(
            f"{where}: selection.phasemin = {low:g} and phasemax = {high:g}, expected 0 <= "
            "phasemin < phasemax <= 1 as gtselect does; a range that goes through 0 can be given "
            f"as phase=[({low:g}, {high:g})] of LATDatasetMaker."
        )
    scale = number(config, "gtlike", "expscale", where)
    if not cuts:
        if scale not in (None, 1.0):
            notes.append((
                "gtlike.expscale", scale,
                "not applied: multiply dataset.exposure by it after the dataset is made; not for "
                "phases that the event files were cut on before (PULSE_PHASE in their DSS "
                "keywords), which scale the exposure already",
            ))  # fmt: skip
        return None
    _explain_scale(scale, high - low, where, notes)
    return low, high


def _explain_scale(scale, fraction, where, notes):
    """Say that a cut in phase scales the exposure here, which fermipy leaves to expscale."""
    done = f"the exposure is scaled by the range of phases, {fraction:g},"
    if scale is None:
        notes.append((
            "selection.phasemax", fraction, f"{done} for which fermipy needs gtlike.expscale",
        ))  # fmt: skip
    elif math.isclose(scale, fraction, rel_tol=SAME):
        notes.append(("gtlike.expscale", scale, f"{done} already, and not once more"))
    else:
        notes.append((
            "gtlike.expscale", scale,
            f"{done} and not by expscale; if this is wanted, multiply dataset.exposure by "
            f"{scale / fraction:g} after the dataset is made",
        ))  # fmt: skip
        log.warning(
            "%s: gtlike.expscale = %g is not the range of phases, %g, by which the exposure is "
            "scaled.", where, scale, fraction,
        )  # fmt: skip
