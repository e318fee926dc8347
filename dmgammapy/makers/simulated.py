"""Realisations of datasets: `SimulatedDatasetMaker`."""

from astropy.table import QTable
from gammapy.datasets import (
    Dataset,
    Datasets,
    MapDataset,
    MapDatasetOnOff,
    SpectrumDatasetOnOff,
)

from dmgammapy.datasets import SEDLikelihoodDataset, find_source

from ._simulators import make_simulator
from ._streams import check_count, dataset_keys
from ._truth import (
    Signal,
    check_covariance,
    copy_models,
    draw_jfactors,
    linked_names,
    observed_models,
    true_by_target,
    true_jfactor,
)
from .expectation import LEAST_COUNTS, TOLERANCE

__all__ = ["Simulation", "SimulatedDatasetMaker"]

JFACTORS = ("observed", "prior")


class SimulatedDatasetMaker:
    """Draw realisations of datasets, without or with a dark matter signal.

    Use `run` for a realisation, and `prepare` for many: the counts expected are then computed once.

    SED likelihoods are Poisson counts of an `SEDExpectation`, scanned anew. Of Gammapy's map and
    spectrum datasets the counts are drawn around those predicted; other sources and the background
    stay in, as the models have them. ON/OFF datasets draw the counts OFF, too. Nothing that the
    user passed is changed.

    **J-factors.** J enters twice: its true value makes the photons, and its observed value is what
    the analysis believes, with the same width. What an ensemble means depends on both:

    ==================  =====================  ==================================================
    ``log10_jfactor``   ``redraw_jfactor``     ensemble
    ==================  =====================  ==================================================
    "observed", dict    True                   honest frequentist: nature has one J, each
                                               experiment measures it anew. For coverage, and for
                                               bands of what other experiments would find.
    "observed"          False                  J_obs stays as it is. Without a signal the counts
                                               know nothing of J: the bands to judge the data in
                                               hand by. With one, J is measured exactly right every
                                               time: it never fluctuates, coverage is too good.
    dict                False                  the catalogue's J_obs against another truth, to see
                                               what a wrong J does.
    "prior"             False                  Bayesian: J_obs is given, the true J is not known.
                                               Without a signal J_obs is all that matters: equal
                                               to ("observed", False).
    "prior"             True                   true J from the prior and measured again: J_obs
                                               scatters around its value by sqrt(2) widths.
    ==================  =====================  ==================================================

    J_obs is drawn from the likelihood of `~dmgammapy.modeling.JFactorPrior`, which depends on
    log10(J / J_obs) alone and moves along. Draws of J belong to the target: several instruments
    share the quantile.

    **Seeds.** Each stream belongs to (seed, target, dataset, realisation), see `random_stream`;
    the order and choice of datasets and realisations and the number of processes don't matter.
    The target is the dark matter model's name. Random names of datasets, as Gammapy's
    ``from_spectrum_dataset`` gives, don't count: such datasets go by their kind and energies, and
    alike ones of a target by their order, of which a warning is logged. Eight characters are taken
    for a random name unless they look like words with a number, like ``fermi_p8``, or hold the
    target's name. (One invented name in 180 looks like that, and then draws differ in the next
    session.) Models of different names that share a J-factor parameter share its draws, which
    belong to the first name in the alphabet.

    Parameters
    ----------
    seed : int
        Not negative.
    sigmav : `~astropy.units.Quantity`, optional
        Injected cross-section, of models of annihilation. Default is no signal.
    mass : `~astropy.units.Quantity` or str, optional
        Mass of the injected particle. Default is that of the dataset's model.
    channel : str or dict, optional
        Channel of the injected signal, or a mixture ``{channel: fraction}``. Default is that of
        the dataset's model.
    gamma : `~astropy.units.Quantity`, optional
        Injected decay rate, of models of decay.
    log10_jfactor : {"observed", "prior"} or dict
        True log10 of J [GeV2 cm-5] (or D [GeV cm-2]): the observed one, drawn from the prior, or
        given by target. Default is "observed".
    redraw_jfactor : bool
        Whether J_obs is drawn anew in each realisation. Default is False.
    expectations : dict, optional
        `SEDExpectation` by name of the dataset or target; if given, of all. Default is
        `SEDExpectation.from_dataset`.
    backgrounds : dict, optional
        Expected background in the ON region of ON/OFF datasets, `~gammapy.maps.Map` or array by
        name of the dataset; if given, of all. Default is the profiled one, given counts ON and OFF
        and the other sources, without a signal.
    n_points, delta_stat_max, negative_norm
        Scans of simulated SED likelihoods, see `SEDExpectation.to_dataset`; 5 points or more.
        Default is as in the given dataset.
    undetermined, tolerance, least_counts
        How the expectation is read off SED likelihoods, see `SEDExpectation.from_dataset`. For
        those that Fermi-LAT published take ``undetermined="power_law", least_counts=5``.
    jfactor_covariance : `~dmgammapy.estimators.JFactorCovariance`, optional
        Of targets whose J-factors are measured wrong together, by a normal distribution. Their
        priors must be normal with the widths of its diagonal, or absent; it may hold targets that
        have no dataset here. Default is that all are independent.

    Raises
    ------
    ValueError
        If an argument is not valid.

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.analysis.example import simulate_sed
    >>> from dmgammapy.makers import SEDExpectation, SimulatedDatasetMaker
    >>> from dmgammapy.targets import Targets
    >>> draco = Targets.read_roster("ackermann2015_dsphs")["draco"]
    >>> dataset, truth = simulate_sed(draco, np.random.default_rng(1))
    >>> dataset.models = draco.to_models("100 GeV", "b")
    >>> maker = SimulatedDatasetMaker(
    ...     seed=1,
    ...     expectations={"draco": SEDExpectation(truth["background"], truth["npred"])},
    ...     redraw_jfactor=True,
    ... )
    >>> simulated = maker.run(dataset, realisation=3)
    >>> prior = simulated.models["draco"].spectral_model.jfactor_prior
    >>> print(f"{prior.log10_jfactor:.2f}")  # observed anew, around 18.83
    18.87
    """

    tag = "SimulatedDatasetMaker"

    def __init__(
        self,
        seed,
        sigmav=None,
        mass=None,
        channel=None,
        gamma=None,
        log10_jfactor="observed",
        redraw_jfactor=False,
        expectations=None,
        backgrounds=None,
        n_points=None,
        delta_stat_max=None,
        negative_norm=None,
        undetermined="error",
        tolerance=TOLERANCE,
        least_counts=LEAST_COUNTS,
        jfactor_covariance=None,
    ):
        if jfactor_covariance is not None and not hasattr(jfactor_covariance, "matrix"):
            raise TypeError(
                "jfactor_covariance must be a JFactorCovariance (JFactorCovariance.create makes "
                f"one), got {type(jfactor_covariance).__name__}."
            )
        self.jfactor_covariance = jfactor_covariance
        self.seed = check_count("seed", seed)
        self.signal = Signal.from_arguments(mass, channel, sigmav, gamma)
        if not isinstance(log10_jfactor, dict) and log10_jfactor not in JFACTORS:
            raise ValueError(
                "log10_jfactor must be 'observed', 'prior' or numbers by target, got "
                f"{log10_jfactor!r}."
            )
        if isinstance(log10_jfactor, dict):
            log10_jfactor = true_by_target(log10_jfactor)
        self.log10_jfactor = log10_jfactor
        self.redraw_jfactor = bool(redraw_jfactor)
        self.expectations = dict(expectations or {})
        self.backgrounds = dict(backgrounds or {})
        self.scan_options = {
            "n_points": n_points,
            "delta_stat_max": delta_stat_max,
            "negative_norm": negative_norm,
        }
        self.fit_options = {
            "undetermined": undetermined,
            "tolerance": tolerance,
            "least_counts": least_counts,
        }

    def run(self, datasets, realisation=0):
        """Draw one realisation.

        Parameters
        ----------
        datasets : `~gammapy.datasets.Dataset`, `~gammapy.datasets.Datasets` or list
            SED likelihoods and counts datasets, each with one dark matter model.
        realisation : int
            Its number. Default is 0.

        Returns
        -------
        simulated : `~gammapy.datasets.Dataset`, `~gammapy.datasets.Datasets` or list
            Of the same kind, with the same names. Mass, channel and strength of the dark matter
            models are those of the given ones, not the injected ones. Counts datasets share their
            exposure, PSF and so on with the given ones.

        Raises
        ------
        TypeError
            If a dataset is neither an SED likelihood nor a map or spectrum dataset.
        ValueError
            If the dark matter model is missing or not the only one, J is to be drawn but has no
            prior, negative counts are expected, the signal has no spectrum or predicts nothing at
            all, or the covariance, ``expectations`` or ``backgrounds`` are for none of the
            datasets.
        """
        return self.prepare(datasets).run(realisation)

    def asimov(self, datasets):
        """Make the Asimov data set, see `Simulation.asimov`.

        Parameters
        ----------
        datasets : `~gammapy.datasets.Dataset`, `~gammapy.datasets.Datasets` or list

        Returns
        -------
        asimov : `~gammapy.datasets.Dataset`, `~gammapy.datasets.Datasets` or list
        """
        return self.prepare(datasets).asimov()

    def prepare(self, datasets):
        """Compute what is expected, for many realisations.

        Parameters
        ----------
        datasets : `~gammapy.datasets.Dataset`, `~gammapy.datasets.Datasets` or list

        Returns
        -------
        simulation : `Simulation`
        """
        return Simulation(self, datasets)

    def __repr__(self):
        signal = self.signal
        text = "no signal"
        if signal.strength:
            name = "sigmav" if signal.process == "annihilation" else "gamma"
            text = f"{name}={signal.strength:.4g}, mass={signal.mass}, channel={signal.channel!r}"
        return f"SimulatedDatasetMaker(seed={self.seed}, {text})"


class Simulation:
    """Datasets whose expected counts are known; from `SimulatedDatasetMaker.prepare`.

    It can be pickled and sent to other processes. Later changes of the given datasets don't reach
    it, except of arrays in place.
    """

    def __init__(self, maker, datasets):
        self.maker = maker
        self._kind = list
        if isinstance(datasets, Dataset):
            self._kind, datasets = None, [datasets]
        elif isinstance(datasets, Datasets):
            self._kind = Datasets
        datasets = list(datasets)
        if not datasets:
            raise ValueError("there are no datasets to simulate.")
        for dataset in datasets:
            if not isinstance(dataset, SEDLikelihoodDataset | MapDataset):
                raise TypeError(
                    f"dataset {getattr(dataset, 'name', dataset)!r}: only SED likelihoods, map and "
                    f"spectrum datasets can be simulated, got {type(dataset).__name__}."
                )
        names = [dataset.name for dataset in datasets]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"{names.count(name)} datasets are named {name!r}, which would get the same "
                    "random numbers; give them different names."
                )
        self.targets = [find_source([dataset]) for dataset in datasets]
        self._simulators = [
            make_simulator(maker, *arguments)
            for arguments in zip(
                datasets,
                copy_models(datasets),
                self.targets,
                dataset_keys(datasets, self.targets),
                strict=True,
            )
        ]
        sources = [
            next(model for model in dataset.models if model.name == target)
            for dataset, target in zip(datasets, self.targets, strict=True)
        ]
        self._linked = dict(zip(names, linked_names(sources), strict=True))
        if maker.jfactor_covariance is not None:
            check_covariance(maker.jfactor_covariance, sources, self._linked.values())
        self._check_use(datasets)

    def _check_use(self, datasets):
        """Raise a ValueError if something that was given has no effect on any dataset."""
        maker = self.maker
        seds = {
            name
            for dataset, target in zip(datasets, self.targets, strict=True)
            if isinstance(dataset, SEDLikelihoodDataset)
            for name in (dataset.name, target)
        }
        if maker.expectations and not seds & set(maker.expectations):
            raise ValueError(
                f"expectations are given for {sorted(maker.expectations)}, but none of the "
                f"datasets {self.names} is an SED likelihood; counts datasets expect what their "
                "models predict."
            )
        on_off = [d.name for d in datasets if isinstance(d, MapDatasetOnOff | SpectrumDatasetOnOff)]
        wrong = sorted((set(self.names) - set(on_off)) & set(maker.backgrounds))
        if wrong or (maker.backgrounds and not on_off):
            raise ValueError(
                f"backgrounds are given for {wrong or sorted(maker.backgrounds)}, but only ON/OFF "
                f"datasets take them, which here are {on_off or 'none'}; other datasets expect "
                "what their models predict."
            )
        if maker.signal.strength and not any(
            simulator.expected_totals(simulator._log10_jfactor)[0] > 0
            for simulator in self._simulators
        ):
            signals = sorted({simulator.injected for simulator in self._simulators})
            raise ValueError(
                f"the signal ({', '.join(signals)}) predicts no counts in any of the datasets "
                f"{self.names}: its photons are outside of their energies, exposure or masks."
            )

    @property
    def names(self):
        """Names of the datasets, list."""
        return [simulator.name for simulator in self._simulators]

    def _jfactors(self, simulator, realisation):
        """True and observed J in one realisation, floats."""
        true, observed = self._all_jfactors(simulator, [check_count("realisation", realisation)])
        return float(true[0]), float(observed[0])

    def _all_jfactors(self, simulator, realisations):
        maker = self.maker
        return draw_jfactors(
            simulator.source, maker.seed, realisations, maker.log10_jfactor, maker.redraw_jfactor,
            maker.jfactor_covariance, self._linked[simulator.name],
        )  # fmt: skip

    def draws(self, realisations, counts=True):
        """Draw counts and J in many realisations, without making datasets.

        They are those of `run`, for engines that need no more.

        Parameters
        ----------
        realisations : sequence of int
        counts : bool
            Whether to draw counts. Default is True; without, only J is drawn.

        Returns
        -------
        draws : list of `SimulatedDraws`
            One for each dataset.
        """
        realisations = [check_count("realisation", i) for i in realisations]
        out = []
        for simulator in self._simulators:
            true, observed = self._all_jfactors(simulator, realisations)
            out.append(simulator.draws(realisations, true, observed, counts))
        return out

    def truth(self, realisation=0):
        """What is true in a realisation.

        Parameters
        ----------
        realisation : int
            Default is 0.

        Returns
        -------
        table : `~astropy.table.QTable`
            One row per dataset: ``dataset, target, log10_jfactor`` (true),
            ``log10_jfactor_obs`` (observed), ``npred_signal``, ``npred`` (expected counts).
        """
        rows = []
        for simulator in self._simulators:
            true, observed = self._jfactors(simulator, realisation)
            signal, total = simulator.expected_totals(true)
            rows.append((simulator.name, simulator.target, true, observed, signal, total))
        names = "dataset target log10_jfactor log10_jfactor_obs npred_signal npred".split()
        table = QTable(rows=rows, names=names)
        signal = self.maker.signal
        table.meta = {"seed": self.maker.seed, "realisation": int(realisation)}
        table.meta |= {"process": signal.process, "strength": signal.strength}
        table.meta |= {"mass": str(signal.mass), "channel": signal.channel}
        return table

    def counts(self, realisation=0):
        """Draw the counts only, as `~dmgammapy.datasets.CountsLikelihood.with_counts` takes them.

        Of ON/OFF data these are no whole realisation, since ``with_counts`` keeps the given counts
        OFF: use `run` there.

        Parameters
        ----------
        realisation : int
            Default is 0.

        Returns
        -------
        counts : list of array
            One for each dataset, of the shape of its data; of ON/OFF datasets the counts ON.
        """
        return [
            simulator.draw(realisation, self._jfactors(simulator, realisation)[0])[0]
            for simulator in self._simulators
        ]

    def run(self, realisation=0):
        """Draw one realisation, see `SimulatedDatasetMaker.run`.

        Parameters
        ----------
        realisation : int
            Default is 0.

        Returns
        -------
        simulated : `~gammapy.datasets.Dataset`, `~gammapy.datasets.Datasets` or list
        """

        def draw(simulator):
            true, observed = self._jfactors(simulator, realisation)
            return simulator.draw(realisation, true), observed

        return self._make(draw)

    def asimov(self):
        """Make the Asimov data set: what is expected, in the place of what is drawn.

        Counts (ON and OFF) are those expected, which need not be whole numbers, and J_obs is the
        true J, which is that observed by the given models, or of the maker's ``log10_jfactor`` if
        that is a dict. So the best fit is the truth (Cowan et al. 2011, EPJC 71, 1554, sec. 3.2).

        Returns
        -------
        asimov : `~gammapy.datasets.Dataset`, `~gammapy.datasets.Datasets` or list
            Like that of `run`.
        """

        def expect(simulator):
            linked = self._linked[simulator.name]
            true = true_jfactor(simulator.source, self.maker.log10_jfactor, linked=linked)[0]
            return simulator.expect(true), true

        return self._make(expect)

    def _make(self, counts_and_jfactor):
        """Make datasets of what a function says of each simulator."""
        out = []
        all_models = copy_models(self._simulators)
        for simulator, models in zip(self._simulators, all_models, strict=True):
            counts, observed = counts_and_jfactor(simulator)
            observed_models(models, simulator.target, observed)
            out.append(simulator.dataset_of(counts, models))
        if self._kind is None:
            return out[0]
        return self._kind(out)

    def __repr__(self):
        return f"Simulation({self.maker!r}, datasets: {', '.join(self.names)})"
