"""A dark matter halo on the sky: J- and D-factors, maps and spatial models."""

from functools import cached_property

import astropy.units as u
import numpy as np
from astropy.table import QTable
from gammapy.maps import WcsGeom, WcsNDMap

from dmgammapy.modeling import spatial_template
from dmgammapy.modeling._pixels import integrate_pixels

from . import _checks as check
from .core import UNITS, Target, factor_name
from .halo_profiles import FunctionProfile, HaloProfile, length_values
from .halo_table import HaloTable

__all__ = ["Halo", "angle_values"]

POWERS = {"annihilation": 2, "decay": 1}
LARGEST_TEMPLATE = 10.0  # deg


def angle_values(name, value, highest=np.pi):
    """Angles [rad] as floats."""
    try:
        angle = np.asarray(u.Quantity(value).to_value("rad"), float)
    except (u.UnitConversionError, TypeError, ValueError):
        raise ValueError(f"{name} must be an angle such as 0.5 deg, got {value!r}.") from None
    if not np.all((angle >= 0) & (angle <= highest * (1 + 1e-12))):
        raise ValueError(f"{name} must lie in 0 to 180 deg, got {value}.")
    return np.minimum(angle, highest)


class Halo:
    """A spherical halo at a distance, seen from outside or from within.

    All integrals are right to 1e-4 or better at any angle; they are tabulated once, when first
    needed. For annihilation through the very centre the line-of-sight integral is infinite if the
    inner slope of the density is 0.5 or more (for decay: 1); the integral over a cone or pixel
    is finite for slopes below 1.5 (decay: 3).

    Parameters
    ----------
    profile : `HaloProfile` or callable
        Density. A callable takes radii as a `~astropy.units.Quantity` and returns densities; it
        needs ``r_max``, or give a `FunctionProfile`.
    distance : `~astropy.units.Quantity`
        Distance of the centre [kpc].
    r_max : `~astropy.units.Quantity`, optional
        Radius [kpc] where the halo ends, such as its tidal radius. Default is no end; then the
        "whole halo" is the whole sky.
    position : `~astropy.coordinates.SkyCoord`, optional
        Position of the centre, for maps.
    name : str, optional
        Name.

    Raises
    ------
    TypeError
        If the profile is none.
    ValueError
        If a value has the wrong unit or is not positive, or a callable has no ``r_max``.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.targets import Halo, NFWProfile
    >>> halo = Halo(NFWProfile(3 * u.Unit("GeV cm-3"), 0.5 * u.kpc), 80 * u.kpc)
    >>> print(f"{halo.jfactor():.3e}, within 0.5 deg {halo.jfactor(0.5 * u.deg):.3e}")
    2.272e+18 GeV2 / cm5, within 0.5 deg 2.160e+18 GeV2 / cm5
    """

    def __init__(self, profile, distance, r_max=None, position=None, name=None):
        self._distance = self._positive("distance", distance)
        self._r_max = np.inf if r_max is None else self._positive("r_max", r_max)
        if not isinstance(profile, HaloProfile):
            if callable(profile) and r_max is None:
                raise ValueError(
                    "a callable as profile needs r_max; or give FunctionProfile(function, r_s)."
                )
            profile = FunctionProfile(profile, self._r_max * u.kpc)
        self.profile = profile
        self._r_max = min(self._r_max, profile.r_max)
        if self._r_max == self._distance:
            self._r_max *= 1 + 1e-9  # on the edge itself counts as inside
        self.position = check.check_position(position)
        self.name = None if name is None else check.check_name(name)
        self._tables = {}

    @staticmethod
    def _positive(name, value):
        number = length_values(name, value)
        if np.ndim(number) or not np.isfinite(number) or number <= 0:
            raise ValueError(f"{name} must be one positive and finite length, got {value}.")
        return float(number)

    @property
    def distance(self):
        """Distance [kpc]."""
        return self._distance * u.kpc

    @property
    def r_max(self):
        """Radius [kpc] where the halo ends, infinite if it does not."""
        return self._r_max * u.kpc

    @cached_property
    def angular_radius(self):
        """Angle [deg] where the halo ends, 180 deg if it does not or holds the observer."""
        if self._r_max >= self._distance:
            return 180.0 * u.deg
        return np.rad2deg(np.arcsin(self._r_max / self._distance)) * u.deg

    def _table(self, process):
        factor_name(process)
        if process not in self._tables:
            self._tables[process] = HaloTable(
                self.profile, POWERS[process], self._distance, self._r_max
            )
        return self._tables[process]

    def differential_jfactor(self, theta):
        """Integral of the squared density along lines of sight.

        Parameters
        ----------
        theta : `~astropy.units.Quantity`
            Angle from the centre [deg], any shape.

        Returns
        -------
        dj_domega : `~astropy.units.Quantity`
            Same shape [GeV2 cm-5 sr-1]; infinite at zero for inner slopes from 0.5 on.
        """
        return self._differential("annihilation", theta)

    def differential_dfactor(self, theta):
        """Integral of the density along lines of sight.

        Parameters
        ----------
        theta : `~astropy.units.Quantity`
            Angle from the centre [deg], any shape.

        Returns
        -------
        dd_domega : `~astropy.units.Quantity`
            Same shape [GeV cm-2 sr-1]; infinite at zero for inner slopes from 1 on.
        """
        return self._differential("decay", theta)

    def _differential(self, process, theta):
        values = self._table(process).differential(angle_values("theta", theta))
        return u.Quantity(values, UNITS[factor_name(process)]) / u.sr

    def jfactor(self, angle=None):
        """J-factor of a cone, or of the whole halo.

        Parameters
        ----------
        angle : `~astropy.units.Quantity`, optional
            Half opening angle [deg], any shape. Default is the whole halo.

        Returns
        -------
        jfactor : `~astropy.units.Quantity`
            Same shape [GeV2 cm-5].

        Raises
        ------
        ValueError
            If the inner slope is 1.5 or more, for which it is infinite.
        """
        return self._cone("annihilation", angle)

    def dfactor(self, angle=None):
        """D-factor of a cone, or of the whole halo.

        Parameters
        ----------
        angle : `~astropy.units.Quantity`, optional
            Half opening angle [deg], any shape. Default is the whole halo; of one without r_max
            that is the whole sky, which for outer slopes up to 3 is mostly far from the centre.

        Returns
        -------
        dfactor : `~astropy.units.Quantity`
            Same shape [GeV cm-2].
        """
        return self._cone("decay", angle)

    def _cone(self, process, angle):
        angle = np.pi if angle is None else angle_values("angle", angle)
        return u.Quantity(self._table(process).inside(angle), UNITS[factor_name(process)])

    def containment_radius(self, fraction=0.68, process="annihilation"):
        """Angle within which a fraction of the whole halo's J- or D-factor comes.

        Parameters
        ----------
        fraction : float or array_like
            Between 0 and 1. Default is 0.68.
        process : {"annihilation", "decay"}
            Default is "annihilation".

        Returns
        -------
        angle : `~astropy.units.Quantity`
            Same shape [deg].

        Raises
        ------
        ValueError
            If the fraction does not lie between 0 and 1.

        Examples
        --------
        >>> import astropy.units as u
        >>> from dmgammapy.targets import Halo, NFWProfile
        >>> halo = Halo(NFWProfile(3 * u.Unit("GeV cm-3"), 0.5 * u.kpc), 80 * u.kpc)
        >>> print(f"{halo.containment_radius():.4f}")
        0.1263 deg
        """
        fraction = np.asarray(fraction, float)
        if not np.all((fraction > 0) & (fraction < 1)):
            raise ValueError(f"fraction must lie between 0 and 1, got {fraction}.")
        return np.rad2deg(self._table(process).angle(fraction)) * u.deg

    def jfactor_map(self, geom):
        """J-factor of each pixel.

        Parameters
        ----------
        geom : `~gammapy.maps.WcsGeom`
            Geometry; other axes are left out.

        Returns
        -------
        map : `~gammapy.maps.WcsNDMap`
            Integrals over the pixels [GeV2 cm-5], also right in the centre of a cusp and for a
            halo that is smaller than a pixel. How the pixels share a steep cusp (slope above
            1.3) that sits exactly on their common side or corner is left to rounding; their sum
            is right.

        Raises
        ------
        ValueError
            If the halo has no position, or its inner slope is 1.5 or more.
        """
        return self._map("annihilation", geom)

    def dfactor_map(self, geom):
        """D-factor of each pixel.

        Parameters
        ----------
        geom : `~gammapy.maps.WcsGeom`
            Geometry; other axes are left out.

        Returns
        -------
        map : `~gammapy.maps.WcsNDMap`
            Integrals over the pixels [GeV cm-2].

        Raises
        ------
        ValueError
            If the halo has no position.
        """
        return self._map("decay", geom)

    def _map(self, process, geom):
        if not isinstance(geom, WcsGeom) or not geom.is_regular:
            raise ValueError(f"geom must be a WcsGeom with one pixel size, got {geom!r:.60}.")
        self._require_position()
        table = self._table(process)
        table.inside(0.0)
        geom = geom.to_image()
        values = integrate_pixels(table, geom, self.position)
        return WcsNDMap(geom, values, unit=UNITS[factor_name(process)])

    def _require_position(self):
        if self.position is None:
            raise ValueError(
                f"halo {self.name or repr(self.profile)}: a map needs its position; give "
                "Halo(..., position=SkyCoord(...))."
            )

    def to_spatial_model(
        self, geom=None, width=None, binsz=None, process="annihilation", filename=None
    ):
        """Template of the halo for Gammapy, and the J-factor that belongs to it.

        Parameters
        ----------
        geom : `~gammapy.maps.WcsGeom`, optional
            Geometry of the template. The template is exact on this grid; use that of the data.
        width, binsz : `~astropy.units.Quantity`, optional
            Width of the template and of its pixels [deg], in its stead; tangential projection about
            the centre. Default is the diameter that holds 99 % of J (or D), 10 deg at most, and a
            hundredth of it.
        process : {"annihilation", "decay"}
            Default is "annihilation".
        filename : str or `~pathlib.Path`, optional
            File of the template, which ``Models.write`` needs.

        Returns
        -------
        template : `~dmgammapy.modeling.SpatialTemplate`
            ``model``, which integrates to 1 over the map, and ``jfactor``, what the map holds.
            Give this J to the spectral model, so that what lies outside is not counted.

        Raises
        ------
        ValueError
            If the halo has no position, the map does not hold the halo, or both ``geom`` and
            a width are given.

        Examples
        --------
        >>> import astropy.units as u
        >>> from astropy.coordinates import SkyCoord
        >>> from dmgammapy.targets import Halo, NFWProfile
        >>> position = SkyCoord(260.05, 57.92, unit="deg")
        >>> profile = NFWProfile(3 * u.Unit("GeV cm-3"), 0.5 * u.kpc)
        >>> halo = Halo(profile, 80 * u.kpc, position=position)
        >>> model, jfactor = halo.to_spatial_model(width=2 * u.deg, binsz=0.05 * u.deg)
        >>> print(f"{jfactor:.3e} of {halo.jfactor():.3e}")
        2.252e+18 GeV2 / cm5 of 2.272e+18 GeV2 / cm5
        """
        self._require_position()
        if geom is not None and (width is not None or binsz is not None):
            raise ValueError("give either geom, or width and binsz.")
        if geom is None:
            if width is None:
                width = 2 * self.containment_radius(0.99, process).to_value("deg")
                width = min(width, LARGEST_TEMPLATE)
            else:
                width = float(np.rad2deg(angle_values("width", width)))
            binsz = 0.01 * width if binsz is None else np.rad2deg(angle_values("binsz", binsz))
            # an odd number of pixels has the centre in the middle of one
            n_pixels = max(1, 2 * int(np.ceil(0.5 * (width / binsz - 1) - 1e-9)) + 1)
            geom = WcsGeom.create(
                skydir=self.position, npix=n_pixels, binsz=float(binsz), proj="TAN"
            )
        return spatial_template(self._map(process, geom), filename)

    def radial_table(self, theta=None):
        """Table over the angle from the centre.

        Parameters
        ----------
        theta : `~astropy.units.Quantity`, shape (n,), optional
            Angles [deg]. Default is 10 per decade from 0.001 deg to the edge.

        Returns
        -------
        table : `~astropy.table.QTable`
            ``theta``, ``dj_domega``, ``jfactor`` (within theta), ``dd_domega`` and ``dfactor``.
        """
        if theta is None:
            edge = self.angular_radius.to_value("deg")
            first = min(1e-3, 0.01 * edge)
            theta = np.geomspace(first, edge, int(10 * np.log10(edge / first)) + 1) * u.deg
        table = QTable({"theta": np.atleast_1d(u.Quantity(theta).to("deg"))})
        table["dj_domega"] = self.differential_jfactor(table["theta"])
        table["jfactor"] = self.jfactor(table["theta"])
        table["dd_domega"] = self.differential_dfactor(table["theta"])
        table["dfactor"] = self.dfactor(table["theta"])
        table.meta["halo"] = repr(self)
        return table

    @classmethod
    def from_target(cls, target, r_max=None):
        """Halo of a target, from its profile and distance.

        Parameters
        ----------
        target : `Target`
            With a distance and a ``profile`` with ``type``, ``rhos`` (or ``rho_s``), ``rs`` (or
            ``r_s``) and what else the type has: ``alpha``, ``beta``, ``gamma``. ``rmax`` truncates
            the halo and ``rmin`` is a core of constant density, as in dmsky.
        r_max : `~astropy.units.Quantity`, optional
            Radius [kpc] where the halo ends, in place of the profile's.

        Returns
        -------
        halo : `Halo`

        Raises
        ------
        ValueError
            If the target has no profile or distance, or the profile lacks something.

        Examples
        --------
        >>> import astropy.units as u
        >>> from dmgammapy.targets import Halo, Targets
        >>> draco = Targets.read_roster("martinez2015_nfw")["draco"]
        >>> halo = Halo.from_target(draco)
        >>> print(halo)
        Halo draco: NFWProfile(rho_s=8.73199 GeV / cm3, r_s=0.35 kpc), 76 kpc away, ends at 1 kpc
        """
        from .halo_from_target import profile_of_target

        if not isinstance(target, Target):
            raise TypeError(f"expected a Target, got {type(target).__name__}.")
        profile, found_r_max = profile_of_target(target)
        if target.distance is None:
            raise ValueError(
                f"target {target.name}: no distance; give it with target.copy(distance=...)."
            )
        return cls(
            profile,
            target.distance,
            r_max=found_r_max if r_max is None else r_max,
            position=target.position,
            name=target.name,
        )

    def __str__(self):
        name = f"Halo {self.name}" if self.name else "Halo"
        end = f", ends at {self._r_max:g} kpc" if np.isfinite(self._r_max) else ""
        return f"{name}: {self.profile!r}, {self._distance:g} kpc away{end}"

    def __repr__(self):
        end = f", r_max={self._r_max:g} kpc" if np.isfinite(self._r_max) else ""
        name = f", name={self.name!r}" if self.name else ""
        return f"Halo({self.profile!r}, distance={self._distance:g} kpc{end}{name})"
