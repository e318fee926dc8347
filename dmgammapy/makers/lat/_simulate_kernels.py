"""Kernels of simulated events: plain arrays, degrees of freedom from a numpy Generator."""

import math

from numba import njit


@njit(cache=True)
def effective_area(table, x, y, fraction, i_type):
    """Bilinear in node coordinates, linear in the livetime fraction.

    ``table`` has shape (n_type, n_energy, n_costheta, 2): values without and with full livetime.
    """
    n_x, n_y = table.shape[1], table.shape[2]
    i = min(max(int(x), 0), n_x - 2)
    j = min(max(int(y), 0), n_y - 2)
    u, v = x - i, y - j
    low = 0.0
    high = 0.0
    for a in range(2):
        for b in range(2):
            w = (u if a else 1.0 - u) * (v if b else 1.0 - v)
            low += w * table[i_type, i + a, j + b, 0]
            high += w * table[i_type, i + a, j + b, 1]
    return max(low + fraction * (high - low), 0.0)


@njit(cache=True)
def accept_rows(random, direction, x_energy, envelope, axis, live, fraction, table, grid, out):
    """Throw photons at the spacecraft's rows and keep those that the detector sees.

    A row is drawn with equal chances for all, the photon kept with chance
    ``live * area(energy, theta, fraction) / envelope``: thinning of a Poisson process, exact as
    long as the envelope is above the area (Lewis & Shedler 1979, Naval Res. Logist. 26, 403).

    Parameters
    ----------
    random : `~numpy.random.Generator`
    direction : array, shape (n, 3)
        True directions.
    x_energy : array, shape (n,)
        True energies in nodes of the table.
    envelope : array, shape (n,)
        Above the effective area, summed over types, at this energy.
    axis : array, shape (n_row, 3)
        The LAT's z axis.
    live : array, shape (n_row,)
        Livetime relative to the longest one.
    fraction : array, shape (n_row,)
        Livetime over elapsed time.
    table : array, shape (n_type, n_energy, n_costheta, 2)
        Effective area.
    grid : (float, float)
        First cos(theta) of the table and step of its nodes.
    out : array of int, shape (n, 2)
        Receives row and type, or -1 where the photon is not seen.

    Returns
    -------
    excess : float
        Largest ratio of area to envelope met; above 1 the envelope was too low.
    """
    n_row = len(live)
    n_type = table.shape[0]
    worst = 0.0
    for k in range(len(direction)):
        out[k, 0] = -1
        row = min(int(random.random() * n_row), n_row - 1)
        chance = random.random() * envelope[k]
        costheta = (
            direction[k, 0] * axis[row, 0]
            + direction[k, 1] * axis[row, 1]
            + direction[k, 2] * axis[row, 2]
        )
        if costheta < grid[0]:
            continue
        y = (costheta - grid[0]) / grid[1]
        total = 0.0
        for t in range(n_type):
            total += effective_area(table, x_energy[k], y, fraction[row], t)
        worst = max(worst, total / envelope[k])
        total *= live[row]
        if chance >= total:
            continue
        # what is left of the random number tells the type
        part = 0.0
        for t in range(n_type):
            part += live[row] * effective_area(table, x_energy[k], y, fraction[row], t)
            if chance < part or t == n_type - 1:
                out[k, 0] = row
                out[k, 1] = t
                break
    return worst


@njit(cache=True)
def draw_from_table(random, cdf, nodes, i_type, x, y):
    """One value from distributions tabulated on nodes of energy and cos(theta).

    A neighbouring node is chosen with the weight of linear interpolation, so that values follow
    the interpolated distributions.

    Parameters
    ----------
    random : `~numpy.random.Generator`
    cdf : array, shape (n_type, n_energy, n_costheta, n_value)
        From 0 to 1 along the last axis.
    nodes : array, shape (n_value,)
    i_type : int
    x, y : float
        In nodes.

    Returns
    -------
    value : float
    """
    i = min(max(int(x + random.random()), 0), cdf.shape[1] - 1)
    j = min(max(int(y + random.random()), 0), cdf.shape[2] - 1)
    row = cdf[i_type, i, j]
    u = random.random()
    low, high = 0, len(nodes) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if row[middle] <= u:
            low = middle
        else:
            high = middle
    step = row[high] - row[low]
    part = (u - row[low]) / step if step > 0 else 0.5
    return nodes[low] + part * (nodes[high] - nodes[low])


@njit(cache=True)
def tilt(direction, angle, azimuth):
    """Unit vector at an angle from another."""
    x, y, z = direction
    # an axis that is not along the direction
    if abs(z) < 0.9:
        length = math.sqrt(x * x + y * y)
        ax, ay, az = -y / length, x / length, 0.0
    else:
        length = math.sqrt(y * y + z * z)
        ax, ay, az = 0.0, -z / length, y / length
    bx, by, bz = y * az - z * ay, z * ax - x * az, x * ay - y * ax
    c, s = math.cos(angle), math.sin(angle)
    ca, sa = s * math.cos(azimuth), s * math.sin(azimuth)
    return c * x + ca * ax + sa * bx, c * y + ca * ay + sa * by, c * z + ca * az + sa * bz


@njit(cache=True)
def measure(random, direction, energy, x, y, i_type, psf_cdf, separation, edisp_cdf, ratio, which):
    """Measured directions and energies, in place.

    Parameters
    ----------
    random : `~numpy.random.Generator`
    direction : array, shape (n, 3)
    energy : array, shape (n,)
    x, y : array, shape (n,)
        True energy and cos(theta) in nodes of both tables.
    i_type : array of int, shape (n,)
    psf_cdf, edisp_cdf : array, shape (n_type, n_energy, n_costheta, n_value)
    separation, ratio : array, shape (n_value,)
        Radians, and measured over true energy.
    which : (bool, bool)
        Whether to apply PSF and energy dispersion.
    """
    for k in range(len(energy)):
        if which[0]:
            angle = draw_from_table(random, psf_cdf, separation, i_type[k], x[k], y[k])
            azimuth = 2 * math.pi * random.random()
            new = tilt((direction[k, 0], direction[k, 1], direction[k, 2]), angle, azimuth)
            direction[k, 0], direction[k, 1], direction[k, 2] = new
        if which[1]:
            energy[k] *= draw_from_table(random, edisp_cdf, ratio, i_type[k], x[k], y[k])
