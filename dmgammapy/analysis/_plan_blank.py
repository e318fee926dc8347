"""Tasks about blank fields: what `Plan` makes of ``blank_fields``."""

import re
from pathlib import Path

from ._files import DatasetFiles, linked_files
from ._finding import shown_path
from ._sections import dataset_formats

__all__ = ["BlankTasks"]

BLANK_FIELDS = 20


class BlankTasks:
    """Part of `Plan`."""

    def _add_blank_fields(self):
        section = self.config.blank_fields
        if section is None:
            return
        self._check_blank_paths(section)
        made, self._blank_owners = {}, {}
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
                self._add_blank_stacks(f"{roster}/{jfactor['method']}", jfactor, parents)

    def _add_blank_stacks(self, base, jfactor, parents):
        outputs = [f"blank/{base}.fits", f"blank/{base}_bands.fits"]
        asimov = None if self.limit_method == "profile" else f"bands/asimov/{base}"
        needs = [] if asimov is None else [asimov]
        self._new(
            f"blank/stack/{base}", "blank", "_blank_steps:blank_stacks",
            {
                "jfactor": jfactor, "cl": self.common["cl"], "output": outputs[0],
                "bands": outputs[1], "quantiles": self.quantiles, "asimov": asimov,
                "limit_method": self.limit_method,
            },
            outputs, parents=[*parents, *needs], tolerant=True, needs=needs,
        )  # fmt: skip

    def _check_blank_paths(self, section):
        """Check that paths by instrument are of instruments that are there."""
        if isinstance(section.path, dict):
            known = [name for name in self.config.sources if name]
            for name in section.path:
                if name not in known:
                    raise self.config.error(
                        ("blank_fields", "path", name),
                        f"no instrument {name!r} in datasets, which has "
                        f"{', '.join(known) or 'one without a name'}",
                    )

    def _blank_path(self, section, instrument):
        """Path of the fields of an instrument and where it stands; None for counts to move."""
        if isinstance(section.path, dict):
            return section.path.get(instrument), ("blank_fields", "path", instrument)
        return section.path, ("blank_fields", "path")

    def _add_blank_castros(self, section, member, instrument):
        described = self.members.describe(member, instrument)
        id = f"blank/{member.task(instrument)}"
        params = self.common | {"member": described, "fields": None}
        files = self.files((member, instrument))
        path, loc = self._blank_path(section, instrument)
        if path is not None:
            fields = self._blank_files(section, member, instrument)
            if not fields:
                return None
            self._check_counted_once(fields, member, instrument, described, loc)
            names = [f"field/{k:04d}" for k in range(len(fields))]
            given = self._blank_format(section, described)
            files = {k: v for k, v in files.items() if k != member.task(instrument)}
            files |= {name: str(path) for name, path in zip(names, fields, strict=True)}
            if (described | given)["kind"] == "counts":
                files |= {
                    f"part/{name}/{k:04d}": str(part)
                    for name, path in zip(names, fields, strict=True)
                    for k, part in enumerate(linked_files(path))
                }
            shown = [shown_path(self.config, path) for path in fields]
            params |= {
                "fields": names, "shown": dict(zip(names, shown, strict=True)), "described": given,
            }  # fmt: skip
            n = len(fields)
        else:
            n = section.n or BLANK_FIELDS
            if described["kind"] != "counts":
                return None
            options = ("seed", "method", "offset_min", "offset_max", "separation")
            params["positions"] = {name: getattr(section, name) for name in options}
        outputs = [f"{id}/{k:04d}.fits" for k in range(n)]
        self._new(
            id, "blank", "_blank_steps:blank_castros", params | {"outputs": outputs}, outputs, files
        )
        return id

    def _blank_format(self, section, described):
        """What the files of blank fields have of their own, as `Members.describe` says it."""
        if section.format is None:
            return {}
        kind = dataset_formats()[section.format]
        return {
            "kind": kind,
            "format": None if kind == "counts" else section.format,
            "models": described["models"] if kind == "counts" else None,
        }

    def _check_counted_once(self, fields, member, instrument, described, loc):
        """Refuse a file that is that of two instruments."""
        table = (described["names"] or {}).get("instrument")  # files may hold several
        for path in fields:
            key = member.label, path.resolve(), table
            other = self._blank_owners.setdefault(key, instrument)
            if other != instrument:
                raise self.config.error(
                    loc,
                    f"{path} would be counted twice, as a field of {other} and of {instrument}; "
                    "put {instrument} into the path, or give one for each: "
                    f"{{{other}: ..., {instrument}: ...}}",
                )

    def _blank_files(self, section, member, instrument):
        """Files of the blank fields of a member, in the order of their numbers."""
        path, loc = self._blank_path(section, instrument)
        if "{instrument}" in path and not instrument:
            raise self.config.error(
                loc, "name the instrument: datasets: {path: ..., instrument: ...}"
            )
        pattern = DatasetFiles(self.config.resolve(path, loc))
        text = str(pattern.path(member.target, member.profile, field="\0", instrument=instrument))
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
