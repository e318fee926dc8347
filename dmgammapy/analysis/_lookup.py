"""Results of an analysis by name, read when asked for."""

from astropy.table import QTable

from dmgammapy.estimators import CastroMaps
from dmgammapy.estimators.roi import ROIFit
from dmgammapy.spectra import channel_label

from ._plan_photons import region_file
from ._yaml import did_you_mean

__all__ = ["Results"]

KINDS = {
    "region": "models fitted to the region around a target",
    "castro": "likelihood of a target and instrument, J not treated",
    "target": "likelihood of a target, J treated",
    "stack": "likelihood of a roster",
    "observed": "the same with the limits of the main method",
    "contributions": "share of each target in the limits of a roster",
    "simulation": "ensemble of realisations of a simulation",
    "simulation_bands": "its quantiles",
    "blank": "ensemble of stacked blank fields",
    "blank_bands": "its quantiles",
    "bands": "expected limits",
    "asimov": "stack of the expected counts",
    "limits": "table of limits",
    "significance": "table of significance",
}
OF_TARGETS = ("region", "castro", "target")
# files of a roster and J treatment
PLACES = {
    "stack": "stacks/{}.fits",
    "observed": "limits/{}.fits",
    "contributions": "stacks/{}_contributions.ecsv",
    "simulation": "simulations/{}.fits",
    "simulation_bands": "simulations/{}_bands.fits",
    "blank": "blank/{}.fits",
    "blank_bands": "blank/{}_bands.fits",
    "bands": "bands/{}.fits",
    "asimov": "bands/{}_asimov.fits",
    "limits": "limits/{}.ecsv",
    "significance": "significance/{}.ecsv",
}


class Results:
    """Results by kind and names, like ``results["stack", "dwarfs", "profile", "b"]``.

    After the kind come the names it takes; roster and J treatment may be left out for the first
    ones, and a channel may follow, which is then picked. Kinds are ``castro`` (target, instrument),
    ``region`` (the same, a `~dmgammapy.estimators.roi.ROIFit`),
    ``target`` (target, J treatment), ``stack``, ``observed``, ``contributions``, ``bands``,
    ``asimov``, ``blank``, ``blank_bands``, ``limits``, ``significance`` (roster, J treatment),
    ``simulation`` and ``simulation_bands`` (simulation, roster, J treatment). Every file is checked
    before it is read.
    """

    def __init__(self, plan, store, state_of):
        self._plan = plan
        self._store = store
        self._state_of = state_of
        self._owners = {name: task.id for task in plan.tasks.values() for name in task.outputs}
        self._read = {}

    def __getitem__(self, key):
        parts = [key] if isinstance(key, str) else list(key)
        kind = str(parts.pop(0))
        if kind not in KINDS:
            suggestion = did_you_mean(kind, KINDS, sentence=True)
            raise KeyError(f"no kind {kind!r}; there are {', '.join(KINDS)}.{suggestion}")
        relative, channel = self._find(kind, parts)
        castro = self._load(relative)
        if channel is None:
            return castro
        if isinstance(castro, QTable):
            return castro[castro["channel"] == channel]
        return castro.slice_by_coord({"channel": channel})

    def _slots(self, kind):
        """What may follow a kind, in order: name of the slot, and values that it takes."""
        members, config = self._plan.members, self._plan.config
        channels = ("channel", config.channel_labels)
        methods = ("J treatment", config.jfactor.methods)
        if kind in OF_TARGETS:
            instruments = list(dict.fromkeys(n for m in members.all.values() for n in m.files))
            last = methods if kind == "target" else ("instrument", instruments)
            # the last slot is never filled unless asked for; a region has no channels
            channels = ("channel", []) if kind == "region" else channels
            return [("target", list(members.all)), last, channels]
        slots = [("roster", list(members.rosters)), methods, channels]
        if kind.startswith("simulation"):
            slots.insert(0, ("simulation", list(config.scenarios)))
        return slots

    def _find(self, kind, parts):
        """Path of a result and the channel that is to be picked, or None."""
        slots = self._slots(kind)
        found = list(self._assignments(parts, slots))
        if not found:
            raise KeyError(f"{(kind, *parts)}: {self._explain(parts, slots)}")
        if len(found) > 1:
            ways = "; ".join(", ".join(f"{n} {v}" for n, v in way.items()) for way in found)
            raise KeyError(f"{(kind, *parts)} may mean {ways}: name them all.")
        given = found[0]
        for name, known in slots[:-1]:
            if name not in given:
                given[name] = self._default(name, known, given)
        return self._place(kind, given), given.get("channel")

    def _assignments(self, parts, slots):
        """Ways in which parts fill slots, in order; slots may be left out."""
        if not parts:
            yield {}
            return
        for i, (name, known) in enumerate(slots):
            value = self._value(name, parts[0], known)
            if value is not None:
                for rest in self._assignments(parts[1:], slots[i + 1 :]):
                    yield {name: value} | rest

    def _value(self, name, part, known):
        """The value of a slot that a part stands for, or None."""
        if name == "channel":
            try:
                part = channel_label(part)
            except (ValueError, TypeError):
                return None
        if name == "target" and part not in known:
            members = self._plan.members.all.items()
            labels = [label for label, member in members if member.target.name == part]
            if len(labels) > 1:
                raise KeyError(f"{part} is there as {', '.join(labels)}: name one of these.")
            return labels[0] if labels else None
        return part if part in known else None

    def _explain(self, parts, slots):
        """Why parts fill no slots."""
        for part in parts:
            if all(self._value(name, part, known) is None for name, known in slots):
                everything = [value for _, known in slots for value in known]
                return f"unknown {part!r}.{did_you_mean(part, everything, sentence=True)}"
        return f"the order is {', '.join(name for name, _ in slots)}."

    def _default(self, name, known, given):
        """What a slot that was left out stands for: the first."""
        if name == "instrument":
            known = list(self._plan.members.all[given["target"]].files)
        if not known:
            raise KeyError(f"the analysis has no {name}.")
        if len(known) > 1 and name in ("target", "simulation"):
            raise KeyError(f"which {name}? There are {', '.join(known)}.")
        return known[0]

    def _place(self, kind, given):
        if kind in ("castro", "region"):
            member = self._plan.members.all[given["target"]]
            if given["instrument"] not in member.files:
                names = ", ".join(map(repr, member.files))
                raise KeyError(f"{given['target']} was seen by {names} only.")
            relative = f"{member.task(given['instrument'])}.fits"
            if kind == "region":
                relative = region_file(member.region_task(given["instrument"]))
        elif kind == "target":
            relative = f"targets/{given['J treatment']}/{given['target']}.fits"
        else:
            names = [given.get(name) for name in ("simulation", "roster", "J treatment")]
            relative = PLACES[kind].format("/".join(name for name in names if name))
        if relative not in self._owners:
            raise KeyError(f"the configuration asks for no {kind} ({KINDS[kind]}).")
        return relative

    def _load(self, relative):
        state, reason = self._state_of(self._owners[relative])
        if state in ("stale", "missing", "failed", "blocked"):
            raise KeyError(f"{relative} is not there ({reason}): call run().")
        path = self._store.verified(relative)
        if relative.endswith(".zip"):  # too large to keep
            return ROIFit.read(path)
        version = path.stat().st_mtime_ns, path.stat().st_size
        if self._read.get(relative, (None,))[0] != version:
            read = QTable.read if relative.endswith(".ecsv") else CastroMaps.read
            self._read[relative] = version, read(path)
        return self._read[relative][1].copy()

    def keys(self):
        """What can be asked for, as tuples that begin with the kind."""
        members, config = self._plan.members, self._plan.config
        found = [("castro", label, name) for label, m in members.all.items() for name in m.files]
        methods = config.jfactor.methods
        found += [
            ("region", label, name)
            for label, m in members.all.items()
            for name in filter(members.has_region, m.files)
        ]
        found += [("target", label, method) for label in members.all for method in methods]
        for roster in members.rosters:
            for method in methods:
                for kind in KINDS:
                    names = config.scenarios if kind.startswith("simulation") else [None]
                    for name in names if kind not in OF_TARGETS else ():
                        key = (kind, *([name] if name else []), roster, method)
                        try:
                            self._find(kind, list(key[1:]))
                        except KeyError:
                            continue
                        found.append(key)
        return found

    def __iter__(self):
        return iter(self.keys())

    def __len__(self):
        return len(self.keys())

    def __repr__(self):
        lines = [f"Results in {self._store.path}:"]
        counts = {}
        for key in self.keys():
            counts.setdefault(key[0], []).append(key)
        for kind, keys in counts.items():
            example = ", ".join(repr(part) for part in keys[0])
            lines.append(f"  {len(keys):3d} {kind:<17} results[{example}]")
        return "\n".join(lines)
