"""Response of the simulated LAT: exposure, PSF and energy dispersion from one small table.

P8R3_SOURCE_V3, FRONT+BACK, averaged over the sky. The PSF is a King function, whose two shape
parameters are solved so that the radii of 68 % and 95 % containment are those of the table.
"""

import astropy.units as u
import numpy as np
from gammapy.irf import EDispKernel, EDispKernelMap, PSFMap
from gammapy.maps import Map, MapAxis, WcsGeom
from scipy.optimize import brentq
from scipy.stats import norm

ENERGY = np.array([0.1, 0.316, 1, 3.16, 10, 31.6, 100, 316, 1000])  # GeV
EXPOSURE = np.array([1.32, 2.82, 3.99, 4.43, 4.38, 4.43, 4.43, 4.38, 3.85]) * 1e10  # cm2 s per yr
ACCEPTANCE = np.array([0.68, 1.57, 2.25, 2.50, 2.45, 2.50, 2.50, 2.47, 2.14])  # m2 sr
R68 = np.array([5.13, 2.07, 0.781, 0.313, 0.152, 0.103, 0.097, 0.094, 0.082])  # deg
R95 = np.array([12.8, 5.67, 2.52, 1.25, 0.684, 0.495, 0.418, 0.360, 0.292])  # deg
RESOLUTION = np.array([0.192, 0.135, 0.096, 0.076, 0.065, 0.067, 0.079, 0.096, 0.132])  # dE/E
RAD_MAX = 12.0  # deg, the PSF is cut there
N_RAD = 300


def interpolate(energy, values):
    """A column of the table at energies [GeV], linear in the logarithms."""
    return np.exp(np.interp(np.log(energy), np.log(ENERGY), np.log(values)))


def energy_axes(n_bins=24, below=2, above=2):
    """Reconstructed energy from 0.5 to 500 GeV, and true energy: the same with bins around."""
    edges = np.geomspace(0.5, 500.0, n_bins + 1)
    step = edges[1] / edges[0]
    low = edges[0] * step ** np.arange(-below, 0.0)
    high = edges[-1] * step ** np.arange(1.0, above + 1)
    energy = MapAxis.from_energy_edges(edges, unit="GeV")
    energy_true = MapAxis.from_energy_edges(
        np.concatenate([low, edges, high]), unit="GeV", name="energy_true"
    )
    return energy, energy_true


def exposure_map(geom, margin, energy_true, years):
    """Uniform exposure on the pixels of the counts and a margin [deg] of more of them."""
    n = int(round(margin / geom.pixel_scales[0].to_value("deg")))
    wide = geom.to_image().pad(n, axis_name=None).to_cube([energy_true])
    values = years * interpolate(energy_true.center.to_value("GeV"), EXPOSURE)
    exposure = Map.from_geom(wide, unit="cm2 s")
    exposure.data += values[:, None, None]
    return exposure


def king_shape(r68, r95, rad_max=RAD_MAX):
    """Parameters (a, p) of the containment 1 - (1 + r^2 / a)^-p, cut at ``rad_max``."""

    def contained(rad, a, p):
        return -np.expm1(-p * np.log1p(rad**2 / a))

    def scale(p):
        def miss(log_a):
            a = np.exp(log_a)
            return contained(r68, a, p) / contained(rad_max, a, p) - 0.68

        return np.exp(brentq(miss, np.log(r68**2) - 25, np.log(r68**2) + 12))

    def miss(log_p):
        p = np.exp(log_p)
        a = scale(p)
        return contained(r95, a, p) / contained(rad_max, a, p) - 0.95

    p = np.exp(brentq(miss, np.log(0.3), np.log(30.0)))
    return scale(p), p


def _one_pixel():
    """The sky as one pixel: Gammapy then makes one PSF kernel for all sources."""
    return WcsGeom.create(npix=(1, 1), binsz=360, proj="CAR")


def psf_map(energy_true):
    """PSF by true energy, the same everywhere."""
    rad_edges = RAD_MAX * np.linspace(0, 1, N_RAD + 1) ** 2
    rad = MapAxis.from_edges(rad_edges, unit="deg", name="rad")
    r = rad.center.to_value("deg")
    sr = u.deg.to("rad") ** 2
    values = []
    for energy in energy_true.center.to_value("GeV"):
        a, p = king_shape(interpolate(energy, R68), interpolate(energy, R95))
        total = -np.expm1(-p * np.log1p(RAD_MAX**2 / a))
        values.append(p / (np.pi * a) * (1 + r**2 / a) ** (-p - 1) / total / sr)
    psf = Map.from_geom(_one_pixel().to_cube([rad, energy_true]), unit="sr-1")
    psf.data += np.array(values)[:, :, None, None]
    return PSFMap(psf)


def edisp_map(energy, energy_true, n_points=20):
    """Gaussian energy dispersion, averaged over true-energy bins with weight 1 / E^2."""
    edges = energy.edges.to_value("GeV")
    rows = []
    for low, high in zip(
        energy_true.edges_min.to_value("GeV"), energy_true.edges_max.to_value("GeV"), strict=True
    ):
        # equal steps of 1/E are equal weights
        fraction = (np.arange(n_points) + 0.5) / n_points
        true = 1 / (1 / low + fraction * (1 / high - 1 / low))
        sigma = true * interpolate(true, RESOLUTION)
        share = norm.cdf((edges[None] - true[:, None]) / sigma[:, None])
        rows.append(np.diff(share, axis=1).mean(axis=0))
    matrix = np.array(rows)
    matrix[matrix < 1e-9] = 0
    kernel = EDispKernel(axes=[energy_true, energy], data=matrix)
    return EDispKernelMap.from_edisp_kernel(kernel, geom=_one_pixel())
