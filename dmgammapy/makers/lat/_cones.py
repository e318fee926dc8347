"""Cones of selected events: which of several matter, and cuts that only narrow."""

import logging

from ._cuts import angular_separation

__all__ = ["cone_text", "fewest_cones", "narrowed_cones"]

log = logging.getLogger(__name__)

TOLERANCE = 1e-6  # deg; the Science Tools write positions with ten digits
WHOLE_SKY = 180.0  # deg


def cone_text(cone):
    """Cone in a message: ``circle(83.63, 22.01, 15)``, in degrees."""
    return "circle({:g}, {:g}, {:g})".format(*cone)


def fewest_cones(cones):
    """Cones that say the same as several: those that contain another one cut nothing.

    Parameters
    ----------
    cones : iterable of (float, float, float)
        Right ascension, declination and radius [deg].

    Returns
    -------
    cones : tuple of (float, float, float)
        Ascending in radius, so that the same cuts in another order are equal.

    Raises
    ------
    ValueError
        If two of them have nothing in common.

    Examples
    --------
    >>> from dmgammapy.makers.lat._cones import fewest_cones
    >>> fewest_cones([(10, 20, 15), (12, 20, 5)])
    ((12.0, 20.0, 5.0),)
    >>> fewest_cones([(10, 20, 15), (20, 20, 12)])
    ((20.0, 20.0, 12.0), (10.0, 20.0, 15.0))
    """
    kept = []
    numbers = {tuple(float(value) for value in cone) for cone in cones}
    for cone in sorted(numbers, key=lambda cone: (cone[2], *cone[:2])):
        if any(_contains(cone, smaller) for smaller in kept):
            continue
        for smaller in kept:
            if _separation(cone, smaller) >= cone[2] + smaller[2]:
                raise ValueError(
                    f"cones: {cone_text(smaller)} and {cone_text(cone)} deg have nothing in common."
                )
        kept.append(cone)
    return tuple(kept)


def narrowed_cones(there, asked):
    """Cones after a further cut.

    Parameters
    ----------
    there : tuple of (float, float, float)
        Of the selection: right ascension, declination and radius [deg].
    asked : (float, float, float)
        Of the cut. Where it crosses one of the selection, both are kept.

    Returns
    -------
    cones : tuple of (float, float, float)

    Raises
    ------
    ValueError
        If it is wider, or has nothing in common with the selection.
    """
    for cone in there:
        if _contains(asked, cone) and not _contains(cone, asked):
            raise ValueError(
                f"cone: the events are of {cone_text(cone)} deg, and {cone_text(asked)} deg was "
                "asked for, which is not inside; the rest was cut away before. Ask for a part of "
                "what is there or fetch the events again."
            )
    cones = fewest_cones((*there, asked))
    crossed = [cone for cone in there if not _contains(cone, asked)]
    if crossed:
        log.warning(
            "%s deg crosses %s deg, which the events were cut to before: they are of the part "
            "that is in both.",
            cone_text(asked),
            ", ".join(cone_text(cone) for cone in crossed),
        )
    return cones


def _contains(outer, inner):
    """Whether a cone is inside another."""
    return outer[2] >= WHOLE_SKY or _separation(outer, inner) + inner[2] <= outer[2] + TOLERANCE


def _separation(first, second):
    """Angle between the axes of two cones [deg]."""
    return angular_separation(*first[:2], *second[:2])
