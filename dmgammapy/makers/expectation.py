"""Expected counts behind an SED likelihood, and scans of counts drawn from them."""

import copy
from functools import lru_cache

import numpy as np

from dmgammapy.datasets import SEDLikelihoodDataset

from ._poisson_shape import fit_poisson_shape, local_power_law, scan_poisson

__all__ = ["SEDExpectation"]

TOLERANCE = 0.1
LEAST_COUNTS = 0.5
N_POINTS, DELTA_STAT = 40, 20.0
LEAST_DELTA_STAT = 4.0
# what is given may differ from what a scan says by these factors
LARGEST_B, LARGEST_S = 1.5, 1.2


class SEDExpectation:
    r"""Counts that are expected in each energy bin of an SED likelihood.

    A bin is one Poisson experiment, with b the background, s the counts of norm 1 and n those
    counted:

    .. math::
        \mathrm{stat}(x) = 2 (b + s x) - 2 n \ln(b + s x)

    Parameters
    ----------
    background : array_like, shape (n_bins,)
        Expected background counts b, positive.
    npred : array_like, shape (n_bins,)
        Expected counts s of norm 1, positive.

    Raises
    ------
    ValueError
        If shapes differ or a number is not positive.

    Examples
    --------
    Three counts on a background of two, where norm 1 predicts one:

    >>> import numpy as np
    >>> from dmgammapy.makers import SEDExpectation
    >>> expectation = SEDExpectation([2.0], [1.0])
    >>> norm, stat = expectation.scan([3], n_points=5, delta_stat_max=4)
    >>> print(norm.round(3), stat.round(3))
    [[0.    1.477 2.954 4.431 5.908]] [[0.433 0.069 0.898 2.287 4.   ]]
    """

    def __init__(self, background, npred):
        self.background = _positive("background", background)
        self.npred = _positive("npred", npred)
        if self.background.shape != self.npred.shape:
            raise ValueError(
                f"background and npred must have the same shape (n_bins,), got "
                f"{self.background.shape} and {self.npred.shape}."
            )

    @classmethod
    def from_dataset(
        cls, dataset, background=None, undetermined="error", tolerance=TOLERANCE,
        least_counts=LEAST_COUNTS,
    ):  # fmt: skip
        """Read the expectation off an SED likelihood.

        Each scan is fitted by the Poisson likelihood of the class; its shape holds b, s and n
        separately. Where nothing was counted the scan is a straight line, whose slope is 2 s and
        which does not know b; nor does one with far fewer counts than b (probability 1e-5). A
        parabola is the limit of many counts.

        **Likelihoods of maps**, like those that Fermi-LAT published, are not one Poisson
        experiment per bin: the counts spread over pixels, and background norms may have been
        profiled. Here b and s are effective numbers, of the pixels near the source: draws have the
        likelihood's own width, but are not the real counts. A few photons say little about b, and
        how far from the source they happen to be decides: take ``undetermined="power_law"`` with
        ``least_counts=5``.

        Masked bins need not be known: where they are not, b and s are 1.

        Parameters
        ----------
        dataset : `~dmgammapy.datasets.SEDLikelihoodDataset`
        background : array_like, shape (n_bins,), optional
            Expected background counts if they are known; ``dataset.ref_npred`` then gives s, or
            the fit if that is absent. Both must agree with the scans, s within a factor 1.2 and b,
            where something was counted, within 1.5. Default is to fit them.
        undetermined : {"error", "power_law"}
            What to do with bins that don't know their b. With ``power_law`` they take b / s, the
            background in units of the norm, from a power law in energy that is fitted to the
            counts of all bins, those without included. Bins beyond a factor 4.5 in energy weigh
            less, and so do counts in bins whose own b / s is larger than this. Default is "error".
        tolerance : float
            Largest allowed difference between scan and fit, in -2 ln L, weighted by
            ``1 / (1 + stat)``, below 40. Default is 0.1.
        least_counts : float
            Bins with fewer (fitted) counts don't know their b. Default is 0.5, that is those
            without counts.

        Returns
        -------
        expectation : `SEDExpectation`

        Raises
        ------
        ValueError
            If a scan has another shape, does not determine b or contradicts what is given; the
            message names the bins.

        Examples
        --------
        >>> from dmgammapy.analysis.example import simulate_sed
        >>> import numpy as np
        >>> from dmgammapy.makers import SEDExpectation
        >>> from dmgammapy.targets import Targets
        >>> draco = Targets.read_roster("ackermann2015_dsphs")["draco"]
        >>> dataset, truth = simulate_sed(draco, np.random.default_rng(1))
        >>> first = dataset.slice_by_idx({"energy": slice(0, 8)})  # all with counts
        >>> expectation = SEDExpectation.from_dataset(first)
        >>> bool(np.abs(expectation.background / truth["background"][:8] - 1).max() < 1e-6)
        True
        """
        if not isinstance(dataset, SEDLikelihoodDataset):
            raise TypeError(
                f"SEDExpectation needs an SEDLikelihoodDataset, got {type(dataset).__name__}."
            )
        if undetermined not in ("error", "power_law"):
            raise ValueError(f"undetermined must be 'error' or 'power_law', got {undetermined!r}.")
        where = f"dataset {dataset.name!r}"
        if background is not None:
            background = _positive(f"{where}: background", background)
            if background.shape != (dataset.n_bins,):
                raise ValueError(
                    f"{where} has {dataset.n_bins} bins but {background.size} backgrounds."
                )
        edges = dataset.energy_edges.to_value("MeV")
        b, s, counts, misfit = _fit_scans(_Content(dataset.norm_scan), _Content(dataset.stat_scan))

        def bins(flags):
            return ", ".join(
                f"{i} ({edges[i]:.4g}-{edges[i + 1]:.4g} MeV)" for i in np.flatnonzero(flags)
            )

        used = np.ones(len(b), dtype=bool) if dataset.mask is None else dataset.mask
        bad = ~((misfit <= tolerance) & (s > 0))
        if background is not None and dataset.ref_npred is not None:
            given = cls(background, dataset.ref_npred)
            remedy = "correct it, or make SEDExpectation(background, npred) if you know better."
            fitted = used & ~bad
            counted = fitted & np.isfinite(b) & (counts >= least_counts)
            for what, one, scan, sure, largest in (
                ("background", background, b, counted, LARGEST_B),
                ("ref_npred", given.npred, s, fitted, LARGEST_S),
            ):
                factor = np.exp(np.abs(np.log(one / np.where(sure, scan, one))))
                if (factor > largest).any():
                    i = int(np.argmax(factor))
                    raise ValueError(
                        f"{where}: {what} contradicts the scans of bins {bins(factor > largest)}; "
                        f"in bin {i} it is {one[i]:.4g}, but the scan says {scan[i]:.4g}: {remedy}"
                    )
            return given
        b, s = np.where(bad & ~used, 1.0, b), np.where(bad & ~used, 1.0, s)
        bad &= used
        if bad.any():
            raise ValueError(
                f"{where}: the scans of bins {bins(bad)} don't have the shape of a Poisson "
                f"likelihood (they differ by up to {np.nanmax(misfit[bad]):.2g}, allowed is "
                f"{tolerance:g}): give the expectation, SEDExpectation(background, npred), or a "
                "larger tolerance."
            )
        if background is not None:
            return cls(background, s)
        lost = ~np.isfinite(b) | (counts < least_counts)
        if lost.any():
            if not (lost & used).any():
                return cls(np.where(lost, 1.0, b), s)
            if undetermined == "error" or (~lost & used).sum() < 2:
                raise ValueError(
                    f"{where}: nothing was counted in bins {bins(lost)} or too little: their scans "
                    "don't know the expected background. Give it, background=..., or take "
                    "undetermined='power_law', for which two other bins must know theirs."
                )
            energy = np.sqrt(edges[:-1] * edges[1:])
            smooth = local_power_law(energy, b / s, np.where(used, s, 0), np.where(used, counts, 0))
            b = np.where(lost, s * smooth, b)
        return cls(b, s)

    @staticmethod
    def undetermined_bins(dataset, least_counts=LEAST_COUNTS):
        """Bins whose scan does not know the expected background.

        `from_dataset` has no number for them, or guesses it by a power law.

        Parameters
        ----------
        dataset : `~dmgammapy.datasets.SEDLikelihoodDataset`
        least_counts : float
            Bins with fewer (fitted) counts don't know it. Default is 0.5.

        Returns
        -------
        undetermined : bool array, shape (n_bins,)
            False for bins that are masked.

        Examples
        --------
        >>> from dmgammapy.analysis.example import simulate_sed
        >>> import numpy as np
        >>> from dmgammapy.makers import SEDExpectation
        >>> from dmgammapy.targets import Targets
        >>> draco = Targets.read_roster("ackermann2015_dsphs")["draco"]
        >>> dataset, truth = simulate_sed(draco, np.random.default_rng(1))
        >>> bool((SEDExpectation.undetermined_bins(dataset) == (truth["counts"] == 0)).all())
        True
        """
        b, _, counts, _ = _fit_scans(_Content(dataset.norm_scan), _Content(dataset.stat_scan))
        used = np.ones(len(b), dtype=bool) if dataset.mask is None else dataset.mask
        return used & (~np.isfinite(b) | (counts < least_counts))

    @property
    def n_bins(self):
        """Number of energy bins."""
        return len(self.background)

    def mean(self, norm=0.0):
        """Expected counts.

        Parameters
        ----------
        norm : float or array, shape (n_bins,)
            Norm of the signal in each bin. Default is 0.

        Returns
        -------
        mean : array, shape (n_bins,)

        Raises
        ------
        ValueError
            If negative counts are expected.
        """
        mean = self.background + self.npred * np.asarray(norm, dtype=float)
        if mean.shape != self.background.shape or not (mean >= 0).all():
            raise ValueError(
                f"norm must be finite, a number or {self.n_bins} of them, and above "
                f"-background / npred; got {norm}."
            )
        return mean

    def draw(self, random, norm=0.0):
        """Draw counts.

        Parameters
        ----------
        random : `~numpy.random.Generator`
        norm : float or array, shape (n_bins,)
            Norm of the signal in each bin. Default is 0.

        Returns
        -------
        counts : int array, shape (n_bins,)
        """
        return random.poisson(self.mean(norm))

    def scan(self, counts, n_points=N_POINTS, delta_stat_max=DELTA_STAT, negative_norm=False):
        """Scan the likelihood of counts.

        Parameters
        ----------
        counts : array_like, shape (n_bins,)
        n_points : int
            Number of norms. Default is 40.
        delta_stat_max : float
            -2 ln L above the minimum over norms >= 0 where a scan ends. Default is 20.
        negative_norm : bool
            Whether to scan negative norms, too, down to the same rise or to where no counts are
            expected; norm 0 is always a point. Values are then relative to the minimum over all
            norms, so that scans with fewer counts than b end higher than ``delta_stat_max``:
            without counts, which are likeliest where none are expected, by 2 b. Default is False:
            scans begin at 0 and are relative to the minimum above.

        Returns
        -------
        norm, stat : array, shape (n_bins, n_points)
            -2 ln L relative to the minimum over the norms allowed.
        """
        counts = np.asarray(counts, dtype=float)
        if counts.shape != self.background.shape or not (counts >= 0).all():
            raise ValueError(f"counts must be {self.n_bins} numbers >= 0, got {counts}.")
        if n_points < 5 or not delta_stat_max > 0:
            raise ValueError(
                f"a scan needs at least 5 points and a positive delta_stat_max, got {n_points} and "
                f"{delta_stat_max}."
            )
        return scan_poisson(
            self.background, self.npred, counts, n_points, delta_stat_max, negative_norm
        )[:2]

    def to_dataset(
        self, dataset, counts, n_points=None, delta_stat_max=None, negative_norm=None, models=None,
        name=None,
    ):  # fmt: skip
        """SED likelihood of counts, with all else from another one.

        Parameters
        ----------
        dataset : `~dmgammapy.datasets.SEDLikelihoodDataset`
            Bins, references, masks and so on.
        counts : array_like, shape (n_bins,)
        n_points, delta_stat_max, negative_norm
            As for `scan`. Default is as ``dataset`` has them: its number of points, the median rise
            at its ends (at least 4), and whether it has negative norms.
        models : `~gammapy.modeling.models.Models`, optional
            Default is that of ``dataset``.
        name : str, optional
            Default is that of ``dataset``.

        Returns
        -------
        dataset : `~dmgammapy.datasets.SEDLikelihoodDataset`
        """
        if dataset.n_bins != self.n_bins:
            raise ValueError(
                f"dataset {dataset.name!r} has {dataset.n_bins} bins, the expectation "
                f"{self.n_bins}."
            )
        norm, stat = dataset.norm_scan, dataset.stat_scan
        n_points = max(norm.shape[1], 5) if n_points is None else n_points
        if negative_norm is None:
            negative_norm = bool((norm[:, 0] < 0).any())
        if delta_stat_max is None:
            last = np.isfinite(norm).sum(axis=1) - 1
            rise = stat[np.arange(len(stat)), last]
            delta_stat_max = max(float(np.median(rise)), LEAST_DELTA_STAT)
        counts = np.asarray(counts, dtype=float)
        norm, stat = self.scan(counts, n_points, delta_stat_max, negative_norm)
        if negative_norm:
            best = counts
        else:
            best = np.maximum(counts, self.background)
        with np.errstate(divide="ignore", invalid="ignore"):
            lowest = 2 * (best - np.where(counts > 0, counts * np.log(best), 0.0))
        return SEDLikelihoodDataset(
            dataset.energy_edges, norm, stat,
            ref_flux=dataset.ref_flux, ref_eflux=dataset.ref_eflux, ref_dnde=dataset.ref_dnde,
            stat=lowest, name=name or dataset.name,
            models=dataset.models if models is None else models,
            norm_type=dataset.norm_type, interpolation=dataset.interpolation,
            instrument=dataset.instrument, livetime=dataset.livetime,
            meta=copy.deepcopy(dataset.meta), reference_model=dataset.reference_model,
            energy_ref=dataset.energy_ref, ref_npred=self.npred,
            mask_safe=dataset.mask_safe, mask_fit=dataset.mask_fit,
        )  # fmt: skip

    def __repr__(self):
        return (
            f"SEDExpectation(n_bins={self.n_bins}, background={self.background.sum():.4g} in all)"
        )


class _Content:
    """Hashable handle of an array, equal to those with the same content."""

    def __init__(self, values):
        self.values = values
        self._key = (values.shape, values.tobytes())

    def __hash__(self):
        return hash(self._key)

    def __eq__(self, other):
        return self._key == other._key


@lru_cache(maxsize=256)
def _fit_scans(norm, stat):
    rows = [fit_poisson_shape(x, y) for x, y in zip(norm.values, stat.values, strict=True)]
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def _positive(name, values):
    values = np.array(values, dtype=float, ndmin=1)
    if values.ndim != 1 or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"{name} must be positive finite numbers, shape (n_bins,), got {values}.")
    return values
