"""Small regions made in the tests."""

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.datasets import Datasets, MapDataset
from gammapy.irf import EDispKernelMap, PSFMap
from gammapy.maps import Map, MapAxis, WcsGeom
from gammapy.modeling.models import (
    ConstantSpatialModel,
    PointSpatialModel,
    PowerLawNormSpectralModel,
    PowerLawSpectralModel,
    SkyModel,
    TemplateSpatialModel,
    TemplateSpectralModel,
)

POSITION = SkyCoord(120.0, 30.0, unit="deg")
SOURCES = {  # amplitude [MeV-1 cm-2 s-1 at 1 GeV], index, offsets [deg]
    "bright": (4e-12, 2.2, 0.6, 0.4),
    "middle": (8e-13, 2.0, -0.7, -0.3),
    "faint": (1e-13, 2.4, 0.2, -0.9),
}


def point_source(name):
    amplitude, index, dx, dy = SOURCES[name]
    model = SkyModel(
        PowerLawSpectralModel(
            index=index, amplitude=amplitude * u.Unit("MeV-1 cm-2 s-1"), reference="1 GeV"
        ),
        PointSpatialModel(
            lon_0=(POSITION.ra.deg + dx) * u.deg, lat_0=(POSITION.dec.deg + dy) * u.deg,
            frame="icrs",
        ),
        name=name,
    )  # fmt: skip
    for parameter in ("index", "lon_0", "lat_0"):
        model.parameters[parameter].frozen = True
    return model


def galactic():
    axis = MapAxis.from_energy_bounds(
        "0.2 GeV", "500 GeV", nbin=12, name="energy_true", node_type="center"
    )
    geom = WcsGeom.create(skydir=POSITION, width=9, binsz=0.25, axes=[axis])
    lat = geom.to_image().get_coord().lat.to_value("deg")
    energy = axis.center.to_value("GeV")[:, None, None]
    data = 3e-9 * energy**-2.5 * np.exp(-(lat - 28) / 3)
    template = Map.from_geom(geom, data=data, unit="MeV-1 cm-2 s-1 sr-1")
    return SkyModel(
        PowerLawNormSpectralModel(),
        TemplateSpatialModel(template, normalize=False),
        name="galactic",
    )


def isotropic():
    energy = np.geomspace(0.2, 500, 20) * u.GeV
    values = 2e-10 * energy.value**-2.2 * u.Unit("MeV-1 cm-2 s-1")
    spectrum = TemplateSpectralModel(energy, values) * PowerLawNormSpectralModel()
    model = SkyModel(
        spectrum, ConstantSpatialModel(),
        apply_irf={"exposure": True, "psf": False, "edisp": False}, name="isotropic",
    )  # fmt: skip
    return model


def make_models():
    return [*(point_source(name) for name in SOURCES), galactic(), isotropic()]


def make_dataset(name="one", sigma=0.25, exposure=1.5e11, n_reco=6, width=4.0):
    energy = MapAxis.from_energy_bounds("1 GeV", "64 GeV", nbin=n_reco)
    true = MapAxis.from_energy_bounds("0.5 GeV", "128 GeV", nbin=n_reco + 4, name="energy_true")
    geom = WcsGeom.create(skydir=POSITION, width=width, binsz=0.2, proj="TAN", axes=[energy])
    dataset = MapDataset(
        name=name,
        counts=Map.from_geom(geom),
        psf=PSFMap.from_gauss(true, sigma=np.geomspace(2, 0.4, true.nbin) * sigma * u.deg),
        edisp=EDispKernelMap.from_gauss(energy, true, sigma=0.1, bias=0),
    )
    wide = geom.to_image().pad(5, axis_name=None).to_cube([true])
    dataset.exposure = Map.from_geom(wide, unit="cm2 s")
    dataset.exposure.data += exposure
    return dataset


def make_datasets(seed=3, names=("one", "two"), models=None):
    """Two datasets that share models, as two event types; counts are Poisson."""
    datasets = Datasets(
        [
            make_dataset(name, sigma, exposure)
            for name, sigma, exposure in zip(names, (0.25, 0.12), (1.5e11, 0.8e11), strict=False)
        ]
    )
    datasets.models = make_models() if models is None else models
    random = np.random.default_rng(seed)
    for dataset in datasets:
        npred = np.clip(dataset.npred().data, 0, None)
        dataset.counts.data = random.poisson(npred).astype(float)
    return datasets
