r"""Integrals over a spherical halo, as plain numbers and arrays.

With f the density (decay) or its square (annihilation), D the distance, theta the angle from the
centre and b = D sin(theta), all of them are one-dimensional integrals over the radius r:

- along the line of sight :math:`\int f\, r\, du` with :math:`r = b \cosh u`, twice for radii that
  are crossed twice. The square root at the closest point is gone.
- within a cone: a shell of radius r adds f times the measure of :math:`dl / l` over the part of
  its distances l that lies within the cone, so
  :math:`J = (2 \pi / D) \int r f(r) \Lambda(r, \theta)\, dr` with an analytic :math:`\Lambda`.
  Below b all of the shell is inside, :math:`\Lambda = \ln[(D + r) / |D - r|]`; above b the two
  points where a ray at theta meets the shell, :math:`D \cos\theta \pm \sqrt{r^2 - b^2}`, bound
  the rest. This is exact at any angle, for an observer inside or outside of the halo.

Gauss-Legendre in panels of the logarithm (below b) or of u (above); the panels end at all radii
where something is not smooth.
"""

import astropy.units as u
import numpy as np

__all__ = ["cone_integrals", "line_of_sight", "make_edges", "on_axis"]

CM_PER_KPC = float((1 * u.kpc).to_value("cm"))
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
NODES = 0.5 * (1 + _NODES)
WEIGHTS = 0.5 * _WEIGHTS
# distances from the observer, relative to D, where panels end: the logarithm is singular there
APPROACH = 4.0 ** -np.arange(1, 11)
CHUNK = 2_000_000


def make_edges(low, high, distance, breaks=(), step=1.0):
    """Edges of the panels.

    Parameters
    ----------
    low, high : float or ndarray, shape (...)
        First and last radius.
    distance : float or ndarray, shape (...)
        Distance of the observer.
    breaks : sequence of float
        Radii where f is not smooth.
    step : float
        Largest width of a panel in the logarithm of the radius. Default is 1.

    Returns
    -------
    edges : ndarray, shape (..., n_edges)
        Ascending; some may be equal.
    """
    low, high, distance = (np.asarray(v, float)[..., np.newaxis] for v in (low, high, distance))
    n_steps = max(1, int(np.ceil(np.max(np.log(high / low)) / step)))
    edges = low * (high / low) ** np.linspace(0, 1, n_steps + 1)
    edges[..., -1:] = high
    near = distance * np.concatenate([1 - APPROACH, [1.0], 1 + APPROACH[::-1]])
    parts = [edges, np.broadcast_to(near, edges.shape[:-1] + near.shape[-1:])]
    if len(breaks):
        parts.append(np.broadcast_to(np.asarray(breaks, float), (*edges.shape[:-1], len(breaks))))
    edges = np.sort(np.clip(np.concatenate(parts, axis=-1), low, high), axis=-1)
    if edges.ndim == 1:
        edges = np.unique(edges)
    return edges


def _panels(edges, b):
    """Radii r, s = sqrt(r2 - b2), weights of dr and of ds, and the last radius of each panel.

    Shapes (..., n_panel, n_node), the last one (..., n_panel, 1). Below b, s and ds are zero.
    """
    b = b[..., np.newaxis]
    shape = (*np.broadcast_shapes(edges.shape[:-1], b.shape[:-1]), edges.shape[-1])
    edges = np.sort(np.concatenate([np.broadcast_to(edges, shape), b], axis=-1), axis=-1)
    low, high = edges[..., :-1], edges[..., 1:]
    below = high <= b
    start, stop = (
        np.where(below, np.log(r / b), np.arcsinh(np.sqrt(np.maximum((r - b) * (r + b), 0)) / b))
        for r in (low, high)
    )
    width = (stop - start)[..., np.newaxis]
    below, high = below[..., np.newaxis], high[..., np.newaxis]
    b = b[..., np.newaxis]
    growth = np.exp(start[..., np.newaxis] + width * NODES)
    r = b * np.where(below, growth, 0.5 * (growth + 1 / growth))
    s = b * np.where(below, 0.0, 0.5 * (growth - 1 / growth))
    weights = width * WEIGHTS
    return r, s, weights * np.where(below, r, s), weights * np.where(below, 0.0, r), high


def _tail(f, edge):
    """Integral of f beyond the last edge, a power law."""
    values = f(np.stack([edge, np.e * edge], axis=-1)[..., np.newaxis, :])[..., 0, :]
    first, second = values[..., 0], values[..., 1]
    slope = np.full_like(first, np.inf)
    np.log(first / np.where(second > 0, second, 1.0), out=slope, where=second > 0)
    if np.any(slope <= 1):
        raise ValueError(
            "the integral along the line of sight diverges: the outer slope is "
            f"{np.min(slope):.3g}, not above 1; give r_max."
        )
    return np.where(first > 0, first * edge / (slope - 1), 0.0)


def _in_chunks(function, theta, edges):
    """Call for some angles at a time, so that memory stays bounded."""
    size = max(1, CHUNK // (len(NODES) * edges.shape[-1]))
    if edges.ndim > 1 or len(theta) <= size:
        return function(theta)
    parts = [function(theta[i : i + size]) for i in range(0, len(theta), size)]
    return np.concatenate(parts, axis=-1)


def line_of_sight(f, theta, distance, edges, is_open):
    """Integral of f along lines of sight.

    Parameters
    ----------
    f : callable
        Of radii with shape (..., n_panel, n_node) [kpc].
    theta : ndarray, shape (...)
        Angles from the centre [rad]; b must not be smaller than the first edge.
    distance : float or ndarray, shape (...)
        Distance of the observer [kpc].
    edges : ndarray, shape (n_edges,) or (..., n_edges)
        Edges of panels [kpc] from `make_edges`.
    is_open : bool
        Whether f goes on beyond the last edge, as a power law.

    Returns
    -------
    integral : ndarray, shape (...)
        In units of f times cm.
    """
    tail = _tail(f, edges[..., -1]) if is_open else 0.0

    def some(theta):
        b = distance * np.sin(theta)
        r, _, _, weights, last = _panels(edges, b)
        crossings = np.where(last <= _inner(distance), 2.0, 1.0)
        behind = np.where(last <= _inner(distance), 0.0, 1.0)
        crossings = np.where(np.cos(theta)[..., np.newaxis, np.newaxis] >= 0, crossings, behind)
        inside = np.sum(f(r) * weights * crossings, axis=(-2, -1))
        return CM_PER_KPC * (np.where(b >= edges[..., -1], 0.0, inside) + tail)

    return _in_chunks(some, theta, edges)


def _inner(distance):
    return np.asarray(distance, float)[..., np.newaxis, np.newaxis]


def cone_integrals(f, theta, distance, edges, slope, is_open):
    """Integral of f over a cone and over the sky outside of it.

    Parameters
    ----------
    f, theta, distance, edges, is_open
        As for `line_of_sight`.
    slope : float or ndarray, shape (...)
        f goes as r to the power of -slope within the first edge; below 3.

    Returns
    -------
    integrals : ndarray, shape (2, ...)
        Inside and outside, in units of f times cm times sr.
    """
    tail = _tail(f, edges[..., -1]) if is_open else 0.0
    first = edges[..., :1]
    core = 2 * f(first[..., np.newaxis])[..., 0, 0] * first[..., 0] ** 3
    core = core / (distance * (3 - slope))

    def some(theta):
        sine, cosine = np.sin(theta), np.cos(theta)
        b = distance * sine
        r, s, weights, _, _ = _panels(edges, np.clip(b, first[..., 0], edges[..., -1]))
        values = r * f(r) * weights
        inside, outside = _cone_kernels(r, s, theta[..., np.newaxis, np.newaxis], _inner(distance))
        inside = np.sum(values * inside, axis=(-2, -1)) + core
        outside = np.sum(values * outside, axis=(-2, -1))
        inside = inside + tail * 2 * distance * np.sin(theta / 2) ** 2
        outside = outside + tail * distance * (1 + cosine)
        return 2 * np.pi / distance * CM_PER_KPC * np.stack([inside, outside])

    return _in_chunks(some, theta, edges)


def _cone_kernels(r, s, theta, distance):
    """Lambda inside and outside of the cone; written such that no difference loses digits."""
    sine, cosine = np.sin(theta), np.cos(theta)
    with np.errstate(divide="ignore", invalid="ignore"):
        ahead = cosine > 0
        near = r < distance
        # measures of the whole shell, of its part inside and outside, as arguments of 2 atanh
        shell = np.where(near, r / distance, distance / r)
        product = distance**2 * cosine
        part = sine**2 * distance * (product + r * s)
        part = part / ((r * cosine + s) * ((distance * cosine) ** 2 + r**2))
        rest = s / (distance * cosine)
        crossed = near & ahead & (s > 0)
        argument = np.where(crossed, part, np.where(near, shell, 0.0))
        inside = 2 * np.arctanh(argument)
        outside = np.where(crossed, 2 * np.arctanh(np.where(crossed, rest, 0.0)), 0.0)
        if not np.all(near):
            b2 = (distance * sine) ** 2
            root = np.sqrt(np.maximum(r**2 - b2, 0))
            excess = b2 / (r + root)
            far = distance * cosine + root
            # ahead: ln[(D + r) / far] and ln[far / (r - D)]; behind, far = (r2 - D2) / other
            other = root - distance * cosine
            inside_far = np.where(
                ahead,
                np.log1p((2 * distance * np.sin(theta / 2) ** 2 + excess) / far),
                np.log(other / (r - distance)),
            )
            outside_far = np.where(
                ahead,
                np.log(far / (r - distance)),
                np.log1p((distance * (1 + cosine) + excess) / other),
            )
            inside = np.where(near, inside, inside_far)
            outside = np.where(near, outside, outside_far)
    # panels without width may sit on the singularity itself
    return (np.where(np.isfinite(kernel), kernel, 0.0) for kernel in (inside, outside))


def on_axis(f, distance, edges, slope, is_open):
    """Integral of f along the line of sight through the centre, infinite for slopes from 1 on."""
    if slope >= 1:
        return np.inf
    low, high = edges[:-1, np.newaxis], edges[1:, np.newaxis]
    r = low * (high / low) ** NODES
    crossings = np.where(high <= distance, 2.0, 1.0)
    inside = np.sum(f(r) * r * np.log(high / low) * WEIGHTS * crossings)
    core = 2 * edges[0] * f(edges[:1, np.newaxis])[0, 0] / (1 - slope)
    tail = _tail(f, edges[-1]) if is_open else 0.0
    return CM_PER_KPC * (inside + core + tail)
