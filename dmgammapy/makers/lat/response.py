"""Instrument response of the Fermi-LAT: `LATResponse`."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np

from ._caldb import EVENT_TYPES, class_mask, find_irf_files, resolve_event_types, type_mask
from ._irf_aeff import EffectiveAreaTable
from ._irf_edisp import EnergyDispersionTable
from ._irf_psf import KingPSF
from ._parametrised import parametrised_parts

__all__ = ["LATResponse"]

PARAMETRISED = "parametrised"


@dataclass(frozen=True)
class EventTypeResponse:
    """Response of one event type; plain floats in MeV, cm2, degrees."""

    event_type: str
    aeff: object
    psf: object
    edisp: object

    @property
    def energy_range(self):
        """Lowest and highest energy of all three tables [MeV]."""
        tables = (self.aeff, self.psf, self.edisp)
        return (
            max(table.energy_edges[0] for table in tables),
            min(table.energy_edges[-1] for table in tables),
        )


class LATResponse:
    """Effective area, point spread function and energy dispersion of LAT event types.

    Read from the files of the LAT calibration database with `read`, or stood in for by
    `parametrised` (for simulation only). Methods take quantities that broadcast; without an
    ``event_type`` the effective area is the sum of all types of the response, and the PSF and
    the energy dispersion are averages weighted by it.

    Parameters
    ----------
    irfs : str
        Name, as P8R3_SOURCE_V3.
    parts : dict of `EventTypeResponse`
        By event type.
    is_parametrised : bool
        Whether it is no calibrated response.

    Examples
    --------
    >>> import astropy.units as u
    >>> from dmgammapy.makers.lat.response import LATResponse
    >>> response = LATResponse.parametrised()
    >>> print(f"{response.effective_area(1 * u.GeV, 1).to('m2'):.3f}")
    0.830 m2
    >>> response
    LATResponse('parametrised', ['FB'], 50 MeV to 2 TeV; for simulation only)
    """

    def __init__(self, irfs, parts, is_parametrised=False):
        self.irfs = irfs
        self._parts = dict(parts)
        self.is_parametrised = bool(is_parametrised)

    @classmethod
    def read(cls, irfs="P8R3_SOURCE_V3", event_type="FB", caldb=None):
        """Read ``aeff_``, ``psf_`` and ``edisp_`` files.

        Parameters
        ----------
        irfs : str
            Name, as P8R3_SOURCE_V3 (default).
        event_type : str, int or list of str
            FB (default), PSF or EDISP; event types of one of these (``["PSF2", "PSF3"]``); or a
            bit mask as in event files (3 is FB).
        caldb : str or `~pathlib.Path`, optional
            Folder of the files, or root of a CALDB tree. Default is ``$CALDB``.

        Returns
        -------
        response : `LATResponse`

        Raises
        ------
        ValueError
            If a name is unknown, event types of two partitions are mixed, or a file is damaged.
        FileNotFoundError
            If files are absent; the message lists what is there.
        """
        class_mask(irfs)
        partition, event_types = resolve_event_types(event_type)
        paths = find_irf_files(irfs, partition, caldb)
        parts = {
            name: EventTypeResponse(
                name,
                EffectiveAreaTable.read(paths["aeff"], name),
                KingPSF.read(paths["psf"], name),
                EnergyDispersionTable.read(paths["edisp"], name),
            )
            for name in event_types
        }
        return cls(irfs, parts)

    @classmethod
    def parametrised(cls):
        """A response of few numbers for simulations where no IRF files are at hand.

        It meets the published on-axis effective area, acceptance, containment radii and energy
        resolution of P8R3_SOURCE_V3, front and back together, from 100 MeV to 1 TeV, and goes
        straight on in logarithms to 50 MeV and 2 TeV. Real data need `read`.

        Returns
        -------
        response : `LATResponse`
            With ``is_parametrised`` True and the one event type FB.
        """
        parts = {"FB": EventTypeResponse("FB", *parametrised_parts())}
        return cls(PARAMETRISED, parts, is_parametrised=True)

    def __repr__(self):
        low, high = self.energy_range
        low, high = (f"{e.to('TeV') if e > 999 * u.GeV else e.to('MeV'):.4g}" for e in (low, high))
        note = "; for simulation only" if self.is_parametrised else ""
        return f"LATResponse({self.irfs!r}, {self.event_types}, {low} to {high}{note})"

    @property
    def event_types(self):
        """Names of the event types, list of str."""
        return list(self._parts)

    @property
    def event_type_mask(self):
        """Bits of the event types in EVENT_TYPE, int."""
        return sum(
            EVENT_TYPES[name] if name in EVENT_TYPES else type_mask(resolve_event_types(name)[1])
            for name in self._parts
        )

    @property
    def event_class_mask(self):
        """Bit of the event class in EVENT_CLASS, int; None if parametrised."""
        return None if self.is_parametrised else class_mask(self.irfs)

    @property
    def energy_range(self):
        """Lowest and highest true energy, `~astropy.units.Quantity` of shape (2,)."""
        ranges = np.array([part.energy_range for part in self._parts.values()])
        return [ranges[:, 0].max(), ranges[:, 1].min()] * u.MeV

    @property
    def costheta_min(self):
        """Cosine of the largest inclination with an effective area, float."""
        return min(part.aeff.costheta_min for part in self._parts.values())

    @property
    def parts(self):
        """Responses of single event types by name, for makers; plain floats in MeV, cm2, deg."""
        return dict(self._parts)

    def select(self, event_type):
        """Response of some of the event types.

        Parameters
        ----------
        event_type : str, int, list of str or None
            As in `read`; None keeps all.

        Returns
        -------
        response : `LATResponse`

        Raises
        ------
        ValueError
            If the response lacks one of them.
        """
        if event_type is None:
            return self
        wanted = [event_type] if isinstance(event_type, str) else event_type
        if self.is_parametrised and list(np.atleast_1d(wanted)) in (["FB"], [3]):
            return self
        names = resolve_event_types(event_type)[1]
        if missing := [name for name in names if name not in self._parts]:
            raise ValueError(
                f"the response {self.irfs} was read for {', '.join(self._parts)}; it lacks "
                f"{', '.join(missing)}. Read it with event_type={event_type!r}."
            )
        return LATResponse(self.irfs, {name: self._parts[name] for name in names})

    def check_energies(self, energy, what="energies"):
        """Plain energies in MeV if all are inside the tables.

        Raises
        ------
        ValueError
            If one is outside; the message has the range.
        """
        values = u.Quantity(energy).to_value("MeV")
        low, high = self.energy_range.to_value("MeV")
        if not np.all((values >= low * (1 - 1e-6)) & (values <= high * (1 + 1e-6))):
            raise ValueError(
                f"{what} from {np.min(values):.6g} to {np.max(values):.6g} MeV: the response "
                f"{self.irfs} goes from {low:.6g} to {high:.6g} MeV; choose energies inside."
            )
        return values

    def effective_area(self, energy, costheta, event_type=None, livetime_fraction=None):
        """Effective area averaged over azimuth.

        Parameters
        ----------
        energy : `~astropy.units.Quantity`
            True energy.
        costheta : float or array
            Cosine of the inclination; below `costheta_min` the area is zero.
        event_type : str, optional
            Default is the sum of all types.
        livetime_fraction : float or array, optional
            Apply the efficiency correction ``p0(E) f + p1(E)`` for this fraction. Default is the
            table as it is, which holds for the mean fraction of the mission.

        Returns
        -------
        area : `~astropy.units.Quantity`
            cm2.
        """
        values, costheta = self.check_energies(energy), np.asarray(costheta, dtype=float)
        total = 0.0
        for part in self.select(event_type).parts.values():
            area = part.aeff.evaluate(values, costheta)
            if livetime_fraction is not None:
                plain, weighted = part.aeff.efficiency(values)
                area = area * (weighted * livetime_fraction + plain)
            total = total + area
        return u.Quantity(total, "cm2")

    def psf(self, separation, energy, costheta, event_type=None):
        """Point spread function.

        Parameters
        ----------
        separation : `~astropy.units.Quantity`
            Between true and reconstructed direction.
        energy : `~astropy.units.Quantity`
            True energy.
        costheta : float or array
            Cosine of the inclination.
        event_type : str, optional
            Default is the average of all types.

        Returns
        -------
        density : `~astropy.units.Quantity`
            sr-1.
        """
        separation, values = u.Quantity(separation).to_value("deg"), self.check_energies(energy)

        def evaluate(part):
            return part.psf.evaluate(separation, values, costheta)

        return u.Quantity(self._mean(evaluate, values, costheta, event_type), "sr-1")

    def energy_dispersion(self, energy, energy_true, costheta, event_type=None):
        """Density of the reconstructed energy.

        Parameters
        ----------
        energy, energy_true : `~astropy.units.Quantity`
            Reconstructed and true.
        costheta : float or array
            Cosine of the inclination.
        event_type : str, optional
            Default is the average of all types.

        Returns
        -------
        density : `~astropy.units.Quantity`
            MeV-1.
        """
        energy, values = u.Quantity(energy).to_value("MeV"), self.check_energies(energy_true)

        def evaluate(part):
            return part.edisp.evaluate(energy, values, costheta)

        return u.Quantity(self._mean(evaluate, values, costheta, event_type), "MeV-1")

    def _mean(self, evaluate, energy, costheta, event_type):
        """Average over event types with the effective area as weight."""
        costheta = np.asarray(costheta, dtype=float)
        parts = list(self.select(event_type).parts.values())
        if len(parts) == 1:
            return evaluate(parts[0])
        areas = [part.aeff.evaluate(energy, costheta) for part in parts]
        total = np.sum(areas, axis=0)
        # nothing is seen where the area is zero: there the types count alike
        shares = [np.where(total > 0, area / np.where(total > 0, total, 1), 1 / len(parts))
                  for area in areas]  # fmt: skip
        return sum(share * evaluate(part) for share, part in zip(shares, parts, strict=True))
