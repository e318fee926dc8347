"""What a dataset records of a model, per unit flux in each true-energy bin."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np

__all__ = ["Response"]


@dataclass(frozen=True, eq=False)
class Response:
    """Response of a dataset to one spatial model: predicted counts are linear in its fluxes.

    ``npred[r, y, x] = sum_t fluxes[t] values[t, y, x] edisp[t, r]``

    Parameters
    ----------
    values : array, shape (n_true, n_rows, n_columns)
        Exposure times the PSF-convolved spatial model integrated over pixels
        [the unit inverse to ``flux_unit``], on a stamp of the counts image.
    edisp : array, shape (n_true, n_reco)
        Energy dispersion at the model's position.
    window : tuple of slice
        Rows and columns of the stamp in the counts image.
    shape : tuple of int
        Shape of the counts, (n_reco, ny, nx).
    energy_edges : `~astropy.units.Quantity`, shape (n_true + 1,)
        Edges of the true energy bins.
    flux_unit : `~astropy.units.Unit`
        Unit of the fluxes; cm-2 s-1, or none for models that bypass the exposure.
    name : str
        Name of the model.

    Examples
    --------
    Two true bins seen in one reconstructed bin, on two pixels of a 1 x 3 image:

    >>> import astropy.units as u
    >>> import numpy as np
    >>> from dmgammapy.datasets._render_response import Response
    >>> response = Response(
    ...     values=np.array([[[1e10, 3e10]], [[2e10, 4e10]]]), edisp=np.array([[0.5], [1.0]]),
    ...     window=(slice(0, 1), slice(1, 3)), shape=(1, 1, 3),
    ...     energy_edges=[1, 10, 100] * u.GeV,
    ... )
    >>> response.npred(np.array([2e-10, 1e-10]))
    array([[[0., 3., 7.]]])
    """

    values: np.ndarray
    edisp: np.ndarray
    window: tuple
    shape: tuple
    energy_edges: u.Quantity
    flux_unit: u.UnitBase = u.Unit("cm-2 s-1")
    name: str = ""

    @property
    def slices(self):
        """Index of the stamp in a counts array, ``(..., rows, columns)``."""
        return (Ellipsis, *self.window)

    def fluxes(self, spectral_model):
        """Integral of a spectral model in each true energy bin, array (n_true,) [flux_unit].

        Raises
        ------
        ValueError
            If an integral is not finite.
        """
        edges = self.energy_edges
        flux = u.Quantity(spectral_model.integral(edges[:-1], edges[1:]))
        flux = np.broadcast_to(flux.to_value(self.flux_unit), (len(edges) - 1,))
        bad = ~np.isfinite(flux)
        if bad.any():
            t = int(np.argmax(bad))
            raise ValueError(
                f"model {self.name}: the flux of {type(spectral_model).__name__} from "
                f"{edges[t]:.4g} to {edges[t + 1]:.4g} is {flux[t]}, expected a finite number; "
                "check its parameters and the energies it is defined for."
            )
        return flux.astype(float)

    def npred_stamp(self, fluxes):
        """Predicted counts on the stamp.

        Parameters
        ----------
        fluxes : array, shape (..., n_true)
            Flux in each true energy bin [flux_unit], such as from `fluxes`.

        Returns
        -------
        npred : array, shape (..., n_reco, n_rows, n_columns)
        """
        fluxes = np.asarray(fluxes, dtype=float)
        n_true, *stamp = self.values.shape
        n_reco = self.edisp.shape[1]
        weights = fluxes[..., np.newaxis, :] * self.edisp.T
        npred = weights.reshape(-1, n_true) @ self.values.reshape(n_true, -1)
        return npred.reshape(*fluxes.shape[:-1], n_reco, *stamp)

    def npred(self, fluxes):
        """Predicted counts on the whole counts geometry.

        Parameters
        ----------
        fluxes : array, shape (..., n_true)
            Flux in each true energy bin [flux_unit], such as from `fluxes`.

        Returns
        -------
        npred : array, shape (..., n_reco, ny, nx)
        """
        stamp = self.npred_stamp(fluxes)
        if stamp.shape[-3:] == tuple(self.shape):
            return stamp
        npred = np.zeros((*stamp.shape[:-3], *self.shape))
        npred[self.slices] = stamp
        return npred

    def at_voxels(self, voxels):
        """Response at some voxels of the counts: their counts are ``fluxes @ matrix``.

        Parameters
        ----------
        voxels : array of int, shape (n_voxels,)
            Flat indices of the counts array.

        Returns
        -------
        matrix : array, shape (n_true, n_voxels)
        """
        r, y, x = np.unravel_index(np.asarray(voxels, dtype=np.intp), self.shape)
        rows, columns = self.window
        y, x = y - rows.start, x - columns.start
        n_true, n_rows, n_columns = self.values.shape
        inside = (y >= 0) & (y < n_rows) & (x >= 0) & (x < n_columns)
        matrix = np.zeros((n_true, len(r)))
        pixel = y[inside] * n_columns + x[inside]
        values = self.values.reshape(n_true, -1)
        matrix[:, inside] = values[:, pixel] * self.edisp[:, r[inside]]
        return matrix

    def totals(self, mask=None):
        """Response summed over pixels: counts per reconstructed bin are ``fluxes @ matrix``.

        Parameters
        ----------
        mask : array, shape (n_reco, ny, nx), optional
            Voxels that count, or their weights. Default is all.

        Returns
        -------
        matrix : array, shape (n_true, n_reco)
        """
        values = self.values.reshape(len(self.values), -1)
        if mask is None:
            return values.sum(axis=1)[:, np.newaxis] * self.edisp
        mask = np.asarray(mask, dtype=float)[self.slices].reshape(self.shape[0], -1)
        return values @ mask.T * self.edisp
