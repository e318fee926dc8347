"""fermipy's configurations against its documentation and code (1.4.3: defaults, gtanalysis)."""

import copy
import logging
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.testing import assert_allclose

from dmgammapy.makers.lat._fermipy_schema import DEFAULTS, REASONS, SECTIONS
from dmgammapy.makers.lat.fermipy_config import translate_fermipy_config

BASE = {
    "selection": {"emin": 100, "emax": 1e5, "evclass": 128, "evtype": 3, "ra": 83.6, "dec": 22.0},
    "model": {"src_roiwidth": 15.0},
}


def config(**sections):
    merged = copy.deepcopy(BASE)
    for name, content in sections.items():
        if isinstance(content, dict):
            merged.setdefault(name, {}).update(content)
        else:
            merged[name] = content
    return merged


def settings(**sections):
    return translate_fermipy_config(config(**sections)).settings


def reasons(translation):
    return {key: reason for key, _, reason in translation.untranslated}


def write(path, content):
    path.write_text(yaml.safe_dump(content))
    return path


def test_defaults_are_those_of_fermipy():
    got = settings()
    # docs/config: roiwidth 10, binsz 0.1, binsperdec 8, CEL, AIT, edisp_bins -1
    assert got["width"] == 10
    assert got["binsz"] == 0.1
    assert got["npix"] == (100, 100)
    assert got["n_energy_bins"] == 24
    assert (got["frame"], got["proj"]) == ("icrs", "AIT")
    assert (got["edisp"], got["edisp_margin"]) == (True, 1)
    assert (got["filter"], got["roi_zenith_max"], got["zenith_max"]) == (None, None, None)
    assert (got["livetime_binsz"], got["livetime_costheta_step"]) == (1.0, 0.025)
    # half a diagonal and half a degree
    assert_allclose(got["radius"], 5 * np.sqrt(2) + 0.5)
    assert got["roi_optimizer"]["shape_ts_threshold"] == 25


def test_example_of_dmpipe(test_data, monkeypatch):
    monkeypatch.setenv("FERMI_DIFFUSE_DIR", str(test_data / "lat"))
    path = test_data / "fermipy" / "dmpipe_example" / "config" / "config_dSphs.yaml"
    translation = translate_fermipy_config(path)
    got = translation.settings
    assert (got["energy_min"], got["energy_max"], got["n_energy_bins"]) == (100, 1e5, 12)
    assert (got["event_class"], got["event_type"], got["zenith_max"]) == (128, 3, 100)
    assert (got["frame"], got["width"], got["irfs"]) == ("galactic", 10, "P8R2_SOURCE_V6")
    assert got["ft1"].startswith("@/u/gl/mdwood")
    assert got["ft1"].endswith("z100_r180_gti_ft1.lst")
    assert got["ft2"].endswith("476239414_ft2.fits")
    assert got["livetime"].endswith("gtltcube_z100.fits")
    assert got["model"]["diffuse"] == [str(test_data / "lat" / "gll_iem_v06.fits")]
    assert got["model"]["isotropic"][0].endswith("iso_P8R2_SOURCE_V6_v06.txt")
    assert got["model"]["catalogs"] == [str(path.resolve().parent / "gll_psc_v14.fit")]
    assert got["model"]["width"] == 10
    assert_allclose(got["model"]["radius"], np.sqrt(50))
    assert got["edisp_disable"] == ["isodiff", "galdiff"]
    # the pipeline fills in the position of each target
    assert got["position"] is None
    assert {"selection.ra", "gtlike.edisp_disable"} <= set(reasons(translation))
    assert got["name"] == "config_dSphs"


def test_components_are_merged_in_full(tmp_path):
    content = config(
        components=[
            {"selection": {"evtype": 4, "zmax": 80}, "model": {"isodiff": "iso_0.txt"}},
            {"selection": {"evtype": 8, "emin": 300}, "binning": {"enumbins": 7}},
            None,
        ],
        model={"isodiff": "iso.txt"},
        fileio={"outdir": "out"},
    )
    (tmp_path / "out").mkdir()
    for name in ("ccube_01.fits", "bexpmap_01.fits", "psf_01.fits", "ccube_02.txt"):
        (tmp_path / "out" / name).touch()
    translation = translate_fermipy_config(write(tmp_path / "fermipy.yaml", content))
    first, second, third = translation.components
    assert [part["name"] for part in translation.components] == ["00", "01", "02"]
    assert [part["event_type"] for part in translation.components] == [4, 8, 3]
    assert [part["zenith_max"] for part in translation.components] == [80, None, None]
    assert (first["n_energy_bins"], second["n_energy_bins"]) == (24, 7)
    assert second["energy_min"] == 300
    assert_allclose(second["energy_bins_per_decade"], 7 / np.log10(1e5 / 300))
    assert first["model"]["isotropic"] == [str(tmp_path / "iso_0.txt")]
    assert third["model"]["isotropic"] == [str(tmp_path / "iso.txt")]
    assert first["products"] == third["products"] == {}
    assert second["products"] == {
        what: str(tmp_path / "out" / f"{stem}_01.fits")
        for what, stem in (("counts", "ccube"), ("exposure", "bexpmap"), ("psf", "psf"))
    }
    assert translation.settings["event_type"] == 4
    named = translate_fermipy_config(config(components={"b": {}, "a": {"binning": {"binsz": 0.2}}}))
    assert [(part["name"], part["binsz"]) for part in named.components] == [("a", 0.2), ("b", 0.1)]


def test_files_of_components(tmp_path):
    """Each has its own, or that of all."""
    for name in ("b.fits", "c.fits", "lt.fits"):
        (tmp_path / name).touch()
    (tmp_path / "c.lst").write_text("c.fits\n")
    content = config(
        data={"evfile": "a.fits", "scfile": "s.fits"},
        components=[
            {"selection": {"evtype": 4}},
            {"data": {"evfile": "b.fits", "ltcube": "lt.fits"}},
            {"data": {"evfile": "c.lst", "scfile": "/other/s.fits"}},
        ],
    )
    components = translate_fermipy_config(write(tmp_path / "c.yaml", content)).components
    here = str(tmp_path) + "/"
    assert [[part[name] for name in ("ft1", "ft2", "livetime")] for part in components] == [
        [here + "a.fits", here + "s.fits", None],
        [here + "b.fits", here + "s.fits", here + "lt.fits"],
        [[here + "c.fits"], "/other/s.fits", None],
    ]
    assert settings()["ft1"] is None


@pytest.mark.parametrize("at", ["", "@"])
def test_lists_of_files(tmp_path, monkeypatch, at):
    monkeypatch.setenv("LAT_DATA", "/data/lat")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "beside.fits").touch()
    lines = ["# photons", "$LAT_DATA/a.fits", "", "beside.fits", "not_there.fits"]
    (tmp_path / "lists" / "ft1.lst").write_text("\n".join(lines))
    path = write(
        tmp_path / "c.yaml",
        config(data={"evfile": f"{at}lists/ft1.lst", "scfile": "${LAT_DATA}/ft2.fits.gz"}),
    )
    got = translate_fermipy_config(path).settings
    assert got["ft1"] == [
        "/data/lat/a.fits", str(tmp_path / "lists" / "beside.fits"),
        str(tmp_path / "not_there.fits"),
    ]  # fmt: skip
    assert got["ft2"] == "/data/lat/ft2.fits.gz"
    got = settings(data={"evfile": f"{at}/nowhere/ft1.txt"})
    assert got["ft1"] == "@/nowhere/ft1.txt"
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(ValueError, match="names no file"):
        settings(data={"evfile": str(tmp_path / "empty.txt")})


def test_environment_variable_that_is_not_set(monkeypatch):
    monkeypatch.delenv("NO_SUCH_FOLDER", raising=False)
    with pytest.raises(ValueError, match=r"model.galdiff.*NO_SUCH_FOLDER, which is not set"):
        settings(model={"galdiff": "$NO_SUCH_FOLDER/gll_iem.fits"})


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"target": "my source", "ra": 1.0, "dec": 2.0}, (10.0, -20.0)),
        ({"ra": 1.0, "dec": 2.0, "glon": 0.0, "glat": 0.0}, (1.0, 2.0)),
        # J2000 of the Galactic centre, Reid & Brunthaler 2004
        ({"ra": None, "dec": None, "glon": 0.0, "glat": 0.0}, (266.40499, -28.93617)),
    ],
)
def test_order_of_positions(selection, expected):
    sources = [{"name": "My Source", "ra": 10.0, "dec": "-20"}]
    assert_allclose(
        settings(selection=selection, model={"sources": sources})["position"], expected, atol=1e-4
    )


def test_target_of_a_catalog_has_no_position():
    translation = translate_fermipy_config(config(selection={"target": "mkn421"}))
    assert translation.settings["position"] is None
    assert translation.settings["target"] == translation.settings["name"] == "mkn421"
    assert "give it here" in reasons(translation)["selection.target"]


def test_energy_dispersion():
    # without bins the tools apply none
    for gtlike, expected in (
        ({"edisp_bins": 2}, (True, 2)),
        ({"edisp_bins": 0}, (False, 0)),
        ({"edisp": False}, (False, 0)),
    ):
        got = settings(gtlike=gtlike)
        assert (got["edisp"], got["edisp_margin"]) == expected
    translation = translate_fermipy_config(config(gtlike={"edisp_bins": 0}))
    assert "no energy dispersion" in reasons(translation)["gtlike.edisp"]
    with pytest.raises(ValueError, match=r"gtlike.edisp = 'no', expected true or false"):
        settings(gtlike={"edisp": "no"})


def test_numbers_that_yaml_takes_for_text(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("selection: {logemin: 2.5, emax: 1e5, ra: 0, dec: 0, tmin: 239557417}")
    got = translate_fermipy_config(path).settings
    assert_allclose(got["energy_min"], 316.2278, rtol=1e-6)
    assert got["energy_max"] == 1e5
    assert got["time_min"] == 239557417


def test_width_follows_the_pixels():
    # fermipy: round(roiwidth / binsz) pixels
    assert settings(binning={"roiwidth": 10.04, "binsz": 0.1})["width"] == 10
    assert settings(binning={"npix": [30, 20], "binsz": 0.5})["width"] == (15, 10)
    hpx = translate_fermipy_config(config(binning={"projtype": "HPX", "hpx_order": 7}))
    assert hpx.settings["hpx_order"] == 7
    assert "fit on a WCS" in reasons(hpx)["binning.projtype"]


def test_catalogs_and_radii():
    names = ["4FGL-DR3", "3FGL", "sources.xml", "/catalogs/gll_psc_v32.fit"]
    model = {"catalogs": names, "src_radius": 8.0, "src_radius_roi": 6.0, "src_roiwidth": None}
    translation = translate_fermipy_config(config(model=model))
    got = translation.settings["model"]
    assert got["catalogs"] == ["4fgl", "/catalogs/gll_psc_v32.fit"]
    said = [value for key, value, _ in translation.untranslated if key == "model.catalogs"]
    assert said == names[:3]
    assert (got["radius"], got["width"]) == (8, 12)


def changed(section, key):
    """A value that is not fermipy's default."""
    special = {
        "evtype": 4, "coordsys": "GAL", "projtype": "HPX", "proj": "CAR", "npix": [20, 20],
        "roicut": "yes", "irfs": "P8R3_SOURCE_V3", "edisp_disable": ["galdiff"], "glat": None,
        "glon": None, "sources": [{"name": "a", "ra": 1, "dec": 2}], "logemin": 2, "logemax": 5,
        "convtype": 1, "target": "a", "filter": "LAT_CONFIG==1", "hpx_ordering_scheme": "NESTED",
        "catalogs": ["a.fit"], "skip": ["a"], "src_expscale": {"a": 2}, "radius": 3.0,
        "diffuse_dir": ["/templates"], "enumbins": 9, "emin": 200, "emax": 5e4, "src_radius": 3.0,
        "src_roiwidth": 9.0, "src_radius_roi": 4.0, "expscale": 0.5, "phasemin": 0.2,
        "phasemax": 0.7,
    }  # fmt: skip
    default = DEFAULTS[section][key]
    if key in special:
        return special[key]
    if isinstance(default, bool):
        return not default
    if isinstance(default, int | float):
        return default * 2 if default else 1
    return 7 if section == "selection" else "other.fits"


@pytest.mark.parametrize("section", DEFAULTS)
def test_no_key_is_dropped_in_silence(tmp_path, section):
    (tmp_path / "other.fits").touch()
    start = config(
        selection={"emin": 100, "emax": 1e5, "zmax": 90, "evtype": None},
        model={"src_roiwidth": None},
    )
    if section == "binning":
        start["binning"] = {"projtype": "HPX"}
    usual = translate_fermipy_config(start, folder=tmp_path)
    for key in DEFAULTS[section]:
        if key in ("glon", "glat", "logemin", "logemax", "diffuse_dir", "hpx_ordering_scheme"):
            continue  # tested above, or without effect alone
        content = copy.deepcopy(start)
        content.setdefault(section, {})[key] = changed(section, key)
        got = translate_fermipy_config(content, folder=tmp_path)
        told = [note for note in got.untranslated if note[0] == f"{section}.{key}"]
        same = got.settings == usual.settings
        if section == "binning" and key == "projtype":
            continue
        assert told or not same, f"{section}.{key} is neither translated nor listed"


def test_every_reason_is_of_a_known_key():
    for name in REASONS:
        section, key = name.split(".")
        assert key in SECTIONS[section]


def test_sections_without_counterpart_are_listed():
    translation = translate_fermipy_config(
        config(tsmap={"max_kernel_radius": 2.0}, optimizer={"tol": 1e-4}, components=[])
    )
    assert translation.untranslated[:2] == [
        ("tsmap.max_kernel_radius", 2.0, "set when the map is made"),
        ("optimizer.tol", 1e-4, reasons(translation)["optimizer.tol"]),
    ]
    assert "tsmap.max_kernel_radius = 2.0: set when" in str(translation)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"selektion": {}}, r"unknown section 'selektion'. Did you mean 'selection'"),
        ({"emin": 100}, r"'emin'. It is a key of selection"),
        ({"binning": {"roiwdth": 3}}, r"binning.roiwdth. Did you mean 'roiwidth'"),
        ({"binning": {"zmax": 90}}, r"binning.zmax. It belongs to selection"),
        ({"components": [{"selection": {"evtpye": 4}}]}, r"component 00: .*Did you mean 'evtype'"),
        ({"components": "front"}, "components must be a list"),
        ({"components": [4]}, "component 00 must hold sections"),
        ({"selection": {"emin": "low"}}, r"selection.emin = 'low', expected a number"),
        ({"selection": {"emin": None}}, r"selection.emin \[MeV\] is missing"),
        ({"selection": {"emin": 1e6}}, "expected 0 < emin < emax"),
        ({"selection": {"logemin": 3}}, "contradict each other"),
        ({"selection": {"evclass": 128.5}}, "expected a whole number"),
        ({"selection": {"tmin": 5, "tmax": 4}}, "must be before"),
        ({"selection": {"ra": "12h"}}, "must be degrees"),
        ({"binning": {"coordsys": "ECL"}}, "expected CEL or GAL"),
        ({"binning": {"binsz": -0.1}}, "must be positive"),
        ({"binning": {"npix": [3]}}, "expected two whole numbers"),
        ({"binning": {"enumbins": 0}}, "0 energy bins"),
        ({"model": {"sources": ["Crab"]}}, "must be a list with names"),
        ({"model": {"isodiff": [None]}}, "must name files"),
        ({"model": 3}, "must hold keys and values"),
    ],
)
def test_bad_values(sections, message):
    with pytest.raises(ValueError, match=message):
        translate_fermipy_config(sections if sections.get("model") == 3 else config(**sections))


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.yaml"):
        translate_fermipy_config(tmp_path / "none.yaml")
    path = tmp_path / "bad.yaml"
    for text, message in (("a: [1", "not a YAML file"), ("- 1", "got list"), ("", "NoneType")):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            translate_fermipy_config(path)


def test_input_is_not_changed(caplog):
    content = config(components=[{"selection": {"evtype": 4}}])
    before = copy.deepcopy(content)
    with caplog.at_level(logging.WARNING):
        translation = translate_fermipy_config(content)
        translation.settings["model"]["catalogs"].append("other")
    assert content == before
    assert translation.components[0]["model"]["catalogs"] == []


def test_models_of_the_region(tmp_path):
    """Templates by component go to the datasets of these components."""
    for name in ("gal.fits", "iso0.txt", "iso1.txt"):
        (tmp_path / name).write_text("")
    parts = [
        {"selection": {"evtype": 16}, "model": {"isodiff": "iso0.txt"}},
        {"selection": {"evtype": 32}, "model": {"isodiff": "iso1.txt"}},
    ]
    config = {
        "selection": {"emin": 100, "emax": 1e5, "evclass": 128, "ra": 83.6, "dec": 22.0},
        "model": {"galdiff": "gal.fits", "src_radius": 7.0},
    }
    translation = translate_fermipy_config(config | {"components": parts}, folder=tmp_path)
    maker = translation.to_roi_model_maker(free_radius="2 deg")
    assert maker.radius.to_value("deg") == 7
    assert maker.free_radius.to_value("deg") == 2
    assert str(maker.diffuse) == str(tmp_path / "gal.fits")
    assert {k: Path(v).name for k, v in maker.isotropic.items()} == {
        "lat-00-psf2": "iso0.txt", "lat-01-psf3": "iso1.txt",
    }  # fmt: skip
    config["model"]["galdiff"] = ["gal.fits", "iso0.txt"]
    with pytest.raises(ValueError, match="model.galdiff: several templates"):
        translate_fermipy_config(config, folder=tmp_path).to_roi_model_maker()
