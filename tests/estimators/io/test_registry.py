"""Formats are recognised by content, and what fits none says why."""

import numpy as np
import pytest
from astropy.io import fits

from dmgammapy.estimators import CastroMaps
from dmgammapy.estimators.io import CASTRO_FORMATS, identify_castro_format

NAMES = {
    "castro": "a.fits",
    "dmpipe": "a.fits",
    "gloryduck": "bb_Segue1_IACT.txt",
    "lklcom": "a.hdf5",
}


@pytest.mark.parametrize("format", NAMES)
def test_recognised_by_content(make_castro, tmp_path, format):
    if format == "lklcom":
        pytest.importorskip("h5py")
    castro = make_castro()
    path = tmp_path / NAMES[format]
    castro.write(path, format=format)
    assert identify_castro_format(path) == format
    back = CastroMaps.read(path)
    expected = 1e-26 * (1 + np.sqrt(2.7055)) * castro.masses.value / 100
    np.testing.assert_allclose(back.sigmav_ul.quantity.value[0, :, 0, 0], expected, rtol=1e-4)
    assert (back.meta.target, back.meta.instrument) == ("Segue1", "IACT")
    assert back.meta.log10_jfactor == pytest.approx(19.36, abs=1e-12)


def test_all_formats_are_tested():
    assert list(NAMES) == list(CASTRO_FORMATS)


def test_unidentified(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("some notes\nabout dwarfs\nand more\nof them\n")
    with pytest.raises(ValueError, match="notes.txt: no likelihood table format fits") as error:
        CastroMaps.read(path)
    for format, reason in {
        "castro": "not a FITS file",
        "dmpipe": "not a FITS file",
        "gloryduck": "not plain numbers",
        "lklcom": "not an HDF5 file",
    }.items():
        assert any(
            line.startswith(f"- {format} ") and line.endswith(reason)
            for line in str(error.value).splitlines()
        )


def test_sed_file_is_no_likelihood_table(test_data):
    with pytest.raises(ValueError, match=r"sed\.fits: no likelihood table format fits"):
        CastroMaps.read(test_data / "fermipy" / "sed.fits")


def test_limits_are_pointed_to_their_reader(test_data):
    with pytest.raises(ValueError, match="use read_dmpipe_limits"):
        CastroMaps.read(test_data / "golden" / "stack_limits_null_none.fits")


def test_unknown_format(make_castro, tmp_path):
    make_castro().write(tmp_path / "a.fits")
    for call in (CastroMaps.read, make_castro().write):
        with pytest.raises(ValueError, match="format must be one of castro, dmpipe, gloryduck"):
            call(tmp_path / "a.fits", format="root")


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.fits: no such file"):
        CastroMaps.read(tmp_path / "nothing.fits")
    with pytest.raises(FileNotFoundError, match="a folder"):
        CastroMaps.read(tmp_path)


def test_options_of_another_format(make_castro, tmp_path):
    make_castro().write(tmp_path / "a.fits")
    with pytest.raises(TypeError, match=r"a\.fits: format 'castro'.*dataset"):
        CastroMaps.read(tmp_path / "a.fits", dataset="data")


def test_default_format_needs_its_suffix(make_castro, tmp_path):
    with pytest.raises(ValueError, match="end the name with .fits or give format="):
        make_castro().write(tmp_path / "bb_Segue1_IACT.txt")


@pytest.mark.parametrize(
    "content",
    [b"", b"SIMPLE  =                    T", b"\x1f\x8bbroken", b"\x89HDF\r\n\x1a\nbroken"],
)
def test_broken_files(tmp_path, content):
    if content.startswith(b"\x89HDF"):
        pytest.importorskip("h5py")
    path = tmp_path / "broken.fits"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.fits: .*(empty|damaged)"):
        CastroMaps.read(path)


def test_fits_without_tables(tmp_path):
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "image.fits")
    with pytest.raises(ValueError, match="HDUCLAS1 of the primary HDU is ''"):
        CastroMaps.read(tmp_path / "image.fits")
