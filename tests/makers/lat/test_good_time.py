"""Good times against those of gtmktime in the reference FT1."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from dmgammapy.makers.lat._dss import LATDataSelection
from dmgammapy.makers.lat.events import LATEventList
from dmgammapy.makers.lat.good_time import LATGoodTimeSelector
from dmgammapy.makers.lat.spacecraft import LATSpacecraft

FT1, FT2 = "lat/reference/ft1.fits.gz", "lat/reference/ft2.fits.gz"
CRAB = SkyCoord(83.6331, 22.0145, unit="deg")
DAY = [[239557417.5, 239643817.5]]


@pytest.fixture(scope="module")
def events(test_data):
    """The events of one day on the Crab."""
    return LATEventList.read(test_data / FT1)


@pytest.fixture(scope="module")
def spacecraft(test_data):
    """Two days and a half of the spacecraft."""
    return LATSpacecraft.read(test_data / FT2)


def test_reference(events, spacecraft, test_data):
    """15 intervals, 63 395.650 s, each as gtmktime wrote it."""
    for given in ((events, spacecraft), (test_data / FT1, test_data / FT2)):
        good = LATGoodTimeSelector().run(*given)
        assert len(good) == 1507
        assert len(good.gti) == 15
        assert good.ontime.to_value("s") == pytest.approx(63395.6504765749, abs=1e-9)
        assert np.array_equal(good.gti, events.gti)
        assert good.selection == events.selection


def test_from_the_whole_day(events, spacecraft, caplog):
    """What gtmktime started from: the day alone, with the gaps of the spacecraft file in it."""
    whole = events.copy()
    whole.gti = np.array(DAY)
    with caplog.at_level("INFO"):
        good = LATGoodTimeSelector().run(whole, spacecraft)
    assert np.array_equal(good.gti, events.gti)
    assert "13546.140 s in 16 gaps of the spacecraft file are removed" in caplog.text
    assert "1507 of 1507 events and 63395.650 of 86400.000 s are in good times" in caplog.text


def test_rows_against_a_sum(events, spacecraft):
    """Another filter: seconds of the rows that pass, one by one."""
    selector = LATGoodTimeSelector("DATA_QUAL>0 && LAT_CONFIG==1 && abs(ROCK_ANGLE)<35")
    gti = selector.good_times(spacecraft, events.gti)
    rows = (spacecraft["LAT_CONFIG"] == 1) & (np.abs(spacecraft["ROCK_ANGLE"].astype(float)) < 35)
    expected = sum(
        max(min(stop, high) - max(start, low), 0)
        for start, stop in zip(spacecraft.start[rows], spacecraft.stop[rows], strict=True)
        for low, high in events.gti
    )
    assert 1000 < expected < 60000
    assert np.sum(gti[:, 1] - gti[:, 0]) == pytest.approx(expected, abs=1e-6)


def test_roi_cut_is_the_expression_of_gtmktime(events, spacecraft):
    """Its filter: angsep(RA_ZENITH,DEC_ZENITH,ra,dec) < zmax - radius."""
    text = "DATA_QUAL>0 && LAT_CONFIG==1 && angsep(RA_ZENITH,DEC_ZENITH,83.6331,22.0145) < 75"
    expected = LATGoodTimeSelector(text).run(events, spacecraft)
    for selector in (
        LATGoodTimeSelector(roi_zenith_max=90 * u.deg),
        LATGoodTimeSelector(roi_zenith_max="selection"),
        LATGoodTimeSelector(roi_zenith_max="90 deg", position=CRAB, radius="15 deg"),
    ):
        good = selector.run(events, spacecraft)
        assert np.array_equal(good.gti, expected.gti)
        assert len(good) == len(expected) == 1493
    assert good.ontime.to_value("s") == pytest.approx(30208.947, abs=1e-3)


def test_roi_cut_removes_where_any_part_is_beyond(events, spacecraft):
    """Directions on the edge of the region, each near enough to the zenith in all rows left."""
    good = LATGoodTimeSelector(roi_zenith_max="90 deg").run(events, spacecraft)
    middle = 0.5 * (spacecraft.start + spacecraft.stop)
    rows = np.any((middle[:, None] > good.gti[:, 0]) & (middle[:, None] < good.gti[:, 1]), axis=1)
    zenith = SkyCoord(spacecraft["RA_ZENITH"][rows], spacecraft["DEC_ZENITH"][rows], unit="deg")
    edge = CRAB.directional_offset_by(np.arange(0, 360, 5) * u.deg, 15 * u.deg)
    assert zenith[:, None].separation(edge[None]).deg.max() < 90
    outside = ~rows & (spacecraft.stop < DAY[0][1]) & (spacecraft["LAT_CONFIG"] == 1)
    zenith = SkyCoord(
        spacecraft["RA_ZENITH"][outside], spacecraft["DEC_ZENITH"][outside], unit="deg"
    )
    assert (zenith.separation(CRAB).deg + 15).min() >= 90


@pytest.mark.parametrize(
    ("filter", "message"),
    [
        ("LAT_CONFIG==7", r"no good time is left by filter 'LAT_CONFIG==7': 0 of \d+ spacecraft"),
        ("QUALITY>0", "unknown QUALITY; the columns are START, STOP"),
        ("LAT_MODE", "LAT_MODE is a number; expected a condition"),
    ],
)
def test_filters_that_leave_nothing(events, spacecraft, filter, message):
    with pytest.raises(ValueError, match=message):
        LATGoodTimeSelector(filter).run(events, spacecraft)


def test_roi_cut_that_leaves_nothing(events, spacecraft):
    with pytest.raises(ValueError, match=r"' and roi_zenith_max = 10 deg, circle\(83.6331"):
        LATGoodTimeSelector(roi_zenith_max="10 deg").run(events, spacecraft)


def test_roi_cut_without_what_it_needs(events, spacecraft):
    bare = events.copy()
    bare.selection = LATDataSelection(pass_version="P8R2")
    with pytest.raises(ValueError, match="events have no cone .* give position and radius"):
        LATGoodTimeSelector(roi_zenith_max="90 deg").run(bare, spacecraft)
    with pytest.raises(ValueError, match="no zenith cut; give an angle"):
        LATGoodTimeSelector(roi_zenith_max="selection", position=CRAB, radius="5 deg").run(
            bare, spacecraft
        )
    few = LATSpacecraft(
        spacecraft.start,
        spacecraft.stop,
        spacecraft.livetime,
        {name: spacecraft[name] for name in ("DATA_QUAL", "LAT_CONFIG")},
    )
    with pytest.raises(ValueError, match="needs the columns RA_ZENITH, DEC_ZENITH"):
        LATGoodTimeSelector(roi_zenith_max="90 deg").run(events, few)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filter": "DATA_QUAL>0; import os"}, "unexpected ';'"),
        ({"filter": ""}, "must be a condition as text"),
        ({"filter": None}, "must be a condition as text"),
        ({"roi_zenith_max": "200 deg"}, "within 0 and 180 deg"),
        ({"roi_zenith_max": "90 deg", "position": CRAB}, "needs both"),
        ({"position": CRAB, "radius": "5 deg"}, "used with roi_zenith_max only"),
    ],
)
def test_arguments_that_are_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        LATGoodTimeSelector(**arguments)


def test_times_that_do_not_overlap(events, spacecraft):
    later = events.copy()
    later.gti = later.gti + 1e7
    with pytest.raises(ValueError, match=r"don't overlap in time: .*2008-08-07.*2008-11-28"):
        LATGoodTimeSelector().run(later, spacecraft)


def test_spacecraft_files_that_are_missing(events, spacecraft):
    """The first part, a part in between, the last part."""
    for rows in (slice(1000, None), slice(0, 1000), np.r_[0:500, 1500:5604]):
        part = spacecraft.select(rows)
        with pytest.raises(ValueError, match=r"spacecraft data lack .* of 63395.650 s of good"):
            LATGoodTimeSelector().run(events, part)
    # in between it may be accepted, and then it is no good time
    good = LATGoodTimeSelector(gap_max="1 d").run(events, part)
    assert good.ontime < events.ontime


def test_no_good_time_to_start_from(events, spacecraft):
    none = events.copy()
    none.gti = np.zeros((0, 2))
    with pytest.raises(ValueError, match="no good time to start from"):
        LATGoodTimeSelector().run(none, spacecraft)


def test_run_leaves_the_selector_and_the_events(events, spacecraft):
    selector = LATGoodTimeSelector("LAT_CONFIG==1 && START > 239600000")
    before = dict(vars(selector))
    good = selector.run(events, spacecraft)
    assert vars(selector) == before
    assert len(good) < len(events) == 1507
    assert len(events.gti) == 15
    assert "LATGoodTimeSelector" in "".join(good.header["HISTORY"])
    assert repr(selector) == "LATGoodTimeSelector(filter='LAT_CONFIG==1 && START > 239600000')"


def test_a_filter_without_columns(events, spacecraft):
    covered = LATGoodTimeSelector("T").run(events, spacecraft)
    assert np.array_equal(covered.gti, events.gti)
