"""The castro cube against the closed form of its Poisson bins."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.maps import Map, MapAxis, WcsGeom
from gammapy.modeling.models import PowerLawSpectralModel
from numpy.testing import assert_allclose, assert_array_equal

from dmgammapy.estimators import CastroEstimator
from dmgammapy.estimators.limits import LimitStatus
from dmgammapy.spectra import read_spectra
from dmgammapy.targets import Target

from .cube_helpers import PoissonCube

MASSES = [30, 300] * u.GeV


@pytest.fixture(scope="module")
def truth():
    return PoissonCube()


@pytest.fixture(scope="module")
def cube(truth):
    return truth.cube()


def norm_of_unit(truth, mass, channel, log10_jfactor, process="annihilation"):
    """Norm of each bin for a strength of 1, from the definition (statistics.md, section 1)."""
    table = read_spectra("pppc4")
    eflux = (
        table.integrate(truth.edges, mass * u.GeV, [channel], process=process, norm_type="eflux")
        .to_value("GeV")
        .ravel()
    )
    factor = 1 / (8 * np.pi * mass**2) if process == "annihilation" else 1 / (4 * np.pi * mass)
    return 10.0**log10_jfactor * factor * eflux / truth.ref_eflux


# ---- estimates -----------------------------------------------------------------------------------


def test_bins_are_those_of_the_closed_form(truth, cube):
    """Best norm (n - b) / s, TS, and limits by root finding on the exact likelihood."""
    best = truth.best.transpose(2, 0, 1)
    assert cube.norm.geom.axes.names == ["energy"]
    assert_allclose(cube.norm.data, best, atol=2e-4 * truth.norm_scan.max())
    assert_allclose(cube.ts.data, truth.ts.transpose(2, 0, 1), atol=2e-4)
    for iy, ix, b in [(0, 0, 0), (1, 2, 1), (2, 3, 5)]:
        exact = truth.norm_ul(iy, ix, b)
        assert_allclose(cube.norm_ul.data[b, iy, ix], exact, rtol=2e-4)
        eflux = cube.eflux_ul.slice_by_idx({"energy": b}).quantity[iy, ix]
        assert_allclose(eflux.to_value("GeV cm-2 s-1"), exact * truth.ref_eflux[b], rtol=2e-4)


def test_ts_map_is_the_sum_over_bins(truth, cube):
    ts = cube.ts_map()
    assert ts.geom == truth.geom
    assert_allclose(ts.data, truth.ts.sum(axis=2), atol=1e-3)
    assert np.unravel_index(ts.data.argmax(), ts.data.shape) == (1, 2)  # where the source is
    assert_allclose(cube.sqrt_ts_map().data, np.sqrt(truth.ts.sum(axis=2)), atol=1e-3)


def test_errors_are_where_stat_rises_by_one(truth, cube):
    n, bkg, s = truth.counts[1, 2, 0], truth.background[0], truth.signal[0]
    error = cube.norm_err.data[0, 1, 2]
    assert_allclose(error, np.sqrt(n) / s, rtol=0.01)  # many counts: nearly a Gaussian
    assert n > bkg > 0


def test_fit_of_the_reference_spectrum(truth, cube):
    """The norm common to all bins, against minimisation of the exact likelihood."""
    for iy, ix in [(1, 2), (0, 1)]:
        upper, best, ts = truth.strength_ul(np.ones(6), iy, ix)
        assert_allclose(cube.fit_map("norm").data[iy, ix], best, rtol=1e-3, atol=1e-9)
        assert_allclose(cube.fit_map("norm_ul").data[iy, ix], upper, rtol=1e-3)
        assert_allclose(cube.ts_map("reference").data[iy, ix], ts, atol=2e-3)


def test_given_estimates_are_kept_and_recomputed_on_demand(truth, cube):
    other = truth.cube(ts=np.full((3, 4, 6), 7.0), fit={"ts": np.full((3, 4), 5.0)})
    assert_array_equal(other.ts_map().data, 42.0)
    assert_array_equal(other.ts_map("reference").data, 5.0)
    assert_array_equal(other.norm.data, cube.norm.data)
    with pytest.raises(ValueError, match="recompute"):
        other.fit_map("norm")
    again = other.recompute(cl=0.9)
    assert_array_equal(again.ts.data, cube.ts.data)
    assert (again.norm_ul.data < cube.norm_ul.data).all()


# ---- positions -----------------------------------------------------------------------------------


def test_dataset_is_that_of_the_nearest_pixel(truth, cube):
    lon, lat = truth.geom.pix_to_coord((2.3, 0.8))  # nearest (ix, iy) = (2, 1)
    position = SkyCoord(lon, lat, frame="galactic").icrs
    dataset = cube.get_dataset(position)
    assert dataset.name == "pixel_1_2"
    assert dataset.meta["pixel"]["idx"] == [1, 2]
    assert_array_equal(dataset.norm_scan, truth.norm_scan[1, 2])
    assert_array_equal(dataset.stat_scan, truth.stat_scan[1, 2])
    assert_array_equal(dataset.stat, truth.minimum[1, 2])
    assert_allclose(dataset.norm, truth.best[1, 2], atol=1e-4)
    # the cube's estimates are the dataset's, bit for bit
    assert_array_equal(cube.norm.data[:, 1, 2], dataset.norm)
    assert_array_equal(cube.norm_ul.data[:, 1, 2], dataset.norm_ul())
    assert_array_equal(cube.ts.data[:, 1, 2], dataset.ts)


def test_all_datasets(truth):
    mask = np.ones((3, 4), bool)
    mask[0, 1] = False
    names = [dataset.name for dataset in truth.cube(mask=mask).iter_datasets()]
    assert len(names) == 11
    assert names[:3] == ["pixel_0_0", "pixel_0_2", "pixel_0_3"]


def test_counts_of_norm_one_may_differ_between_pixels(truth):
    npred = np.broadcast_to(truth.signal, (3, 4, 6)) * np.arange(1, 5)[:, None]
    assert_array_equal(truth.cube(ref_npred=npred).get_dataset(idx=(0, 3)).ref_npred, npred[0, 3])


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"position": SkyCoord(60, 20, unit="deg", frame="galactic")}, "lies outside the map of 4"),
        ({"idx": (3, 0)}, "outside the map"),
        ({"idx": (0, 1)}, r"pixel \(iy, ix\) = \(0, 1\), which is masked"),
        ({}, "either a position or idx"),
    ],
)
def test_positions_without_data(truth, where, message):
    mask = np.ones((3, 4), bool)
    mask[0, 1] = False
    with pytest.raises(ValueError, match=message):
        truth.cube(mask=mask).get_dataset(**where)


def test_masked_pixels_are_not_looked_at(truth, cube):
    mask = np.ones((3, 4), bool)
    mask[0, 1] = False
    norm, stat = truth.norm_scan.copy(), truth.stat_scan.copy()
    norm[0, 1] = stat[0, 1] = np.nan
    part = truth.cube(norm_scan=norm, stat_scan=stat, mask=mask)
    ts = part.ts_map().data
    assert np.isnan(ts[0, 1])
    assert_array_equal(ts[mask], cube.ts_map().data[mask])
    maps = part.dark_matter_maps(MASSES, ["b"])
    assert np.isnan(maps["sigmav_ul"].data[:, :, 0, 1]).all()
    assert (maps["status"].data[:, :, 0, 1] == LimitStatus.NO_INFORMATION).all()
    assert "1 of 12 pixels are masked." in maps.meta.notes


# ---- dark matter ---------------------------------------------------------------------------------


@pytest.mark.parametrize("process", ["annihilation", "decay"])
def test_dark_matter_maps_against_brute_force(truth, cube, process):
    """Limits, best fits and TS from the exact likelihood and the definition of the flux."""
    factor = 19.3 if process == "annihilation" else 17.2
    maps = cube.dark_matter_maps(MASSES, ["b", "tau"], log10_jfactor=factor, process=process)
    name = "sigmav" if process == "annihilation" else "gamma"
    assert maps[f"{name}_ul"].geom.axes.names == ["mass", "channel"]
    assert maps[f"{name}_ul"].data.shape == (2, 2, 3, 4)
    for iy, ix in [(1, 2), (0, 0), (2, 3)]:
        for c, channel in enumerate(["b", "tau"]):
            for m, mass in enumerate(MASSES.value):
                unit = norm_of_unit(truth, mass, channel, factor, process)
                upper, best, ts = truth.strength_ul(unit, iy, ix)
                assert_allclose(maps[f"{name}_ul"].data[c, m, iy, ix], upper, rtol=1e-3)
                found = maps[name].data[c, m, iy, ix]
                assert_allclose(found, best, rtol=2e-3, atol=2e-3 * upper)
                assert_allclose(maps["ts"].data[c, m, iy, ix], ts, atol=2e-3)
    if process == "decay":
        assert_allclose(maps["tau_ll"].data * maps["gamma_ul"].data, 1)
        assert maps["tau_ll"].unit == "s"


def test_dark_matter_maps_are_those_of_the_estimator(cube):
    """At each pixel `CastroEstimator` on the pixel's dataset gives the same."""
    maps = cube.dark_matter_maps(MASSES, ["b", {"b": 0.3, "tau": 0.7}], n_jobs=2)
    estimator = CastroEstimator(MASSES, ["b", {"b": 0.3, "tau": 0.7}])
    models = Target("toy", log10_jfactor=19).to_models(MASSES[0], "b")
    for iy, ix in [(1, 2), (2, 0)]:
        castro = estimator.run(cube.get_dataset(idx=(iy, ix), models=models))
        for name in ("sigmav", "sigmav_err", "sigmav_ul", "ts", "status"):
            expected = getattr(castro, name).data[..., 0, 0]
            assert_allclose(maps[name].data[..., iy, ix], expected, rtol=1e-6)
        assert castro.channels == maps.channels
    assert_allclose(maps.masses.value, MASSES.value, rtol=0)


def test_ten_times_the_jfactor_is_a_tenth_of_the_limit(cube):
    one, ten = (cube.dark_matter_maps(MASSES, ["b"], log10_jfactor=j) for j in (18, 19))
    assert_allclose(one["sigmav_ul"].data, 10 * ten["sigmav_ul"].data, rtol=1e-12)
    dirac = cube.dark_matter_maps(MASSES, ["b"], log10_jfactor=19, k=4)
    assert_allclose(dirac["sigmav_ul"].data, 2 * ten["sigmav_ul"].data, rtol=2e-5)


def test_masses_below_threshold_hold_no_information(cube):
    maps = cube.dark_matter_maps(MASSES, ["t"])
    assert np.isnan(maps["sigmav_ul"].data[0, 0]).all()
    assert (maps["status"].data[0, 0] == LimitStatus.NO_INFORMATION).all()
    assert np.isfinite(maps["sigmav_ul"].data[0, 1]).all()
    assert any("t at 30 GeV" in note for note in maps.meta.notes)


def test_image_of_one_mass_and_channel(cube):
    maps = cube.dark_matter_maps(MASSES, ["b", "tau"])
    image = maps.image("sigmav_ul", "300 GeV", "tau")
    assert_array_equal(image.data, maps["sigmav_ul"].data[1, 1])
    assert image.geom == cube.geom
    with pytest.raises(ValueError, match="no mass 31"):
        maps.image("sigmav_ul", 31 * u.GeV, "b")
    with pytest.raises(ValueError, match="no channel 'W'"):
        maps.image("sigmav_ul", 30 * u.GeV, "W")
    with pytest.raises(KeyError, match="no map 'gamma'"):
        maps["gamma"]


def test_to_castro_at_a_target(truth, cube):
    lon, lat = truth.geom.pix_to_coord((2, 1))
    position = SkyCoord(lon, lat, frame="galactic")
    target = Target("toy", position=position, log10_jfactor=19.0, log10_jfactor_err=0.3)
    castro = cube.to_castro(target=target, masses=MASSES, channels=["b"])
    assert castro.meta.target == "toy"
    assert castro.meta.prior.err_low == 0.3
    upper, *_ = truth.strength_ul(norm_of_unit(truth, 300, "b", 19), 1, 2)
    assert_allclose(castro.sigmav_ul.data.squeeze()[1], upper, rtol=1e-3)
    again = cube.to_castro(position, log10_jfactor=19, estimator=CastroEstimator(MASSES, ["b"]))
    assert_allclose(again.sigmav_ul.data, castro.sigmav_ul.data, rtol=1e-12)
    decay = cube.to_castro(position, log10_jfactor=17, masses=MASSES, channels="b", process="decay")
    upper, *_ = truth.strength_ul(norm_of_unit(truth, 300, "b", 17, "decay"), 1, 2)
    assert_allclose(decay.tau_ll.data.squeeze()[1], 1 / upper, rtol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"log10_jfactor": 19}, "masses and channels, or an estimator"),
        ({"masses": MASSES, "channels": ["b"]}, "either a target or log10_jfactor"),
        (
            {"target": Target("toy", log10_jfactor=19), "masses": MASSES, "channels": ["b"]},
            "has no position",
        ),
    ],
)
def test_to_castro_says_what_it_misses(cube, arguments, message):
    with pytest.raises(ValueError, match=message):
        cube.to_castro(**arguments)


# ---- parts ---------------------------------------------------------------------------------------


def test_cutout(truth, cube):
    lon, lat = truth.geom.pix_to_coord((2, 1))
    part = cube.cutout(SkyCoord(lon, lat, frame="galactic"), 0.9 * u.deg)
    iy, ix = part._index(SkyCoord(lon, lat, frame="galactic"), None)
    assert part.geom.data_shape < cube.geom.data_shape
    assert_array_equal(part.norm_scan[iy, ix], truth.norm_scan[1, 2])
    assert_allclose(part.ts_map().data[iy, ix], truth.ts[1, 2].sum(), atol=1e-3)
    with pytest.raises(ValueError, match="does not overlap"):
        cube.cutout(SkyCoord(80, 20, unit="deg", frame="galactic"), 1 * u.deg)


def test_slice_by_energy(truth, cube):
    part = cube.slice_by_energy(energy_min=truth.edges[2], energy_max=truth.edges[5])
    assert_allclose(part.energy_edges.value, truth.edges[2:6].value)
    assert_allclose(part.ts_map().data, truth.ts[..., 2:5].sum(axis=2), atol=1e-3)
    assert_allclose(part.ref_npred, truth.signal[2:5])
    with pytest.raises(ValueError, match="no energy bin within"):
        cube.slice_by_energy(energy_min=1 * u.PeV)


def test_copy_shares_nothing(cube):
    copy = cube.copy()
    assert_array_equal(copy.stat_scan, cube.stat_scan)
    assert not np.shares_memory(copy.stat_scan, cube.stat_scan)
    copy.meta["new"] = 1
    assert "new" not in cube.meta


def test_text_says_what_it_is(cube):
    text = str(cube)
    assert "4 x 3 pixels of 0.5 deg, TAN" in text
    assert "6 bins from 0.5 GeV to 500 GeV" in text
    assert "12 of 12 pixels" in text
    assert "2 from 30 to 300 GeV" in str(cube.dark_matter_maps(MASSES, ["b"]))


def test_references_follow_from_a_spectrum(truth):
    """Gammapy's own integrals of the power law."""
    model = PowerLawSpectralModel(index=2.2, amplitude="1e-12 cm-2 s-1 MeV-1")
    cube = truth.cube(ref_eflux=None, reference_model=model)
    expected = model.integral(truth.edges[:-1], truth.edges[1:])
    assert_allclose(cube.ref_flux, expected)
    assert_allclose(
        cube.flux_ul.quantity[2, 1, 2].to_value("cm-2 s-1"),
        truth.norm_ul(1, 2, 2) * expected[2].to_value("cm-2 s-1"),
        rtol=1e-3,
    )


# ---- what it refuses -----------------------------------------------------------------------------


def _nan_stat(truth):
    stat = truth.stat_scan.copy()
    stat[2, 1, 3, 5] = np.nan
    return {"stat_scan": stat}


def _falling(truth):
    norm = truth.norm_scan.copy()
    norm[1, 3, 2, 4] = 0
    return {"norm_scan": norm}


def _missing(truth):
    norm, stat = truth.norm_scan.copy(), truth.stat_scan.copy()
    norm[0, 2] = stat[0, 2] = np.nan
    return {"norm_scan": norm, "stat_scan": stat}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_nan_stat, r"pixel \(iy, ix\) = \(2, 1\), bin 3: scan point 5"),
        (_falling, r"pixel \(iy, ix\) = \(1, 3\), bin 2: norms of a scan must ascend"),
        (_missing, r"pixel \(iy, ix\) = \(0, 2\), bin 0: no scan, only NaN.*mask="),
        (lambda t: {"stat_scan": -t.stat_scan}, "Check the sign"),
        (lambda t: {"norm_scan": t.norm_scan[:, :3]}, r"must have the shape \(ny, nx, n_bins"),
        (lambda t: {"energy_edges": t.edges[:-1]}, "scans of 6 bins need 7 energy_edges, got 6"),
        (lambda t: {"ref_eflux": None}, "lacks ref_eflux"),
        (lambda t: {"stat": np.full((3, 4, 6), np.nan)}, "stat must be finite"),
        (lambda t: {"ts": np.zeros((3, 4))}, "ts must have the shape"),
        (lambda t: {"mask": np.zeros((3, 4), bool)}, "all pixels are masked"),
        (lambda t: {"mask": np.ones((4, 3), bool)}, "mask must be booleans of shape"),
        (lambda t: {"cl": 0.4}, "cl must lie between"),
        (lambda t: {"fit": {"norm": np.zeros((3, 4))}}, "fit needs 'ts'"),
        (lambda t: {"fit": {"tss": np.zeros((3, 4))}}, r"fit has \['tss'\]"),
        (
            lambda t: {"geom": t.geom.to_cube([MapAxis.from_edges([1, 2], name="energy")])},
            r"2D WcsGeom, got WcsGeom with axes \['energy'\]",
        ),
    ],
)
def test_bad_input_is_named(truth, change, message):
    with pytest.raises(ValueError, match=message):
        truth.cube(**change(truth))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"log10_jfactor": np.inf}, "log10_jfactor must be finite"),
        ({"k": 3}, "k must be 2"),
        ({"norm_type": "flux"}, "lacks ref_flux"),
        ({"process": "scattering"}, "process must be"),
    ],
)
def test_bad_dark_matter_is_named(cube, arguments, message):
    with pytest.raises(ValueError, match=message):
        cube.dark_matter_maps(MASSES, ["b"], **arguments)


# ---- pictures ------------------------------------------------------------------------------------


def test_pictures_show_the_numbers(truth, cube):
    import matplotlib.pyplot as plt

    lon, lat = truth.geom.pix_to_coord((2, 1))
    position = SkyCoord(lon, lat, frame="galactic")
    target = Target("toy", position=position, log10_jfactor=19)
    ax = cube.plot_ts(target=target, contours=[5])
    assert_array_equal(ax.images[0].get_array(), cube.ts_map().data)
    assert [text.get_text() for text in ax.texts if text.get_text() == "toy"] == ["toy"]
    marker = [line for line in ax.lines if line.get_marker() == "+"][0]
    assert_allclose(marker.get_xydata()[0], [2, 1], atol=1e-6)
    ax = cube.plot_ul(1)
    assert_array_equal(ax.images[0].get_array(), cube.eflux_ul.data[1])
    assert ax.get_title() == "1.581 - 5 GeV"
    maps = cube.dark_matter_maps(MASSES, ["b"])
    ax = maps.plot("30 GeV", "b", target={"here": position})
    assert_array_equal(ax.images[0].get_array(), maps["sigmav_ul"].data[0, 0])
    assert "30 GeV, b" in ax.get_title()
    with pytest.raises(ValueError, match="lies outside the image"):
        cube.plot_ts(target={"far": SkyCoord(80, 20, unit="deg", frame="galactic")})
    with pytest.raises(ValueError, match="give energy_bin"):
        cube.plot("eflux_ul")
    with pytest.raises(ValueError, match="quantity must be one of"):
        cube.plot("geom", energy_bin=1)
    plt.close("all")


def test_any_projection_and_frame():
    truth = PoissonCube(shape=(2, 3))
    geom = WcsGeom.create(npix=(3, 2), binsz=0.2, skydir=(151.8, 16.1), frame="icrs", proj="AIT")
    cube = truth.cube(geom=geom)
    assert cube.get_dataset(geom.center_skydir.galactic).meta["pixel"]["frame"] == "icrs"


def test_maps_go_through_files_of_gammapy(cube, tmp_path):
    limit = cube.dark_matter_maps(MASSES, ["b", "tau"])["sigmav_ul"]
    limit.write(tmp_path / "limit.fits")
    again = Map.read(tmp_path / "limit.fits")
    assert_array_equal(again.data, limit.data)
    assert again.unit == "cm3 s-1"
    assert list(again.geom.axes["channel"].center) == ["b", "tau"]
    assert_allclose(again.geom.axes["mass"].center.to_value("GeV"), MASSES.value)
