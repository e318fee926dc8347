"""Sections of the configuration about what is analysed: targets, data, masses, J-factors."""

import re
from typing import Any

import astropy.units as u
import numpy as np
from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from ._fields import Mass, Name, Section, Width, as_list, check_angle, choice, fail, short_form
from ._sections_lat import PhotonsConfig, RegionConfig
from ._yaml import nearest

__all__ = [
    "BackgroundConfig",
    "DatasetsConfig",
    "JFactorConfig",
    "JFactorOverride",
    "MassesConfig",
    "ProfileConfig",
    "TargetsConfig",
    "add_formats",
    "check_format",
    "check_pattern",
    "dataset_formats",
]

MAX_MASSES = 10_000
TREATMENTS = ("profile", "marginal", "fixed")
SPATIAL = ("point", "radial", "map")
SEVERAL_TARGETS = ("lklcom",)  # formats of which a file may hold several targets
ONE_CHANNEL = ("gloryduck",)


class TargetsConfig(Section):
    """Which targets. A plain text is taken as ``roster``, a list as ``names``."""

    shorthand = ({"type": "string"}, {"type": "array", "items": {"type": "string"}})
    listed = ("names", "select", "exclude")

    roster: str | None = Field(
        None, description="A bundled roster, a roster of ``file``, or itself a file."
    )
    file: str | None = Field(None, description="Roster or target file (YAML, ECSV).")
    names: list[str] | None = Field(
        None, description="Targets of the bundled tables as 'name:version' or 'name:profile'."
    )
    profile: Name | None = Field(
        None, description="How all of them are modelled, one of ``profiles``."
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

    _as_list = field_validator("names", "select", "exclude", mode="before")(as_list)

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


class ProfileConfig(Section):
    """How a target is modelled. A plain text is taken as ``version``."""

    shorthand = ({"type": "string"},)

    version: str | None = Field(
        None, description="Version of the targets' J-factors. Default is as the roster says."
    )
    spatial: str = Field(
        "point",
        description="Shape on the sky for data that resolve it: point, or radial or map from the "
        "target's density profile.",
        json_schema_extra={"enum": list(SPATIAL)},
    )

    _shorthand = short_form("version", str)

    @field_validator("spatial")
    @classmethod
    def _is_known(cls, value):
        return choice(value, SPATIAL)


def add_formats(schema):
    """Name the formats in a JSON schema."""
    schema["anyOf"] = [{"enum": list(dataset_formats())}, {"type": "null"}]


def check_format(value):
    """Check the name of a file format; None is that which the file shows."""
    if value is None:
        return value
    formats = dataset_formats()
    if value not in formats:
        hint = nearest(value, formats)
        suggestion = f"; did you mean {hint!r}?" if hint else ""
        raise fail(f"must be one of {', '.join(formats)}, got {value!r}{suggestion}")
    return value


class DatasetsConfig(Section):
    """Where the likelihoods are. A plain text is taken as ``path``."""

    shorthand = ({"type": "string"},)
    listed = ("targets",)

    path: str | None = Field(
        None,
        description="File of each target, with {target} for its name, and {profile} and {version} "
        "for those of its J-factor; {channel} for that of Glory Duck tables. One of lklcom may "
        "hold several targets.",
    )
    photons: PhotonsConfig | None = Field(
        None, description="Event files of Fermi-LAT, in the place of path."
    )
    format: str | None = Field(
        None,
        description="File format: of bin-by-bin likelihoods, of likelihood tables of sigmav, or "
        "'gammapy' for counts. Default is to recognise it.",
        json_schema_extra=add_formats,
    )
    instrument: str | None = Field(
        None, description="Name of the instrument. Default is its key, or what the files say."
    )
    targets: list[str] | None = Field(
        None, description="Only for these targets (names or patterns). Default is all."
    )
    models: str | None = Field(
        None, description="Gammapy models of everything but the target, for counts (YAML)."
    )
    region: RegionConfig | None = Field(
        None,
        description="Sources and diffuse emission around the target, fitted to photons or counts.",
    )

    _shorthand = short_form("path", str)

    _as_list = field_validator("targets", mode="before")(as_list)

    _is_known = field_validator("format")(check_format)

    @model_validator(mode="after")
    def _one_kind(self):
        if (self.path is None) == (self.photons is None):
            given = "neither" if self.path is None else "both"
            raise fail(f"give either the path of files or photons (event files), got {given}")
        if self.photons is not None and self.format is not None:
            raise fail(f"photons have no format, got {self.format}", "format")
        return self

    @model_validator(mode="after")
    def _placeholders(self):
        if self.path is None:
            for key in ("ft1", "ft2"):
                for i, text in enumerate(getattr(self.photons, key) or ()):
                    try:
                        check_pattern(text, ("target",), target=False)
                    except PydanticCustomError as error:
                        raise fail(error.context["text"], "photons", key, i) from None
            return self
        known = ("target", "profile", "version", "channel")
        try:
            check_pattern(self.path, known, target=self.format not in SEVERAL_TARGETS)
        except PydanticCustomError as error:
            text = error.context["text"]
            if "{target}" not in self.path:
                text += f"; a file of several targets takes format: {SEVERAL_TARGETS[0]}"
            raise fail(text, "path") from None
        if "{channel}" in self.path and self.format not in ONE_CHANNEL:
            raise fail(
                f"{{channel}} is for formats with one channel in a file: give format: "
                f"{' or '.join(ONE_CHANNEL)}, or leave it out, got {self.path!r}",
                "path",
            )
        return self

    @model_validator(mode="after")
    def _models_of_counts(self):
        if self.models is not None and self.format not in (None, "gammapy"):
            raise fail(f"models belong to counts (format: gammapy), not to {self.format}", "models")
        if self.region is not None and self.format not in (None, "gammapy"):
            raise fail(
                f"a region is fitted to photons or counts (format: gammapy), not to {self.format}",
                "region",
            )
        return self


def dataset_formats():
    """Formats by name, with what they hold: ``sed``, ``castro`` or ``counts``."""
    from dmgammapy.datasets.io import SED_FORMATS
    from dmgammapy.estimators.io import CASTRO_FORMATS

    formats = dict.fromkeys(SED_FORMATS, "sed")
    for name in CASTRO_FORMATS:
        formats.setdefault(name, "castro")
    return formats | {"gammapy": "counts"}


def check_pattern(value, known, target=True):
    """Check the placeholders of a path; {target} must be there unless ``target`` is False."""
    for name in re.findall(r"(?<!\$)\{(.*?)\}", value):
        if name not in known:
            raise fail(
                f"unknown placeholder {{{name}}} in {value!r}, expected "
                + ", ".join(f"{{{k}}}" for k in known)
            )
    if target and "{target}" not in value:
        raise fail(f"the path must hold {{target}} where the name of a target goes, got {value!r}")
    return value


class MassesConfig(Section):
    """Masses of the scan: equal steps in log m from ``min`` to ``max``."""

    min: Mass = Field(description="The lowest.")
    max: Mass = Field(description="The highest.")
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
    """How the uncertainty of J-factors is treated. A text or list is taken as ``method``."""

    shorthand = ({"enum": list(TREATMENTS)}, {"type": "array", "items": {"enum": list(TREATMENTS)}})

    method: str | list[str] = Field(
        "profile",
        description="profile, marginal or fixed, or several of them: the first is the main one.",
        json_schema_extra={
            "anyOf": [
                {"enum": list(TREATMENTS)},
                {"type": "array", "items": {"enum": list(TREATMENTS)}},
            ]
        },
    )
    targets: dict[str, JFactorOverride] = Field(
        {},
        description="Values by target: 'draco', or 'draco:name' of one version or profile alone.",
    )
    extra_widths: dict[str, Any] = Field(
        {},
        description="Independent widths [dex] of instruments, {instrument: width} or {target: "
        "{instrument: width}}, on top of the target's.",
    )
    covariance: str | None = Field(
        None, description="Table (ECSV) of the covariance of log10 J of several targets [dex2]."
    )

    _shorthand = short_form("method", str | list)

    @field_validator("method", mode="before")
    @classmethod
    def _are_known(cls, value):
        methods = value if isinstance(value, list) else [value]
        if not methods:
            raise fail("the list of J treatments is empty")
        for i, method in enumerate(methods):
            sub = (i,) if isinstance(value, list) else ()
            choice(method, TREATMENTS, *sub)
            if method in methods[:i]:
                raise fail(f"{method} comes twice", i)
        return value

    @field_validator("extra_widths")
    @classmethod
    def _are_widths(cls, value):
        for name, width in value.items():
            for key, number in width.items() if isinstance(width, dict) else [(None, width)]:
                try:
                    good = np.all(np.asarray(number, dtype=float) >= 0)
                except (TypeError, ValueError):
                    good = False
                if not good:
                    sub = (name,) if key is None else (name, key)
                    raise fail(f"expected a width in dex, not negative, got {number!r}", *sub)
        return value

    @property
    def methods(self):
        """All treatments, the main one first."""
        return list(self.method) if isinstance(self.method, list) else [self.method]


class BackgroundConfig(Section):
    """How the background of counts is treated. A plain text is taken as ``free``."""

    shorthand = ({"type": "string"}, {"type": "array", "items": {"type": "string"}})

    free: str | list[str] = Field(
        "free",
        description="Norms that are profiled: 'free' as in the models, 'fixed', an angle such as "
        "'2 deg' around the target, or names of models.",
    )
    cov_scale: float | None = Field(
        None, gt=0, description="Width of priors around a global fit, in its errors."
    )
    method: str | None = Field(
        None,
        description="bins: bin by bin; direct: all counts for every mass and channel. Default is "
        "direct where regions are fitted (and cov_scale is not given), otherwise bins.",
        json_schema_extra={"enum": ["bins", "direct", None]},
    )

    _shorthand = short_form("free", str | list)

    @field_validator("method")
    @classmethod
    def _is_method(cls, value):
        return value if value is None else choice(value, ("bins", "direct"))

    @field_validator("free", mode="before")
    @classmethod
    def _is_treatment(cls, value):
        names = isinstance(value, list) and all(isinstance(name, str) for name in value)
        if not (names and value) and value not in ("free", "fixed"):
            check_angle(value, "'free', 'fixed', an angle such as '2 deg' or a list of models")
            return str(value)
        return value
