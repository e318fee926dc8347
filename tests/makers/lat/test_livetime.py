"""Livetime cubes against gtltcube's, closed forms and a plain loop."""

import logging

import astropy.units as u
import healpy as hp
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from numpy.testing import assert_allclose, assert_array_equal

from dmgammapy.makers.lat._dss import LATDataSelection
from dmgammapy.makers.lat.livetime import LATLivetimeMaker
from dmgammapy.makers.lat.livetime_cube import LivetimeCube
from dmgammapy.makers.lat.spacecraft import LATSpacecraft

CRAB = SkyCoord(83.633, 22.014, unit="deg")


class Events:
    """What the maker takes from events."""

    def __init__(self, gti, zenith_max=None):
        self.gti = np.array(gti, dtype=float)
        self.selection = LATDataSelection(zenith_max=zenith_max)


def make_spacecraft(n_row=200, seed=0):
    """Random pointings of 30 s with random livetime."""
    rng = np.random.default_rng(seed)
    start = 1000 + 30.0 * np.arange(n_row)
    data = {}
    for name in ("SCZ", "ZENITH"):
        data[f"RA_{name}"] = rng.uniform(0, 360, n_row).astype("f4")
        data[f"DEC_{name}"] = np.degrees(np.arcsin(rng.uniform(-1, 1, n_row))).astype("f4")
    return LATSpacecraft(start, start + 30, rng.uniform(15, 29, n_row), data)


def inertial(n_row=100, **columns):
    """Rows of 30 s, 24 s of them live, that point at the Crab; the zenith is 40 deg away."""
    start = 30.0 * np.arange(n_row)
    zenith = CRAB.directional_offset_by(0 * u.deg, 40 * u.deg)
    data = {
        "RA_SCZ": np.full(n_row, CRAB.ra.deg), "DEC_SCZ": np.full(n_row, CRAB.dec.deg),
        "RA_ZENITH": np.full(n_row, zenith.ra.deg), "DEC_ZENITH": np.full(n_row, zenith.dec.deg),
    }  # fmt: skip
    for name, value in columns.items():
        data[name] = np.broadcast_to(value, n_row).copy()
    return LATSpacecraft(start, start + 30, np.full(n_row, 24.0), data)


def loop(spacecraft, gti, directions, n_costheta, zenith_max=180, low=0.0, power=0.5):
    """The definition, row by row and direction by direction."""
    out = np.zeros((2, len(directions), n_costheta))
    axis, zenith = (
        SkyCoord(spacecraft[f"RA_{name}"], spacecraft[f"DEC_{name}"], unit="deg")
        for name in ("SCZ", "ZENITH")
    )
    theta = directions[:, np.newaxis].separation(axis).rad
    is_cut = directions[:, np.newaxis].separation(zenith).deg >= zenith_max
    c = np.cos(theta)
    for i in range(len(spacecraft)):
        a, b = spacecraft.start[i], spacecraft.stop[i]
        good = sum(max(0, min(b, stop) - max(a, start)) for start, stop in gti)
        live = spacecraft.livetime[i] / (b - a)
        for d in np.flatnonzero((c[:, i] > low) & ~is_cut[:, i]):
            k = int(n_costheta * ((1 - c[d, i]) / (1 - low)) ** power)
            out[0, d, k] += good * live
            out[1, d, k] += good * live**2
    return out


# ---- against the Science Tools -------------------------------------------------------------------


def relative_rms(found, expected):
    return np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2))


@pytest.fixture(scope="module")
def reference_folder(test_data):
    return test_data / "lat" / "reference"


@pytest.fixture(scope="module")
def reference(reference_folder):
    return LivetimeCube.read(reference_folder / "ltcube.fits.gz")


@pytest.fixture(scope="module")
def made(reference_folder):
    files = {key: str(reference_folder / f"{key}.fits.gz") for key in ("ft1", "ft2")}
    return LATLivetimeMaker().run(**files, reference=reference_folder / "ltcube.fits.gz")


def test_gtltcube(made, reference):
    assert made.data.shape == (3072, 20)
    assert relative_rms(made.data, reference.data) < 1e-6
    assert relative_rms(made.weighted, reference.weighted) < 1e-6
    # single precision of the sums is all that differs: no row is in another bin
    assert np.max(np.abs(made.data - reference.data)) < 0.05
    assert made.is_aligned(reference)


def test_gtltcube_good_times(made, reference):
    assert_allclose(made.gti, reference.gti)
    assert_allclose(made.ontime, 63395.650, atol=1e-3)
    assert made.zenith_max is None
    assert made.meta["zenith_max_from"] == "reference"
    assert made.meta["zenith_max_events"] == 90


def test_looser_zenith_cut_of_reference_is_said(reference_folder, reference, caplog):
    maker = LATLivetimeMaker(directions=CRAB.reshape(1))
    with caplog.at_level(logging.WARNING):
        maker.run(
            ft1=Events(reference.gti, 90), ft2=reference_folder / "ft2.fits.gz", reference=reference
        )
    assert "selected up to 90 deg" in caplog.text
    assert "up to 180 deg (reference)" in caplog.text


def test_rows_and_directions_of_a_real_day(reference_folder, made, reference):
    """Any direction against a plain sum over rows, with and without zenith cut."""
    spacecraft = LATSpacecraft.read(reference_folder / "ft2.fits.gz")
    place = SkyCoord(260.05, 57.92, unit="deg").reshape(1)
    for zenith_max in (180, 90):
        expected = loop(spacecraft, reference.gti, place, 40, zenith_max)
        maker = LATLivetimeMaker(directions=place, zenith_max=zenith_max)
        cube = maker.run(ft2=spacecraft, gti=reference.gti)
        assert_allclose(cube.data, expected[0], rtol=1e-9)
        assert_allclose(cube.weighted, expected[1], rtol=1e-9)


def test_less_than_all_livetime(made):
    total = made.data.sum(axis=1)
    assert np.all(total <= made.meta["livetime"])
    assert_allclose(made.data.sum(axis=1).mean(), made.meta["livetime"] / 2, rtol=1e-2)


# ---- against a loop ------------------------------------------------------------------------------

GTI = [[1010, 1500], [1507, 1520], [1530, 4000], [4444, 6400]]


@pytest.mark.parametrize("zenith_max", [180, 105, 90, 20])
@pytest.mark.parametrize("frame", ["icrs", "galactic"])
def test_loop(zenith_max, frame):
    spacecraft = make_spacecraft()
    maker = LATLivetimeMaker(nside=4, zenith_max=zenith_max, frame=frame, ordering="RING")
    cube = maker.run(ft2=spacecraft, gti=GTI)
    lon, lat = hp.pix2ang(4, np.arange(192), lonlat=True)
    directions = SkyCoord(lon, lat, unit="deg", frame=frame).icrs
    expected = loop(spacecraft, GTI, directions, 40, zenith_max)
    assert_allclose(cube.data, expected[0], rtol=1e-9, atol=1e-9)
    assert_allclose(cube.weighted, expected[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("low", "power"), [(0.2, 0.5), (-0.5, 1.0), (-1, 1), (-1, 0.5)])
def test_loop_of_other_bins(low, power):
    spacecraft = make_spacecraft(seed=1)
    maker = LATLivetimeMaker(
        nside=2, costheta_step=(1 - low) / 8, costheta_min=low,
        binning="sqrt" if power == 0.5 else "linear",
    )  # fmt: skip
    cube = maker.run(ft2=spacecraft, gti=GTI)
    directions = SkyCoord(*hp.pix2ang(2, np.arange(48), nest=True, lonlat=True), unit="deg")
    expected = loop(spacecraft, GTI, directions, 8, low=low, power=power)
    assert_allclose(cube.data, expected[0], rtol=1e-9, atol=1e-9)


def test_part_of_the_sky_is_part_of_it():
    spacecraft = make_spacecraft(seed=2)
    whole = LATLivetimeMaker(nside=16, zenith_max=100).run(ft2=spacecraft, gti=GTI)
    maker = LATLivetimeMaker(nside=16, zenith_max=100, position=CRAB, radius=10 * u.deg)
    part = maker.run(ft2=spacecraft, gti=GTI)
    assert 20 < len(part.data) < 200
    assert_allclose(part.data, whole.data[part.pixels], rtol=1e-12)


def test_threads_and_chunks_do_not_matter(monkeypatch):
    spacecraft = make_spacecraft(n_row=1000, seed=3)
    gti = [[1000, 31000]]
    one = LATLivetimeMaker(nside=2).run(ft2=spacecraft, gti=gti)
    monkeypatch.setattr("dmgammapy.makers.lat.livetime.ROWS", 64)
    single = LATLivetimeMaker(nside=2).run(ft2=spacecraft, gti=gti)
    threads = LATLivetimeMaker(nside=2, n_jobs=3).run(ft2=spacecraft, gti=gti)
    assert_array_equal(single.data, threads.data)
    assert_array_equal(single.weighted, threads.weighted)
    assert_allclose(single.data, one.data, rtol=1e-12)
    assert single.meta["n_rows"] == one.meta["n_rows"] == 1000


# ---- closed forms --------------------------------------------------------------------------------


def test_inertial_pointing():
    """All livetime is in the bin of the angle: sqrt((1 - cos 60 deg)) = 0.7071, bin 28 of 40."""
    directions = SkyCoord([CRAB, CRAB.directional_offset_by(90 * u.deg, 60 * u.deg)])
    cube = LATLivetimeMaker(directions=directions).run(ft2=inertial(), gti=[[0, 3000]])
    expected = np.zeros((2, 40))
    expected[0, 0] = expected[1, 28] = 2400
    assert_allclose(cube.data, expected, rtol=1e-12)
    assert_allclose(cube.weighted, 0.8 * expected, rtol=1e-12)
    assert_allclose(cube.meta["livetime"], 2400)


def test_zenith_cut():
    """The zenith is 40 deg north of the Crab: 45 deg south of it is at 85 deg."""
    places = SkyCoord([CRAB.directional_offset_by(180 * u.deg, a * u.deg) for a in (45, 55)])
    cube = LATLivetimeMaker(directions=places, zenith_max=90 * u.deg).run(
        ft2=inertial(), gti=[[0, 3000]]
    )
    assert_allclose(cube.data.sum(axis=1), [2400, 0])
    assert cube.zenith_max == 90


def test_part_of_a_row():
    cube = LATLivetimeMaker(directions=CRAB).run(ft2=inertial(), gti=[[15, 45], [50, 50.5]])
    assert_allclose(cube.data.sum(), 24 * (0.5 + 0.5 + 0.5 / 30))


def test_rule_of_the_zenith_cut():
    """Argument before reference before events."""
    gti, place = [[0, 3000]], CRAB.reshape(1)
    base = {"ft2": inertial()}
    cut = LATLivetimeMaker(directions=place, zenith_max=80).run(**base, gti=gti)

    def zenith(maker=None, **kwargs):
        cube = (maker or LATLivetimeMaker(directions=place)).run(**base, **kwargs)
        return cube.zenith_max, cube.meta["zenith_max_from"]

    uncut = LATLivetimeMaker(directions=place, zenith_max=180 * u.deg)
    assert zenith(gti=gti) == (None, "none")
    assert zenith(ft1=Events(gti)) == (None, "events")
    assert zenith(ft1=Events(gti, 90)) == (90, "events")
    assert zenith(ft1=Events(gti, 90), reference=cut) == (80, "reference")
    assert zenith(uncut, ft1=Events(gti, 90), reference=cut) == (None, "argument")


def test_time_range_is_that_of_the_reference():
    place = CRAB.reshape(1)
    like = LATLivetimeMaker(directions=place).run(ft2=inertial(), gti=[[300, 600], [900, 1200]])
    cube = LATLivetimeMaker().run(
        ft1=Events([[0, 450], [500, 3000]]), ft2=inertial(), reference=like
    )
    assert_allclose(cube.gti, [[300, 450], [500, 1200]])
    maker = LATLivetimeMaker(directions=place, time_min=100, time_max=200)
    assert_allclose(maker.run(ft2=inertial(), gti=[[0, 150], [160, 900]]).data.sum(), 90 * 0.8)


def test_what_is_not_given_is_that_of_the_reference():
    like = LivetimeCube.create([1, 0.8, 0.6], nside=2, ordering="RING", gti=[[0, 300]])
    cube = LATLivetimeMaker(nside=4).run(ft2=inertial(), reference=like)
    assert (cube.nside, cube.ordering) == (4, "RING")
    assert_allclose(cube.costheta_edges, [1, 0.8, 0.6])
    cube = LATLivetimeMaker(costheta_min=0.0).run(ft2=inertial(), reference=like)
    assert_allclose(cube.costheta_edges, [1, 0.8, 0.6, 0.4, 0.2, 0], atol=1e-12)


def test_defaults_are_those_of_gtltcube():
    maker = LATLivetimeMaker(position=CRAB, radius=1)
    cube = maker.run(ft2=inertial(), gti=[[0, 300]])
    assert (cube.nside, cube.ordering, cube.frame) == (64, "NESTED", "icrs")
    assert_allclose(cube.costheta_edges, 1 - (np.arange(41) / 40) ** 2)


def test_maker_keeps_nothing():
    maker = LATLivetimeMaker(directions=CRAB, n_jobs=2)
    before = dict(vars(maker))
    maker.run(ft2=inertial(), gti=[[0, 300]])
    assert vars(maker) == before
    assert repr(maker) == "LATLivetimeMaker(directions=<1>, n_jobs=2)"


# ---- bad input -----------------------------------------------------------------------------------


def test_no_overlap():
    with pytest.raises(ValueError, match="0.000 to 3000.000 s, don't overlap"):
        LATLivetimeMaker(directions=CRAB).run(ft2=inertial(), gti=[[4000, 5000]])


def test_gap_in_good_time():
    spacecraft = inertial()
    keep = (spacecraft.start < 600) | (spacecraft.start >= 900)
    data = {name: values[keep] for name, values in spacecraft.data.items()}
    cut = LATSpacecraft(
        spacecraft.start[keep], spacecraft.stop[keep], spacecraft.livetime[keep], data
    )
    with pytest.raises(ValueError, match="covers the good time 600.000 to 700.000 s"):
        LATLivetimeMaker(directions=CRAB).run(ft2=cut, gti=[[0, 700]])
    cube = LATLivetimeMaker(directions=CRAB).run(ft2=cut, gti=[[0, 600.5], [950, 1000]])
    assert_allclose(cube.data.sum(), 650 * 0.8)
    assert_allclose(cube.meta["uncovered"], 0.5)


def test_good_time_beyond_the_rows():
    with pytest.raises(ValueError, match="3000.000 to 3500.000 s"):
        LATLivetimeMaker(directions=CRAB).run(ft2=inertial(), gti=[[0, 3500]])


@pytest.mark.parametrize(
    ("name", "message"),
    [("RA_SCZ", "RA_SCZ, DEC_SCZ is not"), ("DEC_ZENITH", "RA_ZENITH, DEC_ZENITH is not")],
)
def test_no_pointing(name, message):
    spacecraft = inertial()
    spacecraft.data[name][40] = np.nan
    with pytest.raises(ValueError, match=f"row 41 .*{message} a direction.*{name} = nan"):
        LATLivetimeMaker(directions=CRAB).run(ft2=spacecraft, gti=[[0, 3000]])
    # rows outside of good time may be anything
    cube = LATLivetimeMaker(directions=CRAB).run(ft2=spacecraft, gti=[[0, 1200], [1230, 3000]])
    assert_allclose(cube.data.sum(), 2400 - 24)


def test_wrong_livetime():
    spacecraft = inertial()
    spacecraft.livetime[7] = 24000
    with pytest.raises(ValueError, match="row 8 .*longer than STOP - START"):
        LATLivetimeMaker(directions=CRAB).run(ft2=spacecraft, gti=[[0, 3000]])


def test_absent_column():
    spacecraft = inertial()
    del spacecraft.data["RA_ZENITH"]
    with pytest.raises(ValueError, match="no column RA_ZENITH"):
        LATLivetimeMaker(directions=CRAB).run(ft2=spacecraft, gti=[[0, 3000]])


def test_nothing_to_go_by():
    with pytest.raises(ValueError, match="give ft2"):
        LATLivetimeMaker().run(gti=[[0, 1]])
    with pytest.raises(ValueError, match="no good times: give"):
        LATLivetimeMaker().run(ft2=inertial())
    with pytest.raises(ValueError, match="no good time is left.*0.000 to 10.000"):
        LATLivetimeMaker(time_min=100).run(ft2=inertial(), gti=[[0, 10]])


def test_reference_of_other_layout():
    odd = LivetimeCube(np.zeros((1, 2)), [1, 0.6, 0], gti=[[0, 300]], directions=CRAB)
    with pytest.raises(ValueError, match=r"\[1\.  0\.6 0\. \].*give costheta_step"):
        LATLivetimeMaker().run(ft2=inertial(), reference=odd)
    low = LivetimeCube(np.zeros((48, 1)), [1, 0], gti=[[0, 300]], nside=2, meta={"zenith_min": 10})
    with pytest.raises(ValueError, match="smallest zenith angle"):
        LATLivetimeMaker().run(ft2=inertial(), reference=low)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"position": CRAB}, "go together"),
        ({"directions": CRAB, "nside": 4}, "directions go without nside"),
        ({"binning": "cos"}, "binning must be one of sqrt, linear"),
        ({"zenith_max": 200}, "zenith_max must lie in"),
        ({"costheta_step": 0}, "costheta_step must lie in"),
        ({"position": CRAB, "radius": 181}, "between 0 and 180"),
    ],
)
def test_bad_configuration(kwargs, message):
    with pytest.raises(ValueError, match=message):
        LATLivetimeMaker(**kwargs)


def test_step_must_divide():
    with pytest.raises(ValueError, match="must divide 1 - costheta_min = 1, got 0.3"):
        LATLivetimeMaker(costheta_step=0.3).run(ft2=inertial(), gti=[[0, 10]])


def test_wrong_types():
    with pytest.raises(TypeError, match="position must be a SkyCoord, got tuple"):
        LATLivetimeMaker(position=(83, 22), radius=1)
    with pytest.raises(TypeError, match="zenith_max must be an angle"):
        LATLivetimeMaker(zenith_max=1 * u.s)
