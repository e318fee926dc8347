"""Event files against the reference FT1 and files that are wrong."""

import gzip

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from astropy.wcs import WCS

from dmgammapy.makers.lat._dss import LATDataSelection
from dmgammapy.makers.lat._gti import gti_mask
from dmgammapy.makers.lat.events import LATEventList

REFERENCE = "lat/reference/ft1.fits.gz"
START = 239557417.0


@pytest.fixture(scope="module")
def reference(test_data):
    """The events of one day on the Crab."""
    return LATEventList.read(test_data / REFERENCE)


def made_up(n=20, seed=0, start=START, **cuts):
    """Event list without a file."""
    random = np.random.default_rng(seed)
    table = Table(
        {
            "ENERGY": random.uniform(100, 1e5, n).astype(np.float32),
            "RA": random.uniform(0, 360, n).astype(np.float32),
            "DEC": random.uniform(-90, 90, n).astype(np.float32),
            "TIME": start + np.sort(random.uniform(0, 1000, n)),
            "RUN_ID": np.full(n, 239557417, dtype=np.int32),
            "EVENT_ID": np.arange(n, dtype=np.int32) + 1000 * seed,
            "EVENT_CLASS": random.integers(0, 2**32, n, dtype=np.uint32),
            "EVENT_TYPE": np.full(n, 0b100100101, dtype=np.uint32),
        }
    )
    selection = LATDataSelection(event_class=128, pass_version="P8R3", **cuts)
    return LATEventList(table, [[start, start + 1000]], selection)


def test_reference(reference):
    assert len(reference) == 1507
    assert len(reference.gti) == 15
    assert reference.ontime.to_value("s") == pytest.approx(63395.6504765749, abs=1e-9)
    assert gti_mask(reference.table["TIME"], reference.gti).all()
    assert "1507 events, 15 good time intervals of 63395.650 s" in repr(reference)


def test_bits_are_those_of_the_file(reference, test_data):
    """astropy's booleans, of which the last is the least bit; types against CONVERSION_TYPE."""
    with fits.open(test_data / REFERENCE) as hdus:
        for name in ("EVENT_CLASS", "EVENT_TYPE"):
            bits = hdus["EVENTS"].data[name]
            expected = bits @ (2 ** np.arange(31, -1, -1, dtype=np.int64))
            assert np.array_equal(reference.table[name], expected)
    assert np.array_equal(
        (reference.table["EVENT_TYPE"] & 2) != 0, reference.table["CONVERSION_TYPE"] == 1
    )
    for first in (0, 2, 6):
        count = 2 if first == 0 else 4
        members = [(reference.table["EVENT_TYPE"] >> (first + i)) & 1 for i in range(count)]
        assert np.all(np.sum(members, axis=0) == 1)


@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
def test_counts_cube(reference, test_data):
    """The 853 events of gtbin's counts cube, voxel by voxel.

    With the galactic coordinates of the file, one event is 4e-6 of a pixel over a border, which is
    the rounding of its 32 bits; with those of astropy, 2 seconds of arc from those of the Science
    Tools (0.003 of a pixel), three events are over one.
    """
    with fits.open(test_data / "lat/reference/cntmap.fits.gz") as hdus:
        cube = hdus[0].data
        wcs = WCS(hdus[0].header).celestial
        edges = np.append(hdus["EBOUNDS"].data["E_MIN"], hdus["EBOUNDS"].data["E_MAX"][-1]) / 1e3
    n_energy, n_y, n_x = cube.shape
    galactic = reference.radec.galactic
    tools = reference.column("L"), reference.column("B")
    for lon, lat, moved in ((*tools, 1), (galactic.l.deg, galactic.b.deg, 3)):
        x, y = wcs.all_world2pix(lon, lat, 0)
        counts, _ = np.histogramdd(
            [reference.energy.to_value("MeV"), y, x],
            [edges, np.arange(n_y + 1) - 0.5, np.arange(n_x + 1) - 0.5],
        )
        assert counts.sum() == cube.sum() == 853
        assert np.abs(counts - cube).sum() == 2 * moved


def test_times(reference):
    first = reference.time[0]
    assert first.scale == "tt"
    met = (first - Time("2001-01-01T00:00:00", scale="utc")).to_value("s")
    # no leap second between the reference and 2005 is in mission elapsed time; two are since
    assert met == pytest.approx(float(reference.table["TIME"][0]), abs=1e-5)
    assert first.utc.isot.startswith("2008-08-04T15:44:08.25")


def test_positions_agree_with_the_galactic_columns(reference):
    galactic = reference.radec.galactic
    # the turn of the Science Tools is 1.5 to 2 seconds of arc from that of astropy
    np.testing.assert_allclose(galactic.b.deg, reference.table["B"], atol=5e-4)
    np.testing.assert_allclose(galactic.l.deg, reference.table["L"], atol=5e-4)


def test_to_gammapy(reference):
    events = reference.to_gammapy()
    assert len(events.table) == 1507
    np.testing.assert_array_equal(events.energy.to_value("MeV"), reference.energy.to_value("MeV"))
    assert np.abs((events.time - reference.time).to_value("s")).max() < 1e-5
    assert events.radec.separation(reference.radec).deg.max() == 0


@pytest.mark.parametrize("name", ["out.fits", "out.fits.gz"])
def test_round_trip(reference, tmp_path, name):
    reference.write(tmp_path / name)
    again = LATEventList.read(tmp_path / name)
    assert again.table.colnames == reference.table.colnames
    for column in reference.table.colnames:
        assert np.array_equal(again.table[column], reference.table[column])
        assert again.table[column].dtype == reference.table[column].dtype
        assert again.table[column].unit == reference.table[column].unit
    assert np.array_equal(again.gti, reference.gti)
    assert again.selection == reference.selection


def test_layout_of_the_science_tools(reference, test_data, tmp_path):
    """Formats, units, limits of columns, keywords and checksums as in the file read."""
    reference.write(tmp_path / "out.fits")
    with (
        fits.open(test_data / REFERENCE) as expected,
        fits.open(tmp_path / "out.fits", checksum=True) as found,
    ):
        assert [hdu.name for hdu in found] == ["PRIMARY", "EVENTS", "GTI"]
        assert found["EVENTS"].data.tobytes() == expected["EVENTS"].data.tobytes()
        assert found["GTI"].data.tobytes() == expected["GTI"].data.tobytes()
        skipped = ("CHECKSUM", "DATASUM", "HISTORY", "COMMENT", "DATE-OBS", "DATE-END", "")
        for key, value in expected["EVENTS"].header.items():
            if key not in skipped:
                assert found["EVENTS"].header[key] == value, key
        assert list(found["EVENTS"].header["HISTORY"]) == list(expected["EVENTS"].header["HISTORY"])
        for name in ("DATE-OBS", "DATE-END"):
            times = [Time(hdus["EVENTS"].header[name]) for hdus in (expected, found)]
            assert abs((times[0] - times[1]).to_value("s")) < 1e-3
        assert found["GTI"].header["ONTIME"] == pytest.approx(expected["GTI"].header["ONTIME"])


def test_made_up_events_are_written_and_read(tmp_path):
    events = made_up()
    events.write(tmp_path / "made.fits")
    again = LATEventList.read(tmp_path / "made.fits")
    for column in events.table.colnames:
        assert np.array_equal(again.table[column], events.table[column])
    assert again.selection == events.selection
    with pytest.raises(FileExistsError, match="overwrite=True"):
        events.write(tmp_path / "made.fits")


def test_columns(test_data):
    some = LATEventList.read(test_data / REFERENCE, columns=["ZENITH_ANGLE"])
    expected = ["ENERGY", "RA", "DEC", "ZENITH_ANGLE", "TIME", "EVENT_ID", "RUN_ID"]
    assert some.table.colnames == expected
    needed = LATEventList.read(test_data / REFERENCE, columns="needed")
    assert set(needed.table.colnames) == {*expected, "THETA", "EVENT_CLASS", "EVENT_TYPE"}
    with pytest.raises(ValueError, match=r"\[EVENTS\]: no column PULSE_PHASE; found ENERGY"):
        LATEventList.read(test_data / REFERENCE, columns=["PULSE_PHASE"])
    with pytest.raises(ValueError, match="'needed' or None, got 'all'"):
        LATEventList.read(test_data / REFERENCE, columns="all")


def test_several_files(reference, tmp_path, caplog):
    """Two halves that overlap in ten events are the whole again, in the order of time."""
    middle = float(reference.table["TIME"][700])
    first, second = reference.select(slice(0, 710)), reference.select(slice(700, None))
    first.gti = np.array([row for row in reference.gti if row[0] < middle])
    second.gti = np.array([row for row in reference.gti if row[1] > middle])
    first.write(tmp_path / "w1.fits")
    second.write(tmp_path / "w2.fits")
    (tmp_path / "list.txt").write_text("# weeks\nw2.fits\n\nw1.fits\n")
    for given in (f"@{tmp_path / 'list.txt'}", [tmp_path / "w2.fits", str(tmp_path / "w1.fits")]):
        caplog.clear()
        with caplog.at_level("INFO"):
            joined = LATEventList.read(given)
        assert "10 events that are in two files are kept once" in caplog.text
        assert len(joined) == 1507
        for name in reference.table.colnames:
            assert np.array_equal(joined.table[name], reference.table[name])
        assert np.array_equal(joined.gti, reference.gti)
        assert joined.selection == reference.selection
        assert joined.table["ENERGY"].unit == "MeV"


def test_same_numbers_of_other_runs_are_other_events():
    first, second = made_up(seed=1), made_up(seed=1)
    second.table["RUN_ID"] += 1
    assert len(LATEventList.stack([first, second])) == 40
    second = made_up(seed=1)
    second.table["TIME"] += 1e-6
    assert len(LATEventList.stack([first, second])) == 40
    assert len(LATEventList.stack([first, made_up(seed=1)])) == 20


def test_columns_not_in_all_files_are_said(caplog):
    first, second = made_up(seed=1), made_up(seed=2)
    second.table["PULSE_PHASE"] = 0.5
    joined = LATEventList.stack([first, second])
    assert "PULSE_PHASE" not in joined.table.colnames
    assert "Columns not in all files are left: ['PULSE_PHASE']" in caplog.text


def test_selections_must_agree(tmp_path):
    made_up(seed=1, zenith_max=90.0).write(tmp_path / "a.fits")
    made_up(seed=2, zenith_max=100.0).write(tmp_path / "b.fits")
    with pytest.raises(ValueError, match=r"a.fits has .*zenith <= 90 deg .*b.fits has .* 100 deg"):
        LATEventList.read([tmp_path / "a.fits", tmp_path / "b.fits"])


def test_ranges_of_queries_may_differ():
    first = made_up(seed=1, time=(START, START + 1000))
    second = made_up(seed=2, start=START + 2000, time=(START + 2000, START + 3000))
    joined = LATEventList.stack([first, second])
    assert joined.selection.time is None
    assert joined.gti.tolist() == [[START, START + 1000], [START + 2000, START + 3000]]


def rewritten(test_data, path, change):
    """Reference file with a change to its list of extensions."""
    with fits.open(test_data / REFERENCE) as hdus:
        change(hdus)
        hdus.writeto(path)
    return path


def test_good_times_are_within_the_query(test_data, tmp_path):
    def change(hdus):
        hdus["EVENTS"].header["DSTYP7"] = "TIME"
        hdus["EVENTS"].header["DSVAL7"] = f"{START}:{START + 4000}"

    events = LATEventList.read(rewritten(test_data, tmp_path / "a.fits", change))
    assert events.gti.max() == START + 4000


@pytest.mark.parametrize("name", ["EVENTS", "GTI"])
def test_missing_extension(test_data, tmp_path, name):
    def change(hdus):
        del hdus[name]

    path = rewritten(test_data, tmp_path / "a.fits", change)
    with pytest.raises(ValueError, match=f"a.fits: no extension {name}, found .*event file"):
        LATEventList.read(path)


def test_without_dss_keywords(test_data, tmp_path):
    def change(hdus):
        for key in list(hdus["EVENTS"].header):
            if key.startswith(("DSTYP", "DSVAL", "DSUNI", "DSREF", "NDSKEYS")):
                del hdus["EVENTS"].header[key]

    path = rewritten(test_data, tmp_path / "a.fits", change)
    with pytest.raises(ValueError, match="a.fits: no DSS keywords .* selection=LATDataSelection"):
        LATEventList.read(path)
    stated = LATDataSelection(event_class=128, event_type=3, pass_version="P8R2")
    assert LATEventList.read(path, selection=stated).selection == stated


@pytest.mark.parametrize("name", ["a.fits", "a.fits.gz"])
@pytest.mark.parametrize("part", [0.001, 0.2, 0.5, 0.9])
def test_cut_files(test_data, tmp_path, name, part):
    data = (test_data / REFERENCE).read_bytes()
    data = data if name.endswith(".gz") else gzip.decompress(data)
    path = tmp_path / name
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(ValueError, match=rf"{name} \(\d+ bytes\): not a whole FITS file"):
        LATEventList.read(path)


def test_a_file_cut_in_its_last_bytes(tmp_path):
    made_up().write(tmp_path / "whole.fits")
    data = (tmp_path / "whole.fits").read_bytes()
    (tmp_path / "cut.fits").write_bytes(data[:-2880])
    with pytest.raises(ValueError, match="not a whole FITS file"):
        LATEventList.read(tmp_path / "cut.fits")


def test_files_that_are_none(tmp_path):
    (tmp_path / "text.fits").write_text("no FITS file")
    with pytest.raises(ValueError, match="text.fits .* not a whole FITS file"):
        LATEventList.read(tmp_path / "text.fits")
    with pytest.raises(FileNotFoundError, match="absent.fits: no such file"):
        LATEventList.read(tmp_path / "absent.fits")
    with pytest.raises(FileNotFoundError, match="absent.txt: no such list"):
        LATEventList.read(f"@{tmp_path / 'absent.txt'}")
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(ValueError, match="empty.txt: the list names no file"):
        LATEventList.read(f"@{tmp_path / 'empty.txt'}")
    with pytest.raises(ValueError, match="no files"):
        LATEventList.read([])
    with pytest.raises(TypeError, match="expected a path"):
        LATEventList.read(5)


def test_pass7_is_refused(tmp_path):
    """Columns and keywords of a Pass 7 file: integer classes, no types."""
    columns = [
        fits.Column(name, form, array=np.ones(3))
        for name, form in (("ENERGY", "E"), ("RA", "E"), ("DEC", "E"), ("TIME", "D"))
    ]
    columns.append(fits.Column("EVENT_CLASS", "J", array=[4, 4, 12]))
    events = fits.BinTableHDU.from_columns(columns, name="EVENTS")
    events.header["DSTYP1"] = "BIT_MASK(EVENT_CLASS,2)"
    times = fits.BinTableHDU.from_columns(
        [fits.Column("START", "D", array=[0.0]), fits.Column("STOP", "D", array=[5.0])], name="GTI"
    )
    path = tmp_path / "p7.fits"
    fits.HDUList([fits.PrimaryHDU(), events, times]).writeto(path)
    with pytest.raises(ValueError, match="p7.fits: events of Pass 7 .* no column EVENT_TYPE"):
        LATEventList.read(path)
    events.header["PASS_VER"] = "P7REP"
    fits.HDUList([fits.PrimaryHDU(), events, times]).writeto(path, overwrite=True)
    with pytest.raises(ValueError, match="PASS_VER = 'P7REP'.*fetch the Pass 8"):
        LATEventList.read(path)


def test_pass8_with_whole_numbers(tmp_path):
    """Classes as integers, from tools that know no bits."""
    made_up().write(tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits") as hdus:
        columns = [column for column in hdus["EVENTS"].columns if column.format != "32X"]
        columns += [fits.Column("EVENT_CLASS", "J", array=np.full(20, 2**7))]
        columns += [fits.Column("EVENT_TYPE", "J", array=np.full(20, 5))]
        hdus["EVENTS"] = fits.BinTableHDU.from_columns(columns, header=hdus["EVENTS"].header)
        hdus.writeto(tmp_path / "b.fits")
    events = LATEventList.read(tmp_path / "b.fits")
    assert events.table["EVENT_CLASS"].dtype == np.uint32
    assert set(events.table["EVENT_TYPE"]) == {5}


def test_numbers_that_are_none(tmp_path):
    events = made_up()
    events.table["RA"][3] = np.nan
    events.write(tmp_path / "a.fits")
    with pytest.raises(ValueError, match=r"\[EVENTS\], row 4, RA: expected a finite number"):
        LATEventList.read(tmp_path / "a.fits")


def test_good_times_that_overlap(tmp_path, caplog):
    events = made_up()
    events.gti = np.array([[START + 50, START + 100], [START, START + 60]])
    events.write(tmp_path / "a.fits")
    assert LATEventList.read(tmp_path / "a.fits").gti.tolist() == [[START, START + 100]]
    assert "intervals overlap or do not ascend" in caplog.text


def test_select_and_copy_leave_the_list(reference):
    few = reference.select(reference.energy.to_value("MeV") > 1000)
    assert 0 < len(few) < 1507
    copied = reference.copy()
    copied.table["ENERGY"][:] = 0
    copied.gti[:] = 0
    assert reference.table["ENERGY"].min() > 200
    assert reference.gti.min() > 0
    with pytest.raises(ValueError, match="no column PULSE_PHASE"):
        reference.column("PULSE_PHASE")


def test_no_events(tmp_path):
    empty = made_up(n=0)
    empty.write(tmp_path / "empty.fits")
    again = LATEventList.read(tmp_path / "empty.fits")
    assert len(again) == 0
    assert again.ontime.to_value("s") == 1000
    assert len(LATEventList.stack([again, made_up()])) == 20
    with pytest.raises(ValueError, match="no event list to stack"):
        LATEventList.stack([])
