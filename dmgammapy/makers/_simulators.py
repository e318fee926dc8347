"""How the counts of one dataset are simulated."""

from copy import copy, deepcopy
from dataclasses import dataclass

import numpy as np
from gammapy.datasets import MapDatasetOnOff, SpectrumDatasetOnOff
from gammapy.maps import Map
from gammapy.modeling.models import DatasetModels
from gammapy.stats import get_wstat_mu_bkg

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.utils import without_warnings

from ._streams import random_stream
from ._truth import check_spectrum, source_factor
from .expectation import SEDExpectation

__all__ = ["SimulatedDraws", "make_simulator"]

LARGEST_ALPHA = 1e30
NEGATIVE_NOISE = 1e-6  # of the largest value: what Fourier transforms leave


@dataclass(frozen=True)
class SimulatedDraws:
    """Realisations of a dataset as plain arrays, from `Simulation.draws`.

    Of counts datasets ``expectation``, ``counts``, ``norm`` and ``mean`` are None.

    Parameters
    ----------
    name, target : str
        Of the dataset and of its dark matter model.
    log10_jfactor, log10_jfactor_obs : array, shape (n_realisations,)
        True and observed log10 of J [GeV2 cm-5] (or D [GeV cm-2]).
    expectation : `SEDExpectation`, optional
        Background b and counts s of norm 1.
    counts : int array, shape (n_realisations, n_bins), optional
        Drawn counts.
    norm : array, shape (n_realisations, n_bins), optional
        True norm of the signal in each bin.
    mean : array, shape (n_realisations, n_bins), optional
        Expected counts: those of the background, of other sources, and ``s * norm``.
    """

    name: str
    target: str
    log10_jfactor: np.ndarray
    log10_jfactor_obs: np.ndarray
    expectation: SEDExpectation | None = None
    counts: np.ndarray | None = None
    norm: np.ndarray | None = None
    mean: np.ndarray | None = None


def make_simulator(maker, dataset, models, target, key):
    """Choose by the kind of dataset.

    Parameters
    ----------
    maker : `SimulatedDatasetMaker`
    dataset : `~gammapy.datasets.Dataset`
    models : list of `~gammapy.modeling.models.Model`
        Copies that may be kept.
    target : str
        Name of the dark matter model.
    key : str
        Of the dataset in its random streams.
    """
    if isinstance(dataset, SEDLikelihoodDataset):
        return SEDSimulator(maker, dataset, models, target, key)
    if isinstance(dataset, SpectrumDatasetOnOff | MapDatasetOnOff):
        return OnOffSimulator(maker, dataset, models, target, key)
    return CountsSimulator(maker, dataset, models, target, key)


class Simulator:
    """Expected counts of a dataset: ``self._other`` and ``self._signal`` at the observed J."""

    def __init__(self, maker, dataset, models, target, key):
        self.name = dataset.name
        self.target = target
        self.models = models
        self._seed, self._key = maker.seed, key
        self._dataset = copy(dataset)
        self.source = next(model for model in models if model.name == target)
        self._log10_jfactor = source_factor(self.source)[0]

    def _split_models(self, signal):
        """Models of everything else, and of the injected signal (None without one)."""
        others = [model for model in self.models if model.name != self.target]
        injected = deepcopy(self.source)
        signal.apply(injected, self._log10_jfactor)
        spectrum = injected.spectral_model
        self.injected = f"{spectrum.channel} at {spectrum.mass}"
        if signal.strength:
            check_spectrum(injected)
        return others, injected if signal.strength else None

    def mean(self, log10_jfactor):
        """Expected counts of signal and all at a true J, two arrays."""
        signal = self._signal * 10.0 ** (log10_jfactor - self._log10_jfactor)
        return signal, self._other + signal

    def expected_totals(self, log10_jfactor):
        """Sums of expected counts over what is not masked: signal, all."""
        mask = self._dataset.mask
        mask = slice(None) if mask is None else np.asarray(getattr(mask, "data", mask))
        return tuple(float(values[mask].sum()) for values in self.mean(log10_jfactor))

    def draws(self, realisations, log10_jfactor, log10_jfactor_obs, counts):
        """Realisations as plain arrays, `SimulatedDraws`."""
        return SimulatedDraws(self.name, self.target, log10_jfactor, log10_jfactor_obs)

    def _random(self, realisation):
        return random_stream(self._seed, "counts", self.target, self._key, realisation)


class SEDSimulator(Simulator):
    """Poisson counts in the bins of an SED likelihood."""

    def __init__(self, maker, dataset, models, target, key):
        super().__init__(maker, dataset, models, target, key)
        known = maker.expectations
        if known:
            expectation = known.get(dataset.name, known.get(target))
            if not isinstance(expectation, SEDExpectation):
                raise ValueError(
                    f"dataset {dataset.name!r} of target {target!r} has no SEDExpectation among "
                    f"expectations, {sorted(known)}."
                )
        else:
            expectation = SEDExpectation.from_dataset(dataset, **maker.fit_options)
        if expectation.n_bins != dataset.n_bins:
            raise ValueError(
                f"dataset {dataset.name!r} has {dataset.n_bins} bins, its expectation "
                f"{expectation.n_bins}."
            )
        self.expectation = expectation
        self._scan_options = maker.scan_options
        others, injected = self._split_models(maker.signal)
        self._other = expectation.mean(self._norm(others))
        self._signal = expectation.npred * self._norm([] if injected is None else [injected])
        self._dataset.models = None

    def _norm(self, models):
        if not models:
            return np.zeros(self.expectation.n_bins)
        probe = copy(self._dataset)
        probe.models = models
        return (probe.flux_pred() / probe.ref()).to_value("")

    def expect(self, log10_jfactor):
        """Expect counts, in the place of those of `draw`."""
        return (self.mean(log10_jfactor)[1],)

    def draw(self, realisation, log10_jfactor):
        """Draw counts (n_bins,) as a tuple of one."""
        return (self._random(realisation).poisson(self.mean(log10_jfactor)[1]),)

    def draws(self, realisations, log10_jfactor, log10_jfactor_obs, counts):
        """Realisations as plain arrays, `SimulatedDraws`."""
        signal, mean = self.mean(log10_jfactor[:, np.newaxis])
        drawn = None
        if counts:
            drawn = np.empty(mean.shape, dtype=np.int64)
            for row, i, expected in zip(drawn, realisations, mean, strict=True):
                row[:] = self._random(i).poisson(expected)
        return SimulatedDraws(
            self.name, self.target, log10_jfactor, log10_jfactor_obs, self.expectation, drawn,
            signal / self.expectation.npred, mean,
        )  # fmt: skip

    def dataset_of(self, counts, models):
        """Make the dataset of drawn counts."""
        return self.expectation.to_dataset(
            self._dataset, counts[0], models=models, **self._scan_options
        )


class CountsSimulator(Simulator):
    """Poisson counts around the prediction for a map or spectrum dataset."""

    def __init__(self, maker, dataset, models, target, key):
        super().__init__(maker, dataset, models, target, key)
        others, injected = self._split_models(maker.signal)
        probe = self._probe(others)
        self._other = self._clean(self._npred_other(probe, maker), "the background and others")
        self._signal = np.zeros_like(self._other)
        if injected is not None:
            probe = self._probe([injected])
            self._signal = self._clean(_npred_signal(probe).data, f"the signal {target!r}")
        self._dataset.models = None

    def _probe(self, models):
        """Copy of the dataset with other models."""
        probe = copy(self._dataset)
        probe.models = DatasetModels(models)
        return probe

    def _npred_other(self, probe, maker):
        # as Gammapy's npred, which sets negative ones to zero, though
        npred = _npred_signal(probe)
        if probe.background:
            npred += probe.npred_background()
        return npred.data

    def _clean(self, npred, what):
        """Finite expected counts; negative ones beyond rounding are errors where not masked."""
        npred = np.array(npred, dtype=float)
        mask = self._dataset.mask
        inside = np.ones(npred.shape, dtype=bool) if mask is None else mask.data
        peak = np.max(npred, initial=0.0, where=np.isfinite(npred))
        bad = inside & ~(np.isfinite(npred) & (npred >= -NEGATIVE_NOISE * peak))
        if bad.any():
            raise ValueError(
                f"dataset {self.name!r}: {what} predict {npred[bad][0]:.4g} counts in "
                f"{bad.sum()} of {inside.sum()} bins, which can't be drawn; mask them or change "
                "the models."
            )
        return np.clip(np.nan_to_num(npred, nan=0.0, posinf=0.0), 0.0, None)

    def expect(self, log10_jfactor):
        """Expect counts, in the place of those of `draw`."""
        return (self.mean(log10_jfactor)[1],)

    def draw(self, realisation, log10_jfactor):
        """Draw counts (n_energy, ny, nx) as a tuple of one."""
        return (self._random(realisation).poisson(self.mean(log10_jfactor)[1]).astype(float),)

    def dataset_of(self, counts, models):
        """Make the dataset of drawn counts."""
        out = copy(self._dataset)
        out.counts = self._counts_map(counts[0])
        out.models = models
        return out

    def _counts_map(self, data):
        # counts are whole numbers, which 32 bits hold; expected ones are not
        whole = (data == np.rint(data)).all() and data.max(initial=0) < 2**24
        return Map.from_geom(self._dataset._geom, data=data.astype("float32" if whole else float))


class OnOffSimulator(CountsSimulator):
    """ON counts around signal and background, OFF counts around the background by alpha."""

    def _npred_other(self, probe, maker):
        dataset = self._dataset
        self._alpha = np.array(dataset.alpha.data, dtype=float)
        signal = self._clean(probe.npred_signal().data, "the other sources")
        if maker.backgrounds:
            if dataset.name not in maker.backgrounds:
                raise ValueError(
                    f"ON/OFF dataset {dataset.name!r} is not among backgrounds, "
                    f"{sorted(maker.backgrounds)}."
                )
            given = maker.backgrounds[dataset.name]
            background = np.array(given.data if isinstance(given, Map) else given, dtype=float)
            if background.shape != signal.shape:
                raise ValueError(
                    f"dataset {dataset.name!r}: its background has shape {background.shape}, "
                    f"expected {signal.shape}."
                )
        else:
            if dataset.counts is None or dataset.counts_off is None:
                raise ValueError(
                    f"dataset {dataset.name!r} has no counts ON and OFF to take its background "
                    "from: give backgrounds={name: map}."
                )
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                background = get_wstat_mu_bkg(
                    dataset.counts.data, dataset.counts_off.data, self._alpha, signal
                )
                background = np.where(self._alpha > 0, background * self._alpha, np.nan)
                # no OFF acceptance: Gammapy's alpha is the largest number, and all is background
                rest = np.maximum(dataset.counts.data - signal, 0.0)
                background = np.where(self._alpha > LARGEST_ALPHA, rest, background)
        self._background = self._clean(background, "the background")
        return signal + self._background

    def expect(self, log10_jfactor):
        """Expect counts ON and OFF, in the place of those of `draw`."""
        with np.errstate(divide="ignore", invalid="ignore"):
            off = np.where(self._alpha > 0, self._background / self._alpha, 0.0)
        return self.mean(log10_jfactor)[1], off

    def draw(self, realisation, log10_jfactor):
        """Draw counts ON and OFF, each (n_energy, ny, nx)."""
        random = self._random(realisation)
        return tuple(random.poisson(mean).astype(float) for mean in self.expect(log10_jfactor))

    def dataset_of(self, counts, models):
        """Make the dataset of drawn counts."""
        out = super().dataset_of(counts, models)
        out.counts_off = self._counts_map(counts[1])
        return out


def _npred_signal(dataset):
    """Gammapy's prediction, without its warnings of sources outside of the counts."""
    with without_warnings("gammapy.datasets.evaluator"):
        return dataset.npred_signal()
