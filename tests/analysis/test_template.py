"""The commented example: valid, complete, and honest about the defaults."""

import re
import types
import typing

import pytest
import yaml

from dmgammapy.analysis import AnalysisConfig

TEMPLATE = AnalysisConfig.template()
# what has no default
NEEDED = {
    "targets": "ackermann2015_dsphs",
    "datasets": "sed_{target}.fits",
    "channels": ["b", "tau"],
    "masses": {"min": "6 GeV", "max": "10 TeV", "n": 24},
}


def uncomment(text):
    """Examples are comments whose # is followed by a key; prose has a blank there."""
    return re.sub(r"(?m)^#(?=( {2,})?\S)", "", text)


def check(data):
    """One of targets and rosters is wanted; the later of two forms of a key counts."""
    if "rosters" in data:
        data.pop("targets", None)
    return AnalysisConfig.from_dict(data)


def sections():
    """Name and text of each top-level key, comments that belong to it included."""
    parts = re.split(r"(?m)^(?=#?[a-z_]+:)", TEMPLATE)
    found = {}
    for part in parts[1:]:
        name = re.match(r"#?([a-z_]+):", part)[1]
        found[name] = found.get(name, "") + part
    return found


def test_parses(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(TEMPLATE)
    config = AnalysisConfig.read(path)
    assert config.channel_labels == ["b", "tau"]
    assert len(config.mass_grid) == 24


def test_shows_the_defaults():
    shown = AnalysisConfig.from_dict(yaml.safe_load(TEMPLATE))
    assert shown == AnalysisConfig.from_dict(NEEDED)


def test_sections_are_those_of_the_schema():
    assert set(sections()) == set(AnalysisConfig.model_fields)


@pytest.mark.parametrize("name", sections())
def test_examples_of_a_section_are_valid(name):
    given = yaml.safe_load(uncomment(sections()[name]))
    # what examples refer to
    extra = {"profiles": {"nfw": "ackermann2014_nfw"}, "simulations": {"null": None}}
    config = check(NEEDED | extra | given)
    assert name in config.model_fields_set


def test_everything_at_once_is_valid():
    config = check(yaml.safe_load(uncomment(TEMPLATE)))
    assert list(config.rosters) == ["two", "all"]
    assert config.scenarios["null"].n == 300
    assert config.scenarios["bb_100_GeV"].n == 20
    assert config.execution.cluster == "slurm"
    # as if written by hand: the trip through plain values changes nothing
    plain = config.model_dump(mode="json", exclude_unset=True)
    assert AnalysisConfig.from_dict(plain) == config


def models_of(annotation):
    """Sections in a type hint, and in theirs."""
    if hasattr(annotation, "model_fields"):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_of(field.annotation)
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType, dict, list):
        for part in typing.get_args(annotation):
            yield from models_of(part)


@pytest.mark.parametrize("name", AnalysisConfig.model_fields)
def test_every_key_is_there(name):
    text = uncomment(sections()[name])
    for model in models_of(AnalysisConfig.model_fields[name].annotation):
        if (name, model.__name__) == ("rosters", "TargetsConfig"):
            continue  # the keys of targets
        # as "key:", or in prose with its siblings
        missing = [k for k in model.model_fields if not re.search(rf"\b{k}\b *[:,\n]", text)]
        assert missing == [], model


def test_optional_values_that_are_shown_are_the_defaults():
    config = check(yaml.safe_load(uncomment(TEMPLATE)))
    plain = AnalysisConfig.from_dict(NEEDED | {"simulations": {"null": {}}})
    shown, default = config.simulations["defaults"], plain.scenarios["null"]
    for name in shown.model_fields_set - {"expectations"}:
        assert getattr(shown, name) == getattr(default, name), name
    assert config.bands == plain.expected_bands
    assert config.blank_fields.separation == "1 deg"
    assert config.blank_fields.offset_min == "1 deg"


def test_documented_names_are_known():
    from dmgammapy.targets import Targets

    assert "ackermann2015_dsphs" in Targets.rosters()
    names = ["segue_1:ackermann2014_nfw", "draco:ackermann2014_nfw", "draco:pace2018_nfw"]
    assert len(Targets.from_names(names)) == 3
