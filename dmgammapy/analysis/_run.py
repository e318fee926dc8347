"""Run the tasks of a plan: what holds is kept, what failed does not stop the others."""

import glob
import logging
import re
import shlex
import traceback
from dataclasses import dataclass, field

from dmgammapy.utils import progress

from ._plan import parents_first
from .execution import Outcome
from .store import DamagedResultError

__all__ = ["AnalysisError", "Failure", "Runner", "explain_states"]

log = logging.getLogger(__name__)

BLOCKED = "blocked"
# remedies in Python, and the keys of a configuration that do the same
IN_YAML = (
    (
        r"Give it, background=\.\.\., or take undetermined='power_law'",
        "Give the counts that are expected (simulations: {defaults: {expectations: truth.ecsv}}), "
        "or let a power law guess (undetermined: power_law, least_counts: 5)",
    ),
    (r"Pass format= to see", "Give datasets: {format: ...} to see"),
    ("use method='direct'", "use background: {method: direct}"),
)
MOST_SHOWN = 8  # failures in a message


@dataclass(frozen=True)
class Failure:
    """A task that could not be done.

    Attributes
    ----------
    task : str
    error : str
        What went wrong.
    inputs : dict
        Path of each input file by name.
    traceback_file : str
        Where the whole traceback is.
    command : str
        What repeats just this task.
    blocked : list of str
        Tasks that could not run without it.
    """

    task: str
    error: str
    inputs: dict
    traceback_file: str
    command: str
    blocked: list = field(default_factory=list)

    def __str__(self):
        lines = [f"{self.task}: {self.error}"]
        if self.inputs:
            paths = list(dict.fromkeys(self.inputs.values()))
            more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
            lines.append("  input: " + ", ".join(paths[:3]) + more)
        lines.append(f"  traceback: {self.traceback_file}")
        lines.append(f"  repeat it: {self.command}")
        if self.blocked:
            shown = ", ".join(self.blocked[:3]) + (" ..." if len(self.blocked) > 3 else "")
            n = f"{len(self.blocked)} task" + ("s" if len(self.blocked) > 1 else "")
            lines.append(f"  not run without it: {n} ({shown})")
        return "\n".join(lines)


class AnalysisError(RuntimeError):
    """Some tasks of an analysis failed; all others were done.

    Attributes
    ----------
    failures : list of `Failure`
    """

    def __init__(self, failures):
        self.failures = list(failures)
        n = len(self.failures)
        text = f"{n} tasks failed; all that do not depend on them are done.\n"
        if n == 1:
            text = "One task failed; all that do not depend on it are done.\n"
        groups = {}
        for failure in self.failures:
            groups.setdefault(failure.error, []).append(failure)
        shown = [_describe(group) for group in list(groups.values())[:MOST_SHOWN]]
        if len(groups) > MOST_SHOWN:
            shown.append(f"... and {len(groups) - MOST_SHOWN} other errors, all in summary.txt")
        super().__init__(text + "\n".join(shown))

    def __reduce__(self):
        return AnalysisError, (self.failures,)


def _describe(group):
    """Failures with the same error, told once."""
    first = group[0]
    if len(group) == 1:
        return str(first)
    blocked = list(dict.fromkeys(id for failure in group for id in failure.blocked))
    alike = Failure(
        first.task, first.error, {}, first.traceback_file, first.command, blocked
    )  # fmt: skip
    names = ", ".join(failure.task for failure in group[1:4]) + (" ..." if len(group) > 4 else "")
    return f"{alike}\n  and so {len(group) - 1} more: {names}"


class Runner:
    """Runs tasks whose results don't hold.

    Parameters
    ----------
    tasks : dict of `~dmgammapy.analysis._tasks.Task`
    store : `~dmgammapy.analysis.store.ResultsStore`
    executor : `~dmgammapy.analysis.execution.Executor`
    command : str
        Beginning of the command that repeats a task.
    """

    def __init__(self, tasks, store, executor=None, command="dmgammapy run"):
        self.tasks = tasks
        self.store = store
        self.executor = executor
        self.command = command
        self.keys, self.states, self.reasons = {}, {}, {}
        self.failures = {}
        self.computed = []

    def run(self, wanted=None, show_progress=None):
        """Do what has to be done; fills ``states``, ``failures`` and ``computed``."""
        levels = parents_first(self.tasks, wanted)
        for level in levels:
            calls = []
            for task in level:
                if self.look(task) not in ("done", BLOCKED):
                    calls.append(task)
            self._run_level(calls, show_progress)
        self._list_blocked()

    def look_at_all(self, wanted=None):
        """Look at tasks without doing any; fills ``states`` and, from before, ``failures``."""
        for level in parents_first(self.tasks, wanted):
            for task in level:
                if self.look(task) == "failed" and task.id not in self.failures:
                    record = self.store.failures().get(task.id, {})
                    error = record.get("error", "")
                    self._remember(task, error, str(self.store.failure_file(task.id)))
        self._list_blocked()

    def _list_blocked(self):
        for id, state in self.states.items():
            if state == BLOCKED:
                for cause in self._causes(id):
                    self.failures[cause].blocked.append(id)

    def run_last(self, task):
        """Do one more task, which reads what all others wrote."""
        self.tasks[task.id] = task
        if self.look(task) not in ("done", BLOCKED):
            self._run_level([task], show_progress=False)

    def look(self, task):
        """State of a task whose parents have been looked at: see `ResultsStore.state`."""
        states = {parent: self.states[parent] for parent in task.parents}
        lost = {parent for parent, state in states.items() if state in ("failed", BLOCKED)}
        todo = [p for p, state in states.items() if state != "done" and p not in lost]
        vital = not task.tolerant or len(lost) == len(states) or not lost.isdisjoint(task.needs)
        if lost and vital:
            first = next(parent for parent in states if parent in lost)
            state, reason = BLOCKED, f"needs {first}, which failed"
        else:
            try:
                # of what is still to be done the key is known: it depends on inputs alone
                known = {p: "lost" if p in lost else self.keys[p] for p in task.parents}
                key = self.store.key(task, known)
                self.keys[task.id] = key
                state = self.store.state(task, key)
                reason = explain_states(state, todo)
            except OSError as error:
                self.keys[task.id] = "unreadable"
                state, reason = "failed", str(error)
                self._fail(task, failed_outcome(error))
        self.states[task.id], self.reasons[task.id] = state, reason
        return state

    def _fail(self, task, outcome):
        path = ""
        if self.executor is not None:
            path = str(self.store.fail(task, self.keys[task.id], outcome))
        self.states[task.id] = "failed"
        self._remember(task, outcome.error, path)

    def _remember(self, task, error, traceback_file):
        for pattern, words in IN_YAML:
            error = re.sub(pattern, words, error or "")
        command = f"{self.command} --task {shlex.quote(glob.escape(task.id))}"
        inputs = dict(task.files)
        self.failures[task.id] = Failure(task.id, error, inputs, traceback_file, command)

    def _causes(self, id):
        """Failed tasks because of which a task is blocked."""
        causes = []
        for parent in self.tasks[id].parents:
            if self.states[parent] == "failed" and parent in self.failures:
                causes.append(parent)
            elif self.states[parent] == BLOCKED:
                causes += self._causes(parent)
        return dict.fromkeys(causes)

    def _run_level(self, tasks, show_progress):
        # what failed in this run is not tried twice; what failed earlier is tried again
        tasks = [task for task in tasks if task.id not in self.failures]
        if not tasks:
            return
        calls, ready = [], []
        for task in tasks:
            self.states[task.id] = "running"
            try:
                calls.append((task, self._parents(task), self.store.stage(task)))
                ready.append(task)
            except (OSError, DamagedResultError) as error:
                self._fail(task, failed_outcome(error))
        steps = list(dict.fromkeys(task.step for task in ready))
        with progress(ready, ", ".join(steps), show_progress) as bar:
            for i, outcome in self.executor.run(calls):
                self._finish(ready[i], calls[i][2], outcome)
                bar.update()

    def _parents(self, task):
        available = [p for p in task.parents if self.states[p] == "done"]
        return {p: {o: self.store.path_of(o) for o in self.tasks[p].outputs} for p in available}

    def _finish(self, task, folder, outcome):
        if outcome.ok:
            try:
                self.store.check_inputs(task, self.keys[task.id])
                self.store.commit(task, self.keys[task.id], folder, outcome=outcome)
            except (OSError, ValueError) as error:
                outcome = failed_outcome(error)
            else:
                self.states[task.id] = "done"
                self.computed.append(task.id)
                return
        self._fail(task, outcome)
        log.warning("task %s failed: %s", task.id, outcome.error)


def failed_outcome(error):
    """`Outcome` of something that failed outside of the workers."""
    return Outcome(
        ok=False, error=str(error), error_type=type(error).__name__,
        traceback=traceback.format_exc(),
    )  # fmt: skip


def explain_states(state, todo=()):
    """Why a task is in a state, in words."""
    if state == "done":
        return "nothing it depends on has changed"
    if todo and state != "missing":
        return f"depends on {todo[0]}"
    return {
        "missing": "not done yet",
        "stale": "what it depends on has changed",
        "failed": "failed when it was tried",
        "damaged": "its result is damaged",
    }.get(state, state)
