"""Event lists from models: `LATEventSimulator`."""

import logging
from functools import cached_property

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.modeling.models import Models

from dmgammapy.makers._streams import random_stream

from ._simulate_events import build_events
from ._simulate_response import make_tables
from ._simulate_rows import LiveRows, unit_vectors
from ._simulate_sky import make_source, vector, within

__all__ = ["LATEventSimulator"]

log = logging.getLogger(__name__)

STREAM = "lat events"


class LATEventSimulator:
    """Draw event lists of the Fermi-LAT from models of the sky.

    Photons of every source arrive as a Poisson process. Each is thrown at a row of the spacecraft
    file and kept with the chance that the LAT's livetime and effective area give it at that
    inclination, so that arrival times, inclinations and zenith angles belong together, and numbers
    follow the exposure. Measured direction and energy, and the event type, are drawn from the
    response at this energy and inclination. Then cuts apply to the measured values, as gtselect
    does to real ones: what leaks in from outside of the region is there, too.

    Conventions, those of `LATLivetimeMaker` and `LATExposureMaker`: pointing is that of the row's
    start, effective area is averaged over azimuth, and includes the efficiency correction
    ``p0(E) f + p1(E)`` with the row's livetime fraction f. The exposure counts the livetime at
    which the *source's* zenith angle is below the cut, events are cut by the *measured* one; both
    agree up to the PSF's second order.

    Models say what the response does to them by ``apply_irf``: isotropic templates bypass PSF and
    energy dispersion. Photons of the Earth's limb are not simulated.

    Parameters
    ----------
    response : `LATResponse`
    spacecraft : `LATSpacecraft`
    gti : array, shape (n_gti, 2), optional
        Good times, mission elapsed time [s]. Default is all rows with DATA_QUAL > 0 and
        LAT_CONFIG == 1.
    energy_min, energy_max : `~astropy.units.Quantity` or str
        Measured energies. Default is 500 MeV and 500 GeV.
    zenith_max : `~astropy.units.Quantity` or str, optional
        Largest measured zenith angle. Default is "90 deg"; None for no cut.
    event_class : int, optional
        Bit mask of the class that events get. Default is that of the response, or 128 (SOURCE).

    Raises
    ------
    ValueError
        If an argument is out of range, or the LAT was never live.

    Examples
    --------
    A day of the Vela pulsar:

    >>> from gammapy.modeling.models import Models, PointSpatialModel, PowerLawSpectralModel
    >>> from gammapy.modeling.models import SkyModel
    >>> from dmgammapy.makers.lat.orbits import LATOrbitSimulator
    >>> from dmgammapy.makers.lat.response import LATResponse
    >>> from dmgammapy.makers.lat.simulate import LATEventSimulator
    >>> vela = SkyModel(
    ...     PowerLawSpectralModel(amplitude="7e-9 cm-2 s-1 MeV-1", reference="1 GeV", index=1.7),
    ...     PointSpatialModel(lon_0="128.8 deg", lat_0="-45.2 deg", frame="icrs"),
    ...     name="vela",
    ... )
    >>> spacecraft = LATOrbitSimulator().run(duration="1 d")
    >>> simulator = LATEventSimulator(LATResponse.parametrised(), spacecraft)
    >>> events = simulator.run(Models([vela]), vela.position, radius="10 deg", seed=1)
    >>> 1000 < len(events) < 2000, bool(events.energy.min().to_value("MeV") > 500)
    (True, True)
    """

    def __init__(
        self,
        response,
        spacecraft,
        gti=None,
        energy_min="500 MeV",
        energy_max="500 GeV",
        zenith_max="90 deg",
        event_class=None,
    ):
        self.response = response
        self.spacecraft = spacecraft
        self.gti = gti
        self.energy_min = _quantity("energy_min", energy_min, "MeV")
        self.energy_max = _quantity("energy_max", energy_max, "MeV")
        self.zenith_max = None if zenith_max is None else _quantity("zenith_max", zenith_max, "deg")
        self.event_class = event_class
        self._check()

    def _check(self):
        """Ranges of energies and angles."""
        low, high = self.response.energy_range
        if not low <= self.energy_min < self.energy_max <= high:
            raise ValueError(
                f"energy_min and energy_max must ascend within the response's "
                f"{low:.4g} to {high:.4g}, got {self.energy_min} and {self.energy_max}."
            )
        if self.zenith_max is not None and not 0 < self.zenith_max.value <= 180:
            raise ValueError(f"zenith_max must be between 0 and 180 deg, got {self.zenith_max}.")

    def __repr__(self):
        return (
            f"{type(self).__name__}({self.response!r}, {len(self.spacecraft)} rows, "
            f"energy_min={self.energy_min:g}, energy_max={self.energy_max:g}, "
            f"zenith_max={self.zenith_max})"
        )

    # these depend on the configuration alone, and serve all regions
    @cached_property
    def _rows(self):
        return LiveRows.from_spacecraft(self.spacecraft, self.gti)

    @cached_property
    def _tables(self):
        return make_tables(self.response)

    def run(self, models, position, radius="10 deg", seed=0):
        """Draw the events of a region.

        Each model has a random stream of its own, by its name: its events stay the same whatever
        else is on the sky.

        Parameters
        ----------
        models : `~gammapy.modeling.models.Models` or list of `~gammapy.modeling.models.SkyModel`
            Point sources, shapes, templates and cubes. Those too far from the region to be seen in
            it are named in the log.
        position : `~astropy.coordinates.SkyCoord`
            Centre of the region.
        radius : `~astropy.units.Quantity` or str
            Of the cone in which events are measured. Default is "10 deg".
        seed : int
            Not negative. Default is 0.

        Returns
        -------
        events : `LATEventList`
            Ascending in time. Beyond the columns of FT1 files MC_SRC_ID is the place of the model
            in the header's keywords MCSRC0, MCSRC1, ..., and MC_ENERGY the true energy [MeV].

        Raises
        ------
        ValueError
            If a model can't be simulated; it is named.
        """
        models = Models(models)
        radius = _quantity("radius", radius, "rad").value
        if not 0 < radius <= np.pi:
            raise ValueError(f"radius must be between 0 and 180 deg, got {np.rad2deg(radius)} deg.")
        if not isinstance(position, SkyCoord) or not position.isscalar:
            raise ValueError(f"position must be a single SkyCoord, got {position!r}.")
        cap = vector(position), radius
        tables = self._tables
        edges = tables.bins(self.energy_min.value, self.energy_max.value)
        margin = tables.margin(self.energy_min.value)
        pieces, far = [], []
        for number, model in enumerate(models):
            source = make_source(model, edges, cap, margin)
            if source is None:
                far.append(model.name)
                continue
            random = random_stream(seed, STREAM, model.name)
            pieces.extend(self._draw(random, source, edges, cap, number))
        if far:
            log.info(
                "%d models are more than %.1f deg outside of the region and give no events: %s",
                len(far),
                np.rad2deg(margin),
                ", ".join(far),
            )
        cone = (position.icrs.ra.deg, position.icrs.dec.deg, np.rad2deg(radius))
        return build_events(self, pieces, self._rows, cone, list(models.names))

    def _draw(self, random, source, edges, cap, number):
        """Columns of a source's events, in chunks."""
        rows, tables = self._rows, self._tables
        fraction = rows.fraction.min(), rows.fraction.max()
        envelope = tables.envelope(edges, fraction)
        scale = envelope * len(rows.live) * rows.longest
        for photons in source.draw(random, scale):
            seen, row, i_type = tables.accept(random, photons, envelope, rows)
            true = photons.direction[seen]
            energy = photons.energy[seen]
            costheta = np.einsum("ij,ij->i", true, rows.axis[row])
            direction, measured = tables.measure(
                random,
                true,
                energy,
                costheta,
                i_type,
                source.apply_irf["psf"],
                source.apply_irf["edisp"],
            )
            start = rows.start[row]
            time = start + random.random(len(row)) * (rows.stop[row] - start)
            # as the file holds them, so that a cut of the file takes the same
            measured = measured.astype(np.float32)
            keep = (measured > self.energy_min.value) & (measured <= self.energy_max.value)
            keep &= within(direction, cap)
            if self.zenith_max is not None:
                index = rows.index[row]
                zenith = unit_vectors(
                    self.spacecraft["RA_ZENITH"], self.spacecraft["DEC_ZENITH"], index
                )
                keep &= within_each(direction, zenith, self.zenith_max.to_value("rad"))
            yield {
                "time": time[keep],
                "row": rows.index[row][keep],
                "direction": direction[keep],
                "energy": measured[keep],
                "energy_true": energy[keep],
                "event_type": i_type[keep],
                "model": np.full(keep.sum(), number, dtype=np.int32),
            }


def within_each(first, second, angle):
    """Which pairs of directions are closer than an angle."""
    return np.einsum("ij,ij->i", first, second) > np.cos(angle)


def _quantity(name, value, unit):
    """Scalar quantity in the unit, or an error that names the argument."""
    try:
        value = u.Quantity(value).to(unit)
    except (TypeError, u.UnitConversionError) as error:
        raise ValueError(f"{name} must be a quantity in {unit} or alike, got {value!r}.") from error
    if not value.isscalar or not np.isfinite(value.value):
        raise ValueError(f"{name} must be one finite number, got {value}.")
    return value
