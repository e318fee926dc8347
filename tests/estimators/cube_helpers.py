"""A castro cube whose likelihood is known in closed form."""

import astropy.units as u
import numpy as np
from gammapy.maps import WcsGeom
from scipy.optimize import brentq

from dmgammapy.estimators.castro_cube import CastroCube

EFLUX = u.Unit("GeV cm-2 s-1")
DELTA_95 = 2.705543


class PoissonCube:
    """Counts of a map of ny = 3 and nx = 4 pixels in energy bins, and their exact likelihood."""

    def __init__(self, n_bins=6, seed=3, shape=(3, 4), n_points=60):
        rng = np.random.default_rng(seed)
        self.edges = np.geomspace(0.5, 500, n_bins + 1) * u.GeV
        center = np.sqrt(self.edges[1:] * self.edges[:-1]).value
        self.ref_eflux = 1e-9 * np.linspace(1, 2, n_bins)  # GeV cm-2 s-1
        self.signal = self.ref_eflux / center * 3e11  # counts of norm 1
        self.background = 40 * (center / 0.6) ** -1.1
        source = np.zeros((*shape, 1))
        source[1, 2] = 30.0
        self.counts = rng.poisson(self.background + source / center)
        self.geom = WcsGeom.create(
            npix=shape[::-1], binsz=0.5, skydir=(30, 20), frame="galactic", proj="TAN"
        )
        end = (np.maximum(self.counts - self.background, 0) + 7 * np.sqrt(self.counts + 1) + 8) / (
            self.signal
        )
        self.norm_scan = np.linspace(0, 1, n_points) * end[..., None]
        minimum = self.stat(self.best)
        mu = self.background[:, None] + self.signal[:, None] * self.norm_scan
        self.stat_scan = 2 * (mu - self.counts[..., None] * np.log(mu)) - minimum[..., None]
        self.minimum = minimum

    def stat(self, norm):
        """-2 ln L of norms (ny, nx, n_bins)."""
        mu = self.background + self.signal * norm
        return 2 * (mu - self.counts * np.log(mu))

    @property
    def best(self):
        """Best norm of each bin, n - b over s."""
        return np.maximum(self.counts - self.background, 0) / self.signal

    @property
    def ts(self):
        return self.stat(0 * self.best) - self.stat(self.best)

    def norm_ul(self, iy, ix, b):
        """Upper limit by root finding on the exact likelihood."""
        n, bkg, s = self.counts[iy, ix, b], self.background[b], self.signal[b]

        def rise(norm):
            mu, low = bkg + s * norm, max(n, bkg)
            return 2 * (mu - low - n * np.log(mu / low)) - DELTA_95

        return brentq(rise, self.best[iy, ix, b], 100 * (n + 10) / s, xtol=1e-12)

    def strength_ul(self, norm_of_unit, iy, ix):
        """Limit, best fit and TS of a strength that predicts norms (n_bins,), exactly."""
        from scipy.optimize import minimize_scalar

        scale = 1 / norm_of_unit.max()

        def stat(x):
            mu = self.background + self.signal * norm_of_unit * x * scale
            return float(np.sum(2 * (mu - self.counts[iy, ix] * np.log(mu))))

        grid = np.append(0, np.geomspace(1e-6, 1e3, 400))
        values = [stat(x) for x in grid]
        k = int(np.argmin(values))
        best = 0.0
        if k > 0:
            bounds = (grid[k - 1], grid[k + 1])
            best = minimize_scalar(
                stat, bounds=bounds, method="bounded", options={"xatol": 1e-12}
            ).x
        low = min(stat(best), stat(0.0))
        ul = brentq(lambda x: stat(x) - low - DELTA_95, best, 1e4, xtol=1e-14)
        return ul * scale, best * scale, stat(0.0) - low

    def cube(self, **kwargs):
        arguments = {
            "geom": self.geom,
            "energy_edges": self.edges,
            "norm_scan": self.norm_scan,
            "stat_scan": self.stat_scan,
            "stat": self.minimum,
            "ref_eflux": self.ref_eflux * EFLUX,
            "ref_npred": self.signal,
            "instrument": "toy",
        }
        return CastroCube(**arguments | kwargs)
