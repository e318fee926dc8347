"""Livetime cubes: interpolation, sums, scaling, and files in gtltcube's format."""

import shutil

import astropy.units as u
import healpy as hp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal

from dmgammapy.makers.lat.livetime_cube import LivetimeCube

EDGES = [1, 0.75, 0]
CRAB = SkyCoord(83.633, 22.014, unit="deg")


def smooth_cube(nside=16, **kwargs):
    """Livetime 1000 (2 + z) and 500 (2 + x) s, of the unit vector (x, y, z) of the direction."""
    cube = LivetimeCube.create(EDGES, nside=nside, gti=[[0, 5000]], **kwargs)
    x, _, z = cube.directions.icrs.cartesian.xyz.value
    cube.data[:] = np.stack([1000 * (2 + z), 500 * (2 + x)], axis=1)
    cube.weighted[:] = 0.9 * cube.data
    return cube


def random_positions(n, seed=0):
    rng = np.random.default_rng(seed)
    return SkyCoord(
        rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n))), unit="deg"
    )


# ---- interpolation -------------------------------------------------------------------------------


@pytest.mark.parametrize("ordering", ["NESTED", "RING"])
@pytest.mark.parametrize("frame", ["icrs", "galactic"])
def test_interp(ordering, frame):
    cube = smooth_cube(64, ordering=ordering, frame=frame)
    position = random_positions(500)
    x, _, z = position.cartesian.xyz.value
    expected = np.stack([1000 * (2 + z), 500 * (2 + x)], axis=1)
    livetime, weighted = cube.interp(position)
    assert_allclose(livetime, expected, rtol=1e-3)
    assert_allclose(weighted, 0.9 * livetime, rtol=1e-12)
    nearest, _ = cube.interp(position, "nearest")
    assert_allclose(nearest, expected, rtol=0.02)
    assert np.abs(nearest - expected).max() > 5 * np.abs(livetime - expected).max()
    assert_allclose(cube.interp(cube.directions[17])[0][0], cube.data[17], rtol=1e-9)


def test_interp_is_healpys(test_data):
    """Interpolation of a published cube against that of its map in RING order."""
    cube = LivetimeCube.read(test_data / "lat" / "reference" / "ltcube.fits.gz")
    ring = hp.reorder(cube.data[:, 12], n2r=True)
    position = random_positions(200, seed=4)
    expected = hp.get_interp_val(ring, position.ra.deg, position.dec.deg, lonlat=True)
    assert_allclose(cube.interp(position)[0][:, 12], expected, rtol=1e-12)


@pytest.mark.parametrize("dec", [-90, -89, -42, 0, 41.8, 66, 90])
@pytest.mark.parametrize("nside", [4, 64])
def test_part_of_the_sky_reaches_to_its_radius(nside, dec):
    centre, radius = SkyCoord(200, dec, unit="deg"), 3 * u.deg
    cube = LivetimeCube.create(EDGES, nside=nside, position=centre, radius=radius)
    rng = np.random.default_rng(1)
    places = centre.directional_offset_by(rng.uniform(0, 360, 500) * u.deg, radius)
    livetime, _ = cube.interp(places)
    assert livetime.shape == (500, 2)


def test_outside_of_the_part_of_the_sky():
    cube = LivetimeCube.create(EDGES, nside=64, position=CRAB, radius=3 * u.deg)
    places = SkyCoord([83.633, 260.05], [22.014, 57.92], unit="deg")
    with pytest.raises(ValueError, match=r"RA, Dec = 260.0500, 57.9200 deg \(1 of 2 positions\)"):
        cube.interp(places)


def test_list_of_directions():
    places = SkyCoord([10, 20, 30], [0, 0, 0], unit="deg")
    cube = LivetimeCube([[1, 2], [3, 4], [5, 6]], EDGES, directions=places)
    near = SkyCoord(20.05, 0, unit="deg")
    assert_array_equal(cube.interp(near)[0], [[3, 4]])
    assert cube.interp(near)[1] is None
    with pytest.raises(ValueError, match="nearest is 0.05 deg away"):
        cube.interp(near, tolerance=1 * u.arcsec)


# ---- sums and scaling ----------------------------------------------------------------------------


def test_scaled():
    cube = smooth_cube(1)
    cube.meta["livetime"] = 4000.0
    half = cube.scaled(0.5)
    assert_allclose(half.data, 0.5 * cube.data)
    assert_allclose(half.weighted, 0.5 * cube.weighted)
    assert (half.meta["livetime"], half.meta["scale"]) == (2000, 0.5)
    part = half.scaled(gti=[[100, 600]])
    assert_allclose(part.data, 0.05 * cube.data)
    assert_allclose(part.meta["scale"], 0.05)
    assert part.ontime == 500
    with pytest.raises(ValueError, match="not negative, got nan"):
        cube.scaled(np.nan)
    with pytest.raises(ValueError, match="needs a factor"):
        cube.scaled()


def test_sum():
    first, second = smooth_cube(2), smooth_cube(2)
    second.gti = second.gti + 5000
    first.meta["livetime"], second.meta["livetime"] = 4000.0, 3000.0
    both = first + second
    assert_allclose(both.data, 2 * first.data)
    assert_allclose(both.weighted, 2 * first.weighted)
    assert_allclose(both.gti, [[0, 10000]])
    assert both.meta["livetime"] == 7000
    assert_allclose(sum([first, second]).data, both.data)
    assert first.ontime == 5000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gti": [[4000, 6000]]}, "overlap, first from 4000.000 to 5000.000 s"),
        ({"gti": None}, "without good time intervals"),
        ({"zenith_max": 90.0}, "from 0 to 180 deg and from 0 to 90.0 deg"),
        ({"weighted": None}, "no weighted livetime"),
        ({"ordering": "RING"}, "same directions and bins"),
        ({"costheta_edges": [1, 0.7, 0]}, "same directions and bins"),
    ],
)
def test_sum_of_others(change, message):
    first, second = smooth_cube(1), smooth_cube(1)
    parts = {"gti": [[6000, 7000]], "weighted": second.weighted, "costheta_edges": EDGES} | change
    other = LivetimeCube(second.data, nside=1, **parts)
    before = first.copy()
    with pytest.raises(ValueError, match=message):
        first + other
    assert_array_equal(first.data, before.data)
    with pytest.raises(TypeError):
        first + 1


# ---- files ---------------------------------------------------------------------------------------


def test_read_gtltcube(test_data):
    """Numbers as in the header and first row of the file."""
    cube = LivetimeCube.read(test_data / "lat" / "reference" / "ltcube.fits.gz")
    assert (cube.nside, cube.ordering, cube.frame) == (16, "NESTED", "icrs")
    assert cube.zenith_max is None
    assert_allclose(cube.data[0, :4], [0, 0, 586.83026, 1834.2584], rtol=1e-7)
    assert_allclose(cube.costheta_edges, 1 - (np.arange(21) / 20) ** 2, rtol=0, atol=1e-15)
    assert cube.binning == "sqrt"
    assert cube.gti.shape == (15, 2)
    place = SkyCoord(45.0, 2.3880155, unit="deg")
    assert cube.directions[0].separation(place).arcsec < 1
    assert "no zenith cut" in repr(cube)


@pytest.mark.parametrize(
    "geometry",
    [
        {"nside": 4},
        {"nside": 2, "ordering": "RING", "frame": "galactic", "zenith_max": 90 * u.deg},
        {"nside": 32, "position": CRAB, "radius": 4 * u.deg},
        {"directions": random_positions(5)},
    ],
)
def test_round_trip(tmp_path, geometry):
    cube = LivetimeCube.create(EDGES, gti=[[239557417.5, 239557418.5]], **geometry)
    cube.data[:] = np.random.default_rng(0).uniform(0, 1e6, cube.data.shape)
    cube.weighted[:] = 0.9 * cube.data
    cube.meta["livetime"] = 0.875
    cube.write(tmp_path / "lt.fits")
    back = LivetimeCube.read(tmp_path / "lt.fits")
    assert back.is_aligned(cube)
    assert_array_equal(back.data, cube.data.astype("f4"))
    assert_array_equal(back.weighted, cube.weighted.astype("f4"))
    assert_array_equal(back.gti, cube.gti)
    assert back.zenith_max == cube.zenith_max
    assert back.meta["livetime"] == 0.875
    with pytest.raises(FileExistsError, match="overwrite=True"):
        cube.write(tmp_path / "lt.fits")


def test_written_file_is_like_gtltcubes(test_data, tmp_path):
    """Same tables, columns and keywords; only dates, names and sums differ."""
    path = test_data / "lat" / "reference" / "ltcube.fits.gz"
    LivetimeCube.read(path).write(tmp_path / "lt.fits")
    free = {"CHECKSUM", "DATASUM", "DATE", "CREATOR", "FILENAME", "OBSERVER", "ORIGIN", "EXTVER"}
    free |= {"TLMIN1", "TLMAX1", "TLMIN2", "TLMAX2", "TLMIN3", "TLMAX3", "HDUVERS", "VERSION"}
    free |= {"COMMENT", "DATE-OBS", "DATE-END", ""}
    with fits.open(path) as theirs, fits.open(tmp_path / "lt.fits", checksum=True) as ours:
        assert [hdu.name for hdu in ours] == [hdu.name for hdu in theirs]
        for mine, original in zip(ours, theirs, strict=True):
            for key, value in original.header.items():
                if key in free or (mine.name == "CTHETABOUNDS" and key == "HDUCLASS"):
                    continue
                found = mine.header[key]
                if isinstance(value, float):
                    assert_allclose(found, value, rtol=1e-12, err_msg=key)
                else:
                    assert found == value, key
            assert mine.header.get("DATE-OBS", "")[:19] == original.header["DATE-OBS"][:19]
            if original.data is not None:
                for name in original.columns.names:
                    assert_allclose(mine.data[name], original.data[name], rtol=1e-6, atol=2e-5)


def edited(path, target, edit):
    """Copy of a file with a change."""
    with fits.open(path) as hdus:
        hdus = fits.HDUList([hdu.copy() for hdu in hdus])
        edit(hdus)
        hdus.writeto(target)
    return target


@pytest.fixture
def cube_file(tmp_path):
    smooth_cube(2).write(tmp_path / "good.fits")
    return tmp_path / "good.fits"


def test_phi_bins(cube_file, tmp_path):
    """With PHIBINS, the first NBRBINS columns are the sum over phi (CosineBinner)."""

    def add_phi(hdus):
        for name in ("EXPOSURE", "WEIGHTED_EXPOSURE"):
            data = hdus[name].data["COSBINS"]
            both = np.concatenate([data, 0.25 * data, 0.75 * data], axis=1)
            columns = [fits.Column("COSBINS", "6E", array=both), *hdus[name].columns[1:]]
            header = hdus[name].header
            new = fits.BinTableHDU.from_columns(columns, name=name)
            for key in ("PIXTYPE", "ORDERING", "COORDSYS", "NSIDE", "COSMIN", "ZENMAX"):
                if key in header:
                    new.header[key] = header[key]
            new.header["PHIBINS"] = 2
            hdus[name] = new

    cube = LivetimeCube.read(edited(cube_file, tmp_path / "phi.fits", add_phi))
    assert_array_equal(cube.data, LivetimeCube.read(cube_file).data)
    assert cube.meta["phi_bins_averaged"] == 2


def set_key(key, value):
    def edit(hdus):
        hdus["EXPOSURE"].header[key] = value

    return edit


def set_nan(hdus):
    hdus["EXPOSURE"].data["COSBINS"][5, 1] = np.nan


def swap_bounds(hdus):
    hdus["CTHETABOUNDS"].data["CTHETA_MAX"][1] = 0.5


def drop_bounds(hdus):
    del hdus["CTHETABOUNDS"]


def drop_rows(hdus):
    hdus["EXPOSURE"].data = hdus["EXPOSURE"].data[:40]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (set_key("PIXTYPE", "CAR"), "PIXTYPE must be HEALPIX, found 'CAR'"),
        (set_key("ORDERING", "SPIRAL"), "found 'SPIRAL'"),
        (set_key("NSIDE", 3), "power of two"),
        (set_key("NSIDE", 4), "48 rows, expected 192"),
        (set_key("NSIDE", "two"), "NSIDE must be a number, found 'two'"),
        (set_key("PHIBINS", 3), r"hold 8 values per direction .*PHIBINS = 3.*found \(2,\)"),
        (set_nan, r"\[EXPOSURE\], row 6: livetime must be finite"),
        (swap_bounds, "contiguous and descend"),
        (drop_bounds, "no extension CTHETABOUNDS"),
        (drop_rows, "40 rows, expected 48"),
    ],
)
def test_files_of_other_layout(cube_file, tmp_path, edit, message):
    with pytest.raises(ValueError, match=message):
        LivetimeCube.read(edited(cube_file, tmp_path / "bad.fits", edit))


@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_cut_file(cube_file, tmp_path, kept):
    content = cube_file.read_bytes()
    (tmp_path / "cut.fits").write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match="cut.fits"):
        LivetimeCube.read(tmp_path / "cut.fits")


def test_cut_gzip_file(test_data, tmp_path):
    path = test_data / "lat" / "reference" / "ltcube.fits.gz"
    shutil.copy(path, tmp_path / "cut.fits.gz")
    content = path.read_bytes()
    (tmp_path / "cut.fits.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="cut.fits.gz"):
        LivetimeCube.read(tmp_path / "cut.fits.gz")


def test_absent_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        LivetimeCube.read(tmp_path / "no.fits")


def test_foreign_file(test_data):
    with pytest.raises(ValueError, match="no extension EXPOSURE.*a livetime cube"):
        LivetimeCube.read(test_data / "lat" / "reference" / "ft1.fits.gz")


# ---- the object ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"data": np.zeros((11, 2)), "nside": 1}, r"shape \(12, 2\).*got \(11, 2\)"),
        ({"data": np.zeros((12, 2)), "nside": 1, "weighted": np.zeros((12, 3))}, "weighted must"),
        ({"data": np.zeros((12, 2))}, "either nside"),
        ({"data": np.zeros((12, 2)), "nside": 1, "costheta_edges": [0, 0.75, 1]}, "must descend"),
        ({"data": np.zeros((2, 2)), "nside": 1, "pixels": [3, 2]}, "pixels must ascend"),
        ({"data": np.zeros((2, 2)), "nside": 1, "pixels": [3, 12]}, "0 ... 11"),
        ({"data": np.zeros((12, 2)), "nside": 1, "zenith_max": 0}, "must be positive"),
        ({"data": np.zeros((12, 2)), "nside": 1, "frame": "fk4"}, "frame one of"),
    ],
)
def test_bad_cubes(kwargs, message):
    with pytest.raises(ValueError, match=message):
        LivetimeCube(**{"costheta_edges": EDGES} | kwargs)


def test_copy_shares_nothing():
    cube = smooth_cube(1)
    other = cube.copy()
    other.data[:] = other.gti[:] = 0
    other.meta["scale"] = 2
    assert cube.data.min() > 0
    assert cube.ontime == 5000
    assert cube.meta == {}


def test_plots():
    cube = smooth_cube(4)
    ax = cube.plot(position=SkyCoord([83.6, 10], [22, 0], unit="deg"))
    # the area under the steps is the livetime
    for patch, livetime in zip(
        ax.patches, cube.interp(SkyCoord([83.6, 10], [22, 0], unit="deg"))[0], strict=True
    ):
        values, edges, _ = patch.get_data()
        assert_allclose(np.sum(values * np.diff(edges)) * 86400, livetime.sum())
    image = cube.plot().collections[0]
    # northern sky is live longer: 1000 (2 + z) + 500 (2 + x) has its mean of 3000 s
    lat = np.radians(np.linspace(-89.5, 89.5, 180))
    mean = np.average(image.get_array().reshape(180, 360).mean(axis=1), weights=np.cos(lat))
    assert_allclose(mean * 86400, 3000, rtol=1e-3)
    part = LivetimeCube.create(EDGES, nside=16, position=CRAB, radius=5 * u.deg, frame="galactic")
    ax = part.plot()
    assert len(ax.collections[0].get_offsets()) == len(part.data)
    plt.close("all")
