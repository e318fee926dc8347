"""From event files to datasets, on one day around the Crab nebula."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from gammapy.datasets import MapDataset
from gammapy.maps import HpxGeom, MapAxis, WcsGeom
from gammapy.modeling.models import (
    ConstantSpatialModel,
    PointSpatialModel,
    PowerLawSpectralModel,
    SkyModel,
)

from dmgammapy.datasets._render import Renderer
from dmgammapy.makers.lat import (
    LATDatasetMaker,
    LATEventList,
    LATEventSelector,
    LATLivetimeMaker,
    LATResponse,
)
from dmgammapy.makers.lat._geometry import corner_radius, covered, psf_reach, true_energy_axis

CRAB = (83.6331, 22.0145)
GOOD_TIME = 63395.650  # s, of the Science Tools' gtmktime
# the poles of the LAT software, which differ from IAU's by 1.6 arcsec: RA of the node, inclination
# of the Galactic plane, longitude of the node [deg] (astro::SkyDir)
NODE, INCLINATION, LONGITUDE = 282.8592, 62.8717, 32.93224


@pytest.fixture(scope="module")
def day(test_data):
    folder = test_data / "lat" / "reference"
    return folder / "ft1.fits.gz", folder / "ft2.fits.gz"


@pytest.fixture(scope="module")
def settings(test_data):
    return {
        "position": CRAB, "width": 8 * u.deg, "binsz": 0.4 * u.deg, "energy_min": 200 * u.MeV,
        "energy_max": 20 * u.GeV, "energy_bins_per_decade": 4, "irfs": "P8R2_SOURCE_V6",
        "caldb": test_data / "lat" / "caldb", "livetime_nside": 16, "show_progress": False,
    }  # fmt: skip


@pytest.fixture(scope="module")
def dataset(day, settings):
    return LATDatasetMaker(**settings).run(*day)[0]


def reference_cube(test_data):
    with fits.open(test_data / "lat" / "reference" / "cntmap.fits.gz") as hdus:
        low, high = hdus["EBOUNDS"].data["E_MIN"], hdus["EBOUNDS"].data["E_MAX"]
        edges = np.append(low, high[-1]).astype(float) / 1e3  # they are in keV
        return hdus[0].data.copy(), edges, WCS(hdus[0].header).celestial


def lat_galactic(ra, dec):
    """Galactic coordinates as the LAT software has them, deg."""
    alpha, delta, i = np.radians(ra - NODE), np.radians(dec), np.radians(INCLINATION)
    x = np.cos(delta) * np.cos(alpha)
    y = np.cos(delta) * np.sin(alpha) * np.cos(i) + np.sin(delta) * np.sin(i)
    z = np.sin(delta) * np.cos(i) - np.cos(delta) * np.sin(alpha) * np.sin(i)
    return (np.degrees(np.arctan2(y, x)) + LONGITUDE) % 360, np.degrees(np.arcsin(z))


@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
def test_counts_are_those_of_the_science_tools(test_data, day, settings):
    counts, edges, wcs = reference_cube(test_data)
    geom = WcsGeom(wcs, (100, 100), axes=[MapAxis.from_energy_edges(edges * u.MeV)])
    more = {name: settings[name] for name in ("irfs", "caldb", "livetime_nside")}
    (dataset,) = LATDatasetMaker(geom=geom, show_progress=False, **more).run(*day)
    assert dataset.counts.data.sum() == counts.sum() == 853
    # three events lie within 1.6 arcsec of the border of a pixel, by which the frames differ
    assert abs(dataset.counts.data - counts).sum() == 6
    events = LATEventList.read(day[0])
    ra, dec = (np.asarray(events.table[name], dtype=float) for name in ("RA", "DEC"))
    x, y = wcs.wcs_world2pix(*lat_galactic(ra, dec), 0)
    pixels = np.arange(-0.5, 100)
    energy = events.energy.to_value("MeV")
    exact, _ = np.histogramdd((energy, y, x), bins=[edges, pixels, pixels])
    assert abs(exact - counts).sum() == 0
    assert dataset.gti.time_sum.to_value("s") == pytest.approx(GOOD_TIME, abs=1e-3)


def test_what_is_in_a_dataset(dataset):
    assert isinstance(dataset, MapDataset)
    assert dataset.name == "lat-fb"
    (meta,) = dataset.meta_table
    assert (meta["TELESCOP"], meta["IRFS"], meta["EVENT_TYPE"]) == (
        "Fermi-LAT", "P8R2_SOURCE_V6", "FB",
    )  # fmt: skip
    assert meta["ZENITH_MAX"] == 90
    assert meta["GOOD_TIME"] == pytest.approx(GOOD_TIME, abs=1e-3)
    assert "lat-fb" in str(dataset)  # exposures wider than counts can't be printed with a mask
    assert dataset.exposure.geom.width.to_value("deg").ravel()[0] == pytest.approx(8 + 2 * 12)


def test_isotropic_counts_by_hand(dataset):
    """Counts of an isotropic flux without PSF and energy dispersion are an integral."""
    model = SkyModel(
        PowerLawSpectralModel(index=2.4, amplitude="1e-9 cm-2 s-1 MeV-1", reference="1 GeV"),
        ConstantSpatialModel(value="1 sr-1"),
        apply_irf={"exposure": True, "psf": False, "edisp": False},
    )
    npred = Renderer(dataset).npred(model)
    axis, geom = dataset.counts.geom.axes["energy"], dataset.counts.geom.to_image()
    energy = np.geomspace(axis.edges[0], axis.edges[-1], 4000)
    place = dataset.exposure.interp_by_coord(
        {"skycoord": geom.center_skydir, "energy_true": energy}
    )
    flux = model.spectral_model(energy).to_value("cm-2 s-1 MeV-1")
    expected = np.trapezoid(place * flux, energy.to_value("MeV"))
    centre = tuple(n // 2 for n in geom.data_shape)
    expected *= geom.solid_angle()[centre].to_value("sr")
    found = npred[:, centre[0], centre[1]].sum()
    # the exposure of a bin is that at its centre, and half a pixel away
    assert found == pytest.approx(expected, rel=5e-3)


def test_point_source_counts_by_hand(dataset):
    """All counts of a source are within the PSF but its tail, and in the energies but margins."""
    model = SkyModel(
        PowerLawSpectralModel(index=2.0, amplitude="1e-9 cm-2 s-1 MeV-1", reference="1 GeV"),
        PointSpatialModel(lon_0=CRAB[0] * u.deg, lat_0=CRAB[1] * u.deg, frame="icrs"),
    )
    npred = Renderer(dataset).npred(model).sum(axis=(1, 2))
    axis = dataset.counts.geom.axes["energy"]
    high = slice(6, 8)  # 6.3 to 20 GeV
    energy = np.geomspace(axis.edges[6], axis.edges[8], 2000)
    exposure = dataset.exposure.interp_by_coord(
        {"skycoord": dataset.counts.geom.center_skydir, "energy_true": energy}
    )
    flux = model.spectral_model(energy).to_value("cm-2 s-1 MeV-1")
    expected = np.trapezoid(exposure * flux, energy.to_value("MeV"))
    assert npred[high].sum() == pytest.approx(expected, rel=0.02)


def test_crab_flux(day, settings):
    """Photons within 1 deg above 2 GeV, where nothing else counts, give the catalog's flux."""
    (dataset,) = LATDatasetMaker(**settings).run(*day)
    geom = dataset.counts.geom
    near = geom.separation(geom.center_skydir).to_value("deg") < 1.0
    counts = dataset.counts.data[4:, near].sum()
    # 4FGL-DR4: pulsar and nebula, photons cm-2 s-1 above 2 GeV (J0534.5+2200, s, i)
    model = SkyModel(
        PowerLawSpectralModel(index=2.6, amplitude="2.5e-10 cm-2 s-1 MeV-1", reference="1 GeV"),
        PointSpatialModel(lon_0=CRAB[0] * u.deg, lat_0=CRAB[1] * u.deg, frame="icrs"),
    )
    npred = Renderer(dataset).npred(model)[4:, near].sum()
    assert abs(counts - npred) < 4 * np.sqrt(npred) + 0.3 * npred


def test_types_add_up(day, settings):
    front, back = LATDatasetMaker(**settings, event_types=["FRONT", "BACK"]).run(*day)
    (both,) = LATDatasetMaker(**settings, event_types=[["FRONT", "BACK"]]).run(*day)
    assert [d.name for d in (front, back, both)] == ["lat-front", "lat-back", "lat-front-back"]
    for name in ("counts", "exposure"):
        total = getattr(front, name).data + getattr(back, name).data
        np.testing.assert_allclose(getattr(both, name).data, total, rtol=1e-6)
    assert front.counts.data.sum() > 0 < back.counts.data.sum()


def test_components(day, settings):
    parts = [
        {"event_types": ["FRONT"], "zenith_max": 80 * u.deg, "energy_min": 2 * u.GeV},
        {"event_types": ["BACK"]},
    ]
    front, back = LATDatasetMaker(**settings, components=parts).run(*day)
    assert front.counts.geom.axes["energy"].nbin == 4
    assert back.counts.geom.axes["energy"].nbin == 8
    assert front.meta_table["ZENITH_MAX"][0] == 80
    low = parts[0] | {"energy_min": 200 * u.MeV, "energy_max": 2 * u.GeV}
    with pytest.raises(ValueError, match="components.1.: a dataset 'lat-front' is there already"):
        LATDatasetMaker(**settings, components=[parts[0], low]).run(*day)
    with pytest.raises(ValueError, match="components: no parameter zmax"):
        LATDatasetMaker(**settings, components=[{"zmax": 80}])


def test_cache(day, settings, tmp_path, monkeypatch):
    folder = tmp_path / "products"
    (first,) = LATDatasetMaker(**settings, cache=folder).run(*day)
    assert {path.name.rpartition("-")[0] for path in folder.iterdir()} == {
        "lat-events", "lat-livetime", "lat-fb-response",
    }  # fmt: skip

    def fail(*args, **kwargs):
        raise AssertionError("computed again")

    monkeypatch.setattr(LATLivetimeMaker, "run", fail)
    (second,) = LATDatasetMaker(**settings, cache=folder).run(*day)
    for name in ("counts", "exposure"):
        np.testing.assert_array_equal(getattr(first, name).data, getattr(second, name).data)
    with pytest.raises(AssertionError, match="computed again"):
        LATDatasetMaker(**settings, cache=folder, zenith_max=80 * u.deg).run(*day)
    with pytest.raises(ValueError, match="names of files"):
        LATDatasetMaker(**settings, cache=folder).run(LATEventList.read(day[0]), day[1])


def test_healpix_counts(day, settings):
    geom = HpxGeom.create(
        nside=32, region="DISK(83.63,22.01,8)", frame="icrs",
        axes=[MapAxis.from_energy_bounds("200 MeV", "20 GeV", nbin=4)],
    )  # fmt: skip
    more = {name: settings[name] for name in ("irfs", "caldb", "livetime_nside")}
    (dataset,) = LATDatasetMaker(geom=geom, show_progress=False, **more).run(*day)
    events = LATEventList.read(day[0])
    index = geom.to_image().coord_to_idx({"skycoord": events.radec})[0]
    energy = events.energy.to_value("GeV")
    assert dataset.counts.data.sum() == ((index >= 0) & (energy > 0.2) & (energy < 20)).sum()
    assert dataset.exposure.data.shape[1] == dataset.counts.data.shape[1]


def test_region_beyond_the_cone_is_masked(day, settings):
    far = settings | {"position": (CRAB[0], CRAB[1] + 13)}
    (dataset,) = LATDatasetMaker(**far).run(*day)
    inside = dataset.mask_fit.data[0]
    separation = dataset.counts.geom.to_image().separation(dataset.counts.geom.center_skydir)
    assert 0 < inside.sum() < inside.size
    events = LATEventList.read(day[0])
    ra, dec, radius = events.selection.cone
    cone = geom_separation(dataset.counts.geom, ra, dec)
    assert (cone[inside] < radius).all()
    assert separation.shape == inside.shape
    with pytest.raises(ValueError, match="no pixel of the region lies in the cone"):
        LATDatasetMaker(**settings | {"position": (CRAB[0], -40)}).run(*day)


def geom_separation(geom, ra, dec):
    return geom.to_image().separation(SkyCoord(ra, dec, unit="deg")).to_value("deg")


def test_given_livetime(day, settings, dataset):
    cube = LATLivetimeMaker(nside=16, zenith_max=90 * u.deg).run(ft1=day[0], ft2=day[1])
    (given,) = LATDatasetMaker(**settings).run(*day, livetime=cube)
    np.testing.assert_allclose(given.exposure.data, dataset.exposure.data, rtol=1e-5)
    other = cube.copy()
    other.zenith_max = 100
    with pytest.raises(ValueError, match="below 100 deg, the events for those below 90 deg"):
        LATDatasetMaker(**settings).run(*day, livetime=other)
    other.zenith_max = None  # gtltcube writes a cut where there is one
    with pytest.raises(ValueError, match="below 180 deg, the events for those below 90 deg"):
        LATDatasetMaker(**settings).run(*day, livetime=other)
    other = cube.copy()
    other.gti = None
    with pytest.raises(ValueError, match="nothing of its good times"):
        LATDatasetMaker(**settings).run(*day, livetime=other)
    other.gti = cube.gti[:5]
    with pytest.raises(ValueError, match="compute it for the same good times"):
        LATDatasetMaker(**settings).run(*day, livetime=other)


def test_phases_cut_before_scale_the_exposure(day, settings, dataset):
    """Events of 0.3 of the phases have 0.3 of the exposure, whoever cut them."""
    events = LATEventList.read(day[0])
    events.table["PULSE_PHASE"] = np.random.default_rng(3).random(len(events))
    cut = LATEventSelector(phase=[(0.1, 0.4)]).run(events)
    (before,) = LATDatasetMaker(**settings).run(cut, day[1])
    (here,) = LATDatasetMaker(**settings, phase=[(0.1, 0.4)]).run(events, day[1])
    assert before.counts.data.sum() == here.counts.data.sum() < dataset.counts.data.sum()
    for cut in (before, here):
        np.testing.assert_allclose(cut.exposure.data, 0.3 * dataset.exposure.data, rtol=1e-6)
    cube = LATLivetimeMaker(nside=16, zenith_max=90 * u.deg).run(ft1=day[0], ft2=day[1])
    maker = LATDatasetMaker(**settings, phase=[(0.1, 0.4)])
    for given in (cube, cube.scaled(0.3)):  # scaled once
        (again,) = maker.run(events, day[1], given)
        np.testing.assert_allclose(again.exposure.data, here.exposure.data, rtol=1e-5)
    with pytest.raises(ValueError, match="was scaled by 0.5, the events cover 0.3"):
        maker.run(events, day[1], cube.scaled(0.5))


def test_cache_does_not_hide_another_response(day, settings, tmp_path):
    LATDatasetMaker(**settings, cache=tmp_path).run(*day)
    with pytest.raises(ValueError, match="P8R2 data, the response is P8R3_SOURCE_V3"):
        LATDatasetMaker(**settings | {"irfs": "P8R3_SOURCE_V3"}, cache=tmp_path).run(*day)


@pytest.mark.parametrize(
    "kinds", [["FRONT", "FB"], ["PSF3", ["PSF2", "PSF3"]], [3, "BACK"], ["FRONT", "FRONT"]]
)
def test_types_that_share_events(settings, kinds):
    with pytest.raises(ValueError, match="share events, which would count twice"):
        LATDatasetMaker(**settings, event_types=kinds)


def test_masks_name_types(day, settings):
    front, back = LATDatasetMaker(**settings, event_types=[1, 2]).run(*day)
    named = LATDatasetMaker(**settings, event_types=["FRONT", "BACK"]).run(*day)
    assert [d.name for d in (front, back)] == named.names == ["lat-front", "lat-back"]
    np.testing.assert_array_equal(front.counts.data, named[0].counts.data)


def test_components_that_share_events(settings):
    message = "components.0. and components.1. share events"
    with pytest.raises(ValueError, match=message):
        LATDatasetMaker(**settings, components=[{"event_types": ["FB"]}, {"event_types": ["PSF3"]}])
    low, high = {"energy_max": 2 * u.GeV}, {"energy_min": 2 * u.GeV, "name": "high"}
    LATDatasetMaker(**settings, components=[low, high])
    with pytest.raises(ValueError, match=message):
        LATDatasetMaker(**settings, components=[low, high | {"energy_min": 1 * u.GeV}])


def test_components_follow_the_maker(day, settings):
    maker = LATDatasetMaker(**settings, components=[{"event_types": ["FRONT"]}])
    maker.zenith_max = 60 * u.deg
    (dataset,) = maker.run(*day)
    assert dataset.meta_table["ZENITH_MAX"][0] == 60
    geom = maker.geom
    more = {name: settings[name] for name in ("irfs", "caldb", "livetime_nside")}
    with pytest.raises(ValueError, match="leave out geom"):
        LATDatasetMaker(geom=geom, **more, components=[{"width": 4 * u.deg}])


def test_components_with_a_real_response(day, settings):
    rough = {k: v for k, v in settings.items() if k != "irfs"}
    part = {"irfs": "P8R2_SOURCE_V6"}
    maker = LATDatasetMaker(**rough, response=LATResponse.parametrised(), components=[part])
    assert maker.run(*day)[0].meta_table["IRFS"][0] == "P8R2_SOURCE_V6"


def test_parametrised_response_knows_no_types(settings):
    rough = {k: v for k, v in settings.items() if k not in ("irfs", "caldb")}
    with pytest.raises(ValueError, match="must be .'FB',., got .'PSF2', 'PSF3'."):
        LATDatasetMaker(**rough, response=LATResponse.parametrised(), event_types=["PSF2", "PSF3"])


def test_true_energies_must_hold_the_counts(day, settings, caplog):
    narrow = MapAxis.from_energy_bounds("1 GeV", "10 GeV", nbin=20, name="energy_true")
    with pytest.raises(ValueError, match="don't hold those of the counts"):
        LATDatasetMaker(**settings, energy_axis_true=narrow).run(*day)
    LATDatasetMaker(**settings, energy_margin=0).run(*day)
    assert "less than 0.2 decades beyond the counts" in caplog.text
    with pytest.raises(ValueError, match="energy_margin can't be negative"):
        LATDatasetMaker(**settings, energy_margin=-0.1).run(*day)


def test_cones_that_cross(day, settings):
    """What one of two cones cut away is masked."""
    first = LATEventSelector(position=SkyCoord(*CRAB, unit="deg"), radius=14 * u.deg).run(
        LATEventList.read(day[0])
    )
    other = SkyCoord(CRAB[0] + 12, CRAB[1], unit="deg")
    second = LATEventSelector(position=other, radius=11 * u.deg).run(first)
    (dataset,) = LATDatasetMaker(**settings).run(second, day[1])
    inside = dataset.mask_fit.data[0]
    distance = dataset.counts.geom.to_image().separation(other).to_value("deg")
    assert (distance[inside] < 11).all()
    assert inside.sum() > 0.8 * (distance < 11).sum()


def test_parametrised_response(day, settings):
    rough = {k: v for k, v in settings.items() if k not in ("irfs", "caldb")}
    (dataset,) = LATDatasetMaker(**rough, response=LATResponse.parametrised()).run(*day)
    assert "parametrised" in dataset.meta_table["IRFS"][0].lower()
    assert dataset.counts.data.sum() > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"position": None}, "needs the position"),
        ({"event_types": []}, "at least one event type"),
        ({"event_types": ["PSF9"]}, "unknown event type 'PSF9'"),
        ({"event_class": "CLEAN"}, "the response P8R2_SOURCE_V6 is of the event class 128"),
        ({"energy_max": 3 * u.TeV}, "TeV|MeV|GeV"),
        ({"zenith_max": 100 * u.deg}, "100"),
        ({"filter": "__import__('os')"}, "__import__"),
        ({"irfs": "P8R3_CLEAN_V3"}, "there is P8R2_SOURCE_V6"),
        ({"time_min": 7e8}, "time"),
    ],
)
def test_bad_settings(day, settings, change, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        LATDatasetMaker(**settings | change).run(*day)


def test_data_of_another_pass(day, settings):
    wrong = settings | {"irfs": "P8R3_SOURCE_V3"}
    with pytest.raises(ValueError, match="P8R2 data, the response is P8R3_SOURCE_V3"):
        LATDatasetMaker(**wrong).run(*day)


def test_files_are_needed(day, settings):
    maker = LATDatasetMaker(**settings)
    with pytest.raises(ValueError, match="needs event files"):
        maker.run()
    with pytest.raises(ValueError, match="spacecraft files .ft2. or a livetime cube"):
        maker.run(day[0])


def test_from_fermipy_config(day, settings, test_data, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(
        f"data: {{evfile: {day[0]}, scfile: {day[1]}}}\n"
        "binning: {roiwidth: 8.0, binsz: 0.4, binsperdec: 4, proj: TAN, coordsys: CEL}\n"
        "selection: {emin: 200, emax: 20000, zmax: 90, evclass: 128, evtype: 3, ra: 83.6331,\n"
        "  dec: 22.0145, filter: DATA_QUAL>0 && LAT_CONFIG==1}\n"
        "gtlike: {irfs: P8R2_SOURCE_V6}\n"
        "ltcube: {binsz: 4}\n"
        "sed: {bin_index: 2.0}\n"
    )
    maker = LATDatasetMaker.from_fermipy_config(path, caldb=settings["caldb"])
    (dataset,) = maker.run()
    (same,) = LATDatasetMaker(**settings).run(*day)
    np.testing.assert_array_equal(dataset.counts.data, same.counts.data)
    np.testing.assert_allclose(dataset.exposure.data, same.exposure.data, rtol=1e-6)
    assert "sed.bin_index" in [key for key, _, _ in maker.translation.untranslated]


# ---- geometry ---------------------------------------------------------------------------------


def test_margin_follows_the_psf():
    # 1.5 times the published 95 % radii of P8R3_SOURCE_V3 at 100 MeV, 316 MeV, 1 GeV
    for energy, expected in ((0.1, 12.0), (0.316, 1.5 * 5.67), (1, 1.5 * 2.52), (10, 3.0)):
        assert psf_reach(energy * u.GeV).to_value("deg") == pytest.approx(expected, abs=0.06)


def test_true_energies_share_the_edges():
    axis = MapAxis.from_energy_bounds("500 MeV", "500 GeV", nbin=24)
    true = true_energy_axis(axis, per_decade=16, margin=0.3, limits=[18, 1e6] * u.MeV)
    edges = true.edges.to_value("MeV")
    for edge in axis.edges.to_value("MeV"):
        assert abs(edges / edge - 1).min() < 1e-12
    assert edges[0] == pytest.approx(500 / 10**0.3)
    assert edges[-1] == pytest.approx(500e3 * 10**0.3)
    assert np.diff(np.log10(edges)).max() <= 1 / 16 + 1e-9
    with pytest.raises(ValueError, match="reach beyond the response"):
        true_energy_axis(axis, limits=[1e3, 1e6] * u.MeV)


def test_margin_ends_with_the_response():
    axis = MapAxis.from_energy_bounds("100 MeV", "500 GeV", nbin=8)
    edges = true_energy_axis(axis, limits=[80, 5.6e5] * u.MeV).edges.to_value("MeV")
    assert edges[0] == pytest.approx(80)
    assert edges[-1] == pytest.approx(5.6e5)


def test_corners():
    axis = MapAxis.from_energy_bounds("1 GeV", "10 GeV", nbin=1)
    geom = WcsGeom.create(skydir=(10, 60), width=(4, 2), binsz=0.1, proj="TAN", axes=[axis])
    # a plane touching the sphere
    expected = np.degrees(np.arctan(np.hypot(*np.radians([2, 1]))))
    assert corner_radius(geom).to_value("deg") == pytest.approx(expected, rel=1e-6)
    assert covered(geom, (10, 60, expected * 1.01)).all()
    assert not covered(geom, (10, 60, expected - 0.2)).all()
