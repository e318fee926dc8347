"""Covariance of J-factors of different targets."""

from dataclasses import dataclass

import numpy as np
from astropy.table import Table

__all__ = ["JFactorCovariance"]

TOLERANCE = 1e-8  # of symmetry and definiteness, relative to the widths
ROUNDING = 1e-9


class JFactorCovariance:
    r"""Covariance of the shifts ``y = log10(J / J_obs)`` of several targets.

    Measurements of J that share a survey, a method or an assumption are wrong together. With the
    covariance C [dex2] their likelihood is

    .. math::
        -2 \ln L(y) = y^T C^{-1} y

    in place of ``y_t^2 / s_t^2`` for each target; like `JFactorPrior` it has its minimum, zero, at
    the observed values, and no Jacobian. C may be singular: targets that move strictly together.

    Parameters
    ----------
    names : list of str, shape (n_target,)
        Targets.
    matrix : array_like, shape (n_target, n_target)
        Covariance [dex2]. The diagonal has the squared widths of the single targets.

    Raises
    ------
    ValueError
        If names come twice, or the matrix has the wrong shape, is not finite, not symmetric or
        has negative eigenvalues.

    Examples
    --------
    >>> from dmgammapy.estimators import JFactorCovariance
    >>> covariance = JFactorCovariance.from_widths({"draco": 0.1, "segue_1": 0.3}, 0.5)
    >>> print(covariance.matrix)
    [[0.01  0.015]
     [0.015 0.09 ]]
    """

    def __init__(self, names, matrix):
        names = [str(name) for name in names]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"J-factor covariance: the targets {repeated} come twice.")
        matrix = np.array(matrix, dtype=float)
        if matrix.shape != (len(names), len(names)) or not names:
            raise ValueError(
                f"J-factor covariance: {len(names)} targets need a matrix of the shape "
                f"({len(names)}, {len(names)}), got {matrix.shape}."
            )
        bad = np.argwhere(~np.isfinite(matrix))
        if len(bad):
            i, j = bad[0]
            raise ValueError(
                f"J-factor covariance of {names[i]!r} and {names[j]!r} must be finite, got "
                f"{matrix[i, j]}."
            )
        variance = np.diag(matrix)
        if variance.min() < 0:
            i = int(variance.argmin())
            raise ValueError(
                f"J-factor covariance: the variance of {names[i]!r} is negative ({variance[i]:g})."
            )
        width = np.sqrt(variance)
        scale = np.where(width > 0, width, 1.0)
        relative = matrix / np.outer(scale, scale)
        off = np.abs(relative - relative.T)
        if off.max() > TOLERANCE:
            i, j = np.unravel_index(off.argmax(), off.shape)
            raise ValueError(
                f"J-factor covariance must be symmetric: {names[i]!r} with {names[j]!r} has "
                f"{matrix[i, j]:g}, the other way round it has {matrix[j, i]:g}."
            )
        for i in np.flatnonzero(width == 0):
            j = int(np.abs(matrix[i]).argmax())
            if matrix[i, j] != 0:
                raise ValueError(
                    f"J-factor covariance: {names[i]!r} has no variance, so it can't vary with "
                    f"{names[j]!r} ({matrix[i, j]:g})."
                )
        value, vector = np.linalg.eigh(0.5 * (relative + relative.T))
        if value[0] < -TOLERANCE * len(names):
            share = ", ".join(
                f"{vector[i, 0]:+.2f} {names[i]}"
                for i in np.argsort(-np.abs(vector[:, 0]))[:3]
                if vector[i, 0] != 0
            )
            raise ValueError(
                "J-factor covariance must not have negative eigenvalues; in units of the widths "
                f"the lowest is {value[0]:.3g} (mostly {share}). Lower the correlations."
            )
        self.names = names
        self.matrix = 0.5 * (matrix + matrix.T)
        self.matrix.flags.writeable = False

    @classmethod
    def from_widths(cls, widths, correlation):
        """Covariance of widths and one correlation coefficient, or a matrix of them.

        Parameters
        ----------
        widths : dict
            Width [dex] by target.
        correlation : float or array_like, shape (n_target, n_target)
            The same coefficient for all pairs, or the correlation matrix.

        Returns
        -------
        covariance : `JFactorCovariance`
        """
        names, width = list(widths), np.array(list(widths.values()), dtype=float)
        if np.any(~(width >= 0)):
            raise ValueError(f"widths must not be negative, got {dict(widths)}.")
        correlation = np.asarray(correlation, dtype=float)
        if correlation.ndim == 0:
            correlation = np.where(np.eye(len(names)) > 0, 1.0, correlation)
        if correlation.shape != (len(names), len(names)):
            raise ValueError(
                f"correlation must be a number or have the shape ({len(names)}, {len(names)}), "
                f"got {correlation.shape}."
            )
        if np.abs(np.diag(correlation) - 1).max() > TOLERANCE:
            raise ValueError("the diagonal of a correlation matrix must be 1.")
        return cls(names, correlation * np.outer(width, width))

    @classmethod
    def create(cls, data):
        """Covariance of what users have.

        Parameters
        ----------
        data : `JFactorCovariance`, `~astropy.table.Table`, dict or tuple
            A table has the column ``target`` and one column [dex2] for each of them; a dict is
            ``{target: {target: covariance}}``, where a pair may be left out on one side, or on
            both (0); a tuple is ``(names, matrix)``.

        Returns
        -------
        covariance : `JFactorCovariance`
        """
        if isinstance(data, cls):
            return data
        if isinstance(data, Table):
            return cls._from_table(data)
        if isinstance(data, dict):
            return cls._from_dict(data)
        if isinstance(data, tuple | list) and len(data) == 2:
            return cls(*data)
        raise TypeError(
            "jfactor_covariance must be a JFactorCovariance, Table, nested dict or "
            f"(names, matrix), got {type(data).__name__}."
        )

    @classmethod
    def _from_table(cls, table):
        if "target" not in table.colnames:
            raise ValueError(
                f"the table of a J-factor covariance needs a column 'target', got {table.colnames}."
            )
        names = [str(name) for name in table["target"]]
        wrong = sorted(set(names) ^ (set(table.colnames) - {"target"}))
        if wrong:
            raise ValueError(
                "the table of a J-factor covariance needs one row and one column per target; at "
                f"odds: {wrong}."
            )
        for name in names:
            if str(table[name].unit or "") not in ("", "dex2", "dex^2"):
                raise ValueError(
                    f"J-factor covariance, column {name!r}: expected dex2, got {table[name].unit}."
                )
        return cls(names, np.array([np.ma.filled(table[n], np.nan) for n in names]).T)

    @classmethod
    def _from_dict(cls, data):
        names = list(data)
        matrix = np.zeros((len(names), len(names)))
        for i, (name, row) in enumerate(data.items()):
            if not isinstance(row, dict) or name not in row:
                raise ValueError(
                    f"J-factor covariance of {name!r} must be a dict that holds its own variance "
                    f"[dex2], got {row!r}."
                )
            unknown = sorted(set(row) - set(names))
            if unknown:
                raise ValueError(
                    f"J-factor covariance of {name!r} names {unknown}, which have no variance."
                )
            for j, other in enumerate(names):
                matrix[i, j] = row.get(other, data[other].get(name, 0.0))
        return cls(names, matrix)

    @property
    def widths(self):
        """Width of each target alone [dex]: dict by name."""
        return dict(zip(self.names, np.sqrt(np.diag(self.matrix)).tolist(), strict=True))

    @property
    def correlation(self):
        """Correlation matrix; 0 beside the diagonal for targets without variance."""
        width = np.sqrt(np.diag(self.matrix))
        scale = np.where(width > 0, width, 1.0)
        out = self.matrix / np.outer(scale, scale)
        out[np.diag_indices_from(out)] = 1.0
        return out

    def select(self, names):
        """Covariance of some of the targets, in this order."""
        missing = sorted(set(names) - set(self.names))
        if missing:
            raise ValueError(f"no J-factor covariance for {missing}; it has {self.names}.")
        index = [self.names.index(name) for name in names]
        return type(self)(names, self.matrix[np.ix_(index, index)])

    def to_table(self):
        """The form that `create` takes: column ``target`` and one [dex2] per target."""
        table = Table({"target": self.names})
        for name, column in zip(self.names, self.matrix.T, strict=True):
            table[name] = column
        return table

    def blocks(self):
        """Names of targets that vary together, directly or by way of others; list of lists."""
        linked = np.abs(self.matrix) > 0
        left, out = list(range(len(self.names))), []
        while left:
            block, new = set(), {left[0]}
            while new:
                block |= new
                new = {int(j) for i in new for j in np.flatnonzero(linked[i])} - block
            out.append([self.names[i] for i in sorted(block)])
            left = [i for i in left if i not in block]
        return out

    def __eq__(self, other):
        if not isinstance(other, JFactorCovariance):
            return NotImplemented
        return self.names == other.names and np.array_equal(self.matrix, other.matrix)

    __hash__ = None

    def __repr__(self):
        return f"JFactorCovariance({len(self.names)} targets: {', '.join(self.names)})"


@dataclass(frozen=True)
class Split:
    """A covariance as independent variances and common directions: ``diag + loading loading^T``.

    Parameters
    ----------
    variance : array, shape (n_target,)
        Independent part [dex2].
    loading : array, shape (n_target, n_direction)
        Common part [dex], the leading direction first.
    """

    variance: np.ndarray
    loading: np.ndarray


def split_covariance(matrix):
    """Split a covariance into an independent part, as large as is easily had, and the rest.

    What is independent of the others is profiled target by target, without an approximation;
    only the rest needs a search in several dimensions. If the covariance has a single common
    factor, as two targets always do, the rest is one-dimensional.

    Parameters
    ----------
    matrix : array, shape (n_target, n_target)
        Positive semi-definite, positive diagonal.

    Returns
    -------
    split : `Split`
    """
    width = np.sqrt(np.diag(matrix))
    correlation = matrix / np.outer(width, width)
    factor = _single_factor(correlation)
    if factor is not None:
        rest = 1 - factor**2
        rest[rest < ROUNDING] = 0.0
        return Split(width**2 * rest, (width * factor)[:, None])
    value, vector = np.linalg.eigh(correlation)
    own = max(value[0], 0.0)
    own = own if own > ROUNDING else 0.0
    value = value[::-1] - own
    keep = value > ROUNDING
    loading = width[:, None] * vector[:, ::-1][:, keep] * np.sqrt(value[keep])
    return Split(width**2 * own, loading)


def _single_factor(correlation):
    """Factor f with ``correlation_ij = f_i f_j`` for all pairs, or None; shape (n_target,)."""
    n = len(correlation)
    if n == 2:
        c = correlation[0, 1]
        return np.sqrt(abs(c)) * np.array([1.0, np.sign(c)])
    off = correlation - np.diag(np.diag(correlation))
    if np.any((off == 0) & ~np.eye(n, dtype=bool)):
        return None
    square = np.empty(n)
    for i in range(n):
        others = np.abs(off)
        others[i] = others[:, i] = 0
        j, k = np.unravel_index(others.argmax(), others.shape)
        square[i] = off[i, j] * off[i, k] / off[j, k]
    if square.min() <= 0 or square.max() > 1 + ROUNDING:
        return None
    factor = np.sqrt(np.minimum(square, 1.0)) * np.where(np.arange(n) == 0, 1, np.sign(off[0]))
    wrong = np.abs(np.outer(factor, factor) - off)
    np.fill_diagonal(wrong, 0)
    return factor if wrong.max() < ROUNDING else None
