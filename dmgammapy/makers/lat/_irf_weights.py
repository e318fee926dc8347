"""How long a position was seen at which inclination, as weights of the response."""

import numpy as np

__all__ = ["costheta_middles", "event_type_weights", "livetime_at"]

INTERPOLATIONS = ("linear", "nearest")
EQUAL_STEPS_RTOL = 1e-4


def check_interpolation(interpolation):
    """Raise ValueError unless it is one that livetime cubes know."""
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"unknown interpolation {interpolation!r} of the livetime cube; "
            f"choose among {', '.join(INTERPOLATIONS)}."
        )


def costheta_middles(edges):
    """Cosines at which the response stands for a bin of the livetime cube.

    The Science Tools take the middle in sqrt(1 - cos theta) for bins equal in it, and the
    arithmetic middle else.

    Parameters
    ----------
    edges : array, shape (n_costheta + 1,)
        Descending.
    """
    edges = np.asarray(edges, dtype=float)
    root = np.sqrt(np.clip(1 - edges, 0, None))
    steps = np.diff(root)
    if np.ptp(steps) <= EQUAL_STEPS_RTOL * np.abs(steps).max():
        return 1 - (0.5 * (root[1:] + root[:-1])) ** 2
    return 0.5 * (edges[1:] + edges[:-1])


def livetime_at(livetime, position, interpolation):
    """Livetime histograms at positions, two arrays (n_position, n_costheta) [s].

    The second, weighted by the livetime fraction, is None where the cube lacks it.
    """
    check_interpolation(interpolation)
    plain, weighted = livetime.interp(position.ravel(), interpolation=interpolation)
    return np.atleast_2d(plain), None if weighted is None else np.atleast_2d(weighted)


def event_type_weights(part, energy, livetime, weighted, costheta, costheta_cut=None):
    """Exposure per inclination bin of one event type and position.

    Parameters
    ----------
    part : object with ``aeff``
        One event type of a `LATResponse`.
    energy : array, shape (n_energy,)
        MeV.
    livetime, weighted : array, shape (n_costheta,)
        Seconds; ``weighted`` may be None if the response has no efficiency correction.
    costheta : array, shape (n_costheta,)
    costheta_cut : float, optional
        Leave out bins whose middle is below.

    Returns
    -------
    weights : array, shape (n_energy, n_costheta)
        cm2 s.
    """
    area = effective_area_grid(part, energy, costheta, costheta_cut)
    plain, correction = part.aeff.efficiency(energy)
    if not np.any(correction):
        return area * plain[:, None] * livetime
    require_weighted(weighted)
    return area * (plain[:, None] * livetime + correction[:, None] * weighted)


def effective_area_grid(part, energy, costheta, costheta_cut=None):
    """Effective area [cm2] with the cut in inclination, array (n_energy, n_costheta)."""
    area = part.aeff.grid(energy, costheta)
    return area if costheta_cut is None else area * (np.asarray(costheta) >= costheta_cut)


def require_weighted(weighted):
    """Raise ValueError where the livetime-weighted histogram is needed and absent."""
    if weighted is None:
        raise ValueError(
            "the livetime cube has no histogram weighted by the livetime fraction "
            "(WEIGHTED_EXPOSURE), which the response's efficiency correction needs: without it "
            "the exposure is wrong by some percent; make the cube anew with it."
        )
