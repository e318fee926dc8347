"""What limits are expected: `ExpectedLimitsEstimator`."""

import logging
from copy import copy

import numpy as np
from gammapy.datasets import Dataset
from gammapy.estimators.core import Estimator
from gammapy.maps import MapAxis, RegionGeom, RegionNDMap
from joblib import Parallel, delayed

from dmgammapy.makers import SimulatedDatasetMaker
from dmgammapy.makers._streams import check_count
from dmgammapy.utils import progress

from ._correlated_covariance import JFactorCovariance
from ._ensembles import DatasetEngine, FastEngine, results_of, why_not_fast, with_signal
from ._expected_reach import discovery_reach, required_exposure
from ._jfactor_scatter import JFactorScatter
from .castro_ensemble import BAND_QUANTILES
from .castro_maps import CastroMaps
from .limit_toys import fast_limit_toys, slow_limit_toys

__all__ = ["ExpectedLimitsEstimator"]

log = logging.getLogger(__name__)

METHODS = ("toys", "asimov")
LIMIT_METHODS = ("profile", "cls", "clsb", "power_constrained", "feldman_cousins")
STACK_OPTIONS = ("method", "extra_widths", "jfactor_covariance")
ENGINES = ("auto", "fast", "datasets")


class ExpectedLimitsEstimator(Estimator):
    """Limits, TS and best fits that are expected, with the J-factor nuisance kept.

    ``method="toys"`` simulates: every realisation is drawn by the maker, converted by the castro
    estimator and stacked, as data are. ``method="asimov"`` analyses one data set, the expectation
    itself, and takes bands from the asymptotic distribution (Cowan et al. 2011, EPJ C 71, 1554);
    it is quick, and good where counts are many.

    Parameters
    ----------
    castro : `CastroEstimator`
        Masses, channels, spectra and confidence level.
    maker : `~dmgammapy.makers.SimulatedDatasetMaker`, optional
        Seed, injected signal, and what J-factors do. Default is no signal, seed 0, and J_obs as
        they are.
    method : {"toys", "asimov"}
        Default is toys.
    n_realisations : int
        Default is 300.
    quantiles : list of float
        Default is the median and the ends of the central 68 and 95 %.
    limit_method : str
        Of the upper limits: ``profile`` (default), ``cls``, ``clsb``, ``power_constrained`` or
        ``feldman_cousins``, see `CastroMaps.upper_limit_and_status`. Those of toys take the Asimov
        data without signal, at the observed J of the realisation, for reference.
    stack : dict, optional
        Options of `StackedDMLikelihood`: ``method``, ``extra_widths``, ``jfactor_covariance``;
        J_obs are drawn as the latter two say. Priors are those of the models.
    engine : {"auto", "fast", "datasets"}
        ``datasets`` makes data sets and analyses them as if read from files. ``fast`` takes the
        likelihood of Poisson counts of SED likelihoods as it is, for many realisations at once;
        its limits agree with the former's to about 1e-5 (those of CLs+b next to zero, where it
        turns to nothing, to some hundredths of a standard deviation). Default is fast where
        possible.
    joint : dict, optional
        Labels by name of each dataset: counts datasets of a target with the same label are fitted
        together, others are results of their own in the stack, as data of instruments with other
        energies are analysed. Instruments (``TELESCOP``) must differ between them. Default is that
        all counts datasets of a target are fitted together.
    n_jobs : int
        Processes; results do not depend on it. Default is 1; -1 uses all cores. Other back ends
        are chosen with `joblib.parallel_config`.
    show_progress : bool or None
        Show a progress bar; None shows one for many realisations on a terminal.

    Raises
    ------
    ValueError
        If an option is unknown or out of range.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from dmgammapy.analysis.example import simulate_sed
    >>> from dmgammapy.estimators import CastroEstimator, ExpectedLimitsEstimator
    >>> from dmgammapy.makers import SEDExpectation, SimulatedDatasetMaker
    >>> from dmgammapy.targets import Targets
    >>> draco = Targets.read_roster("ackermann2015_dsphs")["draco"]
    >>> dataset, truth = simulate_sed(draco, np.random.default_rng(1))
    >>> dataset.models = draco.to_models("100 GeV", "b")
    >>> expectation = SEDExpectation(truth["background"], truth["npred"])
    >>> maker = SimulatedDatasetMaker(seed=1, expectations={"draco": expectation})
    >>> castro = CastroEstimator([10, 100] * u.GeV, ["b"])
    >>> bands = ExpectedLimitsEstimator(castro, maker, n_realisations=100).run(dataset)
    >>> bands.geom.axes.names, bands.sigmav_ul.data.shape
    (['mass', 'channel', 'quantile'], (5, 1, 2, 1, 1))
    >>> bool((np.diff(bands.sigmav_ul.data[..., 0, 0], axis=0) > 0).all())
    True
    """

    tag = "ExpectedLimitsEstimator"

    def __init__(
        self,
        castro,
        maker=None,
        method="toys",
        n_realisations=300,
        quantiles=BAND_QUANTILES,
        limit_method="profile",
        stack=None,
        engine="auto",
        n_jobs=1,
        show_progress=None,
        joint=None,
    ):
        self.castro = castro
        self.maker = SimulatedDatasetMaker(seed=0) if maker is None else maker
        self.method = method
        self.n_realisations = n_realisations
        self.quantiles = tuple(np.atleast_1d(np.asarray(quantiles, dtype=float)).tolist())
        self.limit_method = limit_method
        self.stack = dict(stack or {})
        covariance = self.stack.get("jfactor_covariance")
        if covariance is not None and self.maker.jfactor_covariance is None:
            # what is believed to vary together does so
            self.maker = copy(self.maker)
            self.maker.jfactor_covariance = JFactorCovariance.create(covariance)
        self.engine = engine
        self.joint = None if joint is None else dict(joint)
        self.n_jobs = n_jobs
        self.show_progress = show_progress
        if method not in METHODS:
            raise ValueError(f"method must be one of {METHODS}, got {method!r}.")
        if engine not in ENGINES:
            raise ValueError(f"engine must be one of {ENGINES}, got {engine!r}.")
        if int(n_realisations) != n_realisations or n_realisations < 1:
            raise ValueError(f"n_realisations must be a whole number > 0, got {n_realisations}.")
        q = np.array(self.quantiles)
        if not ((q > 0) & (q < 1)).all() or not (np.diff(q) > 0).all():
            raise ValueError(f"quantiles must ascend between 0 and 1, got {quantiles}.")
        if limit_method not in LIMIT_METHODS:
            raise ValueError(f"limit_method must be one of {LIMIT_METHODS}, got {limit_method!r}.")
        wrong = sorted(set(self.stack) - set(STACK_OPTIONS))
        if wrong:
            raise ValueError(
                f"stack: {wrong} can't be given, only {list(STACK_OPTIONS)}; priors belong on the "
                "models, from which J-factors are drawn, and cl is that of the castro estimator."
            )
        process = self.maker.signal.process
        if process is not None and process != castro.process:
            raise ValueError(
                f"the signal of the maker is about {process}, the castro estimator about "
                f"{castro.process}."
            )

    @property
    def config_parameters(self):
        """Configuration, for printing."""
        names = "method n_realisations quantiles limit_method stack engine n_jobs".split()
        return {"castro": self.castro, "maker": self.maker} | {n: getattr(self, n) for n in names}

    # ---- what is simulated -------------------------------------------------------------------

    def run(self, datasets, tables=None):
        """Estimate the bands of a stack.

        Parameters
        ----------
        datasets : `~gammapy.datasets.Dataset`, `~gammapy.datasets.Datasets` or list
            SED likelihoods and counts datasets, each with one dark matter model.
        tables : dict, optional
            Simulated likelihood tables, ``{name: list of CastroMaps or paths}``, one for each
            realisation in their order; with ``method="asimov"`` one each. They name their target
            and instrument.

        Returns
        -------
        bands : `CastroMaps`
            With the axes (mass, channel, quantile) and the quantities ``norm, norm_ul, ts,
            status``.
        """
        if self.method == "toys":
            return self.simulate(datasets, tables).quantiles(self.quantiles)
        return self.asimov(datasets, tables).expected_limits(self.quantiles, self.limit_method)

    def simulate(self, datasets, tables=None, realisations=None, per_target=False):
        """Simulate and analyse.

        Parameters
        ----------
        datasets, tables
            As for `run`.
        realisations : list of int, optional
            Their numbers, ascending. Default is 0 to ``n_realisations - 1``.
        per_target : bool
            Whether to keep the results of the targets, too. Default is False.

        Returns
        -------
        ensemble : `CastroMaps` or dict of `CastroMaps`
            Of the stack, with the axes (mass, channel, realisation) and the quantities ``norm,
            norm_ul, ts, status``. With ``per_target`` by name: ``stack`` and the targets.
        """
        if realisations is None:
            realisations = range(self.n_realisations)
        realisations = [check_count("a realisation", i) for i in realisations]
        if not realisations or not (np.diff(realisations) > 0).all():
            raise ValueError(f"realisations must be numbers that ascend, got {realisations}.")
        engine, stack = self._engine(datasets, tables, max(realisations) + 1)
        if per_target and "stack" in stack.targets:
            raise ValueError(
                "a target is named 'stack', as the result of all is with per_target=True; rename "
                "it."
            )
        template = results_of(stack, per_target)
        blocks = {}
        for i in realisations:
            blocks.setdefault(i // engine.block, []).append(i)
        parallel = Parallel(n_jobs=self.n_jobs)
        items = progress(list(blocks), "realisations", self.show_progress)
        parts = parallel(
            delayed(engine.run)(range(k * engine.block, (k + 1) * engine.block), per_target)
            for k in items
        )
        found = {}
        for k, part in zip(blocks, parts, strict=True):
            for i in blocks[k]:
                found[i] = part, i - k * engine.block
        names = list(parts[0])
        out = {
            name: self._as_ensemble(
                {
                    q: np.stack([found[i][0][name][q][found[i][1]] for i in realisations])
                    for q in parts[0][name]
                },
                template[name],
                realisations,
            )
            for name in names
        }
        return out if per_target else out["stack"]

    def asimov(self, datasets, tables=None):
        """Stack of the Asimov data without signal: the expected counts instead of counted ones.

        Returns
        -------
        castro : `CastroMaps`
            Its median expected limits are those of `CastroMaps.expected_limits`.
        """
        return self._asimov_stack(datasets, tables).run()

    def _engine(self, datasets, tables, n_tables):
        """Engine, and a stack whose references and metadata ensembles get."""
        datasets = _as_list(datasets)
        readers = [_TableReader(name, items, n_tables) for name, items in (tables or {}).items()]
        if not datasets and not readers:
            raise ValueError("there are no datasets and no tables to simulate.")
        self._check_joint(datasets)
        simulation = self.maker.prepare(datasets) if datasets else None
        null = None
        if self.limit_method != "profile" and not readers:
            null = with_signal(self.maker).prepare(datasets)
        engine = DatasetEngine(
            self.castro, simulation, readers, self.stack, self.limit_method, null, self.joint
        )
        stack = engine.stack(0) if readers else self._asimov_stack(datasets)
        if self._is_fast(datasets, readers):
            engine = FastEngine(self.castro, simulation, datasets, stack, self.limit_method)
        else:
            engine.scatter = JFactorScatter(self.maker, stack)
        return engine, stack

    def _is_fast(self, datasets, tables=()):
        """Whether the fast engine is to be used."""
        reason = "there are tables" if tables else why_not_fast(self.castro, datasets)
        if self.engine == "fast" and reason is not None:
            raise ValueError(f"engine='fast' can't be used: {reason}; take 'auto'.")
        return self.engine != "datasets" and reason is None

    def _asimov_stack(self, datasets, tables=None):
        """`StackedDMLikelihood` of the Asimov data without signal."""
        datasets = _as_list(datasets)
        if tables:
            raise ValueError(
                f"simulated tables ({', '.join(tables)}) have no Asimov data; use method='toys'."
            )
        if not datasets:
            raise ValueError("there are no datasets.")
        self._check_joint(datasets)
        null = with_signal(self.maker).prepare(datasets)
        return DatasetEngine(self.castro, null, [], self.stack, joint=self.joint).stack(None)

    def _check_joint(self, datasets):
        """Raise a ValueError if ``joint`` does not know a dataset."""
        missing = [d.name for d in datasets if self.joint is not None and d.name not in self.joint]
        if missing:
            raise ValueError(
                f"joint has no label for the datasets {missing}, only for {sorted(self.joint)}."
            )

    def _as_ensemble(self, arrays, template, realisations):
        reference = template["reference"].data
        axis = MapAxis.from_nodes(realisations, name="realisation", interp="lin")
        geom = RegionGeom(None, axes=[*template.geom.axes, axis])
        data = {
            "reference": RegionNDMap(
                geom, np.broadcast_to(reference, geom.data_shape).copy(),
                unit=template["reference"].unit,
            )
        }  # fmt: skip
        for name, strength in (("norm", "strength"), ("norm_ul", "strength_ul")):
            data[name] = RegionNDMap(geom, arrays[strength][..., None, None] / reference)
        for name in ("ts", "status"):
            data[name] = RegionNDMap(geom, arrays[name][..., None, None])
        meta = template.meta.model_copy(deep=True)
        meta.origin = f"{len(realisations)} realisations of {self.maker!r}"
        meta.notes = [*meta.notes, f"upper limits by the method {self.limit_method!r}."]
        return CastroMaps(data, meta)

    def limit_toys(self, datasets, strengths, n_toys=1000, redraw_jfactor=None):
        """Simulate test statistics at some signal strengths, for limits from toys.

        Every mass and channel has data of its own, with its signal. The true J-factors are as the
        maker says, by default those observed.

        Parameters
        ----------
        datasets : `~gammapy.datasets.Dataset`, `~gammapy.datasets.Datasets` or list
        strengths : `~astropy.units.Quantity`, shape (n_mu,) or (channel, mass, n_mu)
            [cm3 s-1] or [s-1], ascending. Limits are interpolated between them.
        n_toys : int
            Data sets for each strength. Default is 1000.
        redraw_jfactor : bool, optional
            Whether each toy measures J anew, whatever the maker does without a signal. Limits that
            allow for uncertain J need it; the default is True unless the stack keeps J fixed.

        Returns
        -------
        toys : `LimitToys`

        Raises
        ------
        ValueError
            If strengths are out of order, or beyond the grid.

        Notes
        -----
        Of SED likelihoods with Poisson counts a toy of 15 targets takes some milliseconds for each
        mass, channel and strength; of others it takes a whole analysis.
        """
        datasets = _as_list(datasets)
        if check_count("n_toys", n_toys) < 1:
            raise ValueError(f"n_toys must be positive, got {n_toys}.")
        null = copy(self)
        null.maker = with_signal(self.maker)
        if redraw_jfactor is None:
            redraw_jfactor = self.stack.get("method") != "fixed"
        null.maker.redraw_jfactor = bool(redraw_jfactor)
        engine, _ = null._engine(datasets, None, 0)
        if not isinstance(engine, FastEngine):
            return slow_limit_toys(null, datasets, strengths, n_toys)
        return fast_limit_toys(
            engine, self.castro, strengths, n_toys, self.maker.seed, self.n_jobs,
            self.show_progress,
        )  # fmt: skip

    # ---- reach -------------------------------------------------------------------------------

    def sensitivity(self, datasets):
        """Median expected upper limit, by the method and from the Asimov data or toys as set.

        Returns
        -------
        sensitivity : `~gammapy.maps.Map`
            [cm3 s-1] or [s-1] on the axes (mass, channel).
        """
        one = copy(self)
        one.quantiles = (0.5,)
        bands = one.run(datasets).slice_by_idx({"quantile": 0})
        geom = RegionGeom(None, axes=bands.geom.axes[:2])
        return RegionNDMap(geom, bands.strength_ul.data[0], unit=bands["reference"].unit)

    def discovery_reach(self, datasets, ts=25.0):
        """Signal strength at which the median TS is as given (Asimov data with that signal).

        Parameters
        ----------
        datasets : `~gammapy.datasets.Dataset`, `~gammapy.datasets.Datasets` or list
        ts : float
            Default is 25.

        Returns
        -------
        reach : `~gammapy.maps.Map`
            [cm3 s-1] or [s-1] on the axes (mass, channel); NaN without information.
        """
        return discovery_reach(self, _as_list(datasets), float(ts))

    def required_exposure(self, datasets, strength, ts=None):
        """Exposure with which a signal strength is expected to be excluded or found.

        Counts of signal and background, and what binds background norms, grow alike; J-factors
        stay as uncertain as they are.

        Parameters
        ----------
        datasets : `~gammapy.datasets.Dataset`, `~gammapy.datasets.Datasets` or list
        strength : `~astropy.units.Quantity`
            [cm3 s-1] or [s-1]; a number or of the shape (channel, mass).
        ts : float, optional
            Exposure at which the median TS of that signal is ``ts``. Default is the one at which
            the median upper limit (profile, at the estimator's ``cl``) equals the strength.

        Returns
        -------
        factor : array, shape (channel, mass)
            In units of the datasets' exposure; NaN without information, or where the grid ends
            before.

        Raises
        ------
        ValueError
            If the strength or ``ts`` is not positive.
        """
        return required_exposure(self, _as_list(datasets), strength, ts)


def _as_list(datasets):
    if datasets is None:
        return []
    return [datasets] if isinstance(datasets, Dataset) else list(datasets)


class _TableReader:
    """Simulated likelihood tables of one target and instrument."""

    def __init__(self, name, items, n_needed):
        self.name, self.items = name, list(items)
        if len(self.items) < n_needed:
            raise ValueError(
                f"tables[{name!r}] has {len(self.items)} realisations, {n_needed} are needed."
            )

    def __call__(self, realisation):
        item = self.items[realisation]
        return item if isinstance(item, CastroMaps) else CastroMaps.read(item)
