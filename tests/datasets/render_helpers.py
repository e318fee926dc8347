"""Small datasets and the counts that Gammapy predicts on them."""

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.data import GTI
from gammapy.datasets import MapDataset
from gammapy.irf import EDispKernelMap, EDispMap, PSFMap, RecoPSFMap
from gammapy.maps import Map, MapAxis, WcsGeom
from gammapy.modeling.models import PointSpatialModel, PowerLawSpectralModel, SkyModel

CENTRE = SkyCoord(83.6, 22.0, unit="deg")
ENERGY = MapAxis.from_energy_bounds("1 TeV", "10 TeV", nbin=3)
ENERGY_TRUE = MapAxis.from_energy_bounds("0.5 TeV", "20 TeV", nbin=6, name="energy_true")
RAD = MapAxis.from_bounds(0, 0.6, nbin=120, unit="deg", name="rad")


def map_dataset(psf="gauss", edisp="kernel", margin=0.0, proj="CAR", width=2.0):
    """Dataset of 0.1 deg pixels with a gradient in exposure and one second per second of GTI."""
    geom = WcsGeom.create(skydir=CENTRE, binsz=0.1, width=width, proj=proj, axes=[ENERGY])
    wide = WcsGeom.create(
        skydir=CENTRE, binsz=0.1, width=width + 2 * margin, proj=proj, axes=[ENERGY_TRUE]
    )
    shape = wide.data_shape
    slope = 1 + 0.02 * np.arange(shape[1])[:, np.newaxis] + 0.01 * np.arange(shape[2])
    exposure = 1e13 * slope * np.arange(1, shape[0] + 1)[:, np.newaxis, np.newaxis]
    dataset = MapDataset(
        counts=Map.from_geom(geom, data=1.0),
        exposure=Map.from_geom(wide, data=exposure, unit="cm2 s"),
        background=Map.from_geom(geom, data=0.5),
        psf=make_psf(psf, geom),
        edisp=make_edisp(edisp, geom),
        gti=GTI.create("0 s", "100 s", reference_time="2020-01-01"),
        name="small",
    )
    return dataset


def make_psf(kind, geom):
    """PSF: Gaussian everywhere, growing across the map, at one position, or of reco energy."""
    sigma = [0.2, 0.16, 0.12, 0.1, 0.08, 0.07] * u.deg
    if kind == "gauss":
        return PSFMap.from_gauss(ENERGY_TRUE, rad_axis=RAD, sigma=sigma)
    if kind == "gradient":
        psf = PSFMap.from_gauss(ENERGY_TRUE, RAD, sigma, geom=geom.to_image().to_binsz(0.5))
        growth = 1 + 0.2 * np.arange(psf.psf_map.data.shape[-1])
        psf.psf_map.data *= np.exp(-growth * (RAD.center.value / 0.3)[:, np.newaxis, np.newaxis])
        return psf
    if kind == "single":
        centre = geom.to_image().to_cube([RAD, ENERGY_TRUE]).center_skydir
        return PSFMap.from_gauss(ENERGY_TRUE, RAD, sigma).to_region_nd_map(centre)
    if kind == "reco":
        return RecoPSFMap.from_gauss(ENERGY, rad_axis=RAD, sigma=0.1 * u.deg)
    return None


def make_edisp(kind, geom):
    """Energy dispersion: one kernel everywhere, or from migration with a gradient in sigma."""
    if kind == "kernel":
        return EDispKernelMap.from_gauss(ENERGY, ENERGY_TRUE, sigma=0.15, bias=0.05)
    if kind == "migra":
        migra = MapAxis.from_bounds(0.2, 5, nbin=160, name="migra", node_type="edges")
        image = geom.to_image().to_binsz(0.5)
        cube = EDispMap.from_geom(image.to_cube([migra, ENERGY_TRUE]))
        width = 0.1 + 0.02 * np.arange(cube.edisp_map.data.shape[-1])
        pull = (migra.center.value[:, np.newaxis, np.newaxis] - 1) / width
        data = np.exp(-0.5 * pull**2) / (width * np.sqrt(2 * np.pi)) + 0 * cube.edisp_map.data
        cube.edisp_map.data = data
        return cube
    return None


def point(lon, lat, index=2.2, name="source", **kwargs):
    """Point source at an offset from the centre [deg]."""
    position = CENTRE.spherical_offsets_by(lon * u.deg, lat * u.deg)
    return SkyModel(
        PowerLawSpectralModel(index=index, amplitude="3e-12 cm-2 s-1 TeV-1"),
        PointSpatialModel(lon_0=position.ra, lat_0=position.dec, frame="icrs"),
        name=name,
        **kwargs,
    )


def gammapy_npred(dataset, model):
    """Counts that Gammapy predicts, on a copy of the dataset."""
    copy = dataset.copy(name=dataset.name)
    copy.models = [model]
    return copy.npred_signal([model.name]).data


def assert_peak_close(got, expected, tolerance):
    """Equality within a fraction of the highest expected value."""
    assert expected.max() > 0
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= tolerance * expected.max()
