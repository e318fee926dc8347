"""From dmpipe's configuration to one for `DMAnalysis`: `convert_dmpipe_config`.

dmpipe spreads an analysis over a master and the files that it names: channels and masses
(``dm_spectra_<ttype>.yaml``), simulations (``sim_<name>.yaml``), random directions
(``random_<ttype>.yaml``), short names of versions (``alias_dict``), and rosters of dmsky. All of
it becomes one file. What has no counterpart is told, key by key.
"""

import os
import textwrap
from pathlib import Path

from dmgammapy.targets import Targets
from dmgammapy.utils import atomic_path

from ._dmpipe_files import DmpipeFile, DmskyLibrary, FileFinder, is_null, yaml_lines
from ._dmpipe_sims import DECAY_NOTE, channel_and_process, convert_plots, read_injected
from ._yaml import ConfigError, YAMLSource

__all__ = ["convert_dmpipe_config", "dmpipe_config_text"]

# how targets are modelled: dmpipe's names and those here
SPATIAL = {
    "point": "point", "radial": "radial", "map": "map", "hpxmap": "map", "dradial": "radial",
    "dmap": "map", "hpxdmap": "map",
}  # fmt: skip
# J treatment of each prior, and what is to be said of it
PRIORS = {
    "none": ("fixed", None),
    "lgauss_like": ("profile", None),
    "lgauss_lik": ("profile", None),
    "lgauss_log": ("profile", None),
    "lgauss": (
        "profile",
        "lgauss is a density in J; profiled, its limits are weaker than those here, which use the "
        "likelihood of log10 J (dmpipe's lgauss_like), by a factor 10^(s^2 ln 10) for a width of "
        "s dex: those of dmpipe are 1.4 times as high for 0.25 dex",
    ),
}
BAD_PRIORS = {
    "norm": "takes the width in dex for one in GeV2 cm-5, which fixes J",
    "gauss": "takes the width in dex for one in GeV2 cm-5, which fixes J",
    "lognorm": "takes the width in dex for one of ln J, 2.3 times too small",
}
FIELD_DIGITS = "00"  # dmpipe has six digits, {field} has four
MASTER_REASONS = {
    "config_localpath": "name of fermipy's configuration in each target's folder, not used here",
    "specfile": "table of spectra that dmpipe makes; here spectra are computed when needed",
    "rosterlist": "a file that dmpipe makes; rosters are in the configuration here",
    "targetlist": "a file that dmpipe makes; rosters are in the configuration here",
}
FERMIPY = (
    "of fermipy's analysis of the counts, not translated: it makes the SED files that 'datasets' "
    "reads (or analyse counts here, see 'datasets: {format: gammapy}')"
)
SIM_REASONS = {
    "nsims_job": "number of simulations in a job; see 'execution' for how tasks are spread",
    "non_null_src": "of fermipy's fit of simulated counts, not used here",
    "do_find_src": "of fermipy's fit of simulated counts, not used here",
}
RANDOM_REASONS = dict.fromkeys(
    ("step_x", "step_y", "max_x", "max_y"),
    "grid of the directions, which are those of the SED files here; for counts see offset_min, "
    "offset_max and separation of 'blank_fields'",
)


def convert_dmpipe_config(master_path, output=None, data=None, dmsky=None, overwrite=False):
    """Translate the configuration of a dmpipe analysis.

    Parameters
    ----------
    master_path : str or `~pathlib.Path`
        dmpipe's master, with ``ttype, rosters, astro_priors, sims`` ...
    output : str or `~pathlib.Path`, optional
        YAML file to write, with comments. Paths in the result are relative to its folder. Default
        is to write nothing; paths are then relative to the current folder.
    data : str, optional
        Pattern of the SED files, with ``{target}`` and perhaps ``{profile}``, relative to the
        current folder. Default is where fermipy puts them for dmpipe.
    dmsky : str, `~pathlib.Path` or list of them, optional
        Folders with ``rosters`` and ``targets`` of dmsky, which go before those of ``DMSKY_PATH``,
        a folder ``dmsky_data`` near the master, and the bundled ones.
    overwrite : bool
        Replace an existing ``output``. Default is False.

    Returns
    -------
    config : dict
        As `AnalysisConfig.from_dict` takes it.
    notes : list of str
        What was not translated, or means something else: file, line, key and reason.

    Raises
    ------
    ConfigError
        If a file is missing (it says where it was looked for) or a value is not valid.
    FileExistsError
        If ``output`` exists and ``overwrite`` is False.

    Examples
    --------
    >>> from dmgammapy.analysis.dmpipe_config import convert_dmpipe_config
    >>> config, notes = convert_dmpipe_config("config/master_dSphs.yaml")  # doctest: +SKIP
    >>> config["jfactor"]  # doctest: +SKIP
    {'method': ['fixed', 'profile']}
    """
    conversion = _convert(master_path, output, data, dmsky, overwrite)
    return conversion.config, conversion.notes


def dmpipe_config_text(master_path, **kwargs):
    """Like `convert_dmpipe_config`, but gives the commented YAML text instead of the dict.

    Parameters
    ----------
    master_path : str or `~pathlib.Path`
    **kwargs
        As for `convert_dmpipe_config`.

    Returns
    -------
    text : str
    notes : list of str
    """
    conversion = _convert(master_path, **kwargs)
    return conversion.text, conversion.notes


def _convert(master_path, output=None, data=None, dmsky=None, overwrite=False):
    output = None if output is None else Path(output).expanduser()
    if output is not None and output.exists() and not overwrite:
        raise FileExistsError(f"{output} exists already: choose another name, or --overwrite.")
    conversion = _Conversion(master_path, output, data, dmsky)
    conversion.run()
    if output is not None:
        conversion.write_targets(overwrite)
        with atomic_path(output, overwrite) as temporary:
            temporary.write_text(conversion.text, encoding="utf-8")
    return conversion


class _Conversion:
    """A translation in progress: ``config``, ``comments`` by section, ``notes``."""

    def __init__(self, master_path, output, data, dmsky):
        source = YAMLSource(master_path)
        self.finder = FileFinder(source.path)
        self.master = DmpipeFile(source, self.finder.short(source.path))
        self.library = DmskyLibrary.locate(self.finder, dmsky)
        self.output = output
        self.folder = Path.cwd() if output is None else output.resolve().parent
        self.data = data
        self.config, self.comments, self.notes = {}, {}, []
        self.own_targets, self.one_version = {}, set()

    def run(self):
        self.ttype = self.master.take("ttype")
        if not isinstance(self.ttype, str) or not self.ttype:
            raise self.master.error("ttype", "expected the type of the targets, such as dSphs")
        self._find_spectra()
        self._convert_targets()
        self._convert_datasets()
        self._convert_spectra()
        self._convert_jfactor()
        self._convert_simulations()
        self._convert_blank_fields()
        self._convert_bands()
        plots, notes = convert_plots(self.master, self.config["channels"])
        self._set("plots", plots, "from data_plotting, sim_plotting, rand_plotting, plot_channels")
        self.notes += notes
        self._set("output", f"{self.ttype}_results", "folder of the results")
        self._list_fermipy()
        self.notes += self.master.leftover(MASTER_REASONS)

    def _set(self, key, value, comment):
        self.config[key] = value
        self.comments[key] = comment

    def _path(self, path):
        """Path as the new file may name it: relative to its folder, unless that is far away."""
        path = Path(path)
        try:
            relative = os.path.relpath(path, self.folder)
        except ValueError:  # another drive
            return str(path)
        return str(path) if relative.startswith("../../..") else Path(relative).as_posix()

    # ---- targets -----------------------------------------------------------------------------

    def _aliases(self):
        name = self.master.take("alias_dict")
        if is_null(name):
            return {}, None
        path = self.finder.find(name, self.master.place("alias_dict"))
        return dict(YAMLSource(path).data), self.finder.short(path)

    def _spatial_models(self):
        models = self.master.texts("spatial_models")
        if not models:
            raise self.master.error("spatial_models", "missing; for example ['point']")
        for model in models:
            if model not in SPATIAL:
                raise self.master.error(
                    "spatial_models", f"unknown model {model!r}, expected {', '.join(SPATIAL)}"
                )
            if model.startswith("hpx"):
                self.notes.append(
                    f"{self.master.place('spatial_models')}: {model}: HEALPix maps are not used "
                    "here; a map of the same profile is taken"
                )
        return models

    def _convert_targets(self):
        names = [name for name in self.master.texts("rosters") if name]
        if not names:
            raise self.master.error("rosters", "missing; give at least one roster")
        aliases, alias_file = self._aliases()
        self.long_names = {short: long for long, short in aliases.items()}
        self.spatial = self._spatial_models()
        rosters, profiles = {}, {}
        for name in names:
            targets = self.library.expand(name, self.master.place("rosters"))
            for model in self.spatial:
                key = name if len(self.spatial) == 1 else f"{name}_{model}"
                members = [(t, f"{aliases.get(t.version, t.version)}_{model}") for t in targets]
                for target, profile in members:
                    profiles[profile] = {"version": target.version, "spatial": SPATIAL[model]}
                rosters[key] = self._roster(key, members)
        self.profiles = profiles
        self._set("rosters", rosters, f"from {self.master.name}, rosters; as name:profile")
        comment = "how a target is modelled: version of its J-factor and shape"
        self._set("profiles", profiles, comment + (f" (from {alias_file})" if alias_file else ""))

    def _roster(self, key, members):
        """A roster in the new form; targets that are not bundled go to a table beside it."""
        if not any(self.library.is_own(target) for target, _ in members):
            return [f"{target.name}:{profile}" for target, profile in members]
        if self.output is None:
            raise ConfigError(
                f"{self.master.place('rosters')}: the roster {key} has targets of your own, which "
                "go to a table beside the new file; give the file to write (--output)."
            )
        path = self.output.with_name(f"{self.output.stem}_{key}.ecsv")
        self.own_targets[path] = Targets([target for target, _ in members])
        profiles = {profile for _, profile in members}
        if len(profiles) == 1:
            self.one_version.add(path)
            return {"file": path.name, "profile": profiles.pop()}
        self.notes.append(
            f"{self.master.place('rosters')}: {key} has its own targets in several versions, so "
            "{profile} in 'datasets' is unknown for them: put {version} there and rename the files"
        )
        return {"file": path.name}

    def write_targets(self, overwrite):
        for path, targets in self.own_targets.items():
            targets.write(path, overwrite=overwrite)

    def _convert_datasets(self):
        if self.data is not None:
            pattern = self._path(Path.cwd() / Path(self.data).expanduser())
            self._set("datasets", {"fermi-lat": {"path": pattern}}, "SED likelihoods, as given")
            return
        pattern = self._path(self.finder.base / self.ttype) + "/{target}/sed_{profile}.fits"
        self._set(
            "datasets",
            {"fermi-lat": {"path": pattern, "format": "fermipy"}},
            "SED likelihoods, where fermipy-analyze-sed puts them for dmpipe",
        )

    # ---- spectra -----------------------------------------------------------------------------

    def _find_spectra(self):
        name = f"config/dm_spectra_{self.ttype}.yaml"
        path = self.finder.find(name, f"{self.master.name}: channels and masses")
        self.spectra_file = DmpipeFile.read(path, self.finder.short(path))
        names = self.spectra_file.texts("channels")
        try:
            pairs = [channel_and_process(name) for name in names]
        except ValueError as error:
            raise self.spectra_file.error("channels", str(error).rstrip(".")) from None
        if not pairs:
            raise self.spectra_file.error("channels", "missing; for example ['bb', 'tautau']")
        processes = [process for _, process in pairs]
        self.process = "annihilation" if "annihilation" in processes else "decay"
        self.channels = [channel for channel, process in pairs if process == self.process]
        place = self.spectra_file.place("channels")
        if len(self.channels) < len(pairs):
            left = [
                n for n, (_, process) in zip(names, pairs, strict=True) if process == "decay"
            ]  # fmt: skip
            self.notes.append(
                f"{place}: {', '.join(left)}: decay needs a configuration of its own, with "
                "'process: decay' and these channels"
            )
        if self.process == "decay":
            self.notes.append(f"{place}: {DECAY_NOTE}")

    def _convert_spectra(self):
        file = self.spectra_file
        comment = f"from {file.name}"
        self._set("spectra", "dmfit", "the table of DMFitFunction, which dmpipe uses")
        if self.process == "decay":
            self._set("process", "decay", comment)
        self._set("channels", list(dict.fromkeys(self.channels)), comment)
        given = file.data.get("masses")
        if isinstance(given, list):
            file.take("masses")
            masses = [f"{self._mass(file, given[i]):.10g} GeV" for i in range(len(given))]
        else:
            section = file.section("masses")
            low, high = section.number("mass_min"), section.number("mass_max")
            n = section.number("mass_nstep", integer=True)
            masses = {"min": f"{low:.10g} GeV", "max": f"{high:.10g} GeV", "n": n}
            self.notes += section.leftover()
        self._set("masses", masses, f"{comment}; equal steps in log m, both ends included")
        self.notes += file.leftover()

    @staticmethod
    def _mass(file, value):
        try:
            return float(value)
        except (TypeError, ValueError):
            raise file.error("masses", f"expected numbers in GeV, got {value!r}") from None

    def _convert_jfactor(self):
        # documented as jpriors, read as astro_priors
        keys = [key for key in ("astro_priors", "jpriors") if key in self.master]
        key = keys[0] if keys else "astro_priors"
        methods = {}
        for prior in self.master.texts(key) or ["none"]:
            name = "none" if is_null(prior) else prior
            if name in BAD_PRIORS:
                self.notes.append(
                    f"{self.master.place(key)}: the prior {name} is not translated: in dmpipe it "
                    f"{BAD_PRIORS[name]}"
                )
                continue
            if name not in PRIORS:
                known = ", ".join([*PRIORS, *BAD_PRIORS])
                raise self.master.error(key, f"unknown prior {name!r}, expected {known}")
            method, note = PRIORS[name]
            if note:
                self.notes.append(f"{self.master.place(key)}: {note}")
            if method in methods:
                self.notes.append(
                    f"{self.master.place(key)}: {name} and {methods[method]} are the same J "
                    f"treatment here ({method})"
                )
            methods.setdefault(method, name)
        if not methods:
            methods = {"profile": "none that can be translated"}
            self.notes.append(f"{self.master.place(key)}: J-factors are profiled instead")
        told = ", ".join(f"{method} for {prior}" for method, prior in methods.items())
        self._set("jfactor", {"method": list(methods)}, f"from {key}: {told}")
        self._set("limits", {"cl": 0.95}, "dmpipe's ul_0.95")

    # ---- simulations -------------------------------------------------------------------------

    def _convert_simulations(self):
        sims = self.master.section("sims")
        if not sims.data:
            self.null_simulation = None
            self.master.take("sim_defaults")
            return
        defaults = self.master.section("sim_defaults")
        self.n_sims = defaults.number("nsims", 20, integer=True)
        # LAT likelihoods don't know the background of bins without counts
        out = {"defaults": {"n": self.n_sims, "seed": defaults.number("seed", 0, integer=True)}}
        out["defaults"] |= {"undetermined": "power_law", "least_counts": 5}
        if "profile" in defaults:
            out["defaults"]["profile"] = self._profile(defaults)
        self.notes += defaults.leftover(SIM_REASONS)
        self.null_simulation = None
        for name in sims.data:
            own = sims.section(name)
            simfile = own.take("simfile") or f"config/sim_{name}.yaml"
            path = self.finder.find(simfile, f"{sims.place(name)}: simulation")
            injected, notes, possible = read_injected(path, self.finder.short(path), self.process)
            self.notes += notes
            entry = {} if injected is None else {"injected": injected}
            for key, new in (("nsims", "n"), ("seed", "seed")):
                if key in own:
                    entry[new] = own.number(key, integer=True)
            if "profile" in own:
                entry["profile"] = self._profile(own)
            self.notes += own.leftover(SIM_REASONS)
            if possible:
                out[str(name)] = entry
                if injected is None and (self.null_simulation is None or name == "null"):
                    self.null_simulation = str(name)
        if len(out) > 1:
            comment = (
                "from sims, sim_defaults and config/sim_*.yaml; drawn from the SED likelihoods"
            )
            self._set("simulations", out, comment)
            self.notes.append(
                f"{self.master.place('sims')}: dmpipe draws photons and fits the region again; "
                "here the counts of each energy bin are drawn and its likelihood is scanned again; "
                "bins with few counts take their background from a power law (undetermined), "
                "unless a table of expectations is given"
            )

    def _profile(self, section):
        """Profile whose J makes the signal: dmpipe names a version, as a point source."""
        name = str(section.take("profile"))
        model = "point" if "point" in self.spatial else self.spatial[0]
        profile = f"{name}_{model}"
        version = self.long_names.get(name, name)
        self.profiles.setdefault(profile, {"version": version, "spatial": SPATIAL[model]})
        self._add_version(version)
        return profile

    def _add_version(self, version):
        """Take own targets along in the version that makes a signal."""
        for path in self.one_version:
            targets = list(self.own_targets[path])
            there, own = {(t.name, t.version) for t in targets}, self.library.own
            wanted = dict.fromkeys((t.name, version) for t in targets)
            more = [own[key] for key in wanted if key in own and key not in there]
            self.own_targets[path] = Targets([*targets, *more])

    def _convert_blank_fields(self):
        if "random" not in self.master:
            return
        section = self.master.section("random")
        name = section.take("rand_dirs") or f"config/random_{self.ttype}.yaml"
        self.notes += section.leftover()
        path = self.finder.find(name, f"{self.master.place('random')}: random directions")
        file = DmpipeFile.read(path, self.finder.short(path))
        # dmpipe takes the directions [seed:nsims] of its grid
        seed = file.number("seed", 0, integer=True)
        n = file.number("nsims", 20, integer=True) - seed
        if n < 1:
            raise file.error("nsims", f"must exceed seed, got {n + seed} and {seed}")
        self.notes += file.leftover(RANDOM_REASONS)
        analysed = getattr(self, "n_sims", n)
        if analysed != n:
            self.notes.append(
                f"{file.place('nsims')}: {n} directions, of which dmpipe analyses {analysed} "
                f"(nsims of sim_defaults in {self.master.name})"
            )
        if seed:
            self.notes.append(
                f"{file.place('seed')}: dmpipe's files begin with {seed:06d}; those of "
                "'blank_fields' with 000000: rename them"
            )
        folder = self._path(self.finder.base / f"{self.ttype}_sim" / "sim_random")
        pattern = f"{folder}/{{target}}/sed_{{profile}}_{FIELD_DIGITS}{{field}}.fits"
        self._set("blank_fields", {"path": pattern, "n": min(n, analysed)}, f"from {file.name}")

    def _convert_bands(self):
        name = self.null_simulation
        bands = "none" if name is None else {"method": "toys", "simulation": name}
        self._set("bands", bands, "expected limits, from the simulations without a signal")

    def _list_fermipy(self):
        given = self.master.take("config_template")
        name = f"config/config_{self.ttype}.yaml" if is_null(given) else given
        place = f"{self.master.name}: configuration of fermipy"
        path = self.finder.find(name, place, required=not is_null(given))
        if path is None:
            return
        file = DmpipeFile.read(path, self.finder.short(path))
        self.notes += file.leftover(dict.fromkeys(file.data, FERMIPY))

    # ---- text --------------------------------------------------------------------------------

    @property
    def text(self):
        """The configuration as commented YAML."""
        head = f"Made from dmpipe's {self.master.name} by dmgammapy convert-config."
        lines = [f"# {head}", "# Run it with: dmgammapy run <this file>"]
        if self.notes:
            lines += ["#", "# Not translated, or with another meaning here:"]
            for note in self.notes:
                lines += textwrap.wrap(
                    note, 96, initial_indent="# - ", subsequent_indent="#   ",
                    break_long_words=False, break_on_hyphens=False,
                )  # fmt: skip
        for key, value in self.config.items():
            lines += ["", f"# {self.comments[key]}", *yaml_lines(key, value)]
        return "\n".join(lines) + "\n"
