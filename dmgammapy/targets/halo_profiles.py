"""Density profiles of dark matter haloes.

What to use when

- `NFWProfile`, `EinastoProfile`, `BurkertProfile` and `IsothermalProfile` have the names and
  parameters of the literature; `GNFWProfile` is the double power law with any three slopes.
- `TabulatedProfile` is a table of radius and density, `FunctionProfile` any function.

`~dmgammapy.targets.Halo` puts one of them at a distance.
"""

import astropy.units as u
import numpy as np
from scipy.interpolate import PchipInterpolator

__all__ = [
    "BurkertProfile",
    "EinastoProfile",
    "FunctionProfile",
    "GNFWProfile",
    "HaloProfile",
    "IsothermalProfile",
    "NFWProfile",
    "TabulatedProfile",
    "density_values",
    "length_values",
]

DENSITY_UNIT = u.Unit("GeV cm-3")
LENGTH_UNIT = u.kpc
SMALL = 1e-9  # of the scale radius, where the slope of a function is measured


def length_values(name, value):
    """Lengths [kpc] as floats."""
    try:
        return u.Quantity(value).to_value(LENGTH_UNIT).astype(float)[()]
    except (u.UnitConversionError, TypeError, ValueError):
        raise ValueError(f"{name} must be a length such as 0.5 kpc, got {value!r}.") from None


def density_values(name, value):
    """Densities [GeV cm-3] as floats; those of a mass are taken times c2."""
    try:
        quantity = u.Quantity(value)
        if quantity.unit.is_equivalent("kg m-3"):
            quantity = quantity.to("kg m-3") * (1 * u.kg).to(u.GeV, u.mass_energy()) / u.kg
        return quantity.to_value(DENSITY_UNIT).astype(float)[()]
    except (u.UnitConversionError, TypeError, ValueError):
        raise ValueError(
            f"{name} must be a density such as 3 GeV cm-3 or 1e8 Msun kpc-3, got {value!r}."
        ) from None


def _positive(name, value):
    if np.ndim(value) or not np.isfinite(value) or value <= 0:
        raise ValueError(f"{name} must be one positive and finite value, got {value!r}.")
    return float(value)


class HaloProfile:
    """Base of the density profiles with a scale density and a scale radius.

    A subclass has a static method ``evaluate`` of radius, ``rho_s``, ``r_s`` and its shape
    parameters, plain numbers or arrays that broadcast, and says its ``inner_slope``.

    Parameters
    ----------
    rho_s : `~astropy.units.Quantity`
        Scale density, of an energy [GeV cm-3] or of a mass [Msun kpc-3].
    r_s : `~astropy.units.Quantity`
        Scale radius [kpc].
    r_core : `~astropy.units.Quantity`, optional
        Radius [kpc] within which the density is constant. Default is none.
    **shape : float
        Shape parameters.

    Raises
    ------
    ValueError
        If a value has the wrong unit, or is not positive.
    """

    shape_names = ()
    r_max = np.inf

    def __init__(self, rho_s, r_s, r_core=None, **shape):
        name = type(self).__name__
        self.parameters = {
            "rho_s": _positive(f"{name}: rho_s", density_values("rho_s", rho_s)),
            "r_s": _positive(f"{name}: r_s", length_values("r_s", r_s)),
        } | {key: self._check_shape(key, value) for key, value in shape.items()}
        self._set_core(r_core)

    def _set_core(self, r_core):
        self._core = 0.0
        if r_core is not None:
            self._core = _positive("r_core", length_values("r_core", r_core))

    def _check_shape(self, key, value):
        value = u.Quantity(value).to_value("") if isinstance(value, u.Quantity) else value
        if isinstance(value, (bool, str)) or np.ndim(value) or not np.isfinite(value):
            raise ValueError(f"{type(self).__name__}: {key} must be a number, got {value!r}.")
        return float(value)

    @property
    def rho_s(self):
        """Scale density [GeV cm-3]."""
        return self.parameters["rho_s"] * DENSITY_UNIT

    @property
    def r_s(self):
        """Scale radius [kpc]."""
        return self.parameters["r_s"] * LENGTH_UNIT

    @property
    def r_core(self):
        """Radius [kpc] within which the density is constant, zero if there is none."""
        return self._core * LENGTH_UNIT

    @property
    def inner_slope(self):
        """Slope gamma at the centre, where the density goes as r to the power of -gamma."""
        return 0.0 if self._core else self.slope_of(self.parameters)

    @staticmethod
    def slope_of(parameters):
        """Inner slope that follows from the parameters."""
        return 0.0

    @property
    def scale(self):
        """Radius [kpc], a plain number, below which nothing but a power law is left."""
        return min(self.parameters["r_s"], self._core or np.inf)

    @property
    def breaks(self):
        """Radii [kpc], plain numbers, where the profile is not smooth."""
        return (self._core,) if self._core else ()

    def density(self, radius):
        """Density [GeV cm-3] at radii [kpc], plain numbers."""
        return self.evaluate(np.maximum(radius, self._core), **self.parameters)

    def __call__(self, radius):
        """Density.

        Parameters
        ----------
        radius : `~astropy.units.Quantity`
            Distance from the centre [kpc], any shape.

        Returns
        -------
        density : `~astropy.units.Quantity`
            Same shape [GeV cm-3]; infinite in the centre of a cusp.
        """
        with np.errstate(divide="ignore"):
            return self.density(np.asarray(length_values("radius", radius))) * DENSITY_UNIT

    def __repr__(self):
        units = {"rho_s": " GeV / cm3", "r_s": " kpc"}
        items = [f"{key}={value:g}{units.get(key, '')}" for key, value in self.parameters.items()]
        items += [f"r_core={self._core:g} kpc"] if self._core else []
        return f"{type(self).__name__}({', '.join(items)})"


class GNFWProfile(HaloProfile):
    r"""Double power law with three slopes, and the generalised NFW profile.

    .. math::
        \rho = \rho_s (r/r_s)^{-\gamma} [1 + (r/r_s)^\alpha]^{(\gamma - \beta)/\alpha}

    (Zhao 1996, MNRAS 278, 488; in the notation of Charbonnier et al. 2011, MNRAS 418, 1526,
    eq. 2, where alpha says how sharp the turnover is. Zhao's own alpha is one over this one.)

    Parameters
    ----------
    rho_s, r_s, r_core
        As for `HaloProfile`.
    gamma : float
        Inner slope, below 3. Default is 1.
    beta : float
        Outer slope. Default is 3.
    alpha : float
        Sharpness of the turnover, positive. Default is 1.

    Raises
    ------
    ValueError
        If a value is not valid.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.targets import GNFWProfile
    >>> profile = GNFWProfile(0.3 * u.Unit("GeV cm-3"), 20 * u.kpc, gamma=1.3)
    >>> print(f"{profile(8.5 * u.kpc):.4f}")
    0.4997 GeV / cm3
    """

    shape_names = ("gamma", "beta", "alpha")

    def __init__(self, rho_s, r_s, gamma=1.0, beta=3.0, alpha=1.0, r_core=None):
        super().__init__(rho_s, r_s, r_core, gamma=gamma, beta=beta, alpha=alpha)
        gamma, beta, alpha = (self.parameters[key] for key in self.shape_names)
        if not (0 <= gamma < 3 and gamma <= beta and alpha > 0):
            raise ValueError(
                "GNFWProfile: expected 0 <= gamma < 3, beta >= gamma and alpha > 0, got gamma "
                f"{gamma:g}, beta {beta:g}, alpha {alpha:g}."
            )

    @staticmethod
    def slope_of(parameters):
        """Inner slope, gamma."""
        return parameters["gamma"]

    @staticmethod
    def evaluate(radius, rho_s, r_s, gamma, beta, alpha):
        """Density at plain radii."""
        x = radius / r_s
        turn = x if np.ndim(alpha) == 0 and alpha == 1 else x**alpha
        return rho_s * x**-gamma * (1 + turn) ** ((gamma - beta) / alpha)


class NFWProfile(HaloProfile):
    r"""Profile of Navarro, Frenk & White (1996, ApJ 462, 563, eq. 3).

    .. math:: \rho = \rho_s / [(r/r_s) (1 + r/r_s)^2]

    Parameters
    ----------
    rho_s, r_s, r_core
        As for `HaloProfile`; ``rho_s`` is four times the density at ``r_s``.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.targets import NFWProfile
    >>> print(f"{NFWProfile(1e8 * u.Unit('Msun kpc-3'), 0.5 * u.kpc)(0.5 * u.kpc):.4f}")
    0.9491 GeV / cm3
    """

    def __init__(self, rho_s, r_s, r_core=None):
        super().__init__(rho_s, r_s, r_core)

    @staticmethod
    def slope_of(parameters):
        """Inner slope, 1."""
        return 1.0

    @staticmethod
    def evaluate(radius, rho_s, r_s):
        """Density at plain radii."""
        x = radius / r_s
        return rho_s / (x * np.square(1 + x))


class EinastoProfile(HaloProfile):
    r"""Profile of Einasto (1965), as in Navarro et al. (2004, MNRAS 349, 1039, eq. 5).

    .. math:: \rho = \rho_s \exp(-(2/\alpha) [(r/r_s)^\alpha - 1])

    Parameters
    ----------
    rho_s, r_s, r_core
        As for `HaloProfile`; ``rho_s`` is the density at ``r_s``, where the slope is -2.
    alpha : float
        Change of the slope, positive. Default is 0.17.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.targets import EinastoProfile
    >>> profile = EinastoProfile(0.08135 * u.Unit("GeV cm-3"), 20 * u.kpc)
    >>> print(f"{profile(8.5 * u.kpc):.3f}")
    0.400 GeV / cm3
    """

    shape_names = ("alpha",)

    def __init__(self, rho_s, r_s, alpha=0.17, r_core=None):
        super().__init__(rho_s, r_s, r_core, alpha=alpha)
        _positive("EinastoProfile: alpha", self.parameters["alpha"])

    @staticmethod
    def evaluate(radius, rho_s, r_s, alpha):
        """Density at plain radii."""
        return rho_s * np.exp(-2 / alpha * ((radius / r_s) ** alpha - 1))


class BurkertProfile(HaloProfile):
    r"""Profile of Burkert (1995, ApJ 447, L25, eq. 2), with a core.

    .. math:: \rho = \rho_s / [(1 + r/r_s) (1 + (r/r_s)^2)]

    Parameters
    ----------
    rho_s, r_s
        As for `HaloProfile`; ``rho_s`` is the density of the centre.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.targets import BurkertProfile
    >>> print(BurkertProfile(4 * u.Unit("GeV cm-3"), 1 * u.kpc)(1 * u.kpc))
    1.0 GeV / cm3
    """

    def __init__(self, rho_s, r_s, r_core=None):
        super().__init__(rho_s, r_s, r_core)

    @staticmethod
    def evaluate(radius, rho_s, r_s):
        """Density at plain radii."""
        x = radius / r_s
        return rho_s / ((1 + x) * (1 + np.square(x)))


class IsothermalProfile(HaloProfile):
    r"""Isothermal sphere with a core (Begeman et al. 1991, MNRAS 249, 523, eq. 1).

    .. math:: \rho = \rho_s / [1 + (r/r_s)^2]

    Parameters
    ----------
    rho_s, r_s
        As for `HaloProfile`; ``rho_s`` is the density of the centre.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.targets import IsothermalProfile
    >>> profile = IsothermalProfile(1.556 * u.Unit("GeV cm-3"), 5 * u.kpc)
    >>> print(f"{profile(8.5 * u.kpc):.3f}")
    0.400 GeV / cm3
    """

    def __init__(self, rho_s, r_s, r_core=None):
        super().__init__(rho_s, r_s, r_core)

    @staticmethod
    def evaluate(radius, rho_s, r_s):
        """Density at plain radii."""
        return rho_s / (1 + np.square(radius / r_s))


class TabulatedProfile(HaloProfile):
    """Table of radius and density, interpolated in their logarithms by a monotone cubic (PCHIP).

    Within the first radius the density goes on as a power law with the slope of the table there;
    beyond the last radius it is zero.

    Parameters
    ----------
    r : `~astropy.units.Quantity`, shape (n,)
        Ascending radii [kpc], at least three.
    rho : `~astropy.units.Quantity`, shape (n,)
        Positive densities, of an energy [GeV cm-3] or of a mass [Msun kpc-3].
    r_core : `~astropy.units.Quantity`, optional
        Radius [kpc] within which the density is constant. Default is none.

    Raises
    ------
    ValueError
        If the table is damaged or has the wrong units.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from dmgammapy.targets import TabulatedProfile
    >>> r = np.geomspace(0.01, 10, 31) * u.kpc
    >>> profile = TabulatedProfile(r, 2 * u.Unit("GeV cm-3") * (r / u.kpc) ** -1.2)
    >>> print(round(profile.inner_slope, 6), f"{profile(1e-3 * u.kpc):.2f}", profile(11 * u.kpc))
    1.2 7962.14 GeV / cm3 0.0 GeV / cm3
    """

    def __init__(self, r, rho, r_core=None):
        radius = np.atleast_1d(length_values("r", r))
        density = np.atleast_1d(density_values("rho", rho))
        if radius.ndim != 1 or radius.shape != density.shape or len(radius) < 3:
            raise ValueError(
                "TabulatedProfile: r and rho must be two columns with at least three rows, got "
                f"shapes {radius.shape} and {density.shape}."
            )
        for name, values in (("r", radius), ("rho", density)):
            bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
            if len(bad):
                raise ValueError(
                    f"TabulatedProfile: {name} must be positive and finite, got {values[bad[0]]} "
                    f"in row {bad[0]}."
                )
        bad = np.flatnonzero(np.diff(radius) <= 0)
        if len(bad):
            raise ValueError(f"TabulatedProfile: r must ascend; row {bad[0] + 1} does not.")
        self.parameters = {}
        self._set_core(r_core)
        self._radius = radius
        self._cubic = PchipInterpolator(np.log(radius), np.log(density))
        self._slope = -float(self._cubic(np.log(radius[0]), 1))
        self.r_max = float(radius[-1])

    rho_s = r_s = property(doc="A table has none.")

    @property
    def inner_slope(self):
        """Slope gamma at the centre, where the density goes as r to the power of -gamma."""
        return 0.0 if self._core else self._slope

    @property
    def scale(self):
        """First radius [kpc] of the table, a plain number."""
        return min(self._radius[0], self._core or np.inf)

    @property
    def breaks(self):
        """Radii [kpc] of the table, plain numbers."""
        core = (self._core,) if self._core else ()
        return (*core, *self._radius)

    def density(self, radius):
        """Density [GeV cm-3] at radii [kpc], plain numbers."""
        first, last = self._radius[[0, -1]]
        radius = np.maximum(radius, self._core)
        with np.errstate(divide="ignore"):
            inward = np.maximum(np.log(first / radius), 0) * self._slope
            inside = np.exp(self._cubic(np.log(np.clip(radius, first, last))) + inward)
        return np.where(radius > last, 0.0, inside)

    def __repr__(self):
        first, last = self._radius[[0, -1]]
        return f"TabulatedProfile({len(self._radius)} radii, {first:g} to {last:g} kpc)"


class FunctionProfile(HaloProfile):
    """Any function as a profile.

    Parameters
    ----------
    function : callable
        Takes radii as a `~astropy.units.Quantity` [kpc] of any shape and returns densities of
        the same shape, [GeV cm-3] or [Msun kpc-3]; smooth in the logarithm of the radius.
    r_s : `~astropy.units.Quantity`
        Radius [kpc] well below which the function is a power law.
    r_core : `~astropy.units.Quantity`, optional
        Radius [kpc] within which the density is constant. Default is none.

    Raises
    ------
    TypeError
        If this is no function.
    ValueError
        If it returns no densities.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.targets import FunctionProfile
    >>> rho_s = 2 * u.Unit("GeV cm-3")
    >>> profile = FunctionProfile(lambda r: rho_s / (1 + r / u.kpc) ** 3, r_s=1 * u.kpc)
    >>> print(profile(1 * u.kpc), round(profile.inner_slope, 6))
    0.25 GeV / cm3 0.0
    """

    def __init__(self, function, r_s, r_core=None):
        if not callable(function):
            raise TypeError(f"the profile must be a HaloProfile or a function, got {function!r}.")
        self.function = function
        self.parameters = {"r_s": _positive("r_s", length_values("r_s", r_s))}
        self._set_core(r_core)
        inner, outer = self.density(self.parameters["r_s"] * np.array([SMALL, 1.1 * SMALL]))
        if not (np.isfinite(inner) and np.isfinite(outer) and inner >= outer > 0):
            raise ValueError(
                f"the function must give a density that falls with the radius, got {inner:g} and "
                f"then {outer:g} GeV cm-3 near the centre."
            )
        self._slope = float(np.log(inner / outer) / np.log(1.1))

    rho_s = property(doc="A function has none.")

    @property
    def inner_slope(self):
        """Slope gamma at the centre, where the density goes as r to the power of -gamma."""
        return 0.0 if self._core else self._slope

    def density(self, radius):
        """Density [GeV cm-3] at radii [kpc], plain numbers."""
        radius = np.maximum(radius, self._core) * LENGTH_UNIT
        values = density_values("what the function returns", self.function(radius))
        if np.shape(values) != np.shape(radius):
            raise ValueError(
                f"the function must return the shape of the radii, {np.shape(radius)}; got "
                f"{np.shape(values)}."
            )
        return values

    def __repr__(self):
        return f"FunctionProfile({self.function!r}, r_s={self.parameters['r_s']:g} kpc)"
