"""The grammar of rosters, and files that hold them."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmgammapy.targets import Target, Targets
from dmgammapy.targets.rosters import expand_roster, split_item


def expand(*items, **rosters):
    entries = expand_roster("r", {"r": list(items), **rosters})
    return [name if version is None else f"{name}:{version}" for name, version in entries]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (["a:v", "a:v"], ["a:v"]),
        (["a", "+a"], ["a"]),
        (["a", "+b"], ["a", "b"]),
        (["a", "++a"], ["a", "a"]),
        (["a", "b", "++a", "-a"], ["b"]),
        (["a", "b", "++a", "--a"], ["a", "b"]),
        (["a", "b", "++a", "--a", "--a"], ["b"]),
        (["a", "-b"], ["a"]),
        # a name without version means the target in any version
        (["a:v", "+a"], ["a:v"]),
        (["a:v", "b:w", "-a"], ["b:w"]),
        (["a:v", "++a:w", "--a"], ["a:v"]),
        ([" + a : v "], ["a:v"]),
        # other rosters
        (["s", "-x"], ["y:v"]),
        (["a", "+s", "++s"], ["a", "x:v", "y:v", "x:v", "y:v"]),
        (["a", "s", "++s", "--s"], ["a", "x:v", "y:v"]),
        (["s", "a", "-s"], ["a"]),
        (["t"], ["y:v", "z"]),
    ],
)
def test_grammar(items, expected):
    assert expand(*items, s=["x:v", "y:v"], t=["s", "-x", "z"]) == expected


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["a", "--b"], "item 2: 'b' is to be taken off but not on the list"),
        (["a:v", "-a:w"], "'a:w' is to be taken off, but the list has a:v; write '-a'"),
        (["a:v", "--a:w"], "'a:w' is to be taken off, but the list has a:v"),
        (["*a"], r"item 1: '\*a' begins with a prefix that is not one of"),
        (["+-a"], "begins with a prefix"),
        (["+++a"], "begins with a prefix"),
        (["---a"], "begins with a prefix"),
        (["+"], "begins with a prefix"),
        ([""], "expected a text"),
        ([None], "expected a text"),
        ([3], "expected a text"),
        ([["a"]], "expected a text"),
        ([{"a": "v"}], "expected a text"),
        (["a:"], "expected 'name' or 'name:version'"),
        (["a:b:c"], "expected 'name' or 'name:version'"),
        (["s"], "a roster contains itself: r > s > r"),
        (["t"], "rosters, roster t: expected a list of targets, got 'a'"),
    ],
)
def test_grammar_errors(items, message):
    with pytest.raises(ValueError, match=message):
        expand(*items, s=["a", "+r"], t="a")


def test_errors_name_the_roster_where_they_are():
    with pytest.raises(ValueError, match="mine.yaml, roster inner, item 2: '!b' begins"):
        expand_roster("outer", {"outer": ["inner"], "inner": ["a", "!b"]}, "mine.yaml")


@given(st.lists(st.tuples(st.sampled_from(["", "+", "++", "-"]), st.sampled_from("abc"))))
def test_grammar_against_counting(items):
    # + makes at least one, ++ one more, - none
    counts = Counter()
    for prefix, name in items:
        if prefix == "-":
            counts[name] = 0
        elif prefix == "++" or counts[name] == 0:
            counts[name] += 1
    assert Counter(expand(*(prefix + name for prefix, name in items))) == +counts


def test_split_item():
    assert split_item("++draco:v") == ("++", "draco", "v")
    assert split_item("draco") == ("+", "draco", None)


@pytest.fixture
def write(tmp_path):
    def write(text, name="mine.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_file_of_rosters(write):
    path = write(
        """
        small: ['draco:ackermann2014_nfw', 'segue_1:pace2018_nfw']
        large: [ackermann2015_dsphs, -segue_1, small, -carina]
        """
    )
    small = Targets.read(path, roster="small")
    assert [target.key for target in small] == ["draco:ackermann2014_nfw", "segue_1:pace2018_nfw"]
    assert small["segue_1"].log10_jfactor == 19.14
    large = Targets.read(path, roster="large")
    assert len(large) == 14
    assert large["segue_1"].version == "pace2018_nfw"
    assert "carina" not in large
    with pytest.raises(ValueError, match="several rosters; choose one with roster=, of small, la"):
        Targets.read(path)
    with pytest.raises(ValueError, match="no roster 'small_dwarfs'; there are"):
        Targets.read(path, roster="small_dwarfs")


def test_block_style_and_quotes(write):
    path = write("mine:\n- draco:ackermann2014_nfw\n- ++carina:pace2018_nfw\n- '--carina'\n")
    assert Targets.read(path).names == ["draco"]


def test_own_targets_come_first(write):
    own = Targets([Target("draco", log10_jfactor=18.0), Target("mine", log10_jfactor=17.0)])
    targets = Targets.read(write("r: [draco, mine, 'carina:pace2018_nfw']"), library=own)
    assert targets["draco"].log10_jfactor == 18.0
    assert targets.names == ["draco", "mine", "carina"]


def test_own_target_in_several_versions(write):
    own = Targets([Target("mine", version="a"), Target("mine", version="b")])
    assert Targets.read(write("r: ['mine:b']"), library=own)[0].version == "b"
    with pytest.raises(ValueError, match="target 'mine' has several versions"):
        Targets.read(write("r: [mine]"), library=own)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "mine.yaml: the file is empty"),
        ("# nothing\n", "mine.yaml: the file is empty"),
        ("{}", "mine.yaml: the file is empty"),
        ("[draco, carina]", "mine.yaml, line 1: expected 'name: ...'"),
        ("draco", "mine.yaml, line 1: expected 'name: ...'"),
        ("r: []", "mine.yaml, roster r: no target is on the list"),
        ("r: [draco, -draco]", "roster r: no target is on the list"),
        ("r: draco", "mine.yaml, r: expected versions of a target or the items of a roster"),
        ("r: ['draco:v1'", "mine.yaml, line 1: not valid YAML, perhaps cut off"),
        ("r: [a]\nr: [b]", "mine.yaml, line 2: r stands on line 1 already"),
        ("r: [drako]", "mine.yaml, roster r: no target 'drako'; known are draco"),
        ("r: ['draco:pace2018']", "target 'draco' has no version 'pace2018'; it has pace2018_nfw"),
        ("r: [s]\ns: [r]", "mine.yaml: a roster contains itself: r > s > r"),
        ("r: [r]\ns: [r]", "a roster contains itself: r > r"),
        ("r: ['*draco']\ns: [draco]", r"roster r, item 1: '\*draco' begins with a prefix"),
        ("r: [12]\ns: [draco]", "roster r, item 1: expected a text"),
        (
            "r: ['draco:pace2018_nfw', 'draco:ackermann2014_nfw']",
            "roster r: draco is on the list in two versions, pace2018_nfw and ackermann2014_nfw",
        ),
        ("r: [draco]\nt: {v: {j_integ: 1}}", "targets and rosters are mixed"),
    ],
)
def test_damaged_files(write, text, message):
    path = write(text)
    roster = "r" if "\ns:" in text else None
    with pytest.raises(ValueError, match=message) as error:
        Targets.read(path, roster=roster)
    assert str(path) in str(error.value)


def test_dmpipe_example(test_data):
    folder = test_data / "fermipy" / "dSphs"
    targets = Targets.read(folder / "roster_list.yaml")
    assert targets.names == ["segue_1", "draco"]
    # short for ackermann2016_photoj_0.6_nfw: 2.399e19 and 2.188e18 with 0.6 dex
    assert targets["segue_1"].log10_jfactor == 19.38
    assert targets["draco"].log10_jfactor == 18.34
    assert targets["draco"].log10_jfactor_err == 0.6
    assert Targets.read(folder / "target_list.yaml")["segue_1"] == targets["segue_1"]


def test_dmsky_roster_file(test_data):
    path = test_data / "fermipy/dmpipe_example/dmsky_data/rosters/roster.yaml"
    assert Targets.read(path).names == ["segue_1", "draco"]


def test_aliases_of_dmpipe(write):
    path = write("r: ['draco:nfw14_map', 'carina:ackermann2014_nfw_point']")
    targets = Targets.read(path, aliases={"nfw14": "ackermann2014_nfw"})
    assert {target.version for target in targets} == {"ackermann2014_nfw"}
    with pytest.raises(ValueError, match="no version 'nfw14_map'"):
        Targets.read(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("draco: [ack2016_point, v1]", "mine.yaml, draco: target 'draco' has no version 'v1'"),
        ("draco: []", "mine.yaml, draco: expected a list of versions"),
        ("drako: [ack2016]", "mine.yaml, drako: no target 'drako'"),
        ("draco: [3]", "mine.yaml, draco: expected the name of a version"),
        ("draco: [ack2016, ack2016]", "mine.yaml: target draco:.* is there twice"),
    ],
)
def test_damaged_target_lists(write, text, message):
    with pytest.raises(ValueError, match=message):
        Targets.read(write(text), format="dmpipe")
