"""Checks and conversions of what a target is made of."""

import copy
import re
from numbers import Real

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord

__all__ = [
    "check_factor",
    "check_name",
    "check_position",
    "check_profile",
    "check_quantity",
    "check_real",
    "check_text",
    "check_widths",
    "looks_like_width",
    "make_position",
]

# Outside lies what is not a logarithm, the logarithm of one, or in other units. The Galactic
# centre has about 1e24 GeV2 cm-5 and 1e23 GeV cm-2, faint dwarfs 1e15 and 1e16.
LOG10_RANGES = {"log10_jfactor": (5.0, 35.0), "log10_dfactor": (5.0, 30.0)}
LARGEST_WIDTH = 10.0  # dex


def check_name(name):
    """Name of a target."""
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"the name of a target must be a text that is not empty, got {name!r}.")
    if name != name.strip() or ":" in name:
        raise ValueError(
            f"the name of a target must hold no colon and not begin or end with a blank, got "
            f"{name!r}; a version goes into version=."
        )
    return str(name)


def check_text(name, value):
    """A text, or None."""
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} must be a text that is not empty, or None; got {value!r}.")
    return str(value)


def check_real(name, value):
    """A plain number as a float."""
    if isinstance(value, u.Quantity):
        if not value.unit.is_equivalent(u.dimensionless_unscaled):
            raise ValueError(f"{name} must be a plain number, got {value}.")
        value = value.to_value("")
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (Real, np.number)):
        raise ValueError(f"{name} must be a number, got {value!r}.")
    return float(value)


def check_factor(name, value, unit):
    """log10 of a J- or D-factor as a float, or None."""
    if value is None:
        return None
    number = check_real(name, value)
    if not np.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}; use None if it is unknown.")
    low, high = LOG10_RANGES[name]
    if not low < number < high:
        raise ValueError(
            f"{name} must be the log10 of the value in {unit}, between {low:g} and {high:g}, got "
            f"{number:g}. Was a logarithm taken twice or never, or is the unit another one?"
        )
    return number


def check_widths(name, value):
    """Width(s) in dex: a float, a pair (low, high) if they differ, or None."""
    if value is None:
        return None
    if isinstance(value, (tuple, list)) or np.ndim(value) == 1:
        if len(value) != 2:
            raise ValueError(f"{name} must be one width or a pair (low, high), got {value!r}.")
        low, high = (_width(name, width) for width in value)
        if (low == 0) != (high == 0):
            raise ValueError(f"{name}: either both widths are zero or none, got {value!r}.")
        return low if low == high else (low, high)
    return _width(name, value)


def _width(name, value):
    number = check_real(name, value)
    if not 0 <= number < np.inf:
        raise ValueError(
            f"{name} must not be negative and be finite, got {number}; use None if it is unknown."
        )
    if number > LARGEST_WIDTH:
        raise ValueError(f"{name} must be a width in dex, of log10; got {number:g}.")
    return number


def looks_like_width(name):
    """Whether a name that nothing knows sounds like that of an uncertainty."""
    return bool(re.search(r"sigma|err$|error|uncert|(?<![a-z])(err|sig|std|unc)", name.lower()))


def make_position(ra, dec):
    """Position from right ascension and declination [deg]."""
    if not (np.isfinite(ra) and np.isfinite(dec)):
        raise ValueError(f"ra and dec must both be finite, got {ra} and {dec}.")
    if not (-360 <= ra <= 360 and -90 <= dec <= 90):
        raise ValueError(
            f"ra must lie within +-360 deg and dec within +-90 deg, got ra {ra} and dec {dec}."
        )
    return SkyCoord(ra, dec, unit="deg", frame="icrs")


def check_position(position):
    """Position as a scalar in ICRS and degrees, or None."""
    if position is None:
        return None
    if not isinstance(position, SkyCoord) or not position.isscalar:
        raise ValueError(f"position must be a single SkyCoord or None, got {position!r}.")
    icrs = position.icrs
    return make_position(float(icrs.ra.deg), float(icrs.dec.deg))


def check_quantity(name, value, unit, zero=False):
    """A finite scalar quantity in ``unit``, or None."""
    if value is None:
        return None
    try:
        quantity = u.Quantity(value).to(unit)
    except (u.UnitConversionError, TypeError, ValueError):
        raise ValueError(f"{name} must be a quantity in {unit}, got {value!r}.") from None
    if not quantity.isscalar or not np.isfinite(quantity.value):
        raise ValueError(
            f"{name} must be one finite value, got {value}; use None if it is unknown."
        )
    if quantity.value < 0 or (quantity.value == 0 and not zero):
        raise ValueError(
            f"{name} must {'not be negative' if zero else 'be positive'}, got {value}."
        )
    return quantity


def check_profile(profile):
    """A copy of the halo profile in plain Python: quantities become texts such as '0.35 kpc'."""
    if profile is None:
        return None
    if not isinstance(profile, dict) or not all(isinstance(key, str) for key in profile):
        raise ValueError(f"profile must be a dict with texts as keys, or None; got {profile!r}.")
    return {key: _plain(value) for key, value in profile.items()}


def _plain(value):
    if isinstance(value, u.Quantity):
        number = float(value.value)
        text = f"{number:g}" if float(f"{number:g}") == number else repr(number)
        return f"{text} {value.unit.to_string()}".strip()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return copy.deepcopy(value)
