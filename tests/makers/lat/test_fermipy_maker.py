"""Arguments of the maker from fermipy's configurations."""

import pytest
from astropy.coordinates import SkyCoord
from gammapy.maps import HpxGeom

from dmgammapy.makers.lat import LATDatasetMaker, LATEventList
from dmgammapy.makers.lat._fermipy_maker import from_fermipy, unused
from tests.makers.lat.test_fermipy_config import config, settings


def test_what_the_maker_does_not_use():
    usual = settings(gtlike={"edisp": False})
    other = settings(gtlike={"edisp": False, "bexpmap": "/a.fits"}, ltcube={"dcostheta": 0.05})
    assert unused(usual) == []
    assert [note[:2] for note in unused(usual, other, other)] == [
        ("exposure", "/a.fits"), ("livetime_costheta_step", 0.05),
    ]  # fmt: skip


@pytest.mark.parametrize(("order", "nest"), [("RING", False), ("NESTED", True)])
def test_healpix_geometry(order, nest):
    binning = {"projtype": "HPX", "hpx_order": 5, "roiwidth": 12.0, "hpx_ordering_scheme": order}
    geom = from_fermipy(settings(binning=binning | {"coordsys": "GAL"}))["geom"]
    assert (geom.is_hpx, geom.nside.tolist(), geom.nest, geom.frame) == (
        True, [32], nest, "galactic",
    )  # fmt: skip
    # the pixels with their centre in a disk, as gtbin
    pixels = geom.to_image().get_coord().skycoord
    crab = SkyCoord(83.6, 22.0, unit="deg")
    assert pixels.separation(crab).deg.max() < 6
    everything = HpxGeom.create(nside=32, nest=nest, frame="galactic").get_coord().skycoord
    assert pixels.size == (everything.separation(crab).deg < 6).sum()
    for width in (None, 180.0, 360.0):
        geom = from_fermipy(settings(binning=binning | {"roiwidth": width}))["geom"]
        assert geom.is_allsky


def test_healpix_configuration_is_reduced(test_data):
    """A whole reduction; counts are those of the events in the pixels."""
    folder = test_data / "lat"
    content = config(
        data={f"{k}file": str(folder / "reference" / f"ft{n}.fits.gz")
              for n, k in ((1, "ev"), (2, "sc"))},
        binning={"projtype": "HPX", "hpx_order": 5, "roiwidth": 8.0, "enumbins": 4},
        selection={"emin": 300, "emax": 2e4, "zmax": 90},
        gtlike={"irfs": "P8R2_SOURCE_V6"},
        ltcube={"binsz": 4},
    )  # fmt: skip
    maker = LATDatasetMaker.from_fermipy_config(content, caldb=folder / "caldb")
    (dataset,) = maker.run()
    events = LATEventList.read(content["data"]["evfile"])
    index = maker.geom.to_image().coord_to_idx({"skycoord": events.radec})[0]
    energy = events.energy.to_value("MeV")
    assert dataset.counts.data.sum() == ((index >= 0) & (energy > 300) & (energy < 2e4)).sum() > 50
    assert dataset.exposure.data.shape[1] == dataset.counts.data.shape[1]
    assert (dataset.exposure.data > 0).all()
