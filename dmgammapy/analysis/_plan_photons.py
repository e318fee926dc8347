"""Tasks about photons and regions: what `Plan` makes of event files and what else shines."""

import glob
from pathlib import Path

from dmgammapy.makers._roi_extra import make_source
from dmgammapy.makers.lat._caldb import find_irf_files, resolve_event_types
from dmgammapy.makers.lat._expressions import FilterExpression
from dmgammapy.makers.lat._fits import expand_paths

from ._finding import place_of
from ._lat_steps import photon_maker
from ._sections_lat import PARAMETRISED

__all__ = ["PhotonTasks"]

NOT_SETTINGS = ("ft1", "ft2", "livetime", "caldb", "cache")


class PhotonTasks:
    """Part of `Plan`."""

    def links(self, *pairs):
        """Fitted regions of (member, instrument) pairs, for the tasks that read their counts.

        Returns
        -------
        links : dict
            ``{"links": {name of the file: [task, relative path]}}``, empty without any.
        parents : list of str
        """
        found = {}
        for member, instrument in pairs:
            if self.members.has_region(instrument):
                task = member.region_task(instrument)
                found[member.task(instrument)] = [task, region_file(task)]
        return ({"links": found} if found else {}), [task for task, _ in found.values()]

    def _add_regions(self):
        for member in self.members.all.values():
            for instrument in member.files:
                if self.members.has_region(instrument):
                    self._add_region(member, instrument)

    def _add_region(self, member, instrument):
        section = self.config.sources[instrument]
        task = member.region_task(instrument)
        params = {"target": member.target.to_dict(), "shown": instrument or "counts"}
        if section.photons is not None:
            given, parents = self._reduce(member, instrument, params)
            params |= {"links": {"counts": given}}
            files = {}
        else:
            parents = []
            path = member.files[instrument]
            files = {"counts": str(path)}
            files |= {
                f"part/{k:04d}": str(part) for k, part in enumerate(self.members.linked(path))
            }
        region = None
        if section.region is not None:
            region = section.region.model_dump(mode="json")
            self._check_sources(section.region, instrument)
            files |= self._region_files(section.region, instrument)
        models = self.members.models_file(member, instrument)
        if models is not None:
            linked = self.members.linked(models)
            files["models"] = str(models)
            files |= {f"part/models/{k:04d}": str(part) for k, part in enumerate(linked)}
        self._new(
            task, "region", "_lat_steps:region",
            params | {
                "region": region, "output": region_file(task), "table": f"{places(task)}.ecsv",
                "spatial": member.spatial, "process": self.config.process,
            },
            [region_file(task), f"{places(task)}.ecsv"], files, parents,
            hints={"extended_dir": self._templates_of(section.region, instrument)},
        )  # fmt: skip

    def _reduce(self, member, instrument, params):
        """Add the task that reduces photons; what it writes, and its id."""
        photons = self.config.sources[instrument].photons
        task = member.task(instrument).replace("castro", "reduce", 1)
        output = f"{task.replace('reduce', 'reduced', 1)}.zip"
        files = self._response_files(photons, instrument)
        for key in ("ft1", "ft2"):
            files |= self._photon_files(member, instrument, key)
        if photons.livetime is not None:
            loc = place_of(self.config, instrument, "photons", "livetime")
            files["livetime"] = str(self._existing(photons.livetime, loc))
        settings = photons.model_dump(mode="json", exclude=set(NOT_SETTINGS))
        self._check_settings(settings, member, instrument)
        folders = ("caldb", "cache")
        self._new(
            task, "reduce", "_lat_steps:reduce",
            params | {"photons": settings, "output": output}, [output], files,
            hints={name: self._folder_of(photons, instrument, name) for name in folders},
        )  # fmt: skip
        return [task, output], [task]

    def _check_settings(self, settings, member, instrument):
        """Refuse settings that the reduction would refuse, before anything is done."""
        try:
            FilterExpression(settings["filter"] or "START>=0")
            photon_maker(settings, member.target, show_progress=False)
        except (OverflowError, TypeError, ValueError) as error:
            loc = place_of(self.config, instrument, "photons")
            raise self.config.error(loc, str(error)) from None

    def _check_sources(self, region, instrument):
        """Refuse sources of which no model can be made."""
        for k, source in enumerate(region.sources):
            try:
                make_source(source)
            except (KeyError, TypeError, ValueError) as error:
                loc = place_of(self.config, instrument, "region", "sources", k)
                raise self.config.error(loc, str(error)) from None

    def _photon_files(self, member, instrument, key):
        """Event or spacecraft files of a member, by name."""
        found = {}
        sources = self.members.sources
        for k, (path, is_list) in enumerate(sources.photon_files(instrument, member.target, key)):
            loc = place_of(self.config, instrument, "photons", key, k)
            self.members.probed.add(path)
            try:
                paths = expand_paths(f"@{path}") if is_list else [path]
            except (OSError, ValueError) as error:
                raise self.config.error(loc, f"the list {path}: {error}") from None
            for j, part in enumerate(paths):
                if not part.is_file():
                    raise self.config.error(loc, f"no file {part}")
                found[f"{key}/{k:04d}/{j:05d}"] = str(part.absolute())
        return found

    def _response_files(self, photons, instrument):
        """Files of the response functions, by name: the results depend on what they hold."""
        found = {}
        folder = self._folder_of(photons, instrument, "caldb")
        if folder is not None:  # a file that is nearer the root would be preferred
            self.members.globs.add(f"{glob.escape(folder)}/**/*.fits")
        for part in photons.parts:
            if part.irfs == PARAMETRISED:
                continue
            irfs = part.irfs
            try:
                for kind in part.event_types:
                    partition, _ = resolve_event_types(kind)
                    paths = find_irf_files(irfs, partition, folder)
                    found |= {f"irf/{path.name}": str(path) for path in paths.values()}
            except (OSError, ValueError) as error:
                loc = place_of(self.config, instrument, "photons")
                raise self.config.error(loc, str(error)) from None
        return found

    def _folder_of(self, photons, instrument, key):
        text = getattr(photons, key)
        if text is None:
            return None
        loc = place_of(self.config, instrument, "photons", key)
        return str(self.config.resolve(text, loc))

    def _templates_of(self, region, instrument):
        """Folder of templates of extended sources, or None."""
        if region is None or region.extended_dir is None:
            return None
        loc = place_of(self.config, instrument, "region", "extended_dir")
        folder = self.config.resolve(region.extended_dir, loc)
        if not folder.is_dir():
            raise self.config.error(loc, f"no folder {folder}")
        return str(folder)

    def _region_files(self, region, instrument):
        """Input files of the models of a region, by name."""
        found = {}

        def add(name, text, *keys):
            loc = place_of(self.config, instrument, "region", *keys)
            found[name] = str(self._existing(text, loc))

        for k, text in enumerate(region.catalogs):
            add(f"catalog/{k:02d}", text, "catalogs", k)
        if region.diffuse is not None:
            add("diffuse", region.diffuse, "diffuse")
        folder = self._templates_of(region, instrument)
        if folder is not None:
            self.members.globs.add(f"{glob.escape(folder)}/**/*")
            paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
            found |= {f"template/{k:04d}": str(path) for k, path in enumerate(paths)}
        if isinstance(region.isotropic, str):
            add("isotropic", region.isotropic, "isotropic")
        elif region.isotropic is not None:
            for name, text in region.isotropic.items():
                add(f"isotropic/{name}", text, "isotropic", name)
        return found


def places(task):
    """Results of a region, without suffix, relative to the folder of results."""
    return task.replace("region", "regions", 1)


def region_file(task):
    """Fitted region: counts, models and their covariance."""
    return f"{places(task)}.zip"
