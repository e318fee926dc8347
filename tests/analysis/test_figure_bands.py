"""Which bands figures draw, of which method, and what they say of it."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from dmgammapy.analysis import figures
from dmgammapy.estimators import LimitStatus

from .figure_helpers import (
    MEAN,
    SIGMA,
    Z95,
    area,
    drawn,
    ensemble,
    gaussian,
    labels,
    stack_of,
)

CS = u.Unit("cm3 s-1")
LIMIT = MEAN + Z95 * SIGMA
NAMES = ["draco", "segue_1"]
PROCESSES = ("annihilation", "decay")


def by_method(castro, method):
    """A result whose notes say that its limits are by a method."""
    castro.meta.notes = [*castro.meta.notes, f"upper limits by the method '{method}'."]
    return castro


def title_of(figure):
    return figure.axes[0].get_title().replace("\n", " ")


# ---- methods ---------------------------------------------------------------------------------


def test_limits_of_different_methods_are_not_drawn_together():
    profile, cls = stack_of(NAMES), by_method(stack_of(NAMES), "cls")
    toys = {method: ensemble(method=method)[0] for method in ("profile", "cls")}
    asimov = gaussian(mean=[0, 0, 0]).expected_limits(method="cls")
    calls = {
        "bands: .*'cls' can't be drawn along with limits by the method 'profile'": [
            lambda: figures.limits(profile, "b", bands=toys["cls"]),
            lambda: figures.limits(profile, "b", bands=asimov),
            lambda: figures.target_limits(gaussian(), "b", bands=toys["cls"].quantiles()),
            lambda: figures.final_limits(profile, "b", bands=toys["cls"]),
            lambda: figures.simulated_limits(profile, "b", bands=toys["cls"]),
        ],
        "bands: .*'profile' can't": [lambda: figures.limits(cls, "b", bands=toys["profile"])],
        "blank fields: .*'profile' can't": [
            lambda: figures.final_limits(cls, "b", toys["cls"], toys["profile"])
        ],
        "draco: .*'profile' can't": [
            lambda: figures.limits(cls, "b", {"draco": gaussian(), "segue_1": gaussian()})
        ],
        "fixed: .*'cls' can't": [
            lambda: figures.jfactor_treatments({"profile": profile, "fixed": cls}, "b")
        ],
    }
    for message, functions in calls.items():
        for function in functions:
            with pytest.raises(ValueError, match=message):
                function()
    # best fits have no method
    assert "Observed" in labels(figures.limits(cls, "b", bands=asimov))
    figures.best_fits(profile, "b", toys["cls"])


def test_titles_name_the_method_unless_it_goes_without_saying():
    cls = by_method(stack_of(NAMES), "cls")
    words = r", $b\bar{b}$, J profiled, 95 % CL"
    assert title_of(figures.limits(cls, "b")) == f"2 targets{words}, CLs limits"
    assert title_of(figures.limits(stack_of(NAMES), "b")) == f"2 targets{words}"
    stack = stack_of(NAMES)
    for main, end in ((None, ""), ("profile", ""), ("cls", ", profile likelihood limits")):
        wanted = f"2 targets{words}{end}"
        assert title_of(figures.castro_map(stack, "b", main_method=main)).startswith(wanted)
        curves = title_of(figures.likelihood_curves(stack, "b", main_method=main))
        assert curves == wanted.replace(", 95 % CL", "") + ", 100 GeV, TS = 4.0"
        target = figures.target_limits(gaussian(), "b", main_method=main)
        assert title_of(target).endswith(f"95 % CL{end}")


# ---- quantiles -------------------------------------------------------------------------------


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize(
    ("q", "names"),
    [
        ([0.0228, 0.1587, 0.5, 0.8413, 0.9772], {"95.4": (0, 4), "68.3": (1, 3)}),
        ([0.1, 0.5, 0.9], {"80": (0, 2)}),
        (
            [0.00135, 0.025, 0.25, 0.75, 0.975, 0.99865],
            {"99.7": (0, 5), "95": (1, 4), "50": (2, 3)},
        ),
        ([0.16, 0.5, 0.975], {}),
    ],
)
def test_all_central_bands_are_drawn_as_what_they_are(q, names, process):
    simulated, arrays = ensemble(process, n=4000)
    figure = figures.limits(stack_of(NAMES, process=process), "b", bands=simulated.quantiles(q))
    assert [n for n in labels(figure) if "expected" in n] == [f"{n} % expected" for n in names]
    assert ("Expected, median" in labels(figure)) == (0.5 in q)
    found = np.quantile(arrays["norm_ul"][:, 0], q, axis=0, method="hazen")
    found = found if process == "annihilation" else 1 / found
    for name, (low, high) in names.items():
        edges = np.sort([found[low], found[high]], axis=0)
        np.testing.assert_allclose(area(figure, f"{name} % expected"), edges, rtol=1e-6)
    best = figures.best_fits(stack_of(NAMES, process=process), "b", simulated.quantiles(q))
    assert {f"{name} % expected" for name in names} <= set(labels(best))
    control = figures.control_limits(simulated.quantiles(q), "b")
    assert {f"{name} % of simulations" for name in names} <= set(labels(control))


def test_few_simulations_are_counted_in_the_legend():
    for n, end in ((20, " (20 simulations)"), (99, " (99 simulations)"), (100, "")):
        figure = figures.limits(stack_of(NAMES), "b", bands=ensemble(n=n)[0])
        assert f"95 % expected{end}" in labels(figure)
        figure = figures.best_fits(stack_of(NAMES), "b", ensemble(n=n)[0].quantiles())
        assert f"68 % expected{end}" in labels(figure)
    wide = ensemble(n=200)[0].quantiles([0.00135, 0.99865])  # one of them would lie outside
    figure = figures.limits(stack_of(NAMES), "b", bands=wide)
    assert "99.7 % expected (200 simulations)" in labels(figure)
    asimov = gaussian(mean=[0, 0, 0]).expected_limits()
    assert "95 % expected" in labels(figures.limits(stack_of(NAMES), "b", bands=asimov))


@pytest.mark.parametrize("process", PROCESSES)
def test_bands_without_an_end_are_open(process):
    """Of 41: two beyond the scan at 10 GeV, two that exclude everything at 100 GeV."""
    simulated, arrays = ensemble(process)
    arrays["norm_ul"] = arrays["norm_ul"].copy()
    for mass, status in ((0, LimitStatus.GRID_EDGE), (1, LimitStatus.ALL_EXCLUDED)):
        weakest = np.argsort(arrays["norm_ul"][:, 0, mass])
        rows = weakest[-2:] if status == LimitStatus.GRID_EDGE else weakest[:2]
        simulated["norm_ul"].data[rows, 0, mass] = np.nan
        simulated["status"].data[rows, 0, mass] = status
    figure = figures.limits(stack_of(NAMES, process=process), "b", bands=simulated)
    outer = area(figure, "95 % expected (41 simulations)")
    inner = area(figure, "68 % expected (41 simulations)")
    q = np.quantile(arrays["norm_ul"][:, 0], [0.025, 0.16, 0.84, 0.975], axis=0, method="hazen")
    low, high = figure.axes[0].get_ylim()
    if process == "annihilation":
        np.testing.assert_allclose(inner, q[1:3], rtol=1e-6)
        np.testing.assert_allclose(outer[[0, 1], [0, 1]], [q[0, 0], q[3, 1]], rtol=1e-6)
        assert outer[1, 0] > high
        assert outer[0, 1] < low
    else:
        np.testing.assert_allclose(inner, 1 / q[2:0:-1], rtol=1e-6)
        np.testing.assert_allclose(outer[[1, 0], [0, 1]], [1 / q[0, 0], 1 / q[3, 1]], rtol=1e-6)
        assert outer[0, 0] < low
        assert outer[1, 1] > high
    known = q if process == "annihilation" else 1 / q
    assert low > known.min() / 10  # open ends do not squeeze the rest
    assert high < known.max() * 10


def test_half_of_a_band_open_does_not_hide_the_other():
    """Upper ends beyond the scan at all masses: the view still holds the lower ones."""
    simulated, arrays = ensemble()
    arrays["norm_ul"] = arrays["norm_ul"].copy()
    order = np.argsort(arrays["norm_ul"][:, 0], axis=0)
    for mass in range(3):
        simulated["norm_ul"].data[order[-25:, mass], 0, mass] = np.nan
        simulated["status"].data[order[-25:, mass], 0, mass] = LimitStatus.GRID_EDGE
    figure = figures.control_limits(simulated, "b")
    low = np.quantile(arrays["norm_ul"][:, 0], 0.025, axis=0, method="hazen")
    np.testing.assert_allclose(area(figure, "95 % of simulations")[0], low, rtol=1e-6)
    bottom, top = figure.axes[0].get_ylim()
    assert bottom < low.min() < low.max() < top < 1e-22
    assert "Simulations, median" not in labels(figure)


# ---- published limits and facts --------------------------------------------------------------


def published(confidence=0.9):
    table = QTable({"mass": [20, 500] * u.GeV, "sigmav": [3e-26, 4e-26] * CS})
    table.meta.update(instrument="lat", year=2015, confidence=confidence)
    return table


def test_published_limits_tell_their_level():
    figure = figures.limits(stack_of(NAMES), "b", published=[published(), published(None)])
    np.testing.assert_allclose(drawn(figure, "lat 2015, 90 % CL").get_ydata(), [3e-26, 4e-26])
    assert "lat 2015" in labels(figure)


def test_facts_are_what_is_drawn():
    simulated, _ = ensemble(n=20, method="cls")
    cls = by_method(stack_of(NAMES), "cls")
    arguments = {
        "castro": cls, "channel": "b", "bands": simulated.quantiles([0.1, 0.5, 0.9]),
        "blank": simulated, "published": [published(), published("?")],
    }  # fmt: skip
    figures.final_limits(**arguments)
    facts = figures.figure_facts("final_limits", arguments)
    # ranks 2.5 and 18.5 of 20 have 2.5 / 21 and 18.5 / 21 below them
    holds = 16 / 21
    assert facts["bands"] == {
        "median": True, "contents": [0.8], "n": 20, "holds": [pytest.approx(holds)],
        "source": "simulations",
    }  # fmt: skip
    assert facts["blank"]["contents"] == [0.68, 0.95]
    assert (facts["method"], facts["cl"]) == ("cls", 0.95)
    levels = [("lat 2015, 90 % CL", 0.9), ("lat 2015", None)]
    assert [(curve["label"], curve["cl"]) for curve in facts["published"]] == levels


def test_facts_without_bands():
    stack = stack_of(NAMES)
    targets = {name: gaussian(target=name) for name in NAMES}
    facts = figures.figure_facts("limits", {"castro": stack, "channel": "b", "targets": targets})
    assert facts == {"method": "profile", "cl": 0.95, "n_targets": 2}
    odd = ensemble()[0].quantiles([0.1, 0.4])
    assert "bands" not in figures.figure_facts("limits", {"castro": stack, "bands": odd,
                                                          "channel": "b"})  # fmt: skip
    asimov = gaussian(mean=[0, 0, 0]).expected_limits()
    facts = figures.figure_facts("limits", {"castro": stack, "channel": "b", "bands": asimov})
    assert (facts["bands"]["source"], facts["bands"]["n"]) == ("asimov", None)
    assert facts["bands"]["contents"] == [0.68, 0.95]
    # Asimov bands of best fits, and none at all
    facts = figures.figure_facts("best_fits", {"castro": stack, "channel": "b"})
    assert facts == {}
    castros = {"profile": stack, "marginal": stack}
    facts = figures.figure_facts("jfactor_treatments", {"castros": castros, "channel": "b"})
    assert facts["treatments"] == ["profile", "marginal"]
    truth = (100 * u.GeV, 1e-26 * CS, "bb")
    given = {"bands": ensemble()[0], "channel": "tau", "truth": truth}
    assert figures.figure_facts("control_limits", given)["injected"] == "b"
