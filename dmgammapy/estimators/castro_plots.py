"""Plot methods of `~dmgammapy.estimators.CastroMaps`."""

import numpy as np

from .castro_ensemble import band_pairs

__all__ = ["CastroPlots"]

FAR_STAT = 50.0
VIEW_BELOW, VIEW_ABOVE = 1e-3, 30.0  # of the limit


class CastroPlots:
    """Mixin with the plots; they call the functions of `dmgammapy.visualization`."""

    def _one_channel(self, channel):
        """The result for a single channel."""
        if self.geom.axes.names != ["mass", "channel"]:
            raise ValueError(
                f"plots need the axes mass and channel only, got {self.geom.axes.names}; "
                "use iter_by_axis."
            )
        if channel is None:
            if len(self.channels) > 1:
                raise ValueError(f"which channel? Give one of {self.channels}.")
            channel = self.channels[0]
        return self.slice_by_coord({"channel": channel})

    def plot_stat(self, channel=None, ax=None, **kwargs):
        """Plot the rise of ``stat`` in mass and signal strength, with the upper limit over it.

        Parameters
        ----------
        channel : str, optional
            Needed if there are several.
        ax : `~matplotlib.axes.Axes`, optional
        **kwargs
            Passed to `dmgammapy.visualization.plot_stat_map`.

        Returns
        -------
        ax : `~matplotlib.axes.Axes`
        """
        from dmgammapy.spectra import channel_latex
        from dmgammapy.visualization import plot_stat_map

        one = self._one_channel(channel)
        # every mass has its own grid: bring them to one
        scan = one.strength_scan[0]
        unit = scan.unit
        informative = ~one.is_empty[0]
        if not informative.any():
            raise ValueError(f"channel {one.channels[0]}: no information at any mass.")
        low, high = scan.value[informative, 1].min(), scan.value[informative, -1].max()
        limit = one.strength_ul.quantity[0, :, 0, 0]
        if np.isfinite(limit).any():
            low = max(low, np.nanmin(limit.value) / 1e3)
            high = min(high, np.nanmax(limit.value) * 1e2)
        grid = np.geomspace(low, high, 400)
        stat = np.full((len(one.masses), len(grid)), np.nan)
        for i in np.flatnonzero(informative):
            last = one.delta_stat[0, i, -1]
            beyond = last if last > FAR_STAT else np.nan  # off the colour scale anyway
            stat[i] = np.interp(grid, scan.value[i], one.delta_stat[0, i], right=beyond)
        ax = plot_stat_map(one.masses, grid * unit, stat, ul=limit, ax=ax, **kwargs)
        ax.set_title(f"{self.meta.about}, {channel_latex(one.channels[0])}")
        return ax

    def plot_limits(
        self, channel=None, ax=None, thermal_relic=True, published=None, label=None, **kwargs
    ):
        """Plot the upper limit against mass.

        Parameters
        ----------
        channel : str or list of str, optional
            Default is all channels.
        ax : `~matplotlib.axes.Axes`, optional
        thermal_relic : bool
            Draw the thermal relic cross-section (annihilation only). Default is True.
        published : table, path or list of them, optional
            Published limits: tables or files `dmgammapy.estimators.io.read_published_limits`
            reads.
        label : str, optional
            Put before the channel in the legend.
        **kwargs
            Passed to `dmgammapy.visualization.plot_limits`.

        Returns
        -------
        ax : `~matplotlib.axes.Axes`
        """
        from dmgammapy.spectra import channel_latex
        from dmgammapy.visualization import plot_limits

        from .io import published_curves

        names = self.channels if channel is None else channel
        names = [names] if isinstance(names, str) else list(names)
        curves = {}
        for name in names:
            one = self._one_channel(name)
            text = channel_latex(name) if label is None else f"{label}, {channel_latex(name)}"
            values = one.strength_ul if self.process == "annihilation" else one.tau_ll
            curves[text] = (
                one.masses, values.quantity[0, :, 0, 0], one.status.data[0, :, 0, 0],
            )  # fmt: skip
        annihilation = self.process == "annihilation"
        ax = plot_limits(
            curves,
            thermal_relic=thermal_relic and annihilation,
            published=published_curves(published, self.process),
            ax=ax,
            **kwargs,
        )
        if not annihilation:
            ax.set_ylabel(r"$\tau$ lower limit [s]")
        ax.set_title(f"{self.meta.about}, {100 * self.meta.cl:g} % CL")
        return ax

    def plot_bands(self, observed=None, channel=None, axes=None, truth=None, **kwargs):
        """Plot expected limits: median, 68 and 95 % bands, and what was observed.

        Parameters
        ----------
        observed : `CastroMaps`, optional
            Result of the data, with the same masses.
        channel : str or list of str, optional
            A panel each. Default is all.
        axes : `~matplotlib.axes.Axes` or array of them, optional
        truth : tuple of `~astropy.units.Quantity`, optional
            Mass and strength of an injected signal.
        **kwargs
            Passed to `dmgammapy.visualization.plot_limit_bands`.

        Returns
        -------
        axes : `~matplotlib.axes.Axes` or array of them
            One for a single channel.

        Raises
        ------
        ValueError
            If this is no result with a quantile axis, symmetric around 0.5.
        """
        from dmgammapy.spectra import channel_latex
        from dmgammapy.visualization import plot_limit_bands, plot_limit_panels

        if self.geom.axes.names != ["mass", "channel", "quantile"]:
            raise ValueError(
                f"plot_bands needs the axes mass, channel and quantile, got "
                f"{self.geom.axes.names}; quantiles() makes bands of an ensemble."
            )
        if observed is not None:
            self.check_compatible(observed)
        annihilation = self.process == "annihilation"
        names = self.channels if channel is None else channel
        names = [names] if isinstance(names, str) else list(names)
        panels = {}
        for name in names:
            one = self.slice_by_coord({"channel": name})
            limit = one.strength_ul if annihilation else one.tau_ll
            panel = {"masses": one.masses} | _bands(
                one.geom.axes["quantile"].center.value, limit.quantity[:, 0, :, 0, 0]
            )
            if observed is not None:
                found = observed.slice_by_coord({"channel": name})
                limit = found.strength_ul if annihilation else found.tau_ll
                panel["observed"] = limit.quantity[0, :, 0, 0]
                panel["status"] = found.status.data[0, :, 0, 0]
            if truth is not None:
                panel["truth"] = truth
            panels[channel_latex(name)] = panel
        kwargs.setdefault("thermal_relic", annihilation)
        if len(panels) > 1:
            return plot_limit_panels(panels, axes=axes, **kwargs)
        ((title, panel),) = panels.items()
        ax = plot_limit_bands(**panel, ax=axes, **kwargs)
        ax.set_title(f"{self.meta.about}, {title}, {100 * self.meta.cl:g} % CL")
        return ax

    def plot_profile(self, channel=None, mass=None, ax=None, components=None):
        """Plot the rise of ``stat`` against signal strength at one mass.

        The axis goes from a thousandth of the upper limit to 30 times it, where it is scanned.

        Parameters
        ----------
        channel : str, optional
        mass : `~astropy.units.Quantity`, optional
            One of the masses; may be left out if there is one.
        ax : `~matplotlib.axes.Axes`, optional
        components : dict of `CastroMaps`, optional
            Curves to draw beside it, e.g. ``stack.target_maps``.

        Returns
        -------
        ax : `~matplotlib.axes.Axes`
        """
        from dmgammapy.spectra import channel_latex
        from dmgammapy.visualization import plot_likelihood_curves

        one = self._one_channel(channel)
        if mass is None:
            if len(one.masses) > 1:
                raise ValueError(f"which mass? Give one of {one.masses}.")
            mass = one.masses[0]
        cell = {"channel": one.channels[0], "mass": mass}
        one = one.slice_by_coord(cell)
        strength = one.strength_scan[0, 0]
        curves = {}
        for name, other in (components or {}).items():
            part = other.slice_by_coord(cell)
            curves[name] = np.interp(
                strength.value, part.strength_scan[0, 0].value, part.delta_stat[0, 0],
                right=np.nan,
            )  # fmt: skip
        ax = plot_likelihood_curves(strength, curves, total=one.delta_stat[0, 0], ax=ax)
        limit = one.strength_ul.data.item()
        if np.isfinite(limit):
            low, high = limit * VIEW_BELOW, limit * VIEW_ABOVE
            ax.set_xlim(max(low, strength.value[1]), min(high, strength.value[-1]))
        ax.set_title(f"{self.meta.about}, {channel_latex(one.channels[0])}, {mass:g}")
        return ax


def _bands(quantiles, limits):
    """Median and bands by the names of `plot_limit_bands`, as far as there are quantiles.

    An end without a number leaves a gap: the band is open there.
    """
    out = {}
    middle = np.flatnonzero(np.isclose(quantiles, 0.5))
    if middle.size:
        out["median"] = limits[middle[0]]
    bands = {}
    for content, (low, high) in band_pairs(quantiles).items():
        edges = limits[low], limits[high]
        bands[content] = np.minimum(*edges), np.maximum(*edges)
    if bands:
        out["bands"] = bands
    if not out:
        raise ValueError(f"no median and no band among the quantiles {quantiles}.")
    return out
