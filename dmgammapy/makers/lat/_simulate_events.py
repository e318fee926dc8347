"""Simulated events in the columns of FT1 files."""

import numpy as np
from astropy.coordinates import Galactic, SkyCoord
from astropy.table import Table

from ._caldb import EVENT_TYPES
from ._dss import LATDataSelection
from ._simulate_rows import unit_vectors
from .events import LATEventList

__all__ = ["MODELS_KEY", "build_events"]

MODELS_KEY = "MCSRC"
SOURCE_CLASS = 128
CONVERSIONS = ("FRONT", "BACK")
RUN_LENGTH = 5700.0  # s, about an orbit
KEYS = {"time": float, "row": int, "energy": "f4", "energy_true": float, "model": int}
UNITS = {
    "ENERGY": "MeV",
    "RA": "deg",
    "DEC": "deg",
    "L": "deg",
    "B": "deg",
    "THETA": "deg",
    "PHI": "deg",
    "ZENITH_ANGLE": "deg",
    "TIME": "s",
    "MC_ENERGY": "MeV",
}


def build_events(simulator, pieces, rows, cone, names):
    """Event list in the order of time.

    Parameters
    ----------
    simulator : `LATEventSimulator`
    pieces : list of dict
        Arrays of shape (n,): time, row of the spacecraft file, direction (n, 3), energy and
        energy_true [MeV], event_type (place in the response), model.
    rows : `LiveRows`
    cone : (float, float, float)
        Right ascension, declination and radius [deg].
    names : list of str
        Of the models.

    Returns
    -------
    events : `LATEventList`
    """
    columns = {key: _joined(pieces, key, kind) for key, kind in KEYS.items()}
    columns["event_type"] = _joined(pieces, "event_type", int)
    direction = _joined(pieces, "direction", float).reshape(-1, 3)
    order = np.argsort(columns["time"], kind="stable")
    columns = {key: values[order] for key, values in columns.items()}
    table = Table(_directions(direction[order], columns["row"], simulator.spacecraft))
    table["ENERGY"] = columns["energy"]
    table["TIME"] = columns["time"]
    table["RUN_ID"] = _runs(columns["time"], rows.gti)
    table["EVENT_ID"] = np.arange(1, len(order) + 1, dtype=np.int32)
    response = simulator.response
    event_class = simulator.event_class or response.event_class_mask or SOURCE_CLASS
    table["EVENT_CLASS"] = np.full(len(order), event_class, dtype=np.uint32)
    types = _type_bits(list(response.parts), columns["event_type"], columns["time"])
    table["EVENT_TYPE"] = types
    table["CONVERSION_TYPE"] = (types & EVENT_TYPES["BACK"] > 0).astype(np.int16)
    table["MC_SRC_ID"] = columns["model"].astype(np.int32)
    table["MC_ENERGY"] = columns["energy_true"]
    for name, unit in UNITS.items():
        table[name].unit = unit
    zenith = simulator.zenith_max
    version = "P8R3" if response.is_parametrised else response.irfs.split("_")[0]
    selection = LATDataSelection(
        event_class=event_class,
        event_type=response.event_type_mask,
        pass_version=version,
        energy=(simulator.energy_min.value, simulator.energy_max.value),
        zenith_max=None if zenith is None else zenith.value,
        cone=cone,
    )
    events = LATEventList(table, rows.gti, selection)
    for number, name in enumerate(names):
        events.header[f"HIERARCH {MODELS_KEY}{number}"] = name
    return events


def _joined(pieces, key, kind):
    """One array of all pieces, also of none."""
    if not pieces:
        return np.zeros(0, dtype=kind)
    return np.concatenate([piece[key] for piece in pieces]).astype(kind)


def _directions(direction, row, spacecraft):
    """Columns of measured direction, in the sky's frames, the LAT's and the Earth's."""
    position = SkyCoord(*direction.T, representation_type="cartesian", frame="icrs")
    galactic = position.transform_to(Galactic()).spherical
    position = position.spherical
    axis = unit_vectors(spacecraft["RA_SCZ"], spacecraft["DEC_SCZ"], row)
    side = unit_vectors(spacecraft["RA_SCX"], spacecraft["DEC_SCX"], row)
    zenith = unit_vectors(spacecraft["RA_ZENITH"], spacecraft["DEC_ZENITH"], row)
    along = _dot(direction, side)
    across = _dot(direction, np.cross(axis, side))
    columns = {
        "RA": position.lon.deg,
        "DEC": position.lat.deg,
        "L": galactic.lon.deg,
        "B": galactic.lat.deg,
        "THETA": np.rad2deg(np.arccos(np.clip(_dot(direction, axis), -1, 1))),
        "PHI": np.rad2deg(np.arctan2(across, along)) % 360.0,
        "ZENITH_ANGLE": np.rad2deg(np.arccos(np.clip(_dot(direction, zenith), -1, 1))),
    }
    return {name: values.astype(np.float32) for name, values in columns.items()}


def _dot(first, second):
    """Scalar products of rows."""
    return np.einsum("ij,ij->i", first, second)


def _runs(time, gti):
    """Runs are named by the time they start: here pieces of good times, as long as an orbit."""
    start = gti[np.clip(np.searchsorted(gti[:, 0], time, side="right") - 1, 0, None), 0]
    return (start + RUN_LENGTH * ((time - start) // RUN_LENGTH)).astype(np.int32)


def _type_bits(event_types, place, time):
    """EVENT_TYPE of each event.

    Events have a type of each partition. The response knows of one; where that isn't front and
    back, events are called either by the parity of the microsecond of their arrival, so that
    nothing can be learnt from it.
    """
    bits = np.array([EVENT_TYPES.get(name, 0) for name in event_types], dtype=np.uint32)
    types = bits[place]
    if not set(event_types) & set(CONVERSIONS):
        parity = (np.floor(time * 1e6) % 2).astype(np.int64)
        conversion = np.array([EVENT_TYPES[name] for name in CONVERSIONS], dtype=np.uint32)
        types |= conversion[parity]
    return types
