"""How well a J-factor is known."""

import numpy as np
from gammapy.modeling import PriorParameter, PriorParameters
from gammapy.modeling.models import Prior

from ._shapes import SplitNormal, Tabulated
from ._tables import check_table, check_widths, density_of_samples

__all__ = ["JFactorPrior", "check_width_in_covariance"]

WIDTH_TOLERANCE = 1e-6


class JFactorPrior(Prior):
    r"""Likelihood of the observed J-factor, or D-factor, in the logarithm.

    With y = log10(J / J_obs) in dex,

    .. math::
        -2 \ln L(y) = \left(\frac{y}{s}\right)^2, \qquad
        s = \begin{cases} s_\mathrm{low} & y < 0 \\ s_\mathrm{high} & y \geq 0 \end{cases}

    This is the likelihood of the *observed* log10(J): it has its minimum, zero, at J_obs, and
    neither a Jacobian nor constants (Ackermann et al. 2015, arXiv:1503.02641, eq. 3, in the
    logarithm). Tabulated likelihoods come from `from_table` and `from_samples`.

    Put it on the parameter ``log10_jfactor`` of `DarkMatterSpectralModel` and it counts in every
    `~gammapy.modeling.Fit`, or give it to ``StackedDMLikelihood``.

    Parameters
    ----------
    log10_jfactor : float
        Observed log10 of J [GeV2 cm-5], or of D [GeV cm-2].
    log10_jfactor_err : float or (float, float)
        Width [dex], or the widths below and above. Zero fixes J.

    Raises
    ------
    ValueError
        If a number is not finite or a width is negative, or just one of two is zero.

    Examples
    --------
    A J-factor twice as large as observed, with a width of 0.2 dex, is 1.5 sigma away:

    >>> import numpy as np
    >>> from dmgammapy.modeling import JFactorPrior
    >>> prior = JFactorPrior(18.8, 0.2)
    >>> print(prior.stat(np.log10([1, 2])).round(3))
    [0.    2.265]
    >>> prior.support
    (-1.414..., 1.414...)
    """

    tag = ["dmgammapy.JFactorPrior", "JFactorPrior"]
    _type = "prior"

    def __init__(self, log10_jfactor, log10_jfactor_err):
        center, low, high = check_widths(log10_jfactor, log10_jfactor_err)
        self._setup(center, {"err_low": low, "err_high": high})

    def _setup(self, center, widths, table=None):
        numbers = {"log10_jfactor": center} | widths
        self._parameters = PriorParameters([PriorParameter(n, v) for n, v in numbers.items()])
        self._table = table

    @classmethod
    def from_table(cls, log10_jfactor, likelihood=None, stat=None):
        """Prior with a tabulated likelihood.

        J_obs is the node with the largest likelihood (the middle one of a plateau). Between the
        nodes ``stat`` is a monotone cubic (PCHIP), so about ten nodes per width are enough.
        Outside of the table it goes on in a straight line with the slope of its end; where the
        table does not rise towards its end it is infinite, so a flat table is a range that J
        can't leave. Nodes of zero likelihood at the ends are dropped.

        Parameters
        ----------
        log10_jfactor : array_like, shape (n,)
            Ascending log10 of J [GeV2 cm-5] or D [GeV cm-2].
        likelihood : array_like, shape (n,), optional
            Likelihood in log10(J), with any normalisation. A posterior density in log10(J) will
            do if its prior was flat in log10(J).
        stat : array_like, shape (n,), optional
            -2 ln L instead, with any offset.

        Returns
        -------
        prior : `JFactorPrior`
            Prior.

        Raises
        ------
        ValueError
            If the table is damaged, or its maximum is at an end.

        Examples
        --------
        >>> import numpy as np
        >>> from dmgammapy.modeling import JFactorPrior
        >>> grid = np.linspace(17, 20, 61)
        >>> prior = JFactorPrior.from_table(grid, stat=((grid - 18.5) / 0.3) ** 2)
        >>> print(f"{prior.log10_jfactor:.1f} - {prior.err_low:.2f} + {prior.err_high:.2f}")
        18.5 - 0.30 + 0.30
        """
        center, shift, stat = check_table(log10_jfactor, likelihood, stat)
        return cls._from_shape(center, shift, stat)

    @classmethod
    def from_samples(cls, log10_jfactor, weights=None, n_nodes=200):
        """Prior from samples of the posterior of log10(J), taken with a prior flat in log10(J).

        The density is a Gaussian kernel estimate with Scott's bandwidth, whose samples are first
        drawn together such that the estimate has the variance of the samples (Silverman 1986,
        Density Estimation, sec. 6.4.1). It is tabulated as in `from_table`. With 5000 samples
        where ``stat`` passes 1 or 2.7 scatters by 0.03 to 0.06 of the standard deviation and
        J_obs, the mode, by 0.1 of it.

        Parameters
        ----------
        log10_jfactor : array_like, shape (n_samples,)
            At least 100 samples of log10 of J [GeV2 cm-5] or D [GeV cm-2].
        weights : array_like, shape (n_samples,), optional
            Weights of the samples. Default is equal ones.
        n_nodes : int
            Number of nodes of the table. Default is 200.

        Returns
        -------
        prior : `JFactorPrior`
            Prior.

        Raises
        ------
        ValueError
            If there are too few samples, or they are not finite or all equal.

        Examples
        --------
        >>> import numpy as np
        >>> from dmgammapy.modeling import JFactorPrior
        >>> samples = np.random.default_rng(0).normal(18.5, 0.3, 5000)
        >>> prior = JFactorPrior.from_samples(samples)
        >>> print(prior.evaluate([17.9, 19.1]).round())  # two sigma
        [4. 4.]
        """
        return cls.from_table(*density_of_samples(log10_jfactor, weights, n_nodes))

    @classmethod
    def _from_shape(cls, center, shift, stat):
        prior = cls.__new__(cls)
        prior._setup(center, {}, Tabulated(shift, stat))
        return prior

    @property
    def _shape(self):
        if self._table is not None:
            return self._table
        return SplitNormal(self._parameters[1].value, self._parameters[2].value)

    @property
    def parameters(self):
        """Parameters: log10_jfactor, and for a (split) normal err_low and err_high [dex]."""
        return self._parameters

    @property
    def weight(self):
        """Weight of the term in a fit, always 1."""
        return 1

    @property
    def log10_jfactor(self):
        """Observed value, log10 of J [GeV2 cm-5] or D [GeV cm-2]."""
        return self._parameters[0].value

    @property
    def err_low(self):
        """Width [dex] below; of a table, the distance to where ``stat`` is 1."""
        return self._shape.err_low

    @property
    def err_high(self):
        """Width [dex] above; of a table, the distance to where ``stat`` is 1."""
        return self._shape.err_high

    @property
    def is_fixed(self):
        """Whether J is fixed (zero width)."""
        return self._shape.is_fixed

    @property
    def is_gaussian(self):
        """Whether this is a normal or split normal, rather than a table."""
        return self._table is None

    @property
    def is_convex(self):
        """Whether ``stat`` is convex."""
        return self._shape.is_convex

    @property
    def support(self):
        """Smallest and largest shift [dex] with ``stat`` below 50, a likelihood of 1e-11."""
        low, high = self._shape.support
        return float(low), float(high)

    @property
    def bounds(self):
        """Smallest and largest possible log10_jfactor; infinite unless a table ends in a wall."""
        low, high = self._shape.bounds
        return self.log10_jfactor + low, self.log10_jfactor + high

    def stat(self, shift):
        """-2 ln L of shifts.

        Parameters
        ----------
        shift : array_like
            y = log10(J / J_obs) [dex].

        Returns
        -------
        stat : ndarray
            Same shape, zero at shift 0. With a fixed J it is infinite elsewhere.
        """
        return self._shape.stat(np.asarray(shift, dtype=float))

    def density(self, shift):
        """Probability density of shifts, for marginalisation; it integrates to 1 over dex.

        Parameters
        ----------
        shift : array_like
            y = log10(J / J_obs) [dex].

        Returns
        -------
        density : ndarray
            Same shape [1/dex]. That of a split normal is
            ``2 / (err_low + err_high) / sqrt(2 pi)`` at zero.

        Raises
        ------
        ValueError
            If J is fixed.
        """
        if self.is_fixed:
            raise ValueError(f"{self!r} is fixed and has no density: leave it out.")
        return np.exp(self._shape.log_norm - 0.5 * self.stat(shift))

    def evaluate(self, value):
        """-2 ln L of values of log10 J.

        Parameters
        ----------
        value : array_like
            log10 of J [GeV2 cm-5] or D [GeV cm-2].

        Returns
        -------
        stat : ndarray
            Same shape, zero at ``log10_jfactor``.
        """
        return self.stat(np.asarray(value, dtype=float) - self.log10_jfactor)

    def __call__(self, value):
        """-2 ln L of a parameter, as a fit needs it."""
        return float(self.evaluate(value.value))

    def _inverse_cdf(self, value):
        """Value of log10 J at a probability, which Gammapy's sampler asks for."""
        return self.log10_jfactor + self._shape.quantile(np.asarray(value, dtype=float))

    def to_spec(self):
        """Plain numbers that say everything, for JSON or the header of a file.

        Returns
        -------
        spec : dict
            ``log10_jfactor`` with ``err_low`` and ``err_high``, or with the lists ``shift`` and
            ``stat``.
        """
        spec = {parameter.name: parameter.value for parameter in self._parameters}
        if self._table is not None:
            spec["shift"] = self._table.nodes.tolist()
            spec["stat"] = self._table.values.tolist()
        return spec

    @classmethod
    def from_spec(cls, spec):
        """Prior from what `to_spec` gave.

        Parameters
        ----------
        spec : dict
            As from `to_spec`.

        Returns
        -------
        prior : `JFactorPrior`
            Prior.

        Raises
        ------
        ValueError
            If there are other keys, or the numbers are not valid.
        """
        keys = set(spec)
        if keys == {"log10_jfactor", "err_low", "err_high"}:
            return cls(spec["log10_jfactor"], (spec["err_low"], spec["err_high"]))
        if keys != {"log10_jfactor", "shift", "stat"}:
            raise ValueError(
                f"A JFactorPrior needs log10_jfactor with err_low and err_high, or with shift and "
                f"stat, got {sorted(keys)}."
            )
        center, _, _ = check_widths(spec["log10_jfactor"], 0.0)
        origin, shift, stat = check_table(spec["shift"], None, spec["stat"])
        if origin != 0:
            raise ValueError(f"The largest likelihood must be at shift 0, got {origin:g} dex.")
        return cls._from_shape(center, shift, stat)

    def to_dict(self, full_output=False):
        """Dictionary for YAML.

        Parameters
        ----------
        full_output : bool
            Without effect: all is always written.

        Returns
        -------
        data : dict
            What `from_dict` takes, below the key "prior".
        """
        spec = self.to_spec()
        parameters = [
            {"name": p.name, "value": spec.pop(p.name), "unit": ""} for p in self._parameters
        ]
        data = {"type": self.tag[0], "parameters": parameters, "weight": self.weight}
        if spec:
            data["table"] = spec
        return {self.type: data}

    @classmethod
    def from_dict(cls, data, **kwargs):
        """Prior from a dictionary, which is not changed.

        Parameters
        ----------
        data : dict
            As from `to_dict`.
        **kwargs : dict
            Not used.

        Returns
        -------
        prior : `JFactorPrior`
            Prior.

        Raises
        ------
        ValueError
            If the type is another one, or something is missing.
        """
        data = data.get("prior", data)
        if data.get("type") not in cls.tag:
            raise ValueError(f"Expected a prior of type {cls.tag[0]}, got {data.get('type')!r}.")
        if data.get("weight", 1) != 1:
            raise ValueError(
                f"The weight of a {cls.__name__} is 1, got {data['weight']}: change its widths."
            )
        spec = {item["name"]: item["value"] for item in data["parameters"]}
        return cls.from_spec(spec | data.get("table", {}))

    def __eq__(self, other):
        if not isinstance(other, JFactorPrior):
            return NotImplemented
        return self.to_spec() == other.to_spec()

    __hash__ = None

    def __repr__(self):
        text = f"{type(self).__name__}(log10_jfactor={self.log10_jfactor:g}"
        if self.is_gaussian and self.err_low == self.err_high:
            return f"{text}, log10_jfactor_err={self.err_high:g})"
        text += f", log10_jfactor_err=({self.err_low:.4g}, {self.err_high:.4g})"
        return f"{text})" if self.is_gaussian else f"{text}, {len(self._table.nodes)} nodes)"

    def __str__(self):
        return repr(self)


def check_width_in_covariance(target, prior, width):
    """Raise a ValueError if a prior is not the one that a covariance holds on its diagonal.

    Parameters
    ----------
    target : str
        Its name, for the message.
    prior : `JFactorPrior`
    width : float
        Square root of the diagonal's element [dex].
    """
    if not prior.is_gaussian or prior.err_low != prior.err_high:
        raise ValueError(
            f"target {target!r} is in jfactor_covariance, which needs a normal prior with one "
            f"width, got {prior!r}."
        )
    if abs(prior.err_high - width) > WIDTH_TOLERANCE * max(width, prior.err_high):
        raise ValueError(
            f"target {target!r}: its prior has a width of {prior.err_high:g} dex, "
            f"jfactor_covariance says {width:g}; give one of them, or make them agree."
        )
