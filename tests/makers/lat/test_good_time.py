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


def rows_of(*spans):
    """Rows of 30 s, side by side in each span."""
    start = np.concatenate([np.arange(low, high, 30.0) for low, high in spans])
    names = ("RA_SCZ", "DEC_SCZ", "RA_ZENITH", "DEC_ZENITH", "DATA_QUAL", "LAT_CONFIG")
    data = {name: np.ones(len(start)) for name in names}
    return LATSpacecraft(start, start + 30, np.full(len(start), 27.0), data)


ORBIT, DAYS = 5700.0, 86400.0
ORBITS = np.arange(0, 5 * DAYS, ORBIT)
IN_ORBITS = np.stack([ORBITS, ORBITS + 3000], axis=1)


def test_days_without_rows():
    """The gap is days long, good time in it comes in pieces of 50 minutes."""
    rows = rows_of((0, DAYS), (4.5 * DAYS, 5 * DAYS))
    with pytest.raises(
        ValueError, match=r"lack 159300.000 of 228000.000 s .* and 51 more, in gaps"
    ):
        LATGoodTimeSelector().good_times(rows, IN_ORBITS)
    # days without good time may lack
    outside = IN_ORBITS[(IN_ORBITS[:, 1] < DAYS) | (IN_ORBITS[:, 0] > 4.5 * DAYS)]
    assert np.array_equal(LATGoodTimeSelector().good_times(rows, outside), outside)


def levels(caplog):
    return [record.levelname for record in caplog.records if "seem to lack" not in record.message]


def test_short_gaps_in_good_times_of_gtmktime(caplog):
    """These leave out all passages of the SAA, so that more than 1 % is said as a warning."""
    spans = [(low, low + 3000) for low in ORBITS]
    low = ORBITS[7]
    spans[7:8] = [(low, low + 300), (low + 2700, low + 3000)]
    with caplog.at_level("INFO"):
        gti = LATGoodTimeSelector().good_times(rows_of(*spans), IN_ORBITS)
    assert np.sum(np.diff(gti)) == np.sum(np.diff(IN_ORBITS)) - 2400
    assert "2400.000 s in 1 gaps of the spacecraft file are removed" in caplog.text
    assert "longest such gap 40200.000 to 42600.000 s" in caplog.text
    assert levels(caplog) == ["WARNING"]
    caplog.clear()
    spans[7] = (low, low + 2400)
    with caplog.at_level("INFO"):
        LATGoodTimeSelector().good_times(rows_of(*spans), IN_ORBITS)
    assert "300.000 s in 1 gaps" in caplog.text
    assert levels(caplog) == ["INFO"]


def test_gaps_in_the_whole_span(events, spacecraft, caplog):
    """Passages of the SAA in times that were not cut before are no warning."""
    with caplog.at_level("INFO"):
        LATGoodTimeSelector().good_times(spacecraft, DAY)
    assert levels(caplog) == ["INFO"]
    assert "13546.140 s in 16 gaps of the spacecraft file are removed" in caplog.text
    caplog.clear()
    half = [(low, low + 2700) for low in np.arange(0, DAYS, 5400.0)]
    with caplog.at_level("INFO"):
        LATGoodTimeSelector().good_times(rows_of(*half), [[0, 16 * 5400 - 2700]])
    assert levels(caplog) == ["WARNING"]


def test_roi_cut_of_cones_that_cross(events, spacecraft):
    """Times stay if a cone that holds the region is up; no part of the region is beyond then."""
    crossing = events.copy()
    crossing.selection = events.selection.narrowed(cone=(95.0, 22.0, 10.0))
    good = LATGoodTimeSelector(roi_zenith_max="90 deg").run(crossing, spacecraft)
    each = [
        LATGoodTimeSelector(roi_zenith_max="90 deg", position=center, radius=radius)
        .run(events, spacecraft)
        .ontime
        for center, radius in ((CRAB, "15 deg"), (SkyCoord(95, 22, unit="deg"), "10 deg"))
    ]
    assert max(each) < good.ontime < sum(each)
    middle = 0.5 * (spacecraft.start + spacecraft.stop)
    rows = np.any((middle[:, None] > good.gti[:, 0]) & (middle[:, None] < good.gti[:, 1]), axis=1)
    zenith = SkyCoord(spacecraft["RA_ZENITH"][rows], spacecraft["DEC_ZENITH"][rows], unit="deg")
    grid = SkyCoord(*np.meshgrid(np.arange(80, 106, 1.0), np.arange(10, 35, 1.0)), unit="deg")
    inside = (grid.separation(CRAB).deg < 15) & (
        grid.separation(SkyCoord(95, 22, unit="deg")).deg < 10
    )
    assert inside.sum() > 50
    assert zenith[:, None].separation(grid[inside][None]).deg.max() < 90
    with pytest.raises(ValueError, match=r"= 5 deg, circle\(95, 22, 10\) and circle\(83.6331"):
        LATGoodTimeSelector(roi_zenith_max="5 deg").run(crossing, spacecraft)
