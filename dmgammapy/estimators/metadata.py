"""What a castro result says about its origin."""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dmgammapy import __version__
from dmgammapy.modeling import JFactorPrior

__all__ = ["CastroMetaData"]


class CastroMetaData(BaseModel):
    """Origin and conventions of a `CastroMaps`.

    Attributes
    ----------
    target : str or None
        Target name; None for a stack.
    instrument : str or None
        Instrument name; None if unknown or if several were added.
    process : {"annihilation", "decay"}
    log10_jfactor : float or None
        log10 of the J-factor [GeV2 cm-5] (D-factor [GeV cm-2] for decay) the conversion used.
    prior : JFactorPrior or None
        Likelihood of the observed log10 J that belongs to the target; not yet applied unless
        ``jfactor_method`` says so.
    jfactor_method : {"profile", "marginal", "fixed"} or None
        J treatment that has been applied; None if none has.
    cl : float
        Confidence level of the stored upper limits.
    contributors : dict
        For a stack: J treatment of every result, by name; ``target`` is whose it is.
    notes : list of str
        Everything that was left out, with its reason.
    """

    model_config = ConfigDict(
        extra="forbid", arbitrary_types_allowed=True, validate_assignment=True
    )

    target: str | None = None
    instrument: str | None = None
    process: str = "annihilation"
    log10_jfactor: float | None = None
    prior: Any = None
    jfactor_method: str | None = None
    cl: float = 0.95
    spectra: str | None = None
    norm_type: str | None = None
    interpolation: str | None = None
    k: float | None = None
    redshift: float | None = None
    contributors: dict[str, dict[str, Any]] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    origin: str | None = None
    creator: str = Field(default_factory=lambda: f"dmgammapy {__version__}")
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @field_validator("process")
    @classmethod
    def _known_process(cls, value):
        if value not in ("annihilation", "decay"):
            raise ValueError(f"process must be 'annihilation' or 'decay', got {value!r}.")
        return value

    @field_validator("jfactor_method")
    @classmethod
    def _known_method(cls, value):
        if value not in (None, "profile", "marginal", "fixed"):
            raise ValueError(
                f"jfactor_method must be 'profile', 'marginal', 'fixed' or None, got {value!r}."
            )
        return value

    @field_validator("prior")
    @classmethod
    def _is_prior(cls, value):
        if value is not None and not isinstance(value, JFactorPrior):
            raise ValueError(f"prior must be a JFactorPrior or None, got {type(value).__name__}.")
        return value

    @property
    def n_targets(self):
        """Number of targets: 1 if it is named, 0 if nothing is known."""
        if self.target:
            return 1
        return len({entry.get("target", name) for name, entry in self.contributors.items()})

    @property
    def about(self):
        """Name of the target, or how many there are, in words."""
        if self.target or not self.contributors:
            return self.target or "unknown target"
        return f"{self.n_targets} target" + ("s" if self.n_targets != 1 else "")

    def to_json_dict(self):
        """Plain dictionary that JSON can hold."""
        out = self.model_dump()
        out["prior"] = None if self.prior is None else self.prior.to_spec()
        return out

    @classmethod
    def from_json_dict(cls, data):
        """Inverse of `to_json_dict`."""
        data = dict(data)
        if data.get("prior") is not None:
            data["prior"] = JFactorPrior.from_spec(data["prior"])
        return cls(**data)
