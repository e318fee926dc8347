"""Conditions that choose among targets."""

import fnmatch
import logging

import astropy.units as u
from astropy.coordinates import Angle, SkyCoord

from ._names import UnknownNameError, closest_first

__all__ = ["select_targets"]

log = logging.getLogger(__name__)


def select_targets(
    targets, factor, *, names, version, has_jfactor, has_jfactor_err, min_log10_jfactor,
    max_distance, center, radius,
):  # fmt: skip
    """Targets that fulfil all conditions that are not None, see `Targets.select`."""
    kept = list(targets)
    if names is not None:
        kept = _matching(kept, names)
    if version is not None:
        patterns = [version] if isinstance(version, str) else list(version)
        kept = [t for t in kept if t.version and _fits(t.version, patterns)]
    for field, wanted in ((factor, has_jfactor), (f"{factor}_err", has_jfactor_err)):
        if wanted is not None:
            kept = [t for t in kept if (getattr(t, field) is not None) is bool(wanted)]
    if min_log10_jfactor is not None:
        limit = float(min_log10_jfactor)
        kept = _where(kept, factor, lambda value: value >= limit)
    if max_distance is not None:
        farthest = _as_quantity("max_distance", max_distance, "kpc")
        kept = _where(kept, "distance", lambda value: value <= farthest)
    if (center is None) != (radius is None):
        raise ValueError("center and radius belong together; one is absent.")
    if center is not None:
        if not isinstance(center, SkyCoord) or not center.isscalar:
            raise ValueError(f"center must be a single SkyCoord, got {center!r}.")
        angle = _as_angle("radius", radius)
        kept = _where(kept, "position", lambda value: value.separation(center) <= angle)
    return kept


def _matching(targets, names):
    patterns = [names] if isinstance(names, str) else list(names)
    for pattern in patterns:
        if not any(_fits(t.name, [pattern]) or t.key == pattern for t in targets):
            known = closest_first(pattern, [t.name for t in targets])
            raise UnknownNameError(f"no target {pattern!r}; there are {known}.")
    return [t for t in targets if _fits(t.name, patterns) or t.key in patterns]


def _fits(name, patterns):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _where(targets, field, condition):
    """Targets whose value is known and fulfils the condition."""
    unknown = [target.key for target in targets if getattr(target, field) is None]
    if unknown:
        log.info("left out because their %s is unknown: %s", field, ", ".join(unknown))
    known = [target for target in targets if getattr(target, field) is not None]
    return [target for target in known if condition(getattr(target, field))]


def _as_quantity(name, value, unit):
    try:
        return u.Quantity(value).to(unit)
    except (u.UnitConversionError, TypeError, ValueError):
        raise ValueError(f"{name} must be a quantity in {unit}, got {value!r}.") from None


def _as_angle(name, value):
    try:
        return Angle(value)
    except (u.UnitsError, TypeError, ValueError):
        raise ValueError(f"{name} must be an angle such as '5 deg', got {value!r}.") from None
