"""Cost of the pipeline, and of a large analysis on paper: ``python benchmarks/bench_pipeline.py``.

Small analyses are run as users run them, each in a process of its own on one core; the records of
their tasks say how long each took, how much memory it had and what it wrote. Unit costs follow, and
with these what a large analysis takes. ``--main`` measures instead the analysis of the golden size:
45 targets, 2 J treatments, 12 channels, 13 masses, 300 realisations, in two processes.
"""

import argparse
import math
import os
import platform
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from bench_main_job import find_data
from pipeline_project import configuration, write_project

from dmgammapy.analysis import AnalysisConfig, DMAnalysis

BAR = 480.0  # s, of --main
BLOCK = 25  # least realisations of a task


@dataclass(frozen=True)
class Size:
    """Size of an analysis with one roster and J treatment."""

    targets: int
    instruments: int
    channels: int
    masses: int
    realisations: int

    @property
    def rows(self):
        return self.channels * self.masses

    @property
    def dataset_rows(self):
        return self.targets * self.instruments * self.rows

    def __str__(self):
        parts = (self.targets, self.instruments, self.channels, self.masses, self.realisations)
        return " x ".join(map(str, parts))


WARM_UP = Size(2, 1, 12, 13, 25)
CASES = {
    "golden": Size(45, 1, 12, 13, 50),
    "many rows": Size(45, 1, 30, 40, 25),
    "many targets": Size(180, 1, 12, 13, 25),
    "instruments": Size(36, 5, 12, 13, 25),
}
PAPER = Size(1000, 5, 30, 40, 1000)


# ---- measured ----------------------------------------------------------------------------------


def analysis_of(golden, folder, size, jfactor="profile", n_jobs=1):
    project = folder / f"targets_{size.targets}"
    if not project.is_dir():
        write_project(project, golden, size.targets)
    data = configuration(size.channels, size.masses, size.realisations, jfactor, size.instruments)
    output = Path(tempfile.mkdtemp(dir=folder)) / "results"
    return DMAnalysis(AnalysisConfig.from_dict(data, project), output=output, n_jobs=n_jobs)


def records_by_step(analysis):
    """Seconds, memory [MB] and bytes of the tasks of each step."""
    steps = {}
    for record in analysis.store.records().values():
        size = sum(item["bytes"] for item in record["outputs"].values())
        row = (record["seconds"], record["peak_memory_mb"] or math.nan, size)
        steps.setdefault(record["step"], []).append(row)
    return steps


def measure(golden, folder, size):
    """Records of one analysis, and what it took beside its tasks."""
    analysis_of(golden, folder, WARM_UP).run()  # imports and compiles
    analysis = analysis_of(golden, folder, size)
    start = time.perf_counter()
    n_tasks = len(analysis.pipeline.tasks)
    planning = time.perf_counter() - start
    analysis.run()
    seconds = analysis.seconds
    steps = records_by_step(analysis)
    start = time.perf_counter()
    analysis.run()
    again = time.perf_counter() - start
    n_tasks = sum(map(len, steps.values()))
    inside = sum(row[0] for rows in steps.values() for row in rows)
    return {
        "steps": steps, "planning": planning, "seconds": seconds, "again": again,
        "overhead": (seconds - inside) / n_tasks, "n_tasks": n_tasks,
    }  # fmt: skip


def in_own_process(function, *args):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def show_case(name, size, found):
    print(f"\n### {name}: {size} (targets x instruments x channels x masses x realisations)\n")
    print("| step | tasks | seconds, all | seconds of one | memory [MB] | written [MB] |")
    print("|---|---|---|---|---|---|")
    for step, rows in found["steps"].items():
        seconds, memory, size_ = zip(*rows, strict=True)
        print(
            f"| {step} | {len(rows)} | {sum(seconds):.2f} | {statistics.median(seconds):.3f} "
            f"| {max(memory):.0f} | {sum(size_) / 1e6:.2f} |"
        )
    print(
        f"\nPlanning {found['planning']:.2f} s; store and records {1e3 * found['overhead']:.1f} "
        f"ms per task; the same run once more, with nothing to do, {found['again']:.2f} s."
    )


# ---- on paper ----------------------------------------------------------------------------------


def total(found, step, column=0):
    return sum(row[column] for row in found["steps"][step])


def largest(found, step):
    return max(row[1] for row in found["steps"][step])


def unit_costs(cases):
    """Costs that a large analysis is made of: the largest that any case has shown."""
    costs = {}
    for step in ("castro", "target", "stack"):
        costs[f"{step}: s per dataset and row"] = max(
            total(found, step) / CASES[name].dataset_rows for name, found in cases.items()
        )
    costs["simulate: s per dataset, row and realisation"] = max(
        total(found, "simulate") / (CASES[name].dataset_rows * CASES[name].realisations)
        for name, found in cases.items()
    )
    for step, unit in (("castro", "dataset_rows"), ("target", None), ("stack", None)):
        costs[f"{step}: bytes per row"] = max(
            total(found, step, 2)
            / (CASES[name].dataset_rows if unit else rows_of(step, CASES[name]))
            for name, found in cases.items()
        )
    costs["simulate: bytes per row and realisation"] = max(
        total(found, "collect", 2) / (CASES[name].rows * CASES[name].realisations)
        for name, found in cases.items()
    )
    costs["overhead: s per task"] = max(found["overhead"] for found in cases.values())
    costs["planning: s per dataset"] = max(
        found["planning"] / (CASES[name].targets * CASES[name].instruments)
        for name, found in cases.items()
    )
    small, large = cases["golden"], cases["many rows"]
    more = CASES["many rows"].dataset_rows - CASES["golden"].dataset_rows
    for step in ("stack", "simulate"):
        slope = (largest(large, step) - largest(small, step)) / more
        costs[f"{step}: MB per dataset and row"] = max(slope, 0.0)
    costs["memory of a worker before it begins [MB]"] = largest(small, "castro")
    return costs


def rows_of(step, size):
    """Rows of the outputs of a step, where one task has several datasets."""
    return size.rows * (size.targets if step == "target" else size.targets + 1)


def on_paper(costs, size, cores, pieces=1):
    """Core hours, wall time, memory and storage; ``pieces`` runs with some of the channels each."""
    rows = size.rows / pieces
    dataset_rows = size.dataset_rows / pieces
    block = max(BLOCK, 1)
    n_simulate = math.ceil(size.realisations / block)
    simulate = costs["simulate: s per dataset, row and realisation"] * dataset_rows * block
    levels = {
        "castro": (
            size.targets * size.instruments,
            costs["castro: s per dataset and row"] * rows,
        ),
        "target": (
            size.targets,
            costs["target: s per dataset and row"] * rows * size.instruments,
        ),
        "stack": (1, costs["stack: s per dataset and row"] * dataset_rows),
        "simulate": (n_simulate, simulate),
    }
    per_run = max(cores // pieces, 1)
    n_tasks = sum(n for n, _ in levels.values())
    core_hours = pieces * sum(n * seconds for n, seconds in levels.values()) / 3600
    # targets, stack and simulations wait for castro alone
    wall = sum(math.ceil(n / per_run) * seconds for n, seconds in levels.values())
    serial = n_tasks * costs["overhead: s per task"]
    serial += size.targets * size.instruments * costs["planning: s per dataset"]
    before = costs["memory of a worker before it begins [MB]"]
    memory = {
        step: before + costs[f"{step}: MB per dataset and row"] * dataset_rows
        for step in ("stack", "simulate")
    }
    storage = {
        "castro": costs["castro: bytes per row"] * size.dataset_rows,
        "target": costs["target: bytes per row"] * size.rows * size.targets,
        "stack": costs["stack: bytes per row"] * size.rows * (size.targets + 1),
        "simulate": 2 * costs["simulate: bytes per row and realisation"] * size.rows
        * size.realisations,
    }  # fmt: skip
    return levels, n_tasks, core_hours, wall, serial, memory, storage


def show_paper(costs, size, cores, pieces):
    levels, n_tasks, core_hours, wall, serial, memory, storage = on_paper(
        costs, size, cores, pieces
    )
    what = "one run" if pieces == 1 else f"{pieces} runs of {size.channels // pieces} channels"
    print(f"\n### {size} on {cores} cores, {what}\n")
    print("| step | tasks of a run | seconds of one | core hours | memory of one [GB] | TB |")
    print("|---|---|---|---|---|---|")
    for step, (n, seconds) in levels.items():
        mb = memory.get(step, costs["memory of a worker before it begins [MB]"])
        print(
            f"| {step} | {n} | {seconds:.3g} | {pieces * n * seconds / 3600:.3g} "
            f"| {mb / 1e3:.1f} | {storage[step] / 1e12:.3g} |"
        )
    print(
        f"\n{core_hours:.3g} core hours; {(wall + serial) / 3600:.2g} h of wall time, of which the "
        f"process in charge takes {serial / 60:.2g} min for {n_tasks} tasks."
    )


def paper(golden, folder, cores):
    print(f"# Pipeline\n\n{time.strftime('%Y-%m-%d')}, {cpu_model()}, {os.cpu_count()} cores, "
          f"Python {platform.python_version()}")  # fmt: skip
    cases = {}
    for name, size in CASES.items():
        cases[name] = in_own_process(measure, golden, folder, size)
        show_case(name, size, cases[name])
    costs = unit_costs(cases)
    print("\n### Unit costs (the largest of all cases)\n\n| what | value |\n|---|---|")
    for name, value in costs.items():
        print(f"| {name} | {value:.3g} |")
    operations = PAPER.dataset_rows * PAPER.realisations
    print(f"\nLikelihood curves to be made: {operations:.3g}")
    for pieces in (1, PAPER.channels):
        show_paper(costs, PAPER, cores, pieces)


def cpu_model():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main_job(golden, folder):
    """The analysis of the golden size, as the issue has it."""
    size = Size(45, 1, 12, 13, 300)
    analysis = analysis_of(golden, folder, size, ["profile", "fixed"], n_jobs=2)
    analysis.run()
    found = records_by_step(analysis)
    print(f"{size}, two J treatments, two processes: {analysis.seconds:.1f} s (bar {BAR:g} s)\n")
    print("| step | tasks | seconds, all | memory of one [MB] |\n|---|---|---|---|")
    for step, rows in found.items():
        print(f"| {step} | {len(rows)} | {sum(row[0] for row in rows):.1f} "
              f"| {max(row[1] for row in rows):.0f} |")  # fmt: skip
    busy = sum(row[0] for rows in found.values() for row in rows)
    print(f"\nWorkers were busy for {100 * busy / (2 * analysis.seconds):.0f} % of the time.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--main", action="store_true", help="the analysis of the golden size")
    parser.add_argument("--cores", type=int, default=1000, help="of the machine on paper")
    arguments = parser.parse_args()
    data = find_data() / "golden"
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.main:
            main_job(data, Path(temporary))
        else:
            paper(data, Path(temporary), arguments.cores)
