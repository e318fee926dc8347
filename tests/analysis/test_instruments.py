"""Data of every kind: SED likelihoods, tables of likelihood, counts; several of them together."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from gammapy.datasets import Datasets, MapDataset, SpectrumDatasetOnOff
from gammapy.maps import MapAxis, RegionGeom, WcsGeom
from gammapy.modeling.models import FoVBackgroundModel, Models
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar

from dmgammapy.analysis import AnalysisError, ConfigError
from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.estimators import CastroEstimator, CastroMaps, StackedDMLikelihood
from dmgammapy.makers import BlankFieldMaker, move_source
from dmgammapy.targets import Halo, Target, Targets

MASSES = [50, 500] * u.GeV
DRACO, SEGUE = Targets.from_names(["draco:ackermann2014_nfw", "segue_1:ackermann2014_nfw"])
SCALE = 4e-26
TABLE_J = 19.2  # of the tables made here; Segue 1 has 19.5


def castro_of(path, target, instrument=None):
    dataset = SEDLikelihoodDataset.read(path, instrument=instrument)
    dataset.models = target.to_models("100 GeV", "b")
    return CastroEstimator(MASSES, ["b"]).run(dataset)


def parabola(sigmav):
    """-2 ln L of an imagined telescope at J = 10^19.2, both masses."""
    return (sigmav / SCALE - 0.5) ** 2


@pytest.fixture
def table(project):
    """Glory Duck table of Segue 1."""
    sigmav = np.append(0, np.geomspace(1e-29, 1e-21, 321))
    castro = CastroMaps.from_scan(
        sigmav * u.Unit("cm3 s-1"), np.tile(parabola(sigmav), (1, 2, 1)), MASSES, ["b"],
        target="segue_1", instrument="magic", log10_jfactor=TABLE_J,
    )  # fmt: skip
    (project / "magic").mkdir()
    castro.write(project / "magic/bb_segue_1.txt", format="gloryduck", check_name=False)
    return castro


TWO = {
    "lat": "sed_{target}.fits",
    "magic": {"path": "magic/bb_{target}.txt", "format": "gloryduck", "targets": ["segue_1"]},
}


# ---- tables ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fixed", "profile"])
def test_table_moves_to_the_j_of_the_analysis(project, table, analyse, method):
    """-2 ln L of Segue 1 against a sum by hand in which J is 10^0.3 times that of the table."""
    analysis = analyse(
        targets=["segue_1:ackermann2014_nfw"], datasets={"magic": TWO["magic"]}, jfactor=method
    )
    assert SEGUE.log10_jfactor == 19.51
    shift = SEGUE.log10_jfactor - TABLE_J
    single = analysis.results["castro", "segue_1", "magic"]
    assert single.meta.log10_jfactor == SEGUE.log10_jfactor
    assert_allclose(single.sigmav.data, 0.5 * SCALE / 10**shift, rtol=1e-3)
    stack = analysis.results["stack"]

    def stat(sigmav):
        if method == "fixed":
            return parabola(sigmav * 10**shift)

        def total(y):
            return parabola(sigmav * 10 ** (shift + y)) + (y / SEGUE.log10_jfactor_err) ** 2

        return minimize_scalar(total, bounds=(-2, 2), method="bounded").fun

    scan = stack.sigmav_scan.to_value("cm3 s-1")[0, 0]
    found = stack.delta_stat[0, 0]
    inside = (scan > 1e-27) & (found < 30)
    assert inside.sum() > 30
    expected = np.array([stat(x) for x in scan[inside]])
    assert_allclose(found[inside] - found[inside].min(), expected - expected.min(), atol=3e-3)


def test_table_without_width_moves_too(project, table, analyse):
    """Without a width there is no prior that could carry J; the limit still halves with 2 J."""
    limits = []
    for value in (19.0, 19.0 + np.log10(2)):
        Targets([Target("segue_1", log10_jfactor=value)]).write(
            project / "mine.ecsv", overwrite=True
        )
        analysis = analyse(
            targets="mine.ecsv", datasets={"magic": TWO["magic"]}, jfactor="fixed"
        )  # fmt: skip
        limits.append(analysis.combined.sigmav_ul.data)
        assert_allclose(limits[-1], (0.5 + 1.645) * SCALE * 10 ** (TABLE_J - value), rtol=2e-3)
    assert_allclose(limits[0] / limits[1], 2, rtol=1e-6)


def test_lat_and_a_table_share_j(project, table, analyse):
    analysis = analyse(datasets=TWO)
    assert analysis.files["draco"].keys() == {"lat"}
    lat = [castro_of(project / f"sed_{t.name}.fits", t, "lat") for t in (DRACO, SEGUE)]
    # the same flux at the J of the analysis
    move = 10 ** (TABLE_J - SEGUE.log10_jfactor)
    magic = CastroMaps.from_scan(
        table.sigmav_scan[0, 0] * move, table.delta_stat, MASSES, ["b"],
        target="segue_1", instrument="magic", prior=SEGUE.jfactor_prior(),
        log10_jfactor=SEGUE.log10_jfactor,
    )  # fmt: skip
    by_hand = StackedDMLikelihood([*lat, magic]).run()
    found = analysis.results["stack"]
    assert_allclose(found.sigmav_ul.data, by_hand.sigmav_ul.data, rtol=1e-5)
    alone = StackedDMLikelihood([lat[1], magic]).run()
    assert_allclose(
        analysis.results["target", "segue_1"].sigmav_ul.data, alone.sigmav_ul.data, rtol=1e-5
    )
    # both matter
    only = StackedDMLikelihood(lat).run()
    assert (abs(found.sigmav_ul.data / only.sigmav_ul.data - 1) > 0.01).all()


def test_extra_widths_apply_where_the_instrument_is(project, table, analyse):
    """Draco was not seen by it: its limits stay, and nothing fails."""
    plain = analyse(datasets=TWO)
    wide = analyse("wide", datasets=TWO, jfactor={"extra_widths": {"magic": 0.4}})
    by_hand = StackedDMLikelihood(
        [
            castro_of(project / "sed_draco.fits", DRACO, "lat"),
            castro_of(project / "sed_segue_1.fits", SEGUE, "lat"),
            plain.results["castro", "segue_1", "magic"],
        ],
        extra_widths={"magic": 0.4},
    ).run()
    found = wide.results["stack"]
    assert_allclose(found.sigmav_ul.data, by_hand.sigmav_ul.data, rtol=1e-6)
    assert (abs(found.sigmav_ul.data / plain.combined.sigmav_ul.data - 1) > 1e-3).any()
    draco = [a.results["target", "draco"].sigmav_ul.data for a in (plain, wide)]
    np.testing.assert_array_equal(*draco)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": ["tau"]}, "no channel tau in the table"),
        ({"masses": ["50 GeV", "600 GeV"]}, "no mass 600 GeV in the table"),
        ({"process": "decay"}, "log10_dfactor"),
    ],
)
def test_table_that_does_not_fit(project, table, analyse, changes, message):
    given = {"targets": ["segue_1:ackermann2014_nfw"], "datasets": {"magic": TWO["magic"]}}
    with pytest.raises((AnalysisError, ValueError), match=message):
        analyse(**given, **changes)


def test_table_with_treated_j_is_refused(project, analyse):
    castro = castro_of(project / "sed_draco.fits", DRACO)
    StackedDMLikelihood([castro]).run().write(project / "table_draco.fits")
    given = {"targets": ["draco:ackermann2014_nfw"], "datasets": "table_{target}.fits"}
    with pytest.raises(AnalysisError, match="J has been treated before .profile."):
        analyse(**given)
    castro.write(project / "table_draco.fits", overwrite=True)
    found = analyse(**given, limits={"cl": 0.9})
    wanted = castro.upper_limit_and_status(cl=0.9)[0].data
    assert_allclose(found.results["castro", "draco"].sigmav_ul.data, wanted, rtol=1e-9)


def test_tables_cannot_be_simulated(table, make):
    with pytest.raises(ValueError, match="likelihood tables of segue_1 can't be simulated"):
        make(datasets=TWO, simulations={"null": {"n": 3}}).plan()


# ---- counts ------------------------------------------------------------------------------------

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


@pytest.mark.filterwarnings("ignore:Checksum verification failed")
def test_on_off_spectra(project, make):
    """OGIP files, each with its response and background in files of their own."""
    region = RegionGeom.create(
        f"icrs;circle({CENTER.ra.deg}, {CENTER.dec.deg}, 0.3)", axes=[reco_axis()]
    )
    dataset = SpectrumDatasetOnOff.create(region, energy_axis_true=true_axis(), name="spectrum")
    dataset.exposure.quantity = np.full(dataset.exposure.data.shape, 3e14) * u.Unit("cm2 s")
    dataset.exposure.meta["livetime"] = 1 * u.h
    dataset.acceptance.data[:], dataset.acceptance_off.data[:] = 1, 5
    dataset.counts.data[:, 0, 0] = [40, 20, 8, 1]
    dataset.counts_off.data[:, 0, 0] = [210, 95, 30, 9]
    dataset.mask_safe.data[:] = True
    from gammapy.irf import EDispKernelMap

    dataset.edisp = EDispKernelMap.from_diagonal_response(
        reco_axis(), true_axis(), geom=region.to_image()
    )
    dataset.meta_table = Table({"TELESCOP": ["here"]})
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
