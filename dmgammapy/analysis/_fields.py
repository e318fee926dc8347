"""Types of the values in a configuration, and the base of its sections."""

import re
from typing import Annotated, Any, ClassVar

import astropy.units as u
import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from dmgammapy.spectra import CHANNELS, parse_channel

from ._yaml import did_you_mean, nearest

__all__ = [
    "Channel",
    "CrossSection",
    "Lifetime",
    "Mass",
    "Name",
    "Section",
    "Spectra",
    "Width",
    "as_list",
    "check_angle",
    "choice",
    "fail",
    "parse_mass",
    "short_form",
]


def fail(message, *sub):
    """Report a bad value; ``sub`` leads from the field to the part of it that is bad."""
    # braces would be taken for placeholders of the template
    return PydanticCustomError("config", "{text}", {"text": message, "sub": list(sub)})


def as_list(value):
    """A single text, number or mixture stands for a list of one."""
    return [value] if isinstance(value, str | int | dict) else value


def short_form(key, types):
    """Validator of a section that takes a value of these types for that of one of its keys."""

    def fill(cls, value):
        return {key: value} if isinstance(value, types) else value

    return model_validator(mode="before")(classmethod(fill))


def choice(value, known, *sub):
    """Check a value of which there are a few; the error suggests the nearest."""
    if value in known:
        return value
    suggestion = did_you_mean(value, known)
    names = ", ".join(repr(name) for name in known[:-1]) + f" or {known[-1]!r}"
    raise fail(f"must be {names}, got {value!r}{suggestion}", *sub)


def check_angle(value, expected):
    """Check a text that stands for an angle, not negative."""
    try:
        good = u.Quantity(value).to_value("deg") >= 0
    except (TypeError, ValueError, u.UnitConversionError):
        good = False
    if not good:
        raise fail(f"expected {expected}, got {value!r}")
    return value


def _check_name(value):
    # it becomes part of file names
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", value):
        raise fail(f"a name may hold letters, digits and _ . + - only, got {value!r}")
    return value


Name = Annotated[str, AfterValidator(_check_name)]


def _parse_positive(what, unit, example):
    def parse(value):
        try:
            quantity = u.Quantity(value)
            number = quantity.to_value(unit)
        except (TypeError, ValueError):
            raise fail(f"{what} needs a unit, for example '{example}', got {value!r}") from None
        if not (quantity.isscalar and np.isfinite(number) and number > 0):
            raise fail(f"{what} must be one positive number, got {value!r}")
        return quantity.to(unit)

    return parse


def _quantity_type(what, unit, example):
    return Annotated[
        u.Quantity,
        BeforeValidator(_parse_positive(what, unit, example)),
        PlainSerializer(lambda quantity: f"{float(quantity.to_value(unit))!r} {unit}"),
        WithJsonSchema({"type": "string", "examples": [example]}),
    ]


CrossSection = _quantity_type("a cross-section", "cm3 s-1", "3e-26 cm3 s-1")
Lifetime = _quantity_type("a lifetime", "s", "1e26 s")


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
    PlainSerializer(lambda mass: f"{float(mass.to_value('GeV'))!r} GeV"),
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


def _allow_single(schema):
    """Let the JSON schema of a list take one entry of it, too."""
    forms = schema.pop("anyOf", None)
    if forms is None:
        forms = [{name: schema.pop(name) for name in ("type", "items") if name in schema}]
    (entry,) = (form["items"] for form in forms if form.get("type") == "array")
    schema["anyOf"] = [*forms, entry]


class Section(BaseModel):
    """Part of a configuration; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, frozen=True)

    # JSON schemas of the short forms that the section takes instead of its keys
    shorthand: ClassVar[tuple] = ()
    # keys whose value may be one entry in place of a list
    listed: ClassVar[tuple] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema, handler):
        schema = handler(core_schema)
        own = handler.resolve_ref_schema(schema)
        for name in cls.listed:
            _allow_single(own["properties"][name])
        if not cls.shorthand:
            return schema
        keys = dict(own)
        own.clear()
        description = keys.pop("description", "")
        own.update(title=keys.get("title", cls.__name__), description=description)
        own["anyOf"] = [keys, *cls.shorthand]
        return schema
