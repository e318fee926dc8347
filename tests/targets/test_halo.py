"""J- and D-factors against adaptive quadrature, closed forms and published values."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.special import gamma as gamma_function

from dmgammapy.targets import (
    BurkertProfile,
    EinastoProfile,
    FunctionProfile,
    GNFWProfile,
    Halo,
    IsothermalProfile,
    NFWProfile,
    TabulatedProfile,
    Target,
    Targets,
)

GEV = u.Unit("GeV cm-3")
KPC = u.kpc
CM = 3.0856775814913673e21  # per kpc
POSITION = SkyCoord(260.05, 57.92, unit="deg")

_r = np.geomspace(1e-4, 20, 40) * KPC
PROFILES = {
    "nfw": NFWProfile(3 * GEV, 0.5 * KPC),
    "cusp": GNFWProfile(3 * GEV, 0.5 * KPC, gamma=1.4),
    "slope_half": GNFWProfile(3 * GEV, 0.5 * KPC, gamma=0.5),
    "sharp": GNFWProfile(3 * GEV, 0.5 * KPC, gamma=0.8, beta=5, alpha=3),
    "einasto": EinastoProfile(3 * GEV, 0.5 * KPC),
    "burkert": BurkertProfile(3 * GEV, 0.5 * KPC),
    "isothermal": IsothermalProfile(3 * GEV, 0.5 * KPC),
    "core": NFWProfile(3 * GEV, 0.5 * KPC, r_core=0.01 * KPC),
    "table": TabulatedProfile(_r, NFWProfile(3 * GEV, 0.5 * KPC)(_r)),
}
# distance and r_max [kpc]: dwarf, truncated, distant and small, Galactic Centre, just outside
PLACES = [(80, None), (80, 2), (800, 0.3), (8.3, None), (8.3, 15), (6, 5.9)]


def make(profile, place, **kwargs):
    distance, r_max = place
    return Halo(profile, distance * KPC, None if r_max is None else r_max * KPC, **kwargs)


def pieces(low, high, breaks, singular):
    """Borders for quad: what is not smooth, and decades around what is singular."""
    points = [low, high, singular, *breaks]
    decades = np.geomspace(1e-9, 1e9, 37)
    points += [*(singular + decades), *(singular - decades)]
    points = np.unique(np.clip(points, low, high))
    return zip(points[:-1], points[1:], strict=True)


def by_quad(function, low, high, breaks=(), singular=0.0):
    return sum(
        quad(function, a, b, epsabs=0, epsrel=1e-9, limit=200)[0]
        for a, b in pieces(low, high, breaks, singular)
        if b > a + 1e-12 * abs(a)
    )


def line_of_sight(halo, theta, power):
    """Along the distance from the closest point, without any change of variable."""
    distance = halo.distance.value
    r_max = min(halo.r_max.value, 1e7)
    b, middle = distance * np.sin(theta), distance * np.cos(theta)
    if b >= r_max:
        return 0.0
    half = np.sqrt(r_max**2 - b**2)
    if middle < -half:
        return 0.0
    breaks = [np.sqrt(r**2 - b**2) for r in halo.profile.breaks if r > b]
    return CM * by_quad(
        lambda s: halo.profile.density(np.sqrt(b * b + s * s)) ** power,
        max(-middle, -half),
        half,
        [*breaks, *(-np.array(breaks))],
    )


@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("power", [2, 1])
def test_lines_of_sight_equal_adaptive_quadrature(name, place, power):
    halo = make(PROFILES[name], place)
    edge = halo.angular_radius.to_value("rad")
    inner = min(0.5, halo.r_max.value) / halo.distance.value
    angles = np.array([3e-8, 1e-4, 0.01, 0.3, 0.9]) * min(inner, 1)
    angles = np.append(angles, edge * np.array([0.5, 0.77, 0.9999, 1]))
    method = halo.differential_jfactor if power == 2 else halo.differential_dfactor
    expected = [line_of_sight(halo, theta, power) for theta in angles]
    assert_allclose(method(angles * u.rad).value[:-1], expected[:-1], rtol=3e-5)
    if edge < np.pi:
        assert method(angles[-1] * u.rad).value == 0
        assert method(1.1 * edge * u.rad).value == 0


@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize("name", ["nfw", "cusp", "sharp", "einasto", "core"])
def test_cones_equal_nested_quadrature(name, place):
    """The cone is the integral over rings of the line of sight; the two have nothing in common."""
    halo = make(PROFILES[name], place)
    edge = halo.angular_radius.to_value("rad")
    start = 1e-3 * min(0.5, halo.r_max.value) / halo.distance.value
    x, weights = np.polynomial.legendre.leggauss(12)
    for angle in (30 * start, 0.6 * edge):
        expected = float(halo.jfactor(start * u.rad).value)
        borders = np.log(np.geomspace(start, angle, 60))
        for low, high in zip(borders[:-1], borders[1:], strict=True):
            theta = np.exp(low + 0.5 * (high - low) * (1 + x))
            values = halo.differential_jfactor(theta * u.rad).value * np.sin(theta) * theta
            expected += np.pi * (high - low) * np.sum(values * weights)
        assert_allclose(halo.jfactor(angle * u.rad).value, expected, rtol=3e-5)


@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("process", ["annihilation", "decay"])
def test_whole_halo_equals_the_integral_over_its_volume(name, place, process):
    """Shells of radius r are at the mean of 1/l2, ln((D + r) / |D - r|) / (2 r D)."""
    halo = make(PROFILES[name], place)
    distance, r_max = halo.distance.value, min(halo.r_max.value, 1e7)
    power = 2 if process == "annihilation" else 1

    def shell(z):
        r = distance * np.exp(z)
        mean = np.log((1 + np.exp(z)) / abs(np.expm1(z))) if z > -9 else 2 * np.exp(z)
        return r * r * halo.profile.density(r) ** power * mean

    breaks = [np.log(r / distance) for r in halo.profile.breaks]
    start, stop = np.log(1e-7 / distance), np.log(r_max / distance)
    expected = by_quad(shell, start, stop, breaks)
    # the power law within 1e-7 kpc, and beyond 1e7 kpc
    slope = power * halo.profile.inner_slope
    expected += 2e-21 * halo.profile.density(1e-7) ** power / distance / (3 - slope)
    if r_max == 1e7:
        outer = power * {"isothermal": 2, "sharp": 5}.get(name, 3)
        tail = halo.profile.density(r_max) ** power * r_max / (outer - 1)
        expected += 2 * distance * (tail if name != "einasto" else 0)
    result = halo.jfactor() if power == 2 else halo.dfactor()
    assert_allclose(result.value, 2 * np.pi / distance * CM * expected, rtol=2e-6)


def test_far_nfw_is_the_textbook_formula():
    """J = 4 pi rho_s2 r_s3 / (3 d2), log10 J = 18.36; D within r_max is the mass over d2."""
    halo = Halo(PROFILES["nfw"], 80 * KPC)
    expected = 4 * np.pi * 9 * 0.5**3 / (3 * 80**2) * CM
    assert_allclose(np.log10(halo.jfactor().value), 18.36, atol=0.005)
    # seen from 160 r_s the halo is not quite a point
    assert_allclose(halo.jfactor().value, expected, rtol=1e-4)
    far = Halo(PROFILES["nfw"], 8e4 * KPC, r_max=5 * KPC)
    assert_allclose(far.jfactor().value, expected * 1e-6 * (1 - 11.0**-3), rtol=1e-6)
    mass = 4 * np.pi * 3 * 0.5**3 * (np.log(11) - 10 / 11)
    assert_allclose(far.dfactor().value, mass / 8e4**2 * CM, rtol=1e-6)


def test_nfw_cone_equals_the_analytic_formula():
    """Evans, Sanders & Geringer-Sameth 2016, PRD 93, 103512: J of an NFW within theta, far away.

    With y = D theta / r_s and X(y) = arcsech(y) / sqrt(1 - y2) or arcsec(y) / sqrt(y2 - 1).
    """

    def formula(y):
        delta = 1 - y * y
        if y < 1:
            x = np.arccosh(1 / y) / np.sqrt(delta)
        else:
            x = np.arccos(1 / y) / np.sqrt(-delta)
        bracket = 2 * y * (7 * y - 4 * y**3 + 3 * np.pi * delta**2)
        bracket += 6 * (2 * delta**3 - 2 * delta - y**4) * x
        return bracket / (3 * delta**2) * np.pi

    assert_allclose(formula(1e3), 4 * np.pi / 3, rtol=1e-6)  # the whole halo
    distance, r_s, rho_s = 80.0, 0.05, 3.0
    halo = Halo(NFWProfile(rho_s * GEV, r_s * KPC), distance * KPC)
    for angle in np.deg2rad([0.002, 0.01, 0.03, 0.06, 0.2]):
        expected = rho_s**2 * r_s**3 / distance**2 * CM * formula(distance * angle / r_s)
        assert_allclose(halo.jfactor(angle * u.rad).value, expected, rtol=3e-5)


@pytest.mark.parametrize("slope", [0.7, 1.0, 1.4, 1.49])
def test_power_law_cusp_in_closed_form(slope):
    """rho = A r^-g: dJ/dOmega = A2 b^(1-2g) sqrt(pi) G(g - 1/2) / G(g), as narrow as it gets."""
    # beyond the distance the law is far from the centre
    profile = FunctionProfile(lambda r: 2 * GEV * (r / KPC) ** -slope, 1e-3 * KPC)
    halo = Halo(profile, 100 * KPC)
    theta = np.array([1e-13, 1e-10, 1e-8])
    constant = np.sqrt(np.pi) * gamma_function(slope - 0.5) / gamma_function(slope)
    expected = 4 * CM * (100 * theta) ** (1 - 2 * slope) * constant
    # what the infinite line adds in front of the observer, and behind
    rest = (1 / (2 * slope - 1)) * 100 ** (1 - 2 * slope) * 4 * CM
    assert_allclose(halo.differential_jfactor(theta * u.rad).value, expected - rest, rtol=1e-5)
    cone = 2 * np.pi * expected * theta**2 / (3 - 2 * slope) - np.pi * theta**2 * rest
    assert_allclose(halo.jfactor(theta * u.rad).value, cone, rtol=2e-5)


def test_the_very_centre():
    """Infinite for a slope of 0.5 (decay: 1) or more; finite below, with its closed form."""
    assert Halo(PROFILES["slope_half"], 80 * KPC).differential_jfactor(0 * u.deg).value == np.inf
    assert Halo(PROFILES["nfw"], 80 * KPC).differential_dfactor(0 * u.deg).value == np.inf
    # isothermal: the integral of 1 / (1 + x2)2 over the line is pi / 2 (and almost all is seen)
    halo = Halo(PROFILES["isothermal"], 8000 * KPC)
    expected = 9 * 0.5 * np.pi / 2 * CM
    assert_allclose(halo.differential_jfactor(0 * u.deg).value, expected, rtol=1e-8)
    # slope 0.9: the integral of x^-0.9 (1 + x)^-2.1 is B(0.1, 2)
    halo = Halo(GNFWProfile(3 * GEV, 0.5 * KPC, gamma=0.9), 8e5 * KPC)
    beta = gamma_function(0.1) * gamma_function(2) / gamma_function(2.1)
    expected = 2 * 3 * 0.5 * beta * CM
    assert_allclose(halo.differential_dfactor(0 * u.deg).value, expected, rtol=1e-5)


def test_galactic_centre_of_the_pppc():
    """NFW, r_s 24.42 kpc, 0.184 GeV/cm3, 8.33 kpc away: average of J over 0.1 deg and 1 deg.

    Cirelli et al. 2011, JCAP 03, 051, table of sec. 5 for GC regions: Jbar [in units of r_sun
    rho_sun2, rho_sun = 0.3] 11579 for 0.1 deg and 1118 for 1 deg.
    """
    halo = Halo(NFWProfile(0.184 * GEV, 24.42 * KPC), 8.33 * KPC)
    for angle, published in ((0.1, 11579), (1, 1118)):
        solid_angle = 2 * np.pi * (1 - np.cos(np.deg2rad(angle)))
        average = halo.jfactor(angle * u.deg).value / solid_angle / (8.33 * CM * 0.3**2)
        assert_allclose(average, published, rtol=0.01)


def test_half_of_the_light_is_narrower_than_half_of_the_sphere():
    """Half of the J of an NFW lies within r = (2^(1/3) - 1) r_s (a sphere): between two cones."""
    halo = Halo(PROFILES["nfw"], 800 * KPC)
    radius = halo.containment_radius(0.5).to_value("rad") * 800 / 0.5
    # projection puts more into a cone than there is in the sphere of the same radius
    assert 0.1 < radius < 2 ** (1 / 3) - 1


def test_containment_is_the_inverse_of_the_cone():
    for place in PLACES:
        for process in ("annihilation", "decay"):
            halo = make(PROFILES["cusp"], place)
            fractions = np.array([0.01, 0.3, 0.68, 0.99])
            angles = halo.containment_radius(fractions, process)
            cone = halo.jfactor if process == "annihilation" else halo.dfactor
            assert_allclose(cone(angles) / cone(), fractions, rtol=1e-6)


def test_units_shapes_and_table():
    halo = Halo(PROFILES["nfw"], 80 * KPC, r_max=2 * KPC, name="dwarf")
    angles = np.array([[0.1, 0.2], [0.3, 2.0]]) * u.deg
    assert halo.jfactor(angles).unit == "GeV2 cm-5"
    assert halo.jfactor(angles).shape == (2, 2)
    assert halo.jfactor(angles)[1, 1] == halo.jfactor()
    table = halo.radial_table()
    assert_allclose(table["theta"][-1], halo.angular_radius)
    assert_allclose(table["jfactor"][-1], halo.jfactor())
    assert_allclose(table["dd_domega"][3], halo.differential_dfactor(table["theta"][3]))
    assert str(halo).startswith("Halo dwarf: NFWProfile(")


def test_callable_profile():
    halo = Halo(
        lambda r: 3 * GEV / (r / (0.5 * KPC) * (1 + r / (0.5 * KPC)) ** 2), 80 * KPC, 2 * KPC
    )
    assert_allclose(
        halo.jfactor(0.1 * u.deg), make(PROFILES["nfw"], (80, 2)).jfactor(0.1 * u.deg), rtol=1e-5
    )


def test_halo_of_a_target():
    """J within 0.5 deg of Draco by Martinez 2015's median profile; published: 18.8 +- 0.2."""
    target = Targets.read_roster("martinez2015_nfw")["draco"]
    halo = Halo.from_target(target)
    assert halo.r_max == 1 * KPC
    assert halo.position.separation(target.position) < 1e-9 * u.deg
    assert_allclose(np.log10(halo.jfactor(0.5 * u.deg).value), 18.9, atol=0.25)


def test_halos_of_the_galactic_targets():
    targets = Targets.read_roster("ackermann2013_gc")
    halo = Halo.from_target(targets["galactic"])
    assert halo.profile.r_core == 1e-4 * KPC
    assert_allclose(halo.profile(8.5 * KPC).value, 0.4, rtol=1e-3)
    einasto = targets["galactic"].copy(
        profile={"type": "Einasto", "rhos": "0.08135 GeV cm-3", "rs": "20 kpc", "alpha": 0.17}
    )
    assert_allclose(Halo.from_target(einasto).profile(8.5 * KPC).value, 0.4, rtol=1e-3)


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (None, "no profile"),
        ({"type": "NFW"}, "lacks rho_s, r_s"),
        ({"rs": "1 kpc"}, "the type of the profile is None"),
        ({"type": "Hernquist"}, "expected one of NFW"),
        ({"type": "gNFW", "rhos": "1 GeV cm-3", "rs": "1 kpc"}, "lacks gamma"),
        ({"type": "NFW", "rhos": "1 GeV cm-3", "rs": "1 kpc", "c": 3}, "unknown c"),
        ({"type": "NFW", "rhos": "1 GeV cm-3", "rs": "1 s"}, "r_s must be a length"),
        ({"type": "NFW", "rhos": "much", "rs": "1 kpc"}, "target a"),
    ],
)
def test_targets_without_a_halo(profile, message):
    with pytest.raises(ValueError, match=message):
        Halo.from_target(Target("a", distance=80 * KPC, profile=profile))


def test_target_without_distance():
    profile = {"type": "NFW", "rhos": "1 GeV cm-3", "rs": "1 kpc"}
    with pytest.raises(ValueError, match="target a: no distance"):
        Halo.from_target(Target("a", profile=profile))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda nfw: Halo(nfw, -80 * KPC), "distance must be one positive"),
        (lambda nfw: Halo(nfw, 80 * u.deg), "distance must be a length"),
        (lambda nfw: Halo(nfw, 80 * KPC, r_max=0 * KPC), "r_max must be one positive"),
        (lambda nfw: Halo(nfw.density, 80 * KPC), "needs r_max"),
        (lambda nfw: Halo(nfw, 80 * KPC).jfactor(1 * KPC), "angle must be an angle"),
        (lambda nfw: Halo(nfw, 80 * KPC).jfactor(-1 * u.deg), "0 to 180 deg"),
        (lambda nfw: Halo(nfw, 80 * KPC).differential_jfactor(np.nan * u.deg), "0 to 180 deg"),
        (lambda nfw: Halo(nfw, 80 * KPC).containment_radius(1.0), "between 0 and 1"),
        (lambda nfw: Halo(nfw, 80 * KPC).containment_radius(process="x"), "process must be"),
        (
            lambda nfw: Halo(GNFWProfile(3 * GEV, 1 * KPC, gamma=1.5), 80 * KPC).jfactor(),
            "diverges in the centre",
        ),
        (
            lambda nfw: Halo(
                GNFWProfile(3 * GEV, 1 * KPC, gamma=0.5, beta=0.9), 80 * KPC
            ).dfactor(),
            "give r_max",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(PROFILES["nfw"])


def test_steep_cusps_off_the_centre_are_fine():
    """Slope 1.6: the line of sight is finite, the cone is not; with a core all is."""
    halo = Halo(GNFWProfile(3 * GEV, 0.5 * KPC, gamma=1.6), 80 * KPC)
    result = halo.differential_jfactor(1e-3 * u.rad).value
    assert_allclose(result, line_of_sight(halo, 1e-3, 2), rtol=1e-5)
    cored = Halo(GNFWProfile(3 * GEV, 0.5 * KPC, gamma=1.6, r_core=1e-5 * KPC), 80 * KPC)
    assert np.isfinite(cored.jfactor().value)


def test_profile_must_be_one():
    with pytest.raises(TypeError, match="HaloProfile or a function"):
        Halo("nfw", 80 * KPC)
