"""Public Fermi-LAT dwarf likelihoods: all 15, round trips, damage."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import CastroEstimator
from dmgammapy.targets import Targets

from ..sed_helpers import poisson_dataset


def read(path, **kwargs):
    return SEDLikelihoodDataset.read(path, **kwargs)


@pytest.fixture
def draco(test_data):
    return test_data / "fermi_dsphs_2015" / "like_draco.txt"


def test_numbers_are_those_of_the_files(test_data):
    paths = sorted((test_data / "fermi_dsphs_2015").glob("like_*.txt"))
    assert len(paths) == 15
    for path in paths:
        dataset = read(path)
        raw = np.loadtxt(path).reshape(24, 25, 4)
        assert dataset.name == path.stem.removeprefix("like_")
        assert dataset.instrument == "fermi-lat"
        eflux = dataset.norm_scan * dataset.ref_eflux.value[:, np.newaxis]
        assert_array_equal(eflux, raw[:, :, 2])  # exactly: references are powers of two
        assert_array_equal(dataset.stat_scan, -2 * raw[:, :, 3])
        assert_array_equal(dataset.energy_edges.value, np.append(raw[:, 0, 0], raw[-1, 0, 1]))
        # norms of order one at the limit
        assert ((dataset.norm_ul() > 0.3) & (dataset.norm_ul() < 6)).all()


def test_references_are_a_power_law_of_index_two(draco):
    dataset = read(draco)
    low, high = dataset.energy_edges.value[:-1], dataset.energy_edges.value[1:]
    amplitude = dataset.ref_eflux.value / np.log(high / low)
    assert_allclose(dataset.ref_flux.value, amplitude * (1 / low - 1 / high), rtol=1e-12)
    assert_allclose(dataset.ref_dnde.value, amplitude / (low * high), rtol=1e-12)
    steep = read(draco, index=3.0)
    amplitude = steep.ref_eflux.value / (1 / low - 1 / high)
    assert_allclose(steep.ref_flux.value, amplitude * (1 / low**2 - 1 / high**2) / 2, rtol=1e-12)
    hard = read(draco, index=1.0)
    amplitude = hard.ref_eflux.value / (high - low)
    assert_allclose(hard.ref_flux.value, amplitude * np.log(high / low), rtol=1e-12)


def test_round_trip_is_exact(draco, tmp_path):
    dataset = read(draco)
    path = tmp_path / "like_draco.txt"
    dataset.write(path, format="fermi-lat-dsph")
    new = read(path)
    assert_array_equal(new.norm_scan, dataset.norm_scan)
    assert_array_equal(new.stat_scan, dataset.stat_scan)
    assert_array_equal(new.ref_eflux, dataset.ref_eflux)
    assert_array_equal(np.loadtxt(path), np.loadtxt(draco))
    assert path.read_text().splitlines()[:2] == draco.read_text().splitlines()[:2]


def test_other_layouts_say_so(tmp_path):
    dataset = poisson_dataset("toy")
    path = tmp_path / "like_toy.txt"
    dataset.write(path, format="fermi-lat-dsph")
    assert "# n_bins=4 n_points=30" in path.read_text()
    new = read(path)
    assert new.name == "toy"
    eflux = new.norm_scan * new.ref_eflux.value[:, np.newaxis]
    assert_allclose(eflux, dataset.norm_scan * dataset.ref_eflux.value[:, np.newaxis], rtol=1e-15)
    assert_array_equal(new.stat_scan, dataset.stat_scan)
    assert_allclose(new.norm_ul() * new.ref(), dataset.norm_ul() * dataset.ref(), rtol=1e-8)
    # file to file nothing changes at all
    new.write(tmp_path / "again.txt", format="fermi-lat-dsph")
    assert_array_equal(np.loadtxt(tmp_path / "again.txt"), np.loadtxt(path))


def limit(dataset):
    dataset.models = Targets.from_names(["draco:ackermann2014_nfw"])[0].to_models(
        mass="100 GeV", channel="b"
    )
    castro = CastroEstimator(masses=[100] * u.GeV, channels=["b"]).run([dataset])[0]
    return castro.sigmav_ul.quantity.to_value("cm3 s-1").item()


def test_masks_and_interpolation_survive(draco, tmp_path):
    dataset = read(draco)
    without = limit(dataset)
    dataset.mask_fit = np.arange(24) > 9
    dataset.mask_safe = np.arange(24) < 22
    dataset.interpolation = "linear"
    dataset.livetime = 3 * u.yr
    dataset.instrument = "other"
    dataset.meta = {"note": "énergie = 1"}
    before = limit(dataset)
    assert before > 1.5 * without  # so the masks matter
    dataset.write(tmp_path / "like_draco.txt", format="fermi-lat-dsph")
    new = read(tmp_path / "like_draco.txt")
    assert_allclose(limit(new), before, rtol=1e-12)
    assert_array_equal(new.mask_fit, dataset.mask_fit)
    assert_array_equal(new.mask_safe, dataset.mask_safe)
    assert (new.interpolation, new.instrument) == ("linear", "other")
    assert (new.livetime, new.meta) == (dataset.livetime, dataset.meta)


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("# mask_fit=0101", "mask_fit has 4 digits for 24 bins"),
        ("# mask_safe=yes", "line 3: mask_safe must be one 0 or 1 for each bin, got 'yes'"),
        ("# livetime=long", "line 3: livetime must be a number of seconds"),
        ("# meta=1", "line 3: meta must be a JSON object"),
        ("# interpolation=best", "interpolation must be one of"),
    ],
)
def test_wrong_comments(draco, tmp_path, comment, message):
    lines = draco.read_text().splitlines()
    path = tmp_path / "like_draco.txt"
    path.write_text("\n".join([*lines[:2], comment, *lines[2:]]))
    with pytest.raises(ValueError, match=message):
        read(path)


def test_compressed_by_name(draco, tmp_path):
    path = tmp_path / "like_draco.txt.gz"
    read(draco).write(path, format="fermi-lat-dsph")
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    assert_array_equal(read(path).norm_scan, read(draco).norm_scan)


def test_norms_of_another_kind_are_refused(draco, tmp_path):
    dataset = read(draco)
    dataset.norm_type = "flux"
    with pytest.raises(ValueError, match=r"norm_type='flux'.*write the format 'fermipy'"):
        dataset.write(tmp_path / "like_draco.txt", format="fermi-lat-dsph")


def test_name_comes_from_the_file(draco, tmp_path):
    text = draco.read_text()
    (tmp_path / "my dwarf.txt").write_text(text)
    assert read(tmp_path / "my dwarf.txt").name == "draco"
    (tmp_path / "like_segue_1.txt").write_text(text)
    with pytest.raises(ValueError, match="says target segue_1, its first line draco"):
        read(tmp_path / "like_segue_1.txt")
    (tmp_path / "like_segue_1.txt").write_text(text.split("\n", 1)[1])
    assert read(tmp_path / "like_segue_1.txt").name == "segue_1"


def test_what_the_format_cannot_hold_is_refused(tmp_path):
    dataset = poisson_dataset(ref_eflux=None, norm_type="flux")
    with pytest.raises(ValueError, match="needs ref_eflux"):
        dataset.write(tmp_path / "x.txt", format="fermi-lat-dsph")
    norm, stat = np.array(dataset.norm_scan), np.array(dataset.stat_scan)
    norm[0, -1] = stat[0, -1] = np.nan
    fields = dataset._fields() | {"norm_scan": norm, "stat_scan": stat}
    fields |= {"ref_eflux": poisson_dataset().ref_eflux}
    padded = SEDLikelihoodDataset(**fields)
    with pytest.raises(ValueError, match="same number of scan points"):
        padded.write(tmp_path / "x.txt", format="fermi-lat-dsph")
    assert not list(tmp_path.iterdir())


def line(number, text):
    """Replace a line, counted from 1 (lines 1 and 2 are comments, 25 rows per bin follow)."""

    def change(lines):
        lines[number - 1] = text
        return lines

    return change


def row(number, column, value):
    """Replace one number of a line."""

    def change(lines):
        parts = lines[number - 1].split()
        parts[column] = value
        lines[number - 1] = " ".join(parts)
        return lines

    return change


def bins(order):
    """Blocks of 25 lines in a new order."""

    def change(lines):
        return lines[:2] + [x for b in order for x in lines[2 + 25 * b : 27 + 25 * b]]

    return change


def likelihoods(function):
    """Apply a function to the last column."""

    def change(lines):
        rows = [x.split() for x in lines[2:]]
        return lines[:2] + [" ".join([*x[:3], repr(function(float(x[3])))]) for x in rows]

    return change


FIRST = list(range(24))
UNITS = "#[0]emin(GeV) [1]emax(GeV) [2]eflux(MeV/cm^2/s) [3]deltaLogLike"

DAMAGE = {
    "missing column": (line(40, "666.760716 889.139705 0"), "line 40: expected 4 columns.*got 3"),
    "text": (row(40, 3, "x"), "line 40: expected 4 numbers"),
    "nan": (row(40, 3, "nan"), "line 40: values must be finite"),
    "infinite": (row(31, 2, "inf"), "line 31: values must be finite"),
    "missing row": (lambda lines: lines[:39] + lines[40:], "line 28: bin 666.761-.* has 24 rows"),
    "repeated row": (lambda lines: lines[:40] + lines[39:], "line 28: .* has 26 rows, expected 25"),
    "repeated bin": (bins([0, 1, *FIRST[1:]]), "line 28: .*has 50 rows"),
    "repeated bin elsewhere": (bins([0, 1, 2, 1, *FIRST[3:]]), "line 78: .*occurs again.*line 28"),
    "unsorted": (bins([1, 0, *FIRST[2:]]), "bin from line 28: .*contiguous and ascend"),
    "gap": (bins([0, *FIRST[2:], 1][:-1]), "23 energy bins, expected 24; the file may be trunc"),
    "wider gap": (
        lambda lines: [*bins([0, *FIRST[2:]])(lines)[:2], "# n_bins=23 n_points=25",
                       *bins([0, *FIRST[2:]])(lines)[2:]],
        "500-666.761 MeV then 889.14-1185.69 MeV",
    ),
    "truncated at a line": (lambda lines: lines[:300], "has 23 rows, expected 25"),
    "truncated at a bin": (lambda lines: lines[:302], "12 energy bins, expected 24"),
    "truncated in a line": (line(602, "374947.105 500000 9.9403"), "line 602: expected 4 columns"),
    "empty": (lambda lines: lines[:2], "no rows after the comments"),
    "two targets": (lambda lines: lines + ["### like_segue_1.txt", *lines[2:]], "line 603: a sec"),
    "two targets, no comment": (lambda lines: lines + lines[2:], "line 603: bin 500-666.* again"),
    "unit": (line(2, UNITS), r"columns must be emin.MeV.*got emin.GeV"),
    "no column line": (lambda lines: [lines[0], *lines[2:]], "so the units are unknown"),
    "other columns": (line(2, "#[0]emin(MeV) [1]eflux(MeV/cm^2/s)"), "columns must be emin"),
    "descending norms": (
        lambda lines: lines[:2] + lines[26:1:-1] + lines[27:],
        "bin from line 3: norms of a scan must ascend",
    ),
    "repeated norm": (row(20, 2, "5.58987424e-08"), "must ascend"),
    "positive": (row(30, 3, "1.5"), "bin from line 28: deltaLogLike .* got 1.5"),
    "sign": (
        likelihoods(lambda x: -x),
        "Is the sign that of -ln L",
    ),
    "absolute": (
        likelihoods(lambda x: x - 900),
        "highest value is -900",
    ),
    "energy changed": (row(60, 0, "889.2"), "line 61: bin 889.14-1185.69 MeV occurs again"),
    "bin upside down": (
        lambda lines: [x.replace("500 ", "700 ", 1) if x.startswith("500 ") else x for x in lines],
        "an energy bin must ascend",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_refused(draco, tmp_path, damage):
    change, message = DAMAGE[damage]
    path = tmp_path / "like_draco.txt"
    path.write_text("\n".join(change(draco.read_text().splitlines())) + "\n")
    with pytest.raises(ValueError, match=message) as error:
        read(path, format="fermi-lat-dsph")
    assert "like_draco.txt" in str(error.value)
