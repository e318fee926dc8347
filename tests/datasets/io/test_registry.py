"""How formats are told apart."""

import pytest

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.datasets.io import SED_FORMATS, identify_sed_format

from ..sed_helpers import poisson_dataset
from .builders import fermipy_columns, table_hdu, write_fits

REAL = {
    "fermipy/sed.fits": "fermipy",
    "golden/sed/sed_target_00_point_null.fits": "fermipy",
    "fermipy/castro.fits": "fermipy-castro",
    "fermi_dsphs_2015/like_fornax.txt": "fermi-lat-dsph",
}


@pytest.mark.parametrize("path", REAL)
def test_real_files_are_identified(test_data, path):
    assert identify_sed_format(test_data / path) == REAL[path]


@pytest.mark.parametrize("name", SED_FORMATS)
def test_written_files_are_identified(tmp_path, name):
    # by content, whatever the name; and by one format only
    path = tmp_path / "likelihood.dat"
    poisson_dataset().write(path, format=name)
    assert identify_sed_format(path) == name
    for other in set(SED_FORMATS) - {name}:
        with pytest.raises(ValueError, match="likelihood.dat"):
            SEDLikelihoodDataset.read(path, format=other)


@pytest.mark.parametrize(
    "path",
    [
        "golden/dm_spectra.fits",
        "golden/stack_results_null_none.fits",
        "fermipy/sed.yaml",
        "README.md",
    ],
)
def test_other_files_are_refused_with_reasons(test_data, path):
    with pytest.raises(ValueError, match="no SED likelihood format fits") as error:
        SEDLikelihoodDataset.read(test_data / path)
    for name in SED_FORMATS:
        assert f"- {name} (" in str(error.value)


def test_reasons_name_what_is_missing(tmp_path):
    columns = fermipy_columns()
    del columns["dloglike_scan"]
    path = write_fits(tmp_path / "sed.fits", table_hdu(columns))
    with pytest.raises(ValueError, match=r"sed.fits, HDU 1 lacks dloglike_scan"):
        SEDLikelihoodDataset.read(path)


def test_unknown_format(tmp_path):
    poisson_dataset().write(tmp_path / "x.fits")
    with pytest.raises(ValueError, match="format must be one of fermipy, .*got 'fermi'"):
        SEDLikelihoodDataset.read(tmp_path / "x.fits", format="fermi")
    with pytest.raises(ValueError, match="format must be one of"):
        poisson_dataset().write(tmp_path / "y.fits", format="csv")
    assert not (tmp_path / "y.fits").exists()


def test_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="a folder, not a file"):
        SEDLikelihoodDataset.read(tmp_path)
