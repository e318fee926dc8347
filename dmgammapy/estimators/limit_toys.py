"""Simulated distributions of test statistics for limits: `LimitToys`."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import QTable
from astropy.utils.exceptions import AstropyUserWarning
from joblib import Parallel, delayed

from dmgammapy.makers import random_stream
from dmgammapy.utils import atomic_path, progress

from . import limits, statistics
from ._ensembles import BLOCK, DatasetEngine, with_signal
from .castro_maps import STRENGTH_UNITS

__all__ = ["LimitToys", "fast_limit_toys", "slow_limit_toys"]

ARRAYS = ("strengths", "q_signal", "q_null", "t_signal")


@dataclass(frozen=True, repr=False)
class LimitToys:
    r"""Test statistics of simulated data at some signal strengths.

    From `ExpectedLimitsEstimator.limit_toys`; the methods ``toys``, ``toys_clsb`` and
    ``feldman_cousins`` of `CastroMaps.upper_limit_and_status` take it. Test statistics are those of
    Cowan et al. 2011 (EPJ C 71, 1554), for signals >= 0: :math:`\tilde q_\mu` for limits,
    :math:`\tilde t_\mu` for intervals.

    Attributes
    ----------
    strengths : `~astropy.units.Quantity`, shape (channel, mass, n_mu)
        Strengths that are tested, ascending.
    q_signal : array, shape (channel, mass, n_mu, n_toy)
        :math:`\tilde q_\mu` of data with the signal that is tested.
    q_null : array of that shape
        :math:`\tilde q_\mu` of data without signal.
    t_signal : array of that shape
        :math:`\tilde t_\mu` of data with the signal that is tested.
    masses : `~astropy.units.Quantity`
    channels : list of str
    """

    strengths: u.Quantity
    q_signal: np.ndarray
    q_null: np.ndarray
    t_signal: np.ndarray
    masses: u.Quantity
    channels: list

    @property
    def n_toys(self):
        """Number of simulated data sets with each strength."""
        return self.q_signal.shape[-1]

    def write(self, path, overwrite=False):
        """Write a FITS file.

        Parameters
        ----------
        path : str or `~pathlib.Path`
        overwrite : bool
            Default is False.
        """
        header = fits.Header({"HDUCLASS": "DMGAMMAPY", "HDUCLAS1": "LIMITTOYS"})
        hdus = [fits.PrimaryHDU(header=header)]
        for name, column in (("mass", self.masses.to("GeV")), ("channel", self.channels)):
            hdus.append(fits.table_to_hdu(QTable({name: column})))
            hdus[-1].name = name.upper()
        for name in ARRAYS:
            hdus.append(fits.ImageHDU(u.Quantity(getattr(self, name)).value, name=name.upper()))
        hdus[3].header["BUNIT"] = self.strengths.unit.to_string("fits")
        with atomic_path(Path(path), overwrite) as temporary:
            fits.HDUList(hdus).writeto(temporary, checksum=True)

    @classmethod
    def read(cls, path):
        """Read what `write` wrote.

        Parameters
        ----------
        path : str or `~pathlib.Path`

        Raises
        ------
        ValueError
            If the file is something else or damaged.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", AstropyUserWarning)  # checksums
                with fits.open(path, checksum=True, memmap=False) as hdus:
                    return cls._from_hdus(hdus, path)
        except (OSError, AstropyUserWarning) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise ValueError(f"{path}: not a sound FITS file: {error}.") from None

    @classmethod
    def _from_hdus(cls, hdus, path):
        found = hdus[0].header.get("HDUCLAS1")
        if found != "LIMITTOYS":
            raise ValueError(f"{path}: not a file of limit toys: HDUCLAS1 is {found!r}.")
        missing = [n for n in ("MASS", "CHANNEL", *map(str.upper, ARRAYS)) if n not in hdus]
        if missing:
            raise ValueError(f"{path}: missing HDU {', '.join(missing)}.")
        arrays = {name: np.array(hdus[name.upper()].data, dtype=float) for name in ARRAYS}
        masses = QTable.read(hdus["MASS"])["mass"]
        channels = [str(name).strip() for name in hdus["CHANNEL"].data["channel"]]
        unit = u.Unit(hdus["STRENGTHS"].header.get("BUNIT", ""))
        if unit not in STRENGTH_UNITS.values():
            raise ValueError(f"{path}, HDU STRENGTHS: BUNIT is {str(unit)!r}, expected a strength.")
        strengths = arrays.pop("strengths")
        if strengths.shape[:2] != (len(channels), len(masses)) or not _ascend(strengths):
            raise ValueError(
                f"{path}, HDU STRENGTHS: expected strengths >= 0 that ascend, of the shape "
                f"(channel, mass, n_mu), ({len(channels)}, {len(masses)}) first."
            )
        shape = (*strengths.shape, arrays["q_signal"].shape[-1])
        for name, values in arrays.items():
            if values.shape != shape:
                raise ValueError(
                    f"{path}, HDU {name.upper()}: expected the shape (channel, mass, n_mu, n_toy) "
                    f"= {shape}, got {values.shape}."
                )
            unknown = np.isnan(values)
            if (unknown.any(axis=-1) & ~unknown.all(axis=-1)).any() or (values < 0).any():
                raise ValueError(
                    f"{path}, HDU {name.upper()}: test statistics must be >= 0, or NaN throughout "
                    "where there is no information."
                )
        strengths = strengths * unit
        return cls(strengths=strengths, masses=masses, channels=channels, **arrays)

    def __repr__(self):
        n_channel, n_mass, n_mu = self.strengths.shape
        return (
            f"LimitToys({n_channel} channels, {n_mass} masses, {n_mu} strengths, "
            f"{self.n_toys} toys)"
        )


def _ascend(strengths):
    return np.ndim(strengths) == 3 and (strengths >= 0).all() and (np.diff(strengths) > 0).all()


def check_strengths(strengths, castro):
    """Strengths of the shape (channel, mass, n_mu), floats."""
    unit = STRENGTH_UNITS[castro.process]
    shape = (len(castro.labels), len(castro.masses))
    values = u.Quantity(strengths).to_value(unit)
    if values.ndim == 1:
        values = np.broadcast_to(values, (*shape, len(values)))
    if values.ndim != 3 or values.shape[:2] != shape:
        raise ValueError(
            f"strengths must have the shape (n_mu,) or (channel, mass, n_mu) = ({shape[0]}, "
            f"{shape[1]}, n_mu), got {values.shape}."
        )
    if not _ascend(values):
        raise ValueError("strengths must not be negative and ascend along the last axis.")
    return np.ascontiguousarray(values)


def statistics_at(profiles, strength):
    """Test statistics of profiles on the lattice.

    Parameters
    ----------
    profiles : `LatticeProfiles`
    strength : array, shape (n_row,)

    Returns
    -------
    q, t : arrays, shape (n_row,)
        NaN in rows without information.

    Raises
    ------
    ValueError
        If a strength lies beyond the lattice.
    """
    nodes = profiles.step * np.arange(profiles.n_norm)
    best, minimum = limits.best_fit(nodes, profiles.values, profiles.zero)
    stat = profiles.at(strength)
    stat[profiles.empty] = np.nan
    lost = ~np.isfinite(stat) & ~profiles.empty
    if lost.any():
        raise ValueError(
            f"strengths of {lost.sum()} rows, e.g. {strength[lost][0]:.3g}, lie beyond the grid of "
            "simulated likelihoods: take lower ones."
        )
    best = best * 10.0 ** (profiles.step * profiles.start)
    # best fits are >= 0 already, so these are the statistics with a tilde
    return statistics.q_mu(strength, stat, best, minimum), statistics.t_mu(stat, minimum)


def fast_limit_toys(engine, castro, strengths, n_toys, seed, n_jobs, show_progress):
    """`LimitToys` by the fast engine."""
    values = check_strengths(strengths, castro)
    n_mu = values.shape[-1]
    blocks = range(-(-n_toys // BLOCK))
    tasks = [(k, b) for k in range(n_mu) for b in blocks]
    parallel = Parallel(n_jobs=n_jobs)
    items = progress(tasks, "limit toys", show_progress)
    signal = parallel(
        delayed(_signal_block)(engine, values[..., k].ravel(), seed, k, b) for k, b in items
    )
    items = progress(list(blocks), "toys without signal", show_progress)
    null = parallel(delayed(_null_block)(engine, values, b) for b in items)
    shape = values.shape[:2]

    def gather(parts):
        return np.concatenate(parts).T[:, :n_toys].reshape(*shape, n_toys)

    q, t = (
        np.stack(
            [
                gather([part[i] for part, (k, _) in zip(signal, tasks, strict=True) if k == j])
                for j in range(n_mu)
            ],
            axis=2,
        )
        for i in (0, 1)
    )
    q_null = np.stack([gather([part[j] for part in null]) for j in range(n_mu)], axis=2)
    unit = STRENGTH_UNITS[castro.process]
    return LimitToys(values * unit, q, q_null, t, castro.masses, castro.labels)


def _signal_block(engine, strength, seed, k, block):
    """Q and t, (n_toy, n_row), of one block of toys with their own signals."""
    counts, shifts = engine.signal_counts(
        strength, range(block * BLOCK, (block + 1) * BLOCK),
        [random_stream(seed, "limit toys", m.name, k, block) for m in engine.members],
    )  # fmt: skip
    _, total = engine.profiles(counts, shifts)
    q, t = statistics_at(total, np.tile(strength, BLOCK))
    return q.reshape(BLOCK, -1), t.reshape(BLOCK, -1)


def _null_block(engine, values, block):
    """Q (n_toy, n_row) for each strength of one block of toys without signal."""
    _, total = engine.drawn_profiles(range(block * BLOCK, (block + 1) * BLOCK))
    return [
        statistics_at(total, np.tile(values[..., k].ravel(), BLOCK))[0].reshape(BLOCK, -1)
        for k in range(values.shape[-1])
    ]


def slow_limit_toys(estimator, datasets, strengths, n_toys):
    """`LimitToys` by simulating and analysing data sets, one mass and channel after the other."""
    castro = estimator.castro
    values = check_strengths(strengths, castro)
    shape = (*values.shape, n_toys)
    q, t, q_null = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    tasks = list(np.ndindex(*values.shape[:2]))
    items = progress(tasks, "limit toys", estimator.show_progress)
    parts = Parallel(n_jobs=estimator.n_jobs)(
        delayed(_slow_cell)(estimator, datasets, c, m, values[c, m], n_toys) for c, m in items
    )
    for (c, m), part in zip(tasks, parts, strict=True):
        q[c, m], t[c, m], q_null[c, m] = part
    unit = STRENGTH_UNITS[castro.process]
    return LimitToys(values * unit, q, q_null, t, castro.masses, castro.labels)


def _slow_cell(estimator, datasets, c, m, strengths, n_toys):
    castro = estimator.castro.restricted(c, m)
    unit = STRENGTH_UNITS[castro.process]
    out = np.full((3, len(strengths), n_toys), np.nan)

    def engine(maker):
        return DatasetEngine(
            castro, maker.prepare(datasets), [], estimator.stack, joint=estimator.joint
        )

    null = engine(with_signal(estimator.maker))
    for i in range(n_toys):
        total = null.stack(i)._all_profiles()[2]
        for k, strength in enumerate(strengths):
            out[2, k, i] = statistics_at(total, np.array([strength]))[0].item()
    for k, strength in enumerate(strengths):
        maker = with_signal(
            estimator.maker, castro.process, castro.masses[0], castro.channels[0], strength * unit
        )
        # numbers of their own, so that toys with and without signal are independent
        maker.seed = int(random_stream(maker.seed, "limit toys", k).integers(2**31))
        own = engine(maker)
        for i in range(n_toys):
            total = own.stack(i)._all_profiles()[2]
            out[:2, k, i] = np.ravel(statistics_at(total, np.array([strength])))
    return out
