"""Many halos at once: J- and D-factors from uncertain profile parameters."""

import astropy.units as u
import numpy as np

from dmgammapy.modeling import JFactorPrior

from .core import Target, factor_name
from .halo import POWERS, Halo, angle_values
from .halo_kernels import cone_integrals, make_edges
from .halo_profiles import HaloProfile, density_values, length_values

__all__ = ["HaloEnsemble"]

QUANTILES = (0.15865525, 0.5, 0.84134475)
LOGARITHMIC = ("rho_s", "r_s", "distance", "r_max")
FIRST_EDGE, LAST_EDGE, PANEL = 1e-8, 1e5, 1.5
CHUNK = 500


class HaloEnsemble:
    """Samples of halos of one kind: those of a posterior, or drawn from a covariance.

    J within an angle is integrated for all samples together, with the same integrals as `Halo`.

    Parameters
    ----------
    kind : type
        Class of the profiles, with scale density and radius: `NFWProfile`, `GNFWProfile`,
        `EinastoProfile`, `BurkertProfile` or `IsothermalProfile`.
    parameters : dict or `~astropy.table.Table`
        ``rho_s`` [GeV cm-3 or Msun kpc-3] and ``r_s`` [kpc], quantities of shape (n,), and shape
        parameters; each may be one value for all.
    distance : `~astropy.units.Quantity`
        Distance [kpc], one or of shape (n,).
    r_max : `~astropy.units.Quantity`, optional
        Radius [kpc] where the halo ends, one or of shape (n,). Default is no end.
    weights : array_like, shape (n,), optional
        Weights of the samples. Default is equal ones.
    position : `~astropy.coordinates.SkyCoord`, optional
        Position, for `to_target`.
    name : str, optional
        Name, for `to_target`.

    Raises
    ------
    TypeError
        If the kind is none.
    ValueError
        If a parameter is missing, unknown, of another length, or not positive and finite.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from dmgammapy.targets import HaloEnsemble, NFWProfile
    >>> rho_s = 10 ** np.random.default_rng(0).normal(8, 0.1, 4000) * u.Unit("Msun kpc-3")
    >>> parameters = {"rho_s": rho_s, "r_s": 0.5 * u.kpc}
    >>> ensemble = HaloEnsemble(NFWProfile, parameters, distance=80 * u.kpc)
    >>> samples = ensemble.log10_jfactor(0.5 * u.deg)
    >>> print(f"{samples.mean():.2f} {samples.std():.2f}")  # J goes as rho_s squared
    18.54 0.20
    """

    def __init__(
        self, kind, parameters, distance, r_max=None, weights=None, position=None, name=None
    ):
        if not (isinstance(kind, type) and issubclass(kind, HaloProfile)) or not hasattr(
            kind, "evaluate"
        ):
            raise TypeError(f"kind must be a class such as NFWProfile, got {kind!r}.")
        self.kind, self.position, self.name = kind, position, name
        columns = _columns(parameters)
        known = ("rho_s", "r_s", *kind.shape_names)
        missing = [key for key in known[:2] if key not in columns]
        unknown = sorted(set(columns) - set(known))
        if missing or unknown:
            raise ValueError(
                f"{kind.__name__} has the parameters {', '.join(known)}; missing "
                f"{missing or 'none'}, unknown {unknown or 'none'}."
            )
        columns["rho_s"] = density_values("rho_s", columns["rho_s"])
        columns["r_s"] = length_values("r_s", columns["r_s"])
        defaults = kind(1 * u.Unit("GeV cm-3"), 1 * u.kpc).parameters
        columns = {key: columns.get(key, defaults[key]) for key in known}
        columns["distance"] = length_values("distance", distance)
        columns["r_max"] = np.inf if r_max is None else length_values("r_max", r_max)
        self._fill(columns, weights)

    def _fill(self, columns, weights):
        sizes = {key: np.atleast_1d(np.asarray(value, float)) for key, value in columns.items()}
        n_samples = max(len(value) for value in sizes.values())
        for key, values in sizes.items():
            if values.ndim != 1 or len(values) not in (1, n_samples):
                raise ValueError(
                    f"{key} has the shape {values.shape}; expected one value or {n_samples}."
                )
            good = values > 0 if key in LOGARITHMIC else np.isfinite(values)
            good &= np.isfinite(values) | (key == "r_max")
            if not np.all(good):
                row = int(np.flatnonzero(~good)[0])
                raise ValueError(f"{key}, sample {row}: {values[row]} is not valid.")
            sizes[key] = np.broadcast_to(values, (n_samples,))
        self._columns, self.n_samples = sizes, n_samples
        shapes = {key: sizes[key] for key in self.kind.shape_names}
        # the constructor of the profile says which shapes are possible
        for key, values in shapes.items():
            for value in (np.min(values), np.max(values)):
                self.kind(1 * u.Unit("GeV cm-3"), 1 * u.kpc, **{key: float(value)})
        self._weights = None
        if weights is not None:
            weights = np.asarray(weights, float)
            if weights.shape != (n_samples,) or not np.all(np.isfinite(weights) & (weights >= 0)):
                raise ValueError(f"weights must be {n_samples} numbers from zero on.")
            if not np.any(weights > 0):
                raise ValueError("weights must not all be zero.")
            self._weights = weights / np.sum(weights)
        self._cache = {}

    @property
    def weights(self):
        """Weights of the samples, shape (n,), with the sum 1."""
        if self._weights is None:
            return np.full(self.n_samples, 1 / self.n_samples)
        return self._weights.copy()

    @classmethod
    def from_covariance(
        cls, halo, covariance, parameters=("rho_s", "r_s"), n_samples=5000, random_state=0
    ):
        """Samples from a normal distribution of the parameters.

        Parameters
        ----------
        halo : `Halo`
            The centre of the distribution.
        covariance : array_like, shape (n_parameters, n_parameters)
            Covariance, of log10 of ``rho_s``, ``r_s``, ``distance`` and ``r_max`` [dex2] and of
            shape parameters as they are.
        parameters : sequence of str
            What the rows are. Default is ``("rho_s", "r_s")``.
        n_samples : int
            Number of samples. Default is 5000.
        random_state : int or `~numpy.random.Generator`
            Seed. Default is 0.

        Returns
        -------
        ensemble : `HaloEnsemble`

        Raises
        ------
        ValueError
            If the covariance has another shape or is none, or a parameter is unknown.

        Examples
        --------
        >>> import astropy.units as u
        >>> from dmgammapy.targets import Halo, HaloEnsemble, NFWProfile
        >>> halo = Halo(NFWProfile(3 * u.Unit("GeV cm-3"), 0.5 * u.kpc), 80 * u.kpc)
        >>> covariance = [[0.04, -0.025], [-0.025, 0.02]]
        >>> ensemble = HaloEnsemble.from_covariance(halo, covariance)
        >>> prior = ensemble.jfactor_prior(0.5 * u.deg)
        >>> print(f"{prior.log10_jfactor:.2f} {prior.err_low:.2f}")
        18.33 0.20
        """
        profile, names = halo.profile, list(parameters)
        values = getattr(profile, "parameters", {})
        center = {
            key: values[key] for key in ("rho_s", "r_s", *profile.shape_names) if key in values
        }
        if "rho_s" not in center or profile.r_core.value:
            raise ValueError(f"{profile!r} has no scale density, or has a core: not supported.")
        center |= {"distance": halo.distance.value, "r_max": halo.r_max.value}
        unknown = [name for name in names if name not in center]
        if unknown or len(set(names)) < len(names):
            raise ValueError(f"parameters must be some of {', '.join(center)}, got {names}.")
        if "r_max" in names and not np.isfinite(center["r_max"]):
            raise ValueError("r_max has a width, but the halo has none.")
        covariance = np.asarray(covariance, float)
        shape = (len(names), len(names))
        if covariance.shape != shape or not np.allclose(covariance, covariance.T):
            raise ValueError(
                f"covariance must be symmetric with the shape {shape}, got {covariance.shape}."
            )
        lowest = np.min(np.linalg.eigvalsh(covariance))
        if lowest < -1e-9 * np.max(np.abs(covariance)):
            raise ValueError(
                f"covariance must be positive; its smallest eigenvalue is {lowest:.3g}."
            )
        generator = np.random.default_rng(random_state)
        shifts = generator.multivariate_normal(
            np.zeros(len(names)), covariance, size=n_samples, method="eigh"
        )
        for name, shift in zip(names, shifts.T, strict=True):
            is_log = name in LOGARITHMIC
            center[name] = center[name] * 10**shift if is_log else center[name] + shift
        r_max = center.pop("r_max") * u.kpc
        distance = center.pop("distance") * u.kpc
        center["rho_s"] = center["rho_s"] * u.Unit("GeV cm-3")
        center["r_s"] = center["r_s"] * u.kpc
        return cls(type(profile), center, distance, r_max, position=halo.position, name=halo.name)

    def log10_jfactor(self, angle=None, process="annihilation"):
        """Samples of log10 of J (or D) within an angle.

        Parameters
        ----------
        angle : `~astropy.units.Quantity`, optional
            Half opening angle [deg]. Default is the whole halo.
        process : {"annihilation", "decay"}
            Default is "annihilation".

        Returns
        -------
        samples : ndarray, shape (n,)
            log10 of J [GeV2 cm-5] or of D [GeV cm-2].

        Raises
        ------
        ValueError
            If J of a sample diverges.
        """
        factor_name(process)
        angle = np.pi if angle is None else float(angle_values("angle", angle))
        key = (angle, process)
        if key not in self._cache:
            starts = range(0, self.n_samples, CHUNK)
            parts = [self._integrate(slice(i, i + CHUNK), angle, POWERS[process]) for i in starts]
            self._cache[key] = np.log10(np.concatenate(parts))
        return self._cache[key].copy()

    def _integrate(self, some, angle, power):
        columns = {key: values[some] for key, values in self._columns.items()}
        distance, r_max = columns.pop("distance"), columns.pop("r_max")
        slope = power * np.broadcast_to(self.kind.slope_of(columns), distance.shape)
        if np.any(slope >= 3):
            row = some.start + int(np.argmax(slope))
            raise ValueError(f"sample {row}: its integral over a cone diverges in the centre.")
        wide = {key: values[:, np.newaxis, np.newaxis] for key, values in columns.items()}
        is_open = ~np.isfinite(r_max)
        scale = np.minimum(columns["r_s"], r_max)
        theta = np.full(distance.shape, angle)
        outside = r_max < distance
        theta[outside] = np.minimum(theta, np.arcsin(np.minimum(r_max / distance, 1)))[outside]
        # a narrow cone needs radii that are small against its own
        low = FIRST_EDGE * np.minimum(scale, distance * np.maximum(np.sin(theta), 1e-3))
        high = np.where(is_open, LAST_EDGE * np.maximum(columns["r_s"], distance), r_max)
        edges = make_edges(low, high, distance, step=PANEL)

        def f(radius):
            return self.kind.evaluate(radius, **wide) ** power

        open_, closed = np.flatnonzero(is_open), np.flatnonzero(~is_open)
        result = np.empty(len(distance))
        if len(open_) and len(closed):
            raise ValueError("r_max must be finite for all samples or for none.")
        result[:] = cone_integrals(f, theta, distance, edges, slope, bool(len(open_)))[0]
        return result

    def quantiles(self, angle=None, probabilities=QUANTILES, process="annihilation"):
        """Quantiles of log10 of J (or D) within an angle.

        Parameters
        ----------
        angle : `~astropy.units.Quantity`, optional
            Half opening angle [deg]. Default is the whole halo.
        probabilities : sequence of float
            Default is the median and one standard deviation to both sides.
        process : {"annihilation", "decay"}
            Default is "annihilation".

        Returns
        -------
        quantiles : ndarray
            log10 of J [GeV2 cm-5] or of D [GeV cm-2].
        """
        samples = self.log10_jfactor(angle, process)
        if self._weights is None:
            return np.quantile(samples, probabilities)
        order = np.argsort(samples)
        weights = self._weights[order]
        middle = np.cumsum(weights) - 0.5 * weights
        return np.interp(probabilities, middle, samples[order])

    def jfactor_prior(self, angle=None, process="annihilation", shape="gaussian"):
        """Likelihood of J (or D) within an angle.

        Parameters
        ----------
        angle : `~astropy.units.Quantity`, optional
            Half opening angle [deg]. Default is the whole halo.
        process : {"annihilation", "decay"}
            Default is "annihilation".
        shape : {"gaussian", "split", "samples"}
            Mean and standard deviation of log10 J; median and the distances to the quantiles at
            one standard deviation; or the density of the samples. Default is "gaussian".

        Returns
        -------
        prior : `~dmgammapy.modeling.JFactorPrior`

        Raises
        ------
        ValueError
            If the shape is not known.
        """
        samples = self.log10_jfactor(angle, process)
        if shape == "samples":
            return JFactorPrior.from_samples(samples, self._weights)
        if shape not in ("gaussian", "split"):
            raise ValueError(f"shape must be 'gaussian', 'split' or 'samples', got {shape!r}.")
        return JFactorPrior(*self._summary(samples, angle, process, shape))

    def _summary(self, samples, angle, process, shape):
        if shape == "split":
            low, median, high = self.quantiles(angle, process=process)
            return float(median), (float(median - low), float(high - median))
        mean = np.average(samples, weights=self._weights)
        width = np.sqrt(np.average((samples - mean) ** 2, weights=self._weights))
        return float(mean), float(width)

    def to_target(self, name=None, angle=None, shape="gaussian", **fields):
        """Target with J and D within an angle, and their widths.

        Parameters
        ----------
        name : str, optional
            Name. Default is that of the ensemble.
        angle : `~astropy.units.Quantity`, optional
            Half opening angle [deg]. Default is the whole halo.
        shape : {"gaussian", "split"}
            As for `jfactor_prior`. Default is "gaussian".
        **fields : dict
            Other fields of `Target`, such as ``reference``.

        Returns
        -------
        target : `Target`

        Raises
        ------
        ValueError
            If there is no name, or the shape is not known.

        Examples
        --------
        >>> import astropy.units as u
        >>> from dmgammapy.targets import Halo, HaloEnsemble, NFWProfile
        >>> halo = Halo(NFWProfile(3 * u.Unit("GeV cm-3"), 0.5 * u.kpc), 80 * u.kpc)
        >>> ensemble = HaloEnsemble.from_covariance(halo, [[0.01]], ["rho_s"])
        >>> target = ensemble.to_target("my_dwarf", 0.5 * u.deg)
        >>> print(f"{target.log10_jfactor:.2f} {target.log10_jfactor_err:.2f}")
        18.33 0.20
        """
        if name is None and self.name is None:
            raise ValueError("a target needs a name.")
        if shape not in ("gaussian", "split"):
            raise ValueError(
                f"shape must be 'gaussian' or 'split', got {shape!r}; a prior of samples goes "
                "into the spectral model, from jfactor_prior."
            )
        values = {}
        for process in POWERS:
            factor = factor_name(process)
            samples = self.log10_jfactor(angle, process)
            value, width = self._summary(samples, angle, process, shape)
            values |= {factor: value, f"{factor}_err": width}
        distance = self._columns["distance"]
        values |= {
            "position": self.position,
            "distance": float(np.average(distance, weights=self._weights)) * u.kpc,
        }
        return Target(self.name if name is None else name, **(values | fields))

    def halo(self, index):
        """One of the samples.

        Parameters
        ----------
        index : int
            Which one.

        Returns
        -------
        halo : `Halo`
        """
        values = {key: float(column[index]) for key, column in self._columns.items()}
        distance, r_max = values.pop("distance"), values.pop("r_max")
        values["rho_s"] *= u.Unit("GeV cm-3")
        values["r_s"] *= u.kpc
        r_max = r_max * u.kpc if np.isfinite(r_max) else None
        return Halo(self.kind(**values), distance * u.kpc, r_max, self.position, self.name)

    def __len__(self):
        return self.n_samples

    def __repr__(self):
        return f"HaloEnsemble({self.kind.__name__}, {self.n_samples} samples)"


def _columns(parameters):
    if hasattr(parameters, "colnames"):
        return {
            key: u.Quantity(
                parameters[key].quantity
                if hasattr(parameters[key], "quantity") and parameters[key].unit
                else parameters[key]
            )
            for key in parameters.colnames
        }
    if not isinstance(parameters, dict):
        raise TypeError(f"parameters must be a dict or a table, got {type(parameters).__name__}.")
    return dict(parameters)
