"""Result of the fit of a region of interest: `ROIFit`."""

import numpy as np
from astropy.table import Table

from ...datasets._counts_models import norm_parameter
from . import _bundle, _maps, _spectra
from ._covariance import models_of
from ._region import Region
from ._source_table import position_of, separation_of
from .plots import ROIPlots

__all__ = ["ROIFit"]


class ROIFit(ROIPlots):
    """Models of a region after their fit, and what the fit says of them.

    Made by `ROIOptimizer.run`; `write` and `read` keep it with its datasets and models.

    Attributes
    ----------
    datasets : `~gammapy.datasets.Datasets`
        What was fitted, with the models as fitted.
    sources : `~astropy.table.Table`
        One row for each model: ``name``, ``parameter`` (what scales it), ``norm``, ``norm_err``
        (NaN if it was not fitted or is at its bound), ``unit``, ``ts``, ``npred`` (counts that are
        not masked, all datasets), ``separation`` [deg] (NaN for diffuse emission), ``free``.
    steps : `~astropy.table.Table`
        One row for each fit on the way: ``step``, ``source``, ``n_pass`` (the steps are repeated),
        ``n_free``, ``stat_before``, ``stat``, ``n_iter``, ``converged``, ``message`` (why not, or
        that a shape was kept or is at its bound).
    parameters : list of str
        Names ``model.parameter`` of what was fitted together last.
    parameter_covariance : array, shape (n, n)
        Their covariance, in the units of the parameters; zero at bounds.
    stat_start, stat : float
        -2 ln L with priors, as Gammapy's ``Datasets.stat_sum``, before the first step and now.
    target : str or None
        Model that separations are from; the centre of the first dataset if None.
    """

    def __init__(
        self, datasets, sources, steps, parameters, covariance, stat_start, stat, target=None,
        region=None,
    ):  # fmt: skip
        self.datasets = datasets
        self.sources = sources
        self.steps = steps
        self.parameters = list(parameters)
        self.parameter_covariance = np.asarray(covariance, dtype=float)
        self.stat_start = stat_start
        self.stat = stat
        self.target = target
        self._rendered = region
        self._known_models = [], None

    @property
    def models(self):
        """Models of the datasets, `~gammapy.modeling.models.DatasetModels`."""
        # Gammapy makes them anew every time, which takes a second when there are many
        key = [*models_of(self.datasets), self.datasets._covariance]
        known, models = self._known_models
        if len(known) != len(key) or any(a is not b for a, b in zip(known, key, strict=True)):
            models = self.datasets.models
            self._known_models = key, models
        return models

    @property
    def covariance(self):
        """Covariance of all parameters of the models, `~gammapy.modeling.Covariance`."""
        return self.models.covariance

    @property
    def converged(self):
        """True if every step did."""
        return all(self.steps["converged"]) if len(self.steps) else True

    @property
    def region(self):
        """The rendered region, made when it is needed first."""
        if self._rendered is None:
            self._rendered = Region(self.datasets)
        return self._rendered

    def __getstate__(self):
        # large, and made again in a second
        return vars(self) | {"_rendered": None, "_known_models": ([], None)}

    # --- tables ------------------------------------------------------------------------------

    def to_table(self):
        """The table ``sources``, the most significant first, NaN last; a copy."""
        order = np.argsort(-np.nan_to_num(self.sources["ts"], nan=-np.inf), kind="stable")
        return self.sources[order]

    def parameter_table(self):
        """Fitted parameters: a table with ``name``, ``value``, ``error`` and ``unit``."""
        sigma = np.sqrt(np.diag(self.parameter_covariance))
        found = [self._parameter(name) for name in self.parameters]
        return Table(
            {
                "name": self.parameters,
                "value": [p.value for p in found],
                "error": np.where(sigma > 0, sigma, np.nan),
                "unit": [str(p.unit) for p in found],
            }
        )

    def _parameter(self, name):
        model, _, parameter = name.rpartition(".")
        return self.models[model].parameters[parameter]

    def correlation(self, target=None):
        """Correlation of a model's norm with everything that was fitted with it.

        Parameters
        ----------
        target : str, optional
            Name of the model, or of a parameter as ``model.parameter``. Default is the target.

        Returns
        -------
        table : `~astropy.table.Table`
            ``name``, ``model``, ``correlation`` and ``separation`` from the target [deg], the
            strongest correlation first. What is at a bound is not in it.

        Raises
        ------
        ValueError
            If the target was not among what was fitted last, or is at a bound.
        """
        name = self._correlated_name(target)
        sigma = np.sqrt(np.diag(self.parameter_covariance))
        k = self.parameters.index(name)
        if not sigma[k] > 0:
            raise ValueError(f"{name} is at its bound: it has no error and no correlations.")
        position = position_of(self.models[name.rpartition(".")[0]])
        rows = []
        for i, other in enumerate(self.parameters):
            if i == k or not sigma[i] > 0:
                continue
            model = other.rpartition(".")[0]
            value = self.parameter_covariance[i, k] / (sigma[i] * sigma[k])
            away = np.nan if position is None else separation_of(self.models[model], position)
            rows.append((other, model, value, away))
        rows.sort(key=lambda row: -abs(row[2]))
        names = ["name", "model", "correlation", "separation"]
        table = Table(rows=rows, names=names, dtype=[str, str, float, float])
        table["separation"].unit = "deg"
        table.meta["target"] = name
        return table

    def _correlated_name(self, target):
        target = self.target if target is None else target
        if target is None:
            raise ValueError(f"name the target, one of {self.models.names}.")
        if target in self.parameters:
            return target
        if target not in self.models.names:
            raise ValueError(f"{target!r} is no model: {self.models.names}.")
        own = [f"{target}.{p.name}" for p in self.models[target].parameters]
        fitted = [name for name in own if name in self.parameters]
        if not fitted:
            raise ValueError(
                f"no parameter of {target!r} was fitted with the others; free its norm and run "
                "the step 'all'."
            )
        norm = self.region.norm(self.models[target]) or norm_parameter(self.models[target])
        name = f"{target}.{norm.name}"
        return name if name in fitted else fitted[0]

    # --- maps and spectra --------------------------------------------------------------------

    def counts_maps(self, energy_min=None, energy_max=None):
        """Counts, predicted counts and their difference, summed over energies and datasets.

        Parameters
        ----------
        energy_min, energy_max : `~astropy.units.Quantity`, optional
            Only energy bins within.

        Returns
        -------
        maps : dict of `~gammapy.maps.WcsNDMap`
            ``"counts"``, ``"npred"``, ``"excess"``; masked voxels don't count.

        Raises
        ------
        ValueError
            If the datasets have no or different images, or no energy bin is within.
        """
        return _maps.counts_maps(self.region, energy_min, energy_max)

    def residual_maps(self, index=2.0, energy_min=None, energy_max=None):
        r"""Significance of residuals, weighted by what a point source looks like.

        With its counts :math:`k_j` in voxels of all energies and datasets, counts
        :math:`C = \sum k_j n_j` and what is predicted, :math:`M = \sum k_j m_j`, are compared as
        Poisson counts :math:`C M / V` and :math:`M^2 / V` with :math:`V = \sum k_j^2 m_j`.
        Pixels closer than the PSF are correlated. Where fewer than about 0.03 counts are expected
        per smoothed pixel (``"npred"``), no count at all or a single one decide, and the
        significance is far from a Gaussian number: include lower energies, or take wider pixels.

        Parameters
        ----------
        index : float
            Of the power law whose expected counts weigh the energies. Default is 2.
        energy_min, energy_max : `~astropy.units.Quantity`, optional
            Only energy bins within.

        Returns
        -------
        maps : dict of `~gammapy.maps.WcsNDMap`
            ``"significance"``, and smoothed ``"counts"``, ``"npred"`` and ``"excess"``.
        """
        return _maps.residual_maps(self.region, index, energy_min, energy_max)

    def excess_maps(self, correlation_radius="0.5 deg", energy_min=None, energy_max=None, **kwargs):
        """Excess within a radius, from Gammapy's `~gammapy.estimators.ExcessMapEstimator`.

        Parameters
        ----------
        correlation_radius : `~astropy.units.Quantity` or str
            Default is 0.5 deg.
        energy_min, energy_max : `~astropy.units.Quantity`, optional
            Only energy bins within.
        **kwargs
            For the estimator.

        Returns
        -------
        maps : `~gammapy.estimators.FluxMaps`
            Of the sum of all datasets in one energy bin.
        """
        return _maps.excess_maps(self.region, correlation_radius, energy_min, energy_max, **kwargs)

    def ts_maps(self, index=2.0, energy_min=None, energy_max=None, **kwargs):
        """Test statistic of one more point source, from `~gammapy.estimators.TSMapEstimator`.

        All models stay as they are. Takes a minute or so: give an ``energy_min`` and a
        ``kernel_width`` when the PSF is wide.

        Parameters
        ----------
        index : float
            Of the power law of the source. Default is 2.
        energy_min, energy_max : `~astropy.units.Quantity`, optional
            Only energy bins within.
        **kwargs
            For the estimator, such as ``kernel_width`` or ``n_jobs``.

        Returns
        -------
        maps : `~gammapy.estimators.FluxMaps`
        """
        return _maps.ts_maps(self.region, index, energy_min, energy_max, **kwargs)

    def counts_spectrum(self, dataset=None):
        """Counts and predicted counts in every energy bin, summed over pixels.

        Parameters
        ----------
        dataset : str, optional
            Name of one dataset. Default is the sum of all, which must share energy bins.

        Returns
        -------
        table : `~astropy.table.QTable`
            ``energy_min``, ``energy_max``, ``counts``, ``npred``, ``residual`` (the difference in
            units of the square root of ``npred``) and a column for each model, named after it;
            ``background`` holds what no model scales.
        """
        return _spectra.counts_spectrum(self.region, dataset)

    # --- files -------------------------------------------------------------------------------

    def write(self, path, overwrite=False):
        """Write models, covariance, datasets and results as one bundle.

        Parameters
        ----------
        path : str or `~pathlib.Path`
            A folder, or an archive if it ends in ``.zip``, ``.tar`` or ``.tar.gz``. It appears
            when it is complete. The same fit gives the same bytes.
        overwrite : bool
            Replace what is there. Default is False.

        Raises
        ------
        FileExistsError
            If it exists, or to overwrite a folder that is no bundle.
        """
        _bundle.write(self, path, overwrite)

    @classmethod
    def read(cls, path, check=True):
        """Read what `write` has written.

        Parameters
        ----------
        path : str or `~pathlib.Path`
        check : bool
            Predict the counts of what was read, which `region` needs anyway, and compare -2 ln L
            to that when it was written. Default is True.

        Returns
        -------
        fit : `ROIFit`

        Raises
        ------
        FileNotFoundError
            If nothing is there.
        ValueError
            If it is no bundle, parts are missing, damaged or point outside of an archive, or
            -2 ln L is another than when it was written.
        """
        return cls(**_bundle.read(path, check))

    def __repr__(self):
        ok = "" if self.converged else f", {int((~self.steps['converged']).sum())} not converged"
        lines = [
            f"ROIFit: {len(self.sources)} models on {', '.join(self.datasets.names)}; "
            f"{len(self.parameters)} parameters fitted together",
            f"-2 ln L from {self.stat_start:.2f} to {self.stat:.2f} "
            f"({self.stat - self.stat_start:+.2f}) in {len(self.steps)} fits{ok}",
        ]
        return "\n".join(lines)
