"""From a configuration to the tasks that do it: `Plan`."""

from functools import cached_property

from ._data import widths_of
from ._figure_tasks import figure_tasks
from ._inputs import read_published, read_scan_spectra, spectra_source
from ._members import Members
from ._owners import bundled_names
from ._plan_blank import BlankTasks
from ._plan_photons import PhotonTasks
from ._plan_simulations import SimulationTasks
from ._tasks import Task

__all__ = ["Plan", "parents_first"]

PACKAGE = "dmgammapy.analysis"
SIGNIFICANCE_NEEDS = 20  # realisations


class Plan(PhotonTasks, SimulationTasks, BlankTasks):
    """All tasks of an analysis.

    Parameters
    ----------
    config : `~dmgammapy.analysis.AnalysisConfig`

    Attributes
    ----------
    members : `Members`
    tasks : dict of `Task`
        By id, parents before children.
    notes : list of str
        What can't be done, and why.

    Raises
    ------
    ConfigError
        If the configuration does not fit rosters, files or spectra.
    """

    def __init__(self, config):
        self.config = config
        self.spectra = read_scan_spectra(config)
        self.published = read_published(config)
        self.members = Members(config)
        self.tasks, self.notes = {}, []
        self._add_regions()
        self._add_castros()
        self._add_targets()
        self._add_stacks()
        self._add_simulations()
        self._add_bands()
        self._add_blank_fields()
        self._add_limits()
        for task in figure_tasks(self):
            self._add(task)

    # ---- what all tasks share ----------------------------------------------------------------

    @cached_property
    def common(self):
        """Parameters of the analysis, as JSON."""
        config = self.config
        source = spectra_source(config)
        return {
            "spectra": source | {"path": None} if self._spectra_file else source,
            "process": config.process,
            "channels": list(config.channels),
            "masses": config.mass_grid.to_value("GeV").tolist(),
            "norm_type": config.norm_type,
            "interpolation": config.interpolation,
            "cl": config.limits.cl,
            "background": self._background,
        }

    @cached_property
    def _background(self):
        """How backgrounds are treated, with the method that applies."""
        background = self.config.background.model_dump(mode="json")
        if background["method"] is None:
            regions = any(map(self.members.has_region, self.config.sources))
            direct = regions and background["cov_scale"] is None
            background["method"] = "direct" if direct else "bins"
        return background

    @cached_property
    def hints(self):
        """What all readers of data are told without a result depending on it."""
        return {"known": sorted(set(self.members.names) - bundled_names())}

    @cached_property
    def _spectra_file(self):
        source = spectra_source(self.config)
        return source["path"] if isinstance(source, dict) and "path" in source else None

    def files(self, *members):
        """Input files of (member, instrument) pairs, by name."""
        found = {} if self._spectra_file is None else {"spectra": str(self._spectra_file)}
        for member, instrument in members:
            found |= self.members.input_files(member, instrument)
        return found

    def _existing(self, text, loc):
        path = self.config.resolve(text, loc)
        if not path.is_file():
            raise self.config.error(loc, f"no file {path}")
        return path

    def jfactor(self, method, members):
        """J treatment of some members: what is said about others does not matter to them."""
        jfactor = {"method": method}
        if method == "fixed":
            return jfactor
        sources = self.config.sources
        found = [
            (member.target.name, sources[name].instrument or name)
            for member in members
            for name in member.files
        ]
        jfactor["extra_widths"] = widths_of(self.config.jfactor.extra_widths, found)
        covariance = self.members.covariance
        names = {target for target, _ in found}
        here = [] if covariance is None else [name for name in covariance.names if name in names]
        if len(here) > 1:
            matrix = covariance.select(here).matrix.tolist()
            jfactor["covariance"] = {"targets": here, "matrix": matrix}
        elif here:  # its own variance stands for the covariance
            jfactor["width"] = float(covariance.widths[here[0]])
        return jfactor

    def pairs(self, roster):
        """Members of a roster with each of their instruments."""
        return [(m, name) for m in self.members.rosters[roster] for name in m.files]

    def _add(self, task):
        if task.id in self.tasks:
            raise self.config.error(
                ("datasets",),
                f"two tasks are named {task.id!r}: rename a target, roster or instrument",
            )
        self.tasks[task.id] = task

    def _new(
        self, id, step, function, params, outputs, files=None, parents=(), tolerant=False, needs=(),
        hints=None, optional=(),
    ):  # fmt: skip
        """Add a task; without ``optional`` parents it goes on whatever ``on_error`` says."""
        tolerant = tolerant and self.config.execution.on_error == "skip"
        if optional and not tolerant:
            needs, tolerant = [parent for parent in parents if parent not in optional], True
        self._add(
            Task(
                id=id,
                step=step,
                function=f"{PACKAGE}.{function}",
                params=params,
                files=files or {},
                parents=tuple(parents),
                outputs=tuple(outputs),
                tolerant=tolerant,
                needs=tuple(needs),
                hints=hints or {},
            )
        )

    # ---- data --------------------------------------------------------------------------------

    def _add_castros(self):
        for member in self.members.all.values():
            for instrument in member.files:
                id = member.task(instrument)
                output = f"{id}.fits"
                links, parents = self.links((member, instrument))
                self._new(
                    id, "castro", "_steps:castro",
                    self.common | links
                    | {"member": self.members.describe(member, instrument), "output": output},
                    [output], self.files((member, instrument)), parents, hints=self.hints,
                )  # fmt: skip

    def _add_targets(self):
        for method in self.config.jfactor.methods:
            for member in self.members.all.values():
                id = f"target/{method}/{member.label}"
                output = f"targets/{method}/{member.label}.fits"
                parents = [member.task(instrument) for instrument in member.files]
                params = {"jfactor": self.jfactor(method, [member]), "cl": self.common["cl"]}
                self._new(
                    id, "target", "_steps:target", params | {"output": output}, [output],
                    parents=parents, tolerant=True,
                )  # fmt: skip

    def _add_stacks(self):
        for roster in self.members.rosters:
            parents = [member.task(name) for member, name in self.pairs(roster)]
            for jfactor, base in self.treatments(roster):
                outputs = [f"stacks/{base}.fits", f"stacks/{base}_contributions.ecsv"]
                params = {"jfactor": jfactor, "cl": self.common["cl"]}
                params |= {"output": outputs[0], "contributions": outputs[1]}
                self._new(
                    f"stack/{base}", "stack", "_steps:stack", params, outputs,
                    parents=parents, tolerant=True,
                )  # fmt: skip

    # ---- limits ------------------------------------------------------------------------------

    @property
    def quantiles(self):
        """Quantiles of bands."""
        return list(self.config.expected_bands.quantiles)

    @property
    def limit_method(self):
        """Main method of the limits: what is called observed and expected is by it."""
        return self.config.limits.methods[0]

    def treatments(self, roster):
        """J treatments of a roster with ``roster/treatment``."""
        members = self.members.rosters[roster]
        for method in self.config.jfactor.methods:
            yield self.jfactor(method, members), f"{roster}/{method}"

    def each(self):
        """Roster, J treatment and ``roster/treatment``."""
        for roster in self.members.rosters:
            for jfactor, base in self.treatments(roster):
                yield roster, jfactor, base

    def needs_asimov(self):
        """Whether limits or bands take the Asimov data."""
        methods = set(self.config.limits.methods) - {"profile"}
        return bool(methods) or self.config.expected_bands.method == "asimov"

    def _add_bands(self):
        wanted = self.config.expected_bands
        if self.needs_asimov():
            scenario, loc = self._expected_scenario()
            for roster, jfactor, base in self.each():
                params, files, parents = self._simulated(scenario, roster, jfactor, loc)
                output = f"bands/{base}_asimov.fits"
                self._new(
                    f"bands/asimov/{base}", "bands", "_steps:asimov", params | {"output": output},
                    [output], files, parents, tolerant=True, hints=self.hints,
                )  # fmt: skip
        if wanted.method == "none":
            return
        for _, _, base in self.each():
            source = f"bands/asimov/{base}"
            relative = f"bands/{base}_asimov.fits"
            if wanted.method == "toys":
                source = f"collect/{wanted.simulation}/{base}"
                relative = f"simulations/{wanted.simulation}/{base}.fits"
            output = f"bands/{base}.fits"
            params = {
                "source": source, "relative": relative, "method": wanted.method,
                "quantiles": self.quantiles, "limit_method": self.limit_method, "output": output,
            }  # fmt: skip
            self._new(
                f"bands/{base}", "bands", "_limit_steps:bands", params, [output], parents=[source]
            )

    def _add_limits(self):
        tables = []
        for roster, jfactor, base in self.each():
            members = self.members.rosters[roster]
            targets = {f"target/{jfactor['method']}/{m.label}": m.label for m in members}
            needed = set(self.config.limits.methods) != {"profile"}
            asimov = f"bands/asimov/{base}" if needed else None
            output, castro = f"limits/{base}.ecsv", f"limits/{base}.fits"
            params = {
                "roster": roster, "jfactor": jfactor, "stack": f"stack/{base}",
                "relative": f"stacks/{base}.fits", "asimov": asimov,
                "methods": self.config.limits.methods, "labels": targets, "output": output,
                "castro": castro,
            }  # fmt: skip
            # what the main method does without may be lost
            spare = [asimov] if needed and self.limit_method == "profile" else []
            needs = [f"stack/{base}", *([asimov] if needed and not spare else [])]
            self._new(
                f"limits/{base}", "limits", "_limit_steps:limits", params, [output, castro],
                parents=[*needs, *spare, *targets], tolerant=True, needs=needs, optional=spare,
            )  # fmt: skip
            tables.append(f"limits/{base}")
            self._add_significance(base)
        self._new(
            "limits/all", "limits", "_limit_steps:limits_of_all",
            {
                "output": "limits.ecsv", "skipped": self.members.skipped,
                "tables": {name: f"{name}.ecsv" for name in tables},
            },
            ["limits.ecsv"], parents=tables,
        )  # fmt: skip

    def _add_significance(self, base):
        name = self.null_scenario
        if name is None:
            return
        n = self.config.scenarios[name].n
        if n < SIGNIFICANCE_NEEDS:
            note = (
                f"the significance is not estimated: that takes {SIGNIFICANCE_NEEDS} simulations, "
                f"{name} has {n}."
            )
            self.notes += [note] if note not in self.notes else []
            return
        output = f"significance/{base}.ecsv"
        params = {
            "stack": f"stack/{base}", "relative": f"stacks/{base}.fits",
            "simulation": f"collect/{name}/{base}",
            "ensemble": f"simulations/{name}/{base}.fits", "output": output,
        }  # fmt: skip
        self._new(
            f"significance/{base}", "significance", "_limit_steps:significance", params, [output],
            parents=[params["stack"], params["simulation"]],
        )  # fmt: skip


def parents_first(tasks, wanted=None):
    """Tasks in levels: each depends on earlier levels only.

    Parameters
    ----------
    tasks : dict of `Task`
    wanted : iterable of str, optional
        Only these and what they depend on. Default is all.

    Returns
    -------
    levels : list of list of `Task`
    """
    chosen, todo = set(), list(tasks if wanted is None else wanted)
    while todo:
        id = todo.pop()
        if id not in chosen:
            chosen.add(id)
            todo += tasks[id].parents
    depth = {}

    def depth_of(id):
        if id not in depth:
            depth[id] = 1 + max((depth_of(parent) for parent in tasks[id].parents), default=-1)
        return depth[id]

    levels = {}
    for id, task in tasks.items():
        if id in chosen:
            levels.setdefault(depth_of(id), []).append(task)
    return [levels[level] for level in sorted(levels)]
