"""Simulate and analyse ensembles of a stack: the work behind `ExpectedLimitsEstimator`."""

from copy import copy

import numpy as np
from gammapy.maps import MapAxis, RegionGeom, RegionNDMap

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.makers import SEDExpectation
from dmgammapy.makers._truth import Signal, observed_models

from . import limits
from ._jfactor_scatter import JFactorScatter
from ._poisson_toys import PoissonProfiles
from .castro import _dark_matter_model, _jfactor
from .castro_maps import CastroMaps
from .lattice import LatticeProfiles, step_for_ts
from .limits import LimitStatus
from .stacking import StackedDMLikelihood

__all__ = [
    "BLOCK",
    "DatasetEngine",
    "FastEngine",
    "results_of",
    "why_not_fast",
    "with_signal",
]

# Realisations come in blocks of a fixed size, whatever the number of processes: the lattice of a
# block depends on its counts, and results must not depend on who computed them.
BLOCK = 25
N_PROBE = 3
AT_ONCE = 4  # profiles of so many targets are held before they are added
QUANTITIES = ("strength", "strength_ul", "ts", "status")


def with_signal(maker, process=None, mass=None, channel=None, strength=None):
    """Copy of a `SimulatedDatasetMaker` with another signal, none by default."""
    new = copy(maker)
    sigmav = strength if process == "annihilation" else None
    gamma = strength if process == "decay" else None
    new.signal = Signal.from_arguments(mass, channel, sigmav, gamma)
    return new


def why_not_fast(castro, datasets):
    """Why the exact profiles of Poisson counts can't be used, or None."""
    for dataset in datasets:
        if not isinstance(dataset, SEDLikelihoodDataset):
            return f"{dataset.name!r} is a {type(dataset).__name__}"
        if castro.interpolation not in (None, "poisson"):
            return f"the estimator has interpolation={castro.interpolation!r}"
        if castro.interpolation is None and dataset.interpolation != "poisson":
            return f"{dataset.name!r} has interpolation={dataset.interpolation!r}"
    return None


def summarise(profiles, shape, cl):
    """Best fit, limit, TS and status of profiles on the lattice.

    Parameters
    ----------
    profiles : `LatticeProfiles`
        Rows of the shape ``shape``.
    shape : tuple
        (realisation, channel, mass).
    cl : float

    Returns
    -------
    arrays : dict of array of that shape
        By `QUANTITIES`; strengths in cm3 s-1 or s-1, NaN where there is no information.
    """
    nodes = profiles.step * np.arange(profiles.n_norm)
    best, minimum = limits.best_fit(nodes, profiles.values, profiles.zero)
    begin = profiles.step * profiles.start
    upper, status = limits.upper_limit(
        nodes, profiles.values, profiles.zero, best, minimum, limits.delta_stat_upper(cl),
        profiles.extrapolated - begin, profiles.gap - begin[:, None],
    )  # fmt: skip
    status[profiles.empty] = LimitStatus.NO_INFORMATION
    values = {
        "strength": best * 10.0**begin,
        "strength_ul": upper * 10.0**begin,
        "ts": np.clip(profiles.zero - minimum, 0, None),
    }
    for value in values.values():
        value[profiles.empty] = np.nan
    values["status"] = status
    return {name: value.reshape(shape) for name, value in values.items()}


def limits_by_method(profiles, asimov, shape, template, method):
    """Limits by another method than ``profile``.

    Parameters
    ----------
    profiles, asimov : `LatticeProfiles`
        Of realisations, and of the Asimov data without signal at their observed J; rows of the
        shape ``shape``.
    shape : tuple
        (realisation, channel, mass).
    template : `CastroMaps`
        Whose masses, channels and metadata they have.
    method : str
        See `CastroMaps.upper_limit_and_status`.

    Returns
    -------
    strength_ul, status : arrays of that shape
    """
    castro = _as_castro(profiles, shape, template)
    limit, status = castro.upper_limit_and_status(
        method=method, asimov=_as_castro(asimov, shape, template)
    )
    return limit.data[..., 0, 0], status.data[..., 0, 0].astype(int)


def _as_castro(profiles, shape, template):
    """`CastroMaps` with the axis realisation, of rows of the shape (realisation, channel, mass)."""
    nodes, reference, stat = profiles.scan()
    stat -= stat.min(axis=1, keepdims=True)
    axes = [
        *template.geom.axes, MapAxis.from_nodes(np.arange(shape[0]), name="realisation")
    ]  # fmt: skip
    geom = RegionGeom(None, axes=axes)
    norm_axis = MapAxis.from_nodes(nodes, name="norm", interp="lin")
    status = np.where(profiles.empty, int(LimitStatus.NO_INFORMATION), int(LimitStatus.FOUND))
    data = {
        "reference": RegionNDMap(
            geom, reference.reshape(geom.data_shape), unit=template["reference"].unit
        ),
        "stat_scan": RegionNDMap(
            RegionGeom(None, axes=[norm_axis, *axes]), stat.reshape(*shape, -1, 1, 1)
        ),
        "status": RegionNDMap(geom, status.reshape(geom.data_shape)),
        "norm_extrapolated": RegionNDMap(
            geom, (10.0**profiles.extrapolated / reference).reshape(geom.data_shape)
        ),
    }
    return CastroMaps(data, template.meta)


class DatasetEngine:
    """Simulates datasets and analyses them as data: works for everything, exactly as files do.

    Parameters
    ----------
    castro : `CastroEstimator`
    simulation : `~dmgammapy.makers.Simulation` or None
    tables : list of callable
        Each gives the simulated castro result of a realisation.
    stack_options : dict
        Of `StackedDMLikelihood`.
    limit_method : str
        Others than ``profile`` use the Asimov data at the observed J of the realisation.
    null : `~dmgammapy.makers.Simulation`, optional
        Without signal, of which they are; without it there are none.
    joint : dict, optional
        By name of a dataset: a label that datasets share whose counts are fitted together, see
        `ExpectedLimitsEstimator`.
    """

    block = 1

    def __init__(
        self, castro, simulation, tables, stack_options, limit_method="profile", null=None,
        joint=None,
    ):  # fmt: skip
        self.joint = joint
        self.limit_method = limit_method
        self.scatter = None
        self.castro = copy(castro)
        self.castro.n_jobs, self.castro.show_progress = 1, False
        self.simulation = simulation
        self.null = null
        self.tables = tables
        self.stack_options = dict(stack_options)
        self.stack_options |= {"show_progress": False, "cl": castro.cl}

    def stack(self, realisation):
        """`StackedDMLikelihood` of a realisation, or of the Asimov data if that is None."""
        castros = []
        if self.simulation is not None:
            if realisation is None:
                datasets = list(self.simulation.asimov())
            else:
                datasets = list(self.simulation.run(realisation))
                self._scatter(datasets, realisation)
            castros = self._castros(datasets)
        castros += [table(realisation) for table in self.tables]
        return StackedDMLikelihood(castros, **self.stack_options)

    def _castros(self, datasets):
        out = []
        for part in self._parts(datasets):
            castros = self.castro.run(part)
            out += castros if isinstance(castros, list) else [castros]
        return out

    def _parts(self, datasets):
        """Datasets that are analysed at once."""
        if self.joint is None:
            return [datasets]
        parts = {}
        for dataset in datasets:
            parts.setdefault(self.joint[dataset.name], []).append(dataset)
        return list(parts.values())

    def asimov_stack(self, realisation):
        """`StackedDMLikelihood` of the Asimov data without signal, at J as a realisation has it."""
        datasets = list(self.null.asimov())
        for dataset, drawn in zip(
            datasets, self.simulation.draws([realisation], counts=False), strict=True
        ):
            observed_models(dataset.models, drawn.target, float(drawn.log10_jfactor_obs[0]))
        self._scatter(datasets, realisation)
        return StackedDMLikelihood(self._castros(datasets), **self.stack_options)

    def _scatter(self, datasets, realisation):
        """Move the observed J of instruments that have an uncertainty of their own."""
        if self.scatter is None or not self.scatter.parts:
            return
        for dataset, draws in zip(
            datasets, self.simulation.draws([realisation], counts=False), strict=True
        ):
            if not isinstance(dataset, SEDLikelihoodDataset):
                if any(target == draws.target for target, _ in self.scatter.parts):
                    raise ValueError(
                        f"dataset {dataset.name!r}: the J-factor widths that instruments have of "
                        "their own can be simulated for SED likelihoods only; use a maker with "
                        "redraw_jfactor=False."
                    )
                continue
            observed = self.scatter.observed(
                draws.target, dataset.instrument, draws.log10_jfactor, draws.log10_jfactor_obs,
                [realisation],
            )  # fmt: skip
            observed_models(dataset.models, draws.target, float(observed[0]))

    def run(self, realisations, per_target):
        """Results of some realisations.

        Returns
        -------
        results : dict of dict of array, shape (realisation, channel, mass)
            By ``stack`` and, if asked, the targets.
        """
        parts = [self._one(i, per_target) for i in realisations]
        return {
            name: {q: np.stack([part[name][q] for part in parts]) for q in QUANTITIES}
            for name in parts[0]
        }

    def _one(self, realisation, per_target):
        results = results_of(self.stack(realisation), per_target)
        asimov = {}
        if self.limit_method != "profile" and self.null is not None:
            asimov = results_of(self.asimov_stack(realisation), per_target)
        return {
            name: self._quantities(result, asimov.get(name)) for name, result in results.items()
        }

    def _quantities(self, castro, asimov):
        limit, status = castro.strength_ul, castro["status"]
        if self.limit_method != "profile":
            limit, status = castro.upper_limit_and_status(method=self.limit_method, asimov=asimov)
        return {
            "strength": castro.strength.data[..., 0, 0],
            "strength_ul": limit.data[..., 0, 0],
            "ts": castro["ts"].data[..., 0, 0],
            "status": status.data[..., 0, 0].astype(int),
        }


def results_of(stack, per_target):
    """Results of a stack by name: ``stack`` and, if asked, the targets."""
    return {"stack": stack.run()} | (stack.target_maps if per_target else {})


class FastEngine:
    """Analyses Poisson counts of SED likelihoods many realisations at once.

    Parameters
    ----------
    castro : `CastroEstimator`
    simulation : `~dmgammapy.makers.Simulation`
    datasets : list of `SEDLikelihoodDataset`
    stack : `StackedDMLikelihood`
        Of the Asimov data of these datasets, which says how they are combined.
    limit_method : str
    """

    block = BLOCK

    def __init__(self, castro, simulation, datasets, stack, limit_method="profile"):
        self.simulation = simulation
        self.limit_method = limit_method
        self.stack = stack
        self.scatter = JFactorScatter(simulation.maker, stack)
        self.cl = castro.cl
        self.shape = (len(castro.labels), len(castro.masses))
        self.members = []
        for dataset, draws in zip(datasets, simulation.draws([]), strict=True):
            self.members.append(_Member(castro, dataset, draws.expectation, stack))

    def run(self, realisations, per_target):
        """As `DatasetEngine.run`."""
        counts, shifts = self._drawn(realisations)
        results = self._results(counts, shifts, per_target)
        shape = (len(realisations), *self.shape)
        out = {name: summarise(part, shape, self.cl) for name, part in results.items()}
        if self.limit_method != "profile":
            counts = [np.tile(m.profiles.background, (shape[0], 1)) for m in self.members]
            asimov = self._results(counts, shifts, per_target)
            template = self.stack.castros[0]
            for name, part in results.items():
                out[name]["strength_ul"], out[name]["status"] = limits_by_method(
                    part, asimov[name], shape, template, self.limit_method
                )
        return out

    def _results(self, counts, shifts, per_target):
        """Treated profiles by name."""
        raw, total = self.profiles(counts, shifts, keep=per_target)
        out = {"stack": total}
        if per_target:
            out |= {name: self.stack._treated(name, raw[name]) for name in self.stack.targets}
        return out

    def drawn_profiles(self, realisations):
        """Profiles of realisations as the simulation draws them, see `profiles`."""
        return self.profiles(*self._drawn(realisations), keep=False)

    def _drawn(self, realisations):
        """Counts and shifts as `profiles` takes them, of realisations of the simulation."""
        draws = self.simulation.draws(list(realisations))
        counts = [d.counts[:, m.keep] for m, d in zip(self.members, draws, strict=True)]
        return counts, self.observed_shifts(draws, realisations)

    def observed_shifts(self, draws, realisations):
        """log10 of the observed J of each data set over the one it has, (n_real,) each."""
        return [
            self.scatter.observed(
                member.target, member.instrument, draw.log10_jfactor, draw.log10_jfactor_obs,
                realisations,
            ) - member.log10_jfactor
            for member, draw in zip(self.members, draws, strict=True)
        ]  # fmt: skip

    def signal_counts(self, strength, realisations, streams):
        """Counts of data in which every mass and channel has its own signal.

        Parameters
        ----------
        strength : array, shape (n_row,)
        realisations : list of int
            For the J-factors, which are those of the simulation.
        streams : list of `~numpy.random.Generator`
            For each dataset.

        Returns
        -------
        counts : list of array, shape (n_real, n_row, n_bin)
        shifts : list of array, shape (n_real,)
        """
        draws = self.simulation.draws(list(realisations), counts=False)
        counts = []
        for member, draw, stream in zip(self.members, draws, streams, strict=True):
            scale = 10.0 ** (draw.log10_jfactor - member.log10_jfactor)
            counts.append(stream.poisson(member.profiles.mean(scale[:, None] * strength)))
        return counts, self.observed_shifts(draws, realisations)

    def asimov_results(self, strength, factor):
        """TS and limit of Asimov data, every mass and channel with its own signal and exposure.

        Parameters
        ----------
        strength, factor : array, shape (channel, mass)

        Returns
        -------
        arrays : dict of array, shape (channel, mass)
            As `summarise`.
        """
        strength, factor = strength.ravel(), factor.ravel()
        counts, shifts = [], []
        for member in self.members:
            shift = member.asimov_log10_jfactor - member.log10_jfactor
            counts.append(member.profiles.mean(strength * 10.0**shift)[None])
            shifts.append(np.array([shift]))
        total = self.profiles(counts, shifts, factor, keep=False)[1]
        return {
            name: values[0] for name, values in summarise(total, (1, *self.shape), self.cl).items()
        }

    def profiles(self, counts, shifts, factor=None, keep=True):
        """Profiles of targets, J not treated, and of the stack.

        Parameters
        ----------
        counts : list of array, shape (n_real, n_bin) or (n_real, n_row, n_bin)
            For each dataset.
        shifts : list of array, shape (n_real,)
            log10 of the observed J over that of the datasets given.
        factor : array, shape (n_row,), optional
            Exposure in units of the data sets', of counts and backgrounds alike.
        keep : bool
            Whether profiles of all targets are wanted. Those of many need much memory. Default is
            True.

        Returns
        -------
        raw : dict of `LatticeProfiles`
            By target; empty if they are not kept.
        total : `LatticeProfiles`
        """
        step = self.stack._coarsest_step()
        if len(counts[0]) > 2 * N_PROBE:  # a few say which step will do
            few = [slice(N_PROBE)] * len(counts)
            parts = [[x[i] for x, i in zip(y, few, strict=True)] for y in (counts, shifts)]
            step = self.profiles(*parts, factor, keep=False)[1].step
        while True:
            raw, total = self._sum(counts, shifts, step, factor, keep)
            needed = step_for_ts(total.largest_ts())
            if needed >= step:
                return raw, total
            step = needed

    def _sum(self, counts, shifts, step, factor, keep):
        """Profiles of targets, if they are kept, and of the stack, on one lattice."""
        kept, totals = {}, []
        for block in self.stack._blocks(self.stack.targets):
            raw = {name: self._raw(name, counts, shifts, step, factor) for name in block}
            totals.append(self.stack._combine(raw, block))
            if len(totals) == AT_ONCE:
                totals = [LatticeProfiles.sum(totals)]
            if keep:
                kept |= raw
        return kept, LatticeProfiles.sum(totals)

    def _raw(self, target, counts, shifts, step, factor):
        """Profiles of one target, J not treated."""
        parts = {}
        for member, n, shift in zip(self.members, counts, shifts, strict=True):
            if member.target == target:
                profiles = member.profiles.run(n, step, factor)
                shift = np.repeat(shift, member.profiles.n_row)
                parts[member.instrument] = profiles.shifted(shift)
        return self.stack._join_instruments(target, parts)


class _Member:
    """One dataset of the fast engine."""

    def __init__(self, castro, dataset, expectation, stack):
        if not isinstance(expectation, SEDExpectation):
            raise TypeError(f"dataset {dataset.name!r} has no SEDExpectation.")
        self.name = dataset.name
        self.target, model = _dark_matter_model(dataset, castro.process)
        self.instrument = dataset.instrument
        self.asimov_log10_jfactor = stack.groups[self.target][self.instrument].meta.log10_jfactor
        self.log10_jfactor, _ = _jfactor(dataset, model)
        self.keep, amplitude, width, _ = castro._amplitude(dataset, model)
        self.profiles = PoissonProfiles(
            expectation.background[self.keep], expectation.npred[self.keep], amplitude, width
        )
        self.prior = stack.priors[self.target][self.instrument]
