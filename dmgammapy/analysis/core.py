"""From a configuration to limits, bands, figures and a report: `DMAnalysis`."""

import json
import logging
import os
import shlex
import time
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from astropy.table import Table

from dmgammapy.estimators import StackedDMLikelihood

from ._current import DEFAULT_OUTPUT
from ._data import stack_options
from ._lookup import Results
from ._manifest import identity_of, input_files, manifest_info, now, take_fingerprint
from ._owners import find_wrong_owners
from ._plan import Plan
from ._report_tasks import report_task
from ._run import AnalysisError, Runner
from ._tasks import STEPS
from ._yaml import did_you_mean
from .config import AnalysisConfig
from .execution import Executor
from .store import ResultsStore

__all__ = ["DMAnalysis"]

log = logging.getLogger(__name__)

REPORT = "report"
# what took long is kept for when its key holds again, though it is no result meanwhile
LONG_STEPS = ("castro", "simulate", "blank")
STATES = ("done", "running", "failed", "stale", "missing")


class DMAnalysis:
    """A whole analysis: what one configuration describes, in steps that are resumed.

    The steps are tasks that depend on each other (`STEPS`). `run` does those whose results don't
    hold: a result is reused only if the hash of all that it depends on (input files,
    configuration, results before it, program) is as it was. No target is dropped silently: each is
    in ``targets`` or, with the reason, in ``skipped``.

    Parameters
    ----------
    config : `AnalysisConfig` or dict
    output : str or `~pathlib.Path`, optional
        Folder of the results, instead of the configuration's; relative to the current folder.
    n_jobs : int, optional
        Instead of the configuration's.

    Attributes
    ----------
    failures : list of `~dmgammapy.analysis.Failure`
        Of the last `run`.
    computed : list of str
        Tasks that the last `run` did.
    seconds : float
        Time that the last `run` took.

    Examples
    --------
    The bundled example, two of its steps:

    >>> import tempfile
    >>> from dmgammapy.analysis import DMAnalysis
    >>> from dmgammapy.analysis.example import EXAMPLE_FOLDER
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     analysis = DMAnalysis.read(EXAMPLE_FOLDER / "config.yaml", output=folder)
    ...     combined = analysis.run(steps=["stack"])
    ...     again = analysis.run(steps=["stack"])
    ...     limits = analysis.results["stack", "b"].sigmav_ul
    >>> len(analysis.targets), analysis.skipped, limits.data.shape
    (15, {}, (1, 24, 1, 1))
    >>> len(analysis.computed)  # nothing had changed the second time
    0
    """

    def __init__(self, config, output=None, n_jobs=None):
        if isinstance(config, dict):
            config = AnalysisConfig.from_dict(config)
        if not isinstance(config, AnalysisConfig):
            raise TypeError(
                f"config must be an AnalysisConfig or a dict, got {type(config).__name__}; "
                "use DMAnalysis.read for a file."
            )
        if n_jobs == 0:
            raise ValueError("n_jobs must be a positive number of workers, or -1, got 0.")
        self.config = config
        self.n_jobs = config.execution.n_jobs if n_jobs is None else n_jobs
        self.output = self._output(output)
        self.store = ResultsStore(self.output)
        self.failures, self.computed = [], []
        self.seconds = None

    @classmethod
    def read(cls, path, **kwargs):
        """Prepare the analysis that a YAML file describes.

        Parameters
        ----------
        path : str or `~pathlib.Path`
        **kwargs
            Passed to the class.

        Raises
        ------
        ConfigError
            With file, line and key of everything that is wrong.
        """
        return cls(AnalysisConfig.read(path), **kwargs)

    def _output(self, output):
        if output is not None:
            return Path(output).expanduser().resolve()
        if self.config.output is not None:
            return self.config.resolve(self.config.output, ("output",)).resolve()
        return Path(DEFAULT_OUTPUT).resolve()

    # ---- what there is to do -----------------------------------------------------------------

    @cached_property
    def pipeline(self):
        """All tasks, as `Plan`; it looks at rosters, spectra and which files are there.

        Raises
        ------
        ConfigError
            If the configuration does not fit them.
        """
        return Plan(self.config)

    def refresh(self):
        """Look again at rosters and files, which may have changed."""
        self.__dict__.pop("pipeline", None)
        self.__dict__.pop("results", None)

    def _wanted(self, steps, tasks):
        """Ids of the tasks that are asked for, or None for all."""
        steps = [steps] if isinstance(steps, str) else list(steps or ())
        patterns = [tasks] if isinstance(tasks, str) else list(tasks or ())
        known = self.pipeline.tasks
        found = []
        for step in steps:
            if step not in STEPS:
                suggestion = did_you_mean(step, STEPS, sentence=True)
                raise ValueError(f"no step {step!r}; steps are {', '.join(STEPS)}.{suggestion}")
            found += [id for id, task in known.items() if task.step == step]
        for pattern in patterns:
            fits = [id for id in known if fnmatchcase(id, pattern)]
            if not fits and pattern != REPORT:
                suggestion = did_you_mean(pattern, known, sentence=True)
                raise ValueError(f"no task {pattern!r}; plan() lists them.{suggestion}")
            found += fits
        # the report is about everything
        everything = not (steps or patterns) or REPORT in (*steps, *patterns)
        return None if everything else list(dict.fromkeys(found))

    @property
    def _command(self):
        path = self.config.path
        name = "CONFIG" if path is None else os.path.relpath(path)
        return f"dmgammapy run {shlex.quote(str(name))} --output {shlex.quote(str(self.output))}"

    def _look(self, wanted=None):
        """`Runner` that has looked at all tasks without doing any."""
        runner = Runner(dict(self.pipeline.tasks), self.store, command=self._command)
        runner.look_at_all(wanted)
        if wanted is None:
            last = report_task(self.pipeline, runner)
            runner.tasks[last.id] = last
            runner.look(last)
        return runner

    def plan(self, steps=None, tasks=None):
        """What `run` would do.

        Parameters
        ----------
        steps, tasks : list of str, optional
            As for `run`.

        Returns
        -------
        table : `~astropy.table.Table`
            Columns task, step, state and reason, in the order in which they run.
        """
        wanted = self._wanted(steps, tasks)
        self._check_owners(self.pipeline)
        runner = self._look(wanted)
        rows = [
            (id, runner.tasks[id].step, state, runner.reasons[id])
            for id, state in runner.states.items()
        ]
        return Table(rows=rows or None, names=["task", "step", "state", "reason"], dtype=[str] * 4)

    def status(self):
        """How far the results are.

        Returns
        -------
        table : `~astropy.table.Table`
            One row per step, with the number of tasks and how many of them are done, running (if
            another process works on them), failed, stale (something they depend on has changed,
            or the result is damaged) and missing.
        """
        self.refresh()
        runner = self._look()
        running = self.store.running(runner.tasks) if self.store.is_locked() else set()
        rows = []
        for step in STEPS:
            ids = [id for id, task in runner.tasks.items() if task.step == step]
            if not ids:
                continue
            counts = dict.fromkeys(STATES, 0)
            for id in ids:
                state = runner.states[id]
                if state != "done" and id in running:
                    state = "running"
                counts[{"damaged": "stale", "blocked": "missing"}.get(state, state)] += 1
            rows.append((step, len(ids), *counts.values()))
        return Table(rows=rows, names=["step", "tasks", *STATES])

    # ---- doing it ----------------------------------------------------------------------------

    def run(self, steps=None, tasks=None, overwrite=False, show_progress=None):
        """Do what is not done, or no longer holds, and write the results.

        Parameters
        ----------
        steps : list of str, optional
            Only these steps and what they depend on, see `STEPS`. Default is all.
        tasks : list of str, optional
            Only these tasks, by id or pattern such as ``stack/*``, and what they depend on.
        overwrite : bool
            Use a folder that holds results of another configuration, and replace them. Default is
            False.
        show_progress : bool or None
            Show progress bars; None shows one for many tasks on a terminal.

        Returns
        -------
        combined : `~dmgammapy.estimators.CastroMaps` or None
            See `combined`; before the step limits the stack, whose limits are by the profile
            likelihood. None if it was not asked for.

        Raises
        ------
        AnalysisError
            If tasks failed; all that don't depend on them are done before.
        ConfigError
            If the configuration does not fit the rosters, files or spectra.
        FileExistsError
            If the folder holds something else and ``overwrite`` is False.
        StoreLockedError
            If another process works in the folder.
        """
        began, start = now(), time.perf_counter()
        self.store.check_output(overwrite, self._identity)
        self.refresh()
        # what is wrong in the configuration shall show before anything takes time
        plan, wanted = self.pipeline, self._wanted(steps, tasks)
        self._check_inputs(plan)
        self._check_owners(plan)
        before = take_fingerprint(plan)
        runner = Runner(dict(plan.tasks), self.store, None, self._command)
        with self.store.lock(self._identity):
            finished = False
            try:
                with self._executor() as runner.executor:
                    runner.run(wanted, show_progress)
                    if wanted is None:
                        runner.run_last(report_task(plan, runner))
                finished = wanted is None
            finally:
                self.failures, self.computed = list(runner.failures.values()), runner.computed
                self.seconds = time.perf_counter() - start
                skipped = all(self._is_skipped(failure) for failure in self.failures)
                if finished:
                    # what could not be made anew must not pass for a result of this configuration
                    self.store.prune(
                        [id for id, state in runner.states.items() if state == "done"]
                        + [id for id, task in plan.tasks.items() if task.step in LONG_STEPS],
                        keep_errors=[failure.task for failure in self.failures],
                    )
                complete = finished and not self.failures
                # a run without any limit shall say so each time
                looked = before if self._has_limits(runner) else None
                info = manifest_info(plan, began, self.seconds, complete, looked)
                self.store.write_manifest(info)
        if not skipped:
            raise AnalysisError(self.failures)
        return self._combined_or_none()

    def _has_limits(self, runner):
        """Whether any stack has a limit at any mass and channel."""
        stacks = [id for id, task in self.pipeline.tasks.items() if task.step == "stack"]
        records = [self.store.record(id) for id in stacks if runner.states.get(id) == "done"]
        return any(record["info"].get("limit_found") for record in records if record)

    def _executor(self):
        execution = self.config.execution
        return Executor(
            n_jobs=self.n_jobs,
            backend=execution.backend,
            cluster=execution.cluster if execution.backend == "dask" else None,
            workers=execution.workers,
            options=execution.options,
        )

    def _check_inputs(self, plan):
        """Refuse to write results over the files they are made of."""
        outputs = {str(self.output / name) for t in plan.tasks.values() for name in t.outputs}
        for path in input_files(plan):
            if str(Path(path).resolve()) in outputs:
                raise FileExistsError(
                    f"{path} is an input, and a result would be written to it: choose another "
                    "output."
                )

    def _check_owners(self, plan):
        """Refuse results of files that say they are of a target that has come since."""
        wrong = find_wrong_owners(plan.tasks.values(), self.store.record)
        states = self._look(list(wrong)).states if wrong else {}
        for id, message in wrong.items():
            if states[id] == "done":  # of others the file may be another one by now
                task = plan.tasks[id]
                member = plan.members.all[task.params["member"]["label"]]
                names = {member.task(name): name for name in member.files}
                loc = ("blank_fields", "path")
                if task.step == "castro":
                    loc = plan.members.place(names[id], "path")
                raise self.config.error(loc, message.rstrip("."))

    def _is_skipped(self, failure):
        """Whether a failure only leaves out a target, as ``on_error: skip`` wants it."""
        tasks = self.pipeline.tasks
        if self.config.execution.on_error != "skip" or failure.task not in tasks:
            return False
        about_it = {tasks[id].step for id in failure.blocked if id in tasks} <= {
            "region", "castro", "blank", "target", "plot",
        }  # fmt: skip
        own = ("reduce/", "region/", "castro/", "blank/castro/")
        return failure.task.startswith(own) and about_it

    @property
    def _identity(self):
        """What tells this configuration's folder from another's."""
        return identity_of(self.config, self.output)

    # ---- results -----------------------------------------------------------------------------

    @cached_property
    def results(self):
        """Results by name, see `Results`: ``analysis.results["stack", roster, "b"]``."""
        return Results(self.pipeline, self.store, self._state_of)

    def _state_of(self, task):
        """State of the result of a task, and why."""
        runner = self._look([task])
        return runner.states[task], runner.reasons[task]

    def _combined_or_none(self):
        for kind in ("observed", "stack"):
            try:
                return self.results[kind]
            except KeyError:
                continue
        return None

    @property
    def combined(self):
        """Stack of the first roster, J treated in the first way, `CastroMaps`.

        Its upper limits are by the first of the methods (``limits: {methods: [...]}``).
        """
        if self.config.limits.methods[0] == "profile":
            return self.results["stack"]
        return self.results["observed"]

    @property
    def limits(self):
        """Limits of the first roster and of its targets, `~astropy.table.QTable`."""
        return self.results["limits"]

    @property
    def contributions(self):
        """Share of each target, see `StackedDMLikelihood.contributions`."""
        return self.results["contributions"]

    @property
    def target_maps(self):
        """Likelihood of each target, J treated in the first way: dict of `CastroMaps`."""
        method = self.config.jfactor.methods[0]
        tasks = {label: f"target/{method}/{label}" for label in self.pipeline.members.all}
        lost = self._lost(tasks.values())
        return {name: self.results["target", name] for name, id in tasks.items() if id not in lost}

    def _lost(self, tasks):
        """Which of some tasks ``on_error: skip`` goes on without."""
        if self.config.execution.on_error != "skip":
            return set()
        states = self._look(list(tasks)).states
        return {id for id in tasks if states[id] in ("failed", "blocked")}

    @property
    def stack(self):
        """`StackedDMLikelihood` of the first roster, to look into or to change."""
        members = next(iter(self.pipeline.members.rosters.values()))
        pairs = [(member, name) for member in members for name in member.files]
        lost = self._lost([member.task(name) for member, name in pairs])
        castros = [
            self.results["castro", member.label, name]
            for member, name in pairs
            if member.task(name) not in lost
        ]
        return StackedDMLikelihood(
            castros, cl=self.config.limits.cl, **stack_options(next(self.pipeline.each())[1])
        )

    @property
    def targets(self):
        """Targets that are used, list of `~dmgammapy.targets.Target`."""
        return [member.target for member in self.pipeline.members.all.values()]

    @property
    def rosters(self):
        """Labels of the targets of each roster, dict of lists."""
        members = self.pipeline.members.rosters
        return {name: [member.label for member in found] for name, found in members.items()}

    @property
    def skipped(self):
        """Reason by name of every target that is not used."""
        failed = {failure.task: failure.error for failure in self.failures}
        out = dict(self.pipeline.members.skipped)
        for label, member in self.pipeline.members.all.items():
            tasks = [member.task(name) for name in member.files]
            if all(task in failed for task in tasks):
                out[label] = "; ".join(failed[task] for task in tasks)
        return out

    @property
    def unused_files(self):
        """Name by path of files that fit a pattern but belong to no target of a roster."""
        return dict(self.pipeline.members.unused_files)

    @property
    def files(self):
        """Files of each target by instrument, dict of dicts."""
        return {label: dict(m.files) for label, m in self.pipeline.members.all.items()}

    @property
    def datasets(self):
        """Datasets of the targets with their models, as the steps read them.

        Counts of photons, and with fitted regions, are there after `run`.
        """
        from ._data import read_member

        plan = self.pipeline
        found = []
        for member in plan.members.all.values():
            for name in member.files:
                files = {key: Path(path) for key, path in plan.files((member, name)).items()}
                links, _ = plan.links((member, name))
                for key, (_, relative) in links.get("links", {}).items():
                    files[key] = self.store.verified(relative)
                described = plan.members.describe(member, name)
                found += read_member(plan.common | plan.hints, files, described)
        return found

    @property
    def summary(self):
        """One page of text: what ran, the limits, each target used and each one skipped."""
        path = self.store.path_of("summary.txt")
        if not path.is_file():
            raise RuntimeError("summary needs the results: call run() first.")
        return path.read_text(encoding="utf-8")

    def __repr__(self):
        origin = self.config.path or "a dict"
        state = "not run yet"
        manifest = self.output / "manifest.json"
        if manifest.is_file():
            try:
                failed = len(json.loads(manifest.read_text(encoding="utf-8"))["failures"])
            except (ValueError, KeyError):
                failed = 0
            state = f"{failed} tasks failed" if failed else "run before; status() tells how far"
        return f"DMAnalysis(config from {origin}, output {self.output}; {state})"
