"""Results of an analysis by name, read when asked for."""

from astropy.table import QTable

from dmgammapy.estimators import CastroMaps
from dmgammapy.spectra import channel_label

from ._yaml import nearest

__all__ = ["Results"]

KINDS = {
    "castro": "likelihood of a target and instrument, J not treated",
    "target": "likelihood of a target, J treated",
    "stack": "likelihood of a roster",
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
# files of a roster and J treatment
PLACES = {
    "stack": "stacks/{}.fits",
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
    ``target`` (target, J treatment), ``stack``, ``contributions``, ``bands``, ``asimov``,
    ``blank``, ``blank_bands``, ``limits``, ``significance`` (roster, J treatment), ``simulation``
    and ``simulation_bands`` (simulation, roster, J treatment). Every file is checked before it is
    read.
    """

    def __init__(self, plan, store):
        self._plan = plan
        self._store = store
        self._read = {}

    def __getitem__(self, key):
        parts = [key] if isinstance(key, str) else list(key)
        kind = str(parts.pop(0))
        if kind not in KINDS:
            hint = nearest(kind, KINDS)
            suggestion = f" Did you mean {hint!r}?" if hint else ""
            raise KeyError(f"no kind {kind!r}; there are {', '.join(KINDS)}.{suggestion}")
        channel = self._take_channel(parts)
        relative = self._relative(kind, parts)
        castro = self._load(relative)
        if channel is None:
            return castro
        if isinstance(castro, QTable):
            return castro[castro["channel"] == channel]
        return castro.slice_by_coord({"channel": channel})

    def _take_channel(self, parts):
        labels = self._plan.config.channel_labels
        if parts and parts[-1] not in self._names():
            try:
                label = channel_label(parts[-1])
            except ValueError:
                return None
            if label in labels:
                parts.pop()
                return label
        return None

    def _names(self):
        """Names that are no channels."""
        members, config = self._plan.members, self._plan.config
        return {
            *members.rosters, *members.all, *(m.target.name for m in members.all.values()),
            *config.scenarios, *config.sources, *config.jfactor.methods,
        }  # fmt: skip

    def _pick(self, parts, known, what):
        """The first of ``parts`` if it is known, or the first known."""
        known = list(known)
        for i, part in enumerate(parts):
            if part in known:
                return parts.pop(i)
        if len(known) > 1 and what in ("target", "simulation"):
            raise KeyError(f"which {what}? There are {', '.join(known)}.")
        if not known:
            raise KeyError(f"the analysis has no {what}.")
        return known[0]

    def _relative(self, kind, parts):
        plan, given = self._plan, list(parts)
        config, members = plan.config, plan.members
        if kind in ("castro", "target"):
            label = self._member(parts)
            if kind == "castro":
                files = members.all[label].files
                relative = f"{members.all[label].task(self._pick(parts, files, 'instrument'))}.fits"
            else:
                method = self._pick(parts, config.jfactor.methods, "J treatment")
                relative = f"targets/{method}/{label}.fits"
        else:
            name = ""
            if kind.startswith("simulation"):
                name = self._pick(parts, config.scenarios, "simulation") + "/"
            method = self._pick(parts, config.jfactor.methods, "J treatment")
            roster = self._pick(parts, members.rosters, "roster")
            relative = PLACES[kind].format(f"{name}{roster}/{method}")
        if parts:
            raise KeyError(f"{(kind, *given)}: unknown {', '.join(map(repr, parts))}.")
        owners = [task.id for task in plan.tasks.values() if relative in task.outputs]
        if not owners:
            raise KeyError(f"the configuration asks for no {kind} ({KINDS[kind]}).")
        return relative

    def _member(self, parts):
        members = self._plan.members.all
        for i, part in enumerate(parts):
            labels = [label for label, m in members.items() if part in (label, m.target.name)]
            if len(labels) == 1:
                parts.pop(i)
                return labels[0]
            if labels:
                raise KeyError(f"{part} is there as {', '.join(labels)}: name one of these.")
        return self._pick(parts, members, "target")

    def _load(self, relative):
        path = self._store.path_of(relative)
        if not path.is_file():
            raise KeyError(f"{relative} has not been made yet: call run().")
        path = self._store.verified(relative)
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
        found += [("target", label, method) for label in members.all for method in methods]
        for roster in members.rosters:
            for method in methods:
                for kind in KINDS:
                    names = config.scenarios if kind.startswith("simulation") else [None]
                    for name in names if kind not in ("castro", "target") else ():
                        key = (kind, *([name] if name else []), roster, method)
                        try:
                            self._relative(kind, list(key[1:]))
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
