"""Maps of a region: counts, residuals and test statistic."""

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.datasets import Datasets, MapDataset
from gammapy.estimators import ExcessMapEstimator, TSMapEstimator
from gammapy.maps import Map
from gammapy.modeling.models import PointSpatialModel, PowerLawSpectralModel, SkyModel
from gammapy.stats import CashCountsStatistic
from scipy.signal import fftconvolve

from ...datasets._render_geometry import offset, overlap

__all__ = ["counts_maps", "excess_maps", "residual_maps", "ts_maps"]

EDGE_RTOL = 1e-6
CONTAINMENT = 0.8  # of the PSF in the kernel of a TS map


def counts_maps(region, energy_min=None, energy_max=None):
    """Counts, predicted counts and their difference, see `ROIFit.counts_maps`."""
    geom = _image(region)
    counts, npred = np.zeros(geom.data_shape), np.zeros(geom.data_shape)
    for i in range(len(region.datasets)):
        mine, model, _ = _cubes(region, i, energy_min, energy_max)
        counts += mine.sum(axis=0)
        npred += model.sum(axis=0)
    return {
        "counts": Map.from_geom(geom, data=counts),
        "npred": Map.from_geom(geom, data=npred),
        "excess": Map.from_geom(geom, data=counts - npred),
    }


def residual_maps(region, index=2.0, energy_min=None, energy_max=None):
    r"""Significance of residuals, weighted by what a point source is expected to look like.

    With the counts :math:`k_j` that a point source with a power law leaves in the voxels (of all
    energies and datasets) around a pixel, counts :math:`n_j` and predicted counts :math:`m_j` are
    summed to :math:`C = \sum k_j n_j`, :math:`M = \sum k_j m_j`. The variance of :math:`C` is
    :math:`V = \sum k_j^2 m_j`; :math:`C M / V` is then close to a Poisson number of expectation
    :math:`M^2 / V`, and its significance that of the Cash statistic.

    Pixels closer than the PSF are correlated, so that one map has fewer independent values than
    pixels. Below about 0.03 expected counts per smoothed pixel the significance is not Gaussian.

    Parameters
    ----------
    region : `Region`
    index : float
        Of the power law. Default is 2.
    energy_min, energy_max : `~astropy.units.Quantity`, optional
        Only energy bins within.

    Returns
    -------
    maps : dict of `~gammapy.maps.WcsNDMap`
        ``"significance"``, NaN where nothing is expected; ``"counts"``, ``"npred"`` and
        ``"excess"`` are the smoothed sums, in counts of a top hat of as many effective pixels.

    References
    ----------
    The weights are those of fermipy's ``residmap``; the correction for them is by S. Fegan there.
    """
    geom = _image(region)
    total, expected, variance = (np.zeros(geom.data_shape) for _ in range(3))
    for i in range(len(region.datasets)):
        counts, npred, seen = _cubes(region, i, energy_min, energy_max)
        kernels = _point_kernels(region, i, index)[seen]
        for mine, model, kernel in zip(counts, npred, kernels, strict=True):
            total += _correlate(mine, kernel)
            expected += _correlate(model, kernel)
            variance += _correlate(model, kernel**2)
    # what is left by Fourier transforms where nothing is near
    good = (expected > 1e-9 * expected.max()) & (variance > 0)
    scale = np.divide(expected, variance, out=np.zeros_like(expected), where=good)
    counts, npred = np.maximum(total, 0) * scale, expected * scale
    sigma = np.full(geom.data_shape, np.nan)
    sigma[good] = CashCountsStatistic(counts[good], npred[good]).sqrt_ts
    return {
        "significance": Map.from_geom(geom, data=sigma),
        "counts": Map.from_geom(geom, data=counts),
        "npred": Map.from_geom(geom, data=npred),
        "excess": Map.from_geom(geom, data=counts - npred),
    }


def excess_maps(region, correlation_radius, energy_min=None, energy_max=None, **kwargs):
    """Excess within a radius by Gammapy, see `ROIFit.excess_maps`."""
    _image(region)
    stacked = None
    for i, dataset in enumerate(_null_datasets(region, energy_min, energy_max)):
        if stacked is None:
            stacked = dataset
            continue
        _same_energies(region, i)
        stacked.counts.data += dataset.counts.data
        stacked.background.data += dataset.background.data
        stacked.mask_safe.data |= dataset.mask_safe.data
    # a flux needs one energy dispersion, and none is right for the sum
    stacked.exposure = stacked.edisp = stacked.psf = None
    estimator = ExcessMapEstimator(
        correlation_radius=correlation_radius, sum_over_energy_groups=True, **kwargs
    )
    return estimator.run(stacked)


def ts_maps(region, index=2.0, energy_min=None, energy_max=None, **kwargs):
    """Test statistic of one more source by Gammapy, see `ROIFit.ts_maps`."""
    _image(region)
    kwargs.setdefault("kernel_model", _point_source(index, None))
    kwargs.setdefault("sum_over_energy_groups", False)
    datasets = Datasets(_null_datasets(region, energy_min, energy_max))
    axis = datasets[0].counts.geom.axes["energy"]
    kwargs.setdefault("energy_edges", axis.edges[[0, -1]])
    kwargs.setdefault("kernel_width", _kernel_width(datasets))
    return TSMapEstimator(**kwargs).run(datasets)


def _image(region):
    """Geometry of the image that all datasets share."""
    geoms = [dataset.counts.geom.to_image() for dataset in region.datasets]
    for dataset, geom in zip(region.datasets, geoms, strict=True):
        if geom.is_region:
            raise ValueError(f"dataset {dataset.name!r} has a spectrum, no map to draw.")
        if geom != geoms[0]:
            raise ValueError(
                f"dataset {dataset.name!r} has other pixels than {region.datasets[0].name!r}; "
                "maps of the sum need the same."
            )
    return geoms[0]


def _same_energies(region, i):
    axes = [region.datasets[k].counts.geom.axes["energy"] for k in (0, i)]
    if axes[0] != axes[1]:
        raise ValueError(
            f"dataset {region.datasets[i].name!r} has other energy bins than "
            f"{region.datasets[0].name!r}; their sum needs the same."
        )


def _seen(terms, energy_min, energy_max):
    """Energy bins within, slice."""
    low = -np.inf if energy_min is None else u.Quantity(energy_min).to_value("GeV")
    high = np.inf if energy_max is None else u.Quantity(energy_max).to_value("GeV")
    inside = (terms.edges[:-1] >= low * (1 - EDGE_RTOL)) & (
        terms.edges[1:] <= high * (1 + EDGE_RTOL)
    )
    if not inside.any():
        raise ValueError(
            f"dataset {terms.name!r}: no energy bin lies within {energy_min} and {energy_max}; "
            f"they go from {terms.edges[0]:.4g} to {terms.edges[-1]:.4g} GeV."
        )
    first, last = np.flatnonzero(inside)[[0, -1]]
    return slice(int(first), int(last) + 1)


def _cubes(region, i, energy_min, energy_max):
    """Counts and predicted counts of one dataset, masked, and its energy bins."""
    terms = region.terms[i]
    seen = _seen(terms, energy_min, energy_max)
    shape = region.renderers[i].shape
    used = terms.weight > 0
    counts = np.where(used, terms.counts, 0.0).reshape(shape)[seen]
    npred = np.where(used, np.maximum(region.total(i), 0.0), 0.0).reshape(shape)[seen]
    return counts, npred, seen


def _point_source(index, position):
    spectrum = PowerLawSpectralModel(
        index=index, amplitude="1e-13 cm-2 s-1 MeV-1", reference="1 GeV"
    )
    spatial = PointSpatialModel()
    if position is not None:
        spatial.position = position
    return SkyModel(spectrum, spatial, name="point-source")


def _point_kernels(region, i, index):
    """Counts of a point source in the middle pixel, (n_energy, odd, odd)."""
    geom = region.datasets[i].counts.geom.to_image()
    ny, nx = geom.data_shape
    y, x = ny // 2, nx // 2
    position = SkyCoord(*geom.pix_to_coord((x, y)), frame=geom.frame)
    renderer = region.renderers[i]
    npred = renderer.npred(_point_source(index, position.icrs))
    half = min(y, x, ny - 1 - y, nx - 1 - x)
    return npred[:, y - half : y + half + 1, x - half : x + half + 1]


def _correlate(image, kernel):
    return fftconvolve(image, kernel[::-1, ::-1], mode="same")


def _null_datasets(region, energy_min, energy_max):
    """Datasets whose background is all that the models predict, for Gammapy's estimators."""
    out = []
    for i, dataset in enumerate(region.datasets):
        counts, npred, seen = _cubes(region, i, energy_min, energy_max)
        geom = dataset.counts.geom.slice_by_idx({"energy": seen})
        used = (region.terms[i].weight > 0).reshape(region.renderers[i].shape)[seen]
        null = MapDataset(
            name=dataset.name,
            counts=Map.from_geom(geom, data=counts),
            background=Map.from_geom(geom, data=npred),
            mask_safe=Map.from_geom(geom, data=used),
            exposure=_same_pixels(dataset, geom),
            psf=dataset.psf,
            edisp=_cut_edisp(dataset.edisp, seen),
            gti=dataset.gti,
        )
        out.append(null)
    return out


def _cut_edisp(edisp, seen):
    return None if not edisp else edisp.slice_by_idx({"energy": seen})


def _same_pixels(dataset, geom):
    """Exposure without the margin around the counts, as the estimators want it."""
    exposure = dataset.exposure
    first = offset(exposure.geom, geom, dataset.name)
    part, window = overlap(first, exposure.geom.data_shape[-2:], geom.data_shape[-2:])
    cut = Map.from_geom(geom.to_image().to_cube(exposure.geom.axes), unit=exposure.unit)
    cut.data[:, *window] = exposure.data[:, *part]
    return cut


def _kernel_width(datasets):
    """Width that holds most of the PSF at the lowest energy, within the image."""
    width = datasets[0].counts.geom.width.min()
    for dataset in datasets:
        if dataset.psf:
            low = dataset.counts.geom.axes["energy"].edges[0]
            radius = dataset.psf.containment_radius(CONTAINMENT, energy_true=low)
            width = min(width, 2 * np.max(radius))
    return width
