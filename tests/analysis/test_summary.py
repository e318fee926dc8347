"""The summary: which limits it shows, and what it says of them."""

import numpy as np
import pytest
from astropy.table import Table

from dmgammapy.analysis._summary import write_summary

from .figure_helpers import MEAN, SIGMA, Z95, stack_of

LIMIT = MEAN + Z95 * SIGMA


class Outputs:
    def __init__(self, **castros):
        self.castros = castros

    def castro(self, name):
        return self.castros.get(name.partition("/")[0])


@pytest.fixture
def summary():
    targets = Table(
        {
            "label": ["draco"], "used": [True], "instruments": ["lat"], "log10_jfactor": [18.8],
            "log10_jfactor_err": ["0.20"], "ts_max": [4.0], "files": ["draco.fits"],
        }
    )  # fmt: skip
    params = {
        "rosters": {"all": ["draco"]}, "jfactors": ["profile"], "process": "annihilation",
        "spectra": "pppc4", "channels": ["b", "tau"], "masses": [10, 100, 1000],
        "config_name": None, "unused_files": {}, "members": [], "info": {}, "notes": ["a plan."],
        "failures": [], "plots": False, "report": False,
    }  # fmt: skip

    def function(notes=(), **castros):
        return write_summary(params, Outputs(**castros), targets, notes)

    return function


def rows(text):
    lines = [line.split() for line in text.splitlines() if " GeV" in line and "e-" in line]
    return np.array([[float(word) for word in line[2:4]] for line in lines])


def test_limits_are_those_of_the_main_method(summary):
    main = stack_of(["draco"])
    main["norm_ul"].data *= 2
    main.meta.notes = ["upper limits by the method 'cls'."]
    text = summary(stacks=stack_of(["draco"]), limits=main)
    assert "Combined 95 % upper limits on <sigma v> [cm3 s-1], by CLs\n" in text
    np.testing.assert_allclose(rows(text)[:, 0], 2 * LIMIT, rtol=1e-3)
    text = summary(stacks=stack_of(["draco"]))
    assert "Combined 95 % upper limits on <sigma v> [cm3 s-1]\n" in text
    np.testing.assert_allclose(rows(text)[:, 0], LIMIT, rtol=1e-3)
    assert "no result" in summary()


def test_notes_of_results_are_shown_once(summary):
    given = ["bins were filled.", "bins were filled.", "no negative norms: CLs is approximate."]
    text = summary(given, stacks=stack_of(["draco"]))
    assert "Notes\n  a plan.\n  bins were filled.\n" in text
    assert "approximate" not in text
    main = stack_of(["draco"])
    main.meta.notes = ["upper limits by the method 'cls'."]
    assert "approximate" not in summary(given, limits=main)
