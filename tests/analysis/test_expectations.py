"""What the pipeline says about simulations: guesses, fits, the null, controls of a signal."""

import re

import numpy as np
import pytest
from astropy.table import QTable
from gammapy.datasets import Datasets
from gammapy.maps import LabelMapAxis, MapAxis, RegionGeom, RegionNDMap
from numpy.testing import assert_allclose

from dmgammapy.analysis._expectations import background_counts
from dmgammapy.analysis._report_controls import controls
from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import CastroMaps, LimitStatus, SignificanceEstimator
from dmgammapy.estimators.metadata import CastroMetaData
from dmgammapy.targets import Targets

from .test_counts import COUNTS, counts_map

DRACO, SEGUE = Targets.from_names(["draco:ackermann2014_nfw", "segue_1:ackermann2014_nfw"])
SIGNAL = {"sigmav": "1e-25 cm3 s-1", "mass": "500 GeV", "channel": "b"}


def scenario(**more):
    return {"expectations": "truth.ecsv"} | more


# ---- what is said about what was simulated -----------------------------------------------------


def test_guessed_backgrounds_are_told(project, analyse):
    """Bins with less than five counts: those of the scans' truth, in every place that shows it."""
    section = {"n": 3, "undetermined": "power_law", "least_counts": 5}
    analysis = analyse(simulations={"null": section}, report=True)
    (note,) = [n for n in analysis.results["bands"].meta.notes if "power law" in n]
    for target in (DRACO, SEGUE):
        # where nothing was counted a scan is a straight line in the norm
        dataset = SEDLikelihoodDataset.read(project / f"sed_{target.name}.fits")
        slope = np.diff(dataset.stat_scan, axis=1) / np.diff(dataset.norm_scan, axis=1)
        empty = np.isclose(slope, slope[:, :1], rtol=1e-3).all(axis=1)
        (n,) = re.findall(rf"{target.name} (\d+) of 24", note)
        assert empty.sum() > 0
        assert empty.sum() <= int(n) < 24
    for name in ("summary.txt", "report.html"):
        assert "undetermined: power_law" in (analysis.output / name).read_text()
    known = analyse("known", simulations={"null": scenario(n=3)})
    assert not [n for n in known.results["bands"].meta.notes if "power law" in n]


def test_few_counts_are_told(project, analyse):
    """At 10 GeV thousands of photons lie under the signal, at 1 TeV less than ten."""
    analysis = analyse(
        masses=["10 GeV", "1 TeV"], bands="asimov", simulations={"defaults": scenario()}
    )
    (note,) = [n for n in analysis.results["bands"].meta.notes if "background counts" in n]
    assert "(b at 1000 GeV, down to" in note
    assert note in analysis.summary


def test_background_counts():
    """Two bins by hand: equal signal to background in one, and none in the other."""

    class Member:
        def __init__(self, signal, background):
            self.profiles = self
            self.signal, self.background = np.array(signal), np.array(background)

    one = Member([[1.0, 2.0], [3.0, 0.0]], [4.0, 8.0])
    # the same density of signal: all background counts; one bin: its own
    assert_allclose(background_counts([one]), [12.0, 4.0])
    assert_allclose(background_counts([one, one]), [24.0, 8.0])


# ---- simulations by other names ----------------------------------------------------------------


def test_the_null_may_have_another_name(project, analyse):
    analysis = analyse(
        simulations={"noise": scenario(n=20), "signal": scenario(n=2, injected=SIGNAL)},
        bands={"simulation": "noise"}, plots={"kinds": ["ts", "best_fits"]},
    )  # fmt: skip
    assert analysis.pipeline.null_scenario == "noise"
    wanted = SignificanceEstimator().run(analysis.combined, analysis.results["simulation", "noise"])
    assert_allclose(analysis.results["significance"]["p_channels"], wanted["p_channels"])
    for kind in ("ts", "best_fits"):
        parents = analysis.pipeline.tasks[f"plot/{kind}/profile_b"].parents
        assert "collect/noise/all/profile" in parents


def test_significance_needs_simulations(make):
    plan = make(simulations={"null": scenario(n=19)}).pipeline
    assert not [id for id in plan.tasks if id.startswith("significance")]
    (note,) = [note for note in plan.notes if "significance" in note]
    assert "20 simulations, null has 19" in note
    assert make(simulations={"signal": scenario(injected=SIGNAL)}).pipeline.null_scenario is None


def test_seed_of_the_null_does_not_matter_to_asimov_data(make):
    """Nothing is drawn, so nothing is computed again."""
    given = {"bands": "asimov", "limits": {"methods": ["cls"]}}
    tasks = [
        make(simulations={"null": scenario(n=2, seed=seed, redraw_jfactor=redraw)}, **given)
        .pipeline.tasks["bands/asimov/all/profile"]
        for seed, redraw in ((0, False), (5, True))
    ]  # fmt: skip
    assert tasks[0] == tasks[1]


FITTED = r"fitted to the data of all energies without .*norm = ([\d.]+)\)"


# ---- backgrounds of counts ---------------------------------------------------------------------


@pytest.mark.parametrize("free", ["free", "fixed"])
def test_expected_counts_do_not_depend_on_where_norms_start(project, make, free):
    """The same counts with models that say a quarter, and four times, of what is there.

    Of a field without a source, whose background is a map times a norm, the norm that fits best
    is the ratio of all counts to all of the map.
    """
    (project / "counts").mkdir()
    found, norms = {}, []
    for said in (1.0, 0.25, 4.0):
        dataset = counts_map()
        dataset.models[0].parameters["norm"].value = said
        Datasets([dataset]).write(
            project / "counts/draco.yaml", filename_models=project / "counts/models.yaml",
            overwrite=True,
        )  # fmt: skip
        best = dataset.counts.data.sum() / dataset.background.data.sum()
        analysis = make(
            f"results{said}", **COUNTS, background=free, simulations={"null": {"n": 3, "seed": 1}},
            limits={"methods": ["cls"]}, bands={"quantiles": [0.1, 0.5, 0.9]},
        )  # fmt: skip
        analysis.run(steps=["limits", "bands"])
        bands = analysis.results["bands"]
        combined = QTable.read(analysis.output / "limits/all/profile.ecsv")
        combined = combined[combined["target"] == "combined"]
        expected = analysis.results["asimov"].sigmav_ul.data
        found[said] = bands.sigmav_ul.data, combined["sigmav_ul"].value, expected
        norms += [
            (float(text), best)
            for note in bands.meta.notes
            for text in re.findall(
                r"fitted to the data of all energies without .*norm = ([\d.]+)\)", note
            )
        ]
    if free == "fixed":  # what the models say is taken at its word
        assert not norms
        assert (found[0.25][2] < 0.8 * found[1.0][2]).all()
        return
    assert len(norms) == 3
    for value, best in norms:
        assert value == pytest.approx(best, rel=1e-3)
    for said in (0.25, 4.0):
        for one, two in zip(found[said], found[1.0], strict=True):
            assert_allclose(one, two, rtol=1e-4)


# ---- controls ----------------------------------------------------------------------------------


def ensemble_of(limits, status=0):
    """Realisations of one mass and channel with these limits, in 1e-26 cm3 s-1."""
    limits = np.asarray(limits, dtype=float)
    n = len(limits)
    axes = [
        MapAxis.from_nodes([100.0], name="mass", unit="GeV", interp="log"),
        LabelMapAxis(["b"], name="channel"),
        MapAxis.from_nodes(np.arange(n), name="realisation", interp="lin"),
    ]
    geom = RegionGeom(None, axes=axes)
    shape = geom.data_shape
    values = {
        "reference": np.full(n, 1e-26), "norm": 0.5 * limits, "norm_ul": limits,
        "ts": np.ones(n), "status": np.broadcast_to(status, n),
    }  # fmt: skip
    data = {
        name: RegionNDMap(
            geom, np.asarray(v, dtype=float).reshape(shape),
            unit="cm3 s-1" if name == "reference" else "",
        )
        for name, v in values.items()
    }  # fmt: skip
    return CastroMaps(data, CastroMetaData(process="annihilation", spectra="pppc4", cl=0.95))


def control(ensemble, mass="100 GeV", channel="b", redraw=True, method="profile"):
    """Row of the table of controls of a signal of 3e-26 cm3 s-1."""

    class Outputs:
        def castro(self, name):
            return ensemble

    signal = {"sigmav": "3e-26 cm3 s-1", "tau": None, "mass": mass, "channel": channel}
    section = {"injected": signal, "redraw_jfactor": redraw, "profile": None}
    params = {
        "scenarios": {"signal": section}, "process": "annihilation", "extra_widths": False,
        "rosters": {"all": ["draco"]},
        "members": [[{"label": "draco", "target": {"log10_jfactor_err": 0.2}}]],
    }  # fmt: skip
    (row,) = controls(params, Outputs(), [("all", method)])
    return row


def test_limits_beyond_the_grid_are_above_the_truth():
    """Five found, of which three are above 3; two beyond the grid, one excluded, two unknown."""
    edge, none, excluded = (
        LimitStatus.GRID_EDGE, LimitStatus.NO_INFORMATION, LimitStatus.ALL_EXCLUDED,
    )  # fmt: skip
    nan = np.nan
    limits = [1, 2, 4, 5, 6, nan, nan, nan]
    row = control(ensemble_of(limits, [0, 0, 0, 0, 0, edge, edge, excluded]))
    assert row["n"] == 8
    assert row["coverage"] == 5 / 8
    assert row["coverage_err"] == pytest.approx(np.sqrt(0.6111 * 0.3889 / 8), abs=1e-4)
    # ranks: all excluded, 1, 2, 4, 5, 6, beyond, beyond
    assert row["median_ul"].to_value("1e-26 cm3 s-1") == pytest.approx(4.5)
    row = control(ensemble_of([1, 4, 4, 4], [0, 0, 0, 0]))
    assert row["coverage"] == 0.75
    assert control(ensemble_of([4, nan, nan], [0, edge, edge]))["note"] == "median limit: grid edge"
    assert control(ensemble_of([4, 4, nan], [0, 0, none]))["n"] == 2


def test_a_fraction_is_coverage_only_if_j_was_drawn():
    ensemble = ensemble_of([1, 4, 4, 4])
    row = control(ensemble, redraw=False)
    assert "coverage" not in row.colnames
    assert row["limit_above_truth"] == 0.75
    assert not row["redraw_jfactor"]
    assert control(ensemble, redraw=False, method="fixed")["coverage"] == 0.75


@pytest.mark.parametrize(
    ("changed", "note"),
    [
        ({"mass": "200 GeV"}, "injected mass 200 GeV not on the grid: no control"),
        ({"channel": "tau"}, "channel tau not analysed: no control"),
    ],
)
def test_signals_off_the_grid_are_listed(changed, note):
    row = control(ensemble_of([1, 4]), **changed)
    assert row["note"] == note
    assert np.isnan(row["median_ul"])
    assert "coverage" not in row.colnames
