"""Pictures of `~dmgammapy.estimators.castro_cube.CastroCube`."""

from collections.abc import Mapping

__all__ = ["CastroCubePlots", "draw_map"]

NAMES = {"norm": "norm", "flux": "flux", "eflux": "energy flux", "dnde": "differential flux"}


def draw_map(image, ax=None, target=None, **kwargs):
    """Draw a 2D map with the position of a target.

    Parameters
    ----------
    image : `~gammapy.maps.WcsNDMap`
    ax : `~astropy.visualization.wcsaxes.WCSAxes`, optional
    target : `~dmgammapy.targets.Target` or dict of str to `~astropy.coordinates.SkyCoord`
    **kwargs
        Passed to `~dmgammapy.visualization.cube.plot_sky_image`.
    """
    from dmgammapy.visualization.cube import plot_sky_image

    if target is not None and not isinstance(target, Mapping):
        if target.position is None:
            raise ValueError(f"target {target.name!r} has no position to mark.")
        target = {target.name: target.position}
    kwargs.setdefault("unit", image.unit)
    return plot_sky_image(image.data, image.geom.wcs, ax=ax, markers=target, **kwargs)


class CastroCubePlots:
    """Mixin that draws the maps of a cube."""

    def plot(self, quantity="ts", energy_bin=None, ax=None, target=None, **kwargs):
        """Draw a map.

        Parameters
        ----------
        quantity : str
            ``ts`` or ``sqrt_ts`` of all bins, or with ``energy_bin`` any map that the cube has:
            ``ts, norm, norm_ul, eflux_ul, flux_ul, ...``. Default is ``ts``.
        energy_bin : int, optional
            Bin to draw.
        ax : `~astropy.visualization.wcsaxes.WCSAxes`, optional
            Default is a new one.
        target : `~dmgammapy.targets.Target` or dict of str to `~astropy.coordinates.SkyCoord`
            Places to mark.
        **kwargs
            ``log, vmin, vmax, contours, label, title``, see
            `~dmgammapy.visualization.cube.plot_sky_image`.

        Returns
        -------
        ax : `~astropy.visualization.wcsaxes.WCSAxes`
        """
        if quantity in ("ts", "sqrt_ts") and energy_bin is None:
            return self.plot_ts(ax, target, sqrt=quantity == "sqrt_ts", **kwargs)
        if energy_bin is None:
            raise ValueError(f"{quantity} is a map per energy bin: give energy_bin.")
        return self._plot_bin(quantity, energy_bin, ax, target, **kwargs)

    def plot_ts(self, ax=None, target=None, kind="bins", sqrt=False, **kwargs):
        """Draw the TS map.

        Parameters
        ----------
        ax, target, **kwargs
            As for `plot`.
        kind : {"bins", "reference"}
            As for `ts_map`. Default is ``bins``.
        sqrt : bool
            Draw the square root. Default is False.

        Returns
        -------
        ax : `~astropy.visualization.wcsaxes.WCSAxes`
        """
        image = self.sqrt_ts_map(kind) if sqrt else self.ts_map(kind)
        what = f"sum of {self.n_bins} bins" if kind == "bins" else "reference spectrum"
        kwargs.setdefault("label", (r"$\sqrt{\mathrm{TS}}$" if sqrt else "TS") + f", {what}")
        kwargs.setdefault("vmin", 0.0)
        return draw_map(image, ax, target, **kwargs)

    def plot_ul(self, energy_bin, quantity=None, ax=None, target=None, **kwargs):
        """Draw the upper limits of one energy bin.

        Parameters
        ----------
        energy_bin : int
        quantity : {"eflux", "flux", "dnde", "norm"}, optional
            Default is the cube's ``norm_type``.
        ax, target, **kwargs
            As for `plot`.

        Returns
        -------
        ax : `~astropy.visualization.wcsaxes.WCSAxes`
        """
        return self._plot_bin(f"{quantity or self.norm_type}_ul", energy_bin, ax, target, **kwargs)

    def _plot_bin(self, quantity, energy_bin, ax, target, **kwargs):
        if not 0 <= energy_bin < self.n_bins:
            raise ValueError(f"energy_bin must lie in 0 ... {self.n_bins - 1}, got {energy_bin}.")
        kind, _, suffix = quantity.partition("_")
        if quantity != "ts" and (kind not in NAMES or suffix not in ("", "err", "ul")):
            known = [f"{name}{end}" for name in NAMES for end in ("", "_err", "_ul")]
            raise ValueError(f"quantity must be one of ts, {', '.join(known)}; got {quantity!r}.")
        whole = getattr(self, quantity)
        image = whole.slice_by_idx({"energy": int(energy_bin)})
        words = {
            "": "Best {}",
            "err": "Error of the {}",
            "ul": f"{100 * self.cl:g} % upper limit on the {{}}",
        }
        label = "TS" if quantity == "ts" else words[suffix].format(NAMES[kind])
        low, high = self.energy_edges[energy_bin : energy_bin + 2]
        kwargs.setdefault("label", label)
        kwargs.setdefault("title", f"{low.value:.4g} - {high.value:.4g} {high.unit}")
        kwargs.setdefault("log", suffix == "ul")
        return draw_map(image, ax, target, **kwargs)
