"""PSF kernels as Gammapy defines them, built once per distinct PSF, and their convolution."""

from collections import deque

import astropy.units as u
import numpy as np
from astropy.coordinates import angular_separation
from gammapy.datasets import evaluator as gammapy_evaluator
from gammapy.irf import PSFKernel
from gammapy.irf.psf.map import _psf_upsampling_factor
from gammapy.maps import WcsNDMap
from gammapy.utils.array import round_up_to_odd
from scipy import fft

__all__ = ["Kernel", "KernelFactory"]

# relative difference below which two radial PSF are one
SAME_PSF = 1e-12
# kernels kept, for memory: one with its transforms may take 30 MB
MAX_KERNELS = 16


class KernelFactory:
    """Kernels of a `~gammapy.irf.PSFMap` on the pixels of an exposure map.

    Equal to `~gammapy.irf.PSFMap.get_psf_kernel` with the settings of
    `~gammapy.datasets.evaluator.MapEvaluator`: the radial PSF, linear between its nodes, is
    summed over sub-pixels (at most 4 x 4), within its 99.9 % containment, and normalised to one.
    Positions where the radial PSF is the same share a kernel.

    Parameters
    ----------
    psf : `~gammapy.irf.PSFMap`
        PSF in true energy.
    geom : `~gammapy.maps.WcsGeom`
        Geometry of the exposure, shape (n_true, ny, nx).
    name : str
        Name of the dataset, for errors.

    Raises
    ------
    ValueError
        If the PSF has other energies than the exposure, or pixels are not square.
    """

    def __init__(self, psf, geom, name=""):
        n_psf = psf.psf_map.geom.axes["energy_true"].nbin
        n_true = geom.axes["energy_true"].nbin
        if n_psf != n_true:
            raise ValueError(
                f"dataset {name}: the PSF has {n_psf} true energies, expected {n_true} as the "
                "exposure; interpolate the PSF at the energies of the exposure."
            )
        scales = geom.pixel_scales.deg
        if not np.allclose(scales, scales.max(), rtol=1e-5):
            raise ValueError(
                f"dataset {name}: pixels are {scales[0]:.6g} x {scales[1]:.6g} deg, expected "
                "square ones, as Gammapy makes its kernels; make the dataset with one `binsz`."
            )
        self._psf = psf
        self._geom = geom
        self._kernels = deque(maxlen=MAX_KERNELS)
        self._last = None
        data = psf.psf_map.data.reshape(*psf.psf_map.data.shape[:2], -1)
        self._same_everywhere = bool((data == data[..., :1]).all())

    def kernel(self, position):
        """Kernel at a position, `Kernel`; None is the centre of the PSF map."""
        if self._same_everywhere and self._last is not None:
            return self._last
        psf = self._psf
        if psf.has_single_spatial_bin:
            position = self._geom.center_skydir
        elif position is None:
            position = psf.psf_map.geom.center_skydir
        position = psf._get_nearest_valid_position(position)
        table = self._radial(position)
        for known, kernel in self._kernels:
            if (np.abs(known - table) <= SAME_PSF * np.abs(table).max(axis=1)[:, None]).all():
                return kernel
        self._last = self._build(table, position)
        self._kernels.append((table, self._last))
        return self._last

    def _radial(self, position):
        """PSF at the nodes of its rad axis and the energies of the geometry, (n_true, n_rad)."""
        psf_map = self._psf.psf_map
        coords = {
            "skycoord": position,
            "rad": psf_map.geom.axes["rad"].center,
            "energy_true": self._geom.axes["energy_true"].center[:, np.newaxis],
        }
        table = psf_map.interp_by_coord(coords, method="linear")
        return np.reshape(table, (self._geom.axes["energy_true"].nbin, -1)).astype(float)

    def _build(self, table, position):
        psf, geom = self._psf, self._geom
        energy = psf.psf_map.geom.axes["energy_true"].center
        radii = psf.containment_radius(
            gammapy_evaluator.PSF_CONTAINMENT, energy_true=energy, position=position
        )
        max_radius = gammapy_evaluator.PSF_MAX_RADIUS
        max_radius = np.max(radii) if max_radius is None else u.Quantity(max_radius)
        radii = np.minimum(radii, max_radius)
        factors = np.array(_psf_upsampling_factor(psf, geom, position))
        kernel_geom = geom.to_odd_npix(max_radius=max_radius)
        image = kernel_geom.to_image()
        sizes = round_up_to_odd((2 * radii / image.pixel_scales.max()).to_value(""))
        data = np.zeros(kernel_geom.data_shape, dtype=np.float32)
        grids = {}
        for factor in np.unique(factors):
            size = int(sizes[factors == factor].max())
            grids[factor] = size, *self._rad_pixels(image, size, int(factor))
        middle = image.data_shape[0] // 2
        for plane, size, factor, values in zip(data, sizes, factors, table, strict=True):
            half = size // 2
            window = slice(middle - half, middle + half + 1)
            plane[window, window] = _sum_subpixels(values, *grids[factor], int(size), int(factor))
        kernel_map = WcsNDMap(kernel_geom, data)
        return Kernel(PSFKernel(kernel_map, normalize=True))

    def _rad_pixels(self, image, size, factor):
        """Interpolation index and weight at the sub-pixels of the western half of a kernel.

        The kernel is mirrored: east is west, for projections are symmetric about the meridian
        of their centre.
        """
        geom = image.to_odd_npix(max_radius=0.5 * (size - 0.5) * image.pixel_scales.max())
        centre = geom.center_skydir
        geom = geom.upsample(factor)
        x = np.arange((size // 2 + 1) * factor)
        y = np.arange(size * factor)
        lon, lat = np.deg2rad(geom.wcs.wcs_pix2world(*np.meshgrid(x, y), 0))
        centre = centre.data.lon.rad, centre.data.lat.rad
        rad_axis = self._psf.psf_map.geom.axes["rad"]
        rad = rad_axis.coord_to_pix(angular_separation(lon, lat, *centre) * u.rad)
        index = np.clip(rad.astype(np.intp), 0, max(rad_axis.nbin - 2, 0))
        return index, rad - index


def _sum_subpixels(values, grid_size, index, weight, size, factor):
    """Sum of the radial PSF over the sub-pixels of a kernel, shape (size, size)."""
    cut = (grid_size - size) // 2 * factor
    index = index[cut : cut + size * factor, cut:]
    weight = weight[cut : cut + size * factor, cut:]
    step = np.append(np.diff(values), 0.0)
    fine = np.maximum(values[index] + weight * step[index], 0.0)
    west = fine.reshape(size, factor, -1, factor).sum(axis=(1, 3))
    return np.concatenate([west, west[:, -2::-1]], axis=1)


class Kernel:
    """A PSF kernel, by stamps of point sources or by FFT.

    Parameters
    ----------
    psf_kernel : `~gammapy.irf.PSFKernel`
        Kernel of shape (n_true, size, size).
    """

    def __init__(self, psf_kernel):
        self.psf_kernel = psf_kernel
        # the precision in which Gammapy convolves
        self.data = psf_kernel.data.astype(np.float32)
        self.width = np.max(psf_kernel.psf_kernel_map.geom.width)
        self.half = self.data.shape[-1] // 2
        self._transform = None, None

    def stamp(self, sources, window):
        """Sum of kernels centred on pixels.

        Parameters
        ----------
        sources : list of (int, int, float)
            Row, column and weight of each source pixel.
        window : tuple of slice
            Rows and columns wanted, in the pixels of the sources.

        Returns
        -------
        values : array, shape (n_true, n_rows, n_columns)
        """
        rows, columns = window
        values = np.zeros((len(self.data), rows.stop - rows.start, columns.stop - columns.start))
        for row, column, weight in sources:
            into_rows, of_rows = _overlap(rows, row, self.half)
            into_columns, of_columns = _overlap(columns, column, self.half)
            part = self.data[:, of_rows, of_columns].astype(float)
            values[:, into_rows, into_columns] += weight * part
        return values

    def convolve(self, image):
        """Convolve as `~gammapy.maps.WcsNDMap.convolve` does, to the last bit.

        Parameters
        ----------
        image : array, shape (ny, nx) or (n_true, ny, nx)

        Returns
        -------
        values : array of float32, shape (n_true, ny, nx)
        """
        size = 2 * self.half + 1
        # one image for all energies is convolved in single precision by Gammapy
        image = image.astype(np.float32) if image.ndim == 2 else image
        ny, nx = image.shape[-2:]
        shape = tuple(fft.next_fast_len(n + size - 1, True) for n in (ny, nx))
        if self._transform[0] != shape:
            self._transform = shape, [fft.rfft2(plane, shape) for plane in self.data]
        values = np.empty((len(self.data), ny, nx), dtype=np.float32)
        planes = [image] if image.ndim == 2 else image
        for i, kernel in enumerate(self._transform[1]):
            if i < len(planes):
                transform = fft.rfft2(planes[i], shape)
            full = fft.irfft2(transform * kernel, shape)
            values[i] = full[self.half : self.half + ny, self.half : self.half + nx]
        return values


def _overlap(window, centre, half):
    """Slices into a window and into the kernel around a source pixel."""
    start = max(window.start, centre - half)
    stop = max(start, min(window.stop, centre + half + 1))
    offset = centre - half
    return slice(start - window.start, stop - window.start), slice(start - offset, stop - offset)
