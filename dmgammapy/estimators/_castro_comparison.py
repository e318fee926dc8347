"""How far limits converted bin by bin are from those of the direct method, which is said."""

import numpy as np

from ._conversion import FLUX_UNITS
from .limits import delta_stat_upper

__all__ = ["method_note"]

SMALL_DIFFERENCE = 0.02  # between the methods, in limits
N_HARDNESS = 10  # spectra compared from the softest to the hardest
# Strengths in limits of the direct method, between which that of the bins is looked for. Steps of
# 1 % make the ratio good to 1e-4, as the likelihood is smooth.
STRENGTHS = np.concatenate([[0.0], np.geomspace(1e-3, 10.0, 926)])


def method_note(castro, sed, likelihood):
    """What conversion bin by bin does to the limits, against ``method="direct"``.

    Energy dispersion between bins and the shape of the spectrum within them are left out by the
    conversion, and norms of the background are fitted in every bin on their own. A few masses
    and channels are therefore scanned directly, with the background as the estimator treats it:
    spectra from the softest to the hardest in counts, and those for which energy dispersion is
    expected to matter most.

    Free parameters that are not norms are fitted by the direct method only, at great cost: then
    the difference is estimated for a fixed background, and it is said so.

    Parameters
    ----------
    castro : `~dmgammapy.estimators._castro_counts.CountsCastro`
    sed : `~dmgammapy.datasets.SEDLikelihoodDataset`
        From its ``sed``.
    likelihood : `~dmgammapy.datasets.CountsLikelihood`
        Of its datasets.

    Returns
    -------
    note : str or None
        None if limits agree within 2 %.
    """
    spectral = sed.models[0].spectral_model
    fluxes = [castro._unit_flux(spectral, r.energy_edges)[0] for r in likelihood.response]
    flux, valid = castro._unit_flux(spectral, sed.energy_edges, sed.norm_type)
    norms = flux / sed.ref(sed.norm_type).to_value(FLUX_UNITS[sed.norm_type])
    folded = _folded(likelihood, fluxes, sed.energy_edges)
    ratio = _expected_ratio(folded, norms * sed.ref_npred, sed, castro.estimator.cl)
    ratio[~valid] = np.nan
    if not np.isfinite(ratio).any():
        return None
    others = [likelihood._name(p) for p in likelihood.nonlinear_parameters]
    if others:
        found = ratio[np.isfinite(ratio)]
        how = f"fixed background; with free {', '.join(others)} they may differ more"
    else:
        rows = _rows(folded, ratio)
        found = _compare(castro, sed, likelihood, fluxes, norms, rows)
        background = "norms profiled" if likelihood.norm_parameters else "fixed"
        how = f"background {background}, compared at {len(rows)} masses and channels"
    if np.abs(found - 1).max() < SMALL_DIFFERENCE:
        return None
    return (
        f"{sed.models[0].name}: converted bin by bin, without energy dispersion between bins; "
        f"limits are expected to be {found.min():.2f} to {found.max():.2f} times those of "
        f"method='direct' ({how})."
    )


def _folded(likelihood, fluxes, edges):
    """Counts of unit strength, folded with the full response, (channel, mass, bin)."""
    totals = likelihood.totals(edges)
    return sum(flux @ counts for flux, counts in zip(fluxes, totals, strict=True))


def _expected_ratio(folded, assumed, sed, cl):
    """Ratio of limits for many counts and fixed background; NaN without counts.

    The limit goes like ``1 / sqrt(sum_b (N_b / U_b)^2)`` with N_b the counts of unit strength
    and U_b those at the limit of bin b.
    """
    limit = sed.norm_ul(cl) * sed.ref_npred
    good = np.isfinite(limit) & (limit > 0)
    true, used = (
        np.sqrt(((counts[..., good] / limit[good]) ** 2).sum(axis=-1))
        for counts in (folded, assumed)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((true > 0) & (used > 0), true / used, np.nan)


def _rows(folded, ratio):
    """Masses and channels to compare, a list of index pairs."""
    seen = np.flatnonzero(np.isfinite(ratio))
    counts = folded.reshape(-1, folded.shape[-1])[seen]
    hardness = counts @ np.arange(counts.shape[1]) / counts.sum(axis=1)
    places = np.linspace(0, len(seen) - 1, N_HARDNESS).round().astype(int)
    chosen = np.argsort(hardness, kind="stable")[places].tolist()
    chosen += [int(np.argmin(ratio.flat[seen])), int(np.argmax(ratio.flat[seen]))]
    return [np.unravel_index(seen[i], ratio.shape) for i in dict.fromkeys(chosen)]


def _compare(castro, sed, likelihood, fluxes, norms, rows):
    """Limits of the bins over those of direct scans at a J-factor held fixed, for some rows."""
    estimator = castro.estimator
    if estimator.cov_scale is not None:
        likelihood = likelihood.with_counts([terms.counts for terms in likelihood._terms])
        likelihood._add_priors(estimator.cov_scale)
    scanner = likelihood.scanner()
    scans = estimator._scans(sed)
    rise = delta_stat_upper(estimator.cl)
    found = []
    for row in rows:
        unit = [r.npred(f[row]) for r, f in zip(likelihood.response, fluxes, strict=True)]
        total = likelihood.count(unit)
        direct = scanner.scan(
            [cube / total for cube in unit], norm_scan=np.zeros(1), delta_stat_ul=rise,
            what=f"{castro.name}, comparison of methods",
        )  # fmt: skip
        strength = direct.norm_ul / total * STRENGTHS
        stat = scans.stat(norms[row][:, None] * strength).sum(axis=0)
        best = int(np.argmin(stat))
        found.append(np.interp(rise, stat[best:] - stat[best], STRENGTHS[best:]))
    return np.array(found)
