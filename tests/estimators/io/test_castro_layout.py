"""Own FITS layout: exact round trip, and no damage goes unnoticed."""

import json

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from gammapy.maps import LabelMapAxis, MapAxis, RegionNDMap
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dmgammapy.estimators import CastroMaps
from dmgammapy.modeling import JFactorPrior

SPECIAL = [np.nan, np.inf, -0.0, 5e-324, np.nextafter(1, 2)]


def test_round_trip(tmp_path, make_castro, assert_identical):
    castro = make_castro(
        channels=["b", "0.7 b + 0.3 tau"],
        prior=JFactorPrior(19.36, (0.3, 0.25)),
        notes=["Boötes: 10 < m < 20", "x" * 5000],
        spectra="pppc4",
        k=2.0,
    )
    castro.write(tmp_path / "a.fits")
    back = CastroMaps.read(tmp_path / "a.fits")
    assert_identical(castro, back)
    # again, from the copy: nothing drifts
    back.write(tmp_path / "a.fits", overwrite=True)
    assert_identical(castro, CastroMaps.read(tmp_path / "a.fits"))
    assert back.meta.prior.err_low == 0.3
    # Gaussian likelihood: limit at 1 + sqrt(2.7055) sigma
    expected = 1e-26 * (1 + np.sqrt(2.7055)) * castro.masses.value / 100
    np.testing.assert_allclose(back.sigmav_ul.quantity.value[0, :, 0, 0], expected, rtol=1e-4)


def test_round_trip_of_lattice_decay_and_gzip(
    tmp_path, make_castro, make_stacked, assert_identical
):
    stacked = make_stacked(channels=["b", "tau"])
    stacked.write(tmp_path / "a.fits.gz")
    assert_identical(stacked, CastroMaps.read(tmp_path / "a.fits.gz"))
    decay = make_castro(process="decay", log10_jfactor=18.1)
    decay.write(tmp_path / "b.fits")
    back = CastroMaps.read(tmp_path / "b.fits")
    assert_identical(decay, back)
    assert back.tau_ll.unit == "s"


def test_round_trip_of_tabulated_prior(tmp_path, make_castro, assert_identical):
    grid = np.linspace(18.5, 20.2, 35)
    prior = JFactorPrior.from_table(grid, stat=((grid - 19.36) / 0.3) ** 2)
    castro = make_castro(prior=prior)
    castro.write(tmp_path / "a.fits")
    back = CastroMaps.read(tmp_path / "a.fits")
    assert_identical(castro, back)
    shifts = np.linspace(-0.5, 0.5, 11)
    np.testing.assert_array_equal(back.meta.prior.stat(shifts), prior.stat(shifts))


@pytest.mark.parametrize(
    "axis",
    [
        LabelMapAxis(["draco", "Boötes", r"a\b"], name="target"),
        MapAxis.from_nodes([1, 2, 5], name="realisation", interp="lin"),
        MapAxis.from_energy_edges([1, 3, 10, 50] * u.TeV),
    ],
    ids=["labels", "nodes", "edges"],
)
def test_round_trip_of_extra_axis(tmp_path, make_castro, assert_identical, axis):
    castros = [make_castro(peak=p, channels=["b", "tau"]) for p in (0.5, 1, 2)]
    stack = CastroMaps.from_stack(castros, axis)
    stack.write(tmp_path / "a.fits")
    back = CastroMaps.read(tmp_path / "a.fits")
    assert back["stat_scan"].data.shape == (3, 2, 3, 322, 1, 1)
    assert_identical(stack, back)


@given(
    values=arrays(float, (1, 3), elements=st.floats() | st.sampled_from(SPECIAL)),
    scan=arrays(float, (1, 3, 322), elements=st.floats(0, 1e300)),
)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_round_trip_of_any_bits(tmp_path, make_castro, assert_identical, values, scan):
    data = make_castro().to_maps()
    data["norm_ul"].data = values[..., None, None]
    data["stat_scan"].data = scan[..., None, None]
    data["ts"] = RegionNDMap(data["ts"].geom, data["ts"].data.astype("float32"), dtype="float32")
    castro = CastroMaps.from_maps(data, make_castro().meta)
    castro.write(tmp_path / "a.fits", overwrite=True)
    assert_identical(castro, CastroMaps.read(tmp_path / "a.fits"))


def test_layout_is_the_documented_one(tmp_path, make_castro):
    make_castro(channels=["b", "tau"]).write(tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits") as hdus:
        assert hdus[0].header["HDUCLAS1"] == "CASTROMAPS"
        assert hdus[0].header["OBJECT"] == "Segue1"
        assert [hdu.name for hdu in hdus[1:5]] == ["AXIS_NORM", "AXIS_MASS", "AXIS_CHANNEL", "META"]
        assert hdus["STAT_SCAN"].data.shape == (2, 3, 322)  # channel, mass, norm
        assert u.Unit(hdus["REFERENCE"].header["BUNIT"]) == "cm3 s-1"
        assert hdus["AXIS_MASS"].columns[0].unit == "GeV"
        assert list(hdus["AXIS_CHANNEL"].data["label"]) == ["b", "tau"]
        assert json.loads(hdus["META"].data["json"][0])["log10_jfactor"] == 19.36
        assert all("CHECKSUM" in hdu.header for hdu in hdus)
        # as the documentation tells users of other tools
        masses = hdus["AXIS_MASS"].data["mass"]
        sigmav_ul = hdus["NORM_UL"].data * hdus["REFERENCE"].data
        expected = 1e-26 * (1 + np.sqrt(2.7055)) * masses / 100
        np.testing.assert_allclose(sigmav_ul, [expected, expected], rtol=1e-4)


def test_hdulist_in_memory(make_castro, assert_identical):
    castro = make_castro()
    assert_identical(castro, CastroMaps.from_hdulist(castro.to_hdulist()))


def test_failed_write_leaves_the_old_file(tmp_path, make_castro):
    path = tmp_path / "a.fits"
    make_castro().write(path)
    before = path.read_bytes()
    bad = make_castro()
    bad["stat_scan"].data[0, 0, 3] = np.nan
    with pytest.raises(ValueError, match="stat_scan"):
        bad.write(path, overwrite=True)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        make_castro().write(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_refuses_what_the_layout_cannot_hold(make_castro):
    castro = make_castro()
    castro.meta.contributors = {"draco": {"what": object()}}
    with pytest.raises(ValueError, match="JSON"):
        castro.to_hdulist()
    stack = CastroMaps.from_stack([make_castro()], LabelMapAxis(["draco "], name="target"))
    with pytest.raises(ValueError, match="spaces"):
        stack.to_hdulist()


# ---- damage --------------------------------------------------------------------------------------


def remove(name):
    return lambda hdus: hdus.pop(name)


def set_data(name, function):
    def edit(hdus):
        data = hdus[name].data.copy()
        hdus[name].data = function(data)

    return edit


def set_column(name, function):
    def edit(hdus):
        column = hdus[name].data.names[0]
        hdus[name].data[column] = function(hdus[name].data[column].copy())

    return edit


def set_key(name, key, value):
    def edit(hdus):
        hdus[name].header[key] = value

    return edit


def set_meta(**values):
    def edit(hdus):
        meta = json.loads(hdus["META"].data["json"][0]) | values
        text = json.dumps(meta)
        column = fits.Column("json", f"{len(text)}A", array=np.array([text]))
        hdus["META"] = fits.BinTableHDU.from_columns([column], name="META")

    return edit


def with_nan(index):
    def function(data):
        data[index] = np.nan
        return data

    return function


def swap(values):
    values[[0, 1]] = values[[1, 0]]
    return values


def double(values):
    values[1] = values[0]
    return values


def duplicate(hdus):
    hdus.append(hdus["TS"].copy())


DAMAGE = {
    "missing axis": (remove("AXIS_MASS"), "missing HDU AXIS_MASS"),
    "missing scan": (remove("STAT_SCAN"), "missing HDU STAT_SCAN"),
    "missing metadata": (remove("META"), "missing HDU META"),
    "wrong shape": (set_data("STAT_SCAN", lambda d: d[:, :2]), r"STAT_SCAN: expected the shape"),
    "transposed": (set_data("TS", lambda d: d.T.copy()), r"HDU TS: expected the shape"),
    "nan in the scan": (set_data("STAT_SCAN", with_nan((0, 1, 7))), "must be finite"),
    "nan in the masses": (set_column("AXIS_MASS", with_nan(1)), r"HDU AXIS_MASS, row 1 .*finite"),
    "nan in the reference": (set_data("REFERENCE", with_nan((0, 0))), "reference"),
    "unsorted masses": (set_column("AXIS_MASS", swap), r"HDU AXIS_MASS, row 1 .*ascend"),
    "unsorted norms": (set_column("AXIS_NORM", swap), r"HDU AXIS_NORM, row 1 .*ascend"),
    "duplicated mass": (set_column("AXIS_MASS", double), r"HDU AXIS_MASS, row 1 .*ascend"),
    "duplicated quantity": (duplicate, "HDU TS comes twice"),
    "duplicated channel": (set_column("AXIS_CHANNEL", double), "HDU AXIS_CHANNEL.*differ"),
    "norm without 0": (set_column("AXIS_NORM", lambda v: v + 1), "begin with 0"),
    "wrong mass unit": (set_key("AXIS_MASS", "TUNIT1", "cm"), "HDU AXIS_MASS.*unit"),
    "garbage unit": (set_key("REFERENCE", "BUNIT", "furlong2"), "HDU REFERENCE.*not a unit"),
    "wrong unit": (set_key("REFERENCE", "BUNIT", "s-1"), "reference: the unit"),
    "wrong status": (set_data("STATUS", lambda d: d + 7), "status"),
    "newer version": (set_key(0, "HDUVERS", "2"), "version '2'"),
    "foreign hdu": (
        lambda hdus: hdus.append(fits.ImageHDU(np.zeros(3), name="FOO")), "unknown HDU FOO",
    ),
    "empty axis": (set_data("AXIS_CHANNEL", lambda d: d[:0]), "AXIS_CHANNEL: the axis has no rows"),
    "renumbered axis": (set_key("AXIS_MASS", "AXNUM", 0), "AXNUM"),
    "garbled metadata": (
        set_column("META", lambda v: np.char.replace(v, '"', "'")), "HDU META.*damaged",
    ),
    "unknown metadata": (set_meta(colour="red"), "HDU META.*colour"),
    "two targets mixed": (set_meta(target="draco"), "'Segue1'.*'draco'.*mixed"),
    "two processes mixed": (set_meta(process="decay"), "PROCESS"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage(tmp_path, make_castro, name):
    edit, message = DAMAGE[name]
    path = tmp_path / "castro.fits"
    make_castro(channels=["b", "tau"]).write(path)
    with fits.open(path, memmap=False, lazy_load_hdus=False) as hdus:
        edit(hdus)
        hdus.writeto(path, overwrite=True, checksum=True)
    with pytest.raises(ValueError, match=message) as error:
        CastroMaps.read(path, format="castro")
    assert "castro.fits" in str(error.value)


@pytest.mark.parametrize("fraction", [0.05, 0.4, 0.8, 0.99])
def test_truncated(tmp_path, make_castro, fraction):
    path = tmp_path / "castro.fits"
    make_castro().write(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(ValueError, match=r"castro\.fits: .*(damaged|missing)"):
        CastroMaps.read(path)


def test_flipped_bit(tmp_path, make_castro):
    path = tmp_path / "castro.fits"
    castro = make_castro()
    castro.write(path)
    content = bytearray(path.read_bytes())
    with fits.open(path) as hdus:
        start = hdus.info(output=False) and hdus["STAT_SCAN"]._data_offset
    content[start + 100] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"castro\.fits: .*(C|c)hecksum|Datasum"):
        CastroMaps.read(path)


def test_file_without_checksums_is_read(tmp_path, make_castro, assert_identical):
    castro = make_castro()
    castro.to_hdulist().writeto(tmp_path / "a.fits")
    assert_identical(castro, CastroMaps.read(tmp_path / "a.fits"))
