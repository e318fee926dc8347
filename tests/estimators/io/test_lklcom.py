"""Files of lklcom: the real tables in its layout, round trips, damage."""

import builtins
import json

import astropy.units as u
import numpy as np
import pytest

from dmgammapy.estimators import CastroMaps, StackedDMLikelihood
from dmgammapy.estimators.io import list_lklcom_tables, write_lklcom_tables
from dmgammapy.modeling import JFactorPrior

h5py = pytest.importorskip("h5py")

WIDTHS = {"Segue1": 0.35, "UrsaMajorII": 0.42}


def to_lklcom(text):
    """The table lklcom makes of a Glory Duck text: single precision, ascending, mass by mass."""
    numbers = np.array([line.split() for line in text.splitlines()], dtype="f4")
    n = len(numbers) - 1
    table = np.zeros(numbers.shape[1], dtype=[("masses", "<f4"), ("ts_values", "<f4", (n,))])
    table["masses"] = numbers[0]
    table["ts_values"] = numbers[:0:-1].T
    return table


@pytest.fixture
def combination(test_data, tmp_path):
    """An lklcom file with the two real tables."""
    path = tmp_path / "combination.hdf5"
    with h5py.File(path, "w") as file:
        for target in WIDTHS:
            text = (test_data / "lklcom" / f"bb_{target}_IACT.txt").read_text()
            file[f"IACT/{target}/bb/data"] = to_lklcom(text)
    return path


def test_limits_of_lklcom(combination, test_data):
    """Limits at a rise of 2.71 as lklcom 0.5.4 gives them."""
    expected = json.loads((test_data / "lklcom" / "expected.json").read_text())
    castros, priors = [], {}
    for target, width in WIDTHS.items():
        castros.append(CastroMaps.read(combination, target=target))
        priors[target] = JFactorPrior(castros[-1].meta.log10_jfactor, width)
    fixed = StackedDMLikelihood(castros, method="fixed").run()
    profiled = StackedDMLikelihood(castros, priors=priors).run()
    for result, key in ((fixed, "ul95_fixed_J"), (profiled, "ul95_J_profiled")):
        limit = result.upper_limit(delta_stat=2.71).quantity.to_value("cm3 s-1").ravel()
        np.testing.assert_allclose(limit, expected[key], rtol=5e-4)


def test_same_as_the_text(combination, test_data):
    """Labels are the decimals of the text, likelihoods those of single precision."""
    for target in WIDTHS:
        text = CastroMaps.read(test_data / "lklcom" / f"bb_{target}_IACT.txt")
        castro = CastroMaps.read(combination, target=target, instrument="IACT", channel="bb")
        assert castro.meta.log10_jfactor == text.meta.log10_jfactor
        np.testing.assert_array_equal(castro.masses, text.masses)
        np.testing.assert_array_equal(castro.norm_axis.center, text.norm_axis.center)
        # 5e-6: single precision of the two values from which zero signal is continued
        np.testing.assert_allclose(castro.delta_stat, text.delta_stat, rtol=1e-7, atol=5e-6)


def test_round_trip(make_castro, make_stacked, tmp_path):
    for make in (make_castro, make_stacked):
        castro = make(channels=["b", "gamma"])
        castro.write(tmp_path / "a.hdf5", format="lklcom", overwrite=True)
        back = CastroMaps.read(tmp_path / "a.hdf5", channel=["bb", "gammagamma"])
        assert back.channels == ["b", "gamma"]
        assert (back.meta.target, back.meta.instrument) == ("Segue1", "IACT")
        np.testing.assert_array_equal(back.masses, castro.masses)
        # Gaussian: limit at 1 + sqrt(2.7055) sigma
        expected = 1e-26 * (1 + np.sqrt(2.7055)) * castro.masses.value / 100
        limit = back.sigmav_ul.quantity.to_value("cm3 s-1")[0, :, 0, 0]
        np.testing.assert_allclose(limit, expected, rtol=1e-4)


def test_several_tables(make_castro, tmp_path):
    path = tmp_path / "all.hdf5"
    castros = [make_castro(target=t, instrument=i) for t in ("A", "B") for i in ("MAGIC", "HESS")]
    write_lklcom_tables(castros, path)
    assert sorted(list_lklcom_tables(path)) == [
        (i, t, "bb", "data") for i in ("HESS", "MAGIC") for t in ("A", "B")
    ]
    back = CastroMaps.read(path, instrument="HESS", target="B")
    assert (back.meta.instrument, back.meta.target) == ("HESS", "B")
    with pytest.raises(ValueError, match="several names for instrument: .*HESS.*instrument="):
        CastroMaps.read(path)
    with pytest.raises(FileExistsError):
        write_lklcom_tables(castros, path)
    with pytest.raises(ValueError, match="/HESS/A/bb/data comes twice"):
        write_lklcom_tables([castros[1], castros[1]], path, overwrite=True)
    assert len(list_lklcom_tables(path)) == 4


def test_simulations(make_castro, tmp_path):
    path = tmp_path / "a.hdf5"
    make_castro(peak=0.5).write(path, format="lklcom", dataset="simu_3")
    back = CastroMaps.read(path, dataset="simu_3")
    assert back.ts.data.ravel() == pytest.approx(0.25, rel=1e-3)
    assert back.meta.origin.endswith("(simu_3)")
    with pytest.raises(ValueError, match="no dataset 'data'; present are simu_3"):
        CastroMaps.read(path)
    with pytest.raises(ValueError, match="dataset must be"):
        make_castro().write(tmp_path / "b.hdf5", format="lklcom", dataset="simulation")


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"instrument": "Fermi-LAT"}, "no instrument 'Fermi-LAT'; present are FermiLAT"),
        ({"instrument": "fermilat"}, "no instrument 'fermilat'; present are FermiLAT"),
        ({"target": "Segue"}, "no target 'Segue'; present are Segue1"),
        ({"channel": "b"}, "no channel 'b'; present are bb"),
        ({"channel": ["bb", "tautau"]}, "no channel 'tautau'"),
        ({"channel": ["bb", "bb"]}, "the channel b comes twice"),
    ],
)
def test_names_match_exactly(make_castro, tmp_path, choice, message):
    """lklcom drops an instrument whose dash is missing; here that is an error."""
    path = tmp_path / "a.hdf5"
    make_castro(instrument="FermiLAT").write(path, format="lklcom")
    with pytest.raises(ValueError, match=rf"a\.hdf5.*{message}"):
        CastroMaps.read(path, **choice)


def test_write_refuses_what_lklcom_would_get_wrong(make_castro, tmp_path):
    for castro, message in [
        (make_castro(instrument="Fermi-LAT"), "'Fermi-LAT' can't be a group"),
        (make_castro(target=None), "target None can't be a group"),
        (make_castro(channels=["0.5 b + 0.5 tau"]), r"0.5 b \+ 0.5 tau.*can't be a group"),
        (make_castro(jfactor_method="marginal"), "treated"),
        (make_castro(log10_jfactor=None), "needs J"),
        (make_castro(grid=np.append(0, np.geomspace(1e-7, 1e-4, 31))), "single precision"),
    ]:
        with pytest.raises(ValueError, match=f"a.hdf5: .*{message}"):
            castro.write(tmp_path / "a.hdf5", format="lklcom")
    assert list(tmp_path.iterdir()) == []
    make_castro(instrument="Fermi-LAT").write(
        tmp_path / "a.hdf5", format="lklcom", instrument="FermiLAT"
    )
    assert list_lklcom_tables(tmp_path / "a.hdf5") == [("FermiLAT", "Segue1", "bb", "data")]


def test_pytables_reads_and_writes_the_same(make_castro, tmp_path):
    """lklcom itself works through PyTables."""
    tables = pytest.importorskip("tables")
    castro = make_castro()
    castro.write(tmp_path / "a.hdf5", format="lklcom")
    with tables.open_file(tmp_path / "a.hdf5") as file:
        table = file.root.IACT.Segue1.bb.data
        masses, values = table.cols._f_col("masses")[:], table.cols._f_col("ts_values")[:]
    assert masses[0] == np.float32(19.36)
    np.testing.assert_array_equal(masses[1:], [10, 100, 1000])
    with tables.open_file(tmp_path / "b.hdf5", "w") as file:
        columns = {
            "masses": tables.Float32Col(),
            "ts_values": tables.Float32Col(shape=(values.shape[1],)),
        }
        group = file.create_group("/IACT/Segue1", "bb", createparents=True)
        table = file.create_table(group, "data", type("d", (tables.IsDescription,), columns))
        for mass, row in zip(masses, values, strict=True):
            table.row["masses"], table.row["ts_values"] = mass, row
            table.row.append()
    one, two = (CastroMaps.read(tmp_path / name) for name in ("a.hdf5", "b.hdf5"))
    np.testing.assert_array_equal(one["stat_scan"].data, two["stat_scan"].data)
    np.testing.assert_array_equal(one.strength_scan, two.strength_scan)


def test_without_h5py(make_castro, tmp_path, monkeypatch):
    make_castro().write(tmp_path / "a.hdf5", format="lklcom")
    original = builtins.__import__

    def blocked(name, *args, **kwargs):
        if name == "h5py":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", blocked)
    with pytest.raises(ImportError, match=r"pip install 'dmgammapy\[interop\]'"):
        CastroMaps.read(tmp_path / "a.hdf5", format="lklcom")
    with pytest.raises(ImportError, match="interop"):
        make_castro().write(tmp_path / "b.hdf5", format="lklcom")
    with pytest.raises(ValueError, match="lklcom.*interop"):
        CastroMaps.read(tmp_path / "a.hdf5")


# ---- damage --------------------------------------------------------------------------------------


def set_value(column, row, value, index=...):
    def edit(table):
        if column == "ts_values":
            table[column][row, index] = value
        else:
            table[column][row] = value
        return table

    return edit


def change(column, function):
    def edit(table):
        table[column] = function(table[column])
        return table

    return edit


def keep_columns(*names):
    return lambda table: table[list(names)].copy()


def swapped(index):
    def function(values):
        values = values.copy()
        values[..., index] = values[..., index[::-1]]
        return values

    return function


def reversed_grid(table):
    table["ts_values"] = table["ts_values"][:, ::-1]
    return table


def without_value(table):
    values = np.delete(table["ts_values"], 20, axis=1)
    out = np.zeros(len(table), dtype=[("masses", "<f4"), ("ts_values", "<f4", values.shape[1:])])
    out["masses"], out["ts_values"] = table["masses"], values
    return out


def negated(table):
    table["ts_values"][1:] *= -1
    return table


DAMAGE = {
    "missing column": (keep_columns("masses"), "missing column ts_values"),
    "plain array": (lambda t: t["ts_values"], "missing column masses, ts_values"),
    "integer masses": (
        lambda t: t.astype([("masses", "i4"), ("ts_values", "f4", t["ts_values"].shape[1:])]),
        "masses must hold one number per row, got int32",
    ),
    "scalar likelihoods": (
        lambda t: np.array(list(zip(t["masses"], t["masses"], strict=True)),
                           dtype=[("masses", "f4"), ("ts_values", "f4")]),
        "ts_values must hold numbers per row",
    ),
    "two dimensions": (lambda t: t[None], "masses must hold"),
    "empty": (lambda t: t[:0], "expected row 0 and at least one mass, got 0"),
    "only row 0": (lambda t: t[:1], "expected row 0 and at least one mass, got 1"),
    "row 0 missing": (lambda t: t[1:], "row 0"),
    "J itself": (set_value("masses", 0, 2.3e19), "row 0: .*Is it J itself"),
    "nan J": (set_value("masses", 0, np.nan), "row 0: .*finite"),
    "nan": (set_value("ts_values", 2, np.nan, 17), r"row 2 \(100 GeV\), value 17: .*finite"),
    "nan in the grid": (set_value("ts_values", 0, np.nan, 17), "row 0, value 17"),
    "descending grid": (reversed_grid, "row 0: the sigmav grid must ascend"),
    "unsorted grid": (change("ts_values", swapped([8, 9])), "row 0, value 9: .*out of order"),
    "gap in the grid": (without_value, "row 0, value 20: rows are missing"),
    "duplicated value": (set_value("ts_values", 0, 1e-32, 1), "row 0, value 1: .*comes twice"),
    "log10 grid": (
        set_value("ts_values", 0, np.linspace(-32, -22, 321)), "row 0, value 0: .*logarithm",
    ),
    "unsorted masses": (set_value("masses", 2, 5), "masses must ascend, but 10 is followed by 5"),
    "duplicated mass": (set_value("masses", 2, 10), "masses must ascend, but 10 comes twice"),
    "negative mass": (set_value("masses", 2, -10), "masses must be positive"),
    "ln L": (negated, "row 1 .*best at the strongest"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage(make_castro, tmp_path, name):
    edit, message = DAMAGE[name]
    path = tmp_path / "a.hdf5"
    # a grid that begins so low that the writer adds no point below it
    grid = np.append(0, np.geomspace(1e-32, 1e-22, 321))
    make_castro(grid=grid, masses=[10, 100] * u.GeV).write(path, format="lklcom")
    with h5py.File(path, "r+") as file:
        group = file["IACT/Segue1/bb"]
        table = group["data"][()]
        assert table.dtype["ts_values"].shape == (321,)
        del group["data"]
        group["data"] = edit(table)
    with pytest.raises(ValueError, match=message) as error:
        CastroMaps.read(path)
    assert "a.hdf5, /IACT/Segue1/bb/data" in str(error.value)


def test_channels_of_two_targets(make_castro, tmp_path):
    path = tmp_path / "a.hdf5"
    make_castro(channels=["b", "tau"]).write(path, format="lklcom")
    with h5py.File(path, "r+") as file:
        data = file["IACT/Segue1/tautau/data"]
        table = data[()]
        table["masses"][0] = 18.2
        data[...] = table
    with pytest.raises(ValueError, match="tautau/data: log10 J is 18.2, but 19.36"):
        CastroMaps.read(path, channel=["bb", "tautau"])


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_truncated(make_castro, tmp_path, fraction):
    path = tmp_path / "a.hdf5"
    make_castro().write(path, format="lklcom")
    content = path.read_bytes()
    path.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(ValueError, match=r"a\.hdf5: .*(damaged|fits)"):
        CastroMaps.read(path)


def test_other_hdf5(tmp_path):
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file["numbers"] = np.arange(3)
    with pytest.raises(ValueError, match="no dataset at /<instrument>"):
        CastroMaps.read(path)
    with pytest.raises(ValueError, match="no dataset at /<instrument>"):
        CastroMaps.read(path, format="lklcom")
