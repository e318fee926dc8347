"""Counts datasets in the `CastroEstimator`: bin-by-bin likelihoods and the direct method."""

import logging
from functools import cached_property
from queue import SimpleQueue

import astropy.units as u
import numpy as np
from gammapy.datasets import MapDataset
from gammapy.modeling.models import Models, PowerLawSpectralModel
from joblib import Parallel, delayed, effective_n_jobs

from dmgammapy.datasets import CountsLikelihood, SEDLikelihoodDataset, find_source, scan_positions
from dmgammapy.datasets.scans import LikelihoodScans
from dmgammapy.utils import progress

from ._castro_comparison import method_note
from ._conversion import SpectraKey, convert_rows, unit_flux
from .castro_cube import CastroCube
from .limits import delta_stat_upper

__all__ = ["CountsCastro", "group_by_source", "is_counts"]

log = logging.getLogger(__name__)


def is_counts(dataset):
    """True for Gammapy datasets with counts: maps and spectra, ON/OFF ones included."""
    return isinstance(dataset, MapDataset)


def group_by_source(datasets, source=None):
    """Counts datasets that are about the same source.

    Returns
    -------
    groups : dict
        ``{name of the source: list of datasets}``
    """
    groups = {}
    for dataset in datasets:
        groups.setdefault(find_source([dataset], source), []).append(dataset)
    return groups


class CountsCastro:
    """Likelihood of one source in counts datasets, as a `CastroEstimator` is set up.

    Parameters
    ----------
    estimator : `CastroEstimator`
    datasets : list of `~gammapy.datasets.MapDataset`
        Joint.

    Attributes
    ----------
    n_jobs : int
        Threads for the masses and channels of the direct method.
    """

    def __init__(self, estimator, datasets):
        self.estimator = estimator
        self.datasets = list(datasets)
        self.n_jobs = 1

    @property
    def instrument(self):
        """Names of the instruments of the datasets, or None."""
        names = []
        for dataset in self.datasets:
            table = dataset.meta_table
            if table is not None and "TELESCOP" in table.colnames:
                names.extend(str(n) for n in np.ravel(table["TELESCOP"]) if str(n))
        return " + ".join(dict.fromkeys(names)) or None

    @property
    def name(self):
        """Name of the joint dataset."""
        return " + ".join(d.name for d in self.datasets)

    def likelihood(self, spectrum=None):
        """Likelihood of the datasets with the estimator's background treatment."""
        self._check_jfactors()
        return CountsLikelihood.from_datasets(
            self.datasets,
            source=self.estimator.source,
            free=self.estimator.free_background,
            spectrum=spectrum,
        )

    def _check_jfactors(self):
        """One source for all datasets, since their counts are added before J is treated."""
        name = find_source(self.datasets, self.estimator.source)
        seen = {}
        for dataset in self.datasets:
            spectral = next(m for m in dataset.models if m.name == name).spectral_model
            if getattr(spectral, "process", None) is not None:
                factor = self._factor(spectral)
                prior = None if factor.prior is None else str(factor.prior.to_spec())
                key = (factor.value, prior, getattr(spectral, "k", None), spectral.redshift)
                seen.setdefault(key, []).append(dataset.name)
        if len(seen) > 1:
            values = {names[0]: key[0] for key, names in seen.items()}
            raise ValueError(
                f"{name}: its datasets differ in J-factor or its prior (log10 J {values}), k or "
                "redshift; run them one by one and combine them in StackedDMLikelihood, which "
                "shares J."
            )

    @cached_property
    def _settings(self):
        estimator = self.estimator
        return {
            "n_points": estimator.n_points,
            "delta_stat_max": estimator.delta_stat_max,
            "delta_stat_ul": delta_stat_upper(estimator.cl),
            "negative": estimator.negative_norm,
        }

    def treatment(self, likelihood):
        """What was done with the background, for the metadata."""
        free = [likelihood._name(p) for p in likelihood.norm_parameters]
        notes = [f"background norms profiled: {', '.join(free) if free else 'none'}"]
        if self.estimator.cov_scale is not None:
            notes[0] += f", with priors {self.estimator.cov_scale:g} times the fit's errors wide"
        return notes[0]

    def _prepare(self):
        """Reference spectrum, likelihood and energy edges for bin-by-bin scans."""
        reference = self.estimator.reference_model
        if reference is None:
            reference = PowerLawSpectralModel(index=2, amplitude="1e-12 cm-2 s-1 TeV-1")
        likelihood = self.likelihood(reference)
        edges = self.estimator.energy_edges
        if edges is None:
            edges = likelihood.common_edges() * u.GeV
        flux = _reference_fluxes(reference, edges[:-1], edges[1:])[0]
        dark = ~(flux.value > 0)
        if dark.any():
            first = int(np.argmax(dark))
            raise ValueError(
                f"{self.name}: the reference model has no flux from {edges[first]:.4g} to "
                f"{edges[first + 1]:.4g}; choose energy_edges where it has, or another "
                "reference_model."
            )
        return reference, likelihood, edges

    # --- bin by bin --------------------------------------------------------------------------

    def sed(self):
        """Bin-by-bin likelihood as `~dmgammapy.datasets.SEDLikelihoodDataset`."""
        estimator = self.estimator
        reference, likelihood, edges = self._prepare()
        self._likelihood = likelihood
        scans = likelihood.scan(edges, cov_scale=estimator.cov_scale, **self._settings)
        used = np.array([scan is not None and scan.has_signal for scan in scans])
        if not used.any():
            raise ValueError(
                f"{self.name}: the source {likelihood.source!r} predicts no counts in any energy "
                f"bin between {edges[0]:.4g} and {edges[-1]:.4g} that is not masked."
            )
        flat = np.linspace(0.0, 1.0, self._settings["n_points"])
        norm = np.array([s.norm_scan if ok else flat for s, ok in zip(scans, used, strict=True)])
        stat = np.array(
            [s.stat_scan - s.stat if ok else 0 * flat for s, ok in zip(scans, used, strict=True)]
        )
        low, high = edges[:-1], edges[1:]
        center = np.sqrt(low * high)
        meta = {
            "datasets": [d.name for d in self.datasets],
            "background": self.treatment(likelihood),
        }
        others = [likelihood._name(p) for p in likelihood.nonlinear_parameters]
        if others:
            meta["held_in_bins"] = others
            log.info("%s: %s are held at their values in every bin.", self.name, others)
        if not used.all():
            meta["bins_without_data"] = np.flatnonzero(~used).tolist()
            log.info("%s: no data in energy bins %s.", self.name, meta["bins_without_data"])
        ref_flux, ref_eflux = _reference_fluxes(reference, low, high)
        return SEDLikelihoodDataset(
            edges,
            norm,
            stat,
            ref_flux=ref_flux,
            ref_eflux=ref_eflux,
            ref_dnde=reference(center),
            ref_npred=np.array([s.npred if ok else 0.0 for s, ok in zip(scans, used, strict=True)]),
            stat=np.array([s.stat if ok else 0.0 for s, ok in zip(scans, used, strict=True)]),
            name=self.name,
            models=self._source_models(likelihood),
            norm_type=estimator.norm_type,
            interpolation=estimator.interpolation or "poisson",
            instrument=self.instrument,
            meta=meta,
            reference_model=reference,
            energy_ref=center,
            mask_safe=None if used.all() else used,
        )

    def dispersion_note(self, sed):
        """What conversion bin by bin does to limits of the last `sed`, see `method_note`."""
        return method_note(self, sed, self._likelihood)

    def _source_models(self, likelihood):
        """Copy of the source's model, on its own."""
        model = next(m for m in self.datasets[0].models if m.name == likelihood.source)
        model = model.copy(name=model.name, copy_data=False)
        model.datasets_names = None
        return Models([model])

    # --- at every pixel ----------------------------------------------------------------------

    def cube(self, geom):
        """Bin-by-bin likelihood of a point source at every pixel, `CastroCube`."""
        estimator = self.estimator
        reference, likelihood, edges = self._prepare()
        if geom is None:
            geom = self.datasets[0].counts.geom.to_image()
        if geom.is_region or geom.is_hpx or not geom.is_image:
            raise ValueError(f"geom must be a two-dimensional WCS image geometry, got {geom}.")
        scans = scan_positions(
            likelihood, geom.get_coord().skycoord, edges.to_value("GeV"), estimator.cov_scale,
            n_jobs=estimator.n_jobs, show_progress=estimator.show_progress, **self._settings,
        )  # fmt: skip
        shape = (*geom.data_shape, len(edges) - 1)
        n_points = self._settings["n_points"]
        values = {name: np.full(shape, np.nan) for name in ("stat", "norm", "norm_err", "norm_ul")}
        values |= {name: np.zeros(shape) for name in ("ts", "ref_npred")}
        norm = np.broadcast_to(np.linspace(0.0, 1.0, n_points), (*shape, n_points)).copy()
        stat = np.zeros((*shape, n_points))
        seen = np.zeros(shape, dtype=bool)
        for index in np.ndindex(shape):
            scan = scans[index[0]][index[1]][index[2]]
            if scan is None or not scan.has_signal:
                continue
            seen[index] = True
            norm[index], stat[index] = scan.norm_scan, scan.stat_scan - scan.stat
            for name in ("stat", "norm", "norm_err", "norm_ul", "ts"):
                values[name][index] = getattr(scan, name)
            values["ref_npred"][index] = scan.npred
        used = seen.reshape(-1, shape[-1]).any(axis=0)
        if not used.any():
            raise ValueError(f"{self.name}: a source predicts no counts at any pixel of the map.")
        first, last = np.flatnonzero(used)[[0, -1]]
        bins = slice(first, last + 1)
        mask = seen[..., bins].all(axis=-1)
        meta = {
            "datasets": [d.name for d in self.datasets],
            "background": self.treatment(likelihood),
        }
        if not used.all():
            meta["bins_without_data"] = np.flatnonzero(~used).tolist()
        if not mask.all():
            log.info("%s: %d pixels without data are masked.", self.name, int((~mask).sum()))
        edges = edges[first : last + 2]
        low, high = edges[:-1], edges[1:]
        ref_flux, ref_eflux = _reference_fluxes(reference, low, high)
        return CastroCube(
            geom, edges, norm[..., bins, :], stat[..., bins, :], ref_flux=ref_flux,
            ref_eflux=ref_eflux, ref_dnde=reference(np.sqrt(low * high)),
            energy_ref=np.sqrt(low * high), norm_type=estimator.norm_type,
            interpolation=estimator.interpolation or "poisson", reference_model=reference,
            instrument=self.instrument, mask=mask, cl=estimator.cl, meta=meta,
            **{name: value[..., bins] for name, value in values.items()},
        )  # fmt: skip

    # --- direct ------------------------------------------------------------------------------

    def direct(self):
        """Profiles of the signal strength, every mass and channel fitted to all counts.

        Returns
        -------
        profiles : `LatticeProfiles`
        valid : bool array, shape (n_channel, n_mass)
        offset : array, shape (n_channel, n_mass)
            -2 ln L at the best fit.
        model : `~gammapy.modeling.models.SkyModel`
            Copy of the source's model.
        notes : list of str
        """
        estimator = self.estimator
        if estimator.energy_edges is not None or estimator.reference_model is not None:
            raise ValueError(
                "energy_edges and reference_model belong to method='bins'; for 'direct', slice the "
                "datasets by energy or mask them."
            )
        likelihood = self.likelihood()
        source = self._source_models(likelihood)[0]
        spectral = source.spectral_model
        if getattr(spectral, "process", None) != estimator.process:
            raise ValueError(
                f"{self.name}: the model {source.name!r} is about "
                f"{getattr(spectral, 'process', 'something else')}, the estimator about "
                f"{estimator.process}."
            )
        log10_factor = (
            spectral.log10_jfactor
            if estimator.process == "annihilation"
            else spectral.log10_dfactor
        ).value
        if estimator.cov_scale is not None:
            likelihood._add_priors(estimator.cov_scale)
        responses = likelihood.response
        fluxes, valid = [], None
        for response in responses:
            flux, valid = self._unit_flux(spectral, response.energy_edges)
            fluxes.append(10.0**log10_factor * flux)
        rows = list(np.ndindex(valid.shape))
        results = self._scan_rows(likelihood, rows, fluxes, valid)
        scans, amplitude, offset = [], [], np.zeros(valid.shape)
        width = self._prior_width(spectral)
        for row, (total, scan) in zip(rows, results, strict=True):
            if scan is None:
                grid = np.linspace(0, 1, 5)
                scans.append(LikelihoodScans(grid[None], 0 * grid[None]))
                amplitude.append(0.0)
                continue
            scans.append(
                LikelihoodScans(
                    scan.norm_scan[None], (scan.stat_scan - scan.stat)[None],
                    estimator.interpolation or "poisson",
                )
            )  # fmt: skip
            amplitude.append(total)
            offset[row] = scan.stat
        if not any(amplitude):
            raise ValueError(
                f"{self.name}: no mass and channel predicts counts in the bins that are not "
                "masked; check masses, channels and energies."
            )
        profiles = convert_rows(scans, np.array(amplitude), width)
        return profiles, valid, offset, source, [self.treatment(likelihood)]

    def _scan_rows(self, likelihood, rows, fluxes, valid):
        """Counts of unit strength and scan of every (channel, mass); None without counts."""
        scanner = likelihood.scanner()
        n_jobs = effective_n_jobs(self.n_jobs) if scanner.is_linear else 1
        idle = SimpleQueue()
        for own in [scanner, *(scanner.copy() for _ in range(n_jobs - 1))]:
            idle.put(own)

        def scan(row):
            own = idle.get()
            try:
                return self._scan_row(likelihood, own, row, fluxes, valid)
            finally:
                idle.put(own)

        items = progress(rows, "direct", self.estimator.show_progress)
        return Parallel(n_jobs=n_jobs, prefer="threads")(delayed(scan)(row) for row in items)

    def _scan_row(self, likelihood, scanner, row, fluxes, valid):
        if not valid[row] or not any(f[row].any() for f in fluxes):
            return 0.0, None
        responses = likelihood.response
        unit = [r.npred(f[row]) for r, f in zip(responses, fluxes, strict=True)]
        total = likelihood.count(unit)
        if not total > 0:
            return 0.0, None
        label, mass = self.estimator.labels[row[0]], self.estimator.masses[row[1]]
        what = f"{self.name}, {label} {mass:g}"
        return total, scanner.scan([cube / total for cube in unit], what=what, **self._settings)

    @staticmethod
    def _factor(spectral):
        """Parameter of the J- or D-factor."""
        if spectral.process == "annihilation":
            return spectral.log10_jfactor
        return spectral.log10_dfactor

    @staticmethod
    def _prior_width(spectral):
        prior = CountsCastro._factor(spectral).prior
        return 0.0 if prior is None else max(prior.err_low, prior.err_high)

    def _unit_flux(self, spectral, edges, norm_type="flux"):
        """Flux in energy bins for J = 1 and unit strength, (channel, mass, bin), and validity."""
        estimator = self.estimator
        edges = edges.to_value("GeV")
        channels = tuple(
            tuple(sorted(c.items())) if isinstance(c, dict) else c for c in estimator.channels
        )
        return unit_flux(
            SpectraKey(estimator.spectra), np.ascontiguousarray(edges).tobytes(),
            np.sqrt(edges[:-1] * edges[1:]).tobytes(), estimator.masses.value.tobytes(), channels,
            estimator.process, norm_type, getattr(spectral, "k", 1), float(spectral.redshift),
        )  # fmt: skip


def _reference_fluxes(reference, low, high):
    with np.errstate(divide="ignore", invalid="ignore"):  # Gammapy's power law of index 2
        return reference.integral(low, high), reference.energy_flux(low, high)
