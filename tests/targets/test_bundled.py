"""The bundled tables against the papers."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from dmgammapy.targets import Target, Targets, UnknownNameError

# Ackermann et al. 2015 (Phys. Rev. Lett. 115, 231301), table I: l, b [deg], D [kpc], log10 J with
# one decimal, width
PUBLISHED_2015 = {
    "bootes_I": (358.1, 69.6, 66, 18.8, 0.22),
    "canes_venatici_II": (113.6, 82.7, 160, 17.9, 0.25),
    "carina": (260.1, -22.2, 105, 18.1, 0.23),
    "coma_berenices": (241.9, 83.6, 44, 19.0, 0.25),
    "draco": (86.4, 34.7, 76, 18.8, 0.16),
    "fornax": (237.1, -65.7, 147, 18.2, 0.21),
    "hercules": (28.7, 36.9, 132, 18.1, 0.25),
    "leo_II": (220.2, 67.2, 233, 17.6, 0.18),
    "leo_IV": (265.4, 56.5, 154, 17.9, 0.28),
    "sculptor": (287.5, -83.2, 86, 18.6, 0.18),
    "segue_1": (220.5, 50.4, 23, 19.5, 0.29),
    "sextans": (243.5, 42.3, 86, 18.4, 0.27),
    "ursa_major_II": (152.5, 37.4, 32, 19.3, 0.28),
    "ursa_minor": (105.0, 44.8, 76, 18.8, 0.19),
    "willman_1": (158.6, 56.8, 38, 19.1, 0.31),
}
# log10 of what dmsky 0.2.5 tabulates for ackermann2014_nfw
TABULATED_2014 = {
    "bootes_I": 5.888e18, "canes_venatici_II": 7.244e17, "carina": 1.318e18,
    "coma_berenices": 9.12e18, "draco": 6.761e18, "fornax": 1.445e18, "hercules": 1.122e18,
    "leo_II": 3.631e17, "leo_IV": 7.943e17, "sculptor": 4.074e18, "segue_1": 3.236e19,
    "sextans": 2.399e18, "ursa_major_II": 1.905e19, "ursa_minor": 6.31e18, "willman_1": 1.288e19,
}  # fmt: skip


def test_roster_of_ackermann_2015_agrees_with_the_paper():
    targets = Targets.read_roster("ackermann2015_dsphs")
    assert sorted(targets.names) == sorted(PUBLISHED_2015)
    for target in targets:
        lon, lat, distance, log10_jfactor, width = PUBLISHED_2015[target.name]
        published = SkyCoord(lon, lat, unit="deg", frame="galactic")
        assert target.position.separation(published) < 0.1 * u.deg
        assert target.distance == distance * u.kpc
        # two decimals here, one there
        assert abs(target.log10_jfactor - log10_jfactor) < 0.0501
        assert target.log10_jfactor_err == width
        assert target.version == "ackermann2014_nfw"
        assert "arXiv:1310.0828" in target.reference
        assert target.missing() == ()


def test_two_decimals_give_back_the_tabulated_jfactors():
    targets = Targets.read_roster("ackermann2015_dsphs")
    for name, jfactor in TABULATED_2014.items():
        value = targets[name].log10_jfactor
        assert value == round(value, 2)
        assert targets[name].jfactor.value == pytest.approx(jfactor, rel=4e-4)


def test_roster_agrees_with_the_published_likelihood_files(test_data):
    files = (test_data / "fermi_dsphs_2015").glob("like_*.txt")
    names = {path.stem.removeprefix("like_") for path in files}
    assert set(Targets.read_roster("ackermann2015_dsphs").names) == names


# papers by hand: Geringer-Sameth et al. 2015, table 2 (0.5 deg); Albert et al. 2017, table 1;
# Pace & Strigari 2019, table 2; Simon et al. 2015; Koposov et al. 2018
@pytest.mark.parametrize(
    ("key", "log10_jfactor", "width"),
    [
        ("draco:geringer-sameth2015_nfw", 18.84, 0.13),
        ("sculptor:geringer-sameth2015_nfw", 18.54, 0.06),
        ("segue_1:geringer-sameth2015_nfw", 19.36, 0.34),
        ("carina:geringer-sameth2015_nfw", 17.87, 0.10),
        ("leo_IV:geringer-sameth2015_nfw", 16.32, 1.38),
        ("draco_II:ackermann2016_photoj_0.6_nfw", 19.34, 0.6),
        ("triangulum_II:ackermann2016_photoj_0.6_nfw", 19.15, 0.6),
        ("tucana_III:ackermann2016_photoj_0.6_nfw", 19.30, 0.6),
        ("reticulum_II:simon2015_nfw", 18.90, 0.6),
        ("hydrus_I:koposov2018_nfw", 18.33, 0.36),
        ("draco:pace2018_nfw", 18.83, 0.10),
        ("horologium_I:pace2018_aj_nfw", 18.84, 0.845),
        ("leo_V:pace2018_nfw", 17.69, 0.96),
        ("draco:pace2018_photoj_nfw", 18.367, None),
        ("lmc:ackermann2016_photoj_0.6_nfw", 18.68, 0.6),
        ("bootes_II:ackermann2014_burkert", None, None),
        ("segue_1:martinez2015_nfw", None, None),
    ],
)
def test_other_tables(key, log10_jfactor, width):
    target = Targets.bundled()[key]
    assert target.log10_jfactor == log10_jfactor
    assert target.log10_jfactor_err == width


def test_photometric_jfactors_follow_their_formula():
    # Pace & Strigari 2019, eq. 12, with Mv and the half-light radius of Draco, McConnachie 2012
    luminosity = 10 ** ((-8.8 - 4.83) / -2.5)
    radius = 76e3 * np.radians(10 / 60) * np.sqrt(1 - 0.31)  # pc, geometric mean
    expected = 17.93 + np.log10((luminosity / 1e4) ** 0.32 / 0.76**2 / (radius / 100))
    target = Targets.bundled()["draco:pace2018_photoj_nfw"]
    assert target.log10_jfactor == pytest.approx(expected, abs=0.02)


def test_extension_is_the_angle_of_the_scale_radius():
    # scale radii of martinez2015, the kinematic analysis behind ackermann2014
    bundled = Targets.bundled()
    profiles = {t.name: t for t in bundled.select(version="martinez2015_nfw")}
    ratios = []
    for target in bundled.select(version="ackermann2014_nfw", has_jfactor=True):
        if target.extension_err_dex is not None:
            other = profiles[target.name]
            angle = np.degrees((u.Quantity(other.profile["rs"]) / other.distance).to_value(""))
            ratios.append(np.log10(target.extension.to_value("deg") / angle))
    assert len(ratios) == 19
    assert np.abs(ratios).max() < 0.1


def test_a_point_has_no_size():
    target = Targets.bundled()["draco:ackermann2014_point"]
    assert target.extension == 0 * u.deg
    assert target.log10_jfactor == 18.83


def test_pace_2018_keeps_targets_without_width():
    targets = Targets.read_roster("pace2018_all")
    assert len(targets) == 44
    assert all(target.has_jfactor() for target in targets)
    missing = targets.missing()
    assert len(missing) == 14
    assert set(missing.values()) == {("log10_jfactor_err",)}
    with pytest.raises(ValueError, match="target cetus_II: no log10_jfactor_err"):
        targets["cetus_II"].jfactor_prior()
    models = targets["cetus_II"].to_models("100 GeV", "b")
    assert models[0].spectral_model.log10_jfactor.prior is None
    assert targets["cetus_II"].copy(log10_jfactor_err=0.6).jfactor_prior().err_low == 0.6


def test_carina_ii_and_iii_are_neighbours():
    # 18 arcmin apart (Torrealba et al. 2018, abstract)
    pair = Targets.from_names(["carina_II", "carina_III"])
    separation = pair[0].position.separation(pair[1].position)
    assert separation.to_value("arcmin") == pytest.approx(18, abs=0.5)


def test_galactic_profiles_have_the_local_density():
    # 0.4 GeV cm-3 at 8.5 kpc, eq. 2-5 of Ackermann et al. 2013
    profile = Targets.bundled()["galactic:ackermann2013_nfw"].profile
    x = 8.5 * u.kpc / u.Quantity(profile["rs"])
    density = u.Quantity(profile["rhos"]) / (x * (1 + x) ** 2)
    assert density.to_value("GeV cm-3") == pytest.approx(0.4, rel=2e-3)
    profile = Targets.bundled()["galactic:ackermann2013_einasto"].profile
    x = (8.5 * u.kpc / u.Quantity(profile["rs"])).to_value("")
    density = u.Quantity(profile["rhos"]) * np.exp(
        -2 / profile["alpha"] * (x ** profile["alpha"] - 1)
    )
    assert density.to_value("GeV cm-3") == pytest.approx(0.4, rel=2e-3)


def test_galactic_centre():
    target = Targets.read_roster("ackermann2013_gc")[0]
    # Sgr A* (Reid & Brunthaler 2004)
    expected = SkyCoord("17h45m40.0409s", "-29d00m28.118s")
    assert target.position.separation(expected) < 0.1 * u.deg
    assert target.distance == 8.5 * u.kpc
    assert Targets.from_names("galactic")[0].distance == 8.33 * u.kpc


@pytest.mark.parametrize(
    ("roster", "n"),
    [
        ("ackermann2015_dsphs", 15),
        ("albert2017_dsphs", 41),
        ("martinez2015_nfw", 16),
        ("geringer-sameth2015_nfw", 16),
        ("pace2018_all", 44),
        ("ackermann2013_gc", 1),
        ("test2015", 16),
        ("dsphs_gc", 17),
    ],
)
def test_rosters(roster, n):
    targets = Targets.read_roster(roster)
    assert len(targets) == n
    assert len(set(targets.names)) == n
    assert roster in Targets.rosters()


def test_no_jfactor_is_absurd():
    values = [t.log10_jfactor for t in Targets.bundled() if t.has_jfactor()]
    assert len(values) == 223
    assert min(values) > 16
    assert max(values) < 21
    widths = [t.log10_jfactor_err for t in Targets.bundled() if t.log10_jfactor_err is not None]
    assert len(widths) == 177
    assert min(widths) == 0.06
    assert max(widths) == 1.6


def test_every_bundled_target_is_complete():
    bundled = Targets.bundled()
    assert len(bundled) == 324
    for target in bundled:
        assert target.position is not None
        assert target.distance is not None
        assert target.title
        assert target.kind in ("dwarf", "galaxy", "galactic")
        assert target.version == "default" or target.reference


def test_what_is_bundled_can_not_be_changed_by_its_users():
    draco = Targets.from_names(["draco:ackermann2014_nfw"])[0]
    assert draco.copy(log10_jfactor=10.0).log10_jfactor == 10.0
    assert Targets.read_roster("ackermann2015_dsphs")["draco"].log10_jfactor == 18.83


@pytest.mark.parametrize("name", ["ackermann2015", "Ackermann2015_dSphs", "ackermann2015-dsph"])
def test_unknown_roster_lists_close_ones_first(name):
    with pytest.raises(ValueError, match="there are ackermann2015_dsphs, ") as error:
        Targets.read_roster(name)
    assert isinstance(error.value, KeyError)
    for known in Targets.rosters():
        assert known in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("drako", "no target 'drako'; known are draco"),
        ("draco:pace2019_nfw", "target 'draco' has no version 'pace2019_nfw'; it has pace2018_nfw"),
        ("draco:", "expected 'name' or 'name:version'"),
        ("a:b:c", "expected 'name' or 'name:version'"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(ValueError, match=message):
        Targets.from_names([name])


def test_from_names():
    targets = Targets.from_names(["draco", "segue_1:pace2018_nfw"])
    assert targets["draco"].version == "default"
    assert not targets["draco"].has_jfactor()
    assert targets["segue_1"].log10_jfactor == 19.14
    with pytest.raises(ValueError, match="draco:default is there twice"):
        Targets.from_names(["draco", "draco"])
    with pytest.raises(UnknownNameError):
        Targets.from_names([Target("x").name])
