"""From a configuration to the tasks that do it: `Plan`."""

import re
from functools import cached_property
from pathlib import Path

import numpy as np

from ._figure_tasks import figure_tasks
from ._inputs import read_published, read_scan_spectra, spectra_source
from ._members import Members, shown_path
from ._tasks import Task
from .config import NULL

__all__ = ["Plan", "parents_first"]

STEPS_MODULE = "dmgammapy.analysis._steps"
# realisations of a task: about this many seconds, in blocks that the estimator treats at once
TASK_SECONDS = 5.0
ROW_SECONDS = 5e-5
BLOCK = 25
LARGEST_TASK = 500
SIGNIFICANCE_NEEDS = 20  # realisations
BLANK_FIELDS = 20


class Plan:
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
        self.jfactors = [self._jfactor(method) for method in config.jfactor.methods]
        self._add_castros()
        self._add_targets()
        self._add_stacks()
        self._add_simulations()
        self._add_blank_fields()
        self._add_bands()
        self._add_limits()
        for task in figure_tasks(self):
            self._add(task)

    # ---- what all tasks share ----------------------------------------------------------------

    @cached_property
    def common(self):
        """Parameters of the analysis, as JSON."""
        config = self.config
        source = spectra_source(config)
        bundled = self.members.names
        return {
            "spectra": source | {"path": None} if self._spectra_file else source,
            "process": config.process,
            "channels": list(config.channels),
            "masses": config.mass_grid.to_value("GeV").tolist(),
            "norm_type": config.norm_type,
            "interpolation": config.interpolation,
            "cl": config.limits.cl,
            "background": config.background.model_dump(mode="json"),
            "known": sorted(set(bundled) - _bundled_names()),
        }

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

    def _jfactor(self, method):
        jfactor = {"method": method}
        if method != "fixed":
            jfactor["extra_widths"] = self.config.jfactor.extra_widths
            covariance = self.members.covariance
            if covariance is not None:
                jfactor["covariance"] = {
                    "targets": list(covariance.names), "matrix": covariance.matrix.tolist(),
                }  # fmt: skip
        return jfactor

    def pairs(self, roster):
        """Members of a roster with each of their instruments."""
        return [(m, name) for m in self.members.rosters[roster] for name in m.files]

    def _add(self, task):
        if task.id in self.tasks:
            raise ValueError(f"two tasks are named {task.id!r}: rename a roster or instrument.")
        self.tasks[task.id] = task

    def _new(self, id, step, function, params, outputs, files=None, parents=(), tolerant=False):
        self._add(
            Task(
                id=id,
                step=step,
                function=f"{STEPS_MODULE}:{function}",
                params=params,
                files=files or {},
                parents=tuple(parents),
                outputs=tuple(outputs),
                tolerant=tolerant and self.config.execution.on_error == "skip",
            )
        )

    # ---- data --------------------------------------------------------------------------------

    def _add_castros(self):
        for member in self.members.all.values():
            for instrument in member.files:
                id = member.task(instrument)
                output = f"{id}.fits"
                self._new(
                    id, "castro", "castro",
                    self.common
                    | {"member": self.members.describe(member, instrument), "output": output},
                    [output], self.files((member, instrument)),
                )  # fmt: skip

    def _add_targets(self):
        for jfactor in self.jfactors:
            for member in self.members.all.values():
                id = f"target/{jfactor['method']}/{member.label}"
                output = f"targets/{jfactor['method']}/{member.label}.fits"
                parents = [member.task(instrument) for instrument in member.files]
                params = {"jfactor": self._without(jfactor, member), "cl": self.common["cl"]}
                self._new(
                    id, "target", "target", params | {"output": output}, [output],
                    parents=parents, tolerant=True,
                )  # fmt: skip

    def _without(self, jfactor, member):
        """Treatment of a target alone: its own variance stands in for the covariance."""
        covariance = jfactor.get("covariance")
        alone = {name: value for name, value in jfactor.items() if name != "covariance"}
        if covariance and member.target.name in covariance["targets"]:
            i = covariance["targets"].index(member.target.name)
            alone["width"] = float(np.sqrt(covariance["matrix"][i][i]))
        return alone

    def _add_stacks(self):
        for roster in self.members.rosters:
            parents = [member.task(name) for member, name in self.pairs(roster)]
            for jfactor in self.jfactors:
                base = f"{roster}/{jfactor['method']}"
                outputs = [f"stacks/{base}.fits", f"stacks/{base}_contributions.ecsv"]
                params = {"jfactor": jfactor, "cl": self.common["cl"]}
                params |= {"output": outputs[0], "contributions": outputs[1]}
                self._new(
                    f"stack/{base}", "stack", "stack", params, outputs,
                    parents=parents, tolerant=True,
                )  # fmt: skip

    # ---- simulations and controls ------------------------------------------------------------

    def _simulated(self, scenario, roster, jfactor, loc):
        """Parameters and files that simulations of a roster need."""
        pairs = self.pairs(roster)
        files = self.files(*pairs)
        if scenario["expectations"] is not None:
            path = self._existing(scenario["expectations"], (*loc, "expectations"))
            files["expectations"] = str(path)
        tables = [
            member["label"]
            for member in (self.members.describe(*pair) for pair in pairs)
            if member["kind"] == "castro"
        ]
        if tables:
            raise self.config.error(
                loc,
                f"the likelihood tables of {', '.join(tables)} can't be simulated: that takes "
                "likelihoods of energy bins, or counts. Take bands: none and no simulations, or "
                "a roster without them",
            )
        params = self.common | {
            "members": [self.members.describe(*pair) for pair in pairs],
            "scenario": {k: v for k, v in scenario.items() if k not in ("n", "expectations")},
            "jfactor": jfactor,
            "limit_method": self.config.limits.methods[0],
        }
        return params, files, [member["task"] for member in params["members"]]

    def _scenario(self, name):
        section = self.config.scenarios[name]
        scenario = section.model_dump(mode="json", exclude={"injected", "profile"})
        scenario["injected"] = None
        if section.injected is not None:
            signal = section.injected
            scenario["injected"] = {
                "mass": float(signal.mass.to_value("GeV")),
                "channel": signal.channel,
            }
            if self.config.process == "decay":
                scenario["injected"]["tau"] = float(signal.tau.to_value("s"))
            else:
                scenario["injected"]["sigmav"] = float(signal.sigmav.to_value("cm3 s-1"))
        return scenario

    def realisations_per_task(self, roster):
        """Realisations of a task: enough that overhead does not count."""
        rows = len(self.common["masses"]) * len(self.common["channels"])
        seconds = ROW_SECONDS * rows * len(self.pairs(roster))
        blocks = int(TASK_SECONDS / (seconds * BLOCK)) or 1
        return min(blocks * BLOCK, LARGEST_TASK)

    def _add_simulations(self):
        for name, section in self.config.scenarios.items():
            scenario = self._scenario(name)
            loc = ("simulations", name)
            for roster in self.members.rosters:
                true = self._true_jfactors(section, roster, loc)
                for jfactor in self.jfactors:
                    given = scenario | ({"log10_jfactor": true} if true else {})
                    shared = self._simulated(given, roster, jfactor, loc)
                    self._add_simulation(name, section, roster, jfactor, shared)

    def _true_jfactors(self, section, roster, loc):
        """log10 J of the profile that makes the signal, by target, where it is another."""
        if section.profile is None:
            return None
        if section.log10_jfactor == "prior":
            raise self.config.error(
                (*loc, "log10_jfactor"), "the true J is that of the profile, or drawn; not both"
            )
        self.members.check_simulated_shape(section.profile, roster, loc)
        version = self.config.profiles[section.profile].version
        members = self.members.rosters[roster]
        if version is None or all(member.target.version == version for member in members):
            return None
        from dmgammapy.targets import Targets

        name = "log10_jfactor" if self.config.process == "annihilation" else "log10_dfactor"
        true = {}
        for member in members:
            try:
                (target,) = Targets.from_names([f"{member.target.name}:{version}"])
            except ValueError as error:
                raise self.config.error((*loc, "profile"), str(error)) from error
            true[target.name] = getattr(target, name)
            if true[target.name] is None:
                raise self.config.error((*loc, "profile"), f"no {name} of {target.key}")
        return true

    def _add_simulation(self, name, section, roster, jfactor, shared):
        params, files, parents = shared
        base = f"{name}/{roster}/{jfactor['method']}"
        step = self.realisations_per_task(roster)
        names = ["stack"]
        if section.per_target:
            names += [member.target.name for member in self.members.rosters[roster]]
        parts = {}
        for k, start in enumerate(range(0, section.n, step)):
            id = f"simulate/{base}/{k:04d}"
            outputs = {who: f"simulations/{base}/parts/{k:04d}_{who}.fits" for who in names}
            stop = min(start + step, section.n)
            self._new(
                id, "simulate", "simulate",
                params | {"realisations": [start, stop], "outputs": outputs},
                outputs.values(), files, parents, tolerant=True,
            )  # fmt: skip
            parts[id] = outputs
        outputs = {}
        for who in names:
            path = f"simulations/{base}" + ("" if who == "stack" else f"/targets/{who}")
            outputs[who] = {"ensemble": f"{path}.fits", "bands": f"{path}_bands.fits"}
        self._new(
            f"collect/{base}", "collect", "collect",
            {"parts": parts, "outputs": outputs, "quantiles": self.quantiles},
            [path for item in outputs.values() for path in item.values()], parents=parts,
        )  # fmt: skip

    @property
    def quantiles(self):
        """Quantiles of bands."""
        return list(self.config.expected_bands.quantiles)

    def _add_blank_fields(self):
        section = self.config.blank_fields
        if section is None:
            return
        made = {}
        for member in self.members.all.values():
            for instrument in member.files:
                id = self._add_blank_castros(section, member, instrument)
                if id is not None:
                    made.setdefault(member.label, []).append(id)
        for roster, members in self.members.rosters.items():
            without = [member.label for member in members if member.label not in made]
            if without:
                names = ", ".join(without)
                self.notes.append(f"roster {roster}: none are stacked, no blank fields of {names}.")
                continue
            # the likelihoods of the data say which targets the controls are to hold
            parents = [member.task(name) for member, name in self.pairs(roster)]
            parents += [id for member in members for id in made[member.label]]
            for jfactor in self.jfactors:
                base = f"{roster}/{jfactor['method']}"
                outputs = [f"blank/{base}.fits", f"blank/{base}_bands.fits"]
                self._new(
                    f"blank/stack/{base}", "blank", "blank_stacks",
                    {
                        "jfactor": jfactor, "cl": self.common["cl"], "output": outputs[0],
                        "bands": outputs[1], "quantiles": self.quantiles,
                    },
                    outputs, parents=parents, tolerant=True,
                )  # fmt: skip

    def _add_blank_castros(self, section, member, instrument):
        described = self.members.describe(member, instrument)
        id = f"blank/{member.task(instrument)}"
        params = self.common | {"member": described, "fields": None}
        files = self.files((member, instrument))
        if section.path is not None:
            fields = self._blank_files(section, member, instrument)
            if not fields:
                return None
            names = [f"field/{k:04d}" for k in range(len(fields))]
            files |= {name: str(path) for name, path in zip(names, fields, strict=True)}
            del files[member.task(instrument)]
            shown = [shown_path(self.config, path) for path in fields]
            params |= {"fields": names, "shown": dict(zip(names, shown, strict=True))}
            n = len(fields)
        else:
            n = section.n or BLANK_FIELDS
            if described["kind"] != "counts":
                return None
            options = ("seed", "method", "offset_min", "offset_max", "separation")
            params["positions"] = {name: getattr(section, name) for name in options}
        outputs = [f"{id}/{k:04d}.fits" for k in range(n)]
        self._new(id, "blank", "blank_castros", params | {"outputs": outputs}, outputs, files)
        return id

    def _blank_files(self, section, member, instrument):
        """Files of the blank fields of a member, in the order of their numbers."""
        from ._files import DatasetFiles

        pattern = DatasetFiles(self.config.resolve(section.path, ("blank_fields", "path")))
        text = str(pattern.path(member.target, member.profile, field="\0"))
        self.members.folders.add(Path(text.replace("\0", "0000")).parent)
        expression = re.compile(re.escape(text).replace("\0", r"(\d+)").replace("\\\0", r"(\d+)"))
        found = {}
        for path in sorted(Path(text).parent.glob("*")):
            match = expression.fullmatch(str(path))
            if match:
                found[int(match[1])] = path
        numbers = sorted(found)[: section.n]
        if section.n is not None and len(numbers) < section.n:
            raise self.config.error(
                ("blank_fields", "n"),
                f"there are {len(numbers)} blank fields of {member.label} "
                f"({text.replace(chr(0), '{field}')}), {section.n} are wanted",
            )
        return [found[number] for number in numbers]

    # ---- limits ------------------------------------------------------------------------------

    def _each(self):
        """Roster, J treatment and ``roster/treatment``."""
        for roster in self.members.rosters:
            for jfactor in self.jfactors:
                yield roster, jfactor, f"{roster}/{jfactor['method']}"

    def needs_asimov(self):
        """Whether limits or bands take the Asimov data."""
        methods = set(self.config.limits.methods) - {"profile"}
        return bool(methods) or self.config.expected_bands.method == "asimov"

    def _add_bands(self):
        wanted = self.config.expected_bands
        if self.needs_asimov():
            name = NULL if NULL in self.config.scenarios else None
            scenario = self._scenario(name) if name else self._default_scenario()
            loc = ("simulations", name) if name else ("bands",)
            for roster, jfactor, base in self._each():
                params, files, parents = self._simulated(scenario, roster, jfactor, loc)
                output = f"bands/{base}_asimov.fits"
                self._new(
                    f"bands/asimov/{base}", "bands", "asimov", params | {"output": output},
                    [output], files, parents, tolerant=True,
                )  # fmt: skip
        if wanted.method == "none":
            return
        for _, _, base in self._each():
            source = f"bands/asimov/{base}"
            relative = f"bands/{base}_asimov.fits"
            if wanted.method == "toys":
                source = f"collect/{wanted.simulation}/{base}"
                relative = f"simulations/{wanted.simulation}/{base}.fits"
            output = f"bands/{base}.fits"
            params = {
                "source": source, "relative": relative, "method": wanted.method,
                "quantiles": self.quantiles, "limit_method": self.config.limits.methods[0],
                "output": output,
            }  # fmt: skip
            self._new(f"bands/{base}", "bands", "bands", params, [output], parents=[source])

    def _default_scenario(self):
        from ._sections_run import SimulationConfig

        defaults = self.config.simulations.get("defaults") or SimulationConfig()
        scenario = defaults.model_dump(mode="json", exclude={"injected", "profile"})
        return scenario | {"injected": None}

    def _add_limits(self):
        tables = []
        for roster, jfactor, base in self._each():
            members = self.members.rosters[roster]
            targets = {f"target/{jfactor['method']}/{m.label}": m.label for m in members}
            asimov = f"bands/asimov/{base}"
            needed = set(self.config.limits.methods) != {"profile"}
            output = f"limits/{base}.ecsv"
            params = {
                "roster": roster, "jfactor": jfactor, "stack": f"stack/{base}",
                "relative": f"stacks/{base}.fits", "asimov": asimov if needed else None,
                "methods": self.config.limits.methods, "labels": targets, "output": output,
            }  # fmt: skip
            parents = [f"stack/{base}", *targets, *([asimov] if needed else [])]
            self._new(
                f"limits/{base}", "limits", "limits", params, [output], parents=parents,
                tolerant=True,
            )  # fmt: skip
            tables.append(f"limits/{base}")
            self._add_significance(base)
        self._new(
            "limits/all", "limits", "limits_of_all",
            {"output": "limits.ecsv", "skipped": self.members.skipped},
            ["limits.ecsv"], parents=tables,
        )  # fmt: skip

    def _add_significance(self, base):
        null = self.config.scenarios.get(NULL)
        if null is None or null.n < SIGNIFICANCE_NEEDS:
            return
        output = f"significance/{base}.ecsv"
        params = {
            "stack": f"stack/{base}", "relative": f"stacks/{base}.fits",
            "simulation": f"collect/{NULL}/{base}",
            "ensemble": f"simulations/{NULL}/{base}.fits", "output": output,
        }  # fmt: skip
        self._new(
            f"significance/{base}", "significance", "significance", params, [output],
            parents=[params["stack"], params["simulation"]],
        )  # fmt: skip


def _bundled_names():
    from dmgammapy.targets import Targets

    return set(Targets.bundled().names)


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
