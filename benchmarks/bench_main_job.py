"""Accuracy and speed of the main job, as a table: ``python benchmarks/bench_main_job.py``.

Every row says what is compared with what. Ratios are against dmpipe 0.1.3 (560 s for the golden
set: measured when the references were made) or against the bar of the issue. Times are medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import astropy.units as u
import numpy as np
from golden import Golden, realise
from joblib import Parallel, delayed

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import CastroEstimator, CastroMaps, StackedDMLikelihood
from dmgammapy.modeling import JFactorPrior
from dmgammapy.targets import Target, Targets

DMPIPE_SECONDS = 560.0
PUBLISHED_BB = {
    6: 5.126e-27, 10: 5.168e-27, 25: 8.446e-27, 50: 1.348e-26, 100: 2.210e-26, 250: 4.727e-26,
    500: 9.282e-26, 1000: 1.932e-25, 2500: 5.813e-25, 5000: 1.460e-24, 10000: 3.941e-24,
}  # fmt: skip


def find_data():
    given = os.environ.get("DMGAMMAPY_TEST_DATA")
    folder = Path(given) if given else Path(__file__).parents[2] / "shared" / "data"
    if not (folder / "README.md").exists():
        sys.exit("reference data absent: set DMGAMMAPY_TEST_DATA or put it at ../shared/data")
    return folder


def row(what, against, value, bar, ok):
    print(f"| {what:<46} | {against:<38} | {value:<34} | {bar:<24} | {'ok' if ok else 'MISS':<4} |")


def header(title):
    print(f"\n## {title}\n")
    print(f"| {'what':<46} | {'against':<38} | {'measured':<34} | {'bar':<24} | {'':<4} |")
    print(f"|{'-' * 48}|{'-' * 40}|{'-' * 36}|{'-' * 26}|{'-' * 6}|")


def difference(result, expected):
    d = np.abs(np.asarray(result) / np.asarray(expected) - 1)
    return float(np.nanmedian(d)), float(np.nanmax(d))


def plain(m):
    return m.data[..., 0, 0]


# ---- accuracy ----------------------------------------------------------------------------------


def accuracy(folder):
    header("Accuracy")
    fermi_2015(folder)
    golden_limits(folder)
    lklcom(folder)
    fermipy_sed(folder)


def fermi_2015(folder):
    targets = Targets.read_roster("ackermann2015_dsphs")
    datasets = [
        SEDLikelihoodDataset.read(
            folder / "fermi_dsphs_2015" / f"like_{t.name}.txt",
            models=t.to_models("100 GeV", "b"),
        )
        for t in targets
    ]
    masses = list(PUBLISHED_BB) * u.GeV
    castros = CastroEstimator(masses, ["b"], spectra="dmfit").run(datasets)
    limits = StackedDMLikelihood(castros).run().sigmav_ul.data.ravel()
    _, worst = difference(limits, list(PUBLISHED_BB.values()))
    row("composite bb limit, 15 dwarfs, 11 masses", "Ackermann et al. 2015, published",
        f"worst {100 * worst:.3f} %", "0.3 %", worst < 3e-3)  # fmt: skip


def golden_limits(folder):
    golden = Golden(folder / "golden")
    castros = golden.estimator.run(golden.read())
    for method, name, bars in (
        ("fixed", "analytic_none", (1e-3, 2.5e-2)),
        ("profile", "analytic_lgauss_like", (5e-3, 6e-2)),
    ):
        with np.load(folder / "golden" / f"reference_null_{name}.npz") as data:
            expected = dict(data)
        result = StackedDMLikelihood(castros, method=method).run()
        median, worst = difference(plain(result.sigmav_ul), expected["stack_ul95"])
        row(f"golden stack 95 % limit, J {method}", "exact likelihood",
            f"median {median:.1e}, worst {worst:.1e}", f"{bars[0]:.1e}, {bars[1]:.1e}",
            median < bars[0] and worst < bars[1])  # fmt: skip
        ts = np.nanmax(np.abs(plain(result.ts) - expected["stack_ts"]))
        row(f"golden stack TS, J {method}", "exact likelihood", f"worst {ts:.1e}", "0.01",
            ts < 0.01)  # fmt: skip
        name = "dmpipe_null_none" if method == "fixed" else "dmpipe_null_lgauss_like"
        with np.load(folder / "golden" / f"{name}.npz") as data:
            median, worst = difference(data["stack_ul95"], expected["stack_ul95"])
        row(f"  dmpipe 0.1.3 on the same, J {method}", "exact likelihood",
            f"median {median:.1e}, worst {worst:.1e}", "(for comparison)", True)  # fmt: skip
    linear = Golden(folder / "golden", interpolation="linear")
    result = StackedDMLikelihood(linear.estimator.run(linear.read()), method="fixed").run()
    with np.load(folder / "golden" / "reference_null_scan_none.npz") as data:
        median, worst = difference(plain(result.sigmav_ul), data["stack_ul95"])
    row("golden stack 95 % limit, linear interpolation", "exact piecewise-linear scans",
        f"median {median:.1e}, worst {worst:.1e}", "1.0e-03, 5.0e-03",
        median < 1e-3 and worst < 5e-3)  # fmt: skip


def lklcom(folder):
    expected = json.loads((folder / "lklcom" / "expected.json").read_text())
    castros = [
        CastroMaps.read(folder / "lklcom" / f"bb_{name}_IACT.txt", format="gloryduck")
        for name in ("Segue1", "UrsaMajorII")
    ]
    priors = {
        name: JFactorPrior(castro.meta.log10_jfactor, width)
        for name, castro, width in zip(("Segue1", "UrsaMajorII"), castros, (0.35, 0.42),
                                       strict=True)
    }  # fmt: skip
    for method, key in (("fixed", "ul95_fixed_J"), ("profile", "ul95_J_profiled")):
        stack = StackedDMLikelihood(castros, priors, method=method).run()
        limits = stack.upper_limit(delta_stat=2.71).data.ravel()
        _, worst = difference(limits, expected[key])
        row(f"two Glory Duck tables, J {method}", "lklcom 0.5.4", f"worst {worst:.1e}", "5e-4",
            worst < 5e-4)  # fmt: skip


def fermipy_sed(folder):
    """The reference is piecewise linear; what an accurate curve gives stands beside it."""
    target = Target(name="test", log10_jfactor=19.0, log10_jfactor_err=0.0)
    expected = (
        ("b", 100, 23.967, 8.02e-25),
        ("mu", 30, 14.660, 2.4575e-24),
        ("tau", 30, 17.150, 2.98e-25),
    )
    estimator = CastroEstimator([30, 100] * u.GeV, ["b", "mu", "tau"], spectra="dmfit")
    for interpolation in ("linear", "poisson"):
        dataset = SEDLikelihoodDataset.read(
            folder / "fermipy" / "sed.fits",
            models=target.to_models("100 GeV", "b"),
            interpolation=interpolation,
        )
        castro = estimator.run(dataset)
        for channel, mass, ts, sigmav in expected:
            one = castro.slice_by_coord({"channel": channel, "mass": mass * u.GeV})
            d_ts = one.ts.data.item() / ts - 1
            d_sigmav = one.sigmav.data.item() / sigmav - 1
            linear = interpolation == "linear"
            row(
                f"fermipy sed.fits, {channel} {mass} GeV, {interpolation}",
                "fermipy, linear interpolation",
                f"TS {100 * d_ts:+.2f} %, sigmav {100 * d_sigmav:+.2f} %",
                "1 %" if linear else "(1 % was hoped for)",
                max(abs(d_ts), abs(d_sigmav)) < 0.01 if linear else True,
            )


# ---- speed -------------------------------------------------------------------------------------


def median_time(function, n):
    times = []
    for _ in range(n):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def speed(folder, n_jobs, repeats, n_realisations):
    header(f"Speed (medians of {repeats}, {n_jobs} threads, after warm-up)")
    golden = Golden(folder / "golden", n_jobs=n_jobs)
    golden.limits(golden.read())
    job = "45 SEDs -> 12 channels x 13 masses, J, limits"
    t = median_time(lambda: golden.limits(golden.read()), repeats)
    row(f"{job}, reading", f"dmpipe: x {DMPIPE_SECONDS / t:,.0f} faster", f"{t:.3f} s", "2 s",
        t < 2)  # fmt: skip
    rng = np.random.default_rng(1)
    realisations = [golden.simulate(rng) for _ in range(repeats)]
    for datasets in realisations:  # scans interpolated anew: part of the job
        for dataset in datasets:
            dataset.__dict__.pop("_scans", None)
    left = list(realisations)
    t = median_time(lambda: golden.limits(left.pop()), repeats)
    row(f"{job}, in memory", f"dmpipe: x {DMPIPE_SECONDS / t:,.0f} faster", f"{t:.3f} s",
        "0.4 s per realisation", t < 0.4)  # fmt: skip
    for method in ("fixed", "marginal"):
        datasets = golden.simulate(rng)
        golden.limits(datasets, method)
        t = median_time(lambda d=datasets, m=method: golden.limits(d, m), repeats)
        row(f"  the same, J {method}", "", f"{t:.3f} s", "", True)
    counts = sorted({n_realisations // 4, n_realisations // 2, n_realisations})
    realise(folder, 0, 1)
    times = []
    with Parallel(n_jobs=n_jobs) as parallel:
        parallel(delayed(realise)(folder, seed, 1) for seed in range(n_jobs))  # warm-up
        for n in counts:
            start = time.perf_counter()
            parallel(delayed(realise)(folder, seed, 5) for seed in range(n // 5))
            times.append((time.perf_counter() - start) * n / (5 * (n // 5)))
    per = ", ".join(f"{t / n:.3f}" for t, n in zip(times, counts, strict=True))
    row(f"{n_realisations} realisations, simulated and analysed",
        f"s per realisation at {counts}: {per}",
        f"{times[-1]:.1f} s ({n_jobs} processes)", f"{120 * n_realisations / 300:.0f} s",
        times[-1] < 120 * n_realisations / 300)  # fmt: skip


def scaling(folder, n_jobs, sizes):
    golden = Golden(folder / "golden", n_jobs=n_jobs)
    rng = np.random.default_rng(2)
    print("\n## Cost against the number of targets (12 channels x 13 masses, J profile)\n")
    print("| targets | seconds | ms per target |\n|---------|---------|---------------|")
    for n in sizes:
        datasets = golden.simulate(rng, n)
        t = median_time(lambda d=datasets: golden.limits(d), 3 if n < 500 else 1)
        print(f"| {n:7d} | {t:7.3f} | {1e3 * t / n:13.2f} |")


CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from golden import Golden, realise
from joblib import Parallel, delayed

golden = Golden(Path(sys.argv[2]))
golden.limits(golden.read())
status = Path("/proc/self/status")
if status.exists():  # the peak of this process; ru_maxrss would include its parent's
    print(next(x.split()[1] for x in status.read_text().splitlines() if x.startswith("VmHWM")))
else:
    import resource

    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def memory(folder):
    """Peak memory of reading and converting, in a process of its own."""
    out = subprocess.run(
        [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(folder / "golden")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    gigabytes = int(out.stdout.split()[-1]) / 1024**2
    row("peak memory of the main job, one process", "", f"{gigabytes:.2f} GB", "1 GB",
        gigabytes < 1)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--realisations", type=int, default=300)
    parser.add_argument("--quick", action="store_true", help="fewer repeats and realisations")
    args = parser.parse_args()
    folder = find_data()
    print("# dmgammapy benchmarks\n")
    print(f"Python {sys.version.split()[0]}, numpy {np.__version__}, {os.cpu_count()} cores")
    accuracy(folder)
    sizes = (10, 45, 200) if args.quick else (10, 45, 200, 1000)
    repeats = 3 if args.quick else args.repeats
    n = 20 if args.quick else args.realisations
    speed(folder, args.n_jobs, repeats, n)
    memory(folder)
    scaling(folder, args.n_jobs, sizes)


if __name__ == "__main__":
    main()
