"""Galactic and isotropic templates: against closed forms, by hand, and against the files."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from gammapy.maps import Map, MapAxis, WcsGeom
from gammapy.modeling.models import Models
from scipy.integrate import quad
from scipy.interpolate import RegularGridInterpolator

from dmgammapy.datasets._render import Renderer
from dmgammapy.makers._roi_diffuse import cut_cube, galactic_model
from dmgammapy.makers._roi_isotropic import isotropic_models, match_files, read_isotropic

from .roi_catalogs import make_dataset, write_cube, write_isotropic

PLACES = {"edge": (180, 5), "centre": (0, 0), "high": (179.5, 60), "pole": (20, 88)}


def flux(lon, lat, energy):
    """Smooth around the sphere and the pole, a power law in energy."""
    lon, lat = np.deg2rad(lon), np.deg2rad(lat)
    x, y, z = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    return 1e-10 * np.exp(0.5 * x + 0.3 * y - 0.8 * z) * (energy / 1e3) ** (-2.4 + 0.1 * x)


def local_geom(position):
    energy = MapAxis.from_energy_bounds("200 MeV", "50 GeV", 5, name="energy_true")
    return WcsGeom.create(skydir=position.icrs, width=10, binsz=0.7, axes=[energy], proj="TAN")


@pytest.mark.parametrize("place", PLACES)
def test_cut_cube_is_the_sky_everywhere(tmp_path, place):
    position = SkyCoord(*PLACES[place], unit="deg", frame="galactic")
    path = write_cube(tmp_path / "sky.fits", flux)
    model, notes = galactic_model(path, position, 17.0)
    geom = local_geom(position)
    values = model.spatial_model.evaluate_geom(geom).to_value("cm-2 s-1 MeV-1 sr-1")
    where = geom.get_coord()
    sky = where.skycoord.galactic
    expected = flux(sky.l.deg, sky.b.deg, where["energy_true"].to_value("MeV"))
    # second differences of the function on pixels of 3 deg
    assert values == pytest.approx(expected, rel=2e-3)
    assert notes == []


def test_only_the_region_is_kept(tmp_path):
    position = SkyCoord(180, 5, unit="deg", frame="galactic")
    cube = cut_cube(write_cube(tmp_path / "sky.fits", flux), position, 17.0)
    assert cube.geom.to_image().data_shape < (20, 20)
    assert cube.geom.center_skydir.separation(position) < 3 * u.deg


def test_given_maps_are_cut_too(tmp_path):
    position = SkyCoord(30, 5, unit="deg", frame="galactic")
    path = write_cube(tmp_path / "sky.fits", flux)
    by_file = galactic_model(path, position, 12.0)[0].spatial_model
    by_map = galactic_model(Map.read(path), position, 12.0)[0].spatial_model
    geom = local_geom(position)
    assert by_map.evaluate_geom(geom).value == pytest.approx(
        by_file.evaluate_geom(geom).value, rel=2e-3
    )


def test_energies_beyond_the_file_are_power_laws(tmp_path):
    position = SkyCoord(30, 5, unit="deg", frame="galactic")
    path = write_cube(tmp_path / "sky.fits", flux)
    model, notes = galactic_model(path, position, 12.0, energy_range=(30.0, 1e6))
    assert len(notes) == 2
    assert "below 100 MeV, to 30 MeV" in notes[0]
    sky = position
    for energy in (35.0, 8e5):
        value = model.spatial_model.evaluate(sky.l, sky.b, energy * u.MeV)
        expected = flux(sky.l.deg, sky.b.deg, energy)
        assert value.to_value("cm-2 s-1 MeV-1 sr-1") == pytest.approx(expected, rel=5e-3)


def test_model_is_free_in_norm_only_and_survives_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    position = SkyCoord(150, 20, unit="deg")
    path = write_cube(tmp_path / "sky.fits", flux)
    dataset = make_dataset(position=position)
    model, _ = galactic_model(path, position, 15.0, energy_range=(700.0, 2e5))
    free = model.parameters.free_parameters
    assert free.names == ["norm"]
    assert free[0].min == 0
    before = Renderer(dataset).npred(model)
    Models([model]).write(tmp_path / "models.yaml")
    again = Models.read(tmp_path / "models.yaml")[0]
    assert Renderer(dataset).npred(again) == pytest.approx(before, rel=1e-6)


def test_cut_out_is_written_on_request(tmp_path):
    position = SkyCoord(150, 20, unit="deg")
    path = write_cube(tmp_path / "sky.fits", flux)
    model, _ = galactic_model(path, position, 15.0, folder=tmp_path)
    written = Map.read(model.spatial_model.filename)
    assert written.data == pytest.approx(model.spatial_model.map.data)
    # the name holds position, radius and check sum: the same cut is not written again
    again, _ = galactic_model(path, position, 15.0, folder=tmp_path)
    assert again.spatial_model.filename == model.spatial_model.filename


def test_galactic_template_of_the_lat(test_data):
    """Against an interpolation of the file that doesn't use its WCS."""
    path = test_data / "lat" / "gll_iem_v07.fits"
    with fits.open(path) as hdus:
        data, header = hdus[0].data.astype(float), hdus[0].header
        energies = np.log(hdus[1].data["energy"].astype(float))
    lon = (np.arange(header["NAXIS1"]) + 1 - header["CRPIX1"]) * header["CDELT1"]
    lat = (np.arange(header["NAXIS2"]) + 1 - header["CRPIX2"]) * header["CDELT2"]
    lon = np.concatenate([[lon[-1] + 360], lon, [lon[0] - 360]])[::-1]
    data = np.concatenate([data[..., -1:], data, data[..., :1]], axis=-1)[..., ::-1]
    sky = RegularGridInterpolator((energies, lat, lon), np.log(data))
    for place in ((184.6, -5.8), (0, 0), (86.4, 34.7)):
        position = SkyCoord(*place, unit="deg", frame="galactic")
        model, _ = galactic_model(path, position, 17.0)
        geom = local_geom(position)
        values = model.spatial_model.evaluate_geom(geom).value
        where = geom.get_coord()
        galactic = where.skycoord.galactic
        expected = np.exp(
            sky(
                (
                    np.log(where["energy_true"].to_value("MeV")) * np.ones(values.shape),
                    galactic.b.deg,
                    galactic.l.wrap_at(180 * u.deg).deg,
                )
            )
        )
        assert values == pytest.approx(expected, rel=1e-5)


def test_refuses_what_is_no_cube(tmp_path):
    position = SkyCoord(150, 20, unit="deg")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        galactic_model(tmp_path / "none.fits", position, 15.0)
    path = write_cube(tmp_path / "sky.fits", flux)
    with pytest.raises(ValueError, match="radius of 80 deg"):
        galactic_model(path, position, 80.0)
    cut = tmp_path / "cut.fits"
    cut.write_bytes(path.read_bytes()[:30000])
    with pytest.raises(ValueError, match=r"cut.fits: it can't be read"):
        galactic_model(cut, position, 15.0)
    bad = write_cube(tmp_path / "bad.fits", lambda *args: -flux(*args))
    with pytest.raises(ValueError, match="negative or not finite"):
        galactic_model(bad, position, 15.0)


def by_hand(dataset, path, exposure=1e11):
    """Isotropic counts: exposure x flux x solid angle, integrated over energy."""
    energy, values = read_isotropic(path)
    log_energy, log_flux = np.log(energy), np.log(values)
    slopes = np.diff(log_flux) / np.diff(log_energy)

    def counts(x):
        i = np.clip(np.searchsorted(log_energy, x) - 1, 0, len(slopes) - 1)
        dnde = np.exp(log_flux[i] + slopes[i] * (x - log_energy[i]))
        return dnde * np.exp(x) * exposure * (np.exp(x) / 1e3) ** 0.2

    edges = np.log(dataset.counts.geom.axes["energy"].edges.to_value("MeV"))
    per_sr = [
        quad(counts, a, b, points=log_energy[(log_energy > a) & (log_energy < b)])[0]
        for a, b in zip(edges[:-1], edges[1:], strict=True)
    ]
    return np.array(per_sr) * dataset.counts.geom.to_image().solid_angle().to_value("sr").sum()


def test_isotropic_counts_are_exposure_times_flux(tmp_path):
    path = write_isotropic(tmp_path / "iso.txt")
    dataset = make_dataset()
    (model,), (notes,) = isotropic_models(path, [dataset], (700.0, 2e5))
    expected = by_hand(dataset, path)
    # margins and finer bins of true energy; the exposure is taken at the bins' centres
    assert Renderer(dataset).npred(model).sum(axis=(1, 2)) == pytest.approx(expected, rel=1e-3)
    dataset.models = [model]
    npred = dataset.npred_signal().data.sum(axis=(1, 2))
    assert npred == pytest.approx(expected, rel=1e-3)
    assert notes == []


def test_isotropic_is_continued_beyond_its_file(tmp_path):
    energy = np.geomspace(3e3, 3e4, 9)
    path = write_isotropic(tmp_path / "iso.txt", energy, 1e-10 * (energy / 1e3) ** -2.4)
    dataset = make_dataset()
    (model,), (notes,) = isotropic_models(path, [dataset], (700.0, 2e5))
    assert [n.split(" MeV")[0] for n in notes] == ["energies below 3000", "energies above 30000"]
    npred = Renderer(dataset).npred(model).sum(axis=(1, 2))
    # the same power law in a file that covers all energies
    whole = write_isotropic(tmp_path / "whole.txt", flux=None)
    (other,), _ = isotropic_models(whole, [dataset])
    assert npred == pytest.approx(Renderer(dataset).npred(other).sum(axis=(1, 2)), rel=1e-3)


def test_bins_that_do_not_align_are_said(tmp_path, caplog):
    path = write_isotropic(tmp_path / "iso.txt")
    true = MapAxis.from_energy_edges(np.geomspace(700, 2e5, 20) * u.MeV, name="energy_true")
    dataset = make_dataset(true=true)
    (model,), (notes,) = isotropic_models(path, [dataset])
    wrong = Renderer(dataset).npred(model).sum(axis=(1, 2)) / by_hand(dataset, path) - 1
    said = float(notes[0].split()[2])
    assert said == pytest.approx(100 * np.abs(wrong).max(), abs=1.0)
    assert "bin true energy in parts" in caplog.text


def test_event_types_share_a_norm_or_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    datasets = [make_dataset("draco-PSF2"), make_dataset("draco_psf3")]
    files = {key: write_isotropic(tmp_path / f"{key}.txt") for key in ("PSF2", "PSF3")}
    models = Models(isotropic_models(files, datasets)[0])
    assert [m.datasets_names for m in models] == [["draco-PSF2"], ["draco_psf3"]]
    models.write("models.yaml")
    for made in (models, models.copy(), Models.read("models.yaml")):
        assert len(made.parameters.free_parameters.unique_parameters) == 1
    alone = Models(isotropic_models(files, datasets, share_norm=False)[0])
    assert len(alone.parameters.free_parameters.unique_parameters) == 2


def test_each_dataset_needs_one_template():
    class Named:
        def __init__(self, name):
            self.name = name

    datasets = [Named("draco-PSF3"), Named("front")]
    assert match_files({"PSF3": 1, "front": 2}, datasets) == {
        "PSF3": ["draco-PSF3"],
        "front": ["front"],
    }
    with pytest.raises(ValueError, match="'front': 0 isotropic templates"):
        match_files({"PSF3": 1}, datasets)
    with pytest.raises(ValueError, match="'draco-PSF3': 2 isotropic templates"):
        match_files({"PSF3": 1, "psf3": 2, "front": 3}, datasets)
    with pytest.raises(ValueError, match="templates draco fit no dataset"):
        match_files({"PSF3": 1, "draco": 2, "front": 3}, datasets)
    with pytest.raises(ValueError, match="templates PSF0 fit no dataset"):
        match_files({"PSF3": 1, "front": 2, "PSF0": 3}, datasets)


def typed(name, event_type):
    dataset = make_dataset(name)
    dataset.meta_table = Table({"EVENT_TYPE": [event_type]})
    return dataset


def test_event_types_of_the_metadata_come_before_words_of_names():
    datasets = [typed("a", "PSF2-PSF3"), typed("b-psf0", "PSF1"), typed("C", "FB"), typed("d", 32)]
    files = {"psf3-psf2": 1, "Psf1": 2, "c": 3, "PSF3": 4}
    assert match_files(files, datasets) == {
        "psf3-psf2": ["a"], "Psf1": ["b-psf0"], "c": ["C"], "PSF3": ["d"],
    }  # fmt: skip
    with pytest.raises(ValueError, match="its name or event type PSF1"):
        match_files({"PSF0": 1}, [datasets[1]])
    with pytest.raises(ValueError, match="its name or unknown event type"):
        match_files({"PSF0": 1}, [typed("e", "")])


def test_one_file_is_for_one_event_type(tmp_path):
    path = write_isotropic(tmp_path / "iso.txt")
    for datasets in (
        [make_dataset("lat-psf0"), make_dataset("lat-psf3")],
        [typed("a", "PSF0"), typed("b", "PSF3")],
        [typed("a", "FB"), make_dataset("lat-psf3")],
        [typed("a-psf0", "FB"), typed("a-psf3", "FB")],
    ):
        with pytest.raises(ValueError, match=r"different event types, .* give {event type: path}"):
            isotropic_models(path, datasets)
    for datasets in (
        [make_dataset("lat-fb"), typed("low", "FB")],
        [make_dataset("low"), make_dataset("high")],
        [typed("low", "PSF2-PSF3"), typed("high", "psf3-psf2")],
    ):
        assert len(isotropic_models(path, datasets)[0]) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("100 1e-7\n200 abc\n", "line 2: expected energy"),
        ("100 1e-7\n200\n", "line 2: expected energy"),
        ("100 1e-7\n90 1e-8\n", "line 2: energies must increase"),
        ("100 1e-7\n200 nan\n", "line 2: expected energy"),
        ("# nothing\n", "at least two energies, got 0"),
    ],
)
def test_refuses_what_is_no_isotropic_template(tmp_path, text, message):
    path = tmp_path / "iso.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_isotropic(path)
    with pytest.raises(FileNotFoundError):
        read_isotropic(tmp_path / "none.txt")
