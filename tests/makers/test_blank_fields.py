"""Blank fields against separations by astropy and areas on the sphere."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from gammapy.catalog import SourceCatalog
from gammapy.maps import Map, WcsGeom
from regions import CircleSkyRegion, PointSkyRegion, PolygonSkyRegion, RectangleSkyRegion
from scipy.stats import chisquare, ks_2samp, kstest

from dmgammapy.makers import BlankFieldMaker
from dmgammapy.targets import Target, Targets

TARGET = Target(
    "draco", SkyCoord(260.05, 57.92, unit="deg"), log10_jfactor=18.8, log10_jfactor_err=0.2,
    distance=76 * u.kpc,
)  # fmt: skip
SOURCES = SkyCoord(
    np.random.default_rng(1).uniform(0, 360, 400),
    np.degrees(np.arcsin(np.random.default_rng(2).uniform(-1, 1, 400))),
    unit="deg",
)


def positions(**kwargs):
    return BlankFieldMaker(**kwargs).positions(TARGET)


def closest(coords, others=None):
    """Least separations [deg], by astropy on all pairs."""
    others = coords if others is None else others
    separation = coords[:, None].separation(others[None, :]).deg
    if others is coords:
        np.fill_diagonal(separation, 180)
    return separation.min(axis=1)


def test_uniform_on_the_sphere():
    got = positions(n_fields=3000, seed=5, separation=0 * u.deg)
    # equal areas: 10 bands of sin(dec) times 12 of right ascension
    counts, *_ = np.histogram2d(
        np.sin(got.dec.rad), got.ra.deg, bins=[np.linspace(-1, 1, 11), np.linspace(0, 360, 13)]
    )
    assert counts.sum() == 3000
    assert chisquare(counts.ravel()).pvalue > 1e-3
    galactic = got.galactic
    assert kstest(np.sin(galactic.b.rad), "uniform", args=(-1, 2)).pvalue > 1e-3
    assert kstest(galactic.l.deg, "uniform", args=(0, 360)).pvalue > 1e-3


def test_uniform_in_a_circle():
    centre = SkyCoord(266, -60, unit="deg")
    got = positions(
        n_fields=2000, seed=2, separation=0 * u.deg, region=CircleSkyRegion(centre, 25 * u.deg)
    )
    distance = centre.separation(got).rad
    # area of a cap is proportional to 1 - cos
    share = (1 - np.cos(distance)) / (1 - np.cos(np.deg2rad(25)))
    assert kstest(share, "uniform").pvalue > 1e-3
    assert kstest(centre.position_angle(got).deg, "uniform", args=(0, 360)).pvalue > 1e-3


def test_every_distance_is_kept():
    per_source = np.where(np.arange(400) % 10 == 0, 6.0, 2.0) * u.deg
    got = positions(
        n_fields=150, seed=3, sources=SOURCES, source_separation=per_source,
        separation=4 * u.deg, latitude_min=15 * u.deg, offset_min=10 * u.deg,
    )  # fmt: skip
    assert len(got) == 150
    assert closest(got).min() >= 4
    assert closest(got, SOURCES[::10]).min() >= 6
    assert 2 <= closest(got, SOURCES).min() < 6
    assert np.abs(got.galactic.b.deg).min() >= 15
    assert TARGET.position.separation(got).deg.min() >= 10


@pytest.mark.parametrize("method", ["random", "grid"])
def test_offsets_make_an_annulus(method):
    got = positions(
        n_fields=60, seed=3, method=method, separation=0.5 * u.deg, offset_min=2 * u.deg,
        offset_max=5 * u.deg,
    )  # fmt: skip
    distance = TARGET.position.separation(got).deg
    assert len(got) == 60
    assert distance.min() >= 2
    assert distance.max() <= 5
    assert closest(got).min() >= 0.5 * (1 - 1e-12)


def test_a_grid_covers_the_sky_evenly():
    got = positions(method="grid", separation=5 * u.deg, seed=1)
    # the number of a Fibonacci lattice with this spacing: (3.05 / spacing)^2
    number = int((3.05 / np.deg2rad(5)) ** 2)
    assert 0.98 * number <= len(got) <= number
    nearest = closest(got)
    assert nearest.min() >= 5 * (1 - 1e-12)
    assert nearest.max() < 8
    # the mean direction of an even grid is none
    assert np.linalg.norm(got.cartesian.xyz.mean(axis=1)) < 0.01
    turned = positions(method="grid", separation=5 * u.deg, seed=2)
    assert turned[0].separation(got[0]).deg > 0


def test_mask_and_geometry():
    geom = WcsGeom.create(skydir=TARGET.position, width=20, binsz=0.1, frame="galactic")
    left = Map.from_geom(geom, data=geom.get_coord().lon < TARGET.position.galactic.l)
    got = positions(n_fields=80, seed=4, region=geom, mask=left, separation=0.3 * u.deg)
    assert geom.contains(got).all()
    assert (got.galactic.l.deg < TARGET.position.galactic.l.deg + 0.1).all()
    # both halves in latitude are seen
    above = (got.galactic.b > TARGET.position.galactic.b).mean()
    assert abs(above - 0.5) < 4 * 0.5 / np.sqrt(80)


def test_rectangle():
    region = RectangleSkyRegion(TARGET.position, 6 * u.deg, 2 * u.deg, angle=0 * u.deg)
    got = positions(n_fields=300, seed=4, region=region, separation=0 * u.deg)
    offset = got.transform_to(TARGET.position.skyoffset_frame())
    assert np.abs(offset.lon.deg).max() == pytest.approx(3, abs=0.06)
    assert np.abs(offset.lat.deg).max() == pytest.approx(1, abs=0.03)


def test_polygon_against_great_circles():
    corners = SkyCoord([10, 30, 30, 10], [60, 60, 80, 80], unit="deg")
    got = positions(
        n_fields=400, seed=1, separation=0 * u.deg, region=PolygonSkyRegion(corners)
    ).cartesian.xyz.value.T
    everywhere = np.random.default_rng(4).normal(size=(400_000, 3))
    everywhere /= np.linalg.norm(everywhere, axis=1)[:, None]
    edges = corners.cartesian.xyz.value.T
    normals = np.cross(edges, np.roll(edges, -1, axis=0))
    assert (got @ normals.T > -1e-9).all()
    inside = everywhere[(everywhere @ normals.T > 0).all(axis=1)]
    for axis in range(3):
        assert ks_2samp(got[:, axis], inside[:, axis]).pvalue > 1e-3


def test_circle_stays_with_a_narrower_offset():
    centre = TARGET.position.directional_offset_by(0 * u.deg, 4 * u.deg)
    got = positions(
        n_fields=50, seed=4, separation=0 * u.deg, offset_max=3 * u.deg,
        region=CircleSkyRegion(centre, 3.5 * u.deg),
    )  # fmt: skip
    assert centre.separation(got).deg.max() <= 3.5
    assert TARGET.position.separation(got).deg.max() <= 3


def test_pseudo_targets_are_the_target_elsewhere():
    other = Target("segue_1", SkyCoord(151.77, 16.08, unit="deg"), log10_jfactor=19.4)
    maker = BlankFieldMaker(n_fields=3, seed=9, sources=Targets([TARGET, other]))
    fields = maker.run(Targets([TARGET, other]))
    assert isinstance(fields, Targets)
    assert fields.names == [
        f"{name}_blank_{i:04d}" for name in ("draco", "segue_1") for i in range(3)
    ]
    one = fields["draco_blank_0001"]
    assert (one.log10_jfactor, one.log10_jfactor_err, one.distance) == (18.8, 0.2, 76 * u.kpc)
    assert one.kind == "blank"
    assert one.to_models("100 GeV", "b")[0].spectral_model.jfactor_prior == TARGET.jfactor_prior()
    # a target's fields don't depend on the others
    assert maker.run(other)[2] == fields[5]


def test_seeds():
    ten = positions(n_fields=10, seed=1, sources=SOURCES)
    fifty = positions(n_fields=50, seed=1, sources=SOURCES)
    assert (ten == fifty[:10]).all()
    assert (positions(n_fields=10, seed=2, sources=SOURCES).separation(ten) > 0 * u.deg).all()


class Catalog(SourceCatalog):
    tag = description = "two sources"


def test_catalog_of_gammapy():
    table = Table({"Source_Name": ["a", "b"], "RA": [10.0, 200.0], "DEC": [0.0, 30.0]})
    table["RA"].unit = table["DEC"].unit = "deg"
    catalog = Catalog(table)
    got = positions(
        n_fields=200, seed=1, sources=[catalog, SOURCES], source_separation=3 * u.deg,
        separation=0 * u.deg,
    )  # fmt: skip
    assert closest(got, catalog.positions).min() >= 3
    assert closest(got, SOURCES).min() >= 3


def test_too_many_fields_say_what_is_in_the_way():
    options = {"seed": 1, "region": CircleSkyRegion(TARGET.position, 3 * u.deg)}
    text = r"target draco: only \d+ of 100 blank fields fit; of 5000 positions tried were left "
    with pytest.raises(ValueError, match=text + r"out: \d+ near another field\. Ask for fewer"):
        positions(n_fields=100, separation=1 * u.deg, n_draws=5000, **options)
    with pytest.raises(ValueError, match="only 0 of 5 .* 300 near a source"):
        positions(n_fields=5, sources=TARGET, source_separation=4 * u.deg, n_draws=300, **options)
    with pytest.raises(ValueError, match="only 0 of 1 .* near the Galactic plane"):
        positions(method="grid", latitude_min=80 * u.deg, **options)


def test_bad_input():
    with pytest.raises(ValueError, match="method must be one of random, grid"):
        BlankFieldMaker(3, method="hexagons")
    with pytest.raises(ValueError, match="random positions need their number"):
        BlankFieldMaker()
    with pytest.raises(ValueError, match="separation must be an angle like 5"):
        BlankFieldMaker(3, separation=1)
    with pytest.raises(ValueError, match="one for each of 400 sources, got shape \\(2,\\)"):
        BlankFieldMaker(3, sources=SOURCES, source_separation=[1, 2] * u.deg)
    with pytest.raises(ValueError, match="offset_min must be below offset_max"):
        BlankFieldMaker(3, offset_min=2 * u.deg, offset_max=1 * u.deg)
    with pytest.raises(ValueError, match="targets to avoid without position: nowhere"):
        BlankFieldMaker(3, sources=Target("nowhere"))
    with pytest.raises(ValueError, match="mask must be a map of booleans"):
        BlankFieldMaker(3, mask=Map.create(binsz=10))
    with pytest.raises(ValueError, match="region must be a SkyRegion or a WcsGeom, got str"):
        BlankFieldMaker(3, region="icrs;circle(0,0,1)")
    with pytest.raises(ValueError, match="target nowhere: offset_min and offset_max need its pos"):
        BlankFieldMaker(3, offset_min=1 * u.deg).run(Target("nowhere"))
    with pytest.raises(TypeError, match="needs a Target, got str"):
        BlankFieldMaker(3).positions("draco")


def test_what_can_not_be_a_field():
    with pytest.raises(ValueError, match="source_separation must be an angle, got None"):
        BlankFieldMaker(5, source_separation=None)
    with pytest.raises(ValueError, match="PointSkyRegion, which has no area"):
        BlankFieldMaker(5, region=PointSkyRegion(TARGET.position))
    small = CircleSkyRegion(TARGET.position, 1 * u.deg)
    with pytest.raises(ValueError, match="grid of 5 deg has no point in a circle of 1 deg"):
        positions(method="grid", separation=5 * u.deg, region=small)
