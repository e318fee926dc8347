"""HDMSpectra: a small file in the authors' layout."""

import sys

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose

from dmgammapy.spectra import read_spectra

h5py = pytest.importorskip("h5py")

LOG10_Q = np.array([np.log10(500), 4.0, 8.0])
X = np.array([1e-6, 1e-3, 1e-1, 1.0])
LEPTONS = [s * p for s in (1, -1) for p in (1911, 1912, 2911)]
STATES = {
    "high_gauge": [1921, 2921, 1922, 2922, 1923, 2923, 3923, 1924, 2924, 3924]
    + [-1924, -2924, -3924],
    "high_higgs": [25],
    "high_leptons": LEPTONS,
    "high_quarks": [s * p for s in (1, -1) for p in (1905, 2905)],
}


def fragmentation(state):
    """The fragmentation function x dN/dx of a state, simple enough to add up by hand."""
    return (abs(state) / 1000 + (state < 0)) * np.outer(LOG10_Q, [4, 3, 2, 0])


def write(path, change=None):
    with h5py.File(path, "w") as file:
        for name, states in STATES.items():
            group = file.create_group(name)
            group["high_flavors"] = states
            group["x_22"] = X
            group["Q_22"] = LOG10_Q
            group["FF_22"] = np.array([fragmentation(s) for s in states])
        group = file.create_group("delta_coeff")
        # its own scale
        group["Q"] = [np.log10(500), 3.0, 8.0]
        group["1922_2_22"] = [1.0, 0.9, 0.5]
        group["2922_2_22"] = [1.0, 0.7, 0.5]
        group["2923_2_22"] = [0.0, 0.3, 0.3]
        group["1911_2_11"] = [1.0, 1.0, 1.0]
        if change is not None:
            change(file)
    return path


@pytest.fixture
def spectra(tmp_path):
    return read_spectra(write(tmp_path / "HDMSpectra.hdf5"))


@pytest.mark.parametrize(
    ("channel", "states"),
    [
        # mean over polarisations, sum over particle and antiparticle
        ("b", {1905: 0.5, 2905: 0.5, -1905: 0.5, -2905: 0.5}),
        ("e", {1911: 0.5, 2911: 0.5, -1911: 0.5, -2911: 0.5}),
        ("eL", {1911: 1, -1911: 1}),
        ("nu_e", {1912: 1, -1912: 1}),
        ("Z", {1923: 2 / 3, 2923: 2 / 3, 3923: 2 / 3}),
        ("W", {s * p: 1 / 3 for s in (1, -1) for p in (1924, 2924, 3924)}),
        ("WL", {3924: 1, -3924: 1}),
        ("ZT", {1923: 1, 2923: 1}),
        ("g", {1921: 1, 2921: 1}),
        ("h", {25: 2}),
    ],
)
def test_sums_of_states(spectra, channel, states):
    expected = sum(weight * fragmentation(state) for state, weight in states.items())
    for row, log10_mass in enumerate(LOG10_Q):
        mass = 10**log10_mass * u.GeV
        energy = X[:3] * mass
        values = (energy * spectra.dnde(energy, mass, channel)).value
        assert_allclose(values, expected[row, :3], rtol=1e-6)


def test_mass_range_and_interpolation(spectra):
    assert_allclose(spectra.mass_range().to_value("GeV"), [500, 1e8])
    mass = 1e6 * u.GeV
    value = (0.1 * mass * spectra.dnde(0.1 * mass, mass, "h")).value
    # half way between 10^4 and 10^8 GeV
    assert_allclose(value, 2 * 0.025 * 2 * 6, rtol=1e-6)


def test_lines(spectra):
    """Photons that keep all energy: of two photons, and of the transverse Z."""
    mass = 1000 * u.GeV
    edges = [999.9, 1000] * u.GeV
    values = spectra.integrate(edges, mass, ["gamma", "Z", "h"])[:, 0]
    assert_allclose(values[0], 0.9 + 0.7, atol=2e-3)
    assert_allclose(values[1], 0.3 * 2 / 3, atol=2e-3)
    assert_allclose(values[2], 0, atol=2e-3)
    half_way = 10**5.5 * u.GeV
    values = spectra.integrate(u.Quantity([0.9999 * half_way, half_way]), half_way, "gamma")
    assert_allclose(values, 0.65 * 2, atol=5e-3)


def test_small_negative_values_are_zero(tmp_path):
    def change(file):
        values = file["high_higgs/FF_22"][:]
        values[0, 0, 2] = -1e-4
        del file["high_higgs/FF_22"]
        file["high_higgs/FF_22"] = values

    spectra = read_spectra(write(tmp_path / "a.hdf5", change))
    assert spectra.dnde(50 * u.GeV, 500 * u.GeV, "h") == 0


def delete(name):
    def change(file):
        del file[name]

    return change


def set_dataset(name, values):
    def change(file):
        old = file[name][:]
        del file[name]
        file[name] = values(old)

    return change


DAMAGES = {
    "no group": (delete("high_quarks"), "not a complete table"),
    "no functions": (delete("high_gauge/FF_22"), "not a complete table"),
    "no x": (delete("high_gauge/x_22"), "not a complete table"),
    "no lines": (delete("delta_coeff"), "not a complete table"),
    "other shape": (set_dataset("high_higgs/FF_22", lambda a: a[:, :2]), "FF_22 of shape"),
    "NaN": (set_dataset("high_leptons/FF_22", lambda a: a * np.nan), "aren't finite"),
    "Q not sorted": (set_dataset("high_higgs/Q_22", lambda a: a[::-1]), "Q and x must ascend"),
    "x not sorted": (set_dataset("high_higgs/x_22", lambda a: a[::-1]), "Q and x must ascend"),
    "x above 1": (set_dataset("high_higgs/x_22", lambda a: 2 * a), "must not exceed 0"),
    "lines of other Q": (set_dataset("delta_coeff/1922_2_22", lambda a: a[:2]), "other Q"),
    "line not finite": (set_dataset("delta_coeff/1922_2_22", lambda a: a * np.nan), "finite"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage(tmp_path, damage):
    change, message = DAMAGES[damage]
    path = write(tmp_path / "a.hdf5", change)
    with pytest.raises(ValueError, match=message) as error:
        read_spectra(path)
    assert "a.hdf5" in str(error.value)


def test_truncated_file(tmp_path):
    path = write(tmp_path / "a.hdf5")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="a.hdf5: not a complete table of HDMSpectra"):
        read_spectra(path)


def test_without_h5py(tmp_path, monkeypatch):
    path = write(tmp_path / "a.hdf5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"pip install 'dmgammapy\[interop\]'"):
        read_spectra(path)
