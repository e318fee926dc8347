"""What the figures draw, compared with numbers computed without them."""

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
import pytest
from astropy.table import QTable
from matplotlib.figure import Figure

from dmgammapy.analysis import figures
from dmgammapy.analysis.example import EXAMPLE_FOLDER
from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import LimitStatus
from dmgammapy.spectra import read_spectra
from dmgammapy.visualization import thermal_relic

from .figure_helpers import (
    GRID,
    MASSES,
    MEAN,
    SIGMA,
    Z95,
    area,
    drawn,
    ensemble,
    gaussian,
    labels,
    stack_of,
    text_of,
)

CS = u.Unit("cm3 s-1")
LIMIT = MEAN + Z95 * SIGMA
PROCESSES = ("annihilation", "decay")
KINDS = (
    "spectra sed region_map region_spectrum region_significance castro target_limits "
    "stack_castro limits best_fits control_limits control_best_fits final_limits "
    "likelihood_curves contributions jfactor_treatments ts simulated_castro simulated_limits"
).split()
NAMES = ["draco", "segue_1", "carina"]


def as_drawn(limit, process):
    """Upper limits of a cross-section, or lower ones of the lifetime."""
    return limit if process == "annihilation" else 1 / limit


@pytest.fixture
def stack():
    return stack_of(NAMES)


@pytest.fixture
def targets():
    return {name: gaussian(scale=k + 2, target=name) for k, name in enumerate(NAMES)}


def without_information(castro):
    """The same result, knowing nothing."""
    for name in ("norm", "norm_ul", "norm_errn", "norm_errp", "ts"):
        if name in castro.available_quantities:
            castro[name].data[...] = np.nan
    castro["status"].data[...] = LimitStatus.NO_INFORMATION
    return castro


# ---- registry --------------------------------------------------------------------------------


def test_all_kinds_have_a_function_and_a_caption():
    assert list(figures.KINDS) == KINDS == list(figures.FUNCTIONS)
    for kind, (title, caption, needs) in figures.KINDS.items():
        text = caption.format(about="3 targets", channel="b", cl=95)
        assert title, kind
        assert text.endswith("."), kind
        assert "{" not in text, kind
        assert needs
        assert all(figures.FUNCTIONS[kind])


def test_pyplot_keeps_no_figures(stack):
    assert isinstance(figures.limits(stack, "b"), Figure)
    assert plt.get_fignums() == []


# ---- limits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("process", PROCESSES)
def test_limits_of_stack_and_targets(process):
    combined = stack_of(NAMES, process=process)
    parts = {f"t{k}": gaussian(process, scale=k + 2) for k in range(3)}
    table = QTable({"mass": [20, 500] * u.GeV})
    table["sigmav" if process == "annihilation" else "tau"] = (
        [3e-26, 4e-26] * CS if process == "annihilation" else [3e25, 4e25] * u.s
    )
    table.meta.update(instrument="lat", year=2015)
    figure = figures.limits(combined, "b", parts, published=table, roster="classical")
    observed = drawn(figure, "Observed")
    np.testing.assert_allclose(observed.get_ydata(), as_drawn(LIMIT, process), rtol=1e-3)
    np.testing.assert_allclose(observed.get_xdata(), MASSES.value)
    assert observed.get_color() == "black"
    grey = drawn(figure, "Each of 3 targets").get_ydata()
    for k in range(3):
        np.testing.assert_allclose(
            grey[4 * k : 4 * k + 3], as_drawn((k + 2) * LIMIT, process), rtol=1e-3
        )
        assert np.isnan(grey[4 * k + 3])  # nothing joins two targets
    curve = drawn(figure, "lat 2015")
    np.testing.assert_allclose(curve.get_xdata(), [20, 500])
    np.testing.assert_allclose(
        curve.get_ydata(), [3e-26, 4e-26] if process == "annihilation" else [3e25, 4e25]
    )
    title = figure.axes[0].get_title()
    factor = "J" if process == "annihilation" else "D"
    assert title == rf"classical (3 targets), $b\bar{{b}}$, {factor} profiled, 95 % CL"
    assert figure.axes[0].get_xlabel() == "Mass [GeV]"
    if process == "decay":
        assert figure.axes[0].get_ylabel() == r"Lifetime $\tau$ lower limit [s]"
        assert "Thermal relic" not in labels(figure)
    else:
        relic = drawn(figure, "Thermal relic")
        np.testing.assert_allclose(
            relic.get_ydata(), thermal_relic(relic.get_xdata() * u.GeV).value
        )


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("as_bands", [True, False])
def test_bands_are_quantiles_of_the_ensemble(process, as_bands):
    simulated, arrays = ensemble(process)
    bands = simulated.quantiles() if as_bands else simulated
    figure = figures.target_limits(gaussian(process), "tau", bands)
    limit = arrays["norm_ul"][:, 1]
    q = np.quantile(limit, [0.025, 0.16, 0.5, 0.84, 0.975], axis=0, method="hazen")
    expected = as_drawn(q, process)
    median = drawn(figure, "Expected, median").get_ydata()
    np.testing.assert_allclose(median, expected[2], rtol=1e-6)
    for name, low, high in (("95 %", 0, 4), ("68 %", 1, 3)):
        label = f"{name} expected (41 simulations)"
        edges = np.sort([expected[low], expected[high]], axis=0)
        np.testing.assert_allclose(area(figure, label), edges, rtol=1e-6)
    np.testing.assert_allclose(
        drawn(figure, "Observed").get_ydata(), as_drawn(10 * LIMIT, process), rtol=1e-3
    )


def test_final_limits_have_both_bands(stack):
    null, blank = ensemble(seed=1)[0], ensemble(seed=2, n=20)
    figure = figures.final_limits(stack, "b", null.quantiles(), blank[0])
    q = np.quantile(blank[1]["norm_ul"][:, 0], [0.16, 0.5, 0.84], axis=0, method="hazen")
    np.testing.assert_allclose(area(figure, "20 blank fields, 68 %"), q[[0, 2]], rtol=1e-6)
    found = drawn(figure, "20 blank fields, median").get_ydata()
    np.testing.assert_allclose(found, q[1], rtol=1e-6)
    assert {"Observed", *(f"{q} % expected (41 simulations)" for q in (68, 95))} <= set(
        labels(figure)
    )


def test_what_a_limit_is_worth_is_marked(stack):
    stack["status"].data[0, :, 0, 0] = [
        LimitStatus.NO_INFORMATION, LimitStatus.EXTRAPOLATED, LimitStatus.GRID_EDGE,
    ]  # fmt: skip
    stack["norm_ul"].data[0, [0, 2]] = np.nan
    for figure in (figures.limits(stack, "b"), figures.castro_map(stack, "b")):
        flagged = drawn(figure, "Extrapolated or approximate")
        np.testing.assert_allclose(flagged.get_xydata(), [[100, LIMIT[1]]], rtol=1e-3)
        assert list(drawn(figure, "No information").get_xdata()) == [10]
        beyond = drawn(figure, "Limit beyond the scan")
        assert list(beyond.get_xdata()) == [1000]
        assert beyond.get_ydata()[0] > 0.9  # of the height of the axes: weaker than all


def test_a_band_that_leaves_the_scan_is_open_not_missing(stack):
    simulated, _ = ensemble(n=41)
    simulated["norm_ul"].data[:5, 0, 1] = np.nan  # of 41: the 84 % are known
    simulated["status"].data[:5, 0, 1] = LimitStatus.GRID_EDGE
    figure = figures.limits(stack, "b", bands=simulated)
    top = figure.axes[0].get_ylim()[1]
    outer, inner = (area(figure, f"{q} % expected (41 simulations)") for q in (95, 68))
    assert outer[1, 1] > top > inner[1, 1]
    assert top < 1e-23


def test_nothing_to_draw_is_said(stack):
    figure = figures.limits(without_information(stack), "b")
    assert "no limit at any mass (no information)" in text_of(figure)
    assert "3 targets" in figure.axes[0].get_title()
    for draw in (figures.castro_map, figures.likelihood_curves, figures.best_fits):
        assert "no" in text_of(draw(stack, "b")), draw
    empty = without_information(ensemble()[0])
    for draw in (figures.control_limits, figures.control_best_fits, figures.ensemble_limits):
        assert "There is no" in text_of(draw(empty, "b")), draw
    assert "no treatment" in text_of(figures.jfactor_treatments({"profile": stack}, "b")).lower()
    assert text_of(figures.jfactor_treatments({}, "b"))
    assert "No realisation has a TS" in text_of(figures.ts({"Simulations": empty}, channel="b"))
    assert "no simulations" in text_of(figures.ts({}))


def test_one_mass_and_many_targets(stack):
    one = stack.slice_by_idx({"mass": 1})
    parts = {f"target_{k}": gaussian(scale=1 + k / 10).slice_by_idx({"mass": 1}) for k in range(45)}
    figure = figures.limits(one, "b", parts, ensemble()[0].slice_by_idx({"mass": 1}))
    grey = drawn(figure, "Each of 45 targets")
    assert grey.get_marker() != "None"
    np.testing.assert_allclose(
        grey.get_ydata()[::2], (1 + np.arange(45) / 10) * LIMIT[1], rtol=1e-3
    )
    low, high = figure.axes[0].get_xlim()
    assert low < 50
    assert high > 200


def test_jfactor_treatments(stack):
    fixed = stack_of(NAMES, scale=0.8)
    fixed.meta.jfactor_method = "fixed"
    figure = figures.jfactor_treatments({"profile": stack, "fixed": fixed}, "b", "test")
    np.testing.assert_allclose(drawn(figure, "fixed").get_ydata(), 0.8 * LIMIT, rtol=1e-3)
    np.testing.assert_allclose(drawn(figure, "fixed", axes=1).get_ydata(), 0.8, rtol=1e-3)
    assert figure.axes[1].get_ylabel() == "Ratio to profile"
    assert figure.axes[0].get_title() == r"test (3 targets), $b\bar{b}$, 95 % CL"


# ---- simulations with a signal ---------------------------------------------------------------


def test_controls_mark_the_truth():
    simulated, arrays = ensemble(method="cls")
    truth = (0.1 * u.TeV, 5e-32 * u.Unit("m3 s-1"), "bb")
    figure = figures.control_limits(simulated, "b", truth, roster="test")
    np.testing.assert_allclose(drawn(figure, "Injected signal").get_xydata(), [[100, 5e-26]])
    assert "CLs limits, 41 simulations" in figure.axes[0].get_title().replace("\n", " ")
    assert "68 % of simulations" in labels(figure)
    best = figures.control_best_fits(simulated.quantiles(), "b", truth)
    np.testing.assert_allclose(drawn(best, "Injected signal").get_xydata(), [[100, 5e-26]])
    median = np.quantile(arrays["norm"][:, 0], 0.5, axis=0, method="hazen")
    np.testing.assert_allclose(drawn(best, "Simulations, median").get_ydata(), median)
    assert "41 simulations" in best.axes[0].get_title()
    other = figures.control_limits(simulated, "tau", truth)
    assert r"Injected signal (in $b\bar{b}$)" in labels(other)
    assert "Injected signal" not in labels(
        figures.control_limits(simulated, "b", (*truth[:1], 0 * CS))
    )


@pytest.mark.parametrize("strength", [4e-26 / u.s, 2.5e25 * u.s])
def test_truth_of_decay_is_a_rate_or_a_lifetime(strength):
    simulated, _ = ensemble("decay")
    truth = (100 * u.GeV, strength)
    limits = figures.control_limits(simulated, "b", truth)
    np.testing.assert_allclose(drawn(limits, "Injected signal").get_xydata(), [[100, 2.5e25]])
    best = figures.control_best_fits(simulated, "b", truth)
    np.testing.assert_allclose(drawn(best, "Injected signal").get_xydata(), [[100, 4e-26]])
    curves = figures.likelihood_curves(gaussian("decay"), channel="b", truth=truth)
    line = drawn(curves, "Injected signal, 100 GeV")
    np.testing.assert_allclose(line.get_xdata(), 4e-26)


def test_single_simulations(stack, targets):
    simulated, arrays = ensemble()
    figure = figures.ensemble_limits(simulated, "b", n=4)
    lines = drawn(figure, "4 single simulations").get_ydata().reshape(4, 4)
    np.testing.assert_allclose(lines[:, :3], arrays["norm_ul"][:4, 0])
    truth = (100 * u.GeV, 5e-26 * CS)
    figure = figures.simulated_limits(stack, "b", targets, simulated, truth, number=7)
    assert "simulation 7" in figure.axes[0].get_title()
    assert {"Simulated data", "Each of 3 targets", "Injected signal"} <= set(labels(figure))
    figure = figures.simulated_castro(stack, "b", truth, number=7)
    assert "simulation 7" in figure.axes[0].get_title()
    np.testing.assert_allclose(drawn(figure, "Injected signal").get_xydata(), [[100, 5e-26]])


# ---- likelihoods -----------------------------------------------------------------------------


@pytest.mark.parametrize("process", PROCESSES)
def test_castro_map_holds_the_likelihood(process):
    figure = figures.castro_map(gaussian(process), "b")
    ax = figure.axes[0]
    mesh = ax.collections[0]
    edges = mesh.get_coordinates()[:, 0, 1]
    center = np.sqrt(edges[1:] * edges[:-1])
    strength = center if process == "annihilation" else 1 / center
    found = mesh.get_array().reshape(len(center), 3)
    for i in range(3):
        expected = ((strength - MEAN[i]) / SIGMA[i]) ** 2
        seen = expected < 10
        assert seen.sum() > 50
        np.testing.assert_allclose(found[seen, i], expected[seen], rtol=0.03, atol=0.03)
    bound = "Upper limit" if process == "annihilation" else "Lower limit"
    np.testing.assert_allclose(
        drawn(figure, bound).get_ydata(), as_drawn(LIMIT, process), rtol=1e-3
    )
    # TS is 4 at 100 GeV and 0 elsewhere
    best = drawn(figure, "Best fit (TS > 1)").get_xydata()
    np.testing.assert_allclose(best, [[100, as_drawn(6e-26, process)]], rtol=1e-3)
    assert "TS = 4.0 at 100 GeV" in ax.get_title()
    assert ax.get_ylim()[0] < min(as_drawn(LIMIT, process)) / 5


def test_likelihood_curves(stack):
    parts = {f"t{k}": gaussian(scale=k + 2, mean=[0, 0, 0], target=f"t{k}") for k in range(9)}
    parts["excess"] = gaussian(scale=50, target="excess")  # TS 4, constrains nothing
    figure = figures.likelihood_curves(stack, "b", parts, n=4)
    assert "100 GeV, TS = 4.0" in figure.axes[0].get_title()
    total = drawn(figure, "Total")
    x = total.get_xdata()
    np.testing.assert_allclose(total.get_ydata(), ((x - 6e-26) / 3e-26) ** 2, rtol=0.01, atol=0.01)
    point = drawn(figure, "Limit of all, 95 % CL").get_xydata()
    np.testing.assert_allclose(point, [[LIMIT[1], Z95**2]], rtol=1e-3)
    named = [name for name in labels(figure) if name in parts]
    assert named == ["t0", "t1", "t2", "excess"]
    assert "6 others" in labels(figure)
    level = [line for line in figure.axes[0].get_lines() if set(line.get_xdata()) == {0, 1}]
    np.testing.assert_allclose(level[0].get_ydata(), Z95**2, rtol=1e-5)
    near = figures.likelihood_curves(stack, "b", parts, mass=1.1 * u.TeV)
    assert "1 TeV, TS = 0.0" in near.axes[0].get_title()


def test_best_fits(stack):
    simulated, arrays = ensemble()
    figure = figures.best_fits(stack, "b", simulated)
    np.testing.assert_allclose(
        drawn(figure, "Best fit, 68 %").get_xydata(), [[100, 6e-26]], rtol=1e-3
    )
    zero = drawn(figure, "No signal fits best").get_xydata()
    np.testing.assert_array_equal(zero, [[10, 0], [1000, 0]])
    q = np.quantile(arrays["norm"][:, 0], [0.16, 0.84], axis=0, method="hazen")
    np.testing.assert_allclose(area(figure, "68 % expected (41 simulations)"), q, rtol=1e-6)
    bars = [c for c in figure.axes[0].collections if hasattr(c, "get_segments")][0]
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    expected = [[0, 1e-26], [3e-26, 9e-26], [0, 2e-25]]
    np.testing.assert_allclose(ends, expected, rtol=2e-3, atol=1e-30)
    rate = figures.best_fits(gaussian("decay"), "b")
    assert rate.axes[0].get_ylabel() == r"Decay rate $\Gamma$ best fit [s$^{-1}$]"
    with pytest.raises(ValueError, match="masses of data"):
        figures.best_fits(stack, "b", simulated.slice_by_idx({"mass": [0, 1]}))


def test_sed_castro():
    dataset = SEDLikelihoodDataset.read(EXAMPLE_FOLDER / "sed_draco.fits")
    figure = figures.sed_castro(dataset, "draco, LAT")
    bars = drawn(figure, "Upper limit, 95 % CL")
    heights = [segment[0, 1] for segment in bars.get_segments()]
    expected = (dataset.norm_ul() * dataset.ref()).to_value("MeV cm-2 s-1")
    np.testing.assert_allclose(heights, expected)
    assert figure.axes[0].get_title() == "draco, LAT"
    wide = drawn(figures.sed_castro(dataset, cl=0.9), "Upper limit, 90 % CL").get_segments()
    expected = (dataset.norm_ul(0.9) * dataset.ref()).to_value("MeV cm-2 s-1")
    np.testing.assert_allclose([segment[0, 1] for segment in wide], expected)
    flat = SEDLikelihoodDataset(
        dataset.energy_edges, dataset.norm_scan, 0 * dataset.stat_scan, ref_eflux=dataset.ref()
    )
    assert "in no energy bin" in text_of(figures.sed_castro(flat, "draco"))


# ---- test statistics, shares, yields ---------------------------------------------------------


def test_ts(stack):
    simulated, arrays = ensemble()
    figure = figures.ts({"Simulations": simulated}, stack, "b")
    at_mass = drawn(figure, "Simulations, 100 GeV (n = 41)").get_xdata()
    assert np.max(at_mass) == pytest.approx(arrays["ts"][:, 0, 1].max())
    largest = drawn(figure, "Simulations, all masses (n = 41)").get_xdata()
    assert np.max(largest) == pytest.approx(arrays["ts"][:, 0].max())
    np.testing.assert_allclose(drawn(figure, "Observed, TS = 4").get_xdata(), 4, rtol=1e-3)
    chosen = figures.ts({"Simulations": simulated}, stack, "b", mass=10 * u.GeV)
    assert "Simulations, all masses (n = 41)" not in labels(chosen)
    np.testing.assert_allclose(drawn(chosen, "Observed, TS = 0").get_xdata(), 0)
    far = figures.ts({"Simulations": simulated}, gaussian(mean=20 * MEAN), "b")
    assert "Observed, TS = 1.6e+03 (to the right)" in labels(far)
    assert far.axes[0].get_xlim()[1] < 30


def shares(n):
    names = [f"target_{k}" for k in range(n)]
    table = QTable({"target": np.repeat(names, 3), "channel": ["b"] * 3 * n})
    table["mass"] = np.tile(MASSES, n)
    table["share"] = np.repeat(np.arange(n) / (n * (n - 1) / 2), 3)
    return table


def test_contributions():
    figure = figures.contributions(shares(3), "b")
    image = figure.axes[0].collections[0].get_array().reshape(3, 3)
    np.testing.assert_allclose(image, np.repeat([[200 / 3], [100 / 3], [0]], 3, axis=1))
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == ["target_2", "target_1", "target_0"]
    many = figures.contributions(shares(45), "b")
    names = [text.get_text() for text in many.axes[0].get_yticklabels()]
    assert len(names) == 30
    assert names[-1] == "16 others"
    last = many.axes[0].collections[0].get_array().reshape(30, 3)[-1]
    np.testing.assert_allclose(last, 100 * np.arange(16).sum() / 990)
    assert "no shares of the channel tau" in text_of(figures.contributions(shares(3), "tau"))
    one_mass = shares(3)[::3]
    assert figures.contributions(one_mass, "b").axes[0].get_xlim()[0] < 10


@pytest.mark.parametrize("process", PROCESSES)
def test_yields_hold_the_energy_of_the_photons(process):
    """The area under E dN/dE is what `Spectra.integrate` says."""
    spectra = read_spectra("pppc4")
    mass = 200 * u.GeV if process == "decay" else 100 * u.GeV
    figure = figures.spectra_by_channel(spectra, mass, ["b", "tau", "t"], process)
    title = figure.axes[0].get_title()
    assert r"below threshold: $t\bar{t}$" in title
    assert process in title
    by_mass = figures.spectra_by_mass(spectra, "b", [1, mass.value] * u.GeV, process)
    assert "no spectrum at 1 GeV" in by_mass.axes[0].get_title()
    name = f"{mass.value:g} GeV"
    for line in (drawn(figure, r"$b\bar{b}$"), drawn(by_mass, name)):
        energy, power = line.get_xdata(), np.nan_to_num(line.get_ydata())
        area_under = np.trapezoid(power / energy, energy)
        ends = u.Quantity([energy[0], 100], "GeV")
        expected = spectra.integrate(ends, mass, "b", process, "eflux")
        np.testing.assert_allclose(area_under, expected.to_value("GeV").item(), rtol=0.01)
    assert f"per {process}" in figure.axes[0].get_ylabel()


def test_yields_that_are_not_there():
    spectra = read_spectra("pppc4")
    outside = figures.spectra_by_channel(spectra, 1 * u.GeV, ["b"])
    assert "1 GeV lies outside of the spectra pppc4" in text_of(outside)
    assert "No channel" in text_of(figures.spectra_by_channel(spectra, 50 * u.GeV, ["t"]))
    assert "no spectrum" in text_of(figures.spectra_by_mass(spectra, "t", [50] * u.GeV))
    mixture = figures.spectra_by_mass(spectra, {"b": 0.5, "tau": 0.5}, [50] * u.GeV)
    assert r"0.5 $b\bar{b}$ + 0.5 $\tau^+\tau^-$" in mixture.axes[0].get_title()


# ---- titles and errors -----------------------------------------------------------------------


def test_long_titles_are_broken():
    mixture = "0.4 V->tau + 0.3 WL + 0.3 nu_tau"
    castro = stack_of(NAMES)
    long = type(castro).from_scan(
        GRID * CS, castro.delta_stat[:1], MASSES, [mixture], jfactor_method="marginal"
    )
    title = figures.limits(long, mixture, roster="a_roster_of_$25_with_a_long_name").axes[0].title
    assert r"a_roster_of_\$25_with" in title.get_text()
    assert "\n" in title.get_text()
    assert "J marginalised" in title.get_text()
    figure = title.figure
    figure.draw_without_rendering()
    box = title.get_window_extent()
    assert 0 <= box.x0
    assert box.x1 <= figure.bbox.x1


def test_bad_input(stack):
    with pytest.raises(ValueError, match="channel 'mu' is none of"):
        figures.limits(stack, "mu")
    with pytest.raises(ValueError, match="channel None is none of"):
        figures.castro_map(stack)
    with pytest.raises(ValueError, match="bands need the axis quantile or realisation"):
        figures.limits(stack, "b", bands=gaussian())
    with pytest.raises(ValueError, match="an ensemble has the axis realisation"):
        figures.ensemble_limits(stack, "b")
