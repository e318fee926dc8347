"""Which figures of regions around targets an analysis draws, as tasks."""

from ._figure_tasks_simulations import file_name
from ._plan_photons import region_file

__all__ = ["REGION_KINDS", "RegionFigures"]

REGION_KINDS = ("region_map", "region_spectrum", "region_significance")


class RegionFigures:
    """Part of `dmgammapy.analysis._figure_tasks.Figures`."""

    def region_map(self, kind, detail):
        return self._regions(kind, detail, marked=True)

    def region_spectrum(self, kind, detail):
        return self._regions(kind, detail)

    def region_significance(self, kind, detail):
        return self._regions(kind, detail)

    def _regions(self, kind, detail, marked=False):
        """A figure for every fitted region."""
        has_region = self.plan.members.has_region
        if not any(map(has_region, self.config.sources)):
            return []
        members, _ = self._members(kind, detail, 1)
        tasks = []
        for member in members:
            for instrument in filter(has_region, member.files):
                task = member.region_task(instrument)
                name = f"{member.label}, {instrument}" if instrument else member.label
                params = {"title": name}
                if marked:
                    params["marked"] = member.target.to_dict()
                tasks.append(
                    self._task(
                        kind,
                        file_name(member.label, instrument),
                        kind,
                        {"target": member.label, "instrument": instrument or None},
                        {"fit": (task, region_file(task))},
                        **params,
                    )  # fmt: skip
                )
        return tasks
