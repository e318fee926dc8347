"""Predicted counts below zero: noise of Fourier transforms, or a mistake."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from gammapy.datasets import MapDataset
from gammapy.irf import PSFMap
from gammapy.maps import Map, MapAxis, WcsGeom
from gammapy.modeling.models import (
    DiskSpatialModel,
    PointSpatialModel,
    PowerLawSpectralModel,
    SkyModel,
)

from dmgammapy.datasets import CountsLikelihood
from dmgammapy.datasets._counts_problem import DatasetTerms
from dmgammapy.estimators.roi._region import Region


def make_dataset():
    energy = MapAxis.from_energy_bounds("1 GeV", "100 GeV", nbin=3)
    true = MapAxis.from_energy_bounds("1 GeV", "100 GeV", nbin=3, name="energy_true")
    geom = WcsGeom.create(skydir=SkyCoord(0, 0, unit="deg"), npix=20, binsz=0.1, axes=[energy])
    dataset = MapDataset(
        name="field",
        counts=Map.from_geom(geom),
        background=Map.from_geom(geom),
        psf=PSFMap.from_gauss(true, sigma="0.05 deg"),
    )
    wide = geom.to_image().pad(30, axis_name=None).to_cube([true])
    dataset.exposure = Map.from_geom(wide, unit="cm2 s")
    dataset.exposure.data += 1e12
    dataset.counts.data += 2
    dataset.background.data += 2
    return dataset


def make_source(name, spatial, amplitude):
    spectrum = PowerLawSpectralModel(amplitude=amplitude * u.Unit("cm-2 s-1 GeV-1"))
    model = SkyModel(spectrum, spatial, name=name)
    for parameter in model.parameters:
        parameter.frozen = True
    return model


@pytest.mark.parametrize("amplitude", [-1e-11, -1e-18, -1e-22, -1e-30])
def test_negative_models_are_refused_however_weak(amplitude):
    dataset = make_dataset()
    source = make_source("source", PointSpatialModel(), 1e-11)
    bad = make_source("bad", PointSpatialModel(lon_0="0.3 deg"), amplitude)
    dataset.models = [source, bad]
    with pytest.raises(ValueError, match="'bad' are negative"):
        CountsLikelihood.from_datasets(dataset, source="source", free="fixed")
    with pytest.raises(ValueError, match="'bad' are negative"):
        Region(dataset).total(0)


@pytest.mark.parametrize("factor", [1.0, 1e6])
def test_noise_of_a_bright_source_outside_is_none_of_its_counts(factor):
    """The disk is 1.2 deg from the edge: what reaches the counts is rounding of transforms."""
    dataset = make_dataset()
    source = make_source("source", PointSpatialModel(), 1e-11)
    disk = DiskSpatialModel(lon_0="2.1 deg", r_0="1 deg")
    far = make_source("far", disk, 1e-7 * factor)
    dataset.models = [source, far]
    total = Region(dataset).total(0)
    assert total.min() >= 0
    likelihood = CountsLikelihood.from_datasets(dataset, source="source", free="fixed")
    assert np.isfinite(likelihood.stat_sum())


def test_peak_outside_decides():
    dataset = make_dataset()
    terms = DatasetTerms.from_dataset(dataset)
    npred = np.zeros(dataset.counts.data.shape)
    npred[0, 0, :3] = 7e-4, 1e-10, -9e-10
    with pytest.raises(ValueError, match="negative"):
        terms.clean(npred, "model 'a'")
    with pytest.raises(ValueError, match="negative"):
        terms.clean(npred, "model 'a'", lambda: 1e-5)
    cleaned = terms.clean(npred, "model 'a'", lambda: 7e-3).reshape(npred.shape)
    np.testing.assert_array_equal(cleaned[0, 0, :4], [7e-4, 0, 0, 0])
    npred[0, 0, 2] = -1e-10  # noise beside a source within, as in Gammapy
    np.testing.assert_array_equal(terms.clean(npred, "model 'a'").ravel(), npred.ravel())
