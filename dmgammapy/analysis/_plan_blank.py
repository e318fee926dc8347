"""Tasks about blank fields: what `Plan` makes of ``blank_fields``."""

import glob
import re
from pathlib import Path

from ._files import DatasetFiles, common_fields, say_left_out
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
        self._blank_numbers, self.blank_counts = {}, {}  # of files by task, of stacks by roster
        files = self._all_blank_files(section)
        for member in self.members.all.values():
            for instrument in member.files:
                id = self._add_blank_castros(section, member, instrument, files)
                if id is not None:
                    made.setdefault(member.label, []).append(id)
        for roster, members in self.members.rosters.items():
            without = [member.label for member in members if member.label not in made]
            if without:
                names = ", ".join(without)
                note = f"roster {roster}: none are stacked, no blank fields of {names}."
                self.notes.append(note)
                self.members.warn(note)
                continue
            # the likelihoods of the data say which targets the controls are to hold
            parents = [member.task(name) for member, name in self.pairs(roster)]
            parents += [id for member in members for id in made[member.label]]
            fields = {
                id: self._blank_numbers[id] for member in members for id in made[member.label]
            }
            self._check_common(section, roster, fields)
            for jfactor, base in self.treatments(roster):
                self._add_blank_stacks(base, jfactor, parents, fields)

    def _check_common(self, section, roster, fields):
        """Warn of fields that not all targets have; that too few are left is an error."""
        numbers = {
            id: dict(given) if given else self.tasks[id].outputs for id, given in fields.items()
        }
        common, left_out = common_fields(numbers, section.n)
        self.blank_counts[roster] = len(common)
        for line in say_left_out(left_out):
            self.members.warn(f"blank fields of the roster {roster}: {line}")
        if len(common) < (section.n or 1):
            key = "n" if section.n else "path"
            raise self.config.error(
                ("blank_fields", key),
                f"{len(common)} blank fields are there by the same number for all targets of the "
                f"roster {roster}, {section.n or 'at least 1'} are wanted",
            )

    def _add_blank_stacks(self, base, jfactor, parents, fields):
        outputs = [f"blank/{base}.fits", f"blank/{base}_bands.fits"]
        asimov = None if self.limit_method == "profile" else f"bands/asimov/{base}"
        needs = [] if asimov is None else [asimov]
        self._new(
            f"blank/stack/{base}", "blank", "_blank_steps:blank_stacks",
            {
                "jfactor": jfactor, "cl": self.common["cl"], "output": outputs[0],
                "bands": outputs[1], "quantiles": self.quantiles, "asimov": asimov,
                "limit_method": self.limit_method, "fields": fields,
                "n": self.config.blank_fields.n,
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

    def _all_blank_files(self, section):
        """Files of the blank fields by number, of each member and instrument."""
        found, looked = {}, {}
        for member in self.members.all.values():
            for instrument in member.files:
                path, loc = self._blank_path(section, instrument)
                if path is not None:
                    numbers = self._blank_files(section, member, instrument)
                    found[member.label, instrument] = numbers
                    looked.setdefault((loc, path), []).append(numbers)
        for (loc, path), numbers in looked.items():
            if not any(numbers):
                pattern = self.config.resolve(path, loc)
                raise self.config.error(loc, f"no file of any target fits {pattern}")
        if section.n is None:
            return found
        # whoever has no file of a number makes others take later ones
        last = section.n - 1
        for members in self.members.rosters.values():
            labels = {member.label for member in members}
            fields = {key: given for key, given in found.items() if key[0] in labels and given}
            common, _ = common_fields(fields, section.n)
            if common and fields:
                key = next(iter(fields))
                last = max(last, *(k for k, path in fields[key].items() if path == common[-1][key]))
        return {
            key: {number: path for number, path in given.items() if number <= last}
            for key, given in found.items()
        }

    def _add_blank_castros(self, section, member, instrument, all_files):
        described = self.members.describe(member, instrument)
        id = f"blank/{member.task(instrument)}"
        links, parents = self.links((member, instrument))
        params = self.common | links | {"member": described, "fields": None}
        files = self.files((member, instrument))
        path, loc = self._blank_path(section, instrument)
        if path is not None:
            numbers = all_files[member.label, instrument]
            fields = list(numbers.values())
            if not fields:
                return None
            self._check_counted_once(fields, member, instrument, described, loc)
            names = [f"field/{k:04d}" for k in numbers]
            given = self._blank_format(section, described)
            files = {k: v for k, v in files.items() if k != member.task(instrument)}
            files |= {name: str(path) for name, path in zip(names, fields, strict=True)}
            if (described | given)["kind"] == "counts":
                files |= {
                    f"part/{name}/{k:04d}": str(part)
                    for name, path in zip(names, fields, strict=True)
                    for k, part in enumerate(self.members.linked(path))
                }
            shown = [shown_path(self.config, path) for path in fields]
            params |= {
                "fields": names, "shown": dict(zip(names, shown, strict=True)), "described": given,
            }  # fmt: skip
            outputs = [f"{id}/{k:04d}.fits" for k in numbers]
            self._blank_numbers[id] = [list(pair) for pair in zip(numbers, outputs, strict=True)]
        else:
            n = section.n or BLANK_FIELDS
            if described["kind"] != "counts":
                return None
            options = ("seed", "method", "offset_min", "offset_max", "separation")
            params["positions"] = {name: getattr(section, name) for name in options}
            outputs = [f"{id}/{k:04d}.fits" for k in range(n)]
            self._blank_numbers[id] = None
        self._new(
            id, "blank", "_blank_steps:blank_castros", params | {"outputs": outputs}, outputs,
            files, parents, hints=self.hints,
        )  # fmt: skip
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
        """Files of the blank fields of a member, by number and in that order."""
        path, loc = self._blank_path(section, instrument)
        if "{instrument}" in path and not instrument:
            raise self.config.error(
                loc, "name the instrument: datasets: {path: ..., instrument: ...}"
            )
        pattern = DatasetFiles(self.config.resolve(path, loc))
        text = str(pattern.path(member.target, member.profile, field="\0", instrument=instrument))
        first, *rest = text.split("\0")
        everything = "*".join(glob.escape(piece) for piece in (first, *rest))
        self.members.globs.add(everything)
        # the same number wherever {field} stands
        expression = re.escape(first) + r"(?P<field>\d+)" + "(?P=field)".join(map(re.escape, rest))
        found = {}
        for name in sorted(glob.glob(everything)):
            match = re.fullmatch(expression, name)
            if match is None:
                continue
            other = found.setdefault(int(match["field"]), Path(name))
            if other != Path(name):
                raise self.config.error(loc, f"{other} and {name} have the same number; remove one")
        if section.n is not None and 0 < len(found) < section.n:
            raise self.config.error(
                ("blank_fields", "n"),
                f"there are {len(found)} blank fields of {member.label} "
                f"({text.replace(chr(0), '{field}')}), {section.n} are wanted",
            )
        return {number: found[number] for number in sorted(found)}
