"""Configuration of an analysis: what a YAML file may say, checked.

Paths in a file are relative to that file; ``~`` and ``${VARIABLE}`` are expanded.
"""

import os
import re
from pathlib import Path
from typing import Literal

import astropy.units as u
import numpy as np
from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from dmgammapy.spectra import channel_label

from ._explain import explain, place, sentence, validate_inside
from ._fields import Channel, Mass, Section, Spectra, Width, fail, parse_mass
from ._yaml import ConfigError, YAMLSource, nearest

__all__ = [
    "AnalysisConfig",
    "ConfigError",
    "DatasetsConfig",
    "ExecutionConfig",
    "JFactorConfig",
    "JFactorOverride",
    "LimitsConfig",
    "MassesConfig",
    "PlotsConfig",
    "TargetsConfig",
]

MAX_MASSES = 10_000


class TargetsConfig(Section):
    """Which targets. A plain text is taken as ``roster``, a list as ``names``."""

    roster: str | None = Field(
        None, description="A bundled roster, a roster of ``file``, or itself a file."
    )
    file: str | None = Field(None, description="Roster or target file (YAML, ECSV).")
    names: list[str] | None = Field(
        None, description="Targets of the bundled tables as 'name:version'."
    )
    select: list[str] | None = Field(
        None, description="Keep only these: names, 'name:version' or patterns such as 'leo_*'."
    )
    exclude: list[str] = Field([], description="Leave these out.")

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value):
        if isinstance(value, str):
            return {"roster": value}
        return {"names": value} if isinstance(value, list) else value

    @field_validator("names", "select", "exclude", mode="before")
    @classmethod
    def _as_list(cls, value):
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_source(self):
        listed = self.roster is not None or self.file is not None
        if listed == (self.names is not None):
            raise fail(
                "give either a roster (a bundled name or a file) or the names of targets, "
                f"got {'both' if listed else 'neither'}"
            )
        if self.names is not None and not self.names:
            raise fail("the list of targets is empty", "names")
        return self


class DatasetsConfig(Section):
    """Where the likelihoods are. A plain text is taken as ``path``."""

    path: str = Field(description="File of each target, with {target} for its name.")
    format: str | None = Field(None, description="File format. Default is to recognise it.")
    instrument: str | None = Field(
        None, description="Name of the instrument. Default is what the files say."
    )

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value):
        return {"path": value} if isinstance(value, str) else value

    @field_validator("format")
    @classmethod
    def _is_known(cls, value):
        from dmgammapy.datasets.io import SED_FORMATS

        if value is not None and value not in SED_FORMATS:
            hint = nearest(value, SED_FORMATS)
            suggestion = f"; did you mean {hint!r}?" if hint else ""
            raise fail(f"must be one of {', '.join(SED_FORMATS)}, got {value!r}{suggestion}")
        return value

    @field_validator("path")
    @classmethod
    def _has_target(cls, value):
        for name in re.findall(r"(?<!\$)\{(.*?)\}", value):
            if name != "target":
                raise fail(f"unknown placeholder {{{name}}} in {value!r}, expected {{target}}")
        if "{target}" not in value:
            raise fail(
                f"the path must hold {{target}} where the name of a target goes, got {value!r}"
            )
        return value


class MassesConfig(Section):
    """Masses of the scan: equal steps in log m from ``min`` to ``max``."""

    min: Mass
    max: Mass
    n: int = Field(ge=1, le=MAX_MASSES, description="Number of masses.")

    @model_validator(mode="after")
    def _ascend(self):
        if self.n == 1 and self.min != self.max:
            raise fail("a single mass needs min equal to max", "n")
        if self.n > 1 and not self.max > self.min:
            raise fail(f"max must exceed min, got {self.min:g} to {self.max:g}", "max")
        return self

    @property
    def grid(self):
        """The masses, `~astropy.units.Quantity` of shape (n,)."""
        low, high = self.min.to_value("GeV"), self.max.to_value("GeV")
        masses = np.geomspace(low, high, self.n)
        masses[-1] = high  # geomspace rounds, and tables end there
        return masses * u.GeV


class JFactorOverride(Section):
    """J-factor (D-factor for decay) of one target, in place of the table's."""

    log10_jfactor: float | None = Field(None, description="log10 of J [GeV2 cm-5].")
    log10_jfactor_err: Width | None = Field(None, description="Width [dex], or [low, high].")
    log10_dfactor: float | None = Field(None, description="log10 of D [GeV cm-2].")
    log10_dfactor_err: Width | None = Field(None, description="Width [dex], or [low, high].")

    @field_validator("log10_jfactor", "log10_dfactor")
    @classmethod
    def _is_log(cls, value):
        if value is not None and not 5 < value < 35:
            raise fail(f"expected log10 of the factor, for example 18.8, got {value:g}")
        return value

    @model_validator(mode="after")
    def _says_something(self):
        if not self.model_fields_set:
            raise fail("the entry is empty; give log10_jfactor, log10_jfactor_err or both")
        return self


class JFactorConfig(Section):
    """How the uncertainty of J-factors is treated. A plain text is taken as ``method``."""

    method: Literal["profile", "marginal", "fixed"] = "profile"
    targets: dict[str, JFactorOverride] = Field({}, description="Values by target name.")

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value):
        return {"method": value} if isinstance(value, str) else value


class LimitsConfig(Section):
    """Which limits."""

    cl: float = Field(0.95, gt=0.5, lt=1, description="Confidence level.")


class PlotsConfig(Section):
    """Which figures. A plain ``true`` or ``false`` is taken as ``enabled``."""

    enabled: bool = True
    published: list[str] = Field([], description="ECSV files of published limits to draw.")

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value):
        if isinstance(value, str):
            raise fail(
                f"expected true or false (without quotes), or 'key: value' pairs, got {value!r}"
            )
        return {"enabled": value} if isinstance(value, bool) else value

    @field_validator("published", mode="before")
    @classmethod
    def _as_list(cls, value):
        return [value] if isinstance(value, str) else value


class ExecutionConfig(Section):
    """How it runs."""

    n_jobs: int = Field(1, description="Targets converted at the same time; -1 uses all cores.")
    on_error: Literal["stop", "skip"] = Field(
        "stop", description="What to do about a file that can't be read: stop, or skip the target."
    )

    @field_validator("n_jobs")
    @classmethod
    def _not_zero(cls, value):
        if value == 0:
            raise fail("n_jobs must be a positive number of workers, or -1 for all cores, got 0")
        return value


class AnalysisConfig(Section):
    """What an analysis does.

    Read from a YAML file with `read`, or made from a dict with `from_dict`; both check it and
    name the place of what is wrong.

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
    dmgammapy.analysis._yaml.ConfigError: configuration: 5 errors...
    """

    targets: TargetsConfig
    datasets: DatasetsConfig
    spectra: Spectra = Field("pppc4", description="Photon yields: a known name or a file.")
    process: Literal["annihilation", "decay"] = "annihilation"
    channels: list[Channel] = Field(description="Channel names or mixtures {channel: fraction}.")
    masses: list[Mass] | MassesConfig = Field(description="Masses, or min, max and n.")
    norm_type: Literal["eflux", "flux", "dnde"] = Field(
        "eflux", description="Flux that scales the likelihood of a bin."
    )
    interpolation: Literal["poisson", "cubic", "linear"] | None = Field(
        None, description="Between the points of a scan. Default is what the files say (poisson)."
    )
    jfactor: JFactorConfig = JFactorConfig()
    limits: LimitsConfig = LimitsConfig()
    plots: PlotsConfig = PlotsConfig()
    output: str | None = Field(
        None, description="Folder of results. Default is 'results' where the command is run."
    )
    execution: ExecutionConfig = ExecutionConfig()

    _source: YAMLSource | None = PrivateAttr(None)
    _folder: Path = PrivateAttr(Path())

    @field_validator("channels", mode="before")
    @classmethod
    def _channels_as_list(cls, value):
        return [value] if isinstance(value, str | dict) else value

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
        """The YAML file, or None."""
        return None if self._source is None else self._source.path

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

        expanded = re.sub(r"\$\{(\w+)\}|\$(\w+)", expand, text)
        return self._folder / Path(expanded).expanduser()
