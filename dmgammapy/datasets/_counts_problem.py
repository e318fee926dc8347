"""Arrays of counts datasets, and the likelihood problems made of them."""

from dataclasses import dataclass, field, replace

import numpy as np

__all__ = ["DatasetTerms", "Problem", "make_problem"]

HUGE = 1e100  # Gammapy's ratio of acceptances where there is none OFF
NEGATIVE_NOISE = 1e-6  # of the largest value: what Fourier transforms leave
FAR_NOISE = 1e-5  # the same of a source whose largest value lies outside of the counts


@dataclass
class DatasetTerms:
    """Counts of one dataset and what each component predicts, shapes (n_energy, n_pixel).

    Attributes
    ----------
    name : str
    edges : array, shape (n_energy + 1,)
        Reconstructed energy in GeV.
    weight : array
        0 where masked, otherwise the weight of the likelihood, 1 unless weights were given.
    counts : array
    off, alpha : arrays or None
        Counts OFF and ratio of acceptances for ON/OFF data.
    fixed : array
        Sum of the frozen components.
    signal : array
        Prediction of norm 1 of the source.
    templates : dict
        Prediction of norm 1 of each free component, by its index.
    """

    name: str
    edges: np.ndarray
    weight: np.ndarray
    counts: np.ndarray
    off: np.ndarray | None
    alpha: np.ndarray | None
    fixed: np.ndarray
    signal: np.ndarray
    templates: dict = field(default_factory=dict)

    @classmethod
    def from_dataset(cls, dataset):
        """Read the counts; the components are still zero.

        Raises
        ------
        ValueError
            If the counts are missing, not finite or negative, everything is masked, or ON/OFF
            data lack acceptances where they are used.
        """
        name = dataset.name
        counts = getattr(dataset, "counts", None)
        if counts is None:
            raise ValueError(f"dataset {name!r} has no counts.")
        if counts.geom.is_hpx:
            raise ValueError(
                f"dataset {name!r} is on a HEALPix geometry, for which Gammapy predicts wrong "
                "counts; bin it on a WCS geometry."
            )
        axis = counts.geom.axes["energy"]
        shape = (axis.nbin, -1)
        weight = np.ones(counts.data.shape)
        if dataset.mask is not None:
            mask = dataset.mask.data if hasattr(dataset.mask, "data") else dataset.mask
            weighted = getattr(dataset, "stat_type", "cash") == "cash_weighted"
            weight = mask.astype(float) if weighted else (mask != 0).astype(float)
        used = weight > 0
        if not used.any():
            raise ValueError(
                f"dataset {name!r}: all its bins are masked by mask_safe and mask_fit."
            )
        cls._check(counts.data, used, name, "counts")
        off = alpha = None
        if getattr(dataset, "stat_type", "cash") == "wstat":
            if dataset.counts_off is None:
                raise ValueError(f"dataset {name!r} has no counts_off.")
            off = dataset.counts_off.data
            cls._check(off, used, name, "counts_off")
            alpha = np.asarray(dataset.alpha.data, dtype=float)  # float32 from OGIP files
            bad = used & ~((alpha > 0) & (alpha < HUGE))
            if bad.any():
                raise ValueError(
                    f"dataset {name!r}: acceptance_off is zero or missing in {bad.sum()} bins, "
                    f"the first in energy bin {np.argwhere(bad)[0][0]}; mask them."
                )
            off = off.reshape(shape).astype(float)
            alpha = np.where(used, alpha, 1.0).reshape(shape)
        zero = np.zeros(counts.data.shape).reshape(shape)
        return cls(
            name=name,
            edges=axis.edges.to_value("GeV"),
            weight=weight.reshape(shape),
            counts=np.where(used, counts.data, 0.0).reshape(shape).astype(float),
            off=off,
            alpha=alpha,
            fixed=zero,
            signal=zero,
        )

    def with_counts(self, counts):
        """The same with other counts; raises ValueError as `from_dataset`."""
        counts = np.asarray(counts, dtype=float).reshape(self.counts.shape)
        used = self.weight > 0
        self._check(counts, used, self.name, "counts")
        return replace(self, counts=np.where(used, counts, 0.0), templates=dict(self.templates))

    @staticmethod
    def _check(values, used, name, what):
        values = values[used]
        if not np.isfinite(values).all():
            raise ValueError(
                f"dataset {name!r}: {what} are not finite in {(~np.isfinite(values)).sum()} bins "
                "that are not masked."
            )
        if (values < 0).any():
            raise ValueError(
                f"dataset {name!r}: {what} are negative in {(values < 0).sum()} bins that are "
                "not masked."
            )

    def clean(self, npred, what, rendered_peak=None):
        """Bring a predicted cube into shape, zero where it is masked.

        Rounding noise of Fourier transforms below zero stays, as in Gammapy.

        Parameters
        ----------
        npred : array, shape (n_energy, ny, nx)
        what : str
            What predicts it, for errors.
        rendered_peak : callable, optional
            Gives the largest value of the model anywhere, outside of the counts as well. It is
            called only if values are negative beyond the noise of a source within.

        Returns
        -------
        npred : array, shape (n_energy, n_pixel)

        Raises
        ------
        ValueError
            If it is not finite or negative where it is used.
        """
        npred = np.asarray(npred, dtype=float).reshape(self.counts.shape)
        peak = np.max(npred, initial=0.0, where=np.isfinite(npred))
        npred = np.where(self.weight > 0, npred, 0.0)
        if not np.isfinite(npred).all():
            raise ValueError(
                f"dataset {self.name!r}: the predicted counts of {what} are not finite in "
                f"{(~np.isfinite(npred)).sum()} bins."
            )
        lowest = npred.min()
        if lowest < -NEGATIVE_NOISE * max(npred.max(), 0.0):
            if -lowest <= NEGATIVE_NOISE * peak:
                # what is masked is the source itself: beside it noise alone is left
                return np.where(np.abs(npred) > NEGATIVE_NOISE * peak, npred, 0.0)
            if rendered_peak is not None and -lowest <= FAR_NOISE * rendered_peak():
                return np.where(np.abs(npred) > -lowest, npred, 0.0)
            place = np.argwhere(npred == lowest)[0][0]
            raise ValueError(
                f"dataset {self.name!r}: the predicted counts of {what} are negative, down to "
                f"{lowest:.4g} in energy bin {place}; a likelihood needs positive ones."
            )
        return npred


@dataclass
class Problem:
    """One likelihood of ``K`` norms; index 0 is the signal.

    Attributes
    ----------
    arrays : tuple
        For the kernels.
    index : list of int
        Global index of the nuisance norms 1 to K - 1.
    npred_signal, n_counts : float
        Predicted counts of unit signal and observed counts.
    parts, signals : list
        Datasets with their energies, and the signal in each.
    """

    arrays: tuple
    index: list
    npred_signal: float
    n_counts: float
    parts: list
    signals: list

    def floor(self, norms):
        """Norm of the signal below which it predicts less than nothing in some voxel.

        Parameters
        ----------
        norms : array, shape (K - 1,)
            Nuisance norms, in the order of ``index``.
        """
        return max(
            _floor(terms, part, own, self.index, norms)
            for (terms, part), own in zip(self.parts, self.signals, strict=True)
        )

    def with_floor(self, voxels, norm):
        """The same with a little more expected in some of the voxels with counts.

        Parameters
        ----------
        voxels : bool array, shape (N,)
        norm : float
            What is expected more there, as norm of the signal.
        """
        arrays = list(self.arrays)
        arrays[2] = arrays[2] + np.where(voxels, norm * arrays[1][:, 0], 0.0)
        return replace(self, arrays=tuple(arrays))

    def copy(self):
        """Copy whose signal can be replaced without changing this one."""
        arrays = list(self.arrays)
        for i in (0, 1, 4):
            arrays[i] = arrays[i].copy()
        return replace(self, arrays=tuple(arrays))

    def replace_signal(self, parts, signals):
        """Take another signal, in place.

        Parameters
        ----------
        parts : list of (DatasetTerms, slice)
            Those the problem was made of.
        signals : list of array, shape (n_energy, n_pixel)
            Prediction of norm 1 in every part, cut to its energies.
        """
        total, rows, on_rows = self.arrays[0], self.arrays[1], self.arrays[4]
        total[0], self.npred_signal, self.signals = 0.0, 0.0, list(signals)
        first, first_on = 0, 0
        for (terms, part), own in zip(parts, signals, strict=True):
            weight, counts = terms.weight[part], terms.counts[part]
            used = weight > 0
            filled = used & (counts > 0)
            n = int(filled.sum())
            self.npred_signal += float((weight * own).sum())
            if terms.off is None:
                total[0] += float((weight * own).sum())
                rows[first : first + n, 0] = own[filled]
                first += n
            else:
                total[0] += float(own[used & (counts == 0)].sum())
                on_rows[first_on : first_on + n, 0] = own[filled]
                first_on += n


def make_problem(parts, priors):
    """Collect voxels into one problem.

    Parameters
    ----------
    parts : list of (DatasetTerms, slice)
        Datasets and their energies.
    priors : dict
        ``{index: (mean, weight)}`` of the norms.

    Returns
    -------
    problem : Problem
    """
    index = sorted(
        {
            k
            for terms, part in parts
            for k, template in terms.templates.items()
            if template[part].any()
        }
    )
    n_norm = 1 + len(index)
    total = np.zeros(n_norm)
    constant = 0.0
    cash, on_off = [], []
    n_counts = 0.0
    for terms, part in parts:
        weight = terms.weight[part]
        used = weight > 0
        own = terms.signal[part]
        columns = [own]
        columns += [terms.templates[k][part] if k in terms.templates else None for k in index]
        counts = terms.counts[part]
        n_counts += counts.sum()
        fixed = terms.fixed[part]
        filled = used & (counts > 0)
        rows = np.zeros((int(filled.sum()), n_norm))
        if terms.off is None:
            for k, column in enumerate(columns):
                if column is not None:
                    total[k] += float((weight * column).sum())
                    rows[:, k] = column[filled]
            constant += 2 * float((weight * fixed).sum())
            cash.append((rows, fixed[filled], (weight * counts)[filled]))
        else:
            empty = used & (counts == 0)
            off, alpha = terms.off[part], terms.alpha[part]
            for k, column in enumerate(columns):
                if column is not None:
                    total[k] += float(column[empty].sum())
                    rows[:, k] = column[filled]
            constant += 2 * float((fixed + off * np.log1p(alpha))[empty].sum())
            on, off = counts[filled], off[filled]
            constant += 2 * float((on * (np.log(on) - 1)).sum())
            constant += 2 * float((off * (np.log(np.where(off > 0, off, 1)) - 1)).sum())
            on_off.append((rows, fixed[filled], on, off, alpha[filled]))
    mean = np.zeros(n_norm)
    prior_weight = np.zeros(n_norm)
    for k, i in enumerate(index, start=1):
        if i in priors:
            mean[k], prior_weight[k] = priors[i]
    arrays = (
        total, *_stack(cash, 3, n_norm), *_stack(on_off, 5, n_norm), constant, mean, prior_weight
    )  # fmt: skip
    npred = sum(float((t.weight[p] * t.signal[p]).sum()) for t, p in parts)
    signals = [terms.signal[part] for terms, part in parts]
    return Problem(arrays, index, npred, n_counts, list(parts), signals)


def _stack(chunks, n_arrays, n_norm):
    if not chunks:
        return (np.zeros((0, n_norm)), *[np.zeros(0)] * (n_arrays - 1))
    return tuple(
        np.ascontiguousarray(np.concatenate([chunk[i] for chunk in chunks]))
        for i in range(n_arrays)
    )


def _floor(terms, part, signal, index, norms):
    """Lowest norm of the signal with no negative prediction in one dataset."""
    seen = (terms.weight[part] > 0) & (signal > 1e-12 * max(signal.max(), 1e-300))
    if not seen.any():
        return -np.inf
    rest = terms.fixed[part][seen]
    for k, norm in zip(index, norms, strict=True):
        if k in terms.templates:
            rest = rest + norm * terms.templates[k][part][seen]
    if terms.off is not None:
        alpha, off, on = (x[part][seen] for x in (terms.alpha, terms.off, terms.counts))
        rest = rest + alpha * (on + off) / (1 + alpha)
    return float((-rest / signal[seen]).max())
