"""Small counts datasets made in the tests."""

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.datasets import MapDataset, SpectrumDataset, SpectrumDatasetOnOff
from gammapy.irf import EDispKernelMap, PSFMap
from gammapy.maps import MapAxis, RegionGeom, WcsGeom
from gammapy.modeling.models import (
    FoVBackgroundModel,
    PointSpatialModel,
    PowerLawSpectralModel,
    SkyModel,
)

from dmgammapy.targets import Target

POSITION = SkyCoord(83.6, 22.0, unit="deg")
TARGET = Target("dwarf", position=POSITION, log10_jfactor=20.0, log10_jfactor_err=0.3)


def axes(n_reco=8, n_true=14):
    reco = MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", nbin=n_reco)
    true = MapAxis.from_energy_bounds("0.05 TeV", "20 TeV", nbin=n_true, name="energy_true")
    return reco, true


def map_dataset(
    name="map", sigma=0.12, sigmav=2e-24, seed=1, n_reco=8, n_true=14, width=2.0, mass="1 TeV"
):
    """Map with a neighbour, a background model and a dark matter source in the centre."""
    reco, true = axes(n_reco, n_true)
    geom = WcsGeom.create(skydir=POSITION, width=width, binsz=0.05, axes=[reco])
    dataset = MapDataset.create(geom, energy_axis_true=true, name=name)
    dataset.exposure.quantity = np.full(dataset.exposure.data.shape, 3e14) * u.Unit("cm2 s")
    dataset.psf = PSFMap.from_gauss(true, sigma=np.geomspace(0.15, 0.05, true.nbin) * u.deg)
    dataset.edisp = EDispKernelMap.from_gauss(reco, true, sigma=sigma, bias=0)
    dataset.background.data[:] = np.geomspace(2, 0.02, n_reco)[:, None, None]
    dataset.mask_safe.data[:] = True
    dataset.mask_safe.data[0, :5] = False
    neighbour = SkyModel(
        PowerLawSpectralModel(index=2.2, amplitude="6e-13 cm-2 s-1 TeV-1"),
        PointSpatialModel(lon_0="83.93 deg", lat_0="22.31 deg", frame="icrs"),
        name="neighbour",
    )
    neighbour.spectral_model.amplitude.min = 0
    for parameter in ("index", "lon_0", "lat_0"):
        neighbour.parameters[parameter].frozen = True
    background = FoVBackgroundModel(dataset_name=name)
    background.spectral_model.norm.min = 0
    source = TARGET.to_models(mass=mass, channel="b")[0]
    source.spectral_model.sigmav.value = sigmav
    dataset.models = [neighbour, background, source]
    dataset.fake(seed)
    return dataset


def on_off_dataset(name="onoff", sigmav=2e-24, seed=2, sigma=0.12, mass="1 TeV", n_reco=8):
    """ON/OFF spectrum with few counts at the highest energies."""
    reco, true = axes(n_reco)
    region = RegionGeom.create(
        f"icrs;circle({POSITION.ra.deg}, {POSITION.dec.deg}, 0.3)", axes=[reco]
    )
    plain = SpectrumDataset.create(region, energy_axis_true=true, name=name)
    plain.exposure.quantity = np.full(plain.exposure.data.shape, 3e14) * u.Unit("cm2 s")
    plain.edisp = EDispKernelMap.from_gauss(reco, true, sigma=sigma, bias=0)
    plain.mask_safe.data[:] = True
    dataset = SpectrumDatasetOnOff.from_spectrum_dataset(
        dataset=plain, acceptance=1, acceptance_off=5
    )
    source = TARGET.to_models(mass=mass, channel="b")[0]
    source.spectral_model.sigmav.value = sigmav
    dataset.models = [source]
    background = plain.counts.copy()
    background.data[:] = np.geomspace(60, 0.05, n_reco)[:, None, None]
    dataset.fake(background, random_state=seed)
    return dataset
