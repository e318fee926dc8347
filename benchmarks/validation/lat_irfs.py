"""The LAT's response against the Science Tools' exposure cube, published radii and widths.

Run ``python benchmarks/validation/lat_irfs.py DATA`` with the folder of reference data.
"""

import argparse
import time
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from gammapy.maps import MapAxis, WcsGeom

from dmgammapy.makers.lat._irf_psf import sphere_rule
from dmgammapy.makers.lat._parametrised import TABLE
from dmgammapy.makers.lat.edisp import LATEDispMaker
from dmgammapy.makers.lat.exposure import LATExposureMaker
from dmgammapy.makers.lat.livetime_cube import LivetimeCube
from dmgammapy.makers.lat.psf import LATPSFMaker
from dmgammapy.makers.lat.response import LATResponse

POSITION = SkyCoord(83.633, 22.014, unit="deg")


class CosineLivetime:
    """Livetime in proportion to cos theta: how the published radii and widths are weighted."""

    costheta_edges = np.linspace(1, 0, 81)

    def interp(self, position, interpolation="linear"):
        """Livetime and its weighted twin, arrays (n_position, 80)."""
        middles = 0.5 * (self.costheta_edges[1:] + self.costheta_edges[:-1])
        plain = np.tile(middles, (position.size, 1))
        return plain, 0.9 * plain


def reference_exposure(path):
    """Exposure of gtexpcube2 and its geometry."""
    with fits.open(path) as hdus:
        header = hdus[0].header.copy()
        for name in list(header):
            if name.startswith(("MJD", "DATE", "TIME")):
                del header[name]
        axis = MapAxis.from_nodes(
            hdus["ENERGIES"].data.field(0) * u.MeV, name="energy_true", interp="log"
        )
        npix = (header["NAXIS1"], header["NAXIS2"])
        return hdus[0].data.astype(float), WcsGeom(WCS(header).celestial, npix, axes=[axis])


def compare_exposure(folder):
    """Ratio to the reference cube by interpolation of the livetime."""
    expected, geom = reference_exposure(folder / "reference" / "binned_expmap.fits.gz")
    livetime = LivetimeCube.read(folder / "reference" / "ltcube.fits.gz")
    response = LATResponse.read("P8R2_SOURCE_V6", "FB", folder / "caldb")
    print("exposure / gtexpcube2     mean        std         worst")
    for name in ("nearest", "linear"):
        ratio = LATExposureMaker(response, interpolation=name).run(livetime, geom).data / expected
        worst = np.abs(ratio - 1).max()
        print(f"{name:20s} {ratio.mean():10.6f} {ratio.std():12.2e} {worst:12.2e}")


def widths(response, energies):
    """Half of the central 68 % of E'/E, array (n_energy,)."""
    edges, values = np.geomspace(10, 2e7, 8000), []
    for energy in energies:
        true = np.array([energy / 1.0005, energy * 1.0005])
        kernel, _ = LATEDispMaker(response).at(CosineLivetime(), POSITION, edges, true)
        low, high = np.interp([0.16, 0.84], np.cumsum(kernel[0]), edges[1:] / energy)
        values.append(0.5 * (high - low))
    return np.array(values)


def compare_shapes(folder):
    """Radii, widths and normalisation, by partition of the events."""
    edges = np.append(0, np.geomspace(1e-3, 90, 4000))
    middles = 0.5 * (edges[1:] + edges[:-1])
    ring = 2 * np.pi * -np.diff(np.cos(np.deg2rad(edges)))
    radius, weights = sphere_rule()
    energies = TABLE[:, 0]
    for event_type in ("FB", "PSF"):
        response = LATResponse.read("P8R3_SOURCE_V3", event_type, folder / "caldb")
        maker = LATPSFMaker(response)
        psf, _ = maker.at(CosineLivetime(), POSITION, energies, middles)
        inside = np.cumsum(psf * ring, axis=1)
        r68, r95 = (
            np.array([np.interp(fraction, row, edges[1:]) for row in inside])
            for fraction in (0.68, 0.95)
        )
        norm = maker.at(CosineLivetime(), POSITION, energies, np.rad2deg(radius))[0] @ weights
        wide = np.append(np.geomspace(1e-2, 1, 30) * energies[0], np.geomspace(1.01e2, 1e8, 400))
        edisp = np.array([
            LATEDispMaker(response).at(
                CosineLivetime(), POSITION, wide, np.array([e, e * 1.001])
            )[0].sum()
            for e in energies
        ])  # fmt: skip
        print(f"\n{response}\nover the table:  E [GeV]    r68     r95    dE/E   int PSF  int edisp")
        rows = (r68 / TABLE[:, 4], r95 / TABLE[:, 5], widths(response, energies) / TABLE[:, 6])
        for row in zip(energies / 1e3, *rows, norm, edisp, strict=True):
            print("{:24.4g} {:7.3f} {:7.3f} {:7.3f} {:9.5f} {:9.5f}".format(*row))


def time_region(folder):
    """CPU seconds for 10 x 10 deg at 0.1 deg with a margin of 3 deg, 40 energies."""
    livetime = LivetimeCube.read(folder / "reference" / "ltcube.fits.gz")
    true = MapAxis.from_energy_bounds("50 MeV", "2 TeV", nbin=74, name="energy_true")
    energy = MapAxis.from_energy_bounds("100 MeV", "1 TeV", nbin=40)
    geom = WcsGeom.create(skydir=POSITION, npix=160, binsz=0.1, axes=[true])
    for event_type in ("FB", "PSF"):
        start = time.process_time()
        response = LATResponse.read("P8R3_SOURCE_V3", event_type, folder / "caldb")
        jobs = {
            "read": lambda: None,
            "exposure": lambda r=response: LATExposureMaker(r).run(livetime, geom),
            "PSF": lambda r=response: LATPSFMaker(r).run(livetime, POSITION, true),
            "edisp": lambda r=response: LATEDispMaker(r).run(livetime, POSITION, energy, true),
        }
        took = []
        for name, job in jobs.items():
            job()
            took.append(f"{name} {time.process_time() - start:.3f} s")
            start = time.process_time()
        print(f"\n160 x 160 pixels, 74 true and 40 energy bins, {event_type}: {', '.join(took)}")


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of reference data, with lat/ in it")
    folder = parser.parse_args().data / "lat"
    compare_exposure(folder)
    compare_shapes(folder)
    time_region(folder)


if __name__ == "__main__":
    main()
