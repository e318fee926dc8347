"""Tables of the keys of a configuration, from its JSON Schema."""

import json

__all__ = ["reference_page"]

INTRODUCTION = """\
# Keys of the configuration

Written from the schema that checks configurations; [the guide](../configuration.md) explains. A key
without a default is required, – means that nothing is the default.
"""


def reference_page(schema):
    """Text of the page: the file, then its sections where they stand.

    Parameters
    ----------
    schema : dict
        As ``AnalysisConfig.json_schema()`` gives it.
    """
    places = {}
    find_sections(schema, schema, "", places)
    titles = {name: ", ".join(f"`{place}`" for place in found) for name, found in places.items()}
    anchors = {name: f"section-{name.lower()}" for name in places}
    lines = [INTRODUCTION, "## The file", "", *key_table(schema, schema, anchors), ""]
    for name, title in titles.items():
        section = schema["$defs"][name]
        lines += [f"({anchors[name]})=", f"## {title}", "", plain(section["description"]), ""]
        lines += [*key_table(own_keys(section), schema, anchors), ""]
    return "\n".join(lines)


def find_sections(section, schema, place, places):
    """Fill ``places``: where each section stands, by its name, in the order of the file."""
    for key, value in section["properties"].items():
        for name, suffix in references(value):
            here = f"{place}.{key}{suffix}".lstrip(".")
            if here not in places.setdefault(name, []):
                places[name].append(here)
                find_sections(own_keys(schema["$defs"][name]), schema, here, places)


def references(value):
    """Sections that a key may hold, with what comes between."""
    if "$ref" in value:
        yield section_name(value), ""
    for form in value.get("anyOf", ()):
        yield from references(form)
    inner = value.get("additionalProperties")
    if isinstance(inner, dict):
        for name, suffix in references(inner):
            yield name, f".<name>{suffix}"


def section_name(value):
    return value["$ref"].rpartition("/")[2]


def own_keys(section):
    """The form of a section that has keys, among short ones."""
    return section if "properties" in section else section["anyOf"][0]


def plain(text):
    return text.replace("``", "`").replace("|", "\\|")


def key_table(section, schema, anchors):
    """Lines of a table of keys, what they take, and their defaults."""
    lines = ["| key | takes | default | |", "|---|---|---|---|"]
    for key, value in section["properties"].items():
        about = value.get("description") or schema["$defs"][section_name(value)]["description"]
        takes = takes_text(value, anchors)
        default = default_text(value, key in section.get("required", ()))
        lines.append(f"| `{key}` | {takes} | {default} | {plain(about)} |")
    return lines


def default_text(value, required):
    if required:
        return ""
    if value.get("default") is None:
        return "–"
    return "see there" if "$ref" in value else f"`{json.dumps(value['default'])}`"


def takes_text(value, anchors):
    """What a key takes, in words."""
    if "$ref" in value:
        name = section_name(value)
        return f"[section](#{anchors[name]})"
    if "enum" in value:
        return ", ".join(f"`{item}`" for item in value["enum"])
    if "anyOf" in value:
        return forms_text(value["anyOf"], anchors)
    if value.get("type") == "array":
        return f"list of {takes_text(value.get('items', {}), anchors)}"
    if value.get("type") == "object":
        inner = value.get("additionalProperties")
        return (
            f"`name:` {takes_text(inner, anchors)}" if isinstance(inner, dict) else "`key:` value"
        )
    names = {"string": "text", "boolean": "true, false", "integer": "whole number"}
    text = names.get(value.get("type"), value.get("type", "anything"))
    examples = value.get("examples")
    return f"text such as `{examples[0]}`" if examples else text


def forms_text(forms, anchors):
    """Forms of a value; one entry and a list of such are told together."""
    texts = [takes_text(form, anchors) for form in forms if form.get("type") != "null"]
    single = [text for text in texts if f"list of {text}" in texts]
    shown = [text for text in texts if text not in single]
    for text in single:
        shown[shown.index(f"list of {text}")] = f"{text}; or a list of such"
    return " or ".join(dict.fromkeys(shown))
