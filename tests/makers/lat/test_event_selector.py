"""Selections against the reference of gtselect and counts by hand."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.time import Time

from dmgammapy.makers.lat._dss import LATDataSelection
from dmgammapy.makers.lat.event_selector import LATEventSelector
from dmgammapy.makers.lat.events import LATEventList

REFERENCE = "lat/reference/ft1.fits.gz"
CRAB = SkyCoord(83.6331, 22.0145, unit="deg")
START = 239557417.0


@pytest.fixture(scope="module")
def reference(test_data):
    """The events of one day on the Crab."""
    return LATEventList.read(test_data / REFERENCE)


@pytest.fixture
def whole_sky():
    """Events on limits, of a file without cuts."""
    table = Table(
        {
            "ENERGY": [100.0, 200.0, 1000.0, 1000.5, 5000.0],
            "RA": [10.0, 11.0, 12.0, 13.0, 200.0],
            "DEC": [0.0, 0.0, 0.0, 0.0, 80.0],
            "ZENITH_ANGLE": [0.0, 90.0, 90.5, 100.0, 120.0],
            "TIME": START + np.array([0.0, 10.0, 20.0, 30.0, 40.0]),
            "EVENT_CLASS": np.array([128, 384, 896, 64, 2176], dtype=np.uint32),
            "EVENT_TYPE": np.array([1 + 4, 2 + 8, 1 + 16, 2 + 32, 1 + 32], dtype=np.uint32),
            "PULSE_PHASE": [0.0, 0.1, 0.25, 0.95, 1.0],
        }
    )
    selection = LATDataSelection(pass_version="P8R3")
    return LATEventList(table, [[START, START + 25.0], [START + 28.0, START + 50.0]], selection)


def kept(events, **cuts):
    """Numbers of the events that are left."""
    selected = LATEventSelector(**cuts).run(events)
    return np.flatnonzero(np.isin(events.table["TIME"], selected.table["TIME"])).tolist()


def test_cuts_of_the_reference_leave_all(reference):
    selector = LATEventSelector(
        event_class="SOURCE",
        event_type="FB",
        energy_min=200 * u.MeV,
        energy_max="20 GeV",
        zenith_max=90 * u.deg,
        position=CRAB,
        radius="15 deg",
        time_min=239557417.5,
        time_max=239643817.5,
    )
    selected = selector.run(reference)
    for name in reference.table.colnames:
        assert np.array_equal(selected.table[name], reference.table[name])
    assert np.array_equal(selected.gti, reference.gti)
    assert selected.selection == reference.selection
    assert len(LATEventSelector().run(reference)) == 1507


def test_counts_of_the_reference(reference):
    """Narrower cuts, by masks of the table in numpy and separations of astropy."""
    table = reference.table
    energy, zenith = table["ENERGY"].astype(float), table["ZENITH_ANGLE"].astype(float)
    near = reference.radec.separation(CRAB).deg < 3
    expected = (
        ((table["EVENT_CLASS"] & 256) != 0)
        & ((table["EVENT_TYPE"] & 48) != 0)
        & (energy > 300)
        & (energy <= 5000)
        & (zenith <= 60)
        & near
    )
    selected = LATEventSelector(
        event_class="CLEAN",
        event_type=["PSF2", "PSF3"],
        energy_min="300 MeV",
        energy_max="5 GeV",
        zenith_max="60 deg",
        position=CRAB.galactic,
        radius=3 * u.deg,
    ).run(reference)
    assert 0 < expected.sum() < 500
    assert np.array_equal(selected.table["TIME"], table["TIME"][expected])
    assert str(selected.selection) == (
        "CLEAN (256), PSF2+PSF3 (48), 300 < E <= 5000 MeV, zenith <= 60 deg, "
        "circle(83.6331, 22.0145, 3) deg"
    )


def test_event_types_divide_the_events(reference):
    for types in (
        ["FRONT", "BACK"],
        [f"PSF{i}" for i in range(4)],
        [f"EDISP{i}" for i in range(4)],
    ):
        counts = [len(LATEventSelector(event_type=name).run(reference)) for name in types]
        assert sum(counts) == 1507
        assert min(counts) > 300


def test_limits(whole_sky):
    """The lower limit is excluded, the upper one included; a cone is open."""
    assert kept(whole_sky, energy_min="200 MeV", energy_max="1 GeV") == [2]
    assert kept(whole_sky, energy_max="200 MeV") == [0, 1]
    assert kept(whole_sky, zenith_max="90 deg") == [0, 1]
    at_ten = SkyCoord(10, 0, unit="deg")
    assert kept(whole_sky, position=at_ten, radius="2 deg") == [0, 1]
    assert kept(whole_sky, position=at_ten, radius="180 deg") == [0, 1, 2, 3, 4]
    assert kept(whole_sky, time_min=START, time_max=START + 20) == [1, 2]


def test_ranges_divide_the_events(reference):
    edges = [200, 494.3488159, 1000, 20000]  # the second is the energy of the first event
    parts = [
        len(LATEventSelector(energy_min=low * u.MeV, energy_max=high * u.MeV).run(reference))
        for low, high in zip(edges, edges[1:], strict=False)
    ]
    assert sum(parts) == 1507


def test_classes_and_types(whole_sky):
    assert kept(whole_sky, event_class="SOURCE") == [0, 1, 2, 4]
    assert kept(whole_sky, event_class=128 + 64) == [0, 1, 2, 3, 4]
    assert kept(whole_sky, event_class="SOURCEVETO") == [4]
    assert kept(whole_sky, event_type="PSF3") == [3, 4]
    assert kept(whole_sky, event_type=3) == [0, 1, 2, 3, 4]
    assert kept(whole_sky, event_type="BACK") == [1, 3]


def test_time_cuts_the_good_times(whole_sky):
    selected = LATEventSelector(time_min=START + 5, time_max=START + 35).run(whole_sky)
    assert selected.gti.tolist() == [[START + 5, START + 25], [START + 28, START + 35]]
    assert (selected.header["TSTART"], selected.header["TSTOP"]) == (START + 5, START + 35)
    assert len(selected) == 3
    date = Time("2008-08-04T15:43:36") + 10.5 * u.s
    assert kept(whole_sky, time_min=date) == [2, 3, 4]
    assert kept(whole_sky, time_min=(START + 15) * u.s) == [2, 3, 4]
    assert whole_sky.gti.tolist() == [[START, START + 25], [START + 28, START + 50]]


def test_events_outside_good_times_go(whole_sky):
    whole_sky.gti = np.array([[START, START + 25.0]])
    assert kept(whole_sky) == [0, 1, 2]


def test_phase(whole_sky):
    """Upper limits belong to a range, and 0 is 1."""
    assert kept(whole_sky, phase=[(0.0, 0.25)]) == [1, 2]
    assert kept(whole_sky, phase=(0.1, 0.3)) == [2]
    assert kept(whole_sky, phase=[(0.9, 0.1)]) == [0, 1, 3, 4]
    assert kept(whole_sky, phase=[(0.2, 0.3), (0.94, 1.0)]) == [0, 2, 3, 4]
    assert kept(whole_sky, phase=[(0.0, 1.0)]) == [0, 1, 2, 3, 4]
    selected = LATEventSelector(phase=[(0.9, 0.1), (0.5, 0.6)]).run(whole_sky)
    assert selected.selection.phase_fraction == pytest.approx(0.3)
    assert selected.selection.to_header()["DSVAL2"] == "0:0.1,0.5:0.6,0.9:1"


def test_phase_without_a_column(reference):
    with pytest.raises(ValueError, match="no column PULSE_PHASE, only ENERGY"):
        LATEventSelector(phase=[(0, 0.5)]).run(reference)


@pytest.mark.parametrize(
    ("cuts", "message"),
    [
        ({"event_class": "TRANSIENT020"}, r"SOURCE \(128\), and TRANSIENT020 \(16\) was asked"),
        ({"energy_min": "100 MeV"}, "200 to 20000 MeV, and 100 to 20000 MeV was asked for"),
        ({"energy_max": "1 TeV"}, "200 to 20000 MeV, and 200 to 1e"),
        ({"zenith_max": "100 deg"}, "up to 90 deg, and up to 100 deg was asked for"),
        ({"position": CRAB, "radius": "16 deg"}, r"circle\(83.6331, 22.0145, 15\) deg, and circle"),
        ({"time_min": 1.0, "time_max": 2.0}, "no good time is left by time_min = 1.0"),
        ({"time_min": START + 10, "time_max": START}, "time_min must be before time_max"),
    ],
)
def test_cuts_that_the_events_refuse(test_data, reference, cuts, message):
    selector = LATEventSelector(**cuts)
    with pytest.raises(ValueError, match=message):
        selector.run(reference)
    with pytest.raises(ValueError, match=message):
        selector.run(test_data / REFERENCE)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"energy_min": -1 * u.MeV}, ValueError, "energy_min must be within 0"),
        ({"energy_min": 100 * u.deg}, u.UnitConversionError, "not convertible"),
        ({"zenith_max": 200 * u.deg}, ValueError, "within 0 and 180 deg"),
        ({"position": CRAB}, ValueError, "needs both, position and radius"),
        ({"radius": "1 deg"}, ValueError, "needs both"),
        (
            {"position": SkyCoord([1, 2], [3, 4], unit="deg"), "radius": "1 deg"},
            ValueError,
            "one Sky",
        ),
        ({"event_type": ["FRONT", "PSF3"]}, ValueError, "mixes types that share events"),
        ({"phase": [(0.1, 0.1)]}, ValueError, "must not be empty"),
        ({"phase": [(0.0, 0.3), (0.2, 0.4)]}, ValueError, "overlap, got 0:0.3 and 0.2:0.4"),
        ({"phase": [(0.0, 1.2)]}, ValueError, "pairs of numbers from 0 to 1"),
        ({"phase": [0.1, 0.2, 0.3]}, ValueError, "pairs of numbers"),
    ],
)
def test_arguments_that_are_wrong(arguments, error, message):
    with pytest.raises(error, match=message):
        LATEventSelector(**arguments)


def test_no_events_are_no_error(reference, caplog):
    with caplog.at_level("INFO"):
        empty = LATEventSelector(energy_min="19.9 GeV").run(reference)
    assert len(empty) == 0
    assert empty.ontime == reference.ontime
    assert "0 of 1507 events selected" in caplog.text


def test_columns_that_are_absent(reference):
    few = reference.copy()
    few.table.remove_columns(["EVENT_TYPE", "ZENITH_ANGLE"])
    with pytest.raises(ValueError, match="no column EVENT_TYPE"):
        LATEventSelector(event_type="PSF3").run(few)
    with pytest.raises(ValueError, match="no column ZENITH_ANGLE"):
        LATEventSelector(zenith_max="80 deg").run(few)


def test_files_are_cut_one_by_one(reference, tmp_path):
    """Files of different cuts agree after a cut that is in both; some may be of other times."""
    middle = 800
    first, second = reference.select(slice(0, middle)), reference.select(slice(middle, None))
    border = float(reference.table["TIME"][middle]) - 1e-3
    first = LATEventSelector(zenith_max="85 deg", time_max=border).run(first)
    second = LATEventSelector(time_min=border).run(second)
    first.write(tmp_path / "a.fits")
    second.write(tmp_path / "b.fits")
    files = [tmp_path / "a.fits", tmp_path / "b.fits"]
    with pytest.raises(ValueError, match="must be the same in all files"):
        LATEventSelector().run(files)
    selector = LATEventSelector(zenith_max="80 deg", energy_min="1 GeV")
    joined, expected = selector.run(files), selector.run(reference)
    assert np.array_equal(joined.table["TIME"], expected.table["TIME"])
    np.testing.assert_allclose(joined.ontime.value, expected.ontime.value, rtol=1e-12)
    late = LATEventSelector(zenith_max="80 deg", time_min=border + 100).run(files)
    assert late.gti.min() >= border + 100
    with pytest.raises(ValueError, match="no good time is left"):
        LATEventSelector(zenith_max="80 deg", time_min=border + 1e6).run(files)


def test_in_the_files_that_are_written(reference, tmp_path):
    selected = LATEventSelector(energy_min="1 GeV", columns="needed").run(reference)
    selected.write(tmp_path / "a.fits")
    again = LATEventList.read(tmp_path / "a.fits")
    assert again.selection == selected.selection
    assert again.header["DSVAL5"] == "1000:20000"
    assert "LATEventSelector(energy_min=1000 MeV" in "".join(again.header["HISTORY"])
    # a cut of the cut, that of what is left
    assert len(LATEventSelector(energy_min="1 GeV").run(again)) == len(selected)


def test_run_leaves_the_selector_and_the_events(reference):
    selector = LATEventSelector(energy_min="1 GeV", time_max=START + 40000)
    before = dict(vars(selector))
    one, two = selector.run(reference), selector.run(reference)
    assert vars(selector) == before
    assert np.array_equal(one.table["TIME"], two.table["TIME"])
    assert len(reference) == 1507
    assert "LATEventSelector" not in "".join(reference.header["HISTORY"])
    assert repr(selector).startswith("LATEventSelector(energy_min=1000 MeV, time_max=2.39597e+08)")


def test_cones_that_cross(reference, tmp_path):
    """Events of both cones, which the written file says, too."""
    other = SkyCoord(98, 22, unit="deg")
    cut = LATEventSelector(position=other, radius="13 deg").run(reference)
    inside = reference.radec.separation(other).deg < 13
    assert 0 < len(cut) == inside.sum() < len(reference)
    cut.write(tmp_path / "cut.fits")
    again = LATEventList.read(tmp_path / "cut.fits")
    assert again.selection.cones == ((98, 22, 13), (83.6331, 22.0145, 15))
    # files that were cut in another order agree
    swapped = again.copy()
    swapped.selection = LATDataSelection.from_dict(
        again.selection.to_dict() | {"cone": [83.6331, 22.0145, 15], "more_cones": [[98, 22, 13]]}
    )
    assert len(LATEventList.stack([again, swapped])) == len(cut)


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        (np.where(np.arange(1507) < 700, 0.3, 0.0), "exactly 0 for 807 of 1507 events, which have"),
        (np.where(np.arange(1507) < 700, 0.3, np.nan), "within 0 and 1, got nan for 807 of 1507"),
        (np.full(1507, -1.0), "within 0 and 1, got -1.0"),
    ],
)
def test_phases_that_are_not_assigned(reference, phase, message):
    events = reference.copy()
    events.table["PULSE_PHASE"] = phase
    with pytest.raises(ValueError, match=message):
        LATEventSelector(phase=[(0.2, 1.0)]).run(events)
