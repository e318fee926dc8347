"""What pydantic finds wrong in a configuration, in our words and with file, line and key."""

import re
import types
import typing

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from ._yaml import did_you_mean, format_loc, nearest

__all__ = ["explain", "place", "sentence", "validate_entries", "validate_inside"]

KEY = "[key]"


def validate_inside(model, value):
    """Validate a section whose errors shall point inside the field that holds it."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        context = {"problems": list(_problems(error, model))}
        raise PydanticCustomError("config_section", "bad section", context) from None


def validate_entries(model, values):
    """Validate the sections of a mapping; errors point inside the field that holds it."""
    entries, problems = {}, []
    for key, value in values.items():
        try:
            entries[key] = model.model_validate(value)
        except ValidationError as error:
            problems += [((key, *loc), text, flag) for loc, text, flag in _problems(error, model)]
    if problems:
        raise PydanticCustomError("config_section", "bad section", {"problems": problems})
    return entries


def _loc(error):
    context = error.get("ctx") or {}
    # pydantic's mark of the names in a mapping
    loc = tuple(part for part in error["loc"] if part != KEY)
    return (*loc, *context.get("sub", ()))


def _is_about_key(error):
    return error["type"] == "extra_forbidden" or KEY in error["loc"]


def _fields_at(model, loc):
    """Keys that the section at ``loc`` may have."""
    for i, part in enumerate(loc):
        if part not in getattr(model, "model_fields", ()):
            return []
        kinds = _alternatives(model.model_fields[part].annotation)
        for kind in kinds:
            if typing.get_origin(kind) is dict:  # jfactor.targets.<name>
                return _fields_at(typing.get_args(kind)[1], loc[i + 2 :])
        # a section or nothing
        model = next((kind for kind in kinds if hasattr(kind, "model_fields")), None)
    return list(getattr(model, "model_fields", ()))


def _alternatives(annotation):
    """The types that a type hint allows."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _message(error, model, loc):
    """What is wrong, in our words."""
    kind, value = error["type"], error.get("input")
    if kind == "config":
        return error["ctx"]["text"]
    if kind == "extra_forbidden":
        known = _fields_at(model, loc[:-1])
        hint = nearest(loc[-1], known)
        suggestion = f"did you mean {hint!r}? " if hint else ""
        return f"unknown key; {suggestion}Known keys: {', '.join(known)}"
    if kind == "missing":
        return "this key is required"
    if kind == "literal_error":
        expected = error["ctx"]["expected"]
        suggestion = did_you_mean(value, re.findall(r"'([^']*)'", expected))
        return f"must be {expected}, got {value!r}{suggestion}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        if value is None:
            return "the section is empty; leave its key out for the defaults, or fill it"
        return f"expected 'key: value' pairs, got {value!r}"
    text = re.sub(r"^Input should be ", "must be ", error["msg"])
    return f"{text[0].lower()}{text[1:]}, got {value!r}"


def place(source, loc, of_key=False):
    key = f"key '{format_loc(loc)}'" if loc else ""
    if source is None:
        return f"configuration, {key}" if key else "configuration"
    return f"{source.path}, line {source.line(loc, of_key)}" + (f", {key}" if key else "")


def sentence(place, message):
    return f"{place}: {message}" + ("" if message.endswith((".", "?")) else ".")


def _problems(error, model):
    """All errors of a validation as (place, message, whether it is about the key itself)."""
    items = error.errors()
    misspelt = set()
    for item in items:
        if item["type"] == "extra_forbidden":
            *section, key = item["loc"]
            hint = nearest(key, _fields_at(model, section))
            misspelt.add((*section, hint))
    for item in items:
        loc = _loc(item)
        if item["type"] == "config_section":
            for sub, message, of_key in item["ctx"]["problems"]:
                yield (*loc, *sub), message, of_key
        elif item["type"] != "missing" or loc not in misspelt:
            yield loc, _message(item, model, loc), _is_about_key(item)


def explain(error, model, source):
    """All errors of a validation, one line each."""
    lines = [
        sentence(place(source, loc, of_key), message)
        for loc, message, of_key in _problems(error, model)
    ]
    if len(lines) == 1:
        return lines[0]
    name = "configuration" if source is None else source.path
    return "\n- ".join([f"{name}: {len(lines)} errors", *lines])
