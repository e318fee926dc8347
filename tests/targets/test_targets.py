"""`Targets`: indexing, selecting, merging."""

import copy
import logging
import pickle

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given
from hypothesis import strategies as st

from dmgammapy.targets import Target, Targets, UnknownNameError


@pytest.fixture
def targets():
    return Targets(
        [
            Target("draco", SkyCoord(260, 58, unit="deg"), 18.8, 0.2, distance=76 * u.kpc),
            Target("leo_I", SkyCoord(152, 12, unit="deg"), 17.5, distance=254 * u.kpc),
            Target("leo_II", SkyCoord(168, 22, unit="deg"), 17.6, (0.1, 0.2), version="v2"),
            Target("void", distance=10 * u.Mpc),
        ]
    )


def test_list_like(targets):
    assert len(targets) == 4
    assert [target.name for target in targets] == targets.names
    assert targets.names == ["draco", "leo_I", "leo_II", "void"]
    assert targets[0].name == targets[-4].name == "draco"
    assert targets[np.int64(1)].name == "leo_I"
    assert targets["leo_I"] is targets[1]
    assert targets["leo_II:v2"] is targets[2]
    assert targets[1:3].names == ["leo_I", "leo_II"]
    assert targets[["void", "draco"]].names == ["void", "draco"]
    assert targets[[3, 0]].names == ["void", "draco"]
    assert targets[np.array([True, False, False, True])].names == ["draco", "void"]
    assert "draco" in targets
    assert "leo_II:v2" in targets
    assert targets[0] in targets
    assert "carina" not in targets
    assert Target("draco") not in targets


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        ("dracco", KeyError, "no target 'dracco'; there are draco, "),
        ("leo_II:v1", KeyError, "no target 'leo_II:v1'"),
        (4, IndexError, "out of range for 4"),
        (["draco", "carina"], KeyError, "no target 'carina'"),
        (np.array([True]), ValueError, "mask needs the shape"),
    ],
)
def test_wrong_keys(targets, key, error, message):
    with pytest.raises(error, match=message):
        targets[key]


def test_names_must_be_unique():
    with pytest.raises(ValueError, match="target draco is there twice, as items 0 and 2"):
        Targets([Target("draco"), Target("carina"), Target("draco")])
    with pytest.raises(ValueError, match="item 1 of Targets must be a Target"):
        Targets([Target("draco"), "carina"])


def test_versions_of_a_target():
    targets = Targets([Target("draco", version="a"), Target("draco", version="b")])
    assert targets["draco:b"].version == "b"
    with pytest.raises(UnknownNameError, match="several versions; name one of draco:a, draco:b"):
        targets["draco"]
    assert targets.select(version="b").names == ["draco"]


def test_copies_are_equal(targets):
    for other in (targets.copy(), copy.deepcopy(targets), pickle.loads(pickle.dumps(targets))):
        assert other == targets
    assert targets[::-1] != targets
    assert targets != list(targets)


def test_adding(targets):
    joined = targets[:2] + targets[2:]
    assert joined == targets
    assert (targets + Target("carina")).names[-1] == "carina"
    with pytest.raises(ValueError, match="draco is there twice"):
        targets + targets
    with pytest.raises(TypeError):
        targets + "carina"


def test_merging_keeps_each_name_once(targets):
    new = Targets([Target("draco", log10_jfactor=19.0), Target("carina")])
    assert targets.merge(targets) == targets
    with pytest.raises(ValueError, match="draco is in both"):
        targets.merge(new)
    assert targets.merge(new, keep="first")["draco"].log10_jfactor == 18.8
    last = targets.merge(new, keep="last")
    assert last["draco"].log10_jfactor == 19.0
    assert last.names == ["draco", "leo_I", "leo_II", "void", "carina"]
    with pytest.raises(ValueError, match="keep must be"):
        targets.merge(new, keep="both")


@pytest.mark.parametrize(
    ("conditions", "names"),
    [
        ({}, ["draco", "leo_I", "leo_II", "void"]),
        ({"names": "leo_*"}, ["leo_I", "leo_II"]),
        ({"names": ["void", "draco"]}, ["draco", "void"]),
        ({"names": ["leo_?", "leo_II:v2"]}, ["leo_I", "leo_II"]),
        ({"version": "v*"}, ["leo_II"]),
        ({"has_jfactor": True}, ["draco", "leo_I", "leo_II"]),
        ({"has_jfactor": False}, ["void"]),
        ({"has_jfactor": True, "process": "decay"}, []),
        ({"has_jfactor_err": True}, ["draco", "leo_II"]),
        ({"has_jfactor_err": False}, ["leo_I", "void"]),
        ({"min_log10_jfactor": 17.6}, ["draco", "leo_II"]),
        ({"max_distance": "254 kpc"}, ["draco", "leo_I"]),
        ({"max_distance": 1 * u.Mpc, "min_log10_jfactor": 18}, ["draco"]),
        # Leo I and II are 18.1 degrees apart
        ({"center": SkyCoord(152, 12, unit="deg"), "radius": "18 deg"}, ["leo_I"]),
        ({"center": SkyCoord(152, 12, unit="deg"), "radius": 18.3 * u.deg}, ["leo_I", "leo_II"]),
    ],
)
def test_select(targets, conditions, names):
    assert targets.select(**conditions).names == names


def test_targets_left_out_for_unknown_values_are_named(targets, caplog):
    with caplog.at_level(logging.INFO, logger="dmgammapy"):
        targets.select(min_log10_jfactor=10, max_distance="1 Gpc")
    assert "log10_jfactor is unknown: void" in caplog.text
    assert "distance is unknown: leo_II:v2" in caplog.text


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"names": "dracco"}, "no target 'dracco'; there are draco"),
        ({"names": ["draco", "x*"]}, r"no target 'x\*'"),
        ({"max_distance": 100}, "max_distance must be a quantity in kpc"),
        ({"radius": "1 deg"}, "center and radius belong together"),
        ({"center": "draco", "radius": "1 deg"}, "center must be a single SkyCoord"),
        ({"center": SkyCoord(1, 2, unit="deg"), "radius": 3}, "radius must be an angle"),
        ({"process": "capture"}, "process must be one of"),
    ],
)
def test_select_errors(targets, conditions, message):
    with pytest.raises(ValueError, match=message):
        targets.select(**conditions)


def test_missing(targets):
    assert targets.missing() == {
        "leo_I": ("log10_jfactor_err",),
        "void": ("position", "log10_jfactor", "log10_jfactor_err"),
    }
    assert len(targets.missing("decay")) == 4


def test_texts(targets):
    assert repr(targets) == "Targets(4: draco, leo_I, leo_II, void)"
    text = str(targets)
    assert "log10 J 17.6 - 0.1 + 0.2" in text
    assert "log10 J 17.5, no width" in text
    assert "no J" in text
    assert str(Targets()) == "Targets: 0"


NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True)


@given(first=NAMES, second=NAMES)
def test_merging_is_a_union(first, second):
    merged = Targets(map(Target, first)).merge(Targets(map(Target, second)))
    assert set(merged.names) == set(first) | set(second)
    assert merged.names[: len(first)] == first
