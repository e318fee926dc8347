"""Plots of a fitted region: `ROIPlots`."""

from ...visualization import roi as drawing
from ._source_table import position_of

__all__ = ["ROIPlots"]

N_MARKERS = 8


class ROIPlots:
    """Part of `ROIFit` that draws it; see `dmgammapy.visualization` for the functions."""

    def plot_counts_map(self, ax=None, energy_min=None, energy_max=None, markers=True, **kwargs):
        """Draw the counts.

        Parameters
        ----------
        ax : `~astropy.visualization.wcsaxes.WCSAxes`, optional
            Default is a new one.
        energy_min, energy_max : `~astropy.units.Quantity`, optional
            Only energy bins within.
        markers : bool or dict of str to `~astropy.coordinates.SkyCoord`
            Places to mark; True marks the most significant sources. Default is True.
        **kwargs
            For `~dmgammapy.visualization.roi.plot_counts_map`.

        Returns
        -------
        ax : `~astropy.visualization.wcsaxes.WCSAxes`
        """
        counts = self.counts_maps(energy_min, energy_max)["counts"]
        wcs, markers = counts.geom.wcs, self._markers(markers)
        return drawing.plot_counts_map(counts.data, wcs, ax=ax, markers=markers, **kwargs)

    def plot_model_map(self, ax=None, energy_min=None, energy_max=None, markers=True, **kwargs):
        """Draw the predicted counts; parameters as for `plot_counts_map`."""
        npred = self.counts_maps(energy_min, energy_max)["npred"]
        wcs, markers = npred.geom.wcs, self._markers(markers)
        return drawing.plot_model_map(npred.data, wcs, ax=ax, markers=markers, **kwargs)

    def plot_residual_map(
        self, ax=None, index=2.0, energy_min=None, energy_max=None, markers=True, **kwargs
    ):
        """Draw the significance of `residual_maps`; parameters as there and `plot_counts_map`.

        Where hardly any counts are expected it is no Gaussian number, see there.
        """
        sigma = self.residual_maps(index, energy_min, energy_max)["significance"]
        wcs, markers = sigma.geom.wcs, self._markers(markers)
        return drawing.plot_residual_map(sigma.data, wcs, ax=ax, markers=markers, **kwargs)

    def plot_ts_map(self, maps=None, ax=None, markers=True, **kwargs):
        """Draw the square root of the test statistic of one more source.

        Parameters
        ----------
        maps : `~gammapy.estimators.FluxMaps`, optional
            From `ts_maps`, which takes a while. Default is those of its defaults.
        ax, markers
            As for `plot_counts_map`.
        **kwargs
            For `~dmgammapy.visualization.roi.plot_ts_map`.

        Returns
        -------
        ax : `~astropy.visualization.wcsaxes.WCSAxes`
        """
        sqrt_ts = (self.ts_maps() if maps is None else maps).sqrt_ts
        wcs, markers = sqrt_ts.geom.wcs, self._markers(markers)
        return drawing.plot_ts_map(sqrt_ts.data[0], wcs, ax=ax, markers=markers, **kwargs)

    def plot_significance_histogram(
        self, ax=None, index=2.0, energy_min=None, energy_max=None, **kwargs
    ):
        """Draw how often every significance of `residual_maps` occurs.

        Parameters
        ----------
        ax : `~matplotlib.axes.Axes`, optional
            Default is the current one.
        index, energy_min, energy_max
            As for `residual_maps`.
        **kwargs
            For `~dmgammapy.visualization.roi.plot_significance_histogram`.

        Returns
        -------
        ax : `~matplotlib.axes.Axes`
        """
        sigma = self.residual_maps(index, energy_min, energy_max)["significance"]
        return drawing.plot_significance_histogram(sigma.data, ax=ax, **kwargs)

    def plot_counts_spectrum(self, dataset=None, axes=None, n_components=6, **kwargs):
        """Draw counts, predicted counts and residuals by energy.

        Parameters
        ----------
        dataset : str, optional
            Name of one dataset. Default is the sum of all.
        axes : (`~matplotlib.axes.Axes`, `~matplotlib.axes.Axes`), optional
            For counts and for residuals. Default is a new figure.
        n_components : int
            How many models are drawn apart, those that predict most; the others are summed up.
        **kwargs
            For `~dmgammapy.visualization.roi.plot_counts_spectrum`.

        Returns
        -------
        axes : (`~matplotlib.axes.Axes`, `~matplotlib.axes.Axes`)
        """
        table = self.counts_spectrum(dataset)
        first = table.colnames.index("residual") + 1
        components = {name: table[name] for name in table.colnames[first:] if table[name].any()}
        ranked = sorted(components, key=lambda name: -components[name].sum())
        shown = {name: components[name] for name in ranked[:n_components]}
        rest = ranked[n_components:]
        if rest:
            shown[f"{len(rest)} others"] = sum(components[name] for name in rest)
        edges = table["energy_min"].insert(len(table), table["energy_max"][-1])
        return drawing.plot_counts_spectrum(
            edges, table["counts"], table["npred"], shown, axes=axes, **kwargs
        )

    def plot_correlation(self, target=None, ax=None, n_max=15, **kwargs):
        """Draw the strongest correlations of a model's norm with the others.

        Parameters
        ----------
        target : str, optional
            As for `correlation`.
        ax : `~matplotlib.axes.Axes`, optional
            Default is the current one.
        n_max : int
            How many.
        **kwargs
            For `~dmgammapy.visualization.roi.plot_correlation`.

        Returns
        -------
        ax : `~matplotlib.axes.Axes`
        """
        table = self.correlation(target)
        rows = table[:n_max]
        return drawing.plot_correlation(
            list(rows["name"]), rows["correlation"], separation=rows["separation"].quantity,
            target=table.meta["target"], ax=ax, **kwargs,
        )  # fmt: skip

    def _markers(self, markers):
        if markers is True:
            return self._bright_positions()
        return markers or None

    def _bright_positions(self):
        """Positions of the most significant sources in the image, and of the target."""
        geom = self.datasets[0].counts.geom.to_image()
        found, models = {}, self.models
        names = list(self.to_table()["name"])
        if self.target in names:
            names = [self.target, *(name for name in names if name != self.target)]
        for name in names:
            position = position_of(models[name])
            if position is not None and len(found) < N_MARKERS and geom.contains(position).all():
                found[name] = position
        return found
