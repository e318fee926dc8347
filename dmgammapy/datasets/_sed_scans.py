"""Scans of all energy bins with their references, and what can be read off them."""

from functools import cached_property

import astropy.units as u
import numpy as np
from astropy.table import QTable
from gammapy.modeling.models import SPECTRAL_MODEL_REGISTRY, SpectralModel

from . import _sed_estimates as estimates
from ._sed_checks import check_references, check_scans
from ._sed_flux_points import UNITS, model_references
from .scans import INTERPOLATIONS, LikelihoodScans

__all__ = ["NORM_TYPES", "SEDScans"]

NORM_TYPES = ("eflux", "flux", "dnde")


class SEDScans:
    """Data and estimates of `SEDLikelihoodDataset`, whose parameters it has; it knows no models."""

    def __init__(
        self,
        name,
        energy_edges,
        norm_scan,
        stat_scan,
        ref_flux=None,
        ref_eflux=None,
        ref_dnde=None,
        stat=None,
        norm_type="eflux",
        interpolation="poisson",
        instrument=None,
        livetime=None,
        meta=None,
        reference_model=None,
        energy_ref=None,
        ref_npred=None,
        mask_safe=None,
        mask_fit=None,
    ):
        self._name = name
        where = f"Dataset {self._name!r}"
        self._energy_edges = _energies(energy_edges, where)
        edges = self._energy_edges.to_value("MeV")

        def place(b):
            return f"bin {b} ({edges[b]:.4g}-{edges[b + 1]:.4g} MeV)"

        self._norm_scan = _frozen(norm_scan)
        self._stat_scan = _frozen(stat_scan)
        if self._norm_scan.ndim == 2 and len(self._norm_scan) != len(edges) - 1:
            raise ValueError(
                f"{where}: {len(edges) - 1} energy bins but scans of {len(self._norm_scan)}."
            )
        check_scans(self._norm_scan, self._stat_scan, where, place)
        self._energy_ref = self._reference_energy(energy_ref, edges, where)
        self.reference_model = _spectral_model(reference_model)
        self._references = self._all_references(
            {"flux": ref_flux, "eflux": ref_eflux, "dnde": ref_dnde}, edges, where, place
        )
        self.stat = None if stat is None else self._per_bin(stat, "stat")
        self.ref_npred = None if ref_npred is None else self._per_bin(ref_npred, "ref_npred")
        self.norm_type = norm_type
        self.interpolation = interpolation
        self.instrument = instrument
        self.livetime = None if livetime is None else u.Quantity(livetime, "s")
        self.meta = dict(meta or {})
        self.mask_safe = mask_safe
        self.mask_fit = mask_fit

    def _reference_energy(self, energy_ref, edges, where):
        if energy_ref is None:
            return u.Quantity(np.sqrt(edges[:-1] * edges[1:]), "MeV").to(self._energy_edges.unit)
        energy_ref = u.Quantity(energy_ref)
        values = energy_ref.to_value("MeV")
        if values.shape != (len(edges) - 1,):
            raise ValueError(
                f"{where}: energy_ref must have shape ({len(edges) - 1},), got {values.shape}."
            )
        if not ((values > edges[:-1]) & (values < edges[1:])).all():
            raise ValueError(f"{where}: each energy_ref must lie inside its bin, got {energy_ref}.")
        return energy_ref

    def _all_references(self, given, edges, where, place):
        references = {}
        for name, values in given.items():
            if values is None:
                continue
            try:
                references[name] = u.Quantity(values).to(UNITS[name])
            except u.UnitConversionError:
                raise ValueError(
                    f"{where}: ref_{name} must have a unit like {UNITS[name]}, "
                    f"got {u.Quantity(values).unit}."
                ) from None
        plain = {name: values.to_value(UNITS[name]) for name, values in references.items()}
        check_references(edges, plain, where, place)
        if self.reference_model is not None and len(references) < len(UNITS):
            computed = model_references(self.reference_model, self._energy_edges, self._energy_ref)
            for name, values in computed.items():
                if (np.isfinite(values) & (values.value > 0)).all():
                    references.setdefault(name, values)
        return references

    def _per_bin(self, values, name):
        values = np.array(values, dtype=float)
        if values.shape != (self.n_bins,) or not np.isfinite(values).all():
            raise ValueError(
                f"Dataset {self.name!r}: {name} must be {self.n_bins} finite values, got {values}."
            )
        return values

    def _mask(self, mask, name):
        if mask is None:
            return None
        mask = np.array(mask)
        if mask.shape != (self.n_bins,) or mask.dtype != bool:
            raise ValueError(
                f"Dataset {self.name!r}: {name} must be {self.n_bins} booleans, got shape "
                f"{mask.shape} of {mask.dtype}."
            )
        return mask

    @property
    def name(self):
        """Name of the dataset."""
        return self._name

    @property
    def energy_edges(self):
        """Bin edges as `~astropy.units.Quantity`, shape (n_bins + 1,)."""
        return self._energy_edges

    @property
    def energy_ref(self):
        """Energy in each bin at which ``ref_dnde`` holds, shape (n_bins,)."""
        return self._energy_ref

    @property
    def n_bins(self):
        """Number of energy bins."""
        return len(self._norm_scan)

    @property
    def data_shape(self):
        """Shape of the data: (n_bins,)."""
        return (self.n_bins,)

    @property
    def norm_scan(self):
        """Scanned norms (read-only), shape (n_bins, n_points)."""
        return self._norm_scan

    @property
    def stat_scan(self):
        """-2 ln L relative to each bin's minimum (read-only), shape (n_bins, n_points)."""
        return self._stat_scan

    @property
    def ref_flux(self):
        """Flux of norm 1 as `~astropy.units.Quantity` [cm-2 s-1], shape (n_bins,), or None."""
        return self._references.get("flux")

    @property
    def ref_eflux(self):
        """Energy flux of norm 1 [MeV cm-2 s-1], shape (n_bins,), or None."""
        return self._references.get("eflux")

    @property
    def ref_dnde(self):
        """Differential flux of norm 1 [MeV-1 cm-2 s-1], shape (n_bins,), or None."""
        return self._references.get("dnde")

    def ref(self, norm_type=None):
        """Give the reference flux of a norm type.

        Parameters
        ----------
        norm_type : {"eflux", "flux", "dnde"}, optional
            Default is the dataset's own.

        Returns
        -------
        reference : `~astropy.units.Quantity`, shape (n_bins,)

        Raises
        ------
        ValueError
            If the dataset lacks it.
        """
        norm_type = norm_type or self.norm_type
        if norm_type not in NORM_TYPES:
            raise ValueError(
                f"norm_type must be one of {', '.join(NORM_TYPES)}, got {norm_type!r}."
            )
        if norm_type not in self._references:
            has = ", ".join(f"ref_{name}" for name in self._references) or "no reference"
            raise ValueError(
                f"Dataset {self.name!r} lacks ref_{norm_type}, which norm_type={norm_type!r} needs "
                f"(it has {has}). Choose another norm_type, or give the reference or a "
                "reference_model."
            )
        return self._references[norm_type]

    @property
    def norm_type(self):
        """Which flux of the model is compared with its reference."""
        return self._norm_type

    @norm_type.setter
    def norm_type(self, value):
        reference = self.ref(value)
        self._norm_type = value
        self._reference = reference.to_value(UNITS[value])

    @property
    def interpolation(self):
        """How scans are interpolated."""
        return self._interpolation

    @interpolation.setter
    def interpolation(self, value):
        if value not in INTERPOLATIONS:
            raise ValueError(
                f"interpolation must be one of {', '.join(sorted(INTERPOLATIONS))}, got {value!r}."
            )
        self._interpolation = value
        for name in ("scans", "norm", "_errors"):
            self.__dict__.pop(name, None)

    @property
    def mask_safe(self):
        """Bins that are safe to use, or None."""
        return self._mask_safe

    @mask_safe.setter
    def mask_safe(self, mask):
        self._mask_safe = self._mask(mask, "mask_safe")

    @property
    def mask_fit(self):
        """Bins to fit, or None."""
        return self._mask_fit

    @mask_fit.setter
    def mask_fit(self, mask):
        self._mask_fit = self._mask(mask, "mask_fit")

    @cached_property
    def scans(self):
        """The interpolated scans, a `LikelihoodScans`."""
        return LikelihoodScans(self._norm_scan, self._stat_scan, self._interpolation)

    @cached_property
    def norm(self):
        """Best norm >= 0 of each bin within its scan, shape (n_bins,)."""
        lower = np.zeros(self.n_bins)
        return estimates.best_norm(self.scans, self._norm_scan, lower)

    @property
    def ts(self):
        """-2 ln L at norm 0 minus that at the best norm, shape (n_bins,)."""
        stat = self.scans.stat(np.column_stack([np.zeros(self.n_bins), self.norm]))
        return np.maximum(stat[:, 0] - stat[:, 1], 0.0)

    def norm_ul(self, cl=0.95):
        """One-sided upper limits, where -2 ln L has risen by ``chi2.ppf(2 cl - 1, 1)``.

        Parameters
        ----------
        cl : float
            Confidence level. Default is 0.95.

        Returns
        -------
        norm_ul : array, shape (n_bins,)
            NaN where the limit lies beyond the scan.
        """
        delta = estimates.delta_stat_of_upper_limit(cl)
        return estimates.rise(self.scans, self.norm, self.scans.norm_max, delta)

    @cached_property
    def _errors(self):
        low = np.minimum(self.scans.norm_min, 0.0)
        errn = self.norm - estimates.rise(self.scans, self.norm, low, 1.0)
        errp = estimates.rise(self.scans, self.norm, self.scans.norm_max, 1.0) - self.norm
        return errn, errp

    def norm_errors(self):
        """Lower and upper 1 sigma errors (-2 ln L up by 1), each of shape (n_bins,).

        NaN where the scan ends, or norm 0 is reached, before.
        """
        return self._errors

    def to_table(self):
        """Best fit of each bin.

        Returns
        -------
        table : `~astropy.table.QTable`
            ``e_min, e_max, e_ref``, ``norm, norm_errn, norm_errp, norm_ul`` (95 %), ``ts`` and the
            same fluxes as ``eflux`` (or the dataset's ``norm_type``).
        """
        table = QTable()
        table["e_min"], table["e_max"] = self.energy_edges[:-1], self.energy_edges[1:]
        table["e_ref"] = self.energy_ref
        errn, errp = self.norm_errors()
        norms = {"": self.norm, "_errn": errn, "_errp": errp, "_ul": self.norm_ul()}
        for suffix, values in norms.items():
            table["norm" + suffix] = values
        table["ts"] = self.ts
        for suffix, values in norms.items():
            table[self.norm_type + suffix] = values * self.ref()
        return table

    def resample(self, n_points=200):
        """Bring all bins to common norms through the interpolated likelihood.

        Parameters
        ----------
        n_points : int
            Number of norms. Default is 200.

        Returns
        -------
        norm_scan, stat_scan : array, shape (n_bins, n_points)
        """
        norms = estimates.common_norms(self.scans, self.norm, n_points)
        norm_scan = np.tile(norms, (self.n_bins, 1))
        return norm_scan, self.scans.stat(norm_scan)


def _frozen(values):
    values = np.array(values, dtype=float)
    values.setflags(write=False)
    return values


def _energies(edges, where):
    edges = u.Quantity(edges)
    try:
        values = edges.to_value("MeV")
    except u.UnitConversionError:
        raise ValueError(f"{where}: energy_edges must be energies, got {edges.unit}.") from None
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(
            f"{where}: energy_edges must have shape (n_bins + 1,), got {values.shape}."
        )
    if not (np.isfinite(values).all() and values[0] > 0 and (np.diff(values) > 0).all()):
        raise ValueError(f"{where}: energy_edges must be positive and ascend, got {edges}.")
    return edges


def _spectral_model(model):
    if model is None or isinstance(model, SpectralModel):
        return model
    if isinstance(model, dict):
        data = model.get("spectral", model)
        return SPECTRAL_MODEL_REGISTRY.get_cls(data["type"]).from_dict({"spectral": data})
    spectrum = getattr(model, "spectral_model", None)
    if isinstance(spectrum, SpectralModel):
        return spectrum
    raise ValueError(f"reference_model must be a SpectralModel, got {type(model).__name__}.")
