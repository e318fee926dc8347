"""Scan a point source at many positions."""

import astropy.units as u
import numpy as np
from gammapy.modeling.models import PointSpatialModel
from joblib import Parallel, delayed

from dmgammapy.utils import progress

from ._counts_problem import make_problem
from ._counts_scan import scan_problem

__all__ = ["scan_positions"]


def scan_positions(
    likelihood, positions, edges, cov_scale=None, n_jobs=1, show_progress=None, **settings
):
    """Profile the norm of a point source at each of many positions, bin by bin.

    Parameters
    ----------
    likelihood : `CountsLikelihood`
        With the spectrum of norm 1.
    positions : `~astropy.coordinates.SkyCoord`, shape (n_rows, n_columns)
        Where to put the source; a task is a row.
    edges : array, shape (n_bins + 1,)
        Energy edges in GeV.
    cov_scale : float, optional
        As for `CountsLikelihood.scan`.
    n_jobs : int
        Threads.
    **settings
        For `_counts_scan.scan_problem`.

    Returns
    -------
    scans : list of list of list
        `NormScan` or None for every row, column and bin.
    """
    priors, start = likelihood._priors, likelihood.start
    if cov_scale is not None:
        start, priors = likelihood._fitted_priors(cov_scale)
    bins = likelihood._bins(edges)
    problems = [make_problem(parts, priors, start) if parts else None for parts in bins]
    rows = progress(range(positions.shape[0]), "castro cube", show_progress)
    parallel = Parallel(n_jobs=n_jobs, prefer="threads")
    return parallel(
        delayed(_scan_row)(likelihood, positions[row], bins, problems, start, settings)
        for row in rows
    )


def _scan_row(likelihood, positions, bins, problems, start, settings):
    problems = [None if problem is None else problem.copy() for problem in problems]
    lower, upper = likelihood.bounds
    out = []
    for position in positions:
        signals = _signals(likelihood, position)
        scans = []
        for parts, problem in zip(bins, problems, strict=True):
            if problem is None:
                scans.append(None)
                continue
            own = [signals[id(terms)][part] for terms, part in parts]
            problem.replace_signal(parts, own)
            pick = np.array(problem.index, dtype=int) - 1
            what = f"{likelihood.source} at {position.to_string('decimal')}"
            scans.append(
                scan_problem(problem, start[pick], lower[pick], upper[pick], what=what, **settings)
            )
        out.append(scans)
    return out


def _signals(likelihood, position):
    """Prediction of norm 1 at a position by the terms of every dataset."""
    from ._counts_components import model_of

    signals = {}
    for terms, dataset, renderer in zip(
        likelihood._terms, likelihood.datasets, likelihood._renderers, strict=True
    ):
        model = model_of(dataset, likelihood.source)
        frame = position.frame.name
        spatial = PointSpatialModel(
            lon_0=position.data.lon.to(u.deg), lat_0=position.data.lat.to(u.deg), frame=frame
        )
        moved = model.copy(name=model.name, copy_data=False, spatial_model=spatial)
        npred = renderer.npred_spectra(moved, [likelihood._spectrum])[0]
        signals[id(terms)] = terms.clean(npred, f"model {model.name!r}")
    return signals
