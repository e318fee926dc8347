"""Gamma-ray spectra of dark matter annihilation and decay."""

import astropy.units as u
import numpy as np
from gammapy.modeling import Parameter

from ._flux import FLUX_UNIT, DarkMatterFlux

__all__ = ["DarkMatterDecaySpectralModel", "DarkMatterSpectralModel"]

_COEFFICIENTS = (2, 4)


class DarkMatterSpectralModel(DarkMatterFlux):
    r"""Flux of dark matter annihilation in a target.

    .. math::
        \phi(E) = \frac{J \langle\sigma v\rangle}{4 \pi k m^2} \,
        \frac{dN}{dE}\big(E (1 + z)\big)

    (e.g. Ackermann et al. 2015, arXiv:1503.02641, eq. 1). ``integral`` and ``energy_flux`` are in
    closed form up to the endpoint E = m, for lines too. To share sigmav between targets, share the
    parameter: ``other.sigmav = model.sigmav``.

    Parameters
    ----------
    mass : `~astropy.units.Quantity` or str
        Mass of the particle, like ``"100 GeV"``.
    channel : str or dict
        Channel, or a mixture ``{channel: fraction}``.
    sigmav : `~astropy.units.Quantity` or `~gammapy.modeling.Parameter`
        Velocity averaged cross-section. Default is 3e-26 cm3 s-1. It can't be negative in a fit
        unless its ``min`` is changed.
    log10_jfactor : float or `~gammapy.modeling.Parameter`, optional
        Log10 of J [GeV2 cm-5]; frozen unless ``model.log10_jfactor.frozen = False``. Default is
        that of the prior, or 19.
    k : {2, 4}
        2 for a particle that is its own antiparticle, 4 for a Dirac fermion. Default is 2.
    redshift : float
        Redshift of the target. Default is 0.
    spectra : str, path, dict, `~astropy.table.Table` or `~dmgammapy.spectra.Spectra`
        Yields, as for `~dmgammapy.spectra.read_spectra`. Default is "pppc4".
    jfactor_prior : `JFactorPrior`, optional
        Prior on ``log10_jfactor``, which gets the observed value.
    **kwargs : dict
        ``covariance_data`` of the parameters, as Gammapy's models take it.

    Raises
    ------
    ValueError
        If an argument is not valid.

    Notes
    -----
    Mass, channel, k, redshift and spectra may be set at any time and count at once in this model.
    The counts datasets of Gammapy, however, keep their predicted counts until a *parameter*
    changes: follow such a change by ``dataset.models = dataset.models``.

    Before `~gammapy.modeling.models.Models.read` finds this class in a YAML file,
    ``dmgammapy.modeling`` must have been imported.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.modeling import DarkMatterSpectralModel, JFactorPrior
    >>> model = DarkMatterSpectralModel(
    ...     "100 GeV", "b", jfactor_prior=JFactorPrior(18.8, 0.2), spectra="dmfit"
    ... )
    >>> print(f"{model.integral(1 * u.GeV, 100 * u.GeV):.3g}")
    1.03e-11 1 / (s cm2)
    >>> print(f"{model(1 * u.GeV).to('MeV-1 cm-2 s-1'):.3g}")
    7.3e-15 1 / (MeV s cm2)
    """

    tag = ["dmgammapy.DarkMatterSpectralModel", "DarkMatterSpectralModel", "dm-sigmav"]
    process = "annihilation"
    _keys = ("mass", "channel", "redshift", "spectra", "k")

    sigmav = Parameter("sigmav", 3e-26, unit="cm3 s-1", min=0, scale=1e-26)
    # not scaled, so that it keeps its exact value in a fit
    log10_jfactor = Parameter("log10_jfactor", 19.0, frozen=True, scale_method=None)

    def __init__(
        self,
        mass,
        channel,
        sigmav=sigmav.quantity,
        log10_jfactor=None,
        k=2,
        redshift=0.0,
        spectra="pppc4",
        jfactor_prior=None,
        **kwargs,
    ):
        self.k = k
        super().__init__(
            mass, channel, sigmav, log10_jfactor, redshift, spectra, jfactor_prior, kwargs
        )

    @property
    def k(self):
        """2 for a particle that is its own antiparticle, 4 for a Dirac fermion."""
        return self._k

    @k.setter
    def k(self, k):
        if k not in _COEFFICIENTS:
            raise ValueError(f"k must be 2 (self-conjugate) or 4 (Dirac), got {k!r}.")
        self._k = int(k)

    @property
    def jfactor(self):
        """J-factor (`~astropy.units.Quantity`) [GeV2 cm-5]."""
        return u.Quantity(10**self.log10_jfactor.value, "GeV2 cm-5")

    @property
    def jfactor_prior(self):
        """Prior on ``log10_jfactor``, or None; setting it sets the observed value, too."""
        return self._get_prior()

    @jfactor_prior.setter
    def jfactor_prior(self, prior):
        self._set_prior(prior)

    def _amplitude(self, strength, log10_factor):
        sigmav = u.Quantity(strength).to_value("cm3 s-1")
        jfactor = 10 ** u.Quantity(log10_factor).to_value("")
        mass = self.mass.to_value("GeV")
        return u.Quantity(sigmav * jfactor / (4 * np.pi * self.k * mass**2), FLUX_UNIT)

    def evaluate(self, energy, sigmav, log10_jfactor):
        """Differential flux.

        Parameters
        ----------
        energy : `~astropy.units.Quantity`
            Energies, any shape.
        sigmav, log10_jfactor : `~astropy.units.Quantity`
            Parameters; shapes broadcast with the energies.

        Returns
        -------
        dnde : `~astropy.units.Quantity`
            Flux [cm-2 s-1 GeV-1]; zero below the channel's threshold. The flux of a line is a delta
            function, for which this is zero at all energies; its integrals are exact.

        Raises
        ------
        ValueError
            If the mass lies outside of the table.
        """
        return self._dnde(energy, sigmav, log10_jfactor)

    def evaluate_integral(self, energy_min, energy_max, sigmav, log10_jfactor):
        """Flux between energies; see ``integral``, which puts the parameters in.

        Parameters
        ----------
        energy_min, energy_max : `~astropy.units.Quantity`
            Lower and upper energies, scalars or arrays of any intervals.
        sigmav, log10_jfactor : `~astropy.units.Quantity`
            Parameters.

        Returns
        -------
        flux : `~astropy.units.Quantity`
            Flux [cm-2 s-1].
        """
        return self._integral(energy_min, energy_max, sigmav, log10_jfactor, "flux")

    def evaluate_energy_flux(self, energy_min, energy_max, sigmav, log10_jfactor):
        """Energy flux between energies; see ``energy_flux``, which puts the parameters in.

        Parameters
        ----------
        energy_min, energy_max, sigmav, log10_jfactor
            As for `evaluate_integral`.

        Returns
        -------
        eflux : `~astropy.units.Quantity`
            Energy flux [GeV cm-2 s-1].
        """
        return self._integral(energy_min, energy_max, sigmav, log10_jfactor, "eflux")

    def _attributes(self):
        return super()._attributes() | {"k": self.k}

    def _attributes_as_text(self):
        return super()._attributes_as_text() | {"k": self.k}


class DarkMatterDecaySpectralModel(DarkMatterFlux):
    r"""Flux of dark matter decay in a target.

    .. math::
        \phi(E) = \frac{D \, \Gamma}{4 \pi m} \, \frac{dN}{dE}\big(E (1 + z)\big)

    with the yield per decay of a particle of mass m, which is that of an annihilation at m/2 and
    ends at E = m/2. The lifetime is 1 / gamma. Everything else is as in `DarkMatterSpectralModel`.

    Parameters
    ----------
    mass : `~astropy.units.Quantity` or str
        Mass of the particle.
    channel : str or dict
        Channel, or a mixture ``{channel: fraction}``.
    gamma : `~astropy.units.Quantity` or `~gammapy.modeling.Parameter`
        Decay rate. Default is 1e-26 s-1.
    log10_dfactor : float or `~gammapy.modeling.Parameter`, optional
        Log10 of D [GeV cm-2]; frozen by default. Default is that of the prior, or 18.
    redshift : float
        Redshift of the target. Default is 0.
    spectra : str, path, dict, `~astropy.table.Table` or `~dmgammapy.spectra.Spectra`
        Yields. Default is "pppc4".
    dfactor_prior : `JFactorPrior`, optional
        Prior on ``log10_dfactor``, which gets the observed value.
    **kwargs : dict
        ``covariance_data`` of the parameters, as Gammapy's models take it.

    Raises
    ------
    ValueError
        If an argument is not valid.

    Examples
    --------
    The spectrum of the decay of 200 GeV ends at 100 GeV:

    >>> import astropy.units as u
    >>> from dmgammapy.modeling import DarkMatterDecaySpectralModel
    >>> model = DarkMatterDecaySpectralModel("200 GeV", "tau", log10_dfactor=18.5)
    >>> print(model([99, 101] * u.GeV) > 0)
    [ True False]
    """

    tag = ["dmgammapy.DarkMatterDecaySpectralModel", "dm-gamma"]
    process = "decay"
    _keys = ("mass", "channel", "redshift", "spectra")

    gamma = Parameter("gamma", 1e-26, unit="s-1", min=0, scale=1e-26)
    log10_dfactor = Parameter("log10_dfactor", 18.0, frozen=True, scale_method=None)

    def __init__(
        self,
        mass,
        channel,
        gamma=gamma.quantity,
        log10_dfactor=None,
        redshift=0.0,
        spectra="pppc4",
        dfactor_prior=None,
        **kwargs,
    ):
        super().__init__(
            mass, channel, gamma, log10_dfactor, redshift, spectra, dfactor_prior, kwargs
        )

    @property
    def dfactor(self):
        """D-factor (`~astropy.units.Quantity`) [GeV cm-2]."""
        return u.Quantity(10**self.log10_dfactor.value, "GeV cm-2")

    @property
    def dfactor_prior(self):
        """Prior on ``log10_dfactor``, or None; setting it sets the observed value, too."""
        return self._get_prior()

    @dfactor_prior.setter
    def dfactor_prior(self, prior):
        self._set_prior(prior)

    def _amplitude(self, strength, log10_factor):
        gamma = u.Quantity(strength).to_value("s-1")
        dfactor = 10 ** u.Quantity(log10_factor).to_value("")
        return u.Quantity(gamma * dfactor / (4 * np.pi * self.mass.to_value("GeV")), FLUX_UNIT)

    def evaluate(self, energy, gamma, log10_dfactor):
        """Differential flux.

        Parameters
        ----------
        energy : `~astropy.units.Quantity`
            Energies, any shape.
        gamma, log10_dfactor : `~astropy.units.Quantity`
            Parameters; shapes broadcast with the energies.

        Returns
        -------
        dnde : `~astropy.units.Quantity`
            Flux [cm-2 s-1 GeV-1]; zero below the channel's threshold. The flux of a line is a delta
            function, for which this is zero at all energies; its integrals are exact.

        Raises
        ------
        ValueError
            If the mass lies outside of the table.
        """
        return self._dnde(energy, gamma, log10_dfactor)

    def evaluate_integral(self, energy_min, energy_max, gamma, log10_dfactor):
        """Flux between energies; see ``integral``, which puts the parameters in.

        Parameters
        ----------
        energy_min, energy_max : `~astropy.units.Quantity`
            Lower and upper energies, scalars or arrays of any intervals.
        gamma, log10_dfactor : `~astropy.units.Quantity`
            Parameters.

        Returns
        -------
        flux : `~astropy.units.Quantity`
            Flux [cm-2 s-1].
        """
        return self._integral(energy_min, energy_max, gamma, log10_dfactor, "flux")

    def evaluate_energy_flux(self, energy_min, energy_max, gamma, log10_dfactor):
        """Energy flux between energies; see ``energy_flux``, which puts the parameters in.

        Parameters
        ----------
        energy_min, energy_max, gamma, log10_dfactor
            As for `evaluate_integral`.

        Returns
        -------
        eflux : `~astropy.units.Quantity`
            Energy flux [GeV cm-2 s-1].
        """
        return self._integral(energy_min, energy_max, gamma, log10_dfactor, "eflux")
