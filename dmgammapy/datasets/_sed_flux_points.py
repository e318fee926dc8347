"""Translation between `SEDLikelihoodDataset` and Gammapy's `FluxPoints`.

Gammapy keeps one norm axis for all bins and norms relative to one reference spectrum; its own
reader of fermipy files takes the norms of the first bin for all and the wrong sign, so files are
never handed to it.
"""

import astropy.units as u
import numpy as np

from ._sed_estimates import common_norms, delta_stat_of_upper_limit

__all__ = [
    "check_best_fit",
    "common_reference",
    "fields_from_flux_points",
    "is_template",
    "model_references",
    "to_flux_points",
]

UNITS = {
    "flux": u.Unit("cm-2 s-1"),
    "eflux": u.Unit("MeV cm-2 s-1"),
    "dnde": u.Unit("MeV-1 cm-2 s-1"),
}
STAT_MISMATCH = 1.0


def model_references(model, edges, energy_ref):
    """Fluxes of a spectral model in each bin.

    Parameters
    ----------
    model : `~gammapy.modeling.models.SpectralModel`
    edges : `~astropy.units.Quantity`, shape (n_bins + 1,)
    energy_ref : `~astropy.units.Quantity`, shape (n_bins,)

    Returns
    -------
    references : dict of str to `~astropy.units.Quantity`
        ``flux``, ``eflux`` and ``dnde``.
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # Gammapy's power law of index 2
        return {
            "flux": model.integral(edges[:-1], edges[1:]).to(UNITS["flux"]),
            "eflux": model.energy_flux(edges[:-1], edges[1:]).to(UNITS["eflux"]),
            "dnde": model(energy_ref).to(UNITS["dnde"]),
        }


def common_reference(dataset, model=None):
    """Bring the bins' references to those of one spectrum.

    Parameters
    ----------
    dataset : `SEDLikelihoodDataset`
    model : `~gammapy.modeling.models.SpectralModel`, optional
        Default is a power law of index 2 that agrees with the references as a whole.

    Returns
    -------
    model : `~gammapy.modeling.models.SpectralModel`
    references : dict of str to `~astropy.units.Quantity`
        As of `model_references`.
    scale : array, shape (n_bins,)
        Norms relative to the model per norm of the dataset; equal fluxes of its ``norm_type``.
    """
    from gammapy.modeling.models import PowerLawSpectralModel

    unit = UNITS[dataset.norm_type]
    own = dataset.ref().to_value(unit)
    fit = model is None
    if fit:
        model = PowerLawSpectralModel(index=2)
    references = model_references(model, dataset.energy_edges, dataset.energy_ref)
    of_model = references[dataset.norm_type].to_value(unit)
    if not (np.isfinite(of_model) & (of_model > 0)).all():
        raise ValueError(
            f"Dataset {dataset.name!r}: the reference model must be positive in every bin."
        )
    if fit:
        factor = float(np.exp(np.mean(np.log(own / of_model))))
        model.amplitude.value *= factor
        references = {name: values * factor for name, values in references.items()}
        of_model = of_model * factor
    scale = own / of_model
    scale[np.abs(scale - 1) < 1e-9] = 1.0  # rounding
    return model, references, scale


def is_template(dataset, rtol=5e-3):
    """Whether Gammapy, joining ``ref_dnde`` to a template as it does on reading, gets the fluxes.

    Parameters
    ----------
    dataset : `SEDLikelihoodDataset`
    rtol : float
        Allowed relative difference in the dataset's ``norm_type``. Default is 0.005.
    """
    from gammapy.modeling.models import TemplateSpectralModel

    if dataset.ref_dnde is None or dataset.n_bins < 2:
        return False
    model = TemplateSpectralModel(dataset.energy_ref, dataset.ref_dnde)
    references = model_references(model, dataset.energy_edges, dataset.energy_ref)
    return np.allclose(references[dataset.norm_type] / dataset.ref(), 1, rtol=rtol)


def to_flux_points(dataset, n_points, reference_model, cl):
    """Make `FluxPoints` of a dataset; see `SEDLikelihoodDataset.to_flux_points`."""
    from gammapy.estimators import FluxPoints
    from gammapy.maps import MapAxis, RegionNDMap

    model, _, scale = common_reference(dataset, reference_model or dataset.reference_model)
    scans = dataset.scans
    norms = common_norms(scans, dataset.norm, n_points, scale)
    stat_scan = scans.stat(norms / scale[:, np.newaxis])
    lowest = scans.stat(dataset.norm)
    offset = np.zeros(dataset.n_bins) if dataset.stat is None else dataset.stat

    energy_axis = MapAxis.from_energy_edges(dataset.energy_edges)
    norm_axis = MapAxis.from_nodes(norms, name="norm", interp="lin")
    errn, errp = dataset.norm_errors()
    values = {
        "norm": dataset.norm * scale,
        "norm_err": np.where(np.isfinite(errn), 0.5 * (errn + errp), errp) * scale,
        "norm_errn": errn * scale,
        "norm_errp": errp * scale,
        "norm_ul": dataset.norm_ul(cl) * scale,
        "ts": dataset.ts,
        "stat": offset + lowest,
        "stat_null": offset + scans.stat(np.zeros(dataset.n_bins)),
    }
    maps = {}
    for name, data in values.items():
        maps[name] = RegionNDMap.create(region=None, axes=[energy_axis])
        maps[name].data = data[:, np.newaxis, np.newaxis]
    maps["success"] = RegionNDMap.create(region=None, axes=[energy_axis], dtype=bool)
    maps["success"].data = np.ones((dataset.n_bins, 1, 1), dtype=bool)
    maps["stat_scan"] = RegionNDMap.create(region=None, axes=[norm_axis, energy_axis])
    maps["stat_scan"].data = (offset[:, np.newaxis] + stat_scan)[..., np.newaxis, np.newaxis]
    meta = {
        "sed_type_init": "likelihood",
        "n_sigma": 1,
        "n_sigma_ul": float(np.sqrt(delta_stat_of_upper_limit(cl))),
    }
    return FluxPoints(data=maps, reference_model=model, meta=meta)


def fields_from_flux_points(flux_points):
    """Arguments of `SEDLikelihoodDataset` from `FluxPoints` with likelihood scans."""
    if not flux_points.has_stat_profiles:
        raise ValueError(
            "The flux points have no stat_scan; run FluxPointsEstimator with "
            'selection_optional=["scan"].'
        )
    axes = flux_points.stat_scan.geom.axes
    if sorted(axes.names) != ["energy", "norm"] or flux_points.stat_scan.data.shape[-2:] != (1, 1):
        raise ValueError(
            "The flux points must have one position and only an energy axis, got the axes "
            f"{axes.names} and shape {flux_points.stat_scan.data.shape}; slice them."
        )
    if axes["energy"].node_type != "edges":
        raise ValueError("The flux points need e_min and e_max for each bin, got e_ref only.")
    stat_scan = np.asarray(flux_points.stat_scan.data, dtype=float)[..., 0, 0]
    if axes.names[0] == "energy":  # data run backwards through the axes
        stat_scan = stat_scan.T
    norms = np.asarray(axes["norm"].center.to_value(""), dtype=float)
    stat = np.asarray(flux_points.stat.data, dtype=float)[..., 0, 0]
    edges = axes["energy"].edges
    for name, values in (("stat", stat), ("stat_scan", stat_scan.sum(axis=1))):
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            b = int(bad[0])
            raise ValueError(
                f"The flux points have no finite {name} in bin {b} ({edges[b]:.4g} - "
                f"{edges[b + 1]:.4g}); slice that bin off, or mend its fit."
            )
    model = flux_points.reference_spectral_model
    energy_ref = axes["energy"].center
    references = model_references(model, edges, energy_ref)
    return {
        "energy_edges": edges,
        "energy_ref": energy_ref,
        "norm_scan": np.tile(norms, (len(stat), 1)),
        "stat_scan": stat_scan - stat[:, np.newaxis],
        "stat": stat,
        "reference_model": model,
        **{f"ref_{name}": values for name, values in references.items()},
    }


def check_best_fit(dataset, flux_points):
    """Raise if a scan, read at the best fit, isn't at its minimum: the wrong sign or norms."""
    norm = np.asarray(flux_points.norm.data, dtype=float)[..., 0, 0]
    scans = dataset.scans
    inside = np.isfinite(norm) & (norm >= scans.norm_min) & (norm <= scans.norm_max)
    found = scans.stat(np.where(inside, norm, scans.norm_min))
    bad = np.flatnonzero(inside & (np.abs(found) > STAT_MISMATCH))
    if len(bad):
        b = int(bad[0])
        raise ValueError(
            f"The flux points contradict themselves in bin {b}: stat_scan at norm = {norm[b]:.4g} "
            f"differs from stat by {found[b]:.4g}. Gammapy reads fermipy files with the wrong sign "
            "and norms; read those with SEDLikelihoodDataset.read."
        )
