"""A small calibration database of the LAT in the layout of the real one, with known answers.

Effective area flat in energy, a double King function and a Gaussian energy dispersion of constant
width, so that exposure, containment and matrix elements have closed forms.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits

__all__ = ["SyntheticCALDB", "UniformLivetime"]

ENERGY_EDGES = 10 ** np.arange(1.0, 6.01, 0.5)  # MeV
COSTHETA_EDGES = np.linspace(0.2, 1.0, 9)
TYPES = {
    "FB": ("FRONT", "BACK"),
    "PSF": ("PSF0", "PSF1", "PSF2", "PSF3"),
    "EDISP": ("EDISP0", "EDISP1", "EDISP2", "EDISP3"),
}


@dataclass
class SyntheticCALDB:
    """What the tables hold; every event type has the same shape and ``area / n_type``.

    ``area`` [m2] of all types together; ``area_slope`` b makes it ``area (1 + b (c - 1))``;
    efficiency is ``p0 f + p1``; ``sigma`` [rad], ``gamma`` of the core, ``ntail``, ``stail``,
    ``gtail`` of the tail as in the tables; ``width + width_slope c`` is the standard deviation of
    E'/E.
    """

    irfs: str = "P8R3_SOURCE_V3"
    partition: str = "FB"
    area: float = 0.9
    area_slope: float = 0.0
    p0: float = 0.4
    p1: float = 0.65
    sigma: float = 0.004
    gamma: float = 2.5
    ntail: float = 0.1
    stail: float = 2.0
    gtail: float = 3.0
    width: float = 0.1
    width_slope: float = 0.0
    tables: dict = field(default_factory=dict)

    def write(self, folder):
        """Write the three files; returns their paths by kind."""
        paths = {}
        for kind in ("aeff", "psf", "edisp"):
            hdus = [fits.PrimaryHDU()]
            for name in TYPES[self.partition]:
                hdus.extend(getattr(self, f"_{kind}")(name))
            path = Path(folder) / f"{kind}_{self.irfs}_{self.partition}.fits"
            fits.HDUList(hdus).writeto(path)
            paths[kind] = path
        return paths

    def _grid(self, extension, columns):
        """Table of one row: edges and a value per energy and cosine."""
        bounds = {
            "ENERG_LO": ENERGY_EDGES[:-1],
            "ENERG_HI": ENERGY_EDGES[1:],
            "CTHETA_LO": COSTHETA_EDGES[:-1],
            "CTHETA_HI": COSTHETA_EDGES[1:],
        }
        made = [
            fits.Column(name, f"{len(values)}E", array=[values]) for name, values in bounds.items()
        ]
        n_energy, n_costheta = len(ENERGY_EDGES) - 1, len(COSTHETA_EDGES) - 1
        for name, values in columns.items():
            table = np.broadcast_to(self.tables.get(name, values), (n_costheta, n_energy))
            made.append(
                fits.Column(
                    name, f"{table.size}E", dim=f"({n_energy},{n_costheta})", array=table[None]
                )
            )
        return fits.BinTableHDU.from_columns(made, name=extension)

    @staticmethod
    def _parameters(extension, column, rows):
        rows = np.atleast_2d(rows)
        made = [fits.Column(column, f"{rows.shape[1]}E", array=rows)]
        return fits.BinTableHDU.from_columns(made, name=extension)

    def _aeff(self, name):
        middles = 0.5 * (COSTHETA_EDGES[1:] + COSTHETA_EDGES[:-1])
        area = self.area * (1 + self.area_slope * (middles - 1)) / len(TYPES[self.partition])
        yield self._grid(f"EFFECTIVE AREA_{name}", {"EFFAREA": area[:, None]})
        rows = np.array([[0, self.p0, 0, 2.5, 0, 3.5], [0, self.p1, 0, 2.5, 0, 3.5]])
        if self.p0 == self.p1 == 0:
            rows[:] = 0  # how files say that there is no correction
        yield self._parameters(f"EFFICIENCY_PARAMS_{name}", "EFFICIENCY_PARS", rows)

    def _psf(self, name):
        columns = {
            "NCORE": 1.0, "NTAIL": self.ntail, "SCORE": 1.0, "STAIL": self.stail,
            "GCORE": self.gamma, "GTAIL": self.gtail,
        }  # fmt: skip
        yield self._grid(f"RPSF_{name}", columns)
        yield self._parameters(f"PSF_SCALING_PARAMS_{name}", "PSFSCALE", [0, self.sigma, -0.8])

    def _edisp(self, name):
        # exp(-(u / s)^2) has the standard deviation s / sqrt(2)
        columns = {
            "F": 1.0, "S1": np.sqrt(2), "K1": 1.0, "BIAS": 0.0, "BIAS2": 0.0, "S2": 1.0,
            "K2": 1.0, "PINDEX1": 2.0, "PINDEX2": 1.0,
        }  # fmt: skip
        yield self._grid(f"ENERGY DISPERSION_{name}", columns)
        yield self._parameters(
            f"EDISP_SCALING_PARAMS_{name}", "EDISPSCALE", [0, 0, 0, self.width_slope, 0, self.width]
        )


class UniformLivetime:
    """The same livetime per bin of cos theta everywhere, as a livetime cube would give it.

    Parameters
    ----------
    livetime : float or array, shape (n_costheta,)
        Seconds per bin.
    fraction : float or None
        Livetime fraction; None for a cube without the weighted histogram.
    edges : array, shape (n_costheta + 1,), optional
        Descending.
    """

    def __init__(self, livetime=100.0, fraction=0.9, edges=None):
        self.costheta_edges = np.linspace(1, 0, 41) if edges is None else np.asarray(edges)
        self.livetime = np.broadcast_to(livetime, len(self.costheta_edges) - 1)
        self.fraction = fraction

    def interp(self, position, interpolation="linear"):
        """Livetime and its weighted twin, arrays (n_position, n_costheta)."""
        plain = np.tile(self.livetime, (position.size, 1))
        return plain, None if self.fraction is None else plain * self.fraction
