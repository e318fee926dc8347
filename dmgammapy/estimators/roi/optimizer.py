"""Fit of all models of a region of interest: `ROIOptimizer`."""

import logging
import time

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table

from ...datasets._counts_models import is_dark_matter
from ._covariance import write_covariance
from ._likelihood import ROUNDING
from ._region import Region
from ._source_table import make_source_table
from ._steps import RegionSteps
from .fit import ROIFit

__all__ = ["ROIOptimizer"]

log = logging.getLogger(__name__)

STEPS = ("joint", "norms", "shapes", "all")
MAX_PASSES = 5
STANDSTILL = 0.1  # of -2 ln L, between two passes


class ROIOptimizer:
    """Fit the models of a region of interest to its counts, first a few at a time, then all.

    The steps are those of fermipy's ``GTAnalysis.optimize``, followed by the fit:

    1. ``"joint"``: the norms of the models that predict most of the counts, together,
    2. ``"norms"``: the norm of every other model alone, the one that predicts most counts first,
    3. ``"shapes"``: norm and shape of every model that is significant, alone, the most significant
       first,
    4. ``"all"``: what is free in the models, together, with errors and covariance.

    The first three are repeated, five times at most, until -2 ln L falls by less than 0.1, before
    the last; and again if the last lowers it by more. So another run hardly changes anything.

    The first three fit norms and shapes whether they are free or frozen in the models (name those
    that must stay in ``skip``), and leave them free or frozen as they were. The error of what they
    moved is set to zero unless the last step fits it: that of a catalog is of another value. Dark
    matter whose norm is frozen stays. Datasets, such as one for each event type, are fitted
    together, with the models they share.

    Few counts say little about a shape: one that is frozen in the model changes only if -2 ln L
    falls by ``shape_gain_threshold`` or more, compared to a fit of the norm alone. Unless a
    parameter has bounds of its own, slopes stay between 0 and 5, the curvature of a log-parabola
    between 0 and 2, cutoffs between 30 MeV and 100 TeV; ``steps`` tells of those at a bound.

    Predictions are computed once (see `~dmgammapy.datasets.CountsLikelihood`): -2 ln L is that of
    Gammapy, and norms are solved for by Newton's method. Norms can't be negative unless the
    parameter's ``min`` is; where all models together then predict less than nothing, which a
    warning tells, -2 ln L differs from Gammapy's, which cuts predictions at zero.

    The J- or D-factor of a dark matter model is held, even if it is free: its uncertainty belongs
    to `~dmgammapy.estimators.StackedDMLikelihood`.

    Source finding, localisation, extension, light curves and sensitivity are not part of it.
    Steps of that kind belong beside the four above: they work on the same rendered region.

    Parameters
    ----------
    steps : list of str
        Which of the steps to take. Default is all.
    npred_frac : float
        Part of the predicted counts that the models of the first step make up. Default is 0.95.
    npred_threshold : float
        Predicted counts below which a model's norm is not fitted alone. Default is 1.
    shape_ts_threshold : float
        Test statistic, other models held, above which shapes are fitted. Default is 25.
    shape_gain_threshold : float
        What a new shape must lower -2 ln L by. Default is 9.
    max_free_sources : int, optional
        Most models in the first step. Default is no limit (fermipy takes 5).
    skip : list of str
        Names of models that the first three steps hold.
    ts : {"free", "fixed"} or None
        Test statistic of every model in the result: with the norms that are free in the models
        fitted again without it, with all else held, or not at all. Default is "free".
    target : str, optional
        Model that separations are from. Default is the one with a dark matter spectrum, otherwise
        the centre of the first dataset.

    References
    ----------
    Wood et al. 2017, PoS(ICRC2017) 824 (fermipy).

    Examples
    --------
    The norm of a source over a flat background that is known:

    >>> import astropy.units as u
    >>> import numpy as np
    >>> from gammapy.datasets import MapDataset
    >>> from gammapy.maps import MapAxis, WcsGeom
    >>> from gammapy.modeling.models import PointSpatialModel, PowerLawSpectralModel, SkyModel
    >>> from dmgammapy.estimators.roi import ROIOptimizer
    >>> energy = MapAxis.from_energy_bounds("1 GeV", "100 GeV", nbin=1)
    >>> dataset = MapDataset.create(WcsGeom.create(npix=(6, 6), binsz=0.1, axes=[energy]))
    >>> dataset.psf = dataset.edisp = None
    >>> dataset.exposure.quantity = 1e12 * u.Unit("cm2 s")
    >>> dataset.background.data[:] = 2
    >>> dataset.counts.data[:] = 2
    >>> dataset.counts.data[0, 2:4, 2:4] += 25
    >>> dataset.mask_safe.data[:] = True
    >>> spectrum = PowerLawSpectralModel(amplitude="1e-11 cm-2 s-1 GeV-1", reference="1 GeV")
    >>> spectrum.index.frozen = True
    >>> dataset.models = [SkyModel(spectrum, PointSpatialModel(), name="source")]
    >>> dataset.models.parameters["lon_0"].frozen = True
    >>> dataset.models.parameters["lat_0"].frozen = True
    >>> fit = ROIOptimizer(steps=["all"]).run(dataset)
    >>> print(f"{fit.sources['norm'][0] * 0.99e12:.4f}")  # counts of the source
    100.0000
    """

    def __init__(
        self,
        steps=STEPS,
        npred_frac=0.95,
        npred_threshold=1.0,
        shape_ts_threshold=25.0,
        shape_gain_threshold=9.0,
        max_free_sources=None,
        skip=(),
        ts="free",
        target=None,
    ):
        self.steps = [steps] if isinstance(steps, str) else list(steps)
        self.npred_frac = npred_frac
        self.npred_threshold = npred_threshold
        self.shape_ts_threshold = shape_ts_threshold
        self.shape_gain_threshold = shape_gain_threshold
        self.max_free_sources = max_free_sources
        self.skip = [skip] if isinstance(skip, str) else list(skip)
        self.ts = ts
        self.target = target
        self._check()

    def _check(self):
        unknown = [step for step in self.steps if step not in STEPS]
        if unknown or not self.steps:
            raise ValueError(f"steps must be some of {list(STEPS)}, got {self.steps}.")
        if not 0 < self.npred_frac <= 1:
            raise ValueError(f"npred_frac must be between 0 and 1, got {self.npred_frac}.")
        for name in ("npred_threshold", "shape_ts_threshold", "shape_gain_threshold"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} can't be negative, got {getattr(self, name)}.")
        if self.max_free_sources is not None and self.max_free_sources < 1:
            raise ValueError(f"max_free_sources must be 1 or more, got {self.max_free_sources}.")
        if self.ts not in ("free", "fixed", None):
            raise ValueError(f"ts must be 'free', 'fixed' or None, got {self.ts!r}.")

    def run(self, datasets):
        """Fit; values, errors and covariance are written into the models of the datasets.

        Parameters
        ----------
        datasets : `~gammapy.datasets.Datasets`, `~gammapy.datasets.MapDataset` or list
            With models, whose parameters are where to start.

        Returns
        -------
        fit : `ROIFit`
            A step that does not converge leaves the parameters where they were and says so there,
            in ``steps``.

        Raises
        ------
        TypeError, ValueError
            If a dataset is of another kind, has no counts, models or pixels that are not masked,
            ``skip`` or ``target`` names no model, or predictions are not finite. The models are
            then as before.
        """
        start = time.perf_counter()
        region = Region(datasets)
        self._check_names(region)
        target = self._find_target(region)
        parameters = region.parameters
        before = [p.value for p in parameters]
        errors = [p.error for p in parameters]
        try:
            steps = RegionSteps(region, self.skip)
            stat_start = steps.stat
            result = self._take(steps)
            moved = [p for p, v in zip(parameters, before, strict=True) if p.value != v]
            write_covariance(region.datasets, result, moved)
            sources = make_source_table(steps.norms, region, self.ts, _position(region, target))
        except BaseException:
            for parameter, value, error in zip(parameters, before, errors, strict=True):
                parameter.value, parameter.error = value, error
            raise
        _tell_negative(region)
        fit = ROIFit(
            region.datasets,
            sources=sources,
            steps=Table(rows=[vars(s) for s in steps.steps]) if steps.steps else Table(),
            parameters=[] if result is None else result.names,
            covariance=np.zeros((0, 0)) if result is None else result.covariance,
            stat_start=stat_start,
            stat=steps.stat,
            target=target,
            region=region,
        )
        log.info("%d models fitted in %.2f s", len(region.models), time.perf_counter() - start)
        return fit

    def _take(self, steps):
        """Take the steps until -2 ln L stands still; returns the last fit of all, if any."""
        fit, n = None, 0
        few = {"joint", "norms", "shapes"} & set(self.steps)
        while True:
            while few and n < MAX_PASSES:
                before, n = steps.stat, n + 1
                steps.n_pass = n
                self._take_few(steps)
                if before - steps.stat < STANDSTILL:
                    break
            if "all" not in self.steps:
                return None
            before = steps.stat
            fit = steps.all()
            if not few or n >= MAX_PASSES or before - steps.stat < STANDSTILL:
                return fit

    def _take_few(self, steps):
        """The steps with few parameters, once."""
        done = set()
        if "joint" in self.steps:
            done = steps.joint(self.npred_frac, self.npred_threshold, self.max_free_sources)
        if "norms" in self.steps:
            steps.each_norm(done, self.npred_threshold)
        if "shapes" in self.steps:
            steps.each_shape(self.shape_ts_threshold, self.shape_gain_threshold)

    def _check_names(self, region):
        known = [m.name for m in region.models]
        unknown = [name for name in self.skip if name not in known]
        if self.target is not None and self.target not in known:
            unknown.append(self.target)
        if unknown:
            raise ValueError(f"skip and target name {unknown}, which are not models: {known}.")

    def _find_target(self, region):
        if self.target is not None:
            return self.target
        return next((m.name for m in region.models if is_dark_matter(m)), None)

    def __repr__(self):
        settings = ", ".join(f"{k}={v!r}" for k, v in vars(self).items())
        return f"ROIOptimizer({settings})"


def _position(region, target):
    """Where separations are from."""
    for model in region.models:
        if model.name == target and isinstance(getattr(model, "position", None), SkyCoord):
            return model.position
    return region.datasets[0].counts.geom.center_skydir


def _tell_negative(region):
    """Warn where norms below zero make the sum of all models negative."""
    for i, terms in enumerate(region.terms):
        total = np.where(terms.weight > 0, region.total(i), 0.0)
        n_bad = int((total < -ROUNDING * np.abs(total).max()).sum())
        if n_bad:
            log.warning(
                "dataset %r: the models predict less than nothing in %d voxels, as norms may be "
                "negative; raise their `min`.", terms.name, n_bad,
            )  # fmt: skip
