"""From event files of the LAT to limits: one day around the Crab, and a simulated sky."""

import gzip
import itertools
import shutil

import astropy.units as u
import numpy as np
import pytest
import yaml
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from gammapy.datasets import Datasets
from gammapy.maps import Map, WcsGeom
from gammapy.modeling import Fit
from gammapy.modeling.models import (
    Models,
    PowerLawSpectralModel,
    SkyModel,
    TemplateSpatialModel,
)
from numpy.testing import assert_allclose

from dmgammapy.analysis import AnalysisConfig, ConfigError, DMAnalysis, figures
from dmgammapy.analysis._manifest import take_fingerprint
from dmgammapy.analysis._run import AnalysisError
from dmgammapy.datasets import CountsLikelihood
from dmgammapy.estimators import CastroEstimator
from dmgammapy.estimators.roi import ROIFit
from dmgammapy.makers.lat import LATDatasetMaker, LATResponse
from dmgammapy.makers.lat.orbits import LATOrbitSimulator
from dmgammapy.makers.lat.simulate import LATEventSimulator
from dmgammapy.targets import Target
from tests.makers.lat.simulate_helpers import isotropic, point
from tests.makers.roi_catalogs import write_catalog, write_isotropic

CRAB = (83.633, 22.015)
OFFSET = (85.5, 20.0)
GOOD_TIME = 63395.650  # s, of the Science Tools' gtmktime
NEBULA = {
    "Source_Name": "4FGL J0534.5+2200", "RAJ2000": CRAB[0], "DEJ2000": CRAB[1],
    "Signif_Avg": 100.0, "Pivot_Energy": 1000.0, "PL_Flux_Density": 4e-10, "PL_Index": 2.2,
}  # fmt: skip
STEPS = ("reduce", "region", "castro")


def write_targets(folder, **positions):
    names = list(positions)
    ra, dec = zip(*positions.values(), strict=True)
    table = Table({"name": names, "ra": ra, "dec": dec})
    table["log10_jfactor"], table["log10_jfactor_err"] = 19.0, 0.2
    table.write(folder / "targets.ecsv", format="ascii.ecsv", overwrite=True)


@pytest.fixture
def folder(tmp_path):
    """Folder with the target beside the Crab, a catalog of one source and isotropic emission."""
    write_targets(tmp_path, offset=OFFSET)
    write_catalog(tmp_path / "catalog.fits", [NEBULA])
    energies = np.array([100.0, 1e6])  # Galactic emission, too
    write_isotropic(tmp_path / "isotropic.txt", energies, 1e-8 * (energies / 1e3) ** -2.4)
    return tmp_path


@pytest.fixture
def day(test_data):
    """What is said about the photons of a day."""
    reference = test_data / "lat" / "reference"
    return {
        "ft1": str(reference / "ft1.fits.gz"), "ft2": str(reference / "ft2.fits.gz"),
        "irfs": "P8R2_SOURCE_V6", "caldb": str(test_data / "lat" / "caldb"), "width": "6 deg",
        "binsz": "0.5 deg", "energy_min": "500 MeV", "energy_max": "20 GeV",
        "energy_bins_per_decade": 4,
    }  # fmt: skip


REGION = {"catalogs": "catalog.fits", "isotropic": "isotropic.txt"}


def prepare(folder, photons=None, region=REGION, output="results", source=None, **changes):
    """Analysis of a configuration, through text as users write it."""
    source = dict(source or {})
    source |= {"photons": photons} if photons else {}
    source |= {"region": region} if region else {}
    config = {
        "targets": {"file": "targets.ecsv"}, "datasets": {"fermi-lat": source}, "channels": ["b"],
        "masses": ["20 GeV", "100 GeV"], "plots": False, "report": False,
    } | changes  # fmt: skip
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return DMAnalysis(AnalysisConfig.read(path), output=folder / output)


def states(analysis, *steps):
    """Number of tasks that are not done, of some steps."""
    table = analysis.status()
    known = {row["step"]: row["tasks"] - row["done"] for row in table}
    return [int(known[step]) for step in steps]


def limits_of(analysis):
    table = analysis.results["limits"]
    return u.Quantity(table["sigmav_ul"][table["target"] == "combined"])


# ---- from photons to limits --------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_day_of_the_crab(folder, day):
    kinds = ["region_map", "region_spectrum", "region_significance", "sed"]
    how = {
        "plots": {"kinds": kinds},
        "report": True,
        "jfactor": "fixed",
        "background": {"method": "direct"},
    }
    analysis = prepare(folder, day, **how)
    analysis.run()
    assert not analysis.failures

    region = analysis.results["region", "offset"]
    assert isinstance(region, ROIFit)
    assert region.converged
    (dataset,) = region.datasets
    assert dataset.counts.data.sum() == count_events(day, dataset.counts.geom)
    assert_allclose(dataset.gti.time_sum.to_value("s"), GOOD_TIME, atol=1e-2)
    table = region.to_table()
    assert table["name"][0] == NEBULA["Source_Name"]
    assert table["ts"][0] > 50
    # norms that are free make as many counts as there are
    assert_allclose(table["npred"].sum(), dataset.counts.data.sum(), rtol=1e-3)

    assert_allclose(limits_of(analysis)[0], limit_of_gammapy(region, 20 * u.GeV), rtol=0.01)
    for kind in kinds:
        path = folder / "results" / "plots" / kind / "offset_fermi-lat.png"
        assert path.stat().st_size > 1000, kind
    check_report(folder / "results", dataset)

    again = prepare(folder, day, **how)
    assert states(again, *STEPS, "report") == [0, 0, 0, 0]
    assert [d.name for d in again.datasets] == ["offset fermi-lat"]

    changed = prepare(folder, day, region=REGION | {"free_significance": 1000.0}, **how)
    assert states(changed, *STEPS) == [0, 1, 1]
    changed = prepare(folder, day | {"zenith_max": "80 deg"}, **how)
    assert states(changed, *STEPS) == [1, 1, 1]


def test_spectrum_of_the_crab(folder, day):
    """Flux of pulsar and nebula in bins of energy, without them in the models."""
    write_targets(folder, crab=CRAB)
    settings = {"energy_min": "1 GeV", "binsz": "0.2 deg", "energy_bins_per_decade": 3}
    analysis = prepare(folder, day | settings, {"isotropic": "isotropic.txt"})
    analysis.run(steps=["region"])
    estimator = CastroEstimator([100] * u.GeV, ["b"], show_progress=False)
    sed = estimator.estimate_sed(list(analysis.datasets)).to_flux_points()
    flux, error = (
        getattr(sed, name).quantity.to_value("cm-2 s-1").ravel() for name in ("flux", "flux_err")
    )
    # 2FGL J0534.5+2201 (Nolan et al. 2012, ApJS 199, 31): 1.8e-7 cm-2 s-1 from 1 to 100 GeV
    total, width = flux.sum(), np.sqrt(np.nansum(error**2))
    assert abs(total - 1.8e-7) < 3 * width
    assert width < 0.5 * total
    assert (np.diff(flux[:3]) < 0).all()  # it falls


def test_norms_at_zero_may_be_of_templates(folder, day):
    """A template that a fit has set to zero predicts nothing, and that is no mistake."""
    analysis = prepare(folder, day)
    analysis.run(steps=["region"])
    datasets = analysis.results["region", "offset"].datasets
    image = WcsGeom.create(skydir=OFFSET, width=2, binsz=0.5, frame="icrs")
    spatial = TemplateSpatialModel(Map.from_geom(image, data=1.0, unit="sr-1"), filename="x.fits")
    blob = SkyModel(PowerLawSpectralModel(amplitude="0 cm-2 s-1 MeV-1"), spatial, name="blob")
    blob.freeze()
    datasets.models = [*datasets.models, blob]
    likelihood = CountsLikelihood.from_datasets(datasets, source=NEBULA["Source_Name"])
    assert np.isfinite(likelihood.stat_sum())


def count_events(day, geom):
    """Number of events of the file in pixels and energies, by the world coordinates of FITS."""
    with fits.open(day["ft1"]) as hdus:
        events, good = hdus["EVENTS"].data, hdus["GTI"].data
    x, y = geom.to_image().wcs.world_to_pixel_values(events["RA"], events["DEC"])
    ny, nx = geom.to_image().data_shape
    inside = (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)
    inside &= (events["ENERGY"] > 500) & (events["ENERGY"] < 20000)
    time = events["TIME"][:, None]
    return (inside & ((time >= good["START"]) & (time <= good["STOP"])).any(axis=1)).sum()


def limit_of_gammapy(region, mass):
    """Upper limit at 95 % by Gammapy's own likelihood, all norms fitted again."""
    target = Target(name="offset", position=SkyCoord(*OFFSET, unit="deg"), log10_jfactor=19.0)
    (source,) = target.to_models(process="annihilation", mass=mass, channel="b", spectra="pppc4")
    datasets = Datasets(region.datasets)
    datasets.models = Models([*region.models, SkyModel(
        source.spectral_model, source.spatial_model, name="signal"
    )])  # fmt: skip
    sigmav = datasets.models["signal"].parameters["sigmav"]
    for parameter in datasets.models["signal"].parameters:
        parameter.frozen = True
    fit, values, rises = Fit(), np.array([0, 2.5, 3, 3.5]) * 1e-24, []
    for value in values:
        sigmav.quantity = value * u.Unit("cm3 s-1")
        fit.optimize(datasets)
        rises.append(datasets.stat_sum())
    rises = np.array(rises) - min(rises)
    last = int(np.argmin(rises))
    return np.interp(2.7055, rises[last:], values[last:]) * u.Unit("cm3 s-1")


def check_report(results, dataset):
    """What the region says in report and summary."""
    text = (results / "report.html").read_text(encoding="utf-8")
    assert "regions/fermi-lat/offset.ecsv" in text
    source = NEBULA["Source_Name"].replace(" ", "\u00a0")
    for word in ("Events and reduction", "P8R2_SOURCE_V6", source, "2008\u201108\u201104"):
        assert word in text, word
    summary = (results / "summary.txt").read_text()
    line = next(line for line in summary.splitlines() if "lat-fb" in line)
    assert line.split()[:4] == ["offset,", "fermi-lat", "lat-fb", f"{dataset.counts.data.sum():g}"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_two_targets_share_files_and_lists(folder, day):
    write_targets(folder, offset=OFFSET, crab=CRAB)
    (folder / "events.txt").write_text(f"# a list\n{day['ft1']}\n")
    analysis = prepare(folder, day | {"ft1": "@events.txt"})
    analysis.run(steps=["reduce", "region"])
    fits_of = {name: analysis.results["region", name] for name in ("offset", "crab")}
    for name, position in (("offset", OFFSET), ("crab", CRAB)):
        counts = fits_of[name].datasets[0].counts
        center = counts.geom.center_skydir.icrs
        assert_allclose([center.ra.deg, center.dec.deg], position, atol=1e-6)
        assert counts.data.sum() == count_events(day, counts.geom)
    # the same source, seen from two places, in regions of different pixels
    norm = {name: fit.models[0].parameters["amplitude"] for name, fit in fits_of.items()}
    assert abs(norm["offset"].value - norm["crab"].value) < norm["crab"].error


def test_files_of_each_target_and_changed_events(folder, day):
    copies = {}
    for name in ("offset", "crab"):
        copies[name] = folder / f"{name}_ft1.fits"
        with gzip.open(day["ft1"]) as source, open(copies[name], "wb") as out:
            shutil.copyfileobj(source, out)
    write_targets(folder, offset=OFFSET, crab=CRAB)
    analysis = prepare(folder, day | {"ft1": "{target}_ft1.fits"})
    analysis.run(steps=["reduce"])
    assert states(analysis, *STEPS) == [0, 2, 2]
    with fits.open(copies["crab"], mode="update") as hdus:
        hdus["EVENTS"].data = hdus["EVENTS"].data[:-1]
    again = prepare(folder, day | {"ft1": "{target}_ft1.fits"})
    assert states(again, *STEPS) == [1, 2, 2]  # that of offset still holds
    copies["crab"].unlink()
    without = prepare(folder, day | {"ft1": "{target}_ft1.fits"})
    assert "crab_ft1.fits" in without.skipped["crab"]
    named = {"file": "targets.ecsv", "select": ["offset", "crab"]}
    with pytest.raises(ConfigError, match="target crab: no file .*crab_ft1.fits"):
        prepare(folder, day | {"ft1": "{target}_ft1.fits"}, targets=named).status()


# ---- prepared datasets -------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_prepared_datasets_with_a_region(folder, day):
    settings = {k: v for k, v in day.items() if k not in ("ft1", "ft2")}
    maker = LATDatasetMaker(position=OFFSET, livetime_nside=16, show_progress=False, **settings)
    datasets = maker.run(day["ft1"], day["ft2"])
    datasets.write(folder / "offset.yaml")
    analysis = prepare(folder, source={"path": "{target}.yaml"})
    analysis.run(steps=["region"])
    region = analysis.results["region", "offset"]
    assert region.datasets[0].counts.data.sum() == datasets[0].counts.data.sum()
    assert {"isodiff", NEBULA["Source_Name"]} <= set(region.models.names)
    assert states(analysis, "region", "castro") == [0, 1]
    # counts are in a file of their own
    (counts,) = (path for path in folder.glob("*.fits*") if "lat-fb" in path.name)
    counts.write_bytes(counts.read_bytes() + bytes(2880))
    assert states(prepare(folder, source={"path": "{target}.yaml"}), "region") == [1]


# ---- bad input ---------------------------------------------------------------------------------

WRONG = {
    "no spacecraft": ({"ft2": None}, {}, "photons.ft2': give spacecraft files"),
    "absent spacecraft": ({"ft2": "no.fits"}, {}, r"photons.ft2\[0\]': no file .*no.fits"),
    "absent events": ({"ft1": "no.fits"}, {}, "offset: no file .*no.fits"),
    "absent list": ({"ft1": "@no.txt"}, {}, "offset: no file .*no.txt"),
    "absent in list": ({"ft1": "@list.txt"}, {}, "the list .*list.txt: no.fits: no such file"),
    "empty list": ({"ft1": "@empty.txt"}, {}, "empty.txt: the list names no file"),
    "responses": ({"caldb": "."}, {}, r"photons': .*\Q: aeff_P8R2_SOURCE_V6_FB.fits, .*not found"),
    "folder": ({"caldb": "nowhere"}, {}, "photons': the folder of LAT responses .*nowhere"),
    "event type": ({"event_types": ["PSF7"]}, {}, "unknown event type 'PSF7'; choose among"),
    "catalog": ({}, {"catalogs": "no.fit"}, r"region.catalogs\[0\]': no file .*no.fit"),
    "diffuse": ({}, {"diffuse": "no.fits"}, "region.diffuse': no file .*no.fits"),
    "isotropic": ({}, {"isotropic": {"FB": "no.txt"}}, "region.isotropic.FB': no file .*no.txt"),
    "key": ({"widht": "3 deg"}, {}, "photons.widht': unknown key; did you mean 'width'"),
    "unit": ({"width": "3"}, {}, "photons.width': expected a quantity with a unit"),
    "infinite": ({"energy_max": "inf GeV"}, {}, "photons.energy_max': expected a quantity"),
    "filter": ({"filter": "DATA_QUAL.x"}, {}, "photons': "),
    "energies": ({"energy_max": "400 MeV"}, {}, "energy_max must exceed energy_min"),
    "part's key": ({"components": [{"caldb": "."}]}, {}, r"components\[0\].* no key 'caldb'"),
    "part's unit": ({"components": [{"energy_min": 300}]}, {}, r"components\[0\].energy_min"),
    "part's type": ({"components": [{"event_types": "PSF7"}]}, {}, "unknown event type 'PSF7'"),
    "twice": ({"components": [{}, {"name": "b"}]}, {}, "share events"),
    "source": ({}, {"sources": [{"name": "x"}]}, r"region.sources\[0\]'"),
    "templates": ({}, {"extended_dir": "nowhere"}, "region.extended_dir': no folder"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_input_is_refused_before_anything_runs(folder, day, wrong):
    photons, region, message = WRONG[wrong]
    (folder / "list.txt").write_text("no.fits\n")
    (folder / "empty.txt").write_text("# nothing\n")
    photons = {k: v for k, v in (day | photons).items() if v is not None}
    with pytest.raises(ConfigError, match=message.replace(r"\Q", str(folder))):
        prepare(folder, photons, REGION | region).status()
    assert not (folder / "results").exists()


# ---- what a second look must see ------------------------------------------------------------


def fingerprint(analysis):
    """What a second run compares before it says that there is nothing to do."""
    return take_fingerprint(analysis.pipeline)


def test_a_second_run_looks_at_lists_responses_and_templates(folder, day, monkeypatch):
    (folder / "templates").mkdir()
    (folder / "ft2.txt").write_text(f"{day['ft2']}\n")
    monkeypatch.setenv("CALDB", day["caldb"])
    photons = {k: v for k, v in day.items() if k != "caldb"} | {"ft2": "@ft2.txt"}

    def look():
        return fingerprint(prepare(folder, photons, REGION | {"extended_dir": "templates"}))

    seen = [look()]
    assert look() == seen[0]
    (folder / "ft2.txt").write_text(f"# the same\n{day['ft2']}\n")
    seen.append(look())
    (folder / "templates" / "new.fits").write_bytes(b"")
    seen.append(look())
    shutil.copytree(day["caldb"], folder / "caldb")
    monkeypatch.setenv("CALDB", str(folder / "caldb"))
    seen.append(look())
    assert all(one != other for one, other in itertools.pairwise(seen))


def test_files_that_models_lead_to_are_inputs(folder, day):
    settings = {k: v for k, v in day.items() if k not in ("ft1", "ft2")}
    maker = LATDatasetMaker(position=OFFSET, livetime_nside=16, show_progress=False, **settings)
    maker.run(day["ft1"], day["ft2"]).write(folder / "offset.yaml")
    image = WcsGeom.create(skydir=OFFSET, width=2, binsz=0.5, frame="icrs")
    template = Map.from_geom(image, data=1.0, unit="sr-1")
    template.write(folder / "template.fits")
    spatial = TemplateSpatialModel(template, filename=str(folder / "template.fits"))
    blob = SkyModel(PowerLawSpectralModel(), spatial, name="blob")
    source = {"path": "{target}.yaml", "models": "models.yaml"}
    Models([blob]).write(folder / "models.yaml")
    files = prepare(folder, source=source).pipeline.tasks["region/fermi-lat/offset"].files
    assert str(folder / "template.fits") in files.values()
    blob.datasets_names = ["other"]
    Models([blob]).write(folder / "models.yaml", overwrite=True)
    with pytest.raises(AnalysisError, match="'blob' is for the datasets other"):
        prepare(folder, source=source, output="second").run(steps=["region"])


def test_targets_apart(folder, day):
    """One that is not in the events is skipped; a source near one alone may be excluded."""
    write_targets(folder, offset=OFFSET, away=(CRAB[0], -40.0))
    far = NEBULA | {"Source_Name": "4FGL J0100.0+0000", "RAJ2000": 15.0, "DEJ2000": 0.0}
    (folder / "catalog.fits").unlink()
    write_catalog(folder / "catalog.fits", [NEBULA, far])
    skip = {"execution": {"on_error": "skip"}}
    region = REGION | {"exclude": "4FGL J0100.0+0000"}
    analysis = prepare(folder, day, region, **skip)
    analysis.run()
    assert [failure.task for failure in analysis.failures] == ["reduce/fermi-lat/away"]
    assert np.isfinite(limits_of(analysis)).any()
    with pytest.raises(AnalysisError, match="no source '4FGL J9' in the catalogs"):
        prepare(folder, day, REGION | {"exclude": "4FGL J9"}, output="second").run()


# ---- without shared data -----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_simulated_sky(tmp_path):
    """A source of known flux and an empty target, three days in the rough response."""
    where = SkyCoord(*OFFSET, unit="deg")
    spacecraft = LATOrbitSimulator().run(duration="3 d")
    simulator = LATEventSimulator(LATResponse.parametrised(), spacecraft, energy_max="50 GeV")
    source = point(amplitude=1e-9, position=where.directional_offset_by(0 * u.deg, 2 * u.deg))
    sky = Models([source, isotropic(amplitude=2e-8)])
    simulator.run(sky, where, radius="8 deg", seed=1).write(tmp_path / "ft1.fits")
    spacecraft.write(tmp_path / "ft2.fits")
    write_targets(tmp_path, offset=OFFSET)
    position = source.position
    given = {
        "name": "source", "ra": float(position.ra.deg), "dec": float(position.dec.deg),
        "SpectrumType": "PowerLaw", "Prefactor": 2e-9, "Index": 2.0, "Scale": 1000.0,
    }  # fmt: skip
    region = {"sources": [given], "isotropic": "isotropic.txt"}
    photons = {
        "ft1": "ft1.fits", "ft2": "ft2.fits", "irfs": "parametrised", "width": "6 deg",
        "binsz": "0.5 deg", "energy_max": "50 GeV", "energy_bins_per_decade": 4,
        "zenith_max": "90 deg",
    }  # fmt: skip
    energies = np.array([100.0, 1e6])
    write_isotropic(tmp_path / "isotropic.txt", energies, 2e-8 * (energies / 1e3) ** -2)
    analysis = prepare(tmp_path, photons, region)
    analysis.run()
    assert not analysis.failures
    region = analysis.results["region", "offset"]
    found = {row["name"]: row for row in region.sources}
    for name, truth in (("source", 1e-9), ("isodiff", 1.0)):
        assert found[name]["norm_err"] > 0
        assert abs(found[name]["norm"] - truth) < 3 * found[name]["norm_err"], name
    assert np.isfinite(limits_of(analysis).value).all()

    figure = figures.region_map(region, where, "offset")
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert labels[0] == "Target"
    assert labels[1].startswith("1  source (TS ")
    residuals = figures.figure_facts("region_significance", {"fit": region})["residuals"]
    assert abs(residuals["mean"]) < 0.3
    assert 0.7 < residuals["width"] < 1.4
