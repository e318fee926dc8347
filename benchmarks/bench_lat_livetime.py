"""Accuracy and speed of livetime cubes, as a table: ``python benchmarks/bench_lat_livetime.py``.

Fifteen years are one day of a real spacecraft file over and over, turned by the precession of the
orbit. ``--years 1`` makes a quick run; the bars are for fifteen years and scale with them. CPU
time is that of all threads, and does not depend on what else the machine does.
"""

import argparse
import logging
import os
import time
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord

from dmgammapy.makers.lat._gti import merge_gti
from dmgammapy.makers.lat.livetime import LATLivetimeMaker
from dmgammapy.makers.lat.livetime_cube import LivetimeCube
from dmgammapy.makers.lat.spacecraft import LATSpacecraft

DATA = os.environ.get("DMGAMMAPY_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")
REFERENCE = Path(DATA) / "lat" / "reference"
N_ROW, YEARS = 13_500_000, 15
PRECESSION = 360 / 53.4  # deg per day, westward
DRACO = SkyCoord(260.05, 57.92, unit="deg")
CASES = [  # name, cores, bar [s], configuration
    ("100 directions, no zenith cut", 1, 6, {"directions": "square"}),
    ("100 directions, zenith < 90 deg", 1, 6, {"directions": "square", "zenith_max": 90}),
    ("nside 64 up to 8 deg, zenith < 90", 1, None,
     {"position": DRACO, "radius": 8 * u.deg, "zenith_max": 90}),
    ("all sky nside 16, no zenith cut", 2, 180, {"nside": 16}),
    ("all sky nside 16, zenith < 90 deg", 2, 180, {"nside": 16, "zenith_max": 90}),
]  # fmt: skip


def square():
    """Directions of a 10 x 10 deg region."""
    offset = np.arange(10) - 4.5
    x, y = (v.ravel() for v in np.meshgrid(offset, offset))
    return DRACO.spherical_offsets_by(x * u.deg, y * u.deg)


def many_years(n_row):
    """Spacecraft rows and good times of ``n_row`` rows."""
    day = LATSpacecraft.read(REFERENCE / "ft2.fits.gz")
    good = (day["DATA_QUAL"] > 0) & (day["LAT_CONFIG"] == 1) & (day.livetime > 0)
    span = day.stop[-1] - day.start[0]
    n_copy = -(-n_row // good.sum())
    shift = np.repeat(np.arange(n_copy), good.sum())[:n_row]

    def repeat(values, step=0.0):
        return np.tile(values[good], n_copy)[:n_row] + (shift * step).astype(values.dtype)

    turn = -PRECESSION * span / 86400
    data = {name: repeat(day[name], turn) % np.float32(360) for name in ("RA_SCZ", "RA_ZENITH")}
    data |= {name: repeat(day[name]) for name in ("DEC_SCZ", "DEC_ZENITH")}
    start, stop = repeat(day.start, span), repeat(day.stop, span)
    stop[:-1] = np.minimum(stop[:-1], start[1:])  # rounding
    spacecraft = LATSpacecraft(start, stop, repeat(day.livetime), data)
    return spacecraft, merge_gti(np.stack([spacecraft.start, spacecraft.stop], axis=1))


def accuracy():
    """Relative rms to the cube of the Science Tools, of livetime and weighted livetime."""
    reference = LivetimeCube.read(REFERENCE / "ltcube.fits.gz")
    cube = LATLivetimeMaker().run(
        ft1=REFERENCE / "ft1.fits.gz", ft2=REFERENCE / "ft2.fits.gz", reference=reference
    )
    pairs = (cube.data, reference.data), (cube.weighted, reference.weighted)
    return [np.sqrt(np.mean((a - b) ** 2) / np.mean(b**2)) for a, b in pairs]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=float, default=YEARS)
    years = parser.parse_args().years
    logging.getLogger("dmgammapy").setLevel(logging.ERROR)
    rms = accuracy()
    print(f"relative rms to gtltcube: livetime {rms[0]:.1e}, weighted {rms[1]:.1e} (bar 1e-6)\n")
    spacecraft, gti = many_years(int(N_ROW * years / YEARS))
    print(f"{len(spacecraft):,} rows, {len(gti):,} good time intervals\n")
    columns = ("case", "directions", "cores", "time [s]", "CPU [s]", "bar [s]", "1e9 pairs/CPU s")
    print("| {:<34} | {:>10} | {:>5} | {:>8} | {:>8} | {:>7} | {:>15} |".format(*columns))
    print(f"|{'-' * 36}|{'-' * 12}|{'-' * 7}|{'-' * 10}|{'-' * 10}|{'-' * 9}|{'-' * 17}|")
    for name, n_jobs, bar, config in CASES:
        if config.get("directions") == "square":
            config = config | {"directions": square()}
        maker = LATLivetimeMaker(**config, n_jobs=n_jobs, show_progress=False)
        start, cpu = time.perf_counter(), time.process_time()
        cube = maker.run(ft2=spacecraft, gti=gti)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        speed = len(cube.data) * len(spacecraft) / cpu / 1e9
        bar = "" if bar is None else f"{bar * years / YEARS:.3g}"
        print(
            f"| {name:<34} | {len(cube.data):>10} | {n_jobs:>5} | {seconds:8.2f} | {cpu:8.2f} | "
            f"{bar:>7} | {speed:15.2f} |"
        )


if __name__ == "__main__":
    main()
