"""Models of a region as a whole: what is kept, dropped, merged and free, and why."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.maps import Map, MapAxis, WcsGeom
from gammapy.modeling.models import Models, PointSpatialModel, PowerLawSpectralModel, SkyModel

from dmgammapy.datasets._render import Renderer
from dmgammapy.makers._roi_catalogs import ROISource
from dmgammapy.makers._roi_extra import make_source
from dmgammapy.makers._roi_merge import merge_catalogs
from dmgammapy.makers._roi_select import find_model
from dmgammapy.makers.roi_models import ROIModelMaker
from dmgammapy.targets import Target

from .roi_catalogs import (
    CENTER,
    FHL,
    make_dataset,
    near,
    write_catalog,
    write_cube,
    write_isotropic,
)

ROWS = [
    {"Source_Name": "4FGL J1000.0+2001", **near(0.05, 0), "Signif_Avg": 20.0},
    {"Source_Name": "4FGL J1002.0+2000", **near(1, 0), "ASSOC1": "Mkn 1"},
    {"Source_Name": "4FGL J1003.0+2000", **near(2, 0), "Signif_Avg": 4.5},
    {"Source_Name": "4FGL J1008.0+2000", **near(0, 8), "ASSOC2": "Far 1"},
]
HARD = [
    {"Source_Name": "3FHL J1002.1+2000", **near(1.05, 0), "ASSOC_TEV": "Hard 1"},
    {"Source_Name": "3FHL J1003.2+2000", **near(2.3, 0), "ASSOC1": "Mkn 1"},
    {"Source_Name": "3FHL J1004.0+2000", **near(-1, -1)},
]
OWN = {"name": "own", "ra": 150.5, "dec": 20.5, "Prefactor": 1e-13, "Index": 2.0}


@pytest.fixture
def catalog(tmp_path):
    return write_catalog(tmp_path / "psc.fit", ROWS)


def rows_of(table):
    return {str(row["name"]): row for row in table}


def test_default_region(tmp_path, catalog, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cube = write_cube(
        tmp_path / "sky.fits", lambda lon, lat, e: 1e-10 * (e / 1e3) ** -2.4 + 0 * lon * lat
    )
    dataset = make_dataset("draco-FB")
    maker = ROIModelMaker(catalog, diffuse=cube, isotropic=write_isotropic(tmp_path / "iso.txt"))
    models, table = maker.run(dataset, return_table=True)
    assert models.names == [row["Source_Name"] for row in ROWS[:3]] + ["galdiff", "isodiff"]
    free = {m.name: m.parameters.free_parameters.names for m in models}
    # the last of the catalog is 8 deg away, where there is no exposure
    assert list(free.values()) == [["amplitude"]] * 3 + [["norm"]] * 2
    last = rows_of(table)["4FGL J1008.0+2000"]
    assert (last["status"], last["reason"]) == ("dropped", "outside the exposure of the datasets")
    assert all(p.min == 0 for p in models.parameters.free_parameters)
    assert "0.050 deg from the centre: kept" in rows_of(table)["4FGL J1000.0+2001"]["reason"]
    assert table["separation"][1] == pytest.approx(1, abs=1e-4)
    # Galactic counts by hand at the centre: flux x exposure x solid angle, bins of 6 % in E
    renderer = Renderer(dataset)
    assert np.isfinite([renderer.npred(m) for m in models]).all()
    energy = dataset.exposure.geom.axes["energy_true"]
    index = 1 - 2.4 + 0.2
    low, high = 1.0, 100.0
    per_sr = 1e-10 * 1e11 * 1e3 * (high**index - low**index) / index
    omega = dataset.counts.geom.to_image().solid_angle().to_value("sr").sum()
    counts = renderer.npred(models["galdiff"])
    assert energy.nbin == 27
    # PSF tails leave the map's edge where the exposure ends, so compare its inner part
    inner = counts[:, 8:-8, 8:-8].sum() / 14**2 * 30**2
    assert inner == pytest.approx(per_sr * omega, rel=0.01)
    models.write("models.yaml")
    again = Models.read("models.yaml")
    for old, new in zip(models, again, strict=True):
        assert renderer.npred(new).sum() == pytest.approx(renderer.npred(old).sum(), rel=1e-6)


def test_maker_changes_nothing_and_repeats(catalog):
    dataset = make_dataset()
    maker = ROIModelMaker([catalog], ts_min=25, sources=[OWN])
    first, second = maker.run(dataset), maker.run(dataset)
    assert dataset.models is None
    assert first.names == second.names
    assert first[0] is not second[0]
    assert repr(maker).startswith("ROIModelMaker(catalogs=[")
    assert "ts_min=25" in repr(maker)


def test_faint_sources_are_dropped_and_named(catalog, caplog):
    caplog.set_level("INFO")
    models, table = ROIModelMaker(catalog, ts_min=25).run(make_dataset(), return_table=True)
    row = rows_of(table)["4FGL J1003.0+2000"]
    assert (row["status"], row["reason"]) == ("dropped", "ts 20.25 below 25")
    assert "4FGL J1003.0+2000" not in models.names
    assert "4FGL J1003.0+2000 dropped: ts 20.25 below 25" in caplog.text


def test_predicted_counts_decide(catalog):
    datasets = [make_dataset("a"), make_dataset("b", exposure=2e11)]
    mask = Map.from_geom(datasets[1].counts.geom, dtype=bool)
    mask.data[:6] = True
    datasets[1].mask_fit = mask
    models, table = ROIModelMaker(catalog, npred_min=1).run(datasets, return_table=True)
    rows = rows_of(table)
    assert rows["4FGL J1008.0+2000"]["status"] == "dropped"
    # Gammapy's own prediction
    expected = 0
    for dataset in datasets:
        dataset.models = [models[1]]
        weights = 1 if dataset.mask is None else dataset.mask.data
        expected += (dataset.npred_signal().data * weights).sum()
    assert rows[models[1].name]["npred"] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="npred_min needs datasets"):
        ROIModelMaker(catalog, npred_min=1).run(datasets[0].counts.geom)


def test_two_catalogs_are_merged_and_said(tmp_path, catalog):
    hard = write_catalog(tmp_path / "psch.fit", HARD, layout=FHL)
    models, table = ROIModelMaker([catalog, hard]).run(make_dataset(), return_table=True)
    rows = rows_of(table)
    row = rows["3FHL J1002.1+2000"]
    assert row["status"] == "merged"
    assert row["reason"].startswith("the same position as 4FGL J1002.0+2000 (4fgl), 0.050 deg")
    # 1.3 deg away: the same association doesn't make it the same source
    assert rows["3FHL J1003.2+2000"]["status"] == "kept"
    assert "3FHL J1004.0+2000" in models.names
    assert find_model(models, "hard 1", table).name == "4FGL J1002.0+2000"


def test_merging_by_association_is_for_neighbours():
    maker = ROIModelMaker()
    first = maker._extra(SkyModel(PowerLawSpectralModel(), PointSpatialModel(), name="a"), CENTER)
    second = maker._extra(
        SkyModel(PowerLawSpectralModel(), PointSpatialModel(lon_0=0.3 * u.deg), name="b"), CENTER
    )
    first.aliases, second.aliases = ["Mkn 1"], ["MKN1"]
    merge_catalogs([[first], [second]], 0.15)
    assert second.status == "merged"
    assert second.reason[0].startswith("the same name as a")
    assert first.aliases == ["Mkn 1", "b", "MKN1"]


def test_merging_looks_beyond_small_neighbours():
    """A hard point in a large source, with which it shares a name, and a point between."""

    def source(name, lon, aliases=(), radius=0.0):
        position = SkyCoord(lon, 0, unit="deg")
        return ROISource(name=name, position=position, aliases=list(aliases), radius=radius)

    large, point = source("large", 0, ["Vela X"], 1.5), source("point", 1.45)
    for first in ([large, point], [large]):
        hard = source("hard", 0.9, ["Vela X"])
        merge_catalogs([first, [hard]], 0.15)
        assert hard.status == "merged"
        assert hard.reason == ["the same name as large (), 0.900 deg away"]
    # no name in common, in a large source or not
    hard = source("other", 0.9)
    merge_catalogs([[large, point], [hard]], 0.15)
    assert hard.status == "kept"


def test_bright_sources_outside_the_exposure_are_warned_of(tmp_path, caplog):
    rows = [
        {"Source_Name": "bright", **near(0, 5.0), "Signif_Avg": 100.0},
        {"Source_Name": "faint", **near(0, -5.0), "Signif_Avg": 30.0},
        {"Source_Name": "far", **near(0, 11.0), "Signif_Avg": 100.0},
        {"Source_Name": "second", **near(5, 0), "Signif_Avg": 40.0},
    ]
    path = write_catalog(tmp_path / "psc.fit", rows)
    dataset = make_dataset()
    table = ROIModelMaker(path).table(dataset)
    assert list(table["status"]) == ["dropped"] * 4
    assert rows_of(table)["bright"]["ts"] == pytest.approx(1e4)
    (record,) = [r for r in caplog.records if r.levelname == "WARNING"]
    # the last pixel's centre, of 0.2 deg
    edge = dataset.exposure.geom.to_image().width[0].to_value("deg").max() / 2 - 0.1
    assert f"bright (TS 1e+04, {5 - edge:.1f} deg beyond), " in record.message
    assert "second (TS 1.6e+03" in record.message
    assert "far" not in record.message.replace("farther", "")
    assert "faint" not in record.message


def test_notes_stay_with_the_reason_of_dropping(tmp_path):
    rows = [
        {"Source_Name": "wide", **near(1, 0), "Extended_Source_Name": "Cloud", "Signif_Avg": 4},
        {"Source_Name": "kept", **near(-1, 0), "Extended_Source_Name": "Cloud"},
    ]
    shape = {**CLOUD, **near(1, 0), "Spatial_Function": "SpatialMap"}
    path = write_catalog(tmp_path / "psc.fit", rows, [{**shape, "Spatial_Filename": "Cloud.fits"}])
    for settings in ({"ts_min": 25}, {"exclude": "wide"}, {"sources": [{**OWN, "name": "wide"}]}):
        found = ROIModelMaker(path, **settings).table(make_dataset())
        found = rows_of(found[found["kind"] == "source"])
        assert found["wide"]["status"] != "kept"
        for name in ("wide", "kept"):
            assert found[name]["reason"].startswith("template Cloud.fits not found")


def test_exclude_by_any_name(catalog):
    maker = ROIModelMaker(catalog, exclude=["mkn 1", "4FGLJ1000.0+2001"])
    models, table = maker.run(make_dataset(), return_table=True)
    assert models.names == [row["Source_Name"] for row in ROWS[2:3]]
    assert rows_of(table)["4FGL J1002.0+2000"]["reason"] == "excluded as mkn 1"
    with pytest.raises(ValueError, match="no source 'mkn 2' in the catalogs, of which 4"):
        ROIModelMaker(catalog, exclude="mkn 2").run(make_dataset())


CLOUD = {"Source_Name": "Cloud", "Model_SemiMajor": 3.5, "Model_SemiMinor": 3.5}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # all that is near, however faint, with the edge of the extended source
        ({}, "near faint unknown wide"),
        ({"free_ts_min": 25}, "near unknown wide"),
        ({"free_ts_beyond": 25}, "near faint unknown bright wide"),
        ({"free_radius": 0 * u.deg, "free_ts_beyond": 25}, "near bright wide"),
        ({"free_radius": None, "free_ts_beyond": 25}, "near bright wide"),
        ({"free_radius": None}, ""),
        ({"free_radius": 4.5 * u.deg}, "near faint unknown bright weak wide"),
    ],
)
def test_which_norms_are_free(tmp_path, settings, expected):
    significance = {"near": 20, "faint": 2, "unknown": np.nan, "bright": 9, "weak": 4, "wide": 9}
    distance = {"near": 0.5, "faint": 1, "unknown": 2.9, "bright": 4, "weak": 4, "wide": -5}
    rows = [
        {"Source_Name": name, **near(distance[name], 0), "Signif_Avg": signif}
        for name, signif in significance.items()
    ]
    rows[-1]["Extended_Source_Name"] = "Cloud"
    # the Galactic emission is no catalog source
    axis = MapAxis.from_energy_bounds("1 GeV", "100 GeV", 2)
    geom = WcsGeom.create(skydir=CENTER, width=6, axes=[axis])
    path = write_catalog(tmp_path / "psc.fit", rows, [{**CLOUD, **near(-5, 0)}])
    own = {**OWN, "free": False}
    models = ROIModelMaker(path, sources=[own], **settings).run(geom)
    free = {m.name for m in models if m.parameters.free_parameters.names == ["amplitude"]}
    assert free == set(expected.split())
    assert all(m.parameters["amplitude"].min == 0 for m in models if m.name in free)


def test_dark_matter_replaces_no_source(catalog):
    target = Target("Mkn 1", position=SkyCoord(151.06, 20, unit="deg"), log10_jfactor=18.8)
    dark = target.to_models(mass=100 * u.GeV, channel="b")[0]
    models, table = ROIModelMaker(catalog, sources=dark).run(make_dataset(), return_table=True)
    assert {"Mkn 1", "4FGL J1002.0+2000"} < set(models.names)
    reason = rows_of(table)["4FGL J1002.0+2000"]["reason"]
    assert reason.startswith("the dark matter model Mkn 1 has a name of it: both stay")
    dark = dark.copy(name="4FGL J1002.0+2000")
    with pytest.raises(ValueError, match=r"several sources have the name 4FGL J1002.0\+2000"):
        ROIModelMaker(catalog, sources=dark).run(make_dataset())


@pytest.mark.parametrize(
    ("name", "away", "status", "text"),
    [
        # its very name stands for it wherever it is
        ("4fgl j1002.0 +2000", 1.0, "replaced", ""),
        ("MKN 1", 0.3, "replaced", "is replaced by your own source MKN 1"),
        ("MKN 1", 0.6, "kept", "is 0.60 deg away: both stay, use exclude"),
    ],
)
def test_which_sources_are_replaced(catalog, caplog, name, away, status, text):
    place = near(1, away)
    own = {**OWN, "name": name, "ra": place["RAJ2000"], "dec": place["DEJ2000"]}
    table = ROIModelMaker(catalog, sources=[own], exclude="4FGL J1000.0+2001").table(make_dataset())
    row = rows_of(table)["4FGL J1002.0+2000"]
    assert row["status"] == status
    said = "\n".join(r.message for r in caplog.records if r.levelname == "WARNING")
    assert text in said
    assert bool(said) == bool(text)


def test_own_sources_stay_as_they_are(catalog):
    target = Target("draco", position=CENTER, log10_jfactor=18.8)
    dark = target.to_models(mass=100 * u.GeV, channel="b")[0]
    same = {**OWN, "name": "MKN 1", "free": False, "ra": 151.06, "dec": 20.0}
    maker = ROIModelMaker(catalog, sources=[dark, OWN, same])
    models, table = maker.run(make_dataset(), return_table=True)
    assert models.names[:3] == [dark.name, "own", "MKN 1"]
    assert models[0] is dark
    assert not dark.parameters["sigmav"].frozen
    assert not models["own"].parameters["amplitude"].frozen
    assert models["MKN 1"].parameters["amplitude"].frozen
    rows = rows_of(table)
    assert rows["4FGL J1002.0+2000"]["status"] == "replaced"
    assert "your own source MKN 1" in rows["4FGL J1002.0+2000"]["reason"]
    with pytest.raises(ValueError, match="several sources have the name own"):
        ROIModelMaker(sources=[OWN, OWN]).run(make_dataset())


def test_geometry_and_position(catalog):
    axis = MapAxis.from_energy_bounds("1 GeV", "100 GeV", 2)
    geom = WcsGeom.create(skydir=CENTER, width=6, axes=[axis])
    assert len(ROIModelMaker(catalog).run(geom)) == 4
    far = SkyCoord(CENTER.ra, CENTER.dec + 9 * u.deg)
    assert ROIModelMaker(catalog, radius=2 * u.deg).run(geom, far).names == ["4FGL J1008.0+2000"]
    table = ROIModelMaker(catalog, radius="2.5 deg", free_radius=None).table(geom)
    assert len(table) == 3
    assert table.meta["radius"] == 2.5


def test_refuses_bad_arguments(catalog):
    with pytest.raises(ValueError, match="radius must be an angle"):
        ROIModelMaker(radius=3)
    with pytest.raises(ValueError, match="free_radius must be an angle"):
        ROIModelMaker(free_radius=-1 * u.deg)
    with pytest.raises(TypeError, match="got str among them"):
        ROIModelMaker(catalog).run(["a"])
    with pytest.raises(ValueError, match="at least one dataset"):
        ROIModelMaker(catalog).run([])


@pytest.mark.parametrize(
    ("kind", "values", "closed"),
    [
        (
            "PowerLaw",
            {"Prefactor": 2e-13, "Index": -2.2, "Scale": 500},
            lambda e: 2e-13 * (e / 500) ** -2.2,
        ),
        (
            "PowerLaw2",
            {"Integral": 1e-9, "Index": 2.0, "LowerLimit": 100, "UpperLimit": 1e5},
            lambda e: 1e-9 / (1 / 100 - 1e-5) * e**-2.0,
        ),
        (
            "LogParabola",
            {"norm": {"value": 3.0, "scale": 1e-13}, "alpha": 2.1, "beta": 0.2, "Eb": 2000},
            lambda e: 3e-13 * (e / 2000) ** (-2.1 - 0.2 * np.log(e / 2000)),
        ),
        (
            "PLSuperExpCutoff",
            {"Prefactor": 1e-12, "Index1": 1.5, "Scale": 1000, "Cutoff": 3000, "Index2": 0.7},
            lambda e: 1e-12 * (e / 1000) ** -1.5 * np.exp(-((e / 3000) ** 0.7)),
        ),
        (
            "PLSuperExpCutoff2",
            {"Prefactor": 1e-12, "Index1": 1.5, "Scale": 1000, "Expfactor": 0.01, "Index2": 0.6},
            lambda e: 1e-12 * (e / 1000) ** -1.5 * np.exp(0.01 * (1000**0.6 - e**0.6)),
        ),
        (
            "PLSuperExpCutoff4",
            {"Prefactor": 1e-12, "IndexS": 1.9, "Scale": 1000, "ExpfactorS": 0.5, "Index2": 0.6},
            lambda e: (
                1e-12
                * (e / 1000) ** (-1.9 + 0.5 / 0.6)
                * np.exp(0.5 / 0.36 * (1 - (e / 1000) ** 0.6))
            ),
        ),
    ],
)
def test_spectra_of_dictionaries_are_those_of_the_science_tools(kind, values, closed):
    """Formulas of the Fermi Science Support Center's list of source models."""
    model = make_source({"name": "s", "ra": 1, "dec": 2, "SpectrumType": kind, **values})
    energy = np.array([300.0, 1234.0, 4e4])
    values = model.spectral_model(energy * u.MeV).to_value("cm-2 s-1 MeV-1")
    assert values == pytest.approx(closed(energy), rel=1e-6)


def test_shapes_of_dictionaries():
    disk = make_source({**OWN, "SpatialModel": "RadialDisk", "SpatialWidth": 0.7})
    assert disk.spatial_model.r_0.value == pytest.approx(0.7)
    gaussian = make_source({**OWN, "SpatialModel": "RadialGaussian", "SpatialWidth": 0.7})
    sigma = gaussian.spatial_model.sigma.value
    assert 1 - np.exp(-0.5 * (0.7 / sigma) ** 2) == pytest.approx(0.68)
    place = {k: v for k, v in OWN.items() if k not in ("ra", "dec")}
    galactic = make_source({**place, "glon": 30.0, "glat": 40.0})
    assert galactic.position.galactic.l.deg == pytest.approx(30)
    model = make_source(disk.to_dict())
    assert model.name == "own"
    assert model.spatial_model.r_0.value == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "needs a name"),
        ({"SpectrumType": "FileFunction"}, "SpectrumType 'FileFunction' is not supported"),
        ({"SpatialModel": "SpatialMap"}, "SpatialModel 'SpatialMap' is not supported"),
        ({"SpatialModel": "RadialDisk"}, "needs its SpatialWidth"),
        ({"SpatialModel": "RadialDisk", "SpatialWidth": 0}, "size must be positive"),
        ({"Indx": 2}, "unknown key 'Indx' .* perhaps Index"),
        ({"Index": "steep"}, "Index must be a number, got 'steep'"),
        ({"Prefactor": {"scale": 1e-13}}, "Prefactor must be a number"),
    ],
)
def test_refuses_bad_dictionaries(change, message):
    with pytest.raises(ValueError, match=message):
        make_source({**OWN, **change})


def test_refuses_incomplete_dictionaries():
    with pytest.raises(ValueError, match="needs Prefactor"):
        make_source({k: v for k, v in OWN.items() if k != "Prefactor"})
    with pytest.raises(ValueError, match="no position"):
        make_source({k: v for k, v in OWN.items() if k != "ra"})
    with pytest.raises(TypeError, match="got list"):
        make_source([OWN])
