"""Configuration of an analysis: what a YAML file may say, checked.

Paths in a file are relative to that file; ``~`` and ``${VARIABLE}`` are expanded.
"""

import json
import os
import re
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Literal

import astropy.units as u
import numpy as np
from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from dmgammapy.spectra import channel_label

from ._explain import explain, place, sentence, validate_entries, validate_inside
from ._fields import Channel, Mass, Name, Section, Spectra, as_list, fail, parse_mass
from ._sections import (
    BackgroundConfig,
    DatasetsConfig,
    JFactorConfig,
    JFactorOverride,
    MassesConfig,
    ProfileConfig,
    TargetsConfig,
)
from ._sections_run import (
    BandsConfig,
    BlankFieldsConfig,
    ExecutionConfig,
    InjectedConfig,
    LimitsConfig,
    PlotKind,
    PlotsConfig,
    SimulationConfig,
)
from ._yaml import VARIABLE, ConfigError, YAMLSource, nearest

__all__ = [
    "AnalysisConfig",
    "BackgroundConfig",
    "BandsConfig",
    "BlankFieldsConfig",
    "ConfigError",
    "DatasetsConfig",
    "ExecutionConfig",
    "InjectedConfig",
    "JFactorConfig",
    "JFactorOverride",
    "LimitsConfig",
    "MassesConfig",
    "PlotKind",
    "PlotsConfig",
    "ProfileConfig",
    "SimulationConfig",
    "TargetsConfig",
]

NULL = "null"
DEFAULTS = "defaults"


def _allow_empty(schema):
    """A name with nothing behind it is a simulation with the defaults."""
    schema["additionalProperties"] = {"anyOf": [schema["additionalProperties"], {"type": "null"}]}


def _tell_instruments(schema):
    """Names of instruments are none of the keys of one of them."""
    keys = {"not": {"enum": list(DatasetsConfig.model_fields)}}
    for form in schema["anyOf"]:
        if form.get("type") == "object":
            form["propertyNames"] = keys


class AnalysisConfig(Section):
    """What an analysis does.

    Read from a YAML file with `read`, or made from a dict with `from_dict`; both check it and
    name the place of what is wrong. `template` is a commented example of all keys.

    Examples
    --------
    >>> from dmgammapy.analysis import AnalysisConfig
    >>> config = AnalysisConfig.from_dict(
    ...     {
    ...         "targets": "ackermann2015_dsphs",
    ...         "datasets": "sed_{target}.fits",
    ...         "channels": ["b", "tautau"],
    ...         "masses": {"min": "10 GeV", "max": "1 TeV", "n": 3},
    ...     }
    ... )
    >>> print(config.channel_labels, config.mass_grid)
    ['b', 'tau'] [  10.  100. 1000.] GeV
    >>> AnalysisConfig.from_dict({"target": "ackermann2015_dsphs"})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    dmgammapy.analysis._yaml.ConfigError: configuration: 4 errors...
    """

    listed = ("channels", "masses")

    targets: TargetsConfig | None = Field(
        None, description="The targets of an analysis with one roster."
    )
    rosters: dict[Name, TargetsConfig] = Field(
        {}, description="Several rosters by name, instead of targets."
    )
    profiles: dict[Name, ProfileConfig] = Field(
        {}, description="Short names of how targets are modelled: 'draco:name' in rosters."
    )
    datasets: DatasetsConfig | dict[Name, DatasetsConfig] = Field(
        description="Likelihoods of the targets, or several such by instrument.",
        json_schema_extra=_tell_instruments,
    )
    spectra: Spectra = Field("pppc4", description="Photon yields: a known name or a file.")
    process: Literal["annihilation", "decay"] = Field(
        "annihilation", description="What makes the gamma rays."
    )
    channels: list[Channel] = Field(description="Channel names or mixtures {channel: fraction}.")
    masses: list[Mass] | MassesConfig = Field(description="Masses, or min, max and n.")
    norm_type: Literal["eflux", "flux", "dnde"] = Field(
        "eflux", description="Flux that scales the likelihood of a bin."
    )
    interpolation: Literal["poisson", "cubic", "linear"] | None = Field(
        None, description="Between the points of a scan. Default is what the files say (poisson)."
    )
    jfactor: JFactorConfig = Field(
        JFactorConfig(), description="How the uncertainty of J-factors is treated."
    )
    background: BackgroundConfig = Field(
        BackgroundConfig(), description="How the background of counts is treated."
    )
    simulations: dict[Name, SimulationConfig] = Field(
        {},
        description="Simulations by name; 'defaults' are those of all others.",
        json_schema_extra=_allow_empty,
    )
    blank_fields: BlankFieldsConfig | None = Field(
        None, description="Control positions without a target. Default is none."
    )
    limits: LimitsConfig = Field(LimitsConfig(), description="Which limits.")
    bands: BandsConfig | None = Field(
        None, description="Default is those of the simulation 'null' if there is one."
    )
    plots: PlotsConfig = Field(PlotsConfig(), description="Which figures.")
    report: bool = Field(True, description="Whether to write report.html.")
    output: str | None = Field(
        None, description="Folder of results. Default is 'results' where the command is run."
    )
    execution: ExecutionConfig = Field(ExecutionConfig(), description="How it runs.")

    _source: YAMLSource | None = PrivateAttr(None)
    _folder: Path = PrivateAttr(Path())

    @field_validator("simulations", mode="before")
    @classmethod
    def _null_is_a_name(cls, value):
        # YAML reads the name null, without quotes, as nothing
        if isinstance(value, dict):
            value = {NULL if name is None else name: item for name, item in value.items()}
            return {name: {} if item is None else item for name, item in value.items()}
        return value

    _channels_as_list = field_validator("channels", mode="before")(as_list)

    @field_validator("channels")
    @classmethod
    def _channels_differ(cls, value):
        if not value:
            raise fail("the list of channels is empty")
        labels = [channel_label(c) for c in value]
        for i, label in enumerate(labels):
            if label in labels[:i]:
                raise fail(f"the channel {label} comes twice", i)
        return value

    @field_validator("datasets", mode="wrap")
    @classmethod
    def _one_or_by_instrument(cls, value, handler):
        if isinstance(value, DatasetsConfig):
            return value
        fields = DatasetsConfig.model_fields
        if isinstance(value, dict) and value:
            sections = all(isinstance(item, dict) for item in value.values())
            # a key that looks like one of a section is a misspelt one; fermi-lat is not "format"
            if sections or not any(get_close_matches(str(name), fields, 1, 0.75) for name in value):
                return validate_entries(DatasetsConfig, _named(value))
        return validate_inside(DatasetsConfig, value)

    @field_validator("masses", mode="wrap")
    @classmethod
    def _list_or_range(cls, value, handler):
        # decide here: pydantic would report the errors of both forms
        if isinstance(value, MassesConfig):
            return value
        if isinstance(value, dict):
            return validate_inside(MassesConfig, value)
        if isinstance(value, str):
            value = [value]
        if isinstance(value, u.Quantity):
            value = list(np.atleast_1d(value))
        if not isinstance(value, list | tuple) or not len(value):
            raise fail(
                "expected a list of masses such as [10 GeV, 100 GeV], or min, max and n, "
                f"got {value!r}"
            )
        masses = []
        for i, item in enumerate(value):
            try:
                masses.append(parse_mass(item))
            except PydanticCustomError as error:
                raise fail(error.context["text"], i) from None
            if i and not masses[i] > masses[i - 1]:
                raise fail(f"masses must ascend, got {item} after {value[i - 1]}", i)
        return masses

    @model_validator(mode="after")
    def _belongs_together(self):
        if (self.targets is None) == (not self.rosters):
            given = "both" if self.rosters else "neither"
            raise fail(f"give either targets (one roster) or rosters (several), got {given}")
        check_references(self)
        return self

    # ---- reading -----------------------------------------------------------------------------

    @classmethod
    def read(cls, path):
        """Read and check a YAML file.

        Parameters
        ----------
        path : str or `~pathlib.Path`

        Returns
        -------
        config : `AnalysisConfig`

        Raises
        ------
        ConfigError
            With file, line and key of everything that is wrong.
        """
        source = YAMLSource(path)
        return cls._build(source.data, source, source.path.resolve().parent)

    @classmethod
    def from_dict(cls, data, folder="."):
        """Check a dictionary with the content that a YAML file would have.

        Parameters
        ----------
        data : dict
        folder : str or `~pathlib.Path`
            Relative paths start here. Default is the current folder.

        Raises
        ------
        ConfigError
            With the key of everything that is wrong.
        """
        return cls._build(dict(data), None, Path(folder).resolve())

    @classmethod
    def _build(cls, data, source, folder):
        try:
            config = cls.model_validate(data)
        except ValidationError as error:
            raise ConfigError(explain(error, cls, source)) from None
        config._source = source
        config._folder = folder
        return config

    @staticmethod
    def template():
        """A commented YAML file with all keys, to begin with.

        Returns
        -------
        text : str
        """
        return (files("dmgammapy.analysis") / "data" / "template.yaml").read_text(encoding="utf-8")

    @classmethod
    def json_schema(cls):
        """JSON Schema of the YAML file, for editors that complete and check.

        Returns
        -------
        schema : dict
        """
        schema = cls.model_json_schema()
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
        schema["oneOf"] = [{"required": [name]} for name in ("targets", "rosters")]
        return json.loads(json.dumps(schema))

    def error(self, loc, message):
        """Make a `ConfigError` that names file, line and key.

        Parameters
        ----------
        loc : tuple of str and int
            Keys and indices from the top, for example ``("jfactor", "targets", "draco")``.
        message : str
        """
        return ConfigError(sentence(place(self._source, loc), message))

    # ---- derived -----------------------------------------------------------------------------

    @property
    def path(self):
        """The YAML file (absolute), or None."""
        return None if self._source is None else self._source.file

    @property
    def text(self):
        """Text of the YAML file as it was read, or None."""
        return None if self._source is None else self._source.text

    @property
    def is_as_written(self):
        """Whether the configuration says what its file did, and was not changed in Python."""
        if self._source is None:
            return False
        written = type(self).model_validate(self._source.data)
        return written.model_dump(mode="json") == self.model_dump(mode="json")

    @property
    def folder(self):
        """Folder from which relative paths start."""
        return self._folder

    @property
    def mass_grid(self):
        """Masses, `~astropy.units.Quantity` of shape (n_mass,) in GeV."""
        if isinstance(self.masses, MassesConfig):
            return self.masses.grid
        return u.Quantity(self.masses)

    @property
    def channel_labels(self):
        """Names of the channels and mixtures."""
        return [channel_label(c) for c in self.channels]

    @property
    def sources(self):
        """`DatasetsConfig` by instrument; one without a key goes by what it says, or ''."""
        if isinstance(self.datasets, dict):
            return dict(self.datasets)
        return {self.datasets.instrument or "": self.datasets}

    @property
    def scenarios(self):
        """`SimulationConfig` by name, with the defaults filled in."""
        common = self.simulations.get(DEFAULTS)
        given = {} if common is None else _given(common)
        return {
            name: SimulationConfig(**(given | _given(section)))
            for name, section in self.simulations.items()
            if name != DEFAULTS
        }

    @property
    def expected_bands(self):
        """`BandsConfig` that applies, also where the file does not say."""
        if self.bands is not None:
            return self.bands
        return BandsConfig(method="toys" if NULL in self.scenarios else "none")

    def resolve(self, text, loc):
        """Absolute path of a file or folder named in the configuration.

        Parameters
        ----------
        text : str
            As written; ``~`` and ``${VARIABLE}`` are expanded.
        loc : tuple
            Where it is written, for the error about a variable that is not set.
        """

        def expand(match):
            name = match[1] or match[2]
            if name not in os.environ:
                raise self.error(loc, f"the environment variable {name} is not set")
            return os.environ[name]

        expanded = VARIABLE.sub(expand, text)
        return self._folder / Path(expanded).expanduser()


def _given(section):
    """What a section says itself, by key."""
    return {name: getattr(section, name) for name in section.model_fields_set}


def _named(sections):
    """Mapping whose keys are names of instruments."""
    for name in sections:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", name):
            raise fail(f"a name may hold letters, digits and _ . + - only, got {name!r}", name)
    return sections


def _suggestion(name, known):
    hint = nearest(name, known)
    return f"; did you mean {hint!r}?" if hint else ""


def check_references(config):
    """Check that what sections name is there and of the same process."""
    known = list(config.profiles)
    named = [(("targets", "profile"), config.targets and config.targets.profile)]
    named += [(("rosters", name, "profile"), t.profile) for name, t in config.rosters.items()]
    simulations = config.simulations.items()
    named += [(("simulations", name, "profile"), section.profile) for name, section in simulations]
    for loc, name in named:
        if name is not None and name not in known:
            text = f"no profile {name!r} in profiles ({', '.join(known) or 'empty'})"
            raise fail(f"{text}{_suggestion(name, known)}", *loc)
    strength = "sigmav" if config.process == "annihilation" else "tau"
    for name, scenario in config.simulations.items():
        if scenario.injected is not None and getattr(scenario.injected, strength) is None:
            raise fail(
                f"{config.process} needs the signal's {strength}", "simulations", name, "injected"
            )
        if name == DEFAULTS and scenario.injected is not None:
            raise fail("a signal belongs to one simulation", "simulations", name, "injected")
    scenarios = config.scenarios
    bands = config.bands
    if bands is not None and bands.method == "toys":
        if bands.simulation not in scenarios:
            raise fail(
                f"bands from toys need the simulation {bands.simulation!r}; there are "
                f"{', '.join(scenarios) or 'none'}. Add it, or take asimov"
                f"{_suggestion(bands.simulation, scenarios)}",
                "bands",
                *(["simulation"] if "simulation" in bands.model_fields_set else []),
            )
        if scenarios[bands.simulation].injected is not None:
            raise fail("bands are about simulations without a signal", "bands", "simulation")
    for i, channel in enumerate(config.plots.channels or ()):
        if channel_label(channel) not in config.channel_labels:
            raise fail(f"{channel_label(channel)} is not in channels", "plots", "channels", i)
    for name, detail in config.plots.wanted().items():
        for i, channel in enumerate(detail.channels or ()):
            if channel_label(channel) not in config.channel_labels:
                raise fail(
                    f"{channel_label(channel)} is not in channels",
                    "plots", "kinds", name, "channels", i,
                )  # fmt: skip
