"""Models and tests of counts for simulated events of the LAT."""

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.modeling.models import (
    ConstantSpatialModel,
    PointSpatialModel,
    PowerLawSpectralModel,
    SkyModel,
)
from scipy.stats import chi2, poisson

POSITION = SkyCoord(260.05, 57.92, unit="deg")
TWO_SIDED = 1e-3


def point(name="point", amplitude=2e-9, index=2.0, position=POSITION, psf=True, edisp=True):
    return SkyModel(
        PowerLawSpectralModel(
            index=index, amplitude=amplitude * u.Unit("cm-2 s-1 MeV-1"), reference="1 GeV"
        ),
        PointSpatialModel(lon_0=position.ra, lat_0=position.dec, frame="icrs"),
        apply_irf={"exposure": True, "psf": psf, "edisp": edisp},
        name=name,
    )


def isotropic(amplitude, index=2.0, **kwargs):
    spectrum = PowerLawSpectralModel(
        index=index, amplitude=amplitude * u.Unit("cm-2 s-1 MeV-1"), reference="1 GeV"
    )
    apply_irf = {"exposure": True, "psf": False, "edisp": False, **kwargs}
    return SkyModel(spectrum, ConstantSpatialModel(), apply_irf=apply_irf, name="isotropic")


def integrated(model, energies, exposure):
    """Photons of a spectrum times an exposure [cm2 s] between energies [MeV], by trapezoid."""
    values = model.spectral_model(energies * u.MeV).to_value("cm-2 s-1 MeV-1") * exposure
    return np.trapezoid(values * energies, np.log(energies))


def assert_poisson(number, expected):
    """Number is not in the tails of its distribution."""
    tail = min(poisson.cdf(number, expected), poisson.sf(number - 1, expected))
    assert tail > 0.5 * TWO_SIDED, f"{number} of {expected:.1f} expected"


def assert_flat(counts, expected):
    """Chi-squared test of counts against expectations that sum to anything."""
    expected = np.asarray(expected) * np.sum(counts) / np.sum(expected)
    assert expected.min() > 5
    value = np.sum((counts - expected) ** 2 / expected)
    assert chi2.sf(value, len(counts) - 1) > TWO_SIDED
