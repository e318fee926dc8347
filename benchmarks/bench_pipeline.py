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


def worst(cases, cost):
    """The largest cost of all cases; ``cost(found, size)``."""
    return max(cost(found, CASES[name]) for name, found in cases.items())


def unit_costs(cases):
    """Costs that a large analysis is made of, by what they are of: the largest of all cases."""
    costs = {}
    for step in ("castro", "target"):
        fixed, per_row = line(cases, step, 0)
        costs |= {f"{step}, s per dataset": fixed, f"{step}, s per dataset and row": per_row}
    linear, quadratic = stack_costs(cases)
    costs |= {
        "stack, s per dataset and row": linear,
        "stack, s per target squared and row": quadratic,
        "simulate, s per dataset, row and realisation": worst(
            cases, lambda f, size: total(f, "simulate") / (size.dataset_rows * size.realisations)
        ),
        "limits, s per target": worst(cases, lambda f, size: total(f, "limits") / size.targets),
        "report, s per dataset": worst(
            cases, lambda f, size: total(f, "report") / (size.targets * size.instruments)
        ),
        "castro, bytes per dataset and row": worst(
            cases, lambda f, size: total(f, "castro", 2) / size.dataset_rows
        ),
        "target, bytes per target and row": worst(
            cases, lambda f, size: total(f, "target", 2) / (size.targets * size.rows)
        ),
        "stack, bytes per target and row": worst(
            cases, lambda f, size: total(f, "stack", 2) / (size.targets * size.rows)
        ),
        "simulate, bytes per row and realisation": worst(
            cases, lambda f, size: total(f, "collect", 2) / (size.rows * size.realisations)
        ),
        "store, s per task": worst(cases, lambda f, size: f["overhead"]),
        "memory of a worker at work on one dataset [MB]": largest(cases["many rows"], "castro"),
    }
    for step in ("stack", "simulate"):
        slope = line(cases, step, 1)[1] / CASES["golden"].targets
        costs[f"{step}, MB per dataset and row"] = slope
    return costs


def line(cases, step, column):
    """Median cost of a task without any rows, and per row."""
    (x, y), (x_more, y_more) = (
        (CASES[name].rows, statistics.median(row[column] for row in cases[name]["steps"][step]))
        for name in ("golden", "many rows")
    )
    slope = max((y_more - y) / (x_more - x), 0.0)
    return max(y - slope * x, 0.0), slope


def stack_costs(cases):
    """Seconds per dataset and row, and per target squared and row (limits without each target)."""
    few, many = (cases[name] for name in ("golden", "many targets"))
    n, m = (CASES[name].targets for name in ("golden", "many targets"))
    rows = CASES["golden"].rows
    per_few, per_many = total(few, "stack") / (n * rows), total(many, "stack") / (m * rows)
    quadratic = max((per_many - per_few) / (m - n), 0.0)
    return max(per_few - n * quadratic, 0.0), quadratic


def on_paper(costs, size, pieces=1):
    """Tasks, seconds of one, memory of one [MB] and bytes of all, by step of one of the runs.

    Each of ``pieces`` runs does some of the rows.
    """
    rows, dataset_rows = size.rows / pieces, size.dataset_rows / pieces
    n_datasets = size.targets * size.instruments
    least = costs["memory of a worker at work on one dataset [MB]"]
    stack = costs["stack, s per dataset and row"] * dataset_rows
    stack += costs["stack, s per target squared and row"] * size.targets**2 * rows
    castro, target = (
        costs[f"{step}, s per dataset"] + costs[f"{step}, s per dataset and row"] * rows
        for step in ("castro", "target")
    )
    simulate = costs["simulate, s per dataset, row and realisation"] * dataset_rows * BLOCK
    memory = {
        step: least + costs[f"{step}, MB per dataset and row"] * dataset_rows
        for step in ("stack", "simulate")
    }
    return {
        "castro": (
            n_datasets, castro, least,
            costs["castro, bytes per dataset and row"] * dataset_rows,
        ),
        "target": (
            size.targets, target * size.instruments, least,
            costs["target, bytes per target and row"] * rows * size.targets,
        ),
        "stack": (
            1, stack, memory["stack"],
            costs["stack, bytes per target and row"] * rows * size.targets,
        ),
        "simulate": (
            math.ceil(size.realisations / BLOCK), simulate, memory["simulate"],
            # the parts, and all of them together
            2 * costs["simulate, bytes per row and realisation"] * rows * size.realisations,
        ),
        "limits": (1, costs["limits, s per target"] * size.targets, least, 0),
        "report": (1, costs["report, s per dataset"] * n_datasets, least, 0),
    }  # fmt: skip


def wall_time(steps, cores, store):
    """Seconds of one run on its cores: levels one after the other, and the process in charge."""

    def waves(step):
        n, seconds, *_ = steps[step]
        return math.ceil(n / cores) * seconds

    together = max(steps["stack"][1], waves("target") + waves("simulate"))
    serial = store * sum(n for n, *_ in steps.values())
    return waves("castro") + together + waves("limits") + waves("report") + serial


def show_paper(costs, size, cores, pieces):
    steps = on_paper(costs, size, pieces)
    rows = size.rows // pieces
    what = "one run" if pieces == 1 else f"{pieces} runs of {rows} rows, one after the other"
    print(f"\n### {size} on {cores} cores, {what}\n")
    print("| step | tasks of a run | seconds of one | memory of one [GB] | core hours, all | GB |")
    print("|---|---|---|---|---|---|")
    for step, (n, seconds, memory, size_) in steps.items():
        hours = pieces * n * seconds / 3600
        print(
            f"| {step} | {n} | {seconds:.3g} | {memory / 1e3:.3g} | {hours:.3g} "
            f"| {pieces * size_ / 1e9:.3g} |"
        )
    hours = pieces * sum(n * seconds for n, seconds, *_ in steps.values()) / 3600
    at_once = max(cores // pieces, 1)
    one = wall_time(steps, at_once, costs["store, s per task"])
    print(f"\n{hours:.3g} core hours. {what[0].upper()}{what[1:]}: ", end="")
    print(f"{pieces * wall_time(steps, cores, costs['store, s per task']) / 3600:.2g} h", end="")
    print(f"; all at the same time on {at_once} cores each: {one / 3600:.2g} h." * (pieces > 1))


def paper(golden, folder, cores):
    print(
        f"# Pipeline\n\n{time.strftime('%Y-%m-%d')}, {cpu_model()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}"
    )
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
    for pieces in (1, PAPER.channels, 4 * PAPER.channels):
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
