"""Sums of livetime cubes (gtltsum)."""

import numpy as np

from ._gti import intersect_gti, merge_gti

__all__ = ["is_aligned", "stack_cubes"]

EDGE_ATOL = 1e-6
SAME_DIRECTION = 1e-6  # deg
OVERLAP = 1e-6  # s


def is_aligned(first, second):
    """Whether two livetime cubes have the same directions and bins.

    Parameters
    ----------
    first, second : `LivetimeCube`
    """
    geometries = [(cube.nside, cube.ordering, cube.frame) for cube in (first, second)]
    if geometries[0] != geometries[1] or first.data.shape != second.data.shape:
        return False
    if not np.allclose(first.costheta_edges, second.costheta_edges, rtol=0, atol=EDGE_ATOL):
        return False
    if first.nside is None:
        separation = first.directions.separation(second.directions).deg
        return bool((separation < SAME_DIRECTION).all())
    return (first.pixels is None) == (second.pixels is None) and (
        first.pixels is None or bool((first.pixels == second.pixels).all())
    )


def stack_cubes(cube, other):
    """Add the livetime of another cube in place, see `LivetimeCube.stack`.

    Parameters
    ----------
    cube, other : `LivetimeCube`
    """
    if not is_aligned(cube, other):
        raise ValueError(
            f"livetime cubes add up on the same directions and bins only, got {cube!r} and "
            f"{other!r}."
        )
    zeniths = [(one.meta.get("zenith_min", 0), one.zenith_max) for one in (cube, other)]
    if zeniths[0] != zeniths[1]:
        raise ValueError(
            "livetime cubes add up with the same zenith cut only, got zenith angles "
            f"{' and '.join(f'from {low} to {high or 180} deg' for low, high in zeniths)}."
        )
    if (cube.weighted is None) != (other.weighted is None):
        raise ValueError("one of the livetime cubes has no weighted livetime.")
    cube.gti = _joint_gti(cube.gti, other.gti)
    cube.data += other.data
    if cube.weighted is not None:
        cube.weighted += other.weighted
    _stack_meta(cube.meta, other.meta)


def _joint_gti(first, second):
    """Good times of both; an error where they overlap."""
    if first is None or second is None:
        raise ValueError(
            "livetime cubes without good time intervals can't be added: whether they overlap is "
            "unknown."
        )
    common = intersect_gti(first, second)
    length = common[:, 1] - common[:, 0]
    if (length > OVERLAP).any():
        start, stop = common[length > OVERLAP][0]
        raise ValueError(
            f"good times of the livetime cubes overlap, first from {start:.3f} to {stop:.3f} s "
            f"({length.sum():.6g} s in all): that livetime would count twice."
        )
    return merge_gti(first, second)


def _stack_meta(meta, other):
    """What is a sum is summed, what is not the same in both is left out."""
    for key in ("livetime", "uncovered", "n_rows"):
        values = meta.pop(key, None), other.get(key)
        if None not in values:
            meta[key] = sum(values)
    for key in ("scale", "zenith_max_from", "zenith_max_events"):
        if key in meta and meta[key] != other.get(key):
            del meta[key]
