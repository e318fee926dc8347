"""Which figures of simulations an analysis draws, as tasks."""

import re

from dmgammapy.spectra import channel_label

from ._tasks import Task

__all__ = ["SimulationFigures", "file_name"]

BLANK = "blank"


def file_name(*parts):
    """Readable file name from names of all kinds."""
    return "_".join(re.sub(r"[^A-Za-z0-9.+-]+", "_", str(part)) for part in parts if part)


class SimulationFigures:
    """Part of `dmgammapy.analysis._figure_tasks.Figures`."""

    def _truth(self, scenario):
        """Mass [GeV], strength and channel of the signal of a scenario, or None."""
        signal = self.config.scenarios[scenario].injected
        if signal is None:
            return None
        strength = signal.sigmav if signal.sigmav is not None else signal.tau
        mass = float(signal.mass.to_value("GeV"))
        return [mass, str(strength), channel_label(signal.channel)]

    def _injected(self, kind, detail, call):
        tasks = []
        for scenario, section in self.config.scenarios.items():
            if section.injected is None:
                continue
            for roster, base, about, name in self._rosters(detail):
                tasks.append(
                    self._task(
                        kind,
                        file_name(scenario, name),
                        call,
                        about | {"simulation": scenario},
                        {"bands": self._simulated_bands(scenario, base)},
                        channel=about["channel"],
                        roster=self._shown_roster(roster),
                        truth=self._truth(scenario),
                    )  # fmt: skip
                )
        return tasks

    def control_limits(self, kind, detail):
        return self._injected(kind, detail, "control_limits")

    def control_best_fits(self, kind, detail):
        return self._injected(kind, detail, "control_best_fits")

    def simulated_castro(self, kind, detail):
        return self._realisations(kind, detail, "simulated_castro")

    def simulated_limits(self, kind, detail):
        return self._realisations(kind, detail, "simulated_limits")

    def _realisations(self, kind, detail, call):
        """Figures of single realisations, of which stacks with their scans are made anew."""
        tasks = []
        scenarios = list(self.config.scenarios)
        scenarios += [BLANK] if self.config.blank_fields is not None else []
        for scenario in scenarios:
            for roster, base, about, name in self._rosters(detail):
                for number in detail.realisations:
                    where = self._realisation(scenario, base, number)
                    if where is None:
                        continue
                    optional = {}
                    if call == "simulated_limits":
                        optional["bands"] = self._bands(base)
                    tasks.append(
                        self._task(
                            kind,
                            file_name(scenario, name, f"{number:04d}"),
                            call,
                            about | {"simulation": f"{scenario}, {number}"},
                            {"castro": where},
                            optional,
                            channel=about["channel"],
                            roster=self._shown_roster(roster),
                            number=number,
                            truth=None if scenario == BLANK else self._truth(scenario),
                        )  # fmt: skip
                    )
        return tasks

    def _realisation(self, scenario, base, number):
        """Task and path of the stack of one realisation; None if there is none."""
        id = f"realisation/{scenario}/{base}/{number:04d}"
        output = f"simulations/{scenario}/{base}/realisation_{number:04d}.fits"
        if scenario == BLANK:
            output = f"blank/{base}/realisation_{number:04d}.fits"
        if id not in self.stacks:
            like = (
                f"blank/stack/{base}" if scenario == BLANK else f"simulate/{scenario}/{base}/0000"
            )
            model = self.plan.tasks.get(like)
            if model is None:
                return None
            if scenario == BLANK:
                n = self.plan.blank_counts[base.partition("/")[0]]
            else:
                n = self.config.scenarios[scenario].n
            if number >= n:
                raise self.config.error(
                    ("plots", "kinds"), f"realisation {number} is not among the {n} of {scenario}"
                )
            dropped = ("realisations", "outputs", "bands", "quantiles")
            params = {k: v for k, v in model.params.items() if k not in dropped}
            self.stacks[id] = Task(
                id=id,
                step="blank" if scenario == BLANK else "simulate",
                function="dmgammapy.analysis."
                + ("_blank_steps:blank_stack" if scenario == BLANK else "_steps:simulated_stack"),
                params=params | {"realisation": number, "output": output},
                files=model.files,
                parents=model.parents,
                outputs=(output,),
                tolerant=model.tolerant,
                needs=model.needs,
                hints=model.hints,
            )
        return id, output
