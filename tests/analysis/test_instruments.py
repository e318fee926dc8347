"""Data of every kind: SED likelihoods, tables of likelihood, counts; several of them together."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar

from dmgammapy.analysis import AnalysisError
from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import (
    CastroEstimator,
    CastroMaps,
    StackedDMLikelihood,
)
from dmgammapy.targets import Target, Targets

MASSES = [50, 500] * u.GeV
DRACO, SEGUE = Targets.from_names(["draco:ackermann2014_nfw", "segue_1:ackermann2014_nfw"])
SCALE = 4e-26
TABLE_J = 19.2  # of the tables made here; Segue 1 has 19.5


def castro_of(path, target, instrument=None):
    dataset = SEDLikelihoodDataset.read(path, instrument=instrument)
    dataset.models = target.to_models("100 GeV", "b")
    return CastroEstimator(MASSES, ["b"]).run(dataset)


def parabola(sigmav):
    """-2 ln L of an imagined telescope at J = 10^19.2, both masses."""
    return (sigmav / SCALE - 0.5) ** 2


@pytest.fixture
def table(project):
    """Glory Duck table of Segue 1."""
    sigmav = np.append(0, np.geomspace(1e-29, 1e-21, 321))
    castro = CastroMaps.from_scan(
        sigmav * u.Unit("cm3 s-1"), np.tile(parabola(sigmav), (1, 2, 1)), MASSES, ["b"],
        target="segue_1", instrument="magic", log10_jfactor=TABLE_J,
    )  # fmt: skip
    (project / "magic").mkdir()
    castro.write(project / "magic/bb_segue_1.txt", format="gloryduck", check_name=False)
    return castro


TWO = {
    "lat": "sed_{target}.fits",
    "magic": {"path": "magic/bb_{target}.txt", "format": "gloryduck", "targets": ["segue_1"]},
}


# ---- tables ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fixed", "profile"])
def test_table_moves_to_the_j_of_the_analysis(project, table, analyse, method):
    """-2 ln L of Segue 1 against a sum by hand in which J is 10^0.3 times that of the table."""
    analysis = analyse(
        targets=["segue_1:ackermann2014_nfw"], datasets={"magic": TWO["magic"]}, jfactor=method
    )
    assert SEGUE.log10_jfactor == 19.51
    shift = SEGUE.log10_jfactor - TABLE_J
    single = analysis.results["castro", "segue_1", "magic"]
    assert single.meta.log10_jfactor == SEGUE.log10_jfactor
    assert_allclose(single.sigmav.data, 0.5 * SCALE / 10**shift, rtol=1e-3)
    stack = analysis.results["stack"]

    def stat(sigmav):
        if method == "fixed":
            return parabola(sigmav * 10**shift)

        def total(y):
            return parabola(sigmav * 10 ** (shift + y)) + (y / SEGUE.log10_jfactor_err) ** 2

        return minimize_scalar(total, bounds=(-2, 2), method="bounded").fun

    scan = stack.sigmav_scan.to_value("cm3 s-1")[0, 0]
    found = stack.delta_stat[0, 0]
    inside = (scan > 1e-27) & (found < 30)
    assert inside.sum() > 30
    expected = np.array([stat(x) for x in scan[inside]])
    assert_allclose(found[inside] - found[inside].min(), expected - expected.min(), atol=3e-3)


def test_table_without_width_moves_too(project, table, analyse):
    """Without a width there is no prior that could carry J; the limit still halves with 2 J."""
    limits = []
    for value in (19.0, 19.0 + np.log10(2)):
        Targets([Target("segue_1", log10_jfactor=value)]).write(
            project / "mine.ecsv", overwrite=True
        )
        analysis = analyse(
            targets="mine.ecsv", datasets={"magic": TWO["magic"]}, jfactor="fixed"
        )  # fmt: skip
        limits.append(analysis.combined.sigmav_ul.data)
        assert_allclose(limits[-1], (0.5 + 1.645) * SCALE * 10 ** (TABLE_J - value), rtol=2e-3)
    assert_allclose(limits[0] / limits[1], 2, rtol=1e-6)


def test_lat_and_a_table_share_j(project, table, analyse):
    analysis = analyse(datasets=TWO)
    assert analysis.files["draco"].keys() == {"lat"}
    lat = [castro_of(project / f"sed_{t.name}.fits", t, "lat") for t in (DRACO, SEGUE)]
    # the same flux at the J of the analysis
    move = 10 ** (TABLE_J - SEGUE.log10_jfactor)
    magic = CastroMaps.from_scan(
        table.sigmav_scan[0, 0] * move, table.delta_stat, MASSES, ["b"],
        target="segue_1", instrument="magic", prior=SEGUE.jfactor_prior(),
        log10_jfactor=SEGUE.log10_jfactor,
    )  # fmt: skip
    by_hand = StackedDMLikelihood([*lat, magic]).run()
    found = analysis.results["stack"]
    assert_allclose(found.sigmav_ul.data, by_hand.sigmav_ul.data, rtol=1e-5)
    alone = StackedDMLikelihood([lat[1], magic]).run()
    assert_allclose(
        analysis.results["target", "segue_1"].sigmav_ul.data, alone.sigmav_ul.data, rtol=1e-5
    )
    # both matter
    only = StackedDMLikelihood(lat).run()
    assert (abs(found.sigmav_ul.data / only.sigmav_ul.data - 1) > 0.01).all()


def test_extra_widths_apply_where_the_instrument_is(project, table, analyse):
    """Draco was not seen by it: its limits stay, and nothing fails."""
    plain = analyse(datasets=TWO)
    wide = analyse("wide", datasets=TWO, jfactor={"extra_widths": {"magic": 0.4}})
    by_hand = StackedDMLikelihood(
        [
            castro_of(project / "sed_draco.fits", DRACO, "lat"),
            castro_of(project / "sed_segue_1.fits", SEGUE, "lat"),
            plain.results["castro", "segue_1", "magic"],
        ],
        extra_widths={"magic": 0.4},
    ).run()
    found = wide.results["stack"]
    assert_allclose(found.sigmav_ul.data, by_hand.sigmav_ul.data, rtol=1e-6)
    assert (abs(found.sigmav_ul.data / plain.combined.sigmav_ul.data - 1) > 1e-3).any()
    draco = [a.results["target", "draco"].sigmav_ul.data for a in (plain, wide)]
    np.testing.assert_array_equal(*draco)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": ["tau"]}, "no channel tau in the table"),
        ({"masses": ["50 GeV", "600 GeV"]}, "no mass 600 GeV in the table"),
        ({"process": "decay"}, "log10_dfactor"),
    ],
)
def test_table_that_does_not_fit(project, table, analyse, changes, message):
    given = {"targets": ["segue_1:ackermann2014_nfw"], "datasets": {"magic": TWO["magic"]}}
    with pytest.raises((AnalysisError, ValueError), match=message):
        analyse(**given, **changes)


def test_table_with_treated_j_is_refused(project, analyse):
    castro = castro_of(project / "sed_draco.fits", DRACO)
    StackedDMLikelihood([castro]).run().write(project / "table_draco.fits")
    given = {"targets": ["draco:ackermann2014_nfw"], "datasets": "table_{target}.fits"}
    with pytest.raises(AnalysisError, match="J has been treated before .profile."):
        analyse(**given)
    castro.write(project / "table_draco.fits", overwrite=True)
    found = analyse(**given, limits={"cl": 0.9})
    wanted = castro.upper_limit_and_status(cl=0.9)[0].data
    assert_allclose(found.results["castro", "draco"].sigmav_ul.data, wanted, rtol=1e-9)


def test_tables_cannot_be_simulated(table, make):
    with pytest.raises(ValueError, match="likelihood tables of segue_1 can't be simulated"):
        make(datasets=TWO, simulations={"null": {"n": 3}}).plan()
