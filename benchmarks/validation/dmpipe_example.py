"""The example that comes with dmpipe, from its own configuration, on simulated LAT likelihoods.

Draco and Segue 1 with the J-factors of Ackermann et al. 2016, with and without their widths, one
null and two injected scenarios of 20 realisations, 20 blank fields of each, all figures. fermipy's
SED files, which dmpipe starts from, are simulated: six years of the LAT and no signal.

Prints what took how long. Run it with ``python benchmarks/validation/dmpipe_example.py``; the data
folder is found by ``DMGAMMAPY_TEST_DATA``.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from dmgammapy.analysis import DMAnalysis
from dmgammapy.analysis.dmpipe_config import convert_dmpipe_config
from dmgammapy.analysis.example import simulate_sed
from dmgammapy.targets import Targets

NAMES = ("segue_1", "draco")
VERSION = "ackermann2016_photoj_0.6_nfw"
N_FIELDS = 20


def write_inputs(source, folder, seed=1):
    """Copy dmpipe's configuration, and simulate the files that fermipy would have made.

    Parameters
    ----------
    source : `~pathlib.Path`
        Folder ``dmpipe_example``.
    folder : `~pathlib.Path`
    seed : int

    Returns
    -------
    master : `~pathlib.Path`
        Main configuration file of dmpipe.
    """
    example = folder / "dmpipe_example"
    shutil.copytree(source, example)
    for target in Targets.from_names([f"{name}:{VERSION}" for name in NAMES]):
        streams = np.random.SeedSequence([seed, *target.name.encode()]).spawn(N_FIELDS + 1)
        data = example / "dSphs" / target.name
        blank = example / "dSphs_sim" / "sim_random" / target.name
        paths = [data / "sed_ack2016_point.fits"]
        paths += [blank / f"sed_ack2016_point_{k:06d}.fits" for k in range(N_FIELDS)]
        for path, stream in zip(paths, streams, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            dataset, _ = simulate_sed(target, np.random.default_rng(stream))
            dataset.write(path, format="fermipy")
    return example / "config" / "master_dSphs.yaml"


def main():
    """Run the example and print the times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="new folder for inputs and results")
    parser.add_argument("--n-jobs", type=int, default=2)
    arguments = parser.parse_args()
    data = Path(os.environ.get("DMGAMMAPY_TEST_DATA", "../shared/data"))
    arguments.folder.mkdir(parents=True)
    master = write_inputs(data / "fermipy" / "dmpipe_example", arguments.folder)
    config = master.parents[1] / "analysis.yaml"
    _, notes = convert_dmpipe_config(master, output=config)
    print(f"{len(notes)} notes of the conversion")
    command = [sys.executable, "-c", "from dmgammapy.scripts.main import cli; cli()"]
    command += ["run", str(config), "--n-jobs", str(arguments.n_jobs), "--quiet"]
    for label in ("first run", "nothing changed"):
        start = time.perf_counter()
        subprocess.run(command, check=True)
        print(f"{label:<20} {time.perf_counter() - start:7.1f} s")
    status = DMAnalysis.read(config).status()
    status.pprint_all()
    figures = list(DMAnalysis.read(config).output.glob("plots/**/*.png"))
    print(f"{len(figures)} figures")


if __name__ == "__main__":
    main()
