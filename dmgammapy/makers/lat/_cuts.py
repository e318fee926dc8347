"""Event classes, types and energies of the LAT: names, and what contains what."""

import numpy as np

__all__ = [
    "EVENT_CLASSES",
    "EVENT_TYPES",
    "angular_separation",
    "common_range",
    "contains_class",
    "contains_type",
    "describe_class",
    "describe_type",
    "least",
    "narrowed_energy",
    "parse_event_class",
    "parse_event_type",
    "wider",
]

# Pass 8, "LAT data products" of the Fermi Science Support Center
EVENT_CLASSES = {
    "TRANSIENT100E": 2,
    "TRANSIENT100": 4,
    "TRANSIENT020E": 8,
    "TRANSIENT020": 16,
    "TRANSIENT010E": 32,
    "TRANSIENT010": 64,
    "SOURCE": 128,
    "CLEAN": 256,
    "ULTRACLEAN": 512,
    "ULTRACLEANVETO": 1024,
    "SOURCEVETO": 2048,
    "TRANSIENT100S": 32768,
    "TRANSIENT015S": 65536,
}

# the classes whose events contain those of a class
PARENTS = {
    "TRANSIENT100": ("TRANSIENT100E",),
    "TRANSIENT020E": ("TRANSIENT100E",),
    "TRANSIENT020": ("TRANSIENT100", "TRANSIENT020E"),
    "TRANSIENT010E": ("TRANSIENT020E",),
    "TRANSIENT010": ("TRANSIENT020", "TRANSIENT010E"),
    "SOURCE": ("TRANSIENT010",),
    "CLEAN": ("SOURCE",),
    "ULTRACLEAN": ("CLEAN",),
    "ULTRACLEANVETO": ("ULTRACLEAN",),
    "SOURCEVETO": ("SOURCE",),
    "TRANSIENT015S": ("TRANSIENT100S",),
}

EVENT_TYPES = {
    "FRONT": 1,
    "BACK": 2,
    "PSF0": 4,
    "PSF1": 8,
    "PSF2": 16,
    "PSF3": 32,
    "EDISP0": 64,
    "EDISP1": 128,
    "EDISP2": 256,
    "EDISP3": 512,
}

# every event has exactly one type of each
PARTITIONS = {"FB": 3, "PSF": 60, "EDISP": 960}


def parse_event_class(value):
    """Bit mask of an event class.

    Parameters
    ----------
    value : str or int
        Name ("SOURCE", "P8R3_SOURCE", "P8R3_SOURCE_V3") or mask.

    Returns
    -------
    mask : int

    Raises
    ------
    ValueError
        If the name is unknown or the mask not positive.

    Examples
    --------
    >>> from dmgammapy.makers.lat._cuts import parse_event_class
    >>> parse_event_class("P8R3_SOURCE_V3"), parse_event_class("clean")
    (128, 256)
    """
    if isinstance(value, str):
        if value.strip().isdigit():
            return parse_event_class(int(value))
        words = [word for word in value.strip().upper().split("_") if word]
        names = [word for word in words if word in EVENT_CLASSES]
        if len(names) != 1 or len(words) > 3:
            raise ValueError(
                f"event class {value!r} is unknown; known: {', '.join(EVENT_CLASSES)}, or a mask."
            )
        return EVENT_CLASSES[names[0]]
    return _check_mask(value, "event class")


def parse_event_type(value):
    """Bit mask of event types.

    Parameters
    ----------
    value : str, int or list of str
        Names ("FRONT", "PSF3", "FB" for all, "PSF", "EDISP"; "FRONT+BACK") or mask.

    Returns
    -------
    mask : int

    Raises
    ------
    ValueError
        If a name is unknown, the mask not positive, or types of several partitions are mixed.

    Examples
    --------
    >>> from dmgammapy.makers.lat._cuts import parse_event_type
    >>> parse_event_type("FB"), parse_event_type(["PSF2", "PSF3"]), parse_event_type(3)
    (3, 48, 3)
    """
    if isinstance(value, str):
        value = value.strip()
        if value.isdigit():
            return parse_event_type(int(value))
        value = value.replace("+", " ").replace(",", " ").split()
    if isinstance(value, list | tuple):
        masks = []
        for item in value:
            name = str(item).strip().upper()
            if name not in EVENT_TYPES and name not in PARTITIONS:
                raise ValueError(
                    f"event type {item!r} is unknown; known: {', '.join(EVENT_TYPES)}, "
                    f"{', '.join(PARTITIONS)}, or a mask."
                )
            masks.append(EVENT_TYPES.get(name) or PARTITIONS[name])
        return parse_event_type(int(np.bitwise_or.reduce(masks or [0])))
    mask = _check_mask(value, "event type")
    if not any(mask & ~whole == 0 for whole in PARTITIONS.values()):
        raise ValueError(
            f"event type {describe_type(mask)} mixes types that share events; expected some of "
            "FRONT and BACK (3), of PSF0 to PSF3 (60) or of EDISP0 to EDISP3 (960)."
        )
    return mask


def _check_mask(value, what):
    """A mask is a positive whole number of 32 bits."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 < value < 2**32:
        raise ValueError(f"{what}: expected a name or a positive bit mask, got {value!r}.")
    return int(value)


def describe_class(mask):
    """Names and number of a mask of classes, for messages."""
    return _describe(mask, EVENT_CLASSES, "all event classes")


def describe_type(mask):
    """Names and number of a mask of types, for messages."""
    return _describe(mask, EVENT_TYPES, "all event types")


def _describe(mask, known, nothing):
    if mask is None:
        return nothing
    names = [name for name, bit in known.items() if mask & bit]
    rest = mask & ~sum(known.values())
    if rest:
        names.append(f"bits {rest:#x}")
    return f"{'+'.join(names)} ({mask})"


def contains_class(whole, part):
    """Whether the events of classes ``whole`` contain all those of ``part``.

    Parameters
    ----------
    whole : int or None
        Mask, None for all events.
    part : int
        Mask.

    Returns
    -------
    contained : bool

    Notes
    -----
    The classes of Pass 8 are nested: those of SOURCE contain those of CLEAN.
    """
    if whole is None:
        return True
    covered = whole
    for name, bit in EVENT_CLASSES.items():
        if any(EVENT_CLASSES[ancestor] & whole for ancestor in _ancestors(name)):
            covered |= bit
    return part & ~covered == 0


def _ancestors(name):
    """All classes that contain a class."""
    for parent in PARENTS.get(name, ()):
        yield parent
        yield from _ancestors(parent)


def contains_type(whole, part):
    """Whether the events of types ``whole`` contain all those of ``part``.

    Parameters
    ----------
    whole : int or None
        Mask, None for all events.
    part : int
        Mask.

    Returns
    -------
    contained : bool
    """
    if whole is None or part & ~whole == 0:
        return True
    # FRONT and BACK are all events, so are PSF0 to PSF3
    return any(whole & mask == mask for mask in PARTITIONS.values())


def angular_separation(lon1, lat1, lon2, lat2):
    """Angle between directions, precise for small and large ones.

    Parameters
    ----------
    lon1, lat1, lon2, lat2 : float or array
        Longitudes and latitudes [deg].

    Returns
    -------
    separation : array
        Angle [deg].

    Notes
    -----
    Haversine formula, that of cfitsio's ``angsep``.
    """
    lon1, lat1, lon2, lat2 = (
        np.radians(np.asarray(angle, dtype=float)) for angle in (lon1, lat1, lon2, lat2)
    )
    haversine = (
        np.sin((lat2 - lat1) / 2) ** 2
        + np.cos(lat1) * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
    )
    return np.degrees(2 * np.arcsin(np.sqrt(np.clip(haversine, 0, 1))))


def narrowed_energy(there, asked):
    """Energy range of a cut within a selection.

    Parameters
    ----------
    there : (float, float) or None
        Range of the selection [MeV].
    asked : (float or None, float or None)
        Range of the cut, None where it is that of the selection.

    Returns
    -------
    energy : (float, float)

    Raises
    ------
    ValueError
        If it is wider, or empty.
    """
    full = (0.0, np.inf) if there is None else there
    low = full[0] if asked[0] is None else float(asked[0])
    high = full[1] if asked[1] is None else float(asked[1])
    # a limit that was converted from another unit is the same limit
    low = full[0] if np.isclose(low, full[0], rtol=1e-9, atol=0) else low
    high = full[1] if np.isclose(high, full[1], rtol=1e-9, atol=0) else high
    if not low < high:
        raise ValueError(f"energy: expected a range that ascends, got {low:g} to {high:g} MeV.")
    if low < full[0] or high > full[1]:
        raise ValueError(
            f"energy: the events are of {full[0]:g} to {full[1]:g} MeV, and {low:g} to {high:g} "
            "MeV was asked for, which is not part of it; the rest was cut away before. "
            "Ask for a part of what is there or fetch the events again."
        )
    return low, high


def least(first, second):
    """Smaller of two limits, either of which may be absent."""
    values = [value for value in (first, second) if value is not None]
    return min(values) if values else None


def common_range(first, second, name):
    """Part common to two ranges, either of which may be absent."""
    if first is None or second is None:
        return first or second
    low, high = max(first[0], second[0]), min(first[1], second[1])
    if not low < high:
        raise ValueError(
            f"{name}: {first[0]:g} to {first[1]:g} and {second[0]:g} to {second[1]:g} have "
            "nothing in common."
        )
    return low, high


def wider(what, there, asked):
    """Error of a cut that widens."""
    return ValueError(
        f"{what}: the events are {there}, and {asked} was asked for, which is not part of it; "
        "the rest was cut away before. Ask for a part of what is there or fetch the events again."
    )
