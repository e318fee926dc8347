"""Tables of users, in memory and from files."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable, Table
from numpy.testing import assert_allclose

from dmgammapy.spectra import read_spectra

MASSES = np.array([10.0, 100.0, 1000.0])
LOG10X = np.linspace(-3, 0, 31)


def dndlog10x(mass, log10x):
    """Something that depends on mass, and falls to zero at x = 1."""
    return np.log10(mass) * 10 ** (-0.5 * log10x) * (1 - 10**log10x)


def make(quantity="dN/dlog10x", grid="log10x"):
    mass = np.repeat(MASSES, len(LOG10X)) * u.GeV
    log10x = np.tile(LOG10X, len(MASSES))
    x = 10**log10x
    values = dndlog10x(mass.value, log10x)
    table = QTable({"mass": mass})
    table[grid] = {"x": x, "log10x": log10x, "energy": (x * mass).to("TeV")}[grid]
    table["bb"] = {
        "dN/dlog10x": values * u.one,
        "dN/dlnx": values / np.log(10) * u.one,
        "dN/dx": values / np.log(10) / x * u.one,
        "dN/dE": (values / np.log(10) / (x * mass)).to("TeV-1"),
    }[quantity]
    table["tau+tau-"] = 2 * table["bb"]
    table.meta["quantity"] = quantity
    return table


@pytest.mark.parametrize("quantity", ["dN/dlog10x", "dN/dlnx", "dN/dx", "dN/dE"])
@pytest.mark.parametrize("grid", ["x", "log10x", "energy"])
def test_quantities_and_grids(quantity, grid):
    spectra = read_spectra(make(quantity, grid))
    assert spectra.channels == ("b", "tau")
    assert_allclose(spectra.log10x, LOG10X, atol=1e-9)
    assert_allclose(spectra.dndlog10x[0], dndlog10x(MASSES[:, None], LOG10X), rtol=1e-8, atol=1e-9)
    # half way between two masses in log(m), at a node in x
    mass = 10**1.5 * u.GeV
    value = spectra.dnde(0.1 * mass, mass, "tau") * 0.1 * mass * np.log(10)
    assert_allclose(value.value, 2 * dndlog10x(10**1.5, -1.0), rtol=1e-6)


def test_files(tmp_path):
    table = make("dN/dE", "energy")
    for name in ("a.ecsv", "a.fits"):
        table.write(tmp_path / name)
        spectra = read_spectra(tmp_path / name)
        assert spectra.name == name
        assert_allclose(spectra.dndlog10x, read_spectra(table).dndlog10x, rtol=1e-12)
        assert read_spectra(spectra.source) == spectra


def test_energies_that_are_the_same_for_all_masses():
    """Nodes differ in x, then; the values at each table mass are exact."""
    energy = np.geomspace(0.1, 1000, 50)
    mass = np.repeat(MASSES, len(energy))
    table = Table({"mass": mass * u.GeV, "energy": np.tile(energy, 3) * u.GeV})
    x = table["energy"].quantity.value / mass
    table["b"] = np.where(x < 1, (1 - np.minimum(x, 1)) / x, 0) / u.GeV
    table.meta["quantity"] = "dN/dE"
    spectra = read_spectra(table)
    assert spectra.log10x[-1] == 0
    for index, m in enumerate(MASSES):
        below = energy < m
        dnde = spectra.dnde(energy[below] * u.GeV, m * u.GeV, "b").value
        expected = table["b"].quantity.value[index * 50 : (index + 1) * 50][below]
        assert_allclose(dnde, expected, rtol=1e-6)


def fixed_energies(masses, energy):
    """The spectra pppc4 at the same energies for all masses, which differ in x."""
    truth = read_spectra("pppc4")
    table = QTable()
    table["mass"] = np.repeat(masses, len(energy)) * u.GeV
    table["energy"] = np.tile(energy, len(masses)) * u.GeV
    table["b"] = (
        np.ravel([truth.dnde(energy * u.GeV, m * u.GeV, "b").value for m in masses]) / u.GeV
    )
    table.meta |= {"quantity": "dN/dE", "name": "fixed"}
    return read_spectra(table), truth


@pytest.mark.parametrize("norm_type", ["flux", "eflux"])
def test_yields_between_masses_of_fixed_energies(norm_type):
    energy = np.geomspace(0.5, 1000, 300)
    spectra, truth = fixed_energies([50, 100, 200, 500, 1000], energy)
    edges = [0.5, 0.7, 1, 1.5, 3, 10, 50, 140] * u.GeV
    mass = [100, 140, 150, 300] * u.GeV
    values = spectra.integrate(edges, mass, "b", norm_type=norm_type)
    assert_allclose(values, truth.integrate(edges, mass, "b", norm_type=norm_type), rtol=0.02)
    # the table ends where it ends, for masses in between as well
    assert_allclose(spectra.dnde([0.49, 0.499] * u.GeV, mass, "b").value, 0)
    assert np.all(spectra.dnde([0.5, 0.501] * u.GeV, mass, "b").value > 0)


@pytest.mark.parametrize("mass", [100, 300])
def test_data_below_the_table_are_not_silent(mass):
    spectra, truth = fixed_energies([100, 1000], np.geomspace(1, 1000, 200))
    edges, mass = [0.5, 1, 3] * u.GeV, mass * u.GeV
    message = (
        rf"'fixed' begin at 1 GeV for the mass {mass.value:g} GeV .* from 0.5 GeV: the photons"
    )
    with pytest.warns(UserWarning, match=message):
        values = spectra.integrate(edges, mass, "b")
    with pytest.warns(UserWarning, match=message):
        spectra.integrate_intervals(edges[:-1], edges[1:], mass, "b")
    with pytest.warns(UserWarning, match="the photons below are missing"):
        spectra.integrate(edges, mass, "b", norm_type="dnde")
    assert values[0] == 0
    # a decade between the masses costs 6 %
    assert_allclose(values[1], truth.integrate(edges, mass, "b")[1], rtol=0.06)
    spectra.integrate(edges[1:], mass, "b")


def test_a_table_that_begins_with_zeros_is_complete():
    table = make("dN/dE", "energy")
    for start in range(0, len(table), len(LOG10X)):
        table["bb"][start] = 0
    spectra = read_spectra(table)
    assert_allclose(spectra.integrate([1e-4, 1e-3, 0.01] * u.GeV, 10 * u.GeV, "b")[0], 0)


def test_metadata():
    table = make()
    table.meta |= {"name": "mine", "reference": "somebody", "mass_interpolation": "linear"}
    spectra = read_spectra(table)
    assert (spectra.name, spectra.reference) == ("mine", "somebody")
    mass = 55 * u.GeV
    value = (spectra.dnde(0.1 * mass, mass, "b") * 0.1 * mass).value * np.log(10)
    assert_allclose(value, (dndlog10x(10, -1.0) + dndlog10x(100, -1.0)) / 2, rtol=1e-9)


def test_a_table_in_memory_has_no_source():
    spectra = read_spectra(make())
    with pytest.raises(ValueError, match="write the table to an ECSV file"):
        _ = spectra.source


def test_thresholds_hold_for_users_too():
    table = make()
    table.rename_column("bb", "t")
    spectra = read_spectra(table)
    assert spectra.is_valid(MASSES * u.GeV, ["t", "tau"]).tolist() == [
        [False, False, True],
        [True] * 3,
    ]


def set_value(column, row, value):
    def change(table):
        table[column][row] = value

    return change


def set_column(column, values):
    def change(table):
        table[column] = values(table[column])

    return change


DAMAGES = {
    "no quantity": (lambda t: t.meta.clear(), "'quantity' must say .* got None"),
    "unknown quantity": (lambda t: t.meta.update(quantity="E2dNdE"), "'quantity' must say"),
    "no mass": (lambda t: t.remove_column("mass"), "expected the columns mass"),
    "no energy": (lambda t: t.remove_column("energy"), "one of x, log10x, energy"),
    "two grids": (set_column("energy", lambda c: c), None),
    "no channel": (
        lambda t: t.remove_columns(["bb", "tau+tau-"]),
        "and channels, got mass, energy",
    ),
    "unknown channel": (lambda t: t.rename_column("bb", "foo"), "column 'foo' is not a channel"),
    "same channel": (lambda t: t.rename_column("bb", "tau"), "two columns are channel 'tau'"),
    "mass without unit": (set_column("mass", lambda c: c.value), "'mass' has no unit"),
    "mass in seconds": (set_column("mass", lambda c: c.value * u.s), "'mass' must be numbers in"),
    "energy in metres": (set_column("energy", lambda c: c.value * u.m), "'energy' must be"),
    "yield in GeV": (set_column("bb", lambda c: c.value * u.GeV), "'bb' must be .* like GeV-1"),
    "yield without unit": (set_column("bb", lambda c: c.value), "'bb' has no unit"),
    "NaN": (set_value("bb", 40, np.nan * u.Unit("TeV-1")), "row 41: column 'bb' is nan"),
    "negative": (set_value("bb", 40, -1 / u.TeV), "'b' at mass 100 GeV is -"),
    "negative mass": (set_value("mass", 0, -1 * u.GeV), "row 1: mass must be positive"),
    "masses not sorted": (lambda t: t.reverse(), "sorted by mass, got 1000 GeV before 100 GeV"),
    "energies not sorted": (
        set_value("energy", 5, 1 * u.GeV),
        "row 7: the rows of mass 10 GeV must be .* sorted by energy",
    ),
    "double row": (
        lambda t: t.insert_row(5, t[5]),
        "row 7: the rows of mass 10 GeV .* without repetition",
    ),
    "one row": (lambda t: t.remove_rows(range(1, len(t))), "at least two"),
    "empty": (lambda t: t.remove_rows(range(len(t))), "is empty"),
    "above the endpoint": (
        set_column("energy", lambda c: 2 * c),
        "row 2[0-9]: there are photons above the endpoint",
    ),
    "interpolation": (lambda t: t.meta.update(mass_interpolation="cubic"), "mass_interpolation"),
}
DAMAGES["two grids"] = (lambda t: t.add_column(t["energy"].value, name="x"), "one of x, log10x")


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage(damage):
    change, message = DAMAGES[damage]
    table = make("dN/dE", "energy")
    table.meta["name"] = "mine"
    change(table)
    with pytest.raises(ValueError, match=message):
        read_spectra(table)


def test_masked_entries():
    table = Table(make("dN/dE", "energy"), masked=True)
    table["bb"].mask[3] = True
    with pytest.raises(ValueError, match="'bb' has empty entries"):
        read_spectra(table)


def test_truncated_file(tmp_path):
    path = tmp_path / "a.ecsv"
    make().write(path)
    text = path.read_text()
    path.write_text(text[: int(0.9 * len(text))].rsplit(" ", 1)[0])
    with pytest.raises(ValueError, match="a.ecsv"):
        read_spectra(path)


@pytest.mark.parametrize("content", [b"", b"nothing\n", b"\x00\x01\x02" * 50])
def test_no_table_at_all(tmp_path, content):
    path = tmp_path / "a.dat"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="a.dat"):
        read_spectra(path)
