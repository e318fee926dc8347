"""Spectral models against Gammapy's own, published numbers and numerical integrals."""

import pickle

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable, Table
from gammapy.datasets import SpectrumDataset
from gammapy.maps import MapAxis, RegionGeom, RegionNDMap
from gammapy.modeling.models import SkyModel
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad

from dmgammapy.modeling import DarkMatterDecaySpectralModel, DarkMatterSpectralModel, JFactorPrior
from dmgammapy.spectra import read_spectra

FLUX = "cm-2 s-1"
# names in the table that Gammapy reads
PPPC4 = {"b": "b", "tau": r"\[Tau]", "W": "W", "e": "e", "h": "h"}


@pytest.fixture(scope="module")
def gammapy_data(tmp_path_factory):
    """Folder with the bundled PPPC4DMID table in the layout that Gammapy reads."""
    spectra = read_spectra("pppc4")
    n_mass, n_x = len(spectra.masses), len(spectra.log10x)
    table = Table()
    table["mDM"] = np.repeat(spectra.masses.to_value("GeV"), n_x)
    table["Log[10,x]"] = np.tile(spectra.log10x, n_mass)
    for name, column in PPPC4.items():
        table[column] = spectra.dndlog10x[spectra.channels.index(name)].ravel()
    folder = tmp_path_factory.mktemp("gammapy-data")
    path = folder / "dark_matter_spectra" / "PPPC4DMID" / "AtProduction_gammas.dat"
    path.parent.mkdir(parents=True)
    table.write(path, format="ascii.basic")
    return folder


@pytest.fixture
def gammapy_models(gammapy_data, monkeypatch):
    monkeypatch.setenv("GAMMAPY_DATA", str(gammapy_data))
    from gammapy.astro import darkmatter

    return darkmatter


# nodes of the table and masses in between
@pytest.mark.parametrize("mass", [10, 87.3, 100, 330, 1000, 23456])
@pytest.mark.parametrize("channel", PPPC4)
def test_annihilation_equals_gammapy(gammapy_models, mass, channel):
    ours = DarkMatterSpectralModel(mass * u.GeV, channel, "2e-26 cm3 s-1", 18.6, k=4, redshift=0.03)
    energy = np.geomspace(1e-4, 0.9, 40) * mass * u.GeV / 1.03
    if not ours.spectra.is_valid(mass * u.GeV, channel):
        assert_array_equal(ours(energy), 0 * u.Unit("cm-2 s-1 GeV-1"))
        return
    theirs = gammapy_models.DarkMatterAnnihilationSpectralModel(
        mass * u.GeV, channel, scale=2 / 3, jfactor=10**18.6 * u.Unit("GeV2 cm-5"), z=0.03, k=4
    )
    expected = theirs(energy).to("cm-2 s-1 GeV-1")
    assert np.all(expected.value > 0)
    assert_allclose(ours(energy), expected, rtol=1e-9)


@pytest.mark.parametrize("mass", [87.3, 1000])
def test_decay_equals_gammapy(gammapy_models, mass):
    ours = DarkMatterDecaySpectralModel(mass * u.GeV, "tau", (1 / 4.3e17) / u.s, 17.9)
    theirs = gammapy_models.DarkMatterDecaySpectralModel(
        mass * u.GeV, "tau", jfactor=10**17.9 * u.Unit("GeV cm-2")
    )
    energy = np.geomspace(1e-3, 0.45, 30) * mass * u.GeV
    assert_allclose(ours(energy), theirs(energy).to("cm-2 s-1 GeV-1"), rtol=1e-9)


@pytest.mark.parametrize(("channel", "expected"), [("b", 1.15754e-14), ("tau", 2.72232e-16)])
def test_dmfit(channel, expected):
    # DMFitFunction of the Fermi-LAT tools
    model = DarkMatterSpectralModel("100 GeV", channel, log10_jfactor=19, spectra="dmfit")
    assert model(1 * u.GeV).to_value("MeV-1 cm-2 s-1") == pytest.approx(expected, rel=1e-5)


def test_decay_is_annihilation_of_half_the_mass():
    # D gamma / (4 pi m) = J sigmav / (8 pi (m/2)^2) if D gamma m = 2 J sigmav
    energy = np.geomspace(0.1, 200, 50) * u.GeV
    annihilation = DarkMatterSpectralModel("100 GeV", "b", "1e-26 cm3 s-1", 19)
    decay = DarkMatterDecaySpectralModel("200 GeV", "b", "1e-26 s-1", np.log10(1e19 * 2 / 200))
    assert_allclose(decay(energy), annihilation(energy), rtol=1e-12)
    assert_allclose(
        decay.integral(energy[:-1], energy[1:]),
        annihilation.integral(energy[:-1], energy[1:]),
        rtol=1e-12,
    )


def numerical(model, low, high, weighted=False):
    """Integral in ln(E), split where the table has its nodes."""
    end = model.mass.to_value("GeV") / (2 if model.process == "decay" else 1)
    nodes = 10**model.spectra.log10x * end / (1 + model.redshift)
    points = [low, *nodes[(nodes > low) & (nodes < high)], high]

    def function(log_energy):
        energy = np.exp(log_energy)
        return model(energy * u.GeV).value * energy ** (2 if weighted else 1)

    pairs = zip(np.log(points[:-1]), np.log(points[1:]), strict=True)
    return sum(quad(function, *ends)[0] for ends in pairs)


@pytest.mark.parametrize("redshift", [0, 0.7])
@pytest.mark.parametrize(
    "make",
    [
        lambda z: DarkMatterSpectralModel("130 GeV", "tau", redshift=z),
        lambda z: DarkMatterSpectralModel("130 GeV", "b", redshift=z),
        lambda z: DarkMatterSpectralModel("130 GeV", {"b": 0.4, "W": 0.6}, redshift=z, k=4),
        lambda z: DarkMatterDecaySpectralModel("0.26 TeV", "mu", redshift=z, spectra="dmfit"),
    ],
)
def test_integrals_are_exact(make, redshift):
    model = make(redshift)
    # the endpoint is at 130 / (1 + z), inside of the third bin
    edges = np.array([2, 20, 70 / (1 + redshift), 140]) * u.GeV
    flux = model.integral(edges[:-1], edges[1:])
    eflux = model.energy_flux(edges[:-1], edges[1:])
    assert flux.unit.is_equivalent(FLUX)
    for i, (low, high) in enumerate(zip(edges[:-1].value, edges[1:].value, strict=True)):
        assert flux[i].to_value(FLUX) == pytest.approx(numerical(model, low, high), rel=1e-7)
        assert eflux[i].to_value("GeV cm-2 s-1") == pytest.approx(
            numerical(model, low, high, weighted=True), rel=1e-7
        )


def test_shapes_and_units_of_energies():
    model = DarkMatterSpectralModel("1 TeV", "b")
    edges = np.geomspace(0.01, 1, 6) * u.TeV
    bins = model.integral(edges[:-1], edges[1:])
    assert_allclose(bins.sum(), model.integral(edges[0], edges[-1]), rtol=1e-12)
    # intervals that aren't contiguous, and the shape of an axis of a map
    assert_allclose(model.integral(edges[[0, 3]], edges[[1, 4]]), bins[[0, 3]], rtol=1e-12)
    column = edges.to("MeV").reshape(-1, 1, 1)
    assert_allclose(model.integral(column[:-1], column[1:]).ravel(), bins, rtol=1e-12)
    assert model(column).shape == (6, 1, 1)
    assert_allclose(model(column).ravel()[:-1], model(edges)[:-1], rtol=1e-12)
    assert model.integral(edges[0], edges[1]).isscalar


def test_flux_factor():
    model = DarkMatterSpectralModel("100 GeV", "b", "3e-26 cm3 s-1", 19)
    # 3e-26 x 1e19 / (8 pi 1e4)
    assert model.flux_factor.to_value(FLUX) == pytest.approx(1.193662e-12, rel=1e-6)
    assert model.jfactor.to_value("GeV2 cm-5") == pytest.approx(1e19)
    decay = DarkMatterDecaySpectralModel("100 GeV", "b", "1e-26 s-1", 18)
    assert decay.flux_factor.to_value(FLUX) == pytest.approx(7.957747e-12, rel=1e-6)
    assert decay.dfactor.to_value("GeV cm-2") == pytest.approx(1e18)


def test_below_threshold_and_outside_of_the_table():
    model = DarkMatterSpectralModel("20 GeV", "W")
    assert_array_equal(model([1, 10] * u.GeV).value, 0)
    assert_array_equal(model.integral(1 * u.GeV, 30 * u.GeV).value, 0)
    outside = DarkMatterSpectralModel("1 GeV", "b")  # a placeholder, until it is evaluated
    with pytest.raises(ValueError, match="covers 5 to 100000 GeV for annihilation"):
        outside(0.1 * u.GeV)
    with pytest.raises(ValueError, match="covers 10 to 200000 GeV for decay"):
        DarkMatterDecaySpectralModel("9 GeV", "b").integral(1 * u.GeV, 2 * u.GeV)


def test_line():
    model = DarkMatterSpectralModel("100 GeV", "gamma", spectra="line", redshift=0.25)
    # two photons of 80 GeV; integrals over dE/(1 + z)
    flux = model.integral([10, 70, 90] * u.GeV, [70, 90, 200] * u.GeV)
    assert_allclose(flux / model.flux_factor, [0, 2 / 1.25, 0])
    eflux = model.energy_flux(70 * u.GeV, 90 * u.GeV)
    assert_allclose(eflux / model.flux_factor, 2 * 100 / 1.25**2 * u.GeV)
    # a delta function: zero elsewhere, and infinite where no number is
    assert_array_equal(model([10, 79, 80, 81] * u.GeV), np.zeros(4) * u.Unit("cm-2 s-1 GeV-1"))


def test_line_on_a_counts_dataset():
    """Predicted counts are exposure times the flux of both photons, in the bin of the line."""
    axis = MapAxis.from_energy_bounds("10 GeV", "1 TeV", 8)
    geom = RegionGeom.create("icrs;circle(0,0,1)", axes=[axis])
    true = RegionGeom.create("icrs;circle(0,0,1)", axes=[axis.rename("energy_true")])
    dataset = SpectrumDataset(
        counts=RegionNDMap(geom, 0.0),
        exposure=RegionNDMap(true, 1e13, unit="cm2 s"),
        mask_safe=RegionNDMap(geom, True, dtype=bool),
    )
    model = DarkMatterSpectralModel("120 GeV", "gamma", spectra="line", log10_jfactor=20)
    dataset.models = SkyModel(model)
    expected = 1e13 * 2 * 3e-26 * 1e20 / (8 * np.pi * 120**2)
    npred = dataset.npred().data.ravel()
    assert_allclose(npred[axis.coord_to_idx(120 * u.GeV)], expected, rtol=1e-10)
    assert np.count_nonzero(npred) == 1


def test_attributes_take_effect_at_once():
    model = DarkMatterSpectralModel("100 GeV", "bb")
    assert model.channel == "b"
    energy = [1, 5] * u.GeV
    model.mass = "0.5 TeV"
    model.channel = {"tautau": 0.25, "bb": 0.75}
    model.k = 4
    model.redshift = 0.1
    model.spectra = "dmfit"
    fresh = DarkMatterSpectralModel(
        0.5 * u.TeV, {"b": 0.75, "tau": 0.25}, k=4, redshift=0.1, spectra="dmfit"
    )
    assert_array_equal(model(energy), fresh(energy))
    assert model.channel == {"b": 0.75, "tau": 0.25}
    assert model.spectra is read_spectra("dmfit")


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("mass", 100, "mass must be a quantity like '100 GeV'"),
        ("mass", "100 kg2", "mass must be a quantity"),
        ("mass", "-1 GeV", "mass must be positive, got -1.0 GeV"),
        ("mass", [1, 2] * u.GeV, "one finite quantity"),
        ("mass", np.nan * u.GeV, "one finite quantity"),
        ("channel", "qqqq", "Unknown channel 'qqqq'; known are"),
        ("channel", {"b": 0.5}, "sum to 0.5"),
        ("k", 3, "k must be 2"),
        ("redshift", -0.1, "not be negative"),
        ("spectra", "pppc5", "neither one of"),
    ],
)
def test_bad_attributes(attribute, value, message):
    model = DarkMatterSpectralModel("100 GeV", "b")
    before = repr(model)
    with pytest.raises(ValueError, match=message):
        setattr(model, attribute, value)
    assert repr(model) == before
    arguments = {"mass": "100 GeV", "channel": "b", attribute: value}
    with pytest.raises(ValueError, match=message):
        DarkMatterSpectralModel(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sigmav": 3e-26}, "sigmav must be a quantity like"),
        ({"sigmav": "3e-26 cm3"}, "sigmav must be a quantity like"),
        ({"log10_jfactor": "1e19 GeV2 cm-5"}, "log10_jfactor must be a number"),
        ({"log10_jfactor": np.inf}, "log10_jfactor must be finite"),
        ({"log10_jfactor": 19.0, "jfactor_prior": JFactorPrior(18, 0.2)}, "centred on 18"),
        ({"jfactor_prior": 0.2}, "must be a JFactorPrior"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DarkMatterSpectralModel("100 GeV", "b", **arguments)


def test_units_of_sigmav():
    model = DarkMatterSpectralModel("100 GeV", "b", "3e-32 m3 s-1")
    assert model.sigmav.value == pytest.approx(3e-26, rel=1e-12)
    assert model.sigmav.unit == "cm3 s-1"
    model.sigmav.quantity = "2e-32 m3 s-1"
    assert model.flux_factor.to_value(FLUX) == pytest.approx(1.193662e-12 * 2 / 3, rel=1e-6)


class TestPrior:
    def test_sets_the_observed_value(self):
        prior = JFactorPrior(18.83, 0.2)
        model = DarkMatterSpectralModel("100 GeV", "b", jfactor_prior=prior)
        assert model.log10_jfactor.value == 18.83
        assert model.log10_jfactor.frozen
        assert model.jfactor_prior is model.log10_jfactor.prior is prior
        model.jfactor_prior = JFactorPrior(18.1, 0.3)
        assert model.log10_jfactor.value == 18.1
        model.jfactor_prior = None
        assert model.log10_jfactor.prior is None

    def test_range_of_a_box(self):
        box = JFactorPrior.from_table(np.linspace(17, 18, 11), stat=np.zeros(11))
        model = DarkMatterDecaySpectralModel("100 GeV", "b", dfactor_prior=box)
        assert model.dfactor_prior is box
        assert (model.log10_dfactor.min, model.log10_dfactor.max) == (17, 18)


def test_errors_scale_with_those_of_sigmav():
    model = DarkMatterSpectralModel("100 GeV", "b")
    model.sigmav.error = 3e-27
    edges = np.geomspace(1, 100, 4) * u.GeV
    median, low, high = model.integral_error(edges[:-1], edges[1:])
    assert_allclose(median, model.integral(edges[:-1], edges[1:]), rtol=0.01)
    assert_allclose(low / median, 0.1, rtol=0.05)
    assert_allclose(high / median, 0.1, rtol=0.05)
    median, low, _ = model.energy_flux_error(edges[0], edges[1])
    assert_allclose(median, model.energy_flux(edges[0], edges[1]), rtol=0.01)
    assert_allclose(low / median, 0.1, rtol=0.05)
    median, _, high = model.evaluate_error(edges)
    assert_allclose((high / median)[:-1], 0.1, rtol=0.05)


def user_table():
    """Half a photon per decade of energy at 10 GeV, one at 1000 GeV."""
    table = QTable(meta={"quantity": "dN/dlog10x", "name": "flat"})
    table["mass"] = np.repeat([10.0, 1000.0], 3) * u.GeV
    table["log10x"] = np.tile([-6.0, -3.0, 0.0], 2)
    table["b"] = np.repeat([0.5, 1.0], 3)
    return table


class TestCopies:
    def test_copy_is_independent(self):
        model = DarkMatterSpectralModel("100 GeV", "b", jfactor_prior=JFactorPrior(18.8, 0.2))
        copied = model.copy()
        copied.mass = "1 TeV"
        copied.sigmav.value = 1e-25
        assert model.mass == 100 * u.GeV
        assert model.sigmav.value == 3e-26
        assert copied.spectra is model.spectra
        assert copied.jfactor_prior == model.jfactor_prior

    def test_pickles_hold_no_table(self, tmp_path):
        path = tmp_path / "flat.ecsv"
        user_table().write(path)
        for spectra in ("pppc4", "dmfit", path):
            model = DarkMatterSpectralModel(
                "100 GeV", {"b": 1.0}, jfactor_prior=JFactorPrior(18.8, 0.2), spectra=spectra
            )
            dumped = pickle.dumps(model)
            assert len(dumped) < 20_000
            restored = pickle.loads(dumped)
            assert_array_equal(restored([1, 2] * u.GeV), model([1, 2] * u.GeV))
            assert repr(restored) == repr(model)
            assert restored.spectra == model.spectra

    def test_table_in_memory(self):
        model = DarkMatterSpectralModel("100 GeV", "b", spectra=user_table())
        assert_array_equal(pickle.loads(pickle.dumps(model))(1 * u.GeV), model(1 * u.GeV))
        assert_array_equal(model.copy()(1 * u.GeV), model(1 * u.GeV))
        # log m: 0.75 photons per decade
        photons = model.integral(1 * u.GeV, 10 * u.GeV) / model.flux_factor
        assert photons.to_value("") == pytest.approx(0.75)
        with pytest.raises(ValueError, match="write the table to an ECSV file"):
            model.to_dict()


def test_text():
    model = DarkMatterSpectralModel("100 GeV", {"b": 0.7, "tau": 0.3}, spectra="dmfit")
    assert repr(model) == (
        "DarkMatterSpectralModel(mass=100.0 GeV, channel='0.7 b + 0.3 tau', "
        "sigmav=3e-26 cm3 / s, log10_jfactor=19, spectra='dmfit')"
    )
    model.jfactor_prior = JFactorPrior(18.8, 0.2)
    for word in ("100.0 GeV", "0.7 b + 0.3 tau", "dmfit", "err=0.2", "sigmav", "cm3 s-1"):
        assert word in str(model)
