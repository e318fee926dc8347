"""A target: where it is, and how much dark matter it holds."""

import math
from dataclasses import dataclass, field, fields, replace

import astropy.units as u
from astropy.coordinates import SkyCoord

from . import _checks as check
from ._text import describe

__all__ = ["FIELD_UNITS", "UNITS", "Target", "factor_name"]

FACTORS = {"annihilation": "log10_jfactor", "decay": "log10_dfactor"}
UNITS = {"log10_jfactor": "GeV2 cm-5", "log10_dfactor": "GeV cm-2"}
DISTANCE_UNIT = u.kpc
ANGLE_UNIT = u.deg
# plain numbers in `Target.to_dict` and tables, by field
FIELD_UNITS = {
    "distance": DISTANCE_UNIT,
    "distance_err": DISTANCE_UNIT,
    "extension": ANGLE_UNIT,
}


def factor_name(process):
    """Name of the factor that a process needs: ``log10_jfactor`` or ``log10_dfactor``."""
    if process not in FACTORS:
        raise ValueError(f"process must be one of {', '.join(FACTORS)}; got {process!r}.")
    return FACTORS[process]


@dataclass(frozen=True, eq=False, repr=False)
class Target:
    """A place to search for dark matter.

    Anything but the name may be unknown (None). A target without J-factor or width is no error
    until something is computed that needs it.

    Parameters
    ----------
    name : str
        Name; that of the bundled tables is lower case, such as ``"ursa_major_II"``.
    position : `~astropy.coordinates.SkyCoord`, optional
        Position; it is kept in ICRS.
    log10_jfactor : float, optional
        Log10 of J [GeV2 cm-5].
    log10_jfactor_err : float or (float, float), optional
        Width of ``log10_jfactor`` [dex], or those below and above; zero fixes J.
    log10_dfactor : float, optional
        Log10 of D [GeV cm-2].
    log10_dfactor_err : float or (float, float), optional
        Width of ``log10_dfactor`` [dex], or those below and above.
    distance : `~astropy.units.Quantity`, optional
        Distance [kpc].
    extension : `~astropy.units.Quantity`, optional
        Angular size [deg], the scale radius of the halo in the bundled tables; zero is a point.
    reference : str, optional
        Where the factors are from.
    version : str, optional
        Name of the table and halo model, such as ``"ackermann2014_nfw"``.
    profile : dict, optional
        Halo profile: ``type``, such as ``"NFW"``, and its parameters as texts with units
        (``{"type": "NFW", "rs": "0.35 kpc", ...}``).
    distance_err : `~astropy.units.Quantity`, optional
        Uncertainty of the distance [kpc].
    extension_err_dex : float or (float, float), optional
        Width of log10 of the extension [dex].
    title : str, optional
        Name for people, such as ``"Ursa Major II"``.
    kind : str, optional
        Kind of target, such as ``"dwarf"`` or ``"galactic"``.

    Raises
    ------
    ValueError
        If a value has the wrong type or unit, is not finite, or a width is negative.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.coordinates import SkyCoord
    >>> from dmgammapy.targets import Target
    >>> target = Target(
    ...     "my_dwarf", SkyCoord(260.05, 57.92, unit="deg"), log10_jfactor=18.8,
    ...     log10_jfactor_err=(0.2, 0.3), distance=76 * u.kpc,
    ... )
    >>> print(f"{target.jfactor:.2e}")
    6.31e+18 GeV2 / cm5
    >>> target.missing("decay")
    ('log10_dfactor', 'log10_dfactor_err')
    """

    name: str
    position: SkyCoord | None = None
    log10_jfactor: float | None = None
    log10_jfactor_err: float | tuple | None = None
    log10_dfactor: float | None = None
    log10_dfactor_err: float | tuple | None = None
    distance: u.Quantity | None = None
    extension: u.Quantity | None = None
    reference: str | None = None
    version: str | None = None
    profile: dict | None = None
    distance_err: u.Quantity | None = field(default=None, kw_only=True)
    extension_err_dex: float | tuple | None = field(default=None, kw_only=True)
    title: str | None = field(default=None, kw_only=True)
    kind: str | None = field(default=None, kw_only=True)

    def __post_init__(self):
        self._set("name", check.check_name(self.name))
        try:
            for name, value in self._checked():
                self._set(name, value)
        except ValueError as error:
            raise ValueError(f"target {self.name}: {error}") from None

    def _set(self, name, value):
        object.__setattr__(self, name, value)

    def _checked(self):
        for factor, unit in UNITS.items():
            yield factor, check.check_factor(factor, getattr(self, factor), unit)
            yield (
                f"{factor}_err",
                check.check_widths(f"{factor}_err", getattr(self, f"{factor}_err")),
            )
        yield (
            "extension_err_dex",
            check.check_widths("extension_err_dex", self.extension_err_dex),
        )
        yield "position", check.check_position(self.position)
        for name, unit in FIELD_UNITS.items():
            zero = name != "distance"
            yield name, check.check_quantity(name, getattr(self, name), unit, zero=zero)
        for name in ("reference", "version", "title", "kind"):
            yield name, check.check_text(name, getattr(self, name))
        if self.version is not None and ":" in self.version:
            raise ValueError(f"version must hold no colon, got {self.version!r}.")
        yield "profile", check.check_profile(self.profile)

    @property
    def key(self):
        """Name and version, ``"name:version"``, or the name if there is no version."""
        return self.name if self.version is None else f"{self.name}:{self.version}"

    @property
    def label(self):
        """Name for people: the title, or the name if there is none."""
        return self.title or self.name

    @property
    def jfactor(self):
        """J-factor (`~astropy.units.Quantity`) [GeV2 cm-5], or None."""
        return self._quantity("log10_jfactor")

    @property
    def dfactor(self):
        """D-factor (`~astropy.units.Quantity`) [GeV cm-2], or None."""
        return self._quantity("log10_dfactor")

    def _quantity(self, factor):
        value = getattr(self, factor)
        return None if value is None else u.Quantity(10**value, UNITS[factor])

    def _factor(self, process):
        """Name of the factor of a process, its value and its width."""
        factor = factor_name(process)
        return factor, getattr(self, factor), getattr(self, f"{factor}_err")

    def has_jfactor(self, process="annihilation"):
        """Whether J is known, or D for decay.

        Parameters
        ----------
        process : {"annihilation", "decay"}
            Default is "annihilation".

        Returns
        -------
        bool
        """
        return self._factor(process)[1] is not None

    def missing(self, process="annihilation"):
        """Names of what is not known but a limit may need.

        Parameters
        ----------
        process : {"annihilation", "decay"}
            Default is "annihilation".

        Returns
        -------
        tuple of str
            Some of ``position``, ``log10_jfactor`` and ``log10_jfactor_err``, or those of D.
        """
        factor, value, width = self._factor(process)
        known = {"position": self.position, factor: value, f"{factor}_err": width}
        return tuple(name for name, item in known.items() if item is None)

    def _require_jfactor(self, process):
        factor, value, _ = self._factor(process)
        if value is None:
            version = f" in version {self.version}" if self.version else ""
            raise ValueError(
                f"target {self.name}: no {factor}{version}, which {process} needs; give it with "
                f"target.copy({factor}=...)."
            )
        return value

    def jfactor_prior(self, process="annihilation"):
        """Likelihood of the observed J-factor, or of the D-factor for decay.

        Parameters
        ----------
        process : {"annihilation", "decay"}
            Default is "annihilation".

        Returns
        -------
        prior : `~dmgammapy.modeling.JFactorPrior`

        Raises
        ------
        ValueError
            If the factor or its width is unknown.

        Examples
        --------
        >>> from dmgammapy.targets import Targets
        >>> prior = Targets.read_roster("ackermann2015_dsphs")["draco"].jfactor_prior()
        >>> print(prior.log10_jfactor, prior.err_low, prior.err_high)
        18.83 0.16 0.16
        """
        from dmgammapy.modeling import JFactorPrior

        value = self._require_jfactor(process)
        factor, _, width = self._factor(process)
        if width is None:
            version = f" in version {self.version}" if self.version else ""
            raise ValueError(
                f"target {self.name}: no {factor}_err{version}; give it with "
                f"target.copy({factor}_err=...), zero to fix it."
            )
        return JFactorPrior(value, width)

    def to_models(
        self,
        mass,
        channel,
        process="annihilation",
        sigmav=None,
        gamma=None,
        spectra="pppc4",
        k=2,
        redshift=0,
        spatial="point",
        frozen_jfactor=True,
    ):
        """Make the sky model of the target for Gammapy.

        Parameters
        ----------
        mass : `~astropy.units.Quantity` or str
            Mass of the dark matter particle, like ``"100 GeV"``.
        channel : str or dict
            Channel, or a mixture ``{channel: fraction}``.
        process : {"annihilation", "decay"}
            Default is "annihilation".
        sigmav : `~astropy.units.Quantity`, optional
            Cross-section to start from; annihilation only.
        gamma : `~astropy.units.Quantity`, optional
            Decay rate to start from; decay only.
        spectra : str, path or `~dmgammapy.spectra.Spectra`
            Yields, as for `~dmgammapy.spectra.read_spectra`. Default is "pppc4".
        k : {2, 4}
            2 for a particle that is its own antiparticle, 4 for a Dirac fermion; annihilation
            only. Default is 2.
        redshift : float
            Default is 0.
        spatial : {"point", None}, `~dmgammapy.modeling.SpatialTemplate` or spatial model
            A point at the position, frozen there, or none; a target without position has none. A
            template (such as from `Halo.to_spatial_model`) brings its own J (or D), which
            replaces the target's, while the width stays; with any other Gammapy spatial model J
            is the target's. Default is "point".
        frozen_jfactor : bool
            Whether log10 of J (or D) stays as it is in a Gammapy fit. If not, its ``error`` is
            the target's width, which is the step a fit begins with. Default is True.

        Returns
        -------
        models : `~gammapy.modeling.models.Models`
            A single `~gammapy.modeling.models.SkyModel` with the target's name. The J-factor has
            the target's prior, or none if its width is unknown.

        Raises
        ------
        ValueError
            If J (or D) is unknown, a strength is given that the process does not have, or an
            argument is not valid.

        Examples
        --------
        >>> from dmgammapy.targets import Targets
        >>> draco = Targets.read_roster("ackermann2015_dsphs")["draco"]
        >>> models = draco.to_models(mass="100 GeV", channel="b")
        >>> models.names, float(models["draco"].spectral_model.log10_jfactor.value)
        (['draco'], 18.83)
        """
        from gammapy.modeling.models import Models, PointSpatialModel, SkyModel, SpatialModel

        from dmgammapy.modeling import (
            DarkMatterDecaySpectralModel,
            DarkMatterSpectralModel,
            SpatialTemplate,
        )

        if isinstance(spatial, SpatialTemplate):
            name = factor_name(process)
            unit = UNITS[name]
            try:
                own = math.log10(spatial.jfactor.to_value(unit))
            except u.UnitConversionError:
                raise ValueError(
                    f"target {self.name}: {process} needs a template in {unit}, got "
                    f"{spatial.jfactor.unit}."
                ) from None
            return self.copy(**{name: float(own)}).to_models(
                mass, channel, process=process, sigmav=sigmav, gamma=gamma, spectra=spectra, k=k,
                redshift=redshift, spatial=spatial.model, frozen_jfactor=frozen_jfactor,
            )  # fmt: skip
        value = self._require_jfactor(process)
        factor, _, width = self._factor(process)
        if not (spatial is None or spatial == "point" or isinstance(spatial, SpatialModel)):
            raise ValueError(
                f"target {self.name}: spatial must be 'point', None, a SpatialTemplate or a "
                f"Gammapy spatial model, got {spatial!r}."
            )
        prior = None if width is None else self.jfactor_prior(process)
        arguments = {"redshift": redshift, "spectra": spectra, factor: value}
        if process == "annihilation":
            self._refuse("gamma", gamma, process)
            arguments |= {"k": k, "jfactor_prior": prior}
            arguments |= {} if sigmav is None else {"sigmav": u.Quantity(sigmav)}
            spectral = DarkMatterSpectralModel(mass, channel, **arguments)
        else:
            self._refuse("sigmav", sigmav, process)
            self._refuse("k", None if k == 2 else k, process)
            arguments |= {"dfactor_prior": prior}
            arguments |= {} if gamma is None else {"gamma": u.Quantity(gamma)}
            spectral = DarkMatterDecaySpectralModel(mass, channel, **arguments)
        parameter = spectral.parameters[factor]
        parameter.frozen = bool(frozen_jfactor)
        if not parameter.frozen and prior is not None and not prior.is_fixed:
            parameter.error = max(prior.err_low, prior.err_high)
        spatial_model = spatial if isinstance(spatial, SpatialModel) else None
        if spatial_model is None and spatial == "point" and self.position is not None:
            spatial_model = PointSpatialModel.from_position(self.position)
            spatial_model.parameters.freeze_all()
        return Models([SkyModel(spectral, spatial_model, name=self.name)])

    def _refuse(self, name, value, process):
        if value is not None:
            raise ValueError(f"target {self.name}: {name} has no use in {process}, got {value!r}.")

    def copy(self, **changes):
        """Make a copy with other values.

        Parameters
        ----------
        **changes : dict
            New values by field.

        Returns
        -------
        target : `Target`

        Raises
        ------
        ValueError
            If a value is not valid.

        Examples
        --------
        >>> from dmgammapy.targets import Target
        >>> Target("draco", log10_jfactor=18.83).copy(log10_jfactor_err=0.16)
        Target(name='draco', log10_jfactor=18.83, log10_jfactor_err=0.16)
        """
        unknown = [name for name in changes if name not in FIELDS]
        if unknown:
            raise ValueError(
                f"target {self.name}: no field {unknown[0]!r}; there are {', '.join(FIELDS)}."
            )
        return replace(self, **changes)

    def to_dict(self):
        """Plain content, without what is unknown.

        Returns
        -------
        data : dict
            Fields by name; the position as ``ra`` and ``dec`` [deg], distances in kpc, the
            extension in deg.

        Examples
        --------
        >>> from dmgammapy.targets import Target
        >>> Target("draco", log10_jfactor=18.83).to_dict()
        {'name': 'draco', 'log10_jfactor': 18.83}
        """
        data = {}
        for name in FIELDS:
            value = getattr(self, name)
            if value is None:
                continue
            if name == "position":
                data |= {"ra": float(value.ra.deg), "dec": float(value.dec.deg)}
            elif name in FIELD_UNITS:
                data[name] = float(value.to_value(FIELD_UNITS[name]))
            elif name == "profile":
                data[name] = check.check_profile(value)
            else:
                data[name] = list(value) if isinstance(value, tuple) else value
        return data

    @classmethod
    def from_dict(cls, data):
        """Make a target from what `to_dict` gives.

        Parameters
        ----------
        data : dict
            Fields by name.

        Returns
        -------
        target : `Target`

        Raises
        ------
        ValueError
            If a key is not known, the name is absent or a value is not valid.

        Examples
        --------
        >>> from dmgammapy.targets import Target
        >>> target = Target("draco", log10_jfactor=18.83)
        >>> Target.from_dict(target.to_dict()) == target
        True
        """
        data = dict(data)
        name = data.get("name")
        unknown = [key for key in data if key not in (*FIELDS, "ra", "dec") or key == "position"]
        if unknown:
            raise ValueError(
                f"target {name}: unknown key {unknown[0]!r}; known are {', '.join(DICT_KEYS)}."
            )
        if "name" not in data:
            raise ValueError(f"a target needs a name; got the keys {', '.join(data) or 'none'}.")
        ra, dec = data.pop("ra", None), data.pop("dec", None)
        if (ra is None) != (dec is None):
            raise ValueError(f"target {name}: ra and dec belong together; one is absent.")
        if ra is not None:
            try:
                data["position"] = check.make_position(
                    check.check_real("ra", ra), check.check_real("dec", dec)
                )
            except ValueError as error:
                raise ValueError(f"target {name}: {error}") from None
        for key, unit in FIELD_UNITS.items():
            if data.get(key) is not None:
                data[key] = check.check_real(f"target {name}: {key}", data[key]) * unit
        return cls(**data)

    def __eq__(self, other):
        if not isinstance(other, Target):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    def __hash__(self):
        return hash((self.name, self.version))

    def __repr__(self):
        data = self.to_dict()
        for name, unit in FIELD_UNITS.items():
            if name in data:
                data[name] = f"{data[name]:g} {unit}"
        text = ", ".join(f"{name}={value!r}" for name, value in data.items())
        return f"Target({text})"

    def __str__(self):
        return describe(self)


FIELDS = tuple(item.name for item in fields(Target))
DICT_KEYS = tuple("ra, dec" if name == "position" else name for name in FIELDS)
