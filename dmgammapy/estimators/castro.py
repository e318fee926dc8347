"""From bin-by-bin likelihoods to the likelihood of ``<sigma v>``: `CastroEstimator`."""

import logging
from collections.abc import Iterable
from copy import copy

import astropy.units as u
import numpy as np
from gammapy.datasets import Datasets
from gammapy.estimators.core import Estimator
from gammapy.modeling.models import SpectralModel
from joblib import Parallel, delayed

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.datasets.scans import INTERPOLATIONS, LikelihoodScans
from dmgammapy.modeling import JFactorPrior
from dmgammapy.spectra import channel_label, read_spectra
from dmgammapy.utils import progress

from ._castro_counts import CountsCastro, group_by_source, is_counts
from ._conversion import FLUX_UNITS, SpectraKey, convert, unit_flux
from .castro_maps import STRENGTH_UNITS, CastroMaps
from .metadata import CastroMetaData

__all__ = ["CastroEstimator"]

log = logging.getLogger(__name__)

METHODS = ("bins", "direct")


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
    method : {"bins", "direct"}
        How counts datasets are treated. ``bins`` (default) extracts the likelihood of every
        energy bin once (`estimate_sed`) and converts it, without energy dispersion between the
        bins; ``direct`` fits every mass and channel to all counts at once.
    energy_edges : `~astropy.units.Quantity`, optional
        Energy bins for counts datasets. Default is those of the datasets.
    reference_model : `~gammapy.modeling.models.SpectralModel`, optional
        Spectrum inside an energy bin. Default is a power law of index 2.
    free_background : {"free", "fixed"}, list of str or `~astropy.units.Quantity`
        Which background norms are profiled, see `CountsLikelihood.from_datasets`: those free in
        the models (default), none, those of the models named, or of sources within an angle.
    cov_scale : float, optional
        Hold the background norms by Gaussian priors around a global fit, this many of its errors
        wide (fermipy's option of this name). Default is no such priors.
    n_points : int
        Scan points of each bin (or mass and channel, if direct). Default is 30.
    delta_stat_max : float
        Rise of -2 ln L at which scans of counts end. Default is 50.
    negative_norm : bool
        Let scans of counts reach to negative signals, as far as the prediction stays positive.
        Default is False.
    source : str, optional
        Name of the model to scan in counts datasets with several dark matter models.
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
        method="bins",
        energy_edges=None,
        reference_model=None,
        free_background="free",
        cov_scale=None,
        n_points=30,
        delta_stat_max=50.0,
        negative_norm=False,
        source=None,
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
        self.method = method
        self.energy_edges = _energies(energy_edges)
        self.reference_model = reference_model
        self.free_background = free_background
        self.cov_scale = cov_scale
        self.n_points = n_points
        self.delta_stat_max = delta_stat_max
        self.negative_norm = negative_norm
        self.source = source
        self.n_jobs = n_jobs
        self.show_progress = show_progress
        self._check()

    @property
    def labels(self):
        """Names of the channels, list of str."""
        return [channel_label(c) for c in self.channels]

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
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {METHODS}, got {self.method!r}.")
        if self.reference_model is not None and not isinstance(self.reference_model, SpectralModel):
            raise TypeError(
                "reference_model must be a Gammapy spectral model, got "
                f"{type(self.reference_model).__name__}."
            )
        if self.n_points < 8 or not self.delta_stat_max > 4:
            raise ValueError(
                f"n_points must be 8 at least and delta_stat_max above 4, got {self.n_points} and "
                f"{self.delta_stat_max}."
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
            "method": self.method,
            "free_background": self.free_background,
            "cov_scale": self.cov_scale,
            "n_jobs": self.n_jobs,
        }

    def restricted(self, channel, mass):
        """Copy for one channel and mass, by their indices."""
        out = copy(self)
        out.masses, out.channels = self.masses[mass : mass + 1], [self.channels[channel]]
        return out

    def run(self, datasets):
        """Convert one dataset or several.

        Parameters
        ----------
        datasets : `~gammapy.datasets.Datasets`, list or a single dataset
            `~dmgammapy.datasets.SEDLikelihoodDataset`, each a result of its own, or Gammapy's map
            and spectrum datasets, joint where they share the dark matter source. Each with a dark
            matter model, e.g. from `~dmgammapy.targets.Target.to_models`.

        Returns
        -------
        castro : `CastroMaps` or list of `CastroMaps`
            One for a single dataset or for counts of a single source; otherwise a list in the
            order of the input.

        Raises
        ------
        TypeError
            If a dataset is of another kind.
        ValueError
            If a dataset has no dark matter model or more than one, the process does not fit, or
            the reference flux for ``norm_type`` is missing. The message names the dataset.
        """
        units, single = self._units(datasets)
        if len(units) == 1 and isinstance(units[0], CountsCastro):
            units[0].n_jobs = self.n_jobs
        items = progress(units, "castro", self.show_progress)
        parallel = Parallel(n_jobs=self.n_jobs, prefer="threads")
        castros = parallel(delayed(self._run_one)(unit) for unit in items)
        return castros[0] if single else castros

    def _units(self, datasets):
        """What gives one result each, and whether there is only one by nature."""
        if isinstance(datasets, SEDLikelihoodDataset):
            return [datasets], True
        if is_counts(datasets):
            datasets = [datasets]
        if not isinstance(datasets, Datasets | Iterable):
            raise TypeError(
                "run needs SEDLikelihoodDataset or Gammapy's map and spectrum datasets, "
                f"got {type(datasets).__name__}."
            )
        datasets = list(datasets)
        if not datasets:
            raise ValueError("run needs at least one dataset, got none.")
        for dataset in datasets:
            if not isinstance(dataset, SEDLikelihoodDataset) and not is_counts(dataset):
                raise TypeError(
                    f"dataset {getattr(dataset, 'name', dataset)!r}: CastroEstimator takes "
                    "SEDLikelihoodDataset and Gammapy's map and spectrum datasets, got "
                    f"{type(dataset).__name__}."
                )
        groups = group_by_source([d for d in datasets if is_counts(d)], self.source)
        first = {id(members[0]): members for members in groups.values()}
        units = [
            dataset if not is_counts(dataset) else CountsCastro(self, first[id(dataset)])
            for dataset in datasets
            if not is_counts(dataset) or id(dataset) in first
        ]
        return units, len(groups) == 1 and len(units) == 1

    def estimate_sed(self, datasets):
        """Bin-by-bin likelihood of counts.

        Parameters
        ----------
        datasets : `~gammapy.datasets.Datasets`, list or a single dataset
            Gammapy's map and spectrum datasets about one dark matter source; joint.

        Returns
        -------
        sed : `~dmgammapy.datasets.SEDLikelihoodDataset`
            With the source's model; ``norm_scan`` and ``stat_scan`` have the shape
            (n_bins, n_points). Norms are in units of ``reference_model``.

        Raises
        ------
        TypeError
            If a dataset has no counts.
        ValueError
            As `CountsLikelihood.from_datasets`, or if energy bins don't match.
        """
        return self._counts(datasets, "estimate_sed").sed()

    def estimate_cube(self, datasets, geom=None):
        """Bin-by-bin likelihood of a point source at every pixel of a map.

        Parameters
        ----------
        datasets : `~gammapy.datasets.Datasets`, list or a single dataset
            As for `estimate_sed`; the source is moved from pixel to pixel.
        geom : `~gammapy.maps.WcsGeom`, optional
            Pixels to put the source at. Default is the image of the first dataset's counts.

        Returns
        -------
        cube : `CastroCube`
            Pixels where a bin has no data are masked.
        """
        return self._counts(datasets, "estimate_cube").cube(geom)

    @staticmethod
    def _list(datasets):
        return [datasets] if is_counts(datasets) else list(datasets)

    def _counts(self, datasets, what):
        datasets = self._list(datasets)
        wrong = [type(d).__name__ for d in datasets if not is_counts(d)]
        if wrong:
            raise TypeError(f"{what} needs map or spectrum datasets, got {wrong[0]}.")
        return CountsCastro(self, datasets)

    def _operator(self, dataset, model, keep):
        edges = dataset.energy_edges.to_value("GeV")
        center = dataset.energy_ref.to_value("GeV")
        channels = tuple(
            tuple(sorted(c.items())) if isinstance(c, dict) else c for c in self.channels
        )
        k = getattr(model, "k", 1)
        flux, valid = unit_flux(
            SpectraKey(self.spectra), np.ascontiguousarray(edges).tobytes(),
            np.ascontiguousarray(center).tobytes(), self.masses.value.tobytes(), channels,
            self.process, self.norm_type, k, float(model.redshift),
        )  # fmt: skip
        return flux[..., keep], valid

    def _amplitude(self, dataset, model):
        """Bins in use, norm per unit strength, width of the J prior, masses above threshold."""
        log10_jfactor, prior = _jfactor(dataset, model)
        keep = dataset.mask if dataset.mask is not None else np.ones(dataset.n_bins, bool)
        if not keep.any():
            raise ValueError(f"dataset {dataset.name!r}: all its energy bins are masked.")
        flux, valid = self._operator(dataset, model, keep)
        ref = dataset.ref(self.norm_type).to_value(FLUX_UNITS[self.norm_type])[keep]
        amplitude = (10.0**log10_jfactor * flux / ref).reshape(-1, keep.sum())
        width = 0.0 if prior is None else max(prior.err_low, prior.err_high)
        return keep, amplitude, width, valid

    def _scans(self, dataset):
        if self.interpolation in (None, dataset.interpolation):
            return dataset.scans
        return LikelihoodScans(dataset.norm_scan, dataset.stat_scan, self.interpolation)

    def _run_one(self, dataset):
        counts = None
        if isinstance(dataset, CountsCastro):
            if self.method == "direct":
                return self._run_direct(dataset)
            counts, dataset = dataset, dataset.sed()
        name, model = _dark_matter_model(dataset, self.process)
        log10_jfactor, prior = _jfactor(dataset, model)
        keep, amplitude, width, valid = self._amplitude(dataset, model)
        scans = self._scans(dataset)
        profiles = convert(scans, keep, amplitude, width)
        if counts is not None and profiles.empty.all():
            edges = dataset.energy_edges
            raise ValueError(
                f"{counts.name}: none of the masses and channels has flux in the energy bins, "
                f"{edges[0]:.4g} to {edges[-1]:.4g}; choose masses above them."
            )
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
        bounded = scans.norm_min[keep] >= 0
        if bounded.any() and not bounded.all():
            notes.append(
                f"{name}: the scans of {bounded.sum()} energy bins have no negative norms; masses "
                "and channels with flux in them have no negative signals."
            )
        late = scans.norm_min[keep] > 0
        if late.any():
            notes.append(
                f"{name}: the scans of {late.sum()} energy bins begin above norm 0, where they "
                "are extrapolated; TS and limits are uncertain by it, and the status says which."
            )
        if counts is not None:
            notes.append(dataset.meta["background"])
            if "held_in_bins" in dataset.meta:
                held = ", ".join(dataset.meta["held_in_bins"])
                notes.append(f"{name}: held at their values, as bins can't fit them: {held}.")
            difference = counts.dispersion_note(dataset)
            notes.extend([difference] if difference else [])
        meta = self._meta(
            name, model, dataset.instrument, log10_jfactor, prior, notes, dataset.name,
            norm_type=self.norm_type, interpolation=scans.interpolation,
        )  # fmt: skip
        offset = float(dataset.stat[keep].sum()) if dataset.stat is not None else 0.0
        return CastroMaps._from_lattice(
            profiles, self.masses, self.labels, np.full(valid.shape, offset), meta
        )

    def _meta(self, name, model, instrument, log10_jfactor, prior, notes, origin, **more):
        for note in notes:
            log.info(note)
        return CastroMetaData(
            target=name,
            instrument=instrument,
            process=self.process,
            log10_jfactor=log10_jfactor,
            prior=prior,
            cl=self.cl,
            spectra=str(self.spectra.name),
            k=getattr(model, "k", None),
            redshift=float(model.redshift),
            notes=notes,
            origin=origin,
            **more,
        )

    def _run_direct(self, counts):
        profiles, valid, offset, source, notes = counts.direct()
        name, model = source.name, source.spectral_model
        log10_jfactor, prior = _jfactor(counts, model)
        if not valid.all():
            notes.append(_masked_note(name, self.labels, self.masses, ~valid, "below threshold"))
        no_counts = profiles.empty.reshape(valid.shape) & valid
        if no_counts.any():
            notes.append(
                _masked_note(name, self.labels, self.masses, no_counts, "no counts expected")
            )
        meta = self._meta(
            name, model, counts.instrument, log10_jfactor, prior, notes, counts.name,
            norm_type="npred", interpolation=self.interpolation or "poisson",
        )  # fmt: skip
        return CastroMaps._from_lattice(profiles, self.masses, self.labels, offset, meta)


def _energies(edges):
    """Edges in GeV, or None."""
    if edges is None:
        return None
    edges = u.Quantity(edges)
    if not edges.unit.is_equivalent("GeV") or edges.ndim != 1 or not (np.diff(edges) > 0).all():
        raise ValueError(f"energy_edges must be ascending energies with a unit, got {edges}.")
    return edges.to("GeV")


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
