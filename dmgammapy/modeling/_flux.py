"""What annihilation and decay share: a yield from `dmgammapy.spectra` times a number."""

from copy import deepcopy

import astropy.units as u
import numpy as np
from gammapy.modeling import Parameter, Parameters
from gammapy.modeling.models import SpectralModel

from dmgammapy.spectra import LineSpectra, Spectra, channel_label, parse_channel, read_spectra

from .priors import JFactorPrior

FLUX_UNIT = u.Unit("cm-2 s-1")
_TRIMMED = ("error", "min", "max", "frozen", "interp", "scale_method", "scale_transform")


class DarkMatterFlux(SpectralModel):
    """Base of the spectral models; a subclass declares its parameters and evaluates.

    The two parameters are the strength (sigmav or gamma) and log10 of the J- or D-factor, in this
    order. A subclass gives ``process`` and ``_amplitude``.
    """

    process = None

    def __init__(self, mass, channel, strength, log10_factor, redshift, spectra, prior, kwargs):
        self.mass = mass
        self.channel = channel
        self.redshift = redshift
        self.spectra = spectra
        first, second = self.default_parameters
        if prior is not None:
            _check_prior(prior, second.name)
        if not isinstance(strength, Parameter):
            strength = _quantity(strength, first.name, first.unit)
        if log10_factor is None:
            log10_factor = second.value if prior is None else prior.log10_jfactor
        if not isinstance(log10_factor, Parameter):
            log10_factor = _plain_number(log10_factor, second.name)
        value = getattr(log10_factor, "value", log10_factor)
        if prior is not None and value != prior.log10_jfactor:
            raise ValueError(
                f"{second.name} is {value} but its prior is centred on {prior.log10_jfactor}: "
                "give just the prior."
            )
        super().__init__(**{first.name: strength, second.name: log10_factor}, **kwargs)
        if prior is not None:
            self._set_prior(prior)

    # --- attributes ------------------------------------------------------------------------------

    @property
    def mass(self):
        """Mass of the dark matter particle (`~astropy.units.Quantity`).

        It may be any while nothing is evaluated. Evaluated, a mass below the channel's threshold
        gives zero and one outside of the table raises.
        """
        return self._mass

    @mass.setter
    def mass(self, mass):
        mass = _quantity(mass, "mass", u.GeV, keep_unit=True)
        if not mass.value > 0:
            raise ValueError(f"mass must be positive, got {mass}.")
        self._mass = mass

    @property
    def channel(self):
        """Canonical name, or the branching fractions ``{channel: fraction}`` of a mixture."""
        channel = self._channel
        return channel if isinstance(channel, str) else dict(channel)

    @channel.setter
    def channel(self, channel):
        self._channel = parse_channel(channel)

    @property
    def redshift(self):
        """Redshift of the target."""
        return self._redshift

    @redshift.setter
    def redshift(self, redshift):
        value = _plain_number(redshift, "redshift")
        if value < 0:
            raise ValueError(f"redshift must not be negative, got {value}.")
        self._redshift = value

    @property
    def spectra(self):
        """The yields, `~dmgammapy.spectra.Spectra`."""
        if not isinstance(self._spectra, Spectra):
            self._spectra = read_spectra(self._spectra)
        return self._spectra

    @spectra.setter
    def spectra(self, spectra):
        self._spectra = read_spectra(spectra)

    def _get_prior(self):
        return self.parameters[1].prior

    def _set_prior(self, prior):
        parameter = self.parameters[1]
        if isinstance(parameter.prior, JFactorPrior):
            # bounds that the prior before has put there
            low, high = parameter.prior.bounds
            parameter.min = np.nan if parameter.min == low else parameter.min
            parameter.max = np.nan if parameter.max == high else parameter.max
        if prior is not None:
            _check_prior(prior, parameter.name)
            parameter.value = prior.log10_jfactor
            low, high = prior.bounds
            if np.isfinite(low):
                parameter.min = low
            if np.isfinite(high):
                parameter.max = high
        parameter.prior = prior

    # --- evaluation ------------------------------------------------------------------------------

    def _amplitude(self, strength, log10_factor):
        """Flux [cm-2 s-1] of one photon per annihilation or decay."""
        raise NotImplementedError

    @property
    def flux_factor(self):
        """Flux [cm-2 s-1] that one photon per annihilation or decay gives."""
        return self._amplitude(*(parameter.quantity for parameter in self.parameters))

    def _dnde(self, energy, strength, log10_factor):
        stretch = 1 + self.redshift
        if isinstance(self.spectra, LineSpectra):
            # infinite at one energy, which no number stands for; Gammapy evaluates a model when it
            # is put on a dataset, and integrates it for predicted counts
            zeros = u.Quantity(np.zeros(np.shape(energy)), "GeV-1")
            return self._amplitude(strength, log10_factor) * zeros
        yields = self.spectra.dnde(energy * stretch, self.mass, self.channel, self.process)
        return self._amplitude(strength, log10_factor) * yields

    def _integral(self, energy_min, energy_max, strength, log10_factor, norm_type):
        stretch = 1 + self.redshift
        yields = self.spectra.integrate_intervals(
            energy_min * stretch,
            energy_max * stretch,
            self.mass,
            self.channel,
            self.process,
            norm_type,
        )
        # each observed energy is smaller by 1 + z
        power = {"flux": 1, "eflux": 2}[norm_type]
        return self._amplitude(strength, log10_factor) * yields / stretch**power

    def integral_error(
        self, energy_min, energy_max, n_samples=3500, random_state=42, samples=None, **kwargs
    ):
        """Flux and its errors from samples of the covariance; exact in energy.

        Parameters
        ----------
        energy_min, energy_max : `~astropy.units.Quantity`
            Lower and upper energies.
        n_samples : int
            Number of samples per parameter. Default is 3500.
        random_state : int or `~numpy.random.RandomState`
            Seed. Default is 42.
        samples : list of `~astropy.units.Quantity`, optional
            Samples by parameter, rather than drawn.
        **kwargs : dict
            Not used.

        Returns
        -------
        flux, flux_errn, flux_errp : `~astropy.units.Quantity`
            Median and errors [cm-2 s-1].
        """
        return self._errors("flux", energy_min, energy_max, n_samples, random_state, samples)

    def energy_flux_error(
        self, energy_min, energy_max, n_samples=3500, random_state=42, samples=None, **kwargs
    ):
        """Energy flux and its errors from samples of the covariance; exact in energy.

        Parameters
        ----------
        energy_min, energy_max, n_samples, random_state, samples, **kwargs
            As for `integral_error`.

        Returns
        -------
        eflux, eflux_errn, eflux_errp : `~astropy.units.Quantity`
            Median and errors [GeV cm-2 s-1].
        """
        return self._errors("eflux", energy_min, energy_max, n_samples, random_state, samples)

    def _errors(self, norm_type, energy_min, energy_max, n_samples, random_state, samples):
        low, high = np.atleast_1d(energy_min), np.atleast_1d(energy_max)

        def flux(*values):
            return self._integral(low[:, np.newaxis], high[:, np.newaxis], *values, norm_type)

        n_samples *= len(self.parameters)
        return self._get_errors(self._samples(flux, n_samples, random_state, samples))

    # --- copies, files and text ------------------------------------------------------------------

    def _attributes(self):
        """Attributes that are not parameters, as plain values for a file."""
        return {
            "mass": f"{float(self.mass.value)!r} {self.mass.unit}",
            "channel": self.channel,
            "redshift": self.redshift,
            "spectra": self.spectra.source,
        }

    def to_dict(self, full_output=False):
        """Dictionary for YAML.

        Parameters
        ----------
        full_output : bool
            Write what has its default, too. Default is False.

        Returns
        -------
        data : dict
            What `from_dict` takes, below the key "spectral".

        Raises
        ------
        ValueError
            If the spectra were made from a table in memory, which no file can name.
        """
        parameters = []
        for parameter, default in zip(self.parameters, self.default_parameters, strict=True):
            entry, initial = parameter.to_dict(), default.to_dict()
            if not full_output:
                for key in _TRIMMED:
                    if _same(entry[key], initial[key]):
                        del entry[key]
            parameters.append(entry)
        data = {"type": self.tag[0], "parameters": parameters} | self._attributes()
        return {self.type: data}

    @classmethod
    def from_dict(cls, data, **kwargs):
        """Model from a dictionary, which is not changed.

        Parameters
        ----------
        data : dict
            As from `to_dict`.
        **kwargs : dict
            Keyword arguments of the class, in place of what the dictionary says.

        Returns
        -------
        model : `~gammapy.modeling.models.SpectralModel`
            Model.

        Raises
        ------
        ValueError
            If the type is another one, or something is missing or unknown.
        """
        data = dict(data.get("spectral", data))
        found = data.pop("type", None)
        if found not in cls.tag:
            raise ValueError(f"Expected a spectral model of type {cls.tag[0]}, got {found!r}.")
        entries = {entry["name"]: entry for entry in data.pop("parameters", [])}
        unknown = set(entries) - set(cls.default_parameters.names) | set(data) - set(cls._keys)
        missing = {"mass", "channel"} - set(data) - set(kwargs)
        if unknown or missing:
            raise ValueError(
                f"{found}: unknown {sorted(unknown)} and missing {sorted(missing)}; expected the "
                f"parameters {cls.default_parameters.names} and the keys {list(cls._keys)}."
            )
        for default in cls.default_parameters:
            entry = default.to_dict() | deepcopy(entries.get(default.name, {}))
            parameter = Parameters.from_dict([entry])[0]
            # a value of zero says nothing about the scale
            parameter.update_scale(default.value)
            parameter.value = parameter.value
            data[default.name] = parameter
        return cls(**(data | kwargs))

    def __deepcopy__(self, memo):
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__.update(deepcopy(self.__dict__, memo))
        return copied

    def __getstate__(self):
        # tables are read again, from their source
        state = self.__dict__.copy()
        if isinstance(state["_spectra"], Spectra):
            try:
                state["_spectra"] = state["_spectra"].source
            except ValueError:  # from a table in memory
                pass
        return state

    def _summary(self):
        return f"mass={self.mass}, channel={channel_label(self.channel)!r}"

    def __repr__(self):
        first, second = self.parameters
        return (
            f"{type(self).__name__}({self._summary()}, {first.name}={first.quantity:.4g}, "
            f"{second.name}={second.value:g}, spectra={self.spectra.name!r})"
        )

    def __str__(self):
        lines = [type(self).__name__, ""]
        for name, value in self._attributes_as_text().items():
            lines.append(f"  {name:14}: {value}")
        return "\n".join([*lines, "", str(self.parameters.to_table()), ""])

    def _attributes_as_text(self):
        prior = self._get_prior()
        return {
            "mass": self.mass,
            "channel": channel_label(self.channel),
            "redshift": f"{self.redshift:g}",
            "spectra": self.spectra.name,
            "prior": "none" if prior is None else repr(prior),
        }


def _check_prior(prior, name):
    if not isinstance(prior, JFactorPrior):
        raise ValueError(f"The prior on {name} must be a JFactorPrior, got {prior!r}.")


def _quantity(value, name, unit, keep_unit=False):
    """Finite scalar quantity of a kind."""
    try:
        quantity = u.Quantity(value)
        converted = quantity.to(unit)
    except (u.UnitConversionError, TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be a quantity like '100 {unit}' or 100 * u.Unit('{unit}'), got {value!r}."
        ) from error
    if not quantity.isscalar or not np.isfinite(quantity.value):
        raise ValueError(f"{name} must be one finite quantity, got {value!r}.")
    return quantity if keep_unit else converted


def _plain_number(value, name):
    """Finite float."""
    try:
        number = float(u.Quantity(value).to_value(""))
    except (u.UnitConversionError, TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a number, got {value!r}.") from error
    if not np.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value!r}.")
    return number


def _same(value, default):
    both_nan = all(isinstance(item, float) and np.isnan(item) for item in (value, default))
    return both_nan or value == default
