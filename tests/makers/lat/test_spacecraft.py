"""Spacecraft files: the reference FT2, and rows that are wrong."""

import numpy as np
import pytest
from astropy.io import fits

from dmgammapy.makers.lat.events import LATEventList
from dmgammapy.makers.lat.spacecraft import LATSpacecraft

REFERENCE = "lat/reference/ft2.fits.gz"


@pytest.fixture(scope="module")
def reference(test_data):
    """Two days and a half of the spacecraft."""
    return LATSpacecraft.read(test_data / REFERENCE)


def made_up(n=10, step=30.0, start=0.0):
    """Rows side by side."""
    begin = start + step * np.arange(n)
    data = {"RA_SCZ": np.arange(n, dtype=np.float32), "SC_POSITION": np.ones((n, 3))}
    return LATSpacecraft(begin, begin + step, np.full(n, 0.9 * step), data)


def test_reference_against_astropy(reference, test_data):
    with fits.open(test_data / REFERENCE) as hdus:
        table = hdus["SC_DATA"].data
        assert len(reference) == len(table) == 5604
        assert sorted(reference.names) == sorted(table.names)
        for name in table.names:
            assert np.array_equal(reference[name], table[name])
            assert reference[name].dtype.isnative
    assert reference["IN_SAA"].dtype == bool
    assert "ROCK_ANGLE" in reference
    assert "2008-08-04T15:43:36 to 2008-08-07T00:04:27" in repr(reference)
    with pytest.raises(KeyError, match="no column ROCK, only START, STOP, LIVETIME"):
        reference["ROCK"]


def test_gaps_of_the_reference(reference):
    """Passages of the South Atlantic Anomaly, against differences of the rows."""
    gaps = reference.gaps()
    length = reference.start[1:] - reference.stop[:-1]
    assert len(gaps) == np.count_nonzero(length > 0) == 37
    np.testing.assert_allclose(gaps[:, 1] - gaps[:, 0], length[length > 0])


def test_covers_the_reference_events(reference, test_data):
    events = LATEventList.read(test_data / "lat/reference/ft1.fits.gz")
    assert len(reference.uncovered(events.gti)) == 0
    reference.check_coverage(events.gti)


def test_slice(reference):
    """The rows with some of the time, by comparison of each."""
    start, stop = reference.start[100] + 1, reference.stop[200] - 1
    part = reference.slice(start, stop)
    inside = (reference.stop > start) & (reference.start < stop)
    assert np.array_equal(part.start, reference.start[inside])
    assert np.array_equal(part["RA_SCZ"], reference["RA_SCZ"][inside])
    assert len(reference.slice(stop=reference.start[0])) == 0
    assert len(reference.slice()) == len(reference)


def test_round_trip(reference, tmp_path):
    reference.write(tmp_path / "ft2.fits")
    again = LATSpacecraft.read(tmp_path / "ft2.fits")
    assert again.names == reference.names
    for name in reference.names:
        assert np.array_equal(again[name], reference[name])
        assert again[name].dtype == reference[name].dtype
    with fits.open(tmp_path / "ft2.fits", checksum=True) as hdus:
        assert hdus["SC_DATA"].header["TELESCOP"] == "GLAST"
        assert hdus["SC_DATA"].columns["START"].unit == "s"
        assert hdus["SC_DATA"].columns["RA_ZENITH"].unit == "deg"
    with pytest.raises(FileExistsError):
        reference.write(tmp_path / "ft2.fits")


def test_columns(test_data):
    few = LATSpacecraft.read(test_data / REFERENCE, columns=["RA_SCZ", "DEC_SCZ"])
    assert few.names == ["START", "STOP", "LIVETIME", "RA_SCZ", "DEC_SCZ"]
    with pytest.raises(ValueError, match="no column RA_SUNN; found START"):
        LATSpacecraft.read(test_data / REFERENCE, columns=["RA_SUNN"])


def test_weekly_files(reference, tmp_path, caplog):
    """Parts in the wrong order that share rows are the whole."""
    reference.select(slice(2990, None)).write(tmp_path / "w2.fits")
    reference.select(slice(0, 3000)).write(tmp_path / "w1.fits")
    with caplog.at_level("INFO"):
        joined = LATSpacecraft.read([tmp_path / "w2.fits", tmp_path / "w1.fits"])
    for name in reference.names:
        assert np.array_equal(joined[name], reference[name])
    assert "10 rows that are in two files are kept once" in caplog.text
    assert "put in the order of time" in caplog.text


def test_rows_that_overlap(tmp_path):
    made_up().write(tmp_path / "a.fits")
    made_up(start=285.0).write(tmp_path / "b.fits")
    with pytest.raises(ValueError, match=r"b.fits: spacecraft row 11: rows must .* not overlap"):
        LATSpacecraft.read([tmp_path / "a.fits", tmp_path / "b.fits"])


@pytest.mark.parametrize(
    ("name", "row", "value", "message"),
    [
        ("start", 3, np.nan, "row 4: times must be finite"),
        ("livetime", 2, np.inf, "row 3: times must be finite"),
        ("stop", 3, 80.0, "row 4: a row must stop after it starts, got START 90.0, STOP 80.0"),
        ("livetime", 2, -1.0, "row 3: a livetime must not be negative"),
        ("stop", 3, 125.0, "row 5: rows must ascend and not overlap, .* before stops at 125.0"),
    ],
)
def test_bad_rows(name, row, value, message):
    rows = made_up()
    values = {key: getattr(rows, key).copy() for key in ("start", "stop", "livetime")}
    values[name][row] = value
    with pytest.raises(ValueError, match=message):
        LATSpacecraft(**values, data={})


def test_columns_of_other_lengths():
    with pytest.raises(ValueError, match=r"must have 2 rows as START, got \['A \(3\)'\]"):
        LATSpacecraft([0, 1], [1, 2], [1, 1], {"A": [1, 2, 3]})


def test_not_a_spacecraft_file(test_data, tmp_path):
    with pytest.raises(ValueError, match=r"no extension SC_DATA, found .*spacecraft file \(FT2\)"):
        LATSpacecraft.read(test_data / "lat/reference/ft1.fits.gz")
    data = (test_data / REFERENCE).read_bytes()
    (tmp_path / "cut.fits.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="cut.fits.gz .* not a whole FITS file"):
        LATSpacecraft.read(tmp_path / "cut.fits.gz")


class TestCoverage:
    """Good times that rows of 0 to 300 s and 600 to 900 s don't cover."""

    rows = LATSpacecraft(
        np.concatenate([made_up().start, made_up(start=600.0).start]),
        np.concatenate([made_up().stop, made_up(start=600.0).stop]),
        np.full(20, 27.0),
        {},
    )

    def test_uncovered(self):
        assert self.rows.gaps().tolist() == [[300, 600]]
        assert self.rows.uncovered([[100, 400], [550, 950]]).tolist() == [
            [300, 400],
            [550, 600],
            [900, 950],
        ]

    def test_edges_may_differ_by_a_second(self):
        self.rows.check_coverage([[-0.9, 300.5], [600, 900.8]])

    @pytest.mark.parametrize(
        ("gti", "gap_max", "message"),
        [
            # the whole gap counts, not the part of it that is good time
            ([[100, 350]], 250, r"lack 50.000 of 250.000 s .* 300.000 to 350.000 .* \(50.000 s\)"),
            ([[0, 310], [400, 410], [590, 700]], 299, "lack 30.000 of 430.000 .* in 3 intervals"),
            ([[100, 400]], 0, r"lack 100.000 of 300.000 s .* 300.000 to 400.000 .* \(100.000 s\)"),
            ([[100, 700]], 250, r"lack 300.000 of 600.000 s of good time in 1 intervals"),
            ([[-50, 100]], 1e9, r"lack 50.000 of 150.000 s .* -50.000 to 0.000"),
            ([[800, 950]], 1e9, "lack 50.000 of 150.000 s"),
            ([[2000, 3000]], 1e9, r"don't overlap in time: rows 0.000 to 900.000 .*2001-01-01"),
            ([[350, 400]], 1e9, "don't overlap in time"),
        ],
    )
    def test_refused(self, gti, gap_max, message):
        with pytest.raises(ValueError, match=message):
            self.rows.check_coverage(gti, gap_max=gap_max)

    def test_gaps_that_may_be(self):
        missing = self.rows.check_coverage([[100, 700]], gap_max=300)
        assert missing.tolist() == [[300, 600]]
        # all that is lost is told, also what is too short for an error
        missing = self.rows.check_coverage([[-0.5, 300.25], [650, 700]])
        assert missing.tolist() == [[-0.5, 0], [300, 300.25]]

    def test_a_short_good_time(self):
        self.rows.check_coverage([[10, 10.5]])
        self.rows.check_coverage(np.zeros((0, 2)))

    def test_no_rows(self):
        empty = self.rows.select(slice(0, 0))
        assert len(empty.gaps()) == 0
        assert repr(empty) == "LATSpacecraft(0 rows)"
        with pytest.raises(ValueError, match="don't overlap in time: no rows"):
            empty.check_coverage([[0, 10]])


def test_overlaps_of_rounding(caplog):
    """A row stops where the next one starts, and keeps its livetime."""
    rows = made_up()
    stop = rows.stop.copy()
    stop[[2, 5]] += 1e-6, 0.1 - 1e-9
    with caplog.at_level("INFO"):
        clipped = LATSpacecraft(rows.start, stop, rows.livetime, {})
    assert np.array_equal(clipped.stop, rows.stop)
    assert np.array_equal(clipped.livetime, rows.livetime)
    assert "2 rows of the spacecraft data stop up to 0.1 s after the next one starts" in caplog.text
    assert stop[2] == 90 + 1e-6
    assert len(clipped.gaps()) == 0
    stop[5] += 0.01
    with pytest.raises(ValueError, match="row 7: rows must ascend and not overlap"):
        LATSpacecraft(rows.start, stop, rows.livetime, {})
