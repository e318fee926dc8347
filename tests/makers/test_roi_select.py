"""Finding, selecting, freeing and freezing of sources; the table in its file."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.modeling.models import (
    ConstantSpatialModel,
    FoVBackgroundModel,
    LogParabolaSpectralModel,
    Models,
    PointSpatialModel,
    PowerLawNormSpectralModel,
    PowerLawSpectralModel,
    SkyModel,
    SuperExpCutoffPowerLaw4FGLDR3SpectralModel,
    TemplateSpectralModel,
)

from dmgammapy.makers._roi_catalogs import ROISource
from dmgammapy.makers._roi_select import (
    find_model,
    free_sources,
    freeze_sources,
    select_sources,
)
from dmgammapy.makers._roi_table import make_table, read_roi_table, write_roi_table

CENTER = SkyCoord(10, 0, unit="deg")


def make_models():
    spectra = {
        "4FGL J0040.0+0000": (PowerLawSpectralModel(), 0.0),
        "4FGL J0044.0+0000": (LogParabolaSpectralModel(), 1.0),
        "4FGL J0052.0+0000": (SuperExpCutoffPowerLaw4FGLDR3SpectralModel(), 3.0),
    }
    models = [
        SkyModel(spectrum, PointSpatialModel(lon_0=(10 + lon) * u.deg, frame="icrs"), name=name)
        for name, (spectrum, lon) in spectra.items()
    ]
    norm = PowerLawNormSpectralModel()
    flat = TemplateSpectralModel([1, 100] * u.GeV, [1, 1] * u.Unit("MeV-1 cm-2 s-1"))
    iso = SkyModel(flat * norm, ConstantSpatialModel(), name="isodiff")
    models = Models([*models, iso])
    for parameter in models.parameters:
        parameter.frozen = True
    return models


@pytest.fixture
def models():
    return make_models()


@pytest.fixture
def table(models):
    aliases = [["Mkn 1", "3FHL J0040.0+0000"], ["Twin"], ["twin", "PSR B1"], []]
    sources = [
        ROISource(name=m.name, model=m, aliases=a, ts=ts, separation=s)
        for m, a, ts, s in zip(
            models, aliases, (100.0, 20.0, np.nan, np.nan), (0, 1, 3, np.nan), strict=True
        )
    ]
    lost = ROISource(name="4FGL J0055.0+0000", aliases=["Lost 1"], ts=4.0)
    lost.drop("ts 4 below 9")
    return make_table([*sources, lost], CENTER, 5.0)


def free_names(models):
    return {(model.name, p.name) for model in models for p in model.parameters if not p.frozen}


@pytest.mark.parametrize(
    "name",
    [
        "4FGL J0040.0+0000",
        "4fglj0040.0+0000",
        "J0040.0 +0000",
        "mkn1",
        " MKN 1",
        "3FHLJ0040.0+0000",
    ],
)
def test_finds_by_any_name(models, table, name):
    assert find_model(models, name, table) is models[0]


def test_finds_by_name_of_the_model_only_without_a_table(models):
    assert find_model(models, "j0044.0+0000") is models[1]
    with pytest.raises(ValueError, match="no source 'Mkn 1' among 4 models"):
        find_model(models, "Mkn 1")


def test_says_what_is_ambiguous_close_or_left_out(models, table):
    with pytest.raises(ValueError, match=r"ambiguous: 4FGL J0044.0\+0000, 4FGL J0052.0\+0000"):
        find_model(models, "twin", table)
    with pytest.raises(ValueError, match="perhaps isodiff"):
        find_model(models, "isodif", table)
    with pytest.raises(ValueError, match=r"4FGL J0055.0\+0000 is not in the model: dropped, ts 4"):
        find_model(models, "lost 1", table)


def test_selects_by_distance_and_significance(models, table):
    names = models.names
    assert select_sources(models) == names
    assert select_sources(models, radius=2 * u.deg, position=CENTER) == names[:2]
    # the centre of the table
    assert select_sources(models, radius=2 * u.deg, table=table) == names[:2]
    assert select_sources(models, significance_min=5, table=table) == names[:1]
    assert select_sources(models, significance_min=4, table=table) == names[:2]
    assert select_sources(models, names=["PSR B1", "isodiff"], table=table) == names[2:]
    assert select_sources(models, exclude="Mkn 1", table=table) == names[1:]


def test_selection_needs_what_it_compares_with(models):
    with pytest.raises(ValueError, match="from which position"):
        select_sources(models, radius=2 * u.deg)
    with pytest.raises(ValueError, match="significance_min needs"):
        select_sources(models, significance_min=3)
    with pytest.raises(ValueError, match="radius must be an angle"):
        select_sources(models, radius=2 * u.m, position=CENTER)


def test_frees_and_freezes_norms_and_shapes(models, table):
    first, second, third, diffuse = models.names
    assert free_sources(models, radius=2 * u.deg, table=table) == [first, second]
    assert free_names(models) == {(first, "amplitude"), (second, "amplitude")}
    assert models[0].parameters["amplitude"].min == 0
    assert free_sources(models, "PSR B1", pars="shape", table=table) == [third]
    added = {(third, "index_1"), (third, "expfactor")}
    assert free_names(models) == {(first, "amplitude"), (second, "amplitude")} | added
    assert freeze_sources(models, exclude=second) == [first, third, diffuse]
    assert free_names(models) == {(second, "amplitude")}
    assert free_sources(models, second, pars=None) == [second]
    assert free_names(models) == {(second, n) for n in ("amplitude", "alpha", "beta")}


def test_frees_the_norm_of_a_template(models):
    assert free_sources(models, "isodiff") == ["isodiff"]
    assert free_names(models) == {("isodiff", "norm")}


def test_keeps_a_negative_least_norm(models):
    models[0].parameters["amplitude"].min = -1e-12
    free_sources(models, models.names[0])
    assert models[0].parameters["amplitude"].min == -1e-12


def test_backgrounds_are_no_sources_with_a_place(models):
    models = Models([*models, FoVBackgroundModel(dataset_name="roi")])
    assert "roi-bkg" not in select_sources(models, radius=180 * u.deg, position=CENTER)
    assert "roi-bkg" in select_sources(models)
    with pytest.raises(ValueError, match="pars must be"):
        free_sources(models, pars="index")


def test_table_survives_its_file(tmp_path, table):
    write_roi_table(table, tmp_path / "roi.ecsv")
    again = read_roi_table(tmp_path / "roi.ecsv")
    assert again.colnames == table.colnames
    assert again.meta == table.meta
    for name in table.colnames:
        for mine, its in zip(table[name], again[name], strict=True):
            assert mine == its or (np.isnan(mine) and np.isnan(its))
    assert find_model(make_models(), "PSR B1", again).name == "4FGL J0052.0+0000"
    with pytest.raises(FileExistsError):
        write_roi_table(table, tmp_path / "roi.ecsv")


def test_refuses_other_tables(tmp_path, table):
    table["name", "ts"].write(tmp_path / "other.ecsv")
    with pytest.raises(ValueError, match="lacks the columns kind"):
        read_roi_table(tmp_path / "other.ecsv")
    (tmp_path / "text.ecsv").write_text("hello\n")
    with pytest.raises(ValueError, match="not a table of ECSV"):
        read_roi_table(tmp_path / "text.ecsv")
    with pytest.raises(FileNotFoundError):
        read_roi_table(tmp_path / "none.ecsv")
