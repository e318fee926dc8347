"""`read_spectra`: names, paths, sources, caches and pickles."""

import copy
import gzip
import os
import pickle
import subprocess
import sys

import astropy.units as u
import numpy as np
import pytest
import yaml
from astropy.table import QTable

from dmgammapy.spectra import BoxSpectra, LineSpectra, Spectra, read_spectra


@pytest.fixture
def path(tmp_path):
    table = QTable({"mass": [10, 10, 100, 100] * u.GeV, "log10x": [-2.0, 0, -2, 0]})
    table["b"] = [1.0, 2, 3, 4]
    table.meta["quantity"] = "dN/dlog10x"
    table.write(tmp_path / "mine.ecsv")
    return tmp_path / "mine.ecsv"


@pytest.mark.parametrize("source", ["dmfit", "pppc4", "line", "box"])
def test_names(source):
    spectra = read_spectra(source)
    assert isinstance(spectra, Spectra)
    assert spectra.name == source
    assert read_spectra(source.upper()) == spectra
    assert read_spectra(spectra) is spectra


def test_bundled_tables_are_read_once():
    assert read_spectra("dmfit") is read_spectra("dmfit")


def test_compressed_files(path, tmp_path):
    text = tmp_path / "pppc.dat"
    text.write_text(
        "mDM Log[10,x] b e\n"
        + "".join(f"{m} {x} {m + x} 1\n" for m in (10, 100) for x in (-2, -1, 0))
    )
    table = QTable.read(path)
    table.write(tmp_path / "mine.fits")
    for plain in (path, text, tmp_path / "mine.fits"):
        packed = tmp_path / f"{plain.name}.gz"
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        expected, spectra = read_spectra(plain), read_spectra(packed)
        assert spectra.channels == expected.channels
        np.testing.assert_array_equal(spectra.dndlog10x, expected.dndlog10x)
        assert read_spectra(spectra.source) == spectra
        packed.write_bytes(packed.read_bytes()[:-20])
        with pytest.raises(ValueError, match=r"\.gz: the gzip file is truncated or damaged"):
            read_spectra(packed)
    packed = tmp_path / "hdm.hdf5.gz"
    packed.write_bytes(gzip.compress(b"\x89HDF\r\n" + bytes(100)))
    with pytest.raises(ValueError, match="HDF5 can't be read from a gzip file; unpack it"):
        read_spectra(packed)


def test_format_of_a_dict_may_be_left_out(path):
    np.testing.assert_array_equal(
        read_spectra({"path": str(path)}).dndlog10x, read_spectra(path).dndlog10x
    )


def test_sources_survive_yaml(path):
    for spectra in (
        read_spectra("dmfit"),
        read_spectra("line"),
        BoxSpectra(mass_ratio=0.9),
        read_spectra(path),
        read_spectra(path, format="table"),
    ):
        source = yaml.safe_load(yaml.safe_dump(spectra.source))
        assert read_spectra(source) == spectra


def test_a_source_holds_in_another_folder(path, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(path.parent)
    spectra = read_spectra("mine.ecsv")
    monkeypatch.chdir(tmp_path_factory.mktemp("other"))
    assert read_spectra(spectra.source) == spectra


def test_a_source_keeps_variables(path, monkeypatch):
    monkeypatch.setenv("MY_SPECTRA", str(path.parent))
    spectra = read_spectra("$MY_SPECTRA/mine.ecsv")
    assert spectra.source == "$MY_SPECTRA/mine.ecsv"
    assert read_spectra(spectra.source) is spectra


def test_a_changed_file_is_read_again(path):
    before = read_spectra(path)
    assert read_spectra(path) is before
    path.write_text(path.read_text().replace("100.0 0.0 4.0", "100.0 0.0 5.0"))
    os.utime(path, ns=(1, 1))
    after = read_spectra(path)
    assert after != before
    assert after.dndlog10x[0, 1, 1] == 5


def test_pickles(path):
    bundled = read_spectra("dmfit")
    bundled.integrate([1, 10] * u.GeV, 100 * u.GeV, "b")
    assert len(pickle.dumps(bundled)) < 200
    assert pickle.loads(pickle.dumps(bundled)) is bundled
    for spectra in (read_spectra(path), read_spectra("line"), BoxSpectra(0.9)):
        assert pickle.loads(pickle.dumps(spectra)) == spectra


def test_a_pickle_of_a_table_does_not_need_its_file(path):
    spectra = read_spectra(path)
    content = pickle.dumps(spectra)
    path.unlink()
    again = pickle.loads(content)
    assert again == spectra
    assert again.integrate([1, 10] * u.GeV, 10 * u.GeV, "b") == spectra.integrate(
        [1, 10] * u.GeV, 10 * u.GeV, "b"
    )


def test_copies_are_the_object():
    spectra = read_spectra("pppc4")
    assert copy.copy(spectra) is spectra
    assert copy.deepcopy([spectra])[0] is spectra


def test_equality_and_hash():
    assert read_spectra("dmfit") != read_spectra("pppc4")
    assert BoxSpectra(0.9) == BoxSpectra(0.9)
    assert BoxSpectra(0.9) != BoxSpectra(0.8)
    assert LineSpectra() == read_spectra("line")
    assert LineSpectra() != "line"
    assert len({LineSpectra(), read_spectra("line"), read_spectra("dmfit")}) == 2


def test_tables_cannot_be_changed():
    spectra = read_spectra("dmfit")
    for array in (spectra.dndlog10x, spectra.log10x, spectra.masses.value):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_repr():
    assert repr(read_spectra("dmfit")) == (
        "TableSpectra('dmfit', 12 channels, 24 masses 2 to 10000 GeV)"
    )
    assert repr(BoxSpectra(0.9)) == "BoxSpectra(mass_ratio=0.9)"
    assert repr(LineSpectra()) == "LineSpectra(channels=('gamma', 'aZ'))"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("pppc5", "neither one of pppc4, dmfit, cosmixs, hdmspectra, line, box nor an existing"),
        ("/nowhere/a.dat", "/nowhere/a.dat"),
        (None, "name, a path or a table"),
        (5, "name, a path or a table"),
        ({"name": "cube"}, "Unknown source .*cube"),
        ({"name": "box", "width": 1}, "Unknown source .*width"),
        ({"name": "box", "mass_ratio": 2}, "mass_ratio"),
        ({}, "Unknown source"),
    ],
)
def test_unknown_sources(source, message):
    with pytest.raises(ValueError, match=message):
        read_spectra(source)


def test_unknown_format(path):
    with pytest.raises(ValueError, match="format must be one of pppc4"):
        read_spectra(path, format="csv")


def test_import_is_light():
    """Neither gammapy nor the optional h5py come with the room."""
    code = (
        "import sys, dmgammapy.spectra as s; s.read_spectra('dmfit'); "
        "print([m for m in ('gammapy', 'h5py', 'matplotlib', 'scipy') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_energy_bins_of_many_masses_and_channels_in_one_call():
    """Same numbers as one by one."""
    spectra = read_spectra("pppc4")
    edges = np.geomspace(0.5, 500, 25) * u.GeV
    masses = np.geomspace(6, 1e4, 40) * u.GeV
    channels = ["e", "mu", "tau", "u", "d", "s", "c", "b", "t", "W", "Z", "g"]
    values = spectra.integrate(edges, masses, channels, norm_type="eflux")
    assert values.shape == (12, 40, 24)
    for c, m in ((0, 0), (8, 39), (9, 20), (11, 5)):
        single = spectra.integrate(edges, masses[m], channels[c], norm_type="eflux")
        assert np.array_equal(values[c, m], single)
