"""Reading responses: values against the tables and closed forms, and files that are wrong."""

import pickle
import shutil

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits

from dmgammapy.makers.lat.response import LATResponse
from tests.makers.lat.synthetic_caldb import COSTHETA_EDGES, SyntheticCALDB


@pytest.fixture
def caldb(tmp_path):
    SyntheticCALDB(area_slope=0.5).write(tmp_path)
    return tmp_path


def test_types_and_masks(caldb):
    response = LATResponse.read(caldb=caldb)
    assert response.event_types == ["FRONT", "BACK"]
    assert (response.event_type_mask, response.event_class_mask) == (3, 128)
    assert response.costheta_min == pytest.approx(0.2)
    np.testing.assert_allclose(response.energy_range.to_value("MeV"), [10, 1e6], rtol=1e-6)
    assert not response.is_parametrised
    assert "FRONT" in repr(response)
    back = response.select("BACK")
    assert (back.event_types, back.event_type_mask) == (["BACK"], 2)
    assert LATResponse.read(event_type=2, caldb=caldb).event_types == ["BACK"]
    assert response.select(3).event_types == ["FRONT", "BACK"]
    assert pickle.loads(pickle.dumps(response)).event_types == response.event_types


@pytest.mark.parametrize(
    ("partition", "mask"), [("FB", 3), ("PSF", 0b111100), ("EDISP", 0b1111000000)]
)
def test_partitions_have_the_bits_of_event_files(tmp_path, partition, mask):
    SyntheticCALDB(partition=partition).write(tmp_path)
    assert LATResponse.read(event_type=partition, caldb=tmp_path).event_type_mask == mask
    assert LATResponse.read(event_type=mask, caldb=tmp_path).event_type_mask == mask


def test_effective_area_is_bilinear_between_middles(caldb):
    response = LATResponse.read(caldb=caldb)
    costheta = np.array([0.1, 0.2, 0.22, 0.25, 0.6, 0.95, 1.0])
    # linear between the first and last middle, constant outside, nothing below 0.2
    expected = 0.9 * (1 + 0.5 * (np.clip(costheta, 0.25, 0.95) - 1)) * (costheta >= 0.2)
    area = response.effective_area([[100], [5e4]] * u.MeV, costheta).to_value("m2")
    np.testing.assert_allclose(area, [expected, expected], rtol=1e-6)
    front = response.effective_area(1 * u.GeV, 0.6, event_type="FRONT").to_value("m2")
    assert front == pytest.approx(expected[4] / 2, rel=1e-6)
    corrected = response.effective_area(1 * u.GeV, 0.6, livetime_fraction=0.5).to_value("m2")
    assert corrected == pytest.approx(expected[4] * (0.4 * 0.5 + 0.65), rel=1e-6)


def test_effective_area_between_energies_is_linear_in_the_logarithm(tmp_path):
    table = np.broadcast_to(np.arange(1.0, 11.0), (len(COSTHETA_EDGES) - 1, 10))
    SyntheticCALDB(tables={"EFFAREA": table}).write(tmp_path)
    response = LATResponse.read(caldb=tmp_path)
    # middles at 10^1.25, 10^1.75, ...; two types of the same table
    area = response.effective_area(10 ** np.array([1.0, 1.25, 1.5, 3.35, 6.0]) * u.MeV, 0.7)
    np.testing.assert_allclose(area.to_value("m2"), [2, 2, 3, 10.4, 20], rtol=1e-5)


def test_real_effective_area_at_nodes(test_data):
    folder = test_data / "lat" / "caldb"
    response = LATResponse.read("P8R3_SOURCE_V3", "FB", folder)
    with fits.open(folder / "aeff_P8R3_SOURCE_V3_FB.fits") as hdus:
        data = hdus["EFFECTIVE AREA_BACK"].data[0]
        energy = np.sqrt(data["ENERG_LO"].astype(float) * data["ENERG_HI"])
        costheta = 0.5 * (data["CTHETA_LO"].astype(float) + data["CTHETA_HI"])
        table = data["EFFAREA"].astype(float)
    area = response.effective_area(energy * u.MeV, costheta[:, None], "BACK").to_value("m2")
    np.testing.assert_allclose(area, table, rtol=1e-5, atol=1e-9)


def test_tree_flat_folder_and_environment(caldb, tmp_path, monkeypatch):
    tree = tmp_path / "tree"
    for kind, place in (("aeff", "ea"), ("psf", "psf"), ("edisp", "edisp")):
        folder = tree / "data/glast/lat/bcf" / place
        folder.mkdir(parents=True)
        shutil.move(caldb / f"{kind}_P8R3_SOURCE_V3_FB.fits", folder)
    assert len(LATResponse.read(caldb=tree).event_types) == 2
    monkeypatch.setenv("CALDB", str(tree))
    assert len(LATResponse.read().event_types) == 2
    monkeypatch.delenv("CALDB")
    with pytest.raises(FileNotFoundError, match=r"CALDB.*parametrised"):
        LATResponse.read()


def test_missing_files_list_what_is_there(caldb, tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=r"aeff_P8R3_CLEAN_V3_FB\.fits.*there is P8R3_SOURCE_V3 \(FB\)",
    ):
        LATResponse.read("P8R3_CLEAN_V3", caldb=caldb)
    with pytest.raises(FileNotFoundError, match=r"_PSF\.fits.*P8R3_SOURCE_V3 \(FB\)"):
        LATResponse.read(event_type="PSF", caldb=caldb)
    (caldb / "psf_P8R3_SOURCE_V3_FB.fits").unlink()
    with pytest.raises(FileNotFoundError, match="there is no complete response"):
        LATResponse.read(caldb=caldb)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        LATResponse.read(caldb=tmp_path / "nothing")


@pytest.mark.parametrize(
    ("event_type", "message"),
    [
        (["FRONT", "PSF2"], "twice"),
        ("SIDE", "unknown event type 'SIDE'"),
        (1 << 12, "unknown bits"),
        (0, "unknown bits"),
        ([], "none"),
    ],
)
def test_event_types_that_do_not_go(caldb, event_type, message):
    with pytest.raises(ValueError, match=message):
        LATResponse.read(event_type=event_type, caldb=caldb)


def test_unknown_names(caldb):
    for irfs in ("P8R3_SAUCE_V3", "source", "P7REP_SOURCE_V15"):
        with pytest.raises(ValueError, match="unknown response"):
            LATResponse.read(irfs, caldb=caldb)
    with pytest.raises(ValueError, match=r"lacks PSF3.*event_type='PSF3'"):
        LATResponse.read(caldb=caldb).select("PSF3")


def test_energies_outside_are_never_clipped(caldb):
    response = LATResponse.read(caldb=caldb)
    for energy in (9 * u.MeV, 1.1 * u.TeV, [1e3, np.nan] * u.MeV):
        with pytest.raises(ValueError, match="goes from 10 to 1e\\+06 MeV"):
            response.effective_area(energy, 1)
    with pytest.raises(ValueError, match="goes from"):
        response.psf(1 * u.deg, 5 * u.MeV, 1)
    with pytest.raises(ValueError, match="goes from"):
        response.energy_dispersion(1 * u.GeV, 5 * u.MeV, 1)


@pytest.mark.parametrize("kind", ["aeff", "psf", "edisp"])
def test_truncated_file(caldb, kind):
    path = caldb / f"{kind}_P8R3_SOURCE_V3_FB.fits"
    content = path.read_bytes()
    for part in (0.97, 0.5, 0.0):
        path.write_bytes(content[: int(part * len(content))])
        with pytest.raises(ValueError, match=rf"{path.name}.*(truncated|no extension)"):
            LATResponse.read(caldb=caldb)


def test_tables_that_are_wrong(caldb):
    path = caldb / "psf_P8R3_SOURCE_V3_FB.fits"
    with fits.open(path) as hdus:
        hdus["RPSF_BACK"].columns["GTAIL"].name = "OTHER"
        hdus.writeto(caldb / "new.fits")
    (caldb / "new.fits").replace(path)
    with pytest.raises(ValueError, match=r"RPSF_BACK: no column GTAIL"):
        LATResponse.read(caldb=caldb)


def test_values_that_are_not_finite(tmp_path):
    SyntheticCALDB(tables={"EFFAREA": np.nan}).write(tmp_path)
    with pytest.raises(ValueError, match="EFFAREA: expected finite values"):
        LATResponse.read(caldb=tmp_path)
