"""From bin-by-bin likelihoods to the likelihood of ``<sigma v>``: `CastroEstimator`."""

import logging
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import astropy.units as u
import numpy as np
from gammapy.datasets import Datasets
from gammapy.estimators.core import Estimator
from joblib import Parallel, delayed

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.datasets.scans import INTERPOLATIONS, LikelihoodScans
from dmgammapy.modeling import JFactorPrior
from dmgammapy.spectra import channel_label, read_spectra
from dmgammapy.utils import progress

from . import _kernels as kernels
from .castro_maps import STRENGTH_UNITS, CastroMaps
from .lattice import BASE_STEP, LatticeProfiles, step_for_ts
from .metadata import CastroMetaData

__all__ = ["CastroEstimator"]

log = logging.getLogger(__name__)

# The lattice of a row begins where the signal changes stat by less than START_STAT and ends some
# decades (at least MARGIN, more for a wide J prior) above the point where a single bin has excluded
# it by TOP_STAT.
START_STAT = 1e-3
TOP_STAT = 100.0
MARGIN = 2.0
# The table of a bin reaches from TABLE_BELOW decades under to TABLE_ABOVE decades over the norm
# at which its stat has risen by TABLE_STAT.
TABLE_BELOW, TABLE_ABOVE, TABLE_STAT = 9.0, 6.0, 4.0
YIELD_UNITS = {"flux": u.Unit(""), "eflux": u.Unit("GeV"), "dnde": u.Unit("GeV-1")}
FLUX_UNITS = {name: unit * u.Unit("cm-2 s-1") for name, unit in YIELD_UNITS.items()}
# Straight lines have kinks, which a lattice of the usual step would round off.
LINEAR_STEP = BASE_STEP / 8


@lru_cache(maxsize=64)
def _unit_flux(spectra, edges, energy_ref, masses, channels, process, norm_type, k, redshift):
    """Flux of every bin for J = 1 and unit signal strength, and where it is valid.

    Arguments are hashable forms; the flux has the shape (channel, mass, bin) in cm-2 s-1,
    GeV cm-2 s-1 or GeV-1 cm-2 s-1.
    """
    spectra = spectra.spectra
    energy = np.frombuffer(edges) * u.GeV
    center = np.frombuffer(energy_ref) * u.GeV
    mass = np.frombuffer(masses) * u.GeV
    names = [dict(c) if isinstance(c, tuple) else c for c in channels]
    valid = spectra.is_valid(mass, names, process=process)
    z = 1.0 + redshift
    yields = spectra.integrate(
        energy * z, mass, names, process=process, norm_type=norm_type, energy_ref=center * z
    )
    yields = (
        yields.to_value(YIELD_UNITS[norm_type]) / {"flux": z, "eflux": z**2, "dnde": 1.0}[norm_type]
    )
    m = mass.value[:, None]
    factor = 1 / (4 * np.pi * k * m**2) if process == "annihilation" else 1 / (4 * np.pi * m)
    flux = yields * factor
    if not (np.isfinite(flux[valid]).all() and (flux[valid] >= 0).all()):
        raise ValueError(f"spectra {spectra.name}: negative or invalid flux.")
    flux = np.where(valid[..., None], flux, 0.0)
    flux.setflags(write=False)
    return flux, valid


class _SpectraKey:
    """Hashable handle of spectra, so that equal ones share cached operators."""

    def __init__(self, spectra):
        self.spectra = spectra
        try:
            self._key = repr(spectra.source)
        except ValueError:  # a table in memory is equal to itself only
            self._key = id(spectra)

    def __hash__(self):
        return hash(self._key)

    def __eq__(self, other):
        return self.spectra is other.spectra or (
            self._key == other._key and self.spectra == other.spectra
        )


class CastroEstimator(Estimator):
    r"""Convert bin-by-bin likelihoods into likelihoods of ``<sigma v>`` or the decay rate.

    For every mass ``m`` and channel ``c`` of the scan

    .. math:: \mathrm{stat}(\sigma v; m, c) = \sum_b \mathrm{stat}_b(F_b(\sigma v, m, c) / R_b)

    with the flux ``F_b`` of the model in bin ``b`` and the reference flux ``R_b``. The J-factor
    and its prior are taken from the model on the dataset; the prior is passed on, not applied.
    Mass, channel and ``sigmav`` of that model are placeholders. Nothing passed in is changed.

    Parameters
    ----------
    masses : `~astropy.units.Quantity`, shape (n_mass,)
        Ascending.
    channels : list of str or dict
        Channel names, or mixtures ``{channel: fraction}``.
    spectra : str, path or `~dmgammapy.spectra.Spectra`
        Source of the photon yields. Default is ``pppc4``.
    process : {"annihilation", "decay"}
        Default is annihilation.
    norm_type : {"eflux", "flux", "dnde"}
        Flux that scales a bin's likelihood. Default is ``eflux``.
    interpolation : {"poisson", "cubic", "linear"}, optional
        How scans run between and beyond their points, see
        `~dmgammapy.datasets.LikelihoodScans`. Default is that of each dataset.
    cl : float
        Confidence level of the stored upper limits. Default is 0.95.
    n_jobs : int
        Datasets converted at the same time, in threads. Default is 1; -1 uses all cores.
    show_progress : bool or None
        Show a progress bar; None shows one for more than 50 datasets on a terminal.

    Raises
    ------
    ValueError
        If a channel or spectra is unknown, or masses lie outside the spectra's range.

    Examples
    --------
    One energy bin with 3 counts over an expected background of 2.5; norm 1 is 1 count:

    >>> import astropy.units as u
    >>> import numpy as np
    >>> from dmgammapy.datasets import SEDLikelihoodDataset
    >>> from dmgammapy.estimators import CastroEstimator
    >>> from dmgammapy.targets import Target
    >>> norm = np.linspace(0, 12, 25)
    >>> stat = 2 * (norm - 3 * np.log(2.5 + norm))
    >>> target = Target("draco", log10_jfactor=18.8, log10_jfactor_err=0.16)
    >>> dataset = SEDLikelihoodDataset(
    ...     [1, 10] * u.GeV,
    ...     [norm],
    ...     [stat - stat.min()],
    ...     ref_eflux=[1e-9] * u.Unit("GeV cm-2 s-1"),
    ...     models=target.to_models(mass="100 GeV", channel="b"),
    ... )
    >>> castro = CastroEstimator([10, 100] * u.GeV, ["b", "tau"]).run(dataset)
    >>> castro.sigmav_ul.quantity.shape
    (2, 2, 1, 1)
    >>> print(castro.meta.target, castro.meta.log10_jfactor)
    draco 18.8
    """

    tag = "CastroEstimator"

    def __init__(
        self,
        masses,
        channels,
        spectra="pppc4",
        process="annihilation",
        norm_type="eflux",
        interpolation=None,
        cl=0.95,
        n_jobs=1,
        show_progress=None,
    ):
        self.masses = np.atleast_1d(u.Quantity(masses)).to("GeV")
        if isinstance(channels, str | dict):
            channels = [channels]
        self.channels = list(channels)
        self.spectra = read_spectra(spectra)
        self.process = process
        self.norm_type = norm_type
        self.interpolation = interpolation
        self.cl = cl
        self.n_jobs = n_jobs
        self.show_progress = show_progress
        self.labels = [channel_label(c) for c in self.channels]
        self._check()

    def _check(self):
        if self.process not in STRENGTH_UNITS:
            raise ValueError(f"process must be 'annihilation' or 'decay', got {self.process!r}.")
        if self.norm_type not in ("eflux", "flux", "dnde"):
            raise ValueError(
                f"norm_type must be 'eflux', 'flux' or 'dnde', got {self.norm_type!r}."
            )
        mass = self.masses.value
        if mass.ndim != 1 or not mass.size or not (np.diff(mass) > 0).all() or mass[0] <= 0:
            raise ValueError(f"masses must be positive and ascend, got {self.masses}.")
        if self.interpolation is not None and self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"interpolation must be one of {sorted(INTERPOLATIONS)} or None, "
                f"got {self.interpolation!r}."
            )
        if not self.channels:
            raise ValueError("channels is empty.")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"channels must differ from each other, got {self.labels}.")
        self.spectra.is_valid(self.masses, self.channels, process=self.process)

    @property
    def config_parameters(self):
        """Configuration, for printing."""
        return {
            "masses": self.masses,
            "channels": self.labels,
            "spectra": self.spectra.name,
            "process": self.process,
            "norm_type": self.norm_type,
            "interpolation": self.interpolation or "that of each dataset",
            "cl": self.cl,
            "n_jobs": self.n_jobs,
        }

    def run(self, datasets):
        """Convert one dataset or several.

        Parameters
        ----------
        datasets : `~dmgammapy.datasets.SEDLikelihoodDataset` or list of them
            Each with a dark matter model, e.g. from `~dmgammapy.targets.Target.to_models`.

        Returns
        -------
        castro : `CastroMaps` or list of `CastroMaps`
            One for a single dataset; otherwise a list in the order of the input.

        Raises
        ------
        ValueError
            If a dataset has no dark matter model or more than one, the process does not fit, or
            the reference flux for ``norm_type`` is missing. The message names the dataset.
        """
        if isinstance(datasets, SEDLikelihoodDataset):
            return self._run_one(datasets)
        if not isinstance(datasets, Datasets | Iterable):
            raise TypeError(
                "run needs a SEDLikelihoodDataset or a list of them, "
                f"got {type(datasets).__name__}."
            )
        datasets = list(datasets)
        for dataset in datasets:
            if not isinstance(dataset, SEDLikelihoodDataset):
                raise TypeError(
                    f"dataset {getattr(dataset, 'name', dataset)!r}: CastroEstimator converts "
                    f"SEDLikelihoodDataset, got {type(dataset).__name__}."
                )
        items = progress(datasets, "castro", self.show_progress)
        parallel = Parallel(n_jobs=self.n_jobs, prefer="threads")
        return parallel(delayed(self._run_one)(d) for d in items)

    def _operator(self, dataset, model, keep):
        edges = dataset.energy_edges.to_value("GeV")
        center = dataset.energy_ref.to_value("GeV")
        channels = tuple(
            tuple(sorted(c.items())) if isinstance(c, dict) else c for c in self.channels
        )
        k = getattr(model, "k", 1)
        flux, valid = _unit_flux(
            _SpectraKey(self.spectra), np.ascontiguousarray(edges).tobytes(),
            np.ascontiguousarray(center).tobytes(), self.masses.value.tobytes(), channels,
            self.process, self.norm_type, k, float(model.redshift),
        )  # fmt: skip
        return flux[..., keep], valid

    def _scans(self, dataset):
        if self.interpolation in (None, dataset.interpolation):
            return dataset.scans
        return LikelihoodScans(dataset.norm_scan, dataset.stat_scan, self.interpolation)

    def _run_one(self, dataset):
        name, model = _dark_matter_model(dataset, self.process)
        log10_jfactor, prior = _jfactor(dataset, model)
        keep = dataset.mask if dataset.mask is not None else np.ones(dataset.n_bins, bool)
        if not keep.any():
            raise ValueError(f"dataset {dataset.name!r}: all its energy bins are masked.")
        flux, valid = self._operator(dataset, model, keep)
        ref = dataset.ref(self.norm_type).to_value(FLUX_UNITS[self.norm_type])[keep]
        amplitude = (10.0**log10_jfactor * flux / ref).reshape(-1, keep.sum())
        width = 0.0 if prior is None else max(prior.err_low, prior.err_high)
        scans = self._scans(dataset)
        profiles = _convert(scans, keep, amplitude, width)
        n_zero = int((profiles.empty & valid.ravel()).sum())
        notes = []
        if not valid.all():
            notes.append(_masked_note(name, self.labels, self.masses, ~valid, "below threshold"))
        if n_zero:
            no_flux = profiles.empty.reshape(valid.shape) & valid
            notes.append(
                _masked_note(name, self.labels, self.masses, no_flux, "no flux in any bin")
            )
        if not keep.all():
            notes.append(f"{name}: energy bins {np.flatnonzero(~keep).tolist()} are masked.")
        unused = scans.norm_min[keep] < 0
        if unused.any():
            notes.append(
                f"{name}: the signal is bounded at zero; what {unused.sum()} energy bins have at "
                "negative norm is not used."
            )
        late = scans.norm_min[keep] > 0
        if late.any():
            notes.append(
                f"{name}: the scans of {late.sum()} energy bins begin above norm 0, where they "
                "are extrapolated; TS is uncertain by it."
            )
        for note in notes:
            log.info(note)
        meta = CastroMetaData(
            target=name,
            instrument=dataset.instrument,
            process=self.process,
            log10_jfactor=log10_jfactor,
            prior=prior,
            cl=self.cl,
            spectra=str(self.spectra.name),
            norm_type=self.norm_type,
            interpolation=scans.interpolation,
            k=getattr(model, "k", None),
            redshift=float(model.redshift),
            notes=notes,
            origin=dataset.name,
        )
        offset = float(dataset.stat[keep].sum()) if dataset.stat is not None else 0.0
        return CastroMaps._from_lattice(
            profiles, self.masses, self.labels, np.full(valid.shape, offset), meta
        )


def _dark_matter_model(dataset, process):
    """Name of the target and the spectral model of a dataset's dark matter source."""
    models = list(dataset.models) if dataset.models is not None else []
    found = [m for m in models if getattr(getattr(m, "spectral_model", None), "process", None)]
    remedy = "set dataset.models = target.to_models(mass=..., channel=...)"
    if not found:
        raise ValueError(f"dataset {dataset.name!r} has no dark matter model: {remedy}.")
    if len(found) > 1 or len(models) > 1:
        raise ValueError(
            f"dataset {dataset.name!r} has the models {[m.name for m in models]}: its likelihood "
            f"is that of one source, so it needs exactly one dark matter model; {remedy}."
        )
    model = found[0].spectral_model
    if model.process != process:
        raise ValueError(
            f"dataset {dataset.name!r}: its model {found[0].name!r} is about {model.process}, the "
            f"estimator about {process}; use to_models(..., process={process!r})."
        )
    return found[0].name, model


def _jfactor(dataset, model):
    parameter = model.log10_jfactor if model.process == "annihilation" else model.log10_dfactor
    prior = parameter.prior
    if prior is not None and not isinstance(prior, JFactorPrior):
        raise ValueError(
            f"dataset {dataset.name!r}: the prior on {parameter.name} must be a JFactorPrior, "
            f"got {type(prior).__name__}."
        )
    if prior is not None and parameter.value != prior.log10_jfactor:
        raise ValueError(
            f"dataset {dataset.name!r}: {parameter.name} is {parameter.value} but its prior is "
            f"centred on {prior.log10_jfactor}; set the parameter to the prior's value."
        )
    return float(parameter.value), prior


def _masked_note(name, labels, masses, mask, why):
    parts = []
    for label, row in zip(labels, mask, strict=True):
        if row.any():
            values = ", ".join(f"{m:g}" for m in masses.value[row])
            parts.append(f"{label} at {values} GeV")
    return f"{name}: no information ({why}): {'; '.join(parts)}."


def _convert(scans, keep, amplitude, prior_width):
    """Profiles on the lattice from scans and the norm per unit strength, (n_row, n_bin)."""
    tables = _tabulate(scans, keep)
    step = tables.step
    with np.errstate(divide="ignore"):
        log_amplitude = np.log10(amplitude)  # -inf where a bin gets no flux
    # where the first bin notices the signal, and where the first one has excluded it
    bottom = (tables.log10_begin - log_amplitude).min(axis=1)
    top = (tables.log10_top - log_amplitude).min(axis=1)
    end = (tables.log10_end - log_amplitude).min(axis=1)
    empty = ~np.isfinite(bottom)
    top = np.minimum(top + max(MARGIN, 1.0 + 5.0 * prior_width), end)
    n_row = len(amplitude)
    if empty.all():
        n_norm, start = 8, np.zeros(n_row, dtype=np.int64)
    else:
        stop = np.ceil(np.where(empty, 0, top) / step).astype(np.int64)
        start = np.floor(np.where(empty, 0, bottom) / step).astype(np.int64)
        n_norm = int((stop - start)[~empty].max())
        start = stop - n_norm
        start[empty] = start[~empty][0]
    position = np.where(amplitude > 0, log_amplitude / step, np.nan)
    values = np.empty((n_row, n_norm))
    kernels.apply_spectra(tables.stat, tables.first, position, start, values)
    values[empty] = 0.0
    reach = (np.log10(scans.norm_max[keep]) - log_amplitude).min(axis=1)
    return LatticeProfiles(
        step=step,
        start=start,
        values=values + tables.zero_stat,
        zero=np.full(n_row, tables.zero_stat),
        empty=empty,
        extrapolated=np.where(empty, np.inf, reach),
    )


class _Tables(NamedTuple):
    """Likelihoods of all bins on the norm lattice.

    Attributes
    ----------
    stat : array, shape (n_bin, n_table)
        Relative to zero norm.
    first : int array, shape (n_bin,)
        Lattice index of the first entry.
    step : float
        Lattice step in dex.
    zero_stat : float
        Sum of the bins' ``stat`` at zero norm.
    log10_begin, log10_top, log10_end : arrays, shape (n_bin,)
        log10 of the norm at which ``stat`` begins to change, has excluded the signal (both inf if
        it never does), and at which the table ends.
    """

    stat: np.ndarray
    first: np.ndarray
    step: float
    zero_stat: float
    log10_begin: np.ndarray
    log10_top: np.ndarray
    log10_end: np.ndarray


def _tabulate(scans, keep):
    """Tables of the bins ``keep``, with a step that resolves their likelihood."""
    n_bin = int(keep.sum())
    decades = np.arange(-10, 6.001, 0.125)
    coarse_norm = scans.norm_max[:, None] * 10.0**decades
    both = scans.stat(np.concatenate([np.zeros((scans.n_bins, 1)), coarse_norm], axis=1))
    zero, coarse = both[:, 0], both[:, 1:] - both[:, :1]
    lowest = np.minimum(coarse.min(axis=1), 0)
    ts = float(-lowest[keep].sum())  # at least the total TS
    step = step_for_ts(ts)
    if scans.interpolation == "linear":
        step = min(step, LINEAR_STEP)
    # the norm from which on a bin stays excluded by TABLE_STAT sets the scale of its table
    above = coarse - lowest[:, None] > TABLE_STAT
    last_inside = coarse.shape[1] - 1 - np.argmax(~above[:, ::-1], axis=1)
    last_inside = np.where(above.all(axis=1), -1, last_inside)
    scale = coarse_norm[np.arange(len(zero)), np.minimum(last_inside + 1, len(decades) - 1)]
    first = np.floor((np.log10(scale) - TABLE_BELOW) / step).astype(np.int64)
    n_table = int((TABLE_BELOW + TABLE_ABOVE) / step)
    log_norm = step * (first[:, None] + np.arange(n_table))
    stat = scans.stat(10.0**log_norm) - zero[:, None]

    noticed = np.abs(stat) > START_STAT / n_bin
    begin = np.take_along_axis(log_norm, np.argmax(noticed, axis=1)[:, None], axis=1)[:, 0]
    begin = np.where(noticed.any(axis=1), begin, np.inf)
    inside = stat <= (lowest + TOP_STAT + ts)[:, None]
    last = n_table - 1 - np.argmax(inside[:, ::-1], axis=1)
    top = np.take_along_axis(log_norm, last[:, None], axis=1)[:, 0]
    top = np.where(last < n_table - 1, top, np.inf)
    return _Tables(
        np.ascontiguousarray(stat[keep]), first[keep], step, float(zero[keep].sum()),
        begin[keep], top[keep], log_norm[keep, -1],
    )  # fmt: skip
