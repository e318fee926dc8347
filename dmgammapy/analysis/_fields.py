"""Types of the values in a configuration, and the base of its sections."""

from typing import Annotated, Any

import astropy.units as u
import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from dmgammapy.spectra import CHANNELS, parse_channel

from ._yaml import nearest

__all__ = ["Channel", "Mass", "Section", "Spectra", "Width", "fail", "parse_mass"]


def fail(message, *sub):
    """Report a bad value; ``sub`` leads from the field to the part of it that is bad."""
    # braces would be taken for placeholders of the template
    return PydanticCustomError("config", "{text}", {"text": message, "sub": list(sub)})


def parse_mass(value):
    if isinstance(value, u.Quantity):
        mass = value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        raise fail(f"a mass needs a unit, for example '{value:g} GeV', got {value!r}")
    else:
        try:
            mass = u.Quantity(value)
        except (TypeError, ValueError):
            raise fail(f"expected a mass such as '100 GeV', got {value!r}") from None
    if mass.unit == u.dimensionless_unscaled:
        raise fail(f"a mass needs a unit, for example '{value} GeV', got {value!r}")
    if not mass.unit.is_equivalent("GeV"):
        raise fail(f"a mass needs a unit of energy such as GeV or TeV, got {value!r}")
    mass = mass.to("GeV") if mass.isscalar else mass
    if not (mass.isscalar and np.isfinite(mass.value) and mass.value > 0):
        raise fail(f"a mass must be one positive number with a unit, got {value!r}")
    return mass


Mass = Annotated[
    u.Quantity,
    BeforeValidator(parse_mass),
    PlainSerializer(lambda mass: f"{mass.to_value('GeV'):.10g} GeV"),
    WithJsonSchema({"type": "string", "examples": ["100 GeV", "1 TeV"]}),
]


def _parse_channel(value):
    try:
        return parse_channel(value)
    except ValueError as error:
        names = list(value) if isinstance(value, dict) else [value]
        hints = [nearest(n, CHANNELS) for n in names if n not in CHANNELS]
        hint = next((h for h in hints if h), None)
        suggestion = f" Did you mean {hint!r}?" if hint else ""
        raise fail(f"{error}{suggestion}") from None


Channel = Annotated[
    Any,
    AfterValidator(_parse_channel),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "examples": ["b", "tau"]},
                {"type": "object", "additionalProperties": {"type": "number"}},
            ]
        }
    ),
]


def _check_spectra(value):
    if not (isinstance(value, str) and value) and not (isinstance(value, dict) and value):
        raise fail(
            f"expected a name such as pppc4, a file, or what read_spectra takes, got {value!r}"
        )
    return value


Spectra = Annotated[
    Any,
    AfterValidator(_check_spectra),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "examples": ["pppc4", "dmfit"]}, {"type": "object"}]}
    ),
]


def _check_width(value):
    pair = value if isinstance(value, list | tuple) else [value]
    try:
        numbers = [float(v) for v in pair]
    except (TypeError, ValueError):
        numbers = []
    good = len(numbers) in (1, 2) and all(np.isfinite(n) and n >= 0 for n in numbers)
    if not good or (isinstance(value, list | tuple) and len(numbers) != 2):
        raise fail(f"expected a width in dex, or [low, high], none negative, got {value!r}")
    return tuple(numbers) if len(numbers) == 2 else numbers[0]


Width = Annotated[
    Any,
    AfterValidator(_check_width),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}]}),
]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, frozen=True)
