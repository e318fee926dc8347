"""Target tables: round trips, units and damage."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, QTable, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from dmgammapy.targets import Target, Targets

PLAIN = st.floats(1e-3, 99, allow_subnormal=False)
WIDTH = st.one_of(
    st.none(), st.just(0.0), st.floats(1e-3, 9), st.tuples(st.floats(1e-3, 9), st.floats(1e-3, 9))
)
TEXT = st.one_of(
    st.none(),
    st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8),
)


@st.composite
def a_target(draw, name):
    some = st.one_of(st.none(), PLAIN)
    factor = st.one_of(st.none(), st.floats(5.01, 29.99))
    ra, dec = draw(st.floats(0, 359.99)), draw(st.floats(-90, 90))
    distance, extension = draw(some), draw(some)
    return Target(
        name,
        position=draw(st.sampled_from([None, SkyCoord(ra, dec, unit="deg")])),
        log10_jfactor=draw(factor),
        log10_jfactor_err=draw(WIDTH),
        log10_dfactor=draw(factor),
        log10_dfactor_err=draw(WIDTH),
        distance=None if distance is None else distance * u.kpc,
        extension=None if extension is None else extension * u.deg,
        extension_err_dex=draw(WIDTH),
        reference=draw(TEXT),
        title=draw(TEXT),
        profile=draw(st.sampled_from([None, {"type": "NFW"}, {"type": "NFW", "rs": 0.1 * u.kpc}])),
    )


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_round_trip_is_exact(data, tmp_path_factory):
    targets = Targets([data.draw(a_target(name)) for name in ("a", "b", "leo IV")])
    path = tmp_path_factory.mktemp("targets") / "targets.ecsv"
    targets.write(path)
    assert Targets.read(path) == targets


@pytest.mark.parametrize("roster", ["ackermann2015_dsphs", "pace2018_all", "dsphs_gc", "test2015"])
def test_round_trip_of_rosters(roster, tmp_path):
    targets = Targets.read_roster(roster)
    targets.write(tmp_path / "targets.ecsv")
    assert Targets.read(tmp_path / "targets.ecsv") == targets
    assert Targets.from_table(targets.table) == targets


def test_writing_is_deterministic_and_careful(tmp_path):
    targets = Targets.read_roster("pace2018_all")
    path = tmp_path / "targets.ecsv"
    targets.write(path)
    first = path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        targets.write(path)
    targets.write(path, overwrite=True)
    assert path.read_bytes() == first
    with pytest.raises(ValueError, match="end the name with .ecsv"):
        targets.write(tmp_path / "targets.fits")
    with pytest.raises(ValueError, match="no targets to write"):
        Targets().write(tmp_path / "none.ecsv")
    assert [item.name for item in tmp_path.iterdir()] == ["targets.ecsv"]


def test_any_name_is_read_as_what_it_is(tmp_path):
    targets = Targets([Target("a", log10_jfactor=18.0)])
    targets.write(tmp_path / "a.ecsv")
    renamed = (tmp_path / "a.ecsv").rename(tmp_path / "a.txt")
    assert Targets.read(renamed) == targets


def test_table_has_units():
    table = Targets.read_roster("ackermann2015_dsphs").table
    assert isinstance(table, QTable)
    assert table["distance"].unit == "kpc"
    row = table[table["name"] == "draco"]
    assert row["distance"][0] == 76 * u.kpc
    assert row["ra"][0] == 260.05167 * u.deg
    assert row["log10_jfactor"][0] == 18.83
    assert "log10_jfactor_errn" not in table.colnames


def test_unknown_cells_of_the_table():
    table = Targets([Target("a", distance=1 * u.kpc), Target("b", log10_jfactor=18)]).table
    assert table["log10_jfactor"].mask.tolist() == [True, False]
    assert np.isnan(table["distance"][1])


def test_asymmetric_widths_make_two_columns():
    targets = Targets(
        [
            Target("a", log10_jfactor=18, log10_jfactor_err=(0.1, 0.2)),
            Target("b", log10_jfactor=18, log10_jfactor_err=0.3),
            Target("c", log10_jfactor=18),
        ]
    )
    table = targets.table
    np.testing.assert_array_equal(table["log10_jfactor_errn"].filled(np.nan), [0.1, 0.3, np.nan])
    np.testing.assert_array_equal(table["log10_jfactor_errp"].filled(np.nan), [0.2, 0.3, np.nan])
    assert "log10_jfactor_err" not in table.colnames
    assert Targets.from_table(table) == targets


# 1 Msun c2 = 1.11542e57 GeV and 1 kpc = 3.085678e21 cm
MSUN2_KPC5 = 2 * np.log10(1.115418e57) - 5 * np.log10(3.0856776e21)


@pytest.mark.parametrize(
    ("column", "power", "unit", "expected"),
    [
        ("jfactor", 18, "GeV2 cm-5", 18),
        ("jfactor", 18, "GeV2 cm-5 sr", 18),
        ("jfactor", 18, "TeV2 m-5", 18 + 6 - 10),
        ("jfactor", 11, "solMass2 kpc-5", 11 + MSUN2_KPC5),
        ("jfactor", -3, "solMass2 pc-5", -3 + MSUN2_KPC5 + 15),
        ("dfactor", 18, "GeV cm-2", 18),
        ("dfactor", 4, "solMass kpc-2", 4 + np.log10(1.115418e57) - 2 * np.log10(3.0856776e21)),
    ],
)
def test_factors_in_any_unit(column, power, unit, expected, tmp_path):
    table = QTable({"name": ["a"], column: u.Quantity([10.0**power], unit)})
    table.write(tmp_path / "a.ecsv")
    (target,) = Targets.read(tmp_path / "a.ecsv")
    assert getattr(target, f"log10_{column}") == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (None, 11.0),
        ("", 11.0),
        ("dex", 11.0),
        (u.dex("GeV2 cm-5"), 11.0),
        (u.dex("solMass2 kpc-5"), 11 + MSUN2_KPC5),
    ],
)
def test_logarithms_in_any_unit(unit, expected, tmp_path):
    table = Table({"name": ["a"], "log10_jfactor": [11.0]})
    table["log10_jfactor"].unit = unit
    table.write(tmp_path / "a.ecsv")
    assert Targets.read(tmp_path / "a.ecsv")[0].log10_jfactor == pytest.approx(expected, abs=2e-5)


def test_other_units_and_kinds_of_columns(tmp_path):
    table = QTable(
        {
            "name": ["a", "b"],
            "log10_jfactor": MaskedColumn([18, 0], mask=[False, True]),
            "log10_jfactor_err": [0.3, np.nan] * u.dex,
            "distance": [1.5, np.nan] * u.Mpc,
            "extension": [30, 6] * u.arcmin,
            "ra": [10, 11] * u.hourangle,
            "dec": [-0.5, 0.5] * u.rad,
            "profile": ["NFW", '{"type": "Burkert", "rs": "1 kpc"}'],
            "remarks": ["good", "bad"],
        }
    )
    table.write(tmp_path / "a.ecsv")
    a, b = Targets.read(tmp_path / "a.ecsv")
    assert (a.log10_jfactor, b.log10_jfactor) == (18, None)
    assert (a.log10_jfactor_err, b.log10_jfactor_err) == (0.3, None)
    assert a.distance.to_value("kpc") == pytest.approx(1500, rel=1e-12)
    assert b.distance is None
    assert b.extension.to_value("deg") == pytest.approx(0.1, rel=1e-12)
    assert b.position.ra.deg == pytest.approx(165, rel=1e-12)
    assert b.position.dec.deg == pytest.approx(np.degrees(0.5), rel=1e-12)
    assert a.profile == {"type": "NFW"}
    assert b.profile == {"type": "Burkert", "rs": "1 kpc"}


def test_column_of_positions(tmp_path):
    position = SkyCoord([120, 121], [45, 46], unit="deg", frame="galactic")
    table = QTable({"name": ["a", "b"], "position": position, "log10_jfactor": [18.0, 19]})
    table.write(tmp_path / "a.ecsv")
    targets = Targets.read(tmp_path / "a.ecsv")
    assert targets["b"].position.galactic.l.deg == pytest.approx(121, abs=1e-9)


def good_table():
    return Table(
        {
            "name": ["a", "b", "c"],
            "log10_jfactor": [18.0, 19.0, 20.0],
            "log10_jfactor_err": [0.1, 0.2, 0.3],
            "ra": [1.0, 2, 3],
            "dec": [1.0, 2, 3],
            "distance": [1.0, 2, 3] * u.kpc,
        }
    )


def change(column, values, **keywords):
    def apply(table):
        table[column] = values
        for key, value in keywords.items():
            setattr(table[column], key, value)

    return apply


def rename(old, new):
    return lambda table: table.rename_column(old, new)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda table: table.remove_column("name"), "there is no column 'name'"),
        (rename("name", "target"), "there is no column 'name'; the columns are target, log10_j"),
        (lambda table: table.remove_columns(table.colnames[1:3]), "no column with a factor"),
        (lambda table: table.remove_column("log10_jfactor"), "no column with a factor"),
        (rename("log10_jfactor", "log10_jfactr"), "unknown column 'log10_jfactr'; did you mean"),
        (rename("log10_jfactor_err", "log10_jfactor_er"), "unknown column 'log10_jfactor_er'"),
        (lambda table: table.remove_column("dec"), "ra and dec belong together; there is only ra"),
        (change("name", ["a", "b", "a"]), "target a is there twice, as items 0 and 2"),
        (change("name", ["a", "", "c"]), "row 2: the name must be a text"),
        (change("name", [1, 2, 3]), "row 1: the name must be a text"),
        (change("name", ["a", "b:v", "c"]), "row 2: the name of a target must hold no colon"),
        (change("log10_jfactor", [18, np.nan, 20]), r"row 2 \(b\): log10_jfactor is nan"),
        (change("log10_jfactor", [18, np.inf, 20]), r"row 2 \(b\): log10_jfactor is inf"),
        (change("log10_jfactor", [1e18, 1e19, 1e20]), "row 1: target a: .* must be the log10"),
        (change("log10_jfactor", ["18", "19", "x"]), "column log10_jfactor must hold numbers"),
        (change("log10_jfactor", [18.0, 19, 20], unit="GeV2 cm-5"), "has the unit GeV2 / cm5"),
        (change("log10_jfactor", [18.0, 19, 20], unit=u.dex("cm")), r"has the unit cm;"),
        (change("log10_jfactor", [18.0, 19, 20], unit=u.mag), "has the unit mag"),
        (
            change("log10_jfactor_err", [0.1, -0.2, 0.3]),
            r"row 2 \(b\): .*_err must not be negative",
        ),
        (change("log10_jfactor_err", [0.1, 0.2, np.inf]), r"row 3 \(c\): log10_jfactor_err is inf"),
        (change("log10_jfactor_err", [0.1, 0.2, 0.3], unit="mag"), "widths are in dex"),
        (change("log10_jfactor_err", [1e17, 1e17, 1e17]), "width in dex"),
        (change("log10_jfactor_errp", [0.1, 0.2, 0.3]), "one column log10_jfactor_err or both"),
        (rename("log10_jfactor_err", "log10_jfactor_errn"), "one column log10_jfactor_err or both"),
        (change("log10_dfactor_err", [0.1, 0.2, 0.3]), "column log10_dfactor_err but no log10_dfa"),
        (change("jfactor", [1e18, 1e19, 1e20]), "both log10_jfactor and jfactor are given"),
        (change("dfactor", [1e18, 1e19, 1e20]), "column dfactor has no unit"),
        (
            change("dfactor", [1e18, 1e19, 0] * u.Unit("GeV cm-2")),
            r"row 3 \(c\): dfactor must be p",
        ),
        (
            change("dfactor", [1e18, 1e19, 1] * u.Unit("GeV cm-5")),
            "column dfactor has the unit GeV",
        ),
        (change("jfactor_err", [1e18, 1e19, 1e20]), "jfactor_err can't be used"),
        (change("dfactor", [1.0, 2, 3], unit="GeW"), "has the unit GeW; expected one like GeV"),
        (change("distance", [1.0, 2, 3]), "column distance has no unit"),
        (
            change("distance", [1.0, 2, 3], unit="deg"),
            "distance has the unit deg; expected one like",
        ),
        (change("distance", [1.0, -2, 3] * u.kpc), "row 2: target b: distance must be positive"),
        (
            change("ra", [1.0, np.nan, 3]),
            r"row 2 \(b\): ra nan deg and dec 2.0 deg are no position",
        ),
        (change("dec", [1.0, 2, 93]), r"row 3 \(c\): ra 3.0 deg and dec 93.0 deg are no position"),
        (change("ra", [1.0, 2, 3] * u.kpc), "column ra has the unit kpc; expected one like deg"),
        (
            change("profile", ["NFW", "{", "NFW"]),
            r"row 2 \(b\): profile must be a type such as NFW",
        ),
        (change("position", [1, 2, 3]), "either ra and dec or a column 'position'"),
        (change("extension", [[1.0, 2]] * 3 * u.deg), "extension must hold one number per row"),
        (change("title", [1, 2, 3]), "row 1: title must be a text"),
        (lambda table: table.remove_rows([0, 1, 2]), "the table has no rows"),
    ],
)
def test_damaged_tables(damage, message, tmp_path):
    table = good_table()
    damage(table)
    path = tmp_path / "mine.ecsv"
    table.write(path, format="ascii.ecsv")
    with pytest.raises(ValueError, match=message) as error:
        Targets.read(path)
    assert str(path) in str(error.value)


def test_the_undamaged_table_is_read(tmp_path):
    good_table().write(tmp_path / "mine.ecsv")
    assert Targets.read(tmp_path / "mine.ecsv")["b"].log10_jfactor_err == 0.2


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: "", "mine.ecsv: the file is empty"),
        (lambda text: " \n", "mine.ecsv: the file is empty"),
        (lambda text: text[text.index("name") :], "mine.ecsv, line 1: expected '# %ECSV 1.0'"),
        (lambda text: text[: text.rindex("3.0")], "not valid ECSV, perhaps cut off"),
        (lambda text: text[: text.index("# schema")], "not valid ECSV, perhaps cut off"),
        (lambda text: text[: text.index("a 18")], "the table has no rows"),
        (lambda text: text.replace("19.0", "19,0"), "not valid ECSV, perhaps cut off"),
        (lambda text: text.replace("float64", "float65"), "not valid ECSV, perhaps cut off"),
        (lambda text: text.replace("unit: kpc", "unit: kps"), "column distance has the unit kps"),
        (lambda text: text.replace("b 19.0", '"" 19.0'), "row 2: the name must be a text"),
    ],
)
def test_damaged_files(damage, message, tmp_path):
    path = tmp_path / "mine.ecsv"
    good_table().write(path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(ValueError, match=message) as error:
        Targets.read(path)
    assert str(path) in str(error.value)


def test_not_a_text_file(tmp_path):
    path = tmp_path / "mine.ecsv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not a text file"):
        Targets.read(path)


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (
            lambda text: text[: text.rindex("\nwillman_1") + 1],
            "says 15 targets but there are 14",
        ),
        (lambda text: text[:-1], "the last line has no end"),
        (lambda text: text[:-4], "the last line has no end"),
        (lambda text: text[: text.index("# schema")], "not valid ECSV, perhaps cut off"),
    ],
)
def test_own_files_that_are_cut_off(cut, message, tmp_path):
    path = tmp_path / "mine.ecsv"
    Targets.read_roster("ackermann2015_dsphs").write(path)
    path.write_text(cut(path.read_text()))
    with pytest.raises(ValueError, match=message):
        Targets.read(path)


def test_half_known_widths(tmp_path):
    table = good_table()
    table["log10_jfactor_errn"] = table["log10_jfactor_err"]
    table["log10_jfactor_errp"] = [0.1, np.nan, 0.2]
    table.remove_column("log10_jfactor_err")
    table.write(tmp_path / "mine.ecsv")
    with pytest.raises(ValueError, match=r"row 2 \(b\): .* belong together; one is unknown"):
        Targets.read(tmp_path / "mine.ecsv")


@pytest.mark.parametrize("name", ["sigma", "err", "e_sig"])
def test_a_width_of_another_name_is_not_lost_silently(tmp_path, name, caplog):
    table = Table({"name": ["a"], "log10_jfactor": [18.0], name: [0.2], "colour": [1]})
    table.write(tmp_path / "a.ecsv")
    (target,) = Targets.read(tmp_path / "a.ecsv")
    assert target.log10_jfactor_err is None
    (record,) = [r for r in caplog.records if r.levelname == "WARNING"]
    assert f"the column {name!r} is not used; the width of J is called" in record.getMessage()
