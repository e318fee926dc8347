"""Published limits in the DMbounds layout."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable, Table

from dmgammapy.estimators import LimitStatus
from dmgammapy.estimators.io import (
    published_curves,
    read_published_limits,
    write_published_limits,
)
from dmgammapy.estimators.io.published import confidence_level

# The composite of Ackermann et al. 2015 (PRL 115, 231301) and one dwarf, written as the
# collection does: its unit is none astropy knows, one entry lacks its colon.
COLLECTION = """\
# %ECSV 0.9
# %Some text about a licence
# ---
# datatype:
# - {name: mass      , unit: GeV     , datatype: float32 , description: DM mass              }
# - {name: bootes_II , unit: cm3s-1  , datatype: float32 , description: <sigmav>             }
# - {name: sigmav    , unit: cm3s-1  , datatype: float32 , description: <sigmav> composite   }
# meta: !!omap
# - {reference:        "Searching for Dark Matter Annihilation"}
# - {arxiv:            "1503.02641"}
# - {instrument:       "lat"}
# - {year:             "2015"}
# - {source:           "multidsph-15"}
# - {channel:          "bb"}
# - {confidence        "0.95" }
# - {status:           ""}
# schema : astropy −2.0

mass bootes_II sigmav

    6          nan   5.126e-27
   10          nan   5.168e-27
  100          nan   2.210e-26
10000          nan   3.941e-24
"""
VALUES = [5.126e-27, 5.168e-27, 2.210e-26, 3.941e-24]


@pytest.fixture
def collection(tmp_path):
    """Path of a file as in the collection."""
    path = tmp_path / "lat_2015_multidsph_ann_bb.ecsv"
    path.write_text(COLLECTION, encoding="utf-8")
    return path


def test_read(collection):
    table = read_published_limits(collection)
    assert isinstance(table, QTable)
    assert table["sigmav"].unit == "cm3 s-1"
    np.testing.assert_array_equal(table["sigmav"].value, VALUES)  # not those of single precision
    np.testing.assert_array_equal(table["mass"], [6, 10, 100, 10000] * u.GeV)
    assert np.isnan(table["bootes_II"]).all()
    assert table.meta["confidence"] == 0.95
    assert table.meta["process"] == "annihilation"
    assert table.meta["channel"] == "bb"


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("cm3 / s", 1), ("cm^3 s^-1", 1), ("cm**3/s", 1), ("m3s-1", 1e6), ("1e-26 cm3 s-1", 1e-26)],
)
def test_units_of_the_file(collection, unit, factor):
    text = COLLECTION.replace("cm3s-1", unit).replace("unit: GeV ", "unit: TeV ")
    collection.write_text(text, encoding="utf-8")
    table = read_published_limits(collection)
    np.testing.assert_allclose(table["sigmav"].to_value("cm3 s-1"), np.array(VALUES) * factor)
    np.testing.assert_allclose(table["mass"].to_value("GeV"), [6e3, 1e4, 1e5, 1e7])


def test_lifetime(tmp_path):
    path = tmp_path / "hawc_2018_m31_dec_bb.ecsv"
    text = COLLECTION.replace("sigmav", "tau").replace("cm3s-1", "yr").replace("e-2", "e+1")
    path.write_text(text, encoding="utf-8")
    table = read_published_limits(path)
    assert table.meta["process"] == "decay"
    expected = np.array([5.126e17, 5.168e17, 2.21e16, 3.941e14]) * 365.25 * 86400
    np.testing.assert_allclose(table["tau"].to_value("s"), expected)


def test_other_spelling(collection):
    collection.write_text(COLLECTION.replace("sigmav", "sigma_v"), encoding="utf-8")
    assert read_published_limits(collection)["sigmav"][0].value == VALUES[0]


def test_digitised_curves(collection):
    lines = COLLECTION.splitlines()
    lines[-2], lines[-3] = lines[-3], lines[-2]
    collection.write_text("\n".join([*lines, lines[-1]]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"row 2 \(from 0\): masses must ascend, got 10 GeV after"):
        read_published_limits(collection)
    table = read_published_limits(collection, sort=True)
    np.testing.assert_array_equal(table["mass"].value, [6, 10, 100, 10000, 10000])
    assert table["sigmav"][2].value == VALUES[2]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lat_2015_multidsph_dec_bb.ecsv", "about decay, but it holds sigmav"),
        ("lat_2015_multidsph_ann_tautau_nfw.ecsv", "channel is tautau, but it holds bb"),
    ],
)
def test_name_against_content(collection, name, message):
    path = collection.rename(collection.with_name(name))
    with pytest.warns(UserWarning, match=message):
        read_published_limits(path)


@pytest.mark.parametrize("name", ["mine.ecsv", "lat_2015_a_ann_b.ecsv", "2015_lat_a_bb.ecsv"])
def test_other_names_are_fine(collection, name):
    """Warnings are errors here."""
    read_published_limits(collection.rename(collection.with_name(name)))


# ---- writing -------------------------------------------------------------------------------------


def test_write(make_castro, tmp_path):
    castro = make_castro(channels=["b", "tau"], cl=0.9)
    path = tmp_path / "iact_2026_segue1_ann_tautau.ecsv"
    write_published_limits(castro, path, channel="tautau", year="2026", arxiv="2611.00001")
    table = read_published_limits(path)
    # Gaussian likelihood: 1 + 1.28155 sigma (90 % one-sided)
    expected = 1e-26 * (1 + 1.2815516) * np.array([0.1, 1, 10])
    np.testing.assert_allclose(table["sigmav"].to_value("cm3 s-1"), expected, rtol=1e-4)
    np.testing.assert_array_equal(
        table["sigmav"].value, castro.sigmav_ul.quantity.to_value("cm3 s-1")[1, :, 0, 0]
    )
    meta = table.meta
    assert (meta["confidence"], meta["channel"], meta["source"]) == (0.9, "tautau", "Segue1")
    assert (meta["instrument"], meta["year"], meta["arxiv"]) == ("IACT", "2026", "2611.00001")
    # readable without this package, units included
    plain = Table.read(path, format="ascii.ecsv")
    assert (plain["mass"].unit, plain["sigmav"].unit) == (u.GeV, u.Unit("cm3 s-1"))
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_published_limits(castro, path, channel="tau")
    write_published_limits(castro, path, channel="tau", overwrite=True, source="somewhere")
    assert read_published_limits(path).meta["source"] == "somewhere"


def test_write_lifetimes(make_castro, tmp_path):
    castro = make_castro(process="decay")
    write_published_limits(castro, tmp_path / "a.ecsv")
    table = read_published_limits(tmp_path / "a.ecsv")
    rate = 1e-26 * (1 + 1.6448536) * np.array([0.1, 1, 10])
    np.testing.assert_allclose(table["tau"].to_value("s"), 1 / rate, rtol=1e-4)


def test_masses_without_limit_are_named(make_castro, tmp_path):
    castro = make_castro()
    castro["status"].data[0, 0] = LimitStatus.NO_INFORMATION
    castro["norm_ul"].data[0, 0] = np.nan
    castro["status"].data[0, 1] = LimitStatus.EXTRAPOLATED
    write_published_limits(castro, tmp_path / "a.ecsv")
    table = read_published_limits(tmp_path / "a.ecsv")
    np.testing.assert_allclose(table["mass"].value, [100, 1000])
    assert table.meta["masses_without_limit"] == ["10 GeV (no_information)"]
    assert table.meta["masses_extrapolated"] == ["100 GeV (extrapolated)"]
    castro["status"].data[...] = LimitStatus.GRID_EDGE
    with pytest.raises(ValueError, match="no mass has a limit"):
        write_published_limits(castro, tmp_path / "b.ecsv")
    with pytest.raises(ValueError, match="which channel"):
        write_published_limits(make_castro(channels=["b", "tau"]), tmp_path / "b.ecsv")
    assert not (tmp_path / "b.ecsv").exists()


def test_results_table_is_not_taken_for_limits(make_castro, tmp_path):
    """In a table of results sigmav is the best fit."""
    make_castro().to_table().write(tmp_path / "limits.ecsv")
    with pytest.raises(ValueError, match="best fit and no limit"):
        read_published_limits(tmp_path / "limits.ecsv")


def test_curves(collection):
    table = read_published_limits(collection)
    for published in (collection, str(collection), table, [table]):
        ((label, mass, limit),) = published_curves(published)
        assert label == "lat 2015 multidsph-15 bb, 95 % CL"
        np.testing.assert_array_equal(mass, table["mass"])
        np.testing.assert_array_equal(limit, table["sigmav"])
    assert published_curves(None) == []
    with pytest.raises(ValueError, match="expected the columns mass and tau"):
        published_curves(table, "decay")


@pytest.mark.parametrize(
    ("given", "cl", "end"),
    [
        (0.9, 0.9, "b, 90 % CL"),
        ("0.997", 0.997, "b, 99.7 % CL"),
        (95, 0.95, "b, 95 % CL"),
        ("90%", 0.9, "b, 90 % CL"),
        ("two sigma", None, "b"),
        (None, None, "b"),
        (-1, None, "b"),
        ("nan", None, "b"),
    ],
)
def test_labels_tell_the_confidence_level(collection, given, cl, end):
    table = read_published_limits(collection)
    table.meta["confidence"] = given
    assert confidence_level(table) == (cl if cl is None else pytest.approx(cl))
    assert published_curves(table)[0][0] == f"lat 2015 multidsph-15 b{end}"


# ---- damage --------------------------------------------------------------------------------------


def replace(*pairs):
    def edit(text):
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        return text

    return edit


DAMAGE = {
    "missing mass": (replace(("mass ", "m ")), "missing column 'mass'"),
    "missing limit": (
        replace(("name: sigmav ", "name: limit "), ("bootes_II sigmav", "bootes_II limit")),
        "expected one of the columns 'sigmav' and 'tau'",
    ),
    "both limits": (
        replace(("name: bootes_II", "name: tau"), ("bootes_II sigmav", "tau sigmav")),
        "expected one of the columns",
    ),
    "nan": (replace(("5.168e-27", "nan")), r"column sigmav, row 1 \(from 0\).*positive.*nan"),
    "zero": (replace(("5.168e-27", "0")), r"column sigmav, row 1 .*positive"),
    "logarithm": (replace(("5.168e-27", "-26.3")), r"column sigmav, row 1 .*positive"),
    "negative mass": (replace(("   10  ", "  -10  ")), "column mass, row 1 .*positive"),
    "unsorted": (replace(("  100  ", "    1  ")), "row 2 .*masses must ascend, got 1 GeV after 10"),
    "duplicated row": (replace(("  100  ", "   10  ")), "got 10 GeV after 10 GeV.*sort=True"),
    "missing unit": (replace(("sigmav    , unit: cm3s-1  ,", "sigmav    ,")), "sigmav: no unit"),
    "wrong unit": (
        replace(("sigmav    , unit: cm3s-1", "sigmav    , unit: cm2")),
        "column sigmav: the unit is 'cm2'",
    ),
    "wrong mass unit": (replace(("unit: GeV ", "unit: kpc ")), "column mass: the unit is 'kpc'"),
    "garbage unit": (
        replace(("sigmav    , unit: cm3s-1", "sigmav    , unit: furlong")),
        "column sigmav: 'furlong' is not a unit",
    ),
    "text": (replace(("5.168e-27", "abc")), "not a valid ECSV table"),
    "missing value": (replace(("          nan   5.168e-27", '   1e-26   ""')), "row 1 .*no value"),
    "truncated line": (replace(("          nan   3.941e-24", "")), "not a valid ECSV table"),
    "other header": (replace(("bootes_II sigmav\n", "sigmav\n")), "not a valid ECSV table"),
    "no rows": (lambda text: text[: text.index("    6")], "no rows"),
    "half a header": (lambda text: text[:300], "not a valid ECSV table"),
    "not ecsv": (lambda text: text.replace("# %ECSV 0.9\n", ""), "published limits are an ECSV"),
    "two tables": (lambda text: text + text[text.index("    6"):], "got 6 GeV after 10000 GeV"),
    "empty": (lambda text: "", "the file is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage(collection, name):
    edit, message = DAMAGE[name]
    collection.write_text(edit(COLLECTION), encoding="utf-8")
    with pytest.raises(ValueError, match=message) as error:
        read_published_limits(collection)
    assert "lat_2015_multidsph_ann_bb.ecsv" in str(error.value)
