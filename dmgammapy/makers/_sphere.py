"""Points on the sphere: candidates in a cap and distances. Radians and unit vectors only."""

import numpy as np

__all__ = ["cap_points", "chord", "lattice_points", "rotate_to", "unit_vectors"]

# of n points on a Fibonacci lattice the closest two are 3.09 / sqrt(n) apart; a little less
LATTICE_CONSTANT = 3.05
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


def unit_vectors(lon, lat):
    """Unit vectors, shape (..., 3)."""
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def chord(angle):
    """Distance of two unit vectors this far apart."""
    return 2 * np.sin(0.5 * np.minimum(angle, np.pi))


def cap_points(uniform, radius):
    """Points uniform in area in a cap around the pole.

    Parameters
    ----------
    uniform : array, shape (n, 2)
        Uniform in 0 to 1.
    radius : float
        Of the cap; pi is the sphere.

    Returns
    -------
    vectors : array, shape (n, 3)
    """
    distance = 2 * np.arcsin(np.sqrt(uniform[:, 0]) * np.sin(0.5 * radius))
    return unit_vectors(2 * np.pi * uniform[:, 1], 0.5 * np.pi - distance)


def lattice_points(spacing, radius, phase):
    """Fibonacci lattice in a cap around the pole, from the pole outwards.

    Parameters
    ----------
    spacing : float
        Least distance of neighbours.
    radius : float
        Of the cap.
    phase : float
        Angle of the first point.

    Returns
    -------
    vectors : array, shape (n, 3)

    References
    ----------
    Gonzalez 2010, Mathematical Geosciences 42, 49.
    """
    n = max(int((LATTICE_CONSTANT / spacing) ** 2), 1)
    inside = min(int(np.ceil(n * np.sin(0.5 * radius) ** 2 + 1)), n)
    i = np.arange(inside)
    distance = 2 * np.arcsin(np.sqrt((i + 0.5) / n))
    keep = distance <= radius
    return unit_vectors(phase + GOLDEN_ANGLE * i, 0.5 * np.pi - distance)[keep]


def rotate_to(vectors, lon, lat):
    """Turn the pole to a direction; shape (n, 3)."""
    sin_lat, cos_lat, sin_lon, cos_lon = np.sin(lat), np.cos(lat), np.sin(lon), np.cos(lon)
    matrix = np.array(
        [
            [sin_lat * cos_lon, -sin_lon, cos_lat * cos_lon],
            [sin_lat * sin_lon, cos_lon, cos_lat * sin_lon],
            [-cos_lat, 0.0, sin_lat],
        ]
    )
    return vectors @ matrix.T
