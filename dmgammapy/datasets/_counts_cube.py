"""Scan a point source at many positions."""

import numpy as np
from gammapy.modeling.models import PointSpatialModel
from joblib import Parallel, delayed

from dmgammapy.utils import progress

from ._counts_components import model_of
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
    problems = [make_problem(parts, priors) if parts else None for parts in bins]
    rows = progress(range(positions.shape[0]), "castro cube", show_progress)
    parallel = Parallel(n_jobs=n_jobs, prefer="threads")
    return parallel(
        delayed(_scan_row)(likelihood, positions[row], bins, problems, start, settings)
        for row in rows
    )


def _scan_row(likelihood, positions, bins, problems, start, settings):
    problems = [None if problem is None else problem.copy() for problem in problems]
    lower, upper = likelihood.bounds
    mover = _Mover(likelihood, positions.frame.name)
    out = []
    for position in positions:
        signals = mover.signals(position)
        where = f"{position.data.lon.deg:.4f} {position.data.lat.deg:.4f} deg"
        scans = []
        for parts, problem in zip(bins, problems, strict=True):
            if problem is None:
                scans.append(None)
                continue
            own = [signals[id(terms)][part] for terms, part in parts]
            problem.replace_signal(parts, own)
            pick = np.array(problem.index, dtype=int) - 1
            what = f"{likelihood.source} at {where}"
            scans.append(
                scan_problem(problem, start[pick], lower[pick], upper[pick], what=what, **settings)
            )
        out.append(scans)
    return out


class _Mover:
    """Prediction of norm 1 of a point source at one position after the other."""

    def __init__(self, likelihood, frame):
        self.likelihood = likelihood
        self.models, self.fluxes = [], []
        for dataset in likelihood.datasets:
            model = model_of(dataset, likelihood.source)
            spatial = PointSpatialModel(frame=frame)
            moved = model.copy(name=model.name, copy_data=False, spatial_model=spatial)
            self.models.append(moved)
            self.fluxes.append(None)

    def signals(self, position):
        """Prediction at a position, by the identity of every dataset's terms."""
        likelihood = self.likelihood
        out = {}
        for i, (terms, renderer, model) in enumerate(
            zip(likelihood._terms, likelihood._renderers, self.models, strict=True)
        ):
            model.spatial_model.lon_0.value = position.data.lon.deg
            model.spatial_model.lat_0.value = position.data.lat.deg
            response = renderer.true_response(model)
            if self.fluxes[i] is None:
                self.fluxes[i] = response.fluxes(likelihood._spectrum)
            out[id(terms)] = terms.clean(response.npred(self.fluxes[i]), f"model {model.name!r}")
        return out
