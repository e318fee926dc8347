"""The conversion against brute force, the published and the analytic references."""

import astropy.units as u
import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import CastroEstimator, CastroMaps, LimitStatus, StackedDMLikelihood
from dmgammapy.spectra import read_spectra
from dmgammapy.targets import Target


def brute_force_stat(counts, sigmav, log10_jfactor, mass, channel, spectra):
    """Sum over bins of the Poisson likelihood at the model's flux."""
    yields = read_spectra(spectra).integrate(counts.edges, mass * u.GeV, channel, norm_type="eflux")
    flux = sigmav * 10**log10_jfactor / (8 * np.pi * mass**2) * yields.to_value("GeV")
    return counts.stat(flux / counts.ref_eflux).sum()


@pytest.mark.parametrize("spectra", ["pppc4", "dmfit"])
def test_against_brute_force(make_counts, make_target, spectra):
    counts = make_counts(3, n_signal=0.02)
    masses = [12.0, 100.0, 777.0]
    castro = CastroEstimator(masses * u.GeV, ["b", "tau"], spectra=spectra).run(
        counts.dataset(make_target())
    )
    assert castro.sigmav_ul.quantity.shape == (2, 3, 1, 1)
    for i, channel in enumerate(["b", "tau"]):
        for j, mass in enumerate(masses):

            def stat(sigmav, mass=mass, channel=channel):
                return brute_force_stat(counts, sigmav, 18.8, mass, channel, spectra)

            scan = castro.sigmav_scan[i, j].value
            zero = stat(0.0)
            wanted = np.array([stat(s) - zero for s in scan])
            got = castro.delta_stat[i, j] - castro.delta_stat[i, j, 0]
            low = wanted < 30
            np.testing.assert_allclose(got[low], wanted[low], atol=2e-4)
            best = castro.sigmav.data[i, j, 0, 0]
            limit = castro.sigmav_ul.data[i, j, 0, 0]
            level = stat(best) + 2.705543
            exact = brentq(lambda s, y=level: stat(s) - y, limit / 3, limit * 3, rtol=1e-9)
            assert limit == pytest.approx(exact, rel=1e-4)
            assert castro.ts.data[i, j, 0, 0] == pytest.approx(max(zero - stat(best), 0), abs=1e-4)


def test_mixture_is_the_sum_of_its_channels(make_counts, make_target):
    counts = make_counts(4)
    dataset = counts.dataset(make_target())
    castro = CastroEstimator([200] * u.GeV, [{"b": 0.3, "tau": 0.7}]).run(dataset)
    spectra = read_spectra("pppc4")
    yields = sum(
        f * spectra.integrate(counts.edges, 200 * u.GeV, c, norm_type="eflux").value
        for c, f in (("b", 0.3), ("tau", 0.7))
    )

    def stat(sigmav):
        flux = sigmav * 10**18.8 / (8 * np.pi * 200**2) * yields
        return counts.stat(flux / counts.ref_eflux).sum()

    scan = castro.sigmav_scan[0, 0].value
    low = castro.delta_stat[0, 0] < 20
    wanted = np.array([stat(s) for s in scan[low]]) - stat(0.0)
    got = castro.delta_stat[0, 0][low] - castro.delta_stat[0, 0, 0]
    np.testing.assert_allclose(got, wanted, atol=2e-4)


def test_decay_uses_half_the_mass(make_counts):
    target = Target(name="draco", log10_dfactor=18.0, log10_dfactor_err=0.1)
    counts = make_counts(5)
    dataset = counts.dataset(target, process="decay")
    castro = CastroEstimator([200] * u.GeV, ["b"], process="decay").run(dataset)
    # per decay of 200 GeV: the annihilation yield of 100 GeV
    yields = (
        read_spectra("pppc4").integrate(counts.edges, 100 * u.GeV, "b", norm_type="eflux").value
    )

    def stat(gamma):
        flux = gamma * 1e18 / (4 * np.pi * 200) * yields
        return counts.stat(flux / counts.ref_eflux).sum()

    best = castro.gamma.data.item()
    limit = castro.gamma_ul.data.item()
    assert stat(limit) - stat(best) == pytest.approx(2.705543, abs=1e-3)
    assert castro.tau_ll.data.item() == pytest.approx(1 / limit)
    assert castro.tau_ll.unit == "s"
    with pytest.raises(AttributeError, match="defined for annihilation"):
        castro.sigmav_ul  # noqa: B018


def test_k_and_redshift(make_counts, make_target):
    counts = make_counts(6)
    target = make_target()
    est = CastroEstimator([100] * u.GeV, ["b"])
    plain = est.run(counts.dataset(target))
    dirac = est.run(counts.dataset(target, k=4))
    np.testing.assert_allclose(dirac.sigmav_ul.data, 2 * plain.sigmav_ul.data, rtol=1e-6)
    far = est.run(counts.dataset(target, redshift=0.5))
    yields = read_spectra("pppc4").integrate(
        counts.edges * 1.5, 100 * u.GeV, "b", norm_type="eflux"
    ).value / 1.5**2  # fmt: skip
    limit, best = far.sigmav_ul.data.item(), far.sigmav.data.item()

    def stat(s):
        flux = s * 10**18.8 / (8 * np.pi * 100**2) * yields
        return counts.stat(flux / counts.ref_eflux).sum()

    assert stat(limit) - stat(best) == pytest.approx(2.705543, abs=1e-3)


FERMIPY = (
    ("b", 100, 23.967, 8.02e-25),
    ("mu", 30, 14.660, 2.4575e-24),
    ("tau", 30, 17.150, 2.98e-25),
)


@pytest.fixture(scope="module")
def fermipy_castros(test_data):
    target = Target(name="test", log10_jfactor=19.0, log10_jfactor_err=0.0)
    est = CastroEstimator([30, 100] * u.GeV, ["b", "mu", "tau"], spectra="dmfit")
    datasets = {
        name: SEDLikelihoodDataset.read(
            test_data / "fermipy" / "sed.fits",
            models=target.to_models("100 GeV", "b"),
            interpolation=name,
        )
        for name in ("linear", "poisson")
    }
    return datasets, {name: est.run(dataset) for name, dataset in datasets.items()}


@pytest.mark.parametrize(("channel", "mass", "ts", "sigmav"), FERMIPY)
def test_fermipy_sed_linear(fermipy_castros, channel, mass, ts, sigmav):
    # reference: fermipy's table, bin integrals and linear interpolation. For mu its 20-point
    # integral misses the bin that holds the endpoint, which changes TS by 0.3 %
    castro = fermipy_castros[1]["linear"]
    one = castro.slice_by_coord({"channel": channel, "mass": mass * u.GeV})
    assert one.ts.data.item() == pytest.approx(ts, rel=0.005)
    assert one.sigmav.data.item() == pytest.approx(sigmav, rel=0.008)


@pytest.mark.parametrize(("channel", "mass", "ts", "sigmav"), FERMIPY)
def test_fermipy_sed_default(fermipy_castros, channel, mass, ts, sigmav):
    # second method: scipy's cubic spline through every bin's scan, on a fine grid of sigmav
    datasets, castros = fermipy_castros
    dataset = datasets["poisson"]
    yields = read_spectra("dmfit").integrate(
        dataset.energy_edges, mass * u.GeV, channel, norm_type="eflux"
    )
    flux = 1e19 / (8 * np.pi * mass**2) * yields.to_value("GeV")
    per_sigmav = flux / dataset.ref("eflux").to_value("GeV cm-2 s-1")
    grid = sigmav * np.geomspace(0.5, 2, 4001)
    stat = np.zeros(len(grid))
    for x, norm, scan in zip(per_sigmav, dataset.norm_scan, dataset.stat_scan, strict=True):
        spline = CubicSpline(norm, scan)
        stat += spline(x * grid) - spline(0)
    one = castros["poisson"].slice_by_coord({"channel": channel, "mass": mass * u.GeV})
    assert one.ts.data.item() == pytest.approx(-stat.min(), rel=1e-4)
    assert one.sigmav.data.item() == pytest.approx(grid[stat.argmin()], rel=1e-3)
    # straight lines lie above a convex curve: the reference's TS is lower by up to 1.3 %
    assert ts < one.ts.data.item() < 1.014 * ts
    assert one.sigmav.data.item() == pytest.approx(sigmav, rel=0.026)


def test_masses_below_threshold_are_masked_and_named(make_counts, make_target):
    castro = CastroEstimator([20, 500] * u.GeV, ["b", "t"]).run(
        make_counts(1).dataset(make_target())
    )
    status = castro.status.data[..., 0, 0]
    assert status[1, 0] == LimitStatus.NO_INFORMATION
    assert (status.ravel()[[0, 1, 3]] == LimitStatus.FOUND).all()
    assert np.isnan(castro.sigmav_ul.data[1, 0]).all()
    assert castro.meta.notes == ["draco: no information (below threshold): t at 20 GeV."]


def test_mass_below_all_bins_is_no_information(make_counts, make_target):
    counts = make_counts(1)
    dataset = counts.dataset(make_target()).slice_by_energy(50 * u.GeV, 500 * u.GeV)
    castro = CastroEstimator([10, 500] * u.GeV, ["b"]).run(dataset)
    assert castro.status.data.ravel()[0] == LimitStatus.NO_INFORMATION
    assert "no flux in any bin" in castro.meta.notes[0]


def test_mass_outside_the_table():
    with pytest.raises(ValueError, match="5.*100000"):
        CastroEstimator([1, 100] * u.GeV, ["b"])


def test_nothing_passed_in_is_changed_and_order_is_kept(make_counts, make_target):
    datasets = [make_counts(i).dataset(make_target(f"target{i}", 18 + 0.1 * i)) for i in range(4)]
    before = [(d.norm_scan.copy(), d.stat_scan.copy(), d.models.to_dict()) for d in datasets]
    est = CastroEstimator([10, 100] * u.GeV, ["b"], n_jobs=2)
    config = str(est)
    castros = est.run(datasets)
    assert [c.meta.target for c in castros] == [f"target{i}" for i in range(4)]
    for dataset, (norm, stat, models) in zip(datasets, before, strict=True):
        assert np.array_equal(dataset.norm_scan, norm)
        assert np.array_equal(dataset.stat_scan, stat)
        assert dataset.models.to_dict() == models
    assert str(est) == config
    serial = CastroEstimator([10, 100] * u.GeV, ["b"]).run(datasets)
    for a, b in zip(castros, serial, strict=True):
        assert np.array_equal(a.stat_scan.data, b.stat_scan.data)


def test_limit_in_an_extrapolated_scan_is_flagged(make_counts, make_target):
    counts = make_counts(2)
    dataset = counts.dataset(make_target(), drop=0.3, n_points=15)
    castro = CastroEstimator([100] * u.GeV, ["b"]).run(dataset)
    assert castro.status.data.item() == LimitStatus.EXTRAPOLATED
    full = CastroEstimator([100] * u.GeV, ["b"]).run(counts.dataset(make_target()))
    assert full.status.data.item() == LimitStatus.FOUND
    assert castro.sigmav_ul.data.item() == pytest.approx(full.sigmav_ul.data.item(), rel=1e-3)


def test_strong_signal_gets_a_finer_grid(make_counts, make_target):
    counts = make_counts(8, n_signal=1.5)
    castro = CastroEstimator([100] * u.GeV, ["b"]).run(counts.dataset(make_target()))
    ts = castro.ts.data.item()
    assert ts > 1000
    best, limit = castro.sigmav.data.item(), castro.sigmav_ul.data.item()

    def stat(s):
        return brute_force_stat(counts, s, 18.8, 100.0, "b", "pppc4")

    assert stat(limit) - stat(best) == pytest.approx(2.705543, abs=0.01)
    assert stat(best * 0.999) > stat(best) - 0.01 < stat(best * 1.001)


class TestErrors:
    def test_no_model(self, make_counts, make_target):
        dataset = make_counts(0).dataset(make_target())
        dataset.models = None
        with pytest.raises(ValueError, match="sed-draco.*no dark matter model.*to_models"):
            CastroEstimator([100] * u.GeV, ["b"]).run(dataset)

    def test_two_models(self, make_counts, make_target):
        dataset = make_counts(0).dataset(make_target())
        dataset.models = [
            *make_target("a").to_models("1 TeV", "b"), *make_target("b").to_models("1 TeV", "b"),
        ]  # fmt: skip
        with pytest.raises(ValueError, match=r"\['a', 'b'\].*exactly one"):
            CastroEstimator([100] * u.GeV, ["b"]).run(dataset)

    def test_wrong_process(self, make_counts, make_target):
        dataset = make_counts(0).dataset(make_target())
        with pytest.raises(ValueError, match="about annihilation.*process='decay'"):
            CastroEstimator([100] * u.GeV, ["b"], process="decay").run(dataset)

    def test_missing_reference(self, make_counts, make_target):
        dataset = make_counts(0).dataset(make_target())
        with pytest.raises(ValueError, match="ref_flux"):
            CastroEstimator([100] * u.GeV, ["b"], norm_type="flux").run(dataset)

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"masses": [100, 10] * u.GeV}, "ascend"),
            ({"masses": [] * u.GeV}, "ascend"),
            ({"channels": ["b", "bb"]}, "differ"),
            ({"channels": ["nonsense"]}, "nonsense"),
            ({"channels": []}, "empty"),
            ({"interpolation": "quintic"}, "interpolation must be one of"),
            ({"process": "scattering"}, "process"),
            ({"norm_type": "e2dnde"}, "norm_type"),
            ({"channels": [{"b": 0.5, "tau": 0.4}]}, "sum to"),
        ],
    )
    def test_bad_configuration(self, kwargs, message):
        with pytest.raises(ValueError, match=message):
            CastroEstimator(**({"masses": [100] * u.GeV, "channels": ["b"]} | kwargs))

    def test_wrong_type(self):
        with pytest.raises(TypeError, match="SEDLikelihoodDataset"):
            CastroEstimator([100] * u.GeV, ["b"]).run(["like_draco.txt"])


def test_unused_parts_of_a_scan_are_noted(make_target):
    def run(norm):
        stat = (norm - 1) ** 2
        dataset = SEDLikelihoodDataset(
            [1, 10] * u.GeV,
            [norm],
            [stat],
            ref_eflux=[1e-9] * u.Unit("GeV cm-2 s-1"),
            models=make_target().to_models("100 GeV", "b"),
        )
        return CastroEstimator([100] * u.GeV, ["b"]).run(dataset)

    negative = run(np.linspace(-3, 5, 33))
    assert negative.meta.notes == []
    assert negative.has_negative.all()
    late = run(np.linspace(0.5, 5, 19))
    assert "begin above norm 0" in late.meta.notes[0]
    # both are the same Gaussian, bounded at zero
    for castro in (negative, late):
        assert castro.ts.data.item() == pytest.approx(1, rel=1e-4)


def test_interpolation_of_the_estimator_overrides_that_of_the_dataset(make_counts, make_target):
    dataset = make_counts(3).dataset(make_target(), n_points=8)
    here = CastroEstimator([100] * u.GeV, ["b"], interpolation="linear").run(dataset)
    assert here.meta.interpolation == "linear"
    assert dataset.interpolation == "poisson"
    dataset.interpolation = "linear"
    there = CastroEstimator([100] * u.GeV, ["b"]).run(dataset)
    assert np.array_equal(here.stat_scan.data, there.stat_scan.data)
    exact = CastroEstimator([100] * u.GeV, ["b"], interpolation="poisson").run(dataset)
    assert abs(here.sigmav_ul.data.item() / exact.sigmav_ul.data.item() - 1) > 1e-3


def gaussian_dataset(target, mean, sigma=1.0, n_points=25):
    norm = np.linspace(0, mean + 4 * sigma, n_points)
    stat = ((norm - mean) / sigma) ** 2
    return SEDLikelihoodDataset(
        [1, 10] * u.GeV,
        [norm],
        [stat - stat.min()],
        ref_eflux=[1e-9] * u.Unit("GeV cm-2 s-1"),
        models=target.to_models("100 GeV", "b"),
    )


def test_best_fit_exactly_at_zero_has_information(make_target):
    # the slope of stat at zero signal vanishes
    castro = CastroEstimator([100] * u.GeV, ["b"]).run(gaussian_dataset(make_target(), 0.0))
    yields = read_spectra("pppc4").integrate([1, 10] * u.GeV, 100 * u.GeV, "b", norm_type="eflux")
    per_sigmav = 10**18.8 / (8 * np.pi * 1e4) * yields.to_value("GeV").item() / 1e-9
    limit = castro.sigmav_ul.data.item()
    assert limit * per_sigmav == pytest.approx(np.sqrt(2.705543), rel=1e-5)
    assert castro.status.data.item() == LimitStatus.FOUND


def test_flat_scan_holds_no_information(make_target):
    def run(stat):
        dataset = SEDLikelihoodDataset(
            [1, 10] * u.GeV,
            [[0, 1, 2, 3, 4, 5]],
            [stat],
            ref_eflux=[1e-9] * u.Unit("GeV cm-2 s-1"),
            models=make_target().to_models("100 GeV", "b"),
        )
        return CastroEstimator([100] * u.GeV, ["b"]).run(dataset).status.data.item()

    assert run(np.zeros(6)) == LimitStatus.NO_INFORMATION
    # hardly bent: bounded far outside the scan, which is said
    assert run((np.arange(6) / 30) ** 2) == LimitStatus.EXTRAPOLATED


class TestScansThatBeginAboveZero:
    """Counts n over a background of 2: stat = 2 (s - n ln(1 + s / 2)), in closed form."""

    @staticmethod
    def castro(target, begin, n, interpolation="cubic", exposure=1.0):
        norm = np.linspace(begin, 40, 60)
        stat = 2 * (norm - n * np.log1p(norm / 2))
        dataset = SEDLikelihoodDataset(
            [1, 10] * u.GeV, [norm], [stat - stat.min()], models=target.to_models("100 GeV", "b"),
            ref_eflux=[1e-9 / exposure] * u.Unit("GeV cm-2 s-1"),
        )  # fmt: skip
        return CastroEstimator([100] * u.GeV, ["b"], interpolation=interpolation).run(dataset)

    @pytest.mark.parametrize("interpolation", ["cubic", "poisson"])
    @pytest.mark.parametrize("begin", [0.5, 4, 10])
    def test_limit_on_what_was_not_scanned(self, make_target, begin, interpolation):
        castro = self.castro(make_target(), begin, 1, interpolation)  # no signal fits best
        assert "TS and limits are uncertain" in castro.meta.notes[0]
        assert castro.status.data.item() == LimitStatus.EXTRAPOLATED
        assert castro.upper_limit_and_status(cl=0.9)[1].data.item() == LimitStatus.EXTRAPOLATED

    def test_is_it_off(self, make_target):
        exact = self.castro(make_target(), 0, 1).sigmav_ul.data.item()
        off = self.castro(make_target(), 10, 1).sigmav_ul.data.item()
        assert off == pytest.approx(0.716 * exact, rel=1e-3)  # which is what the mark is for

    @pytest.mark.parametrize("begin", [0, 1e-3])
    def test_begin_that_does_not_matter(self, make_target, begin):
        castro = self.castro(make_target(), begin, 1)
        assert castro.status.data.item() == LimitStatus.FOUND
        exact = brentq(lambda s: 2 * (s - np.log1p(s / 2)) - 2.705543, 1, 9)
        no_count = self.castro(make_target(), 0, 0)  # stat = 2 s
        ratio = castro.sigmav_ul.data.item() / no_count.sigmav_ul.data.item()
        assert ratio == pytest.approx(exact / (2.705543 / 2), rel=1e-4)

    def test_excess_above_the_begin_of_the_scan(self, make_target):
        # the best fit, 10, and the limit are both inside
        exact = self.castro(make_target(), 0, 12)
        castro = self.castro(make_target(), 4, 12)
        assert castro.status.data.item() == LimitStatus.FOUND
        assert castro.sigmav_ul.data.item() == pytest.approx(exact.sigmav_ul.data.item(), rel=1e-5)
        # at the best fit the scan is flat: TS would be zero
        assert self.castro(make_target(), 10.1, 12).status.data.item() == LimitStatus.EXTRAPOLATED

    def test_stack_and_file_carry_the_mark(self, make_target, tmp_path):
        late = self.castro(make_target("late"), 4, 1)
        late.write(tmp_path / "late.fits")
        late = CastroMaps.read(tmp_path / "late.fits")
        for exposure, expected in (
            (1.0, LimitStatus.EXTRAPOLATED),
            # a target so much stronger that the other is not noticed where the limit is
            (1e3, LimitStatus.FOUND),
        ):
            other = self.castro(make_target("other"), 0, 1, exposure=exposure)
            for method in ("fixed", "profile"):
                stack = StackedDMLikelihood([late, other], method=method).run()
                assert stack.status.data.item() == expected
