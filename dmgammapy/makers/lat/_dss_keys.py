"""Text of data selection keywords (DSS): numbers, ranges and units."""

import re

import numpy as np

__all__ = [
    "DSS_KEY",
    "number_text",
    "numbered_keys",
    "parse_key",
    "parse_phases",
    "parse_range",
    "range_text",
]

BIT_MASK = re.compile(r"BIT_MASK\((\w+),(\d+)(?:,(\w+))?\)")
CIRCLE = re.compile(r"CIRCLE\(([^,]+),([^,]+),([^,]+)\)", re.IGNORECASE)
DSS_KEY = re.compile(r"(DSTYP|DSUNI|DSVAL|DSREF)(\d+)")


def numbered_keys(header):
    """DSS keys by their number, ascending."""
    keys = {}
    for card in header.cards:
        match = DSS_KEY.fullmatch(card.keyword)
        if match:
            value = card.value
            keys.setdefault(int(match[2]), {})[match[1]] = (
                value.strip() if isinstance(value, str) else value
            )
    return {number: keys[number] for number in sorted(keys) if "DSTYP" in keys[number]}


def parse_key(key):
    """What a key cuts.

    Parameters
    ----------
    key : dict of str
        DSTYP, DSUNI, DSVAL.

    Returns
    -------
    fields : dict or None
        Of `LATDataSelection`; None when the kind is not known.

    Raises
    ------
    ValueError
        If the value of a known kind can't be understood or is not supported.
    """
    kind, value = str(key["DSTYP"]).replace(" ", ""), str(key.get("DSVAL", ""))
    mask = BIT_MASK.fullmatch(kind)
    if mask and mask[1] in ("EVENT_CLASS", "EVENT_TYPE"):
        return _parse_mask(mask, value)
    if kind == "TIME":
        return {} if value.upper() == "TABLE" else {"time": parse_range(value)}
    if kind == "ENERGY":
        return {"energy": in_mev(parse_range(value), key.get("DSUNI", "MeV"))}
    if kind == "ZENITH_ANGLE":
        low, high = parse_range(value)
        if low > 0:
            raise ValueError(
                "zenith angles are expected from 0; the livetime of events cut from below, as "
                "for the Earth's limb, is not supported."
            )
        # gtselect doesn't write 180 deg, others do
        return {"zenith_max": high} if high < 180 else {}
    circle = CIRCLE.fullmatch(value)
    if kind == "POS(RA,DEC)" and circle:
        return {"cone": tuple(parse_number(circle[index]) for index in (1, 2, 3))}
    if kind == "IRF_VERSION":
        return {"irfs": value}
    return None


def _parse_mask(mask, value):
    """Fields of a BIT_MASK key."""
    if mask[3] is None or mask[3].startswith(("P6", "P7", "P8R0", "NONE")):
        raise ValueError(
            "event classes of Pass 7 and before are not supported (no pass version from P8R1 on); "
            "fetch the Pass 8 events of the same observation."
        )
    if value.replace(" ", "") not in ("1:1", ""):
        raise ValueError("a bit mask is expected with the value '1:1'.")
    return {mask[1].lower(): int(mask[2]), "pass_version": mask[3]}


def in_mev(limits, unit):
    """Energies of a key in MeV."""
    factors = {"MeV": 1.0, "GeV": 1e3, "keV": 1e-3, "TeV": 1e6}
    if unit not in factors:
        raise ValueError(f"unit {unit!r}, expected one of {', '.join(factors)}.")
    return limits[0] * factors[unit], limits[1] * factors[unit]


def parse_number(text):
    """Number of a key."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text.strip()!r} is no number.") from None


def parse_range(text):
    """Range "min:max" of a key, where an end may be open."""
    parts = text.split(":")
    if len(parts) != 2:
        raise ValueError("expected a range 'min:max'.")
    low = parse_number(parts[0]) if parts[0].strip() else 0.0
    high = parse_number(parts[1]) if parts[1].strip() else np.inf
    if not low < high:
        raise ValueError(f"expected a range that ascends, got {low:g} to {high:g}.")
    return low, high


def parse_phases(texts):
    """Ranges of phase that all of several keys leave.

    Parameters
    ----------
    texts : iterable of str
        Values of PULSE_PHASE keys: a range, or several with commas between.

    Returns
    -------
    ranges : list of (float, float)
        Within 0 and 1.

    Raises
    ------
    ValueError
        If one can't be understood, or they have nothing in common.

    Examples
    --------
    >>> from dmgammapy.makers.lat._dss_keys import parse_phases
    >>> parse_phases(["0:0.2,0.5:", "0.1:0.7"])
    [(0.1, 0.2), (0.5, 0.7)]
    """
    ranges = [(0.0, 1.0)]
    for text in texts:
        given = [parse_range(part) for part in str(text).split(",")]
        common = [(max(a, c), min(b, d)) for a, b in ranges for c, d in given]
        ranges = [(low, high) for low, high in common if low < high]
    if not ranges:
        raise ValueError(f"the phases {' and '.join(map(str, texts))} have nothing in common.")
    return ranges


def number_text(value):
    """Shortest text that is read as the same number."""
    text = repr(float(value))
    return text.removesuffix(".0")


def range_text(limits):
    """Range of a key."""
    return ":".join("" if np.isinf(value) else number_text(value) for value in limits)
