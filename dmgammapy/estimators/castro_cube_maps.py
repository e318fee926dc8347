"""Maps that follow from the scans of `~dmgammapy.estimators.castro_cube.CastroCube`."""

import numpy as np
from gammapy.maps import MapAxis, WcsNDMap

from dmgammapy.datasets import _sed_estimates as estimates
from dmgammapy.datasets.scans import LikelihoodScans

from ._conversion import convert
from .castro_limits import estimate_quantities

__all__ = ["FIT_ESTIMATES", "CastroCubeMaps", "quantities_of"]

FIT_ESTIMATES = ("ts", "norm", "norm_err", "norm_errp", "norm_errn", "norm_ul")
CHUNK = 4000  # bins whose scans are interpolated together
MAP_KINDS = ("bins", "reference")


def quantities_of(profiles, cl):
    """Best fit, errors, limit and status of `LatticeProfiles`, in units of the strength.

    Parameters
    ----------
    profiles : `LatticeProfiles`
    cl : float

    Returns
    -------
    values : dict of arrays, shape (n_row,)
        ``norm, norm_err, norm_errn, norm_errp, norm_ul, ts, status``; NaN where there is none.
    """
    pivot = profiles.n_norm // 2
    nodes = np.append(0.0, 10.0 ** (profiles.step * (np.arange(profiles.n_norm) - pivot)))
    reference = 10.0 ** (profiles.step * (profiles.start + pivot))
    stat = np.concatenate([profiles.zero[:, None], profiles.values], axis=1)
    stat = np.where(profiles.empty[:, None], 0.0, stat)[None]
    extrapolated = 10.0**profiles.extrapolated / reference
    gap = 10.0**profiles.gap / reference[:, None]
    found = estimate_quantities(
        nodes, stat, profiles.empty[None], extrapolated[None], cl, gap[None]
    )
    names = ("norm", "norm_err", "norm_errn", "norm_errp", "norm_ul")
    values = {name: found[name][0] * reference for name in names}
    return values | {name: found[name][0] for name in ("ts", "status")}


def _bin_property(name, doc):
    return property(lambda self: self._bin_map(self._estimate(name)), doc=doc)


def _flux_property(kind, name, doc):
    def get(self):
        reference = self._prototype.ref(kind)
        return self._bin_map(self._estimate(name) * reference.value, reference.unit)

    return property(get, doc=doc)


class CastroCubeMaps:
    """Mixin that reads best fits, TS and limits off the scans and gives them as maps."""

    # ---- per bin -----------------------------------------------------------------------------

    def _estimate(self, name):
        """Array of (ny, nx, n_bins): as given, or computed from the scans once."""
        if name in self._given:
            return self._given[name]
        if name not in self._computed:
            self._computed |= self._estimates()
        return self._computed[name]

    def _estimates(self):
        """Best fits and limits of all bins from the scans, as `SEDLikelihoodDataset` has them."""
        n_points = self._norm_scan.shape[3]
        norm = self._norm_scan[self._mask].reshape(-1, n_points)
        stat = self._stat_scan[self._mask].reshape(-1, n_points)
        delta = estimates.delta_stat_of_upper_limit(self.cl)
        parts = []
        for first in range(0, len(norm), CHUNK):
            rows = slice(first, first + CHUNK)
            scans = LikelihoodScans(norm[rows], stat[rows], self.interpolation)
            zero = np.zeros(scans.n_bins)
            best = estimates.best_norm(scans, norm[rows], zero)
            both = scans.stat(np.column_stack([zero, best]))
            low = np.minimum(scans.norm_min, 0.0)
            upper = estimates.rise(scans, best, scans.norm_max, delta)
            errn = best - estimates.rise(scans, best, low, 1.0)
            errp = estimates.rise(scans, best, scans.norm_max, 1.0) - best
            err = np.where(np.isfinite(errn), 0.5 * (errn + errp), errp)
            parts.append((best, err, upper, np.maximum(both[:, 0] - both[:, 1], 0.0)))
        out = {}
        for name, values in zip(
            ("norm", "norm_err", "norm_ul", "ts"), zip(*parts, strict=True), strict=True
        ):
            array = np.full(self._norm_scan.shape[:3], np.nan)
            array[self._mask] = np.concatenate(values).reshape(-1, self.n_bins)
            array.setflags(write=False)
            out[name] = array
        return out

    @property
    def energy_axis(self):
        """Energy axis of the per-bin maps."""
        return MapAxis.from_energy_edges(self.energy_edges)

    def _bin_map(self, array, unit=""):
        data = np.where(self._mask[..., None], array, np.nan).transpose(2, 0, 1).copy()
        return WcsNDMap(self._geom.to_cube([self.energy_axis]), data, unit=unit)

    def _image(self, array, unit=""):
        return WcsNDMap(self._geom, np.where(self._mask, array, np.nan), unit=unit)

    norm = _bin_property("norm", "Best norm >= 0 of each bin, Map with an energy axis.")
    norm_err = _bin_property("norm_err", "1 sigma error of the norm, Map with an energy axis.")
    norm_ul = _bin_property(
        "norm_ul", "Upper limit on the norm at ``cl``, Map; NaN where it lies beyond the scan."
    )
    ts = _bin_property("ts", "TS of each bin, Map with an energy axis.")
    flux = _flux_property("flux", "norm", "Best flux of each bin, Map [cm-2 s-1].")
    flux_err = _flux_property("flux", "norm_err", "Error of the flux, Map [cm-2 s-1].")
    flux_ul = _flux_property("flux", "norm_ul", "Upper limit on the flux, Map [cm-2 s-1].")
    eflux = _flux_property("eflux", "norm", "Best energy flux, Map [MeV cm-2 s-1].")
    eflux_err = _flux_property("eflux", "norm_err", "Its error, Map [MeV cm-2 s-1].")
    eflux_ul = _flux_property("eflux", "norm_ul", "Its upper limit, Map [MeV cm-2 s-1].")
    dnde = _flux_property("dnde", "norm", "Best differential flux, Map [MeV-1 cm-2 s-1].")
    dnde_err = _flux_property("dnde", "norm_err", "Its error, Map [MeV-1 cm-2 s-1].")
    dnde_ul = _flux_property("dnde", "norm_ul", "Its upper limit, Map [MeV-1 cm-2 s-1].")

    # ---- all bins together -------------------------------------------------------------------

    def fit_map(self, name):
        """Fit of the reference spectrum to all bins together.

        Where the file or the caller gave no fit it is that of the sum of the bins' likelihoods at
        equal norm.

        Parameters
        ----------
        name : {"ts", "norm", "norm_err", "norm_errp", "norm_errn", "norm_ul"}

        Returns
        -------
        map : `~gammapy.maps.WcsNDMap`
        """
        if name not in self.fit_names:
            more = "; recompute() makes a full one from the scans" if self._given_fit else ""
            raise ValueError(
                f"name must be one of {', '.join(self.fit_names)} (the fit of this cube), got "
                f"{name!r}{more}."
            )
        if self._given_fit:
            return self._image(self._given_fit[name])
        if "fit" not in self._computed:
            self._computed["fit"] = self._fit()
        return self._image(self._computed["fit"][name])

    @property
    def fit_names(self):
        """What `fit_map` has."""
        return [name for name in FIT_ESTIMATES if not self._given_fit or name in self._given_fit]

    def _fit(self):
        keep, unit = np.ones(self.n_bins, bool), np.ones((1, self.n_bins))
        rows = []
        for iy, ix in np.argwhere(self._mask):
            scans = LikelihoodScans(
                self._norm_scan[iy, ix], self._stat_scan[iy, ix], self.interpolation
            )
            values = quantities_of(convert(scans, keep, unit, 0.0, negative=False), self.cl)
            values.pop("status")
            rows.append({name: value[0] for name, value in values.items()})
        out = {}
        for name in rows[0]:
            out[name] = np.full(self._mask.shape, np.nan)
            out[name][self._mask] = [row[name] for row in rows]
        return out

    def ts_map(self, kind="bins"):
        """Test statistic of a source at each pixel.

        Parameters
        ----------
        kind : {"bins", "reference"}
            ``bins``: sum of the TS of all bins, each with its own flux; under no signal it is
            distributed as a sum of as many variables. ``reference``: TS of the reference
            spectrum, which has one free norm. Default is ``bins``.

        Returns
        -------
        ts : `~gammapy.maps.WcsNDMap`
            NaN at masked pixels.
        """
        if kind not in MAP_KINDS:
            raise ValueError(f"kind must be one of {', '.join(MAP_KINDS)}; got {kind!r}.")
        if kind == "reference":
            return self.fit_map("ts")
        return self._image(self._estimate("ts").sum(axis=2))

    def sqrt_ts_map(self, kind="bins"):
        """Square root of `ts_map`."""
        ts = self.ts_map(kind)
        return WcsNDMap(ts.geom, np.sqrt(np.clip(ts.data, 0, None)))
