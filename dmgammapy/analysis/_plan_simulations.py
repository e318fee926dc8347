"""Tasks about simulations: what `Plan` makes of the scenarios of a configuration."""

from functools import cached_property

from dmgammapy.targets.core import factor_name

from ._inputs import profile_target, roster_library
from ._member_checks import check_simulated_shape
from ._sections_run import SimulationConfig
from .config import DEFAULTS, NULL

__all__ = ["SimulationTasks"]

# realisations of a task: about this many seconds, in blocks that the estimator treats at once
TASK_SECONDS = 5.0
ROW_SECONDS = 5e-5
BLOCK = 25
LARGEST_TASK = 500
NOT_OF_ALL = ("n", "expectations")  # of a scenario, what single realisations don't depend on


class SimulationTasks:
    """Part of `Plan`."""

    @cached_property
    def null_scenario(self):
        """Simulations that stand for no signal, by name; None without.

        Those of the bands, otherwise ``null`` or the first without a signal. Significance, TS and
        expected best fits refer to them.
        """
        bands, scenarios = self.config.expected_bands, self.config.scenarios
        if bands.method == "toys":
            return bands.simulation
        without = [name for name, section in scenarios.items() if section.injected is None]
        return NULL if NULL in without else next(iter(without), None)

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
        links, regions = self.links(*pairs)
        params = (
            self.common
            | links
            | {
                "members": [self.members.describe(*pair) for pair in pairs],
                "scenario": {k: v for k, v in scenario.items() if k not in NOT_OF_ALL},
                "jfactor": jfactor,
                # J-factors that are wrong together are so whatever is made of them
                "covariance": self.jfactor("profile", [m for m, _ in pairs]).get("covariance"),
                "limit_method": self.limit_method,
            }
        )
        return params, files, [*(member["task"] for member in params["members"]), *regions]

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

    def _expected_scenario(self):
        """Scenario of the Asimov data, and where it stands in the configuration."""
        name = self.null_scenario
        if name is not None:
            scenario, loc = self._scenario(name), ("simulations", name)
        else:
            defaults = self.config.simulations.get(DEFAULTS) or SimulationConfig()
            scenario = defaults.model_dump(mode="json", exclude={"injected", "profile"})
            loc = ("bands",)
        # nothing is drawn, and J is the observed one
        fixed = {"injected": None, "seed": 0, "redraw_jfactor": False, "per_target": False}
        return scenario | fixed | {"log10_jfactor": "observed"}, loc

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
                for jfactor, _ in self.treatments(roster):
                    given = scenario | ({"log10_jfactor": true} if true else {})
                    shared = self._simulated(given, roster, jfactor, loc)
                    self._add_simulation(name, section, roster, jfactor, shared)

    def _true_jfactors(self, section, roster, loc):
        """log10 J of the profile that makes the signal, of the targets where it is another.

        As in the analysis: of the roster's own file if it has the version, and what
        ``jfactor.targets`` says counts.
        """
        if section.profile is None:
            return None
        if section.log10_jfactor == "prior":
            raise self.config.error(
                (*loc, "log10_jfactor"), "the true J is that of the profile, or drawn; not both"
            )
        check_simulated_shape(self.members, section.profile, roster, loc)
        profile = self.config.profiles[section.profile]
        library = roster_library(self.config, *self.members.sections[roster])
        name = factor_name(self.config.process)
        true = {}
        for member in self.members.rosters[roster]:
            try:
                target = profile_target(self.config, library, member.target, section.profile)
            except ValueError as error:
                raise self.config.error((*loc, "profile"), str(error)) from error
            if profile.spatial != "point":
                target, _ = self.members.with_shape(target, section.profile)
            value = getattr(target, name)
            if value is None and target.version == member.target.version:
                value = getattr(member.target, name)  # that of its shape
            if value is None:
                raise self.config.error((*loc, "profile"), f"no {name} of {target.key}")
            if value != getattr(member.target, name):
                true[target.name] = value
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
                id, "simulate", "_steps:simulate",
                params | {"realisations": [start, stop], "outputs": outputs},
                outputs.values(), files, parents, tolerant=True, hints=self.hints,
            )  # fmt: skip
            parts[id] = outputs
        outputs = {}
        for who in names:
            path = f"simulations/{base}" + ("" if who == "stack" else f"/targets/{who}")
            outputs[who] = {"ensemble": f"{path}.fits", "bands": f"{path}_bands.fits"}
        self._new(
            f"collect/{base}", "collect", "_steps:collect",
            {"parts": parts, "outputs": outputs, "quantiles": self.quantiles},
            [path for item in outputs.values() for path in item.values()], parents=parts,
        )  # fmt: skip
