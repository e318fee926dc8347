"""What does not belong together: responses, livetime and events of different data."""

import astropy.units as u
import numpy as np

from ._caldb import EVENT_CLASSES, resolve_event_types, type_mask
from ._gti import intersect_gti

__all__ = [
    "check_components",
    "check_kinds",
    "check_livetime",
    "check_response",
    "class_of",
    "full_zenith",
]

GTI_RTOL = 1e-4
SCALE_RTOL = 1e-6
ZENITH_TOLERANCE = 1e-3  # deg
EDGE_RTOL = 1e-6


def full_zenith(zenith):
    """Largest zenith angle in degrees; 180 without a cut."""
    return 180.0 if zenith is None else u.Quantity(zenith, "deg").value


def class_of(response):
    """Bit mask of the event class of a response."""
    return EVENT_CLASSES["SOURCE"] if response.is_parametrised else response.event_class_mask


def check_response(response, event_class, known):
    """Refuse events that a response is not for.

    Parameters
    ----------
    response : `LATResponse`
    event_class : int
        Bit mask of the events wanted.
    known : `LATDataSelection`
        Of the events.

    Raises
    ------
    ValueError
        If they are of another class or pass, or were cut in a way that no response knows of.
    """
    if known.unknown_cuts:
        raise ValueError(
            f"the events were cut on {', '.join(known.unknown_cuts)}, which exposure, PSF and "
            "energy dispersion know nothing of; fetch them without that cut."
        )
    expected = class_of(response)
    if event_class != expected:
        raise ValueError(
            f"the response {response.irfs} is of the event class {expected}, the events wanted of "
            f"{event_class}; take the response of that class."
        )
    version = response.irfs.partition("_")[0]
    if not response.is_parametrised and known.pass_version not in (None, version):
        raise ValueError(
            f"the events are {known.pass_version} data, the response is {response.irfs}; take "
            "the response of these data."
        )


def check_kinds(kinds, types_of, is_parametrised):
    """Refuse datasets that share events.

    Parameters
    ----------
    kinds : list
        Event types of each dataset.
    types_of : callable
        Names of their types.
    is_parametrised : bool
        Whether the response is the same for all event types.

    Raises
    ------
    ValueError
        If two have a type in common, or for types that a parametrised response does not know.
    """
    masks = [type_mask(types_of([kind])) for kind in kinds]
    for i, mask in enumerate(masks):
        for j in range(i):
            if mask & masks[j]:
                raise ValueError(
                    f"event_types: {kinds[j]!r} and {kinds[i]!r} share events, which would count "
                    "twice; take types that have none in common."
                )
    if is_parametrised and masks != [type_mask(("FRONT", "BACK"))]:
        raise ValueError(
            f"the parametrised response is that of all events together: event_types must be "
            f"('FB',), got {kinds!r}."
        )


def check_components(parts, types_of):
    """Refuse components that share events.

    Parameters
    ----------
    parts : list of `LATDatasetMaker`
        Maker of each.
    types_of : callable
        Names of event types.

    Raises
    ------
    ValueError
        If two have event types and energies in common; each event is of one type of every
        partition.
    """
    for i, part in enumerate(parts):
        for j, other in enumerate(parts[:i]):
            if not _energies_overlap(part, other):
                continue
            one, two = types_of(part.event_types), types_of(other.event_types)
            same = resolve_event_types(one)[0] == resolve_event_types(two)[0]
            if not same or set(one) & set(two):
                raise ValueError(
                    f"components[{j}] and components[{i}] share events ({', '.join(two)} and "
                    f"{', '.join(one)} at the same energies), which would count twice; take event "
                    "types of one partition, or energies that have none in common."
                )


def _energies_overlap(one, other):
    edges = [part.geom.axes["energy"].edges.to_value("MeV") for part in (one, other)]
    low, high = max(e[0] for e in edges), min(e[-1] for e in edges)
    return low * (1 + EDGE_RTOL) < high


def check_livetime(cube, events):
    """Refuse a livetime cube of other good times, another zenith cut or scale.

    Parameters
    ----------
    cube : `LivetimeCube`
    events : `LATEventList`

    Raises
    ------
    ValueError
        If it is.
    """
    if cube.gti is None:
        raise ValueError(
            "the livetime cube says nothing of its good times, so that it may be of other data; "
            "compute it, or set its gti."
        )
    have, need, common = (
        float(np.sum(gti[:, 1] - gti[:, 0]))
        for gti in (cube.gti, events.gti, intersect_gti(cube.gti, events.gti))
    )
    if common < (1 - GTI_RTOL) * max(have, need):
        raise ValueError(
            f"the livetime cube is for {have:.6g} s of good time from {cube.gti[0, 0]:.0f} to "
            f"{cube.gti[-1, 1]:.0f}, the events have {need:.6g} s from {events.gti[0, 0]:.0f} "
            f"to {events.gti[-1, 1]:.0f}, {common:.6g} s are common; compute it for the same good "
            "times, or leave it out."
        )
    _check_scale(cube, events.selection.phase_fraction)
    if cube.meta.get("zenith_min"):
        raise ValueError(
            f"the livetime cube begins at a zenith angle of {cube.meta['zenith_min']} deg; "
            "compute it from 0 deg."
        )
    found, wanted = (full_zenith(z) for z in (cube.zenith_max, events.selection.zenith_max))
    if abs(found - wanted) > ZENITH_TOLERANCE:
        raise ValueError(
            f"the livetime cube is for zenith angles below {found:g} deg, the events for those "
            f"below {wanted:g} deg; compute it for the same cut, or leave it out. If good times "
            "keep the whole region above that angle (gtmktime with roicut), both mean the same: "
            "read it by LivetimeCube.read and set its zenith_max."
        )


def _check_scale(cube, phases):
    """Livetimes may be scaled by the part of the phases that the events are of."""
    scale = cube.meta.get("scale", 1.0)
    if scale != 1.0 and abs(scale / phases - 1) > SCALE_RTOL:
        raise ValueError(
            f"the livetime cube was scaled by {scale:g}, the events cover {phases:g} of the "
            "phases; give it as it was computed."
        )
