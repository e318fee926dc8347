"""Sources of 4FGL and 3FHL: spectra against the catalog's formulas, extended sources, errors."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from gammapy.catalog import SourceCatalog3FHL, SourceCatalog4FGL
from gammapy.maps import Map, WcsGeom

from dmgammapy.makers._roi_catalogs import catalog_sources, read_catalog

from .roi_catalogs import CENTER, FHL, flux_1_100, near, write_catalog

ROWS = [
    {"Source_Name": "4FGL J1000.0+2000", **near(0.5, 0), "ASSOC1": "Mkn 1", "Signif_Avg": 7.0},
    {"Source_Name": "4FGL J1001.0+2000", **near(1, 0), "SpectrumType": "LogParabola"},
    {"Source_Name": "4FGL J1002.0+2000", **near(2, 0), "SpectrumType": "PLSuperExpCutoff"},
    {"Source_Name": "4FGL J1003.0+2000e", **near(6, 0), "Extended_Source_Name": "Cloud"},
    {"Source_Name": "4FGL J1004.0+2000", **near(9, 0)},
]
CLOUD = {"Source_Name": "Cloud", **near(6, 0), "Model_SemiMajor": 1.5, "Model_SemiMinor": 1.5}


def read(path, radius=5.0, **kwargs):
    catalog, folder = read_catalog(path)
    return {s.name: s for s in catalog_sources(catalog, CENTER, radius, folder, **kwargs)}


def test_spectra_are_those_of_the_catalog_paper(tmp_path):
    found = read(write_catalog(tmp_path / "psc.fit", ROWS, [CLOUD]))
    for row in ROWS[:3]:
        model = found[row["Source_Name"]].model
        flux = model.spectral_model.integral(1 * u.GeV, 100 * u.GeV).to_value("cm-2 s-1")
        # Gammapy's logarithmic trapezoids
        assert flux == pytest.approx(flux_1_100(row), rel=1e-3)
        assert all(p.frozen and np.isfinite(p.error) for p in model.parameters)


def test_selects_by_distance_and_reach_of_extended_sources(tmp_path):
    path = write_catalog(tmp_path / "psc.fit", ROWS, [CLOUD])
    assert list(read(path)) == [row["Source_Name"] for row in ROWS[:4]]
    assert list(read(path, radius=1.5)) == [row["Source_Name"] for row in ROWS[:2]]
    source = read(path)["4FGL J1000.0+2000"]
    assert source.separation == pytest.approx(0.5, abs=1e-4)
    assert source.ts == pytest.approx(49)
    assert source.aliases == ["Mkn 1"]


def test_catalog_of_gammapy_is_taken_too(tmp_path):
    path = write_catalog(tmp_path / "psc.fit", ROWS, [CLOUD])
    catalog, folder = read_catalog(SourceCatalog4FGL(path))
    assert folder is None
    assert len(catalog_sources(catalog, CENTER, 5.0)) == 4


def test_gaussian_has_the_containment_of_the_catalog(tmp_path):
    shape = {**CLOUD, "Model_Form": "2D Gaussian", "Spatial_Function": "RadialGauss"}
    found = read(write_catalog(tmp_path / "psc.fit", ROWS, [shape]))
    spatial = found["4FGL J1003.0+2000e"].model.spatial_model
    # Rayleigh distribution: 68 % within 1.5 deg; IC 443 has 0.27 deg in 4FGL and 0.179 in XML
    sigma = spatial.sigma.value
    assert 1 - np.exp(-0.5 * (1.5 / sigma) ** 2) == pytest.approx(0.68, abs=1e-6)


def test_ellipse_keeps_axes_and_angle(tmp_path):
    shape = {**CLOUD, "Model_SemiMinor": 0.75, "Model_PosAng": 30.0}
    found = read(write_catalog(tmp_path / "psc.fit", ROWS, [shape]))
    spatial = found["4FGL J1003.0+2000e"].model.spatial_model
    assert spatial.r_0.value == pytest.approx(1.5)
    assert spatial.e.value == pytest.approx(np.sqrt(0.75))
    assert spatial.phi.value == pytest.approx(30)


@pytest.fixture
def mapped(tmp_path):
    shape = {
        **CLOUD,
        "Model_Form": "Map",
        "Spatial_Function": "SpatialMap",
        "Spatial_Filename": "Cloud.fits",
    }
    return write_catalog(tmp_path / "psc.fit", ROWS, [shape])


@pytest.mark.parametrize("place", ["given", "given/Templates", "Extended_12years/Templates"])
def test_template_is_found_in_the_folders(tmp_path, mapped, place):
    folder = tmp_path / place
    folder.mkdir(parents=True)
    image = Map.from_geom(WcsGeom.create(skydir=(156, 20), npix=(5, 5), binsz=0.5))
    image.data += 2.0
    hdus = image.to_hdulist()
    hdus[0].header["BUNIT"] = "JY/BEAM"
    hdus.writeto(folder / "Cloud.fits")
    given = tmp_path / "given" if place.startswith("given") else None
    source = read(mapped, extended_dir=given)["4FGL J1003.0+2000e"]
    spatial = source.model.spatial_model
    assert source.reason == []
    assert spatial.filename == str(folder / "Cloud.fits")
    total = (spatial.map.quantity * spatial.map.geom.solid_angle()).sum()
    assert total.to_value("") == pytest.approx(1)


@pytest.mark.parametrize(
    ("form", "kind"), [("Map", "Disk"), ("Ring", "Disk"), ("2D Gaussian x2", "Gaussian")]
)
def test_absent_template_becomes_a_shape_and_is_said(tmp_path, form, kind):
    shape = {**CLOUD, "Model_Form": form, "Spatial_Filename": "Cloud.fits"}
    shape["Spatial_Function"] = "SpatialMap"
    source = read(write_catalog(tmp_path / "psc.fit", ROWS, [shape]))["4FGL J1003.0+2000e"]
    assert type(source.model.spatial_model).__name__ == f"{kind}SpatialModel"
    assert "Cloud.fits not found" in source.reason[0]
    assert kind.lower() in source.reason[0].lower()


def test_extended_source_that_the_table_lacks_is_a_point_and_said(tmp_path):
    source = read(write_catalog(tmp_path / "psc.fit", ROWS), radius=7)["4FGL J1003.0+2000e"]
    assert "'Cloud' is not in the catalog's table" in source.reason[0]


@pytest.mark.parametrize("photon", ["", "photon "])
def test_hard_sources(tmp_path, photon):
    layout = {
        name: (*rest, f"{photon}{unit}" if "Flux_Density" in name else unit)
        for name, (*rest, unit) in FHL.items()
    }
    rows = [
        {"Source_Name": "3FHL J1000.0+2000", **near(1, 0), "ASSOC_TEV": "Mkn 1"},
        {"Source_Name": "3FHL J1001.0+2000", **near(2, 0), "SpectrumType": "LogParabola",
         "beta": 0.1, "Unc_beta": 0.1, "ASSOC_GAM": "1FHL J1001.0+2000"},
    ]  # fmt: skip
    path = write_catalog(tmp_path / "psch.fit", rows, layout=layout)
    found = read(path)
    model = found["3FHL J1000.0+2000"].model
    # closed form of the power law 1e-14 / (cm2 s GeV) at 30 GeV, index 2.5
    expected = 1e-14 * 30 / 1.5 * ((10 / 30) ** -1.5 - (1000 / 30) ** -1.5)
    flux = model.spectral_model.integral(10 * u.GeV, 1 * u.TeV).to_value("cm-2 s-1")
    assert flux == pytest.approx(expected, rel=1e-5)
    assert found["3FHL J1000.0+2000"].aliases == ["Mkn 1"]
    assert found["3FHL J1000.0+2000"].catalog == "3fhl"
    assert found["3FHL J1000.0+2000"].ts == pytest.approx(64)
    second = found["3FHL J1001.0+2000"]
    assert second.aliases == ["1FHL J1001.0+2000"]
    # the curved spectrum has an index of its own: 100 GeV
    x = np.log(100 / 30)
    value = second.model.spectral_model(100 * u.GeV).to_value("cm-2 s-1 GeV-1")
    assert value == pytest.approx(1e-14 * np.exp(-2.2 * x - 0.1 * x**2), rel=1e-5)


def test_hard_catalog_has_the_columns_that_gammapy_reads(tmp_path):
    rows = [{"Source_Name": "3FHL J1000.0+2000", **near(1, 0)}]
    catalog = SourceCatalog3FHL(write_catalog(tmp_path / "psch.fit", rows, layout=FHL))
    text = str(catalog[0])
    assert "Spectral points" in text
    # the columns of bands, which cost time, are left out here
    assert "Flux_Band" not in read_catalog(catalog)[0].table.colnames


def test_extended_hard_sources(tmp_path):
    rows = [
        {"Source_Name": f"3FHL J100{i}.0+2000e", **near(1, i), "Extended_Source_Name": name}
        for i, name in enumerate(["Round", "Blurred", "Drawn"])
    ]
    sizes = {"Model_SemiMajor": 0.6, "Model_SemiMinor": 0.6}
    shapes = [
        {"Source_Name": "Round", **near(1, 0), **sizes},
        {"Source_Name": "Blurred", **near(1, 1), **sizes, "Model_Form": "2D Gaussian",
         "Spatial_Function": "RadialGauss"},
        {"Source_Name": "Drawn", **near(1, 2), **sizes, "Model_Form": "Map",
         "Spatial_Function": "SpatialMap", "Spatial_Filename": "Drawn.fits"},
    ]  # fmt: skip
    folder = tmp_path / "Extended_archive_v18" / "Templates"
    folder.mkdir(parents=True)
    image = Map.from_geom(WcsGeom.create(skydir=CENTER, npix=(5, 5), binsz=0.5))
    image.data += 1.0
    image.write(folder / "Drawn.fits")
    found = read(write_catalog(tmp_path / "psch.fit", rows, shapes, layout=FHL))
    kinds = [type(s.model.spatial_model).__name__ for s in found.values()]
    assert kinds == ["DiskSpatialModel", "GaussianSpatialModel", "TemplateSpatialModel"]
    assert [s.radius for s in found.values()] == pytest.approx([0.6] * 3)
    assert found["3FHL J1002.0+2000e"].model.spatial_model.filename == str(folder / "Drawn.fits")
    assert all(s.reason == [] for s in found.values())


def test_refuses_what_is_no_catalog(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_catalog(tmp_path / "none.fit")
    text = tmp_path / "text.fit"
    text.write_text("no FITS")
    with pytest.raises(ValueError, match="not a FITS file"):
        read_catalog(text)
    whole = write_catalog(tmp_path / "psc.fit", ROWS).read_bytes()
    text.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="not a FITS file that can be read"):
        read_catalog(text)
    Table({"a": [1]}).write(tmp_path / "other.fit", format="fits")
    with pytest.raises(ValueError, match="expected LAT_Point_Source_Catalog"):
        read_catalog(tmp_path / "other.fit")
    with pytest.raises(TypeError, match="got int"):
        read_catalog(3)
    monkeypatch.setenv("GAMMAPY_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="set GAMMAPY_DATA"):
        read_catalog("4fgl")


def test_refuses_other_and_incomplete_tables(tmp_path):
    path = write_catalog(tmp_path / "psc.fit", ROWS)
    with fits.open(path) as hdus:
        fits.HDUList([h for h in hdus if h.name.upper() != "ENERGYBOUNDS"]).writeto(
            tmp_path / "less.fit"
        )
        hdus[1].columns.change_name("PL_Flux_Density", "Flux_Density")
        hdus.writeto(tmp_path / "fgl3.fit")
    with pytest.raises(ValueError, match="not a complete 4fgl file"):
        read_catalog(tmp_path / "less.fit")
    with pytest.raises(ValueError, match="neither 4FGL"):
        read_catalog(tmp_path / "fgl3.fit")


def test_refuses_a_spectrum_without_numbers(tmp_path):
    rows = [{**ROWS[0], "PL_Index": np.nan}]
    catalog, _ = read_catalog(write_catalog(tmp_path / "psc.fit", rows))
    with pytest.raises(ValueError, match=r"4FGL J1000.0\+2000: index of its PowerLaw is nan"):
        catalog_sources(catalog, CENTER, 5.0)
