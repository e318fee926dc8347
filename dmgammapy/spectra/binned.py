"""Yields that are known only as integrals over fixed energy bins."""

import astropy.units as u
import numpy as np

from .core import Spectra, _check_norm_type, _energies, _mass_factor, _Selection

__all__ = ["BinnedSpectra"]

_MASS_TOLERANCE = 1e-6
_EDGE_TOLERANCE = 1e-4


class BinnedSpectra(Spectra):
    """Bin-integrated yields for given masses, as in a spectral table of dmpipe.

    They serve data with the same energy bins and the masses of the table, and refuse any other.
    A spectrum that is zero in all bins counts as not valid.

    Parameters
    ----------
    name : str
        Name.
    channels : list of str
        Canonical names, length n_channel.
    masses : array_like, shape (n_mass,)
        Ascending masses [GeV].
    energy_edges : array_like, shape (n_bin + 1,)
        Ascending bin edges [GeV].
    energy_ref : array_like, shape (n_bin,)
        Reference energies [GeV] of ``dnde``.
    flux, eflux, dnde : array_like, shape (n_channel, n_mass, n_bin)
        Photons, their energy [GeV] and dN/dE [GeV-1] per annihilation; zero where there is no row.
    source : str or dict, optional
        What `read_spectra` takes to make these spectra.
    """

    def __init__(
        self, name, channels, masses, energy_edges, energy_ref, flux, eflux, dnde, source=None
    ):
        super().__init__(name, channels, masses, source)
        self._edges = np.array(energy_edges, dtype=float)
        self._energy_ref = np.array(energy_ref, dtype=float)
        values = {"flux": flux, "eflux": eflux, "dnde": dnde}
        self._yields = {key: np.array(value, dtype=float) for key, value in values.items()}
        for array in (self._edges, self._energy_ref, *self._yields.values()):
            array.flags.writeable = False

    @property
    def energy_edges(self):
        """Edges of the bins [GeV], shape (n_bin + 1,)."""
        return u.Quantity(self._edges, "GeV", copy=False)

    def dnde(self, energy, mass, channel, process="annihilation"):
        """Raise, since only integrals over the bins are known.

        Parameters
        ----------
        energy, mass, channel, process
            As in `Spectra.dnde`.

        Raises
        ------
        ValueError
            Always.
        """
        raise ValueError(
            f"The spectra {self.name!r} are bin-integrated and have no dN/dE at any energy: use "
            "integrate(energy_edges, ...) with their energy_edges, or spectra like 'dmfit'."
        )

    def integrate(
        self,
        energy_edges,
        mass,
        channel,
        process="annihilation",
        norm_type="flux",
        energy_ref=None,
    ):
        """Yield in the energy bins of the table.

        Parameters
        ----------
        energy_edges : `~astropy.units.Quantity`, shape (n_bin + 1,)
            The edges of the table, to 1e-4.
        mass : `~astropy.units.Quantity`
            Masses of the table (for decay: twice these), to 1e-6.
        channel, process, norm_type
            As in `Spectra.integrate`.
        energy_ref : `~astropy.units.Quantity`, shape (n_bin,), optional
            The reference energies of the table, to 1e-4, for "dnde".

        Returns
        -------
        values : `~astropy.units.Quantity`, shape (channel, mass, n_bin)
            As `Spectra.integrate`.

        Raises
        ------
        ValueError
            If edges or masses aren't those of the table.
        """
        _check_norm_type(norm_type)
        self._compare("energy bins", self._edges, _energies(energy_edges, "energy_edges"))
        if norm_type == "dnde" and energy_ref is not None:
            self._compare(
                "reference energies", self._energy_ref, _energies(energy_ref, "energy_ref")
            )
        select = _Selection(self, channel)
        masses = self._table_masses(mass, process)
        flat = masses.ravel()
        values = self._yields[norm_type][np.ix_(select.indices, self._positions(flat))]
        values = self._finish(values, select, masses, flat, (len(self._edges) - 1,))
        return u.Quantity(values, {"flux": "", "eflux": "GeV", "dnde": "GeV-1"}[norm_type])

    def integrate_intervals(
        self,
        energy_min,
        energy_max,
        mass,
        channel,
        process="annihilation",
        norm_type="flux",
    ):
        """Yield between pairs of energies, which must be all bins of the table.

        Parameters
        ----------
        energy_min, energy_max : `~astropy.units.Quantity`, shape (n_bin,)
            Lower and upper edges.
        mass, channel, process, norm_type
            As in `integrate`.

        Returns
        -------
        values : `~astropy.units.Quantity`, shape (channel, mass, n_bin)
            As `integrate`.

        Raises
        ------
        ValueError
            If these aren't the bins of the table.
        """
        self._compare("lower edges", self._edges[:-1], _energies(energy_min, "energy_min"))
        self._compare("upper edges", self._edges[1:], _energies(energy_max, "energy_max"))
        return self.integrate(self.energy_edges, mass, channel, process, norm_type)

    def _compare(self, what, mine, theirs):
        if mine.shape == theirs.shape and np.allclose(theirs, mine, rtol=_EDGE_TOLERANCE, atol=0):
            return
        raise ValueError(
            f"The spectra {self.name!r} are integrated over their own energy bins and serve no "
            f"others. Their {what} [GeV]: {_brief(mine)}; asked for: {_brief(theirs)}. Use spectra "
            "that can be integrated, like 'dmfit' or 'pppc4'."
        )

    def _table_masses(self, mass, process):
        factor = _mass_factor(process)
        try:
            values = np.asarray(u.Quantity(mass).to_value("GeV") / factor, dtype=float)
        except (u.UnitConversionError, TypeError) as error:
            raise ValueError(f"mass must have a unit of energy, got {mass!r}.") from error
        nearest = self._masses[self._positions(values)]
        far = ~(np.abs(values - nearest) <= _MASS_TOLERANCE * nearest)
        if np.any(far):
            bad = ", ".join(f"{value:.8g}" for value in values[far] * factor)
            raise ValueError(
                f"Mass {bad} GeV is not in the table {self.name!r}, which has no spectra between "
                f"its masses; for {process} it has {_brief(self._masses * factor, 40)} GeV."
            )
        return nearest

    def _positions(self, mass):
        return np.argmin(np.abs(np.asarray(mass)[..., np.newaxis] - self._masses), axis=-1)

    def _valid(self, mass, indices):
        filled = np.any(self._yields["flux"] > 0, axis=-1)
        return filled[np.ix_(indices, self._positions(mass))]

    def _dnde(self, energy, mass, indices):
        raise NotImplementedError

    def _cumulative(self, energy, mass, indices, weighted):
        raise NotImplementedError

    def _content(self):
        return (*super()._content(), self._edges, self._energy_ref, *self._yields.values())


def _brief(values, most=8):
    """Numbers for a message, shortened when they are many."""
    texts = [f"{value:.6g}" for value in np.ravel(values)]
    if len(texts) > most:
        return f"{len(texts)} values {', '.join(texts[:3])} ... {', '.join(texts[-2:])}"
    return ", ".join(texts)
