"""Sections of the configuration about what is done: simulations, limits, figures, execution."""

from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from ._explain import validate_entries
from ._fields import (
    Channel,
    CrossSection,
    Lifetime,
    Mass,
    Name,
    Section,
    as_list,
    check_angle,
    choice,
    fail,
    short_form,
)
from ._sections import add_formats, check_format, check_pattern

__all__ = [
    "BandsConfig",
    "BlankFieldsConfig",
    "ExecutionConfig",
    "InjectedConfig",
    "LimitsConfig",
    "PlotKind",
    "PlotsConfig",
    "PLOT_KINDS",
    "SimulationConfig",
]

LIMIT_METHODS = ("profile", "cls", "clsb", "power_constrained", "feldman_cousins")
BAND_METHODS = ("toys", "asimov", "none")
BACKENDS = ("loky", "threading", "sequential", "dask")
CLUSTERS = ("local", "slurm", "htcondor", "lsf")
PLOT_KINDS = (
    "spectra",
    "sed",
    "region_map",
    "region_spectrum",
    "region_significance",
    "castro",
    "target_limits",
    "stack_castro",
    "limits",
    "best_fits",
    "control_limits",
    "control_best_fits",
    "final_limits",
    "likelihood_curves",
    "contributions",
    "jfactor_treatments",
    "ts",
    "simulated_castro",
    "simulated_limits",
)
# made for every realisation, or one for each target and channel: only when asked for
ON_REQUEST = ("simulated_castro", "simulated_limits")


class InjectedConfig(Section):
    """Signal of a simulation."""

    sigmav: CrossSection | None = Field(None, description="Cross-section of annihilation.")
    tau: Lifetime | None = Field(None, description="Lifetime of decay.")
    mass: Mass = Field(description="Of the dark matter particle.")
    channel: Channel = Field(description="Channel or mixture.")

    @model_validator(mode="after")
    def _one_strength(self):
        if (self.sigmav is None) == (self.tau is None):
            raise fail("give either sigmav (annihilation) or tau (decay)")
        return self


class SimulationConfig(Section):
    """A set of simulations. ``defaults`` are those of all others."""

    injected: InjectedConfig | None = Field(None, description="Signal. Default is none.")
    n: int = Field(300, ge=1, le=1_000_000, description="Number of realisations.")
    seed: int = Field(0, ge=0, description="Of the random numbers.")
    profile: Name | None = Field(
        None,
        description="Profile whose J-factors make the signal. Default is the one analysed.",
    )
    redraw_jfactor: bool = Field(
        False, description="Whether each realisation measures J anew, within its width."
    )
    log10_jfactor: Literal["observed", "prior"] = Field(
        "observed", description="True J: the observed one, or drawn from its prior."
    )
    expectations: str | None = Field(
        None,
        description="Table (ECSV) of the counts expected, columns target, background, npred. "
        "Default is to read them off the likelihoods.",
    )
    undetermined: Literal["error", "power_law"] = Field(
        "error", description="Bins whose scan does not know the background: see SEDExpectation."
    )
    least_counts: float = Field(
        0.5, ge=0, description="Bins with fewer counts don't know their background."
    )
    per_target: bool = Field(False, description="Whether to keep results of each target, too.")


class BlankFieldsConfig(Section):
    """Control positions without a target. A plain text is taken as ``path``."""

    shorthand = ({"type": "string"},)

    path: str | dict[Name, str] | None = Field(
        None,
        description="Likelihoods at such positions, with {target}, {profile}, {version}, "
        "{instrument} and {field} for 0000, 0001 ...; or by instrument. Default is to move the "
        "source in counts.",
    )
    format: str | None = Field(
        None,
        description="File format. Default is that of the datasets.",
        json_schema_extra=add_formats,
    )
    n: int | None = Field(
        None, ge=1, description="Fields of each target. Default is all files; 20 for counts."
    )
    seed: int = Field(0, ge=0, description="Of the positions in counts.")
    method: Literal["random", "grid"] = Field("random", description="Choice of the positions.")
    offset_min: str | None = Field("1 deg", description="Least distance from the target.")
    offset_max: str | None = Field(None, description="Largest distance from the target.")
    separation: str = Field("1 deg", description="Least distance from each other.")

    _shorthand = short_form("path", str)

    @field_validator("path")
    @classmethod
    def _has_fields(cls, value):
        known = ("target", "profile", "version", "instrument", "field")
        for name, path in value.items() if isinstance(value, dict) else [(None, value)]:
            if path is None:
                continue
            sub = () if name is None else (name,)
            try:
                check_pattern(path, known)
            except PydanticCustomError as error:
                raise fail(error.context["text"], *sub) from None
            if "{field}" not in path:
                raise fail(
                    f"the path must hold {{field}} where 0000, 0001 ... goes, got {path!r}", *sub
                )
        return value

    _is_known = field_validator("format")(check_format)

    @field_validator("offset_min", "offset_max", "separation")
    @classmethod
    def _are_angles(cls, value):
        if value is not None:
            check_angle(value, "an angle such as '1 deg'")
        return value


class LimitsConfig(Section):
    """Which limits."""

    listed = ("methods",)

    cl: float = Field(0.95, gt=0.5, lt=1, description="Confidence level.")
    methods: list[str] = Field(
        ["profile"],
        description="How upper limits are computed; all but profile need expected counts.",
        json_schema_extra={"items": {"enum": list(LIMIT_METHODS)}},
    )

    _as_list = field_validator("methods", mode="before")(as_list)

    @field_validator("methods")
    @classmethod
    def _are_known(cls, value):
        if not value:
            raise fail("the list of methods is empty")
        for i, method in enumerate(value):
            choice(method, LIMIT_METHODS, i)
            if method in value[:i]:
                raise fail(f"{method} comes twice", i)
        return value


class BandsConfig(Section):
    """Expected limits. A plain text is taken as ``method``."""

    shorthand = ({"enum": list(BAND_METHODS)}, {"type": "boolean"})

    method: str = Field(
        "toys",
        description="toys of a simulation, asimov (quick), or none.",
        json_schema_extra={"enum": list(BAND_METHODS)},
    )
    simulation: Name = Field("null", description="Simulations whose quantiles the bands are.")
    quantiles: list[float] = Field(
        [0.025, 0.16, 0.5, 0.84, 0.975], description="Lowest and highest of the bands, median."
    )

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value):
        if isinstance(value, bool):
            return {"method": "toys" if value else "none"}
        return {"method": value} if isinstance(value, str) else value

    @field_validator("method")
    @classmethod
    def _is_known(cls, value):
        return choice(value, BAND_METHODS)

    @field_validator("quantiles")
    @classmethod
    def _ascend(cls, value):
        q = np.array(value)
        if not len(q) or not ((q > 0) & (q < 1)).all() or not (np.diff(q) > 0).all():
            raise fail(f"quantiles must ascend between 0 and 1, got {value}")
        if not np.isin(0.5, q) or not np.allclose(q + q[::-1], 1):
            raise fail(f"quantiles must hold the median and be symmetric about it, got {value}")
        return value


class PlotKind(Section):
    """What to draw of a kind of figure."""

    listed = ("channels", "targets", "realisations")

    channels: list[Channel] | None = Field(None, description="Default is those of ``plots``.")
    targets: list[str] | None = Field(
        None, description="Names or patterns, for figures of single targets. Default is all."
    )
    realisations: list[int] = Field(
        [0], description="Of simulations, for figures of single realisations."
    )

    _as_list = field_validator("channels", "targets", "realisations", mode="before")(as_list)


def _name_kinds(schema):
    kinds = {"enum": list(PLOT_KINDS)}
    for form in schema["anyOf"]:
        if form.get("type") == "array":
            form["items"] = kinds
        if form.get("type") == "object":
            form["propertyNames"] = kinds
    schema["anyOf"].append(kinds)


class PlotsConfig(Section):
    """Which figures. A plain ``true`` or ``false`` is taken as ``enabled``."""

    shorthand = ({"type": "boolean"},)
    listed = ("channels", "published")

    enabled: bool = Field(True, description="Whether to draw any.")
    kinds: list[str] | dict[str, PlotKind | bool | None] | None = Field(
        None,
        description="Kinds of figures, as a list or with details. Default is all that can be "
        f"drawn but {' and '.join(ON_REQUEST)}.",
        json_schema_extra=_name_kinds,
    )
    channels: list[Channel] | None = Field(None, description="Default is all of the analysis.")
    format: Literal["png", "pdf", "svg"] = Field("png", description="Of the files.")
    published: list[str] = Field([], description="ECSV files of published limits to draw.")

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value):
        if isinstance(value, str):
            raise fail(
                f"expected true or false (without quotes), or 'key: value' pairs, got {value!r}"
            )
        return {"enabled": value} if isinstance(value, bool) else value

    _as_list = field_validator("published", "channels", mode="before")(as_list)

    @field_validator("kinds", mode="before")
    @classmethod
    def _are_known(cls, value):
        if value is None:
            return value
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list | dict) or not value:
            raise fail(f"expected a list of kinds, or 'kind: details' pairs, got {value!r}")
        for i, kind in enumerate(value):
            choice(kind, PLOT_KINDS, kind if isinstance(value, dict) else i)
        if isinstance(value, list):
            return value
        details = {}
        for name, item in value.items():
            if isinstance(item, dict):
                details[name] = item
            elif not (item is None or isinstance(item, bool | PlotKind)):
                raise fail(f"expected true, false or 'key: value' pairs, got {item!r}", name)
        return value | validate_entries(PlotKind, details)

    def wanted(self):
        """Details of each kind of figure that is to be drawn, `PlotKind` by name."""
        if not self.enabled:
            return {}
        kinds = self.kinds
        if kinds is None:
            kinds = [kind for kind in PLOT_KINDS if kind not in ON_REQUEST]
        if isinstance(kinds, list):
            kinds = dict.fromkeys(kinds)
        # an empty entry asks for the figure, as dmpipe's do
        return {
            name: detail if isinstance(detail, PlotKind) else PlotKind()
            for name, detail in kinds.items()
            if detail is not False
        }


class ExecutionConfig(Section):
    """How it runs."""

    n_jobs: int = Field(1, description="Tasks at the same time; -1 uses all cores.")
    on_error: Literal["stop", "skip"] = Field(
        "stop", description="What to do about a file that can't be read: stop, or skip the target."
    )
    backend: str = Field(
        "loky",
        description="Processes on this machine (loky), or on a cluster (dask).",
        json_schema_extra={"enum": list(BACKENDS)},
    )
    cluster: str = Field(
        "local",
        description="With dask: where the workers are.",
        json_schema_extra={"enum": list(CLUSTERS)},
    )
    workers: int | None = Field(None, ge=1, description="With dask: how many. Default is n_jobs.")
    options: dict[str, Any] = Field(
        {}, description="With dask: cores, memory, walltime, queue ... of the cluster's jobs."
    )

    @field_validator("n_jobs")
    @classmethod
    def _not_zero(cls, value):
        if value == 0:
            raise fail("n_jobs must be a positive number of workers, or -1 for all cores, got 0")
        return value

    @field_validator("backend")
    @classmethod
    def _is_backend(cls, value):
        return choice(value, BACKENDS)

    @field_validator("cluster")
    @classmethod
    def _is_cluster(cls, value):
        return choice(value, CLUSTERS)

    @model_validator(mode="after")
    def _cluster_needs_dask(self):
        if self.backend != "dask":
            for name in ("cluster", "workers", "options"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise fail("has an effect with backend: dask only", name)
            return self
        from .cluster import JobOptions

        try:
            JobOptions.from_dict(self.cluster, self.options)
        except (TypeError, ValueError) as error:
            raise fail(str(error), "options") from None
        return self
