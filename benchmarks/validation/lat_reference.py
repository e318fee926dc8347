"""Products of the Science Tools for one day of the Crab, made anew: a table and a figure.

``python benchmarks/validation/lat_reference.py [--out FOLDER]``

The reference is GammaLib's test data: event and spacecraft files of 2008-08-04, and what gtselect,
gtmktime, gtbin, gtltcube and gtexpcube2 made of them with P8R2_SOURCE_V6.
"""

import argparse
import os
import sys
import warnings
from pathlib import Path

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import FITSFixedWarning
from reporting import markdown, save

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lat_region import find_data

from dmgammapy.makers.lat import (
    LATDatasetMaker,
    LATExposureMaker,
    LATGoodTimeSelector,
    LATLivetimeMaker,
    LATPSFMaker,
    LATResponse,
    LivetimeCube,
    read_counts_cube,
    read_exposure_cube,
)

CRAB = SkyCoord(83.6331, 22.0145, unit="deg")
# P8R3_SOURCE_V3 FRONT+BACK, published 68 and 95 % radii [deg] by energy [GeV]
ENERGY = np.array([0.1, 0.316, 1, 3.16, 10, 31.6, 100, 316, 1000])
R68 = np.array([5.13, 2.07, 0.781, 0.313, 0.152, 0.103, 0.097, 0.094, 0.082])
R95 = np.array([12.8, 5.67, 2.52, 1.25, 0.684, 0.495, 0.418, 0.360, 0.292])


class CosineLivetime:
    """Livetime in proportion to cos(theta), by which the published radii are averaged."""

    costheta_edges = np.linspace(1, 0, 81)

    def interp(self, position, interpolation="linear"):
        """Livetime and weighted livetime, arrays (n_position, 80)."""
        plain = np.tile(
            0.5 * (self.costheta_edges[1:] + self.costheta_edges[:-1]), (position.size, 1)
        )
        return plain, 0.9 * plain


def measure(folder):
    """Rows (stage, quantity, reference, here), and what the figure shows."""
    day = folder / "reference"
    files = day / "ft1.fits.gz", day / "ft2.fits.gz"
    good = LATGoodTimeSelector().run(*files)
    rows = [("gtmktime", "good times", "15, 63 395.650 s", f"{len(good.gti)}, {good.ontime:.3f}")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        cube = read_counts_cube(day / "cntmap.fits.gz")
        expected = read_exposure_cube(day / "binned_expmap.fits.gz")
    response = LATResponse.read("P8R2_SOURCE_V6", caldb=folder / "caldb")
    reference = LivetimeCube.read(day / "ltcube.fits.gz")
    maker = LATDatasetMaker(geom=cube.geom, response=response, show_progress=False)
    (dataset,) = maker.run(*files)
    counts, found = cube.data, dataset.counts.data
    moved = np.abs(counts - found).sum() / 2
    rows.append(
        (
            "gtbin",
            "events; in other voxels",
            f"{counts.sum():.0f}",
            f"{found.sum():.0f}; {moved:.0f}",
        )
    )
    livetime = LATLivetimeMaker().run(*files, reference=reference)
    for name in ("data", "weighted"):
        here, theirs = getattr(livetime, name), getattr(reference, name)
        rms = np.sqrt(np.mean((here - theirs) ** 2) / np.mean(theirs**2))
        rows.append(("gtltcube", f"{name}: relative rms", "0", f"{rms:.1e}"))
    ratios = {}
    for how in ("nearest", "linear"):
        made = LATExposureMaker(response, interpolation=how).run(reference, expected.geom)
        ratio = ratios[how] = made.data / expected.data
        text = f"{ratio.mean():.6f}; {ratio.std():.1e}; {np.abs(ratio - 1).max():.1e}"
        rows.append(("gtexpcube2", f"{how}: mean ratio; std; worst", "1; 0; 0", text))
    return rows, (livetime, reference, ratios["nearest"], psf_ratios(folder))


def psf_ratios(folder):
    """Radii of the PSF over the published ones, {fraction: array}."""
    from gammapy.maps import MapAxis

    response = LATResponse.read("P8R3_SOURCE_V3", caldb=folder / "caldb")
    axis = MapAxis.from_nodes(ENERGY * u.GeV, name="energy_true", interp="log")
    psf = LATPSFMaker(response).run(CosineLivetime(), CRAB, axis)
    return {
        fraction: psf.containment_radius(fraction, ENERGY * u.GeV).to_value("deg") / radius
        for fraction, radius in ((0.68, R68), (0.95, R95))
    }


def plot(livetime, reference, exposure, psf):
    """Livetime of the Crab, and ratios of livetime, exposure and PSF."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    edges = reference.costheta_edges[::-1]
    for cube, style in ((reference, {"lw": 3, "color": "0.75", "label": "gtltcube"}),
                        (livetime, {"color": "C0", "label": "LATLivetimeMaker"})):  # fmt: skip
        values = cube.interp(CRAB, interpolation="nearest")[0][0]
        axes[0].stairs((values / -np.diff(cube.costheta_edges))[::-1] / 3600, edges, **style)
    axes[0].set(
        xlabel=r"$\cos\theta$", ylabel=r"Livetime per $\cos\theta$ [h]", title="Crab, one day"
    )
    axes[0].legend()
    axes[1].hist(1e3 * (exposure.ravel() - 1), bins=60, color="C0")
    axes[1].set(
        xlabel=r"$10^3$ (exposure / gtexpcube2 $-$ 1)",
        ylabel="Pixels",
        title="Exposure, same livetime",
    )
    for fraction, ratio in psf.items():
        axes[2].semilogx(ENERGY, ratio, "o-", label=f"{100 * fraction:.0f} %")
    axes[2].axhspan(0.99, 1.01, color="0.9", zorder=0)
    axes[2].set(xlabel="Energy [GeV]", ylabel="Radius / published", title="PSF, P8R3_SOURCE_V3",
                ylim=(0.97, 1.03))  # fmt: skip
    axes[2].legend(title="Containment")
    return figure


def main():
    """Print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="folder of the figure")
    arguments = parser.parse_args()
    os.environ.setdefault("MPLBACKEND", "Agg")
    rows, drawn = measure(find_data() / "lat")
    titles = ("tool", "quantity", "reference", "here")
    print(markdown(dict(zip(titles, map(list, zip(*rows, strict=True)), strict=True))))
    for fraction, ratio in drawn[-1].items():
        print(f"PSF, {100 * fraction:.0f} %: worst {100 * np.abs(ratio - 1).max():.1f} %")
    save(plot(*drawn), arguments.out, "lat_reference")


if __name__ == "__main__":
    main()
