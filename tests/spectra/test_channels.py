"""Names of channels and mixtures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmgammapy.spectra import (
    CHANNELS,
    canonical_channel,
    channel_label,
    channel_latex,
    parse_channel,
)

# names of the 12 channels in fermipy's DMFitFunction, with their long forms
FERMIPY = {
    "e": ["ee", "e+e-"],
    "mu": ["mumu", "mu+mu-"],
    "tau": ["tautau", "tau+tau-"],
    "b": ["bb", "bb-bar", "bbbar"],
    "t": ["tt", "tt-bar"],
    "g": ["gg", "gluons"],
    "W": ["ww", "W+W-", "w+w-"],
    "Z": ["zz", "ZZ"],
    "c": ["cc", "cc-bar"],
    "u": ["uu", "uu-bar"],
    "d": ["dd", "dd-bar"],
    "s": ["ss", "ss-bar"],
}


@pytest.mark.parametrize(("name", "alias"), [(k, a) for k, v in FERMIPY.items() for a in v])
def test_names_of_dmfit(name, alias):
    assert canonical_channel(alias) == name


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("b+b-", "b"),
        ("b b", "b"),
        ("bbarb", "b"),
        ("gammagamma", "gamma"),
        ("gamma", "gamma"),
        ("g", "g"),
        ("W", "W"),
        ("w", "W"),
        ("H", "h"),
        ("nue", "nu_e"),
        ("nu_taunu_tau", "nu_tau"),
        ("e_L", "eL"),
        ("W_T", "WT"),
        ("V->mu", "V->mu"),
        ("Z gamma", "aZ"),
    ],
)
def test_other_spellings(alias, name):
    assert canonical_channel(alias) == name


def test_names_are_gammapys():
    from gammapy.astro.darkmatter import PrimaryFlux

    assert set(CHANNELS) - set(PrimaryFlux.channel_registry) == {"box"}
    assert set(PrimaryFlux.channel_registry) <= set(CHANNELS)


@pytest.mark.parametrize("name", ["", "x", "bbb", "btau", "gaga", None, 5, "0.7 b"])
def test_unknown_names_list_the_known(name):
    with pytest.raises(ValueError, match="known are e, eL.*nu_tau"):
        canonical_channel(name)


@given(st.sampled_from(sorted(CHANNELS)))
def test_canonical_names_stay(name):
    assert canonical_channel(name) == name
    assert parse_channel(name) == name
    assert parse_channel({name: 1.0}) == name


@given(
    st.lists(st.sampled_from(sorted(CHANNELS)), min_size=2, max_size=6, unique=True),
    st.lists(st.floats(0.01, 1), min_size=6, max_size=6),
)
def test_labels_of_mixtures_round_trip(names, weights):
    weights = weights[: len(names)]
    mixture = {n: w / sum(weights) for n, w in zip(names, weights, strict=True)}
    label = channel_label(mixture)
    assert label == channel_label(dict(reversed(mixture.items())))
    assert parse_channel(label) == pytest.approx(parse_channel(mixture), abs=1e-9)
    assert channel_label(label) == label


def test_labels():
    assert channel_label({"tautau": 0.3, "bb": 0.7}) == "0.7 b + 0.3 tau"
    assert channel_label({"tau": 0.5, "b": 0.5}) == "0.5 b + 0.5 tau"
    assert channel_label({"b": 1, "tau": 0}) == "b"
    assert channel_latex("bb") == r"$b\bar{b}$"
    assert channel_latex({"b": 0.7, "W": 0.3}) == r"0.7 $b\bar{b}$ + 0.3 $W^+W^-$"


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        ({"b": 0.7, "tau": 0.2}, "sum to 0.9"),
        ({"b": 0.7, "tau": 0.30001}, "sum to 1.00001"),
        ({"b": 0.5, "bb": 0.5}, "comes twice"),
        ({"b": 1.5, "tau": -0.5}, "-0.5"),
        ({"b": float("nan"), "tau": 1}, "nan"),
        ({"b": "half", "tau": 0.5}, "half"),
        ({"b": 0.5, "foo": 0.5}, "Unknown channel 'foo'"),
        ({}, "sum to 0"),
        (None, "a name or a dict"),
        (["b"], "a name or a dict"),
    ],
)
def test_wrong_mixtures(mixture, message):
    with pytest.raises(ValueError, match=message):
        parse_channel(mixture)


def test_latex_is_readable_by_matplotlib():
    from matplotlib.mathtext import MathTextParser

    parser = MathTextParser("agg")
    for channel in CHANNELS.values():
        parser.parse(channel.latex)
