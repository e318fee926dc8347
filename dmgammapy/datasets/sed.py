"""Bin-by-bin likelihood of a spectrum as a Gammapy dataset."""

import astropy.units as u
import numpy as np
from astropy.table import Table
from gammapy.datasets import Dataset
from gammapy.modeling.models import ConstantTemporalModel, DatasetModels
from gammapy.utils.scripts import make_name

from dmgammapy.spectra import LineSpectra
from dmgammapy.utils import atomic_path

from . import _sed_estimates as estimates
from ._sed_flux_points import UNITS, check_best_fit, fields_from_flux_points, to_flux_points
from ._sed_scans import SEDScans
from .io import read_sed_fields, write_sed

__all__ = ["SEDLikelihoodDataset"]

TS_SHOWN = 4.0  # bins above it are drawn with their best fit


class SEDLikelihoodDataset(SEDScans, Dataset):
    """Likelihood of a source's flux in each energy bin, scanned over a norm.

    The likelihood of a model is ``stat = sum_b stat_b(F_b / R_b)`` with F the model's flux in bin
    b and R the reference flux; energy dispersion between bins is neglected. This is what fermipy's
    SED files and the public Fermi-LAT dwarf likelihoods hold. It joins ``Datasets`` and ``Fit``
    beside counts datasets.

    Parameters
    ----------
    energy_edges : `~astropy.units.Quantity`, shape (n_bins + 1,)
        Ascending bin edges.
    norm_scan : array, shape (n_bins, n_points)
        Norms, ascending in each bin; at least 3. Bins with fewer points end in NaN.
    stat_scan : array, shape (n_bins, n_points)
        -2 ln L at these norms, relative to the bin's minimum.
    ref_flux, ref_eflux, ref_dnde : `~astropy.units.Quantity`, shape (n_bins,), optional
        Flux [cm-2 s-1], energy flux [MeV cm-2 s-1] and differential flux at ``energy_ref``
        [MeV-1 cm-2 s-1] of norm 1. The one of ``norm_type`` is needed; missing ones are computed
        from ``reference_model`` if that is given.
    stat : array, shape (n_bins,), optional
        Absolute -2 ln L at the minima.
    name : str, optional
        Default is a random name.
    models : `~gammapy.modeling.models.Models`, optional
        Models of the source; those for other datasets are left out.
    norm_type : {"eflux", "flux", "dnde"}
        Which flux of the model is compared with its reference. Default is ``eflux``.
    interpolation : {"poisson", "cubic", "linear"}
        How scans are interpolated, see `LikelihoodScans`. Default is ``poisson``.
    instrument : str, optional
    livetime : `~astropy.units.Quantity`, optional
    meta : dict, optional
        Free information that goes into files (what JSON can hold).
    reference_model : `~gammapy.modeling.models.SpectralModel` or dict, optional
        Spectrum of norm 1.
    energy_ref : `~astropy.units.Quantity`, shape (n_bins,), optional
        Default is the geometric centre of each bin.
    ref_npred : array, shape (n_bins,), optional
        Predicted counts of norm 1; kept for files.
    mask_safe, mask_fit : array of bool, shape (n_bins,), optional
        Bins to use.

    Raises
    ------
    ValueError
        If shapes don't fit, values aren't finite, energies or norms don't ascend, or references
        contradict each other or the bins.

    Examples
    --------
    One bin with three counts over a background of two, where norm 1 predicts one count:

    >>> import astropy.units as u, numpy as np
    >>> from dmgammapy.datasets import SEDLikelihoodDataset
    >>> norm = np.linspace(0, 12, 25)
    >>> stat = 2 * (norm - 3 * np.log(2 + norm))
    >>> dataset = SEDLikelihoodDataset(
    ...     [1, 10] * u.GeV, [norm], [stat - stat.min()], ref_eflux=[1e-9] * u.Unit("GeV cm-2 s-1")
    ... )
    >>> print(f"{dataset.norm[0]:.4f} {dataset.norm_ul(0.95)[0]:.2f}")
    1.0000 4.81

    References
    ----------
    Ackermann et al. 2014, PhRvD 89, 042001, Eq. 2.
    """

    tag = "SEDLikelihoodDataset"
    _stat_type = "profile"

    def __init__(
        self,
        energy_edges,
        norm_scan,
        stat_scan,
        ref_flux=None,
        ref_eflux=None,
        ref_dnde=None,
        stat=None,
        name=None,
        models=None,
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
        super().__init__(
            make_name(name), energy_edges, norm_scan, stat_scan,
            ref_flux=ref_flux, ref_eflux=ref_eflux, ref_dnde=ref_dnde,
            stat=stat, norm_type=norm_type, interpolation=interpolation,
            instrument=instrument, livetime=livetime, meta=meta,
            reference_model=reference_model, energy_ref=energy_ref, ref_npred=ref_npred,
            mask_safe=mask_safe, mask_fit=mask_fit,
        )  # fmt: skip
        self.models = models

    @property
    def models(self):
        """Models of this dataset as `~gammapy.modeling.models.DatasetModels`, or None."""
        return self._models

    @models.setter
    def models(self, models):
        if models is None:
            self._models = None
        else:
            models = DatasetModels(models)
            if any(model.datasets_names for model in models):
                models = models.select(datasets_names=self.name)
            self._models = models

    @property
    def meta_table(self):
        """One-row `~astropy.table.Table` with ``TELESCOP``, ``OBJECT`` and ``LIVETIME``."""
        table = Table()
        table["TELESCOP"] = [self.instrument or ""]
        table["OBJECT"] = [self.name]
        if self.livetime is not None:
            table["LIVETIME"] = [self.livetime.to_value("s")] * u.s
        return table

    # --- likelihood of the models ----------------------------------------------------------------

    def _flux_values(self):
        """Flux of the models in the unit of the references, shape (n_bins,)."""
        edges = self._energy_edges
        total = np.zeros(self.n_bins)
        for model in self._models or ():
            spectrum = model.spectral_model
            temporal = getattr(model, "temporal_model", None)
            if not isinstance(temporal, ConstantTemporalModel | None):
                raise ValueError(
                    f"Dataset {self.name!r}: model {model.name!r} varies in time, but an SED "
                    "likelihood has no times; remove its temporal_model."
                )
            with np.errstate(divide="ignore", invalid="ignore"):  # Gammapy's power law of index 2
                if self._norm_type == "eflux":
                    flux = spectrum.energy_flux(edges[:-1], edges[1:])
                elif self._norm_type == "flux":
                    flux = spectrum.integral(edges[:-1], edges[1:])
                else:
                    self._refuse_line(model)
                    flux = spectrum(self._energy_ref)
            try:
                total += flux.to_value(UNITS[self._norm_type])
            except u.UnitConversionError:
                raise ValueError(
                    f"Dataset {self.name!r}: model {model.name!r} gives {flux.unit} where "
                    f"{UNITS[self._norm_type]} is expected: not the spectrum of a source but a "
                    "background or diffuse template? Set its datasets_names to the datasets it is "
                    "for."
                ) from None
        return total

    def _refuse_line(self, model):
        """A line has no differential flux to compare with."""
        if isinstance(getattr(model.spectral_model, "spectra", None), LineSpectra):
            raise ValueError(
                f"Dataset {self.name!r}: model {model.name!r} is a line, whose dN/dE is zero or "
                "infinite; use norm_type 'eflux' or 'flux'."
            )

    def flux_pred(self):
        """Flux of the models in each bin, of the kind of ``norm_type``.

        Returns
        -------
        flux : `~astropy.units.Quantity`, shape (n_bins,)
            0 without models.
        """
        return u.Quantity(self._flux_values(), UNITS[self._norm_type], copy=False)

    def stat_array(self):
        """-2 ln L of the models in each bin, relative to the bin's minimum, shape (n_bins,)."""
        return self.scans.stat(self._flux_values() / self._reference)

    def stat_sum(self):
        """-2 ln L of the models, summed over bins in ``mask_safe`` and ``mask_fit``, no priors."""
        stat = self.stat_array()
        mask = self.mask
        return float(stat.sum() if mask is None else stat[mask].sum())

    def _stat_sum_likelihood(self):
        return self.stat_sum()

    # --- Gammapy's verbs -------------------------------------------------------------------------

    def _fields(self):
        """Collect the constructor arguments except name and models."""
        return {
            "energy_edges": self._energy_edges,
            "norm_scan": self._norm_scan,
            "stat_scan": self._stat_scan,
            **{f"ref_{name}": values for name, values in self._references.items()},
            "stat": self.stat,
            "norm_type": self.norm_type,
            "interpolation": self.interpolation,
            "instrument": self.instrument,
            "livetime": self.livetime,
            "meta": self.meta,
            "reference_model": self.reference_model,
            "energy_ref": self._energy_ref,
            "ref_npred": self.ref_npred,
            "mask_safe": self.mask_safe,
            "mask_fit": self.mask_fit,
        }

    def slice_by_idx(self, slices, name=None):
        """Part of the bins as a new dataset, with the models.

        Parameters
        ----------
        slices : dict
            ``{"energy": slice(first, last)}``.
        name : str, optional
            Default is a random name.

        Returns
        -------
        dataset : `SEDLikelihoodDataset`
        """
        if set(slices) != {"energy"} or not isinstance(slices["energy"], slice):
            raise ValueError(f'slices must be {{"energy": slice(...)}}, got {slices!r}.')
        start, stop, step = slices["energy"].indices(self.n_bins)
        if step != 1 or stop <= start:
            raise ValueError(
                f"Dataset {self.name!r}: {slices['energy']} must select adjacent ones of its "
                f"{self.n_bins} bins."
            )
        part = slice(start, stop)
        fields = self._fields()
        for key, values in fields.items():
            if key == "energy_edges":
                fields[key] = values[start : stop + 1]
            elif isinstance(values, np.ndarray) and values.ndim and len(values) == self.n_bins:
                fields[key] = values[part]
        return self.__class__(**fields, name=name, models=self.models)

    def slice_by_energy(self, energy_min=None, energy_max=None, name=None):
        """Bins that lie within an energy range, as a new dataset.

        Parameters
        ----------
        energy_min, energy_max : `~astropy.units.Quantity`, optional
            Range; bins that reach beyond it are left out.
        name : str, optional
            Default is a random name.

        Returns
        -------
        dataset : `SEDLikelihoodDataset`

        Raises
        ------
        ValueError
            If no bin lies within the range.
        """
        edges = self._energy_edges
        keep = np.ones(self.n_bins, dtype=bool)
        if energy_min is not None:
            keep &= edges[:-1] >= u.Quantity(energy_min) * (1 - 1e-6)
        if energy_max is not None:
            keep &= edges[1:] <= u.Quantity(energy_max) * (1 + 1e-6)
        kept = np.flatnonzero(keep)
        if not len(kept):
            raise ValueError(
                f"Dataset {self.name!r}: no energy bin within {energy_min} to {energy_max}; bins "
                f"run from {edges[0]:.4g} to {edges[-1]:.4g}."
            )
        return self.slice_by_idx({"energy": slice(kept[0], kept[-1] + 1)}, name=name)

    def to_flux_points(self, n_points=200, reference_model=None, cl=0.95):
        """Translate to Gammapy's flux points, with likelihood scans on common norms.

        Parameters
        ----------
        n_points : int
            Number of common norms. Default is 200.
        reference_model : `~gammapy.modeling.models.SpectralModel`, optional
            Spectrum of norm 1. Default is the dataset's own, otherwise a power law of index 2.
        cl : float
            Confidence level of ``norm_ul``; ``meta["n_sigma_ul"]`` says the same. Default is 0.95.

        Returns
        -------
        flux_points : `~gammapy.estimators.FluxPoints`
            Scans and ``stat`` are absolute if the dataset's ``stat`` is known. Beyond a bin's own
            scan the values are extrapolated.
        """
        return to_flux_points(self, n_points, reference_model, cl)

    @classmethod
    def from_flux_points(cls, flux_points, name=None, **kwargs):
        """Make a dataset of flux points that have likelihood scans.

        Parameters
        ----------
        flux_points : `~gammapy.estimators.FluxPoints`
            With ``stat_scan``, one position and an energy axis with edges.
        name : str, optional
            Default is a random name.
        **kwargs
            Further arguments of the class, ``models`` for instance.

        Returns
        -------
        dataset : `SEDLikelihoodDataset`

        Raises
        ------
        ValueError
            If scans are missing, not finite, or contradict the best fit.
        """
        dataset = cls(**(fields_from_flux_points(flux_points) | kwargs), name=name)
        check_best_fit(dataset, flux_points)
        return dataset

    # --- files -----------------------------------------------------------------------------------

    @classmethod
    def read(
        cls,
        path,
        format=None,
        name=None,
        models=None,
        norm_type=None,
        interpolation=None,
        instrument=None,
        **kwargs,
    ):
        """Read a file.

        Parameters
        ----------
        path : str or `~pathlib.Path`
        format : {"fermipy", "fermipy-castro", "gadf", "fermi-lat-dsph"}, optional
            Default is to identify it by the content.
        name : str, optional
            Default is the source's or target's name in the file or in the file's name.
        models, norm_type, interpolation, instrument
            As for the class. Default is what the file says, then the class's default.
        **kwargs
            ``row`` or ``target`` choose from a ``fermipy-castro`` file; see the formats' modules.

        Returns
        -------
        dataset : `SEDLikelihoodDataset`

        Raises
        ------
        ValueError
            If the file has anything the format doesn't allow; the message names the place.

        Examples
        --------
        >>> from dmgammapy.datasets import SEDLikelihoodDataset
        >>> dataset = SEDLikelihoodDataset.read("like_draco.txt")  # doctest: +SKIP
        """
        fields = read_sed_fields(path, format, **kwargs)
        given = {
            "name": name,
            "models": models,
            "norm_type": norm_type,
            "interpolation": interpolation,
            "instrument": instrument,
        }
        fields |= {key: value for key, value in given.items() if value is not None}
        try:
            return cls(**fields)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def write(self, path, format="fermipy", overwrite=False, checksum=False, **kwargs):
        """Write to a file; models are not in it.

        Parameters
        ----------
        path : str or `~pathlib.Path`
        format : {"fermipy", "fermipy-castro", "gadf", "fermi-lat-dsph"}
            Default is ``fermipy``.
        overwrite : bool
            Replace an existing file. Default is False.
        checksum : bool
            Add checksums to FITS files. Default is False.
        **kwargs
            ``layout="upper"`` writes the old names of ``fermipy``; ``n_points`` is the number of
            common norms of ``gadf``.
        """
        with atomic_path(path, overwrite) as temporary:
            write_sed(self, temporary, format, checksum=checksum, **kwargs)

    def to_dict(self):
        """Entry of this dataset in the YAML file of `~gammapy.datasets.Datasets`."""
        name = self.name.replace(" ", "_").replace("/", "_")
        return {"name": self.name, "type": self.tag, "filename": f"{name}.fits"}

    @classmethod
    def from_dict(cls, data, **kwargs):
        """Read the file that an entry of a `~gammapy.datasets.Datasets` YAML file names."""
        return cls.read(data["filename"], format=data.get("format"), name=data["name"])

    # --- for people ------------------------------------------------------------------------------

    def plot(self, ax=None, n_values=200, delta_stat_max=10.0, **kwargs):
        """Draw the castro picture: -2 ln L above its minimum in energy and flux.

        Parameters
        ----------
        ax : `~matplotlib.axes.Axes`, optional
            Default is the current one.
        n_values : int
            Number of fluxes. Default is 200.
        delta_stat_max : float
            Where colours end; the flux axis covers what lies below. Default is 10.
        **kwargs
            Passed to `~dmgammapy.visualization.plot_castro`.

        Returns
        -------
        ax : `~matplotlib.axes.Axes`
        """
        from dmgammapy.visualization import plot_castro

        reference = self.ref()
        scans = self.scans
        top = estimates.rise(scans, self.norm, scans.norm_max, delta_stat_max)
        top = np.where(np.isfinite(top), top, scans.norm_max) * reference
        flux = np.geomspace(3e-3 * top.min(), 1.2 * top.max(), n_values)
        norm = (flux / reference[:, np.newaxis]).to_value("")
        delta_stat = scans.stat(norm) - scans.stat(self.norm)[:, np.newaxis]
        kwargs.setdefault("ul", self.norm_ul() * reference)
        kwargs.setdefault("best", np.where(self.ts > TS_SHOWN, self.norm, np.nan) * reference)
        return plot_castro(
            self.energy_edges, flux, np.maximum(delta_stat, 0), ax=ax, vmax=delta_stat_max, **kwargs
        )

    def plot_fit(self, ax=None, **kwargs):
        """Draw the flux of every bin, and the models' over it.

        Parameters
        ----------
        ax : `~matplotlib.axes.Axes`, optional
            Default is the current one.
        **kwargs
            Passed to `~dmgammapy.visualization.plot_sed_fit`.

        Returns
        -------
        ax : `~matplotlib.axes.Axes`
        """
        from dmgammapy.visualization import plot_sed_fit

        reference = self.ref()
        errn, errp = self.norm_errors()
        errors = np.array([np.where(np.isnan(errn), self.norm, errn), errp]) * reference
        if self.models:
            kwargs.setdefault("models", {", ".join(self.models.names): self.flux_pred()})
        kwargs.setdefault("is_ul", self.ts <= TS_SHOWN)
        return plot_sed_fit(
            self.energy_edges,
            self.norm * reference,
            value_err=errors,
            ul=self.norm_ul() * reference,
            ax=ax,
            **kwargs,
        )

    def __repr__(self):
        """Name and size."""
        return f"{self.__class__.__name__}(name={self.name!r}, n_bins={self.n_bins})"

    def __str__(self):
        """Summary in several lines."""
        edges = self.energy_edges
        used = self.n_bins if self.mask is None else int(self.mask.sum())
        lines = [
            ("Name", self.name),
            ("Instrument", self.instrument or "-"),
            ("Energy range", f"{edges[0]:.4g} - {edges[-1]:.4g}"),
            ("Number of bins", f"{self.n_bins} ({used} used)"),
            ("Number of scan points", self.norm_scan.shape[1]),
            ("Norm type", self.norm_type),
            ("Interpolation", self.interpolation),
            ("Models", ", ".join(self.models.names) if self.models else "-"),
        ]
        if self.models:
            lines.append(("Fit statistic (-2 ln L)", f"{self.stat_sum():.3f}"))
        title = self.__class__.__name__
        text = "\n".join(f"  {key:<24}: {value}" for key, value in lines)
        return f"{title}\n{'-' * len(title)}\n\n{text}\n"
