"""Energy dispersion at the positions of models, looked up once."""

import numpy as np
from gammapy.irf import EDispKernel

__all__ = ["EDispLookup"]


class EDispLookup:
    """Energy dispersion kernels of a dataset.

    Where the map holds the same kernel everywhere, all positions share it.

    Parameters
    ----------
    edisp : `~gammapy.irf.EDispKernelMap` or `~gammapy.irf.EDispMap`, optional
        Energy dispersion; without, energies are reconstructed as they are.
    energy_axis_true, energy_axis : `~gammapy.maps.MapAxis`
        True energy of the exposure, energy of the counts.
    """

    def __init__(self, edisp, energy_axis_true, energy_axis):
        self._edisp = edisp
        self._axes = {"energy_axis_true": energy_axis_true, "energy_axis": energy_axis}
        self._kernels = {}
        self._diagonal = None
        self._same_everywhere = True
        if edisp:
            data = edisp.edisp_map.data
            data = data.reshape(*data.shape[:2], -1)
            self._same_everywhere = bool((data == data[..., :1]).all())

    def kernel(self, position):
        """Kernel at a position, `~gammapy.irf.EDispKernel`; None without energy dispersion."""
        if not self._edisp:
            return None
        if self._same_everywhere or position is None:
            key = None
        else:
            key = position.icrs.ra.deg, position.icrs.dec.deg
        if key not in self._kernels:
            self._kernels[key] = self._edisp.get_edisp_kernel(
                position=position, energy_axis=self._axes["energy_axis"]
            )
        return self._kernels[key]

    def matrix(self, model):
        """Energy dispersion that a model goes through, array (n_true, n_reco)."""
        kernel = self.kernel(model.position) if model.apply_irf["edisp"] else None
        if kernel is None:
            if self._diagonal is None:
                self._diagonal = EDispKernel.from_diagonal_response(**self._axes)
            kernel = self._diagonal
        return np.asarray(kernel.pdf_matrix, dtype=float)
