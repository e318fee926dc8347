"""Build the bundled tables of dmgammapy/spectra/data from the packages that carry them.

    python tools/build_spectra.py [--gammabayes PATH] [--fermipy PATH] [--output DIR]

PPPC4DMID comes from the wheel gammabayes 0.1.9 and DMFit from the sdist fermipy 1.4.3, downloaded
with pip unless their archives are given. The output is the same, byte for byte, on every run. The
licences of both packages are copied beside the tables; README.md there is written by hand. The
script needs an installed dmgammapy (pip install -e .).
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from _download import add_archive_argument, read_members

from dmgammapy.spectra.io.pppc4 import read_pppc4
from dmgammapy.utils import atomic_path

OUTPUT = Path(__file__).resolve().parents[1] / "dmgammapy" / "spectra" / "data"

GAMMABAYES = {
    "name": "gammabayes",
    "version": "0.1.9",
    "binary": True,
    "sha256": "1746aace8296aba0db60c77395dd66a9f59248a268f2541599e53bfc00c176be",
}
PPPC4 = "gammabayes/dark_matter/channel_spectra/PPPC_Tables/AtProduction_gamma_EW_corrections.dat"
GAMMABAYES_LICENCE = "GammaBayes-0.1.9.dist-info/LICENSE"

FERMIPY = {
    "name": "fermipy",
    "version": "1.4.3",
    "sha256": "8bb2537481cafd256484f1e747a92dac2e0cf3e6eedb4a7a172ef6aa36d879ef",
}
DMFIT = "fermipy/data/gammamc_dif.dat"
FERMIPY_LICENCE = "LICENSE.rst"

# the layout of gammamc_dif.dat, which has no header
DMFIT_CHANNELS = "c b t tau W Z mu g e s u d".split()
DMFIT_MASSES = [2, 4, 6, 8, 10, 25, 50, 80.3, 91.2, 100, 150, 176] + [
    200,
    250,
    350,
    500,
    750,
    1000,
    1500,
    2000,
    3000,
    5000,
    7000,
    10000,
]
DMFIT_BINS = 250
DMFIT_DECADES = 10


def build_pppc4(text):
    """Arrays of PPPC4DMID from its text table, entries dN/dlog10(x)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(PPPC4).name
        path.write_bytes(text)
        spectra = read_pppc4(path)
    return spectra.channels, spectra.masses.value, spectra.log10x, spectra.dndlog10x


def build_dmfit(text):
    """Arrays of DMFit from its text table, entries dN/dln(E), as dN/dlog10(x)."""
    values = np.array(text.split(), dtype=float)
    shape = (len(DMFIT_CHANNELS), len(DMFIT_MASSES), DMFIT_BINS)
    if values.size != np.prod(shape):
        raise ValueError(f"{DMFIT}: expected {np.prod(shape)} numbers, got {values.size}")
    # centres of equal bins, the last of which ends at x = 1
    log10x = (np.arange(DMFIT_BINS) + 0.5) * DMFIT_DECADES / DMFIT_BINS - DMFIT_DECADES
    return DMFIT_CHANNELS, DMFIT_MASSES, log10x, values.reshape(shape) * np.log(10)


def write(path, channels, masses, log10x, dndlog10x):
    """Write a compressed table; single precision holds all digits of the sources."""
    with atomic_path(path, overwrite=True) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            channels=np.array(channels),
            masses=np.array(masses, dtype=np.float64),
            log10x=np.round(np.array(log10x, dtype=np.float64), 6),
            dndlog10x=np.array(dndlog10x, dtype=np.float32),
        )
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


def main():
    """Build both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_archive_argument(parser, GAMMABAYES["name"], GAMMABAYES["version"], "--gammabayes")
    add_archive_argument(parser, FERMIPY["name"], FERMIPY["version"], "--fermipy")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: the package's data")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)

    gammabayes = read_members(
        members=[PPPC4, GAMMABAYES_LICENCE], archive=options.gammabayes, **GAMMABAYES
    )
    write(options.output / "pppc4.npz", *build_pppc4(gammabayes[PPPC4]))
    (options.output / "LICENSE-gammabayes.txt").write_bytes(gammabayes[GAMMABAYES_LICENCE])

    fermipy = read_members(members=[DMFIT, FERMIPY_LICENCE], archive=options.fermipy, **FERMIPY)
    write(options.output / "dmfit.npz", *build_dmfit(fermipy[DMFIT]))
    (options.output / "LICENSE-fermipy.txt").write_bytes(fermipy[FERMIPY_LICENCE])


if __name__ == "__main__":
    main()
