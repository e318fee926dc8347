"""Which figures an analysis draws, as tasks: one for each figure."""

from fnmatch import fnmatchcase

import numpy as np

from dmgammapy.spectra import BinnedSpectra, channel_label

from ._figure_tasks_region import REGION_KINDS, RegionFigures
from ._figure_tasks_simulations import SimulationFigures, file_name
from ._files import letters
from ._tasks import Task

__all__ = ["figure_tasks"]

# figures of single targets are drawn without being asked for up to this many
MANY = 30


def figure_tasks(plan):
    """Tasks of all figures that are wanted and can be drawn.

    Parameters
    ----------
    plan : `~dmgammapy.analysis._plan.Plan`
        With all other tasks.

    Returns
    -------
    tasks : list of `~dmgammapy.analysis._tasks.Task`
    """
    makers = Figures(plan)
    tasks, regions = [], []
    for kind, detail in plan.config.plots.wanted().items():
        found = regions if kind in REGION_KINDS else tasks
        found += getattr(makers, kind)(kind, detail)
    # those of one region after each other: a worker renders it once
    regions.sort(key=lambda task: task.parents)
    return [*makers.stacks.values(), *regions, *tasks]


def _source(table):
    """What published limits are of; ``write_published_limits`` calls it source."""
    return str(table.meta.get("target") or table.meta.get("source") or "")


class Figures(RegionFigures, SimulationFigures):
    """Makes the tasks of each kind of figure; methods are named like the kinds."""

    def __init__(self, plan):
        self.plan, self.config = plan, plan.config
        self.asked = plan.config.plots.kinds is not None
        self.stacks = {}  # of single realisations, which only figures need

    # ---- helpers -----------------------------------------------------------------------------

    def _channels(self, detail):
        chosen = detail.channels or self.config.plots.channels or self.config.channels
        return [channel_label(channel) for channel in chosen]

    def _methods(self):
        return self.config.jfactor.methods

    def _task(self, kind, name, call, about, inputs=None, optional=None, parents=(), **params):
        """Task of a figure.

        ``inputs`` and ``optional`` are ``{argument: (task id, relative path)}``; of the latter
        those in the plan are taken. It needs other ``parents``, too.
        """
        optional = {k: v for k, v in (optional or {}).items() if v[0] in self.plan.tasks}
        given = (inputs or {}) | optional
        output = f"plots/{kind}/{name}.{self.config.plots.format}"
        files = params.pop("files", {})
        return Task(
            id=f"plot/{kind}/{name}",
            step="plot",
            function="dmgammapy.analysis._figure_steps:draw",
            params={
                "call": call,
                "about": {"kind": kind} | about,
                "inputs": {argument: list(where) for argument, where in given.items()},
                "output": output,
                "process": self.config.process,
            }
            | params,
            files=files,
            parents=tuple(dict.fromkeys([*(task for task, _ in given.values()), *parents])),
            outputs=(output,),
            tolerant=True,
            needs=tuple(dict.fromkeys([*(task for task, _ in (inputs or {}).values()), *parents])),
        )

    def _rosters(self, detail):
        for roster in self.plan.members.rosters:
            for method in self._methods():
                for channel in self._channels(detail):
                    about = {"roster": roster, "jfactor": method, "channel": channel}
                    name = file_name(roster if self._several() else "", method, channel)
                    yield roster, f"{roster}/{method}", about, name

    def _several(self):
        return len(self.plan.members.rosters) > 1

    def _stack(self, base):
        return f"stack/{base}", f"stacks/{base}.fits"

    def _observed(self, base):
        """The stack with the limits of the main method, which bands are of, too."""
        return f"limits/{base}", f"limits/{base}.fits"

    def _bands(self, base):
        return f"bands/{base}", f"bands/{base}.fits"

    def _targets(self, roster, method):
        """Results of the targets of a roster as arguments ``targets.<label>``."""
        return {
            f"targets.{m.label}": (
                f"target/{method}/{m.label}", f"targets/{method}/{m.label}.fits",
            )
            for m in self.plan.members.rosters[roster]
        }  # fmt: skip

    def _published(self, channel, target=None):
        """Published limits as files; of a target those that say that they are of it."""
        paths = [
            path
            for path, table in self.plan.published.get(channel, ())
            if target is None or letters(_source(table)) == letters(target)
        ]
        files = {f"published/{k}": str(path) for k, path in enumerate(paths)}
        return {"files": files}

    def _shown_roster(self, roster):
        return roster if self._several() else None

    def _members(self, kind, detail, n_each):
        """Members whose own figures are drawn, and the J treatments of them."""
        members = list(self.plan.members.all.values())
        if detail.targets is not None:
            members = [
                m for m in members
                if any(fnmatchcase(n, p) for n in (m.label, m.target.name) for p in detail.targets)
            ]  # fmt: skip
        methods = self._methods() if self.asked else self._methods()[:1]
        if not self.asked and len(members) * n_each > MANY:
            self.plan.notes.append(
                f"figures {kind!r} of {len(members)} targets are drawn when plots.kinds asks for "
                "them."
            )
            return [], methods
        return members, methods

    # ---- one target --------------------------------------------------------------------------

    def sed(self, kind, detail):
        members, _ = self._members(kind, detail, 1)
        tasks = []
        for member in members:
            for instrument in member.files:
                described = self.plan.members.describe(member, instrument)
                if described["kind"] == "castro":
                    continue
                files = self.plan.files((member, instrument))
                links, parents = self.plan.links((member, instrument))
                tasks.append(
                    self._task(
                        kind,
                        file_name(member.label, instrument),
                        "sed_castro",
                        {"target": member.label, "instrument": instrument or None},
                        {"castro": (described["task"], f"{described['task']}.fits")},
                        parents=parents,
                        member=described,
                        common=self.plan.common,
                        files=files,
                        **links,
                    )  # fmt: skip
                )
        return tasks

    def castro(self, kind, detail):
        return self._target_figures(kind, detail, "castro_map")

    def target_limits(self, kind, detail):
        return self._target_figures(kind, detail, "target_limits", bands=True)

    def _target_figures(self, kind, detail, call, bands=False):
        channels = self._channels(detail)
        members, methods = self._members(kind, detail, len(channels))
        tasks = []
        for member in members:
            for method in methods:
                inputs = {
                    "castro": (
                        f"target/{method}/{member.label}", f"targets/{method}/{member.label}.fits",
                    )
                }  # fmt: skip
                optional = self._target_bands(member, method) if bands else {}
                for channel in channels:
                    about = {"target": member.label, "jfactor": method, "channel": channel}
                    published = self._published(channel, member.target.name) if bands else {}
                    name = file_name(member.label, method, channel)
                    tasks.append(
                        self._task(
                            kind, name, call, about, inputs, optional, channel=channel,
                            main_method=self.plan.limit_method, **published,
                        )
                    )  # fmt: skip
        return tasks

    def _target_bands(self, member, method):
        """Bands of a target, if the simulations keep them."""
        name = self.plan.null_scenario
        # limits of single targets are those of the profile
        if name is None or self.plan.limit_method != "profile":
            return {}
        if not self.config.scenarios[name].per_target:
            return {}
        for roster, members in self.plan.members.rosters.items():
            if member in members:
                base = f"{name}/{roster}/{method}"
                path = f"simulations/{base}/targets/{member.target.name}_bands.fits"
                return {"bands": (f"collect/{base}", path)}
        return {}

    # ---- a roster ----------------------------------------------------------------------------

    def stack_castro(self, kind, detail):
        return [
            self._task(
                kind, name, "castro_map", about, {"castro": self._stack(base)},
                channel=about["channel"], roster=self._shown_roster(roster),
                main_method=self.plan.limit_method,
            )
            for roster, base, about, name in self._rosters(detail)
        ]  # fmt: skip

    def limits(self, kind, detail):
        tasks = []
        for roster, base, about, name in self._rosters(detail):
            optional = {"bands": self._bands(base)}
            several = len(self.plan.members.rosters[roster]) > 1
            if several and self.plan.limit_method == "profile":
                optional |= self._targets(roster, about["jfactor"])
            tasks.append(
                self._task(
                    kind,
                    name,
                    "limits",
                    about,
                    {"castro": self._observed(base)},
                    optional,
                    channel=about["channel"],
                    roster=self._shown_roster(roster),
                    **self._published(about["channel"]),
                )  # fmt: skip
            )
        return tasks

    def best_fits(self, kind, detail):
        return [
            self._task(
                kind, name, "best_fits", about, {"castro": self._stack(base)},
                {"bands": self._simulated_bands(self.plan.null_scenario, base)},
                channel=about["channel"], roster=self._shown_roster(roster),
            )
            for roster, base, about, name in self._rosters(detail)
        ]  # fmt: skip

    def _simulated_bands(self, scenario, base):
        return f"collect/{scenario}/{base}", f"simulations/{scenario}/{base}_bands.fits"

    def _ensemble(self, scenario, base):
        return f"collect/{scenario}/{base}", f"simulations/{scenario}/{base}.fits"

    def final_limits(self, kind, detail):
        return [
            self._task(
                kind, name, "final_limits", about, {"castro": self._observed(base)},
                {
                    "bands": self._bands(base),
                    "blank": (f"blank/stack/{base}", f"blank/{base}_bands.fits"),
                },
                channel=about["channel"], roster=self._shown_roster(roster),
                **self._published(about["channel"]),
            )
            for roster, base, about, name in self._rosters(detail)
        ]  # fmt: skip

    def likelihood_curves(self, kind, detail):
        tasks = []
        for roster, base, about, name in self._rosters(detail):
            optional = {}
            if len(self.plan.members.rosters[roster]) > 1:
                targets = self._targets(roster, about["jfactor"])
                optional = {
                    argument.replace("targets", "components"): where
                    for argument, where in targets.items()
                }
            tasks.append(
                self._task(
                    kind,
                    name,
                    "likelihood_curves",
                    about,
                    {"castro": self._stack(base)},
                    optional,
                    channel=about["channel"],
                    main_method=self.plan.limit_method,
                    roster=self._shown_roster(roster),
                )  # fmt: skip
            )
        return tasks

    def contributions(self, kind, detail):
        tasks = []
        for roster, base, about, name in self._rosters(detail):
            if len(self.plan.members.rosters[roster]) == 1:
                continue
            table = (f"stack/{base}", f"stacks/{base}_contributions.ecsv")
            tasks.append(
                self._task(
                    kind,
                    name,
                    "contributions",
                    about,
                    {"table": table, "castro": self._stack(base)},
                    channel=about["channel"],
                    main_method=self.plan.limit_method,
                    roster=self._shown_roster(roster),
                )  # fmt: skip
            )
        return tasks

    def jfactor_treatments(self, kind, detail):
        if len(self._methods()) < 2:
            return []
        tasks = []
        for roster in self.plan.members.rosters:
            inputs = {f"castros.{m}": self._observed(f"{roster}/{m}") for m in self._methods()}
            for channel in self._channels(detail):
                about = {"roster": roster, "channel": channel}
                name = file_name(roster if self._several() else "", channel)
                tasks.append(
                    self._task(
                        kind,
                        name,
                        "jfactor_treatments",
                        about,
                        inputs,
                        channel=channel,
                        roster=self._shown_roster(roster),
                    )  # fmt: skip
                )
        return tasks

    def ts(self, kind, detail):
        tasks = []
        for roster, base, about, name in self._rosters(detail):
            ensembles = {
                "ensembles.Simulations": self._ensemble(self.plan.null_scenario, base),
                "ensembles.Blank fields": (f"blank/stack/{base}", f"blank/{base}.fits"),
            }
            there = {k: v for k, v in ensembles.items() if v[0] in self.plan.tasks}
            if not there:
                continue
            tasks.append(
                self._task(
                    kind,
                    name,
                    "ts",
                    about,
                    there,
                    {"castro": self._stack(base)},
                    channel=about["channel"],
                    roster=self._shown_roster(roster),
                )  # fmt: skip
            )
        return tasks

    # ---- spectra -----------------------------------------------------------------------------

    def spectra(self, kind, detail):
        if isinstance(self.plan.spectra, BinnedSpectra):
            self.plan.notes.append(
                f"figures {kind!r} are not drawn: {self.plan.spectra.name} has integrals over "
                "bins, no dN/dE."
            )
            return []
        channels = self._channels(detail)
        masses = np.array(self.plan.common["masses"])
        middle = float(masses[len(masses) // 2])
        shared = {"common": self.plan.common, "files": self.plan.files()}
        tasks = [
            self._task(
                kind, "by_channel", "spectra_by_channel", {"channel": "all"}, channels=channels,
                mass=middle, **shared,
            )
        ]  # fmt: skip
        if len(masses) > 1:
            tasks += [
                self._task(
                    kind, file_name("by_mass", channel), "spectra_by_mass", {"channel": channel},
                    channel=channel, masses=masses.tolist(), **shared,
                )
                for channel in channels
            ]  # fmt: skip
        return tasks
