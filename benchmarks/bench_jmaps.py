"""Accuracy and speed of J-factors and J maps, as tables: ``python benchmarks/bench_jmaps.py``.

Lines of sight against scipy's adaptive quadrature, without a change of variable; cones against the
rings of those lines of sight; pixels against a map five times as fine. Times are medians, from a
fresh halo on.
"""

import statistics
import time

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.maps import WcsGeom
from scipy.integrate import quad

from dmgammapy.targets import (
    BurkertProfile,
    EinastoProfile,
    GNFWProfile,
    Halo,
    HaloEnsemble,
    IsothermalProfile,
    NFWProfile,
    TabulatedProfile,
)

CM_PER_KPC = 3.0856775814913673e21
GEV, KPC = u.Unit("GeV cm-3"), u.kpc
POSITION = SkyCoord(260.05, 57.92, unit="deg")
BAR_ACCURACY, BAR_SECONDS = 1e-4, 0.2
N_TIMES = 7
PLACES = {
    "dwarf, 80 kpc": (80, None),
    "dwarf, ends at 2 kpc": (80, 2),
    "0.3 kpc at 800 kpc": (800, 0.3),
    "from within, 8.3 kpc": (8.3, None),
}


def profiles():
    rho_s, r_s = 3 * GEV, 0.5 * KPC
    r = np.geomspace(1e-4, 20, 40) * KPC
    return {
        "NFW": NFWProfile(rho_s, r_s),
        "gNFW 1.4": GNFWProfile(rho_s, r_s, gamma=1.4),
        "gNFW 0.5": GNFWProfile(rho_s, r_s, gamma=0.5),
        "Zhao 3, 5, 0.8": GNFWProfile(rho_s, r_s, gamma=0.8, beta=5, alpha=3),
        "Einasto": EinastoProfile(rho_s, r_s),
        "Burkert": BurkertProfile(rho_s, r_s),
        "isothermal": IsothermalProfile(rho_s, r_s),
        "table of 40": TabulatedProfile(r, NFWProfile(rho_s, r_s)(r)),
    }


def line_of_sight(halo, theta, power):
    distance, r_max = halo.distance.value, min(halo.r_max.value, 1e7)
    b, middle = distance * np.sin(theta), distance * np.cos(theta)
    half = np.sqrt(r_max**2 - b**2)
    low = max(-middle, -half)
    decades = np.geomspace(1e-9, 1e7, 33)
    points = np.concatenate([[low, half, 0.0], decades, -decades])
    breaks = np.array([np.sqrt(r * r - b * b) for r in halo.profile.breaks if r > b])
    points = np.unique(np.clip(np.concatenate([points, breaks, -breaks]), low, half))

    def integrand(s):
        return halo.profile.density(np.sqrt(b * b + s * s)) ** power

    pieces = zip(points[:-1], points[1:], strict=True)
    return CM_PER_KPC * sum(
        quad(integrand, *ends, epsabs=0, epsrel=1e-10, limit=200)[0] for ends in pieces
    )


def error_of_lines(halo, power):
    edge = halo.angular_radius.to_value("rad")
    inner = min(0.5, halo.r_max.value) / halo.distance.value
    angles = np.array([1e-7, 1e-4, 0.003, 0.03, 0.3, 0.9]) * min(inner, 1)
    angles = np.append(angles, edge * np.array([0.3, 0.7, 0.99, 0.9999]))
    method = halo.differential_jfactor if power == 2 else halo.differential_dfactor
    expected = np.array([line_of_sight(halo, theta, power) for theta in angles])
    return np.max(np.abs(method(angles * u.rad).value / expected - 1))


def error_of_cones(halo):
    edge = halo.angular_radius.to_value("rad")
    start = 1e-3 * min(0.5, halo.r_max.value) / halo.distance.value
    nodes, weights = np.polynomial.legendre.leggauss(12)
    borders = np.log(np.geomspace(start, 0.9 * edge, 80))
    half = 0.5 * np.diff(borders)[:, np.newaxis]
    theta = np.exp(borders[:-1, np.newaxis] + half * (1 + nodes))
    rings = halo.differential_jfactor(theta * u.rad).value * np.sin(theta) * theta
    rings = 2 * np.pi * np.sum(half * rings * weights)
    difference = halo.jfactor(0.9 * edge * u.rad) - halo.jfactor(start * u.rad)
    return abs(difference.value / rings - 1)


def map_of(halo, n_pixels, factor=1):
    width = 3 * float(halo.containment_radius(0.9).to_value("deg"))
    geom = WcsGeom.create(
        skydir=POSITION,
        npix=n_pixels * factor,
        binsz=min(width, 20) / n_pixels / factor,
        proj="TAN",
    )
    return halo.jfactor_map(geom).data


def error_of_pixels(halo):
    coarse = map_of(halo, 41)
    fine = map_of(halo, 41, 5).reshape(41, 5, 41, 5).sum(axis=(1, 3))
    # what is below a billionth of the map is edge
    seen = fine > 1e-9 * fine.sum()
    return np.max(np.abs(coarse[seen] / fine[seen] - 1))


def seconds_of_map(profile, distance, r_max):
    geom = WcsGeom.create(skydir=POSITION, npix=100, binsz=0.02, proj="TAN")
    times = []
    for _ in range(N_TIMES):
        start = time.perf_counter()
        Halo(profile, distance, r_max, position=POSITION).jfactor_map(geom)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main():
    columns = ("profile", "halo", "J los", "D los", "cone", "pixel", "map [s]", "of bar")
    print(f"Largest relative errors (bar {BAR_ACCURACY:g}); 100 x 100 map (bar {BAR_SECONDS} s)\n")
    print("| {:<14} | {:<21} | {:>7} | {:>7} | {:>7} | {:>7} | {:>7} | {:>6} |".format(*columns))
    print(f"|{'-' * 16}|{'-' * 23}|{('-' * 9 + '|') * 5}{'-' * 8}|")
    worst, slowest = 0.0, 0.0
    for name, profile in profiles().items():
        for place, (distance, r_max) in PLACES.items():
            r_max = None if r_max is None else r_max * KPC
            halo = Halo(profile, distance * KPC, r_max, position=POSITION)
            errors = [error_of_lines(halo, 2), error_of_lines(halo, 1)]
            errors += [error_of_cones(halo), error_of_pixels(halo)]
            seconds = seconds_of_map(profile, distance * KPC, r_max)
            worst, slowest = max(worst, *errors), max(slowest, seconds)
            text = " | ".join(f"{error:7.0e}" for error in errors)
            ratio = seconds / BAR_SECONDS
            print(f"| {name:<14} | {place:<21} | {text} | {seconds:7.3f} | {ratio:6.2f} |")
    print(f"\nworst error {worst:.1e}, slowest map {slowest:.3f} s")

    halo = Halo(profiles()["NFW"], 80 * KPC)
    analytic = 4 * np.pi * 9 * 0.5**3 / (3 * 80**2) * CM_PER_KPC
    print(
        f"NFW, whole halo: log10 J {np.log10(halo.jfactor().value):.4f}, analytic "
        f"{np.log10(analytic):.4f} for one far away"
    )
    times = []
    for _ in range(N_TIMES):
        start = time.perf_counter()
        ensemble = HaloEnsemble.from_covariance(halo, [[0.04, -0.025], [-0.025, 0.02]])
        ensemble.jfactor_prior(0.5 * u.deg)
        times.append(time.perf_counter() - start)
    print(f"J prior from 5000 halos: {statistics.median(times):.2f} s")


if __name__ == "__main__":
    main()
