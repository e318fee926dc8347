"""Counts: alone, with bins, of two instruments; simulated as the data are."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from gammapy.datasets import Datasets, MapDataset, SpectrumDatasetOnOff
from gammapy.irf import EDispKernelMap
from gammapy.maps import MapAxis, RegionGeom, WcsGeom
from gammapy.modeling.models import FoVBackgroundModel, Models
from numpy.testing import assert_allclose

from dmgammapy.analysis import AnalysisError, ConfigError
from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import (
    CastroEstimator,
    CastroMaps,
    ExpectedLimitsEstimator,
    StackedDMLikelihood,
)
from dmgammapy.makers import BlankFieldMaker, SimulatedDatasetMaker, move_source
from dmgammapy.targets import Halo, Targets

DRACO, SEGUE = Targets.from_names(["draco:ackermann2014_nfw", "segue_1:ackermann2014_nfw"])
POSITION = DRACO.position
CENTER = SkyCoord(POSITION.ra, POSITION.dec)


def reco_axis():
    return MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", nbin=4)


def true_axis():
    return MapAxis.from_energy_bounds("0.05 TeV", "20 TeV", nbin=8, name="energy_true")


def counts_map(name="field", seed=1, position=CENTER):
    """A field of 3 deg without dark matter."""
    geom = WcsGeom.create(skydir=position, width=3, binsz=0.15, axes=[reco_axis()])
    dataset = MapDataset.create(geom, energy_axis_true=true_axis(), name=name)
    dataset.exposure.quantity = np.full(dataset.exposure.data.shape, 1e14) * u.Unit("cm2 s")
    dataset.psf = None
    dataset.edisp = None
    dataset.background.data[:] = np.geomspace(2, 0.1, 4)[:, None, None]
    dataset.mask_safe.data[:] = True
    dataset.models = [FoVBackgroundModel(dataset_name=name)]
    dataset.fake(seed)
    return dataset


@pytest.fixture
def field(project):
    """Counts of Draco with their background model on disk."""
    dataset = counts_map()
    folder = project / "counts"
    folder.mkdir()
    Datasets([dataset]).write(folder / "draco.yaml", filename_models=folder / "models.yaml")
    return dataset


COUNTS = {
    "targets": ["draco:ackermann2014_nfw"],
    "datasets": {"path": "counts/{target}.yaml", "models": "counts/models.yaml"},
    "masses": ["1 TeV", "5 TeV"],
}


def counts_castro(datasets, target=DRACO, spatial="point", **options):
    datasets = [d.copy(name=d.name) for d in Datasets(datasets)]
    for dataset in datasets:
        source = target.to_models("1 TeV", "b", spatial=spatial)
        dataset.models = [FoVBackgroundModel(dataset_name=dataset.name), *source]
    estimator = CastroEstimator([1, 5] * u.TeV, ["b"], **options)
    return estimator.run(datasets if len(datasets) > 1 else datasets[0])


@pytest.mark.parametrize(
    ("background", "options"),
    [
        ({}, {}),
        ("fixed", {"free_background": "fixed"}),
        ("2 deg", {"free_background": 2 * u.deg}),
        ({"cov_scale": 3}, {"cov_scale": 3}),
        ({"method": "direct"}, {"method": "direct"}),
    ],
)
def test_counts_are_those_of_the_estimator(project, field, make, background, options):
    analysis = make(**COUNTS, background=background or {"free": "free"})
    analysis.run(steps=["castro"])
    found = analysis.results["castro", "draco"]
    wanted = counts_castro([field], **options)
    assert_allclose(found.sigmav_ul.data, wanted.sigmav_ul.data, rtol=1e-9)
    assert_allclose(found["ts"].data, wanted["ts"].data, atol=1e-9)
    if background == "fixed":
        free = counts_castro([field])
        assert (abs(free.sigmav_ul.data / wanted.sigmav_ul.data - 1) > 1e-4).any()


def test_joint_counts_share_source_and_name(project, make):
    """Two exposures of a target whose models file names the datasets."""
    fields = [counts_map(f"run {k}", seed=k) for k in (1, 2)]
    folder = project / "counts"
    folder.mkdir()
    Datasets(fields).write(folder / "draco.yaml", filename_models=folder / "models.yaml")
    analysis = make(**COUNTS)
    analysis.run(steps=["castro"])
    wanted = counts_castro(fields)
    assert_allclose(
        analysis.results["castro", "draco"].sigmav_ul.data, wanted.sigmav_ul.data, rtol=1e-9
    )
    assert [d.name for d in analysis.datasets] == ["draco run 1", "draco run 2"]


def test_models_of_other_datasets_are_refused(project, field, make):
    Models([FoVBackgroundModel(dataset_name="fild")]).write(
        project / "counts/models.yaml", overwrite=True
    )
    with pytest.raises(AnalysisError, match="'fild-bkg' is for the datasets fild, none of field"):
        make(**COUNTS).run(steps=["castro"])


def test_changed_counts_are_noticed(project, field, make):
    """The YAML file stays as it is, what it leads to is another: also within one process."""
    analysis = make(**COUNTS)
    analysis.run(steps=["castro"])
    before = analysis.results["castro", "draco"].sigmav_ul.data
    analysis.run(steps=["castro"])
    assert analysis.computed == []
    other = counts_map(seed=5)
    other.write(project / "counts/field.fits", overwrite=True)
    analysis.run(steps=["castro"])
    assert analysis.computed == ["castro/draco"]
    after = analysis.results["castro", "draco"].sigmav_ul.data
    assert_allclose(after, counts_castro([other]).sigmav_ul.data, rtol=1e-9)
    assert (after != before).all()


def test_shape_on_the_sky(project, field, make):
    """The template brings the J that it holds, as `Target.to_models` says."""
    (wide,) = Targets.from_names(["draco:martinez2015_nfw"])
    given = COUNTS | {
        "targets": ["draco:wide"], "jfactor": {"targets": {"draco": {"log10_jfactor_err": 0.2}}},
    }  # fmt: skip
    profiles = {"wide": {"version": "martinez2015_nfw", "spatial": "radial"}}
    analysis = make(**given, profiles=profiles)
    analysis.run(steps=["castro"])
    found = analysis.results["castro", "draco.wide"]
    spatial = Halo.from_target(wide).to_spatial_model()
    wide = wide.copy(log10_jfactor=np.log10(spatial.jfactor.value), log10_jfactor_err=0.2)
    wanted = counts_castro([field], wide, spatial)
    assert_allclose(found.sigmav_ul.data, wanted.sigmav_ul.data, rtol=1e-9)
    assert found.meta.log10_jfactor == pytest.approx(np.log10(spatial.jfactor.value), abs=1e-12)
    assert analysis.targets[0].log10_jfactor == found.meta.log10_jfactor
    point = counts_castro([field], wide)
    assert (found.sigmav_ul.data > 1.01 * point.sigmav_ul.data).any()
    given["jfactor"] = {"targets": {"draco": {"log10_jfactor": 18, "log10_jfactor_err": 0.2}}}
    with pytest.raises(ConfigError, match="draco.log10_jfactor': .*the J of its density profile"):
        _ = make(**given, profiles=profiles).targets


def test_blank_fields_by_moving_the_source(project, field, make):
    section = {"n": 3, "seed": 4, "separation": "0.5 deg", "offset_min": "0.5 deg"}
    analysis = make(**COUNTS, blank_fields=section)
    analysis.run(steps=["blank"])
    blank = analysis.results["blank"]
    maker = BlankFieldMaker(
        3, seed=4, region=field.counts.geom.to_image(), offset_min=0.5 * u.deg,
        separation=0.5 * u.deg,
    )  # fmt: skip
    dataset = field.copy(name="field")
    dataset.models = [FoVBackgroundModel(dataset_name="field"), *DRACO.to_models("1 TeV", "b")]
    castros = CastroEstimator([1, 5] * u.TeV, ["b"]).run(move_source(dataset, maker.run(DRACO)))
    for k, castro in enumerate(castros):
        castro.meta.target = "draco"
        limit = StackedDMLikelihood([castro]).run().sigmav_ul.data
        assert_allclose(blank.sigmav_ul.data[k], limit, rtol=1e-9)
    assert len(np.unique(blank.sigmav_ul.data[:, 0, 0])) == 3


def test_counts_and_bins_of_a_target(project, field, analyse, make):
    """Counts join bins, and both are simulated: the ensemble has the truth's limits."""
    datasets = {"iact": COUNTS["datasets"], "lat": "sed_{target}.fits"}
    given = COUNTS | {"datasets": datasets}
    analysis = make(**given, simulations={"null": {"n": 2, "expectations": "truth.ecsv"}})
    analysis.run(steps=["stack", "collect"])
    lat = SEDLikelihoodDataset.read(project / "sed_draco.fits", instrument="lat")
    lat.models = DRACO.to_models("1 TeV", "b")
    lat = CastroEstimator([1, 5] * u.TeV, ["b"]).run(lat)
    iact = counts_castro([field])
    iact.meta.instrument = "iact"
    both = StackedDMLikelihood([iact, lat]).run()
    assert_allclose(analysis.results["stack"].sigmav_ul.data, both.sigmav_ul.data, rtol=1e-9)
    ensemble = analysis.results["simulation"].sigmav_ul.data
    assert ensemble.shape == (2, 1, 2, 1, 1)
    assert (abs(np.log(ensemble / both.sigmav_ul.data)) < 1.5).all()


def on_off_spectrum(energy=None, counts=(40, 20, 8, 1), off=(210, 95, 30, 9)):
    """Spectrum of Draco with a background region five times as large."""
    axis = reco_axis() if energy is None else energy
    region = RegionGeom.create(f"icrs;circle({CENTER.ra.deg}, {CENTER.dec.deg}, 0.3)", axes=[axis])
    dataset = SpectrumDatasetOnOff.create(region, energy_axis_true=true_axis(), name="spectrum")
    dataset.exposure.quantity = np.full(dataset.exposure.data.shape, 3e14) * u.Unit("cm2 s")
    dataset.exposure.meta["livetime"] = 1 * u.h
    dataset.acceptance.data[:], dataset.acceptance_off.data[:] = 1, 5
    dataset.counts.data[:, 0, 0] = counts
    dataset.counts_off.data[:, 0, 0] = off
    dataset.mask_safe.data[:] = True
    dataset.edisp = EDispKernelMap.from_diagonal_response(axis, true_axis(), geom=region.to_image())
    dataset.meta_table = Table({"TELESCOP": ["here"]})
    return dataset


@pytest.mark.filterwarnings("ignore:Checksum verification failed")
def test_on_off_spectra(project, make):
    """OGIP files, each with its response and background in files of their own."""
    dataset = on_off_spectrum()
    (project / "counts").mkdir()
    dataset.write(project / "counts/pha_obs1.fits", format="ogip")
    (project / "counts/draco.yaml").write_text(
        "datasets:\n- {name: one, type: SpectrumDatasetOnOff, filename: pha_obs1.fits}\n"
    )
    analysis = make(**(COUNTS | {"datasets": "counts/{target}.yaml"}))
    task = analysis.pipeline.tasks["castro/draco"]
    names = {path.rpartition("/")[2] for path in task.files.values()}
    assert names == {"draco.yaml", *(f"pha_obs1{end}.fits" for end in ("", "_arf", "_bkg", "_rmf"))}
    analysis.run(steps=["castro"])
    read = Datasets.read(project / "counts/draco.yaml")
    read[0].models = DRACO.to_models("1 TeV", "b")
    wanted = CastroEstimator([1, 5] * u.TeV, ["b"]).run(read[0])
    found = analysis.results["castro", "draco"]
    assert_allclose(found.sigmav_ul.data, wanted.sigmav_ul.data, rtol=1e-9)


def test_targets_whose_datasets_have_the_same_name(project, make):
    """Random numbers go by names: they are made different."""
    folder = project / "counts"
    for target in (DRACO, SEGUE):
        (folder / target.name).mkdir(parents=True)
        dataset = counts_map("run", position=target.position)
        Datasets([dataset]).write(
            folder / target.name / "data.yaml", filename_models=folder / target.name / "models.yaml"
        )
    given = COUNTS | {
        "targets": ["draco:ackermann2014_nfw", "segue_1:ackermann2014_nfw"],
        "datasets": {
            "path": "counts/{target}/data.yaml", "models": "counts/{target}/models.yaml",
        },
        "masses": ["1 TeV"],
    }  # fmt: skip
    analysis = make(**given, simulations={"null": {"n": 2, "per_target": True}})
    analysis.run(steps=["collect"])
    assert [d.name for d in analysis.datasets] == ["draco", "segue_1"]
    folder = project / "results/simulations/null/all/profile/targets"
    draco, segue = (CastroMaps.read(folder / f"{n}.fits") for n in ("draco", "segue_1"))
    ratio = draco.sigmav_ul.data / segue.sigmav_ul.data
    # not the same counts in both fields
    assert abs(ratio[0] / ratio[1] - 1) > 1e-3


# ---- counts of two instruments -----------------------------------------------------------------


@pytest.fixture
def two_instruments(project):
    """A map and a spectrum of Draco in other bins, with the counts that are expected."""
    dataset = counts_map()
    dataset.background.data[:] = np.array([2, 1, 0.5, 0.25])[:, None, None]
    dataset.counts.data = dataset.background.data.copy()
    spectrum = on_off_spectrum(
        MapAxis.from_energy_bounds("0.15 TeV", "15 TeV", nbin=3), (40, 20, 2), (200, 100, 10)
    )
    for name in ("lat", "iact"):
        (project / name).mkdir()
    Datasets([dataset]).write(
        project / "lat/draco.yaml", filename_models=project / "lat/models.yaml"
    )
    spectrum.write(project / "iact/pha_obs1.fits", format="ogip")
    (project / "iact/draco.yaml").write_text(
        "datasets:\n- {name: one, type: SpectrumDatasetOnOff, filename: pha_obs1.fits}\n"
    )
    return COUNTS | {
        "datasets": {
            "lat": {"path": "lat/{target}.yaml", "models": "lat/models.yaml"},
            "iact": "iact/{target}.yaml",
        }
    }


@pytest.mark.filterwarnings("ignore:Checksum verification failed")
@pytest.mark.parametrize("method", ["profile", "fixed"])
def test_simulations_of_two_counts_instruments(two_instruments, analyse, method):
    """Data that are what is expected are analysed as the Asimov data: each by itself, then both."""
    analysis = analyse(
        **two_instruments, jfactor=method, limits={"methods": ["profile", "cls"]},
        simulations={"null": {"n": 3}},
    )  # fmt: skip
    asimov, stack = analysis.results["asimov"], analysis.results["stack"]
    assert set(analysis.files["draco"]) == {"lat", "iact"}
    assert_allclose(asimov.sigmav_ul.data, stack.sigmav_ul.data, rtol=1e-6)
    low = stack.delta_stat < 30
    assert_allclose(asimov.delta_stat[low], stack.delta_stat[low], rtol=1e-5, atol=1e-6)
    # each instrument has its share
    for name in ("lat", "iact"):
        alone = analysis.results["castro", "draco", name].sigmav_ul.data
        if method == "fixed":
            assert (alone > 1.01 * stack.sigmav_ul.data).all()
    # realisations scatter around it
    ensemble = analysis.results["simulation"].sigmav_ul.data
    assert ensemble.shape == (3, 1, 2, 1, 1)
    assert len(np.unique(ensemble[:, 0, 0])) == 3
    assert (abs(np.log(ensemble / stack.sigmav_ul.data)) < 1.5).all()


def test_joint_counts_need_labels():
    """Without labels the counts of a target are fitted together; all must be named."""
    fields = [counts_map(f"run {k}", seed=k) for k in (1, 2)]
    for k, dataset in enumerate(fields):
        source = DRACO.to_models("1 TeV", "b")
        dataset.models = [FoVBackgroundModel(dataset_name=dataset.name), *source]
        dataset.meta_table = Table({"TELESCOP": [f"telescope {k}"]})
    castro, maker = CastroEstimator([1, 5] * u.TeV, ["b"]), SimulatedDatasetMaker(seed=1)
    together = ExpectedLimitsEstimator(castro, maker).asimov(fields)
    same = ExpectedLimitsEstimator(castro, maker, joint={"run 1": 0, "run 2": 0}).asimov(fields)
    np.testing.assert_array_equal(together.sigmav_ul.data, same.sigmav_ul.data)
    # with a background in each field of its own the sum of both is the same likelihood
    apart = ExpectedLimitsEstimator(castro, maker, joint={"run 1": 0, "run 2": 1}).asimov(fields)
    assert_allclose(apart.sigmav_ul.data, together.sigmav_ul.data, rtol=2e-3)
    assert (len(together.meta.contributors), len(apart.meta.contributors)) == (1, 2)
    with pytest.raises(ValueError, match=r"no label for the datasets \['run 2'\]"):
        ExpectedLimitsEstimator(castro, maker, joint={"run 1": 0}).asimov(fields)


@pytest.mark.parametrize("seen", ["point", "radial"])
def test_a_signal_of_another_shape_is_refused(project, field, make, seen):
    """Simulations change J, not the shape on the sky; that matters in counts only."""
    version = "ackermann2014_nfw" if seen == "point" else "martinez2015_nfw"
    profiles = {
        "here": {"version": version, "spatial": seen},
        "wide": {"version": "ackermann2014_nfw", "spatial": "radial"},
        "point": "ackermann2014_nfw",
    }
    other = "wide"  # of the same shape it has another profile of density
    given = COUNTS | {
        "targets": ["draco:here"], "profiles": profiles,
        "jfactor": {"targets": {"draco": {"log10_jfactor_err": 0.2}}},
    }  # fmt: skip
    with pytest.raises(ConfigError, match="simulations.null.profile': wide gives draco another"):
        _ = make(**given, simulations={"null": {"n": 2, "profile": other}}).pipeline
    for name in ("here", "point") if seen == "point" else ("here",):
        assert make(**given, simulations={"null": {"n": 2, "profile": name}}).pipeline.tasks
    if seen == "point":  # bins have their shape already
        bins = given | {"datasets": "sed_{target}.fits", "masses": ["50 GeV"]}
        assert make(**bins, simulations={"null": {"n": 2, "profile": "wide"}}).pipeline.tasks
